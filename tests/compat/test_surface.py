"""RPyC's names: every one of RPyC 6.0.2 is there, or is left out with what to use instead."""

from __future__ import annotations

import functools
import importlib
import json

import pytest

from nbrpc.compat.left_out import LEFT_OUT
from nbrpc.compat.table import MODULES, module_for
from tests.compat.support import run

TOP_LEVEL = """
AsyncResult AsyncResultTimeout BaseNetref BgServingThread Channel ClassicService Connection
ForkingServer GenericException MasterService OneShotServer PipeStream Service SlaveService
SocketStream ThreadPoolServer ThreadedServer TunneledSocketStream VoidService async async_
buffiter classic cli connect connect_by_service connect_channel connect_pipes connect_stdpipes
connect_stream connect_subproc connect_thread core discover exposed lib list_services restricted
service setup_logger spawn ssh_connect ssl_connect timed utils version __version__ __author__
""".split()  # noqa: SIM905 - a list of words

PATHS = """
rpyc rpyc.core rpyc.core.protocol rpyc.core.service rpyc.core.netref rpyc.core.brine
rpyc.core.vinegar rpyc.core.consts rpyc.core.channel rpyc.core.stream rpyc.core.async_
rpyc.core.reactor rpyc.utils.server rpyc.utils.factory rpyc.utils.helpers rpyc.utils.classic
rpyc.utils.registry rpyc.utils.authenticators rpyc.utils.zerodeploy rpyc.utils.teleportation
rpyc.lib rpyc.lib.compat rpyc.lib.colls rpyc.cli.rpyc_classic rpyc.cli.rpyc_registry
rpyc.version
""".split()  # noqa: SIM905 - a list of words

BEYOND_TOP_LEVEL = {
    "rpyc.core.protocol": "PingError DEFAULT_CONFIG",
    "rpyc.utils.factory": "unix_connect connect_multiprocess DiscoveryError ForbiddenError",
    "rpyc.utils.helpers": "classpartial",
    "rpyc.utils.server": "Server GeventServer AuthenticationError",
    "rpyc.core.netref": "syncreq asyncreq NetrefMetaclass",
    "rpyc.lib": "spawn_waitready Timeout get_id_pack get_methods hasattr_static hybridmethod",
    "rpyc.lib.compat": "pickle",
}

OWN = {"AsyncResult": "made by calls only", "Connection": "made by connecting only"}
"""Classes whose constructors take what nbrpc needs; nobody but nbrpc calls them."""

OTHER_NAMES = {"add_callback", "set_expiry"}
"""Methods whose one argument is called otherwise; it is always given by place."""


@functools.cache
def surfaces():
    """Give what RPyC and nbrpc have under each path: names, parameters, methods."""
    both = [json.loads(run("surface.py", *PATHS, stock=stock)) for stock in (True, False)]
    return both[0], both[1]


@pytest.mark.parametrize("name", TOP_LEVEL)
def test_top_level(name):
    """Each name that ``import rpyc`` gives is there."""
    assert getattr(module_for("rpyc"), name) is not None


@pytest.mark.parametrize(
    ("path", "name"),
    [(path, name) for path, names in BEYOND_TOP_LEVEL.items() for name in names.split()],
)
def test_names_that_programs_import(path, name):
    """Names below the top level are there."""
    assert getattr(module_for(path), name) is not None


@pytest.mark.parametrize("path", MODULES)
def test_every_entry_of_the_table_leads_somewhere(path):
    """Whatever the table names can be loaded, and ``dir`` shows it."""
    module = module_for(path)
    assert module.__name__ == path
    for name in MODULES[path]:
        assert getattr(module, name) is not None
        assert name in dir(module)


def test_every_path_is_there():
    """Each module that programs import is there, and no other."""
    assert set(PATHS) <= set(MODULES)
    assert module_for("rpyc.core.nothing") is None
    assert module_for("os") is None


def test_an_unknown_name_is_an_attribute_error():
    """A name that RPyC does not have either is no attribute."""
    with pytest.raises(AttributeError, match="module 'rpyc' has no attribute 'nothing'"):
        module_for("rpyc").nothing  # noqa: B018 - the access is what fails


@pytest.mark.parametrize("path", LEFT_OUT)
def test_what_is_left_out_says_what_to_use(path):
    """A name that is left out refuses with its sentence, when it is asked for or used."""
    sentence = LEFT_OUT[path]
    assert len(sentence.split()) > 4
    module_path, _, name = path.rpartition(".")
    module = module_for(module_path)
    if module is None or "(" in path:
        return  # of a class, or of its constructor
    with pytest.raises((AttributeError, NotImplementedError)) as caught:
        getattr(module, name)(*[None] * (2 if name.endswith(("_connect", "Stream")) else 0))
    assert sentence in str(caught.value)


