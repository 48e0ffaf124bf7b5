"""The machine of RPyC's protocol: captured bytes, both dialects, and whatever a peer may send."""

from __future__ import annotations

import zlib

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from nbrpc.errors import LocalProtocolError, NotSendable, RemoteProtocolError, StaleReference
from nbrpc.options import Limits
from nbrpc.protocol import codec, messages
from nbrpc.protocol.codec import Description, Ref
from nbrpc.protocol.messages import Kind, Operation
from nbrpc.protocol.rpyc import brine
from nbrpc.protocol.rpyc.handlers import Dialect, Handler
from nbrpc.protocol.rpyc.machine import OtherDialect, RpycProtocol
from nbrpc.protocol.rpyc.requests import RpycOperation
from tests.protocol.rpyc.brine_values import values
from tests.strategies import mutated, mutations, pieces, splits

DIALECTS = [Dialect.RPYC5, Dialect.RPYC6]


def machine(dialect=None, **limits):
    """Make one end."""
    return RpycProtocol(Limits(**limits), dialect)


def framed(payload):
    """Put a payload into a frame."""
    return len(payload).to_bytes(4, "big") + b"\0" + payload + b"\n"


def message(dialect, kind, seq, body):
    """Give the frame of a message."""
    if dialect is Dialect.RPYC5:
        return framed(brine.dumps((kind, seq, body), 500))
    return framed(bytes([kind]) + brine.dumps((seq, body), 500))


def written(protocol, kind, *fields):
    """Give the bytes of a message."""
    return b"".join(protocol.encode(kind, fields))


def asked(protocol, seq, handler, boxed):
    """Have a request arrive; give what the session gets."""
    return protocol.receive(message(protocol.dialect or Dialect.RPYC6, 1, seq, (handler, boxed)))


ROOT = ("__main__.CalcService", 94645163501840, 140104485588816)
METHOD = ("builtins.method", 140104509461184, 140104485590528)


def client(dialect=Dialect.RPYC6):
    """Give a client that has the root; and the number of the root."""
    protocol = machine(dialect)
    (reply,) = protocol.receive(message(dialect, 2, 0, (4, ROOT)))
    return protocol, reply.value.oid


# ---- captured bytes of RPyC 6.0.2 and 5.3.1


def unspaced(text):
    """Read hexadecimal digits with spaces between them."""
    return bytes.fromhex(text.replace(" ", ""))


def test_the_request_for_the_root():
    """As RPyC writes it, in both dialects."""
    for dialect, data in {
        Dialect.RPYC6: "00000008 00 01 11 50 11 53 11 51 02 0a",
        Dialect.RPYC5: "00000008 00 12 51 50 11 53 11 51 02 0a",
    }.items():
        assert b"".join(machine(dialect).opening()) == unspaced(data)


def test_a_server_takes_the_dialect_of_the_first_message():
    """And the same request is read from both."""
    for dialect, payload in {
        Dialect.RPYC6: "0111501153115102",
        Dialect.RPYC5: "12515011531151 02",
    }.items():
        server = machine()
        (request,) = server.receive(framed(bytes.fromhex(payload.replace(" ", ""))))
        assert server.dialect is dialect
        assert (request.op, request.args, request.kwargs) == (Operation.ROOT, [], None)
        assert server.name == dialect.value


@pytest.mark.parametrize("dialect", DIALECTS)
def test_the_other_dialect_later(dialect):
    """It ends the connection, with an error of its own: a client connects anew then."""
    (other,) = set(DIALECTS) - {dialect}
    protocol = machine(dialect)
    with pytest.raises(OtherDialect):
        protocol.receive(message(other, 2, 0, (1, None)))
    server = machine()
    server.receive(message(dialect, 1, 0, (3, (1, ()))))
    with pytest.raises(OtherDialect):
        server.receive(message(other, 1, 1, (3, (1, ()))))


GET_ADD = unspaced(
    "0000004a 00 01 1152 1154 1152 11 1153 12 080e14 5f5f6d61696e5f5f2e43616c6353657276696365"
    "160e 3934363435313633353031383430 160f 313430313034343835353838383136 1151 080c616464 0a"
)
CALL = unspaced(
    "00000047 00 01 1153 1157 1152 12 1153 12 080e0f 6275696c74696e732e6d6574686f64"
    "160f 313430313034353039343631313834 160f 313430313034343835353930353238"
    "1151 115152 115102 0a"
)
METHOD_REPLY = unspaced(
    "0000003a 00 02 1152 1154 12 080e0f 6275696c74696e732e6d6574686f64"
    "160f 313430313034353039343631313834 160f 313430313034343835353930353238 0a"
)


