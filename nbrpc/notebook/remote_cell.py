"""``%%remote``: runs a cell on one or several connections and plays its output into the local cell.

In a notebook the cell is rewritten to one that awaits, so that the kernel's loop goes on turning:
events arrive and displays move while the remote code runs, and Stop is an ordinary cancellation.
Called in any other way (``run_cell_magic``, under ``%%time``) it waits in the ordinary manner.

Output belongs to a result, never to the connection: once a cell has ended or was stopped, what its
remote code may still print is not shown anywhere.
"""

from __future__ import annotations

import asyncio
import sys
import time
from collections.abc import Callable, Iterable
from typing import Any

from nbrpc.errors import CallTimeout
from nbrpc.notebook.tracebacks import Interrupted, presentable, unfinished
from nbrpc.session.call import Call
from nbrpc.session.named_sessions import CellResult
from nbrpc.widgets.result_record import error_of, has_ended
from nbrpc.widgets.sanitize import admitted, admitted_metadata, clean, display_name, is_trusted

__all__ = [
    "MAGIC",
    "Player",
    "bind_when_ready",
    "finish",
    "rewriter",
    "wait",
    "wait_async",
    "wait_ended",
]

MAGIC = "%%remote"

TICK = 0.05
"""Seconds between two looks at the output while waiting without a loop."""

LOOK = 0.5
"""Seconds between two looks while awaiting: changes wake it at once."""

STOPPED = "the remote cell was stopped"

LOST = "the connection is lost; the cell starts when it is back\n"

LOST_IN_SESSION = (
    "the connection is lost; the cell runs on in session {}, and what it prints is shown here when "
    "the connection is back\n"
)

LEFT = "the remote cell was left, and runs on there: RPyC cannot stop it"


class Player:
    """Plays the output of one result into the cell that runs.

    Parameters
    ----------
    label
        Set before every line of text and above every display, where several remotes print into
        one cell.
    """

    def __init__(self, shell: Any, result: Any, label: str = "") -> None:
        self.result = result
        self._shell = shell
        self._label = label
        self._held = {"stdout": "", "stderr": ""}  # beginnings of escape sequences
        self._begun = {"stdout": "", "stderr": ""}  # beginnings of lines that get a label
        self._told = False
        self._silence = ""
        result.watched = True

    def play(self) -> None:
        """Show what has come since the last time."""
        ended = has_ended(self.result)  # first: what it has shown until then is there
        outputs = self.result.outputs
        wrote = False
        while outputs:
            kind, content = outputs.popleft()
            if kind in self._held:
                self._write(kind, content)
                wrote = True
            elif kind == "display":
                self._display(content)
            elif kind == "result":
                self._show(content)
            elif kind == "clear":
                self._shell.display_pub.clear_output(bool(content))
        silence = "" if ended else self.result.session.silence_text
        if silence != self._silence and Call.show_wait is not None:
            self._silence = silence
            Call.show_wait(self.result, silence and f"it {silence}")
        if ended:
            self._end_lines()
        elif self.result.session.closed is not self._told:
            self._told = not self._told
            if self._told:
                kept = isinstance(self.result, CellResult)
                self._end_lines()
                sys.stderr.write(
                    LOST_IN_SESSION.format(self.result.sessions.attached) if kept else LOST
                )
                wrote = True
        if wrote or ended:  # a kernel would keep text for 0.2 s
            sys.stdout.flush()
            sys.stderr.flush()

    def _write(self, kind: str, text: str) -> None:
        text = self._held[kind] + text
        cut = len(text) - unfinished(text)
        self._held[kind] = text[cut:]
        text = clean(text[:cut])
        if self._label and text:
            text = self._labelled(kind, text)
        (sys.stdout if kind == "stdout" else sys.stderr).write(text)

    def _labelled(self, kind: str, text: str) -> str:
        """Give the lines that are complete, each with the label: two remotes share no line."""
        lines = (self._begun[kind] + text).splitlines(keepends=True)
        self._begun[kind] = lines.pop() if lines and lines[-1][-1] not in "\r\n" else ""
        return "".join(self._label + line for line in lines)

    def _end_lines(self) -> None:
        for kind, begun in self._begun.items():
            if begun:
                self._write(kind, "\n")

    def _display(self, content: dict[str, Any]) -> None:
        name = display_name(content["transient"], self.result.session)
        update = content["update"] and name is not None
        if not update:
            self._head()
        self._shell.display_pub.publish(
            *self._admitted(content),
            transient={"display_id": name} if name else {},
            update=update,
        )

    def _head(self) -> None:
        """Say whose the display is that follows, where that is not clear."""
        if self._label:
            self._end_lines()
            sys.stdout.write(f"{self._label.rstrip()}\n")
            sys.stdout.flush()

    def _show(self, content: dict[str, Any]) -> None:
        """Show the last value as the value of the local cell, which its variables do not become."""
        data, metadata = self._admitted(content)
        if self._label and set(data) <= {"text/plain"}:
            self._write("stdout", f"{data.get('text/plain', '')}\n")
            return
        if self._label:  # one cell has one value
            self._head()
            self._shell.display_pub.publish(data, metadata)
            return
        hook = self._shell.displayhook
        hook.start_displayhook()
        hook.write_output_prompt()
        hook.write_format_data(data, metadata)
        hook.finish_displayhook()

    def _admitted(self, content: dict[str, Any]) -> tuple[dict[str, Any], dict[str, Any]]:
        trusted = is_trusted(self.result.session)
        return (
            admitted(content["data"], trusted=trusted),
            admitted_metadata(content["metadata"], trusted=trusted),
        )


