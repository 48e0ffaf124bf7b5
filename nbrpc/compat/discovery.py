"""Clients of a registry: RPyC's way of finding services in a network, on RPyC's wire.

A registry has no authentication: it tells what anybody told it. What it gives is an address to try,
never a reason to trust what is there.
"""

from __future__ import annotations

import contextlib
import logging
import socket
import time
from collections.abc import Iterable
from typing import Any, ClassVar, Final

from nbrpc.errors import NbrpcError
from nbrpc.options import Limits
from nbrpc.protocol.rpyc import brine

__all__ = [
    "MAX_DGRAM_SIZE",
    "REGISTRY_PORT",
    "RegistryClient",
    "TCPRegistryClient",
    "UDPRegistryClient",
    "pack",
    "unpack",
]

REGISTRY_PORT: Final = 18811
MAX_DGRAM_SIZE: Final = 1500
"""Bytes of the longest message, in either direction."""

LIMITS: Final = Limits(depth=6, elements=1_000, odd_keys=1, body=64 * 1024)
"""What a message of a registry may hold."""


def pack(message: object) -> bytes:
    """Give the bytes of a message."""
    return brine.dumps(message)


def unpack(data: bytes) -> Any:
    """Give the message in some bytes.

    Raises
    ------
    ValueError
        It is none.
    """
    if len(data) > MAX_DGRAM_SIZE:
        raise ValueError(f"a message of a registry has at most {MAX_DGRAM_SIZE} bytes")
    try:
        return brine.loads(data, LIMITS)
    except NbrpcError as error:
        raise ValueError(str(error)) from error


def _addresses(reply: object) -> tuple[tuple[str, int], ...]:
    """Give what a reply has of addresses; anything else in it is left out."""
    found = reply if isinstance(reply, tuple) else ()
    return tuple(
        (item[0], item[1])
        for item in found
        if isinstance(item, tuple)
        and len(item) == 2
        and type(item[0]) is str
        and type(item[1]) is int
        and 0 < item[1] < 65536
    )


def _names(reply: object) -> tuple[str, ...] | None:
    if reply is None:
        return None
    return tuple(item for item in reply if type(item) is str) if isinstance(reply, tuple) else ()


class RegistryClient:
    """What clients of registries share.

    Parameters
    ----------
    ip, port
        Where the registry is.
    timeout
        Seconds for its answer.
    """

    REREGISTER_INTERVAL: ClassVar[int] = 60
    """Seconds after which a server registers again."""

    def __init__(self, ip: str, port: int, timeout: float, logger: Any = None) -> None:
        self.ip = ip
        self.port = port
        self.timeout = timeout
        self.logger = logger or logging.getLogger("REGCLNT")

    def discover(self, name: str) -> tuple[tuple[str, int], ...]:
        """Give the addresses of a service; none when nobody answers in time."""
        return _addresses(self._ask(("RPYC", "QUERY", (name,))))

    def list(self, filter_host: str | None = None) -> tuple[str, ...] | None:
        """Give the names of all services, or of those on a host; None when it does not tell.

        Nobody's answer is no services.
        """
        hosts = None if filter_host is None else socket.gethostbyname(filter_host)
        return _names(self._ask(("RPYC", "LIST", ((hosts,),)), nothing=()))

    def register(self, aliases: Iterable[str], port: int, interface: str = "") -> bool:
        """Tell where a service is; False when nobody has confirmed it in time."""
        message = ("RPYC", "REGISTER", (tuple(aliases), port))
        done = self._ask(message, interface=interface) == "OK"
        if not done:
            self.logger.warning("no registry at %s:%d has confirmed", self.ip, self.port)
        return done

    def unregister(self, port: int) -> None:
        """Tell that a service of this host is gone; nobody answers."""
        with contextlib.suppress(OSError):
            self._tell(("RPYC", "UNREGISTER", (port,)))

    def _ask(self, message: object, *, interface: str = "", nothing: object = None) -> object:
        """Send a message and give the answer, or ``nothing`` where none came."""
        raise NotImplementedError

    def _tell(self, message: object) -> None:
        raise NotImplementedError


class UDPRegistryClient(RegistryClient):
    """Asks a registry by datagrams; by broadcast, unless an address is given.

    Parameters
    ----------
    ip
        Where to ask; 255.255.255.255 asks the whole network.
    bcast
        Whether that is a broadcast; found out from the address unless given.
    ipv6
        Whether it is an address of IPv6.
    """

    def __init__(
        self,
        ip: str = "255.255.255.255",
        port: int = REGISTRY_PORT,
        timeout: float = 2,
        bcast: bool | None = None,  # noqa: FBT001 - RPyC's signature
        logger: Any = None,
        ipv6: bool = False,  # noqa: FBT001, FBT002 - RPyC's signature
    ) -> None:
        super().__init__(ip, port, timeout, logger)
        self.sock_family = socket.AF_INET6 if ipv6 else socket.AF_INET
        self.bcast = "255" in ip.split(".") if bcast is None else bcast

    def _socket(self, interface: str = "") -> socket.socket:
        sock = socket.socket(self.sock_family, socket.SOCK_DGRAM)
        try:
            if self.bcast:
                sock.setsockopt(socket.SOL_SOCKET, socket.SO_BROADCAST, 1)
            if interface:
                sock.bind((interface, 0))
        except BaseException:  # and it is raised again
            sock.close()
            raise
        return sock

    def _ask(self, message: object, *, interface: str = "", nothing: object = None) -> object:
        deadline = time.monotonic() + self.timeout
        with self._socket(interface) as sock:
            sock.sendto(pack(message), (self.ip, self.port))
            while (left := deadline - time.monotonic()) > 0:
                sock.settimeout(left)
                try:
                    data, _ = sock.recvfrom(MAX_DGRAM_SIZE + 1)
                except OSError:  # in time, or nobody is there
                    break
                with contextlib.suppress(ValueError):  # anybody may send anything
                    return unpack(data)
        return nothing

    def _tell(self, message: object) -> None:
        with self._socket() as sock:
            sock.sendto(pack(message), (self.ip, self.port))


class TCPRegistryClient(RegistryClient):
    """Asks a registry over TCP; each message has a connection of its own."""

    def __init__(
        self, ip: str, port: int = REGISTRY_PORT, timeout: float = 2, logger: Any = None
    ) -> None:
        super().__init__(ip, port, timeout, logger)

    def _ask(self, message: object, *, interface: str = "", nothing: object = None) -> object:
        source = (interface, 0) if interface else None
        try:
            with socket.create_connection((self.ip, self.port), self.timeout, source) as sock:
                sock.sendall(pack(message))
                data = sock.recv(MAX_DGRAM_SIZE + 1)
            return unpack(data) if data else nothing
        except (OSError, ValueError):
            return nothing

    def _tell(self, message: object) -> None:
        with socket.create_connection((self.ip, self.port), self.timeout) as sock:
            sock.sendall(pack(message))
