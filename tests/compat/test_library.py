"""rpyc.lib, streams and channels."""

from __future__ import annotations

import os
import socket
import struct
import sys
import threading
import zlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from nbrpc.compat import streams
from nbrpc.compat.table import module_for

rpyc = module_for("rpyc")
lib = rpyc.lib


@pytest.fixture
def pair():
    """Two joined streams over sockets, closed after the test."""
    left, right = map(rpyc.SocketStream, socket.socketpair())
    yield left, right
    left.close()
    right.close()


class TestChannel:
    """Frames over a stream."""

    @given(st.binary(max_size=10_000), st.booleans())
    def test_there_and_back(self, data, packed):
        """Any payload arrives as it was sent, packed or not."""
        left, right = map(rpyc.SocketStream, socket.socketpair())
        rpyc.Channel(left, packed).send(data)
        assert rpyc.Channel(right).recv() == data
        left.close()
        right.close()

    def test_the_bytes_of_a_frame(self, pair):
        """Length, flag, payload and a newline, as RPyC has it; packed above 3,000 bytes."""
        left, right = pair
        rpyc.Channel(left).send(b"abc")
        assert right.read(9) == b"\x00\x00\x00\x03\x00abc\n"
        rpyc.Channel(left).send(b"x" * 3001)
        packed = zlib.compress(b"x" * 3001, 1)
        assert right.read(5) == struct.pack("!LB", len(packed), 1)
        assert right.read(len(packed) + 1) == packed + b"\n"

    def test_polling(self, pair):
        """It tells whether something can be received."""
        left, right = map(rpyc.Channel, pair)
        assert not right.poll(0)
        assert not right.poll(lib.Timeout(0.01))
        left.send(b"x")
        assert right.poll(5)
        assert right.poll(None)
        left.close()
        assert left.closed
        assert right.recv() == b"x"
        with pytest.raises(EOFError):
            right.recv()
        assert right.closed

    def test_what_is_no_frame(self, monkeypatch):
        """Too long a frame, or one that unpacks to too much or to nothing, ends the stream."""
        monkeypatch.setattr(streams, "LARGEST", 10_000)
        bomb = zlib.compress(bytes(100_000))
        for frame in (
            struct.pack("!LB", 10_001, 0),
            struct.pack("!LB", len(bomb), 1) + bomb + b"\n",
            struct.pack("!LB", 3, 1) + b"abc\n",
            struct.pack("!LB", 5, 1) + zlib.compress(b"abc" * 9)[:5] + b"\n",
        ):
            left, right = map(rpyc.SocketStream, socket.socketpair())
            left.write(frame)
            with pytest.raises(EOFError):
                rpyc.Channel(right).recv()
            assert right.closed
            left.close()


class TestStreams:
    """Sockets and pipes."""

    def test_connecting(self):
        """A stream connects by TCP, with keep-alive where that was asked for."""
        with socket.create_server(("127.0.0.1", 0)) as listener:
            port = listener.getsockname()[1]
            stream = rpyc.SocketStream.connect("127.0.0.1", port, keepalive=30, nodelay=True)
            far, _ = listener.accept()
            assert stream.sock.getsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE)
            assert stream.sock.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY)
            stream.write(b"x" * 200_000)
            received = rpyc.SocketStream(far)
            assert received.read(200_000) == b"x" * 200_000
            stream.close()
            with pytest.raises(EOFError):
                received.read(1)
            for use in (stream.fileno, lambda: stream.write(b"x"), lambda: stream.read(1)):
                with pytest.raises(EOFError):
                    use()

    def test_connecting_to_a_path(self, tmp_path):
        """And by Unix sockets."""
        path = str(tmp_path / "socket")
        with socket.socket(socket.AF_UNIX) as listener:
            listener.bind(path)
            listener.listen()
            stream = rpyc.SocketStream.unix_connect(path)
            far, _ = listener.accept()
            far.sendall(b"hi")
            assert stream.read(2) == b"hi"
            stream.close()
            far.close()

    def test_nobody_there(self):
        """It is the system's error, and nothing is left open."""
        with pytest.raises(ConnectionRefusedError):
            rpyc.SocketStream.connect("127.0.0.1", 1)

    def test_pipes(self):
        """A pair of them is joined; each knows when the other is gone."""
        left, right = rpyc.PipeStream.create_pair()
        left.write(b"one")
        assert right.poll(5)
        assert right.read(3) == b"one"
        right.write(b"two")
        assert left.read(3) == b"two"
        left.close()
        assert left.closed
        with pytest.raises(EOFError):
            right.read(1)
        for use in (left.fileno, lambda: left.write(b"x"), lambda: left.read(1)):
            with pytest.raises(EOFError):
                use()


