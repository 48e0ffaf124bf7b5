"""Traps for clients of nbrpc and for the IPython that they work in."""

from __future__ import annotations

import contextlib
import struct
import zlib
from typing import Any

from nbrpc.protocol import codec, messages
from nbrpc.protocol.codec import encode
from nbrpc.protocol.frames import HEADER
from nbrpc.protocol.messages import Kind, Operation
from nbrpc.protocol.rpyc import brine
from tests.hostile.attacks import MEGABYTE
from tests.hostile.native import Native, description, message, reference
from tests.hostile.rpyc_clients import PICKLED
from tests.hostile.traps import Raises, Raw, trap
from tests.hostile.watching import CANARY
from tests.session.rpyc import raw as rpyc

ESCAPES = "\x1b]0;owned\x07\x1b[2J\x9b5n\u202egpj.exe\u2066"
SCRIPT = "<script>alert(1)</script><img src=x onerror=alert(1)>"
FAIL = {"fail": "method"}
ALL = (
    "__reduce_ex__", "__reduce__", "__copy__", "__deepcopy__", "__getstate__", "__array__",
    "__array_interface__", "__array_struct__", "__fspath__", "__buffer__", "__bytes__", "__len__",
    "__length_hint__", "__iter__", "__next__", "__getitem__", "__bool__", "__hash__", "__eq__",
    "__lt__", "__contains__", "__int__", "__float__", "__index__", "__enter__", "__exit__",
    "__await__", "__call__", "__format__", "__dir__", "__del__", "__class__", "__getattribute__",
    "_repr_html_", "_repr_mimebundle_", "_ipython_display_", "_repr_javascript_", "_repr_json_",
)  # fmt: skip
"""Every special method that a library might look for."""

# ---- hooks of copies, arrays, paths and texts

for action in (
    "copy", "deepcopy", "pickle", "json", "array", "series", "table", "path", "open", "memoryview",
    "bytes", "sorted", "log", "format", "join", "await", "with", "next", "in", "equal",
):  # fmt: skip
    trap(
        f"hooks of {action}",
        "Code, by bytes that a library takes for a pickle, or a value in the user's name.",
        action,
        {"": PICKLED},
        specials=ALL,
    )
for action in ("copy", "deepcopy"):
    trap(
        f"a pickle for {action}",
        "The same, where the server says of its object that only its pickle is special.",
        action,
        {"__reduce_ex__": PICKLED},
        specials=("__reduce_ex__",),
        control=True,
    )

for dtype, data in (("|O8", bytes(8)), ("<f8", bytes(8)), (f"{CANARY}", b"x")):
    trap(
        f"an array of {dtype}",
        "Code by the elements of an array, or memory for a shape that no data follows.",
        "array",
        {"obtain": codec.Array(dtype, [2**40], -1, data), "": Raises("AttributeError")},
    )

# ---- exceptions

for name in ("SystemExit", "KeyboardInterrupt", "GeneratorExit"):
    trap(
        f"raising {name}",
        "The end of the user's program, past every except Exception.",
        "call",
        {"fail": Raises(name, 7), "__call__": Raises(name, 7)},
        members=FAIL,
        control=True,
    )
for name in (
    "BaseException", "asyncio.exceptions.CancelledError", "BaseExceptionGroup", "eval", "exec",
    f"{CANARY}.Error", "os.system", "__import__", "nbrpc.session.job.Cancelled", "",
):  # fmt: skip
    trap(
        f"raising {name or 'nothing'}",
        "The same, or a callable of the client called as if it were a class of exceptions.",
        "call",
        {"fail": Raises(name, f"open('{CANARY}')"), "__call__": Raises(name, CANARY)},
        members=FAIL,
    )
for name in ("StopIteration", "StopAsyncIteration"):
    trap(
        f"raising {name}",
        "The silent end of a loop of the user's.",
        "loop",
        {"fail_or_not": Raises(name, 1)},
        members={"fail_or_not": "method"},
    )


def chained(depth: int) -> messages.Error:
    """Make an exception with many causes, in groups of groups."""
    error = messages.Error("ValueError", [1], "text")
    for _ in range(depth):
        error = messages.Error("ExceptionGroup", ["x"], "text", cause=error, members=[error, error])
    return error


