"""`tamis run --dry-run`: estimates what a run takes and keeps by rehearsing it on a sample.

The sample goes through the whole DAG in a temporary directory on this machine. Of a large input, a
rehearsal of one document measures what any run costs, however small. A run of a small input takes
little more, so its time is between that of the sample and as many times more as there is more text.
Nothing is written to the run directory.
"""

import math
import os
import resource
import shutil
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from tamis.pipelines.decisions import budget
from tamis.pipelines.estimate.sample import SamplePiece, is_small, sample, sampled_input
from tamis.pipelines.formatting import duration, plural, storage_size
from tamis.pipelines.recipe.schema import Recipe
from tamis.pipelines.run.launch import launch
from tamis.pipelines.run.progress import MovementProgress, Observer
from tamis.pipelines.run.work_plan import PartTask, assign_parts, check_beginning, list_input, max_rejects
from tamis.transforms import storage
from tamis.transforms.core.manifest import Manifest, bytes_by_folder
from tamis.transforms.core.parts import PartReceipt
from tamis.transforms.curriculum.lint import best_decile_mass
from tamis.transforms.read.input_options import PYTHON_ENV
from tamis.transforms.select import allocation
from tamis.transforms.select.guards import Guards

_DOCUMENTS = pa.schema(
    {"source": pa.string(), "decision": pa.string(), "reason": pa.string(), "tokens": pa.int64(), "uri": pa.string()}
)
_JACCARDS = (0.5, 0.6, 0.7, 0.8, 0.9)


@dataclass(frozen=True)
class Estimate:
    """What a run would do, in bytes and seconds. `files`, `parts`, `reused` and `input_bytes` are
    exact; the rest are estimates. `reasons`: shares of the documents. `duplicates`: the least and
    the largest share, since a sample rarely contains both documents of a pair; the least is part of
    `reasons`, and `documents_kept` and `tokens_kept` are with the least. `seconds`: of each movement,
    at most; all together take at least `least_seconds`. `candidate_probability`: of duplicates, by
    Jaccard."""

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
    duplicates: tuple[float, float] | None
    workers: int
    seconds: dict[str, float]
    least_seconds: float
    disk: dict[str, int]
    disk_free: int | None
    memory: int
    candidate_probability: dict[str, float]
    jaccard_threshold: float | None
    lr_mass_best_decile: float
    warnings: list[str] = field(default_factory=list)


@dataclass(frozen=True)
class _Rehearsal:
    """One rehearsed run: its results and what it took."""

    manifest: Manifest
    seconds: dict[str, float]
    spill_bytes: int
    receipts: list[PartReceipt]
    documents: pa.Table
    """`source`, `decision`, `reason` and `tokens` of each document, and the `uri` it was read from."""

    @property
    def text_bytes(self) -> int:
        return sum(receipt.text_bytes for receipt in self.receipts)


class _Idle(NamedTuple):
    """Seconds of each movement of a run of one document: of a first one, which loads what any run
    needs, and of another one in the same process."""

    first: dict[str, float]
    warm: dict[str, float]


def estimate(recipe: Recipe, run: str, workers: int) -> Estimate:
    """Estimates a run; 0 workers: as many as pay. Raises RunError as the run would."""
    from tamis.pipelines.cli.compile_kernels import is_warm
    from tamis.pipelines.runners.local import default_workers

    splits, _ = list_input(recipe, run)
    check_beginning(recipe, splits)
    tasks = assign_parts(recipe, run, splits)
    splits = [split for task in tasks for split in task.splits]
    workers = workers or default_workers(sum(split.size for split in splits))
    with tempfile.TemporaryDirectory(prefix="tamis-dry-run-") as folder:
        pieces = sample(sorted(splits, key=lambda split: (split.uri, split.start)), recipe, folder)
        peak = _peak_memory()
        update: dict[str, object] = {"max_rejects": 1.0, "select": allocation.Selection(), "guards": Guards()}
        # Of a sample, and of one document, most scores belong to no document.
        limits = {"max_unscored": 1.0, "max_unused": 1.0}
        update["scores"] = {name: scores.model_copy(update=limits) for name, scores in recipe.scores.items()}
        sample_recipe = recipe.model_copy(update={"input": sampled_input(recipe.input, pieces), **update})
        if is_small(splits):
            idle = None
        else:
            one_document, warm = _one_document_recipe(sample_recipe, folder), is_warm()
            # The first one loads the kernels, as every run does, or compiles them, as few runs do.
            first, again = (_rehearse(one_document, f"{folder}/{name}").seconds for name in ("first", "again"))
            idle = _Idle(first if warm else again, again)
        rehearsal = _rehearse(sample_recipe, f"{folder}/run")
        memory = peak + workers * max(_peak_memory() - peak, 0)
    return _scale(recipe, run, workers, tasks, pieces, _factors(pieces, rehearsal.receipts), idle, rehearsal, memory)


