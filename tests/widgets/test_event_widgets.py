"""EventFeed, ValueTile and LivePlot in a real kernel: what they send, and what they survive."""

from __future__ import annotations

import re
import time
from array import array

import pytest

pytestmark = pytest.mark.kernel

PRODUCER = """
import threading
from nbrpc.widgets import EventFeed, LivePlot, ValueTile

class Producer(nbrpc.Service):
    first = nbrpc.event()
    second = nbrpc.event()

def emit_all(event, values):
    threading.Thread(target=lambda: [event.emit(value) for value in values]).start()

producer = Producer()
server = nbrpc.serve(producer)
link = nbrpc.connect(server.url)
far = link.root
"""


@pytest.fixture
def producer(loaded):
    """A kernel that serves events to itself; ``far`` is the remote side of ``producer``."""
    loaded.ok(PRODUCER)
    yield loaded
    loaded.ok("link.close(); server.close()")


def printed(kernel, expression):
    """The value of an expression in the kernel, as text."""
    return kernel.ok(f"print({expression})").text().strip()


def settled(kernel, condition, timeout=20.0):
    """Wait in the kernel's own cell until a condition holds."""
    kernel.ok(
        f"deadline = time.monotonic() + {timeout}\n"
        f"while not ({condition}):\n"
        f"    assert time.monotonic() < deadline\n"
        f"    time.sleep(0.02)",
        timeout + 10,
    )


def messages(kernel, model):
    """All that was sent to the pages of a widget, as the contents and the buffers."""
    found = [message for cell in kernel.cells.values() for message in cell.outputs]
    return [
        (message["content"]["data"], message["buffers"])
        for message in [*found, *kernel.strays]
        if message["msg_type"] == "comm_msg" and message["content"]["comm_id"] == model
    ]


def customs(kernel, model, kind):
    """The custom messages of a kind."""
    return [
        (data["content"], buffers)
        for data, buffers in messages(kernel, model)
        if data["method"] == "custom" and data["content"]["kind"] == kind
    ]


def from_page(kernel, model, content):
    """Send what a page sends."""
    data = {"method": "custom", "content": content}
    message = kernel.client.session.msg("comm_msg", {"comm_id": model, "data": data})
    kernel.client.shell_channel.send(message)


def numbers(buffer, rows):
    """The columns in a buffer."""
    values = array("d", bytes(buffer))
    return [list(values[start : start + rows]) for start in range(0, len(values), rows)]


def test_a_feed_sends_rows_and_figures(producer):
    """Every event becomes a row with its time and text; what is hostile in it is spelled out."""
    producer.ok("feed = far.first.feed()")
    model = printed(producer, "feed.model_id")
    producer.ok("for value in ['too hot', 2.5, '\\x1b[31m<script>']: producer.first.emit(value)")
    producer.read_until(
        lambda: sum(len(content["rows"]) for content, _ in customs(producer, model, "rows")) == 3
    )
    rows = [row for content, _ in customs(producer, model, "rows") for row in content["rows"]]
    assert [row[0] for row in rows] == [1, 2, 3]
    assert all(abs(row[1] - time.time()) < 60 for row in rows)
    assert [row[2] for row in rows] == ["too hot", "2.5", r"\x1b[31m<script>"]
    assert customs(producer, model, "rows")[-1][0]["figures"][:2] == [3, 0]
    html = producer.ok("feed").of("execute_result") or producer.ok("feed").of("display_data")
    assert "too hot" in html[0]["data"]["text/html"]
    assert "nbrpc-feed" in html[0]["data"]["text/html"]
    assert "<script>" not in html[0]["data"]["text/html"]
    producer.ok("feed.close()")


def test_a_feed_moves_while_a_cell_blocks(producer):
    """Rows are sent while the main thread is busy."""
    producer.ok("feed = far.first.feed()")
    model = printed(producer, "feed.model_id")
    producer.ok("threading.Timer(0.3, producer.first.emit, ['meanwhile']).start()")
    busy = producer.start(
        "deadline = time.monotonic() + 20\nwhile time.monotonic() < deadline: pass"
    )
    producer.read_until(
        lambda: any(content["rows"] for content, _ in customs(producer, model, "rows"))
    )
    assert not busy.idle
    producer.interrupt()
    producer.finish(busy)
    producer.ok("feed.close()")


