"""What a run will take and keep, before it starts: a rehearsal of a small sample of its input, scaled up by measured costs.

The sample is read from the input as it is, and goes through the whole DAG in a temporary directory of this machine; others
of a single document tell what any run costs. Nothing is written where the run would be.
"""

from __future__ import annotations

import os
import resource
import shutil
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from pipelines import decide, plan
from pipelines.quantities import duration, storage_size
from pipelines.recipe import Recipe
from transforms import storage
from transforms.curriculum.lint import best_decile_mass
from transforms.documents import BATCH_BYTES
from transforms.read.options import Split
from transforms.select import budgets
from transforms.select.guards import Guards

SAMPLE_BYTES = 16 << 20
"""Decompressed bytes of the sample, at most about."""

_PIECE = BATCH_BYTES
"""Bytes of one split that the sample takes: the first."""

_AHEAD = 7 * _PIECE
"""Bytes behind them that are decompressed to see how much of the file they come from, since a reader reads ahead."""

_LOOKS = 256
"""Splits that the sample takes at most."""

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
class _Piece:
    """The beginning of a split as a file of its own. `factor`: the whole split holds so many times its documents."""

    uri: str
    size: int
    factor: float
    read: int
    seconds: float


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
    from pipelines import local
    from pipelines.warmup import is_warm

    splits = plan.list_input(recipe)
    work, _ = plan.assign(recipe, run, splits)
    pending = [item.split for item in work if not item.finished]
    size, left = sum(split.size for split in splits), sum(split.size for split in pending)
    workers = workers or local.default_workers(size)
    with tempfile.TemporaryDirectory(prefix="tamis-dry-run-") as folder:
        pieces = list(_sample(sorted(pending or splits, key=lambda split: (split.uri, split.start)), recipe, folder))
        before = _peak()
        rehearsed = recipe.model_copy(
            update={
                "input": recipe.input.model_copy(update={"paths": tuple(piece.uri for piece in pieces), "format": "auto"}),
                "max_rejects": 1.0,
                "select": budgets.Selection(),
                "guards": Guards(),
            }
        )
        one, warm = _of_one_document(rehearsed, folder), is_warm()
        cold = _rehearse(
            one, f"{folder}/cold"
        )  # loads the kernels, as every run does, or compiles them, as only the first does
        idle = _rehearse(one, f"{folder}/idle")
        costs = _rehearse(rehearsed, f"{folder}/run")
        memory = before + workers * max(_peak() - before, 0)
    fixed = (cold if warm else idle).seconds
    return _scaled(recipe, run, workers, splits, work, pieces, fixed, idle, costs, memory, size, left)


def _scaled(
    recipe: Recipe,
    run: str,
    workers: int,
    splits: list[Split],
    work: list[plan.Work],
    pieces: list[_Piece],
    fixed: dict[str, float],
    idle: _Costs,
    costs: _Costs,
    memory: int,
    size: int,
    left: int,
) -> Estimate:
    by_uri = {piece.uri: piece for piece in pieces}
    documents = rejects = text = 0.0
    sampled = {piece.uri: piece.size for piece in pieces}
    for receipt in costs.receipts:
        piece = by_uri[receipt.input["uri"]]
        documents += receipt.documents * piece.factor
        rejects += receipt.rejected * piece.factor
        text += receipt.text_bytes * piece.factor
    whole = size / max(sum(sampled.values()), 1)
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
        files=len({split.uri for split in splits}),
        parts=len(splits),
        reused=sum(item.finished for item in work),
        input_bytes=size,
        pending_bytes=left,
        sample_bytes=costs.text_bytes,
        sample_documents=read,
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
    if not select.asks:
        return kept
    if select.bins != ("source",):
        return min(kept * select.max_epochs, select.tokens) if isinstance(select.tokens, int) else kept
    of = {name: source.get("kept_tokens", 0) for name, source in counts["sources"].items()} if select.by_bin else {"": 1}
    scale = kept / max(sum(of.values()), 1)
    whole = {name: round(tokens * scale) for name, tokens in of.items()}
    if select.mixture is not None:  # a sample need not hold every source
        whole = {name: 0 for name in select.mixture.weights if name != budgets.OTHERS} | whole
    sizes, given = np.array(list(whole.values()), np.int64), None
    if select.mixture is not None:
        found = decide.allotted(whole, recipe)
        given = np.array([found[name] for name in whole], np.int64)
    return float(budgets.limits(pa.array(list(whole), pa.string()), sizes, given, select)[1].sum())


# --- the sample --------------------------------------------------------------------------------------------------------


def _sample(splits: list[Split], recipe: Recipe, folder: str) -> Iterator[_Piece]:
    """The beginnings of splits that lie spread over the bytes of the input; of a small input, all of it."""
    total = sum(split.size for split in splits)
    ends, sum_ = [], 0
    for split in splits:
        sum_ += split.size
        ends.append(sum_)
    seen: set[str] = set()
    taken = 0
    for number in _spread(splits, ends, total):
        split = splits[number]
        if split.format == "python-env":
            if split.uri not in seen:
                yield _Piece(split.uri, sum(other.size for other in splits if other.uri == split.uri), 1.0, 1, 0.0)
            seen.add(split.uri)
            taken += split.size
        else:
            cut = _cut_rows if split.format == "parquet" else _cut_bytes
            piece = cut(split, recipe, f"{folder}/piece-{number:06d}")
            yield piece
            taken += piece.read
        if taken >= SAMPLE_BYTES:
            return


