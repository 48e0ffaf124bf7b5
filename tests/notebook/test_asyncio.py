"""Cells that await: with the extension, and as a plain program on the kernel's loop."""

from __future__ import annotations

import pytest

pytestmark = pytest.mark.kernel

SHOP = """
import asyncio, contextlib, threading
import nbrpc

class Shop(nbrpc.Service):
    changed = nbrpc.event()

    def __init__(self):
        self.lock = asyncio.Lock()

    @contextlib.asynccontextmanager
    async def exposed_door(self):
        async with self.lock:
            yield "open"

    def exposed_scan(self, report):
        return tuple(report(step) for step in range(3))

    async def exposed_thread(self):
        async with self.lock:
            return threading.current_thread().name
"""


@pytest.fixture(params=[True, False], ids=["extension", "plain"])
def shop(request, kernel):
    """A kernel that serves the shop and is connected to it, with the extension or without."""
    kernel.ok(SHOP + ("\n%load_ext nbrpc" if request.param else ""))
    kernel.ok("shop = Shop()\nserver = nbrpc.serve(shop)\nconn = nbrpc.connect(server.url)")
    yield kernel
    kernel.ok("conn.close()\nserver.close()" + ("\n%unload_ext nbrpc" if request.param else ""))


def test_a_cell_that_awaits(shop):
    """Callbacks and events run on the main thread meanwhile, coroutines on the kernel's loop."""
    shop.ok("seen = []\nsub = conn.root.changed.subscribe(seen.append)\nshop.changed.emit(1)")
    report = "lambda step: (step, threading.current_thread().name)"
    expected = "((0, 'MainThread'), (1, 'MainThread'), (2, 'MainThread'))"
    assert shop.ok(f"await nbrpc.async_(conn.root.scan)({report})").value == expected
    shop.ok("while not seen:\n    await asyncio.sleep(0.01)\nsub.close()")
    assert shop.ok("await nbrpc.async_(conn.root.thread)()").value == "'MainThread'"


def test_async_with(shop):
    """A remote object is entered and left, and a lock of the service held in between."""
    cell = shop.ok(
        "async with conn.root.door() as said:\n    print(said, shop.lock.locked())\n"
        "print(shop.lock.locked())"
    )
    assert cell.text() == "open True\nFalse\n"