def test_a_flood_is_counted_and_costs_few_messages(producer):
    """Every event is received or counted as dropped, in ten messages a second."""
    producer.ok("feed = far.first.feed()")
    model = printed(producer, "feed.model_id")
    started = time.monotonic()
    producer.ok("emit_all(producer.first, range(30_000))")
    settled(producer, "feed._source.received + feed._source.dropped == 30_000", 60)
    producer.settle()
    seconds = time.monotonic() - started
    sent = messages(producer, model)
    assert len(sent) <= 10 * seconds + 10
    assert sum(customs(producer, model, "rows")[-1][0]["figures"][:2]) == 30_000
    rows = [row for content, _ in customs(producer, model, "rows") for row in content["rows"]]
    assert rows[-1][2] == "29999"
    producer.ok("feed.close()")


def test_a_page_that_opens_gets_the_rows_and_may_clear_them(producer):
    """A greeting is answered with all rows; after clearing there are none."""
    producer.ok("feed = far.first.feed()\nfor value in range(300): producer.first.emit(value)")
    settled(producer, "feed._number == 300")
    model = printed(producer, "feed.model_id")
    from_page(producer, model, {"kind": "hello"})
    producer.read_until(
        lambda: any(content["whole"] for content, _ in customs(producer, model, "rows"))
    )
    (whole,) = [content for content, _ in customs(producer, model, "rows") if content["whole"]]
    assert [row[2] for row in whole["rows"]] == [str(value) for value in range(100, 300)]
    from_page(producer, model, {"kind": "clear"})
    producer.read_until(
        lambda: any(
            content["whole"] and not content["rows"]
            for content, _ in customs(producer, model, "rows")
        )
    )
    producer.ok("feed.close()")


def test_a_tile_shows_the_newest_value(producer):
    """Of many values the last one is shown, with a line of the latest numbers."""
    producer.ok("tile = ValueTile(far.first, 'housing, °C')")
    model = printed(producer, "tile.model_id")
    producer.ok("for value in range(5000): producer.first.emit(value / 2)")
    settled(producer, "tile.number == 2499.5")
    assert printed(producer, "tile.value, tile.state, tile.title") == ("2499.5 live housing, °C")
    assert int(printed(producer, "len(tile.trend)")) <= 60
    producer.ok("producer.first.emit(1, 2 / 3)")
    settled(producer, "tile.value == '1, 0.666667'")
    producer.ok("producer.first.emit('broken')")
    settled(producer, "tile.value == 'broken'")
    assert printed(producer, "tile.number, tile.trend") == "None []"
    producer.settle()
    assert len(messages(producer, model)) < 40
    assert "broken" in printed(producer, "tile.fallback()['text/html']")
    producer.ok("tile.close()")


def test_no_event_waits_for_the_next(producer):
    """A tile has credit for one event only: it is paid at once, whatever the moment."""
    producer.ok("tile = ValueTile(far.first)")
    producer.ok(
        "for index in range(60):\n"
        "    producer.first.emit(index)\n"
        "    deadline = time.monotonic() + 20\n"
        "    while tile.number != index or tile.state != 'live':\n"
        "        assert time.monotonic() < deadline, index\n"
        "        time.sleep(0.005)",
        60,
    )
    producer.ok("tile.close()")


def test_an_event_that_cannot_be_read_is_counted(producer):
    """It is told, uses up no credit, and what comes after it is shown."""
    producer.ok(
        "import dataclasses\n"
        "picky = False\n"
        "@dataclasses.dataclass(frozen=True)\n"
        "class Level:\n"
        "    value: float\n"
        "    def __post_init__(self):\n"
        "        if picky: raise ValueError('not this one')\n"
        "nbrpc.register_value(Level)\n"
        "level = Level(1.5)\n"
        "tile, feed = ValueTile(far.first), far.first.feed()\n"
        "picky = True"
    )
    producer.ok("for value in (level, level, 3): producer.first.emit(value)")
    settled(producer, "tile.number == 3 and feed._source.received == 3")
    assert printed(producer, "[text for number, when, text in feed._rows]") == "['3']"
    producer.ok("tile.close(); feed.close()")


