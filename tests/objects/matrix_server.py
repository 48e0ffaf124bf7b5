"""The process that the cells of the matrix are tried on, under every setting.

It prints its ports as JSON. With ``stock`` as an argument it serves the same objects by RPyC as its
authors published it. An audit hook notes code that runs, is compiled or imported, files that are
opened and programs that are started; `Control` arms it and gives what it noted.
"""

from __future__ import annotations

import json
import pkgutil
import sys
import threading
from importlib import import_module

import nbrpc
from nbrpc.objects.draft import ByReference
from tests.objects.specimens import SPECIMENS

TOKEN = "matrix" * 8

WATCHED = (
    "exec", "compile", "import", "open", "subprocess.", "os.", "shutil.", "socket.connect",
    "ctypes.dlopen", "pickle.", "marshal.", "code.__new__",
)  # fmt: skip
"""How the audit events begin that no cell may cause; those of the system's ``os`` that matter (to
list, to remove, to start) are among them."""

CONFIGURATIONS = {
    "service": {},
    "public": {"allow_public_attrs": True},
    "writable": {
        "allow_public_attrs": True, "allow_setattr": True, "allow_delattr": True,
    },
    "bare": {"allow_safe_attrs": False},
    "object": {},
    "code": {},
}  # fmt: skip

noted: list[str] = []
armed = threading.Event()


def only_shows(event, arguments):
    """Whether this is what it takes to show a source, a traceback or a signature."""
    caller = sys._getframe(2).f_code
    if event == "open" and type(arguments[0]) is int:
        return True  # what was open before gets another face
    if event == "open" and set(arguments[1] or "r") <= set("rbt"):
        known = {getattr(module, "__file__", None) for module in list(sys.modules.values())}
        if arguments[0] in known:
            return True
    if caller.co_filename.endswith("ast.py"):
        # To parse is not to run: `inspect` finds a class so, and a traceback its carets.
        return event in {"compile", "open"}
    # A default value in what C says of itself, such as sys.maxsize.
    return caller.co_filename.endswith("inspect.py") and caller.co_name == "wrap_value"


def listen(event, arguments):
    """Note what no cell may cause."""
    if armed.is_set() and event.startswith(WATCHED) and not only_shows(event, arguments):
        noted.append(f"{event} {arguments!r:.200}")


class Lender:
    """Hands over a new object of a kind."""

    def exposed_specimen(self, key):
        return ByReference(SPECIMENS[key].make())  # a coroutine would be run

    specimen = exposed_specimen


class LenderService(Lender, nbrpc.Service):
    """The same as a service."""


class Control(nbrpc.Service):
    """Tells what the audit hook saw."""

    def exposed_arm(self):
        armed.set()

    def exposed_noted(self):
        armed.clear()
        return nbrpc.by_value(noted[:50])

    def exposed_provoke(self, code):
        exec(code)  # so that the hook is seen to see


def load_everything():
    """Import what nbrpc imports when it is first needed: that is not a cell's doing."""
    for package in ("objects", "protocol", "session", "server", "transports"):
        found = import_module(f"nbrpc.{package}")
        for module in pkgutil.walk_packages(found.__path__, f"{found.__name__}."):
            import_module(module.name)
    import ast  # noqa: F401 - likewise
    import difflib  # noqa: F401 - likewise


def serve_stock():
    """Serve by RPyC itself: its default, and with public names; give the ports."""
    import rpyc
    from rpyc.utils.server import ThreadedServer

    class Stock(rpyc.Service):
        def exposed_specimen(self, key):
            return SPECIMENS[key].make()

    ports = {}
    for name in ("service", "public"):
        config = CONFIGURATIONS[name]
        server = ThreadedServer(Stock, "127.0.0.1", port=0, protocol_config=config)
        threading.Thread(target=server.start, daemon=True).start()
        ports[name] = server.port
    return ports


def serve_all():
    """Serve under every setting; give the ports."""
    ports = {}
    for name, config in CONFIGURATIONS.items():
        served = Lender() if name == "object" else LenderService
        server = nbrpc.serve(served, token=TOKEN, rpyc=True, config=config,
                             allow_code=name == "code")  # fmt: skip
        ports[name] = server.port
    ports["control"] = nbrpc.serve(Control, token=TOKEN).port
    load_everything()
    sys.addaudithook(listen)
    return ports


def main():
    """Serve until standard input ends."""
    ports = serve_stock() if "stock" in sys.argv else serve_all()
    print(json.dumps(ports), flush=True)
    sys.stdin.read()


if __name__ == "__main__":
    main()
