"""Signatures as text and as data, made without running code of the objects that they mention.

``str(inspect.signature(f))`` asks default values and annotations for their repr, and a default may
be a table, a proxy or worse. Here only plain constants are written out; anything else is shown by
the name of its class or as an ellipsis. `parameters` makes of the data what ``inspect`` gives for
a function of this side.
"""

from __future__ import annotations

import inspect
from types import (
    BuiltinFunctionType,
    FunctionType,
    GenericAlias,
    MethodDescriptorType,
    MethodType,
    NoneType,
    UnionType,
    WrapperDescriptorType,
)
from typing import Any, Final, cast

from nbrpc.objects.static import (
    class_module,
    class_name,
    class_qualname,
    find,
    is_class,
    is_kind_of,
    lineage,
    namespace,
    own_attributes,
    slot_value,
    underlying,
)

__all__ = ["find_signature", "parameters_in", "signature_of", "text_of"]

MAX_SIGNATURE: Final = 2_000
MAX_CONSTANT: Final = 60
MAX_PARAMETERS: Final = 200
MAX_DEFAULT_DEPTH: Final = 3
MAX_ITEMS_DEFAULT: Final = 100
MAX_TEXT_DEFAULT: Final = 1_000
MAX_WRAPPERS: Final = 16
MAX_ANNOTATION_DEPTH: Final = 5

_BUILTIN_ROUTINES: Final = (BuiltinFunctionType, MethodDescriptorType, WrapperDescriptorType)
_CONSTANTS: Final = (NoneType, bool, int, float, complex, str, bytes, type(...))
_text_signature_of = type.__dict__["__text_signature__"].__get__


def signature_of(obj: object) -> str | None:
    """Give how a function, method or class is called, as ``(path, mode='r')``; None if unknown."""
    return text_of(find_signature(obj))


def find_signature(obj: object) -> inspect.Signature | str | None:
    """Give a signature for `text_of` and `parameters_in`; of some classes a text."""
    if is_class(obj):
        return _of_class(cast("type", obj))
    function = underlying(obj)
    if type(function) is FunctionType:
        bound = type(obj) is MethodType or is_kind_of(obj, classmethod)
        return _of_function(function, skip_first=bound)
    if is_kind_of(function, _BUILTIN_ROUTINES):
        return _of_builtin(function)
    method = underlying(find(type(obj), "__call__"))
    if type(method) is FunctionType:
        return _of_function(method, skip_first=True)
    return None


def _of_class(cls: type) -> inspect.Signature | str | None:
    for base in lineage(cls)[:-1]:  # the last is object
        for name in ("__init__", "__new__"):
            constructor = underlying(namespace(base).get(name))
            if type(constructor) is FunctionType:
                return _of_function(constructor, skip_first=True)
            if is_kind_of(constructor, _BUILTIN_ROUTINES):
                text = _text_signature_of(base)
                return text if type(text) is str else None
    return inspect.Signature()


def _of_builtin(function: object) -> inspect.Signature | None:
    # Written by the authors of the C module; inspect parses it and evaluates constants only.
    try:
        return inspect.signature(cast("Any", function))
    except (TypeError, ValueError):
        return None


def _of_function(function: Any, *, skip_first: bool) -> inspect.Signature:
    for _ in range(MAX_WRAPPERS):
        wrapped = function.__dict__.get("__wrapped__")
        if type(wrapped) is not FunctionType:
            break
        function = wrapped
    bare = FunctionType(function.__code__, {}, function.__name__, None, function.__closure__)
    # Only these describe the parameters; whatever else hangs on the function is left behind.
    bare.__defaults__ = function.__defaults__
    bare.__kwdefaults__ = function.__kwdefaults__
    bare.__annotations__ = _annotations_of(function)
    signature = inspect.signature(bare)
    parameters = list(signature.parameters.values())
    if skip_first and parameters and parameters[0].kind in _POSITIONAL:
        signature = signature.replace(parameters=parameters[1:])
    return signature


def _annotations_of(function: Any) -> dict[str, Any]:
    try:
        return dict(function.__annotations__)
    except Exception:  # from Python 3.14 on they are evaluated only now, and names may be missing
        return {}


_POSITIONAL: Final = (
    inspect.Parameter.POSITIONAL_ONLY,
    inspect.Parameter.POSITIONAL_OR_KEYWORD,
)


class _Shown:
    """Stands for a value in a signature, with a text of our choosing."""

    def __init__(self, text: str) -> None:
        self.text = text

    def __repr__(self) -> str:
        return self.text


