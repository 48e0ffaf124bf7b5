"""The helpers of ``rpyc.lib``, ``rpyc.lib.compat`` and ``rpyc.lib.colls`` that programs use."""

from __future__ import annotations

import importlib
import inspect
import logging
import sys
import threading
import time
import weakref
from collections.abc import Callable, Iterator
from types import MethodType, ModuleType
from typing import Any, Final

from nbrpc.objects.proxy import resolve, target_of

__all__ = [
    "BYTES_LITERAL",
    "SPAWN_THREAD_PREFIX",
    "MissingModule",
    "RefCountingColl",
    "Timeout",
    "WeakValueDict",
    "acquire_lock",
    "exp_backoff",
    "get_exc_errno",
    "get_id_pack",
    "get_methods",
    "hasattr_static",
    "hybridmethod",
    "is_true",
    "maxint",
    "safe_import",
    "select_error",
    "setup_logger",
    "socket_backoff_connect",
    "spawn",
    "spawn_waitready",
    "with_metaclass",
]

SPAWN_THREAD_PREFIX: Final = "RpycSpawnThread"

maxint: Final = sys.maxsize
is_true: Final = True
"""For the questions whether this is a Python 3 of some age."""

select_error: Final = OSError


class MissingModule:
    """Stands for a module that cannot be imported; false, and an ImportError when it is used."""

    def __init__(self, name: str) -> None:
        self._name = name

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__"):  # what inspection asks for
            raise AttributeError(f"module {self._name!r} is not there, nor is its {name!r}")
        raise ImportError(f"module {self._name!r} not found")

    def __bool__(self) -> bool:
        return False


def safe_import(name: str) -> ModuleType | MissingModule:
    """Import a module, or give a `MissingModule` in its place."""
    try:
        return importlib.import_module(name)
    except ImportError:
        return MissingModule(name)


def setup_logger(
    quiet: bool = False,  # noqa: FBT001, FBT002 - RPyC's signature
    logfile: str | None = None,
    namespace: str | None = None,
) -> logging.Logger:
    """Set up logging to a file, or to stderr; errors only when ``quiet``."""
    level = logging.ERROR if quiet else logging.DEBUG
    if logfile:
        logging.basicConfig(filename=logfile, level=level)
    else:
        logging.basicConfig(level=level)
    return logging.getLogger(namespace)


class hybridmethod:  # noqa: N801 - RPyC's name
    """A method that gets the instance when there is one, and else the class."""

    def __init__(self, func: Callable[..., Any]) -> None:
        self.func = func

    def __get__(self, obj: Any, cls: type | None = None) -> Any:
        return self.func.__get__(cls if obj is None else obj)

    def __set__(self, obj: Any, value: Any) -> None:
        raise AttributeError(f"{self.func.__name__} cannot be set")


def hasattr_static(obj: object, attr: str) -> bool:
    """Whether an object has an attribute, without running code of it."""
    try:
        inspect.getattr_static(obj, attr)
    except AttributeError:
        return False
    return True


def get_id_pack(obj: Any) -> tuple[str, int, int]:
    """Give RPyC's name of an object: its class, the id of that and its own; 0 for a class."""
    target = target_of(obj)
    if target is not None:
        obj = resolve(obj)
        if isinstance(obj, MethodType):  # of a remote object, and not read
            return "builtins.method", id(MethodType), id(obj.__func__)
        described = obj._nbrpc_description_
        own = 0 if described.kind == "class" else obj._nbrpc_oid_
        return f"{described.module}.{described.name}", id(type(obj)), own
    if inspect.isclass(obj):
        return f"{obj.__module__}.{obj.__name__}", id(obj), 0
    cls = type(obj)
    if isinstance(obj, ModuleType):
        return obj.__name__, id(cls), id(obj)
    return f"{cls.__module__}.{cls.__name__}", id(cls), id(obj)


def get_methods(obj_attrs: Any, obj: Any) -> list[tuple[str, str | None]]:
    """Give the routines of an object's class, or of a class and its own: names and docstrings."""
    kind = type(obj)
    bases = list(reversed(kind.__mro__))
    if inspect.isclass(obj):
        bases += list(reversed(obj.__mro__))
    found: dict[str, Any] = {}
    for base in bases:
        found.update(vars(base))
    return [
        (name, inspect.getdoc(value))
        for name, value in found.items()
        if name not in obj_attrs and inspect.isroutine(value)
    ]


class Timeout:
    """A moment until which to wait; ``Timeout(None)`` never comes, a Timeout stays as it is."""

    def __init__(self, timeout: Any) -> None:
        self.finite = False
        self.tmax: float | None = None
        if isinstance(timeout, Timeout):
            self.finite, self.tmax = timeout.finite, timeout.tmax
        elif timeout is not None and timeout >= 0:
            self.finite = True
            self.tmax = time.monotonic() + timeout

    def expired(self) -> bool:
        """Whether the moment has passed."""
        return self.tmax is not None and time.monotonic() >= self.tmax

    def timeleft(self) -> float | None:
        """Give the seconds that are left; None without an end."""
        return None if self.tmax is None else max(0.0, self.tmax - time.monotonic())

    def sleep(self, interval: float) -> None:  # RPyC's name
        """Sleep so long, but not beyond the moment."""
        left = self.timeleft()
        time.sleep(interval if left is None else min(interval, left))  # it is there to sleep


def spawn(*args: Any, **kwargs: Any) -> threading.Thread:
    """Start a daemon thread that calls the first argument with the others."""
    function, *rest = args
    name = getattr(function, "__name__", type(function).__name__)
    thread = threading.Thread(
        target=function,
        args=tuple(rest),
        kwargs=kwargs,
        name=f"{SPAWN_THREAD_PREFIX}-{name}",
        daemon=True,
    )
    thread.start()
    return thread


