"""Python cells: compiled, run in a namespace, awaited where they await; the last value is given.

This is the plain part of the remote shell. It knows neither IPython nor where output goes.
"""

from __future__ import annotations
import __future__

import ast
import importlib
import inspect
import io
import linecache
import re
import sys
import tokenize
from collections import deque
from collections.abc import Callable, Coroutine, Iterator
from contextlib import contextmanager, suppress
from types import CodeType, ModuleType, TracebackType
from typing import Any

__all__ = ["CellRunner", "NamespaceModule", "import_customary", "main_module", "traceback_from"]

CUSTOMARY = {"np": "numpy", "pd": "pandas", "plt": "matplotlib.pyplot"}
"""Names under which everybody knows these libraries."""

REMEMBERED = 500
"""Cells whose source tracebacks and ``inspect.getsource`` still find; a notebook has fewer."""

TICK = 0.1
"""Seconds between chances for a cancellation to be noticed while a cell awaits."""


class CellRunner:
    """Runs the cells of one shell, one after another; not thread-safe."""

    def __init__(self) -> None:
        self._filenames: deque[str] = deque()
        self._loop: Any = None

    def run(
        self,
        code: str,
        namespace: dict[str, Any],
        name: str,
        *,
        show: Callable[[object], None],
        transform: Callable[[ast.Module], ast.Module] | None = None,
    ) -> None:
        """Run `code` to its end; whatever it raises is raised.

        Parameters
        ----------
        name
            The file name in tracebacks; the source is found under it afterwards.
        show
            Takes the value of the last expression, unless that is None or a semicolon follows.
        transform
            Changes the syntax tree before it is compiled.
        """
        code = code if code.endswith("\n") else code + "\n"
        self._remember(name, code)
        tree = ast.parse(code, name)
        if transform is not None:
            tree = transform(tree)
        value = self._evaluate(_compile(tree, namespace, name), namespace)
        if value is not None:
            namespace["_"] = value
            if not _ends_in_semicolon(code):
                show(value)

    def close(self) -> None:
        """Close the event loop of the cells that awaited."""
        if self._loop is not None:
            self._loop.close()
            self._loop = None

    def _evaluate(self, parts: list[CodeType], namespace: dict[str, Any]) -> Any:
        """Run the parts of a cell and give the value of the last one."""
        if any(part.co_flags & inspect.CO_COROUTINE for part in parts):
            return self._await(_evaluate_in_loop(parts, namespace))
        value = None
        for part in parts:
            value = eval(part, namespace)  # noqa: S307 - running code is what the peer may do
        return value

    def _await(self, coroutine: Coroutine[Any, Any, Any]) -> Any:
        """Run a cell that awaits, on a loop that stays from cell to cell."""
        import asyncio

        if asyncio._get_running_loop() is not None:  # noqa: SLF001 - the public one raises
            coroutine.close()
            raise RuntimeError("a cell cannot await here: its server runs inside an event loop")
        if self._loop is None:
            self._loop = asyncio.new_event_loop()
        loop = self._loop
        task = loop.create_task(coroutine)
        ticking = loop.create_task(_tick())
        try:
            return loop.run_until_complete(task)
        except BaseException:
            if not task.done():  # interrupted: the rest of the cell must not run with the next one
                task.cancel()
                loop.run_until_complete(asyncio.wait([task]))
            if not task.cancelled():
                task.exception()  # seen, and on its way to the caller
            raise
        finally:
            ticking.cancel()
            loop.run_until_complete(asyncio.wait([ticking]))

    def _remember(self, name: str, code: str) -> None:
        linecache.cache[name] = (len(code), None, code.splitlines(keepends=True), name)
        self._filenames.append(name)
        if len(self._filenames) > REMEMBERED:
            linecache.cache.pop(self._filenames.popleft(), None)


class NamespaceModule(ModuleType):
    """A module whose attributes are a namespace that exists already."""

    def __init__(self, namespace: dict[str, Any]) -> None:
        super().__init__("__main__")
        super().__setattr__("_namespace", namespace)

    @property
    def __dict__(self) -> dict[str, Any]:  # type: ignore[override]
        namespace: dict[str, Any] = self._namespace
        return namespace

    def __getattr__(self, name: str) -> Any:
        try:
            return self._namespace[name]
        except KeyError:
            raise AttributeError(f"module '__main__' has no attribute {name!r}") from None

    def __setattr__(self, name: str, value: object) -> None:
        self._namespace[name] = value

    def __delattr__(self, name: str) -> None:
        try:
            del self._namespace[name]
        except KeyError:
            raise AttributeError(f"module '__main__' has no attribute {name!r}") from None


