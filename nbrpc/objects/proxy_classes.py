"""The classes of proxies: each is made from the description of a remote class."""

from __future__ import annotations

from abc import ABCMeta
from typing import Any
from weakref import WeakSet

from nbrpc.objects.foreign import DATA, MAPPINGS, SEQUENCES, offers_of
from nbrpc.objects.generators import GENERATOR
from nbrpc.objects.mappings import MAPPING
from nbrpc.objects.mimicry import (
    MAPPING_FLAG,
    MIMICKED,
    SEQUENCE_FLAG,
    STAND_INS,
    arrays_match,
    class_property,
    of_pandas,
)
from nbrpc.objects.named_proxies import MEMBER, PATH
from nbrpc.objects.operators import operators_of
from nbrpc.objects.proxy import Caller, Proxy, has_members_only, set_slot, signature_at
from nbrpc.objects.specials import SPECIALS
from nbrpc.protocol.codec import Description, Ref, encode

__all__ = ["make_proxy", "proxy_class", "rpyc_proxy_class"]


def proxy_class(description: Description, *, mimic: bool, named: bool = False) -> type[Proxy]:
    """Make the class of the proxies for a remote class; other connections may have it too.

    Parameters
    ----------
    named
        Whether its proxies are those of paths or members of enumerations, which have a text.
    mimic
        Whether proxies of builtin containers and tables answer ``isinstance(proxy, list)`` and the
        like with True. Only the connecting side does that: a client must not pass for a local class
        on a server.
    """
    key = encode((description, mimic, named))
    known = _classes.get(key)
    if known is None:
        if len(_classes) >= MOST_CLASSES:
            _classes.clear()
        mimicked = STAND_INS.get(description.base or "") if mimic else None
        known = _classes[key] = _make_class(description, mimicked, libraries=mimic, named=named)
    return known


def rpyc_proxy_class(description: Description, *, connecting: bool) -> type[Proxy]:
    """Make the class of the proxies for a class of an RPyC peer; other connections have their own.

    As with RPyC, proxies of builtin containers pass for them on both sides.
    """
    mimicked = {**MIMICKED, **OF_RPYC}.get(description.base or "")
    return _make_class(description, mimicked, libraries=connecting)


OF_RPYC: dict[str, type] = {"frozenset": frozenset, "tuple": tuple}
"""What travels by value, save on RPyC's wire when there is in it what does not."""


_classes: dict[bytes, type[Proxy]] = {}
"""Proxy classes by what describes them; connections to servers of one kind share theirs."""

MOST_CLASSES = 512


def _make_class(
    description: Description, mimicked: type | None, *, libraries: bool, named: bool = False
) -> type[Proxy]:
    body: dict[str, Any] = {"__slots__": ()}
    body["_nbrpc_members_only_"] = has_members_only(description)
    body["_nbrpc_is_function_"] = description.kind == "function"
    body["_nbrpc_sessions_"] = WeakSet()
    if "__call__" in description.specials:
        body["__signature__"] = property(lambda proxy: signature_at(proxy, ""))
    for name in description.specials:
        method = SPECIALS.get(name)
        if method is not None:
            body[name] = method
    if "__iter__" in body or "__aiter__" in body:
        body["__iter__"] = SPECIALS["__iter__"]
        body["__aiter__"] = SPECIALS["__aiter__"]
    if "__eq__" in body:
        body.setdefault("__ne__", SPECIALS["__ne__"])
    base: type[Proxy] = Proxy
    if description.kind == "class":
        body["__instancecheck__"] = SPECIALS["__instancecheck__"]
        body["__subclasscheck__"] = SPECIALS["__subclasscheck__"]
    elif description.kind == "instance":
        body.update(_of_data(description))
        if mimicked is not None or libraries:
            body["__class__"] = class_property(mimicked, description.base, libraries=libraries)
        if mimicked is not None:
            base = PATTERNS.get(description.base or "", Proxy)
        elif libraries and description.base == "numpy.ndarray" and arrays_match():
            base = _Sequence
    if named:
        body.update(PATH if description.base == "path" else MEMBER)
    name = "".join(c for c in description.name if c.isidentifier() or c.isdigit())[:80] or "object"
    body["__module__"] = "nbrpc.proxy"
    body["__doc__"] = Proxy.__doc__  # type() would put None there
    return type(name, (base,), body)


def _of_data(description: Description) -> dict[str, Any]:
    """Give what the proxies of data and generators have beyond what the peer's class says."""
    body: dict[str, Any] = offers_of(description.specials, description.base)
    if description.base in DATA:
        body["_nbrpc_is_data_"] = True
        body["_nbrpc_is_table_"] = of_pandas(description.base)
        body.update(operators_of(description.specials, description.base))
    if description.base in MAPPINGS:
        body.update(MAPPING)
    if (description.module, description.name) == ("builtins", "generator"):
        body.update(GENERATOR)
    return body


class _Mapping(Proxy):
    """What `match` takes for a mapping."""

    __slots__ = ()


class _Sequence(Proxy):
    """What `match` takes for a sequence."""

    __slots__ = ()


# Python knows both by a flag of the class, which is inherited, and which classes such as those of
# ``collections.abc`` hand to what is registered with them. No array is one of those.
for _flag, _class in ((MAPPING_FLAG, _Mapping), (SEQUENCE_FLAG, _Sequence)):
    ABCMeta("Pattern", (), {"__abc_tpflags__": _flag}).register(_class)

PATTERNS: dict[str, type[Proxy]] = {
    **dict.fromkeys(MAPPINGS, _Mapping),
    **dict.fromkeys(SEQUENCES - {"bytearray"}, _Sequence),
}
"""The base class of proxies that mimic, by that of their object."""


def make_proxy(cls: type[Proxy], session: Caller, ref: Ref, description: Description) -> Proxy:
    """Make a proxy of a class that `proxy_class` gave."""
    proxy = cls.__new__(cls)
    set_slot(proxy, "_nbrpc_session_", session)
    set_slot(proxy, "_nbrpc_oid_", ref.oid)
    set_slot(proxy, "_nbrpc_text_", ref.text)
    set_slot(proxy, "_nbrpc_description_", description)
    set_slot(proxy, "_nbrpc_stream_", None)
    set_slot(proxy, "_nbrpc_name_", None)
    return proxy
