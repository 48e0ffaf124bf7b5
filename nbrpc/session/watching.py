"""`watch`: a getter that the server samples, used like an event."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from nbrpc.errors import RemoteProtocolError
from nbrpc.objects.operations import find_object
from nbrpc.objects.proxy import resolve, target_of
from nbrpc.options import check_seconds
from nbrpc.protocol.messages import Operation
from nbrpc.session.answers import SESSION_OPERATIONS
from nbrpc.session.events import BoundEvent, accept_subscriber
from nbrpc.session.remote_events import RemoteEvent

if TYPE_CHECKING:
    from nbrpc.session.job import RequestJob
    from nbrpc.session.session import Session

__all__ = ["Watch", "watch"]

FASTEST = 0.001
"""Seconds between samples at least."""


def watch(obj: Any, name: str, every: float = 0.5) -> Watch:
    """Give an attribute of a remote object as an event: its value, every so many seconds.

    Parameters
    ----------
    obj
        A proxy.
    name
        The attribute; a method without arguments works as well.
    every
        Seconds between samples, from 0.001.

    Raises
    ------
    TypeError
        ``obj`` is not remote, ``name`` no text or ``every`` no number.
    ValueError
        ``every`` is too short.
    """
    if target_of(obj) is None:
        raise TypeError(f"watch needs a remote object, not {type(obj).__name__}")
    if not isinstance(name, str):
        raise TypeError(f"watch needs the name of an attribute, not {type(name).__name__}")
    check_seconds("every", every, endless=False)
    if every < FASTEST:
        raise ValueError(f"every is at least {FASTEST} s, not {every!r}")
    proxy = resolve(obj)
    return Watch(proxy, name, every)


class Watch(RemoteEvent):
    """What `watch` gives."""

    __slots__ = ("_every",)

    def __init__(self, owner: Any, name: str, every: float) -> None:
        super().__init__(owner, name, Operation.WATCH)
        self._every = every

    def __repr__(self) -> str:
        return f"<watch of {self._name}, every {self._every:g} s>"

    @property
    def _more(self) -> tuple[Any, ...]:
        return (float(self._every),)


class _Sampler:
    """Samples one attribute for one subscriber; a job that calls itself again."""

    def __init__(self, session: Session, target: Any, name: str, every: float) -> None:
        self.session = session
        self.target = target
        self.name = name
        self.every = every
        self.source = BoundEvent(name, block=False)

    def sample(self) -> Any:
        """Read the attribute; call it when it is a method."""
        value = self.session.policy.read(self.target, self.name)
        return value() if callable(value) else value

    def run(self) -> None:
        """Take a sample and send it; the next one in ``every`` seconds."""
        if self.session.closed or not self.source.subscribers:
            return
        try:
            self.source.emit(self.sample())
        except Exception as error:  # the getter is user code: its subscribers are told
            for subscriber in self.source.subscribers:
                subscriber.give_up(f"the getter raised {type(error).__name__}: {error}")
            return
        self.schedule()

    def schedule(self) -> None:
        """Have the next sample taken, on the thread of a serial service if it is one."""
        self.session.reactor.call_later(self.every, _OnItsThread(self))


class _OnItsThread:
    """Takes a sampler to where calls on its object run."""

    def __init__(self, sampler: _Sampler) -> None:
        self._sampler = sampler

    def run(self) -> None:
        from nbrpc.session.serial import is_serial, serial_thread

        dispatcher = self._sampler.session.dispatcher
        if is_serial(self._sampler.target):
            serial_thread(self._sampler.target).submit(self._sampler)
        elif dispatcher.sole:
            dispatcher.submit(self._sampler)
        else:
            self._sampler.run()


def _watch(session: Session, job: RequestJob) -> tuple[bytes, int, int]:
    """Carry out a watch of the peer."""
    request = job.request
    if len(request.args) != 4:
        raise RemoteProtocolError("a watch is malformed")
    every = request.args.pop()
    if type(every) is not float or not FASTEST <= every < 1e9:
        raise ValueError(f"a watch samples every {FASTEST} s or less often, not {every!r}")
    target = find_object(session, request)
    *parts, name = request.name.split(".")
    for part in parts:
        target = session.policy.read(target, part)
    sampler = _Sampler(session, target, name, every)
    first = sampler.sample()  # an attribute that is not exposed is refused here
    told = accept_subscriber(session, request, sampler.source)
    sampler.source.emit(first)
    sampler.schedule()
    return told


SESSION_OPERATIONS[Operation.WATCH] = _watch
