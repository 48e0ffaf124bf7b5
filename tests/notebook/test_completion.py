"""Tab, ``?`` and ``%whos`` on proxies: what they show, what they cost, and that nothing is run."""

from __future__ import annotations

import re

import pytest
from IPython.core.completer import provisionalcompleter
from IPython.core.interactiveshell import InteractiveShell
from traitlets.config import Config

import nbrpc
from nbrpc.notebook.extension import load_ipython_extension, unload_ipython_extension
from nbrpc.notebook.inspection import parameters_of

ANSI = re.compile(r"\x1b\[[0-9;]*m")
READ = []
"""The getters that were run."""


class Axis:
    """Moves along."""

    @nbrpc.exposed
    def move(self, to: float, *, speed: float = 1.0) -> float:
        """Move to a place."""
        return to * speed

    @property
    @nbrpc.exposed
    def position(self) -> float:
        """Where it is."""
        READ.append("position")
        return 1.0


class Device(nbrpc.Service):
    """A device.

    It has a long description.
    """

    ready = nbrpc.event(doc="It is ready.")

    def __init__(self):
        super().__init__()
        self.exposed_inner = Axis()

    @property
    @nbrpc.exposed
    def axis(self) -> Axis:
        """The axis."""
        READ.append("axis")
        return Axis()

    @property
    @nbrpc.exposed
    def secret(self):
        """Nothing tells what this gives."""
        READ.append("secret")
        return Axis()

    @nbrpc.exposed
    def scan(self, points: int = 10, items=()) -> int:
        """Scan all points.

        It takes a while.
        """
        return points + len(items)

    @nbrpc.exposed
    def table(self):
        """Lend a dictionary."""
        return nbrpc.by_reference({"alpha": 1, "beta gamma": 2, 3: 4})


@pytest.fixture(scope="module")
def shell():
    """IPython without a kernel, the extension loaded."""
    config = Config()
    config.HistoryManager.enabled = False
    shell = InteractiveShell(config=config)
    load_ipython_extension(shell)
    yield shell
    unload_ipython_extension(shell)


@pytest.fixture
def remote(shell):
    """The shell with `conn`, `dev` and `table`; each test has a server and a connection anew."""
    READ.clear()
    with nbrpc.serve(Device(), config={"include_local_traceback": True}) as server:
        connection = nbrpc.connect(server.url)
        names = {"conn": connection, "dev": connection.root, "table": connection.root.table()}
        shell.push(names)
        yield Remote(shell, connection)
        connection.close()
        for name in names:
            shell.user_ns.pop(name)
    assert READ == []


class Remote:
    """Presses keys and counts round trips."""

    def __init__(self, shell, connection):
        self.shell = shell
        self.connection = connection

    def trips(self):
        return self.connection.statistics().requests_sent

    def tab(self, code):
        """Give what Tab offers at the end of the code, and how many requests it took."""
        before = self.trips()
        with provisionalcompleter():
            found = [item.text for item in self.shell.Completer.completions(code, len(code))]
        return found, self.trips() - before

    def look(self, name, detail=0):
        """Give what ``?`` shows, and how many requests it took."""
        before = self.trips()
        text = self.shell.object_inspect_mime(name, detail)["text/plain"]
        return ANSI.sub("", text), self.trips() - before


@pytest.fixture(params=[True, False], ids=["jedi", "plain"])
def completing(request, remote):
    """The same with jedi and without."""
    remote.shell.Completer.use_jedi = request.param
    return remote


def test_tab(completing):
    """Members come in one round trip, then in none; instance attributes are among them."""
    names, trips = completing.tab("dev.")
    assert {"axis", "inner", "ready", "scan", "secret", "table"} <= set(names)
    assert trips == 1
    assert completing.tab("dev.") == (names, 0)
    assert completing.tab("x = [str(dev.sc") == (["scan"], 0)


def test_root_of_a_new_connection(completing):
    """`conn.root.` reads the root, which tells its members, in the one round trip it has."""
    with nbrpc.connect(completing.connection.url, token=None) as fresh:
        completing.shell.push({"fresh": fresh})
        completing.connection, used = fresh, completing.connection
        assert completing.tab("fresh.root.sc") == (["scan"], 1)
        assert completing.tab("fresh.root.sc") == (["scan"], 0)
        completing.connection = used


@pytest.mark.parametrize("name", ["axis", "inner"])
def test_chained(completing, name):
    """What lies behind a property or an attribute is told by classes, in one round trip."""
    members = ["move", "position"]
    assert completing.tab(f"dev.{name}.")[0] == members
    assert completing.tab(f"dev.{name}.") == (members, 0)
    assert completing.tab(f"dev.{name}.move(sp")[0] == ["speed="]
    assert completing.tab(f"dev.{name}.move(sp") == (["speed="], 0)


