"""A registry, or a client of one: ``serve UDP|TCP``, ``ask UDP|TCP PORT``."""

import sys

from rpyc.utils import registry


def serve(kind):
    """Serve on a free port, and print it."""
    cls = getattr(registry, f"{kind}RegistryServer")
    server = cls(host="127.0.0.1", port=0, pruning_timeout=30, allow_listing=True)
    print(server.port)
    sys.stdout.flush()
    server.start()


def ask(kind, port):
    """Ask for all that can be asked, and print the answers."""
    client = getattr(registry, f"{kind}RegistryClient")("127.0.0.1", port=port)
    print(client.register(("Stage", "MOTION"), 5001), client.register(("stage",), 5002))
    print(client.discover("stage"), client.discover("MOTION"), client.discover("nothing"))
    print(sorted(client.list()), sorted(client.list("127.0.0.1")), client.list("127.0.0.9"))
    client.unregister(5001)
    client.unregister(5001)
    # Nobody confirms that; what is registered now comes after it.
    print(client.register(("last",), 5003))
    print(client.discover("stage"), client.discover("MOTION"), sorted(client.list()))


if __name__ == "__main__":
    if sys.argv[1] == "serve":
        serve(sys.argv[2])
    else:
        ask(sys.argv[2], int(sys.argv[3]))
