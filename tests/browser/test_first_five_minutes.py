"""The first five minutes, as printed, in JupyterLab and from an installed wheel."""

from __future__ import annotations

import json
import subprocess
import sys
import sysconfig
import venv
from pathlib import Path

import pytest

from tests.browser.lab import LOADED, ROOT, SOON, Notebook

pytestmark = [pytest.mark.browser, pytest.mark.kernel, pytest.mark.timeout(300)]

LINES = [
    "import matplotlib.pyplot as plt\nimport nbrpc",
    "%load_ext nbrpc",
    "%rpc_connect bench",
    "dev = conn.root; dev",
    "dev.voltage = 1.5",
    "job = nbrpc.async_(dev.scan)(200); job",
    "job.cancel()",
    "plt.plot(dev.sweep(0, 5))",
    "dev.alarm.feed()",
    'nbrpc.watch(dev, "temperature", every=0.5).plot()',
    "%%rpc_on dev.alarm\nprint(event)",
    "%%remote -o spectrum\nspectrum = np.abs(np.fft.rfft(root.read()))",
    "nbrpc.__file__, spectrum.shape",
]


@pytest.fixture
def wheel_kernel(tmp_path, lab):
    """A kernel with the wheel, and everything else from the environment that tests; its name."""
    pip = [sys.executable, "-m", "pip", "-q", "--disable-pip-version-check"]
    subprocess.run([*pip, "wheel", "--no-deps", "-w", str(tmp_path), str(ROOT)], check=True)
    (wheel,) = tmp_path.glob("nbrpc-*.whl")
    folder = tmp_path / "venv"
    venv.create(folder)
    paths = sysconfig.get_paths(vars={"base": str(folder), "platbase": str(folder)})
    python = Path(paths["scripts"]) / "python"
    install = ["--python", str(python), "install", "--no-deps", str(wheel)]
    subprocess.run([*pip, *install], check=True)
    Path(paths["purelib"], "others.pth").write_text(sysconfig.get_paths()["purelib"], "utf-8")
    spec = {
        "argv": [str(python), "-m", "ipykernel_launcher", "-f", "{connection_file}"],
        "display_name": "Wheel",
        "language": "python",
        "env": {"PYTHONPATH": ""},
    }
    kernels = lab.notebooks.parent / "data" / "kernels" / "wheel"
    kernels.mkdir(parents=True)
    (kernels / "kernel.json").write_text(json.dumps(spec))
    return "wheel"


def test_every_line_as_printed(lab, chromium, browser_bench, wheel_kernel, tmp_path):
    """Each line shows in the page what a new user expects of it."""
    page = chromium.new_page()
    notebook = Notebook(page, lab, lab.write(LINES, kernel=wheel_kernel))
    cells = [notebook.run(index) for index in range(len(LINES))]
    for cell in cells:
        assert cell.locator("[data-mime-type='application/vnd.jupyter.error']").count() == 0
    assert "bench" in cells[2].locator(".nbrpc-card").inner_text()
    assert "Bench" in cells[3].locator(".jp-OutputArea-output").inner_text()
    cells[5].locator(".nbrpc-result[data-state=cancelled]").wait_for(timeout=SOON)
    cells[7].locator(".jp-OutputArea-output img").wait_for(timeout=SOON)
    cells[8].locator(".nbrpc-feed .nbrpc-feed-row").first.wait_for(timeout=LOADED)
    plot = cells[9].locator(".nbrpc-plot")
    page.wait_for_function(
        "node => Number(node.dataset.points) > 2", arg=plot.element_handle(), timeout=LOADED
    )
    cells[10].locator(".jp-OutputArea-output", has_text="too hot").first.wait_for(timeout=LOADED)
    last = cells[12].locator(".jp-OutputArea-output").inner_text()
    assert str(tmp_path) in last
    assert "(2049,)" in last
    assert notebook.errors == []
    page.close()