def spawn_waitready(
    init: Callable[[], Any], main: Callable[[], Any]
) -> tuple[threading.Thread, Any]:
    """Run ``init`` and then ``main`` on a thread; give that and what ``init`` gave, once it has."""
    begun = threading.Event()
    outcome: list[Any] = []
    failure: list[BaseException] = []

    def run() -> None:
        try:
            outcome.append(init())
        except BaseException as error:  # it is raised where it is waited for
            failure.append(error)
            return
        finally:
            begun.set()
        main()

    thread = spawn(run)
    begun.wait()
    if failure:
        raise failure[0]
    return thread, outcome[0]


def exp_backoff(collision: int) -> float:
    """Give seconds to wait after so many failures: a random part of a doubling span."""
    import random

    return float((2**collision - 1) * random.random())  # noqa: S311 - a delay, no secret


def socket_backoff_connect(
    family: int, socktype: int, proto: int, addr: Any, timeout: float | None, attempts: int
) -> Any:
    """Connect a socket; after a timeout try again, as often as ``attempts`` says.

    Raises
    ------
    OSError
        Nobody is there, or nobody answered in time; nothing is left open.
    """
    import socket

    for attempt in range(1, max(1, attempts) + 1):
        sock = socket.socket(family, socktype, proto)
        try:
            sock.settimeout(timeout)
            sock.connect(addr)
        except TimeoutError:
            sock.close()
            if attempt == max(1, attempts):
                raise
            time.sleep(min(exp_backoff(attempt), 1.0))  # RPyC's pause between attempts
        except BaseException:  # and it is raised again
            sock.close()
            raise
        else:
            sock.settimeout(None)
            return sock
    raise AssertionError("the last attempt returns or raises")


# ---- rpyc.lib.compat


def BYTES_LITERAL(text: str) -> bytes:  # noqa: N802 - RPyC's name
    """Give a text of single bytes as these bytes."""
    return text.encode("latin-1")


def acquire_lock(lock: Any, blocking: bool, timeout: Any) -> bool:  # noqa: FBT001 - RPyC's
    """Take a lock within a `Timeout`."""
    if not blocking:
        return bool(lock.acquire(blocking=False))
    left = timeout.timeleft() if isinstance(timeout, Timeout) else timeout
    return bool(lock.acquire(timeout=-1 if left is None else left))


def get_exc_errno(exc: BaseException) -> int | None:
    """Give the errno of an exception; its first argument, where it has none."""
    number = getattr(exc, "errno", None)
    return number if number is not None or not exc.args else exc.args[0]


def with_metaclass(meta: type, *bases: type) -> type:
    """Make a class of this metaclass, to derive from."""
    made: type = meta("_Base", bases, {})
    return made


def __getattr__(name: str) -> Any:
    """Give the modules that ``rpyc.lib.compat`` names."""
    if name == "pickle":
        # The one mention of pickle in nbrpc. `rpyc.classic.obtain` of a stock client runs
        # ``conn.modules["rpyc.lib.compat"].pickle`` on a classic server, where it may run any code
        # anyway; nothing of nbrpc's own loads what a peer sent with it.
        return importlib.import_module("pickle")
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


# ---- rpyc.lib.colls


class WeakValueDict:
    """A dictionary that does not keep its values alive."""

    def __init__(self) -> None:
        self._values: weakref.WeakValueDictionary[Any, Any] = weakref.WeakValueDictionary()

    def __repr__(self) -> str:
        return repr(dict(self._values))

    def __iter__(self) -> Iterator[Any]:
        return iter(list(self._values.keys()))

    def __len__(self) -> int:
        return len(self._values)

    def __contains__(self, key: object) -> bool:
        return key in self._values

    def __getitem__(self, key: Any) -> Any:
        return self._values[key]

    def __setitem__(self, key: Any, value: Any) -> None:
        self._values[key] = value

    def __delitem__(self, key: Any) -> None:
        del self._values[key]

    def get(self, key: Any, default: Any = None) -> Any:
        """Give a value, or the default."""
        return self._values.get(key, default)

    def keys(self) -> list[Any]:
        """Give the keys whose values live."""
        return list(self._values.keys())

    def values(self) -> list[Any]:
        """Give the values that live."""
        return list(self._values.values())

    def items(self) -> list[tuple[Any, Any]]:
        """Give keys and values."""
        return list(self._values.items())

    def iterkeys(self) -> Iterator[Any]:
        """Iterate over the keys."""
        return iter(self.keys())

    def itervalues(self) -> Iterator[Any]:
        """Iterate over the values."""
        return iter(self.values())

    def iteritems(self) -> Iterator[tuple[Any, Any]]:
        """Iterate over keys and values."""
        return iter(self.items())

    def clear(self) -> None:
        """Forget all."""
        self._values.clear()


class RefCountingColl:
    """Objects by keys, each kept as often as it was added."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._entries: dict[Any, list[Any]] = {}

    def __repr__(self) -> str:
        return repr(self._entries)

    def __getitem__(self, key: Any) -> Any:
        with self._lock:
            return self._entries[key][0]

    def add(self, key: Any, obj: Any) -> None:
        """Add an object, or count it once more."""
        with self._lock:
            entry = self._entries.setdefault(key, [obj, -1])
            entry[1] += 1

    def decref(self, key: Any, count: int = 1) -> None:
        """Count it down; below what it was added it is kept no longer."""
        with self._lock:
            entry = self._entries[key]
            if entry[1] < count:
                del self._entries[key]
            else:
                entry[1] -= count

    def clear(self) -> None:
        """Keep nothing."""
        with self._lock:
            self._entries.clear()
