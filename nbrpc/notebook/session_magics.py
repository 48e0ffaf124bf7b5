"""Named sessions in a notebook: ``%rpc_sessions``, and what ``%rpc_connect --session`` shows."""

from __future__ import annotations

import os
import time
from collections.abc import Iterable
from pathlib import PurePath
from typing import Any

from IPython.core.error import UsageError
from IPython.core.magic import Magics, magics_class
from IPython.core.magic_arguments import argument, magic_arguments
from IPython.display import display

from nbrpc.errors import NbrpcError
from nbrpc.notebook.connections import Connections
from nbrpc.notebook.lines import line_magic, parsed, plainly, show
from nbrpc.objects.text import printable
from nbrpc.session.named_sessions import SessionInfo
from nbrpc.widgets import page
from nbrpc.widgets.result_board import ResultBoard

__all__ = ["SessionMagics", "notebook_name", "show_attached"]

ACTIONS = ("attach", "restart", "end", "results")


@magics_class
class SessionMagics(Magics):
    """Sessions of servers, which outlive connections."""

    def __init__(self, shell: Any, connections: Connections) -> None:
        super().__init__(shell)
        self._connections = connections

    @line_magic
    @plainly
    @magic_arguments()
    @argument("action", nargs="?", default="", help="attach, restart, end or results; else list")
    @argument("session", nargs="?", default="", help="its name (default: that of the connection)")
    @argument("-t", "--targets", default="", help="connection (default: the current one)")
    def rpc_sessions(self, line: str) -> None:
        """List the sessions of servers; attach to one, restart, end one, or see its results.

        Variables of remote cells, running cells and their results are kept in a session when the
        connection is lost or this kernel restarts. `restart` stops what runs there and begins with
        a fresh namespace; the memory is given back.
        """
        arguments = parsed(self.rpc_sessions, line)
        # IPython leaves quotes where they are.
        action, name = arguments.action, arguments.session.strip("'\"")
        if not action:
            chosen = self._connections.several(arguments.targets or "all")
            show(listed(chosen.items()))
            return
        if action not in ACTIONS:
            raise UsageError(
                f"%rpc_sessions knows no {action}: it is attach, restart, end or results, or "
                "nothing for a list"
            )
        connection = self._connections.get(arguments.targets)
        sessions = connection.sessions
        if action == "attach":
            if not name:
                raise UsageError("%rpc_sessions attach needs the name of a session")
            sessions.attach(name)
            show_attached(connection)
        elif action in ("restart", "end"):
            try:
                getattr(sessions, action)(name)
            except TimeoutError as error:  # done, but for a cell that cannot be stopped
                raise UsageError(str(error)) from None
            done = "has begun anew" if action == "restart" else "is ended"
            print(f"session {name or sessions.attached} {done}")  # noqa: T201 - in the cell
        else:
            if name and name != sessions.attached:
                raise UsageError(f"attach to {name} first: %rpc_sessions attach {name}")
            title = f"results of session {sessions.attached}"
            display(ResultBoard(sessions.results(), title=title))


def listed(connections: Iterable[tuple[str, Any]]) -> dict[str, str]:
    """Give a table of the sessions of these connections; a server with several is asked once."""
    rows: list[tuple[str, ...]] = []
    notes: list[str] = []
    asked: set[str] = set()
    for name, connection in connections:
        if connection.url in asked or not connection.allows_code:
            continue
        asked.add(connection.url)
        try:
            rows += [row_of(info, name, connection) for info in connection.sessions]
        except NbrpcError as error:
            notes.append(f"{name}: {printable(str(error))}")
    heads = ("session", "server", "variables", "cell", "results", "connections", "ends in")
    text = "\n".join([*("  ".join(row) for row in [heads, *rows] if rows), *notes])
    html = page.table(heads, rows, name="nbrpc-sessions") if rows else ""
    nothing = "no sessions: %rpc_connect --session NAME begins one"
    shown = html + "".join(f"<p>{page.text(note)}</p>" for note in notes)
    return {"text/html": shown or nothing, "text/plain": text or nothing}


def row_of(info: SessionInfo, name: str, connection: Any) -> tuple[str, ...]:
    """Give the row of a session in a table."""
    attached = connection.sessions.attached == info.name
    return (
        f"{page.name(info.name)} ({name})" if attached else page.name(info.name),
        page.name(str(connection.name)),
        f"{info.variables:,}",
        running(info) or "-",
        f"{info.results:,}",
        f"{info.connections:,}",
        "-" if info.expires_in is None else page.duration(info.expires_in),
    )


def running(info: SessionInfo) -> str:
    """Say what runs in a session; empty for nothing."""
    if info.running_for is None:
        return ""
    return f"{page.name(info.running)} (for {page.duration(info.running_for)})"


def show_attached(connection: Any) -> None:
    """Say what a connection finds in the session that it was attached to; show what runs there."""
    sessions = connection.sessions
    info = sessions.information()
    name = page.name(info.name)
    if sessions.began_anew:
        print(f"session {name}: a new one; it outlives this connection and this kernel")  # noqa: T201 - in the cell
        return
    since = time.strftime("%d %b %H:%M", time.localtime(info.created))
    parts = [f"session {name}, since {since}", f"{info.variables:,} variables"]
    parts.append(f"{info.results:,} results (%rpc_sessions results shows them)")
    if info.connections > 1:
        parts.append(f"shared with {info.connections - 1} other connections")
    print(", ".join(parts))  # noqa: T201 - in the cell
    for result in sessions.results() if info.running else ():
        if result.took is None:
            display(result)


def notebook_name(shell: Any) -> str:
    """Give the name of the notebook of this kernel, as Jupyter or VS Code tells it.

    Raises
    ------
    ValueError
        Neither does.
    """
    path = shell.user_ns.get("__vsc_ipynb_file__") or os.environ.get("JPY_SESSION_NAME")
    name = printable(PurePath(str(path or "")).stem)
    if not name:
        raise ValueError(
            "Jupyter does not tell the name of this notebook here: name the session, as in "
            "--session NAME"
        )
    return name[:100]
