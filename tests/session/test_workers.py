"""Jobs on the reactor's workers: each runs once, none waits for ever, no connection takes all."""

from __future__ import annotations

import random
import threading
from collections import Counter

import pytest

import nbrpc
from nbrpc.session import dispatch
from nbrpc.session.dispatch import Workers
from nbrpc.session.reactor import WORKER_LIMIT, reactor
from tests.support import eventually

FEW = 6
"""Jobs of one connection that may run at once in some of these tests."""


class Lab(nbrpc.Service):
    def __init__(self):
        self.gate = threading.Event()
        self.held = Counter()

    def exposed_hold(self, who=""):
        self.held[who] += 1
        self.gate.wait(30)
        return who

    def exposed_add(self, a, b):
        return a + b

    def exposed_back(self, callback, depth):
        return depth if depth == 0 else callback(depth)


@pytest.fixture
def lab():
    """Give the service; its gate opens in the end."""
    service = Lab()
    yield service
    service.gate.set()


class Task:
    """A job that notes that it ran; some give more jobs, some fail."""

    def __init__(self, home, ran, name, more=0):
        self.home, self.ran, self.name, self.more = home, ran, name, more

    def run(self):
        self.ran.append(self.name)
        for number in range(self.more):
            self.home.submit(Task(self.home, self.ran, (*self.name, number)))
        if self.more == 1:
            raise ValueError("a job that fails")  # what the worker survives


def test_each_job_runs_once(caplog):
    """Whichever threads submit them, jobs among them: none is lost, none runs twice."""
    homes = [Workers() for _ in range(5)]
    ran, threads, expected = [], [], set()
    chance = random.Random(1)
    for index in range(8):
        tasks = [
            Task(home, ran, (index, number), chance.choice((0, 0, 1, 3)))
            for number in range(400)
            for home in [chance.choice(homes)]
        ]
        for task in tasks:
            expected |= {task.name, *((*task.name, number) for number in range(task.more))}
        submit = [(task.home.submit, task) for task in tasks]
        threads.append(
            threading.Thread(target=lambda todo=submit: [give(task) for give, task in todo])
        )
    reactor().call_later(0, Task(homes[0], ran, (-1,)))  # so that there is a leader
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(30)
    eventually(lambda: len(ran) > len(expected), 30)
    assert Counter(ran) == Counter([*expected, (-1,)])


def test_nested_calls_need_no_turn(linked, lab, monkeypatch):
    """All that a connection may run wait for callbacks whose handlers call back."""
    monkeypatch.setattr(dispatch, "MOST_RUNNING", FEW)
    conn = linked(lab)
    back = conn.root.back

    def callback(depth):
        return back(callback, depth - 1)

    results = [nbrpc.async_(back)(callback, 4) for _ in range(4 * FEW)]
    assert nbrpc.gather(results).result(20) == [0] * (4 * FEW)


def test_one_connection_does_not_take_all(linked, lab, monkeypatch):
    """Jobs that block take some workers; another connection is served, and in the end all end."""
    monkeypatch.setattr(dispatch, "MOST_RUNNING", 4 * FEW)
    conn = linked(lab)
    held = [nbrpc.async_(conn.root.hold)("a") for _ in range(300)]
    eventually(lambda: lab.held["a"] >= 4 * FEW)
    other = linked(lab)
    assert other.root.add(1, 2) == 3
    # The short way of a lone request goes by at most some.
    assert 4 * FEW <= lab.held["a"] <= 4 * FEW + 2 * 16
    lab.gate.set()
    assert nbrpc.gather(held).result(20) == ["a"] * 300


def test_served_after_all_workers_were_taken(linked, lab):
    """The worker beyond the limit, which only reads meanwhile, is not kept afterwards."""
    conns = [linked(lab) for _ in range(3)]
    each = WORKER_LIMIT // 2 + 40
    held = [
        nbrpc.async_(conn.root.hold)(number) for number, conn in enumerate(conns)
        for _ in range(each)
    ]  # fmt: skip
    eventually(lambda: lab.held.total() >= WORKER_LIMIT, 20)
    lab.gate.set()
    for result in held:
        result.result(20)
    eventually(lambda: not reactor().jobs)
    for conn in conns:
        assert nbrpc.async_(conn.root.add)(2, 3).result(5) == 5
