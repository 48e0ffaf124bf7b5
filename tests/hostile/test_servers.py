"""Hostile servers gain nothing of a client; those that stock RPyC falls for show that they bite."""

from __future__ import annotations

import pytest

from tests.hostile import servers, traps, value_servers

assert servers
assert value_servers


@pytest.fixture(scope="module")
def prey():
    """A client in a process of its own, with IPython."""
    with traps.prey() as client:
        yield client


@pytest.fixture(scope="module")
def stock():
    """The same of stock RPyC."""
    with traps.prey("rpyc") as client:
        yield client


def test_there_are_enough_of_them():
    """The corpus has the size that it is to have, and each trap says what it would gain."""
    assert len(traps.TRAPS) >= 40
    assert sum(one.control for one in traps.TRAPS.values()) >= 8
    assert all(one.gain for one in traps.TRAPS.values())


@pytest.mark.parametrize("name", list(traps.TRAPS))
def test_nothing_is_gained(prey, name):
    """The client lives on, runs nothing, and shows nothing that would be obeyed."""
    assert traps.spring(traps.TRAPS[name], prey) == ""


@pytest.mark.parametrize("name", [name for name, one in traps.TRAPS.items() if one.control])
def test_the_trap_bites(stock, name):
    """The control: stock RPyC's client walks into it."""
    assert traps.spring(traps.TRAPS[name], stock) != ""
