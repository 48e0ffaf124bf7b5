"""Attacks in RPyC's protocol: on nbrpc's servers that let RPyC's clients in, and on stock RPyC."""

from __future__ import annotations

import contextlib
import pickle
import struct
import time
import zlib
from typing import Any

from nbrpc.errors import NbrpcError
from nbrpc.protocol.rpyc import brine
from tests.hostile.attacks import MEGABYTE, Victim, attack, echo
from tests.hostile.watching import CANARY
from tests.session.rpyc.raw import (
    BUFFITER,
    CALL,
    CALLATTR,
    CMP,
    CTXEXIT,
    DEL,
    DELATTR,
    DIR,
    EXCEPTION,
    GETATTR,
    GETROOT,
    HASH,
    INSPECT,
    INSTANCECHECK,
    NOTHING,
    OLDSLICING,
    PICKLE,
    PING,
    REPLY,
    REPR,
    REQUEST,
    SETATTR,
    STR,
    Raw,
    framed,
    home,
    items,
    lent,
    message,
    value,
)

NO_ARGS = (NOTHING, NOTHING)

Answers = dict[int, tuple[int, Any]]
"""From what the server asks meanwhile to the kind of an answer and its body."""

SECRET = "s3cret-of-the-victim"


class Mkdir:
    """Pickled, it makes a folder where it is loaded."""

    def __reduce__(self) -> Any:
        import os

        return os.mkdir, (f"/tmp/{CANARY}/none/such",)


PICKLED = pickle.dumps(Mkdir(), 2)


def called(raw: Raw, root: Any, name: str, *boxes: Any) -> Any:
    """Call a method of the root; give the kind and the body of the answer."""
    given = items(*boxes) if boxes else NOTHING
    return raw.answer(CALLATTR, home(root), value(name), given, NOTHING)


def got(raw: Raw, root: Any, name: str) -> Any:
    """Have the root give an object; give its name."""
    answer = called(raw, root, name)
    assert answer is not None
    return answer[1][1]


def answering(
    raw: Raw, seq: int, answers: Answers, methods: tuple[str, ...] = ()
) -> tuple[int, Any] | None:
    """Answer what the server asks meanwhile; give what it says in the end."""
    while (arrived := raw.receive()) is not None:
        kind, number, body = arrived
        if kind != REQUEST:
            if number == seq:
                return kind, body
            continue
        handler = body[0]
        if handler == INSPECT:
            raw.send(REPLY, number, value(tuple((name, None) for name in methods)))
        elif handler in answers:
            sort, content = answers[handler]
            raw.send(sort, number, content)
        else:
            error = (("builtins", "AttributeError"), ("no",), (), "no")
            raw.send(EXCEPTION, number, error)
    return None


def handed(
    target: Victim, name: str, class_name: str, answers: Answers | None = None,
    methods: tuple[str, ...] = (),
) -> Any:  # fmt: skip
    """Call a method of the root with an object of ours; give what the server answers."""
    with target.rpyc() as raw:
        root = raw.root()
        thing = lent((class_name, 7, 99))
        seq = raw.ask(CALLATTR, home(root), value(name), items(thing), NOTHING)
        return answering(raw, seq, answers or {}, methods)


# ---- objects


@attack(control=True)
def addresses_of_memory(target: Victim) -> str | None:
    """Where objects lie in the server's memory, which is half of an exploit."""
    with target.rpyc() as raw:
        _, *numbers = raw.root()
        return "the address of the root" if set(numbers) & set(target.identities) else None


