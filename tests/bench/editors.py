"""Measures what editors cost: each shipped one by itself, and what the `edit` section of a recipe adds to its Rate pass.

    python -m tests.bench.editors [FILE…] [--seconds=N]

The files are JSON Lines, plain or compressed, with the field `text`; without any, they are the web pages of the shared data, or
generated ones. Times are CPU seconds of this process, the least of several passes.
"""

from __future__ import annotations

import argparse
import math
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from tamis.pipelines.measure import measure
from tamis.pipelines.rate import prepared_components
from tamis.pipelines.recipe.editing import EDITORS, editor_type, make_editor
from tamis.pipelines.recipe.load import load_recipe, shipped_recipes
from tamis.pipelines.recipe.schema import Recipe
from tamis.transforms.core.documents import SCHEMA
from tamis.transforms.edit.apply import apply
from tamis.transforms.read.input_options import Input
from tamis.transforms.read.inputs import plan, read
from tamis.transforms.runtime.memory import keep_freed_memory
from tamis.transforms.text.segment import unsegmented
from tests.pipelines.corpus import corpus

PAGES = Path(__file__).resolve().parents[3] / "shared" / "data" / "web"
"""Web pages, where they are there."""

RECIPES = ("c4", "refinedweb", "fineweb", "dolma")

GENERATED = 5000


def main(arguments: Sequence[str] = sys.argv[1:]) -> None:
    """Prints both tables."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("files", nargs="*")
    parser.add_argument("--seconds", type=float, default=3, help="CPU seconds that each measurement takes at least")
    options = parser.parse_args(arguments)
    batches = list(documents(options.files))
    size = sum(pc.sum(pc.binary_length(batch["text"])).as_py() for batch in batches) / 1e6
    count = sum(batch.num_rows for batch in batches)
    print(f"{count:,} documents, {size:.1f} MB of text\n")
    print(f"{'editor':<12} {'µs/document':>12} {'MB/s':>8}  {'documents changed':>18}")
    for plugin in EDITORS.shipped.values():
        kind = editor_type(plugin)
        editor = make_editor(plugin, kind.options_type.model_validate(dict(kind.example)))
        editor.setup()
        (seconds,) = least(options.seconds, lambda editor=editor: [edit(editor, batch) for batch in batches].clear())
        share = sum(edit(editor, batch) for batch in batches) / count
        print(f"{plugin.name:<12} {seconds / count * 1e6:12.1f} {size / seconds:8.0f}  {share:18.1%}")
    print(f"\n{'Rate pass, s':<12} {'no edits':>9} {'edits':>8} {'ratio':>8}")
    for name in filter(shipped_recipes().__contains__, RECIPES):
        recipe = load_recipe(name)
        without, both = least(options.seconds, *(rate_pass(each, batches) for each in (without_edits(recipe), recipe)))
        print(f"{name:<12} {without:9.2f} {both:8.2f} {both / without:8.2f}" + ("" if recipe.edit else "  (it has no edits)"))


def documents(files: Sequence[str]) -> Iterator[pa.RecordBatch]:
    """Batches as a run reads them; from here on the process keeps its memory as a run does."""
    keep_freed_memory()
    paths = list(files) or sorted(map(str, PAGES.glob("*.jsonl.zst")))
    if not paths:
        rows = [{"id": row["id"], "text": row["text"], "source": "web"} for row in corpus(GENERATED)]
        yield pa.RecordBatch.from_pylist(rows, schema=SCHEMA)
        return
    options = Input(paths=tuple(paths))
    for split in plan(options)[0]:
        yield from (batch for batch, _ in read(split, options) if batch.num_rows)


def edit(editor: Any, batch: pa.RecordBatch) -> int:
    """Lets an editor edit and applies what it says; the documents that it changes."""
    needs = {name: batch[name] for name in editor.needs}
    edited = apply(editor, unsegmented(batch["text"]).with_columns(needs), batch["text"])
    return len(set(edited.edits.document.tolist()))


def without_edits(recipe: Recipe) -> Recipe:
    """The recipe with the same raters, which edits nothing; it has no limits of what editors measure."""
    sections = recipe.model_dump(exclude_unset=True)
    thresholds = {name: limit for name, limit in sections.get("thresholds", {}).items() if not name.startswith("edit.")}
    return Recipe.model_validate(sections | {"edit": [], "rate_unedited": [], "thresholds": thresholds})


def rate_pass(recipe: Recipe, batches: Sequence[pa.RecordBatch]) -> Callable[[], object]:
    """Everything that Rate measures of the documents, reading and writing left out."""
    components = prepared_components(recipe, "")
    measure(batches[0], recipe, components)
    return lambda: [measure(batch, recipe, components) for batch in batches].clear()


def least(seconds: float, *works: Callable[[], object]) -> list[float]:
    """CPU seconds of the quickest pass of each work. They take turns, since a machine has slow spells, until each has taken
    `seconds` on average."""
    best, spent = [math.inf] * len(works), 0.0
    while spent < seconds * len(works):
        for number, work in enumerate(works):
            begun = time.process_time()
            work()
            took = time.process_time() - begun
            best[number], spent = min(best[number], took), spent + took
    return best


if __name__ == "__main__":
    main()
