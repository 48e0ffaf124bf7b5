"""Classic mode by RPyC's names, and functions as bytecode."""

from __future__ import annotations

import io
import os
import subprocess
import sys

import pytest

from nbrpc.compat.table import module_for
from tests.compat.support import environment

rpyc = module_for("rpyc")
classic = rpyc.classic
teleportation = module_for("rpyc.utils.teleportation")


@pytest.fixture
def conn():
    """A classic connection within this process."""
    with classic.connect_thread() as connection:
        yield connection


def calculate(first, second=2, *rest, third=3, **named):
    """Use all kinds of arguments, an inner function and a comprehension."""

    def inner(value):
        return value + 1

    total = sum([inner(value) for value in (first, second, third, *rest)])
    return total, sorted(named), factor  # noqa: F821 - a global of the other side


def test_using_a_peer(conn):
    """Modules, builtins, expressions, statements and the namespace."""
    assert conn.modules.os.getpid() == os.getpid()
    # the same function on both sides
    assert conn.modules["os.path"].join("a", "b") == os.path.join("a", "b")  # noqa: PTH118
    assert "no_such_module" not in conn.modules
    assert conn.builtins.len([1, 2]) == 2
    assert conn.builtin is conn.builtins
    conn.execute("x = 6")
    assert conn.eval("x * 7") == 42
    conn.namespace["y"] = 5
    assert conn.eval("y") == 5
    assert conn.root.eval("x") == 6
    conn.root.execute("x = 8")
    assert conn.eval("x") == 8
    assert conn.root.getmodule("math").sqrt(9) == 3


def test_both_sides_may_run_code(conn):
    """As in RPyC, a classic connection is one of trust on both sides."""
    stream = io.StringIO()
    conn.modules.builtins.print("to a stream of the client", file=stream)
    assert stream.getvalue() == "to a stream of the client\n"


def test_values(conn):
    """Values are copied here, and there."""
    remote = conn.eval("{'a': [1, 2]}")
    assert classic.obtain(remote) == {"a": [1, 2]}
    delivered = classic.deliver(conn, [1, 2, 3])
    assert isinstance(delivered, rpyc.BaseNetref)
    assert list(delivered) == [1, 2, 3]


def test_files(conn, tmp_path):
    """Folders go there and back, with RPyC's arguments."""
    source = tmp_path / "source"
    (source / "inner").mkdir(parents=True)
    (source / "inner" / "data.bin").write_bytes(bytes(200_000))
    (source / "skipped.txt").write_text("no", encoding="utf-8")
    classic.upload(
        conn, str(source), str(tmp_path / "there"), filter=lambda name: "skip" not in name
    )
    classic.download(conn, str(tmp_path / "there"), str(tmp_path / "back"), chunk_size=16_000)
    assert (tmp_path / "back" / "inner" / "data.bin").read_bytes() == bytes(200_000)
    assert not (tmp_path / "back" / "skipped.txt").exists()
    with pytest.raises(ValueError, match="cannot upload"):
        classic.upload(conn, str(tmp_path / "nothing"), "x")
    classic.upload(conn, str(tmp_path / "nothing"), "x", None, True)


def test_output(conn, capsys):
    """What is printed there appears here."""
    with classic.redirected_stdio(conn):
        conn.execute("print('over there')")
    assert capsys.readouterr().out == "over there\n"


def test_teleporting(conn):
    """A function runs on the peer, with its globals."""
    conn.namespace["factor"] = 10
    there = classic.teleport_function(conn, calculate)
    assert list(there(1, x=1)) == [9, ["x"], 10]
    assert list(conn.teleport(calculate)(0)) == [8, [], 10]


def test_a_mock():
    """MockClassicConnection runs all of it here."""
    mock = classic.MockClassicConnection()
    mock.execute("x = 5")
    assert mock.eval("x") == mock.namespace["x"] == 5
    assert mock.modules.os is os
    assert mock.builtins.len([1]) == 1
    assert mock.teleport(calculate) is calculate
    assert classic.deliver(mock, calculate) is calculate