@attack()
def ids_of_another_connection(target: Victim) -> str | None:
    """An object that the server handed to somebody else."""
    with target.rpyc() as mine, target.rpyc() as other:
        root, its_root = mine.root(), other.root()
        thing = got(other, its_root, "thing")
        for forged in (thing, ("x.Y", 5, 2**40), ("x.Y", 5, -1), ("x.Y", 0, 0), ("", 0, 2**70)):
            for request in (
                (REPR, home(forged)), (STR, home(forged)), (DIR, home(forged)),
                (GETATTR, home(forged), value("filling")), (CALL, home(forged), *NO_ARGS),
                (CALLATTR, home(root), value("echo"), items(home(forged)), NOTHING),
                (INSPECT, value(forged)), (BUFFITER, home(forged), value(5)),
                (PICKLE, home(forged), value(2)),
                (CMP, home(forged), home(forged), value("__eq__")),
            ):  # fmt: skip
                if (answer := mine.answer(*request)) is None or answer[0] != EXCEPTION:
                    return f"{request} gave {answer}"
    return None


@attack(control=True)
def releases_below_zero(target: Victim) -> str | None:
    """An object that stays in the server's memory although its holder has given it back."""
    with target.rpyc() as raw:
        root = raw.root()
        before = target.state()["things"]
        for _ in range(20):
            thing = got(raw, root, "thing")
            raw.answer(DEL, home(thing), value(-(10**9)))
            raw.answer(DEL, home(thing), value(1))
        pinned = target.state()["things"] - before
        return f"{pinned} objects are pinned" if pinned > 1 else None


@attack()
def releases_of_anything(target: Victim) -> str | None:
    """The tables of the server in disorder, or the object of somebody else dropped."""
    with target.rpyc() as mine, target.rpyc() as other:
        root, its_root = mine.root(), other.root()
        thing = got(other, its_root, "thing")
        for count in (0, 10**9, 2**63, None, "1", 1.5, (), b"1", True):
            mine.answer(DEL, home(thing), value(count))
            mine.answer(DEL, home(root), value(count))
        return None if other.answer(REPR, home(thing))[0] == REPLY else "another's object dropped"


@attack(control=True)
def more_objects_than_allowed(target: Victim) -> str | None:
    """As much of the server's memory as there is, by holding objects."""
    with target.rpyc() as raw:
        root = raw.root()
        for number in range(1_200):
            answer = called(raw, root, "thing")
            if answer is None or answer[0] == EXCEPTION:
                return None if number else "it gives none at all"
        return "1,200 objects are held"


@attack(control=True)
def more_connections_than_allowed(target: Victim) -> str | None:
    """A thread of the server for each connection, without end."""
    with contextlib.ExitStack() as stack:
        links = []
        for _ in range(80):
            raw = stack.enter_context(target.rpyc())
            raw.sock.settimeout(1)
            with contextlib.suppress(OSError, AssertionError, TypeError):
                links.append((raw, raw.root()))
        alive = 0
        for raw, root in links:
            with contextlib.suppress(OSError):
                alive += echo(raw, root)
        return f"{alive} connections" if alive > 64 else None


# ---- classes and copies


@attack(control=True)
def passing_for_another_class(target: Victim) -> str | None:
    """The rights of a class that the server decides by: isinstance(x, Admin) is true of a proxy."""
    answer = handed(target, "is_admin", "__main__.Admin")
    return "isinstance(x, Admin)" if answer == (REPLY, value(True)) else None


@attack(control=True)
def passing_for_an_int(target: Victim) -> str | None:
    """A check of an argument's type passed by what is no int at all."""
    answer = handed(target, "is_int", "builtins.int")
    return "isinstance(x, int)" if answer == (REPLY, value(True)) else None


@attack(control=True)
def passing_for_a_text(target: Victim) -> str | None:
    """The same for str and bytes; containers pass for what they are on both sides, as RPyC's do."""
    for name in ("str", "bytes"):
        if handed(target, "is_str", f"builtins.{name}") == (REPLY, value(True)):
            return f"isinstance(x, {name})"
    return None


@attack(control=True)
def running_the_getattr_of_a_module(target: Victim) -> str | None:
    """Code of a module that the server has loaded, run by naming a class of it."""
    handed(target, "is_admin", f"{CANARY}.anything")
    marks = target.state()["marks"]
    return next((mark for mark in marks if mark == "looked up anything"), None)


