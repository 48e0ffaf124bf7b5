"""Which name of which RPyC module lives where in nbrpc: one table, and the modules made of it.

What is not in it is in ``LEFT_OUT`` with what to use instead. The modules are real module objects,
whose names are loaded when they are first used.
"""

from __future__ import annotations

import importlib
from types import ModuleType
from typing import Any, Final

from nbrpc.compat.constants import CONSTANTS
from nbrpc.compat.left_out import LEFT_OUT, refused

__all__ = ["MODULES", "RpycModule", "module_for"]

VERSION: Final = "6.0.2"
"""Of the RPyC whose surface this is."""

Names = dict[str, str]


def _of(home: str, names: str) -> Names:
    """Give names of one module of nbrpc; ``new=old`` where it has another one."""
    pairs = (word.partition("=") for word in names.split())
    return {name: f"{home}:{old or name}" for name, _, old in pairs}


FACTORIES = _of(
    "compat.factory",
    "connect connect_by_service connect_channel connect_pipes connect_stdpipes connect_stream "
    "connect_subproc connect_thread discover list_services ssh_connect",
) | _of("compat.secure", "ssl_connect")
HELPERS = _of("compat.helpers", "BgServingThread async=async_ async_ buffiter restricted timed")
DECORATORS = _of("compat.service", "exposed service")
STREAMS = _of("compat.streams", "PipeStream SocketStream TunneledSocketStream")
CHANNEL = _of("compat.streams", "Channel")
CONNECTION = _of("compat.connection", "Connection=RpycConnection")
DEFAULTS = _of("compat.constants", "DEFAULT_CONFIG")
ASYNC_RESULT = {
    "AsyncResult": "session.result:AsyncResult",
    "AsyncResultTimeout": "=builtins:TimeoutError",
}
GENERIC = _of("compat.exceptions", "GenericException")
NETREF = _of("compat.netref", "BaseNetref")
REQUESTS = _of("compat.requests", "asyncreq syncreq")
SERVICES = _of("compat.service", "ClassicService MasterService Service SlaveService VoidService")
SERVERS = _of("compat.servers", "ForkingServer OneShotServer ThreadPoolServer ThreadedServer")
AUTHENTICATION = _of("server.auth", "AuthenticationError")
TLS_AUTHENTICATION = _of("server.auth", "SSLAuthenticator")
REGISTRY_CLIENTS = _of(
    "compat.discovery", "RegistryClient TCPRegistryClient UDPRegistryClient REGISTRY_PORT"
)
PORTS = _of("compat.classic", "DEFAULT_SERVER_PORT DEFAULT_SERVER_SSL_PORT")
SPAWN = _of("compat.library", "spawn")
MAXINT = _of("compat.library", "maxint")
ID_PACKS = _of("compat.library", "get_id_pack get_methods")
CHUNK = _of("compat.streams", "STREAM_CHUNK")
DUMPS = _of("compat.serializer", "dump dumpable load")

CLASSIC: Final[Names] = {
    **_of(
        "compat.classic",
        "DEFAULT_SERVER_PORT DEFAULT_SERVER_SSL_PORT MockClassicConnection STREAM_CHUNK connect "
        "connect_channel connect_multiprocess connect_pipes connect_stdpipes connect_stream "
        "connect_subproc connect_thread deliver download download_dir download_file interact "
        "obtain pm redirected_stdio ssh_connect ssl_connect teleport_function unix_connect upload "
        "upload_dir upload_file upload_module upload_package",
    ),
    **_of("compat.service", "ClassicService ModuleNamespace Slave SlaveService"),
}

