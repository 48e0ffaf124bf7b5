"""Classic mode against a real server process: modules, values, files, streams and functions."""

from __future__ import annotations

import contextlib
import io
import json
import os
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType

import numpy as np
import pandas as pd
import pytest

import nbrpc
from nbrpc import classic
from nbrpc.objects.proxy import is_proxy
from tests.support import eventually, start_server


@pytest.fixture(scope="module")
def server(tmp_path_factory):
    """One classic server for all tests of this file."""
    runtime = tmp_path_factory.mktemp("runtime")
    runtime.chmod(0o700)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("NBRPC_RUNTIME_DIR", str(runtime))
        server = start_server(runtime / "output.txt", "--classic", "--port", "0")
    yield server
    server.stop()


@pytest.fixture
def conn(server):
    """A classic connection to it."""
    with classic.connect(server.url) as connection:
        yield connection


class Trips:
    """Counts the requests of a connection."""

    count = 0


@contextlib.contextmanager
def counted_trips(connection: nbrpc.Connection) -> Iterator[Trips]:
    """Count the requests that are sent inside."""
    trips = Trips()
    before = connection.statistics().requests_sent
    yield trips
    trips.count = connection.statistics().requests_sent - before


# ---- connecting


def test_a_server_that_allows_no_code_is_refused_with_what_to_do(served):
    """classic.connect to a plain service says to start it with --classic or --allow-code."""
    url = served("nbrpc.demo:Bench").url
    with pytest.raises(nbrpc.AccessDenied, match=r"--classic or --allow-code"):
        classic.connect(url)


def test_a_service_with_allow_code_is_as_good(served):
    """classic.connect takes a server with --allow-code, and its object is ``root``."""
    with classic.connect(served("nbrpc.demo:Bench", "--allow-code").url) as conn:
        assert conn.eval("type(root).__name__") == "Bench"


def test_modules_of_a_plain_connection_are_refused(served):
    """Using modules, eval or namespace without the right says which option gives it."""
    with nbrpc.connect(served("nbrpc.demo:Bench").url) as conn:
        for use in (
            lambda: conn.modules.os,
            lambda: conn.eval("1"),
            lambda: conn.execute("1"),
            lambda: conn.namespace,
        ):
            with pytest.raises(nbrpc.AccessDenied, match="--allow-code"):
                use()


def test_nobody_listens():
    """Without a server the error names the address."""
    with pytest.raises(nbrpc.ConnectFailed, match=r"127\.0\.0\.1:1\b"):
        classic.connect("127.0.0.1", 1)


def test_host_and_port(served):
    """Host and port are enough for a server of the same user: its connection file has the token."""
    port = int(served("--classic").url.rpartition(":")[2].partition("/")[0])
    with classic.connect("localhost", port) as conn:
        assert conn.eval("1 + 1") == 2


def test_default_port():
    """The default port is RPyC's."""
    assert classic.DEFAULT_SERVER_PORT == 18812


def test_unix_connect(served, tmp_path, monkeypatch):
    """unix_connect takes a path, also a relative one with odd characters."""
    served("--classic", "--unix", str(tmp_path / "a b%?.sock"))
    monkeypatch.chdir(tmp_path)
    with classic.unix_connect("a b%?.sock") as conn:
        assert conn.eval("6 * 7") == 42


def test_connect_thread():
    """connect_thread serves this very process, until the connection is closed."""
    with classic.connect_thread() as conn:
        assert conn.modules.os.getpid() == os.getpid()
        url = conn.url
    eventually(lambda: _refuses(url), message="the server has ended")


def _refuses(url: str) -> bool:
    try:
        nbrpc.connect(url, token="any").close()
    except nbrpc.ConnectFailed:
        return True
    except nbrpc.NbrpcError:
        return False
    return False


# ---- modules, builtins, eval, namespace


def test_modules_run_over_there(conn, server):
    """A function of a remote module runs in the server's process."""
    assert conn.modules.os.getpid() == server.pid
    assert conn.modules.time.sleep(0) is None


def test_modules_by_name(conn):
    """Dotted modules are reached by item, by attribute and by their parts."""
    assert conn.modules["os.path"].join("a", "b") == conn.modules.os.path.join("a", "b")
    assert conn.modules["os", "path"].basename("/x/y") == "y"


def test_modules_tell_what_can_be_imported(conn):
    """``in`` asks the peer."""
    assert "numpy" in conn.modules
    assert "no_such_module_at_all" not in conn.modules
    with pytest.raises(ModuleNotFoundError, match="no_such_module_at_all"):
        assert conn.modules.no_such_module_at_all