@attack(control=True)
def pickles_for_copies(target: Victim) -> str | None:
    """Code, when the service makes a copy of what it was handed (copy.copy)."""
    before = len(target.state()["events"])
    answers = {PICKLE: (REPLY, value(PICKLED))}
    handed(target, "copied", "evil.Copied", answers, ("__reduce_ex__",))
    return "; ".join(target.state()["events"][before:])


@attack(control=True)
def pickles_for_deep_copies(target: Victim) -> str | None:
    """The same by copy.deepcopy of a dict in which the object is."""
    before = len(target.state()["events"])
    answers = {PICKLE: (REPLY, value(PICKLED))}
    handed(target, "deeply", "evil.Deep", answers, ("__reduce_ex__",))
    return "; ".join(target.state()["events"][before:])


@attack()
def pickles_for_arrays(target: Victim) -> str | None:
    """The same by numpy.array, as in CVE-2024-27758."""
    answers = {PICKLE: (REPLY, value(PICKLED)), CALLATTR: (REPLY, value(PICKLED))}
    handed(target, "as_array", "evil.Array", answers, ("__array__", "__array_interface__"))
    return None


@attack()
def hooks_of_buffers_paths_and_texts(target: Victim) -> str | None:
    """Bytes or a path of the attacker's choosing where the service asked Python for one."""
    for name in ("as_buffer", "path", "told", "listed", "length"):
        answers = {
            CALLATTR: (REPLY, value(b"x")),
            STR: (REPLY, value("x")),
            REPR: (REPLY, value("x")),
        }
        methods = (
            "__buffer__",
            "__fspath__",
            "__array_interface__",
            "__json__",
            "__len__",
            "__iter__",
        )
        answer = handed(target, name, "evil.Hook", answers, methods)
        if name in ("as_buffer", "path") and answer is not None and answer[0] == REPLY:
            return f"{name} gave {answer}"
    return None


@attack()
def lengths_that_are_none(target: Victim) -> str | None:
    """A length or a hint of one that makes the server take memory for it."""
    for length in (2**62, 2**100, -1, "x"):
        answers = {CALLATTR: (REPLY, value(length))}
        handed(target, "listed", "evil.Long", answers, ("__len__", "__length_hint__", "__iter__"))
        handed(target, "length", "evil.Long", answers, ("__len__", "__length_hint__"))
    return None


# ---- exceptions


def raised(target: Victim, method: str, name: str) -> Any:
    """Have a callback of ours raise; give what the service made of it."""
    error = (("builtins", name), (7,), (), "text")
    with target.rpyc() as raw:
        root = raw.root()
        function = lent(("builtins.function", 5, 9))
        given = items(items(function)) if method == "looped" else items(function)
        seq = raw.ask(CALLATTR, home(root), value(method), given, NOTHING)
        return answering(raw, seq, {CALL: (EXCEPTION, error), CALLATTR: (EXCEPTION, error)})


@attack(control=True)
def raising_SystemExit(target: Victim) -> str | None:
    """The end of a service's code that catches every Exception."""
    answer = raised(target, "guarded", "SystemExit")
    return None if answer == (REPLY, value("handled")) else f"the service: {answer}"


@attack(control=True)
def raising_KeyboardInterrupt(target: Victim) -> str | None:
    """The same with KeyboardInterrupt."""
    answer = raised(target, "guarded", "KeyboardInterrupt")
    return None if answer == (REPLY, value("handled")) else f"the service: {answer}"


@attack(control=True)
def raising_GeneratorExit(target: Victim) -> str | None:
    """The same with GeneratorExit."""
    answer = raised(target, "guarded", "GeneratorExit")
    return None if answer == (REPLY, value("handled")) else f"the service: {answer}"


