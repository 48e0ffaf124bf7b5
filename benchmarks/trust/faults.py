"""Rows about peers that die, freeze and stall: T10 detect, T11 interrupt, T12 slow-consumer."""

from __future__ import annotations

import contextlib
import math
import os
import random
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path
from typing import Any, NamedTuple

import psutil

import nbrpc
from benchmarks.trust import rpyc_faults
from benchmarks.trust.rows import Figure, Outcome, row
from benchmarks.trust.service import ROOT, TOKEN, Service, running, url
from tests import test_namespaces
from tests.faults import FaultProxy
from tests.session import test_interrupts
from tests.support import eventually, start_server

WAITERS = 8
TUNED = nbrpc.Timing(silent_after=2.0)
"""What gives up within 3 s a peer that says nothing: here a relay acknowledges all the same."""


class Kill(NamedTuple):
    """What a killed server was like for those who waited."""

    last: float
    """Seconds until the last of them knew."""
    raw: float
    """Seconds until a plain socket beside them was closed: what the kernel itself takes."""
    hung: int
    """How many never knew."""


def _one_kill(chance: random.Random) -> Kill:
    """Kill a server under calls of many threads."""
    ended: list[float] = []
    closed: list[float] = []
    with (
        running() as (process, port),
        nbrpc.connect(url(port), token=TOKEN) as conn,
        socket.create_connection(("127.0.0.1", port)) as plain,
    ):
        root = conn.root

        def watch() -> None:
            with contextlib.suppress(OSError):
                while plain.recv(1024):
                    pass
            closed.append(time.monotonic())

        def work(index: int) -> None:
            try:
                while True:
                    root.nap(60) if index % 2 else root.add(1, 2)
            except nbrpc.ConnectionLost:
                ended.append(time.monotonic())

        threads = [threading.Thread(target=work, args=(i,), daemon=True) for i in range(WAITERS)]
        threads.append(threading.Thread(target=watch, daemon=True))
        for thread in threads:
            thread.start()
        results = [nbrpc.async_(root.nap)(60) for _ in range(WAITERS)]
        time.sleep(0.05 + chance.random() * 0.05)  # the kill comes at a random moment
        killed = time.monotonic()
        process.kill()
        for thread in threads:
            thread.join(5)
        for result in results:
            result.wait(5)
        hung = WAITERS - len(ended)
        hung += sum(not isinstance(r.exception(0), nbrpc.ConnectionLost) for r in results)
        return Kill(max(ended, default=float("inf")) - killed, closed[0] - killed, hung)


def _p99(seconds: list[float]) -> float:
    return sorted(seconds)[math.ceil(len(seconds) * 0.99) - 1]


def _pulled_cable() -> tuple[float, float] | None:
    """Pull the cable between two machines; give the seconds until either end has found out.

    None where there is no right to make networks.
    """
    if not test_namespaces.may_make_namespaces():
        return None
    usual = "timing = nbrpc.Timing()"
    server, client = (
        source.replace(test_namespaces.TIMING, usual)
        for source in (test_namespaces.SERVER, test_namespaces.CLIENT)
    )
    with tempfile.TemporaryDirectory() as name:
        network = test_namespaces.Network(Path(name))
        with network.stack:
            serving = network.run("server", server)
            serving.wait("listening")
            connected = network.run("client", client, "False")
            connected.wait("answered")
            pulled = network.down("server")
            ended = connected.wait("ended", seconds=60)[1] - pulled
            return ended, serving.wait("disconnected", seconds=60)[1] - pulled


def _silent_link(timing: nbrpc.Timing) -> tuple[float, float]:
    """Freeze a link; give the seconds until the client and the server have freed it."""
    with (
        nbrpc.serve(Service, token=TOKEN, timing=timing) as server,
        FaultProxy(server.port or 0) as proxy,
        nbrpc.connect(proxy.url, token=TOKEN, timing=timing) as conn,
    ):
        root = conn.root
        held = root.make(1)
        begun = time.monotonic()
        proxy.freeze()
        freed: list[float] = []

        def watch() -> None:
            eventually(lambda: not server.connections, 60)
            freed.append(time.monotonic() - begun)

        watching = threading.Thread(target=watch)
        watching.start()
        try:
            root.add(1, 2)
        except nbrpc.ConnectionLost:
            client = time.monotonic() - begun
        watching.join()
        assert server.statistics().exported == 0
        del held
        return client, freed[0]


