"""The house keeps its shape: who may import whom, what is pure, and how large things get.

Every rule is a function from a module's syntax tree to its faults, run over all modules and over a
bad sample that must be found out: a rule that finds nothing anywhere proves nothing.
"""

from __future__ import annotations

import ast
import re
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).parents[1]

LEAVES = "digests directories errands errors hop notice settings threads"
LOWER = f"{LEAVES} application ports sessions"
HOUSE = f"{LOWER} catalogs composition engine lockers protocols stores"

# A package or module of tusjumbo, what it may import from tusjumbo, and from others.
MAY_IMPORT: dict[str, tuple[str, str]] = {
    "digests": ("", "google_crc32c"),
    "directories": ("errors settings", ""),
    "errors": ("", ""),
    "notice": ("", ""),
    "errands": ("hop", "anyio"),
    "hop": ("threads", "anyio"),
    "settings": ("errors", ""),
    "threads": ("", ""),
    "sessions": ("errors", ""),
    "protocols": ("errors sessions", "http_sf"),
    "application": ("sessions", ""),
    "ports": ("digests errors application notice sessions", ""),
    "hooks": (LOWER, "anyio httpx2"),
    "assemblers": (f"{LOWER} processing", "anyio fsspec zstandard"),
    "gates": (LOWER, "jwt"),
    "engine": (LOWER, "anyio"),
    "catalogs": (LOWER, "anyio"),
    "stores": (LOWER, "anyio"),
    "lockers": (LOWER, "anyio"),
    "processing": (LOWER, ""),
    "testing": (LOWER, "anyio pytest"),
    "elephants": ("sessions", ""),
    "flask": ("application errors jumbo ports protocols web wiring", "anyio flask werkzeug"),
    "wiring": (f"{LOWER} assemblers gates hooks", ""),
    "composition": (f"{HOUSE} hooks processing wiring", "anyio"),
    "web": (f"{HOUSE} wiring", "anyio python_multipart starlette"),
    "server": (f"{LEAVES} web", "anyio httptools starlette uvicorn uvloop"),
    "cli": (f"{HOUSE} gates server web wiring", "anyio cyclopts rich starlette"),
    "__main__": ("cli", ""),
    "jumbo": (f"{HOUSE} processing wiring", "anyio"),
    "": (f"{LOWER} jumbo processing web", ""),
}

PURE = ("sessions", "protocols")
IMPURE_MODULES = """
    anyio asyncio concurrent ctypes fcntl io logging mmap multiprocessing os random secrets select
    selectors shutil signal socket ssl sqlite3 subprocess sys tempfile threading time urllib weakref
"""
IMPURE_CALLS = "input now open print read_bytes read_text stat time today utcnow"

MAX_MODULE = 450
MAX_FUNCTION = 60
UNFINISHED = re.compile(r"\b(TODO|FIXME|XXX|NotImplementedError)\b")
VAGUE = re.compile(r"(Manager|Helper|Util)s?$|(?:^|_)(manager|helper|util)s?$")


@dataclass(frozen=True)
class Module:
    name: str
    """With dots, from the package on: `tusjumbo.sessions.ids`; packages without `__init__`."""
    text: str
    is_package: bool = False

    @property
    def tree(self) -> ast.Module:
        return ast.parse(self.text)

    @property
    def room(self) -> str:
        """The first name below `tusjumbo`; empty for the package itself."""
        return self.name.partition(".")[2].partition(".")[0]


def _modules(package: str) -> Iterator[Module]:
    for path in sorted((ROOT / package).rglob("*.py")):
        parts = path.relative_to(ROOT).with_suffix("").parts
        is_package = parts[-1] == "__init__"
        yield Module(".".join(parts[: -1 if is_package else None]), path.read_text(), is_package)