def test_a_getter_without_annotation_is_not_run(completing):
    """Where only reading would tell, Tab offers nothing."""
    completing.tab("dev.secret.")
    assert completing.tab("dev.secret.move.") == ([], 1)
    assert completing.tab("dev.nonsense.")[0] == []
    assert READ == []


@pytest.mark.parametrize(
    ("code", "offered"),
    [
        ('table["', ["alpha", "beta gamma"]),
        ('table["al', ["alpha"]),
        ("table['be", ["beta gamma"]),
        ("dev.scan() + table['be", ["beta gamma"]),
    ],
)
def test_keys(completing, code, offered):
    """Keys of a remote dictionary cost one round trip each time, since they change."""
    assert completing.tab(code) == (offered, 1)
    assert completing.tab(code) == (offered, 1)


def test_keys_without_a_quote(completing):
    """Keys are written out, and variables may stand there as well."""
    names, trips = completing.tab("table[")
    assert names[:3] == ["'alpha'", "'beta gamma'", "3"]
    assert "dev" in names
    assert trips == 1


def test_parameters(completing):
    """In a call the parameters come first, but for those that are given already."""
    names, trips = completing.tab("dev.scan(")
    assert names[:2] == ["items=", "points="]
    assert "dev" in names
    assert trips == 1
    assert completing.tab("dev.scan(po") == (["points=", "pow"], 0)
    assert completing.tab("dev.scan(len([1]), points=3, po") == (["pow"], 0)
    assert "points=" not in completing.tab("'dev.scan(")[0]


def test_containers_of_proxies(completing):
    """A proxy in a local list or dictionary is found by its index or key."""
    completing.shell.push({"devices": {"a": [completing.shell.user_ns["dev"]]}})
    assert completing.tab("devices['a'][0].sc")[0] == ["scan"]
    assert completing.tab("devices['a'][-1].axis.mo")[0] == ["move"]


def test_connections_are_not_asked(completing):
    """Tab on a connection reads none of its properties, of which some are round trips."""
    names, trips = completing.tab("conn.")
    assert {"root", "modules", "statistics"} <= set(names)
    assert trips == 0


def test_local_objects_are_left_to_ipython(completing):
    """Nothing changes for what is not remote."""
    completing.shell.push({"text": "abc", "local": {"one": 1}})
    assert "upper" in str(completing.tab("text.up"))
    assert "one" in str(completing.tab("local['o"))


def test_question_mark(remote):
    """Signature and the whole docstring in one round trip, then in none."""
    shown, trips = remote.look("dev.scan")
    assert "scan(points: int = 10, items=()) -> int" in shown
    assert "It takes a while." in shown
    assert trips == 1
    assert remote.look("dev.scan") == (shown, 0)
    shown, trips = remote.look("dev")
    assert "It has a long description." in shown
    assert "Device" in shown
    assert trips == 1
    assert remote.look("dev")[1] == 0


def test_two_question_marks(remote):
    """The remote source, in the round trip that `?` makes."""
    shown, trips = remote.look("dev.scan", 1)
    assert "return points + len(items)" in shown
    assert trips == 1
    assert remote.look("dev.scan") == (remote.look("dev.scan")[0], 0)
    assert "class Device(nbrpc.Service):" in remote.look("dev", 1)[0]


@pytest.mark.parametrize(
    ("name", "said"),
    [("dev.axis", "The axis."), ("dev.axis.move", "Move to a place."), ("dev.inner", "Axis")],
)
def test_question_mark_runs_no_getter(remote, name, said):
    """A property is documented without being read, and so is what lies behind it."""
    shown, trips = remote.look(name)
    assert said in shown
    assert trips == 1
    assert remote.look(name) == (shown, 0)
    assert READ == []


def test_question_mark_at_what_is_not_there(remote):
    """IPython says that it found nothing."""
    with pytest.raises(KeyError):
        remote.look("dev.nonsense")


def test_signature_and_docstring_of_the_function(remote):
    """What was asked for is known to Python's own tools as well."""
    remote.look("dev.scan")
    method = remote.shell.user_ns["dev"].scan
    assert method.__doc__.startswith("Scan all points.")
    assert remote.shell.inspector._getdef(method, "scan") == "scan(points: int = 10, items=())"


def test_whos(remote, capsys):
    """%whos with 20 proxies asks nobody."""
    names = {f"proxy_{number}": remote.shell.user_ns["dev"].table() for number in range(20)}
    remote.shell.push(names)
    before = remote.trips()
    remote.shell.run_line_magic("whos", "")
    assert remote.trips() == before
    shown = capsys.readouterr().out
    assert re.search(r"dev +Device +<proxy of ", shown)
    assert len(re.findall(r"proxy_\d+ +dict \(remote\)", shown)) == 20
    for name in names:
        del remote.shell.user_ns[name]


