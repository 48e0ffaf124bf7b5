"""Exceptions arrive as what ``except`` would catch locally, with their data, and ours come home."""

from __future__ import annotations

import asyncio
import configparser
import copy
import io
import json
import pickle
import queue
import re
import socket
import subprocess
import sys
import threading
import traceback
import urllib.error
import weakref

import msgspec
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from IPython.core.ultratb import VerboseTB

import nbrpc
from nbrpc.errors import AccessDenied, NbrpcError, NotSendable, RemoteError, RemoteProtocolError
from nbrpc.objects.access import Policy
from nbrpc.objects.boxing import Boxing
from nbrpc.objects.draft import DEEP
from nbrpc.objects.error_classes import ErrorClasses, ancestry_in, parts_of_class
from nbrpc.objects.failures import exception_of, failure_of
from nbrpc.objects.known_errors import PLACES, known_class
from nbrpc.objects.rebuilt import Rebuilt
from nbrpc.options import Access, Limits
from nbrpc.protocol.codec import Ancestor
from nbrpc.protocol.messages import Error


class Side:
    """One end of a connection, as far as exceptions go."""

    def __init__(self):
        self.boxing = Boxing(
            Policy(Access()), Limits(), threading.Lock(), lambda *_: object(), lambda _: None
        )
        self.classes = self.boxing.errors

    def send(self, error, parent=None):
        """Give the message that tells of an exception."""
        draft = self.boxing.draft(DEEP, back=True)

        def box(value):
            draft.restart()
            return self.boxing.box(value, draft)

        told = failure_of(error, box, include_traceback=True, classes=self.classes, parent=parent)
        assert not draft.lent, "a reference was sent"
        return msgspec.msgpack.decode(msgspec.msgpack.encode(told), type=Error)

    def receive(self, message, call=0):
        """Give the exception of a message."""
        return exception_of(
            message, lambda value: self.boxing.unbox(value, []), classes=self.classes, call=call
        )

    def class_of(self, message):
        """Give the class that a sent class arrives as."""
        return self.classes.class_named(ancestry_in(message))


def cross(error):
    """Give what an exception becomes on the other side of a new connection."""
    return Side().receive(Side().send(error))


def raised(function, *args, **kwargs):
    """Call what fails, and give what it raises."""
    try:
        function(*args, **kwargs)
    except BaseException as error:
        return error
    raise AssertionError("nothing was raised")


# ---- the nearest class that both sides know


class PSUError(OSError):
    def __init__(self, code):
        super().__init__(f"code {code}")
        self.code = code


class Numbered(OSError):
    """Derived from OSError, with a number."""


class Left(ValueError):
    pass


class Right(ValueError):
    pass


class Diamond(Left, Right):
    pass


class Both(KeyError, PSUError):
    """Of two builtin bases."""


class Finished(StopIteration):
    pass


class Stop(BaseException):
    pass


class Quit(SystemExit):
    pass


class Parse(json.JSONDecodeError):
    pass


class Denied(AccessDenied):
    pass


class Several(ExceptionGroup):
    pass


KNOWN = [
    (lambda: json.loads("{"), (json.JSONDecodeError, ValueError)),
    (lambda: re.compile("("), (re.error,)),
    (lambda: queue.Queue().get_nowait(), (queue.Empty,)),
    (lambda: queue.SimpleQueue().get_nowait(), (queue.Empty,)),
    (lambda: np.linalg.inv(np.zeros((2, 2))), (np.linalg.LinAlgError, ValueError)),
    (lambda: np.zeros(3).sum(axis=2), (np.exceptions.AxisError, ValueError, IndexError)),
    (lambda: subprocess.run(["false"], check=True), (subprocess.CalledProcessError,)),
    (lambda: io.StringIO().fileno(), (io.UnsupportedOperation, OSError, ValueError)),
    (lambda: socket.getaddrinfo("127.0.0.1", "no-such-port"), (socket.gaierror, OSError)),
    (lambda: configparser.ConfigParser()["x"], (KeyError,)),
    (lambda: configparser.ConfigParser().get("x", "y"), (configparser.NoSectionError,)),
]


