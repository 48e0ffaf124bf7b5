"""What an RPyC peer may ask about our objects, where that differs from what nbrpc's peers ask.

Every access goes through the same `Policy`. Names are never paths here.
"""

from __future__ import annotations

from collections.abc import Callable
from itertools import islice
from typing import TYPE_CHECKING, Any

from nbrpc.errors import AccessDenied
from nbrpc.objects import operations
from nbrpc.objects.describe import describe
from nbrpc.objects.draft import ByReference
from nbrpc.objects.failures import exception_of
from nbrpc.objects.foreign import TOLD
from nbrpc.objects.operations import OPERATIONS, arguments, find_object
from nbrpc.objects.proxy import Proxy, is_proxy
from nbrpc.options import SAFE_ATTRIBUTES
from nbrpc.protocol.messages import Error, Operation
from nbrpc.protocol.rpyc.requests import COMPARISONS, RpycOperation
from nbrpc.session.rpyc.classic import ClassicRoot, HarmlessRoot

if TYPE_CHECKING:
    from nbrpc.session.job import RequestJob
    from nbrpc.session.rpyc.session import RpycSession

__all__ = ["RPYC_OPERATIONS"]

MOST_ITEMS = 100_000
"""Items that one request may take from an iterator."""

Answer = Callable[[Any, Any], Any]


def _by_name(operation: Answer) -> Answer:
    """Make an operation of the native protocol take its name as a name, not as a path."""

    def answer(session: RpycSession, job: RequestJob) -> Any:
        name = job.request.name
        if "." in name:
            raise AttributeError(f"there is no attribute {name[:80]!r}")
        return operation(session, job)

    return answer


def _root(session: RpycSession, job: RequestJob) -> Any:
    """Give what this side serves; where that is running code, what RPyC's clients use for it."""
    if session.policy.access.allow_code and getattr(session.root_object, "allow_code", False):
        if session.classic_root is None:
            session.classic_root = ClassicRoot(session)
        return ByReference(session.classic_root)
    # Of the very class: one that derives from it may well expose something.
    if session.connecting and vars(type(session.root_object)).get("exposes_nothing") is True:
        if session.classic_root is None:
            session.classic_root = HarmlessRoot()
        return ByReference(session.classic_root)
    return operations.root(session, job)


def _special(session: RpycSession, job: RequestJob) -> Any:
    """Use a special method."""
    if job.request.name == "__call__":
        job.request.name = ""
        return operations.call(session, job)
    return operations.special(session, job)


def _compare(session: RpycSession, job: RequestJob) -> Any:
    """Use a comparison; no other special method can be named here."""
    if job.request.name not in COMPARISONS:
        raise AttributeError(f"there is no comparison {job.request.name[:80]!r}")
    return operations.special(session, job)


def _release(session: RpycSession, job: RequestJob) -> None:
    """Take references back; who counts wrong harms itself only."""
    args, _ = arguments(session, job.request)
    count = args[0] if args and type(args[0]) is int else 1
    oid = job.request.oid
    exports = session.boxing.exports
    with session.guard:
        entry = exports.entries.get(oid)
        if entry is None or count < 1:
            return
        dropped = exports.release(oid, min(count, entry.count))
        if oid not in exports.entries:
            session.protocol.lent.forget(oid)
    session.drop_generators([dropped])


def _specials(session: RpycSession, job: RequestJob) -> tuple[tuple[str, None], ...]:
    """Give the special methods of an object; of others RPyC's proxies ask one by one."""
    found = describe(find_object(session, job.request), session.policy)
    names = set(found.specials) - UNASKED
    if found.kind in CALLABLE:
        names.add("__call__")
    return tuple((name, None) for name in sorted(names))


CALLABLE = frozenset({"class", "function"})
UNASKED = TOLD - SAFE_ATTRIBUTES
"""What a description names and no peer may ask for: nbrpc's answer with a copy."""


def _take(session: RpycSession, job: RequestJob) -> tuple[Any, ...]:
    """Give the next items of an iterator, as a tuple."""
    args, _ = arguments(session, job.request)
    count = args[0] if args and type(args[0]) is int else 0
    advance = session.policy.special(find_object(session, job.request), "__next__")
    return tuple(islice(iter(_Iterator(advance)), max(0, min(count, MOST_ITEMS))))


class _Iterator:
    """An iterator whose ``next`` is a method that the policy gave."""

    def __init__(self, advance: Callable[[], Any]) -> None:
        self._advance = advance

    def __iter__(self) -> _Iterator:
        return self

    def __next__(self) -> Any:
        return self._advance()


def _pickle(session: RpycSession, job: RequestJob) -> bytes:
    """Give an object pickled, to a peer that asks for it, if this side was told to allow that.

    A peer that may run code may do it by itself, and RPyC's classic clients expect it.
    """
    access = session.policy.access
    if not (access.allow_pickle or access.allow_code):
        raise ValueError("pickling is disabled: allow_pickle is not set in the configuration here")
    import pickle  # only ever written here, and only where the user has asked for it by name

    args, _ = arguments(session, job.request)
    obj = find_object(session, job.request)
    return pickle.dumps(obj, protocol=args[0] if args and type(args[0]) is int else None)


def _leave(session: RpycSession, job: RequestJob) -> bool:
    """Leave a context manager with none or with the exception that the class of the peer names."""
    args, _ = arguments(session, job.request)
    method = session.policy.special(find_object(session, job.request), "__exit__")
    error = args[0] if args else None
    if error is None:
        return bool(method(None, None, None))
    name, message = "RuntimeError", ""
    if type(error) is str:  # what this side's clients send: see `translated`
        name, _, message = error.partition(": ")
    elif is_proxy(error) and isinstance(type(error), type) and issubclass(type(error), Proxy):
        described = error._nbrpc_description_
        name = described.name if described.module == "builtins" else name
    raised = exception_of(Error(name, [message], "", message), lambda value: value)
    return bool(method(type(raised), raised, None))


def _is_instance(session: RpycSession, job: RequestJob) -> bool:
    """Whether one of our objects is an instance of a class."""
    other: Any = job.request.args[0]
    if other.oid not in session.boxing.exports.entries:
        return False
    return operations.is_instance(session, job)


def _names(session: RpycSession, job: RequestJob) -> tuple[str, ...]:
    """Give all names that the peer sees."""
    listed: Any = operations.list_names(session, job).obj
    return tuple(listed)


def _refuse(_session: RpycSession, _job: RequestJob) -> None:
    raise AccessDenied("slices as Python 2 knew them are not served: use obj[start:stop]")


RPYC_OPERATIONS: dict[int, Answer] = {
    Operation.ROOT: _root,
    Operation.GET: _by_name(OPERATIONS[Operation.GET]),
    Operation.SET: _by_name(OPERATIONS[Operation.SET]),
    Operation.DELETE: _by_name(OPERATIONS[Operation.DELETE]),
    Operation.CALL: _by_name(OPERATIONS[Operation.CALL]),
    Operation.SPECIAL: _special,
    Operation.STR: OPERATIONS[Operation.STR],
    Operation.REPR: OPERATIONS[Operation.REPR],
    Operation.HASH: OPERATIONS[Operation.HASH],
    Operation.DIR: _names,
    Operation.INSTANCE: _is_instance,
    RpycOperation.RELEASE: _release,
    RpycOperation.SPECIALS: _specials,
    RpycOperation.TAKE: _take,
    RpycOperation.PICKLE: _pickle,
    RpycOperation.LEAVE: _leave,
    RpycOperation.COMPARE: _compare,
    RpycOperation.REFUSED: _refuse,
}
"""All that an RPyC peer may ask."""
