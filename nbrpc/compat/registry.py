"""Registries: they remember which service is at which address, on RPyC's wire.

There is no authentication: whoever reaches the port may register anything under any name, for its
own address. So ours listens on 127.0.0.1 unless told otherwise, holds a bounded number of entries,
and drops whatever is no message of the protocol.
"""

from __future__ import annotations

import contextlib
import logging
import socket
import time
from typing import Any, ClassVar, Final

from nbrpc.compat.discovery import (
    MAX_DGRAM_SIZE,
    REGISTRY_PORT,
    RegistryClient,
    TCPRegistryClient,
    UDPRegistryClient,
    pack,
    unpack,
)

__all__ = [
    "DEFAULT_PRUNING_TIMEOUT",
    "MAX_DGRAM_SIZE",
    "REGISTRY_PORT",
    "RegistryClient",
    "RegistryServer",
    "TCPRegistryClient",
    "TCPRegistryServer",
    "UDPRegistryClient",
    "UDPRegistryServer",
]

DEFAULT_PRUNING_TIMEOUT: Final = 4 * RegistryClient.REREGISTER_INTERVAL
"""Seconds after which a service that has not registered again is forgotten."""

MOST_ENTRIES: Final = 4_096
"""Addresses of one registry, over all names; more are refused."""

MOST_NAMES: Final = 32
"""Names of one registration."""

LONGEST_NAME: Final = 256


class RegistryServer:
    """What registries share.

    Parameters
    ----------
    listenersock
        The bound socket.
    pruning_timeout
        Seconds after which a service that has not registered again is forgotten.
    allow_listing
        Whether clients may ask for all names.

    Attributes
    ----------
    services : dict
        By name, when each address was last registered (seconds since the epoch).
    """

    TIMEOUT: ClassVar[float] = 1.0
    """Seconds between two looks at whether it was closed."""

    def __init__(
        self,
        listenersock: socket.socket,
        pruning_timeout: float | None = None,
        logger: Any = None,
        allow_listing: bool = False,  # noqa: FBT001, FBT002 - RPyC's signature
    ) -> None:
        self.sock = listenersock
        self.port: int = listenersock.getsockname()[1]
        self.active = False
        self.services: dict[str, dict[tuple[str, int], float]] = {}
        self.pruning_timeout = (
            DEFAULT_PRUNING_TIMEOUT if pruning_timeout is None else pruning_timeout
        )
        self.logger = logger or logging.getLogger("REGSRV")
        self.allow_listing = allow_listing
        self._closed = False

    # ---- hooks

    def on_service_added(self, name: str, addrinfo: tuple[str, int]) -> None:
        """Called when a service is registered at a new address."""

    def on_service_removed(self, name: str, addrinfo: tuple[str, int]) -> None:
        """Called when an address is forgotten."""

    # ---- what clients may ask

    def cmd_query(self, host: str, name: str) -> tuple[tuple[str, int], ...]:
        """Give the addresses of a service, that which registered first in front."""
        name = name.upper()
        self._prune(name)
        found = self.services.get(name, {})
        return tuple(sorted(found, key=found.__getitem__))

    def cmd_list(self, host: str, filter_host: tuple[str | None, ...]) -> tuple[str, ...] | None:
        """Give the names of all services, or of those at an address; None if that is not told."""
        if not self.allow_listing:
            return None
        for name in list(self.services):
            self._prune(name)
        wanted = filter_host[0] if filter_host else None
        return tuple(
            name
            for name, found in self.services.items()
            if wanted is None or any(address[0] == wanted for address in found)
        )

    def cmd_register(self, host: str, names: tuple[str, ...], port: int) -> str:
        """Remember that services are at a port of the host that says so."""
        for name in names:
            self._add(name.upper(), (host, port))
        return "OK"

    def cmd_unregister(self, host: str, port: int) -> str:
        """Forget what is at a port of the host that says so."""
        for name in list(self.services):
            self._remove(name, (host, port))
        return "OK"

    def _add(self, name: str, address: tuple[str, int]) -> None:
        found = self.services.get(name, {})
        if address not in found:
            if sum(map(len, self.services.values())) >= MOST_ENTRIES:
                raise ValueError(f"the registry is full: {MOST_ENTRIES} addresses")
            self.logger.debug("registering %s at %s", name, address)
            self.services.setdefault(name, {})[address] = time.monotonic()
            self.on_service_added(name, address)
        else:
            found[address] = time.monotonic()

    def _remove(self, name: str, address: tuple[str, int]) -> None:
        found = self.services.get(name, {})
        if found.pop(address, None) is not None:
            self.logger.debug("forgetting %s at %s", name, address)
            if not found:
                self.services.pop(name, None)
            self.on_service_removed(name, address)

    def _prune(self, name: str) -> None:
        oldest = time.monotonic() - self.pruning_timeout
        for address, seen in list(self.services.get(name, {}).items()):
            if seen < oldest:
                self._remove(name, address)

    # ---- serving

    def start(self) -> None:
        """Serve until `close` is called, or the user presses Ctrl-C; blocks."""
        self.active = True
        self.logger.debug("the registry listens at port %d", self.port)
        try:
            while self.active and not self._closed:
                self._serve_next()
        except KeyboardInterrupt:
            self.logger.warning("the registry was interrupted")
        finally:
            self.active = False
            self._closed = True
            self.sock.close()

    def close(self) -> None:
        """End `start`, within a second."""
        self._closed = True
        if not self.active:
            self.sock.close()

    def _serve_next(self) -> None:
        """Answer one message, or give up after `TIMEOUT`."""
        raise NotImplementedError

    def answer(self, data: bytes, host: str) -> bytes | None:
        """Give the answer to a message, or None to what is none."""
        try:
            command, args = _checked(unpack(data))
            reply = pack(getattr(self, command)(host, *args))
        except (ValueError, TypeError) as error:
            self.logger.warning("a message of %s is ignored: %s", host, error)
            return None
        except Exception:  # a hook of the user; the registry goes on
            self.logger.exception("a message of %s could not be answered", host)
            return None
        if len(reply) > MAX_DGRAM_SIZE:
            self.logger.warning("an answer to %s is too long", host)
            return None
        return reply