@attack()
def raising_what_is_no_exception(target: Victim) -> str | None:
    """Any callable of the server, called as if it were the class of an exception."""
    for name in ("eval", "exec", "open", "type", "object", "__import__", "BaseException", ""):
        error = (("builtins", name), (f"open('/tmp/{CANARY}')",), (("__class__", "x"),), "text")
        with target.rpyc() as raw:
            root = raw.root()
            function = lent(("builtins.function", 5, 9))
            seq = raw.ask(CALLATTR, home(root), value("guarded"), items(function), NOTHING)
            answering(raw, seq, {CALL: (EXCEPTION, error), CALLATTR: (EXCEPTION, error)})
    return None


@attack(control=True, budget=12 * MEGABYTE)
def exceptions_that_nobody_asked_for(target: Victim) -> str | None:
    """Classes that are made for their names, and stay when the attacker has gone."""
    before = target.memory()
    with contextlib.suppress(OSError), target.rpyc() as raw:
        raw.root()
        for number in range(6_000):
            raw.send(EXCEPTION, 10**6, ((CANARY, f"Error{number}"), (), (), ""))
        raw.closed()
    time.sleep(0.1)  # the server has read to the end by now, or the next look takes longer
    grown = target.memory() - before
    return f"{grown / MEGABYTE:.0f} MB for ever" if grown > 8 * MEGABYTE else None


# ---- names

HIDDEN = (
    "__class__", "__globals__", "__dict__", "__init__", "__subclasses__", "__mro__", "__bases__",
    "__code__", "__closure__", "__func__", "__self__", "__builtins__", "__reduce_ex__",
    "__reduce__",
    "__getattribute__", "__setattr__", "__delattr__", "__new__", "__del__", "__init_subclass__",
    "secret", "hidden", "exposed_echo.__func__", "echo.__globals__", "exposed_",
    "exposed___class__",
    "", ".", "_", "__", "\0", "echo\0", " echo", "exposed_hidden",
)  # fmt: skip


@attack()
def hidden_names(target: Victim) -> str | None:
    """A member that is not exposed: read, written, deleted, called or compared with."""
    with target.rpyc() as raw:
        root = raw.root()
        thing = got(raw, root, "thing")
        for name in HIDDEN:
            for spelled in (name, name.encode()):
                for item in (root, thing):
                    for request in (
                        (GETATTR, home(item), value(spelled)),
                        (SETATTR, home(item), value(spelled), value(5)),
                        (DELATTR, home(item), value(spelled)),
                        (CALLATTR, home(item), value(spelled), *NO_ARGS),
                        (CMP, home(item), value(1), value(spelled)),
                    ):
                        answer = raw.answer(*request)
                        if answer is not None and answer[0] == REPLY:
                            return f"{request} gave {answer}"
    return None


@attack(control=True)
def names_that_dir_tells(target: Victim) -> str | None:
    """What there is that is not exposed."""
    with target.rpyc() as raw:
        kind, body = raw.answer(DIR, home(raw.root()))
        return "dir names hidden" if kind == REPLY and "hidden" in body[1] else None


@attack(control=True)
def names_that_inspection_tells(target: Victim) -> str | None:
    """The same by INSPECT."""
    with target.rpyc() as raw:
        answer = raw.answer(INSPECT, value(raw.root()))
        return "INSPECT names hidden" if answer and "'hidden'" in repr(answer) else None


def walked(target: Victim, *path: str) -> str | None:
    """Walk attributes of a service that serves what is public; say how far that led."""
    with target.rpyc("public") as raw:
        here = raw.root()
        for name in path:
            answer = raw.answer(GETATTR, home(here), value(name))
            if answer is None or answer[0] != REPLY:
                return None
            if answer[1][0] != 4:
                return f"{'.'.join(path)} is {answer[1]}"
            here = answer[1][1]
        return f"{'.'.join(path)} is {here}"


