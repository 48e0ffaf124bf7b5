"""The HTML of nbrpc's displays: static, readable in light and dark themes.

The only script in it is that of a Copy button, the same text everywhere. A page that does not trust
its notebook drops it, and the button is without effect there.
"""

from __future__ import annotations

import math
import re
from base64 import b64encode
from collections.abc import Iterable, Iterator
from html import escape
from typing import Any

from nbrpc.objects.text import printable, shorten

__all__ = [
    "STATES",
    "bundle",
    "card",
    "duration",
    "failure",
    "name",
    "plain",
    "progress",
    "result",
    "table",
]

COPY = (
    '<button type="button" class="nbrpc-copy" aria-label="copy the error as text" '
    'style="margin-top:6px" onclick="navigator.clipboard.writeText(this.nextElementSibling'
    ".textContent).then(() =&gt; {{ this.textContent = 'Copied' }})\">Copy</button>"
    "<pre hidden>{}</pre>"
)

LONGEST_NAME = 500
LARGEST = 64 * 1024

FRAME_LINE = re.compile(r'  File "([^"]*)", line \d+')
LIBRARY = re.compile(r"[/\\](site-packages|dist-packages|lib[/\\]python\d)|^<frozen")
"""Files whose frames seldom are what a user looks for."""

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
ALARM = (
    "margin:4px 0;padding:1px 8px;border-left:3px solid currentColor;font-weight:600;"
    "color:var(--jp-error-color0,#b71c1c)"
)
SCROLLS = 'tabindex="0" role="group" aria-label="value"'
"""A keyboard must reach what scrolls."""

PICTURE = "display:block;margin-top:6px;max-width:100%"
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


def name(value: str) -> str:
    """Give a name or a line of a peer as text of a bounded length."""
    return shorten(printable(value), LONGEST_NAME)


def progress(value: tuple[float, float | None, str]) -> dict[str, Any]:
    """Give a progress for the page: what is no number there becomes none."""
    done, total, said = value
    known = total if total is not None and total > 0 and math.isfinite(total) else None
    return {"done": done if math.isfinite(done) else 0, "total": known, "text": name(said)}


def result(
    *,
    state: str,
    call: str,
    target: str,
    elapsed: float,
    progress: tuple[float, float | None, str] | None = None,
    tail: str = "",
    outcome: str = "",
    report: str = "",
    as_of: str = "",
) -> str:
    """Give the panel of one AsyncResult.

    Parameters
    ----------
    tail
        The last lines of output; folded once the result is ready.
    outcome
        HTML that is trusted: the display of the value, or `failure`.
    report
        What a Copy button copies; without it there is none.
    as_of
        The time of day, of a panel that is not final.
    """
    icon, word, colour = STATES[state]
    where = f"on {text(name(target))}, " if target else ""
    when = f", as of {text(as_of)}" if as_of else ""
    parts = [
        f'<div class="nbrpc-result" data-state="{escape(state)}" style="{FRAME}"><div>',
        f'<span role="status" style="color:var({colour});font-weight:600">{icon} {word}</span> ',
        f'<code style="background:none">{text(name(call))}</code> ',
        f'<span style="{QUIET}">{where}{duration(elapsed)}{when}</span></div>',
    ]
    if progress is not None and state in ("pending", "cancelling"):
        parts.append(_bar(*progress))
    if tail:
        output = f'<pre class="nbrpc-output" style="{TEXT}">{text(tail)}</pre>'
        folds = state == "ready" and tail.count("\n") > 2
        parts.append(f"<details><summary>output</summary>{output}</details>" if folds else output)
    copy = COPY.format(text(report)) if report else ""
    return "".join([*parts, outcome, copy, "</div>"])


