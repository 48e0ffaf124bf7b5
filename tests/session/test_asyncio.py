"""Programs on asyncio: their loop serves a connection while they await, and never blocks."""

from __future__ import annotations

import asyncio
import contextlib
import threading
import time

import pytest

import nbrpc
from tests.support import eventually

LONG = 60.0


class Lab(nbrpc.Service):
    changed = nbrpc.event()

    def __init__(self):
        self.gate = threading.Event()
        self.stopped = threading.Event()
        self.log = []

    def exposed_scan(self, report, steps=3):
        """Report each step, and give what the reports gave."""
        return tuple(report(step) for step in range(steps))

    def exposed_hold(self):
        try:
            while not self.gate.wait(0.002):
                pass
        finally:
            self.stopped.set()
        return "held"

    def exposed_change(self, *values):
        for value in values:
            self.changed.emit(value)
        return len(values)

    @nbrpc.exposed
    def each(self, report, steps):
        for step in range(steps):
            yield report(step)

    @contextlib.asynccontextmanager
    async def exposed_session(self, number):
        self.log.append(("entered", number))
        try:
            yield number + 1
        except ValueError as error:
            self.log.append(repr(error))
        except KeyError as error:
            self.log.append(repr(error))
            raise
        else:
            self.log.append("left")

    @contextlib.asynccontextmanager
    async def exposed_slow(self):
        self.log.append("entering")
        try:
            await asyncio.Event().wait()
        except asyncio.CancelledError:
            self.log.append("cancelled")
            raise
        yield

    def exposed_plain(self):
        return Plain()

    def exposed_unusual(self):
        return Unusual(self.log)


class Plain:
    """Something that is no context manager."""


class Later:
    """An awaitable that is no coroutine."""

    def __init__(self, value):
        self.value = value

    def __await__(self):
        yield from asyncio.sleep(0).__await__()
        return self.value


class Unusual:
    """An asynchronous context manager without coroutines."""

    def __init__(self, log):
        self.log = log

    def __aenter__(self):
        return Later("entered")

    def __aexit__(self, kind, error, traceback):
        self.log.append(kind is error is traceback is None)
        return Later(0)


class NoReaders(asyncio.SelectorEventLoop):
    """A loop that cannot watch descriptors for others, like that of Windows."""

    def add_reader(self, *_):
        """Refuse."""
        raise NotImplementedError


@pytest.fixture
def lab():
    """Give the service; its gate opens in the end."""
    service = Lab()
    yield service
    service.gate.set()


@pytest.fixture
def conn(linked, lab):
    """Give a connection to the service, served in this process."""
    return linked(lab)


async def until(condition):
    """Wait on the loop until a condition is true."""
    deadline = time.monotonic() + 5
    while not condition():
        assert time.monotonic() < deadline
        await asyncio.sleep(0.005)


@pytest.mark.parametrize("factory", [None, NoReaders])
def test_callbacks_run_on_the_loop_that_awaits(conn, factory):
    """A call that calls back ends, and each callback ran on the loop's thread, while it turned."""
    threads = []

    def report(step):
        threads.append((threading.get_ident(), asyncio.get_running_loop()))
        return step * 10

    async def main():
        value = await asyncio.wait_for(nbrpc.async_(conn.root.scan)(report), 10)
        return value, asyncio.get_running_loop()

    for _ in range(2):  # each run has a loop of its own
        threads.clear()
        with asyncio.Runner(loop_factory=factory) as runner:
            value, loop = runner.run(main())
        assert value == (0, 10, 20)
        assert threads == [(threading.get_ident(), loop)] * 3
    assert conn.root.scan(lambda step: step) == (0, 1, 2)


def test_coroutine_callbacks_run_on_that_loop(conn):
    """They share locks and tasks with the program, and may await the peer themselves."""

    async def main():
        lock = asyncio.Lock()
        loops = []

        async def report(step):
            loops.append(asyncio.get_running_loop())
            async with lock:
                return await nbrpc.async_(conn.root.change)(step)

        async def mine():
            async with lock:
                await asyncio.sleep(0.05)

        task = asyncio.create_task(mine())
        value = await asyncio.wait_for(nbrpc.async_(conn.root.scan)(report), 10)
        await task
        assert value == (1, 1, 1)
        assert loops == [asyncio.get_running_loop()] * 3

    asyncio.run(main())


def test_a_blocking_call_on_the_loop_works_as_in_a_script(conn):
    """The wait runs callbacks; coroutines run elsewhere, since the loop does not turn."""

    async def report(step):
        return step

    async def main():
        assert conn.root.scan(lambda step: step) == (0, 1, 2)
        assert conn.root.scan(report) == (0, 1, 2)
        nested = nbrpc.async_(conn.root.scan)(lambda step: conn.root.scan(report))
        assert await asyncio.wait_for(nested, 10) == ((0, 1, 2),) * 3

    asyncio.run(main())


@pytest.mark.parametrize("subscribed", ["inside", "before"])
def test_events_arrive_while_the_program_awaits(conn, lab, subscribed):
    """Callbacks run on the loop, in order, while it awaits a result or anything else."""
    seen = []

    def changed(value):
        seen.append((value, threading.get_ident(), asyncio.get_running_loop() is not None))

    before = conn.root.changed.subscribe(changed) if subscribed == "before" else None

    async def main():
        subscription = before or conn.root.changed.subscribe(changed)
        if before is None:
            lab.changed.emit(0)
            await until(lambda: seen)
            seen.clear()
        held = nbrpc.async_(conn.root.hold)()
        lab.changed.emit(1)
        task = asyncio.ensure_future(held)
        await until(lambda: seen)
        lab.changed.emit(2)
        await until(lambda: len(seen) == 2)
        lab.gate.set()
        assert await task == "held"
        subscription.close()

    asyncio.run(main())
    assert seen == [(1, threading.get_ident(), True), (2, threading.get_ident(), True)]


