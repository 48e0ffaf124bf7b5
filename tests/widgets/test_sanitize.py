"""What passes the gate for remote content, checked tag by tag; and that nothing makes it raise."""

from __future__ import annotations

import base64
import gc
import re
from html.parser import HTMLParser

import pytest
from hypothesis import given
from hypothesis import strategies as some

from nbrpc.widgets.sanitize import (
    GATES,
    admitted,
    admitted_metadata,
    clean,
    display_name,
    is_trusted,
    sanitised,
    trust,
)
from tests.hostile import payloads as hostile

PNG = base64.b64encode(b"\x89PNG\r\n\x1a\n0000").decode()
CONTROLS = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069\ud800-\udfff]")
HARMLESS = set(
    (  # noqa: SIM905 - written independently of what is tested
        "a abbr b blockquote br caption cite code col colgroup dd del details dfn div dl dt em "
        "figcaption figure h1 h2 h3 h4 h5 h6 hr i img ins kbd li mark meter ol p pre progress q s "
        "samp section small span strong sub summary sup table tbody td tfoot th thead time tr tt u "
        "ul var wbr"
    ).split()
)
PLAIN = set(
    (  # noqa: SIM905 - the same
        "align valign title alt width height colspan rowspan span scope start type reversed value "
        "open min max low high optimum border cellpadding cellspacing"
    ).split()
)
DANGEROUS_STYLE = re.compile(
    r"url|\\|expression|image|position|z-index|transform|inset|@|<|-\d|float|"
    r"(?<!rgb)(?<!rgba)(?<!hsl)(?<!hsla)(?<!var)\(",
    re.IGNORECASE,
)


class Judge(HTMLParser):
    """Reads HTML and objects to everything that is not known to be harmless."""

    def __init__(self) -> None:
        super().__init__(convert_charrefs=True)
        self.objections: list[str] = []
        self.tags: list[str] = []

    def handle_starttag(self, tag, attrs):
        self.tags.append(tag)
        if tag not in HARMLESS:
            self.objections.append(f"<{tag}>")
        given = dict(attrs)
        leaving = ("_blank", "noopener noreferrer")
        if "href" in given and (given.get("target"), given.get("rel")) != leaving:
            self.objections.append(f"a link into this page: {given}")
        for name, value in attrs:
            if not self.is_harmless(tag, name, value or ""):
                self.objections.append(f"<{tag} {name}={value!r}>")

    def is_harmless(self, tag, name, value):
        if name == "href":
            return tag == "a" and re.fullmatch(r"(https?://|mailto:)[!-~]+", value, re.IGNORECASE)
        if name == "src":
            form = r"data:image/(png|jpeg|gif|webp|bmp|svg\+xml);base64,[\w+/=\s]+"
            return tag == "img" and re.fullmatch(form, value, re.IGNORECASE)
        if name == "class":
            return value in ("dataframe", "mathjax_ignore tex2jax_ignore")
        if name == "style":
            return not DANGEROUS_STYLE.search(value)
        if name in ("rel", "target"):
            return tag == "a"
        return name in PLAIN

    def handle_comment(self, data):
        self.objections.append(f"a comment: {data!r}")

    handle_decl = handle_pi = unknown_decl = handle_comment


def objections(html: str) -> list[str]:
    """What is wrong with HTML that was let through."""
    judge = Judge()
    judge.feed(html)
    judge.close()
    wrong = judge.objections
    if not html.startswith('<div class="mathjax_ignore tex2jax_ignore" style="contain:content;'):
        wrong.append("it may be typeset")
    if CONTROLS.search(html):
        wrong.append("control characters")
    return wrong


def check(data: object) -> dict[str, object]:
    """Let data through the gate and look at all that comes out."""
    shown = admitted(data)
    allowed = {"text/plain", "text/html", "text/latex", "application/json"}
    for kind, value in shown.items():
        if kind == "text/html":
            assert not objections(value)
            assert sanitised(value) is not None  # a second time it is the same, but for the frame
        elif kind == "text/plain":
            left = re.sub(r"\x1b\[[0-9;:]*m|\r", "", value)
            assert not CONTROLS.search(left)
        elif kind.startswith("image/"):
            base64.b64decode(value, validate=True)
        else:
            assert kind in allowed
    return shown


