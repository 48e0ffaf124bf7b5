"""A network that is really cut: two network namespaces, and a cable between them that is pulled.

No packet says that the link is gone, as when a cable is pulled or a machine loses its power. The
namespaces have no names and live as long as the processes that hold them.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import threading
import time
from contextlib import ExitStack
from pathlib import Path
from queue import Queue

import pytest

ROOT = Path(__file__).parent.parent


def may_make_namespaces() -> bool:
    """Whether this user may make networks here."""
    if shutil.which("unshare") is None or shutil.which("ip") is None:
        return False
    make = "ip link add v0 type veth peer name v1"
    done = subprocess.run(["unshare", "-n", "sh", "-c", make], capture_output=True, check=False)
    return done.returncode == 0


pytestmark = pytest.mark.skipif(
    not may_make_namespaces(),
    reason="needs ip, unshare and the right to make network namespaces, as root has it",
)

TIMING = "timing = nbrpc.Timing(heartbeat=0.3, dead_after=1.0)"
"""What the programs below say of time."""

SERVER = """
import ctypes, json, sys, threading, time
import nbrpc

def tell(*items):
    sys.stdout.write(json.dumps(items) + "\\n")  # in one piece, from any thread
    sys.stdout.flush()

class Part:
    def exposed_get(self):
        return 1

class Bench(nbrpc.Service):
    changed = nbrpc.event()
    def exposed_add(self, a, b):
        return a + b
    def exposed_make(self):
        return Part()
    def exposed_hold(self):
        time.sleep(3)  # what the service does
    def exposed_compute(self):
        tell("computing")
        ctypes.PyDLL(None).sleep(60)  # lets no other thread run
    def exposed_take(self, data):
        pass
    def on_connect(self, conn):
        tell("connected")
    def on_disconnect(self, conn):
        tell("disconnected", time.monotonic())

timing = nbrpc.Timing(heartbeat=0.3, dead_after=1.0)
server = nbrpc.serve(
    Bench, host="10.9.0.2", port=4000, token="t" * 32, insecure=True, timing=timing
)
tell("listening")
for line in sys.stdin:
    tell("statistics", server.statistics()._asdict())
"""

CLIENT = """
import json, sys, threading, time
import nbrpc

def tell(*items):
    sys.stdout.write(json.dumps(items) + "\\n")  # in one piece, from any thread
    sys.stdout.flush()

def work():
    while True:
        begun = time.monotonic()
        try:
            conn.root.add(1, 2)
        except nbrpc.NbrpcError as error:
            tell("lost", time.monotonic(), time.monotonic() - begun, type(error).__name__)
            if not reconnect:
                return
        else:
            tell("answered", time.monotonic())
        time.sleep(0.02)  # it asks 50 times a second, to see when answers stop and come back

reconnect = sys.argv[1] == "True"
timing = nbrpc.Timing(heartbeat=0.3, dead_after=1.0)
conn = nbrpc.connect(
    "nbrpc://10.9.0.2:4000", token="t" * 32, timing=timing, reconnect=reconnect
)
parts = [conn.root.make() for _ in range(10)]
held = nbrpc.async_(conn.root.hold)()
threading.Thread(target=work, daemon=True).start()
error = held.exception()
tell("ended", time.monotonic(), type(error).__name__)
for line in sys.stdin:
    figures = conn.statistics()
    tell("figures", conn.state, figures.pending, figures.exported)
