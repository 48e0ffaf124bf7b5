"""Servers are reached through a real Jupyter server, by whom Jupyter lets in and by nobody else."""

from __future__ import annotations

import select
import socket
import threading
import time

import psutil
import pytest

import nbrpc
from nbrpc.connection_file import ServerInfo, write
from nbrpc.options import TLS
from nbrpc.session import shared_memory
from nbrpc.transports.address import parse
from nbrpc.transports.dialing import Dialer
from tests.certificates import issue
from tests.support import eventually

MEGABYTE = 1_000_000

UPGRADE = {
    "Upgrade": "websocket",
    "Connection": "Upgrade",
    "Sec-WebSocket-Key": "AAAAAAAAAAAAAAAAAAAAAA==",
    "Sec-WebSocket-Version": "13",
}
"""What a browser sends to get a WebSocket."""


class Bench(nbrpc.Service):
    moved = nbrpc.event()

    def exposed_add(self, one, other):
        return one + other

    def exposed_length(self, data):
        return len(data)

    def exposed_zeros(self, count):
        return bytes(count)

    def exposed_move(self, to):
        self.moved.emit(to)


@pytest.fixture
def through(jupyter, monkeypatch):
    """Connect to a name through Jupyter, as from another machine; closed after the test."""
    monkeypatch.setattr(shared_memory, "HERE", False)
    connections = []

    def connect(name, **options):
        options.setdefault("token", jupyter.token)
        connections.append(nbrpc.connect(jupyter.of(name), **options))
        return connections[-1]

    yield connect
    for connection in connections:
        connection.close()


def test_a_service_behind_jupyter(jupyter, serving, through):
    """With Jupyter's token, and nothing else, the server of a name is there, events included."""
    server = serving(Bench, name="bench")
    conn = through("bench")
    assert conn.root.add(1, 2) == 3
    places = []
    with conn.root.moved.subscribe(places.append):
        conn.root.move(2.5)
        eventually(lambda: places == [2.5])
    assert conn.url == jupyter.of("bench")
    assert server.token not in jupyter.printed


@pytest.mark.parametrize("name", ["stage 2", "mesure été", "a/b", "50%", "nbrpc://127.0.0.1:4"])
def test_names_may_be_anything(serving, through, name):
    """A name is quoted in the URL, and is the server's again behind it."""
    serving(Bench, name=name)
    assert through(name).root.add(1, 2) == 3


def test_a_server_on_a_unix_socket(serving, through, tmp_path):
    """One that has no port at all is reached as well, and no token is needed there."""
    serving(Bench, name="unix", path=tmp_path / "socket")
    assert through("unix").root.add(1, 2) == 3


def test_a_server_with_tls(serving, through, tmp_path):
    """The relay checks the certificate, and the end-to-end proof covers it all the same."""
    issued = issue(tmp_path, "server")
    serving(Bench, name="secure", tls=TLS(issued.cert, issued.key))
    assert through("secure").root.add(1, 2) == 3


def test_another_server_at_the_port_of_one_with_tls(jupyter, serving, tmp_path):
    """A certificate that is not the one of the connection file is no way on, nor is no TLS."""
    issued = issue(tmp_path, "other")
    other = serving(Bench, name="other", tls=TLS(issued.cert, issued.key))
    plain = serving(Bench, name="plain")
    for port in (other.port, plain.port):
        announce("secure", port, fingerprint="sha256:" + "0" * 64)
        with pytest.raises(nbrpc.ConnectFailed, match="'secure' cannot be reached from Jupyter"):
            nbrpc.connect(jupyter.of("secure"), token=jupyter.token)


def announce(name, port, fingerprint=""):
    """Write the connection file of what listens on a port of this process."""
    identity = f"{port:032x}"
    place = {"host": "127.0.0.1", "port": port, "fingerprint": fingerprint}
    write(ServerInfo.of_this_process(server_id=identity, name=name, token="", service="x", **place))


def test_a_wrong_token_is_refused(jupyter, serving):
    """Neither another token nor none leads to a server, and the error says whose token is meant."""
    serving(Bench, name="bench")
    for token, advice in (("wrong", "check that the token is the Jupyter"), (None, "give token=")):
        with pytest.raises(nbrpc.AuthenticationFailed, match=advice) as caught:
            nbrpc.connect(jupyter.of("bench"), token=token)
        assert "403" in str(caught.value)
        assert jupyter.get("nbrpc/ws/bench", token, UPGRADE)[0] == 403
        assert jupyter.get("nbrpc/api/servers", token)[0] == 403


