"""Looking at the objects of an RPyC peer: Tab, ``?``, explorers and ``nbrpc inspect``.

RPyC tells the methods of an object with their docstrings, and all names that it has. It tells no
signatures and no sources, and not which names are exposed. No getter is run for any of this:
methods are found by their class, and only attributes of classes and modules are read.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from itertools import islice
from typing import TYPE_CHECKING, Any

from nbrpc.errors import LocalProtocolError, NbrpcError
from nbrpc.objects.glimpses import glimpse, named
from nbrpc.objects.proxy import is_proxy
from nbrpc.protocol.codec import Description
from nbrpc.protocol.messages import Operation
from nbrpc.protocol.rpyc.requests import RpycOperation
from nbrpc.session.rpyc.boxing import BUILTINS
from nbrpc.session.rpyc.patience import seconds_left

if TYPE_CHECKING:
    from nbrpc.session.rpyc.session import RpycSession

__all__ = ["describe", "html_of"]

EXPOSED = "exposed_"

OF_EVERY_SERVICE = frozenset(
    {"ALIASES", "on_connect", "on_disconnect", "get_service_aliases", "get_service_name"}
)

OF_MODULES = frozenset({"__spec__", "__loader__", "__package__", "__name__"})
"""What only modules have among their names."""

MOST_NAMES = 10_000
LONGEST_NAME = 200
LONGEST_DOC = 64 * 1024
MOST_KEYS = 1_000

SEQUENCES = frozenset({"list", "tuple"})
MAPPINGS = frozenset({"dict", "OrderedDict", "defaultdict", "Counter"})
CALLABLE = frozenset({"function", "method", "builtin_function_or_method"})


def describe(session: RpycSession, oid: int, path: str, args: tuple[Any, ...]) -> Any:
    """Answer what `Operation.DESCRIBE` asks, as far as RPyC tells it.

    Parameters
    ----------
    args
        Nothing for the documentation and members; ``("keys",)``; ``("overview",)`` for what
        `Connection.describe` gives; ``("page", part, start, count, *step)`` for a page of an
        explorer.

    Raises
    ------
    AttributeError
        There is nothing at that path, or nothing that can be looked at without being read.
    NbrpcError
        The peer refused or did not answer.
    """
    owner = session.boxing.proxy(oid)
    if owner is None:
        raise AttributeError("the object is gone")
    if args[:1] == ("page",):
        return _page(session, owner, path, args[1:])
    if args == ("keys",):
        return {"keys": _keys(session, _at(session, owner, path))}
    if args == ("overview",):
        return _overview(session, owner)
    if args:
        raise LocalProtocolError(f"the peer speaks RPyC, which cannot tell {args[0]!r:.50}")
    if not path:
        return _of_object(session, owner)
    *parts, name = path.split(".")
    return _of_attribute(session, _at(session, owner, ".".join(parts)), name)


# ---- asking


def _ask(session: RpycSession, *requests: tuple[Any, ...]) -> list[Any]:
    """Make several requests at once; what is refused is None."""
    calls = [
        session.begin(*request, *((),) * (4 - len(request)), None, seconds_left())
        for request in requests
    ]
    answers: list[Any] = []
    for call in calls:
        try:
            answers.append(session.finish(*call))
        except NbrpcError:
            if session.closed:
                raise
            answers.append(None)
    return answers


def _names_in(told: object) -> list[str]:
    names = told if type(told) is tuple else ()
    return [name for name in names[:MOST_NAMES] if type(name) is str and len(name) <= LONGEST_NAME]


def _docs_in(told: object) -> dict[str, str | None]:
    """Give the methods that a peer tells of, with their docstrings."""
    docs: dict[str, str | None] = {}
    for pair in told[:MOST_NAMES] if type(told) is tuple else ():
        if type(pair) is tuple and len(pair) == 2 and type(pair[0]) is str:
            docs[pair[0]] = _doc_in(pair[1])
    return docs


def _doc_in(told: object) -> str | None:
    return told[:LONGEST_DOC] if type(told) is str else None


# ---- what there is


def members_of(
    description: Description, names: Iterable[str], *, is_root: bool = False
) -> dict[str, str]:
    """Give the names that a user may mean, with their kinds: ``method`` or ``data``.

    Of a name with the prefix of exposed ones, what RPyC makes of it: the rest.
    """
    methods = description.members
    found: dict[str, str] = {}
    for name in (*methods, *names):
        kind = "method" if name in methods else "data"
        short = name.removeprefix(EXPOSED)
        if short[:1] != "_" and not (is_root and short in OF_EVERY_SERVICE):
            found.setdefault(short, kind)
    return found


def _of_object(session: RpycSession, proxy: Any) -> dict[str, Any]:
    """Give the documentation and the members of an object."""
    oid, description = proxy._nbrpc_oid_, proxy._nbrpc_description_
    names, doc = _ask(session, (Operation.DIR, oid, ""), (Operation.GET, oid, "__doc__", ()))
    told = _names_in(names)
    kind = "module" if set(told) >= OF_MODULES else description.kind
    members = (
        {} if kind == "function" else members_of(description, told, is_root=proxy is session.root)
    )
    return {**NOTHING, "doc": _doc_in(doc), "kind": kind, "members": members}


NOTHING: dict[str, Any] = {
    **dict.fromkeys(("signature", "source", "file", "line", "doc")),
    "kind": "data",
    "type_name": "",
    "members": {},
}


def _of_attribute(session: RpycSession, owner: Any, name: str) -> dict[str, Any]:
    description = owner._nbrpc_description_
    if description.kind == "instance" and name in description.members:
        (told,) = _ask(session, (RpycOperation.SPECIALS, owner._nbrpc_oid_, ""))
        docs = _docs_in(told)
        doc = docs.get(EXPOSED + name) or docs.get(name)
        return {**NOTHING, "doc": doc, "kind": "method", "type_name": "method"}
    if not _is_readable(session, owner, name):
        return {**NOTHING, "type_name": "attribute"}
    value = session.request(Operation.GET, owner._nbrpc_oid_, name)
    if not is_proxy(value):
        return {**NOTHING, "type_name": type(value).__name__}
    found = _of_object(session, value)
    kind = value._nbrpc_description_
    found["type_name"] = "module" if found["kind"] == "module" else kind.name
    if kind.kind == "class":
        found["type_name"] = "type"
    return found


def _is_readable(session: RpycSession, owner: Any, name: str) -> bool:
    """Whether reading an attribute runs no getter: whether its owner is a class or a module.

    Raises
    ------
    AttributeError
        There is no such attribute.
    """
    names = _names_in(session.request(Operation.DIR, owner._nbrpc_oid_, ""))
    if name not in names and EXPOSED + name not in names:
        raise AttributeError(f"there is no attribute {name[:80]!r}")
    return owner._nbrpc_description_.kind == "class" or set(names) >= OF_MODULES


def _at(session: RpycSession, owner: Any, path: str) -> Any:
    """Give the proxy at a path that can be walked without running a getter."""
    for name in filter(None, path.split(".")):
        known = owner._nbrpc_description_.members
        if name not in known and not _is_readable(session, owner, name):
            raise AttributeError(f"{name[:80]!r} cannot be looked into without being read")
        owner = session.request(Operation.GET, owner._nbrpc_oid_, name)
        if not is_proxy(owner):
            raise AttributeError(f"{name[:80]!r} is no remote object")
    return owner


def _keys(session: RpycSession, proxy: Any) -> list[Any]:
    """Give the first keys of a container; of others RPyC tells by a method, if they have it."""
    if _name_of(proxy) in SEQUENCES:
        return []
    keys: Any = proxy
    if _name_of(proxy) not in MAPPINGS:
        keys = session.request(Operation.CALL, proxy._nbrpc_oid_, "keys")
        if not is_proxy(keys):
            return []
    chunks = session.iterate_in_chunks(keys, MOST_KEYS, MOST_KEYS, 1)
    return [key for key in islice(chunks, MOST_KEYS) if type(key) in (str, int)]


def _name_of(proxy: Any) -> str:
    """Give the name of the builtin class of an object; empty for any other."""
    description = proxy._nbrpc_description_
    known = description.kind == "instance" and description.module in ("builtins", "collections")
    return description.name if known else ""


def _overview(session: RpycSession, proxy: Any) -> list[tuple[str, str, None, str | None]]:
    """Give name, kind, no signature and docstring of what a service exposes; one round trip."""
    oid = proxy._nbrpc_oid_
    told, names = _ask(session, (RpycOperation.SPECIALS, oid, ""), (Operation.DIR, oid, ""))
    docs, known = _docs_in(told), _names_in(names)
    members = members_of(proxy._nbrpc_description_, known, is_root=True)
    exposed = {name.removeprefix(EXPOSED) for name in known if name.startswith(EXPOSED)}
    if exposed - OF_EVERY_SERVICE:  # all else is closed, unless the server says otherwise
        members = {name: kind for name, kind in members.items() if name in exposed}
    return [
        (name, kind, None, docs.get(EXPOSED + name) or docs.get(name))
        for name, kind in sorted(members.items())
    ]


def html_of(session: RpycSession, oid: int) -> Callable[[], str | None] | None:
    """Ask whether an object shows itself as HTML; None where this side cannot ask for that.

    Returns
    -------
    callable
        Waits for the answer, and gives the HTML, if there is any. The request is on its way with
        whatever is asked meanwhile; a table costs another one.
    """
    proxy = session.boxing.proxy(oid)
    if proxy is None or not session.allows_code:
        return None
    description = proxy._nbrpc_description_
    if description.kind != "instance" or f"builtins.{description.name}" in BUILTINS:
        return None
    builtins = session.carried.get("builtins")
    if builtins is None:
        builtins = session.request(Operation.IMPORT, 0, "builtins")
        session.carried["builtins"] = builtins
    # Not read by its name: an object without it would fail, and that failure be the one which a
    # post-mortem shows.
    arguments = (proxy, "_repr_html_", None)
    asked = session.begin(
        Operation.CALL, builtins._nbrpc_oid_, "getattr", arguments, None, seconds_left()
    )

    def html() -> str | None:
        try:
            method = session.finish(*asked)
            told = method() if is_proxy(method) else None
        except NbrpcError:
            return None  # as in a notebook: what fails to show itself is a text
        return told if type(told) is str else None

    return html


# ---- pages of explorers


def _page(
    session: RpycSession, owner: Any, path: str, asked: tuple[Any, ...]
) -> tuple[Any, dict[str, Any]]:
    """Give an object, and a page of its items or members."""
    part, start, count, *step = asked
    target: Any = owner
    for name in filter(None, path.split(".")):  # the user has opened it, so it is read
        target = session.request(Operation.GET, target._nbrpc_oid_, name)
    if step:
        target = session.request(Operation.SPECIAL, target._nbrpc_oid_, "__getitem__", (step[0],))
    if not is_proxy(target):
        return target, {"rows": [], "total": 0}
    name = "" if part == "members" else _name_of(target)
    if name in SEQUENCES:
        return target, _items(session, target, start, count)
    if name in MAPPINGS:
        return target, _entries(session, target, start, count)
    return target, _members(session, target, start, count)


def _items(session: RpycSession, target: Any, start: int, count: int) -> dict[str, Any]:
    oid = target._nbrpc_oid_
    total, part = _ask(
        session,
        (Operation.SPECIAL, oid, "__len__"),
        (Operation.SPECIAL, oid, "__getitem__", (slice(start, start + count),)),
    )
    items = part
    if is_proxy(part):
        items = list(islice(session.iterate_in_chunks(part, count, count, 1), count))
    rows = [_item(str(start + i), start + i, value) for i, value in enumerate(items or ())]
    return {"rows": rows, "total": total}


def _entries(session: RpycSession, target: Any, start: int, count: int) -> dict[str, Any]:
    oid, end = target._nbrpc_oid_, start + count
    total = session.request(Operation.SPECIAL, oid, "__len__")
    keys = list(islice(session.iterate_in_chunks(target, end, end, 1), start, end))
    plain = [key for key in keys if not is_proxy(key)]
    values = _ask(session, *((Operation.SPECIAL, oid, "__getitem__", (key,)) for key in plain))
    rows = [
        _item(glimpse(key) or named(key), key, value)
        for key, value in zip(plain, values, strict=True)
    ]
    return {"rows": rows, "total": total - (len(keys) - len(plain))}


def _item(name: str, key: Any, value: Any) -> list[Any]:
    """Give the row of an item."""
    if is_proxy(value):
        return [name, "item", value._nbrpc_description_.name, "", "", True, False, (key,)]
    return [name, "item", glimpse(value) or named(value), "", "", False, False, ()]


def _members(session: RpycSession, target: Any, start: int, count: int) -> dict[str, Any]:
    oid, description = target._nbrpc_oid_, target._nbrpc_description_
    names, told = _ask(session, (Operation.DIR, oid, ""), (RpycOperation.SPECIALS, oid, ""))
    docs = _docs_in(told)
    members = members_of(description, _names_in(names), is_root=target is session.root)
    rows = []
    for name, kind in sorted(members.items())[start : start + count]:
        doc = docs.get(EXPOSED + name) or docs.get(name) or ""
        first = doc.strip().partition("\n")[0]
        if kind == "method":
            rows.append([name, kind, "", "", first, False, False, ()])
        else:  # it may be computed when it is read
            rows.append([name, "property", "", "", "", False, True, ()])
    return {"rows": rows, "total": len(members)}
