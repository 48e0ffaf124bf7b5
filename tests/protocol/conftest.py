"""The two ends of a protocol, as fixtures."""

from __future__ import annotations

import pytest

from tests.protocol.ends import ready_pair


@pytest.fixture
def pair():
    """Give a client and a server protocol, authenticated, without I/O."""
    return ready_pair()
