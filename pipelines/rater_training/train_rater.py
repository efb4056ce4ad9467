"""Trains a rater on labelled texts, holds some of them out, and writes the model with a card."""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass, field
from typing import Any, Final, Literal, get_args

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from tamis.pipelines.formatting import plural, share
from tamis.pipelines.rater_training.evaluation import Agreement, agreement, by_group
from tamis.pipelines.rater_training.labelled_texts import LabelledTexts
from tamis.transforms import storage
from tamis.transforms.core.errors import RunError, missing_package
from tamis.transforms.rate.trained.linear_training import train_linear
from tamis.transforms.rate.trained.model_file import SUFFIX, Description, TrainedModel, write_model
from tamis.transforms.rate.trained.scoring import score_words
from tamis.transforms.rate.trained.word_rows import rows_of, vocabulary_of, word_keys
from tamis.transforms.text.hashing import hash_texts
from tamis.transforms.text.segment import segment

Floats = npt.NDArray[np.float64]
Mask = npt.NDArray[np.bool_]

Kind = Literal["pooled", "linear", "fasttext"]
KINDS: Final = get_args(Kind)

_ASIDE = 0.1
"""Share of the groups for training that decide when it ends."""


@dataclass(frozen=True)
class Training:
    """How a rater is trained."""

    kind: Kind = "pooled"
    held_out: float = 0.2
    """Share of the groups that are not trained on, but measured."""
    keep: float = 0.1
    """Share that would be selected: precision is measured at the top of this size."""
    least_documents: int = 5
    """Documents that must have a word, for it to be in the vocabulary."""
    vocabulary: int = 50_000
    epochs: int = 0
    """0: the default of the kind."""
    dimension: int = 256
    """Of fastText's vectors."""
    buckets: int = 2_000_000
    """Of fastText's n-grams."""
    seed: int = 0


@dataclass(frozen=True)
class TrainingResult:
    """What was written, and the agreement with labels that it has not seen."""

    model: str
    card: str
    kind: Kind
    trained: int
    held_out: Agreement
    held_by: str
    """What is held out together."""
    sources: list[Agreement] = field(default_factory=list)
    languages: list[Agreement] = field(default_factory=list)

    def as_json(self) -> dict[str, Any]:
        """All of it, for JSON."""
        return asdict(self)


def train_rater(
    texts: LabelledTexts, training: Training, output: str, by: str, observe: Callable[[str], None] = lambda line: None
) -> TrainingResult:
    """Trains a rater and writes it to `output`, and what it is and how well it agrees to a card beside it.

    The groups are held out as a whole, by hashes of their names, for each label alone, so that
    both halves have all labels. Raises RunError if there are too few of them.
    """
    suffix = {"fasttext": ".bin"}.get(training.kind, SUFFIX)
    if not output.endswith(suffix):
        raise RunError(f"{output}: a model of the kind {training.kind} ends in {suffix}")
    held, by_document = _held_out(texts, training.held_out, training.seed)
    train, test = (texts.take(np.flatnonzero(mask)) for mask in (~held, held))
    observe(f"{plural(len(train.target), 'document')} to train on, {len(test.target):,} held out")
    if training.kind == "fasttext":
        scores = _fasttext(train, test, training, output)
    else:
        model = _model(train, training)
        write_model(output, model)
        scores = np.round(score_words(segment(test.text), model).score, 6)
    there = ~np.isnan(scores)
    scores, test = scores[there], test.take(np.flatnonzero(there))
    result = TrainingResult(
        output, os.path.splitext(output)[0] + ".md", training.kind, len(train.target),
        agreement("held out", scores, test.target, training.keep),
        "id" if by_document else by,
        list(by_group(scores, test.target, test.source, training.keep)),
        list(by_group(scores, test.target, test.language, training.keep)),
    )  # fmt: skip
    with storage.commit(result.card) as sink:
        sink.write(("\n".join(card(result, texts, training)) + "\n").encode())
    return result


def lines(result: TrainingResult) -> Iterator[str]:
    """What a person reads."""
    yield f"{'':<24}{'documents':>10}{'AUC':>8}{'Spearman':>10}{'precision':>11}{'ECE':>8}"
    for row in (result.held_out, *result.sources, *result.languages):
        cells = f"{_decimal(row.auc):>8}{_decimal(row.spearman):>10}{row.precision:>11.3f}{row.calibration_error:>8.3f}"
        yield f"{row.name[:24]:<24}{row.documents:>10,}{cells}"
    yield f"{result.model}, {result.card}"


def card(result: TrainingResult, texts: LabelledTexts, training: Training) -> Iterator[str]:
    """The model card, in Markdown."""
    name = os.path.splitext(os.path.basename(result.model))[0]
    yield from (f"# {name}", "", f"A rater of text quality of the kind `{result.kind}`, made by `tamis rate train`.", "")
    yield from ("## Use", "", "```yaml", *recipe_lines(result), "```", "")
    yield from ("## Data", "", "| source | documents | mean label |", "|---|---|---|")
    sources = np.array(texts.source, dtype=object)
    for source in sorted(set(texts.source)):
        own = sources == source
        yield f"| {source} | {own.sum():,} | {texts.target[own].mean():.3f} |"
    grades = ", ".join(f"{grade:g}" for grade in texts.grades)
    yield from ("", f"Labels: {grades}; a score of 1 means {texts.grades[-1]:g}. All labels weigh the same in training, so a "
                "score is a probability only where they are as frequent.", "")  # fmt: skip
    yield from ("## Agreement", "", f"Measured on documents that it was not trained on, held out by {result.held_by}. "
                f"Precision is the mean label of the top {share(training.keep)}.", "")  # fmt: skip
    yield from ("| documents of | number | AUC | Spearman | precision | ECE |", "|---|---|---|---|---|---|")
    for row in (result.held_out, *result.sources, *result.languages):
        cells = f"{_decimal(row.auc)} | {_decimal(row.spearman)} | {row.precision:.3f} | {row.calibration_error:.3f}"
        yield f"| {row.name} | {row.documents:,} | {cells} |"
    yield from ("", "## Settings", "", "```json", json.dumps(asdict(training)), "```")


