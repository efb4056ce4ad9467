"""`tamis proxy`: ranks finished runs by small models trained on them, and says how far the ranking
can be trusted.

The protocol is that of arXiv 2512.24503: a learning rate far below the usual, equal tokens, one
epoch, several seeds.
"""

import json
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any

import numpy as np

from tamis.pipelines.training.matched_pool import MatchedPool, match_pool
from tamis.pipelines.training.planted_pair import ShuffledWords, again_and_again, check_pair
from tamis.transforms import storage
from tamis.transforms.core.arrays import Floats
from tamis.transforms.core.errors import RunError, missing_package
from tamis.transforms.core.options import Options
from tamis.transforms.feed.corpus_index import load_corpus
from tamis.transforms.feed.dataset import CurriculumDataset
from tamis.transforms.feed.text_to_ids import Tokenizer, load_tokenizer
from tamis.transforms.proxy import agreement

MOST = 0.95  # if a smaller share of a run is read, warns that it may not represent the run
MORE_TOKENS = "Give them more (--tokens, or longer runs), smaller batches (--batch-size) or a higher --learning-rate"


class ProxyTraining(Options):
    """How proxies are trained. Learning rates are given for a model of width 768 and scaled to the
    proxy's. `threads` are CPU threads; 0 leaves their number to torch."""

    learning_rates: tuple[float, ...] = (agreement.TINY,)
    seeds: int = 3
    tokens: int = 0
    tokenizer: str = "bytes"
    sequence_length: int = 256
    batch_size: int = 16
    width: int = 128
    layers: int = 4
    heads: int = 4
    device: str = "cpu"
    threads: int = 0


def rank_runs(
    runs: Sequence[str],
    validation: str,
    options: ProxyTraining,
    target: str = "",
    target_tokens: int = 0,
    log: Callable[[str], None] = lambda line: None,
) -> dict[str, Any]:
    """Trains a model for each run, learning rate and seed, each on `options.tokens` (0: all of the
    shortest run).

    `target` is a JSON file with the loss of each run, by its name as given here, in full-size
    trainings. Without it, if there are several learning rates, the target is each run's loss at
    its own best rate. With `target_tokens`, models repeat samples of the runs as often as a training
    on so many tokens repeats the runs (`matched_pool`).

    Raises RunError if a run is too short, or the models have seen too few tokens (`planted_pair`);
    FileNotFoundError if a run is not finished; ImportError without torch.
    """
    train, evaluate, _, shape = torch_parts(options)
    from tamis.transforms.proxy.train import unigram_entropy

    if len(set(runs)) < len(runs) or len(runs) < 2:
        raise RunError("name two or more different runs to compare")
    tokenizer = load_tokenizer(options.tokenizer)
    sizes = options.sequence_length, options.batch_size
    held_out = CurriculumDataset(validation, tokenizer, *sizes)
    if held_out.corpus.root in {load_corpus(run).root for run in runs}:
        raise RunError(f"{validation}: the validation run is one of those trained on")
    step_tokens = options.batch_size * options.sequence_length
    if options.tokens and options.tokens < step_tokens:
        raise RunError(f"{options.tokens:,} tokens are less than one step ({step_tokens:,} tokens)")
    steps = options.tokens // step_tokens
    warnings: list[str] = []
    pools: list[MatchedPool] = []
    if not target_tokens:
        lengths = [max(CurriculumDataset(run, tokenizer, *sizes).steps - 1, 1) for run in runs]  # the last may be padded
        steps = steps or min(lengths)
        warnings = _check_lengths(runs, lengths, steps)
    elif steps:
        pools = [match_pool(run, tokenizer, steps * step_tokens, target_tokens) for run in runs]
    else:
        raise RunError("--target-tokens needs --tokens: how many the small models train on")

    def trained_loss(row: int, column: int, seed: int, tokenizer: Tokenizer) -> float:
        batches: Iterable[Any]
        if pools:
            batches = pools[column].batches(tokenizer, seed, *sizes)
        else:
            batches = CurriculumDataset(runs[column], tokenizer, *sizes, cache="" if tokenizer.name else None)
        rates = [options.learning_rates[row]] * steps
        trained = train(shape, seed, again_and_again(batches), rates, device=options.device)
        return evaluate(trained.model, held_out, options.device)

    losses = np.zeros((len(options.learning_rates), len(runs), options.seeds))
    entropy = unigram_entropy(held_out)
    log(f"checks that models tell the text of {runs[0]} from its words shuffled")
    pairs = []
    for row, rate in enumerate(options.learning_rates):
        shuffled = np.zeros(options.seeds)
        for seed in range(options.seeds):
            losses[row, 0, seed] = trained_loss(row, 0, seed, tokenizer)
            shuffled[seed] = trained_loss(row, 0, seed, ShuffledWords(tokenizer, seed))
        pairs.append(check_pair(runs[0], rate, losses[row, 0], shuffled, entropy, MORE_TOKENS))
    for row, column, seed in np.ndindex(losses.shape):
        if column:
            losses[row, column, seed] = trained_loss(row, column, seed, tokenizer)
        log(f"learning rate {options.learning_rates[row]:g}, seed {seed}: {losses[row, column, seed]:.5f}  {runs[column]}")
    for rate in options.learning_rates:
        warnings += agreement.ranking_warnings(rate, agreement.WIDTH, options.seeds)
    means = losses.mean(2)
    target_losses = _target(target, runs) if target else means.min(0)
    return {
        "validation": validation,
        "options": options.model_dump(mode="json"),
        "tokens": steps * step_tokens,
        "target_tokens": target_tokens,
        "epochs": [
            {
                "run": pool.run,
                "target": pool.epochs,
                "proxy": float(np.mean([pool.sampled_epochs(seed) for seed in range(options.seeds)])),
            }
            for pool in pools
        ],
        "unigram_entropy": entropy,
        "planted_pairs": pairs,
        "rates": [_ranking(rate, runs, losses[row]) for row, rate in enumerate(options.learning_rates)],
        "target": target or ("the best learning rate of each run" if len(means) > 1 else None),
        "agreement": [
            {"learning_rate": rate, **_agreement(means[row], target_losses)} for row, rate in enumerate(options.learning_rates)
        ]
        if target or len(means) > 1
        else [],
        "warnings": list(dict.fromkeys(warnings)),
    }


