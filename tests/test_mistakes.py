"""Mistakes that people make: one clear sentence, soon, and nothing lost by it."""

from __future__ import annotations

import contextlib
import http.server
import os
import re
import socket
import subprocess
import sys
import threading
import time

import pytest

import nbrpc
from nbrpc.app import main
from nbrpc.demo import Bench
from tests.notebook.kernels import Kernel
from tests.support import eventually, start_server

SOON = 2.0
"""Seconds within which a mistake is told, on a machine that does other things as well."""

RPYC_SERVER = """
import rpyc, rpyc.utils.server
server = rpyc.utils.server.ThreadedServer(rpyc.SlaveService, hostname="127.0.0.1", port=0)
print(server.port, flush=True)
server.start()
"""


@contextlib.contextmanager
def http_server():
    """A web server, as somebody may have on the port that was meant."""
    with http.server.ThreadingHTTPServer(
        ("127.0.0.1", 0), http.server.SimpleHTTPRequestHandler
    ) as server:
        server.RequestHandlerClass.log_message = lambda *_: None
        thread = threading.Thread(target=server.serve_forever, args=(0.01,))
        thread.start()
        yield server.server_port
        server.shutdown()
        thread.join()


@contextlib.contextmanager
def rpyc_server():
    """RPyC's own server."""
    with subprocess.Popen([sys.executable, "-c", RPYC_SERVER], stdout=subprocess.PIPE) as process:
        port = int(process.stdout.readline())
        eventually(lambda: listens(port))  # it says its port before it listens
        yield port
        process.kill()


def listens(port):
    """Whether somebody accepts connections there."""
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0


@contextlib.contextmanager
def closing_server():
    """A server that closes every connection at once."""
    with socket.create_server(("127.0.0.1", 0)) as server:

        def close():
            server.accept()[0].close()

        thread = threading.Thread(target=close)
        thread.start()
        yield server.getsockname()[1]
        thread.join()


@contextlib.contextmanager
def no_server():
    """A port on which nobody listens."""
    with socket.socket() as holder:
        holder.bind(("127.0.0.1", 0))
        yield holder.getsockname()[1]


@pytest.fixture
def bench():
    """A server of the bench and a connection to it."""
    with nbrpc.serve(Bench()) as server, nbrpc.connect(server.url) as connection:
        yield server, connection


@pytest.mark.parametrize(
    ("server", "sentence"),
    [
        (no_server, "nothing listens on 127.0.0.1:PORT: start a server there, or check the port"),
        (http_server, "does not speak nbrpc; check the port"),
        (closing_server, "closed the connection during the handshake: it is no nbrpc server"),
    ],
)
def test_a_wrong_port(server, sentence):
    """What stands on the other end is named, at once."""
    with server() as port:
        begun = time.monotonic()
        with pytest.raises(nbrpc.ConnectFailed) as raised:
            nbrpc.connect("127.0.0.1", port)
        assert time.monotonic() - begun < SOON
    assert sentence.replace("PORT", str(port)) in str(raised.value)
    assert f"127.0.0.1:{port}" in str(raised.value)
    assert "\n" not in str(raised.value)


def test_a_token_for_a_server_of_rpyc():
    """A token is given to nobody who cannot ask for it: the server may be another one."""
    with rpyc_server() as port:
        with pytest.raises(nbrpc.ConnectFailed, match="speaks RPyC, which knows no tokens"):
            nbrpc.connect("127.0.0.1", port, token="secret")
        with nbrpc.classic.connect("127.0.0.1", port) as conn:
            assert conn.protocol == "rpyc/6"


def test_a_server_that_says_nothing():
    """Waiting ends when the time is over that the caller gave."""
    with socket.create_server(("127.0.0.1", 0)) as silent:
        begun = time.monotonic()
        with pytest.raises(nbrpc.ConnectFailed, match="did not answer the handshake in time"):
            nbrpc.connect(*silent.getsockname(), timeout=0.3)
        assert 0.2 < time.monotonic() - begun < SOON


@pytest.mark.parametrize(
    ("arguments", "kind", "sentence"),
    [
        (("127.0.0.1", "18861"), ValueError, "from 1 to 65535, not '18861'"),
        (("127.0.0.1", 99999), ValueError, "from 1 to 65535, not 99999"),
        (("127.0.0.1",), ValueError, "is not an address: write host:port"),
        (("ssh://-host",), ValueError, "names no valid host"),
        (("rpyc://127.0.0.1/?token=x",), ValueError, "RPyC's protocol knows none"),
        (("nbrpc://127.0.0.1:x",), ValueError, "127.0.0.1:x"),
        (("ftp://127.0.0.1:80",), ValueError, "unknown scheme"),
        ((None,), TypeError, "needs a host name or a URL, not NoneType"),
        ((18861,), TypeError, "needs a host name or a URL, not int"),
        (("127.0.0.1", 1, 5), TypeError, "service is a class derived from nbrpc.Service"),
        (("127.0.0.1", 1, nbrpc.VoidService, 5), TypeError, "config is a dict of RPyC's keys, not"),
        (("no-such-host.invalid", 1), nbrpc.ConnectFailed, "check its spelling"),
    ],
)
def test_no_address(arguments, kind, sentence):
    """What is wrong with an address is said in terms of the address."""
    with pytest.raises(kind, match=re.escape(sentence)):
        nbrpc.connect(*arguments)


