"""Exceptions cross the wire: told fully, rebuilt safely, bounded always."""

from __future__ import annotations

import asyncio
import builtins
import copy
import io
import json
import pickle
import time
import traceback
from pathlib import Path

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import nbrpc.errors
from nbrpc.errors import AccessDenied, NotSendable, RemoteError
from nbrpc.objects import failures
from nbrpc.objects.error_data import ATTRIBUTES
from nbrpc.objects.failures import exception_of, failure_of, is_own_file
from nbrpc.objects.known_errors import BUILTINS, OWN
from nbrpc.objects.rebuilt import Rebuilt
from nbrpc.protocol.messages import Error
from tests.objects.traps import Ran, trap

PLAIN = (type(None), bool, int, float, str, bytes)


def box(value):
    """Box like a connection that lends nothing."""
    if type(value) is tuple:
        return tuple(box(item) for item in value)
    if type(value) in PLAIN:
        return value
    raise NotSendable("no")


def tell(error, *, tb=True, skip=()):
    """Describe an exception as the peer would see it."""
    return failure_of(error, box, include_traceback=tb, skip=skip)


def cross(error, *, tb=True, **options):
    """Give what an exception becomes on the other side."""
    return exception_of(tell(error, tb=tb), lambda value: value, **options)


def caught(make):
    """Raise and catch, so that there is a traceback."""
    try:
        raise make() if callable(make) else make
    except BaseException as error:
        return error


# ---- what is raised


def sample(cls):
    """Make one of a builtin exception class."""
    if issubclass(cls, UnicodeDecodeError):
        return cls("utf-8", b"\xff", 0, 1, "invalid start byte")
    if issubclass(cls, UnicodeEncodeError):
        return cls("ascii", "ü", 0, 1, "ordinal not in range")
    if issubclass(cls, UnicodeTranslateError):
        return cls("ü", 0, 1, "cannot")
    if cls is BaseExceptionGroup:
        return cls("several", [ValueError("one"), KeyboardInterrupt()])
    if cls is ExceptionGroup:
        return cls("several", [ValueError("one"), TypeError("two")])
    if issubclass(cls, SyntaxError):
        return cls("bad", ("file.py", 1, 2, "a b", 1, 3))
    if issubclass(cls, OSError):
        return cls(5, "Broken", "there")
    return cls("text", 3)


EVERY = sorted(
    {
        value
        for value in vars(builtins).values()
        if isinstance(value, type) and issubclass(value, BaseException)
    },
    key=lambda cls: cls.__name__,
)


@pytest.mark.parametrize("cls", EVERY, ids=lambda cls: cls.__name__)
@pytest.mark.parametrize("tb", [True, False], ids=["traceback", "none"])
def test_every_builtin_exception(cls, tb):
    """Each is caught as RemoteError, and as itself where it is an Exception."""
    original = caught(lambda: sample(cls))
    rebuilt = cross(original, tb=tb)
    assert isinstance(rebuilt, Exception)
    assert isinstance(rebuilt, RemoteError)
    assert rebuilt.type_name == cls.__name__
    stops = issubclass(cls, (StopIteration, StopAsyncIteration))
    if issubclass(cls, Exception) and not stops:
        assert isinstance(rebuilt, cls)
        assert type(rebuilt).__name__ == cls.__name__
        assert str(rebuilt).split("\n\n====")[0] == str(original)
    elif cls is BaseExceptionGroup:
        assert isinstance(rebuilt, ExceptionGroup)
    else:
        assert cls is BaseException or not isinstance(rebuilt, cls)
        assert str(original) in str(rebuilt)
    if not issubclass(cls, BaseExceptionGroup):
        assert rebuilt.args == original.args
        assert repr(rebuilt).startswith(f"{cls.__name__}(")
    assert ("Remote Traceback (1)" in str(rebuilt)) == tb
    for shown in (traceback.format_exception(rebuilt), [repr(rebuilt)]):
        assert all(isinstance(line, str) for line in shown)
    with pytest.raises(RemoteError):
        raise rebuilt