@pytest.mark.parametrize(("fail", "bases"), KNOWN, ids=lambda value: getattr(value, "__name__", ""))
def test_libraries(fail, bases):
    """What the standard library and numpy raise is caught as what it is, text and arguments too."""
    original = raised(fail)
    error = cross(original)
    for base in (*bases, RemoteError):
        assert isinstance(error, base)
    assert type(error).__name__ == type(original).__name__
    assert type(error).__module__ == type(original).__module__
    assert error.args == original.args
    assert str(error).startswith(str(original))
    for name, value in vars(original).items():
        assert getattr(error, name) == value


@pytest.mark.parametrize("name", sorted(PLACES))
def test_every_class_of_the_table(name):
    """Each that is loaded here can be made of anything, shown, copied, pickled and sent on."""
    known = known_class(name)
    if known is None:
        return  # of a module that is not loaded, or of another version
    told = Error(name, ["text", 2], "", "text", ancestry=(Ancestor(name),))
    error = Side().receive(told)
    assert isinstance(error, known)
    assert isinstance(error, RemoteError)
    assert str(error) == "text"
    assert "text" in "".join(traceback.format_exception(error))
    error.add_note("noted")
    assert not hasattr(error, "no_such_attribute")
    for again in (copy.copy(error), copy.deepcopy(error), pickle.loads(pickle.dumps(error))):
        assert type(again) is type(error)
        assert again.__notes__ == ["noted"]
    assert isinstance(cross(error), known)


@pytest.mark.parametrize(
    ("original", "bases", "no_bases"),
    [
        (PSUError(7), (OSError,), ()),
        (Diamond("d"), (ValueError,), (OSError,)),
        (Both("k"), (KeyError, LookupError, OSError), (ValueError,)),
        (Parse("no", "doc", 0), (json.JSONDecodeError, ValueError), ()),
        (Denied("no", name="x"), (AccessDenied, AttributeError), ()),
        (Several("s", [ValueError(1), PSUError(2)]), (ExceptionGroup,), ()),
        (Finished(3), (RuntimeError,), (StopIteration,)),
        (Stop("s"), (), (ValueError,)),
        (Quit(1), (), (SystemExit,)),
    ],
    ids=lambda value: type(value).__name__,
)
def test_classes_of_the_user(original, bases, no_bases):
    """They arrive as classes of their names, derived from what both sides know."""
    error = cross(original)
    for base in (*bases, RemoteError, Exception):
        assert isinstance(error, base)
    for base in no_bases:
        assert not isinstance(error, base)
    assert type(error).__name__ == type(original).__name__
    assert type(error).__module__ == __name__
    assert error.type_name == f"{__name__}.{type(original).__name__}"
    assert str(error).startswith(f"{original}\n\n========= Remote Traceback (1)")
    again = copy.copy(error)
    assert type(again) is type(error)
    assert str(again) == str(error)
    elsewhere = pickle.loads(pickle.dumps(error))
    assert isinstance(elsewhere, (*bases, RemoteError))
    assert str(elsewhere) == str(error)


def test_the_order_of_bases_hides_no_text():
    """A class whose builtin base comes first shows the remote traceback, and no control characters.

    A KeyError, for one, has a ``__str__`` of its own.
    """

    class First(KeyError, Diamond):
        pass

    error = cross(First("\x1b]0;title\x07"))
    assert isinstance(error, KeyError)
    assert "Remote Traceback" in str(error)
    assert "\x1b]" not in str(error)
    assert "\x1b]" not in "".join(traceback.format_exception(error))


def test_bases_are_one_class_each():
    """Two exceptions of one base are caught by it, since each name is one class of a connection."""
    there, here = Side(), Side()
    left, diamond = here.receive(there.send(Left())), here.receive(there.send(Diamond()))
    assert isinstance(diamond, type(left))
    assert type(here.receive(there.send(Left("again")))) is type(left)
    assert not isinstance(cross(Left()), type(left))


def test_groups():
    """Members keep their classes, and so do the parts of a split group."""
    there, here = Side(), Side()
    member = type(here.receive(there.send(PSUError(1))))
    error = here.receive(there.send(Several("s", [ValueError(1), PSUError(2)])))
    matched, rest = error.split(member)
    assert [one.code for one in matched.exceptions] == [2]
    assert [type(one).__name__ for one in rest.exceptions] == ["ValueError"]
    assert type(matched) is type(rest) is type(error)
    nested = cross(ExceptionGroup("outer", [Several("inner", [json.JSONDecodeError("x", "", 0)])]))
    assert nested.subgroup(json.JSONDecodeError) is not None
    assert nested.subgroup(KeyError) is None


