"""Attacks in nbrpc's own protocol, by clients that hold the token and by some that do not."""

from __future__ import annotations

import contextlib
import itertools
import struct
import time
from typing import Any

from nbrpc.errors import NbrpcError
from nbrpc.protocol import codec, messages
from nbrpc.protocol.frames import HEADER
from nbrpc.protocol.messages import Kind, Operation
from tests.hostile.attacks import MEGABYTE, Victim, attack
from tests.hostile.native import box, description, message, reference
from tests.hostile.rpyc_clients import HIDDEN
from tests.hostile.watching import CANARY

CODE = f"open('/tmp/{CANARY}')"
ON_OBJECTS = [op for op in Operation if op is not Operation.ROOT]


def told(answer: Any) -> bool:
    """Whether a request was granted."""
    return type(answer) is messages.Reply


def handed(
    target: Victim, method: str, *args: Any, answer: Any = None, mode: str = "open", **options: Any
) -> Any:
    """Call a method of the root with boxes of ours; answer all that the server asks with one."""
    with target.let_in(mode) as client:
        root = client.root()

        def respond(_request: messages.Request) -> Any:
            return answer

        return client.ask(Operation.CALL, root, method, *args, respond=respond, **options)


def poured(target: Victim, data: bytes, seconds: float = 0.7) -> bool:
    """Send bytes as an authenticated client; say whether the server ends the link soon."""
    with target.let_in() as client:
        client.root()
        with contextlib.suppress(OSError):
            client.raw(data)
        return client.closed(seconds)


# ---- getting in


@attack()
def an_address_that_others_reach(target: Victim) -> str | None:
    """A server that other machines reach, by default."""
    far = [host for host in target.hosts.values() if not host.startswith("127.")]
    return f"it listens at {far[0]}" if far else None


def refused(target: Victim, token: str | None) -> str | None:
    """Try to be let in with a token."""
    with target.native(token=token) as client:
        client.sock.settimeout(0.5)
        client.shake_hands()
        return f"let in with {token!r}"


@attack()
def no_token(target: Victim) -> str | None:
    """All that is served, without a token."""
    return refused(target, None)


@attack()
def a_wrong_token(target: Victim) -> str | None:
    """The same with another token, and with a part of the right one."""
    for token in ("wrong", target.token[:-1], target.token + "t", target.token.upper()):
        with contextlib.suppress(OSError, NbrpcError):
            return refused(target, token)
    return None


@attack()
def requests_before_the_proof(target: Victim) -> str | None:
    """An answer to who has proved nothing."""
    before = target.state()["requests"]
    with target.native() as client:
        client.sock.settimeout(0.5)
        client.flush()
        client.send(Kind.HELLO, 1, bytes(32), "", b"", [], {})
        for op in Operation:
            client.request(op, 1, "echo")
        with contextlib.suppress(TimeoutError):
            while data := client.sock.recv(65536):
                if b"echo" in data:
                    return "an answer"
    return None if target.state()["requests"] - before < 50 else "requests were begun"


# ---- objects


@attack()
def numbers_of_objects_as_addresses(target: Victim) -> str | None:
    """Where objects lie in the server's memory."""
    with target.let_in() as client:
        root = client.root()
        numbers = {root, *(client.thing(root) for _ in range(5))}
        return "an address" if numbers & set(target.identities) or max(numbers) > 1e6 else None


@attack()
def objects_of_another_connection(target: Victim) -> str | None:
    """What the server handed to somebody else, by every operation."""
    with target.let_in() as client, target.let_in() as other:
        root = client.root()
        stolen = [other.thing(other.root()) for _ in range(3)]
        for oid in (*stolen, 0, -1, 2**40, 2**63 - 1):
            for op in ON_OBJECTS:
                client.send(Kind.REQUEST, client.seq + 1, op, oid, "filling", [], None)
                client.seq += 1
                answer = client.reply_to(client.seq)
                if answer is None:
                    return None
                if told(answer) and op not in (Operation.UNSUBSCRIBE, Operation.DELIVER):
                    return f"{op.name} of {oid} gave {answer.value!r}"
            if told(client.ask(Operation.CALL, root, "echo", codec.Home(oid))):
                return f"object {oid} came back"
    return None


