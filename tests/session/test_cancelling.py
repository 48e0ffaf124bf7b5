"""Cancelling what runs and what waits; shields; deadlines."""

from __future__ import annotations

import asyncio
import subprocess
import sys
import threading
import time

import pytest

import nbrpc
from nbrpc.protocol.messages import Kind
from tests.support import eventually


class Work(nbrpc.Service):
    def __init__(self):
        self.running = threading.Event()
        self.gate = threading.Event()
        self.outcome = []
        self.steps = 0

    def _spin(self):
        while not self.gate.is_set():
            self.steps += 1

    def exposed_spin(self):
        """Run Python code until the gate opens."""
        self.running.set()
        try:
            self._spin()
        except BaseException as error:
            self.outcome.append(type(error).__name__)
            raise
        self.outcome.append("ended")
        return "ended"

    def exposed_stubborn(self):
        """Eat every Exception."""
        self.running.set()
        while not self.gate.is_set():
            try:
                time.sleep(0.001)
            except Exception:
                self.outcome.append("eaten")

    def exposed_shielded(self):
        with nbrpc.shield():
            self.running.set()
            self.gate.wait(10)
            self.outcome.append("shielded part ended")
        self.outcome.append("reached")
        return "ended"

    def exposed_nested(self, callback):
        self.running.set()
        try:
            return callback()
        except BaseException as error:
            self.outcome.append(type(error).__name__)
            raise

    async def exposed_sleep(self, seconds):
        self.running.set()
        try:
            await asyncio.sleep(seconds)
        except asyncio.CancelledError:
            self.outcome.append("cancelled")
            raise
        return "slept"

    async def exposed_spin_in_thread(self):
        self.running.set()
        return await asyncio.to_thread(self.gate.wait, 10)

    @nbrpc.exposed
    @property
    def reading(self):
        self.running.set()
        self._spin()
        return 1

    def exposed_generate(self):
        try:
            while True:
                self.running.set()
                time.sleep(0.001)
                if self.steps:
                    yield 1
        except BaseException as error:
            self.outcome.append(type(error).__name__)
            raise

    def exposed_ping(self):
        return "pong"


class Firm(Work, interruptible=False):
    """Its running code is not broken off."""


@pytest.fixture
def work():
    """Give the service; its gate opens in the end."""
    service = Work()
    yield service
    service.gate.set()
    service.steps = 1


@pytest.fixture
def conn(linked, work):
    """Give a connection to the service, served in this process."""
    return linked(work)


def test_running_python_code_is_interrupted(conn, work):
    """Code that computes is broken off within 0.2 s, by no Exception; the worker lives on."""
    result = nbrpc.async_(conn.root.spin)()
    assert work.running.wait(5)
    begun = time.monotonic()
    assert result.cancel()
    eventually(lambda: work.outcome)
    assert time.monotonic() - begun < 0.5
    assert work.outcome == ["Cancelled"]
    eventually(lambda: result.state == "cancelled")
    assert conn.root.ping() == "pong"


CANCELLED_THEN_TRACED = """
import sys
import nbrpc
from tests.session.test_cancelling import Work

work = Work()
with nbrpc.serve(work, token="t" * 16) as server:
    with nbrpc.connect("127.0.0.1", server.port, token="t" * 16) as conn:
        result = nbrpc.async_(conn.root.spin)()
        work.running.wait(5)
        result.cancel()
        while result.state != "cancelled":
            conn.root.ping()
        sys.settrace(lambda *_: None)
        conn.root.ping()
        sys.settrace(None)
print("traced")
"""


def test_a_process_can_be_traced_after_a_cancel():
    """No flag of the interpreter stays set, by which a debugger or coverage would hang."""
    done = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", CANCELLED_THEN_TRACED],
        capture_output=True, text=True, timeout=60, check=False,
    )  # fmt: skip
    assert (done.stdout, done.stderr) == ("traced\n", "")


def test_handlers_of_exception_do_not_eat_the_order(conn, work):
    """``except Exception`` in a service does not keep it running."""
    result = nbrpc.async_(conn.root.stubborn)()
    assert work.running.wait(5)
    result.cancel()
    eventually(lambda: result.state == "cancelled")
    assert work.outcome == []


