"""Takes the pictures of the README anew: ``python -m tests.browser.screenshots``.

They show the real thing, a JupyterLab with servers in other processes, so look at them afterwards.
"""

from __future__ import annotations

import os
import sys
import tempfile
from pathlib import Path

from tests.browser.lab import LOADED, ROOT, SOON, Notebook, run_chromium, run_lab
from tests.support import start_server

IMAGES = ROOT / "docs" / "images"

WIDTH = 880
"""Pixels of the dashboard that the page shows."""

CELLS = [
    "%load_ext nbrpc\n%rpc_connect bench\ndev = conn.root",
    "job = nbrpc.async_(dev.scan)(400)\njob",
    "%%remote -a\nfor step in range(100):\n    print('step', step)\n    root.scan(10)",
    "%rpc_explore dev",
]


def dashboard(page, lab) -> None:
    """The views of the third notebook, arranged as there."""
    notebook = Notebook(page, lab, lab.add(ROOT / "notebooks" / "03-dashboard.ipynb"))
    count = page.locator(".jp-Notebook .jp-CodeCell").count()
    for index in range(count - 1):
        notebook.run(index)
    view = notebook.cell(count - 2).locator(".jp-OutputArea-output").first
    view.scroll_into_view_if_needed()
    view.locator(".nbrpc-feed-row").first.wait_for(timeout=LOADED)
    page.wait_for_timeout(12_000)  # the charts shall have something to show
    box = view.bounding_box()
    page.screenshot(
        path=IMAGES / "dashboard.png",
        clip={"x": box["x"], "y": box["y"], "width": WIDTH, "height": box["height"]},
    )


def results(page, lab) -> None:
    """Two results that run, and an explorer."""
    notebook = Notebook(page, lab, lab.write(CELLS))
    for index in range(4):
        notebook.run(index)
    notebook.cell(2).locator(".nbrpc-output", has_text="step 9").wait_for(timeout=SOON)
    for index, name in ((1, "result"), (2, "output"), (3, "explorer")):
        panel = notebook.cell(index).locator(".jp-OutputArea-output > *").first
        panel.scroll_into_view_if_needed()
        panel.screenshot(path=IMAGES / f"{name}.png")


def main() -> int:
    """Take all pictures."""
    IMAGES.mkdir(exist_ok=True)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        runtime = folder / "run"
        runtime.mkdir(mode=0o700)
        os.environ["NBRPC_RUNTIME_DIR"] = str(runtime)
        output = folder / "bench"
        bench = start_server(output, "nbrpc.demo:Bench", "--name", "bench", "--allow-code")
        try:
            with run_lab(folder, runtime) as lab, run_chromium(folder, 1300, 1900) as context:
                results(context.new_page(), lab)
                dashboard(context.new_page(), lab)
        finally:
            bench.stop()
    return 0


if __name__ == "__main__":
    sys.exit(main())
