"""A notebook at the end of a link of 50 ms with losses: how often it waits for the other side.

Round trips are counted by the bytes that turn round in the proxy, so that a slow machine changes
nothing. Those of TCP's own connecting are not among them.
"""

from __future__ import annotations

import itertools
import re

import pytest

from tests.faults import Fault, FaultProxy
from tests.notebook.kernels import Kernel
from tests.support import start_server

pytestmark = pytest.mark.kernel

FAR = Fault(delay=0.025, spikes=0.01, spike=0.2)
"""25 ms in each direction, and now and then a packet that has to be sent again."""

USABLE = 3.0
"""Seconds within which a cell of one or two round trips surely ends, on a busy machine as well."""

SERVED = '''
"""Things to look at from afar."""
import threading
import time

import nbrpc


class Bench(nbrpc.Service):
    ticks = nbrpc.event()

    @nbrpc.exposed
    def add(self, one: float, other: float) -> float:
        """Add."""
        return one + other

    @property
    @nbrpc.exposed
    def volts(self) -> float:
        return 1.5

    @nbrpc.exposed
    def tick(self, count: int) -> None:
        """Emit so many events, 100 a second."""

        def emit() -> None:
            for number in range(count):
                self.ticks.emit(number)
                time.sleep(0.01)  # the rate of the events

        threading.Thread(target=emit).start()
'''


class CountingProxy(FaultProxy):
    """A proxy that notes which way bytes went."""

    def __init__(self, target):
        self._ways = []
        super().__init__(target)

    def _read(self, pipe):
        before = self.forwarded
        super()._read(pipe)
        if self.forwarded > before:
            self._ways.append(pipe.name)

    def round_trips(self):
        """Give how often the server answered since the last time that this was asked."""
        ways, self._ways = self._ways, []
        turns = [way for way, _ in itertools.groupby(ways)]
        return list(itertools.pairwise(turns)).count(("to_server", "to_client"))


@pytest.fixture(scope="module")
def far_side(tmp_path_factory):
    """A server of a machine that is far away, as it is reached through the proxy."""
    folder = tmp_path_factory.mktemp("far")
    folder.chmod(0o700)
    (folder / "far_bench.py").write_text(SERVED)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("NBRPC_RUNTIME_DIR", str(folder))
        served = start_server(
            folder / "output", "far_bench:Bench", "--allow-code", "--port", "0", folder=folder
        )
    yield served.url
    served.stop()


@pytest.fixture(scope="module")
def link(far_side):
    """The link between."""
    with CountingProxy(int(re.search(r":(\d+)", far_side)[1])) as proxy:
        proxy.fault = FAR
        yield proxy


@pytest.fixture(scope="module")
def kernel(tmp_path_factory, far_side, link):
    """A kernel that is connected, and has a proxy."""
    kernel = Kernel(tmp_path_factory.mktemp("kernel"), {})
    kernel.ok("import asyncio, nbrpc\n%load_ext nbrpc")
    kernel.ok("from IPython.core.completer import provisionalcompleter")
    kernel.url = re.sub(r":\d+", f":{link.port}", far_side)
    kernel.ok(f"%rpc_connect {kernel.url}\ndev = conn.root")
    yield kernel
    kernel.stop()


def trips(kernel, link, source):
    """Run a cell; give the round trips it took."""
    kernel.settle(0.2)
    link.round_trips()
    cell = kernel.ok(source)
    kernel.settle(0.2)
    assert cell.seconds < USABLE
    return link.round_trips()


@pytest.mark.parametrize(
    ("source", "expected"),
    [
        ("dev", 1),
        ("display(dev)", 1),
        ("repr(dev)", 1),
        ("conn", 0),
        ("dev.volts", 1),
        ("dev.add(1, 2)", 1),
        ("await nbrpc.gather([nbrpc.async_(dev.add)(n, n) for n in range(50)])", 1),
        ("%%remote\nx = 1\nprint('there')\nx + 1", 1),
        ("%remote 1 + 1", 1),
        ("n = 1\n%rpc_push n", 1),
        ("%rpc_pull x", 1),
        ("sub = dev.ticks.subscribe(print)", 1),
        ("sub.close()", 1),
    ],
)
def test_cells(kernel, link, source, expected):
    """What a cell does with a remote takes one round trip at most."""
    assert trips(kernel, link, source) <= expected


def test_copying_with_a_cell(kernel, link):
    """Variables go there and come back with the cell itself."""
    kernel.ok("one = 20")
    assert trips(kernel, link, "%%remote -i one -o two\ntwo = 2 * one\ntwo") == 1
    assert kernel.ok("two").value == "40"


def test_connecting(kernel, link):
    """Both sides prove that they hold the token, which takes two; the third is the latency."""
    assert trips(kernel, link, f"%rpc_connect {kernel.url} --name again") == 3
    assert trips(kernel, link, "%rpc_disconnect again\n%rpc_use conn") == 0


def test_tab_and_help(kernel, link):
    """Each asks once, and what is known already is not asked for again."""
    tab = (
        "line = '{}'\nwith provisionalcompleter():\n"
        "    found = list(get_ipython().Completer.completions(line, len(line)))\n"
    )
    kernel.ok("dev = conn.root")
    assert trips(kernel, link, tab.format("dev.")) <= 1
    assert kernel.ok("{'add', 'volts'} <= {one.text.strip('.') for one in found}").value == "True"
    assert trips(kernel, link, tab.format("dev.ad")) == 0
    assert trips(kernel, link, "dev.add?") <= 1
    assert trips(kernel, link, "dev.add??") <= 1


def test_events_at_a_hundred_a_second(kernel, link):
    """A callback, a feed and a chart get every event, in order, although packets are lost."""
    kernel.ok("seen = []\nsub = dev.ticks.subscribe(seen.append)")
    kernel.ok("feed, chart = dev.ticks.feed(), dev.ticks.plot()\ndisplay(feed, chart)")
    kernel.ok("dev.tick(300)")
    kernel.ok("while len(seen) < 300: await asyncio.sleep(0.05)")  # between two looks
    assert kernel.ok("seen == list(range(300)), sub.dropped").value == "(True, 0)"
    assert "300 received, 0 dropped" in kernel.ok("repr(feed)").value
    kernel.ok("sub.close()\nfeed.close()\nchart.close()")
