"""Hostile clients of a server that lets RPyC's in: that call or that link ends, and nobody else's.

Every test ends with a client that is served at once.
"""

from __future__ import annotations

import contextlib
import resource
import socket
import struct
import threading
import zlib

import pytest

import nbrpc
from nbrpc.options import Limits
from nbrpc.protocol.rpyc import brine
from tests.session.rpyc.raw import (
    BUFFITER,
    CALL,
    CALLATTR,
    CMP,
    CTXEXIT,
    DEL,
    DELATTR,
    DIR,
    EXCEPTION,
    GETATTR,
    GETROOT,
    HASH,
    INSPECT,
    INSTANCECHECK,
    NOTHING,
    OLDSLICING,
    PICKLE,
    PING,
    REPLY,
    REPR,
    REQUEST,
    SETATTR,
    STR,
    client_of,
    framed,
    home,
    items,
    lent,
    message,
    value,
)
from tests.support import eventually


class Thing:
    pass


class Manager:
    def __enter__(self):
        return self

    def __exit__(self, kind, error, traceback):
        return (kind, str(error)) == (ValueError, "")


class Service(nbrpc.Service):
    """What is attacked; `compromised` is called when something got through."""

    secret = "s3cret"

    def __init__(self):
        self.gate = threading.Event()

    def exposed_echo(self, x):
        return x

    def exposed_thing(self):
        return Thing()

    def exposed_list(self):
        return [1, 2, 3]

    def exposed_endless(self):
        while True:
            yield 0

    def exposed_manager(self):
        return Manager()

    def exposed_hold(self):
        self.gate.wait(10)

    def exposed_blob(self):
        return b"x" * 1_000_000

    def exposed_call(self, function):
        return function()


@pytest.fixture(params=["rpyc5", "rpyc6"])
def dialect(request):
    """Give the scheme of a dialect."""
    return request.param


@pytest.fixture
def server(serving):
    """Serve, and check in the end that the next client is served."""
    service = Service()
    server = serving(service, rpyc=True)
    yield server
    service.gate.set()
    check(server)


def check(server):
    """Be served, as a client of each kind."""
    for url, token in [
        (f"rpyc6://127.0.0.1:{server.port}", None),
        (f"rpyc5://127.0.0.1:{server.port}", None),
        (server.url, server.token),
    ]:
        with nbrpc.connect(url, token=token, timeout=5) as conn:
            assert conn.root.echo(1) == 1


def grown(before):
    """Give the megabytes by which this process has been larger than before at its largest."""
    return (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) / 1024


@pytest.fixture
def largest():
    """Give the most memory of this process so far."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss


def bomb():
    """Give a small zlib stream of 200 MB."""
    packer = zlib.compressobj(9)
    zeros = bytes(5_000_000)
    return b"".join([*(packer.compress(zeros) for _ in range(40)), packer.flush()])


# ---- bytes

FIRST_WORDS = {
    "garbage": b"\xfe\xdc\xba" * 60,
    "web": b"GET / HTTP/1.1\r\nHost: x\r\n\r\n",
    "tls": bytes.fromhex("16030100c8010000c40303") + bytes(190),
    "a giant frame": struct.pack(">IB", 2**32 - 1, 0) + b"\x01\x11\x50",
    "a frame beyond the handshake": framed(b"\x01" + brine.dumps((0, b"x" * 100_000))),
    "a kind that there is not": framed(b"\x04" + brine.dumps((0, (3, NOTHING)))),
    "no brine": framed(b"\x01\xff\xff"),
    "an empty compressed frame": struct.pack(">IB", 0, 1) + b"\n",
    "damaged zlib": framed(b"\x78\x9cxxxxxxxx", 1),
    "threads bound": framed(bytes(8) + bytes(8) + b"\x01" + brine.dumps((0, (3, NOTHING)))),
    "a reply to nothing": message("rpyc6", REPLY, -1, value(None)),
    "the other dialect behind": message("rpyc6", REQUEST, 0, (GETROOT, NOTHING))
    + message("rpyc5", REQUEST, 1, (GETROOT, NOTHING)),
}


@pytest.mark.parametrize("name", FIRST_WORDS)
def test_first_words_that_are_none(server, name):
    """The connection is closed, without a thread having waited for more."""
    with client_of(server, "rpyc6") as raw:
        raw.sock.sendall(FIRST_WORDS[name])
        assert raw.closed()
    eventually(lambda: not server._handshakes)


@pytest.mark.parametrize("cut", range(1, 24))
def test_openings_cut_in_the_middle(server, cut):
    """Of our own clients and of RPyC's: nothing is left of them."""
    opening = bytes.fromhex(
        "00000000004e 000000000001 00000008 00 0111501153115102 0a".replace(" ", "")
    )
    for data in (opening[:cut], opening[12 : 12 + cut]):
        with client_of(server, "rpyc6") as raw:
            raw.sock.sendall(data)
    eventually(lambda: not server._handshakes and not server.connections)


