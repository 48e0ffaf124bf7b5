"""The public surface is what it is promised to be: every name, with its signature, and lean."""

from __future__ import annotations

import inspect
import subprocess
import sys

import pytest

import nbrpc
from nbrpc import errors

SIGNATURES = {
    "async_": "(function)",
    "buffiter": "(iterable, chunk=10, max_chunk=1000, factor=2)",
    "by_reference": "(obj)",
    "by_value": "(obj)",
    "callback": "(function)",
    "connect": (
        "(host, port=None, service=VoidService, config=None, *, token=None, tls=None, "
        "timeout=10.0, reconnect=False, session=None, timing=None, limits=None)"
    ),
    "event": "(*, block=True, doc=None)",
    "exposed": "(target=None, *, by_value=None)",
    "gather": "(results)",
    "obtain": "(obj)",
    "register_value": "(cls, name=None)",
    "restricted": "(obj, attrs, wattrs=None)",
    "serve": "(service, *, loop='running', **options)",
    "shield": "()",
    "timed": "(function, seconds)",
    "track": "(items, total=None, text='')",
    "watch": "(obj, name, every=0.5)",
    "classic.connect": (
        "(host, port=18812, *, token=None, tls=None, timeout=10.0, reconnect=False, session=None, "
        "timing=None, limits=None)"
    ),
    "classic.connect_thread": "()",
    "classic.deliver": "(conn, obj)",
    "classic.download": (
        "(conn, remotepath, localpath, filter=None, ignore_invalid=False, chunk_size=262144)"
    ),
    "classic.download_dir": "(conn, remotepath, localpath, filter=None, chunk_size=262144)",
    "classic.download_file": "(conn, remotepath, localpath, chunk_size=262144)",
    "classic.interact": "(conn, namespace=None)",
    "classic.obtain": "(obj)",
    "classic.pm": "(conn)",
    "classic.redirected_stdio": "(conn)",
    "classic.teleport_function": "(conn, func, globals=None, def_=True)",
    "classic.unix_connect": "(path, *, token=None, timeout=10.0, timing=None, limits=None)",
    "classic.upload": (
        "(conn, localpath, remotepath, filter=None, ignore_invalid=False, chunk_size=262144)"
    ),
    "classic.upload_dir": "(conn, localpath, remotepath, filter=None, chunk_size=262144)",
    "classic.upload_file": "(conn, localpath, remotepath, chunk_size=262144)",
    "classic.upload_module": "(conn, module, remotepath=None, chunk_size=262144)",
    "classic.upload_package": "(conn, module, remotepath=None, chunk_size=262144)",
    "BgServingThread.stop": "(self)",
    "Connection.close": "(self)",
    "Connection.eval": "(self, expression)",
    "Connection.execute": "(self, source)",
    "Connection.fileno": "(self)",
    "Connection.ping": "(self, data=None, timeout=3.0)",
    "Connection.poll": "(self, timeout=0)",
    "Connection.poll_all": "(self, timeout=0)",
    "Connection.serve": "(self, timeout=1.0)",
    "Connection.serve_all": "(self)",
    "Connection.statistics": "(self)",
    "AsyncResult.add_callback": "(self, function)",
    "AsyncResult.cancel": "(self)",
    "AsyncResult.exception": "(self, timeout=None)",
    "AsyncResult.future": "(self)",
    "AsyncResult.result": "(self, timeout=None)",
    "AsyncResult.set_expiry": "(self, seconds)",
    "AsyncResult.wait": "(self, timeout=None)",
    "Server.close": "(self)",
    "Server.start": "(self)",
    "Server.statistics": "(self)",
    "Service.on_connect": "(self, conn)",
    "Service.on_disconnect": "(self, conn)",
}
"""What users write, without annotations."""

CONNECTION = "builtin builtins closed modules name namespace peer protocol root url"

RESULT = "cancelled elapsed error expired progress ready value"

CLASSES = [
    "Access",
    "AsyncResult",
    "BgServingThread",
    "ClassicService",
    "Connection",
    "ForkingServer",
    "Limits",
    "OneShotServer",
    "Server",
    "Service",
    "TLS",
    "ThreadPoolServer",
    "ThreadedServer",
    "Timing",
    "VoidService",
]

STATISTICS = (
    "requests_sent requests_served pending queued events_sent events_received bytes_sent "
    "bytes_received exported imported round_trip"
)


def _find(path: str) -> object:
    found: object = nbrpc
    for name in path.split("."):
        found = getattr(found, name)
    return found


def _plain(function: object) -> str:
    """Give a signature without annotations, and classes by their bare names."""
    signature = inspect.signature(function)  # type: ignore[arg-type]
    parts, seen_star = [], False
    for parameter in signature.parameters.values():
        if parameter.kind is parameter.VAR_POSITIONAL:
            seen_star = True
        if parameter.kind is parameter.KEYWORD_ONLY and not seen_star:
            parts.append("*")
            seen_star = True
        text = str(parameter.replace(annotation=parameter.empty, default=parameter.empty))
        if parameter.default is not parameter.empty:
            default = parameter.default
            text += f"={default.__name__ if isinstance(default, type) else repr(default)}"
        parts.append(text)
    return f"({', '.join(parts)})"