def test_a_foreign_page_is_refused(jupyter, serving):
    """A page of another site gets nothing, be it by the user's cookie or even by a token."""
    server = serving(Bench, name="bench")
    login = jupyter.get(f"login?token={jupyter.token}", None)
    given = login[1].get_all("Set-Cookie")
    cookie = {"Cookie": "; ".join(line.partition(";")[0] for line in given)}
    own = {"Origin": f"http://127.0.0.1:{jupyter.port}"}
    foreign = {"Origin": "https://evil.invalid"}
    assert jupyter.get("nbrpc/ws/bench", None, UPGRADE | cookie | own)[0] == 101
    for token, headers in ((None, cookie), (jupyter.token, {})):
        status, answered, _ = jupyter.get("nbrpc/ws/bench", token, UPGRADE | headers | foreign)
        assert status == 403
        assert "Nbrpc-Token" not in answered
    status, _, listed = jupyter.get("nbrpc/api/servers", None, cookie | foreign)
    assert status == 404
    assert b"bench" not in listed
    eventually(lambda: not server._handshakes)


def test_an_unknown_name(jupyter):
    """A name that no server has is said in one sentence, and so is a path that nobody serves."""
    with pytest.raises(nbrpc.ConnectFailed, match=r"no server of nbrpc .* is called 'nobody'$"):
        nbrpc.connect(jupyter.of("nobody"), token=jupyter.token)
    with pytest.raises(nbrpc.ConnectFailed, match=r"no WebSocket at that URL \(404"):
        nbrpc.connect(jupyter.url + "nothing", token=jupyter.token)


