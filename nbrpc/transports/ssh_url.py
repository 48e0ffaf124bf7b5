"""What an ``ssh://`` URL says: whom to be there, what to serve, and by which Python.

All of it becomes arguments of ssh and words of a command line on the far side, so what could be
taken for something else there is refused here.
"""

from __future__ import annotations

import ipaddress
import re
from dataclasses import dataclass
from typing import Final

__all__ = ["FarSide", "read_ssh_url"]

HOST: Final = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.-]{0,252}")
USER: Final = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.+@-]{0,99}")
TARGET: Final = re.compile(r"[^\W\d]\w*(\.[^\W\d]\w*)*:[^\W\d]\w*(\.[^\W\d]\w*)*")
LARGEST_PORT: Final = 65535


@dataclass(frozen=True, slots=True)
class FarSide:
    """What is to run at the other end of ssh.

    Parameters
    ----------
    user
        Whom to log in as; None: as ssh's configuration says.
    target
        What to serve, as ``module:Thing``; None serves Python itself, where clients may run code.
    python
        The Python to use: a path, or a name to look for. None: the first that is new enough.
    cwd
        The folder to run in; None is the user's home.
    keep
        Whether the server outlives the connection, as named sessions need it.
    """

    user: str | None = None
    target: str | None = None
    python: str | None = None
    cwd: str | None = None
    keep: bool = False

    def url(self, place: str) -> str:
        """Give the URL of this on a host, or a host and port."""
        from urllib.parse import quote, urlencode

        user = "" if self.user is None else f"{self.user}@"
        path = "" if self.target is None else f"/{quote(self.target, safe=':.')}"
        asked = {"python": self.python, "cwd": self.cwd}
        query = urlencode(
            {name: value for name, value in asked.items() if value}, safe="/~", quote_via=quote
        )
        return f"ssh://{user}{place}{path}" + (f"?{query}" if query else "")


def read_ssh_url(text: str, shown: str) -> tuple[str, int | None, FarSide]:
    """Read ``ssh://[user@]host[:port][/module:Thing][?python=PATH&cwd=DIR]``.

    Parameters
    ----------
    text
        The URL.
    shown
        How it may be shown in a message.

    Returns
    -------
    tuple
        Host, port (None: as ssh's configuration says) and the rest.

    Raises
    ------
    ValueError
        It cannot be read, or has what may not be part of it.
    """
    from urllib.parse import parse_qsl, unquote

    place, _, query = text.partition("://")[2].partition("?")
    place, _, path = place.partition("/")
    user, at, place = place.rpartition("@")
    if at and ":" in user:
        raise ValueError(f"{shown} has a password, which ssh takes from nobody: use a key")
    if at and not USER.fullmatch(user):
        raise ValueError(f"{shown} has no valid user name before the @")
    host, port = _host_and_port(place, shown)
    target = unquote(path.removesuffix("/")) or None
    if target is not None and not TARGET.fullmatch(target):
        raise ValueError(
            f"{shown} names nothing to serve: write ssh://host/module:Thing, or ssh://host for a "
            "Python to run code in"
        )
    asked: dict[str, str] = {}
    for name, value in parse_qsl(query, keep_blank_values=True):
        if name == "token":
            raise ValueError(f"{shown} has a token, and over ssh none is needed: leave it out")
        if name not in ("python", "cwd"):
            raise ValueError(f"{shown} has the unknown parameter {name[:50]!r}: python or cwd")
        if name in asked:
            raise ValueError(f"{shown} has {name} twice: keep one")
        if not value or value.startswith("-") or not value.isprintable():
            raise ValueError(f"{shown} has a {name} that is no path")
        asked[name] = value
    return host, port, FarSide(user if at else None, target, asked.get("python"), asked.get("cwd"))


def _host_and_port(place: str, shown: str) -> tuple[str, int | None]:
    host, bracket, rest = place.removeprefix("[").partition("]")
    if place.startswith("[") and bracket:
        try:
            if "%" in host:  # the name of an interface, which may be anything
                raise ValueError
            ipaddress.IPv6Address(host)
        except ValueError:
            raise ValueError(f"{shown} has no valid IPv6 address in its brackets") from None
    else:
        host, colon, rest = place.partition(":")
        rest = colon + rest
        if not HOST.fullmatch(host):
            raise ValueError(f"{shown} names no valid host: write ssh://host or ssh://user@host")
    if not rest:
        return host, None
    digits = rest[1:]
    known = rest[0] == ":" and digits.isascii() and digits.isdigit() and len(digits) <= 5
    if not known or not 0 < int(digits) <= LARGEST_PORT:
        raise ValueError(f"{shown} has no valid port: a number from 1 to {LARGEST_PORT}")
    return host, int(digits)