def test_captured_requests_are_read():
    """The parts of ``root.add(1, 2)``, from RPyC 6.0.2."""
    server = machine()
    (request,) = server.receive(GET_ADD)
    assert (request.op, request.name, request.args) == (Operation.GET, "add", [])
    (request,) = server.receive(CALL)
    assert (request.op, request.args, request.kwargs) == (Operation.CALL, [1, 2], None)
    assert server.receive(unspaced("0000000c 00 01 118e 1151 1151 10080b6869 0a")) == []
    assert server.outgoing == [unspaced("00000009 00 02 118e 1151 080b6869 0a")]
    assert server.receive(unspaced("00000008 00 01 118f 1152 115102 0a")) == [messages.Goodbye("")]


def test_captured_requests_are_written():
    """Our own for the same are the same bytes."""
    protocol, root = client()
    assert written(protocol, Kind.REQUEST, 2, Operation.GET, root, "add", []) == GET_ADD
    (reply,) = protocol.receive(METHOD_REPLY)
    method = reply.value.oid
    assert protocol.held.name(method) == METHOD
    assert written(protocol, Kind.REQUEST, 3, Operation.CALL, method, "", [1, 2]) == CALL


def test_captured_answers_are_read():
    """A value, the end of an iterator, and what RPyC has compressed."""
    protocol = machine(Dialect.RPYC6)
    (reply,) = protocol.receive(unspaced("00000006 00 02 1153 1151 53 0a"))
    assert (reply.seq, reply.value) == (3, 3)
    (failure,) = protocol.receive(unspaced("00000004 00 03 1184 51 0a"))
    assert (failure.seq, failure.error.type_name) == (52, "StopIteration")
    packed = zlib.compress(b"\x02" + brine.dumps((9, (1, b"x" * 3001))), 1)
    frame = len(packed).to_bytes(4, "big") + b"\x01" + packed + b"\n"
    (reply,) = protocol.receive(frame)
    assert reply.value == b"x" * 3001


@pytest.mark.parametrize("dialect", DIALECTS)
def test_what_is_written(dialect):
    """Each request of ours is what RPyC writes for the same, read back with brine alone."""
    protocol, root = client(dialect)
    home = (3, ROOT)
    keyword = (1, (("b", 2),))
    text = (1, "add")
    for fields, wanted in [
        ((1, Operation.GET, root, "add", []), (4, (2, (home, text)))),
        ((1, Operation.SET, root, "add", [5]), (6, (2, (home, text, (1, 5))))),
        ((1, Operation.DELETE, root, "add", []), (5, (2, (home, text)))),
        ((1, Operation.CALL, root, "", [1, 2]), (7, (2, (home, (1, (1, 2)), (1, ()))))),
        (
            (1, Operation.CALL, root, "add", [1], {"b": 2}),
            (8, (2, (home, text, (1, (1,)), (2, (keyword,))))),
        ),
        (
            (1, Operation.SPECIAL, root, "__len__", []),
            (8, (2, (home, (1, "__len__"), (1, ()), (1, ())))),
        ),
        (
            (1, Operation.SPECIAL, root, "__eq__", [codec.Home(root, "")]),
            (11, (2, (home, home, (1, "__eq__")))),
        ),
        ((1, Operation.STR, root, "", []), (10, (2, (home,)))),
        ((1, Operation.REPR, root, "", []), (9, (2, (home,)))),
        ((1, Operation.HASH, root, "", []), (12, (2, (home,)))),
        ((1, Operation.DIR, root, "", []), (13, (2, (home,)))),
        ((1, RpycOperation.PICKLE, root, "", [2]), (14, (2, (home, (1, 2))))),
        ((1, RpycOperation.SPECIALS, root, "", []), (16, (1, (ROOT,)))),
        ((1, RpycOperation.TAKE, root, "", [10]), (17, (2, (home, (1, 10))))),
        ((1, RpycOperation.LEAVE, root, "", [None]), (19, (2, (home, (1, None))))),
        (
            (1, Operation.INSTANCE, root, "", [codec.Home(root, "")]),
            (20, (2, (home, (1, ROOT)))),
        ),
        ((1, Operation.ROOT, 0, "", []), (3, (1, ()))),
    ]:
        data = written(protocol, Kind.REQUEST, *fields)
        if dialect is Dialect.RPYC5:
            kind, seq, body = brine.loads(data[5:-1])
        else:
            kind = data[5]
            seq, body = brine.loads(data[5:-1], start=1)
        if wanted[0] == 8 and wanted[1][1][3][0] == 2:
            # RPyC's own form of plain pairs is one value; both are read alike.
            assert body[1][1][3] in ((1, (("b", 2),)), (2, (keyword[1],)), (2, ((1, ("b", 2)),)))
            continue
        assert (kind, seq, body) == (1, 1, wanted)
    assert data[-1:] == b"\n"


