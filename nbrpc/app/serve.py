"""``nbrpc serve``: open a server, say where it is, and end it cleanly."""

from __future__ import annotations

import contextlib
import errno
import gc
import logging
import os
import signal
import socket
import sys
import threading
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

from traitlets import Bool, Float, Int, Unicode

from nbrpc.app.command import WRONG_USAGE, Command, Mistake, check_discovery, read_token, say
from nbrpc.app.keep import end_when_idle, relay_to_kept
from nbrpc.app.load import make_service
from nbrpc.errors import NbrpcError
from nbrpc.options import TLS, Timing
from nbrpc.server.pipe import PipeServer, take_stdio
from nbrpc.server.server import AS_THIS_PROCESS, Server
from nbrpc.service import ClassicService
from nbrpc.transports.address import DEFAULT_PORT

__all__ = ["ServeApp"]

CLASSIC_PORT = 18_812
PORTS_TRIED = 100

LISTENING = {
    name: f"--{name.removesuffix('_path').replace('_', '-')}"
    for name in (
        *("host", "port", "unix_path", "token_file", "rpyc", "insecure"),
        *("tls_cert", "tls_key", "tls_ca", "tls_self_signed"),
    )
}
"""What says where and how to listen, or whom to let in, and the options for it."""

LAST_WORDS = 2.0
"""Seconds that the main thread has to end after SIGTERM; a remote cell may keep it in C code."""


