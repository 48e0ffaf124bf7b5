"""The kinds of scipy.sparse. C code trusts the indices in them: all are checked when they arrive.

The parts are the arrays of the format. The two formats that are made of lists and dicts travel as
those of a format that is like them: lil as csr, dok as coo.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from itertools import accumulate, chain, pairwise
from typing import Any

import numpy
import scipy.sparse

from nbrpc.errors import RemoteProtocolError
from nbrpc.objects.arrays import is_array
from nbrpc.objects.draft import colliding
from nbrpc.objects.kinds import ATTRIBUTE, Kind, Takes, register

__all__ = ["load"]

Parts = tuple[Any, ...]

NUMBERS = frozenset("?bhilqBHILQfdgFDG")
"""Characters of the dtypes that scipy.sparse supports."""

LARGEST_SIZE = 2**63 - 1

MOST_COLLIDING = 1_000
"""Places of a dok whose hashes are equal."""

KNOWN = frozenset(
    {
        "_dict",
        "_has_canonical_format",
        "_has_sorted_indices",
        "_shape",
        "col",
        "coords",
        "data",
        "dtype",
        "has_canonical_format",
        "indices",
        "indptr",
        "maxprint",
        "offsets",
        "row",
        "rows",
    }
)
"""Attributes that scipy sets; whatever else there is the user added."""


def _check(holds: Any, problem: str) -> None:
    if not holds:
        raise RemoteProtocolError(f"a sparse array has {problem}")


# ---- checks


def _sizes(shape: tuple[Any, ...], least: int = 2, most: int = 2) -> None:
    _check(least <= len(shape) <= most, "another number of dimensions")
    _check(
        all(type(size) is int and 0 <= size <= LARGEST_SIZE for size in shape),
        "a shape that is none",
    )


def _numbers(data: Any, dimensions: int = 1) -> Any:
    """Check the stored numbers, and give them in the byte order of this machine."""
    _check(is_array(data) and data.ndim == dimensions, "no array of numbers")
    _check(data.dtype.char in NUMBERS, "numbers of a dtype that none has")
    return data.astype(data.dtype.newbyteorder("="), copy=False)


def _indices(indices: Any, least: int, below: int) -> Any:
    """Check indices, and give them in the byte order of this machine."""
    _check(is_array(indices) and indices.ndim == 1, "no array of indices")
    _check(indices.dtype.kind == "i" and indices.dtype.itemsize in {4, 8}, "indices of no integers")
    indices = indices.astype(indices.dtype.newbyteorder("="), copy=False)
    if len(indices):
        _check(least <= int(indices.min()) and int(indices.max()) < below, "indices out of bounds")
    return indices


def _pointers(indptr: Any, stored: int, lines: int) -> Any:
    """Check where the lines of a compressed format begin."""
    indptr = _indices(indptr, 0, stored + 1)
    _check(len(indptr) == lines + 1, "another number of lines")
    _check(indptr[0] == 0 and indptr[-1] == stored, "pointers that do not fit its data")
    _check((indptr[1:] >= indptr[:-1]).all(), "pointers that go backwards")
    return indptr


# ---- making them


def _compressed(cls: Any, shape: tuple[Any, ...], data: Any, indices: Any, indptr: Any) -> Any:
    """Make a csr or csc."""
    by_columns = cls in {scipy.sparse.csc_matrix, scipy.sparse.csc_array}
    _sizes(shape, 2 if by_columns or issubclass(cls, scipy.sparse.spmatrix) else 1)
    lines, length = shape if len(shape) == 2 else (1, *shape)
    if by_columns:
        lines, length = length, lines
    data, indices = _numbers(data), _indices(indices, 0, length)
    _check(len(data) == len(indices), "more indices than numbers, or fewer")
    indptr = _pointers(indptr, len(indices), lines)
    made = cls((data, indices, indptr), shape=shape)
    made.indices, made.indptr = indices, indptr  # the constructor may choose smaller integers
    return made


def _blocks(cls: Any, shape: tuple[Any, ...], data: Any, indices: Any, indptr: Any) -> Any:
    """Make a bsr."""
    _sizes(shape)
    data = _numbers(data, 3)
    (rows, columns), (height, width) = shape, data.shape[1:]
    _check(height > 0 and width > 0, "blocks of no size")
    _check(rows % height == 0 and columns % width == 0, "blocks that do not fit its shape")
    indices = _indices(indices, 0, columns // width)
    _check(len(data) == len(indices), "more indices than blocks, or fewer")
    indptr = _pointers(indptr, len(indices), rows // height)
    made = cls((data, indices, indptr), shape=shape, blocksize=(height, width))
    made.indices, made.indptr = indices, indptr
    return made


def _diagonals(cls: Any, shape: tuple[Any, ...], data: Any, offsets: Any) -> Any:
    """Make a dia."""
    _sizes(shape)
    data, offsets = _numbers(data, 2), _indices(offsets, 1 - shape[0], shape[1])
    _check(len(data) == len(offsets), "more diagonals than offsets, or fewer")
    _check(len(numpy.unique(offsets)) == len(offsets), "a diagonal twice")
    made = cls((data, offsets), shape=shape)
    made.offsets = offsets
    return made


def _places(cls: Any, shape: tuple[Any, ...], canonical: bool, data: Any, *places: Any) -> Any:  # noqa: FBT001 - a part
    """Make a coo."""
    _sizes(shape, 2 if issubclass(cls, scipy.sparse.spmatrix) else 1, 64)
    _check(len(shape) == len(places), "another number of dimensions")
    data = _numbers(data)
    coords = tuple(_indices(part, 0, size) for part, size in zip(places, shape, strict=True))
    _check(all(len(part) == len(data) for part in coords), "more indices than numbers, or fewer")
    made = cls((data, coords), shape=shape)
    if hasattr(made, "coords"):
        made.coords = coords
    else:  # scipy before 1.13
        made.row, made.col = coords
    if canonical:
        other = made.copy()
        other.sum_duplicates()
        _check(other.nnz == made.nnz, "a place twice")
        made.has_canonical_format = True
    return made


def _lists(cls: Any, shape: tuple[Any, ...], data: Any, indices: Any, indptr: Any) -> Any:
    """Make a lil."""
    _sizes(shape)
    data, indices = _numbers(data), _indices(indices, 0, shape[1])
    _check(len(data) == len(indices), "more indices than numbers, or fewer")
    starts = _pointers(indptr, len(indices), shape[0]).tolist()
    places, numbers = indices.tolist(), data.tolist()
    made = cls(shape, dtype=data.dtype)
    for row, (start, end) in enumerate(pairwise(starts)):
        columns = places[start:end]
        _check(all(left < right for left, right in pairwise(columns)), "a row that is not sorted")
        made.rows[row], made.data[row] = columns, numbers[start:end]
    return made


def _entries(cls: Any, shape: tuple[Any, ...], data: Any, rows: Any, columns: Any) -> Any:
    """Make a dok."""
    _sizes(shape)
    data = _numbers(data)
    rows, columns = _indices(rows, 0, shape[0]), _indices(columns, 0, shape[1])
    _check(len(rows) == len(data) == len(columns), "more indices than numbers, or fewer")
    places = list(zip(rows.tolist(), columns.tolist(), strict=True))
    _check(colliding(places) <= MOST_COLLIDING, "too many places with equal hashes")
    made = cls(shape, dtype=data.dtype)
    for place, number in zip(places, data, strict=True):
        made.setdefault(place, number)
    _check(made.nnz == len(data), "a place twice")
    return made


# ---- taking them apart


def _compressed_parts(matrix: Any) -> Parts:
    return matrix.data, matrix.indices, matrix.indptr


def _diagonal_parts(matrix: Any) -> Parts:
    return matrix.data, matrix.offsets


def _place_parts(matrix: Any) -> Parts:
    coords = getattr(matrix, "coords", None) or (matrix.row, matrix.col)
    return bool(matrix.has_canonical_format), matrix.data, *coords


def _list_parts(matrix: Any) -> Parts:
    starts = list(accumulate(map(len, matrix.rows), initial=0))
    data = numpy.fromiter(chain.from_iterable(matrix.data), matrix.dtype, starts[-1])
    indices = numpy.fromiter(chain.from_iterable(matrix.rows), numpy.int64, starts[-1])
    return data, indices, numpy.array(starts, numpy.int64)


def _entry_parts(matrix: Any) -> Parts:
    entries = dict(matrix.items())
    rows = numpy.array([row for row, _ in entries], numpy.int64)
    columns = numpy.array([column for _, column in entries], numpy.int64)
    return numpy.fromiter(entries.values(), matrix.dtype, len(entries)), rows, columns


def _apart(take: Callable[[Any], Parts], make: Callable[..., Any], matrix: Any) -> Parts | None:
    if not KNOWN.issuperset(vars(matrix)) or matrix.maxprint != 50:
        return None
    try:
        parts = tuple(int(size) for size in matrix.shape), *take(matrix)
        # It copies no data, and what it refuses the other side would refuse as well.
        made = make(*parts)
    except Exception:  # indices that the user broke, a dtype that scipy let pass
        return None
    native = all(part.dtype.isnative for part in parts if isinstance(part, numpy.ndarray))
    return parts if native and made.dtype == matrix.dtype else None


ARRAY: Takes = (numpy.ndarray,)
TRIPLE = ((tuple,), ARRAY, ARRAY, ARRAY)

FORMATS: dict[str, tuple[Callable[[Any], Parts], Callable[..., Any], tuple[Takes, ...]]] = {
    "csr": (_compressed_parts, _compressed, TRIPLE),
    "csc": (_compressed_parts, _compressed, TRIPLE),
    "bsr": (_compressed_parts, _blocks, TRIPLE),
    "lil": (_list_parts, _lists, TRIPLE),
    "dok": (_entry_parts, _entries, TRIPLE),
    "dia": (_diagonal_parts, _diagonals, TRIPLE[:3]),
    "coo": (_place_parts, _places, ((tuple,), (bool,), ARRAY, ARRAY)),
}
"""From a format to what takes it apart, what makes it, and its parts."""


def load(_library: str) -> None:
    """Register the kinds of this module."""
    for form, (take, make, takes) in FORMATS.items():
        for name in (f"{form}_matrix", f"{form}_array"):
            cls = getattr(scipy.sparse, name)
            making = partial(make, cls)
            register(
                cls,
                Kind(
                    f"scipy.sparse.{name}",
                    ATTRIBUTE,
                    partial(_apart, take, making),
                    making,
                    takes,
                    more=form == "coo",
                ),
            )
