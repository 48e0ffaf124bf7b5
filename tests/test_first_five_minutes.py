"""The first five minutes of a new user, line by line: in the checkout, and from an installed wheel.

Views that plot and feed belong to the widgets and are not part of it.
"""

from __future__ import annotations

import contextlib
import json
import os
import subprocess
import sys
import sysconfig
import venv
from pathlib import Path

import pytest
from jupyter_client.kernelspec import KernelSpec, KernelSpecManager
from jupyter_client.manager import KernelManager

from tests.notebook.kernels import ROOT, Kernel
from tests.support import Served

pytestmark = pytest.mark.kernel


def state(cell, kernel):
    """Give the state that the result shown by a cell has by now."""
    (shown,) = cell.of("display_data")
    html = kernel.displays[shown["transient"]["display_id"]]["text/html"]
    return html.partition('data-state="')[2].partition('"')[0]


def five_minutes(kernel):
    """Play the lines as printed in a kernel; the server ``bench`` runs already."""
    kernel.ok("%load_ext nbrpc")
    (card,) = kernel.ok("%rpc_connect bench").shown
    assert "nbrpc-card" in card["text/html"]
    assert "nbrpc.demo.Bench" in kernel.ok("dev = conn.root; dev").value
    kernel.ok("dev.voltage = 1.5")
    assert kernel.ok("dev.voltage").value == "1.5"
    cell = kernel.ok("job = nbrpc.async_(dev.scan)(200); job")
    assert state(cell, kernel) == "pending"
    kernel.ok("job.cancel()")
    kernel.read_until(lambda: state(cell, kernel) == "cancelled")
    assert kernel.ok("len(dev.sweep(0, 5))").value == "201"
    watching = kernel.ok(
        'sub = nbrpc.watch(dev, "temperature", every=0.05).subscribe(lambda t: print("watched", t))'
    )
    kernel.read_until(lambda: watching.text().count("watched") > 2)
    kernel.ok("sub.close()")
    handler = kernel.ok("%%rpc_on dev.alarm\nprint(event)")
    kernel.ok("dev.voltage = 9.5")
    kernel.read_until(lambda: "high voltage: 9.5 V" in handler.text())
    kernel.ok(
        "%%remote -o spectrum\nimport numpy as np\nspectrum = np.abs(np.fft.rfft(root.read()))"
    )
    assert kernel.ok("spectrum.shape").value == "(2049,)"
    assert kernel.ok("%rpc_disconnect").text() == "closed conn (bench)\n"


@pytest.fixture(scope="module")
def environment(tmp_path_factory):
    """Where servers and kernels of this module find each other, and nobody else's."""
    folder = tmp_path_factory.mktemp("runtime")
    folder.chmod(0o700)
    kept = {key: value for key, value in os.environ.items() if key != "PYTHONPATH"}
    return {**kept, "NBRPC_RUNTIME_DIR": str(folder)}


@contextlib.contextmanager
def bench(command, folder, environment):
    """Run the server as a user would, in a terminal of its own."""
    output = folder / "output"
    with output.open("wb") as stream:
        process = subprocess.Popen(
            [*command, "serve", "nbrpc.demo:Bench", "--name", "bench", "--allow-code", "--port=0"],
            stdout=stream,
            stderr=stream,
            cwd=folder,
            env=environment,
        )
    server = Served(process, output)
    try:
        server.wait_url()
        yield
    finally:
        server.stop()


@pytest.fixture(scope="module")
def kernel_of_the_checkout(tmp_path_factory, environment):
    """A kernel that imports the checkout, beside a server."""
    folder = tmp_path_factory.mktemp("checkout")
    source = {**environment, "PYTHONPATH": str(ROOT)}
    with bench([sys.executable, "-m", "nbrpc"], folder, source):
        kernel = Kernel(folder, source)
        yield kernel
        kernel.stop()


def test_in_the_checkout(kernel_of_the_checkout):
    """Every line does what it says."""
    five_minutes(kernel_of_the_checkout)


