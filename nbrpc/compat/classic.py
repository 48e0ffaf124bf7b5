"""``rpyc.classic``: classic mode with RPyC's signatures.

As in RPyC, both sides let each other run code: connect to peers that you trust with a shell.
`nbrpc.classic` gives the peer no power over this side.
"""

from __future__ import annotations

import builtins
import sys
from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager
from typing import Any, Final

from nbrpc.classic import console, teleportation
from nbrpc.classic.files import (
    download,
    download_dir,
    download_file,
    upload,
    upload_dir,
    upload_file,
    upload_module,
    upload_package,
)
from nbrpc.compat import factory, secure
from nbrpc.compat.connection import RpycConnection
from nbrpc.compat.service import ModuleNamespace, Slave, SlaveService
from nbrpc.compat.streams import STREAM_CHUNK
from nbrpc.session import calling
from nbrpc.session.connection import Connection

__all__ = [
    "DEFAULT_SERVER_PORT",
    "DEFAULT_SERVER_SSL_PORT",
    "STREAM_CHUNK",
    "MockClassicConnection",
    "connect",
    "connect_channel",
    "connect_multiprocess",
    "connect_pipes",
    "connect_stdpipes",
    "connect_stream",
    "connect_subproc",
    "connect_thread",
    "deliver",
    "download",
    "download_dir",
    "download_file",
    "interact",
    "obtain",
    "pm",
    "redirected_stdio",
    "ssh_connect",
    "ssl_connect",
    "teleport_function",
    "unix_connect",
    "upload",
    "upload_dir",
    "upload_file",
    "upload_module",
    "upload_package",
]

DEFAULT_SERVER_PORT: Final = 18812
DEFAULT_SERVER_SSL_PORT: Final = 18821


# ---- connecting


def connect(
    host: str,
    port: int = DEFAULT_SERVER_PORT,
    ipv6: bool = False,  # noqa: FBT001, FBT002 - RPyC's signature
    keepalive: Any = False,  # noqa: FBT002 - RPyC's signature
) -> RpycConnection:
    """Connect to a classic server; see ``rpyc.connect``."""
    return factory.connect(host, port, SlaveService, ipv6=ipv6, keepalive=keepalive)


def unix_connect(path: str) -> RpycConnection:
    """Connect to a classic server on a Unix socket."""
    return factory.unix_connect(path, SlaveService)


def connect_channel(channel: Any) -> RpycConnection:
    """Connect over a channel."""
    return factory.connect_channel(channel, SlaveService)


def connect_stream(stream: Any) -> RpycConnection:
    """Connect over a stream."""
    return factory.connect_stream(stream, SlaveService)


def connect_pipes(input: Any, output: Any) -> RpycConnection:  # noqa: A002 - RPyC's name
    """Connect over two pipes."""
    return factory.connect_pipes(input, output, SlaveService)


def connect_stdpipes() -> RpycConnection:
    """Connect over the standard input and output of this process."""
    return factory.connect_stdpipes(SlaveService)


def connect_subproc(server_file: str | None = None) -> RpycConnection:
    """Start a classic server in a process, and connect over its standard input and output.

    Parameters
    ----------
    server_file
        The Python file of the server, which is run with ``-q -m stdio``; nbrpc's own, unless given.
    """
    command = ["-m", "nbrpc.compat.commands"] if server_file is None else [server_file]
    return factory.connect_subproc(
        [sys.executable, "-u", *command, "-q", "-m", "stdio"], SlaveService
    )


def connect_thread() -> RpycConnection:
    """Start a classic server inside this process, and connect to it."""
    return factory.connect_thread(SlaveService, remote_service=SlaveService)


def connect_multiprocess(args: Mapping[str, Any] = {}) -> RpycConnection:
    """Start a classic server in another process, and connect to it.

    Parameters
    ----------
    args
        Names for the namespace over there.
    """
    return factory.connect_multiprocess(SlaveService, remote_service=SlaveService, args=args)


def ssl_connect(
    host: str,
    port: int = DEFAULT_SERVER_SSL_PORT,
    keyfile: Any = None,
    certfile: Any = None,
    ca_certs: Any = None,
    cert_reqs: Any = None,
    ssl_version: Any = None,
    ciphers: Any = None,
    ipv6: bool = False,  # noqa: FBT001, FBT002 - RPyC's signature
    insecure_no_verify: bool = False,  # noqa: FBT001, FBT002 - beside RPyC's
) -> RpycConnection:
    """Connect over TLS; parameters and errors are those of ``rpyc.ssl_connect``."""
    return secure.ssl_connect(
        host,
        port,
        keyfile,
        certfile,
        ca_certs,
        cert_reqs,
        ssl_version,
        ciphers,
        SlaveService,
        ipv6=ipv6,
        insecure_no_verify=insecure_no_verify,
    )


def ssh_connect(remote_machine: Any, remote_port: int) -> RpycConnection:
    """Connect through the tunnel of a machine that is reached by ssh."""
    return factory.ssh_connect(remote_machine, remote_port, SlaveService)


# ---- values and functions


def obtain(proxy: Any) -> Any:
    """Give a copy of what a proxy stands for; see `nbrpc.obtain`. Nothing is pickled."""
    return calling.obtain(proxy)


def deliver(conn: Any, localobj: object) -> Any:
    """Copy an object to the peer, and give a proxy of the copy."""
    if isinstance(conn, MockClassicConnection):
        return localobj
    return calling.deliver(conn.session, localobj)


def teleport_function(
    conn: Connection,
    func: Callable[..., Any],
    globals: Mapping[str, Any] | None = None,  # noqa: A002 - RPyC's name
    def_: bool = True,  # noqa: FBT001, FBT002 - RPyC's signature
) -> Any:
    """Make a function of this side on the peer, and give a proxy of it; its source travels."""
    return teleportation.teleport_function(conn, func, globals, def_)


# ---- the console


def redirected_stdio(conn: Connection) -> AbstractContextManager[None]:
    """While inside, what this connection's requests print over there appears here."""
    return console.redirected_stdio(conn)


def pm(conn: Connection) -> None:
    """Debug the last failure of this connection, with ``pdb`` on the peer."""
    console.pm(conn)


def interact(conn: Connection, namespace: Mapping[str, Any] | None = None) -> None:
    """Use a Python console of the peer."""
    console.interact(conn, namespace)


class MockClassicConnection:
    """Has the names of a classic connection, and runs all of it in this process."""

    def __init__(self) -> None:
        self._slave = Slave()
        self.root = self._slave
        self.eval = self._slave.eval
        self.execute = self._slave.execute
        self.namespace = self._slave.namespace
        self.modules = ModuleNamespace(self._slave.getmodule)
        self.builtin = self.builtins = builtins

    def teleport(self, func: Callable[..., Any]) -> Callable[..., Any]:
        """Give the function itself: it is there already."""
        return func
