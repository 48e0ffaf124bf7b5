"""`Explorer`: walks a remote object, a page at a time, and reads nothing unasked."""

from __future__ import annotations

import threading
from html import escape
from typing import Any

import traitlets

from nbrpc.errors import AccessDenied, CallTimeout, ConnectionLost
from nbrpc.objects.glimpses import spelled
from nbrpc.objects.proxy import target_of
from nbrpc.protocol.codec import Description
from nbrpc.widgets import page
from nbrpc.widgets.errands import later, soon
from nbrpc.widgets.live import LiveWidget, source
from nbrpc.widgets.tree import MOST_ROWS, PATIENCE, Node, Tree

__all__ = ["Explorer"]

SLOW = 0.06
"""Seconds without an answer after which a row says that it waits: most answers are quicker, and
nothing flickers."""

LOOK = 1.0
"""Seconds between two looks at the connection, of whose end nobody tells."""


class Explorer(LiveWidget):
    """A tree of what a remote object has: attributes, methods, events, items.

    Opening a row costs one request, and no getter of the remote runs for it. The value of a
    property is read only when its button is pressed.

    Parameters
    ----------
    proxy
        What to explore: a proxy, or a member of one.
    label
        What to call it; the name of its class unless given.

    Raises
    ------
    TypeError
        It is not remote.
    """

    _esm = source("common.js", "explorer.js")
    _css = source("common.css", "explorer.css")

    title = traitlets.Unicode().tag(sync=True)
    place = traitlets.Unicode().tag(sync=True)
    state = traitlets.Unicode("open").tag(sync=True)
    notice = traitlets.Unicode().tag(sync=True)
    rows: traitlets.List[Any] = traitlets.List().tag(sync=True)

    def __init__(self, proxy: Any, label: str = "") -> None:
        target = target_of(proxy)
        if target is None:
            raise TypeError(
                f"an explorer shows remote objects, and this {type(proxy).__name__} is a local one"
            )
        session: Any = target[0]
        described = None if target[2] else proxy._nbrpc_description_
        name = target[2] if described is None else described.name
        self._proxy = proxy
        self._described = described
        self._guard = threading.Lock()
        doc = ""
        if described is not None and described.module != "builtins":  # nobody asks what a list is
            doc = described.doc
        self._tree = Tree(proxy, name, doc)
        self._dirty = True
        super().__init__(label or name)
        self.title = spelled(label or name)
        self.place = spelled(session.name)
        self._begin(self._tree.root, "open")
        self._watch()

    # ---- what the page asks for

    def answer(self, content: dict[str, Any], buffers: list[Any]) -> None:
        """Take what was pressed: open, close, more or read, of a node."""
        what = content.get("kind")
        with self._guard:
            node = self._tree.find(content.get("node"))
        if node is None:
            return
        if what == "close":
            with self._guard:
                self._tree.close(node)
                self._dirty = True
            self.touch()
        else:
            self._begin(node, str(what))

    def _begin(self, node: Node, what: str) -> None:
        """Have a worker ask, if that makes sense."""
        with self._guard:
            sensible = {
                "open": node.opens and not node.is_open,
                "more": node.is_open and node.left > 0,
                "read": node.reads,
            }
            if node.busy or not sensible.get(what):
                return
            node.error = ""
            self._dirty = True
            if what != "read" and not self._tree.has_room():
                node.error = f"more than {MOST_ROWS:,} rows are open: close some first"
                self.touch()
                return
            node.busy = what
        soon(self._carry_out, node, what)
        self.touch_later(SLOW)

    # ---- on a worker

    def _carry_out(self, node: Node, what: str) -> None:
        """Ask, and show what came: an answer, or one sentence."""
        error, value = "", None
        found: dict[str, Any] = {}
        try:
            if what == "read":
                value = self._tree.fetch(node)
            else:
                start = len(node.children) - node.beside if what == "more" else 0
                value, found = self._tree.ask(node, start)
        except Exception as problem:  # a getter may raise anything
            error = _sentence(problem)
        with self._guard:
            if self.closed or node.busy != what or self._tree.find(node.identity) is not node:
                return  # it was closed meanwhile
            node.busy = ""
            self._dirty = True
            try:
                if error:
                    node.error = error
                elif what == "read":
                    self._tree.take_value(node, value)
                else:
                    self._tree.take_page(node, value, found)
            except Exception as problem:  # what a peer sends may be anything: the row says so
                node.error = _sentence(problem)
        self.touch()

    # ---- what the page shows

    def refresh(self) -> None:
        """Send the rows, when they have changed."""
        self._look_after_link()
        with self._guard:
            if not self._dirty:
                return
            self._dirty = False
            rows = [_row_of(node, ends) for node, ends in self._tree.walk()]
        self.rows = rows

    @property
    def _session(self) -> Any:
        """The session of the object: another one when the connection of a root has come back."""
        target = target_of(self._proxy)
        assert target is not None  # it was one when this was made
        return target[0]

    def _look_after_link(self) -> None:
        """Say what has become of the connection; that of a root may come back."""
        session = self._session
        if self.state != "open":
            return
        if not session.closed:
            self.notice = ""
            return
        if session.revival is not None and session.revival.working:
            what = "Connection lost, it is being made anew"
        else:
            self.state = "closed" if session.closed_here else "lost"
            what = "Closed" if session.closed_here else "Connection lost"
        self.notice = spelled(f"{what}: {session.lost_because}", 300)

    def _watch(self) -> None:
        if self.state == "open" and not self.closed:
            if self._session.closed or self.notice:
                self.touch()
            later(LOOK, self._watch)

    def release(self) -> None:
        """Hold nothing of the remote any more."""
        with self._guard:
            self._tree.close(self._tree.root)
            self._tree.root.read = ()

    def fallback(self) -> dict[str, str]:
        """Give what is known without asking: the names of the members, and their kinds."""
        members = _told(self._described)
        lines = [f"{spelled(name)}  {kind}" for name, kind in list(members.items())[:200]]
        head = f"{self.title} at {self.place}"
        text = "\n".join([head, *(f"  {line}" for line in lines)])
        html = (
            f'<div class="nbrpc-explorer" style="{page.FRAME}"><strong>{escape(self.title)}'
            f"</strong> at {escape(self.place)}{page.plain(chr(10).join(lines))}</div>"
        )
        return {"text/html": html, "text/plain": text}


