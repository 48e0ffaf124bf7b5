"""Results as widgets, seen from the kernel: what is sent, how often, and what stays behind."""

from __future__ import annotations

import pytest

from nbrpc.session.local_result import LocalResult, nowhere
from nbrpc.widgets.result_record import Record, record_of
from nbrpc.widgets.result_view import result_bundle

VIEW = "application/vnd.jupyter.widget-view+json"


def ended(kernel, cell, state):
    """The HTML of the result that a cell displayed, once it is in a state."""
    (content,) = cell.of("display_data")
    identity = content["transient"]["display_id"]
    kernel.read_until(lambda: f'data-state="{state}"' in kernel.displays[identity]["text/html"])
    return kernel.displays[identity]["text/html"]


def comm_messages(cell, kind="comm_msg"):
    """What was sent to widgets."""
    return [message["content"] for message in cell.outputs if message["msg_type"] == kind]


@pytest.mark.kernel
def test_display_is_a_widget_with_fallbacks_until_it_ends(connected):
    """While it runs: widget, HTML and text in one bundle; afterwards HTML and text alone."""
    cell = connected.ok("job = nbrpc.async_(dev.scan)(40); job")
    (content,) = cell.of("display_data")
    assert set(content["data"]) == {VIEW, "text/html", "text/plain"}
    identity = content["transient"]["display_id"]
    connected.read_until(lambda: 'data-state="ready"' in connected.displays[identity]["text/html"])
    assert set(connected.displays[identity]) == {"text/html", "text/plain"}
    assert "(ready)" in connected.displays[identity]["text/plain"]


@pytest.mark.kernel
def test_end_is_shown_while_a_cell_blocks(connected):
    """A result that ends while the main thread is busy is shown before that cell is done."""
    cell = connected.ok("job = nbrpc.async_(dev.scan)(60); job")
    identity = cell.of("display_data")[0]["transient"]["display_id"]
    busy = connected.start(
        "deadline = time.monotonic() + 20\nwhile time.monotonic() < deadline: pass"
    )
    connected.read_until(lambda: 'data-state="ready"' in connected.displays[identity]["text/html"])
    assert not busy.idle
    connected.interrupt()
    connected.finish(busy)


@pytest.mark.kernel
def test_end_between_cells_is_sent_again_with_the_next(connected):
    """A program that records only running cells learns of what ended between them."""
    cell = connected.ok("job = nbrpc.async_(dev.scan)(60); job")
    identity = cell.of("display_data")[0]["transient"]["display_id"]
    connected.read_until(lambda: 'data-state="ready"' in connected.displays[identity]["text/html"])
    following = connected.ok("1")
    (again,) = following.of("update_display_data")
    assert again["transient"]["display_id"] == identity
    assert connected.ok("2").of("update_display_data") == []


@pytest.mark.kernel
def test_output_and_outcome_of_a_remote_cell(connected):
    """The panel of a failed cell has its last lines, one line of error, and the frames."""
    cell = connected.ok(
        "%%remote -a --as job\nfor i in range(30): print('line', i)\ndef f(): return 1 / 0\nf()"
    )
    html = ended(connected, cell, "error")
    assert "line 29" in html
    assert "line 10\n" not in html
    assert "<summary" in html
    assert "ZeroDivisionError: division by zero" in html
    assert "return 1 / 0" in html


@pytest.mark.kernel
def test_rich_value_of_a_detached_cell(connected):
    """Figures and tables of a detached cell stand in its panel."""
    cell = connected.ok(
        "%%remote -a --as job\nfrom IPython.display import HTML, display\n"
        "display(HTML('<b>bold</b><script>alert(1)</script>'))"
    )
    html = ended(connected, cell, "ready")
    assert "<b>bold</b>" in html
    assert "<script" not in html


@pytest.mark.kernel
def test_view_stays_a_widget_and_its_fallbacks_become_true(connected):
    """A ResultView that is displayed remains one, with HTML and text that say how it ended."""
    connected.ok("from nbrpc.widgets import ResultView")
    cell = connected.ok("job = nbrpc.async_(dev.scan)(60); view = ResultView(job); view")
    html = ended(connected, cell, "ready")
    (content,) = cell.of("display_data")
    shown = connected.displays[content["transient"]["display_id"]]
    assert set(shown) == {VIEW, "text/html", "text/plain"}
    assert shown[VIEW] == content["data"][VIEW]
    assert "(ready)" in shown["text/plain"]
    (content,) = connected.ok("view").of("display_data")
    assert content["data"]["text/html"] == html
    assert content["data"][VIEW] == shown[VIEW]


