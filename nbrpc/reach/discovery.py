"""Servers that announce themselves on the local network, by multicast DNS (zeroconf).

Announced are a server's name, its addresses, whether it speaks TLS, and then the fingerprint of its
certificate: nothing that lets anybody in, and no name of a user. A server that only this machine
can reach is announced to this machine alone.

Anybody on a network can announce anything. So what is found is the text of strangers, bounded and
made fit to be shown, and nothing is connected to because of it: a person picks the URL, or gives a
token with the name. The token does not go over the wire, and a server that does not hold it cannot
prove that it does, so whoever announces another's name learns nothing and is refused.

The environment variable ``NBRPC_INTERFACES`` names the addresses of the interfaces that are used,
with commas between; an empty one is none. By default they are all that there are.
"""

from __future__ import annotations

import asyncio
import ipaddress
import os
import socket
import threading
import time
from dataclasses import replace
from typing import TYPE_CHECKING, Any, NamedTuple, Self

from nbrpc.errors import NbrpcError
from nbrpc.options import read_fingerprint
from nbrpc.transports import sockets
from nbrpc.transports.address import TLS_SCHEME, Address

if TYPE_CHECKING:
    from zeroconf import ServiceStateChange
    from zeroconf.asyncio import AsyncServiceInfo, AsyncZeroconf

__all__ = ["Announced", "Announcement", "Neighbourhood", "available", "interfaces"]

TYPE = "_nbrpc._tcp.local."
LOOPBACK = "127.0.0.1"

LONGEST = 60
"""Characters of a name that are announced or believed; a label of DNS has 63 bytes."""

MOST = 100
"""Servers that are taken note of: a network may claim to have any number."""

BROWSING = 1.5
"""Seconds in which servers answer who asks."""

FRESH = 10.0
"""Seconds after which they are asked again."""


class Announced(NamedTuple):
    """A server that announces itself; all of it is what somebody on the network says.

    Attributes
    ----------
    name : str
        What it calls itself.
    url : str
        Where it is, with the fingerprint of its certificate if it has one.
    host : str
        What its machine calls itself.
    tls : bool
        Whether it speaks TLS.
    """

    name: str
    url: str
    host: str
    tls: bool


def available() -> bool:
    """Whether zeroconf is installed."""
    import importlib.util

    return importlib.util.find_spec("zeroconf") is not None


def interfaces(host: str | None = None) -> Any:
    """Give the interfaces to use, as zeroconf takes them: for a server on ``host``, or to look on.

    Raises
    ------
    NbrpcError
        There are none, or ``NBRPC_INTERFACES`` is no list of addresses.
    """
    from zeroconf import InterfaceChoice

    named = os.environ.get("NBRPC_INTERFACES")
    if named is None:
        return [LOOPBACK] if is_loopback(host) else InterfaceChoice.All
    chosen = [name.strip() for name in named.split(",") if name.strip()]
    if not all(is_address(name) for name in chosen):
        raise NbrpcError(
            f"NBRPC_INTERFACES is {named!r}: write addresses of interfaces, with commas between"
        )
    if is_loopback(host):
        chosen = [name for name in chosen if is_loopback(name)]
    if not chosen:
        raise NbrpcError(f"NBRPC_INTERFACES is {named!r}, which names no interface for this")
    return chosen


