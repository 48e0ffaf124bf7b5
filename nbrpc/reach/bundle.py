"""What is carried to a machine without nbrpc: this package, and what its servers need, as a zip."""

from __future__ import annotations

import hashlib
import importlib.machinery
import importlib.util
import io
import zipfile
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Final

from nbrpc.errors import ConnectFailed

__all__ = ["SUFFIX", "bundle_name", "make_bundle"]

PACKAGES: Final = ("nbrpc", "msgspec", "platformdirs", "traitlets")
"""What `nbrpc serve` imports beyond the standard library; IPython stays optional."""

LEFT_OUT: Final = frozenset({"__pycache__", "tests", "notebooks"})

SUFFIX: Final = importlib.machinery.EXTENSION_SUFFIXES[0]
"""Names the Python, the processor and the C library for which extension modules are built."""


def _files() -> Iterator[tuple[str, Path]]:
    """Give what is carried: names within the bundle, and where each is here."""
    for package in PACKAGES:
        spec = importlib.util.find_spec(package)
        places = spec.submodule_search_locations if spec is not None else None
        if not places:
            raise ConnectFailed(f"the package {package!r} is not here as files, so it stays here")
        folder = Path(places[0])
        for path in sorted(folder.rglob("*")):
            inner = path.relative_to(folder)
            if path.suffix in (".py", ".so") and LEFT_OUT.isdisjoint(inner.parts):
                yield f"{package}/{inner.as_posix()}", path


@cache
def bundle_name(version: str) -> str:
    """Give the name of the folder that the bundle becomes: the version, and what is in it.

    What this process was started with is read once, however often it connects.
    """
    digest = hashlib.sha256(SUFFIX.encode())
    for name, path in _files():
        data = path.read_bytes()
        digest.update(f"{name} {len(data)} ".encode())
        digest.update(data)
    return f"{version}-{digest.hexdigest()[:16]}"


def make_bundle() -> bytes:
    """Give the zip."""
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED) as bundle:
        for name, path in _files():
            bundle.write(path, name)
    return file.getvalue()
