"""A kernel per module: starting one takes a second."""

from __future__ import annotations

import pytest

from tests.notebook.kernels import Kernel
from tests.support import start_server


@pytest.fixture(scope="module")
def module_runtime_dir(tmp_path_factory):
    """Where the servers of a module write their connection files."""
    folder = tmp_path_factory.mktemp("runtime")
    folder.chmod(0o700)
    return folder


@pytest.fixture(scope="module")
def kernel(tmp_path_factory, module_runtime_dir):
    """A real ipykernel in folders of its own; the checkout is importable in it."""
    folder = tmp_path_factory.mktemp("kernel")
    kernel = Kernel(folder, {"NBRPC_RUNTIME_DIR": str(module_runtime_dir)})
    yield kernel
    kernel.stop()


@pytest.fixture(scope="module")
def bench(tmp_path_factory, module_runtime_dir):
    """The simulated bench in a process of its own; it runs code."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("NBRPC_RUNTIME_DIR", str(module_runtime_dir))
        output = tmp_path_factory.mktemp("bench") / "output"
        served = start_server(output, "nbrpc.demo:Bench", "--name", "bench", "--allow-code")
    yield served
    served.stop()


@pytest.fixture(scope="module")
def loaded(kernel, bench):
    """A kernel with the extension loaded."""
    kernel.ok("import asyncio, time, nbrpc\n%load_ext nbrpc")
    return kernel


@pytest.fixture
def connected(loaded):
    """A kernel that is connected to the bench, anew for each test."""
    loaded.ok("%rpc_connect bench")
    loaded.ok("dev = conn.root")
    return loaded
