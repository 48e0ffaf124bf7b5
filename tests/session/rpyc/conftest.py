"""Both ends are nbrpc's, and speak RPyC's wire to each other, in both dialects."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import ExitStack
from typing import Any

import pytest

import nbrpc


@pytest.fixture(params=["rpyc5", "rpyc6"])
def dialect(request):
    """Give the scheme of a dialect."""
    return request.param


@pytest.fixture
def connecting(serving: Any, dialect: str):
    """Connect to servers in RPyC's protocol; the connections are closed before the servers are."""
    with ExitStack() as stack:

        def connect(server: nbrpc.Server, **options: Any) -> nbrpc.Connection:
            url = f"{dialect}://127.0.0.1:{server.port}"
            return stack.enter_context(nbrpc.connect(url, **options))

        yield connect


@pytest.fixture
def linked(serving: Any, connecting: Any) -> Callable[..., nbrpc.Connection]:
    """Serve an object and connect to it: ``linked(Service, client={...}, **server_options)``."""

    def link(service: Any, client: dict[str, Any] | None = None, **options: Any) -> Any:
        return connecting(serving(service, rpyc=True, **options), **(client or {}))

    return link
