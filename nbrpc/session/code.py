"""Operations that run code of the peer; each needs the right ``allow_code``.

A connection has one namespace, in which `eval`, `exec` and cells meet. Cells need a shell, which a
server brings; a connection without one still evaluates and executes.
"""

from __future__ import annotations

import importlib
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from nbrpc.errors import AccessDenied
from nbrpc.objects.boxing import ByReference, ByValue
from nbrpc.objects.draft import DEEP, SHALLOW
from nbrpc.objects.operations import arguments
from nbrpc.protocol.messages import Kind, Operation
from nbrpc.session.answers import SESSION_OPERATIONS
from nbrpc.session.waiting import wait_to_send

if TYPE_CHECKING:
    from nbrpc.session.job import RequestJob
    from nbrpc.session.session import Session

__all__ = ["namespace_of", "new_namespace", "run_source", "send_output"]


def namespace_of(session: Session) -> dict[str, Any]:
    """Give the namespace of a connection; what it serves is ``root`` there."""
    if session.kept is not None:
        session.kept.check_alive()
    namespace: dict[str, Any] | None = session.namespace
    if namespace is None:
        namespace = session.namespace = new_namespace(session.root_object)
    return namespace


def new_namespace(root: object) -> dict[str, Any]:
    """Make a namespace for cells; ``root`` in it is what is served, unless that is None."""
    namespace = {"__name__": "__main__", "__builtins__": __builtins__}
    return namespace if root is None else {**namespace, "root": root}


def _needs_code(operation: Callable[[Any, Any], Any]) -> Callable[[Any, Any], Any]:
    def guarded(session: Session, job: RequestJob) -> Any:
        if not session.policy.access.allow_code:
            raise AccessDenied(
                "this server does not let clients run code: start it with --allow-code "
                "(serve(..., allow_code=True)) or --classic"
            )
        return operation(session, job)

    return guarded


def _import(_session: Session, job: RequestJob) -> ByReference:
    """Import a module."""
    job.stays = True
    return ByReference(importlib.import_module(job.request.name))


def _evaluate(session: Session, job: RequestJob) -> Any:
    """Evaluate an expression in the connection's namespace."""
    job.form, job.stays = SHALLOW, True
    return eval(job.request.name, namespace_of(session))  # noqa: S307 - what allow_code allows


def _execute(session: Session, job: RequestJob) -> Any:
    """Execute statements in the connection's namespace; with arguments, give or change it.

    ``("traceback",)`` asks for the traceback of the last request that failed, for a post-mortem.
    """
    args, _ = arguments(session, job.request)
    job.form, job.stays = SHALLOW, True
    if args and args[0] == "traceback":
        failure = session.last_failure
        return None if failure is None else failure.__traceback__
    if args and args[0] == "namespace":
        return ByReference(namespace_of(session))
    if args and args[0] == "push":
        namespace_of(session).update(args[1])
        return None
    code = compile(job.request.name, "<remote>", "exec")
    exec(code, namespace_of(session))  # noqa: S102 - what allow_code allows
    return None


def _run_cell(session: Session, job: RequestJob) -> Any:
    """Run a notebook cell: arguments are file name, first line, what to push, what to pull.

    In a named session two more: the number of the cell, and how many outputs the peer has seen.
    """
    args, _ = arguments(session, job.request)
    if session.shell is None:
        raise AccessDenied("this side of the connection cannot run cells; only a server can")
    if session.kept is not None:
        return session.kept.run_cell(session, job, args)
    filename, first_line, push, pull = args
    namespace = namespace_of(session)
    namespace.update(push or {})
    job.ordered = True

    def emit(kind: str, content: object) -> None:
        wait_to_send(session)
        send_output(session, job.seq, kind, content)

    def run() -> Any:
        return run_source(
            session.shell,
            job.request.name,
            namespace=namespace,
            emit=emit,
            filename=str(filename),
            first_line=int(first_line),
            pull=pull,
        )

    runner = session.cell_runner
    return run() if runner is None else runner.run_cell(job, run)


def send_output(session: Session, seq: int, kind: str, content: object) -> None:
    """Send output of a cell as part of a request.

    Raises
    ------
    NbrpcError
        It cannot be sent.
    """
    draft = session.boxing.draft(DEEP, back=True)
    boxed = session.boxing.box(content, draft)
    session.send(Kind.OUTPUT, (seq, kind, boxed), draft, ordered=True)


def run_source(
    shell: Any,
    source: str,
    *,
    namespace: dict[str, Any],
    emit: Callable[[str, object], None],
    filename: str,
    first_line: int,
    pull: tuple[str, ...],
) -> ByValue:
    """Run a cell in a shell; give the variables that it brings back."""
    shell.run(source, namespace=namespace, emit=emit, filename=filename, first_line=first_line)
    return ByValue({name: _pulled(namespace, name) for name in pull})


def _use_sessions(session: Session, job: RequestJob) -> Any:
    """Carry out what is asked of the named sessions: the name is the action."""
    if session.sessions is None:
        raise AccessDenied("this side of the connection keeps no sessions; only a server does")
    args, _ = arguments(session, job.request)
    return session.sessions.carry_out(session, job, args)


def _pulled(namespace: dict[str, Any], name: str) -> Any:
    try:
        return namespace[name]
    except KeyError:
        raise NameError(f"name {name!r} is not defined on the remote side") from None


def _complete(session: Session, job: RequestJob) -> Any:
    """Complete a name in the connection's namespace: arguments are source and cursor."""
    args, _ = arguments(session, job.request)
    return ByValue(session.shell.complete(args[0], args[1], namespace_of(session)))


def _inspect(session: Session, job: RequestJob) -> Any:
    """Describe a name in the connection's namespace: arguments are source, cursor, detail."""
    args, _ = arguments(session, job.request)
    return ByValue(session.shell.inspect(args[0], args[1], namespace_of(session), detail=args[2]))


SESSION_OPERATIONS.update(
    {
        Operation.IMPORT: _needs_code(_import),
        Operation.EVALUATE: _needs_code(_evaluate),
        Operation.EXECUTE: _needs_code(_execute),
        Operation.CELL: _needs_code(_run_cell),
        Operation.COMPLETE: _needs_code(_complete),
        Operation.INSPECT: _needs_code(_inspect),
        Operation.SESSION: _needs_code(_use_sessions),
    }
)
