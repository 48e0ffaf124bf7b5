"""The line of a magic: read its arguments, show its help, tell a mistake in one line."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from typing import Any

from IPython.core.error import UsageError
from IPython.core.magic import cell_magic as untyped_cell_magic
from IPython.core.magic import line_magic as untyped_line_magic
from IPython.core.magic_arguments import parse_argstring
from IPython.display import display

from nbrpc.errors import NbrpcError
from nbrpc.notebook.connections import NoConnection
from nbrpc.notebook.tracebacks import brief

__all__ = [
    "cell_magic",
    "evaluated",
    "help_asked",
    "identifier",
    "line_magic",
    "names_of",
    "parsed",
    "plainly",
    "show",
    "with_help",
]

cell_magic: Any = untyped_cell_magic
line_magic: Any = untyped_line_magic

HELP = frozenset({"--help", "-h"})

CELLS = frozenset({"%%remote", "%%rpc_on"})


def help_asked(magic: Any, line: str) -> bool:
    """Whether a line asks what there is; within an expression ``-h`` is part of that."""
    words = line.split()
    return bool(HELP & set(words)) if hasattr(magic, "parser") else words in (["--help"], ["-h"])


def with_help(lines: list[str]) -> list[str]:
    """Give a lone ``%%magic --help`` a body, without which IPython refuses it; a transform."""
    words = "".join(lines).split()
    if len(words) == 2 and words[0] in CELLS and words[1] in HELP:
        return [f"get_ipython().run_cell_magic({words[0][2:]!r}, '--help', 'pass')\n"]
    return lines


def plainly(method: Callable[..., Any]) -> Callable[..., Any]:
    """Turn what a user can do wrong into one line, without frames of ours.

    The name and docstring must stay for IPython, but not ``__wrapped__``: it would find the
    undecorated method by it.
    """

    def call(self: Any, line: str, *rest: str) -> Any:
        if help_asked(call, line):
            print(inspect.cleandoc((call.__doc__ or "").removeprefix("::").lstrip()))  # noqa: T201 - help
            return None
        try:
            return method(self, line, *rest)
        except NbrpcError as error:  # first: what the remote raised may be a ValueError as well
            brief(error)
            raise
        except (NoConnection, ValueError) as error:
            raise UsageError(str(error)) from None

    for name in ("__name__", "__qualname__", "__doc__", "__module__"):
        setattr(call, name, getattr(method, name))
    for name, value in vars(method).items():
        setattr(call, name, value)
    return call


def parsed(magic: Any, line: str) -> Any:
    """Read the arguments of a magic.

    Raises
    ------
    UsageError
        They cannot be understood.
    """
    try:
        return parse_argstring(magic, line)
    except (UsageError, ValueError) as error:
        said = str(error).removesuffix(".")
        sign = "%%" if magic.__name__ == "remote_cell" else "%"
        name = magic.__name__.removesuffix("_cell")
        raise UsageError(f"{said}; {sign}{name} --help shows what there is") from None


def evaluated(shell: Any, expression: str) -> Any:
    """Give the value of an expression.

    Raises
    ------
    UsageError
        It has none.
    NbrpcError
        The remote refused, or is gone.
    """
    try:
        return shell.ev(expression)
    except NbrpcError:
        raise
    except Exception as error:  # the user's expression may raise anything
        raise UsageError(
            f"{expression!r} cannot be evaluated: {type(error).__name__}: {error}"
        ) from None


def show(bundle: dict[str, str]) -> None:
    """Display a bundle in the cell."""
    display(bundle, raw=True)


def names_of(values: list[str]) -> list[str]:
    """Split comma-separated names.

    Raises
    ------
    ValueError
        One is not a variable's name.
    """
    return [identifier(name.strip()) for item in values for name in item.split(",") if name.strip()]


def identifier(name: str) -> str:
    """Give a name back if a variable can have it.

    Raises
    ------
    ValueError
        It cannot.
    """
    if not name.isidentifier():
        raise ValueError(f"{name!r} is not a variable's name")
    return name
