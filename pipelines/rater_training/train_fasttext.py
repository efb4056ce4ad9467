"""Trains a fastText classifier with bonepick's settings, and scores held-out texts by our own reader of it."""

from __future__ import annotations

import os
import tempfile

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from tamis.pipelines.rater_training.labelled_texts import LabelledTexts
from tamis.transforms.core.errors import missing_package
from tamis.transforms.rate.fasttext import FastText, FastTextRater, kaiyuan
from tamis.transforms.text.segment import segment

POSITIVE, NEGATIVE = "__label__hq", "__label__lq"


def train_fasttext(
    train: LabelledTexts, test: LabelledTexts, dimension: int, buckets: int, epochs: int, seed: int, output: str
) -> npt.NDArray[np.float64]:
    """Writes a model and returns the probability of its positive label for the held-out texts.

    Labels from .5 on are positive. lr .1, n-grams of three words, words that occur five times, one
    thread, so that the same texts give the same model (bonepick, allenai, 2026).
    """
    try:
        import fasttext_new
    except ModuleNotFoundError:
        raise ImportError(missing_package("training a fastText model", "fasttext")) from None
    with tempfile.TemporaryDirectory(prefix="tamis-train-") as folder:
        path = os.path.join(folder, "train.txt")
        with open(path, "w", encoding="utf-8") as file:
            for text, target in zip(train.text.to_pylist(), train.target, strict=True):
                file.write(f"{POSITIVE if target >= 0.5 else NEGATIVE} {' '.join(kaiyuan(text).split())}\n")
        model = fasttext_new.train_supervised(
            path, lr=0.1, dim=dimension, wordNgrams=3, epoch=epochs, minCount=5, bucket=buckets, thread=1, seed=seed, verbose=0
        )
        model.save_model(output)
    rater = FastTextRater(FastText(name="trained", model=output, label=POSITIVE, normalisation="kaiyuan"))
    scores = rater.rate(segment(test.text.cast(pa.large_string())))[0]
    return np.asarray(scores.to_numpy(zero_copy_only=False))