class InstalledKernel(Kernel):
    """The kernel that the wheel brings, run by the Python that it is installed in."""

    def __init__(self, python: Path, folder: Path, environment: dict[str, str]) -> None:
        path = python.parent.parent / "share/jupyter/kernels/nbrpc/kernel.json"
        spec = json.loads(path.read_text("utf-8"))
        spec["argv"][0] = str(python)
        self.manager = KernelManager()
        self.manager._kernel_spec = KernelSpec(**spec)
        folders = {name: str(folder / name) for name in ("JUPYTER_RUNTIME_DIR", "IPYTHONDIR")}
        self.manager.start_kernel(env={**environment, **folders}, cwd=str(folder))
        self.client = self.manager.client()
        self.client.start_channels()
        self.client.wait_for_ready(timeout=60)
        self.cells = {}
        self.displays = {}
        self.strays = []


def pip(python, *arguments):
    """Install or remove something in the environment of a Python."""
    command = [sys.executable, "-m", "pip", "-q", "--disable-pip-version-check"]
    subprocess.run([*command, "--python", str(python), *arguments], check=True, timeout=280)


def python_of(environment):
    """The Python of a virtual environment."""
    return environment / ("Scripts" if sys.platform == "win32" else "bin") / "python"


def left_in(environment):
    """What has the package's name in an environment."""
    return sorted(str(path) for path in environment.rglob("*nbrpc*"))


@pytest.fixture(scope="module")
def wheel(tmp_path_factory):
    """The wheel of the checkout."""
    folder = tmp_path_factory.mktemp("wheel")
    pip(sys.executable, "wheel", "--no-deps", "-w", str(folder), str(ROOT))
    (path,) = folder.glob("nbrpc-*.whl")
    return path


@pytest.fixture(scope="module")
def installed(tmp_path_factory, wheel):
    """A fresh environment with the wheel in it; give its Python."""
    folder = tmp_path_factory.mktemp("installed")
    venv.create(folder / "venv", with_pip=True)
    python = python_of(folder / "venv")
    pip(python, "install", f"{wheel}[data]")
    yield python
    pip(python, "uninstall", "-y", "nbrpc")
    assert left_in(folder / "venv") == []


@pytest.fixture(scope="module")
def lightly_installed(tmp_path_factory, wheel):
    """An environment with nothing but the wheel in it, and all else from the one that tests."""
    folder = tmp_path_factory.mktemp("lightly") / "venv"
    venv.create(folder)
    python = python_of(folder)
    paths = sysconfig.get_paths(vars={"base": str(folder), "platbase": str(folder)})
    Path(paths["purelib"], "others.pth").write_text(sysconfig.get_paths()["purelib"], "utf-8")
    pip(python, "install", "--no-deps", str(wheel))
    return python


@pytest.fixture(scope="module")
def kernel_that_came_along(lightly_installed, tmp_path_factory, environment):
    """The kernel that the wheel brings."""
    kernel = InstalledKernel(lightly_installed, tmp_path_factory.mktemp("came"), environment)
    yield kernel
    kernel.stop()


def test_the_kernel_that_the_wheel_brings(lightly_installed, kernel_that_came_along):
    """Jupyter finds it, it has the magics from the start, and uninstalling takes it away."""
    folder = lightly_installed.parent.parent
    specs = KernelSpecManager(kernel_dirs=[str(folder / "share/jupyter/kernels")])
    specs.ensure_native_kernel = False
    assert set(specs.get_all_specs()) == {"nbrpc"}
    assert specs.get_kernel_spec("nbrpc").display_name == "Python 3 (nbrpc)"
    kernel = kernel_that_came_along
    assert str(folder) in kernel.ok("nbrpc.__file__").value
    assert kernel.ok("%rpc_connections").shown[0]["text/plain"] == "no connections"
    assert "%rpc_serve" in kernel.ok("%rpc_serve --help").text()
    assert "unrecognized" in kernel.run("%%remote --nope\n1").text("stderr")
    pip(lightly_installed, "uninstall", "-y", "nbrpc")
    assert left_in(folder) == []
    assert specs.get_all_specs() == {}


@pytest.fixture(scope="module")
def kernel_of_the_wheel(installed, tmp_path_factory, environment):
    """The kernel that the wheel brings, beside a server started by the command that it brings."""
    folder = tmp_path_factory.mktemp("wheel")
    with bench([installed.parent / "nbrpc"], folder, environment):
        kernel = InstalledKernel(installed, folder, environment)
        yield kernel
        kernel.stop()


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_from_an_installed_wheel(kernel_of_the_wheel, installed):
    """The same from a wheel, with its command and its kernel; uninstalling leaves nothing."""
    five_minutes(kernel_of_the_wheel)
    assert str(installed.parent.parent) in kernel_of_the_wheel.ok("nbrpc.__file__").value
