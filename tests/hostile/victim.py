"""Servers to be attacked, in a process of their own: ``python -m tests.hostile.victim nbrpc|rpyc``.

It prints one line of JSON, the ports and the token, and then answers one line of JSON to each
command that it reads. With ``rpyc`` it is stock RPyC that serves the same objects: the control.
"""

from __future__ import annotations

import contextlib
import copy
import gc
import json
import os
import sys
import threading
import weakref

from tests.hostile import watching

MARKS: list[str] = []
"""What was called that nobody may call."""

THINGS: weakref.WeakSet[object] = weakref.WeakSet()

SECRET = "s3cret-of-the-victim"


class Thing:
    """What clients hold by reference."""

    def __init__(self) -> None:
        self.filling = [0] * 100
        THINGS.add(self)


class Manager:
    def __enter__(self):
        return self

    def __exit__(self, kind, error, traceback):
        MARKS.append("left")


class Admin:
    """A class that decides about rights."""


class Target:
    """What both kinds of servers serve; all that is not exposed leaves a mark."""

    secret = SECRET

    def hidden(self, *arguments):
        """Leave a mark."""
        MARKS.append(f"hidden{arguments}")
        return SECRET

    def __repr__(self):
        return f"<{SECRET}>"

    def exposed_echo(self, x):
        return x

    def exposed_thing(self):
        return Thing()

    def exposed_list(self):
        return [1, 2, 3]

    def exposed_manager(self):
        return Manager()

    def exposed_blob(self):
        return b"x" * 1_000_000

    def exposed_generator(self):
        yield 1

    def exposed_endless(self):
        while True:
            yield 0

    def exposed_call(self, function, *arguments):
        return function(*arguments)

    def exposed_guarded(self, function):
        """Whatever the client's function raises, this service goes on."""
        try:
            function()
        except Exception:  # what a careful service does
            return "handled"
        except BaseException as error:  # an attack got past that
            MARKS.append(f"unguarded {type(error).__name__}")
            return "not handled"

    def exposed_looped(self, functions):
        """Call all; a function cannot end the loop."""
        return [function() for function in functions]

    def exposed_copied(self, x):
        return copy.copy(x) is None

    def exposed_deeply(self, x):
        return copy.deepcopy({"x": x}) is None

    def exposed_as_array(self, x):
        import numpy

        return str(numpy.array(x).dtype)

    def exposed_told(self, x):
        import json as library

        return f"{x}{x!s}{library.dumps(x, default=str)}"[:20]

    def exposed_used(self, x):
        """Do with a value what programs do."""
        for use in (repr, hash, len, bool, list, lambda item: item == copy.deepcopy(item)):
            with contextlib.suppress(Exception):
                use(x)

    def exposed_sorted(self, xs):
        return len(sorted(xs))

    def exposed_path(self, x):
        return os.fspath(x)

    def exposed_as_buffer(self, x):
        return len(memoryview(x))

    def exposed_is_admin(self, x):
        return isinstance(x, Admin)

    def exposed_is_int(self, x):
        return isinstance(x, int)

    def exposed_is_str(self, x):
        return isinstance(x, (str, dict, list, tuple, bytes))

    def exposed_length(self, x):
        return len(x)

    def exposed_listed(self, x):
        return len(list(x))


async def _sleeper():
    """Wait for ever; its frame is what an attacker walks."""


class Public(Target):
    """What is served with ``allow_public_attrs``; public, and none of the client's business."""

    def __init__(self) -> None:
        super().__init__()
        self.module = os
        self.frame = sys._getframe()
        self.code = Target.exposed_echo.__code__
        self.coroutine = _sleeper()
        self.walk = self.exposed_generator()
        self.function = Target.hidden
        try:
            raise ValueError
        except ValueError as error:
            self.trace = error.__traceback__


def module_looked_at(name: str) -> object:
    """Stand for the ``__getattr__`` of a module, which peers have no business to run."""
    MARKS.append(f"looked up {name}")
    raise AttributeError(name)


def state(servers: dict[str, object]) -> dict[str, object]:
    """Say how this process is."""
    gc.collect()
    return {
        "threads": threading.active_count(),
        "things": len(THINGS),
        "marks": list(MARKS),
        "events": list(watching.EVENTS),
        **counts(servers),
    }