@pytest.mark.kernel
def test_wait_sends_the_states_of_widgets(connected):
    """After %rpc_wait a program that records only the running cell has the final states."""
    connected.ok(
        "from nbrpc.widgets import ResultBoard, ResultView\njob = nbrpc.async_(dev.scan)(5)"
    )
    connected.ok("widgets = [ResultView(job), ResultBoard([job])]; await job")
    connected.settle()
    cell = connected.ok("%rpc_wait job")
    states = [message["data"].get("state", {}) for message in comm_messages(cell)]
    assert "ready" in [state.get("state") for state in states]
    rows = [state["rows"] for state in states if state.get("rows") and "title" in state]
    assert ["ready"] in [[row["state"] for row in shown] for shown in rows]


@pytest.mark.kernel
def test_updated_display_of_a_detached_cell(connected):
    """A display that is updated stands in the panel once, as it is in the end."""
    cell = connected.ok(
        "%%remote -a --as job\nfrom IPython.display import HTML, display\n"
        "handle = display(HTML('<b>first</b>'), display_id=True)\n"
        "handle.update(HTML('<b>second</b>'))\ndisplay(HTML('<b>third</b>'))"
    )
    html = ended(connected, cell, "ready")
    assert "first" not in html
    assert html.index("<b>second</b>") < html.index("<b>third</b>")


@pytest.mark.kernel
def test_results_of_this_process(connected):
    """What runs here is on no server, and its error has the frames of the user."""
    cell = connected.ok("def broken():\n    return 1 / 0\nnbrpc.async_(broken)()")
    html = ended(connected, cell, "error")
    assert ">on " not in html
    assert "return 1 / 0" in html
    assert "nbrpc/session" not in html


@pytest.mark.kernel
def test_board_of_many_results_is_quiet(connected):
    """500 results cost at most ten messages a second, and the last one tells the truth."""
    connected.ok("from nbrpc.widgets import ResultBoard")
    cell = connected.ok(
        "results = [nbrpc.async_(dev.sweep)(0, 5, 2) for _ in range(480)]\n"
        "results += [nbrpc.async_(dev.scan)(100) for _ in range(20)]\n"
        "begun = time.monotonic()\nboard = ResultBoard(results); board"
    )
    connected.read_until(lambda: cell.idle)
    waiting = connected.ok(
        "nbrpc.gather(results).wait()\n"
        "while board.counts['ready'] < 500: time.sleep(0.01)\n"
        "time.monotonic() - begun"
    )
    seconds = float(waiting.value)
    messages = comm_messages(cell) + comm_messages(waiting)
    messages = [message for message in messages if message["data"].get("method") == "custom"]
    assert len(messages) <= 10 * seconds + 2
    states = {}
    for message in messages:
        for row in message["data"]["content"]["rows"]:
            states[row["id"]] = row["state"]
    assert set(states.values()) == {"ready"}
    connected.ok("board.close()")


@pytest.mark.kernel
def test_board_frees_values(connected):
    """What a board shows of a result does not keep its value."""
    connected.ok(
        "import gc, weakref\nresult = nbrpc.async_(dev.sweep)(0, 5, 2)\nresult.wait()\n"
        "board = ResultBoard([result])\nseen = weakref.ref(result)\n"
    )
    connected.ok("del result\ngc.collect()")
    assert connected.ok("seen() is None, board.counts['ready']").value == "(True, 1)"
    connected.ok("board.close()")


@pytest.mark.kernel
def test_rpc_results_shows_those_to_come(connected):
    """The board of a notebook has its results, old and new."""
    connected.ok("first = nbrpc.async_(dev.sweep)(0, 5, 2)\nfirst.wait()")
    cell = connected.ok("%rpc_results")
    (content,) = cell.of("display_data")
    assert VIEW in content["data"]
    assert "sweep" in content["data"]["text/html"]
    later = connected.ok("second = nbrpc.async_(dev.scan)(3)\nsecond.wait()")
    connected.read_until(
        lambda: any(
            "scan(3)" in str(message["data"])
            for message in comm_messages(later) + comm_messages(cell)
        )
    )


