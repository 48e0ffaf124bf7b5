"""A notebook that reaches a machine by ssh: a real kernel, a real OpenSSH server."""

from __future__ import annotations

import psutil
import pytest

from tests.notebook.kernels import Kernel
from tests.support import eventually

pytestmark = [pytest.mark.kernel, pytest.mark.usefixtures("gpu_box")]


@pytest.fixture(scope="module")
def kernel(ssh_server, bare_python, tmp_path_factory):
    """A kernel with the extension loaded, from which ssh reaches the server."""
    kernel = Kernel(tmp_path_factory.mktemp("kernel"), {"NBRPC_SSH": ssh_server.command})
    kernel.ok(f"%load_ext nbrpc\nurl = 'ssh://gpu-box?python={bare_python}'")
    yield kernel
    kernel.stop()


def test_a_notebook_on_a_bare_machine(kernel):
    """Progress and the card are shown in the cell; cells run there, print here, and are stopped."""
    connecting = kernel.ok("%rpc_connect {url}", 60.0)
    assert "carrying it there" in connecting.text("stderr")
    assert "ssh://gpu-box" in connecting.shown[-1]["text/plain"]

    cell = kernel.ok("%%remote -o pid\nimport os\nprint('from there')\npid = os.getpid()\npid + 0")
    assert cell.text() == "from there\n"
    assert kernel.ok("pid == conn.modules.os.getpid() != __import__('os').getpid()").value == "True"

    sleeping = kernel.start(
        "%%remote\nimport time\nprint('asleep')\ntime.sleep(60)"
    )  # what it does
    kernel.read_until(lambda: "asleep" in sleeping.text())
    kernel.interrupt()
    kernel.finish(sleeping)
    assert sleeping.traceback == "KeyboardInterrupt: the remote cell was stopped"
    assert kernel.ok("%remote 6 * 7").value == "42"


def test_standard_error_appears_where_the_connection_was_made(kernel):
    """What the far side says outside of cells belongs to the cell that connects."""
    connecting = kernel.ok("%rpc_connect {url}", 60.0)
    kernel.ok("conn.modules.os.write(1, b'the laser is warm\\n')")
    kernel.read_until(lambda: "laser is warm" in connecting.text("stderr"))


def test_an_error_is_one_sentence(kernel, gpu_box):
    """No traceback, and what to do."""
    gpu_box.know("")
    cell = kernel.run("%rpc_connect {url}", 60.0)
    shown = cell.traceback if cell.reply["status"] == "error" else cell.text("stderr")
    assert shown.strip() == (
        "AuthenticationFailed: ssh does not know gpu-box yet: run `ssh gpu-box` in a terminal "
        "once, and confirm its key"
    )


def mentioned(text):
    """Give the processes that have a text in their command lines."""
    return [process for process in psutil.process_iter() if text in " ".join(command(process))]


def command(process):
    """Give the command line of a process; nothing when it is gone."""
    try:
        return process.cmdline()
    except psutil.Error:
        return []


def test_connecting_is_stopped(kernel, tmp_path):
    """Stop ends the wait for a far side that says nothing, and ssh with it."""
    silent = tmp_path / "python"
    silent.write_text(f"#!/bin/sh\ntouch {tmp_path}/begun\nexec cat > /dev/null\n")
    silent.chmod(0o755)
    cell = kernel.start(f"%rpc_connect ssh://gpu-box?python={silent}")
    kernel.read_until((tmp_path / "begun").exists)
    kernel.interrupt()
    kernel.finish(cell)
    assert cell.reply["ename"] == "KeyboardInterrupt"
    eventually(lambda: not mentioned(str(silent)), 20.0)
