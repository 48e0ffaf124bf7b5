"""Scripts that fork, collect, load nbrpc again, and whose clock jumps."""

from __future__ import annotations

from tests.lives.script import Life

__all__ = ["CHANGES"]

CHANGES: dict[str, Life] = {
    # ---- forked children
    "a child that exits": Life(
        "fork",
        """
        if os.fork() == 0: sys.exit(0)
        print(os.wait()[1], root.add(1, 2))
        """,
        output="0 3",
    ),
    "a child that calls": Life(
        "fork",
        """
        if os.fork() == 0:
            try: root.add(1, 2)
            except nbrpc.ConnectionLost: sys.exit(4)
        print(os.waitstatus_to_exitcode(os.wait()[1]), root.add(1, 2))
        """,
        output="4 3",
    ),
    "a child while much is open": Life(
        "fork",
        """
        got = []
        background = nbrpc.BgServingThread(conn)
        sub = root.told.subscribe(got.append)
        back = nbrpc.connect(sys.argv[1], reconnect=True); back.root.add(1, 2)
        res = nbrpc.async_(root.nap)(0.3)
        made = [root.make() for _ in range(10)]
        if os.fork() == 0: sys.exit(0)
        print(os.wait()[1], root.add(1, 2), back.root.add(2, 2), res.result(), sub.closed)
        """,
        output="0 3 4 None False",
    ),
    "a child of a thread": Life(
        "fork",
        """
        def work():
            child = os.fork()
            if child == 0: os._exit(3 if conn.closed else 4)
            print(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]), root.add(1, 2))
        thread = threading.Thread(target=work); thread.start(); thread.join()
        """,
        status=0,
        output="3 3",
    ),
    "multiprocessing": Life(
        "fork",
        """
        import multiprocessing
        def work(url):
            with nbrpc.connect(url) as own: sys.exit(own.root.add(3, 3))
        process = multiprocessing.get_context("fork").Process(target=work, args=(sys.argv[1],))
        process.start(); process.join()
        print(process.exitcode, root.add(1, 2))
        """,
        output="6 3",
    ),
    "a pool of processes": Life(
        "fork",
        """
        import multiprocessing
        with multiprocessing.get_context("fork").Pool(2) as pool:
            print(sum(pool.map(abs, range(10))), root.add(1, 2))
        """,
        output="45 3",
    ),
    "a child that reconnects": Life(
        "fork",
        """
        back = nbrpc.connect(sys.argv[1], reconnect=True)
        proxy = back.root
        if os.fork() == 0:
            try: proxy.add(1, 2)
            except nbrpc.ConnectionLost: sys.exit(4)
        print(os.waitstatus_to_exitcode(os.wait()[1]), proxy.add(1, 2))
        """,
        output="4 3",
    ),
    "a child while the server is away": Life(
        "fork",
        """
        server = nbrpc.serve([])
        back = nbrpc.connect(server.url, token=server.token, reconnect=True)
        proxy = back.root
        server.close()
        while back.state != "reconnecting": time.sleep(0.01)  # until it is so
        if os.fork() == 0:
            try: len(proxy)
            except nbrpc.ConnectionLost: sys.exit(4)
        print(os.waitstatus_to_exitcode(os.wait()[1]), back.state)
        back.close()
        """,
        output="4 reconnecting",
    ),
    "a program started": Life(
        "fork",
        """
        import subprocess
        server = nbrpc.serve([])
        list_them = (
            "import os, stat; print(sum(stat.S_ISSOCK(os.fstat(int(name)).st_mode) "
            "for name in os.listdir('/proc/self/fd') if os.path.exists('/proc/self/fd/' + name)))"
        )
        done = subprocess.run(
            [sys.executable, "-c", list_them], close_fds=False, capture_output=True, text=True
        )
        print(done.stdout.strip(), root.add(1, 2))
        """,
        output="0 3",
    ),
    "a double fork": Life(
        "fork",
        """
        if os.fork() == 0:
            if os.fork() == 0: sys.exit(0)
            sys.exit(os.waitstatus_to_exitcode(os.wait()[1]))
        print(os.wait()[1], root.add(1, 2))
        """,
        output="0 3",
    ),
    # ---- the garbage collector
    "cycles": Life(
        "collector",
        """
        class Node: pass
        for _ in range(200):
            node = Node()
            node.me, node.proxy, node.res = node, root.make(), nbrpc.async_(root.add)(1, 2)
        """,
    ),
    "cycles without a collector": Life(
        "collector",
        """
        gc.disable()
        class Node: pass
        for _ in range(50):
            node = Node()
            node.me, node.proxy, node.res = node, root.make(), nbrpc.async_(root.nap)(60)
        """,
    ),
    "a storm": Life(
        "collector",
        """
        gc.set_threshold(1)
        def work():
            for number in range(30):
                proxy = root.make()
                cycle = [proxy]; cycle.append(cycle)
                assert root.add(number, 1) == number + 1
        threads = [threading.Thread(target=work) for _ in range(4)]
        for thread in threads: thread.start()
        """,
    ),
    "collected inside of finalizers": Life(
        "collector",
        """
        class Late:
            def __init__(self): self.me, self.proxy = self, root.make()
            def __del__(self): gc.collect()
        for _ in range(20): Late()
        gc.collect()
        assert root.add(1, 2) == 3
        """,
    ),
    "a connection in a cycle": Life(
        "collector",
        """
        class Owner:
            def __init__(self):
                self.conn = nbrpc.connect(sys.argv[1])
                self.root = self.conn.root
                self.sub = self.root.told.subscribe(self.heard)
            def heard(self, *_): pass
        for _ in range(5): Owner()
        gc.collect()
        assert root.add(1, 2) == 3
        """,
    ),
    # ---- loaded again
    "reloaded": Life(
        "reload",
        """
        import importlib
        importlib.reload(nbrpc)
        assert root.add(1, 2) == 3
        assert nbrpc.connect(sys.argv[1]).root.add(2, 2) == 4
        """,
    ),
    "imported anew": Life(
        "reload",
        """
        sub = root.told.subscribe(str)
        for name in [name for name in sys.modules if name.split(".")[0] == "nbrpc"]:
            del sys.modules[name]
        import nbrpc as second
        other = second.connect(sys.argv[1])
        print(root.add(1, 2), other.root.add(2, 2), second is nbrpc)
        """,
        output="3 4 False",
    ),
    "imported anew, the old one dropped": Life(
        "reload",
        """
        res = nbrpc.async_(root.nap)(60)
        for name in [name for name in sys.modules if name.split(".")[0] == "nbrpc"]:
            del sys.modules[name]
        del nbrpc, conn, root, res
        gc.collect()
        import nbrpc
        print(nbrpc.connect(sys.argv[1]).root.add(2, 2))
        """,
        output="4",
    ),
    # ---- clocks that jump
    "an hour on": Life(
        "clock",
        """
        real = time.time
        time.time = lambda: real() + 3600
        print(nbrpc.timed(root.add, 5)(1, 2).result())
        """,
        output="3",
    ),
    "an hour back": Life(
        "clock",
        """
        real = time.time
        time.time = lambda: real() - 3600
        try: nbrpc.timed(root.nap, 0.2)(60).result()
        except nbrpc.CallTimeout: print("timeout")
        """,
        output="timeout",
    ),
}
