"""RPyC as its authors published it, one folder for each version; it never runs in this process."""

from __future__ import annotations

import fcntl
import shutil
import subprocess
import sys
from pathlib import Path

VERSIONS = ("4.1.5", "5.3.1", "6.0.2")
"""The last of each wire: 4.1 to 5.3 speak one, 6 another."""

FOLDER = Path(__file__).parents[2] / ".venv" / "rpyc"


def installed(version: str) -> Path:
    """Give the folder of a version, for PYTHONPATH; it is installed when it is first asked for."""
    folder = FOLDER / version
    if not folder.is_dir():
        FOLDER.mkdir(parents=True, exist_ok=True)
        with (FOLDER / "lock").open("w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)  # another run may be at the same
            if not folder.is_dir():
                _install(version, folder)
    return folder


def _install(version: str, folder: Path) -> None:
    unfinished = folder.with_suffix(".unfinished")
    shutil.rmtree(unfinished, ignore_errors=True)
    command = [sys.executable, "-m", "pip", "install", "--quiet", "--disable-pip-version-check"]
    done = subprocess.run(
        [*command, "--target", str(unfinished), f"rpyc=={version}"],
        capture_output=True,
        text=True,
        timeout=100,
        check=False,
    )
    if done.returncode:
        raise RuntimeError(f"RPyC {version} cannot be installed:\n{done.stdout}{done.stderr}")
    unfinished.rename(folder)
