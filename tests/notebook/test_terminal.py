"""The extension in IPython's terminal, where no kernel's loop turns."""

from __future__ import annotations

import os
import sys
import time

import pexpect
import pytest

from tests.notebook.kernels import ROOT
from tests.support import start_server


class Terminal:
    """IPython in a pseudo-terminal."""

    def __init__(self, folder):
        self.child = pexpect.spawn(
            sys.executable,
            ["-m", "IPython", "--simple-prompt", "--no-banner", "--no-confirm-exit"],
            env={
                **os.environ,
                "IPYTHONDIR": str(folder / "ipython"),
                "PYTHONPATH": str(ROOT),
                "NO_COLOR": "1",
                "TERM": "dumb",
            },
            encoding="utf-8",
            timeout=20,
            dimensions=(50, 200),
        )
        self.child.expect(r"In \[\d+\]: ")

    def run(self, *lines):
        """Type the lines of a cell; give what was printed until the next prompt."""
        for number, line in enumerate(lines):
            if number:
                self.child.expect(r"\.\.\.: ")
            self.child.sendline(line)
        return self.output()

    def output(self):
        """Give what is printed until the next prompt."""
        self.child.expect(r"In \[\d+\]: ")
        return self.child.before

    def close(self):
        self.child.close(force=True)


@pytest.fixture
def terminal(tmp_path, runtime_dir):
    """A terminal that is connected to the bench."""
    served = start_server(tmp_path / "out", "nbrpc.demo:Bench", "--name", "bench", "--allow-code")
    terminal = Terminal(tmp_path)
    try:
        terminal.run("%load_ext nbrpc")
        assert "connection bench" in terminal.run("%rpc_connect bench")
        yield terminal
    finally:
        terminal.close()
        served.stop()


def test_remote_cells(terminal):
    """Remote cells print, show their value, and are stopped by Ctrl-C with the remote code."""
    said = terminal.run("%%remote", "print('hello')", "6 * 7", "", "")
    assert "hello" in said
    assert "42" in said
    assert "ZeroDivisionError" in terminal.run("%%remote", "1/0", "", "")
    terminal.child.sendline("%%remote")
    for line in ("print('begun', flush=True); import time; time.sleep(60)", "", ""):
        terminal.child.expect(r"\.\.\.: ")
        terminal.child.sendline(line)
    terminal.child.expect("begun\r\n")
    begun = time.monotonic()
    terminal.child.sendintr()
    assert "KeyboardInterrupt: the remote cell was stopped" in terminal.output()
    assert "2" in terminal.run("%remote 1 + 1")
    assert time.monotonic() - begun < 5


def test_results_and_events(terminal):
    """A result shows as the tutorial prints it, and callbacks run while the prompt waits."""
    terminal.run("import nbrpc; job = nbrpc.async_(conn.root.scan)(2)")
    assert "<AsyncResult object (" in terminal.run("job")
    terminal.run("sub = conn.root.reading.subscribe(lambda t, v: print('reading'))")
    terminal.child.expect("reading")
    terminal.run("sub.close()")