def test_a_server_that_does_not_answer(jupyter):
    """A server whose port is closed by now is said to be out of reach."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        announce("gone", listener.getsockname()[1])
    with pytest.raises(nbrpc.ConnectFailed, match="'gone' cannot be reached from Jupyter"):
        nbrpc.connect(jupyter.of("gone"), token=jupyter.token)


def test_the_list_of_servers(jupyter, serving, tmp_path):
    """It has name, service, process and protocol of each, and no token of any."""
    server = serving(Bench, name="bench")
    serving(Bench, name="unix", path=tmp_path / "socket")
    listed = {entry.pop("name"): entry for entry in jupyter.servers()}
    pid = psutil.Process().pid
    assert listed == {
        "bench": {"service": "Bench", "pid": pid, "protocol": "nbrpc"},
        "unix": {"service": "Bench", "pid": pid, "protocol": "unix"},
    }
    status, headers, body = jupyter.get("nbrpc/api/servers")
    assert status == 200
    assert server.token.encode() not in body
    assert "default-src 'none'" in headers["Content-Security-Policy"]


def test_closing_reaches_the_other_side(serving, through):
    """A client that leaves is gone for the server, and the end of the server for the client."""
    server = serving(Bench, name="bench")
    first, second = through("bench"), through("bench")
    assert first.root.add(1, 2) == second.root.add(1, 2) == 3
    first.close()
    eventually(lambda: server.statistics().connections == 1)
    server.close()
    eventually(lambda: second.closed)


def test_it_comes_back_after_jupyter(jupyter, serving, through):
    """With reconnect=True a connection goes on when the Jupyter server was started again."""
    serving(Bench, name="bench")
    conn = through("bench", reconnect=True, timeout=30)
    assert conn.root.add(1, 2) == 3
    jupyter.stop()
    eventually(lambda: conn.session.closed)
    jupyter.start()
    assert conn.root.add(3, 4) == 7


def test_it_comes_back_after_the_server(serving, through):
    """So it does when the server was started again: the relay tells the new token."""
    first = serving(Bench, name="bench")
    conn = through("bench", reconnect=True, timeout=30)
    assert conn.root.add(1, 2) == 3
    first.close()
    eventually(lambda: conn.session.closed)
    serving(Bench, name="bench")
    assert conn.root.add(3, 4) == 7


def passes(jupyter, through, total):
    """Send so many bytes each way; give by how much Jupyter's memory grew, in bytes."""
    conn = through("bench")
    memory = psutil.Process(jupyter.process.pid).memory_info
    block = bytes(20 * MEGABYTE)
    assert conn.root.length(block) == len(conn.root.zeros(len(block))) == len(block)
    before = most = memory().rss
    for _ in range(total // len(block)):
        assert conn.root.length(block) == len(block)
        most = max(most, memory().rss)
        assert len(conn.root.zeros(len(block))) == len(block)
        most = max(most, memory().rss)
    moved = conn.statistics()
    assert min(moved.bytes_sent, moved.bytes_received) > total
    return most - before


def test_much_data_takes_no_memory(jupyter, serving, through):
    """100 MB each way pass, and the Jupyter server does not grow."""
    serving(Bench, name="bench")
    assert passes(jupyter, through, 100 * MEGABYTE) < 10 * MEGABYTE


@pytest.mark.slow
@pytest.mark.timeout(300)
def test_very_much_data_takes_no_memory(jupyter, serving, through):
    """1 GB each way passes, and the Jupyter server does not grow."""
    serving(Bench, name="bench")
    assert passes(jupyter, through, 1000 * MEGABYTE) < 10 * MEGABYTE


def poured(send, descriptor):
    """Send until nothing is taken for a second; give the number of bytes."""
    block = bytes(64 * 1024)
    total = 0
    while select.select((), (descriptor,), (), 1.0)[1]:
        total += send(block)
        assert total < 100 * MEGABYTE, "nothing holds it back"
    return total


def test_each_direction_is_held_back(jupyter):
    """Who sends to a side that does not read is held back, and Jupyter keeps little of it."""
    memory = psutil.Process(jupyter.process.pid).memory_info
    with socket.create_server(("127.0.0.1", 0)) as listener:
        announce("silent", listener.getsockname()[1])
        address = parse(f"{jupyter.of('silent')}?token={jupyter.token}")
        client = Dialer.to(address).dial(time.monotonic() + 30)
        peer, _ = listener.accept()
    with peer:
        peer.setblocking(False)
        before = memory().rss
        assert poured(lambda block: client.send([block]), client.fileno()) > 0
        assert poured(peer.send, peer.fileno()) > 0
        assert memory().rss - before < 10 * MEGABYTE
        client.close()


def test_text_is_refused(jupyter):
    """A client that sends text is told that nbrpc speaks in bytes."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        announce("silent", listener.getsockname()[1])
        address = parse(f"{jupyter.of('silent')}?token={jupyter.token}")
        client = Dialer.to(address).dial(time.monotonic() + 30)
        peer, _ = listener.accept()
    with peer:
        client._below.send([b"\x81\x82\0\0\0\0hi"])
        with pytest.raises(nbrpc.ConnectionLost, match=r"binary frames \(1003\)"):
            eventually(lambda: client.wait_receive(100), 10)
        client.close()


@pytest.mark.kernel
def test_what_a_kernel_serves(kernel, through):
    """An object that a notebook serves is there, behind the same Jupyter."""
    kernel.ok("%load_ext nbrpc")
    kernel.ok("class Stage:\n    def add(self, one, other): return one + other\nstage = Stage()")
    kernel.ok("%rpc_serve stage --name stage")
    assert through("stage").root.add(1, 2) == 3


@pytest.mark.kernel
def test_a_notebook_connects_through_jupyter(jupyter, serving, kernel):
    """A URL with Jupyter's token is enough for a notebook, which then shows it nowhere."""
    serving(Bench, name="bench")
    kernel.ok("%load_ext nbrpc")
    cell = kernel.ok(f"%rpc_connect {jupyter.of('bench')}?token={jupyter.token}")
    assert kernel.ok("conn.root.add(1, 2)").value == "3"
    assert jupyter.token not in str(cell.outputs)
    assert jupyter.token not in kernel.ok("conn").value
    kernel.ok("conn.close()")


def test_many_clients_at_once(serving, through):
    """Clients do not wait for each other's data."""
    serving(Bench, name="bench")
    connections = [through("bench") for _ in range(4)]
    sums = []
    threads = [
        threading.Thread(target=lambda conn=conn: sums.append(conn.root.length(bytes(MEGABYTE))))
        for conn in connections
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(30)
    assert sums == [MEGABYTE] * 4
