"""Explorers and connection cards, in JupyterLab."""

from __future__ import annotations

import os
import signal

import pytest

from tests.browser.lab import SOON, accessible
from tests.support import start_server

pytestmark = [pytest.mark.browser, pytest.mark.kernel, pytest.mark.timeout(240)]

DATA = """
attack = "<img src='http://evil.example/x' onerror='window.stolen = 1'>"
class Hostile:
    "<script>window.stolen = 1</script>"
hostile = Hostile()
for name in (attack, "\\x1b]0;title\\x07", "\\u202egnp.exe", "javascript:stolen()", "n" * 5000):
    hostile.__dict__[name] = attack
data = {"many": list(range(250)), attack: hostile}
"""

COUNT = "print(conn.statistics().requests_sent)"


@pytest.fixture
def mortal(tmp_path, browser_runtime, monkeypatch):
    """A bench of its own, for a test that kills it."""
    monkeypatch.setenv("NBRPC_RUNTIME_DIR", str(browser_runtime))
    served = start_server(
        tmp_path / "output", "nbrpc.demo:Bench", "--name", "mortal", "--allow-code"
    )
    yield served
    served.stop()


def row(tree, name):
    """The row of a name."""
    return tree.locator(f'.nbrpc-row:has(> .nbrpc-row-name:text-is("{name}"))')


def said(tree, name, text):
    """Wait until the row of a name says something."""
    row(tree, name).locator(".nbrpc-row-text", has_text=text).wait_for(timeout=SOON)


def focused(page, name):
    """Wait until the row of a name has the focus."""
    page.wait_for_function(
        """name => {
            const node = document.activeElement.querySelector(":scope > .nbrpc-row-name");
            return node && node.textContent === name;
        }""",
        arg=name,
        timeout=SOON,
    )


def number(cell):
    """What a cell printed."""
    return int(cell.locator(".jp-OutputArea-output").last.inner_text())


def fits(node):
    """Whether a panel of 320 px shows all of its width."""
    node.evaluate("node => { node.style.width = '320px'; }")
    fit = node.evaluate("node => node.scrollWidth <= node.clientWidth")
    node.evaluate("node => { node.style.width = ''; }")
    return fit


def walk_with_keys(page, tree):
    """Read, open and close a row, and move about, without the mouse."""
    tree.locator('[tabindex="0"]').focus()
    focused(page, "temperature")
    page.keyboard.press("Home")
    focused(page, "Bench")
    page.keyboard.type("sta")
    focused(page, "stage")
    page.keyboard.press("Enter")  # reads
    said(tree, "stage", "= Stage")
    page.keyboard.press("ArrowRight")  # opens
    row(tree, "moving").wait_for(timeout=SOON)
    focused(page, "stage")
    page.keyboard.press("ArrowRight")
    focused(page, "moving")
    assert row(tree, "moving").get_attribute("aria-level") == "3"
    page.keyboard.press("ArrowDown")
    focused(page, "position")
    page.keyboard.press("ArrowLeft")
    focused(page, "stage")
    page.keyboard.press("ArrowLeft")  # closes
    row(tree, "moving").wait_for(state="detached", timeout=SOON)
    focused(page, "stage")
    page.keyboard.press("End")
    focused(page, "_voltage")
    page.keyboard.press("Home")
    focused(page, "Bench")
    assert tree.locator('[tabindex="0"]').count() == 1


