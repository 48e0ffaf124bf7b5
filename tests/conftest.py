"""Fixtures of all tests; each test gets its own runtime folder and leaves nothing running."""

from __future__ import annotations

import gc
import os
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import hypothesis
import pytest

import nbrpc
from tests.support import (
    Served,
    eventually,
    lasting_threads,
    loop_sockets,
    open_sockets,
    start_server,
)

SETTLE = 3.0
"""Seconds that threads and sockets have to go away by themselves after a test."""

os.environ["NBRPC_INTERFACES"] = "127.0.0.1"  # nothing here is asked of a network

# Examples are not timed: on a loaded machine a slow one says nothing, nor does slow generation.
hypothesis.settings.register_profile(
    "here", deadline=None, suppress_health_check=[hypothesis.HealthCheck.too_slow]
)
hypothesis.settings.load_profile("here")


@pytest.fixture(autouse=True)
def _nothing_left() -> Iterator[None]:
    """Fail a test that leaves threads or sockets behind."""
    threads_before, sockets_before = lasting_threads(), open_sockets()
    yield

    def new_threads() -> list[str]:
        return sorted(thread.name for thread in lasting_threads() - threads_before)

    def new_sockets() -> list[str]:
        fresh = {key: number for key, number in open_sockets().items() if key not in sockets_before}
        if fresh:
            lasting = loop_sockets()
            fresh = {key: number for key, number in fresh.items() if number not in lasting}
        return sorted(fresh)

    def nothing_new() -> bool:
        gc.collect()  # each time: a thread that was just ending may have held a cycle before
        return not (new_threads() or new_sockets())

    if new_threads() or new_sockets():
        try:
            eventually(nothing_new, SETTLE)
        except AssertionError:
            left = f"left behind: threads {new_threads()}, sockets {new_sockets()}"
            pytest.fail(left, pytrace=False)


@pytest.fixture(autouse=True)
def runtime_dir(
    _nothing_left: None, tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch
) -> Path:
    """Keep connection files away from the user's own."""
    folder = tmp_path_factory.mktemp("runtime")
    folder.chmod(0o700)
    monkeypatch.setenv("NBRPC_RUNTIME_DIR", str(folder))
    return folder


@pytest.fixture
def served(
    runtime_dir: Path, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Callable[..., Served]]:
    """Start servers in processes of their own: ``served("module:Class", "--allow-code")``.

    ``folder=`` is where the server runs, and may import from. All are ended after the test.
    """
    started: list[Served] = []

    def start(*arguments: str, folder: Path | None = None, port: int = 0) -> Served:
        output = tmp_path_factory.mktemp("server") / "output.txt"
        if "--unix" not in arguments:
            arguments = (*arguments, "--port", str(port))
        started.append(start_server(output, *arguments, folder=folder))
        return started[-1]

    yield start
    for server in started:
        server.stop()


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
