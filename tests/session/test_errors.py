"""Errors come home over real connections: caught as they would be locally, and ours as ours."""

from __future__ import annotations

import asyncio
import json
import subprocess
import sys
import threading
import traceback
import weakref

import pytest

import nbrpc
from nbrpc import RemoteError, classic
from tests.support import eventually


class InstrumentError(Exception):
    """What the instrument says."""

    def __init__(self, message, code):
        super().__init__(message)
        self.code = code


class Overload(InstrumentError):
    """A subclass that is not exposed."""


class Rig(nbrpc.Service):
    exposed_InstrumentError = InstrumentError
    exposed_ParseError = json.JSONDecodeError
    tripped = nbrpc.event()

    def __init__(self):
        self.kept = None

    @nbrpc.exposed
    def fail(self, kind="plain"):
        """Raise one of the instrument's."""
        raise {"plain": InstrumentError, "sub": Overload}[kind]("too hot", 7)

    @nbrpc.exposed
    def parse(self, text):
        return json.loads(text)

    @nbrpc.exposed
    def run(self, *command):
        subprocess.run(command, check=True)

    @nbrpc.exposed
    def call(self, callback, *args):
        return callback(*args)

    @nbrpc.exposed
    def wrap(self, callback, way):
        """Call what fails, and raise another exception of it."""
        try:
            callback()
        except Exception as error:
            if way == "cause":
                raise RuntimeError("wrapped") from error
            raise RuntimeError("wrapped")  # noqa: B904 - its context is what is tested

    @nbrpc.exposed
    def keep(self, callback):
        """Call what fails, and keep what it raised for `release`."""
        try:
            callback()
        except Exception as error:
            self.kept = error

    @nbrpc.exposed
    def release(self):
        raise self.kept

    @nbrpc.exposed
    def together(self, *callbacks):
        """Call all, and raise what they raised as one group."""
        errors = []
        for callback in callbacks:
            try:
                callback()
            except Exception as error:
                errors.append(error)
        raise ExceptionGroup("together", errors)

    @nbrpc.exposed
    async def call_later(self, callback):
        await asyncio.sleep(0)
        return callback()

    @nbrpc.exposed
    def generate(self, callback):
        yield 1
        yield callback()

    @nbrpc.exposed
    def total(self, numbers):
        return sum(numbers)

    @nbrpc.exposed
    async def total_later(self, numbers):
        return sum([number async for number in numbers])

    @nbrpc.exposed
    def read(self, obj, name):
        return getattr(obj, name)

    @nbrpc.exposed
    def raise_of(self, cls):
        """Raise an exception of a class that the client names."""
        raise cls("asked for", 1)

    @nbrpc.exposed
    def is_own(self, cls):
        return cls is InstrumentError

    @nbrpc.exposed
    def classes(self):
        return {"hot": InstrumentError, "list": [Overload, ValueError]}

    @nbrpc.exposed
    def kind_of(self, callback):
        """Tell of what kind a callback's failure is here."""
        try:
            callback()
        except Exception as error:
            return [cls.__name__ for cls in type(error).__mro__]


class Enough(Exception):
    """Ours."""


class Stop(BaseException):
    """Ours, and no Exception."""


@pytest.fixture(params=["tcp", "unix"])
def rig(request, linked, tmp_path):
    """Give a service that is served in this process."""
    options = {"path": str(tmp_path / "socket")} if request.param == "unix" else {}
    return linked(Rig, **options).root


def failing(error):
    """Give a function that raises this very object."""

    def fail(*_args):
        raise error

    return fail


def raised(function, *args):
    """Call what fails, and give what it raises."""
    try:
        function(*args)
    except BaseException as error:
        return error
    raise AssertionError("nothing was raised")


# ---- as it would be caught locally


def test_libraries(rig):
    """Errors of the standard library are caught as what they are, with their data."""
    with pytest.raises(json.JSONDecodeError) as parsing:
        rig.parse("{")
    assert isinstance(parsing.value, ValueError)
    assert (parsing.value.pos, parsing.value.doc) == (1, "{")
    with pytest.raises(subprocess.CalledProcessError) as running:
        rig.run("false")
    assert running.value.returncode == 1
    assert running.value.cmd == ("false",)


def test_data_of_ones_own(rig):
    """The attributes of the service's own exceptions arrive, and no reference does."""
    error = raised(rig.fail)
    assert type(error).__name__ == "InstrumentError"
    assert error.code == 7
    assert error.args == ("too hot",)


# ---- ours


@pytest.mark.parametrize("cls", [Enough, ValueError, nbrpc.AccessDenied, Stop, SystemExit])
def test_ours_comes_home(rig, cls):
    """What a callback raises leaves the call as the very object, with its own traceback."""
    error = cls("x")
    arrived = raised(rig.call, failing(error))
    assert arrived is error
    assert arrived.__traceback__ is not None
    names = [frame.name for frame in traceback.extract_tb(arrived.__traceback__)]
    # Of nbrpc there are the frames of the call alone, not those in which the callback was called.
    assert names[0] == "raised"
    assert names[-1] == "fail"
    assert "run" not in names
    assert not isinstance(arrived, RemoteError)


