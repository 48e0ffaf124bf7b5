"""nbrpc lets a notebook, or any program, hold objects that live in another process.

Connect, and what the peer exposes is there to be called, awaited, watched and iterated; hand over a
function, and the peer can call it::

    import nbrpc

    conn = nbrpc.connect("localhost", 18861)
    conn.root.add(1, 2)

In a notebook, ``%load_ext nbrpc``. The names below are loaded when they are first used.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

from nbrpc.version import __version__

if TYPE_CHECKING:
    from nbrpc.client import Connection as Connection
    from nbrpc.client import connect as connect
    from nbrpc.client import connect_command as connect_command
    from nbrpc.compat.install import install_as_rpyc as install_as_rpyc
    from nbrpc.errors import AccessDenied as AccessDenied
    from nbrpc.errors import AsyncResultTimeout as AsyncResultTimeout
    from nbrpc.errors import AuthenticationFailed as AuthenticationFailed
    from nbrpc.errors import CallCancelled as CallCancelled
    from nbrpc.errors import CallTimeout as CallTimeout
    from nbrpc.errors import ConnectFailed as ConnectFailed
    from nbrpc.errors import ConnectionLost as ConnectionLost
    from nbrpc.errors import LimitExceeded as LimitExceeded
    from nbrpc.errors import LocalProtocolError as LocalProtocolError
    from nbrpc.errors import NbrpcError as NbrpcError
    from nbrpc.errors import NotSendable as NotSendable
    from nbrpc.errors import ProtocolError as ProtocolError
    from nbrpc.errors import RemoteError as RemoteError
    from nbrpc.errors import RemoteProtocolError as RemoteProtocolError
    from nbrpc.errors import StaleReference as StaleReference
    from nbrpc.objects.callbacks import callback as callback
    from nbrpc.objects.draft import by_reference as by_reference
    from nbrpc.objects.draft import by_value as by_value
    from nbrpc.objects.values import register_value as register_value
    from nbrpc.options import TLS as TLS
    from nbrpc.options import Access as Access
    from nbrpc.options import Limits as Limits
    from nbrpc.options import Timing as Timing
    from nbrpc.server.auth import AuthenticationError as AuthenticationError
    from nbrpc.server.compat import ForkingServer as ForkingServer
    from nbrpc.server.compat import OneShotServer as OneShotServer
    from nbrpc.server.compat import ThreadedServer as ThreadedServer
    from nbrpc.server.compat import ThreadPoolServer as ThreadPoolServer
    from nbrpc.server.serve import serve as serve
    from nbrpc.server.server import Server as Server
    from nbrpc.service import ClassicService as ClassicService
    from nbrpc.service import Service as Service
    from nbrpc.service import VoidService as VoidService
    from nbrpc.service import event as event
    from nbrpc.service import exposed as exposed
    from nbrpc.service import restricted as restricted
    from nbrpc.service import shield as shield
    from nbrpc.service import track as track
    from nbrpc.serving import BgServingThread as BgServingThread
    from nbrpc.session.calling import async_ as async_
    from nbrpc.session.calling import buffiter as buffiter
    from nbrpc.session.calling import obtain as obtain
    from nbrpc.session.calling import timed as timed
    from nbrpc.session.gathering import gather as gather
    from nbrpc.session.result import AsyncResult as AsyncResult
    from nbrpc.session.watching import watch as watch

HOMES: dict[str, str] = {
    "TLS": "options",
    "Access": "options",
    "AsyncResult": "session.result",
    "AuthenticationError": "server.auth",
    "BgServingThread": "serving",
    "ClassicService": "service",
    "Connection": "client",
    "ForkingServer": "server.compat",
    "Limits": "options",
    "OneShotServer": "server.compat",
    "Server": "server.server",
    "Service": "service",
    "ThreadPoolServer": "server.compat",
    "ThreadedServer": "server.compat",
    "Timing": "options",
    "VoidService": "service",
    "async_": "session.calling",
    "buffiter": "session.calling",
    "by_reference": "objects.draft",
    "by_value": "objects.draft",
    "callback": "objects.callbacks",
    "connect": "client",
    "connect_command": "client",
    "event": "service",
    "exposed": "service",
    "gather": "session.gathering",
    "install_as_rpyc": "compat.install",
    "obtain": "session.calling",
    "register_value": "objects.values",
    "restricted": "service",
    "serve": "server.serve",
    "shield": "service",
    "timed": "session.calling",
    "track": "service",
    "watch": "session.watching",
} | dict.fromkeys(
    [
        "AccessDenied",
        "AsyncResultTimeout",
        "AuthenticationFailed",
        "CallCancelled",
        "CallTimeout",
        "ConnectFailed",
        "ConnectionLost",
        "LimitExceeded",
        "LocalProtocolError",
        "NbrpcError",
        "NotSendable",
        "ProtocolError",
        "RemoteError",
        "RemoteProtocolError",
        "StaleReference",
    ],
    "errors",
)
"""Where each public name lives."""

MODULES = frozenset({"classic", "errors", "widgets"})
"""Submodules that are part of the public surface."""

__all__ = [*sorted(HOMES), *sorted(MODULES), "__version__"]  # noqa: PLE0604 - made of literals


def __getattr__(name: str) -> Any:
    """Load a public name when it is first used."""
    home = HOMES.get(name)
    if home is not None:
        value = getattr(importlib.import_module(f"nbrpc.{home}"), name)
    elif name in MODULES:
        value = importlib.import_module(f"nbrpc.{name}")
    else:
        raise AttributeError(f"module 'nbrpc' has no attribute {name!r}")
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted(set(globals()) | set(__all__))


def load_ipython_extension(shell: Any) -> None:
    """Load the notebook layer: ``%load_ext nbrpc``."""
    from nbrpc.notebook.extension import load_ipython_extension as load

    load(shell)


def unload_ipython_extension(shell: Any) -> None:
    """Take the notebook layer out again: ``%unload_ext nbrpc``."""
    from nbrpc.notebook.extension import unload_ipython_extension as unload

    unload(shell)


def _jupyter_server_extension_points() -> list[dict[str, str]]:
    """Tell Jupyter Server where its extension is."""
    return [{"module": "nbrpc.jupyter"}]
