"""Names for Tab and ``?`` without IPython, and without running any code of the objects.

It stands alone, in a Python as old as 3.8: its text runs on RPyC peers as well, see
`nbrpc.session.rpyc.copying.carried`.
"""

from __future__ import annotations

import builtins
import inspect
import keyword
import re
from types import ModuleType
from typing import Any

__all__ = ["complete_name", "document_name", "name_at"]

DOTTED = re.compile(r"[^\W\d]\w*(?:\.[^\W\d]\w*)*")
UNFINISHED = re.compile(r"(?:([^\W\d]\w*(?:\.[^\W\d]\w*)*)\.)?(\w*)$")


def name_at(source: str, cursor: int) -> str:
    """Give the dotted name at `cursor`, or the one that is called there; empty if there is none."""
    called = ""
    for match in DOTTED.finditer(source):
        if match.start() <= cursor <= match.end():
            dot = source.find(".", cursor, match.end())
            return source[match.start() : dot if dot >= 0 else match.end()]
        if match.end() < cursor and source[match.end() : cursor].startswith("("):
            called = match.group()
    return called


def complete_name(source: str, cursor: int, namespace: dict[str, Any]) -> dict[str, Any]:
    """Complete the name before `cursor`, in the form of Jupyter's ``complete_reply``."""
    match = UNFINISHED.search(source[:cursor])
    base, start = (match.group(1), match.group(2)) if match else (None, "")
    names: set[Any] = set()  # a namespace may have keys that are not str
    if base is None:
        names = {*namespace, *vars(builtins), *keyword.kwlist}
    else:
        found, target = _find(base, namespace)
        if found:
            names |= _members(target)
    matches = sorted(
        name
        for name in names
        if isinstance(name, str)
        and name.startswith(start)
        and (start.startswith("_") or not name.startswith("_"))
    )
    return {
        "matches": matches,
        "cursor_start": cursor - len(start),
        "cursor_end": cursor,
        "types": ["" for _ in matches],
    }


def document_name(
    source: str, cursor: int, namespace: dict[str, Any], *, detail: int = 0
) -> dict[str, Any]:
    """Describe the name at `cursor`, in the form of Jupyter's ``inspect_reply``."""
    name = name_at(source, cursor)
    target: Any
    found, target = _find(name, namespace) if name else (False, None)
    if not found:
        return {"found": False, "data": {}, "metadata": {}}
    lines = []
    if callable(target):
        try:
            lines.append(f"Signature: {name.rpartition('.')[2]}{inspect.signature(target)}")
        except (TypeError, ValueError):
            pass  # many builtins have none
    if detail:
        try:
            lines.append(f"Source:\n{inspect.getsource(target)}")
        except (TypeError, OSError):
            pass  # not Python, or its file is gone
    documentation = inspect.getdoc(target)
    if documentation:
        lines.append(f"Docstring:\n{documentation}")
    lines.append(f"Type: {type(target).__name__}")
    return {"found": True, "data": {"text/plain": "\n".join(lines)}, "metadata": {}}


def _find(dotted: str, namespace: dict[str, Any]) -> tuple[bool, Any]:
    first, *rest = dotted.split(".")
    if first in namespace:
        target = namespace[first]
    elif hasattr(builtins, first):
        target = getattr(builtins, first)
    else:
        return False, None
    for name in rest:
        try:
            target = inspect.getattr_static(target, name)
        except AttributeError:
            return False, None
        if isinstance(target, (staticmethod, classmethod)):
            target = target.__func__
    return True, target


def _members(target: object) -> set[str]:
    """Names that exist without asking the object: a ``__dir__`` is somebody's code."""
    if isinstance(target, ModuleType):
        return set(vars(target))
    names: set[str] = set()
    for owner in (type(target), target) if isinstance(target, type) else (type(target),):
        for ancestor in type.mro(owner) if owner is not type else [type]:
            names |= set(vars(ancestor))
    try:
        names |= set(object.__getattribute__(target, "__dict__"))
    except AttributeError:
        pass  # no instance dictionary; slots are found in the classes
    return names
