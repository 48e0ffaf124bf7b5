"""``nbrpc.install_as_rpyc``: from then on, ``import rpyc`` gives nbrpc."""

from __future__ import annotations

import importlib.abc
import importlib.machinery
import sys
from collections.abc import Sequence
from types import ModuleType
from typing import Any

from nbrpc.compat.table import MODULES, RpycModule, module_for

__all__ = ["install_as_rpyc", "module_for"]


class _Finder(importlib.abc.MetaPathFinder, importlib.abc.Loader):
    """Finds the modules of the table, ahead of a package that is installed under that name."""

    def find_spec(
        self, fullname: str, path: Sequence[str] | None, target: ModuleType | None = None
    ) -> importlib.machinery.ModuleSpec | None:
        """Give the spec of one of our modules; None for any other."""
        if fullname in MODULES:
            package = hasattr(module_for(fullname), "__path__")
            return importlib.machinery.ModuleSpec(fullname, self, is_package=package)
        if fullname.partition(".")[0] == "rpyc":
            raise ModuleNotFoundError(
                f"nbrpc stands in for rpyc here, and has no {fullname!r}", name=fullname
            )
        return None

    def create_module(self, spec: Any) -> ModuleType | None:
        """Give the module."""
        return module_for(spec.name)

    def exec_module(self, module: ModuleType) -> None:
        """Do nothing: names are loaded when they are used."""


_finder = _Finder()


def install_as_rpyc() -> None:
    """Have ``import rpyc``, and all its submodules, give nbrpc in this process.

    Programs that are written for RPyC then run unchanged, both as clients and as servers. What
    holds through these names as in RPyC: blocking calls end after 30 s (``sync_request_timeout``),
    requests of one connection are served one after the other, and a service class is made anew for
    each connection. A server listens on 127.0.0.1 unless told otherwise, and has a token, which
    programs of the same user find by themselves.

    Calling it again does nothing.

    Raises
    ------
    RuntimeError
        The real RPyC is imported already: this has to come first.
    """
    present = sys.modules.get("rpyc")
    if present is not None and not isinstance(present, RpycModule):
        raise RuntimeError(
            "the real rpyc is imported already: call nbrpc.install_as_rpyc() before anything "
            "imports rpyc"
        )
    if _finder in sys.meta_path:
        return
    sys.meta_path.insert(0, _finder)
    from nbrpc.compat.netref import install_names, local_class
    from nbrpc.objects import mimicry

    install_names()
    mimicry.local_class = local_class
