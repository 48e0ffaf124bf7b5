"""What runs on the far side before nbrpc does: receiving a bundle."""

from __future__ import annotations

import hashlib
import io
import subprocess
import sys
import zipfile

import pytest

from nbrpc.reach.bundle import bundle_name, make_bundle


def bundle(**files):
    """Make a zip of some texts."""
    data = io.BytesIO()
    with zipfile.ZipFile(data, "w") as archive:
        for name, text in files.items():
            archive.writestr(name, text)
    return data.getvalue()


def receive(folder, data, sent=None, sha256=None):
    """Have a process receive a bundle as the far side does; give how it ended."""
    program = "import sys; from nbrpc.reach import far_side; far_side.receive(*eval(sys.argv[1]))"
    told = (str(folder), len(data), sha256 or hashlib.sha256(data).hexdigest())
    return subprocess.run(
        [sys.executable, "-c", program, repr(told)],
        input=data if sent is None else sent,
        capture_output=True,
        check=False,
    )


def test_a_bundle_becomes_a_folder(tmp_path):
    """All that is in it is there, and nothing else."""
    data = bundle(one="1", two="2")
    assert receive(tmp_path / "place", data).returncode == 0
    assert sorted(path.name for path in (tmp_path / "place").iterdir()) == ["one", "two"]
    assert list(tmp_path.iterdir()) == [tmp_path / "place"]


def test_another_was_first(tmp_path):
    """A folder that is there already stays as it is."""
    data = bundle(one="1")
    for _ in range(2):
        assert receive(tmp_path / "place", data).returncode == 0
    assert list(tmp_path.iterdir()) == [tmp_path / "place"]


@pytest.mark.parametrize("damage", ["changed", "cut short", "no zip"])
def test_a_damaged_bundle_leaves_nothing(tmp_path, damage):
    """What arrives must be what was sent, to the last byte."""
    data = b"no zip" if damage == "no zip" else bundle(one="1" * 1000)
    sent = {"changed": b"x" * len(data), "cut short": data[:-1], "no zip": data}[damage]
    ended = receive(tmp_path / "place", data, sent)
    assert ended.returncode == 1
    if damage == "changed":
        assert b"what arrived is not what was sent" in ended.stderr
    assert not list(tmp_path.iterdir())


def test_the_name_says_what_is_in_it():
    """The same files have the same name, and the bundle has what a server needs but no tests."""
    assert bundle_name("1.2") == bundle_name("1.2") != bundle_name("1.3")
    with zipfile.ZipFile(io.BytesIO(make_bundle())) as archive:
        names = archive.namelist()
    assert {"nbrpc/server/pipe.py", "traitlets/__init__.py", "platformdirs/__init__.py"} < {*names}
    assert any(name.startswith("msgspec/_core") for name in names)
    assert not any("/tests/" in name or "__pycache__" in name for name in names)
