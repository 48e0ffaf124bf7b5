"""Servers behind a real OpenSSH server."""

from __future__ import annotations

import getpass
import os
import re
import shlex
import signal
import stat
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from urllib.parse import quote

import psutil
import pytest

import nbrpc
from nbrpc.reach import ssh
from tests.support import eventually

HERE = f"?python={sys.executable}"

PATIENCE = 60.0
"""Seconds to connect in: the machine may be busy."""


def connect(url, **options):
    """Connect, with the patience of a busy machine."""
    return nbrpc.connect(url, timeout=PATIENCE, **options)


def why_not(url, error=nbrpc.ConnectFailed):
    """Give the reason for which no connection comes to be; it is one sentence."""
    with pytest.raises(error) as caught:
        connect(url)
    reason = str(caught.value)
    assert "\n" not in reason
    return reason


def script(folder, text, name="python"):
    """Write a program of sh that stands for a Python; give its path."""
    path = folder / name
    path.write_text(f"#!/bin/sh\n{text}\n")
    path.chmod(0o755)
    return path


def far_pid(connection):
    """Give the process id of the server."""
    return int(connection.peer["pid"])


class TestConnecting:
    """What is served there, and by which way it is reached."""

    def test_a_python_to_run_code_in(self, gpu_box):
        """Without a target it is a classic session, in the home of the user there."""
        with connect(f"ssh://gpu-box{HERE}") as connection:
            assert connection.modules.os.getpid() != os.getpid()
            assert connection.eval("__import__('os').getcwd()") != str(Path.cwd())
            assert connection.url == f"ssh://gpu-box{HERE}"
            assert connection.allows_code

    def test_a_service_of_a_folder(self, gpu_box, tmp_path):
        """A target is found in the folder that the URL names, and no code may be run."""
        (tmp_path / "far_things.py").write_text(
            "class Adder:\n    def add(self, a, b):\n        return a + b\n"
        )
        with connect(f"ssh://gpu-box/far_things:Adder{HERE}&cwd={tmp_path}") as connection:
            assert connection.root.add(1, 2) == 3
            assert not connection.allows_code
        reason = why_not(f"ssh://gpu-box/far_things:Multiplier{HERE}&cwd={tmp_path}")
        assert "has no 'Multiplier'" in reason

    def test_user_and_port_of_the_url(self, gpu_box):
        """They go before those of ssh's configuration."""
        port = gpu_box.port
        gpu_box.configure(user="nobody-at-all", port=1)
        url = f"ssh://{getpass.getuser()}@gpu-box:{port}{HERE}"
        with connect(url) as connection:
            assert connection.url == url
            assert connection.eval("1 + 1") == 2

    def test_what_a_login_prints_is_passed_over(self, gpu_box, tmp_path):
        """Text before the first word of the far side is no part of the wire."""
        noisy = script(tmp_path, f"echo 'Welcome to gpu-box'; exec {sys.executable} \"$@\"")
        with connect(f"ssh://gpu-box?python={noisy}") as connection:
            assert connection.eval("1 + 1") == 2

    def test_what_it_says_on_standard_error_is_shown(self, gpu_box, capsys):
        """Also what the server's program prints, once the connection is there."""
        with connect(f"ssh://gpu-box{HERE}") as connection:
            connection.execute("import os\nos.write(1, b'from there\\n')")
            eventually(lambda: "from there" in capsys.readouterr().err)

    def test_a_python_is_looked_for(self, gpu_box, tmp_path, monkeypatch):
        """Without ``python=`` the first of the usual names that is new enough is taken."""
        old = script(tmp_path, "exit 1", "python3")
        monkeypatch.setattr(ssh, "PYTHONS", f"no-such-python {old} {sys.executable}")
        with connect("ssh://gpu-box") as connection:
            assert connection.modules.sys.executable == sys.executable

    def test_tls_and_tokens_are_refused(self, gpu_box):
        """Neither is needed, so whoever gives them means something else."""
        with pytest.raises(ValueError, match="ssh encrypts by itself"):
            connect("ssh://gpu-box", tls=True)
        with pytest.raises(ValueError, match="no token is needed"):
            connect("ssh://gpu-box", token="secret")