def test_the_end_within_a_frame(server, dialect):
    """A link that ends there is closed, and what ran is done with."""
    with client_of(server, dialect) as raw:
        raw.root()
        raw.sock.sendall(struct.pack(">IB", 1000, 0) + b"\x01\x11")
        raw.sock.shutdown(socket.SHUT_WR)
        assert raw.closed()
    eventually(lambda: not server.connections)


AFTERWARDS = {
    "garbage": b"\xff" * 100,
    "a giant frame": struct.pack(">IB", 2**32 - 1, 0) + bytes(1000),
    "deep brine": lambda dialect: message(dialect, REQUEST, 1, (PING, value(deep(60)))),
    "deeper brine": framed(b"\x01" + b"\x10" * 100_000 + b"\x00"),
    "deeper brine of the other kind": framed(b"\x10" * 100_000 + b"\x00"),
    "a zlib bomb": lambda _dialect: framed(bomb(), 1),
    "a long tuple that is none": framed(b"\x01\x11\x50\x15\xff\xff\xff\xff"),
    "an int without end": framed(b"\x01\x11\x17" + struct.pack(">I", 10**6) + b"9" * 10**6),
    "an unknown request": lambda dialect: message(dialect, REQUEST, 1, (99, NOTHING)),
    "a request that is a tuple": lambda dialect: message(dialect, REQUEST, 1, ((1,), NOTHING)),
    "a request that is a slice": lambda dialect: message(
        dialect, REQUEST, 1, (slice(1, 2, 3), NOTHING)
    ),
    "a request with a huge number": lambda dialect: message(
        dialect, REQUEST, 2**100, (GETROOT, NOTHING)
    ),
    "a label that there is not": lambda dialect: message(dialect, REQUEST, 1, (PING, (5, 1))),
    "a box of three": lambda dialect: message(dialect, REQUEST, 1, (PING, (1, 2, 3))),
    "boxes in boxes": lambda dialect: message(dialect, REQUEST, 1, (PING, boxes(28))),
    "too few arguments": lambda dialect: message(dialect, REQUEST, 1, (CALL, NOTHING)),
    "too many": lambda dialect: message(dialect, REQUEST, 1, (GETROOT, value((1, 2)))),
    "arguments that are none": lambda dialect: message(dialect, REQUEST, 1, (CALL, value(5))),
    "a name of four": lambda dialect: message(
        dialect, REQUEST, 1, (REPR, items(home(("a", 1, 1, 1))))
    ),
    "a name of the old kind": lambda dialect: message(dialect, REQUEST, 1, (REPR, items(home(7)))),
    "a long name": lambda dialect: message(
        dialect, REQUEST, 1, (REPR, items(home(("a" * 2000, 1, 1))))
    ),
    "an exception that is none": lambda dialect: message(dialect, EXCEPTION, 1, (1, 2, 3)),
    "a reply that is none": lambda dialect: message(dialect, REPLY, 1, 5),
}


def deep(levels):
    """Nest tuples."""
    nested = ()
    for _ in range(levels):
        nested = (nested,)
    return nested


def boxes(levels):
    """Nest boxes of tuples."""
    nested = lent(("a", 1, 1))
    for _ in range(levels):
        nested = items(nested)
    return nested


@pytest.mark.parametrize("name", AFTERWARDS)
def test_what_is_no_protocol(server, dialect, name, largest):
    """The link is closed or the request refused, soon, and memory stays low."""
    data = AFTERWARDS[name]
    with client_of(server, dialect) as raw:
        raw.root()
        with contextlib.suppress(ConnectionError):
            raw.sock.sendall(data(dialect) if callable(data) else data)
            raw.sock.shutdown(socket.SHUT_WR)
        assert raw.closed()
    assert grown(largest) < 200
    eventually(lambda: not server.connections)


