"""No operation reaches anything under any name that the policy does not open, whatever the object.

The whole matrix has over a million cells; ``python -m benchmarks.trust policy-matrix`` tries more
of them than are tried here.
"""

from __future__ import annotations

import pytest

import nbrpc
from nbrpc.protocol.messages import Operation
from nbrpc.protocol.rpyc.handlers import Handler
from tests.objects import matrix
from tests.objects.matrix_clients import Native, OfRpyc, Tally, running, try_cells
from tests.objects.matrix_server import CONFIGURATIONS, TOKEN
from tests.objects.specimens import SPECIMENS

SHARE = 60
"""About one name in so many is tried in each operation."""

LEAKING = ("generator", "plain object", "bound method", "function", "service")


def tried(port, setting, client, keys=SPECIMENS, share=SHARE):
    """Try cells of some kinds of objects."""
    tally = Tally()
    for key in keys:
        cells = matrix.cells(key, client.operations, client.named, share=share)
        tally.add(try_cells(client, port, setting, key, cells))
    return tally


@pytest.fixture(scope="module")
def ports():
    """Run the server that is tried."""
    with running() as found:
        yield found


@pytest.mark.parametrize("client", [Native, OfRpyc])
@pytest.mark.parametrize("setting", matrix.SETTINGS)
def test_nothing_beyond_the_policy(ports, setting, client):
    """No cell gets past it, none that the author opened is denied, and nothing is run for any."""
    with nbrpc.connect("127.0.0.1", ports["control"], token=TOKEN) as control:
        control.root.arm()
        # The first setting on all kinds of objects, each other one on some, and not on the same.
        turn = list(matrix.SETTINGS).index(setting)
        keys = list(SPECIMENS)[turn % 4 :: 4] if turn else SPECIMENS
        tally = tried(ports[setting], setting, client, keys)
        noted = control.root.noted()
    assert tally.wrong == []
    assert tally.denied == []
    if setting != "code":  # where code may run, RPyC's peers may have objects pickled
        assert noted == []
    assert tally.tried > (300 if turn or client is OfRpyc else 10_000)
    assert tally.reached > 50


def test_nothing_is_forgotten():
    """Every operation, every request of RPyC's and every setting of names is in the matrix."""
    native = {operation.partition(" ")[0] for operation in matrix.NATIVE}
    assert native == {operation.name for operation in Operation}
    assert {*matrix.RPYC, "CLOSE", "DEL"} == {handler.name for handler in Handler}
    assert set(matrix.SETTINGS) == set(CONFIGURATIONS)
    whole = sum(1 for _ in matrix.cells("plain object", matrix.NATIVE, matrix.NATIVE_NAMED))
    assert whole * len(SPECIMENS) > 300_000


def test_the_hook_sees(ports):
    """What runs code, imports, opens a file or starts a program is noted."""
    with nbrpc.connect("127.0.0.1", ports["control"], token=TOKEN) as control:
        for code, event in {
            "import antigravity": "import",
            "open('/dev/null').close()": "open",
            "compile('1', 'x', 'eval')": "compile",
            "__import__('os').listdir('/')": "os.listdir",
        }.items():
            control.root.arm()
            control.root.provoke(code.replace("antigravity", "colorsys"))
            assert any(text.startswith(event) for text in control.root.noted()), event


def test_the_matrix_bites():
    """Against RPyC as its authors published it the same cells get where they may not."""
    with running("stock") as ports:
        default = tried(ports["service"], "service", OfRpyc, LEAKING, 10)
        public = tried(ports["public"], "public", OfRpyc, ("generator",), 1)
    assert any(": DIR '' lists" in text for text in default.wrong)
    assert any(": CMP " in text for text in default.wrong)
    assert any("generator: GETATTR 'gi_frame'" in text for text in public.wrong)
