"""A server that a script starts in the background, where the shell has it ignore SIGINT."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time

import pytest

import nbrpc
from tests.support import Served, eventually

IGNORING = (
    "import os, signal, sys; signal.signal(signal.SIGINT, signal.SIG_IGN); "
    "os.execv(sys.executable, [sys.executable, '-m', 'nbrpc', 'serve', *sys.argv[1:]])"
)


@pytest.fixture
def background(tmp_path, runtime_dir):
    """A server of the bench that ignores SIGINT, and a connection to it."""
    output = tmp_path / "output"
    with output.open("wb") as stream:
        process = subprocess.Popen(
            [sys.executable, "-c", IGNORING, "nbrpc.demo:Bench", "--allow-code", "--port", "0"],
            stdout=stream,
            stderr=stream,
        )
    server = Served(process, output)
    try:
        server.wait_url()
        with nbrpc.connect(server.url) as connection:
            yield server, connection
    finally:
        server.stop()


def test_remote_cells_can_be_cancelled(background):
    """A cancelled cell frees the thread for the next one at once, inside C calls too."""
    _, connection = background
    for _ in range(3):
        cell = connection.run_cell("print('begun', flush=True)\nimport time; time.sleep(60)")
        eventually(lambda cell=cell: cell.outputs)
        cell.cancel()
        begun = time.monotonic()
        assert connection.run_cell("x = 1", pull=["x"]).result(20) == {"x": 1}
        assert time.monotonic() - begun < 5


def test_ctrl_c_in_the_terminal_is_ignored(background):
    """Neither the server nor the cell that runs is ended by it."""
    server, connection = background
    cell = connection.run_cell("import time; time.sleep(0.3); x = 1", pull=["x"])
    os.kill(server.pid, signal.SIGINT)
    assert cell.result(20) == {"x": 1}
    os.kill(server.pid, signal.SIGINT)
    connection.ping()