def _imports(module: Module) -> Iterator[tuple[str, tuple[str, ...]]]:
    """Every imported module (`"."` and more for relative ones), with the names taken from it."""
    for node in ast.walk(module.tree):
        if isinstance(node, ast.Import):
            yield from ((alias.name, ()) for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            names = tuple(alias.name for alias in node.names)
            yield "." * node.level + (node.module or ""), names


# --- the rules -----------------------------------------------------------------------------------


def layers(module: Module) -> Iterator[str]:
    """Imports go one way, and third-party libraries stay in their rooms."""
    if module.name.partition(".")[0] != "tusjumbo":
        return
    if module.room not in MAY_IMPORT:
        yield f"{module.room} has no line in the table"
        return
    ours, others = (set(text.split()) for text in MAY_IMPORT[module.room])
    for name, taken in _imports(module):
        top, _, below = name.partition(".")
        if name.startswith("."):
            yield f"relative import {name}"
        elif top == "tusjumbo":
            rooms = [below.partition(".")[0]] if below else list(taken)
            yield from (f"imports {room}" for room in rooms if room not in ours | {module.room})
        elif top not in sys.stdlib_module_names and top not in others:
            yield f"imports {top}"


def purity(module: Module) -> Iterator[str]:
    """No waiting, no input or output, no clock, no chance."""
    if module.room not in PURE:
        return
    for name, _ in _imports(module):
        if name.partition(".")[0] in IMPURE_MODULES.split():
            yield f"imports {name}"
    for node in ast.walk(module.tree):
        if isinstance(node, ast.AsyncFunctionDef | ast.Await | ast.AsyncFor | ast.AsyncWith):
            yield f"line {node.lineno} is async"
        elif isinstance(node, ast.Call):
            called = node.func
            name = (
                called.id
                if isinstance(called, ast.Name)
                else called.attr
                if isinstance(called, ast.Attribute)
                else ""
            )
            if name in IMPURE_CALLS.split():
                yield f"line {node.lineno} calls {name}"


def independence(module: Module) -> Iterator[str]:
    """The conformance suite knows nothing of this server, and needs little to be run."""
    if module.name.partition(".")[0] == "conformance":
        known = {"conformance", "h11", *sys.stdlib_module_names}
        yield from (
            f"imports {name}" for name, _ in _imports(module) if name.split(".")[0] not in known
        )


def _top_level(tree: ast.Module) -> Iterator[ast.stmt]:
    """What stands at the top, also what only type checkers see."""
    for node in tree.body:
        yield from node.body if isinstance(node, ast.If) else [node]


def _all_of(text: str) -> list[str]:
    space: dict[str, Any] = {"__name__": "sample"}
    exec(text, space)  # it may be computed
    return list(space["__all__"])


def exports(module: Module) -> Iterator[str]:
    """`__all__` is there where a package gives names to others, and says what is there."""
    bound: set[str] = set()
    tools: set[str] = set()
    stated: list[str] | None = None
    for node in _top_level(module.tree):
        match node:
            case ast.Import() | ast.ImportFrom():
                of = node.module if isinstance(node, ast.ImportFrom) else node.names[0].name
                is_tool = str(of).partition(".")[0] in sys.stdlib_module_names
                imported = {alias.asname or alias.name.split(".")[0] for alias in node.names}
                (tools if is_tool else bound).update(imported)
            case ast.FunctionDef() | ast.AsyncFunctionDef() | ast.ClassDef():
                bound.add(node.name)
            case ast.Assign(targets=[ast.Name("__all__")]):
                stated = _all_of(module.text)
            case ast.Assign() | ast.AnnAssign():
                targets = node.targets if isinstance(node, ast.Assign) else [node.target]
                bound |= {target.id for target in targets if isinstance(target, ast.Name)}
    public = {name for name in bound if not name.startswith("_")}
    if stated is not None:
        there = bound | tools
        yield from (f"__all__ has {name}, the module has not" for name in set(stated) - there)
        if len(stated) != len(set(stated)):
            yield "__all__ repeats itself"
    if module.is_package and public - set(stated or ()):
        yield f"__all__ lacks {', '.join(sorted(public - set(stated or ())))}"


def size(module: Module) -> Iterator[str]:
    """One concern fits on a few screens."""
    lines = len(module.text.splitlines())
    if lines > MAX_MODULE:
        yield f"has {lines} lines"
    for node in ast.walk(module.tree):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            lines = (node.end_lineno or node.lineno) - node.lineno + 1
            if lines > MAX_FUNCTION:
                yield f"{node.name} has {lines} lines"


def finished(module: Module) -> Iterator[str]:
    """Nothing is left for later, and every file says what it is for."""
    for number, line in enumerate(module.text.splitlines(), 1):
        if match := UNFINISHED.search(line):
            yield f"line {number}: {match[0]}"
    if not (ast.get_docstring(module.tree) or "").strip():
        yield "does not say what it is for"


def names(module: Module) -> Iterator[str]:
    """A name that says nothing hides a missing idea."""
    defined = [
        node.name
        for node in ast.walk(module.tree)
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef)
    ]
    yield from (f"{name} is a vague name" for name in defined if VAGUE.search(name))
    if VAGUE.search(module.name.rpartition(".")[2]):
        yield "is a vague name"


RULES: tuple[Callable[[Module], Iterator[str]], ...] = (
    layers,
    purity,
    independence,
    exports,
    size,
    finished,
    names,
)


@pytest.mark.parametrize("rule", RULES, ids=lambda rule: rule.__name__)
def test_every_module_keeps_the_rule(rule: Callable[[Module], Iterator[str]]) -> None:
    modules = [*_modules("tusjumbo"), *_modules("conformance")]
    faults = [f"{module.name}: {fault}" for module in modules for fault in rule(module)]
    assert faults == []


def test_the_table_has_no_line_for_rooms_that_are_not_there() -> None:
    there = {module.room for module in _modules("tusjumbo")}
    assert set(MAY_IMPORT) - there == set()


def _long(lines: int) -> str:
    return '"""Doc."""\n' + "x = 1\n" * lines


def _function(lines: int) -> str:
    return '"""Doc."""\ndef f():\n' + "    x = 1\n" * (lines - 1)


TYPED = """
from typing import TYPE_CHECKING
if TYPE_CHECKING:
    from tusjumbo.sessions import a, b
"""
SESSIONS = "tusjumbo.sessions.sample"