def test_modules_answer_probes_of_ipython_without_asking(conn):
    """Display hooks do not become imports."""
    with counted_trips(conn) as trips:
        assert not hasattr(conn.modules, "_repr_html_")
        assert not hasattr(conn.modules, "_ipython_display_")
    assert trips.count == 0


def test_attributes_of_modules_can_be_set_and_deleted(conn):
    """Assignment to a remote module changes it for all of that process."""
    conn.modules.sys.nbrpc_test = 3
    assert conn.eval("__import__('sys').nbrpc_test") == 3
    del conn.modules.sys.nbrpc_test
    assert not hasattr(conn.modules.sys, "nbrpc_test")


def test_builtins(conn):
    """Remote builtins are called; ``builtin`` is RPyC's other name."""
    assert conn.builtins.int("8") == 8
    assert conn.builtin.len("abc") == 3


def test_eval_execute_and_namespace_share_names(conn):
    """What execute binds, eval and namespace see, and the other way round."""
    conn.execute("x = 41\ndef more(n):\n    return x + n")
    assert conn.eval("x + 1") == 42
    assert conn.namespace["more"](2) == 43
    conn.namespace["x"] = 1
    assert conn.eval("more(1)") == 2
    del conn.namespace["x"]
    with pytest.raises(NameError):
        conn.eval("x")


def test_namespaces_of_connections_are_apart(conn, server):
    """Each connection has a namespace of its own."""
    conn.execute("mine = 1")
    with classic.connect(server.url) as other:
        assert "mine" not in other.namespace
        assert "mine" in conn.namespace


def test_texts_of_remote_functions(conn):
    """The repr of a remote builtin, and of its async wrapper, are the tutorial's."""
    sleep = conn.modules.time.sleep
    assert repr(sleep) == "<built-in function sleep>"
    assert repr(nbrpc.async_(sleep)) == "async_(<built-in function sleep>)"
    assert sleep.__name__ == "sleep"


def test_docstrings_are_the_remote_ones(conn):
    """``__doc__`` of remote functions is theirs, whole."""
    import time

    assert conn.modules.time.sleep.__doc__ == time.sleep.__doc__
    conn.execute('def f():\n    """First.\n\n    More.\n    """')
    assert conn.namespace["f"].__doc__ == "First.\n\nMore."
    assert conn.eval("lambda: 1").__doc__ is None


def test_errors_carry_the_remote_traceback(conn):
    """A remote exception is the builtin one, with the remote frames in its text."""
    conn.execute("def broken():\n    return {}['gone']")
    with pytest.raises(KeyError) as caught:
        conn.namespace["broken"]()
    assert isinstance(caught.value, nbrpc.RemoteError)
    assert caught.value.args == ("gone",)
    assert "in broken" in caught.value.remote_traceback
    with pytest.raises(SyntaxError):
        conn.execute("x = ")


def test_missing_attributes_stay_attribute_errors(conn):
    """The functions hasattr and getattr with a default work on remote modules."""
    assert not hasattr(conn.modules.time, "no_such")
    assert getattr(conn.modules.time, "no_such", 5) == 5


def test_callbacks_run_here(conn):
    """Functions that are handed over are called back in this process and thread."""
    threads = []

    def double(n):
        threads.append(threading.current_thread())
        return 2 * n

    assert list(conn.builtins.map(double, [1, 2])) == [2, 4]
    assert conn.eval("lambda f: f(4) + 1")(double) == 9
    assert threads[-1] is threading.current_thread()
    assert list(conn.builtins.sorted([3, 1, 2], key=lambda n: -n)) == [3, 2, 1]


def test_connecting_gives_no_power_over_this_side(conn):
    """The server can neither read attributes of what it was handed, nor run code here."""

    class Secret:
        word = "x"

    with pytest.raises(nbrpc.AccessDenied):
        conn.eval("lambda o: o.word")(Secret())


# ---- values


def test_obtain_and_deliver(conn):
    """A copy here is what obtain gives, a copy there what deliver gives."""
    value = {"a": [1, 2.5, "x"], "b": (None, {3})}
    there = classic.deliver(conn, value)
    assert is_proxy(there)
    value["a"].append("later")
    assert classic.obtain(there) == {"a": [1, 2.5, "x"], "b": (None, {3})}
    assert classic.deliver(conn, there) is there
    assert classic.obtain("plain") == "plain"
    conn.namespace["there"] = there
    assert conn.eval("type(there) is dict")


