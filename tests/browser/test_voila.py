"""The dashboard under voila: the same widgets, without JupyterLab and without the code."""

from __future__ import annotations

import pytest

from tests.browser.lab import LOADED, ROOT, SOON, accessible, run_voila

pytestmark = [pytest.mark.browser, pytest.mark.kernel, pytest.mark.timeout(240)]


def test_the_dashboard_runs_under_voila(chromium, tmp_path, tmp_path_factory):
    """Tiles, chart, feed, board and card live there, and the controls act on the server."""
    runtime = tmp_path_factory.mktemp("voila-runtime")
    runtime.chmod(0o700)
    errors = []
    with run_voila(tmp_path, runtime, ROOT / "notebooks" / "03-dashboard.ipynb") as url:
        page = chromium.new_page()
        page.on("pageerror", lambda error: errors.append(str(error)))
        page.goto(url, timeout=LOADED)
        dashboard = page.locator(".widget-vbox", has=page.locator(".nbrpc-card"))
        dashboard.wait_for(timeout=LOADED)
        tile = dashboard.locator(".nbrpc-tile").first
        tile.wait_for(timeout=LOADED)
        seen = tile.inner_text()
        page.wait_for_function(
            "([node, text]) => node.innerText !== text", arg=[tile.element_handle(), seen]
        )
        plot = dashboard.locator(".nbrpc-plot").first
        page.wait_for_function(
            "node => Number(node.dataset.points) > 1000", arg=plot.element_handle(), timeout=SOON
        )
        dashboard.locator(".nbrpc-feed-row").first.wait_for(timeout=LOADED)
        assert "failed" in dashboard.locator(".nbrpc-board .nbrpc-sums").inner_text()
        running = dashboard.locator(".nbrpc-tile").nth(3)
        assert "True" in running.inner_text()
        dashboard.get_by_role("button", name="Stop").click()
        page.wait_for_function(
            "node => node.innerText.includes('False')", arg=running.element_handle(), timeout=SOON
        )
        for name in ("tile", "plot", "feed", "board", "card"):
            accessible(page, f".nbrpc-{name}")
        page.close()
    assert errors == []
