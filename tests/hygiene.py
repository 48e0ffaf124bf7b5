"""What the source of nbrpc must not do, each rule a function from a parsed file to its breaches.

A breach is a line number and what is wrong. Where a rule has exceptions, they are listed with it.
"""

from __future__ import annotations

import ast
from collections.abc import Callable, Iterator
from pathlib import Path

ROOT = Path(__file__).parent.parent / "nbrpc"

Breach = tuple[int, str]


class Source:
    """A file of the package, parsed.

    Attributes
    ----------
    name
        Its path within the package.
    """

    def __init__(self, name: str, text: str) -> None:
        self.name = name
        self.tree = ast.parse(text)
        self.lines = text.splitlines()

    def calls(self) -> Iterator[tuple[ast.Call, str]]:
        """Give each call with the dotted name of what is called; "?" stands for the rest."""
        for node in ast.walk(self.tree):
            if isinstance(node, ast.Call):
                yield node, dotted(node.func)


def dotted(node: ast.AST) -> str:
    """Give a name as it is written: ``time.time``; "?" for what is none."""
    if isinstance(node, ast.Name):
        return node.id
    if isinstance(node, ast.Attribute):
        return f"{dotted(node.value)}.{node.attr}"
    return "?"


def imports(source: Source) -> Iterator[tuple[int, str]]:
    """Give the modules that a file imports."""
    for node in ast.walk(source.tree):
        if isinstance(node, ast.Import):
            yield from ((node.lineno, alias.name) for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            yield node.lineno, node.module or ""
            yield from ((node.lineno, f"{node.module}.{alias.name}") for alias in node.names)


SERIALIZERS = {"pickle", "_pickle", "cPickle", "marshal", "shelve", "dill", "cloudpickle", "dbm"}

PICKLES = {
    "session/rpyc/copying.py": "RPyC's obtain, where both sides have set allow_pickle",
    "session/rpyc/operations.py": "the same, for an RPyC peer that may run code anyway",
}


def no_pickle(source: Source) -> Iterator[Breach]:
    """Nothing that runs what it reads is imported."""
    for line, module in imports(source):
        if module.partition(".")[0] in SERIALIZERS and source.name not in PICKLES:
            yield line, f"imports {module}"


RUNS_CODE = {
    "classic/on_peer.py": "classic mode: runs on a peer that allows code",
    "server/cells.py": "remote cells",
    "session/code.py": "eval, exec and cells of a peer that has the right",
    "session/rpyc/classic.py": "what a classic client finds as root",
    "session/rpyc/copying.py": "the helpers that a classic server is sent",
    "session/rpyc/peer_shell.py": "remote cells on a classic server",
    "compat/service.py": "RPyC's classic services",
    "notebook/handlers.py": "cells of the user, run for events",
}

RUNNERS = {"eval", "exec", "compile", "__import__"}


def no_code(source: Source) -> Iterator[Breach]:
    """Only modules that run code by right evaluate, execute or compile."""
    for node, name in source.calls():
        if name.removeprefix("builtins.") in RUNNERS and source.name not in RUNS_CODE:
            yield node.lineno, f"calls {name}"


TELLS_THE_TIME = {
    "server/sessions.py": "when a session was made, for people",
    "server/kept_cells.py": "when a cell was run, for people",
    "widgets/event_source.py": "when an event came, on the axis of a plot",
    "widgets/live_plot.py": "the same",
    "widgets/result_view.py": "how old what a page shows is, which has no other clock",
    "widgets/subscription_table.py": "the same",
}


def monotonic_clock(source: Source) -> Iterator[Breach]:
    """Deadlines are of the clock that nobody sets."""
    if source.name not in TELLS_THE_TIME:
        for node in ast.walk(source.tree):
            if isinstance(node, ast.Attribute) and dotted(node) in {"time.time", "time.time_ns"}:
                yield node.lineno, f"reads {dotted(node)}"
    for line, module in imports(source):
        if module == "time.time":
            yield line, "imports time from time"


def no_silent_except(source: Source) -> Iterator[Breach]:
    """Nothing catches everything without a name, or passes over all errors without a reason."""
    for node in ast.walk(source.tree):
        if not isinstance(node, ast.ExceptHandler):
            continue
        if node.type is None:
            yield node.lineno, "a bare except"
        elif dotted(node.type) in {"Exception", "BaseException"}:
            last = node.body[-1]
            silent = all(isinstance(part, ast.Pass | ast.Continue) for part in node.body)
            text = source.lines[node.lineno - 1 : last.end_lineno]
            if silent and not any("#" in line for line in text):
                yield node.lineno, f"passes over every {dotted(node.type)} and does not say why"


IN_FINALIZERS = {
    "acquire", "send", "sendall", "recv", "write", "flush", "wait", "join", "print", "open",
    "request", "result", "read", "unlink", "shutdown", "lock", "put",
}  # fmt: skip
"""What a finalizer must not call: it may run in any thread, which may hold any lock."""


def quiet_finalizers(source: Source) -> Iterator[Breach]:
    """``__del__`` does no I/O and takes no lock."""
    for node in ast.walk(source.tree):
        if not isinstance(node, ast.FunctionDef) or node.name != "__del__":
            continue
        for part in ast.walk(node):
            if isinstance(part, ast.With | ast.AsyncWith):
                yield part.lineno, "a finalizer enters a context, which may be a lock"
            elif isinstance(part, ast.Call):
                called = dotted(part.func)
                if called.rpartition(".")[2] in IN_FINALIZERS or called.startswith("log."):
                    yield part.lineno, f"a finalizer calls {called}"


TEMPLATES = {"reach/failures.py": "sentences of tables that are written there"}


def constant_templates(source: Source) -> Iterator[Breach]:
    """Templates are constants: ``format`` of a text from the wire would walk attributes."""
    if source.name in TEMPLATES:
        return
    for node, name in source.calls():
        method = name.rpartition(".")[2] if isinstance(node.func, ast.Attribute) else ""
        if method == "format_map":
            yield node.lineno, "calls format_map"
        elif method == "format" and name not in NO_TEMPLATES and (node.args or node.keywords):
            yield from _unless_constant(node.func.value, f"{name} of a template")
    for node in ast.walk(source.tree):
        several = isinstance(node, ast.BinOp) and isinstance(node.right, ast.Tuple | ast.Dict)
        if several and isinstance(node.op, ast.Mod):
            yield from _unless_constant(node.left, "% of a template")


def _unless_constant(node: ast.expr, what: str) -> Iterator[Breach]:
    if not _is_constant(node):
        yield node.lineno, f"{what} that is no constant"


NO_TEMPLATES = {
    "msgspec.json.format",
    "self._ipython.display_formatter.format",
    "shell.display_formatter.format",
}
"""What is called so and takes no template."""


def _is_constant(node: ast.AST) -> bool:
    """Whether this is a text as it is written here, or a constant or its item by its name."""
    if isinstance(node, ast.Subscript):
        return _is_constant(node.value)
    if isinstance(node, ast.Constant):
        return isinstance(node.value, str | bytes)
    return dotted(node).rpartition(".")[2].isupper()


SHELLS = {"os.system", "os.popen", "subprocess.getoutput", "subprocess.getstatusoutput"}


def no_shell(source: Source) -> Iterator[Breach]:
    """No shell reads what is started."""
    for node, name in source.calls():
        if name in SHELLS:
            yield node.lineno, f"calls {name}"
        for keyword in node.keywords:
            false = isinstance(keyword.value, ast.Constant) and keyword.value.value is False
            if keyword.arg == "shell" and not false:
                yield node.lineno, "starts a shell"


REFLECTION = {"getattr", "setattr", "delattr", "hasattr"}
HEARS_PEERS = ("protocol/", "objects/", "session/", "server/", "compat/registry.py")

CHOSEN_HERE = {
    "compat/registry.py:RegistryServer.answer": "one of three commands, which `_checked` knows",
    "objects/access.py:Policy.read": "the policy, which has decided by then",
    "objects/access.py:Policy.method": "likewise",
    "objects/access.py:Policy.write": "likewise",
    "objects/access.py:Policy.delete": "likewise",
    "objects/error_data.py:_set_builtin": "the fixed attributes of exceptions",
    "objects/exposure.py:Restricted": "a restricted view, which has looked among its names",
    "objects/foreign.py:_handed_on": "one of the names that are written there, of a copy",
    "objects/foreign.py:_universal": "a method of a function of numpy, which asks by it",
    "objects/glimpses.py:_is_numpy": "a class of numpy, by a name of ours",
    "objects/mimicry.py:_of_library": "a class of pandas, by a name of ours",
    "objects/mimicry.py:of_table": "what pandas here reads of a copy",
    "objects/named_proxies.py:_part": "one of the names that are written there, of a path",
    "objects/operations.py:describe": "the fields of a struct of ours",
    "objects/operators.py:_functions": "operators, whose names are written there",
    "objects/proxy.py:Member": "a name that local code has asked for",
    "objects/proxy.py:Proxy.__getattr__": "the same, for the class of proxies",
    "objects/kinds/elements.py:is_scalar": "what a module calls its class",
    "objects/kinds/frame_arrays.py": "classes of pandas from a closed table",
    "objects/kinds/frame_values.py:_offset_kinds": "the same, and parameters of its offsets",
    "objects/kinds/frame_values.py:_simple_dtype": "the same",
    "objects/kinds/frames.py:load": "the same",
    "objects/kinds/sparse.py:load": "classes of scipy from a closed table",
    "objects/records.py:Record.__eq__": "the fields of a record of ours",
    "objects/records.py:_entries": "the fields of a copied record, which were checked",
    "objects/records.py:apart": "the fields that a class of this side declares",
    "objects/values.py:fields_of": "the fields of a registered class",
    "objects/values.py:box_scalar": "what a module calls its class",
    "protocol/machine.py:Protocol.__init__": "the limits that are told",
    "server/compat.py:_renew_streams": "sys.stdout and its kin",
    "server/output.py:RoutedInput.__getattr__": "what a stream in the place of another passes on",
    "server/output.py:RoutedStream.__getattr__": "the same",
    "session/events.py:_subscribe": "an event of the class, which was found without reading it",
    "session/lookup.py:_find": "a builtin that the user asks about",
    "session/rpyc/boxing.py:describe_builtin": "special methods of builtin classes",
    "session/rpyc/peer_shell.py": "runs on the peer",
    "session/rpyc/session.py:RpycSession.describe_failure": "fixed attributes of a SyntaxError",
    "session/streams.py:_Arrival": "what an iterator in the place of another passes on",
    "session/waiting.py:_Bounded": "what a dispatcher in the place of another passes on",
}
"""The functions, classes or files where a computed name is known not to be a peer's, and why."""


def within(node: ast.AST, place: str) -> Iterator[tuple[ast.AST, str]]:
    """Give all that is below a node, with the class and function that it stands in."""
    for child in ast.iter_child_nodes(node):
        named = isinstance(child, ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef)
        inner = f"{place}.{child.name}".lstrip(".") if named else place
        yield child, inner
        yield from within(child, inner)


def names_through_the_policy(source: Source) -> Iterator[Breach]:
    """Where peers are heard, names that are no constants are read by the policy."""
    if not source.name.startswith(HEARS_PEERS):
        return
    for node, place in within(source.tree, ""):
        if not isinstance(node, ast.Call) or len(node.args) < 2:
            continue
        name = dotted(node.func)
        reflects = name.removeprefix("builtins.") in REFLECTION
        cls, whole = f"{source.name}:{place.partition('.')[0]}", f"{source.name}:{place}"
        known = any(where in CHOSEN_HERE for where in (source.name, cls, whole))
        if reflects and not known and not _is_constant(node.args[1]):
            yield node.lineno, f"{name} with {ast.unparse(node.args[1])}"


RULES: tuple[Callable[[Source], Iterator[Breach]], ...] = (
    no_pickle,
    no_code,
    monotonic_clock,
    no_silent_except,
    quiet_finalizers,
    constant_templates,
    no_shell,
    names_through_the_policy,
)

EXCEPTIONS = {
    no_pickle: PICKLES,
    no_code: RUNS_CODE,
    monotonic_clock: TELLS_THE_TIME,
    constant_templates: TEMPLATES,
    names_through_the_policy: CHOSEN_HERE,
}
"""Where a rule does not hold, by file, or by what is in one; each has to need it."""


def breaches() -> list[str]:
    """Give every breach of every rule, as ``file:line: what``."""
    found = []
    for path in sorted(ROOT.rglob("*.py")):
        source = Source(str(path.relative_to(ROOT)), path.read_text(encoding="utf-8"))
        for rule in RULES:
            found += [f"{source.name}:{line}: {what}" for line, what in rule(source)]
    return found
