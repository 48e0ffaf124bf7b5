"""Direction is a right: connecting exposes nothing, and a callback can be taken back."""

from __future__ import annotations

import gc
import logging
import subprocess
import sys
import threading
import weakref

import pytest

import nbrpc
from tests.support import eventually


class Caller(nbrpc.Service):
    """Keeps what it is handed, and calls it."""

    def __init__(self):
        self.kept = None

    @nbrpc.exposed
    def keep(self, function):
        self.kept = function

    @nbrpc.exposed
    def call(self, *args):
        return self.kept(*args)

    @nbrpc.exposed
    async def call_async(self, *args):
        return await nbrpc.async_(self.kept)(*args)

    @nbrpc.exposed
    def look(self, name):
        return getattr(self.kept, name)

    @nbrpc.exposed
    def shown(self):
        return repr(self.kept)


class Probe(nbrpc.Service):
    """Tries what a server could reach of a client that has only connected."""

    @nbrpc.exposed
    def reached(self):
        conn = Probe.client
        attempts = {
            "namespace": lambda: conn.namespace,
            "modules": lambda: conn.modules.os,
            "builtins": lambda: conn.builtins,
            "eval": lambda: conn.eval("1"),
            "execute": lambda: conn.execute("pass"),
            "cell": lambda: conn.run_cell("1").value,
            "class": lambda: conn.root.__class__.__init__.__globals__,
            "service": lambda: conn.root.on_connect,
            "set": lambda: setattr(conn.root, "x", 1),
        }
        found = []
        for name, attempt in attempts.items():
            try:
                attempt()
            except (nbrpc.AccessDenied, nbrpc.RemoteError, AttributeError):
                continue
            found.append(name)
        return tuple(found)

    def on_connect(self, conn):
        Probe.client = conn


class Owner:
    """Has a method to hand over."""

    def report(self, value):
        return value + 1


def test_connecting_exposes_nothing(linked):
    """A server reaches nothing of a client that has only connected; with a service, only that."""
    assert linked(Probe).root.reached() == ()


def test_connecting_with_a_classic_service_gives_all(linked):
    """The probe bites: a client that says so lets the server run code."""
    found = linked(Probe, client={"service": nbrpc.ClassicService}).root.reached()
    assert {"modules", "eval", "execute"} <= set(found)


def test_the_log_says_who_may_run_code(serving, connecting, caplog):
    """A server that runs code says so at the start and for each client; a client warns."""
    with caplog.at_level(logging.INFO, "nbrpc.server"):
        plain = serving(Caller)
        connecting(plain)
        assert "code" not in caplog.text
        server = serving(Caller, allow_code=True)
        assert f"{server.address.name}: clients may run code" in caplog.text
        connecting(server).ping()
        eventually(lambda: caplog.text.count("a client that may run code") == 1)
    assert not [record for record in caplog.records if record.levelno > logging.INFO]
    conn = connecting(plain, service=nbrpc.ClassicService)
    assert conn.peer_runs_code
    (warning,) = (record for record in caplog.records if record.levelno > logging.INFO)
    assert "may run code in this process" in warning.getMessage()
    assert warning.getMessage().endswith("connect without service=ClassicService")


def test_a_callback_is_called_until_it_is_revoked(linked):
    """A revoked callback is refused in one sentence; the rest of the connection goes on."""
    root = linked(Caller).root
    handle = nbrpc.callback(Owner().report)
    root.keep(handle)
    assert root.call(1) == 2
    assert handle(1) == 2
    assert not handle.revoked
    handle.revoke()
    handle.revoke()
    assert handle.revoked
    with pytest.raises(nbrpc.StaleReference) as caught:
        root.call(1)
    assert "<callback Owner.report, revoked> cannot be called any more" in str(caught.value)
    with pytest.raises(ReferenceError, match="revoked"):
        handle(1)
    root.keep(len)
    assert root.call("abc") == 3


def test_nothing_is_held_after_it_was_revoked(linked):
    """The object whose method was handed over dies although the peer still holds the handle."""
    root = linked(Caller).root
    owner = Owner()
    alive = weakref.ref(owner)
    with nbrpc.callback(owner.report) as handle:
        root.keep(handle)
        del owner
        gc.collect()
        assert alive() is not None
    assert eventually(lambda: gc.collect() is not None and alive() is None)
    assert "revoked" in root.shown()