def test_a_plot_sends_numbers_and_gives_a_frame(producer):
    """What is drawn is sent as binary numbers, and is there as a table."""
    producer.ok("plot = far.first.plot(x=0, y=1)")
    model = printed(producer, "plot.model_id")
    producer.ok("for index in range(100): producer.first.emit(index / 10, index * 1.5, 'ignored')")
    producer.read_until(
        lambda: sum(content["rows"] for content, _ in customs(producer, model, "samples")) == 100
    )
    xs, ys = [], []
    for content, buffers in customs(producer, model, "samples"):
        if content["rows"]:
            assert content["names"] == ["first[1]"]
            some_xs, some_ys = numbers(buffers[0], content["rows"])
            xs += some_xs
            ys += some_ys
    assert xs == [index / 10 for index in range(100)]
    assert ys == [index * 1.5 for index in range(100)]
    producer.ok("frame = plot.to_frame()")
    assert printed(producer, "frame.index.name, list(frame.columns), len(frame)") == (
        "first[0] ['first[1]'] 100"
    )
    assert printed(producer, "frame['first[1]'].iloc[-1]") == "148.5"
    html = printed(producer, "plot.fallback()['text/html']")
    assert "nbrpc-plot" in html
    assert "data:image/svg+xml," in html
    producer.ok("plot.clear()")
    assert printed(producer, "len(plot.to_frame())") == "0"
    producer.ok("plot.close()")


def test_a_plot_takes_numbers_parts_and_blocks(producer):
    """Numbers, mappings and arrays of one event are series of one chart, over time."""
    producer.ok("import numpy")
    producer.ok("plot = far.first.plot(window=5)")
    producer.ok(
        "producer.first.emit(1.5)\n"
        "producer.first.emit({'a': 1, 'b': 2})\n"
        "producer.first.emit(numpy.arange(10.0))\n"
        "producer.first.emit('text')\n"
        "producer.first.emit(nbrpc.by_reference([1, 2]))"
    )
    settled(producer, "plot._reader.refused == 2")
    producer.ok("frame = plot.to_frame()")
    assert printed(producer, "len(frame), list(frame.columns), str(frame.index.dtype)[:10]") == (
        "12 ['first', 'a', 'b'] datetime64"
    )
    assert printed(producer, "frame['first'].count(), frame['a'].count()") == "11 1"
    assert printed(producer, "frame.index.is_monotonic_increasing") == "True"
    assert "remote object" in printed(producer, "plot._reader.refusal")
    producer.ok("plot.close()")


def test_a_page_that_opens_gets_the_whole_window(producer):
    """A greeting is answered to that page with all samples, thinned without loss of an extreme."""
    producer.ok("import numpy\nplot = far.first.plot()")
    producer.ok(
        "values = numpy.zeros(300_000)\nvalues[123_456] = 7\n"
        "producer.first.emit(nbrpc.by_value(values))"
    )
    settled(producer, "len(plot._table) == 300_000")
    model = printed(producer, "plot.model_id")
    from_page(producer, model, {"kind": "hello", "token": "page"})
    from_page(producer, model, {"kind": "hello", "token": 3})
    producer.read_until(
        lambda: any(content["to"] for content, _ in customs(producer, model, "samples"))
    )
    ((content, buffers),) = [
        (content, buffers)
        for content, buffers in customs(producer, model, "samples")
        if content["to"]
    ]
    assert (content["to"], content["end"]) == ("page", 300_000)
    _, ys = numbers(buffers[0], content["rows"])
    assert len(ys) <= 100_000
    assert max(ys) == 7
    producer.ok("plot.close()")


