"""`tamis proxy-orders`: does the order pay? One run's documents, in each order under each schedule, averaged in each way.

The experiment of arXiv 2511.18903 at the size of a proxy, on whatever corpus has a quality. Held out is a tenth of the best
tenth; all else is trained on, once, the same documents in each order. Each finished training is kept under a digest of what
it was given: the same command goes on where it was stopped, and what two conditions share is trained once.
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
from tamis.transforms.core.errors import RunError
from tamis.transforms.core.options import fingerprint
from tamis.transforms.core.schedule import Schedule
from tamis.transforms.curriculum.checkpoint_weights import Averaging, Checkpoints, weights
from tamis.transforms.curriculum.order import Curriculum, Ordering, place, quantile, sort_value
from tamis.transforms.curriculum.training_plan import planned_checkpoints
from tamis.transforms.proxy import agreement

if TYPE_CHECKING:
    from tamis.transforms.proxy.model import Shape

VERSION: Final = 1
"""Of what a training gives for what it is given."""

AVERAGINGS: Final[tuple[Averaging, ...]] = ("none", "sma", "ema")
BASELINE: Final = ("uniform", "wsd", "none")

WARMUP: Final = 0.02
FLOOR: Final = 1 / 300
"""Where the full decays end, as a share of the peak: 3e-3 to 1e-5 in the paper."""


def orders(half_lives: Sequence[float]) -> dict[str, Ordering]:
    """Those compared, by name: `lr_weighted` with each half-life, a share of the run, is one of its own."""
    weighted = {f"lr_weighted {half_life}": Ordering(order="lr_weighted", half_life=half_life) for half_life in half_lives}
    return {"uniform": Ordering(), "ascending": Ordering(order="ascending"), **weighted}


def schedules(peak: float) -> dict[str, Schedule]:
    """Those compared, by name; the baseline's is the first to be trained under."""
    return {
        "wsd": Schedule(peak=peak, final=peak * FLOOR, warmup=WARMUP),
        "moderate": Schedule.moderate(peak, warmup=WARMUP),
        "constant": Schedule(shape="constant", peak=peak, warmup=WARMUP),
        "cosine": Schedule(shape="cosine", peak=peak, final=peak * FLOOR, warmup=WARMUP),
    }


@dataclass(frozen=True)
class Corpus:
    """Documents as ids behind each other, `lengths` apart (an end with each), and what they are ordered by."""

    ids: npt.NDArray[np.int32]
    lengths: npt.NDArray[np.int64]
    quality: npt.NDArray[np.float32]
    tie_break: npt.NDArray[np.uint64]
    source: npt.NDArray[np.int64]


@dataclass(frozen=True)
class Rows:
    """Sequences of (rows, length), as `tamis.transforms.proxy.train` takes them."""

    tokens: npt.NDArray[np.int64]
    segments: npt.NDArray[np.int32]
    positions: npt.NDArray[np.int32]


def read(run: str, tokenizer: str) -> Corpus:
    """The documents of a finished run. RunError when it has no quality to order by."""
    import pyarrow as pa

    from tamis.transforms.feed.corpus_index import CorpusReader, load_corpus
    from tamis.transforms.feed.encode import load_tokenizer
    from tamis.transforms.text.hashing import hash_texts

    shards = load_corpus(run).shards
    texts = CorpusReader(shards)
    columns = ("id", "text", "source", "quality")
    table = pa.concat_tables([part for index in range(len(shards)) for part in texts.rows(index, *columns)])
    quality = table["quality"].to_numpy().astype(np.float32)
    if not len(quality) or np.isnan(quality).all() or np.nanmin(quality) == np.nanmax(quality):
        raise RunError(f"{run}: its documents have no quality, or all the same: there is nothing to order by")
    encoder = load_tokenizer(tokenizer)
    ids, lengths = encoder.encode(table["text"].combine_chunks().cast(pa.large_string()))
    if encoder.end is not None:
        ids, lengths = np.insert(ids, np.cumsum(lengths), encoder.end), lengths + 1
    source = table["source"].combine_chunks().cast(pa.large_string()).dictionary_encode().indices.fill_null(-1).to_numpy()
    tie_break = hash_texts(table["id"].combine_chunks().cast(pa.large_string()))
    return Corpus(ids, lengths, quality, tie_break, source.astype(np.int64))


def held_out(corpus: Corpus) -> npt.NDArray[np.bool_]:
    """Which documents are validated on: of the best tenth, by tokens, those whose tie is a multiple of ten."""
    by_quality = np.lexsort((corpus.tie_break, corpus.quality))
    through = np.empty(len(by_quality))
    through[by_quality] = np.cumsum(corpus.lengths[by_quality])
    return np.asarray((through > 0.9 * corpus.lengths.sum()) & (corpus.tie_break % np.uint64(10) == 0))


