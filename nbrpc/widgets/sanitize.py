"""The gate through which everything goes that a remote wants to show: in a page or as text.

A page of a notebook server that runs a stranger's script has given away the user's account. So of a
bundle of a remote only known kinds of data pass, each rebuilt in its harmless form:

* HTML is parsed and written anew (nh3) from a list of elements, attributes and style properties.
  There are no scripts, no forms, no frames, nothing that is loaded, nothing that leaves its place
  in the page, and links lead to other pages only, in a tab of their own;
* Markdown becomes such HTML, since pages render it with less care;
* an SVG becomes an image, in which browsers run no script and load nothing;
* images must be images, formulas only formulas, and JSON plain data;
* text loses its control sequences.

Whatever is left out, a text says what was to be shown. Nothing here raises, whatever a peer
sends; types are compared exactly, since proxies may pass for what they are not.
A user may trust a session (`trust`), and then sees what it sends as it is.
"""

from __future__ import annotations

import base64
import binascii
import functools
import json
import re
import secrets
from collections.abc import Callable
from html import escape
from typing import Any
from weakref import WeakKeyDictionary, WeakSet

import nh3

from nbrpc.objects.text import printable, shorten
from nbrpc.widgets.formulas import is_formula

__all__ = [
    "admitted",
    "admitted_metadata",
    "clean",
    "display_name",
    "is_trusted",
    "sanitised",
    "trust",
]

LARGEST_TEXT = 1024 * 1024
LARGEST_HTML = 8 * 1024 * 1024
LARGEST_MARKDOWN = 64 * 1024
LARGEST_FORMULA = 8 * 1024
LARGEST_IMAGE = 16 * 1024 * 1024
LARGEST_JSON = 1024 * 1024
DEEPEST_JSON = 32
"""Sizes in characters, images in bytes; what exceeds them is not shown, text is shortened."""

MOST_SEPARATORS = 40_000
MOST_TAGS = 100_000
MOST_OTHER_TAGS = 5_000
MOST_ELEMENTS = 1_000_000
"""What HTML may cost: parsers of HTML take quadratic time for attributes within a tag and for
elements within each other, and repeat open formatting elements in every paragraph."""

WIDGETS = (
    "application/vnd.jupyter.widget-view+json",
    "application/vnd.jupyter.widget-state+json",
)
"""Their models live in the remote process, where no page reaches them."""

_trusted: WeakSet[Any] = WeakSet()


def trust(session: Any) -> None:
    """Show from now on what comes over this session as it is, scripts included.

    It holds for the connection, whose sessions follow one another when it comes back.
    """
    _trusted.add(_connection(session))


def is_trusted(session: Any) -> bool:
    """Whether the user trusts what comes over a session."""
    return _connection(session) in _trusted


def _connection(session: Any) -> Any:
    owner = getattr(session, "owner", None)
    return session if owner is None else owner


def clean(text: str) -> str:
    r"""Make text of a peer fit to be shown: colours and ``\r`` (progress bars) stay."""
    return "\r".join(printable(line, keep_colour=True) for line in text.split("\r"))


def admitted(data: object, *, trusted: bool = False) -> dict[str, Any]:
    """Give what may be shown of a remote bundle; ``text/plain`` is always there.

    Parameters
    ----------
    data
        What the remote gave: kinds of data and their values. Of anything else nothing is shown.
    trusted
        Whether all kinds pass, as they are; text is cleaned all the same.
    """
    if type(data) is not dict or not data:
        return {}
    shown: dict[str, Any] = {}
    if trusted:
        shown = {
            kind: value
            for kind, value in data.items()
            if type(kind) is str and kind not in (*WIDGETS, "text/plain")
        }
    else:
        for kind, (becomes, gate) in GATES.items():
            if becomes not in shown and kind in data:
                value = gate(data[kind])
                if value is not None:
                    shown[becomes] = value
    text = data.get("text/plain")
    if type(text) is str:
        shown["text/plain"] = clean(shorten(text, LARGEST_TEXT))
    elif shown:
        shown["text/plain"] = f"<remote display: {named(shown)}>"
    else:
        shown["text/plain"] = f"<remote display that is not shown here: {named(data)}>"
    return shown


