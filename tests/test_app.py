"""The command line: what it serves, prints, finds, refuses and leaves behind."""

from __future__ import annotations

import json
import os
import re
import signal
import socket
import subprocess
import sys
from pathlib import Path

import pytest

import nbrpc
from nbrpc import connection_file
from nbrpc.app import main
from nbrpc.app.command import Mistake
from nbrpc.app.load import load, make_service, read_arguments
from tests.support import eventually

MODULE = '''
"""Things to serve."""
from nbrpc.service import Service

class Counter(Service):
    def __init__(self, start=0, *, step=1):
        self.value, self.step = start, step

    def exposed_add(self, times: int = 1) -> int:
        """Count on."""
        self.value += self.step * times
        return self.value

    class Part:
        pass

class Broken:
    def __init__(self):
        raise ValueError("no device")

class Needy:
    def __init__(self, port):
        pass

counter = Counter(5)
'''


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Go to a folder with modules in it; leave no trace of them in this process."""
    (tmp_path / "bench_things.py").write_text(MODULE)
    (tmp_path / "bench_broken.py").write_text("1 / 0\n")
    (tmp_path / "bench_needy.py").write_text("import surely_not_installed\n")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", list(sys.path))
    monkeypatch.setenv("JUPYTER_CONFIG_DIR", str(tmp_path / "config"))
    for name in ("bench_things", "bench_broken", "bench_needy"):
        monkeypatch.delitem(sys.modules, name, raising=False)
    return tmp_path


def run(*arguments: str, timeout: float = 60.0) -> subprocess.CompletedProcess[str]:
    """Run the command in a process of its own."""
    return subprocess.run(
        [sys.executable, "-m", "nbrpc", *arguments],
        capture_output=True,
        text=True,
        timeout=timeout,
        check=False,
        stdin=subprocess.DEVNULL,
    )


class TestMistakes:
    """Each mistake of a user gives one sentence on stderr, no traceback, and exit code 1 or 2."""

    @pytest.mark.parametrize(
        ("arguments", "code", "sentence"),
        [
            (["foo"], 2, "there is no command 'foo'"),
            (["serve"], 2, "say what to serve"),
            (["serve", "bench_things"], 2, "not of the form module:Thing"),
            (["serve", "bench_things.py:Counter"], 2, "without .py: bench_things:Counter"),
            (["serve", "no_such_module:X"], 1, "there is no module 'no_such_module'"),
            (["serve", "bench_things.part:X"], 1, "there is no module 'bench_things.part'"),
            (["serve", "bench_things:Countr"], 1, "no 'Countr': is it 'Counter'?"),
            (["serve", "bench_things:Zzz"], 1, "its classes are Counter, Broken, Needy"),
            (["serve", "bench_things:Counter.Prt"], 1, "'Counter' has no 'Prt'"),
            (["serve", "bench_needy:X"], 1, "cannot be imported: No module named 'surely_not"),
            (["serve", "bench_things:Needy"], 1, "missing a required argument: 'port'"),
            (["serve", "bench_things:Counter", "--args", "1, 2"], 1, "too many positional"),
            (["serve", "bench_things:Counter", "--args", "x"], 2, "--args takes plain values"),
            (["serve", "bench_things:counter", "--args", "1"], 2, "--args needs a class"),
            (["serve", "bench_things:counter", "--per-connection"], 2, "needs a class"),
            (["serve", "bench_things:counter", "more"], 2, "takes one module:Thing"),
            (["serve", "bench_things:counter", "--classic"], 2, "not both"),
            (["serve", "bench_things:counter", "--unix", "/tmp/x", "--port=1"], 2, "not both"),
            (["serve", "bench_things:counter", "--port", "x"], 2, "expected an int"),
            (["serve", "bench_things:counter", "--port", "70000"], 2, "65535"),
            (["serve", "bench_things:counter", "--port"], 2, "--port needs a value"),
            (["serve", "bench_things:counter", "--prt", "1"], 2, "there is no option --prt"),
            (["serve", "bench_things:counter", "--prt"], 2, "there is no option --prt"),
            (["serve", "bench_things:counter", "-x"], 2, "there is no option -x"),
            (["serve", "bench_things:counter", "--tls-cert=x"], 1, "certificate file x cannot be"),
            (["serve", "bench_things:counter", "--tls-key", "x"], 2, "--tls-key needs --tls-cert"),
            (["serve", "bench_things:counter", "--tls-ca", "x"], 2, "--tls-ca needs --tls-cert"),
            (["serve", "bench_things:counter", "--tls-self-signed", "--tls-cert=x"], 2, "not both"),
            (
                ["serve", "bench_things:counter", "--tls-self-signed", "--unix", "/tmp/x"],
                1,
                "a Unix socket does not leave this machine",
            ),
            (["serve", "bench_things:counter", "--host", "192.0.2.1", "--insecure"], 1, "192.0.2"),
            (["serve", "bench_things:counter", "--host", "0.0.0.0"], 1, "insecure"),
            (["serve", "bench_things:counter", "--token-file", "none"], 1, "cannot be read"),
            (["serve", "bench_things:counter", "--token-file", "bench_things.py"], 1, "one word"),
            (["serve", "bench_things:counter", "--config", "none.py"], 2, "no configuration file"),
            (["list", "more"], 2, "takes no arguments"),
            (["ping"], 2, "say which server"),
            (["ping", "a", "b"], 2, "takes one URL or server name"),
            (["ping", "nobody"], 1, "no running server of yours is called 'nobody'"),
            (["inspect", "ssh://-host"], 2, "names no valid host"),
            (["serve", "--classic", "--keep"], 2, "--keep needs --stdio"),
            (["inspect", "bench", "--timeout", "x"], 2, "expected a float"),
        ],
    )
    def test_is_told_in_one_sentence(
        self,
        folder: Path,
        capsys: pytest.CaptureFixture[str],
        arguments: list[str],
        code: int,
        sentence: str,
    ) -> None:
        """Nothing on stdout, one line on stderr that says what is wrong, and the exit code."""
        assert main(arguments) == code
        out, err = capsys.readouterr()
        assert out == ""
        assert sentence in err
        assert err.startswith("nbrpc: ")
        assert err.count("\n") == 1

    def test_a_taken_port_is_told(self, folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
        """A port that was asked for and is taken is not replaced by another."""
        with socket.create_server(("127.0.0.1", 0)) as taken:
            port = taken.getsockname()[1]
            assert main(["serve", "bench_things:counter", "--port", str(port)]) == 1
        assert f"127.0.0.1:{port} is taken by another program" in capsys.readouterr().err

    def test_nobody_listening_is_told(self, capsys: pytest.CaptureFixture[str]) -> None:
        """A URL without a server behind it gives the connection's own sentence, and no token."""
        with socket.create_server(("127.0.0.1", 0)) as unused:
            port = unused.getsockname()[1]
        assert main(["ping", f"nbrpc://127.0.0.1:{port}/?token=SECRET"]) == 1
        err = capsys.readouterr().err
        assert f"nothing listens on 127.0.0.1:{port}" in err
        assert "SECRET" not in err

    @pytest.mark.parametrize(
        ("target", "line", "last"),
        [
            ("bench_broken:X", "1 / 0", "importing bench_broken failed: ZeroDivisionError"),
            ("bench_things:Broken", "raise ValueError", "making bench_things:Broken failed"),
        ],
    )
    def test_code_of_users_that_fails_is_shown(
        self, folder: Path, capsys: pytest.CaptureFixture[str], target: str, line: str, last: str
    ) -> None:
        """Their traceback starts at their frame; the last line says what was being done."""
        assert main(["serve", target]) == 1
        err = capsys.readouterr().err
        assert line in err
        assert "importlib" not in err
        assert "nbrpc/app" not in err
        assert last in err.splitlines()[-1]

    def test_a_wrong_configuration_is_told(
        self, folder: Path, capsys: pytest.CaptureFixture[str]
    ) -> None:
        """A value of the wrong kind in a configuration file is named."""
        Path("mine.py").write_text("c.ServeApp.port = 'x'")
        assert main(["serve", "bench_things:counter", "--config", "mine.py"]) == 1
        assert "in the configuration: The 'port' trait" in capsys.readouterr().err


