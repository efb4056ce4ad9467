"""Makes an index of any corpus, such as a licensed set or last year's crawl, for `dedup.against`."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Sequence
from typing import Any

from tamis.pipelines.recipe.load import load_recipe, recipe_of
from tamis.pipelines.recipe.schema import Recipe
from tamis.pipelines.run.launch import launch
from tamis.transforms import storage
from tamis.transforms.core.errors import RunError
from tamis.transforms.dedup.released.index_files import FILE, FOLDER, IndexFile

_READ = ("requires", "seed", "input", "max_rejects", "words", "edit", "language_pairs")
"""Sections that say what is read, how it is edited, and how its words are told apart."""


def index_corpus(name: str, paths: Sequence[str], overrides: Sequence[str], output: str, workers: int = 0) -> IndexFile:
    """Writes an index of all documents in `paths` into the new folder `output`, as the recipe `name`
    reads and compares them: with its fields, editors, words and `dedup.minhash`. Nothing is dropped
    but repeats of a text. Raises RunError if the folder is there, or no document is.
    Cost: a run without raters, and its disk for as long as it takes."""
    if storage.names(output):
        raise RunError(f"--output '{output}' is not empty: name a new folder")
    recipe = _comparing(load_recipe(name, overrides, paths))
    local = storage.local_path(output)
    if local is not None:
        local.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix=".index-", dir=local.parent if local is not None else None) as run:
        folder = launch(recipe, run, workers).release.uri(FOLDER)
        for file in sorted(storage.names(folder), key=lambda file: file == FILE):  # the last one makes it an index
            with storage.open_binary(storage.join(folder, file)) as source, storage.commit(storage.join(output, file)) as sink:
                shutil.copyfileobj(source, sink, 1 << 20)
    index = IndexFile.read(storage.join(output, FILE))
    assert index is not None
    return index


def _comparing(recipe: Recipe) -> Recipe:
    """A recipe that reads, edits and compares as this one, and keeps all but repeats of a text."""
    written = recipe.model_dump(mode="json")
    sections: dict[str, Any] = {section: written[section] for section in _READ}
    for blocks in ("per_source", "per_language"):
        sections[blocks] = {
            name: {"edit": block["edit"]} for name, block in written[blocks].items() if block["edit"] is not None
        }
    if sections["per_language"]:  # something has to tell the language
        sections |= {"rate": written["rate"], "signals": written["signals"], "scores": written["scores"]}
    minhash = recipe.dedup.minhash if recipe.dedup is not None else None
    near = minhash and minhash.model_dump(exclude={"permutations", "containment", "preserve"}) | {"threshold": 1}
    return recipe_of(sections | {"dedup": {"minhash": near, "index": True}})
