"""Hostile clients: what an attack is, what is attacked, and how one sees that it succeeded.

An attack is a function that is handed a `Victim` and gives what it gained, in words, or nothing.
Its docstring says what that would be. Beside that, each is judged by what every attacker would
like: code that runs, members that are called, a server that is gone, silent or slow, objects,
threads and connections that stay, and memory.
"""

from __future__ import annotations

import contextlib
import json
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

from nbrpc.errors import NbrpcError
from tests.hostile.native import Native, native_client
from tests.session.rpyc.raw import CALLATTR, NOTHING, REPLY, Raw, home, value

__all__ = ["ATTACKS", "Attack", "Victim", "attack", "run", "victim"]

ROOT = Path(__file__).resolve().parent.parent.parent
MEGABYTE = 1_000_000

USUAL_BUDGET = 16 * MEGABYTE
"""Bytes by which a server may grow under what is sent in 64 kB; attacks that send more say so."""

LONGEST_STALL = 0.75
"""Seconds that another client may wait for a call; wide, since the machine may be busy."""

WORKERS = 32
"""Threads that a server may keep for the next calls."""

SETTLED = 4.0
"""Seconds after which nothing is to be left of an attacker."""


@dataclass(frozen=True)
class Attack:
    """One attack by a client.

    Attributes
    ----------
    gain
        What the attacker has if it succeeds.
    control
        Whether it is known to succeed against stock RPyC.
    budget
        Bytes by which the server may grow meanwhile.
    """

    name: str
    gain: str
    run: Callable[[Victim], str | None]
    control: bool
    budget: int


ATTACKS: dict[str, Attack] = {}


def attack(*, control: bool = False, budget: int = USUAL_BUDGET) -> Callable[..., Any]:
    """Make a function an attack; its name and its docstring are those of the attack."""

    def register(function: Callable[[Victim], str | None]) -> Callable[[Victim], str | None]:
        name = function.__name__.replace("_", " ")
        assert name not in ATTACKS, name
        gain = (function.__doc__ or "").strip()
        ATTACKS[name] = Attack(name, gain, function, control, budget)
        return function

    return register


class Victim:
    """A server under attack, in a process of its own."""

    def __init__(self, process: subprocess.Popen[str]) -> None:
        assert process.stdin is not None
        assert process.stdout is not None
        self.process = process
        self._in, self._out = process.stdin, process.stdout
        told = json.loads(self._out.readline())
        self.hosts = {mode: address[0] for mode, address in told["ports"].items()}
        self.ports = {mode: address[1] for mode, address in told["ports"].items()}
        self.token: str = told["token"]
        self.identities: list[int] = told["ids"]
        self.stock = "roomy" not in self.ports

    def state(self) -> dict[str, Any]:
        """Ask how the server is."""
        self._in.write("state\n")
        self._in.flush()
        return dict(json.loads(self._out.readline()))

    def memory(self, which: str = "VmRSS") -> int:
        """Give the resident bytes of the server; with ``VmHWM`` the most since `forget_peak`."""
        text = Path(f"/proc/{self.process.pid}/status").read_text()
        return int(text.split(f"{which}:")[1].split()[0]) * 1024

    def forget_peak(self) -> None:
        """Begin to measure the most memory anew."""
        Path(f"/proc/{self.process.pid}/clear_refs").write_text("5")

    @contextlib.contextmanager
    def rpyc(self, mode: str = "open") -> Iterator[Raw]:
        """Connect in RPyC's protocol."""
        import socket

        with socket.create_connection(("127.0.0.1", self.ports[mode]), 5) as sock:
            yield Raw(sock, "rpyc6")

    @contextlib.contextmanager
    def native(self, mode: str = "open", token: str | None = "") -> Iterator[Native]:
        """Connect in nbrpc's own protocol, with the right token unless another is given."""
        with native_client(self.ports[mode], self.token if token == "" else token) as client:
            yield client

    @contextlib.contextmanager
    def let_in(self, mode: str = "open") -> Iterator[Native]:
        """Connect, and be authenticated."""
        with self.native(mode) as client:
            yield client.shake_hands()


@contextlib.contextmanager
def victim(kind: str = "nbrpc") -> Iterator[Victim]:
    """Start servers to be attacked: ``nbrpc``, or ``rpyc`` for the control."""
    with subprocess.Popen(
        [sys.executable, "-m", "tests.hostile.victim", kind],
        cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL,
        text=True,
    ) as process:  # fmt: skip
        try:
            yield Victim(process)
        finally:
            process.kill()


def echo(raw: Raw, root: Any) -> bool:
    """Whether a client of the RPyC kind is answered."""
    return raw.answer(CALLATTR, home(root), value("echo"), value((1,)), NOTHING) == (
        REPLY,
        value(1),
    )


class Bystander:
    """Another client, which calls all the time and notes how long it waited at most."""

    def __init__(self, target: Victim) -> None:
        self.longest = 0.0
        self._stop = threading.Event()
        self._target = target
        self._thread = threading.Thread(target=self._run, daemon=True)

    def _run(self) -> None:
        with contextlib.suppress(OSError), self._target.rpyc() as raw:
            raw.sock.settimeout(20)
            root = raw.root()
            while not self._stop.is_set():
                begun = time.monotonic()
                answered = echo(raw, root)
                self.longest = max(self.longest, time.monotonic() - begun)
                if not answered:
                    self.longest = float("inf")
                    return
                self._stop.wait(0.02)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        self._thread.join(25)


def run(one: Attack, target: Victim) -> str:
    """Attack; give what was gained, in words, or an empty text."""
    before = target.state()
    target.forget_peak()
    at_first = target.memory()
    gained = ""
    with Bystander(target) as bystander:
        try:
            gained = one.run(target) or ""
        except (ConnectionError, TimeoutError, NbrpcError) as error:
            if target.process.poll() is not None:
                gained = f"the server is gone ({error})"
    if gained or target.process.poll() is not None:
        return gained or "the server is gone"
    if bystander.longest > LONGEST_STALL:
        return f"another client waited {bystander.longest:.1f} s"
    grown = target.memory("VmHWM") - at_first
    if grown > one.budget:
        return f"the server grew by {grown / MEGABYTE:.0f} MB"
    return _left(target, before)


def _left(target: Victim, before: dict[str, Any]) -> str:
    """Say what of an attacker is left."""
    for wanted in ("marks", "events"):
        now = target.state()
        if new := now[wanted][len(before[wanted]) :]:
            return f"{wanted}: {'; '.join(new)[:200]}"
    deadline = time.monotonic() + SETTLED
    while True:
        now = target.state()
        more = {
            what: f"{now[what]} instead of {before[what]}"
            for what in ("things", "connections", "exported", "pending", "handshakes", "threads")
            if now[what] > before[what] + (WORKERS if what == "threads" else 0)
        }
        if not more:
            break
        if time.monotonic() > deadline:
            return f"left behind: {more}"
        time.sleep(0.02)  # between two looks, until the deadline
    try:
        with target.rpyc() as raw:
            if not echo(raw, raw.root()):
                return "the next client is not served"
        if not target.stock:
            with target.let_in() as client:
                client.root()
    except (OSError, AssertionError, AttributeError, TypeError) as error:
        return f"the next client is not served ({error})"
    return ""
