"""Callbacks: calls within calls, deep, across threads, and what overlaps with what."""

from __future__ import annotations

import subprocess
import sys
import threading
import time

import pytest

import nbrpc
from tests.support import eventually


class Caller(nbrpc.Service):
    def __init__(self):
        self.gate = threading.Event()
        self.entered = threading.Event()

    def exposed_descend(self, n, callback):
        """Call the callback, which calls back, until n is 0."""
        return 0 if n == 0 else 1 + callback(n - 1)

    def exposed_call(self, callback, *args):
        return callback(*args)

    def exposed_call_elsewhere(self, callback):
        """Call the callback from a thread of our own."""
        result = []
        thread = threading.Thread(target=lambda: result.append(callback()))
        thread.start()
        thread.join(10)
        return result[0]

    def exposed_hold(self):
        self.entered.set()
        self.gate.wait(10)
        return "held"

    def exposed_ping(self):
        return "pong"

    def exposed_thread(self):
        return threading.get_ident()


@pytest.fixture
def caller():
    """Give the service; its gate opens in the end."""
    service = Caller()
    yield service
    service.gate.set()


@pytest.fixture(params=["tcp", "unix"])
def conn(request, linked, caller, tmp_path):
    """Give a connection to the service, served in this process."""
    options = {"path": str(tmp_path / "socket")} if request.param == "unix" else {}
    return linked(caller, **options)


def descend(conn, depth):
    """Nest calls so deep, to and fro."""

    def back(n):
        return 0 if n == 0 else 1 + conn.root.descend(n - 1, back)

    return conn.root.descend(depth, back)


@pytest.mark.parametrize("depth", [1, 2, 10, 100])
def test_callbacks_nest(conn, depth):
    """A callback may call the server, which calls back, 100 deep at the default limit."""
    assert descend(conn, depth) == depth


DEEPER = """
import sys, threading
import nbrpc
from tests.session.test_nesting import descend
sys.setrecursionlimit({limit})
threading.stack_size(256 * 1024 * 1024)
conn = nbrpc.connect({url!r})
def run():
    try:
        print(descend(conn, {depth}))
    except RecursionError as error:
        print("RecursionError:", error)
    print(descend(conn, 3), conn.root.ping())
thread = threading.Thread(target=run)
thread.start()
thread.join()
conn.close()
"""


def deeper(url, depth, limit=1000):
    """Nest calls in a process of its own; give what it prints."""
    program = DEEPER.format(url=url, depth=depth, limit=limit)
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, timeout=60, check=False
    )
    assert not done.returncode, done.stderr
    assert "Traceback" not in done.stderr, done.stderr
    return done.stdout.split("\n")


DEEP_SERVICE = """
import sys, threading
sys.setrecursionlimit({limit})
threading.stack_size(64 * 1024 * 1024)
from tests.session.test_nesting import Caller
"""


@pytest.mark.parametrize(("depth", "limit", "expected"), [(100, 1000, "100"), (200, 10_000, "200")])
def test_nesting_between_processes(served, tmp_path, depth, limit, expected):
    """100 deep at the default recursion limit, 200 with it raised on both sides."""
    (tmp_path / "deep.py").write_text(DEEP_SERVICE.format(limit=limit))
    server = served("deep:Caller", folder=tmp_path)
    assert deeper(server.url, depth, limit) == [expected, "3 pong", ""]


@pytest.mark.parametrize(
    ("limit", "words"), [(1000, "RecursionError"), (100_000, "RecursionError")]
)
def test_nesting_beyond_the_limit_is_a_recursion_error(served, tmp_path, limit, words):
    """Too deep a chain raises RecursionError at the caller, and the connection is as before."""
    (tmp_path / "deep.py").write_text(DEEP_SERVICE.format(limit=limit))
    server = served("deep:Caller", folder=tmp_path)
    printed = deeper(server.url, 5000, limit)
    assert printed[0].startswith(words)
    assert printed[-2:] == ["3 pong", ""]


