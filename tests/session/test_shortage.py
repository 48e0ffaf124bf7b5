"""Processes that run short of descriptors and threads, many threads, and the collector."""

from __future__ import annotations

import contextlib
import subprocess
import sys
import threading
import time

import psutil
import pytest

import nbrpc
from tests.lives.script import SERVICE
from tests.lives.shortage import EXHAUSTED, THREADLESS, program

TOKEN = "t" * 32


@pytest.fixture
def server(served, tmp_path):
    """Give a server in a process of its own."""
    (tmp_path / "host.py").write_text(SERVICE)
    return served("host:Host", folder=tmp_path)


def test_a_server_without_descriptors_recovers(connecting):
    """It keeps its connections, lets the others wait, and takes them when descriptors are free."""
    with program(EXHAUSTED) as (process, port):
        url = f"nbrpc://127.0.0.1:{port}"
        with contextlib.ExitStack() as early:
            conns = []
            with pytest.raises(nbrpc.NbrpcError):  # noqa: PT012 - which of them it is differs
                for _ in range(80):
                    conn = nbrpc.connect(url, token=TOKEN, timeout=1)
                    conns.append(early.enter_context(conn))
            assert len(conns) > 30
            assert all(conn.root.add(i, 1) == i + 1 for i, conn in enumerate(conns))
            used = psutil.Process(process.pid).cpu_times()
            time.sleep(0.5)  # what is measured: a server that spins would use all of this
            after = psutil.Process(process.pid).cpu_times()
            assert (after.user + after.system) - (used.user + used.system) < 0.4, "it spins"
        with nbrpc.connect(url, token=TOKEN, timeout=10) as conn:
            assert conn.root.add(1, 2) == 3
        assert process.poll() is None


def test_a_server_without_threads_recovers():
    """Slow calls are then run with the threads that are there; afterwards all is as before."""
    with program(THREADLESS) as (process, port):
        url = f"nbrpc://127.0.0.1:{port}"
        timing = nbrpc.Timing(call=15)
        with nbrpc.connect(url, token=TOKEN, timing=timing) as conn:
            root = conn.root
            root.limit(True)
            naps = [nbrpc.async_(root.nap)(0.05) for _ in range(8)]
            with nbrpc.connect(url, token=TOKEN, timing=timing) as other:
                assert other.root.add(1, 2) == 3
            for nap in naps:
                nap.wait(15)
                assert nap.exception() is None
            root.limit(False)
            naps = [nbrpc.async_(root.nap)(0.05) for _ in range(8)]
            assert root.add(2, 2) == 4
            for nap in naps:
                nap.wait(15)
        assert process.poll() is None


# ---- many threads, and the garbage collector


def test_thirty_two_threads_on_one_connection(server):
    """Each gets its own replies."""
    wrong = []
    with nbrpc.connect(server.url) as conn:
        root = conn.root

        def work(index):
            wrong.extend(
                (index, number)
                for number in range(150)
                if root.add(index * 1000, number) != index * 1000 + number
            )

        threads = [threading.Thread(target=work, args=(index,)) for index in range(32)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(60)
        assert not any(thread.is_alive() for thread in threads)
        assert not wrong
        assert conn.statistics().pending == 0


STORM = """
import faulthandler, gc, sys, threading
faulthandler.dump_traceback_later(40, exit=True)
import nbrpc
conn = nbrpc.connect(sys.argv[1])
root = conn.root
gc.set_threshold(1)
wrong = []
class Cycle: pass
def work(index):
    for number in range(60):
        cycle = Cycle()
        cycle.proxy, cycle.self = root.make(), cycle
        cycle.result = nbrpc.async_(root.add)(index, number)
        if root.add(index, number) != index + number:
            wrong.append(number)
        del cycle
threads = [threading.Thread(target=work, args=(i,)) for i in range(8)]
for thread in threads: thread.start()
for thread in threads: thread.join()
gc.set_threshold(700)
gc.collect()
root.add(1, 2)
print(wrong, conn.statistics().pending, conn.statistics().imported)
conn.close()
"""


def test_a_storm_of_finalizers(server):
    """Proxies die in cycles, in every thread, at any bytecode: nothing hangs, nothing is lost."""
    done = subprocess.run(
        [sys.executable, "-c", STORM, server.url],
        capture_output=True, text=True, timeout=60, check=False,
    )  # fmt: skip
    assert (done.stdout, done.stderr) == ("[] 0 1\n", ""), done
