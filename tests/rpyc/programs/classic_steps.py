"""What clients do to a classic server. The text is the same for both implementations."""

from __future__ import annotations

import importlib
import io
import re
import sys
import tempfile
from pathlib import Path

from steps import group, until


@group("classic")
def code(do):
    """Run code over there."""
    conn = do.connect()
    do("protocol", lambda: getattr(conn, "protocol", None))
    do("eval", conn.eval, "1 + 1")
    conn.execute("x = 41\ndef more(n):\n    return x + n")
    do("executed", conn.eval, "more(1)")
    do("namespace", lambda: conn.namespace["x"])
    do("remote function", lambda: conn.namespace["more"](2))
    conn.namespace["x"] = 1
    do("namespace is set", conn.eval, "more(1)")
    do("in the namespace", lambda: ["x" in conn.namespace, "y" in conn.namespace])
    do("error", conn.eval, "1 // 0")
    do("no such name", conn.eval, "no_such_name")
    do("not Python", conn.execute, "x = ")
    other = do.connect()
    do("apart", lambda: "more" in other.namespace)
    do("closures", lambda: conn.eval("lambda f: f(4) + 1")(lambda n: 2 * n))
    do("pong", lambda: conn.ping() is not False)


@group("classic")
def modules(do):
    """Use modules and what is in them."""
    conn = do.connect()
    do("function", lambda: conn.modules.os.path.join("a", "b"))
    do("by item", lambda: conn.modules["os.path"].basename("/x/y"))
    do("other process", lambda: conn.modules.os.getpid() != importlib.import_module("os").getpid())
    do("missing", lambda: conn.modules.no_such_module_at_all)
    do("builtins", lambda: [conn.builtins.int("8"), conn.builtin.len("abc")])
    do("repr", lambda: repr(conn.modules.time.sleep))
    conn.modules.sys.nbrpc_test = 3
    do("attribute is set", conn.eval, "__import__('sys').nbrpc_test")
    del conn.modules.sys.nbrpc_test
    do("attribute is deleted", lambda: hasattr(conn.modules.sys, "nbrpc_test"))
    do("callbacks", lambda: list(conn.builtins.map(lambda n: n + 1, [1, 2])))
    ordered = conn.modules.collections.OrderedDict
    do("class", lambda: isinstance(ordered(), ordered))
    do("methods of containers", lambda: sorted(conn.eval("{'a': 1, 'b': 2}").items()))
    numbers = conn.builtins.list((3, 1, 2))
    numbers.append(0)
    numbers.sort()
    do("methods change it", lambda: list(numbers))
    do("deque", lambda: list(conn.modules.collections.deque([1, 2, 3], maxlen=2)))
    do("with", lambda: _used_as_context(conn))


def _used_as_context(conn):
    with conn.modules.io.StringIO() as stream:
        stream.write("text")
        text = stream.getvalue()
    return [text, stream.closed]


@group("classic")
def copies(do):
    """Copy values here and there."""
    conn, classic = do.connect(), do.api.classic
    there = conn.eval("{'a': [1, 2.5, 'x'], 'b': (None, {3})}")
    here = do("obtain", lambda: classic.obtain(there))
    do("types", lambda: [type(here).__name__, type(here["a"]).__name__, type(here["b"]).__name__])
    do("no proxies", lambda: here == {"a": [1, 2.5, "x"], "b": (None, {3})})
    do("a plain value", lambda: classic.obtain("plain"))
    mine = {"a": [1, 2], "b": "x"}
    conn.namespace["given"] = classic.deliver(conn, mine)
    do("deliver", conn.eval, "type(given) is dict and type(given['a']) is list")
    do("deliver equals", conn.eval, "given == {'a': [1, 2], 'b': 'x'}")
    mine["a"].append(3)
    do("a copy it is", conn.eval, "given['a'] == [1, 2]")
    do("large", lambda: classic.obtain(conn.eval("list(range(100000))")) == list(range(100_000)))


def power(base, exponent=2, *, plus=0):
    """Be teleported: with a default, a keyword and an import of its own."""
    import math

    return int(math.pow(base, exponent)) + plus


@group("classic")
def teleport(do):
    """Make a function over there."""
    conn, classic = do.connect(), do.api.classic
    there = do("teleported", lambda: bool(classic.teleport_function(conn, power)))
    if there:
        function = classic.teleport_function(conn, power)
        do("called", function, 5)
        do("arguments", lambda: function(2, 3, plus=1))
        do("by its name", conn.eval, "power(3)")
        do("it runs there", lambda: conn.eval("power.__code__.co_name"))


