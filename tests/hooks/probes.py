"""Puts proxies of a hostile server through what looks at objects by their hooks.

Run as ``python -m tests.hooks.probes URL``; prints one JSON line for each probe: what came of it,
how many requests it took, which hooks ran over there, and what this process was seen to do.
"""

from __future__ import annotations

import collections.abc
import contextlib
import copy
import csv
import dataclasses
import decimal
import doctest
import enum
import functools
import gc
import html
import importlib
import inspect
import io
import itertools
import json
import locale
import logging
import marshal
import operator
import os
import pathlib
import pickle
import pprint
import pydoc
import random
import reprlib
import shelve
import shutil
import string
import struct
import subprocess
import sys
import tempfile
import textwrap
import traceback
import types
import typing
import unittest.mock
import urllib.request
import warnings
import weakref

import IPython.core.completer
import IPython.core.display_functions
import IPython.core.formatters
import IPython.core.oinspect
import IPython.lib.pretty
import ipywidgets
import matplotlib as mpl
import numpy as np
import pandas as pd
import polars as pl
import pyarrow as pa

import nbrpc

mpl.use("agg")

seen: list[str] = []
watching = False

WATCHED = frozenset(
    """pickle.find_class os.system os.exec os.posix_spawn os.fork os.forkpty socket.connect
    urllib.Request webbrowser.open builtins.input""".split()  # noqa: SIM905 - a list of words
)


def audit(event: str, arguments: tuple[object, ...]) -> None:
    """Note what code of a peer would do here; what libraries do by themselves is known."""
    if not watching:
        return
    for argument in arguments[:2]:  # a proxy among them is left alone: its repr is a request
        said: object = argument
        if type(argument) is types.CodeType:
            said = f"{argument.co_filename} {argument.co_names}"
        if type(said) in (str, bytes) and "evil_payload" in str(said):
            seen.append(f"{event} {said!r:.200}")
    if event in WATCHED:
        seen.append(event)


def show_rich(proxy: object) -> object:
    """What a cell that ends in it shows, in every form."""
    formatter = IPython.core.formatters.DisplayFormatter()
    formatter.active_types = formatter.format_types
    bundle, _ = formatter.format(proxy)
    assert set(bundle) <= {"text/plain"}, bundle.keys()
    assert not formatter.ipython_display_formatter(proxy)
    return bundle


def as_subclass(proxy: object) -> object:
    """Derive from what may be a remote class."""
    return type("Derived", (proxy,), {})


def set_in_class(proxy: object) -> object:
    """Let it be a member of a class, where descriptors work."""
    return type("Holder", (), {"member": proxy})().member


def raise_it(proxy: object) -> None:
    """Raise it as an exception."""
    raise proxy


def dataclass_of(proxy: object) -> object:
    """Hold it in a dataclass, and take that apart."""
    made = dataclasses.make_dataclass("Made", ["field"])
    return dataclasses.asdict(made(proxy))


def logged(proxy: object) -> str:
    """Log it, formatted."""
    stream = io.StringIO()
    handler = logging.StreamHandler(stream)
    record = logging.LogRecord("x", 30, "x", 1, "%s %r", (proxy, proxy), None)
    handler.emit(record)
    return stream.getvalue()


def mocked(proxy: object) -> object:
    """Make a mock that looks like it."""
    return unittest.mock.create_autospec(proxy)


def dispatched(proxy: object) -> object:
    """Choose a function by its class."""
    function = functools.singledispatch(lambda value: "object")
    function.register(list, lambda value: "list")
    function.register(collections.abc.Mapping, lambda value: "mapping")
    return function(proxy)


def matched(proxy: object) -> str:
    """Match it against patterns."""
    match proxy:
        case {"a": _}:
            return "mapping"
        case [_, *_]:
            return "sequence"
        case str() | int():
            return "value"
        case types.SimpleNamespace(x=1):
            return "class"
        case _:
            return "nothing"


