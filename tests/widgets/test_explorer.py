"""Explorers and connection cards, as the kernel's side of them sees it."""

from __future__ import annotations

import time

import pytest

import nbrpc
from nbrpc.errors import RemoteProtocolError
from nbrpc.widgets import ConnectionCard, Explorer, explorer, tree
from nbrpc.widgets.connection_card import connection_bundle, size
from tests.support import eventually

SOON = 20.0


class Part:
    """Something inside."""

    def __init__(self, number=0):
        self.number = number


class Lab(nbrpc.Service):
    """A laboratory."""

    def __init__(self):
        super().__init__()
        self.exposed_numbers = list(range(250))
        self.exposed_parts = {"first": Part(1), "again": self}
        self.reads = 0

    @nbrpc.exposed
    @property
    def part(self) -> Part:
        """A part, made anew."""
        self.reads += 1
        return Part(self.reads)

    @property
    @nbrpc.exposed(by_value=True)
    def table(self):
        """What is copied."""
        return {"rows": [1, [2, 3]]}

    @property
    @nbrpc.exposed
    def broken(self):
        """What cannot be read."""
        raise OSError("the probe is unplugged\nand wet")

    @property
    @nbrpc.exposed
    def slow(self):
        """What takes its time."""
        time.sleep(2)

    @nbrpc.exposed
    def turn(self, angle: float) -> None:
        """Turn."""


@pytest.fixture
def lab():
    """What is served."""
    return Lab()


@pytest.fixture
def conn(linked, lab):
    """A connection to a laboratory that lets everything be seen."""
    return linked(lab, config={"allow_public_attrs": True})


@pytest.fixture
def walk(conn):
    """An explorer of the laboratory, and its handle."""
    walked = Walk(conn, conn.root)
    yield walked
    walked.widget.close()


class Walk:
    """Presses what a person would press, and waits for what comes of it."""

    def __init__(self, conn, proxy):
        self.conn = conn
        self.asked = conn.statistics().requests_sent
        self.widget = Explorer(proxy)
        eventually(lambda: len(self.widget.rows) > 1, SOON)

    def row(self, name, kind=None):
        """The row of a name, or of a kind."""
        for row in self.widget.rows:
            if row.get("name") == name and kind in (None, row["kind"]):
                return row
            if name is None and row["kind"] == kind:
                return row
        raise AssertionError(f"no {name or kind} in {self.widget.rows}")

    def press(self, what, name, kind=None):
        """Press, and give the row when it has changed and waits for nothing."""
        before = self.widget.rows
        self.asked = self.conn.statistics().requests_sent
        self.widget.answer({"kind": what, "node": self.row(name, kind)["node"]}, [])
        eventually(
            lambda: (
                self.widget.rows != before and not any(row.get("busy") for row in self.widget.rows)
            ),
            SOON,
        )
        self.requests = self.conn.statistics().requests_sent - self.asked

    @property
    def names(self):
        """The rows, each indented."""
        return [
            "  " * (row["level"] - 1) + row.get("name", row["kind"]) for row in self.widget.rows
        ]


def test_a_walk(walk, lab):
    """Every opened page is one request, and no getter runs that was not asked for."""
    assert walk.names[0] == "Lab"
    assert walk.row("turn")["signature"] == "(angle: float) -> None"
    assert walk.row("part")["text"] == "Part"
    assert walk.row("numbers")["text"] == "list, 250 items"
    assert walk.conn.statistics().requests_sent - walk.asked == 1
    walk.press("open", "parts")
    assert walk.requests == 1
    assert "    ['first']" in walk.names
    walk.press("open", "['first']")
    assert walk.row("number")["text"] == "1"
    assert lab.reads == 0
    walk.press("read", "part")
    assert (walk.requests, lab.reads) == (1, 1)
    walk.press("open", "part")
    assert (walk.requests, lab.reads) == (1, 1)
    assert walk.names.count("    number") == 1, "the part"


def test_a_cycle(walk):
    """What contains itself is opened as often as one likes."""
    for _ in range(3):
        last = [row for row in walk.widget.rows if row.get("name") == "parts"][-1]
        walk.widget.answer({"kind": "open", "node": last["node"]}, [])
        depth = last["level"] + 1
        eventually(lambda depth=depth: any(r["level"] == depth for r in walk.widget.rows), SOON)
        again = [row for row in walk.widget.rows if row.get("name") == "['again']"][-1]
        walk.widget.answer({"kind": "open", "node": again["node"]}, [])
        depth = again["level"] + 1
        eventually(lambda depth=depth: any(r["level"] == depth for r in walk.widget.rows), SOON)
    assert max(row["level"] for row in walk.widget.rows) == 8