def test_enough_payloads():
    """There are well over a hundred."""
    assert len(hostile.HTML) > 150
    assert len(hostile.bundles()) > 200


@pytest.mark.parametrize("bundle", hostile.bundles(), ids=str)
def test_hostile_bundle(bundle):
    """What is left of a payload is harmless, and there is always a text."""
    shown = check(bundle)
    assert "text/plain" in shown
    assert not {"text/markdown", "image/svg+xml", "application/javascript"} & set(shown)


@pytest.mark.parametrize("payload", hostile.LATEX)
def test_hostile_latex(payload):
    """LaTeX that does anything but typeset is not typeset."""
    shown = admitted({"text/latex": payload, "text/plain": "x + 1"})
    assert shown == {"text/plain": "x + 1"}


@pytest.mark.parametrize("payload", hostile.HTML)
def test_hostile_markdown(payload):
    """HTML in Markdown is text."""
    shown = check({"text/markdown": f"before\n\n{payload}\n\nafter"})
    assert "before" in shown["text/html"]


def test_no_typesetting_class_from_a_remote():
    """A class cannot bring typesetting back inside the frame."""
    html = admitted({"text/html": '<p class="mathjax_process dataframe">$x$</p>'})["text/html"]
    assert "mathjax_process" not in html
    assert '<p class="dataframe">$x$</p>' in html


# ---- what must stay


def test_data_frame():
    """A pandas DataFrame stays a table."""
    import pandas

    frame = pandas.DataFrame({"a<b>": [1, 2], "b": ["<script>", "x"]})
    html = check({"text/html": frame._repr_html_()})["text/html"]
    assert html.count("<td>") == 4
    assert 'class="dataframe"' in html
    assert "&lt;script&gt;" in html
    assert "<style" not in html


def test_large_data_frame():
    """A thousand rows of ten are still a table."""
    import pandas

    frame = pandas.DataFrame({str(n): range(1000) for n in range(10)})
    assert admitted({"text/html": frame.to_html()})["text/html"].count("<td>") == 10_000


def test_styled_table():
    """Inline colours, widths and alignment stay."""
    style = "color:red;background-color:rgba(1, 2, 3, 0.5);width:50%;text-align:right;font-size:9pt"
    html = check({"text/html": f'<table><tr><td style="{style}">1</td></tr></table>'})["text/html"]
    assert style in html


def test_tree_with_a_fallback():
    """What is hidden stays hidden: xarray puts a text before it."""
    html = check(
        {
            "text/html": "<div><svg style='position:absolute'><defs><symbol id='i'/></defs></svg>"
            "<style>.xr-wrap{display:block!important}</style><pre class='xr-text'>the text</pre>"
            "<div class='xr-wrap' style='display:none'>more</div></div>"
        }
    )["text/html"]
    assert "<pre>the text</pre>" in html
    assert 'style="display:none">more' in html


def test_lists_links_and_pictures():
    """Lists, details, links and embedded pictures stay."""
    html = check(
        {
            "text/html": '<ul><li><a href="https://example.org/?a=1&amp;b=2">x</a></li></ul>'
            f'<details open><summary>s</summary><img width="20" src="data:image/png;base64,{PNG}">'
            "</details>"
        }
    )["text/html"]
    assert 'href="https://example.org/?a=1&amp;b=2"' in html
    assert "<details open" in html
    assert f"base64,{PNG}" in html


def test_markdown_becomes_html():
    """Markdown is shown as HTML: emphasis, tables, code, links."""
    text = "# Head\n\n*a* **b** `c` [d](https://example.org)\n\n| x | y |\n|---|---|\n| 1 | 2 |\n"
    html = check({"text/markdown": text})["text/html"]
    for part in ("<h1>Head</h1>", "<em>a</em>", "<code>c</code>", "<td>1</td>", "https://example"):
        assert part in html
    assert "first" in check({"text/html": "first", "text/markdown": "second"})["text/html"]


@pytest.mark.parametrize(
    "formula",
    [
        r"$\displaystyle \frac{d}{d x} \sin{\left(x \right)}$",
        r"$$\int_{0}^{\infty} e^{- x^{2}}\, dx = \frac{\sqrt{\pi}}{2}$$",
        r"$\displaystyle \left[\begin{matrix}1 & 0\\0 & 1\end{matrix}\right]$",
        r"\begin{align*} a &= b \\ c &= \text{for } \alpha \geq 3\% \end{align*}",
    ],
)
def test_formulas(formula):
    """Formulas as sympy and people write them are typeset."""
    assert admitted({"text/latex": formula})["text/latex"] == formula


