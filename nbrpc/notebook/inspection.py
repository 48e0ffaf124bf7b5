"""What ``?`` and Tab know about remote objects: asked once, and then remembered.

While IPython looks at a proxy, `looking` keeps the proxy from asking the remote anything, and
IPython's inspector is given what one request for the documentation brought: signature, docstring,
source and members. No getter of the remote runs.
"""

from __future__ import annotations

import ast
import inspect
import time
from collections import OrderedDict
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any
from weakref import WeakKeyDictionary

from nbrpc.errors import CallTimeout, ConnectionLost, NbrpcError
from nbrpc.objects.proxy import METHODS, Proxy, quiet, target_of, unread_text
from nbrpc.objects.text import printable
from nbrpc.protocol.messages import Operation

__all__ = ["PATIENCE", "Knowledge", "asking", "describe_target", "parameters_of"]

MOST = 1_024
"""Answers that are remembered for one connection."""

FRESH = 60.0
"""Seconds for which the answer about one object holds: it may get other attributes."""

UNTOLD = "(The peer speaks RPyC, which tells no signatures and no sources.)"

PATIENCE = 2.0
"""Seconds that a key which was pressed may wait for the remote."""


class Knowledge:
    """What remotes have told about their objects."""

    def __init__(self) -> None:
        # By session, since a server may be started again with other code. Within, by the class of
        # the proxy for what the remote class defines, else by object.
        self._known: WeakKeyDictionary[Any, OrderedDict[Any, Any]] = WeakKeyDictionary()

    @contextmanager
    def looking(self) -> Iterator[None]:
        """Keep proxies from asking the remote, while IPython or jedi looks at them."""
        token = quiet.set(self._exists)
        try:
            yield
        finally:
            quiet.reset(token)

    def _exists(self, proxy: Proxy, path: str) -> bool:
        try:
            return self.about(proxy, path) is not None
        except NbrpcError:
            return False

    def about(self, proxy: Proxy, path: str) -> dict[str, Any] | None:
        """Give what the remote tells about what a path leads to; None: nothing is there.

        Raises
        ------
        ConnectionLost, CallTimeout
            The remote did not answer.
        """
        description = proxy._nbrpc_description_
        of_class = description.kind == "instance" and path in description.members
        session: Any = proxy._nbrpc_session_
        table = self._known.setdefault(session, OrderedDict())
        key = (type(proxy) if of_class else proxy._nbrpc_oid_, path)
        entry = table.get(key)
        if entry is not None and (of_class or time.monotonic() - entry[0] < FRESH):
            return entry[1]  # type: ignore[no-any-return] # what was put in
        try:
            answer = ask(session, proxy._nbrpc_oid_, path)
        except (ConnectionLost, CallTimeout):
            raise
        except (NbrpcError, AttributeError, TypeError):
            answer = None
        if answer is not None and of_class and description.members[path] in METHODS:
            document_function(getattr(getattr(proxy, path, None), "__func__", None), answer)
        self._remember(table, key, answer)
        return answer

    def suppose(self, proxy: Proxy) -> None:
        """Remember the members of an object that has just come, with its description."""
        session: Any = proxy._nbrpc_session_
        if session.nests:
            return  # RPyC describes methods alone
        table = self._known.setdefault(session, OrderedDict())
        members = dict(proxy._nbrpc_description_.members)
        self._remember(table, (proxy._nbrpc_oid_, ""), {"members": members, "supposed": True})

    @staticmethod
    def _remember(table: OrderedDict[Any, Any], key: Any, answer: Any) -> None:
        table[key] = (time.monotonic(), answer)
        if len(table) > MOST:
            table.popitem(last=False)

    def members(self, proxy: Proxy, path: str) -> dict[str, str]:
        """Give the names that may stand behind a dot, with their kinds.

        Without an answer of the remote they are what the description of a proxy says.
        """
        try:
            answer = self.about(proxy, path) or {}
        except NbrpcError:
            answer = {}
        members = answer.get("members")
        if type(members) is not dict:
            return {} if path else dict(proxy._nbrpc_description_.members)
        return {str(name): str(kind) for name, kind in members.items()}

    def document(self, proxy: Proxy, path: str) -> dict[str, Any] | None:
        """Give what `about` gives, where more than the members is wanted."""
        answer = self.about(proxy, path)
        if answer is not None and answer.get("supposed"):
            session: Any = proxy._nbrpc_session_
            del self._known[session][proxy._nbrpc_oid_, path]
            answer = self.about(proxy, path)
        return answer

    def keys(self, proxy: Proxy, path: str) -> list[str | int]:
        """Give the keys of a remote container; one round trip each time, since they change."""
        try:
            answer = ask(proxy._nbrpc_session_, proxy._nbrpc_oid_, path, "keys")
        except Exception:  # whatever the remote raises: a key that is pressed shows no traceback
            return []
        keys = answer.get("keys", [])
        return [key for key in keys if type(key) in (str, int)]