@attack()
def any_number_as_an_object(target: Victim) -> str | None:
    """An object that was never handed over, by guessing 20,000 numbers."""
    with target.let_in() as client:
        root = client.root()
        for start in range(0, 20_000, 500):
            first = client.seq + 1
            for number in range(500):
                client.request(Operation.REPR, root + 1 + start + number)
            for seq in range(first, first + 500):
                if told(client.reply_to(seq)):
                    return "an object that was never handed over"
    return None


@attack()
def releases_that_count_wrong(target: Victim) -> str | None:
    """Tables of the server in disorder, or the object of somebody else dropped."""
    with target.let_in() as other:
        thing = other.thing(other.root())
        for counts in ([1, -1], [1, 0], [1, 2**63 - 1], [2**40, 1], [1], [-1, 1], [thing, 1]):
            with target.let_in() as client, contextlib.suppress(OSError):
                root = client.root()
                client.send(Kind.RELEASE, [root if n == 1 else n for n in counts])
                client.request(Operation.REPR, root)
                client.closed(0.1)
        return None if told(other.ask(Operation.REPR, thing)) else "another's object dropped"


@attack()
def objects_without_end(target: Victim) -> str | None:
    """As much of the server's memory as there is, by holding objects."""
    with target.let_in() as client:
        root = client.root()
        for number in range(1_200):
            if not told(client.ask(Operation.CALL, root, "thing")):
                return None if number else "it gives none at all"
        return "1,200 objects are held"


@attack()
def objects_without_end_by_delivery(target: Victim) -> str | None:
    """The same by having the server keep values."""
    with target.let_in() as client:
        for number in range(1_200):
            if not told(client.ask(Operation.DELIVER, 0, "", number)):
                return None
        return f"{number} objects are held"


# ---- classes


@attack()
def references_that_pass_for_a_class(target: Victim) -> str | None:
    """isinstance(x, T) true of what is no T, for classes that services decide by."""
    for method, name, base in (
        ("is_admin", "__main__.Admin", None), ("is_int", "builtins.int", "int"),
        ("is_int", "builtins.bool", None), ("is_str", "builtins.str", "str"),
        ("is_str", "builtins.dict", "dict"), ("is_str", "builtins.list", "list"),
        ("is_str", "builtins.bytes", "bytes"), ("is_str", "builtins.tuple", "tuple"),
    ):  # fmt: skip
        thing = reference(1, 1, description(name, base=base))
        answer = handed(target, method, thing)
        if told(answer) and answer.value is True:
            return f"{method} of a {name}"
    return None


@attack()
def descriptions_that_name_modules(target: Victim) -> str | None:
    """Code of a module, run by naming a class of it."""
    for name in (f"{CANARY}.anything", f"os.{CANARY}", f"{CANARY}.a.b.c"):
        handed(target, "is_admin", reference(1, 1, description(name, doc=CODE)))
    return None


@attack()
def descriptions_with_special_members(target: Victim) -> str | None:
    """Methods of the proxy itself replaced by ones that ask the attacker."""
    names = [
        "__class__", "__del__", "__init__", "__getattribute__", "__reduce_ex__", "__setattr__",
        "_nbrpc_session_", "_nbrpc_oid_", "__dict__", "__slots__", "__copy__", "__array__", "mro",
        "a b", "", "\0", "__init_subclass__", "__set_name__", "__class_getitem__", "x" * 5_000,
    ]  # fmt: skip
    for kind in ("instance", "class", "module", "function", "evil"):
        for what in ("method", "property", "class", "event", "evil"):
            described = description(
                kind=kind, members=dict.fromkeys(names, what), specials=tuple(names)
            )
            for method in ("told", "copied", "echo"):
                handed(target, method, reference(1, 1, described), answer="x")
    return None


