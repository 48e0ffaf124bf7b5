"""Rows about hostile peers: T1 attacks, T2 evil-server, T3 xss, T8 preauth."""

from __future__ import annotations

import contextlib
import os
import tempfile
from collections.abc import Iterator
from pathlib import Path

from benchmarks.trust.rows import Figure, Outcome, row
from tests.browser.hostile_page import show_everything, ways
from tests.browser.lab import ROOT, Notebook, run_chromium, run_lab
from tests.hostile import attacks as clients
from tests.hostile import (
    native_clients,
    payloads,
    rpyc_clients,
    servers,
    transcripts,
    traps,
    value_clients,
    value_servers,
)
from tests.support import start_server

__all__ = ["attacks", "evil_server", "preauth", "xss"]

CORPORA = (native_clients, rpyc_clients, servers, value_clients, value_servers)
"""Loaded for what they register."""


def _told(gained: dict[str, str]) -> str:
    return "; ".join(f"{name}: {what[:100]}" for name, what in gained.items() if what)


def _outcome(ours: dict[str, str], least: int, stock: dict[str, str], bites: int) -> Outcome:
    """Give the figures of a corpus, and what those that are controls gained of stock RPyC."""
    succeeded = sum(map(bool, stock.values()))
    return Outcome(
        [
            Figure("cases", len(ours), least, at_least=True),
            Figure("succeed", sum(map(bool, ours.values())), 0),
            Figure("of which succeed against RPyC", succeeded, bites, at_least=True),
        ],
        _told(ours),
        rpyc=f"{succeeded} of {len(stock)} succeed",
    )


@row("T1", "attacks", rpyc="measured beside it")
def attacks(quick: bool) -> Outcome:  # noqa: FBT001 - the signature of all rows
    """Attack servers as a client: access, names, classes, memory, time."""
    controls = [one for one in clients.ATTACKS.values() if one.control]
    with clients.victim() as victim:
        ours = {name: clients.run(one, victim) for name, one in clients.ATTACKS.items()}
    with clients.victim("rpyc") as victim:
        some = controls[: 24 if quick else None]
        stock = {one.name: clients.run(one, victim) for one in some}
    return _outcome(ours, 60, stock, 20)


@row("T2", "evil-server", rpyc="measured beside it")
def evil_server(quick: bool) -> Outcome:  # noqa: ARG001, FBT001 - the signature of all rows
    """Have clients, and the IPython that they work in, walk into traps of servers."""
    with traps.prey() as prey:
        ours = {name: traps.spring(one, prey) for name, one in traps.TRAPS.items()}
    with traps.prey("rpyc") as prey:
        stock = {one.name: traps.spring(one, prey) for one in traps.TRAPS.values() if one.control}
    return _outcome(ours, 40, stock, 8)


@row("T8", "preauth", rpyc="all: RPyC has no authentication by default")
def preauth(quick: bool) -> Outcome:  # noqa: FBT001 - the signature of all rows
    """Try to get in without the right proof; count what is begun, and what each client costs."""
    count = 190 if quick else 1_007  # each of the 19 kinds equally often
    with clients.victim() as victim:
        tried, let_in, begun = transcripts.try_to_get_in(victim, count)
        each = transcripts.memory_of_each(victim)
    return Outcome(
        [
            Figure("transcripts", tried, count, at_least=True),
            Figure("accepted", let_in, 0),
            Figure("operations begun", begun, 0),
            Figure("memory of each client that is not let in", each / 1024, 64, "kB"),
        ]
    )


@contextlib.contextmanager
def runtime_folder(folder: Path) -> Iterator[None]:
    """Have servers that are started meanwhile write their connection files into a folder."""
    before = os.environ.get("NBRPC_RUNTIME_DIR")
    os.environ["NBRPC_RUNTIME_DIR"] = str(folder)
    try:
        yield
    finally:
        if before is None:
            del os.environ["NBRPC_RUNTIME_DIR"]
        else:
            os.environ["NBRPC_RUNTIME_DIR"] = before


@row("T3", "xss", rpyc="scripts of a server run in the user's page")
def xss(quick: bool) -> Outcome:  # noqa: ARG001, FBT001 - the signature of all rows
    """Show hostile payloads in JupyterLab in Chromium, by every way; touch all that is shown."""
    cells = list(ways())
    with contextlib.ExitStack() as stack:
        enter = stack.enter_context
        folder = Path(enter(tempfile.TemporaryDirectory(ignore_cleanup_errors=True)))
        for part in ("run", "lab", "chromium"):
            (folder / part).mkdir(mode=0o700)
        enter(runtime_folder(folder / "run"))
        served = start_server(
            folder / "output", "tests.browser.hostile_server:Hostile", "--name", "hostile",
            "--allow-code", folder=ROOT,
        )  # fmt: skip
        stack.callback(served.stop)
        lab = enter(run_lab(folder / "lab", folder / "run"))
        chromium = enter(run_chromium(folder / "chromium"))
        sources = ["%load_ext nbrpc\n%rpc_connect hostile", *(source for source, _ in cells)]
        notebook = Notebook(chromium.new_page(), lab, lab.write(sources))
        wrong = show_everything(notebook, chromium, cells)
    ran = [what for what in wrong if not what.startswith("loaded")]
    return Outcome(
        [
            Figure("payloads", len(payloads.bundles()), 100, at_least=True),
            Figure("ways to a page", len(cells), 5, at_least=True),
            Figure("executed, opened or left standing", len(ran), 0),
            Figure("requests to other hosts", len(wrong) - len(ran), 0),
        ],
        "; ".join(wrong)[:500],
    )