def test_a_reason_is_logged(server, dialect, caplog):
    """The log says why a link was ended."""
    with client_of(server, dialect) as raw:
        raw.root()
        raw.send(REQUEST, 1, (99, NOTHING))
        assert raw.closed()
    eventually(lambda: "99" in caplog.text)


# ---- references


def test_forged_references(server, dialect):
    """Ids that were never given mean nothing, wherever they stand."""
    with client_of(server, dialect) as raw, client_of(server, dialect) as other:
        root = raw.root()
        other_root = other.root()
        kind, (_, thing) = other.answer(CALLATTR, home(other_root), value("thing"), *NO_ARGS)
        assert kind == REPLY
        for forged in [thing, ("x.Y", 5, 10**9), ("x.Y", 5, -1), ("x.Y", 5, 0), ("", 0, 2**70)]:
            for request in [
                (REPR, home(forged)),
                (STR, home(forged)),
                (DIR, home(forged)),
                (HASH, home(forged)),
                (GETATTR, home(forged), value("x")),
                (CALL, home(forged), *NO_ARGS),
                (CALLATTR, home(forged), value("__len__"), *NO_ARGS),
                (CALLATTR, home(root), value("echo"), items(home(forged)), NOTHING),
                (INSPECT, value(forged)),
                (INSTANCECHECK, home(forged), value(forged)),
                (BUFFITER, home(forged), value(5)),
                (CTXEXIT, home(forged), value(None)),
                (PICKLE, home(forged), value(2)),
                (CMP, home(forged), home(forged), value("__eq__")),
            ]:
                kind, body = raw.answer(*request)
                assert kind == EXCEPTION or body == value(False), request
            assert raw.answer(DEL, home(forged), value(1)) == (REPLY, value(None))
        # The other's is untouched.
        assert other.answer(REPR, home(thing))[0] == REPLY


NO_ARGS = (NOTHING, NOTHING)


@pytest.mark.parametrize("count", [0, -1, -(10**9), 10**9, 2**63, True, None, "1", 1.5, (), b"1"])
def test_releases_that_count_wrong(server, dialect, count):
    """A peer that counts wrong harms itself only."""
    with client_of(server, dialect) as raw:
        root = raw.root()
        (connection,) = server.connections
        _, (_, thing) = raw.answer(CALLATTR, home(root), value("thing"), *NO_ARGS)
        raw.answer(DEL, home(thing), value(count))
        assert raw.answer(CALLATTR, home(root), value("echo"), value((1,)), NOTHING) == (
            REPLY,
            value(1),
        )
        assert len(connection.session.boxing.exports) <= 2


def test_references_that_are_not_the_peers_own(server, dialect):
    """An object of the peer is no target of requests here."""
    with client_of(server, dialect) as raw:
        raw.root()
        kind, _ = raw.answer(GETATTR, lent(("a.B", 1, 1)), value("x"))
        assert kind == EXCEPTION


def test_too_many_references(serving, dialect):
    """A client that holds more than the limit gets an error, and lives."""
    server = serving(Service(), rpyc=True, limits=Limits(exported=5))
    with client_of(server, dialect) as raw:
        root = raw.root()
        kinds = [raw.answer(CALLATTR, home(root), value("thing"), *NO_ARGS)[0] for _ in range(10)]
        assert kinds == [REPLY] * 4 + [EXCEPTION] * 6
        assert raw.answer(CALLATTR, home(root), value("echo"), value((1,)), NOTHING)[0] == REPLY
    check_rpyc(server)


def check_rpyc(server):
    """Be served as a client of RPyC's wire."""
    with nbrpc.connect(f"rpyc6://127.0.0.1:{server.port}", timeout=5) as conn:
        assert conn.root.echo(1) == 1


# ---- names

NAMES = [
    "__class__", "__globals__", "__dict__", "__init__", "__subclasses__", "__mro__", "__bases__",
    "__code__", "__closure__", "__func__", "__self__", "__module__", "__weakref__", "__builtins__",
    "__reduce_ex__", "__reduce__", "__init_subclass__", "__getattribute__", "__setattr__",
    "__delattr__", "__new__", "__del__", "__sizeof__", "__subclasshook__", "__getattr__",
    "__instancecheck__", "__prepare__", "__get__", "__set_name__", "__class_getitem__", "__dir__",
    "secret", "exposed_echo.__func__", "echo.__globals__", "gate", "", ".", "..", "exposed_",
    "exposed___class__", "_", "__", "____", "on_connect", "allow_code", "\0", "echo\0", " echo",
]  # fmt: skip


