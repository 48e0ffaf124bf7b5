"""Loading, reloading and unloading: whatever was put into the kernel is taken back."""

from __future__ import annotations

import ast

import pytest

from tests.notebook.kernels import Kernel
from tests.support import eventually

pytestmark = pytest.mark.kernel

LOOK = '''
USERS = {"modules", "user_ns_hidden", "_", "__", "___"}

def look():
    """Everything that an extension could have left in this process, by where it is."""
    import collections, os, signal, sys, threading, types
    ip = get_ipython()
    found = {}

    def ours(value):
        value = value.__func__ if type(value) is types.MethodType else value
        named = value if isinstance(value, (type, types.FunctionType)) else type(value)
        return str(named.__module__).startswith("nbrpc")

    def search(where, value, depth=0):
        if ours(value):
            found[where] = repr(value)
        elif value is ip.user_ns or value is ip.user_ns["Out"]:
            return  # what the user holds
        elif depth < 3 and isinstance(value, dict):
            for key, item in list(value.items()):
                search(f"{where}[{key!r}]", item, depth + 1)
                search(f"{where} key", key, 3)
        elif depth < 3 and isinstance(value, (list, tuple, set, collections.deque)):
            for item in list(value):
                search(f"{where}[]", item, depth + 1)

    formatters = [*ip.display_formatter.formatters.values(),
        ip.display_formatter.ipython_display_formatter, ip.display_formatter.mimebundle_formatter]
    for name, obj in {
        "shell": ip, "completer": ip.Completer, "inspector": ip.inspector, "kernel": ip.kernel,
        "events": ip.events, "magics": ip.magics_manager,
        "transforms": ip.input_transformer_manager,
        "displays": ip.display_formatter, "publisher": ip.display_pub, "hook": ip.displayhook,
        **{f"formatter {one.format_type}": one for one in formatters},
        "loop": ip.kernel.io_loop, "stdout": sys.stdout, "sys": sys,
    }.items():
        for attribute, value in list(vars(obj).items()):
            if attribute not in USERS and attribute != "_trait_values":
                search(f"{name}.{attribute}", value)
        for attribute, value in getattr(obj, "_trait_values", {}).items():
            if attribute not in USERS:
                search(f"{name}.{attribute}", value)
    # What the classes of the package are made to do in a notebook.
    from nbrpc import errors
    from nbrpc.objects.refs import Exports
    from nbrpc.session import dispatch, interrupts, subscriptions
    from nbrpc.session.result import AsyncResult
    from nbrpc.widgets import live
    patched = {
        "traceback": hasattr(errors.NbrpcError, "_render_traceback_"),
        "dispatcher": dispatch.default is not dispatch.Queue,
        "contexts": Exports.remembers_context,
        "runs": subscriptions.current_run is not None,
        "errors": subscriptions.error_shower is not None,
        "cells": live.current_cell is not None,
        "interruption": interrupts.interruption is not KeyboardInterrupt,
        "announced": getattr(AsyncResult, "announce", None) is not None,
        "subscriptions": bool(subscriptions.live()),
    }
    wakeup = signal.set_wakeup_fd(-1)
    signal.set_wakeup_fd(wakeup)
    descriptors = []
    for name in os.listdir("/proc/self/fd"):
        try:
            descriptors.append(os.readlink(f"/proc/self/fd/{name}").partition(":")[0])
        except OSError:
            pass  # that of this listing
    threads = [thread.name for thread in threading.enumerate()]
    return {
        "hooks": found,
        "patched": sorted(name for name, yes in patched.items() if yes),
        "lengths": [len(ip.input_transformer_manager.cleanup_transforms),
            len(ip.input_transformer_manager.line_transforms), len(ip.configurables),
            len(ip.Completer.custom_matchers), len(ip.magics_manager.registry),
            len(ip.magics_manager.magics["line"]), len(ip.magics_manager.magics["cell"])],
        "exceptions": repr(ip.custom_exceptions),
        "signals": [repr(signal.getsignal(signal.SIGINT)), wakeup],
        "threads": sorted(
            name for name in threads if not name.startswith(("nbrpc-worker", "nbrpc-monitor"))
        ),
        "workers": sum(name.startswith("nbrpc-worker") for name in threads),
        "descriptors": sorted(descriptors),
    }
'''

