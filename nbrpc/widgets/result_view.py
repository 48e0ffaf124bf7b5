"""`ResultView`: an AsyncResult as a status widget."""

from __future__ import annotations

import time
from typing import Any

from traitlets import Dict, Float, Unicode

from nbrpc.objects.proxy import is_proxy
from nbrpc.session.result import AsyncResult
from nbrpc.widgets import page
from nbrpc.widgets.live import LiveWidget, source
from nbrpc.widgets.result_record import error_of, has_ended, record_of

__all__ = ["ResultView", "result_bundle"]


class ResultView(LiveWidget):
    """A live view of one result: state, time, progress, output, outcome, and Cancel.

    Parameters
    ----------
    result
        An `AsyncResult`.

    Raises
    ------
    TypeError
        It is something else.
    """

    _esm = source("common.js", "states.js", "result_view.js")
    _css = source("common.css", "result_view.css")

    state = Unicode("pending").tag(sync=True)
    call = Unicode().tag(sync=True)
    target = Unicode().tag(sync=True)
    elapsed = Float(0.0).tag(sync=True)
    """Seconds since the call when this was sent; the page goes on counting."""
    heard = Float(0.0).tag(sync=True)
    """Seconds from the call to the last news."""
    as_of = Float(0.0).tag(sync=True)
    """When this was sent, in seconds since 1970."""
    progress = Dict().tag(sync=True)
    """``done``, ``total`` (or null) and ``text``; empty while nothing is known."""
    tail = Unicode().tag(sync=True)
    outcome = Unicode().tag(sync=True)
    """HTML that is safe."""
    report = Unicode().tag(sync=True)
    """What Copy copies."""

    def __init__(self, result: AsyncResult) -> None:
        if not isinstance(result, AsyncResult):
            raise TypeError(f"ResultView shows an AsyncResult, not {type(result).__name__}")
        self.result = result
        self._record = record_of(result)
        self._asks = False
        super().__init__("result", **self._look(result))
        result.observe(self.touch)
        self.touch()  # what happened before it was observed

    def _look(self, result: AsyncResult) -> dict[str, Any]:
        state = result.state  # first: what is read below belongs to this state or to a later one
        self._record.read(result)
        progress = result.progress
        return {
            "state": state,
            "call": page.name(result.call),
            "target": page.name(result.target),
            "elapsed": result.elapsed,
            "heard": self._record.news - result.started,
            "as_of": time.time(),
            "progress": {} if progress is None else page.progress(progress),
            "tail": self._record.shown_tail(result),
        }

    def refresh(self) -> None:
        """Bring the traits up to date."""
        for name, value in self._look(self.result).items():
            setattr(self, name, value)
        if self.state in ("pending", "cancelling"):
            self.beat()
            return
        self.result.unobserve(self.touch)
        if not self._asks and self.state == "ready" and is_proxy(self.result.value):
            self._asks = True  # the end is seen at once; what the value looks like takes a trip
            self.touch()
            return
        self.outcome, self.report = self._record.outcome(self.result)

    def answer(self, content: dict[str, Any], buffers: list[Any]) -> None:
        """Cancel, or wait no longer for the remote's confirmation."""
        if content.get("kind") == "cancel":
            self.result.cancel()
        elif content.get("kind") == "abandon":
            self.result.abandon()

    def release(self) -> None:
        """Observe the result no more."""
        self.result.unobserve(self.touch)

    def fallback(self) -> dict[str, str]:
        """Give the panel as it is now."""
        return result_bundle(self.result)


def result_bundle(result: AsyncResult) -> dict[str, str]:
    """Give a result as it is now, for pages without widgets: ``text/html`` and ``text/plain``."""
    record = record_of(result)
    state = result.state
    record.read(result)
    ended = has_ended(result)
    text = repr(result)
    if ended and state in ("error", "lost"):
        text += f"\n{page.name(str(error_of(result)))}"
    outcome, report = record.outcome(result) if ended else ("", "")
    html = page.result(
        state=state,
        call=result.call,
        target=result.target,
        elapsed=result.elapsed,
        progress=result.progress,
        tail=record.shown_tail(result),
        outcome=outcome,
        report=report,
        as_of="" if ended else time.strftime("%H:%M"),
    )
    return {"text/html": html, "text/plain": text}