def failure(line: str, details: str) -> str:
    """Give the part of a panel that says what went wrong.

    Parameters
    ----------
    details
        A traceback or a note. Frames of libraries are folded, those of the user are open.
    """
    inside = "".join(
        f'<details class="nbrpc-library"><summary style="{QUIET}">{count_of(frames)} of libraries'
        f'</summary><pre style="{TEXT}">{text(chunk)}</pre></details>'
        if frames
        else f'<pre style="{TEXT}">{text(chunk)}</pre>'
        for chunk, frames in _folded(shorten(printable(details), LARGEST))
        if chunk.strip()
    )
    return (
        f'<details open class="nbrpc-error" style="margin-top:6px">'
        f'<summary style="overflow-wrap:anywhere">{text(name(line))}</summary>{inside}</details>'
    )


def count_of(frames: int) -> str:
    """Say how many frames."""
    return f"{frames} frame" if frames == 1 else f"{frames} frames"


def _folded(details: str) -> Iterator[tuple[str, int]]:
    """Divide a traceback into what is shown and what is folded, with the number of its frames."""
    chunk: list[str] = []
    frames = 0
    for line in details.split("\n"):
        begins = FRAME_LINE.match(line)
        continues = not begins and line.startswith("    ")
        library = bool(begins and LIBRARY.search(begins.group(1)))
        if not continues and library != bool(frames):
            yield "\n".join(chunk), frames
            chunk, frames = [], 0
        frames += library
        chunk.append(line)
    yield "\n".join(chunk), frames


def plain(value: str) -> str:
    """Give the part of a panel that shows a value as text."""
    return f'<pre class="nbrpc-value" {SCROLLS} style="{TEXT};max-height:20em">{text(value)}</pre>'


def bundle(data: dict[str, Any], limit: int, text_limit: int = 64 * 1024) -> str:
    """Give the richest part of a bundle as HTML.

    Parameters
    ----------
    data
        What `admitted` has let through.
    limit, text_limit
        Characters of HTML or of an image that are shown at most, and of text.
    """
    for kind in ("image/png", "image/jpeg", "image/gif", "image/webp", "image/bmp"):
        content = data.get(kind)
        if isinstance(content, bytes):
            content = b64encode(content).decode()
        if isinstance(content, str) and len(content) <= limit:
            source = f"data:{kind};base64,{escape(''.join(content.split()))}"
            return f'<img class="nbrpc-value" style="{PICTURE}" alt="figure" src="{source}">'
    html = data.get("text/html", "")
    if html and len(html) <= limit:
        return (
            f'<div class="nbrpc-value" {SCROLLS} style="overflow:auto;max-height:40em">{html}</div>'
        )
    return plain(shorten(str(data.get("text/plain", "")), text_limit))


def card(title: str, rows: Iterable[tuple[str, str]], *, state: str, danger: str = "") -> str:
    """Give the card of a connection in one of its states.

    Parameters
    ----------
    danger
        What nobody may overlook.
    """
    icon, _, colour = STATES[{"open": "ready", "silent": "expired"}.get(state, "lost")]
    cells = "".join(
        f'<tr><th style="text-align:left;font-weight:normal;{QUIET}">{text(name)}</th>'
        f'<td style="text-align:left">{text(value)}</td></tr>'
        for name, value in rows
    )
    warning = f'<div role="alert" style="{ALARM}">\N{WARNING SIGN} {text(danger)}</div>'
    return (
        f'<div class="nbrpc-card" data-state="{escape(state)}" style="{FRAME}">'
        f'<div><span style="color:var({colour})">{icon}</span> <strong>{text(title)}</strong></div>'
        f"{warning if danger else ''}"
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
    done, total, label = progress((done, total, label)).values()
    said = f"{done:g} of {total:g}" if total else f"{done:g}" if done >= 0 else ""
    known = f' max="{total:g}" value="{min(done, total):g}"' if total else ""
    return (
        f'<div class="nbrpc-progress" style="margin-top:6px"><progress{known} '
        f'aria-label="progress" style="width:16em;vertical-align:middle"></progress> '
        f'<span style="{QUIET}">{escape(said)} {text(label)}</span></div>'
    )