def ordered(corpus: Corpus, chosen: npt.NDArray[np.int64], curriculum: Curriculum) -> npt.NDArray[np.int64]:
    """`chosen` documents as the curriculum of one phase has them, each source in its own order, interleaved by tokens."""
    phase, cells = curriculum.effective_phases[0], curriculum.cells(0)
    at, whole = np.empty(len(chosen)), np.empty(len(chosen))
    for source in np.unique(corpus.source[chosen]):
        own = np.flatnonzero(corpus.source[chosen] == source)
        documents = chosen[own]
        quality, tie_break, tokens = corpus.quality[documents], corpus.tie_break[documents], corpus.lengths[documents]
        ranked = _through(np.lexsort((tie_break, quality)), tokens)
        values = sort_value(phase, quality, tie_break, quantile(ranked, tokens, tokens.sum()), cells)
        at[own], whole[own] = _through(np.lexsort((tie_break, values)), tokens), tokens.sum()
    return np.asarray(chosen[np.lexsort((corpus.tie_break[chosen], place(at, whole)))])


def rows(corpus: Corpus, documents: npt.NDArray[np.int64], length: int, batch_size: int) -> list[Rows]:
    """The documents behind each other, cut into sequences, and these into batches, of which the last may be smaller."""
    starts = np.cumsum(corpus.lengths) - corpus.lengths
    size = corpus.lengths[documents]
    inside = np.arange(size.sum()) - np.repeat(np.cumsum(size) - size, size)
    tokens = corpus.ids[np.repeat(starts[documents], size) + inside]
    cut = len(tokens) // length * length
    shape = (-1, length)
    owner = np.repeat(np.arange(len(documents)), size)[:cut].reshape(shape)
    segments = (owner - owner[:, :1] + 1).astype(np.int32) if cut else owner.astype(np.int32)
    column = np.arange(length)[None]
    first = np.where(np.diff(segments, axis=1, prepend=0) > 0, column, 0)
    positions = (column - np.maximum.accumulate(first, axis=1)).astype(np.int32)
    laid = tokens[:cut].reshape(shape).astype(np.int64)
    batches = [slice(at, at + batch_size) for at in range(0, len(segments), batch_size)]
    return [Rows(laid[own], segments[own], positions[own]) for own in batches]


def compare(
    run: str,
    wanted: ProxyTraining,
    output: str,
    half_lives: Sequence[float],
    told: Callable[[str], None] = lambda line: None,
) -> dict[str, Any]:
    """Trains each order under each schedule for each seed, and keeps orders.json and orders.svg in `output` up to date.

    Raises RunError for a run that is too small, or without a quality; ImportError without torch.
    """
    train, evaluate, averaged, shape = torch_parts(wanted)
    corpus = read(run, wanted.tokenizer)
    aside = held_out(corpus)
    chosen = np.flatnonzero(~aside)
    sizes = wanted.sequence_length, wanted.batch_size
    steps = int(corpus.lengths[chosen].sum()) // (wanted.sequence_length * wanted.batch_size)  # all of whole batches
    best = rows(corpus, np.flatnonzero(aside), *sizes)
    sequences = sum(len(batch.tokens) for batch in best)
    if steps < 6 or not sequences:
        raise RunError(f"{run}: {steps} steps to train on and {sequences} sequences to validate on; 6 and 1 are the least")
    points = [point.token for point in planned_checkpoints(Checkpoints(spacing=max(0.01, 1 / steps)), steps)]
    time = np.arange(steps + 1) / steps
    found: dict[str, Any] = {
        "run": run,
        "options": wanted.model_dump(mode="json"),
        "tokens": steps * wanted.batch_size * wanted.sequence_length,
        "validation_tokens": sequences * wanted.sequence_length,
        "checkpoints": points,
        "cells": [],
    }
    baseline = np.zeros(0)
    compared = product(schedules(wanted.learning_rates[0]).items(), orders(half_lives).items())
    for (name, schedule), (order, ordering) in compared:
        batches = rows(corpus, ordered(corpus, chosen, Curriculum(schedule=schedule, **dict(ordering))), *sizes)
        rates = (schedule.mass(time[:-1], time[1:]) * steps).tolist()
        losses: dict[str, list[float]] = {kind: [] for kind in AVERAGINGS}
        for seed in range(wanted.seeds):
            kept_at = storage.join(output, "trainings", f"{_key(shape, seed, batches, rates, points, best)}.json")
            if not storage.exists(kept_at):
                done = train(shape, seed, batches, rates, points, wanted.device)
                mixed = {kind: averaged(done.model, done.states, weights(kind, len(points))) for kind in AVERAGINGS}
                measured = {kind: evaluate(model, best, wanted.device) for kind, model in mixed.items()}
                storage.write_bytes(kept_at, json.dumps(measured).encode())
            for kind, loss in storage.read_json(kept_at).items():
                losses[kind].append(loss)
            told(f"{order}, {name}, seed {seed}: {losses['none'][-1]:.5f}")
        if (order, name) == BASELINE[:2]:
            baseline = np.array(losses[BASELINE[2]])
        found["cells"] += [_cell((order, name, kind), np.array(values), baseline) for kind, values in losses.items()]
        storage.write_bytes(storage.join(output, "orders.json"), (json.dumps(found, indent=1) + "\n").encode())
        storage.write_bytes(storage.join(output, "orders.svg"), drawn(found).encode())
    return found


