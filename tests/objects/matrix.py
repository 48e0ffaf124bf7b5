"""The policy in plain words, and every cell of operation x object x name to hold against it.

The words are those of the documentation: a peer reaches what was exposed and what it was handed.
Nothing here asks the code that decides; each rule below is a sentence of its own.
"""

from __future__ import annotations

import random
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import NamedTuple

from tests.objects.specimens import SPECIMENS, Specimen, discard

# ---- names

SAFE = frozenset(
    f"__{name}__"
    for name in [
        "abs",
        "add",
        "and",
        "bool",
        "call",
        "ceil",
        "contains",
        "delitem",
        "divmod",
        "doc",
        "enter",
        "eq",
        "exit",
        "float",
        "floor",
        "floordiv",
        "format",
        "ge",
        "getitem",
        "gt",
        "hash",
        "iadd",
        "iand",
        "ifloordiv",
        "ilshift",
        "imatmul",
        "imod",
        "imul",
        "index",
        "int",
        "invert",
        "ior",
        "ipow",
        "irshift",
        "isub",
        "iter",
        "itruediv",
        "ixor",
        "le",
        "len",
        "length_hint",
        "lshift",
        "lt",
        "matmul",
        "mod",
        "mul",
        "ne",
        "neg",
        "next",
        "or",
        "pos",
        "pow",
        "radd",
        "rand",
        "rdivmod",
        "repr",
        "reversed",
        "rfloordiv",
        "rlshift",
        "rmatmul",
        "rmod",
        "rmul",
        "ror",
        "round",
        "rpow",
        "rrshift",
        "rshift",
        "rsub",
        "rtruediv",
        "rxor",
        "setitem",
        "str",
        "sub",
        "truediv",
        "trunc",
        "xor",
        "aiter",
        "anext",
        "aenter",
        "aexit",
    ]
)
"""Arithmetic, comparison, containers, iteration, context managers, texts and calls."""

ABOUT_THE_OBJECT = frozenset({"__repr__", "__str__", "__hash__", "__eq__", "__ne__"})

INTROSPECTION = ("gi_", "cr_", "ag_", "f_", "tb_", "co_", "func_", "im_")