class TestLib:
    """Threads, timeouts and what looks at objects."""

    def test_timeouts(self):
        """They end, or never do."""
        assert lib.Timeout(0).expired()
        assert not lib.Timeout(50).expired()
        assert 49 < lib.Timeout(50).timeleft() <= 50
        never = lib.Timeout(None)
        assert not never.expired()
        assert never.timeleft() is None
        first = lib.Timeout(5)
        assert lib.Timeout(first).tmax == first.tmax
        lib.Timeout(0).sleep(100)  # returns at once: the time is over

    def test_threads(self):
        """One runs a function; the other waits for the first of two."""
        found = []
        thread = lib.spawn(lambda *args, **named: found.append((args, named)), 1, b=2)
        thread.join(5)
        assert found == [((1,), {"b": 2})]
        assert thread.daemon
        go = threading.Event()
        thread, made = lib.spawn_waitready(lambda: "ready", go.wait)
        assert made == "ready"
        assert thread.is_alive()
        go.set()
        thread.join(5)
        with pytest.raises(ZeroDivisionError):
            lib.spawn_waitready(lambda: 1 / 0, go.wait)

    def test_missing_modules(self):
        """They are false, and fail when they are used."""
        assert lib.safe_import("os") is os
        missing = lib.safe_import("no_such_module")
        assert not missing
        with pytest.raises(ImportError, match="no_such_module"):
            missing.anything  # noqa: B018 - the access is what fails

    def test_looking_at_objects(self):
        """No code of theirs runs."""

        class Trap:
            @property
            def trap(self):
                raise AssertionError

            def method(self):
                """Have a docstring."""

        assert lib.hasattr_static(Trap(), "trap")
        assert not lib.hasattr_static(Trap(), "other")
        methods = dict(lib.get_methods({"__init__"}, Trap()))
        assert methods["method"] == "Have a docstring."
        assert "__init__" not in methods
        assert "trap" not in methods
        assert lib.get_id_pack(Trap) == (f"{__name__}.Trap", id(Trap), 0)
        trap = Trap()
        assert lib.get_id_pack(trap) == (f"{__name__}.Trap", id(Trap), id(trap))
        assert lib.get_id_pack(sys)[0] == "sys"

    def test_hybrid_methods(self):
        """They get the instance, or else the class."""

        class Both:
            @lib.hybridmethod
            def who(self):
                return self

        both = Both()
        assert both.who() is both
        assert Both.who() is Both
        with pytest.raises(AttributeError):
            both.who = 1

    def test_collections(self):
        """Weak values go away; counted objects stay until they are let go as often."""
        colls = module_for("rpyc.lib.colls")

        class Thing:
            pass

        weak = colls.WeakValueDict()
        thing = Thing()
        weak["a"] = thing
        assert weak["a"] is thing
        assert (list(weak), len(weak), "a" in weak, weak.get("b", 5)) == (["a"], 1, True, 5)
        assert list(weak.items()) == list(weak.iteritems()) == [("a", thing)]
        del thing
        assert len(weak) == 0
        counted = colls.RefCountingColl()
        thing = Thing()
        counted.add("k", thing)
        counted.add("k", thing)
        counted.decref("k")
        assert counted["k"] is thing
        counted.decref("k")
        with pytest.raises(KeyError):
            counted["k"]

    def test_brine(self):
        """Plain values become bytes, and nothing else does."""
        brine = module_for("rpyc.core.brine")
        value = (1, "é", b"x", None, 1.5, frozenset([2]), slice(1, None))
        assert brine.dumpable(value)
        assert brine.load(brine.dump(value)) == value
        assert not brine.dumpable([1])
        with pytest.raises(TypeError):
            brine.dump([1])