@pytest.mark.parametrize("dialect", DIALECTS)
def test_every_request_arrives(dialect):
    """What one end writes, the other reads as the same request."""
    ours, theirs = machine(dialect), machine()
    described = Description("m", "C", "instance", {}, (), None, "")
    theirs.dialect = dialect
    theirs.lent.note_class(Ref(7, 1), described, None)
    lent = brine.loads(theirs.lent.boxed(Ref(7, 1)))
    root = ours.held.ref(lent[1]).oid
    home = codec.Home(7, "")
    for op, name, args, kwargs, expected in [
        (Operation.GET, "x", [], None, Operation.GET),
        (Operation.SET, "x", [(1, 2)], None, Operation.SET),
        (Operation.DELETE, "x", [], None, Operation.DELETE),
        (Operation.CALL, "", [1, "a"], {"k": 5, "l": "x"}, Operation.CALL),
        (Operation.CALL, "f", [], None, Operation.CALL),
        (Operation.SPECIAL, "__getitem__", [slice(1, 2)], None, Operation.SPECIAL),
        (Operation.SPECIAL, "__lt__", [5], None, RpycOperation.COMPARE),
        (Operation.STR, "", [], None, Operation.STR),
        (Operation.REPR, "", [], None, Operation.REPR),
        (Operation.HASH, "", [], None, Operation.HASH),
        (Operation.DIR, "", [], None, Operation.DIR),
        (RpycOperation.TAKE, "", [7], None, RpycOperation.TAKE),
        (RpycOperation.PICKLE, "", [4], None, RpycOperation.PICKLE),
        (RpycOperation.LEAVE, "", [None], None, RpycOperation.LEAVE),
        (RpycOperation.SPECIALS, "", [], None, RpycOperation.SPECIALS),
    ]:
        data = written(ours, Kind.REQUEST, 3, op, root, name, args, kwargs)
        (request,) = theirs.receive(data)
        assert (request.op, request.oid) == (expected, 7)
        assert list(request.args) == args
        assert (request.name, request.kwargs) == (name, kwargs)
    (request,) = theirs.receive(
        written(
            ours,
            Kind.REQUEST,
            3,
            Operation.CALL,
            root,
            "",
            [codec.Tuple([codec.Home(root, ""), 5])],
        )
    )
    assert request.args == [codec.Tuple([home, 5])]


@pytest.mark.parametrize("dialect", DIALECTS)
@settings(max_examples=50)
@given(value=values)
def test_answers_arrive(dialect, value):
    """Values and failures come back under the number of their request, whatever that is."""
    ours, theirs = machine(dialect), machine()
    for seq in (0, 5, -3, 2**40, 5):
        (request,) = asked_in(theirs, dialect, seq, (10, (2, ((3, ROOT),))))
        try:
            data = written(theirs, Kind.REPLY, request.seq, value)
        except NotSendable:
            return
        if seq >= 0:
            (reply,) = ours.receive(data)
            assert reply.seq == seq
            assert comparable(reply.value) == comparable(value)
    assert theirs._numbers == {}


def comparable(value):
    """Give what is equal for equal values, NaN and the order of frozensets notwithstanding."""
    if type(value) is frozenset:
        return "frozenset", sorted(map(repr, map(comparable, value)))
    if type(value) is tuple:
        return "tuple", [comparable(item) for item in value]
    if type(value) is slice:
        return "slice", comparable((value.start, value.stop, value.step))
    return type(value).__name__, repr(value)


def asked_in(protocol, dialect, seq, body):
    """Have a request of that dialect arrive."""
    return protocol.receive(message(dialect, 1, seq, body))


