"""The remote shell, with IPython and without, as a connection drives it."""

from __future__ import annotations

import asyncio
import ctypes
import os
import pickle
import signal
import subprocess
import sys
import threading
import time
import traceback

import pytest

from nbrpc.server import shell as shells
from nbrpc.server.output import RoutedStream
from nbrpc.server.shell import Shell, shared_shell
from nbrpc.session.lookup import name_at


class Cells:
    """Runs cells one after another in one namespace, and keeps what they emit."""

    def __init__(self, shell):
        self.shell = shell
        self.namespace = {}
        self.output = []

    def run(self, source, first_line=2):
        self.output = []
        self.shell.run(
            source,
            namespace=self.namespace,
            emit=lambda kind, content: self.output.append((kind, content)),
            filename="<remote cell>",
            first_line=first_line,
        )
        return self

    def fail(self, source, kind=BaseException, first_line=2):
        with pytest.raises(kind) as caught:
            self.run(source, first_line)
        return caught.value

    def text(self, kind="stdout"):
        return "".join(content for got, content in self.output if got == kind)

    def of(self, kind):
        return [content for got, content in self.output if got == kind]

    @property
    def result(self):
        (content,) = self.of("result")
        return content["data"]["text/plain"]


@pytest.fixture(scope="module", autouse=True)
def _no_other_shell():
    """Let go of the shell on which earlier tests ran cells in this process: it has IPython."""
    left, shells._shared = shells._shared, None
    if left is not None:
        left.close()


@pytest.fixture(params=[True, False], ids=["ipython", "plain"])
def cells(request):
    """A shell with or without IPython."""
    shell = Shell(rich=request.param)
    yield Cells(shell)
    shell.close()


@pytest.fixture
def rich():
    """A shell with IPython."""
    shell = Shell(rich=True)
    yield Cells(shell)
    shell.close()


def frames(error):
    """Lines of a traceback from the first frame of a cell on."""
    lines = traceback.extract_tb(error.__traceback__)
    names = [line.filename for line in lines]
    first = next(number for number, name in enumerate(names) if name.startswith("<remote cell"))
    return lines[first:]


# -- values and names ------------------------------------------------------------------------------


def test_last_value_is_the_result(cells):
    """The value of a last expression is sent, and is `_` in the next cell."""
    assert cells.run("x = 20\nx + 1").result == "21"
    assert cells.run("_ * 2").result == "42"


@pytest.mark.parametrize("source", ["x = 1", "None", "1;", "1;  # said", "", "\n\n", "def f(): 1"])
def test_no_result(cells, source):
    """Statements, None, and what ends in a semicolon have no result."""
    cells.run(source)
    assert cells.output == []


def test_namespaces_are_apart(cells):
    """Two namespaces share nothing, and functions keep the one they were made in."""
    cells.run("x = 1\ndef get(): return x")
    first, cells.namespace = cells.namespace, {}
    cells.run("x = 2")
    cells.namespace["get"] = first["get"]
    assert cells.run("get()").result == "1"


def test_future_imports_last(cells):
    """`from __future__ import` holds for its own cell and for the later ones of its namespace."""
    source = "def f(a: Nowhere): pass\nf.__annotations__"
    assert cells.run("from __future__ import annotations\n" + source).result == "{'a': 'Nowhere'}"
    assert cells.run(source).result == "{'a': 'Nowhere'}"
    cells.namespace = {}
    assert isinstance(cells.fail(source), NameError)


def test_main_module(cells):
    """What a cell defines belongs to __main__ and can be pickled; the server keeps its own."""
    main = sys.modules["__main__"]
    cells.run(
        "import pickle, dataclasses\n@dataclasses.dataclass\nclass Point:\n    x: int = 3\n"
        "copy = pickle.loads(pickle.dumps(Point()))\n(__name__, copy == Point(), copy is None)"
    )
    assert cells.result == "('__main__', True, False)"
    assert sys.modules["__main__"] is main
    with pytest.raises(pickle.PicklingError):
        pickle.dumps(cells.namespace["copy"])


# -- output ----------------------------------------------------------------------------------------


