"""Measures the CPU seconds of each stage of a run by itself, in the order in which a batch passes through them."""

from __future__ import annotations

import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pyarrow as pa
from measure import Task, main, megabytes
from ours import batches, few_documents, recipe

from tamis.pipelines.measure import measure
from tamis.pipelines.rate import prepared_components
from tamis.pipelines.recipe.schema import Recipe
from tamis.pipelines.run.launch import launch
from tamis.transforms.core.documents import SCHEMA
from tamis.transforms.core.parts import Part, PartWriter
from tamis.transforms.dedup.minhash import band_hashes, signatures
from tamis.transforms.dedup.shingles import windows
from tamis.transforms.read.inputs import plan, read
from tamis.transforms.text.hashing import hash128
from tamis.transforms.text.segment import segment


class Stages:
    """CPU seconds of this process by stage. What a difference leaves to nothing is no stage."""

    def __init__(self) -> None:
        self.cpu_s: dict[str, float] = {}

    @contextmanager
    def __call__(self, stage: str) -> Iterator[None]:
        begun = time.process_time()
        yield
        self.cpu_s[stage] = self.cpu_s.get(stage, 0.0) + time.process_time() - begun


def profile(corpus: Path) -> Task:
    """The stages of recipe `fineweb` with the corpus's benchmarks, one worker."""
    whole = recipe(corpus, edit=False, decontaminate=True)
    scratch = tempfile.TemporaryDirectory(prefix="tamis-bench-")
    for rater in whole.raters:
        if rater.index_file:
            rater.save_index(f"{scratch.name}/{rater.index_file}")
    components = prepared_components(whole, scratch.name)
    measure(pa.RecordBatch.from_pylist([], schema=SCHEMA), whole, components)  # every kernel is compiled now

    def run() -> dict[str, object]:
        stage = Stages()
        for kind in ("jsonl", "parquet"):
            options = recipe(corpus, kind).input
            with stage(f"read {kind}"):
                for split in plan(options)[0]:
                    for _ in read(split, options):
                        pass
        _rate(batches(corpus), whole, scratch.name, f"{scratch.name}/parts", stage)
        _whole_run(corpus, f"{scratch.name}/run", stage)
        return {"stages": {name: seconds for name, seconds in stage.cpu_s.items() if seconds > 0}}

    return Task(megabytes(corpus), run, once=True)


def _rate(documents: list[pa.RecordBatch], whole: Recipe, indexes: str, folder: str, stage: Stages) -> None:
    """The steps of `tamis.pipelines.rate.rate_part` on each batch, one by one; then all of it, to see what they leave out."""
    assert whole.dedup is not None
    options = whole.dedup.minhash
    assert options is not None
    components = prepared_components(whole, indexes)
    for batch in documents:
        with stage("segment"):
            texts = segment(batch["text"])
        for rater in components.raters:
            with stage(f"rate {rater.name}"):
                rater.rate(texts)
        with stage("text hashes"):
            hash128(batch["text"])
        with stage("shingles"):
            first, hashes = windows(texts, options.ngram, fold=True)
        with stage("sketch"):
            signed = signatures(first, hashes, options.bands * options.rows, options.seed, options.scheme)
        with stage("bands"):
            band_hashes(signed, options.bands, options.rows)
    apart = sum(seconds for name, seconds in stage.cpu_s.items() if not name.startswith("read"))
    with PartWriter(Part(folder, "0f-0")) as writer:
        for batch in documents:
            with stage("other columns"):
                rated, sketch = measure(batch, whole, components)
            with stage("write rated part"):
                writer.write(rated, sketch)
        with stage("write rated part"):
            writer.finish((rated.schema, sketch.schema), "", [])
    stage.cpu_s["other columns"] -= apart


def _whole_run(corpus: Path, run: str, stage: Stages) -> None:
    """Decide and Emit are what a run takes whose parts are rated already, less what every run takes, however small."""
    few = few_documents(corpus, 20)
    launch(recipe(few, "jsonl", edit=False), f"{run}-few", 1)
    launch(recipe(corpus, edit=False), run, 1)
    with stage("fixed cost (Beam, plan, manifest, report)"):
        launch(recipe(few, "jsonl", edit=False, seed=1), f"{run}-few", 1)
    with stage("decide and emit"):
        launch(recipe(corpus, edit=False, seed=1), run, 1)
    stage.cpu_s["decide and emit"] -= stage.cpu_s["fixed cost (Beam, plan, manifest, report)"]


if __name__ == "__main__":
    main("tamis", {"stages": profile})
