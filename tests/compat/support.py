"""Programs under stock RPyC and under `install_as_rpyc`, in processes of their own."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

PROGRAMS = Path(__file__).parent / "programs"

INSTALLED = (
    "import sys, runpy; from nbrpc.compat.install import install_as_rpyc; install_as_rpyc(); "
    "sys.argv = sys.argv[1:]; "
    "runpy.run_path(sys.argv[0], run_name='__main__')"
)

OPEN = (
    "import functools; from nbrpc.compat import servers; "
    "servers.Server.__init__ = functools.partialmethod(servers.Server.__init__, rpyc=True); "
)
"""Has each server of a program let clients of RPyC in, which a program for RPyC cannot ask for."""


def command(program, *arguments, stock, to_all=False):
    """Give the command line that runs a program."""
    path = str(PROGRAMS / program)
    if stock:
        return [sys.executable, path, *arguments]
    before, after = INSTALLED.split("sys.argv", 1)
    code = before + (OPEN if to_all else "") + "sys.argv" + after
    return [sys.executable, "-c", code, path, *arguments]


def environment():
    """Give the environment of a program: without buffers, and with the sources of this checkout."""
    root = str(Path(__file__).parent.parent.parent)
    return {**os.environ, "PYTHONUNBUFFERED": "1", "PYTHONPATH": root}


def run(program, *arguments, stock):
    """Run a program, and give what it prints."""
    done = subprocess.run(
        command(program, *arguments, stock=stock),
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
        env=environment(),
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def start(program, *arguments, stock, to_all=False):
    """Start a program, and give it with its first line."""
    process = subprocess.Popen(
        command(program, *arguments, stock=stock, to_all=to_all),
        stdout=subprocess.PIPE,
        text=True,
        env=environment(),
    )
    return process, process.stdout.readline().strip()
