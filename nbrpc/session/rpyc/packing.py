"""Containers and arrays as tuples that RPyC can copy, and back.

It stands alone, in a Python as old as 3.7: its text is sent to RPyC peers that let this side run
code, and runs there as it does here. A tuple begins with what it stands for.
"""

from __future__ import annotations

from typing import Any

__all__ = ["pack", "unpack"]

PLAIN = (type(None), bool, int, float, complex, str, bytes)

DEEPEST = 60


def pack(obj: Any, path: str = "value", depth: int = 0) -> tuple[Any, ...]:
    """Give an object as tuples of plain values; TypeError, with the path, for what cannot be."""
    kind = type(obj)
    if kind in PLAIN:
        return ("value", obj)
    if depth > DEEPEST:
        raise TypeError(path + " is nested too deeply, or contains itself")
    if kind is list and all(type(item) in PLAIN for item in obj):
        return ("values", tuple(obj))
    if kind in (list, tuple, set, frozenset):
        items = [pack(item, f"{path}[{i}]", depth + 1) for i, item in enumerate(obj)]
        return (kind.__name__, tuple(items))
    if isinstance(obj, dict) and (kind is dict or kind.__module__ == "collections"):
        keys = [pack(key, path + ".keys()", depth + 1) for key in obj]
        items = [pack(item, f"{path}[{key!r}]", depth + 1) for key, item in obj.items()]
        return ("dict", tuple(keys), tuple(items))
    if kind is bytearray:
        return ("bytearray", bytes(obj))
    if kind.__module__ == "numpy" and hasattr(obj, "dtype") and not obj.dtype.hasobject:
        if kind.__name__ == "ndarray":
            return ("ndarray", obj.dtype.str, tuple(obj.shape), obj.tobytes())
        if hasattr(obj, "item"):
            return ("scalar", obj.dtype.str, obj.tobytes())
    if kind.__module__ == "collections" and kind.__name__ == "deque":
        return pack(list(obj), path, depth)
    raise TypeError(f"{path} is a {kind.__name__}, which cannot be copied")


def unpack(packed: tuple[Any, ...]) -> Any:
    """Give the object that `pack` packed."""
    kind = packed[0]
    if kind == "value":
        return packed[1]
    if kind == "values":
        return list(packed[1])
    if kind == "dict":
        return dict(zip(map(unpack, packed[1]), map(unpack, packed[2])))  # noqa: B905 - old Python
    if kind == "bytearray":
        return bytearray(packed[1])
    if kind == "ndarray":
        import numpy

        return numpy.frombuffer(bytearray(packed[3]), packed[1]).reshape(packed[2])
    if kind == "scalar":
        import numpy

        return numpy.frombuffer(packed[2], packed[1])[0]
    makers = {"list": list, "tuple": tuple, "set": set, "frozenset": frozenset}
    return makers[kind](map(unpack, packed[1]))
