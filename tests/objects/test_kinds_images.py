"""Images of Pillow and arrays of other libraries are copied exactly, or not at all."""

from __future__ import annotations

import io
import sys

import numpy as np
import pytest
from PIL import Image, ImageFile, PngImagePlugin

from nbrpc.objects.kinds import kind_of, rebuild
from tests.objects.taken_apart import carried, check_array, refused

# ---- images


def picture(mode, size=(5, 3)):
    """Make an image of noise."""
    image = Image.new(mode, size)
    length = len(image.tobytes())
    image.frombytes(np.random.default_rng(3).integers(0, 255, length, np.uint8).tobytes())
    return image


MODES = ["1", "L", "P", "RGB", "RGBA", "CMYK", "YCbCr", "LAB", "HSV", "I", "F", "LA", "PA", "RGBX"]
MODES += ["RGBa", "La", "I;16", "I;16B"]


@pytest.mark.parametrize("mode", MODES)
def test_an_image_comes_back_in_its_mode(mode):
    """Pixels, size, palette and info are the same."""
    image = picture(mode)
    image.info = {"dpi": (72, 72), "comment": b"x", "gamma": 0.5}
    check_image(image, carried(image))


def check_image(image, made):
    """Check that an image is the same."""
    assert type(made) is Image.Image
    assert (made.mode, made.size, made.info) == (image.mode, image.size, image.info)
    assert made.tobytes() == image.tobytes()
    assert made.getpalette() == image.getpalette()
    assert made.getpalette("RGBA") == image.getpalette("RGBA")
    made.copy().resize((2, 2))


def test_the_palette_of_an_image_comes_back():
    """A short one, one with transparency, one that was computed."""
    image = picture("P")
    image.putpalette([1, 2, 3, 4, 5, 6])
    check_image(image, carried(image))
    image.putpalette(bytes(range(8)), "RGBA")
    check_image(image, carried(image))
    image = picture("RGB").quantize(4)
    check_image(image, carried(image))


def test_an_image_from_a_file_is_copied():
    """Its copy is an image without a file."""
    for form in ("PNG", "GIF", "JPEG", "TIFF"):
        data = io.BytesIO()
        picture("L" if form == "GIF" else "RGB", (20, 20)).save(data, form, dpi=(72, 72))
        with Image.open(data) as image:
            assert isinstance(image, ImageFile.ImageFile)
            made = carried(image)
            check_image(image, made)


def test_the_texts_of_a_file_come_back():
    """A text with a language is a text of a class of its own."""
    texts, data = PngImagePlugin.PngInfo(), io.BytesIO()
    texts.add_text("Author", "Ada")
    texts.add_itxt("Title", "Bild", lang="de", tkey="Titel")
    picture("L").save(data, "PNG", pnginfo=texts)
    made = carried(Image.open(data)).info["Title"]
    assert (made, made.lang, made.tkey) == ("Bild", "de", "Titel")
    assert type(made) is PngImagePlugin.iTXt


def test_an_image_without_pixels_comes_back():
    """Its size is all there is."""
    for size in ((0, 0), (0, 5), (5, 0)):
        image = Image.new("RGB", size)
        check = carried(image)
        assert check.size == size


def test_an_image_that_would_change_stays():
    """One of several frames, of a broken file, or with an object in its info."""
    frames = io.BytesIO()
    picture("L").save(frames, "GIF", save_all=True, append_images=[picture("L").rotate(90)])
    assert carried(Image.open(frames)) is None
    broken = io.BytesIO()
    picture("RGB", (50, 50)).save(broken, "PNG")
    assert carried(Image.open(io.BytesIO(broken.getvalue()[:200]))) is None
    tagged = picture("L")
    tagged.info["source"] = object()
    assert carried(tagged) is None


@pytest.mark.parametrize(
    "parts",
    [
        ("L", (2, 2), b"abc", None, {}),
        ("L", (2, 2), b"abcde", None, {}),
        ("RGB", (2, 2), bytes(11), None, {}),
        ("nonsense", (2, 2), b"abcd", None, {}),
        ("BGR;15", (2, 2), bytes(8), None, {}),
        ("L", (2, -2), b"", None, {}),
        ("L", (2.0, 2), b"abcd", None, {}),
        ("L", (4,), b"abcd", None, {}),
        ("L", (0, 2**40), b"", None, {}),
        ("L", (0, 2**30), b"", None, {}),
        ("1", (2**31, 2**31), b"", None, {}),
        ("L", (2, 2), b"abcd", ("RGB", b"abc"), {}),
        ("P", (2, 2), b"abcd", None, {}),
        ("P", (2, 2), b"abcd", ("RGB", b"ab"), {}),
        ("P", (2, 2), b"abcd", ("RGB", bytes(769)), {}),
        ("P", (2, 2), b"abcd", ("RGB", bytes(771)), {}),
        ("P", (2, 2), b"abcd", ("XYZ", b"abc"), {}),
        ("P", (2, 2), b"abcd", ("RGB", [1, 2, 3]), {}),
        ("P", (2, 2), b"abcd", (), {}),
        ("L", (2, 2), b"abcd", None, {"a": object()}),
        ("L", (2, 2), b"abcd", None, {1: "a"}),
    ],
    ids=lambda parts: str(parts)[:60],
)
def test_an_image_that_is_none_is_refused(parts):
    """Mode, size, length and palette are checked before memory is taken."""
    refused("PIL.Image.Image", *parts)


# ---- tensors


class Tensor:
    """An array of another library."""

    def __init__(self, array):
        self.array = array

    def __dlpack__(self, **options):
        return self.array.__dlpack__(**options)

    def __dlpack_device__(self):
        return self.array.__dlpack_device__()


class OnDevice(Tensor):
    def __dlpack__(self, **options):
        raise BufferError("it is on a device")


class Subclass(np.ndarray):
    unit = "V"


def test_an_array_of_another_library_arrives_as_one_of_numpy():
    """Of a library that offers DLPack and is not known here."""
    for array in (np.arange(6.0).reshape(2, 3), np.arange(6, dtype="u2"), np.zeros((0, 3))):
        made = carried(Tensor(array))
        check_array(array, made)


def test_an_array_that_cannot_be_read_stays():
    """Memory that only a device reads goes by reference."""
    assert carried(OnDevice(np.arange(3))) is None


def test_what_a_class_adds_to_an_array_of_numpy_is_not_lost():
    """A derived class offers DLPack too, without what it added."""
    assert kind_of(Subclass) is None


def test_an_array_of_a_library_that_is_not_here_is_one_of_numpy(monkeypatch):
    """The elements arrive, whoever sent them."""
    monkeypatch.setitem(sys.modules, "torch", None)
    array = np.arange(3.0)
    assert rebuild("dlpack.tensor", ["torch", array, (True,)]) is array


@pytest.mark.parametrize(
    "parts",
    [
        ("os", np.arange(3), ()),
        ("torch", np.arange(3), ()),
        ("torch", np.arange(3), (1,)),
        ("", np.arange(3), (True,)),
        ("", [1, 2], ()),
        ("", np.zeros(2, object), ()),
    ],
    ids=str,
)
def test_a_tensor_that_is_none_is_refused(parts):
    """Library and facts are of a closed table."""
    refused("dlpack.tensor", *parts)
