"""What a run will take and keep, before it starts: a rehearsal of a small sample of its input, scaled up by measured costs.

The sample is read from the input as it is, and goes through the whole DAG in a temporary directory of this machine; others
of a single document tell what any run costs. Nothing is written where the run would be.
"""

from __future__ import annotations

import os
import resource
import shutil
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from tamis.pipelines import decide
from tamis.pipelines.estimate.sample import Piece, sample
from tamis.pipelines.recipe.schema import Recipe
from tamis.pipelines.run import work_plan
from tamis.transforms import storage
from tamis.transforms.core.formatting import counted, duration, storage_size
from tamis.transforms.core.parts import Part
from tamis.transforms.curriculum.lint import best_decile_mass
from tamis.transforms.read.input_options import PYTHON_ENV
from tamis.transforms.select import allocation
from tamis.transforms.select.guards import Guards

_CHANCES = (0.5, 0.6, 0.7, 0.8, 0.9)


@dataclass(frozen=True)
class Estimate:
    """What a run would do. Sizes in bytes, times in seconds; all but `files`, `parts`, `reused`, `input_bytes` are estimates.

    `tokens_kept` and `documents_kept` count too many where copies are far apart: a sample holds few of both.
    """

    run: str
    files: int
    parts: int
    reused: int
    input_bytes: int
    pending_bytes: int
    sample_bytes: int
    sample_documents: int
    documents: int
    text_bytes: int
    rejects: int
    tokens: int
    documents_kept: int
    tokens_kept: int
    reasons: dict[str, float]
    workers: int
    seconds: dict[str, float]
    disk: dict[str, int]
    disk_free: int | None
    memory: int
    proposed: dict[str, float]
    threshold: float | None
    lr_mass_best_decile: float
    warnings: list[str] = field(default_factory=list)


@dataclass(frozen=True)
class _Costs:
    """What one rehearsal took and left."""

    manifest: dict[str, Any]
    seconds: dict[str, float]
    text_bytes: int
    spilled: int
    receipts: list[Any]


def estimate(recipe: Recipe, run: str, workers: int) -> Estimate:
    """The estimate of a run of `recipe` into `run` by so many workers (0: as many as pay). Raises RunError as the run would."""
    from tamis.pipelines.cli.warmup import is_warm
    from tamis.pipelines.runners import local

    work, _ = work_plan.assign(recipe, run, work_plan.list_input(recipe))
    splits = [item.split for item in work]
    pending = [item.split for item in work if not item.finished]
    workers = workers or local.default_workers(sum(split.size for split in splits))
    with tempfile.TemporaryDirectory(prefix="tamis-dry-run-") as folder:
        pieces = list(sample(sorted(pending or splits, key=lambda split: (split.uri, split.start)), recipe, folder))
        before = _peak()
        # A few distributions of many would each give more than they do among all.
        harvest = sum(piece.size for piece in pieces if piece.uri.startswith(PYTHON_ENV)) or recipe.input.harvest_bytes
        sampled = {"paths": tuple(piece.uri for piece in pieces), "format": "auto", "harvest_bytes": harvest}
        rehearsed = recipe.model_copy(
            update={
                "input": recipe.input.model_copy(update=sampled),
                "max_rejects": 1.0,
                "select": allocation.Selection(),
                "guards": Guards(),
            }
        )
        one, warm = _of_one_document(rehearsed, folder), is_warm()
        # Loads the kernels, as every run does, or compiles them, as only the first does.
        cold = _rehearse(one, f"{folder}/cold")
        idle = _rehearse(one, f"{folder}/idle")
        costs = _rehearse(rehearsed, f"{folder}/run")
        memory = before + workers * max(_peak() - before, 0)
    fixed = (cold if warm else idle).seconds
    return _scaled(recipe, run, workers, work, _as_read(pieces, costs.receipts), fixed, idle, costs, memory)


def _as_read(pieces: list[Piece], receipts: list[Any]) -> list[Piece]:
    """The pieces; what distributions gave was cut between their files, and may be less than was asked for."""
    asked = sum(piece.size for piece in pieces if piece.uri.startswith(PYTHON_ENV))
    given = sum(receipt.input["size"] for receipt in receipts if receipt.input["uri"].startswith(PYTHON_ENV))
    return [replace(piece, factor=asked / given) if given and piece.uri.startswith(PYTHON_ENV) else piece for piece in pieces]


