"""Named sessions: what outlives the link, the connection and the client's process."""

from __future__ import annotations

import contextlib
import itertools
import os
import random
import signal
import subprocess
import sys
import time

import psutil
import pytest

import nbrpc
from nbrpc.protocol.messages import Operation
from nbrpc.session.named_sessions import SessionInfo
from tests.faults import FaultProxy
from tests.support import eventually

QUICK = nbrpc.Timing(heartbeat=0.5, silent_after=2.0)
ENDLESS = "import time\nprint('begun', flush=True)\ntime.sleep(600)"  # what the cell does
COUNTING = (  # its pauses are what the cell does
    "import time\nfor number in range({}):\n    print(number, flush=True)\n    time.sleep({})\n"
)


@pytest.fixture
def server(served):
    """A classic server in a process of its own."""
    return served("--classic")


@pytest.fixture
def link(server):
    """A proxy before that server."""
    port, token = int(server.url.split(":")[2].split("/")[0]), server.url.split("token=")[1]
    with FaultProxy(port) as proxy:
        proxy.token = token
        yield proxy


def connect(server, name="night", **options):
    """Attach to a session."""
    return nbrpc.connect(server.url, session=name, **options)


def text_of(result):
    """Give what a cell has printed."""
    return "".join(content for kind, content in result.outputs if kind == "stdout")


def test_namespace_outlives_the_connection(server):
    """Variables, functions, eval, execute, cells and the namespace itself are those of before."""
    with connect(server) as conn:
        assert conn.sessions.began_anew
        assert conn.sessions.attached == "night"
        conn.execute("def twice(n): return n * scale")
        conn.run_cell("scale = 2").wait(20)
    with connect(server) as conn:
        assert not conn.sessions.began_anew
        assert conn.eval("twice(21)") == 42
        conn.namespace["scale"] = 3
        assert conn.run_cell("x = twice(1)", pull=("x",)).result(20) == {"x": 3}
    with nbrpc.connect(server.url) as other, pytest.raises(NameError):
        other.eval("scale")
    with connect(server, "day") as other, pytest.raises(NameError):
        other.eval("scale")


def test_cell_outlives_its_client(server, tmp_path):
    """A client is killed while its cell runs; the next finds the cell, its output and its end."""
    gate = tmp_path / "gate"
    source = (
        f"import os, time\nprint('begun', flush=True)\nwhile not os.path.exists({str(gate)!r}):\n"
        "    time.sleep(0.01)\nprint('done')\nfound = 42"  # the pace of its looks
    )
    program = (
        "import sys, nbrpc\n"
        "conn = nbrpc.connect(sys.argv[1], session='night')\n"
        "result = conn.run_cell(sys.argv[2], pull=('found',))\n"
        "while not result.outputs: result.session.ping(3)\n"
        "print('begun', flush=True)\n"
        "result.wait()\n"
    )
    client = subprocess.Popen(
        [sys.executable, "-c", program, server.url, source], stdout=subprocess.PIPE
    )
    with client:
        assert client.stdout.readline() == b"begun\n"
        client.kill()
    with connect(server) as conn:
        (result,) = conn.sessions.results()
        assert result.call == "import os, time"
        assert conn.sessions.information().running == "import os, time"
        eventually(lambda: text_of(result) == "begun\n")
        assert not result.ready
        gate.touch()
        assert result.result(10) == {"found": 42}
        assert text_of(result) == "begun\ndone\n"
    with connect(server) as conn:
        (result,) = conn.sessions.results()
        assert result.result(10) == {"found": 42}
        assert text_of(result) == "begun\ndone\n"
        assert result.elapsed == pytest.approx(result.took)


