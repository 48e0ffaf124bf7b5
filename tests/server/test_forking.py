"""ForkingServer: what other threads of the parent do at the fork is no matter to a child."""

from __future__ import annotations

import contextlib
import os
import subprocess
import sys
import threading

import pytest

import nbrpc
from nbrpc.server import shell
from nbrpc.session import events, job, loops, result, serial
from tests.support import eventually

pytestmark = pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")


class Various(nbrpc.Service):
    """Uses what a child may need: a loop, events, iteration, callbacks."""

    tick = nbrpc.event()

    def exposed_pid(self):
        return os.getpid()

    async def exposed_later(self):
        return "later"

    def exposed_emit(self, value):
        self.tick.emit(value)

    def exposed_items(self):
        yield from range(3)

    async def exposed_items_later(self):
        for i in range(3):
            yield i

    def exposed_call(self, callback):
        return callback()

    def exposed_new_modules(self, before):
        return [name for name in sys.modules if name.startswith("nbrpc") and name not in before]


@pytest.fixture
def forking():
    """Start forking servers; they are closed after the test, and their children have ended."""
    started = []

    def start(service, **options):
        server = nbrpc.ForkingServer(service, **options)
        thread = threading.Thread(target=server.start)
        thread.start()
        started.append((server, thread))
        return server

    yield start
    for server, thread in started:
        server.close()
        thread.join(5)
        eventually(lambda server=server: (server._reap(), not server._children)[1], 10)


def connect(server):
    """Connect with the right token."""
    return nbrpc.connect(server.url, token=server.token)


@contextlib.contextmanager
def held(locks):
    """Have another thread hold these locks."""
    holding, release = threading.Event(), threading.Event()

    def hold():
        with contextlib.ExitStack() as stack:
            for lock in locks:
                stack.enter_context(lock)
            holding.set()
            release.wait()

    thread = threading.Thread(target=hold)
    thread.start()
    try:
        assert holding.wait(10)
        yield
    finally:
        release.set()
        thread.join()


def use(conn):
    """Use everything that a child offers."""
    root = conn.root
    received = []
    with root.tick.subscribe(received.append, direct=True):
        root.emit(5)
        eventually(lambda: received == [5])
    assert nbrpc.async_(root.later)().result(10) == "later"
    assert list(root.items()) == [0, 1, 2]
    assert list(root.items_later()) == [0, 1, 2]
    assert root.call(lambda: "mine") == "mine"
    with pytest.raises(nbrpc.RemoteError):
        root.call("no function")
    nbrpc.async_(root.call)(lambda: threading.Event().wait(0.01)).cancel()


def test_locks_that_others_hold_are_free_in_the_child(forking, monkeypatch):
    """A child does everything, whatever other threads of the parent were inside of."""
    monkeypatch.setattr(shell, "_shared", shell.Shell(rich=False))
    service = Various()
    server = forking(service, allow_code=True)
    with nbrpc.serve(service) as other, connect(other) as conn:
        received = []
        with conn.root.tick.subscribe(received.append):
            locks = [
                result._unboxing,
                serial._serial_lock,
                loops._lock,
                events._binding,
                job._lock,
                server._lock,
                server._closed._cond,
                service.tick._lock,
                shell._sharing,
                shell.shared_shell()._turn,
                *(one._lock for one in service.tick.subscribers),
            ]
            with held(locks):
                child = connect(server)
            with child:
                use(child)
                ran = child.run_cell("x = 2\nx", pull=("x",))
                assert ran.result(20) == {"x": 2}
                assert child.root.pid() != os.getpid()
        assert received == [], "what a child emits is its own"


def test_a_child_imports_nothing_of_ours(forking):
    """An import that another thread had begun at the fork would never end in the child."""
    server = forking(Various, allow_code=True)
    before = [name for name in sys.modules if name.startswith("nbrpc")]
    with connect(server) as conn:
        use(conn)
        conn.run_cell("1").result(20)
        assert list(conn.root.new_modules(before)) == []


PRINTING = """
import nbrpc

class Printing(nbrpc.Service):
    def exposed_say(self, text):
        print(text)

print("parent", end="")  # stays in the buffer
server = nbrpc.ForkingServer(Printing)
with nbrpc.connect(server.url, token=server.token) as conn:
    conn.root.say("child")
while server._children:
    server._reap()
server.close()
"""


def test_what_the_parent_has_not_printed_yet_is_not_printed_twice():
    """A child prints what it prints itself."""
    done = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", PRINTING],
        env={name: text for name, text in os.environ.items() if name != "PYTHONUNBUFFERED"},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.stdout == "child\nparent", done.stderr


@pytest.mark.slow
def test_children_under_traffic(forking):
    """200 children, forked while clients in the same process call as fast as they can."""
    stop = threading.Event()
    wrong = []

    def call(server):
        try:
            with connect(server) as conn:
                while not stop.is_set():
                    use(conn)
        except BaseException as error:
            wrong.append(error)

    with nbrpc.serve(Various, per_connection=True) as busy:
        threads = [threading.Thread(target=call, args=(busy,)) for _ in range(3)]
        for thread in threads:
            thread.start()
        try:
            for _ in range(200):
                # A server each: its thread goes to sleep at about the time of the fork.
                server = forking(Various)
                with connect(server) as conn:
                    assert conn.root.pid() != os.getpid()
                    use(conn)
        finally:
            stop.set()
            for thread in threads:
                thread.join(20)
    assert wrong == []