def test_images():
    """Images pass as base64 in one line, given as text or as bytes; what is none does not."""
    wrapped = PNG[:8] + "\n" + PNG[8:]
    assert admitted({"image/png": wrapped})["image/png"] == PNG
    assert admitted({"image/png": base64.b64decode(PNG)})["image/png"] == PNG
    assert admitted({"image/jpeg": base64.b64encode(b"\xff\xd8\xff\xe0")})["text/plain"]
    for wrong in ("<script>", PNG + "<", "\u2603", 3, b"", b"GIF89a", None, [PNG]):
        assert set(admitted({"image/png": wrong})) == {"text/plain"}


def test_drawing_is_an_image():
    """An SVG is put into an img, where it runs nothing."""
    html = check({"image/svg+xml": "<svg xmlns='http://www.w3.org/2000/svg'/>"})["text/html"]
    assert '<img alt="remote drawing" src="data:image/svg+xml;base64,' in html
    bomb = '<!DOCTYPE svg [<!entity a "aaa"><!ENTITY b "&a;&a;">]><svg>&b;</svg>'
    assert "text/html" not in admitted({"image/svg+xml": bomb})


def test_json():
    """Plain data passes, with its texts cleaned; what JSON cannot say, or is deep, does not."""
    data = {"a": [1, 2.5, None, True, "\x1b]0;x\x07\u202ey"]}
    assert admitted({"application/json": data})["application/json"] == {
        "a": [1, 2.5, None, True, "\\u202ey"]
    }
    assert admitted({"application/json": {1: 2}})["application/json"] == {"1": 2}
    deep: list[object] = []
    for _ in range(100_000):
        deep = [deep]
    endless: list[object] = []
    endless.append(endless)
    for wrong in (deep, endless, {"x": object()}, {(): 1}, float("nan"), "x" * 2_000_000, b"x"):
        assert set(admitted({"application/json": wrong})) == {"text/plain"}
    while deep:  # freed piece by piece
        deep = deep[0]


def test_text():
    """Colours and carriage returns stay, all other sequences go, directions are spelt out."""
    assert clean("\x1b[31mred\x1b[0m\r\x1b[2Jx\x9b1A\u202e") == "\x1b[31mred\x1b[0m\rx\\u202e"
    assert len(admitted({"text/plain": "x" * 5_000_000})["text/plain"]) <= 1024 * 1024


# ---- what must not break it


@pytest.mark.parametrize(
    "data",
    [
        None,
        3,
        [],
        "text/html",
        {1: 2},
        {"text/html": 3, "text/plain": 4},
        {"text/html": None, "text/markdown": b"x", "text/latex": {}, "image/svg+xml": []},
        {"text/html": "\ud800<p>\udfff"},
        {"text/html": "", "text/markdown": "", "text/latex": "", "image/png": ""},
        {"\x1b]0;x\x07": 1, "x" * 10_000: 2},
    ],
    ids=str,
)
def test_wrong_types(data):
    """Nothing a peer sends raises; a bundle of nothing is nothing."""
    shown = check(data)
    assert ("text/plain" in shown) == (isinstance(data, dict) and bool(data))


@pytest.mark.parametrize(
    "html",
    [
        "<div>" * 200_000,
        "<p>" + "".join(f"<b x={n}>" for n in range(3000)) + "<p>x" * 3000,
        "<p " + " ".join(f"a{n}" for n in range(200_000)) + ">x",
        "<p " + "/".join(f"a{n}" for n in range(200_000)) + ">x",
        "<table><tr><td>" + "<span>" * 5000 + "</th>" * 200_000,
        "<table>" * 50_000,
        "x" * 20_000_000,
    ],
    ids=["depth", "formatting", "attributes", "slashes", "scopes", "tables", "length"],
)
@pytest.mark.timeout(20)
def test_costly_html(html):
    """HTML that would take seconds or gigabytes is not parsed."""
    assert admitted({"text/html": html, "text/plain": "small"}) == {"text/plain": "small"}


