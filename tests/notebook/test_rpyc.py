"""Stock RPyC servers, each in a process of its own, from a real kernel."""

from __future__ import annotations

import subprocess
import sys

import pytest

import nbrpc
from nbrpc.widgets import Explorer
from tests.notebook.kernels import ANSI
from tests.support import eventually

pytestmark = pytest.mark.kernel

SERVER = '''
import sys, threading, time
import rpyc
from rpyc.utils.server import ThreadedServer


class Part:
    "A part of the bench."

    def exposed_turn(self):
        return 1


class BenchService(rpyc.Service):
    "A bench, served by RPyC."

    exposed_limit = 10
    read = 0

    @property
    def exposed_level(self):
        BenchService.read += 1
        return 5

    def exposed_getters_run(self):
        return BenchService.read

    def exposed_add(self, a, b=2):
        """Add two numbers.

        The second is 2 unless given.
        """
        return a + b

    def exposed_slow(self, seconds):
        time.sleep(seconds)  # what the service does
        return seconds

    def exposed_part(self):
        return Part()

    def exposed_table(self):
        return {"a": 1, "b": [1, 2], 3: None}

    def exposed_each(self, function, count):
        for number in range(count):
            function(number)

    def exposed_later(self, function, count):
        later = rpyc.async_(function)

        def run():
            for number in range(count):
                time.sleep(0.1)  # what the service does
                later(number)

        threading.Thread(target=run, daemon=True).start()


server = ThreadedServer(
    rpyc.SlaveService if sys.argv[1] == "classic" else BenchService, "127.0.0.1", port=0
)
thread = threading.Thread(target=server.start)
thread.start()
while not server.active and thread.is_alive():
    time.sleep(0.001)  # what the service does
print(server.port, flush=True)
thread.join()
'''

UNTOLD = "The peer speaks RPyC, which tells no signatures and no sources."


def started(tmp_path_factory, kind):
    """Start a stock server; give its process and its port."""
    output = tmp_path_factory.mktemp(kind) / "output"
    with output.open("w") as errors:
        process = subprocess.Popen(
            [sys.executable, "-c", SERVER, kind], stdout=subprocess.PIPE, stderr=errors, text=True
        )
    line = process.stdout.readline()
    assert line, output.read_text()
    return process, int(line)


@pytest.fixture(scope="module")
def service_port(tmp_path_factory):
    """The port of a stock service."""
    process, port = started(tmp_path_factory, "service")
    yield port
    process.kill()
    process.wait()
    process.stdout.close()


@pytest.fixture(scope="module")
def classic_port(tmp_path_factory):
    """The port of a stock server in RPyC's classic mode."""
    process, port = started(tmp_path_factory, "classic")
    yield port
    process.kill()
    process.wait()
    process.stdout.close()


@pytest.fixture(scope="module")
def loaded(kernel):
    """A kernel with the extension loaded, without a server of nbrpc."""
    kernel.ok(
        "import asyncio, time, nbrpc\n%load_ext nbrpc\n"
        "def sent():\n    return conn.statistics().requests_sent"
    )
    return kernel


@pytest.fixture
def service(loaded, service_port):
    """The kernel, connected to the service anew."""
    loaded.ok(f"%rpc_connect rpyc://127.0.0.1:{service_port}\ndev = conn.root")
    return loaded


@pytest.fixture
def classic(loaded, classic_port):
    """The kernel, connected to the classic server anew; how it speaks is found out."""
    loaded.ok(f"%rpc_connect 127.0.0.1:{classic_port}")
    return loaded


def costs(kernel, source):
    """Run a cell that must succeed; give it with the number of requests that it took."""
    kernel.ok("before = sent()")
    cell = kernel.ok(source)
    return cell, int(kernel.ok("sent() - before").value)


def matches(kernel, code):
    """Press Tab at the end of some code."""
    wanted = kernel.client.complete(code, len(code))
    while True:
        reply = kernel.client.get_shell_msg(timeout=10)
        if reply["parent_header"].get("msg_id") == wanted:
            return reply["content"]["matches"]


def explained(kernel, code, detail=0):
    """Press Shift-Tab at the end of some code."""
    wanted = kernel.client.inspect(code, len(code), detail)
    while True:
        reply = kernel.client.get_shell_msg(timeout=10)
        if reply["parent_header"].get("msg_id") == wanted:
            return ANSI.sub("", reply["content"]["data"].get("text/plain", ""))


# ---- connections