@attack(control=True)
def code_by_the_frame_of_a_generator(target: Victim) -> str | None:
    """Everything: gi_frame.f_builtins has __import__."""
    return walked(target, "walk", "gi_frame", "f_builtins")


@attack(control=True)
def code_by_the_frame_of_a_coroutine(target: Victim) -> str | None:
    """The same by a coroutine."""
    return walked(target, "coroutine", "cr_frame", "f_builtins")


@attack(control=True)
def code_by_a_module(target: Victim) -> str | None:
    """The same by a module that the service keeps: os.system."""
    return walked(target, "module", "system")


@attack(control=True)
def code_by_a_frame(target: Victim) -> str | None:
    """The same by a frame that the service keeps."""
    return walked(target, "frame", "f_globals")


@attack(control=True)
def code_by_a_traceback(target: Victim) -> str | None:
    """The same by a traceback."""
    return walked(target, "trace", "tb_frame", "f_globals")


@attack(control=True)
def constants_of_code(target: Victim) -> str | None:
    """What stands in the code of the service."""
    return walked(target, "code", "co_consts")


@attack()
def code_by_dunders_of_what_is_public(target: Victim) -> str | None:
    """The same by special names, which are not public."""
    for path in (("function", "__globals__"), ("walk", "__class__"), ("echo", "__func__")):
        if found := walked(target, *path):
            return found
    return None


def strictly(target: Victim, *requests: tuple[Any, ...]) -> str | None:
    """Ask a service that allows no special methods; say what was told."""
    with target.rpyc("strict") as raw:
        root = raw.root()
        for handler, *boxes in requests:
            answer = raw.answer(handler, home(root), *boxes)
            if answer is not None and answer[0] == REPLY:
                return f"{handler} gave {answer[1]}"[:150]
    return None


@attack(control=True)
def texts_of_what_has_none_for_peers(target: Victim) -> str | None:
    """What repr() and str() say of the root, where special methods are not allowed."""
    return strictly(target, (REPR,), (STR,))


@attack(control=True)
def hashes_that_are_not_for_peers(target: Victim) -> str | None:
    """What hash() says of it: an address."""
    return strictly(target, (HASH,))


@attack()
def methods_by_the_name_of_a_comparison(target: Victim) -> str | None:
    """Any method, called as an operator: CVE-2019-16328."""
    with target.rpyc() as raw:
        root = raw.root()
        for name in ("__setattr__", "__getattribute__", "__cmp__", "__call__", "echo", "hidden"):
            answer = raw.answer(CMP, home(root), value("secret"), value(name))
            if answer is not None and answer[0] == REPLY:
                return f"{name} gave {answer[1]}"
    return None


@attack(control=True)
def items_where_iteration_is_not_allowed(target: Victim) -> str | None:
    """The items of a list, where special methods are not allowed."""
    with target.rpyc("strict") as raw:
        listed = got(raw, raw.root(), "list")
        answer = raw.answer(BUFFITER, home(listed), value(5))
        return f"{answer}" if answer is not None and answer[0] == REPLY else None


@attack()
def a_shell_of_a_service(target: Victim) -> str | None:
    """The methods of RPyC's classic mode."""
    with target.rpyc() as raw:
        root = raw.root()
        for name in ("getmodule", "eval", "execute", "getconn", "namespace", "modules"):
            if called(raw, root, name, value("os"))[0] == REPLY:
                return f"{name} is there"
    return None


@attack()
def pickles_of_the_servers_objects(target: Victim) -> str | None:
    """A copy with all that is hidden."""
    with target.rpyc() as raw:
        root = raw.root()
        for protocol in (0, 2, 5, -1, 10**6, None, "x"):
            if raw.answer(PICKLE, home(root), value(protocol))[0] == REPLY:
                return "a pickle of the root"
    return None


