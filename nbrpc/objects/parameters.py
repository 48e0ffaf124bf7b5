"""Signatures of remote functions, as ``inspect`` gives them for functions of this side."""

from __future__ import annotations

from collections.abc import Callable
from inspect import Parameter, Signature
from typing import Any, Final

__all__ = ["MethodSignature", "Unknown", "remote_signature"]

KINDS: Final = (
    Parameter.POSITIONAL_ONLY,
    Parameter.POSITIONAL_OR_KEYWORD,
    Parameter.VAR_POSITIONAL,
    Parameter.KEYWORD_ONLY,
    Parameter.VAR_KEYWORD,
)


class Unknown:
    """A default value that is an object of the peer, of which the text is known."""

    __slots__ = ("_text",)

    def __init__(self, text: str) -> None:
        self._text = text

    def __repr__(self) -> str:
        return self._text


def remote_signature(parameters: object) -> Signature:
    """Make a signature of what `parameters_in` gave on the other side.

    Raises
    ------
    ValueError
        The peer knows none, or tells something else.
    """
    if type(parameters) is not list or not parameters:
        raise ValueError("the peer knows no signature of it")
    *told, last = parameters
    try:
        found = [_parameter(*item) for item in told]
        (returned,) = last
        return Signature(found, return_annotation=_annotation(returned))
    except (TypeError, ValueError, LookupError) as error:
        raise ValueError(f"the peer gave a signature that is none: {error}") from None


def _parameter(name: str, kind: int, annotation: str, *default: Any) -> Parameter:
    value: Any = Parameter.empty
    if default:
        is_itself, value = default
        value = value if is_itself is True else Unknown(str(value))
    return Parameter(name, KINDS[kind], default=value, annotation=_annotation(annotation))


def _annotation(text: str) -> Any:
    """Give the builtin class of a name; of anything else its text, as annotations may be."""
    return ANNOTATIONS.get(text, text)


ANNOTATIONS: Final = {
    "": Parameter.empty,
    "None": None,
    **{
        cls.__name__: cls
        for cls in (bool, bytes, complex, dict, float, int, list, object, set, str, tuple)
    },
}


class MethodSignature(Signature):
    """The signature of a method of proxies, which is asked for when somebody looks at it.

    ``inspect`` takes it from the function and not from the method, so any proxy of the class is
    asked for it.
    """

    __slots__ = ("_ask", "_name", "_owner", "_told")

    def __init__(self, owner: Any, name: str, ask: Callable[[Any, str], Signature]) -> None:
        super().__init__()
        self._owner = owner
        self._ask = ask
        self._name = name
        self._told: Signature | None = None

    def _asked(self) -> Signature:
        if self._told is None:
            living = (session.living(self._owner) for session in list(self._owner._nbrpc_sessions_))
            proxy = next((found for found in living if found is not None), None)
            if proxy is None:
                raise ValueError("no object is held that has this method")
            told = self._ask(proxy, self._name)
            first = Parameter("self", Parameter.POSITIONAL_ONLY)
            parameters = [first, *told.parameters.values()]
            self._told = told.replace(parameters=parameters)
        return self._told

    @property
    def parameters(self) -> Any:
        """Those of the remote method, behind the object itself."""
        return self._asked().parameters

    @property
    def return_annotation(self) -> Any:
        """That of the remote method."""
        return self._asked().return_annotation

    def replace(self, **changes: Any) -> Any:
        """Give a signature of the usual kind with these changes."""
        return self._asked().replace(**changes)
