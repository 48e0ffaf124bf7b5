"""Clients that try cells by hand, many at a time, and say which of them got past the policy."""

from __future__ import annotations

import json
import socket
import subprocess
import sys
import time
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import msgspec

from nbrpc.options import Limits
from nbrpc.protocol import codec, messages
from nbrpc.protocol.machine import Protocol, Ready, Role
from nbrpc.protocol.messages import Kind, Operation
from tests.objects import matrix
from tests.objects.matrix import Cell, Setting
from tests.objects.matrix_server import TOKEN
from tests.objects.specimens import SECRET, SPECIMENS, Specimen
from tests.session.rpyc import raw

ROOT = Path(__file__).parents[2]
AT_ONCE = 200
"""Cells that are tried without waiting for answers in between."""
PATIENCE = 20.0
"""Seconds that these may take."""

LEADS_ON = frozenset({"module", "frame", "code", "traceback"})
"""Classes of what no attribute gives without the right to run code."""

READING = frozenset({"GET", "GETATTR"})


@dataclass
class Tally:
    """What came of some cells."""

    tried: int = 0
    reached: int = 0
    wrong: list[str] = field(default_factory=list)
    """Cells that got past the policy and may not; and names or objects that were told."""
    denied: list[str] = field(default_factory=list)
    """Cells that the author's own word opens, and that were denied."""

    def add(self, other: Tally) -> None:
        """Count those of another with these."""
        self.tried += other.tried
        self.reached += other.reached
        self.wrong += other.wrong
        self.denied += other.denied


@contextmanager
def running(*arguments: str) -> Iterator[dict[str, int]]:
    """Run the server of the matrix; give its ports."""
    command = [sys.executable, "-W", "ignore", "-m", "tests.objects.matrix_server", *arguments]
    with subprocess.Popen(
        command, cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE
    ) as process:
        try:
            yield json.loads(process.stdout.readline())
        finally:
            process.kill()


def plain(value: Any) -> Any:
    """Give the lists, dictionaries and texts in a wire value."""
    if isinstance(value, codec.Tuple | codec.List):
        return [plain(item) for item in value.items]
    if isinstance(value, codec.Map):
        return {key: plain(item) for key, item in value.items.items()}
    if isinstance(value, codec.Pairs):
        return dict(zip(map(plain, value.keys), map(plain, value.values), strict=True))
    if isinstance(value, codec.Bytes):
        return value.data.decode("utf-8", "replace")
    return value