def test_too_deep_raises_here_and_the_connection_works(conn):
    """The same within one process, at whatever depth the limits say."""
    with pytest.raises(RecursionError):
        descend(conn, 5000)
    assert conn.root.ping() == "pong"
    assert descend(conn, 20) == 20
    eventually(lambda: conn.session.pending == {})


def test_a_callback_runs_on_the_thread_that_waits(conn):
    """What the peer calls inside our call runs on the thread that made it."""
    assert conn.root.call(threading.get_ident) == threading.get_ident()
    seen = []

    def run():
        seen.append(conn.root.call(threading.get_ident) == threading.get_ident())

    threads = [threading.Thread(target=run) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(10)
    assert seen == [True] * 8


def test_a_callback_from_a_foreign_thread(conn):
    """A callback that the server makes from a thread of its own is served by the call's wait."""
    assert conn.root.call_elsewhere(lambda: 5) == 5


def test_a_callback_that_raises(conn):
    """Its exception passes through the server, and comes home as the object that it is."""
    mine = KeyError("mine")

    def callback():
        raise mine

    with pytest.raises(KeyError, match="mine") as caught:
        conn.root.call(callback)
    assert caught.value is mine
    assert conn.root.ping() == "pong"


def test_keyword_only_and_default_arguments_of_callbacks(conn):
    """A callback is an ordinary callable."""
    assert conn.root.call(lambda *args, sep="-": sep.join(args), "a", "b") == "a-b"


def test_async_callbacks(conn):
    """A callback may be a coroutine function; it runs on the loop of this process."""

    async def callback(x):
        return x + 1

    with nbrpc.BgServingThread(conn):
        assert conn.root.call(callback, 1) == 2


def test_a_handler_that_sleeps_delays_no_other_call(conn, caller):
    """While one call is held, 200 others of the same connection are answered."""
    held = nbrpc.async_(conn.root.hold)()
    assert caller.entered.wait(5)
    begun = time.monotonic()
    for _ in range(200):
        assert conn.root.ping() == "pong"
    took = time.monotonic() - begun
    assert took < 1, f"200 calls beside a held one took {took:.2f} s"
    assert not held.ready
    caller.gate.set()
    assert held.value == "held"


def test_many_handlers_that_sleep(conn, caller):
    """50 held calls of one connection do not keep it from answering more."""
    held = [nbrpc.async_(conn.root.hold)() for _ in range(50)]
    begun = time.monotonic()
    assert conn.root.ping() == "pong"
    assert time.monotonic() - begun < 2
    caller.gate.set()
    assert nbrpc.gather(held).result(10) == ["held"] * 50


def test_threads_share_a_connection(conn):
    """32 threads on one connection get each the answer to its own call."""
    wrong = []

    def run(n):
        for i in range(100):
            got = conn.root.call(lambda x: x + 1, n * 1000 + i)
            if got != n * 1000 + i + 1:
                wrong.append((n, i, got))

    threads = [threading.Thread(target=run, args=(n,)) for n in range(32)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert wrong == []
    assert conn.session.pending == {}


class Texts(nbrpc.Service):
    def exposed_text(self, size):
        return "x" * size


def test_batches_of_large_replies(linked):
    """The same with replies of 10 kB each: none is lost and none is sent twice."""
    conn = linked(Texts)
    text = nbrpc.async_(conn.root.text)
    results = [text(10_000) for _ in range(300)]
    assert {len(value) for value in nbrpc.gather(results).result(20)} == {10_000}
    assert conn.session._strange == 0


def test_many_threads_meet_a_class_at_once(linked):
    """The description of a class is known to all, whoever takes its reply apart first."""

    class Thing:
        def exposed_number(self):
            return 7

    class Things(nbrpc.Service):
        def exposed_make(self):
            return Thing()

    for _ in range(20):
        conn = linked(Things())
        gate = threading.Barrier(8)
        numbers = []

        def run(conn=conn, gate=gate, numbers=numbers):
            gate.wait(10)
            numbers.append(conn.root.make().number())

        threads = [threading.Thread(target=run) for _ in range(8)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(20)
        assert numbers == [7] * 8
        conn.close()
