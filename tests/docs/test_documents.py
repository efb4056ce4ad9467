"""The pages of the documentation name files, modules and links that exist, and the generated ones are up to date."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from tamis.pipelines.recipe.editing import EDITORS
from tamis.pipelines.recipe.raters import RATERS
from tamis.transforms.read.readers import READERS
from tests.docs import recipe_reference
from tests.docs.page_code import PAGES, ROOT, blocks, links, spans

_FOLDERS = ("deploy", "docs", "pipelines", "tamis", "tests", "transforms")

_PATH = re.compile(rf"(?<![\w./<*-])(?:{'|'.join(_FOLDERS)})/[\w./*{{}},-]*[\w*}}/]")

GROUPS = {RATERS.group, EDITORS.group, READERS.group}
"""Names of groups of entry points."""

_MODULE = re.compile(r"(?<![\w.])tamis(?:\.[a-z_]+)+(?:\.[A-Z]\w+)?")


def texts(page: Path) -> list[str]:
    """The inline code of a page and its blocks: all but the prose."""
    return [*spans(page), *(block.text for block in blocks(page))]


def alternatives(path: str) -> list[str]:
    """`a/{b,c}.py` as a/b.py and a/c.py."""
    match = re.search(r"\{(.*?)\}", path)
    if match is None:
        return [path]
    return [name for choice in match[1].split(",") for name in alternatives(path.replace(match[0], choice, 1))]


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_named_files_exist(page: Path) -> None:
    for path in {name for text in texts(page) for pattern in _PATH.findall(text) for name in alternatives(pattern)}:
        assert any(ROOT.glob(path.rstrip("/"))), path


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_named_modules_exist(page: Path) -> None:
    for name in {name for text in texts(page) for name in _MODULE.findall(text)} - GROUPS:
        *folders, last = name.split(".")
        parent = ROOT.joinpath(*folders)
        paths = (parent / f"{last}.py", parent / last, parent.with_suffix(".py"), parent / "__init__.py")
        module = next((path for path in paths if path.exists()), None)
        assert module is not None, name
        assert module.stem == last or re.search(rf"\b{last}\b", module.read_text()), name


def test_the_tree_is_as_drawn() -> None:
    """Every name in the tree of ARCHITECTURE.md exists, and every folder of pipelines/ and transforms/ is in it."""
    (tree,) = (block for block in blocks(ROOT / "ARCHITECTURE.md") if block.text.startswith("tamis/"))
    paths, folder = set(), ROOT
    for line in tree.text.splitlines():
        names = re.split(r"\s{2,}", line.strip())[0].split()
        folder = folder if line.startswith(" ") else ROOT
        paths |= {folder / name for name in names}
        folder = folder if line.startswith(" ") else ROOT / names[0]
    assert [path for path in paths if not path.exists()] == []
    for top in (ROOT / "pipelines", ROOT / "transforms"):
        assert {path.parent for path in top.glob("*/__init__.py")} <= paths


def anchors(page: Path) -> set[str]:
    """The fragments of a page's headings, as GitHub makes them."""
    text = re.sub(r"^```.*?^```$", "", page.read_text(), flags=re.MULTILINE | re.DOTALL)
    return {recipe_reference.anchor(title) for title in re.findall(r"^#+ (.*)$", text, re.MULTILINE)}


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_links_lead_somewhere(page: Path) -> None:
    for link in links(page):
        path, _, fragment = link.partition("#")
        target = (page.parent / path).resolve() if path else page
        assert target.exists(), link
        assert not fragment or fragment in anchors(target), link


def test_the_recipe_reference_is_up_to_date() -> None:
    text = recipe_reference.PAGE.read_text(encoding="utf-8")
    assert text == recipe_reference.page(), "run `python -m tests.docs.recipe_reference`"
