"""Servers over the standard input and output of a command."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest

import nbrpc
from nbrpc.reach.process import ProcessTransport
from tests.support import eventually

SERVE = [sys.executable, "-m", "nbrpc", "serve", "--stdio"]
CLASSIC = [*SERVE, "--classic"]


def shell(script: str) -> list[str]:
    """Give the command that runs a script of sh."""
    return ["sh", "-c", script]


def is_gone(pid: int) -> bool:
    """Whether a process has ended and was waited for."""
    return not Path(f"/proc/{pid}").exists()


@pytest.fixture
def classic():
    """Connect to a Python of its own, over its pipe."""
    with nbrpc.connect_command(CLASSIC, timeout=30) as connection:
        yield connection


def far_pid(connection: nbrpc.Connection) -> int:
    """Give the process id of the server."""
    return int(connection.peer["pid"])


def test_a_command_is_a_server(classic):
    """Calls, values and errors pass; the connection is called by the program, no more."""
    assert classic.modules.os.getpid() == far_pid(classic) != os.getpid()
    assert classic.url == f"command://{Path(sys.executable).name}"
    assert not classic.closed
    with pytest.raises(ZeroDivisionError):
        classic.eval("1/0")


def test_a_service_is_served_from_the_current_folder(tmp_path, monkeypatch):
    """The target is made as `nbrpc serve` makes it."""
    (tmp_path / "pipe_things.py").write_text(
        "print('imported')\nclass Adder:\n    def add(self, a, b):\n        return a + b\n"
    )
    monkeypatch.chdir(tmp_path)
    with nbrpc.connect_command([*SERVE, "pipe_things:Adder"], timeout=30) as connection:
        assert connection.root.add(1, 2) == 3


def test_what_the_program_prints_never_meets_the_wire(classic, capsys):
    """Prints, the bare descriptor and children end up on our standard error; input is empty."""
    classic.execute(
        "import os, sys, subprocess\n"
        "os.write(1, b'from the descriptor\\n')\n"
        "subprocess.run(['echo', 'from a child'])\n"
        "sys.__stdout__.write('from the stream\\n')\n"
        "read = os.read(0, 10)"
    )
    assert classic.eval("read") == b""
    said = ""

    def all_said() -> bool:
        nonlocal said
        said += capsys.readouterr().err
        return said.count("from ") == 3

    eventually(all_said)
    assert classic.eval("1 + 1") == 2


def test_what_it_says_cannot_rule_the_terminal(capsys):
    """Colours are shown, what sets titles or moves about is not, and no half line is lost."""
    script = r"printf '\033]0;title\007\033[2J\033[31mred\033[0m half' >&2; exit 3"
    with pytest.raises(nbrpc.ConnectFailed, match="code 3: red half"):
        nbrpc.connect_command(shell(script), timeout=20)
    assert eventually(lambda: capsys.readouterr().err) == "\x1b[31mred\x1b[0m half\n"


@pytest.mark.parametrize(
    ("command", "reason"),
    [
        (["surely-no-such-program"], "there is no program 'surely-no-such-program' here"),
        (["/"], "cannot be started: permission denied"),
        (shell("echo 'bash: nbrpc: not found' >&2; exit 127"), "code 127: bash: nbrpc: not found"),
        (shell("exit 4"), "the command ended with code 4, without a word"),
        (shell("kill -9 $$"), "the command ended by signal 9"),
        (shell("echo Welcome; cat"), "printed 'Welcome' where a server of nbrpc speaks"),
        ([*SERVE, "no_such_module:Thing"], "code 1: nbrpc: there is no module 'no_such_module'"),
        ([*CLASSIC, "--port", "0"], "give either --stdio or --port, not both"),
        ([*CLASSIC, "--unix", "x"], "give either --stdio or --unix, not both"),
        ([*CLASSIC, "--rpyc"], "give either --stdio or --rpyc, not both"),
        ([*CLASSIC, "--tls-self-signed"], "give either --stdio or --tls-self-signed, not both"),
        ([*SERVE[:-1], "--classic", "--keep"], "--keep needs --stdio"),
    ],
)
def test_no_server_is_told_in_words(command, reason):
    """Whatever a command does instead of serving is said, with its last words."""
    with pytest.raises(nbrpc.ConnectFailed) as caught:
        nbrpc.connect_command(command, timeout=30)
    assert reason in str(caught.value)


def test_a_silent_command_is_given_up():
    """The time to connect holds, and tells what the command said."""
    command = shell("echo waiting for a node >&2; exec sleep 100")
    with pytest.raises(nbrpc.ConnectFailed, match=r"did not answer.*said: waiting for a node"):
        nbrpc.connect_command(command, timeout=1)


@pytest.mark.parametrize("command", ["sh -c true", b"sh", []])
def test_a_command_is_a_list(command):
    """One text is refused, since no shell takes it apart."""
    with pytest.raises(TypeError, match="a command is a list of texts"):
        nbrpc.connect_command(command)


def test_a_configured_port_is_no_mistake(tmp_path, monkeypatch):
    """What a configuration file says of listening does not matter here; it may also print."""
    (tmp_path / "nbrpc_config.py").write_text("c.ServeApp.port = 18861\nprint('configured')\n")
    monkeypatch.setenv("JUPYTER_CONFIG_DIR", str(tmp_path))
    with nbrpc.connect_command(CLASSIC, timeout=30) as connection:
        assert connection.eval("1 + 1") == 2


def test_closing_ends_the_command():
    """The server ends by itself when its input does; nothing is left of it."""
    connection = nbrpc.connect_command(CLASSIC, timeout=30)
    pid = far_pid(connection)
    connection.close()
    eventually(lambda: is_gone(pid), 10.0)


def test_a_thread_of_the_service_does_not_keep_the_server():
    """A server that nobody can reach any more ends, whatever its service goes on doing."""
    with nbrpc.connect_command(CLASSIC, timeout=30) as connection:
        pid = far_pid(connection)
        connection.execute(
            "import threading\nthreading.Thread(target=threading.Event().wait).start()"
        )
    eventually(lambda: is_gone(pid), 15.0)


@pytest.mark.parametrize("trap", ["", "trap '' TERM; "])
def test_a_command_that_goes_on_is_ended(trap, monkeypatch):
    """One that does not care for the end of its input is terminated, and killed if it must be."""
    monkeypatch.setattr("nbrpc.reach.process.GRACE", 0.3)
    transport = ProcessTransport.start(
        shell(f"{trap}echo ready; while :; do read x || sleep 0.1; done"), "command://sh"
    )
    assert eventually(lambda: transport.receive(100)) == b"ready\n"
    transport.close()
    eventually(lambda: is_gone(transport.pid), 10.0)


def test_a_killed_command_is_a_lost_connection(classic, record_property):
    """A call that waits learns of it at once."""
    result = nbrpc.async_(classic.modules.time.sleep)(60)
    os.kill(far_pid(classic), signal.SIGKILL)
    started = time.monotonic()
    with pytest.raises(nbrpc.ConnectionLost):
        _ = result.value
    took = time.monotonic() - started
    record_property("ms_until_lost", round(took * 1000, 1))
    assert took < 5


def test_ctrl_c_of_the_terminal_does_not_reach_it(classic):
    """The command has a session of its own."""
    assert os.getsid(far_pid(classic)) != os.getsid(0)


def test_no_other_child_holds_the_pipe(classic):
    """A program that is started meanwhile does not inherit it."""
    descriptor = classic.fileno()
    program = f"import os; print(os.path.exists('/proc/self/fd/{descriptor}'))"
    started = subprocess.run(
        [sys.executable, "-c", program], close_fds=False, capture_output=True, check=True
    )
    assert started.stdout == b"False\n"


def test_a_fork_leaves_the_connection_to_its_parent(classic):
    """A forked child closes its copy and harms neither the command nor the connection."""
    child = os.fork()
    if not child:
        os._exit(0)
    os.waitpid(child, 0)
    assert classic.eval("6 * 7") == 42


def test_it_comes_back_by_running_the_command_again(tmp_path, capsys):
    """With ``reconnect=True`` a killed command is started anew; failing starts are not shown."""
    count = tmp_path / "count"
    count.write_text("")
    script = (
        f"printf x >> {count}; case $(cat {count}) in x|xxx*) exec {' '.join(CLASSIC)};; esac; "
        "echo 'not now' >&2; exit 1"
    )
    with nbrpc.connect_command(shell(script), timeout=30, reconnect=True) as connection:
        first = far_pid(connection)
        os.kill(first, signal.SIGKILL)
        eventually(lambda: connection.revival.came_back, 30.0)
        assert connection.eval("__import__('os').getpid()") != first
    assert count.read_text() == "xxx"
    assert "not now" not in capsys.readouterr().err


def test_a_server_whose_client_hangs_up_ends():
    """A pipe that closes before anybody spoke ends the server; so does one that babbles."""
    for said in (b"", b"GET / HTTP/1.0\r\n\r\n"):
        ended = subprocess.run(CLASSIC, input=said, capture_output=True, timeout=60, check=False)
        assert ended.returncode == 0, ended.stderr
        assert b"Traceback" not in ended.stderr


def test_a_program_that_ends_leaves_no_command():
    """A script that never closes its connection takes the command with it."""
    program = (
        "import nbrpc, sys\n"
        f"connection = nbrpc.connect_command({CLASSIC!r}, timeout=30)\n"
        "print(connection.peer['pid'])\n"
    )
    ended = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, timeout=60, check=True
    )
    eventually(lambda: is_gone(int(ended.stdout)), 10.0)


def test_large_values_pass_both_ways(classic):
    """8 MB there and back, while another thread calls."""
    data = os.urandom(8 * 1024 * 1024)
    others: list[int] = []
    thread = threading.Thread(target=lambda: others.append(classic.eval("1 + 1")))
    thread.start()
    assert classic.builtins.bytes(data) == data
    thread.join(30)
    assert others == [2]


def test_two_pipes_do_as_well_as_a_socket():
    """What gives a pipe for each direction, as sshd may, is relayed."""
    command = shell(f"cat | {' '.join(CLASSIC)} | cat")
    with nbrpc.connect_command(command, timeout=30) as connection:
        data = os.urandom(1024 * 1024)
        assert connection.builtins.bytes(data) == data
