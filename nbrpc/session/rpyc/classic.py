"""What an RPyC peer finds as the root of a side that lets it run code."""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

from nbrpc.objects.draft import ByReference
from nbrpc.session.code import namespace_of

if TYPE_CHECKING:
    from types import ModuleType

    from nbrpc.session.rpyc.session import RpycSession

__all__ = ["ClassicRoot"]


class ClassicRoot:
    """The members that RPyC's classic clients use; `namespace` is that of the connection."""

    def __init__(self, session: RpycSession) -> None:
        self._session = session

    @property
    def namespace(self) -> dict[str, Any]:
        """Where `eval` and `execute` run."""
        return namespace_of(self._session)

    def eval(self, expression: str) -> Any:
        """Evaluate an expression."""
        return eval(expression, self.namespace)  # noqa: S307 - what classic mode is for

    def execute(self, source: str) -> None:
        """Execute statements."""
        exec(compile(source, "<remote>", "exec"), self.namespace)  # noqa: S102 - the same

    def getmodule(self, name: str | tuple[str, ...]) -> ModuleType:
        """Import a module. RPyC's own modules, which its clients use here, have stand-ins."""
        if type(name) is tuple:
            name = ".".join(name)
        try:
            return importlib.import_module(str(name))
        except ModuleNotFoundError:
            from nbrpc.compat.install import module_for

            found = module_for(str(name))
            if found is None:
                raise
            return found

    def getconn(self) -> Any:
        """Give the connection."""
        return ByReference(self._session.owner)
