"""The version of this package, and what a process says of itself to a peer."""

from __future__ import annotations

import os
import socket

__all__ = ["__version__", "about_this_process"]

__version__ = "0.1.0"


def about_this_process(**more: str) -> dict[str, str]:
    """Give what a peer is told once it is authenticated: short strings, no secrets."""
    return {
        "version": __version__,
        "pid": str(os.getpid()),
        "host": socket.gethostname(),
        **{key: value[:200] for key, value in more.items()},
    }
