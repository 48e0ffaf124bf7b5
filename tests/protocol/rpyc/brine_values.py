"""Everything that brine can hold, as a strategy."""

from __future__ import annotations

from hypothesis import strategies as st

from tests.strategies import texts

leaves = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(-60, 300),
    st.integers(),
    st.integers(-(2**3000), 2**3000),
    st.floats(),
    st.complex_numbers(),
    st.binary(max_size=6),
    st.binary(min_size=250, max_size=260),
    texts,
    st.text("aé\U0001f600", min_size=50, max_size=300),
    st.sampled_from([NotImplemented, ..., "", b"", (), 2**64 - 1, 2**64, -(2**64)]),
)
hashable = st.recursive(
    leaves,
    lambda inner: (
        st.lists(inner, max_size=3).map(tuple) | st.lists(inner, max_size=3).map(frozenset)
    ),
    max_leaves=6,
)
values = st.recursive(
    leaves | hashable,
    lambda inner: st.one_of(
        st.lists(inner, max_size=6).map(tuple),
        st.lists(inner, min_size=250, max_size=260).map(tuple),
        st.builds(slice, inner, inner, inner),
        st.lists(hashable, max_size=4).map(frozenset),
        st.tuples(texts, st.integers(), st.integers()),
    ),
    max_leaves=20,
)
"""Everything that brine can hold."""