def _scaled(
    recipe: Recipe,
    run: str,
    workers: int,
    work: list[work_plan.PartTask],
    pieces: list[Piece],
    fixed: dict[str, float],
    idle: _Costs,
    costs: _Costs,
    memory: int,
) -> Estimate:
    size = sum(item.split.size for item in work)
    left = sum(item.split.size for item in work if not item.finished)
    by_uri = {piece.uri: piece for piece in pieces}
    documents = rejects = text = 0.0
    for receipt in costs.receipts:
        piece = by_uri[receipt.input["uri"]]
        documents += receipt.documents * piece.factor
        rejects += receipt.rejected * piece.factor
        text += receipt.text_bytes * piece.factor
    whole = size / max(sum(piece.size for piece in pieces), 1)
    documents, rejects, text = documents * whole, rejects * whole, text * whole
    counts = costs.manifest["counts"]
    read = max(counts["records"] - counts["rejected"], 1)
    tokens = counts["tokens"]["in"] / max(costs.text_bytes, 1) * text
    kept_tokens = counts["tokens"]["kept"] / max(counts["tokens"]["in"], 1) * tokens
    chosen = _chosen(recipe, counts, kept_tokens)
    share = chosen / kept_tokens if kept_tokens else 0.0
    rated = text * left / max(size, 1)
    reading = sum(piece.seconds for piece in pieces) / max(sum(piece.read for piece in pieces), 1)

    def time_of(movement: str, bytes: float, extra: float = 0.0) -> float:
        each = max(costs.seconds[movement] - idle.seconds[movement], 0.0) / max(costs.text_bytes, 1) + extra
        return round(fixed[movement] + each * bytes / workers, 1)

    rooms: dict[str, float] = {}
    for file in costs.manifest["files"]:
        room = file["path"].split("/", 1)[0]
        rooms[room] = rooms.get(room, 0) + file["bytes"] / max(costs.text_bytes, 1)
    disk = {name: rooms.get(name, 0.0) * text for name in ("rated", "sketches", "decisions", "data")}
    disk["data"] *= share
    disk["temporary"] = costs.spilled / max(costs.text_bytes, 1) * text
    minhash = recipe.dedup.minhash if recipe.dedup is not None else None
    found = Estimate(
        run=run,
        files=len({item.split.uri for item in work}),
        parts=len(work),
        reused=sum(item.finished for item in work),
        input_bytes=size,
        pending_bytes=left,
        sample_bytes=costs.text_bytes,
        sample_documents=counts["records"] - counts["rejected"],
        documents=round(documents),
        text_bytes=round(text),
        rejects=round(rejects),
        tokens=round(tokens),
        documents_kept=round(counts["kept"] / read * documents * share),
        tokens_kept=round(chosen),
        reasons={row["reason"]: row["documents"] / read for row in counts["reasons"]},
        workers=workers,
        seconds={
            "rate": time_of("rate", rated, reading) if left else 0.0,
            "decide": time_of("decide", text),
            "emit": time_of("emit", text),
        },
        disk={name: round(bytes) for name, bytes in disk.items()},
        disk_free=_free(run),
        memory=memory,
        proposed={f"{jaccard:g}": minhash.proposed(jaccard) for jaccard in _jaccards(minhash.threshold)} if minhash else {},
        threshold=minhash.threshold if minhash else None,
        lr_mass_best_decile=best_decile_mass(recipe.curriculum),
        warnings=[f"[{warning['code']}] {warning['message']}" for warning in costs.manifest["warnings"]],
    )
    return replace(found, warnings=[*found.warnings, *_more_warnings(found, recipe)])


def _more_warnings(found: Estimate, recipe: Recipe) -> Iterator[str]:
    records = found.documents + found.rejects
    limit = recipe.max_rejects if isinstance(recipe.max_rejects, int) else recipe.max_rejects * records
    if found.rejects > limit:
        yield f"[rejects] about {found.rejects:,} of {records:,} records cannot be read; max_rejects is {recipe.max_rejects}"
    need = sum(found.disk.values())
    if found.disk_free is not None and need > found.disk_free:
        yield f"[disk] about {storage_size(need)} are needed, {storage_size(found.disk_free)} are free"


def _jaccards(threshold: float) -> list[float]:
    return sorted({*_CHANCES, threshold})