class ServeApp(Command):
    """``nbrpc serve``: serve an object or a class until Ctrl-C."""

    name = "nbrpc-serve"
    description = """Serve an object or a class of a module (module:Thing), or this Python itself
    (--classic).

    Prints the URL, with the token in it, on one line. The current folder is importable.
    Programs of the same user on this machine need no token."""
    examples = """nbrpc serve nbrpc.demo:Bench --name bench
nbrpc serve driver:Stage --args '"/dev/ttyUSB0", speed=9600'
nbrpc serve --classic --unix /run/user/1000/python
docker exec -i lab nbrpc serve --stdio driver:Stage     # as nbrpc.connect_command runs it"""
    arguments_wanted = (1, "one module:Thing")

    target = Unicode(help="What to serve, as module:Thing.").tag(config=True)
    arguments = Unicode(
        help="Arguments for the class, as they would be written in a call; plain values only."
    ).tag(config=True)
    classic = Bool(False, help="Serve this Python itself: clients may run code.").tag(config=True)
    allow_code = Bool(False, help="Let clients run code beside what is served.").tag(config=True)
    per_connection = Bool(
        False, help="Make one object of the class for each connection, not one for all."
    ).tag(config=True)
    server_name = Unicode(help="What people call the server.").tag(config=True)
    host = Unicode("127.0.0.1", help="The address to listen on.").tag(config=True)
    port = Int(
        None,
        allow_none=True,
        min=0,
        max=65_535,
        help="The port; 0 takes a free one. By default 18861 (18812 for --classic), or the next "
        "free one.",
    ).tag(config=True)
    unix_path = Unicode(help="Listen on a Unix socket at this path instead.").tag(config=True)
    stdio = Bool(
        False,
        help="Serve one connection over standard input and output instead, and end with it.",
    ).tag(config=True)
    keep = Bool(
        False,
        help="With --stdio: serve from a process that goes on while it keeps a named session, and "
        "is found again.",
    ).tag(config=True)
    until_idle = Bool(False, help="End when nobody is connected and no named session is kept.").tag(
        config=True
    )
    announce = Bool(
        False,
        help="Tell the network the server's name and address, so that `nbrpc list --network` and "
        "Tab in %rpc_connect find it; the token is not told.",
    ).tag(config=True)
    token_file = Unicode(
        help="A file that holds the token to ask for; by default each start makes a new one."
    ).tag(config=True)
    rpyc = Bool(False, help="Let clients of RPyC in, which show no token; this machine only.").tag(
        config=True
    )
    insecure = Bool(
        False, help="Listen beyond this machine although the traffic is not encrypted."
    ).tag(config=True)
    tls_cert = Unicode(help="Encrypt: a file with the server's certificate, as PEM.").tag(
        config=True
    )
    tls_key = Unicode(help="The file with its key, if that is another one.").tag(config=True)
    tls_ca = Unicode(
        help="Let in only clients with a certificate that one in this file vouches for."
    ).tag(config=True)
    tls_self_signed = Bool(
        False,
        help="Encrypt with a certificate made for this run; the URL holds its fingerprint, by "
        "which clients know the server.",
    ).tag(config=True)

    session_expiry = Float(
        86_400.0,
        allow_none=True,
        min=0.1,
        help="Seconds after which a named session ends in which nothing happens; None never.",
    ).tag(config=True)

    flags = {  # noqa: RUF012 - as in traitlets
        **Command.flags,
        "classic": ({"ServeApp": {"classic": True}}, "Serve this Python: clients may run code."),
        "allow-code": ({"ServeApp": {"allow_code": True}}, "Let clients run code as well."),
        "per-connection": ({"ServeApp": {"per_connection": True}}, "One object per connection."),
        "rpyc": ({"ServeApp": {"rpyc": True}}, "Let clients of RPyC in, without a token."),
        "stdio": ({"ServeApp": {"stdio": True}}, "Serve whoever started this, over its pipe."),
        "keep": ({"ServeApp": {"keep": True}}, "With --stdio: named sessions outlive the pipe."),
        "until-idle": ({"ServeApp": {"until_idle": True}}, "End when nobody needs it any more."),
        "announce": ({"ServeApp": {"announce": True}}, "Tell the network where the server is."),
        "insecure": ({"ServeApp": {"insecure": True}}, "Listen beyond this machine, unencrypted."),
        "tls-self-signed": (
            {"ServeApp": {"tls_self_signed": True}},
            "Encrypt, with a certificate made for this run.",
        ),
    }
    aliases = {  # noqa: RUF012 - as in traitlets
        **Command.aliases,
        "args": "ServeApp.arguments",
        "name": "ServeApp.server_name",
        "host": "ServeApp.host",
        "port": "ServeApp.port",
        "unix": "ServeApp.unix_path",
        "token-file": "ServeApp.token_file",
        "tls-cert": "ServeApp.tls_cert",
        "tls-key": "ServeApp.tls_key",
        "tls-ca": "ServeApp.tls_ca",
        "session-expiry": "ServeApp.session_expiry",
    }

    _wire: socket.socket | None = None
    """What standard input and output were, with ``--stdio``."""

    def initialize(self, argv: list[str] | None = None) -> None:
        """Read the command line.

        Raises
        ------
        Mistake
            It cannot be understood.
        """
        super().initialize(argv)
        if self.extra_args:
            self.target = self.extra_args[0]
        if self.classic and self.target:
            raise Mistake("give either module:Thing or --classic, not both", WRONG_USAGE)
        if not self.classic and not self.target:
            raise Mistake(
                "say what to serve: nbrpc serve module:Thing, or nbrpc serve --classic", WRONG_USAGE
            )
        if self.unix_path and self.port is not None:
            raise Mistake("give either --unix or --port, not both", WRONG_USAGE)
        if self.keep and not self.stdio:
            raise Mistake(
                "--keep needs --stdio: any other server is there until it ends", WRONG_USAGE
            )
        if self.announce and (self.unix_path or self.stdio):
            raise Mistake(
                "--announce needs a port: neither --unix nor --stdio has an address on a network",
                WRONG_USAGE,
            )
        if self.tls_self_signed and (self.tls_cert or self.tls_key):
            raise Mistake("give either --tls-self-signed or --tls-cert, not both", WRONG_USAGE)
        if (self.tls_key or self.tls_ca) and not (self.tls_cert or self.tls_self_signed):
            option = "--tls-key" if self.tls_key else "--tls-ca"
            raise Mistake(f"{option} needs --tls-cert or --tls-self-signed", WRONG_USAGE)

    def _check_stdio(self) -> None:
        """Refuse options that say where to listen; configuration files may have them."""
        given = self.cli_config.get("ServeApp", {})
        for name, option in LISTENING.items():
            if name in given:
                raise Mistake(f"give either --stdio or {option}, not both", WRONG_USAGE)

    def _what_is_served(self) -> list[str]:
        """Give the part of the command line that says what is served."""
        given = [self.target] if self.target else ["--classic"]
        if self.arguments:
            given.append(f"--args={self.arguments}")
        for flag, is_set in (
            ("--allow-code", self.allow_code),
            ("--per-connection", self.per_connection),
        ):
            given += [flag] * is_set
        if self.server_name:
            given.append(f"--name={self.server_name}")
        return [*given, f"--session-expiry={self.session_expiry}"]

    def _load_configuration(self) -> None:
        if self.stdio:
            self._check_stdio()
            self._wire = take_stdio()  # before any code of the user runs, which may print
        super()._load_configuration()
        if self.stdio and self._wire is None:  # it is one of the files that says so
            self._wire = take_stdio()

    def start(self) -> None:
        """Serve until Ctrl-C or SIGTERM, or over a pipe until that ends.

        Raises
        ------
        Mistake
            It cannot be served.
        """
        if self.announce:
            check_discovery("--announce")
        if self._wire is not None and self.keep:
            relay_to_kept(self._wire, self._what_is_served())
            return
        token = read_token(self.token_file) if self.token_file else None
        service = (
            ClassicService
            if self.classic
            else make_service(self.target, self.arguments, per_connection=self.per_connection)
        )
        gc.freeze()  # what is loaded by now stays: to look through it would stop all clients
        server = (
            _open(self, service, token)
            if self._wire is None
            else _open_pipe(self, service, self._wire)
        )
        try:
            with _ended_by_signals(server), contextlib.ExitStack() as stack:
                if not self.stdio:
                    _announce(server)
                    _show_log(self.log_level)
                if self.announce:
                    stack.enter_context(_announcement(server))
                if self.until_idle:
                    end_when_idle(server)
                server.start()
        except KeyboardInterrupt:
            pass
        finally:
            server.close()
            if self.stdio:
                _end_soon()