def test_the_text_of_a_rebuilt_exception():
    """The original text comes first, then a heading, then the remote traceback."""
    rebuilt = cross(caught(lambda: ValueError("bad value")))
    text, _, remote = str(rebuilt).partition("\n\n========= Remote Traceback (1) =========\n")
    assert text == "bad value"
    assert remote == rebuilt.remote_traceback
    assert remote.startswith("Traceback (most recent call last):\n")
    assert f'File "{__file__}", line ' in remote
    assert "raise make()" in remote
    assert remote.endswith("ValueError: bad value")
    assert repr(rebuilt) == "ValueError('bad value')"
    assert rebuilt.args == ("bad value",)


def test_the_text_of_awkward_builtins():
    """KeyError, OSError, UnicodeDecodeError, ImportError and others keep text and attributes."""
    assert str(cross(KeyError("k"), tb=False)) == "'k'"
    error = cross(FileNotFoundError(2, "No such file", "x", None, "y"), tb=False)
    assert (error.errno, error.strerror, error.filename, error.filename2) == (
        2,
        "No such file",
        "x",
        "y",
    )
    assert error.args == (2, "No such file")
    assert str(error) == "[Errno 2] No such file: 'x' -> 'y'"
    error = cross(ImportError("no", name="mod", path="/p"), tb=False)
    assert (error.name, error.path) == ("mod", "/p")
    try:
        _ = "".missing
    except AttributeError as lacking:
        error = cross(lacking)
    assert error.name == "missing"
    assert error.obj is None
    try:
        b"\xff".decode()
    except UnicodeDecodeError as wrong:
        error = cross(wrong)
    assert (error.object, error.start, error.reason) == (b"\xff", 0, "invalid start byte")
    error = cross(type("PortError", (OSError,), {})(13, "denied", "/dev/tty"), tb=False)
    assert (error.errno, error.filename) == (13, "/dev/tty")
    assert not isinstance(error, OSError)


def test_syntax_errors_show_the_place():
    """The remote traceback has line and caret, and the rebuilt one its position."""
    try:
        compile("x = (1,\ny = 2 2", "cell.py", "exec")
    except SyntaxError as wrong:
        rebuilt = cross(wrong)
        expected = traceback.format_exception_only(wrong)
    assert "".join(expected[:-1]) in rebuilt.remote_traceback
    assert (rebuilt.filename, rebuilt.lineno) == ("cell.py", 1)
    assert cross(SyntaxError("bad"), tb=True).msg == "bad"
    odd = SyntaxError("bad", ("f", 1, 2, "x"))
    odd.lineno = "none"
    assert cross(odd).remote_traceback == "SyntaxError: bad (f)"


def test_unknown_classes():
    """A class of the peer's own is a RemoteError that names it; never an import, never a lookup."""
    rebuilt = cross(caught(lambda: json.JSONDecodeError("no", "doc", 0)))
    assert type(rebuilt).__name__ == "RemoteError"
    assert not isinstance(rebuilt, ValueError)
    assert rebuilt.type_name == "json.decoder.JSONDecodeError"
    assert "json.decoder.JSONDecodeError: no" in rebuilt.remote_traceback
    assert repr(rebuilt) == "JSONDecodeError('no: line 1 column 1 (char 0)')"
    silent = cross(json.JSONDecodeError("no", "doc", 0), tb=False)
    assert str(silent).startswith("json.decoder.JSONDecodeError: no")
    assert silent.remote_traceback == "(the peer does not send its traceback)"
    assert str(cross(type("Empty", (Exception,), {})(), tb=False)).endswith("Empty")
    assert cross(asyncio.CancelledError()).type_name == "asyncio.exceptions.CancelledError"
    assert cross(type("Odd", (Exception,), {"__module__": 3})()).type_name.endswith("Odd")


@pytest.mark.parametrize("cls", OWN.values(), ids=lambda cls: cls.__name__)
def test_our_own_errors_come_back_as_themselves(cls):
    """What nbrpc raises on one side is that class on the other."""
    rebuilt = cross(caught(lambda: cls("a sentence")))
    assert type(rebuilt) is cls
    assert str(rebuilt) == "a sentence"
    assert rebuilt.type_name == f"nbrpc.errors.{cls.__name__}"
    assert "a sentence" in rebuilt.remote_traceback


