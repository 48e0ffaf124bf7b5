"""Requests of ours that RPyC has no single message for, made of those that it has."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any, cast

from nbrpc.errors import AccessDenied, LocalProtocolError
from nbrpc.objects.proxy import is_proxy, target_of
from nbrpc.objects.text import printable
from nbrpc.protocol.messages import Operation
from nbrpc.protocol.rpyc.requests import RpycOperation
from nbrpc.session.rpyc import cells
from nbrpc.session.rpyc.copying import deliver, obtain
from nbrpc.session.rpyc.looking import describe, html_of
from nbrpc.session.rpyc.patience import seconds_left

if TYPE_CHECKING:
    from nbrpc.session.rpyc.session import RpycSession

__all__ = ["MISSING", "TRANSLATED"]

Translation = Callable[[Any, int, str, tuple[Any, ...]], Any]


def _ask(session: RpycSession, op: int, oid: int, name: str, args: tuple[Any, ...] = ()) -> Any:
    return session.finish(*session.begin(op, oid, name, args, None, seconds_left()))


def _root(session: RpycSession, _oid: int, _name: str, _args: tuple[Any, ...]) -> Any:
    """Give what the peer serves; it is asked once."""
    if session.root is None:
        session.root = _ask(session, Operation.ROOT, 0, "")
    return session.root


def _of_member(op: int) -> Translation:
    """Make a request about an attribute, which has to be read first: RPyC knows no paths."""

    def translate(session: RpycSession, oid: int, name: str, args: tuple[Any, ...]) -> Any:
        if not name:
            return _ask(session, op, oid, "", args)
        found = _ask(session, Operation.GET, oid, name)
        if not is_proxy(found):
            return repr(found) if op == Operation.REPR else str(found)
        return _ask(session, op, found._nbrpc_oid_, "", args)

    return translate


def _names(session: RpycSession, oid: int, _name: str, _args: tuple[Any, ...]) -> list[str]:
    """Give the names of an object; those of Python's own are left out, as nbrpc's peers do."""
    found = _ask(session, Operation.DIR, oid, "")
    told = found if type(found) is tuple else ()
    return [name for name in told if type(name) is str and name[:1] != "_"]


def _display(session: RpycSession, oid: int, name: str, args: tuple[Any, ...]) -> dict[str, str]:
    """Give what an object shows itself as: its repr, and HTML where this side may ask for that."""
    html = None if name else html_of(session, oid)
    try:
        text = TRANSLATED[Operation.REPR](session, oid, name, args)
    finally:  # it was asked for, and may hold something
        told = None if html is None else html()
    data = {"text/plain": printable(str(text))}
    return data if told is None else {**data, "text/html": told}


def _is_instance(session: RpycSession, oid: int, _name: str, args: tuple[Any, ...]) -> bool:
    """Whether an object is an instance of a class of the peer: only its own objects can be.

    RPyC's servers leave the usual case to the number of the class in the name of the object, and
    know nothing of subclasses; where this side may run code, the peer's own function does.
    """
    target = target_of(args[0])
    if target is None or target[0] is not cast("Any", session):
        return False
    name, cls = session.protocol.held.name(target[1]), session.protocol.held.name(oid)
    if name[1] == cls[1] and name[2] != 0 and cls[2] == 0:
        return True
    if session.allows_code:
        builtins = _classic("getmodule")(session, 0, "builtins", ())
        return builtins.isinstance(args[0], session.boxing.proxy(oid)) is True
    return _ask(session, Operation.INSTANCE, oid, "", args) is True


def _leave(session: RpycSession, oid: int, _name: str, args: tuple[Any, ...]) -> bool:
    """Leave a context manager. RPyC raises there what it is given: a text becomes a TypeError."""
    described = args[0]
    given = None if described is None else f"{described[0]}: {described[2]}"
    return _ask(session, RpycOperation.LEAVE, oid, "", (given,)) is True


def _classic(attribute: str) -> Translation:
    """Make a request to run code, of a peer that serves RPyC's classic mode."""

    def translate(session: RpycSession, _oid: int, text: str, args: tuple[Any, ...]) -> Any:
        if session.connecting and not session.allows_code:
            raise AccessDenied(
                f"{session.name} speaks RPyC and does not let clients run code: that takes a "
                "server of its classic mode"
            )
        root = _root(session, 0, "", ())
        if args == ("namespace",):
            return _ask(session, Operation.GET, root._nbrpc_oid_, "namespace")
        if args == ("traceback",):
            connection = _ask(session, Operation.CALL, root._nbrpc_oid_, "getconn")
            return _ask(session, Operation.GET, connection._nbrpc_oid_, "_last_traceback")
        if args:
            names = _ask(session, Operation.GET, root._nbrpc_oid_, "namespace")
            names.update(deliver(session, 0, "", args[1:]))
            return None
        return _ask(session, Operation.CALL, root._nbrpc_oid_, attribute, (text,))

    return translate


def _missing(what: str, instead: str) -> Translation:
    def translate(session: RpycSession, _oid: int, _name: str, _args: tuple[Any, ...]) -> Any:
        raise LocalProtocolError(f"{session.name} speaks RPyC, which has no {what}: {instead}")

    return translate


SERVE = "serve with nbrpc there"

MISSING: dict[int, Translation] = {
    Operation.SUBSCRIBE: _missing("events", "pass a function, which the service calls"),
    Operation.WATCH: _missing("events", f"read it now and then, or {SERVE}"),
    Operation.STREAM: _missing("streams", SERVE),
}
"""What RPyC has nothing for."""

TRANSLATED: dict[int, Translation] = {
    Operation.ROOT: _root,
    Operation.STR: _of_member(Operation.STR),
    Operation.REPR: _of_member(Operation.REPR),
    Operation.NAMES: _names,
    Operation.DISPLAY: _display,
    Operation.DESCRIBE: describe,
    Operation.INSTANCE: _is_instance,
    Operation.EXCHANGE: _leave,
    Operation.OBTAIN: obtain,
    Operation.DELIVER: deliver,
    Operation.IMPORT: _classic("getmodule"),
    Operation.EVALUATE: _classic("eval"),
    Operation.EXECUTE: _classic("execute"),
    Operation.COMPLETE: cells.complete,
    Operation.INSPECT: cells.inspect,
    **MISSING,
}
"""From an operation to what carries it out."""
