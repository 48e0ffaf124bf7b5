"""Where a server is: addresses and the URLs that spell them.

Parsing is pure: no name is looked up and no file is read.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace

from nbrpc.options import read_fingerprint
from nbrpc.transports.ssh_url import FarSide, read_ssh_url

__all__ = ["DEFAULT_PORT", "TLS_SCHEME", "Address", "join_host_port", "parse"]

DEFAULT_PORT = 18861
"""The port of a service when a URL names none."""

LARGEST_PORT = 65535
TLS_SCHEME = "nbrpcs"
ENCRYPTED_FORMS = {"nbrpc": TLS_SCHEME, "ws": "wss", "http": "https"}
"""What a scheme is called over TLS, of those that have two forms."""

WEB_PORTS = {"ws": 80, "http": 80, "wss": 443, "https": 443}
"""The schemes of WebSockets, and their ports where a URL names none."""

RPYC_SCHEMES = frozenset({"rpyc", "rpyc5", "rpyc6"})
RPYC_PORT = 18812
"""The port of RPyC's classic server; its services have none of their own."""


def join_host_port(host: str, port: int | None) -> str:
    """Write a host and a port as one word, with an IPv6 address in brackets."""
    written = f"[{host}]" if ":" in host else host
    return written if port is None else f"{written}:{port}"


@dataclass(frozen=True, slots=True)
class Address:
    """The place of a server, and the token for it if one is known.

    Parameters
    ----------
    scheme
        ``nbrpc`` (TCP: host and port), ``nbrpcs`` (the same over TLS), ``unix`` (path), or
        ``rpyc``, ``rpyc5`` and ``rpyc6``: the same as ``nbrpc``, of a server that is to be spoken
        to in RPyC's protocol; ``ws`` and ``wss`` for a WebSocket, ``http`` and ``https`` for one
        that a Jupyter server carries.
    token
        A secret: it is in neither `repr` nor `str`, only in `url_with_token`. With ``http`` and
        ``https`` it is that of the Jupyter server.
    fingerprint
        ``sha256:...`` of the server's certificate, by which it is known.
    far
        Of the scheme ``ssh``: what is to run there.
    target
        Of a WebSocket: the path and query that are asked for. The query may hold secrets as well.
    """

    scheme: str
    host: str | None = None
    port: int | None = None
    path: str | None = None
    token: str | None = field(default=None, repr=False)
    fingerprint: str | None = None
    far: FarSide | None = None
    target: str = field(default="", repr=False)

    @classmethod
    def tcp(cls, host: str, port: int, token: str | None = None) -> Address:
        """Make the address of a TCP server; the host may stand in brackets."""
        return cls("nbrpc", host=host.removeprefix("[").removesuffix("]"), port=port, token=token)

    @classmethod
    def unix(cls, path: str, token: str | None = None) -> Address:
        """Make the address of a server on a Unix socket."""
        return cls("unix", path=path, token=token)

    @property
    def name(self) -> str:
        """The address in few characters, for people."""
        if self.path is not None:
            return self.path
        usual = WEB_PORTS.get(self.scheme)
        return join_host_port(self.host or "", None if self.port == usual else self.port)

    @property
    def is_encrypted(self) -> bool:
        """Whether the scheme says TLS."""
        return self.scheme in ENCRYPTED_FORMS.values()

    @property
    def is_web(self) -> bool:
        """Whether a WebSocket leads there."""
        return self.scheme in WEB_PORTS

    @property
    def is_jupyter(self) -> bool:
        """Whether a Jupyter server carries that WebSocket, and asks for its own token."""
        return self.scheme in ("http", "https")

    @property
    def url(self) -> str:
        """The URL, without token and fingerprint."""
        if self.far is not None:
            return self.far.url(self.name)
        if self.path is None:
            path = self.target.partition("?")[0]
            return f"{self.scheme}://{self.name}{'' if path == '/' else path}"
        from urllib.parse import quote

        return f"{self.scheme}://{quote(self.path, errors='surrogateescape')}"

    @property
    def url_with_token(self) -> str:
        """The URL with token and fingerprint: a secret, for copying only."""
        from urllib.parse import quote

        query = self.target.partition("?")[2]
        parts = [query] if query else []
        if self.token is not None:
            parts.append(f"token={quote(self.token, safe='')}")
        if self.fingerprint is not None:
            parts.append(f"fingerprint={self.fingerprint}")
        if not parts:
            return self.url
        slash = "/" if self.path is None and self.target in ("", "/") else ""
        return f"{self.url}{slash}?{'&'.join(parts)}"

    def with_token(self, token: str | None) -> Address:
        """Give the same place with another token."""
        return replace(self, token=token)

    def __str__(self) -> str:
        return self.url