def test_cut_link(link):
    """The link is cut while a cell runs: its result goes on, and no output is lost or doubled."""
    with nbrpc.connect(
        link.url, token=link.token, session="night", reconnect=True, timing=QUICK
    ) as conn:
        result = conn.run_cell(COUNTING.format(40, 0.02) + "y = number", pull=("y",))
        for cuts in range(3):
            eventually(lambda n=cuts: len(result.outputs) > 2 + 5 * n, 10)
            link.cut()
            eventually(lambda n=cuts: conn.revival.came_back == n + 1, 10)
        assert result.result(20) == {"y": 39}
        assert text_of(result).split() == [str(number) for number in range(40)]
        assert result.state == "ready"


def test_random_cuts(link):
    """Wherever the link breaks, a cell runs exactly once and all of its output arrives once."""
    chance = random.Random(5)
    with nbrpc.connect(
        link.url, token=link.token, session="night", reconnect=True, timing=QUICK
    ) as conn:
        conn.execute("import collections; ran = collections.Counter()")
        results = []
        for number in range(30):
            source = f"ran[{number}] += 1\nfor i in range(5): print({number}, i, flush=True)"
            results.append(conn.run_cell(source))
            if chance.random() < 0.4:
                chance.choice((link.cut, link.reset))()
        for number, result in enumerate(results):
            result.result(30)
            assert text_of(result) == "".join(f"{number} {i}\n" for i in range(5))
        assert dict(nbrpc.obtain(conn.eval("dict(ran)"))) == dict.fromkeys(range(30), 1)


def test_cell_begun_while_the_link_is_down(link):
    """It is sent when the link is back."""
    with nbrpc.connect(
        link.url, token=link.token, session="night", reconnect=True, timing=QUICK
    ) as conn:
        link.refuse()
        link.cut()
        eventually(lambda: conn.state == "reconnecting")
        result = conn.run_cell("x = 5", pull=("x",))
        assert result.state == "pending"
        link.pass_through()
        assert result.result(10) == {"x": 5}


def test_cancel_while_the_link_is_down(link):
    """The caller is free at once; the cell is stopped when the link is back."""
    with nbrpc.connect(
        link.url, token=link.token, session="night", reconnect=True, timing=QUICK
    ) as conn:
        result = conn.run_cell(ENDLESS)
        eventually(lambda: result.outputs)
        link.refuse()
        link.cut()
        eventually(lambda: conn.state == "reconnecting")
        result.cancel()
        assert result.state == "cancelling"
        link.pass_through()
        eventually(lambda: result.state == "cancelled", 10)
        assert conn.run_cell("x = 1", pull=("x",)).result(10) == {"x": 1}


def test_server_that_is_gone(served, link, server):
    """A server is killed and started anew: the cell is lost, is never run again, and all say so."""
    with nbrpc.connect(
        link.url, token=link.token, session="night", reconnect=True, timing=QUICK
    ) as conn:
        conn.execute("x = 1")
        result = conn.run_cell(ENDLESS)
        eventually(lambda: result.outputs)
        os.kill(server.pid, signal.SIGKILL)
        port = int(server.url.split(":")[2].split("/")[0])
        eventually(lambda: conn.state == "reconnecting")
        token = server.output.parent / "token"
        token.write_text(link.token)
        served("--classic", "--token-file", str(token), port=port)
        with pytest.raises(nbrpc.ConnectionLost, match="session night was is gone") as raised:
            result.result(20)
        assert raised.value.maybe_executed
        assert result.state == "lost"
        eventually(lambda: conn.state == "open", 10)
        assert conn.sessions.began_anew
        with pytest.raises(NameError):
            conn.eval("x")
        assert conn.sessions.information().results == 0


def test_closing_leaves_the_cell(server):
    """`close` ends the result and not the cell, which says where it is found."""
    conn = connect(server)
    result = conn.run_cell(ENDLESS)
    eventually(lambda: result.outputs)
    conn.close()
    with pytest.raises(nbrpc.ConnectionLost):
        result.result(5)
    with connect(server) as conn:
        (again,) = conn.sessions.results()
        assert not again.ready
        again.cancel()
        eventually(lambda: again.state == "cancelled")