def test_ours_of_results(rig):
    """Results that are waited for later give it too."""
    error = Enough("x")
    result = nbrpc.async_(rig.call)(failing(error))
    assert raised(result.result, 10) is error
    assert raised(result.result, 10) is error
    assert result.exception() is error


def test_ours_of_coroutines(rig):
    """So do coroutines of the service, and results that are awaited."""
    error = Enough("x")
    assert raised(rig.call_later, failing(error)) is error

    async def main():
        await nbrpc.async_(rig.call)(failing(error))

    assert raised(asyncio.run, main()) is error


def test_ours_of_iterations(rig):
    """An iteration ends with it."""
    error = Enough("x")
    items = iter(rig.generate(failing(error)))
    assert next(items) == 1
    assert raised(next, items) is error


def test_ours_of_our_iterators(rig):
    """What our own generator raises while the service iterates over it."""
    error = Enough("x")

    def numbers():
        yield 1
        raise error

    assert raised(rig.total, numbers()) is error


def test_ours_of_our_attributes(linked):
    """What a property of an object of ours raises."""
    error = Enough("x")

    class Mine:
        @property
        def exposed_bad(self):
            raise error

    rig = linked(Rig).root
    assert raised(rig.read, Mine(), "bad") is error


def test_ours_of_our_coroutines(linked):
    """What a coroutine function or an asynchronous generator of ours raises."""
    error = Enough("x")

    async def callback():
        await asyncio.sleep(0)
        raise error

    async def numbers():
        yield 1
        raise error

    conn = linked(Rig)
    with nbrpc.BgServingThread(conn):
        assert raised(conn.root.call, callback) is error
        assert raised(conn.root.total_later, numbers()) is error


def test_nested_both_ways(rig):
    """Through calls within calls, in both directions."""
    error = Enough("x")

    def down(depth):
        if depth == 0:
            raise error
        return rig.call(down, depth - 1)

    assert raised(rig.call, down, 4) is error
    names = [frame.name for frame in traceback.extract_tb(error.__traceback__)]
    assert names.count("down") == 5
    assert names.count("result_of") == 1
    assert raised(rig.call, down, 4) is error


def test_theirs_passes_through_us(rig):
    """What the service raises and our callback lets pass is the service's own there, as here."""
    kinds = rig.kind_of(rig.fail)
    assert kinds[0] == "InstrumentError"
    error = raised(rig.call, rig.fail)
    assert type(error).__name__ == "InstrumentError"
    assert error.code == 7


def test_wrapped(rig):
    """Where the service wraps it, it is the cause or the context."""
    error = Enough("x")
    arrived = raised(rig.wrap, failing(error), "cause")
    assert isinstance(arrived, RuntimeError)
    assert arrived.__cause__ is error
    arrived = raised(rig.wrap, failing(error), "context")
    assert arrived.__context__ is error


def test_groups(rig):
    """Ours are members of the service's group as they are."""
    one, other = Enough(1), ValueError(2)
    group = raised(rig.together, failing(one), failing(other))
    assert group.exceptions == (one, other)
    assert group.exceptions[0] is one
    seen = []
    try:
        raise group
    except* Enough as part:
        seen += part.exceptions
    except* ValueError as part:
        seen += part.exceptions
    assert seen == [one, other]


def test_raised_later(rig):
    """What the service kept comes home from another call; a second time it is an ordinary one."""
    error = Enough("x")
    rig.keep(failing(error))
    assert raised(rig.release) is error
    again = raised(rig.release)
    assert again is not error
    assert isinstance(again, RemoteError)
    assert again.type_name.endswith("Enough")


def test_nothing_is_kept_that_came_home(rig):
    """Neither side holds it when the call is over."""
    error = Enough("x")
    assert raised(rig.call, failing(error)) is error
    there = weakref.ref(error)
    del error
    eventually(lambda: _collected(there), 5)


def _collected(reference):
    import gc

    gc.collect()
    return reference() is None