@pytest.fixture
def steady(monkeypatch):
    """Have the bundle keep its name, even while the files here are being edited."""
    monkeypatch.setattr(ssh, "bundle_name", lambda version: f"{version}-0123456789abcdef")


class TestCarrying:
    """A far side without nbrpc is given it."""

    @pytest.mark.usefixtures("steady")
    def test_a_bare_python_becomes_a_server(self, gpu_box, bare_python, capsys, record_property):
        """The first time nbrpc is carried there, the second it is found; nothing else changes."""
        url = f"ssh://gpu-box?python={bare_python}"
        took = []
        for _ in range(2):
            started = time.monotonic()
            with connect(url) as connection:
                took.append(time.monotonic() - started)
                place = Path(connection.eval("__import__('nbrpc').__file__")).parent.parent
        record_property("seconds", [round(seconds, 2) for seconds in took])
        assert max(took) < 30
        said = capsys.readouterr().err
        assert said.count("carrying it there") == said.count("\r") > 1
        assert said.endswith(" 100 %\n")
        assert list(gpu_box.home.iterdir()) == [gpu_box.home / ".cache"]
        assert list((gpu_box.home / ".cache").iterdir()) == [gpu_box.home / ".cache" / "nbrpc"]
        assert list(place.parent.iterdir()) == [place]
        assert place.name.startswith(f"{nbrpc.__version__}-")
        assert stat.S_IMODE(place.stat().st_mode) == 0o700

    def test_cells_and_services_work_without_ipython(self, gpu_box, bare_python):
        """What is carried is enough for a server."""
        with connect(f"ssh://gpu-box?python={bare_python}") as connection:
            connection.execute("x = 6")
            assert connection.eval("x * 7") == 42
            assert not connection.eval(
                "bool(__import__('importlib.util').util.find_spec('IPython'))"
            )
        with connect(f"ssh://gpu-box/nbrpc.demo:Bench?python={bare_python}") as connection:
            assert isinstance(connection.root.voltage, float)

    def test_carrying_takes_no_time_of_connecting(self, gpu_box, bare_python, monkeypatch):
        """A slow link delays the connection by what is carried, and does not fail it."""
        make_bundle, timeout = ssh.make_bundle, 4.0

        def make_slowly():
            time.sleep(timeout)  # the link
            return make_bundle()

        monkeypatch.setattr(ssh, "make_bundle", make_slowly)
        with nbrpc.connect(f"ssh://gpu-box?python={bare_python}", timeout=timeout) as connection:
            assert connection.eval("1 + 1") == 2

    def test_another_python_is_told_to_install(self, gpu_box, bare_python, monkeypatch):
        """Extension modules of another Python or system cannot be carried."""
        monkeypatch.setattr(ssh, "SUFFIX", ".cpython-399-riscv.so")
        reason = why_not(f"ssh://gpu-box?python={bare_python}")
        assert "run `pip install nbrpc` there" in reason
        assert not list(gpu_box.home.iterdir())

    @pytest.mark.usefixtures("steady")
    def test_a_folder_of_somebody_else_is_not_believed(self, gpu_box, bare_python):
        """Where others could have written the cache, nothing is run from it."""
        url = f"ssh://gpu-box?python={bare_python}"
        with connect(url) as connection:
            place = Path(connection.eval("__import__('nbrpc').__file__")).parent.parent
        place.chmod(0o777)
        assert "could not be carried to gpu-box" in why_not(url)

    def test_a_full_disk_is_told(self, gpu_box, bare_python):
        """What goes wrong there while it is received is said here."""
        (gpu_box.home / ".cache").write_text("no folder")
        reason = why_not(f"ssh://gpu-box?python={bare_python}")
        assert re.search(r"could not be carried to gpu-box: .*Not a directory", reason)


