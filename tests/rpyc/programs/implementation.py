"""Gives one of the two implementations, and keeps the other out of the process."""

from __future__ import annotations

import importlib
import importlib.abc
import sys

NAMES = {"stock": "rpyc", "nbrpc": "nbrpc"}


class Refused(importlib.abc.MetaPathFinder):
    """Lets nobody import the other implementation, though it is installed."""

    def __init__(self, name):
        self.name = name

    def find_spec(self, fullname, path=None, target=None):
        if fullname.partition(".")[0] == self.name:
            raise ModuleNotFoundError(f"{fullname} has no place in this process", name=fullname)


def load(implementation, version=None):
    """Import an implementation; of RPyC it must be that version."""
    other = NAMES["nbrpc" if implementation == "stock" else "stock"]
    sys.meta_path.insert(0, Refused(other))
    module = importlib.import_module(NAMES[implementation])
    if implementation == "nbrpc":
        importlib.import_module("nbrpc.classic")
    else:
        found = ".".join(map(str, module.version.version))
        if found != version:
            raise SystemExit(f"this is RPyC {found} from {module.__file__}, not {version}")
    return module
