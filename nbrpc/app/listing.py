"""``nbrpc list``: servers, and the named sessions on them."""

from __future__ import annotations

import sys
from collections.abc import Iterator, Sequence

from traitlets import Bool

from nbrpc.app.command import WRONG_USAGE, Command, Mistake, check_discovery, say
from nbrpc.connection_file import ServerInfo, running
from nbrpc.objects.text import printable

__all__ = ["ListApp"]

PATIENCE = 5.0
"""Seconds that a server has to answer."""


class ListApp(Command):
    """``nbrpc list``: the running servers of this user."""

    name = "nbrpc-list"
    description = """List this user's running servers on this machine, the newest first; with
    --sessions the named sessions on those that let clients run code, and with --network the servers
    of anybody that announce themselves on the local network."""

    sessions = Bool(False, help="List the named sessions on the servers.").tag(config=True)

    network = Bool(False, help="List the servers that announce themselves on the network.").tag(
        config=True
    )

    flags = {  # noqa: RUF012 - as in traitlets
        **Command.flags,
        "sessions": ({"ListApp": {"sessions": True}}, "List the named sessions on the servers."),
        "network": ({"ListApp": {"network": True}}, "List what is announced on the network."),
    }

    def start(self) -> None:
        """Print a table; without servers say so on stderr, so that scripts read an empty list.

        Raises
        ------
        Mistake
            The network cannot be asked.
        """
        if self.network:
            if self.sessions:
                raise Mistake("give either --sessions or --network, not both", WRONG_USAGE)
            _list_network()
            return
        servers = running()
        if not servers:
            sys.stderr.write("none of your servers is running\n")
            return
        if self.sessions:
            _list_sessions(servers)
            return
        rows = [("NAME", "URL", "SERVICE", "CODE", "PID")]
        rows += [
            (item.name, item.url, item.service, "yes" if item.allow_code else "no", str(item.pid))
            for item in servers
        ]
        _print_table(rows)
        runs_code = [item.name for item in servers if item.allow_code]
        if runs_code:  # on stderr, for people: scripts read the column
            sys.stderr.write(
                f"clients may run code on {', '.join(runs_code)}, which can do all that you can\n"
            )


def _list_network() -> None:
    from nbrpc.reach.discovery import Neighbourhood

    check_discovery("--network")
    neighbourhood = Neighbourhood()
    servers = neighbourhood.look()
    if neighbourhood.problem:
        raise Mistake(neighbourhood.problem)
    if not servers:
        sys.stderr.write("no server announces itself: nbrpc serve --announce does\n")
        return
    rows = [(item.name, item.url, "yes" if item.tls else "no", item.host) for item in servers]
    _print_table([("NAME", "URL", "TLS", "HOST"), *rows])
    sys.stderr.write(  # for people: scripts read the table
        "anybody on the network can announce any name; a server's token shows that it is yours\n"
    )


def _list_sessions(servers: Sequence[ServerInfo]) -> None:
    rows = [row for item in servers if item.allow_code for row in _sessions_of(item)]
    if rows:
        heads = ("SESSION", "SERVER", "VARIABLES", "RUNNING", "RESULTS", "CONNECTIONS", "ENDS IN")
        _print_table([heads, *rows])
    else:
        sys.stderr.write("no sessions: %rpc_connect --session NAME in a notebook begins one\n")


def _sessions_of(item: ServerInfo) -> Iterator[tuple[str, ...]]:
    """Ask a server; one that does not answer is told on stderr, and the others are listed."""
    from nbrpc.client import connect
    from nbrpc.errors import NbrpcError

    try:
        with connect(item.url, token=item.token or None, timeout=PATIENCE) as connection:
            for info in connection.sessions:
                yield (
                    printable(info.name),
                    item.name,
                    str(info.variables),
                    printable(info.running) or "-",
                    str(info.results),
                    str(info.connections),
                    "never" if info.expires_in is None else _span(info.expires_in),
                )
    except NbrpcError as error:
        sys.stderr.write(f"{item.name}: {printable(str(error))}\n")


def _span(seconds: float) -> str:
    """Write a length of time with the unit that fits."""
    for unit, name in ((3600.0, "h"), (60.0, "min")):
        if seconds >= unit:
            return f"{seconds / unit:.0f} {name}"
    return f"{seconds:.0f} s"


def _print_table(rows: Sequence[Sequence[str]]) -> None:
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    for row in rows:
        cells = (f"{cell:<{width}}" for cell, width in zip(row, widths, strict=True))
        say("  ".join(cells).rstrip())
