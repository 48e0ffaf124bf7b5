"""Proxies: local objects that stand for objects of the peer.

A `Proxy` class is made for each class of the peer that is met, from its description, so that it has
exactly the special methods that the remote class has (``len()`` works where it works there, and
``callable()`` tells the truth). All else goes through ``__getattr__``:

* a method that the description names becomes a function of the proxy class when it is first used,
  so that from then on Python finds and binds it like any other; calling it is one message;
* a "routine" is a method of which the peer has not said whether it is exposed, as RPyC's do not: it
  is read when it is first used, and is a method from then on;
* any other member that the description marks as constant (a class, a submodule, a function of a
  module) becomes a `Member`, which is a path and no message;
* anything else is read at once, so ``hasattr`` and AttributeError stay true;
* what IPython, copy, pickle, asyncio and numpy probe for is answered here and never forwarded.

Nothing here does I/O of its own: proxies call the session they were given.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextvars import ContextVar
from inspect import Signature
from types import MethodType
from typing import Any, ClassVar, Protocol
from weakref import WeakSet

from nbrpc.errors import ConnectionLost, NbrpcError, NotSendable, StaleReference
from nbrpc.objects.mimicry import of_table
from nbrpc.objects.parameters import MethodSignature, remote_signature
from nbrpc.objects.static import MISSING
from nbrpc.objects.text import printable
from nbrpc.protocol.codec import Description
from nbrpc.protocol.messages import Operation

__all__ = ["Member", "Proxy", "is_proxy", "quiet", "resolve", "target_of"]

quiet: ContextVar[Callable[[Proxy, str], bool] | None] = ContextVar("quiet", default=None)
"""While somebody only looks (Tab, ``?``): tells whether there is something at a path of a proxy.

Nothing is read then. An attribute is a `Member` that stands for it, and a text says what a proxy is
without asking.
"""

CONSTANT = frozenset({"method", "coroutine", "generator", "class", "module"})
"""Kinds of members that a path may run over without asking."""

METHODS = frozenset({"method", "coroutine", "generator"})

FORWARDED = frozenset(
    """
    __all__ __author__ __code__ __defaults__ __file__ __func__ __name__ __package__ __path__
    __qualname__ __self__ __spec__ __version__
    """.split()  # noqa: SIM905 - a list of words
)
"""The dunder attributes that are asked of the peer; every other one is refused here."""

WITHOUT_OWN_ATTRIBUTES = frozenset(
    {
        ("builtins", "list"),
        ("builtins", "dict"),
        ("builtins", "set"),
        ("builtins", "bytearray"),
        ("numpy", "ndarray"),
    }
)
"""Classes, not counting those derived from them, whose objects have the members of the class."""

PROBES = ("_ipython_", "_repr_", "_jupyter_", "_nbrpc_", "_is_coroutine")


class Caller(Protocol):
    """What proxies need of a session."""

    name: str
    nests: bool
    """Whether the peer speaks RPyC's protocol, and so tells less of itself."""

    def request(
        self,
        op: int,
        oid: int,
        name: str,
        args: tuple[Any, ...] = (),
        kwargs: dict[str, Any] | None = None,
        timeout: float | None = None,
    ) -> Any:
        """Ask the peer and wait for the answer."""

    def start_request(
        self, op: int, oid: int, name: str, args: tuple[Any, ...] = (), *, keep: object = None
    ) -> Awaitable[Any]:
        """Ask the peer and give the answer to be awaited; what is to be kept lives until then."""

    def iterate(self, proxy: Proxy) -> Iterator[Any]:
        """Iterate over a remote object with read-ahead."""

    def iterate_async(self, proxy: Proxy) -> AsyncIterator[Any]:
        """Iterate without blocking an event loop."""

    iterate_in_chunks: Any
    """Iterates in chunks of given sizes, where `iterate` does not read ahead."""

    def iterate_items(self, proxy: Proxy) -> Iterator[Any]:
        """Iterate over the keys and values of a remote dictionary."""

    def advance(self, proxy: Proxy, sent: object = None) -> Any:
        """Give the next item of a remote iterator, without read-ahead."""

    def remote_event(self, proxy: Proxy, name: str) -> Any:
        """Give the event of a remote object."""

    def living(self, cls: type[Proxy]) -> Proxy | None:
        """Give any proxy of a class."""


