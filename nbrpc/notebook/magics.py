"""The magics: ``%rpc_connect`` and its kin, ``%%remote``, ``%remote``, ``%%rpc_on``.

A mistake of the user (a wrong flag, an unknown name, no server) is told in one line.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from IPython.core.error import UsageError
from IPython.core.magic import Magics, magics_class
from IPython.core.magic import cell_magic as untyped_cell_magic
from IPython.core.magic import line_magic as untyped_line_magic
from IPython.core.magic_arguments import argument, magic_arguments, parse_argstring
from IPython.display import display

from nbrpc.errors import NbrpcError
from nbrpc.notebook import page, remote_cell
from nbrpc.notebook.connections import NoConnection
from nbrpc.notebook.display import connection_bundle, error_of, latency
from nbrpc.notebook.remote_cell import Player
from nbrpc.notebook.tracebacks import brief, presentable

if TYPE_CHECKING:
    from nbrpc.notebook.extension import Extension

__all__ = ["RpcMagics"]

cell_magic: Any = untyped_cell_magic
line_magic: Any = untyped_line_magic

FIRST_LINE = 2
"""Of a remote cell in the editor: the magic stands in line 1."""


def plainly(method: Callable[..., Any]) -> Callable[..., Any]:
    """Turn what a user can do wrong into one line, without frames of ours.

    The name and docstring must stay for IPython, but not ``__wrapped__``: it would find the
    undecorated method by it.
    """

    def call(self: RpcMagics, line: str, *rest: str) -> Any:
        if {"--help", "-h"} & set(line.split()):
            print(call.__doc__)  # noqa: T201 - that is what was asked for
            return None
        try:
            return method(self, line, *rest)
        except (NoConnection, ValueError) as error:
            raise UsageError(str(error)) from None
        except NbrpcError as error:
            brief(error)
            raise

    for name in ("__name__", "__qualname__", "__doc__", "__module__"):
        setattr(call, name, getattr(method, name))
    for name, value in vars(method).items():
        setattr(call, name, value)
    return call


@magics_class
class RpcMagics(Magics):
    """Remote objects and remote cells."""

    def __init__(self, shell: Any, extension: Extension) -> None:
        super().__init__(shell)
        self._shell = shell
        self._extension = extension
        self._connections = extension.connections

    # -- connections -----------------------------------------------------------------------------

    @line_magic
    @plainly
    @magic_arguments()
    @argument("target", nargs="?", default="", help="URL, name of a server of yours, or host:port")
    @argument("--name", "-n", default="conn", help="variable for the connection (default: conn)")
    @argument("--token", help="token of the server; servers of yours on this machine need none")
    def rpc_connect(self, line: str) -> None:
        """Connect to a server and show the connection."""
        arguments = parsed(self.rpc_connect, line)
        name = identifier(arguments.name)
        connection = self._connections.connect(arguments.target, name, arguments.token)
        connection.ping()  # the card shows how long a round trip takes
        self._shell.user_ns[name] = connection
        show(connection_bundle(connection, name))

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
                    "closed" if connection.closed else "open",
                    latency(connection),
                    f"{figures.requests_sent:,}",
                    f"{figures.bytes_sent:,} / {figures.bytes_received:,}",
                )
            )
        heads = ("name", "server", "address", "state", "round trip", "calls", "bytes out / in")
        text = "\n".join("  ".join(row) for row in rows) or "no connections"
        html = page.table(heads, rows, name="nbrpc-connections") if rows else "no connections"
        show({"text/html": html, "text/plain": text})

    # -- remote code -----------------------------------------------------------------------------

    @cell_magic("remote")
    @plainly
    @magic_arguments()
    @argument("targets", nargs="?", default="", help="connection, N1,N2, or all (default: current)")
    @argument(
        "-a", "--async", dest="detach", action="store_true", help="do not wait: an AsyncResult"
    )
    @argument("--as", dest="name", help="variable for the AsyncResult of -a")
    @argument("-i", "--push", action="append", default=[], help="variables to copy there, first")
    @argument(
        "-o", "--pull", action="append", default=[], help="variables to copy here, at the end"
    )
    @argument("--timeout", type=float, help="seconds after which waiting ends")
    @argument(
        "-t", "--targets", dest="several", default="", help="run on several connections at once"
    )
    def remote_cell(self, line: str, cell: str) -> Any:
        """Run the cell on a connection."""
        arguments = parsed(self.remote_cell, line)
        if arguments.detach:
            return self._start_detached(arguments, cell)
        players = self._start(arguments, cell)
        remote_cell.wait(list(players.values()))
        remote_cell.finish(self._shell, players)
        return None

    async def remote_cell_async(self, line: str, cell: str) -> Any:
        """Run the cell as `remote_cell` does, while the loop goes on; what ``%%remote`` becomes."""
        if {"--help", "-h"} & set(line.split()):
            return self.remote_cell(line, cell)
        try:
            arguments = parsed(self.remote_cell, line)
            if arguments.detach:
                return self._start_detached(arguments, cell)
            players = self._start(arguments, cell)
        except (NoConnection, ValueError) as error:
            raise UsageError(str(error)) from None
        except NbrpcError as error:
            brief(error)
            raise
        await remote_cell.wait_async(list(players.values()))
        remote_cell.finish(self._shell, players)
        return None

    @line_magic("remote")
    @plainly
    def remote_expression(self, line: str) -> Any:
        """Evaluate an expression on the current connection; give its value, or a proxy.

        %remote EXPR
        """
        if not line.strip():
            raise UsageError("%remote needs an expression, such as %remote 1 + 1")
        result = allowed(self._connections.get()).evaluate(line.strip())
        player = Player(self._shell, result)
        remote_cell.wait([player])
        error = error_of(result)
        if error is not None:
            raise presentable(error)
        return result.value

    @line_magic
    @plainly
    @magic_arguments()
    @argument("names", nargs="+", help="variables")
    @argument("-t", "--targets", dest="targets", default="", help="connections (default: current)")
    def rpc_push(self, line: str) -> None:
        """Copy variables to the namespace of remote cells, by value."""
        arguments = parsed(self.rpc_push, line)
        self._move(arguments.targets, push=names_of(arguments.names), pull=[])

    @line_magic
    @plainly
    @magic_arguments()
    @argument("names", nargs="+", help="variables")
    @argument("-t", "--targets", dest="targets", default="", help="connections (default: current)")
    def rpc_pull(self, line: str) -> None:
        """Copy variables from the namespace of remote cells, by value."""
        arguments = parsed(self.rpc_pull, line)
        self._move(arguments.targets, push=[], pull=names_of(arguments.names))

    # -- results and events ----------------------------------------------------------------------

    @line_magic
    @plainly
    @magic_arguments()
    @argument("results", nargs="*", help="AsyncResults (default: all that are displayed)")
    @argument("--timeout", type=float, help="seconds after which waiting ends")
    def rpc_wait(self, line: str) -> None:
        """Wait until results have ended and their displays are final."""
        arguments = parsed(self.rpc_wait, line)
        results = [self._evaluate(expression) for expression in arguments.results]
        remote_cell.wait_ended(results or self._extension.views.results(), arguments.timeout)
        self._extension.views.settle()

    @cell_magic
    @plainly
    def rpc_on(self, line: str, cell: str) -> None:
        """Run the cell for every event of an expression; `event` is what the event brought.

        %%rpc_on EXPR
        """
        if not line.strip():
            raise UsageError("%%rpc_on needs an event, such as %%rpc_on conn.root.alarm")
        event = self._evaluate(line.strip())
        if not callable(getattr(event, "subscribe", None)):
            raise UsageError(f"{line.strip()} is not an event that can be subscribed to")
        self._extension.handlers.subscribe(line.strip(), event, cell)

    # -- helpers ---------------------------------------------------------------------------------

    def _start(self, arguments: Any, cell: str) -> dict[str, Player]:
        if arguments.name:
            raise UsageError("--as names the AsyncResult of a cell that runs with -a")
        chosen = self._connections.several(arguments.several or arguments.targets)
        for connection in chosen.values():
            allowed(connection)
        push, pull = self._values(names_of(arguments.push)), names_of(arguments.pull)
        players = {}
        for name, connection in chosen.items():
            result = connection.run_cell(cell, first_line=FIRST_LINE, push=push, pull=pull)
            if arguments.timeout is not None:
                result.set_expiry(arguments.timeout)
            players[name] = Player(self._shell, result, f"[{name}] " if len(chosen) > 1 else "")
        return players

    def _start_detached(self, arguments: Any, cell: str) -> Any:
        name = arguments.name and identifier(arguments.name)
        arguments.name = None
        players = self._start(arguments, cell)
        if len(players) > 1:
            raise UsageError("-a runs on one connection at a time")
        (player,) = players.values()
        if arguments.pull:
            remote_cell.bind_when_ready(player.result, self._shell.user_ns)
        if name:
            self._shell.user_ns[name] = player.result
        return player.result

    def _move(self, targets: str, push: list[str], pull: list[str]) -> None:
        chosen = self._connections.several(targets)
        values = self._values(push)
        players = {
            name: Player(self._shell, allowed(connection).run_cell("", push=values, pull=pull))
            for name, connection in chosen.items()
        }
        remote_cell.wait(list(players.values()))
        remote_cell.finish(self._shell, players)

    def _values(self, names: list[str]) -> dict[str, Any]:
        missing = [name for name in names if name not in self._shell.user_ns]
        if missing:
            raise UsageError(f"no variable is called {missing[0]} here")
        return {name: self._shell.user_ns[name] for name in names}

    def _evaluate(self, expression: str) -> Any:
        try:
            return self._shell.ev(expression)
        except (SyntaxError, NameError) as error:
            raise UsageError(f"{expression!r} cannot be evaluated: {error}") from None


def parsed(magic: Any, line: str) -> Any:
    """Read the arguments of a magic.

    Raises
    ------
    UsageError
        They cannot be understood.
    """
    try:
        return parse_argstring(magic, line)
    except (UsageError, ValueError) as error:
        said = str(error).removesuffix(".")
        sign = "%%" if magic.__name__ == "remote_cell" else "%"
        name = magic.__name__.removesuffix("_cell")
        raise UsageError(f"{said}; {sign}{name} --help shows what there is") from None


def show(bundle: dict[str, str]) -> None:
    """Display a bundle in the cell."""
    display(bundle, raw=True)


def allowed(connection: Any) -> Any:
    """Give the connection back if it lets us run code there.

    Raises
    ------
    ValueError
        It does not.
    """
    if not connection.allows_code and not connection.closed:
        raise ValueError(
            f"{connection.name} does not let clients run code: start that server with "
            "--allow-code, or use what it exposes"
        )
    return connection


def names_of(values: list[str]) -> list[str]:
    """Split comma-separated names.

    Raises
    ------
    ValueError
        One is not a variable's name.
    """
    return [identifier(name.strip()) for item in values for name in item.split(",") if name.strip()]


def identifier(name: str) -> str:
    """Give a name back if a variable can have it.

    Raises
    ------
    ValueError
        It cannot.
    """
    if not name.isidentifier():
        raise ValueError(f"{name!r} is not a variable's name")
    return name