# ---- attributes


def test_attributes_are_data():
    """Containers of values arrive as they are, equal and of the same type."""
    original = ValueError("x")
    data = {
        "code": 7,
        "big": 2**70,
        "settings": {"gain": [1, 2.5, (3, None)], "names": {"a"}},
        "raw": b"\x00",
        "level": np.float32(1.5),
    }
    vars(original).update(data)
    error = cross(original)
    for name, value in data.items():
        assert getattr(error, name) == value
        assert type(getattr(error, name)) is type(value)


def test_attributes_are_no_references():
    """What is no data is left out, and so are parts of what holds such."""
    original = ValueError("x")
    original.device = object()
    original.inside = [1, object()]
    original.function = len
    original.deep = [[[[[[1]]]]]]
    original.loop = []
    original.loop.append(original.loop)
    original.code = 3
    error = cross(original)
    assert error.code == 3
    for name in ("device", "inside", "function", "deep", "loop"):
        assert not hasattr(error, name)


def test_arguments_are_no_references():
    """An argument that is no data is told as text."""
    error = cross(ValueError({"a": [1]}, object))
    assert error.args[0] == {"a": [1]}
    assert "object" in str(error.args[1])


def test_attributes_hide_nothing():
    """No attribute takes the place of what the class has, or of what tells of the peer."""
    original = ValueError("x")
    hidden = {
        "args": (1,),
        "add_note": 1,
        "with_traceback": 2,
        "type_name": "SystemExit",
        "remote_traceback": "none",
        "_message": "lie",
        "__notes__": "lie",
        "__cause__": ValueError(),
    }
    vars(original).update(hidden)
    error = cross(original)
    assert callable(error.add_note)
    assert callable(error.with_traceback)
    assert error.type_name == "ValueError"
    assert str(error).startswith("x\n")
    assert error.args == ("x",)


def test_attributes_of_known_classes():
    """errno, returncode and cmd, the code of a HTTPError, slots."""
    error = cross(raised(open, "/no/such/file"))
    assert (error.errno, error.filename) == (2, "/no/such/file")
    error = cross(Numbered(13, "denied", "/dev/tty"))
    assert (error.errno, error.strerror, error.filename) == (13, "denied", "/dev/tty")
    assert isinstance(error, OSError)
    assert cross(PSUError(7)).code == 7
    run = raised(subprocess.run, ["false"], check=True, capture_output=True)
    error = cross(run)
    assert (error.returncode, error.cmd, error.stderr) == (1, ["false"], b"")
    error = cross(json.JSONDecodeError("no", "a\nb", 2))
    assert (error.msg, error.doc, error.pos, error.lineno) == ("no", "a\nb", 2, 2)
    error = cross(urllib.error.HTTPError("http://x", 404, "Not found", {}, None))
    assert (error.code, error.reason) == (404, "Not found")
    assert not hasattr(error, "status_line")
    error = cross(raised(np.zeros(3).sum, axis=2))
    assert (error.axis, error.ndim) == (2, 1)
    assert copy.copy(error).axis == pickle.loads(pickle.dumps(error)).axis == 2


def test_attributes_are_bounded():
    """Their number and size are, on the way out and again on the way in."""
    original = ValueError("x")
    vars(original).update({f"a{n}": "v" * 10_000 for n in range(200)})
    message = Side().send(original)
    assert len(msgspec.msgpack.encode(message)) < 200_000
    original = ValueError("x")
    original.rows, original.code = list(range(10_000)), 5
    error = cross(original)
    assert not hasattr(error, "rows")
    assert error.code == 5
    huge = Error("ValueError", [], "", attributes={f"a{n}": n for n in range(10_000)})
    assert len(vars(Side().receive(huge))) < 100


# ---- exceptions that come home


def test_ours_comes_home():
    """The very object, whatever its class is, also one that both sides have."""
    ours = [
        ValueError("x"),
        PSUError(3),
        Parse("no", "", 0),
        Several("s", [ValueError()]),
        AccessDenied("no"),
        NotSendable("no"),
        Stop(),
        Quit(1),
        StopIteration(1),
    ]
    home, away = Side(), Side()
    for error in ours:
        foreign = away.receive(home.send(error, parent=5))
        assert foreign is not error
        assert home.receive(away.send(foreign), call=5) is error


