"""`ResultBoard`: many AsyncResults in one widget, and in one channel to the page."""

from __future__ import annotations

import threading
from collections import Counter, deque
from collections.abc import Iterable
from itertools import count
from typing import Any

from traitlets import Dict, List, Unicode

from nbrpc.session.result import AsyncResult
from nbrpc.widgets import page
from nbrpc.widgets.live import LiveWidget, source
from nbrpc.widgets.result_record import error_of, has_ended

__all__ = ["ResultBoard"]

MOST = 2000
"""Results on a board; beyond it those that ended first leave."""

LINES = 20
"""Rows of the table that is shown where there are no widgets."""

FAILED = ("error", "lost", "expired")
ORDER = {**dict.fromkeys(FAILED, 0), "cancelling": 1, "pending": 1, "cancelled": 2, "ready": 3}
"""Failures stand first, then what runs."""


class ResultBoard(LiveWidget):
    """A live table of results: failures first, a filter, and Cancel for each or for all.

    A board keeps what is shown of a result, not the result: values are freed as if it were not
    there.

    Parameters
    ----------
    results
        `AsyncResult` objects; more can be added.
    title
        What they are, in the head of the board.

    Raises
    ------
    TypeError
        One of them is something else.
    """

    _esm = source("common.js", "states.js", "result_board.js")
    _css = source("common.css", "result_board.css")

    rows = List(Dict()).tag(sync=True)
    """What the board had when it was made; the page is told of changes only."""
    title = Unicode().tag(sync=True)

    def __init__(self, results: Iterable[AsyncResult] = (), *, title: str = "results") -> None:
        self._ids = count(1)
        self._new: deque[AsyncResult] = deque()
        self._results: dict[int, AsyncResult] = {}
        self._observers: dict[int, Any] = {}
        self._rows: dict[int, dict[str, Any]] = {}
        self._changed: set[int] = set()
        self._asked = False
        self._lock = threading.Lock()
        super().__init__(title, title=title)
        for result in results:
            self.add(result)
        with self._lock:
            self._take_new()
            self.rows = list(self._rows.values())

    def add(self, result: AsyncResult) -> None:
        """Put one more result on the board; from any thread."""
        if not isinstance(result, AsyncResult):
            raise TypeError(f"a ResultBoard shows AsyncResults, not {type(result).__name__}")
        self._new.append(result)
        self.touch()

    @property
    def counts(self) -> Counter[str]:
        """How many results are in each state."""
        return Counter(row["state"] for row in list(self._rows.values()))

    def refresh(self) -> None:
        """Tell the page what has changed."""
        with self._lock:
            self._take_new()
            if self._asked:
                self._asked = False
                self._changed.update(self._rows)
            rows = []
            while self._changed:
                number = self._changed.pop()
                if self._describe(number):
                    rows.append(self._rows[number])
            gone = self._drop_oldest()
        self.send({"kind": "rows", "rows": rows, "gone": gone})
        if self._results:
            self.beat()

    def send_all(self) -> None:
        """Send the rows as they are now, not as they were when the board was made."""
        with self._lock:
            self.rows = [dict(row) for row in self._rows.values()]
        super().send_all()

    def _take_new(self) -> None:
        while self._new:
            result = self._new.popleft()
            number = next(self._ids)

            def changed(_: object, number: int = number) -> None:
                self._changed.add(number)
                self.touch()

            self._results[number] = result
            self._observers[number] = changed
            self._rows[number] = {"id": number}
            self._describe(number)
            self._changed.add(number)
            result.observe_end(changed)

    def _describe(self, number: int) -> bool:
        """Bring a row up to date; False when it has left the board."""
        row = self._rows.get(number)
        result = self._results.get(number)
        if row is None or result is None:
            return row is not None
        ended = has_ended(result)
        state = result.state
        progress = result.progress
        row.update(
            state=state,
            call=page.name(result.call),
            target=page.name(result.target),
            elapsed=result.elapsed,
            progress={} if progress is None else page.progress(progress),
            line=_line(result) if ended and state in FAILED else "",
        )
        if ended:
            result.unobserve(self._observers.pop(number))
            del self._results[number]
        return True

    def _drop_oldest(self) -> list[int]:
        """Take what ended first off a full board; give the numbers."""
        excess = len(self._rows) - MOST
        if excess <= 0:
            return []
        gone = [number for number in self._rows if number not in self._results][:excess]
        for number in gone:
            del self._rows[number]
        return gone

    def answer(self, content: dict[str, Any], buffers: list[Any]) -> None:
        """Cancel, or tell everything to a page that has just opened."""
        kind = content.get("kind")
        if kind == "hello":
            self._asked = True
            self.touch()
        elif kind == "cancel all":
            for result in list(self._results.values()):
                result.cancel()
        elif kind == "cancel":
            result_of_row = self._results.get(content.get("id", 0))
            if result_of_row is not None:
                result_of_row.cancel()

    def release(self) -> None:
        """Observe the results no more."""
        for number, result in list(self._results.items()):
            result.unobserve(self._observers[number])
        self._results.clear()

    def fallback(self) -> dict[str, str]:
        """Give the sums, and the first rows."""
        counts = self.counts
        said = ", ".join(
            f"{counts[state]} {page.STATES[state][1].partition(',')[0]}"
            for state in sorted(counts, key=lambda state: ORDER[state])
        )
        said = said or "no results"
        with self._lock:
            rows = sorted(self._rows.values(), key=lambda row: (ORDER[row["state"]], row["id"]))
        lines = [
            (
                page.STATES[row["state"]][1],
                row["call"],
                row["target"],
                page.duration(row["elapsed"]),
                row["line"],
            )
            for row in rows[:LINES]
        ]
        table = page.table(("state", "call", "on", "time", ""), lines, name="nbrpc-rows")
        html = f'<div class="nbrpc-board"><div>{page.text(said)}</div>{table}</div>'
        return {"text/html": html, "text/plain": f"<ResultBoard: {said}>"}


def _line(result: AsyncResult) -> str:
    error = error_of(result)
    return page.name(f"{type(error).__name__}: {error}".partition("\n")[0])
