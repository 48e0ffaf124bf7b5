"""``python -m benchmarks.rpyc``: nbrpc's client and RPyC's own, on one server of RPyC, in turns.

Both clients say the same things to the same server process, round by round, so what else the
machine does falls on both alike; a figure is the median of the rounds. Events go to a client of
RPyC that does nothing but serve, from a server of each kind. It exits with 1 if a bar is missed.
"""

from __future__ import annotations

import argparse
import importlib
import json
import os
import random
import select
import socket
import statistics
import subprocess
import sys
import threading
import time
import traceback
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

MEGABYTE = 1_000_000
PATIENCE = 120.0
"""Seconds after which a process that does not answer is given up."""


# ---- servers


def make_service(api: Any) -> type:
    """Make the service; only its base class differs."""
    blob = random.Random(0).randbytes(MEGABYTE)

    class Counter:
        exposed_count = 5

    class Service(api.Service):  # type: ignore[misc]  # the base is known at run time only
        counter = Counter()

        def exposed_add(self, a: int, b: int) -> int:
            return a + b

        def exposed_make_counter(self) -> Counter:
            return self.counter

        def exposed_numbers(self, count: int) -> list[int]:
            return list(range(count))

        def exposed_get_bytes(self) -> bytes:
            return blob

        def exposed_put_bytes(self, data: bytes) -> int:
            return len(data)

        def exposed_tick(self, callback: Callable[[int], object], count: int) -> None:
            send = api.async_(callback)

            def run() -> None:
                for _ in range(count):
                    time.sleep(0.005)  # the pace of the events
                    send(time.monotonic_ns())

            threading.Thread(target=run, daemon=True).start()

    return Service


def serve(kind: str) -> None:
    """Serve, and print the port."""
    if kind == "nbrpc":
        nbrpc = importlib.import_module("nbrpc")
        server = nbrpc.ThreadedServer(make_service(nbrpc), port=0, rpyc=True)
        print(server.port, flush=True)
        server.start()
        return
    rpyc = importlib.import_module("rpyc")
    server = rpyc.ThreadedServer(make_service(rpyc), hostname="127.0.0.1", port=0)
    thread = threading.Thread(target=server.start)
    thread.start()
    while not server.active and thread.is_alive():
        time.sleep(0.001)  # RPyC says nothing when it listens
    print(server.port, flush=True)
    thread.join()


# ---- clients


class Bed:
    """A client process: the library, and what is connected so far."""

    def __init__(self, api: Any, ports: dict[str, int], *, quick: bool) -> None:
        self.api = api
        self.ports = ports
        self.quick = quick
        self.blob = random.Random(1).randbytes(MEGABYTE)
        self._connections: dict[str, Any] = {}

    def connection(self, server: str = "stock") -> Any:
        """Give the connection to a server, warmed up."""
        if server not in self._connections:
            self._connections[server] = conn = self.api.connect("127.0.0.1", self.ports[server])
            for number in range(50):
                conn.root.add(number, 1)
        return self._connections[server]

    @property
    def root(self) -> Any:
        """The service of RPyC's server."""
        return self.connection().root


def _median(bed: Bed, call: Callable[[], object], at_least: int = 3) -> float:
    """Microseconds of a typical call."""
    call()
    times: list[float] = []
    end = time.perf_counter() + (0.05 if bed.quick else 0.25)
    while (start := time.perf_counter()) < end or len(times) < at_least:
        call()
        times.append(time.perf_counter() - start)
    return statistics.median(times) * 1e6


def _once(call: Callable[[], object]) -> float:
    start = time.perf_counter()
    call()
    return (time.perf_counter() - start) * 1e6


def method(bed: Bed) -> float:
    """Time a call as it is written."""
    conn = bed.connection()
    return _median(bed, lambda: conn.root.add(1, 2))


def bound(bed: Bed) -> float:
    """Time a call of a method that was kept."""
    add = bed.root.add
    return _median(bed, lambda: add(1, 2))


def attribute(bed: Bed) -> float:
    """Time the reading of an attribute."""
    counter = bed.root.make_counter()
    return _median(bed, lambda: counter.count)


def pipelined(bed: Bed) -> float:
    """Time a call when all are started before the first is waited for."""
    count = 1_000 if bed.quick else 10_000
    add = bed.api.async_(bed.root.add)

    def run() -> None:
        results = [add(number, 1) for number in range(count)]
        for result in results:
            result.wait()
        assert results[-1].value == count

    return _once(run) / count