def test_a_getter_is_interrupted(conn, work):
    """A property that computes can be broken off as well."""
    outcome = []

    def read():
        try:
            _ = conn.root.reading
        except nbrpc.NbrpcError as error:
            outcome.append(error)

    reader = threading.Thread(target=read)
    reader.start()
    assert work.running.wait(5)
    seq = eventually(lambda: next(iter(conn.session.pending), None))
    conn.session.send_quietly(Kind.CANCEL, (seq,))
    reader.join(5)
    assert isinstance(outcome[0], nbrpc.CallCancelled)


def test_a_coroutine_is_cancelled(conn, work):
    """A coroutine gets CancelledError where it awaits."""
    result = nbrpc.async_(conn.root.sleep)(30)
    assert work.running.wait(5)
    result.cancel()
    eventually(lambda: work.outcome == ["cancelled"])
    eventually(lambda: result.state == "cancelled")
    assert conn.root.sleep(0) == "slept"


def test_a_queued_job_never_runs(linked, work):
    """What waits in the queue of a client is answered with CallCancelled and not run."""
    ran = []

    class Calls(nbrpc.Service):
        def exposed_keep(self, callback):
            self.callback = nbrpc.async_(callback)

    service = Calls()
    conn = linked(service)
    conn.root.keep(lambda: ran.append(1))
    result = service.callback()
    eventually(conn.session.dispatcher.has_jobs)
    job = next(iter(conn.session.serving.values()))
    result.cancel()
    eventually(lambda: job.cancelled)
    conn.poll_all()
    assert ran == []
    eventually(lambda: result.state == "cancelled")


def test_a_nested_wait_is_broken_off(conn, work):
    """A service that waits for a callback of the client is freed by a cancel."""
    gate = threading.Event()
    with nbrpc.BgServingThread(conn):
        result = nbrpc.async_(conn.root.nested)(lambda: gate.wait(10))
        assert work.running.wait(5)
        eventually(lambda: conn.session.serving)
        result.cancel()
        eventually(lambda: work.outcome == ["Cancelled"])
        gate.set()
        eventually(lambda: result.state == "cancelled")
    assert conn.root.ping() == "pong"


def test_shield(conn, work):
    """A shielded stretch runs to its end; the order strikes right after it."""
    result = nbrpc.async_(conn.root.shielded)()
    assert work.running.wait(5)
    result.cancel()
    assert conn.root.ping() == "pong"
    assert work.outcome == []
    work.gate.set()
    eventually(lambda: result.state == "cancelled")
    assert work.outcome == ["shielded part ended"]


def test_shield_outside_a_call_does_nothing():
    """Local code may be shielded too."""
    with nbrpc.shield(), nbrpc.shield():
        pass


def test_interruptible_false(linked):
    """Code of such a service runs to its end; its caller is free at once all the same."""
    service = Firm()
    conn = linked(service)
    result = nbrpc.async_(conn.root.spin)()
    assert service.running.wait(5)
    assert result.cancel()
    with pytest.raises(nbrpc.CallCancelled):
        _ = result.value
    steps = service.steps
    eventually(lambda: service.steps > steps)
    assert service.outcome == []
    service.gate.set()
    eventually(lambda: service.outcome == ["ended"])
    eventually(lambda: result.state == "cancelled")


def test_a_generator_is_cancelled_while_it_computes(conn, work):
    """Leaving a loop breaks off a generator that is on its way to the next item."""
    iterator = iter(conn.root.generate())
    assert work.running.wait(5)
    del iterator
    eventually(lambda: work.outcome)
    assert work.outcome[0] in {"Cancelled", "GeneratorExit"}


def test_cancels_at_random_moments_leave_the_connection_whole(conn, work):
    """300 calls cancelled at any moment of their life, and every later answer is right."""
    ping = nbrpc.async_(conn.root.ping)
    sleep = nbrpc.async_(conn.root.sleep)
    for i in range(300):
        result = (sleep if i % 3 == 0 else ping)(*((0.001,) if i % 3 == 0 else ()))
        if i % 4:
            time.sleep((i % 7) * 0.0001)  # the moment itself is what varies
        result.cancel()
        if i % 50 == 0:
            assert conn.root.ping() == "pong"
    eventually(lambda: not conn.session.pending)
    assert conn.root.ping() == "pong"
    assert conn.session._strange == 0


