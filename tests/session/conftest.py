"""Connections over real sockets to a server in this process, and one in a process of its own."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from typing import Any

import pytest

import nbrpc


@pytest.fixture
def serving(_nothing_left: None) -> Iterator[Callable[..., nbrpc.Server]]:
    """Serve objects in this process; the servers are closed after the test."""
    with ExitStack() as stack:
        yield lambda service, **options: stack.enter_context(nbrpc.serve(service, **options))


@pytest.fixture
def connecting(serving: Any) -> Iterator[Callable[..., nbrpc.Connection]]:
    """Connect to servers; the connections are closed after the test, before the servers are."""
    with ExitStack() as stack:

        def connect(server: nbrpc.Server, **options: Any) -> nbrpc.Connection:
            options.setdefault("token", server.token)
            return stack.enter_context(nbrpc.connect(server.url, **options))

        yield connect


@pytest.fixture
def linked(serving: Any, connecting: Any) -> Callable[..., nbrpc.Connection]:
    """Serve an object and connect to it: ``linked(Service, client={...}, **server_options)``."""

    def link(service: Any, client: dict[str, Any] | None = None, **options: Any) -> Any:
        return connecting(serving(service, **options), **(client or {}))

    return link