def named(kinds: dict[Any, Any]) -> str:
    """Name kinds of data, whoever named them."""
    known = [kind for kind in kinds if type(kind) is str and KIND.fullmatch(kind)]
    return ", ".join(known[:8]) or "of no known kind"


KIND = re.compile(r"[\w.+-]{1,40}/[\w.+-]{1,60}", re.ASCII)


def admitted_metadata(metadata: object, *, trusted: bool = False) -> dict[str, Any]:
    """Give what may accompany a remote bundle: sizes of images and how JSON is opened."""
    if type(metadata) is not dict:
        return {}
    if trusted:
        return {key: value for key, value in metadata.items() if type(key) is str}
    kept = {}
    for kind, values in metadata.items():
        if kind not in GATES or type(values) is not dict:
            continue
        known = {name: values[name] for name in METADATA if name in values}
        sound = {name: value for name, value in known.items() if METADATA[name](value)}
        if sound:
            kept[kind] = sound
    return kept


_marks: WeakKeyDictionary[Any, str] = WeakKeyDictionary()


def display_name(transient: object, session: Any) -> str | None:
    """Give the id under which a page knows a display of a remote; None: it has none.

    It is another than the remote gave, so that a remote updates its own displays and no others.
    """
    given = transient.get("display_id") if type(transient) is dict else None
    if type(given) is not str:
        return None
    mark = _marks.setdefault(_connection(session), secrets.token_hex(8))
    return f"nbrpc-{mark}-{printable(given)[:100]}"


def _is_size(value: Any) -> bool:
    return type(value) in (int, float) and 0 < value <= 10_000


METADATA: dict[str, Callable[[object], bool]] = {
    "width": _is_size,
    "height": _is_size,
    "needs_background": lambda value: value in ("light", "dark"),
    "expanded": lambda value: type(value) is bool,
}


# ---- HTML

TAG_NAMES = """
    a abbr b blockquote br caption cite code col colgroup dd del details dfn div dl dt em
    figcaption figure h1 h2 h3 h4 h5 h6 hr i img ins kbd li mark meter ol p pre progress q s
    samp section small span strong sub summary sup table tbody td tfoot th thead time tr tt u ul
    var wbr
"""
TAGS = set(TAG_NAMES.split())

DROPPED_NAMES = """
    applet embed frameset iframe math noembed noframes noscript object script select style svg
    template textarea title xmp
"""
DROPPED_WHOLE = set(DROPPED_NAMES.split())
"""Elements whose text goes with them."""

ATTRIBUTES = {
    "*": {"align", "class", "style", "title", "valign"},
    "a": {"href"},
    "col": {"span", "width"},
    "colgroup": {"span", "width"},
    "details": {"open"},
    "img": {"alt", "height", "src", "width"},
    "li": {"value"},
    "meter": {"high", "low", "max", "min", "optimum", "value"},
    "ol": {"reversed", "start", "type"},
    "progress": {"max", "value"},
    "table": {"border", "cellpadding", "cellspacing", "width"},
    "td": {"colspan", "height", "rowspan", "width"},
    "th": {"colspan", "height", "rowspan", "scope", "width"},
    "ul": {"type"},
}

CLASSES = {"dataframe"}
"""Classes of a page mean what its own style sheets and scripts make of them."""

TEXTS = {"alt", "title"}
"""Attributes that may be any text; every other one must look like one of these."""

LEAVING = {"rel": "noopener noreferrer", "target": "_blank"}
"""What every link has: it opens in a tab of its own, which cannot reach this one."""

LINK = re.compile(r"(?:https?://|mailto:)[^\x00-\x20\x7f-\xa0\"'<>\\`]{1,2000}", re.IGNORECASE)
PICTURE = re.compile(
    r"data:image/(?:png|jpeg|gif|webp|bmp|svg\+xml);base64,[a-z0-9+/=\s]+", re.IGNORECASE
)
WORD_OR_NUMBER = re.compile(r"[a-z]{0,12}|\d{1,9}(?:\.\d{1,9})?(?:%|px)?", re.IGNORECASE)

