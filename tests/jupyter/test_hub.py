"""Servers are reached through a real JupyterHub and its proxy, which are installed for that."""

from __future__ import annotations

import json
import os
import shutil
import site
import subprocess
import sys
import urllib.request
from pathlib import Path

import pytest

import nbrpc
from nbrpc.session import shared_memory
from tests.jupyter.conftest import ROOT, free_port
from tests.support import eventually

pytestmark = [pytest.mark.slow, pytest.mark.timeout(600)]

SECRET = "service-secret-0123456789"
MEGABYTE = 1_000_000

CONFIGURATION = """
import sys
c = get_config()
c.JupyterHub.bind_url = "http://127.0.0.1:{port}"
c.JupyterHub.hub_port = {hub_port}
c.ConfigurableHTTPProxy.api_url = "http://127.0.0.1:{api_port}"
c.ConfigurableHTTPProxy.command = [{proxy!r}]
c.JupyterHub.authenticator_class = "dummy"
c.DummyAuthenticator.allowed_users = {{"ada"}}
c.JupyterHub.spawner_class = "simple"
c.Spawner.cmd = [sys.executable, "-m", "jupyterhub.singleuser", "--allow-root"]
c.Spawner.environment = {environment!r}
c.JupyterHub.services = [{{"name": "tester", "api_token": {secret!r}}}]
scopes = ["admin:users", "admin:servers", "tokens", "access:servers"]
c.JupyterHub.load_roles = [{{"name": "tester", "scopes": scopes, "services": ["tester"]}}]
"""


class Hub:
    """A hub in a process of its own, in an environment beside that of the tests."""

    def __init__(self, folder: Path, runtime: Path) -> None:
        self.folder = folder
        self.port = free_port()
        python, proxy = installed(folder)
        environment = {
            "JUPYTERHUB_SINGLEUSER_APP": "jupyter_server.serverapp.ServerApp",
            "JUPYTER_CONFIG_DIR": str(folder),
            "JUPYTER_CONFIG_PATH": str(ROOT / "jupyter-config"),
            "NBRPC_RUNTIME_DIR": str(runtime),
        }
        configuration = CONFIGURATION.format(
            port=self.port,
            hub_port=free_port(),
            api_port=free_port(),
            proxy=proxy,
            environment=environment,
            secret=SECRET,
        )
        (folder / "configuration.py").write_text(configuration)
        with (folder / "output.txt").open("wb") as output:
            self.process = subprocess.Popen(
                [python, "-m", "jupyterhub", "-f", "configuration.py"],
                cwd=folder,
                env={**os.environ, "PATH": f"{Path(proxy).parent}:{os.environ['PATH']}"},
                stdout=output,
                stderr=subprocess.STDOUT,
            )

    def ask(self, method: str, path: str) -> object:
        """Ask the hub's interface as its administrator."""
        request = urllib.request.Request(
            f"http://127.0.0.1:{self.port}/hub/api/{path}",
            method=method,
            headers={"Authorization": f"token {SECRET}"},
        )
        with urllib.request.urlopen(request, timeout=60) as answer:
            return json.loads(answer.read() or b"null")

    def answers(self) -> bool:
        """Whether it can be asked already."""
        assert self.process.poll() is None, (self.folder / "output.txt").read_text()
        try:
            self.ask("GET", "users")
        except OSError:  # among them what the proxy answers for a hub that is not there yet
            return False
        return True

    def start_server(self) -> None:
        """Start ada's Jupyter server, and wait until it is ready."""
        self.ask("POST", "users/ada/server")
        eventually(lambda: self.ask("GET", "users/ada")["servers"][""]["ready"], 60)


def installed(folder: Path) -> tuple[str, str]:
    """Install JupyterHub and its proxy; give the Python of the one and the path of the other."""
    assert shutil.which("npm"), "JupyterHub's proxy is installed by npm, which is missing here"
    subprocess.run([sys.executable, "-m", "venv", folder / "hub"], check=True)
    (packages,) = (folder / "hub" / "lib").glob("python*/site-packages")
    # What the tests have is there as well, below what is installed now.
    (packages / "tests.pth").write_text("\n".join([*site.getsitepackages(), str(ROOT)]))
    python = folder / "hub" / "bin" / "python"
    subprocess.run([python, "-m", "pip", "install", "--quiet", "jupyterhub"], check=True)
    proxy = "configurable-http-proxy"
    subprocess.run(["npm", "install", "--silent", "--prefix", folder / "proxy", proxy], check=True)
    return str(python), str(folder / "proxy" / "node_modules" / ".bin" / proxy)


@pytest.fixture
def hub(runtime_dir, tmp_path):
    """Run a hub with a Jupyter server of the user ada."""
    running = Hub(tmp_path, runtime_dir)
    try:
        eventually(running.answers, 60)
        running.start_server()
        yield running
        running.ask("DELETE", "users/ada/server")
    finally:
        running.process.terminate()
        running.process.wait(30)


class Bench(nbrpc.Service):
    def exposed_add(self, one, other):
        return one + other

    def exposed_length(self, data):
        return len(data)


def test_a_service_behind_a_hub(hub, serving, monkeypatch):
    """Ada's token leads to it, also when her server was started again, and no other token does."""
    monkeypatch.setattr(shared_memory, "HERE", False)
    serving(Bench, name="bench")
    token = hub.ask("POST", "users/ada/tokens")["token"]
    url = f"http://127.0.0.1:{hub.port}/user/ada/nbrpc/ws/"
    for wrong in ("wrong", None):
        with pytest.raises(nbrpc.AuthenticationFailed, match="403"):
            nbrpc.connect(f"{url}bench", token=wrong)
    with pytest.raises(nbrpc.ConnectFailed, match="is called 'nobody'"):
        nbrpc.connect(f"{url}nobody", token=token)
    with nbrpc.connect(f"{url}bench", token=token, reconnect=True, timeout=30) as conn:
        assert conn.root.add(1, 2) == 3
        assert conn.root.length(bytes(100 * MEGABYTE)) == 100 * MEGABYTE
        hub.ask("DELETE", "users/ada/server")
        eventually(lambda: conn.session.closed, 30)
        with pytest.raises(nbrpc.ConnectFailed, match="Jupyter server runs"):
            nbrpc.connect(f"{url}bench", token=token)
        hub.start_server()
        assert conn.root.add(3, 4) == 7
