"""What ``nbrpc demo`` does: a bench in another process, and the quickstart notebook run against it.

nbclient and JupyterLab belong to the optional part ``nbrpc[demo]``, so they are looked for first.
"""

from __future__ import annotations

import contextlib
import importlib.util
import os
import shutil
import signal
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from nbrpc.app.command import Mistake, say
from nbrpc.transports.address import parse

__all__ = ["copy_notebooks", "execute", "run_headless", "run_lab"]

QUICKSTART = "01-quickstart.ipynb"
KERNEL = "python3"
CELL_TIMEOUT = 120
"""Seconds for one cell of the notebook; the longest takes a few."""

END_TIMEOUT = 10.0
"""Seconds that the bench and JupyterLab have to end before they are killed."""


def run_headless() -> None:
    """Execute the quickstart in a temporary folder and print its cells.

    Raises
    ------
    Mistake
        Something is missing, or a cell failed.
    """
    _require("nbclient")
    with tempfile.TemporaryDirectory(prefix="nbrpc-demo-") as place, _ended_by_sigterm():
        folder = Path(place)
        copy_notebooks(folder)
        # A runtime folder of its own: other servers of this user are neither seen nor disturbed.
        environment = {**os.environ, "NBRPC_RUNTIME_DIR": str(folder / "runtime")}
        with bench(environment):
            failure = execute(folder / QUICKSTART, environment, show=True)
    if failure:
        raise Mistake(f"{QUICKSTART} failed: {failure}")


def run_lab(arguments: Sequence[str]) -> None:
    """Execute the quickstart in the current folder and open JupyterLab on it.

    Parameters
    ----------
    arguments
        For JupyterLab.

    Raises
    ------
    Mistake
        Something is missing, or a cell failed; JupyterLab was open nevertheless.
    """
    _require("nbclient")
    _require("jupyterlab")
    folder = Path.cwd()
    copied = copy_notebooks(folder)
    if copied:
        say(f"copied to {folder}: {', '.join(copied)}")
    environment = dict(os.environ)
    with _ended_by_sigterm(), bench(environment) as url:
        say(f"the bench is at {url}")
        say(f"executing {QUICKSTART}")
        failure = execute(folder / QUICKSTART, environment, show=False)
        if failure:
            sys.stderr.write(f"nbrpc: {QUICKSTART} failed: {failure}\n")
        say("opening JupyterLab; Ctrl-C ends it and the bench")
        _open_lab(folder, arguments)
    if failure:
        raise Mistake(f"{QUICKSTART} failed: {failure}")


def _require(module: str) -> None:
    if importlib.util.find_spec(module) is None:
        raise Mistake(f"nbrpc demo needs {module}: install it with pip install 'nbrpc[demo]'")


def copy_notebooks(folder: Path) -> list[str]:
    """Copy the notebooks to a folder, except those that it has; give the names of the copies.

    Raises
    ------
    Mistake
        This installation has no notebooks, or the folder takes none.
    """
    package = Path(__file__).parent.parent
    # Installed they are in the package, in a checkout beside it.
    sources = next(
        (
            place
            for place in (package, package.parent)
            if (place / "notebooks" / QUICKSTART).exists()
        ),
        None,
    )
    if sources is None:
        raise Mistake("this installation has no notebooks: install nbrpc again")
    copied = []
    for source in sorted((sources / "notebooks").glob("*.ipynb")):
        target = folder / source.name
        if target.exists():
            continue
        try:
            shutil.copyfile(source, target)
        except OSError as exc:
            raise Mistake(f"cannot copy the notebooks to {folder}: {exc.strerror}") from exc
        copied.append(source.name)
    return copied