def test_two_connections_share_a_session(server):
    """Both see the variables, the cells and their output; either can cancel."""
    with connect(server) as one, connect(server) as two:
        assert two.sessions.information().connections == 2
        one.execute("x = 1")
        assert two.eval("x") == 1
        first = one.run_cell(ENDLESS)
        eventually(lambda: first.outputs)
        (second,) = two.sessions.results()
        eventually(lambda: text_of(second) == "begun\n")
        second.cancel()
        with pytest.raises(nbrpc.CallCancelled):
            first.result(10)


def test_failure_is_kept(server):
    """An exception comes to whoever looks later, with its traceback; its frames hold no data."""
    with connect(server) as conn:
        conn.run_cell("def f():\n    big = bytearray(8)\n    return 1 / 0\nf()").wait(20)
        conn.run_cell("pass").wait(20)
    with connect(server) as conn:
        failed, _ = conn.sessions.results()
        with pytest.raises(ZeroDivisionError) as raised:
            failed.result(10)
        assert "in f" in str(raised.value.remote_traceback)
        assert failed.state == "error"


def test_progress_is_kept(server):
    """Whoever follows a cell is told how far it is."""
    with connect(server) as conn:
        conn.execute("import nbrpc, threading; gate = threading.Event()")
        conn.run_cell("for i in nbrpc.track(range(10), text='scan'):\n    if i == 5: gate.wait()")
        watching = connect(server)
        with watching:
            eventually(lambda: watching.sessions.information().running)
            (result,) = watching.sessions.results()
            eventually(lambda: result.progress)
            assert result.progress.text == "scan"
            conn.eval("gate.set()")
            result.result(10)
            assert result.progress.done == 10


def test_display_and_last_value_are_kept(server):
    """Rich output and the value of the last expression are outputs like any other."""
    with connect(server) as conn:
        conn.run_cell("from IPython.display import HTML, display\ndisplay(HTML('<b>x</b>'))\n6 * 7")
        eventually(lambda: conn.sessions.information().results == 1, 20)
    with connect(server) as conn:
        (result,) = conn.sessions.results()
        result.result(10)
        kinds = dict(result.outputs)
        assert kinds["display"]["data"]["text/html"] == "<b>x</b>"
        assert kinds["result"]["data"]["text/plain"] == "42"


def test_restart_gives_memory_back(server):
    """A fresh namespace for all who are attached; what runs stops; the memory is the system's."""
    process = psutil.Process(server.pid)
    with connect(server) as conn, connect(server) as other:
        conn.execute("import numpy")
        before = process.memory_info().rss
        conn.execute(
            "big = numpy.ones(20_000_000); many = [str(i) for i in range(1_000_000)]\n"
            "def recursive(): return recursive, big"
        )
        failed = conn.run_cell("def f():\n    local = numpy.ones(5_000_000)\n    1 / 0\nf()")
        failed.wait(20)
        running = conn.run_cell(ENDLESS)
        eventually(lambda: running.outputs)
        assert process.memory_info().rss - before > 200e6
        assert conn.sessions.restart().variables == 0
        with pytest.raises(nbrpc.CallCancelled):
            running.result(10)
        assert process.memory_info().rss - before < 30e6
        for attached in (conn, other):
            with pytest.raises(NameError):
                attached.eval("big")
        conn.execute("x = 1")
        assert other.eval("x") == 1
        assert conn.sessions.results() == []


def test_what_cannot_be_stopped(serving, connecting):
    """A session begins anew although a cell runs on, and that is said."""
    server = serving(nbrpc.ClassicService)
    conn = connecting(server, session="night")
    source = (
        "import time\nprint('begun', flush=True)\nends = time.monotonic() + 4\n"
        "while time.monotonic() < ends:\n"
        "    try:\n        time.sleep(0.01)\n    except BaseException:\n        pass\n"  # stubborn
    )
    result = conn.run_cell(source)
    eventually(lambda: result.outputs)
    with pytest.raises(TimeoutError, match="cannot be stopped and runs on"):
        conn.sessions.restart()
    result.wait(10)