def test_output_is_in_order(cells):
    """Prints to both streams arrive in the order of printing."""
    cells.run(
        "import sys\nfor i in range(3):\n    print('out', i)\n    print('err', i, file=sys.stderr)"
    )
    assert "".join(content for _, content in cells.output) == "".join(
        f"out {i}\nerr {i}\n" for i in range(3)
    )
    assert cells.text("stderr") == "err 0\nerr 1\nerr 2\n"


def test_output_is_live(cells):
    """A line arrives while the cell goes on, also when it was printed right after another one."""
    seen = threading.Event()
    lines = []

    def emit(kind, content):
        lines.append(content)
        if "second" in content:
            seen.set()

    cells.namespace["seen"] = seen
    cells.shell.run(
        "print('first'); print('second', end='')\nassert seen.wait(10)",
        namespace=cells.namespace,
        emit=emit,
        filename="<remote cell>",
        first_line=1,
    )
    assert "".join(lines) == "first\nsecond"


def test_a_flood_is_joined(cells):
    """Fast prints travel together; nothing is lost."""
    cells.run("for i in range(20000): print(i)")
    assert cells.text() == "".join(f"{i}\n" for i in range(20000))
    assert len(cells.output) < 200


FORKING = """
import os
child = os.fork()
if not child:
    print("from the child", flush=True)
    os._exit(0)
_ = os.waitpid(child, 0)
print("from the cell")
"""


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
def test_a_forked_child_prints_to_the_cell(cells, capfd):
    """By way of the parent, which alone is connected to the peer."""
    cells.run(FORKING)
    assert cells.text() == "from the child\nfrom the cell\n"
    assert capfd.readouterr().out == ""


def test_output_of_others_stays_apart(cells, capsys):
    """What another thread of the server prints during a cell goes to the server's console."""
    go, done = threading.Event(), threading.Event()

    def other():
        go.wait(10)
        print("of the server")
        done.set()

    thread = threading.Thread(target=other)
    thread.start()
    cells.namespace.update(go=go, done=done)
    cells.run("print('of the cell')\ngo.set()\nassert done.wait(10)")
    thread.join()
    assert cells.text() == "of the cell\n"
    assert capsys.readouterr().out == "of the server\n"


def test_output_of_threads_of_a_cell(cells, capsys):
    """Threads that a cell starts print into it, and into the console once it has ended."""
    late = threading.Event()
    cells.namespace["late"] = late
    cells.run(
        "from concurrent.futures import ThreadPoolExecutor\nimport threading\n"
        "with ThreadPoolExecutor(2) as pool: list(pool.map(print, 'ab'))\n"
        "def stay():\n    late.wait(10)\n    print('too late')\n"
        "thread = threading.Thread(target=stay)\nthread.start()"
    )
    # print() writes the text and the line break apart, so two threads may mix them.
    assert sorted(cells.text().replace("\n", "")) == ["a", "b"]
    late.set()
    cells.namespace["thread"].join()
    assert sorted(cells.text().replace("\n", "")) == ["a", "b"]
    assert capsys.readouterr().out == "too late\n"


def test_streams_are_given_back(cells):
    """After a cell, whatever it did to them, the streams of the process are the old ones."""
    before = sys.stdout, sys.stderr, sys.stdin, threading.Thread.start
    cells.run("import sys, io\nsys.stdout = io.StringIO()")
    cells.fail("1/0")
    assert (sys.stdout, sys.stderr, sys.stdin, threading.Thread.start) == before


def test_cell_streams_are_streams(cells):
    """A cell is no terminal, has an encoding, and cannot close the server's streams."""
    cells.run("import sys\nsys.stdout.close()\nprint(sys.stdout.isatty(), sys.stdout.encoding)")
    assert cells.text().startswith("False ")
    assert isinstance(cells.fail("sys.stdout.write(b'bytes')"), TypeError)


def test_stream_without_console():
    """A process without a console may run cells: prints outside of them vanish."""
    stream = RoutedStream("stdout", None)
    assert stream.write("x") == 1
    stream.flush()
    assert not stream.isatty()


