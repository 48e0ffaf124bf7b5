"""The connections of a notebook, by name, and which of them is the current one."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from nbrpc.connection_file import find_by_name, running
from nbrpc.errors import ConnectFailed
from nbrpc.reach.discovery import Announced, Neighbourhood, available, is_loopback
from nbrpc.transports.address import parse

__all__ = ["Connections", "NoConnection"]


class NoConnection(LookupError):
    """No connection of that name, or none at all; the message says what to do."""


class Connections:
    """What ``%rpc_connect`` made.

    Parameters
    ----------
    open_connection
        Connects to a URL or host and port, with a token or None and a session or None.
    """

    def __init__(self, open_connection: Callable[[str, str | None, str | None], Any]) -> None:
        self._open = open_connection
        self._by_name: dict[str, Any] = {}
        self.current = ""
        """The name of the connection that is used when none is given; empty without one."""
        self._neighbourhood = Neighbourhood()

    def __iter__(self) -> Any:
        return iter(dict(self._by_name).items())

    @contextmanager
    def connecting(
        self, target: str, name: str, token: str | None, session: str | None = None
    ) -> Iterator[Any]:
        """Connect, in the place of an earlier connection of that name, and make it the current one.

        With the name of a session the connection is attached to that. The earlier connection is
        closed at the end of the block: its card changes then, which may stand in the same cell.

        Raises
        ------
        ConnectFailed, AuthenticationFailed
            Nothing was connected; an earlier connection of that name is as it was.
        """
        connection = self._open(find(target, token, self._neighbourhood), token, session)
        earlier = self._by_name.pop(name, None)
        self._by_name[name] = connection
        self.current = name
        try:
            yield connection
        finally:
            if earlier is not None:
                earlier.close()

    def announced(self, patience: float) -> list[Announced]:
        """Give the servers that announce themselves, as far as they are known so soon."""
        return self._neighbourhood.look(patience) if available() else []

    def get(self, name: str = "") -> Any:
        """Give a connection: the current one without a name.

        Raises
        ------
        NoConnection
            There is no such connection.
        """
        name = name or self.current
        if name in self._by_name:
            return self._by_name[name]
        if not self._by_name:
            raise NoConnection("there is no connection: make one with %rpc_connect")
        known = ", ".join(sorted(self._by_name))
        what = f"no connection is called {name}" if name else "no connection is the current one"
        raise NoConnection(f"{what}: there are {known}; choose one with %rpc_use")

    def name_of(self, session: Any) -> str:
        """Give the name of the connection of a session; empty if it is none of these."""
        return next((name for name, found in self if found.session is session), "")

    def several(self, names: str = "") -> dict[str, Any]:
        """Give the connections of a comma-separated list of names, or ``all`` of them.

        Raises
        ------
        NoConnection
            One of them does not exist.
        """
        if names == "all" and self._by_name:
            return dict(self._by_name)
        chosen = [name.strip() for name in names.split(",") if name.strip()] or [self.current]
        return {name: self.get(name) for name in chosen}

    def use(self, name: str) -> Any:
        """Make a connection the current one."""
        connection = self.get(name)
        self.current = name
        return connection

    def disconnect(self, name: str = "") -> tuple[str, Any]:
        """Close a connection and forget it; give its name, and what it was."""
        name = name or self.current
        connection = self.get(name)
        del self._by_name[name]
        connection.close()
        if self.current == name:
            self.current = next(iter(self._by_name), "") if len(self._by_name) == 1 else ""
        return name, connection

    def close(self) -> None:
        """Close all of them."""
        for _, connection in self:
            connection.close()
        self._by_name.clear()
        self.current = ""


def find(target: str, token: str | None = None, neighbourhood: Neighbourhood | None = None) -> str:
    """Give the URL for what a user typed: a URL, a server's name, host:port, a port, or nothing.

    A name that none of the user's servers on this machine has is looked for on the network if a
    token was given for it: whoever merely says that this is its name does not hold the token, and
    is not told it, since it never goes over the wire.

    Raises
    ------
    ConnectFailed
        No server has that name, or without a target there is not exactly one.
    """
    if not target:
        return _only_server()
    if "://" in target or target.startswith("[") or target.rpartition(":")[2].isdigit():
        return target if ":" in target else f"127.0.0.1:{target}"
    info = find_by_name(target)
    if info is not None:
        return info.url
    servers: list[Announced] = []
    if neighbourhood is not None:
        servers = neighbourhood.look() if token and available() else neighbourhood.known
    return _on_network(target, token, [server for server in servers if server.name == target])


def _on_network(name: str, token: str | None, named: list[Announced]) -> str:
    """Give the URL of the one server that announces a name, if it can show that it is meant."""
    if not named:
        raise ConnectFailed(f"no running server of yours is called {name}; {_what_runs()}")
    urls = ", ".join(server.url for server in named)
    if len(named) > 1:
        raise ConnectFailed(f"several servers on the network are called {name}; give a URL: {urls}")
    if not token:
        raise ConnectFailed(
            f"no running server of yours is called {name}; one on the network says that it is: "
            f"give its --token, or its URL, {urls}"
        )
    if not (named[0].tls or is_loopback(parse(urls).host)):
        raise ConnectFailed(f"{name} on the network is not encrypted; give its URL, {urls}")
    return urls


def _only_server() -> str:
    servers = running()
    if len(servers) == 1:
        return servers[0].url
    if not servers:
        raise ConnectFailed(
            "no server of yours is running: start one with `nbrpc serve`, or give a URL"
        )
    raise ConnectFailed(f"which of your servers? Give the name of one; {_what_runs()}")


def _what_runs() -> str:
    servers = running()
    if not servers:
        return "none is running: start one with `nbrpc serve`"
    return "running: " + ", ".join(f"{info.name} ({info.url})" for info in servers)
