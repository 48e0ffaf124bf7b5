"""The AsyncResults of a notebook, and the boards that show them: ``%rpc_results``."""

from __future__ import annotations

import weakref
from collections import deque
from typing import Any

from nbrpc.session.result import AsyncResult
from nbrpc.widgets.result_board import MOST, ResultBoard

__all__ = ["Results"]


class Results:
    """The results that were made most recently and still exist.

    A result is noted as it is made, on whatever thread; that takes well under a microsecond.
    """

    def __init__(self) -> None:
        self._recent: deque[weakref.ref[AsyncResult]] = deque(maxlen=MOST)
        self._boards: weakref.WeakSet[Any] = weakref.WeakSet()
        AsyncResult.announce = self._note

    def _note(self, result: AsyncResult) -> None:
        self._recent.append(weakref.ref(result))
        for board in tuple(self._boards):
            board.add(result)

    def board(self) -> ResultBoard:
        """Make a board of all results, those that are to come as well."""
        known = [result for made in self._recent.copy() if (result := made()) is not None]
        board = ResultBoard(known, title="results of this notebook")
        self._boards.add(board)
        return board

    def close(self) -> None:
        """Note nothing any more."""
        AsyncResult.announce = None
        self._boards.clear()
