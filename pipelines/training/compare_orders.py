"""`tamis proxy-orders`: trains small models on a run in each order × schedule × averaging, and
compares their losses.

This is the experiment of arXiv 2511.18903 at proxy size, for any run that has a quality. A tenth
of the best tenth is held out; every order trains once on all other documents. Each finished
training is saved under a digest of its inputs: the same command resumes where it stopped, and
trains once what two orders share.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from itertools import product
from typing import TYPE_CHECKING, Any, Final

import numpy as np
import numpy.typing as npt

from tamis.pipelines.training.rank_runs import ProxyTraining, torch_parts
from tamis.transforms import storage
from tamis.transforms.core.arrays import Floats, Ints
from tamis.transforms.core.errors import RunError
from tamis.transforms.core.options import fingerprint
from tamis.transforms.core.schedule import Schedule
from tamis.transforms.curriculum.checkpoint_weights import Averaging, Checkpoints, averaging_weights
from tamis.transforms.curriculum.order import Curriculum, Ordering, place, quantile, sort_value
from tamis.transforms.curriculum.training_plan import planned_checkpoints
from tamis.transforms.feed.packing import PackedBatch
from tamis.transforms.proxy import agreement

if TYPE_CHECKING:
    from tamis.transforms.proxy.model import Shape

VERSION: Final = 1
"""Raise it when the same inputs would give another loss: saved trainings are then not used."""

AVERAGINGS: Final[tuple[Averaging, ...]] = ("none", "sma", "ema")
BASELINE: Final = ("uniform", "wsd", "none")

WARMUP: Final = 0.02
FLOOR: Final = 1 / 300  # where full decays end, as a share of the peak: 3e-3 to 1e-5 in the paper


def orders(half_lives: Sequence[float]) -> dict[str, Ordering]:
    """The orders to compare, by name. Each half-life, a share of the run, is a separate order."""
    weighted = {f"lr_weighted {half_life}": Ordering(order="lr_weighted", half_life=half_life) for half_life in half_lives}
    return {"uniform": Ordering(), "ascending": Ordering(order="ascending"), **weighted}


def schedules(peak: float) -> dict[str, Schedule]:
    """The schedules to compare, by name. That of the baseline comes first."""
    return {
        "wsd": Schedule(peak=peak, final=peak * FLOOR, warmup=WARMUP),
        "moderate": Schedule.moderate(peak, warmup=WARMUP),
        "constant": Schedule(shape="constant", peak=peak, warmup=WARMUP),
        "cosine": Schedule(shape="cosine", peak=peak, final=peak * FLOOR, warmup=WARMUP),
    }


@dataclass(frozen=True)
class TokenizedCorpus:
    """Documents as concatenated ids, each with an end id, and the columns they are ordered by."""

    ids: npt.NDArray[np.int32]
    lengths: Ints
    quality: npt.NDArray[np.float32]
    tie_break: npt.NDArray[np.uint64]
    source: Ints


def read_corpus(run: str, tokenizer: str) -> TokenizedCorpus:
    """The documents of a finished run. Raises RunError if it has no quality to order by."""
    import pyarrow as pa

    from tamis.transforms.feed.corpus_index import CorpusReader, load_corpus
    from tamis.transforms.feed.text_to_ids import load_tokenizer
    from tamis.transforms.text.hashing import hash_texts

    shards = load_corpus(run).shards
    reader = CorpusReader(shards)
    columns = ("id", "text", "source", "quality")
    table = pa.concat_tables([part for index in range(len(shards)) for part in reader.rows(index, *columns)])
    quality = table["quality"].to_numpy().astype(np.float32)
    if not len(quality) or np.isnan(quality).all() or np.nanmin(quality) == np.nanmax(quality):
        raise RunError(f"{run}: the documents have no quality, or all the same one, so there is nothing to order by")
    encoder = load_tokenizer(tokenizer)
    ids, lengths = encoder.encode(table["text"].combine_chunks().cast(pa.large_string()))
    if encoder.end is not None:
        ids, lengths = np.insert(ids, np.cumsum(lengths), encoder.end), lengths + 1
    source = table["source"].combine_chunks().cast(pa.large_string()).dictionary_encode().indices.fill_null(-1).to_numpy()
    tie_break = hash_texts(table["id"].combine_chunks().cast(pa.large_string()))
    return TokenizedCorpus(ids, lengths, quality, tie_break, source.astype(np.int64))


def held_out(corpus: TokenizedCorpus) -> npt.NDArray[np.bool_]:
    """The validation documents: a tenth of the best tenth of the tokens, drawn by tie break."""
    by_quality = np.lexsort((corpus.tie_break, corpus.quality))
    through = np.empty(len(by_quality))
    through[by_quality] = np.cumsum(corpus.lengths[by_quality])
    return np.asarray((through > 0.9 * corpus.lengths.sum()) & (corpus.tie_break % np.uint64(10) == 0))


def order_documents(corpus: TokenizedCorpus, documents: Ints, curriculum: Curriculum) -> Ints:
    """The documents in the order of a one-phase curriculum, with sources interleaved by tokens."""
    phase, cells = curriculum.effective_phases[0], curriculum.cells(0)
    through, source_tokens = np.empty(len(documents)), np.empty(len(documents))
    for source in np.unique(corpus.source[documents]):
        rows = np.flatnonzero(corpus.source[documents] == source)
        own = documents[rows]
        quality, tie_break, tokens = corpus.quality[own], corpus.tie_break[own], corpus.lengths[own]
        by_quality = _tokens_through(np.lexsort((tie_break, quality)), tokens)
        values = sort_value(phase, quality, tie_break, quantile(by_quality, tokens, tokens.sum()), cells)
        through[rows], source_tokens[rows] = _tokens_through(np.lexsort((tie_break, values)), tokens), tokens.sum()
    return np.asarray(documents[np.lexsort((corpus.tie_break[documents], place(through, source_tokens)))])


def make_batches(corpus: TokenizedCorpus, documents: Ints, length: int, batch_size: int) -> list[PackedBatch]:
    """The documents, concatenated and cut into sequences. The last batch may be smaller."""
    starts = np.cumsum(corpus.lengths) - corpus.lengths
    size = corpus.lengths[documents]
    inside = np.arange(size.sum()) - np.repeat(np.cumsum(size) - size, size)
    tokens = corpus.ids[np.repeat(starts[documents], size) + inside]
    full = len(tokens) // length * length
    shape = (-1, length)
    owner = np.repeat(np.arange(len(documents)), size)[:full].reshape(shape)
    segments = (owner - owner[:, :1] + 1).astype(np.int32) if full else owner.astype(np.int32)
    column = np.arange(length)[None]
    first = np.where(np.diff(segments, axis=1, prepend=0) > 0, column, 0)
    positions = (column - np.maximum.accumulate(first, axis=1)).astype(np.int32)
    sequences = tokens[:full].reshape(shape).astype(np.int64)
    slices = [slice(at, at + batch_size) for at in range(0, len(segments), batch_size)]
    return [PackedBatch(sequences[rows], segments[rows], positions[rows]) for rows in slices]


def compare(
    run: str, options: ProxyTraining, output: str, half_lives: Sequence[float], log: Callable[[str], None] = lambda line: None
) -> dict[str, Any]:
    """Trains each order under each schedule for each seed; updates orders.json and orders.svg in
    `output` after each. Raises RunError if the run is too small or has no quality, ImportError
    without torch."""
    train, evaluate, average_states, shape = torch_parts(options)
    from tamis.transforms.proxy.train import unigram_entropy

    corpus = read_corpus(run, options.tokenizer)
    validation = held_out(corpus)
    documents = np.flatnonzero(~validation)
    sizes = options.sequence_length, options.batch_size
    steps = int(corpus.lengths[documents].sum()) // (options.sequence_length * options.batch_size)
    best = make_batches(corpus, np.flatnonzero(validation), *sizes)
    sequences = sum(len(batch.tokens) for batch in best)
    if steps < 6 or not sequences:
        raise RunError(f"{run} is too small: {steps} training steps and {sequences} validation sequences; needs 6 and 1")
    points = [checkpoint.token for checkpoint in planned_checkpoints(Checkpoints(spacing=max(0.01, 1 / steps)), steps)]
    time = np.arange(steps + 1) / steps
    result: dict[str, Any] = {
        "run": run,
        "options": options.model_dump(mode="json"),
        "tokens": steps * options.batch_size * options.sequence_length,
        "validation_tokens": sequences * options.sequence_length,
        "unigram_entropy": unigram_entropy(best),
        "checkpoints": points,
        "cells": [],
        "warnings": [],
    }
    baseline = np.zeros(0)
    for (name, schedule), (order, ordering) in product(
        schedules(options.learning_rates[0]).items(), orders(half_lives).items()
    ):
        curriculum = Curriculum(schedule=schedule, **dict(ordering))
        batches = make_batches(corpus, order_documents(corpus, documents, curriculum), *sizes)
        rates = (schedule.mass(time[:-1], time[1:]) * steps).tolist()
        losses: dict[str, list[float]] = {kind: [] for kind in AVERAGINGS}
        for seed in range(options.seeds):
            uri = storage.join(output, "trainings", f"{_digest(shape, seed, batches, rates, points, best)}.json")
            if not storage.exists(uri):
                training = train(shape, seed, batches, rates, points, options.device)
                models = {
                    kind: average_states(training.model, training.states, averaging_weights(kind, len(points)))
                    for kind in AVERAGINGS
                }
                measured = {kind: evaluate(model, best, options.device) for kind, model in models.items()}
                storage.write_bytes(uri, json.dumps(measured).encode())
            for kind, loss in storage.read_json(uri).items():
                losses[kind].append(loss)
            log(f"{order}, {name}, seed {seed}: {losses['none'][-1]:.5f}")
        if (order, name) == BASELINE[:2]:
            baseline = np.array(losses[BASELINE[2]])
        result["cells"] += [_cell((order, name, kind), np.array(values), baseline) for kind, values in losses.items()]
        lowest = min(cell["loss"] for cell in result["cells"])
        result["warnings"] = agreement.under_trained(options.learning_rates[0], lowest, result["unigram_entropy"])
        storage.write_bytes(storage.join(output, "orders.json"), (json.dumps(result, indent=1) + "\n").encode())
        storage.write_bytes(storage.join(output, "orders.svg"), draw(result).encode())
    return result


def lines(result: dict[str, Any]) -> Iterator[str]:
    """The result as a table, lowest loss first, with the gain over the baseline."""
    width = max(len(cell["order"]) for cell in result["cells"])
    yield f"{result['tokens']:,} tokens per training; loss on {result['validation_tokens']:,} held-out tokens of the best tenth"
    yield f"  {'loss':>9}  {'order':<{width}} {'schedule':<9} {'mean':<5} gain over {', '.join(BASELINE)} [95 % interval]"
    for cell in sorted(result["cells"], key=lambda cell: cell["loss"]):
        gain = f"{cell['gain']:+.5f}"
        bounds = "" if cell["gain_low"] is None else f" [{cell['gain_low']:+.5f}, {cell['gain_high']:+.5f}]"
        yield f"  {cell['loss']:9.5f}  {cell['order']:<{width}} {cell['schedule']:<9} {cell['averaging']:<5} {gain}{bounds}"


def draw(result: dict[str, Any]) -> str:
    """The losses as SVG: a column per schedule and averaging, a dot with interval per order."""
    cells = result["cells"]
    columns = list(dict.fromkeys((cell["schedule"], cell["averaging"]) for cell in cells))
    ends = [cell[end] for cell in cells for end in ("low", "loss", "high") if cell[end] is not None]
    low, high = min(ends), max(ends)
    span = (high - low) or 1.0

    def y(loss: float) -> float:
        return 30 + 300 * (high - loss) / span

    colours = _colours(list(dict.fromkeys(cell["order"] for cell in cells)))
    column = 24 + 12 * len(colours)
    width = 90 + max(column * len(columns), 140 * len(colours))
    marks = ['<rect width="100%" height="100%" fill="#fff"/>', '<text x="6" y="18">nats</text>']
    marks += [
        f'<text x="{90 + 140 * index}" y="18" fill="{colour}">{order}</text>'
        for index, (order, colour) in enumerate(colours.items())
    ]
    marks += [
        f'<text x="6" y="{y(loss) + 4:.1f}">{loss:.3f}</text>'
        f'<path d="M56 {y(loss):.1f}H{70 + column * len(columns)}" stroke="#ddd"/>'
        for loss in np.linspace(low, high, 5).tolist()
    ]
    for at, (schedule, averaging) in enumerate(columns):
        middle = 70 + column * at + column // 2
        marks.append(f'<text x="{middle}" y="350" text-anchor="middle">{schedule}</text>')
        marks.append(f'<text x="{middle}" y="364" text-anchor="middle">{averaging}</text>')
    for cell in cells:
        before = column * columns.index((cell["schedule"], cell["averaging"])) + 12 * list(colours).index(cell["order"])
        x, colour = 88 + before, colours[cell["order"]]
        if cell["low"] is not None:
            marks.append(f'<path d="M{x} {y(cell["low"]):.1f}V{y(cell["high"]):.1f}" stroke="{colour}"/>')
        marks.append(f'<circle cx="{x}" cy="{y(cell["loss"]):.1f}" r="4" fill="{colour}"/>')
    size = f'width="{width}" height="376"'
    style = 'font-family="sans-serif" font-size="12"'
    return f'<svg xmlns="http://www.w3.org/2000/svg" {size} {style}>\n' + "\n".join(marks) + "\n</svg>\n"


def _colours(orders: Sequence[str]) -> dict[str, str]:
    """Grey and orange for the first two orders, then blues from light to dark."""
    first, weighted = ("#777777", "#d95f02"), max(len(orders) - 2, 1)
    blues = [f"hsl(207, 80%, {75 - 50 * (index + 1) / (weighted + 1):.0f}%)" for index in range(weighted)]
    return dict(zip(orders, (*first, *blues), strict=False))


def _tokens_through(order: npt.NDArray[np.intp], tokens: Ints) -> Floats:
    """Tokens up to and including each document, in that order."""
    through = np.empty(len(order))
    through[order] = np.cumsum(tokens[order])
    return through


def _digest(
    shape: Shape, seed: int, batches: list[PackedBatch], rates: list[float], points: list[int], best: list[PackedBatch]
) -> str:
    """A digest of everything that decides the losses of a training, except the machine."""
    data = hashlib.blake2b(digest_size=16)
    for batch in (*batches, *best):
        for values in (batch.tokens, batch.segments, batch.positions):
            data.update(str(values.shape).encode() + values.tobytes())
    return fingerprint([VERSION, shape.model_dump(), seed, rates, points, data.hexdigest()])


def _cell(key: tuple[str, str, str], values: Floats, baseline: Floats) -> dict[str, Any]:
    loss, gain = agreement.interval(values), agreement.interval(baseline - values)
    several = len(values) > 1
    return {
        **dict(zip(("order", "schedule", "averaging"), key, strict=True)),
        "loss": loss.mean,
        "low": loss.low if several else None,
        "high": loss.high if several else None,
        "gain": gain.mean,
        "gain_low": gain.low if several else None,
        "gain_high": gain.high if several else None,
        "seeds": values.tolist(),
    }