@pytest.mark.parametrize(
    ("expression", "sentence"),
    [
        ("EventFeed(3)", "TypeError: an event of a remote object is needed"),
        ("LivePlot(far)", "TypeError: an event of a remote object is needed"),
        ("ValueTile(producer.first)", "TypeError: an event of a remote object is needed"),
        ("ValueTile(far.first, 3)", "TypeError: label is text, not int"),
        ("far.first.plot(window=0)", "ValueError: window is above 0, not 0"),
        ("far.first.plot(window='1 min')", "TypeError: window is a number, not str"),
        ("far.first.plot(y=1.5)", "TypeError: y is a name or a place in the values, not 1.5"),
        ("far.first.plot(x=[0])", "TypeError: x is a name or a place in the values, not [0]"),
    ],
)
def test_bad_arguments_get_one_sentence(producer, expression, sentence):
    """A mistake is told at once, and leaves no subscription behind."""
    cell = producer.run(expression)
    assert cell.reply["status"] == "error"
    assert sentence in cell.traceback
    assert printed(producer, "producer.first.subscribers") == "()"


def test_a_lost_connection_is_told_and_what_was_seen_stays(producer):
    """The state says so; the rows, the value and the samples are still there."""
    producer.ok("feed, tile, plot = far.first.feed(), ValueTile(far.first), far.first.plot()")
    producer.ok("for value in range(3): producer.first.emit(value)")
    settled(producer, "tile.number == 2 and len(plot._table) == 3 and feed._number == 3")
    producer.ok("link.close()")
    settled(producer, "{feed.state, tile.state, plot.state} == {'lost'}")
    assert printed(producer, "len(plot.to_frame()), tile.value") == "3 2"
    assert "connection lost" in printed(producer, "feed.fallback()['text/html']")
    producer.ok("feed.close(); tile.close(); plot.close()")


def test_an_ended_subscription_says_why(connected):
    """A watch whose getter fails has ended, and the reason is told."""
    connected.ok(
        "class Gone:\n"
        "    @property\n"
        "    @nbrpc.exposed\n"
        "    def level(self):\n"
        "        if broken: raise OSError('no such device')\n"
        "        return 1.5\n"
        "broken = False\n"
        "server = nbrpc.serve(Gone())\n"
        "link = nbrpc.connect(server.url)\n"
        "tile = nbrpc.widgets.ValueTile(nbrpc.watch(link.root, 'level', 0.05))"
    )
    settled(connected, "tile.number == 1.5")
    connected.ok("broken = True")
    settled(connected, "tile.state == 'ended'")
    assert "no such device" in printed(connected, "tile.reason")
    connected.ok("tile.close(); link.close(); server.close()")


def test_closing_ends_the_subscription(producer):
    """Nobody is fed any more once the widgets are closed, and closing twice does nothing."""
    producer.ok("made = [far.first.feed(), ValueTile(far.first), far.first.plot()]")
    assert printed(producer, "len(producer.first.subscribers)") == "3"
    producer.ok("for widget in made: widget.close(); widget.close()")
    settled(producer, "producer.first.subscribers == ()")


def test_a_cell_that_runs_again_replaces_its_widgets(producer):
    """Several widgets over one event live in one cell; running it again closes the earlier ones."""
    source = "mine = [far.first.feed(), ValueTile(far.first), far.first.plot(), far.first.plot()]"
    producer.ok(source)
    producer.ok("earlier = mine")
    assert printed(producer, "[widget.closed for widget in earlier]") == str([False] * 4)
    assert printed(producer, "len(producer.first.subscribers)") == "4"
    producer.ok(source)
    assert printed(producer, "[widget.closed for widget in earlier + mine]") == str(
        [True] * 4 + [False] * 4
    )
    settled(producer, "len(producer.first.subscribers) == 4")
    producer.ok("for widget in mine: widget.close()")


def test_pages_need_no_network(producer):
    """What a page is sent names no address to load anything from."""
    producer.ok("plot = far.first.plot()")
    sent = producer.ok(
        "import re\n"
        "for text in (plot._esm, plot._css): print(re.sub(r'/\\*.*?\\*/', '', text, flags=re.S))"
    ).text()
    assert set(re.findall(r"https?://[^\s\"'`)]+", sent)) <= {"http://www.w3.org/2000/svg"}
    producer.ok("plot.close()")
