"""Which names that a peer chooses may become attributes of an object of ours."""

from __future__ import annotations

from keyword import iskeyword
from unicodedata import normalize

__all__ = ["PROBES", "is_attribute_name"]

PROBES = ("_ipython_", "_repr_", "_jupyter_", "_nbrpc_")
"""Beginnings of names that notebooks ask of every object, and call: they are answered here only."""

LONGEST = 200


def is_attribute_name(name: object) -> bool:
    """Whether a copied object may have an attribute of this name."""
    return (
        type(name) is str
        and len(name) <= LONGEST
        and name.isidentifier()
        and not iskeyword(name)
        # Where Python compiles a name, it takes this form of it.
        and (name.isascii() or normalize("NFKC", name) == name)
        and not (name.startswith("__") and name.endswith("__"))
        and not name.startswith(PROBES)
    )