@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        ({"timeout": "x"}, "the timeout is a number of seconds, not 'x'"),
        ({"token": 5}, "a token is a text, not int"),
        ({"limits": 5}, "limits are an nbrpc.Limits, not 5"),
        ({"timing": 5}, "timing is an nbrpc.Timing, not 5"),
    ],
)
def test_wrong_options_of_connect(bench, options, sentence):
    """They are refused before anything is opened."""
    server, _ = bench
    with pytest.raises(TypeError, match=re.escape(sentence)):
        nbrpc.connect(server.url, **options)


@pytest.mark.parametrize(
    ("attempt", "kind", "sentence"),
    [
        (lambda: nbrpc.serve(5), TypeError, "a Service class or an object with methods, not 5"),
        (lambda: nbrpc.serve(None), TypeError, "an object with methods, not None"),
        (lambda: nbrpc.serve("nbrpc.demo:Bench"), TypeError, "not 'nbrpc.demo:Bench'"),
        (lambda: nbrpc.serve(Bench, port="x"), ValueError, "0 for a free one, not 'x'"),
        (lambda: nbrpc.serve(Bench, port=99999), ValueError, "0 for a free one, not 99999"),
        (lambda: nbrpc.serve(Bench, host=5), TypeError, "host is a text, not int"),
        (lambda: nbrpc.serve(Bench, path=5), TypeError, "the path of a Unix socket, not int"),
        (lambda: nbrpc.serve(Bench, token=b"x"), TypeError, "token is a text, not bytes"),
        (lambda: nbrpc.serve(Bench, limits=5), TypeError, "limits are an nbrpc.Limits, not 5"),
        (lambda: nbrpc.serve(Bench, config=5), TypeError, "config is a dict of RPyC's keys"),
        (lambda: nbrpc.serve(Bench, hots="x"), TypeError, "unexpected keyword argument 'hots'"),
    ],
)
def test_wrong_arguments_of_serve(attempt, kind, sentence):
    """Nothing listens after them."""
    with pytest.raises(kind, match=re.escape(sentence)) as raised:
        attempt()
    assert "\n" not in str(raised.value)


@pytest.mark.parametrize(
    ("attempt", "kind", "sentence"),
    [
        (lambda _: nbrpc.gather(5), TypeError, "gather needs a list of results, not int"),
        (
            lambda conn: nbrpc.gather([nbrpc.async_(conn.root.scan)(1), 1]),
            TypeError,
            "nbrpc.async_(function)(...) gives them; item 1 is of type int",
        ),
        (lambda _: nbrpc.BgServingThread(5), TypeError, "nbrpc.connect gives it, not int"),
        (
            lambda conn: nbrpc.BgServingThread(conn, 5),
            TypeError,
            "callback is a function, not int",
        ),
        (
            lambda _: nbrpc.async_(5),
            TypeError,
            "async_ needs something that can be called, not int",
        ),
        (
            lambda _: nbrpc.timed(5, 1),
            TypeError,
            "timed needs something that can be called, not int",
        ),
        (lambda conn: nbrpc.timed(conn.root.scan, "x"), TypeError, "a number of seconds, not 'x'"),
        (
            lambda conn: nbrpc.async_(conn.root.scan)(1).add_callback(5),
            TypeError,
            "add_callback needs a function that takes the result, not int",
        ),
        (
            lambda conn: nbrpc.async_(conn.root.scan)(1).set_expiry("x"),
            TypeError,
            "an expiry is a number of seconds, not 'x'",
        ),
        (
            lambda conn: nbrpc.async_(conn.root.scan)(1).wait("x"),
            TypeError,
            "the timeout is a number of seconds, not 'x'",
        ),
        (lambda _: nbrpc.buffiter(5), TypeError, "'int' object is not iterable"),
        (lambda _: nbrpc.buffiter([], "x"), ValueError, "chunk is a whole number from 1, not 'x'"),
        (lambda _: nbrpc.watch(5, "x"), TypeError, "watch needs a remote object, not int"),
        (
            lambda conn: nbrpc.watch(conn.root, 5),
            TypeError,
            "watch needs the name of an attribute, not int",
        ),
        (
            lambda conn: nbrpc.watch(conn.root, "voltage", "x"),
            TypeError,
            "every is a number of seconds, not 'x'",
        ),
        (
            lambda conn: conn.root.alarm.subscribe(5),
            TypeError,
            "subscribe needs a function that takes the event, not int",
        ),
        (
            lambda conn: conn.root.alarm.subscribe(print, maxsize="x"),
            ValueError,
            "maxsize is 1 to 1,000,000, not 'x'",
        ),
        (lambda conn: conn.eval(5), TypeError, "an expression is a text, not int"),
        (lambda conn: conn.execute(b"x"), TypeError, "source is a text, not bytes"),
        (lambda conn: conn.modules[5], TypeError, "the name of a module is a text, not int"),
        (lambda conn: conn.serve("x"), TypeError, "the timeout is a number of seconds, not 'x'"),
        (lambda conn: conn.poll_all("x"), TypeError, "the timeout is a number of seconds, not 'x'"),
        (lambda conn: conn.ping(timeout="x"), TypeError, "a number of seconds, not 'x'"),
    ],
)
def test_wrong_arguments(bench, attempt, kind, sentence):
    """They are told where the mistake is made, and the connection lives on."""
    _, connection = bench
    with pytest.raises(kind, match=re.escape(sentence)) as raised:
        attempt(connection)
    assert "\n" not in str(raised.value)
    assert connection.root.voltage == 1.0


