"""Connections that nobody refers to any more are closed, with a warning."""

from __future__ import annotations

import gc
import subprocess
import sys
import threading
import warnings

import pytest

import nbrpc
from nbrpc.session.reactor import reactor
from tests.support import eventually, open_sockets

MESSAGE = "was dropped without being closed"


class Lab(nbrpc.Service):
    changed = nbrpc.event()

    def __init__(self):
        self.gate = threading.Event()
        self.kept = None

    def exposed_items(self):
        return iter([1, 2, 3])

    def exposed_hold(self):
        self.gate.wait(30)
        return "held"

    def exposed_keep(self, callback):
        self.kept = callback

    def exposed_count(self, n):
        yield from range(n)


@pytest.fixture(params=["nbrpc", "rpyc"])
def wire(request):
    """Give the protocol to speak."""
    return request.param


@pytest.fixture
def lab():
    """Give the service; its gate opens in the end."""
    service = Lab()
    yield service
    service.gate.set()


@pytest.fixture
def server(serving, lab):
    """Serve it, to clients of either protocol."""
    return serving(lab, rpyc=True)


def connect(server, wire="nbrpc", **options):
    """Connect, as a caller that may forget about it."""
    if wire == "rpyc":
        return nbrpc.connect(server.url.replace("nbrpc", "rpyc", 1), **options)
    return nbrpc.connect(server.url, token=server.token, **options)


def gone(server):
    """Wait until the server has no connection any more."""
    eventually(lambda: not server.connections)


def test_a_dropped_connection_is_closed_with_a_warning(server, wire):
    """The warning names the peer and what to do, at the line that dropped the connection."""
    conn = connect(server, wire)
    assert conn.root.hold is not None
    eventually(lambda: server.connections)
    with pytest.warns(ResourceWarning, match=MESSAGE) as caught:
        del conn
    gone(server)
    assert [warning.filename for warning in caught] == [__file__]
    assert "close()" in str(caught[0].message)


def test_a_closed_connection_says_nothing(server):
    """Whoever closes it, or loses it, is not warned."""
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        for end in (nbrpc.Connection.close, lambda _: server.close()):
            conn = connect(server)
            end(conn)
            eventually(lambda conn=conn: conn.closed)
            del conn
            gc.collect()


@pytest.mark.filterwarnings("ignore::ResourceWarning")
def test_many_dropped_connections_leave_nothing(server):
    """More than there may be at once: descriptors, threads and tables are as they were before."""
    connect(server).close()
    gone(server)
    before = len(open_sockets()), threading.active_count(), len(reactor().sources())
    for _ in range(1200):
        conn = connect(server)
        assert conn.root.hold is not None
    del conn
    gone(server)

    def settled():
        now = len(open_sockets()), threading.active_count(), len(reactor().sources())
        return now[0] <= before[0] and now[1] <= before[1] + 4 and now[2] <= before[2]

    eventually(settled, 10)


KEEPERS = {
    "root": lambda conn, _: conn.root,
    "proxy": lambda conn, _: conn.root.items(),
    "method": lambda conn, _: conn.root.hold,
    "async function": lambda conn, _: nbrpc.async_(conn.root.items),
    "result on its way": lambda conn, _: nbrpc.async_(conn.root.hold)(),
    "result that was not read": lambda conn, _: arrived(nbrpc.async_(conn.root.items)()),
    "subscription": lambda conn, seen: conn.root.changed.subscribe(seen.append),
    "event": lambda conn, _: conn.root.changed,
    "stream of events": lambda conn, _: conn.root.changed.stream(),
    "iteration": lambda conn, _: started(iter(conn.root.count(10_000))),
    "sessions": lambda conn, _: conn.sessions,
    "modules": lambda conn, _: conn.modules,
}


def arrived(result):
    """Give a result that has arrived, and that nobody has looked at."""
    eventually(lambda: result.done)
    return result


def started(iterator):
    """Give an iterator that is under way."""
    next(iterator)
    return iterator


@pytest.mark.parametrize("kind", KEEPERS)
def test_what_is_in_use_keeps_the_connection(server, lab, kind):
    """It works on without the connection, which is closed when that is dropped as well."""
    seen = []
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        holder = [KEEPERS[kind](connect(server), seen)]
        gc.collect()
        looked = threading.Event()
        reactor().call_later(1.2, Setter(looked))  # after some looks at what is in use
        assert looked.wait(10)
        assert len(server.connections) == 1
    check(kind, holder[0], lab, seen)
    with pytest.warns(ResourceWarning, match=MESSAGE):
        let_go(holder, server)


def check(kind, kept, lab, seen):
    """Use what has kept a connection."""
    lab.gate.set()
    if kind == "result on its way":
        assert kept.result(10) == "held"
    elif kind == "result that was not read":
        assert list(kept.value) == [1, 2, 3]
    elif kind == "subscription":
        lab.changed.emit(5)
        eventually(lambda: kept.session.dispatcher.run_queued() or seen)
        kept.close()
    elif kind == "iteration":
        assert sum(1 for _ in kept) == 9_999
    elif kind == "root":
        assert kept.hold() == "held"


