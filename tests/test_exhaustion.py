"""The short form of the rows about exhaustion: little input costs little, and others are served.

All inputs and the figures are in ``python -m benchmarks.trust T5 T6 T7``.
"""

from __future__ import annotations

import pytest

from benchmarks.trust import exhaustion
from benchmarks.trust.exhausting import (
    MOST,
    after_authentication,
    before_authentication,
    on_rpycs_wire,
)

INPUTS = {
    "before": before_authentication(),
    "after": after_authentication(exhaustion.ROOT_NUMBER),
    "rpyc": on_rpycs_wire(),
}


@pytest.fixture(scope="module")
def mother():
    """Give the process that servers are copies of."""
    with exhaustion.Mother() as process:
        yield process


@pytest.mark.parametrize(
    ("group", "name"),
    [(group, name) for group, of in INPUTS.items() for name in of if name in exhaustion.SHORT],
)
def test_an_input_costs_little(mother, group, name):
    """At most 16 MB and 250 times its size, and another client is served meanwhile."""
    data = INPUTS[group][name]
    assert len(data) <= MOST
    cost = exhaustion.strike(mother, group, name, data)
    assert cost.grown <= 16_000_000
    assert cost.size < exhaustion.LARGE or cost.ratio <= 250
    assert cost.stall < 2, "another client was not served; the figure itself is a benchmark"


def test_silent_clients_delay_nobody(mother):
    """With a hundred of them a new client is let in, and the server drops them all."""
    with mother.serving("plain") as (_, port):
        crowd = exhaustion.crowd(port, 100, None)
    assert crowd.fresh < 2, "a new client waited; the figure itself is a benchmark"
    assert crowd.gone < 8
    assert crowd.left == 0
