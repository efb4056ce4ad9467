"""Scores texts by a trained model of any kind."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from tamis.transforms.rate.trained.linear import linear_scores
from tamis.transforms.rate.trained.model_file import TrainedModel
from tamis.transforms.rate.trained.pooled import pooled_scores, windows
from tamis.transforms.rate.trained.word_rows import rows_of, word_keys

if TYPE_CHECKING:
    from tamis.transforms.text.segment import SegmentedTexts

Floats = npt.NDArray[np.float64]


@dataclass(frozen=True)
class Scored:
    """[n] each; NaN where a text has no word."""

    score: Floats
    known: Floats
    """Share of words in the vocabulary of the model."""
    judged: Floats
    """Share of words that the model read."""


def score_words(texts: SegmentedTexts, model: TrainedModel) -> Scored:
    """The scores of n documents, each as if it were alone."""
    first, keys, tensors = texts.word_first, word_keys(texts), model.tensors
    words = np.diff(first).astype(np.float64)
    words[words == 0] = np.nan
    rows = rows_of(keys, texts.word_chars, tensors["vocabulary"])
    known = _sums(rows < len(tensors["vocabulary"]), first) / words
    if model.description.kind == "linear":
        score = linear_scores(keys, first, tensors)
        return Scored(np.where(np.isnan(words), np.nan, score), known, words / words)
    chunks, start, stop = windows(first)
    return Scored(pooled_scores(rows, first, tensors), known, _sums(stop - start, chunks) / words)


def _sums(values: npt.NDArray[np.generic], first: npt.NDArray[np.int64]) -> Floats:
    total = np.concatenate([[0], np.cumsum(values, dtype=np.int64)])
    return (total[first[1:]] - total[first[:-1]]).astype(np.float64)