def let_go(holder, server):
    """Drop what is held, and wait until the server has no connection."""
    holder.clear()
    gc.collect()
    gone(server)


class Setter:
    """Sets an event; a job."""

    def __init__(self, event):
        self.run = event.set


def test_what_the_peer_may_call_keeps_the_connection(server, lab, wire):
    """A function that was handed over is called, as long as the peer has it."""
    called = threading.Event()

    def hand_over():
        conn = connect(server, wire)
        conn.root.keep(called.set)
        nbrpc.BgServingThread(conn)

    hand_over()
    gc.collect()
    lab.kept()
    assert called.is_set()
    for connection in list(server.connections):
        connection.close()


def test_a_thread_that_serves_keeps_the_connection(server):
    """`BgServingThread` uses its connection until it is stopped."""
    thread = nbrpc.BgServingThread(connect(server))._thread
    gc.collect()
    assert not thread._session.closed
    holder = [thread.keeper]
    thread.keeper.stop()
    with pytest.warns(ResourceWarning, match=MESSAGE):
        let_go(holder, server)


def test_a_callback_that_was_given_back_does_not(server, lab):
    """What the peer has lent back is no reason any more, once it has said so."""
    connect(server).root.keep(print)
    lab.kept = None
    with pytest.warns(ResourceWarning, match=MESSAGE):
        gone(server)


@pytest.mark.filterwarnings("ignore::ResourceWarning")
def test_a_connection_that_comes_back_is_dropped_too(served, tmp_path):
    """With ``reconnect`` a root that is in use comes back without its connection; then all ends."""
    path = str(tmp_path / "socket")
    first = served("nbrpc.demo:Bench", "--unix", path)
    root = nbrpc.connect(f"unix://{path}", reconnect=True).root
    session = root._nbrpc_session_
    first.stop()
    served("nbrpc.demo:Bench", "--unix", path)
    assert root.voltage == 1.0
    again = root._nbrpc_session_
    assert again is not session
    gc.collect()
    del root
    eventually(lambda: again.closed)
    assert again.revival.given_up


@pytest.mark.filterwarnings("ignore::ResourceWarning")
def test_a_finalizer_waits_for_nothing(server):
    """It may run while its thread holds any lock."""
    conn = connect(server)
    assert conn.root.hold is not None
    session = conn.session
    with session.guard, session.outbox.lock, reactor()._roles, reactor()._timer_lock:
        del conn
    gone(server)
    conn = connect(server)
    conn.myself = conn
    session = conn.session
    del conn
    with session.guard, session.outbox.lock, reactor()._roles, reactor()._timer_lock:
        gc.collect()
    gone(server)


DROPPED_AT_EXIT = """
import nbrpc, sys
server = nbrpc.serve([1])
conn = nbrpc.connect(server.url)
root = nbrpc.connect(server.url).root
cycle = [nbrpc.connect(server.url)]
cycle.append(cycle)
def main():
    inner = nbrpc.connect(server.url)
    len(inner.root)
    sys.exit(len(root) - 1)
main() if {how!r} == "exit" else None
"""


@pytest.mark.parametrize("how", ["exit", "end"])
def test_the_end_of_the_interpreter_is_no_reason_to_warn(how):
    """What lives until then is the program's own matter."""
    program = DROPPED_AT_EXIT.format(how=how)
    command = [sys.executable, "-X", "dev", "-W", "error::ResourceWarning", "-c", program]
    ended = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    assert (ended.returncode, ended.stderr) == (0, "")


def test_a_service_of_this_side_that_refuses(server):
    """What its ``on_connect`` raises comes out of `connect`, which leaves nothing open."""

    class Refuses(nbrpc.VoidService):
        def on_connect(self, conn):
            raise RuntimeError("not now")

    with pytest.raises(RuntimeError, match="not now"):
        connect(server, service=Refuses)
    gone(server)


def test_a_warning_that_is_an_error_does_not_keep_it_open(server):
    """The connection is closed all the same."""
    program = f"""
import gc, time, nbrpc
conn = nbrpc.connect({server.url!r})
session = conn.session
del conn
while not session.closed:
    time.sleep(0.01)
"""
    command = [sys.executable, "-W", "error::ResourceWarning", "-c", program]
    ended = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    assert ended.returncode == 0
    assert MESSAGE in ended.stderr
    gone(server)


@pytest.mark.filterwarnings("ignore::ResourceWarning")
def test_one_line_uses(serving):
    """An expression that makes a connection and drops it at once gives what it says."""
    server = serving(nbrpc.ClassicService)
    assert connect(server).modules.math.sqrt(4) == 2
    assert connect(server).eval("1 + 1") == 2
    assert nbrpc.async_(connect(server).builtins.len)("abc").value == 3
    gc.collect()
    gone(server)
