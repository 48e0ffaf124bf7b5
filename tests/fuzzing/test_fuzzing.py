"""Nothing that a peer may send does anything but what each target says; a short form of it.

The long form is ``python -m benchmarks.trust fuzz``.
"""

from __future__ import annotations

import random
import time

import pytest

from nbrpc.protocol.rpyc import brine
from tests.fuzzing import run
from tests.fuzzing.mutator import INTERESTING, in_parts, mutated
from tests.fuzzing.targets import NATIVE, TARGETS


@pytest.mark.parametrize("name", TARGETS)
def test_nothing_is_found(name):
    """A few thousand inputs, others on each day, keep the invariant."""
    found = run.fuzz(name, int(time.time()) // 86_400 * 1_000_000, 3_000)
    assert found.finds == []
    assert found.executions == 3_000


def test_finds_are_told(monkeypatch):
    """An error that is not allowed, a broken invariant and a hang are found, and come again."""

    def fails(chance):
        if chance.random() < 0.01:
            raise KeyError("not allowed")

    def spins(chance):
        while chance.random() < 2:
            if time.thread_time() - spins.begun > 3 * run.SLOW:
                spins.begun = time.thread_time()
                return

    spins.begun = time.thread_time()
    monkeypatch.setitem(TARGETS, "fails", fails)
    monkeypatch.setitem(TARGETS, "spins", spins)
    found = run.fuzz("fails", 0, 2_000, most=2)
    assert len(found.finds) == 2
    assert "KeyError" in found.finds[0]
    assert "".join(run.fuzz("fails", found.executions - 1, 1).finds) == found.finds[1]
    (slow,) = run.fuzz("spins", 7, 1).finds
    assert slow.startswith("spins 7: ")


def test_a_planted_bug_is_found(monkeypatch):
    """A decoder that lets an IndexError through for what is cut short is found soon."""
    honest = brine.loads

    def careless(data, *rest):
        if data[-1:] == b"\xff":
            raise IndexError
        return honest(data, *rest)

    monkeypatch.setattr(brine, "loads", careless)
    assert run.fuzz("brine_values", 0, 5_000).finds


def test_the_same_seed_gives_the_same():
    """And all ways to change bytes come up, the whole of it among the parts."""
    some = [mutated(NATIVE[0], NATIVE, random.Random(seed)) for seed in range(300)]
    assert some == [mutated(NATIVE[0], NATIVE, random.Random(seed)) for seed in range(300)]
    assert len(set(some)) > 200
    assert NATIVE[0] in some
    assert any(value in data for value in INTERESTING[:3] for data in some)
    for seed in range(50):
        assert b"".join(in_parts(NATIVE[0], random.Random(seed))) == NATIVE[0]
