"""Lines that users write with remote data, by the data that they are about.

``r`` is the data. Each line is run on the data itself and on a proxy of it; it is an expression, or
statements that leave ``result``. Whoever wants more lines adds them here.
"""

from __future__ import annotations

import array
import bisect
import collections
import copy
import functools
import heapq
import inspect
import itertools
import json
import math
import operator
import random
import statistics
import struct
import types
import urllib.parse
from typing import Any

import numpy as np
import pandas as pd

import nbrpc

LINES: dict[str, str] = {
    "[3, 1, 2]": """
        [0] + r
        r + [0]
        (0,) + r
        2 * r
        r * 2
        [3, 1, 2] == r
        [1] < r
        r < [9]
        3 in r
        x = [0]; y = x; x += r; result = (x, y)
        x = [0]; x.extend(r); result = x
        x = [0]; x[1:] = r; result = x
        r += [9]; result = r
        r *= 2; result = r
        list(r), tuple(r), set(r), frozenset(r)
        sorted(r), sum(r), max(r), len(r), bool(r)
        bytes(r), bytearray(r)
        array.array("d", r), collections.deque(r)
        list(enumerate(r)), list(zip(r, r)), list(reversed(r)), list(map(str, r))
        functools.reduce(operator.add, r)
        functools.reduce(operator.iconcat, [[0], r])
        sum([[0], r], [])
        [*r], (lambda *a: a)(*r)
        look(r)
        copy.copy(r), copy.deepcopy({"k": r})
        np.asarray(r), np.array(r, dtype="f4"), np.asarray(r).dtype.str
        np.arange(3) + r
        r + np.arange(3)
        np.mean(r), np.concatenate([r, [1]])
        pd.Series(r), pd.DataFrame(r), pd.DataFrame({"a": r})
        pd.Series([1, 2, 3]) + r
        pd.Series([1, 2, 3]).isin(r)
        isinstance(r, list), isinstance(r, collections.abc.Sequence)
        random.Random(1).sample(r, 2), bisect.bisect(r, 2), heapq.nlargest(2, r)
        statistics.mean(r), struct.pack("3i", *r)
        f"{r} {r!r}"
        int(r)
        json.dumps(r, indent=1)
        json.dumps(r, default=list)
    """,
    "[1, 'a', None]": """
        [0] + r
        pd.Series(r), pd.DataFrame({"a": r}), pd.Index(r)
        np.asarray(r), np.array(r, dtype=object)
        x = pd.DataFrame({"a": [1, 2, 3]}); x["b"] = r; result = x
    """,
    "[1, None, 2.5]": """
        pd.Series(r), pd.DataFrame(r), np.asarray(r), pd.to_numeric(r)
    """,
    "[[1, 2], [3, 4]]": """
        pd.Series(r)
        pd.DataFrame(r)
        np.asarray(r), np.linalg.det(r)
        np.ones((2, 2)) @ r
        sum(r, [])
        sum(r)
        dict(r)
        list(zip(*r)), list(itertools.chain.from_iterable(r))
        [0] + r
        copy.copy(r)
    """,
    "[{'a': 1, 'b': 2.5}, {'a': 3, 'b': 4.5}]": """
        pd.DataFrame(r)
        pd.DataFrame.from_records(r)
        [look(row) for row in r]
        [{**row} for row in r], [dict(row) for row in r]
        json.dumps(r, indent=1)
    """,
    "{'a': 1, 'b': 2}": """
        dict(r), {**r}, (lambda **k: k)(**r), types.SimpleNamespace(**r)
        r | {"c": 3}
        {"c": 3} | r
        x = {"c": 3}; y = x; x |= r; result = (x, y)
        x = {"c": 3}; x.update(r); result = x
        r |= {"c": 3}; result = r
        {"a": 1, "b": 2} == r
        "a" in r, r["a"], r.get("z", 5), len(r)
        list(r), set(r), sorted(r), list(r.items()), list(reversed(r))
        look(r), rest(r)
        copy.copy(r), copy.deepcopy(r)
        collections.OrderedDict(r), collections.Counter(r), collections.defaultdict(int, r)
        collections.ChainMap(r, {"z": 1})["a"]
        np.asarray(r)
        pd.Series(r), pd.DataFrame(r, index=[0]), pd.DataFrame([r])
        pd.Series(["a", "b"]).map(r)
        isinstance(r, dict), isinstance(r, collections.abc.Mapping)
        "%(a)s" % r, "{a}".format(**r), "{a}".format_map(r)
        urllib.parse.urlencode(r)
        max(r, key=r.get)
        json.dumps(r, indent=1, sort_keys=True)
    """,
    "{'x': [1, 2], 'y': [3.0, 4.0]}": """
        pd.DataFrame(r)
        look_deep(r)
        copy.deepcopy(r)
        json.dumps(r, indent=2)
    """,
    "{1, 2}": """
        {1, 5} & r, {1, 5} | r, {1, 5} - r, {1, 5} ^ r
        r & {1, 5}
        r | {5}
        r - {1}
        r ^ {5}
        frozenset({1}) | r
        {1, 2} == r, {1} <= r, {1} < r, r <= {1, 2, 3}
        x = {5}; y = x; x |= r; result = (x, y)
        x = {1, 5}; y = x; x &= r; result = (x, y)
        x = {1, 5}; y = x; x -= r; result = (x, y)
        x = {1, 5}; y = x; x ^= r; result = (x, y)
        r |= {7}; result = r
        {5}.union(r), {1}.issubset(r), {"a": 1, 1: 2}.keys() & r
        set(r), sorted(r), 1 in r, copy.copy(r)
        pd.Series([1, 5]).isin(r)
        pd.Series(r)
        look(r)
    """,
    "bytearray(b'ab')": """
        b"x" + r, bytearray(b"x") + r
        r + b"x"
        x = bytearray(b"x"); y = x; x += r; result = (x, y)
        bytes(r), bytearray(r), list(r), int.from_bytes(r, "little")
        b"ab" == r, 97 in r, b"a" in r, r.hex(), r.decode(), b"%s" % r
        copy.copy(r)
        look(r)
    """,
    "__import__('collections').OrderedDict(a=1, b=2)": """
        dict(r), copy.copy(r), look(r)
        {"c": 1} | r
        np.asarray(r)
    """,
    "__import__('collections').Counter('aab')": """
        dict(r), copy.copy(r), r["z"]
        collections.Counter("ab") + r
        collections.Counter("ab") - r
        collections.Counter("ab") == r
    """,
    "__import__('collections').deque([1, 2])": """
        list(r), look(r), np.asarray(r)
        x = [0]; y = x; x += r; result = (x, y)
        x = collections.deque([0]); y = x; x += r; result = (x, y)
    """,
    "__import__('numpy').arange(3, dtype='u2')": """
        bytes(r), int.from_bytes(r, "little")
        arr + r, arr - r, arr @ r, 2 + r
        r + arr
        r - arr
        r @ arr
        2 - r
        x = arr.copy(); y = x; x += r; result = (x, y)
        np.add(arr, r), np.add(r, r), np.sqrt(r), np.matmul(arr, r), np.add.reduce(r)
        np.multiply.outer(arr, r), np.concatenate([r, arr]), np.stack([r, r])
        np.mean(r), np.sum(r), np.std(r), np.percentile(r, 50), np.argmax(r)
        np.sort(r), np.unique(r), np.clip(r, 0, 1), np.isin(r, [1]), np.isnan(r)
        np.where(r > 1, r, 0)
        np.asarray(r), np.asarray(r, dtype="f4"), np.array(r, copy=True), np.array(r, ndmin=2)
        np.asarray([r, r]), np.broadcast_to(r, (2, 3)), np.from_dlpack(r)
        np.shape(r), np.ndim(r), np.reshape(r, (3, 1))
        np.interp(1.5, r, arr), np.fft.fft(r), np.einsum("i,i", r, arr), np.allclose(arr, r)
        np.array_equal(arr, r), arr == r, (r < arr).any(), 1 in r
        arr[r]
        r[arr > 0]
        list(r), sum(r), max(r), sorted(r), math.fsum(r), statistics.mean(r)
        copy.copy(r), copy.deepcopy(r)
        pd.Series(r), pd.DataFrame(r), pd.DataFrame({"a": r}), pd.Index(r)
        pd.Series([1.0, 2.0, 3.0]) + r
        r + pd.Series([1.0, 2.0, 3.0])
        pd.DataFrame({"a": [1, 2, 3]}).assign(b=r)
        x = pd.DataFrame({"a": [1, 2, 3]}); x["b"] = r; result = x
        [1, 2, 3] + r
        r + [1, 2, 3]
        np.float64(2.0) * r
        -r, abs(r), ~r
        plot(r), set_data(r)
    """,
    "__import__('numpy').array(1 + 2j)": "complex(r), np.asarray(r)",
    "__import__('numpy').array(5)": """
        int(r), float(r), complex(r), operator.index(r), math.sqrt(r), bytes(r)
        [0] * r
    """,
    "__import__('numpy').arange(6.0).reshape(2, 3)": """
        np.asarray(r), np.mean(r, axis=0), np.linalg.svd(r)[1], bytes(r)
        np.ones((2, 2)) @ r
        pd.DataFrame(r, columns=list("abc"))
        [row.tolist() for row in r]
        look(r)
    """,
    "__import__('pandas').Series([10.0, 20.0], index=['b', 'a'], name='v')": """
        r + mine
        1 + r
        pd.Series(r)
        pd.Series(r, dtype="f4")
        pd.concat([r])
        pd.concat([r, mine])
        np.asarray(r), np.sqrt(r), np.mean(r), np.concatenate([r, arr])
        np.add(mine, r)
        np.maximum(r, mine)
        arr[:2] + r
        list(r), sum(r), max(r), sorted(r), dict(r)
        copy.copy(r), copy.deepcopy(r)
        mine.map(r)
        pd.to_numeric(r)
        pd.isna(r)
        isinstance(r, pd.Series)
        plot(r), set_data(r)
    """,
    "__import__('pandas').DataFrame({'a': [1, 2], 'b': [0.5, 1.5]}, index=['y', 'x'])": """
        pd.DataFrame(r)
        pd.DataFrame(r, columns=["b"])
        pd.concat([r])
        frame + r
        r + frame
        np.asarray(r), np.sqrt(r), copy.copy(r)
        np.ones((2, 2)) + r
        np.ones((2, 2)) @ r
        list(r), len(r), "a" in r
        pd.melt(r)
        pd.isna(r)
        isinstance(r, pd.DataFrame), hasattr(r, "__arrow_c_stream__")
    """,
    "__import__('pandas').DataFrame({'a': [1, 2]})": "polars_of(r)",
    "(i for i in [1, 2, 3])": """
        list(r)
        sum(r)
        next(r), r.send(None), list(r)
        next(r); r.close(); result = list(r)
        for x in r: break
        r.close(); result = list(r)
        list(delegate(r))
    """,
    "(lambda a, b=2, *, c='x': (a, b, c))": """
        inspect.signature(r), inspect.signature(functools.partial(r, 1))
        functools.partial(r, 1)(c="z"), list(map(r, [1, 2])), callable(r)
        widgets_for(r)
    """,
    "__import__('string').Template": """
        inspect.signature(r)
        class Own(r): pass
    """,
    "__import__('email.message').message.EmailMessage()": "bytes(r)",
}
"""What must be right, by value and type, or be one sentence."""

