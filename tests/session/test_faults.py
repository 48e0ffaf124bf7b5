"""Faults in short form: killed, frozen and slow peers, spoiled links, exhausted processes.

The figures of each are in ``python -m benchmarks.trust``; here only the bounds are wide.
"""

from __future__ import annotations

import contextlib
import gc
import logging
import os
import random
import signal
import subprocess
import sys
import threading
import time
import weakref

import psutil
import pytest

import nbrpc
from tests.certificates import issue
from tests.faults import Fault, FaultProxy
from tests.support import eventually

QUICK = nbrpc.Timing(heartbeat=0.2, silent_after=0.8)
TOKEN = "t" * 32

SERVICE = """
import os, threading, time
import nbrpc

class Faulty(nbrpc.Service):
    told = nbrpc.event()
    def __init__(self):
        self.ran = []
    def exposed_add(self, a, b):
        return a + b
    def exposed_nap(self, seconds):
        time.sleep(seconds)  # what the service does
    def exposed_take(self, data):
        return len(data)
    def exposed_give(self, size):
        return bytes(size)
    def exposed_make(self):
        return threading.Event()
    def exposed_count(self, number):
        yield from range(number)
    def exposed_note(self, number):
        self.ran.append(number)
        return number
    def exposed_noted(self):
        return tuple(self.ran)
    def exposed_flood(self, count, size):
        longest = 0.0
        for number in range(count):
            begun = time.perf_counter()
            self.told.emit(number, bytes(size))
            longest = max(longest, time.perf_counter() - begun)
            if number % 100 == 99:
                time.sleep(0.002)  # the pace of the events
        return longest
    def exposed_nest(self, callback, value):
        return callback(value)
"""

namespace: dict = {}
exec(SERVICE, namespace)
Faulty = namespace["Faulty"]


@pytest.fixture
def faulty(served, tmp_path):
    """Give a server of the service in a process of its own."""
    (tmp_path / "faulty.py").write_text(SERVICE)
    return served("faulty:Faulty", folder=tmp_path)


@pytest.fixture
def proxied(serving):
    """Serve here, behind a proxy: ``server, proxy = proxied(**options)``."""
    with contextlib.ExitStack() as stack:

        def serve(service=Faulty, seed=0, **options):
            server = serving(service, token=TOKEN, **options)
            return server, stack.enter_context(FaultProxy(server.port, seed))

        yield serve


def connect(proxy, **options):
    """Connect through a proxy."""
    return nbrpc.connect(proxy.url, token=TOKEN, **options)


def call_until_lost(root):
    """Call again and again; the link is to end one of them."""
    while True:
        root.add(1, 2)


# ---- peers that die or stop


def test_every_pending_result_ends_when_the_peer_is_killed(faulty):
    """Results, their callbacks and later calls have one end each, and say what may have run."""
    with nbrpc.connect(faulty.url) as conn:
        root = conn.root
        ended = []
        results = [nbrpc.async_(root.nap)(60) for _ in range(100)]
        for result in results:
            result.add_callback(ended.append)
        assert root.add(1, 2) == 3
        faulty.process.kill()
        for result in results:
            result.wait(10)
            with pytest.raises(nbrpc.ConnectionLost) as raised:
                result.result()
            assert raised.value.maybe_executed
        with pytest.raises(nbrpc.ConnectionLost) as raised:
            root.add(1, 2)
        assert not raised.value.maybe_executed
        eventually(lambda: len(ended) == 100)
        assert conn.statistics().pending == 0


def test_kill_in_the_middle_of_a_transfer(faulty):
    """A peer that dies while 20 MB are on their way, in either direction, hangs nobody."""
    with nbrpc.connect(faulty.url) as conn:
        root = conn.root
        root.add(1, 2)
        giving = nbrpc.async_(root.give)(20_000_000)
        taking = nbrpc.async_(root.take)(bytes(20_000_000))
        faulty.process.kill()
        for result in (giving, taking):
            result.wait(10)
            assert result.exception() is None or isinstance(
                result.exception(), nbrpc.ConnectionLost
            )