def test_obtain_never_reaches_into_other_classes(conn):
    """What is no container, array or registered class is refused, with the path to it."""
    with pytest.raises(nbrpc.NotSendable, match=r"value\['x'\]\[1\]"):
        classic.obtain(conn.eval("{'x': [1, object()]}"))
    with pytest.raises(nbrpc.NotSendable):
        classic.deliver(conn, [lambda: 1])


VALUES = {
    "list": "list(range(1000))",
    "nested": "[[1, 'a'], [2, 'b']]",
    "records": "[{'a': 1, 'b': 'x'}, {'a': 2, 'b': 'y'}]",
    "dict": "{'a': [1, 2], 'b': ['x', 'y']}",
    "array": "numpy.arange(12.0).reshape(3, 4)",
    "table": "pandas.DataFrame({'a': [1, 2], 'b': ['x', 'y']})",
    "column": "pandas.DataFrame({'a': [1, 2], 'b': ['x', 'y']})['a']",
    "generator": "((n, 'x') for n in range(3))",
}


def _there_and_here(conn, source):
    conn.execute("import numpy, pandas")
    return conn.eval(source), eval(source, {"numpy": np, "pandas": pd})


@pytest.mark.parametrize("name", [name for name in VALUES if name != "column"])
def test_pandas_tables_of_proxies(conn, name):
    """pd.DataFrame of a proxy is that of the object itself."""
    there, here = _there_and_here(conn, VALUES[name])
    pd.testing.assert_frame_equal(pd.DataFrame(there), pd.DataFrame(here))


def test_a_remote_table_is_taken_over_in_one_round_trip(conn):
    """pd.DataFrame asks nothing else of one of its own."""
    there, _ = _there_and_here(conn, VALUES["table"])
    with counted_trips(conn) as trips:
        pd.DataFrame(there)
    assert trips.count == 1


def test_pandas_tables_with_columns_and_index(conn):
    """Labels given to pd.DataFrame mean with a proxy what they mean without."""
    there, here = _there_and_here(conn, "[[1, 2], [3, 4]]")
    options = {"columns": ["x", "y"], "index": [5, 6], "dtype": float}
    pd.testing.assert_frame_equal(pd.DataFrame(there, **options), pd.DataFrame(here, **options))
    there, here = _there_and_here(conn, VALUES["dict"])
    pd.testing.assert_frame_equal(
        pd.DataFrame(there, columns=["b"]), pd.DataFrame(here, columns=["b"])
    )


def test_a_remote_table_passes_for_a_table(conn):
    """What is none keeps its private names to itself, and none is made up."""
    there, _ = _there_and_here(conn, VALUES["table"])
    assert isinstance(there, pd.DataFrame)
    assert not isinstance(there, pd.Series)
    assert not hasattr(conn.eval("[1]"), "_mgr")
    conn.execute("class Device:\n    _mgr = 'its own'\n    _typ = 'its own'")
    assert conn.eval("Device()")._mgr == "its own"
    assert conn.eval("Device()")._typ == "its own"


@pytest.mark.parametrize("name", ["list", "array", "column"])
def test_arrays_and_lists_of_proxies(conn, name):
    """np.asarray and list of a proxy take at most two round trips."""
    there, here = _there_and_here(conn, VALUES[name])
    with counted_trips(conn) as trips:
        array = np.asarray(there)
    assert np.array_equal(array, np.asarray(here))
    assert trips.count <= 2
    with counted_trips(conn) as trips:
        items = list(there)
    assert len(items) == len(here)
    assert trips.count <= 2


def test_json_of_what_was_obtained(conn):
    """json.dumps(obtain(x)) takes one round trip."""
    there, here = _there_and_here(conn, VALUES["records"])
    with counted_trips(conn) as trips:
        text = json.dumps(nbrpc.obtain(there))
    assert text == json.dumps(here)
    assert trips.count == 1


def test_what_plotting_asks_of_a_proxy_is_little(conn):
    """What matplotlib asks first, index and to_numpy, costs nothing on lists and arrays."""
    for name, most in (("list", 2), ("array", 1)):
        there, here = _there_and_here(conn, VALUES[name])
        with counted_trips(conn) as trips:
            with pytest.raises(AttributeError):
                there.index.to_numpy()
            array = there.to_numpy() if hasattr(there, "to_numpy") else np.atleast_1d(there)
        assert np.array_equal(array, here)
        assert trips.count <= most