MODULES: Final[dict[str, Names]] = {
    "rpyc": {
        **FACTORIES,
        **HELPERS,
        **DECORATORS,
        **STREAMS,
        **CHANNEL,
        **CONNECTION,
        **ASYNC_RESULT,
        **GENERIC,
        **NETREF,
        **SERVICES,
        **SERVERS,
        **SPAWN,
        **_of("compat.library", "setup_logger"),
        "classic": "@rpyc.utils.classic",
        "__version__": "@rpyc.version:__version__",
        "__author__": "'nbrpc, under RPyC's names",
    },
    "rpyc.core": {
        **STREAMS,
        **CHANNEL,
        **CONNECTION,
        **DEFAULTS,
        **NETREF,
        **ASYNC_RESULT,
        **GENERIC,
        **SERVICES,
    },
    "rpyc.core.async_": {**ASYNC_RESULT, **_of("compat.library", "Timeout")},
    "rpyc.core.brine": {**DUMPS, **_of("compat.library", "BYTES_LITERAL")},
    "rpyc.core.channel": {**CHANNEL, **_of("compat.library", "BYTES_LITERAL safe_import")},
    "rpyc.core.consts": _of("compat.constants", " ".join(CONSTANTS)),
    "rpyc.core.netref": {
        **NETREF,
        **REQUESTS,
        **ID_PACKS,
        **MAXINT,
        **_of("compat.netref", "LOCAL_ATTRS NetrefMetaclass"),
    },
    "rpyc.core.protocol": {
        **CONNECTION,
        **DEFAULTS,
        **ID_PACKS,
        **MAXINT,
        **SPAWN,
        **_of("session.result", "AsyncResult"),
        **_of("compat.exceptions", "PingError"),
        **_of(
            "compat.library",
            "RefCountingColl Timeout WeakValueDict acquire_lock hasattr_static select_error",
        ),
    },
    "rpyc.core.reactor": {},
    "rpyc.core.service": {
        **SERVICES,
        **CONNECTION,
        **_of("compat.service", "ClassicClient FakeSlaveService ModuleNamespace Slave"),
        **_of("compat.library", "hybridmethod"),
    },
    "rpyc.core.stream": {
        **STREAMS,
        **CHUNK,
        **MAXINT,
        **_of("compat.streams", "NamedPipeStream Stream Win32PipeStream"),
        **_of(
            "compat.library",
            "BYTES_LITERAL Timeout get_exc_errno safe_import select_error socket_backoff_connect",
        ),
    },
    "rpyc.core.vinegar": GENERIC,
    "rpyc.utils": {**DECORATORS, **DEFAULTS},
    "rpyc.utils.authenticators": {
        **AUTHENTICATION,
        **TLS_AUTHENTICATION,
        **_of("compat.library", "safe_import"),
    },
    "rpyc.utils.classic": CLASSIC,
    "rpyc.utils.factory": {
        **FACTORIES,
        **CHANNEL,
        **STREAMS,
        **SPAWN,
        **_of("compat.factory", "connect_multiprocess unix_connect"),
        **_of("compat.exceptions", "DiscoveryError ForbiddenError"),
        **_of("compat.service", "MasterService SlaveService VoidService"),
        **_of("compat.discovery", "UDPRegistryClient"),
        **_of("compat.library", "safe_import"),
    },
    "rpyc.utils.helpers": {
        **HELPERS,
        **REQUESTS,
        **SPAWN,
        **_of("compat.service", "classpartial"),
        **_of("compat.constants", "HANDLE_BUFFITER HANDLE_CALL"),
        **_of("compat.library", "WeakValueDict"),
    },
    "rpyc.utils.registry": {
        **REGISTRY_CLIENTS,
        **_of(
            "compat.registry",
            "DEFAULT_PRUNING_TIMEOUT MAX_DGRAM_SIZE RegistryServer TCPRegistryServer "
            "UDPRegistryServer",
        ),
    },
    "rpyc.utils.server": {
        **SERVERS,
        **AUTHENTICATION,
        **CHANNEL,
        **SPAWN,
        **_of("compat.servers", "GeventServer Server"),
        **_of("compat.streams", "SocketStream"),
        **_of("compat.discovery", "UDPRegistryClient"),
        **_of("compat.library", "get_exc_errno safe_import spawn_waitready"),
    },
    "rpyc.utils.teleportation": _of(
        "compat.teleportation", "CODEOBJ_MAGIC export_function import_function"
    ),
    "rpyc.utils.zerodeploy": {
        **_of("compat.streams", "SocketStream"),
        **_of("compat.service", "VoidService"),
        **_of("compat.library", "BYTES_LITERAL"),
    },
    "rpyc.lib": {
        **ID_PACKS,
        **MAXINT,
        **SPAWN,
        **_of(
            "compat.library",
            "MissingModule SPAWN_THREAD_PREFIX Timeout exp_backoff hasattr_static hybridmethod "
            "safe_import setup_logger socket_backoff_connect spawn_waitready",
        ),
    },
    "rpyc.lib.colls": _of("compat.library", "RefCountingColl WeakValueDict"),
    "rpyc.lib.compat": {
        **MAXINT,
        **_of(
            "compat.library",
            "BYTES_LITERAL acquire_lock get_exc_errno is_py_3k=is_true is_py_gte310=is_true "
            "is_py_gte311=is_true is_py_gte37=is_true is_py_gte38=is_true pickle select_error "
            "with_metaclass",
        ),
        **{name: f"=builtins:{name}" for name in ("TimeoutError", "callable", "next")},
        "execute": "=builtins:exec",
        "BytesIO": "=io:BytesIO",
        "Struct": "=struct:Struct",
        "select": "=select:select",
        "select_module": "=select",
    },
    "rpyc.cli": {},
    "rpyc.cli.rpyc_classic": {
        **TLS_AUTHENTICATION,
        **PORTS,
        **SERVERS,
        **_of("compat.commands", "main=main_classic"),
        **_of("compat.service", "SlaveService"),
        **_of("compat.discovery", "REGISTRY_PORT TCPRegistryClient UDPRegistryClient"),
        **_of("compat.library", "setup_logger"),
    },
    "rpyc.cli.rpyc_registry": {
        **_of("compat.commands", "main=main_registry"),
        **_of(
            "compat.registry",
            "DEFAULT_PRUNING_TIMEOUT REGISTRY_PORT TCPRegistryServer UDPRegistryServer",
        ),
        **_of("compat.library", "setup_logger"),
    },
    "rpyc.version": {
        "__version__": f"'{VERSION}",
        "version": "=nbrpc.compat.table:VERSION_PARTS",
        "release_date": "'2024-04-18",
    },
}
"""By the path of a module, what each of its names is.

``module:name`` is a name of nbrpc, ``=module:name`` or ``=module`` of the standard library,
``@path`` or ``@path:name`` another module of this table, and ``'text`` a text.
"""

