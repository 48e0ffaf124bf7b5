"""JupyterLab and voila on loopback, in folders of their own, and the system's Chromium on them."""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import nbformat

ROOT = Path(__file__).resolve().parent.parent.parent
LOADED = 60_000
"""Milliseconds for pages and kernels to come up: two cores, cold caches."""
SOON = 30_000
"""The same for what is quick by itself, on a machine that is busy with something else."""

FLAGS = [
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
]


def free_port() -> int:
    """A port that was free just now."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def environment(folder: Path, runtime: Path) -> dict[str, str]:
    """An environment in which nothing of this user is read or written."""
    kept = {
        name: value
        for name, value in os.environ.items()
        if not name.startswith(("JUPYTER", "IPYTHON"))
    }
    names = {
        "HOME": "home",
        "JUPYTER_CONFIG_DIR": "config",
        "JUPYTER_DATA_DIR": "data",
        "JUPYTER_RUNTIME_DIR": "runtime",
        "IPYTHONDIR": "ipython",
        "JUPYTERLAB_SETTINGS_DIR": "settings",
        "JUPYTERLAB_WORKSPACES_DIR": "workspaces",
    }
    for name, part in names.items():
        (folder / part).mkdir(parents=True, exist_ok=True)
        kept[name] = str(folder / part)
    (folder / "notebooks").mkdir(exist_ok=True)
    notices = folder / "settings/@jupyterlab/apputils-extension"
    notices.mkdir(parents=True, exist_ok=True)
    (notices / "notification.jupyterlab-settings").write_text(
        json.dumps({"fetchNews": "false", "checkForUpdates": False})
    )
    path = f"{Path(sys.executable).parent}{os.pathsep}{kept['PATH']}"
    return kept | {"PATH": path, "PYTHONPATH": str(ROOT), "NBRPC_RUNTIME_DIR": str(runtime)}


@contextlib.contextmanager
def running(command: list[str], folder: Path, env: dict[str, str], probe: str) -> Iterator[None]:
    """A server process, from the moment on at which it answers."""
    log = folder / "server.log"
    with log.open("w") as output:
        process = subprocess.Popen(
            command, env=env, stdout=output, stderr=output, cwd=folder, start_new_session=True
        )
        try:
            deadline = time.monotonic() + LOADED / 1000
            while True:
                try:
                    urllib.request.urlopen(probe, timeout=60).close()
                    break
                except OSError:
                    if process.poll() is not None or time.monotonic() > deadline:
                        raise AssertionError(log.read_text()[-3000:]) from None
                    time.sleep(0.1)  # between two tries, until the deadline
            yield
        finally:
            process.send_signal(signal.SIGTERM)
            try:
                process.wait(15)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()


class Lab:
    """A running JupyterLab."""

    def __init__(self, url: str, folder: Path) -> None:
        self.url = url
        self.notebooks = folder / "notebooks"
        self._count = 0

    def write(self, cells: list[str], kernel: str = "python3") -> str:
        """Write a notebook of code cells; gives its name."""
        self._count += 1
        name = f"notebook-{self._count}.ipynb"
        nbformat.write(notebook_of(cells, kernel), self.notebooks / name)
        return name

    def add(self, path: Path) -> str:
        """Copy a notebook; gives its name."""
        shutil.copy(path, self.notebooks / path.name)
        return path.name


def notebook_of(cells: list[str], kernel: str) -> Any:
    """Make a notebook of code cells."""
    return nbformat.v4.new_notebook(
        cells=[nbformat.v4.new_code_cell(source) for source in cells],
        metadata={"kernelspec": {"name": kernel, "display_name": kernel, "language": "python"}},
    )


@contextlib.contextmanager
def run_lab(folder: Path, runtime: Path) -> Iterator[Lab]:
    """JupyterLab in folders of its own."""
    port = free_port()
    url = f"http://127.0.0.1:{port}"
    command = [
        sys.executable,
        *("-m", "jupyterlab", "--no-browser", "--ip=127.0.0.1", f"--port={port}", "--allow-root"),
        "--ServerApp.port_retries=0",
        "--IdentityProvider.token=",
        "--ServerApp.password=",
        f"--ServerApp.root_dir={folder / 'notebooks'}",
        "--ServerApp.disable_check_xsrf=True",
        "--LabApp.news_url=None",
        "--LabApp.expose_app_in_browser=True",
        "--LabApp.check_for_updates_class=jupyterlab.NeverCheckForUpdate",
        "--LabApp.extension_manager=readonly",
    ]
    with running(command, folder, environment(folder, runtime), f"{url}/api/status"):
        yield Lab(url, folder)


@contextlib.contextmanager
def run_voila(folder: Path, runtime: Path, notebook: Path) -> Iterator[str]:
    """Voila on one notebook; gives its URL."""
    port = free_port()
    command = [
        *(sys.executable, "-m", "voila", str(notebook), "--no-browser", f"--port={port}"),
        "--Voila.ip=127.0.0.1",
    ]
    url = f"http://127.0.0.1:{port}"
    with running(command, folder, environment(folder, runtime), f"{url}/voila/static/voila.js"):
        yield url


@contextlib.contextmanager
def run_chromium(folder: Path, width: int = 1200, height: int = 1000) -> Iterator[Any]:
    """A browser that reaches nothing beyond loopback; what it tried is in ``strangers``."""
    from playwright.sync_api import sync_playwright

    chromium = shutil.which("chromium") or "/usr/bin/chromium"
    with sync_playwright() as playwright:
        context = playwright.chromium.launch_persistent_context(
            str(folder / "profile"),
            executable_path=chromium,
            headless=True,
            args=FLAGS,
            viewport={"width": width, "height": height},
        )
        context.strangers = []

        def route(request: Any) -> None:
            url = request.request.url
            if url.startswith(("http://127.0.0.1", "ws://127.0.0.1", "data:", "blob:")):
                request.continue_()
            else:
                context.strangers.append(url)
                request.abort()

        context.route("**/*", route)
        yield context
        context.close()


class Notebook:
    """A notebook that is open in JupyterLab."""

    def __init__(self, page: Any, lab: Lab, name: str) -> None:
        self.page = page
        self.errors: list[str] = []
        page.on("pageerror", lambda error: self.errors.append(str(error)))
        page.goto(f"{lab.url}/lab/tree/{name}?reset")
        page.wait_for_selector(".jp-Notebook .jp-CodeCell", timeout=LOADED)
        # The indicator at the top says idle before the kernel is there; this one does not.
        page.locator("#jp-main-statusbar", has_text="| Idle").wait_for(timeout=LOADED)

    def cell(self, index: int) -> Any:
        """The locator of a cell."""
        return self.page.locator(".jp-Notebook .jp-CodeCell").nth(index)

    def start(self, index: int) -> Any:
        """Run a cell without waiting for its end; gives its locator."""
        cell = self.cell(index)
        cell.locator(".cm-content").click()
        self.page.keyboard.press("Shift+Enter")
        return cell

    def run(self, index: int, timeout: int = LOADED) -> Any:
        """Run a cell to its end; gives its locator."""
        cell = self.start(index)
        prompt = cell.locator(".jp-InputPrompt").first
        self.page.wait_for_function(
            r"node => /\[\d+\]/.test(node.textContent)",
            arg=prompt.element_handle(),
            timeout=timeout,
        )
        return cell

    def interrupt(self) -> None:
        """Press Stop."""
        self.page.locator('[data-command="notebook:interrupt-kernel"]').first.click()

    def theme(self, shade: str) -> None:
        """Switch JupyterLab's theme to Light or Dark."""
        self.page.evaluate(
            "theme => jupyterapp.commands.execute('apputils:change-theme', {theme})",
            f"JupyterLab {shade}",
        )
        light = "true" if shade == "Light" else "false"
        self.page.wait_for_selector(
            f"body[data-jp-theme-light='{light}']", state="attached", timeout=SOON
        )


def accessible(page: Any, selector: str) -> None:
    """Have axe look at a part of the page; it must find nothing."""
    from axe_playwright_python.sync_playwright import Axe

    found = Axe().run(page, context=selector)
    assert found.violations_count == 0, found.generate_report()