def test_a_program_without_a_loop_is_served_as_before(conn, lab):
    """What a loop had served goes back to whoever talks to the connection."""
    seen = []
    with conn.root.changed.subscribe(seen.append):
        asyncio.run(asyncio.wait_for(nbrpc.async_(conn.root.change)(1), 10))  # type: ignore[arg-type]
        lab.changed.emit(2)
        eventually(lambda: conn.poll_all() or len(seen) == 2)
        assert seen == [1, 2]


def test_the_loop_stays_responsive(conn, lab):
    """A flood of events leaves the loop its turns."""
    seen = []

    def slow(value):
        seen.append(value)
        time.sleep(0.001)  # what a callback takes

    async def main():
        with conn.root.changed.subscribe(slow, maxsize=2000):
            await nbrpc.async_(conn.root.change)(*range(1000))
            turns = 0
            while len(seen) < 1000:
                turns += 1
                await asyncio.sleep(0)
            assert turns > 100

    asyncio.run(main())
    assert seen == list(range(1000))


def test_wait_for_ends_in_time_and_cancels(conn, lab):
    """A timeout frees the program and stops the remote; so does a task that is cancelled."""

    async def main():
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(nbrpc.async_(conn.root.hold)(), 0.1)
        await until(lab.stopped.is_set)
        lab.stopped.clear()
        result = nbrpc.async_(conn.root.hold)()
        task = asyncio.ensure_future(result)
        await asyncio.sleep(0.05)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        assert result.cancelled
        await until(lab.stopped.is_set)

    asyncio.run(main())


def test_a_deadline_holds_on_a_loop(conn, lab):
    """A callback that waits for the peer holds up the loop no longer than the result lasts."""

    def report(_step):
        return conn.root.hold()

    async def main():
        begun = time.monotonic()
        with pytest.raises(nbrpc.CallTimeout):
            await nbrpc.timed(conn.root.scan, 0.3)(report)
        assert time.monotonic() - begun < 10

    asyncio.run(main())
    lab.gate.set()


def test_gather_serves_all_connections(conn, linked, lab):
    """Of results of several connections, each may call back."""
    other = linked(lab)

    async def main():
        results = [nbrpc.async_(each.root.scan)(lambda step: step) for each in (conn, other)]
        assert await asyncio.wait_for(nbrpc.gather(results), 10) == [(0, 1, 2)] * 2  # type: ignore[arg-type]
        results = [nbrpc.async_(each.root.scan)(lambda step: step) for each in (conn, other)]
        assert await asyncio.wait_for(asyncio.gather(*results), 10) == [(0, 1, 2)] * 2

    asyncio.run(main())


def test_iterating_serves_as_well(conn):
    """A remote generator that calls back gives its items to ``async for``."""

    async def main():
        return [item async for item in conn.root.each(lambda step: step + 1, 5)]

    assert asyncio.run(asyncio.wait_for(main(), 10)) == [1, 2, 3, 4, 5]


def test_two_loops_serve_one_connection(conn):
    """Loops of two threads await at once; each callback runs on one of them."""
    threads, values = set(), []

    def report(step):
        threads.add(threading.get_ident())
        return step

    async def main():
        values.extend([await nbrpc.timed(conn.root.scan, 10)(report) for _ in range(20)])

    running = [threading.Thread(target=asyncio.run, args=(main(),)) for _ in range(2)]
    identities = set()
    for thread in running:
        thread.start()
        identities.add(thread.ident)
    for thread in running:
        thread.join()
    assert values == [(0, 1, 2)] * 40
    assert threads <= identities


def test_a_callback_of_a_result_runs_on_the_loop(conn, lab):
    """One that is added in a running loop need not wait until something is awaited there."""
    threads = []

    async def main():
        result = nbrpc.async_(conn.root.hold)()
        result.add_callback(lambda _: threads.append(threading.get_ident()))
        lab.gate.set()
        await until(lambda: threads)

    asyncio.run(main())
    assert threads == [threading.get_ident()]


@pytest.mark.parametrize("end", ["normal", "handled", "raised"])
def test_async_with_a_remote_object(conn, lab, end):
    """It is entered and left there, with the exception, while the loop turns."""

    async def main():
        async with conn.root.session(3) as number:
            assert number == 4
            assert lab.log == [("entered", 3)]
            if end == "handled":
                raise ValueError("no", 3)
            if end == "raised":
                raise KeyError("x")

    if end == "raised":
        with pytest.raises(KeyError):
            asyncio.run(main())
        assert lab.log[1:] == ["KeyError('x')"]
    else:
        asyncio.run(main())
        assert lab.log[1:] == (["ValueError('no', 3)"] if end == "handled" else ["left"])


def test_async_with_does_not_block(conn, lab):
    """Other tasks go on while an object is entered, and a task that waits for it is cancelled."""
    lab.gate.clear()

    async def main():
        async def enter():
            async with conn.root.slow():
                pass

        task = asyncio.create_task(enter())
        await until(lambda: lab.log)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        await until(lambda: lab.log == ["entering", "cancelled"])
        with pytest.raises(TypeError, match="asynchronous context manager"):
            async with conn.root.plain():
                pass

    asyncio.run(main())


def test_objects_that_give_awaitables(conn, lab):
    """What ``__aenter__`` and ``__aexit__`` give need not be coroutines."""

    async def main():
        async with conn.root.unusual() as value:
            assert value == "entered"
        assert lab.log == [True]

    asyncio.run(main())
