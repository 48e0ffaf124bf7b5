"""Scripts that end while something is open."""

from __future__ import annotations

from tests.lives.script import BARE, Life

__all__ = ["EXITS"]

EXITS: dict[str, Life] = {
    "nothing": Life("exit", ""),
    "import only": Life("exit", "import nbrpc", begins=BARE),
    "calls made": Life("exit", "assert root.add(1, 2) == 3"),
    "closed": Life("exit", "conn.close(); conn.close()"),
    "a pending result": Life("exit", "res = nbrpc.async_(root.nap)(60)"),
    "forgotten results": Life("exit", "for _ in range(50): nbrpc.async_(root.nap_later)(60)"),
    "pending with callbacks": Life(
        "exit", "res = nbrpc.async_(root.nap)(60); res.add_callback(print)"
    ),
    "pending with a deadline": Life("exit", "res = nbrpc.timed(root.nap, 30)(60)"),
    "a large argument on its way": Life("exit", "res = nbrpc.async_(root.take)(bytes(50_000_000))"),
    "a daemon thread in a call": Life(
        "exit",
        """
        thread = threading.Thread(target=root.nap, args=(60,), daemon=True)
        thread.start()
        time.sleep(0.05)  # the end comes amid this
        """,
    ),
    "daemon threads that call": Life(
        "exit",
        """
        sys.setswitchinterval(1e-5)
        def work():
            while True: root.add(1, 2)
        for _ in range(4): threading.Thread(target=work, daemon=True).start()
        time.sleep(0.2)  # the end comes amid this
        """,
    ),
    "a thread that is waited for": Life(
        "exit",
        """
        def work():
            for number in range(100): assert root.add(number, 1) == number + 1
            print("done", flush=True)
        threading.Thread(target=work).start()
        """,
        output="done",
    ),
    "a pool of threads": Life(
        "exit",
        """
        from concurrent.futures import ThreadPoolExecutor
        pool = ThreadPoolExecutor(4)
        futures = [pool.submit(root.add, number, 1) for number in range(50)]
        """,
    ),
    "a subscription": Life("exit", "sub = root.told.subscribe(str)"),
    "a subscription with a thread": Life(
        "exit", "sub = root.told.subscribe(str); background = nbrpc.BgServingThread(conn)"
    ),
    "a flood of events": Life(
        "exit",
        """
        got = []
        sub = root.told.subscribe(got.append)
        background = nbrpc.BgServingThread(conn)
        res = nbrpc.async_(root.flood)(1.0)
        while not got: time.sleep(0.01)  # until it is so
        """,
    ),
    "a stream of events": Life(
        "exit",
        """
        stream = root.told.stream()
        res = nbrpc.async_(root.flood)(0.5)
        next(stream)
        """,
    ),
    "watched": Life(
        "exit",
        """
        got = []
        background = nbrpc.BgServingThread(conn)
        sub = nbrpc.watch(root, "level", every=0.02).subscribe(got.append)
        while len(got) < 3: time.sleep(0.01)  # until it is so
        """,
    ),
    "a background thread whose server goes": Life(
        "exit",
        """
        server = nbrpc.serve(object())
        other = nbrpc.connect(server.url, token=server.token)
        background = nbrpc.BgServingThread(other)
        other.ping()
        server.close()
        while not other.closed: time.sleep(0.01)  # until it is so
        """,
    ),
    "half an iteration": Life("exit", "items = iter(root.count(10**9)); next(items)"),
    "proxies in globals": Life("exit", "made = [root.make() for _ in range(100)]"),
    "proxies here and there": Life(
        "exit",
        """
        class Holder: proxy = root.make()
        def function(default=root.make()): return default
        local = threading.local(); local.proxy = root.make()
        var = contextvars.ContextVar("var"); var.set(root.make())
        sys.modules["fake"] = root.make()
        builtins = __import__("builtins"); builtins.proxy = root.make()
        """,
    ),
    "finalizers of proxies": Life(
        "exit",
        """
        made = [root.make() for _ in range(10)]
        finalizers = [weakref.finalize(proxy, int) for proxy in made]
        """,
    ),
    "callbacks that the peer keeps": Life(
        "exit",
        """
        root.keep(lambda: None)
        root.keep(object())
        assert root.nest(lambda x: root.add(x, 1), 1) == 2
        """,
    ),
    "exit code": Life("exit", "res = nbrpc.async_(root.nap)(60)", status=7),
    "exit from a callback": Life("exit", "root.nest(lambda x: sys.exit(x), 5)", status=5),
    "at once": Life("exit", "res = nbrpc.async_(root.nap)(60); END(); os._exit(5)", status=5),
    "an exception": Life("exit", "raise ValueError('mine')", status=1, error="ValueError: mine"),
    "interrupted": Life(
        "exit",
        """
        threading.Timer(0.1, os.kill, (os.getpid(), signal.SIGINT)).start()
        try: root.nap(60)
        finally: END()
        """,
        status=-2,
        error="KeyboardInterrupt",
    ),
    "terminated": Life("exit", "END(); os.kill(os.getpid(), signal.SIGTERM)", status=-15),
    "calls at exit": Life(
        "exit", "atexit.register(lambda: print(root.add(1, 2), flush=True))", output="3"
    ),
    "calls in __del__": Life(
        "exit",
        """
        class Late:
            def __init__(self): self.me, self.proxy = self, root
            def __del__(self):
                try: self.proxy.add(1, 2)
                except BaseException: pass  # it must only end
        late = Late(); other = Late()
        """,
    ),
    "streams closed": Life("exit", "res = nbrpc.async_(root.nap)(60); END(); sys.stderr.close()"),
    "an event loop": Life(
        "exit",
        """
        import asyncio
        async def main():
            res = nbrpc.async_(root.nap)(60)
            try: await asyncio.wait_for(asyncio.wrap_future(res.future()), 0.1)
            except (TimeoutError, asyncio.TimeoutError): print("late")
            return await nbrpc.async_(root.add)(1, 2)
        print(asyncio.run(main()))
        """,
        output="late 3",
    ),
    "a loop that was left": Life(
        "exit",
        """
        import asyncio
        async def main():
            global res
            res = nbrpc.async_(root.nap)(60)
            waiting = asyncio.ensure_future(asyncio.wrap_future(res.future()))
            await asyncio.sleep(0.05)  # the end comes amid this
        asyncio.run(main())
        """,
    ),
    "profiled": Life(
        "exit",
        """
        seen = []
        threading.setprofile(lambda *event: None)
        sys.setprofile(lambda *event: None)
        assert root.add(1, 2) == 3
        res = nbrpc.async_(root.nap)(60)
        """,
    ),
    "served here": Life(
        "exit",
        """
        server = nbrpc.serve(["a"])
        other = nbrpc.connect(server.url, token=server.token)
        proxy = other.root
        assert len(proxy) == 1
        """,
    ),
    "served here, and busy": Life(
        "exit",
        """
        class Mine(nbrpc.Service):
            def exposed_nap(self): time.sleep(60)  # what the service does
            async def exposed_later(self):
                import asyncio
                await asyncio.sleep(60)  # what the service does
        server = nbrpc.serve(Mine)
        other = nbrpc.connect(server.url, token=server.token)
        naps = [nbrpc.async_(other.root.nap)() for _ in range(5)]
        later = nbrpc.async_(other.root.later)()
        time.sleep(0.1)  # the end comes amid this
        """,
    ),
    "a serial service": Life(
        "exit",
        """
        class Mine(nbrpc.Service):
            serial = True
            def exposed_nap(self): time.sleep(60)  # what the service does
        server = nbrpc.serve(Mine)
        other = nbrpc.connect(server.url, token=server.token)
        nap = nbrpc.async_(other.root.nap)()
        time.sleep(0.1)  # the end comes amid this
        """,
    ),
    "a server on a thread": Life(
        "exit",
        """
        server = nbrpc.serve(object())
        threading.Thread(target=server.start, daemon=True).start()
        time.sleep(0.05)  # the end comes amid this
        """,
    ),
    "reconnecting": Life("exit", "back = nbrpc.connect(sys.argv[1], reconnect=True); back.root"),
    "reconnecting in vain": Life(
        "exit",
        """
        server = nbrpc.serve(object())
        back = nbrpc.connect(server.url, token=server.token, reconnect=True)
        proxy = back.root
        sub = threading.Thread(target=lambda: back.ping(), daemon=True)
        server.close()
        while back.state != "reconnecting": time.sleep(0.01)  # until it is so
        time.sleep(0.2)  # the end comes amid this
        """,
    ),
    "a call that waits for the return": Life(
        "exit",
        """
        server = nbrpc.serve([])
        back = nbrpc.connect(server.url, token=server.token, reconnect=True)
        proxy = back.root
        server.close()
        while back.state != "reconnecting": time.sleep(0.01)  # until it is so
        threading.Thread(target=lambda: len(proxy), daemon=True).start()
        time.sleep(0.1)  # the end comes amid this
        """,
    ),
}
