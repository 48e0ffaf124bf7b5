"""How programs end, fork, collect and reload, whatever is open then: see ``tests/lives``."""

from __future__ import annotations

import ast
import importlib
import threading
from pathlib import Path

import pytest

import nbrpc
from tests.lives.running import LIVES, SERVICE, run_lives

MOST = 5.0
"""Seconds that a script may take to end on a busy machine; the figure itself is a benchmark."""


@pytest.fixture
def url(served, tmp_path):
    """Give the URL of a server in a process of its own."""
    (tmp_path / "host.py").write_text(SERVICE)
    return served("host:Host", folder=tmp_path).url


@pytest.mark.parametrize("group", sorted({life.group for life in LIVES.values()}))
def test_lives(url, group):
    """Each keeps its exit code, prints nothing of ours, and ends soon."""
    names = [name for name, life in LIVES.items() if life.group == group]
    outcomes = run_lives(names, url)
    wrong = [f"{outcome.name}: {outcome.wrong}" for outcome in outcomes if outcome.wrong]
    assert not wrong, "\n".join(wrong)
    slowest = max(outcomes, key=lambda outcome: outcome.seconds)
    print(f"{len(outcomes)} scripts, the slowest end {slowest.seconds:.2f} s: {slowest.name}")
    assert slowest.seconds < MOST, slowest
    with nbrpc.connect(url) as conn:
        assert conn.root.add(1, 2) == 3


def test_there_are_many():
    """The scoreboard asks for thirty."""
    assert len(LIVES) >= 30


def test_a_reload_starts_nothing(serving, connecting):
    """``importlib.reload`` leaves connections and threads as they are."""
    conn = connecting(serving([1]))
    assert len(conn.root) == 1
    before = {thread for thread in threading.enumerate() if thread.name.startswith("nbrpc-")}
    importlib.reload(nbrpc)
    assert len(conn.root) == 1
    after = {thread for thread in threading.enumerate() if thread.name.startswith("nbrpc-")}
    assert before == after


def reads_the_wall_clock(node):
    """Say whether a node of a syntax tree is ``time.time``, or imports it."""
    names = {"time", "time_ns"}
    if isinstance(node, ast.Attribute):
        return isinstance(node.value, ast.Name) and node.value.id == "time" and node.attr in names
    if isinstance(node, ast.ImportFrom):
        return node.module == "time" and bool(names & {alias.name for alias in node.names})
    return False


def test_the_core_never_reads_the_wall_clock():
    """Deadlines, heartbeats and pauses are monotonic: only what is shown or written down is not."""
    folder = Path(nbrpc.__file__).parent
    shown = {"widgets", "compat"}  # times of day for people; RPyC's registry and its Timeout
    found = [
        f"{path.relative_to(folder)}:{node.lineno}"
        for path in folder.rglob("*.py")
        if path.relative_to(folder).parts[0] not in shown
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
        if reads_the_wall_clock(node)
    ]
    assert not found
