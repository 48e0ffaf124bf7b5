"""``%rpc_serve``: one notebook serves an object, another uses it."""

from __future__ import annotations

import os
import re
import threading

import pytest

import nbrpc
from tests.notebook.kernels import Kernel

pytestmark = pytest.mark.kernel

STAGE = '''
import asyncio, threading, time
import nbrpc
from IPython.display import display

class Stage:
    """Moves a sample."""
    moved = nbrpc.event()

    def __init__(self):
        self.axes = ["x", "y"]
        self._secret = 1

    def add(self, one, other):
        print("added on", threading.current_thread().name)
        return one + other

    def fail(self):
        raise ValueError("it is stuck")

    def path(self):
        yield threading.current_thread().name
        yield "end"

    async def move(self, to):
        """Move there."""
        await asyncio.sleep(0.01)
        print("moved on", threading.current_thread().name)
        self.moved.emit(to)
        return to

    async def steps(self):
        yield 1
        await asyncio.sleep(0.01)
        yield 2

    @property
    def place(self):
        print("read on", threading.current_thread().name)
        return 2.5

stage = Stage()
'''

SAME = "# one and the same cell of the notebook, edited and run again\n"
"""A cell that begins so is the same to the kernel, whatever comes next."""


@pytest.fixture(scope="module")
def other(tmp_path_factory, module_runtime_dir, bench):
    """The kernel of another notebook of the same user."""
    kernel = Kernel(
        tmp_path_factory.mktemp("other"), {"NBRPC_RUNTIME_DIR": str(module_runtime_dir)}
    )
    kernel.ok("import asyncio, nbrpc\n%load_ext nbrpc")
    yield kernel
    kernel.stop()


@pytest.fixture(scope="module")
def server(loaded):
    """The kernel that serves."""
    loaded.ok(STAGE)
    return loaded


@pytest.fixture
def served(server, other):
    """The cell of one notebook that serves, and the other notebook, connected to it."""
    cell = server.ok("%rpc_serve stage")
    other.ok("%rpc_connect stage\nstage = conn.root")
    yield cell
    other.run("%rpc_disconnect")
    server.run("%rpc_serve --stop")


def test_calls(served, server, other):
    """Methods, data, generators, coroutines and getters work, all on the serving main thread."""
    assert re.search(
        r"serving stage at nbrpc://127\.0\.0\.1:\d+\n.*%rpc_connect stage\n", served.text()
    )
    assert "token" not in served.text()
    assert other.ok("stage.add(1, 2), list(stage.axes)").value == "(3, ['x', 'y'])"
    assert other.ok("list(stage.path())").value == "['MainThread', 'end']"
    assert other.ok("stage.move(4), await nbrpc.async_(stage.move)(5)").value == "(4, 5)"
    assert other.ok("[step async for step in stage.steps()]").value == "[1, 2]"
    seen = other.ok(
        "sub = nbrpc.watch(stage, 'place', every=0.05).subscribe(lambda place: print('at', place))"
    )
    other.read_until(lambda: "at 2.5" in seen.text())
    other.ok("sub.close()")
    server.read_until(lambda: "read on" in served.text() and served.text().count("moved") == 2)
    lines = served.text().splitlines()[2:]
    assert set(lines) == {f"{what} on MainThread" for what in ("added", "moved", "read")}


def test_errors_and_what_is_hidden(served, other):
    """An exception comes with its traceback; names with an underscore are out of reach."""
    failed = other.run("stage.fail()")
    assert failed.reply["ename"] == "ValueError"
    assert 'raise ValueError("it is stuck")' in failed.traceback
    assert "not exposed" in other.run("stage._secret").reply["evalue"]
    assert other.run("stage.axes = []").reply["status"] == "error"
    assert other.run("%remote 1 + 1").reply["ename"] == "UsageError"


def test_events(served, server, other):
    """An event of the served object reaches the cell of the other notebook that subscribed."""
    cell = other.ok("sub = stage.moved.subscribe(lambda to: print('arrived at', to))")
    server.ok("stage.moved.emit(7)")
    other.read_until(lambda: "arrived at 7" in cell.text())
    other.ok("sub.close()")