PROPERTY_NAMES = """
    background-color border border-bottom border-collapse border-color border-left border-radius
    border-right border-spacing border-style border-top border-width color display font-family
    font-size font-style font-variant font-weight height line-height list-style-type margin
    margin-bottom margin-left margin-right margin-top max-height max-width min-height min-width
    overflow overflow-x overflow-y padding padding-bottom padding-left padding-right padding-top
    table-layout text-align text-decoration vertical-align white-space width word-break
"""
PROPERTIES = set(PROPERTY_NAMES.split())

STYLE_WORD = r"""
    (?: [a-z]{1,30}(?:-[a-z]{1,30}){0,5}                    # a word
      | (?:\d{1,4}(?:\.\d{1,6})?|\.\d{1,6})(?:[a-z]{1,3}|%)?  # a length, never negative
      | \#[0-9a-f]{3,8}
      | (?:rgb|hsl)a?\([0-9.,%/\ ]{1,60}\)
      | var\(--jp-[a-z0-9-]{1,60}\)                         # a colour of the user's theme
    )
"""
STYLE_VALUE = re.compile(
    rf"{STYLE_WORD}(?:[ ,]{{1,3}}{STYLE_WORD})*", re.VERBOSE | re.IGNORECASE | re.ASCII
)

FRAME = '<div class="mathjax_ignore tex2jax_ignore" style="contain:content;overflow:auto">{}</div>'
"""Around HTML of a remote: pages typeset no formulas in it, which could bring links and styles of
their own, and nothing in it is painted outside of it."""

LEFTOVERS = {
    **dict.fromkeys([*range(9), *range(11, 32), *range(127, 160)], ""),
    **{code: f"\\u{code:04x}" for code in (*range(0x202A, 0x202F), *range(0x2066, 0x206A))},
}
"""What character references such as ``&#27;`` leave of control characters and directions."""


def sanitised(html: object) -> str | None:
    """Give HTML of a remote in its harmless form; None where nothing of it is to be seen."""
    if type(html) is not str or len(html) > LARGEST_HTML:
        return None
    html = printable(html)
    if not _is_affordable(html):
        return None
    found = _cleaner().clean(html).translate(LEFTOVERS)
    if "<img " not in found and not re.sub("<[^>]*>", "", found).strip():
        return None
    return FRAME.format(found)


@functools.cache
def _cleaner() -> nh3.Cleaner:
    return nh3.Cleaner(
        tags=TAGS,
        clean_content_tags=DROPPED_WHOLE,
        attributes=ATTRIBUTES,
        attribute_filter=_attribute,
        set_tag_attribute_values={"a": {"target": LEAVING["target"]}},
        link_rel=LEAVING["rel"],
        url_schemes={"http", "https", "mailto", "data"},
        url_relative="deny",
    )


def _attribute(_tag: str, name: str, value: str) -> str | None:
    """Give the value that an attribute may have; None: the attribute is left out."""
    if name in TEXTS:
        return value[:2_000]
    if name in LEAVING:
        return LEAVING[name]
    if name == "style":
        return _style(value)
    if name == "class":
        return " ".join(word for word in value.split() if word in CLASSES) or None
    allowed = {"href": LINK, "src": PICTURE}.get(name, WORD_OR_NUMBER)
    return value if allowed.fullmatch(value) else None


def _style(value: str) -> str | None:
    """Keep the declarations that are known to be harmless: only what is matched is written."""
    kept = []
    for declaration in value[:4_000].split(";"):
        name, _, setting = declaration.partition(":")
        name, setting = name.strip().lower(), setting.strip()
        if name in PROPERTIES and len(setting) <= 200 and STYLE_VALUE.fullmatch(setting):
            kept.append(f"{name}:{setting}")
    return ";".join(kept) or None


CELL = re.compile(r"</?t[dhr][\s/>]", re.IGNORECASE)
FORMATTING = re.compile(
    r"<(?:b|big|code|em|font|i|s|small|strike|strong|tt|u)[\s/>][^>]*", re.IGNORECASE
)
SEPARATORS = re.compile(r"[\s/\"']+")


