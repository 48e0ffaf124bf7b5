"""What a peer may ask about objects, one small function each.

Every access to a name goes through `Policy`; every object is one that the peer was handed on this
connection. The functions call user code, so they run outside all locks, in a job.
"""

from __future__ import annotations

from collections.abc import Callable
from types import CoroutineType, FunctionType, MethodType
from typing import Any, Protocol

from nbrpc.errors import AccessDenied, StaleReference
from nbrpc.objects.access import Policy
from nbrpc.objects.boxing import Boxing, ByReference, ByValue
from nbrpc.objects.callbacks import Callback, function_of
from nbrpc.objects.describe import document, instance_names
from nbrpc.objects.draft import ATTRIBUTE, DEEP, SHALLOW
from nbrpc.objects.exposure import form_of
from nbrpc.objects.failures import exception_of
from nbrpc.objects.listing import find_quietly, keys_of, members_of
from nbrpc.objects.pages import item_at, page_of, value_at
from nbrpc.objects.rich import rich_forms
from nbrpc.objects.static import find
from nbrpc.objects.text import printable
from nbrpc.protocol.messages import Error, Operation, Request

__all__ = ["OPERATIONS", "Owner", "arguments", "find_entry", "find_object", "find_target"]


class Owner(Protocol):
    """What the operations need of the session that they serve."""

    policy: Policy
    root_object: Any

    @property
    def boxing(self) -> Boxing:
        """What makes wire values of objects, and back."""

    def run_coroutine(self, job: Any, coroutine: Any) -> Any:
        """Run a coroutine on the loop; the answer comes when it is done."""


BY_VALUE_CLASS = "__nbrpc_by_value__"

PLAIN = frozenset({int, float, str, bool, bytes, type(None)})
"""Plain results, for which it is no matter whether they were asked for by value."""


def find_object(owner: Owner, request: Request) -> Any:
    """Give the object that a request is about, without its path."""
    return find_entry(owner, request).obj


def find_entry(owner: Owner, request: Request) -> Any:
    """Give the object that a request is about with what is noted of it."""
    try:
        # One lookup in a dict, which is atomic: no lock.
        return owner.boxing.exports.entries[request.oid]
    except KeyError:
        # No breach of the protocol: a request that nobody waits for may come after the release of
        # what it is about.
        raise StaleReference(
            f"object {request.oid} is no longer held: its proxy was dropped before the request ran"
        ) from None


def find_target(owner: Owner, request: Request) -> Any:
    """Give the object, or the attribute of it, that a request is about."""
    target = find_object(owner, request)
    name = request.name
    if name:
        read = owner.policy.read
        for part in name.split(".") if "." in name else (name,):
            target = read(target, part)
    return target


def arguments(owner: Owner, request: Request) -> tuple[list[Any], dict[str, Any]]:
    """Unbox the arguments of a request."""
    unbox_all, args, kwargs = owner.boxing.unbox_all, request.args, request.kwargs
    request.args, request.kwargs = [], None  # what stays there is given back with a failure
    if not kwargs:
        return unbox_all(args, request.buffers), {}
    # All at once, since the limits and the buffers are those of the message.
    read = unbox_all([*args, *kwargs.values()], request.buffers)
    return read[: len(args)], dict(zip(kwargs, read[len(args) :], strict=True))


def call(owner: Owner, job: Any) -> Any:
    """Call the object, or the method at the end of the path."""
    request: Request = job.request
    policy = owner.policy
    entry = find_entry(owner, request)
    target = entry.obj
    name = request.name
    if "." in name:
        *parts, name = name.split(".")
        for part in parts:
            target = policy.read(target, part)
    if name:
        function, by_value, interruptible = policy.method(target, name)
        if not interruptible:
            job.interruptible = False
    else:
        # A plain function needs no look at special methods; a view may hide __call__.
        kind = type(target)
        function = (
            target
            if kind is FunctionType or kind is MethodType
            else function_of(target)
            if type(target) is Callback
            else policy.special(target, "__call__")
        )
        by_value = form_of(function)
    args = request.args
    if request.kwargs or not PLAIN.issuperset(map(type, args)):
        args, kwargs = arguments(owner, request)
        result = function(*args, **kwargs)
    else:
        result = function(*args)
    if by_value is not None:
        job.form = DEEP if by_value else SHALLOW
    elif entry.stays:
        job.form, job.stays = SHALLOW, True
    if type(result) is CoroutineType:
        return owner.run_coroutine(job, result)
    return result


