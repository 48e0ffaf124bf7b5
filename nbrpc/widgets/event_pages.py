"""The static HTML of the widgets of events, for pages without widgets."""

from __future__ import annotations

import datetime
import math
from collections.abc import Sequence
from html import escape
from urllib.parse import quote

from nbrpc.widgets.page import FRAME, QUIET, text

__all__ = ["STATES", "panel", "picture"]

STATES = {
    "waiting": ("\N{WHITE CIRCLE}", "waiting for the first event", "--jp-ui-font-color2, #616161"),
    "live": ("\N{BLACK CIRCLE}", "live", "--jp-success-color0, #1b5e20"),
    "lost": ("\N{MULTIPLICATION X}", "connection lost", "--jp-error-color0, #b71c1c"),
    "ended": ("\N{BLACK SQUARE}", "ended", "--jp-ui-font-color2, #616161"),
}
"""Of every state of what feeds a widget: its icon, its word and its colour."""

WIDTH, HEIGHT = 600, 120


def panel(kind: str, state: str, title: str, note: str, content: str = "") -> str:
    """Give the panel of a widget.

    Parameters
    ----------
    kind
        The class of the outermost node.
    note
        Text beside the title.
    content
        HTML that is trusted.
    """
    icon, word, colour = STATES[state]
    now = datetime.datetime.now().astimezone()
    return (
        f'<div class="{escape(kind)}" data-state="{escape(state)}" style="{FRAME}"><div>'
        f'<span style="color:var({colour});font-weight:600">{icon} {word}</span> '
        f"<strong>{text(title)}</strong> "
        f'<span style="{QUIET}">{text(note)}, as of {now:%Y-%m-%d %H:%M:%S}</span></div>'
        f"{content}</div>"
    )


def picture(xs: Sequence[float], columns: Sequence[Sequence[float]], label: str) -> str:
    """Give a picture of lines over `xs`; not-a-number is a gap, infinity no value at all."""
    seen = [value for column in columns for value in column if math.isfinite(value)]
    if len(xs) < 2 or not seen:
        return ""
    left, right = min(xs), max(xs)
    low, high = min(seen), max(seen)
    across = WIDTH / ((right - left) or 1.0)
    up = (HEIGHT - 8) / ((high - low) or 1.0)
    colours = ("#1f77b4", "#d95f02", "#2a8a3e", "#9467bd", "#c2185b", "#7a6a00")
    lines = []
    for number, column in enumerate(columns):
        path = []
        gap = True
        for x, value in zip(xs, column, strict=True):
            if not math.isfinite(value):
                gap = gap or math.isnan(value)
                continue
            place = f"{(x - left) * across:.1f} {HEIGHT - 4 - (value - low) * up:.1f}"
            path.append(f"{'M' if gap else 'L'}{place}")
            gap = False
        colour = colours[number % len(colours)]
        lines.append(
            f'<path d="{"".join(path)}" fill="none" stroke="{colour}" stroke-width="1.5"/>'
        )
    drawing = (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {HEIGHT}" '
        f'width="{WIDTH}" height="{HEIGHT}">{"".join(lines)}</svg>'
    )
    return (
        f'<img alt="{escape(label)}" style="display:block;margin-top:6px;max-width:100%" '
        f'src="data:image/svg+xml,{quote(drawing)}">'
    )
