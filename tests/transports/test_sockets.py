"""Connecting, listening and accepting: what goes wrong, and who is at the other end."""

from __future__ import annotations

import errno
import os
import socket
import stat
import threading
from pathlib import Path

import pytest

from nbrpc.errors import ConnectFailed
from nbrpc.transports import memory, sockets

PATIENCE = 10.0


def unused_port() -> int:
    """Give a port on which nothing listened a moment ago."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        return int(listener.getsockname()[1])


def test_no_listener_is_told_in_a_sentence() -> None:
    """A refused connection names the place and what to do."""
    port = unused_port()
    with pytest.raises(ConnectFailed) as caught:
        sockets.connect_tcp("127.0.0.1", port, PATIENCE)
    assert str(caught.value) == (
        f"nothing listens on 127.0.0.1:{port}: start a server there, or check the port"
    )
    assert isinstance(caught.value, ConnectionError)
    assert isinstance(caught.value.__cause__, ConnectionRefusedError)


def test_unknown_host_is_told() -> None:
    """A name without an address is a failed connection, not a gaierror."""
    with pytest.raises(ConnectFailed, match=r"no host is called 'no-such-host\.invalid'"):
        sockets.connect_tcp("no-such-host.invalid", 1, PATIENCE)


@pytest.mark.parametrize("port", [-1, 70_000])
def test_impossible_port_is_told(port: int) -> None:
    """A port out of range is a failed connection as well."""
    with pytest.raises(ConnectFailed):
        sockets.connect_tcp("127.0.0.1", port, PATIENCE)


def test_silent_host_times_out() -> None:
    """A listener whose backlog is full does not answer, and the timeout holds."""
    fillers: list[socket.socket] = []
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        listener.listen(0)
        for _ in range(4):
            filler = socket.socket()
            filler.setblocking(False)
            filler.connect_ex(listener.getsockname())
            fillers.append(filler)
        with pytest.raises(ConnectFailed, match=r"did not answer within 0\.3 s"):
            sockets.connect_tcp("127.0.0.1", listener.getsockname()[1], 0.3)
        for filler in fillers:
            filler.close()


def test_connecting_to_oneself_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    """A socket that the kernel joined to itself counts as nobody listening."""
    port = unused_port()
    real = socket.socket

    class Bound(real):  # type: ignore[misc, valid-type]
        def connect(self, target: object) -> None:
            self.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            self.bind(("127.0.0.1", port))
            super().connect(target)

    monkeypatch.setattr(socket, "socket", Bound)
    with pytest.raises(ConnectFailed, match="nothing listens"):
        sockets.connect_tcp("127.0.0.1", port, PATIENCE)


def test_localhost_reaches_a_server_on_127_0_0_1() -> None:
    """All addresses of a name are tried."""
    listener = sockets.listen_tcp("127.0.0.1", 0, 5)
    client = sockets.connect_tcp("localhost", listener.getsockname()[1], PATIENCE)
    server = sockets.accept(listener)
    assert client.name == f"tcp://localhost:{listener.getsockname()[1]}"
    for item in (client, server):
        item.close()
    sockets.close_listener(listener)


def test_tcp_does_not_delay_small_messages() -> None:
    """Both ends have TCP_NODELAY set."""
    listener = sockets.listen_tcp("localhost", 0, 5)
    client = sockets.connect_tcp("127.0.0.1", listener.getsockname()[1], PATIENCE)
    server = sockets.accept(listener)
    sockets.close_listener(listener)
    for end in (client, server):
        assert end._socket.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY)
        end.close()


def test_taken_port_is_told() -> None:
    """Listening where somebody listens gives EADDRINUSE and a sentence."""
    listener = sockets.listen_tcp("127.0.0.1", 0, 5)
    port = listener.getsockname()[1]
    with pytest.raises(OSError, match="taken by another program") as caught:
        sockets.listen_tcp("127.0.0.1", port, 5)
    assert caught.value.errno == errno.EADDRINUSE
    sockets.close_listener(listener)


def test_port_is_free_again_at_once() -> None:
    """A restarted server gets its port although connections of the old one linger."""
    listener = sockets.listen_tcp("127.0.0.1", 0, 5)
    port = listener.getsockname()[1]
    client = sockets.connect_tcp("127.0.0.1", port, PATIENCE)
    server = sockets.accept(listener)
    server.close()
    client.close()
    sockets.close_listener(listener)
    sockets.close_listener(sockets.listen_tcp("127.0.0.1", port, 5))


@pytest.mark.parametrize("host", ["no-such-host.invalid", "192.0.2.1"])
def test_foreign_host_cannot_be_bound(host: str) -> None:
    """Listening on an address of another machine names that host."""
    with pytest.raises(OSError, match=r"no host is called|no address of this machine") as caught:
        sockets.listen_tcp(host, 0, 5)
    assert caught.value.errno == errno.EADDRNOTAVAIL


def test_close_listener_wakes_accept() -> None:
    """A thread that waits for connections ends when the listener is closed."""
    listener = sockets.listen_tcp("127.0.0.1", 0, 5)
    errors: list[OSError] = []
    started = threading.Event()

    def wait() -> None:
        started.set()
        try:
            sockets.accept(listener)
        except OSError as exc:
            errors.append(exc)

    thread = threading.Thread(target=wait)
    thread.start()
    started.wait(PATIENCE)
    sockets.close_listener(listener)
    thread.join(PATIENCE)
    assert len(errors) == 1


def test_accept_on_a_non_blocking_listener() -> None:
    """An accepted transport waits as usual, whatever its listener does."""
    listener = sockets.listen_tcp("127.0.0.1", 0, 5)
    listener.setblocking(False)
    with pytest.raises(BlockingIOError):
        sockets.accept(listener)
    client = sockets.connect_tcp("127.0.0.1", listener.getsockname()[1], PATIENCE)
    server = sockets.accept(listener)
    assert server.waitable
    assert server.wait_receive(1) is None
    for item in (client, server):
        item.close()
    sockets.close_listener(listener)


class TestUnix:
    """Sockets that have a path."""

    def test_only_this_user_may_connect(self, tmp_path: Path) -> None:
        """The socket's mode is 0600, whatever the umask, and its path goes with the listener."""
        path = tmp_path / "socket"
        umask = os.umask(0)
        try:
            listener = sockets.listen_unix(str(path), 5)
        finally:
            os.umask(umask)
        assert stat.S_IMODE(path.stat().st_mode) == 0o600
        sockets.close_listener(listener)
        assert not path.exists()

    def test_abandoned_socket_is_replaced(self, tmp_path: Path) -> None:
        """The socket of a server that died without removing it does not stop the next."""
        path = str(tmp_path / "socket")
        with socket.socket(socket.AF_UNIX) as dead:
            dead.bind(path)
            dead.listen()
        with pytest.raises(ConnectFailed, match="nothing listens on the socket"):
            sockets.connect_unix(path, PATIENCE)
        listener = sockets.listen_unix(path, 5)
        sockets.connect_unix(path, PATIENCE).close()
        sockets.close_listener(listener)

    def test_live_socket_is_kept(self, tmp_path: Path) -> None:
        """A socket on which a server answers is not taken away."""
        path = str(tmp_path / "socket")
        listener = sockets.listen_unix(path, 5)
        with pytest.raises(OSError, match="in use by another server") as caught:
            sockets.listen_unix(path, 5)
        assert caught.value.errno == errno.EADDRINUSE
        sockets.connect_unix(path, PATIENCE).close()
        sockets.close_listener(listener)

    @pytest.mark.parametrize("kind", ["file", "folder", "link"])
    def test_other_files_are_kept(self, tmp_path: Path, kind: str) -> None:
        """Nothing but a socket is ever replaced, not even a link to an abandoned one."""
        path = tmp_path / "thing"
        if kind == "file":
            path.write_text("precious")
        elif kind == "folder":
            path.mkdir()
        else:
            path.symlink_to(tmp_path / "elsewhere")
        with pytest.raises(OSError, match="not a socket"):
            sockets.listen_unix(str(path), 5)
        assert os.path.lexists(path)

    def test_a_successor_keeps_its_path(self, tmp_path: Path) -> None:
        """Closing a listener leaves the socket of the server that took its path over."""
        path = str(tmp_path / "socket")
        first = sockets.listen_unix(path, 5)
        Path(path).unlink()
        second = sockets.listen_unix(path, 5)
        sockets.close_listener(first)
        sockets.connect_unix(path, PATIENCE).close()
        sockets.close_listener(second)

    def test_missing_path_is_told(self, tmp_path: Path) -> None:
        """No socket there is told apart from nobody listening."""
        with pytest.raises(ConnectFailed, match="there is no socket at"):
            sockets.connect_unix(str(tmp_path / "none"), PATIENCE)

    def test_path_too_long_is_told(self, tmp_path: Path) -> None:
        """A path beyond the system's 100 odd characters is named, on both sides."""
        path = str(tmp_path / ("x" * 200))
        with pytest.raises(ConnectFailed, match="cannot connect"):
            sockets.connect_unix(path, PATIENCE)
        with pytest.raises(OSError, match="cannot listen"):
            sockets.listen_unix(path, 5)

    def test_full_backlog_times_out(self, tmp_path: Path) -> None:
        """A server that accepts nobody is waited for as long as asked, and no longer."""
        path = str(tmp_path / "socket")
        listener = sockets.listen_unix(path, 0)
        fillers = []
        while True:
            filler = socket.socket(socket.AF_UNIX)
            filler.setblocking(False)
            fillers.append(filler)
            if filler.connect_ex(path):
                break
        with pytest.raises(ConnectFailed, match=r"did not answer within 0\.2 s"):
            sockets.connect_unix(path, 0.2)
        for filler in fillers:
            filler.close()
        sockets.close_listener(listener)

    def test_peer_user_is_told(self, tmp_path: Path) -> None:
        """Both ends of a Unix socket learn the other's user id."""
        path = str(tmp_path / "socket")
        listener = sockets.listen_unix(path, 5)
        client = sockets.connect_unix(path, PATIENCE)
        server = sockets.accept(listener)
        assert sockets.peer_user(server) == os.getuid()
        assert sockets.peer_user(client) == os.getuid()
        assert sockets.peer_host(server) is None
        assert server.name == client.name == f"unix://{path}"
        client.close()
        assert sockets.peer_user(client) is None
        server.close()
        sockets.close_listener(listener)

    @pytest.mark.skipif(os.getuid() != 0, reason="only root may become another user")
    def test_another_user_is_refused(self, tmp_path: Path) -> None:
        """A process of another user cannot connect."""
        path = str(tmp_path / "socket")
        listener = sockets.listen_unix(path, 5)
        for folder in (tmp_path, *tmp_path.parents[:-1]):
            if stat.S_IMODE(folder.stat().st_mode) == 0o700:
                folder.chmod(0o711)
        child = os.fork()
        if child == 0:
            code = 1
            try:
                os.setuid(65_534)
                sockets.connect_unix(path, PATIENCE)
            except ConnectFailed as exc:
                code = 0 if "belongs to another user" in str(exc) else 2
            finally:
                os._exit(code)
        assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
        sockets.close_listener(listener)

    def test_platform_without_unix_sockets(self, monkeypatch: pytest.MonkeyPatch) -> None:
        """Where there are none, that is what is said."""
        monkeypatch.setattr(sockets, "UNIX_FAMILY", None)
        with pytest.raises(ConnectFailed, match="no Unix sockets"):
            sockets.connect_unix("/tmp/x", PATIENCE)