@attack()
def registered_classes_by_name(target: Victim) -> str | None:
    """An instance of any class of the server."""
    for name in ("__main__.Admin", "os.system", "subprocess.Popen", "builtins.eval", f"{CANARY}.X"):
        answer = handed(target, "is_admin", codec.Registered(name, [CODE]))
        if told(answer):
            return f"{name} was made"
    return None


@attack()
def copies_that_load_pickles(target: Victim) -> str | None:
    """Code, when the service copies, orders or converts what it was handed."""
    specials = ("__reduce_ex__", "__copy__", "__deepcopy__", "__array__", "__getstate__", "__len__")
    for method in ("copied", "deeply", "as_array", "as_buffer", "path", "told", "sorted", "listed"):
        thing = reference(1, 1, description(specials=specials))
        answer = handed(target, method, thing, answer=b"cposix\nsystem\n(S'" + CODE.encode())
        if method in ("copied", "deeply", "as_buffer", "path") and told(answer):
            return f"{method} gave {answer.value!r}"
    return None


@attack()
def arrays_of_objects(target: Victim) -> str | None:
    """Pickled elements, and memory for shapes that no data follows."""
    for dtype, shape, data in (
        ("|O8", [1], bytes(8)), ("<f8", [2**40], bytes(8)), ("<f8", [-1], bytes(8)),
        ("|V1000000000", [0], b""), ("<f8", [0, 2**62], b""), ("<U999999999", None, b""),
        ("O", [1], b"x"), ("<f8,<f8", [1], bytes(16)), ("<f8", [1] * 65, bytes(8)),
        ("|S0", [2**50], b""), (CODE, [1], b"x"), ("<M8[" + "9" * 20 + "s]", [1], bytes(8)),
    ):  # fmt: skip
        value = codec.Array(dtype, shape, 0 if shape is not None else -1, b"" if shape else data)
        answer = handed(target, "echo", value, buffers=(data or b"",) if shape is not None else ())
        if told(answer) and shape is not None and data:
            return f"an array of {dtype} and {shape}"
    return None


@attack(budget=120 * MEGABYTE)  # what loading pyarrow and pandas takes, once
def tables_that_are_none(target: Victim) -> str | None:
    """Memory of Arrow's decoder, or its crash."""
    for data in (b"", b"x" * 100, struct.pack("<II", 0xFFFFFFFF, 2**31 - 1) + bytes(100)):
        handed(target, "echo", codec.Table(0), buffers=(data,))
    return None


@attack()
def values_that_cost_time(target: Victim) -> str | None:
    """The processor for seconds, while nobody else is served."""
    for kind, text in (
        ("int", "9" * 900_000), ("fraction", "9" * 19_000 + "/" + "7" * 19_000),
        ("decimal", "1e999999999"), ("decimal", "9" * 900_000), ("fraction", "1/0"),
        ("datetime", "9" * 10_000), ("timedelta", "9" * 400 + ",0,0"), ("complex", "1,2,3"),
        ("uuid", "x" * 10**5), ("posix", "/" * 10**5), ("evil", "x"), ("int", "_" * 10**5),
    ):  # fmt: skip
        for method in ("echo", "told"):
            handed(target, method, codec.Scalar(kind, text))
    return None


@attack()
def keys_that_collide(target: Victim) -> str | None:
    """A second client that waits for seconds, by numbers whose hashes are the same."""
    step = 2**61 - 1
    numbers: list[Any] = [codec.Scalar("int", f"{n * step:x}") for n in range(1, 12_000)]
    for value in (
        codec.Frozen(numbers), codec.Set(numbers), codec.Pairs(numbers, [None] * len(numbers)),
        codec.Set([codec.Frozen(numbers[:900])] * 3 + numbers[:900]),
        codec.Set([float(n * step) for n in range(12_000)]),
    ):  # fmt: skip
        with contextlib.suppress(OSError):
            handed(target, "echo", value)
    return None


