"""Every client with every server: nbrpc and RPyC 4.1, 5.3 and 6.0, and what each can do.

The cells of RPyC with itself are the control: what is expected of nbrpc, RPyC does too, but for the
exemptions in ``expected``.
"""

from __future__ import annotations

import pytest

from tests.rpyc.expected import EXEMPTIONS, EXPECTED, Cell, expected, problems
from tests.rpyc.processes import Processes
from tests.rpyc.stock import VERSIONS

CELLS = [
    *(Cell("stock", "stock", version) for version in VERSIONS),
    *(Cell("nbrpc", "stock", version) for version in VERSIONS),
    *(Cell("stock", "nbrpc", version) for version in VERSIONS),
    *(Cell("nbrpc", "nbrpc", wire) for wire in ("native", "rpyc5", "rpyc6")),
]

CLASSIC = ("code", "modules", "copies", "teleport", "files", "streams", "tutorial")
SERVICE = tuple(group for group in EXPECTED if group not in (*CLASSIC, "meeting"))


def run(processes: Processes, cell: Cell, group: str, kind: str) -> list[str]:
    """Run a group in a cell, and say what is wrong."""
    versions = {"stock": cell.version, "nbrpc": "-"}
    server = processes.server(cell.server, versions[cell.server], kind)
    client = processes.client(cell.client, versions[cell.client])
    request = {"kind": kind}
    if group == "closing":
        request["options"] = {"label": cell.name}
    if cell.version in {"rpyc5", "rpyc6"}:
        request["url"] = f"{cell.version}://127.0.0.1:{server.port}"
    return problems(expected(group, cell), client.run(group, server.port, **request))


def check(processes: Processes, cell: Cell, group: str, kind: str) -> None:
    """Run a group in a cell; fail with what is wrong."""
    wrong = run(processes, cell, group, kind)
    if wrong:
        pytest.fail("\n".join((f"{group}, {cell.name}:", *wrong)), pytrace=False)


@pytest.mark.parametrize("group", SERVICE)
@pytest.mark.parametrize("cell", CELLS, ids=lambda cell: cell.name)
def test_service(processes, cell, group):
    """A service."""
    check(processes, cell, group, "service")


@pytest.mark.parametrize("group", CLASSIC)
@pytest.mark.parametrize("cell", CELLS, ids=lambda cell: cell.name)
def test_classic(processes, cell, group):
    """Classic mode: modules, code, copies, files, streams and functions."""
    check(processes, cell, group, "classic")


@pytest.mark.parametrize(
    "cell", [cell for cell in CELLS if cell.server == "stock"], ids=lambda cell: cell.name
)
def test_a_classic_server_that_talks_first(processes, cell):
    """A server whose service asks for the client's root as soon as it is connected."""
    check(processes, cell, "code", "classic-both-ways")


@pytest.mark.parametrize("exemption", EXEMPTIONS, ids=lambda one: f"{one.group}-{one.step}")
def test_exemptions_are_of_cells(exemption):
    """Each exemption names a step that there is, differs from the rule, and holds somewhere."""
    assert exemption.step in EXPECTED[exemption.group]
    assert exemption.instead != EXPECTED[exemption.group][exemption.step]
    assert any(exemption.holds_for(cell) for cell in CELLS)
