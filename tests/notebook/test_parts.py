"""The parts of the notebook layer that need neither kernel nor connection."""

from __future__ import annotations

import math

import pytest
from IPython.core.inputtransformer2 import TransformerManager

from nbrpc import connection_file
from nbrpc.errors import ConnectFailed, ConnectionLost, RemoteError
from nbrpc.notebook.connections import Connections, NoConnection, find
from nbrpc.notebook.lines import identifier, names_of
from nbrpc.notebook.remote_cell import rewriter
from nbrpc.notebook.tracebacks import clean, coloured, unfinished, without_package
from nbrpc.widgets import page


@pytest.fixture
def transform():
    """IPython's transforms with ours behind them."""
    manager = TransformerManager()
    manager.cleanup_transforms.append(rewriter("run", lambda: True))
    return manager


@pytest.mark.parametrize(
    ("source", "expected"),
    [
        ("%%remote\n1\n2", "await run('', '1\\n2\\n')\n"),
        ("%%remote -o x \nx = 'y'", "await run('-o x', \"x = 'y'\\n\")\n"),
        ("\n\n%%remote\n1", "await run('', '1\\n')\n"),
        ("  %%remote a,b\n  1", "await run('a,b', '1\\n')\n"),
        ("%%remote", "await run('', '')\n"),
    ],
)
def test_remote_cells_await(transform, source, expected):
    """A cell that begins with %%remote becomes one that awaits, under IPython's own clean-up."""
    assert transform.transform_cell(source) == expected


@pytest.mark.parametrize("source", ["%%remotely\n1", "%%time\n%%remote\n1", "x = 1\n%%remote\n"])
def test_other_cells_are_left_alone(transform, source):
    """Only the exact word, in the first line."""
    assert "await" not in transform.transform_cell(source)


def test_rewriting_can_be_off():
    """Where cells cannot await the magic stays a magic."""
    manager = TransformerManager()
    manager.cleanup_transforms.append(rewriter("run", lambda: False))
    assert "run_cell_magic('remote'" in manager.transform_cell("%%remote\n1")


def test_terminal_may_go_on_typing(transform):
    """A terminal that asks whether `%%remote` is complete is told that it is not."""
    assert transform.check_complete("%%remote\n1 + 1")[0] == "incomplete"


def test_clean_keeps_progress_bars_and_colours():
    """Carriage returns and colours stay, what moves the cursor or sets titles goes."""
    assert clean("\r 50%\r100%\x1b[31m red\x1b[0m\x1b[2J\x1b]0;title\x07\n") == (
        "\r 50%\r100%\x1b[31m red\x1b[0m\n"
    )


@pytest.mark.parametrize(
    ("text", "length"), [("a\x1b", 1), ("a\x1b[", 2), ("a\x1b[3", 3), ("a\x1b[31m", 0), ("a", 0)]
)
def test_unfinished_colours(text, length):
    """An escape sequence may be cut between two messages."""
    assert unfinished(text) == length


def test_without_package():
    """Frames of the package are dropped, those of users stay."""
    try:
        find("surely-no-server")
    except ConnectFailed as error:
        names = []
        traceback = without_package(error.__traceback__)
        while traceback is not None:
            names.append(traceback.tb_frame.f_code.co_name)
            traceback = traceback.tb_next
        assert names == ["test_without_package"]


def test_tracebacks_are_coloured_once():
    """Text with colours of its own is left as it is."""
    plain = 'Traceback (most recent call last):\n  File "x", line 1, in f\nValueError: no'
    assert "\x1b[" in coloured(plain)
    assert coloured("\x1b[31mred\x1b[0m") == "\x1b[31mred\x1b[0m"


@pytest.mark.parametrize(
    ("seconds", "said"),
    [
        (0.0000312, "31 µs"),
        (0.0123, "12.3 ms"),
        (2.345, "2.3 s"),
        (61, "1 min 1 s"),
        (7260, "2 h 1 min"),
    ],
)
def test_duration(seconds, said):
    """Durations are said as a person would."""
    assert page.duration(seconds) == said


HOSTILE = "<script>alert(1)</script>\x1b]0;x\x07\u202e"


def test_pages_escape():
    """Nothing that a remote says becomes markup."""
    html = page.result(
        state="pending",
        call=HOSTILE,
        target=HOSTILE,
        elapsed=1,
        progress=(1, 2, HOSTILE),
        tail=HOSTILE,
        outcome=page.failure(HOSTILE, HOSTILE) + page.plain(HOSTILE),
    )
    html += page.card(HOSTILE, [(HOSTILE, HOSTILE)], state="open")
    html += page.table([HOSTILE], [[HOSTILE]], name="nbrpc-connections")
    assert "<script" not in html
    assert "\x1b" not in html
    assert "\u202e" not in html


