"""The kernel's loop as nbrpc uses it, in a real kernel."""

from __future__ import annotations

import time

import pytest

from nbrpc.session.dispatch import Loop

pytestmark = pytest.mark.kernel

SETUP = """
import asyncio, signal, threading, time
from nbrpc.notebook.pump import kernel_loop
loop = kernel_loop(get_ipython())
loop.wake_on_signals()
"""


@pytest.fixture
def pumped(kernel):
    """A kernel whose loop is in use, and is given back."""
    kernel.ok(SETUP)
    yield kernel
    kernel.ok("loop.close()")
    assert kernel.ok("signal.set_wakeup_fd(-1)").value == "-1"


@pytest.mark.parametrize("source", ["await asyncio.sleep(8)", "await asyncio.Future()"])
def test_stop_wakes_a_cell_that_awaits(pumped, source):
    """Stop ends a cell that awaits at once, not when something else happens to come."""
    cell = pumped.start(source)
    pumped.settle(0.5)
    begun = time.monotonic()
    pumped.interrupt()
    pumped.finish(cell)
    assert time.monotonic() - begun < 1
    assert cell.reply["ename"] == "CancelledError"


def test_functions_run_between_cells(pumped):
    """From any thread, on the main thread; what they print goes to the cell that ran last."""
    pumped.ok(
        "def said(): print('on', threading.current_thread().name)\n"
        "threading.Timer(0.2, loop.call_soon, (said,)).start()"
    )
    last = pumped.ok("1")
    pumped.read_until(lambda: "on MainThread" in last.text())
    cell = pumped.ok("loop.call_later(0.1, said)")
    pumped.read_until(lambda: "on MainThread" in cell.text())


RUNAWAY = """
def runaway():
    try:
        ran.append("begun")
        print("runs away", flush=True)
        time.sleep(60)
    finally:
        ran.append("ended")
ran = []
loop.serve_soon(runaway)
"""


def test_stop_ends_a_callback_between_cells(pumped):
    """A callback that runs away while no cell runs is stopped, and the kernel goes on."""
    cell = pumped.ok(RUNAWAY)
    pumped.read_until(lambda: "runs away" in cell.text())
    pumped.interrupt()
    begun = time.monotonic()
    assert pumped.ok("ran").value == "['begun', 'ended']"
    assert time.monotonic() - begun < 5
    assert "default_int_handler" in pumped.ok("signal.getsignal(signal.SIGINT)").value


def test_stop_ends_a_callback_and_the_cell_that_awaits(pumped):
    """A callback that runs away under an awaiting cell is stopped, and the cell as well."""
    cell = pumped.start(RUNAWAY + "await asyncio.sleep(60)")
    pumped.read_until(lambda: "runs away" in cell.text())
    pumped.interrupt()
    pumped.finish(cell)
    assert cell.reply["ename"] == "CancelledError"
    assert cell.seconds < 10
    assert pumped.ok("ran").value == "['begun', 'ended']"


def test_another_wakeup_is_left_alone(pumped):
    """Where something is woken by signals already, it stays."""
    pumped.ok(
        "loop.close()\nimport socket\na, b = socket.socketpair(); b.setblocking(False)\n"
        "signal.set_wakeup_fd(b.fileno())\nloop.wake_on_signals()\nloop.close()"
    )
    assert pumped.ok("signal.set_wakeup_fd(-1) == b.fileno()").value == "True"
    pumped.ok("a.close(); b.close()\nloop.wake_on_signals()")


def test_terminal_has_no_loop():
    """Without a kernel there is no loop to use."""
    from nbrpc.notebook.pump import kernel_loop

    assert kernel_loop(object()) is None


def test_jobs_that_go_on_leave_rests():
    """However a job comes back, the loop rests after each slice, and is asked once at a time."""
    soon, later, ran = [], [], []
    loop = Loop(soon.append, lambda seconds, function: later.append((seconds, function)), 0)

    class Again:
        def run(self):
            ran.append(time.perf_counter())
            while time.perf_counter() < ran[-1] + Loop.SLICE:
                pass
            if len(ran) < 3:
                loop.submit(self)

    loop.submit(Again())
    assert len(soon) == 1
    soon.pop()()
    assert (len(ran), soon, [seconds for seconds, _ in later]) == (1, [], [Loop.REST])
    loop.submit(Again())  # what comes during a rest waits for its end
    assert soon == []
    for _ in range(3):
        later.pop()[1]()
        assert soon == []
    assert (len(ran), later, loop.has_jobs()) == (4, [], False)
    loop.submit(Again())
    assert len(soon) == 1
