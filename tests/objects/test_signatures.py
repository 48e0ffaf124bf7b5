"""Signatures are told without running code of what they mention."""

from __future__ import annotations

import dataclasses
import functools
import typing
from typing import Any, Callable, Literal, Optional, TypeVar, Union  # noqa: UP035 - both spellings

import pytest

from nbrpc.objects import signatures
from nbrpc.objects.signatures import signature_of
from tests.objects.traps import trap, trap_class

T = TypeVar("T")


class Files:
    """A class with a constructor."""

    def __init__(self, path, mode="r"):
        self.path = path

    def read(self, size: int = -1, *, text: bool = True) -> bytes:
        """Do nothing."""

    @classmethod
    def make(cls, a):
        """Do nothing."""

    @staticmethod
    def help(a, /, b, *rest, c, **more):
        """Do nothing."""

    def __call__(self, x):
        """Do nothing."""


@dataclasses.dataclass
class Point:
    """A class whose constructor is generated."""

    x: int
    y: float = 1.5


class OnlyNew:
    """A class that is constructed by ``__new__``."""

    def __new__(cls, a):
        return object.__new__(cls)


def generator(n):
    """Close over something."""

    def inner(a=n):
        return n

    return inner


@functools.wraps(Files.read)
def wrapper(*args, **kwargs):
    """Do nothing."""


def positional(*args):
    """Take self among the arguments."""


@pytest.mark.parametrize(
    ("obj", "expected"),
    [
        (Files, "(path, mode='r')"),
        (Files.read, "(self, size: int = -1, *, text: bool = True) -> bytes"),
        (Files("p").read, "(size: int = -1, *, text: bool = True) -> bytes"),
        (Files.make, "(a)"),
        (Files.__dict__["make"], "(a)"),
        (Files.__dict__["help"], "(a, /, b, *rest, c, **more)"),
        (Files("p"), "(x)"),
        (Point, "(x: int, y: float = 1.5) -> None"),
        (OnlyNew, "(a)"),
        (generator(3), "(a=3)"),
        (wrapper, "(self, size: int = -1, *, text: bool = True) -> bytes"),
        (type("Bare", (), {}), "()"),
        (object(), None),
        (3, None),
        (len, "(obj, /)"),
        ([].append, "(object, /)"),
        (list.append, "(self, object, /)"),
        (list, "(iterable=(), /)"),
        (type("Own", (list,), {}), "(iterable=(), /)"),
        (dict, None),
        (print, "(*args, sep=' ', end='\\n', file=None, flush=False)"),
        (getattr, None),
        (type("Odd", (), {"__call__": positional})(), "(*args)"),
        (classmethod(Files), None),
        (type("Lost", (), {"__call__": len})(), None),
    ],
    ids=lambda value: getattr(value, "__name__", "obj") if not isinstance(value, str) else "",
)
def test_signatures(obj, expected):
    """They read as the call is written; None where Python does not know."""
    assert signature_of(obj) == expected


def test_defaults_show_no_more_than_they_must():
    """Plain constants are written; anything else gives its class or an ellipsis."""

    def function(
        a=None,
        b=2**70,
        c="x" * 500,
        d=b"y",
        e=[],  # noqa: B006
        f=(1, 2),
        g={},  # noqa: B006
        h=len,
        i=int,
        j=trap,
        k=...,
        l=object(),  # noqa: B008, E741
    ):
        """Do nothing."""

    text = signature_of(function)
    assert "a=None, b=..., " in text
    assert "c='" + "x" * 60 + "'," in text
    assert "d=b'y', e=[], f=(...), g={}, h=<builtin_function_or_method>, i=int, j=trap" in text
    assert "k=Ellipsis, l=<object>" in text


def annotated(a, b, c, d, e, f, g, h, i, j, k, l, m, n, o, p, q):  # noqa: E741 - the letters in order
    """Take one parameter for each annotation."""


def test_annotations():
    """They read as they would be written; what cannot be told safely is left out."""
    function = annotated
    function.__annotations__ = {
        "a": int,
        "b": "later",
        "c": list[int],
        "d": dict[str, list[int]],
        "e": Optional[int],  # noqa: UP045
        "f": Union[int, str],  # noqa: UP007
        "g": int | None,
        "h": Literal["r", "w"],
        "i": Callable[[int], str],
        "j": Any,
        "k": T,
        "l": typing.List[int],  # noqa: UP006 - it is what is tested
        "m": [int, str],
        "n": 3,
        "o": typing.ForwardRef("Late"),
        "p": typing.ParamSpec("P").args,
        "q": tuple[int, ...],
        "return": None,
    }
    text = signature_of(function)
    for part in (
        "(a: int, b: later, c: list[int], d: dict[str, list[int]], e: int | None, f: int | str, ",
        "g: int | None, h: Literal['r', 'w'], i: Callable, j: Any, k: T, l: List[int], ",
        "m: [int, str], n, o: Late, p, q: tuple[int, ...]) -> None",
    ):
        assert part in text, text


def test_deep_annotations_end():
    """Nesting is bounded."""
    deep = int
    for _ in range(50):
        deep = list[deep]

    def function(a):
        """Do nothing."""

    function.__annotations__ = {"a": deep}
    assert signature_of(function).count("list") == 6
    assert signature_of(function).endswith("list[Any]]]]]])")


def test_long_signatures_are_cut():
    """A signature has a bounded length."""
    scope = {}
    exec(f"def function({', '.join(f'parameter{n}=0' for n in range(250))}): pass", scope)
    assert len(signature_of(scope["function"])) == 2_000


def test_no_code_runs():
    """Defaults, annotations, ``__signature__`` and ``__wrapped__`` are not asked for anything."""
    trapped = trap_class()

    def function(a=trapped(), b=trapped):  # noqa: B008
        """Do nothing."""

    function.__annotations__ = {"a": trapped(), "b": trapped}
    function.__signature__ = trapped()
    function.__wrapped__ = trapped()
    assert "a=<Trap>, b" in signature_of(function)
    called = signature_of(trapped())
    assert called == "(*args, **kwargs)"
    made = signature_of(trapped)
    assert made == "()"


def test_wrappers_that_never_end():
    """A function that wraps itself ends the search."""

    def function(a):
        """Do nothing."""

    function.__wrapped__ = function
    assert signature_of(function) == "(a)"


def test_annotations_that_cannot_be_evaluated():
    """From Python 3.14 on, looking at annotations may fail; then there are none."""

    class Failing:
        @property
        def __annotations__(self):
            raise NameError

    assert signatures._annotations_of(Failing()) == {}
