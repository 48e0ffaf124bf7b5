"""Connections over pipes, streams and channels, and the relay that makes sockets of them."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
import threading
import time

import pytest

from nbrpc.compat.table import module_for
from nbrpc.transports.relay import join_descriptors, join_stream
from tests.compat.support import environment
from tests.support import eventually

rpyc = module_for("rpyc")


def relays():
    """Give the threads of relays that run."""
    return [thread for thread in threading.enumerate() if thread.name == "nbrpc-relay"]


@pytest.fixture(autouse=True)
def _no_relay_left():
    yield
    eventually(lambda: not relays(), 5, "no relay is left")


class Adder(rpyc.Service):
    def exposed_add(self, first, second):
        return first + second

    def exposed_call(self, function, *args):
        return function(*args)


def both(connect, first, second):
    """Connect both ends, each on a thread of its own, as two programs would."""
    ends = {}

    def far():
        ends["far"] = connect(second, Adder)
        ends["far"].serve_threaded()

    thread = threading.Thread(target=far)
    thread.start()
    ends["near"] = connect(first, Adder)
    return ends["near"], thread


class TestRelay:
    """Two descriptors, or a stream, as a socket."""

    def test_bytes_go_both_ways(self):
        """What one side writes the other reads, however much it is."""
        stream, other = rpyc.PipeStream.create_pair()
        sock = join_descriptors(stream.fileno(), stream.outgoing.fileno(), on_close=stream.close)
        data = os.urandom(3_000_000)
        writer = threading.Thread(target=other.write, args=(data,))
        writer.start()
        received = bytearray()
        while len(received) < len(data):
            received += sock.recv(65536)
        writer.join()
        assert received == data
        sender = threading.Thread(target=sock.sendall, args=(data,))
        sender.start()
        assert other.read(len(data)) == data
        sender.join()
        sock.close()
        other.close()

    def test_the_end_of_the_pipe_is_the_end_of_the_socket(self):
        """What was written before still arrives."""
        stream, other = rpyc.PipeStream.create_pair()
        sock = join_descriptors(stream.fileno(), stream.outgoing.fileno(), on_close=stream.close)
        other.write(b"last words")
        other.close()
        assert sock.recv(100) == b"last words"
        assert sock.recv(100) == b""
        sock.close()
        eventually(lambda: stream.closed)

    def test_the_end_of_the_socket_is_the_end_of_the_pipe(self):
        """What was written before still arrives, also more than the pipe holds."""
        stream, other = rpyc.PipeStream.create_pair()
        sock = join_descriptors(stream.fileno(), stream.outgoing.fileno(), on_close=stream.close)
        data = bytes(150_000)
        sock.sendall(data)
        sock.close()
        assert other.read(len(data)) == data
        with pytest.raises(EOFError):
            other.read(1)
        assert other.closed
        eventually(lambda: stream.closed)

    def test_a_stream_of_another_kind(self):
        """Any object with RPyC's methods will do."""
        left, right = socket.socketpair()
        sock = join_stream(rpyc.SocketStream(left))
        right.sendall(b"in")
        assert sock.recv(10) == b"in"
        sock.sendall(b"out")
        assert right.recv(10) == b"out"
        sock.close()
        assert right.recv(10) == b""
        right.close()
        eventually(lambda: left.fileno() == -1)

    def test_the_end_of_a_stream_of_another_kind(self):
        """Its EOFError is the end of the socket."""
        left, right = socket.socketpair()
        sock = join_stream(rpyc.SocketStream(left))
        right.close()
        assert sock.recv(10) == b""
        sock.close()


