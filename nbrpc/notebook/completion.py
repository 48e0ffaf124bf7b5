"""Tab and ``?`` on proxies, ``%whos``, and both keys in ``%%remote`` cells.

A matcher of ours runs before those of IPython and answers wherever the cursor stands behind
something remote: names after a dot, keys in brackets, parameters in a call. So it makes no
difference whether jedi is on. Everything else is left to IPython and jedi, which meanwhile find
that proxies answer from their descriptions only (`Knowledge.looking`).
"""

from __future__ import annotations

import ast
import builtins
import copy
import inspect
import keyword
import re
from collections.abc import Callable, Iterable
from typing import Any, NamedTuple

from IPython.core.completer import CompletionContext, SimpleCompletion

from nbrpc.errors import NbrpcError
from nbrpc.notebook.connections import Connections
from nbrpc.notebook.inspection import (
    PATIENCE,
    Knowledge,
    asking,
    describe_target,
    parameters_of,
)
from nbrpc.notebook.magic_completion import MagicCompletion
from nbrpc.notebook.remote_cell import MAGIC
from nbrpc.objects.proxy import Member, Proxy, is_proxy, target_of
from nbrpc.protocol.messages import Operation
from nbrpc.session.connection import Connection
from nbrpc.session.modules import Modules
from nbrpc.widgets.sanitize import clean

__all__ = ["Completion"]

EXPRESSION = r"""(?<![\w.\])])([^\W\d]\w*(?:\.[^\W\d]\w*|\[(?:-?\d+|'[^'\n]*'|"[^"\n]*")\])*)"""
ATTRIBUTE = re.compile(EXPRESSION + r"\.(\w*)$")
KEY = re.compile(EXPRESSION + r"""\[\s*((['"]?)[^'"\]\n]*)$""")
CALLED = re.compile(EXPRESSION + r"$")
WORD = re.compile(r"(?<![\w.])\w*$")
LITERAL = re.compile(
    r"'''.*?'''|\"\"\".*?\"\"\"|'(?:\\.|[^'\\\n])*'|\"(?:\\.|[^\"\\\n])*\"|#[^\n]*", re.DOTALL
)

CALL = re.compile(r"[()\[\]{}]")

EVALUATED = re.compile(r"\s*(?:[\w,\s]+=\s*)?%remote[ \t]+(.*)\Z")
"""An expression that is evaluated on the current connection."""

KINDS = {
    "method": "function",
    "coroutine": "function",
    "generator": "function",
    "property": "property",
    "class": "class",
    "exception": "class",
    "module": "module",
}
"""What a front end calls the kinds of members; anything else is an instance."""

LOOKED_INTO = frozenset({"DataFrame", "Series", "dict", "list", "ndarray", "tuple"})
"""Types that %whos knows by name, and asks for length or shape."""

INSPECTING = ("_inspect", "object_inspect", "object_inspect_mime")
"""The methods of the shell through which every ``?`` goes."""


class Place(NamedTuple):
    """Something remote: a path of names from a proxy."""

    proxy: Proxy
    path: str


