"""The processes of RPyC and of nbrpc that the tests of this folder share."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.rpyc.processes import Processes


@pytest.fixture(scope="session")
def processes(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Processes]:
    """Servers and clients, each started when it is first needed."""
    processes = Processes(tmp_path_factory.mktemp("interoperability"))
    yield processes
    processes.stop()
