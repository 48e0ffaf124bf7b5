"""A cell that waits for a server which does not answer though it is there."""

from __future__ import annotations

import os
import re
import signal

import pytest

from tests.support import start_server

pytestmark = pytest.mark.kernel

WAITING = re.compile(r"waiting for bench: it has not answered for (\d+) s; its machine does")

COMPUTE = "import ctypes; ctypes.PyDLL(None).sleep({})"
"""What lets no other thread of the server run."""


TOLD = """
deadline = time.monotonic() + 10
while card.state != {!r} and time.monotonic() < deadline:
    card.answer({{"kind": "seen"}}, [])
    time.sleep(0.05)  # until it has looked
time.monotonic() < deadline
"""


@pytest.fixture(scope="module")
def quick(loaded):
    """The kernel, with connections that soon ask whether the server is there."""
    loaded.ok("nbrpc.options.DEFAULT_TIMING = nbrpc.Timing(heartbeat=0.5, dead_after=2.0)")
    loaded.ok("%rpc_connect bench\ndev = conn.root")
    return loaded


def lines(cell):
    """Give what the line of a cell that waits showed, one after another."""
    shown = [message for message in cell.outputs if "display" in message["msg_type"]]
    texts = [
        (message["content"]["transient"]["display_id"], message["content"]["data"]["text/plain"])
        for message in shown
    ]
    (identity,) = {identity for identity, text in texts if text.startswith("waiting for")}
    kinds = [
        m["msg_type"] for m, (number, _) in zip(shown, texts, strict=True) if number == identity
    ]
    assert kinds == ["display_data"] + ["update_display_data"] * (len(kinds) - 1)
    return [text for number, text in texts if number == identity]


def test_the_cell_says_what_it_waits_for(quick):
    """One line, which counts on and is empty in the end; the log says nothing beside it."""
    cell = quick.ok(f"conn.execute({COMPUTE.format(4)!r})\nlast = conn.state\nlast")
    *counted, last = lines(cell)
    seconds = [int(WAITING.fullmatch(line)[1]) for line in counted]
    assert len(seconds) >= 2
    assert seconds == sorted(set(seconds))
    assert last == ""
    assert "not answered" not in cell.text()


def test_a_result_that_is_waited_for(quick):
    """Waiting for an AsyncResult shows the line as well, and it goes when the wait is over."""
    cell = quick.ok(
        f"res = nbrpc.async_(conn.execute)({COMPUTE.format(3)!r})\n"
        "try: res.result(2)\n"
        "except nbrpc.CallTimeout: pass\n"
        "dev.voltage"
    )
    shown = lines(cell)
    assert WAITING.fullmatch(shown[0])
    assert shown[-1] == ""


@pytest.mark.parametrize("way", ["%%remote", "%%time\n%%remote", "%remote"])
def test_a_remote_cell(quick, way):
    """A remote cell shows it as well, whether it awaits or waits in the ordinary manner."""
    quick.ok("conn.execute('import ctypes')")
    cell = quick.ok(f"{way} ctypes.PyDLL(None).sleep(4)".replace("%%remote ", "%%remote\n"))
    *counted, last = lines(cell)
    assert [WAITING.fullmatch(line) for line in counted]
    assert len(counted) >= 2
    assert last == ""


def test_the_table_and_the_cards_tell_the_state(quick, tmp_path, module_runtime_dir, monkeypatch):
    """A server that was stopped is silent in all that shows its connection, and open afterwards."""
    monkeypatch.setenv("NBRPC_RUNTIME_DIR", str(module_runtime_dir))
    served = start_server(tmp_path / "out", "nbrpc.demo:Bench", "--name", "still")
    try:
        static = quick.ok("%rpc_connect still --name still")
        (identity,) = [content["transient"]["display_id"] for content in static.of("display_data")]
        quick.ok("from nbrpc.widgets import ConnectionCard\ncard = ConnectionCard(still)")
        os.kill(served.pid, signal.SIGSTOP)
        quick.read_until(lambda: 'data-state="silent"' in quick.displays[identity]["text/html"], 30)
        assert "silent: still at" in quick.displays[identity]["text/plain"]
        (table,) = quick.ok("%rpc_connections").of("display_data")
        assert "  silent  " in table["data"]["text/plain"]
        assert quick.ok(TOLD.format("silent")).value == "True"
        assert "no answer for" in quick.ok("dict(card.figures)['round trip']").value
        os.kill(served.pid, signal.SIGCONT)
        quick.read_until(lambda: 'data-state="open"' in quick.displays[identity]["text/html"], 30)
        assert quick.ok(TOLD.format("open")).value == "True"
    finally:
        os.kill(served.pid, signal.SIGCONT)
        quick.ok("%rpc_disconnect still")
        served.stop()