class Proxy:
    """A local object that stands for an object of the peer.

    Attribute access, calls, operators, iteration and context managers go to the object. What the
    peer does not expose raises `AccessDenied`; a dead connection raises `ConnectionLost`.
    """

    __slots__ = (
        "__weakref__",
        "_nbrpc_description_",
        "_nbrpc_name_",
        "_nbrpc_oid_",
        "_nbrpc_session_",
        "_nbrpc_stream_",
        "_nbrpc_text_",
    )

    _nbrpc_description_: Description
    _nbrpc_name_: str | None
    """The attribute as which a function of an RPyC peer was read: it tells no names."""
    _nbrpc_oid_: int
    _nbrpc_session_: Caller
    _nbrpc_stream_: Any
    _nbrpc_text_: str | None
    """The text of a path, or the name of a member of an enumeration."""
    _nbrpc_hashes_here_: ClassVar[bool] = False
    _nbrpc_members_only_: ClassVar[bool] = False
    _nbrpc_is_function_: ClassVar[bool] = False
    _nbrpc_is_data_: ClassVar[bool] = False
    _nbrpc_is_table_: ClassVar[bool] = False
    """Whether it stands for a table or Series of pandas."""
    _nbrpc_sessions_: ClassVar[WeakSet[Caller]]
    """Where there are proxies of this class."""

    def __getattr__(self, name: str) -> Any:
        # First of all: a peer could claim that its class has a method _repr_html_.
        if name[:1] == "_" and is_local_name(name):
            raise AttributeError(
                f"a proxy has no {name!r} of its own and does not ask the remote for it",
                name=name,
                obj=self,
            )
        description = self._nbrpc_description_
        kind = description.members.get(name)
        if kind in METHODS and description.kind == "instance":
            method = remote_method(name, description)
            if not self._nbrpc_session_.nests:
                method.__signature__ = MethodSignature(type(self), name, signature_at)
            setattr(type(self), name, method)
            return MethodType(method, self)
        if kind in CONSTANT:
            return Member(self, name, kind)
        if kind == "event":
            return self._nbrpc_session_.remote_event(self, name)
        if quiet.get() is not None:
            return member_unread(self, name, kind)
        if type(self)._nbrpc_is_table_:
            found = of_table(self, name)
            if found is not MISSING:
                return found
        if kind is None and type(self)._nbrpc_members_only_:
            # What numpy, pandas and matplotlib probe for costs no round trip.
            raise AttributeError(
                f"{description.name!r} object has no attribute {name!r}", name=name, obj=self
            )
        found = self._nbrpc_session_.request(Operation.GET, self._nbrpc_oid_, name)
        if self._nbrpc_session_.nests and isinstance(found, Proxy) and found._nbrpc_is_function_:
            set_slot(found, "_nbrpc_name_", name)
            if kind == "routine":
                setattr(type(self), name, remote_method(name, description))
        return found

    def __setattr__(self, name: str, value: object) -> None:
        if is_local_name(name):
            raise AttributeError(f"{name!r} cannot be set on a proxy")
        self._nbrpc_session_.request(Operation.SET, self._nbrpc_oid_, name, (value,))

    def __delattr__(self, name: str) -> None:
        if is_local_name(name):
            raise AttributeError(f"{name!r} cannot be deleted from a proxy")
        self._nbrpc_session_.request(Operation.DELETE, self._nbrpc_oid_, name)

    def __dir__(self) -> list[str]:
        names = set(self._nbrpc_description_.members)
        if quiet.get() is not None:
            return sorted(names)
        try:
            own = self._nbrpc_session_.request(Operation.NAMES, self._nbrpc_oid_, "")
            names.update(name for name in own if type(name) is str)
        except NbrpcError:
            pass
        return sorted(names)

    def __repr__(self) -> str:
        return ask_text(self, Operation.REPR, "")

    def __str__(self) -> str:
        if quiet.get() is not None:
            return unread_text(self)
        try:
            return str(self._nbrpc_session_.request(Operation.STR, self._nbrpc_oid_, ""))
        except ConnectionLost:
            return lost_text(self)

    def __format__(self, specification: str) -> str:
        if not specification:
            return str(self)
        return str(
            self._nbrpc_session_.request(
                Operation.SPECIAL, self._nbrpc_oid_, "__format__", (specification,)
            )
        )

    def __reduce_ex__(self, _protocol: object) -> Any:
        raise NotSendable(
            "a proxy cannot be copied or pickled: nbrpc.obtain(proxy) gives a copy of what it "
            "stands for"
        )

    def __copy__(self) -> Any:
        return self.__reduce_ex__(4)

    def __deepcopy__(self, _memo: object) -> Any:
        return self.__reduce_ex__(4)

    def __mro_entries__(self, _bases: object) -> Any:
        raise NotSendable(
            "a class of the peer cannot be subclassed here: define the subclass over there, or "
            "make an instance and hold it"
        )

    def _repr_mimebundle_(self, **_options: object) -> dict[str, str]:
        return {"text/plain": repr(self)}

    def _ipython_key_completions_(self) -> list[Any]:
        if "__getitem__" not in self._nbrpc_description_.specials:
            return []
        try:
            found = self._nbrpc_session_.request(
                Operation.DESCRIBE, self._nbrpc_oid_, "", ("keys",)
            )
        except NbrpcError:
            return []
        return list(found.get("keys", ()))

    @property
    def __doc__(self) -> str | None:  # type: ignore[override]
        description = self._nbrpc_description_
        # A description has the first line; help() of a function shows all of it. RPyC's have none.
        if description.kind == "function" or self._nbrpc_session_.nests:
            return document_of(self, "")
        return printable(description.doc) or None


