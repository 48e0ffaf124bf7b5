"""Exceptions pass between RPyC and this, and what is none is refused."""

from __future__ import annotations

import builtins

import pytest
from hypothesis import given
from hypothesis import strategies as st
from rpyc.core import brine as stock_brine
from rpyc.core import vinegar as stock

from nbrpc import errors as own
from nbrpc.errors import RemoteProtocolError
from nbrpc.objects import error_data
from nbrpc.objects.failures import exception_of, failure_of
from nbrpc.protocol import codec
from nbrpc.protocol.messages import Error
from nbrpc.protocol.rpyc.brine import dumps, loads
from nbrpc.protocol.rpyc.vinegar import ATTRIBUTES, body_of, error_of
from tests.protocol.rpyc.brine_values import values
from tests.strategies import errors, names


def raised_by_stock(error: Error, version="6.0.2") -> BaseException:
    """Give what a stock peer would raise for an error."""
    return stock.load(stock_brine.load(dumps(body_of(error, version=version))), False, False, False)


def read_from_stock(exception: BaseException, *, traceback=True) -> Error:
    """Give what is read of an exception that a stock peer sends."""
    try:
        raise exception
    except BaseException as error:  # any may travel
        body = stock.dump(type(error), error, error.__traceback__, traceback, True)
    return error_of(loads(stock_brine.dump(body)))


def described(exception: BaseException) -> Error:
    """Give what the layers above make of an exception."""
    return failure_of(exception, lambda arg: arg, include_traceback=True)


class OwnError(Exception):
    """What a service defines."""


EXCEPTIONS = [
    ValueError("bad thing", 42),
    ValueError(),
    ValueError("one"),
    KeyError("key"),
    KeyError(("a", 1)),
    ZeroDivisionError("division by zero"),
    FileNotFoundError(2, "No such file or directory", "a.txt"),
    FileExistsError(17, "File exists", "a.txt", None, "b.txt"),
    OSError(5, "Input/output error"),
    OSError("text only"),
    TimeoutError(),
    AttributeError("no such thing", name="thing", obj=3),
    ImportError("not there", name="module", path="/a/b"),
    RuntimeError(b"bytes", 1.5, None, (1, ("two",)), 1 + 2j),
    LookupError("\u00e4\u00f6\u00fc"),
    StopAsyncIteration("end"),
    OwnError("own", 1),
]


@pytest.mark.parametrize("exception", EXCEPTIONS, ids=repr)
def test_exceptions_of_rpyc_are_read(exception):
    """Class, arguments, text and traceback of what a stock peer raises arrive."""
    error = read_from_stock(exception)
    bare = type(exception).__name__
    assert error.type_name == (bare if hasattr(builtins, bare) else f"{__name__}.{bare}")
    assert tuple(error.args) == exception.args
    assert error.message == str(exception)
    assert error.text.startswith("Traceback (most recent call last):")
    assert bare in error.text
    assert set(error.attributes) <= set(ATTRIBUTES)


@pytest.mark.parametrize("exception", EXCEPTIONS, ids=repr)
def test_exceptions_are_raised_by_rpyc(exception):
    """A stock peer raises the same class, with arguments, attributes, text and traceback."""
    error = described(exception)
    loaded = raised_by_stock(error)
    assert loaded.args == exception.args
    assert loaded._remote_tb == error.text
    assert str(exception) in str(loaded)
    for name in ("errno", "strerror", "filename", "name"):
        assert getattr(loaded, name, None) == getattr(exception, name, None)
    if isinstance(exception, OwnError):
        assert isinstance(loaded, stock.GenericException)
        assert type(loaded).__name__ == f"{__name__}.OwnError"
    else:
        assert isinstance(loaded, type(exception))


@pytest.mark.parametrize("exception", EXCEPTIONS, ids=repr)
def test_exceptions_come_back_through_both(exception):
    """What goes out as a body comes in as the same exception."""
    error = error_of(loads(dumps(body_of(described(exception), version="6.0.2"))))
    raised = exception_of(error, lambda arg: arg)
    assert raised.args == exception.args
    assert str(exception) in str(raised)
    if not isinstance(exception, OwnError | StopAsyncIteration):
        assert isinstance(raised, type(exception))


def test_stop_iteration_is_a_number():
    """A StopIteration is the int 1, and one with a value is not."""
    assert body_of(Error("StopIteration", [], "text"), version=None) == 1
    assert error_of(1).type_name == "StopIteration"
    assert error_of(stock.dump(StopIteration, StopIteration(), None, True, True)).args == []
    loaded = raised_by_stock(Error("StopIteration", [5], "text"))
    assert isinstance(loaded, StopIteration)
    assert loaded.args == (5,)


