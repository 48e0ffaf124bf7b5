"""Foreign text is made fit to be shown."""

from __future__ import annotations

import re
import time
import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st

from nbrpc.objects.text import printable, shorten

SEQUENCES = [
    "\x1b]0;pwned\x07",
    "\x1b]0;pwned\x1b\\",
    "\x9d0;pwned\x9c",
    "\x1b]8;;http://evil.example\x07",
    "\x1b]52;c;cm0gLXJm\x07",
    "\x1bP1$r0m\x1b\\",
    "\x90q#0\x9c",
    "\x1b_payload\x1b\\",
    "\x1b^payload\x1b\\",
    "\x1bXpayload\x1b\\",
    "\x1b[2J",
    "\x1b[1;1H",
    "\x1b[?1049h",
    "\x1b[6n",
    "\x1b[>c",
    "\x1b[20t",
    "\x9b2J",
    "\x1bc",
    "\x1b7",
    "\x1b(B",
    "\x1b#8",
    "\x1b",
    "\x9b",
    "\x07",
    "\x08",
    "\r",
    "\x00",
    "\x7f",
    "\x85",
]

hostile = st.text(
    st.one_of(
        st.sampled_from("\x1b[]P\\mJ;01\x07\x9b\x9c\x9d\x90 \n\t\u202e\u2066\ud800"),
        st.characters(),
    )
)


@pytest.mark.parametrize("sequence", SEQUENCES, ids=ascii)
@pytest.mark.parametrize("keep_colour", [False, True])
def test_what_a_terminal_obeys_is_removed_as_a_whole(sequence, keep_colour):
    """Of a control sequence nothing is left, and nothing around it is lost."""
    assert printable(f"before{sequence}\nafter", keep_colour) == "before\nafter"


def test_plain_text_is_untouched():
    """Letters of all scripts, newlines and tabs stay as they are."""
    for text in ("", "plain", "Grüße, 世界 🎉", "a\tb\nc", "no-break\xa0space", "עברית"):
        assert printable(text) == text


def test_colours_stay_where_they_are_asked_for():
    """SGR sequences survive with keep_colour, and only those."""
    text = "\x1b[1;31mred\x1b[0m \x1b[38:2:1:2:3mtrue\x1b[m\x1b[2K"
    assert printable(text) == "red true"
    assert printable(text, keep_colour=True) == text.removesuffix("\x1b[2K")


def test_directions_and_half_characters_are_shown():
    """Bidirectional overrides and unpaired surrogates appear as escapes."""
    assert printable("abc\u202ecba\u2066\udc80") == "abc\\u202ecba\\u2066\\udc80"


def test_an_unfinished_sequence_hides_nothing():
    """A title that never ends does not swallow the text after it."""
    assert printable("\x1b]0;never ended\nnext line") == "]0;never ended\nnext line"


@given(hostile)
def test_nothing_dangerous_ever_remains(text):
    """Whatever comes in, only newline and tab remain of the control characters; it is encodable."""
    shown = printable(text)
    for character in shown:
        assert character in "\n\t" or unicodedata.category(character) not in {"Cc", "Cs"}
        assert not 0x202A <= ord(character) <= 0x202E
        assert not 0x2066 <= ord(character) <= 0x2069
    shown.encode()
    assert printable(shown) == shown


@given(hostile)
def test_with_colours_only_colours_remain(text):
    """With keep_colour every escape character begins an SGR sequence."""
    shown = re.sub(r"\x1b\[[0-9;:]*m", "", printable(text, keep_colour=True))
    assert not re.search(r"[\x00-\x08\x0b-\x1f\x7f-\x9f]", shown)


@pytest.mark.parametrize(
    "text",
    [
        "\x1b]" * 100_000,
        "\x1b[" * 100_000,
        "\x1b]" + "a" * 200_000,
        "\x1b" + " " * 200_000,
        "\x1b[" + "1;" * 100_000,
        "\x1b] " * 60_000,
        "\x90" * 200_000,
    ],
    ids=range(7),
)
def test_long_hostile_text_takes_linear_time(text):
    """No sequence makes the work grow with the square of its length."""
    start = time.perf_counter()
    printable(text)
    assert time.perf_counter() - start < 2.0


def test_shorten_keeps_both_ends():
    """A text that is too long keeps its beginning and its end and says what is missing."""
    text = "a" * 600 + "b" * 600
    short = shorten(text, 500)
    assert len(short) == 500
    assert short.startswith("aaa")
    assert short.endswith("bbb")
    assert "700 characters are left out" in short
    assert shorten(text, 1200) is text


@given(st.text(max_size=300), st.integers(0, 300))
def test_shorten_never_exceeds_its_limit(text, limit):
    """The result has at most the characters that were asked for."""
    assert len(shorten(text, limit)) <= limit
