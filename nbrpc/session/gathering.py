"""`gather`: one result over many."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

from nbrpc.session.local_result import LocalResult, nowhere
from nbrpc.session.result import AsyncResult, Progress

if TYPE_CHECKING:
    from nbrpc.session.session import Session

__all__ = ["gather"]


def gather(results: Iterable[AsyncResult]) -> AsyncResult:
    """Give one result over many.

    Its value is the list of their values, in order; the first exception is its exception. Its
    progress counts those that have ended. Cancelling it cancels all.

    Raises
    ------
    TypeError
        Something among them is no result.
    """
    if not isinstance(results, Iterable):
        raise TypeError(f"gather needs a list of results, not {type(results).__name__}")
    items = list(results)
    for index, item in enumerate(items):
        if not isinstance(item, AsyncResult):
            raise TypeError(
                "gather needs results of asynchronous calls, as nbrpc.async_(function)(...) gives "
                f"them; item {index} is of type {type(item).__name__}"
            )
    session: Any = items[0].session if items else nowhere()
    whole = GatheredResult(session, items)
    for item in items:
        item.observe_end(whole.count)
    if not items:
        whole.give([])
    return whole


class GatheredResult(LocalResult):
    """What `gather` gives."""

    def __init__(self, session: Session, items: list[AsyncResult]) -> None:
        super().__init__(session, 0, f"gather of {len(items)}")
        self.items = items
        self.progress = Progress(0, len(items), "")

    def count(self, _item: AsyncResult) -> None:
        """One more may have ended."""
        ended = sum(item.done for item in self.items)
        self.progress = Progress(ended, len(self.items), "")
        if ended < len(self.items) or self.done:
            self._changed()
            return
        try:
            self.give([item.value for item in self.items])
        except Exception as error:  # the first one's is that of the whole
            self.give(error=error)

    def sessions_awaited(self) -> Iterable[Session]:
        """Give the sessions of all that have not ended."""
        return [s for item in self.items if not item.done for s in item.sessions_awaited()]

    def cancel(self) -> bool:
        """Cancel all that have not ended."""
        if self.done:
            return False
        self._cancel_requested = True
        for item in self.items:
            item.cancel()
        return True
