"""What a row is, and where rows are registered."""

from __future__ import annotations

import importlib
import pkgutil
from collections.abc import Callable
from dataclasses import dataclass, field

__all__ = ["ROWS", "Figure", "Outcome", "Row", "load_rows", "row"]


@dataclass(frozen=True)
class Figure:
    """One measured number and its bar.

    Parameters
    ----------
    name
        What was measured.
    value
        The number.
    bar
        The most that it may be, or the least; None for a number that is only told.
    unit
        Its unit, if it has one.
    at_least
        Whether the bar is the least.
    """

    name: str
    value: float
    bar: float | None = None
    unit: str = ""
    at_least: bool = False

    @property
    def passed(self) -> bool:
        """Whether the bar is met."""
        if self.bar is None:
            return True
        return self.value >= self.bar if self.at_least else self.value <= self.bar


@dataclass
class Outcome:
    """What a row showed.

    Parameters
    ----------
    figures
        The numbers; the row passes if all of them do, and if there are any.
    note
        What else should be known, such as the first thing that went wrong.
    rpyc
        RPyC's figure, where it was measured in this very run.
    """

    figures: list[Figure] = field(default_factory=list)
    note: str = ""
    rpyc: str = ""

    @property
    def passed(self) -> bool:
        """Whether no figure falls short."""
        return bool(self.figures) and all(figure.passed for figure in self.figures)


Measure = Callable[[bool], Outcome]
"""Takes whether to be quick, with smaller counts."""


@dataclass(frozen=True)
class Row:
    """A line of the scoreboard."""

    number: str
    name: str
    rpyc: str
    measure: Measure
    summary: str


ROWS: dict[str, Row] = {}
"""By number; filled by `load_rows`."""


def row(number: str, name: str, *, rpyc: str = "-") -> Callable[[Measure], Measure]:
    """Register a function as a row.

    Parameters
    ----------
    number, name
        As in the scoreboard: ``T10``, ``detect``. Either selects the row on the command line.
    rpyc
        What RPyC 6.0.2 showed in its default configuration, when it was measured.

    Raises
    ------
    ValueError
        There is such a row already.
    """

    def register(measure: Measure) -> Measure:
        if number in ROWS:
            raise ValueError(f"there are two rows {number}")
        summary = (measure.__doc__ or "").strip().splitlines()[0]
        ROWS[number] = Row(number, name, rpyc, measure, summary)
        return measure

    return register


def load_rows() -> list[Row]:
    """Import every module of this package; give the rows by their numbers."""
    package = importlib.import_module(__package__)
    for module in pkgutil.iter_modules(package.__path__):
        if not module.name.startswith("__"):
            importlib.import_module(f"{__package__}.{module.name}")
    return sorted(ROWS.values(), key=lambda row: int(row.number[1:]))
