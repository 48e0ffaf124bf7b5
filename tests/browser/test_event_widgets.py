"""The widgets of events, in JupyterLab: they move, they can be handled, they survive."""

from __future__ import annotations

import pytest

from tests.browser.lab import LOADED, accessible
from tests.support import eventually

pytestmark = [pytest.mark.browser, pytest.mark.kernel, pytest.mark.timeout(240)]

PICTURE = """node => {
    const canvas = node.querySelector("canvas");
    const pixels = canvas.getContext("2d").getImageData(0, 0, canvas.width, canvas.height).data;
    let [sum, coloured] = [0, 0];
    for (let at = 0; at < pixels.length; at += 4) {
        sum = (sum * 31 + pixels[at] + pixels[at + 3]) % 1000003;
        const shades = pixels.slice(at, at + 3);
        const spread = Math.max(...shades) - Math.min(...shades);
        if (spread > 60 && pixels[at + 3] > 60) coloured += 1;
    }
    return [sum, coloured];
}"""


def wait(locator, condition):
    """Wait until a condition in JavaScript holds of a node; it may be another node by then."""
    eventually(lambda: locator.evaluate(condition), LOADED / 1000, condition)


def drag(page, plot):
    """Choose a part of the chart with the mouse; the page may still be moving below it."""
    over = plot.locator(".u-over")
    over.scroll_into_view_if_needed()
    box = over.bounding_box()
    page.mouse.move(box["x"] + 200, box["y"] + 60)
    page.mouse.down()
    page.mouse.move(box["x"] + 300, box["y"] + 60, steps=4)
    page.mouse.up()
    return plot.evaluate(
        "node => new Promise((done) => setTimeout(() => done(node.dataset.zoomed === 'true'), 300))"
    )


def number(text):
    """A number with its thousands apart."""
    return float(text.replace(",", ""))


def test_event_widgets_live_in_the_page(open_notebook, chromium):
    """They move while a cell blocks; pause, zoom, keys, hostile values, themes, a lost link."""
    notebook = open_notebook(
        "%load_ext nbrpc\n%rpc_connect bench\ndev = conn.root\n"
        "import ipywidgets, time\nfrom nbrpc.widgets import *",
        "dev.alarm.feed()",
        "dev.voltage = 9.5\ndev.voltage = 1.0",
        "tile = ValueTile(nbrpc.watch(dev, 'temperature', every=0.1), 'housing, °C')\n"
        "ipywidgets.HBox([tile, ValueTile(dev.alarm)])",
        "plot = dev.reading.plot(x=0, y=1)\nipywidgets.VBox([plot, plot])",
        "time.sleep(600)",
        "class Hostile(nbrpc.Service):\n"
        "    said = nbrpc.event()\n"
        "hostile = Hostile()\nserver = nbrpc.serve(hostile)\nlink = nbrpc.connect(server.url)\n"
        "feed, shown = link.root.said.feed(), ValueTile(link.root.said)\n"
        "chart = link.root.said.plot()\n"
        "hostile.said.emit(nbrpc.by_value({'<img src=x onerror=\"window.pwned = 1\">': 1}))\n"
        "hostile.said.emit('<img src=x onerror=\"window.pwned = 1\">\\x1b[31m\\u202e')\n"
        "ipywidgets.VBox([feed, shown, chart])",
        "link.close(); server.close(); conn.close()",
    )
    page = notebook.page
    notebook.run(0)

    feed = notebook.run(1).locator(".nbrpc-feed")
    feed.wait_for(timeout=LOADED)
    notebook.run(2)
    feed.locator(".nbrpc-feed-row", has_text="high voltage: 9.5 V").first.wait_for(timeout=LOADED)
    assert number(feed.locator(".nbrpc-figure-value").nth(1).inner_text()) >= 1
    feed.get_by_role("button", name="Pause").click()
    feed.get_by_role("button", name="Resume").wait_for(timeout=LOADED)
    wait(feed, "node => node.dataset.paused === 'true'")
    feed.locator(".nbrpc-feed-waiting", has_text="new since the pause").wait_for(timeout=LOADED)
    feed.get_by_role("button", name="Resume").click()
    feed.get_by_role("button", name="Clear").click()
    wait(feed, "node => !node.textContent.includes('high voltage')")

    tile = notebook.run(3).locator(".nbrpc-tile").first
    tile.locator(".nbrpc-tile-trend polyline[points]").wait_for(state="attached", timeout=LOADED)
    before = tile.locator(".nbrpc-tile-value").inner_text()
    assert 20 < number(before) < 60
    wait(tile, f"node => node.querySelector('.nbrpc-tile-value').textContent !== '{before}'")

    plots = notebook.run(4).locator(".nbrpc-plot")
    plot, other = plots.first, plots.nth(1)
    wait(plot, "node => node.dataset.points > 20")
    first = plot.evaluate(PICTURE)
    assert first[1] > 50, "no line was drawn"
    notebook.start(5)
    wait(plot, f"node => node.dataset.points > {20 + int(plot.get_attribute('data-points'))}")
    assert plot.evaluate(PICTURE)[0] != first[0]
    assert "[*]" in notebook.cell(5).locator(".jp-InputPrompt").first.inner_text()
    notebook.interrupt()
    notebook.cell(5).get_by_text("KeyboardInterrupt").first.wait_for(timeout=LOADED)

    # Of a part of the chart one view shows more, and the other follows as before.
    eventually(lambda: drag(page, plot), LOADED / 1000, "dragging zooms")
    assert other.get_attribute("data-zoomed") == "false"
    plot.get_by_role("button", name="Live").click()
    wait(plot, "node => node.dataset.zoomed === 'false'")
    plot.get_by_role("application").focus()
    page.keyboard.press("+")
    wait(plot, "node => node.dataset.zoomed === 'true'")
    page.keyboard.press("Escape")
    wait(plot, "node => node.dataset.zoomed === 'false'")
    plot.get_by_role("button", name="Pause").click()
    wait(other, "node => node.dataset.paused === 'true'")
    other.get_by_role("button", name="Resume").click()
    wait(plot, "node => node.dataset.paused === 'false'")
    series = plot.locator("button.nbrpc-plot-series")
    series.click()
    assert series.get_attribute("aria-pressed") == "false"
    series.click()

    hostile = notebook.run(6)
    row = hostile.locator(".nbrpc-feed-row", has_text=r"\x1b[31m\u202e")
    row.wait_for(timeout=LOADED)
    assert "<img src=x" in row.inner_text()
    hostile.locator(".nbrpc-plot-series", has_text="<img").wait_for(timeout=LOADED)
    hostile.locator(".nbrpc-plot-note", has_text="1 value could not be drawn").wait_for(
        timeout=LOADED
    )
    assert page.locator(".nbrpc img").count() == 0
    assert page.evaluate("window.pwned") is None

    for theme in ("Dark", "Light"):
        notebook.theme(theme)
        for kind in ("feed", "tile", "plot"):
            accessible(page, f".nbrpc-{kind}")

    notebook.run(7)
    for kind in (".nbrpc-feed", ".nbrpc-tile", ".nbrpc-plot"):
        page.wait_for_selector(f"{kind}[data-state=lost]", timeout=LOADED)
    assert feed.get_by_role("status").text_content() == "connection lost"
    assert int(plot.get_attribute("data-points")) > 40
    assert notebook.errors == []
    assert chromium.strangers == []


