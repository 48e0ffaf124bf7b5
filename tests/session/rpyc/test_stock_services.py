"""Servers of RPyC itself whose services ask our client for something as soon as it connects."""

from __future__ import annotations

import subprocess
import sys

import pytest

import nbrpc
from nbrpc import classic
from tests.support import eventually

SERVER = """
import sys, threading
import rpyc
from rpyc.utils.server import ThreadedServer

class Curious(rpyc.Service):
    '''Looks for whatever a client could give.'''
    found = {}
    def on_connect(self, conn):
        attempts = {
            "root": lambda: conn.root and None,
            "module": lambda: conn.root.getmodule("os").getpid(),
            "eval": lambda: conn.root.eval("__import__('os').getpid()"),
            "execute": lambda: conn.root.execute("import os; os.mkdir(MARK)"),
            "namespace": lambda: conn.root.namespace["__builtins__"],
            "conn": lambda: conn.root.getconn(),
            "class": lambda: conn.root.__class__.__init__.__globals__,
            "globals": lambda: conn.root.getmodule.__globals__,
            "function": lambda: conn.root.getmodule.__func__,
            "self": lambda: conn.root.getmodule.__self__,
            "names": lambda: [name for name in dir(conn.root) if name[:1] not in "_x"
                              and "exposed" not in name],
            "pickled": lambda: rpyc.classic.obtain(conn.root),
        }
        for name, attempt in attempts.items():
            try:
                self.found[name] = repr(attempt())
            except BaseException as error:  # an outcome to compare
                self.found[name] = "refused"
    def exposed_found(self):
        return tuple(sorted(self.found.items()))

service = {"curious": Curious, "classic": rpyc.ClassicService, "slave": rpyc.SlaveService,
           "master": rpyc.MasterService, "void": rpyc.VoidService}[sys.argv[1]]
server = ThreadedServer(service, hostname="127.0.0.1", port=0,
                        protocol_config={"sync_request_timeout": 5})
server._listen()
print(server.port, flush=True)
threading.Thread(target=server.start, daemon=True).start()
sys.stdin.read()
"""


@pytest.fixture
def stock():
    """Start a server of the RPyC that is installed: ``stock("classic")`` gives its port."""
    running = []

    def start(service):
        process = subprocess.Popen(
            [sys.executable, "-c", SERVER, service],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
        )
        running.append(process)
        return int(process.stdout.readline())

    yield start
    for process in running:
        process.kill()
        process.wait()
        process.stdin.close()
        process.stdout.close()


def all_found(conn):
    """Give what the service has tried, when it has tried everything."""
    eventually(lambda: len(conn.root.found()) == 12, 10)
    return dict(conn.root.found())


def test_a_curious_service_finds_nothing(stock):
    """Nothing of this side runs, and there is no way from what it gets to anything else."""
    with nbrpc.connect("127.0.0.1", stock("curious")) as conn:
        found = all_found(conn)
        # What RPyC's classic servers look for is there by name, and does nothing.
        assert found.pop("names") == "['eval', 'execute', 'getconn', 'getmodule', 'namespace']"
        assert set(found.values()) <= {"refused", "None"}, found


@pytest.mark.parametrize("service", ["classic", "slave"])
def test_classic_servers(stock, service):
    """Both kinds let clients run code; the first looks for modules of the client's as well."""
    with classic.connect("127.0.0.1", stock(service)) as conn:
        assert conn.protocol == "rpyc/6"
        assert conn.eval("1 + 1") == 2
        conn.execute("x = [1, {'a': 2}]")
        assert nbrpc.obtain(conn.namespace["x"]) == [1, {"a": 2}]
        assert conn.modules.os.getpid() != __import__("os").getpid()
        assert conn.eval("(lambda f: f(2))")(lambda x: x + 1) == 3


@pytest.mark.parametrize("service", ["master", "void"])
def test_servers_that_serve_nothing(stock, service):
    """They are connected to, and are no classic servers."""
    port = stock(service)
    with nbrpc.connect("127.0.0.1", port) as conn:
        assert not conn.allows_code
        assert "Service" in repr(conn.root)
    with pytest.raises(nbrpc.AccessDenied):
        classic.connect("127.0.0.1", port)


def test_a_client_that_gives_itself_away(stock):
    """Only with ``service=ClassicService`` a server may run code here."""
    with nbrpc.connect("127.0.0.1", stock("curious"), nbrpc.ClassicService) as conn:
        found = all_found(conn)
        assert found["eval"] == str(__import__("os").getpid())