def _chosen(recipe: Recipe, counts: dict[str, Any], kept: float) -> float:
    """Tokens of the corpus that the selection makes of those that pass, repeats included. Of bins other than sources a sample
    says too little: then the budget, or all."""
    select = recipe.select
    if not select.is_active:
        return kept
    if select.bins != ("source",):
        return min(kept * select.max_epochs, select.tokens) if isinstance(select.tokens, int) else kept
    of = {name: source.get("kept_tokens", 0) for name, source in counts["sources"].items()} if select.by_bin else {"": 1}
    scale = kept / max(sum(of.values()), 1)
    whole = {name: round(tokens * scale) for name, tokens in of.items()}
    if select.mixture is not None:  # a sample need not hold every source
        whole = {name: 0 for name in select.mixture.weights if name != allocation.WILDCARD} | whole
    sizes, given = np.array(list(whole.values()), np.int64), None
    if select.mixture is not None:
        found = decide.allotted(whole, recipe)
        given = np.array([found[name] for name in whole], np.int64)
    return float(allocation.pools_and_budgets(pa.array(list(whole), pa.string()), sizes, given, select)[1].sum())


def _of_one_document(recipe: Recipe, folder: str) -> Recipe:
    path = f"{folder}/one.txt"
    Path(path).write_text("The cook drew the flour through the sieve.\n")
    only = recipe.input.model_copy(update={"paths": (path,), "format": "text"})
    return recipe.model_copy(update={"input": only})


def _rehearse(recipe: Recipe, run: str) -> _Costs:
    from tamis.pipelines.run.launch import launch

    spill = 0

    def watch(_: object) -> None:
        nonlocal spill
        spill = max(spill, _size(f"{run}/.spill"))

    result = launch(recipe, run, workers=1, watch=watch)
    manifest: dict[str, Any] = result.manifest
    found = (Part(run, entry["part"]).receipt() for entry in manifest["inputs"])
    receipts = [receipt for receipt in found if receipt is not None]
    return _Costs(manifest, result.seconds, sum(receipt.text_bytes for receipt in receipts), spill, receipts)


def _size(folder: str) -> int:
    found = 0
    for parent, _, names in os.walk(folder):
        for name in names:
            try:
                found += os.lstat(os.path.join(parent, name)).st_size
            except FileNotFoundError:
                continue  # it was used up meanwhile
    return found


def _peak() -> int:
    """Most memory that this process has held so far."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024


def _free(run: str) -> int | None:
    path = storage.local_path(run)
    if path is None:
        return None
    path = path.absolute()
    return shutil.disk_usage(next(place for place in (path, *path.parents) if place.exists())).free


def lines(found: Estimate) -> Iterator[str]:
    """The estimate for a person."""
    reused = f", {found.reused:,} rated already" if found.reused else ""
    size = storage_size(found.input_bytes)
    yield f"input      {counted(found.files, 'file')}, {size} in {counted(found.parts, 'part')}{reused}"
    sampled = f"(from {found.sample_documents:,} documents, {storage_size(found.sample_bytes)} of text)"
    text = f"{found.tokens:,} tokens, {storage_size(found.text_bytes)} of text"
    yield f"documents  about {found.documents:,} with {text} {sampled}"
    if found.rejects:
        yield f"rejects    about {found.rejects:,} records cannot be read"
    share = found.tokens_kept / found.tokens if found.tokens else 0.0
    kept = f"about {found.documents_kept:,} with {found.tokens_kept:,} tokens ({share:.0%})"
    yield f"kept       {kept}, fewer if copies are far apart"
    for reason, part in list(found.reasons.items())[:8]:
        yield f"  {part:6.1%}   {reason}"
    spent = ", ".join(f"{name} {duration(seconds)}" for name, seconds in found.seconds.items())
    whole = duration(sum(found.seconds.values()))
    yield f"time       about {whole} with {counted(found.workers, 'worker')} of this machine ({spent})"
    stays = sum(size for name, size in found.disk.items() if name != "temporary")
    free = f"; {storage_size(found.disk_free)} are free" if found.disk_free is not None else ""
    yield f"disk       about {storage_size(stays)}, and {storage_size(found.disk['temporary'])} while it runs{free}"
    yield f"memory     about {storage_size(found.memory)}"
    if found.proposed:
        chances = ", ".join(f"{jaccard}: {chance:.1%}" for jaccard, chance in found.proposed.items())
        yield f"MinHash    copies are proposed by their Jaccard similarity at {chances}; the threshold is {found.threshold:g}"
    yield f"order      the best tenth of the data gets {found.lr_mass_best_decile:.3%} of the learning rate's mass"
    for warning in found.warnings:
        yield f"warning    {warning}"
    yield f"nothing was written to {found.run}"
