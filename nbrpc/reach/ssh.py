"""Servers behind ssh.

Theory of operation
-------------------
The system's ssh runs, with all that the user has configured for it: agent, keys, jump hosts, the
checks of host keys. ``BatchMode`` keeps it from asking; what it would have asked becomes a sentence
that says what to do. `NBRPC_SSH` names another program, or options: ``ssh -F myconfig``.

On the far side it runs ``sh``, which looks for a Python that is new enough, and that reads one line
of its input and runs it: `far_side`. From there both sides speak in lines, each of the far side
begun by a mark that nobody else knows; what a login prints before the first is passed over. Where
nbrpc of this very version is missing, a `bundle` of it is carried into a folder in the user's cache
there, named by what is in it. Then the far side becomes ``nbrpc serve --stdio``, and what follows
is the wire.

Everything that comes from a URL was checked when it was read (`nbrpc.transports.ssh_url`), and is
quoted all the same.
"""

from __future__ import annotations

import hashlib
import json
import os
import secrets
import select
import shlex
import sys
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, Self

from nbrpc.errors import ConnectFailed, ConnectionLost
from nbrpc.objects.text import printable
from nbrpc.reach.bundle import SUFFIX, bundle_name, make_bundle
from nbrpc.reach.failures import NO_FOLDER, NO_PYTHON, why_ssh_failed
from nbrpc.reach.process import ProcessTransport
from nbrpc.transports.address import Address
from nbrpc.transports.dialing import Dialer
from nbrpc.transports.ssh_url import FarSide
from nbrpc.version import __version__

__all__ = ["SshDialer"]

PYTHONS: Final = "python3 python3.14 python3.13 python3.12 python3.11"
"""Of these the first that is new enough is taken."""

ANY_PYTHON: Final = "python3"
"""Else this one, which says how old it is."""

NEW_ENOUGH: Final = "import sys; sys.exit(sys.version_info < (3, 11))"

FIRST: Final = 'import io; exec(io.open(0, "rb", 0, closefd=False).readline())'
"""What the far Python is started with: it runs the line that comes. Any Python can read it."""

PRELUDE: Final = """\
import sys
if sys.version_info < (3, 11):
    sys.stdout.write("\\n%s{\\"old\\": \\"%d.%d\\"}\\n" % ((MARK,) + tuple(sys.version_info[:2])))
    sys.stdout.flush()
else:
    sys.path[:] = [part for part in sys.path if part]
    exec(SOURCE)
    sys.exit(serve(MARK, VERSION, BUNDLE))
"""
"""What that line says, once it is read; Python 2 can read it as well."""

MOST_NOISE: Final = 256 * 1024
"""Bytes that a login may print before the far side speaks."""

PIECE: Final = 64 * 1024

CARRYING: Final = 300.0
"""Seconds that a bundle may take, which do not count as time to connect."""


PROBES: Final = 3
"""Times that ssh asks after its server in the time after which a link is dead."""


@dataclass(frozen=True, slots=True)
class SshDialer(Dialer):
    """Connects to a server that ssh runs.

    Parameters
    ----------
    dead_after
        Seconds after which ssh ends when its server does not answer, as `Timing.dead_after`; None
        leaves that to what ssh is configured for.
    """

    dead_after: float | None = None

    @classmethod
    def of(cls, address: Address, tls: object, dead_after: float | None) -> SshDialer:
        """Make the dialer of an address.

        Raises
        ------
        ValueError
            TLS or a token is asked for, which ssh makes needless.
        """
        if tls:
            raise ValueError("tls= is for a host and a port: ssh encrypts by itself")
        if address.token is not None:
            raise ValueError("over ssh no token is needed: leave it out")
        return cls(address, dead_after=dead_after)

    def dial(self, deadline: float) -> SshTransport:
        """Log in, and have a server run there.

        Raises
        ------
        ConnectFailed
            There is no way there, or no Python that will do.
        AuthenticationFailed
            One of the two sides does not know the other's key.
        """
        host = self.address.host or ""
        far = self.address.far or FarSide()
        seconds = deadline - time.monotonic()
        command = _ssh_command(
            host, self.address.port, far, max(1, round(seconds)), self.dead_after
        )
        transport = SshTransport.start(command, self.address.url, held=True)
        transport.delay = 0.0
        try:
            _Conversation(transport, host, far, deadline).lead()
        except BaseException:  # and it is raised again
            transport.close()
            raise
        return transport