def test_a_lost_connection_of_the_peer_is_not_ours():
    """Errors of ours that are about a link are RemoteErrors when the peer reports them."""
    for cls in (
        nbrpc.errors.ConnectionLost,
        nbrpc.errors.RemoteProtocolError,
        nbrpc.errors.AuthenticationFailed,
    ):
        rebuilt = cross(cls("gone"))
        assert type(rebuilt).__name__ == "RemoteError"
        assert not isinstance(rebuilt, (EOFError, ConnectionError, nbrpc.errors.ProtocolError))
    assert cross(RemoteError("raised by hand")).type_name == "nbrpc.errors.RemoteError"


def test_access_denied_keeps_its_name():
    """The attribute that was asked for is told."""
    assert cross(AccessDenied("'x' is not exposed", name="x")).name == "x"


def test_the_end_of_iteration():
    """StopIteration crosses as itself only where it is expected."""
    for cls in (StopIteration, StopAsyncIteration):
        allowed = cross(cls(5), allow_stop=True)
        assert type(allowed) is cls
        assert allowed.args == (5,)
        astray = cross(cls(5))
        assert isinstance(astray, RuntimeError)
        assert isinstance(astray, RemoteError)
        assert not isinstance(astray, cls)
        assert astray.type_name == cls.__name__
    assert cross(StopIteration(5), allow_stop=True).value == 5
    assert isinstance(cross(KeyError("k"), allow_stop=True), KeyError)


# ---- notes, causes, groups


def test_notes():
    """They travel, bounded in number and length."""
    error = ValueError("x")
    for number in range(30):
        error.add_note(f"note {number} " + "n" * 10_000)
    error.__notes__.insert(0, 3)
    rebuilt = cross(caught(error))
    assert len(rebuilt.__notes__) == 15
    assert rebuilt.__notes__[0].startswith("note 0")
    assert all(len(note) <= 4096 for note in rebuilt.__notes__)
    assert "note 3" in rebuilt.remote_traceback
    error.__notes__ = "no list"
    assert not hasattr(cross(error), "__notes__")


def chained():
    """Give an exception with a cause that has a context."""
    try:
        try:
            try:
                raise KeyError("first")
            except KeyError:
                raise ValueError("second")  # noqa: B904 - its context is what is tested
        except ValueError as second:
            raise RuntimeError("third") from second
    except RuntimeError as third:
        return third


def test_causes_and_contexts():
    """The chain is rebuilt, and told in Python's order and words."""
    rebuilt = cross(chained())
    assert isinstance(rebuilt.__cause__, ValueError)
    assert rebuilt.__suppress_context__
    assert isinstance(rebuilt.__cause__.__context__, KeyError)
    assert rebuilt.__cause__.__cause__ is None
    told = rebuilt.remote_traceback
    order = [
        "KeyError: 'first'",
        "During handling of the above exception, another exception occurred:",
        "ValueError: second",
        "The above exception was the direct cause of the following exception:",
        "RuntimeError: third",
    ]
    places = [told.index(part) for part in order]
    assert places == sorted(places)
    assert str(rebuilt.__cause__) == "second"
    assert "raise ValueError" in rebuilt.__cause__.remote_traceback
    shown = "".join(traceback.format_exception(rebuilt))
    assert shown.count("Remote Traceback") == 1


def test_a_suppressed_context_stays_at_home():
    """``raise ... from None`` hides what came before here as there."""
    try:
        try:
            raise KeyError("hidden")
        except KeyError:
            raise ValueError("shown") from None
    except ValueError as error:
        rebuilt = cross(error)
    assert rebuilt.__context__ is None
    assert "hidden" not in rebuilt.remote_traceback


def test_cycles_and_long_chains():
    """A chain that bites its tail, or has no end, is cut."""
    one, two = ValueError("one"), ValueError("two")
    one.__cause__, two.__cause__ = two, one
    rebuilt = cross(one)
    assert rebuilt.__cause__.args == ("two",)
    assert rebuilt.__cause__.__cause__ is None
    last = ValueError("0")
    for number in range(5_000):
        following = ValueError(str(number + 1))
        following.__cause__ = last
        last = following
    depth, rebuilt = 0, cross(last)
    while rebuilt.__cause__ is not None:
        depth, rebuilt = depth + 1, rebuilt.__cause__
    assert depth == 8


