"""The end of connections over RPyC's wire: from either side, by force, by fork and by Ctrl-C."""

from __future__ import annotations

import os
import signal
import socket
import struct
import subprocess
import sys
import threading
import time

import pytest

import nbrpc
from tests.session.rpyc.raw import client_of, server_of
from tests.support import eventually


class Ends(nbrpc.Service):
    def __init__(self):
        self.gate = threading.Event()
        self.entered = threading.Event()
        self.connected = []
        self.disconnected = []

    def on_connect(self, conn):
        self.connected.append(conn)

    def on_disconnect(self, conn):
        self.disconnected.append(conn)

    def exposed_hold(self):
        self.entered.set()
        self.gate.wait(10)

    def exposed_call(self, callback):
        self.entered.set()
        return callback()

    def exposed_echo(self, x):
        return x

    def exposed_exit(self):
        os._exit(3)


@pytest.fixture
def ends():
    """Give the service; its gate opens in the end."""
    service = Ends()
    yield service
    service.gate.set()


def raised_in_thread(call):
    """Run a call on a thread; give where its exception will be, and the thread."""
    found = []

    def run():
        try:
            call()
        except BaseException as error:  # the test looks at it
            found.append(error)

    thread = threading.Thread(target=run)
    thread.start()
    return found, thread


def test_closing_here_with_calls_pending(linked, ends):
    """Whoever waits learns of it at once; the service is told once."""
    conn = linked(ends)
    hold = conn.root.hold
    result = nbrpc.async_(hold)()
    found, thread = raised_in_thread(hold)
    assert ends.entered.wait(5)
    begun = time.monotonic()
    conn.close()
    conn.close()
    thread.join(5)
    assert time.monotonic() - begun < 1
    assert isinstance(found[0], nbrpc.ConnectionLost)
    assert isinstance(result.exception(1), nbrpc.ConnectionLost)
    with pytest.raises(nbrpc.ConnectionLost):
        conn.root.echo(1)
    ends.gate.set()
    eventually(lambda: len(ends.disconnected) == 1)
    assert ends.disconnected == ends.connected


def test_closing_there_with_calls_pending(linked, ends):
    """The same when the server closes, with a callback under way."""
    conn = linked(ends)
    held = threading.Event()
    hold = nbrpc.async_(conn.root.hold)
    found, thread = raised_in_thread(lambda: conn.root.call(lambda: held.wait(10)))
    assert ends.entered.wait(5)
    result = hold()
    ends.connected[0].close()
    assert isinstance(result.exception(2), nbrpc.ConnectionLost)
    held.set()
    thread.join(5)
    assert isinstance(found[0], nbrpc.ConnectionLost)
    eventually(lambda: len(ends.disconnected) == 1)
    assert conn.closed


def test_a_client_that_is_told_of_the_end(linked, ends):
    """Its own service sees the connection begin and end, once each."""
    mine = Ends()
    conn = linked(ends, client={"service": mine})
    assert mine.connected == [conn]
    ends.connected[0].close()
    eventually(lambda: mine.disconnected == [conn])
    conn.close()
    eventually(lambda: len(ends.disconnected) == 1)
    assert mine.disconnected == [conn]


def test_a_server_that_closes(serving, dialect, ends):
    """All its connections end, and their callers are told."""
    server = serving(ends, rpyc=True)
    with nbrpc.connect(f"{dialect}://127.0.0.1:{server.port}") as conn:
        result = nbrpc.async_(conn.root.hold)()
        assert ends.entered.wait(5)
        server.close()
        assert isinstance(result.exception(2), nbrpc.ConnectionLost)


SERVER = """
import sys, threading
import nbrpc
from tests.session.rpyc.test_endings import Ends
with nbrpc.serve(Ends, rpyc=True) as server:
    print(server.port, flush=True)
    sys.stdin.read()
"""


@pytest.fixture
def process():
    """Serve in a process of its own; give it, with its port."""
    running = subprocess.Popen(
        [sys.executable, "-c", SERVER], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    )
    running.port = int(running.stdout.readline())
    yield running
    running.kill()
    running.wait()
    running.stdin.close()
    running.stdout.close()


@pytest.mark.parametrize("how", ["kill", "exit"])
def test_a_server_that_dies(process, dialect, how):
    """The caller learns of it at once."""
    with nbrpc.connect(f"{dialect}://127.0.0.1:{process.port}") as conn:
        call = conn.root.hold if how == "kill" else conn.root.exit
        found, thread = raised_in_thread(call)
        eventually(lambda: conn.session.pending)
        if how == "kill":
            process.send_signal(signal.SIGKILL)
        thread.join(5)
        assert isinstance(found[0], nbrpc.ConnectionLost)
        assert conn.closed