def _factors(pieces: list[SamplePiece], receipts: list[PartReceipt]) -> dict[str, float]:
    """The factors by file; those of distributions are corrected, which may yield less than
    `harvest_bytes`."""
    planned = sum(piece.size for piece in pieces if piece.uri.startswith(PYTHON_ENV))
    inputs = [entry for receipt in receipts for entry in receipt.inputs]
    harvested = sum(entry.size for entry in inputs if entry.uri.startswith(PYTHON_ENV))
    less = planned / harvested if harvested else 1.0
    return {piece.uri: piece.factor * (less if piece.uri.startswith(PYTHON_ENV) else 1.0) for piece in pieces}


def _scale(
    recipe: Recipe,
    run: str,
    workers: int,
    tasks: list[PartTask],
    pieces: list[SamplePiece],
    factors: dict[str, float],
    idle: _Idle | None,
    rehearsal: _Rehearsal,
    memory: int,
) -> Estimate:
    input_bytes = sum(task.size for task in tasks)
    pending_bytes = sum(task.size for task in tasks if not task.finished)
    rejects = text = 0.0
    for receipt in rehearsal.receipts:
        for entry in receipt.inputs:
            rejects += entry.rejected * factors[entry.uri]
            text += receipt.text_bytes * factors[entry.uri] * entry.documents / max(receipt.documents, 1)
    sampled = rehearsal.documents
    weight = np.array([factors[uri] for uri in sampled["uri"].to_pylist()])
    documents = float(weight.sum())
    weighted_tokens = weight * sampled["tokens"].to_numpy()
    kept = pc.equal(sampled["decision"], "keep").to_numpy()
    sources = np.array(sampled["source"].to_pylist(), object)
    kept_tokens = {name: {"kept_tokens": round(float(weighted_tokens[kept & (sources == name)].sum()))} for name in {*sources}}
    passed_tokens = float(weighted_tokens[kept].sum())
    tokens_kept = selected_tokens(recipe, kept_tokens, passed_tokens)
    kept_share = tokens_kept / passed_tokens if passed_tokens else 0.0
    reasons = _shares(sampled["reason"], weight)
    duplicates = _duplicates(recipe, reasons, float(weight[kept].sum()) / max(documents, 1), len(sampled), documents)
    sample_text = max(rehearsal.text_bytes, 1)
    pending_text = text * pending_bytes / max(input_bytes, 1)
    reading = sum(piece.seconds for piece in pieces) / max(sum(piece.read for piece in pieces), 1)

    def seconds(movement: str, text_bytes: float, seconds_per_byte: float = 0.0) -> float:
        if idle is None:
            return round(rehearsal.seconds[movement] * max(1.0, text_bytes / sample_text), 1)
        seconds_per_byte += max(rehearsal.seconds[movement] - idle.warm[movement], 0.0) / sample_text
        return round(idle.first[movement] + seconds_per_byte * text_bytes / workers, 1)

    folders = bytes_by_folder(rehearsal.manifest)
    disk = {name: folders.get(name, 0) / sample_text * text for name in ("rated", "sketches", "decisions", "data")}
    disk["data"] *= kept_share
    disk["temporary"] = rehearsal.spill_bytes / sample_text * text
    taken = {
        "rate": seconds("rate", pending_text, reading) if pending_bytes else 0.0,
        "decide": seconds("decide", text),
        "emit": seconds("emit", text),
    }
    least = {name: rehearsal.seconds[name] if idle is None else most for name, most in taken.items() if most}
    minhash = recipe.dedup.minhash if recipe.dedup is not None else None
    jaccards = sorted({*_JACCARDS, minhash.threshold}) if minhash else []
    estimated = Estimate(
        run=run,
        files=len({split.uri for task in tasks for split in task.splits}),
        parts=len(tasks),
        reused=sum(task.finished for task in tasks),
        input_bytes=input_bytes,
        pending_bytes=pending_bytes,
        sample_bytes=rehearsal.text_bytes,
        sample_documents=len(sampled),
        documents=round(documents),
        text_bytes=round(text),
        rejects=round(rejects),
        tokens=round(float(weighted_tokens.sum())),
        documents_kept=round(float(weight[kept].sum()) * kept_share),
        tokens_kept=round(tokens_kept),
        reasons=reasons,
        duplicates=duplicates,
        workers=workers,
        seconds=taken,
        least_seconds=round(sum(least.values()), 1),
        disk={name: round(size) for name, size in disk.items()},
        disk_free=_free_disk(run),
        memory=memory,
        candidate_probability={f"{j:g}": minhash.candidate_probability(j) for j in jaccards} if minhash else {},
        jaccard_threshold=minhash.threshold if minhash else None,
        lr_mass_best_decile=best_decile_mass(recipe.curriculum),
        warnings=[f"[{warning['code']}] {warning['message']}" for warning in rehearsal.manifest["warnings"]],
    )
    return replace(estimated, warnings=[*estimated.warnings, *_limit_warnings(estimated, recipe)])


