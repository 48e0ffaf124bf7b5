"""Serial services: one thread for each instance, whatever the dispatcher of a connection."""

from __future__ import annotations

import os
import threading
import weakref
from contextvars import Context, copy_context
from queue import SimpleQueue
from types import AsyncGeneratorType, GeneratorType, MethodType
from typing import Any

from nbrpc.errors import StaleReference
from nbrpc.objects.callbacks import Callback, function_of
from nbrpc.session.worker import run_safely

__all__ = ["SerialThread", "home_of", "is_serial", "register", "serial_thread", "thread_for"]

_serial_classes: weakref.WeakSet[type] = weakref.WeakSet()
_serial_threads: weakref.WeakKeyDictionary[Any, SerialThread] = weakref.WeakKeyDictionary()
_generators: weakref.WeakKeyDictionary[Any, _Home] = weakref.WeakKeyDictionary()
"""Where the generators run that serial services have made."""
_serial_lock = threading.Lock()


def _after_fork() -> None:
    """In a forked child: no thread is left, so each instance gets a new one."""
    global _serial_lock  # noqa: PLW0603 - another thread of the parent may have held it
    _serial_lock = threading.Lock()
    _serial_threads.clear()
    _generators.clear()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_after_fork)


class _Home:
    """Where the calls on an object of a serial service run."""

    def __init__(self, jobs: SimpleQueue[Any]) -> None:
        self.jobs = jobs

    def submit(self, job: Any) -> None:
        """Queue a job."""
        self.jobs.put(job)


class SerialThread(_Home):
    """The one thread on which all calls on one instance run."""

    def __init__(self, name: str) -> None:
        super().__init__(SimpleQueue())
        threading.Thread(target=_run_serial, args=(self.jobs,), name=name, daemon=True).start()


def _run_serial(jobs: SimpleQueue[Any]) -> None:
    runner = None
    while True:
        job = jobs.get()
        if job is None:
            if runner is not None:
                runner.close()
            return
        if runner is None:
            runner = _LazyRunner(jobs)
        job.runner = runner
        run_safely(job)
        del job


class _LazyRunner:
    """An `asyncio.Runner` that is made with the first coroutine."""

    def __init__(self, jobs: SimpleQueue[Any]) -> None:
        self.jobs = jobs
        self._runner: Any = None

    def adopt(self, generator: Any) -> None:
        """Have a generator of the service run on its thread too."""
        _generators[generator] = _Home(self.jobs)

    def run(self, coroutine: Any) -> Any:
        if self._runner is None:
            import asyncio

            self._runner = asyncio.Runner()
            # It keeps the context in which it was made; one of a request would never be freed.
            Context().run(self._runner.get_loop)
        return self._runner.run(coroutine, context=copy_context())

    def close(self) -> None:
        if self._runner is not None:
            self._runner.close()


def register(cls: type) -> None:
    """Note a class whose instances are served by one thread each."""
    _serial_classes.add(cls)


def is_serial(instance: object) -> bool:
    """Whether calls on an object run on a thread of its own."""
    return bool(_serial_classes) and type(instance) in _serial_classes


def serial_thread(instance: object) -> SerialThread:
    """Give the thread of an instance of a serial class, made at its first call."""
    with _serial_lock:
        thread = _serial_threads.get(instance)
        if thread is None:
            thread = SerialThread(f"nbrpc-serial-{type(instance).__name__}")
            _serial_threads[instance] = thread
            weakref.finalize(instance, thread.jobs.put, None)
        return thread


def home_of(target: Any) -> _Home | None:
    """Give the thread for calls on an instance of a serial class, or on what is part of it."""
    kind = type(target)
    if kind is MethodType:
        target = target.__self__
        kind = type(target)
    if kind in _serial_classes:
        return serial_thread(target)
    if kind is GeneratorType or kind is AsyncGeneratorType:
        return _generators.get(target)
    return None


def thread_for(job: Any) -> _Home | None:
    """Give the thread for a request on an instance of a serial class."""
    if not _serial_classes or getattr(job, "request", None) is None:
        return None
    try:
        target = job.session.boxing.exports.get(job.request.oid)
        if type(target) is Callback:
            target = function_of(target)
    except (KeyError, StaleReference):
        return None
    return home_of(target)
