"""Who gets no further than the door, and where a token never shows."""

from __future__ import annotations

import contextlib
import logging
import os
import socket
import subprocess
import sys
import time
import traceback
from pathlib import Path

import pytest

import nbrpc
from nbrpc import connection_file
from tests.support import eventually

TOKEN = "tell-no-one-2f9c4e7ab01d"

NOBODY = 65_534


class Bench(nbrpc.Service):
    """What is served."""

    @nbrpc.exposed
    def echo(self, value):
        return value


@pytest.fixture
def program(tmp_path):
    """Serve in another process with a token from a file; give the process and what it logs."""
    secret = tmp_path / "secret"
    secret.write_text(TOKEN + "\n")
    (tmp_path / "benches.py").write_text(
        "import nbrpc\n\nclass Bench(nbrpc.Service):\n"
        "    @nbrpc.exposed\n    def fail(self):\n        raise ValueError('it failed')\n"
    )
    log = tmp_path / "log"
    arguments = ["benches:Bench", "--port", "0", "--token-file", str(secret), "--debug"]
    with log.open("wb") as stream:
        process = subprocess.Popen(
            [sys.executable, "-m", "nbrpc", "serve", *arguments],
            cwd=tmp_path,
            stdout=subprocess.PIPE,
            stderr=stream,
            text=True,
            env={**os.environ, "PYTHONUNBUFFERED": "1"},
        )
    try:
        yield process, log
    finally:
        process.terminate()
        process.wait(10)
        process.stdout.close()


def test_a_token_never_shows(program, caplog, monkeypatch):
    """Not in the process list, a log, a repr or a traceback of either side."""
    process, log = program
    url = process.stdout.readline().strip()
    assert TOKEN in url  # the one place where it is meant to be
    place = url.partition("/?")[0]
    shown = [Path(f"/proc/{process.pid}/cmdline").read_text(), repr(nbrpc.TLS())]
    caplog.set_level(logging.DEBUG)
    with nbrpc.connect(place, token=TOKEN) as conn:
        shown += [repr(conn), str(conn.peer), conn.url, conn.name, repr(conn.root)]
        shown += [repr(vars(conn)), repr(conn.session.protocol)]
        with pytest.raises(ValueError, match="it failed") as caught:
            conn.root.fail()
        shown.append("".join(traceback.format_exception(caught.value)))
        assert "it failed" in shown[-1]
    for wrong in (TOKEN[:-1], TOKEN + "x", TOKEN.upper()):
        with pytest.raises(nbrpc.AuthenticationFailed) as refused:
            nbrpc.connect(place, token=wrong)
        shown.append(str(refused.value))
    with pytest.raises(nbrpc.ConnectFailed) as failed:
        nbrpc.connect("127.0.0.1", 1, token=TOKEN)
    shown.append("".join(traceback.format_exception(failed.value)))
    shown += [repr(connection_file.running()), caplog.text, log.read_text()]
    assert [text for text in shown if TOKEN in text] == []


def test_a_server_in_this_process_shows_no_token(serving, caplog):
    """Nor does the server object, its address, or its figures."""
    caplog.set_level(logging.DEBUG)
    server = serving(Bench, token=TOKEN)
    shown = f"{server!r} {server.url} {server.address!r} {server.statistics()} {caplog.text}"
    assert TOKEN not in shown
    assert TOKEN in server.url_with_token


@pytest.mark.skipif(os.getuid() != 0, reason="only root may become another user")
def test_another_user_is_refused_although_the_file_lets_them(serving, tmp_path, caplog):
    """The mode of a Unix socket is not all that guards it: the kernel says who connects."""
    path = tmp_path / "socket"
    server = serving(Bench, path=str(path))
    path.chmod(0o666)
    folders = [tmp_path, *tmp_path.parents[:-1]]
    modes = {folder: folder.stat().st_mode for folder in folders}
    for folder in folders:
        folder.chmod(modes[folder] | 0o111)
    child = os.fork()
    if child == 0:
        code = 1
        try:
            os.setgroups([])
            os.setgid(NOBODY)
            os.setuid(NOBODY)
            with socket.socket(socket.AF_UNIX) as sock:
                sock.connect(str(path))
                sock.settimeout(10)
                code = 0 if sock.recv(100) == b"" else 2
        except ConnectionError:  # it was closed before it was read
            code = 0
        finally:
            os._exit(code)
    try:
        assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
    finally:
        for folder in folders:
            folder.chmod(modes[folder])
    assert f"user {NOBODY} may not use this socket" in caplog.text
    assert not server.connections
    with nbrpc.connect(server.url) as conn:
        assert conn.ping() > 0


OTHER_PROTOCOLS = {
    "GET": b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n",
    "POST": b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 4096\r\n\r\n" + b"N" * 4096,
    "OPTIONS": b"OPTIONS / HTTP/1.1\r\nOrigin: http://evil.invalid\r\n\r\n",
    "WebSocket": b"GET / HTTP/1.1\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\r\n",
    "HTTP/2": b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
    "TLS": bytes.fromhex("1603010200010001fc0303") + bytes(400),
    "SSH": b"SSH-2.0-OpenSSH_9.6\r\n",
    "SOCKS": b"\x05\x01\x00",
    "Redis": b"*1\r\n$4\r\nPING\r\n",
}


@pytest.mark.parametrize("rpyc", [False, True], ids=["native", "with rpyc"])
@pytest.mark.parametrize("name", OTHER_PROTOCOLS)
def test_other_protocols_are_closed_without_a_word(serving, name, rpyc):
    """A page in a browser, a scanner or another client gets nothing, and nothing of it is kept."""
    server = serving(Bench, rpyc=rpyc, timing=nbrpc.Timing(handshake=1.0, heartbeat=0.2))
    begun = time.monotonic()
    with socket.create_connection((server.host, server.port), timeout=10) as sock:
        answer = b""
        with contextlib.suppress(ConnectionError):
            sock.sendall(OTHER_PROTOCOLS[name])
            while piece := sock.recv(1024):
                answer += piece
    assert answer == b""
    assert time.monotonic() - begun < 10
    eventually(lambda: not server._handshakes)
    assert server.statistics().connections == 0
    with nbrpc.connect(server.url, token=server.token) as conn:
        assert conn.ping() > 0