# -- errors ----------------------------------------------------------------------------------------


def test_line_numbers_are_the_editors(cells):
    """The traceback starts at the cell; the magic's line is 1, empty lines count."""
    error = cells.fail("\n\ndef f():\n    return 1/0\nf()", ZeroDivisionError)
    assert [(line.lineno, line.line) for line in frames(error)] == [(6, "f()"), (5, "return 1/0")]


def test_error_of_an_earlier_cell(cells):
    """A function of an earlier cell fails with its own source, not with that of the cell now."""
    cells.run("def f():\n    raise KeyError('mine')")
    error = cells.fail("a = 1\nf()", KeyError)
    assert [line.line for line in frames(error)] == ["f()", "raise KeyError('mine')"]


def test_syntax_error(cells):
    """A cell that does not parse says where, and nothing of it has run."""
    error = cells.fail("print('no')\n1/0 if", SyntaxError)
    assert (error.lineno, error.filename.startswith("<remote cell")) == (3, True)
    assert cells.output == []
    assert isinstance(cells.fail("print('no')\nreturn 5"), SyntaxError)
    assert cells.output == []


def test_partial_output_stays(cells):
    """What was printed before an error has been emitted."""
    cells.fail("print('before')\n1/0")
    assert cells.text() == "before\n"


@pytest.mark.parametrize(
    ("source", "kind"),
    [
        ("exit()", SystemExit),
        ("import sys; sys.exit(3)", SystemExit),
        ("raise KeyboardInterrupt", KeyboardInterrupt),
        ("import asyncio\nawait asyncio.sleep(0)\nraise KeyboardInterrupt", KeyboardInterrupt),
        ("raise ExceptionGroup('two', [ValueError(1), KeyError(2)])", ExceptionGroup),
    ],
)
def test_any_exception_is_the_cells(cells, source, kind):
    """Whatever a cell raises reaches the caller, and the next cell runs."""
    cells.fail(source, kind)
    assert cells.run("1 + 1").result == "2"


@pytest.mark.parametrize("source", ["input('name? ')", "import sys; sys.stdin.readline()"])
def test_input_is_refused(cells, source):
    """`input()` fails at once with a sentence that says what to do."""
    assert "push the value instead" in str(cells.fail(source, RuntimeError))


def test_source_of_functions(cells):
    """`inspect.getsource` finds what a cell defined."""
    cells.run("import inspect\ndef f():\n    return 1")
    assert cells.run("print(inspect.getsource(f))").text() == "def f():\n    return 1\n\n"


def test_sources_are_bounded(cells):
    """Old cells leave linecache."""
    import linecache

    for _ in range(510):
        cells.run("x = 1")
    assert sum(name.startswith("<remote cell") for name in linecache.cache) <= 500


# -- await, interrupts, turns ----------------------------------------------------------------------


def test_cells_may_await(cells):
    """`await` works at the top level, and one loop serves all cells."""
    cells.run("import asyncio\nloop = asyncio.get_running_loop() if await asyncio.sleep(0) else 0")
    assert cells.run("await asyncio.sleep(0, 5)").result == "5"
    cells.run("q = asyncio.Queue()\nawait q.put(1)")
    assert cells.run("await q.get()").result == "1"


def test_await_inside_a_loop(cells):
    """In a thread whose loop runs, an awaiting cell is refused; others run."""

    async def main():
        cells.run("1 + 1")
        return cells.fail("import asyncio\nawait asyncio.sleep(0)", RuntimeError)

    assert "cannot await here" in str(asyncio.run(main()))