def _told(described: Description | None) -> dict[str, str]:
    """Give the names and kinds of members in a description, as a user knows them."""
    if described is None:
        return {}
    members = described.members
    return {
        name: "method" if kind == "routine" else kind  # see nbrpc.objects.proxy
        for name, kind in members.items()
        if not (name.startswith("exposed_") and name.removeprefix("exposed_") in members)
    }


def _row_of(node: Node, ends: bool) -> dict[str, Any]:  # noqa: FBT001 - see Tree.walk
    """Give what the page shows of a node, or of the row for more below it."""
    if ends:
        return {"node": node.identity, "level": node.level + 1, "kind": "more", "left": node.left}
    texts = {
        "text": node.text,
        "signature": node.signature,
        "doc": node.doc,
        "error": node.error,
        "busy": node.busy,
    }
    return {
        "node": node.identity,
        "level": node.level,
        "name": node.name,
        "kind": node.kind,
        "state": ("open" if node.is_open else "closed") if node.opens else "",
        "reads": node.reads,
        "known": bool(node.read) and node.parent is not None,
        "position": node.position,
        "of": 1 if node.parent is None else node.parent.total,
        **{key: text for key, text in texts.items() if text},
    }


def _sentence(error: Exception) -> str:
    """Say in one sentence why there is no answer."""
    if isinstance(error, ConnectionLost):
        return "The connection is lost."
    if isinstance(error, CallTimeout):
        return f"No answer within {PATIENCE:g} s."
    said = spelled(str(error).strip().partition("\n")[0], 200)  # what follows is a traceback
    if isinstance(error, AccessDenied):
        return f"Not allowed: {said}"
    return f"{spelled(type(error).__name__)}: {said}" if said else spelled(type(error).__name__)