def test_a_text_was_an_exception_once():
    """A body that is a text gives a RuntimeError with it."""
    error = error_of("legacy")
    assert (error.type_name, error.args, error.message) == ("RuntimeError", ["legacy"], "legacy")


@pytest.mark.parametrize(
    ("cls", "caught"),
    [
        (own.AccessDenied, AttributeError),
        (own.CallTimeout, TimeoutError),
        (own.StaleReference, ReferenceError),
        (own.NotSendable, TypeError),
        (own.CallCancelled, stock.GenericException),
        (own.LimitExceeded, stock.GenericException),
    ],
)
def test_errors_of_ours_are_caught_by_stock_clients(cls, caught):
    """What derives from a builtin goes out as that builtin."""
    loaded = raised_by_stock(described(cls("why")))
    assert isinstance(loaded, caught)
    assert loaded.args == ("why",)
    if caught is stock.GenericException:
        assert type(loaded).__name__ == f"nbrpc.errors.{cls.__name__}"


def test_groups_do_not_break_stock_clients():
    """An ExceptionGroup, which RPyC cannot make, is raised by it under its name."""
    group = ExceptionGroup("several", [ValueError(1), TypeError(2)])
    loaded = raised_by_stock(described(group))
    assert isinstance(loaded, stock.GenericException)
    assert "several" in str(loaded)
    assert error_of(body_of(described(group), version=None)).type_name == "ExceptionGroup"
    assert read_from_stock(group).type_name == "ExceptionGroup"


def test_versions_and_tracebacks_may_be_kept_back():
    """Without a version or a traceback the body says so, in RPyC's words."""
    bare = Error("ValueError", ["x"], "")
    assert body_of(bare, version=None) == (
        ("builtins", "ValueError"),
        ("x",),
        (("_remote_version", "<version denied>"),),
        "<traceback denied>",
    )
    assert body_of(bare, version="6.0.2")[2] == (("_remote_version", "6.0.2"),)
    assert "WARNING" not in str(raised_by_stock(bare, version=None))
    assert "WARNING" not in str(raised_by_stock(bare, version="6.0.2"))
    assert read_from_stock(ValueError("x"), traceback=False).text == ""


def test_the_traceback_may_be_another():
    """The text of the causes can be sent with it."""
    error = Error("ValueError", [], "own text")
    assert body_of(error, version=None, traceback="all")[3] == "all"
    assert body_of(error, version=None)[3] == "own text"


@pytest.mark.parametrize(
    ("arg", "sent"),
    [
        (codec.Bytes("b", -1, b"\xff"), b"\xff"),
        (codec.Bytes("a", -1, b"x"), "bytearray(b'x')"),
        (codec.Bytes("u", -1, "größe".encode()), "größe"),
        (codec.Bytes("u", -1, b"\xed\xa0\x80"), r"'\ud800'"),
        (codec.Bytes("u", -1, b"\xff"), b"\xff"),
        (codec.Bytes("b", 0), "<bytes>"),
        (codec.Tuple([1, codec.Tuple([None, "a"])]), (1, (None, "a"))),
        (codec.List([1, codec.Bytes("b", -1, b"x")]), "[1, b'x']"),
        (codec.Set([codec.List([1])]), "{'[1]'}"),
        (codec.Frozen([1, 2]), frozenset([1, 2])),
        (codec.Map({"a": codec.Tuple([1])}), "{'a': (1,)}"),
        (codec.Slice("s", 1, None, 2), slice(1, None, 2)),
        (codec.Scalar("int", f"{2**70:x}"), 2**70),
        (codec.Scalar("int", "zz"), "zz"),
        (codec.Scalar("int", "f" * 5000), "<int>"),
        (codec.Scalar("complex", f"{(1.5).hex()},{(2.0).hex()}"), 1.5 + 2j),
        (codec.Scalar("complex", "1"), "1"),
        (codec.Scalar("ellipsis", ""), ...),
        (codec.Scalar("notimplemented", ""), NotImplemented),
        (codec.Scalar("date", "2026-01-02"), "2026-01-02"),
        (codec.Scalar("posix", "", b"\xff"), r"\xff"),
        (codec.Ref(1, 1), "<object>"),
        (codec.Packed("d", 0), "<packed>"),
        ([1, 2], "[1, 2]"),
        ("\ud800", r"'\ud800'"),
        (5, 5),
    ],
    ids=repr,
)
def test_boxes_are_sent_as_plain_values(arg, sent):
    """Arguments that are boxes go out as what brine can hold, or as a text."""
    for error in (Error("E", [arg], ""), Error("E", [], "", attributes={"name": arg})):
        body = body_of(error, version=None)
        found = body[1][0] if error.args else dict(body[2])["name"]
        assert found == sent
        assert type(found) is type(sent)