class Completion:
    """What completes and inspects remote objects in one shell.

    Parameters
    ----------
    shell
        IPython's shell.
    connection_of
        Gives the connection of a ``%%remote`` line, or None.
    connections
        Those of the notebook.
    served
        Gives the names of what this kernel serves.
    """

    def __init__(
        self,
        shell: Any,
        connection_of: Callable[[str], Any],
        connections: Connections,
        served: Callable[[], list[str]],
    ) -> None:
        self._shell = shell
        self._connection_of = connection_of
        self._magics = MagicCompletion(shell, connections, self._remote_names, served)
        self._knowledge = Knowledge()
        self._undo: list[Callable[[], None]] = []
        completer = shell.Completer

        def match(context: CompletionContext) -> dict[str, Any]:
            return self._match(context)

        # As IPython's own decorator marks a matcher of this kind; before all others.
        match.__dict__.update(
            matcher_identifier="nbrpc", matcher_priority=1_000, matcher_api_version=2
        )
        completer.custom_matchers.append(match)
        self._undo.append(lambda: completer.custom_matchers.remove(match))
        self._wrap(completer, "completions", self._quietly_listed)
        self._wrap(completer, "complete", self._quietly)
        for name in INSPECTING:
            self._wrap(shell, name, self._quietly)
        self._wrap(shell.inspector, "info", self._informed)
        kernel = getattr(shell, "kernel", None)
        if kernel is not None:
            self._wrap(kernel, "do_inspect", self._inspecting_remotely)
        self._replace_whos()

    def close(self) -> None:
        """Take everything back."""
        while self._undo:
            self._undo.pop()()

    # -- hooks -----------------------------------------------------------------------------------

    def _wrap(self, obj: Any, name: str, wrapper: Callable[[Any], Any]) -> None:
        original = getattr(obj, name)
        own = vars(obj).get(name)
        wrapped = wrapper(original)
        setattr(obj, name, wrapped)

        def undo() -> None:
            if vars(obj).get(name) is not wrapped:
                return  # somebody else has wrapped it meanwhile
            if own is None:
                delattr(obj, name)
            else:
                setattr(obj, name, own)

        self._undo.append(undo)

    def _quietly(self, original: Any) -> Any:
        def call(*args: Any, **kwargs: Any) -> Any:
            with self._knowledge.looking():
                return original(*args, **kwargs)

        return call

    def _quietly_listed(self, original: Any) -> Any:
        def call(*args: Any, **kwargs: Any) -> Any:
            with self._knowledge.looking():
                return iter(list(original(*args, **kwargs)))

        return call

    def _informed(self, original: Any) -> Any:
        def info(obj: Any, oname: str = "", info: Any = None, detail_level: int = 0) -> Any:
            if not is_proxy(obj):
                return original(obj, oname, info=info, detail_level=detail_level)
            empty = original(None, oname, info=info)
            found = describe_target(self._knowledge, obj, oname, source=detail_level > 0)
            return {**dict.fromkeys(empty), **_flags(empty), **found}

        return info

    def _replace_whos(self) -> None:
        magics = self._shell.magics_manager.magics["line"]
        owner = getattr(magics.get("whos"), "__self__", None)
        if owner is None or not hasattr(owner, "whos"):
            return
        original = magics["whos"]  # read now: IPython loads its magics when they are asked for

        def whos(line: str = "") -> Any:
            view = copy.copy(owner)
            with self._knowledge.looking():
                view.shell = ShellView(self._shell)
                return view.whos(line)

        whos.__doc__ = original.__doc__
        magics["whos"] = whos
        self._undo.append(lambda: magics.update(whos=original))

    # -- matching --------------------------------------------------------------------------------

    def _match(self, context: CompletionContext) -> dict[str, Any]:
        lines = context.full_text.split("\n")
        before = lines[context.cursor_line][: context.cursor_position]
        text = "\n".join([*lines[: context.cursor_line], before])
        if lines[0].startswith(MAGIC) and context.cursor_line:
            return self._match_remotely(lines, text)
        evaluated = EVALUATED.match(before)
        if evaluated is not None:
            return self._match_remotely(["", evaluated[1]], "\n" + evaluated[1])
        offered = self._magics.match(before)
        if offered is not None and offered[0]:
            return answer(map(SimpleCompletion, offered[0]), offered[1])
        masked = LITERAL.sub(lambda match: " " * len(match[0]), text)
        in_string = "'" in masked or '"' in masked
        attribute = None if in_string else ATTRIBUTE.search(before)
        if attribute is not None:
            return self._attributes(attribute[1], attribute[2])
        key = KEY.search(before)
        if key is not None and in_string == bool(key[3]):
            return self._keys(key[1], key[2], key[3])
        return answer([], "") if in_string else self._parameters(text, masked)

    def _attributes(self, expression: str, start: str) -> dict[str, Any]:
        place = self._find(expression)
        if isinstance(place, Place):
            members = self._knowledge.members(place.proxy, place.path)
        elif isinstance(place, Connection):
            # jedi would read each of its properties, some of which ask the remote.
            members = dict.fromkeys([*vars(place), *dir(type(place))], "")
        else:
            return answer([], "")
        return answer(
            (
                SimpleCompletion(name, type=KINDS.get(kind, "instance"))
                for name, kind in sorted(members.items())
                if name.isidentifier()
                and name.startswith(start)
                and (start.startswith("_") or not name.startswith("_"))
            ),
            start,
        )

    def _keys(self, expression: str, typed: str, quote: str) -> dict[str, Any]:
        place = self._find(expression)
        if not isinstance(place, Place):
            return answer([], "")
        shown = []
        for key in self._knowledge.keys(place.proxy, place.path):
            if isinstance(key, str) and not (key.isprintable() and "\\" not in key):
                continue
            text = repr(key)
            if quote:
                if not isinstance(key, str) or quote in key:
                    continue
                text = key
            if text.startswith(typed[len(quote) :]):
                shown.append(SimpleCompletion(text, type="dict key"))
        if not quote:  # names may stand there as well
            shown += map(SimpleCompletion, self._shell.Completer.global_matches(typed))
        return answer(shown, typed[len(quote) :])

    def _parameters(self, text: str, masked: str) -> dict[str, Any]:
        """Offer the parameters of a remote method whose call the cursor is in, and all names."""
        word = WORD.search(masked)
        if word is None:
            return answer([], "")
        start = open_call(masked)
        called = CALLED.search(text[:start].rpartition("\n")[2]) if start else None
        place = self._find(called[1]) if called is not None else None
        if not isinstance(place, Place):
            return answer([], "")
        try:
            known = self._knowledge.document(place.proxy, place.path) or {}
        except NbrpcError:
            return answer([], "")
        named = (inspect.Parameter.POSITIONAL_OR_KEYWORD, inspect.Parameter.KEYWORD_ONLY)
        arguments = masked[start + 1 :]
        offered = [
            SimpleCompletion(f"{item.name}=", type="param")
            for item in parameters_of(known.get("signature"))
            if item.kind in named
            and item.name.startswith(word[0])
            and not re.search(rf"(?<!\w){item.name}\s*=(?!=)", arguments)
        ]
        names = self._shell.Completer.global_matches(word[0])
        return answer([*offered, *map(SimpleCompletion, names)], word[0])

    def _match_remotely(self, lines: list[str], text: str) -> dict[str, Any]:
        source = "\n".join(lines[1:])
        cursor = len(text) - len(lines[0]) - 1
        found = self._ask_remotely(lines[0], Operation.COMPLETE, (source, cursor))
        matches, start = found.get("matches"), found.get("cursor_start")
        if not isinstance(matches, list) or not isinstance(start, int):
            return answer([], "")
        # What a key inserts into a cell is text that its user can see.
        seen = [text for text in matches if isinstance(text, str) and text.isprintable()]
        return answer(map(SimpleCompletion, seen), source[start:cursor])

    def _remote_names(self, targets: str, start: str) -> list[str]:
        """Give the variables of a remote namespace that begin so."""
        line = f"{MAGIC} {targets}"
        found = self._ask_remotely(line, Operation.COMPLETE, (start, len(start))).get("matches")
        names = {name for name in found if isinstance(name, str)} if isinstance(found, list) else ()
        return sorted(
            name
            for name in names
            if name.isidentifier()
            and name.startswith(start)
            and not keyword.iskeyword(name)
            and not hasattr(builtins, name)
        )

    def _inspecting_remotely(self, original: Any) -> Any:
        def do_inspect(code: str, cursor_pos: int, detail_level: int = 0, *rest: Any) -> Any:
            line, _, source = code.partition("\n")
            cursor = cursor_pos - len(line) - 1
            if not line.startswith(MAGIC) or cursor < 0:
                return original(code, cursor_pos, detail_level, *rest)
            question = (source, cursor, detail_level)
            found = self._ask_remotely(line, Operation.INSPECT, question)
            text = found.get("data", {}).get("text/plain")
            data = {"text/plain": clean(text)} if isinstance(text, str) else {}
            return {"status": "ok", "found": bool(data), "data": data, "metadata": {}}

        return do_inspect

    def _ask_remotely(self, line: str, op: Operation, args: tuple[Any, ...]) -> dict[str, Any]:
        """Ask the connection of a ``%%remote`` line; nothing when that fails."""
        connection = self._connection_of(line.removeprefix(MAGIC).strip())
        if connection is None:
            return {}
        try:
            with asking():
                found = connection.session.request(op, 0, "", args, None, PATIENCE)
        except Exception:  # whatever the remote raises: a key that is pressed shows no traceback
            return {}
        return found if isinstance(found, dict) else {}

    # -- looking up ------------------------------------------------------------------------------

    def _find(self, expression: str) -> Any:
        """Give what an expression leads to without running anything: a `Place`, or an object."""
        try:
            return self._walk(ast.parse(expression, mode="eval").body)
        except (SyntaxError, LookupError, AttributeError, TypeError, NbrpcError):
            return None

    def _walk(self, node: ast.expr) -> Any:
        if isinstance(node, ast.Name):
            return placed(self._shell.user_ns[node.id])
        if isinstance(node, ast.Attribute):
            return self._member(self._walk(node.value), node.attr)
        if isinstance(node, ast.Subscript):
            container = self._walk(node.value)
            if type(container) in (list, tuple, dict):
                return placed(container[ast.literal_eval(node.slice)])
        raise LookupError("it cannot be looked up without being run")

    def _member(self, obj: Any, name: str) -> Any:
        if isinstance(obj, Place):
            return Place(obj.proxy, f"{obj.path}.{name}" if obj.path else name)
        if isinstance(obj, Connection) and name == "root":
            is_new = vars(obj).get("_root") is None
            with asking():
                root = obj.root
            if is_new and isinstance(root, Proxy):
                self._knowledge.suppose(root)
            return placed(root)
        if isinstance(obj, Modules):
            return placed(vars(obj)["_known"][name])
        value = inspect.getattr_static(obj, name)
        if isinstance(obj, Connection) and name == "modules":
            value = obj.modules
        elif hasattr(type(value), "__get__"):
            raise LookupError("it is computed when it is read")
        return placed(value)