def test_ours_comes_home_inside_of_others():
    """As the cause or the context of what wraps it, and as the member of a group."""
    home, away = Side(), Side()

    def foreign():
        return away.receive(home.send(ours, parent=1))

    ours = PSUError(1)
    wrapped = RuntimeError("wrapped")
    wrapped.__cause__ = foreign()
    arrived = home.receive(away.send(wrapped))
    assert type(arrived).__name__ == "RuntimeError"
    assert arrived.__cause__ is ours
    wrapped = RuntimeError("wrapped")
    wrapped.__context__ = foreign()
    assert home.receive(away.send(wrapped)).__context__ is ours
    group = home.receive(away.send(ExceptionGroup("g", [ValueError(), foreign()])))
    assert group.exceptions[1] is ours


def test_only_the_first_time():
    """A number holds once: nothing of ours is kept that has come home."""
    home, away = Side(), Side()
    ours = PSUError(1)
    foreign = away.receive(home.send(ours, parent=1))
    assert home.receive(away.send(foreign)) is ours
    again = home.receive(away.send(foreign))
    assert again is not ours
    assert isinstance(again, RemoteError)
    assert isinstance(again, OSError)


def test_a_group_of_many_comes_home():
    """What it is made of takes no room from it."""
    home, away = Side(), Side()
    ours = ExceptionGroup("many", [ValueError(number) for number in range(200)])
    assert home.receive(away.send(away.receive(home.send(ours, parent=1)))) is ours


def test_part_of_a_group_is_not_the_group():
    """What is left of one of ours after a split is a group of its own."""
    home, away = Side(), Side()
    ours = ExceptionGroup("g", [ValueError(1), KeyError(2)])
    matched, _rest = away.receive(home.send(ours, parent=1)).split(ValueError)
    arrived = home.receive(away.send(matched))
    assert arrived is not ours
    assert len(arrived.exceptions) == 1


def test_copies_are_others():
    """A copy of one of ours that the peer made is no longer ours."""
    home, away = Side(), Side()
    ours = PSUError(1)
    foreign = away.receive(home.send(ours, parent=1))
    for again in (copy.copy(foreign), pickle.loads(pickle.dumps(foreign))):
        assert home.receive(away.send(again)) is not ours
    assert home.receive(away.send(foreign)) is ours


def test_two_hops_are_not_confused():
    """A number is one of its own connection: the middle sends on what is not its own."""
    left, middle_left, middle_right, right = Side(), Side(), Side(), Side()
    for number in range(3):  # so that numbers of both connections are in use
        middle_left.receive(left.send(ValueError(number), parent=1))
        middle_right.send(KeyError(number), parent=1)
    ours = PSUError(1)
    in_the_middle = middle_left.receive(left.send(ours, parent=1))
    at_the_right = right.receive(middle_right.send(in_the_middle, parent=1))
    assert type(at_the_right).__name__ == "PSUError"
    assert isinstance(at_the_right, OSError)
    assert at_the_right.code == 1
    back_in_the_middle = middle_right.receive(right.send(at_the_right))
    assert back_in_the_middle is in_the_middle
    assert left.receive(middle_left.send(back_in_the_middle)) is ours
    # One of the right is none of the left, whatever its number.
    foreign = middle_right.receive(right.send(PSUError(2), parent=1))
    assert middle_left.send(foreign).home == 0


@given(st.integers(-(2**63), 2**63 - 1), st.integers(0, 2**32))
def test_guessed_numbers(number, call):
    """A number that was never given makes an ordinary exception."""
    home = Side()
    error = home.receive(Error("ValueError", ["x"], "", "x", home=number), call=call)
    assert isinstance(error, RemoteError)
    assert isinstance(error, ValueError)


def test_the_peer_does_not_choose_when_a_program_ends():
    """SystemExit of a callback leaves the call that the callback was of, and no other."""
    home, away = Side(), Side()
    foreign = away.receive(home.send(Quit(1), parent=5))
    arrived = home.receive(away.send(foreign), call=6)
    assert isinstance(arrived, RemoteError)
    assert not isinstance(arrived, SystemExit)
    foreign = away.receive(home.send(Quit(1), parent=0))
    assert not isinstance(home.receive(away.send(foreign), call=0), SystemExit)


