"""How requests of the peer are answered: values, failures, coroutines."""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from nbrpc.errors import CallCancelled, NbrpcError, RemoteProtocolError
from nbrpc.objects.boxing import Boxing, ByValue, Draft
from nbrpc.objects.failures import exception_of, failure_of
from nbrpc.objects.operations import OPERATIONS
from nbrpc.protocol import messages
from nbrpc.protocol.messages import Kind
from nbrpc.session import interrupts
from nbrpc.session.job import UNANSWERED, Cancelled

if TYPE_CHECKING:
    from nbrpc.objects.access import Policy
    from nbrpc.session.job import RequestJob

__all__ = ["SESSION_OPERATIONS", "Answers"]

log = logging.getLogger("nbrpc.session")

SESSION_OPERATIONS: dict[int, Callable[[Any, Any], Any]] = {}
"""Operations that need the session itself (streams, events, code); filled by the modules that
carry them out."""


class Answers:
    """The part of a session that serves the peer."""

    boxing: Boxing
    policy: Policy
    root_object: Any
    serving: dict[int, RequestJob]
    send: Callable[..., None]
    lose: Callable[[BaseException], None]
    closed: bool

    @interrupts.open_to
    def carry_out(self, job: RequestJob) -> Any:
        """Do what a request asks; runs user code."""
        op = job.request.op
        operation = OPERATIONS.get(op) or SESSION_OPERATIONS.get(op)
        if operation is None:
            raise RemoteProtocolError(f"the peer asks for operation {op}, which does not exist")
        return operation(self, job)

    def answer(self, job: RequestJob, value: Any) -> None:
        """Send the result of a request; a value that cannot travel becomes a failure."""
        seq = job.request.seq
        kind = type(value)
        try:
            if kind is int or kind is bool or value is None or kind is float:
                draft = None
                if not self.boxing.box_plain((value,)):
                    draft = Draft(self.boxing)
                    value = self.boxing.box(value, draft)
            else:
                draft = Draft(self.boxing)
                try:
                    value = self.boxing.box(value, draft)
                except BaseException:
                    draft.undo()
                    raise
        except Exception as error:  # noqa: BLE001 - an adapter's library may raise anything
            self.answer_failure(job, error)
            return
        if self.serving.pop(seq, None) is None:
            if draft is not None:
                draft.undo()
            return
        try:
            self.send(Kind.REPLY, (seq, value), draft, ordered=job.ordered)
        except NbrpcError as error:
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
        if self.serving.pop(seq, None) is None or self.closed:
            return
        access = self.policy.access
        draft = Draft(self.boxing)
        record = failure_of(
            error,
            lambda arg: self.boxing.box(ByValue(arg), draft),
            include_traceback=access.include_local_traceback,
        )
        try:
            self.send(Kind.FAILURE, (seq, record), draft, ordered=job.ordered)
        except NbrpcError as problem:
            log.debug("a failure could not be sent: %s", problem)
            plain = messages.Error(type_name=type(error).__name__, args=[], text="", message=str(problem))
            try:
                self.send(Kind.FAILURE, (seq, plain))
            except NbrpcError:
                log.debug("nor could a short one")

    def error_of(self, reply: Any, *, allow_stop: bool) -> BaseException:
        """Rebuild the exception in a Failure."""
        return exception_of(
            reply.error,
            lambda value: self.boxing.unbox(value, reply.buffers),
            allow_stop=allow_stop,
        )

    def run_coroutine(self, job: RequestJob, coroutine: Any, *, by_value: bool) -> Any:
        """Run a coroutine of the user; the answer comes when it is done."""
        from nbrpc.session import loops

        if job.runner is not None:
            # A serial service keeps to its one thread.
            value = job.runner.run(coroutine)
            return ByValue(value) if by_value else value
        loops.run(self, job, coroutine, by_value=by_value)
        return UNANSWERED

    @staticmethod
    def close_generator(obj: object) -> None:
        """Close a generator that the peer no longer holds, so that its cleanup runs now."""
        import types

        if type(obj) is types.GeneratorType:
            try:
                obj.close()
            except Exception:  # noqa: BLE001 - the user's cleanup; nobody is there to be told
                log.debug("a generator failed while it was closed", exc_info=True)