NAMES: dict[str, tuple[str, ...]] = {
    "exposed": ("add", "size", "voltage", "changed", "Inner", "path", "limit", "x", "slot",
                "version", "chosen", "get_service_name"),
    "prefixed": ("exposed_add", "exposed_size", "exposed_voltage", "exposed_x", "exposed_",
                 "exposed_nothing", "exposed___class__", "exposed_exposed_add"),
    "public": ("plain", "method", "computed", "loose", "module", "shared", "extra", "nothing",
               "format", "format_map", "mro", "register", "append", "items", "read", "group",
               "value", "contents", "func", "args", "keywords", "cache_info", "send", "throw",
               "close", "fget", "fset", "getter", "modules", "path", "obj", "name", "gen",
               "with_traceback", "target", "handlers", "manager", "buffer", "string", "re"),
    "private": ("_private", "_hidden", "_internal", "_Plain__mangled", "_value", "_", "_missing",
                "_getframe", "_objects", "_type_", "_target", "_make", "_fields_"),
    "safe": tuple(sorted(SAFE)),
    "unsafe": ("__class__", "__dict__", "__globals__", "__code__", "__closure__", "__defaults__",
               "__kwdefaults__", "__builtins__", "__self__", "__func__", "__wrapped__",
               "__module__", "__name__", "__qualname__", "__bases__", "__base__", "__mro__",
               "__subclasses__", "__init__", "__new__", "__del__", "__init_subclass__",
               "__subclasshook__", "__class_getitem__", "__getattribute__", "__getattr__",
               "__setattr__", "__delattr__", "__get__", "__set__", "__delete__", "__set_name__",
               "__reduce__", "__reduce_ex__", "__getstate__", "__setstate__", "__copy__",
               "__deepcopy__", "__dir__", "__sizeof__", "__weakref__", "__slots__",
               "__annotations__", "__type_params__", "__traceback__", "__context__", "__cause__",
               "__loader__", "__spec__", "__file__", "__path__", "__import__", "__call__",
               "__await__", "__instancecheck__", "__subclasscheck__", "__prepare__",
               "__origin__", "__args__", "__objclass__", "__text_signature__", "__signature__",
               "__buffer__", "__array__", "__array_interface__", "__fspath__", "__missing__",
               "__exposed__", "__nbrpc_by_value__", "__nbrpc_event__", "__abstractmethods__"),
    "introspection": ("gi_frame", "gi_code", "gi_yieldfrom", "cr_frame", "cr_code", "cr_await",
                      "cr_origin", "ag_frame", "ag_code", "ag_await", "f_builtins", "f_globals",
                      "f_locals", "f_back", "f_code", "f_trace", "tb_frame", "tb_next", "co_code",
                      "co_consts", "co_names", "func_globals", "func_code", "im_self", "im_func"),
    "dotted": ("plain.__class__", "add.__globals__", "add.__func__.__globals__", ".plain",
               "plain.", "..", ".", "__class__.__mro__", "exposed_x.__class__", "_private.x",
               "method.__self__", "Inner.__dict__", "__init__.__globals__"),
    "empty": ("",),
    "unicode": ("\uff50lain", "exposed_\uff41dd", "__\uff43lass__", "\uff3fprivate",
                "\uff3f\uff3fclass\uff3f\uff3f", "\u2139", "\ufb01le", "pla\u200bin",
                "\u202enialp", "ad\u0301d", "plain\ufe0f", "\u017fize", "\U0001d452xposed_add"),
    "long": ("a" * 5000, "_" * 5000, "exposed_" + "a" * 5000, "__" + "a" * 5000 + "__",
             "gi_" + "a" * 5000),
    "no identifier": ("a b", " plain", "plain ", "plain\n", "plain\0", "\0", "1", "()", "plain()",
                      "{0}", "[0]", "plain[0]", "lambda: 0", "__class__ ", "\t", "-", "/etc"),
    "wire": ("____conn__", "____id_pack__", "____refcount__", "_nbrpc_oid_", "_rpyc_getattr",
             "_rpyc_setattr", "_rpyc_delattr", "_nbrpc_description_"),
}  # fmt: skip
"""By their kind."""

WITH_THE_PREFIX = {
    name for names in NAMES.values() for name in names if name.startswith("exposed_")
}

MOST_OF_ITS_OWN = 40
"""Names that are taken from ``dir`` of an object beside these."""


def names_of(key: str) -> dict[str, list[str]]:
    """Give the names to try on a kind of object: those above, and its own."""
    obj = SPECIMENS[key].make()
    known = {name for names in NAMES.values() for name in names}
    own = [name for name in sorted(set(object.__dir__(obj))) if name not in known]
    for kind in [type(obj), *([obj] if isinstance(obj, type) else [])]:
        own += [name for name in type.__dir__(kind) if name not in known and name not in own]
    discard(obj)
    return {**{kind: list(names) for kind, names in NAMES.items()}, "own": own[:MOST_OF_ITS_OWN]}


# ---- the policy


@dataclass(frozen=True)
class Setting:
    """What a side allows.

    Attributes
    ----------
    public
        Public names of what was handed over are open.
    writes
        Attributes may be set and deleted as well as read.
    safe
        Safe special methods are open.
    code
        The peer may run code, so no name matters.
    """

    public: bool = False
    writes: bool = False
    safe: bool = True
    code: bool = False


SETTINGS: dict[str, Setting] = {
    "service": Setting(),
    "public": Setting(public=True),
    "writable": Setting(public=True, writes=True),
    "bare": Setting(safe=False),
    "object": Setting(public=True),
    "code": Setting(code=True),
}