def test_groups():
    """A group is rebuilt of rebuilt members, can be split, and shows each member."""
    inner = ExceptionGroup("inner", [OSError(2, "no"), KeyError("k")])
    rebuilt = cross(caught(ExceptionGroup("outer", [caught(ValueError("v")), inner])))
    assert isinstance(rebuilt, ExceptionGroup)
    assert isinstance(rebuilt, RemoteError)
    assert str(rebuilt).startswith("outer (2 sub-exceptions)\n\n=====")
    assert rebuilt.message == "outer"
    value, nested = rebuilt.exceptions
    assert isinstance(value, ValueError)
    assert isinstance(nested.exceptions[0], OSError)
    assert str(value) == "v"
    told = rebuilt.remote_traceback
    for part in (
        "outer (2 sub-exceptions)",
        "  +---------------- 1 -",
        "  | ValueError: v",
        "  |   | KeyError: 'k'",
    ):
        assert part in told
    matched, rest = rebuilt.split(ValueError)
    assert isinstance(matched, RemoteError)
    assert [type(error).__name__ for error in matched.exceptions] == ["ValueError"]
    assert matched.type_name == "ExceptionGroup"
    assert len(rest.exceptions) == 1
    seen = []
    try:
        raise rebuilt
    except* KeyError as group:
        seen.append(group)
    except* Exception:
        pass
    assert isinstance(seen[0], RemoteError)


def test_groups_of_all_kinds():
    """Members that are no Exception, groups of one's own class, and huge groups."""
    rebuilt = cross(BaseExceptionGroup("stop", [KeyboardInterrupt(), SystemExit(3)]))
    assert isinstance(rebuilt, ExceptionGroup)
    assert [error.type_name for error in rebuilt.exceptions] == ["KeyboardInterrupt", "SystemExit"]

    class Own(ExceptionGroup):
        pass

    rebuilt = cross(Own("own", [ValueError()]))
    assert isinstance(rebuilt, ExceptionGroup)
    assert rebuilt.type_name.endswith("Own")
    many = cross(ExceptionGroup("many", [ValueError(n) for n in range(500)]))
    assert len(many.exceptions) == 64
    assert "500 sub-exceptions" in str(many)


def test_groups_nested_deep_and_wide():
    """Depth and number of all exceptions are bounded, here and there, and so is the time."""
    deep = ValueError("bottom")
    for _ in range(3_000):
        deep = ExceptionGroup("level", [deep])
    start = time.perf_counter()
    depth, rebuilt = 0, cross(deep)
    while isinstance(rebuilt, ExceptionGroup):
        depth, rebuilt = depth + 1, rebuilt.exceptions[0]
    assert depth == 8
    wide = ExceptionGroup(
        "w", [ExceptionGroup("v", [ValueError(n) for n in range(60)]) for _ in range(60)]
    )
    told = tell(wide)

    def count(error):
        return 1 + sum(count(member) for member in error.members)

    assert count(told) <= 256
    assert len(msgspec.msgpack.encode(told)) < 1 << 20
    assert time.perf_counter() - start < 5


# ---- exceptions that misbehave


class Broken(Exception):
    """Fails wherever it is asked anything."""

    def __str__(self):
        raise Ran

    def __repr__(self):
        raise SystemExit

    @property
    def args(self):
        raise Ran

    @property
    def errno(self):
        raise Ran

    @property
    def __notes__(self):
        raise Ran

    @property
    def __cause__(self):
        raise Ran

    @property
    def __traceback__(self):
        raise Ran

    __getattr__ = trap
    __class__ = property(trap)
    __dict__ = property(trap)


def test_exceptions_that_fail_when_asked():
    """Their name and their frames still arrive."""
    broken = caught(lambda: Broken("a", 2))
    told = tell(broken)
    assert told.type_name == f"{__name__}.Broken"
    assert told.args == ["a", 2]
    assert told.message == "<Broken object>"
    assert "in caught" in told.text


