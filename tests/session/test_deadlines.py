"""A deadline holds, whatever the waiting thread runs meanwhile."""

from __future__ import annotations

import threading
import time

import pytest

import nbrpc
from tests.support import eventually

LONG = 60.0
"""Seconds after which a wait that nothing ends would fail the test, by its own deadline."""


class Rig(nbrpc.Service):
    changed = nbrpc.event()

    def __init__(self):
        self.gate = threading.Event()
        self.told = []

    def exposed_through(self, callback):
        """Call back, and note how that ends."""
        try:
            return callback()
        except Exception as error:
            self.told.append(error)
            raise

    def exposed_hold(self):
        self.gate.wait(LONG)
        return "held"

    def exposed_note(self):
        self.told.append("noted")


@pytest.fixture
def rig():
    """Give the service; its gate opens in the end."""
    service = Rig()
    yield service
    service.gate.set()


@pytest.fixture
def conn(linked, rig):
    """Give a connection to the service, served in this process."""
    return linked(rig)


def within(seconds, wait):
    """Give what a wait raises, which is to be over by then."""
    begun = time.monotonic()
    with pytest.raises(nbrpc.CallTimeout) as caught:
        wait()
    assert time.monotonic() - begun < seconds
    return caught.value


def waits(conn, callback):
    """Give every way in which a call with a callback is waited for, for 0.3 s each."""
    through = conn.root.through
    return {
        "result": lambda: nbrpc.async_(through)(callback).result(0.3),
        "exception": lambda: nbrpc.async_(through)(callback).exception(0.3),
        "wait": lambda: nbrpc.async_(through)(callback).wait(0.3),
        "timed": lambda: nbrpc.timed(through, 0.3)(callback).value,
    }


@pytest.mark.parametrize("way", ["result", "exception", "wait", "timed"])
def test_a_deadline_holds_while_a_callback_waits(conn, rig, way):
    """Both waits end when the outer one is over; what the callback raises is told as ever."""
    inner = []

    def callback():
        try:
            conn.root.hold()
        except nbrpc.CallTimeout as error:
            inner.append(str(error))
            raise

    within(10, waits(conn, callback)[way])
    assert len(inner) == 1
    assert "inside" in inner[0]
    rig.gate.set()  # the code that runs there is not broken off
    assert isinstance(eventually(lambda: rig.told)[0], nbrpc.CallTimeout)


@pytest.mark.parametrize("levels", [1, 3, 8])
def test_every_level_ends(conn, rig, levels):
    """However deeply calls are nested, all waits of the thread end with the outermost."""
    ended = []

    def callback(level=levels):
        try:
            if level == 1:
                return conn.root.hold()
            return conn.root.through(lambda: callback(level - 1))
        except nbrpc.CallTimeout:
            ended.append(level)
            raise

    within(10, lambda: nbrpc.async_(conn.root.through)(callback).result(0.3))
    assert ended == list(range(1, levels + 1))


def test_the_earlier_deadline_counts(conn):
    """An inner deadline that is earlier is as ever; a later one is no help."""
    told = []

    def callback():
        for seconds in (0.1, LONG):
            try:
                nbrpc.async_(conn.root.hold)().result(seconds)
            except nbrpc.CallTimeout as error:
                told.append(str(error))

    within(10, lambda: nbrpc.async_(conn.root.through)(callback).result(1))
    assert "within 0.1 s" in told[0]
    assert "inside" in told[1]


def test_nothing_is_sent_once_time_is_over(conn, rig):
    """What a callback asks afterwards is refused; an asynchronous call is not, nor later calls."""
    refused, begun = [], []

    def callback():
        with pytest.raises(nbrpc.CallTimeout):
            conn.root.hold()
        try:
            conn.root.note()
        except nbrpc.CallTimeout as error:
            refused.append(error)
        begun.append(nbrpc.async_(conn.root.note)())

    within(10, lambda: nbrpc.async_(conn.root.through)(callback).result(0.3))
    assert len(refused) == 1
    rig.gate.set()
    begun[0].wait(10)
    assert [said for said in rig.told if said == "noted"] == ["noted"]
    conn.root.note()


def test_the_default_deadline_holds(linked, rig):
    """`Timing.call` is a deadline like any other."""
    conn = linked(rig, client={"timing": nbrpc.Timing(call=0.5)})
    held = []

    def callback():
        held.append(nbrpc.async_(conn.root.hold)())
        return held[0].value  # a result has no deadline of its own

    within(10, lambda: conn.root.through(callback))


def test_another_connection_is_not_waited_for_either(conn, linked, rig):
    """The thread is what has to come back, whichever peer it waits for."""
    other = linked(rig)

    def callback():
        return other.root.hold()

    within(10, lambda: nbrpc.async_(conn.root.through)(callback).result(0.3))


@pytest.mark.parametrize("wait", ["serve", "ping", "stream", "local"])
def test_other_waits_inside_end_too(conn, wait):
    """So do waits that are no calls."""
    release = threading.Event()

    def callback():
        if wait == "serve":
            conn.serve(None)
        elif wait == "ping":
            while True:
                conn.ping(None)
        elif wait == "stream":
            next(conn.root.changed.stream())
        else:
            nbrpc.async_(release.wait)(LONG).result()

    within(10, lambda: nbrpc.async_(conn.root.through)(callback).result(0.3))
    release.set()


def open_later(rig, entered):
    """Open the gate some time after a callback has been entered."""
    thread = threading.Thread(target=lambda: (entered.wait(LONG), time.sleep(0.5), rig.gate.set()))
    thread.start()
    return thread


@pytest.mark.parametrize("wait", ["result", "serve"])
def test_events_are_not_cut_short(conn, rig, wait):
    """The callback of an event that comes by while something is waited for has its own time."""
    seen = []
    entered = threading.Event()

    def changed(_):
        entered.set()
        seen.append(conn.root.hold())

    opening = open_later(rig, entered)
    with conn.root.changed.subscribe(changed) as subscription:
        rig.changed.emit(1)
        if wait == "result":
            result = nbrpc.async_(conn.root.hold)()
            try:
                result.wait(0.2)
            except nbrpc.CallTimeout:
                conn.poll_all()  # the event had not come yet
        eventually(lambda: conn.serve(0.1) or seen)
        assert seen == ["held"]
        assert subscription.errors == 0
    opening.join()