def raw_frames(bed: Bed) -> float:
    """Time the same calls as bytes made beforehand: what RPyC's server takes for them by itself."""
    from rpyc.core import brine, consts

    count = 1_000 if bed.quick else 10_000
    with socket.create_connection(("127.0.0.1", bed.ports["stock"])) as link:
        stream = link.makefile("rb")

        def framed(seq: int, handler: int, args: Any) -> bytes:
            payload = bytes([consts.MSG_REQUEST]) + brine.dump((seq, (handler, args)))
            return len(payload).to_bytes(4, "big") + b"\0" + payload + b"\n"

        def reply() -> bytes:
            head = stream.read(5)
            return stream.read(int.from_bytes(head[:4], "big") + 1)

        def ask(handler: int, args: Any) -> Any:
            link.sendall(framed(0, handler, args))
            return brine.load(reply()[1:-1])[1][1]

        root = ask(consts.HANDLE_GETROOT, (1, ()))
        add = ask(consts.HANDLE_GETATTR, (2, ((3, root), (1, "add"))))
        calls = b"".join(
            framed(seq, consts.HANDLE_CALL, (2, ((3, add), (1, (seq, 1))))) for seq in range(count)
        )

        def run() -> None:
            sender = threading.Thread(target=link.sendall, args=(calls,))
            sender.start()
            for _ in range(count):
                reply()
            sender.join()

        return _once(run) / count


def _iterate(bed: Bed, read: Callable[[Any], list[int]]) -> float:
    count = 1_000 if bed.quick else 10_000
    numbers = bed.root.numbers(count)
    expected = list(range(count))

    def run() -> None:
        assert read(numbers) == expected

    return _once(run)


def listed(bed: Bed) -> float:
    """Time list() of a long remote list."""
    return _iterate(bed, list)


def buffered(bed: Bed) -> float:
    """Time the same in chunks."""
    return _iterate(bed, lambda numbers: list(bed.api.buffiter(numbers)))


def dropped(bed: Bed) -> float:
    """Time a call whose result is a list that nobody keeps."""
    root = bed.root
    return _median(bed, lambda: root.numbers(3))


def bytes_in(bed: Bed) -> float:
    """Time the fetching of a megabyte."""
    root = bed.root
    return _median(bed, lambda: root.get_bytes())  # noqa: PLW0108 - the attribute is part of it


def bytes_out(bed: Bed) -> float:
    """Time the sending of a megabyte."""
    root = bed.root
    return _median(bed, lambda: root.put_bytes(bed.blob))


def connect(bed: Bed) -> float:
    """Time connecting and the first call."""

    def run() -> None:
        conn = bed.api.connect("127.0.0.1", bed.ports["stock"])
        assert conn.root.add(1, 2) == 3
        conn.close()

    return _median(bed, run)


def _event(bed: Bed, server: str) -> float:
    conn = bed.connection(server)
    count = 20 if bed.quick else 100
    delays: list[int] = []
    conn.root.tick(lambda sent: delays.append(time.monotonic_ns() - sent), count)
    deadline = time.monotonic() + 30
    while len(delays) < count and time.monotonic() < deadline:
        conn.serve(0.1)
    assert len(delays) == count
    return statistics.median(delays) / 1e3


def event_from_nbrpc(bed: Bed) -> float:
    """Time an event of nbrpc's server, from sending to callback."""
    return _event(bed, "nbrpc")


def event_from_stock(bed: Bed) -> float:
    """Time an event of RPyC's server."""
    return _event(bed, "stock")


CLIENT_MEASURES = {
    run.__name__: run
    for run in (
        *(method, bound, attribute, pipelined, listed, buffered, dropped, bytes_in, bytes_out),
        *(raw_frames, connect, event_from_nbrpc, event_from_stock),
    )
}


def answer(kind: str, ports: str, *, quick: bool) -> None:
    """Take one measure after the other, until the input ends."""
    answers = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)
    api = importlib.import_module("nbrpc" if kind == "nbrpc" else "rpyc")
    bed = Bed(api, json.loads(ports), quick=quick)
    for line in sys.stdin:
        try:
            reply: dict[str, Any] = {"value": CLIENT_MEASURES[line.strip()](bed)}
        except Exception as exc:  # told to the parent, which shows it
            traceback.print_exc()
            reply = {"error": f"{type(exc).__name__}: {exc}".splitlines()[0]}
        print(json.dumps(reply), file=answers, flush=True)
    os._exit(0)


# ---- the comparison


@dataclass(frozen=True)
class Row:
    """A row of the table: what nbrpc's client, or its server, is asked for, and RPyC's."""

    title: str
    ours: tuple[str, str]
    """The client process and its measure."""

    stock: tuple[str, str]
    ratio: float | None = None
    """The highest ratio that is good enough."""

    most: float | None = None
    """The most microseconds that are good enough."""


def _same(title: str, measure: str, ratio: float | None = None) -> Row:
    return Row(title, ("nbrpc", measure), ("stock", measure), ratio)


ROWS = [
    _same("method call, conn.root.add(1, 2)", "method", 0.6),
    _same("kept method, add(1, 2)", "bound"),
    _same("attribute", "attribute"),
    _same("pipelined, one of 10,000", "pipelined", 0.6),
    Row(
        "the same as raw frames: the server alone", ("stock", "raw_frames"), ("stock", "pipelined")
    ),
    _same("list() of 10,000 items", "listed"),
    _same("buffiter of 10,000 items", "buffered"),
    _same("list as a result, dropped", "dropped"),
    _same("1 MB in", "bytes_in"),
    _same("1 MB out", "bytes_out"),
    _same("connect and first call", "connect"),
    Row(
        "event, server to RPyC's client",
        ("stock", "event_from_nbrpc"),
        ("stock", "event_from_stock"),
        most=5_000.0,
    ),
]


