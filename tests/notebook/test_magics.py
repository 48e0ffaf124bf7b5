"""Connections, displays, results and events in a real kernel."""

from __future__ import annotations

import time

import pytest

from tests.notebook.kernels import ANSI

pytestmark = pytest.mark.kernel


def test_connection_card(loaded):
    """%rpc_connect binds the connection and shows a card as HTML and as text."""
    cell = loaded.ok("%rpc_connect bench --name here")
    (shown,) = cell.shown
    assert "nbrpc-card" in shown["text/html"]
    assert "bench" in shown["text/plain"]
    assert loaded.ok("here.root.voltage").value
    assert "nbrpc-card" in loaded.ok("here").of("execute_result")[0]["data"]["text/html"]
    loaded.ok("%rpc_disconnect here")
    assert loaded.ok("here.closed").value == "True"


def test_connecting_again_replaces(connected):
    """The same cell again gives a new connection and closes the earlier one."""
    connected.ok("earlier = conn")
    connected.ok("%rpc_connect bench")
    assert connected.ok("earlier.closed, conn.closed").value == "(True, False)"


def test_connections_table(connected):
    """%rpc_connections lists them with what they cost."""
    cell = connected.ok("%rpc_connections")
    assert "conn *" in cell.shown[0]["text/plain"]
    assert "nbrpc-connections" in cell.shown[0]["text/html"]


@pytest.mark.parametrize(
    ("source", "said"),
    [
        ("%rpc_connect nosuch", "no running server of yours is called nosuch"),
        ("%rpc_connect 127.0.0.1:1", "127.0.0.1:1"),
        ("%rpc_connect bench --token wrong", "token"),
        ("%rpc_use nosuch", "no connection is called nosuch"),
        ("%rpc_disconnect nosuch", "no connection is called nosuch"),
        ("%rpc_connect --nope", "unrecognized arguments"),
        ("%rpc_connect bench --name 1x", "not a variable's name"),
        ("%%rpc_on dev.nothing\nprint(event)", "nothing"),
        ("%%rpc_on 5\nprint(event)", "not an event"),
    ],
)
def test_mistakes(connected, source, said):
    """Each is told in one sentence, and the connection goes on."""
    cell = connected.run(source)
    assert cell.reply["status"] == "error"
    told = cell.text("stderr") or cell.traceback
    assert said in told
    assert len(told.strip().splitlines()) == 1 or "rpc_on" in source
    assert connected.ok("%%remote\n1").value == "1"


def test_remote_error_in_a_call(connected):
    """An error of a remote method shows the user's line and the remote traceback, not ours."""
    cell = connected.run("x = 1\ndev.voltage = 99")
    assert cell.reply["ename"] == "ValueError"
    assert "dev.voltage = 99" in cell.traceback
    assert "voltage is 0 to 10 V" in cell.traceback
    assert "Remote Traceback" in cell.traceback
    assert "nbrpc/session" not in cell.traceback


def test_unexposed_name(connected):
    """A name that is not exposed gives one sentence and the user's line."""
    cell = connected.run("dev.secret")
    assert "dev.secret" in cell.traceback
    assert "nbrpc/session" not in cell.traceback


def test_proxy_display(connected):
    """A proxy shows what the remote object shows."""
    assert "Bench" in connected.ok("dev").value


def test_result_is_displayed_until_it_ends(connected):
    """A displayed result goes from pending with progress to ready, without any help of a cell."""
    cell = connected.ok("job = nbrpc.async_(dev.scan)(40); job")
    (content,) = cell.of("display_data")
    assert 'data-state="pending"' in content["data"]["text/html"]
    assert content["data"]["text/plain"].startswith("<AsyncResult object (pending) at 0x")
    identity = content["transient"]["display_id"]
    model = content["data"]["application/vnd.jupyter.widget-view+json"]["model_id"]

    def told():
        return [
            message["data"].get("state", {}).get("progress", {}).get("done")
            for message in cell.of("comm_msg")
            if message["comm_id"] == model
        ]

    connected.read_until(lambda: any(told()))
    connected.read_until(lambda: 'data-state="ready"' in connected.displays[identity]["text/html"])
    assert "(ready)" in connected.displays[identity]["text/plain"]
    assert len(cell.of("update_display_data")) + len(cell.of("display_data")) <= 12


