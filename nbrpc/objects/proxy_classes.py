"""The classes of proxies: each is made from the description of a remote class."""

from __future__ import annotations

from typing import Any

from nbrpc.objects.mimicry import class_property
from nbrpc.objects.proxy import Caller, Proxy, has_members_only, set_slot
from nbrpc.objects.specials import MIMICKED, SPECIALS
from nbrpc.protocol.codec import Description, encode

__all__ = ["make_proxy", "proxy_class"]


def proxy_class(description: Description, *, mimic: bool, shared: bool = True) -> type[Proxy]:
    """Make the class of the proxies for a remote class.

    Parameters
    ----------
    shared
        Whether other connections may have it too: not where its "routines" become methods.
    mimic
        Whether proxies of builtin containers answer ``isinstance(proxy, list)`` and the like with
        True. Only the connecting side does that: a client must not pass for a local class on a
        server.
    """
    if not shared:
        return _make_class(description, mimic=mimic)
    key = encode((description, mimic))
    known = _classes.get(key)
    if known is None:
        if len(_classes) >= MOST_CLASSES:
            _classes.clear()
        known = _classes[key] = _make_class(description, mimic=mimic)
    return known


_classes: dict[bytes, type[Proxy]] = {}
"""Proxy classes by what describes them; connections to servers of one kind share theirs."""

MOST_CLASSES = 512


def _make_class(description: Description, *, mimic: bool) -> type[Proxy]:
    body: dict[str, Any] = {"__slots__": ()}
    body["_nbrpc_members_only_"] = has_members_only(description)
    body["_nbrpc_is_function_"] = description.kind == "function"
    for name in description.specials:
        method = SPECIALS.get(name)
        if method is not None:
            body[name] = method
    if "__iter__" in body or "__aiter__" in body:
        body["__iter__"] = SPECIALS["__iter__"]
        body["__aiter__"] = SPECIALS["__aiter__"]
    if "__eq__" in body:
        body.setdefault("__ne__", SPECIALS["__ne__"])
    if description.kind == "class":
        body["__instancecheck__"] = SPECIALS["__instancecheck__"]
    if mimic and description.kind == "instance":
        body["__class__"] = class_property(MIMICKED.get(description.base or ""))
    name = "".join(c for c in description.name if c.isidentifier() or c.isdigit())[:80] or "object"
    body["__module__"] = "nbrpc.proxy"
    body["__doc__"] = Proxy.__doc__  # type() would put None there
    return type(name, (Proxy,), body)


def make_proxy(cls: type[Proxy], session: Caller, oid: int, description: Description) -> Proxy:
    """Make a proxy of a class that `proxy_class` gave."""
    proxy = cls.__new__(cls)
    set_slot(proxy, "_nbrpc_session_", session)
    set_slot(proxy, "_nbrpc_oid_", oid)
    set_slot(proxy, "_nbrpc_description_", description)
    set_slot(proxy, "_nbrpc_stream_", None)
    set_slot(proxy, "_nbrpc_name_", None)
    return proxy
