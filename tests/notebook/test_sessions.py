"""Named sessions from notebooks: kernels restart, links break, and the work is still there."""

from __future__ import annotations

import re

import pytest

from tests.faults import FaultProxy
from tests.notebook.kernels import Kernel
from tests.support import eventually

pytestmark = pytest.mark.kernel

SLOW = (
    "%%remote {}\nimport os, time\nfor n in range(1000):\n    print('step', n, flush=True)\n"
    "    if os.path.exists({!r}): break\n    time.sleep(0.02)\nlast = n"  # the pace of its lines
)


@pytest.fixture
def kernels(kernel, tmp_path, module_runtime_dir):
    """Start kernels, one after the other, as a restart does.

    The module's own kernel comes first: the loop of this process's clients of kernels is its.
    """
    started = []

    def start(**environment):
        if started:
            started[-1].stop()
        folder = tmp_path / f"kernel{len(started)}"
        folder.mkdir()
        kernel = Kernel(folder, {"NBRPC_RUNTIME_DIR": str(module_runtime_dir), **environment})
        started.append(kernel)
        kernel.ok("%load_ext nbrpc")
        return kernel

    yield start
    started[-1].stop()


def test_kernel_restart(kernels, bench, tmp_path):
    """A cell runs on while the kernel restarts; the next kernel shows it live, and its end."""
    gate = tmp_path / "gate"
    kernel = kernels()
    said = kernel.ok("%rpc_connect bench --session restart").text()
    assert said == "session restart: a new one; it outlives this connection and this kernel\n"
    assert "session" in kernel.ok("conn").of("execute_result")[0]["data"]["text/html"]
    kernel.ok("%%remote\nkept = [1, 2, 3]")
    kernel.ok(SLOW.format("-a", str(gate)))
    kernel = kernels()
    cell = kernel.ok("%rpc_connect bench --session restart")
    assert re.search(r"session restart, since .*, \d variables, 1 results", cell.text())
    live = cell.shown[-1]
    assert "application/vnd.jupyter.widget-view+json" in live
    assert kernel.ok("%remote kept").value == "[1, 2, 3]"
    listed = kernel.ok("%rpc_sessions").shown[0]
    assert "nbrpc-sessions" in listed["text/html"]
    assert re.search(r"restart \(conn\)  bench  .*import os, time \(for", listed["text/plain"])
    gate.touch()
    kernel.ok("%rpc_wait")
    kernel.read_until(lambda: 'data-state="ready"' in str(kernel.displays))
    assert "nbrpc-output" in str(kernel.displays)
    assert kernel.ok("%remote last").value.isdigit()
    board = kernel.ok("%rpc_sessions results").shown[0]
    assert "ResultBoard: 2" in board["text/plain"]
    assert kernel.ok("%rpc_sessions restart").text() == "session restart has begun anew\n"
    assert "NameError" in kernel.run("%remote kept").traceback
    assert kernel.ok("%rpc_sessions end").text() == "session restart is ended\n"
    said = kernel.run("%%remote\n1").traceback
    assert "session restart was ended: connect again, with or without a session" in said
    assert "no sessions" in kernel.ok("%rpc_sessions").shown[0]["text/plain"]


def test_name_of_the_notebook(kernels, bench):
    """`--session` alone takes the notebook's name where Jupyter or VS Code tells it."""
    kernel = kernels(JPY_SESSION_NAME="/home/ada/work/night run.ipynb")
    assert "session night run: a new one" in kernel.ok("%rpc_connect bench --session").text()
    kernel.ok("%remote 1")
    kernel.ok("__vsc_ipynb_file__ = '/home/ada/code.ipynb'")
    assert "session code: a new one" in kernel.ok("%rpc_connect bench --session").text()
    said = kernel.ok("%rpc_sessions attach 'night run'").text()
    assert said.startswith("session night run, since")
    kernel.ok("%rpc_sessions end\n%rpc_sessions end code")
    kernel = kernels(JPY_SESSION_NAME="")
    told = kernel.run("%rpc_connect bench --session").text("stderr")
    assert "name the session, as in --session NAME" in told


def test_cut_link_in_a_cell(kernels, bench, tmp_path):
    """The link breaks under a running cell: it says so, goes on, and shows every line once."""
    gate = tmp_path / "gate"
    port, token = bench.url.split(":")[2].split("/")[0], bench.url.split("token=")[1]
    with FaultProxy(int(port)) as proxy:
        kernel = kernels()
        kernel.ok(f"%rpc_connect {proxy.url} --token {token} --session cut")
        cell = kernel.start(SLOW.format("-o last", str(gate)))
        kernel.read_until(lambda: "step 10\n" in cell.text())
        proxy.refuse()
        proxy.cut()
        kernel.read_until(lambda: "the connection is lost; the cell runs on" in cell.text("stderr"))
        seen = cell.text().count("\n")
        proxy.pass_through()
        kernel.read_until(lambda: cell.text().count("\n") > seen)
        gate.touch()
        kernel.read_until(lambda: cell.idle)
        steps = cell.text().split("\n")[:-1]
        assert steps == [f"step {n}" for n in range(len(steps))]
        assert kernel.ok("last").value == str(len(steps) - 1)
        assert cell.text("stderr").count("lost") == 1
        kernel.ok("%rpc_sessions end")


def test_stop_in_a_session(kernels, bench):
    """Stop ends the remote cell, and the session goes on."""
    kernel = kernels()
    kernel.ok("%rpc_connect bench --session stop")
    cell = kernel.start(
        "%%remote\nimport time\nprint('begun', flush=True)\ntime.sleep(600)"
    )  # till Stop
    kernel.read_until(lambda: "begun" in cell.text())
    kernel.manager.interrupt_kernel()
    kernel.read_until(lambda: cell.idle)
    assert "KeyboardInterrupt" in str(cell.outputs[-1])
    eventually(lambda: kernel.ok("conn.sessions.information().running").value == "''")
    kernel.ok("%rpc_sessions end")


@pytest.mark.parametrize(
    ("source", "said"),
    [
        ("%rpc_sessions nosuch", "knows no nosuch: it is attach, restart, end or results"),
        ("%rpc_sessions attach", "needs the name of a session"),
        ("%rpc_sessions restart nosuch", "there is no session 'nosuch' on this server"),
        ("%rpc_sessions restart", "attached to no session: give the name of one"),
        ("%rpc_sessions results other", "attach to other first"),
        ("%rpc_sessions -t nosuch", "no connection is called nosuch"),
    ],
)
def test_mistakes(connected, source, said):
    """Each is told in one sentence."""
    cell = connected.run(source)
    assert cell.reply["status"] == "error"
    told = cell.text("stderr") or cell.traceback
    assert said in told
    assert len(told.strip().splitlines()) == 1