trap(
    "a family of exceptions",
    "Memory and time, by causes of causes and groups of groups.",
    "error",
    {"fail": Raises("ValueError", cause=chained(12), context=chained(12))},
    members=FAIL,
)
trap(
    "attributes of an exception",
    "Attributes of the exception object that the server has no business to set.",
    "error",
    {
        "fail": Raises(
            "OSError", 1,
            attributes=dict.fromkeys(
                ["__class__", "__traceback__", "with_traceback", "args", "__cause__", "__dict__"], 5
            ),
            notes=["note"] * 10_000,
        )
    },
    members=FAIL,
)  # fmt: skip

# ---- lies

for name, lies in {
    "__len__": (2**63, -1, "x", None, 2.5), "__hash__": (2**62, "x", None), "__bool__": (5, "x"),
    "__int__": ("x", None), "__index__": (2**62, "x"), "__float__": ("x",),
}.items():  # fmt: skip
    for number, lie in enumerate(lies):
        trap(
            f"a lie about {name} {number}",
            "A crash of Python, or memory, by a length or number that is none.",
            name.strip("_"),
            {name: lie, "": Raises("AttributeError")},
            specials=(name, "__iter__", "__len__"),
        )
trap(
    "a hint of a length",
    "All memory, taken in advance for a list that is never filled.",
    "list",
    {"__length_hint__": 2**60, "__len__": 2**60, "__iter__": None, "": None},
    specials=("__length_hint__", "__iter__", "__len__"),
)
trap(
    "passing for an int",
    "A check of a type in the user's program passed by what is something else.",
    "isinstance",
    {"": None, "__class__": "builtins.int"},
    class_name="os.PathLike",
)
trap(
    "a text that is none",
    "A crash where Python is promised a str.",
    "str",
    {"__str__": 5, "__repr__": None},
)
trap(
    "a text without end",
    "Memory, and a page that cannot be scrolled.",
    "display",
    {"__repr__": "x" * 900_000, "display": {"text/plain": "x" * 900_000}},
)
trap(
    "a million names",
    "A Tab key that hangs.",
    "dir",
    {"__dir__": [f"name{n}" for n in range(60_000)]},
)

# ---- what is shown

for action in ("repr", "display", "format", "log"):
    trap(
        f"escapes in {action}",
        "A terminal that obeys: titles, clipboards, answers, or text that runs backwards.",
        action,
        {
            "__repr__": ESCAPES,
            "__str__": "x",
            "__format__": "x",
            "display": {"text/plain": ESCAPES},
        },
        specials=("__format__",),
        control=action == "repr",
    )
for action in ("error", "traceback"):
    trap(
        f"escapes in {action}",
        "The same by the text, the notes, the class and the traceback of an exception.",
        action,
        {
            "fail": Raises(f"Evil{ESCAPES}", ESCAPES, text=ESCAPES, notes=[ESCAPES]),
            "__call__": Raises("ValueError", ESCAPES, text=ESCAPES),
        },
        members=FAIL,
        control=action == "error",
    )
for action in ("tab", "question mark", "whos", "documentation", "tab in brackets"):
    trap(
        f"escapes behind {action}",
        "The same by names, documentation and signatures; or code that a completion puts in.",
        action,
        {
            "": ESCAPES, "__dir__": [ESCAPES, f"x; import {CANARY}"], "__repr__": ESCAPES,
            "describe": {"doc": ESCAPES, "signature": ESCAPES, "keys": [ESCAPES, CANARY]},
        },
        members={ESCAPES: "method", f"a;import {CANARY}": "data", "fail": "method"},
        doc=ESCAPES,
        specials=("__getitem__",),
    )  # fmt: skip
trap(
    "a page by _repr_html_",
    "A script in the user's page, which may run code in the kernel.",
    "display",
    {"_repr_html_": SCRIPT, "__repr__": "x", "__call__": SCRIPT},
    specials=("_repr_html_", "_repr_mimebundle_", "_ipython_display_"),
    members={"_repr_html_": "method"},
    control=True,
)
for kind in ("text/html", "application/javascript", "image/svg+xml", "text/markdown"):
    trap(
        f"a page of {kind}",
        "The same by what nbrpc asks a server to show.",
        "display",
        {"display": {kind: SCRIPT, "text/plain": "x"}, "__repr__": "x"},
    )

# ---- what the server asks of the client


