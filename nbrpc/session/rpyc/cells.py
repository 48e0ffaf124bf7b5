"""Remote cells on an RPyC peer that lets this side run code.

RPyC has no cells. A short module is run on the peer (`peer_shell`), of which one function runs a
cell and answers when it has ended. What the cell prints comes meanwhile, in requests of the peer
that it does not wait for: calls of a function that is lent to it for this cell. They are carried
out by the thread that reads them, so that all of a cell's output is there before its end.

RPyC knows no way to stop a request: a cell that was left runs to its end, and the next one waits.
"""

from __future__ import annotations

from collections.abc import Callable
from types import FunctionType
from typing import TYPE_CHECKING, Any

from nbrpc.errors import AccessDenied, NotSendable, RemoteProtocolError
from nbrpc.objects.proxy import is_proxy
from nbrpc.protocol import messages
from nbrpc.protocol.messages import Operation
from nbrpc.session import lookup
from nbrpc.session.call import Call
from nbrpc.session.rpyc import packing, peer_shell
from nbrpc.session.rpyc.copying import carried

if TYPE_CHECKING:
    from nbrpc.session.job import RequestJob
    from nbrpc.session.result import AsyncResult
    from nbrpc.session.rpyc.session import RpycSession

__all__ = ["complete", "home_of_output", "inspect", "start"]

WAITING = (
    "the peer still runs an earlier cell, which RPyC cannot stop; "
    "this one starts when that has ended\n"
)


class CellCall(Call):
    """The request that runs a cell, and what the peer asks inside of it: to show its output.

    Parameters
    ----------
    result
        That of the cell, which ends as this call does.
    """

    waiting = True  # what is given to `add_job` is run there, and by no dispatcher

    def __init__(self, session: RpycSession, result: AsyncResult) -> None:
        super().__init__(session, result.seq)
        self.result = result

    def add_job(self, job: RequestJob) -> None:
        """Take output, on the thread that reads: it is a function of ours, and quick."""
        job.run()

    def resolve(self, reply: Any) -> None:
        """End the result of the cell."""
        result = self.result
        if type(reply) is not messages.Reply or result.cancelled:
            result.resolve(reply)
            return
        self.done = True
        try:
            ended = outcome(reply)
        except Exception as error:  # the peer decides what is in there: see `outcome`
            self.session.boxing.discard(reply.value)
            broken = RemoteProtocolError(f"the peer ended a cell in no way that it has: {error}")
            result.give(error=broken)
            return
        if isinstance(ended, messages.Failure):
            result.resolve(ended)
        else:
            result.give(ended)


def outcome(reply: messages.Reply) -> dict[str, Any] | messages.Failure:
    """Give what a cell brings back, or what it raised; raises anything for what is neither."""
    answer: Any = reply.value
    if type(answer) is not tuple:
        raise TypeError("it is no tuple")
    if answer[0] == "error":
        _, name, message, text = answer
        if any(type(part) is not str for part in answer):
            raise TypeError("an error has no text")
        args: list[Any] = [message] if message else []
        return messages.Failure(reply.seq, messages.Error(name, args, text, message))
    _, values = answer
    return {str(name): packing.unpack(packed) for name, packed in values}


def start(session: RpycSession, result: AsyncResult, source: str, args: tuple[Any, ...]) -> None:
    """Start a cell; the arguments are those of `Operation.CELL`.

    Raises
    ------
    AccessDenied
        The peer does not let this side run code.
    NotSendable
        A variable cannot be copied; nothing was run.
    """
    _filename, first_line, pushed, pull = args  # the peer numbers its cells itself
    shell = _shell(session)
    variables = {} if pushed is None else pushed.obj
    try:
        packed = tuple((name, packing.pack(value, name)) for name, value in variables.items())
    except TypeError as error:
        raise NotSendable(f"{error} to a peer that speaks RPyC: convert it first") from None
    if _runs(session):
        result.on_output("stderr", WAITING)
    arguments = (source, first_line, packed, tuple(pull), _writer(result))
    call = CellCall(session, result)
    session.send_request(call, Operation.CALL, shell._nbrpc_oid_, "run", arguments)


def _runs(session: RpycSession) -> bool:
    """Whether the peer runs a cell, and so answers nothing else."""
    return any(type(call) is CellCall for call in list(session.pending.values()))


def _writer(result: AsyncResult) -> Callable[[str, Any], None]:
    """Give the function that the peer calls with the output of a cell.

    It is a plain function, since RPyC's peers ask nothing about the class of those.
    """

    def write(kind: str, content: Any) -> None:
        if result.done:
            return  # it was left, and nobody looks at what it prints
        if kind in ("stdout", "stderr") and type(content) is str:
            result.on_output(kind, content)
        elif kind == "result" and type(content) is tuple:
            data = dict(content)
            if all(type(text) is str for pair in data.items() for text in pair):
                result.on_output("result", {"data": data, "metadata": {}})

    write.__dict__["_nbrpc_cell_"] = result.seq
    return write


def home_of_output(session: RpycSession, request: messages.Request) -> int:
    """Give the number of the cell whose output a request brings; 0 for any other request.

    Nothing else may be run by the thread that reads: references would have to be asked about.
    """
    entry = session.boxing.exports.entries.get(request.oid)
    if entry is None or type(entry.obj) is not FunctionType or request.op != Operation.CALL:
        return 0
    if request.name or request.kwargs or not OUTPUT.issuperset(map(type, request.args)):
        return 0
    return int(vars(entry.obj).get("_nbrpc_cell_", 0))


OUTPUT = frozenset({str, tuple})
"""What output is made of. The tuples are plain: others would be boxes."""


def complete(session: RpycSession, _oid: int, _name: str, args: tuple[Any, ...]) -> dict[str, Any]:
    """Complete a name of a cell: arguments are its source and the place."""
    source, cursor = args
    if _runs(session):
        return {"matches": [], "cursor_start": cursor, "cursor_end": cursor}
    matches, start = _shell(session).complete(source, cursor)
    return {
        "matches": [match for match in matches if type(match) is str],
        "cursor_start": start,
        "cursor_end": cursor,
    }


def inspect(session: RpycSession, _oid: int, _name: str, args: tuple[Any, ...]) -> dict[str, Any]:
    """Describe a name of a cell: arguments are its source, the place, and how much is wanted."""
    text = "" if _runs(session) else _shell(session).inspect(*args)
    found = type(text) is str and bool(text)
    return {"found": found, "data": {"text/plain": text} if found else {}, "metadata": {}}


def _shell(session: RpycSession) -> Any:
    """Give the peer's shell for this connection, made when it is first needed."""
    if not session.allows_code:
        raise AccessDenied(
            f"{session.name} does not let clients run code: it would have to serve RPyC's classic "
            "mode"
        )
    if session.cell_shell is None:
        copier, names = carried(session, packing), carried(session, lookup)
        namespace = session.request(Operation.EXECUTE, 0, "", ("namespace",))
        shell = carried(session, peer_shell).Shell(
            namespace, copier.pack, copier.unpack, names.complete_name, names.document_name
        )
        if not is_proxy(shell):
            raise RemoteProtocolError(f"{session.name} gave {shell!r:.80} in the place of a shell")
        session.cell_shell = shell
    return session.cell_shell