@pytest.mark.parametrize(
    "source",
    [
        "import time\nstarted.set()\ntime.sleep(60)",
        "import asyncio\nstarted.set()\nawait asyncio.sleep(60)",
        "started.set()\nwhile True: pass",
    ],
)
def test_interrupt_on_the_main_thread(cells, source):
    """SIGINT ends a cell, whatever it waits in, and nothing of it goes on in the next."""
    started = threading.Event()
    cells.namespace["started"] = started

    ended = threading.Event()

    def interrupt():
        started.wait(10)
        os.kill(os.getpid(), signal.SIGINT)
        # One that arrives just before the cell begins to sleep is seen by Python only afterwards.
        if not ended.wait(1):
            os.kill(os.getpid(), signal.SIGINT)

    thread = threading.Thread(target=interrupt)
    begin = time.monotonic()
    thread.start()
    cells.fail("try:\n    pass\nfinally:\n    pass\n" + source, KeyboardInterrupt)
    ended.set()
    thread.join()
    assert time.monotonic() - begin < 5
    cells.run("import asyncio\nawait asyncio.sleep(0.01)\nlen(asyncio.all_tasks())")
    assert cells.result == "2"  # that cell, and what wakes its loop


def test_cancelled_task_is_told(cells):
    """An interrupted cell that awaits sees CancelledError, so that its `finally` runs."""
    started, ended = threading.Event(), []
    cells.namespace.update(started=started, ended=ended)

    def interrupt():
        started.wait(10)
        os.kill(os.getpid(), signal.SIGINT)

    thread = threading.Thread(target=interrupt)
    thread.start()
    source = "import asyncio\nstarted.set()\ntry: await asyncio.sleep(60)\nfinally: ended.append(1)"
    cells.fail(source, KeyboardInterrupt)
    thread.join()
    assert ended == [1]


class Stop(BaseException):
    """What is injected into a thread that is not the main one."""


def test_injection_into_an_awaiting_thread(cells):
    """An exception injected into the thread of a cell is noticed while its loop sleeps."""
    started, raised = threading.Event(), []
    cells.namespace["started"] = started

    def work():
        try:
            cells.run("import asyncio\nstarted.set()\nawait asyncio.sleep(60)")
        except Stop as error:
            raised.append(error)

    thread = threading.Thread(target=work)
    thread.start()
    started.wait(10)
    inject = ctypes.pythonapi.PyThreadState_SetAsyncExc
    inject(ctypes.c_ulong(thread.ident), ctypes.py_object(Stop))
    thread.join(5)
    assert len(raised) == 1
    assert cells.run("1 + 1").result == "2"


def test_cells_take_turns(cells):
    """Of two cells at once the later one says that it waits, and then runs."""
    other = Cells(cells.shell)
    running, release = threading.Event(), threading.Event()
    cells.namespace.update(running=running, release=release)
    first = threading.Thread(target=cells.run, args=("running.set()\nassert release.wait(10)",))
    first.start()
    running.wait(10)
    second = threading.Thread(target=other.run, args=("print('mine')",))
    second.start()
    while not other.output:
        time.sleep(0.001)
    assert "another cell is running" in other.text("stderr")
    release.set()
    first.join(10)
    second.join(10)
    assert other.text() == "mine\n"


def test_a_cell_may_be_called_back(cells):
    """A cell that leads to another cell on its own thread does not wait for itself."""
    inner = Cells(cells.shell)
    cells.namespace["inner"] = inner
    cells.run("x = 'outer'\ninner.run('x = 1\\nprint(x)')\nprint(x)")
    assert inner.text() == "1\n"
    assert cells.text() == "outer\n"


# -- Tab and ? -------------------------------------------------------------------------------------

GETTER = """
class Device:
    'A bench.'
    def scan(self, count: int) -> int:
        'Scan it.'
    @property
    def value(self): raise SystemExit('the getter ran')
    def __dir__(self): raise SystemExit('the dir ran')
    def __getattr__(self, name): raise SystemExit('the hook ran')
device = Device()
"""


def test_complete_names(cells):
    """Names of the namespace, and of modules, complete."""
    cells.run("import math\nvoltage = 1")
    assert "voltage" in cells.shell.complete("volt", 4, cells.namespace)["matches"]
    reply = cells.shell.complete("x = math.sq", 11, cells.namespace)
    assert [match.lstrip(".") for match in reply["matches"]] == ["sqrt"]
    assert "x = math.sq"[reply["cursor_start"] : reply["cursor_end"]].lstrip(".") == "sq"


