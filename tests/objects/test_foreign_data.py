"""What a line gives with a proxy of data is what it gives with the data, or one sentence."""

from __future__ import annotations

import textwrap
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

import nbrpc
from nbrpc.objects.proxy import is_proxy
from tests.objects import foreign_data
from tests.objects.foreign_data import DATA, LINES, ONE_SENTENCE, WITH_INDEXES, run
from tests.support import start_server

FOLDER = Path(__file__).parent

# A line warns here and on the server alike, where warnings are no errors.
pytestmark = pytest.mark.filterwarnings("ignore")


def lines_of(table):
    """Give the data and each line about it."""
    return [
        pytest.param(data, line, id=f"{data[:40]}: {line}"[:120])
        for data, lines in table.items()
        for line in (lines if isinstance(lines, list) else _split(lines))
    ]


def _split(text):
    lines = textwrap.dedent(text).strip().splitlines()
    loops = [at for at, line in enumerate(lines) if line.startswith("for ")]
    for at in reversed(loops):  # a loop goes with what follows it
        lines[at : at + 2] = ["\n".join(lines[at : at + 2])]
    return lines


@pytest.fixture(scope="module")
def classic(tmp_path_factory):
    """Give a connection to a server that lets its clients run code."""
    served = start_server(tmp_path_factory.mktemp("classic") / "out", "--classic", "--port", "0")
    with nbrpc.classic.connect(served.url) as conn:
        yield conn
    served.stop()


@pytest.fixture(scope="module")
def shelf(tmp_path_factory):
    """Give a service with the data as attributes."""
    output = tmp_path_factory.mktemp("shelf") / "out"
    served = start_server(output, "foreign_data:Shelf", "--port", "0", folder=FOLDER)
    with nbrpc.connect(served.url) as conn:
        yield conn.root
    served.stop()


def outcome(line, data):
    """Give what a line gives, or its error."""
    try:
        return here(run(line, data))
    except Exception as error:
        return error


def here(value):
    """Copy what is remote."""
    if is_proxy(value):
        return nbrpc.obtain(value)
    if type(value) in (list, tuple):
        return type(value)(here(item) for item in value)
    return {key: here(item) for key, item in value.items()} if type(value) is dict else value


def same(one, other):
    """Whether two values are of one type and equal."""
    if type(one) is not type(other):
        return False
    if isinstance(one, (list, tuple)):
        return len(one) == len(other) and all(map(same, one, other))
    if isinstance(one, dict):
        return list(one) == list(other) and all(same(one[key], other[key]) for key in one)
    if isinstance(one, np.ndarray):
        alike = one.dtype == other.dtype and one.shape == other.shape
        return alike and all(map(same, one.ravel().tolist(), other.ravel().tolist()))
    if isinstance(one, (pd.Series, pd.DataFrame, pd.Index)):
        named = getattr(one, "name", None) == getattr(other, "name", None)
        return named and one.equals(other)
    return bool(one == other) or (one != one and other != other)  # noqa: PLR0124 - not a number


def is_sentence(error):
    """Whether an error says in one sentence what helps, or what a service does not expose."""
    text = str(error).splitlines()[0]
    if isinstance(error, nbrpc.AccessDenied):
        return True
    return "nbrpc.obtain" in text or isinstance(error, nbrpc.errors.NbrpcError)


def check(line, local, remote):
    """Hold a line's outcome with a proxy against that with the data."""
    if isinstance(local, Exception) and isinstance(remote, Exception):
        assert isinstance(remote, type(local)) or is_sentence(remote), (local, remote)
    elif isinstance(remote, Exception):
        assert is_sentence(remote), remote
    else:
        assert not isinstance(local, Exception), (local, remote)
        assert same(local, remote), f"{line}: {remote!r}, and not {local!r}"


@pytest.mark.parametrize(("data", "line"), lines_of(LINES))
def test_a_line_about_an_object_of_the_peer(classic, data, line):
    """Where the client may run code."""
    check(line, outcome(line, eval(data)), outcome(line, classic.eval(data)))


@pytest.mark.parametrize(("data", "line"), lines_of(LINES))
def test_a_line_about_an_attribute_of_a_service(shelf, data, line):
    """Where it may use what is exposed."""
    shelf.renew()
    remote = getattr(shelf, f"data{DATA.index(data)}")
    check(line, outcome(line, eval(data)), outcome(line, remote))


COPIED = {
    data: lines
    for table in (LINES, WITH_INDEXES)
    for data, lines in table.items()
    if not data.startswith(("(", "__import__('string')", "__import__('email"))
}


@pytest.mark.parametrize(("data", "line"), lines_of(COPIED))
def test_a_line_about_the_result_of_a_service(shelf, data, line):
    """It is copied, and there is no difference at all."""
    equal(line, outcome(line, eval(data)), outcome(line, shelf.give(data)))


@pytest.mark.parametrize(("data", "line"), lines_of(COPIED))
def test_a_line_about_an_argument_inside_of_a_service(shelf, data, line):
    """The service has what its caller has; what the line gives is copied back."""
    try:
        remote = shelf.run(line, eval(data))
    except Exception as error:
        remote = error
    equal(line, outcome(line, eval(data)), remote)