def test_result_is_final_within_the_cell_that_awaits(connected):
    """A program that records only the running cell sees the final display: it is sent in time."""
    cell = connected.ok("job = nbrpc.async_(dev.scan)(60); job")
    identity = cell.of("display_data")[0]["transient"]["display_id"]
    waiting = connected.ok("values = await job")
    updates = [
        content
        for content in waiting.of("update_display_data")
        if content["transient"]["display_id"] == identity
    ]
    assert 'data-state="ready"' in updates[-1]["data"]["text/html"]
    cell = connected.ok("job = nbrpc.async_(dev.scan)(60); job")
    waiting = connected.ok("job.wait()")
    assert 'data-state="ready"' in waiting.of("update_display_data")[-1]["data"]["text/html"]


def test_failed_result(connected):
    """A failed result says why, with the remote traceback."""
    cell = connected.ok("job = nbrpc.async_(dev.scan)(-1); job")
    identity = cell.of("display_data")[0]["transient"]["display_id"]
    connected.read_until(lambda: 'data-state="error"' in connected.displays[identity]["text/html"])
    assert "points is 1 to" in connected.displays[identity]["text/html"]


def test_cancelled_result(connected):
    """A cancelled result is `cancelled` once the remote has confirmed; %rpc_wait waits for that."""
    cell = connected.ok("job = nbrpc.async_(dev.scan)(10_000); job")
    identity = cell.of("display_data")[0]["transient"]["display_id"]
    connected.ok("job.cancel()\n%rpc_wait job")
    assert 'data-state="cancelled"' in connected.displays[identity]["text/html"]


def test_wait_for_all(connected):
    """%rpc_wait without a name waits for everything that is displayed."""
    connected.ok("a = nbrpc.async_(dev.scan)(60); a")
    connected.ok("b = nbrpc.async_(dev.scan)(30); b")
    connected.ok("%rpc_wait")
    assert connected.ok("a.ready, b.ready").value == "(True, True)"
    cell = connected.run("a = nbrpc.async_(dev.scan)(10_000); a\n%rpc_wait a --timeout 0.2")
    assert "did not end within 0.2 s" in cell.traceback
    connected.ok("a.cancel()")


def test_rpc_on(connected):
    """The body runs for every event, prints into its own cell, and running it again replaces."""
    source = "%%rpc_on dev.alarm\nprint('alarm:', event)"
    first = connected.ok(source)
    connected.ok("dev.voltage = 9.5")
    connected.read_until(lambda: "alarm: high voltage" in first.text())
    second = connected.ok(source)
    before = first.text()
    last = connected.ok("dev.voltage = 9.6; dev.voltage = 1")
    connected.read_until(lambda: "9.6 V" in second.text())
    connected.settle()
    assert first.text() == before
    assert second.text().count("9.6 V") == 1
    assert last.text() == ""


def test_rpc_on_shows_an_error_once(connected):
    """A body that fails shows its traceback once, and then a count."""
    cell = connected.ok("%%rpc_on dev.reading\nraise ValueError('mine')")
    connected.read_until(lambda: any("failed" in str(shown) for shown in cell.shown), timeout=10)
    time.sleep(0.5)
    connected.ok("%%rpc_on dev.reading\npass")  # another cell
    assert len(cell.of("error")) == 1
    lines = ANSI.sub("", "\n".join(cell.of("error")[0]["traceback"])).splitlines()
    assert lines[-1] == "ValueError: mine"
    assert "nbrpc/session" not in "".join(lines)


def test_callbacks_print_where_they_subscribed(connected):
    """A callback prints into the cell that subscribed, between cells and while one awaits."""
    cell = connected.ok(
        "sub = dev.reading.subscribe(lambda t, v: print('reading'), policy='latest')"
    )
    connected.read_until(lambda: cell.text().count("reading") > 2)
    other = connected.ok("await asyncio.sleep(0.3)")
    connected.ok("sub.close()")
    assert other.text() == ""


