"""What a chart makes of the values of events: numbers by series, over time or over one of them."""

from __future__ import annotations

import dataclasses
import math
import numbers
import sys
from array import array
from collections.abc import Iterable, Mapping
from decimal import Decimal
from typing import Any

from nbrpc.objects.proxy import target_of
from nbrpc.objects.text import printable
from nbrpc.widgets.event_source import Arrival

__all__ = ["MISSING", "Batch", "Field", "ValueReader", "number_of"]

MISSING = math.inf
"""Where an event said nothing of a series: its line goes on; not-a-number is a gap in the line."""

Field = str | int
"""A part of a value: by name, or by its place."""

MOST_SERIES = 20
LONGEST_LABEL = 60

FIRST_BLOCK = 1.0
"""Seconds, or units of x, over which an array is spread that nothing precedes."""


def number_of(value: Any) -> float | None:
    """Give a real number as float, or None for what is none."""
    kind = type(value)
    if kind is float:
        return value  # type: ignore[no-any-return] # its type was just looked at
    if (
        kind is not int
        and kind is not bool
        and (target_of(value) is not None or not isinstance(value, numbers.Real | Decimal))
    ):
        return None
    try:
        return float(value)
    except (ValueError, OverflowError):
        return None


@dataclasses.dataclass
class Batch:
    """Samples: every column is as long as `xs`, with `MISSING` where a series has no value."""

    xs: array[float] = dataclasses.field(default_factory=lambda: array("d"))
    columns: dict[str, array[float]] = dataclasses.field(default_factory=dict)

    def add(self, xs: Iterable[float], values: Mapping[str, Iterable[float]]) -> None:
        """Add samples, all of them with the same series."""
        before = len(self.xs)
        self.xs.extend(xs)
        for name, column in values.items():
            own = self.columns.get(name)
            if own is None:
                own = self.columns[name] = array("d")
            if len(own) < before:
                own.extend([MISSING] * (before - len(own)))
            own.extend(column)

    def even(self) -> None:
        """Make all columns as long as `xs`."""
        for column in self.columns.values():
            if len(column) < len(self.xs):
                column.extend([MISSING] * (len(self.xs) - len(column)))


class Refused(Exception):
    """A value that cannot be drawn; its text says why."""


