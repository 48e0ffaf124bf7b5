"""nbrpc-classic and nbrpc-registry, which take the options of RPyC's command lines."""

from __future__ import annotations

import subprocess
import sys

import pytest

from nbrpc.compat import commands, discovery
from nbrpc.compat.table import module_for
from tests.compat.support import environment
from tests.support import eventually

rpyc = module_for("rpyc")

RUN = "import sys; from nbrpc.compat.commands import *; sys.exit({}(sys.argv[1:]))"


@pytest.fixture
def running():
    """Start command lines in processes of their own; end them after the test."""
    started = []

    def begin(function, *arguments):
        process = subprocess.Popen(
            [sys.executable, "-c", RUN.format(function), *arguments],
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            text=True,
            env=environment(),
        )
        started.append(process)
        return process

    yield begin
    for process in started:
        process.kill()
        process.wait()
        process.stdout.close()


@pytest.mark.parametrize("mode", ["threaded", "forking"])
def test_a_classic_server(running, mode):
    """It prints its URL, and serves clients that find the token by themselves."""
    process = running("run_classic", "-m", mode, "-p", "0", "-q")
    url = process.stdout.readline()
    port = int(url.partition("@")[2].rpartition(":")[2]) if "@" in url else _port(url)
    with rpyc.classic.connect("127.0.0.1", port) as conn:
        assert conn.eval("6 * 7") == 42
        pid = conn.modules.os.getpid()
        assert (pid == process.pid) == (mode == "threaded")


def _port(url):
    from nbrpc.transports.address import parse

    return parse(url.strip()).port


def test_one_shot(running):
    """It prints two lines that RPyC's programs read, and ends with its client."""
    process = running("run_classic", "--mode", "oneshot", "--quiet")
    assert process.stdout.readline() == "rpyc-oneshot\n"
    host, port = process.stdout.readline().split("\t")
    with rpyc.classic.connect(host, int(port)) as conn:
        assert conn.eval("1") == 1
    assert process.wait(10) == 0


def test_a_registry(running, tmp_path):
    """It remembers services, and lists them where that was asked for."""
    port = _free_port()
    log = tmp_path / "log.txt"
    running("run_registry", "-p", str(port), "-l", "yes", "-t", "60", "--logfile", str(log))
    client = discovery.UDPRegistryClient("127.0.0.1", port, timeout=0.5)
    eventually(lambda: client.register(("A",), 5), 20)
    assert client.list() == ("A",)
    assert "registering A" in log.read_text(encoding="utf-8")


def test_a_classic_server_in_a_registry(running):
    """``--register`` tells a registry where the server is."""
    port = _free_port()
    running("run_registry", "-m", "tcp", "-p", str(port), "-q")
    client = discovery.TCPRegistryClient("127.0.0.1", port, timeout=0.5)
    eventually(lambda: client.register(("other",), 5), 20)
    options = ["--registry-type", "tcp", "--registry-host", "127.0.0.1"]
    running("run_classic", "-p", "0", "--register", *options, "--registry-port", str(port))
    eventually(lambda: client.discover("SLAVE"), 20)
    conn = rpyc.connect_by_service("slave", registrar=client, service=rpyc.SlaveService)
    assert conn.eval("2") == 2
    conn.close()


def _free_port():
    import socket

    with socket.create_server(("127.0.0.1", 0)) as sock:
        return sock.getsockname()[1]


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--ssl-keyfile", "key.pem"], "TLS needs --ssl-certfile"),
        (["--mode", "gevent"], "invalid choice"),
        (["--register", "--registry-type", "TCP"], "needs --registry-host"),
    ],
)
def test_mistakes(arguments, said, capsys):
    """What cannot be done is said in a sentence, with the exit code of wrong usage."""
    with pytest.raises(SystemExit) as ended:
        commands.run_classic(arguments)
    assert ended.value.code == 2
    assert said in capsys.readouterr().err


def test_a_taken_port(capsys, monkeypatch):
    """It is one sentence, and no traceback."""
    monkeypatch.setattr(commands, "setup_logger", lambda *_: None)
    server = rpyc.ThreadedServer(rpyc.SlaveService)
    assert commands.run_classic(["-p", str(server.port)]) == 1
    assert "is taken by another program" in capsys.readouterr().err
    server.close()


def test_hosts_beyond_this_machine(capsys, monkeypatch):
    """They are refused unless told on purpose."""
    monkeypatch.setattr(commands, "setup_logger", lambda *_: None)
    assert commands.run_classic(["--host", "0.0.0.0", "-p", "0"]) == 1
    assert "--insecure" in capsys.readouterr().err
