"""`FaultProxy`: a TCP relay on loopback that delays, freezes, cuts, splits and spoils on request.

Theory of operation
-------------------
One thread owns all sockets of the proxy and polls them. Each link is a pair of sockets, with a
`Pipe` for either direction that holds what was read and not yet written. What a pipe does with its
bytes is said by the `Fault` of the proxy, which can be replaced at any time and holds for links old
and new. Whatever the user asks of the proxy is done on its thread before the method returns: after
`freeze` not one byte more is forwarded, after `cut` every link is closed.

A pipe that is stopped is not read either. So the sender fills the buffers of the kernel and then
waits, as it does when the network between has gone; what it sent arrives when the fault is over.
"""

from __future__ import annotations

import random
import select
import socket
import threading
import time
from collections import deque
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from typing import Self

__all__ = ["Fault", "FaultProxy"]

MOST_HELD = 256 * 1024
"""Bytes that one direction of a link holds; beyond that the sender waits."""

PIECE = 64 * 1024

RESET = b"\1\0\0\0\0\0\0\0"
"""struct linger: on, for 0 s. Closing then sends RST."""

TICK = 0.02
"""Seconds in which a slow pipe is to send something."""


@dataclass(frozen=True)
class Fault:
    """What happens to bytes on their way.

    Parameters
    ----------
    delay, jitter
        Seconds that every piece takes, and up to how many more.
    spikes, spike
        The share of pieces that take ``spike`` seconds more: a packet that was lost and sent again
        looks so.
    rate
        Bytes a second in each direction; None is no limit.
    largest
        Bytes are forwarded in pieces of 1 to so many; None as they come.
    flips
        The share of bytes in which one bit is turned over.
    to_server, to_client
        Whether bytes are forwarded in that direction.
    refuses
        Whether new connections are closed at once.
    """

    delay: float = 0.0
    jitter: float = 0.0
    spikes: float = 0.0
    spike: float = 0.2
    rate: float | None = None
    largest: int | None = None
    flips: float = 0.0
    to_server: bool = True
    to_client: bool = True
    refuses: bool = False


NONE = Fault()


class Pipe:
    """One direction of a link."""

    def __init__(self, source: socket.socket, sink: socket.socket, name: str) -> None:
        self.source = source
        self.sink = sink
        self.name = name
        self.queue: deque[tuple[float, memoryview]] = deque()
        self.held = 0
        self.not_before = 0.0
        """When the next byte may be sent, by the rate."""
        self.last_due = 0.0
        self.ended = False
        """The source has said its last."""
        self.done = False
        """And so has the sink been told."""

    def stopped(self, fault: Fault) -> bool:
        return not getattr(fault, self.name)

    def take(self, data: bytes, fault: Fault, chance: random.Random) -> None:
        """Note what was read, and when it may go on."""
        if fault.flips:
            data = _flipped(data, fault.flips, chance)
        due = time.monotonic() + fault.delay + chance.random() * fault.jitter
        if fault.spikes and chance.random() < fault.spikes:
            due += fault.spike
        self.last_due = due = max(due, self.last_due)  # bytes never overtake
        self.queue.append((due, memoryview(data)))
        self.held += len(data)

    def next_time(self) -> float | None:
        """When there is something to send."""
        return max(self.queue[0][0], self.not_before) if self.queue else None

    def send(self, fault: Fault, chance: random.Random) -> None:
        """Send what is due, as the fault lets it.

        Raises
        ------
        OSError
            The link is dead.
        """
        while self.queue and (now := time.monotonic()) >= max(self.queue[0][0], self.not_before):
            due, data = self.queue.popleft()
            size = len(data)
            if fault.largest is not None:
                size = min(size, chance.randint(1, fault.largest))
            if fault.rate is not None:
                size = min(size, max(1, int(fault.rate * TICK)))
            try:
                sent = self.sink.send(data[:size])
            except BlockingIOError:
                sent = 0
            self.held -= sent
            if fault.rate is not None:
                self.not_before = now + sent / fault.rate
            if sent < len(data):
                self.queue.appendleft((due, data[sent:]))
            if sent < size:
                return

    def finish(self) -> None:
        """Tell the sink of the end, once all has been sent."""
        if self.ended and not self.queue and not self.done:
            self.done = True
            try:
                self.sink.shutdown(socket.SHUT_WR)
            except OSError:  # it is gone already
                pass


