"""Rows about what little input may cost: T5 amplification, T6 stall, T7 slowloris."""

from __future__ import annotations

import contextlib
import functools
import os
import re
import selectors
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import NamedTuple, Self

import nbrpc
from benchmarks.trust import rpyc_exhaustion
from benchmarks.trust.exhausting import (
    MOST,
    after_authentication,
    before_authentication,
    on_rpycs_wire,
)
from benchmarks.trust.rows import Figure, Outcome, row
from benchmarks.trust.service import ROOT, TOKEN, url
from nbrpc.protocol.messages import Operation
from tests.certificates import issue
from tests.hostile.native import native_client

PATIENCE = 10.0
"""Seconds that an input may occupy a server in these rows."""

STALL = 0.05
"""Seconds for which another client may wait."""

LARGE = 16 * 1024
"""Bytes from which on an input's size says something: below it is lost in what memory comes in."""

ROOT_NUMBER = 1
"""The number of the root, on every connection."""

SHORT = ("nested tuples", "empty sets", "ranges", "a long fraction", "more colliding ints",
         "many classes", "calls that wait", "rubbish first", "a bomb of tuples")  # fmt: skip
"""The inputs of the short form."""

MOTHER = """
import gc, os, sys
import nbrpc
from benchmarks.trust.service import Service, TOKEN
import numpy, pandas, pyarrow  # so that their own size does not count
gc.freeze()  # as `nbrpc serve` does
for line in sys.stdin:
    if os.fork() == 0:
        break
    os.wait()
else:
    sys.exit()
kind, certificate = line.split(",")
tls = nbrpc.TLS(cert=certificate.strip()) if kind == "tls" else None
server = nbrpc.serve(Service, port=0, token=TOKEN, rpyc=kind == "rpyc", tls=tls)
print(os.getpid(), server.port, flush=True)
server.start()
"""


class Mother:
    """A process that has imported everything, and of which each server is a fresh copy."""

    def __init__(self) -> None:
        self._process = subprocess.Popen(
            [sys.executable, "-c", MOTHER], cwd=ROOT, text=True,
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL,
        )  # fmt: skip

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._process.communicate()

    @contextlib.contextmanager
    def serving(self, kind: str, certificate: str = "") -> Iterator[tuple[int, int]]:
        """Run a server with the usual limits; give its process id and port."""
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.write(f"{kind},{certificate}\n")
        self._process.stdin.flush()
        process, port = map(int, self._process.stdout.readline().split())
        try:
            yield process, port
        finally:
            os.kill(process, signal.SIGKILL)


def _resident(process: int, what: str) -> int:
    """Give bytes that a process has in memory: ``VmRSS`` now, ``VmHWM`` at most so far."""
    found = re.search(rf"{what}:\s*(\d+) kB", Path(f"/proc/{process}/status").read_text())
    assert found is not None
    return int(found[1]) * 1024


class Prober:
    """A second client of the server, which notes how long it is not served."""

    def __init__(self, port: int) -> None:
        self._conn = nbrpc.connect(url(port), token=TOKEN)
        self._stop = threading.Event()
        self._begun = 0.0
        self.longest = 0.0
        self._thread = threading.Thread(target=self._run)
        self._thread.start()

    def _run(self) -> None:
        root = self._conn.root
        while not self._stop.wait(0.001):
            self._begun = time.perf_counter()
            root.add(1, 2)
            self.longest = max(self.longest, time.perf_counter() - self._begun)

    def close(self) -> float:
        """End it; give the seconds that it waited at most."""
        self._stop.set()
        self._thread.join(PATIENCE)
        waiting = self._thread.is_alive()
        self._conn.close()
        return PATIENCE if waiting else self.longest


def _take_answers(sock: socket.socket) -> None:
    """Wait until the server closes the link, or has said nothing more for a while."""
    sock.settimeout(0.25)
    with contextlib.suppress(OSError):
        while sock.recv(1 << 20):
            pass


class Cost(NamedTuple):
    """What an input did to a server."""

    name: str
    size: int
    grown: int
    """Bytes by which the server grew at most."""
    stall: float
    """Seconds for which another client waited at most."""

    @property
    def ratio(self) -> float:
        """Bytes in memory for each on the wire."""
        return self.grown / self.size


def strike(mother: Mother, group: str, name: str, data: bytes) -> Cost:
    """Send an input to a fresh server, over a link of its own."""
    with mother.serving("rpyc" if group == "rpyc" else "plain") as (process, port):
        prober = Prober(port)
        try:
            with native_client(port, TOKEN) as client:
                if group == "after":
                    assert client.shake_hands().root() == ROOT_NUMBER
                    client.value(Operation.CALL, ROOT_NUMBER, "take", b"x" * 1000)
                prober.longest = 0.0
                before = _resident(process, "VmRSS")
                Path(f"/proc/{process}/clear_refs").write_text("5")  # VmHWM begins anew
                with contextlib.suppress(OSError):  # refused before all of it was sent
                    client.raw(data)
                _take_answers(client.sock)
                grown = max(0, _resident(process, "VmHWM") - before)
        finally:
            stall = prober.close()
    return Cost(f"{name} ({group})", len(data), grown, stall)


