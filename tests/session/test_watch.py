"""``watch``: a getter that the server samples, used like an event."""

from __future__ import annotations

import threading
import time

import pytest

import nbrpc
from tests.support import eventually


class Stage(nbrpc.Service):
    def __init__(self):
        self.reads = 0
        self.broken = False
        self.threads = set()

    @nbrpc.exposed
    @property
    def temperature(self):
        self.reads += 1
        self.threads.add(threading.get_ident())
        if self.broken:
            raise OSError("the sensor is gone")
        return self.reads

    def exposed_level(self):
        return 7

    @property
    def secret(self):
        return 1


class SerialStage(Stage, serial=True):
    def exposed_thread(self):
        return threading.get_ident()


@pytest.fixture
def stage():
    """Give the service."""
    return Stage()


@pytest.fixture
def conn(linked, stage):
    """Give a connection to the service, served in this process."""
    return linked(stage)


def test_samples_arrive_at_once_and_then_regularly(conn):
    """The first sample comes with the subscription, the next ones at their time."""
    got = []
    begun = time.monotonic()
    watch = nbrpc.watch(conn.root, "temperature", every=0.02)
    subscription = watch.subscribe(lambda value: got.append((value, time.monotonic() - begun)))
    eventually(lambda: (conn.poll_all(), len(got) >= 5)[1])
    subscription.close()
    assert [value for value, _ in got[:5]] == [1, 2, 3, 4, 5]
    assert got[4][1] >= 0.07


def test_sampling_ends_with_the_subscription(conn, stage):
    """Nothing is read for nobody."""
    subscription = nbrpc.watch(conn.root, "temperature", every=0.002).subscribe(print)
    subscription.close()
    conn.root.level()
    reads = eventually(lambda: stage.reads)
    eventually(lambda: conn.session.channels == {})
    before = stage.reads
    threading.Event().wait(0.05)  # the absence of something has no event to wait for
    assert stage.reads - before <= 1
    assert reads >= 1


def test_a_watch_of_a_method_and_as_a_stream(conn):
    """A method without arguments is called; a watch iterates like an event."""
    stream = nbrpc.watch(conn.root, "level", every=0.005).stream()
    assert [next(stream) for _ in range(3)] == [7, 7, 7]
    stream.close()


def test_a_getter_that_fails_ends_the_watch(conn, stage):
    """The subscription ends and says what the getter raised; the connection is unaffected."""
    subscription = nbrpc.watch(conn.root, "temperature", every=0.005).subscribe(lambda _: None)
    stage.broken = True
    eventually(lambda: subscription.closed)
    assert "OSError: the sensor is gone" in str(subscription.exception)
    assert conn.root.level() == 7
    with pytest.raises(OSError, match="the sensor is gone"):
        nbrpc.watch(conn.root, "temperature").subscribe(print)


def test_what_is_not_exposed_is_not_sampled(conn):
    """A hidden attribute is refused at the subscription."""
    with pytest.raises(nbrpc.AccessDenied, match="secret"):
        nbrpc.watch(conn.root, "secret").subscribe(print)
    assert conn.root.level() == 7


def test_mistakes(conn):
    """A local object and a period that is too short are refused at once."""
    with pytest.raises(TypeError, match="watch needs a remote object, not Stage"):
        nbrpc.watch(Stage(), "temperature")
    with pytest.raises(ValueError, match=r"every is at least 0\.001 s"):
        nbrpc.watch(conn.root, "temperature", every=0)


def test_a_serial_service_is_sampled_on_its_thread(linked):
    """The getter of a serial service runs where its calls run."""
    service = SerialStage()
    conn = linked(service)
    subscription = nbrpc.watch(conn.root, "temperature", every=0.002).subscribe(lambda _: None)
    eventually(lambda: service.reads > 5)
    subscription.close()
    assert service.threads == {conn.root.thread()}
