"""The short way of a call to an RPyC peer; `nbrpc.session.quick` says what short ways are for."""

from __future__ import annotations

import time
from _thread import get_ident
from typing import TYPE_CHECKING, Any

from nbrpc.errors import NbrpcError, NotSendable
from nbrpc.protocol.messages import Operation
from nbrpc.protocol.rpyc.machine import NO_REPLY, QUICK_OPERATIONS
from nbrpc.protocol.rpyc.requests import COMPARISONS
from nbrpc.session import interrupts
from nbrpc.session.call import current_job
from nbrpc.session.interrupts import SIGINT, getsignal
from nbrpc.session.quick import PLAIN, READ_SIZE

if TYPE_CHECKING:
    from nbrpc.session.call import Call
    from nbrpc.session.rpyc.session import RpycSession

__all__ = ["request", "start"]

BUSY = 24
"""Requests that are outstanding when a further one may wait for company."""


def is_usual(session: RpycSession, op: int, name: str, args: tuple[Any, ...]) -> bool:
    """Whether a request can be written at once: plain arguments, and nothing that goes before."""
    imports = session.boxing.imports
    return (
        op in QUICK_OPERATIONS
        and name not in COMPARISONS
        and PLAIN.issuperset(map(type, args))
        and current_job.get() is None
        and not imports.dead
        and not imports.owed
    )


def request(
    session: RpycSession, socket: Any, op: int, oid: int, name: str, args: tuple[Any, ...]
) -> Any:
    """Ask the peer and wait for the answer; `NO_REPLY` when the long way has to be taken.

    Raises
    ------
    NbrpcError
        As in `Session.finish`.
    """
    if (
        session.waiters
        or session.gathered
        or session.dispatcher.jobs
        or not is_usual(session, op, name, args)
        or (get_ident() == interrupts.main_thread and getsignal(SIGINT) is not interrupts.handle)
        or not session.reading.acquire(False)
    ):
        return NO_REPLY
    call = None
    timeout = session.default_timeout
    deadline = None if timeout is None else time.monotonic() + timeout
    try:
        spare = session.new_call()
        seq = spare.seq
        data = session.protocol.quick_request(seq, op, oid, name, args)
        session.pending[seq] = spare
        if session.closed or not session.send_quickly(socket, data):
            session.pending.pop(seq, None)
            return NO_REPLY
        session.requests_sent += 1
        call = spare
        data = socket.recv(READ_SIZE)
        value = session.protocol.quick_reply(data, seq)
        if value is not NO_REPLY:
            session.pending.pop(seq)
            session.note_read(len(data))
            return value
        session.feed(data)
    except NotSendable:
        return NO_REPLY  # the long way says what is wrong
    except NbrpcError as error:  # first, since ConnectionLost is an OSError as well
        session.lose(error)
    except OSError:
        # Nothing came within a tick: see `wait_for`; or the link is lost.
        if call is not None:
            call.reads_socket = get_ident() != interrupts.main_thread
    finally:
        session.reading.release()
        if session.waiters:
            session.ensure_read()
    return NO_REPLY if call is None else session.finish(call, deadline)


def start(
    session: RpycSession, socket: Any, call: Call, target: tuple[int, str], args: Any
) -> bool:
    """Send the request of an asynchronous call; False when it must take the long way."""
    if not is_usual(session, Operation.CALL, target[1], args):
        return False
    try:
        data = session.protocol.quick_request(call.seq, Operation.CALL, *target, args)
    except NbrpcError:
        return False
    pending = session.pending
    pending[call.seq] = call
    if session.closed:
        pending.pop(call.seq, None)
        return False
    if len(pending) > BUSY:
        session.gather(data)
    elif session.gathered or not session.send_quickly(socket, data):
        pending.pop(call.seq, None)
        return False
    session.requests_sent += 1
    return True
