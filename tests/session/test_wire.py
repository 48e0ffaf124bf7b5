"""What connections ask of each other is what docs/wire.md says of the operations' arguments."""

from __future__ import annotations

import nbrpc
from nbrpc.protocol.messages import Operation
from nbrpc.server import shell
from nbrpc.session.answers import SESSION_OPERATIONS
from tests.protocol.test_golden import REQUESTS
from tests.support import eventually


class Stage:
    """A stage."""

    position = 1.5


class Bench(nbrpc.Service):
    def __init__(self):
        self.exposed_stage = Stage()
        self.exposed_values = {"a": {"b": [1]}}

    exposed_table = 7


def recorded(monkeypatch, operation):
    """Keep the requests for an operation as they come."""
    seen = []
    original = SESSION_OPERATIONS[operation]

    def record(session, job):
        seen.append((job.request.op, job.request.name, list(job.request.args)))
        return original(session, job)

    monkeypatch.setitem(SESSION_OPERATIONS, operation, record)
    return seen


def expected(name):
    """Give operation, name and arguments of an example."""
    operation, _, path, args = REQUESTS[name]
    return [(operation, path, args)]


def test_cells(linked, monkeypatch):
    """Cells, completion and inspection, and what they give."""
    monkeypatch.setattr(shell, "_shared", shell.Shell(rich=False))
    conn = linked(Bench, allow_code=True)
    executed = recorded(monkeypatch, Operation.EXECUTE)
    ran = recorded(monkeypatch, Operation.CELL)
    completed = recorded(monkeypatch, Operation.COMPLETE)
    inspected = recorded(monkeypatch, Operation.INSPECT)
    conn.execute("x = 2")
    assert executed == expected("EXECUTE")
    result = conn.run_cell("y = x + 1", first_line=2, push={"x": 1}, pull=("y",))
    assert result.result(20) == {"y": 2}
    assert ran == expected("CELL")
    conn.execute("class np:\n    array = 1")
    found = conn.complete("np.ar", 5)
    assert found["matches"]
    assert set(found) == {"matches", "cursor_start", "cursor_end", "types"}
    assert completed == expected("COMPLETE")
    assert set(conn.inspect("np.array", 8, 1)) == {"found", "data", "metadata"}
    assert inspected == expected("INSPECT")


def test_watch(linked, monkeypatch):
    """The arguments of a subscription, and the seconds."""
    conn = linked(Bench, config={"allow_public_attrs": True})
    watched = recorded(monkeypatch, Operation.WATCH)
    received = []
    stage = conn.root.stage
    with nbrpc.watch(stage, "position", every=0.5).subscribe(received.append, policy="latest"):
        eventually(lambda: conn.poll(0.01) or received, 10)
    ((operation, name, (channel, *rest)),) = watched
    assert (operation, name, rest) == (Operation.WATCH, "position", ["latest", 1, 0.5])
    assert type(channel) is int
    assert received[0] == 1.5


def test_descriptions(linked, monkeypatch):
    """What describes an object, and a page of what is in it."""
    conn = linked(Bench)
    values = conn.root.values
    described = recorded(monkeypatch, Operation.DESCRIBE)
    session, oid = conn.session, values._nbrpc_oid_
    asked = tuple(REQUESTS["DESCRIBE of a page"][3])
    opened, page = session.request(Operation.DESCRIBE, oid, "", asked)
    assert described == expected("DESCRIBE of a page")
    assert dict(opened) == {"b": [1]}
    assert (page["total"], set(page)) == (1, {"rows", "total", "members"})
    assert [len(row) for row in page["rows"]] == [8]
    assert page["rows"][0][-1] == ("key", "b")
    whole = session.request(Operation.DESCRIBE, oid, "")
    fields = {
        "signature",
        "doc",
        "source",
        "file",
        "line",
        "kind",
        "type_name",
        "members",
        "parameters",
    }
    assert set(whole) == fields
    assert session.request(Operation.DESCRIBE, oid, "", ("keys",)) == {"keys": ["a"]}
    root = conn.root._nbrpc_oid_
    assert session.request(Operation.DISPLAY, root, "table") == {"text/plain": "7"}