class ShellView:
    """A shell as %whos sees it: proxies are replaced by what is known of them."""

    def __init__(self, shell: Any) -> None:
        self._shell = shell
        self.user_ns = {name: stand_in(value) for name, value in shell.user_ns.items()}

    def __getattr__(self, name: str) -> Any:
        return getattr(self._shell, name)


def stand_in(value: Any) -> Any:
    """Give an object with the type name and text of a proxy; anything else as it is."""
    kind = type(value)
    if not issubclass(kind, Proxy):
        return value
    text = repr(value)  # asks nobody meanwhile
    name = kind.__name__ + (" (remote)" if kind.__name__ in LOOKED_INTO else "")
    return type(name, (), {"__str__": lambda _: text, "__repr__": lambda _: text})()


def placed(value: Any) -> Any:
    """Give the place of what is remote; anything else as it is."""
    if target_of(value) is None:
        return value
    if issubclass(type(value), Proxy):
        return Place(value, "")
    if type(value) is Member:
        return Place(value._nbrpc_owner_, value._nbrpc_path_)
    return Place(value.__self__, value.__func__._nbrpc_path_)


def open_call(masked: str) -> int:
    """Give the position of the parenthesis in which the text ends; 0 if it is in no call."""
    depth = 0
    for match in reversed(list(CALL.finditer(masked))):
        if match[0] in ")]}":
            depth += 1
        elif depth:
            depth -= 1
        else:
            return match.start() if match[0] == "(" else 0
    return 0


def answer(completions: Iterable[SimpleCompletion], fragment: str) -> dict[str, Any]:
    """Give a matcher's result; when there are completions, other matchers are not asked."""
    return {"completions": list(completions), "matched_fragment": fragment, "suppress": True}


def _flags(information: dict[str, Any]) -> dict[str, Any]:
    """Keep of IPython's information what does not describe the object."""
    kept = ("name", "found", "ismagic", "isalias", "namespace")
    return {name: information[name] for name in kept}