def _is_affordable(html: str) -> bool:
    """Whether parsing takes little time and memory, whatever the HTML is made to be."""
    tags = html.count("<")
    if tags > MOST_TAGS or tags - len(CELL.findall(html)) > MOST_OTHER_TAGS:
        return False
    if sum(1 for _ in SEPARATORS.finditer(html)) > MOST_SEPARATORS:
        return False
    # At most three equal ones are open at a time, and each tag may repeat all that are open.
    different = len(set(FORMATTING.findall(html)))
    return tags * (1 + 3 * different) <= MOST_ELEMENTS


def _from_markdown(value: object) -> str | None:
    if type(value) is not str or len(value) > LARGEST_MARKDOWN:
        return None
    return sanitised(_markdown().render(printable(value)))


@functools.cache
def _markdown() -> Any:
    from markdown_it import MarkdownIt

    return MarkdownIt("commonmark", {"html": False}).enable(["table", "strikethrough"])


# ---- other kinds


def _formula(value: object) -> str | None:
    if type(value) is not str or len(value) > LARGEST_FORMULA:
        return None
    text = printable(value)
    return text if is_formula(text) else None


SIGNATURES = {
    "image/png": re.compile(rb"\x89PNG\r\n\x1a\n"),
    "image/jpeg": re.compile(rb"\xff\xd8\xff"),
    "image/gif": re.compile(rb"GIF8[79]a"),
    "image/webp": re.compile(rb"RIFF....WEBP", re.DOTALL),
    "image/bmp": re.compile(rb"BM"),
}
"""How the bytes of an image of each kind begin."""


def _image(value: object, signature: re.Pattern[bytes]) -> str | None:
    """Give an image as base64 in one line."""
    if type(value) is str and len(value) <= 2 * LARGEST_IMAGE:
        try:
            value = base64.b64decode("".join(value.split()).encode("ascii"), validate=True)
        except (binascii.Error, ValueError):
            return None
    if type(value) is not bytes or len(value) > LARGEST_IMAGE or not signature.match(value):
        return None
    return base64.b64encode(value).decode("ascii")


def _drawing(value: object) -> str | None:
    """Give an SVG as an image in HTML."""
    if type(value) is bytes:
        value = value.decode("utf-8", "replace")
    if type(value) is not str or len(value) > LARGEST_IMAGE or "<svg" not in value:
        return None
    if "<!ENTITY" in value.upper():  # entities of entities grow without bounds
        return None
    content = base64.b64encode(value.encode("utf-8", "replace")).decode("ascii")
    picture = f"data:image/svg+xml;base64,{content}"
    return FRAME.format(f'<img alt="remote drawing" src="{escape(picture)}">')


def _plain_data(value: object) -> Any:
    """Give data that JSON can say, with its texts cleaned."""
    try:
        copy = _copied(value, DEEPEST_JSON)
        return copy if len(json.dumps(copy, allow_nan=False)) <= LARGEST_JSON else None
    except (TypeError, ValueError, RecursionError):
        return None


def _copied(value: object, depth: int) -> Any:
    if depth == 0:
        raise ValueError("too deep")
    if value is None or type(value) in (bool, int, float):
        return value
    if type(value) is str:
        return printable(value)
    if type(value) is dict:
        if not all(type(key) in (str, int) for key in value):
            raise TypeError("not plain")
        return {printable(str(key)): _copied(item, depth - 1) for key, item in value.items()}
    if type(value) is list or type(value) is tuple:
        return [_copied(item, depth - 1) for item in value]
    raise TypeError("not plain")


GATES: dict[str, tuple[str, Callable[[object], Any]]] = {
    "text/html": ("text/html", sanitised),
    "image/svg+xml": ("text/html", _drawing),
    "text/markdown": ("text/html", _from_markdown),
    "text/latex": ("text/latex", _formula),
    **{
        kind: (kind, functools.partial(_image, signature=signature))
        for kind, signature in SIGNATURES.items()
    },
    "application/json": ("application/json", _plain_data),
}
"""Of every kind that is shown: what it becomes, and what gives its harmless form or None."""