@pytest.mark.parametrize("prefix", ["rpyc://", ""])
def test_card(loaded, service_port, prefix):
    """The card says what is spoken, that there are no tokens, and no remote code."""
    (shown,) = loaded.ok(f"%rpc_connect {prefix}127.0.0.1:{service_port} --name here").shown
    assert f"rpyc://127.0.0.1:{service_port}" in shown["text/plain"]
    assert "BenchService, rpyc/6, no tokens, no remote code" in shown["text/plain"]
    assert "RPyC has no tokens" in shown["text/html"]
    assert "not allowed" in shown["text/html"]
    (table,) = loaded.ok("%rpc_connections").shown
    (line,) = [line for line in table["text/plain"].splitlines() if line.startswith("here")]
    assert "rpyc/6" in line
    assert "not measured" not in line
    loaded.ok("%rpc_disconnect here")
    assert loaded.ok("here.closed").value == "True"


def test_card_of_a_classic_server(classic, classic_port):
    """Remote code is allowed there; a second connection is used and closed by name."""
    (shown,) = classic.ok(f"%rpc_connect 127.0.0.1:{classic_port} --name other").shown
    assert "rpyc/6, no tokens, remote code allowed" in shown["text/plain"]
    assert classic.ok("%rpc_use conn").text().startswith("using conn")
    classic.ok("%rpc_disconnect other")


def test_token(loaded, service_port):
    """A token for a server that has none is told in one sentence."""
    cell = loaded.run(f"%rpc_connect 127.0.0.1:{service_port} --token abc")
    assert "which knows no tokens" in cell.traceback
    assert len(cell.traceback.splitlines()) == 1


def test_command_line(service_port, classic_port):
    """`nbrpc ping` and `nbrpc inspect` tell what RPyC tells."""

    def run(command, port):
        done = subprocess.run(
            [sys.executable, "-m", "nbrpc", command, f"rpyc://127.0.0.1:{port}"],
            capture_output=True,
            text=True,
            timeout=30,
            check=False,
        )
        assert done.returncode == 0, done.stderr
        return done.stdout

    assert "5 round trips" in run("ping", service_port)
    lines = [line.strip() for line in run("inspect", service_port).splitlines()]
    assert lines[0].startswith("BenchService at rpyc://")
    assert lines[1] == "(RPyC tells no signatures)"
    assert lines[lines.index("method  add") + 1] == "Add two numbers."
    assert "data    level" in lines
    assert not [line for line in lines if "exposed_" in line or "on_connect" in line]
    assert "clients may run code" in run("inspect", classic_port)


# ---- looking


def test_display_costs_one_request(service):
    """Objects, methods and containers show what the remote shows; Out of a dict is not walked."""
    cell, cost = costs(service, "dev")
    assert "BenchService object" in cell.value
    assert cost == 1
    service.ok("part, table = dev.part(), dev.table()")
    for source in ("part", "table", "dev.add", "print(part)"):
        assert costs(service, source)[1] == 1, source
    cell, cost = costs(service, "[table, table['b']]")
    assert cell.value == "[{'a': 1, 'b': [1, 2], 3: None}, [1, 2]]"
    assert cost == 3


def test_tab(service):
    """Names come from what RPyC tells, in two requests sent together; no getter runs."""
    service.ok("getters = dev.getters_run()\nbefore = sent()")
    found = matches(service, "dev.")
    assert {"add", "level", "limit", "part"} <= set(found)
    assert not [name for name in found if name.startswith(("exposed_", "on_connect"))]
    assert matches(service, "conn.root.ad") == ["add"]
    assert service.ok("sent() - before").value == "2"
    service.ok("table = dev.table()")
    assert matches(service, "table['") == ["a", "b"]
    assert service.ok("dev.getters_run() - getters").value == "0"


def test_tab_in_modules(classic):
    """Attributes of modules are read, of nothing else."""
    classic.ok("os = conn.modules.os")
    assert "getcwd" in matches(classic, "os.getc")
    assert matches(classic, "os.path.jo") == ["join"]
    assert "current working directory" in explained(classic, "os.getcwd")


def test_documentation(service):
    """`?` gives the docstring and says in one sentence what RPyC does not tell; no getter runs."""
    service.ok("getters = dev.getters_run()")
    assert "A bench, served by RPyC." in explained(service, "dev")
    for detail in (0, 1):
        told = explained(service, "dev.add", detail)
        assert "Add two numbers." in told
        assert "The second is 2 unless given." in told
        assert UNTOLD in told
    assert "<no docstring>" in explained(service, "dev.level")
    assert explained(service, "dev.nothing") == ""
    (payload,) = service.ok("dev.add??").reply["payload"]
    assert "Add two numbers." in payload["data"]["text/plain"]
    assert service.ok("dev.getters_run() - getters").value == "0"


