"""Finding and making what ``nbrpc serve module:Thing`` serves."""

from __future__ import annotations

import ast
import difflib
import importlib
import inspect
import os
import sys
import traceback
from typing import Any

from nbrpc.app.command import WRONG_USAGE, Mistake

__all__ = ["load", "make_service", "read_arguments"]


def make_service(target: str, arguments: str, *, per_connection: bool) -> object:
    """Give what is to be served: of a class the one object that all connections share.

    Parameters
    ----------
    target
        ``module:Thing``.
    arguments
        For the class, as they stand in a call.
    per_connection
        Give a class instead, of which the server makes an object for each connection.

    Raises
    ------
    Mistake
        It cannot be found or made.
    """
    thing = load(target)
    args, kwargs = read_arguments(arguments)
    if not inspect.isclass(thing):
        if per_connection or arguments:
            option = "--per-connection" if per_connection else "--args"
            raise Mistake(f"{option} needs a class, and {target} is none", WRONG_USAGE)
        return thing
    try:
        inspect.signature(thing).bind(*args, **kwargs)
    except TypeError as exc:
        raise Mistake(f"{target} cannot be made: {exc}; arguments are given by --args") from exc
    except ValueError:
        pass  # a class written in C tells when it is called
    if not per_connection:
        try:
            return thing(*args, **kwargs)
        except Exception as exc:
            raise _failed(f"making {target}", exc) from exc
    if not arguments:
        return thing
    # The server makes the objects, and knows of no arguments.
    return _with_arguments(thing, args, kwargs)


def _with_arguments(base: Any, args: list[Any], kwargs: dict[str, Any]) -> type:
    """Give a class that is made without arguments, and is the same otherwise."""

    def make(self: object) -> None:
        base.__init__(self, *args, **kwargs)

    namespace = {name: getattr(base, name) for name in ("__module__", "__qualname__", "__doc__")}
    made: type = type(base)(base.__name__, (base,), {**namespace, "__init__": make})
    return made


def load(target: str) -> Any:
    """Import ``module:Thing``; the current folder is importable.

    Raises
    ------
    Mistake
        There is no such module, it fails, or it has no such thing.
    """
    module_name, _, path = target.partition(":")
    if module_name.endswith(".py"):
        raise Mistake(
            f"write the module's name without .py: {module_name[:-3]}:{path or 'Thing'}",
            WRONG_USAGE,
        )
    if not all(name.isidentifier() for name in [*module_name.split("."), *path.split(".")]):
        raise Mistake(
            f"{target!r} is not of the form module:Thing, as in nbrpc.demo:Bench", WRONG_USAGE
        )
    folder = os.getcwd()  # noqa: PTH109 - sys.path holds strings
    if folder not in sys.path:
        sys.path.insert(0, folder)
    try:
        thing: Any = importlib.import_module(module_name)
    except ModuleNotFoundError as exc:
        if exc.name and f"{module_name}.".startswith(f"{exc.name}."):
            raise Mistake(
                f"there is no module {exc.name!r} in this folder or among the installed packages"
            ) from exc
        raise Mistake(f"module {module_name!r} cannot be imported: {exc}") from exc
    except Exception as exc:
        raise _failed(f"importing {module_name}", exc) from exc
    place = f"module {module_name!r}"
    for name in path.split("."):
        if not hasattr(thing, name):
            raise Mistake(f"{place} has no {name!r}{_suggestion(thing, name)}")
        thing = getattr(thing, name)
        place = f"{name!r}"
    return thing


def _suggestion(thing: object, name: str) -> str:
    here = getattr(thing, "__name__", None)
    classes = [
        key
        for key, value in vars(thing).items()
        if inspect.isclass(value) and value.__module__ == here and not key.startswith("_")
    ]
    near = difflib.get_close_matches(name, [key for key in vars(thing) if key[:1] != "_"], n=1)
    if near:
        return f": is it {near[0]!r}?"
    return f": its classes are {', '.join(classes[:10])}" if classes else ""


def read_arguments(text: str) -> tuple[list[Any], dict[str, Any]]:
    """Read what stands between the parentheses of a call; plain values only, nothing is run.

    Raises
    ------
    Mistake
        It cannot be read.

    Examples
    --------
    >>> read_arguments('"COM3", speed=9600')
    (['COM3'], {'speed': 9600})
    """
    try:
        call = ast.parse(f"f({text}\n)", mode="eval").body
        if not (isinstance(call, ast.Call) and isinstance(call.func, ast.Name)):
            raise SyntaxError("it closes the parentheses")  # noqa: TRY004
        args = [ast.literal_eval(argument) for argument in call.args]
        kwargs: dict[str, Any] = {}
        for keyword in call.keywords:
            if keyword.arg is None or keyword.arg in kwargs:
                raise SyntaxError("neither ** nor a name given twice")
            kwargs[keyword.arg] = ast.literal_eval(keyword.value)
    except (SyntaxError, ValueError, RecursionError, MemoryError) as exc:
        raise Mistake(
            f"--args takes plain values as in a call, like '\"COM3\", speed=9600', not {text!r}",
            WRONG_USAGE,
        ) from exc
    return args, kwargs


def _failed(what: str, exc: Exception) -> Mistake:
    """Show the traceback of a user's code that failed, from the user's first frame on."""
    trace = exc.__traceback__
    while trace is not None and _is_machinery(trace.tb_frame.f_code.co_filename):
        trace = trace.tb_next
    traceback.print_exception(type(exc), exc, trace)
    return Mistake(f"{what} failed: {type(exc).__name__}: {exc}")


def _is_machinery(filename: str) -> bool:
    return filename in (__file__, importlib.__file__) or filename.startswith("<frozen importlib")