@contextmanager
def main_module(namespace: dict[str, Any]) -> Iterator[None]:
    """Make `namespace` the module ``__main__`` for a while.

    So classes that a cell defines can be pickled, and ``if __name__ == "__main__"`` holds.
    """
    namespace.setdefault("__name__", "__main__")
    before = sys.modules["__main__"]
    sys.modules["__main__"] = NamespaceModule(namespace)
    try:
        yield
    finally:
        sys.modules["__main__"] = before


def traceback_from(traceback: TracebackType | None, name: str) -> TracebackType | None:
    """Drop the frames of `traceback` above the first one of the file `name`."""
    while traceback is not None and traceback.tb_frame.f_code.co_filename != name:
        traceback = traceback.tb_next
    return traceback


def _compile(tree: ast.Module, namespace: dict[str, Any], name: str) -> list[CodeType]:
    """Compile a cell: its statements, and its last expression apart, which has a value.

    Both are compiled before either runs, so that a mistake in the last line is found first.
    """
    flags = _future_flags(namespace) | _future_imports(tree) | ast.PyCF_ALLOW_TOP_LEVEL_AWAIT
    last = tree.body.pop() if tree.body and isinstance(tree.body[-1], ast.Expr) else None
    parts = [compile(tree, name, "exec", flags, dont_inherit=True)]
    if isinstance(last, ast.Expr):
        expression = ast.Expression(last.value)
        parts.append(compile(expression, name, "eval", flags, dont_inherit=True))
    return parts


async def _evaluate_in_loop(parts: list[CodeType], namespace: dict[str, Any]) -> Any:
    value = None
    for part in parts:
        value = eval(part, namespace)  # noqa: S307 - running code is what the peer may do
        if part.co_flags & inspect.CO_COROUTINE:
            value = await value
    return value


async def _tick() -> None:
    """Wake the loop now and then.

    The cancellation of a thread other than the main one is noticed when Python code next runs in
    it, and a loop that sleeps runs none.
    """
    import asyncio

    while True:  # noqa: ASYNC110 - an event would not wake the loop by itself
        await asyncio.sleep(TICK)


def _ends_in_semicolon(code: str) -> bool:
    skipped = {tokenize.COMMENT, tokenize.NL, tokenize.NEWLINE, tokenize.ENDMARKER}
    last = ""
    for token in tokenize.generate_tokens(io.StringIO(code).readline):
        if token.type not in skipped:
            last = token.string
    return last == ";"


FEATURES: dict[str, Any] = {
    name: feature
    for name, feature in vars(__future__).items()
    if name in __future__.all_feature_names
}


def _future_flags(namespace: dict[str, Any]) -> int:
    """Give the flags of the features that earlier cells of this namespace imported."""
    flags = 0
    for name, feature in FEATURES.items():
        if name in namespace and namespace[name] is feature:
            flags |= feature.compiler_flag
    return flags


def _future_imports(tree: ast.Module) -> int:
    """Give the flags of the features that a cell imports: its last line is compiled apart."""
    flags = 0
    for node in tree.body:
        if isinstance(node, ast.ImportFrom) and node.module == "__future__":
            for alias in node.names:
                if alias.name in FEATURES:  # other names fail when the cell is compiled
                    flags |= FEATURES[alias.name].compiler_flag
    return flags


def import_customary(source: str, namespace: dict[str, Any]) -> None:
    """Import numpy, pandas and pyplot under their customary names where a cell uses them unbound.

    A notebook has imported them in its own kernel long ago, and a cell that moves to another
    process should not fail for that. A name that is bound, or a library that is missing, is left
    alone.
    """
    for name, module in CUSTOMARY.items():
        if name not in namespace and re.search(rf"(?<![\w.]){name}\.", source):
            with suppress(ImportError):
                namespace[name] = importlib.import_module(module)