@attack()
def the_relics_of_slices(target: Victim) -> str | None:
    """Any method, by the two names that OLDSLICING takes."""
    with target.rpyc() as raw:
        root = raw.root()
        for names in (
            ("__getitem__", "__getattribute__"),
            ("hidden", "hidden"),
            ("secret", "secret"),
        ):
            boxes = (value(names[0]), value(names[1]), value(0), value(1), NOTHING)
            if raw.answer(OLDSLICING, home(root), *boxes)[0] == REPLY:
                return f"{names}"
    return None


@attack()
def leaving_what_was_not_entered(target: Victim) -> str | None:
    """The end of a context manager, or of anything else, with an exception of one's choice."""
    with target.rpyc() as raw:
        root = raw.root()
        for odd in (value(None), value("SystemExit: 1"), value("os.system: ls"), home(root)):
            if raw.answer(CTXEXIT, home(root), odd)[0] == REPLY:
                return "the root was left"
        raw.answer(INSTANCECHECK, home(root), value(("x", 1, 1)))
    return None


# ---- bytes


def poured(target: Victim, data: bytes, *, greeted: bool = True) -> bool:
    """Send bytes; say whether the server closes the connection soon."""
    with target.rpyc() as raw:
        if greeted:
            raw.root()
        with contextlib.suppress(OSError):
            raw.sock.sendall(data)
        raw.sock.settimeout(1.5)
        try:
            return raw.closed()
        except NbrpcError:  # it answered what is read here no more than there
            return False


@attack(control=True)
def a_web_page_that_calls_the_port(target: Victim) -> str | None:
    """A thread that waits for 1.2 GB, by what a browser sends (DNS rebinding)."""
    page = b"GET / HTTP/1.1\r\nHost: x\r\n\r\n"
    return None if poured(target, page, greeted=False) else "the server waits for more"


@attack(control=True)
def the_beginning_of_tls(target: Victim) -> str | None:
    """The same by what a client of TLS sends first."""
    hello = bytes.fromhex("16030100c8010000c40303") + bytes(190)
    return None if poured(target, hello, greeted=False) else "the server waits for more"


@attack(control=True)
def a_header_of_four_gigabytes(target: Victim) -> str | None:
    """As much memory as the attacker likes to send bytes."""
    data = struct.pack(">IB", 2**32 - 1, 0) + bytes(1000)
    return None if poured(target, data) else "the server waits for 4 GB"


@attack(control=True)
def garbage(target: Victim) -> str | None:
    """A thread that waits for what never comes."""
    return None if poured(target, b"\x7e\xdc\xba" * 50) else "the server waits for more"


@attack(control=True, budget=40 * MEGABYTE)
def a_bomb_of_zlib(target: Victim) -> str | None:
    """Gigabytes of memory for kilobytes sent."""
    packer = zlib.compressobj(9)
    zeros = bytes(MEGABYTE)
    data = b"".join([*(packer.compress(zeros) for _ in range(100)), packer.flush()])
    poured(target, framed(data, 1))
    return None


@attack(control=True)
def a_thousand_objects_for_a_byte(target: Victim) -> str | None:
    """The same by tuples of nothing: 85 MB for 2 kB."""
    count = 1_000_000
    one = brine.dumps((0,))
    many = brine.dumps((0,) * 300)[:1] + struct.pack(">I", count) + one * count
    head = b"\x01" + brine.dumps((0, 0))[:-1]
    poured(target, framed(zlib.compress(head + many, 9), 1))
    return None


@attack(control=True)
def hashes_that_collide(target: Victim) -> str | None:
    """The server busy for seconds with one set of numbers, and nobody else served."""
    step = 2**61 - 1
    numbers = frozenset(number * step for number in range(1, 12_001))
    poured(target, message("rpyc6", REQUEST, 1, (PING, items(value(numbers)))))
    return None


@attack()
def tuples_within_tuples(target: Victim) -> str | None:
    """The parser's stack, and a thread that waits for half a minute."""
    poured(target, framed(b"\x01" + b"\x10" * 200_000 + b"\x00"))
    return None