@functools.cache
def _costs(*, quick: bool) -> list[Cost]:
    """Strike with every input."""
    groups = {
        "before": before_authentication(),
        "after": after_authentication(ROOT_NUMBER),
        "rpyc": on_rpycs_wire(),
    }
    found = []
    with Mother() as mother:
        for group, inputs in groups.items():
            for name, data in inputs.items():
                if quick and name not in SHORT:
                    continue
                assert len(data) <= MOST, name
                cost = strike(mother, group, name, data)
                for _ in range(2):  # what only the machine did does not come again
                    if cost.stall > STALL:
                        again = strike(mother, group, name, data)
                        cost = cost._replace(stall=min(cost.stall, again.stall))
                found.append(cost)
    return found


def _worst(costs: list[Cost], key: Callable[[Cost], float], show: Callable[[Cost], str]) -> str:
    return ", ".join(f"{show(cost)} {cost.name}" for cost in sorted(costs, key=key)[:-5:-1])


@row("T5", "amplification", rpyc="43,000 times, more than 500 MB")
def amplification(quick: bool) -> Outcome:  # noqa: FBT001 - the signature of all rows
    """Memory that one input of at most 64 kB costs a server, of every kind that there is."""
    costs = _costs(quick=quick)
    large = [cost for cost in costs if cost.size >= LARGE]
    return Outcome(
        [
            Figure("most times the input", max(cost.ratio for cost in large), 250),
            Figure("most memory", max(cost.grown for cost in costs) / 1e6, 16, "MB"),
            Figure("inputs", len(costs)),
        ],
        _worst(costs, lambda cost: cost.grown, lambda cost: f"{cost.grown / 1e6:.1f} MB"),
        rpyc=rpyc_exhaustion.amplification(),
    )


@row("T6", "stall", rpyc="6.3 s, or no service at all")
def stall(quick: bool) -> Outcome:  # noqa: FBT001 - the signature of all rows
    """How long one such input keeps a server from answering another client."""
    costs = _costs(quick=quick)
    longest = max(cost.stall for cost in costs)
    return Outcome(
        [Figure("longest stall", longest * 1e3, STALL * 1e3, "ms"), Figure("inputs", len(costs))],
        _worst(costs, lambda cost: cost.stall, lambda cost: f"{cost.stall * 1e3:.0f} ms"),
        rpyc=rpyc_exhaustion.stall(),
    )


class Crowd(NamedTuple):
    """What silent clients did to a server."""

    storm: float
    """Seconds that a new client waited which came right behind them all, for its first answer."""
    fresh: float
    """Seconds that later ones waited at most, while the server held silent clients."""
    gone: float
    """Seconds from the last of them until the server had dropped all that it drops."""
    left: int
    """Silent clients that it keeps."""


def crowd(port: int, count: int, tls: nbrpc.TLS | None) -> Crowd:
    """Connect so many clients that say nothing."""
    where = url(port) if tls is None else url(port).replace("nbrpc:", "nbrpcs:")
    waited: list[float] = []
    with contextlib.ExitStack() as stack, selectors.DefaultSelector() as selector:
        for _ in range(count):
            sock = socket.create_connection(("127.0.0.1", port))
            stack.callback(sock.close)
            selector.register(sock, selectors.EVENT_READ)
        gone = begun = time.monotonic()
        while selector.get_map() and time.monotonic() - begun < 8:
            if len(waited) < 10 * (time.monotonic() - begun):
                start = time.perf_counter()
                with nbrpc.connect(where, token=TOKEN, tls=tls) as conn:
                    assert conn.root.add(1, 2) == 3
                waited.append(time.perf_counter() - start)
            for key, _ in selector.select(0.02):
                with contextlib.suppress(ConnectionResetError):
                    if key.fileobj.recv(65536):  # type: ignore[union-attr] # a socket
                        continue  # it was only told something
                selector.unregister(key.fileobj)
                gone = time.monotonic()
        return Crowd(waited[0], max(waited[1:]), gone - begun, len(selector.get_map()))


@row("T7", "slowloris", rpyc="for ever")
def slowloris(quick: bool) -> Outcome:  # noqa: FBT001 - the signature of all rows
    """A thousand clients that say nothing: what a new one waits, and when all are dropped."""
    count = 200 if quick else 1_000
    figures = []
    with Mother() as mother, tempfile.TemporaryDirectory() as folder:
        issued = issue(Path(folder), "server")
        both = Path(folder) / "both.pem"
        both.write_text(Path(issued.cert).read_text() + Path(issued.key).read_text())
        for kind in ("plain", "tls", "rpyc"):
            tls = nbrpc.TLS(fingerprint=issued.fingerprint) if kind == "tls" else None
            with mother.serving(kind, str(both)) as (_, port):
                seen = crowd(port, count, tls)
            # Clients of RPyC are silent until they are used: they are bounded by their number.
            kept = nbrpc.Limits().unauthenticated if kind == "rpyc" else 0
            figures += [
                Figure(f"{kind}: a fresh client", seen.fresh * 1e3, 100, "ms"),
                Figure(f"{kind}: one right behind the thousand", seen.storm * 1e3, 100, "ms"),
                Figure(f"{kind}: the last one is dropped", seen.gone, 6, "s"),
                Figure(f"{kind}: silent clients left", seen.left, kept),
            ]
    return Outcome(figures, f"{count:,} silent clients", rpyc=rpyc_exhaustion.slowloris())