def _checked(message: Any) -> tuple[str, tuple[Any, ...]]:
    """Give the method and the arguments of a message that is one.

    Raises
    ------
    ValueError
        It is none.
    """
    if not (isinstance(message, tuple) and len(message) == 3 and message[0] == "RPYC"):
        raise ValueError("it is no message of RPyC's registry")
    _, command, args = message
    check = CHECKS.get(command) if type(command) is str else None
    if check is None or not isinstance(args, tuple) or not check(args):
        raise ValueError("it asks for nothing that there is")
    return f"cmd_{command.lower()}", args


def _is_name(value: object) -> bool:
    return type(value) is str and 0 < len(value) <= LONGEST_NAME


def _is_port(value: object) -> bool:
    return type(value) is int and 0 < value < 65536


CHECKS = {
    "QUERY": lambda args: len(args) == 1 and _is_name(args[0]),
    "LIST": lambda args: (
        len(args) == 1
        and isinstance(args[0], tuple)
        and len(args[0]) <= 1
        and all(item is None or _is_name(item) for item in args[0])
    ),
    "REGISTER": lambda args: (
        len(args) == 2
        and isinstance(args[0], tuple)
        and len(args[0]) <= MOST_NAMES
        and all(map(_is_name, args[0]))
        and _is_port(args[1])
    ),
    "UNREGISTER": lambda args: len(args) == 1 and _is_port(args[0]),
}
"""Which arguments each command has."""


def _family(host: str) -> int:
    return socket.AF_INET6 if ":" in host else socket.AF_INET


class UDPRegistryServer(RegistryServer):
    """A registry that is asked by datagrams."""

    def __init__(
        self,
        host: str = "127.0.0.1",
        port: int = REGISTRY_PORT,
        pruning_timeout: float | None = None,
        logger: Any = None,
        allow_listing: bool = False,  # noqa: FBT001, FBT002 - RPyC's signature
    ) -> None:
        sock = socket.socket(_family(host), socket.SOCK_DGRAM)
        try:
            sock.bind((host, port))
            sock.settimeout(self.TIMEOUT)
        except BaseException:  # and it is raised again
            sock.close()
            raise
        super().__init__(sock, pruning_timeout, logger, allow_listing)

    def _serve_next(self) -> None:
        try:
            data, address = self.sock.recvfrom(MAX_DGRAM_SIZE + 1)
        except TimeoutError:
            return
        except OSError as error:
            if not self._closed:  # an ICMP message about an earlier answer, say
                self.logger.debug("%s", error)
            return
        reply = self.answer(data, address[0])
        if reply is not None:
            with contextlib.suppress(OSError):
                self.sock.sendto(reply, address)


class TCPRegistryServer(RegistryServer):
    """A registry that is asked over TCP: one message for each connection."""

    TIMEOUT: ClassVar[float] = 3.0

    CLIENT_TIMEOUT: ClassVar[float] = 1.0
    """Seconds that a client has for its message; the others wait for it."""

    def __init__(
        self,
        host: str = "127.0.0.1",
        port: int = REGISTRY_PORT,
        pruning_timeout: float | None = None,
        logger: Any = None,
        reuse_addr: bool = True,  # noqa: FBT001, FBT002 - RPyC's signature
        allow_listing: bool = False,  # noqa: FBT001, FBT002 - RPyC's signature
    ) -> None:
        sock = socket.socket(_family(host), socket.SOCK_STREAM)
        try:
            if reuse_addr:
                sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            sock.bind((host, port))
            sock.listen(64)
            sock.settimeout(min(self.TIMEOUT, 1.0))
        except BaseException:  # and it is raised again
            sock.close()
            raise
        super().__init__(sock, pruning_timeout, logger, allow_listing)

    def _serve_next(self) -> None:
        try:
            client, address = self.sock.accept()
        except TimeoutError:
            return
        except OSError as error:
            if not self._closed:
                self.logger.debug("%s", error)
            return
        with client:
            client.settimeout(self.CLIENT_TIMEOUT)
            with contextlib.suppress(OSError):
                data = client.recv(MAX_DGRAM_SIZE + 1)
                reply = self.answer(data, address[0]) if data else None
                if reply is not None:
                    client.sendall(reply)