class Member:
    """A constant member of a remote object: a path that has not been read.

    Calling it is one message. It can be passed on, compared, displayed and given to ``async_`` as
    the object that it leads to.
    """

    __slots__ = ("__weakref__", "_nbrpc_kind_", "_nbrpc_owner_", "_nbrpc_path_", "_nbrpc_resolved_")

    def __init__(self, owner: Proxy, path: str, kind: str) -> None:
        set_slot(self, "_nbrpc_owner_", owner)
        set_slot(self, "_nbrpc_path_", path)
        set_slot(self, "_nbrpc_kind_", kind)
        set_slot(self, "_nbrpc_resolved_", None)

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        """Call what it leads to; one message."""
        owner = self._nbrpc_owner_
        return owner._nbrpc_session_.request(
            Operation.CALL, owner._nbrpc_oid_, self._nbrpc_path_, args, kwargs or None
        )

    def __getattr__(self, name: str) -> Any:
        if is_local_name(name):
            raise AttributeError(
                f"a proxy has no {name!r} of its own and does not ask the remote for it",
                name=name,
                obj=self,
            )
        if self._nbrpc_kind_ == "method" and name[:2] != "__":
            owner = self._nbrpc_owner_._nbrpc_description_
            if has_members_only(owner) and "." not in self._nbrpc_path_:
                raise AttributeError(
                    f"a method of {owner.name!r} has no attribute {name!r}", name=name, obj=self
                )
        if quiet.get() is not None and self._nbrpc_resolved_ is None:
            return member_unread(self._nbrpc_owner_, f"{self._nbrpc_path_}.{name}")
        return getattr(resolve(self), name)

    def __setattr__(self, name: str, value: object) -> None:
        setattr(resolve(self), name, value)

    def __delattr__(self, name: str) -> None:
        delattr(resolve(self), name)

    def __dir__(self) -> list[str]:
        if quiet.get() is not None and self._nbrpc_resolved_ is None:
            return []
        return dir(resolve(self))

    def __repr__(self) -> str:
        return ask_text(self._nbrpc_owner_, Operation.REPR, self._nbrpc_path_)

    def __str__(self) -> str:
        owner = self._nbrpc_owner_
        if quiet.get() is not None:
            return unread_text(owner, self._nbrpc_path_)
        session = owner._nbrpc_session_
        return str(session.request(Operation.STR, owner._nbrpc_oid_, self._nbrpc_path_))

    def __eq__(self, other: object) -> bool:
        if isinstance(other, Member):
            same = self._nbrpc_owner_ is other._nbrpc_owner_
            if same and self._nbrpc_path_ == other._nbrpc_path_:
                return True
            return bool(resolve(self) == resolve(other))
        return bool(resolve(self) == other) if is_proxy(other) else NotImplemented

    def __hash__(self) -> int:
        return hash((id(self._nbrpc_owner_), self._nbrpc_path_))

    def __instancecheck__(self, instance: object) -> bool:
        return bool(resolve(self).__instancecheck__(instance))

    def __subclasscheck__(self, cls: object) -> bool:
        return bool(resolve(self).__subclasscheck__(cls))

    def __mro_entries__(self, bases: object) -> Any:
        return Proxy.__mro_entries__(resolve(self), bases)

    def __reduce_ex__(self, _protocol: object) -> Any:
        raise NotSendable("a remote method cannot be copied or pickled")

    def _repr_mimebundle_(self, **_options: object) -> dict[str, str]:
        return {"text/plain": repr(self)}

    @property
    def __name__(self) -> str:
        path: str = self._nbrpc_path_
        return path.rpartition(".")[2]

    @property
    def __signature__(self) -> Signature:
        return signature_at(self._nbrpc_owner_, self._nbrpc_path_)

    @property
    def __doc__(self) -> str | None:  # type: ignore[override]
        return document_of(self._nbrpc_owner_, self._nbrpc_path_)


set_slot = object.__setattr__


def is_local_name(name: str) -> bool:
    """Whether a name is answered here and never asked of the peer."""
    if name[:1] != "_":
        return False
    if name.startswith("__") and name.endswith("__"):
        return name not in FORWARDED
    return name.startswith(PROBES)


def has_members_only(description: Description) -> bool:
    """Whether it describes an instance of a class whose objects have no attributes of their own."""
    return (
        description.kind == "instance"
        and (description.module, description.name) in WITHOUT_OWN_ATTRIBUTES
        and bool(description.members)  # none are shown of what is not exposed, as of arrays
    )