@pytest.mark.parametrize(
    "text", ["[" * 60_000, "![[" * 20_000, "*a **" * 12_000, "> " * 30_000, "[a](" * 15_000]
)
@pytest.mark.timeout(60)
def test_costly_markdown(text):
    """Nor does Markdown take long."""
    check({"text/markdown": text})


def test_costly_styles_and_formulas():
    """Nor styles, which are matched, nor formulas, which are nested."""
    for value in ("a" * 199 + "!", "1" * 199 + "!", "a-" * 99, "rgb(" * 40, "a " * 99 + "!"):
        check({"text/html": f'<p style="color:{value}">x</p>' * 500})
    assert "text/latex" not in admitted({"text/latex": "{" * 4000 + "}" * 4000})


def test_only_a_script_is_not_shown_as_nothing():
    """Where no HTML is left the text is shown."""
    bundle = {"text/html": "<div></div><script>draw()</script>", "text/plain": "<Figure>"}
    assert admitted(bundle) == {"text/plain": "<Figure>"}
    assert "application/javascript" in admitted({"application/javascript": "x"})["text/plain"]


def test_metadata():
    """Of metadata only sizes of images and the like pass."""
    metadata = {
        "image/png": {"width": 20, "height": 1e9, "unconfined": True, "needs_background": "dark"},
        "text/html": {"isolated": True},
        "application/json": {"expanded": True, "root": "<script>"},
        "isolated": True,
        3: {"width": 4},
    }
    assert admitted_metadata(metadata) == {
        "image/png": {"width": 20, "needs_background": "dark"},
        "application/json": {"expanded": True},
    }
    assert admitted_metadata([1]) == admitted_metadata(None, trusted=True) == {}
    assert admitted_metadata({"isolated": True}, trusted=True) == {"isolated": True}


class Session:
    """Anything may be trusted that can be told apart."""


def test_trust():
    """What is trusted is shown as it is, but widgets, which live elsewhere; text stays clean."""
    session = Session()
    assert not is_trusted(session)
    trust(session)
    assert is_trusted(session)
    assert not is_trusted(Session())
    bundle = {"text/html": "<script>1</script>", "application/javascript": "1"}
    given = bundle | {
        "application/vnd.jupyter.widget-view+json": {"model_id": "x"},
        "text/plain": "\x1b]0;x\x07y",
    }
    assert admitted(given, trusted=True) == bundle | {"text/plain": "y"}
    del session
    gc.collect()


def test_display_names():
    """A remote updates its own displays, and cannot name those of anybody else."""
    one, other = Session(), Session()
    names = [display_name({"display_id": "x"}, session) for session in (one, one, other)]
    assert names[0] == names[1] != names[2]
    assert display_name({"display_id": 3}, one) is display_name({}, one) is None
    assert display_name(None, one) is None


# ---- anything at all

PIECES = some.sampled_from(
    [
        *(filled for text in hostile.HTML for filled in re.findall(r"<[^>]*>?|[^<]+", text)),
        *"<>\"'`=/&;:-!\\ \t\n\r\x00\x0c\x1b\u2028\u202e\ud800",
        "</",
        "<!--",
        "-->",
        "--!>",
        "<![CDATA[",
        "]]>",
        "&lt;",
        "&#x3c;",
        "&quot;",
        "style=",
        "url(",
        "javascript:",
        "\x1b]",
        "\x07",
        "\x9d",
        "\x9c",
    ]
)


@given(some.lists(PIECES, max_size=30).map("".join))
def test_any_html(text):
    """However payloads are cut and joined, what comes out is harmless."""
    check({"text/html": text})
    check({"text/markdown": text})


VALUES = some.recursive(
    some.none() | some.booleans() | some.integers() | some.floats() | some.text() | some.binary(),
    lambda inner: some.lists(inner) | some.dictionaries(some.text(), inner),
    max_leaves=8,
)
KINDS = some.sampled_from([*GATES, "text/plain", "application/javascript"])


@given(some.dictionaries(KINDS | some.text(), VALUES))
def test_any_bundle(bundle):
    """Values of any kind under any name are let through harmless, or not at all."""
    check(bundle)
    admitted_metadata(bundle)
    admitted(bundle, trusted=True)