@attack()
def values_within_values(target: Victim) -> str | None:
    """The stack of the server's parser."""
    for levels in (70, 1_000, 100_000):
        nested = b"\x92\x03\x91" * levels + b"\xc0"
        body = b"\x96\x01\x05\x01\xa4echo\x91" + nested + b"\xc0"
        poured(target, HEADER.pack(len(body), Kind.REQUEST, 0, 0) + body)
    return None


# ---- names

GIVEN: dict[Operation, tuple[Any, ...]] = {
    Operation.SET: (5,),
    Operation.STREAM: (10,),
    Operation.SUBSCRIBE: (1, "latest", 1),
    Operation.WATCH: (1, "latest", 1, 0.5),
}
"""What operations take beside a name."""


@attack()
def hidden_members(target: Victim) -> str | None:
    """A member that is not exposed, by every operation that takes a name."""
    with target.let_in() as client:
        root = client.root()
        thing = client.thing(root)
        for name, oid in itertools.product(HIDDEN, (root, thing)):
            for op in (
                Operation.GET, Operation.SET, Operation.DELETE, Operation.CALL, Operation.OBTAIN,
                Operation.STREAM, Operation.SUBSCRIBE, Operation.WATCH, Operation.DESCRIBE,
                Operation.DISPLAY, Operation.STR, Operation.REPR, Operation.HASH, Operation.DIR,
            ):  # fmt: skip
                answer = client.ask(op, oid, name, *GIVEN.get(op, ()))
                if answer is None:
                    return f"the link ended at {op.name} of {name!r}"
                if told(answer) and (
                    name or op in (Operation.GET, Operation.SET, Operation.DELETE)
                ):
                    return f"{op.name} of {name!r} gave {answer.value!r}"[:200]
    return None


@attack()
def hidden_members_behind_exposed_ones(target: Victim) -> str | None:
    """The same by paths."""
    with target.let_in() as client:
        root = client.root()
        for path in (
            "echo.__globals__", "echo.__func__.__globals__", "echo.__self__.secret", "thing.secret",
            "echo.__code__", "echo.__call__.__self__", "told.source", "told.owner", ".secret",
            "secret.", "a.b." * 5_000, "echo.__get__",
        ):  # fmt: skip
            for op in (Operation.GET, Operation.CALL, Operation.OBTAIN, Operation.REPR):
                if told(answer := client.ask(op, root, path)):
                    return f"{op.name} of {path[:50]} gave {answer.value!r}"
    return None


@attack()
def what_lists_tell(target: Victim) -> str | None:
    """The names of what is not exposed."""
    with target.let_in() as client:
        root = client.root()
        for op, *args in (
            (Operation.DIR,), (Operation.NAMES,), (Operation.DESCRIBE,),
            (Operation.DESCRIBE, "keys"),
            (Operation.DESCRIBE, "page", 0, 100), (Operation.DISPLAY,), (Operation.ROOT,),
        ):  # fmt: skip
            answer = client.ask(op, root, "", *args)
            if "hidden" in repr(answer) or "'secret'" in repr(answer):
                return f"{op.name} names it: {answer!r}"[:200]
    return None


@attack()
def code_where_none_is_allowed(target: Victim) -> str | None:
    """Code, by every operation that runs some."""
    with target.let_in() as client:
        root = client.root()
        for oid in (0, root):
            for op, name, *args in (
                (Operation.IMPORT, CANARY), (Operation.IMPORT, "os"), (Operation.EVALUATE, CODE),
                (Operation.EXECUTE, CODE), (Operation.EXECUTE, "", "namespace"),
                (Operation.EXECUTE, "", "traceback"), (Operation.EXECUTE, "", "push", {"x": 1}),
                (Operation.CELL, CODE, "", 1, {}, ()), (Operation.COMPLETE, f"{CANARY}.", 3),
                (Operation.INSPECT, CANARY, 3, 0),
            ):  # fmt: skip
                if told(answer := client.ask(op, oid, name, *args)):
                    return f"{op.name} gave {answer.value!r}"
    return None


