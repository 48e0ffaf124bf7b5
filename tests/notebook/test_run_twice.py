"""Every cell can be run twice: what it made before is replaced, and nothing doubles."""

from __future__ import annotations

import pytest

pytestmark = pytest.mark.kernel

SAME = "# one and the same cell of the notebook, edited and run again\n"
"""A cell that begins so is the same to the kernel, whatever comes next."""

LIVE = "from nbrpc.session.subscriptions import live\nlen(live())"


OPEN_TABLES = """
from ipywidgets.widgets.widget import _instances
from nbrpc.widgets import SubscriptionTable
sum(isinstance(made, SubscriptionTable) and not made.closed for made in _instances.values())
"""

FOLLOWING = """
import asyncio
async def follow():
    async for _ in dev.reading: pass
before = live()
task = asyncio.create_task(follow())
while not set(live()) - set(before): await asyncio.sleep(0.01)  # until it is there
"""


@pytest.fixture
def quiet(connected):
    """A kernel without subscriptions."""
    connected.ok("from functools import partial\nclass Counter:\n    def take(self, *_): pass")
    connected.ok("from nbrpc.session.subscriptions import live\n[sub.close() for sub in live()]")
    return connected


@pytest.mark.parametrize(
    "source",
    [
        "dev.reading.subscribe(lambda *_: None)",
        "dev.reading.subscribe(Counter().take)",
        "dev.reading.subscribe(partial(max, 1))",
        "def handler(*_): pass\nsub = dev.reading.subscribe(handler)",
        "for n in range(2): dev.reading.subscribe(lambda *_, n=n: None)",
        "stream = dev.reading.stream()",
        "nbrpc.watch(dev, 'temperature').subscribe(lambda _: None)",
        "%rpc_connect bench\nconn.root.reading.subscribe(lambda *_: None)",
        "fresh = nbrpc.connect(conn.url)\nfresh.root.reading.subscribe(lambda *_: None)",
        "get_ipython().run_cell_magic('rpc_on', 'dev.alarm', 'print(event)')",
        FOLLOWING,
    ],
)
def test_subscribing(quiet, source):
    """The subscriptions of the earlier run end, whatever kind of callable they have."""
    quiet.ok(source)
    first = int(quiet.ok(LIVE).value)
    assert first == (2 if "for n" in source else 1)
    for _ in range(2):
        quiet.ok(source)
    assert int(quiet.ok(LIVE).value) == first
    quiet.ok("[sub.close() for sub in live()]")


def test_several_in_one_run(quiet):
    """Different callbacks in one cell are different subscriptions; the same one is not doubled."""
    quiet.ok(
        "one = dev.reading.subscribe(lambda *_: None)\n"
        "two = dev.reading.subscribe(lambda *_: 1)\n"
        "again = dev.reading.subscribe(one.callback)\n"
        "first, second = dev.alarm.stream(), dev.alarm.stream()"
    )
    assert quiet.ok("one.closed, two.closed, again.closed").value == "(True, False, False)"
    assert (
        quiet.ok("first.subscription.closed, second.subscription.closed").value == "(False, False)"
    )
    quiet.ok("other = dev.reading.subscribe(two.callback)")
    assert quiet.ok("two.closed, other.closed").value == "(False, False)"


def test_a_handler_that_names_another_event(quiet):
    """%%rpc_on in an edited cell ends what the cell had subscribed before."""
    call = "get_ipython().run_cell_magic('rpc_on', {!r}, 'pass')"
    quiet.ok(SAME + call.format("dev.alarm"))
    quiet.ok(SAME + call.format("dev.reading"))
    assert quiet.ok(
        "from nbrpc.session.subscriptions import live\n[s.name for s in live()]"
    ).value == ("['reading']")


def test_connecting(quiet):
    """The same name is another connection; an unknown server leaves the earlier one."""
    quiet.ok("earlier = conn\nearlier.root.alarm.subscribe(print)")
    assert quiet.run("%rpc_connect nosuch").reply["status"] == "error"
    assert quiet.ok("conn is earlier, conn.closed").value == "(True, False)"
    quiet.ok("%rpc_connect bench")
    assert quiet.ok("earlier.closed, conn.closed").value == "(True, False)"
    assert int(quiet.ok(LIVE).value) == 0


def test_table(quiet):
    """%rpc_events again closes the earlier table of that cell."""
    for _ in range(3):
        quiet.ok("%rpc_events")
    assert quiet.ok(OPEN_TABLES).value == "1"