class SshTransport(ProcessTransport):
    """A `ProcessTransport` whose command is ssh.

    Attributes
    ----------
    delay : float
        Seconds that carrying nbrpc there took, which are no part of the time to connect.
    """

    __slots__ = ("delay",)

    delay: float

    def explain(self, error: Exception) -> str:
        """Say why no connection came to be, once it is closed."""
        code = self.ended(1.0)
        words = self.said.last_words()
        if code is None or not words:
            return str(error)
        return f"the server there ended with code {code}: {words}"


def _ssh_command(
    host: str, port: int | None, far: FarSide, seconds: int, dead_after: float | None
) -> list[str]:
    """Give the command line of ssh."""
    program = shlex.split(os.environ.get("NBRPC_SSH", "")) or ["ssh"]
    options = {
        "BatchMode": "yes",
        "ConnectTimeout": str(seconds),
        "ClearAllForwardings": "yes",  # they belong to the user's own sessions
        "ControlMaster": "no",  # one that is there is used; this one ends with its connection
        "RemoteCommand": "none",
    }
    if dead_after is not None:
        # It ends at the probe after the last one that it waits for.
        options["ServerAliveInterval"] = str(max(1, round(dead_after / PROBES)))
        options["ServerAliveCountMax"] = str(PROBES - 1)
    command = [*program, "-T"]
    for name, value in options.items():
        command += ["-o", f"{name}={value}"]
    if port is not None:
        command += ["-p", str(port)]
    if far.user is not None:
        command += ["-l", far.user]
    return [*command, "--", host, _far_command(far)]


def _far_command(far: FarSide) -> str:
    """Give what the shell of the far side is asked to run, whichever shell that is."""
    first = f"-c {shlex.quote(FIRST)}"
    script = "" if far.cwd is None else f"cd -- {_path(far.cwd)} || exit {NO_FOLDER}; "
    if far.python is not None:
        script += f"exec {_path(far.python)} {first}"
    else:
        test = f'"$python" -c {shlex.quote(NEW_ENOUGH)} 2>/dev/null'
        script += f'for python in {PYTHONS}; do if {test}; then exec "$python" {first}; fi; done; '
        script += (
            f"command -v {ANY_PYTHON} >/dev/null || exit {NO_PYTHON}; exec {ANY_PYTHON} {first}"
        )
    return f"exec sh -c {shlex.quote(script)}"


def _path(path: str) -> str:
    """Quote a path for sh; one in the user's home there may begin with ``~/``."""
    if path == "~" or path.startswith("~/"):
        return f'"$HOME"{shlex.quote(path[1:])}' if path != "~" else '"$HOME"'
    return shlex.quote(path)