def recipe_lines(result: TrainingResult) -> Iterator[str]:
    """The section of a recipe that uses the model."""
    name = "".join(c if c.isalnum() else "_" for c in os.path.splitext(os.path.basename(result.model))[0].lower())
    name = name if name[:1].isalpha() else f"model_{name}"
    if result.kind == "fasttext":
        yield from (
            "rate:",
            f"  fasttext: [{{name: {name}, model: {result.model}, label: __label__hq, normalisation: kaiyuan}}]",
        )
        yield f"quality: [{{signal: {name}.probability}}]"
    else:
        yield from ("rate:", f"  trained: [{{name: {name}, model: {result.model}}}]")
        yield f"quality: [{{signal: {name}.score}}]"


def _decimal(value: float | None) -> str:
    return "-" if value is None else f"{value:.3f}"


def _held_out(texts: LabelledTexts, part: float, seed: int) -> tuple[Mask, bool]:
    """[n]: which texts are held out, and whether it was by document, for want of groups."""
    for by_document in (False, True):
        groups = [str(k) for k in hash_texts(texts.text)] if by_document else texts.group
        held = _part(groups, texts.target, part, seed)
        if all(len(np.unique(texts.target[mask])) == len(texts.grades) for mask in (held, ~held)):
            return held, by_document
    raise RunError(f"{len(texts.target):,} documents are too few to hold out {share(part)} of each label")


def _part(groups: list[str], targets: Floats, part: float, seed: int) -> Mask:
    """[n]: the groups with the smallest hashes, until `part` of the documents of each label is in
    them. A group with several labels is in or out as a whole."""
    names, which = np.unique(np.array(groups, dtype=object), return_inverse=True)
    order = np.argsort(hash_texts(pa.array(names.tolist(), pa.large_string()), seed), kind="stable")
    chosen = np.zeros(len(names), np.bool_)
    for target in np.unique(targets):
        own = np.bincount(which[targets == target], minlength=len(names))
        for group in order:
            if own[group] and (own[chosen].sum() + own[group] / 2) <= part * own.sum() and not chosen[group]:
                chosen[group] = True
    return chosen[which]


def _balanced(targets: Floats) -> Floats:
    """[n]: weights by which all labels count the same, 1 on average."""
    values, which, counts = np.unique(targets, return_inverse=True, return_counts=True)
    return np.asarray(len(targets) / (len(values) * counts[which]))


def _model(texts: LabelledTexts, training: Training) -> TrainedModel:
    segmented = segment(texts.text)
    keys, first = word_keys(segmented), segmented.word_first
    vocabulary = vocabulary_of(keys, first, training.least_documents, training.vocabulary)
    rows = rows_of(keys, segmented.word_chars, vocabulary)
    weights = _balanced(texts.target)
    if training.kind == "linear":
        tensors = dict(train_linear(keys, first, texts.target, weights))
    else:
        tensors = _pooled(texts, training, rows, rows_of(keys, segmented.word_chars, vocabulary[:0]), first, len(vocabulary))
    description = Description(kind=training.kind, positive=f"label {texts.grades[-1]:g}", documents=len(texts.target))
    return TrainedModel(description, tensors | {"vocabulary": vocabulary})


def _pooled(
    texts: LabelledTexts,
    training: Training,
    rows: npt.NDArray[np.int32],
    lengths: npt.NDArray[np.int32],
    first: npt.NDArray[np.int64],
    vocabulary: int,
) -> dict[str, npt.NDArray[Any]]:
    try:
        from tamis.transforms.rate.trained.pooled_training import Settings, train_pooled
    except ModuleNotFoundError:
        raise ImportError(missing_package("training a pooled transformer", "torch")) from None
    from tamis.transforms.rate.trained.word_rows import LENGTHS

    there = np.flatnonzero(np.diff(first))
    documents = [rows[first[d] : first[d + 1]] for d in there]
    unknown = [lengths[first[d] : first[d + 1]] + np.int32(vocabulary) for d in there]
    some = texts.take(there)
    aside = _part(some.group, some.target, _ASIDE, training.seed + 1)
    if not aside.any():
        aside = _part([str(k) for k in hash_texts(some.text)], some.target, _ASIDE, training.seed + 1)
    settings = Settings(seed=training.seed, **({"epochs": training.epochs} if training.epochs else {}))
    weights = _balanced(texts.target)[there]
    return dict(train_pooled(documents, unknown, vocabulary + LENGTHS, some.target, weights, aside, settings))


def _fasttext(train: LabelledTexts, test: LabelledTexts, training: Training, output: str) -> Floats:
    from tamis.pipelines.rater_training.train_fasttext import train_fasttext

    return train_fasttext(train, test, training.dimension, training.buckets, training.epochs or 3, training.seed, output)