def test_what_is_kept_is_bounded():
    """The oldest are forgotten, and with them their frames."""
    home, away = Side(), Side()
    errors = [PSUError(number) for number in range(500)]
    foreign = [away.receive(home.send(error, parent=1)) for error in errors]
    watched = [weakref.ref(error) for error in errors]
    assert home.receive(away.send(foreign[-1])) is errors[-1]
    assert home.receive(away.send(foreign[0])) is not errors[0]
    errors.clear()
    assert sum(one() is not None for one in watched) < 100


def test_nothing_is_kept_where_nothing_waits():
    """Where no call of ours waits nothing can come home, and its frames are not held."""
    home, away = Side(), Side()
    ours = PSUError(1)
    assert home.send(ours).number == 0
    assert home.receive(away.send(away.receive(home.send(ours)))) is not ours


# ---- classes


def carried_class(cls, there=None, here=None):
    """Give what an exception class arrives as, and both sides."""
    there, here = there or Side(), here or Side()
    there.classes.note(cls)
    return here.class_of(parts_of_class(cls)), there, here


def test_a_class_arrives_as_a_class():
    """It catches what is raised there of it and of its subclasses, and nothing else."""
    cls, there, here = carried_class(Left)
    assert cls.__name__ == "Left"
    assert cls.__module__ == __name__
    assert issubclass(cls, (RemoteError, ValueError))
    assert isinstance(here.receive(there.send(Left("x"))), cls)
    assert isinstance(here.receive(there.send(Diamond("x"))), cls)
    assert not isinstance(here.receive(there.send(Right("x"))), cls)
    assert not isinstance(here.receive(there.send(ValueError("x"))), cls)
    other, _, _ = carried_class(Left)
    assert other is not cls
    assert not isinstance(here.receive(there.send(Left("x"))), other)


@pytest.mark.parametrize(
    "cls", [ValueError, json.JSONDecodeError, AccessDenied, StopIteration, np.linalg.LinAlgError]
)
def test_a_known_class_arrives_as_itself(cls):
    """So ``except`` catches local ones and remote ones."""
    arrived, there, here = carried_class(cls)
    assert arrived is cls
    assert here.class_of(parts_of_class(cls)) is cls
    assert there.class_of(parts_of_class(arrived)) is cls


def test_a_class_that_comes_back_is_the_owners():
    """And one that never came from here is what stands for it."""
    cls, there, _ = carried_class(Diamond)
    assert there.class_of(parts_of_class(cls)) is Diamond
    stranger, _, _ = carried_class(Left)
    assert there.class_of(parts_of_class(stranger)) is not Left


def test_calling_a_class_makes_a_local_exception():
    """It can be raised, shown and sent."""
    cls, _, _ = carried_class(Left)
    error = cls("made here")
    assert str(error) == "made here"
    assert repr(error) == "Left('made here')"
    assert raised(lambda: (_ for _ in ()).throw(error)) is error
    assert isinstance(cross(error), ValueError)
    assert cross(error).type_name.endswith("Left")


def test_a_class_of_one_s_own_below_a_remote_one():
    """A class derived here is caught as the remote one, and copied as itself."""
    cls, _, _ = carried_class(Left)

    class Mine(cls):
        pass

    assert isinstance(Mine("x"), cls)
    assert type(copy.copy(Mine("x"))) is Mine
    assert isinstance(cross(Mine("x")), ValueError)


# ---- what a hostile peer may send


def test_hostile_ancestries():
    """Cycles and places that are none break the protocol; length is bounded."""
    side = Side()
    for bases in ((0,), (1, 0), (5,), (-1,), (2**70,)):
        told = Error("X", [], "", ancestry=(Ancestor("X", bases), Ancestor("Y")))
        with pytest.raises(RemoteProtocolError):
            side.receive(told)
    told = Error("X", [], "", ancestry=(Ancestor("X", (1,)), Ancestor("Y", (0,))))
    with pytest.raises(RemoteProtocolError):
        side.receive(told)
    chain = tuple(Ancestor(f"X{n}", (n + 1,)) for n in range(200))
    with pytest.raises(RemoteProtocolError):
        side.receive(Error("X0", [], "", ancestry=chain))
    for parts in ((), (3,), (("X",),), (("X", (True,)),), (("X", ["a"]),), ((3, ()),), ("X", ())):
        with pytest.raises(RemoteProtocolError):
            side.class_of(parts)