class _Conversation:
    """What is said before the wire begins.

    Parameters
    ----------
    transport
        To the far side.
    host
        What it is called.
    far
        What is to run there.
    deadline
        On the monotonic clock.
    """

    def __init__(self, transport: SshTransport, host: str, far: FarSide, deadline: float) -> None:
        self._transport = transport
        self._host = host
        self._far = far
        self._deadline = deadline
        self._mark = f"nbrpc-{secrets.token_hex(8)} "
        self._rest = b""

    def lead(self) -> None:
        """Have the far side become a server."""
        self._send(_first_line(self._mark))
        answer = self._hear()
        if "old" in answer:
            raise ConnectFailed(
                f"the Python on {self._host} is {answer['old']}, and nbrpc needs 3.11 or "
                f"later: name another one, as in ssh://{self._host}?python=/path/to/python"
            )
        if answer.get("here") != "True":
            self._carry(answer.get("suffix", "nothing known"))
        arguments = ["serve", "--stdio", self._far.target or "--classic"]
        if self._far.keep:
            arguments.append("--keep")
        self._tell(arguments=arguments)

    def _carry(self, suffix: str) -> None:
        """Bring what is missing."""
        if suffix != SUFFIX:
            raise ConnectFailed(
                f"nbrpc is not installed on {self._host}, and what is installed here is for "
                f"another Python or system ({SUFFIX}, there {suffix}): run `pip install nbrpc` "
                "there"
            )
        began = time.monotonic()
        self._deadline += CARRYING
        bundle = make_bundle()
        self._tell(size=len(bundle), sha256=hashlib.sha256(bundle).hexdigest())
        what = f"nbrpc is not installed on {self._host}: carrying it there"
        with _Progress(what, len(bundle)) as progress:
            for start in range(0, len(bundle), PIECE):
                self._send(bundle[start : start + PIECE])
                progress.tell(start)
            answer = self._hear()
            if "failed" in answer:
                raise ConnectFailed(
                    f"nbrpc could not be carried to {self._host}: {answer['failed']}"
                )
        self._transport.delay = time.monotonic() - began

    def _tell(self, **what: Any) -> None:
        self._send(json.dumps(what).encode() + b"\n")

    def _send(self, data: bytes) -> None:
        view = memoryview(data)
        while view:
            try:
                view = view[self._transport.send([view]) :]
            except ConnectionLost as error:
                raise self._failed() from error
            if view:
                self._wait(for_room=True)

    def _hear(self) -> dict[str, str]:
        """Give what the next marked line says."""
        mark = b"\n" + self._mark.encode()
        while True:
            _, found, line = self._rest.partition(mark)
            if found and b"\n" in line:
                line, _, self._rest = line.partition(b"\n")
                return _read(line)
            if len(self._rest) > MOST_NOISE:
                raise ConnectFailed(
                    f"the login on {self._host} prints without end, and no server begins: look at "
                    f"`ssh {self._host} true` in a terminal"
                )
            self._wait()
            try:
                data = self._transport.receive(PIECE)
            except ConnectionLost as error:
                raise self._failed() from error
            if data == b"":
                raise self._failed()
            self._rest += data or b""

    def _wait(self, *, for_room: bool = False) -> None:
        """Wait a moment until something can be read, or written.

        Raises
        ------
        ConnectFailed
            The time is over.
        """
        remaining = self._deadline - time.monotonic()
        if remaining <= 0:
            raise ConnectFailed(
                f"{self._host} did not answer over ssh in time: see whether `ssh {self._host}` "
                "works in a terminal, or give it a longer timeout="
            )
        ends = [self._transport.fileno()]
        select.select([] if for_room else ends, ends if for_room else [], [], min(remaining, 0.1))

    def _failed(self) -> Exception:
        """Say why ssh has ended."""
        transport = self._transport
        transport.close()
        return why_ssh_failed(self._host, self._far, transport.ended(1.0), transport.said.text())


def _read(line: bytes) -> dict[str, str]:
    """Read a line of the far side, which is not trusted: texts that can be shown, cut short."""
    try:
        said = json.loads(line)
        return {str(key): printable(str(value))[:300] for key, value in said.items()}
    except (ValueError, RecursionError, AttributeError) as error:
        raise ConnectFailed("the far side of ssh says what cannot be read") from error


def _first_line(mark: str) -> bytes:
    """Give the line that makes a Python the far side."""
    source = Path(__file__).with_name("far_side.py").read_text("utf-8")
    settings = {
        "MARK": mark,
        "VERSION": __version__,
        "BUNDLE": bundle_name(__version__),
        "SOURCE": source,
    }
    program = "".join(f"{name} = {value!r}\n" for name, value in settings.items()) + PRELUDE
    return f"exec({program!r})\n".encode("ascii")


class _Progress:
    """Tells on standard error how far something is, on one line."""

    def __init__(self, what: str, total: int) -> None:
        self._what = what
        self._total = total
        self._told = -1

    def __enter__(self) -> Self:
        self.tell(0)
        return self

    def __exit__(self, error: object, *_: object) -> None:
        if error is None:
            self.tell(self._total)
        self._write("\n")

    def tell(self, done: int) -> None:
        """So much is done."""
        percent = 100 * done // self._total
        if percent >= self._told + 10 or self._told < 0 or done == self._total:
            self._told = percent
            self._write(f"\r{self._what} ({self._total / 1e6:.1f} MB) {percent:3} %")

    @staticmethod
    def _write(text: str) -> None:
        if sys.stderr is not None:
            sys.stderr.write(text)
            sys.stderr.flush()