def _open_pipe(app: ServeApp, service: object, wire: socket.socket) -> PipeServer:
    """Make the server of the pipe that standard input and output were."""
    try:
        return PipeServer(service, wire, **_options(app))
    except (NbrpcError, ValueError) as exc:
        raise Mistake(str(exc)) from exc


def _end_soon() -> None:
    """End this process although a thread of the service may go on: nobody could ever reach it."""

    def end() -> None:
        threading.Event().wait(LAST_WORDS)
        os._exit(0)

    threading.Thread(target=end, name="nbrpc-end", daemon=True).start()


def _show_log(level: Any) -> None:
    """Show the server's log on stderr: who may run code, and who was turned away."""
    log = logging.getLogger("nbrpc.server")
    # What is told as a warning by default is told in any case; --log-level hides and shows more.
    log.setLevel(logging.INFO if level == logging.WARNING else level)
    if not log.hasHandlers():  # the module that is served may have its own way to log
        handler = logging.StreamHandler()
        handler.setFormatter(logging.Formatter("%(asctime)s %(message)s", "%Y-%m-%d %H:%M:%S"))
        log.addHandler(handler)


def _options(app: ServeApp) -> dict[str, Any]:
    """Give what every kind of server is told."""
    return {
        "name": app.server_name or None,
        "allow_code": app.allow_code or app.classic,
        "per_connection": app.per_connection,
        "timing": Timing(session_expiry=app.session_expiry),
    }


def _open(app: ServeApp, service: object, token: str | None) -> Server:
    """Open the server, on the next free port if none was asked for."""
    options = {
        **_options(app),
        "token": token,
        "insecure": app.insecure,
        "rpyc": app.rpyc,
        "tls": _tls(app),
    }
    asked = app.port is not None
    first = app.port if app.port is not None else CLASSIC_PORT if app.classic else DEFAULT_PORT
    port = first
    while True:
        try:
            if app.unix_path:
                return Server(service, path=os.path.abspath(app.unix_path), **options)  # noqa: PTH100
            return Server(service, host=app.host, port=port, **options)
        except OSError as exc:
            taken = exc.errno == errno.EADDRINUSE and not (asked or app.unix_path)
            if taken and port < first + PORTS_TRIED:
                port += 1
                continue
            raise Mistake(exc.strerror or str(exc)) from exc
        except (NbrpcError, ValueError) as exc:
            raise Mistake(str(exc)) from exc


def _tls(app: ServeApp) -> Any:
    """Give what the server encrypts with; None for nothing.

    Raises
    ------
    Mistake
        A file cannot be used.
    """
    try:
        if app.tls_self_signed:
            from nbrpc.app.certificate import self_signed_context

            return self_signed_context(app.host, app.tls_ca or None)
        if app.tls_cert:
            from nbrpc.transports.certificates import server_context

            return server_context(TLS(app.tls_cert, app.tls_key or None, app.tls_ca or None))
    except (OSError, ValueError) as exc:
        raise Mistake(str(exc)) from exc
    return None


def _announce(server: Server) -> None:
    address = server.address
    if address.host in ("0.0.0.0", "::"):  # noqa: S104 - it is everywhere, and no address
        address = replace(address, host=socket.gethostname())
    if address.path is None:  # the mode of a Unix socket is what lets its user in
        address = address.with_token(server.token)
    say(address.url_with_token)
    if server.allow_code:
        sys.stderr.write(f"clients may run code, {AS_THIS_PROCESS}\n")
    if sys.stderr.isatty():
        sys.stderr.write("serving; Ctrl-C ends it\n")


def _announcement(server: Server) -> contextlib.AbstractContextManager[Any]:
    """Announce a server on the network.

    Raises
    ------
    Mistake
        It cannot be announced.
    """
    from nbrpc.reach import discovery

    try:
        announcement = discovery.Announcement(server.name, server.address)
    except NbrpcError as exc:
        raise Mistake(str(exc)) from exc
    if discovery.is_loopback(server.address.host):
        sys.stderr.write(
            f"announced to this machine only, since it listens on {server.address.host}; "
            "--host says where else\n"
        )
    return announcement


@contextlib.contextmanager
def _ended_by_signals(server: Server) -> Iterator[None]:
    """End the server on SIGTERM, and when its terminal is closed, as on Ctrl-C."""
    done = threading.Event()
    ending: list[threading.Thread] = []

    def end() -> None:
        server.close()
        if not done.wait(LAST_WORDS):
            os._exit(0)

    def on_signal(*_: object) -> None:
        # Not here: this may be in the middle of anything on the main thread, locks included.
        thread = threading.Thread(target=end, name="nbrpc-end", daemon=True)
        ending.append(thread)
        thread.start()

    kept = {}
    for name in ("SIGTERM", "SIGHUP"):
        number = getattr(signal, name, None)
        # Who started us under nohup wants no SIGHUP.
        if number is not None and signal.getsignal(number) is not signal.SIG_IGN:
            kept[number] = signal.signal(number, on_signal)
    try:
        yield
    finally:
        done.set()
        for thread in ending:  # or the process would end before it has tidied up
            thread.join(LAST_WORDS)
        for number, handler in kept.items():
            signal.signal(number, handler)
