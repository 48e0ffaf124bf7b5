"""What every server of the comparison exposes."""

from __future__ import annotations

import functools
import random
import threading
import time
from collections.abc import Callable, Iterator
from typing import Any

MEGABYTE = 1_000_000


@functools.cache
def blob(size: int) -> bytes:
    """Give bytes that do not compress, so that no peer gains by compressing."""
    return random.Random(0).randbytes(size)


@functools.cache
def array(size: int) -> Any:
    """Give a numpy array of so many bytes."""
    import numpy as np

    return np.random.default_rng(0).random(size // 8)


class Counter:
    """An object that is held by reference."""

    def __init__(self) -> None:
        self.value = 0

    def bump(self, by: int) -> int:
        """Count on and give the new value."""
        self.value += by
        return self.value


class Target:
    """The functions behind every server."""

    def add(self, a: int, b: int) -> int:
        """Give the sum: the smallest useful call."""
        return a + b

    def make_counter(self) -> Counter:
        """Give an object by reference."""
        return Counter()

    def numbers(self, count: int) -> Iterator[int]:
        """Give an iterator."""
        return iter(range(count))

    def get_bytes(self, size: int) -> bytes:
        """Give bytes."""
        return blob(size)

    def put_bytes(self, data: bytes) -> int:
        """Take bytes."""
        return len(data)

    def get_array(self, size: int) -> Any:
        """Give an array."""
        return array(size)

    def put_array(self, data: Any) -> int:
        """Take an array."""
        return int(data.nbytes)

    def total(self, kind: str, values: Any) -> float:
        """Add up the numbers of a list, dict or array, so that all of it is read."""
        if kind == "array":
            import numpy as np

            return float(np.asarray(values).sum())
        return float(sum(values.values() if kind == "dict" else values))


def tick(send: Callable[[int], object], count: int, interval: float) -> None:
    """Send the time of sending, so many times, from a thread of its own."""

    def run() -> None:
        for _ in range(count):
            time.sleep(interval)
            send(time.monotonic_ns())

    threading.Thread(target=run, daemon=True).start()