REIMPORTED: Final = {
    "rpyc.core.netref": ("rpyc.core.consts",),
    "rpyc.core.protocol": (
        "rpyc.core.brine",
        "rpyc.core.consts",
        "rpyc.core.netref",
        "rpyc.core.vinegar",
    ),
    "rpyc.core.vinegar": ("rpyc.core.brine", "rpyc.core.consts", "rpyc.version"),
    "rpyc.utils.classic": ("rpyc.utils.factory",),
    "rpyc.utils.registry": ("rpyc.core.brine",),
    "rpyc.utils.teleportation": ("rpyc.core.brine", "rpyc.core.netref"),
    "rpyc.utils.zerodeploy": ("rpyc",),
    "rpyc.cli.rpyc_classic": ("rpyc",),
}
"""By the path of a module, the others of RPyC that it has under their last name."""

for _path, _others in REIMPORTED.items():
    MODULES[_path] = {**MODULES[_path], **{o.rpartition(".")[2]: f"@{o}" for o in _others}}

MODULES["rpyc.core.async"] = MODULES["rpyc.core.async_"]  # a keyword: importlib only

VERSION_PARTS: Final = tuple(VERSION.split("."))

_made: dict[str, RpycModule] = {}


class RpycModule(ModuleType):
    """A module of RPyC, made of the table."""

    def __init__(self, path: str) -> None:
        super().__init__(path, f"RPyC's {path}, as nbrpc has it.")
        names = MODULES[path]
        children = [
            other.rpartition(".")[2]
            for other in MODULES
            if other.startswith(f"{path}.") and "." not in other[len(path) + 1 :]
        ]
        if children or path in PACKAGES:
            self.__path__: list[str] = []
            self.__package__ = path
        else:
            self.__package__ = path.rpartition(".")[0]
        self.__all__ = sorted(
            name for name in {*names, *children} - {"__author__"} if name != "async"
        )
        self.__file__ = __file__

    def __getattr__(self, name: str) -> Any:
        path = self.__name__
        home = MODULES[path].get(name)
        if home is not None:
            value = _load(home)
        elif f"{path}.{name}" in MODULES:
            value = module_for(f"{path}.{name}")
        else:
            value = _missing(path, name)
        setattr(self, name, value)
        return value

    def __dir__(self) -> list[str]:
        return sorted({*self.__dict__, *self.__all__, *MODULES[self.__name__]})

    def __repr__(self) -> str:
        return f"<module {self.__name__!r} of nbrpc>"


PACKAGES: Final = frozenset({"rpyc", "rpyc.core", "rpyc.utils", "rpyc.lib", "rpyc.cli"})


def _load(home: str) -> Any:
    kind = home[0]
    if kind == "'":
        return home[1:]
    if kind == "@":
        path, _, name = home[1:].partition(":")
        module: Any = module_for(path)
        return getattr(module, name) if name else module
    if kind == "=":
        module_name, _, name = home[1:].partition(":")
    else:
        module_name, _, name = home.partition(":")
        module_name = f"nbrpc.{module_name}"
    module = importlib.import_module(module_name)
    return getattr(module, name) if name else module


def _missing(path: str, name: str) -> Any:
    """Give what refuses, for a name that is left out; else it is no name."""
    full = f"{path}.{name}"
    if full in LEFT_OUT and name[0].isupper() and not name.isupper():
        return refused(full)
    message = f"module {path!r} has no attribute {name!r}"
    if full in LEFT_OUT:
        message = f"{full} is not available: {LEFT_OUT[full]}"
    raise AttributeError(message)


def module_for(name: str) -> RpycModule | None:
    """Give the module of a path, made when it is first asked for; None when RPyC has none.

    It is not put into ``sys.modules``; `nbrpc.install_as_rpyc` does that.
    """
    if name not in MODULES:
        return None
    module = _made.get(name)
    if module is None:
        module = _made.setdefault(name, RpycModule(name))
    return module
