"""What a proxy of data gives to libraries that read it as a whole: a copy, made when they ask.

numpy, Arrow, DLPack and Python itself have methods by which they take the data of an object that
they do not know. A proxy has those of them that the class of its object has; each fetches a copy in
one round trip and hands on what the copy gives. Nothing is kept: the remote object may change.

A copy that is not exactly what the remote object is would be a wrong answer, so it is refused.

No proxy has a buffer. C code may keep the address and let the buffer go, as numpy.frombuffer does,
and then read what was the memory of a copy.
"""

from __future__ import annotations

from collections import Counter, OrderedDict
from collections.abc import Callable
from typing import Any, Final

from nbrpc.errors import NotSendable
from nbrpc.objects.static import class_name
from nbrpc.protocol.messages import Operation

__all__ = [
    "DATA",
    "LIBRARIES",
    "MAPPINGS",
    "OFFERED",
    "SEQUENCES",
    "TOLD",
    "copied",
    "data_base",
    "is_data",
    "offers_of",
]

SEQUENCES: Final = frozenset({"list", "deque", "bytearray", "array"})
MAPPINGS: Final = frozenset({"dict", "defaultdict", "OrderedDict", "Counter"})
ARRAYS: Final = frozenset({"numpy.ndarray", "pandas.Series", "pandas.DataFrame"})
TABLES: Final = frozenset({"polars.DataFrame", "polars.Series", "pyarrow.Table"})
DATA: Final = SEQUENCES | MAPPINGS | {"set"} | ARRAYS | TABLES
"""What a description gives as ``base`` of objects that are data, and can be copied as a whole."""

LIBRARIES: Final = frozenset(base.partition(".")[0] for base in ARRAYS | TABLES)


def data_base(module: str, name: str) -> str | None:
    """Give the ``base`` that the name of a class of a library stands for, or None."""
    library = module.partition(".")[0]
    base = f"{library}.{name}"
    return base if library in LIBRARIES and base in ARRAYS | TABLES else None


CPU: Final = (1, 0)
"""Where DLPack finds a copy."""


def is_data(obj: object) -> bool:
    """Whether an object is a proxy of data, which can be copied as a whole."""
    return getattr(type(obj), "_nbrpc_is_data_", False) is True


def copied(proxy: Any) -> Any:
    """Give a copy of what a proxy stands for, in one round trip.

    Raises
    ------
    NotSendable
        It cannot be copied, or not as what it is.
    """
    value = proxy._nbrpc_session_.request(Operation.OBTAIN, proxy._nbrpc_oid_, "")
    name = proxy._nbrpc_description_.name
    if type(value) is dict and name in OF_DICT:
        return OF_DICT[name](value)
    is_proxy = hasattr(type(value), "_nbrpc_is_data_")
    if is_proxy or class_name(type(value)) != name.rpartition(".")[2]:
        raise NotSendable(
            f"there is no exact copy of a {name} of the peer: nbrpc.obtain(proxy) gives it as a "
            f"{class_name(type(value))}"
        )
    return value


OF_DICT: Final[dict[str, type]] = {"OrderedDict": OrderedDict, "Counter": Counter}
"""What is copied as a dict with the same items in the same order, and is nothing more."""


def _whole(obj: Any) -> Any:
    """Give a copy of the data that a proxy stands for; anything else as it is."""
    return copied(obj) if is_data(obj) else obj


def offers_of(specials: tuple[str, ...], base: str | None) -> dict[str, Callable[..., Any]]:
    """Give the methods by which others read an object whole, by what its class is and has."""
    names = [name for name in specials if name in TOLD]
    if base not in DATA:
        return {name: OFFERED[name] for name in names if name != "__index__"}
    names += ["__copy__", "__deepcopy__"]
    if base in MAPPINGS or base == "array":
        # numpy would take the keys for items. Lists have none: of what has one, pandas makes an
        # array first, in which 1 and "a" are two texts.
        names.append("__array__")
    if base in BYTES:
        names.append("__bytes__")
    if base == "array":
        names.append("__index__")
    found = {name: OFFERED[name] for name in names}
    if base == "numpy.ndarray":
        found["__index__"] = _index
        found["to_numpy"] = copied  # what matplotlib looks for first
    elif base in {"pandas.DataFrame", "pandas.Series"}:
        found["__finalize__"] = _handed_on("__finalize__")  # with which pandas ends operations
    if base == "pandas.DataFrame" and "__arrow_c_stream__" in found:
        found["__arrow_c_stream__"] = _stream_of_table
    return found


