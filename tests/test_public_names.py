from __future__ import annotations

import ast
import importlib
import subprocess
import sys
from pathlib import Path

import pytest

import tusjumbo


def names_for_type_checkers() -> dict[str, str]:
    """The same list as type checkers see it: name -> module."""
    tree = ast.parse(Path(tusjumbo.__file__).read_text(encoding="utf-8"))
    guarded = next(node for node in tree.body if isinstance(node, ast.If))
    found = {}
    for node in guarded.body:
        assert isinstance(node, ast.ImportFrom)
        for alias in node.names:
            assert alias.asname == alias.name
            found[alias.name] = f"{node.module}"
    return found


def test_both_lists_are_one() -> None:
    assert sorted(names_for_type_checkers()) == tusjumbo.__all__
    assert dir(tusjumbo) == tusjumbo.__all__


@pytest.mark.parametrize(("name", "module"), names_for_type_checkers().items())
def test_names(name: str, module: str) -> None:
    assert getattr(tusjumbo, name) is getattr(importlib.import_module(module), name)


def test_no_other_name() -> None:
    with pytest.raises(AttributeError, match="NoSuchName"):
        _ = tusjumbo.NoSuchName  # type: ignore[attr-defined]


def test_importing_loads_no_framework() -> None:
    script = (
        "import sys, tusjumbo; tusjumbo.UploadSettings;"
        "print([name for name in ('starlette', 'uvicorn', 'sqlite3') if name in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True)
    assert (done.stdout.strip(), done.stderr) == ("[]", "")
