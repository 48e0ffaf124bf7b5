"""Runs small programs that use nbrpc, and says whether each ended as it is to.

Every script is run in a process of its own, with the URL of a `SERVICE` as its argument. It is to
keep its exit code, to print nothing but what it says itself, and to end soon after its last line.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import tempfile
import textwrap
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

from tests.lives.changes import CHANGES
from tests.lives.exits import EXITS
from tests.lives.script import SERVICE, Life

__all__ = ["LIVES", "SERVICE", "Outcome", "run_life", "run_lives"]

LIVES = {**EXITS, **CHANGES}

PATIENCE = 15.0
"""Seconds after which a script hangs."""


@dataclass(frozen=True)
class Outcome:
    """How a script ended.

    Attributes
    ----------
    wrong
        What was not as it is to be; empty if nothing.
    seconds
        From its last line to its end.
    """

    name: str
    wrong: str
    seconds: float


def _script(life: Life) -> str:
    """Give the whole script; ``END`` says when its last line has run."""
    return (
        "import time as _time\n"
        "def END(_print=print, _clock=_time.monotonic): _print('END', _clock(), flush=True)\n"
        + life.begins
        + textwrap.dedent(life.code)
        + ("\nEND()\n")
        + (f"sys.exit({life.status})\n" if life.status > 0 else "")
    )


def _end_group(group: int) -> bool:
    """End what is left of a script and its children; say whether there was any."""
    try:
        os.killpg(group, signal.SIGKILL)
    except ProcessLookupError:
        return False
    return True


def run_life(name: str, url: str) -> Outcome:
    """Run one script."""
    life = LIVES[name]
    with tempfile.TemporaryFile("w+") as output_file, tempfile.TemporaryFile("w+") as error_file:
        process = subprocess.Popen(
            [sys.executable, "-c", _script(life), url],
            stdin=subprocess.DEVNULL,
            stdout=output_file,
            stderr=error_file,
            start_new_session=True,  # so that children that hang can be ended
        )
        try:
            process.wait(PATIENCE)
            ended, hangs = time.monotonic(), ""
        except subprocess.TimeoutExpired:
            ended, hangs = time.monotonic(), "hangs; "
        if _end_group(process.pid) and not hangs:
            hangs = "leaves a process; "
        process.wait()
        output_file.seek(0)
        error_file.seek(0)
        output, errors = output_file.read(), error_file.read()
    marks = [line for line in output.splitlines() if line.startswith("END ")]
    said = " ".join(line for line in output.splitlines() if not line.startswith("END "))
    # A script that ends by an exception says nothing of its end: only a hang would show.
    seconds = ended - float(marks[0].split()[1]) if marks else 0.0
    wrong = [hangs] if hangs else []
    if process.returncode != life.status:
        wrong.append(f"exit code {process.returncode}, not {life.status}")
    if said != life.output:
        wrong.append(f"printed {said!r}, not {life.output!r}")
    last = errors.strip().splitlines()[-1] if errors.strip() else ""
    if not last.startswith(life.error) or (errors and not life.error):
        wrong.append(f"on stderr: {errors.strip()[-600:]!r}")
    return Outcome(name, "; ".join(wrong), seconds)


def run_lives(names: list[str], url: str, together: int = 3) -> list[Outcome]:
    """Run scripts, some at a time."""
    with ThreadPoolExecutor(together) as pool:
        return list(pool.map(lambda name: run_life(name, url), names))