def test_pages_and_their_end(walk):
    """A hundred items at a time; the row for more says how many are left, and goes."""
    walk.press("open", "numbers")
    assert walk.row(None, "more")["left"] == 150
    assert walk.row("[99]")["of"] == 251, "the members stand before the items"
    for left in (50, 0):
        walk.press("more", None, "more")
        assert walk.requests == 1
        assert [row["left"] for row in walk.widget.rows if row["kind"] == "more"] == [left] * (
            left > 0
        )
    assert walk.row("[249]")["text"] == "249"
    walk.press("open", "members")
    assert walk.row("append")["kind"] == "method"


def test_closing_gives_back(walk):
    """A closed node holds nothing of the remote, and shows what is there when it is opened anew."""
    before = walk.conn.statistics().imported
    walk.press("open", "parts")
    walk.press("open", "['first']")
    assert walk.conn.statistics().imported == before + 2
    walk.press("close", "parts")
    assert walk.names.count("    ['first']") == 0
    eventually(lambda: walk.conn.statistics().imported == before, SOON)
    walk.conn.root.parts["second"] = 5
    walk.press("open", "parts")
    assert walk.row("['second']")["text"] == "5"


def test_copies_are_opened_here(walk):
    """What came by value is looked into without a request."""
    walk.press("read", "table")
    assert walk.row("table")["text"] == "dict, 1 item"
    walk.press("open", "table")
    walk.press("open", "['rows']")
    walk.press("open", "[1]")
    assert walk.requests == 0
    assert walk.row("[1]")["text"] == "list, 2 items"


def test_errors_are_one_sentence(walk, monkeypatch):
    """A getter that raises, one that takes too long, a lost connection: told in the row."""
    walk.press("read", "broken")
    assert walk.row("broken")["error"] == "OSError: the probe is unplugged"
    monkeypatch.setattr(tree, "PATIENCE", 0.2)
    monkeypatch.setattr(explorer, "PATIENCE", 0.2)
    walk.press("read", "slow")
    assert walk.row("slow")["error"] == "No answer within 0.2 s."
    monkeypatch.setattr(tree, "PATIENCE", 10.0)
    walk.press("open", "parts")
    assert "error" not in walk.row("parts")
    walk.conn.close()
    eventually(lambda: walk.widget.state == "closed", SOON)
    assert "this side" in walk.widget.notice
    walk.press("open", "numbers")
    assert walk.row("numbers")["error"] == "The connection is lost."


def test_what_is_not_exposed_is_not_seen(linked, lab):
    """The explorer sees what a caller would reach, and no more."""
    conn = linked(lab)
    walk = Walk(conn, conn.root)
    walk.press("open", "parts")
    walk.press("open", "['first']")
    assert walk.row("['first']")["state"] == "open"
    assert "      number" not in walk.names
    walk.widget.close()


def test_rows_are_bounded(walk, monkeypatch):
    """So many rows may be open, and no more."""
    monkeypatch.setattr(tree, "MOST_ROWS", 150)
    walk.press("open", "numbers")
    assert walk.row("[99]")
    walk.press("more", None, "more")
    assert "close some first" in walk.row("numbers")["error"]


@pytest.mark.parametrize(
    "content",
    [
        {"kind": "open", "node": "1"},
        {"kind": "open", "node": 99},
        {"kind": "explode", "node": 1},
        {"kind": ["open"], "node": [1]},
        {"kind": "read", "node": 1},
        {"kind": "more", "node": 1},
        {},
    ],
    ids=repr,
)
def test_messages_that_make_no_sense(walk, content):
    """They do nothing."""
    before, asked = walk.widget.rows, walk.conn.statistics().requests_sent
    walk.widget.answer(content, [])
    walk.press("open", "parts")
    walk.press("close", "parts")
    assert walk.widget.rows == before
    assert walk.conn.statistics().requests_sent == asked + 1


ROW = ["name", "data", "", "", "", False, False, ()]


@pytest.mark.parametrize(
    "page",
    [
        {},
        {"rows": [], "total": "1"},
        {"rows": "rows", "total": 1},
        {"rows": [ROW[:5]], "total": 1},
        {"rows": [[1, *ROW[1:]]], "total": 1},
        {"rows": [[*ROW[:7], "step"]], "total": 1},
    ],
    ids=repr,
)
def test_pages_that_are_none(page):
    """What a peer sends instead of a page is refused."""
    nodes = tree.Tree(None, "x")
    with pytest.raises(RemoteProtocolError):
        nodes.take_page(nodes.root, None, page)


