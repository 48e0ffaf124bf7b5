"""A program for RPyC as its documentation teaches to write them: a bank, its tellers and clients.

Run alone it serves and connects in one process; with ``serve`` it is the server, and prints its
port; with ``connect PORT`` it is the client. What it prints is the same under RPyC and nbrpc.
"""

import sys
import threading
import time

import rpyc
from rpyc.core.protocol import DEFAULT_CONFIG
from rpyc.utils.helpers import classpartial
from rpyc.utils.server import ThreadedServer


class NotEnoughMoney(Exception):
    """An exception that only the bank knows."""


class Refused(ValueError):
    """One that derives from a builtin."""


class Ledger:
    """Given to clients as it is: what they may reach is decided by names and by the connection."""

    def __init__(self):
        self.lines = []
        self.secret = "vault"

    def exposed_write(self, line):
        self.lines.append(line)
        return len(self.lines)

    def exposed_total(self):
        return len(self.lines)

    def __len__(self):
        return len(self.lines)

    def __getitem__(self, index):
        return self.lines[index]

    def __iter__(self):
        return iter(self.lines)

    def __contains__(self, line):
        return line in self.lines

    def __enter__(self):
        self.lines.append("opened")
        return self

    def __exit__(self, kind, error, traceback):
        self.lines.append("closed")
        return False

    def __eq__(self, other):
        return self is other

    def __hash__(self):
        return 7

    def __add__(self, other):
        return len(self.lines) + other

    def __str__(self):
        return f"ledger of {len(self.lines)} lines"


class OwnPolicy:
    """Decides by itself what can be reached."""

    def __init__(self):
        self.value = 1

    def _rpyc_getattr(self, name):
        if name == "hidden":
            raise AttributeError("no such thing")
        return "policy:" + name

    def _rpyc_setattr(self, name, value):
        if name != "value":
            raise AttributeError("only the value")
        self.value = value


@rpyc.service
class Teller(rpyc.Service):
    @rpyc.exposed
    def greet(self, name="you"):
        return "hello " + name

    @rpyc.exposed
    def count(self, *args, **kwargs):
        return len(args), sorted(kwargs)

    def not_exposed(self):
        return "never"


class BankService(rpyc.Service):
    ALIASES = ("bank", "money")

    exposed_currency = "EUR"

    class exposed_Account:
        def __init__(self, owner, balance=0):
            self.owner = owner
            self._balance = balance

        def exposed_deposit(self, amount):
            if amount <= 0:
                raise ValueError("amounts are above zero", amount)
            self._balance += amount
            return self._balance

        def exposed_withdraw(self, amount):
            if amount > self._balance:
                raise NotEnoughMoney("not enough", self._balance, amount)
            self._balance -= amount
            return self._balance

        def exposed_refuse(self):
            raise Refused("refused")

        @property
        def exposed_balance(self):
            return self._balance

        def exposed_history(self, count):
            for number in range(count):
                yield self.owner, number, number * 0.5

    def __init__(self, name="the bank"):
        self.name = name
        self.ledger = Ledger()
        self.listeners = []
        self.finished = threading.Event()

    def on_connect(self, conn):
        self.conn = conn

    def on_disconnect(self, conn):
        self.finished.set()

    def exposed_name(self):
        return self.name

    def exposed_open(self, owner, balance=0):
        return self.exposed_Account(owner, balance)

    def exposed_ledger(self):
        return self.ledger

    def exposed_view(self):
        return rpyc.restricted(self.ledger, ["secret", "exposed_total", "lines"], ["secret"])

    def exposed_policy(self):
        return OwnPolicy()

    def exposed_apply(self, function, *args, **kwargs):
        return function(*args, **kwargs)

    def exposed_compose(self, first, second):
        return lambda value: second(first(value))

    def exposed_listen(self, callback):
        self.listeners.append(rpyc.async_(callback))

    def exposed_publish(self, count):
        for number in range(count):
            for listener in self.listeners:
                listener("event", number)
        return count

    def exposed_sort(self, items, key):
        return tuple(sorted(items, key=key))

    def exposed_ask_root(self, text):
        return self.conn.root.echo(text)

    def exposed_echo(self, *args):
        return args

    def exposed_same(self, first, second):
        return first is second

    def exposed_fail(self, name):
        raise {"key": KeyError("missing"), "os": OSError(2, "no file"), "stop": StopIteration}[name]

    def exposed_deep(self, depth, callback):
        return depth if depth == 0 else callback(depth - 1)

    def exposed_slow(self):
        time.sleep(0.6)  # longer than its deadline
        return "done"

    def exposed_data(self):
        return {"a": [1, 2, 3], "b": (4, 5)}


class ClientService(rpyc.Service):
    def exposed_echo(self, text):
        return "client says " + text