class TestStreams:
    """Connections over what somebody else has opened."""

    def test_a_pair_of_pipes(self):
        """Calls and callbacks go over two pipes."""
        conn, thread = both(rpyc.connect_stream, *rpyc.PipeStream.create_pair())
        with conn:
            assert conn.root.add(1, 2) == 3
            assert conn.root.call(lambda value: value * 2, 21) == 42
            assert len(conn.root.add(b"x" * 500_000, b"y")) == 500_001
        thread.join(5)
        assert not thread.is_alive()

    def test_pipes_of_no_known_side(self):
        """Where nothing tells which side opens, the one that speaks first does."""
        first_in, second_out = os.pipe()
        second_in, first_out = os.pipe()
        second = os.fdopen(second_in, "rb", 0), os.fdopen(second_out, "wb", 0)
        ends = {}

        def far():
            with rpyc.connect_pipes(*second, Adder) as conn:
                ends["far"] = conn.root.add(3, 4)
                conn.serve_all()

        incoming, outgoing = os.fdopen(first_in, "rb", 0), os.fdopen(first_out, "wb", 0)
        near = rpyc.core.stream.PipeStream(incoming, outgoing)
        near.role = "client"
        thread = threading.Thread(target=far)
        thread.start()
        with rpyc.connect_stream(near, Adder) as conn:
            assert conn.root.add(1, 2) == 3
            eventually(lambda: conn.serve(0.1) or "far" in ends)
        thread.join(5)
        assert ends == {"far": 7}

    def test_a_channel_over_an_accepted_socket(self):
        """A server of one's own: accept, connect_channel, serve."""
        with socket.create_server(("127.0.0.1", 0)) as listener:

            def serve():
                sock, _ = listener.accept()
                channel = rpyc.Channel(rpyc.SocketStream(sock))
                rpyc.connect_channel(channel, Adder).serve_threaded()

            thread = threading.Thread(target=serve)
            thread.start()
            port = listener.getsockname()[1]
            with rpyc.connect_stream(rpyc.SocketStream.connect("127.0.0.1", port)) as conn:
                assert conn.root.add(1, 2) == 3
            thread.join(5)
            assert not thread.is_alive()

    def test_a_lost_pipe(self):
        """A call fails when the other side of the pipe is gone."""
        stream, other = rpyc.PipeStream.create_pair()
        conn, thread = both(rpyc.connect_stream, stream, other)
        conn.root.add(1, 1)
        os.close(os.dup2(os.open(os.devnull, os.O_RDWR), stream.outgoing.fileno()))
        with pytest.raises(EOFError):
            conn.root.add(1, 2)
        conn.close()
        thread.join(10)
        assert not thread.is_alive()


class TestSubprocesses:
    """Programs that serve their standard input and output."""

    def test_a_classic_server(self):
        """connect_subproc starts one of ours, which ends with the connection."""
        conn = rpyc.classic.connect_subproc()
        with conn:
            assert conn.modules.os.getpid() == conn.proc.pid
            conn.execute("print('to nowhere'); x = 5")
            assert conn.eval("x") == 5
            assert conn.namespace["x"] == 5
            assert conn.root.getmodule("math").sqrt(4) == 2
        assert conn.proc.wait(10) == 0

    def test_a_classic_server_of_rpyc(self):
        """The program may be stock RPyC, which is recognised."""
        program = "import rpyc; rpyc.classic.connect_stdpipes().serve_all()"
        # Its own classic side may not be done when this one closes, which it then complains of.
        command = ["sh", "-c", 'exec "$0" -c "$1" 2>/dev/null', sys.executable, program]
        conn = rpyc.connect_subproc(command, service=rpyc.SlaveService)
        with conn:
            assert conn.protocol == "rpyc/6"
            assert conn.modules.os.getpid() == conn.proc.pid
            assert conn.eval("[1, 2][1]") == 2
        conn.proc.wait(10)

    def test_a_client_of_rpyc(self):
        """What starts the program may be stock RPyC as well."""
        serve = (
            "from nbrpc.compat.install import install_as_rpyc; install_as_rpyc(); import rpyc\n"
            "class Caller(rpyc.Service):\n"
            "    def exposed_call(self, function): return function(2)\n"
            "rpyc.connect_stdpipes(Caller).serve_all()"
        )
        program = (
            "import rpyc, sys; c = rpyc.connect_subproc([sys.executable, '-c', sys.argv[1]]); "
            "print(c.root.call(lambda value: value * 21)); c.close(); print(c.proc.wait(10))"
        )
        done = subprocess.run(
            [sys.executable, "-c", program, serve],
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
            env=environment(),
        )
        assert done.stdout == "42\n0\n", done.stderr

    def test_a_program_that_ends_at_once(self):
        """It cannot be connected to, and is not left behind."""
        begun = time.monotonic()
        with pytest.raises(ConnectionError):
            rpyc.connect_subproc([sys.executable, "-c", "pass"])
        assert time.monotonic() - begun < 30