def is_public(setting: Setting, about: Specimen, name: str) -> bool:
    """Public names are open where the side says so, but never those of machinery."""
    return (
        setting.public
        and not about.machinery
        and not name.startswith("_")
        and not name.startswith(INTROSPECTION)
        and name not in about.shut
    )


def in_class(about: Specimen) -> set[str]:
    """Give the names that a class has, or that of an object: what it need not make up."""
    obj = about.make()
    cls = obj if isinstance(obj, type) else type(obj)
    return {name for base in cls.__mro__ for name in vars(base)}


def may_read(setting: Setting, about: Specimen, name: str) -> bool:
    """Whether the author, the kind of object or the setting opens one name, without a path."""
    if about.only is not None and name not in about.only:
        # A view and a hook have the last word; what a hook is asked is no matter of the setting.
        return False
    return (
        about.only is not None
        or setting.code
        or name.startswith("exposed_")
        or name in about.exposed
        or (setting.safe and name in SAFE)
        or (about.container and not name.startswith("_"))
        or (about.invents and name not in in_class(about))
        or is_public(setting, about, name)
    )


def may_write(setting: Setting, about: Specimen, name: str, *, delete: bool) -> bool:
    """Only exposed properties with a setter, unless the side allows more."""
    if about.is_view:
        return False  # those of `SPECIMENS` name nothing that may be set
    if setting.code:
        return True
    if name in about.settable and not delete:
        return True
    return setting.writes and (
        name.startswith("exposed_")
        # Another cell may have set it with the prefix just before.
        or f"exposed_{name}" in WITH_THE_PREFIX
        or name in about.exposed
        or (about.invents and name not in in_class(about))
        or is_public(setting, about, name)
    )


def may_use(setting: Setting, about: Specimen, name: str) -> bool:
    """Whether a special method may be used: the safe ones, and what calls and awaits."""
    if about.only is not None:
        return name in about.only or name in ABOUT_THE_OBJECT
    if setting.code and name.startswith("__") and name.endswith("__"):
        return True
    return name in {"__call__", "__await__"} or (setting.safe and name in SAFE)


def may_follow(setting: Setting, about: Specimen, path: str) -> bool:
    """A path is open if each of its names is; behind the first one, what is private never is."""
    first, *others = path.split(".")
    if not may_read(setting, about, first):
        return False
    if setting.code:
        return True
    return not any(name.startswith("_") and name not in SAFE for name in others)


# ---- cells


class Cell(NamedTuple):
    """One operation on one object under one name."""

    operation: str
    name: str
    kind: str
    """Of the name."""


OF_A_NAME = ("GET", "SET", "DELETE", "CALL", "SPECIAL", "SUBSCRIBE", "WATCH")
OF_A_PATH = (
    "DIR", "NAMES", "STR", "REPR", "HASH", "OBTAIN", "INSTANCE", "DISPLAY", "STREAM", "DESCRIBE",
    "DESCRIBE keys", "DESCRIBE page",
)  # fmt: skip
WITHOUT_A_NAME = ("EXCHANGE", "DELIVER", "ROOT", "UNSUBSCRIBE")
RUNNING_CODE = ("IMPORT", "EVALUATE", "EXECUTE", "CELL", "COMPLETE", "INSPECT", "SESSION")
NATIVE_NAMED = frozenset({*OF_A_NAME, *OF_A_PATH})
NATIVE = (*OF_A_NAME, *OF_A_PATH, *WITHOUT_A_NAME, *RUNNING_CODE)

NEEDS_TEXT = {"STR": "__str__", "REPR": "__repr__", "HASH": "__hash__", "DISPLAY": "__repr__"}

CODE = ("list", "os", "1", "import os", "__import__('os').getpid()", "a.b", "")
"""What is asked for where code is to run."""


