"""Hostile servers of RPyC and our clients: nothing runs here, nothing hangs, memory stays low."""

from __future__ import annotations

import contextlib
import resource
import struct
import threading
import time
import zlib

import pytest

import nbrpc
from nbrpc.options import Limits
from tests.session.rpyc.raw import (
    BUFFITER,
    CALL,
    CALLATTR,
    CMP,
    EXCEPTION,
    GETATTR,
    GETROOT,
    INSPECT,
    NOTHING,
    PICKLE,
    REPLY,
    REQUEST,
    ROOT,
    STR,
    framed,
    home,
    items,
    lent,
    message,
    server_of,
    value,
)
from tests.support import eventually


@pytest.fixture(params=["rpyc5", "rpyc6"])
def dialect(request):
    """Give the scheme of a dialect."""
    return request.param


@contextlib.contextmanager
def linked(dialect, behave, **options):
    """Connect to a server that does as it likes."""
    options.setdefault("timeout", 5)
    options.setdefault("config", {"sync_request_timeout": 5})
    with server_of(dialect, behave) as url, nbrpc.connect(url, **options) as conn:
        yield conn


def grown(before):
    """Give the megabytes by which this process has been larger than before at its largest."""
    return (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) / 1024


@pytest.fixture
def largest():
    """Give the most memory of this process so far."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss


# ---- while connecting


@pytest.mark.parametrize(
    "answer",
    [
        lambda raw, seq: raw.sock.close(),
        lambda raw, seq: raw.sock.sendall(b"\xff" * 100),
        lambda raw, seq: raw.sock.sendall(struct.pack(">IB", 2**32 - 1, 0) + b"\x02\x11\x50"),
        lambda raw, seq: raw.send(REPLY, seq, value(None)),
        lambda raw, seq: raw.send(REPLY, seq, value("text")),
        lambda raw, seq: raw.send(REPLY, seq, home(("x", 1, 1))),
        lambda raw, seq: raw.send(REPLY, seq, (9, 9)),
        lambda raw, seq: raw.send(REPLY, seq, 5),
        lambda raw, seq: raw.send(REPLY, seq, lent(("x", 1))),
        lambda raw, seq: raw.send(EXCEPTION, seq, (("builtins", "SystemExit"), (1,), (), "text")),
        lambda raw, seq: raw.send(EXCEPTION, seq, 1),
        lambda raw, seq: raw.send(EXCEPTION, seq, "text"),
        lambda raw, seq: raw.send(EXCEPTION, seq, b"none"),
        lambda raw, seq: raw.send(REQUEST, 0, (2, NOTHING)),
        lambda raw, seq: None,
    ],
)
def test_odd_roots(dialect, answer):
    """Whatever is served there, `connect` fails with one sentence."""

    def behave(raw, kind, seq, body):
        if kind == REQUEST and body[0] == GETROOT:
            answer(raw, seq)
            return True
        return None

    with server_of(dialect, behave) as url:
        with pytest.raises(nbrpc.ConnectFailed) as caught:
            nbrpc.connect(url, timeout=1)
        assert "\n" not in str(caught.value)[:60]


SPECIAL_NAMES = [
    "__class__", "__del__", "_nbrpc_session_", "__init__", "__getattribute__", "__reduce_ex__",
    "__array_interface__", "__dict__", "_repr_html_", "_ipython_display_", "__setattr__",
    "__slots__",
    "exposed__nbrpc_session_", "exposed___class__", "exposed___del__", "exposed_", "exposed_a b",
    "exposed__repr_html_", "exposed___init__", "mro", "\0", "",
]  # fmt: skip


@pytest.mark.parametrize(
    "methods",
    [
        value(5),
        value(None),
        value("abc"),
        value((1, 2)),
        value(((),)),
        value(((1, 2), (None, None))),
        value(tuple((name, None) for name in SPECIAL_NAMES)),
        value(tuple((f"exposed_{i}", "x" * 50) for i in range(20_000))),
        value(tuple((f"name{i}", None) for i in range(300_000))),
        value((("x" * 1_000_000, None),)),
        value(((slice(1), None), ("__len__", None))),
        home(("x", 1, 1)),
        lent(("builtins.list", 5, 6)),
        lent(("x.Y", 5, 6)),
        items(lent(("x.Z", 8, 9)), items(lent(("x.Q", 10, 11)), value(None))),
    ],
)
def test_rubbish_about_a_class(dialect, methods, largest):
    """What is told of a class makes no difference to what a proxy is."""
    ran = []

    def behave(raw, kind, seq, body):
        if kind != REQUEST:
            return None
        if body[0] == INSPECT:
            raw.send(REPLY, seq, methods)
            return True
        ran.append(body[0])
        return None

    with server_of(dialect, behave) as url:
        try:
            conn = nbrpc.connect(url, timeout=4, config={"sync_request_timeout": 2})
        except nbrpc.ConnectFailed:
            return
        with conn:
            root = conn.root
            assert type(root).__mro__[1].__module__.startswith("nbrpc.")
            assert isinstance(root, type(root))
            assert root._nbrpc_session_ is conn.session
            with pytest.raises(AttributeError):
                root._repr_html_  # noqa: B018 - it is read
            with pytest.raises(AttributeError):
                root.__globals__  # noqa: B018 - it is read
            assert len(dir(root)) < 20_000
            del root
        assert grown(largest) < 300


def test_a_class_that_is_never_told(dialect):
    """A server that is silent about its root is given up after the time to connect."""

    def behave(_raw, kind, _seq, body):
        return True if kind == REQUEST and body[0] == INSPECT else None

    with server_of(dialect, behave) as url:
        begun = time.monotonic()
        with pytest.raises(nbrpc.ConnectFailed):
            nbrpc.connect(url, timeout=0.5)
        assert time.monotonic() - begun < 3


# ---- what the server asks of us


def asked(dialect, *requests, service=nbrpc.VoidService, **options):
    """Have a server ask us for something, and give what we answered."""
    answers = {}

    def behave(raw, kind, seq, body):
        if kind == REQUEST and body[0] == STR:
            for number, request in enumerate(requests):
                raw.ask(request[0], *request[1:])
                answers[raw.seq] = None
                del number
            behave.asking = seq
            if not requests:
                raw.send(REPLY, seq, value("done"))
            return True
        if kind != REQUEST and seq in answers:
            answers[seq] = kind, body
            if None not in answers.values():
                raw.send(REPLY, behave.asking, value("done"))
            return True
        return None

    with linked(dialect, behave, service=service, **options) as conn:
        assert str(conn.root) == "done"
        return list(answers.values())


def test_a_client_exposes_nothing(dialect):
    """Whatever a server asks of the usual client, nothing runs and nothing is given."""
    guesses = [("nbrpc.service.VoidService", 1, 1), ("x", 1, 2), ("builtins.module", 0, 3), ROOT]
    requests = [(GETROOT,)]
    for guess in guesses:
        for name in (
            "getmodule",
            "eval",
            "execute",
            "getconn",
            "__class__",
            "__globals__",
            "__self__",
        ):
            requests += [
                (GETATTR, home(guess), value(name)),
                (CALLATTR, home(guess), value(name), value(("os",)), NOTHING),
            ]
        requests += [
            (CALL, home(guess), NOTHING, NOTHING),
            (PICKLE, home(guess), value(2)),
            (CMP, home(guess), home(guess), value("__eq__")),
            (BUFFITER, home(guess), value(10)),
            (INSPECT, value(guess)),
        ]
    (kind, body), *others = asked(dialect, *requests)
    assert kind == EXCEPTION or body[0] in (1, 4)
    for request, (kind, body) in zip(requests[1:], others, strict=True):
        # A function that gives no module may be had, since RPyC's classic servers ask for it.
        harmless = (
            kind == EXCEPTION
            or body in (value(None), value(()), value(False), value(True))
            or (request[0] == GETATTR and request[2] == value("getmodule") and body[0] == 4)
            or (request[0] == INSPECT and body[0] == 1)
        )
        assert harmless, (request, kind, body)


def test_code_is_run_for_nobody(dialect, tmp_path):
    """A root that a server got by asking is of no use to run code."""
    mark = tmp_path / "mark"
    expression = f"open({str(mark)!r}, 'w')"
    names = []

    def behave(raw, kind, seq, body):
        if kind == REQUEST and body[0] == STR:
            behave.asking = seq
            raw.ask(GETROOT)
            return True
        if kind == REPLY and seq == 1:
            names.append(body[1])
            root = home(body[1])
            for name, text in [("eval", expression), ("execute", expression), ("getmodule", "os")]:
                raw.ask(CALLATTR, root, value(name), value((text,)), NOTHING)
                raw.ask(GETATTR, root, value(name))
            for name in ("__class__", "__init__", "exposed_getmodule.__globals__", "__dict__"):
                raw.ask(GETATTR, root, value(name))
            raw.ask(PICKLE, root, value(2))
            return True
        if kind != REQUEST:
            if seq == raw.seq:
                raw.send(REPLY, behave.asking, value("done"))
            elif seq == 1:
                raw.send(REPLY, behave.asking, value("refused"))
            return True
        return None

    with linked(dialect, behave) as conn:
        assert str(conn.root) in ("done", "refused")
    assert not mark.exists()


@pytest.mark.parametrize("count", [10, 300])
def test_a_server_that_floods_us_with_requests(dialect, count):
    """More than the limit are outstanding: the link is ended, and the caller told."""
    limits = Limits(requests=100)
    gate = threading.Event()
    given = []

    def behave(raw, kind, seq, body):
        if kind == REQUEST and body[0] == CALLATTR:
            given.append(body)
            function = body[1][1][2][1][0][1]
            flood = [message(dialect, REQUEST, n, CALL_OF(function)) for n in range(count)]
            with contextlib.suppress(OSError):
                raw.sock.sendall(b"".join(flood))
                raw.send(REPLY, seq, value(7))
            return True
        return None

    with linked(dialect, behave, limits=limits) as conn:
        call = conn.session
        try:
            got = call.finish(
                *call.begin(
                    nbrpc.protocol.messages.Operation.CALL,
                    conn.root._nbrpc_oid_,
                    "run",
                    (lambda: gate.wait(0.01),),
                )
            )
        except nbrpc.ConnectionLost:
            assert count == 300
        else:
            assert (got, count) == (7, 10)


def CALL_OF(function):
    """Give the body of a call without arguments."""
    return (CALL, items(home(function), NOTHING, NOTHING))


# ---- answers


def answering(dialect, answer, **options):
    """Connect to a server that answers ``str(root)`` with this."""

    def behave(raw, kind, seq, body):
        if kind == REQUEST and body[0] == STR:
            with contextlib.suppress(OSError):
                answer(raw, seq)
            return True
        return None

    return linked(dialect, behave, **options)


def deep(levels):
    """Nest tuples."""
    nested = ()
    for _ in range(levels):
        nested = (nested,)
    return nested


def bomb():
    """Give a small zlib stream of 200 MB."""
    packer = zlib.compressobj(9)
    zeros = bytes(5_000_000)
    return b"".join([*(packer.compress(zeros) for _ in range(40)), packer.flush()])


ANSWERS = {
    "garbage": lambda raw, seq: raw.sock.sendall(b"\xfe\xdc" * 50),
    "a giant frame": lambda raw, seq: raw.sock.sendall(
        struct.pack(">IB", 2**32 - 1, 0) + b"x" * 99
    ),
    "a bomb": lambda raw, seq: raw.sock.sendall(framed(bomb(), 1)),
    "the end": lambda raw, seq: raw.sock.close(),
    "the end within a frame": lambda raw, seq: (
        raw.sock.sendall(struct.pack(">IB", 100, 0) + b"\x02"),
        raw.sock.shutdown(1),
    ),
    "deep brine": lambda raw, seq: raw.send(REPLY, seq, value(deep(200))),
    "a forged home": lambda raw, seq: raw.send(REPLY, seq, home(("x", 1, 10**6))),
    "an odd exception": lambda raw, seq: raw.send(EXCEPTION, seq, ((1, 2), 3, 4, 5)),
    "the other dialect": lambda raw, seq: raw.sock.sendall(
        message("rpyc6" if raw.dialect == "rpyc5" else "rpyc5", REPLY, seq, value(1))
    ),
    "a frozenset of unhashable things": lambda raw, seq: raw.sock.sendall(
        framed(b"\x1a\x10\x19\x12\x51\x51\x51")
    ),
}


@pytest.mark.parametrize("name", ANSWERS)
def test_odd_answers(dialect, name, largest):
    """The call fails or the link ends, at once."""
    with answering(dialect, ANSWERS[name]) as conn:
        with contextlib.suppress(nbrpc.NbrpcError):
            str(conn.root)
        begun = time.monotonic()
        with contextlib.suppress(nbrpc.NbrpcError):
            repr(conn.root)
        assert time.monotonic() - begun < 3
    assert grown(largest) < 200


@pytest.mark.parametrize(
    "name",
    ["SystemExit", "KeyboardInterrupt", "GeneratorExit", "StopIteration", "StopAsyncIteration",
     "BaseException", "Cancelled", "ExceptionGroup", "UnicodeDecodeError", "eval", "object", ""],
)  # fmt: skip
def test_exceptions_that_would_end_this_process(dialect, name):
    """Whatever a server says was raised, an Exception is raised here."""
    body = (("builtins", name), ("x",), (("args", (1,)), ("__class__", "x"), ("a", 1)), "text")

    def behave(raw, kind, seq, request):
        if kind == REQUEST and request[0] == CALLATTR:
            raw.send(EXCEPTION, seq, body)
            return True
        return None

    with linked(dialect, behave) as conn:
        for call in (
            lambda: conn.session.finish(
                *conn.session.begin(
                    nbrpc.protocol.messages.Operation.CALL, conn.root._nbrpc_oid_, "f"
                )
            ),
            lambda: len(list(iter([conn.root.__str__, 1]))),
        ):
            with contextlib.suppress(Exception):  # any refusal will do
                call()
        assert not conn.closed


def test_many_objects(dialect):
    """A server that gives more objects than the limit is left."""
    limits = Limits(exported=10)
    held = []

    def behave(raw, kind, seq, body):
        if kind == REQUEST and body[0] == GETATTR:
            raw.send(REPLY, seq, lent(("builtins.function", 5, seq)))
            return True
        return None

    with linked(dialect, behave, limits=limits) as conn:
        get = nbrpc.protocol.messages.Operation.GET

        def more():
            for n in range(300):
                held.append(conn.session.request(get, conn.root._nbrpc_oid_, f"n{n}"))  # noqa: PERF401 - what came before the error counts

        with pytest.raises(nbrpc.NbrpcError):
            more()
        assert 50 < len(held) <= 100


def test_a_server_that_does_not_read(dialect):
    """What waits for it is bounded; the link is ended then, and the callers told."""
    stop = threading.Event()

    def behave(_raw, kind, _seq, body):
        if kind == REQUEST and body[0] in (CALL, CALLATTR):
            stop.wait(10)
            return True
        return None

    limits = Limits(queued_bytes=1_000_000)
    with linked(dialect, behave, limits=limits) as conn:
        session = conn.session
        data = b"x" * 100_000

        def flood():
            for _ in range(200):
                call = session.quiet_call()
                session.send_request(
                    call,
                    nbrpc.protocol.messages.Operation.CALL,
                    conn.root._nbrpc_oid_,
                    "f",
                    (data,),
                )

        try:
            with pytest.raises(nbrpc.ConnectionLost):
                flood()
        finally:
            stop.set()
        eventually(lambda: conn.closed)


def first(iterable):
    """Give the first item."""
    return next(iter(iterable))


def test_lengths_and_hashes_that_are_none(dialect):
    """Where Python trusts a type blindly, what a server gives is looked at first."""
    numbers = [value(-1), value(2**70), value(1.5)]
    odd = [*numbers, value("x"), value(None), lent(("builtins.int", 1, 5))]

    for answer in odd:

        def behave(raw, kind, seq, body, answer=answer):
            if kind == REQUEST and body[0] == INSPECT:
                methods = ("__len__", "__bool__", "__iter__", "__contains__", "__length_hint__")
                raw.send(REPLY, seq, value(tuple((name, None) for name in methods)))
                return True
            if kind == REQUEST and body[0] in (CALLATTR, 12, CMP):
                raw.send(REPLY, seq, answer)
                return True
            return None

        with linked(dialect, behave) as conn:
            for use in (len, bool, hash, first, lambda root: 5 in root, lambda root: root == 5):
                with contextlib.suppress(TypeError, ValueError, nbrpc.NbrpcError):
                    use(conn.root)
            assert not conn.closed
