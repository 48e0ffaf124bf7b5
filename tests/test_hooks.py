"""The hooks of proxies are local: no library that looks at one runs, loads or imports anything.

`tests.hooks.probes` puts proxies of a hostile server through what the standard library, numpy,
pandas, polars, Arrow, matplotlib and IPython do with any object, under an audit hook. What a hook
of the peer names to be run is the import of a module that lies on the path of the client.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import NamedTuple

import pytest

ROOT = Path(__file__).parent.parent

MOST_REQUESTS = 40
"""Round trips of one probe; the containers have three members."""

BITING = ["copy.copy", "copy.deepcopy", "pickle 4", "IPython display", "os.fspath", "np.array"]
"""Probes that a client of RPyC must not be put through."""


class Row(NamedTuple):
    """What one probe did with one kind of object."""

    probe: str
    kind: str
    outcome: str
    requests: int
    used: str
    seen: list[str]


def run(folder: Path, *chosen: str, by: tuple[str, ...] = ()) -> list[Row]:
    """Start the hostile server and put its objects through the probes."""
    (folder / "evil_payload.py").write_text("raise RuntimeError('the payload ran')\n")
    environment = {
        **os.environ,
        "PYTHONPATH": os.pathsep.join([str(folder), str(ROOT)]),
        "NBRPC_RUNTIME_DIR": str(folder),
        "MPLCONFIGDIR": str(folder),
    }
    with subprocess.Popen(
        [sys.executable, str(ROOT / "tests/hooks/hostile.py"), *by],
        stdout=subprocess.PIPE,
        env=environment,
        text=True,
    ) as server:
        try:
            url = server.stdout.readline().strip()
            done = subprocess.run(
                [sys.executable, "-m", "tests.hooks.probes", url, *chosen],
                cwd=folder,
                env=environment,
                capture_output=True,
                text=True,
                timeout=100,
                check=True,
            )
        finally:
            server.kill()
    return [Row(*json.loads(line)) for line in done.stdout.splitlines()]


@pytest.fixture(scope="module")
def rows(tmp_path_factory):
    """What every probe did with every kind of object."""
    folder = tmp_path_factory.mktemp("hooks")
    folder.chmod(0o700)
    return run(folder)


def test_every_probe_was_made(rows):
    """Each on an instance, a list, a dict, a function, a class, an exception and a method."""
    assert len({row.probe for row in rows}) >= 150
    assert len({row.kind for row in rows}) == 8
    assert len(rows) >= 1_200


def test_nothing_of_the_peer_runs_here(rows):
    """No unpickling, import, execution, process or connection; no probe breaks out."""
    assert [row for row in rows if row.seen] == []
    assert [row for row in rows if row.outcome.startswith("broke out")] == []
    assert [row for row in rows if row.outcome == "AssertionError"] == []


def test_no_hook_of_the_peer_is_asked(rows):
    """What Python and its libraries look for by name is answered here, without the peer's code.

    Save for DLPack, by which the peer itself copies its tensors.
    """
    assert [row for row in rows if set(row.used.split()) - {"__dlpack__"}] == []


def test_looking_costs_a_bounded_number_of_round_trips(rows):
    """A look is no walk: small objects take few requests, whatever they claim."""
    assert [row for row in rows if row.requests > MOST_REQUESTS] == []


def test_copies_and_pickles_are_refused(rows):
    """Each way of copying or pickling a proxy says that it is none."""
    refused = {"copy.copy", "copy.deepcopy", "copy in a dict", "pickle in Python"}
    refused |= {f"pickle {protocol}" for protocol in range(6)}
    values = {"failure", "method"}  # an exception is one of ours, and so is a bound method
    found = {row.outcome for row in rows if row.probe in refused and row.kind not in values}
    assert found == {"NotSendable"}


def test_the_probes_bite(tmp_path):
    """The same server, and RPyC as the client: the payload runs, and hooks are asked."""
    rows = run(tmp_path, *BITING, by=("rpyc",))
    assert [row for row in rows if row.probe.startswith("copy") and row.seen]
    assert [row for row in rows if row.used]