def _frozen() -> list[float]:
    """Stop a server, and hand it 50 MB with a deadline of 2 s; give the seconds that it took."""
    data, taken = bytes(50_000_000), []
    with running() as (process, port):
        patient = nbrpc.Timing(heartbeat=60, dead_after=120, call=2.0)
        with nbrpc.connect(url(port), token=TOKEN, timing=patient) as conn:
            root = conn.root
            root.add(1, 2)
            os.kill(process.pid, signal.SIGSTOP)
            for call in (lambda: root.take(data), lambda: nbrpc.timed(root.take, 2)(data).result()):
                begun = time.monotonic()
                try:
                    call()
                except nbrpc.CallTimeout:
                    taken.append(time.monotonic() - begun)
            os.kill(process.pid, signal.SIGCONT)
            assert root.add(1, 2) == 3
    return taken


@row("T10", "detect", rpyc="measured beside it")
def detect(quick: bool) -> Outcome:  # noqa: FBT001 - the signature of all rows
    """Time to an error: peer killed or silent, cable pulled, peer frozen under a large argument."""
    chance = random.Random(10)
    kills = [_one_kill(chance) for _ in range(6 if quick else 100)]
    tuned = _silent_link(TUNED)
    figures = [
        Figure("kill -9, p99", _p99([kill.last for kill in kills]) * 1e3, 50, "ms"),
        Figure(
            "of which after a plain socket knew, p99",
            _p99([max(0.0, kill.last - kill.raw) for kill in kills]) * 1e3,
            unit="ms",
        ),
        Figure("waiters never told", sum(kill.hung for kill in kills), 0),
        Figure("silent for 2 s: client", tuned[0], 3, "s"),
        Figure("silent for 2 s: server", tuned[1], 3, "s"),
    ]
    usual = None if quick else _pulled_cable()
    if usual is not None:
        figures += [
            Figure("pulled cable: client", usual[0], 15, "s"),
            Figure("pulled cable: server", usual[1], 15, "s"),
        ]
    frozen = _frozen()
    figures.append(Figure("frozen, 50 MB, deadline 2 s", max(frozen), 2.1, "s"))
    figures.append(Figure("deadlines met", len(frozen), 2, at_least=True))
    return Outcome(
        figures,
        f"{len(kills)} kills under {2 * WAITERS} waiters, of which the last counts; p99 of a plain "
        f"socket beside them {_p99([kill.raw for kill in kills]) * 1e3:.1f} ms",
        rpyc=f"{rpyc_faults.kill()}; black hole: never, or its timeout of 30 s and one end only; "
        "frozen: 10.6 s",
    )


@row("T11", "interrupt", rpyc="hangs for ever after an interrupt in a frame")
def interrupt(quick: bool) -> Outcome:  # noqa: FBT001 - the signature of all rows
    """Ctrl-C at random points of calls that wait in every way; then 1,000 correct calls."""
    count = 64 if quick else 504
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as name:
        folder = Path(name)
        (folder / "calls.py").write_text(test_interrupts.SERVICE)
        server = start_server(folder / "output", "calls:Calls", "--port", "0", folder=folder)
        try:
            done = subprocess.run(
                [sys.executable, "-c", test_interrupts.PROGRAM.format(url=server.url, count=count)],
                capture_output=True, text=True, timeout=60 + count / 2, check=False,
            )  # fmt: skip
        except subprocess.TimeoutExpired:
            return Outcome([Figure("hung", 1, 0)], "the program did not end")
        finally:
            server.stop()
    words = done.stdout.split()
    if done.returncode or len(words) < 10:
        return Outcome([Figure("crashed", 1, 0)], (done.stdout + done.stderr)[-500:])
    said = dict(zip(words[::2], words[1::2], strict=False))
    return Outcome(
        [
            Figure("interrupts caught", float(said["struck"]), count, at_least=True),
            Figure("wrong replies afterwards", float(said["wrong"]), 0),
            Figure("links closed", float(said["closed"] == "True"), 0),
            Figure("left pending", float(said["pending"]), 0),
            Figure("slowest to the prompt", float(said["slowest"]) * 1e3, 100, "ms"),
        ],
        done.stderr[-300:],
    )