def test_whos(service):
    """It asks nothing."""
    service.ok("part = dev.part()")
    cell, cost = costs(service, "%whos")
    assert "proxy of __main__.Part" in cell.text()
    assert cost == 0


def test_explorer(service_port, classic_port):
    """It walks members and items page by page; what may be computed is read when it is asked."""
    with nbrpc.connect(f"rpyc://127.0.0.1:{service_port}") as conn:
        getters = conn.root.getters_run()
        explorer = Explorer(conn.root)
        row = _row(explorer, "add")
        assert (row["kind"], row["doc"]) == ("method", "Add two numbers.")
        assert conn.root.getters_run() == getters
        explorer.answer({"kind": "read", "node": _row(explorer, "level")["node"]}, [])
        eventually(lambda: _row(explorer, "level").get("text") == "5")
        explorer.close()
    with nbrpc.connect(f"rpyc://127.0.0.1:{classic_port}") as conn:
        explorer = Explorer(conn.eval("{'few': {'x': 1}, 'many': list(range(150))}"))
        explorer.answer({"kind": "open", "node": _row(explorer, "['few']")["node"]}, [])
        assert _row(explorer, "['x']")["text"] == "1"
        explorer.answer({"kind": "open", "node": _row(explorer, "['many']")["node"]}, [])
        assert _row(explorer, "[99]")["text"] == "99"
        (more,) = [row for row in explorer.rows if row["kind"] == "more"]
        assert more["left"] == 50
        explorer.answer({"kind": "more", "node": more["node"]}, [])
        assert _row(explorer, "[149]")["text"] == "149"
        explorer.close()


def _row(explorer, name):
    """Wait for a row, by what it shows."""

    def found():
        explorer.refresh()
        return next((row for row in explorer.rows if row.get("name") == name), None)

    return eventually(found)


def test_explore_magic(service):
    """It shows an explorer, with the names in its fallback."""
    (shown,) = service.ok("%rpc_explore dev").shown
    assert "add  method" in shown["text/plain"]


# ---- what RPyC has not


def test_no_events(service):
    """Each is one sentence, without a traceback through nbrpc."""
    said = "speaks RPyC, which has no events"
    assert said in service.ok("%rpc_events").text()
    assert said in service.run("%%rpc_on dev.add\nprint(event)").text("stderr")
    for source in ("nbrpc.watch(dev, 'level').plot()", "nbrpc.widgets.LivePlot(dev.add)"):
        cell = service.run(source)
        assert said in cell.traceback
        assert "nbrpc/" not in cell.traceback


def test_no_remote_code(service):
    """A service that is not classic lets nobody run code; each way says so in one sentence."""
    for source in ("%%remote\n1", "%remote 1", "x = 1\n%rpc_push x"):
        cell = service.run(source)
        assert "does not let clients run code" in cell.text("stderr")
    cell = service.run("conn.execute('x = 1')")
    assert cell.reply["ename"] == "AccessDenied"
    assert "Remote Traceback" not in cell.traceback


# ---- calls


def test_results(service):
    """A displayed result becomes ready by itself; a cancelled one says that its call runs on."""
    cell = service.ok("job = nbrpc.async_(dev.slow)(0.2); job")
    (identity,) = [c["transient"]["display_id"] for c in cell.of("display_data")]
    service.read_until(lambda: 'data-state="ready"' in service.displays[identity]["text/html"])
    service.ok("job = nbrpc.async_(dev.slow)(0.5); view = nbrpc.widgets.ResultView(job)")
    service.ok("job.cancel()\nview.refresh()")
    told = service.ok("view.state, view.tail, job.error").value
    assert told == "('cancelling', 'RPyC cannot stop a call: it runs on there.', True)"
    service.ok("%rpc_wait job")
    told = service.ok("view.refresh()\nview.state, view.tail").value
    assert told == "('cancelled', 'RPyC cannot stop a call: it ran to its end there.')"


def test_stop_of_a_call(service):
    """Stop frees the cell; the connection is usable when the server has done."""
    cell = service.start("print('begun', flush=True)\ndev.slow(1)")
    service.read_until(lambda: "begun" in cell.text())
    service.interrupt()
    service.finish(cell)
    assert cell.reply["ename"] == "KeyboardInterrupt"
    assert service.ok("dev.add(1)").value == "3"


