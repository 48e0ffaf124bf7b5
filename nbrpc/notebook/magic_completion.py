"""Tab on the line of a magic: its flags, and what stands behind them.

Names of connections and of servers (this user's, and those that announce themselves on the
network), variables of this notebook, and names of the remote namespace. What a flag takes is told
by its name in the magic's own parser.
"""

from __future__ import annotations

import argparse
import itertools
import re
from collections.abc import Callable, Iterable
from typing import Any

from nbrpc.connection_file import running
from nbrpc.notebook.connections import Connections
from nbrpc.notebook.serving import NAME
from nbrpc.notebook.session_magics import ACTIONS
from nbrpc.session.result import AsyncResult

__all__ = ["MagicCompletion"]

LINE = re.compile(r"\s*(?:[\w,\s]+=\s*)?(?<!%)(%%?)(\w+)[ \t]+(.*)\Z")
"""A magic, perhaps one whose value is bound, and what is typed behind it."""

PATIENCE = 0.3
"""Seconds for which Tab waits for the network; what answers later is there at the next Tab."""

TAKES = {
    ("rpc_connect", "target"): "server",
    ("rpc_connect", "name"): "connection",
    ("rpc_disconnect", "name"): "connection",
    ("rpc_sessions", "action"): "action",
    ("rpc_sessions", "targets"): "connection",
    ("rpc_use", "name"): "connection",
    ("rpc_push", "names"): "variable",
    ("rpc_pull", "names"): "remote",
    ("rpc_wait", "results"): "result",
    ("rpc_serve", "object"): "variable",
    ("remote_cell", "push"): "variable",
    ("remote_cell", "pull"): "remote",
    **dict.fromkeys(
        [
            (magic, flag)
            for magic in ("remote_cell", "rpc_push", "rpc_pull")
            for flag in ("targets", "several")
        ],
        "connections",
    ),
}
"""What the arguments of each magic are names of."""

SEPARATED = frozenset({"connections", "variable", "remote"})
"""Of which several may stand in one word, with commas between."""


class MagicCompletion:
    """Offers what may stand where the cursor is, on the line of one of nbrpc's magics.

    Parameters
    ----------
    remote_names
        Gives the names of a remote namespace that begin with a text: of the connection of these
        arguments of ``%%remote``.
    served
        Gives the names of what this kernel serves.
    """

    def __init__(
        self,
        shell: Any,
        connections: Connections,
        remote_names: Callable[[str, str], list[str]],
        served: Callable[[], list[str]],
    ) -> None:
        self._shell = shell
        self._connections = connections
        self._remote_names = remote_names
        self._served = served

    def match(self, before: str) -> tuple[list[str], str] | None:
        """Give what may stand there and what of it is typed already; None if that is no magic."""
        line = LINE.match(before)
        if line is None:
            return None
        way = "cell" if line[1] == "%%" else "line"
        magic = self._shell.magics_manager.magics[way].get(line[2])
        parser = getattr(magic, "parser", None)
        if not str(getattr(magic, "__module__", "")).startswith("nbrpc.") or parser is None:
            return None
        words = re.split(r"[ \t]+", line[3])
        typed = words.pop()
        if typed.startswith("-"):
            flags = {flag for action in actions_of(parser) for flag in action.option_strings}
            return [flag for flag in sorted(flags | {"--help"}) if flag.startswith(typed)], typed
        kind = TAKES.get((magic.__name__, expected(parser, words)), "")
        if "--stop" in words:
            kind = "served"
        done = ""
        if kind in SEPARATED:
            done, _, typed = typed.rpartition(",")
        if kind == "remote":
            return self._remote_names(self._targets(magic, words), typed), typed
        taken = {*done.split(","), *words} if kind in SEPARATED else set()
        names = (name for name in self._names(kind) if name not in taken)
        return [name for name in names if name.startswith(typed)], typed

    def _names(self, kind: str) -> Iterable[str]:
        if kind == "server":
            servers = running()
            names = [info.name for info in servers if info.name.split() == [info.name]]
            urls = [info.url for info in servers]
            others = [
                item
                for item in self._connections.announced(PATIENCE)
                if item.url.partition("/?")[0] not in urls
            ]
            names += [item.name for item in others if NAME.fullmatch(item.name)]
            return dict.fromkeys(names + urls + [item.url for item in others])
        if kind == "action":
            return ACTIONS
        if kind == "served":
            return sorted(self._served())
        if kind in ("connection", "connections"):
            names = sorted(name for name, _ in self._connections)
            return [*names, "all"] if kind == "connections" and len(names) > 1 else names
        hidden = getattr(self._shell, "user_ns_hidden", {})
        return [
            name
            for name, value in sorted(self._shell.user_ns.items())
            if kind in ("variable", "result")
            and not name.startswith("_")
            and hidden.get(name) is not value
            and (kind == "variable" or isinstance(value, AsyncResult))
        ]

    @staticmethod
    def _targets(magic: Any, words: list[str]) -> str:
        """Give the words of a line that say on which connection it runs."""
        if magic.__name__ == "remote_cell" and words and not words[0].startswith("-"):
            return words[0]
        chosen = [
            f"-t {value}"
            for flag, value in itertools.pairwise(words)
            if flag in ("-t", "--targets")
        ]
        return chosen[-1] if chosen else ""


def actions_of(parser: argparse.ArgumentParser) -> list[argparse.Action]:
    """Give the arguments that a parser knows."""
    return parser._actions  # noqa: SLF001 - argparse has no public way to them


def expected(parser: argparse.ArgumentParser, words: list[str]) -> str:
    """Name the argument that comes after these words; empty where none does."""
    flags = {flag: action for action in actions_of(parser) for flag in action.option_strings}
    free = [action for action in actions_of(parser) if not action.option_strings]
    awaited = None
    for word in words:
        if awaited is not None:
            awaited = None
        elif word in flags:
            action = flags[word]
            awaited = action if action.nargs != 0 else None
        elif free and not word.startswith("-") and free[0].nargs not in ("*", "+"):
            free.pop(0)
    if awaited is not None:
        return awaited.dest
    return free[0].dest if free else ""