class TestFailures:
    """Each way to fail is told in one sentence."""

    def test_a_wrong_key(self, gpu_box):
        """The server does not know it."""
        gpu_box.configure(key="other_key")
        reason = why_not("ssh://gpu-box", nbrpc.AuthenticationFailed)
        assert reason.startswith("gpu-box does not know your key: try `ssh gpu-box` in a terminal")

    def test_an_unknown_host(self, gpu_box):
        """Its key was never confirmed."""
        gpu_box.know("")
        reason = why_not("ssh://gpu-box", nbrpc.AuthenticationFailed)
        assert reason.startswith("ssh does not know gpu-box yet: run `ssh gpu-box` in a terminal")

    def test_a_host_with_another_key(self, gpu_box):
        """Somebody may stand between."""
        gpu_box.know("other_key")
        reason = why_not("ssh://gpu-box", nbrpc.AuthenticationFailed)
        assert reason.startswith("gpu-box shows another key than before")

    def test_nobody_listens(self, gpu_box):
        """The port is closed."""
        assert "no ssh server answers on gpu-box" in why_not("ssh://gpu-box:1")

    def test_no_such_host(self, gpu_box):
        """The name leads nowhere."""
        gpu_box.configure(host_name="no host")
        assert "no host is called gpu-box" in why_not("ssh://gpu-box")

    def test_no_python(self, gpu_box, tmp_path, monkeypatch):
        """Neither by its usual names nor where the URL says."""
        missing = tmp_path / "missing"
        assert f"runs at {missing} on gpu-box" in why_not(f"ssh://gpu-box?python={missing}")
        assert "no Python that runs at /etc/passwd" in why_not("ssh://gpu-box?python=/etc/passwd")
        monkeypatch.setattr(ssh, "PYTHONS", "no-such-python")
        monkeypatch.setattr(ssh, "ANY_PYTHON", "no-such-python")
        assert "there is no Python on gpu-box: install" in why_not("ssh://gpu-box")

    def test_an_old_python(self, gpu_box, tmp_path):
        """Its version is told; even Python 2 can say it."""
        pretend = "import sys; sys.version_info = (3, 9, 18); exec(sys.argv[1])"
        old = script(tmp_path, f'exec {sys.executable} -c {shlex.quote(pretend)} "$2"')
        reason = why_not(f"ssh://gpu-box?python={old}")
        assert reason.startswith("the Python on gpu-box is 3.9, and nbrpc needs 3.11 or later")

    def test_no_folder(self, gpu_box, tmp_path):
        """The one that the URL names is not there."""
        missing = tmp_path / "missing"
        reason = why_not(f"ssh://gpu-box{HERE}&cwd={missing}")
        assert f"there is no folder {missing} on gpu-box" in reason

    def test_a_far_side_that_ends_at_once(self, gpu_box, tmp_path):
        """Its last words are told."""
        broken = script(tmp_path, "echo 'the licence server is away' >&2; exit 3")
        reason = why_not(f"ssh://gpu-box?python={broken}")
        assert "ssh ended with code 3: the licence server is away" in reason

    def test_a_far_side_that_ends_in_the_middle(self, gpu_box, tmp_path):
        """After it has read the first line, too."""
        broken = script(tmp_path, "read line; echo half a line; exit 5")
        assert "ssh ended with code 5" in why_not(f"ssh://gpu-box?python={broken}")

    def test_a_login_that_prints_without_end(self, gpu_box, tmp_path):
        """It is given up long before memory is."""
        noisy = script(tmp_path, "exec yes")
        assert "prints without end" in why_not(f"ssh://gpu-box?python={noisy}")

    @pytest.mark.parametrize(
        ("line", "reason"),
        [
            ('{"old": "3.1\\u001b]0;title\\u0007"}', "the Python on gpu-box is 3.1, and nbrpc"),
            ('{"suffix": "\\u001b[2J.so", "here": false}', "another Python or system"),
            ('{"here": "yes"}', "there nothing known): run"),
            ("[1, 2]", "says what cannot be read"),
            ("{half", "says what cannot be read"),
            ("[" * 50_000, "says what cannot be read"),
        ],
    )
    def test_a_far_side_that_lies(self, gpu_box, tmp_path, line, reason):
        """What it says is read as text from a stranger: it neither breaks nor rules anything."""
        (tmp_path / "line").write_text(line)
        liar = script(
            tmp_path,
            "read first; mark=$(echo \"$first\" | grep -o 'nbrpc-[0-9a-f]*' | head -n 1)\n"
            f"printf '\\n%s ' \"$mark\"; cat {tmp_path}/line; echo; read more",
        )
        told = why_not(f"ssh://gpu-box?python={liar}")
        assert reason in told
        assert told.isprintable()

    def test_a_far_side_that_is_silent(self, gpu_box, tmp_path):
        """The time to connect holds."""
        silent = script(tmp_path, "exec cat > /dev/null")
        with pytest.raises(nbrpc.ConnectFailed, match="did not answer over ssh in time"):
            nbrpc.connect(f"ssh://gpu-box?python={silent}", timeout=2)

    def test_no_ssh(self, monkeypatch):
        """Without a client there is nothing to try."""
        monkeypatch.setenv("NBRPC_SSH", "surely-no-ssh")
        assert "there is no program 'surely-no-ssh' here" in why_not("ssh://gpu-box")


