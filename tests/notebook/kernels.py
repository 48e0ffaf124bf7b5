"""A real ipykernel, driven over its own protocol as a front end drives it."""

from __future__ import annotations

import os
import queue
import re
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from jupyter_client.manager import start_new_kernel

ROOT = Path(__file__).resolve().parent.parent.parent
ANSI = re.compile(r"\x1b\[[0-9;]*m")


@dataclass
class Cell:
    """What one execute_request gave; messages that come later are added to it."""

    source: str
    msg_id: str
    started: float
    outputs: list[dict[str, Any]] = field(default_factory=list)
    reply: dict[str, Any] = field(default_factory=dict)
    idle: float = 0.0

    @property
    def seconds(self) -> float:
        """How long it ran."""
        return self.idle - self.started

    def of(self, kind: str) -> list[dict[str, Any]]:
        """Contents of the messages of a kind."""
        return [message["content"] for message in self.outputs if message["msg_type"] == kind]

    def text(self, name: str = "stdout") -> str:
        """What was printed."""
        return "".join(content["text"] for content in self.of("stream") if content["name"] == name)

    @property
    def value(self) -> str:
        """The text of Out."""
        (content,) = self.of("execute_result")
        return content["data"]["text/plain"]

    @property
    def traceback(self) -> str:
        """The traceback, without colours."""
        return ANSI.sub("", "\n".join(self.reply["traceback"]))

    @property
    def shown(self) -> list[dict[str, Any]]:
        """Displays, each as it was last updated."""
        displays: dict[str, dict[str, Any]] = {}
        for message in self.outputs:
            if message["msg_type"] == "display_data":
                identity = message["content"].get("transient", {}).get("display_id")
                displays[identity or str(len(displays))] = message["content"]["data"]
        return list(displays.values())


class Kernel:
    """One kernel process."""

    def __init__(self, folder: Path, environment: dict[str, str]) -> None:
        folders = {
            name: str(folder / name)
            for name in ("JUPYTER_CONFIG_DIR", "JUPYTER_RUNTIME_DIR", "IPYTHONDIR", "HOME")
        }
        for path in folders.values():
            Path(path).mkdir(parents=True, exist_ok=True)
        self.manager, self.client = start_new_kernel(
            kernel_name="python3",
            env={**os.environ, "PYTHONPATH": str(ROOT), **folders, **environment},
            cwd=str(folder),
        )
        self.cells: dict[str, Cell] = {}
        self.displays: dict[str, dict[str, Any]] = {}
        """What every display shows now, by its id."""
        self.strays: list[dict[str, Any]] = []
        """Messages that belong to no cell."""

    def start(self, source: str) -> Cell:
        """Send a cell."""
        message = self.client.session.msg(
            "execute_request",
            {
                "code": source,
                "silent": False,
                "store_history": True,
                "user_expressions": {},
                "allow_stdin": False,
                "stop_on_error": True,
            },
            metadata={"cellId": re.sub(r"\W", "", source)[:40]},
        )
        self.client.shell_channel.send(message)
        msg_id = message["header"]["msg_id"]
        cell = self.cells[msg_id] = Cell(source, msg_id, time.monotonic())
        return cell

    def read(self, seconds: float = 0.05) -> bool:
        """Take one message of the kernel, waiting for it at most so long."""
        try:
            message = self.client.get_iopub_msg(timeout=seconds)
        except queue.Empty:
            return False
        content = message["content"]
        cell = self.cells.get(message["parent_header"].get("msg_id", ""))
        if message["msg_type"] == "status":
            if cell is not None and content["execution_state"] == "idle":
                cell.idle = time.monotonic()
            return True
        if message["msg_type"] in ("display_data", "update_display_data"):
            identity = content.get("transient", {}).get("display_id")
            if identity:
                self.displays[identity] = content["data"]
        if cell is None:
            self.strays.append(message)
        elif message["msg_type"] != "execute_input":
            cell.outputs.append(message)
        return True

    def read_until(self, condition, timeout: float = 20.0) -> None:
        """Take messages until the condition holds."""
        deadline = time.monotonic() + timeout
        while not condition():
            if time.monotonic() > deadline:
                cells = [(cell.source, cell.outputs) for cell in self.cells.values()][-2:]
                raise AssertionError(f"not within {timeout:g} s; the last cells gave {cells}")
            self.read()

    def settle(self, seconds: float = 0.3) -> None:
        """Take messages until none came for so long."""
        while self.read(seconds):
            pass

    def finish(self, cell: Cell, timeout: float = 30.0) -> Cell:
        """Wait until a cell is done."""
        self.read_until(lambda: cell.idle, timeout)
        while not cell.reply:
            message = self.client.get_shell_msg(timeout=timeout)
            answered = self.cells.get(message["parent_header"].get("msg_id", ""))
            if answered is not None:
                answered.reply = message["content"]
        return cell

    def run(self, source: str, timeout: float = 30.0) -> Cell:
        """Run a cell to its end."""
        return self.finish(self.start(source), timeout)

    def ok(self, source: str, timeout: float = 30.0) -> Cell:
        """Run a cell that must succeed."""
        cell = self.run(source, timeout)
        assert cell.reply["status"] == "ok", cell.traceback
        return cell

    def interrupt(self) -> None:
        """Stop, as the button does."""
        self.manager.interrupt_kernel()

    def stop(self) -> None:
        """End the process."""
        self.client.stop_channels()
        self.manager.shutdown_kernel(now=True)
        self.manager.cleanup_resources()
