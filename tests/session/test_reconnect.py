"""``connect(..., reconnect=True)``: what comes back with the server, and what does not."""

from __future__ import annotations

import socket
import subprocess
import sys
import textwrap
import threading
import time

import pytest

import nbrpc
from tests.support import eventually

PROGRAM = """
import sys, threading, time
import nbrpc

class Part:
    def __init__(self, number):
        self.number = number
    def exposed_get(self):
        return self.number

class Bench(nbrpc.Service):
    changed = nbrpc.event()
    def __init__(self):
        self.calls = 0
        self.level = 1.5
    def exposed_add(self, a, b):
        self.calls += 1
        return a + b
    def exposed_part(self, number):
        return Part(number)
    def exposed_take(self, part):
        return part.exposed_get()
    def exposed_slow(self):
        time.sleep(60)  # longer than the test
    def exposed_tell(self, value):
        self.changed.emit(value)
    def exposed_count(self):
        return self.calls
    @nbrpc.exposed
    @property
    def temperature(self):
        self.level += 1
        return self.level

server = nbrpc.serve(Bench, port=int(sys.argv[1]), token="t" * 32)
print(server.port, flush=True)
server.start()
"""


class Restarted:
    """A server process on one port, which can be killed and started anew."""

    def __init__(self):
        self.port = 0
        self.process = None
        self.start()

    def start(self):
        self.process = subprocess.Popen(
            [sys.executable, "-c", textwrap.dedent(PROGRAM), str(self.port)],
            stdout=subprocess.PIPE,
            text=True,
        )
        self.port = int(self.process.stdout.readline())

    def kill(self):
        self.process.kill()
        self.process.wait()
        self.process.stdout.close()

    def restart(self):
        self.kill()
        self.start()

    @property
    def url(self):
        return f"nbrpc://127.0.0.1:{self.port}"


@pytest.fixture
def server():
    """A server process that can be restarted."""
    restarted = Restarted()
    yield restarted
    restarted.kill()


@pytest.fixture
def conn(server):
    """A connection that comes back."""
    with nbrpc.connect(server.url, token="t" * 32, reconnect=True) as connection:
        yield connection


def test_the_root_comes_back(server, conn):
    """The proxy of the root that somebody holds stands for the new one."""
    root = conn.root
    assert root.add(1, 2) == 3
    for _ in range(3):
        server.restart()
        assert root.add(2, 2) == 4
        assert conn.root is root
        assert conn.state == "open"
    assert conn.revival.came_back == 3


def test_it_comes_back_soon(server, conn):
    """A server that is there again is found within a second, after many failed attempts as well."""
    root = conn.root
    server.kill()
    eventually(lambda: conn.revival.attempts >= 4)
    assert conn.state == "reconnecting"
    assert not conn.closed
    server.start()
    begun = time.monotonic()
    root.add(1, 1)
    assert time.monotonic() - begun < 2.0


def test_other_proxies_are_stale(server, conn):
    """A proxy of the earlier connection never reaches another object, as target or argument."""
    root = conn.root
    parts = [root.part(number) for number in range(5)]
    server.restart()
    fresh = [root.part(100 + number) for number in range(5)]
    for part in parts:
        with pytest.raises(nbrpc.StaleReference, match="earlier connection"):
            part.get()
        with pytest.raises(nbrpc.StaleReference, match="earlier connection"):
            root.take(part)
    assert [root.take(part) for part in fresh] == [100, 101, 102, 103, 104]


def test_a_call_under_way_is_never_sent_again(server, conn):
    """It fails at once, and says that it may have run."""
    result = nbrpc.async_(conn.root.slow)()
    conn.root.add(1, 1)
    server.kill()
    result.wait(5)
    with pytest.raises(nbrpc.ConnectionLost) as raised:
        result.value  # noqa: B018 - reading it raises
    assert raised.value.maybe_executed
    server.start()
    assert conn.root.count() == 0


def test_asynchronous_calls_wait_for_the_return(server, conn):
    """Those begun while the link is down are sent when it is back, each once."""
    root = conn.root
    part = root.part(1)
    server.kill()
    eventually(lambda: conn.state == "reconnecting")
    results = [nbrpc.async_(root.add)(number, 1) for number in range(50)]
    results[1].cancel()
    results[2].set_expiry(0.001)
    stale = nbrpc.async_(part.get)()
    assert isinstance(stale.exception(5), nbrpc.StaleReference)
    assert results[0].state == "pending"
    server.start()
    for number in (0, *range(3, 50)):
        assert results[number].result(10) == number + 1
    assert results[1].cancelled
    assert results[2].expired
    assert conn.statistics().pending == 0


def test_waiting_asynchronous_calls_end_with_close(server, conn):
    """Nobody waits for a connection that was closed."""
    root = conn.root
    server.kill()
    eventually(lambda: conn.state == "reconnecting")
    result = nbrpc.async_(root.add)(1, 2)
    conn.close()
    assert isinstance(result.exception(5), nbrpc.ConnectionLost)
    assert not result.exception().maybe_executed


def test_a_new_call_waits_until_its_deadline(server):
    """Without a server it ends with ConnectionLost when its time is over."""
    timing = nbrpc.Timing(call=0.4)
    with nbrpc.connect(server.url, token="t" * 32, reconnect=True, timing=timing) as conn:
        root = conn.root
        server.kill()
        eventually(lambda: conn.state == "reconnecting")
        with pytest.raises(nbrpc.ConnectionLost, match="did not come back in time"):
            root.add(1, 2)


