"""``%%rpc_on``: cells that run for every event, and what is shown when one of them fails."""

from __future__ import annotations

import linecache
import uuid
from collections.abc import Callable
from typing import Any

from IPython.core.error import UsageError

from nbrpc.notebook.tracebacks import without_package

__all__ = ["Handlers", "current_run"]

INTERVAL = 1.0
"""Seconds between two updates of a count of errors."""


class Handlers:
    """The bodies that are subscribed to events.

    A cell of the notebook that runs again replaces what its earlier run subscribed, even if it
    names another event now. Where the front end does not tell cells apart, the expression does.

    Parameters
    ----------
    call_later
        Runs a function on the kernel's loop after some seconds.
    """

    def __init__(self, shell: Any, call_later: Callable[[float, Callable[[], None]], None]) -> None:
        self._shell = shell
        self._call_later = call_later
        self._subscriptions: dict[tuple[str, str], tuple[str, Any]] = {}
        """By cell and expression: the run of the cell, and what it subscribed."""

    def subscribe(self, expression: str, event: Any, body: str) -> None:
        """Run `body` for every `event`, with what it brought in the variable ``event``.

        Raises
        ------
        UsageError
            The body is no Python.
        """
        name = f"<%%rpc_on {expression}>"
        source = "\n" + self._shell.transform_cell(body)  # the magic's line is line 1
        try:
            code = compile(source, name, "exec", dont_inherit=True)
        except SyntaxError as error:
            text = f": {error.text.strip()}" if error.text else ""
            raise UsageError(f"line {error.lineno} of the cell: {error.msg}{text}") from None
        linecache.cache[name] = (len(source), None, source.splitlines(keepends=True), name)
        namespace = self._shell.user_ns

        def run(*arguments: Any) -> None:
            namespace["event"] = arguments[0] if len(arguments) == 1 else arguments
            exec(code, namespace)  # noqa: S102 - the user's own cell

        cell, run_of_cell = current_run(self._shell) or ("", "")
        subscription = event.subscribe(run)
        for key, (earlier_run, earlier) in list(self._subscriptions.items()):
            again = key[1] == expression or (cell and earlier_run != run_of_cell)
            if key[0] == cell and again:
                del self._subscriptions[key]
                earlier.close()
        self._subscriptions[cell, expression] = (run_of_cell, subscription)

    def shower(self) -> Callable[[BaseException, Any], None]:
        """Make what shows the errors of one subscription: the first, and then their number."""
        failures = Failures(self._shell, self._call_later)
        return lambda error, _: failures.add(error)

    def close(self) -> None:
        """End all subscriptions."""
        for _, subscription in self._subscriptions.values():
            subscription.close()
        self._subscriptions.clear()


class Failures:
    """The errors of one handler: the first is shown, the others are counted.

    A handler that fails at every event would otherwise bury the notebook under tracebacks.
    """

    def __init__(self, shell: Any, call_later: Callable[[float, Callable[[], None]], None]) -> None:
        self._shell = shell
        self._call_later = call_later
        self._count = 0
        self._shown = 0
        self._identity = uuid.uuid4().hex

    def add(self, error: BaseException) -> None:
        """Take one more error, in the context of the cell that it belongs to."""
        self._count += 1
        if self._count == 1:
            traceback = without_package(error.__traceback__)
            self._shell.showtraceback((type(error), error, traceback))
        elif self._count == 2:
            self._publish()
        elif self._shown == self._count - 1:  # else an update is on its way
            self._call_later(INTERVAL, self._publish)

    def _publish(self) -> None:
        text = f"this handler has failed {self._count:,} times; the first time is shown"
        self._shell.display_pub.publish(
            {"text/plain": text},
            {},
            transient={"display_id": self._identity},
            update=self._shown > 0,
        )
        self._shown = self._count


def current_run(shell: Any) -> tuple[str, str] | None:
    """Name the cell of the notebook that runs, and this run; None if the front end does not say."""
    parent = shell.get_parent() if hasattr(shell, "get_parent") else {}
    cell = parent.get("metadata", {}).get("cellId")
    return (str(cell), str(parent.get("header", {}).get("msg_id", ""))) if cell else None