@attack()
def numbers_of_a_million_digits(target: Victim) -> str | None:
    """The processor, since reading them takes quadratic time."""
    poured(target, framed(b"\x01\x11\x17" + struct.pack(">I", 10**6) + b"9" * 10**6))
    return None


@attack()
def what_is_no_request(target: Victim) -> str | None:
    """A thread that dies, or waits."""
    for body in (
        (99, NOTHING), ((1,), NOTHING), (slice(1, 2, 3), NOTHING), (PING, (5, 1)),
        (PING, (1, 2, 3)), (CALL, NOTHING), (GETROOT, value((1, 2))), (CALL, value(5)),
        (REPR, items(home(("a", 1, 1, 1)))), (REPR, items(home(7))),
        (REPR, items(home(("a" * 2000, 1, 1)))),
    ):  # fmt: skip
        with target.rpyc() as raw:
            raw.root()
            raw.send(REQUEST, 1, body)
            raw.sock.shutdown(1)
            raw.closed()
    return None


# ---- floods


@attack(control=True)
def connections_that_say_one_byte(target: Victim) -> str | None:
    """A thread for each, for ever."""
    before = target.state()["threads"]
    with contextlib.ExitStack() as stack:
        for _ in range(60):
            stack.enter_context(target.rpyc()).sock.sendall(b"\0")
        time.sleep(0.3)  # they are accepted by now
        threads = target.state()["threads"] - before
    return f"{threads} threads" if threads > 30 else None


@attack(control=True)
def connections_that_hold_a_pool(target: Victim) -> str | None:
    """A server that serves nobody: each of its workers waits for the rest of a frame."""
    mode = "pool" if target.stock else "open"
    with contextlib.ExitStack() as stack:
        for _ in range(24):
            stack.enter_context(target.rpyc(mode)).sock.sendall(b"\0\0")
        time.sleep(0.3)  # they are accepted by now
        with target.rpyc(mode) as raw:
            raw.sock.settimeout(2)
            try:
                raw.root()
            except (TimeoutError, TypeError):
                return "nobody is served"
    return None


@attack(control=True, budget=24 * MEGABYTE)
def iterators_without_end(target: Victim) -> str | None:
    """As much memory as a number can ask for."""
    with target.rpyc() as raw:
        endless = got(raw, raw.root(), "endless")
        raw.sock.settimeout(10)
        with contextlib.suppress(NbrpcError):  # more items than are read here
            raw.answer(BUFFITER, home(endless), value(5_000_000))
    return None


@attack(budget=40 * MEGABYTE)
def answers_that_are_not_read(target: Victim) -> str | None:
    """Memory for all that waits to be sent."""
    with contextlib.suppress(OSError), target.rpyc() as raw:
        root = raw.root()
        raw.sock.settimeout(1)
        for _ in range(60):
            raw.ask(CALLATTR, home(root), value("blob"), *NO_ARGS)
        time.sleep(0.3)  # the answers pile up meanwhile
    return None


@attack()
def classes_that_are_never_told(target: Victim) -> str | None:
    """A server that asks for a class of ours, and waits: 200 times, each within the last."""
    with target.rpyc() as raw:
        root = raw.root()
        for number in range(200):
            thing = lent((f"evil.C{number}", number + 5, number + 1))
            raw.ask(CALLATTR, home(root), value("echo"), items(thing), NOTHING)
        time.sleep(0.2)  # what it asks, it has asked by now
        threads = target.state()["threads"]
    return f"{threads} threads wait" if threads > 40 else None


@attack(budget=40 * MEGABYTE)
def replies_that_nobody_asked_for(target: Victim) -> str | None:
    """Objects in the server's tables, or a call that another's reply ends."""
    with contextlib.suppress(OSError), target.rpyc() as raw:
        raw.root()
        for number in range(20_000):
            raw.send(REPLY, 10**6 + number, lent((f"a.B{number}", 1, number)))
    return None