WITH_INDEXES: dict[str, str] = {
    "__import__('pandas').Series([10.0, 20.0], index=['b', 'a'], name='v')": """
        mine + r
        mine - r
        mine * r
        divmod(mine, r)
        pd.Series(r, index=["a", "b"])
        pd.DataFrame(r)
        pd.DataFrame({"v": r, "m": mine})
        mine.to_frame("q").assign(v=r)
        x = mine.to_frame("q"); x["c"] = r; result = x
        x = mine.to_frame("q"); x.insert(0, "c", r); result = x
        pd.concat([mine, r], axis=1)
        mine.add(r, fill_value=0)
        mine.combine_first(r)
        mine.align(r)
        mine.where(mine > 1, r)
        mine.to_frame("q").mul(r, axis=0)
        mine.to_frame("q").join(r)
        x = mine.copy(); y = x; x += r; result = (x, y)
        x = mine.copy(); x.update(r); result = x
        pd.to_datetime(r)
        pd.cut(r, 2)
    """,
    "__import__('pandas').DataFrame({'a': [1, 2], 'b': [0.5, 1.5]}, index=['y', 'x'])": """
        pd.concat([frame, r])
        pd.merge(frame, r, on="a")
        frame.join(r, rsuffix="_r")
        x = frame.copy(); x[["a", "b"]] = r; result = x
        x = frame.copy(); x["c"] = r["b"]; result = x
        pd.crosstab(r["a"], r["b"])
    """,
}
"""The same, where pandas asks for the index and hands it to the peer: it has to travel by value."""