def test_while_the_kernel_computes(served, server, other):
    """A caller waits while a cell computes, its deadline frees it, and so does Stop."""
    computing = server.start("print('begun', flush=True)\ntime.sleep(4)\nprint('over')")
    server.read_until(lambda: "begun" in computing.text())
    cell = other.run("nbrpc.timed(stage.add, 0.2)(1, 1).value")
    assert cell.reply["ename"] == "CallTimeout"
    calling = other.start("print('calling', flush=True)\nstage.add(1, 1)")
    other.read_until(lambda: "calling" in calling.text())
    other.interrupt()
    other.finish(calling)
    assert calling.reply["status"] == "error"
    assert not computing.idle
    server.finish(computing)
    assert other.ok("stage.add(2, 2)").value == "4"


@pytest.mark.parametrize("waiting", ["dev.scan(600)", "await nbrpc.async_(dev.scan)(600)"])
def test_while_a_cell_waits(served, server, other, waiting):
    """Calls are served while a cell of the serving notebook waits for a remote, or awaits it."""
    server.ok("%rpc_connect bench\ndev = conn.root")
    cell = server.start(f"print('begun', flush=True)\n{waiting}")
    server.read_until(lambda: "begun" in cell.text())
    assert other.ok("stage.add(3, 3), stage.move(6)").value == "(6, 6)"
    server.read(0)
    assert not cell.idle
    server.interrupt()
    server.finish(cell)
    server.ok("%rpc_disconnect")


def test_calling_each_other(served, server, other):
    """A served method that was called calls back into the caller, and is called back by it."""
    server.ok("Stage.ask = lambda self, question: question(lambda: 'nested')")
    assert other.ok("stage.ask(lambda answer: answer() + ' twice')").value == "'nested twice'"


def test_serving_again_replaces(served, server, other):
    """The same name, or the same cell with another name, ends what was served before."""
    server.ok("%rpc_serve stage")
    assert other.run("stage.add(1, 1)").reply["ename"] == "ConnectionLost"
    server.ok(SAME + "%rpc_serve stage --name one\n%rpc_serve stage --name two")
    assert server.ok("%rpc_serve").text().count("<Server") == 3
    server.ok(SAME + "%rpc_serve stage --name three")
    listed = server.ok("%rpc_serve").text()
    assert re.findall(r"<Server (\w+)", listed) == ["stage", "three"]
    other.ok("%rpc_connect three\nstage = conn.root")
    assert other.ok("stage.add(1, 1)").value == "2"


def test_an_object_of_any_kind(server, other):
    """A service, a class, a function and a module can be served; a class is made an object."""
    server.ok(
        "import statistics\n"
        "class Files(nbrpc.Service):\n"
        "    hidden = 1\n"
        "    @nbrpc.exposed\n"
        "    def size(self): return 5\n"
        "def double(number): return 2 * number"
    )
    server.ok("%rpc_serve Files --name files\n%rpc_serve double\n%rpc_serve statistics")
    other.ok("%rpc_connect files")
    assert other.ok("conn.root.size()").value == "5"
    assert "not exposed" in other.run("conn.root.hidden").reply["evalue"]
    other.ok("%rpc_connect double")
    assert other.ok("conn.root(4)").value == "8"
    other.ok("%rpc_connect statistics")
    assert other.ok("conn.root.mean((1, 2, 3))").value == "2"
    assert other.run("conn.root.sys").reply["status"] == "error"
    stopped = server.ok("%rpc_serve --stop double").text()
    assert stopped.startswith("stopped double (nbrpc://")
    server.ok("%rpc_serve --stop")
    assert server.ok("%rpc_serve").text() == "nothing is served\n"
    assert other.run("%rpc_connect files").reply["ename"] == "ConnectFailed"


