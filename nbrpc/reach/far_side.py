"""What runs on the far side of ssh until nbrpc does: a few lines, sent as text.

It says which Python this is and whether nbrpc is here, receives a bundle if it must, and runs the
command line. Nothing of nbrpc is imported before. It speaks in lines: JSON after a mark, so that
whatever else a login prints is told apart.
"""

from __future__ import annotations

import hashlib
import importlib.machinery
import importlib.metadata
import json
import os
import secrets
import shutil
import sys
import zipfile
from typing import Any

__all__ = ["serve"]

PIECE = 65_536


def say(mark: str, **what: Any) -> None:
    """Write a line for the near side."""
    data = f"\n{mark}{json.dumps(what)}\n".encode()
    while data:
        data = data[os.write(1, data) :]


def hear() -> dict[str, Any]:
    """Read a line of the near side, and nothing beyond it."""
    line = open(0, "rb", 0, closefd=False).readline()  # noqa: SIM115 - it stays open
    if not line:
        sys.exit(0)
    heard: dict[str, Any] = json.loads(line)
    return heard


def is_installed(version: str) -> bool:
    """Whether this Python has nbrpc of that version."""
    try:
        return importlib.metadata.version("nbrpc") == version
    except importlib.metadata.PackageNotFoundError:
        return False


def is_ours(folder: str) -> bool:
    """Whether a folder is there that this user alone can write to."""
    try:
        status = os.lstat(folder)
    except OSError:
        return False
    return status.st_uid == os.getuid() and not status.st_mode & 0o022


def receive(folder: str, size: int, sha256: str) -> None:
    """Read a bundle, check it, and put it where it belongs once all of it is there."""
    draft = f"{folder}.{secrets.token_hex(4)}"
    os.makedirs(draft, mode=0o700)  # noqa: PTH103 - paths are texts here
    try:
        archive = f"{draft}/bundle.zip"
        digest = hashlib.sha256()
        with open(archive, "wb") as file:  # noqa: PTH123 - as above
            while size:
                piece = os.read(0, min(size, PIECE))
                if not piece:
                    sys.exit(1)
                size -= len(piece)
                digest.update(piece)
                file.write(piece)
        if digest.hexdigest() != sha256:
            raise OSError("what arrived is not what was sent")
        with zipfile.ZipFile(archive) as bundle:
            bundle.extractall(draft)
        os.unlink(archive)  # noqa: PTH108 - as above
        try:
            os.rename(draft, folder)  # noqa: PTH104 - as above
        except OSError:
            if not is_ours(folder):  # or another connection was first
                raise
    finally:
        shutil.rmtree(draft, ignore_errors=True)


def serve(mark: str, version: str, bundle: str) -> int:
    """Do all of it.

    Parameters
    ----------
    mark
        Begins each of our lines.
    version
        Of nbrpc on the near side.
    bundle
        The name of the folder with what is carried.
    """
    folder = os.path.join(os.path.expanduser("~"), ".cache", "nbrpc", bundle)  # noqa: PTH111, PTH118 - as above
    installed = is_installed(version)
    suffix = importlib.machinery.EXTENSION_SUFFIXES[0]
    say(mark, suffix=suffix, here=installed or is_ours(folder))
    order = hear()
    if "size" in order:
        try:
            receive(folder, order["size"], order["sha256"])
        except (OSError, zipfile.BadZipFile) as error:
            say(mark, failed=str(error))
            return 1
        say(mark, here=True)
        order = hear()
    sys.path[:] = [part for part in sys.path if part]
    if not installed:
        sys.path.insert(0, folder)
    from nbrpc.app import main

    sys.path.insert(0, os.getcwd())  # noqa: PTH109 - sys.path holds texts
    return main(order["arguments"])