@pytest.mark.kernel
def test_widgets_of_an_earlier_run_are_closed(connected):
    """Running a cell again closes the widgets that it had made."""
    source = "board = ResultBoard([]); board"
    connected.ok(source)
    connected.ok("earlier = board")
    connected.ok(source)
    assert connected.ok("earlier.closed, board.closed").value == "(True, False)"
    connected.ok("pair = [ResultBoard([]), ResultBoard([])]")
    assert connected.ok("[board.closed for board in pair]").value == "[False, False]"


@pytest.mark.kernel
@pytest.mark.parametrize("wrong", ["ResultView(5)", "ResultBoard([5])"])
def test_only_results_are_shown(connected, wrong):
    """What is no result is refused in one sentence."""
    connected.ok("from nbrpc.widgets import ResultBoard, ResultView")
    cell = connected.run(wrong)
    assert cell.reply["ename"] == "TypeError"
    assert "AsyncResult" in cell.reply["evalue"]
    assert "not int" in cell.reply["evalue"]


def test_tail_is_what_a_terminal_would_show():
    """Ten lines at most, a rewritten line in its last state, colours kept, controls gone."""
    record = Record()
    result = LocalResult(nowhere(), 0, "f()")
    for number in range(20):
        result.outputs.append(("stdout", f"{number}\n"))
    result.outputs.append(("stdout", "1 %\r50 %\r"))
    result.outputs.append(("stdout", "100 %\n\x1b[31mred\x1b[0m\x1b]0;title\x07\n"))
    record.read(result)
    assert record.tail.split("\n")[-2:] == ["100 %", "\x1b[31mred\x1b[0m"]
    assert record.tail.count("\n") == 9


def test_frames_of_libraries_are_folded():
    """The frames of the user are open, those of libraries are behind a count."""
    from nbrpc.widgets import page

    html = page.failure(
        "ValueError: no",
        "Traceback (most recent call last):\n"
        '  File "/home/ada/driver.py", line 3, in scan\n    numpy.f()\n'
        '  File "/usr/lib/python3/dist-packages/numpy/a.py", line 1, in f\n    g()\n'
        '  File "/usr/lib/python3/dist-packages/numpy/b.py", line 2, in g\n    raise\n'
        "ValueError: no\n",
    )
    before, _, after = html.partition('<details class="nbrpc-library">')
    assert "driver.py" in before
    assert "2 frames of libraries" in after
    folded, _, rest = after.partition("</details>")
    assert "b.py" in folded
    assert "ValueError: no" in rest


def test_bundle_of_a_hostile_name():
    """Names of a peer are text, of a bounded length."""
    result = LocalResult(nowhere(), 0, "<img src=x onerror=alert(1)>" + "x" * 10_000)
    bundle = result_bundle(result)
    assert "<img" not in bundle["text/html"]
    assert len(bundle["text/html"]) < 5_000
    result.give("\x1b]0;title\x07")
    assert "\x1b" not in str(result_bundle(result))
    assert record_of(result) is record_of(result)


@pytest.mark.kernel
def test_a_result_that_could_not_be_sent_has_ended(connected):
    """A board shows no result as running of which nothing was sent."""
    connected.ok("board = ResultBoard([])\nother = nbrpc.connect(conn.url, token=None)")
    connected.ok("known = []\nfrom nbrpc.session.result import AsyncResult")
    connected.ok("before = AsyncResult.announce\nAsyncResult.announce = known.append")
    try:
        connected.run("nbrpc.async_(dev.scan)(threading)")
        connected.ok("import threading")
        connected.run("nbrpc.async_(dev.scan)(nbrpc.by_value([threading.Lock()]))")
        connected.ok("other.close()")
        connected.run("other.run_cell('1')")
        assert connected.ok("[result.state for result in known]").value == "['error', 'lost']"
    finally:
        connected.ok("AsyncResult.announce = before\nboard.close()")
