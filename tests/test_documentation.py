"""The documentation is true: its examples run, its links lead somewhere, no file is missing.

Blocks of one page run in order. ``python`` is a program in one namespace (one that begins with a
file name is written as that file), ``pycon`` is compared as doctest does, ``python notebook`` is a
cell of one real kernel, and ``console`` starts servers and compares what other commands print.
Programs run in processes of their own: one of which a page shows what it prints is waited for, any
other is a server.
"""

from __future__ import annotations

import ast
import asyncio
import contextlib
import doctest
import importlib
import io
import os
import re
import socket
import subprocess
import sys
from dataclasses import dataclass
from fnmatch import fnmatchcase
from pathlib import Path

import pytest

import nbrpc
from nbrpc import connection_file
from nbrpc.compat.left_out import LEFT_OUT
from nbrpc.compat.table import MODULES
from tests.support import Served, eventually, start_server

ROOT = Path(__file__).parent.parent
PAGES = [
    ROOT / "README.md",
    ROOT / "SECURITY.md",
    *sorted((ROOT / "docs").glob("*.md")),
    ROOT / "nbrpc/ARCHITECTURE.md",
]
WITH_EXAMPLES = [
    page
    for page in PAGES
    if re.search("^```(python|pycon|console)", page.read_text(), re.MULTILINE)
]

FENCE = re.compile(r"^```(?P<kind>[^\n]*)\n(?P<body>.*?)^```$", re.MULTILINE | re.DOTALL)
FILE = re.compile(r"# (\w+\.py)\n")
PORT = re.compile(r"nbrpc://127\.0\.0\.1:(\d+)")
PRINTED = re.compile(r"^\s*print\(.*\)\s+# ([^:\n]+)", re.MULTILINE)
BIN = Path(sys.executable).parent
FLAGS = doctest.ELLIPSIS | doctest.NORMALIZE_WHITESPACE | doctest.IGNORE_EXCEPTION_DETAIL


@dataclass
class Block:
    """One fenced block of a page."""

    page: Path
    line: int
    kind: str
    body: str

    @property
    def name(self) -> str:
        """Where it stands, for tracebacks."""
        return f"{self.page.name}:{self.line}"


def blocks_of(page: Path) -> list[Block]:
    """Every fenced block of a page, in order."""
    text = page.read_text(encoding="utf-8")
    return [
        Block(page, text.count("\n", 0, match.start()) + 2, match["kind"].strip(), match["body"])
        for match in FENCE.finditer(text)
    ]


