"""What an explorer asks about an object: its members and items, a page at a time.

Opening a node must not move hardware, so no getter runs: values are shown where they stand in an
instance dictionary, a slot, a class or a container of the interpreter. What only reading would tell
(a property, anything of a class that decides itself what is read) is marked as such.

A container is looked into only if its class has not replaced how it is read; a class that has done
so wants its items seen its own way.
"""

from __future__ import annotations

import re
from collections import OrderedDict, deque
from itertools import islice
from types import FunctionType, MemberDescriptorType, MethodType, ModuleType
from typing import Any, Final, NamedTuple

from nbrpc.errors import AccessDenied
from nbrpc.objects.access import REFUSED_RESULTS, Policy, Right
from nbrpc.objects.describe import document_member
from nbrpc.objects.exposure import Restricted
from nbrpc.objects.glimpses import glimpse, is_plain, named, spelled
from nbrpc.objects.listing import members_of
from nbrpc.objects.proxy import is_proxy
from nbrpc.objects.signatures import signature_of
from nbrpc.objects.static import (
    MISSING,
    find,
    is_class,
    is_kind_of,
    namespace,
    own_attributes,
    property_getter,
    slot_value,
)

__all__ = ["LARGEST_PAGE", "Row", "item_at", "page_of", "value_at"]

LARGEST_PAGE: Final = 500
MAX_NAME: Final = 200
MAX_SIGNATURE: Final = 300
MAX_LINE: Final = 160

SEQUENCES: Final[tuple[type, ...]] = (list, tuple, deque)
MAPPINGS: Final[tuple[type, ...]] = (OrderedDict, dict)
SETS: Final[tuple[type, ...]] = (set, frozenset)

KEYS: Final = frozenset(map(id, (str, int, float, bool, bytes, type(None))))
"""Classes of keys by which an item is found again, by id; others are found by their position."""

ORDER: Final = {"data": 0, "property": 1, "event": 2, "class": 4, "exception": 4, "module": 5}
"""How members are sorted; methods of all kinds stand in between."""

CALLED: Final = frozenset({"method", "coroutine", "generator"})

SELF: Final = re.compile(r"^\(self(?:, /(?=[,)]))?(?:, )?")
"""The parameter that a caller does not give, with the slash that may follow it."""

USUAL: Final = frozenset(
    id(namespace(cls)["__getattribute__"]) for cls in (object, type, ModuleType)
)
"""The ways to read an attribute under which an instance dictionary tells the truth."""


class Row(NamedTuple):
    """One line of a page; only plain values, since it travels by value.

    Attributes
    ----------
    name : str
        Of a member; of an item what stands in its brackets.
    kind : str
        That of a member, or ``item``.
    text : str
        The value in short, or the class that a property says it gives.
    signature, doc : str
        How it is called, and the first line of its documentation.
    opens : bool
        Whether there is something inside, to be found without reading anything.
    reads : bool
        Whether only reading would tell more.
    step : tuple
        How an item is found again: ``("key", key)`` or ``("at", position)``; empty for a member.
    """

    name: str
    kind: str
    text: str = ""
    signature: str = ""
    doc: str = ""
    opens: bool = False
    reads: bool = False
    step: tuple[Any, ...] = ()


def page_of(obj: Any, policy: Policy, part: str, start: int, count: int) -> dict[str, Any]:
    """Give a page of what is in an object.

    Parameters
    ----------
    part
        ``members`` or ``items``; an empty text for the items of a container and the members of
        anything else.
    start, count
        Which rows; at most 500.

    Returns
    -------
    dict
        ``rows`` are `Row` as lists, of ``total``; ``members`` is the number of members beside
        items.
    """
    start, count = max(0, start), max(0, min(count, LARGEST_PAGE))
    kind = _container(obj, policy)
    members = members_of(obj, policy)
    if part == "items" or (not part and kind is not None):
        total = 0 if kind is None else len(obj)
        rows = [] if kind is None else _items(obj, kind, policy, start, count)
        beside = len(members)
    else:
        names = sorted(members, key=lambda name: _place(name, members[name]))
        total, beside = len(names), 0
        rows = [_member(obj, name, members[name], policy) for name in names[start : start + count]]
    return {
        "total": total,
        "members": beside,
        "rows": [list(row) for row in rows],
    }


def value_at(obj: Any, name: str, policy: Policy) -> Any:
    """Give what stands in an object under a name, as reading it would, but without reading it.

    Raises
    ------
    AccessDenied
        The peer may not reach it, or only reading would tell.
    """
    value = _standing(obj, name, policy)
    if value is MISSING or not _may_open(obj, value, policy):
        raise AccessDenied(f"{name[:80]!r} cannot be opened before it is read", name=name)
    return value


def item_at(obj: Any, step: tuple[Any, ...], policy: Policy) -> Any:
    """Give an item of a container, by the step of its row.

    Raises
    ------
    AccessDenied
        The peer may not look into it, or it is no container.
    LookupError
        The item is not there any more.
    """
    base = _container(obj, policy)
    if base is None:
        raise AccessDenied("what is no plain container has no items to open")
    way, where = step
    value = MISSING
    if way == "key" and base in MAPPINGS and id(type(where)) in KEYS:
        value = dict.get(obj, where, MISSING)
    elif way == "at" and type(where) is int and where >= 0:
        found = _taken(obj, base, where, 1)
        value = found[0][1] if found else MISSING
    if value is MISSING:
        raise LookupError("this item is not there any more")
    if not _may_open(obj, value, policy):
        raise AccessDenied("a module or frame can be opened only where code may be run")
    return value


def _place(name: str, kind: str) -> tuple[bool, int, str, str]:
    return name.startswith("_"), ORDER.get(kind, 3), name.lower(), name