@group("classic")
def files(do):
    """Copy files, folders and a package."""
    conn, classic = do.connect(), do.api.classic
    with tempfile.TemporaryDirectory() as folder:
        here, there, back = (Path(folder, name) for name in ("here", "there", "back"))
        (here / "inner").mkdir(parents=True)
        data = bytes(range(256)) * 1000
        (here / "data.bin").write_bytes(data)
        (here / "inner" / "text.txt").write_text("inner text")
        (here / "empty").write_bytes(b"")
        classic.upload(conn, str(here / "data.bin"), str(there.with_suffix(".bin")))
        do("file", lambda: there.with_suffix(".bin").read_bytes() == data)
        classic.upload(conn, str(here), str(there))
        do("folder", lambda: _tree(there) == _tree(here))
        classic.download(conn, str(there), str(back))
        do("folder back", lambda: _tree(back) == _tree(here))
        classic.download(conn, str(there / "data.bin"), str(Path(folder, "one.bin")))
        do("file back", lambda: Path(folder, "one.bin").read_bytes() == data)
        some = Path(folder, "some")
        classic.upload(conn, str(here), str(some), filter=lambda name: not name.endswith(".bin"))
        do("filter", lambda: sorted(_tree(some)))
        do("missing", classic.upload, conn, str(here / "none"), str(there))
        package = Path(folder, "packages", "nbrpc_uploaded")
        package.mkdir(parents=True)
        (package / "__init__.py").write_text("answer = 42\n")
        sys.path.insert(0, str(package.parent))
        module = importlib.import_module("nbrpc_uploaded")
        sys.path.pop(0)
        target = Path(folder, "site", "nbrpc_uploaded")
        target.parent.mkdir()
        classic.upload_package(conn, module, str(target))
        do("package", (target / "__init__.py").read_text)
        sys.modules.pop("nbrpc_uploaded")


def _tree(folder):
    return {
        str(path.relative_to(folder)): path.read_bytes()
        for path in folder.rglob("*")
        if path.is_file()
    }


@group("classic")
def streams(do):
    """Have the streams of the server here."""
    conn = do.connect()
    conn.execute("import sys\ndef ask():\n    return input('name? ')")
    kept = sys.stdin, sys.stdout, sys.stderr
    sys.stdin, sys.stdout, sys.stderr = io.StringIO("Ada\n"), io.StringIO(), io.StringIO()
    try:
        with do.api.classic.redirected_stdio(conn):
            conn.execute("print('hello'); print('careful', file=sys.stderr)")
            # It asks through whatever stands for the streams, so a call is under way.
            name = conn.namespace["ask"]()
        conn.execute("print('to the server')")
        out, errors = sys.stdout.getvalue(), sys.stderr.getvalue()
    finally:
        sys.stdin, sys.stdout, sys.stderr = kept
    do("printed", lambda: out.startswith("hello\n"))
    do("errors", lambda: errors)
    do("input", lambda: name)
    do("restored", lambda: "to the server" in out)


@group("classic")
def tutorial(do):
    """The tutorial's session on asynchronism, with a shorter sleep."""
    conn, async_ = do.connect(), do.api.async_
    do("sleep", lambda: repr(conn.modules.time.sleep))
    do("block", conn.modules.time.sleep, 0.01)
    asleep = async_(conn.modules.time.sleep)
    do("asleep", lambda: repr(asleep))
    res = asleep(0.2)
    do("res", lambda: _state(res))
    do("at once", lambda: res.ready)
    do("later", lambda: until(lambda: res.ready))
    do("value", lambda: res.value)
    do("ready", lambda: _state(res))
    aint = async_(conn.builtins.int)
    x = aint("8")
    do("8", lambda: until(lambda: x.ready) and [x.error, x.value])
    y = aint("this is not a valid number")
    do("error", lambda: until(lambda: y.ready) and y.error)
    do("raised", lambda: y.value)
    do("as printed", lambda: _text(y))


def _state(result):
    return re.sub(r" at 0x[0-9a-fA-F]+", "", repr(result))


def _text(result):
    try:
        return str(result.value)
    except ValueError as exc:
        text = str(exc)
        wanted = ("invalid literal for int()", "========= Remote Traceback (1) =========")
        return [part in text for part in wanted]
