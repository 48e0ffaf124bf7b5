"""The simulated bench does what the tutorials rely on; no connection is needed for that."""

from __future__ import annotations

import asyncio
import threading

import numpy as np
import pytest

from nbrpc.demo import Bench
from tests.support import eventually


def bench_threads():
    """Give the bench's own threads."""
    return [thread for thread in threading.enumerate() if thread.name == "bench"]


@pytest.mark.parametrize(
    ("name", "value"),
    [("voltage", 10.1), ("voltage", float("nan")), ("frequency", 0), ("temperature_limit", 151)],
)
def test_a_setting_out_of_range_is_refused_and_changes_nothing(name, value):
    """A bad value raises a ValueError that names the range; the old one stays."""
    bench = Bench()
    before = getattr(bench, name)
    with pytest.raises(ValueError, match=rf"{name} is .* to .*, not"):
        setattr(bench, name, value)
    assert getattr(bench, name) == before


def test_sweep_shows_the_resonance():
    """A sweep is an array whose peak is at the resonator's frequency."""
    values = Bench().sweep(0, 5, points=501)
    assert isinstance(values, np.ndarray)
    assert np.argmax(values) * 0.01 == pytest.approx(3.2, abs=0.05)


def test_the_spectrum_shows_the_frequency_that_was_set():
    """The strongest line of the samples is the source's."""
    bench = Bench()
    bench.frequency = 3.0
    line = np.argmax(np.abs(np.fft.rfft(bench.read()))) * bench.sample_rate / 4096
    assert line == pytest.approx(3000, abs=bench.sample_rate / 4096)


@pytest.mark.parametrize("points", [0, 1, 2_000_000])
def test_the_number_of_points_is_checked(points):
    """Too few or too many points raise a ValueError that says how many there may be."""
    with pytest.raises(ValueError, match="points is 2 to 1,000,000"):
        Bench().sweep(0, 5, points)


def test_scan_gives_one_value_for_each_point():
    """A scan is a plain list."""
    assert len(Bench().scan(3)) == 3
    assert len(Bench().scan(1)) == 1


def test_the_stage_moves_stops_when_cancelled_and_moves_again():
    """A move ends at its target; a cancelled one leaves the stage on the way and free to move."""
    stage = Bench().stage

    async def story():
        assert await stage.move(1) == stage.position == 1
        move = asyncio.ensure_future(stage.move(50))
        while stage.position == 1:  # noqa: ASYNC110 - a stage tells nobody that it moves
            await asyncio.sleep(0)
        with pytest.raises(RuntimeError, match="the stage is moving"):
            await stage.move(2)
        move.cancel()
        with pytest.raises(asyncio.CancelledError):
            await move
        assert 1 < stage.position < 50
        assert not stage.moving
        assert await stage.move(1) == 1

    asyncio.run(story())


def test_its_thread_runs_while_somebody_is_connected():
    """The first connection starts the thread, the last to go ends it, and it can start again."""
    bench = Bench()
    assert not bench_threads()
    for _ in range(2):
        bench.on_connect(None)
        bench.on_connect(None)
        assert len(bench_threads()) == 1
        bench.on_disconnect(None)
        assert len(bench_threads()) == 1
        bench.on_disconnect(None)
        eventually(lambda: not bench_threads())
