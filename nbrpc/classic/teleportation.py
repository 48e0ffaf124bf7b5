"""Functions of this side, made anew on the peer from their source.

No bytecode travels, so the two sides may run different versions of Python.
"""

from __future__ import annotations

import ast
import inspect
from collections.abc import Callable, Mapping
from pathlib import PurePath
from types import FunctionType
from typing import Any

from nbrpc.classic.connecting import on_peer
from nbrpc.objects.boxing import by_value
from nbrpc.objects.proxy import is_proxy
from nbrpc.session.connection import Connection

__all__ = ["teleport_function"]

FunctionNode = ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda


def teleport_function(
    conn: Connection,
    func: Callable[..., Any],
    globals: Mapping[str, Any] | None = None,  # noqa: A002 - RPyC's name
    def_: bool = True,  # noqa: FBT001, FBT002 - RPyC's name and place
) -> Any:
    """Make a function of this side on the peer, where it then runs, and give a proxy of it.

    Parameters
    ----------
    func
        Written in Python, without a closure. Decorators stay behind; defaults go along by value.
    globals
        The global names that it finds there: a remote dict, or names and objects of this side; by
        default the namespace of the connection.
    def_
        Put it among those names under its own.

    Raises
    ------
    TypeError
        It is no plain function, or it has a closure.
    OSError
        Its source cannot be found.
    NotSendable
        A default cannot be copied.

    Examples
    --------
    >>> def host():
    ...     import socket
    ...     return socket.gethostname()
    >>> there = teleport_function(conn, host)  # doctest: +SKIP
    >>> there()  # doctest: +SKIP
    'bench-pc'
    """
    if not isinstance(func, FunctionType):
        raise TypeError(
            f"teleport_function takes a function that is written in Python, not {func!r}; of a "
            "method give the function, method.__func__"
        )
    if func.__closure__:
        names = ", ".join(func.__code__.co_freevars)
        raise TypeError(
            f"{func.__qualname__} has a closure, which stays here: it uses {names} of the function "
            "around it; pass that as an argument, or set it in conn.namespace"
        )
    source, line = _source_of(func)
    scope: Any = conn.namespace if globals is None else globals
    if not is_proxy(scope):
        scope = conn.builtins.dict(**scope)
    file = PurePath(func.__code__.co_filename).name
    keyword_defaults = func.__kwdefaults__
    return on_peer(conn).define(
        source,
        (f"<{func.__qualname__} of {file}>", line),
        scope,
        by_value(func.__defaults__),
        by_value(None if keyword_defaults is None else tuple(keyword_defaults.items())),
        name=func.__name__ if def_ and func.__name__.isidentifier() else None,
    )


def _source_of(function: FunctionType) -> tuple[str, int]:
    """Give a source that has only this function in it, and the number of its first line."""
    name = function.__qualname__
    try:
        lines, _ = inspect.findsource(function)
        text = "".join(lines)
        tree = ast.parse(text)
    except (OSError, SyntaxError) as error:
        raise OSError(
            f"the source of {name} cannot be found ({error}): define it in a file or in a notebook "
            "cell, or use conn.execute with its text"
        ) from error
    found = [
        node
        for node in ast.walk(tree)
        if isinstance(node, FunctionNode) and _is_source(node, function)
    ]
    if len(found) != 1:
        problem = "is not there any more" if not found else "holds several lambdas"
        raise OSError(
            f"line {function.__code__.co_firstlineno} of {function.__code__.co_filename}, where "
            f"{name} was defined, {problem}: define it anew with def"
        )
    node = found[0]
    if isinstance(node, ast.Lambda):
        return f"({ast.get_source_segment(text, node)})", node.lineno
    source = "".join(lines[node.lineno - 1 : node.end_lineno])
    if node.col_offset:
        # Removing the indentation would change the strings of several lines in it.
        return f"if True:\n{source}", node.lineno - 1
    return source, node.lineno


def _is_source(node: FunctionNode, function: FunctionType) -> bool:
    """Whether a node of a syntax tree is what a function was made of."""
    code = function.__code__
    decorators = [] if isinstance(node, ast.Lambda) else node.decorator_list
    node_name = "<lambda>" if isinstance(node, ast.Lambda) else node.name
    first = decorators[0].lineno if decorators else node.lineno
    arguments = node.args
    names = [*arguments.posonlyargs, *arguments.args, *arguments.kwonlyargs]
    count = code.co_argcount + code.co_kwonlyargcount
    return (
        node_name == code.co_name
        and first == code.co_firstlineno
        and tuple(argument.arg for argument in names) == code.co_varnames[:count]
    )
