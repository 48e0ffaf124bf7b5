"""The row about what a peer may reach: T4 policy-matrix.

Each operation of the native wire and each request of RPyC's is tried on objects of every kind under
names of every kind, and what comes of it is held against the policy in plain words, which
`tests.objects.matrix` states without asking the code that decides.
"""

from __future__ import annotations

from typing import Any

import nbrpc
from benchmarks.trust.rows import Figure, Outcome, row
from tests.objects import matrix
from tests.objects.matrix_clients import Native, OfRpyc, Tally, running, try_cells
from tests.objects.matrix_server import TOKEN
from tests.objects.specimens import SPECIMENS

SHARE, QUICK_SHARE = 6, 60
"""About one name in so many is tried in each operation."""


def _tried(client: Any, port: int, setting: str, share: int) -> Tally:
    tally = Tally()
    for key in SPECIMENS:
        cells = matrix.cells(key, client.operations, client.named, share=share)
        tally.add(try_cells(client, port, setting, key, cells))
    return tally


NO_LEAKS = ("OLDSLICING", "object that invents")
"""What RPyC gives and nbrpc does not although the author opened it: slices as Python 2 asked for
them, and what an object makes up for any name with the prefix."""


def _stock(share: int) -> str:
    """Try the same on RPyC; say how many cells got past, by their operation."""
    with running("stock") as ports:
        found = {name: _tried(OfRpyc, ports[name], name, share) for name in ("service", "public")}
    return "; ".join(
        f"{name}: {_by_operation(tally)}, of {tally.tried:,}" for name, tally in found.items()
    )


def _by_operation(tally: Tally) -> str:
    # One cell may list many names.
    cells = {text.partition(" lists ")[0] for text in tally.wrong}
    examples: dict[str, list[str]] = {}
    for text in sorted(cells):
        _, _, cell = text.rpartition(": ")
        if not any(known in text for known in NO_LEAKS):
            examples.setdefault(cell.split()[0], []).append(cell)
    return ", ".join(f"{len(some)} {some[0]}" for some in examples.values())


@row("T4", "policy-matrix", rpyc="dir tells what is denied, cmp takes any operator")
def policy_matrix(quick: bool) -> Outcome:  # noqa: FBT001 - the signature of all rows
    """Operations on objects of every kind under names of every kind, beyond the allow-list."""
    share = QUICK_SHARE if quick else SHARE
    total = Tally()
    noted: list[str] = []
    with (
        running() as ports,
        nbrpc.connect("127.0.0.1", ports["control"], token=TOKEN) as control,
    ):
        for name in matrix.SETTINGS:
            control.root.arm()
            for client in (Native, OfRpyc):
                total.add(_tried(client, ports[name], name, share))
            seen = control.root.noted()
            # Where code may run, RPyC's peers may have objects pickled.
            noted += [] if name == "code" else seen
    first = [*total.wrong[:3], *total.denied[:3], *noted[:3]]
    return Outcome(
        [
            Figure("cells", total.tried, 5_000, at_least=True),
            Figure("allowed outside the allow-list", len(total.wrong), 0),
            Figure("exposed and denied", len(total.denied), 0),
            Figure("code run, compiled, imported or opened", len(noted), 0),
        ],
        note="; ".join(first) or f"{total.reached:,} cells were allowed, and may be",
        rpyc=_stock(QUICK_SHARE),
    )