ONE_SENTENCE = {
    "[3, 1, 2]": ["json.dumps(r)"],
    "{'a': 1, 'b': 2}": ["json.dumps(r)"],
    "__import__('numpy').arange(3, dtype='u2')": [
        "bytearray(r)",
        "np.add(arr, arr, out=r)",
        "np.add.at(r, [0], 1)",
        "np.array(r, copy=False) if np.__version__ >= '2' else r.__array__(copy=False)",
    ],
    "(i for i in [1, 2, 3])": [
        "r.throw(ValueError)",
        "next(iter(r)); r.send(1)",
        "g = delegate(r); next(g); g.send(1)",
    ],
    "__import__('string').Template": ["class Own(r): pass"],
    "__import__('email.message').message.EmailMessage()": ["copy.copy(r)", "copy.deepcopy(r)"],
    "__import__('pandas').DataFrame({'a': [1]}, index=['y'])": ["polars_of(r)"],
}
"""What cannot be right, and says what helps."""


def look(x: Any) -> Any:
    """Match a mapping, then a sequence."""
    match x:
        case {"a": value}:
            return value
        case [first, *_]:
            return first
    return "no match"


def rest(x: Any) -> Any:
    """Match a mapping and keep the rest."""
    match x:
        case {"a": 1, **others}:
            return others
    return "no match"


