"""%%remote in a real kernel, against a real server in another process."""

from __future__ import annotations

import time

import pytest

pytestmark = pytest.mark.kernel

PIXEL = (
    "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk"
    "+M9QDwADhgGAWjR9awAAAABJRU5ErkJggg=="
)


def test_output_is_live(connected):
    """Lines appear in the cell while the remote cell goes on."""
    cell = connected.start(
        "%%remote\nimport time\nfor i in range(3):\n    print('line', i)\n    time.sleep(0.3)"
    )
    connected.read_until(lambda: "line 1" in cell.text())
    assert not cell.idle
    assert "line 2" not in cell.text()
    connected.finish(cell)
    assert cell.text() == "line 0\nline 1\nline 2\n"


def test_last_value(connected):
    """The last value is the Out of the cell, in every format that it has."""
    assert connected.ok("%%remote\n6 * 7").value == "42"
    cell = connected.ok("%%remote\nimport pandas as pd\npd.DataFrame({'x': [1, 2]})")
    (result,) = cell.of("execute_result")
    assert "<table" in result["data"]["text/html"]
    assert connected.ok("%%remote\n5;").of("execute_result") == []


def test_namespace_lasts_and_root_is_served(connected):
    """Cells of one connection share names, and `root` is what the server serves."""
    connected.ok("%%remote\nx = 20")
    assert connected.ok("%%remote\nx + 1, type(root).__name__").value == "(21, 'Bench')"
    assert connected.ok("%remote x + 2").value == "22"


def test_rich_display(connected):
    """display(), its updates, clear_output and images arrive as they would from a local cell."""
    cell = connected.ok(
        "%%remote\nfrom IPython.display import *\nimport base64\n"
        "h = display(HTML('<b>1</b>'), display_id=True)\nh.update(HTML('<b>2</b>'))\n"
        f"Image(data=base64.b64decode('{PIXEL}'), format='png')"
    )
    assert "<b>1</b>" in cell.shown[0]["text/html"]
    (update,) = cell.of("update_display_data")
    assert "<b>2</b>" in update["data"]["text/html"]
    assert cell.of("execute_result")[0]["data"]["image/png"].strip().startswith("iVBOR")
    cell = connected.ok("%%remote\nprint('gone')\nclear_output(wait=True)\nprint('new')")
    assert cell.of("clear_output") == [{"wait": True}]


def test_scripts_do_not_come_through(connected):
    """What a remote shows may be rich, but it is never a script."""
    cell = connected.ok("%%remote\nfrom IPython.display import Javascript\nJavascript('alert(1)')")
    (result,) = cell.of("execute_result")
    assert "application/javascript" not in result["data"]


def test_traceback(connected):
    """The remote traceback with the editor's lines; nothing of nbrpc or of the local cell."""
    cell = connected.run("%%remote\nprint('before')\ndef f():\n    return 1 / 0\nf()")
    assert (cell.reply["status"], cell.reply["ename"]) == ("error", "ZeroDivisionError")
    assert cell.text() == "before\n"
    lines = cell.traceback.splitlines()
    assert lines[0] == "Traceback (most recent call last):"
    assert "line 5, in <module>" in lines[1]
    assert "line 4, in f" in cell.traceback
    assert "return 1 / 0" in cell.traceback
    assert lines[-1] == "ZeroDivisionError: division by zero"
    assert "nbrpc" not in cell.traceback
    assert connected.ok("%%remote\n1").value == "1"


def test_names_of_errors(connected):
    """The name of the error is the remote one, whatever IPython would do with its class."""
    for source, name in [("1 +", "SyntaxError"), ("{}['a']", "KeyError")]:
        assert connected.run(f"%%remote\n{source}").reply["ename"] == name
        assert connected.run(f"%remote {source}").reply["ename"] == name


@pytest.mark.parametrize(
    ("source", "said"),
    [
        ("1 +", "SyntaxError: invalid syntax"),
        ("input('?')", "push the value instead"),
        ("exit()", "SystemExit"),
        ("%nosuchmagic", "UsageError: Line magic function `%nosuchmagic` not found."),
        ("raise ExceptionGroup('two', [ValueError(1), KeyError(2)])", "| ValueError: 1"),
    ],
)
def test_errors_of_the_user(connected, source, said):
    """Each fails with what Python says; the server goes on."""
    cell = connected.run(f"%%remote\n{source}")
    assert said in cell.traceback
    assert "nbrpc" not in cell.traceback
    assert connected.ok("%%remote\n1").value == "1"


