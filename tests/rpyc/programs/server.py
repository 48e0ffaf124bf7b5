"""Serves the service, or a classic one: ``server.py IMPLEMENTATION VERSION KIND [--no-rpyc]``.

The kinds are ``service``, ``classic``, and ``classic-both-ways``, whose server talks first.
The port is printed on one line.
"""

from __future__ import annotations

import faulthandler
import signal
import sys
import threading
import time

import implementation
import service


def serve_stock(rpyc, kind):
    """Serve with RPyC, as its documentation does."""
    from rpyc.utils.server import ThreadedServer

    served = {
        "service": lambda: service.make_service(rpyc),
        "classic": lambda: rpyc.SlaveService,
        "classic-both-ways": lambda: rpyc.ClassicService,
    }[kind]()
    config = service.CONFIG if kind == "service" else {}
    server = ThreadedServer(served, hostname="127.0.0.1", port=0, protocol_config=config)
    thread = threading.Thread(target=server.start)
    thread.start()
    while not server.active and thread.is_alive():
        time.sleep(0.001)  # RPyC says nothing when it listens
    return server.port, thread.join


def serve_ours(nbrpc, kind, *, rpyc):
    """Serve with nbrpc, in the same words."""
    options = {"rpyc": True} if rpyc else {}
    if kind == "service":
        served = service.make_service(nbrpc)
        server = nbrpc.ThreadedServer(served, port=0, protocol_config=service.CONFIG, **options)
    else:
        server = nbrpc.ThreadedServer(nbrpc.ClassicService, port=0, **options)
    return server.port, server.start


if __name__ == "__main__":
    faulthandler.register(signal.SIGUSR1)
    name, version, kind = sys.argv[1:4]
    module = implementation.load(name, version)
    if name == "stock":
        port, run = serve_stock(module, kind)
    else:
        port, run = serve_ours(module, kind, rpyc="--no-rpyc" not in sys.argv)
    print(port, flush=True)
    run()
