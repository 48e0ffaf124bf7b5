"""Steps: small things that a client does, each with the outcome that it had."""

from __future__ import annotations

import json
import time

GROUPS = {}
"""Groups of steps by name; each is a function of `Steps`."""

PATIENCE = 10.0
"""Seconds that a step waits for what must come."""


def group(kind):
    """Register a group of steps for that kind of server."""

    def register(function):
        GROUPS[function.__name__] = (kind, function)
        return function

    return register


class Steps:
    """One run of a group, on connections of its own."""

    def __init__(self, api, host, port, kind, url=None):
        self.api = api
        self.host = host
        self.port = port
        self.kind = kind
        self.url = url
        self.outcomes = {}
        self._connections = []

    def connect(self, **options):
        """Connect as the documentation does."""
        where = (self.url,) if self.url else (self.host, self.port)
        classic = self.kind != "service"
        connect = self.api.classic.connect if classic else self.api.connect
        conn = connect(*where, **options)
        self._connections.append(conn)
        return conn

    def disconnect(self):
        """Close what was opened."""
        for conn in self._connections:
            conn.close()

    def __call__(self, name, function, *args, **kwargs):
        """Do one step, and note what came of it; a failed one gives None."""
        value = None
        try:
            value = function(*args, **kwargs)
            outcome = {"value": value}
            json.dumps(outcome)
        except TypeError as exc:
            no_json = value is not None and "JSON" in str(exc)
            outcome = {"value": repr(value)} if no_json else describe(exc)
        except Exception as exc:  # an outcome to compare
            outcome = describe(exc)
        self.outcomes[name] = outcome
        return value


def describe(exc):
    """Tell an exception in words that both implementations have."""
    # Which peer it comes from, RPyC tells in the name of the class, and nbrpc in an attribute.
    name = getattr(exc, "type_name", None) or type(exc).__name__
    traceback = getattr(exc, "_remote_tb", None) or getattr(exc, "remote_traceback", None)
    return {
        "raised": [cls.__name__ for cls in type(exc).__mro__ if cls.__module__ == "builtins"],
        "name": name,
        "args": [repr(arg) for arg in exc.args],
        "text": str(exc).partition("\n")[0],
        "traceback": "".join(traceback) if traceback else "",
    }


def until(condition, conn=None):
    """Wait for a condition, and serve the connection meanwhile."""
    deadline = time.monotonic() + PATIENCE
    while not condition():
        if time.monotonic() > deadline:
            raise AssertionError(f"not within {PATIENCE:g} s")
        if conn is None:
            time.sleep(0.002)  # until it is so
        else:
            conn.serve(0.05)
    return True
