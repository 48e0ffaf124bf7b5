"""fork: a child's use raises, and the parent's connections and servers are untouched."""

from __future__ import annotations

import os
import subprocess
import sys
import threading

import pytest

import nbrpc
from tests.support import eventually

pytestmark = pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")


class Add(nbrpc.Service):
    def exposed_add(self, a, b):
        return a + b

    def exposed_hold(self, gate):
        gate.wait(10)


def in_child(function):
    """Run a function in a forked child; give what it returns as text, or the exception's."""
    read, write = os.pipe()
    child = os.fork()
    if not child:
        text = "nothing"
        try:
            os.close(read)
            try:
                text = repr(function())
            except BaseException as error:
                text = f"{type(error).__name__}: {error}"
            os.write(write, text.encode()[:4000])
        finally:
            os._exit(0)
    os.close(write)
    with os.fdopen(read, "rb") as stream:
        text = stream.read().decode()
    os.waitpid(child, 0)
    return text


def test_the_childs_use_raises(linked):
    """A connection of the parent raises ConnectionLost in the child, and says what to do."""
    conn = linked(Add)
    root = conn.root
    text = in_child(lambda: root.add(1, 2))
    assert text.startswith("ConnectionLost: this process was forked")
    assert text.endswith("connect again")
    assert in_child(lambda: (conn.closed, conn.close())) == "(True, None)"
    assert root.add(1, 2) == 3


def test_the_child_makes_connections_of_its_own(linked, serving, connecting):
    """After fork a new connection to the same server works."""
    server = serving(Add)
    conn = connecting(server)
    assert conn.root.add(1, 1) == 2

    def work():
        with nbrpc.connect(server.url, token=server.token) as own:
            return own.root.add(2, 3)

    assert in_child(work) == "5"
    assert conn.root.add(1, 1) == 2


def test_a_child_that_serves(linked):
    """A child may serve and be its own client."""
    conn = linked(Add)
    conn.root.add(1, 1)

    def work():
        with nbrpc.serve(Add()) as server, nbrpc.connect(server.url, token=server.token) as own:
            return own.root.add(2, 3)

    assert in_child(work) == "5"


def test_closing_the_servers_of_the_parent_in_the_child(serving, connecting):
    """What a child does with its copy of a server changes nothing for the parent."""
    server = serving(Add)
    conn = connecting(server)
    assert in_child(server.close) == "None"
    assert conn.root.add(1, 2) == 3
    another = connecting(server)
    assert another.root.add(1, 2) == 3
    with nbrpc.connect("127.0.0.1", server.port) as found:
        assert found.root.add(1, 2) == 3, "the connection file is still there"


def test_the_port_is_free_while_a_child_lives(serving):
    """A child that goes on living does not keep the parent's port taken."""
    server = nbrpc.serve(Add())
    port = server.port
    go, stay = os.pipe()
    child = os.fork()
    if not child:
        os.close(stay)
        os.read(go, 1)
        os._exit(0)
    try:
        server.close()
        again = serving(Add, port=port)
        assert again.port == port
    finally:
        os.close(stay)
        os.close(go)
        os.waitpid(child, 0)


def test_fork_while_calls_are_under_way(linked):
    """Children forked while other threads call at full speed are not stuck, nor is the parent."""
    conn = linked(Add)
    stop = threading.Event()
    wrong = []

    def call():
        i = 0
        while not stop.is_set():
            i += 1
            if conn.root.add(i, 1) != i + 1:
                wrong.append(i)

    threads = [threading.Thread(target=call) for _ in range(3)]
    for thread in threads:
        thread.start()
    try:
        for _ in range(20):
            assert in_child(lambda: conn.root.add(1, 2)).startswith("ConnectionLost")
    finally:
        stop.set()
        for thread in threads:
            thread.join(10)
    assert wrong == []
    assert conn.root.add(1, 2) == 3


EXITING = """
import os, sys
import nbrpc
conn = nbrpc.connect({url!r})
root = conn.root
seen = []
if os.fork() == 0:
    del root
    sys.exit(0)
_, status = os.wait()
print(status, root.add(1, 2), conn.closed)
conn.close()
"""


def test_a_child_that_exits_in_the_usual_way_sends_nothing(serving):
    """Finalizers and exit handlers of a child touch nothing of the parent's."""
    server = serving(Add)
    done = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", EXITING.format(url=server.url_with_token)],
        capture_output=True, text=True, timeout=30, check=False,
    )  # fmt: skip
    assert done.stdout == "0 3 False\n", done.stderr
    eventually(lambda: not server.connections)