@pytest.mark.parametrize("spelled", [str, str.encode])
def test_names_that_are_not_exposed(server, dialect, spelled):
    """None can be read, written, deleted, called or compared with, in either spelling."""
    service = server.service
    with client_of(server, dialect) as raw:
        root = raw.root()
        _, (_, thing) = raw.answer(CALLATTR, home(root), value("thing"), *NO_ARGS)
        for name in map(spelled, NAMES):
            for target in (root, thing):
                for request in [
                    (GETATTR, home(target), value(name)),
                    (SETATTR, home(target), value(name), value(5)),
                    (DELATTR, home(target), value(name)),
                    (CALLATTR, home(target), value(name), *NO_ARGS),
                    (CALLATTR, home(target), value(name), value((2,)), NOTHING),
                    (CMP, home(target), value(1), value(name)),
                ]:
                    answer = raw.answer(*request)
                    assert answer is not None, request
                    assert answer[0] == EXCEPTION, (request, answer)
    assert service.exposed_echo(3) == 3
    assert service.secret == "s3cret"


def test_comparisons_are_six(server, dialect):
    """CVE-2019-16328: the name of a comparison is no way to other methods."""
    with client_of(server, dialect) as raw:
        root = raw.root()
        for name in ("__eq__", "__ne__"):
            kind, _ = raw.answer(CMP, home(root), home(root), value(name))
            assert kind == REPLY
        for name in ("__setattr__", "__getattribute__", "__cmp__", "__call__", "echo"):
            kind, _ = raw.answer(CMP, home(root), value("secret"), value(name))
            assert kind == EXCEPTION, name


@pytest.mark.parametrize("name", [5, None, (), b"\xff\xfe", "x" * 100_000])
def test_names_that_are_none(server, dialect, name):
    """That request is refused, or the link is ended."""
    with client_of(server, dialect) as raw:
        root = raw.root()
        answer = raw.answer(GETATTR, home(root), value(name))
        assert answer is None or answer[0] == EXCEPTION


def test_nothing_is_pickled(server, dialect):
    """Without ``allow_pickle`` no object is given as a pickle."""
    with client_of(server, dialect) as raw:
        root = raw.root()
        for protocol in (0, 2, 5, -1, 10**6, None, "x"):
            kind, body = raw.answer(PICKLE, home(root), value(protocol))
            assert kind == EXCEPTION
            assert body[0] == ("builtins", "ValueError")


def test_old_slices_are_refused(server, dialect):
    """The relic of Python 2 runs nothing."""
    with client_of(server, dialect) as raw:
        root = raw.root()
        arguments = (value("__getitem__"), value("__getattribute__"), value(0), value(1), NOTHING)
        kind, _ = raw.answer(OLDSLICING, home(root), *arguments)
        assert kind == EXCEPTION


def test_classic_requests_to_a_service(server, dialect):
    """A service is no shell."""
    with client_of(server, dialect) as raw:
        root = raw.root()
        for name in ("getmodule", "eval", "execute", "getconn", "namespace"):
            assert raw.answer(GETATTR, home(root), value(name))[0] == EXCEPTION
            given = (value(("os",)), NOTHING)
            assert raw.answer(CALLATTR, home(root), value(name), *given)[0] == EXCEPTION


# ---- arguments


def test_keywords_that_are_none(server, dialect):
    """Pairs of a name and a value, or the link is ended."""
    for kwargs in [
        value(5),
        value((1, 2)),
        value((("a",),)),
        value(((1, 2),)),
        items(value(1)),
        items(items(value("a"))),
        lent(("a", 1, 1)),
    ]:
        with client_of(server, dialect) as raw:
            root = raw.root()
            answer = raw.answer(CALLATTR, home(root), value("echo"), value((1,)), kwargs)
            assert answer is None or answer[0] == EXCEPTION, kwargs


def test_endless_iterators(server, dialect, largest):
    """A huge count takes a bounded number of items."""
    with client_of(server, dialect) as raw:
        root = raw.root()
        _, (_, endless) = raw.answer(CALLATTR, home(root), value("endless"), *NO_ARGS)
        for count in (2**63, 10**9, -5, None, "x", 1.5):
            kind, body = raw.answer(BUFFITER, home(endless), value(count))
            assert kind == EXCEPTION or len(body[1]) <= 100_000
        assert raw.answer(BUFFITER, home(root), value(5))[0] == EXCEPTION
    assert grown(largest) < 100


