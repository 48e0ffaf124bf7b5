"""The lines of the magics: help, mistakes, Tab, and what is configured."""

from __future__ import annotations

import ast
import re

import pytest

from tests.notebook.kernels import Kernel

pytestmark = pytest.mark.kernel

MAGICS = """
sorted(
    sign + name
    for sign, way in (("%", "line"), ("%%", "cell"))
    for name, magic in get_ipython().magics_manager.magics[way].items()
    if str(getattr(magic, "__module__", "")).startswith("nbrpc") and name != "whos"
)
"""


def tab(kernel, code):
    """Press Tab at the end; give what would be replaced, and by what."""
    reply = kernel.client.complete(code, len(code), reply=True, timeout=30)["content"]
    return code[reply["cursor_start"] :], reply["matches"]


@pytest.fixture(params=["True", "False"], ids=["jedi", "plain"])
def pressing(request, connected):
    """A kernel with two connections, with jedi and without."""
    connected.ok(f"%config Completer.use_jedi = {request.param}")
    connected.ok("%rpc_connect bench --name other\n%rpc_use conn")
    connected.ok("peter = 1\njob = nbrpc.async_(dev.scan)(1)")
    connected.ok("%%remote conn\nspectrum_there = [1]")
    connected.ok("%%remote other\nspectrum_elsewhere = 2")
    yield connected
    connected.ok("%rpc_disconnect other")
    connected.ok("%config Completer.use_jedi = True")


def test_tab_on_the_line_of_a_magic(pressing, bench):
    """Servers, connections, flags, variables here and there: each where it may stand."""
    url = bench.url.partition("/?")[0]
    names = ["conn", "other"]
    for code, typed, offered in [
        ("%rpc_connect be", "be", ["bench"]),
        ("%rpc_connect " + url[:-2], url[:-2], [url]),
        ("%rpc_connect bench --na", "--na", ["--name"]),
        ("%rpc_connect bench --name ot", "ot", ["other"]),
        ("%rpc_use ", "", names),
        ("%rpc_disconnect o", "o", ["other"]),
        ("%%remote ", "", ["all", *names]),
        ("%%remote -t ", "", ["all", *names]),
        ("%%remote -t conn,o", "o", ["other"]),
        ("%%remote --ti", "--ti", ["--timeout"]),
        ("%%remote -i pe", "pe", ["peter"]),
        ("%%remote -o spectr", "spectr", ["spectrum_there"]),
        ("%%remote other -o spectr", "spectr", ["spectrum_elsewhere"]),
        ("%remote spectr", "spectr", ["spectrum_there"]),
        ("x = %remote spectr", "spectr", ["spectrum_there"]),
        ("%rpc_pull spectr", "spectr", ["spectrum_there"]),
        ("%rpc_pull -t other spectr", "spectr", ["spectrum_elsewhere"]),
        ("%rpc_push pet", "pet", ["peter"]),
        ("%rpc_wait jo", "jo", ["job"]),
        ("%rpc_serve pet", "pet", ["peter"]),
        ("%rpc_serve --st", "--st", ["--stop"]),
    ]:
        assert tab(pressing, code) == (typed, offered), code
    assert {"bench", url} <= set(tab(pressing, "%rpc_connect ")[1])
    assert "append" in tab(pressing, "%remote spectrum_there.app")[1][0]
    assert tab(pressing, "%%rpc_on dev.alar") == ("alar", ["alarm"])
    assert tab(pressing, "%rpc_serve dev.alar") == ("alar", ["alarm"])


def test_help(connected):
    """Every magic says what it does and takes, and does nothing then."""
    for name in ast.literal_eval(connected.ok(MAGICS).value):
        source = f"{name} --help" + ("\n" if name.startswith("%%") else "")
        text = connected.ok(source).text()
        assert re.search(rf"^{name}\b", text, re.MULTILINE), name
        assert re.search(r"^[A-Z].+[.:;]", text, re.MULTILINE), name
        assert "::" not in text
    assert connected.ok("conn.closed").value == "False"
    assert connected.ok("h = 2\n%remote 3 -h if 'h' in globals() else 3 - 2").value == "1"