def _spread(splits: list[Split], ends: list[int], total: int) -> Iterator[int]:
    """Numbers of splits: all of a few, else those at places that fill the bytes of the input ever more evenly."""
    from bisect import bisect_right

    if len(splits) <= _LOOKS:
        bits = max(len(splits) - 1, 1).bit_length()
        order = sorted(range(len(splits)), key=lambda number: int(f"{number:0{bits}b}"[::-1], 2))
        yield from order
        return
    seen = set()
    bits = _LOOKS.bit_length() - 1
    for look in range(_LOOKS):
        place = int(f"{look:0{bits}b}"[::-1], 2) / _LOOKS
        number = min(bisect_right(ends, place * total), len(splits) - 1)
        if number not in seen:
            seen.add(number)
            yield number


def _cut_bytes(split: Split, recipe: Recipe, stem: str) -> _Piece:
    """The first bytes of a split of lines, of a crawl or of a text, decompressed, up to the end of a record."""
    from transforms.read.compression import Stream

    began = time.thread_time()
    with storage.open_binary(split.uri) as file:
        stream = Stream(file, split.uri, split.start, split.stop)
        head, more = stream.read(_PIECE), stream.read(_AHEAD)
        given = len(head) + len(more)
        ended = given < _PIECE + _AHEAD
        # Of a compressed file a little more is read than was given; of another one, as much was used as was given.
        stored = split.size if ended else min(max(file.tell() - split.start, 1), given, split.size)
    seconds = time.thread_time() - began
    if split.format == "text" and recipe.input.text_unit == "file":
        head += more
    elif more:
        mark = b"\r\n\r\nWARC/" if split.format in ("warc", "wet") else b"\n"
        head = head[: head.rfind(mark) + (4 if len(mark) > 1 else 1)] or head
    if split.start and split.format not in ("warc", "wet"):
        head = head[head.find(b"\n") + 1 :]  # the line that the cut goes through is the last split's
    path = f"{stem}.{'txt' if split.format == 'text' else split.format}"
    Path(path).write_bytes(head)
    factor = given / max(len(head), 1) * split.size / max(stored, 1)
    return _Piece(path, split.size, factor, len(head), seconds * len(head) / max(given, 1))


def _cut_rows(split: Split, recipe: Recipe, stem: str) -> _Piece:
    """The first rows of a split of Parquet, as a file with the same columns."""
    import pyarrow.parquet as pq

    path = f"{stem}.parquet"
    with storage.open_binary(split.uri) as file:
        try:
            parquet = pq.ParquetFile(file)
        except (OSError, ValueError):  # it is rejected as a whole
            Path(path).write_bytes(b"PAR1")
            return _Piece(path, split.size, 1.0, 4, 0.0)
        last = parquet.num_row_groups if split.stop < 0 else split.stop
        groups = [parquet.metadata.row_group(number) for number in range(split.start, last)]
        rows = sum(group.num_rows for group in groups)
        each = sum(group.total_byte_size for group in groups) / max(rows, 1)
        wanted = max(1, int(_PIECE / max(each, 1)))
        taken = 0
        with pq.ParquetWriter(path, parquet.schema_arrow) as writer:
            for batch in parquet.iter_batches(min(wanted, 8192), range(split.start, last), use_threads=False):
                writer.write_batch(batch)
                taken += batch.num_rows
                if taken >= wanted:
                    break
    return _Piece(path, split.size, rows / max(taken, 1), int(taken * each), 0.0)


def _of_one_document(recipe: Recipe, folder: str) -> Recipe:
    path = f"{folder}/one.txt"
    Path(path).write_text("The cook drew the flour through the sieve.\n")
    only = recipe.input.model_copy(update={"paths": (path,), "format": "text"})
    return recipe.model_copy(update={"input": only})


# --- the rehearsal -----------------------------------------------------------------------------------------------------


def _rehearse(recipe: Recipe, run: str) -> _Costs:
    from pipelines.launch import launch
    from transforms.parts import Part

    spill = 0

    def watch(_: object) -> None:
        nonlocal spill
        spill = max(spill, _size(f"{run}/.spill"))

    result = launch(recipe, run, workers=1, watch=watch)
    manifest: dict[str, Any] = result.manifest
    receipts = [Part(run, entry["part"]).receipt() for entry in manifest["inputs"]]
    text = sum(receipt.text_bytes for receipt in receipts if receipt is not None)
    return _Costs(manifest, result.seconds, text, spill, [receipt for receipt in receipts if receipt is not None])


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
    yield f"input      {found.files:,} files, {storage_size(found.input_bytes)} in {found.parts:,} parts{reused}"
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
    yield f"time       about {whole} with {found.workers} workers of this machine ({spent})"
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
