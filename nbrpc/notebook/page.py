"""The HTML of nbrpc's displays: static, without script, readable in light and dark themes."""

from __future__ import annotations

from collections.abc import Iterable
from html import escape

from nbrpc.objects.text import printable

__all__ = ["STATES", "card", "duration", "result", "table"]

STATES = {
    "pending": ("\N{BLACK RIGHT-POINTING TRIANGLE}", "running", "--jp-brand-color1, #1976d2"),
    "cancelling": ("\N{BLACK SQUARE}", "cancelling", "--jp-warn-color0, #a65b00"),
    "ready": ("\N{CHECK MARK}", "done", "--jp-success-color0, #1b5e20"),
    "error": ("\N{BALLOT X}", "failed", "--jp-error-color0, #b71c1c"),
    "expired": ("\N{WATCH}", "expired", "--jp-warn-color0, #a65b00"),
    "cancelled": ("\N{CIRCLED DIVISION SLASH}", "cancelled", "--jp-warn-color0, #a65b00"),
    "lost": (
        "\N{MULTIPLICATION X}",
        "connection lost, it may have run",
        "--jp-error-color0, #b71c1c",
    ),
}
"""Of every state of an AsyncResult: its icon, its word and its colour."""

FRAME = (
    "border:1px solid var(--jp-border-color2,#bbb);border-radius:4px;padding:6px 10px;"
    "max-width:60em;color:var(--jp-ui-font-color1,inherit)"
)
QUIET = "color:var(--jp-ui-font-color2,#616161)"
TEXT = "margin:6px 0 0;white-space:pre-wrap;overflow:auto"


def text(value: object) -> str:
    """Escape what may come from a peer."""
    return escape(printable(str(value)))


def duration(seconds: float) -> str:
    """Say how long something took, in two figures that a person reads."""
    if seconds < 0.001:
        return f"{seconds * 1e6:.0f} \N{MICRO SIGN}s"
    if seconds < 1:
        return f"{seconds * 1e3:.3g} ms"
    if seconds < 60:
        return f"{seconds:.1f} s"
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours} h {minutes} min" if hours else f"{minutes} min {rest} s"


def result(
    *,
    state: str,
    call: str,
    target: str,
    elapsed: float,
    progress: tuple[float, float | None, str] | None = None,
    tail: str = "",
    outcome: str = "",
) -> str:
    """Give the panel of one AsyncResult.

    Parameters
    ----------
    outcome
        HTML that is trusted: the display of the value, or `failure`.
    """
    icon, word, colour = STATES[state]
    parts = [
        f'<div class="nbrpc-result" data-state="{escape(state)}" style="{FRAME}"><div>',
        f'<span role="status" style="color:var({colour});font-weight:600">{icon} {word}</span> ',
        f"<code>{text(call)}</code> ",
        f'<span style="{QUIET}">on {text(target)}, {duration(elapsed)}</span></div>',
    ]
    if progress is not None and state in ("pending", "cancelling"):
        parts.append(_bar(*progress))
    if tail:
        parts.append(f'<pre class="nbrpc-output" style="{TEXT}">{text(tail)}</pre>')
    return "".join([*parts, outcome, "</div>"])


def failure(line: str, details: str) -> str:
    """Give the part of a panel that says what went wrong."""
    return (
        f'<details open class="nbrpc-error" style="margin-top:6px"><summary>{text(line)}</summary>'
        f'<pre style="{TEXT}">{text(details)}</pre></details>'
    )


def plain(value: str) -> str:
    """Give the part of a panel that shows a value as text."""
    return f'<pre class="nbrpc-value" style="{TEXT}">{text(value)}</pre>'


def card(title: str, rows: Iterable[tuple[str, str]], *, alive: bool) -> str:
    """Give the card of a connection."""
    icon, _, colour = STATES["ready" if alive else "lost"]
    cells = "".join(
        f'<tr><th style="text-align:left;font-weight:normal;{QUIET}">{text(name)}</th>'
        f'<td style="text-align:left">{text(value)}</td></tr>'
        for name, value in rows
    )
    return (
        f'<div class="nbrpc-card" data-state="{"open" if alive else "closed"}" style="{FRAME}">'
        f'<div><span style="color:var({colour})">{icon}</span> <strong>{text(title)}</strong></div>'
        f'<table style="margin:4px 0 0">{cells}</table></div>'
    )


def table(heads: Iterable[str], rows: Iterable[Iterable[str]], *, name: str) -> str:
    """Give a table of texts."""
    head = "".join(f'<th style="text-align:left">{text(item)}</th>' for item in heads)
    body = "".join(
        "<tr>" + "".join(f'<td style="text-align:left">{text(item)}</td>' for item in row) + "</tr>"
        for row in rows
    )
    return (
        f'<table class="{escape(name)}"><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table>'
    )


def _bar(done: float, total: float | None, label: str) -> str:
    said = f"{done:g} of {total:g}" if total else f"{done:g}"
    known = f' max="{total:g}" value="{min(done, total):g}"' if total else ""
    return (
        f'<div class="nbrpc-progress" style="margin-top:6px"><progress{known} '
        f'aria-label="progress" style="width:16em;vertical-align:middle"></progress> '
        f'<span style="{QUIET}">{escape(said)} {text(label)}</span></div>'
    )