def test_context_managers_that_are_left_oddly(server, dialect):
    """The exception of a peer is a name of a builtin one at most; nothing else is made of it."""
    with client_of(server, dialect) as raw:
        root = raw.root()
        _, (_, manager) = raw.answer(CALLATTR, home(root), value("manager"), *NO_ARGS)
        for odd in [
            value(None), value(5), value("x"), value(b"x"), value("ValueError: x"), value(()),
            value("os.system: ls"), value("SystemExit: 1"), value("KeyboardInterrupt: "),
            value("__import__"), home(root), home(("x", 1, 10**6)), items(home(root)),
        ]:  # fmt: skip
            answer = raw.answer(CTXEXIT, home(manager), odd)
            assert answer is not None, odd
        assert raw.answer(CTXEXIT, home(root), value(None))[0] == EXCEPTION
        assert raw.answer(CTXEXIT, home(manager))[0] in (REPLY, EXCEPTION)


# ---- floods


def test_a_flood_of_requests(serving, dialect):
    """More requests than `Limits.requests` may be outstanding end the link."""
    service = Service()
    server = serving(service, rpyc=True, limits=Limits(requests=100))
    with client_of(server, dialect) as raw:
        root = raw.root()
        raw.ask(CALLATTR, home(root), value("hold"), *NO_ARGS)
        flood = b"".join(
            message(dialect, REQUEST, n, (CALLATTR, items(home(root), value("hold"), *NO_ARGS)))
            for n in range(100, 400)
        )
        with contextlib.suppress(ConnectionError):
            raw.sock.sendall(flood)
        assert raw.closed()
        service.gate.set()
    check_rpyc(server)


@pytest.mark.parametrize("what", ["blobs", "pings"])
def test_a_client_that_does_not_read(serving, dialect, what, largest):
    """It is cut off when `Limits.queued_bytes` wait for it."""
    server = serving(Service(), rpyc=True, limits=Limits(queued_bytes=4_000_000))
    with client_of(server, dialect) as raw:
        root = raw.root()
        if what == "blobs":
            body = (CALLATTR, items(home(root), value("blob"), *NO_ARGS))
            requests = [message(dialect, REQUEST, n, body) for n in range(100, 200)]
        else:
            ping = (PING, value((b"x" * 100_000,)))
            requests = [message(dialect, REQUEST, n, ping) for n in range(1000)]
        raw.sock.settimeout(10)
        with contextlib.suppress(ConnectionError):
            for data in requests:
                raw.sock.sendall(data)
        eventually(lambda: not server.connections)
    assert grown(largest) < 150
    check_rpyc(server)


def test_unsolicited_replies(server, dialect):
    """Some are borne, since a caller may have given up; then the link is ended."""
    with client_of(server, dialect) as raw:
        raw.root()
        for n in range(5):
            raw.send(REPLY, 1000 + n, value(None))
        assert raw.answer(PING, value(1)) == (REPLY, value(1))
        with contextlib.suppress(ConnectionError):
            for n in range(20):
                raw.send(REPLY, 10**6 + n, lent(("a.B", 1, n)))
        assert raw.closed()


def test_many_silent_clients(serving, dialect):
    """They are bounded by their number; the oldest goes, and others still get in."""
    server = serving(Service(), rpyc=True, limits=Limits(unauthenticated=5))
    with contextlib.ExitStack() as stack:
        silent = [stack.enter_context(client_of(server, dialect)) for _ in range(12)]
        check_rpyc(server)
        assert silent[0].closed()
        assert len(server._handshakes) <= 5
        assert silent[-1].root()


def test_first_words_that_trickle(serving, dialect):
    """Who has begun to speak has the time of a handshake to finish."""
    server = serving(Service(), rpyc=True, timing=nbrpc.Timing(handshake=0.3, heartbeat=0.2))
    with client_of(server, dialect) as slow, client_of(server, dialect) as silent:
        for byte in message(dialect, REQUEST, 0, (GETROOT, NOTHING))[:-4]:
            slow.sock.sendall(bytes([byte]))
        assert slow.closed()
        assert silent.root()
    check_rpyc(server)


def test_a_client_that_pings_first(server, dialect):
    """RPyC's clients may do so, and are answered."""
    with client_of(server, dialect) as raw:
        raw.sock.settimeout(1)
        assert raw.answer(PING, value("hi")) == (REPLY, value("hi"))
        assert raw.root()