def test_a_page_that_opens_again_shows_the_whole_window(open_notebook):
    """After a reload the chart, the rows and the value are as they were, and go on."""
    notebook = open_notebook(
        "%load_ext nbrpc\n%rpc_connect bench\ndev = conn.root\n"
        "import ipywidgets\nfrom nbrpc.widgets import *\n"
        "class Quiet(nbrpc.Service):\n"
        "    said = nbrpc.event()\n"
        "quiet = Quiet()\nserver = nbrpc.serve(quiet)\nlink = nbrpc.connect(server.url)",
        "plot, feed, tile = (\n"
        "    dev.reading.plot(x=0, y=1), link.root.said.feed(), ValueTile(link.root.said)\n"
        ")\n"
        "ipywidgets.VBox([plot, feed, tile])",
        "quiet.said.emit('first word')",
        "quiet.said.emit('second word')",
    )
    page = notebook.page
    notebook.run(0)
    plot = notebook.run(1).locator(".nbrpc-plot")
    notebook.run(2)
    page.locator(".nbrpc-feed-row", has_text="first word").wait_for(timeout=LOADED)
    wait(plot, "node => node.dataset.points > 60")
    points = int(plot.get_attribute("data-points"))
    page.evaluate("() => jupyterapp.commands.execute('docmanager:save')")
    page.reload()
    page.wait_for_selector(".nbrpc-plot", timeout=LOADED)
    wait(plot, f"node => node.dataset.points > {points}")
    page.locator(".nbrpc-feed-row", has_text="first word").wait_for(timeout=LOADED)
    page.locator(".nbrpc-tile-value", has_text="first word").wait_for(timeout=LOADED)
    notebook.run(3)
    page.locator(".nbrpc-feed-row", has_text="second word").wait_for(timeout=LOADED)
    page.locator(".nbrpc-tile-value", has_text="second word").wait_for(timeout=LOADED)
    assert notebook.errors == []