def test_waiting_calls_end_with_close(server, conn):
    """Closing the connection frees who waits for its return."""
    root = conn.root
    server.kill()
    eventually(lambda: conn.state == "reconnecting")
    errors = []

    def call():
        try:
            root.add(1, 2)
        except nbrpc.ConnectionLost as error:
            errors.append(error)

    threads = [threading.Thread(target=call) for _ in range(4)]
    for thread in threads:
        thread.start()
    conn.close()
    for thread in threads:
        thread.join(5)
    assert len(errors) == 4
    assert conn.closed


def test_subscriptions_go_on(server, conn):
    """Events of the root, and samples of its attributes, come from the new server."""
    values, samples = [], []
    with nbrpc.BgServingThread(conn):
        subscription = conn.root.changed.subscribe(values.append)
        watching = nbrpc.watch(conn.root, "temperature", every=0.05).subscribe(samples.append)
        conn.root.tell("before")
        eventually(lambda: values == ["before"])
        server.restart()
        conn.root.tell("after")
        eventually(lambda: values == ["before", "after"])
        seen = len(samples)
        eventually(lambda: len(samples) > seen + 2)
        assert not subscription.closed
        assert not watching.closed
        assert subscription.received == 2
        subscription.close()
        conn.root.tell("unheard")
        conn.root.add(1, 1)
        assert values == ["before", "after"]


def test_a_stream_of_events_goes_on(server, conn):
    """An iteration over events survives the restart as well."""
    stream = conn.root.changed.stream()
    conn.root.tell(1)
    assert next(stream) == 1
    server.restart()
    conn.root.tell(2)
    assert next(stream) == 2
    stream.close()


def test_modules_are_loaded_anew(server):
    """What is named afresh comes from the new process."""
    # A server that runs code, in a process of its own.
    program = (
        "import nbrpc, sys; s = nbrpc.serve(nbrpc.ClassicService, port=int(sys.argv[1]), "
        "token='t' * 32); print(s.port, flush=True); s.start()"
    )

    def start(port):
        process = subprocess.Popen(
            [sys.executable, "-c", program, str(port)], stdout=subprocess.PIPE, text=True
        )
        return process, int(process.stdout.readline())

    first, port = start(0)
    try:
        url = f"nbrpc://127.0.0.1:{port}"
        with nbrpc.classic.connect(url, token="t" * 32, reconnect=True) as conn:
            modules = conn.modules
            assert modules.os.getpid() == first.pid
            conn.execute("x = 1")
            first.kill()
            first.wait()
            first.stdout.close()
            first, _ = start(port)
            assert modules.os.getpid() == first.pid
            assert conn.eval("'x' in globals()") is False
            assert conn.modules.os.getpid() == first.pid
    finally:
        first.kill()
        first.wait()
        first.stdout.close()


def test_a_server_of_rpyc():
    """Its connections come back as well."""
    program = (
        "import rpyc, sys, os\n"
        "class S(rpyc.Service):\n"
        "    def exposed_pid(self): return os.getpid()\n"
        "    def exposed_list(self): return [1]\n"
        "from rpyc.utils.server import ThreadedServer\n"
        "s = ThreadedServer(S, hostname='127.0.0.1', port=int(sys.argv[1]))\n"
        "s._listen(); print(s.port, flush=True); s.start()"
    )

    def start(port):
        process = subprocess.Popen(
            [sys.executable, "-c", program, str(port)], stdout=subprocess.PIPE, text=True
        )
        return process, int(process.stdout.readline())

    process, port = start(0)
    try:
        with nbrpc.connect("127.0.0.1", port, reconnect=True) as conn:
            root = conn.root
            stale = root.list()
            assert root.pid() == process.pid
            process.kill()
            process.wait()
            process.stdout.close()
            process, _ = start(port)
            assert root.pid() == process.pid
            assert list(root.list()) == [1]
            with pytest.raises(nbrpc.StaleReference):
                list(stale)
    finally:
        process.kill()
        process.wait()
        process.stdout.close()


def test_a_wrong_token_is_given_up(server, conn):
    """Another server in its place, with another token: it is not asked for ever."""
    conn.root.add(1, 1)
    port = server.port
    server.kill()
    with nbrpc.serve(object(), port=port, token="u" * 32):
        eventually(lambda: conn.closed, 20)
        with pytest.raises(nbrpc.ConnectionLost):
            conn.root.add(1, 1)
    server.start()


def test_the_server_closes_the_port_for_a_while(server, conn):
    """Somebody else may answer meanwhile, or hang up; neither ends the attempts."""
    root = conn.root
    server.kill()
    with socket.create_server(("127.0.0.1", server.port), reuse_port=False) as other:
        other.settimeout(20)
        for _ in range(2):
            accepted, _ = other.accept()
            accepted.close()
    tried = conn.revival.attempts
    eventually(lambda: conn.revival.attempts > tried, 20)
    server.start()
    assert root.add(3, 4) == 7


def test_closed_here_stays_closed(server, conn):
    """Closing is not losing."""
    root = conn.root
    conn.close()
    assert conn.closed
    with pytest.raises(nbrpc.ConnectionLost):
        root.add(1, 2)
    assert conn.revival.attempts == 0