class Reader:
    """Does what a page says, in a folder of its own."""

    def __init__(self, folder: Path, output: Path) -> None:
        self.folder = folder
        self.output = output
        self.names: dict[str, object] = {"__name__": "__main__"}
        self.ports: dict[str, str] = {}
        self.servers: list[Served] = []
        self.cells: list[Block] = []

    def read(self, block: Block) -> None:
        """Do what one block says."""
        kind = block.kind.partition(" ")[0]
        if block.kind == "python notebook":
            self.cells.append(block)
        elif kind == "python" and (file := FILE.match(block.body)):
            (self.folder / file[1]).write_text(self.adapted(block.body), encoding="utf-8")
        elif kind == "python":
            self.run(block)
        elif kind == "pycon":
            self.compare(block)
        elif kind == "console":
            for command in re.split(r"^\$ ", block.body, flags=re.MULTILINE)[1:]:
                self.type(block, *command.split("\n", 1))

    def adapted(self, source: str) -> str:
        """Put the ports that servers got here in the place of those that a page names."""
        for named, actual in self.ports.items():
            source = source.replace(named, actual)
        classic = self.ports.get("18812")
        if classic:
            source = source.replace(
                'classic.connect("localhost")', f'classic.connect("localhost", {classic})'
            )
        return source

    def run(self, block: Block) -> None:
        """Execute a program; what it says that it prints, it must print."""
        tree = ast.increment_lineno(ast.parse(self.adapted(block.body)), block.line - 1)
        with contextlib.redirect_stdout(io.StringIO()) as printed:
            exec(compile(tree, str(block.page), "exec"), self.names)
        lines = printed.getvalue().splitlines()
        for promised in PRINTED.findall(block.body):
            assert promised.strip() in lines, (
                f"{block.name} promises {promised!r} and prints {lines}"
            )

    def compare(self, block: Block) -> None:
        """Compare what Python answers with what a page shows."""
        body = self.adapted(block.body)
        example = doctest.DocTestParser().get_doctest(
            body, {}, block.name, str(block.page), block.line - 1
        )
        example.globs = self.names
        told = io.StringIO()
        failed, _ = doctest.DocTestRunner(optionflags=FLAGS).run(
            example, out=told.write, clear_globs=False
        )
        assert not failed, told.getvalue()

    def type(self, block: Block, command: str, shown: str) -> None:
        """Type a command: a server goes on in the background, anything else is waited for."""
        words = command.split()
        if words[:2] == ["nbrpc", "serve"]:
            server = start_server(
                self.output / f"{block.line}.txt", *words[2:], "--port", "0", folder=self.folder
            )
            self.started(block, server, shown)
        elif words[0] == "nbrpc-classic":
            server = self.start("-m", "nbrpc.compat.commands", *words[1:], "--port", "0")
            server.wait_url()
            self.started(block, server, shown)
        elif words[0] == "rpyc_classic":
            self.start_of_rpyc(words[words.index("--port") + 1], str(BIN / words[0]), *words[1:])
        elif words[0] == "python" and not shown.strip():
            self.start_program(words[1])
        else:
            program = ["-m", *words]
            if words[0] == "python":
                program = words[1:]
                path = self.folder / words[1]  # its servers were started after it was written
                path.write_text(self.adapted(path.read_text(encoding="utf-8")), encoding="utf-8")
            done = subprocess.run(
                [sys.executable, *program],
                cwd=self.folder,
                capture_output=True,
                text=True,
                timeout=30,
                check=True,
            )
            self.check(block, shown, done.stdout)

    def started(self, block: Block, server: Served, shown: str) -> None:
        """Note where a server is, and compare what it printed with what the page shows."""
        if server not in self.servers:
            self.servers.append(server)
        named, actual = PORT.search(shown), PORT.search(server.url)
        assert named, f"{block.name} does not show the URL that is printed"
        self.ports[named[1]] = actual[1]
        self.check(block, shown, server.printed)

    def start(self, *arguments: str) -> Served:
        """Start a Python that serves."""
        output = self.output / f"{len(self.servers)}.txt"
        with output.open("wb") as stream:
            process = subprocess.Popen(
                [sys.executable, *arguments],
                cwd=self.folder,
                stdin=subprocess.DEVNULL,
                stdout=stream,
                stderr=subprocess.STDOUT,
            )
        self.servers.append(Served(process, output))
        return self.servers[-1]

    def start_program(self, file: str) -> None:
        """Run a program that serves, on another port than it names."""
        path = self.folder / file
        source = path.read_text(encoding="utf-8")
        (named,) = re.findall(r"port=(\d+)", source)
        if re.search(r"^import nbrpc$", source, re.MULTILINE) is None:
            self.start_of_rpyc(named, file)
            return
        path.write_text(source.replace(f"port={named}", "port=0"), encoding="utf-8")
        served = self.start(file)

        def found() -> connection_file.ServerInfo | None:
            return next(
                (info for info in connection_file.running() if info.pid == served.pid), None
            )

        self.ports[named] = str(eventually(found, 20.0, f"{file} serves").port)

    def start_of_rpyc(self, named: str, *command: str) -> None:
        """Start a server of RPyC, which does not tell its port: on one that is free."""
        with socket.create_server(("127.0.0.1", 0)) as free:
            port = free.getsockname()[1]
        program = self.folder / command[0]
        if program.parent == self.folder:
            source = program.read_text(encoding="utf-8")
            program.write_text(source.replace(f"port={named}", f"port={port}"), encoding="utf-8")
        served = self.start(*(str(port) if word == named else word for word in command))

        def listens() -> bool:
            assert served.process.poll() is None, served.printed
            with socket.socket() as probe:
                return probe.connect_ex(("127.0.0.1", port)) == 0

        eventually(listens, 20.0, f"{command[0]} serves")
        self.ports[named] = str(port)

    def check(self, block: Block, shown: str, printed: str) -> None:
        """Compare what a command printed with what the page shows, but for ports."""
        for named, actual in self.ports.items():
            printed = printed.replace(actual, named)
        same = doctest.OutputChecker().check_output(shown, printed, FLAGS)
        assert same, f"{block.name} shows\n{shown}and what is printed is\n{printed}"

    def run_cells(self) -> None:
        """Run the cells of the page in a kernel."""
        if not self.cells:
            return
        import nbclient
        import nbformat

        notebook = nbformat.v4.new_notebook()
        notebook.cells = [nbformat.v4.new_code_cell(self.adapted(cell.body)) for cell in self.cells]
        client = nbclient.NotebookClient(
            notebook,
            timeout=30,
            kernel_name="python3",
            resources={"metadata": {"path": str(self.folder)}},
        )
        asyncio.run(client.async_execute())

    def close(self) -> None:
        """End what was started."""
        for name in ("conn", "c", "server"):
            close = getattr(self.names.get(name), "close", None)
            if close is not None:
                close()
        for server in self.servers:
            server.stop()