USE = [
    "%rpc_connect bench\ndev = conn.root\ndev.voltage = 1.0",
    "%%remote\nprint('there')",
    "sub = dev.reading.subscribe(lambda when, value: None)",
    "%%rpc_on dev.alarm\nprint(event)",
    "job = nbrpc.async_(dev.scan)(1000); job",
    "class Stage: pass\nstage = Stage()\n%rpc_serve stage --name stage-of-unloading",
    "%rpc_connect stage-of-unloading --name back\nback.root",
    "%rpc_events",
    "%whos",
    "%config RpcMagics",
]


@pytest.fixture(scope="module")
def fresh(tmp_path_factory, module_runtime_dir, bench):
    """A kernel of its own, in which nothing was loaded."""
    kernel = Kernel(
        tmp_path_factory.mktemp("fresh"), {"NBRPC_RUNTIME_DIR": str(module_runtime_dir)}
    )
    yield kernel
    kernel.stop()


def look(kernel):
    """Give what is in the kernel's process now."""
    return ast.literal_eval(kernel.ok("look()").value)


def use(kernel):
    """Use what the extension offers."""
    for source in USE:
        kernel.ok(source)
    kernel.client.complete("dev.", 4, reply=True, timeout=30)
    kernel.client.inspect("dev.scan", 8, reply=True, timeout=30)


ROUNDS = 10


def test_nothing_is_left(fresh):
    """After ten reloads and an unload there is no hook, handler, thread or descriptor more."""
    fresh.ok("import nbrpc, nbrpc.widgets.live, matplotlib\n%matplotlib inline\n%whos\n%config")
    fresh.ok(LOOK)
    before = look(fresh)
    assert before["hooks"] == {}
    assert before["patched"] == []
    fresh.ok("%load_ext nbrpc")
    use(fresh)
    assert look(fresh)["hooks"] != {}
    fresh.ok("%unload_ext nbrpc")
    names = ("hooks", "patched", "lengths", "exceptions", "signals")
    once = look(fresh)
    assert {name: once[name] for name in names} == {name: before[name] for name in names}
    fresh.ok("%load_ext nbrpc")
    for _ in range(ROUNDS):
        use(fresh)
        fresh.ok("%reload_ext nbrpc")
    assert fresh.ok("conn.closed, sub.closed, back.closed").value == "(True, True, True)"
    fresh.ok("%unload_ext nbrpc")
    last = look(fresh)
    assert {name: last[name] for name in names} == {name: before[name] for name in names}

    def is_clean():
        now = look(fresh)
        # The workers of the process stay for a while, but there are not more of them each time.
        kinds = ("socket", "pipe", "anon_inode")
        growth = {
            kind: now["descriptors"].count(kind) - once["descriptors"].count(kind) for kind in kinds
        }
        return (
            now["threads"] == before["threads"]
            and max(growth.values()) < ROUNDS // 2
            and now["workers"] < once["workers"] + ROUNDS // 2
        )

    eventually(is_clean, 20)


def test_loading_within_a_cell(fresh):
    """What comes next in the same cell works; unloading twice, or too early, does nothing."""
    fresh.ok("%unload_ext nbrpc")
    fresh.ok("%load_ext nbrpc\n%rpc_connect bench\n%reload_ext nbrpc\n%rpc_connect bench")
    assert fresh.ok("%remote 1 + 1").value == "2"
    fresh.ok("%unload_ext nbrpc\n%unload_ext nbrpc")
    assert "not found" in fresh.run("%rpc_connect bench").text("stderr")
    fresh.ok("%load_ext nbrpc")
    fresh.ok("%rpc_connect bench")