@pytest.mark.parametrize("state", sorted(page.STATES))
def test_states_are_words(state):
    """Every state shows as icon and word, and as an attribute for styles and tests."""
    html = page.result(state=state, call="f()", target="x", elapsed=1)
    assert f'data-state="{state}"' in html
    assert page.STATES[state][1] in html


def test_progress_bar():
    """A known total gives a bar that fills, an unknown one a bar that does not."""
    known = page.result(state="pending", call="f", target="x", elapsed=1, progress=(3, 4, "scan"))
    assert '<progress max="4" value="3"' in known
    unknown = page.result(state="pending", call="f", target="x", elapsed=1, progress=(3, None, ""))
    assert "<progress aria-label" in unknown
    for total in (0, -1, math.nan, math.inf):
        odd = page.result(state="pending", call="f", target="", elapsed=1, progress=(3, total, ""))
        assert "<progress aria-label" in odd
    done = page.result(state="ready", call="f", target="x", elapsed=1, progress=(4, 4, "scan"))
    assert "<progress" not in done


class Closable:
    """Stands for a connection."""

    def __init__(self, url="", token=None, session=None):
        self.url, self.token, self.session, self.closed = url, token, session, False

    def close(self):
        self.closed = True


def connect(connections, *arguments):
    """Connect, and let go of what that replaces."""
    with connections.connecting(*arguments) as connection:
        return connection


def test_connections_by_name():
    """A name is replaced, used, closed; without a name the current one is meant."""
    connections = Connections(Closable)
    first = connect(connections, "nbrpc://a:1", "conn", None)
    with connections.connecting("b:2", "conn", "token", "night") as second:
        assert not first.closed  # until the new one is shown
    assert (first.closed, second.closed, second.url, second.token) == (True, False, "b:2", "token")
    assert second.session == "night"
    third = connect(connections, "nbrpc://c:3", "other", None)
    assert connections.get() is third
    connections.use("conn")
    assert connections.get() is second
    assert list(connections.several("conn, other")) == ["conn", "other"]
    assert list(connections.several("all")) == ["conn", "other"]
    assert list(connections.several()) == ["conn"]
    assert connections.disconnect() == ("conn", second)
    assert second.closed
    assert connections.get() is third
    connections.close()
    assert third.closed


def test_connections_that_are_not_there():
    """Each mistake is told with what there is and what to do."""
    connections = Connections(Closable)
    with pytest.raises(NoConnection, match="%rpc_connect"):
        connections.get()
    connect(connections, "a:1", "one", None)
    connect(connections, "a:1", "two", None)
    with pytest.raises(NoConnection, match="three: there are one, two"):
        connections.use("three")
    connections.disconnect("two")
    assert connections.current == "one"


def info(server_id, name, port):
    """Describe a server of this process."""
    return connection_file.ServerInfo.of_this_process(
        server_id=server_id, name=name, token="t", service="x:Y", host="127.0.0.1", port=port
    )


def test_find_a_server():
    """A URL, host:port, a port, a name, or nothing at all when there is one server."""
    assert find("nbrpc://h:1") == "nbrpc://h:1"
    assert find("h:1") == "h:1"
    assert find("18861") == "127.0.0.1:18861"
    with pytest.raises(ConnectFailed, match="no server of yours is running"):
        find("")
    with pytest.raises(ConnectFailed, match="none is running"):
        find("bench")
    connection_file.write(info("aa", "bench", 1234))
    assert find("bench") == find("") == "nbrpc://127.0.0.1:1234"
    with pytest.raises(ConnectFailed, match="called stage; running: bench"):
        find("stage")
    connection_file.write(info("bb", "stage", 1235))
    with pytest.raises(ConnectFailed, match=r"stage .*bench|bench .*stage"):
        find("")


def test_names():
    """Names are split at commas, and are names."""
    assert names_of(["a,b", " c "]) == ["a", "b", "c"]
    assert identifier("conn") == "conn"
    with pytest.raises(ValueError, match="not a variable"):
        names_of(["a,1b"])


def test_notebook_layer_is_not_imported_early():
    """The errors render themselves only while the extension is loaded."""
    assert not hasattr(RemoteError, "_render_traceback_")
    assert not hasattr(ConnectionLost, "_render_traceback_")