def native_may(setting: Setting, about: Specimen, cell: Cell) -> bool:
    """Whether an operation of the native wire may get past the policy."""
    operation, name, _ = cell
    if operation.startswith("DESCRIBE") and about.only is not None and name:
        return False  # what a view or a hook decides, only reading tells
    if operation in RUNNING_CODE:
        return setting.code
    if operation in {"ROOT", "DELIVER", "UNSUBSCRIBE"}:
        return True
    if operation == "EXCHANGE":
        return may_use(setting, about, "__exit__")
    if operation == "SPECIAL":
        return may_use(setting, about, name)
    if operation == "SUBSCRIBE":
        return name in about.events
    if operation in {"SET", "DELETE"}:
        *path, last = name.split(".")
        if path:
            return may_follow(setting, about, name)
        return may_write(setting, about, last, delete=operation == "DELETE")
    if operation in {"GET", "WATCH"} or name:
        return may_follow(setting, about, name)
    if operation in NEEDS_TEXT and not setting.safe:
        return False
    if operation == "CALL":
        return may_use(setting, about, "__call__")
    if operation == "STREAM":
        return may_use(setting, about, "__iter__") or may_use(setting, about, "__aiter__")
    if operation == "DESCRIBE keys":
        return may_use(setting, about, "__getitem__") or about.only is not None
    return True  # what was handed over may be called, looked at, copied


RPYC = (
    "GETATTR", "SETATTR", "DELATTR", "CALLATTR", "CMP", "CALL", "REPR", "STR", "HASH", "DIR",
    "PICKLE", "INSPECT", "BUFFITER", "OLDSLICING", "CTXEXIT", "INSTANCECHECK", "PING", "GETROOT",
)  # fmt: skip
RPYC_NAMED = frozenset(RPYC[:5])
COMPARISONS = frozenset({"__eq__", "__ne__", "__lt__", "__gt__", "__le__", "__ge__"})


def rpyc_may(setting: Setting, about: Specimen, cell: Cell) -> bool:
    """Whether a request of an RPyC peer may get past the policy; names are never paths there."""
    operation, name, _ = cell
    if operation in RPYC_NAMED and "." in name:
        return setting.code and not about.is_view
    if operation == "GETATTR":
        return may_read(setting, about, name)
    if operation == "CALLATTR":
        special = name.startswith("__") and name != "__call__"
        if name in {"", "__call__"}:
            return may_use(setting, about, "__call__")
        return (may_use if special else may_read)(setting, about, name)
    if operation in {"SETATTR", "DELATTR"}:
        return may_write(setting, about, name, delete=operation == "DELATTR")
    if operation == "CMP":
        return name in COMPARISONS and may_use(setting, about, name)
    if operation in {"REPR", "STR", "HASH"}:
        return setting.safe
    if operation == "PICKLE":
        return setting.code
    if operation == "BUFFITER":
        return may_use(setting, about, "__next__")
    if operation in {"CTXEXIT", "CALL"}:
        return may_use(setting, about, "__exit__" if operation == "CTXEXIT" else "__call__")
    return operation != "OLDSLICING"


MUTATING = frozenset({"SET", "DELETE", "SETATTR", "DELATTR"})


def some(found: Iterable[str], share: int, chance: random.Random) -> list[str]:
    """Give about one in so many of what was found."""
    return [name for name in found if chance.random() * share < 1]


def cells(
    key: str, operations: tuple[str, ...], named: frozenset[str], *, share: int = 1
) -> Iterator[Cell]:
    """Give the cells of one kind of object.

    Parameters
    ----------
    named
        The operations that take a name.
    share
        About one name in so many is tried in each operation, always the same ones; 1 for all of
        them.
    """
    names = names_of(key)
    for operation in operations:
        chance = random.Random(f"{key} {operation}")
        if operation in RUNNING_CODE:
            yield from (Cell(operation, text, "code") for text in some(CODE, share, chance))
        elif operation not in named:
            yield Cell(operation, "", "empty")
        else:
            for kind, found in names.items():
                # What an author may have opened for reading is tried whole where it is changed.
                opened = operation in MUTATING and kind in {"exposed", "prefixed"}
                tried = found if opened else some(found, share, chance)
                yield from (Cell(operation, name, kind) for name in tried)
