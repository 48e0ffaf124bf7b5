"""The kernels and servers of the notebook's tests."""

from __future__ import annotations

from tests.notebook.conftest import bench, connected, kernel, loaded, module_runtime_dir

__all__ = ["bench", "connected", "kernel", "loaded", "module_runtime_dir"]