class Native:
    """A client of the native wire."""

    operations, named = matrix.NATIVE, matrix.NATIVE_NAMED
    may = staticmethod(matrix.native_may)

    def __init__(self, port: int) -> None:
        self.sock = socket.create_connection(("127.0.0.1", port), 10)
        self.protocol = Protocol(
            Role.CLIENT, Limits(), choose_token=lambda _id, _auth: TOKEN.encode()
        )
        self.seq = 0
        self.described: dict[int, codec.Description] = {}
        while not any(type(message) is Ready for message in self._exchange()):
            pass
        root = self._ask([self._request(Operation.ROOT, 0, "")])[0].value.oid
        self.root = root

    def close(self) -> None:
        """Hang up."""
        self.sock.close()

    def lend(self, key: str) -> int:
        """Have an object of a kind handed over."""
        return self._ask([self._request(Operation.CALL, self.root, "specimen", [key])])[0].value.oid

    def _exchange(self) -> list[Any]:
        for data in self.protocol.outgoing:
            self.sock.sendall(data)
        self.protocol.outgoing.clear()
        data = self.sock.recv(1 << 20)
        if not data:
            raise ConnectionError("the server of the matrix hung up")
        received = self.protocol.receive(data)
        told = [message for message in received if type(message) is messages.Describe]
        self.described |= {message.key: message.description for message in told}
        return [message for message in received if type(message) is not messages.Describe]

    def _request(self, op: int, oid: int, name: str, args: Iterable[Any] = ()) -> messages.Request:
        self.seq += 1
        return messages.Request(self.seq, op, oid, name, list(args))

    def _ask(self, requests: list[messages.Request]) -> list[Any]:
        """Send requests, and give their answers."""
        fields = [msgspec.structs.astuple(request)[:-1] for request in requests]
        data = [piece for one in fields for piece in self.protocol.encode(Kind.REQUEST, one)]
        self.sock.sendall(b"".join(data))
        answers: dict[int, Any] = {}
        deadline = time.monotonic() + PATIENCE
        while len(answers) < len(requests):
            if time.monotonic() > deadline:
                left = [request for request in requests if request.seq not in answers]
                raise TimeoutError(f"no answer to {left[:5]}")
            for message in self._exchange():
                if type(message) in {messages.Reply, messages.Failure}:
                    answers[message.seq] = message
                elif type(message) is messages.Ping:
                    self.protocol.outgoing.append(
                        b"".join(self.protocol.encode(Kind.PONG, (message.number,)))
                    )
        return [answers[request.seq] for request in requests]

    def _request_of(self, oid: int, cell: Cell) -> messages.Request:
        name, _, part = cell.operation.partition(" ")
        args: list[Any] = []
        if name in {"SET", "INSTANCE", "DELIVER"}:
            args = [1]
        elif name == "STREAM":
            args = [100_000]
        elif name == "SUBSCRIBE":
            args = [self.seq, "latest", 1]
        elif name == "WATCH":
            args = [self.seq, "latest", 1, 1e6]
        elif name == "EXCHANGE":
            args = [None]
        elif name == "CELL":
            args = ["<cell>", 1, codec.Map({}), codec.List([])]
        elif name in {"COMPLETE", "INSPECT"}:
            args = ["os.", 3, 0]
        elif part:
            args = [part] if part == "keys" else [part, "", 0, 500]
        return self._request(Operation[name], oid, cell.name, args)

    def attempt(self, oid: int, cells: list[Cell]) -> Iterator[tuple[Cell, bool, list[str], str]]:
        """Try cells; give whether each got past the policy, what it listed, and what it gave."""
        answers = self._ask([self._request_of(oid, cell) for cell in cells])
        for cell, answer in zip(cells, answers, strict=True):
            if type(answer) is messages.Failure:
                # Behind the first name of a path there may be nothing, which is no denial.
                nothing = {"nbrpc.errors.AccessDenied"} | (
                    {"AttributeError"} if "." in cell.name else set()
                )
                yield cell, answer.error.type_name not in nothing, [], ""
            else:
                yield cell, True, self._listed(cell, answer.value), self._kind_of(answer.value)

    @staticmethod
    def _listed(cell: Cell, value: Any) -> list[str]:
        """Give the names that an answer tells."""
        found = plain(value)
        if cell.operation in {"DIR", "NAMES"}:
            return found
        if cell.operation == "DESCRIBE":
            return list(found["members"])
        if cell.operation == "DESCRIBE page":
            return [row[0] for row in found[1]["rows"] if row[1] != "item"]
        return []

    def _kind_of(self, value: Any) -> str:
        """Give the class of what was lent, or the text that was given."""
        if isinstance(value, codec.Ref):
            about = self.described.get(value.key)
            return "module" if about and about.kind == "module" else about.name if about else ""
        return value if isinstance(value, str) else ""


class OfRpyc:
    """A client of RPyC's wire, in the dialect of RPyC 6."""

    operations, named = matrix.RPYC, matrix.RPYC_NAMED
    may = staticmethod(matrix.rpyc_may)

    def __init__(self, port: int) -> None:
        self.sock = socket.create_connection(("127.0.0.1", port), 10)
        # Requests leave one by one: each would wait for the acknowledgement of the one before.
        self.sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.raw = raw.Raw(self.sock, "rpyc6")
        self.root = self.raw.root()

    def close(self) -> None:
        """Hang up."""
        self.sock.close()

    def lend(self, key: str) -> Any:
        """Have an object of a kind handed over."""
        asked = (raw.home(self.root), raw.value("specimen"), raw.value((key,)), raw.NOTHING)
        kind, (label, name) = self.raw.answer(raw.CALLATTR, *asked)
        assert (kind, label) == (raw.REPLY, 4), (key, kind, name)
        return name

    def _boxes_of(self, name: Any, cell: Cell) -> list[Any]:
        operation, asked, _ = cell
        if operation == "PING":
            return [raw.value("x")]
        if operation == "GETROOT":
            return []
        if operation == "INSPECT":
            return [raw.value(name)]
        boxes = [raw.home(name)]
        if operation == "CMP":
            return [*boxes, raw.value(1), raw.value(asked)]
        if operation in matrix.RPYC_NAMED:
            boxes.append(raw.value(asked))
        if operation == "SETATTR":
            boxes.append(raw.value(1))
        elif operation in {"CALL", "CALLATTR"}:
            boxes += [raw.NOTHING, raw.NOTHING]
        elif operation == "PICKLE":
            boxes.append(raw.value(2))
        elif operation == "BUFFITER":
            boxes.append(raw.value(1))
        elif operation == "OLDSLICING":
            parts = ("__getitem__", "__getslice__", 0, 1, ())
            boxes += [raw.value(part) for part in parts]
        elif operation == "CTXEXIT":
            boxes.append(raw.value(None))
        elif operation == "INSTANCECHECK":
            boxes.append(raw.value(name))
        return boxes

    def attempt(self, name: Any, cells: list[Cell]) -> Iterator[tuple[Cell, bool, list[str], str]]:
        """Try cells; give whether each got past the policy, what it listed, and what it gave."""
        numbers = [
            self.raw.ask(getattr(raw, cell.operation), *self._boxes_of(name, cell))
            for cell in cells
        ]
        answers: dict[int, Any] = {}
        while len(answers) < len(cells):
            message = self.raw.receive()
            if message is None:
                raise ConnectionError("the server of the matrix hung up")
            kind, seq, body = message
            if kind != raw.REQUEST:
                answers[seq] = kind, body
            else:  # a stock server asks its clients for things
                self.raw.send(raw.REPLY, seq, raw.NOTHING)
        for cell, number in zip(cells, numbers, strict=True):
            kind, body = answers[number]
            if kind == raw.EXCEPTION:
                yield cell, not self._is_denial(cell, body), [], ""
            else:
                yield cell, True, self._listed(cell, body), self._kind_of(body)

    @staticmethod
    def _is_denial(cell: Cell, body: Any) -> bool:
        """Whether an exception gives nothing: an AttributeError, or that pickling is disabled."""
        name = body[0][1] if type(body) is tuple else "StopIteration"
        denies = name in {"AttributeError", "AccessDenied"}
        return denies or (cell.operation == "PICKLE" and name == "ValueError")

    @staticmethod
    def _listed(cell: Cell, body: Any) -> list[str]:
        _, value = body
        if cell.operation == "DIR" and type(value) is tuple:
            # A tuple by value, or boxed one by one.
            return [name if type(name) is str else name[1] for name in value]
        return []

    @staticmethod
    def _kind_of(body: Any) -> str:
        label, value = body
        if label == 4:
            return value[0].removeprefix("builtins.")
        return value if type(value) is str else ""