@pytest.mark.parametrize("dialect", DIALECTS)
def test_failures_arrive(dialect):
    """With arguments, attributes and text; StopIteration is a number."""
    ours, theirs = machine(dialect), machine()
    for error in [
        messages.Error("ValueError", ["bad", 42], "Traceback", "bad"),
        messages.Error("m.Custom", [(1, 2)], "text", "x", attributes={"errno": 5}),
        messages.Error("StopIteration", [], ""),
    ]:
        (request,) = asked_in(theirs, dialect, 8, (10, (2, ((3, ROOT),))))
        (failure,) = ours.receive(written(theirs, Kind.FAILURE, request.seq, error))
        assert failure.seq == 8
        assert failure.error.type_name == error.type_name
        assert failure.error.args == error.args
    assert theirs._numbers == {}


@pytest.mark.parametrize("kind", [Kind.REPLY, Kind.FAILURE])
def test_an_answer_that_cannot_be_sent_leaves_its_number(kind):
    """So that another one can be sent in its place."""
    server = machine()
    (request,) = asked(server, 5, 10, (2, ((3, ROOT),)))
    bad = (
        messages.Error("E", [], "", attributes={"\ud800": object()})
        if kind == Kind.FAILURE
        else object()
    )
    try:
        written(server, kind, request.seq, bad)
    except NotSendable:
        assert written(server, Kind.REPLY, request.seq, None)
    else:
        assert kind == Kind.FAILURE  # what cannot travel has become a text


@pytest.mark.parametrize("dialect", DIALECTS)
def test_pings_releases_and_the_end(dialect):
    """They have negative numbers, and their answers stop in the machine."""
    protocol, root = client(dialect)
    assert protocol.receive(message(dialect, 2, -3, (1, (2,)))) == [messages.Pong(2)]
    written(protocol, Kind.RELEASE, [root, 1])
    assert protocol.receive(message(dialect, 2, -1, (1, None))) == []
    with pytest.raises(RemoteProtocolError):
        protocol.receive(message(dialect, 2, -1, (1, None)))
    protocol, _ = client(dialect)
    assert protocol.receive(message(dialect, 1, 7, (1, (1, ("hi",))))) == []
    assert protocol.outgoing == [message(dialect, 2, 7, (1, "hi"))]
    assert protocol.receive(message(dialect, 1, 8, (2, (1, ())))) == [messages.Goodbye("")]


def test_answers_to_releases_keep_nothing():
    """References in them would never be given back."""
    protocol, root = client()
    written(protocol, Kind.RELEASE, [root, 1])
    assert protocol.receive(message(Dialect.RPYC6, 2, -1, (4, METHOD))) == []
    assert protocol.held._by_name == {}


def test_what_has_no_form_is_not_sent():
    """Cancels, events and credits are nothing here; an unknown operation is an error."""
    protocol, root = client()
    for kind in (Kind.CANCEL, Kind.EVENT, Kind.CREDIT, Kind.PROGRESS, Kind.OUTPUT, Kind.ITEMS):
        assert protocol.encode(kind, ()) == []
    with pytest.raises(LocalProtocolError):
        written(protocol, Kind.REQUEST, 1, Operation.SUBSCRIBE, root, "x", [])
    with pytest.raises(StaleReference):
        written(protocol, Kind.REQUEST, 1, Operation.GET, 999, "x", [])


# ---- what a peer may send

boxes = st.recursive(
    st.one_of(
        st.tuples(st.just(1), values),
        st.tuples(
            st.sampled_from([3, 4]), st.tuples(st.text(max_size=5), st.integers(), st.integers())
        ),
        st.tuples(st.integers(-1, 6), values),
        st.tuples(st.sampled_from([True, False, None, 1.0, slice(1)]), values),
        values,
    ),
    lambda inner: st.tuples(st.just(2), st.lists(inner, max_size=4).map(tuple)),
    max_leaves=8,
)
handlers = st.one_of(
    st.sampled_from([int(handler) for handler in Handler]),
    st.sampled_from(
        [0, 21, -1, 2**70, True, 1.0, None, "3", (3,), slice(1, 2), frozenset({1}), 3 + 0j]
    ),
)
seqs = st.one_of(
    st.integers(-3, 30), st.sampled_from([2**63, 2**64, -(2**63), 2**200, True, None, "x"])
)
bodies = st.one_of(
    st.tuples(
        handlers, st.one_of(boxes, st.lists(boxes, max_size=4).map(lambda found: (2, tuple(found))))
    ),
    boxes,
    values,
)


