"""AsyncResults as widgets, in JupyterLab."""

from __future__ import annotations

import re

import pytest

from tests.browser.lab import LOADED, SOON, accessible
from tests.support import eventually

pytestmark = [pytest.mark.browser, pytest.mark.kernel, pytest.mark.timeout(240)]


SAVED = """async url => {
  try {  // the server writes in place, and what it reads meanwhile is no notebook
    const { content } = await (await fetch(url)).json();
    return content.cells[4].outputs.length > 0 && content;
  } catch { return false; }
}"""


def seconds_of(text):
    """What the clock of a widget says."""
    return float(re.match(r"[\d.]+", text).group()) / (1000 if "ms" in text else 1)


def fits(page, panel):
    """Have a panel be as narrow as a telephone; nothing may stand out of it."""
    inside = page.evaluate(
        """node => {
          node.style.width = "300px";
          const right = node.getBoundingClientRect().right;
          const parts = [...node.querySelectorAll("button, span, input")];
          const seen = parts.filter((part) => part.offsetParent);
          const worst = Math.max(...seen.map((part) => part.getBoundingClientRect().right)) - right;
          node.style.width = "";
          return worst;
        }""",
        panel.element_handle(),
    )
    assert inside <= 0


def test_a_result_lives_in_the_page(open_notebook, lab):
    """It ticks, shows progress, ends while a cell blocks, is cancelled, is saved as it ended."""
    notebook = open_notebook(
        "%load_ext nbrpc\n%rpc_connect bench\ndev = conn.root\nimport time",
        "job = nbrpc.async_(dev.scan)(150); job",
        "time.sleep(60)",
        "%%remote -a --as sleeper\nimport time\nprint('\\x1b[31mbegins\\x1b[0m')\ntime.sleep(60)",
        "%%remote -a --as failing\ndef inner():\n    return 1 / 0\ninner()",
        "long = nbrpc.async_(dev.scan)(2_000)\n"
        "from nbrpc.widgets import ResultView\n"
        "import ipywidgets\n"
        "ipywidgets.VBox([ResultView(long), ResultView(long)])",
    )
    page = notebook.page
    notebook.run(0)

    panel = notebook.run(1).locator(".nbrpc-result")
    page.wait_for_selector(".nbrpc-result[data-state=pending]", timeout=SOON)
    clock = panel.locator(".nbrpc-elapsed")
    first = clock.inner_text()
    page.wait_for_function(
        "([node, text]) => node.textContent !== text", arg=[clock.element_handle(), first]
    )
    assert seconds_of(clock.inner_text()) > seconds_of(first)
    panel.locator(".nbrpc-said", has_text="of 150").wait_for(timeout=SOON)

    busy = notebook.start(2)
    notebook.cell(1).locator(".nbrpc-result[data-state=ready]").wait_for(timeout=SOON)
    assert "[*]" in busy.locator(".jp-InputPrompt").first.inner_text(), "the cell was done already"

    notebook.interrupt()
    busy.locator(".jp-OutputArea-output", has_text="KeyboardInterrupt").wait_for(timeout=SOON)

    sleeping = notebook.run(3)
    sleeping.locator(".nbrpc-output", has_text="begins").wait_for(timeout=SOON)
    assert sleeping.locator(".nbrpc-ansi-red").inner_text() == "begins"
    cancel = sleeping.locator("button.nbrpc-cancel")
    cancel.focus()
    page.keyboard.press("Enter")  # and Lab does not run the cell again
    sleeping.locator(".nbrpc-result[data-state=cancelled]").wait_for(timeout=SOON)

    failing = notebook.run(4)
    failing.locator(".nbrpc-result[data-state=error]").wait_for(timeout=SOON)
    assert "ZeroDivisionError: division by zero" in failing.locator("summary").first.inner_text()
    assert "return 1 / 0" in failing.locator(".nbrpc-error pre").first.inner_text()
    page.context.grant_permissions(["clipboard-read", "clipboard-write"], origin=lab.url)
    failing.locator("button.nbrpc-copy").click()
    failing.locator("button.nbrpc-copy", has_text="Copied").wait_for(timeout=SOON)
    copied = page.evaluate("navigator.clipboard.readText()")
    assert "ZeroDivisionError: division by zero" in copied
    assert "nbrpc " in copied

    two = notebook.run(5).locator(".nbrpc-result")
    two.nth(1).wait_for(timeout=SOON)
    cells = page.locator(".jp-Notebook .jp-Cell").count()
    two.nth(0).locator("button.nbrpc-cancel").focus()
    for key in "ddaab":
        page.keyboard.press(key)  # in Lab's command mode these delete and insert cells
    assert page.locator(".jp-Notebook .jp-Cell").count() == cells
    accessible(page, ".nbrpc-result")
    notebook.theme("Dark")
    accessible(page, ".nbrpc-result")
    notebook.theme("Light")
    fits(page, two.nth(1))
    two.nth(0).locator("button.nbrpc-cancel").click()
    for index in range(2):
        page.wait_for_function(
            "node => node.dataset.state === 'cancelled'", arg=two.nth(index).element_handle()
        )
        assert not two.nth(index).locator(".nbrpc-progress").is_visible()
    assert notebook.errors == []

    page.keyboard.press("Escape")
    page.keyboard.press("Control+s")
    name = page.url.partition("/tree/")[2].partition("?")[0]
    saved = eventually(lambda: page.evaluate(SAVED, f"{lab.url}/api/contents/{name}?content=1"), 20)
    for index, state in ((1, "ready"), (3, "cancelled"), (4, "error")):
        for output in saved["cells"][index]["outputs"]:
            assert f'data-state="{state}"' in "".join(output["data"]["text/html"])
            assert list(output["data"]) == ["text/html", "text/plain"]