@attack()
def operations_that_there_are_not(target: Victim) -> str | None:
    """Something that the server has forgotten to check."""
    for op in (-1, 0, 28, 99, 255, 2**31, 2**63 - 1):
        with contextlib.suppress(OSError), target.let_in() as client:
            root = client.root()
            if told(client.ask(op, root, "secret")):
                return f"operation {op}"
    return None


@attack()
def special_methods_that_are_not_safe(target: Victim) -> str | None:
    """Any method by the operation for special ones."""
    with target.let_in() as client:
        root = client.root()
        thing = client.thing(root)
        for oid, name in itertools.product((root, thing), (*HIDDEN, "exposed_echo", "hidden")):
            for args in ((), ("secret",), ("secret", 5)):
                if told(answer := client.ask(Operation.SPECIAL, oid, name, *args)):
                    return f"{name} gave {answer.value!r}"
    return None


@attack()
def special_methods_where_none_are_allowed(target: Victim) -> str | None:
    """What repr(), str(), hash(), len() and items say, where special methods are not allowed."""
    with target.let_in("strict") as client:
        root = client.root()
        for op in (Operation.REPR, Operation.STR, Operation.HASH, Operation.DISPLAY):
            if told(answer := client.ask(op, root)):
                return f"{op.name} gave {answer.value!r}"
        generator = client.thing(root, "generator")
        if told(client.ask(Operation.STREAM, generator, "", 10)):
            return "items of a generator"
    return None


@attack()
def frames_of_what_is_public(target: Victim) -> str | None:
    """Everything: f_builtins of a frame, where public names are served."""
    with target.let_in("public") as client:
        root = client.root()
        for path in (
            "walk.gi_frame", "walk.gi_code", "coroutine.cr_frame", "module.system", "module",
            "frame", "frame.f_globals", "trace", "trace.tb_frame", "code", "code.co_consts",
            "function.__globals__", "walk.gi_frame.f_builtins", "module.environ",
        ):  # fmt: skip
            for op in (Operation.GET, Operation.OBTAIN, Operation.DESCRIBE, Operation.REPR):
                if told(answer := client.ask(op, root, path)):
                    return f"{op.name} of {path} gave {answer.value!r}"
    return None


@attack()
def events_that_are_hidden(target: Victim) -> str | None:
    """What the service tells itself."""
    with target.let_in() as client:
        root = client.root()
        for name in ("_secret_event", "exposed_echo", "secret", "told.source", "", "hidden"):
            if told(client.ask(Operation.SUBSCRIBE, root, name, 1, "latest", 1)):
                return f"{name} is subscribed"
    return None


# ---- work


@attack()
def powers_of_what_was_delivered(target: Victim) -> str | None:
    """A server that computes for hours: 9 ** 9 ** 9 of a number that it was made to keep."""
    with target.let_in() as client:
        client.sock.settimeout(1)
        for name, value, args in (
            ("__pow__", 9, (9**9,)), ("__lshift__", 1, (10**10,)), ("__rpow__", 10**9, (9,)),
            ("__mul__", "x" * 1_000, (10**6,)), ("__mul__", b"x" * 1_000, (10**6,)),
            ("__format__", "x", ("999999999",)), ("__mod__", "%999999999d", (1,)),
            ("__format__", 1, ("999999999d",)), ("__mul__", (1, 2, 3), (10**8,)),
        ):  # fmt: skip
            ref = client.value(Operation.DELIVER, 0, "", value)
            if type(ref) is codec.Ref:
                client.request(Operation.SPECIAL, ref.oid, name, *args)
                with contextlib.suppress(TimeoutError):
                    client.reply_to(client.seq)
    return None


@attack()
def copies_of_the_root(target: Victim) -> str | None:
    """What is in the root, by value."""
    with target.let_in() as client:
        root = client.root()
        answer = client.ask(Operation.OBTAIN, root)
        if told(answer) and type(answer.value) is not codec.Ref:
            return f"{answer.value!r}"[:100]
    return None