def test_arguments_that_cannot_travel():
    """They are told by their repr, guarded and cut."""

    class Silent:
        __repr__ = trap

    class Sly(str):
        __slots__ = ()
        __len__ = trap

    class Long:
        def __repr__(self):
            return "long" * 100_000

    class Lying:
        def __repr__(self):
            return Sly("lie")

    error = tell(ValueError(Silent(), [1], Long(), Lying(), "x" * 500_000))
    assert error.args[:2] == ["<Silent object>", "[1]"]
    assert len(error.args[2]) == 4096
    assert type(error.args[3]) is str
    assert len(error.args[4]) == 64 * 1024
    assert len(error.message) <= 64 * 1024
    assert len(tell(ValueError(*range(500))).args) == 64


def test_attributes_are_data_and_few():
    """What is no data, private or too large is left out, and no property is run."""
    error = type("Faulty", (ValueError,), {})("x")
    error.errno, error.code, error.thing, error._own = 7, "c", object(), 1
    error.path, error.note, error.key = "p" * 10_000, "n" * 20_000, None
    told = tell(error)
    assert set(told.attributes) == {"errno", "code", "path", "key"}
    assert len(told.attributes["path"]) == 4096
    for number in range(200):
        setattr(error, f"more{number}", number)
    assert len(tell(error).attributes) <= 64


def test_a_loader_that_fails():
    """Source lines that cannot be had are left out."""

    class Loader:
        def get_source(self, name):
            raise OSError

    scope = {"__name__": "strange", "__loader__": Loader()}
    exec(compile("def fail():\n    raise ValueError('x')\n", "<nowhere>", "exec"), scope)
    assert 'File "<nowhere>", line 2, in fail' in tell(caught(scope["fail"])).text


def test_frames_that_cannot_be_shown(monkeypatch):
    """Whatever goes wrong in formatting, the rest is told."""
    monkeypatch.setattr(failures, "extract_tb", lambda *_: 1 / 0)
    assert "the frames cannot be shown" in tell(caught(ValueError("x"))).text


# ---- what is sent


def test_our_own_frames_are_left_out():
    """Neither nbrpc's frames nor those the caller names are in the text."""
    from nbrpc.objects.access import Policy
    from nbrpc.options import Access

    class Served:
        @property
        def exposed_bad(self):
            raise ValueError("mine")

    served = caught(lambda: Policy(Access()).read(Served(), "bad"))
    told = tell(served).text
    assert "in exposed_bad" in told
    assert "access.py" not in told
    denied = tell(caught(lambda: Policy(Access()).read(Served(), "x")), skip=(__file__,)).text
    assert denied == f"nbrpc.errors.AccessDenied: {denied.partition(': ')[2]}"
    package = Path(nbrpc.errors.__file__).parent
    assert is_own_file(str(package / "session" / "session.py"))
    assert not is_own_file(str(package / "demo.py"))
    assert not is_own_file(str(package) + "_like/x.py")


def test_tracebacks_can_be_kept_back():
    """Without include_traceback neither files nor lines are sent, of causes neither."""
    told = tell(chained(), tb=False)
    wire = msgspec.msgpack.encode(told)
    assert b".py" not in wire
    assert b"Traceback" not in wire
    assert msgspec.msgpack.decode(wire, type=Error) == told


def test_deep_recursion_is_cut():
    """A RecursionError brings its innermost frames, not a thousand."""

    def one(n):
        return two(n + 1)

    def two(n):
        return one(n + 1)

    told = tell(caught(lambda: one(0)))
    assert told.type_name == "RecursionError"
    assert len(told.text) <= 64 * 1024
    assert told.text.count("in one") + told.text.count("in two") <= 256


def test_text_is_bounded_in_all():
    """Many long tracebacks do not add up."""
    long = "m" * 60_000
    group = ExceptionGroup("g", [caught(lambda: ValueError(long)) for _ in range(20)])
    told = tell(caught(group))
    assert sum(len(member.text) for member in told.members) + len(told.text) <= 128 * 1024
    rebuilt = exception_of(told, lambda value: value)
    assert len(rebuilt.remote_traceback) <= 64 * 1024


