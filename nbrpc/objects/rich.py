"""The rich forms of an object that a notebook shows: tables, figures, formulas.

They are what IPython asks an object for (``_repr_html_`` and its kin), found in the class, and the
picture of a matplotlib figure, for which IPython has a printer of its own. Whoever may have the
repr of an object may have these; the receiver sanitises them. One that fails is left out, since the
repr remains.
"""

from __future__ import annotations

import logging
import sys
from io import BytesIO
from typing import Any, Final

from nbrpc.objects.static import MISSING, bind, find, is_class, is_kind_of

__all__ = ["rich_forms"]

log = logging.getLogger("nbrpc.objects")

TEXTS: Final = {
    "_repr_html_": "text/html",
    "_repr_markdown_": "text/markdown",
    "_repr_latex_": "text/latex",
    "_repr_svg_": "image/svg+xml",
}
PICTURES: Final = {"_repr_png_": "image/png", "_repr_jpeg_": "image/jpeg"}

LARGEST: Final = 8 * 1024 * 1024
"""Characters or bytes of one form; larger ones are left out."""


def rich_forms(target: Any) -> dict[str, Any]:
    """Give the rich forms of an object by their kinds; an empty dictionary where it has none."""
    if is_class(target):
        return {}
    forms: dict[str, Any] = {}
    for name, kind in (*TEXTS.items(), *PICTURES.items()):
        _add(forms, kind, _asked(target, name))
    bundle = _asked(target, "_repr_mimebundle_")
    if type(bundle) is dict:
        for kind, form in bundle.items():
            if type(kind) is str and kind in KINDS:
                _add(forms, kind, form)
    if not forms and _is_figure(target):
        _add(forms, "image/png", _picture(target))
    return forms


KINDS: Final = frozenset({*TEXTS.values(), *PICTURES.values()})


def _add(forms: dict[str, Any], kind: str, form: Any) -> None:
    wanted = bytes if kind in PICTURES.values() else str
    if type(form) is wanted and len(form) <= LARGEST:
        forms[kind] = form


def _asked(target: Any, name: str) -> Any:
    """Give what a display method of the class gives; None without one, or if it fails."""
    method = find(type(target), name)
    if method is MISSING or method is None:
        return None
    try:
        form = bind(method, target)()
    except Exception:  # code of the object's class; its repr remains
        log.debug("%s of a %s failed", name, type(target).__name__, exc_info=True)
        return None
    return form[0] if type(form) is tuple and form else form  # data and metadata


def _is_figure(target: Any) -> bool:
    figure = sys.modules.get("matplotlib.figure")
    return figure is not None and is_kind_of(target, figure.Figure)


def _picture(figure: Any) -> bytes | None:
    target = BytesIO()
    try:
        figure.savefig(target, format="png", bbox_inches="tight")
    except Exception:  # a figure may hold anything that cannot be drawn; its repr remains
        log.debug("a figure could not be drawn", exc_info=True)
        return None
    return target.getvalue()