def test_a_black_hole_is_found_on_both_ends(proxied):
    """Nothing passes through a relay that lives on: with `silent_after` both ends free all."""
    held = []

    class Holding(Faulty):
        def exposed_make(self):
            made = super().exposed_make()
            held.append(weakref.ref(made))
            return made

    gone = threading.Event()
    Holding.on_disconnect = lambda self, conn: gone.set()
    server, proxy = proxied(Holding, timing=QUICK)
    with connect(proxy, timing=QUICK) as conn:
        root = conn.root
        made = [root.make() for _ in range(10)]
        conn.root.told.subscribe(print)
        assert server.statistics().exported >= 10
        pending = [nbrpc.async_(root.nap)(0.1) for _ in range(3)]
        eventually(lambda: all(result.ready for result in pending))
        proxy.freeze()
        waiting = nbrpc.async_(root.add)(1, 2)
        waiting.wait(15)
        assert isinstance(waiting.exception(), nbrpc.ConnectionLost)
        with pytest.raises(nbrpc.ConnectionLost):
            made[0].is_set()
        assert conn.closed
        assert gone.wait(15)
        eventually(lambda: not server.connections)
        figures = server.statistics()
        assert (figures.connections, figures.exported, figures.pending) == (0, 0, 0)
        gc.collect()
        eventually(lambda: not any(ref() for ref in held))
        assert server.connections == set()


@pytest.mark.parametrize("stopped", ["to_server", "to_client"])
def test_half_open_links_are_found(proxied, stopped):
    """One direction is dead: the end that hears nothing gives up, and the other learns of it."""
    server, proxy = proxied(timing=QUICK)
    with connect(proxy, timing=QUICK) as conn:
        root = conn.root
        assert root.add(1, 2) == 3
        proxy.half_open(stopped)
        with pytest.raises(nbrpc.ConnectionLost):
            call_until_lost(root)
        proxy.pass_through()  # so that a goodbye can pass, late
        eventually(lambda: not server.connections)
        assert conn.closed


def test_a_deadline_covers_sending(proxied):
    """A large argument to a peer that reads nothing: the caller is free at its deadline."""
    _, proxy = proxied()
    data = bytes(50_000_000)
    with connect(proxy, timing=nbrpc.Timing(heartbeat=60, dead_after=120)) as conn:
        root = conn.root
        assert root.add(1, 2) == 3
        proxy.freeze()
        begun = time.monotonic()
        with pytest.raises(nbrpc.CallTimeout):
            nbrpc.timed(root.take, 1.0)(data).result()
        taken = time.monotonic() - begun
        assert 0.9 < taken < 10, "the link is frozen until long after"
        with pytest.raises(nbrpc.CallTimeout):
            nbrpc.timed(root.add, 0.2)(1, 2).result()
        proxy.pass_through()
        assert root.add(2, 2) == 4
        assert not conn.closed


SUBSCRIBER = """
import sys, threading
import nbrpc
conn = nbrpc.connect(sys.argv[1])
got = 0
def count(number, data):
    global got
    got += 1
    if number == int(sys.argv[2]) - 1:
        print(got, flush=True)
with nbrpc.BgServingThread(conn):
    conn.root.told.subscribe(count, maxsize=int(sys.argv[3]))
    print("ready", flush=True)
    sys.stdin.read()
"""


def test_a_frozen_subscriber_costs_only_its_own_queue(faulty):
    """The others get every event, the publisher is never held up, and memory is bounded."""
    count, size = 20_000, 100
    people = []
    try:
        for _ in range(4):
            person = subprocess.Popen(
                [sys.executable, "-c", SUBSCRIBER, faulty.url, str(count), "20000"],
                stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
            )  # fmt: skip
            people.append(person)
        assert all(person.stdout.readline() == "ready\n" for person in people)
        frozen, *healthy = people
        # A small queue for the frozen one would bound less; this one's may hold all events.
        os.kill(frozen.pid, signal.SIGSTOP)
        eventually(lambda: psutil.Process(frozen.pid).status() == psutil.STATUS_STOPPED)
        server = psutil.Process(faulty.pid)
        before = server.memory_info().rss
        with nbrpc.connect(faulty.url) as conn:
            longest = conn.root.flood(count, size)
        grown = server.memory_info().rss - before
        print(f"longest emit {longest * 1e3:.2f} ms, grown {grown / 1e6:.1f} MB")
        for person in healthy:
            assert person.stdout.readline() == f"{count}\n"
        assert longest < 2.0
        assert grown < 64e6
    finally:
        for person in people:
            person.kill()
            person.communicate()


# ---- links that are spoiled


