"""``rpyc.core.netref``: what is a proxy, and RPyC's names for what a proxy knows."""

from __future__ import annotations

import sys
from typing import Any, Final

from nbrpc.compat.library import get_id_pack
from nbrpc.objects.proxy import Member, Proxy, is_proxy, target_of

__all__ = ["LOCAL_ATTRS", "BaseNetref", "NetrefMetaclass", "connection_of", "install_names"]

LOCAL_ATTRS: Final = frozenset(
    """
    ____conn__ ____id_pack__ ____refcount__ __class__ __cmp__ __del__ __delattr__ __dir__ __doc__
    __getattr__ __getattribute__ __hash__ __instancecheck__ __init__ __metaclass__ __module__
    __new__ __reduce__ __reduce_ex__ __repr__ __setattr__ __slots__ __str__ __weakref__ __dict__
    __methods__ __exit__ __eq__ __ne__ __lt__ __gt__ __le__ __ge__ __array_struct__
    __array_interface__
    """.split()  # noqa: SIM905 - a list of words
)


class NetrefMetaclass(type):
    """The class of `BaseNetref`: remote methods are proxies as well."""

    def __instancecheck__(cls, instance: object) -> bool:
        return is_proxy(instance)

    def __subclasscheck__(cls, subclass: type) -> bool:
        return type.__subclasscheck__(Proxy, subclass) or type.__subclasscheck__(cls, subclass)


class BaseNetref(metaclass=NetrefMetaclass):
    """What ``isinstance`` is asked about: whether an object stands for one of a peer."""

    def __init__(self, conn: Any, id_pack: Any) -> None:
        raise NotImplementedError("proxies are made by their connection only")


def connection_of(proxy: Any) -> Any:
    """Give the connection of a proxy.

    Raises
    ------
    TypeError
        It is none, or its connection is gone.
    """
    target = target_of(proxy)
    owner = None if target is None else getattr(target[0], "owner", None)
    if owner is None:
        raise TypeError(f"a proxy of a connection is needed, not {type(proxy).__name__}")
    return owner


def local_class(module: str, name: str) -> type | None:
    """Give the class of this process that goes by the name of a remote one."""
    found = vars(sys.modules.get(module, object)).get(name)
    return found if isinstance(found, type) else None


def install_names() -> None:
    """Have proxies answer to the names that RPyC's users know."""
    for name, getter in {
        "____conn__": connection_of,
        "____id_pack__": get_id_pack,
        "____refcount__": lambda _proxy: 1,
    }.items():
        for cls in (Proxy, Member):
            setattr(cls, name, property(getter))
