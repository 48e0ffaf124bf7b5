"""Where coroutines of a service run: on the loop of the program that serves, or on nbrpc's own."""

from __future__ import annotations

import asyncio
import threading

import pytest

import nbrpc
from tests.support import eventually


class Hub(nbrpc.Service):
    def __init__(self):
        self.lock = asyncio.Lock()
        self.begun = threading.Event()

    @nbrpc.exposed
    async def read(self):
        async with self.lock:
            return 5

    @nbrpc.exposed
    async def thread(self):
        return threading.get_ident()

    @nbrpc.exposed
    async def threads(self):
        yield threading.get_ident()

    @nbrpc.exposed
    def plain(self):
        return threading.get_ident()

    @nbrpc.exposed
    async def hold(self):
        self.begun.set()
        await asyncio.Event().wait()

    @nbrpc.exposed
    async def items(self):
        yield 1
        self.begun.set()
        await asyncio.Event().wait()


class Loop:
    """An event loop on a thread of its own, which may be stopped and closed at any time."""

    def __init__(self):
        self.loop = asyncio.new_event_loop()
        self.thread = threading.Thread(target=self.loop.run_forever)
        self.thread.start()

    def end(self):
        """Stop the loop and close it, whatever is on it."""
        if not self.loop.is_closed():
            self.loop.call_soon_threadsafe(self.loop.stop)
            self.thread.join()
            for task in asyncio.all_tasks(self.loop):
                task._log_destroy_pending = False  # as is meant here
            self.loop.close()


@pytest.fixture
def elsewhere():
    """Give a loop on another thread; it is closed in the end."""
    loop = Loop()
    yield loop
    loop.end()


def test_a_service_shares_its_loop_with_the_program(connecting):
    """Served inside of a running loop, coroutines may use what is bound to that loop."""

    async def main():
        hub = Hub()
        with nbrpc.serve(hub) as server:

            async def mine():
                async with hub.lock:
                    await asyncio.sleep(0.2)

            task = asyncio.create_task(mine())
            await asyncio.sleep(0)
            root = connecting(server).root
            assert await asyncio.wait_for(nbrpc.async_(root.read)(), 10) == 5
            assert task.done()
            assert await nbrpc.async_(root.thread)() == threading.get_ident()
            assert [each async for each in root.threads()] == [threading.get_ident()]
            assert await nbrpc.async_(root.plain)() != threading.get_ident()
            assert root.plain() != threading.get_ident()

    asyncio.run(main())


def test_none_is_a_loop_of_its_own(connecting):
    """With ``loop=None`` the program may call its own service without ``await``."""

    async def main():
        with nbrpc.serve(Hub, loop=None) as server:
            assert connecting(server).root.thread() != threading.get_ident()

    asyncio.run(main())


def test_a_loop_that_is_given(linked, elsewhere):
    """Coroutines and asynchronous generators run on the loop that is named."""
    root = linked(Hub, loop=elsewhere.loop).root
    assert root.thread() == elsewhere.thread.ident
    assert list(root.threads()) == [elsewhere.thread.ident]
    assert root.plain() != elsewhere.thread.ident


def test_what_is_no_loop_is_refused(elsewhere):
    """A mistake is a sentence at once, not at the first call."""
    with pytest.raises(TypeError, match="asyncio event loop, or None"):
        nbrpc.serve(Hub, loop=True)
    elsewhere.end()
    with pytest.raises(ValueError, match="closed"):
        nbrpc.serve(Hub, loop=elsewhere.loop)


@pytest.mark.parametrize("name", ["read", "threads"])
def test_a_call_after_the_loop_was_closed(linked, elsewhere, name):
    """Whoever calls is told, and everything else is served as before."""
    root = linked(Hub, loop=elsewhere.loop).root
    assert root.read() == 5
    elsewhere.end()
    with pytest.raises(RuntimeError, match=r"event loop .* closed"):
        list(root.threads()) if name == "threads" else root.read()
    assert root.plain()


@pytest.mark.parametrize("name", ["hold", "items"])
def test_a_loop_that_is_closed_while_a_call_runs(linked, elsewhere, name):
    """The call ends then, although its coroutine never does."""
    hub = Hub()
    root = linked(hub, loop=elsewhere.loop).root
    if name == "hold":
        result = nbrpc.async_(root.hold)()
    else:
        iterator = iter(root.items())
        assert next(iterator) == 1
        result = nbrpc.async_(lambda: next(iterator))()
    assert hub.begun.wait(5)
    elsewhere.end()
    with pytest.raises(RuntimeError, match=r"event loop .* closed"):
        result.result(10)


def test_a_program_that_ends_its_loop(connecting):
    """``asyncio.run`` cancels what is on the loop; the caller is told why."""
    results = []

    async def main():
        hub = Hub()
        server = nbrpc.serve(hub)
        results.append((nbrpc.async_(connecting(server).root.hold)(), server))
        assert await asyncio.to_thread(hub.begun.wait, 5)

    asyncio.run(main())
    result, server = results[0]
    with pytest.raises(nbrpc.CallCancelled, match="event loop"):
        result.result(10)
    server.close()


def test_cancelling_a_call_on_a_loop_of_the_program(linked, elsewhere):
    """The caller's order reaches the coroutine there."""
    hub = Hub()
    result = nbrpc.async_(linked(hub, loop=elsewhere.loop).root.hold)()
    assert hub.begun.wait(5)
    result.cancel()
    eventually(lambda: result.state == "cancelled")