def test_a_wrong_token(bench):
    """The message names the server and says where tokens come from; the next attempt succeeds."""
    server, _ = bench
    begun = time.monotonic()
    with pytest.raises(nbrpc.AuthenticationFailed) as raised:
        nbrpc.connect(server.host, server.port, token="wrong")
    assert time.monotonic() - begun < SOON
    assert f"127.0.0.1:{server.port}: the token is wrong: use the URL" in str(raised.value)
    with nbrpc.connect(server.host, server.port) as connection:
        connection.ping()


@pytest.mark.parametrize(
    ("attempt", "kind", "sentence"),
    [
        (lambda dev: dev.voltag, nbrpc.AccessDenied, "is not exposed; did you mean 'voltage'?"),
        (lambda dev: dev.stage.mve(3), nbrpc.AccessDenied, "did you mean 'move'?"),
        (lambda dev: setattr(dev, "voltag", 5), nbrpc.AccessDenied, "did you mean 'voltage'?"),
        (lambda dev: delattr(dev, "voltag"), nbrpc.AccessDenied, "did you mean 'voltage'?"),
        (
            lambda dev: setattr(dev, "scan", 5),
            nbrpc.AccessDenied,
            "'scan' of the server's Bench cannot be set: only an exposed property with a setter",
        ),
        (
            lambda dev: dev.sweep(nbrpc.by_value(object()), 5),
            nbrpc.NotSendable,
            "an object cannot be copied; send it by reference",
        ),
        (
            lambda dev: dev.sweep(nbrpc.by_value([1, {"a": object()}]), 5),
            nbrpc.NotSendable,
            "an object at value[1]['a'] cannot be copied",
        ),
        (lambda dev: dev.scan("x"), TypeError, "points is a whole number, not 'x'"),
        (
            lambda dev: nbrpc.watch(dev, "nosuch", every=0.1).subscribe(print),
            nbrpc.AccessDenied,
            "'nosuch' of the server's Bench is not exposed",
        ),
    ],
)
def test_a_wrong_call(bench, attempt, kind, sentence):
    """The sentence says what to do, under the name of a public class; the connection lives on."""
    _, connection = bench
    with pytest.raises(kind, match=re.escape(sentence)) as raised:
        attempt(connection.root)
    assert not type(raised.value).__name__.startswith("_")
    assert connection.root.voltage == 1.0


def test_an_event_says_what_it_means(bench):
    """The documentation of an event is its own, not that of events in general."""
    _, connection = bench
    documented = {name: doc for name, _, _, doc in connection.describe()}
    assert documented["alarm"].startswith("A sentence: the housing is too hot")


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (
            ["serve", "nbrpc.demo:Bench", "--port", "abc"],
            "--port expected an int, not the str 'abc' (nbrpc serve --help)",
        ),
        (["serve", "nbrpc.demo:Bench", "--port", "99999"], "--port should not be greater than"),
        (["ping", "bench", "--timeout", "x"], "--timeout expected a float, not the str 'x'"),
        (["serve", "--classic=5"], "--classic takes no value (nbrpc serve --help)"),
        (["-x"], "there is no option -x (nbrpc --help)"),
    ],
)
def test_wrong_options(arguments, sentence, capsys):
    """An option is called as it was typed."""
    assert main(arguments) == 2
    error = capsys.readouterr().err
    assert error.startswith(f"nbrpc: {sentence}")
    assert error.count("\n") == 1


