"""What child processes, C code and threads of a remote cell write is shown in the cell."""

from __future__ import annotations

import contextlib
import os
import re
import subprocess
import sys

import psutil
import pytest

import nbrpc
from tests.support import eventually

pytestmark = pytest.mark.skipif(os.name != "posix", reason="there are no pipes to wait for")

PRELUDE = "import ctypes, os, subprocess, sys, threading, time\n"


def text(result, kind="stdout"):
    """Give what a cell printed."""
    return "".join(content for got, content in result.outputs if got == kind)


def run(conn, source, **options):
    """Run a cell to its end and give its result."""
    result = conn.run_cell(PRELUDE + source, **options)
    result.result(30)
    return result


BACKGROUND = """
import sys
import nbrpc
servers = [nbrpc.serve(nbrpc.ClassicService, token="t" * 32) for _ in range(2)]
for server in servers:
    print(server.url, flush=True)
sys.stdin.read()
"""
TOKEN = "t" * 32


@pytest.fixture
def background():
    """Give the URLs of two servers of one program, whose main thread does something else."""
    process = subprocess.Popen(
        [sys.executable, "-c", BACKGROUND],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    yield [process.stdout.readline().strip() for _ in range(2)]
    process.communicate()  # it ends when its input does


@pytest.fixture(params=["main thread", "worker", "session", "stdio"])
def conn(request, served):
    """Give a connection to a server that runs cells, in each way in which there are some."""
    if request.param == "stdio":
        command = [sys.executable, "-m", "nbrpc", "serve", "--stdio", "--classic"]
        with nbrpc.connect_command(command, timeout=30) as connection:
            yield connection
        return
    if request.param == "worker":
        url, token = request.getfixturevalue("background")[0], TOKEN
    else:
        url, token = served("--classic").url, None
    session = "kept" if request.param == "session" else None
    with nbrpc.connect(url, token=token, session=session) as connection:
        yield connection


@pytest.fixture
def server(served):
    """Give a server in a process of its own."""
    return served("--classic")


THREAD = """
thread = threading.Thread(target=lambda: (print('x'), os.write(1, b'x\\n')))
thread.start()
thread.join()
"""

FORKED = """
import multiprocessing
child = multiprocessing.get_context('fork').Process(target=print, args=('x',))
child.start()
child.join()
"""


@pytest.mark.parametrize(
    ("source", "kind"),
    [
        ("_ = subprocess.run(['echo', 'x'])", "stdout"),
        ("_ = subprocess.run(['sh', '-c', 'echo x >&2'])", "stderr"),
        ("_ = os.system('echo x')", "stdout"),
        ("_ = os.write(1, b'x\\n')", "stdout"),
        ("_ = os.write(2, b'x\\n')", "stderr"),
        ("_ = ctypes.CDLL(None).puts(b'x')", "stdout"),
        ("_ = os.waitpid(os.spawnlp(os.P_NOWAIT, 'echo', 'echo', 'x'), 0)", "stdout"),
        ("_ = subprocess.run(['echo', 'x'], stdout=sys.stdout)", "stdout"),
        ("_ = subprocess.run(['echo', 'x'], stdout=sys.stderr)", "stderr"),
        (THREAD, "stdout"),
        (FORKED, "stdout"),
    ],
)
def test_it_is_shown_in_the_cell(conn, source, kind):
    """All of it, before the cell is answered, and nothing else."""
    result = run(conn, source)
    assert set(text(result, kind).split()) == {"x"}
    assert text(result, "stderr" if kind == "stdout" else "stdout") == ""
    assert text(run(conn, "pass")) == ""


def test_the_shell_of_ipython(server):
    """A line with an exclamation mark, and a cell of bash."""
    with nbrpc.connect(server.url) as conn:
        result = run(conn, "!echo from the shell")
        assert text(result).replace("\r", "") == "from the shell\n"
        result = conn.run_cell("%%bash\necho from bash")
        result.result(30)
        assert text(result) == "from bash\n"


def test_the_order_is_that_of_writing(conn):
    """Prints, descriptors and children of a cell arrive as they were written."""
    source = """
for number in range(5):
    print("print", number)
    _ = os.write(1, b"write %d\\n" % number)
    sys.stdout.write(f"stream {number}\\n")
    _ = subprocess.run(["echo", f"child {number}"])
"""
    expected = [
        f"{who} {number}" for number in range(5) for who in ("print", "write", "stream", "child")
    ]
    assert text(run(conn, source)).splitlines() == expected


def test_characters_are_put_together_again(conn):
    """A character whose bytes are written apart is one; what is no UTF-8 is replaced."""
    source = """
for byte in "\\N{EURO SIGN}".encode():
    _ = os.write(1, bytes([byte]))
    time.sleep(0.05)  # so that each is read alone
_ = os.write(1, b"\\xff\\n\\xe2\\x82")
"""
    replaced = "\N{REPLACEMENT CHARACTER}"
    assert text(run(conn, source)) == f"\N{EURO SIGN}{replaced}\n{replaced}"


def test_it_is_shown_while_the_cell_runs(conn, tmp_path):
    """What a child has written is there before the cell ends."""
    go = tmp_path / "go"
    source = f"subprocess.run(['sh', '-c', 'echo first; until test -e {go}; do sleep 0.02; done'])"
    result = conn.run_cell(PRELUDE + source)
    eventually(lambda: text(result) == "first\n", 20)
    assert not result.done
    go.touch()
    result.result(20)


def test_much_of_it(conn):
    """Megabytes arrive whole and in order."""
    result = run(conn, "_ = subprocess.run(['seq', '300000'])")
    assert text(result) == "".join(f"{number}\n" for number in range(1, 300_001))


@pytest.mark.skipif(sys.platform != "linux", reason="elsewhere a pipe has the room that it has")
def test_c_code_that_keeps_the_interpreter(conn):
    """It may write a good deal meanwhile, although nothing can be read."""
    result = run(conn, "_ = ctypes.PyDLL(None).write(1, b'x' * 900_000, 900_000)")
    assert text(result) == "x" * 900_000


@pytest.mark.parametrize("call", ["subprocess.run(['yes'])", "os.system('yes')"])
def test_a_flood_is_bounded_and_stop_ends_it(server, call):
    """The writer waits for the peer; a cancel ends cell and child, and the server goes on."""
    with nbrpc.connect(server.url) as conn:
        result = conn.run_cell(PRELUDE + call)
        eventually(lambda: len(result.outputs) > 20, 20)
        child = psutil.Process(server.pid).children(recursive=True)[-1]
        assert child.name() == "yes"
        result.cancel()
        eventually(lambda: not child.is_running(), 20)
        result.outputs.clear()
        assert text(run(conn, "print('next')")) == "next\n"
        memory = psutil.Process(server.pid).memory_info().rss
        assert memory < 400 * 2**20


def test_stop_ends_a_silent_child(server):
    """One that the C library waits for, too, which ignores interrupts itself."""
    with nbrpc.connect(server.url) as conn:
        result = conn.run_cell(PRELUDE + "os.system('sleep 1000')\nprint('not reached')")
        process = psutil.Process(server.pid)
        eventually(lambda: process.children(recursive=True), 20)
        result.cancel()
        eventually(lambda: not process.children(recursive=True), 20)
        assert text(run(conn, "print('next')")) == "next\n"


def test_a_peer_that_reads_nothing_holds_up_the_writer(server):
    """What a child writes is not kept in the server's memory."""
    with nbrpc.connect(server.url) as conn, nbrpc.connect(server.url) as other:
        result = conn.run_cell(PRELUDE + "subprocess.run(['yes'])")
        eventually(lambda: result.outputs, 20)
        assert conn.session.reading.acquire(timeout=20)  # from now on nobody reads here
        try:
            (child,) = psutil.Process(server.pid).children()

            def waits():
                before = child.cpu_times().user
                other.ping()
                return child.status() == psutil.STATUS_SLEEPING and (
                    child.cpu_times().user == before
                )

            eventually(lambda: all(waits() for _ in range(50)), 20)
            assert psutil.Process(server.pid).memory_info().rss < 400 * 2**20
        finally:
            conn.session.reading.release()
        conn.session.ensure_read()
        result.cancel()
        eventually(lambda: not child.is_running(), 20)


OUTLIVING = """
child = subprocess.Popen(["sh", "-c", "until test -e {go}; do sleep 0.02; done; echo late;"
                          " echo late; echo survived > {done}"])
print("ended")
"""


def test_a_child_that_outlives_its_cell(server, tmp_path):
    """It holds up nothing, its output goes to the server's console, and no signal kills it."""
    go, done = tmp_path / "go", tmp_path / "done"
    with nbrpc.connect(server.url) as conn:
        assert text(run(conn, OUTLIVING.format(go=go, done=done))) == "ended\n"
        with nbrpc.connect(server.url) as other:
            waiting = other.run_cell(PRELUDE + f"while not os.path.exists({str(done)!r}): pass")
            go.touch()
            waiting.result(30)
            assert text(waiting) == ""
        assert done.read_text() == "survived\n"
        eventually(lambda: server.printed.count("late\n") == 2, 20)


def test_a_child_that_floods_after_its_cell(server):
    """The end of the cell does not wait for it, nor do the end of the server and its clients."""
    with nbrpc.connect(server.url) as conn:
        result = run(conn, "child = subprocess.Popen(['yes'])\nprint('ended')")
        assert "ended" in text(result)
        assert text(run(conn, "print('next')")) == "next\n"
        child = psutil.Process(server.pid).children()[0]
        server.process.terminate()
        server.process.wait(20)
        with contextlib.suppress(psutil.NoSuchProcess):
            child.kill()


def test_threads_that_outlive_their_cell(server, tmp_path):
    """Their prints go to the server's console, not to the cell of somebody else."""
    go = tmp_path / "go"
    source = f"""
def late():
    while not os.path.exists({str(go)!r}):
        time.sleep(0.01)
    print("printed late")
    done.set()
done = threading.Event()
sys.done = done
threading.Thread(target=late).start()
"""
    with nbrpc.connect(server.url) as conn, nbrpc.connect(server.url) as other:
        run(conn, source)
        waiting = other.run_cell(PRELUDE + f"open({str(go)!r}, 'w').close()\nsys.done.wait(20)")
        waiting.result(30)
        assert text(waiting) == ""
    eventually(lambda: "printed late\n" in server.printed, 20)


SERVER = """
import logging, os, subprocess, sys, threading, time
import nbrpc
logging.basicConfig(stream=sys.stderr, format="log %(message)s", level=logging.INFO)
first = os.fstat(1)

class Loud(nbrpc.Service):
    def exposed_say(self):
        logging.info("of the server")
        print("printed by the server", flush=True)
    def exposed_same(self):
        return os.path.samestat(os.fstat(1), first) and sys.__stdout__.fileno() == 1

server = nbrpc.serve(Loud, token="t" * 32, allow_code=True)
print(server.url, flush=True)
server.start()
"""


@pytest.fixture
def loud():
    """Give a program that serves and prints; its URL, and what it has printed once it ended."""
    process = subprocess.Popen(
        [sys.executable, "-c", SERVER], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )
    yield process
    process.kill()
    process.communicate()


def test_the_servers_own_output_stays_its_own(loud):
    """Its prints and its log during a cell go where they always went."""
    url = loud.stdout.readline().strip()
    with nbrpc.connect(url, token=TOKEN) as conn, nbrpc.connect(url, token=TOKEN) as other:
        running = conn.run_cell(
            "import os, sys, threading; sys.go = threading.Event(); os.write(1, b'here')\n"
            "sys.go.wait(20)"
        )
        eventually(lambda: text(running) == "here", 20)
        other.root.say()
        other.execute("import sys; sys.go.set()")
        running.result(20)
        assert (text(running), text(running, "stderr")) == ("here", "")
        conn.root.say()
        assert conn.root.same()
    loud.terminate()
    out, err = loud.communicate(timeout=20)
    assert out == "printed by the server\n" * 2
    assert len(re.findall("^log of the server$", err, re.MULTILINE)) == 2


def test_the_descriptors_are_given_back(server):
    """After a cell, nothing is left of the pipes; what the cell itself put there stays."""
    with nbrpc.connect(server.url) as conn:
        count = "len(os.listdir('/proc/self/fd'))"
        run(conn, "subprocess.run(['true'])")
        conn.execute("import os, sys")
        before = conn.eval(count)
        for _ in range(20):
            run(conn, "subprocess.run(['true'])")
        assert conn.eval(count) == before
        assert conn.eval("not __import__('stat').S_ISFIFO(os.fstat(1).st_mode)")
        run(conn, "os.dup2(os.open(os.devnull, os.O_WRONLY), 1)")
        assert conn.eval("os.path.samestat(os.fstat(1), os.stat(os.devnull))")
        assert text(run(conn, "_ = os.system('echo not shown'); print('shown')")) == "shown\n"
        run(conn, "os.close(2)")
        for _ in range(3):
            with nbrpc.connect(server.url) as other:  # whose socket may be descriptor 2 there
                assert text(run(other, "print('shown', file=sys.stderr)"), "stderr") == "shown\n"


def test_cells_inside_of_cells(background):
    """A cell that is run from another one has its own output."""
    with nbrpc.connect(background[0], token=TOKEN) as conn:
        texts = []

        def inner():
            texts.append(text(run(conn, "_ = os.system('echo inner')")))

        conn.namespace["inner"] = inner
        outer = run(conn, "_ = os.system('echo before')\ninner()\n_ = os.system('echo after')")
        assert texts == ["inner\n"]
        assert text(outer) == "before\nafter\n"


def test_two_servers_in_one_process(background):
    """Each cell has its own output, whichever server it came by."""
    with contextlib.ExitStack() as stack:
        conns = [stack.enter_context(nbrpc.connect(url, token=TOKEN)) for url in background]
        results = [
            conn.run_cell(PRELUDE + f"for i in range(20): _ = os.system('echo {number}')")
            for number, conn in enumerate(conns)
        ]
        for number, result in enumerate(results):
            result.result(30)
            assert text(result) == f"{number}\n" * 20


def test_a_crash_is_told_on_the_console(served, monkeypatch):
    """What Python says last is not lost with the cell."""
    monkeypatch.setenv("PYTHONFAULTHANDLER", "1")
    server = served("--classic")
    with nbrpc.connect(server.url) as conn:
        result = conn.run_cell("import faulthandler; faulthandler._sigsegv()")
        with pytest.raises(nbrpc.ConnectionLost):
            result.result(20)
    server.process.wait(20)
    assert "Segmentation fault" in server.printed


@pytest.mark.parametrize("closed", [">&-", "2>&-", ">&- 2>&-"])
def test_a_server_without_descriptors(tmp_path, closed):
    """What is missing is left alone; prints and the rest work."""
    program = tmp_path / "serving.py"
    program.write_text(
        "import nbrpc, pathlib\n"
        "server = nbrpc.serve(nbrpc.ClassicService, token='t' * 32)\n"
        f"pathlib.Path({str(tmp_path / 'url')!r}).write_text(server.url + '\\n')\n"
        "server.start()\n"
    )
    process = subprocess.Popen(
        ["sh", "-c", f"exec {sys.executable} {program} {closed}"],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    try:
        url = tmp_path / "url"
        eventually(lambda: url.exists() and url.read_text().endswith("\n"), 20)
        with nbrpc.connect(url.read_text().strip(), token=TOKEN) as conn:
            source = "print('printed')\n_ = os.system('echo written 2>&1; echo to stderr >&2')"
            result = run(conn, source)
            assert "printed\n" in text(result)
            assert ("written\n" in text(result)) == (closed == "2>&-")
            assert ("to stderr\n" in text(result, "stderr")) == (closed == ">&-")
            assert text(run(conn, "print('again')")) == "again\n"
    finally:
        process.kill()
        process.wait()


def test_a_lost_link_does_not_break_the_writer(server, tmp_path):
    """A child that writes when nobody listens any more ends by itself, and the server goes on."""
    done = tmp_path / "done"
    with nbrpc.connect(server.url, session="kept") as conn:
        result = conn.run_cell(
            PRELUDE + f"subprocess.run(['sh', '-c', 'seq 200000; touch {done}'])"
        )
        eventually(lambda: result.outputs, 20)
    eventually(done.exists, 20)
    with nbrpc.connect(server.url) as conn:
        assert text(run(conn, "print('next')")) == "next\n"


def test_prints_of_many_threads_with_children(server):
    """Threads of a cell that print and start children at once lose nothing."""
    source = """
def work(name):
    for i in range(10):
        print(name)
        subprocess.run(["echo", name])
threads = [threading.Thread(target=work, args=(name,)) for name in "abcdef"]
for thread in threads: thread.start()
for thread in threads: thread.join()
"""
    with nbrpc.connect(server.url) as conn:
        written = text(run(conn, source)).replace("\n", "")
    assert sorted(written) == sorted("abcdef" * 20)