class TestLoading:
    """What ``module:Thing`` and ``--args`` stand for."""

    def test_the_current_folder_is_importable(self, folder: Path) -> None:
        """A module beside us is found, and its nested things by dots."""
        assert load("bench_things:counter").value == 5
        assert load("bench_things:Counter.Part").__name__ == "Part"
        assert load("os.path:join") is os.path.join

    def test_of_a_class_one_object_is_made(self, folder: Path) -> None:
        """With the arguments that were given."""
        made = make_service("bench_things:Counter", "7, step=2", per_connection=False)
        assert made.exposed_add() == 9

    def test_objects_are_served_as_they_are(self, folder: Path) -> None:
        """An object of a module is the very one."""
        made = make_service("bench_things:counter", "", per_connection=False)
        assert made is load("bench_things:counter")

    def test_a_class_per_connection_stays_a_class(self, folder: Path) -> None:
        """The server makes the objects; arguments are bound to the class, whose name stays."""
        plain = make_service("bench_things:Counter", "", per_connection=True)
        assert plain is load("bench_things:Counter")
        bound = make_service("bench_things:Counter", "7, step=2", per_connection=True)
        assert (bound.__name__, bound.__module__) == ("Counter", "bench_things")
        assert bound().exposed_add() == bound().exposed_add() == 9

    @pytest.mark.parametrize(
        ("text", "args", "kwargs"),
        [
            ("", [], {}),
            ('"COM3", speed=9600', ["COM3"], {"speed": 9600}),
            ("-1, [1, (2.5, None)], x={'a': True},", [-1, [1, (2.5, None)]], {"x": {"a": True}}),
            ("'#' # comment", ["#"], {}),
        ],
    )
    def test_arguments_are_read_as_in_a_call(self, text: str, args: list, kwargs: dict) -> None:
        """Literals, by position and by name."""
        assert read_arguments(text) == (args, kwargs)

    @pytest.mark.parametrize(
        "text", ["x", "print(1)", "1)(2", "1) + (2", "**{}", "*[1]", "1 2", "(", "a=1, a=2", "\0"]
    )
    def test_arguments_never_run(self, text: str) -> None:
        """Anything but plain values is refused."""
        with pytest.raises(Mistake, match="--args takes plain values"):
            read_arguments(text)


