"""The row about everything that breaks at random: T15 chaos.

Threads call a server through a `FaultProxy` over connections that come back by themselves, while
the link is frozen, cut, reset, split and delayed, and the server is killed and started anew. Every
call has a number of its own, which the server appends to a ledger on disk when it runs it; so it is
known afterwards which ran, and how often.

A violation is a call that ran twice, one that returned and is not in the ledger, one that said that
it was never sent and is, a wrong reply, an event twice, or a proxy that reached another object.
"""

from __future__ import annotations

import itertools
import random
import socket
import tempfile
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import nbrpc
from benchmarks.trust.rows import Figure, Outcome, row
from benchmarks.trust.service import TOKEN, running
from tests.faults import Fault, FaultProxy

CALL = 8.0
"""The deadline of every call, in seconds; a call hangs when it takes 4 s more."""

CONNECTIONS = 2
CALLERS = 2
"""Threads on each connection."""

TIMING = nbrpc.Timing(heartbeat=0.5, silent_after=2.0, call=CALL)


class World:
    """The server, the link to it, and what becomes of them."""

    def __init__(self, ledger: Path, seed: int) -> None:
        with socket.create_server(("127.0.0.1", 0)) as free:
            self._port = free.getsockname()[1]
        self._ledger = ledger
        self._server = ExitStack()
        self.process: Any = None
        self.start()
        self.proxy = FaultProxy(self._port, seed)
        self.chance = random.Random(seed)
        self.happened: Counter[str] = Counter()

    def start(self) -> None:
        """Start the server on its port."""
        self.process, _ = self._server.enter_context(running(self._port, self._ledger))

    def kill(self) -> None:
        """Kill it."""
        self._server.close()

    def close(self) -> None:
        """End everything."""
        self.proxy.close()
        self.kill()

    # ---- what may happen; each ends with a link that is whole

    def cut(self) -> None:
        """Close the links."""
        self.proxy.cut()

    def reset(self) -> None:
        """Reset them."""
        self.proxy.reset()

    def restart(self) -> None:
        """Kill the server, and start it anew, at once or after a while."""
        self.kill()
        time.sleep(self.chance.choice((0.0, 0.0, 0.5)))  # how long the fault lasts
        self.start()

    def refuse(self) -> None:
        """Hang up on everybody for a while."""
        self.proxy.refuse()
        time.sleep(self.chance.uniform(0.1, 0.5))  # how long the fault lasts

    def freeze(self) -> None:
        """Forward nothing for a while, too short to be noticed."""
        self.proxy.freeze()
        time.sleep(self.chance.uniform(0.05, 0.5))  # how long the fault lasts

    def freeze_and_cut(self) -> None:
        """Forward nothing for a while, and never what was held."""
        self.freeze()
        self.proxy.cut()

    def black_hole(self) -> None:
        """Forward nothing until both ends have given up."""
        self.proxy.freeze()
        time.sleep(3.5)  # how long the fault lasts
        self.proxy.cut()

    def half_open(self) -> None:
        """Forward nothing in one direction for a while, then cut."""
        self.proxy.half_open(self.chance.choice(("to_server", "to_client")))
        time.sleep(self.chance.uniform(0.05, 0.5))  # how long the fault lasts
        self.proxy.cut()

    def split(self) -> None:
        """Forward in small pieces, with delays, and cut in the middle of one."""
        self.proxy.fault = Fault(largest=7, delay=0.001, jitter=0.002)
        time.sleep(self.chance.uniform(0.1, 0.3))  # how long the fault lasts
        self.proxy.cut()

    def trickle(self) -> None:
        """Forward slowly for a while."""
        self.proxy.trickle(2000)
        time.sleep(self.chance.uniform(0.1, 0.5))  # how long the fault lasts

    def disturb(self) -> str:
        """Have something happen, and make it whole again; give what it was."""
        ways: list[Callable[[], None]] = [
            self.cut, self.reset, self.restart, self.refuse, self.freeze, self.freeze_and_cut,
            self.half_open, self.split, self.trickle,
        ]  # fmt: skip
        way = self.chance.choices([*ways, self.black_hole], [2] * len(ways) + [1])[0]
        way()
        self.proxy.pass_through()
        self.happened[way.__name__] += 1
        return way.__name__