@pytest.mark.parametrize(
    "source",
    [
        "import time; time.sleep(60)",
        "import asyncio; await asyncio.sleep(60)",
        "while True: pass",
        "import subprocess; subprocess.run(['sleep', '60'])",
        "!sleep 60",
    ],
)
def test_stop(connected, source):
    """Stop ends the cell within 0.3 s, and the remote code with it."""
    cell = connected.start(f"%%remote\nprint('begun', flush=True)\n{source}\nprint('not reached')")
    connected.read_until(lambda: "begun" in cell.text())
    begun = time.monotonic()
    connected.interrupt()
    connected.finish(cell)
    assert time.monotonic() - begun < 1  # 0.3 s when nothing else runs
    assert cell.reply["ename"] == "KeyboardInterrupt"
    assert cell.traceback == "KeyboardInterrupt: the remote cell was stopped"
    after = connected.ok("%%remote\nprint('next')", timeout=5)
    assert after.text() == "next\n"
    assert "not reached" not in cell.text()


def test_stop_of_a_cell_that_awaits(connected):
    """It shows and replies KeyboardInterrupt; what else is cancelled is not taken for Stop."""
    cell = connected.start("job = nbrpc.async_(dev.scan)(20_000); await job")
    connected.settle(0.5)
    connected.interrupt()
    connected.finish(cell)
    assert cell.reply["ename"] == "KeyboardInterrupt"
    assert cell.of("error")[0]["ename"] == "KeyboardInterrupt"
    connected.ok("job.cancel()")
    cell = connected.run(
        "task = asyncio.ensure_future(asyncio.sleep(9)); task.cancel(); await task"
    )
    assert cell.reply["ename"] == "CancelledError"
    assert cell.of("error")[0]["ename"] == "CancelledError"


def test_output_never_moves_to_a_later_cell(connected):
    """What a stopped cell still prints is shown nowhere."""
    cell = connected.start(
        "%%remote\nimport time\nprint('begun', flush=True)\nwhile True:\n"
        "    try:\n        time.sleep(60)\n    except BaseException:\n"
        "        print('stubborn', flush=True)\n        time.sleep(0.3)\n        print('late')\n"
        "        break"
    )
    connected.read_until(lambda: "begun" in cell.text())
    connected.interrupt()
    connected.finish(cell)
    later = connected.ok("time.sleep(0.6)\nprint('mine')")
    connected.settle()
    assert later.text() == "mine\n"
    assert "late" not in cell.text()


def test_loop_goes_on(connected):
    """While a remote cell runs, tasks of the kernel run as well."""
    connected.ok(
        "ticks = []\nasync def tick():\n    while True:\n        ticks.append(1)\n"
        "        await asyncio.sleep(0.02)\nticking = asyncio.create_task(tick())"
    )
    connected.ok("before = len(ticks)")
    connected.ok("%%remote\nimport time; time.sleep(0.5)")
    assert int(connected.ok("len(ticks) - before").value) > 10
    connected.ok("ticking.cancel()")


def test_push_and_pull(connected):
    """-i copies variables there, -o brings them back; commas or repeated flags."""
    connected.ok("import numpy as np\na = np.arange(4)\nb = {'k': [1, 2]}\nc = 'text'")
    connected.ok(
        "%%remote -i a,b -i c -o total -o keys,c\ntotal = a.sum(); keys = sorted(b); c += '!'"
    )
    assert connected.ok("int(total), keys, c").value == "(6, ['k'], 'text!')"
    connected.ok("%rpc_push a c\nc = None")
    connected.ok("%rpc_pull c")
    assert connected.ok("c").value == "'text!'"


def test_pulled_by_value(connected):
    """What comes back is a local object, not a proxy."""
    connected.ok("%%remote -o rows\nrows = [[1, 2], {'a': (3,)}]")
    assert connected.ok("type(rows), rows").value == "(list, [[1, 2], {'a': (3,)}])"


@pytest.mark.parametrize(
    ("source", "said"),
    [
        ("%%remote --nope\n1", "unrecognized arguments"),
        ("%%remote -i nowhere\n1", "no variable is called nowhere here"),
        ("%%remote -o 1x\n1", "'1x' is not a variable's name"),
        ("%%remote other\n1", "no connection is called other"),
        ("%%remote --as x\n1", "-a"),
        ("%remote", "%remote needs an expression"),
        ("%rpc_push nowhere", "no variable is called nowhere here"),
    ],
)
def test_usage_errors(connected, source, said):
    """A mistake in the magic's line is one line, without a traceback."""
    cell = connected.run(source)
    assert cell.reply["status"] == "error"
    assert cell.text("stderr").startswith("UsageError: ")
    assert said in cell.text("stderr")
    assert "Traceback" not in cell.text("stderr")


def test_pull_of_what_is_not_there(connected):
    """The missing name is told; what else the cell did stays done."""
    cell = connected.run("%%remote -o nowhere\ny = 1")
    assert "nowhere" in cell.traceback
    assert connected.ok("%remote y").value == "1"