def get(owner: Owner, job: Any) -> Any:
    """Read an attribute."""
    request: Request = job.request
    entry = find_entry(owner, request)
    target = entry.obj
    name = request.name
    if "." in name:
        *parts, name = name.split(".")
        for part in parts:
            target = owner.policy.read(target, part)
    value = owner.policy.read(target, name)
    if type(value) in PLAIN:
        return value
    declared = find(type(target), name)
    by_value = form_of(declared) if type(declared) is property else None
    if by_value is None and not callable(value):
        by_value = getattr(type(target), BY_VALUE_CLASS, None)
    job.form = ATTRIBUTE
    if by_value is not None:
        job.form = DEEP if by_value else SHALLOW
    elif entry.stays:
        job.form, job.stays = SHALLOW, True
    return value


def set_attribute(owner: Owner, job: Any) -> None:
    """Write an attribute."""
    request: Request = job.request
    args, _ = arguments(owner, request)
    target, name = _parent(owner, request)
    owner.policy.write(target, name, args[0])


def delete(owner: Owner, job: Any) -> None:
    """Delete an attribute."""
    target, name = _parent(owner, job.request)
    owner.policy.delete(target, name)


def _parent(owner: Owner, request: Request) -> tuple[Any, str]:
    """Give the object that has the last name of a path, and that name."""
    target = find_object(owner, request)
    *parts, name = request.name.split(".")
    for part in parts:
        target = owner.policy.read(target, part)
    return target, name


def special(owner: Owner, job: Any) -> Any:
    """Use a special method."""
    request: Request = job.request
    entry = find_entry(owner, request)
    method = owner.policy.special(entry.obj, request.name)
    args, _ = arguments(owner, request)
    result = method(*args)
    if entry.stays:
        job.form, job.stays = SHALLOW, True
    elif result is entry.obj or request.name == "__getitem__":
        job.form = ATTRIBUTE  # it is the state of the object, or the object itself
    if type(result) is CoroutineType:
        return owner.run_coroutine(job, result)
    if request.name == "__aenter__":  # which may give any awaitable
        return owner.run_coroutine(job, _awaited(result))
    return result


async def _awaited(result: Any) -> Any:
    return await result


async def _awaited_truth(result: Any) -> bool:
    return bool(await result)


def names(owner: Owner, job: Any) -> ByValue:
    """Give the names of the instance's attributes; runs nothing of it."""
    return ByValue(sorted(instance_names(find_target(owner, job.request), owner.policy)))


def list_names(owner: Owner, job: Any) -> ByValue:
    """Give all names that the peer sees."""
    return ByValue(owner.policy.visible(find_target(owner, job.request)))


def text(owner: Owner, job: Any) -> str:
    """Give str()."""
    target = find_target(owner, job.request)
    _require(owner, "__str__")
    return str(target)


def representation(owner: Owner, job: Any) -> str:
    """Give repr()."""
    target = find_target(owner, job.request)
    _require(owner, "__repr__")
    return repr(target)


def display(owner: Owner, job: Any) -> ByValue:
    """Give what a notebook shows: the repr, free of control sequences, and its richer forms."""
    text = {"text/plain": printable(representation(owner, job))}
    return ByValue({**rich_forms(find_target(owner, job.request)), **text})


def number(owner: Owner, job: Any) -> int:
    """Give hash()."""
    target = find_target(owner, job.request)
    _require(owner, "__hash__")
    return hash(target)


def _require(owner: Owner, name: str) -> None:
    if not owner.policy.allows_special(name):
        raise AccessDenied(f"the peer may not use {name}")


