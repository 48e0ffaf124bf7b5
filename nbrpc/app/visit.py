"""``nbrpc ping`` and ``nbrpc inspect``: commands that connect to a running server."""

from __future__ import annotations

import time

from traitlets import Float, Int, Unicode

from nbrpc.app.command import WRONG_USAGE, Command, Mistake, read_token, say
from nbrpc.client import Connection, connect
from nbrpc.connection_file import find_by_name, running
from nbrpc.errors import NbrpcError
from nbrpc.objects.text import printable
from nbrpc.service import Service
from nbrpc.transports.address import Address, parse

__all__ = ["InspectApp", "PingApp", "find"]

ALWAYS_THERE = frozenset(name for name in dir(Service) if not name.startswith("_"))


class Visit(Command):
    """A command that connects to a server, named by the one positional argument."""

    arguments_wanted = (1, "one URL or server name")

    timeout = Float(10.0, min=0.001, help="Seconds to wait for an answer.").tag(config=True)
    token_file = Unicode(help="A file that holds the token.").tag(config=True)

    aliases = {  # noqa: RUF012 - as in traitlets
        **Command.aliases,
        "timeout": "Visit.timeout",
        "token-file": "Visit.token_file",
    }

    def start(self) -> None:
        """Connect, do what the command is for, and close.

        Raises
        ------
        Mistake
            The server is not found, does not answer, or does not let us in.
        """
        if not self.extra_args:
            raise Mistake(
                f"say which server: {self.shown_name} URL, or a name that nbrpc list shows",
                WRONG_USAGE,
            )
        address = find(self.extra_args[0])
        if self.token_file:
            address = address.with_token(read_token(self.token_file))
        try:
            with connect(address.url_with_token, timeout=self.timeout) as connection:
                self.visit(connection, address)
        except (NbrpcError, OSError) as exc:
            raise Mistake(str(exc)) from exc

    def visit(self, connection: Connection, address: Address) -> None:
        """Do what the command is for."""
        raise NotImplementedError


class PingApp(Visit):
    """``nbrpc ping``: round trip times to a server."""

    name = "nbrpc-ping"
    description = "Measure round trips to a server, given by URL or name."
    examples = "nbrpc ping bench\nnbrpc ping nbrpc://127.0.0.1:18861 --count 100"

    count = Int(5, min=1, help="How many round trips to measure.").tag(config=True)

    aliases = {  # noqa: RUF012 - as in traitlets
        **Visit.aliases,
        "count": "PingApp.count",
    }

    def visit(self, connection: Connection, address: Address) -> None:
        """Print each round trip, then the least, the median and the greatest."""
        times: list[float] = []
        for number in range(1, self.count + 1):
            started = time.perf_counter()
            connection.ping()
            times.append((time.perf_counter() - started) * 1000)
            say(f"{address.name}: {number}: {times[-1]:.3f} ms")
        ordered = sorted(times)
        say(
            f"{self.count} round trips: least {ordered[0]:.3f} ms, "
            f"median {ordered[len(ordered) // 2]:.3f} ms, greatest {ordered[-1]:.3f} ms"
        )


class InspectApp(Visit):
    """``nbrpc inspect``: what a server exposes."""

    name = "nbrpc-inspect"
    description = "Show what a server exposes, with signatures; the server is given by URL or name."
    examples = "nbrpc inspect bench"

    def visit(self, connection: Connection, address: Address) -> None:
        """Print what is served, then one line for each member and one for its documentation."""
        peer = connection.peer
        about = [f"pid {peer['pid']}" if peer.get("pid") else "", connection.protocol]
        if connection.allows_code:
            about.append("clients may run code")
        head = f"{peer.get('service') or 'a service'} at {address.url}"
        say(printable(f"{head} ({', '.join(filter(None, about))})"))
        # With remote code every public name can be reached, those that every service has as well.
        members = [row for row in connection.describe() if row[0] not in ALWAYS_THERE]
        if not members:
            say("  nothing is exposed")
        width = max((len(kind) for _, kind, _, _ in members), default=0)
        if connection.session.nests:
            say("  (RPyC tells no signatures)")
        for name, kind, signature, doc in members:
            say(printable(f"  {kind:<{width}}  {name}{signature or ''}"))
            told = "" if kind == "data" else doc or ""  # data has only what its class says
            for line in told.strip().splitlines()[:1]:
                say(printable(f"  {'':<{width}}      {line.strip()}"))


def find(server: str) -> Address:
    """Give the address, with the token if it is known, for a URL or the name of a server.

    Raises
    ------
    Mistake
        It is neither.
    """
    if ":" in server:
        try:
            return parse(server)
        except ValueError as exc:
            raise Mistake(str(exc), WRONG_USAGE) from exc
    found = find_by_name(server)
    if found is not None:
        return parse(found.url).with_token(found.token)
    names = ", ".join(sorted({item.name for item in running()}))
    what = f"your running servers are {names}" if names else "none of your servers is running"
    raise Mistake(f"no running server of yours is called {server!r}: {what}")
