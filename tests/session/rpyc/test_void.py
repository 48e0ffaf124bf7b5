"""What a connecting side that serves nothing, or something, shows to an RPyC server."""

from __future__ import annotations

import nbrpc


class Mine(nbrpc.VoidService):
    """Derives from the service that exposes nothing, and exposes something."""

    def exposed_name(self):
        return "mine"


class Asking(nbrpc.Service):
    """Asks its client."""

    def on_connect(self, conn):
        self.conn = conn

    def exposed_ask(self):
        return self.conn.root.name()


def test_a_class_that_derives_from_void_is_served():
    """Only the very class `VoidService` is replaced by a root that classic servers put up with."""
    server = nbrpc.ThreadedServer(Asking, port=0, rpyc=True)
    try:
        for dialect in ("rpyc5", "rpyc6"):
            url = f"{dialect}://127.0.0.1:{server.port}"
            with nbrpc.connect(url, service=Mine) as conn:
                assert conn.root.ask() == "mine"
    finally:
        server.close()