class Program:
    """A process of this module."""

    def __init__(self, *arguments: str) -> None:
        self.name = " ".join(arguments[:2])
        self.process = subprocess.Popen(
            [sys.executable, "-m", "benchmarks.rpyc", *arguments],
            cwd=Path(__file__).parent.parent,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
        )

    def line(self) -> str:
        """Read a line."""
        assert self.process.stdout is not None
        ready, _, _ = select.select([self.process.stdout], [], [], PATIENCE)
        line = self.process.stdout.readline().decode() if ready else ""
        if not line:
            raise RuntimeError(f"{self.name} gave no answer")
        return line.strip()

    def ask(self, measure: str) -> float | None:
        """Take a measure; say on the error output when it fails."""
        assert self.process.stdin is not None
        self.process.stdin.write(f"{measure}\n".encode())
        self.process.stdin.flush()
        reply = json.loads(self.line())
        if "error" in reply:
            print(f"{self.name}, {measure}: {reply['error']}", file=sys.stderr)
            return None
        return float(reply["value"])

    def stop(self) -> None:
        """End the process."""
        self.process.kill()
        self.process.wait()


Figures = dict[Row, tuple[list[float], list[float]]]


def _compare(clients: dict[str, Program], rows: list[Row], rounds: int) -> Figures:
    """Take all measures in turns; the one who begins changes from round to round."""
    figures: Figures = {row: ([], []) for row in rows}
    for turn in range(rounds):
        print(f"round {turn + 1} of {rounds} ...", file=sys.stderr)
        for row in rows:
            sides = [(row.ours, 0), (row.stock, 1)]
            for (client, measure), side in sides if turn % 2 == 0 else reversed(sides):
                value = clients[client].ask(measure)
                if value is not None:
                    figures[row][side].append(value)
    return figures


def _shown(microseconds: float | None) -> str:
    if microseconds is None:
        return "-"
    return f"{microseconds:,.0f}" if microseconds >= 100 else f"{microseconds:.1f}"


def _report(figures: Figures) -> bool:
    """Print the table, and say whether all bars are met."""
    lines = [["median, µs", "nbrpc", "RPyC", "ratio", "bar"]]
    good = True
    for row, (ours, stock) in figures.items():
        mine = statistics.median(ours) if ours else None
        theirs = statistics.median(stock) if stock else None
        ratio = mine / theirs if mine is not None and theirs else None
        met, bar = mine is not None and theirs is not None, "-"
        if row.ratio is not None:
            met = ratio is not None and ratio <= row.ratio
            bar = f"<= {row.ratio:g}"
        elif row.most is not None:
            met = mine is not None and mine <= row.most
            bar = f"<= {row.most:,.0f} µs"
        good = good and met
        shown_ratio = "-" if ratio is None else f"{ratio:.2f}"
        lines.append([row.title, _shown(mine), _shown(theirs), shown_ratio, bar])
        lines[-1][-1] += "" if met else ", missed"
    widths = [max(len(line[column]) for line in lines) for column in range(5)]
    for index, line in enumerate(lines):
        cells = [line[0].ljust(widths[0])]
        cells += [cell.rjust(width) for cell, width in zip(line[1:], widths[1:], strict=True)]
        print(f"| {' | '.join(cells)} |")
        if not index:
            print(f"|{'|'.join('-' * (width + 2) for width in widths)}|")
    return good


def main() -> int:
    """Run what the command line asks for."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.rpyc", description=__doc__)
    parser.add_argument("--quick", action="store_true", help="small counts, two rounds")
    parser.add_argument("--rounds", type=int, help="how often each measure is taken")
    parser.add_argument("--rows", default="", help="only rows whose title has this in it")
    arguments = parser.parse_args()
    rows = [row for row in ROWS if arguments.rows in row.title]
    rounds = arguments.rounds or (2 if arguments.quick else 7)
    options = ["--quick"] if arguments.quick else []
    programs: list[Program] = []
    try:
        ports = {}
        for kind in ("stock", "nbrpc"):
            programs.append(Program("server", kind))
            ports[kind] = int(programs[-1].line())
        clients = {}
        for kind in ("stock", "nbrpc"):
            clients[kind] = Program("client", kind, json.dumps(ports), *options)
            programs.append(clients[kind])
        figures = _compare(clients, rows, rounds)
    finally:
        for program in reversed(programs):
            program.stop()
    return 0 if _report(figures) else 1


if __name__ == "__main__":
    if sys.argv[1:2] == ["server"]:
        serve(sys.argv[2])
    elif sys.argv[1:2] == ["client"]:
        answer(sys.argv[2], sys.argv[3], quick="--quick" in sys.argv)
    else:
        sys.exit(main())
