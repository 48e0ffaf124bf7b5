"""Sparse arrays of scipy are copied exactly, and every index is checked."""

from __future__ import annotations

import numpy as np
import pytest
import scipy.sparse
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as npst

from nbrpc.errors import RemoteProtocolError
from nbrpc.objects.kinds import rebuild
from tests.objects.taken_apart import carried, refused

DENSE = np.array([[1, 0, 2, 0], [0, 0, 0, 0], [3, 4, 0, 0], [0, 0, 0, 5]])

NAMES = [
    f"{form}_{kind}"
    for form in ["csr", "csc", "coo", "bsr", "dia", "lil", "dok"]
    for kind in ("matrix", "array")
]


@pytest.mark.parametrize("dtype", ["?", "i1", "i8", "f4", "f8", "c16"])
@pytest.mark.parametrize("name", NAMES)
def test_a_sparse_array_comes_back_in_its_format(name, dtype):
    """Class, dtype, shape, and all arrays that it is made of are the same."""
    for dense in (DENSE, DENSE[:3], DENSE[:0], DENSE[:, :0], DENSE * 0):
        if dense.size == 0 and name.startswith(("bsr", "dia")):
            continue
        array = getattr(scipy.sparse, name)(dense.astype(dtype))
        check_sparse(array, carried(array))


def check_sparse(array, made):
    """Check that a sparse array is the same."""
    assert type(made) is type(array)
    assert made.dtype == array.dtype
    assert made.shape == array.shape
    assert made.nnz == array.nnz
    assert np.array_equal(made.toarray(), array.toarray())
    for name in ("indices", "indptr", "data", "offsets", "row", "col", "rows"):
        if hasattr(array, name):
            mine, other = getattr(made, name), getattr(array, name)
            assert mine.dtype == other.dtype, name
            assert mine.tolist() == other.tolist(), name
    for name in ("has_canonical_format", "has_sorted_indices", "blocksize"):
        assert getattr(made, name, None) == getattr(array, name, None), name


def test_a_sparse_array_keeps_what_its_format_can_hold():
    """Places that come twice, zeros, odd orders, wide indices, blocks."""
    twice = scipy.sparse.coo_array(([1, 2, 0], ([0, 0, 1], [1, 1, 0])), shape=(2, 2))
    check_sparse(twice, carried(twice))
    unsorted = scipy.sparse.csr_array(([1, 2, 0], [2, 0, 1], [0, 2, 3]), shape=(2, 3))
    check_sparse(unsorted, carried(unsorted))
    wide = scipy.sparse.csr_array(DENSE)
    wide.indices, wide.indptr = wide.indices.astype("i8"), wide.indptr.astype("i8")
    check_sparse(wide, carried(wide))
    blocks = scipy.sparse.bsr_array(DENSE, blocksize=(2, 2))
    check_sparse(blocks, carried(blocks))
    entries = scipy.sparse.dok_array((2, 2))
    entries[1, 0], entries[0, 1] = 1, 2
    assert list(carried(entries).items()) == list(entries.items())
    flat = scipy.sparse.coo_array(np.array([0, 1, 2]))
    assert np.array_equal(carried(flat).toarray(), flat.toarray())


def test_a_sparse_array_that_would_change_stays():
    """Broken indices, data behind the last row, attributes of the user."""
    broken = scipy.sparse.csr_array(DENSE)
    broken.indices[0] = 100
    assert carried(broken) is None
    tailed = scipy.sparse.csr_array(DENSE)
    tailed.data, tailed.indices = np.append(tailed.data, 1), np.append(tailed.indices, 0)
    assert carried(tailed) is None
    tagged = scipy.sparse.csr_array(DENSE)
    tagged.unit = "V"
    assert carried(tagged) is None


I = np.array  # noqa: E741