@pytest.fixture
def reader(runtime_dir, tmp_path, tmp_path_factory, monkeypatch):
    """Somebody who follows a page in an empty folder, from which modules can be imported."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(str(tmp_path))
    modules = set(sys.modules)
    someone = Reader(tmp_path, tmp_path_factory.mktemp("output"))
    yield someone
    someone.close()
    for name in set(sys.modules) - modules:
        if (tmp_path / f"{name}.py").exists():
            del sys.modules[name]


@pytest.mark.kernel
@pytest.mark.parametrize("page", WITH_EXAMPLES, ids=lambda page: page.name)
def test_the_examples_of_a_page_do_what_it_says(page, reader):
    """Whoever follows a page from its beginning gets what it shows."""
    for block in blocks_of(page):
        reader.read(block)
    reader.run_cells()


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_links_and_names_lead_somewhere(page):
    """Links within the project lead to files and headings, and ``nbrpc.name`` exists."""
    text = page.read_text(encoding="utf-8")
    for target in re.findall(r"\]\(([^)\s]+)\)", text):
        if "://" in target:
            continue
        file, _, heading = target.partition("#")
        linked = (page.parent / file).resolve() if file else page
        assert linked.exists(), f"{page.name} links to {target}"
        if heading:
            headings = re.findall(r"^#+ (.+)$", linked.read_text(encoding="utf-8"), re.MULTILINE)
            assert heading in [
                re.sub(r"[^\w -]", "", line).lower().replace(" ", "-") for line in headings
            ]
    for name in set(re.findall(r"`nbrpc\.([A-Za-z_]\w*)", text)):
        assert (
            hasattr(nbrpc, name)
            or (ROOT / "nbrpc" / name).exists()
            or (ROOT / f"nbrpc/{name}.py").exists()
            or (page.name == "wire.md" and name in {"class", "member"})  # kinds of values there
        ), f"{page.name} names nbrpc.{name}"


LIMIT = re.compile(r"^\| `(\w+)\.(\w+)` \| ([\d,]+|none)(?: (KiB|MiB|GiB|s))? \|", re.MULTILINE)
UNITS = {"": 1, "s": 1, "KiB": 2**10, "MiB": 2**20, "GiB": 2**30}


def test_the_threat_model_tells_the_limits():
    """Its table has every limit and time there is, with the value that holds unless told."""
    page = (ROOT / "docs/trust.md").read_text(encoding="utf-8")
    told = {
        f"{cls}.{name}": None if value == "none" else int(value.replace(",", "")) * UNITS[unit]
        for cls, name, value, unit in LIMIT.findall(page)
    }
    actual = {
        f"{type(made).__name__}.{name}": getattr(made, name)
        for made in (nbrpc.Limits(), nbrpc.Timing())
        for name in made.__dataclass_fields__
    }
    assert told == actual


def test_the_threat_model_names_tests_that_are_there():
    """Each attack and fault has a test, and each test that is named is one."""
    page = (ROOT / "docs/trust.md").read_text(encoding="utf-8")
    named = re.findall(r"`(tests/[\w/]+\.py)::(?:(\w+)::)?(test_\w+)`", page)
    assert len(named) >= 40
    for file, cls, test in named:
        tree = ast.parse((ROOT / file).read_text(encoding="utf-8"))
        found = [node for node in tree.body if getattr(node, "name", "") == cls] if cls else [tree]
        assert found, f"{file} has no {cls}"
        functions = [node.name for node in found[0].body if isinstance(node, ast.FunctionDef)]
        assert test in functions, f"{file} has no {test}"
    for section in ("Attacks", "Faults"):
        table = page.partition(f"\n## {section}\n")[2].partition("\n## ")[0]
        rows = [line for line in table.splitlines() if line.startswith("|")][2:]
        assert rows
        for row in rows:
            assert "`tests/" in row or "**" in row, f"nothing shows: {row}"


ROW = re.compile(r"^\| (`rpyc.+?) \| (.+?) \|$", re.MULTILINE)


def test_the_guide_names_all_that_is_left_out():
    """The guide's table has each name of RPyC that is left out with its sentence, and no other."""
    guide = (ROOT / "docs/rpyc.md").read_text(encoding="utf-8")
    section = guide.partition("\n## What is left out\n")[2].partition("\n## ")[0]
    shown: dict[str, str] = {}
    for names, sentence in ROW.findall(section):
        for group in names.split("; "):
            module, *patterns = re.findall(r"`([^`]+)`", group)
            for pattern in patterns:
                paths = [path for path in LEFT_OUT if fnmatchcase(path, f"{module}.{pattern}")]
                assert paths, f"the guide leaves out {module}.{pattern}, and nbrpc does not"
                shown |= dict.fromkeys(paths, sentence)
                there = [name for name in MODULES.get(module, ()) if fnmatchcase(name, pattern)]
                refused = [name for name in there if f"{module}.{name}" in LEFT_OUT]
                assert there == refused, f"the guide leaves out {module}.{pattern}"
    assert shown == LEFT_OUT