def test_async_iteration(connected):
    """`async for` over an event works in a cell."""
    cell = connected.ok(
        "n = 0\nasync for when, value in dev.reading:\n    n += 1\n    if n == 3: break\nn"
    )
    assert cell.value == "3"


@pytest.mark.parametrize(
    "source",
    ["job.wait()", "dev.scan(10_000)", "await job", "next(dev.alarm.stream()); time.sleep(60)"],
)
def test_stop_while_waiting(connected, source):
    """Stop ends every kind of waiting, and the connection is usable afterwards."""
    connected.ok("job = nbrpc.async_(dev.scan)(10_000)")
    cell = connected.start(source)
    time.sleep(0.5)
    begun = time.monotonic()
    connected.interrupt()
    connected.finish(cell)
    assert time.monotonic() - begun < 1
    assert cell.reply["status"] == "error"
    connected.ok("job.cancel()")
    assert connected.ok("%remote 1 + 1").value == "2"


def test_a_server_that_goes_away(loaded, tmp_path, module_runtime_dir, monkeypatch):
    """The cell that waits says so in one sentence; the card and proxies tell the truth."""
    from tests.support import start_server

    monkeypatch.setenv("NBRPC_RUNTIME_DIR", str(module_runtime_dir))
    served = start_server(tmp_path / "out", "nbrpc.demo:Bench", "--name", "brief", "--allow-code")
    try:
        loaded.ok("%rpc_connect brief --name brief\nremote = brief.root")
        cell = loaded.start(
            "%%remote brief\nprint('begun', flush=True)\nimport time; time.sleep(60)"
        )
        loaded.read_until(lambda: "begun" in cell.text())
        served.process.kill()
        loaded.finish(cell)
        assert cell.reply["ename"] == "ConnectionLost"
        assert len(cell.traceback.splitlines()) == 1
        assert "lost" in loaded.ok("remote").value
        assert (
            'data-state="reconnecting"'
            in loaded.ok("brief").of("execute_result")[0]["data"]["text/html"]
        )
    finally:
        served.stop()
        loaded.run("%rpc_disconnect brief")


def test_connecting_from_python(connected):
    """A connection made with nbrpc.connect is pumped like one of %rpc_connect."""
    connected.ok("other = nbrpc.connect(conn.url)")
    cell = connected.ok("sub = other.root.reading.subscribe(lambda t, v: print('reading'))")
    connected.read_until(lambda: "reading" in cell.text())
    connected.ok("other.close()")


LATER = """
%%remote
import threading, time
import nbrpc

def call_later(self, function):
    def run():
        time.sleep(0.3)
        nbrpc.async_(function)(5)
    threading.Thread(target=run).start()

type(root).exposed_call_later = call_later
"""


def test_functions_print_where_they_were_handed_over(connected):
    """A function given to the remote prints into the cell that gave it, whatever ran since."""
    connected.ok(LATER.strip())
    cell = connected.ok("dev.call_later(lambda number: print('called with', number))")
    other = connected.ok("1 + 1")
    connected.read_until(lambda: "called with 5" in cell.text())
    assert other.text() == ""


def test_callback_that_fails(connected):
    """Its first error is shown under the cell that subscribed, and then a count."""
    cell = connected.ok("sub = dev.reading.subscribe(lambda t, v: 1 / 0)")
    connected.read_until(lambda: "failed" in str(cell.shown))
    assert connected.ok("sub.close()\nsub.errors > 1").value == "True"
    assert len(cell.of("error")) == 1
    assert cell.of("error")[0]["ename"] == "ZeroDivisionError"


def test_the_card_says_that_the_connection_has_ended(connected):
    """What %rpc_connect has shown is true afterwards as well."""
    cell = connected.ok("%rpc_connect bench --name brief")
    (content,) = cell.of("display_data")
    identity = content["transient"]["display_id"]
    assert 'data-state="open"' in content["data"]["text/html"]
    connected.ok("%rpc_disconnect brief\n%rpc_use conn")
    connected.read_until(lambda: 'data-state="closed"' in connected.displays[identity]["text/html"])