class ValueReader:
    """Turns events into samples.

    Parameters
    ----------
    name
        The event's, for series that have no name of their own.
    x
        Which part of a value is the abscissa; None for the time of arrival.
    y
        Which parts are drawn; None for all numbers.
    since
        When the subscription began, in seconds since 1970.

    Attributes
    ----------
    refused : int
        Values that could not be drawn.
    refusal : str
        Why the last one could not.
    """

    def __init__(self, name: str, x: Field | None, y: list[Field] | None, since: float) -> None:
        self.name = name
        self.x = x
        self.y = y
        self.refused = 0
        self.refusal = ""
        self._series: set[str] = set()
        self._previous: float | None = since if x is None else None

    def read(self, arrivals: Iterable[Arrival]) -> Batch:
        """Give the samples of some events."""
        batch = Batch()
        plain = self.x is None and self.y is None
        for when, args in arrivals:
            if plain and len(args) == 1 and type(args[0]) is float:  # nearly all events
                self._previous = max(when, self._previous or when)
                value = args[0] if math.isfinite(args[0]) else math.nan
                self._series.add(self.name)
                batch.add((self._previous,), {self.name: (value,)})
                continue
            try:
                self._read_one(when, args, batch)
            except Refused as why:
                self.refused += 1
                self.refusal = str(why)
        batch.even()
        return batch

    def _read_one(self, when: float, args: tuple[Any, ...], batch: Batch) -> None:
        fields = fields_of(args[0] if len(args) == 1 else args, self.name)
        abscissa: Any = when
        at: int | None = None
        if self.x is not None:
            at = self._find(fields, self.x)
            abscissa = numbers_of(fields[at][1])
            if abscissa is None:
                raise Refused(f"x is {described(fields[at][1])}, which is no number")
        values = self._values(fields, at)
        lengths = {len(value) for value in values.values() if isinstance(value, array)}
        if isinstance(abscissa, array):
            lengths.add(len(abscissa))
        if len(lengths) > 1:
            raise Refused("its arrays have different lengths")
        if lengths:
            self._add_block(abscissa, values, lengths.pop(), batch)
            return
        if not math.isfinite(abscissa):
            raise Refused("x is not finite")
        if self.x is None:
            abscissa = max(abscissa, self._previous or abscissa)
        self._previous = abscissa
        batch.add(
            (abscissa,),
            {name: (part,) for name, part in values.items() if not isinstance(part, array)},
        )

    def _values(
        self, fields: list[tuple[str, Any]], at: int | None
    ) -> dict[str, float | array[float]]:
        """Give what is to be drawn of one value, by series."""
        wanted = (
            [index for index in range(len(fields)) if index != at]
            if self.y is None
            else [self._find(fields, name) for name in self.y]
        )
        values: dict[str, float | array[float]] = {}
        other: Any = None
        for index in wanted:
            name, value = fields[index]
            found = numbers_of(value)
            if found is None:
                if value is not None:
                    other = value
                if value is not None or name not in self._series:
                    continue
                found = math.nan  # a series that has no value this time
            if name not in self._series:
                if len(self._series) >= MOST_SERIES:
                    raise Refused(f"a chart shows {MOST_SERIES} series at most")
                self._series.add(name)
            values[name] = found
        if self.y is not None and other is not None:
            raise Refused(f"{described(other)} is no number")
        if not values:
            raise Refused(f"{described(other)} is no number" if wanted else "there is no number")
        return values

    def _add_block(
        self, abscissa: Any, values: dict[str, float | array[float]], size: int, batch: Batch
    ) -> None:
        """Add an array of samples, spread evenly since the previous event where x is one number."""
        if size == 0:
            return
        if isinstance(abscissa, array):
            if not all(map(math.isfinite, abscissa)):
                raise Refused("x is not finite")
            xs: Iterable[float] = abscissa
            self._previous = abscissa[-1]
        else:
            before = abscissa - FIRST_BLOCK if self._previous is None else self._previous
            if self.x is None:
                abscissa = max(abscissa, before)
            step = (abscissa - before) / size
            xs = [before + step * (index + 1) for index in range(size)]
            self._previous = abscissa
        batch.add(
            xs,
            {
                name: value if isinstance(value, array) else array("d", [value]) * size
                for name, value in values.items()
            },
        )

    def _find(self, fields: list[tuple[str, Any]], wanted: Field) -> int:
        """Find a part of a value by its name or its place."""
        if isinstance(wanted, int):
            if -len(fields) <= wanted < len(fields):
                return wanted % len(fields)
        else:
            for index, (name, _value) in enumerate(fields):
                if name == wanted:
                    return index
        names = ", ".join(name for name, _value in fields[:8])
        raise Refused(f"there is no {wanted!r} in it, only {names or 'nothing'}")


def fields_of(value: Any, name: str) -> list[tuple[str, Any]]:
    """Give the parts of a value, each with the label of its series."""
    if target_of(value) is not None:
        raise Refused("it is a remote object: emit its numbers, as a tuple, dict or array")
    found: Iterable[tuple[Any, Any]]
    if isinstance(value, Mapping):
        found = value.items()
    elif isinstance(value, tuple | list):
        names = getattr(value, "_fields", None)
        if names is None:
            return [(f"{name}[{index}]", part) for index, part in enumerate(value)]
        found = zip(names, value, strict=True)
    elif dataclasses.is_dataclass(value) and not isinstance(value, type):
        found = [(field.name, getattr(value, field.name)) for field in dataclasses.fields(value)]
    else:
        return [(name, value)]
    return [(printable(str(key))[:LONGEST_LABEL], part) for key, part in found]


def numbers_of(value: Any) -> float | array[float] | None:
    """Give a number, or the numbers of a numpy array of one dimension; None for all else."""
    if type(value).__module__ == "numpy" and getattr(value, "ndim", 0) == 1:
        numpy = sys.modules["numpy"]
        if value.dtype.kind not in "fiub":
            return None
        samples = value.astype("float64")
        samples[~numpy.isfinite(samples)] = math.nan
        return array("d", samples.tobytes())
    found = number_of(value)
    return found if found is None or math.isfinite(found) else math.nan


def described(value: Any) -> str:
    """Say in few words what a value is."""
    if target_of(value) is not None:
        return "a remote object"
    shape = getattr(value, "shape", None)
    if isinstance(shape, tuple):
        return f"an array of {len(shape)} dimensions"
    return f"a {type(value).__name__}" if value is not None else "None"
