"""The tree keeps the promises that ARCHITECTURE.md makes of it: one name a module, small folders, imports that point down."""

from __future__ import annotations

import ast
import subprocess
import sys
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]

FOUNDATIONS = {"core", "beam", "runtime", "storage", "text"}
"""The folders of transforms/ that every capability may import."""

MODULES = sorted(path.relative_to(ROOT) for top in ("pipelines", "transforms") for path in (ROOT / top).rglob("*.py"))


def imports(path: Path) -> Iterator[str]:
    """The modules of this package that a file imports, at its head or inside a function."""
    for node in ast.walk(ast.parse((ROOT / path).read_text())):
        if isinstance(node, ast.ImportFrom) and node.module and node.module.startswith("tamis."):
            yield node.module
            yield from (f"{node.module}.{alias.name}" for alias in node.names)


def test_no_two_modules_have_one_name() -> None:
    names = Counter(path.stem for path in MODULES if path.stem != "__init__")
    assert [name for name, times in names.items() if times > 1] == []


def test_no_module_shadows_the_standard_library() -> None:
    assert [str(path) for path in MODULES if path.stem in sys.stdlib_module_names] == []


def test_a_folder_can_be_taken_in_at_a_glance() -> None:
    sizes = Counter(path.parent for path in MODULES if path.stem != "__init__")
    assert {str(folder): size for folder, size in sizes.items() if size > 13} == {}


@pytest.mark.parametrize("path", MODULES, ids=str)
def test_a_module_opens_with_a_sentence(path: Path) -> None:
    source = (ROOT / path).read_text()
    if source:
        docstring = ast.get_docstring(ast.parse(source))
        assert docstring
        assert docstring.split("\n\n")[0].rstrip().endswith((".", "?")), docstring


@pytest.mark.parametrize("path", [path for path in MODULES if path.parts[0] == "transforms"], ids=str)
def test_imports_point_down_and_a_capability_does_not_import_its_neighbour(path: Path) -> None:
    home = path.parts[1]
    for module in imports(path):
        layer, *rest = module.split(".")[1:]
        assert layer == "transforms", f"{path} knows {module}"
        if rest and home not in FOUNDATIONS:
            assert rest[0] in FOUNDATIONS | {home}, f"{path} imports its neighbour {module}"
        elif rest and len(path.parts) > 2:
            assert rest[0] in FOUNDATIONS, f"{path} is a foundation and imports {module}"


@pytest.mark.parametrize("top", ["pipelines", "transforms"])
def test_no_module_exists_under_two_names(top: str) -> None:
    done = subprocess.run([sys.executable, "-c", f"import {top}"], cwd=ROOT, capture_output=True, text=True, check=False)
    assert f"ImportError: this folder is tamis.{top}" in done.stderr