def text_of(signature: inspect.Signature | str | None) -> str | None:
    """Give a signature as it would be written, as ``(path, mode='r')``; None if there is none."""
    if not isinstance(signature, inspect.Signature):
        return signature
    empty = inspect.Parameter.empty
    parameters = [
        parameter.replace(
            default=empty
            if parameter.default is empty
            else _Shown(_shown_default(parameter.default)),
            annotation=_Shown(text)
            if (text := _shown_annotation(parameter.annotation, 0))
            else empty,
        )
        for parameter in signature.parameters.values()
    ]
    result = _shown_annotation(signature.return_annotation, 0)
    returned = _Shown(result) if result else inspect.Signature.empty
    text = str(signature.replace(parameters=parameters, return_annotation=returned))
    return text if len(text) <= MAX_SIGNATURE else text[: MAX_SIGNATURE - 3] + "..."


def parameters_in(signature: inspect.Signature | str | None) -> list[tuple[Any, ...]] | None:
    """Give the parameters of a signature as plain data for `parameters.remote_signature`.

    Of each the name, kind, annotation as text, and if it has a default whether that follows itself
    or as a text. The last is the annotation of the result.
    """
    if not isinstance(signature, inspect.Signature) or len(signature.parameters) > MAX_PARAMETERS:
        return None
    found: list[tuple[Any, ...]] = []
    for parameter in signature.parameters.values():
        told = (parameter.name, int(parameter.kind), _shown_annotation(parameter.annotation, 0))
        if parameter.default is not inspect.Parameter.empty:
            is_plain = _is_plain(parameter.default, MAX_DEFAULT_DEPTH)
            default = parameter.default if is_plain else _shown_default(parameter.default)
            told = (*told, is_plain, default)  # type: ignore[assignment] # of another length
        found.append(told)
    return [*found, (_shown_annotation(signature.return_annotation, 0),)]


def _is_plain(value: object, depth: int) -> bool:
    """Whether a default is data that travels by value, and little of it."""
    kind = type(value)
    if kind is int:
        return cast("int", value).bit_length() <= 64
    if kind is str or kind is bytes:
        return len(value) <= MAX_TEXT_DEFAULT  # type: ignore[arg-type] # by its class
    if kind in {NoneType, bool, float, complex}:
        return True
    if kind is dict:
        items: Any = value
        return _is_plain([*items, *items.values()], depth)
    if kind is list or kind is tuple:
        items = value
        return (
            depth > 0
            and len(items) <= MAX_ITEMS_DEFAULT
            and all(_is_plain(item, depth - 1) for item in items)
        )
    return False


def _shown_default(value: object) -> str:
    kind = type(value)
    if any(kind is constant for constant in _CONSTANTS):
        if kind is int and cast("int", value).bit_length() > 64:
            return "..."
        return repr(value[:MAX_CONSTANT] if kind is str or kind is bytes else value)  # type: ignore[index]
    if is_class(value):
        return class_qualname(cast("type", value))
    for container, text in ((list, "[]"), (tuple, "()"), (dict, "{}"), (set, "set()")):
        if kind is container:
            return text if not value else f"{text[0]}...{text[-1]}"
    if kind is FunctionType:
        return cast("FunctionType", value).__qualname__
    return f"<{class_name(kind)}>"


def _shown_annotation(value: object, depth: int) -> str:
    """Give an annotation as it would be written, or nothing for what cannot be told safely."""
    if value is inspect.Parameter.empty or depth > MAX_ANNOTATION_DEPTH:
        return ""
    if type(value) is str:
        return value
    if value is None or value is NoneType:
        return "None"
    if value is ...:
        return "..."
    if type(value) is list:  # the parameters of a Callable
        return f"[{_shown_list(value, depth)}]"
    if type(value) is UnionType:
        return " | ".join(_shown_annotation(arg, depth + 1) or "Any" for arg in value.__args__)
    if type(value) is GenericAlias:
        origin: object = value.__origin__
        name = class_qualname(origin) if is_class(origin) else "..."  # type: ignore[arg-type]
        return f"{name}[{_shown_list(list(value.__args__), depth)}]"
    if is_class(value):
        return class_qualname(cast("type", value))
    return _shown_typing(value, depth) if class_module(type(value)) == "typing" else ""


def _shown_typing(value: object, depth: int) -> str:
    """Give the text of one of typing's own objects (List[int], Any, a TypeVar, ...)."""
    names = (_field(value, name) for name in ("_name", "__name__", "__forward_arg__"))
    name: object = next((name for name in names if type(name) is str), None)
    if name is None:
        name = _field(_field(value, "__origin__"), "_name")
    args = _field(value, "__args__")
    if type(name) is not str:
        return ""
    if type(args) is not tuple or name == "Callable":
        return name
    if name in {"Union", "Optional"}:
        return " | ".join(_shown_annotation(arg, depth + 1) or "Any" for arg in args)
    if name == "Literal":
        return f"Literal[{', '.join(map(_shown_default, args))}]"
    return f"{name}[{_shown_list(list(args), depth)}]"


def _field(value: object, name: str) -> object:
    found = own_attributes(value).get(name)
    return slot_value(find(type(value), name), value) if found is None else found


def _shown_list(args: list[object], depth: int) -> str:
    return ", ".join(_shown_annotation(arg, depth + 1) or "Any" for arg in args)