def test_two_hops():
    """A failure that crossed two links keeps its class, and its heading counts them."""
    first = cross(caught(ValueError("deep")))
    second = cross(caught(first))
    assert isinstance(second, ValueError)
    assert second.type_name == "ValueError"
    text, _, remote = str(second).partition("\n\n========= Remote Traceback (2) =========\n")
    assert text == "deep"
    assert "========= Remote Traceback (1) =========" in remote
    unknown = cross(caught(cross(json.JSONDecodeError("no", "d", 0), tb=False)))
    assert unknown.type_name == "json.decoder.JSONDecodeError"
    assert str(unknown).startswith("no: line 1")


# ---- what a peer may send


values = st.one_of(st.none(), st.booleans(), st.integers(-(2**63), 2**63 - 1), st.text(max_size=20))
names = st.one_of(
    st.sampled_from([cls.__name__ for cls in EVERY]),
    st.sampled_from(sorted(OWN)),
    st.text(max_size=20),
    st.sampled_from(["os.system", "builtins.eval", "__import__", "nbrpc.errors.NbrpcError", ""]),
)
errors = st.recursive(
    st.builds(
        Error,
        type_name=names,
        args=st.lists(values, max_size=4),
        text=st.text(max_size=30),
        message=st.text(max_size=30),
        notes=st.lists(st.text(max_size=9), max_size=3),
        attributes=st.dictionaries(
            st.one_of(st.sampled_from(ATTRIBUTES), st.sampled_from(["__class__", "args", "x"])),
            values,
        ),
        hops=st.integers(-(2**63), 2**63 - 1),
    ),
    lambda inner: st.builds(
        Error,
        type_name=names,
        args=st.lists(values, max_size=4),
        text=st.text(max_size=30),
        cause=st.one_of(st.none(), inner),
        context=st.one_of(st.none(), inner),
        members=st.lists(inner, max_size=3),
    ),
    max_leaves=8,
)


@settings(deadline=None)
@given(errors, st.booleans())
def test_any_failure_becomes_an_exception(error, allow_stop):
    """Whatever a peer sends is rebuilt as an Exception that can be raised, shown and described."""
    rebuilt = exception_of(error, lambda value: value, allow_stop=allow_stop)
    assert isinstance(rebuilt, Exception)
    str(rebuilt)
    repr(rebuilt)
    traceback.format_exception(rebuilt)
    stop = allow_stop and error.type_name in {"StopIteration", "StopAsyncIteration"}
    assert stop or isinstance(rebuilt, nbrpc.errors.NbrpcError)
    assert type(rebuilt) in {StopIteration, StopAsyncIteration, *OWN.values()} or isinstance(
        rebuilt, Rebuilt
    )
    assert type(rebuilt).__module__ in {"builtins", "nbrpc.errors"}
    tell(rebuilt)


def test_hostile_failures():
    """Names, counts, columns and depths from the wire do no harm."""
    give = lambda value: value  # noqa: E731
    for args in (
        ["bad", ("f", 1, 1, "x", 1, 10**12)],
        ["bad", ("f", 10**12, 1, "x")],
        ["bad", ("f", 1, -5, "x")],
        ["bad", ("f", "1", 1, "x")],
        ["bad", ("f", 1)],
        ["bad", 3],
        [3, ("f", 1, 1, "x")],
        ["bad", ("f", 1, 1, "x"), 3],
        [3],
    ):
        rebuilt = exception_of(Error("SyntaxError", args, ""), give)
        assert type(rebuilt).__name__ == "RemoteError"
        assert len("".join(traceback.format_exception(rebuilt))) < 10_000
    endless = Error("ValueError", [], "text")
    for _ in range(500):
        endless = Error("ExceptionGroup", ["g"], "text", members=[endless], cause=endless)
    exception_of(endless, give)
    wide = Error("ValueError", [], "text", notes=["n"] * 100)
    for _ in range(3):
        wide = Error("ExceptionGroup", [], "text", members=[wide] * 100)
    rebuilt = exception_of(wide, give)
    assert len(rebuilt.exceptions) <= 64
    assert rebuilt.message == ""
    lines = Error("ValueError", [], "\n" * 200_000)
    for _ in range(8):
        lines = Error("ExceptionGroup", [], "t\n", members=[lines])
    assert len(exception_of(lines, give).remote_traceback) <= 64 * 1024
    named = exception_of(Error("\x1b]0;evil\x07" + "n" * 5_000, [], ""), give)
    assert len(named.type_name) == 200
    assert named.type_name.isprintable()
    silent = Error("ValueError", [], "", cause=Error("KeyError", [], "cause"))
    assert "cause" not in str(exception_of(silent, give))
    quiet = Error("ExceptionGroup", ["g"], "text", members=[Error("KeyError", [], "")])
    assert exception_of(quiet, give).remote_traceback == "text"


