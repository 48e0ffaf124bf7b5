"""Arrays and datasets of xarray are put together from their parts exactly."""

import numpy
import pandas
import pytest
import xarray

from nbrpc.errors import RemoteProtocolError
from nbrpc.objects.kinds import kind_of, rebuild
from tests.objects.parts import KNOWN, copied, travels

DAYS = pandas.date_range("2024-01-01", periods=3, freq="D", unit="ns")


def example():
    """A dataset with each kind of coordinate."""
    made = xarray.Dataset(
        {
            "voltage": (("time", "channel"), numpy.arange(6.0).reshape(3, 2), {"unit": "V"}),
            "label": ("channel", numpy.array(["a", None], dtype=object)),
            "one": ((), numpy.float32(1.5)),
        },
        coords={
            "time": ("time", DAYS, {"clock": "local"}),
            "channel": ["left", "right"],
            "gain": ("channel", [1, 2]),
            "place": 7,
        },
        attrs={"device": "bench", "range": numpy.array([1, 2])},
    )
    made.encoding["source"] = "bench.nc"
    made["voltage"].encoding = {"dtype": numpy.dtype("f4"), "zlib": True}
    return made


def check_variables(made, original):
    """All that `identical` does not look at."""
    assert made.encoding == original.encoding
    assert list(made.coords) == list(original.coords)
    assert set(made.xindexes) == set(original.xindexes)
    for name, index in original.indexes.items():
        found = made.indexes[name]
        assert type(found) is type(index)
        assert found.dtype == index.dtype
        assert found.name == index.name
        assert getattr(found, "freq", None) == getattr(index, "freq", None)
    for name, variable in original.coords.variables.items():
        found = made.coords.variables[name]
        assert type(found) is type(variable)
        assert found.dtype == variable.dtype
        assert found.encoding == variable.encoding


def test_datasets():
    """Data, coordinates, attributes and encodings come back."""
    dataset = example()
    made = copied(dataset)
    xarray.testing.assert_identical(made, dataset)
    check_variables(made, dataset)
    assert list(made.data_vars) == list(dataset.data_vars)
    for name in dataset.data_vars:
        assert made[name].dtype == dataset[name].dtype
        assert made[name].encoding == dataset[name].encoding


@pytest.mark.parametrize("name", ["voltage", "label", "one", "time", "channel", "gain", "place"])
def test_arrays(name):
    """So do arrays, and coordinates taken by themselves."""
    array = example()[name]
    made = copied(array)
    xarray.testing.assert_identical(made, array)
    check_variables(made, array)
    assert made.name == array.name
    assert type(made.variable) is type(array.variable)


INDEXES = {
    "range": pandas.RangeIndex(3),
    "floats": pandas.Index([0.5, 1.5, 2.5]),
    "small": numpy.array([1, 2, 3], "i2"),
    "float32": numpy.array([1, 2, 3], "f4"),
    "spans": pandas.timedelta_range("1h", periods=3, freq="h").as_unit("ns"),
    "texts": numpy.array(["a", "bc", "d"]),
    "objects": numpy.array(["a", 1, None], dtype=object),
    "categories": pandas.CategoricalIndex(["a", "b", "a"]),
    "periods": pandas.period_range("2024-01", periods=3, freq="M"),
    "bytes": numpy.array([b"a", b"b", b"c"]),
}


@pytest.mark.parametrize("name", INDEXES)
def test_indexes(name):
    """An index is what it was, in what it knows beside its values too."""
    array = xarray.DataArray(numpy.zeros(3), coords={"x": INDEXES[name]}, dims=["x"])
    made = copied(array)
    xarray.testing.assert_identical(made, array)
    check_variables(made, array)


def test_a_coordinate_without_an_index():
    """One is not made for it."""
    array = xarray.DataArray([1, 2], coords={"x": [1, 2]}, dims=["x"]).drop_indexes("x")
    made = copied(array)
    xarray.testing.assert_identical(made, array)
    assert not made.xindexes
    assert not copied(array.to_dataset(name="a")).xindexes


FOREIGN = {
    "attribute": xarray.DataArray([1], attrs={"f": print}),
    "encoding": xarray.Dataset(),
    "object": xarray.DataArray(numpy.array([object()], dtype=object)),
    "other index": xarray.DataArray([1, 2], dims="x", coords={"a": ("x", [1, 2])}).set_xindex("a"),
}
FOREIGN["encoding"].encoding["f"] = print
SQUARE = xarray.Dataset(
    coords={"x": [1, 2], "y": [3, 4]}, data_vars={"v": (("x", "y"), numpy.eye(2))}
)
FOREIGN["levels"] = SQUARE.stack(z=["x", "y"])  # noqa: PD013 - no frame of pandas


@pytest.mark.parametrize("name", FOREIGN)
def test_what_would_not_come_back_exactly_has_no_parts(name):
    """It goes by reference."""
    assert not travels(FOREIGN[name])


ROW = numpy.array([1, 2])
GOOD = (("x",), ROW, {}, {})
EVIL = {
    "variable": ({"a": 1}, {}, (), {}, {}),
    "three parts": ({"a": GOOD[:3]}, {}, (), {}, {}),
    "data": ({"a": (("x",), [1, 2], {}, {})}, {}, (), {}, {}),
    "objects": ({"a": (("x",), numpy.array([print]), {}, {})}, {}, (), {}, {}),
    "dims": ({"a": (("x", "y"), ROW, {}, {})}, {}, (), {}, {}),
    "dimension": ({"a": ((print,), ROW, {}, {})}, {}, (), {}, {}),
    "attribute": ({"a": (("x",), ROW, {"a": print}, {})}, {}, (), {}, {}),
    "encoding": ({"a": (("x",), ROW, {}, {"a": print})}, {}, (), {}, {}),
    "sizes": ({"a": GOOD, "b": (("x",), ROW[:1], {}, {})}, {}, (), {}, {}),
    "name": ({print: GOOD}, {}, (), {}, {}),
    "bare": ({"a": GOOD}, {}, ("a",), {}, {}),
    "attributes": ({}, {}, (), {"a": print}, {}),
    "encodings": ({}, {}, (), {}, {"a": print}),
    "index": ({}, {"x": (("x", "y"), pandas.Index([1, 2]), {}, {})}, (), {}, {}),
    "objects in an index": ({}, {"x": (("x",), pandas.Index([print]), {}, {})}, (), {}, {}),
}


@pytest.mark.parametrize("name", EVIL)
def test_parts_that_are_none(name):
    """Nothing of xarray sees what it could not take."""
    kind_of(xarray.Dataset)
    with pytest.raises(RemoteProtocolError, match=KNOWN):
        rebuild("xarray.Dataset", list(EVIL[name]))


@pytest.mark.parametrize(
    "parts",
    [
        (None, {}, (), "a"),
        (GOOD, {}, (), print),
        (GOOD, {"x": (("x",), ROW[:1], {}, {})}, (), None),
        (GOOD, {"y": (("y",), ROW, {}, {})}, (), None),
        ((("x",), print, {}, {}), {}, (), None),
    ],
)
def test_parts_that_are_no_array(parts):
    """The same for arrays."""
    kind_of(xarray.Dataset)
    with pytest.raises(RemoteProtocolError, match=KNOWN):
        rebuild("xarray.DataArray", list(parts))