def lines(found: dict[str, Any]) -> Iterator[str]:
    """The table, best first, each beside the baseline."""
    width = max(len(cell["order"]) for cell in found["cells"])
    yield f"{found['tokens']:,} tokens each; loss on {found['validation_tokens']:,} held-out tokens of the best tenth"
    for cell in sorted(found["cells"], key=lambda cell: cell["loss"]):
        against = f"{cell['gain']:+9.5f} against {', '.join(BASELINE)}"
        bounds = "" if cell["gain_low"] is None else f" [{cell['gain_low']:+.5f}, {cell['gain_high']:+.5f}]"
        yield f"  {cell['loss']:9.5f}  {cell['order']:<{width}} {cell['schedule']:<9} {cell['averaging']:<5} {against}{bounds}"


def drawn(found: dict[str, Any]) -> str:
    """The losses as SVG: a column for each schedule and averaging, a dot and its interval for each order."""
    cells = found["cells"]
    columns = list(dict.fromkeys((cell["schedule"], cell["averaging"]) for cell in cells))
    ends = [cell[end] for cell in cells for end in ("low", "loss", "high") if cell[end] is not None]
    low, high = min(ends), max(ends)
    span = (high - low) or 1.0

    def y(loss: float) -> float:
        return 30 + 300 * (high - loss) / span

    shown = _colours(list(dict.fromkeys(cell["order"] for cell in cells)))
    column = 24 + 12 * len(shown)
    width = 90 + max(column * len(columns), 140 * len(shown))
    marks = ['<rect width="100%" height="100%" fill="#fff"/>', '<text x="6" y="18">nats</text>']
    marks += [
        f'<text x="{90 + 140 * index}" y="18" fill="{colour}">{order}</text>'
        for index, (order, colour) in enumerate(shown.items())
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
        before = column * columns.index((cell["schedule"], cell["averaging"])) + 12 * list(shown).index(cell["order"])
        x, colour = 88 + before, shown[cell["order"]]
        if cell["low"] is not None:
            marks.append(f'<path d="M{x} {y(cell["low"]):.1f}V{y(cell["high"]):.1f}" stroke="{colour}"/>')
        marks.append(f'<circle cx="{x}" cy="{y(cell["loss"]):.1f}" r="4" fill="{colour}"/>')
    size = f'width="{width}" height="376"'
    style = 'font-family="sans-serif" font-size="12"'
    return f'<svg xmlns="http://www.w3.org/2000/svg" {size} {style}>\n' + "\n".join(marks) + "\n</svg>\n"


def _colours(shown: Sequence[str]) -> dict[str, str]:
    """Of each order: two that stand out, then blues from light to dark."""
    first, weighted = ("#777777", "#d95f02"), max(len(shown) - 2, 1)
    blues = [f"hsl(207, 80%, {75 - 50 * (index + 1) / (weighted + 1):.0f}%)" for index in range(weighted)]
    return dict(zip(shown, (*first, *blues), strict=False))


def _through(order: npt.NDArray[np.intp], tokens: npt.NDArray[np.int64]) -> npt.NDArray[np.float64]:
    """Tokens up to and including each document, in that order."""
    found = np.empty(len(order))
    found[order] = np.cumsum(tokens[order])
    return found


def _key(shape: Shape, seed: int, batches: list[Rows], rates: list[float], points: list[int], best: list[Rows]) -> str:
    """A digest of all that decides what a training gives, but the machine."""
    data = hashlib.blake2b(digest_size=16)
    for batch in (*batches, *best):
        for values in (batch.tokens, batch.segments, batch.positions):
            data.update(str(values.shape).encode() + values.tobytes())
    return fingerprint([VERSION, shape.model_dump(), seed, rates, points, data.hexdigest()])


def _cell(key: tuple[str, str, str], values: agreement.Floats, baseline: agreement.Floats) -> dict[str, Any]:
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