class TestBytecode:
    """export_function and import_function."""

    def test_there_and_back(self):
        """Code, defaults and inner functions are the same after it."""
        exported = teleportation.export_function(calculate)
        assert module_for("rpyc.core.brine").dumpable(exported)
        assert len(exported[4]) == 18
        names = {"factor": 5}
        function = teleportation.import_function(exported, names)
        assert function(1, 2, 4, z=0) == (14, ["z"], 5)
        assert names["calculate"] is function
        again = teleportation.import_function(exported, {"factor": 6}, False)
        assert again(1) == (9, [], 6)

    def test_what_cannot_go_along(self):
        """Closures, and defaults that are no plain values, are refused."""
        outside = 5

        def closing():
            return outside

        def listing(values=[]):  # noqa: B006 - what is refused
            return values

        for function in (closing, listing, len):
            with pytest.raises(TypeError):
                teleportation.export_function(function)

    def test_code_of_another_python(self):
        """It is refused with the reason."""
        name, module, defaults, named, code = teleportation.export_function(calculate)
        with pytest.raises(ValueError, match="same version of Python"):
            teleportation.import_function((name, module, defaults, named, code[:16]))

    def test_as_stock_rpyc_does(self):
        """The tuples are RPyC's own, and either side imports the other's."""
        source = (
            "import sys; sys.path.insert(0, sys.argv[1]); from rpyc.core import brine; "
            "from rpyc.utils.teleportation import *; exec(sys.argv[2]); "
            "there = brine.load(bytes.fromhex(sys.argv[3])); "
            "print(brine.dump(export_function(f)).hex()); "
            "print(import_function(there, {'g': 3})(1), import_function(there, {'g': 3})(1, b=5))"
        )
        text = "def f(a, b=2, *, c='x'):\n    return [a + b + g for _ in range(2)], c, lambda: a"
        text = text.replace(", lambda: a", "")
        scope = {"__name__": "m"}
        exec(compile(text, "<string>", "exec"), scope)
        brine = module_for("rpyc.core.brine")
        mine = brine.dump(teleportation.export_function(scope["f"]))
        done = subprocess.run(
            [sys.executable, "-c", source, "", text, mine.hex()],
            capture_output=True,
            text=True,
            check=False,
            env=environment(),
        )
        assert done.returncode == 0, done.stderr
        theirs, result = done.stdout.splitlines()
        assert result == "([6, 6], 'x') ([9, 9], 'x')"
        function = teleportation.import_function(brine.load(bytes.fromhex(theirs)), {"g": 3})
        assert function(1) == ([6, 6], "x")


def test_a_stock_client_of_a_classic_server():
    """RPyC's own classic client finds all that it asks of a classic server, without installing."""
    server = rpyc.ThreadedServer(rpyc.SlaveService, rpyc=True)
    thread = server._start_in_thread()
    program = (
        "import rpyc, sys; c = rpyc.classic.connect('127.0.0.1', int(sys.argv[1]))\n"
        "c.execute('x = 5'); print(c.eval('x'), c.namespace['x'], c.modules.os.getpid())\n"
        "def f(a, b=2, *, k=3): return a + b + k + x\n"
        "print(c.teleport(f)(1), rpyc.classic.obtain(c.eval('[1, {2: (3,)}]')))\n"
        "print(rpyc.classic.deliver(c, [7])[0], c.builtins.len([1]))\n"
        "c.close()"
    )
    done = subprocess.run(
        [sys.executable, "-c", program, str(server.port)],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
        env=environment(),
    )
    server.close()
    thread.join(5)
    assert done.stderr == ""
    assert done.stdout == f"5 5 {os.getpid()}\n11 [1, {{2: (3,)}}]\n7 1\n"
