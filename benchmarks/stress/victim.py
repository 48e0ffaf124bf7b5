"""A client that is killed: ``python -m benchmarks.stress.victim PORT COUNT``.

It makes so many calls, each of which the server answers by waiting for a callback that does not
return, and prints ``ready`` when all callbacks have been entered.
"""

from __future__ import annotations

import sys
import threading

import nbrpc


def main() -> None:
    """Hold the calls until the process is killed."""
    port, count = int(sys.argv[1]), int(sys.argv[2])
    connection = nbrpc.connect("127.0.0.1", port)
    entered = threading.Semaphore(0)
    forever = threading.Event()

    def callback() -> None:
        entered.release()
        forever.wait()

    for _ in range(count):
        threading.Thread(target=connection.root.hold, args=(callback,), daemon=True).start()
    for _ in range(count):
        entered.acquire()
    print("ready", flush=True)
    forever.wait()


if __name__ == "__main__":
    main()
