"""Hostile servers: what a trap is, who walks into it, and how one sees that it has closed.

A trap is a server that answers as it likes, and something that a user does with what it serves. It
closes when the client's process ends, raises what no ``except Exception`` sees, runs code, grows,
hangs, or shows what a terminal or a page would obey.
"""

from __future__ import annotations

import contextlib
import json
import re
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any

from nbrpc.protocol import messages
from nbrpc.protocol.messages import Kind, Operation
from tests.hostile.attacks import MEGABYTE, ROOT
from tests.hostile.native import Native, box, description, native_server, reference
from tests.session.rpyc import raw as rpyc

__all__ = ["TRAPS", "Prey", "Raises", "Raw", "Trap", "prey", "spring", "trap"]

USUAL_BUDGET = 48 * MEGABYTE
"""Bytes by which a client may grow; what a user's own action takes is in it."""

LONGEST = 8.0
"""Seconds after which the user has waited too long: twice the deadline of a call, and some."""

OBEYED = re.compile(
    r"\x1b(?!\[[0-9;]*m)|[\x00-\x08\x0b\x0c\x0e-\x1a\x1c-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069]"
)
"""What a terminal obeys, but for colours."""

RUNS = re.compile(r"<script|<[^<>]*\son\w+\s*=|href=.javascript:", re.IGNORECASE)
"""What a page obeys; in HTML only, since text may say anything."""


class Raises:
    """An answer that is an exception."""

    def __init__(self, name: str, *args: Any, text: str = "text", **fields: Any) -> None:
        self.name = name
        self.args = args
        self.text = text
        self.fields = fields


class Raw:
    """An answer that is whatever a function does with the link: ``act(link, seq)``."""

    def __init__(self, act: Callable[[Any, int], None]) -> None:
        self.act = act


@dataclass(frozen=True)
class Trap:
    """One hostile server, and what a user does there.

    Attributes
    ----------
    answers
        What it says, by the name of what it is asked for; ``""`` stands for all else.
    specials, members
        What it says of its root.
    control
        Whether stock RPyC's client is known to walk into it.
    """

    name: str
    gain: str
    action: str
    answers: dict[str, Any]
    specials: tuple[str, ...] = ()
    members: dict[str, str] = field(default_factory=dict)
    doc: str = ""
    class_name: str = "evil.Root"
    control: bool = False
    budget: int = USUAL_BUDGET
    seconds: float = LONGEST


TRAPS: dict[str, Trap] = {}


def trap(name: str, gain: str, action: str, answers: dict[str, Any], **options: Any) -> None:
    """Set a trap."""
    assert name not in TRAPS, name
    TRAPS[name] = Trap(name, gain, action, answers, **options)


def asked_for(request: messages.Request) -> str:
    """Give what a request is about, as `Trap.answers` has it."""
    named = {
        Operation.REPR: "__repr__", Operation.STR: "__str__", Operation.HASH: "__hash__",
        Operation.DIR: "__dir__", Operation.NAMES: "__dir__", Operation.OBTAIN: "obtain",
        Operation.STREAM: "__iter__", Operation.DISPLAY: "display", Operation.DESCRIBE: "describe",
    }  # fmt: skip
    return named.get(Operation(request.op)) or request.name or "__call__"


def native_behaviour(one: Trap) -> Callable[[Native, Any], None]:
    """Give what a server of nbrpc's protocol does with each message."""

    def behave(link: Native, message: Any) -> None:
        if type(message) is messages.Ping:
            link.send(Kind.PONG, message.number)
        if type(message) is not messages.Request:
            return
        if message.op == Operation.ROOT and "root" not in one.answers:
            described = description(
                one.class_name, specials=one.specials, members=one.members, doc=one.doc
            )
            link.send(Kind.REPLY, message.seq, reference(1, 1, described))
            return
        key = "root" if message.op == Operation.ROOT else asked_for(message)
        answer = one.answers.get(key, one.answers.get("", Raises("AttributeError", key)))
        if isinstance(answer, Raw):
            answer.act(link, message.seq)
        elif isinstance(answer, Raises):
            fields = {"message": answer.text, "text": answer.text, **answer.fields}
            args = [box(arg) for arg in answer.args]
            link.send(Kind.FAILURE, message.seq, messages.Error(answer.name, args, **fields))
        else:
            link.send(Kind.REPLY, message.seq, box(answer))

    return behave