def test_end(server):
    """A session that was ended is in no list, and who is attached is told what to do."""
    with connect(server) as conn, connect(server) as other:
        conn.execute("x = 1")
        conn.sessions.end()
        assert list(conn.sessions) == []
        for attached in (conn, other):
            for use in (
                lambda c: c.eval("x"),
                lambda c: c.run_cell("x").result(10),
                lambda c: c.complete("x", 1),
            ):
                with pytest.raises(LookupError, match=r"was ended: connect again"):
                    use(attached)
        other.sessions.attach("night")
        assert other.sessions.began_anew
        with pytest.raises(NameError):
            other.eval("x")


def test_list(server):
    """Each session with what is in it."""
    with connect(server) as conn:
        conn.execute("x = y = 1; _hidden = 2")
        conn.run_cell("z = 3").wait(20)
        with connect(server, "day"):
            night, day = conn.sessions
        assert night._replace(created=0, expires_in=None) == SessionInfo(
            "night", 0, 1, 3, "", None, 1, 0.0, None
        )
        assert abs(night.created - time.time()) < 60
        assert (day.name, day.variables, day.connections) == ("day", 0, 1)
        eventually(lambda: [info.connections for info in conn.sessions] == [1, 0])
        assert eventually(lambda: list(conn.sessions)[1].idle) > 0


@pytest.mark.parametrize("name", ["", "x" * 101, "a\nb", "\x1b[31m", 5, None])
def test_bad_names(server, name):
    """A name that a list cannot show is refused."""
    with nbrpc.connect(server.url) as conn, pytest.raises(ValueError, match="1 to 100 characters"):
        conn.sessions.attach(name)


def test_unknown_sessions(server):
    """What is asked of a session that is not there says which there are."""
    with connect(server) as conn:
        for ask in (conn.sessions.restart, conn.sessions.end, conn.sessions.information):
            with pytest.raises(
                LookupError, match=r"there is no session 'nosuch' .* there is night"
            ):
                ask("nosuch")
    with nbrpc.connect(server.url) as conn:
        for ask in (conn.sessions.restart, conn.sessions.end, conn.sessions.results):
            with pytest.raises(ValueError, match="attached to no session"):
                ask()


def test_without_the_right_to_run_code(served):
    """A server that lets nobody run code keeps no sessions, and says what to do."""
    bench = served("nbrpc.demo:Bench")
    with pytest.raises(nbrpc.AccessDenied, match="does not let clients run code"):
        nbrpc.connect(bench.url, session="night")


def test_root_in_a_session(served):
    """What is served is ``root`` there, as in any remote cell."""
    bench = served("nbrpc.demo:Bench", "--allow-code")
    with connect(bench) as conn:
        assert conn.eval("type(root).__name__") == "Bench"
        conn.sessions.restart()
        assert conn.eval("type(root).__name__") == "Bench"


def test_expiry(serving, connecting):
    """A session without connections and running cells ends after its time."""
    server = serving(nbrpc.ClassicService, timing=nbrpc.Timing(session_expiry=0.3))
    watching = connecting(server)
    conn = connecting(server, session="night")
    conn.execute("import threading; gate = threading.Event()")
    cell = conn.run_cell("print('begun', flush=True); gate.wait()")
    eventually(lambda: cell.outputs)
    gate = conn.eval("gate")
    keeper = next(iter(server.sessions._by_name.values())).namespace["gate"]
    del gate
    conn.close()
    began = time.monotonic()
    eventually(lambda: time.monotonic() - began > 0.6)  # twice its time, and a cell runs
    assert [info.name for info in watching.sessions] == ["night"]
    keeper.set()
    eventually(lambda: not list(watching.sessions), 10)