class Announcement:
    """Announces a server until it is closed.

    Parameters
    ----------
    name
        Of the server.
    address
        Where it listens.

    Raises
    ------
    NbrpcError
        It cannot be announced; the message says why.
    """

    def __init__(self, name: str, address: Address) -> None:
        if address.host is None:
            raise NbrpcError("a Unix socket has no address that could be announced")
        from zeroconf import Error, ServiceInfo, Zeroconf

        places = addresses(address.host)
        name = plain(name)
        properties: dict[str | bytes, str | bytes | None] = {"name": name}
        if address.fingerprint is not None:
            properties["fingerprint"] = address.fingerprint
        host = plain(socket.gethostname().partition(".")[0])
        # The port makes it unlike that of another server there, and dots would cut it in pieces.
        label = f"{name[:40]} on {host} {address.port}".replace(".", "-").encode()[:63]
        info = ServiceInfo(
            TYPE,
            f"{label.decode(errors='ignore')}.{TYPE}",
            port=address.port,
            properties=properties,
            server=f"{host}.local.",
            parsed_addresses=places,
        )
        try:
            self._zeroconf = Zeroconf(interfaces=interfaces(address.host))
        except OSError as error:
            raise NbrpcError(f"cannot announce on the network: {error}") from error
        try:
            self._zeroconf.register_service(info, allow_name_change=True)
        except (Error, OSError) as error:
            self._zeroconf.close()
            raise NbrpcError(f"cannot announce on the network: {error}") from error

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Tell the network that the server goes."""
        self._zeroconf.close()


class Neighbourhood:
    """The servers that announce themselves, as far as they are known at this moment.

    They are asked on a thread of their own, for `BROWSING` seconds, and not again for `FRESH`.
    """

    def __init__(self) -> None:
        self._found: dict[str, Announced] = {}
        self._thread: threading.Thread | None = None
        self._asked = 0.0
        self.problem = ""
        """Why nothing could be asked; empty otherwise."""

    @property
    def known(self) -> list[Announced]:
        """What has been found, without looking."""
        return sorted(self._found.values())

    def look(self, patience: float | None = None) -> list[Announced]:
        """Ask, if that was long ago, and give what has been found within so many seconds."""
        thread = self._thread
        if thread is None or (
            not thread.is_alive() and time.monotonic() - self._asked > FRESH + BROWSING
        ):
            self._asked = time.monotonic()
            thread = threading.Thread(target=self._ask, name="nbrpc-discovery", daemon=True)
            self._thread = thread
            thread.start()
        thread.join(patience)
        return self.known

    def _ask(self) -> None:
        found: dict[str, Announced] = {}
        try:
            asyncio.run(browse(found, self._found))
        except (NbrpcError, OSError) as error:
            self.problem = str(error)
        self._found = found  # who no longer answers is forgotten


async def browse(*found: dict[str, Announced]) -> None:
    """Ask who is there for `BROWSING` seconds, and note in each of the dicts who answers."""
    from zeroconf.asyncio import AsyncServiceBrowser, AsyncServiceInfo, AsyncZeroconf

    tasks: set[asyncio.Task[None]] = set()
    names: set[str] = set()

    async def resolve(network: AsyncZeroconf, name: str) -> None:
        info = AsyncServiceInfo(TYPE, name)
        if await info.async_request(network.zeroconf, BROWSING * 1000):
            server = read(info)
            if server is not None:
                for where in found:
                    where[name] = server

    async with AsyncZeroconf(interfaces=interfaces()) as network:

        def changed(*, name: str, state_change: ServiceStateChange, **_: Any) -> None:
            if state_change.name == "Removed":
                for where in found:
                    where.pop(name, None)
            elif len(names) < MOST or name in names:
                names.add(name)
                task = asyncio.ensure_future(resolve(network, name))
                tasks.add(task)
                task.add_done_callback(tasks.discard)

        browser = AsyncServiceBrowser(network.zeroconf, TYPE, handlers=[changed])
        await asyncio.sleep(BROWSING)  # they answer when they like, and none is the last
        await browser.async_cancel()
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


def read(info: AsyncServiceInfo) -> Announced | None:
    """Read what somebody announces; None if it makes no sense."""
    properties = info.properties
    name = plain((properties.get(b"name") or b"").decode(errors="replace"))
    places = info.parsed_scoped_addresses()
    if not (name and places and info.port):
        return None
    address = Address.tcp(places[0], info.port)
    fingerprint = properties.get(b"fingerprint")
    if fingerprint is not None:
        try:
            known = read_fingerprint(fingerprint.decode(errors="replace"))
        except ValueError:
            return None
        address = replace(address, scheme=TLS_SCHEME, fingerprint=known)
    host = plain((info.server or "").removesuffix(".").removesuffix(".local"))
    return Announced(name, address.url_with_token, host, address.is_encrypted)


def addresses(host: str) -> list[str]:
    """Give the addresses at which a server on ``host`` can be reached."""
    if not is_address(host):
        places = socket.getaddrinfo(host, None, type=socket.SOCK_STREAM)
        return list(dict.fromkeys(str(place[4][0]) for place in places))
    given = ipaddress.ip_address(host)
    if not given.is_unspecified:
        return [host]
    import ifaddr  # zeroconf brings it

    found = [ip.ip for adapter in ifaddr.get_adapters() for ip in adapter.ips]
    four = [ip for ip in found if isinstance(ip, str)]
    six = [ip[0] for ip in found if not isinstance(ip, str)] if given.version == 6 else []
    there = [ip for ip in four + six if not is_loopback(ip)]
    return [ip for ip in there if not ipaddress.ip_address(ip).is_link_local] or there or [LOOPBACK]


def plain(text: str) -> str:
    """Make text of a stranger one short line that hides and reorders nothing."""
    line = "".join(character if character.isprintable() else " " for character in text[:1000])
    return " ".join(line.split())[:LONGEST]


def is_address(host: str) -> bool:
    """Whether this is an address, and no name."""
    try:
        ipaddress.ip_address(host)
    except ValueError:
        return False
    return True


def is_loopback(host: str | None) -> bool:
    """Whether only this machine is there; no name is looked up for that."""
    known = host is not None and (host == "localhost" or is_address(host))
    return known and sockets.is_loopback(host or "")