class Caller:
    """A thread that calls, and notes what it was told of each call."""

    def __init__(
        self, conn: nbrpc.Connection, numbers: Iterator[int], stop: threading.Event
    ) -> None:
        self.conn = conn
        self.root = conn.root
        self.numbers = numbers
        self.stop = stop
        self.returned: set[int] = set()
        self.never_sent: set[int] = set()
        self.successes: list[float] = []
        """When calls have returned."""
        self.failed = 0
        self.violations: list[str] = []
        self.begun = time.monotonic()
        self.longest = 0.0
        self.thread = threading.Thread(target=self.run, daemon=True)

    def run(self) -> None:
        """Call until told to stop."""
        part = None
        while not self.stop.is_set():
            number = next(self.numbers)
            self.begun = time.monotonic()
            try:
                if number % 10 == 0:
                    part = (number, self.root.make(number))
                elif number % 10 == 5 and part is not None:
                    made, proxy = part
                    if proxy.get() != made:
                        self.violations.append(f"a proxy of {made} reached another object")
                else:
                    self.note(number)
                self.successes.append(time.monotonic())
            except nbrpc.StaleReference:
                part = None
            except (nbrpc.ConnectionLost, nbrpc.CallTimeout):
                self.failed += 1
            except Exception as error:  # every failure goes into the ledger
                self.violations.append(f"{type(error).__name__}: {error}")
            self.longest = max(self.longest, time.monotonic() - self.begun)
        self.begun = float("inf")

    def note(self, number: int) -> None:
        """Have a number noted in the ledger."""
        try:
            given = self.root.note(number)
        except nbrpc.ConnectionLost as error:
            if not error.maybe_executed:
                self.never_sent.add(number)
            raise
        self.returned.add(number)
        if given != number:
            self.violations.append(f"{number} was answered with {given!r}")

    @property
    def hangs(self) -> bool:
        """Whether a call is far beyond its deadline."""
        return self.begun < time.monotonic() - CALL - 4


def _violations(callers: list[Caller], events: list[list[int]], ledger: Path) -> list[str]:
    """Compare what callers and subscribers were told with what the server ran."""
    ran = Counter(map(int, ledger.read_text().split()))
    found = [text for caller in callers for text in caller.violations]
    found += [f"call {number} ran {count} times" for number, count in ran.items() if count > 1]
    for caller in callers:
        found += [f"call {number} returned and never ran" for number in caller.returned - set(ran)]
        found += [
            f"call {number} ran, and was said not to have been sent"
            for number in caller.never_sent & set(ran)
        ]
    for heard in events:
        found += [f"event {n} came {c} times" for n, c in Counter(heard).items() if c > 1]
        found += [f"event {number} of nothing" for number in set(heard) - set(ran)]
    return found


@row("T15", "chaos", rpyc="does not reconnect")
def chaos(quick: bool) -> Outcome:  # noqa: FBT001 - the signature of all rows
    """Calls while links and server break at random; each runs at most once, and none hangs."""
    seconds = 10.0 if quick else 60.0
    numbers, stop = itertools.count(1), threading.Event()
    recoveries: list[tuple[float, str]] = []
    lost = 0
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        ledger = folder / "ledger"
        world = World(ledger, seed=15)
        stack.callback(world.close)
        conns, callers, events = [], [], []
        for _ in range(CONNECTIONS):
            conn = stack.enter_context(
                nbrpc.connect(world.proxy.url, token=TOKEN, timing=TIMING, reconnect=True)
            )
            heard: list[int] = []
            stack.enter_context(nbrpc.BgServingThread(conn))
            conn.root.told.subscribe(heard.append, maxsize=100_000)
            conns.append(conn)
            events.append(heard)
            callers += [Caller(conn, numbers, stop) for _ in range(CALLERS)]
        for caller in callers:
            caller.thread.start()
        ends = time.monotonic() + seconds
        while time.monotonic() < ends and not any(caller.hangs for caller in callers):
            what = world.disturb()
            healed = time.monotonic()
            back = _all_succeed(callers, healed)
            if back is None:
                lost += 1
            else:
                recoveries.append((back, what))
            time.sleep(world.chance.uniform(0.05, 0.3))  # calm between two faults
        stop.set()
        for caller in callers:
            caller.thread.join(CALL + 4)
        hung = sum(caller.thread.is_alive() for caller in callers)
        subscribed = sum(len(heard) for heard in events)
        came_back = sum(conn.revival.came_back for conn in conns if conn.revival)
        found = _violations(callers, events, ledger)
    ordered = sorted(recoveries) or [(float("inf"), "nothing")]
    calls = sum(len(caller.successes) + caller.failed for caller in callers)
    return Outcome(
        [
            Figure("violations", len(found), 0),
            Figure("hangs", hung, 0),
            Figure("not recovered", lost, 0),
            Figure("longest recovery", ordered[-1][0], 1, "s"),
            Figure("came back", came_back, 1, at_least=True),
        ],
        f"{calls:,} calls, {sum(caller.failed for caller in callers)} failed, of which "
        f"{sum(len(caller.never_sent) for caller in callers)} were never sent; {subscribed:,} "
        f"events; recovery median {ordered[len(ordered) // 2][0] * 1e3:.0f} ms, the slowest "
        + ", ".join(f"{seconds:.2f} s after {what}" for seconds, what in ordered[:-4:-1])
        + "; "
        + ", ".join(f"{count} {name}" for name, count in world.happened.items())
        + "".join(f"; {text}" for text in found[:5]),
    )


def _all_succeed(callers: list[Caller], since: float) -> float | None:
    """Give the seconds until a call of each thread has succeeded; None if one does not."""
    ends = since + CALL + 4
    while time.monotonic() < ends:
        last = [caller.successes[-1] if caller.successes else 0.0 for caller in callers]
        if min(last) > since:
            # The first success after the fault, of the thread that was last to have one.
            return max(
                next(moment for moment in caller.successes if moment > since) for caller in callers
            ) - since  # fmt: skip
        time.sleep(0.002)  # the pace of the calls
    return None