def counts(servers: dict[str, object]) -> dict[str, object]:
    """Say what the servers hold; RPyC does not tell."""
    told = {
        "connections": 0,
        "exported": 0,
        "pending": 0,
        "handshakes": 0,
        "requests": 0,
        "let_in": 0,
    }
    for server in servers.values():
        if hasattr(server, "statistics"):
            told["handshakes"] += len(server._handshakes)
            told["let_in"] += server.let_in
            for connection in list(server.connections):
                session = connection.session
                told["connections"] += 1
                told["exported"] += len(session.boxing.exports.entries)
                told["pending"] += len(session.pending)
        else:
            told["connections"] += len(server.clients)
    told["requests"] = REQUESTS[0]
    return told


REQUESTS = [0]
"""Requests that were begun, on whatever connection."""

MODES = {
    "open": {},
    "public": {"allow_public_attrs": True},
    "strict": {"allow_safe_attrs": False},
}


def serve_ours() -> tuple[dict[str, object], dict[str, object]]:
    """Serve with nbrpc, native and RPyC's protocol on the same ports."""
    import nbrpc
    from nbrpc.session.receiving import Receiving

    begin = Receiving.new_job

    def counted(session, request):
        REQUESTS[0] += 1
        return begin(session, request)

    Receiving.new_job = counted

    class Service(Target, nbrpc.Service):
        told = nbrpc.event()
        _secret_event = nbrpc.event()

    class PublicService(Public, nbrpc.Service):
        pass

    limits = nbrpc.Limits(
        exported=1_000, requests=2_000, connections=64, unauthenticated=64, queued_bytes=8_000_000
    )
    timing = nbrpc.Timing(handshake=2.0, heartbeat=0.5, silent_after=5.0)
    servers = {}
    for mode, config in MODES.items():
        served = PublicService() if mode == "public" else Service()
        server = nbrpc.serve(
            served, rpyc=True, config=config, limits=limits, timing=timing, token="t" * 32
        )
        servers[mode] = count_let_in(server)
    roomy = nbrpc.Limits(unauthenticated=600)
    servers["roomy"] = count_let_in(nbrpc.serve(Service(), limits=roomy, token="t" * 32))
    identities = [
        id(item) for server in servers.values() for item in (server.service, type(server.service))
    ]
    told = {mode: [server.host, server.port] for mode, server in servers.items()}
    return servers, {"ports": told, "ids": identities}


def count_let_in(server):
    """Count the clients that get past the handshake in nbrpc's own protocol."""
    let_in = server.authenticated
    server.let_in = 0

    def counted(handshake, about, rest):
        server.let_in += handshake._rpyc is None
        return let_in(handshake, about, rest)

    server.authenticated = counted
    return server


def serve_rpyc() -> tuple[dict[str, object], dict[str, object]]:
    """Serve with stock RPyC, as it is by default but for the address, which would be any."""
    import logging

    import rpyc
    from rpyc.utils.server import ThreadedServer, ThreadPoolServer

    logging.disable()

    class Service(Target, rpyc.Service):
        pass

    class PublicService(Public, rpyc.Service):
        pass

    servers = {}
    for mode, config in MODES.items():
        served = PublicService() if mode == "public" else Service()
        servers[mode] = ThreadedServer(served, hostname="127.0.0.1", port=0, protocol_config=config)
    servers["pool"] = ThreadPoolServer(Service(), hostname="127.0.0.1", port=0, nbThreads=20)
    for server in servers.values():
        threading.Thread(target=server.start, daemon=True).start()
    served = [servers["open"].service]
    identities = [id(item) for item in (*served, *map(type, served))]
    told = {mode: [server.host, server.port] for mode, server in servers.items()}
    return servers, {"ports": told, "ids": identities}


def main() -> None:
    """Serve until standard input ends."""
    import pandas  # noqa: F401 - loaded beforehand, since loading it is seen
    import PIL.Image  # noqa: F401 - the same
    import scipy.sparse  # noqa: F401 - the same

    watching.watch()
    sys.modules[watching.CANARY] = type(sys)(watching.CANARY)
    sys.modules[watching.CANARY].__getattr__ = module_looked_at
    servers, told = serve_ours() if sys.argv[1] == "nbrpc" else serve_rpyc()
    print(json.dumps({**told, "token": "t" * 32, "pid": os.getpid()}), flush=True)
    for _ in sys.stdin:
        print(json.dumps(state(servers)), flush=True)
    os._exit(0)


if __name__ == "__main__":
    main()