def lines(result: dict[str, Any]) -> Iterator[str]:
    """The result as text."""
    yield (
        f"{result['tokens']:,} tokens per run; validation loss on {result['validation']} in nats per token "
        f"({result['unigram_entropy']:.5f} by token frequencies alone)"
    )
    for row in result["epochs"]:
        yield f"epochs of {row['run']}: {row['target']:.3g} in {result['target_tokens']:,} tokens, {row['proxy']:.3g} here"
    for ranking, pair in zip(result["rates"], result["planted_pairs"], strict=True):
        yield (
            f"learning rate {ranking['learning_rate']:g} (for width {agreement.WIDTH}); shuffling the words of {pair['run']} "
            f"costs {pair['cost']:.5f}:"
        )
        for row in sorted(ranking["runs"], key=lambda row: row["loss"]):
            bounds = "" if row["low"] is None else f"  [{row['low']:.5f}, {row['high']:.5f}]"
            yield f"  {row['loss']:9.5f}{bounds}  {row['run']}"
        distinct = sum(pair["told_apart"] for pair in ranking["pairs"])
        yield f"  {distinct} of {len(ranking['pairs'])} pairs of runs differ by more than the seeds do (95 % confidence)"
    if result["agreement"]:
        yield f"agreement with {result['target']}:"
    for row in result["agreement"]:
        regret = ", ".join(f"top {k} {value:.5f}" for k, value in row["regret"].items())
        rank = "undefined" if row["spearman"] is None else f"{row['spearman']:.3f}"
        yield f"  {row['learning_rate']:g}: pairs agree {row['pairs']:.1%}, Spearman {rank}, regret {regret}"


def torch_parts(options: ProxyTraining) -> tuple[Any, Any, Any, Any]:
    """`train`, `evaluate`, `average_states` and the model's shape. Raises ImportError without
    torch, RunError for a shape that is impossible."""
    try:
        import torch
    except ModuleNotFoundError:
        raise ImportError(missing_package("proxy training", "torch")) from None
    from tamis.transforms.proxy.model import Shape
    from tamis.transforms.proxy.train import average_states, evaluate, train

    if options.threads:
        torch.set_num_threads(options.threads)
    vocabulary = load_tokenizer(options.tokenizer).vocabulary
    if vocabulary is None:
        raise RunError(f"the size of the vocabulary of tokenizer {options.tokenizer} is unknown")
    try:
        shape = Shape(vocabulary=vocabulary, width=options.width, layers=options.layers, heads=options.heads)
    except ValueError as error:
        raise RunError(str(error)) from None
    return train, evaluate, average_states, shape


def _check_lengths(runs: Sequence[str], lengths: Sequence[int], steps: int) -> list[str]:
    """Warnings about runs of which `steps` read only a part. Raises RunError if one has fewer."""
    for run, length in zip(runs, lengths, strict=True):
        if length < steps:
            raise RunError(
                f"{run} has {length:,} full steps, not {steps:,}: runs are compared at equal tokens. Lower --tokens, or repeat "
                "the runs with --target-tokens"
            )
    return [
        f"[cut] Only the first {steps / length:.0%} of {run} were read, which represent it only if its order is uniform."
        for run, length in zip(runs, lengths, strict=True)
        if steps < MOST * length
    ]


def _target(file: str, runs: Sequence[str]) -> Floats:
    try:
        losses = json.loads(storage.read_bytes(file))
        return np.array([float(losses[run]) for run in runs])
    except (ValueError, TypeError, KeyError) as error:
        raise RunError(f"{file}: should be a JSON object with the loss of each run ({error})") from None


def _ranking(rate: float, runs: Sequence[str], losses: Floats) -> dict[str, Any]:
    rows = []
    for run, values in zip(runs, losses, strict=True):
        mean, low, high = agreement.interval(values)
        bounds = {"low": low, "high": high} if len(values) > 1 else {"low": None, "high": None}
        rows.append({"run": run, "loss": mean, **bounds, "seeds": values.tolist()})
    pairs = [
        {"runs": [runs[i], runs[j]], "difference": interval.mean, "told_apart": not interval.low <= 0 <= interval.high}
        for i, j, interval in agreement.pairwise_differences(losses)
    ]
    return {"learning_rate": rate, "runs": rows, "pairs": pairs}


def _agreement(proxy: Floats, target: Floats) -> dict[str, Any]:
    rank = agreement.rank_correlation(proxy, target)
    best = sorted({1, min(3, len(proxy)), min(5, len(proxy))})
    return {
        "pairs": agreement.pairwise_agreement(proxy, target),
        "spearman": None if np.isnan(rank) else rank,
        "regret": {k: agreement.top_k_regret(proxy, target, k) for k in best},
    }
