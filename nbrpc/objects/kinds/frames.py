"""The kinds of pandas: Series and DataFrames, by their parts and without Arrow.

The columns of a frame travel in blocks: those of one dtype of numpy as one array with a row for
each column, however many they are, and every column of a dtype of pandas by itself. What holds
anything that would not come back exactly goes by reference.
"""

from __future__ import annotations

from itertools import chain
from typing import Any

import numpy
import pandas

from nbrpc.objects.kinds import ATTRIBUTE, MOST_PARTS, Kind, register
from nbrpc.objects.kinds.frame_arrays import ARRAYS, INSTANTS, SPANS, load_arrays, values_of
from nbrpc.objects.kinds.frame_indexes import INDEXES, NUMBERS, load_indexes
from nbrpc.objects.kinds.frame_values import (
    OFFSETS,
    check,
    is_label,
    is_plain_dict,
    load_values,
    plain_elements,
    travels,
)

__all__ = ["load"]

TIMES = INSTANTS | SPANS

Parts = tuple[object, ...]


def _is_block(values: Any) -> bool:
    """Whether an array of numpy may be in a table; others would be changed."""
    kind = values.dtype.kind
    if kind == "O":
        return plain_elements(values)
    return kind in NUMBERS or (values.dtype.isnative and values.dtype.str[1:] in TIMES)


def _may_travel(values: Any) -> bool:
    return _is_block(values) if type(values) is numpy.ndarray else travels(values)


def _is_head(index: Any, attrs: Any) -> bool:
    """Whether the labels and the attributes of a table would come back exactly."""
    return travels(index) and is_plain_dict(attrs)


# ---- Series


def _series_apart(series: Any) -> Parts | None:
    values = values_of(series)
    if not (_is_head(series.index, series.attrs) and is_label(series.name)):
        return None
    if not _may_travel(values):
        return None
    unique = not series.flags.allows_duplicate_labels
    return values, series.index, series.name, dict(series.attrs), unique


def _series(values: Any, index: Any, name: Any, attrs: dict[Any, Any], unique: bool) -> Any:  # noqa: FBT001 - a part
    check(is_label(name), "the name of a Series is no label")
    check(_may_travel(values), "a Series has values that are none")
    check(values.ndim == 1 and len(values) == len(index), "a Series has values without labels")
    series = pandas.Series(values, index=index, name=name, dtype=values.dtype, copy=False)
    check(series.dtype == values.dtype, "a Series has values of another dtype")
    return _with_attrs(series, index, attrs, unique=unique)


def _with_attrs(table: Any, index: Any, attrs: dict[Any, Any], *, unique: bool) -> Any:
    check(_is_head(index, attrs), "a table has labels or attributes that are none")
    if attrs:
        table.attrs.update(attrs)
    if unique:
        table.flags.allows_duplicate_labels = False
    return table


# ---- DataFrames


def _frame_apart(frame: Any) -> Parts | None:
    index, columns = frame.index, frame.columns
    if not (_is_head(index, frame.attrs) and travels(columns)):
        return None
    groups: dict[Any, list[int]] = {}
    for place, dtype in enumerate(frame.dtypes.array):
        key = dtype if isinstance(dtype, numpy.dtype) else place
        groups.setdefault(key, []).append(place)
    if len(groups) > MOST_PARTS - 5:
        return None
    blocks = []
    for key, places in groups.items():
        if isinstance(key, int):
            values = values_of(frame.iloc[:, key])
        else:
            if len(groups) > 1 and not key.isnative:  # pandas cannot move its columns
                return None
            some = frame if len(groups) == 1 else frame.iloc[:, places]
            # What pandas holds itself, where the columns are together.
            values = some.to_numpy().T
        if not _may_travel(values):
            return None
        blocks.append(values)
    places_of_all = numpy.fromiter(chain.from_iterable(groups.values()), numpy.int64)
    unique = not frame.flags.allows_duplicate_labels
    return index, columns, dict(frame.attrs), unique, places_of_all, *blocks


def _frame(
    index: Any,
    columns: Any,
    attrs: dict[Any, Any],
    unique: bool,  # noqa: FBT001 - a part
    places: Any,
    *blocks: Any,
) -> Any:
    count = len(columns)
    check(travels(columns), "a DataFrame has columns that have no labels")
    check(
        type(places) is numpy.ndarray and places.dtype == numpy.int64 and places.ndim == 1,
        "a DataFrame has columns in no order",
    )
    check(len(places) == count, "a DataFrame has columns without labels")
    check(bool((numpy.sort(places) == numpy.arange(count)).all()), "a DataFrame lacks columns")
    dtypes = []
    for block in blocks:
        check(_is_block_of(block, len(index)), "a DataFrame has a block that is none")
        dtypes += [block.dtype] * (len(block) if type(block) is numpy.ndarray else 1)
    check(len(dtypes) == count, "a DataFrame has columns without labels")
    if not blocks:
        frame = pandas.DataFrame(index=index, columns=columns)
    elif len(blocks) == 1 and type(blocks[0]) is numpy.ndarray:
        frame = _numbered(blocks[0], places)
    else:
        frame = _joined(blocks, places)
    order = frame.columns.to_numpy()
    if bool((order[1:] < order[:-1]).any()):
        frame = frame.iloc[:, order.argsort()]
    frame.index, frame.columns = index, columns
    found = frame.dtypes.array[places]
    check(list(found) == dtypes, "a DataFrame has columns of other dtypes")
    return _with_attrs(frame, index, attrs, unique=unique)


def _is_block_of(block: Any, rows: int) -> bool:
    """Whether this may be columns of so many rows."""
    if type(block) is numpy.ndarray:
        return block.ndim == 2 and block.shape[1] == rows and _is_block(block)
    return len(block) == rows and travels(block)


def _numbered(block: Any, places: Any) -> Any:
    """Make a frame of one array of numpy, whose columns are numbered; the array is not copied."""
    return pandas.DataFrame(block.T, columns=places, dtype=block.dtype, copy=False)


def _joined(blocks: tuple[Any, ...], places: Any) -> Any:
    """Make a frame of several blocks, whose columns are numbered, in any order."""
    frames, singles, first = [], {}, 0
    for block in blocks:
        if type(block) is numpy.ndarray:
            frames.append(_numbered(block, places[first : first + len(block)]))
            first += len(block)
        else:
            singles[int(places[first])] = pandas.Series(block, dtype=block.dtype, copy=False)
            first += 1
    if singles:
        frames.append(pandas.DataFrame(singles))
    return frames[0] if len(frames) == 1 else pandas.concat(frames, axis=1)


def load(_library: str) -> None:
    """Register the kinds of pandas."""
    load_values()
    load_arrays()
    offsets = tuple(
        getattr(pandas.offsets, name) for name in OFFSETS if hasattr(pandas.offsets, name)
    )
    load_indexes(offsets, ARRAYS)
    array, flag = (numpy.ndarray,), (bool,)
    register(
        pandas.Series,
        Kind(
            "pandas.Series",
            ATTRIBUTE,
            _series_apart,
            _series,
            ((*array, *ARRAYS), INDEXES, None, (dict,), flag),
        ),
    )
    register(
        pandas.DataFrame,
        Kind(
            "pandas.DataFrame",
            ATTRIBUTE,
            _frame_apart,
            _frame,
            (INDEXES, INDEXES, (dict,), flag, (*array, *ARRAYS)),
            more=True,
        ),
    )