def asking(link: Native, seq: int) -> None:
    """Ask the client for everything, and tell on it what it gives."""
    code = f"open('/tmp/{CANARY}')"
    asked = []
    for oid in range(4):
        for op, name in (
            (Operation.IMPORT, CANARY), (Operation.IMPORT, "os"),
            (Operation.EVALUATE, code), (Operation.EXECUTE, code), (Operation.COMPLETE, CANARY),
            (Operation.GET, "__class__"), (Operation.GET, "secret"), (Operation.CALL, "getmodule"),
            (Operation.OBTAIN, ""), (Operation.SPECIAL, "__reduce_ex__"), (Operation.DELIVER, ""),
            (Operation.GET, "__self__"), (Operation.GET, "__globals__"),
            (Operation.GET, "__func__"),
        ):  # fmt: skip
            asked.append(
                (link.request(op, oid, name, *([1] if op is Operation.DELIVER else [])), op)
            )
    given = []
    for number, op in asked:
        answer = link.reply_to(number)
        if (
            type(answer) is messages.Reply
            and op is not Operation.OBTAIN
            and answer.value is not None
        ):
            given.append(f"{op.name}: {answer.value!r}")
    secret = "s3cret-of-the-prey" if given else "nothing"
    with contextlib.suppress(OSError):
        link.send(Kind.REPLY, seq, f"{secret} {given}"[:1_000])


for action in ("attribute", "hand over"):
    trap(
        f"asking back at {action}",
        "The user's files: code in the client, its root, or what its objects lead to.",
        action,
        {"something": Raw(asking), "keep": Raw(asking)},
        members={"keep": "method"},
    )


def calling(link: Native, seq: int) -> None:
    """Call the client's function as often as can be, without waiting for it."""
    link.send(Kind.REPLY, seq, None)
    request = [Operation.CALL, 1, "", [1], None]
    with contextlib.suppress(OSError):
        for start in range(1, 1_000_000, 500):
            batch = [encode((seq, *request)) for seq in range(start, start + 500)]
            link.raw(b"".join(HEADER.pack(len(b), Kind.REQUEST, 0, 0) + b for b in batch))


trap(
    "a million callbacks",
    "A client that does nothing else, and grows.",
    "callback",
    {"keep": Raw(calling)},
    members={"keep": "method"},
)

# ---- what is no answer


def sent(*data: bytes, times: int = 1) -> Raw:
    """Make an answer of bytes."""

    def act(link: Any, _seq: int) -> None:
        with contextlib.suppress(OSError):
            for _ in range(times):
                for part in data:
                    link.sock.sendall(part)

    return Raw(act)


NESTED = b"\x92\x03\x91" * 100_000 + b"\xc0"
ANSWERS: dict[str, Raw] = {
    "nothing": Raw(lambda _link, _seq: None),
    "the end": Raw(lambda link, _seq: link.sock.close()),
    "garbage": sent(b"\xfe\xdc\xba" * 100),
    "a frame of four gigabytes": sent(HEADER.pack(2**32 - 1, Kind.REPLY, 0, 0) + bytes(1000)),
    "a buffer of eight exabytes": sent(HEADER.pack(0, Kind.REPLY, 0, 1) + struct.pack("<Q", 2**63)),
    "half a frame": sent(HEADER.pack(1000, Kind.REPLY, 0, 0) + b"x"),
    "a tower": sent(HEADER.pack(len(NESTED) + 2, Kind.REPLY, 0, 0) + b"\x92\x01" + NESTED),
    "a list of four billion": sent(
        HEADER.pack(9, Kind.REPLY, 0, 0) + b"\x92\x01\x92\x03\xdd" + b"\xff" * 4
    ),
    "replies that nobody asked for": sent(
        *(message(Kind.REPLY, 10**6 + n, reference(n, n, description())) for n in range(1_000))
    ),
    "failures that nobody asked for": sent(
        b"".join(
            message(Kind.FAILURE, 10**6 + n, messages.Error(f"{CANARY}.E{n}", [], ""))
            for n in range(1_000)
        )
    ),
    "the same reply a thousand times": Raw(
        lambda link, seq: link.raw(message(Kind.REPLY, seq, "x") * 1_000)
    ),
    "events of no subscription": sent(
        b"".join(
            message(Kind.EVENT, n, [reference(n + 5, n + 5, description())]) for n in range(5_000)
        ),
        times=5,
    ),
    "output of no cell": sent(
        b"".join(message(Kind.OUTPUT, n, "stdout", ESCAPES) for n in range(9_000))
    ),
    "pings": sent(b"".join(message(Kind.PING, n) for n in range(20_000)), times=5),
    "a goodbye with escapes": sent(message(Kind.GOODBYE, ESCAPES)),
    "numbers that collide": Raw(
        lambda link, seq: link.raw(
            message(
                Kind.REPLY, seq,
                codec.Set([codec.Scalar("int", f"{n * (2**61 - 1):x}") for n in range(1, 12_000)]),
            )
        )
    ),
    "a set of references": Raw(
        lambda link, seq: link.send(Kind.REPLY, seq, codec.Set([reference(5, 5, description())]))
    ),
    "an object of the client's": Raw(
        lambda link, seq: link.send(Kind.REPLY, seq, codec.Home(1, "__class__"))
    ),
    "a registered class": Raw(
        lambda link, seq: link.send(Kind.REPLY, seq, codec.Registered("os.system", [CANARY]))
    ),
    "a table that is none": Raw(
        lambda link, seq: link.send(Kind.REPLY, seq, codec.Table(0), buffers=(b"x" * 99,))
    ),
    "an endless decimal": Raw(
        lambda link, seq: link.send(Kind.REPLY, seq, codec.Scalar("decimal", "1e999999999"))
    ),
}  # fmt: skip
"""What a server may send in place of an answer."""