def show(label, *values):
    """Print, at once."""
    print(label, *values)
    sys.stdout.flush()


def failing(label, function, *args):
    """Print what a call raises, as what it is caught."""
    try:
        value = function(*args)
    except rpyc.core.vinegar.GenericException as error:
        show(label, "GenericException", error.args)
    except AttributeError:
        show(label, "AttributeError")
    except (LookupError, OSError, ValueError, TypeError, ZeroDivisionError) as error:
        known = [KeyError, IndexError, OSError, ValueError, TypeError, ZeroDivisionError]
        cls = [cls.__name__ for cls in known if isinstance(error, cls)]
        show(label, cls, error.args)
        show(label, "remote traceback" in str(error).lower())
    else:
        show(label, "gave", value)


def plain(conn):
    """Values, names and the root."""
    root = conn.root
    show("root is cached", conn.root is root)
    show("name", root.name(), root.exposed_name())
    show("currency", root.currency, root.exposed_currency)
    show("aliases", root.get_service_name(), tuple(root.get_service_aliases()))
    show("values", root.echo(1, -49, 160, 10**30, 1.5, "é", b"\x00", None, True, 1 + 2j))
    show("more", root.echo((1, (2, "x")), frozenset([1]), slice(1, 2), Ellipsis, NotImplemented))
    show("nothing", root.echo())
    ping = conn.ping()
    show("ping", ping is None or ping >= 0)


def accounts(conn):
    """Objects, nested classes, properties and exceptions."""
    root = conn.root
    account = root.open("ann", 10)
    show("deposit", account.deposit(5), account.balance, account.exposed_balance)
    show("withdraw", account.withdraw(3))
    failing("too much", account.withdraw, 100)
    failing("negative", account.deposit, -1)
    failing("refused", account.refuse)
    failing("hidden", lambda: account.owner)
    failing("private", lambda: account._balance)
    failing("missing", lambda: account.nothing)
    failing("set", setattr, account, "balance", 5)
    failing("delete", delattr, account, "balance")
    another = root.Account("bob", balance=2)
    show("nested class", another.balance, another.deposit(8))
    show("history", list(account.history(3)))
    show("isinstance", isinstance(account, rpyc.BaseNetref), isinstance(5, rpyc.BaseNetref))
    iterator = iter(account.history(2))
    show("next", next(iterator), next(iterator), next(iterator, "end"))
    show("buffiter", list(rpyc.buffiter(iter(account.history(25)))) == list(account.history(25)))


def ledgers(conn):
    """Special methods, restricted views and policies."""
    ledger = conn.root.ledger()
    show("write", ledger.write("one"), ledger.write("two"))
    show("len", len(ledger), ledger[0], ledger[-1], "one" in ledger, "three" in ledger)
    show("iterate", list(ledger), [line.upper() for line in ledger])
    with ledger as same:
        show("with", same.total())
    show("after", list(ledger)[-2:])
    show("equal", ledger == conn.root.ledger(), ledger == 5, hash(ledger), ledger + 1, str(ledger))
    failing("index", lambda: ledger[100])
    failing("secret", lambda: ledger.secret)
    view = conn.root.view()
    show("view", view.secret, view.exposed_total(), len(view.lines))
    view.secret = "changed"
    show("view", view.secret)
    failing("view", lambda: view.exposed_write("x"))
    failing("view", setattr, view, "lines", 1)
    policy = conn.root.policy()
    show("policy", policy.anything)
    failing("policy", lambda: policy.hidden)
    policy.value = 3
    failing("policy", setattr, policy, "other", 1)
    data = conn.root.data()
    show("data", str(data), len(data), sorted(data), data["b"], "a" in data, len(data["a"]))
    data["c"] = 1
    show("data", len(data), sum(data["a"]))


def callbacks(conn):
    """Functions of the client on the server, and of the server on the client."""
    root = conn.root
    show("apply", root.apply(lambda a, b=1: a * b, 4), root.apply(max, 3, 9), root.apply(int, "7"))
    show("keywords", root.apply(lambda **named: tuple(sorted(named.items())), x=1, y="z"))
    composed = root.compose(lambda value: value + 1, lambda value: value * 10)
    show("compose", composed(1), composed(2))
    show("sort", root.sort([3, -1, 2], abs), root.sort(("b", "A"), lambda text: text.lower()))
    local = object()
    show("identity", root.same(local, local), root.apply(lambda: local) is local)
    failing("callback fails", root.apply, lambda: 1 / 0)
    failing("callback raises", root.apply, lambda: [][1 if True else 0 :].index(5))

    def deep(depth):
        return root.deep(depth, deep)

    show("nesting", deep(12))
    show("back to the client", root.ask_root("hi"))
    for name in ("key", "os"):
        failing(name, root.fail, name)
    failing("not callable", root.currency)
    failing("arguments", lambda: root.name(1, 2, 3))


