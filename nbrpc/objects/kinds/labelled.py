"""The kinds of xarray: arrays and datasets that are in memory, with the usual indexes.

A variable is a tuple of its dimensions, its data, and its two dicts. The data of one that is an
index is the index of pandas, which knows more than its values.
"""

from __future__ import annotations

from types import NoneType
from typing import Any

import numpy
import pandas
import xarray
from xarray.indexes import PandasIndex

from nbrpc.errors import NotSendable
from nbrpc.objects.arrays import DTYPE
from nbrpc.objects.kinds import ATTRIBUTE, Kind, register
from nbrpc.objects.kinds.frame_values import (
    check,
    is_label,
    is_plain_dict,
    plain_elements,
    travels,
)

__all__ = ["load"]

Parts = tuple[object, ...]

Variables = dict[Any, tuple[Any, ...]]


# ---- variables


def _is_data(data: Any) -> bool:
    """Whether this is an array of plain elements."""
    if type(data) is not numpy.ndarray:
        return False
    if data.dtype.kind == "O":
        return plain_elements(data)
    return bool(DTYPE.fullmatch(data.dtype.str) and data.dtype.itemsize)


def _is_encoding(encoding: Any) -> bool:
    """Whether this says how a variable was stored, in plain values and dtypes."""
    if type(encoding) is not dict:
        return False
    dtypes = [value for value in encoding.values() if isinstance(value, numpy.dtype)]
    rest = {key: value for key, value in encoding.items() if not isinstance(value, numpy.dtype)}
    return (
        all(map(is_label, encoding))
        and is_plain_dict(rest)
        and all(DTYPE.fullmatch(dtype.str) and dtype.metadata is None for dtype in dtypes)
    )


def _is_described(dims: Any, attrs: Any, encoding: Any) -> bool:
    return is_label(dims) and is_plain_dict(attrs) and _is_encoding(encoding)


def _variable_apart(variable: Any, index: Any) -> tuple[Any, ...] | None:
    """Give the parts of a variable, of which ``index`` is that of pandas, if any."""
    dims, attrs, encoding = tuple(variable.dims), dict(variable.attrs), dict(variable.encoding)
    if not _is_described(dims, attrs, encoding):
        return None
    # The index of fixed-width text has forgotten the width.
    if index is not None and variable.dtype.kind not in "US":
        same = not isinstance(index.dtype, numpy.dtype) or index.dtype == variable.dtype
        data = index if same else variable.data
        return (dims, data, attrs, encoding) if travels(index) else None
    # What is on a disk would be read.
    if index is None and not variable._in_memory:  # noqa: SLF001 - no public name
        return None
    return (dims, variable.data, attrs, encoding) if _is_data(variable.data) else None


def _variable(parts: Any) -> Any:
    check(type(parts) is tuple and len(parts) == 4, "a variable of xarray has not four parts")
    dims, data, attrs, encoding = parts
    check(type(dims) is tuple and _is_described(dims, attrs, encoding), "a variable is none")
    if isinstance(data, pandas.Index):
        check(len(dims) == 1 and data.nlevels == 1 and travels(data), "a variable has no data")
    else:
        check(_is_data(data) and data.ndim == len(dims), "a variable has no data")
    return xarray.Variable(dims, data, attrs, encoding)


def _variables_apart(variables: Any, indexes: Any) -> Variables | None:
    """Give the parts of some variables by their names; None where one does not travel."""
    made: Variables = {}
    for name, variable in variables.items():
        index = indexes.get(name)
        if index is not None and (type(index) is not PandasIndex or variable.dims != (name,)):
            return None
        parts = _variable_apart(variable, None if index is None else index.to_pandas_index())
        if parts is None or not is_label(name):
            return None
        made[name] = parts
    return made


def _dataset_of(
    variables: Variables, coordinates: Variables, bare: tuple[Any, ...], attrs: dict[Any, Any]
) -> Any:
    """Make a dataset; ``bare`` are the coordinates that could have an index and have none."""
    names = (*variables, *coordinates)
    check(all(map(is_label, names)) and is_plain_dict(attrs), "a dataset has names that are none")
    check(set(bare) <= coordinates.keys(), "a dataset lacks an index that it does not have")
    made = xarray.Dataset(
        {name: _variable(parts) for name, parts in variables.items()},
        {name: _variable(parts) for name, parts in coordinates.items()},
        attrs,
    )
    for name, (_, data, _, _) in {**variables, **coordinates}.items():
        dtype = data.dtype
        if isinstance(dtype, numpy.dtype) and made.variables[name].dtype != dtype:
            raise NotSendable(
                f"a variable of dtype {dtype} would be of dtype {made.variables[name].dtype} here: "
                f"xarray {xarray.__version__} has no other"
            )
    return made.drop_indexes(list(bare)) if bare else made