def test_too_many_sessions(serving, connecting):
    """One more than the limit is refused; the others live."""
    server = serving(nbrpc.ClassicService, limits=nbrpc.Limits(sessions=2))
    conn = connecting(server, session="one")
    connecting(server, session="two")
    with pytest.raises(nbrpc.LimitExceeded, match="keeps 2 sessions already"):
        connecting(server, session="three")
    conn.sessions.end("two")
    assert conn.sessions.attach("three").name == "three"


def test_kept_output_is_bounded(serving, connecting):
    """The oldest output goes, of the oldest cells first, and who looks later is told so."""
    limits = nbrpc.Limits(session_output=100_000, session_results=3)
    server = serving(nbrpc.ClassicService, limits=limits)
    conn = connecting(server, session="night")
    for number in range(5):
        conn.run_cell(f"print('cell {number}')").wait(20)
    wanted = [f"print('cell {n}')" for n in (2, 3, 4)]
    # The oldest is forgotten when the cell has ended, which its result may overtake.
    eventually(lambda: [r.call for r in conn.sessions.results()] == wanted)
    cell = conn.run_cell("for i in range(100): print('x' * 9_999)")
    cell.wait(20)
    assert len(text_of(cell)) == 1_000_000  # all of it came to who was there
    kept = next(iter(server.sessions._by_name.values()))
    assert kept._size <= 100_000
    assert kept._size == sum(cell.size for cell in kept.cells.values())
    again = conn.sessions.results()[-1]
    again.wait(10)
    first = again.outputs[0]
    assert first[0] == "stderr"
    assert "earlier pieces of output are not kept" in first[1]
    assert set(text_of(again)) == {"x", "\n"}
    assert again.received == cell.received


def test_cell_that_is_kept_no_longer(serving, connecting):
    """A number that ran is never run again, although what it gave is forgotten."""
    server = serving(nbrpc.ClassicService, limits=nbrpc.Limits(session_results=1))
    conn = connecting(server, session="night")
    first = conn.run_cell("runs = globals().get('runs', 0) + 1")
    first.wait(20)
    conn.run_cell("pass").wait(20)
    again = conn.sessions._result("again", first.number)
    again.request = first.request
    again.ask()
    with pytest.raises(LookupError, match="kept no longer"):
        again.result(10)
    assert conn.eval("runs") == 1


def test_slow_follower_costs_the_cell_nothing(link):
    """A frozen client's link is cut; the cell runs on, and the client catches up afterwards."""
    with nbrpc.connect(
        link.url, token=link.token, session="night", reconnect=True, timing=QUICK
    ) as conn:
        source = "for i in range(3_000):\n    print(f'{i:05}', 'x' * 1_000)"
        link.freeze()
        result = conn.run_cell(source)
        with contextlib.suppress(nbrpc.ConnectionLost):
            link.pass_through()
        result.result(30)
        lines = text_of(result).splitlines()
        assert [line[:5] for line in lines] == [f"{i:05}" for i in range(3_000)]


def test_hostile_requests(server):
    """What no client of ours asks is a failure of that request, and nothing else."""
    with connect(server) as conn:
        ask = conn.session.request
        session = Operation.SESSION
        cell = Operation.CELL
        strange = [(), ("night",), ("night", 1), (1,), (None,), ([],), ("x" * 10_000,)]
        actions = [
            "",
            "attach",
            "list",
            "describe",
            "results",
            "restart",
            "end",
            "__init__",
            "close",
        ]
        for action, args in itertools.product(actions, strange):
            if (action, args) in (("list", ()), ("attach", ("night",))) or args == ("night",):
                continue
            with pytest.raises((LookupError, TypeError, ValueError, nbrpc.NbrpcError)):
                ask(session, 0, action, args)
        arguments = ("<cell>", 1, None, ())
        for more in ((), ("n",), (1, 2), ("n", -1), ("n", "x"), ([], 0)):
            with pytest.raises((LookupError, TypeError, ValueError, nbrpc.NbrpcError)):
                ask(cell, 0, "pass", (*arguments, *more))
        assert conn.eval("6 * 7") == 42