@pytest.mark.parametrize("path", PATHS)
def test_every_name_of_stock_rpyc(path):
    """Every public name of RPyC's module is there, or is left out with a sentence."""
    stock, ours = surfaces()
    missing = [
        name
        for name, entry in stock[path].items()
        if name not in ours[path] and not entry["standard"] and f"{path}.{name}" not in LEFT_OUT
    ]
    assert missing == []


@pytest.mark.parametrize("path", PATHS)
def test_the_same_parameters(path):
    """Functions, classes and methods take RPyC's parameters, by their names and in their order."""
    stock, ours = surfaces()
    differing = []
    for name, entry in stock[path].items():
        mine = ours[path].get(name)
        if mine is None or entry["standard"] or f"{path}.{name}" in LEFT_OUT or name in OWN:
            continue
        differing += _differing(name, entry.get("parameters"), mine.get("parameters"))
        for method, parameters in entry.get("methods", {}).items():
            if method not in OTHER_NAMES:
                theirs = mine.get("methods", {}).get(method)
                differing += _differing(f"{name}.{method}", parameters, theirs)
    assert differing == []


def _differing(name, stock, mine):
    if not stock or mine is None or mine[: len(stock)] == stock:
        return []
    return [(name, stock, mine)]


@pytest.mark.parametrize("path", PATHS)
def test_the_same_members_of_classes(path):
    """Classes have the public members of RPyC's."""
    stock, ours = surfaces()
    missing = [
        f"{name}.{member}"
        for name, entry in stock[path].items()
        if not entry["standard"] and f"{path}.{name}" not in LEFT_OUT
        for member in entry.get("attributes", ())
        if member not in ours[path][name].get("attributes", ())
    ]
    assert missing == []


def test_modules_are_importable_after_installing():
    """``import`` and importlib find each path; ``rpyc.core.async`` by importlib only."""
    program = (
        "import importlib, json, sys; from nbrpc.compat.install import install_as_rpyc; "
        "install_as_rpyc(); install_as_rpyc(); import rpyc, rpyc.core.protocol; "
        "from rpyc.utils.server import ThreadedServer; from rpyc import *; "
        "assert VoidService is rpyc.core.service.VoidService; "
        "assert importlib.import_module('rpyc.core.async').AsyncResult is rpyc.AsyncResult; "
        "found = {p: importlib.import_module(p) for p in json.loads(sys.argv[1])}; "
        "assert all(sys.modules[p] is module for p, module in found.items()); "
        "print(rpyc.__version__, rpyc.version.version, len([m for m in sys.meta_path "
        "if type(m).__module__.startswith('nbrpc')]))"
    )
    assert _python(program, json.dumps(PATHS)) == "6.0.2 ('6', '0', '2') 1"


def test_installing_loads_little():
    """What a program does not use of RPyC is not loaded."""
    program = (
        "import sys; from nbrpc.compat.install import install_as_rpyc; install_as_rpyc(); "
        "import rpyc; print(*{'pickle', 'asyncio', 'nbrpc.compat.registry', 'nbrpc.classic', "
        "'nbrpc.server.server'} & set(sys.modules))"
    )
    assert _python(program) == ""


def test_a_module_that_rpyc_lacks_is_not_found():
    """An import of an unknown submodule fails as ever, and says who stands in."""
    program = (
        "from nbrpc.compat.install import install_as_rpyc; install_as_rpyc()\n"
        "try: import rpyc.nothing\n"
        "except ModuleNotFoundError as error: print(error)"
    )
    assert _python(program) == "nbrpc stands in for rpyc here, and has no 'rpyc.nothing'"


def test_the_real_rpyc_is_not_replaced():
    """Where the real one is imported already, installing refuses with one sentence."""
    program = (
        "import rpyc; from nbrpc.compat.install import install_as_rpyc\n"
        "try: install_as_rpyc()\n"
        "except RuntimeError as error: print(error)"
    )
    assert _python(program) == (
        "the real rpyc is imported already: call nbrpc.install_as_rpyc() before anything imports "
        "rpyc"
    )


def _python(program, *arguments):
    import subprocess
    import sys

    done = subprocess.run(
        [sys.executable, "-c", program, *arguments], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


def test_pickle_is_loaded_when_it_is_asked_for():
    """The one mention of pickle is the standard module."""
    assert module_for("rpyc.lib.compat").pickle is importlib.import_module("pickle")