def test_arithmetic_of_remote_arrays_stays_remote(conn):
    """Operators and methods of a remote array run there; scalars come by value."""
    a = conn.modules.numpy.arange(6.0)
    assert is_proxy(a + 1)
    assert a.sum() == 15.0
    assert a.shape == (6,)
    assert a[2] == 2.0
    assert list(nbrpc.obtain(a != 2.0)) == [True, True, False, True, True, True]
    assert np.array_equal(np.asarray(np.ones(6) + a), np.arange(1.0, 7.0))


def test_remote_tables_are_worked_on_there(conn):
    """Methods of a remote DataFrame give proxies and plain numbers; obtain brings a table."""
    table, _ = _there_and_here(conn, VALUES["table"])
    assert table["a"].sum() == 3
    assert table.shape == (2, 2)
    assert "0  1  x" in repr(table.head(1))
    pd.testing.assert_frame_equal(nbrpc.obtain(table.head(1)), pd.DataFrame({"a": [1], "b": ["x"]}))


# ---- proxies behave like what they stand for


@pytest.mark.parametrize(
    ("source", "kind"),
    [("[1]", list), ("{'a': 1}", dict), ("{1}", set), ("bytearray(b'x')", bytearray)],
)
def test_isinstance_of_builtin_containers(conn, source, kind):
    """A proxy of a mutable builtin passes for one; its type is ours."""
    proxy = conn.eval(source)
    assert isinstance(proxy, kind)
    assert type(proxy) is not kind
    assert not isinstance(proxy, (int, str, bytes, tuple))


def test_isinstance_with_remote_classes(conn):
    """An isinstance with a remote class asks the peer."""
    conn.execute("class Base: pass\nclass Derived(Base): pass\nthing = Derived()")
    names = conn.namespace
    assert isinstance(names["thing"], names["Base"])
    assert not isinstance(conn.eval("object()"), names["Base"])
    assert isinstance(conn.eval("[1]"), conn.builtins.list)
    assert not isinstance(conn.eval("[1]"), conn.builtins.dict)


def test_remote_containers_compare_with_local_ones(conn):
    """A remote list equals a local list of the same items, from either side."""
    assert conn.eval("[1, [2]]") == [1, [2]]
    local = [1, [2]]
    assert local == conn.eval("[1, [2]]")
    assert conn.eval("[1]") != [2]
    assert conn.eval("{'a': 1}") == {"a": 1}
    assert conn.eval("{1, 2}") > {1}
    assert conn.eval("[1, 2]") < [1, 3]
    assert conn.eval("[1]") != [print]
    assert conn.eval("[1]") != 1


def test_remote_containers_are_used_like_local_ones(conn):
    """Length, items, membership, truth, unpacking, slices and methods."""
    numbers = conn.eval("[3, 1, 2]")
    assert len(numbers) == 3
    assert numbers[0] == 3
    assert list(numbers[1:]) == [1, 2]
    assert 2 in numbers
    assert sorted(numbers) == [1, 2, 3]
    assert (sum(numbers), max(numbers)) == (6, 3)
    first, *rest = numbers
    assert (first, rest) == (3, [1, 2])
    numbers.append(9)
    numbers[0] = 0
    del numbers[1]
    numbers += [5]
    assert numbers == [0, 2, 9, 5]
    assert not conn.eval("[]")
    with pytest.raises(AttributeError, match="no attribute 'apend'"):
        numbers.apend(1)


def test_iteration_over_remote_things(conn, tmp_path):
    """Dicts, their items, generators and files are iterated."""
    table = conn.eval("{'a': 1, 'b': 2}")
    assert list(table) == ["a", "b"]
    assert list(table.items()) == [("a", 1), ("b", 2)]
    assert dict(table) == {"a": 1, "b": 2}
    assert dict(**table) == {"a": 1, "b": 2}
    assert sum(conn.eval("(n * n for n in range(10_000))")) == sum(n * n for n in range(10_000))
    path = tmp_path / "lines.txt"
    path.write_text("one\ntwo\nthree\n", encoding="utf-8")
    with conn.builtins.open(str(path)) as file:
        assert [line.strip() for line in file] == ["one", "two", "three"]
    with pytest.raises(ValueError, match="closed file"):
        file.read()