def test_hostile_names():
    """Control characters, dots, lengths and names that are none make a class that can be shown."""
    for name in (
        "\x1b]0;evil\x07",
        "a\0b",
        "",
        ".",
        "..",
        "x" * 10_000,
        "é.ñ",
        "os.system",
        "a.\n",
    ):
        error = Side().receive(Error(name, ["x"], "", "x", ancestry=(Ancestor(name),)))
        assert type(error).__name__.isprintable()
        assert type(error).__module__.isprintable()
        assert len(type(error).__name__) <= 100
        assert type(error).__mro__[1] is Rebuilt
        assert "\x1b" not in "".join(traceback.format_exception(error))


def test_hostile_bases():
    """No base ends a loop or the process, and no order of bases is an error."""
    for name in (
        *("StopIteration", "StopAsyncIteration", "SystemExit", "KeyboardInterrupt"),
        *("GeneratorExit", "BaseException", "asyncio.exceptions.CancelledError"),
        *("BaseExceptionGroup", "object", "type", "unittest.case.SkipTest", "bdb.BdbQuit"),
    ):
        for told in (
            Error("X", ["x"], "", ancestry=(Ancestor("X", (1,)), Ancestor(name))),
            Error(name, ["x"], "", ancestry=(Ancestor(name),)),
        ):
            error = Side().receive(told)
            assert isinstance(error, RemoteError)
            ends = (StopIteration, StopAsyncIteration, asyncio.CancelledError)
            assert not isinstance(error, ends)
    odd = (
        ("LookupError", "KeyError"),
        ("Exception", "ValueError"),
        ("OSError", "UnicodeDecodeError", "SyntaxError"),
        ("ExceptionGroup", "OSError"),
        ("UnicodeDecodeError", "OSError", "X"),
    )
    for names in odd:
        bases = tuple(range(1, len(names) + 1))
        ancestry = (Ancestor("Odd", bases), *(Ancestor(name) for name in names))
        error = Side().receive(Error("Odd", ["x"], "", "x", ancestry=ancestry))
        assert isinstance(error, RemoteError)
        str(error), repr(error), copy.copy(error)


def test_one_connection_says_nothing_of_another():
    """What a peer claims of a known class holds for nobody."""
    lie = (Ancestor("json.decoder.JSONDecodeError", (1,)), Ancestor("evil.Name"))
    error = Side().receive(Error("json.decoder.JSONDecodeError", [], "", ancestry=lie))
    assert isinstance(error, json.JSONDecodeError)
    other = cross(json.JSONDecodeError("x", "", 0))
    assert "evil" not in str(Side().send(other))


NAMES = """
import sys
from nbrpc.objects.error_classes import ErrorClasses
from nbrpc.objects.failures import exception_of
from nbrpc.objects.known_errors import PLACES
from nbrpc.protocol.codec import Ancestor
from nbrpc.protocol.messages import Error
before = set(sys.modules)
for name in [*PLACES, "antigravity.X", "this.Y", "os.system", "xmlrpc.client"]:
    told = Error(name, [], "", "x", ancestry=(Ancestor(name),))
    str(exception_of(told, lambda value: value, classes=ErrorClasses()))
print(sorted(set(sys.modules) - before))
"""


def test_names_import_nothing():
    """In a process that has loaded none of their modules, no name loads one."""
    done = subprocess.run(
        [sys.executable, "-c", NAMES], capture_output=True, text=True, timeout=60, check=True
    )
    assert done.stdout == "[]\n"


def test_too_many_classes():
    """A peer that sends names without end breaks the protocol."""
    side = Side()
    told = [Error("X", [], "", ancestry=(Ancestor(f"X{number}"),)) for number in range(2_000)]
    with pytest.raises(RemoteProtocolError, match="classes of exceptions"):
        [side.receive(one) for one in told]