def _flipped(data: bytes, share: float, chance: random.Random) -> bytes:
    spoiled = bytearray(data)
    for index in range(len(spoiled)):
        if chance.random() < share:
            spoiled[index] ^= 1 << chance.randrange(8)
    return bytes(spoiled)


class Link:
    """A client and the server behind it."""

    def __init__(self, client: socket.socket, server: socket.socket) -> None:
        self.pipes = (Pipe(client, server, "to_server"), Pipe(server, client, "to_client"))
        self.sockets = (client, server)

    def close(self, *, reset: bool = False) -> None:
        for sock in self.sockets:
            if reset:
                sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, RESET)
            sock.close()


class FaultProxy:
    """A relay before a server on loopback; use it as a context manager, or `close` it.

    Parameters
    ----------
    target
        The port of the server; it may change, for the links to come.
    seed
        Of the chance that jitter, splits and flips are drawn from.

    Attributes
    ----------
    port : int
        Where clients connect.
    accepted : int
        How many have.
    forwarded : int
        Bytes that have been read, in both directions.
    """

    def __init__(self, target: int, seed: int = 0) -> None:
        self.target = target
        self.accepted = 0
        self.forwarded = 0
        self._fault = NONE
        self._chance = random.Random(seed)
        self._links: list[Link] = []
        self._orders: deque[tuple[Callable[[], None], threading.Event]] = deque()
        self._waker, self._woken = socket.socketpair()
        self._listener = socket.create_server(("127.0.0.1", 0), backlog=128)
        for sock in (self._waker, self._woken, self._listener):
            sock.setblocking(False)
        self.port: int = self._listener.getsockname()[1]
        self._stopping = False
        self.thread = threading.Thread(target=self._run, name=f"fault-proxy-{self.port}")
        self.thread.daemon = True  # a test that is broken off must not hang
        self.thread.start()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    @property
    def url(self) -> str:
        """Where clients connect."""
        return f"nbrpc://127.0.0.1:{self.port}"

    @property
    def links(self) -> int:
        """How many links are open."""
        return len(self._links)

    def close(self) -> None:
        """Close everything and end the thread; closing twice does nothing."""
        if self.thread.is_alive():
            self._stopping = True
            self._wake()
            self.thread.join(10)
        for sock in (self._waker, self._woken):
            sock.close()

    # ---- faults

    @property
    def fault(self) -> Fault:
        """What happens to bytes now."""
        return self._fault

    @fault.setter
    def fault(self, fault: Fault) -> None:
        self._order(lambda: setattr(self, "_fault", fault))

    def pass_through(self) -> None:
        """No fault."""
        self.fault = NONE

    def delay(self, seconds: float, jitter: float = 0.0) -> None:
        """Every piece takes so long, and up to ``jitter`` more."""
        self.fault = Fault(delay=seconds, jitter=jitter)

    def lose(self, share: float, seconds: float = 0.2) -> None:
        """So many pieces look as if they had been lost once: they come later."""
        self.fault = Fault(spikes=share, spike=seconds)

    def freeze(self) -> None:
        """Forward nothing, and close nothing."""
        self.fault = Fault(to_server=False, to_client=False)

    def half_open(self, stopped: str = "to_client") -> None:
        """Forward nothing in one direction: ``to_server`` or ``to_client``."""
        self.fault = replace(NONE, **{stopped: False})

    def trickle(self, rate: float) -> None:
        """Forward so many bytes a second."""
        self.fault = Fault(rate=rate)

    def split(self, largest: int = 1) -> None:
        """Forward in pieces of 1 to so many bytes."""
        self.fault = Fault(largest=largest)

    def flip(self, share: float) -> None:
        """Turn over a bit in so many of the bytes."""
        self.fault = Fault(flips=share)

    def refuse(self) -> None:
        """Close all links, and new ones at once."""
        self.fault = Fault(refuses=True)
        self.cut()

    def cut(self) -> None:
        """Close all links; what was on its way is lost."""
        self._order(lambda: self._close_all(reset=False))

    def reset(self) -> None:
        """Close all links with RST."""
        self._order(lambda: self._close_all(reset=True))

    # ---- the thread

    def _order(self, what: Callable[[], None]) -> None:
        if not self.thread.is_alive():
            raise RuntimeError("this proxy is closed")
        done = threading.Event()
        self._orders.append((what, done))
        self._wake()
        if not done.wait(10):
            raise RuntimeError("the thread of this proxy is stuck")

    def _wake(self) -> None:
        try:
            self._waker.send(b"\0")
        except BlockingIOError:  # enough bytes are there to wake it
            pass

    def _close_all(self, *, reset: bool) -> None:
        links, self._links = self._links, []
        for link in links:
            link.close(reset=reset)

    def _run(self) -> None:
        try:
            while not self._stopping:
                while self._orders:
                    what, done = self._orders.popleft()
                    what()
                    done.set()
                self._turn()
        finally:
            self._close_all(reset=False)
            self._listener.close()

    def _turn(self) -> None:
        """Wait until something can be done, and do it."""
        poll = select.poll()
        wanted: dict[int, int] = {}
        soonest = self._look(wanted)
        for number, events in wanted.items():
            poll.register(number, events)
        pause = None if soonest is None else max(0.0, soonest - time.monotonic()) * 1000
        ready = dict(poll.poll(pause))
        if self._woken.fileno() in ready:
            self._woken.recv(4096)
        if self._listener.fileno() in ready:
            self._accept()
        for link in list(self._links):
            self._serve(link, ready)

    def _look(self, wanted: dict[int, int]) -> float | None:
        """Note what to wait for on which descriptor; give the time of the next delayed byte."""
        now = time.monotonic()
        soonest: float | None = None
        wanted[self._woken.fileno()] = wanted[self._listener.fileno()] = select.POLLIN
        for pipe in self._moving():
            if not pipe.ended and pipe.held < MOST_HELD:
                number = pipe.source.fileno()
                wanted[number] = wanted.get(number, 0) | select.POLLIN
            due = pipe.next_time()
            if due is None:
                continue
            if due <= now:
                number = pipe.sink.fileno()
                wanted[number] = wanted.get(number, 0) | select.POLLOUT
            elif soonest is None or due < soonest:
                soonest = due
        return soonest

    def _moving(self) -> Iterator[Pipe]:
        return (
            pipe for link in self._links for pipe in link.pipes if not pipe.stopped(self._fault)
        )

    def _accept(self) -> None:
        try:
            client, _ = self._listener.accept()
        except OSError:  # gone again, or no descriptor is left
            return
        self.accepted += 1
        if self._fault.refuses:
            client.close()
            return
        server = socket.socket()
        for sock in (client, server):
            sock.setblocking(False)
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        server.connect_ex(("127.0.0.1", self.target))  # a refusal shows when it is read
        self._links.append(Link(client, server))

    def _serve(self, link: Link, ready: dict[int, int]) -> None:
        """Read and write what the sockets of a link are ready for."""
        error = select.POLLIN | select.POLLHUP | select.POLLERR
        try:
            for pipe in link.pipes:
                if pipe.stopped(self._fault):
                    continue
                events = ready.get(pipe.source.fileno(), 0)
                if events & error and not pipe.ended and pipe.held < MOST_HELD:
                    self._read(pipe)
                pipe.send(self._fault, self._chance)
                pipe.finish()
        except OSError:
            self._links.remove(link)
            link.close(reset=True)
            return
        if all(pipe.done for pipe in link.pipes):
            self._links.remove(link)
            link.close()

    def _read(self, pipe: Pipe) -> None:
        try:
            data = pipe.source.recv(PIECE)
        except BlockingIOError:
            return
        if not data:
            pipe.ended = True
            return
        self.forwarded += len(data)
        pipe.take(data, self._fault, self._chance)