async def wait_async(players: list[Player]) -> None:
    """Play until all have ended, while the loop goes on turning.

    Raises
    ------
    KeyboardInterrupt
        Stop; the remote cells are cancelled.
    """
    loop = asyncio.get_running_loop()
    changed = asyncio.Event()

    def wake(_: object) -> None:
        loop.call_soon_threadsafe(changed.set)

    for player in players:
        player.result.observe(wake)
    try:
        while not _play(players):
            try:  # in ticks, since nobody tells when a result expires
                await asyncio.wait_for(changed.wait(), LOOK)
            except TimeoutError:
                pass
            changed.clear()
    except (asyncio.CancelledError, KeyboardInterrupt):
        raise _cancel(players) from None
    finally:
        for player in players:
            player.result.unobserve(wake)


def wait(players: list[Player]) -> None:
    """Play until all have ended; what the connections deliver meanwhile is served as in any wait.

    Raises
    ------
    KeyboardInterrupt
        Stop; the remote cells are cancelled.
    """
    try:
        while not _play(players):
            running = [p.result for p in players if not has_ended(p.result)]
            if not running:
                continue  # the last one has just ended
            first = running[0]
            try:
                first.exception(TICK)
            except CallTimeout:
                pass
    except KeyboardInterrupt:
        raise _cancel(players) from None


def wait_ended(results: Iterable[Any], timeout: float | None) -> None:
    """Wait until nothing about these results will change any more.

    Raises
    ------
    CallTimeout
        Not all of them ended in that time.
    """
    ends = None if timeout is None else time.monotonic() + timeout
    for result in results:
        while not has_ended(result):
            if ends is not None and time.monotonic() >= ends:
                raise CallTimeout(f"{result.call or 'a result'} did not end within {timeout:g} s")
            if result.state == "cancelling":  # nothing to wait for but the remote's word
                time.sleep(TICK)
                continue
            try:
                result.wait(TICK)
            except CallTimeout:
                pass


def finish(shell: Any, players: dict[str, Player]) -> None:
    """Bind what was pulled, or raise what went wrong; all have ended.

    Parameters
    ----------
    players
        By the names of their connections. With several, a pulled name becomes a dictionary of the
        values by connection.
    """
    errors = {name: _error_of(player.result) for name, player in players.items()}
    failed = {name: error for name, error in errors.items() if error is not None}
    pulled = {name: player.result.value for name, player in players.items() if name not in failed}
    if len(players) == 1:
        shell.user_ns.update(next(iter(pulled.values()), {}))
    else:
        names: Iterable[str] = {name for values in pulled.values() for name in values}
        for name in names:
            shell.user_ns[name] = {where: values[name] for where, values in pulled.items()}
    if failed:
        error = next(iter(failed.values()))
        for name, other in list(failed.items())[1:]:
            said = clean(str(other)).partition("\n")[0]
            sys.stderr.write(f"[{name}] {type(other).__name__}: {said}\n")
        raise presentable(error)


def _error_of(result: Any) -> BaseException | None:
    if result.expired:
        return CallTimeout("the remote cell did not end in that time; its code runs on there")
    return error_of(result)


def bind_when_ready(result: Any, namespace: dict[str, Any]) -> None:
    """Bind what a cell brings back, as soon as it is there: whoever awaits the cell finds it."""

    def look(_: Any) -> None:
        if has_ended(result):
            result.unobserve(look)
            if result.state == "ready":
                namespace.update(result.value)

    result.observe_end(look)


def rewriter(call: str, enabled: Callable[[], bool]) -> Callable[[list[str]], list[str]]:
    """Make the transform that turns a ``%%remote`` cell into one that awaits.

    Parameters
    ----------
    call
        Source of a function of the magic's line and body that gives an awaitable.
    enabled
        Whether cells may await at the moment.
    """

    def rewrite(lines: list[str]) -> list[str]:
        if not lines or not enabled():
            return lines
        word, _, arguments = lines[0].partition(" ")
        if word.strip() != MAGIC:
            return lines
        return [f"await {call}({arguments.strip()!r}, {''.join(lines[1:])!r})\n"]

    # While IPython asks whether a cell is complete it must see the magic: a terminal would
    # otherwise run the cell after its first line.
    rewrite.has_side_effects = True  # type: ignore[attr-defined]
    return rewrite


def _play(players: list[Player]) -> bool:
    """Play all; whether all have ended and all of their output is shown."""
    ended = all(has_ended(player.result) for player in players)  # before the last look
    for player in players:
        player.play()
    return ended


def _cancel(players: list[Player]) -> Interrupted:
    """Cancel all; give what says so."""
    for player in players:
        player.result.cancel()
        player.play()
    return Interrupted(LEFT if any(p.result.session.nests for p in players) else STOPPED)