for name, answer in ANSWERS.items():
    # What becomes of an endless decimal is shown to nobody.
    trap(
        f"for an answer {name}",
        "A client that hangs, grows, or takes what is none for an answer.",
        "attribute",
        {"something": answer},
    )
for name in ("nothing", "garbage", "a frame of four gigabytes", "the end"):
    trap(
        f"for a root {name}",
        "A connect that hangs.",
        "wait",
        {"root": ANSWERS[name]},
    )


def items_beyond_credit(link: Native, seq: int) -> None:
    """Send much more of a stream than was asked for."""
    chunk = message(Kind.ITEMS, seq, [1.5] * 50_000)
    with contextlib.suppress(OSError):
        for _ in range(200):
            link.raw(chunk)


trap(
    "items without credit",
    "Memory for what was never asked for: a stream that is read by one item holds 10,000,000.",
    "slow loop",
    {"__iter__": Raw(items_beyond_credit)},
    specials=("__iter__",),
)

# ---- what stock RPyC's client takes


def forgotten_classes(link: rpyc.Raw | Native, seq: int) -> None:
    """Send exceptions that nobody asked for, each of a class of its own."""
    for number in range(14_000):
        if isinstance(link, Native):
            link.send(Kind.FAILURE, 10**6, messages.Error(f"{CANARY}.E{number}", [], ""))
        else:
            link.send(rpyc.EXCEPTION, 10**6, ((CANARY, f"E{number}"), (), (), ""))
    if not isinstance(link, Native):
        link.send(rpyc.REPLY, seq, rpyc.value(1))


trap(
    "classes of exceptions that stay", "Memory that is never given back.", "attribute",
    {"something": Raw(forgotten_classes)}, control=True, budget=24 * MEGABYTE,
)  # fmt: skip


def collision(link: rpyc.Raw | Native, seq: int) -> None:
    """Answer with numbers whose hashes are the same."""
    step = 2**61 - 1
    if isinstance(link, Native):
        ANSWERS["numbers that collide"].act(link, seq)
    else:
        # A tuple of them made a frozenset by its tag, since making one here takes as long as there.
        numbers = tuple(number * step for number in range(1, 14_001))
        body, tupled = brine.dumps((seq, (1, numbers))), brine.dumps(numbers)
        link.sock.sendall(rpyc.framed(b"\x02" + body.replace(tupled, b"\x1a" + tupled)))


trap(
    "hashes that collide", "Seconds of the processor, for a set.", "attribute",
    {"something": Raw(collision)}, control=True, seconds=0.9,
)  # fmt: skip


def bomb(link: rpyc.Raw | Native, seq: int) -> None:
    """Send little that becomes much."""
    packer = zlib.compressobj(9)
    zeros = bytes(MEGABYTE)
    data = b"".join([*(packer.compress(zeros) for _ in range(100)), packer.flush()])
    if isinstance(link, Native):
        link.raw(HEADER.pack(len(data), Kind.REPLY, 1, 0) + data)
    else:
        link.sock.sendall(rpyc.framed(data, 1))


trap(
    "a bomb of zlib",
    "Memory: 100 MB for 100 kB.",
    "attribute",
    {"something": Raw(bomb)},
    control=True,
)
