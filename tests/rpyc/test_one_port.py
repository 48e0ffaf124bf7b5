"""RPyC's clients and nbrpc's on one port: at the same time, late, silent, or not wanted."""

from __future__ import annotations

import contextlib
import socket
import subprocess
import sys
import uuid
from urllib.parse import urlsplit

import pytest

import nbrpc
from tests.rpyc.expected import Cell, Raised, expected, problems
from tests.rpyc.processes import PROGRAMS
from tests.rpyc.stock import VERSIONS

ROOT = {
    "rpyc5": bytes.fromhex("00000008 00 12515011531151 02 0a"),
    "rpyc6": bytes.fromhex("00000008 00 01115011531151 02 0a"),
}
"""The first words of RPyC's clients: they ask for the root."""

REPLY = {"rpyc5": bytes.fromhex("125250"), "rpyc6": bytes.fromhex("021150")}
"""How the answer begins."""


@pytest.fixture
def server(processes):
    """The service of nbrpc, open to RPyC."""
    return processes.server("nbrpc", "-", "service")


@contextlib.contextmanager
def talking_to(port):
    """Give a socket that waits for 10 s at most."""
    with socket.create_connection(("127.0.0.1", port), timeout=10) as link:
        yield link


def receive(link, count):
    """Receive so many bytes, or what there is before the end."""
    data = b""
    while len(data) < count and (chunk := link.recv(count - len(data))):
        data += chunk
    return data


def ask(link, wire):
    """Ask for the root and give how the answer begins, without its header."""
    link.sendall(ROOT[wire])
    return receive(link, 8)[5:]


def calls_of(processes, implementation, version, port):
    """Say what is wrong with the calls of a client."""
    cell = Cell(implementation, "nbrpc", "native" if implementation == "nbrpc" else version)
    outcomes = processes.client(implementation, version).run("calls", port)
    return problems(expected("calls", cell), outcomes)


def test_three_kinds_of_clients_at_the_same_time(processes, server):
    """Clients of both wires of RPyC and one of nbrpc meet in the server, and each has events."""
    cells = {
        Cell("stock", "nbrpc", "5.3.1"): processes.client("stock", "5.3.1"),
        Cell("stock", "nbrpc", "6.0.2"): processes.client("stock", "6.0.2"),
        Cell("nbrpc", "nbrpc", "native"): processes.client("nbrpc", "-"),
    }
    options = {"name": uuid.uuid4().hex, "count": len(cells)}
    for client in cells.values():
        client.start("meeting", server.port, options=options)
    found = {cell: client.outcomes() for cell, client in cells.items()}
    for cell, outcomes in found.items():
        assert not problems(expected("meeting", cell), outcomes), cell.name


@pytest.mark.parametrize("wire", ROOT)
def test_a_client_that_says_nothing_for_a_while(processes, server, wire):
    """It keeps nobody waiting, and is answered in its own dialect when it speaks."""
    with talking_to(server.port) as silent:
        assert not calls_of(processes, "nbrpc", "-", server.port)
        assert not calls_of(processes, "stock", "6.0.2", server.port)
        assert ask(silent, wire) == REPLY[wire]


@pytest.mark.parametrize("wire", ROOT)
def test_first_words_that_come_in_pieces(server, wire):
    """The dialect is told from the first byte of the payload, whenever that comes."""
    with talking_to(server.port) as link:
        link.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        for byte in ROOT[wire]:
            link.sendall(bytes([byte]))
        assert receive(link, 8)[5:] == REPLY[wire]


@pytest.mark.parametrize("wire", ROOT)
def test_empty_frames_before_the_first_words(server, wire):
    """RPyC ignores empty frames, so they tell nothing."""
    with talking_to(server.port) as link:
        link.sendall(3 * bytes.fromhex("00000000 00 0a"))
        assert ask(link, wire) == REPLY[wire]


@pytest.mark.parametrize("version", VERSIONS)
def test_without_leave_a_client_of_rpyc_is_turned_away(processes, version):
    """It sees the end of the connection at once, and does not wait for an answer."""
    port = processes.server("nbrpc", "-", "service", "--no-rpyc").port
    outcomes = processes.client("stock", version).run("turned_away", port)
    assert not problems({"root": Raised("EOFError")}, outcomes)


@pytest.mark.parametrize("version", VERSIONS)
def test_without_leave_a_classic_client_is_turned_away(processes, version):
    """The same for classic mode, whose clients ask as they connect."""
    port = processes.server("nbrpc", "-", "classic", "--no-rpyc").port
    outcomes = processes.client("stock", version).run("turned_away", port, kind="classic")
    assert not problems({"root": Raised("EOFError")}, outcomes)


@pytest.mark.parametrize("insecure", [False, True])
@pytest.mark.parametrize("make", [nbrpc.serve, nbrpc.Server, nbrpc.ThreadedServer])
def test_beyond_loopback_rpyc_is_refused(make, insecure):
    """RPyC's clients show no token, so they are let in on this machine only, whatever is said."""
    host = {"hostname" if make is nbrpc.ThreadedServer else "host": "0.0.0.0"}
    with pytest.raises(ValueError, match=r"0\.0\.0\.0") as caught:
        make(nbrpc.Service, rpyc=True, insecure=insecure, **host)
    assert "rpyc" in str(caught.value).lower() or not insecure


def test_serve_lets_them_in(processes, serving):
    """``nbrpc.serve(..., rpyc=True)`` in this process."""

    class Calculator(nbrpc.Service):
        exposed_title = "matrix"

        def exposed_echo(self, value):
            return value

    server = serving(Calculator, rpyc=True)
    for version in VERSIONS:
        outcomes = processes.client("stock", version).run("values", server.port)
        wanted = {
            step: value
            for step, value in expected("values", Cell("stock", "nbrpc", version)).items()
            if step != "arguments by value"
        }
        outcomes.pop("arguments by value")
        assert not problems(wanted, outcomes)


def test_the_command_line_lets_them_in(processes, served):
    """``nbrpc serve module:Service --rpyc``."""
    port = urlsplit(served("served:Matrix", "--rpyc", folder=PROGRAMS).url).port
    for version in VERSIONS:
        assert not calls_of(processes, "stock", version, port)


def test_the_classic_command_line_lets_them_in(processes, served):
    """``nbrpc serve --classic --rpyc``."""
    port = urlsplit(served("--classic", "--rpyc").url).port
    for version in VERSIONS:
        outcomes = processes.client("stock", version).run("code", port)
        assert not problems(expected("code", Cell("stock", "nbrpc", version)), outcomes)


@pytest.mark.parametrize("option", ["--classic", "served:Matrix"])
def test_the_command_line_refuses_rpyc_beyond_loopback(option):
    """It says so and ends, without a traceback."""
    beyond = ["--host", "0.0.0.0", "--insecure"]
    done = subprocess.run(
        [sys.executable, "-m", "nbrpc", "serve", option, "--rpyc", *beyond],
        capture_output=True,
        text=True,
        timeout=30,
        cwd=PROGRAMS,
        check=False,
    )
    assert done.returncode != 0
    assert "rpyc" in done.stderr.lower()
    assert "Traceback" not in done.stderr