def test_lost_connection(remote, capsys):
    """What stands for something that is gone says so, and no key gives a traceback."""
    remote.connection.close()
    assert "is lost" in remote.look("dev")[0]
    assert "could not be asked" in remote.look("dev.table")[0]
    assert remote.tab("dev.sc")[0] == ["scan"]
    remote.tab('table["')
    remote.tab("dev.table(")
    remote.shell.run_line_magic("whos", "")
    output = capsys.readouterr()
    assert "is lost" in output.out
    assert "Traceback" not in output.out + output.err
    data, _ = remote.shell.display_formatter.format(remote.shell.user_ns["dev"])
    assert "is lost" in data["text/plain"]


def test_nothing_is_left_after_unloading():
    """Every hook is taken back."""
    config = Config()
    config.HistoryManager.enabled = False
    other = InteractiveShell(config=config)
    whos = other.magics_manager.magics["line"]["whos"].__self__
    state = [set(vars(part)) for part in (other, other.Completer, other.inspector)]
    load_ipython_extension(other)
    unload_ipython_extension(other)
    assert [set(vars(part)) for part in (other, other.Completer, other.inspector)] == state
    assert other.Completer.custom_matchers == []
    assert other.magics_manager.magics["line"]["whos"].__self__ is whos


@pytest.mark.parametrize("text", ["(a, b", "(a=__import__('os'))", "(=)", None, "((((", "(a, a)"])
def test_signatures_are_never_evaluated(text):
    """A text that a peer sent is read as syntax only; nonsense gives no parameters."""
    parameters = parameters_of(text)
    assert [item.name for item in parameters] in ([], ["a"], ["a", "a"])


# ---- in a real kernel


def request(kernel, kind, code):
    """Send a request with the cursor at the end; give the reply."""
    msg_id = getattr(kernel.client, kind)(code, len(code))
    while True:
        reply = kernel.client.get_shell_msg(timeout=20)
        if reply["parent_header"].get("msg_id") == msg_id:
            return reply["content"]


@pytest.mark.parametrize("jedi", [True, False])
def test_complete_requests(connected, jedi):
    """Tab in a notebook: names, chained names, parameters."""
    connected.ok(f"%config Completer.use_jedi = {jedi}")
    assert request(connected, "complete", "dev.sw")["matches"] == ["sweep"]
    chained = request(connected, "complete", "1\nx = dev.stage.m")
    assert chained["matches"] == ["move", "moving"]
    assert (chained["cursor_start"], chained["cursor_end"]) == (16, 17)
    assert request(connected, "complete", "dev.stage.move(t")["matches"][0] == "to="


def test_trips_in_a_kernel(connected):
    """One round trip the first time, and none after."""
    count = "conn.statistics().requests_sent"
    connected.ok(f"before = {count}")
    for _ in range(3):
        request(connected, "complete", "dev.")
        request(connected, "complete", "dev.stage.")
    assert int(connected.ok(f"{count} - before").value) <= 2
    for _ in range(3):
        assert request(connected, "inspect", "dev.stage")["found"]
    assert int(connected.ok(f"{count} - before").value) <= 2


def test_inspect_requests(connected):
    """Shift-Tab in a notebook: signature and docstring, also of events."""
    reply = request(connected, "inspect", "dev.stage.move")
    shown = ANSI.sub("", reply["data"]["text/plain"])
    assert "move(to: float)" in shown
    assert "Cancelling the call stops the stage" in shown
    assert request(connected, "inspect", "dev.alarm")["found"]
    assert not request(connected, "inspect", "dev.nonsense")["found"]


def test_question_mark_in_a_cell(connected):
    """`dev.scan??` shows the source that the server runs."""
    cell = connected.ok("dev.scan??")
    (payload,) = cell.reply["payload"]
    assert "def scan(self" in ANSI.sub("", payload["data"]["text/plain"])


def test_remote_cells_complete_there(connected):
    """Names of the remote namespace, in the remote cell only."""
    connected.ok("%%remote\nfaraway = [1]")
    assert request(connected, "complete", "%%remote\nx = 1\nfarawa")["matches"] == ["faraway"]
    attributes = request(connected, "complete", "%%remote -a --as r\nfaraway.app")["matches"]
    assert [name.rpartition(".")[2] for name in attributes] == ["append"]
    assert request(connected, "complete", "x = 1\nfarawa")["matches"] == []


def test_remote_cells_are_inspected_there(connected):
    """What `?` shows in a remote cell is what the name means there."""
    connected.ok('%%remote\ndef faraway(x):\n    """Far away."""')
    reply = request(connected, "inspect", "%%remote\nfaraway")
    assert "Far away." in reply["data"]["text/plain"]
    assert not request(connected, "inspect", "%%remote\nnonsense")["found"]
    assert request(connected, "inspect", "x = 1\nprint")["found"]
