"""The modules of a peer that lets this side run code, by name: ``conn.modules``."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

from nbrpc.objects.proxy import target_of

__all__ = ["Modules", "lives"]


def lives(proxy: object) -> bool:
    """Whether this is a proxy, of a session that is not lost: then it need not be asked for."""
    target: Any = target_of(proxy)
    return target is not None and not target[0].closed


class Modules:
    """The modules of a peer, imported as they are named.

    Parameters
    ----------
    load
        Imports a module there, and gives its proxy.
    known
        Those that are imported already.
    """

    def __init__(self, load: Callable[[str], Any], known: dict[str, Any]) -> None:
        self._load = load
        self._known = known

    def __repr__(self) -> str:
        return f"<modules of a peer: {len(self._known)} loaded>"

    def __getitem__(self, name: str) -> Any:
        if isinstance(name, tuple):
            name = ".".join(name)
        if not lives(self._known.get(name)):
            self._known[name] = self._load(name)
        return self._known[name]

    def __getattr__(self, name: str) -> Any:
        if name.startswith(("_ipython_", "_repr_", "__")):
            raise AttributeError(name)
        return self[name]

    def __contains__(self, name: str) -> bool:
        try:
            self[name]
        except ImportError:
            return False
        return True

    def __iter__(self) -> Iterator[str]:
        return iter(self._known)