def test_complete_without_ipython_runs_nothing():
    """The plain completer finds methods and properties and runs none of them."""
    cells = Cells(Shell(rich=False))
    cells.run(GETTER)
    matches = cells.shell.complete("device.", 7, cells.namespace)["matches"]
    assert {"scan", "value"} <= set(matches)
    assert cells.shell.complete("device.value.", 13, cells.namespace)["matches"] is not None
    assert cells.shell.complete("nothing.", 8, cells.namespace)["matches"] == []


def test_complete_while_a_cell_runs(cells):
    """Completion answers from the namespace while a cell is running."""
    running, release = threading.Event(), threading.Event()
    cells.namespace.update(running=running, release=release, voltage=1)
    source = "running.set()\nassert release.wait(10)"
    thread = threading.Thread(target=cells.run, args=(source,))
    thread.start()
    running.wait(10)
    assert cells.shell.complete("volt", 4, cells.namespace)["matches"] == ["voltage"]
    assert cells.shell.inspect("voltage", 3, cells.namespace)["found"]
    release.set()
    thread.join(10)


def test_inspect(cells):
    """`?` gives signature and docstring, `??` the source as well."""
    cells.run("def scan(count: int) -> int:\n    'Scan it.'\n    return count")
    reply = cells.shell.inspect("scan(", 5, cells.namespace)
    assert reply["found"]
    assert "count: 'int'" in reply["data"]["text/plain"] or "count" in reply["data"]["text/plain"]
    assert "Scan it." in reply["data"]["text/plain"]
    source = cells.shell.inspect("scan", 4, cells.namespace, detail=1)["data"]["text/plain"]
    assert "return" in source
    assert not cells.shell.inspect("nowhere", 3, cells.namespace)["found"]


@pytest.mark.parametrize(
    ("source", "cursor", "name"),
    [
        ("a.b.c", 3, "a.b"),
        ("a.b.c", 5, "a.b.c"),
        ("f(1, ", 5, "f"),
        ("", 0, ""),
        ("1 + ab", 5, "ab"),
    ],
)
def test_name_at(source, cursor, name):
    """The name under the cursor, up to the next dot, or the function that is called."""
    assert name_at(source, cursor) == name


# -- IPython's part --------------------------------------------------------------------------------


def test_rich_result(rich):
    """A DataFrame arrives as HTML and as text."""
    rich.run("import pandas as pd\npd.DataFrame({'x': [1, 2]})")
    (content,) = rich.of("result")
    assert "<table" in content["data"]["text/html"]
    assert "x" in content["data"]["text/plain"]


def test_display_update_clear(rich):
    """display(), its updates by id, and clear_output arrive in order."""
    rich.run(
        "from IPython.display import display, HTML, Image, clear_output\n"
        "handle = display(HTML('<b>1</b>'), display_id=True)\nhandle.update(HTML('<b>2</b>'))\n"
        "clear_output(wait=True)\ndisplay({'image/png': b'PNG', 'text/plain': ''}, raw=True)"
    )
    assert [kind for kind, _ in rich.output] == ["display", "display", "clear", "display"]
    first, second, third = rich.of("display")
    assert first["transient"] == second["transient"] != {}
    assert (first["update"], second["update"]) == (False, True)
    assert rich.of("clear") == [True]
    assert third["data"]["image/png"] == b"PNG"


def test_bundles_are_plain(rich):
    """What a formatter gives is reduced to values that travel."""
    rich.run(
        "class Strange:\n    def _repr_mimebundle_(self, **kwargs):\n"
        "        return {'application/json': {1: (2, {3})}, 'text/plain': 'it'}\nStrange()"
    )
    (content,) = rich.of("result")
    assert content["data"]["application/json"] == {"1": [2, "{3}"]}


def test_magics(rich, tmp_path):
    """Line magics, cell magics and shell commands run there and print into the cell."""
    rich.run("!echo from a shell")
    assert rich.text().split() == ["from", "a", "shell"]
    rich.run("%%capture caught\nprint('kept')")
    assert rich.output == []
    assert rich.run("caught.stdout").result == "'kept\\n'"
    rich.run(f"here = %pwd\n%cd {tmp_path}")
    try:
        assert rich.run("%pwd").result == repr(str(tmp_path))
    finally:
        rich.run("%cd {here}")
    assert "not found" in str(rich.fail("%nosuchmagic"))


