"""What the code of a peer would be seen by: its canary, in what is compiled or loaded."""

from __future__ import annotations

import sys
from types import CodeType

__all__ = ["CANARY", "EVENTS", "watch"]

CANARY = "hostile_canary"
"""Every attack names something so, or gives code in which it stands."""

ALWAYS = frozenset(
    {
        "pickle.find_class",
        "os.system",
        "os.exec",
        "os.posix_spawn",
        "subprocess.Popen",
        "ctypes.dlopen",
    }
)
"""What nobody does here unless a peer had it done."""

NAMED = frozenset({"exec", "compile", "import", "open", "os.mkdir", "os.remove", "os.listdir"})
"""What is done here all the time, and counts where it names the canary."""

EVENTS: list[str] = []
"""What was seen, one line each."""


def _named(value: object) -> bool:
    if isinstance(value, str):
        return CANARY in value
    if isinstance(value, bytes):
        return CANARY.encode() in value
    if isinstance(value, CodeType):
        return any(_named(part) for part in (*value.co_names, *value.co_consts, value.co_filename))
    return False


def _hook(event: str, arguments: tuple[object, ...]) -> None:
    if event in ALWAYS or (event in NAMED and any(_named(argument) for argument in arguments)):
        EVENTS.append(f"{event} {arguments!r}"[:200])


def watch() -> None:
    """Note from now on what this interpreter does for a peer; it cannot be undone."""
    sys.addaudithook(_hook)