def test_hostile_pages():
    """Names are spelled out and cut, kinds are ours, and a promise of more ends with the rows."""
    nodes = tree.Tree(None, "x")
    hostile = ["<b>\x1b[2J\u202e" + "x" * 10_000, "<script>", "t" * 10_000, "", "", 1, 1, ()]
    nodes.take_page(nodes.root, None, {"rows": [hostile] * 1_000, "total": 10**30, "members": -1})
    node = nodes.root.children[0]
    assert node.name.startswith("<b>\\x1b[2J\\u202exxx")
    assert (node.kind, node.opens, node.reads) == ("data", False, False)
    assert len(node.name) < 200
    assert len(node.text) < 300
    assert len(nodes.root.children) == tree.PAGE
    assert nodes.root.left > 0
    nodes.take_page(nodes.root, None, {"rows": [], "total": 10**30})
    assert nodes.root.left == 0


def test_a_member_is_explored(conn):
    """A method stands for itself, without members."""
    shown = Explorer(conn.root.turn)
    eventually(lambda: shown.rows and shown.rows[0]["state"] == "open", SOON)
    assert [row["name"] for row in shown.rows] == ["turn"]
    shown.close()


@pytest.mark.parametrize("value", [5, [1], None], ids=repr)
def test_local_objects_are_refused(value):
    """Both say what they show."""
    with pytest.raises(TypeError, match="a local one"):
        Explorer(value)
    with pytest.raises(TypeError, match="shows a connection"):
        ConnectionCard(value)


def figures_of(card):
    """The figures, by name."""
    return dict(card.figures)


def test_a_card(conn):
    """It shows what goes over the connection, and measures the round trip while it is seen."""
    card = ConnectionCard(conn)
    eventually(lambda: "s" in figures_of(card).get("round trip", "not"), SOON)
    assert dict(card.facts)["protocol"] == "nbrpc/1"
    assert card.allows_code is False
    for _ in range(10):
        conn.root.turn(1.0)
    eventually(lambda: int(figures_of(card)["calls"].split()[0]) >= 10, SOON)
    assert "B/s" in figures_of(card)["sent"]
    assert card.state == "open"
    assert "nbrpc-card" in card.fallback()["text/html"]
    card.answer({"kind": "disconnect"}, [])
    eventually(lambda: card.state == "closed", SOON)
    assert conn.closed
    assert "this side" in card.reason
    assert "closed" in connection_bundle(conn)["text/plain"]
    card.close()


def test_a_card_of_a_lost_connection(serving, connecting, lab):
    """It says so by itself, and says why."""
    server = serving(lab)
    card = ConnectionCard(connecting(server))
    server.close()
    eventually(lambda: card.state == "lost", SOON)
    assert card.reason
    card.close()


def test_a_card_says_who_may_run_code(linked, serving, connecting, lab):
    """Code over there is told in the card and its text; code here, so that nobody overlooks it."""
    plain = linked(lab)
    told = connection_bundle(plain)
    assert "code" not in told["text/plain"]
    assert 'role="alert"' not in told["text/html"]
    server = serving(lab, allow_code=True)
    far = connection_bundle(connecting(server))
    assert far["text/plain"].endswith(", remote code allowed>")
    both = connecting(server, service=nbrpc.ClassicService)
    card = ConnectionCard(both)
    assert card.allows_code
    assert "may run code here" in card.danger
    said = card.fallback()
    assert "WARNING: this peer may run code here" in said["text/plain"]
    assert '<div role="alert"' in said["text/html"]
    card.close()


@pytest.mark.parametrize(
    ("count", "text"), [(0, "0 B"), (999, "999 B"), (12_345, "12.3 kB"), (2e15, "2e+03 TB")]
)
def test_sizes(count, text):
    """Three figures."""
    assert size(count) == text


@pytest.mark.kernel
def test_rpc_explore(connected):
    """The magic shows an explorer; of what is local it says so in one line."""
    cell = connected.ok("%rpc_explore conn.root")
    (content,) = cell.of("display_data")
    assert "temperature" in content["data"]["text/html"]
    assert content["data"]["text/plain"].startswith("conn.root at bench")
    assert "application/vnd.jupyter.widget-view+json" in content["data"]
    for line, said in (
        ("1 + 1", "1 + 1 is a local int"),
        ("nothing", "cannot be evaluated"),
        ("", "needs a remote object"),
    ):
        cell = connected.run(f"%rpc_explore {line}")
        assert cell.reply["ename"] == "UsageError"
        assert said in cell.reply["evalue"]
    assert "%rpc_explore EXPR" in connected.ok("%rpc_explore --help").text()
