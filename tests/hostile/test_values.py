"""Values that no honest peer sends are refused, or become what harms nobody."""

from __future__ import annotations

import contextlib
import copy
import json
from io import BytesIO

import pytest

from nbrpc.errors import AccessDenied, NotSendable, RemoteProtocolError, StaleReference
from nbrpc.protocol import messages
from nbrpc.protocol.codec import decoder, encode
from tests.hostile import values
from tests.hostile.traps import OBEYED
from tests.objects.wire import End
from tests.protocol.ends import ready_pair

decode = decoder(messages.Reply)

SINGLE = {
    name: payload
    for group in (values.SHARED, values.PARTS, values.LARGE_PARTS, values.LIBRARIES)
    for name, payload in group.items()
}
MANY = {**values.REFERENCES, **values.CLASSES}


@pytest.fixture
def end():
    """One side, which lends an object and knows the classes of the references."""
    made = End(ready_pair()[1])
    made.lent = lambda: None
    made.write(made.lent)
    for ref in (values.PROXY, values.PATH, values.LIAR):
        made.boxing.learn(ref.key, ref.__dict__["told"])
    return made


def read(end, value, buffers=()):
    """Read a value; None where it is refused as a peer is told."""
    reply = decode(encode((1, value)))
    try:
        return end.boxing.unbox(reply.value, [BytesIO(data) for data in buffers])
    except (RemoteProtocolError, NotSendable, StaleReference, AccessDenied):
        return None


def used(value):
    """Do with a value what programs do; give what it shows of itself."""
    for use in (hash, len, bool, str, lambda item: item == copy.deepcopy(item), json.dumps):
        with contextlib.suppress(Exception):
            use(value)
    if type(value).__module__.startswith("pandas"):
        return ""  # it shows its names and texts as they are, as it does those of the user
    with contextlib.suppress(ValueError):  # Python shows no number of so many digits
        return repr(value)
    return ""


@pytest.mark.parametrize("name", SINGLE)
def test_a_value_is_refused_or_harmless(end, name):
    """It raises nothing but what a peer is told, and shows nothing that a terminal obeys."""
    value, buffers = SINGLE[name]
    assert not OBEYED.search(used(read(end, value, buffers)))


@pytest.mark.parametrize("name", MANY)
def test_values_are_refused_or_harmless(end, name):
    """The same of many."""
    for value in MANY[name]:
        assert not OBEYED.search(used(read(end, value)))


def test_what_an_honest_peer_sends_is_read(end):
    """The control: the parts that are replaced one by one are right otherwise."""
    from nbrpc.protocol.codec import Made

    wrong = {"dlpack.tensor", "numpy.ma.MaskedArray", "scipy.sparse.csr_array", "member at home"}
    for kind in values.USUAL.keys() - wrong:
        assert read(end, Made(kind, values.USUAL[kind])) is not None, kind


def test_a_flood_of_classes(end):
    """A connection makes so many classes of records, and of exceptions, and no more."""
    from nbrpc.protocol.codec import Made, Tuple

    for kind in ("record", "row"):
        made = [read(end, Made(kind, [f"P{n}", Tuple([]), True, None])) for n in range(600)]
        assert made[0] is not None
    assert made[-1] is None
    errors = [
        read(end, Made("exception class", [Tuple([f"lab.E{n}", Tuple([])])])) for n in range(1_100)
    ]
    assert errors[0] is not None
    assert errors[-1] is None