def completed(proxy: object) -> object:
    """Ask for what Tab offers."""
    completer = IPython.core.completer.Completer({"proxy": proxy})
    return completer.attr_matches("proxy.")[:3]


def abstract(proxy: object) -> list[bool]:
    """Check it against every abstract base class."""
    return [
        isinstance(proxy, cls)
        for name in collections.abc.__all__
        if isinstance(cls := getattr(collections.abc, name), type)
    ]


def protocols(proxy: object) -> list[bool]:
    """Check it against protocols that look for attributes."""
    found = [typing.SupportsInt, typing.SupportsFloat, typing.SupportsAbs, typing.SupportsIndex]
    return [isinstance(proxy, cls) for cls in found]


def suggested(proxy: object) -> str:
    """Format an AttributeError about it: Python looks for a like name."""
    try:
        proxy.sappend  # noqa: B018 - it raises
    except AttributeError as error:
        return "".join(traceback.format_exception(error))
    return "there"


def locals_shown(proxy: object) -> str:
    """Format a traceback with the variables of its frames."""
    try:
        raise ValueError(proxy)
    except ValueError as error:
        return "".join(
            traceback.TracebackException.from_exception(error, capture_locals=True).format()
        )


def widget(proxy: object) -> object:
    """Put it where ipywidgets expect a value."""
    return ipywidgets.HTML(value=proxy)


def plotted(proxy: object) -> object:
    """Draw it."""
    from matplotlib.figure import Figure

    return Figure().subplots().plot(proxy)


def shelved(proxy: object, folder: str) -> None:
    """Keep it in a file of pickles."""
    with shelve.open(f"{folder}/shelf") as shelf:
        shelf["key"] = proxy


def temporary(use: object) -> object:
    """Give a probe that gets a folder of its own as well."""

    def probe(proxy: object) -> object:
        with tempfile.TemporaryDirectory() as folder:
            return use(proxy, folder)

    return probe