@attack()
def requests_twice_and_backwards(target: Victim) -> str | None:
    """Two answers to one request, or the answer to somebody else's."""
    for seqs in ([1, 1], [0], [-1], [2**63], [5, 4, 5, 4]):
        with contextlib.suppress(OSError, OverflowError), target.let_in() as client:
            root = client.root()
            for seq in seqs:
                client.send(Kind.REQUEST, seq, Operation.REPR, root, "", [], None)
            client.closed(0.1)
    return None


@attack()
def deadlines_and_parents_that_are_none(target: Victim) -> str | None:
    """A call that never ends, or runs within somebody else's."""
    with target.let_in() as client:
        root = client.root()
        for rest in (
            (10**6, 1.0),
            (-1, 1.0),
            (0, -5.0),
            (0, 0.0),
            (0, 1e308),
            (0, 1e-300),
            (1, None),
        ):
            client.ask(Operation.CALL, root, "echo", 1, rest=rest)
    for timeout in (float("nan"), float("inf"), float("-inf")):
        with contextlib.suppress(OSError), target.let_in() as client:
            client.ask(Operation.CALL, client.root(), "echo", 1, rest=(0, timeout))
    return None


@attack()
def cancels_of_everything(target: Victim) -> str | None:
    """Somebody else's call, stopped."""
    with target.let_in() as client, target.let_in() as other:
        its = other.request(Operation.CALL, other.root(), "echo", 1)
        for seq in (its, 0, -1, 2**62, *range(200)):
            client.send(Kind.CANCEL, seq)
        return None if told(other.reply_to(its)) else "another's call was stopped"


@attack()
def callbacks_within_callbacks(target: Victim) -> str | None:
    """The stack of the server, or a thread of it for each level."""
    with target.let_in() as client:
        root = client.root()
        function = client.lend(kind="function", specials=("__call__",))
        seq = client.request(Operation.CALL, root, "call", function)
        for _ in range(400):
            asked = client.receive()
            if type(asked) is not messages.Request:
                break
            client.request(Operation.CALL, root, "call", function, rest=(asked.seq,))
        threads = target.state()["threads"]
        del seq
    return f"{threads} threads" if threads > 260 else None


@attack()
def callbacks_that_never_answer(target: Victim) -> str | None:
    """Threads of the server that wait for ever, and others that wait for them."""
    with target.let_in() as client:
        root = client.root()
        function = client.lend(kind="function", specials=("__call__",))
        for _ in range(100):
            client.request(Operation.CALL, root, "call", function)
            function = codec.Ref(function.oid, function.key)
        time.sleep(0.3)  # all of them wait by now
        with target.let_in() as other:
            other.sock.settimeout(2)
            try:
                other.ask(Operation.CALL, other.root(), "echo", 1)
            except TimeoutError:
                return "nobody else is served"
    return None


def raising(target: Victim, name: str) -> Any:
    """Have a callback raise in the service."""
    function = reference(1, 1, description(kind="function", specials=("__call__",)))
    error = messages.Error(name, [7], f"{name}: text", CODE)
    return handed(target, "guarded", function, answer=error)


@attack()
def exceptions_that_pass_every_except(target: Victim) -> str | None:
    """The end of a service's code that catches every Exception."""
    for name in (
        "SystemExit", "KeyboardInterrupt", "GeneratorExit", "BaseException", "BaseExceptionGroup",
        "asyncio.exceptions.CancelledError", "StopIteration", "StopAsyncIteration", "eval", "open",
        f"{CANARY}.Error", "os.system", "nbrpc.session.job.Cancelled", "Cancelled",
    ):  # fmt: skip
        answer = raising(target, name)
        if answer is not None and (not told(answer) or answer.value != "handled"):
            return f"{name}: {answer!r}"
    return None


@attack()
def exceptions_at_the_end_of_a_context(target: Victim) -> str | None:
    """An exception of one's choice in the ``__exit__`` of a service, or any class called."""
    with target.let_in() as client:
        root = client.root()
        for oid in (root,):
            for name in ("SystemExit", "eval", "os.system", f"{CANARY}.X", ""):
                for args in ((name, (CODE,), CODE),), ((name,),), (5,), (None,):
                    if told(client.ask(Operation.EXCHANGE, oid, "", *args)):
                        return f"the root was left with {name}"
    return None