def test_coroutines_are_callbacks_as_well(linked):
    """A coroutine function is awaited for the peer, and refused once it is revoked."""
    root = linked(Caller).root

    async def double(value):
        return value * 2

    handle = nbrpc.callback(double)
    root.keep(handle)
    assert root.call(4) == 8
    assert root.call_async(4) == 8
    handle.revoke()
    with pytest.raises(nbrpc.StaleReference):
        root.call(4)


def test_a_call_that_runs_runs_on(linked):
    """Revoking takes away the next call, not the running one."""
    root = linked(Caller).root
    begun, go_on = threading.Event(), threading.Event()

    def slow():
        begun.set()
        assert go_on.wait(10)
        return "done"

    handle = nbrpc.callback(slow)
    root.keep(handle)
    result = nbrpc.async_(root.call)()
    with nbrpc.BgServingThread(root._nbrpc_session_.owner):
        assert begun.wait(10)
        handle.revoke()
        go_on.set()
        assert result.result(10) == "done"


@pytest.mark.parametrize(
    "name", ["_Callback__function", "__self__", "__func__", "__globals__", "revoke", "revoked"]
)
def test_a_peer_reaches_nothing_through_a_callback(linked, name):
    """A handle can be called and no more."""
    root = linked(Caller).root
    root.keep(nbrpc.callback(Owner().report))
    with pytest.raises(AttributeError):
        root.look(name)


def test_one_connection_is_not_another(serving, connecting):
    """What was handed over on one connection means nothing on another."""
    server = serving(Caller, per_connection=True)
    first, second = connecting(server), connecting(server)
    first.root.keep(nbrpc.callback(len))
    oid = max(first.session.boxing.exports.entries)
    assert first.root.call("ab") == 2
    assert oid not in second.session.boxing.exports.entries
    with pytest.raises(TypeError):
        second.root.call("ab")


def test_a_callback_keeps_how_its_results_travel(linked):
    """A method that gives its results by value does so through a callback as well."""

    class Lists:
        @nbrpc.exposed(by_value=True)
        def make(self):
            return [1, 2]

    class Looker(nbrpc.Service):
        @nbrpc.exposed
        def kind_of(self, function):
            return type(function()).__module__

    assert linked(Looker).root.kind_of(nbrpc.callback(Lists().make)) == "builtins"


def test_serial_methods_stay_on_their_thread(linked):
    """A method of a serial service runs on the thread of its instance, handed over or not."""

    class Serial(nbrpc.Service, serial=True):
        @nbrpc.exposed
        def where(self):
            return threading.current_thread().name

        @nbrpc.exposed
        def handed(self):
            return nbrpc.callback(self.where)

    root = linked(Serial).root
    assert root.handed()() == root.where()


def test_what_cannot_be_called_is_no_callback():
    """The mistake is told where it is made."""
    with pytest.raises(TypeError, match="not of int"):
        nbrpc.callback(3)


STOCK = """
import sys
import rpyc
from rpyc.utils.server import ThreadedServer

class Caller(rpyc.Service):
    kept = None
    def exposed_keep(self, function):
        self.kept = function
    def exposed_call(self, *args):
        return self.kept(*args)

server = ThreadedServer(Caller, hostname="127.0.0.1", port=0)
server._listen()
print(server.port, flush=True)
import threading
threading.Thread(target=server.start, daemon=True).start()
sys.stdin.read()
"""


def test_a_server_of_rpyc_is_refused_as_well():
    """A server of RPyC calls a callback until it is revoked."""
    with subprocess.Popen(
        [sys.executable, "-c", STOCK], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as server:
        try:
            port = int(server.stdout.readline())
            with nbrpc.connect("127.0.0.1", port) as conn:
                handle = nbrpc.callback(Owner().report)
                conn.root.keep(handle)
                assert conn.root.call(1) == 2
                handle.revoke()
                with pytest.raises(Exception, match="cannot be called any more"):
                    conn.root.call(1)
                conn.root.keep(len)
                assert conn.root.call("abc") == 3
        finally:
            server.stdin.close()
            server.wait(10)