@given(
    dialect=st.sampled_from(DIALECTS),
    sent=st.lists(st.tuples(st.sampled_from([0, 1, 1, 1, 2, 3, 4]), seqs, bodies), max_size=4),
    cuts=splits,
)
def test_arbitrary_messages_raise_only_protocol_errors(dialect, sent, cuts):
    """Brine of any shape is a message or ends the connection; what it asks can be answered."""
    protocol = machine()
    data = b"".join(message(dialect, kind, seq, body) for kind, seq, body in sent)
    received = []
    try:
        for piece in pieces(data, cuts):
            received += protocol.receive(piece)
    except RemoteProtocolError:
        return
    for found in received:
        if type(found) is messages.Request:
            assert type(found.op) is not bool
            assert type(found.name) is str
            assert type(found.oid) is int
            assert found.seq > 0
            assert found.kwargs is None or all(type(name) is str for name in found.kwargs)
            assert protocol.encode(Kind.REPLY, (found.seq, None))
    assert protocol._numbers == {}


@given(
    data=st.binary(max_size=200), first=st.sampled_from([b"", b"\x01", b"\x02", b"\x03", b"\x12"])
)
def test_arbitrary_payloads_raise_only_protocol_errors(data, first):
    """Any bytes in a frame."""
    protocol = machine()
    try:
        protocol.receive(framed(first + data))
    except RemoteProtocolError:
        pass


@given(changes=mutations, which=st.integers(0, 3))
def test_damaged_messages_raise_only_protocol_errors(changes, which):
    """Messages that RPyC wrote, with some bytes changed."""
    dialect = DIALECTS[which % 2]
    data = message(
        dialect, 1, 4, (8, (2, ((3, ROOT), (1, "add"), (1, (1, "x")), (1, (("k", 1),)))))
    )
    data += message(dialect, 2, 0, (2, ((4, METHOD), (1, 5)))) if which > 1 else b""
    try:
        machine().receive(mutated(data, changes))
    except RemoteProtocolError:
        pass


@pytest.mark.parametrize(
    "body",
    [
        (slice(1, 2), (1, ())),
        ((1, 2), (1, ())),
        (True, (1, ())),
        (3.0, (1, ())),
        (99, (1, ())),
        (7, (1, ())),
        (7, (1, (1,))),
        (7, (2, ((3, ROOT), (1, 5), (1, ())))),
        (7, (2, ((3, ROOT), (1, ()), (1, (5,))))),
        (7, (2, ((3, ROOT), (1, ()), (1, (("a", 1, 2),))))),
        (7, (2, ((3, ROOT), (1, ()), (1, ((1, 1),))))),
        (7, (2, ((3, ROOT), (1, ()), (1, ()), (1, ())))),
        (4, (2, ((3, ROOT), (1, 5)))),
        (4, (2, ((3, ROOT), (4, ROOT)))),
        (3, (1, (1,))),
        (16, (1, (5,))),
        (16, (2, ((3, ROOT),))),
        (9, (2, ((3, ("a", 1)),))),
        (9, (2, ((3, ("a", 1, True)),))),
        (9, (2, ((3, (b"a", 1, 1)),))),
        (9, (2, ((3, ("a" * 2000, 1, 1)),))),
        (1, (2, ((4, ROOT),))),
        (3,),
        3,
        (3, (1, ()), 0),
        (3, 5),
        (3, (1,)),
        (3, (2, 5)),
        (3, (0, ())),
    ],
)
def test_requests_that_are_none(body):
    """They end the connection."""
    with pytest.raises(RemoteProtocolError):
        machine().receive(message(Dialect.RPYC6, 1, 5, body))


def test_names_may_be_bytes():
    """As RPyC for Python 2 sent them."""
    (request,) = asked(machine(), 1, 4, (2, ((3, ROOT), (1, "größe".encode()))))
    assert request.name == "größe"
    (request,) = asked(machine(), 1, 7, (2, ((3, ROOT), (1, ()), (1, ((b"k", 1),)))))
    assert request.kwargs == {"k": 1}


def test_too_many_references():
    """They end the connection before more is kept."""
    protocol = machine(exported=2)
    for n in range(20):
        protocol.receive(message(Dialect.RPYC6, 2, 1, (4, ("a.B", 1, n + 1))))
    with pytest.raises(RemoteProtocolError):
        protocol.receive(message(Dialect.RPYC6, 2, 1, (4, ("a.B", 1, 99))))


def test_deep_boxes_end_the_connection():
    """Tuples in tuples have a limit, however they are boxed."""
    box = (1, 1)
    for _ in range(200):
        box = (2, (box,))
    with pytest.raises(RemoteProtocolError):
        asked(machine(), 1, 1, box)