@contextlib.contextmanager
def bench(environment: Mapping[str, str]) -> Iterator[str]:
    """Run the simulated bench in another process; the value is its URL, without the token.

    Raises
    ------
    Mistake
        It did not start; it has said why on stderr.
    """
    command = ["serve", "nbrpc.demo:Bench", "--name", "bench", "--allow-code"]
    with subprocess.Popen(  # noqa: S603 - this program
        [sys.executable, "-m", "nbrpc", *command],
        env=environment,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        text=True,
        # Ctrl-C in the terminal is for us, and for JupyterLab, which asks whether it was meant.
        start_new_session=True,
    ) as process:
        try:
            line = process.stdout.readline() if process.stdout else ""
            if not line:
                raise Mistake("the bench did not start")
            yield parse(line).url
        finally:
            _end(process)


def _end(process: subprocess.Popen[Any]) -> None:
    process.terminate()
    try:
        process.wait(END_TIMEOUT)
    except subprocess.TimeoutExpired:
        process.kill()


def execute(path: Path, environment: Mapping[str, str], *, show: bool) -> str | None:
    """Execute a notebook in place.

    Parameters
    ----------
    environment
        Of the kernel.
    show
        Print each cell and what it gave.

    Returns
    -------
    str or None
        Why it failed, in one line; None when it ran through.
    """
    import nbformat
    from nbclient import NotebookClient
    from nbclient.exceptions import CellExecutionError, CellTimeoutError, DeadKernelError

    notebook = nbformat.read(path, as_version=4)  # type: ignore[no-untyped-call]
    client = NotebookClient(
        notebook,
        timeout=CELL_TIMEOUT,
        kernel_name=KERNEL,
        resources={"metadata": {"path": str(path.parent)}},
    )
    failure: str | None = None
    with client.setup_kernel(env=dict(environment)):
        for index, cell in enumerate(notebook.cells):
            if show:
                _show_source(cell)
            try:
                client.execute_cell(cell, index)
            except CellExecutionError as exc:
                failure = f"{exc.ename}: {exc.evalue}".partition("\n")[0]
            except (CellTimeoutError, DeadKernelError) as exc:
                failure = str(exc).strip().partition("\n")[0]
            if show:
                _show_outputs(cell)
            if failure:
                break
    nbformat.write(notebook, path)  # type: ignore[no-untyped-call]
    return failure


def _show_source(cell: Mapping[str, Any]) -> None:
    if cell["cell_type"] != "code":
        say(f"\n{cell['source']}\n")
        return
    for number, line in enumerate(cell["source"].splitlines()):
        say(f"{'...' if number else '>>>'} {line}")


def _show_outputs(cell: Mapping[str, Any]) -> None:
    for output in cell.get("outputs", ()):
        if output["output_type"] == "stream":
            text = output["text"]
        elif output["output_type"] == "error":
            text = "\n".join(output["traceback"])
        else:
            data = output["data"]
            text = data.get("text/plain") or f"<{', '.join(data)}>"
        say(_plain(text).rstrip("\n"))


def _plain(text: str) -> str:
    from nbrpc.objects.text import printable

    return printable(text, keep_colour=sys.stdout.isatty())


def _open_lab(folder: Path, arguments: Sequence[str]) -> None:
    # Not as a file to open: then the URLs that JupyterLab prints would lead elsewhere.
    start = f"--LabApp.default_url=/lab/tree/{QUICKSTART}"
    command = [sys.executable, "-m", "jupyterlab", start, *arguments]
    if hasattr(os, "geteuid") and os.geteuid() == 0:
        command.append("--allow-root")
    with subprocess.Popen(command, cwd=folder) as lab:  # noqa: S603 - a program of this Python
        # From here on Ctrl-C is JupyterLab's: it asks whether it was meant, and this one waits.
        kept = signal.signal(signal.SIGINT, signal.SIG_IGN)
        try:
            lab.wait()
        except BaseException:
            _end(lab)
            raise
        finally:
            signal.signal(signal.SIGINT, kept)


@contextlib.contextmanager
def _ended_by_sigterm() -> Iterator[None]:
    """Let SIGTERM end this program as Ctrl-C does, so that what it started ends as well."""
    kept = signal.signal(signal.SIGTERM, signal.default_int_handler)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, kept)
