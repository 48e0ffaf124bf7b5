"""Two notebooks: one serves what it has, the other drives it, and is told when it has to wait."""

from __future__ import annotations

import re

import pytest

from nbrpc.reach import discovery
from nbrpc.reach.discovery import Announcement
from nbrpc.session.call import Call
from nbrpc.transports.address import Address
from nbrpc.widgets import page
from tests.notebook.kernels import Kernel

pytestmark = pytest.mark.kernel

LAB = """
import ipywidgets, threading, time
import nbrpc

class Lab:
    ready = nbrpc.event()

    def __init__(self):
        self.slider = ipywidgets.IntSlider(value=1, description="power")
        self.slider.observe(self._moved, "value")
        self.moves = []

    def _moved(self, change):
        self.moves.append((change["new"], threading.current_thread().name))

    def add(self, one, other):
        return one + other

    def steps(self):
        for step in nbrpc.track(range(3)):
            time.sleep(0.2)  # long enough for each step to be told
        return "walked"

lab = Lab()
"""

COMPUTE = "print('begun', flush=True)\ntime.sleep({})\nprint('over')"  # what it does
"""A cell during which the kernel does nothing else."""

WAITING = re.compile(
    r"waiting for lab: queued for \d+\.0 s: the kernel has been busy with a cell for \d+\.0 s"
)


@pytest.fixture(scope="module")
def other(tmp_path_factory, module_runtime_dir):
    """The kernel of another notebook of the same user."""
    kernel = Kernel(
        tmp_path_factory.mktemp("other"), {"NBRPC_RUNTIME_DIR": str(module_runtime_dir)}
    )
    kernel.ok("import asyncio, nbrpc\n%load_ext nbrpc")
    yield kernel
    kernel.stop()


@pytest.fixture(scope="module")
def server(kernel, other):
    """The kernel that serves; the other one is connected."""
    kernel.ok("%load_ext nbrpc")
    kernel.ok(LAB)
    kernel.ok("%rpc_serve lab --name lab --writable")
    other.ok("%rpc_connect lab\nlab = conn.root")
    return kernel


@pytest.fixture
def computing(server):
    """A cell of the serving notebook that computes, for some seconds."""
    cells = []

    def compute(seconds):
        cell = server.start(COMPUTE.format(seconds))
        cells.append(cell)
        server.read_until(lambda: "begun" in cell.text())
        return cell

    yield compute
    for cell in cells:
        server.finish(cell)


def lines(cell):
    """Give what the displays of a cell showed, one after another."""
    return [
        message["content"]["data"]["text/plain"]
        for message in cell.outputs
        if message["msg_type"] in ("display_data", "update_display_data")
    ]


def test_a_widget_of_the_other_notebook(server, other):
    """Its slider moves where it is displayed, and tells both notebooks of every move."""
    shown = server.ok("lab.slider")
    (identity,) = [
        data["application/vnd.jupyter.widget-view+json"]["model_id"]
        for data in (content["data"] for content in shown.of("execute_result"))
    ]
    told = other.ok("lab.slider.observe(lambda change: print('now', change['new']), 'value')")
    moving = other.ok("lab.slider.value = 5")
    assert moving.text() == "now 5\n"  # called back within the call
    assert server.ok("lab.slider.value, lab.moves").value == "(5, [(5, 'MainThread')])"
    server.ok("lab.slider.value = 6")
    other.read_until(lambda: "now 6" in told.text())
    sent = [
        *server.strays,
        *(message for cell in server.cells.values() for message in cell.outputs),
    ]
    updates = [
        message["content"]["data"].get("state")
        for message in sent
        if message["msg_type"] == "comm_msg" and message["content"]["comm_id"] == identity
    ]
    assert {"value": 5} in updates
    assert {"value": 6} in updates
    other.ok("lab.slider.unobserve_all()")


def test_only_what_is_public_can_be_set(server, other):
    """--writable opens public attributes, and nothing else."""
    assert other.run("lab._moved = None").reply["status"] == "error"
    assert other.run("lab.__class__ = int").reply["status"] == "error"
    server.ok("%rpc_serve lab --name kept")
    other.ok("%rpc_connect kept --name kept")
    assert other.run("kept.root.moves = []").reply["status"] == "error"
    other.ok("%rpc_disconnect kept\n%rpc_use conn")
    server.ok("%rpc_serve --stop kept")


def test_a_call_that_waits_says_so(server, other, computing):
    """While the serving kernel computes, the calling cell has a line with the time, then none."""
    computing(4)
    cell = other.ok("lab.add(1, 2)")
    assert cell.value == "3"
    said = lines(cell)
    assert len(said) >= 2
    assert all(WAITING.fullmatch(line) for line in said[:-1])
    assert said[0] != said[-2] or len(said) == 2
    assert said[-1] == ""
    assert len(cell.of("display_data")) == 1