def test_help(connected):
    """--help shows the options and runs nothing."""
    cell = connected.ok("%%remote --help\n1/0")
    assert "--push" in cell.text()
    assert "--name" in connected.ok("%rpc_connect --help").text()


def test_detached(connected):
    """-a gives an AsyncResult at once, which is displayed and kept up to date."""
    cell = connected.ok(
        "%%remote -a --as slow -o answer\nimport time\n"
        "print('working')\ntime.sleep(0.5)\nanswer = 42"
    )
    assert cell.seconds < 0.5
    (shown,) = cell.shown
    assert 'data-state="pending"' in shown["text/html"]
    (identity,) = [c["transient"]["display_id"] for c in cell.of("display_data")]
    connected.read_until(lambda: 'data-state="ready"' in connected.displays[identity]["text/html"])
    assert "working" in connected.displays[identity]["text/html"]
    assert connected.ok("await slow\nanswer").value == "42"


def test_timeout(connected):
    """--timeout frees the cell; the message says so."""
    cell = connected.run("%%remote --timeout 0.3\nimport time; time.sleep(1)")
    assert cell.reply["ename"] == "CallTimeout"
    assert cell.seconds < 0.9


def test_under_another_magic(connected):
    """Under %%time, and called by hand, it waits in the ordinary manner; Stop works there too."""
    cell = connected.ok("%%time\n%%remote\nprint('timed')")
    assert "timed\n" in cell.text()
    assert "Wall time" in cell.text()
    cell = connected.ok("get_ipython().run_cell_magic('remote', '', 'print(1); 2')")
    assert cell.text() == "1\n"
    cell = connected.start(
        "get_ipython().run_cell_magic('remote', '', "
        "'print(1, flush=True); import time; time.sleep(60)')"
    )
    connected.read_until(lambda: "1" in cell.text())
    begun = time.monotonic()
    connected.interrupt()
    connected.finish(cell)
    assert time.monotonic() - begun < 1
    assert cell.reply["ename"] == "KeyboardInterrupt"


def test_several_connections(connected):
    """A cell runs on several connections at once, its lines labelled; pulls are by connection."""
    connected.ok("%rpc_connect bench --name second")
    cell = connected.ok("%%remote conn,second -o x\nx = 1\nprint('here')")
    assert sorted(cell.text().splitlines()) == ["[conn] here", "[second] here"]
    assert connected.ok("sorted(x.items())").value == "[('conn', 1), ('second', 1)]"
    cell = connected.ok("%%remote -t all\nprint('half', end='')")
    assert sorted(cell.text().splitlines()) == ["[conn] half", "[second] half"]
    cell = connected.ok(
        "%%remote -t all\nfrom IPython.display import HTML\n"
        "display(HTML('<i>shown</i>'))\nHTML('<b>value</b>')"
    )
    assert sorted(cell.text().splitlines()) == ["[conn]", "[conn]", "[second]", "[second]"]
    shown = " ".join(content["data"]["text/html"] for content in cell.of("display_data"))
    assert shown.count("<b>value</b>") == shown.count("<i>shown</i>") == 2
    cell = connected.run("%%remote -t all\n1 / 0")
    assert cell.reply["ename"] == "ZeroDivisionError"
    assert cell.text("stderr") == "[second] ZeroDivisionError: division by zero\n"
    connected.ok("%rpc_disconnect second\n%rpc_use conn")


def test_a_cell_that_raises_keyboard_interrupt(connected):
    """It is an error of the cell, and the server goes on."""
    cell = connected.run("%%remote\nraise KeyboardInterrupt('mine')")
    assert cell.reply["status"] == "error"
    assert connected.ok("%remote 1 + 1").value == "2"


def test_a_proxy_shows_itself_richly(connected):
    """Tables and figures of remote objects are seen as such, sanitised, in one round trip."""
    connected.ok(
        "%%remote\nimport pandas as pd\ntable = pd.DataFrame({'a': [1]})\n"
        "class Evil:\n    def _repr_html_(self): return '<b>x</b><script>alert(1)</script>'\n"
        "evil = Evil()"
    )
    connected.ok("table = conn.namespace['table']\nevil = conn.namespace['evil']")
    connected.ok("before = conn.statistics().requests_sent")
    (content,) = connected.ok("table").of("execute_result")
    assert "<table" in content["data"]["text/html"]
    assert connected.ok("conn.statistics().requests_sent - before").value == "1"
    (content,) = connected.ok("evil").of("execute_result")
    assert "<b>x</b>" in content["data"]["text/html"]
    assert "script" not in content["data"]["text/html"]