def test_callbacks_print_into_their_cell(service):
    """A function that was handed over prints into the cell that did so, whatever runs then."""
    assert service.ok("dev.each(lambda n: print('each', n), 2)").text() == "each 0\neach 1\n"
    cell = service.ok("dev.later(lambda n: print('later', n), 3)")
    other = service.ok("1 + 1")
    service.read_until(lambda: "later 2" in cell.text())
    assert other.text() == ""


def test_stop_in_a_callback(service):
    """Stop strikes the callback that runs; the connection stays usable."""
    cell = service.start(
        # what the service does
        "def slow(number):\n    print('in', number, flush=True)\n    time.sleep(20)\n"
        "dev.each(slow, 3)"
    )
    service.read_until(lambda: "in 0" in cell.text())
    service.interrupt()
    service.finish(cell, timeout=10)
    assert cell.reply["status"] == "error"
    assert service.ok("dev.add(1)").value == "3"
    assert "in 1" not in cell.text()


# ---- remote cells


def test_cells(classic):
    """Output is live and whole, the last value is Out, names stay; one request for each cell."""
    classic.ok("%%remote\nx = 20")
    cell, cost = costs(classic, "%%remote\nprint('one')\nprint('two', end='')\nx + 1")
    assert cell.text() == "one\ntwo"
    assert cell.value == "21"
    assert cost == 1
    assert classic.ok("%remote x + 2").value == "22"
    assert classic.ok("%%remote\n5;").of("execute_result") == []
    cell = classic.ok("%%remote\nimport sys\nprint('err', file=sys.stderr)")
    assert cell.text("stderr") == "err\n"
    # what the service does
    assert classic.ok("%%remote\nimport asyncio\nawait asyncio.sleep(0, 'awaited')").value
    cell = classic.start(
        # what the service does
        "%%remote\nimport time\nfor i in range(3):\n    print('line', i)\n    time.sleep(0.2)"
    )
    classic.read_until(lambda: "line 0" in cell.text())
    assert "line 2" not in cell.text()
    assert classic.finish(cell).text() == "line 0\nline 1\nline 2\n"


def test_all_output_comes_before_the_end(classic):
    """However much a cell prints, nothing is missing when it has ended."""
    cell = classic.ok("%%remote\nfor i in range(50_000):\n    print(i)")
    assert cell.text() == "".join(f"{i}\n" for i in range(50_000))
    assert classic.ok("conn.run_cell('print(1)\\n2').result(5)").value == "{}"


def test_rich_values(classic):
    """Tables, pictures and whatever shows itself are seen as such, sanitised."""
    cell = classic.ok(
        "%%remote\nclass Shown:\n    def __repr__(self): return 'shown'\n"
        "    def _repr_html_(self): return '<b>x</b><script>alert(1)</script>'\n"
        "    def _repr_latex_(self): raise ValueError\nShown()"
    )
    (result,) = cell.of("execute_result")
    assert result["data"]["text/plain"] == "shown"
    assert "<b>x</b>" in result["data"]["text/html"]
    assert "script" not in result["data"]["text/html"]
    cell = classic.ok("%%remote\nfrom matplotlib.figure import Figure\nFigure((1, 1))")
    assert cell.of("execute_result")[0]["data"]["image/png"].startswith("iVBOR")


def test_a_proxy_shows_itself_richly(classic):
    """A remote table is seen as one, in two round trips; what has no HTML takes one."""
    classic.ok(
        "%%remote\nclass Table:\n    def __repr__(self): return 'table'\n"
        "    def _repr_html_(self): return '<table><tr><td>1</td></tr></table>'\n"
        "class Plain: pass\ntable, plain = Table(), Plain()"
    )
    classic.ok("table, plain = conn.namespace['table'], conn.namespace['plain']\nplain")
    cell, cost = costs(classic, "table")
    assert "<td>1</td>" in cell.of("execute_result")[0]["data"]["text/html"]
    assert cell.value == "table"
    assert cost == 3  # two of them at once
    assert costs(classic, "plain")[1] == 2


def test_errors(classic):
    """The remote traceback with the lines of the editor, and nothing of RPyC or nbrpc."""
    cell = classic.run("%%remote\nprint('before')\ndef f():\n    return 1 / 0\nf()")
    assert (cell.reply["status"], cell.reply["ename"]) == ("error", "ZeroDivisionError")
    assert cell.text() == "before\n"
    assert "line 5, in <module>" in cell.traceback
    assert "return 1 / 0" in cell.traceback
    assert cell.traceback.splitlines()[-1] == "ZeroDivisionError: division by zero"
    assert "rpc" not in cell.traceback
    for source, said in [
        ("1 +", "SyntaxError: invalid syntax"),
        ("input('?')", "push the value instead"),
        ("exit()", "SystemExit"),
        ("raise ExceptionGroup('two', [ValueError(1), KeyError(2)])", "| ValueError: 1"),
    ]:
        assert said in classic.run(f"%%remote\n{source}").traceback
    assert classic.ok("%%remote\n1").value == "1"