class TestServe:
    """Real servers in processes of their own."""

    def test_the_url_is_alone_on_stdout(self, folder: Path) -> None:
        """One line, flushed, with a token that is also in the connection file."""
        process = subprocess.Popen(
            [sys.executable, "-m", "nbrpc", "serve", "bench_things:Counter", "--port=0"],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        url = process.stdout.readline()
        match = re.fullmatch(r"nbrpc://127\.0\.0\.1:(\d+)/\?token=(\S+)\n", url)
        assert match, url
        info = connection_file.find_by_port(int(match[1]))
        assert (info.pid, info.token) == (process.pid, match[2])
        process.send_signal(signal.SIGINT)
        out, err = process.communicate(timeout=10)
        assert (process.returncode, out, err) == (0, "", "")
        assert connection_file.running() == []

    @pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
    def test_signals_end_it_cleanly(self, folder: Path, served, runtime_dir, number: int) -> None:
        """Exit code 0, and the connection file is gone."""
        if signal.getsignal(number) is signal.SIG_IGN:  # these tests run under nohup
            signal.signal(number, signal.SIG_DFL)
        server = served("bench_things:Counter", folder=folder)
        assert len(list(runtime_dir.glob("*.json"))) == 1
        server.process.send_signal(number)
        assert server.process.wait(10) == 0
        assert list(runtime_dir.iterdir()) == []

    def test_the_next_free_port_is_taken(self, folder: Path) -> None:
        """Without --port a second server goes beside the first; both are told where they are."""
        command = [sys.executable, "-m", "nbrpc", "serve", "bench_things:Counter"]
        processes = [subprocess.Popen(command, stdout=subprocess.PIPE, text=True) for _ in range(2)]
        urls = [process.stdout.readline() for process in processes]
        ports = sorted(int(re.search(r":(\d+)/", url)[1]) for url in urls)
        for process in processes:
            process.terminate()
            process.communicate(timeout=10)
        assert 18_861 <= ports[0] < ports[1] < 18_961

    def test_a_unix_socket_needs_no_token(self, folder: Path, served, capsys) -> None:
        """Its URL has none, its path is absolute, and it goes when the server ends."""
        server = served("bench_things:Counter", "--unix", "here.socket", folder=folder)
        assert server.url == f"unix://{folder}/here.socket"
        assert main(["ping", server.url, "--count=1"]) == 0
        server.stop()
        assert not (folder / "here.socket").exists()

    def test_the_token_of_a_file_is_asked_for(self, folder: Path, served, capsys) -> None:
        """The URL has that token, and another one is refused."""
        (folder / "token").write_text("a-token-of-my-own-choosing\n")
        server = served("bench_things:Counter", "--token-file", "token", folder=folder)
        assert server.url.endswith("/?token=a-token-of-my-own-choosing")
        place = server.url.partition("/?")[0]
        assert main(["ping", place, "--token-file", "token", "--count=1"]) == 0
        assert main(["ping", f"{place}/?token=wrong"]) == 1
        assert "Traceback" not in capsys.readouterr().err

    def test_a_configuration_file_sets_options(self, folder: Path, served, capsys) -> None:
        """Jupyter's folders are searched; what the command line says wins."""
        (folder / "config").mkdir()
        (folder / "config" / "nbrpc_config.json").write_text(
            json.dumps({"ServeApp": {"server_name": "configured", "arguments": "40, step=2"}})
        )
        served("bench_things:Counter", folder=folder)
        served("bench_things:Counter", "--name=said", folder=folder)
        assert {item.name for item in connection_file.running()} == {"configured", "said"}
        assert main(["inspect", "configured"]) == 0


class TestVisits:
    """Commands that use a running server."""

    def test_list_shows_servers_without_tokens(self, folder: Path, served, capsys) -> None:
        """A table with one row for each, the newest first; an empty one on stderr only."""
        assert main(["list"]) == 0
        assert capsys.readouterr() == ("", "none of your servers is running\n")
        first = served("bench_things:Counter", "--name", "first", folder=folder)
        second = served("bench_things:Counter", "--name=second", "--allow-code", folder=folder)
        assert main(["list"]) == 0
        out = capsys.readouterr().out
        lines = out.splitlines()
        assert lines[0].split() == ["NAME", "URL", "SERVICE", "CODE", "PID"]
        assert [line.split()[0] for line in lines[1:]] == ["second", "first"]
        assert [line.split()[-2:] for line in lines[1:]] == [
            ["yes", str(second.pid)],
            ["no", str(first.pid)],
        ]
        for server in (first, second):
            assert server.url.partition("/?")[0] in out
            assert server.url.partition("token=")[2] not in out

    def test_list_of_sessions(self, folder: Path, served, capsys) -> None:
        """The named sessions on those servers that keep any, with what is in them."""
        served("bench_things:Counter", "--name", "plain", folder=folder)
        server = served("--classic", "--name", "python", "--session-expiry", "7200")
        assert main(["list", "--sessions"]) == 0
        told = "no sessions: %rpc_connect --session NAME in a notebook begins one\n"
        assert capsys.readouterr() == ("", told)
        with nbrpc.connect(server.url, session="night run") as conn:
            conn.execute("x = 1")
            assert main(["list", "--sessions"]) == 0
            heads, row = capsys.readouterr().out.splitlines()
        assert heads.split()[:3] == ["SESSION", "SERVER", "VARIABLES"]
        assert row.split() == ["night", "run", "python", "1", "-", "0", "1", "2", "h"]

    def test_list_forgets_the_dead(self, folder: Path, served, capsys) -> None:
        """A server that was killed is not listed."""
        server = served("bench_things:Counter", folder=folder)
        server.process.kill()
        server.process.wait()
        assert main(["list"]) == 0
        assert capsys.readouterr().out == ""

    @pytest.mark.parametrize("how", ["name", "url", "bare"])
    def test_ping_measures_round_trips(self, folder: Path, served, capsys, how: str) -> None:
        """By name, by the printed URL, and by host and port of a server of this user."""
        server = served("bench_things:Counter", "--name", "mine", folder=folder)
        place = server.url.partition("/?")[0].removeprefix("nbrpc://")
        where = {"name": "mine", "url": server.url, "bare": place}[how]
        assert main(["ping", where, "--count", "3"]) == 0
        lines = capsys.readouterr().out.splitlines()
        assert len(lines) == 4
        assert re.fullmatch(rf"{re.escape(place)}: 1: \d+\.\d{{3}} ms", lines[0])
        assert lines[-1].startswith("3 round trips: least ")

    def test_inspect_shows_what_is_exposed(self, folder: Path, served, capsys) -> None:
        """Names with signatures and the first line of their documentation."""
        served("bench_things:Counter", "--name", "mine", folder=folder)
        assert main(["inspect", "mine"]) == 0
        out = capsys.readouterr().out
        assert re.search(r"^  method +add\(times: int = 1\) -> int$", out, re.MULTILINE)
        assert "Count on." in out
        assert "step" not in out

    def test_a_name_is_offered_for_another(self, folder: Path, served, capsys) -> None:
        """Who asks for a server that does not run is told which do."""
        served("bench_things:Counter", "--name", "mine", folder=folder)
        assert main(["ping", "yours"]) == 1
        assert "your running servers are mine" in capsys.readouterr().err

    def test_classic_serves_this_python(self, folder: Path, served, capsys) -> None:
        """A classic server needs no module, and says that clients may run code."""
        server = served("--classic", "--name", "python", folder=folder)
        assert "clients may run code, which can do all that this process can" in server.printed
        assert main(["list"]) == 0
        listed = capsys.readouterr()
        assert re.search(r"^python .* yes +\d+$", listed.out, re.MULTILINE)
        assert listed.err == "clients may run code on python, which can do all that you can\n"
        assert main(["inspect", "python"]) == 0
        eventually(lambda: "a client that may run code" in server.printed)


class TestHelp:
    """What the command says about itself."""

    def test_without_a_command_the_commands_are_shown(self, capsys) -> None:
        """Each with a line of description."""
        assert main([]) == 0
        out = capsys.readouterr().out
        for word in ("serve", "list", "ping", "inspect", "demo"):
            assert re.search(rf"^{word}$", out, re.MULTILINE)

    @pytest.mark.parametrize("flag", ["--help", "--help-all"])
    def test_help_names_every_option(self, flag: str) -> None:
        """The options of the command, and with --help-all every trait."""
        answer = run("serve", flag)
        assert answer.returncode == 0
        for word in [
            "args",
            "name",
            "host",
            "port",
            "unix",
            "token-file",
            "allow-code",
            "classic",
            "insecure",
        ]:
            assert f"--{word}" in answer.stdout
        assert ("--ServeApp.host=<Unicode>" in answer.stdout) is (flag == "--help-all")

    def test_both_modules_are_the_command(self) -> None:
        """``python -m nbrpc`` and ``python -m nbrpc.app`` print the version."""
        for module in ("nbrpc", "nbrpc.app"):
            answer = subprocess.run(
                [sys.executable, "-m", module, "--version"],
                capture_output=True,
                text=True,
                check=True,
            )
            assert re.match(r"\d+\.\d+", answer.stdout)

    def test_a_subcommand_loads_what_it_needs(self) -> None:
        """`list` loads no client, no server, no IPython and no asyncio."""
        program = (
            "import sys; from nbrpc.app import main; main(['list']); "
            "print(*{'nbrpc.client', 'nbrpc.server.server', 'IPython', 'asyncio', 'numpy', "
            "'jupyter_client', 'nbclient'} & set(sys.modules))"
        )
        answer = subprocess.run(
            [sys.executable, "-c", program], capture_output=True, text=True, check=True
        )
        assert answer.stdout.split() == []

    def test_a_reader_that_leaves_early_is_no_error(self) -> None:
        """`nbrpc --help-all | head -1` ends without a traceback."""
        process = subprocess.Popen(
            [sys.executable, "-m", "nbrpc", "list"],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        process.stdout.close()
        assert "Traceback" not in process.stderr.read()
        process.stderr.close()
        assert process.wait(10) == 0


class TestDemo:
    """The demonstration's parts, and all of it."""

    def notebook(self, path: Path, *sources: str) -> Path:
        """Write a notebook with a heading and some code cells."""
        import nbformat

        cells = [nbformat.v4.new_markdown_cell("# A heading")]
        cells += [nbformat.v4.new_code_cell(source) for source in sources]
        nbformat.write(nbformat.v4.new_notebook(cells=cells), path)
        return path

    def execute(self, path: Path) -> list[str]:
        """Execute a notebook in another process, since nbclient keeps its sockets open."""
        program = (
            "import os, sys; from pathlib import Path; from nbrpc.app.quickstart import execute; "
            "print('failure:', execute(Path(sys.argv[1]), {**os.environ, 'ZERO': '0'}, show=True))"
        )
        answer = subprocess.run(
            [sys.executable, "-c", program, path], capture_output=True, text=True, check=True
        )
        return answer.stdout.splitlines()

    def test_cells_and_what_they_gave_are_printed(self, tmp_path: Path) -> None:
        """Sources, printed text, values; the executed notebook keeps its outputs."""
        path = self.notebook(tmp_path / "n.ipynb", "x = 6\nprint('hello')", "import os\nx * 7")
        lines = self.execute(path)
        for line in ("# A heading", ">>> x = 6", "... print('hello')", "hello", "42"):
            assert line in lines
        assert lines[-1] == "failure: None"
        assert "42" in path.read_text()

    def test_a_failing_cell_ends_it(self, tmp_path: Path) -> None:
        """The failure is given in one line; later cells do not run; the environment is passed."""
        path = self.notebook(tmp_path / "n.ipynb", "import os\n1 / int(os.environ['ZERO'])", "2")
        lines = self.execute(path)
        assert lines[-1] == "failure: ZeroDivisionError: division by zero"
        assert any("Traceback" in line for line in lines)
        assert ">>> 2" not in lines

    def test_notebooks_of_the_user_are_kept(self, tmp_path: Path) -> None:
        """Only those that are missing are copied."""
        from nbrpc.app.quickstart import QUICKSTART, copy_notebooks

        (tmp_path / QUICKSTART).write_text("mine")
        assert QUICKSTART not in copy_notebooks(tmp_path)
        assert (tmp_path / QUICKSTART).read_text() == "mine"
        (tmp_path / QUICKSTART).unlink()
        assert copy_notebooks(tmp_path) == [QUICKSTART]

    @pytest.mark.timeout(300)
    def test_headless_runs_the_quickstart(
        self,
        tmp_path: Path,
        monkeypatch: pytest.MonkeyPatch,
        tmp_path_factory: pytest.TempPathFactory,
    ) -> None:
        """It exits 0, prints the cells, leaves the current folder alone and no server running."""
        monkeypatch.chdir(tmp_path)
        temporary = tmp_path_factory.mktemp("temporary")
        monkeypatch.setenv("TMPDIR", str(temporary))
        answer = run("demo", "--headless", timeout=240)
        assert answer.returncode == 0, answer.stdout + answer.stderr
        assert ">>> " in answer.stdout
        assert list(tmp_path.iterdir()) == list(temporary.iterdir()) == []
        assert processes_with(str(temporary)) == []

    @pytest.mark.timeout(300)
    def test_jupyterlab_is_opened_on_it(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, runtime_dir: Path
    ) -> None:
        """Lab serves the executed notebook from the current folder; SIGTERM ends all of it."""
        monkeypatch.chdir(tmp_path)
        with (tmp_path / "log").open("w+") as log:
            process = subprocess.Popen(
                [sys.executable, "-m", "nbrpc", "demo", "--", "--no-browser", "--port=0"],
                stdout=log,
                stderr=log,
                stdin=subprocess.DEVNULL,
            )
            try:
                text = tmp_path / "log"
                eventually(
                    lambda: "01-quickstart.ipynb?token=" in text.read_text() or process.poll(), 180
                )
                assert process.poll() is None, text.read_text()
                assert '"outputs"' in (tmp_path / "01-quickstart.ipynb").read_text()
                assert len(connection_file.running()) == 1
            finally:
                process.terminate()
                process.wait(30)
        assert connection_file.running() == []
        assert processes_with(str(runtime_dir)) == []


def processes_with(text: str) -> list[str]:
    """Give the command lines of the processes in whose environment a text stands."""
    found = []
    for path in Path("/proc").glob("[0-9]*/environ"):
        try:
            if text.encode() in path.read_bytes():
                found.append((path.parent / "cmdline").read_text().replace("\0", " "))
        except OSError:  # it has just ended, or is another user's
            continue
    return found
