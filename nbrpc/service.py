"""Services: what is exposed, and what code that serves may use.

A service is a class whose members are exposed by a prefix or by a decorator; nothing else of it can
be reached. ``track`` and ``shield`` are for code that runs for a peer.
"""

from __future__ import annotations

import contextlib
import time
from collections.abc import Iterable, Iterator
from typing import Any, ClassVar, TypeVar

from nbrpc.objects.exposure import exposed, restricted
from nbrpc.protocol.messages import Kind
from nbrpc.session.call import current_job
from nbrpc.session.dispatch import register_serial
from nbrpc.session.events import event
from nbrpc.session.job import RequestJob

__all__ = [
    "ClassicService",
    "Service",
    "VoidService",
    "event",
    "exposed",
    "restricted",
    "shield",
    "track",
]

Item = TypeVar("Item")

PROGRESS_INTERVAL = 0.1
"""Seconds between two progress messages of one call: more nobody can see."""


class Service:
    """The base of services.

    Members are exposed by the prefix ``exposed_`` or by ``@nbrpc.exposed``: methods, coroutines,
    generators, properties and nested classes. Declare events with ``nbrpc.event()``.

    Parameters
    ----------
    serial
        All calls on one instance run one after the other, on one thread of its own; for drivers
        and libraries that are not thread-safe.
    by_value
        True copies results of all methods with all that is in them; False lends them, data as well.
        Otherwise data is copied and objects are lent.
    interruptible
        False keeps Cancel from breaking off running code of this service.

    Examples
    --------
    >>> class Files(Service):
    ...     changed = event()
    ...     @exposed
    ...     def size(self, path):
    ...         return 0
    """

    ALIASES: ClassVar[tuple[str, ...]] = ()
    allow_code: ClassVar[bool] = False
    """Whether peers may run code; `ClassicService` says so."""

    def __init_subclass__(
        cls,
        *,
        serial: bool | None = None,
        by_value: bool | None = None,
        interruptible: bool | None = None,
        **kwargs: Any,
    ) -> None:
        super().__init_subclass__(**kwargs)
        if by_value is not None:
            cls.__nbrpc_by_value__ = by_value  # type: ignore[attr-defined]
        if interruptible is not None:
            cls.__nbrpc_interruptible__ = interruptible  # type: ignore[attr-defined]
        if serial is not None:
            cls.__nbrpc_serial__ = serial  # type: ignore[attr-defined]
        if getattr(cls, "__nbrpc_serial__", False):
            register_serial(cls)

    def on_connect(self, conn: Any) -> None:
        """Called when a peer has connected, before it can ask anything."""

    def on_disconnect(self, conn: Any) -> None:
        """Called when a connection has ended; nothing can be sent on it."""

    @classmethod
    def get_service_name(cls) -> str:
        """Give the name under which registries know the service."""
        return cls.get_service_aliases()[0]

    @classmethod
    def get_service_aliases(cls) -> tuple[str, ...]:
        """Give all such names."""
        if cls.ALIASES:
            return tuple(str(name).upper() for name in cls.ALIASES)
        name = cls.__name__.upper()
        return (name.removesuffix("SERVICE") or name,)

    exposed_get_service_name = get_service_name
    exposed_get_service_aliases = get_service_aliases


class VoidService(Service):
    """A service that exposes nothing: what a connecting side offers unless told otherwise."""

    exposes_nothing: ClassVar[bool] = True


class ClassicService(Service):
    """A service that lets the peer run any code. Give it to peers that you trust with a shell."""

    allow_code: ClassVar[bool] = True


def track(items: Iterable[Item], total: float | None = None, text: str = "") -> Iterator[Item]:
    """Iterate over items and tell the caller how far the running call is.

    Parameters
    ----------
    total
        How many items there are; ``len(items)`` where that is known.
    text
        What is being done.

    Notes
    -----
    The caller sees it in ``res.progress``. At most ten messages a second are sent; outside a call
    nothing is.
    """
    job = current_job.get()
    if total is None:
        with contextlib.suppress(TypeError):
            total = len(items)  # type: ignore[arg-type]
    done = 0
    for item in items:
        if job is not None:
            job.check_cancelled()
            _tell(job, done, total, text, last=False)
        yield item
        done += 1
    if job is not None:
        _tell(job, done, total, text, last=True)


def _tell(job: RequestJob, done: float, total: float | None, text: str, *, last: bool) -> None:
    now = time.monotonic()
    if last or now - job.last_progress >= PROGRESS_INTERVAL:
        job.last_progress = now
        job.session.send_quietly(
            Kind.PROGRESS, (job.seq, float(done), None if total is None else float(total), text)
        )


@contextlib.contextmanager
def shield() -> Iterator[None]:
    """A stretch of serving code that Cancel does not break; it takes effect at the end of it."""
    job = current_job.get()
    if job is None:
        yield
        return
    job.shield(+1)
    try:
        yield
    finally:
        job.shield(-1)