@pytest.mark.parametrize("path", SIGNATURES)
def test_signatures(path):
    """A function or method takes what is documented, by these names and defaults."""
    assert _plain(_find(path)) == SIGNATURES[path]


@pytest.mark.parametrize("path", [*SIGNATURES, *CLASSES])
def test_docstrings(path):
    """Everything public says what it gives or does, in a sentence."""
    document = inspect.getdoc(_find(path))
    assert document
    assert document.partition("\n")[0].rstrip().endswith((".", "!", "`")), document


def test_attributes():
    """Results and connections have the documented attributes, without parentheses."""
    with nbrpc.classic.connect_thread() as conn:
        result = nbrpc.async_(conn.builtins.len)("abc")
        result.wait()
        for owner, names in ((conn, CONNECTION), (result, RESULT)):
            for name in names.split():
                assert not inspect.ismethod(getattr(owner, name)), name


def test_results_can_be_awaited():
    """``await result`` is part of the surface."""
    assert hasattr(nbrpc.AsyncResult, "__await__")


@pytest.mark.parametrize("name", errors.__all__)
def test_errors_are_in_both_places(name):
    """Each exception is in nbrpc and in nbrpc.errors, and is an nbrpc error or an alias of one."""
    assert getattr(nbrpc, name) is getattr(errors, name)
    assert issubclass(getattr(nbrpc, name), nbrpc.NbrpcError)


@pytest.mark.parametrize(
    ("name", "builtin"),
    [
        ("ConnectFailed", ConnectionError),
        ("ConnectionLost", EOFError),
        ("ConnectionLost", ConnectionError),
        ("NotSendable", TypeError),
        ("AccessDenied", AttributeError),
        ("StaleReference", ReferenceError),
        ("CallTimeout", TimeoutError),
        ("AsyncResultTimeout", TimeoutError),
    ],
)
def test_errors_are_what_callers_catch_already(name, builtin):
    """Each error also derives from the builtin that fits."""
    assert issubclass(getattr(nbrpc, name), builtin)


def test_all_and_dir_agree():
    """Every name of __all__ can be had, dir() shows it, and a wrong name is an AttributeError."""
    for name in nbrpc.__all__:
        assert getattr(nbrpc, name) is not None
    assert set(nbrpc.__all__) <= set(dir(nbrpc))
    assert len(set(nbrpc.__all__)) == len(nbrpc.__all__)
    with pytest.raises(AttributeError, match="no_such_name"):
        assert nbrpc.no_such_name


def test_all_has_every_documented_name():
    """What the documentation names is in __all__, so ``from nbrpc import *`` gives it."""
    documented = {path.partition(".")[0] for path in [*SIGNATURES, *CLASSES]} | set(errors.__all__)
    assert documented | {"classic", "errors", "__version__"} <= set(nbrpc.__all__)


def test_type_checkers_see_what_is_loaded_lazily():
    """The names that are loaded when used are the ones that type checkers are shown."""
    import ast

    tree = ast.parse(inspect.getsource(nbrpc))
    blocks = [node for node in tree.body if isinstance(node, ast.If)]
    shown = {
        alias.asname: f"{node.module}.{alias.name}".removeprefix("nbrpc.")
        for block in blocks
        for node in block.body
        if isinstance(node, ast.ImportFrom)
        for alias in node.names
    }
    lazy = {name: f"{home}.{name}" for name, home in nbrpc.HOMES.items()}
    assert {name: home for name, home in shown.items() if name not in nbrpc.MODULES} == lazy


def test_statistics_have_the_documented_figures():
    """conn.statistics() is immutable, with the figures in the documented order."""
    with nbrpc.classic.connect_thread() as conn:
        assert conn.statistics()._fields == tuple(STATISTICS.split())


def test_tuning_objects_are_frozen():
    """Limits, Timing and Access cannot be changed once they are made."""
    for made in (nbrpc.Limits(), nbrpc.Timing(), nbrpc.Access(), nbrpc.TLS()):
        field = next(iter(type(made).__dataclass_fields__))
        with pytest.raises(AttributeError):
            setattr(made, field, getattr(made, field))


@pytest.mark.parametrize("use", ["nbrpc.connect", "nbrpc.classic.connect", "nbrpc.serve"])
def test_using_nbrpc_loads_little(use):
    """Neither the package nor its main functions load asyncio, numpy or IPython."""
    program = (
        f"import sys, nbrpc; {use}; "
        "print(*{'asyncio', 'numpy', 'pandas', 'IPython', 'traitlets'} & set(sys.modules))"
    )
    result = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True
    )
    assert result.stdout.split() == []


def test_import_takes_little_time():
    """``import nbrpc`` takes at most 60 ms of the processor beyond the interpreter's own start."""
    program = (
        "import time; begun = time.process_time(); import nbrpc; print(time.process_time() - begun)"
    )

    def measured() -> float:
        result = subprocess.run(
            [sys.executable, "-c", program], capture_output=True, text=True, check=True
        )
        return float(result.stdout)

    assert min(measured() for _ in range(5)) <= 0.06


def test_the_version_is_one_of_a_release():
    """__version__ is a text that packaging tools can read."""
    from packaging.version import Version

    assert Version(nbrpc.__version__).release