def ask(session: Any, oid: int, path: str, *what: str) -> dict[str, Any]:
    """Ask for what one request tells about an object."""
    with asking():
        answer = session.request(Operation.DESCRIBE, oid, path, what, None, PATIENCE)
    return answer if type(answer) is dict else {}


@contextmanager
def asking() -> Iterator[None]:
    """Let proxies be as ever while we wait: what is served meanwhile is code of the user."""
    token = quiet.set(None)
    try:
        yield
    finally:
        quiet.reset(token)


def describe_target(knowledge: Knowledge, obj: Any, name: str, *, source: bool) -> dict[str, Any]:
    """Give what IPython's inspector shows of a proxy, a member or a remote method.

    Parameters
    ----------
    name
        What the user typed.
    source
        Whether the source is wanted as well.
    """
    target = target_of(obj)
    assert target is not None
    owner = obj if isinstance(obj, Proxy) else getattr(obj, "_nbrpc_owner_", None) or obj.__self__
    session, path = target[0], target[2]
    description = owner._nbrpc_description_
    found: dict[str, Any] = {"string_form": unread_text(owner, path)}
    try:
        answer = knowledge.document(owner, path) or {}
    except NbrpcError as error:
        answer = {}
        said = "" if path else f"{description.doc}\n\n"
        found["docstring"] = printable(f"{said}The remote could not be asked: {error}")
    # What is read and not called has the signature of its getter.
    signature = text_of(answer, "signature") if answer.get("type_name") != "property" else None
    is_class = answer.get("kind") == "class" or (not path and description.kind == "class")
    if signature:
        shown = f"{name.rpartition('.')[2]}{signature}"
        if is_class:
            found["init_definition"] = shown
        elif path or description.kind == "function":
            found["definition"] = shown
        else:
            found["call_def"] = shown
    if answer:
        found["docstring"] = text_of(answer, "doc") or "<no docstring>"
        if session.nests:
            found["docstring"] += f"\n\n{UNTOLD}"
    file, line = text_of(answer, "file"), answer.get("line")
    if file:
        at = f":{line}" if type(line) is int else ""
        found["file"] = printable(f"{file}{at} (at {session.name})")
    if source:
        found["source"] = text_of(answer, "source")
    kind = text_of(answer, "type_name") if path else None
    found["type_name"] = kind or printable(f"{description.name} (remote)")
    found["isclass"] = is_class
    return found


def text_of(answer: dict[str, Any], key: str) -> str | None:
    """Give a text of an answer, fit to be shown."""
    value = answer.get(key)
    return printable(value) if type(value) is str and value else None


def document_function(method: Any, answer: dict[str, Any]) -> None:
    """Give the local function of a remote method the docstring and signature of that."""
    if method is None:
        return
    method.__doc__ = text_of(answer, "doc")
    parameters = parameters_of(answer.get("signature"))
    if parameters:
        this = inspect.Parameter("self", inspect.Parameter.POSITIONAL_ONLY)
        try:
            method.__signature__ = inspect.Signature([this, *parameters])
        except ValueError:  # an order of parameters that Python has not
            pass


class Shown:
    """Stands for a default value, of which only the text is known."""

    def __init__(self, text: str) -> None:
        self.text = text

    def __repr__(self) -> str:
        return self.text


def parameters_of(signature: object) -> list[inspect.Parameter]:
    """Read the parameters in the text of a signature; nothing of it is evaluated."""
    if type(signature) is not str:
        return []
    try:
        (function,) = ast.parse(f"def f{signature}: pass").body
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        return []
    if not isinstance(function, ast.FunctionDef):
        return []
    given, kinds = function.args, inspect.Parameter
    positional = [
        *((arg, kinds.POSITIONAL_ONLY) for arg in given.posonlyargs),
        *((arg, kinds.POSITIONAL_OR_KEYWORD) for arg in given.args),
    ]
    without = len(positional) - len(given.defaults)
    defaults: list[ast.expr | None] = [*([None] * without), *given.defaults]
    parameters = [
        parameter(arg, kind, default)
        for (arg, kind), default in zip(positional, defaults, strict=True)
    ]
    if parameters and parameters[0].name == "self":
        del parameters[0]
    if given.vararg:
        parameters.append(parameter(given.vararg, kinds.VAR_POSITIONAL, None))
    for arg, default in zip(given.kwonlyargs, given.kw_defaults, strict=True):
        parameters.append(parameter(arg, kinds.KEYWORD_ONLY, default))
    if given.kwarg:
        parameters.append(parameter(given.kwarg, kinds.VAR_KEYWORD, None))
    return parameters


def parameter(arg: ast.arg, kind: Any, default: ast.expr | None) -> inspect.Parameter:
    """Make one parameter from its syntax."""
    empty = inspect.Parameter.empty
    return inspect.Parameter(
        arg.arg,
        kind,
        default=empty if default is None else Shown(ast.unparse(default)),
        annotation=empty if arg.annotation is None else Shown(ast.unparse(arg.annotation)),
    )