BYTES: Final = frozenset({"bytearray", "array", "numpy.ndarray"})
"""Where ``bytes`` takes the memory and not the items."""


def _array(self: Any, dtype: Any = None, copy: Any = None) -> Any:
    # numpy is what asks.
    import numpy

    if copy is False:
        raise ValueError("the data of a peer cannot be read without a copy: leave out copy=False")
    return numpy.asarray(copied(self), dtype)


def _universal(self: Any, function: Any, method: str, *inputs: Any, **options: Any) -> Any:
    """Apply a function of numpy's to copies."""
    del self  # it is one of the inputs
    written = (*options.get("out", ()), *(inputs[:1] if method == "at" else ()))
    if any(map(is_data, written)):
        raise NotSendable(
            f"numpy.{function.__name__} cannot write into an array of the peer: assign its result "
            "to items of the proxy, as in proxy[:] = result"
        )
    options = {name: _whole(value) for name, value in options.items()}
    return getattr(function, method)(*map(_whole, inputs), **options)


def _bytes(self: Any) -> bytes:
    if is_data(self):
        return bytes(copied(self))
    found = self._nbrpc_session_.request(Operation.SPECIAL, self._nbrpc_oid_, "__bytes__")
    if type(found) is not bytes:
        raise TypeError("the remote object gave bytes that are none")
    return found


def _complex(self: Any) -> complex:
    if is_data(self):
        return complex(copied(self))
    found = self._nbrpc_session_.request(Operation.SPECIAL, self._nbrpc_oid_, "__complex__")
    if type(found) is not complex:
        raise TypeError("the remote object gave a complex number that is none")
    return found


def _index(self: Any) -> int:
    """Give the index that an array of one item is.

    ``bytearray(array)`` asks for it first, and would take the items of other arrays for bytes.
    """
    value = copied(self)
    if hasattr(value, "__index__") and not getattr(value, "ndim", 1):
        return value.__index__()  # type: ignore[no-any-return] # numpy's own
    raise BufferError(
        f"a {class_name(type(value))} of the peer is no index and has no buffer here: "
        "nbrpc.obtain(proxy) gives a copy that has one"
    )


def _stream_of_table(self: Any, requested_schema: Any = None) -> Any:
    """Give a table of pandas as Arrow, if its index is none that would become a column.

    Whoever knows pandas takes such a table otherwise, and the index not as a column.
    """
    table = copied(self)
    if type(table.index).__name__ != "RangeIndex":
        raise NotSendable(
            "a table of the peer has an index, which Arrow has no place for: take "
            "nbrpc.obtain(proxy), or proxy.reset_index()"
        )
    return table.__arrow_c_stream__(requested_schema)


def _handed_on(name: str) -> Callable[..., Any]:
    """Make a method that asks a copy."""

    def method(self: Any, *args: Any, **options: Any) -> Any:
        return getattr(copied(self), name)(*args, **options)

    method.__name__ = name
    method.__qualname__ = f"Proxy.{name}"
    return method


OFFERED: Final[dict[str, Callable[..., Any]]] = {
    "__array__": _array,
    "__array_ufunc__": _universal,
    "__arrow_c_array__": _handed_on("__arrow_c_array__"),
    "__arrow_c_schema__": _handed_on("__arrow_c_schema__"),
    "__arrow_c_stream__": _handed_on("__arrow_c_stream__"),
    "__bytes__": _bytes,
    "__complex__": _complex,
    "__copy__": copied,
    "__dataframe__": _handed_on("__dataframe__"),
    "__deepcopy__": lambda self, _memo: copied(self),
    "__dlpack__": _handed_on("__dlpack__"),
    "__dlpack_device__": lambda _self: CPU,
    "__index__": _index,
}
"""The methods, by name."""

TOLD: Final = frozenset(OFFERED) - {"__copy__", "__deepcopy__"}
"""Those that a description names."""
