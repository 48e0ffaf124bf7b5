"""What an explorer knows of a remote object: the nodes that were opened, and what they may ask.

Only opened objects are held; what stands in a page that was never opened is text. Closing a node
forgets what was below it, so that the remote may drop it, and opening it again shows it as it is
then. Everything that a peer says is checked and cut here.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

from nbrpc.errors import NbrpcError, RemoteProtocolError
from nbrpc.objects.access import Policy
from nbrpc.objects.glimpses import glimpse, is_plain, named, spelled
from nbrpc.objects.pages import item_at, page_of
from nbrpc.objects.proxy import is_proxy, target_of
from nbrpc.options import Access
from nbrpc.protocol.messages import Operation

__all__ = ["MOST_ROWS", "PAGE", "Node", "Tree"]

PAGE = 100
"""Rows that one request asks for."""

MOST_ROWS = 2_000
"""Rows that may be open at once."""

PATIENCE = 10.0
"""Seconds that an answer may take; a getter may have to ask hardware."""

KINDS = frozenset(
    {
        "data",
        "property",
        "event",
        "method",
        "coroutine",
        "generator",
        "class",
        "exception",
        "module",
        "item",
    }
)

CONTAINERS = (list, tuple, dict, set, frozenset)

COPIES = Policy(Access())
"""How copies that the remote sent are looked into: containers, and nothing else."""


@dataclass(eq=False)
class Node:
    """One row of the tree.

    Attributes
    ----------
    kind
        That of a member, ``item``, ``object`` for the root, or ``members`` for those of a
        container, which stand in a node of their own.
    held
        The object, once the node is open.
    read
        What a property gave when it was read, in a tuple; empty before.
    busy
        What is under way: ``open``, ``more`` or ``read``.
    """

    identity: int
    parent: Node | None
    name: str
    kind: str
    text: str = ""
    signature: str = ""
    doc: str = ""
    opens: bool = False
    reads: bool = False
    step: tuple[Any, ...] = ()
    own_name: str = ""
    children: list[Node] = field(default_factory=list)
    total: int = 0
    level: int = 1
    position: int = 1
    is_open: bool = False
    held: Any = None
    read: tuple[Any, ...] = ()
    busy: str = ""
    error: str = ""

    @property
    def beside(self) -> int:
        """How many of its rows are no part of its pages."""
        return int(bool(self.children) and self.children[0].kind == "members")

    @property
    def left(self) -> int:
        """How many rows are there and have not been asked for."""
        return self.total - len(self.children)

    def close(self) -> None:
        """Forget what is below."""
        self.is_open = False
        self.children = []
        self.total = 0
        self.held = None
        self.busy = ""


class Tree:
    """The nodes of one explorer. It has no lock: its widget takes care of that.

    Parameters
    ----------
    root
        A proxy, or a path from one.
    name, doc
        What the root is called, and what is said of it.
    """

    def __init__(self, root: Any, name: str, doc: str = "") -> None:
        self._numbers = itertools.count(1)
        self.root = Node(next(self._numbers), None, spelled(name), "object", opens=True)
        self.root.doc = spelled(doc, 200)
        self.root.read = (root,)
        self._nodes = {self.root.identity: self.root}

    def find(self, identity: object) -> Node | None:
        """Give the node of a number that a page sent."""
        return self._nodes.get(identity) if type(identity) is int else None

    def walk(self) -> Iterator[tuple[Node, bool]]:
        """Give all nodes in the order in which they are shown.

        With each, whether it is the end of it that is meant: below what is open and not complete
        stands the row for more.
        """
        stack = [(self.root, False)]
        while stack:
            node, ends = stack.pop()
            yield node, ends
            if node.is_open and not ends:
                if node.left > 0:
                    stack.append((node, True))
                stack.extend((child, False) for child in reversed(node.children))

    def has_room(self) -> bool:
        """Whether another page may be opened."""
        return len(self._nodes) + PAGE <= MOST_ROWS

    def close(self, node: Node) -> None:
        """Close a node and forget what was below it."""
        below = list(node.children)
        node.close()
        for gone in below:  # each, since parents and children hold one another
            below.extend(gone.children)
            del self._nodes[gone.identity]
            gone.close()
            gone.read = ()

    # ---- asking; these two block, and change nothing

    def ask(self, node: Node, start: int) -> tuple[Any, dict[str, Any]]:
        """Ask for a page of a node: give the object that it stands for, and the page.

        Raises
        ------
        NbrpcError, Exception
            The remote did not answer, or refused.
        """
        part = "members" if node.kind == "members" else ""
        holder, name, step = _place(node)
        if start:  # of the object that was opened, whatever stands in its place now
            holder, name, step = node.held, "", ()
        target = target_of(holder)
        if target is None:
            obj = item_at(holder, step, COPIES) if step else holder
            return obj, page_of(obj, COPIES, part, start, PAGE)
        session: Any = target[0]
        path = ".".join(filter(None, (target[2], name)))
        asked = ("page", part, start, PAGE, *step)
        answer = session.request(Operation.DESCRIBE, target[1], path, asked, None, PATIENCE)
        if type(answer) is not tuple or len(answer) != 2 or type(answer[1]) is not dict:
            raise RemoteProtocolError("the remote gave no page")
        return answer

    def fetch(self, node: Node) -> Any:
        """Read what only reading can tell; one call.

        Raises
        ------
        NbrpcError, Exception
            The remote did not answer, or its getter raised.
        """
        assert node.parent is not None
        target = target_of(_owner(node.parent).held)
        if target is None:
            raise NbrpcError("a copy has nothing to read")
        session: Any = target[0]
        return session.request(Operation.GET, target[1], node.own_name, (), None, PATIENCE)

    # ---- taking what came

    def take_page(self, node: Node, obj: Any, page: dict[str, Any]) -> None:
        """Put a page below a node, behind what is there."""
        rows = page.get("rows")
        total = page.get("total")
        if type(rows) is not list or type(total) is not int:
            raise RemoteProtocolError("the remote gave no page")
        node.is_open = True
        node.held = obj
        if not node.children and node.kind != "members":
            beside = page.get("members")
            if type(beside) is int and beside > 0:
                self._add(node, Node(0, node, "members", "members", f"{beside:,}", opens=True))
        for row in rows[:PAGE]:
            self._add(node, _node_of(row, node))
        shown = len(node.children)
        # An empty page ends it, whatever the remote says of the total.
        node.total = max(shown, min(total, 10**9) + node.beside) if rows else shown

    def take_value(self, node: Node, value: Any) -> None:
        """Show what a getter gave."""
        self.close(node)
        node.read = (value,)
        if is_proxy(value):
            description = getattr(value, "_nbrpc_description_", None)
            node.text = spelled(description.name if description is not None else "object")
            node.opens = True
        else:
            node.text = glimpse(value) or named(value)
            node.opens = isinstance(value, CONTAINERS) and not is_plain(value) and bool(value)

    def _add(self, parent: Node, node: Node) -> None:
        node.identity = next(self._numbers)
        node.level = parent.level + 1
        parent.children.append(node)
        node.position = len(parent.children)
        self._nodes[node.identity] = node


def _owner(node: Node) -> Node:
    """Give the node of the object whose members a node shows."""
    return node.parent if node.kind == "members" and node.parent is not None else node


def _place(node: Node) -> tuple[Any, str, tuple[Any, ...]]:
    """Give from where a node is reached: an object, and a name or the step of an item."""
    if node.read:
        return node.read[0], "", ()
    assert node.parent is not None
    holder = _owner(node.parent).held
    return (holder, "", ()) if node.kind == "members" else (holder, node.own_name, node.step)


def _node_of(row: Any, parent: Node) -> Node:
    """Make a node of what a peer says is a row; all of it is checked."""
    if type(row) is not list or len(row) != 8:
        raise RemoteProtocolError("the remote gave a row that is none")
    *texts, opens, reads, step = row
    if any(type(text) is not str for text in texts) or type(step) is not tuple:
        raise RemoteProtocolError("the remote gave a row that is none")
    name, kind, text, signature, doc = texts
    kind = kind if kind in KINDS else "data"
    shown = spelled(name)
    if kind == "item" and text:
        shown = f"[{shown}]"
    return Node(
        0,
        parent,
        shown,
        kind,
        spelled(text, 200),
        spelled(signature, 300),
        spelled(doc, 200),
        opens=opens is True,
        reads=reads is True,
        step=step[:2],
        own_name="" if kind == "item" else name[:1_000],
    )
