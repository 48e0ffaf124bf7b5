"""The magics for connections, results, events and what this kernel serves; and what is configured.

A mistake of the user (a wrong flag, an unknown name, no server) is told in one line.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from IPython.core.error import UsageError
from IPython.core.magic import Magics, magics_class
from IPython.core.magic_arguments import argument, magic_arguments
from IPython.display import display
from traitlets import Float, List, Unicode, observe

from nbrpc.notebook import remote_cell
from nbrpc.notebook.display import latency, show_card
from nbrpc.notebook.lines import (
    cell_magic,
    evaluated,
    identifier,
    line_magic,
    parsed,
    plainly,
    show,
)
from nbrpc.notebook.session_magics import notebook_name, show_attached
from nbrpc.objects.proxy import target_of
from nbrpc.session.result import AsyncResult
from nbrpc.widgets import live, page
from nbrpc.widgets.sanitize import trust

if TYPE_CHECKING:
    from nbrpc.notebook.extension import Extension

__all__ = ["RpcMagics"]

INSTEAD = "pass a function, which the service calls"


@magics_class
class RpcMagics(Magics):
    """Remote objects in this notebook."""

    connection_name = Unicode(
        "conn", help="Variable to which %rpc_connect binds a connection without --name."
    ).tag(config=True)
    timeout = Float(
        None,
        allow_none=True,
        help="Seconds after which a %%remote cell without --timeout ends; None waits for ever.",
    ).tag(config=True)
    trusted = List(
        Unicode(),
        help="Variables of connections whose rich output is shown as it is, scripts included; "
        "they count when %rpc_connect binds one of them. All other remotes are shown sanitised.",
    ).tag(config=True)
    pump_slice = Float(
        2.0,
        min=0.1,
        max=1000.0,
        help="Milliseconds for which callbacks run before the kernel may do something else.",
    ).tag(config=True)
    pump_rest = Float(
        2.0,
        min=0.0,
        max=1000.0,
        help="Milliseconds that the kernel then has for itself, if more callbacks wait.",
    ).tag(config=True)

    def __init__(self, shell: Any, extension: Extension) -> None:
        self._extension = extension  # before the configuration is read, which is observed
        super().__init__(shell)
        self._shell = shell
        self._connections = extension.connections

    @observe("pump_slice", "pump_rest")
    def _pace_changed(self, _: Any) -> None:
        self._extension.set_pace()

    # -- connections -----------------------------------------------------------------------------

    @line_magic
    @plainly
    @magic_arguments()
    @argument("target", nargs="?", default="", help="URL, name of a server of yours, or host:port")
    @argument("--name", "-n", default="", help="variable for the connection (default: conn)")
    @argument("--token", help="token of the server; servers of yours on this machine need none")
    @argument(
        "--trust", action="store_true", help="show its rich output as it is, scripts included"
    )
    @argument(
        "--session",
        nargs="?",
        const="",
        help="keep variables, cells and results under this name when the connection or this kernel "
        "ends (default: the name of the notebook)",
    )
    def rpc_connect(self, line: str) -> None:
        """Connect to a server and show the connection."""
        arguments = parsed(self.rpc_connect, line)
        name = identifier(arguments.name or self.connection_name)
        session = arguments.session
        if session is not None:  # IPython leaves quotes where they are
            session = session.strip("'\"") or notebook_name(self._shell)
        found = self._connections.connecting(arguments.target, name, arguments.token, session)
        with found as connection:
            if arguments.trust or name in self.trusted:
                trust(connection.session)
            connection.ping()  # the card shows how long a round trip takes
            self._shell.user_ns[name] = connection
            show_card(self._shell, connection, name)
            if session is not None:
                show_attached(connection)

    @line_magic
    @plainly
    @magic_arguments()
    @argument("name", nargs="?", default="", help="connection to close (default: the current one)")
    def rpc_disconnect(self, line: str) -> None:
        """Close a connection."""
        arguments = parsed(self.rpc_disconnect, line)
        name, connection = self._connections.disconnect(arguments.name)
        print(f"closed {name} ({connection.name})")  # noqa: T201

    @line_magic
    @plainly
    @magic_arguments()
    @argument("name", help="connection that %%remote and its kin use from now on")
    def rpc_use(self, line: str) -> None:
        """Choose the current connection."""
        arguments = parsed(self.rpc_use, line)
        connection = self._connections.use(arguments.name)
        print(f"using {arguments.name} ({connection.name})")  # noqa: T201

    @line_magic
    @plainly
    @magic_arguments()
    def rpc_connections(self, line: str) -> None:
        """Show the connections: state, latency, traffic."""
        parsed(self.rpc_connections, line)
        rows = []
        for name, connection in self._connections:
            figures = connection.statistics()
            rows.append(
                (
                    f"{name} *" if name == self._connections.current else name,
                    str(connection.name),
                    str(connection.url),
                    connection.protocol,
                    connection.state,
                    latency(connection),
                    f"{figures.requests_sent:,}",
                    f"{figures.bytes_sent:,} / {figures.bytes_received:,}",
                )
            )
        first = ("name", "server", "address", "speaks", "state")
        heads = (*first, "round trip", "calls", "bytes out / in")
        text = "\n".join("  ".join(row) for row in rows) or "no connections"
        html = page.table(heads, rows, name="nbrpc-connections") if rows else "no connections"
        show({"text/html": html, "text/plain": text})

    # -- results and events ----------------------------------------------------------------------

    @line_magic
    @plainly
    @magic_arguments()
    @argument("results", nargs="*", help="AsyncResults (default: all that are displayed)")
    @argument("--timeout", type=float, metavar="S", help="seconds after which waiting ends")
    def rpc_wait(self, line: str) -> None:
        """Wait until results have ended and their displays are final."""
        arguments = parsed(self.rpc_wait, line)
        results = [self._result(expression) for expression in arguments.results]
        remote_cell.wait_ended(results or self._extension.displays.results(), arguments.timeout)
        self._extension.displays.settle()
        live.send_states()

    @cell_magic
    @plainly
    def rpc_on(self, line: str, cell: str) -> None:
        """Run the cell for every event of an expression; `event` is what the event brought.

        %%rpc_on EXPR
        """
        if not line.strip():
            raise UsageError("%%rpc_on needs an event, such as %%rpc_on conn.root.alarm")
        event = evaluated(self._shell, line.strip())
        target = target_of(event)
        if target is not None and target[0].nests:
            raise UsageError(f"{target[0].name} speaks RPyC, which has no events: {INSTEAD}")
        if not callable(getattr(event, "subscribe", None)):
            raise UsageError(f"{line.strip()} is not an event that can be subscribed to")
        self._extension.handlers.subscribe(line.strip(), event, cell)

    @line_magic
    @plainly
    @magic_arguments()
    def rpc_events(self, line: str) -> None:
        """Show the subscriptions of this kernel, live: rate, received, dropped, errors."""
        from nbrpc.widgets.subscription_table import SubscriptionTable

        parsed(self.rpc_events, line)
        display(SubscriptionTable(self._connections.name_of))
        without = [name for name, connection in self._connections if connection.session.nests]
        if without:
            speak = "speaks" if len(without) == 1 else "speak"
            # its output
            print(f"{', '.join(without)} {speak} RPyC, which has no events: {INSTEAD}")  # noqa: T201

    def _result(self, expression: str) -> AsyncResult:
        result = evaluated(self._shell, expression)
        if not isinstance(result, AsyncResult):
            raise UsageError(f"{expression} is no AsyncResult")
        return result

    # -- serving ---------------------------------------------------------------------------------

    @line_magic
    @plainly
    @magic_arguments()
    @argument("object", nargs="*", help="object to serve (default: list what is served)")
    @argument("--name", "-n", default="", help="name of the server (default: the expression)")
    @argument("--port", "-p", type=int, default=0, help="port to listen on (default: a free one)")
    @argument("--writable", action="store_true", help="let callers set public attributes as well")
    @argument(
        "--stop", action="store_true", help="end the server of that name, or all without a name"
    )
    def rpc_serve(self, line: str) -> None:
        """Serve an object of this kernel to other programs of this user.

        Of a Service what it exposes is served, of any other object its public attributes: the names
        without a leading underscore, of it and of what its methods give by reference. Calls
        run on this kernel's main thread, between cells and while a cell waits.
        """
        arguments = parsed(self.rpc_serve, line)
        expression = " ".join(arguments.object)
        servers = self._extension.servers
        if arguments.stop:
            for server in servers.stop(arguments.name or expression):
                print(f"stopped {server.name} ({server.url})")  # noqa: T201 - in the cell
        elif expression:
            target = evaluated(self._shell, expression)
            server = servers.serve(
                target, arguments.name, expression, arguments.port, writable=arguments.writable
            )
            print(servers.described(server))  # noqa: T201 - in the cell
        else:
            print("\n".join(map(repr, servers)) or "nothing is served")  # noqa: T201 - in the cell
