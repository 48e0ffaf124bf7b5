"""The tutorial on asynchronous calls and events, played against a server in another process."""

from __future__ import annotations

import re
import selectors
import textwrap

import pytest

import nbrpc
from tests.support import eventually

FILE_MONITOR = """
import os
import time
from threading import Thread

import nbrpc


class FileMonitorService(nbrpc.Service):
    class exposed_FileMonitor:
        def __init__(self, filename, callback, interval=1):
            self.filename = filename
            self.interval = interval
            self.last_stat = None
            self.looked = 0
            self.callback = nbrpc.async_(callback)
            self.active = True
            self.thread = Thread(target=self.work)
            self.thread.start()

        def exposed_looks(self):
            return self.looked

        def exposed_stop(self):
            self.active = False
            self.thread.join()

        def work(self):
            while self.active:
                stat = os.stat(self.filename)
                if self.last_stat is not None and self.last_stat != stat:
                    self.callback(self.last_stat, stat)
                self.last_stat = stat
                self.looked += 1
                time.sleep(self.interval)
"""

RESULT = re.compile(r"<AsyncResult object \((\w+)\) at 0x[0-9a-f]+>")


@pytest.fixture(params=["nbrpc", "ws", "wss"])
def reached(request, served):
    """Start servers in processes of their own, each reached in one of several ways."""

    def start(*arguments, folder=None):
        if request.param == "wss":
            arguments = (*arguments, "--tls-self-signed")
        server = served(*arguments, folder=folder)
        server.url = f"{request.param}://{server.url.partition('://')[2]}"
        return server

    return start


@pytest.fixture
def classic(reached):
    """Connect to a server that lets clients run code, in a process of its own."""
    server = reached("--classic")
    with nbrpc.connect(server.url) as conn:
        yield conn


@pytest.fixture
def monitored(reached, tmp_path):
    """Serve the file monitor in another process; give its URL and a file to change."""
    (tmp_path / "monitors.py").write_text(textwrap.dedent(FILE_MONITOR))
    server = reached("monitors:FileMonitorService", folder=tmp_path)
    path = tmp_path / "floop.bloop"
    path.write_bytes(b"")
    return server.url, path


def shown(result):
    """Give the state that the repr of a result shows."""
    return RESULT.fullmatch(repr(result))[1]


def test_a_blocking_call_of_a_module_function(classic):
    """A function of a remote module is called like a local one and shows its own repr."""
    assert repr(classic.modules.time.sleep) == "<built-in function sleep>"
    assert classic.modules.time.sleep(0.01) is None


def test_asleep_is_pending_then_ready(classic):
    """An asynchronous call returns at once; its result is pending, then ready."""
    asleep = nbrpc.async_(classic.modules.time.sleep)
    assert repr(asleep) == "async_(<built-in function sleep>)"
    result = asleep(0.4)
    assert not result.ready
    assert shown(result) == "pending"
    eventually(lambda: result.ready)
    assert shown(result) == "ready"
    assert result.value is None
    assert not result.error
    assert result.elapsed == pytest.approx(0.4, abs=0.2)


def test_aint_gives_a_value(classic):
    """A remote type is called asynchronously as well."""
    aint = nbrpc.async_(classic.builtins.int)
    assert repr(aint) == "async_(<class 'int'>)"
    x = aint("8")
    eventually(lambda: x.ready)
    assert not x.error
    assert x.value == 8


def test_aint_gives_the_remote_exception(classic):
    """The exception of the remote is raised as its own class, with the remote traceback."""
    x = nbrpc.async_(classic.builtins.int)("this is not a valid number")
    eventually(lambda: x.ready)
    assert x.error
    assert shown(x) == "error"
    with pytest.raises(ValueError, match="invalid literal for int") as caught:
        _ = x.value
    first, _, remote = str(caught.value).partition("\n")
    assert first == "invalid literal for int() with base 10: 'this is not a valid number'"
    assert "========= Remote Traceback (1) =========" in remote
    assert remote.rstrip().endswith(f"ValueError: {first}")
    assert isinstance(caught.value, nbrpc.RemoteError)


def test_the_file_monitor_with_a_background_thread(monitored):
    """Events arrive on the background thread while the main thread does something else."""
    url, path = monitored
    changes = []
    with nbrpc.connect(url) as conn:
        background = nbrpc.BgServingThread(conn)
        monitor = conn.root.FileMonitor(
            str(path), lambda old, new: changes.append((old[6], new[6], str(new))), interval=0.01
        )
        eventually(lambda: monitor.looks() > 0)
        path.write_bytes(b"oloop")
        eventually(lambda: changes)
        assert changes[0][:2] == (0, 5)
        assert changes[0][2].startswith("os.stat_result(")
        monitor.stop()
        background.stop()


def test_the_file_monitor_without_a_background_thread(monitored):
    """Nothing arrives until the connection is used; poll_all serves what is there."""
    url, path = monitored
    changes = []
    with nbrpc.connect(url) as conn:
        monitor = conn.root.FileMonitor(
            str(path), lambda *args: changes.append(args), interval=0.01
        )
        eventually(lambda: monitor.looks() > 0)
        path.write_bytes(b"zloop")
        eventually(conn.session.dispatcher.has_jobs)
        assert not changes, "it has arrived, and nothing runs before the connection is used"
        assert conn.poll_all()
        assert changes[0][1][6] == 5
        assert not conn.poll_all()
        monitor.stop()


def test_an_interaction_serves_what_waits(monitored):
    """Any call on the connection runs the callbacks that have arrived before it."""
    url, path = monitored
    changes = []
    with nbrpc.connect(url) as conn:
        monitor = conn.root.FileMonitor(
            str(path), lambda *args: changes.append(args), interval=0.01
        )
        eventually(lambda: monitor.looks() > 0)
        path.write_bytes(b"zloop")
        eventually(conn.session.dispatcher.has_jobs)
        assert not changes
        monitor.looks()
        assert changes
        monitor.stop()


def test_the_connection_is_registered_with_a_foreign_loop(monitored):
    """A selector reports the connection when something waits, and ``serve`` runs it."""
    url, path = monitored
    changes = []
    with nbrpc.connect(url) as conn, selectors.DefaultSelector() as selector:
        monitor = conn.root.FileMonitor(
            str(path), lambda *args: changes.append(args), interval=0.01
        )
        eventually(lambda: monitor.looks() > 0)
        selector.register(conn, selectors.EVENT_READ, conn.serve)
        assert not selector.select(0), "nothing is there before the file changes"
        path.write_bytes(b"floop")
        while not changes:
            ready = selector.select(5)
            assert ready, "the loop is told of the change"
            for key, _ in ready:
                assert key.data()
        assert not selector.select(0), "what was there has been served"
        monitor.stop()
        selector.unregister(conn)


def test_a_foreign_loop_learns_of_the_end(served):
    """When the server goes away the descriptor becomes readable and ``serve`` says why."""
    server = served("--classic")
    with nbrpc.connect(server.url) as conn, selectors.DefaultSelector() as selector:
        selector.register(conn, selectors.EVENT_READ)
        server.process.kill()
        assert selector.select(5)
        with pytest.raises(nbrpc.ConnectionLost):
            conn.serve()
        with pytest.raises(EOFError):
            conn.poll_all()
