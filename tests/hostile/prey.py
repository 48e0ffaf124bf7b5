"""A client that is attacked, in a process of its own: ``python -m tests.hostile.prey nbrpc|rpyc``.

It reads lines of JSON, each with the port of a server and the name of what a user does with its
root, does that, and prints one line about how it went. With ``rpyc`` it is stock RPyC's client.
"""

from __future__ import annotations

import asyncio
import contextlib
import copy
import io
import json
import logging
import os
import pickle
import resource
import sys
import time
import traceback
from collections.abc import Callable
from pathlib import Path
from typing import Any

from IPython.core.interactiveshell import InteractiveShell

from tests.hostile import watching

STOCK = sys.argv[1:] == ["rpyc"]
PATIENCE = 3.0
LONGEST_CALL = 1.5
"""Seconds for which the user waits for a connection, and for a call."""


def shell() -> Any:
    """Give the shell of a notebook user, who has the extension."""
    found = InteractiveShell.instance()
    if not STOCK and "nbrpc" not in found.extension_manager.loaded:
        found.extension_manager.load_extension("nbrpc")
    return found


def displayed(root: Any) -> str:
    """Show it as the result of a cell; give all that a page would be given."""
    bundle, _ = shell().display_formatter.format(root)
    return as_text(bundle)


def as_text(bundle: dict[str, Any]) -> str:
    """Give all that is in a bundle."""
    return "\n".join(f"{kind}\n{content}" for kind, content in bundle.items())


def printed_error(root: Any) -> str:
    """Let IPython show the error of a call."""
    output = io.StringIO()
    with contextlib.redirect_stdout(output):
        try:
            root.fail()
        except Exception:  # shown as IPython shows any
            shell().showtraceback()
    return output.getvalue()


def completed(root: Any) -> str:
    """Press Tab behind its name."""
    shell().user_ns["thing"] = root
    _, matches = shell().complete("thing.")
    return "\n".join(matches)


def completed_keys(root: Any) -> str:
    """Press Tab within its brackets."""
    shell().user_ns["thing"] = root
    _, matches = shell().complete("thing['")
    return "\n".join(matches)


def inspected(root: Any) -> str:
    """Ask with a question mark."""
    shell().user_ns["thing"] = root
    return as_text(shell().object_inspect_mime("thing", detail_level=1))


def listed_variables(root: Any) -> str:
    """List the variables of the notebook."""
    shell().user_ns["thing"] = root
    output = io.StringIO()
    with contextlib.redirect_stdout(output):
        shell().run_line_magic("whos", "")
    return output.getvalue()


def taken_slowly(root: Any) -> str:
    """Take the first item, and think about it."""
    for _ in root:
        time.sleep(0.7)  # what the user does meanwhile
        break
    return ""


def called_back(root: Any) -> str:
    """Hand over a function, and stop what becomes of it."""
    count = [0]

    def function(*_: object) -> None:
        count[0] += 1

    root.keep(function)
    deadline = time.monotonic() + 1.0
    while time.monotonic() < deadline:
        time.sleep(0.01)  # an honest pace of the user's own work
    return f"called {count[0]:,} times"


def handed_over(root: Any) -> str:
    """Hand over much that a server might walk."""

    class Mine:
        secret = "s3cret-of-the-prey"

        def method(self) -> str:
            """Tell nobody."""
            return self.secret

    mine = Mine()
    root.keep([1, 2], {"a": 1}, mine, mine.method, lambda: mine, (n for n in [1]))
    time.sleep(0.2)  # the server asks meanwhile
    return ""


async def awaited(root: Any) -> Any:
    """Await it."""
    return await root


def entered(root: Any) -> None:
    """Use it as a context manager."""
    with root:
        pass


def pandas_series(root: Any) -> Any:
    """Make a series of it."""
    import pandas

    return pandas.Series(root)


def pandas_table(root: Any) -> Any:
    """Make a table of it."""
    import pandas

    return pandas.DataFrame(root)


def numpy_array(root: Any) -> Any:
    """Make an array of it."""
    import numpy

    return numpy.array(root)


def logged(root: Any) -> str:
    """Log it."""
    output = io.StringIO()
    handler = logging.StreamHandler(output)
    logger = logging.getLogger("prey")
    logger.addHandler(handler)
    try:
        logger.warning("got %s and %r", root, root)
    finally:
        logger.removeHandler(handler)
    return output.getvalue()


def errors_text(root: Any) -> str:
    """Give all that Python says of an error."""
    try:
        root.fail()
    except Exception as error:  # its text is what is looked at
        return "".join(traceback.format_exception(error)) + str(error) + repr(error)
    return ""


def looped(root: Any) -> str:
    """Call in a loop that a call is not to end."""
    done = [root.fail_or_not(number) for number in (1,)]
    return f"{len(done)}"


