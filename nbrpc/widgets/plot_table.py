"""The samples that a chart remembers: bounded, and thinned so that no extreme is lost."""

from __future__ import annotations

import math
import operator
from array import array
from bisect import bisect_left
from itertools import islice

from nbrpc.widgets.plot_values import MISSING, Batch

__all__ = ["SampleTable", "thinned"]

MOST_NUMBERS = 2_000_000
"""Numbers that are remembered, x included: 16 MB."""


class SampleTable:
    """Samples in the order in which they came.

    Attributes
    ----------
    total : int
        Samples ever added: the number of the next one.
    ascending : bool
        Whether x never went back.
    capped : bool
        Whether samples were forgotten for want of room.
    """

    def __init__(self, most: int = MOST_NUMBERS) -> None:
        self._most = most
        self.total = 0
        self.clear()

    def __len__(self) -> int:
        return len(self._xs) - self._start

    def clear(self) -> None:
        """Forget all samples."""
        self._xs: array[float] = array("d")
        self._columns: dict[str, array[float]] = {}
        self._latest: dict[str, float] = {}
        self._start = 0
        self.ascending = True
        self.capped = False

    @property
    def names(self) -> list[str]:
        """The series."""
        return list(self._columns)

    @property
    def latest(self) -> list[float | None]:
        """The last value of each series."""
        found = [self._latest.get(name, math.nan) for name in self._columns]
        return [None if math.isnan(value) else value for value in found]

    def add(self, batch: Batch) -> None:
        """Add samples."""
        size = len(batch.xs)
        if not size:
            return
        before = len(self._xs)
        if before and batch.xs[0] < self._xs[-1]:
            self.ascending = False
        if not all(map(operator.le, batch.xs, islice(batch.xs, 1, None))):
            self.ascending = False
        self._xs.extend(batch.xs)
        for name, column in batch.columns.items():
            own = self._columns.get(name)
            if own is None:
                own = self._columns[name] = array("d", [MISSING]) * before
            own.extend(column)
            last = next((value for value in reversed(column) if value != MISSING), None)
            if last is not None:
                self._latest[name] = last
        for own in self._columns.values():
            if len(own) < len(self._xs):
                own.extend(array("d", [MISSING]) * size)
        self.total += size

    def trim(self, window: float) -> None:
        """Forget what is older than the window, and the oldest where there is no more room."""
        xs = self._xs
        if self.ascending and len(self):
            self._start = bisect_left(xs, xs[-1] - window, self._start)
        most = self._most // (len(self._columns) + 1)
        if len(self) > most:
            self._start = len(xs) - most
            self.capped = True
        if self._start * 2 > len(xs):
            del xs[: self._start]
            for column in self._columns.values():
                del column[: self._start]
            self._start = 0

    def since(self, number: int) -> tuple[array[float], list[array[float]]]:
        """Copy the samples from one on, by its number; all that there are with 0."""
        start = max(self._start, len(self._xs) - (self.total - number))
        return self._xs[start:], [column[start:] for column in self._columns.values()]


def thinned(
    xs: array[float], columns: list[array[float]], most: int
) -> tuple[array[float], list[array[float]]]:
    """Give at most `most` samples that look the same: of every stretch the lowest and the highest.

    Both ends of a stretch stand for where these were; stretches are equal in number of samples.
    """
    size = len(xs)
    if size <= most or size < 4:
        return xs, columns
    stretches = max(1, most // 2)
    thin_xs = array("d")
    thin = [array("d") for _ in columns]
    for stretch in range(stretches):
        begin = stretch * size // stretches
        end = (stretch + 1) * size // stretches
        thin_xs.append(xs[begin])
        thin_xs.append(xs[end - 1])
        for column, into in zip(columns, thin, strict=True):
            into.extend(_extremes(column[begin:end]))
    return thin_xs, thin


def _extremes(values: array[float]) -> tuple[float, float]:
    """Give the lowest and the highest, in the order in which they come."""
    if not math.isfinite(sum(values)):
        real = array("d", filter(math.isfinite, values))
        if not real:
            absent = MISSING if MISSING in values else math.nan
            return absent, absent
        values = real
    low, high = min(values), max(values)
    return (low, high) if values.index(low) <= values.index(high) else (high, low)