def _member(obj: Any, name: str, kind: str, policy: Policy) -> Row:
    signature = doc = ""
    try:
        found = document_member(obj, name, policy, with_source=False)
        signature, doc = found.signature or "", _first_line(found.doc)
    except (AccessDenied, AttributeError):
        pass  # the name alone, then
    if kind in CALLED:
        if not is_class(obj):
            signature = SELF.sub("(", signature)
        return _row(name, kind, signature=signature, doc=doc)
    if kind == "event":
        return _row(name, kind, doc=doc)
    try:
        value = MISSING if kind == "property" else _standing(obj, name, policy)
    except AccessDenied:  # a hook or another thread has the last word, when it is read
        value = MISSING
    if value is MISSING:
        kind = "property" if kind == "data" else kind  # a descriptor that computes it
        return _row(name, kind, text=_declared(obj, name, policy), doc=doc, reads=True)
    opens = not is_plain(value) and _may_open(obj, value, policy)
    reads = not is_plain(value) and not opens
    if kind in {"class", "exception", "module"}:
        return _row(name, kind, signature=signature, doc=doc, opens=opens)
    return _row(name, kind, text=glimpse(value), opens=opens, reads=reads)


def _row(name: str, kind: str, **rest: Any) -> Row:
    for key, limit in (("signature", MAX_SIGNATURE), ("doc", MAX_LINE)):
        if key in rest:
            rest[key] = spelled(rest[key], limit)
    return Row(name[:MAX_NAME], kind, **rest)


def _first_line(doc: str | None) -> str:
    return (doc or "").strip().partition("\n")[0].strip()


def _declared(obj: Any, name: str, policy: Policy) -> str:
    """Give the class that a property says its values have."""
    if type(obj) is Restricted or policy.is_hooked(obj):
        return ""
    real = policy.resolve(obj, name, Right.READ)
    found = find(obj if is_class(obj) else type(obj), real)
    if not is_kind_of(found, property):
        return ""
    _, arrow, declared = (signature_of(property_getter(found)) or "").rpartition(" -> ")
    return spelled(declared) if arrow else ""


def _items(obj: Any, base: type, policy: Policy, start: int, count: int) -> list[Row]:
    rows = []
    for position, (key, value) in enumerate(_taken(obj, base, start, count), start):
        step: tuple[Any, ...] = ("at", position)
        if base in SEQUENCES:
            name = str(position)
        else:
            name = glimpse(key) or named(key)
            if base in MAPPINGS and id(type(key)) in KEYS and len(name) <= MAX_NAME:
                step = ("key", key)
        text = "" if base in SETS else glimpse(value) or named(value)
        opens = not is_plain(value) and _may_open(obj, value, policy)
        rows.append(Row(name, "item", text, opens=opens, step=step))
    return rows


def _taken(obj: Any, base: Any, start: int, count: int) -> list[tuple[Any, Any]]:
    """Give some keys and values of a container, by the methods of the interpreter's own class.

    One call of C takes them, so another thread cannot change the container meanwhile.
    """
    if base in MAPPINGS:
        return list(islice(base.items(obj), start, start + count))
    values = list(islice(base.__iter__(obj), start, start + count))
    return [(value, value) for value in values]


def _container(obj: Any, policy: Policy) -> type | None:
    """Give the class of the interpreter as which an object can be looked into; None for others."""
    if type(obj) is Restricted:
        return None
    for base in (*SEQUENCES, *MAPPINGS, *SETS):
        if not is_kind_of(obj, base):
            continue
        names = ["__iter__", "__len__"] + ["__getitem__"] * (base not in SETS)
        if any(find(type(obj), name) is not find(base, name) for name in names):
            return None
        try:
            policy.special(obj, names[-1] if base not in SETS else "__iter__")
        except (AccessDenied, AttributeError, TypeError):
            return None
        return base
    return None


def _standing(obj: Any, name: str, policy: Policy) -> Any:
    """Give what reading an attribute would give, if no code runs for it; else `MISSING`.

    Raises
    ------
    AccessDenied
        The peer may not reach it.
    """
    if type(obj) is Restricted or policy.is_hooked(obj):
        return MISSING
    real = policy.resolve(obj, name, Right.READ)
    if id(find(type(obj), "__getattribute__")) not in USUAL:
        return MISSING
    own = own_attributes(obj).get(real, MISSING)
    if is_class(obj):
        found = find(obj, real)
        if find(type(obj), real) is not MISSING and type(obj) is not type:
            return MISSING  # the metaclass has a say
        return found if _is_inert(found) else MISSING
    found = find(type(obj), real)
    if type(found) is MemberDescriptorType:
        return slot_value(found, obj)
    if own is not MISSING:
        return own if not _overrides(found) else MISSING
    if type(found) is FunctionType:
        return MethodType(found, obj)
    return found if _is_inert(found) else MISSING


def _is_inert(value: object) -> bool:
    """Whether an entry of a class is given as it is."""
    return value is MISSING or find(type(value), "__get__") is MISSING


def _overrides(value: object) -> bool:
    """Whether an entry of a class comes before an instance dictionary."""
    if value is MISSING:
        return False
    return any(find(type(value), name) is not MISSING for name in ("__set__", "__delete__"))


def _may_open(owner: object, value: object, policy: Policy) -> bool:
    """Whether the peer may be lent a value that it sees in an object."""
    if (is_kind_of(value, REFUSED_RESULTS) and not policy.everything) or is_proxy(value):
        return False
    # Such a class gives copies; its insides are not to be lent.
    return is_class(owner) or find(type(owner), "__nbrpc_by_value__") is not True