def test_cancelled_code_that_sends(linked):
    """Cancels that strike while a service emits and tracks never tear a message."""

    class Busy(nbrpc.Service):
        beat = nbrpc.event()

        def exposed_run(self):
            for i in nbrpc.track(range(10**9)):
                self.beat.emit(i)

        def exposed_ping(self):
            return "pong"

    conn = linked(Busy)
    got = []
    conn.root.beat.subscribe(got.append, policy="latest")
    for i in range(25):
        result = nbrpc.async_(conn.root.run)()
        time.sleep(0.002 + (i % 5) * 0.001)  # the moment itself is what varies
        result.cancel()
        eventually(lambda res=result: res.state == "cancelled")
        assert conn.root.ping() == "pong"
    assert got


# ---- deadlines


def test_a_deadline_frees_the_caller_and_breaks_nothing(linked, work):
    """The caller gets CallTimeout in time; the code runs on, and its late reply is dropped."""
    conn = linked(work, client={"timing": nbrpc.Timing(call=0.15)})
    begun = time.monotonic()
    with pytest.raises(nbrpc.CallTimeout):
        conn.root.spin()
    assert 0.1 < time.monotonic() - begun < 0.4
    assert work.outcome == []
    work.gate.set()
    eventually(lambda: work.outcome == ["ended"])
    assert conn.root.ping() == "pong"
    assert conn.session._strange == 0


def test_a_deadline_cancels_a_coroutine(linked, work):
    """The peer knows the deadline and stops what awaits."""
    conn = linked(work, client={"timing": nbrpc.Timing(call=0.1)})
    with pytest.raises(nbrpc.CallTimeout):
        conn.root.sleep(30)
    eventually(lambda: work.outcome == ["cancelled"])
    result = nbrpc.timed(conn.root.sleep, 0.05)(30)
    eventually(lambda: work.outcome == ["cancelled", "cancelled"])
    assert isinstance(result.exception() if result.ready else None, (nbrpc.CallTimeout, type(None)))


def test_sync_request_timeout_of_rpyc(linked, work):
    """RPyC's configuration key sets the default deadline."""
    conn = linked(work, client={"config": {"sync_request_timeout": 0.05}})
    with pytest.raises(nbrpc.AsyncResultTimeout):
        conn.root.spin()


def test_the_references_of_a_late_reply_go_back(linked):
    """An object in a reply that came too late is released on the other side."""

    class Late(nbrpc.Service):
        def __init__(self):
            self.gate = threading.Event()

        def exposed_make(self):
            self.gate.wait(10)
            return [1]

        def exposed_ping(self):
            return "pong"

    service = Late()
    conn = linked(service, client={"timing": nbrpc.Timing(call=0.1)})
    conn.root.ping()
    with pytest.raises(nbrpc.CallTimeout):
        conn.root.make()
    service.gate.set()
    eventually(lambda: (conn.root.ping(), conn.statistics().imported)[1] == 1)


IN_A_HOOK = """  # its sleep is what is cancelled
import os, time

def hook():
    print("in the hook", flush=True)
    ends = time.monotonic() + 20
    while time.monotonic() < ends:
        pass

os.register_at_fork(after_in_parent=hook)
child = os.fork()
if child == 0:
    os._exit(0)
os.waitpid(child, 0)
time.sleep(60)
"""


def test_an_interrupt_that_python_drops_is_sent_again(served):
    """What is raised in a hook of fork or in a finalizer ends nothing: the cell is struck anew."""
    with nbrpc.connect(served("--classic").url) as conn:
        cell = conn.run_cell(IN_A_HOOK)
        eventually(lambda: any("in the hook" in str(content) for _, content in list(cell.outputs)))
        cell.cancel()
        eventually(lambda: cell.state == "cancelled", 10)
        assert conn.run_cell("x = 1", pull=("x",)).result(10) == {"x": 1}