conn.close()
"""


class Program:
    """A Python program in a namespace, which says one JSON line at a time."""

    def __init__(self, space: int, source: str, *arguments: str, folder: Path) -> None:
        self.process = subprocess.Popen(
            ["nsenter", "-t", str(space), "-n", sys.executable, "-c", source, *arguments],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            cwd=ROOT,
            env={**os.environ, "NBRPC_RUNTIME_DIR": str(folder)},
        )
        self.lines: Queue[list] = Queue()
        self.thread = threading.Thread(target=self._read, daemon=True)
        self.thread.start()

    def _read(self) -> None:
        for line in self.process.stdout:
            self.lines.put(json.loads(line))

    def wait(self, word: str, after: float = 0.0, seconds: float = 20.0) -> list:
        """Wait for a line that begins with a word, and tells of a time after another."""
        deadline = time.monotonic() + seconds
        while True:
            line = self.lines.get(timeout=max(0.01, deadline - time.monotonic()))
            if line[0] == word and (not after or line[1] > after):
                return line

    def ask(self, word: str) -> list:
        """Ask for a line."""
        self.process.stdin.write("\n")
        self.process.stdin.flush()
        return self.wait(word)

    def end(self) -> None:
        """End it."""
        self.process.kill()
        self.process.wait()
        self.thread.join()
        self.process.stdin.close()
        self.process.stdout.close()


class Network:
    """Two namespaces and a cable between them."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.stack = ExitStack()
        self.spaces = {"client": self._space(), "server": self._space()}
        self._ip(
            "client", f"link add cable type veth peer name cable netns {self.spaces['server']}"
        )
        for end, address in (("client", "10.9.0.1/24"), ("server", "10.9.0.2/24")):
            self._ip(end, f"addr add {address} dev cable")
            self._ip(end, "link set lo up")
            self.up(end)

    def _space(self) -> int:
        holder = self.stack.enter_context(
            subprocess.Popen(
                ["unshare", "-n", "sh", "-c", "echo; exec cat"],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
            )
        )
        self.stack.callback(holder.kill)
        holder.stdout.readline()
        return holder.pid

    def _ip(self, end: str, command: str) -> None:
        subprocess.run(
            ["nsenter", "-t", str(self.spaces[end]), "-n", "ip", *command.split()], check=True
        )

    def up(self, end: str) -> float:
        """Plug the cable in at one end; give the time."""
        self._ip(end, "link set cable up")
        return time.monotonic()

    def down(self, end: str) -> float:
        """Pull the cable at one end; give the time."""
        began = time.monotonic()
        self._ip(end, "link set cable down")
        return began

    def run(self, end: str, source: str, *arguments: str) -> Program:
        """Start a program at one end."""
        program = Program(self.spaces[end], source, *arguments, folder=self.folder)
        self.stack.callback(program.end)
        return program


@pytest.fixture
def network(runtime_dir):
    """A network of two machines."""
    made = Network(runtime_dir)
    yield made
    made.stack.close()


@pytest.mark.parametrize("end", ["client", "server"])
def test_a_pulled_cable_is_found_on_both_ends(network, end):
    """Within `Timing.dead_after` calls fail, and the server frees all that the link held."""
    server = network.run("server", SERVER)
    server.wait("listening")
    client = network.run("client", CLIENT, "False")
    client.wait("answered")
    assert server.ask("statistics")[1]["exported"] >= 10
    pulled = network.down(end)
    ended = client.wait("ended")
    assert ended[2] == "ConnectionLost"
    assert ended[1] - pulled < 2.5  # dead_after is 1 s; the rest is what a busy machine takes
    assert client.ask("figures") == ["figures", "closed", 0, 0]
    gone = server.wait("disconnected")
    assert gone[1] - pulled < 2.5
    figures = server.ask("statistics")[1]
    assert (figures["connections"], figures["exported"], figures["pending"]) == (0, 0, 0)


@pytest.mark.parametrize("end", ["client", "server"])
def test_it_comes_back_when_the_cable_is_plugged_in_again(network, end):
    """A connection that is to come back does so within a second of the network's return."""
    server = network.run("server", SERVER)
    server.wait("listening")
    client = network.run("client", CLIENT, "True")
    client.wait("answered")
    network.down(end)
    client.wait("ended")
    server.wait("disconnected")
    plugged = network.up(end)
    answered = client.wait("answered", after=plugged)
    assert answered[1] - plugged < 3  # a second is the aim; the rest is what a busy machine takes
    assert client.ask("figures")[1] == "open"


BUSY = """
import json, sys, time
import nbrpc

def tell(*items):
    sys.stdout.write(json.dumps(items) + "\\n")
    sys.stdout.flush()

timing = nbrpc.Timing(heartbeat=0.3, dead_after=1.0)
conn = nbrpc.connect("nbrpc://10.9.0.2:4000", token="t" * 32, timing=timing)
held = nbrpc.async_(conn.root.compute)()
for _ in range(int(sys.argv[1])):
    nbrpc.async_(conn.root.take)(bytes(500_000))
while conn.silent_for < 2.5:
    time.sleep(0.05)
tell("silent", time.monotonic(), conn.session.outbox.waits)
error = held.exception()
tell("ended", time.monotonic(), str(error))
"""


@pytest.mark.parametrize("sent", [0, 40])
def test_a_cable_to_a_busy_peer_is_pulled(network, sent):
    """A server that computes is waited for, also without room; the end of its machine is found."""
    server = network.run("server", SERVER)
    server.wait("listening")
    client = network.run("client", BUSY, str(sent))
    server.wait("computing")
    silent = client.wait("silent")
    assert silent[2] == bool(sent)
    pulled = network.down("server")
    ended = client.wait("ended")
    assert "is out of reach: its machine has not answered for" in ended[2]
    print(f"found after {ended[1] - pulled:.2f} s")
    assert 0.5 < ended[1] - pulled < 10