def test_with_statements_over_remote_managers(conn):
    """A remote context manager sees the real exception and may swallow it."""
    conn.execute(
        "from contextlib import contextmanager\n"
        "seen = []\n"
        "class Manager:\n"
        "    def __init__(self, swallow): self.swallow = swallow\n"
        "    def __enter__(self): return 'inside'\n"
        "    def __exit__(self, kind, error, traceback):\n"
        "        seen.append((issubclass(kind, LookupError), error.args) if kind else None)\n"
        "        return self.swallow\n"
        "@contextmanager\n"
        "def translating():\n"
        "    try:\n"
        "        yield 1\n"
        "    except ZeroDivisionError:\n"
        "        raise RuntimeError('translated') from None\n"
    )
    names = conn.namespace
    with names["Manager"](False) as value:
        assert value == "inside"
    with names["Manager"](True):
        raise KeyError("k", 1)
    with pytest.raises(IndexError), names["Manager"](False):
        conn.eval("[]")[0]
    seen = nbrpc.obtain(names["seen"])
    assert seen[:2] == [None, (True, ("k", 1))]
    assert seen[2][0] is True
    with pytest.raises(RuntimeError, match="translated"), names["translating"]():
        raise ZeroDivisionError
    lock = conn.modules.threading.Lock()
    with lock:
        assert lock.locked()
    assert not lock.locked()


def test_asynchronous_use(conn):
    """async_ works on what classic mode reaches, and on what it gives."""
    results = [nbrpc.async_(conn.modules.time.sleep)(0.05) for _ in range(4)]
    assert [result.value for result in results] == [None] * 4
    assert nbrpc.async_(conn.builtins.sorted)([2, 1]).value == [1, 2]
    failing = nbrpc.async_(conn.builtins.int)("x")
    with pytest.raises(ValueError, match="invalid literal"):
        failing.wait() or failing.value
    assert failing.error


# ---- files

PATTERN = bytes(range(256))