# ---- bytes and floods


@attack()
def headers_of_gigabytes(target: Victim) -> str | None:
    """A server that waits for 4 GB, or takes memory for them."""
    for data in (
        HEADER.pack(2**32 - 1, Kind.REQUEST, 0, 0), HEADER.pack(10, Kind.REQUEST, 0, 65535),
        HEADER.pack(0, Kind.REQUEST, 0, 1) + struct.pack("<Q", 2**63),
        HEADER.pack(0, Kind.REQUEST, 1, 2) + struct.pack("<QQI", 2**40, 2**40, 1),
        HEADER.pack(5, 16, 0, 0) + struct.pack("<IB", 77, 1), HEADER.pack(4, 16, 0, 0) + bytes(4),
        HEADER.pack(0, Kind.REQUEST, 0xFE, 0), HEADER.pack(1, 200, 0, 0) + b"\xc0",
        HEADER.pack(0, 0, 0, 0), HEADER.pack(0, Kind.PING, 0, 1) + struct.pack("<Q", 0),
    ):  # fmt: skip
        # Those that promise more than they bring may be waited for, but not in memory.
        poured(target, data + bytes(1000), 0.1)
    return None


@attack()
def lengths_that_lie(target: Victim) -> str | None:
    """Memory for elements that are announced and never come."""
    for body in (
        b"\xdd\xff\xff\xff\xff", b"\x97\x01\x05\x01\xa1x\xdd\x7f\xff\xff\xff",
        b"\xdf\xff\xff\xff\xff",
        b"\x97\x01\x05\x01\xdb\xff\xff\xff\xff", b"\xc6\xff\xff\xff\xff",
        b"\xc9\xff\xff\xff\xff\x01",
    ):  # fmt: skip
        data = HEADER.pack(len(body), Kind.REQUEST, 0, 0) + body
        if not poured(target, data):
            return f"{body.hex()} was taken"
    return None


@attack(budget=40 * MEGABYTE)  # for the 300 kB that are sent
def elements_without_end(target: Victim) -> str | None:
    """Memory for objects of one byte each."""
    for item in (b"\xc0", b"\x92\x02\x90"):
        count = 300_000 // len(item)
        body = b"\x97\x05\x05\x01\xa4echo\x91\x92\x02\xdd" + struct.pack(">I", count) + item * count
        body += b"\xc0\x00"
        poured(target, HEADER.pack(len(body), Kind.REQUEST, 0, 0) + body)
    return None


@attack()
def transfers_that_are_never_finished(target: Victim) -> str | None:
    """Memory for large messages, 64 and more at once."""
    head = HEADER.pack(1, Kind.REQUEST, 1, 1) + b"\xc0" + struct.pack("<Q", 10**6)
    opening = b"".join(head + struct.pack("<I", number) for number in range(200))
    poured(target, opening)
    return None


@attack()
def answers_to_nothing(target: Victim) -> str | None:
    """A call of the server's ended by an answer of the attacker's; objects in its tables."""
    error = messages.Error(f"{CANARY}.Error", [1], "text")
    for data in (
        b"".join(
            message(Kind.REPLY, 10**6 + n, reference(n, n, description())) for n in range(2_000)
        ),
        b"".join(message(Kind.FAILURE, 10**6 + n, error) for n in range(2_000)),
    ):
        if not poured(target, data):
            return "2,000 of them are borne"
    for data in (
        b"".join(message(Kind.ITEMS, n, [reference(n, n, description())]) for n in range(1, 900)),
        b"".join(message(Kind.EVENT, n, [n], 0) for n in range(5_000)),
        b"".join(message(Kind.PROGRESS, n, 1.0, None, "x") for n in range(5_000)),
        b"".join(message(Kind.OUTPUT, n, "stdout", "x") for n in range(5_000)),
        b"".join(message(Kind.CREDIT, "s", n, 2**31) for n in range(5_000)),
        b"".join(message(Kind.PONG, n) for n in range(5_000)),
    ):
        poured(target, data, 0.1)
    return None