PROBES: dict[str, object] = {
    "copy.copy": copy.copy,
    "copy.deepcopy": copy.deepcopy,
    "copy in a dict": lambda proxy: copy.deepcopy({"key": [proxy]}),
    "copy.replace": getattr(copy, "replace", dataclasses.replace),
    **{
        f"pickle {protocol}": functools.partial(pickle.dumps, protocol=protocol)
        for protocol in range(pickle.HIGHEST_PROTOCOL + 1)
    },
    "pickle in Python": pickle._dumps,
    "pickle in a list": lambda proxy: pickle.dumps([proxy]),
    "pickle.loads": pickle.loads,
    "marshal.dumps": marshal.dumps,
    "marshal.loads": marshal.loads,
    "shelve": temporary(shelved),
    "json.dumps": json.dumps,
    "json in Python": lambda proxy: json.dumps(proxy, indent=2, default=str),
    "json.loads": json.loads,
    "csv": lambda proxy: csv.writer(io.StringIO()).writerow([proxy]),
    "np.array": np.array,
    "np.asarray": np.asarray,
    "np.asarray object": lambda proxy: np.asarray(proxy, dtype=object),
    "np.array of a list": lambda proxy: np.array([proxy, proxy], dtype=object),
    "np.asanyarray": np.asanyarray,
    "np.frombuffer": np.frombuffer,
    "np.from_dlpack": np.from_dlpack,
    "np.add": lambda proxy: np.add(np.arange(3), proxy),
    "np.dtype": np.dtype,
    "np.sum": np.sum,
    "np.isnan": np.isnan,
    "np.save": lambda proxy: np.save(io.BytesIO(), proxy, allow_pickle=False),
    "np.load": np.load,
    "np.ndarray ==": lambda proxy: np.arange(3) == proxy,
    "np.random": np.random.default_rng,
    "pd.Series": pd.Series,
    "pd.DataFrame": pd.DataFrame,
    "pd.Index": pd.Index,
    "pd.isna": pd.isna,
    "pd.to_datetime": pd.to_datetime,
    "pd.DataFrame of a column": lambda proxy: pd.DataFrame({"a": proxy}),
    "pd.read_csv": pd.read_csv,
    "pd.read_pickle": pd.read_pickle,
    "pd.concat": pd.concat,
    "pd.api.interchange": pd.api.interchange.from_dataframe,
    "pl.Series": pl.Series,
    "pl.DataFrame": pl.DataFrame,
    "pl.from_dataframe": pl.from_dataframe,
    "pa.array": pa.array,
    "pa.table": pa.table,
    "pa.record_batch": pa.record_batch,
    "pa.py_buffer": pa.py_buffer,
    "plot": plotted,
    "os.fspath": os.fspath,
    "os.stat": os.stat,
    "open": open,
    "pathlib": pathlib.Path,
    "os.path.join": lambda proxy: os.path.join("a", proxy),  # noqa: PTH118 - what is probed
    "shutil.copy": lambda proxy: shutil.copy(proxy, proxy),
    "subprocess": lambda proxy: subprocess.run([proxy], check=False),
    "importlib": importlib.import_module,
    "urllib": urllib.request.Request,
    "memoryview": memoryview,
    "bytes": bytes,
    "bytearray": bytearray,
    "struct": lambda proxy: struct.unpack("i", proxy),
    "io.BytesIO": io.BytesIO,
    "sorted": sorted,
    "list": list,
    "tuple": tuple,
    "dict": dict,
    "set": set,
    "sum": sum,
    "min": min,
    "zip": lambda proxy: list(zip(proxy, proxy, strict=True)),
    "itertools": lambda proxy: list(itertools.islice(proxy, 5)),
    "in": lambda proxy: 1 in proxy,
    "star": lambda proxy: print(*proxy, file=io.StringIO()),
    "two stars": lambda proxy: dict(**proxy),
    "len": len,
    "bool": bool,
    "hash": hash,
    "int": int,
    "float": float,
    "complex": complex,
    "operator.index": operator.index,
    "operator.length_hint": operator.length_hint,
    "round": round,
    "abs": abs,
    "decimal": decimal.Decimal,
    "random.choice": random.choice,
    "print": lambda proxy: print(proxy, file=io.StringIO()),
    "repr": repr,
    "str": str,
    "ascii": ascii,
    "format": lambda proxy: f"{proxy}",
    "format spec": lambda proxy: f"{proxy:>30}",
    "format !r": lambda proxy: f"{proxy!r:>30}",
    "percent": lambda proxy: "%s %r" % (proxy, proxy),  # noqa: UP031 - what is probed
    "str.format": "{0.x} {0[1]}".format,
    "string.Template": lambda proxy: string.Template("$x").substitute(x=proxy),
    "str.join": ", ".join,
    "textwrap": textwrap.wrap,
    "html.escape": html.escape,
    "logging": logged,
    "warnings": lambda proxy: warnings.warn(proxy, stacklevel=1),
    "pprint": pprint.pformat,
    "reprlib": reprlib.repr,
    "pydoc": lambda proxy: pydoc.render_doc(proxy, renderer=pydoc.plaintext),
    "traceback locals": locals_shown,
    "suggestions": suggested,
    "raise": raise_it,
    "IPython display": show_rich,
    "IPython pretty": IPython.lib.pretty.pretty,
    "IPython inspect": lambda proxy: IPython.core.oinspect.Inspector().info(proxy, "proxy"),
    "IPython completer": completed,
    "ipywidgets": widget,
    "dir": dir,
    "vars": vars,
    "type": type,
    "id": id,
    "callable": callable,
    "isinstance": lambda proxy: isinstance(proxy, (int, str, list, dict, BaseException)),
    "isinstance of it": lambda proxy: isinstance(1, proxy),
    "issubclass": lambda proxy: issubclass(proxy, dict),
    "issubclass of it": lambda proxy: issubclass(dict, proxy),
    "abstract classes": abstract,
    "protocols": protocols,
    "singledispatch": dispatched,
    "match": matched,
    "derive": as_subclass,
    "member of a class": set_in_class,
    "dataclass": dataclass_of,
    "dataclasses.fields": dataclasses.fields,
    "enum": lambda proxy: enum.Enum("Made", {"A": proxy}),
    "functools.wraps": lambda proxy: functools.wraps(proxy)(lambda: None),
    "functools.partial": functools.partial,
    "lru_cache": functools.lru_cache(lambda value: 1),
    "cmp_to_key": functools.cmp_to_key,
    "typing.get_type_hints": typing.get_type_hints,
    "typing.Optional": lambda proxy: typing.Optional[proxy],  # noqa: UP045 - what is probed
    "inspect.signature": inspect.signature,
    "inspect.unwrap": inspect.unwrap,
    "inspect.getmembers": inspect.getmembers,
    "inspect.getmembers_static": inspect.getmembers_static,
    "inspect.getdoc": inspect.getdoc,
    "inspect.getsource": inspect.getsource,
    "inspect.getmodule": inspect.getmodule,
    "inspect.getfile": inspect.getfile,
    "inspect.kinds": lambda proxy: [
        getattr(inspect, name)(proxy)
        for name in dir(inspect)
        if name.startswith("is") and name != "iskeyword"
    ],
    "doctest": lambda proxy: doctest.DocTestFinder().find(proxy, "proxy"),
    "mock spec": lambda proxy: unittest.mock.Mock(spec=proxy),
    "mock autospec": mocked,
    "mock.patch": lambda proxy: unittest.mock.patch.object(proxy, "x", 1).start(),
    "weakref": weakref.ref,
    "gc": gc.get_referrers,
    "sys.getsizeof": sys.getsizeof,
    "exec": exec,
    "eval": eval,
    "compile": lambda proxy: compile(proxy, "x", "exec"),
    "contextlib.closing": lambda proxy: contextlib.closing(proxy).__enter__(),
    "with": lambda proxy: contextlib.ExitStack().enter_context(proxy),
    "await": lambda proxy: proxy.__await__(),
    "locale": locale.str,
}


