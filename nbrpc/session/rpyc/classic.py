"""What an RPyC peer finds as the root of a side that lets it run code."""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

from nbrpc.session.code import namespace_of

if TYPE_CHECKING:
    from types import ModuleType, TracebackType

    from nbrpc.session.rpyc.session import RpycSession

__all__ = ["ClassicRoot", "HarmlessRoot"]


class HarmlessRoot:
    """The root of a side that serves nothing.

    A server with RPyC's ``ClassicService`` asks each client for a module as soon as it is there,
    and hangs up on one that refuses. It gets nothing that it could use.
    """

    exposed_namespace = None
    exposed_eval = None
    exposed_execute = None
    exposed_getconn = None

    def exposed_getmodule(self, _name: object) -> None:
        """Give no module."""


class ClassicRoot:
    """The members that RPyC's classic clients use; `namespace` is that of the connection."""

    # Such roots are known by their name, also to clients of nbrpc.
    __module__ = "rpyc.core.service"
    __qualname__ = "SlaveService"

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
            from nbrpc.compat.table import module_for

            found = module_for(str(name))
            if found is None:
                raise
            return found

    def getconn(self) -> Any:
        """Give what RPyC's clients ask for the traceback of their last failure."""
        return _Failures(self._session)


class _Failures:
    """The part of RPyC's connection that a post-mortem uses."""

    def __init__(self, session: RpycSession) -> None:
        self._session = session

    @property
    def _last_traceback(self) -> TracebackType | None:
        failure = self._session.last_failure
        return None if failure is None else failure.__traceback__
