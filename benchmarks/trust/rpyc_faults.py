"""What stock RPyC does in some of the rows about faults, in processes of its own.

Each control shows that its row can fail: the same fault, where it is known to do harm.
"""

from __future__ import annotations

from benchmarks.trust.controls import run_control

__all__ = ["clock", "fork", "kill", "threads"]

BEGINNING = """
import os, signal, subprocess, sys, threading, time
import rpyc

SERVER = '''
import time, rpyc
from rpyc.utils.server import ThreadedServer
class Service(rpyc.Service):
    def exposed_add(self, a, b):
        return a + b
    def exposed_nap(self, seconds):
        time.sleep(seconds)  # what the service does
server = ThreadedServer(Service, hostname="127.0.0.1", port=0)
print(server.port, flush=True)
server.start()
'''
server = subprocess.Popen([sys.executable, "-c", SERVER], stdout=subprocess.PIPE)
conn = rpyc.connect("127.0.0.1", int(server.stdout.readline()))
root = conn.root
try:
"""

KILL = """
    threading.Timer(0.3, server.kill).start()
    begun = time.monotonic()
    try: root.nap(60)
    except EOFError: print(f"kill -9: {(time.monotonic() - begun - 0.3) * 1e3:.0f} ms", flush=True)
"""

FORK = """
    assert root.add(1, 2) == 3
    if os.fork() == 0:
        conn.close()  # as a child does that ends in the usual way
        os._exit(0)
    os.wait()
    try:
        root.add(1, 2)
        print("the parent lives after fork", flush=True)
    except EOFError:
        print("a forked child ends its parent's connection", flush=True)
"""

CLOCK = """
    assert root.add(1, 2) == 3
    nap = rpyc.timed(root.nap, 5)(1)
    real = time.time
    time.time = lambda: real() + 3600
    try:
        nap.value
        print("a jump of the clock changes nothing", flush=True)
    except TimeoutError:
        print("a jump of the clock fails a call in time", flush=True)
"""

THREADS = """
    wrong, taken = [], []
    def work(index, count):
        for number in range(count):
            begun = time.perf_counter()
            if root.add(index, number) != index + number: wrong.append(number)
            taken.append(time.perf_counter() - begun)
    work(0, 300)
    begun = time.perf_counter()
    work(0, 2000)
    one = 2000 / (time.perf_counter() - begun)
    taken.clear()
    begun = time.perf_counter()
    threads = [threading.Thread(target=work, args=(i, 60)) for i in range(32)]
    for thread in threads: thread.start()
    for thread in threads: thread.join()
    many = 32 * 60 / (time.perf_counter() - begun)
    p99 = sorted(taken)[int(len(taken) * 0.99)] * 1e3
    print(f"{len(wrong)} wrong, p99 {p99:.0f} ms, {many / one:.2f} times", flush=True)
"""


def kill() -> str:
    """Kill a server under a call."""
    return run_control(BEGINNING + KILL)


def fork() -> str:
    """Fork, and let the child end."""
    return run_control(BEGINNING + FORK)


def clock() -> str:
    """Move the clock while a call runs."""
    return run_control(BEGINNING + CLOCK)


def threads() -> str:
    """Call from 32 threads."""
    return run_control(BEGINNING + THREADS)
