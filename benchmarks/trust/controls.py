"""Running a program on stock RPyC, in a process of its own."""

from __future__ import annotations

import subprocess
import sys

__all__ = ["run_control"]

PATIENCE = 60.0

ENDING = """
finally:
    server.kill()
    os._exit(0)
"""


def run_control(program: str) -> str:
    """Run a program that ends inside of a ``try``; give what it says, or how it ended.

    It imports os, and calls the process with RPyC's server ``server``.
    """
    try:
        done = subprocess.run(
            [sys.executable, "-c", program + ENDING],
            capture_output=True, text=True, timeout=PATIENCE, check=False,
        )  # fmt: skip
    except subprocess.TimeoutExpired:
        return f"hangs for more than {PATIENCE:.0f} s"
    return done.stdout.strip() or f"failed: {done.stderr.strip()[-200:]}"