def test_an_object_is_walked_and_its_connection_watched(open_notebook, mortal, chromium):
    """By mouse and by keys, one request for each page; hostile names are text; death is told."""
    notebook = open_notebook(
        "%load_ext nbrpc\n%rpc_connect mortal\nfrom nbrpc.widgets import ConnectionCard\n"
        f"conn.execute({DATA!r})",
        "ConnectionCard(conn)",
        "%rpc_explore conn.root",
        "%rpc_explore conn.namespace['data']",
        COUNT,
        COUNT,
    )
    page = notebook.page
    notebook.run(0)
    card = notebook.run(1).locator(".nbrpc-card[data-state=open]")
    tree = notebook.run(2).locator(".nbrpc-explorer")
    data = notebook.run(3).locator(".nbrpc-explorer")
    row(tree, "temperature").wait_for(timeout=SOON)
    row(data, "['many']").wait_for(timeout=SOON)
    before = number(notebook.run(4))

    row(data, "['many']").click()
    data.locator(".nbrpc-row[data-kind=more]", has_text="150 left").click()
    data.locator(".nbrpc-row[data-kind=more]", has_text="50 left").wait_for(timeout=SOON)
    row(tree, "temperature").locator("button").click()
    said(tree, "temperature", "= ")
    assert number(notebook.run(5)) - before == 3, "a page, another page, a value"
    walk_with_keys(page, tree)

    row(data, "['many']").click()  # closes
    row(data, "[0]").wait_for(state="detached", timeout=SOON)
    data.locator(".nbrpc-row", has_text="onerror").click()
    data.locator(".nbrpc-row", has_text="\\u202egnp.exe").wait_for(timeout=SOON)
    assert data.locator(".nbrpc-row", has_text="\\x1b]0;title\\x07").count() == 1
    assert data.locator("img").count() == 0
    assert page.evaluate("window.stolen") is None
    assert chromium.strangers == []

    tree.locator(".nbrpc-filter").fill("temperature")
    row(tree, "voltage").wait_for(state="hidden", timeout=SOON)
    assert tree.locator(".nbrpc-row:visible").count() == 4, "the object and three members"
    tree.locator(".nbrpc-filter").fill("")

    assert fits(tree)
    assert fits(card)
    for shade in ("Dark", "Light"):
        notebook.theme(shade)
        accessible(page, ".nbrpc-explorer")
        accessible(page, ".nbrpc-card")

    card.locator("th", has_text="round trip").wait_for(timeout=SOON)
    press = card.locator("button")
    press.click()
    card.locator("button", has_text="Really disconnect?").wait_for(timeout=SOON)
    os.kill(mortal.pid, signal.SIGSTOP)
    silent = notebook.cell(1).locator(".nbrpc-card[data-state=silent]")
    silent.locator("[role=status]", has_text="silent").wait_for(timeout=SOON)
    assert silent.locator("button").is_enabled()
    for shade in ("Dark", "Light"):
        notebook.theme(shade)
        accessible(page, ".nbrpc-card")
    mortal.process.kill()
    card = notebook.cell(1).locator(".nbrpc-card[data-state=reconnecting]")
    card.wait_for(timeout=SOON)
    assert card.locator("button").is_enabled(), "it can be given up"
    tree.locator(".nbrpc-notice", has_text="Connection lost").wait_for(timeout=SOON)
    row(tree, "voltage").locator("button").click()
    row(tree, "voltage").locator(".nbrpc-row-error", has_text="lost").wait_for(timeout=SOON)
    accessible(page, ".nbrpc-explorer")
    accessible(page, ".nbrpc-card")
    assert notebook.errors == []


def test_a_peer_that_may_run_code_here_is_told_loudly(open_notebook, mortal):
    """The card says so in an alert, readable in both themes; the static card of it as well."""
    notebook = open_notebook(
        "import nbrpc\nfrom nbrpc.widgets import ConnectionCard\n"
        f"both = nbrpc.connect({mortal.url!r}, service=nbrpc.ClassicService)",
        "ConnectionCard(both)",
        "%load_ext nbrpc\nboth",
    )
    notebook.run(0)
    for cell in (1, 2):
        alert = notebook.run(cell).locator(".nbrpc-card [role=alert]")
        alert.wait_for(timeout=SOON)
        assert "this peer may run code here" in alert.inner_text()
    for shade in ("Dark", "Light"):
        notebook.theme(shade)
        accessible(notebook.page, ".nbrpc-card")
    assert notebook.errors == []