def test_a_cell_that_is_stopped_keeps_no_line(server, other, computing):
    """Stop ends the wait, and the line goes with it."""
    computing(4)
    cell = other.start("lab.add(1, 2)")
    other.read_until(lambda: WAITING.search(" ".join(lines(cell))))
    other.interrupt()
    other.finish(cell)
    assert cell.reply["ename"] == "KeyboardInterrupt"
    assert lines(cell)[-1] == ""


def test_an_asynchronous_call_says_so(server, other, computing):
    """Its result says why it has not begun, and nothing more once it has."""
    computing(3)
    other.ok("res = nbrpc.async_(lab.steps)()\nseen = []")
    other.ok("res.observe(lambda res: seen.append(res.progress))\nres")
    assert other.ok("await res").value == "'walked'"
    seen = other.ok("[(p.done, p.text) if p else None for p in seen]").value
    first, rest = eval(seen)[0], eval(seen)[1:]
    assert first[0] < 0
    assert first[1].startswith("queued for 1.0 s: the kernel has been busy with a cell for ")
    assert None in rest
    assert all(word is None or word[0] >= 0 for word in rest[rest.index(None) :])


def test_quick_calls_say_nothing(server, other):
    """A call that need not wait shows nothing, whatever it tells of its progress."""
    assert lines(other.ok("lab.add(1, 2); lab.steps()")) == []


def test_connecting_to_a_busy_notebook(server, other, computing):
    """To connect, to look and to subscribe need not wait for the cell, or say so."""
    computing(3)
    cell = other.ok("%rpc_connect lab --name again")
    assert cell.seconds < 2.5
    told = other.ok("again.root.ready.subscribe(lambda: print('it is ready'))\nlab = conn.root")
    server.ok("lab.ready.emit()")
    other.read_until(lambda: "it is ready" in told.text())
    other.ok("%rpc_disconnect again\n%rpc_use conn")


def test_the_caller_says_goodbye(server, other, computing):
    """What it had queued is done all the same, and telling it nothing disturbs nobody."""
    computing(2)
    other.ok("%rpc_connect lab --name gone\nset_trait = nbrpc.async_(gone.root.slider.set_trait)")
    other.ok("res = set_trait('value', 77)\n%rpc_disconnect gone\n%rpc_use conn")
    assert other.ok("lab.add(1, 1)").value == "2"
    assert server.ok("lab.slider.value").value == "77"
    server.settle()
    assert "Traceback" not in str(server.strays)


def test_tab_offers_what_is_announced(server, other):
    """Servers on the network are offered by name and URL, and Tab does not wait for them."""
    tab = (
        "from IPython.core.completer import provisionalcompleter\n"
        "line = '%rpc_connect {}'\n"
        "with provisionalcompleter():\n"
        "    found = list(get_ipython().Completer.completions(line, len(line)))\n"
        "[one.text for one in found]"
    )
    with Announcement("far-lab", Address.tcp("127.0.0.1", 4711)):
        begun = other.ok(tab.format(""))
        assert begun.seconds < discovery.BROWSING
        assert "'lab'" in begun.value
        other.settle(discovery.BROWSING)
        assert other.ok(tab.format("far")).value == "['far-lab']"
        assert "nbrpc://127.0.0.1:4711" in other.ok(tab.format("nbrpc")).value
    refused = other.run("%rpc_connect far-lab")
    assert "one on the network says that it is: give its --token, or its URL" in refused.traceback


def test_a_peer_that_says_it_without_end(monkeypatch):
    """Only the last word is kept for the thread that waits, however many come."""
    shown = []
    monkeypatch.setattr(Call, "show_wait", lambda _, text: shown.append(text))
    call = Call(None, 1)
    call.on_progress(-1.0, None, "nobody waits yet")
    assert call.jobs is None
    call.waiting = True
    for number in range(1000):
        call.on_progress(-1.0, None, str(number))
    call.on_progress(3.0, None, "under way")
    (job,) = call.jobs
    job.run()
    call.on_progress(-1.0, None, "")
    call.jobs.pop().run()
    assert shown == ["999", ""]


def test_how_it_looks():
    """A panel says that a call is queued, and counts no steps of it."""
    panel = page.result(
        state="pending",
        call="f()",
        target="lab",
        elapsed=3,
        progress=(-1.0, None, "queued for 3.0 s"),
    )
    assert "queued for 3.0 s" in panel
    assert "-1" not in panel