@attack(budget=24 * MEGABYTE)
def pings_without_end(target: Victim) -> str | None:
    """Memory for the answers, which are not read."""
    data = b"".join(message(Kind.PING, n) for n in range(50_000))
    with contextlib.suppress(OSError), target.let_in() as client:
        client.sock.settimeout(1)
        for _ in range(20):
            client.raw(data)
    return None


@attack(budget=40 * MEGABYTE)
def requests_without_end(target: Victim) -> str | None:
    """Memory, threads, and the patience of other clients: 20,000 at once."""
    with contextlib.suppress(OSError), target.let_in() as client:
        root = client.root()
        client.sock.settimeout(1)
        data = [
            message(Kind.REQUEST, n, Operation.CALL, root, "echo", [n], None)
            for n in range(2, 20_002)
        ]
        client.raw(b"".join(data))
    return None


@attack(budget=40 * MEGABYTE)
def large_answers_that_are_not_read(target: Victim) -> str | None:
    """Memory for all that waits to be sent."""
    with contextlib.suppress(OSError), target.let_in() as client:
        root = client.root()
        client.sock.settimeout(1)
        for _ in range(100):
            client.request(Operation.CALL, root, "blob")
        time.sleep(0.4)  # the answers pile up meanwhile
    return None


@attack()
def subscriptions_without_end(target: Victim) -> str | None:
    """Memory for the queues of events that nobody takes."""
    with target.let_in() as client:
        root = client.root()
        first = client.seq + 1
        for channel in range(5_000):
            client.request(Operation.SUBSCRIBE, root, "told", channel, "oldest", 1_000)
        granted = 0
        for seq in range(first, first + 5_000):
            answer = client.reply_to(seq)
            if answer is None:
                return None
            granted += told(answer)
        return f"{granted} subscriptions" if granted > 1_500 else None


@attack()
def samples_without_pause(target: Victim) -> str | None:
    """The processor, by a getter that is sampled all the time."""
    with target.let_in() as client:
        root = client.root()
        for number, every in enumerate((0.0, -1.0, 1e-9, float("nan"), float("inf"), 10**400, "x")):
            with contextlib.suppress(OSError, OverflowError):
                if told(client.ask(Operation.WATCH, root, "list", number, "latest", 1, every)):
                    return f"every {every} s"
    return None


@attack()
def streams_with_all_credit(target: Victim) -> str | None:
    """Memory and the processor, by items that are not read."""
    for credit in (2**31, 2**63 - 1, 0, -1):
        with target.let_in() as client:
            endless = client.thing(client.root(), "endless")
            client.request(Operation.STREAM, endless, "", credit)
            time.sleep(0.3)  # it runs ahead, as far as it is let
    return None


@attack()
def pages_of_anything(target: Victim) -> str | None:
    """Members that are hidden, by the pages of an explorer; or a list of everything."""
    with target.let_in() as client:
        root = client.root()
        for args in (
            ("page", -1, 10**9), ("page", 0, 2**62), ("item", "__class__"), ("value", "secret"),
            ("attribute", "secret"), ("member", "hidden"), ("keys", 10**9),
            ("page", "x", "y"), (5,),
        ):  # fmt: skip
            answer = client.ask(Operation.DESCRIBE, root, "", *args)
            if "s3cret" in repr(answer):
                return f"{args}: {answer!r}"[:200]
            if answer is None:
                return None
    return None


@attack()
def links_that_end_anywhere(target: Victim) -> str | None:
    """Something that is left behind by half a message."""
    whole = message(Kind.REQUEST, 2, Operation.CALL, 1, "echo", [box([1] * 50)], None)
    for cut in range(0, len(whole), 7):
        with target.let_in() as client:
            client.root()
            client.raw(whole[:cut])
    return None
