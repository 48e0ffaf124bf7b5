"""The exceptions of RPyC that nbrpc has no other name for, and custom ones of the peer."""

from __future__ import annotations

import importlib
import sys
from collections.abc import Callable, Mapping
from typing import Any

from nbrpc.objects.rebuilt import Rebuilt, rebuild
from nbrpc.protocol.messages import Error

__all__ = [
    "DiscoveryError",
    "ForbiddenError",
    "GenericException",
    "PingError",
    "custom_errors",
]

GenericException: type[BaseException] = type(rebuild("rpyc.GenericException", (), (), {}))
"""What a remote exception of no builtin class is raised as. A builtin one is none of these, as in
RPyC, so that ``except GenericException`` does not catch it."""


class PingError(Exception):
    """A ping came back with other data than it was sent with."""


class DiscoveryError(Exception):
    """No registry answered, or none knows the service."""


class ForbiddenError(Exception):
    """The registry does not list its services."""


def custom_errors(
    config: Mapping[str, Any],
) -> Callable[[Error, BaseException], BaseException] | None:
    """Give what builds exceptions of classes that this side has; None where that was not asked for.

    Parameters
    ----------
    config
        ``instantiate_custom_exceptions`` takes classes of modules that are imported already;
        ``import_custom_exceptions`` imports the module that the peer names, which runs its code.

    Notes
    -----
    Nothing of the class runs: not its ``__init__``, and only real exceptions below `Exception` are
    taken.
    """
    if not config.get("instantiate_custom_exceptions"):
        return None
    imports = bool(config.get("import_custom_exceptions"))

    def build(error: Error, rebuilt: BaseException) -> BaseException:
        cls = _class_of(error.type_name, imports=imports)
        if cls is None or type(rebuilt) is not GenericException:
            return rebuilt
        try:
            made = _raised_as(cls)
            exception: BaseException = made.__new__(made, *rebuilt.args)
        except TypeError:  # it has slots or a __new__ that do not go together with ours
            return rebuilt
        exception.args = rebuilt.args
        exception.__dict__.update(rebuilt.__dict__)
        exception.__cause__ = rebuilt.__cause__
        exception.__context__ = rebuilt.__context__
        return exception

    return build


def _class_of(type_name: str, *, imports: bool) -> type[Exception] | None:
    module_name, _, name = type_name.rpartition(".")
    module = sys.modules.get(module_name)
    if module is None and imports and module_name:
        try:
            module = importlib.import_module(module_name)
        except Exception:  # a module of the user: it may raise anything
            return None
    # Not getattr: a module may have a __getattr__ of its own.
    cls = vars(module).get(name) if module is not None else None
    if isinstance(cls, type) and issubclass(cls, Exception):
        return cls
    return None


def _raised_as(cls: type[Exception]) -> type[Any]:
    """Make the class that is both a remote error and the local class, once."""
    known = _made.get(cls)
    if known is None:
        body = {"__module__": cls.__module__}
        known = _made.setdefault(cls, type(cls.__name__, (Rebuilt, cls), body))
    return known


_made: dict[type[Exception], type[Any]] = {}
