"""The service that both implementations serve: one text, in RPyC's style."""

from __future__ import annotations

import hashlib
import random
import threading
import time
from pathlib import Path

MEGABYTE = 1_000_000

CONFIG = {"allow_setattr": True, "allow_delattr": True}
"""How it is served. The service itself refuses both, its objects do not."""


class Broken(Exception):
    """An exception of our own, with an attribute beside its arguments."""

    def __init__(self, what, code):
        super().__init__(what)
        self.code = code


def blob(kind):
    """Give a megabyte: bytes that compress or do not, or text that needs one or two bytes each."""
    if kind == "zeros":
        return bytes(MEGABYTE)
    if kind == "random":
        return random.Random(0).randbytes(MEGABYTE)
    return {"plain": "nbrpc rpyc ", "wide": "Grüße, Köln "}[kind] * (MEGABYTE // 11)


def digest(value):
    """Tell two large values apart, or not."""
    data = value.encode() if isinstance(value, str) else value
    return f"{type(value).__name__} {len(value)} {hashlib.sha256(data).hexdigest()}"


def fail(kind):
    """Raise."""
    if kind == "value":
        raise ValueError("bad thing", 42)
    if kind == "key":
        return {}["missing"]
    if kind == "zero":
        return 1 // 0
    if kind == "file":
        return Path("/no/such/file").open()
    if kind == "attribute":
        return None.nothing
    if kind == "custom":
        raise Broken("the pump", 7)
    if kind == "argument":
        raise ValueError([1, 2])
    if kind == "cause":
        raise RuntimeError("outer") from KeyError("inner")
    if kind == "group":
        raise ExceptionGroup("several", [ValueError("one"), TypeError("two")])
    raise AssertionError(kind)


class Countdown:
    """An iterator that is no generator."""

    def __init__(self, number):
        self.number = number

    def __iter__(self):
        return self

    def __next__(self):
        if not self.number:
            raise StopIteration
        self.number -= 1
        return self.number


class Thing:
    """An object that is held by reference."""

    exposed_kind = "thing"
    hidden = "no"

    def __init__(self, level=1):
        self.exposed_level = level

    def exposed_raise_level(self, by=1):
        self.exposed_level += by
        return self.exposed_level

    @property
    def exposed_twice(self):
        return 2 * self.exposed_level

    def __repr__(self):
        return f"<Thing at level {self.exposed_level}>"

    def __str__(self):
        return f"thing {self.exposed_level}"

    def __eq__(self, other):
        return self.exposed_level == other.exposed_level

    def __lt__(self, other):
        return self.exposed_level < other.exposed_level

    def __le__(self, other):
        return self.exposed_level <= other.exposed_level

    def __hash__(self):
        return 7000 + self.exposed_level

    def __len__(self):
        return self.exposed_level

    def __bool__(self):
        return self.exposed_level > 0

    def __contains__(self, item):
        return item == self.exposed_level

    def __getitem__(self, key):
        return f"item {key!r}"

    def __add__(self, other):
        return self.exposed_level + other

    def __radd__(self, other):
        return other + self.exposed_level

    def __neg__(self):
        return -self.exposed_level

    def __call__(self, *args, **kwargs):
        return f"called {args} {sorted(kwargs.items())}"


class Special(Thing):
    """A subclass."""


class Guard:
    """A context manager that remembers how it was left."""

    exposed_entered = 0
    exposed_left = "never"

    def __enter__(self):
        self.exposed_entered += 1
        return self

    def __exit__(self, kind, value, traceback):
        name = kind if isinstance(kind, str) else getattr(kind, "__name__", None)
        self.exposed_left = str(name).rpartition(".")[2]
        return False


def make_monitor(rpyc):
    """Make the tutorial's file monitor."""

    class FileMonitor:
        def __init__(self, filename, callback, interval=1):
            self.filename = filename
            self.interval = interval
            self.last_stat = None
            self.looked = 0
            self.callback = rpyc.async_(callback)
            self.active = True
            self.thread = threading.Thread(target=self.work)
            self.thread.start()

        def exposed_looks(self):
            return self.looked

        def exposed_stop(self):
            self.active = False
            self.thread.join()

        def work(self):
            while self.active:
                stat = Path(self.filename).stat()
                if self.last_stat is not None and self.last_stat != stat:
                    self.callback(self.last_stat, stat)
                self.last_stat = stat
                self.looked += 1
                time.sleep(self.interval)  # what the service does

    return FileMonitor


def make_service(rpyc):
    """Make the service class; its base is all that differs."""
    shared = threading.Lock()
    gone: list[str] = []
    meetings: dict[str, threading.Barrier] = {}

    class Matrix(rpyc.Service):
        exposed_title = "matrix"
        hidden = "no"
        exposed_Thing = Thing
        exposed_Special = Special
        exposed_Guard = Guard
        exposed_FileMonitor = make_monitor(rpyc)

        def on_connect(self, conn):
            self.conn = conn
            self.label = None
            self.kept = {}

        def on_disconnect(self, conn):
            if self.label:
                gone.append(self.label)

        # ---- calls and values

        def exposed_add(self, a, b=10, *rest, times=1):
            return (a + b + sum(rest)) * times

        def exposed_echo(self, value):
            return value

        def exposed_kind_of(self, value):
            return type(value).__name__

        def exposed_total(self, numbers):
            return sum(numbers)

        def exposed_item(self, container, key):
            return container[key]

        def exposed_read(self, obj, name):
            return getattr(obj, name)

        def exposed_slow(self, seconds):
            time.sleep(seconds)  # what the service does
            return seconds

        def exposed_digest(self, value):
            return digest(value)

        def exposed_blob(self, kind):
            return blob(kind)

        def exposed_fail(self, kind):
            return fail(kind)

        def hidden_method(self, argument):
            return "no"

        # ---- objects

        def exposed_thing(self, level=1):
            return Thing(level)

        def exposed_special(self):
            return Special(5)

        def exposed_same(self, a, b):
            return a is b

        def exposed_hash_of(self, thing):
            return hash(thing)

        def exposed_level_of(self, thing):
            return thing.exposed_level

        def exposed_keep(self, name, value):
            self.kept[name] = value

        def exposed_kept(self, name):
            return self.kept[name]

        def exposed_guard(self):
            return Guard()

        # ---- iteration

        def exposed_numbers(self, count):
            return list(range(count))

        def exposed_lists(self, count):
            return [[0] * length for length in range(count)]

        def exposed_generate(self, count):
            yield from range(count)

        def exposed_table(self, count):
            return {f"key {number}": number for number in range(count)}

        def exposed_countdown(self, count):
            return Countdown(count)

        def exposed_break_after(self, count):
            yield from range(count)
            raise ValueError("the source broke")

        # ---- callbacks and events

        def exposed_call(self, function, *args, **kwargs):
            return function(*args, **kwargs)

        def exposed_each(self, function, count):
            return tuple(function(number) for number in range(count))

        def exposed_nest(self, function, depth):
            return f"{depth} " + (function(depth - 1) if depth else "bottom")

        def exposed_catch(self, function):
            try:
                function()
            except ValueError as exc:
                return ("caught", exc.args)
            return "nothing was raised"

        def exposed_call_from_thread(self, function, value):
            def run():
                self.kept["from thread"] = function(value)

            threading.Thread(target=run, daemon=True).start()

        def exposed_emit(self, function, count):
            send = rpyc.async_(function)

            def run():
                for number in range(count):
                    send(number)

            threading.Thread(target=run, daemon=True).start()

        # ---- connections

        def exposed_label(self, label):
            self.label = label

        def exposed_gone(self):
            return tuple(gone)

        def exposed_hang_up(self):
            threading.Thread(target=self.conn.close, daemon=True).start()

        def exposed_meet(self, name, count):
            with shared:
                barrier = meetings.setdefault(name, threading.Barrier(count))
            return barrier.wait(10) >= 0

    return Matrix