@pytest.mark.parametrize(
    ("source", "said"),
    [
        ("%rpc_serve 5", "5 is a mere value (int)"),
        ("%rpc_serve nosuch", "name 'nosuch' is not defined"),
        ("%rpc_serve stage.nosuch", "AttributeError"),
        ("%rpc_serve stage --name a:1", "'a:1' is no name for a server"),
        ("%rpc_serve stage --name 5", "'5' is no name for a server"),
        ("%rpc_serve stage --port 99999", "a port is a number from 1 to 65535"),
        ("%rpc_serve stage --port much", "invalid int value"),
        ("%rpc_serve stage --nope", "%rpc_serve --help shows what there is"),
        ("%rpc_serve --stop", "nothing is served"),
        ("%rpc_serve conn", "conn is a connection"),
    ],
)
def test_mistakes(server, source, said):
    """Each is told in one line."""
    server.ok("%rpc_connect bench\n%rpc_serve --help")
    server.run("%rpc_serve --stop")
    cell = server.run(source)
    assert cell.reply["ename"] == "UsageError"
    assert said in cell.text("stderr")
    assert len(cell.text("stderr").strip().splitlines()) == 1


def test_what_is_taken(server, bench):
    """A port in use, a name that exists elsewhere and a remote object are told, not taken."""
    port = re.search(r":(\d+)", bench.url)[1]
    assert f"cannot listen on port {port}" in server.run(f"%rpc_serve stage --port {port}").text(
        "stderr"
    )
    server.ok("%rpc_connect bench\ndev = conn.root")
    assert "is remote already" in server.run("%rpc_serve dev").text("stderr")
    assert (
        "another server of yours is called bench"
        in server.ok("%rpc_serve stage --name bench").text()
    )
    server.ok("%rpc_serve --stop bench")
    again = "%rpc_serve stage --name fixed --port "
    url = server.ok(again + "0").text().split()[3]
    free = url.rpartition(":")[2]
    server.ok(again + free)
    assert server.ok(again + free).text().split()[3] == url
    server.ok("%rpc_serve --stop fixed")


def test_unloading_ends_it(server, other):
    """What is served ends with the extension."""
    server.ok("%rpc_serve stage")
    other.ok("%rpc_connect stage")
    server.ok("%reload_ext nbrpc")
    other.read_until(lambda: "reconnecting" in other.ok("conn.state").value)
    assert server.ok("%rpc_serve").text() == "nothing is served\n"


@pytest.fixture(scope="module")
def capturing(tmp_path_factory, module_runtime_dir):
    """A kernel that shows what child processes print."""
    with pytest.MonkeyPatch.context() as patch:
        patch.delenv("PYTEST_CURRENT_TEST")  # with it a kernel leaves its descriptors alone
        kernel = Kernel(
            tmp_path_factory.mktemp("capturing"), {"NBRPC_RUNTIME_DIR": str(module_runtime_dir)}
        )
    kernel.ok("import nbrpc, os\n%load_ext nbrpc")
    yield kernel
    kernel.stop()


@pytest.mark.skipif(os.name != "posix", reason="there are no pipes to wait for")
def test_output_of_children_goes_where_their_cell_came_from(
    capturing, module_runtime_dir, monkeypatch
):
    """A cell that somebody else runs here shows its own; this notebook goes on showing its own."""
    monkeypatch.setenv("NBRPC_RUNTIME_DIR", str(module_runtime_dir))
    served = capturing.ok("%rpc_serve nbrpc.ClassicService() --name code")
    url = re.search(r"nbrpc://127\.0\.0\.1:\d+", served.text())[0]
    ran = []

    def run():
        with nbrpc.connect(url) as conn:
            result = conn.run_cell("import os\n_ = os.system('echo theirs')\nprint('too')")
            result.result(30)
            ran.append("".join(content for _, content in result.outputs))

    for _ in range(3):
        thread = threading.Thread(target=run)
        thread.start()
        capturing.read_until(lambda thread=thread: not thread.is_alive())
        own = capturing.ok("_ = os.system('echo own')")
        capturing.read_until(lambda own=own: own.text() == "own\n")
    assert ran == ["theirs\ntoo\n"] * 3