@pytest.mark.parametrize(
    ("rule", "name", "text", "fault"),
    [
        (layers, SESSIONS, "import tusjumbo.engine.pump", "imports engine"),
        (layers, SESSIONS, "from tusjumbo.ports import Clock", "imports ports"),
        (layers, SESSIONS, "def f():\n    from tusjumbo import web", "imports web"),
        (layers, SESSIONS, "from tusjumbo import TusJumbo", "imports TusJumbo"),
        (layers, SESSIONS, "from . import ids", "relative import ."),
        (layers, SESSIONS, "import anyio", "imports anyio"),
        (layers, "tusjumbo.engine.sample", "from starlette.requests import R", "imports starlette"),
        (layers, "tusjumbo.protocols.s", "from tusjumbo.web import asgi", "imports web"),
        (layers, "tusjumbo.stores.s", "from tusjumbo.catalogs import sqlite", "imports catalogs"),
        (layers, "tusjumbo.web.s", "from tusjumbo.server import serve", "imports server"),
        (layers, "tusjumbo.attic.s", "", "attic has no line in the table"),
        (purity, SESSIONS, "async def f(): ...", "line 1 is async"),
        (purity, SESSIONS, "x = open('f')", "line 1 calls open"),
        (purity, SESSIONS, "from time import time", "imports time"),
        (purity, SESSIONS, "import os.path", "imports os.path"),
        (purity, SESSIONS, "import socket", "imports socket"),
        (purity, SESSIONS, "import threading", "imports threading"),
        (purity, SESSIONS, "import datetime\nx = datetime.datetime.now()", "line 2 calls now"),
        (purity, "tusjumbo.protocols.s", "import secrets", "imports secrets"),
        (independence, "conformance.s", "import tusjumbo", "imports tusjumbo"),
        (independence, "conformance.s", "from tusjumbo.web import x", "imports tusjumbo.web"),
        (independence, "conformance.s", "def f():\n    import rich.table", "imports rich.table"),
        (independence, "conformance.s", "from . import wire", "imports ."),
        (exports, "tusjumbo.s", "__all__ = ['a']", "__all__ has a, the module has not"),
        (exports, "tusjumbo.s", "__all__ = ['a', 'a']\na = 1", "__all__ repeats itself"),
        (exports, "tusjumbo", "from tusjumbo.web import TusJumbo", "__all__ lacks TusJumbo"),
        (exports, "tusjumbo", TYPED + "__all__ = list('a')", "__all__ lacks b"),
        (size, "tusjumbo.s", _long(MAX_MODULE), "has 451 lines"),
        (size, "tusjumbo.s", _function(MAX_FUNCTION + 1), "f has 61 lines"),
        (finished, "tusjumbo.s", '"""Doc."""\n# TODO: more', "line 2: TODO"),
        (finished, "tusjumbo.s", '"""Doc."""\n# FIXME', "line 2: FIXME"),
        (
            finished,
            "tusjumbo.s",
            '"""D."""\nraise NotImplementedError',
            "line 2: NotImplementedError",
        ),
        (finished, "tusjumbo.s", "x = 1", "does not say what it is for"),
        (names, "tusjumbo.s", "class LockManager: ...", "LockManager is a vague name"),
        (names, "tusjumbo.s", "def path_utils(): ...", "path_utils is a vague name"),
        (names, "tusjumbo.utils", "", "is a vague name"),
    ],
    ids=lambda value: getattr(value, "__name__", None) or str(value)[:25],
)
def test_the_rule_finds(
    rule: Callable[[Module], Iterator[str]], name: str, text: str, fault: str
) -> None:
    assert list(rule(Module(name, text, is_package=name == "tusjumbo"))) == [fault]


@pytest.mark.parametrize(
    ("rule", "name", "text"),
    [
        (
            layers,
            SESSIONS,
            "import re\nfrom tusjumbo import errors\nfrom tusjumbo.sessions import ids",
        ),
        (layers, "tusjumbo.cli.s", "import cyclopts\nfrom tusjumbo.server import serve"),
        (purity, "tusjumbo.engine.s", "import time\nasync def f(): ..."),
        (purity, SESSIONS, "from pathlib import Path\nimport hashlib"),
        (independence, "tusjumbo.s", "import tusjumbo"),
        (independence, "conformance.s", "import h11\nimport ssl\nfrom conformance import wire"),
        (
            exports,
            "tusjumbo",
            "from re import A as b\nfrom tusjumbo import errors\n__all__ = ['errors']",
        ),
        (exports, "tusjumbo", TYPED + "__all__ = list('ab')"),
        (exports, "tusjumbo.s", "import re\ndef f(): ..."),
        (size, "tusjumbo.s", _long(MAX_MODULE - 1)),
        (size, "tusjumbo.s", _function(MAX_FUNCTION)),
        (names, "tusjumbo.s", "from contextlib import AbstractContextManager\nclass Managed: ..."),
    ],
    ids=lambda value: getattr(value, "__name__", None) or str(value)[:25],
)
def test_the_rule_lets_pass(rule: Callable[[Module], Iterator[str]], name: str, text: str) -> None:
    assert list(rule(Module(name, text, is_package=name == "tusjumbo"))) == []
