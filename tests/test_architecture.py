"""The rules of the project's structure hold: layers, what an import loads, the size of files."""

from __future__ import annotations

import ast
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
SOURCES = sorted((ROOT / "nbrpc").rglob("*.py"))


def test_import_rules():
    """Imports go downward only, as the contracts in pyproject.toml say."""
    program = (
        "from importlinter.cli import lint_imports; raise SystemExit(lint_imports(no_cache=True))"
    )
    result = subprocess.run(
        [sys.executable, "-c", program], cwd=ROOT, capture_output=True, text=True, check=False
    )
    assert result.returncode == 0, result.stdout + result.stderr


@pytest.mark.parametrize("path", SOURCES, ids=lambda path: str(path.relative_to(ROOT)))
def test_files_stay_small_and_never_import_the_package_itself(path):
    """No source file has more than 800 lines or does ``import nbrpc``."""
    text = path.read_text(encoding="utf-8")
    assert len(text.splitlines()) <= 800
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, ast.Import):
            assert "nbrpc" not in [alias.name for alias in node.names], f"line {node.lineno}"
        if isinstance(node, ast.ImportFrom):
            assert node.module != "nbrpc", f"line {node.lineno}"


def test_import_loads_nothing_heavy():
    """``import nbrpc`` loads neither asyncio nor numpy nor IPython."""
    program = (
        "import sys; before = set(sys.modules); import nbrpc; "
        "print(*{'asyncio', 'numpy', 'IPython', 'ipykernel', 'ipywidgets', 'traitlets'} "
        "& (set(sys.modules) - before))"
    )
    result = subprocess.run(
        [sys.executable, "-c", program], cwd=ROOT, capture_output=True, text=True, check=True
    )
    assert result.stdout.split() == []
