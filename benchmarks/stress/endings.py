"""Rows about what cuts in: cancels and pings during a transfer, killed peers, interrupts."""

from __future__ import annotations

import os
import random
import signal
import statistics
import threading
import time

import nbrpc
from benchmarks.stress.bench import Outcome, errors, in_threads, server, started, until
from benchmarks.stress.calls import MEGABYTE, PROMPT

WAITERS = 16


def transfer(*, short: bool) -> Outcome:
    """Cancel and ping on the same connection while 1 GB is being sent, to the server and back."""
    size = (100 if short else 1_000) * MEGABYTE
    passed, texts = True, []
    with server() as at, at.connect() as connection:
        root = connection.root
        for direction in ("sent", "received"):
            sleeper = nbrpc.async_(root.sleep)(600)
            until(root.sleeping, 5)
            give = nbrpc.async_(root.give)
            data = bytes(size) if direction == "sent" else b""
            # The bytes are handed over on a thread of their own: sending so many takes the sender.
            sending = threading.Thread(
                target=(lambda: root.take(data))  # noqa: B023 - joined below, in this round
                if direction == "sent"
                else (lambda: give(len, size).wait()),  # noqa: B023 - the same
            )
            start = time.monotonic()
            sending.start()
            pings, cancelled_at = [], 0.0
            while sending.is_alive():
                begun = time.monotonic()
                connection.ping()
                pings.append(time.monotonic() - begun)
                if not cancelled_at and len(pings) == 5:
                    cancelled_at = time.monotonic()
                    sleeper.cancel()
            seconds = time.monotonic() - start
            sending.join()
            if not cancelled_at:
                return Outcome(False, "the transfer was over before five pings: no figure")
            until(lambda: not root.sleeping(), 5)
            delay = root.stopped_at() - cancelled_at
            passed = passed and max(pings) < PROMPT and 0 <= delay < PROMPT
            texts.append(
                f"{direction} {size // MEGABYTE} MB in {seconds:.2f} s: {len(pings)} pings, median "
                f"{statistics.median(pings) * 1e3:.1f} ms, longest {max(pings) * 1e3:.1f} ms; "
                f"cancel took effect after {delay * 1e3:.1f} ms"
            )
    return Outcome(passed, "; ".join(texts))


def kill(*, short: bool) -> Outcome:  # noqa: ARG001 - it is short
    """Kill the server, then a client, and time how soon every waiter on the other side knows."""
    woken: list[float] = []
    with server() as at, at.connect() as connection, at.connect() as watching:
        root = connection.root

        def wait(_index: int) -> None:
            try:
                root.sleep(600)
            except nbrpc.ConnectionLost:
                woken.append(time.monotonic())

        killed_at = [0.0]

        def killer() -> None:
            until(lambda: watching.root.sleeping() == WAITERS, 20)
            killed_at[0] = time.monotonic()
            at.process.kill()

        killing = threading.Thread(target=killer)
        killing.start()
        raised = in_threads(WAITERS, wait)
        killing.join()
        server_killed = [moment - killed_at[0] for moment in woken]
    with server() as at, at.connect() as watching:
        with started("benchmarks.stress.victim", str(at.load), str(WAITERS)) as victim:
            assert victim.stdout is not None
            victim.stdout.readline()
            moment = time.monotonic()
            victim.kill()
            until(lambda: len(watching.root.lost_at()) == WAITERS, 20)
        client_killed = [lost - moment for lost in watching.root.lost_at()]
    passed, texts = not raised, []
    for name, delays in (("server", server_killed), ("client", client_killed)):
        longest = max(delays, default=float("inf"))
        passed = passed and len(delays) == WAITERS and longest < PROMPT
        texts.append(
            f"{name} killed: {len(delays)} of {WAITERS} waiters woken, "
            f"the last after {longest * 1e3:.1f} ms"
        )
    return Outcome(passed, "; ".join(texts) + f"; {errors(raised)}")


def interrupts(*, short: bool) -> Outcome:
    """Interrupt waiting calls 500 times at random points; afterwards 1,000 calls are right."""
    wanted = 50 if short else 500
    caught, wrong, calls = 0, 0, 0
    finished = threading.Event()
    chance = random.Random(1)

    def interrupt() -> None:
        for number in range(wanted):
            # The next one is sent only when the last was caught and the caller is calling again.
            until(lambda: caught >= number, 10)  # noqa: B023 - polled in this round
            seen = calls
            until(lambda: calls > seen, 10)  # noqa: B023 - the same
            finished.wait(0.001 + chance.random() * 0.002)
            os.kill(os.getpid(), signal.SIGINT)
        until(lambda: caught >= wanted, 10)
        finished.set()

    with server() as at, at.connect() as connection:
        root = connection.root
        root.add(1, 2)
        # Its own handler, whatever the shell set for a program in the background.
        before = signal.signal(signal.SIGINT, signal.default_int_handler)
        sender = threading.Thread(target=interrupt)
        sender.start()
        try:
            while not finished.is_set():
                try:
                    while not finished.is_set():
                        wrong += root.add(calls, 1) != calls + 1
                        calls += 1
                except KeyboardInterrupt:
                    caught += 1
            sender.join()
            after = sum(root.add(number, 1) == number + 1 for number in range(1_000))
        finally:
            signal.signal(signal.SIGINT, before)
        pending = connection.statistics().pending
    text = (
        f"{caught} of {wanted} interrupts caught in {calls:,} calls, {wrong} wrong replies; "
        f"afterwards {after} of 1,000 calls right, {pending} pending"
    )
    return Outcome(caught == wanted and not wrong and after == 1_000 and not pending, text)