def look_deep(x: Any) -> Any:
    """Match what is inside."""
    match x:
        case {"x": [a, b], "y": list(c)}:
            return a, b, list(c)
    return "no match"


def delegate(generator: Any) -> Any:
    """Yield from it, and give what it returned."""
    returned = yield from generator
    yield returned


def _drawn(use: Any) -> Any:
    # Without pyplot: once it is loaded, cells of this process show no figures by themselves.
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure()
    line = use(figure.subplots())
    FigureCanvasAgg(figure).draw()
    return line.get_xydata()


def plot(data: Any) -> Any:
    """Draw it, and give the points."""
    return _drawn(lambda axes: axes.plot(data)[0])


def set_data(data: Any) -> Any:
    """Draw it with a line that is there, and give the points."""

    def use(axes: Any) -> Any:
        (line,) = axes.plot(range(len(data)))
        line.set_ydata(data)
        return line

    return _drawn(use)


def polars_of(table: Any) -> Any:
    """Give it to polars."""
    import polars

    return polars.DataFrame(table).to_dict(as_series=False)


def widgets_for(function: Any) -> list[str]:
    """Give the kinds of controls that ipywidgets makes for it."""
    from ipywidgets import interactive

    return [type(child).__name__ for child in interactive(function, a=1).children]


def names(data: object) -> dict[str, Any]:
    """Give the names that the lines use."""
    return {
        **{name: value for name, value in globals().items() if name[:2] != "__"},
        **{module.__name__: module for module in MODULES},
        "arr": np.arange(3),
        "mine": pd.Series([1.0, 2.0], index=["a", "b"]),
        "frame": pd.DataFrame({"a": [1, 3], "b": [1.0, 2.0]}, index=["x", "z"]),
        "r": data,
    }


MODULES = (array, bisect, collections, copy, functools, heapq, inspect, itertools, json, math)
MODULES += (operator, random, statistics, struct, types, urllib.parse)

DATA = list({**LINES, **ONE_SENTENCE})


class Shelf(nbrpc.Service):  # type: ignore[misc] # nbrpc loads its names when they are used
    """Has all of it as attributes."""

    def __init__(self) -> None:
        self.exposed_renew()

    def exposed_renew(self) -> None:
        """Make them anew."""
        for number, data in enumerate(DATA):
            setattr(self, f"exposed_data{number}", eval(data))

    @nbrpc.exposed
    def give(self, data: str) -> object:
        """Give some data."""
        return eval(data)

    @nbrpc.exposed
    def run(self, line: str, data: object) -> object:
        """Run a line about what was given."""
        return run(line, data)


def run(line: str, data: object) -> Any:
    """Run a line about data."""
    scope = names(data)
    try:
        code = compile(line, "<line>", "eval")
    except SyntaxError:
        exec(line, scope)
        return scope.get("result")
    return eval(code, scope)
