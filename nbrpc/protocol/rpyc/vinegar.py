"""Exceptions on RPyC's wire.

The body of an exception is the int 1 for a StopIteration, or::

    ((module, name), arguments, ((attribute, value), ...), traceback as text)

RPyC raises a builtin exception of that name, sets the arguments and whatever attributes came, and
makes a class of its own for other modules. It adds the traceback to what ``str()`` gives. We take
the same body, but only a fixed list of attributes of it, and decide elsewhere what is raised.

RPyC sends no text of the exception itself, so that is made of its arguments, as Python would.

Source: observed with RPyC 4.1.5, 5.3.1 and 6.0.2.
"""

from __future__ import annotations

from typing import Any, Final

from nbrpc.errors import RemoteProtocolError
from nbrpc.protocol import codec
from nbrpc.protocol.messages import Error
from nbrpc.protocol.rpyc.brine import MAX_DEPTH, is_dumpable

__all__ = ["ATTRIBUTES", "DENIED_TRACEBACK", "DENIED_VERSION", "body_of", "error_of"]

ATTRIBUTES: Final = ("errno", "strerror", "filename", "filename2", "name", "path", "key")
"""What is taken beside the arguments; the same as in `nbrpc.objects.rebuilt`, and the tests say so.
"""

DENIED_VERSION: Final = "<version denied>"
DENIED_TRACEBACK: Final = "<traceback denied>"
"""What RPyC writes when it is told to keep these to itself."""

STOP_ITERATION: Final = 1

MAX_TEXT: Final = 64 * 1024
"""Characters of a traceback or a message."""

MAX_NAME: Final = 200

BUILTIN_MODULES: Final = frozenset(["builtins", "exceptions", "__builtin__"])
"""What Python 2 and 3 call the module of the builtin exceptions."""

GROUPS: Final = frozenset(["ExceptionGroup", "BaseExceptionGroup"])
"""RPyC cannot make these: it would raise a TypeError in the place of one."""

STAND_INS: Final = {
    "nbrpc.errors.AccessDenied": "AttributeError",
    "nbrpc.errors.CallTimeout": "TimeoutError",
    "nbrpc.errors.NotSendable": "TypeError",
    "nbrpc.errors.StaleReference": "ReferenceError",
}
"""Errors of ours that are sent as the builtin from which they derive, which RPyC can raise."""

# ---- out


def body_of(error: Error, *, version: str | None, traceback: str | None = None) -> Any:
    """Give the body for an exception; brine can hold all of it.

    Parameters
    ----------
    version
        The version of RPyC that we appear as; it warns of another major version than its own. None
        keeps it back.
    traceback
        What to send instead of the exception's own text, with its causes for instance.
    """
    if error.type_name == "StopIteration" and not error.args:
        return STOP_ITERATION
    text = error.text if traceback is None else traceback
    attributes = [(_clean(name), _sendable(value)) for name, value in error.attributes.items()]
    attributes.append(("_remote_version", DENIED_VERSION if version is None else version))
    return (
        _name_of(error.type_name),
        tuple(_sendable(arg) for arg in error.args),
        tuple(attributes),
        _clean(text) or DENIED_TRACEBACK,
    )


def _name_of(type_name: str) -> tuple[str, str]:
    module, _, name = _clean(STAND_INS.get(type_name, type_name)).rpartition(".")
    if not module:
        module = "exceptions" if name in GROUPS else "builtins"
    return module, name


def _clean(text: str) -> str:
    """Spell out the lone surrogates of a text."""
    return text if text.isascii() else text.encode("utf-8", "backslashreplace").decode()


