"""One JupyterLab and one Chromium for all browser tests: starting them takes ten seconds."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.browser.lab import Notebook, run_chromium, run_lab
from tests.support import start_server


def pytest_collection_modifyitems(items):
    """Run these tests last: as long as its browser lives, playwright runs an event loop here."""
    items.sort(key=lambda item: Path(__file__).parent in item.path.parents)


@pytest.fixture(scope="session")
def browser_runtime(tmp_path_factory):
    """Where the servers of these tests write their connection files."""
    folder = tmp_path_factory.mktemp("browser-runtime")
    folder.chmod(0o700)
    return folder


@pytest.fixture(scope="session")
def lab(tmp_path_factory, browser_runtime):
    """A JupyterLab."""
    with run_lab(tmp_path_factory.mktemp("lab"), browser_runtime) as running:
        yield running


@pytest.fixture(scope="session")
def chromium(tmp_path_factory):
    """A browser."""
    with run_chromium(tmp_path_factory.mktemp("chromium")) as context:
        yield context


@pytest.fixture(scope="session")
def browser_bench(tmp_path_factory, browser_runtime):
    """The simulated bench in a process of its own; it runs code."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("NBRPC_RUNTIME_DIR", str(browser_runtime))
        output = tmp_path_factory.mktemp("browser-bench") / "output"
        served = start_server(output, "nbrpc.demo:Bench", "--name", "bench", "--allow-code")
    yield served
    served.stop()


@pytest.fixture
def open_notebook(lab, chromium, browser_bench):
    """Write a notebook of these cells and open it; its page is closed after the test."""
    pages = []

    def opened(*cells: str) -> Notebook:
        page = chromium.new_page()
        pages.append(page)
        return Notebook(page, lab, lab.write(list(cells)))

    yield opened
    for page in pages:
        page.close()
