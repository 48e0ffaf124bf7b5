"""Full use of a peer that lets this side run code; RPyC's classic mode, under its names.

``conn = nbrpc.classic.connect("localhost")``, and then ``conn.modules.os``, ``conn.builtins``,
``conn.eval``, ``conn.execute`` and ``conn.namespace``. The functions here move values, files and
functions to the peer and back, and bring its standard streams here. What they need over there is in
`nbrpc.classic.on_peer`, which the peer imports.

Nothing is pickled or marshalled, and connecting gives the peer no power over this side.
"""

from __future__ import annotations

from nbrpc.classic.connecting import (
    DEFAULT_SERVER_PORT,
    connect,
    connect_thread,
    unix_connect,
)
from nbrpc.classic.console import interact, pm, redirected_stdio
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
from nbrpc.classic.teleportation import teleport_function
from nbrpc.session.calling import obtain
from nbrpc.session.connection import Connection

__all__ = [
    "DEFAULT_SERVER_PORT",
    "connect",
    "connect_thread",
    "deliver",
    "download",
    "download_dir",
    "download_file",
    "interact",
    "obtain",
    "pm",
    "redirected_stdio",
    "teleport_function",
    "unix_connect",
    "upload",
    "upload_dir",
    "upload_file",
    "upload_module",
    "upload_package",
]


def deliver(conn: Connection, obj: object) -> object:
    """Copy an object to the peer, and give a proxy of the copy; a proxy is given back as it is.

    Raises
    ------
    NotSendable
        It cannot be copied; the message names the path to what is in the way.
    """
    from nbrpc.session.calling import deliver as deliver_to

    return deliver_to(conn.session, obj)
