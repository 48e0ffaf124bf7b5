"""What every step must give, and where RPyC itself is in the way of that."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from tests.rpyc.stock import VERSIONS


@dataclass(frozen=True)
class Cell:
    """Who talks to whom: "nbrpc" or "stock", and over which wire."""

    client: str
    server: str
    version: str
    """Of RPyC; where there is none, "native" or the wire that is asked for: "rpyc5", "rpyc6"."""

    @property
    def name(self) -> str:
        """The name of the cell in the report."""
        return f"{self.client}-to-{self.server}-{self.version}"

    @property
    def protocol(self) -> str | None:
        """What ``conn.protocol`` says; RPyC has no such attribute."""
        if self.client == "stock":
            return None
        if self.version == "native":
            return "nbrpc/1"
        return "rpyc/6" if self.version in {"rpyc6", "6.0.2"} else "rpyc/5"


@dataclass(frozen=True)
class Raised:
    """An exception: a builtin that it is an instance of, and what it must tell."""

    kind: str
    args: tuple[Any, ...] | None = None
    text: str = ""
    traceback: str = ""
    name: str = ""

    def problem(self, outcome: dict[str, Any]) -> str | None:
        """Say what is wrong with an outcome."""
        if self.kind not in outcome.get("raised", ()):
            return f"no {self.kind}"
        if self.args is not None and outcome["args"] != [repr(arg) for arg in self.args]:
            return f"the arguments are not {self.args!r}"
        for what in ("text", "traceback", "name"):
            if getattr(self, what) not in outcome[what]:
                return f"no {getattr(self, what)!r} in its {what}"
        return None


@dataclass(frozen=True)
class OneOf:
    """Any of these values."""

    values: tuple[Any, ...]


REFUSED = Raised("AttributeError")
LOST = Raised("EOFError")
EXPIRED = Raised("TimeoutError")

EXPECTED: dict[str, dict[str, Any]] = {
    "calls": {
        "add": 3,
        "default": 11,
        "more arguments": 10,
        "keywords": 30,
        "kept method": [1, 2, 3, 4, 5],
        "wrong arguments": Raised("TypeError", text="missing 1 required positional argument"),
        "list as argument": 6,
        "dict as argument": 5,
        "tuple with a list": 2,
        "pong": True,
        "two connections": 6,
    },
    "values": dict.fromkeys(
        [
            *("None", "true", "false", "NotImplemented", "Ellipsis", "small ints", "large ints"),
            *("floats", "complex", "bytes", "texts", "tuples", "nested", "slices", "frozensets"),
            "own object comes home",
        ],
        True,
    )
    | {
        "arguments by value": [
            *("int", "int", "float", "complex", "bytes", "str", "tuple", "tuple"),
            *("slice", "frozenset"),
        ],
    },
    "attributes": {
        "class attribute": "matrix",
        "with the prefix": "matrix",
        "hidden": Raised("AttributeError", text="hidden"),
        "hidden method": Raised("AttributeError", text="hidden_method"),
        "private": REFUSED,
        "missing": Raised("AttributeError", text="no_such_name"),
        "hasattr": [True, False, False],
        "getattr with a default": 5,
        "set on the service": REFUSED,
        "instance attribute": 3,
        "property": 6,
        "set": [8, 16],
        "seen over there": 8,
        "set hidden": REFUSED,
        "delete": None,
        "deleted": REFUSED,
        "dir": True,
        "dir has": True,
        "doc": True,
        "after all": 3,
    },
    "special_methods": {
        "repr": "<Thing at level 3>",
        "str": "thing 3",
        "format": "thing 3",
        "hash": True,
        "equal": [True, False, True],
        "less": [True, True, False, True],
        "length": [5, False, True],
        "contains": [True, False],
        "items": ["item 1", "item 'a'", "item (1, 2)"],
        "arithmetic": [6, 6, -5],
        "call": "called (1,) [('b', 2)]",
        "no such operation": Raised("TypeError"),
        "identity": [True, False],
        "the same object again": True,
        "methods": [6, 10, 10],
        "list": [5, 2, True, [1, 2]],
        "list is changed": 19,
        "repr of a list": "[9, 1, 2, 3, 4]",
        "dict": [2, 3, True],
    },
    "iteration": {
        "list": list(range(30)),
        "tuple of it": [0, 1, 2],
        "empty": [],
        "generator": list(range(30)),
        "dict": ["key 0", "key 1", "key 2"],
        "iterator": [3, 2, 1, 0],
        "unpacking": [0, 1, 0, 1],
        "sum": 45,
        "map": [0, 2, 4],
        "next": [0, 1],
        "next at the end": Raised("StopIteration"),
        "next with a default": "none",
        "it breaks": Raised(
            "ValueError", ("the source broke",), traceback="in exposed_break_after"
        ),
        "before it broke": [0, 1],
        "our generator": 6,
        "half read": [0, 3],
    },
    "buffered_iteration": {
        "list": True,
        "generator": True,
        "empty": [],
        "small chunks": list(range(7)),
        "one by one": [0, 1, 2],
        "dict": ["key 0", "key 1", "key 2"],
        "objects": [0, 1, 2, 3],
    },
    "callbacks": {
        "sync": 40,
        "keywords": 4,
        "in our thread": True,
        "many": [number * number for number in range(20)],
        "nested": "6 5 4 3 2 1 0 bottom",
        "list to a callback": 6,
        "object over there to a callback": 4,
        "object back": 6,
        "exception through": Raised("ValueError", ("from the client", 1), traceback="in fail"),
        "exception caught over there": ["caught", ["from the client", 1]],
        "kept over there": ["later"],
        "from a thread": ["from a thread"],
    },
    "reading_ours": {
        "exposed": "shown",
        "public": REFUSED,
        "public, allowed": "public",
        "private, allowed": REFUSED,
    },
    "events": {
        "all": True,
        "in order": True,
        "handlers that ask": True,
        "what they got": list(range(1, 21)),
        "while calls are made": True,
        "in the background": True,
        "afterwards": 3,
    },
    "asynchronous": {
        "shown": "<AsyncResult object (pending)>",
        "not ready": False,
        "value": 0.1,
        "then": [True, False, False, "<AsyncResult object (ready)>"],
        "callback": 3,
        "many": 198,
        "error": True,
        "error raised": Raised("ValueError", ("bad thing", 42), traceback="in fail"),
        "expired": EXPIRED,
        "expired says so": True,
        "timed": EXPIRED,
        "not callable": Raised("TypeError"),
        "afterwards": 3,
    },
    "timeouts": {"too slow": EXPIRED, "quick enough": 0.01},
    "exceptions": {
        "value": Raised("ValueError", ("bad thing", 42), traceback="in fail"),
        "key": Raised("KeyError", ("missing",), traceback="in fail"),
        "zero": Raised("ZeroDivisionError", text="by zero", traceback="return 1 // 0"),
        "file": Raised("FileNotFoundError", text="/no/such/file", traceback="in fail"),
        "attribute": Raised("AttributeError", text="nothing", traceback="in fail"),
        "custom": Raised("Exception", ("the pump",), traceback="in fail", name="service.Broken"),
        "argument": Raised("ValueError", text="[1, 2]", traceback="in fail"),
        "cause": Raised("RuntimeError", ("outer",), traceback="inner"),
        "group": Raised("Exception", text="several", traceback="in fail", name="ExceptionGroup"),
        "number of an OSError": 2,
        "attribute of our own": 7,
        "refused": Raised("AttributeError", text="hidden"),
        "afterwards": 3,
    },
    "instances": {
        "of its class": True,
        "of a subclass": [True, False],
        "made here": True,
        "class is called": 4,
        "class attribute": "thing",
        "of another class": False,
        "builtins": [True, True],
        "not another builtin": False,
        "values": True,
    },
    "large_values": {
        f"{kind} {way}": True
        for kind in ("zeros", "random", "plain", "wide")
        for way in ("in", "out")
    }
    | {"edges": True},
    "contexts": {
        "entered": [1, True],
        "inside": "never",
        "left": "None",
        "exception": Raised("KeyError", ("ours",)),
        "left by it": "KeyError",
    },
    "closing": {
        "closed before": False,
        "closed after": True,
        "on_disconnect here": True,
        "seen over there": True,
        "closed twice": None,
        "call on a closed one": LOST,
        "closed by with": True,
        "noticed": True,
        "on_disconnect here as well": True,
        "call after it": LOST,
        "and over there": True,
    },
    "file_monitor": {
        "change 0": True,
        "change 1": True,
        "changes": [[0, 5], [5, 10]],
        "stop": None,
        "poll_all": True,
        "served": True,
        "last change": [10, 15],
        "stop again": None,
    },
    "meeting": {"met": True, "events": True, "calls": True},
    "code": {
        "eval": 2,
        "executed": 42,
        "namespace": 41,
        "remote function": 43,
        "namespace is set": 2,
        "in the namespace": [True, False],
        "error": Raised("ZeroDivisionError", traceback="line 1, in <module>"),
        "no such name": Raised("NameError", text="no_such_name"),
        "not Python": Raised("SyntaxError", text="invalid syntax"),
        "apart": False,
        "closures": 9,
        "pong": True,
    },
    "modules": {
        "function": "a/b",
        "by item": "y",
        "other process": True,
        "missing": Raised("ModuleNotFoundError", text="no_such_module_at_all"),
        "builtins": [8, 3],
        "repr": "<built-in function sleep>",
        "attribute is set": 3,
        "attribute is deleted": False,
        "callbacks": [2, 3],
        "class": True,
        "methods of containers": [["a", 1], ["b", 2]],
        "methods change it": [0, 1, 2, 3],
        "deque": [2, 3],
        "with": ["text", True],
    },
    "copies": {
        "obtain": "{'a': [1, 2.5, 'x'], 'b': (None, {3})}",
        "types": ["dict", "list", "tuple"],
        "no proxies": True,
        "a plain value": "plain",
        "deliver": True,
        "deliver equals": True,
        "a copy it is": True,
        "large": True,
    },
    "teleport": {
        "teleported": True,
        "called": 25,
        "arguments": 9,
        "by its name": 9,
        "it runs there": "power",
    },
    "files": {
        "file": True,
        "folder": True,
        "folder back": True,
        "file back": True,
        "filter": ["empty", "inner/text.txt"],
        "missing": Raised("ValueError", text="cannot upload"),
        "package": "answer = 42\n",
    },
    "streams": {"printed": True, "errors": "careful\n", "input": "Ada", "restored": False},
    "tutorial": {
        "sleep": "<built-in function sleep>",
        "block": None,
        "asleep": "async_(<built-in function sleep>)",
        "res": "<AsyncResult object (pending)>",
        "at once": False,
        "later": True,
        "value": None,
        "ready": "<AsyncResult object (ready)>",
        "8": [False, 8],
        "error": True,
        "raised": Raised(
            "ValueError", ("invalid literal for int() with base 10: 'this is not a valid number'",)
        ),
        "as printed": [True, True],
    },
}


@dataclass(frozen=True)
class Exemption:
    """A step that gives something else between some peers, and why."""

    group: str
    step: str
    instead: Any
    reason: str
    client: str | None = None
    server: str | None = None
    versions: tuple[str, ...] = ()

    def holds_for(self, cell: Cell) -> bool:
        """Whether the cell is one of those."""
        return (
            self.client in {None, cell.client}
            and self.server in {None, cell.server}
            and (not self.versions or cell.version in self.versions)
        )


ABSENT = object()
"""The step is not done at all: it hangs on one that fails."""

EXEMPTIONS = [
    Exemption(
        "instances",
        "of a subclass",
        [False, False],
        "RPyC's server compares the names of the classes, and knows no subclasses",
        server="stock",
    ),
    Exemption(
        "contexts",
        "left by it",
        "TypeError",
        "RPyC's server raises what stands for the class, which is a TypeError",
        server="stock",
    ),
    Exemption(
        "exceptions",
        "group",
        Raised("TypeError", text="BaseExceptionGroup.__new__"),
        "RPyC's client cannot make the group that RPyC's server sends",
        client="stock",
        server="stock",
    ),
    Exemption(
        "exceptions",
        "attribute of our own",
        REFUSED,
        "on RPyC's wire nbrpc sets no attributes of exceptions but a few of the builtins'",
        client="nbrpc",
        versions=(*VERSIONS, "rpyc5", "rpyc6"),
    ),
    Exemption(
        "values",
        "own object comes home",
        False,
        "nbrpc copies lists on its own wire",
        client="nbrpc",
        server="nbrpc",
        versions=("native",),
    ),
    Exemption(
        "callbacks",
        "exception through",
        Raised("ValueError", ("from the client", 1)),
        "on nbrpc's wire the exception comes home as the object that was raised, with its frames",
        client="nbrpc",
        server="nbrpc",
        versions=("native",),
    ),
    Exemption(
        "attributes",
        "set on the service",
        None,
        "for nbrpc, allow_setattr holds for a service as for any object",
        server="nbrpc",
    ),
    Exemption(
        "special_methods",
        "format",
        Raised("AttributeError", text="__format__"),
        "RPyC 4.1 does not count __format__ among the safe names",
        client="stock",
        server="stock",
        versions=("4.1.5",),
    ),
    Exemption(
        "modules",
        "missing",
        Raised("AttributeError", text="no_such_module_at_all"),
        "RPyC's client takes it for a missing attribute since 5.0",
        client="stock",
        versions=("5.3.1", "6.0.2"),
    ),
    *(
        Exemption(
            "teleport",
            step,
            instead,
            "RPyC 4.1 knows the code objects of Python 3.7 at most",
            client="stock",
            versions=("4.1.5",),
        )
        for step, instead in {
            "teleported": Raised("Exception"),
            **dict.fromkeys(("called", "arguments", "by its name", "it runs there"), ABSENT),
        }.items()
    ),
]
"""Every exception to `EXPECTED`, each with its reason; tests see that it still is one."""


def expected(group: str, cell: Cell) -> dict[str, Any]:
    """Give what every step of a group must give between these two."""
    steps = dict(EXPECTED[group])
    if group in {"calls", "code", "meeting"}:
        steps["protocol"] = cell.protocol
    for exemption in EXEMPTIONS:
        if exemption.group == group and exemption.holds_for(cell):
            if exemption.instead is ABSENT:
                del steps[exemption.step]
            else:
                steps[exemption.step] = exemption.instead
    return steps


def problems(wanted: dict[str, Any], outcomes: dict[str, Any]) -> list[str]:
    """Say what is wrong with the outcomes of a group, a line for each step."""
    found = []
    for step in [*wanted, *(step for step in outcomes if step not in wanted)]:
        problem = _problem(wanted, outcomes, step)
        if problem:
            found.append(f"{step}: {problem}")
    return found


def _problem(wanted: dict[str, Any], outcomes: dict[str, Any], step: str) -> str | None:
    if step not in outcomes:
        return "was not done"
    outcome = outcomes[step]
    shown = (
        f"{outcome.get('name', '')} {outcome['raised']} {outcome.get('args', '')}"[:600]
        if ("raised" in outcome)
        else repr(outcome["value"])[:300]
    )
    if outcome.get("traceback"):
        shown += f"\n{outcome['traceback']}"
    if step not in wanted:
        return f"nobody expected {shown}"
    want = wanted[step]
    if isinstance(want, Raised):
        problem = want.problem(outcome)
        return f"{problem}: {shown}" if problem else None
    if "raised" in outcome:
        return f"raised {shown}"
    values = want.values if isinstance(want, OneOf) else (want,)
    return None if outcome["value"] in values else f"gave {shown} instead of {want!r}"