def test_many_threads(rig):
    """Each gets its own back."""
    wrong = []

    def work(number):
        for turn in range(50):
            error = Enough(number, turn)
            if raised(rig.call, failing(error)) is not error:
                wrong.append((number, turn))

    threads = [threading.Thread(target=work, args=(number,)) for number in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert wrong == []


def test_two_hops(linked):
    """Through a server in the middle, what is ours is ours, and theirs is nobody else's."""
    far = linked(Rig).root

    class Middle(nbrpc.Service):
        @nbrpc.exposed
        def call(self, callback):
            return far.call(callback)

        @nbrpc.exposed
        def fail(self):
            far.fail()

    middle = linked(Middle).root
    error = Enough("x")
    assert raised(middle.call, failing(error)) is error
    theirs = raised(middle.fail)
    assert type(theirs).__name__ == "InstrumentError"
    assert theirs.code == 7
    assert "Remote Traceback (2)" in str(theirs)


def test_a_server_keeps_no_failures(linked):
    """What its methods raise, with all that is in their frames, goes when the call has ended."""

    class Frame:
        pass

    frames = []

    class Holding(nbrpc.Service):
        @nbrpc.exposed
        def fail(self):
            big = Frame()
            frames.append(weakref.ref(big))
            raise ValueError("x")

    rig = linked(Holding).root
    assert isinstance(raised(rig.fail), ValueError)
    eventually(lambda: _collected(frames[0]), 5)


# ---- classes


def test_classes_that_are_read(rig):
    """``except rig.InstrumentError`` works, also for subclasses; each read gives the same class."""
    cls = rig.InstrumentError
    assert isinstance(cls, type)
    assert issubclass(cls, (RemoteError, Exception))
    assert cls.__name__ == "InstrumentError"
    assert rig.InstrumentError is cls
    for kind in ("plain", "sub"):
        with pytest.raises(cls) as caught:
            rig.fail(kind)
        assert caught.value.code == 7
    assert rig.ParseError is json.JSONDecodeError
    assert not isinstance(raised(rig.parse, "{"), cls)


def test_classes_that_are_read_afterwards(rig):
    """An exception that arrived before its class was read is of that class."""
    error = raised(rig.fail, "sub")
    assert isinstance(error, rig.InstrumentError)


def test_classes_in_results(rig):
    """They arrive as classes inside of containers too."""
    classes = rig.classes()
    assert classes["hot"] is rig.InstrumentError
    assert classes["list"][1] is ValueError
    assert isinstance(raised(rig.fail, "sub"), classes["list"][0])


def test_a_class_passed_back(rig):
    """It is the owner's class there."""
    cls = rig.InstrumentError
    assert rig.is_own(cls)
    assert isinstance(raised(rig.raise_of, cls), cls)


def test_a_class_of_ours(rig):
    """One of ours that the service raises is caught by its name and bases here."""

    class Ours(ValueError):
        pass

    error = raised(rig.raise_of, Ours)
    assert isinstance(error, ValueError)
    assert error.args == ("asked for", 1)


def test_a_class_is_called_here(rig):
    """That makes an exception of this side, which can be raised through the service."""
    error = rig.InstrumentError("made here")
    assert str(error) == "made here"
    assert raised(rig.call, failing(error)) is error


def test_two_connections(linked):
    """Each has classes of its own: what one server raises is not the other's."""
    one, other = linked(Rig).root, linked(Rig).root
    assert one.InstrumentError is not other.InstrumentError
    assert not isinstance(raised(one.fail), other.InstrumentError)
    assert isinstance(raised(one.fail), one.InstrumentError)


# ---- processes

LAB = """
import subprocess
import nbrpc

class InstrumentError(OSError):
    def __init__(self, code):
        super().__init__(f"code {code}")
        self.code = code

class Lab(nbrpc.Service):
    exposed_InstrumentError = InstrumentError
    def exposed_fail(self): raise InstrumentError(7)
    def exposed_run(self): subprocess.run(["false"], check=True)
    def exposed_scan(self, report): report(1)
"""

CLIENT = """
import subprocess, sys
import nbrpc

class Enough(Exception): pass
enough = Enough("enough")
def report(step): raise enough

lab = nbrpc.connect({url!r}).root
try: lab.fail()
except lab.InstrumentError as error: print("caught", error.code, isinstance(error, OSError))
try: lab.fail()
except OSError as error: print("caught", type(error).__name__)
try: lab.run()
except subprocess.CalledProcessError as error: print("caught", error.returncode, error.cmd)
try: lab.scan(report)
except Enough as error: print("caught", error is enough)
lab.scan(report)
"""


def test_a_server_of_its_own(served, tmp_path):
    """A script catches errors of a server process, and its own; uncaught it shows its own lines."""
    (tmp_path / "lab.py").write_text(LAB)
    server = served("lab:Lab", folder=tmp_path)
    done = subprocess.run(
        [sys.executable, "-c", CLIENT.format(url=server.url)],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.stdout.splitlines() == [
        "caught 7 True",
        "caught InstrumentError",
        "caught 1 ['false']",
        "caught True",
    ], done.stderr
    assert done.returncode == 1
    assert done.stderr.splitlines()[-1] == "Enough: enough"
    assert "in report" in done.stderr
    assert "Remote Traceback" not in done.stderr


def test_classic_mode(served):
    """Exception classes of remote modules are classes here."""
    with classic.connect(served("--classic").url) as conn:
        conn.execute("class Hot(OSError): pass\ndef fail(): raise Hot(5, 'hot')")
        hot = conn.namespace["Hot"]
        with pytest.raises(hot) as caught:
            conn.namespace["fail"]()
        assert isinstance(caught.value, OSError)
        assert caught.value.errno == 5
        modules = conn.modules
        assert modules.json.JSONDecodeError is json.JSONDecodeError
        assert modules.builtins.ValueError is ValueError
        with pytest.raises(modules.json.JSONDecodeError):
            modules.json.loads("{")
        with pytest.raises(modules.configparser.Error):
            modules.configparser.ConfigParser().get("x", "y")