def is_proxy(obj: object) -> bool:
    """Whether an object stands for something of a peer."""
    return target_of(obj) is not None


def target_of(obj: object) -> tuple[Caller, int, str] | None:
    """Give the session, object id and path of a proxy; None for any other object."""
    kind = type(obj)
    if kind is Member:
        owner = obj._nbrpc_owner_  # type: ignore[attr-defined]
        return owner._nbrpc_session_, owner._nbrpc_oid_, obj._nbrpc_path_  # type: ignore[attr-defined]
    if issubclass(kind, Proxy):
        return obj._nbrpc_session_, obj._nbrpc_oid_, ""  # type: ignore[attr-defined]
    if kind is MethodType and issubclass(type(obj.__self__), Proxy):  # type: ignore[attr-defined]
        owner = obj.__self__  # type: ignore[attr-defined]
        path = obj.__func__.__dict__.get("_nbrpc_path_")  # type: ignore[attr-defined]
        if path is not None:
            return owner._nbrpc_session_, owner._nbrpc_oid_, path
    return None


def resolve(obj: Any) -> Any:
    """Give the proxy that a member leads to, read once; anything else as it is."""
    if type(obj) is not Member:
        return obj
    resolved = obj._nbrpc_resolved_
    if resolved is None:
        owner = obj._nbrpc_owner_
        resolved = owner._nbrpc_session_.request(Operation.GET, owner._nbrpc_oid_, obj._nbrpc_path_)
        set_slot(obj, "_nbrpc_resolved_", resolved)
    return resolved


def document_of(proxy: Proxy, path: str) -> str | None:
    """Give the remote docstring, whole."""
    if quiet.get() is not None:
        return None
    described = proxy._nbrpc_session_.request(Operation.DESCRIBE, proxy._nbrpc_oid_, path)
    document = described["doc"]
    return printable(document) if type(document) is str else None


def signature_at(proxy: Proxy, path: str) -> Signature:
    """Give how the object at a path of a proxy is called; one round trip.

    Raises
    ------
    ValueError
        The peer knows no signature of it, as of some functions that are written in C.
    AttributeError
        It speaks RPyC, which tells none; or this is to be answered without asking.
    """
    session = proxy._nbrpc_session_
    if session.nests or quiet.get() is not None:
        raise AttributeError("its signature is not known")
    described = session.request(Operation.DESCRIBE, proxy._nbrpc_oid_, path)
    return remote_signature(described.get("parameters"))


def member_unread(proxy: Proxy, path: str, kind: str | None = None) -> Member:
    """Give what stands for an attribute that is not to be read.

    Raises
    ------
    AttributeError
        There is none, as far as can be told without reading.
    """
    known = quiet.get()
    name = path.rpartition(".")[2]
    if kind is None and (known is None or name[:2] == "__" or not known(proxy, path)):
        raise AttributeError(f"{path!r} cannot be seen without being read", name=name, obj=proxy)
    return Member(proxy, path, kind or "data")


def unread_text(proxy: Proxy, path: str = "") -> str:
    """Say what a proxy stands for, without asking."""
    if getattr(proxy._nbrpc_session_, "closed", False):
        return lost_text(proxy)
    description = proxy._nbrpc_description_
    of = f"{path} of " if path else ""
    name = f"{description.module}.{description.name}"
    return printable(f"<proxy of {of}{name} at {proxy._nbrpc_session_.name}>")


def ask_text(proxy: Proxy, op: Operation, path: str) -> str:
    """Give the remote repr, free of control sequences; when the peer is gone, a text says so."""
    if quiet.get() is not None:
        return unread_text(proxy, path)
    try:
        text = proxy._nbrpc_session_.request(op, proxy._nbrpc_oid_, path)
    except (ConnectionLost, StaleReference):
        return lost_text(proxy)
    return printable(str(text))


def lost_text(proxy: Proxy) -> str:
    """Say what a proxy stood for."""
    description = proxy._nbrpc_description_
    return printable(
        f"<proxy of {description.module}.{description.name}; its connection "
        f"to {proxy._nbrpc_session_.name} is lost>"
    )


def remote_method(name: str, description: Description) -> Any:
    """Make the function that calls a method of the remote object."""

    def method(self: Proxy, *args: Any, **kwargs: Any) -> Any:
        return self._nbrpc_session_.request(
            Operation.CALL, self._nbrpc_oid_, name, args, kwargs or None
        )

    method.__name__ = name
    method.__qualname__ = f"{description.name}.{name}"
    method.__module__ = description.module
    method.__doc__ = None
    method._nbrpc_path_ = name  # type: ignore[attr-defined]
    return method