def test_a_board_of_500(open_notebook):
    """Failures first, only rows in sight exist, filter, Cancel all; true during a blocking cell."""
    notebook = open_notebook(
        "%load_ext nbrpc\n%rpc_connect bench\ndev = conn.root\nimport time",
        "from nbrpc.widgets import ResultBoard\n"
        "results = [nbrpc.async_(dev.sweep)(0, 5) for _ in range(485)]\n"
        "results += [nbrpc.async_(dev.scan)(20_000) for _ in range(12)]\n"
        "results += [nbrpc.async_(dev.scan)('x') for _ in range(3)]\n"
        "board = ResultBoard(results); board",
        "time.sleep(60)",
        "sorted(board.counts.items())",
    )
    page = notebook.page
    notebook.run(0)
    board = notebook.run(1).locator(".nbrpc-board")
    busy = notebook.start(2)
    board.locator(".nbrpc-sums", has_text="3 failed, 12 running, 485 done").wait_for(timeout=LOADED)
    assert "[*]" in busy.locator(".jp-InputPrompt").first.inner_text(), "the cell was done already"
    rows = board.locator(".nbrpc-row")
    assert rows.count() <= 20
    assert [rows.nth(index).get_attribute("data-state") for index in range(4)] == [
        *["error"] * 3,
        "pending",
    ]
    assert "TypeError" in rows.nth(0).inner_text()
    board.locator("input").fill("sweep")
    page.wait_for_function(
        "node => !node.textContent.includes('scan')", arg=rows.nth(0).element_handle()
    )
    board.locator("input").fill("")
    board.locator("select").select_option("running")
    page.wait_for_function(
        "node => node.querySelectorAll('.nbrpc-row').length === 12", arg=board.element_handle()
    )
    fits(page, board)
    accessible(page, ".nbrpc-board")
    notebook.theme("Dark")
    accessible(page, ".nbrpc-board")
    notebook.theme("Light")
    notebook.interrupt()
    busy.locator(".jp-OutputArea-output", has_text="KeyboardInterrupt").wait_for(timeout=SOON)
    board.locator("button.nbrpc-cancel-all").click()
    board.locator(".nbrpc-sums", has_text="12 cancelled").wait_for(timeout=SOON)
    assert "('cancelled', 12)" in notebook.run(3).locator(".jp-OutputArea-output").inner_text()
    assert notebook.errors == []