@pytest.mark.parametrize("largest", [1, 7, 1000])
def test_any_pieces_are_the_same_bytes(proxied, largest):
    """Calls, transfers, streams, callbacks and events work in whatever pieces they come."""
    server, proxy = proxied(seed=largest)
    proxy.split(largest)
    service = server.service if not isinstance(server.service, type) else server._shared
    with connect(proxy) as conn:
        root = conn.root
        got = []
        with nbrpc.BgServingThread(conn):
            root.told.subscribe(lambda number, data: got.append(number))
            assert [root.add(i, 1) for i in range(50)] == list(range(1, 51))
            assert root.take(bytes(20 * largest + 3000)) == 20 * largest + 3000
            assert root.give(20 * largest + 3000) == bytes(20 * largest + 3000)
            assert list(root.count(500)) == list(range(500))
            assert root.nest(lambda x: root.add(x, 1), 41) == 42
            for number in range(50):
                service.told.emit(number, b"")
            eventually(lambda: got == list(range(50)), 10)
        assert not conn.closed


def test_flipped_bits_hang_nobody_and_crash_nothing(proxied, caplog):
    """Without TLS a value may be wrong; but every call ends, and the server lives on."""
    server, proxy = proxied(seed=7)
    timing = nbrpc.Timing(heartbeat=0.2, silent_after=1.0, call=0.5)
    ended = {"right": 0, "wrong": 0, "refused": 0}
    chance = random.Random(7)
    with caplog.at_level(logging.ERROR, "nbrpc"):
        for _ in range(20):
            proxy.pass_through()
            with connect(proxy, timing=timing) as conn:
                root = conn.root
                root.add(1, 2)
                calls = [
                    lambda root=root: root.add(1, 2) == 3,
                    lambda root=root: root.give(3000) == bytes(3000),
                    lambda root=root: root.take(bytes(3000)) == 3000,
                    lambda root=root: list(root.count(50)) == list(range(50)),
                    lambda root=root: root.make().is_set() is False,
                ]
                proxy.flip(10 ** chance.uniform(-4, -1.5))
                for call in chance.sample(calls, 3):
                    try:
                        ended["right" if call() else "wrong"] += 1
                    except Exception:  # a spoiled description may be anything, as a value may
                        ended["refused"] += 1
    print(ended)
    assert ended["refused"]
    assert not [record for record in caplog.records if record.exc_info], caplog.text
    proxy.pass_through()
    with connect(proxy) as conn:
        assert conn.root.add(1, 2) == 3
    eventually(lambda: not server.connections)


def test_flipped_bits_of_a_handshake(proxied):
    """Spoiled from the first byte: refused or lost, soon."""
    server, proxy = proxied(seed=3, timing=nbrpc.Timing(handshake=1.0))
    for share in (0.001, 0.01, 0.1, 0.5) * 4:
        proxy.flip(share)
        try:
            with nbrpc.connect(proxy.url, token=TOKEN, timeout=2) as conn:
                conn.ping(timeout=2)
        except nbrpc.NbrpcError:
            pass  # any of ours is right, and nothing else
    proxy.pass_through()
    with connect(proxy) as conn:
        assert conn.root.add(1, 2) == 3
    eventually(lambda: not server.connections, 10)


def test_flipped_bits_under_tls_are_never_a_wrong_value(proxied, tmp_path):
    """With TLS a spoiled byte ends the link: every call is right, or lost."""
    issued = issue(tmp_path, "site")
    server, proxy = proxied(seed=11, tls=nbrpc.TLS(cert=issued.cert, key=issued.key))
    timing = nbrpc.Timing(heartbeat=0.2, silent_after=1.0, call=1.0)
    url = proxy.url.replace("nbrpc:", "nbrpcs:")
    lost = 0
    for share in (0.0001, 0.001, 0.01) * 4:
        proxy.pass_through()
        tls = nbrpc.TLS(fingerprint=issued.fingerprint)
        with nbrpc.connect(url, token=TOKEN, tls=tls, timing=timing) as conn:
            root = conn.root
            root.add(1, 2)
            proxy.flip(share)
            try:
                for number in range(20):
                    assert root.add(number, 1) == number + 1
                    assert root.give(300) == bytes(300)
            except (nbrpc.ConnectionLost, nbrpc.CallTimeout):
                lost += 1
    assert lost >= 4
    eventually(lambda: not server.connections, 10)


