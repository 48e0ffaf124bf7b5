"""Runs groups of steps: ``client.py IMPLEMENTATION VERSION``.

Each line of the input is a request in JSON, ``{"group": ..., "port": ..., "kind": ..., ...}``; each
line of the output its outcomes.
"""

from __future__ import annotations

import faulthandler
import json
import os
import signal
import sys
import traceback

import classic_steps  # noqa: F401 - registers its groups
import implementation
import service_steps  # noqa: F401 - registers its groups
from steps import GROUPS, Steps


def run(api, request):
    """Run one group."""
    kind, function = GROUPS[request["group"]]
    steps = Steps(api, "127.0.0.1", request["port"], request.get("kind", kind), request.get("url"))
    answer = {"outcomes": steps.outcomes}
    try:
        function(steps, **request.get("options", {}))
    except Exception as exc:  # told to the test
        traceback.print_exc()
        answer["failure"] = f"{type(exc).__name__}: {exc}"
        answer["traceback"] = traceback.format_exc()
    try:
        steps.disconnect()
    except Exception as exc:  # told to the test
        answer.setdefault("failure", f"on closing: {type(exc).__name__}: {exc}")
        answer.setdefault("traceback", traceback.format_exc())
    return answer


def main():
    """Answer requests until the input ends."""
    faulthandler.register(signal.SIGUSR1)
    # What is printed on the way goes to the errors.
    answers = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)
    api = implementation.load(*sys.argv[1:3])
    for line in sys.stdin:
        print(json.dumps(run(api, json.loads(line))), file=answers, flush=True)


if __name__ == "__main__":
    main()