HOSTILE_SPARSE = [
    ("csr_array", (2, 2), I([1.0]), I([2]), I([0, 1, 1])),
    ("csr_array", (2, 2), I([1.0]), I([-1]), I([0, 1, 1])),
    ("csr_array", (2, 2), I([1.0]), I([0]), I([0, 5, 1])),
    ("csr_array", (2, 2), I([1.0]), I([0]), I([0, -1, 1])),
    ("csr_array", (2, 2), I([1.0]), I([0]), I([1, 1, 1])),
    ("csr_array", (2, 2), I([1.0]), I([0]), I([0, 1])),
    ("csr_array", (2, 2), I([1.0]), I([0]), I([0, 0, 0])),
    ("csr_array", (2, 2), I([1.0, 2.0]), I([0]), I([0, 1, 1])),
    ("csr_array", (2, 2), I([1.0]), I([0.0]), I([0, 1, 1])),
    ("csr_array", (2, 2), I([1.0]), I([0], "u8"), I([0, 1, 1])),
    ("csr_array", (2, 2), I(["a"]), I([0]), I([0, 1, 1])),
    ("csr_array", (2, 2), I([None]), I([0]), I([0, 1, 1])),
    ("csr_array", (2, 2.0), I([1.0]), I([0]), I([0, 1, 1])),
    ("csr_array", (2, -2), I([1.0]), I([0]), I([0, 1, 1])),
    ("csr_array", (2, 2**64), I([1.0]), I([0]), I([0, 1, 1])),
    ("csr_array", (), I([1.0]), I([0]), I([0, 1])),
    ("csc_array", (2,), I([1.0]), I([0]), I([0, 1])),
    ("csc_matrix", (5, 1), I([1.0]), I([5]), I([0, 1])),
    ("csr_matrix", (2**40, 2), I([1.0]), I([0]), I([0, 1])),
    ("bsr_array", (2, 2), np.zeros((1, 0, 2)), I([0]), I([0, 1])),
    ("bsr_array", (3, 2), np.zeros((1, 2, 2)), I([0]), I([0, 1])),
    ("bsr_array", (2, 2), np.zeros((1, 2, 2)), I([1]), I([0, 1])),
    ("bsr_array", (2, 2), np.zeros(4), I([0]), I([0, 1])),
    ("dia_array", (2, 2), np.zeros((1, 2)), I([2])),
    ("dia_array", (2, 2), np.zeros((1, 2)), I([-(2**63)])),
    ("dia_array", (2, 2), np.zeros((2, 2)), I([0, 0])),
    ("dia_array", (2, 2), np.zeros((2, 2)), I([0])),
    ("coo_array", (2, 2), False, I([1.0]), I([0]), I([2])),
    ("coo_array", (2, 2), False, I([1.0]), I([0]), I([0, 1])),
    ("coo_array", (2, 2), False, I([1.0]), I([0])),
    ("coo_matrix", (2,), False, I([1.0]), I([0])),
    ("coo_array", (2, 2), True, I([1.0, 2.0]), I([0, 0]), I([1, 1])),
    ("lil_array", (2, 2), I([1.0, 2.0]), I([1, 0]), I([0, 2, 2])),
    ("lil_array", (2, 2), I([1.0, 2.0]), I([1, 1]), I([0, 2, 2])),
    ("lil_array", (2**40, 2), I([1.0]), I([0]), I([0, 1])),
    ("dok_array", (2, 2), I([1.0, 2.0]), I([0, 0]), I([1, 1])),
    ("dok_array", (2, 2), I([1.0]), I([0]), I([2])),
]


@pytest.mark.parametrize("parts", HOSTILE_SPARSE, ids=lambda parts: str(parts)[:70])
def test_a_sparse_array_that_is_none_is_refused(parts):
    """No index that C code trusts is out of bounds."""
    name, *parts = parts
    refused(f"scipy.sparse.{name}", *parts)


SMALL = npst.arrays(np.int64, st.integers(0, 6), elements=st.integers(-1, 4))


@settings(max_examples=200)
@given(st.sampled_from(["csr_array", "csc_matrix"]), SMALL, SMALL)
def test_whatever_arrives_as_indices_is_in_bounds_or_refused(name, indices, indptr):
    """What is made of any indices can be read as a whole."""
    parts = [(3, 3), np.ones(len(indices)), indices, indptr]
    try:
        made = rebuild(f"scipy.sparse.{name}", parts)
    except RemoteProtocolError:
        return
    assert made.toarray().sum() == len(indices)