def test_the_tour_names_every_file():
    """The architecture's list of files has each file of the package, and none that is gone."""
    blocks = blocks_of(ROOT / "nbrpc/ARCHITECTURE.md")
    listing = next(block.body for block in blocks if "__main__.py" in block.body)
    named, folder = set(), ""
    for line in listing.splitlines():
        if match := re.match(r"((?:\w+/)+)\s", line + " "):
            folder = match[1]
        elif match := re.match(r"( *)(\w+\.py)\s", line):
            named.add((folder if match[1] else "") + match[2])
    there = {
        str(path.relative_to(ROOT / "nbrpc"))
        for path in (ROOT / "nbrpc").rglob("*.py")
        if path.name not in ("__init__.py", "__main__.py") or path.parent.name == "nbrpc"
    }
    assert named == there


def modules_with_examples() -> list[str]:
    """Every module of the package with an example in a docstring."""
    return [
        str(path.relative_to(ROOT).with_suffix("")).replace(os.sep, ".").removesuffix(".__init__")
        for path in sorted((ROOT / "nbrpc").rglob("*.py"))
        if ">>> " in path.read_text(encoding="utf-8")
    ]


@pytest.mark.parametrize("module", modules_with_examples())
def test_the_examples_of_docstrings_run(module):
    """Examples in docstrings run and give what they show."""
    failed, tried = doctest.testmod(
        importlib.import_module(module), optionflags=FLAGS, extraglobs={"nbrpc": nbrpc}
    )
    assert tried
    assert not failed