def test_peers_of_tcp_are_told_by_host() -> None:
    """A server learns the address of a TCP client, and no user id."""
    listener = sockets.listen_tcp("127.0.0.1", 0, 5)
    client = sockets.connect_tcp("127.0.0.1", listener.getsockname()[1], PATIENCE)
    server = sockets.accept(listener)
    sockets.close_listener(listener)
    assert sockets.peer_host(server) == "127.0.0.1"
    assert sockets.peer_user(server) is None
    assert server.name.startswith("tcp://127.0.0.1:")
    client.close()
    server.close()
    assert sockets.peer_host(server) is None


def test_memory_peers_are_this_process() -> None:
    """A pair inside one process belongs to its user."""
    left, right = memory.pair()
    assert sockets.peer_user(left) == os.getuid()
    left.close()
    right.close()


@pytest.mark.parametrize(
    ("host", "expected"),
    [
        ("localhost", True),
        ("127.0.0.1", True),
        ("127.9.9.9", True),
        ("::1", True),
        ("::ffff:127.0.0.1", True),
        ("0.0.0.0", False),
        ("::", False),
        ("192.0.2.1", False),
        ("no-such-host.invalid", False),
        ("", False),
    ],
)
def test_loopback_is_recognised(host: str, expected: bool) -> None:  # noqa: FBT001
    """Only what stays on this machine counts as loopback."""
    assert sockets.is_loopback(host) is expected
