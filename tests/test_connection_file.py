"""Finding this user's servers: what is written, what is believed, what is cleared away."""

from __future__ import annotations

import json
import os
import shutil
import socket
import stat
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgspec
import pytest

from nbrpc import connection_file
from nbrpc.connection_file import ServerInfo


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Keep the files of these tests in a folder of their own, which does not exist yet."""
    place = tmp_path / "deep" / "runtime"
    monkeypatch.setenv("NBRPC_RUNTIME_DIR", str(place))
    return place


@pytest.fixture
def sleeper() -> Iterator[subprocess.Popen[bytes]]:
    """Give another process of this user, which runs until it is told to end."""
    process = subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE)
    yield process
    process.kill()
    process.communicate()


def info(server_id: str = "ab12", **changes: Any) -> ServerInfo:
    """Describe a server of this process."""
    values: dict[str, Any] = {
        "server_id": server_id,
        "name": "bench",
        "token": "SECRET",
        "service": "nbrpc.demo:Bench",
        "host": "127.0.0.1",
        "port": 18_861,
        "version": "0.1",
    }
    found = ServerInfo.of_this_process(
        **{key: changes.pop(key, value) for key, value in values.items()},
        path=changes.pop("path", None),
    )
    return msgspec.structs.replace(found, **changes)


def test_what_is_written_is_found() -> None:
    """A server that wrote its file is found by list, id, name and port."""
    written = info(allow_code=True)
    path = connection_file.write(written)
    assert path.name == "ab12.json"
    assert connection_file.running() == [written]
    assert connection_file.find_by_id("ab12") == written
    assert connection_file.find_by_name("bench") == written
    assert connection_file.find_by_port(18_861) == written


def test_what_is_not_there_is_not_found() -> None:
    """Without a folder, and with other servers only, the answer is nothing."""
    assert connection_file.running() == []
    assert connection_file.find_by_id("ab12") is None
    connection_file.write(info())
    assert connection_file.find_by_id("ab13") is None
    assert connection_file.find_by_name("other") is None
    assert connection_file.find_by_port(1) is None


def test_removing_is_idempotent() -> None:
    """A server that closes takes its file away; doing so twice is fine."""
    path = connection_file.write(info())
    connection_file.remove(path)
    connection_file.remove(path)
    assert connection_file.running() == []


def test_the_newest_comes_first() -> None:
    """Of two servers with one name and port the newest is found, and leads the list."""
    for number, server_id in enumerate(["aa", "bb", "cc"]):
        path = connection_file.write(info(server_id))
        os.utime(path, (number, number))
    assert [found.server_id for found in connection_file.running()] == ["cc", "bb", "aa"]
    assert connection_file.find_by_name("bench") == info("cc")
    assert connection_file.find_by_port(18_861) == info("cc")


def test_only_the_owner_can_read(folder: Path) -> None:
    """The file is 0600 and each folder made for it 0700, whatever the umask; no draft stays."""
    umask = os.umask(0)
    try:
        path = connection_file.write(info())
    finally:
        os.umask(umask)
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert stat.S_IMODE(folder.stat().st_mode) == 0o700
    assert stat.S_IMODE(folder.parent.stat().st_mode) == 0o700
    assert [path.name for path in folder.iterdir()] == ["ab12.json"]


def test_the_token_is_in_the_file_only() -> None:
    """No repr and no url shows it."""
    path = connection_file.write(info())
    assert json.loads(path.read_text())["token"] == "SECRET"
    assert "SECRET" not in f"{info()!r} {info()} {info().url} {connection_file.running()!r}"


@pytest.mark.parametrize(
    ("changes", "url"),
    [
        ({}, "nbrpc://127.0.0.1:18861"),
        ({"host": "0.0.0.0"}, "nbrpc://127.0.0.1:18861"),
        ({"host": "::"}, "nbrpc://[::1]:18861"),
        ({"host": None, "port": None, "path": "/run/a b"}, "unix:///run/a%20b"),
    ],
)
def test_the_url_leads_there_from_this_machine(changes: dict[str, Any], url: str) -> None:
    """A server that listens everywhere is reached over loopback."""
    assert info(**changes).url == url


@pytest.mark.parametrize("server_id", ["", "AB", "../ab", "ab/cd", "a" * 65, "xyz", "ab\0", "ab."])
def test_ids_from_the_wire_lead_nowhere_else(server_id: str) -> None:
    """An id that is not plain hexadecimal finds nothing and cannot be written."""
    assert connection_file.find_by_id(server_id) is None
    with pytest.raises(ValueError, match="hexadecimal"):
        connection_file.write(info(server_id))


class TestStale:
    """Files that outlived their server."""

    def test_a_dead_process_is_cleared_away(self, sleeper: subprocess.Popen[bytes]) -> None:
        """The file of a server that was killed is found while it lives, then removed."""
        started = connection_file._start_of(sleeper.pid)
        path = connection_file.write(info(pid=sleeper.pid, started=started))
        assert len(connection_file.running()) == 1
        sleeper.kill()
        os.waitid(os.P_PID, sleeper.pid, os.WEXITED | os.WNOWAIT)  # a zombie from here on
        assert connection_file.find_by_id("ab12") is None
        assert not path.exists()

    def test_a_process_id_used_again_is_not_believed(
        self, sleeper: subprocess.Popen[bytes]
    ) -> None:
        """Another process under the same number does not keep the file alive."""
        path = connection_file.write(info(pid=sleeper.pid))  # which began after this one
        assert connection_file.running() == []
        assert not path.exists()

    def test_another_boot_is_cleared_away(self) -> None:
        """After a restart of the machine nothing of before counts."""
        path = connection_file.write(info(boot_id="before"))
        assert connection_file.running() == []
        assert not path.exists()

    @pytest.mark.parametrize(
        "changes", [{"boot_id": "theirs", "host_name": "other"}, {"namespace": "pid:[1]"}]
    )
    def test_what_another_machine_wrote_stays(self, changes: dict[str, str]) -> None:
        """Files of other machines and containers in a shared folder are ignored, not removed."""
        path = connection_file.write(info(pid=2**22 + 1, **changes))
        assert connection_file.running() == []
        assert connection_file.find_by_id("ab12") is None
        assert path.exists()

    def test_a_renamed_machine_is_still_this_one(self, monkeypatch: pytest.MonkeyPatch) -> None:
        """A host name that changes while a server runs does not hide it."""
        connection_file.write(info())
        monkeypatch.setattr(socket, "gethostname", lambda: "renamed")
        assert len(connection_file.running()) == 1


class TestDistrust:
    """Files that others could have made or read."""

    @pytest.mark.parametrize("mode", [0o640, 0o604, 0o620, 0o666])
    def test_a_file_open_to_others_is_ignored(self, mode: int) -> None:
        """What others can read is no secret; what they can write is not ours."""
        path = connection_file.write(info())
        path.chmod(mode)
        assert connection_file.running() == []
        assert connection_file.find_by_id("ab12") is None
        assert path.exists()

    @pytest.mark.skipif(os.getuid() != 0, reason="only root may give files away")
    def test_a_file_of_another_user_is_ignored(self, folder: Path) -> None:
        """Neither a file nor a folder of another user is believed."""
        path = connection_file.write(info())
        os.chown(path, 65_534, -1)
        assert connection_file.running() == []
        os.chown(path, 0, -1)
        os.chown(folder, 65_534, -1)
        assert connection_file.running() == []
        with pytest.raises(PermissionError, match="set NBRPC_RUNTIME_DIR"):
            connection_file.write(info("cd"))

    def test_a_folder_open_to_others_is_ignored(self, folder: Path) -> None:
        """A folder that others may write to is neither read nor written."""
        connection_file.write(info())
        folder.chmod(0o777)
        assert connection_file.running() == []
        assert connection_file.find_by_id("ab12") is None
        with pytest.raises(PermissionError, match="set NBRPC_RUNTIME_DIR"):
            connection_file.write(info("cd"))
        folder.chmod(0o700)
        assert [path.name for path in folder.iterdir()] == ["ab12.json"]

    def test_links_and_pipes_are_ignored(self, folder: Path, tmp_path: Path) -> None:
        """Only plain files are opened, so nothing can lead elsewhere or block."""
        path = connection_file.write(info())
        shutil.move(path, tmp_path / "ab12.json")
        path.symlink_to(tmp_path / "ab12.json")
        os.mkfifo(folder / "cd.json", 0o600)
        assert connection_file.running() == []

    @pytest.mark.parametrize(
        "text", ["", "{", "[]", "{}", '{"server_id": 1}', "\x00\xff", "[" * 100_000]
    )
    def test_broken_files_are_ignored(self, text: str) -> None:
        """What is not a description of a server is skipped without an error."""
        good = info("cd")
        connection_file.write(good)
        connection_file.write(info()).write_text(text, "latin-1")
        assert connection_file.running() == [good]

    def test_a_renamed_file_is_ignored(self, folder: Path) -> None:
        """A file counts under its own id only."""
        connection_file.write(info()).rename(folder / "cd.json")
        assert connection_file.find_by_id("cd") is None
        assert connection_file.running() == []

    def test_unknown_fields_are_no_error(self) -> None:
        """The file of a newer version, which says more, is still read."""
        path = connection_file.write(info())
        path.write_text(json.dumps({**json.loads(path.read_text()), "mood": "good"}))
        assert connection_file.running() == [info()]


def test_a_failed_write_leaves_nothing(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """When the file cannot be put in place its draft, which holds the token, is removed."""

    def refuse(*_: object) -> None:
        raise OSError("disk full")

    monkeypatch.setattr(Path, "replace", refuse)
    with pytest.raises(OSError, match="disk full"):
        connection_file.write(info())
    assert list(folder.iterdir()) == []


def test_the_default_folder_belongs_to_the_user(monkeypatch: pytest.MonkeyPatch) -> None:
    """Without the variable it is the user's runtime folder, found without a warning."""
    monkeypatch.delenv("NBRPC_RUNTIME_DIR")
    connection_file._default_folder.cache_clear()
    assert connection_file.runtime_folder().name == "nbrpc"


@pytest.mark.skipif(shutil.which("ps") is None, reason="needs ps")
def test_without_proc_the_start_is_asked_of_ps(
    sleeper: subprocess.Popen[bytes], monkeypatch: pytest.MonkeyPatch
) -> None:
    """On systems without /proc a process is told apart by what ps says, and the dead have none."""
    monkeypatch.setattr(Path, "exists", lambda _: False)
    started = connection_file._start_of(sleeper.pid)
    assert started
    assert connection_file._start_of(sleeper.pid) == started
    sleeper.kill()
    sleeper.wait()
    assert connection_file._start_of(sleeper.pid) == ""


def test_importing_it_is_cheap() -> None:
    """It loads neither platformdirs nor asyncio: clients import it."""
    code = (
        "import sys; import nbrpc.connection_file;"
        "print([name for name in ('platformdirs', 'subprocess', 'asyncio', 'ssl')"
        " if name in sys.modules])"
    )
    answer = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True
    )
    assert answer.stdout.strip() == "[]"
