"""How rows are shown: lines for people, JSON for programs."""

from __future__ import annotations

from dataclasses import asdict
from typing import Any

from benchmarks.trust.rows import Figure, Outcome, Row

__all__ = ["as_json", "lines"]


def number(value: float) -> str:
    """Write a number with as many digits as matter."""
    if value == int(value) and abs(value) < 1e15:
        return f"{value:,.0f}"
    return f"{value:,.1f}" if abs(value) >= 10 else f"{value:.3g}"


def _figure(figure: Figure) -> str:
    text = f"{figure.name} {number(figure.value)}{figure.unit and ' ' + figure.unit}"
    if figure.bar is None:
        return text
    sign = "at least" if figure.at_least else "at most"
    short = "" if figure.passed else "  <-- falls short"
    return f"{text} ({sign} {number(figure.bar)}){short}"


def lines(row: Row, outcome: Outcome, seconds: float) -> str:
    """Lay out one row."""
    state = "pass" if outcome.passed else "FAIL"
    head = f"{state}  {row.number:4} {row.name:14} {row.summary}  [{seconds:.0f} s]"
    rest = [_figure(figure) for figure in outcome.figures]
    if outcome.note:
        rest.append(f"note: {outcome.note}")
    rest.append(f"RPyC: {outcome.rpyc or row.rpyc}")
    return "\n".join([head, *(f"           {line}" for line in rest)])


def as_json(row: Row, outcome: Outcome, seconds: float) -> dict[str, Any]:
    """Give one row as plain data."""
    return {
        "row": row.number,
        "name": row.name,
        "passed": outcome.passed,
        "figures": [{**asdict(figure), "passed": figure.passed} for figure in outcome.figures],
        "rpyc": outcome.rpyc or row.rpyc,
        "note": outcome.note,
        "seconds": round(seconds, 1),
    }
