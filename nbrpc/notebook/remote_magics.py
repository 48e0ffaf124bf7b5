"""Running code on a connection: ``%%remote``, ``%remote``, ``%rpc_push`` and ``%rpc_pull``."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from IPython.core.error import UsageError
from IPython.core.magic import Magics, magics_class
from IPython.core.magic_arguments import argument, magic_arguments

from nbrpc.errors import NbrpcError
from nbrpc.notebook import remote_cell
from nbrpc.notebook.connections import NoConnection
from nbrpc.notebook.lines import (
    cell_magic,
    help_asked,
    identifier,
    line_magic,
    names_of,
    parsed,
    plainly,
)
from nbrpc.notebook.remote_cell import Player
from nbrpc.notebook.tracebacks import brief, presentable
from nbrpc.widgets.result_record import error_of

if TYPE_CHECKING:
    from nbrpc.notebook.extension import Extension

__all__ = ["RemoteMagics"]

FIRST_LINE = 2
"""Of a remote cell in the editor: the magic stands in line 1."""


@magics_class
class RemoteMagics(Magics):
    """Remote cells, and variables that are moved."""

    def __init__(self, shell: Any, extension: Extension) -> None:
        super().__init__(shell)
        self._shell = shell
        self._settings = extension.settings
        self._connections = extension.connections

    @cell_magic("remote")
    @plainly
    @magic_arguments("%remote")
    @argument("targets", nargs="?", default="", help="connection, N1,N2, or all (default: current)")
    @argument(
        "-a", "--async", dest="detach", action="store_true", help="do not wait: an AsyncResult"
    )
    @argument("--as", dest="name", help="variable for the AsyncResult of -a")
    @argument(
        "-i", "--push", action="append", default=[], metavar="NAMES", help="variables to copy there"
    )
    @argument(
        "-o",
        "--pull",
        action="append",
        default=[],
        metavar="NAMES",
        help="variables to copy here, at the end",
    )
    @argument("--timeout", type=float, metavar="S", help="seconds after which waiting ends")
    @argument(
        "-t",
        "--targets",
        dest="several",
        default="",
        metavar="N1,N2",
        help="run on several connections at once",
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
        if help_asked(self.remote_cell, line):
            return self.remote_cell(line, cell)
        try:
            arguments = parsed(self.remote_cell, line)
            if arguments.detach:
                return self._start_detached(arguments, cell)
            players = self._start(arguments, cell)
        except NbrpcError as error:  # first: what the remote raised may be a ValueError as well
            brief(error)
            raise
        except (NoConnection, ValueError) as error:
            raise UsageError(str(error)) from None
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

    # -- helpers ---------------------------------------------------------------------------------

    def _start(self, arguments: Any, cell: str) -> dict[str, Player]:
        if arguments.name:
            raise UsageError("--as names the AsyncResult of a cell that runs with -a")
        chosen = self._connections.several(arguments.several or arguments.targets)
        for connection in chosen.values():
            allowed(connection)
        push, pull = self._values(names_of(arguments.push)), names_of(arguments.pull)
        given = arguments.timeout
        timeout = self._settings.timeout if given is None else given
        players: dict[str, Player] = {}
        for name, connection in chosen.items():
            try:
                result = connection.run_cell(cell, first_line=FIRST_LINE, push=push, pull=pull)
            except BaseException:  # nobody would look at those that have begun
                for player in players.values():
                    player.result.cancel()
                raise
            if timeout is not None:
                result.set_expiry(timeout)
            players[name] = Player(self._shell, result, f"[{name}] " if len(chosen) > 1 else "")
        return players

    def _start_detached(self, arguments: Any, cell: str) -> Any:
        name = arguments.name and identifier(arguments.name)
        arguments.name = None
        if len(self._connections.several(arguments.several or arguments.targets)) > 1:
            raise UsageError("-a runs on one connection at a time")
        (player,) = self._start(arguments, cell).values()
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