def used(root: Any) -> str:
    """Get a value, and do with it what programs and notebooks do; give all that was shown."""
    value = root.something
    for use in (hash, len, bool, list, lambda item: item == copy.deepcopy(item), json.dumps):
        with contextlib.suppress(Exception):
            use(value)
    return repr(value) + displayed(value)


ACTIONS: dict[str, Callable[[Any], Any]] = {
    "use": used,
    "repr": repr,
    "str": str,
    "format": lambda root: f"{root} {root!r} {root:>10}",
    "hash": hash,
    "len": len,
    "bool": bool,
    "int": int,
    "float": float,
    "index": lambda root: [1, 2][root],
    "list": list,
    "tuple of a few": lambda root: [item for item, _ in zip(root, range(3), strict=False)],
    "in": lambda root: 5 in root,
    "equal": lambda root: (root == 5, {root: 1}.get(root), root in (root, 5)),
    "sorted": lambda root: sorted([root, root]),
    "copy": copy.copy,
    "deepcopy": lambda root: copy.deepcopy({"key": [root]}),
    "pickle": pickle.dumps,
    "json": json.dumps,
    "array": numpy_array,
    "series": pandas_series,
    "table": pandas_table,
    "path": os.fspath,
    "open": open,
    "memoryview": memoryview,
    "bytes": bytes,
    "log": logged,
    "join": lambda root: "".join((root, str(1))),
    "dir": lambda root: "\n".join(dir(root)),
    "isinstance": lambda root: [isinstance(root, kind) for kind in (int, str, dict, Exception)],
    "with": entered,
    "await": lambda root: asyncio.run(awaited(root)),
    "next": next,
    "attribute": lambda root: root.something,
    "call": lambda root: root.fail(),
    "error": errors_text,
    "loop": looped,
    "display": displayed,
    "traceback": printed_error,
    "tab": completed,
    "tab in brackets": completed_keys,
    "question mark": inspected,
    "whos": listed_variables,
    "slow loop": taken_slowly,
    "callback": called_back,
    "hand over": handed_over,
    "wait": lambda root: time.sleep(0.5),  # lets the server act unasked
    "documentation": lambda root: str(root.__doc__) + str(root.fail.__doc__),
}
"""What a user does with a remote object."""


@contextlib.contextmanager
def connected(port: int) -> Any:
    """Connect, as the user does."""
    if STOCK:
        import rpyc

        # Classic connections are how the user of a classic server connects, and expose as much.
        conn = rpyc.connect("127.0.0.1", port, config={"sync_request_timeout": LONGEST_CALL})
        thread = rpyc.BgServingThread(conn)
        try:
            yield conn
        finally:
            with contextlib.suppress(Exception):
                thread.stop()
            with contextlib.suppress(Exception):
                conn.close()
        return
    import nbrpc

    timing = nbrpc.Timing(call=LONGEST_CALL, heartbeat=1.0, silent_after=4.0)
    with nbrpc.connect(f"nbrpc://127.0.0.1:{port}", timeout=PATIENCE, timing=timing) as conn:
        yield conn


def memory() -> int:
    """Give the resident bytes of this process."""
    return int(Path("/proc/self/statm").read_text().split()[1]) * resource.getpagesize()


def peak() -> int:
    """Give the most resident bytes since `forget_peak`."""
    return int(Path("/proc/self/status").read_text().split("VmHWM:")[1].split()[0]) * 1024


def forget_peak() -> None:
    """Begin to measure the most memory anew."""
    Path("/proc/self/clear_refs").write_text("5")


def live(port: int, action: str) -> dict[str, Any]:
    """Do something with the root of a server; give how it went."""
    del watching.EVENTS[:]
    forget_peak()
    before, begun = memory(), time.monotonic()
    told: dict[str, Any] = {"raised": "", "escaped": False, "text": ""}
    output = io.StringIO()
    try:
        with connected(port) as conn, contextlib.redirect_stderr(output):
            told["text"] = str(ACTIONS[action](conn.root))[:2_000_000]
    except Exception as error:  # what a program would catch
        told["raised"] = type(error).__name__
        told["text"] = str(error)
    except BaseException as error:  # what would escape it
        told["raised"], told["escaped"] = type(error).__name__, True
    told["seconds"] = time.monotonic() - begun
    told["grown"] = peak() - before
    told["events"] = list(watching.EVENTS)
    shell().user_ns.pop("thing", None)
    return told


def main() -> None:
    """Live through one attack after the other."""
    import numpy  # noqa: F401 - loaded beforehand, since loading it takes memory
    import pandas  # noqa: F401 - the same
    import PIL.Image  # noqa: F401 - the same
    import scipy.sparse  # noqa: F401 - the same

    shell()
    watching.watch()
    real = sys.stdout
    print("ready", file=real, flush=True)
    for line in sys.stdin:
        wanted = json.loads(line)
        with contextlib.redirect_stdout(io.StringIO()):
            told = live(wanted["port"], wanted["action"])
        print(json.dumps(told), file=real, flush=True)


if __name__ == "__main__":
    main()
