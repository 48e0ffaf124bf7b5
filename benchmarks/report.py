"""The table: a row for each measure, a column for each peer, and the ratio to raw sockets."""

from __future__ import annotations

from benchmarks.measures import MEASURES

BASE = "raw"

Figures = dict[str, dict[str, float]]
"""Measure to peer to figure."""


def _number(value: float | None) -> str:
    if value is None:
        return "-"
    return f"{value:,.0f}" if abs(value) >= 100 else f"{value:.1f}"


def table(figures: Figures, peers: list[str]) -> str:
    """Lay the figures out as a Markdown table."""
    rows = [["", "unit", *(title for peer in peers for title in (peer, "ratio"))]]
    for key, values in figures.items():
        measure, base = MEASURES[key], values.get(BASE)
        row = [measure.title, measure.unit]
        for peer in peers:
            value = values.get(peer)
            row.append(_number(value))
            # With no base, or one too small to be told from none, there is no ratio.
            row.append(f"{value / base:.2f}" if value is not None and base and base > 0 else "-")
        rows.append(row)
    widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))]
    lines = []
    for index, row in enumerate(rows):
        cells = [
            cell.ljust(width) if column < 2 else cell.rjust(width)
            for column, (cell, width) in enumerate(zip(row, widths, strict=True))
        ]
        lines.append("| " + " | ".join(cells) + " |")
        if index == 0:
            lines.append("|" + "|".join("-" * (width + 2) for width in widths) + "|")
    return "\n".join(lines)
