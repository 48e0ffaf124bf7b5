"""Copies of the objects of an RPyC peer, and copies for it, without pickle.

Where this side may run code there, a short module is run on the peer that makes tuples of
containers and arrays and reverses that (`packing`): one round trip. Elsewhere containers are read
through what RPyC exposes of them, level by level. Pickle is used if both sides ask for it by name.
"""

from __future__ import annotations

from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING, Any

from nbrpc.errors import AccessDenied, NotSendable, RemoteError, RemoteProtocolError
from nbrpc.objects.proxy import is_proxy
from nbrpc.protocol.messages import Operation
from nbrpc.protocol.rpyc.requests import RpycOperation
from nbrpc.session.rpyc import packing

if TYPE_CHECKING:
    from nbrpc.session.rpyc.session import RpycSession

__all__ = ["Carried", "carried", "deliver", "obtain"]

CONTAINERS = {"list": list, "tuple": tuple, "set": set, "frozenset": frozenset}
VIEWS = frozenset({"dict_keys", "dict_values", "dict_items", "range", "deque"})
DEEPEST = 60
CHUNK = 10_000
PICKLE_PROTOCOL = 4


def obtain(session: RpycSession, oid: int, name: str, _args: tuple[Any, ...]) -> Any:
    """Give a copy of an object of the peer.

    Raises
    ------
    NotSendable
        It, or something in it, cannot be copied.
    """
    if name:
        found = session.request(Operation.GET, oid, name)
        if not is_proxy(found):
            return found
    else:
        found = session.boxing.proxy(oid)
    if session.policy.access.allow_pickle:
        import pickle  # both sides have asked for it by name: the peer refuses it otherwise

        data = session.request(RpycOperation.PICKLE, found._nbrpc_oid_, "", (PICKLE_PROTOCOL,))
        return pickle.loads(data)  # noqa: S301 - as above
    if session.allows_code:
        try:
            packed = carried(session, packing).pack(found)
        except RemoteError as error:
            if isinstance(error, TypeError):
                raise NotSendable(str(error.args[0] if error.args else error)) from error
            raise
        return _unpacked(packed)
    return _walk(found, "value", 0)


def _unpacked(packed: Any) -> Any:
    try:
        return packing.unpack(packed)
    except Exception as error:  # the peer decides what is in there
        raise RemoteProtocolError(f"the peer gave a copy that cannot be read: {error}") from error


def _walk(value: Any, path: str, depth: int) -> Any:
    """Copy a container through its proxy; other proxies have no copies."""
    if type(value) is tuple:
        return tuple(_walk(item, f"{path}[{i}]", depth + 1) for i, item in enumerate(value))
    if not is_proxy(value):
        return value
    described = value._nbrpc_description_
    name = described.name if described.module in ("builtins", "collections") else ""
    if depth > DEEPEST:
        raise NotSendable(f"{path} is nested too deeply to be copied")
    if name in ("dict", "OrderedDict", "defaultdict", "Counter"):
        return {
            _walk(key, f"{path}.keys()", depth + 1): _walk(
                value[key], f"{path}[{key!r:.50}]", depth + 1
            )
            for key in value
        }
    if name in CONTAINERS or name in VIEWS:
        items = value._nbrpc_session_.iterate_in_chunks(value, CHUNK, CHUNK, 1)
        copies = [_walk(item, f"{path}[{i}]", depth + 1) for i, item in enumerate(items)]
        return CONTAINERS.get(name, list)(copies)
    raise NotSendable(
        f"{path} is a {described.name}, which cannot be copied from a service of RPyC: let the "
        "service give it as tuples and numbers, or set allow_pickle=True on both sides"
    )


def deliver(session: RpycSession, _oid: int, _name: str, args: tuple[Any, ...]) -> Any:
    """Copy an object to the peer, and give the proxy of the copy.

    Raises
    ------
    AccessDenied
        The peer does not let this side run code; nothing was sent.
    NotSendable
        It, or something in it, cannot be copied; nothing was sent.
    """
    (marked,) = args
    if not session.allows_code:
        raise AccessDenied(
            f"{session.name} speaks RPyC and does not let clients run code, so nothing can be "
            "copied there: pass the object itself, which goes by reference"
        )
    try:
        packed = packing.pack(marked.obj)
    except TypeError as error:
        raise NotSendable(f"{error}: send it by reference, or convert it first") from None
    return carried(session, packing).unpack(packed)


def carried(session: RpycSession, module: ModuleType) -> Carried:
    """Give a module of this side on the peer, where its text is run when it is first needed."""
    found = session.carried.get(module.__name__)
    if found is None:
        source = Path(str(module.__file__)).read_text(encoding="utf-8")
        builtins = session.request(Operation.IMPORT, 0, "builtins")
        names = builtins.dict(__name__=module.__name__)
        builtins.exec(source, names)
        found = session.carried[module.__name__] = Carried(names)
    return found


class Carried:
    """The names of a module that runs on the peer."""

    def __init__(self, names: Any) -> None:
        self._names = names

    def __getattr__(self, name: str) -> Any:
        return self._names[name]
