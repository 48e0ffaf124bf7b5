"""The tutorial's file monitor as two scripts in processes of their own."""

from __future__ import annotations

import os
import socket
import subprocess
import sys

import pytest

from tests.notebook.kernels import ROOT
from tests.support import eventually

SERVER = """
import os
import sys
import time
from threading import Thread

import nbrpc


class FileMonitorService(nbrpc.Service):
    class exposed_FileMonitor(object):
        def __init__(self, filename, callback, interval=1):
            self.filename = filename
            self.interval = interval
            self.last_stat = None
            self.callback = nbrpc.async_(callback)
            self.active = True
            self.thread = Thread(target=self.work)
            self.thread.start()

        def exposed_stop(self):
            self.active = False
            self.thread.join()

        def work(self):
            while self.active:
                stat = os.stat(self.filename)
                if self.last_stat is not None and self.last_stat != stat:
                    self.callback(self.last_stat, stat)
                self.last_stat = stat
                time.sleep(self.interval)


if __name__ == "__main__":
    nbrpc.ThreadedServer(FileMonitorService, port=int(sys.argv[1])).start()
"""

BEGIN = """
import sys
import time

import nbrpc

f = open("floop.bloop", "wb", buffering=0)
conn = nbrpc.connect("localhost", int(sys.argv[1]))
changes = []

def on_file_changed(oldstat, newstat):
    changes.append(newstat)
    print("file changed", oldstat[6] < newstat[6])

def change_until(seen, seconds):
    deadline = time.monotonic() + seconds
    while not seen() and time.monotonic() < deadline:
        f.write(b"oloop")
        time.sleep(0.03)

"""

WITH_A_THREAD = """
bgsrv = nbrpc.BgServingThread(conn)
mon = conn.root.FileMonitor("floop.bloop", on_file_changed, 0.02)
change_until(lambda: changes, 10)
f.close()
mon.stop()
bgsrv.stop()
conn.close()
print("closed")
"""

WITHOUT_A_THREAD = """
mon = conn.root.FileMonitor("floop.bloop", on_file_changed, 0.02)
change_until(lambda: changes, 0.5)
print("nothing yet" if not changes else "too early")
change_until(lambda: conn.poll_all() and changes, 10)
f.close()
mon.stop()
conn.close()
print("closed")
"""


@pytest.fixture
def play(tmp_path, runtime_dir):
    """Run the server's script, and then a client's; give what the client printed."""
    (tmp_path / "server.py").write_text(SERVER)
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    server = subprocess.Popen(
        [sys.executable, "server.py", str(port)], cwd=tmp_path, env=environment
    )

    def answers():
        with socket.socket() as probe:
            return probe.connect_ex(("127.0.0.1", port)) == 0

    def client(script):
        done = subprocess.run(
            [sys.executable, "-c", BEGIN + script, str(port)],
            cwd=tmp_path,
            env=environment,
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )
        assert (done.returncode, done.stderr) == (0, "")
        return done.stdout.splitlines()

    try:
        eventually(answers, 20)
        yield client
    finally:
        server.terminate()
        server.wait(10)


def test_with_a_background_thread(play):
    """Changes are printed as they come."""
    first, *_, last = play(WITH_A_THREAD)
    assert first == "file changed True"
    assert last == "closed"


def test_without_a_background_thread(play):
    """Nothing is printed until the connection is asked to serve what has come."""
    first, second, *_, last = play(WITHOUT_A_THREAD)
    assert first == "nothing yet"
    assert second == "file changed True"
    assert last == "closed"


def test_one_after_another(play):
    """The server outlives its clients."""
    for _ in range(2):
        assert play(WITH_A_THREAD)[-1] == "closed"