def connect(url: str) -> typing.Any:
    """Connect with nbrpc; for a bare port, with the RPyC that is installed."""
    if not url.isdigit():
        return nbrpc.connect(url, timing=nbrpc.Timing(call=10))
    import rpyc

    return rpyc.connect("127.0.0.1", int(url))


def requests_of(conn: typing.Any) -> int:
    """How many requests a connection has sent; RPyC does not say."""
    return conn.statistics().requests_sent if isinstance(conn, nbrpc.Connection) else 0


def objects_of(root: typing.Any) -> dict[str, object]:
    """Fetch what is to be looked at."""
    names = ("thing", "reduced", "items", "table", "function")
    found = {name: getattr(root, name)() for name in names}
    try:
        root.fail()
    except Exception as error:  # one that was rebuilt here
        found["failure"] = error
    return found | {"class": root.cls(), "method": root.thing}


def main(url: str, chosen: list[str]) -> None:
    """Run every probe, or those chosen, on every kind of object."""
    global watching  # noqa: PLW0603 - the audit hook cannot be taken out again
    sys.addaudithook(audit)
    logging.raiseExceptions = False
    sys.stderr = io.StringIO()
    conn = connect(url)
    root = conn.root
    objects = objects_of(root)
    for name in chosen or PROBES:
        for kind, proxy in objects.items():
            root.used()
            before = requests_of(conn)
            seen.clear()
            watching = True
            try:
                PROBES[name](proxy)
                outcome = "done"
            except Exception as error:  # most end so: a proxy is none of these things
                outcome = type(error).__name__
            except BaseException as error:  # which no peer may make a probe raise
                outcome = f"broke out: {type(error).__name__}"
            finally:
                watching = False
            requests = requests_of(conn) - before
            sys.modules.pop("evil_payload", None)
            used = str(root.used())
            print(json.dumps([name, kind, outcome, requests, used, seen[:3]]), flush=True)


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2:])