@pytest.mark.parametrize(
    "place",
    [
        ("f", 1, 1, "x", 1, 10**12),
        ("f", 10**12, 1, "x"),
        ("f", 1, -5, "x"),
        ("f", "1", 1, "x"),
        (3, 1, 1, "x"),
        "f",
        3,
    ],
)
def test_subclasses_of_syntax_errors(place):
    """A place that is none is not shown; Python and IPython draw no endless carets."""
    ancestry = (Ancestor("lab.Bad", (1,)), Ancestor("SyntaxError"))
    args = [Side().boxing.box(arg, Side().boxing.draft(DEEP)) for arg in ("bad", place)]
    attributes = {"filename": 3, "lineno": 10**12, "offset": 10**12, "end_offset": 10**12}
    for kind in (ancestry, (Ancestor("lab.Both", (1, 2)), Ancestor("ValueError"), ancestry[1])):
        error = Side().receive(
            Error("lab.Bad", args, "text", "bad", attributes=attributes, ancestry=kind)
        )
        assert isinstance(error, SyntaxError)
        assert len("".join(traceback.format_exception(error))) < 10_000
        assert len(shown_by_ipython(error)) < 100_000


def shown_by_ipython(error):
    """Give what IPython shows of an exception."""
    try:
        raise error
    except BaseException as caught:
        shower = VerboseTB(color_scheme="NoColor") if _takes_scheme() else VerboseTB()
        return shower.text(type(caught), caught, caught.__traceback__)


def _takes_scheme():
    import IPython

    return IPython.version_info[0] < 9


@pytest.mark.parametrize(
    "original",
    [PSUError(7), json.JSONDecodeError("no", "d", 0), Both("k"), Several("s", [Left("x")])],
    ids=lambda value: type(value).__name__,
)
def test_ipython(original):
    """It shows the class by its name, the text, and the remote traceback once."""
    error = cross(raised(lambda: (_ for _ in ()).throw(original)))
    shown = shown_by_ipython(error)
    assert type(original).__name__ in shown
    assert shown.count("Remote Traceback (1)") == 1
    assert str(original).splitlines()[0] in shown


names = st.one_of(
    st.sampled_from(
        ["X", "Y", "ValueError", "KeyError", "OSError", "SyntaxError", "StopIteration", "Exception"]
    ),
    st.sampled_from(["ExceptionGroup", "UnicodeDecodeError", "BaseException", "ImportError"]),
    st.sampled_from(sorted(PLACES)),
    st.text(max_size=10),
)
values = st.one_of(st.none(), st.booleans(), st.integers(-(2**63), 2**63 - 1), st.text(max_size=9))
ancestries = st.lists(st.tuples(names, st.lists(st.integers(-1, 6), max_size=3)), max_size=6).map(
    lambda pairs: tuple(Ancestor(name, tuple(bases)) for name, bases in pairs)
)
errors = st.builds(
    Error,
    type_name=names,
    args=st.lists(values, max_size=5),
    text=st.text(max_size=20),
    message=st.text(max_size=20),
    attributes=st.dictionaries(
        st.one_of(
            st.sampled_from(["filename", "errno", "axis", "name", "args", "exceptions", "file"]),
            st.text(max_size=8),
        ),
        values,
        max_size=4,
    ),
    members=st.lists(st.just(Error("ValueError", ["m"], "")), max_size=2),
    ancestry=ancestries,
    number=st.integers(-(2**63), 2**63 - 1),
    home=st.integers(-(2**63), 2**63 - 1),
)


@given(errors)
def test_any_failure_becomes_an_exception(told):
    """Whatever a peer says of a class, the exception can be raised, shown, copied and sent on."""
    try:
        error = Side().receive(told)
    except RemoteProtocolError:
        return
    assert isinstance(error, (RemoteError, NbrpcError))
    assert not isinstance(error, (StopIteration, StopAsyncIteration))
    assert isinstance(error, Exception)
    str(error), repr(error)
    traceback.format_exception(error)
    assert type(copy.copy(error)).__name__ == type(error).__name__
    cross(error)


def test_tables_keep_no_connection_alive():
    """An exception that somebody keeps does not keep the tables of its connection."""
    there, here = Side(), Side()
    error = here.receive(there.send(PSUError(1), parent=1))
    tables = weakref.ref(here.classes)
    assert isinstance(here.classes, ErrorClasses)
    del here
    assert tables() is None
    assert error.code == 1
    assert isinstance(error, nbrpc.RemoteError)