def verdicts(client: Any, setting: Setting, about: Specimen, lent: Any, cells: list[Cell]) -> Tally:
    """Try cells on an object, and hold what came of them against the policy."""
    tally = Tally()
    for cell, reached, listed, given in client.attempt(lent, cells):
        may = client.may(setting, about, cell)
        tally.tried += 1
        tally.reached += reached
        told = f"{cell.operation} {cell.name[:40]!r}"
        if reached and not may:
            tally.wrong.append(told)
        elif not reached and cell.operation in READING and cell.name in about.exposed:
            tally.denied.append(told)
        if setting.code:
            continue
        if may and given in LEADS_ON and cell.operation in READING:
            tally.wrong.append(f"{told} gives a {given}")
        telling = cell.operation in READING and not setting.public and about.only is None
        if telling and SECRET in given:
            tally.wrong.append(f"{told} tells a secret")
        # What follows a path is another object than the one that is known here.
        if not cell.name:
            # A hook decides what is read, not which names are told.
            told_of = about if about.is_view else replace(about, only=None)
            shut = [name for name in listed if not matrix.may_read(setting, told_of, name)]
            tally.wrong += [f"{told} lists {name!r}" for name in shut]
    return tally


def try_cells(
    make_client: Any, port: int, setting_name: str, key: str, cells: Iterable[Cell]
) -> Tally:
    """Try the cells of one kind of object, on a connection of its own."""
    setting, about, tally = matrix.SETTINGS[setting_name], SPECIMENS[key], Tally()
    client = make_client(port)
    try:
        shared = about.is_shared
        chosen = [
            cell
            for cell in cells
            if not _is_destructive(setting, cell)
            and not (
                shared and cell.operation in matrix.MUTATING and client.may(setting, about, cell)
            )
        ]
        # First what changes nothing; what does, on an object of its own.
        for group in (
            [cell for cell in chosen if cell.operation not in matrix.MUTATING],
            [cell for cell in chosen if cell.operation in matrix.MUTATING],
        ):
            lent = client.lend(key)
            for start in range(0, len(group), AT_ONCE):
                part = group[start : start + AT_ONCE]
                tally.add(verdicts(client, setting, about, lent, part))
    finally:
        client.close()
    prefix = f"{setting_name}, {make_client.__name__}, {key}: "
    tally.wrong = [prefix + text for text in tally.wrong]
    tally.denied = [prefix + text for text in tally.denied]
    return tally


def _is_destructive(setting: Setting, cell: Cell) -> bool:
    """Whether a peer that may run code would only break the server of the matrix with it."""
    return setting.code and (
        cell.operation in matrix.MUTATING
        or cell.operation in {"CALL", "CALLATTR", "WATCH", *matrix.RUNNING_CODE}
    )
