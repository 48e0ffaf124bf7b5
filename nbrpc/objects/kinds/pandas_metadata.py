"""The metadata of pandas in tables of Arrow: only what `Table.from_pandas` writes is taken.

`Table.to_pandas` obeys it: it makes arrays of whatever dtype it names, and that of a text of two
thousand million characters takes so much memory for each value.
"""

from __future__ import annotations

import json
import re
from typing import Any

__all__ = ["check_metadata"]

KEY = b"pandas"

LONGEST = 64 * 1024
"""Bytes of it that a table may have however few columns it has."""

PER_COLUMN = 4 * 1024
"""Bytes for each column."""

KEYS = frozenset(
    {
        "attributes",
        "column_indexes",
        "columns",
        "creator",
        "index_columns",
        "pandas_version",
        "partition_columns",
    }
)

COLUMN_KEYS = frozenset({"field_name", "metadata", "name", "numpy_type", "pandas_type"})

DETAILS: dict[str, set[type]] = {
    "encoding": {str},
    "num_categories": {int},
    "ordered": {bool},
    "precision": {int},
    "scale": {int},
    "timezone": {str},
    "unit": {str},
}

NUMPY_TYPE = re.compile(
    r"""
      object | str | string (\[ (python|pyarrow|pyarrow_numpy) \])? | bool | boolean | category
    | (u?int|UInt|Int) (8|16|32|64) | (float|Float) (16|32|64)
    | datetime64 (\[ (s|ms|us|ns) (,\ [\w/+:-]{1,48})? \])?
    | timedelta64 (\[ (s|ms|us|ns) \])?
    | period \[ [\w-]{1,16} \]
    | interval \[ (u?int64|float64|(datetime|timedelta)64\[(s|ms|us|ns)\])
        (,\ (left|right|both|neither))? \]
    | [a-z][a-z0-9_]{0,31} ([<\[(] [\w,:=<>/+()\[\]\ -]{0,256} )? \[pyarrow\]
    """,
    re.VERBOSE,
)
"""Names of dtypes, none of which says how large a value is."""

PANDAS_TYPE = re.compile(r"(list\[){0,8}[a-z][a-z0-9_-]{0,31}\]{0,8}")


def check_metadata(table: Any) -> None:
    """Refuse a table whose metadata pandas must not obey.

    Raises
    ------
    ValueError
        The message says why.
    """
    text = (table.schema.metadata or {}).get(KEY)
    if text is None:
        return
    _require(len(text) <= LONGEST + PER_COLUMN * table.num_columns, "is too long")
    try:
        found = json.loads(text)
    except (ValueError, RecursionError):
        raise ValueError("its metadata of pandas is not JSON") from None
    _require(type(found) is dict and found.keys() <= KEYS, "is not what pyarrow writes")
    for index in _items(found, "index_columns"):
        if type(index) is not str:
            _check_range(index)
    for name in ("columns", "column_indexes"):
        for column in _items(found, name):
            _check_column(column)


def _require(holds: bool, problem: str) -> None:  # noqa: FBT001 - what is checked comes first
    if not holds:
        raise ValueError(f"its metadata of pandas {problem}")


def _items(found: dict[str, Any], name: str) -> list[Any]:
    items = found.get(name, [])
    _require(type(items) is list, f"has no list of {name}")
    return items  # type: ignore[no-any-return] # JSON, which was just looked at


def _check_range(index: Any) -> None:
    """Look at an index that is a range; pyarrow drops one whose length is not that of the table."""
    known = {"kind", "name", "start", "stop", "step"}
    _require(type(index) is dict and index.keys() <= known, "has an index that is none")
    _require(index.get("kind") == "range", "has an index of no known kind")
    for part in ("start", "stop", "step"):
        number = index.get(part)
        _require(type(number) is int and abs(number) < 2**63, "has an index that is none")


def _check_column(column: Any) -> None:
    _require(type(column) is dict and column.keys() <= COLUMN_KEYS, "has a column that is none")
    for key in ("name", "field_name"):
        _require(isinstance(column.get(key), str | None), "has a column whose name is no text")
    for key, grammar in (("numpy_type", NUMPY_TYPE), ("pandas_type", PANDAS_TYPE)):
        kind = column.get(key, "object")
        _require(
            type(kind) is str and bool(grammar.fullmatch(kind)), f"has a type {str(kind)[:40]!r}"
        )
    details = column.get("metadata")
    if details is None:
        return
    _require(type(details) is dict and details.keys() <= DETAILS.keys(), "has unknown details")
    for key, detail in details.items():
        _require(detail is None or type(detail) in DETAILS[key], f"has a {key} that is none")
