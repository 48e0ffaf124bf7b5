"""The program of a server process and of a client process.

``server PEER FOLDER`` prints its address as one line of JSON. ``client PEER ADDRESS`` reads the
name of a measure from each line of its input and answers with one line of JSON.
"""

from __future__ import annotations

import json
import os
import sys
import traceback
from pathlib import Path
from typing import Any, TextIO

from benchmarks.measures import MEASURES, Bed
from benchmarks.peers import load


def _own_output() -> TextIO:
    """Keep standard output for the answers; what a library prints goes to the errors."""
    answers = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)
    return answers


def serve(name: str, folder: str) -> None:
    """Run a server for ever."""
    answers = _own_output()

    def ready(address: Any) -> None:
        print(json.dumps(address), file=answers, flush=True)

    load(name).serve(Path(folder), ready)


def measure(name: str, address: str, *, quick: bool) -> None:
    """Answer one measure after the other, until the input ends."""
    answers = _own_output()
    bed = Bed(load(name), json.loads(address), quick)
    for line in sys.stdin:
        try:
            answer: dict[str, object] = {"value": MEASURES[line.strip()].run(bed)}
        except NotImplementedError:
            answer = {"missing": True}
        except Exception as exc:
            traceback.print_exc()
            answer = {"error": f"{type(exc).__name__}: {exc}"}
        print(json.dumps(answer), file=answers, flush=True)
    # Threads that hold idle connections may not end by themselves.
    os._exit(0)


if __name__ == "__main__":
    role, peer_name, where = sys.argv[1:4]
    if role == "server":
        serve(peer_name, where)
    else:
        measure(peer_name, where, quick="--quick" in sys.argv)
