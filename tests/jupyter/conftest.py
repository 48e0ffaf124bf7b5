"""A Jupyter server in a process of its own, whose extension the shipped file enables."""

from __future__ import annotations

import http.client
import json
import os
import socket
import subprocess
import sys
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import quote

import pytest

from tests.notebook.kernels import Kernel
from tests.support import eventually

ROOT = Path(__file__).parents[2]
START = 60.0
"""Seconds in which a Jupyter server must answer on a loaded machine."""


@dataclass
class JupyterServer:
    """A Jupyter server that can be ended and started again on the same port."""

    folder: Path
    port: int
    token: str = "jupyter-secret"
    base: str = "/user/ada/"
    process: subprocess.Popen[bytes] | None = field(default=None, repr=False)

    @property
    def runtime(self) -> Path:
        """The folder of the connection files that it sees."""
        return self.folder / "nbrpc"

    @property
    def url(self) -> str:
        """Where it is, with its base path."""
        return f"http://127.0.0.1:{self.port}{self.base}"

    def of(self, name: str) -> str:
        """Give the URL under which a server of nbrpc is reached."""
        return f"{self.url}nbrpc/ws/{quote(name, safe='')}"

    def start(self) -> None:
        """Start the process, and wait until it answers."""
        environment = {
            **os.environ,
            "JUPYTER_CONFIG_DIR": str(self.folder),
            "JUPYTER_CONFIG_PATH": str(ROOT / "jupyter-config"),
            "JUPYTER_RUNTIME_DIR": str(self.folder),
            "NBRPC_RUNTIME_DIR": str(self.runtime),
        }
        with (self.folder / "output.txt").open("ab") as output:
            self.process = subprocess.Popen(
                [
                    *(sys.executable, "-m", "jupyter_server", "--no-browser", "--allow-root"),
                    *(f"--ServerApp.port={self.port}", "--ServerApp.port_retries=0"),
                    f"--IdentityProvider.token={self.token}",
                    *(f"--ServerApp.base_url={self.base}", f"--ServerApp.root_dir={self.folder}"),
                ],
                cwd=self.folder,
                env=environment,
                stdout=output,
                stderr=subprocess.STDOUT,
            )
        eventually(self._answers, START, f"Jupyter answers: {self.printed[-2000:]}")

    def _answers(self) -> bool:
        assert self.process is not None
        assert self.process.poll() is None, self.printed
        try:
            return self.get("api/status")[0] == 200
        except OSError:
            return False

    @property
    def printed(self) -> str:
        """What it has printed."""
        return (self.folder / "output.txt").read_text(errors="replace")

    def get(
        self, path: str, token: str | None = "", headers: dict[str, str] | None = None
    ) -> tuple[int, http.client.HTTPMessage, bytes]:
        """Ask for a path with the right token, another one or none (None)."""
        shown = self.token if token == "" else token
        sent = dict(headers or {})
        if shown is not None:
            sent["Authorization"] = f"token {shown}"
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=30)
        try:
            connection.request("GET", self.base + path, headers=sent)
            response = connection.getresponse()
            return response.status, response.headers, response.read()
        finally:
            connection.close()

    def servers(self) -> list[dict[str, object]]:
        """Give the list of servers."""
        return json.loads(self.get("nbrpc/api/servers")[2])

    def stop(self) -> None:
        """End the process."""
        if self.process is not None:
            self.process.kill()
            self.process.wait()


def free_port() -> int:
    """Give a port that is free just now."""
    with socket.create_server(("127.0.0.1", 0)) as sock:
        return sock.getsockname()[1]


@pytest.fixture(scope="module")
def running_jupyter(tmp_path_factory):
    """Run a Jupyter server for the tests of a file."""
    server = JupyterServer(tmp_path_factory.mktemp("jupyter"), free_port())
    server.runtime.mkdir(mode=0o700)
    try:
        server.start()
        yield server
    finally:
        server.stop()


@pytest.fixture
def jupyter(runtime_dir, running_jupyter, monkeypatch):
    """Give a Jupyter server that sees the connection files of this test."""
    monkeypatch.setenv("NBRPC_RUNTIME_DIR", str(running_jupyter.runtime))
    yield running_jupyter
    for path in running_jupyter.runtime.iterdir():
        path.unlink()


@pytest.fixture(scope="module")
def kernel(running_jupyter, tmp_path_factory):
    """Run a kernel of the same user."""
    runtime = {"NBRPC_RUNTIME_DIR": str(running_jupyter.runtime)}
    kernel = Kernel(tmp_path_factory.mktemp("kernel"), runtime)
    yield kernel
    kernel.stop()