@pytest.mark.parametrize("size", [0, 1, 1000, 1001, 70_000])
def test_files_travel_unchanged(conn, tmp_path, size):
    """Any bytes survive the way there and back, whatever the chunks."""
    data = (PATTERN * (size // 256 + 1))[:size]
    (tmp_path / "a").write_bytes(data)
    classic.upload(conn, tmp_path / "a", str(tmp_path / "b"), chunk_size=1000)
    classic.download(conn, str(tmp_path / "b"), str(tmp_path / "c"), chunk_size=999)
    assert (tmp_path / "b").read_bytes() == (tmp_path / "c").read_bytes() == data


def test_files_travel_in_chunks(conn, tmp_path):
    """A file is never one message: there are as many as chunks, and few more."""
    (tmp_path / "a").write_bytes(b"x" * 100_000)
    with counted_trips(conn) as trips:
        classic.upload_file(conn, tmp_path / "a", tmp_path / "b", chunk_size=1000)
    assert 100 <= trips.count < 110
    with counted_trips(conn) as trips:
        classic.download_file(conn, tmp_path / "b", tmp_path / "c", chunk_size=1000)
    assert 100 <= trips.count < 110
    assert (tmp_path / "c").stat().st_size == 100_000


def _folder(path: Path) -> Path:
    (path / "sub" / "empty").mkdir(parents=True)
    (path / "one.txt").write_text("1")
    (path / "two.bin").write_bytes(PATTERN)
    (path / "sub" / "three.txt").write_text("3")
    return path


def _contents(path: Path) -> dict[str, bytes | None]:
    return {
        str(found.relative_to(path)): None if found.is_dir() else found.read_bytes()
        for found in path.rglob("*")
    }


def test_folders_travel_whole(conn, tmp_path):
    """Folders go with all that is in them, empty ones too."""
    source = _folder(tmp_path / "source")
    classic.upload(conn, str(source), str(tmp_path / "deep" / "there"))
    classic.download(conn, str(tmp_path / "deep" / "there"), str(tmp_path / "far" / "back"))
    assert _contents(tmp_path / "deep" / "there") == _contents(source)
    assert _contents(tmp_path / "far" / "back") == _contents(source)


def test_a_filter_chooses_by_name(conn, tmp_path):
    """The filter gets bare names of files and folders."""
    source = _folder(tmp_path / "source")
    names = []

    def texts(name):
        names.append(name)
        return name.endswith(".txt") or name == "sub"

    classic.upload(conn, source, tmp_path / "there", filter=texts)
    assert sorted(_contents(tmp_path / "there")) == ["one.txt", "sub", "sub/three.txt"]
    assert set(names) == {"one.txt", "two.bin", "sub", "three.txt", "empty"}
    classic.download(conn, source, tmp_path / "back", filter=lambda name: name != "sub")
    assert sorted(_contents(tmp_path / "back")) == ["one.txt", "two.bin"]


def test_what_is_no_file(conn, tmp_path):
    """A missing path is an error by name, unless it is to be ignored; so is a bad chunk size."""
    missing = str(tmp_path / "missing")
    for move in (classic.upload, classic.download):
        with pytest.raises(ValueError, match="missing': it is no file and no folder"):
            move(conn, missing, str(tmp_path / "x"))
        move(conn, missing, str(tmp_path / "x"), ignore_invalid=True)
    assert not (tmp_path / "x").exists()
    (tmp_path / "a").touch()
    with pytest.raises(ValueError, match="chunk_size"):
        classic.upload(conn, tmp_path / "a", tmp_path / "b", chunk_size=0)
    with pytest.raises(FileNotFoundError):
        classic.upload(conn, tmp_path / "a", tmp_path / "no" / "folder")


@pytest.mark.parametrize("name", ["../evil", "..", "/tmp/evil", "a\0b", ""])
def test_a_peer_cannot_write_outside_of_the_folder(conn, tmp_path, name):
    """Names that lead out of the target folder end the download."""
    (tmp_path / "source").mkdir()
    conn.execute("import os")
    conn.execute(f"listdir, os.listdir = os.listdir, lambda path: [{name!r}]")
    try:
        with pytest.raises(ValueError, match="not the bare name"):
            classic.download(conn, tmp_path / "source", tmp_path / "target" / "deep")
    finally:
        conn.execute("os.listdir = listdir")
    assert not (tmp_path / "target" / "evil").exists()


@pytest.fixture
def importable(tmp_path, monkeypatch):
    """A package and a module that only this side can import."""
    package = tmp_path / "here" / "nbrpc_test_package"
    package.mkdir(parents=True)
    (package / "__init__.py").write_text("from .inner import answer\n")
    (package / "inner.py").write_text("def answer():\n    return 42\n")
    (tmp_path / "here" / "nbrpc_test_module.py").write_text("NAME = 'module'\n")
    monkeypatch.syspath_prepend(str(tmp_path / "here"))
    yield
    for name in [name for name in sys.modules if name.startswith("nbrpc_test_")]:
        del sys.modules[name]


@pytest.mark.usefixtures("importable")
def test_packages_and_modules_can_be_imported_after_upload(conn, tmp_path):
    """upload_package takes a package or one file to where the peer imports from."""
    import nbrpc_test_module
    import nbrpc_test_package

    site = tmp_path / "there"
    conn.modules.sys.path.insert(0, str(site))
    site.mkdir()
    classic.upload_package(conn, nbrpc_test_package, str(site / "nbrpc_test_package"))
    classic.upload_module(conn, nbrpc_test_module, str(site / "nbrpc_test_module.py"))
    assert conn.modules.nbrpc_test_package.answer() == 42
    assert conn.modules.nbrpc_test_module.NAME == "module"
    assert sorted(path.name for path in (site / "nbrpc_test_package").glob("*.py")) == [
        "__init__.py",
        "inner.py",
    ]
    conn.modules.sys.path.remove(str(site))


@pytest.mark.usefixtures("importable")
def test_packages_go_to_site_packages_by_default(conn, tmp_path):
    """Without a path the peer's site-packages is the place."""
    import nbrpc_test_module

    conn.execute("import sysconfig; get_path = sysconfig.get_path")
    conn.namespace["site"] = str(tmp_path)
    conn.execute("sysconfig.get_path = lambda name: site if name == 'purelib' else get_path(name)")
    try:
        classic.upload_module(conn, nbrpc_test_module)
    finally:
        conn.execute("sysconfig.get_path = get_path")
    assert (tmp_path / "nbrpc_test_module.py").read_text() == "NAME = 'module'\n"


def test_what_has_no_source_is_no_package(conn):
    """Builtin modules, and what is no module, are refused with a sentence."""
    with pytest.raises(TypeError, match="no Python file"):
        classic.upload_package(conn, sys)
    with pytest.raises(TypeError, match="no Python file"):
        classic.upload_package(conn, ModuleType("made_up"))
    with pytest.raises(TypeError, match="imported module"):
        classic.upload_package(conn, "name")


# ---- streams, console, debugger


def test_remote_prints_appear_here_live(conn):
    """Inside redirected_stdio each printed line is here before the call returns."""
    out, err = io.StringIO(), io.StringIO()
    seen = []
    with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
        with classic.redirected_stdio(conn):
            look = lambda: seen.append(out.getvalue())  # noqa: E731 - a callback
            conn.eval("lambda look: (print('one'), look(), print('two'))")(look)
            conn.builtins.print("a", "b")
            conn.execute("import sys; print('oops', file=sys.stderr); print('rest', end='')")
        conn.builtins.print("not here")
    assert seen == ["one\n"]
    assert out.getvalue() == "one\ntwo\na b\nrest"
    assert err.getvalue() == "oops\n"


def test_streams_are_restored_after_an_error(conn, server):
    """Whatever happens inside, the server has its own streams again."""
    before = conn.eval("id(__import__('sys').stdout)")
    with pytest.raises(ZeroDivisionError), classic.redirected_stdio(conn):
        conn.eval("1 / 0")
    assert conn.eval("id(__import__('sys').stdout)") == before


def test_other_clients_keep_their_streams(conn, server):
    """A redirection takes what its own connection prints, and nothing else."""
    out = io.StringIO()
    with (
        classic.connect(server.url) as other,
        contextlib.redirect_stdout(out),
        classic.redirected_stdio(conn),
    ):
        other.execute("print('of another client', flush=True)")
        with classic.redirected_stdio(other):
            other.builtins.print("nested")
            conn.builtins.print("below")
        conn.builtins.print("last")
    assert out.getvalue() == "nested\nbelow\nlast\n"
    eventually(lambda: "of another client" in server.printed)


def test_redirections_that_cross(conn, server):
    """Two clients may begin and end their redirections in any order."""
    with classic.connect(server.url) as other:
        first, second = classic.redirected_stdio(conn), classic.redirected_stdio(other)
        out = io.StringIO()
        with contextlib.redirect_stdout(out):
            first.__enter__()
            second.__enter__()
            first.__exit__(None, None, None)
            other.builtins.print("second")
            conn.execute("print('first is back', flush=True)")
            second.__exit__(None, None, None)
    assert out.getvalue() == "second\n"
    eventually(lambda: "first is back" in server.printed)


def test_a_lost_client_does_not_take_the_streams_along(server):
    """When a connection dies inside redirected_stdio the server prints as before."""
    with classic.connect(server.url) as conn, classic.redirected_stdio(conn):
        conn.close()
    with classic.connect(server.url) as conn:
        conn.execute("print('still printing', flush=True)")
    eventually(lambda: "still printing" in server.printed)


def test_input_reads_here(conn, monkeypatch):
    """input() over there asks this side."""
    monkeypatch.setattr(sys, "stdin", io.StringIO("an answer\n"))
    out = io.StringIO()
    with contextlib.redirect_stdout(out), classic.redirected_stdio(conn):
        assert conn.builtins.input("question? ") == "an answer"
        with pytest.raises(EOFError):
            conn.builtins.input()
    assert out.getvalue() == "question? "


def _typed(monkeypatch, *lines: str) -> io.StringIO:
    monkeypatch.setattr(sys, "stdin", io.StringIO("".join(f"{line}\n" for line in lines)))
    out = io.StringIO()
    monkeypatch.setattr(sys, "stdout", out)
    monkeypatch.setattr(sys, "stderr", out)
    return out


def test_interact_is_a_console_over_there(conn, server, monkeypatch):
    """With interact one runs lines in the connection's namespace until exit()."""
    out = _typed(
        monkeypatch, "import os", "os.getpid(), given", "made = 5", "1 / 0", "exit()", "made = 6"
    )
    classic.interact(conn, {"given": "g"})
    assert f"({server.pid}, 'g')" in out.getvalue()
    assert "ZeroDivisionError" in out.getvalue()
    assert conn.namespace["made"] == 5


def test_interact_ends_with_the_input(conn, monkeypatch):
    """End of input leaves the console, and the streams of the server are its own again."""
    before = conn.eval("id(__import__('sys').stdout)")
    out = _typed(monkeypatch, "6 * 7")
    classic.interact(conn)
    assert "42" in out.getvalue()
    assert conn.eval("id(__import__('sys').stdout)") == before


def test_pm_debugs_the_last_failure_where_it_happened(conn, monkeypatch):
    """With pm one sees the frames of the remote failure, with their variables."""
    conn.execute("def broken(depth):\n    secret = depth * 10\n    raise ValueError('broken')")
    with pytest.raises(ValueError, match="broken"):
        conn.namespace["broken"](3)
    out = _typed(monkeypatch, "p secret", "p depth + 1", "quit")
    classic.pm(conn)
    assert "(Pdb) 30" in out.getvalue()
    assert "(Pdb) 4" in out.getvalue()


def test_pm_without_a_failure(conn):
    """Nothing to debug is said so."""
    with pytest.raises(ValueError, match="has failed"):
        classic.pm(conn)


# ---- functions


def whereabouts(prefix, *rest, suffix="!"):
    """Tell the process."""
    import os

    return f"{prefix}{os.getpid()}{suffix}", rest


def uses_globals():
    """Use a global name of the other side."""
    return there_only + 1  # noqa: F821 - that is the test


async def later(n: no_such_name = 1):  # noqa: F821 - annotations stay texts
    """Be a coroutine."""
    return n + 1


def counted(limit=3):
    """Be a generator."""
    yield from range(limit)


def local_decorator(function):
    """Do nothing to a function, by a name that the other side does not know."""
    return function


@local_decorator
@local_decorator
def decorated(n):
    """Be decorated."""
    raise RuntimeError(f"at {n}")  # the line that fails


def test_functions_are_teleported(conn, server):
    """A function runs over there, with its defaults, under its name in the namespace."""
    there = classic.teleport_function(conn, whereabouts)
    assert there("pid ", 1, 2) == (f"pid {server.pid}!", (1, 2))
    assert there("", suffix="?") == (f"{server.pid}?", ())
    assert conn.eval("whereabouts('x')[0]").startswith("x")
    assert there.__doc__ == whereabouts.__doc__


def test_teleported_functions_see_the_names_over_there(conn):
    """Globals are those of the connection's namespace, or those that are given."""
    there = classic.teleport_function(conn, uses_globals)
    with pytest.raises(NameError):
        there()
    conn.namespace["there_only"] = 1
    assert there() == 2
    given = classic.teleport_function(conn, uses_globals, {"there_only": 10}, def_=False)
    assert given() == 11
    assert there() == 2
    scope = conn.eval("{'there_only': 20}")
    assert classic.teleport_function(conn, uses_globals, scope)() == 21
    assert "uses_globals" in scope


def test_def_false_leaves_the_namespace_alone(conn):
    """With def_=False nothing is bound."""
    classic.teleport_function(conn, counted, def_=False)
    assert "counted" not in conn.namespace


def test_coroutines_generators_and_lambdas_are_teleported(conn):
    """Every kind of function goes."""
    assert classic.teleport_function(conn, later)() == 2
    assert list(classic.teleport_function(conn, counted)()) == [0, 1, 2]
    double = lambda n=4: (  # noqa: E731 - a lambda is what is tested
        2 * n
    )
    assert classic.teleport_function(conn, double)() == 8

    def nested(n, *, plus=({"a": 1},)):
        text = """lines without
indentation"""
        return n, plus, text

    there = classic.teleport_function(conn, nested)
    assert there(1) == (1, ({"a": 1},), "lines without\nindentation")


def test_decorators_stay_behind_and_lines_stay_true(conn):
    """What failed over there is shown by its line and text here."""
    with pytest.raises(RuntimeError) as caught:
        classic.teleport_function(conn, decorated)(7)
    text = caught.value.remote_traceback
    line = decorated.__code__.co_firstlineno + 4
    assert f"line {line}, in decorated" in text
    assert "# the line that fails" in text


def test_what_cannot_be_teleported(conn):
    """Closures, builtins, methods and functions without source are refused by a sentence each."""
    outer = 1

    def closure():
        return outer

    with pytest.raises(TypeError, match=r"has a closure, .* uses outer"):
        classic.teleport_function(conn, closure)
    with pytest.raises(TypeError, match="written in Python"):
        classic.teleport_function(conn, len)
    with pytest.raises(TypeError, match="__func__"):
        classic.teleport_function(conn, conn.close)
    names: dict[str, object] = {}
    exec("def made():\n    return 1", names)
    with pytest.raises(OSError, match="source of made cannot be found"):
        classic.teleport_function(conn, names["made"])
    pair = (lambda: 1, lambda: 2)
    with pytest.raises(OSError, match="several lambdas"):
        classic.teleport_function(conn, pair[0])


def test_defaults_that_cannot_be_copied(conn):
    """A default that cannot travel by value is named."""

    def given(what=print):
        return what

    with pytest.raises(nbrpc.NotSendable, match=r"value\[0\]"):
        classic.teleport_function(conn, given)
