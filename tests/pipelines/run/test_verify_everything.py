"""verify names every flipped, cut, deleted and added file of a run, and `tamis run` mends the last release."""

from __future__ import annotations

import random
import shutil
from collections import Counter
from pathlib import Path

import pytest

from tamis.pipelines.recipe.load import load_recipe
from tamis.pipelines.releases.purge import purge
from tamis.pipelines.run.launch import launch
from tamis.transforms.core.release import UNCOVERED_FILES
from tamis.transforms.provenance.verify import verify
from tests.pipelines.corpus import corpus, dealt, save
from tests.pipelines.running import write_recipe

KINDS = ("flip", "cut", "delete", "add")


@pytest.fixture(scope="module")
def finished(tmp_path_factory):
    """(recipe, input, run): three releases, the middle one after a purge of both before it."""
    folder = tmp_path_factory.mktemp("verify")
    source, recipe = save(folder / "in", dealt(corpus(200, seed=4), 3, seed=1)), write_recipe(folder)
    run = folder / "run"
    launch(load_recipe(str(recipe), (), [str(source)]), str(run), workers=1)
    purge(str(run), ["doc-000003"], [], "a test")
    launch(load_recipe(str(recipe), (), [str(source)]), str(run), workers=1)
    (source / "one-more.jsonl").write_text('{"id": "new", "text": "' + "the bread and the water of the mill " * 20 + '"}\n')
    launch(load_recipe(str(recipe), (), [str(source)]), str(run), workers=1)
    assert not verify(str(run))
    return recipe, source, run


def covered(run: Path) -> list[Path]:
    """Every file of the run but those that no release contains."""
    files = (path for path in sorted(run.rglob("*")) if path.is_file() and not path.is_symlink())
    return [path for path in files if path.relative_to(run).parts[0] not in (*UNCOVERED_FILES, "latest")]


def kind_of(run: Path, path: Path) -> str:
    parts = path.relative_to(run).parts
    return "/".join("N" if part.isdigit() else part for part in parts[:-1]) + f"/*{path.suffix}"


def damage(path: Path, kind: str, draw: random.Random) -> Path:
    """Damages a file, or adds one beside it; returns the file that verify must name."""
    content = bytearray(path.read_bytes())
    if kind == "add":
        path = path.with_name(f"added-{draw.randrange(1000)}{path.suffix}")
        path.write_bytes(content)
    elif kind == "delete":
        path.unlink()
    elif kind == "cut":
        path.write_bytes(content[: draw.randrange(len(content))])
    else:
        content[draw.randrange(len(content))] ^= 1 << draw.randrange(8)
        path.write_bytes(content)
    return path


def try_damages(run: Path, number: int, seed: int) -> Counter[tuple[str, str, bool]]:
    """(kind of file, kind of damage, whether verify named the file): how often."""
    draw = random.Random(seed)
    files = covered(run)
    by_kind: dict[str, list[Path]] = {}
    for path in files:
        by_kind.setdefault(kind_of(run, path), []).append(path)
    tried: Counter[tuple[str, str, bool]] = Counter()
    for step in range(number):
        file_kind = sorted(by_kind)[step % len(by_kind)]
        path, kind = draw.choice(by_kind[file_kind]), KINDS[step // len(by_kind) % len(KINDS)]
        content = path.read_bytes()
        if (kind == "cut" and not content) or (kind == "flip" and not content):
            continue
        named = damage(path, kind, draw)
        try:
            problems = verify(str(run))
        finally:
            if kind == "add":
                named.unlink()
            path.write_bytes(content)
        assert all(problem.cure for problem in problems)
        tried[file_kind, kind, str(named.relative_to(run)) in {problem.path for problem in problems}] += 1
    return tried


def test_verify_names_what_is_damaged(finished):
    _, _, run = finished
    tried = try_damages(run, 100, seed=1)
    assert {key: times for key, times in tried.items() if not key[2]} == {}
    assert not verify(str(run))


@pytest.mark.slow
def test_verify_names_every_damage_at_any_offset(finished):
    _, _, run = finished
    tried = try_damages(run, 300, seed=2) + try_damages(run, 300, seed=11)
    missed = {key: times for key, times in tried.items() if not key[2]}
    kinds = {kind for kind, _, _ in tried}
    print(f"{tried.total()} damages of {len(kinds)} kinds of files tried, {tried.total() - sum(missed.values())} named")
    assert missed == {}


@pytest.mark.parametrize(
    "pattern",
    [
        *("rated/*.parquet", "rated/*.json", "sketches/*", "releases/000003/data/*/*", "releases/000003/decisions/*"),
        *("releases/000003/receipts/part-*", "releases/000003/receipts/shard-*", "releases/000003/report.html"),
        *("releases/000003/plan.json", "releases/000003/manifest.json", "releases/000003.json", "manifest.json"),
    ],
)
@pytest.mark.parametrize("kind", ["flip", pytest.param("delete", marks=pytest.mark.slow)])
def test_the_same_command_mends_the_last_release(finished, tmp_path, pattern, kind):
    recipe, source, original = finished
    run = tmp_path / "run"
    shutil.copytree(original, run, symlinks=True)
    needed = (run / "releases/000003/manifest.json").read_text()
    path = next(
        path for path in sorted(run.glob(pattern)) if path.parent.name not in ("rated", "sketches") or path.stem in needed
    )
    content = path.read_bytes()
    damage(path, kind, random.Random(pattern))
    result = launch(load_recipe(str(recipe), (), [str(source)]), str(run), workers=1)
    assert result.release.number == 3
    assert path.read_bytes() == content
    assert not verify(str(run))
