"""RPyC's services, on nbrpc's: hooks, names and the classic ones."""

from __future__ import annotations

import importlib
import sys
from collections.abc import Callable
from typing import Any, ClassVar, NoReturn

from nbrpc.compat.connection import RpycConnection
from nbrpc.compat.library import hybridmethod
from nbrpc.objects.static import namespace
from nbrpc.service import Service as NativeService
from nbrpc.session.code import namespace_of
from nbrpc.session.modules import Modules

__all__ = [
    "ClassicClient",
    "ClassicService",
    "FakeSlaveService",
    "MasterService",
    "ModuleNamespace",
    "Service",
    "Slave",
    "SlaveService",
    "VoidService",
    "classpartial",
    "exposed",
    "service",
]

MARK = "__exposed__"


class ModuleNamespace(Modules):
    """The modules of a peer, imported as they are named."""

    def __init__(self, getmodule: Callable[[str], Any]) -> None:
        super().__init__(getmodule, {})


class Service(NativeService):
    """The base of RPyC's services.

    What is named ``exposed_...`` can be reached by the peer; `on_connect` and `on_disconnect` are
    called with the connection. It is an `nbrpc.Service`, so events and the rest of nbrpc are there
    too.
    """

    _protocol: ClassVar[Any] = RpycConnection

    def _rpyc_delattr(self, name: str) -> NoReturn:
        raise AttributeError("access denied")

    def _rpyc_setattr(self, name: str, value: object) -> NoReturn:
        raise AttributeError("access denied")

    @hybridmethod
    def _connect(self, channel: Any, config: Any = {}) -> RpycConnection:  # noqa: B006 - RPyC's
        """Serve this over a channel, and give the connection."""
        from nbrpc.compat.factory import connect_channel

        return connect_channel(channel, self, config)


class VoidService(Service):
    """A service that exposes nothing."""

    exposes_nothing: ClassVar[bool] = True


class Slave:
    """What a classic peer asks for: code is run in one namespace."""

    namespace: Any = None
    """Where code runs."""

    def __init__(self) -> None:
        self._session: Any = None
        self.namespace = {}

    def execute(self, text: str) -> None:
        """Run statements."""
        exec(text, self.namespace)  # noqa: S102 - what a classic service is for

    def eval(self, text: str) -> Any:
        """Evaluate an expression."""
        return eval(text, self.namespace)  # noqa: S307 - as above

    def getmodule(self, name: str) -> Any:
        """Import a module; RPyC's own ones are nbrpc's, also where they are not installed."""
        if name.partition(".")[0] == "rpyc" and "rpyc" not in sys.modules:
            from nbrpc.compat.table import module_for

            module = module_for(name)
            if module is not None:
                return module
        return importlib.import_module(name)

    def getconn(self) -> Any:
        """Give the connection."""
        return None if self._session is None else self._session.owner


class SlaveService(Slave, Service):
    """A service that lets the peer run any code. Give it to peers that you trust with a shell."""

    allow_code: ClassVar[bool] = True

    def on_connect(self, conn: Any) -> None:
        """Use the namespace of the connection, in which ``conn.eval`` and cells run too."""
        self._session = conn.session  # which has this service, and may not keep the connection
        self.namespace = namespace_of(conn.session)
        super().on_connect(conn)

    # RPyC's hook, as it stands
    def _rpyc_setattr(self, name: str, value: object) -> None:  # type: ignore[override]
        setattr(self, name, value)

    # RPyC's hook, as it stands
    def _rpyc_delattr(self, name: str) -> None:  # type: ignore[override]
        delattr(self, name)


class MasterService(Service):
    """The side that uses a classic peer: ``conn.modules`` and the rest are there by themselves."""


class ClassicService(MasterService, SlaveService):
    """Both sides may run code on the other one."""


class FakeSlaveService(VoidService):
    """A service that has the names of a classic one, and nothing behind them."""

    exposed_namespace = None
    exposed_execute = None
    exposed_eval = None
    exposed_getmodule = None
    exposed_getconn = None


class ClassicClient(MasterService, FakeSlaveService):
    """Uses a classic peer, and lets it do nothing here."""


def exposed(arg: Any) -> Any:
    """Mark a member as exposed: ``@exposed``, or ``@exposed("prefix_")``; see `service`."""
    from nbrpc.objects.exposure import exposed as mark

    if isinstance(arg, str):
        return mark(arg)
    if callable(arg) or hasattr(arg, "__get__"):
        return mark(arg)
    raise TypeError(f"exposed takes a function, a class or a prefix, not {type(arg).__name__}")


def service(cls: type) -> type:
    """Give the marked members of a class, and of classes in it, their exposed names too."""
    for name, member in list(namespace(cls).items()):
        mark = _mark_of(member)
        if mark:
            prefix = mark if isinstance(mark, str) else "exposed_"
            setattr(cls, prefix + name, member)
            if isinstance(member, type):
                service(member)
    return cls


def _mark_of(member: Any) -> Any:
    if isinstance(member, property):
        member = member.fget
    elif isinstance(member, staticmethod | classmethod):
        member = member.__func__
    marks = getattr(member, "__dict__", None)
    return None if marks is None else marks.get(MARK)


def classpartial(*args: Any, **kwargs: Any) -> type:
    """Give a class whose constructor has been given these arguments: ``classpartial(cls, ...)``."""
    cls, *given = args
    body: dict[str, Any] = {"__module__": cls.__module__, "__doc__": cls.__doc__}

    def __init__(self: Any, *more: Any, **named: Any) -> None:  # noqa: N807 - of a class made here
        cls.__init__(self, *given, *more, **{**kwargs, **named})

    body["__init__"] = __init__
    return type(cls.__name__, (cls,), body)
