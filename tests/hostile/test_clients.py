"""Hostile clients gain nothing; what they gain of stock RPyC shows that the attacks bite."""

from __future__ import annotations

import random

import pytest

from nbrpc.protocol.messages import Operation
from tests.hostile import attacks, native_clients, rpyc_clients, transcripts, value_clients
from tests.support import eventually

assert native_clients
assert rpyc_clients
assert value_clients

SLOW = {
    "exceptions that nobody asked for", "hashes that collide", "a bomb of zlib", "garbage",
    "iterators without end", "connections that hold a pool", "a thousand objects for a byte",
    "the beginning of tls", "a header of four gigabytes", "more connections than allowed",
}  # fmt: skip
"""Controls that take a second or more."""


def controls():
    """Give the attacks that are known to succeed against RPyC."""
    for name, one in attacks.ATTACKS.items():
        if one.control:
            yield pytest.param(name, marks=[pytest.mark.slow] if name in SLOW else [])


@pytest.fixture(scope="module")
def victim():
    """Servers in a process of their own."""
    with attacks.victim() as target:
        yield target


@pytest.fixture(scope="module")
def stock():
    """The same of stock RPyC."""
    with attacks.victim("rpyc") as target:
        yield target


def test_there_are_enough_of_them():
    """The corpus has the size that it is to have, and each attack says what it would gain."""
    assert len(attacks.ATTACKS) >= 60
    assert sum(one.control for one in attacks.ATTACKS.values()) >= 20
    assert all(one.gain for one in attacks.ATTACKS.values())


@pytest.mark.parametrize("name", attacks.ATTACKS)
def test_nothing_is_gained(victim, name):
    """The attack gives nothing, harms nobody and leaves nothing."""
    assert attacks.run(attacks.ATTACKS[name], victim) == ""


@pytest.mark.parametrize("name", list(controls()))
def test_the_attack_bites(stock, name):
    """The control: stock RPyC gives what the attacker would like."""
    assert attacks.run(attacks.ATTACKS[name], stock) != ""


def test_handshakes_that_are_none(victim):
    """Nobody is let in without the right proof, and nothing that comes with one is begun."""
    tried, let_in, begun = transcripts.try_to_get_in(victim, 5 * len(transcripts.KINDS))
    assert (tried, let_in, begun) == (95, 0, 0)


def test_the_counters_of_handshakes_count(victim):
    """The control: a right handshake is counted as one, and its requests are."""
    before = victim.state()
    with victim.let_in() as client:
        client.root()
        assert client.ask(Operation.DIR, client.root()) is not None
    after = victim.state()
    assert after["let_in"] == before["let_in"] + 1
    assert after["requests"] == before["requests"] + 3


def test_a_right_handshake_by_hand(victim):
    """The control: what is damaged elsewhere is right before that."""
    before = victim.state()["let_in"]

    def right(talk):
        return b"".join(talk.answered(talk.token))

    transcripts.try_transcript(victim, right, transcripts.listen_in(victim), random.Random(1))
    # Who was listened to, and who tried; the second may have hung up before it is counted.
    eventually(lambda: victim.state()["let_in"] == before + 2)


def test_memory_of_who_is_not_let_in(victim):
    """A client that has shown no token costs little."""
    assert transcripts.memory_of_each(victim) < 64 * 1024