def test_push_and_pull(classic):
    """Variables are copied there and back, arrays too; what cannot be is told by its name."""
    classic.ok("import numpy as np\na = np.arange(4)\nb = {'k': [1, 2]}\nc = 'text'")
    classic.ok(
        "%%remote -i a,b -i c -o total -o keys,c\ntotal = a.sum(); keys = sorted(b); c += '!'"
    )
    assert classic.ok("int(total), keys, c").value == "(6, ['k'], 'text!')"
    classic.ok("%rpc_push a c\na = c = None\n%rpc_pull a,c")
    assert classic.ok("a.tolist(), c").value == "([0, 1, 2, 3], 'text!')"
    assert "nowhere" in classic.run("%%remote -o nowhere\ny = 1").traceback
    assert classic.ok("%remote y").value == "1"
    assert "time is a module" in classic.run("%rpc_push time").traceback


def test_keys_in_cells(classic):
    """Tab and ? work on the names of the namespace."""
    classic.ok("%%remote\nvoltage = 5\ndef ramp(top):\n    'Go up.'")
    assert matches(classic, "%%remote\nvolt") == ["voltage"]
    assert "startswith" in matches(classic, "%%remote\nstr.starts")
    told = explained(classic, "%%remote\nramp", 1)
    assert "ramp(top)" in told
    assert "Go up." in told


def test_detached(classic):
    """-a gives a result at once, whose display shows the output and the end."""
    cell = classic.ok(
        "%%remote -a --as slow -o answer\nimport time\n"
        "print('working')\ntime.sleep(0.3)\nanswer = 42"  # what the service does
    )
    (identity,) = [c["transient"]["display_id"] for c in cell.of("display_data")]
    classic.read_until(lambda: 'data-state="ready"' in classic.displays[identity]["text/html"])
    assert "working" in classic.displays[identity]["text/html"]
    assert classic.ok("await slow\nanswer").value == "42"


def test_stop_of_a_cell(classic):
    """Stop frees the cell and says that the code runs on; the next one says what it waits for."""
    cell = classic.start(
        # what the service does
        "%%remote\nimport time\nprint('begun', flush=True)\ntime.sleep(0.8)\nprint('late')"
    )
    classic.read_until(lambda: "begun" in cell.text())
    classic.interrupt()
    classic.finish(cell)
    assert cell.reply["ename"] == "KeyboardInterrupt"
    assert "runs on there: RPyC cannot stop it" in cell.traceback
    after = classic.ok("%%remote\nprint('next')")
    assert after.text() == "next\n"
    assert "still runs an earlier cell" in after.text("stderr")
    assert "late" not in cell.text()


def test_several(classic, classic_port):
    """Cells of several connections run at once on one server, each with its own output."""
    classic.ok(f"%rpc_connect 127.0.0.1:{classic_port} --name second")
    cell = classic.ok(
        "%%remote -t conn,second -o x\nimport time\nx = 1\n"
        "for i in range(3):\n    print('here', i)\n    time.sleep(0.05)"  # what the service does
    )
    lines = [f"[{name}] here {i}" for name in ("conn", "second") for i in range(3)]
    assert sorted(cell.text().splitlines()) == lines
    assert classic.ok("sorted(x.items())").value == "[('conn', 1), ('second', 1)]"
    cell = classic.run("%%remote -t all\n1 / 0")
    assert cell.reply["ename"] == "ZeroDivisionError"
    classic.ok("%rpc_disconnect second\n%rpc_use conn")


def test_the_server_goes_away(loaded, tmp_path_factory):
    """A cell ends, the card and the displays say so."""
    process, port = started(tmp_path_factory, "classic")
    try:
        card = loaded.ok(f"%rpc_connect 127.0.0.1:{port} --name brief")
        (identity,) = [c["transient"]["display_id"] for c in card.of("display_data")]
        # what the service does
        cell = loaded.start("%%remote\nprint('begun', flush=True)\nimport time; time.sleep(60)")
        loaded.read_until(lambda: "begun" in cell.text())
    finally:
        process.kill()
        process.wait()
        process.stdout.close()
    loaded.finish(cell)
    assert cell.reply["ename"] == "ConnectionLost"
    loaded.read_until(lambda: 'data-state="reconnecting"' in loaded.displays[identity]["text/html"])
    loaded.ok("%rpc_disconnect brief")