def test_inspect_shows_what_the_service_adds(served, capsys):
    """What every service has is no news, although remote code could reach it."""
    server = served("nbrpc.demo:Bench", "--allow-code")
    assert main(["inspect", server.url]) == 0
    shown = capsys.readouterr().out
    assert "method    scan(points: int = 100) -> list[float]" in shown
    assert "on_connect" not in shown
    assert "ALIASES" not in shown


# -- in a notebook -------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def kernel(tmp_path_factory):
    """A kernel that is connected to a bench in another process."""
    folder = tmp_path_factory.mktemp("kernel")
    runtime = tmp_path_factory.mktemp("runtime")
    runtime.chmod(0o700)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("NBRPC_RUNTIME_DIR", str(runtime))
        server = start_server(folder / "output", "nbrpc.demo:Bench", "--name=bench", "--allow-code")
    kernel = Kernel(folder, {"NBRPC_RUNTIME_DIR": str(runtime)})
    kernel.ok("import asyncio\n%load_ext nbrpc\n%rpc_connect bench\ndev = conn.root")
    yield kernel
    kernel.stop()
    server.stop()


@pytest.mark.kernel
@pytest.mark.parametrize(
    ("source", "sentence"),
    [
        ("%rpc_connect --frob", "unrecognized arguments: --frob; %rpc_connect --help shows"),
        ("%%remote --frob\n1", "unrecognized arguments: --frob; %%remote --help shows"),
        ('%rpc_connect "bench', "No closing quotation; %rpc_connect --help shows"),
        ("%%rpc_on dev.alarm\nprint((", "line 2 of the cell: '(' was never closed: print(("),
    ],
)
def test_wrong_magics(kernel, source, sentence):
    """One line, which says where to find what there is."""
    cell = kernel.run(source)
    assert f"UsageError: {sentence}" in cell.text("stderr")
    assert cell.text("stderr").count("\n") == 1


@pytest.mark.kernel
def test_a_remote_cell_that_is_too_slow(kernel):
    """The message says that the code runs on, since the next cell has to wait for it."""
    cell = kernel.run("%%remote --timeout 0.1\nimport time; time.sleep(0.5)")
    assert cell.traceback == (
        "CallTimeout: the remote cell did not end in that time; its code runs on there"
    )
    kernel.ok("%remote 1")


@pytest.mark.kernel
@pytest.mark.parametrize(
    ("source", "last"),
    [
        ('nbrpc.connect("127.0.0.1", 1)', "ConnectFailed: nothing listens on 127.0.0.1:1"),
        ("dev.sweep(nbrpc.by_value(object()), 5)", "NotSendable: an object cannot be copied"),
    ],
)
def test_tracebacks_have_no_frames_of_ours(kernel, source, last):
    """What is shown of an error is the cell, and the sentence."""
    traceback = kernel.run(source).traceback
    assert last in traceback.splitlines()[-1]
    assert f"{os.sep}nbrpc{os.sep}" not in traceback
    assert "direct cause" not in traceback


@pytest.mark.kernel
@pytest.mark.parametrize(
    "source",
    [
        "conn.modules.time.sleep(60)",
        "res = nbrpc.async_(dev.scan)(10_000); res.wait()",
        "res = nbrpc.async_(dev.scan)(10_000); await res",
        "res = nbrpc.async_(dev.scan)(10_000); await asyncio.gather(res)",
        "async for item in dev.alarm: pass",
        "%%remote\nimport time; time.sleep(60)",
    ],
)
def test_stop_is_shown_as_such(kernel, source):
    """A cell that waits ends in KeyboardInterrupt with the user's frames alone, soon."""
    begin = "print('begun', flush=True)\n"
    magic, _, rest = source.partition("\n")
    cell = kernel.start(f"{magic}\n{begin}{rest}" if rest else f"{begin}{source}")
    kernel.read_until(lambda: "begun" in cell.text())
    kernel.interrupt()
    begun = time.monotonic()
    kernel.finish(cell)
    assert time.monotonic() - begun < SOON
    (error,) = cell.of("error")
    assert error["ename"] == "KeyboardInterrupt"
    text = "\n".join(error["traceback"])
    assert f"{os.sep}nbrpc{os.sep}" not in text
    assert f"{os.sep}asyncio{os.sep}" not in text
    assert kernel.ok("dev.sample_rate").value == "40000.0"
    assert kernel.ok("%remote 1 + 1").value == "2"
