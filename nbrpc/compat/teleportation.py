"""``rpyc.utils.teleportation``: functions as plain tuples of their bytecode, and back.

It is how RPyC's own clients move functions, so a classic server has to understand it. Both sides
need the same minor version of Python. `nbrpc.classic.teleport_function` moves the source instead.
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from types import CodeType, FunctionType
from typing import Any, Final

from nbrpc.protocol.rpyc import brine

__all__ = ["CODEOBJ_MAGIC", "export_function", "import_function"]

CODEOBJ_MAGIC: Final = "MAg1c J0hNNzo0hn ZqhuBP17LQk8"
"""How RPyC marks code within the constants of code."""

FIELDS: Final = [
    "co_argcount",
    "co_posonlyargcount",
    "co_kwonlyargcount",
    "co_nlocals",
    "co_stacksize",
    "co_flags",
    "co_code",
    "co_consts",
    "co_names",
    "co_varnames",
    "co_filename",
    "co_name",
    "co_qualname",
    "co_firstlineno",
    "co_linetable",
    "co_exceptiontable",
    "co_freevars",
    "co_cellvars",
]
"""What code consists of, as its constructor takes it since Python 3.11."""

CONSTANTS: Final = FIELDS.index("co_consts")

Exported = tuple[str, str, Any, Any, tuple[Any, ...]]


def export_function(func: Callable[..., Any]) -> Exported:
    """Give a function as name, module, defaults, keyword defaults and code.

    Raises
    ------
    TypeError
        It is no function in Python, it has a closure, or a default or constant is no plain value.
    """
    if not isinstance(func, FunctionType):
        raise TypeError(f"a function that is written in Python is needed, not {func!r}")
    if func.__closure__:
        raise TypeError(f"{func.__qualname__} has a closure, which cannot go along")
    if not brine.is_dumpable(func.__defaults__):
        raise TypeError(f"a default of {func.__qualname__} is no plain value: {func.__defaults__}")
    named = func.__kwdefaults__
    pairs = None if named is None else tuple(sorted(named.items()))
    if not brine.is_dumpable(pairs):
        raise TypeError(f"a default of {func.__qualname__} is no plain value: {named}")
    code = _export_code(func.__code__)
    return func.__name__, func.__module__, func.__defaults__, pairs, code


def _export_code(code: CodeType) -> tuple[Any, ...]:
    fields = [getattr(code, name) for name in FIELDS]
    constants: list[Any] = []
    for constant in code.co_consts:
        if isinstance(constant, CodeType):
            constants.append((CODEOBJ_MAGIC, _export_code(constant)))
        elif brine.is_dumpable(constant):
            constants.append(constant)
        else:
            raise TypeError(f"a constant of {code.co_name} is no plain value: {constant!r:.80}")
    fields[CONSTANTS] = tuple(constants)
    return tuple(fields)


def import_function(
    functup: Exported,
    globals: dict[str, Any] | None = None,  # noqa: A002 - RPyC's name
    def_: bool = True,  # noqa: FBT001, FBT002 - RPyC's signature
) -> Callable[..., Any]:
    """Make a function of what `export_function` gave. Bytecode that is made up can do anything.

    Parameters
    ----------
    globals
        The global names that it finds; by default those of its module, if there is one here.
    def_
        Put it among those names under its own.

    Raises
    ------
    ValueError
        It comes from a Python whose code has other fields.
    """
    name, module_name, defaults, named, code = functup
    if globals is None:
        module = sys.modules.get(module_name) or sys.modules["__main__"]
        globals = module.__dict__  # noqa: A001 - RPyC's name
    function = FunctionType(_import_code(code), globals, name, defaults)
    function.__kwdefaults__ = None if named is None else dict(named)
    if def_:
        globals[name] = function
    return function


def _import_code(fields: tuple[Any, ...]) -> CodeType:
    if len(fields) != len(FIELDS):
        raise ValueError(
            f"the code of a function has {len(fields)} fields, where Python "
            f"{sys.version_info.major}.{sys.version_info.minor} has {len(FIELDS)}: the two sides "
            "need the same version of Python, or move the source with nbrpc.classic"
        )
    constants = tuple(
        _import_code(constant[1]) if _is_code(constant) else constant
        for constant in fields[CONSTANTS]
    )
    make: Any = CodeType
    code: CodeType = make(*fields[:CONSTANTS], constants, *fields[CONSTANTS + 1 :])
    return code


def _is_code(constant: object) -> bool:
    return type(constant) is tuple and len(constant) == 2 and constant[0] == CODEOBJ_MAGIC