def _bare(coordinates: Any, indexes: Any) -> tuple[Any, ...]:
    """Name the coordinates that would get an index, and have none."""
    return tuple(
        name
        for name, variable in coordinates.items()
        if variable.dims == (name,) and name not in indexes
    )


def _has_same_indexes(made: Any, original: Any) -> bool:
    """Whether the indexes of what was made of the parts are those that were taken apart."""
    found, expected = made.xindexes, original.xindexes
    if set(found) != set(expected):
        return False
    for name in expected:
        one, other = found[name].to_pandas_index(), expected[name].to_pandas_index()
        if type(one) is not type(other) or one.dtype != other.dtype or not one.identical(other):
            return False
        if getattr(one, "freq", None) != getattr(other, "freq", None):
            return False
        if made.coords[name].dtype != original.coords[name].dtype:
            return False
    return True


# ---- datasets and arrays


def _dataset_apart(dataset: Any) -> Parts | None:
    indexes = dataset.xindexes
    coordinates = {name: dataset.variables[name] for name in dataset.coords}
    held = _variables_apart({name: dataset.variables[name] for name in dataset.data_vars}, {})
    around = _variables_apart(coordinates, indexes)
    attrs, encoding = dict(dataset.attrs), dict(dataset.encoding)
    if held is None or around is None:
        return None
    if not (is_plain_dict(attrs) and _is_encoding(encoding)):
        return None
    bare = _bare(coordinates, indexes)
    if not _has_same_indexes(_dataset_of({}, around, bare, {}), dataset):
        return None
    return held, around, bare, attrs, encoding


def _dataset(
    held: Variables,
    around: Variables,
    bare: tuple[Any, ...],
    attrs: dict[Any, Any],
    encoding: dict[Any, Any],
) -> Any:
    check(_is_encoding(encoding), "a dataset has an encoding that is none")
    made = _dataset_of(held, around, bare, attrs)
    made.encoding = encoding
    return made


def _array_apart(array: Any) -> Parts | None:
    indexes = array.xindexes
    coordinates = {name: array.coords[name].variable for name in array.coords}
    around = _variables_apart(coordinates, indexes)
    if around is None or not is_label(array.name):
        return None
    bare = _bare(coordinates, indexes)
    if not _has_same_indexes(_dataset_of({}, around, bare, {}), array):
        return None
    if isinstance(array.variable, xarray.IndexVariable):
        # A coordinate itself, which is among its coordinates.
        coordinate: Any = coordinates.get(array.name)
        if coordinate is None or not coordinate.identical(array.variable):
            return None
        return None, around, bare, array.name
    parts = _variable_apart(array.variable, None)
    return None if parts is None else (parts, around, bare, array.name)


def _array(
    parts: tuple[Any, ...] | None, around: Variables, bare: tuple[Any, ...], name: Any
) -> Any:
    check(is_label(name), "the name of an array is no label")
    made = _dataset_of({}, around, bare, {})
    if parts is None:
        check(name in around, "an array is no coordinate of its own")
        return made[name]
    variable = _variable(parts)
    array = xarray.DataArray(
        variable.data, made.coords, dims=variable.dims, name=name, attrs=variable.attrs
    )
    check(array.dtype == parts[1].dtype, "an array has data of another dtype")
    array.encoding = variable.encoding
    return array


def load(_library: str) -> None:
    """Register the kinds of xarray."""
    entries, names = (dict,), (tuple,)
    register(
        xarray.Dataset,
        Kind(
            "xarray.Dataset",
            ATTRIBUTE,
            _dataset_apart,
            _dataset,
            (entries, entries, names, entries, entries),
        ),
    )
    register(
        xarray.DataArray,
        Kind(
            "xarray.DataArray",
            ATTRIBUTE,
            _array_apart,
            _array,
            ((tuple, NoneType), entries, names, None),
        ),
    )
