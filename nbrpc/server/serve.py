"""`serve`: a server in the background, in one line."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Literal

from nbrpc.server.server import Server
from nbrpc.session.awaiting import running_loop

if TYPE_CHECKING:
    from asyncio import AbstractEventLoop

__all__ = ["serve"]


def serve(
    service: Any, *, loop: AbstractEventLoop | Literal["running"] | None = "running", **options: Any
) -> Server:
    """Serve an object, and return at once.

    Parameters
    ----------
    service
        A `Service` class or instance, or any other object. Of a class one instance is made and
        shared by all connections, unless ``per_connection=True``.
    loop
        The event loop on which coroutines of the service run; its other methods run on nbrpc's
        threads. By default it is the one that runs here, if this is called on asyncio's: then the
        service and the program can share locks, queues and tasks, and whoever calls the service on
        that thread must ``await`` the answer. None, and the default elsewhere, is a loop of nbrpc's
        own on a thread of its own. When the loop is closed, coroutines are refused. A serial
        service keeps to its one thread.
    options
        As for `Server`: host, port, path, name, token, allow_code, insecure, ...

    Returns
    -------
    Server
        Listening already; close it, or use it as a context manager.
    """
    return Server(service, loop=running_loop() if loop == "running" else loop, **options)