def equal(line, local, remote):
    """Hold a line's outcome with a copy against that with the data."""
    if isinstance(local, Exception):
        assert isinstance(remote, type(local)), (local, remote)
    else:
        assert same(local, remote), f"{line}: {remote!r}, and not {local!r}"


@pytest.mark.parametrize(("data", "line"), lines_of(WITH_INDEXES))
def test_a_line_about_labels(classic, data, line):
    """Labels are kept, or the line is refused."""
    check(line, outcome(line, eval(data)), outcome(line, classic.eval(data)))


BUILTINS = {data: lines for data, lines in LINES.items() if data[0] in "[{b"}


@pytest.mark.parametrize(("data", "line"), lines_of(BUILTINS))
def test_lines_about_builtin_containers_are_right(classic, data, line):
    """They never end with a sentence."""
    local, remote = outcome(line, eval(data)), outcome(line, classic.eval(data))
    if not isinstance(local, Exception):
        assert same(local, remote), remote


@pytest.mark.parametrize(("data", "line"), lines_of(ONE_SENTENCE))
def test_what_cannot_be_right_is_refused_in_a_sentence(classic, data, line):
    """It says what helps."""
    error = outcome(line, classic.eval(data))
    assert isinstance(error, Exception)
    assert "nbrpc" in str(error) or "peer" in str(error)
    assert "\n" not in str(error)


@pytest.mark.parametrize(
    ("data", "line"),
    [
        ("{str(n): n for n in range(100)}", "dict(r)"),
        ("{str(n): n for n in range(100)}", "{**r}"),
        ("{str(n): n for n in range(100)}", "(lambda **k: k)(**r)"),
        ("{str(n): n for n in range(100)}", "copy.copy(r)"),
        ("list(range(100))", "[0] + r"),
        ("set(range(100))", "{1} & r"),
        ("__import__('numpy').arange(100)", "np.sqrt(r)"),
        ("__import__('pandas').DataFrame({'a': [1, 2]})", "pd.DataFrame(r)"),
        ("__import__('numpy').arange(100)", "np.from_dlpack(r)"),
        ("(lambda x: x)", "inspect.signature(r)"),
    ],
)
def test_what_takes_one_round_trip(classic, data, line):
    """A copy is made at once."""
    remote = classic.eval(data)
    before = classic.statistics().requests_sent
    run(line, remote)
    assert classic.statistics().requests_sent == before + 1


def test_a_copied_dictionary_is_read_ahead_by_that_copy_only(classic):
    """What changes after it is seen: by its view of keys, by an item, by another copy."""
    there = classic.eval("{'a': 1, 'b': 2}")
    keys = list(there.keys())
    there["a"] = 5
    assert [there[key] for key in keys] == [5, 2]
    assert dict(there) == {"a": 5, "b": 2}
    there["a"] = 6
    assert there["a"] == 6
    for number in range(3):
        there["a"] = number
        assert dict(there)["a"] == number
    assert sorted(there.keys() | {"c"}) == ["a", "b", "c"]


def test_no_value_is_made_of_what_is_no_data(classic):
    """Objects in an array stay what they are, and offer nothing."""
    there = classic.eval("type('Stage', (), {})()")
    held = np.array([there, None], dtype=object)
    assert held[0] is there
    for name in ("__array__", "__arrow_c_stream__", "__dataframe__", "__dlpack__", "__buffer__"):
        assert not hasattr(there, name)


@pytest.mark.parametrize("data", ["bytearray(b'ab')", "__import__('numpy').arange(3)"])
def test_no_proxy_has_a_buffer(classic, data):
    """C code may keep the address of a buffer that it has given back, and a copy would be gone."""
    for use in (memoryview, np.frombuffer, lambda there: b"".join([there])):
        with pytest.raises(TypeError):
            use(classic.eval(data))


def test_signatures_of_methods(classic):
    """Those of the remote functions, also when the first object of the class is gone."""
    classic.execute("class Amp:\n    def gain(self, db: float = 3.0, *, on=True) -> float: ...")
    for _ in range(3):
        told = foreign_data.inspect.signature(classic.eval("Amp()").gain)
        assert str(told) == "(db: float = 3.0, *, on=True) -> float"
        assert told.parameters["db"].annotation is float


def test_the_peer_sees_the_signature_of_a_function_of_ours(classic):
    """As scipy does before it fits one."""
    classic.execute("import inspect\ndef told(f): return str(inspect.signature(f))")
    assert classic.namespace["told"](lambda x, a=1: a * x) == "(x, a=1)"


def test_what_a_generator_gives_in_the_end(classic):
    """``yield from`` and ``send`` give its result as a local generator does."""
    classic.execute(
        "def count(n):\n"
        "    got = []\n"
        "    for i in range(n): got.append((yield i))\n"
        "    return tuple(got)"
    )
    count = classic.namespace["count"]
    assert list(foreign_data.delegate(count(2))) == [0, 1, (None, None)]
    generator = count(2)
    assert [next(generator), generator.send("a")] == [0, 1]
    with pytest.raises(StopIteration) as stopped:
        generator.send("b")
    assert stopped.value.value == ("a", "b")
