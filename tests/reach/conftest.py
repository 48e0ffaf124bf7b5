"""One ssh server for these tests, and a Python on its far side that has no nbrpc."""

from __future__ import annotations

import shutil
import subprocess
import sys

import pytest

from tests.reach.sshd import SshServer


@pytest.fixture(scope="session")
def ssh_server(tmp_path_factory):
    """An OpenSSH server on loopback."""
    server = SshServer(tmp_path_factory.mktemp("sshd"))
    yield server
    server.stop()


@pytest.fixture
def gpu_box(ssh_server, monkeypatch):
    """The same, with everything as it should be and an empty home."""
    ssh_server.configure()
    ssh_server.know()
    shutil.rmtree(ssh_server.home)
    ssh_server.home.mkdir()
    monkeypatch.setenv("NBRPC_SSH", ssh_server.command)
    return ssh_server


@pytest.fixture(scope="session")
def bare_python(tmp_path_factory):
    """The path of a Python without any package."""
    folder = tmp_path_factory.mktemp("bare") / "bare"
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", str(folder)], check=True)
    return folder / "bin" / "python"
