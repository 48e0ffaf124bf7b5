"""Files to the peer and back: streamed in chunks, each a message of its own, never a whole file."""

from __future__ import annotations

import os
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from types import ModuleType
from typing import Any, Final

from nbrpc.session.calling import obtain
from nbrpc.session.connection import Connection

__all__ = [
    "download",
    "download_dir",
    "download_file",
    "upload",
    "upload_dir",
    "upload_file",
    "upload_module",
    "upload_package",
]

CHUNK_SIZE: Final = 256 * 1024
"""Bytes of a message: above this the link, and no longer the round trip, is what takes the time;
a message of this size still travels in one piece."""

SEPARATORS: Final = frozenset("/\0" if os.name != "nt" else "/\\:\0")
"""What leads out of a folder, or to a drive, or ends a name early."""

Filter = Callable[[str], object]
"""Takes the bare name of a file or folder; a false answer leaves it out."""

FilePath = str | os.PathLike[str]


def upload(
    conn: Connection,
    localpath: FilePath,
    remotepath: FilePath,
    filter: Filter | None = None,  # noqa: A002 - RPyC's name
    ignore_invalid: bool = False,  # noqa: FBT001, FBT002 - RPyC's signature
    chunk_size: int = CHUNK_SIZE,
) -> None:
    """Copy a file, or a folder with all that is in it, to the peer.

    Parameters
    ----------
    filter
        Called with the bare name of each file and folder inside; a false answer leaves it out.
    ignore_invalid
        Pass over what is neither a file nor a folder instead of raising.
    chunk_size
        Bytes of a message.

    Raises
    ------
    ValueError
        It is neither a file nor a folder.
    OSError
        It cannot be read here or, with the remote traceback, not be written there; a file that was
        begun stays as it is.
    """
    source = Path(localpath)
    if source.is_dir():
        upload_dir(conn, source, remotepath, filter, chunk_size)
    elif source.is_file():
        upload_file(conn, source, remotepath, chunk_size)
    elif not ignore_invalid:
        raise ValueError(f"cannot upload {str(source)!r}: it is no file and no folder")


def upload_file(
    conn: Connection, localpath: FilePath, remotepath: FilePath, chunk_size: int = CHUNK_SIZE
) -> None:
    """Copy a file to the peer; see `upload`."""
    _check_chunk_size(chunk_size)
    with (
        Path(localpath).open("rb") as local,
        closing(conn.builtins.open(os.fspath(remotepath), "wb")) as remote,
    ):
        while chunk := local.read(chunk_size):
            remote.write(chunk)


def upload_dir(
    conn: Connection,
    localpath: FilePath,
    remotepath: FilePath,
    filter: Filter | None = None,  # noqa: A002 - RPyC's name
    chunk_size: int = CHUNK_SIZE,
) -> None:
    """Copy the contents of a folder into a folder of the peer, which is made; see `upload`."""
    target = os.fspath(remotepath)
    conn.modules.os.makedirs(target, exist_ok=True)
    join = conn.modules["os.path"].join
    for source in sorted(Path(localpath).iterdir()):
        if filter is None or filter(source.name):
            upload(conn, source, join(target, source.name), filter, True, chunk_size)


def download(
    conn: Connection,
    remotepath: FilePath,
    localpath: FilePath,
    filter: Filter | None = None,  # noqa: A002 - RPyC's name
    ignore_invalid: bool = False,  # noqa: FBT001, FBT002 - RPyC's signature
    chunk_size: int = CHUNK_SIZE,
) -> None:
    """Copy a file of the peer, or a folder with all that is in it, to this side.

    Parameters
    ----------
    filter
        Called with the bare name of each file and folder inside; a false answer leaves it out.
    ignore_invalid
        Pass over what is neither a file nor a folder instead of raising.
    chunk_size
        Bytes of a message.

    Raises
    ------
    ValueError
        It is neither a file nor a folder, or the peer gave a name that would lead out of
        ``localpath``.
    OSError
        It cannot be written here or, with the remote traceback, not be read there; a file that was
        begun stays as it is.
    """
    source = os.fspath(remotepath)
    path = conn.modules["os.path"]
    if path.isdir(source):
        download_dir(conn, source, localpath, filter, chunk_size)
    elif path.isfile(source):
        download_file(conn, source, localpath, chunk_size)
    elif not ignore_invalid:
        raise ValueError(f"cannot download {source!r}: it is no file and no folder of the peer")


def download_file(
    conn: Connection, remotepath: FilePath, localpath: FilePath, chunk_size: int = CHUNK_SIZE
) -> None:
    """Copy a file of the peer to this side; see `download`."""
    _check_chunk_size(chunk_size)
    with (
        closing(conn.builtins.open(os.fspath(remotepath), "rb")) as remote,
        Path(localpath).open("wb") as local,
    ):
        while chunk := remote.read(chunk_size):
            local.write(chunk)


def download_dir(
    conn: Connection,
    remotepath: FilePath,
    localpath: FilePath,
    filter: Filter | None = None,  # noqa: A002 - RPyC's name
    chunk_size: int = CHUNK_SIZE,
) -> None:
    """Copy the contents of a folder of the peer into a folder, which is made; see `download`."""
    source = os.fspath(remotepath)
    names = sorted(obtain(conn.modules.os.listdir(source)))
    folder = Path(localpath)
    folder.mkdir(parents=True, exist_ok=True)
    join = conn.modules["os.path"].join
    for name in names:
        _check_name(name)
        if filter is None or filter(name):
            download(conn, join(source, name), folder / name, filter, True, chunk_size)


def upload_package(
    conn: Connection,
    module: ModuleType,
    remotepath: FilePath | None = None,
    chunk_size: int = CHUNK_SIZE,
) -> None:
    """Copy a package, or a module of one file, to where the peer imports from.

    Parameters
    ----------
    module
        The imported package or module, written in Python.
    remotepath
        The folder of the package, or the file of the module, over there; by default in the peer's
        ``site-packages``.

    Raises
    ------
    TypeError
        It is no module, or has no file of its own (a builtin, a namespace package).
    """
    if not isinstance(module, ModuleType):
        raise TypeError(f"upload_package takes an imported module, not {type(module).__name__}")
    file = getattr(module, "__file__", None)
    if file is None or not file.endswith(".py"):
        raise TypeError(f"{module.__name__} has no Python file that could be uploaded")
    source = Path(file)
    is_package = source.name == "__init__.py"
    if remotepath is None:
        *parents, last = module.__name__.split(".")
        folder = conn.modules.sysconfig.get_path("purelib")
        name = last if is_package else f"{last}.py"
        remotepath = conn.modules["os.path"].join(folder, *parents, name)
    if is_package:
        upload_dir(conn, source.parent, remotepath, lambda name: name != "__pycache__", chunk_size)
    else:
        upload_file(conn, source, remotepath, chunk_size)
    conn.modules.importlib.invalidate_caches()


upload_module = upload_package


def _check_chunk_size(chunk_size: int) -> None:
    if chunk_size < 1:
        raise ValueError(f"chunk_size is a number of bytes from 1, not {chunk_size!r}")


def _check_name(name: Any) -> None:
    """Refuse a name with which a peer could have files written outside of the chosen folder."""
    if type(name) is not str or name in ("", ".", "..") or not SEPARATORS.isdisjoint(name):
        raise ValueError(f"the peer lists {name!r}, which is not the bare name of a file")
