"""``%rpc_events`` in JupyterLab: live figures, and a Stop that the keyboard reaches."""

from __future__ import annotations

import pytest

from tests.browser.lab import SOON, accessible

pytestmark = [pytest.mark.browser, pytest.mark.kernel, pytest.mark.timeout(240)]


def test_the_table(open_notebook):
    """Figures move, also while a cell blocks; Stop ends a subscription; focus stays in the row."""
    notebook = open_notebook(
        "%load_ext nbrpc\n%rpc_connect bench\ndev = conn.root\nimport time",
        "reading = dev.reading.subscribe(lambda *_: None)\n"
        "fast = dev.reading.subscribe(lambda *_: None, direct=True)\n"
        "alarm = dev.alarm.subscribe(lambda *_: 1 / 0)",
        "%rpc_events",
        "time.sleep(6)",
        "print('alarm closed:', alarm.closed)\ndev.reading.subscribe(print, policy='latest')",
    )
    page = notebook.page
    notebook.run(0)
    notebook.run(1)
    table = notebook.run(2).locator(".nbrpc-events")
    rows = table.locator("tbody tr")
    table.locator(".nbrpc-sums", has_text="3 subscriptions").wait_for(timeout=SOON)
    assert rows.count() == 3
    assert "Bench" in rows.nth(0).inner_text()
    assert "conn" in rows.nth(0).inner_text()

    busy = notebook.start(3)
    cell = rows.nth(1).locator(".nbrpc-received")
    page.wait_for_function(
        "([node, text]) => node.textContent !== text",
        arg=[cell.element_handle(), cell.inner_text()],
    )
    assert "[*]" in busy.locator(".jp-InputPrompt").first.inner_text(), "the cell was done already"
    stop = rows.nth(2).get_by_role("button", name="stop alarm on conn")
    stop.focus()
    page.wait_for_timeout(1200)  # two updates of the table
    assert stop.evaluate("node => node === document.activeElement")
    accessible(page, ".nbrpc-events")

    stop.focus()
    page.keyboard.press("Enter")  # and Lab does not run the cell again
    table.locator(".nbrpc-sums", has_text="2 subscriptions").wait_for(timeout=SOON)
    assert rows.count() == 2
    said = notebook.run(4).locator(".jp-OutputArea-output", has_text="alarm closed: True")
    said.first.wait_for(timeout=SOON)
    table.locator(".nbrpc-sums", has_text="3 subscriptions").wait_for(timeout=SOON)

    fits = "node => (node.style.width = '320px', node.scrollWidth <= node.clientWidth)"
    assert table.evaluate(fits)
    frame = table.locator(".nbrpc-frame")
    assert frame.evaluate("node => node.scrollWidth > node.clientWidth")  # it scrolls inside
    frame_box, stop_box = frame.bounding_box(), rows.nth(0).get_by_role("button").bounding_box()
    assert stop_box["x"] + stop_box["width"] <= frame_box["x"] + frame_box["width"]
    assert notebook.errors == []