def asynchronous(conn):
    """Results that come later."""
    root = conn.root
    echo = rpyc.async_(root.echo)
    results = [echo(number) for number in range(20)]
    show("async", [result.value[0] for result in results])
    show("states", results[0].ready, results[0].error, results[0].expired)
    failed = rpyc.async_(root.fail)("key")
    failed.wait()
    show("failed", failed.ready, failed.error)
    failing("failed", lambda: failed.value)
    told = []
    result = echo("x")
    result.add_callback(lambda result: told.append(result.value))
    result.wait()
    result.add_callback(lambda result: told.append("late"))
    show("callbacks", sorted(map(str, told)))
    slow = rpyc.timed(root.slow, 0.2)()
    try:
        show("not in time?", slow.value)
    except rpyc.AsyncResultTimeout:
        show("timed out", slow.expired)
    show("after", root.echo("again"))


def events(conn):
    """Callbacks as events, in the background."""
    received = []
    complete = threading.Event()

    def listen(kind, number):
        received.append((kind, number))
        if number == 9:
            complete.set()

    serving = rpyc.BgServingThread(conn)
    conn.root.listen(listen)
    show("published", conn.root.publish(10))
    show("arrived", complete.wait(10), sorted(received) == [("event", n) for n in range(10)])
    serving.stop()


def configured(host, port):
    """RPyC's configuration keys."""
    config = {"allow_public_attrs": True, "sync_request_timeout": 0.3}
    conn = rpyc.connect(host, port, service=ClientService, config=config)
    root = conn.root
    try:
        root.slow()
    except TimeoutError:
        show("sync timeout", True)
    conn._config["sync_request_timeout"] = None
    show("no timeout", root.echo("x"), conn._config["allow_public_attrs"])
    conn.close()
    show("closed", conn.closed)
    try:
        conn.root.echo(1)
    except EOFError:
        show("closed", "EOFError")
    config = {"instantiate_custom_exceptions": True}
    with rpyc.connect(host, port, service=ClientService, config=config) as conn:
        try:
            conn.root.open("eve").withdraw(1)
        except NotEnoughMoney as error:
            show("custom", error.args)
        try:
            conn.root.open("eve").refuse()
        except Refused as error:
            show("custom", error.args)
    show("defaults", DEFAULT_CONFIG["sync_request_timeout"], DEFAULT_CONFIG["exposed_prefix"])


def tellers():
    """Decorators, other ways to serve and to connect."""
    server = ThreadedServer(Teller, hostname="127.0.0.1", port=0)
    server._start_in_thread()
    conn = rpyc.connect("127.0.0.1", server.port)
    show("teller", conn.root.greet(), conn.root.greet("x"), conn.root.exposed_greet(name="y"))
    show("teller", conn.root.count(1, 2, b=3, a=4), conn.root.get_service_name())
    failing("teller", lambda: conn.root.not_exposed)
    conn.close()
    server.close()
    conn = rpyc.connect_thread(remote_service=classpartial(BankService, "partial"))
    show("partial", conn.root.name())
    conn.close()
    shared = BankService("shared")
    server = ThreadedServer(shared, hostname="127.0.0.1", port=0)
    server._start_in_thread()
    first = rpyc.connect("127.0.0.1", server.port)
    second = rpyc.connect("127.0.0.1", server.port)
    first.root.ledger().write("seen by both")
    show("shared", list(second.root.ledger()))
    first.close()
    second.close()
    server.close()


def client(host, port):
    """Run all parts."""
    conn = rpyc.connect(host, port, service=ClientService)
    for part in (plain, accounts, ledgers, callbacks, asynchronous, events):
        show("----", part.__name__)
        part(conn)
    conn.close()
    show("closed", conn.closed)
    configured(host, port)
    tellers()
    show("end")


def tell_port(server):
    """Print the port once the server listens."""
    while not server.active:
        time.sleep(0.01)  # until it has happened
    show(server.port)


if __name__ == "__main__":
    if sys.argv[1:2] == ["connect"]:
        client("127.0.0.1", int(sys.argv[2]))
    else:
        server = ThreadedServer(
            classpartial(BankService), hostname="127.0.0.1", port=0, protocol_config={}
        )
        if sys.argv[1:2] == ["serve"]:
            threading.Thread(target=tell_port, args=(server,)).start()
            server.start()
        else:
            thread = threading.Thread(target=server.start)
            thread.daemon = True
            thread.start()
            while not server.active:
                time.sleep(0.01)  # until it has happened
            client("127.0.0.1", server.port)
            server.close()