def parse(url: str) -> Address:
    """Read ``nbrpc://host:port/?token=...``, ``unix:///path``, ``ssh://host`` or a ``host:port``.

    With ``nbrpcs://`` the connection is encrypted, and there may be a ``fingerprint=sha256:...``.

    Raises
    ------
    ValueError
        It is none of these; the message says why, and never shows a token.
    """
    text = url.strip()
    if "://" not in text:
        text = f"nbrpc://{text}"
        if not _has_port(text):
            raise ValueError(
                f"{_shown(url)} is not an address: write host:port, or a URL like "
                f"nbrpc://localhost:{DEFAULT_PORT}"
            )
    scheme = text.partition("://")[0].lower()
    if scheme == "ssh":
        host, port, far = read_ssh_url(text, _shown(text))
        return Address("ssh", host, port, far=far)
    if scheme not in ("nbrpc", TLS_SCHEME, "unix", *RPYC_SCHEMES, *WEB_PORTS):
        raise ValueError(
            f"{_shown(url)} has an unknown scheme: use nbrpc://host:port, nbrpcs:// (TLS), "
            "unix:///path, ssh://host, or wss:// and https:// for a WebSocket"
        )
    if scheme == "unix":
        return _parse_unix(text)
    target = ""
    if scheme in WEB_PORTS:
        text, target = _split_target(text)
    usual = RPYC_PORT if scheme in RPYC_SCHEMES else WEB_PORTS.get(scheme, DEFAULT_PORT)
    address = _parse_tcp(text, usual)
    if scheme in RPYC_SCHEMES and address.token is not None:
        raise ValueError(f"{_shown(url)} has a token, and RPyC's protocol knows none: leave it out")
    if address.fingerprint is not None and scheme not in ENCRYPTED_FORMS.values():
        raise ValueError(
            f"{_shown(url)} has a fingerprint, which TLS needs: write "
            f"{ENCRYPTED_FORMS.get(scheme, TLS_SCHEME)}://host:port"
        )
    return replace(address, scheme=scheme, target=target)


def _split_target(text: str) -> tuple[str, str]:
    """Take from the URL of a WebSocket what is asked for there, and leave what is for us."""
    if "#" in text or any(character <= " " or character == "\x7f" for character in text):
        raise ValueError(f"{_shown(text)} has a space or a # in it: write %20 or %23")
    place, _, query = text.partition("?")
    scheme, _, place = place.partition("://")
    host, slash, path = place.partition("/")
    parts = [part for part in query.split("&") if part]
    ours = [part for part in parts if part.partition("=")[0] in ("token", "fingerprint")]
    theirs = "&".join(part for part in parts if part not in ours)
    target = f"{slash or '/'}{path}{'?' if theirs else ''}{theirs}"
    return f"{scheme}://{host}?{'&'.join(ours)}", target


def _has_port(text: str) -> bool:
    place = text.partition("://")[2].partition("/")[0].partition("?")[0]
    return place.rpartition("]")[2].count(":") == 1


def _shown(url: str) -> str:
    """Give a URL as it may be shown: without its query and user part, where secrets stand."""
    return repr(url.strip().partition("?")[0].partition("#")[0].rpartition("@")[2][:200])


def _parse_unix(text: str) -> Address:
    from urllib.parse import unquote

    rest, _, query = text.partition("://")[2].partition("?")
    if not rest.startswith("/"):
        raise ValueError(
            f"{_shown(text)} has no absolute path: write unix:///folder/name, with three slashes"
        )
    path = unquote(rest, errors="surrogateescape")  # the name of a file may be any bytes
    if "\0" in path:
        raise ValueError(f"{_shown(text)} has a null byte in its path")
    token, fingerprint = _parameters(query, text)
    if fingerprint is not None:
        raise ValueError(f"{_shown(text)} has a fingerprint, which a Unix socket has no use for")
    return Address.unix(path, token)


def _parse_tcp(text: str, default_port: int) -> Address:
    from urllib.parse import urlsplit

    # urlsplit is told neither the token nor anything else that its messages might repeat.
    place, _, query = text.partition("?")
    try:
        parts = urlsplit(place)
        host, port = parts.hostname, parts.port
    except ValueError:
        raise ValueError(
            f"{_shown(text)} has no valid host and port: a port is a number from 1 to "
            f"{LARGEST_PORT}, an IPv6 address stands in brackets"
        ) from None
    if parts.username is not None or parts.path not in ("", "/") or parts.fragment:
        raise ValueError(
            f"{_shown(text)} has parts that mean nothing here: write nbrpc://host:port/?token=TOKEN"
        )
    if not host or any(character.isspace() for character in host):
        raise ValueError(f"{_shown(text)} names no host: write nbrpc://host:port")
    if port == 0:
        raise ValueError(f"{_shown(text)} has port 0, which no server listens on")
    token, fingerprint = _parameters(query, text)
    address = Address.tcp(host, default_port if port is None else port, token)
    return replace(address, fingerprint=fingerprint)


def _parameters(query: str, text: str) -> tuple[str | None, str | None]:
    """Give the token and the fingerprint."""
    from urllib.parse import parse_qsl

    found: dict[str, str] = {}
    for name, value in parse_qsl(query, keep_blank_values=True):
        if name not in ("token", "fingerprint"):
            raise ValueError(f"{_shown(text)} has the unknown parameter {name[:50]!r}")
        if not value:
            raise ValueError(f"{_shown(text)} has an empty {name}: copy the whole URL")
        if any("\ud800" <= character <= "\udfff" for character in value):
            raise ValueError(f"{_shown(text)} has a {name} that is no text: copy the whole URL")
        if name in found:
            raise ValueError(f"{_shown(text)} has two {name}s: keep one")
        found[name] = value
    fingerprint = found.get("fingerprint")
    return found.get("token"), None if fingerprint is None else read_fingerprint(fingerprint)
