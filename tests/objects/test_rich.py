"""What an object shows itself as, besides its repr."""

from __future__ import annotations

import matplotlib as mpl
import pandas as pd
import pytest
from matplotlib.figure import Figure

from nbrpc.objects import rich
from nbrpc.objects.rich import rich_forms

mpl.use("agg")


class Table:
    """Shows itself as HTML and as a picture."""

    def _repr_html_(self):
        return "<table></table>"

    def _repr_png_(self):
        return b"\x89PNG", {"width": 10}


class Bundle:
    """Gives all at once."""

    def _repr_mimebundle_(self):
        data = {"text/markdown": "# x", "application/javascript": "alert(1)", "text/html": 5}
        return data, {}


class Failing:
    """Raises, or gives what is no form."""

    def _repr_html_(self):
        raise ValueError("no")

    def _repr_png_(self):
        return "text"

    def _repr_latex_(self):
        return None


@pytest.mark.parametrize(
    ("target", "forms"),
    [
        (Table(), {"text/html": "<table></table>", "image/png": b"\x89PNG"}),
        (Bundle(), {"text/markdown": "# x"}),
        (Failing(), {}),
        (object(), {}),
        (Table, {}),
        (5, {}),
    ],
)
def test_forms(target, forms):
    """Methods of the class are asked; what fails or is of the wrong type is left out."""
    assert rich_forms(target) == forms


def test_an_instance_is_not_asked():
    """Only a class says how its objects are shown: attributes may be answered by anything."""

    class Anything:
        def __getattr__(self, name):
            return lambda: "<b>said</b>"

    assert rich_forms(Anything()) == {}


def test_what_is_too_large_is_left_out(monkeypatch):
    """The bound holds for each form."""
    monkeypatch.setattr(rich, "LARGEST", 10)
    assert rich_forms(Table()) == {"image/png": b"\x89PNG"}


def test_tables_and_figures():
    """A DataFrame is a table, a matplotlib figure a picture."""
    assert "<table" in rich_forms(pd.DataFrame({"a": [1]}))["text/html"]
    figure = Figure()
    figure.subplots().plot([1, 2])
    assert rich_forms(figure)["image/png"].startswith(b"\x89PNG")