@pytest.mark.parametrize("kind", ["tcp", "tls"])
def test_small_pieces_with_delays(proxied, tmp_path, kind):
    """Records in pieces of a few bytes, and a delay on each."""
    issued = issue(tmp_path, "site")
    options = {"tls": nbrpc.TLS(cert=issued.cert, key=issued.key)} if kind == "tls" else {}
    _, proxy = proxied(seed=5, **options)
    proxy.fault = Fault(largest=50, delay=0.0005)
    url = proxy.url.replace("nbrpc:", "nbrpcs:") if options else proxy.url
    tls = nbrpc.TLS(fingerprint=issued.fingerprint) if options else None
    with nbrpc.connect(url, token=TOKEN, tls=tls) as conn:
        assert [conn.root.add(i, 1) for i in range(20)] == list(range(1, 21))
        assert conn.root.give(5000) == bytes(5000)


@pytest.mark.parametrize("way", ["cut", "reset"])
def test_a_link_that_is_cut_under_calls(proxied, way):
    """Everybody who waits is told, on both ends, and the next connection works."""
    server, proxy = proxied()
    with connect(proxy) as conn:
        root = conn.root
        results = [nbrpc.async_(root.nap)(0.3) for _ in range(10)]
        root.add(1, 2)
        getattr(proxy, way)()
        for result in results:
            result.wait(10)
            assert isinstance(result.exception(), nbrpc.ConnectionLost)
            assert result.exception().maybe_executed
        eventually(lambda: not server.connections)
    with connect(proxy) as conn:
        assert conn.root.add(1, 2) == 3


# ---- coming back


def breaks(proxy, way):
    """Break a link, in one of the ways, and let it be whole again."""
    if way == "freeze":
        proxy.freeze()
        proxy.cut()
        proxy.pass_through()
    else:
        getattr(proxy, way)()
        proxy.pass_through()


@pytest.mark.parametrize("way", ["cut", "reset", "refuse", "freeze"])
def test_it_comes_back_and_no_call_runs_twice(proxied, way):
    """Calls while the link breaks again and again: each runs once or fails, never twice."""
    _, proxy = proxied(Faulty(), timing=QUICK)
    ended = {}
    with connect(proxy, reconnect=True, timing=QUICK) as conn:
        root = conn.root
        stop = threading.Event()

        def call(first):
            number = first
            while not stop.is_set():
                number += 2
                try:
                    ended[number] = root.note(number)
                except nbrpc.ConnectionLost as error:
                    ended[number] = error

        threads = [threading.Thread(target=call, args=(first,)) for first in (0, 1)]
        for thread in threads:
            thread.start()
        try:
            for turn in range(1, 6):
                seen = len(ended)
                eventually(lambda seen=seen: len(ended) > seen + 10, 10)
                breaks(proxy, way)
                eventually(lambda turn=turn: conn.revival.came_back >= turn, 10)
        finally:
            stop.set()
            for thread in threads:
                thread.join(10)
        assert not any(thread.is_alive() for thread in threads)
        ran = root.noted()
    assert len(ran) == len(set(ran)), "a call ran twice"
    for number, outcome in ended.items():
        if isinstance(outcome, int):
            assert outcome == number
            assert number in ran
        elif not outcome.maybe_executed:
            assert number not in ran


def test_it_comes_back_from_a_black_hole(proxied):
    """A link that went silent is given up where asked for, and made anew when it is whole."""
    server, proxy = proxied(timing=QUICK)
    with connect(proxy, reconnect=True, timing=QUICK) as conn:
        root = conn.root
        assert root.add(1, 2) == 3
        proxy.freeze()
        eventually(lambda: conn.state == "reconnecting", 15)
        proxy.cut()
        proxy.pass_through()
        assert root.add(2, 2) == 4
        eventually(lambda: len(server.connections) == 1, 15)


# ---- clocks


@pytest.mark.parametrize("jump", [3600.0, -3600.0])
def test_a_jump_of_the_clock_changes_nothing(proxied, monkeypatch, jump):
    """An hour forth or back: calls in time succeed, calls out of time fail."""
    _, proxy = proxied(timing=QUICK)
    with connect(proxy, timing=QUICK) as conn:
        root = conn.root
        assert root.add(1, 2) == 3
        real = time.time
        monkeypatch.setattr(time, "time", lambda: real() + jump)
        assert nbrpc.timed(root.add, 5)(1, 2).result() == 3
        with pytest.raises(nbrpc.CallTimeout):
            nbrpc.timed(root.nap, 0.1)(0.6).result()
        proxy.fault = Fault(delay=0.01)
        time.sleep(1.0)  # longer than silent_after: only answered pings keep the link
        assert root.add(2, 2) == 4
        assert not conn.closed
