"""A hostile remote against a real page: nothing of what it sends runs, and nothing is loaded."""

from __future__ import annotations

import pytest

from tests.browser.hostile_page import SETTLED, TOUCH, show_everything, watched, ways
from tests.browser.lab import ROOT, SOON
from tests.hostile import payloads as hostile
from tests.support import start_server

pytestmark = [pytest.mark.browser, pytest.mark.kernel, pytest.mark.timeout(300)]

CONTROLS = [
    "<img src=x onerror=J>",
    "<script>J</script>",
    '<iframe srcdoc="<script>J</script>"></iframe>',
    "<details open ontoggle=J><summary>x</summary></details>",
    "<div onmouseover=J>text</div>",
    '<div style="background:url(U)">x</div>',
    "<img src=U>",
]
"""Payloads that run, load, or wait for the mouse in a page that shows them as they are."""


@pytest.fixture(scope="module")
def hostile_server(tmp_path_factory, browser_runtime):
    """The hostile server, in a process of its own."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("NBRPC_RUNTIME_DIR", str(browser_runtime))
        served = start_server(
            tmp_path_factory.mktemp("hostile") / "output",
            "tests.browser.hostile_server:Hostile",
            *("--name", "hostile", "--allow-code"),
            folder=ROOT,
        )
    yield served
    served.stop()


def test_the_harness_bites(open_notebook, chromium, hostile_server):
    """The control: of a connection that is trusted, payloads do run and load."""
    payloads = [hostile.filled(text, number) for number, text in enumerate(CONTROLS)]
    notebook = open_notebook(
        "%load_ext nbrpc\n%rpc_connect hostile --trust",
        *(
            "%%remote\nfrom IPython.display import display\n"
            f"display({{'text/html': {text!r}}}, raw=True)"
            for text in payloads
        ),
    )
    watched(notebook)
    notebook.run(0)
    before = len(chromium.strangers)
    ran = []
    for number, text in enumerate(payloads):
        notebook.page.evaluate("() => { window.__pwned = undefined }")
        cell = notebook.run(number + 1)
        notebook.page.evaluate(SETTLED)
        if "__pwned" in text:
            notebook.page.evaluate(TOUCH, cell.element_handle())
            notebook.page.evaluate(SETTLED)
            if notebook.page.evaluate("() => window.__pwned") is not None:
                ran.append(text)
    assert ran == [text for text in payloads if "__pwned" in text]
    loaded = set(chromium.strangers[before:])
    assert {f"{hostile.STRANGER}{number}" for number in (5, 6)} <= loaded
    del chromium.strangers[before:]


def test_nothing_runs(open_notebook, chromium, hostile_server):
    """All payloads by every way: no script, no dialog, no request, also when all is clicked."""
    assert len(hostile.bundles()) >= 100
    cells = list(ways())
    notebook = open_notebook(
        "%load_ext nbrpc\n%rpc_connect hostile", *(source for source, _ in cells)
    )
    assert show_everything(notebook, chromium, cells) == []
    page = notebook.page
    assert page.locator(".jp-OutputArea-output mjx-container a").count() == 0
    page.locator(".nbrpc-feed .nbrpc-feed-row").first.wait_for(timeout=SOON)