def obtain(owner: Owner, job: Any) -> ByValue:
    """Give a copy."""
    return ByValue(find_target(owner, job.request))


def deliver(owner: Owner, job: Any) -> ByReference:
    """Keep what came by value as an object of this side; needs the right to run code.

    Of any value it makes an object with all its operators, and a number alone would do: ``9 ** 9 **
    9`` holds the interpreter until it is killed.
    """
    if not owner.policy.access.allow_code:
        raise AccessDenied(
            "the peer may not copy objects to here without the right to run code (allow_code): "
            "pass the value to a method"
        )
    args, _ = arguments(owner, job.request)
    job.stays = True
    return ByReference(args[0])


def is_instance(owner: Owner, job: Any) -> bool:
    """Whether an object is an instance of a class; no ``__instancecheck__`` of the user runs."""
    request: Request = job.request
    cls = find_target(owner, request)
    args, _ = arguments(owner, request)
    if not isinstance(cls, type):
        raise TypeError("isinstance() arg 2 must be a class")
    return type.__instancecheck__(cls, args[0])


def leave(owner: Owner, job: Any) -> Any:
    """Leave a context manager, with the exception that the peer describes or with none.

    The name is that of the method: ``__aexit__``, or nothing for ``__exit__``.
    """
    request: Request = job.request
    args, _ = arguments(owner, request)
    method = owner.policy.special(find_object(owner, request), request.name or "__exit__")
    told: tuple[Any, ...] = (None, None, None)
    if args[0] is not None:
        type_name, error_args, message = args[0]
        error = exception_of(
            Error(type_name=str(type_name), args=list(error_args), text="", message=str(message)),
            lambda value: value,
        )
        told = (type(error), error, None)
    if request.name == "__aexit__":
        return owner.run_coroutine(job, _awaited_truth(method(*told)))
    return bool(method(*told))


def describe(owner: Owner, job: Any) -> Any:
    """Give signature, docstring, source and members, or the keys; runs no getter of the object.

    With the arguments ``("page", part, start, count, *step)``, a page of members or items.
    """
    request: Request = job.request
    policy = owner.policy
    args, _ = arguments(owner, request)
    if args[:1] == ["page"]:
        return page(owner, request, *args[1:])
    target = find_quietly(find_object(owner, request), request.name, policy)
    if args == ["keys"]:
        return ByValue({"keys": keys_of(target, policy)})
    found = document(target, policy)
    described = {name: getattr(found, name) for name in found.__struct_fields__}
    return ByValue({**described, "members": members_of(target, policy)})


def page(
    owner: Owner, request: Request, part: str, start: int, count: int, *step: Any
) -> tuple[ByReference, ByValue]:
    """Give an object that an explorer opens, and a page of what is in it."""
    target = find_object(owner, request)
    for name in request.name.split(".") if request.name else ():
        target = value_at(target, name, owner.policy)
    if step:
        target = item_at(target, step, owner.policy)
    return ByReference(target), ByValue(page_of(target, owner.policy, part, start, count))


def root(owner: Owner, job: Any) -> Any:
    """Give what this side serves."""
    if owner.root_object is None:
        raise AccessDenied("this side of the connection serves no object")
    job.stays = getattr(owner.root_object, "allow_code", False) is True
    return ByReference(owner.root_object)


OPERATIONS: dict[int, Callable[[Any, Any], Any]] = {
    Operation.ROOT: root,
    Operation.GET: get,
    Operation.SET: set_attribute,
    Operation.DELETE: delete,
    Operation.CALL: call,
    Operation.SPECIAL: special,
    Operation.DIR: list_names,
    Operation.NAMES: names,
    Operation.STR: text,
    Operation.REPR: representation,
    Operation.HASH: number,
    Operation.OBTAIN: obtain,
    Operation.INSTANCE: is_instance,
    Operation.DESCRIBE: describe,
    Operation.DISPLAY: display,
    Operation.DELIVER: deliver,
    Operation.EXCHANGE: leave,
}
