"""`serve`: a server in the background, in one line."""

from __future__ import annotations

from typing import Any

from nbrpc.server.server import Server

__all__ = ["serve"]


def serve(service: Any, **options: Any) -> Server:
    """Serve an object, and return at once.

    Parameters
    ----------
    service
        A `Service` class or instance, or any other object. Of a class one instance is made and
        shared by all connections, unless ``per_connection=True``.
    options
        As for `Server`: host, port, path, name, token, allow_code, insecure, ...

    Returns
    -------
    Server
        Listening already; close it, or use it as a context manager.
    """
    return Server(service, **options)
