"""Images of Pillow: mode, size, pixels, palette and info. One that a file was opened as is copied.

Its copy is a plain image, as ``Image.copy`` gives it: it has no file.
"""

from __future__ import annotations

from types import NoneType
from typing import Any

from PIL import Image, PngImagePlugin, TiffImagePlugin

from nbrpc.errors import RemoteProtocolError
from nbrpc.objects.kinds import ATTRIBUTE, SHALLOW, Kind, Takes, register
from nbrpc.objects.kinds.elements import are_plain, arrived_plain

__all__ = ["load"]

BYTES = {
    "L": 1,
    "P": 1,
    "LA": 2,
    "La": 2,
    "PA": 2,
    "I;16": 2,
    "I;16B": 2,
    "I;16L": 2,
    "RGB": 3,
    "YCbCr": 3,
    "LAB": 3,
    "HSV": 3,
    "RGBA": 4,
    "RGBa": 4,
    "RGBX": 4,
    "CMYK": 4,
    "I": 4,
    "F": 4,
}
"""From a mode to the bytes of a pixel; eight pixels of mode ``1`` are one byte."""

PALETTES = {"RGB": 3, "RGBA": 4, "CMYK": 4}
"""From the mode of a palette to the bytes of a color."""

MOST_PIXELS = 2**28

LONGEST_EMPTY = 2**16
"""The other side of an image of which one side is 0; memory is taken for each of its rows."""


def _length(mode: str, width: int, height: int) -> int | None:
    """Give how many bytes the pixels of an image have; None if it does not travel."""
    if not 0 <= width * height <= MOST_PIXELS or min(width, height) < 0:
        return None
    if not width * height and max(width, height) > LONGEST_EMPTY:
        return None
    if mode == "1":
        return (width + 7) // 8 * height
    return BYTES[mode] * width * height if mode in BYTES else None


def _apart(image: Any) -> tuple[object, ...] | None:
    try:
        if getattr(image, "is_animated", False):
            return None
        image.load()
    except Exception:  # its file is closed, or broken
        return None
    length = _length(image.mode, *image.size)
    info = dict(image.info)
    if length is None or not are_plain([info]) or set(map(type, info)) - {str}:
        return None
    palette = None
    if image.mode in {"P", "PA"}:
        mode = image.im.getpalettemode()
        if mode not in PALETTES or getattr(image.palette, "mode", mode) != mode:
            return None
        palette = (mode, bytes(image.getpalette(None)))
    elif image.palette is not None:
        return None
    pixels = image.tobytes() if length else b""
    return image.mode, tuple(image.size), pixels, palette, info


def _together(
    mode: str,
    size: tuple[Any, ...],
    pixels: bytes,
    palette: tuple[Any, ...] | None,
    info: dict[Any, Any],
) -> Any:
    if len(size) != 2 or not all(type(side) is int for side in size):
        raise RemoteProtocolError("an image has a size that is none")
    length = _length(mode, *size)
    if length is None:
        raise RemoteProtocolError("an image has a mode or a size that none has")
    if len(pixels) != length:
        raise RemoteProtocolError("the pixels of an image do not fit its size")
    if set(map(type, info)) - {str} or not arrived_plain([info]):
        raise RemoteProtocolError("an image has an info that is not plain")
    made = Image.frombytes(mode, size, pixels) if length else Image.new(mode, size)
    if (palette is not None) != (mode in {"P", "PA"}):
        raise RemoteProtocolError("an image has a palette that it cannot have, or none")
    if palette is not None:
        _put_palette(made, palette)
    made.info = info
    return made


def _put_palette(image: Any, palette: tuple[Any, ...]) -> None:
    if len(palette) != 2 or type(palette[0]) is not str or type(palette[1]) is not bytes:
        raise RemoteProtocolError("the palette of an image is none")
    mode, colors = palette
    size = PALETTES.get(mode)
    if size is None or len(colors) % size or len(colors) > 256 * size:
        raise RemoteProtocolError("the palette of an image is none")
    image.putpalette(colors, mode)


# ---- what stands in the info of images from files


def _ratio_apart(ratio: Any) -> tuple[object, ...] | None:
    parts = ratio.numerator, ratio.denominator
    return parts if set(map(type, parts)) == {int} else None


def _text_apart(text: Any) -> tuple[object, ...]:
    return str.__str__(text), text.lang, text.tkey


NAME: Takes = (str, bytes, NoneType)


def load(_library: str) -> None:
    """Register the kinds of this module."""
    kind = Kind(
        "PIL.Image.Image",
        ATTRIBUTE,
        _apart,
        _together,
        ((str,), (tuple,), (bytes,), (tuple, NoneType), (dict,)),
    )
    register(Image.Image, kind, derived=True)
    ratio: Any = TiffImagePlugin.IFDRational
    register(
        ratio,
        Kind("PIL.TiffImagePlugin.IFDRational", SHALLOW, _ratio_apart, ratio, ((int,), (int,))),
    )
    text: Any = PngImagePlugin.iTXt
    register(
        text,
        Kind("PIL.PngImagePlugin.iTXt", SHALLOW, _text_apart, text, ((str,), NAME, NAME)),
    )