SUBSCRIBERS = """
import sys, threading
import nbrpc
url, token, count, links = sys.argv[1], sys.argv[2], int(sys.argv[3]), int(sys.argv[4])
received = [0] * links
last = threading.Barrier(links + 1)
def counter(index):
    def count_it(number, *_):
        received[index] += 1
        if number == count - 1:
            threading.Thread(target=last.wait).start()
    return count_it
for index in range(links):
    conn = nbrpc.connect(url, token=token)
    nbrpc.BgServingThread(conn)
    globals()[f"kept{index}"] = conn.root.told.subscribe(counter(index), maxsize=int(sys.argv[5]))
print("ready", flush=True)
last.wait()
print(min(received), flush=True)
"""


def _subscribers(port: int, count: int, links: int, maxsize: int = 20_000) -> subprocess.Popen[str]:
    """Start a process with so many subscribed connections."""
    process = subprocess.Popen(
        [sys.executable, "-c", SUBSCRIBERS, url(port), TOKEN, str(count), str(links), str(maxsize)],
        cwd=ROOT, stdout=subprocess.PIPE, text=True,
    )  # fmt: skip
    assert process.stdout is not None
    assert process.stdout.readline() == "ready\n"
    return process


def _large_events() -> float:
    """Stop a subscriber of large events; give the bytes by which that makes the server grow."""
    with running() as (process, port):
        frozen = _subscribers(port, 10**9, 1, 1_000)
        try:
            os.kill(frozen.pid, signal.SIGSTOP)
            server = psutil.Process(process.pid)
            with nbrpc.connect(url(port), token=TOKEN) as conn:
                root = conn.root
                root.add(1, 2)
                before = server.memory_info().rss
                root.publish(200, 1_000.0, 1_000_000)
                return server.memory_info().rss - before
        finally:
            frozen.kill()
            frozen.communicate()


@row("T12", "slow-consumer", rpyc="140 MB/s, or the publisher blocked for ever")
def slow_consumer(quick: bool) -> Outcome:  # noqa: FBT001 - the signature of all rows
    """Publish to ten subscribers, one of them stopped."""
    count, rate = (10_000, 2_000.0) if quick else (100_000, 4_000.0)
    people: list[Any] = []
    with running() as (process, port):
        try:
            people = [_subscribers(port, count, links) for links in (1, 3, 3, 3)]
            frozen, *healthy = people
            os.kill(frozen.pid, signal.SIGSTOP)
            server = psutil.Process(process.pid)
            with nbrpc.connect(url(port), token=TOKEN) as conn:
                root = conn.root
                root.add(1, 2)
                before, most, stop = server.memory_info().rss, 0, threading.Event()

                def watch() -> None:
                    nonlocal most
                    while not stop.wait(0.1):
                        most = max(most, server.memory_info().rss)

                watching = threading.Thread(target=watch)
                watching.start()
                try:
                    p99, longest = root.publish(count, rate)
                finally:
                    stop.set()
                    watching.join()
            received = [int(person.stdout.readline()) for person in healthy]
        finally:
            for person in people:
                person.kill()
                person.communicate()
    return Outcome(
        [
            Figure("server grew by", (most - before) / 1e6, 16, "MB"),
            Figure("emit, p99", p99 * 1e3, 1, "ms"),
            Figure("grew by, 1 MB events", _large_events() / 1e6, 16, "MB"),
            Figure("received by the slowest of the others", min(received), count, at_least=True),
        ],
        f"{count:,} events at {rate:,.0f} a second; longest emit {longest * 1e3:.1f} ms",
    )
