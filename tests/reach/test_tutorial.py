"""The tutorial on asynchronous calls and events, over a pipe and over ssh."""

from __future__ import annotations

import sys
import textwrap

import pytest

import nbrpc
from tests.session.test_tutorial import (  # noqa: F401 - they run here with the fixtures below
    FILE_MONITOR,
    test_aint_gives_a_value,
    test_aint_gives_the_remote_exception,
    test_an_interaction_serves_what_waits,
    test_asleep_is_pending_then_ready,
    test_the_connection_is_registered_with_a_foreign_loop,
    test_the_file_monitor_with_a_background_thread,
    test_the_file_monitor_without_a_background_thread,
)

PATIENCE = 60.0


@pytest.fixture(params=["stdio", "ssh"])
def reach(request, monkeypatch):
    """Give the function that has something served there, and gives the URL to connect to."""
    connect = nbrpc.connect
    if request.param == "ssh":
        request.getfixturevalue("gpu_box")
        monkeypatch.setattr(nbrpc, "connect", lambda url: connect(url, timeout=PATIENCE))
        return lambda target, folder: f"ssh://gpu-box/{target}?python={sys.executable}&cwd={folder}"

    def run(arguments):
        command = [sys.executable, "-m", "nbrpc", "serve", "--stdio", *arguments]
        return nbrpc.connect_command(command, timeout=PATIENCE)

    monkeypatch.setattr(nbrpc, "connect", run)

    def served(target, folder):
        monkeypatch.chdir(folder)
        return [target or "--classic"]

    return served


@pytest.fixture
def classic(reach, tmp_path):
    """Connect to a Python that runs code."""
    with nbrpc.connect(reach("", tmp_path)) as connection:
        yield connection


@pytest.fixture
def monitored(reach, tmp_path):
    """Serve the file monitor; give its URL and a file to change."""
    (tmp_path / "monitors.py").write_text(textwrap.dedent(FILE_MONITOR))
    path = tmp_path / "floop.bloop"
    path.write_bytes(b"")
    return reach("monitors:FileMonitorService", tmp_path), path
