"""What Tab and ``?`` may ask about an object: what a path leads to, its members, its keys.

A key that is pressed must not move hardware, so no getter runs: a path goes over what stands in
classes and in instance dictionaries. Over a property it goes by the class that the property is
annotated to return, if there is one.
"""

from __future__ import annotations

import sys
from itertools import islice
from types import FunctionType, MethodDescriptorType, MethodType
from typing import Any, Final

from nbrpc.errors import AccessDenied
from nbrpc.objects.access import REFUSED_RESULTS, Policy, Right
from nbrpc.objects.describe import describe, instance_names
from nbrpc.objects.exposure import Restricted
from nbrpc.objects.static import (
    MISSING,
    bind,
    find,
    is_class,
    is_kind_of,
    own_attributes,
    property_getter,
)

__all__ = ["find_quietly", "keys_of", "members_of"]

MAX_KEYS: Final = 1_000
KEY_TYPES: Final = (str, int)


def find_quietly(obj: Any, path: str, policy: Policy) -> Any:
    """Give what a path of names leads to, without running a getter on the way.

    Raises
    ------
    AccessDenied
        The peer may not reach it, or it cannot be seen without being read.
    """
    for part in path.split(".") if path else ():
        declared = _declared(obj)
        obj = obj if declared is None else declared
        if find(type(obj) if declared is None else obj, "_rpyc_getattr") is not MISSING:
            # Its class decides about each name as it is read.
            raise AccessDenied(f"{part[:80]!r} cannot be seen before it is read", name=part)
        real = policy.resolve(obj, part, Right.READ)
        found = own_attributes(obj).get(real, MISSING)
        if found is MISSING:
            found = find(obj if is_class(obj) else type(obj), real)
        if found is MISSING:
            raise AccessDenied(f"{type(obj).__name__} has no {part[:80]!r}")
        if is_kind_of(found, REFUSED_RESULTS) and not policy.everything:
            raise AccessDenied(f"{part[:80]!r} is given only where code may run (allow_code)")
        # A function is bound, so that its signature is that of a call; anything else (a property,
        # a class) stays as it is. The class stands for its object behind a property.
        if type(found) is FunctionType and (declared is not None or not is_class(obj)):
            obj = MethodType(found, obj)
        else:
            obj = bind(found, obj) if type(found) is MethodDescriptorType else found
    return obj


def members_of(obj: object, policy: Policy) -> dict[str, str]:
    """Give the visible names of an object with their kinds; of a property, those of its values."""
    declared = _declared(obj)
    if declared is not None:
        return describe(declared, policy).members
    if is_kind_of(obj, property):
        return {}
    return {**describe(obj, policy).members, **instance_names(obj, policy)}


def keys_of(obj: Any, policy: Policy) -> list[str | int]:
    """Give the keys that may stand in brackets after an object, at most 1,000.

    They are those of a dictionary, or what ``_ipython_key_completions_`` of the class gives, which
    exists for that purpose.

    Raises
    ------
    AccessDenied, TypeError
        The peer may not index it, or nobody can.
    """
    if type(obj) is Restricted:
        return []
    policy.special(obj, "__getitem__")
    keys: Any = ()
    if is_kind_of(obj, dict):
        keys = dict.keys(obj)
    else:
        method = find(type(obj), "_ipython_key_completions_")
        if type(method) is FunctionType:
            keys = method(obj)
    try:
        return [key for key in islice(keys, MAX_KEYS) if type(key) in KEY_TYPES]
    except RuntimeError:  # it grew meanwhile, in another thread
        return []


def _declared(value: object) -> type | None:
    """Give the class that a property says its values have."""
    if not is_kind_of(value, property):
        return None
    getter = property_getter(value)
    if type(getter) is not FunctionType or sys.version_info >= (3, 14):
        return None  # from 3.14 on to look at an annotation may mean to run it
    declared = getter.__annotations__.get("return")
    if type(declared) is str:
        declared = getter.__globals__.get(declared)
    return declared if is_class(declared) else None