def rpyc_behaviour(one: Trap) -> Callable[..., Any]:
    """Give what a server of RPyC's protocol does with each message."""
    names = {
        rpyc.REPR: "__repr__", rpyc.STR: "__str__", rpyc.HASH: "__hash__", rpyc.DIR: "__dir__",
        rpyc.PICKLE: "__reduce_ex__", rpyc.BUFFITER: "__iter__", rpyc.CALL: "__call__",
    }  # fmt: skip

    def behave(link: rpyc.Raw, kind: int, seq: int, body: Any) -> bool | None:
        if kind != rpyc.REQUEST or body[0] in (rpyc.CLOSE, rpyc.DEL, rpyc.PING):
            return None
        # All arguments are boxed as one value where they can be, and each for itself otherwise.
        handler, (label, given) = body
        given = given if label == 1 else [content for _, content in given]
        if handler == rpyc.GETROOT and "root" not in one.answers:
            link.send(rpyc.REPLY, seq, rpyc.lent((one.class_name, 7, 1)))
            return True
        if handler == rpyc.INSPECT:
            methods = (*one.specials, "__call__") if given[0][1] != 7 else one.specials
            link.send(rpyc.REPLY, seq, rpyc.value(tuple((name, None) for name in methods)))
            return True
        key = names.get(handler) or given[1] if handler != rpyc.GETROOT else "root"
        answer = one.answers.get(key, one.answers.get("", Raises("AttributeError", key)))
        if handler == rpyc.GETATTR and key in one.members:
            link.send(rpyc.REPLY, seq, rpyc.lent(("builtins.function", 9, 2)))
        elif isinstance(answer, Raw):
            answer.act(link, seq)
        elif isinstance(answer, Raises):
            error = (("builtins", answer.name), answer.args, (), answer.text)
            link.send(rpyc.EXCEPTION, seq, error)
        else:
            link.send(rpyc.REPLY, seq, rpyc.value(answer))
        return True

    return behave


class Prey:
    """A client in a process of its own, which is started anew when it has ended."""

    def __init__(self, kind: str) -> None:
        self.kind = kind
        self.stock = kind == "rpyc"
        self._process: subprocess.Popen[str] | None = None

    def start(self) -> subprocess.Popen[str]:
        """Give the process, which waits for what to do."""
        if self._process is None or self._process.poll() is not None:
            self.end()
            self._process = subprocess.Popen(
                [sys.executable, "-m", "tests.hostile.prey", self.kind],
                cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL,
                text=True,
            )  # fmt: skip
            assert self._process.stdout is not None
            if self._process.stdout.readline() != "ready\n":
                raise RuntimeError("the client did not start")
        return self._process

    def live(self, port: int, action: str) -> dict[str, Any] | None:
        """Have it do something; give how that went, or None where it did not live through it."""
        process = self.start()
        assert process.stdin is not None
        assert process.stdout is not None
        process.stdin.write(json.dumps({"port": port, "action": action}) + "\n")
        process.stdin.flush()
        line = process.stdout.readline()
        return dict(json.loads(line)) if line else None

    def end(self) -> None:
        """End the process."""
        if self._process is not None:
            self._process.kill()
            self._process.communicate()


@contextlib.contextmanager
def prey(kind: str = "nbrpc") -> Iterator[Prey]:
    """Start a client to be attacked: ``nbrpc``, or ``rpyc`` for the control."""
    one = Prey(kind)
    try:
        one.start()
        yield one
    finally:
        one.end()


@contextlib.contextmanager
def serving(one: Trap, *, stock: bool) -> Iterator[int]:
    """Be the server of a trap; give its port."""
    if stock:
        with rpyc.server_of("rpyc6", rpyc_behaviour(one)) as url:
            yield int(url.rpartition(":")[2])
    else:
        with native_server(native_behaviour(one)) as port:
            yield port


def spring(one: Trap, victim: Prey) -> str:
    """Have a client walk into a trap; give what was gained, in words, or an empty text."""
    with serving(one, stock=victim.stock) as port:
        told = victim.live(port, one.action)
    if told is None:
        return "the client's process has ended"
    if told["escaped"]:
        return f"{told['raised']} passed every except Exception"
    if told["events"]:
        return f"the server had done here: {'; '.join(told['events'])}"[:300]
    if told["grown"] > one.budget:
        return f"the client grew by {told['grown'] / MEGABYTE:.0f} MB"
    if told["seconds"] > one.seconds:
        return f"the client hung for {told['seconds']:.1f} s"
    if "s3cret-of-the-prey" in told["text"] or "nothing of the user's" in told["raised"]:
        return f"the client gave {told['text'][:200]}"
    if found := OBEYED.search(told["text"]):
        return f"a terminal is told {told['text'][max(0, found.start() - 20) : found.end() + 20]!r}"
    if "text/html" in told["text"] and (found := RUNS.search(told["text"])):
        return f"a page is told {told['text'][max(0, found.start() - 40) : found.end() + 20]!r}"
    return _claimed(one, told)


def _claimed(one: Trap, told: dict[str, Any]) -> str:
    """Say what a trap has gained that is special to what the user did."""
    text, raised = told["text"], told["raised"]
    if one.action == "isinstance" and "True" in text and not one.class_name.startswith("builtins"):
        return f"isinstance says {text}"
    if one.action == "loop" and not raised and text != "1":
        return "a call ended the loop that it was in"
    if one.action in ("path", "open", "memoryview", "join", "json", "pickle") and not raised:
        return f"{one.action} took {text[:80]!r} for the user's own"
    if one.action in ("len", "hash", "index") and not raised and not text.lstrip("-").isdigit():
        return f"{one.action} gave {text[:80]!r}"
    return ""