def test_a_client_that_dies(serving, ends, dialect):
    """What it held is given back, and its service is told."""
    server = serving(ends, rpyc=True)
    with client_of(server, dialect) as raw:
        raw.root()
        raw.sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    eventually(lambda: len(ends.disconnected) == 1)
    assert len(ends.disconnected[0].session.boxing.exports) == 0
    assert not server.connections


def test_half_a_frame_and_the_end(dialect):
    """A reply that breaks off ends the call."""

    def behave(raw, kind, seq, body):
        if kind == 1 and body[0] == 10:
            raw.sock.sendall(struct.pack(">IB", 500, 0) + b"\x02\x11")
            raw.sock.shutdown(socket.SHUT_RDWR)
            return True
        return None

    with server_of(dialect, behave) as url, nbrpc.connect(url) as conn:
        found, thread = raised_in_thread(lambda: repr(type(conn.root).__repr__(conn.root)))
        thread.join(5)
        found, thread = raised_in_thread(
            lambda: conn.session.finish(
                *conn.session.begin(
                    nbrpc.protocol.messages.Operation.STR, conn.root._nbrpc_oid_, ""
                )
            )
        )
        thread.join(5)
        assert isinstance(found[0], nbrpc.ConnectionLost)


FORK = """
import os, sys
import nbrpc
conn = nbrpc.connect(sys.argv[1])
assert conn.root.echo(1) == 1
child = os.fork()
if not child:
    try:
        conn.root.echo(2)
    except nbrpc.ConnectionLost as error:
        with nbrpc.connect(sys.argv[1]) as other:
            os._exit(0 if "forked" in str(error) and other.root.echo(3) == 3 else 1)
    os._exit(2)
_, status = os.waitpid(child, 0)
print(os.waitstatus_to_exitcode(status), conn.root.echo(4))
conn.close()
"""


def test_fork(process, dialect):
    """The connection stays the parent's; the child is told so, and can make its own."""
    url = f"{dialect}://127.0.0.1:{process.port}"
    done = subprocess.run(
        [sys.executable, "-c", FORK, url], capture_output=True, text=True, timeout=30, check=False
    )
    assert done.stdout == "0 4\n", done.stderr


INTERRUPTS = """
import os, random, signal, sys, threading, time
import nbrpc

conn = nbrpc.connect(sys.argv[1])
root = conn.root
random.seed(5)
go, delay = threading.Semaphore(0), 0.0

def kill():
    while True:
        go.acquire()
        time.sleep(delay)  # the interrupt comes at a random moment
        os.kill(os.getpid(), signal.SIGINT)

threading.Thread(target=kill, daemon=True).start()
hold = nbrpc.async_(root.hold_for)

def short():
    while True: root.echo(1)
def nested():
    while True: root.call(lambda: root.echo(2))
def large():
    while True: root.echo(b"x" * 300_000)
def iterate():
    while True: list(root.items())

ways = [lambda: root.hold_for(0.3), lambda: hold(0.3).wait(), short, nested, large, iterate]
struck, slowest = 0, 0.0
for i in range(36):
    delay = random.random() * 0.02
    begun = time.monotonic()
    try:
        go.release()
        ways[i % len(ways)]()
        while True: time.sleep(0.01)  # what is interrupted
    except KeyboardInterrupt:
        struck += 1
        slowest = max(slowest, time.monotonic() - begun - delay)
wrong = sum(root.echo(i) != i for i in range(500))
print(struck, wrong, conn.closed, slowest < 3)
deadline = time.monotonic() + 5
while conn.session.pending and time.monotonic() < deadline: time.sleep(0.01)  # until it is so
print(len(conn.session.pending))
conn.close()
"""

INTERRUPTED = """
import sys, time
import nbrpc
class Calls(nbrpc.Service):
    def exposed_hold_for(self, seconds): time.sleep(seconds)  # what the service does
    def exposed_echo(self, data): return data
    def exposed_call(self, callback): return callback()
    def exposed_items(self): return list(range(100))
with nbrpc.serve(Calls, rpyc=True) as server:
    print(server.port, flush=True)
    sys.stdin.read()
"""


def test_interrupts_at_random_points(dialect):
    """Ctrl-C in calls that wait in every way: raised soon, and nothing is torn."""
    with subprocess.Popen(
        [sys.executable, "-c", INTERRUPTED], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    ) as server:
        port = int(server.stdout.readline())
        try:
            done = subprocess.run(
                [sys.executable, "-c", INTERRUPTS, f"{dialect}://127.0.0.1:{port}"],
                capture_output=True,
                text=True,
                timeout=50,
                check=False,
            )
        finally:
            server.kill()
    assert done.stdout.splitlines() == ["36 0 False True", "0"], done.stdout + done.stderr
    assert not done.stderr