def _sendable(value: Any) -> Any:
    """Give what brine can hold of a wire value: the same as plain Python, or a text."""
    plain = _plain(value, MAX_DEPTH // 2)
    # The arguments stand three levels deep in a message.
    return plain if is_dumpable(plain, MAX_DEPTH // 2) else _clean(_repr(plain))


def _plain(value: Any, depth: int) -> Any:
    """Give the Python value of a box, when that takes no more than its own fields."""
    kind = type(value)
    if not depth:
        return "..."
    depth -= 1
    if kind is codec.Bytes and value.index == -1:
        return _data(value)
    if kind in SEQUENCES:
        items = [_plain(item, depth) for item in value.items]
        # What is inside a set was hashable; a text stands for what is not any more.
        hashable = [_hashable(item) for item in items] if kind in SETS else items
        return SEQUENCES[kind](hashable)
    if kind is codec.Map:
        return {key: _plain(item, depth) for key, item in value.items.items()}
    if kind is codec.Slice and value.kind == "s":
        return slice(*(_plain(part, depth) for part in (value.start, value.stop, value.step)))
    if kind is codec.Scalar:
        return _scalar(value)
    if kind is codec.Ref:
        return "<object>"
    if isinstance(value, codec.Box):
        return f"<{kind.__name__.lower()}>"
    return value


SEQUENCES: Final[dict[type, Any]] = {
    codec.Tuple: tuple,
    codec.List: list,
    codec.Set: set,
    codec.Frozen: frozenset,
}
SETS: Final = frozenset([codec.Set, codec.Frozen])


def _data(value: codec.Bytes) -> Any:
    if value.kind != "u":
        return bytearray(value.data) if value.kind == "a" else value.data
    try:
        return value.data.decode("utf-8", "surrogatepass")
    except UnicodeDecodeError:  # nothing that a str was written as
        return value.data


def _hashable(item: Any) -> Any:
    try:
        hash(item)
    except TypeError:
        return _repr(item)
    return item


def _scalar(value: codec.Scalar) -> Any:
    text = value.data.decode("utf-8", "backslashreplace") if value.data else value.text
    try:
        if value.kind == "int":
            return int(text, 16)
        if value.kind == "complex":
            real, imaginary = text.split(",")
            return complex(float.fromhex(real), float.fromhex(imaginary))
    except (ValueError, OverflowError):
        return text
    return {"ellipsis": ..., "notimplemented": NotImplemented}.get(value.kind, text)


def _repr(value: Any) -> str:
    try:
        return repr(value)[:MAX_TEXT]
    except Exception:  # an int of too many digits, or the repr of an object of the user
        return f"<{type(value).__name__}>"


# ---- in


def error_of(body: Any, names: tuple[str, ...] = ATTRIBUTES) -> Error:
    """Read the body of an exception, as `brine` gave it.

    Parameters
    ----------
    names
        The attributes to take.

    Returns
    -------
    Error
        Its arguments are plain Python values.

    Raises
    ------
    RemoteProtocolError
        It is no body of an exception.
    """
    kind = type(body)
    if kind is int and body == STOP_ITERATION:
        return Error("StopIteration", [], "")
    if kind is str:  # exceptions were texts once
        return Error("RuntimeError", [body[:MAX_TEXT]], "", body[:MAX_TEXT])
    if kind is not tuple or len(body) != 4:
        raise RemoteProtocolError("an exception of the peer has none of RPyC's forms")
    named, args, pairs, text = body
    if type(named) is not tuple or [type(part) for part in named] != [str, str]:
        raise RemoteProtocolError("an exception of the peer does not name its class")
    if type(args) is not tuple or type(text) is not str:
        raise RemoteProtocolError("an exception of the peer has no arguments or no traceback")
    module, name = (part[:MAX_NAME] for part in named)
    type_name = name if module in BUILTIN_MODULES else f"{module}.{name}"
    attributes = _attributes(pairs, names)
    if text == DENIED_TRACEBACK:
        text = ""
    return Error(
        type_name,
        list(args),
        _shortened(text),
        _message(type_name, args, attributes),
        attributes=attributes,
    )


def _attributes(pairs: Any, names: tuple[str, ...]) -> dict[str, Any]:
    if type(pairs) is not tuple:
        raise RemoteProtocolError("an exception of the peer has no attributes")
    attributes: dict[str, Any] = {}
    for pair in pairs:
        if type(pair) is not tuple or len(pair) != 2 or type(pair[0]) is not str:
            raise RemoteProtocolError("an attribute of the peer's exception has no name")
        name, value = pair
        if name in names and type(value) in PLAIN:
            attributes[name] = value[:MAX_TEXT] if type(value) is str else value
    return attributes


PLAIN: Final = frozenset([str, int, float, bool])


def _message(type_name: str, args: tuple[Any, ...], attributes: dict[str, Any]) -> str:
    """Give what ``str()`` would, for builtin exceptions and those that leave it as it is."""
    number, reason = attributes.get("errno"), attributes.get("strerror")
    if number is not None and reason is not None:
        message = f"[Errno {number}] {reason}"
        if "filename" in attributes:
            message += f": {attributes['filename']!r}"
            if "filename2" in attributes:
                message += f" -> {attributes['filename2']!r}"
        return _shortened(message)
    if not args:
        return ""
    if len(args) > 1:
        return _shortened(_text(args))
    (arg,) = args
    if type(arg) is str and type_name != "KeyError":
        return _shortened(arg)
    return _shortened(_text(arg))


def _text(value: Any) -> str:
    """Give the repr of a value, unless that would be very long."""
    size = 0
    waiting = [value]
    while waiting:
        item = waiting.pop()
        kind = type(item)
        if kind is str or kind is bytes:
            size += len(item)
        elif kind is tuple or kind is frozenset:
            size += len(item)
            if size <= MAX_TEXT:
                waiting.extend(item)
        elif kind is slice:
            waiting += (item.start, item.stop, item.step)
        elif kind is int:
            size += item.bit_length() // 3
        if size > MAX_TEXT:
            return "(its arguments are too long to be shown)"
    return repr(value)


def _shortened(text: str) -> str:
    """Cut a text to its beginning and its end, where a traceback names its exception."""
    if len(text) <= MAX_TEXT:
        return text
    note = f"\n... {len(text) - MAX_TEXT:,} characters are left out ...\n"
    tail = (MAX_TEXT - len(note)) // 2
    return text[: MAX_TEXT - len(note) - tail] + note + text[-tail:]
