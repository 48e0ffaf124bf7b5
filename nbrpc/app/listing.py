"""``nbrpc list``."""

from __future__ import annotations

import sys
from collections.abc import Sequence

from nbrpc.app.command import Command, say
from nbrpc.connection_file import running

__all__ = ["ListApp"]


class ListApp(Command):
    """``nbrpc list``: the running servers of this user."""

    name = "nbrpc-list"
    description = "List this user's running servers on this machine, the newest first."

    def start(self) -> None:
        """Print a table; without servers say so on stderr, so that scripts read an empty list."""
        servers = running()
        if not servers:
            sys.stderr.write("none of your servers is running\n")
            return
        rows = [("NAME", "URL", "SERVICE", "CODE", "PID")]
        rows += [
            (item.name, item.url, item.service, "yes" if item.allow_code else "no", str(item.pid))
            for item in servers
        ]
        _print_table(rows)


def _print_table(rows: Sequence[Sequence[str]]) -> None:
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    for row in rows:
        cells = (f"{cell:<{width}}" for cell, width in zip(row, widths, strict=True))
        say("  ".join(cells).rstrip())
