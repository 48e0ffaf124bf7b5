"""How requests of the peer are answered: values, failures, coroutines."""

from __future__ import annotations

import logging
from collections.abc import Callable
from types import AsyncGeneratorType, GeneratorType, NoneType
from typing import TYPE_CHECKING, Any

from nbrpc.errors import CallCancelled, NbrpcError, RemoteProtocolError
from nbrpc.objects.boxing import Boxing, Draft
from nbrpc.objects.draft import DEEP
from nbrpc.objects.failures import exception_of, failure_of
from nbrpc.objects.operations import OPERATIONS
from nbrpc.protocol import messages
from nbrpc.protocol.codec import encode
from nbrpc.protocol.frames import HEADER
from nbrpc.protocol.messages import Kind
from nbrpc.session.job import UNANSWERED, Cancelled

if TYPE_CHECKING:
    from _thread import LockType

    from nbrpc.objects.access import Policy
    from nbrpc.session.call import Call
    from nbrpc.session.job import RequestJob
    from nbrpc.session.outbox import Outbox
    from nbrpc.session.reactor import Reactor

__all__ = ["SESSION_OPERATIONS", "Answers"]

log = logging.getLogger("nbrpc.session")

PLAIN = frozenset({int, float, bool, str, NoneType})
"""Types of results that are sent as they are."""

GENERATORS = frozenset({GeneratorType, AsyncGeneratorType})

SHORT = 4096
"""Bytes of the longest plain result that is sent the short way."""

REPLY = int(Kind.REPLY)

SESSION_OPERATIONS: dict[int, Callable[[Any, Any], Any]] = dict(OPERATIONS)
"""All operations: those on objects, and those that need the session itself (streams, events,
code), which the modules that carry them out add."""


class Answers:
    """The part of a session that serves the peer."""

    boxing: Boxing
    policy: Policy
    root_object: Any
    serving: dict[int, RequestJob]
    send: Callable[..., int]
    lose: Callable[[BaseException], None]
    pending: dict[int, Call]
    operations: dict[int, Callable[[Any, Any], Any]] = SESSION_OPERATIONS
    closed: bool
    dispatcher: Any
    drop_generators: Callable[[list[object]], None]
    guard: LockType
    loop: Any
    outbox: Outbox
    reactor: Reactor
    socket: Any
    send_quickly: Callable[[Any, bytes], bool]
    custom_error: Callable[[messages.Error, BaseException], BaseException] | None = None
    """Makes another exception of one that was rebuilt; where RPyC's configuration asks for it."""
    last_failure: BaseException | None = None
    """What the last failed request raised, for a post-mortem of a peer that may run code."""

    def answer(self, job: RequestJob, value: Any) -> None:
        """Send the result of a request; a value that cannot travel becomes a failure."""
        seq = job.request.seq
        kind = type(value)
        socket = self.socket
        if kind in PLAIN and socket is not None and not job.ordered:
            try:
                body = encode((seq, value))
            except (OverflowError, UnicodeEncodeError):
                body = b""
            if body and len(body) <= SHORT:
                # Gone before the reply is out: the peer may use the number of a request again.
                answered = self.serving.pop(seq, None)
                if answered is None:
                    return
                data = HEADER.pack(len(body), REPLY, 0, 0) + body
                if self.reactor.corker or not self.send_quickly(socket, data):
                    self.outbox.write([data])
                return
        if self.closed:
            self._end_late(seq)
            return
        try:
            if kind is int or kind is bool or value is None or kind is float:
                draft = None
                if not self.boxing.box_plain((value,)):
                    draft = self.boxing.draft()
                    value = self.boxing.box(value, draft)
            else:
                if job.runner is not None and kind in GENERATORS:
                    job.runner.adopt(value)
                draft = self.boxing.draft(job.form, back=True, stays=job.stays)
                try:
                    value = self.boxing.box(value, draft)
                except BaseException:
                    draft.undo()
                    raise
        except Exception as error:  # whatever cannot be boxed: the caller waits for an answer
            self.answer_failure(job, error)
            return
        if self.serving.pop(seq, None) is None:
            if draft is not None:
                draft.undo()
            return
        try:
            self.send(Kind.REPLY, (seq, value), draft, ordered=job.ordered)
        except Exception as error:  # it cannot be sent: the caller waits for an answer
            self.serving[seq] = job
            self.answer_failure(job, error)

    def answer_failure(self, job: RequestJob, error: BaseException) -> None:
        """Send what a request raised."""
        seq = job.request.seq
        if isinstance(error, RemoteProtocolError):
            self.serving.pop(seq, None)
            self.lose(error)
            return
        if isinstance(error, Cancelled):
            error = CallCancelled("the call was cancelled")
        if self.closed:
            self._end_late(seq)
            return
        if self.serving.pop(seq, None) is None:
            return
        if self.policy.access.allow_code:
            self.last_failure = error
        request = job.request
        for value in (*request.args, *(request.kwargs or {}).values()):
            # Of a request that was refused before it was unboxed.
            self.boxing.discard(value, request.buffers)
        draft = self.boxing.draft(DEEP, back=True)
        # It may come home only where something of ours waits, maybe behind another connection.
        parent = request.parent if self.pending else None
        record = self.describe_failure(error, draft, parent=parent)
        try:
            self.send(Kind.FAILURE, (seq, record), draft, ordered=job.ordered)
        except NbrpcError as problem:
            log.debug("a failure could not be sent: %s", problem)
            plain = messages.Error(
                type_name=type(error).__name__, args=[], text="", message=str(problem)
            )
            try:
                self.send(Kind.FAILURE, (seq, plain))
            except NbrpcError:
                log.debug("nor could a short one")

    def _end_late(self, seq: int) -> None:
        """Note that a request has ended after its connection: with the last one, all is dropped."""
        if self.serving.pop(seq, None) is not None and not self.serving:
            with self.guard:
                objects = self.boxing.exports.clear()
            self.drop_generators(objects)

    def describe_failure(
        self, error: BaseException, draft: Draft, *, parent: int | None = None
    ) -> messages.Error:
        """Describe an exception for the peer."""

        def box(arg: object) -> Any:
            draft.restart()  # each value is read by itself
            state = draft.checkpoint()
            try:
                return self.boxing.box(arg, draft)
            except BaseException:  # a text stands for it then
                draft.rollback(state)
                raise

        return failure_of(
            error,
            box,
            include_traceback=self.policy.access.include_local_traceback,
            classes=self.boxing.error_classes,
            parent=parent,
        )

    def error_of(self, reply: Any, *, allow_stop: bool) -> BaseException:
        """Rebuild the exception in a Failure."""
        error = exception_of(
            reply.error,
            lambda value: self.boxing.unbox(value, reply.buffers),
            allow_stop=allow_stop,
            classes=self.boxing.error_classes,
            call=reply.seq,
        )
        return error if self.custom_error is None else self.custom_error(reply.error, error)

    def run_coroutine(self, job: RequestJob, coroutine: Any) -> Any:
        """Run a coroutine of the user; the answer comes when it is done."""
        from nbrpc.session import loops

        if job.runner is not None:
            # A serial service keeps to its one thread.
            return job.runner.run(coroutine)
        loops.run(self, job, coroutine)
        return UNANSWERED

    @staticmethod
    def close_generator(obj: object) -> None:
        """Close a generator that the peer no longer holds, so that its cleanup runs now."""
        import types

        if type(obj) is types.GeneratorType:
            try:
                obj.close()
            except Exception:  # its cleanup is user code, and nobody waits for it
                log.debug("a generator failed while it was closed", exc_info=True)
