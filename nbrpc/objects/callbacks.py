"""`callback`: a function that is handed over, and can be taken back."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Self

from nbrpc.errors import StaleReference

__all__ = ["Callback", "callback", "function_of"]


class Callback:
    """A function that peers may call until it is revoked; made by `callback`."""

    __slots__ = ("__function", "__name", "__weakref__")

    def __init__(self, function: Callable[..., Any]) -> None:
        self.__function: Callable[..., Any] | None = function
        self.__name = getattr(function, "__qualname__", None) or type(function).__qualname__

    def __repr__(self) -> str:
        return f"<callback {self.__name}{'' if self.__function else ', revoked'}>"

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        """Call the function; a `StaleReference` once it was revoked."""
        return function_of(self)(*args, **kwargs)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.revoke()

    @property
    def revoked(self) -> bool:
        """Whether it was taken back."""
        return self.__function is None

    def revoke(self) -> None:
        """Take the function back, on all connections; revoking twice does nothing.

        Who calls it from now on gets a `StaleReference`, and nothing keeps the function, or the
        object whose method it is, for the peer. A call that is running runs on.
        """
        self.__function = None


def function_of(handle: Callback) -> Callable[..., Any]:
    """Give the function behind a callback.

    Raises
    ------
    StaleReference
        It was revoked.
    """
    function: Callable[..., Any] | None = handle._Callback__function  # type: ignore[attr-defined] # noqa: SLF001 - the name is mangled, so that no peer is shown it
    if function is None:
        raise StaleReference(f"{handle!r} cannot be called any more: ask its owner for another one")
    return function


def callback(function: Callable[..., Any]) -> Callback:
    """Make a handle of a function, to be handed to a peer and taken back with ``revoke()``.

    Without one, a peer may call a function that it was handed until it drops it or the connection
    ends.

    Parameters
    ----------
    function
        A function, a bound method or anything else that can be called.

    Returns
    -------
    Callback
        Can be called like the function; as a context manager, it is revoked at the end.

    Raises
    ------
    TypeError
        It cannot be called.

    Examples
    --------
    >>> with callback(print) as report:
    ...     report("as long as this block")
    as long as this block
    >>> report.revoked
    True
    """
    if not callable(function):
        raise TypeError(
            f"a callback is made of what can be called, not of {type(function).__name__}"
        )
    return Callback(function)