def _limit_warnings(estimate: Estimate, recipe: Recipe) -> Iterator[str]:
    rejects, records = estimate.rejects, estimate.documents + estimate.rejects
    if rejects > max_rejects(recipe, records):
        yield f"[rejects] about {rejects:,} of {records:,} records cannot be read; max_rejects is {recipe.max_rejects}"
    disk = sum(estimate.disk.values())
    if estimate.disk_free is not None and disk > estimate.disk_free:
        yield f"[disk] the run needs about {storage_size(disk)}, but {storage_size(estimate.disk_free)} are free"


def selected_tokens(recipe: Recipe, sources: Mapping[str, Mapping[str, int]], tokens: float) -> float:
    """Tokens that the selection makes of the `tokens` that pass all thresholds, repeats included.
    `sources` are the counts of a sample's manifest. For bins other than sources a sample says too
    little: the result is then the budget, or all tokens. Nor does it say how many duplicates documents
    have, so all are counted once."""
    select = recipe.select
    if not select.is_ranked:
        return tokens
    if select.bins != ("source",):
        return min(tokens * select.most_epochs, select.tokens) if isinstance(select.tokens, int) else tokens
    kept = {name: source.get("kept_tokens", 0) for name, source in sources.items()} if select.by_bin else {"": 1}
    scale = tokens / max(sum(kept.values()), 1)
    bins = {name: round(count * scale) for name, count in kept.items()}
    budgets = None
    if select.mixture is not None:  # a sample need not hold every source
        bins = {name: 0 for name in select.mixture.weights if name != allocation.WILDCARD} | bins
        by_bin = budget.mixture_budgets(bins, select)
        budgets = np.array([by_bin[name] for name in bins], np.int64)
    sizes = np.array(list(bins.values()), np.int64)
    return float(allocation.pools_and_budgets(pa.array(list(bins), pa.string()), sizes, budgets, select)[1].sum())


def _one_document_recipe(recipe: Recipe, folder: str) -> Recipe:
    path = f"{folder}/one.txt"
    Path(path).write_text("The cook drew the flour through the sieve.\n")
    options = recipe.input.model_copy(update={"paths": (path,), "format": "text"})
    # Rules would leave no document.
    no_rules: dict[str, object] = {"thresholds": {}}
    for kind in ("per_source", "per_language"):
        no_rules[kind] = {name: block.model_copy(update={"thresholds": {}}) for name, block in getattr(recipe, kind).items()}
    return recipe.model_copy(update={"input": options, **no_rules})


class _SpillSize(Observer):
    """Measures the most bytes that a run spills."""

    def __init__(self, run: str) -> None:
        self._folder = f"{run}/.spill"
        self.bytes = 0

    def progress(self, movements: Mapping[str, MovementProgress]) -> None:
        self.bytes = max(self.bytes, _folder_size(self._folder))


def _rehearse(recipe: Recipe, run: str) -> _Rehearsal:
    spill = _SpillSize(run)
    result = launch(recipe, run, workers=1, observer=spill)
    receipts, documents = [], [_DOCUMENTS.empty_table()]
    for ordinal in range(len(result.manifest["parts"])):
        receipt = result.release.part(ordinal).receipt()
        if receipt is not None:
            receipts.append(receipt)
            path = Path(result.release.folder, f"decisions/part-{ordinal:05d}.parquet")
            table = pq.read_table(path, columns=[name for name in _DOCUMENTS.names if name != "uri"])
            uris = np.repeat([entry.uri for entry in receipt.inputs], [entry.documents for entry in receipt.inputs])
            documents.append(table.append_column("uri", pa.array(uris, pa.string())).cast(_DOCUMENTS))
    return _Rehearsal(result.manifest, result.seconds, spill.bytes, receipts, pa.concat_tables(documents))


def _shares(reasons: pa.ChunkedArray, weight: npt.NDArray[np.float64]) -> dict[str, float]:
    """The share of the documents that each reason has, the largest first."""
    table = pa.table({"reason": reasons, "weight": weight}).group_by("reason").aggregate([("weight", "sum")])
    counts = {row["reason"]: row["weight_sum"] / float(weight.sum()) for row in table.to_pylist() if row["reason"] is not None}
    return dict(sorted(counts.items(), key=lambda item: (-item[1], item[0])))