def test_bash(rich):
    """Output of %%bash, read by a thread of IPython's, goes to the cell."""
    assert rich.run("%%bash\necho one\necho two").text() == "one\ntwo\n"


def test_question_mark(rich):
    """`name?` in a cell is shown in the cell; no pager opens on the server."""
    rich.run("def scan():\n    'Scan it.'\nscan?")
    (content,) = rich.of("display")
    assert "Scan it." in content["data"]["text/plain"]


FIGURES = """
from nbrpc.server.shell import Shell

shell, shown = Shell(rich=True), []
for source in ("import matplotlib.pyplot as plt\\nplt.plot([1, 2, 3]);", "plt.plot([1, 2])\\n1/0"):
    try:
        shell.run(
            source,
            namespace=globals(),
            emit=lambda kind, content: shown.append((kind, content)),
            filename="<remote cell>",
            first_line=1,
        )
    except ZeroDivisionError:
        pass
print([sorted(content["data"]) for kind, content in shown if kind == "display"])
"""


def test_figures():
    """Figures of matplotlib are displayed at the end of the cell, of a failing one too.

    In a process of its own, since matplotlib is set up once for each.
    """
    environment = {name: text for name, text in os.environ.items() if name != "MPLBACKEND"}
    done = subprocess.run(
        [sys.executable, "-c", FIGURES], capture_output=True, text=True, check=True, env=environment
    )
    assert done.stdout == "[['image/png', 'text/plain'], ['image/png', 'text/plain']]\n"


def test_nothing_is_kept(rich):
    """After a cell IPython holds neither the namespace nor the values of that cell."""
    import gc
    import weakref

    rich.run("class Big: pass\nbig = Big()\nbig")
    reference = weakref.ref(rich.namespace["big"])
    rich.namespace.clear()
    gc.collect()
    assert reference() is None


def test_completion_with_ipython_runs_no_getter(rich):
    """Tab and `?` in a namespace with IPython run no property."""
    rich.run(
        "class Device:\n    @property\n    def value(self): ran.append(1)\nran = []\nd = Device()"
    )
    assert ".value" in rich.shell.complete("d.", 2, rich.namespace)["matches"]
    rich.shell.complete("d.value.", 8, rich.namespace)
    rich.shell.inspect("d.value", 7, rich.namespace)
    assert rich.namespace["ran"] == []


def test_without_ipython_installed():
    """A server without IPython runs cells plainly."""
    program = (
        "import sys\nsys.modules['IPython'] = None\n"
        "from nbrpc.server.shell import shared_shell\n"
        "out = []\nshared_shell().run('print(1)\\n[2]', namespace={}, filename='<remote cell>', "
        "emit=lambda *pair: out.append(pair), first_line=1)\nprint(out)"
    )
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True, timeout=60
    )
    assert done.stdout.split("\n")[0] == (
        "[('stdout', '1\\n'), ('result', {'data': {'text/plain': '[2]'}, 'metadata': {}})]"
    )


def test_a_foreign_shell_is_left_alone():
    """In a process with a shell of its own (a notebook kernel) cells run plainly."""
    from IPython.core.interactiveshell import InteractiveShell

    first = Cells(Shell(rich=True))
    first.run("1")
    second = Cells(Shell(rich=True))
    try:
        assert isinstance(second.fail("%pwd"), SyntaxError)
        assert InteractiveShell.initialized()
    finally:
        first.shell.close()


def test_one_shell_per_process():
    """`shared_shell` gives the same shell each time."""
    assert shared_shell() is shared_shell()


def test_customary_names_are_imported_where_they_are_used(cells):
    """Np is numpy in a cell that uses it unbound; a name of the user's own is left alone."""
    cells.run("print(np.arange(3).sum())")
    assert cells.text() == "3\n"
    cells.namespace["pd"] = "mine"
    cells.run("print(pd.upper())")
    assert cells.text().endswith("MINE\n")
