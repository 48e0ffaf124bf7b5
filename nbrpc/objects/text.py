r"""Making text of the peer fit to be shown on a terminal or a page.

A terminal obeys control sequences: they set its title, clear it, type answers, hide and reorder
what is read. What a peer sends as text is shown through `printable`; what it *is* stays exact.
"""

from __future__ import annotations

import re
from typing import Final

__all__ = ["printable", "shorten"]

_COLOUR: Final = re.compile(r"\x1b\[[0-9;:]{0,64}m")
"""Select Graphic Rendition: colours and weights, which move nothing."""

_UNSAFE: Final = re.compile(
    r"""
      \x1b\[ [0-?]* [\ -/]* [@-~]                        # CSI: colours, cursor, clearing, modes
    | \x9b   [0-?]* [\ -/]* [@-~]                        # the same in one byte
    | (?: \x1b[\]PX^_] | [\x90\x98\x9d-\x9f] )           # OSC, DCS, SOS, PM, APC: titles ...
      [^\x00-\x08\x0a-\x1f\x7f-\x9f]* (?: \x07 | \x1b\\ | \x9c )
    | \x1b [\ -/]+ [0-~]                                 # character sets and the like
    | \x1b [0-Z\\^-~]?                                   # two characters, or an escape cut off
    | [\x00-\x08\x0b-\x1f\x7f-\x9f]                      # every other control but \t and \n
    | [\u202a-\u202e\u2066-\u2069\ud800-\udfff]          # directions, and halves of characters
    """,
    re.VERBOSE,
)


def printable(text: str, keep_colour: bool = False) -> str:  # noqa: FBT001, FBT002 - one flag
    r"""Give text without what a terminal would obey.

    Control characters but newline and tab are removed, and so are escape sequences as a whole;
    direction overrides and unpaired surrogates are shown escaped (``\u202e``).

    Parameters
    ----------
    keep_colour
        Whether colour sequences (SGR) stay.
    """
    if text.replace("\n", "").replace("\t", "").isprintable():
        return text  # nearly all text, and ten times as fast as looking for what is not there

    def replacement(match: re.Match[str]) -> str:
        found = match.group()
        if found >= "\u2000":
            return f"\\u{ord(found):04x}"
        return found if keep_colour and _COLOUR.fullmatch(found) else ""

    return _UNSAFE.sub(replacement, text)


def shorten(text: str, limit: int) -> str:
    """Cut text to at most `limit` characters, keeping its beginning and its end."""
    if len(text) <= limit:
        return text
    note = f"\n... {len(text) - limit} characters are left out ...\n"
    if limit < 2 * len(note):
        return text[:limit]
    tail = (limit - len(note)) // 2
    return text[: limit - len(note) - tail] + note + text[-tail:]


def sendable(text: str, limit: int) -> str:
    """Shorten text, and spell out its lone surrogates, which no text on the wire may have."""
    return shorten(text, limit).encode("utf-8", "backslashreplace").decode()