@pytest.mark.parametrize(
    ("source", "said"),
    [
        ("%rpc_connect --nope", "unrecognized arguments: --nope; %rpc_connect --help"),
        ("%%remote --nope\n1", "unrecognized arguments: --nope; %%remote --help"),
        ("%%remote nosuch\n1", "no connection is called nosuch: there are conn"),
        ("%%remote -t conn,nosuch\n1", "no connection is called nosuch: there are conn"),
        ("%%remote --as x\n1", "runs with -a"),
        ("%%remote --timeout soon\n1", "invalid float value"),
        ("%rpc_use", "the following arguments are required: name"),
        ("%rpc_push nosuch", "no variable is called nosuch here"),
        ("%rpc_push a-b", "'a-b' is not a variable's name"),
        ("%rpc_wait nosuch", "name 'nosuch' is not defined"),
        ("%rpc_wait 5", "5 is no AsyncResult"),
        ("%rpc_events nosuch", "unrecognized arguments: nosuch"),
        ("%%rpc_on 1 +\nprint(event)", "SyntaxError"),
        ("%remote", "%remote needs an expression"),
    ],
)
def test_mistakes(connected, source, said):
    """Each is told in one line, which says what there is instead."""
    cell = connected.run(source)
    assert cell.reply["ename"] == "UsageError"
    assert said in cell.text("stderr")
    assert len(cell.text("stderr").strip().splitlines()) == 1


def test_nothing_runs_if_one_target_cannot(connected):
    """A cell for several connections that takes -a, or a lost connection, runs nowhere."""
    connected.ok("%rpc_connect bench --name other\n%rpc_use conn")
    cell = connected.run("%%remote -a -t conn,other\nran = True")
    assert "one connection at a time" in cell.text("stderr")
    assert connected.ok("%remote 'ran' in globals()").value == "False"
    connected.ok("other.close()")
    connected.run("%%remote -t conn,other\nimport time; time.sleep(60)")
    assert connected.ok("%remote 1 + 1", timeout=20).value == "2"
    connected.ok("%rpc_disconnect other")


def test_traits(connected):
    """%config lists them with help; they take effect at once."""
    listed = connected.ok("%config RpcMagics").text()
    for name in ("connection_name", "timeout", "trusted", "pump_slice", "pump_rest"):
        assert f"RpcMagics.{name}=" in listed
    assert "Milliseconds" in listed
    connected.ok("%config RpcMagics.timeout = 0.3")
    cell = connected.run("%%remote\nimport time; time.sleep(1)")
    assert cell.reply["ename"] == "CallTimeout"
    connected.ok("%%remote --timeout 30\ntime.sleep(0.5)")
    connected.ok("%config RpcMagics.timeout = None")
    connected.ok("%config RpcMagics.pump_slice = 5")
    assert connected.ok("conn.session.dispatcher.SLICE").value == "0.005"
    assert "pump_slice" in connected.run("%config RpcMagics.pump_slice = 0").text("stderr")
    assert connected.ok("conn.session.dispatcher.SLICE").value == "0.005"
    connected.ok("%config RpcMagics.pump_slice = 2")
    connected.ok("%config RpcMagics.connection_name = 'default'\n%rpc_connect bench")
    assert connected.ok("default.closed").value == "False"
    connected.ok("%rpc_disconnect default\n%config RpcMagics.connection_name = 'conn'")


def test_trust(connected):
    """A connection is trusted if its user says so for this one, or always for its name."""
    trusted = "from nbrpc.widgets.sanitize import is_trusted\nis_trusted(conn.session)"
    assert connected.ok(trusted).value == "False"
    connected.ok("%rpc_connect bench --trust")
    assert connected.ok(trusted).value == "True"
    connected.ok("%config RpcMagics.trusted = ['mine']\n%rpc_connect bench")
    assert connected.ok(trusted).value == "False"
    connected.ok("%rpc_connect bench --name mine")
    assert connected.ok("is_trusted(mine.session)").value == "True"
    connected.ok("%rpc_disconnect mine\n%config RpcMagics.trusted = []")


def test_configuration_file(tmp_path_factory, module_runtime_dir, bench):
    """The defaults come from ipython_kernel_config.py, the loading of the extension too."""
    folder = tmp_path_factory.mktemp("configured")
    profile = folder / "IPYTHONDIR/profile_default"
    profile.mkdir(parents=True)
    (profile / "ipython_kernel_config.py").write_text(
        "c.InteractiveShellApp.extensions = ['nbrpc']\n"
        "c.RpcMagics.connection_name = 'bench'\n"
        "c.RpcMagics.pump_rest = 4.0\n"
    )
    kernel = Kernel(folder, {"NBRPC_RUNTIME_DIR": str(module_runtime_dir)})
    try:
        kernel.ok("%rpc_connect bench")
        assert kernel.ok("bench.session.dispatcher.REST").value == "0.004"
    finally:
        kernel.stop()
