"""The tutorials, executed in a real kernel as a reader would: cell by cell, and all of it twice."""

from __future__ import annotations

import asyncio
import os
import shutil
from pathlib import Path

import nbformat
import pytest
from nbclient import NotebookClient

pytestmark = pytest.mark.kernel

FOLDER = Path(__file__).resolve().parent.parent.parent / "notebooks"
NOTEBOOKS = sorted(FOLDER.glob("*.ipynb"))

LOADED = "The nbrpc extension is already loaded."
"""What IPython says the second time."""


def shown(cell):
    """Give what a reader sees under a cell: its outputs as text, prints of one stream as one."""
    seen, stream = [], None
    for output in cell.outputs:
        name = output.get("name")
        data = output.get("data", {})
        text = output.get("text") or data.get("text/html") or data.get("text/plain", "")
        if LOADED in text:
            continue
        if name is not None and name == stream:
            seen[-1] += text
        else:
            seen.append(text)
        stream = name
    return seen


async def execute_twice(path, environment):
    """Execute every cell of a notebook, and then every cell again, in one kernel."""
    notebook = nbformat.read(path, as_version=4)
    client = NotebookClient(
        notebook, timeout=60, kernel_name="python3", resources={"metadata": {"path": path.parent}}
    )
    cells = [cell for cell in notebook.cells if cell.cell_type == "code"]
    runs = []
    async with client.async_setup_kernel(env=environment):
        for _ in range(2):
            for number, cell in enumerate(notebook.cells):
                await client.async_execute_cell(cell, number)
            runs.append([shown(cell) for cell in cells])
    return runs


@pytest.fixture
def executed(tmp_path, bench, module_runtime_dir):
    """Execute a notebook twice in one kernel; give what its cells gave each time."""

    def execute(path):
        shutil.copy(path, tmp_path)
        environment = {
            **os.environ,
            "NBRPC_RUNTIME_DIR": str(module_runtime_dir),
            "PYTHONPATH": str(FOLDER.parent),
            "IPYTHONDIR": str(tmp_path / "ipython"),
        }
        return asyncio.run(execute_twice(tmp_path / path.name, environment))

    return execute


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.name)
def test_runs_twice(executed, path):
    """Every cell succeeds, both times, with as many outputs; nothing is left unfinished."""
    first, second = executed(path)
    assert [len(outputs) for outputs in first] == [len(outputs) for outputs in second]
    text = "".join(output for outputs in [*first, *second] for output in outputs)
    assert 'data-state="pending"' not in text
    assert 'data-state="cancelling"' not in text


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.name)
def test_committed_without_outputs(path):
    """What is committed has no outputs, no counts, and ids that stay."""
    notebook = nbformat.read(path, as_version=4)
    nbformat.validate(notebook)
    for number, cell in enumerate(notebook.cells, 1):
        assert cell["id"] == f"cell-{number:02d}"
        if cell.cell_type == "code":
            assert cell.outputs == []
            assert cell.execution_count is None