def test_unboxing_errors_pass_through():
    """A box that breaks the protocol is the session's business."""
    with pytest.raises(nbrpc.errors.RemoteProtocolError):
        exception_of(Error("ValueError", [1], ""), caught_protocol_error)


def caught_protocol_error(_value):
    """Refuse a box."""
    raise nbrpc.errors.RemoteProtocolError("no")


# ---- rebuilt exceptions as objects


def test_repr_is_short():
    """Long arguments are cut, and objects are told by their class, never asked."""

    class Asked:
        __repr__ = trap

    error = exception_of(Error("ValueError", list(range(9)), ""), lambda value: value)
    assert repr(error) == "ValueError(0, 1, 2, 3)"
    error = exception_of(Error("ValueError", ["x" * 1000, b"y" * 100], ""), lambda value: value)
    assert len(repr(error)) < 200
    error = exception_of(Error("ValueError", [1], ""), lambda _value: Asked())
    assert repr(error) == "ValueError(<Asked>)"


def test_copies_and_pickles():
    """They can be copied, and sent on to other processes."""
    originals = [
        cross(caught(KeyError("k"))),
        cross(caught(json.JSONDecodeError("no", "d", 0))),
        cross(ExceptionGroup("g", [ValueError("v")])),
        cross(OSError(2, "no", "file")),
        cross(SyntaxError("bad", ("f", 1, 1, "x"))),
    ]
    for original in originals:
        for again in (copy.copy(original), pickle.loads(pickle.dumps(original))):
            assert type(again) is type(original)
            assert str(again) == str(original)
            assert again.type_name == original.type_name
    again = pickle.loads(pickle.dumps(originals[3]))
    assert (again.errno, again.strerror) == (2, "no")
    assert again.filename == "file"


def test_one_class_for_each_builtin():
    """The classes are made once; a user may raise one of them as well."""
    one, two = cross(ValueError("a")), cross(ValueError("b"))
    assert type(one) is type(two)
    own = type(one)("made by hand")
    assert str(own) == "made by hand"
    assert repr(own) == "ValueError('made by hand')"
    assert str(cross(own, tb=False)) == "made by hand"
    assert type(one).__module__ == "builtins"
    assert set(BUILTINS) >= {"ValueError", "OSError", "ExceptionGroup"}
    assert not {"SystemExit", "KeyboardInterrupt", "IOError"} & set(BUILTINS)


def test_printing_to_a_stream():
    """Python's own display of an uncaught one shows the remote traceback once."""
    stream = io.StringIO()
    traceback.print_exception(cross(caught(KeyError("k"))), file=stream)
    assert stream.getvalue().count("Remote Traceback (1)") == 1
    assert "KeyError: 'k'" in stream.getvalue()


def test_names_that_are_no_text_do_not_keep_a_failure_from_being_sent():
    """The name of a file that is not UTF-8 is spelt out in message, notes and attributes."""
    error = FileNotFoundError(2, "bad \udcff", "data/\udcff.txt")
    error.add_note("note \ud800")
    record = failure_of(error, repr, include_traceback=True)
    wire = msgspec.msgpack.encode(record)
    assert b"data/\\udcff.txt" in wire
    assert record.notes == ["note \\ud800"]
    assert record.attributes["filename"] == "data/\\udcff.txt"