@given(error=errors)
def test_every_error_can_be_sent(error):
    """Whatever an Error holds, its body is brine that stock vinegar loads and this reads again."""
    body = body_of(error, version="6.0.2")
    assert loads(dumps(body)) is not None
    again = error_of(body)
    assert len(again.args) == len(error.args)


def test_deep_arguments_are_cut():
    """Arguments nested deeper than a message may be are sent all the same."""
    deep: object = 1
    for _ in range(200):
        deep = codec.Tuple([deep])
    assert loads(dumps(body_of(Error("E", [deep], ""), version=None)))


@given(body=values)
def test_arbitrary_values_raise_only_protocol_errors(body):
    """A body that is none raises RemoteProtocolError and nothing else."""
    try:
        error_of(body)
    except RemoteProtocolError:
        pass


pairs = st.lists(
    st.tuples(st.sampled_from([*ATTRIBUTES, "obj", "__class__"]) | names, values), max_size=5
)


@given(
    module=names,
    name=names,
    args=st.lists(values, max_size=3).map(tuple),
    attributes=pairs.map(tuple),
    text=names,
)
def test_bodies_of_any_content_are_read(module, name, args, attributes, text):
    """Any arguments and attributes are taken, and only the fixed names of the latter."""
    error = error_of(((module, name), args, attributes, text))
    assert len(error.args) == len(args)
    assert set(error.attributes) <= set(ATTRIBUTES)
    assert len(error.message) <= 64 * 1024


@pytest.mark.parametrize(
    ("body", "match"),
    [
        (2, "none of RPyC's forms"),
        (True, "none of RPyC's forms"),
        (None, "none of RPyC's forms"),
        ((), "none of RPyC's forms"),
        ((("m", "E"), (), ()), "none of RPyC's forms"),
        ((("m",), (), (), ""), "does not name its class"),
        (("mE", (), (), ""), "does not name its class"),
        ((("m", b"E"), (), (), ""), "does not name its class"),
        ((("m", "E"), "args", (), ""), "no arguments or no traceback"),
        ((("m", "E"), (), (), b""), "no arguments or no traceback"),
        ((("m", "E"), (), None, ""), "has no attributes"),
        ((("m", "E"), (), ("ab",), ""), "has no name"),
        ((("m", "E"), (), ((1, 2),), ""), "has no name"),
        ((("m", "E"), (), (("a", 1, 2),), ""), "has no name"),
    ],
)
def test_malformed_bodies_are_refused(body, match):
    """Each part of a body has to be what it is."""
    with pytest.raises(RemoteProtocolError, match=match):
        error_of(body)


def test_what_comes_in_is_bounded():
    """Names, texts and messages have a length; the end of a traceback stays."""
    long = "x" * 10_000_000
    error = error_of(((long, long), (long, 1), (("filename", long),), long + "the end"))
    assert len(error.type_name) < 500
    assert len(error.text) <= 64 * 1024
    assert error.text.endswith("the end")
    assert error.message == "(its arguments are too long to be shown)"
    assert len(error.attributes["filename"]) <= 64 * 1024
    assert len(error_of((("m", "E"), (long,), (), "")).message) <= 64 * 1024
    assert len(error_of(long).message) <= 64 * 1024
    many = error_of((("m", "E"), ((1,) * 1_000_000,), (), ""))
    assert many.message == "(its arguments are too long to be shown)"


def test_attributes_are_the_ones_that_are_set():
    """The layers below and above agree on what is taken from a peer."""
    # ``code`` is that of a SystemExit, which RPyC's vinegar does not give the attributes of.
    assert (*ATTRIBUTES, "code") == error_data.ATTRIBUTES
    body = (("builtins", "OSError"), (), (("errno", 2), ("key", "k"), ("name", (1,))), "")
    assert error_of(body).attributes == {"errno": 2, "key": "k"}
    assert error_of(body, ("key",)).attributes == {"key": "k"}


@pytest.mark.parametrize("module", ["builtins", "exceptions", "__builtin__"])
def test_builtins_have_no_module(module):
    """Python 2's names for the builtins are known."""
    assert error_of(((module, "ValueError"), (), (), "")).type_name == "ValueError"