def _duplicates(
    recipe: Recipe, reasons: Mapping[str, float], kept: float, sampled: int, documents: float
) -> tuple[float, float] | None:
    """The least and the largest share of duplicates in the input, with 95 % confidence.

    Both documents of a pair are in the sample with the chance of one if they are neighbours, and with
    its square if they are far apart; groups are in between. So the share in the sample is at most
    the true one, and at least that times the share of documents that were sampled.
    """
    if recipe.dedup is None or not recipe.dedup.exact:
        return None
    share = sum(part for reason, part in reasons.items() if reason.startswith("dedup."))
    if sampled >= round(documents):
        return share, share
    found = share * sampled
    least = max(0.0, found - 2 * math.sqrt(found)) / max(sampled, 1)
    most = (found + 2 * math.sqrt(found) + 3) / max(sampled, 1) * documents / max(sampled, 1)
    return least, min(most, kept + share)


def _folder_size(folder: str) -> int:
    size = 0
    for parent, _, names in os.walk(folder):
        for name in names:
            with suppress(FileNotFoundError):  # the run has removed it
                size += os.lstat(os.path.join(parent, name)).st_size
    return size


def _peak_memory() -> int:
    """The most memory that this process has used so far."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024


def _free_disk(run: str) -> int | None:
    path = storage.local_path(run)
    if path is None:
        return None
    path = path.absolute()
    return shutil.disk_usage(next(folder for folder in (path, *path.parents) if folder.exists())).free


def _margin(part: float, estimate: Estimate) -> str:
    """How far off a share of the documents may be, with 95 % confidence; nothing if all were read."""
    sampled, documents = estimate.sample_documents, max(estimate.documents, 1)
    if sampled >= documents:
        return ""
    return f"±{2 * math.sqrt(part * (1 - part) / max(sampled, 1) * (1 - sampled / documents)):.1%}"


def lines(estimate: Estimate) -> Iterator[str]:
    """The estimate for a person."""
    reused = f", {estimate.reused:,} rated already" if estimate.reused else ""
    size = storage_size(estimate.input_bytes)
    yield f"input      {plural(estimate.files, 'file')}, {size} in {plural(estimate.parts, 'part')}{reused}"
    source = f"(from {estimate.sample_documents:,} documents, {storage_size(estimate.sample_bytes)} of text)"
    text = f"{estimate.tokens:,} tokens, {storage_size(estimate.text_bytes)} of text"
    yield f"documents  about {estimate.documents:,} with {text} {source}"
    if estimate.rejects:
        yield f"rejects    about {estimate.rejects:,} records cannot be read"
    share = estimate.tokens_kept / estimate.tokens if estimate.tokens else 0.0
    kept = f"about {estimate.documents_kept:,} with {estimate.tokens_kept:,} tokens ({share:.0%})"
    fewest, most = estimate.duplicates or (0.0, 0.0)
    yield f"kept       {kept}" + (", fewer if duplicates are far apart" if most > fewest else "")
    for reason, part in list(estimate.reasons.items())[:8]:
        yield f"  {part:6.1%} {_margin(part, estimate):<7} {reason}".rstrip()
    if most > fewest:
        yield f"duplicates {fewest:.1%} to {most:.1%}; a sample has few pairs that are far apart"
    movements = ", ".join(f"{name} {duration(seconds)}" for name, seconds in estimate.seconds.items())
    least, total = duration(estimate.least_seconds), duration(sum(estimate.seconds.values()))
    about = f"about {total}" if least == total else f"{least} to {total}"
    movements = movements if least == total else f"at most {movements}"
    yield f"time       {about} with {plural(estimate.workers, 'worker')} on this machine ({movements})"
    stays = sum(size for name, size in estimate.disk.items() if name != "temporary")
    free = f"; {storage_size(estimate.disk_free)} are free" if estimate.disk_free is not None else ""
    yield f"disk       about {storage_size(stays)}, and {storage_size(estimate.disk['temporary'])} during the run{free}"
    yield f"memory     about {storage_size(estimate.memory)}"
    if estimate.jaccard_threshold is not None:
        chances = ", ".join(f"{jaccard}: {chance:.1%}" for jaccard, chance in estimate.candidate_probability.items())
        yield f"MinHash    finds duplicates of Jaccard similarity {chances}; the threshold is {estimate.jaccard_threshold:g}"
    yield f"order      the best tenth of the data gets {estimate.lr_mass_best_decile:.3%} of the learning-rate mass"
    for warning in estimate.warnings:
        yield f"warning    {warning}"
    yield f"nothing was written to {estimate.run}"