@pytest.mark.parametrize(
    "name", ["; touch DONE", "$(touch DONE)", "`touch DONE`", "a'; touch DONE; '", 'b" c', "~", "*"]
)
def test_names_of_files_are_no_commands(gpu_box, tmp_path, name):
    """Whatever stands in ``python`` and ``cwd`` is taken for the name of a file."""
    folder = tmp_path / name
    folder.mkdir()
    python = script(folder, f'exec {sys.executable} "$@"', name="py " + name)
    url = f"ssh://gpu-box?python={quote(str(python))}&cwd={quote(str(folder))}"
    with connect(url) as connection:
        assert connection.eval("__import__('os').getcwd()") == str(folder)
    assert not list(tmp_path.rglob("DONE"))
    assert not list(gpu_box.home.rglob("DONE"))


class TestLosing:
    """The link breaks, or what is behind it ends."""

    def test_a_killed_ssh_is_a_lost_connection(self, gpu_box, record_property):
        """A call that waits learns of it at once, and the server there ends."""
        with connect(f"ssh://gpu-box{HERE}") as connection:
            server = far_pid(connection)
            result = nbrpc.async_(connection.modules.time.sleep)(60)
            os.kill(connection.session.transport.pid, signal.SIGKILL)
            started = time.monotonic()
            with pytest.raises(nbrpc.ConnectionLost):
                _ = result.value
            took = time.monotonic() - started
        record_property("ms_until_lost", round(took * 1000, 1))
        assert took < 5
        eventually(lambda: not Path(f"/proc/{server}").exists(), 20.0)

    def test_a_machine_that_is_gone_is_a_lost_connection(self, gpu_box):
        """Not while the server there computes, but when its sshd does not answer either."""
        ours = set(psutil.Process(gpu_box.process.pid).children(recursive=True))
        with connect(f"ssh://gpu-box{HERE}", timing=nbrpc.Timing(dead_after=3)) as connection:
            assert connection.eval("__import__('ctypes').PyDLL(None).sleep(5)") == 0
            there = psutil.Process(gpu_box.process.pid).children(recursive=True)
            for process in (gone := [one for one in there if one not in ours]):
                process.suspend()
            begun = time.monotonic()
            try:
                with pytest.raises(nbrpc.ConnectionLost):
                    connection.eval("1 + 1")
                assert time.monotonic() - begun < 10  # 3 is the aim; the rest is a busy machine
            finally:
                for process in gone:
                    process.resume()

    def test_a_killed_server_is_a_lost_connection(self, gpu_box):
        """The same for the far end."""
        with connect(f"ssh://gpu-box{HERE}") as connection:
            result = nbrpc.async_(connection.modules.time.sleep)(60)
            os.kill(far_pid(connection), signal.SIGKILL)
            with pytest.raises(nbrpc.ConnectionLost):
                _ = result.value

    def test_it_comes_back_by_logging_in_again(self, gpu_box):
        """With ``reconnect=True`` ssh is run again."""
        with connect(f"ssh://gpu-box{HERE}", reconnect=True) as connection:
            first = far_pid(connection)
            os.kill(connection.session.transport.pid, signal.SIGKILL)

            def other():
                try:
                    return connection.eval("__import__('os').getpid()") != first
                except nbrpc.ConnectionLost:
                    return False

            eventually(other, PATIENCE)

    def test_coming_back_has_the_time_that_connecting_has(self, gpu_box, tmp_path):
        """A login that takes longer than a first attempt to any other server is waited for."""
        slow = script(tmp_path, f'sleep 2; exec {sys.executable} "$@"')
        with connect(f"ssh://gpu-box?python={slow}", reconnect=True) as connection:
            os.kill(connection.session.transport.pid, signal.SIGKILL)
            eventually(lambda: connection.revival.came_back, PATIENCE)
            assert connection.revival.attempts == 1
            assert connection.eval("1 + 1") == 2

    def test_a_call_is_cancelled(self, gpu_box):
        """A cell that sleeps in C is broken off across ssh, and the connection is usable."""
        with connect(f"ssh://gpu-box{HERE}") as connection:
            result = nbrpc.async_(connection.execute)(
                "import time\ntime.sleep(60)"
            )  # what is cancelled
            timer = threading.Timer(0.5, result.cancel)
            timer.start()
            with pytest.raises(nbrpc.CallCancelled):
                _ = result.value
            timer.join()
            assert connection.eval("1 + 1") == 2


