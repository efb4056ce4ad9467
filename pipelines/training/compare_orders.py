"""`tamis proxy-orders`: trains small models on a run in each order × schedule × averaging, and says
which of them to take.

This is the experiment of arXiv 2511.18903 at proxy size, for any run that has a quality. Each seed
draws the weights, the shuffle and the documents that are held out, a tenth of the best tenth; every
order trains once on all others. Each finished training is saved under a digest of its inputs: the
same command resumes where it stopped, and trains once what two orders share.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from itertools import islice, product
from typing import TYPE_CHECKING, Any, Final

import numpy as np
import numpy.typing as npt

from tamis.pipelines.training.order_evidence import AVERAGINGS, SHUFFLED, Way, weigh
from tamis.pipelines.training.planted_pair import ShuffledWords, again_and_again, check_pair
from tamis.pipelines.training.plot_orders import draw
from tamis.pipelines.training.rank_runs import ProxyTraining, torch_parts
from tamis.pipelines.training.tokenized_corpus import TokenizedCorpus, make_batches, read_corpus, sample
from tamis.transforms import storage
from tamis.transforms.core.arrays import Floats, Ints
from tamis.transforms.core.errors import RunError
from tamis.transforms.core.options import fingerprint
from tamis.transforms.core.schedule import Schedule
from tamis.transforms.curriculum.checkpoint_weights import Checkpoints, averaging_weights
from tamis.transforms.curriculum.order import Curriculum, Ordering, place, quantile, sort_value
from tamis.transforms.curriculum.orders import ORDERS
from tamis.transforms.curriculum.training_plan import planned_checkpoints
from tamis.transforms.feed.packing import PackedBatch
from tamis.transforms.feed.text_to_ids import load_tokenizer

if TYPE_CHECKING:
    from tamis.transforms.proxy.model import Shape

VERSION: Final = 1
"""Raise it when the same inputs would give another loss: saved trainings are then not used."""

SAMPLE: Final = 1
"""Seed of the documents that are sampled for `--tokens`: all seeds train on the same ones."""

MORE_STEPS: Final = "Use a larger corpus, smaller batches (--batch-size) or larger steps (--peak)"

WARMUP: Final = 0.02
FLOOR: Final = 1 / 300  # where full decays end, as a share of the peak: 3e-3 to 1e-5 in the paper

Losses = dict[str, float]
"""By averaging."""


def orders(names: Sequence[str], half_lives: Sequence[float]) -> dict[str, Ordering]:
    """Uniform and the named orders, by name. Each half-life, a share of the run, is an order of its own.
    Raises RunError for an unknown name."""
    if unknown := [name for name in names if name not in ORDERS]:
        raise RunError(f"'{unknown[0]}' is not an order; choose {', '.join(ORDERS)}")
    weighted = {f"lr_weighted {half_life}": Ordering(order="lr_weighted", half_life=half_life) for half_life in half_lives}
    named = [weighted if name == "lr_weighted" else {name: Ordering(order=name)} for name in names]
    return {name: order for group in ({SHUFFLED: Ordering()}, *named) for name, order in group.items()}


def schedules(names: Sequence[str], peak: float) -> dict[str, Schedule]:
    """The named schedules. Raises RunError for an unknown name."""
    known = {
        "wsd": Schedule(peak=peak, final=peak * FLOOR, warmup=WARMUP),
        "moderate": Schedule.moderate(peak, warmup=WARMUP),
        "constant": Schedule(shape="constant", peak=peak, warmup=WARMUP),
        "cosine": Schedule(shape="cosine", peak=peak, final=peak * FLOOR, warmup=WARMUP),
    }
    if unknown := [name for name in names if name not in known]:
        raise RunError(f"'{unknown[0]}' is not a schedule of this experiment; choose {', '.join(known)}")
    return {name: known[name] for name in names}


def held_out(corpus: TokenizedCorpus, seed: int) -> npt.NDArray[np.bool_]:
    """The validation documents of a seed: a tenth of the best tenth of the tokens. Ten seeds hold out each of these once."""
    by_quality = np.lexsort((corpus.tie_break, corpus.quality))
    through = np.empty(len(by_quality))
    through[by_quality] = np.cumsum(corpus.lengths[by_quality])
    tenth = corpus.tie_break % np.uint64(10)
    return np.asarray((through > 0.9 * corpus.lengths.sum()) & (tenth == seed % 10))


def order_documents(corpus: TokenizedCorpus, documents: Ints, curriculum: Curriculum, seed: int) -> Ints:
    """The documents in the order of a one-phase curriculum, with sources interleaved by tokens. The seed
    shuffles what the curriculum leaves to chance."""
    from tamis.transforms.text.hashing import mix

    phase, cells = curriculum.effective_phases[0], curriculum.cells(0)
    draw = mix(corpus.tie_break, seed)
    through, source_tokens = np.empty(len(documents)), np.empty(len(documents))
    for source in np.unique(corpus.source[documents]):
        rows = np.flatnonzero(corpus.source[documents] == source)
        own = documents[rows]
        quality, tie_break, tokens = corpus.quality[own], draw[own], corpus.lengths[own]
        by_quality = _tokens_through(np.lexsort((tie_break, quality)), tokens)
        values = sort_value(phase, quality, tie_break, quantile(by_quality, tokens, tokens.sum()), cells)
        through[rows], source_tokens[rows] = _tokens_through(np.lexsort((tie_break, values)), tokens), tokens.sum()
    return np.asarray(documents[np.lexsort((draw[documents], place(through, source_tokens)))])


@dataclass(frozen=True)
class Fold:
    """What a seed trains on (`documents`, indices) and what its losses are measured on (`best`)."""

    seed: int
    documents: Ints
    best: list[PackedBatch]


def folds(corpus: TokenizedCorpus, options: ProxyTraining) -> list[Fold]:
    """The fold of each seed. The best are of the whole corpus, also where a sample of it is trained on."""
    share = options.tokens / int(corpus.lengths.sum()) if options.tokens else 1.0
    sampled = sample(corpus, share, SAMPLE)
    validation = [held_out(corpus, seed) for seed in range(options.seeds)]
    return [
        Fold(
            seed,
            np.flatnonzero(sampled & ~best),
            make_batches(corpus, np.flatnonzero(best), options.sequence_length, options.batch_size),
        )
        for seed, best in enumerate(validation)
    ]


def compare(
    run: str,
    options: ProxyTraining,
    output: str,
    orders: Mapping[str, Ordering],
    schedules: Mapping[str, Schedule],
    log: Callable[[str], None] = lambda line: None,
) -> dict[str, Any]:
    """Trains each order under each schedule for each seed; writes orders.json and orders.svg in `output`.

    Raises RunError if the run is too small or has no quality, or if the models have seen too few
    tokens (`planted_pair`); ImportError without torch.
    """
    train, evaluate, average_states, shape = torch_parts(options)
    from tamis.transforms.proxy.train import unigram_entropy

    tokenizer = load_tokenizer(options.tokenizer)
    corpus = read_corpus(run, tokenizer)
    if np.isnan(corpus.quality).all() or np.nanmin(corpus.quality) == np.nanmax(corpus.quality):
        raise RunError(f"{run}: the documents have no quality, or all the same one, so there is nothing to order by")
    by_seed = folds(corpus, options)
    step_tokens = options.sequence_length * options.batch_size
    steps = min(int(corpus.lengths[fold.documents].sum()) for fold in by_seed) // step_tokens
    sequences = [sum(len(batch.tokens) for batch in fold.best) for fold in by_seed]
    if steps < 6 or not all(sequences):
        raise RunError(f"{run} is too small: {steps} training steps and {min(sequences)} validation sequences; needs 6 and 1")
    points = [checkpoint.token for checkpoint in planned_checkpoints(Checkpoints(spacing=max(0.01, 1 / steps)), steps)]
    time = np.arange(steps + 1) / steps

    def losses_of(texts: TokenizedCorpus, documents: Ints, fold: Fold, ordering: Ordering, schedule: Schedule) -> Losses:
        """The losses of a training, trained or found."""
        curriculum = Curriculum(schedule=schedule, **dict(ordering))
        ordered = order_documents(texts, documents, curriculum, fold.seed)
        batches = make_batches(texts, ordered, options.sequence_length, options.batch_size)
        batches = list(islice(again_and_again(batches), steps))
        rates = (schedule.mass(time[:-1], time[1:]) * steps).tolist()
        uri = storage.join(output, "trainings", f"{_digest(shape, fold.seed, batches, rates, points, fold.best)}.json")
        if not storage.exists(uri):
            trained = train(shape, fold.seed, batches, rates, points, options.device)
            models = {
                kind: average_states(trained.model, trained.states, averaging_weights(kind, len(points))) for kind in AVERAGINGS
            }
            measured = {kind: evaluate(model, fold.best, options.device) for kind, model in models.items()}
            storage.write_bytes(uri, json.dumps(measured).encode())
        losses: Losses = storage.read_json(uri)
        return losses

    log(
        f"checks that models tell text from its words shuffled: {2 * options.seeds} trainings of {steps * step_tokens:,} tokens"
    )
    first = next(iter(schedules.values()))
    text, shuffled = np.empty((2, options.seeds))
    for fold in by_seed:
        text[fold.seed] = losses_of(corpus, fold.documents, fold, Ordering(), first)["none"]
        kept = np.isin(np.arange(len(corpus.lengths)), fold.documents)
        words = read_corpus(run, ShuffledWords(tokenizer, fold.seed), kept)
        shuffled[fold.seed] = losses_of(words, np.arange(len(words.lengths)), fold, Ordering(), first)["none"]
    entropy = float(np.mean([unigram_entropy(fold.best) for fold in by_seed]))
    pair = check_pair(run, first.peak, text, shuffled, entropy, MORE_STEPS)
    measured: dict[Way, list[float]] = {}
    for (name, schedule), (order, ordering), fold in product(schedules.items(), orders.items(), by_seed):
        losses = losses_of(corpus, fold.documents, fold, ordering, schedule)
        for kind in AVERAGINGS:
            measured.setdefault((order, name, kind), []).append(losses[kind])
        log(f"{order}, {name}, seed {fold.seed}: {losses['none']:.5f}")
    result = {
        "run": run,
        "options": options.model_dump(mode="json"),
        "tokens": steps * step_tokens,
        "validation_tokens": sum(sequences) * options.sequence_length,
        "unigram_entropy": entropy,
        "planted_pair": pair,
        "checkpoints": points,
        **weigh(measured),
    }
    storage.write_bytes(storage.join(output, "orders.json"), (json.dumps(result, indent=1) + "\n").encode())
    storage.write_bytes(storage.join(output, "orders.svg"), draw(result["cells"]).encode())
    return result


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
