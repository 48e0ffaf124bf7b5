"""What matters most, in kernels of the ipykernels that are still in use."""

from __future__ import annotations

import os
import subprocess
import sys
import time

import pytest

from tests.notebook.kernels import ANSI, ROOT, Kernel

pytestmark = pytest.mark.kernel

VERSIONS = ["6.31.0", "7.3.0"]


@pytest.fixture(scope="module", params=VERSIONS)
def old(request, tmp_path_factory, module_runtime_dir, bench):
    """A kernel of an older ipykernel, put before the installed one; connected to the bench."""
    folder = tmp_path_factory.mktemp(f"ipykernel-{request.param}")
    command = [
        *(sys.executable, "-m", "pip", "install", "-q", "--disable-pip-version-check"),
        *("--no-deps", "--target", str(folder / "packages"), f"ipykernel=={request.param}"),
    ]
    installing = subprocess.run(command, capture_output=True, text=True, timeout=100, check=False)
    assert installing.returncode == 0, installing.stderr
    path = os.pathsep.join([str(folder / "packages"), str(ROOT)])
    kernel = Kernel(folder, {"NBRPC_RUNTIME_DIR": str(module_runtime_dir), "PYTHONPATH": path})
    try:
        version = kernel.ok("import asyncio, time, ipykernel\nipykernel.__version__").value
        assert version == repr(request.param)
        kernel.ok("%load_ext nbrpc")
        kernel.ok("%rpc_connect bench")
        kernel.ok("dev = conn.root")
        yield kernel
    finally:
        kernel.stop()


def test_a_remote_cell(old):
    """Its output comes while it runs, the loop goes on, and Stop ends it within a second."""
    cell = old.start(
        "%%remote\nimport time\nfor i in range(600):\n    print('step', i, flush=True)\n"
        "    time.sleep(0.1)"
    )
    old.read_until(lambda: "step 3" in cell.text())
    begun = time.monotonic()
    old.interrupt()
    old.finish(cell)
    assert time.monotonic() - begun < 5
    assert cell.reply["ename"] == "KeyboardInterrupt"
    assert old.ok("%remote 1 + 1").value == "2"
    other = old.ok("'quiet'")
    old.settle()
    assert other.text() == ""
    cell = old.start("print('waits', flush=True)\nawait asyncio.sleep(60)")
    old.read_until(lambda: "waits" in cell.text())
    old.interrupt()
    old.finish(cell)
    assert cell.reply["ename"] == "KeyboardInterrupt"


def test_what_callbacks_show(old):
    """What a callback prints, displays and raises belongs to the cell that subscribed."""
    cell = old.ok(
        "from IPython.display import display\n"
        "def show(when, value):\n"
        "    print('printed')\n"
        "    display('displayed')\n"
        "    raise ValueError('raised')\n"
        "sub = dev.reading.subscribe(show)"
    )

    def complete():
        return "printed" in cell.text() and cell.of("display_data") and cell.of("error")

    old.read_until(complete)
    awaiting = old.ok("await asyncio.sleep(0.3)")
    blocking = old.ok("dev.scan(5)")
    old.ok("sub.close()")
    old.settle()
    for other in (awaiting, blocking):
        assert other.text() == ""
        assert other.of("error") == []
        assert not any("displayed" in str(shown) for shown in other.of("display_data"))
    assert cell.of("error")[0]["evalue"] == "raised"
    assert "ValueError: raised" in ANSI.sub("", "\n".join(cell.of("error")[0]["traceback"]))


def test_a_result_that_ends_later(old):
    """Its display says so although no cell runs, or another one blocks."""
    for meanwhile in ("1", "time.sleep(1)"):
        cell = old.ok("job = nbrpc.async_(dev.scan)(60); job")
        (shown,) = cell.of("display_data")
        identity = shown["transient"]["display_id"]
        old.ok(meanwhile)
        old.read_until(
            lambda identity=identity: 'data-state="ready"' in str(old.displays[identity])
        )


@pytest.mark.parametrize(
    "source", ["await job", "await asyncio.sleep(60)", "job.wait()", "dev.scan(10_000)"]
)
def test_stop(old, source):
    """Stop ends a cell that awaits, or waits."""
    old.ok("job = nbrpc.async_(dev.scan)(10_000)")
    cell = old.start(f"print('begun', flush=True)\n{source}\nprint('not reached')")
    old.read_until(lambda: "begun" in cell.text())
    begun = time.monotonic()
    old.interrupt()
    old.finish(cell)
    assert time.monotonic() - begun < 5
    assert cell.reply["status"] == "error"
    assert "not reached" not in cell.text()
    old.ok("job.cancel()")
    assert old.ok("%remote 2 + 2").value == "4"


def test_serving(old, kernel):
    """Another kernel calls what this one serves, a coroutine too."""
    old.ok(
        "class Stage:\n"
        "    def where(self): return 7\n"
        "    async def move(self, to):\n"
        "        await asyncio.sleep(0.01)\n"
        "        print('moved')\n"
        "        return to"
    )
    name = f"stage-{old.manager.kernel_id}"
    cell = old.ok(f"%rpc_serve Stage() --name {name}")
    kernel.ok(f"%load_ext nbrpc\n%rpc_connect {name} --name stage")
    assert kernel.ok("stage.root.where(), stage.root.move(3)").value == "(7, 3)"
    old.read_until(lambda: "moved" in cell.text())
    kernel.ok("%rpc_disconnect stage")
    old.ok("%rpc_serve --stop")


def make_subshell(kernel):
    """Make a thread of the kernel that runs messages, as JupyterLab does; None if it has none."""
    message = kernel.client.session.msg("kernel_info_request")
    kernel.client.control_channel.send(message)
    features = kernel.client.get_control_msg(timeout=20)["content"].get("supported_features", [])
    if "kernel subshells" not in features:
        return None
    kernel.client.control_channel.send(kernel.client.session.msg("create_subshell_request"))
    return kernel.client.get_control_msg(timeout=20)["content"]["subshell_id"]


def press(kernel, model, content):
    """Send what a button in the page sends, to a subshell where there are some."""
    data = {"method": "custom", "content": content}
    message = kernel.client.session.msg("comm_msg", {"comm_id": model, "data": data})
    subshell = make_subshell(kernel)
    if subshell is not None:
        message["header"]["subshell_id"] = subshell
    kernel.client.shell_channel.send(message)


def test_a_button_in_a_subshell(old):
    """A message of a widget works on whatever thread the kernel runs it."""
    old.ok("sub = dev.reading.subscribe(print)")
    cell = old.ok("%rpc_events")
    view = cell.of("display_data")[0]["data"]["application/vnd.jupyter.widget-view+json"]
    old.ok("from ipywidgets.widgets.widget import _instances")
    old.ok(f"table = _instances[{view['model_id']!r}]")
    number = old.ok("[row['id'] for row in table.rows][-1]").value
    press(old, view["model_id"], {"kind": "stop", "id": int(number)})
    old.read_until(lambda: old.ok("sub.closed").value == "True")
    old.ok("table.close()")


def test_unloading(old):
    """The extension comes and goes, and leaves the kernel usable."""
    for _ in range(3):
        old.ok("%reload_ext nbrpc")
    old.ok("%unload_ext nbrpc")
    assert old.ok("import signal\nsignal.set_wakeup_fd(-1)").value == "-1"
    assert old.run("%rpc_connections").reply["status"] in ("ok", "error")
    old.ok("%load_ext nbrpc")
    old.ok("%rpc_connect bench")
    assert old.ok("%remote 3 + 3").value == "6"
