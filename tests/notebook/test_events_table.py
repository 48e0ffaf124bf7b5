"""``%rpc_events``: what the table of subscriptions says, and its Stop."""

from __future__ import annotations

import re

import pytest

pytestmark = pytest.mark.kernel


TABLE = """
from ipywidgets.widgets.widget import _instances
from nbrpc.widgets import SubscriptionTable
(table,) = [made for made in _instances.values() if isinstance(made, SubscriptionTable)]
"""


def rows(kernel, name="table"):
    """Give the rows as the page has them."""
    return eval(kernel.ok(f"{name}.rows").value)


def test_the_table(connected):
    """It follows what is received, dropped and failed, and the page can stop a subscription."""
    connected.ok(
        "def fail(*_): 1 / 0\n"
        "good = dev.reading.subscribe(lambda *_: None)\n"
        "bad = dev.reading.subscribe(fail)\n"
        "alarm = dev.alarm.subscribe(print)"
    )
    cell = connected.ok("%rpc_events")
    (data,) = (content["data"] for content in cell.of("display_data"))
    assert 'class="nbrpc-events"' in data["text/html"]
    assert re.search(r"^alarm +\S*Bench\S* +conn +0\.0/s +0 ", data["text/plain"], re.MULTILINE)
    connected.ok(TABLE)

    def moved():
        found = {row["event"] + str(row["errors"] > 0): row for row in rows(connected)}
        good, bad = found.get("readingFalse"), found.get("readingTrue")
        return good and bad and good["rate"] > 1 and bad["received"] > 3 and good["received"] > 3

    connected.read_until(moved)
    assert [row["connection"] for row in rows(connected)] == ["conn"] * 3
    number = next(row["id"] for row in rows(connected) if row["event"] == "alarm")
    for content in ({"kind": "stop", "id": [1]}, {"kind": "stop"}, {"kind": "stop", "id": 10**9}):
        connected.ok(f"table._handle_custom_msg({content!r}, [])")
    assert connected.ok("alarm.closed").value == "False"
    connected.ok(f"table._handle_custom_msg({{'kind': 'stop', 'id': {number}}}, [])")
    assert connected.ok("alarm.closed").value == "True"
    connected.read_until(lambda: len(rows(connected)) == 2)
    connected.ok("good.close(); bad.close()")
    connected.read_until(lambda: rows(connected) == [])
    assert connected.ok("table.fallback()['text/plain']").value == "'no subscriptions'"
    connected.ok("table.close()")


def test_one_that_ends_by_itself(connected):
    """A subscription that the producer ended stays in the table, with the reason."""
    connected.ok("%rpc_events")
    connected.ok(TABLE)
    connected.ok("sub = dev.reading.subscribe(lambda *_: None)")
    connected.read_until(lambda: [row["ended"] for row in rows(connected)] == [None])
    connected.ok("sub.end(ConnectionResetError('<b>gone\\x1b[2J'))")
    connected.read_until(lambda: [row["ended"] for row in rows(connected)] == ["<b>gone"])
    html = connected.ok("table.fallback()['text/html']").value
    assert "&lt;b&gt;gone" in html
    assert "<b>" not in html
    connected.ok("table.close()")


def test_while_a_cell_blocks(connected):
    """The figures move in the page while the kernel's main thread is busy."""
    connected.ok("feed = dev.reading.subscribe(lambda *_: None, direct=True)")
    cell = connected.ok("%rpc_events")
    model = cell.of("display_data")[0]["data"]["application/vnd.jupyter.widget-view+json"]

    def updates():
        return [
            message
            for found in connected.cells.values()
            for message in found.outputs
            if message["msg_type"] == "comm_msg"
            and message["content"]["comm_id"] == model["model_id"]
            and message["content"]["data"].get("state", {}).get("rows")
        ]

    blocked = connected.start("print('begun', flush=True)\ntime.sleep(4)")
    connected.read_until(lambda: "begun" in blocked.text())
    before = len(updates())
    connected.read_until(lambda: len(updates()) >= before + 2)
    assert not blocked.idle
    connected.finish(blocked)
    connected.ok("feed.close()")