class TestSessions:
    """A named session keeps its server."""

    def test_a_session_is_found_again(self, gpu_box, bare_python):
        """Variables are there after the connection has ended; the server ends with the session."""
        url = f"ssh://gpu-box?python={bare_python}"
        with connect(url, session="work") as connection:
            server = connection.modules.os.getpid()
            connection.execute("x = 42")
        with connect(url, session="work") as connection:
            assert connection.modules.os.getpid() == server
            assert connection.eval("x") == 42
            assert not connection.sessions.began_anew
            connection.sessions.end("work")
        eventually(lambda: not Path(f"/proc/{server}").exists(), 60.0)

    def test_a_killed_ssh_loses_nothing_of_it(self, gpu_box):
        """With ``reconnect=True`` the session goes on where it was."""
        url = f"ssh://gpu-box{HERE}"
        with connect(url, session="work", reconnect=True) as connection:
            connection.execute("x = 42")
            os.kill(connection.session.transport.pid, signal.SIGKILL)
            eventually(lambda: connection.revival.came_back, PATIENCE)
            assert connection.eval("x") == 42
            server = connection.modules.os.getpid()
            connection.sessions.end("work")
        os.kill(server, signal.SIGTERM)

    def test_two_that_begin_at_once_share_it(self, gpu_box):
        """However many connect at the same moment, one server is kept."""
        url = f"ssh://gpu-box{HERE}"
        with ThreadPoolExecutor(3) as pool:
            connections = list(pool.map(lambda _: connect(url, session="work"), range(3)))
        servers = {connection.modules.os.getpid() for connection in connections}
        for connection in connections:
            connection.close()
        for server in servers:
            os.kill(server, signal.SIGTERM)
        assert len(servers) == 1

    def test_a_server_that_cannot_be_kept_says_why(self, gpu_box):
        """What is wrong with the target is told as it is without a session."""
        with pytest.raises(nbrpc.ConnectFailed, match="there is no module 'no_such'"):
            connect(f"ssh://gpu-box/no_such:Thing{HERE}", session="work")
