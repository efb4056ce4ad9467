"""Quality by a supervised fastText classifier: the probability of its positive label, DCLM's way or Kaiyuan's.

fastText knows one line a text, so every user of a model joins lines in some way first; a model scored with another
normalisation than its threshold was chosen for gives other numbers. The normalisation is therefore part of the rater's
identity.
"""

from __future__ import annotations

import difflib
import itertools
import os
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache, cached_property
from typing import TYPE_CHECKING, Any, Literal

from pydantic import Field

from transforms import storage
from transforms.options import Options, fingerprint
from transforms.rater import Signal

if TYPE_CHECKING:
    import pyarrow as pa

    from transforms.text.segment import Segmented

VERSION = 1

Normalisation = Literal["dclm", "kaiyuan"]


class FastText(Options):
    """A supervised fastText model and how its texts are prepared.

    Thresholds belong to a model and a normalisation: DCLM-Baseline keeps p ≥ 0.018112 of its `__label__hq` (dclm,
    baselines/baselines_configs/fasttext_filter.yaml).
    """

    name: str = Field(pattern=r"^[a-z][a-z0-9_]*$", description="The signal is `<name>.probability`.")
    model: str = Field(description="Path of the model (.bin or .ftz).")
    label: str = Field("__label__hq", description="The label whose probability is the quality.")
    normalisation: Normalisation = Field(
        "dclm",
        description="How lines become one: `dclm` strips and joins them with a space; `kaiyuan` also lower-cases.",
    )


def dclm(text: str) -> str:
    """One line as in DCLM (baselines/mappers/enrichers/quality_prediction_enrichers_calc_fasttext.py): case is kept."""
    return " ".join(text.strip().splitlines())


def kaiyuan(text: str) -> str:
    """One line as in Kaiyuan-Spark (datafiner/text_scorer.py): lower case."""
    return text.replace("\n", " ").replace("\r", " ").strip().lower()


_NORMALISE = {"dclm": dclm, "kaiyuan": kaiyuan}


@dataclass(frozen=True)
class Model:
    """A loaded fastText model. `labels` are all it can give."""

    path: str
    labels: tuple[str, ...]
    _predict: Any

    def best(self, line: str) -> tuple[str, float]:
        """The most likely label of one line (which has no newline in it) and its probability, at most 1."""
        probability, label = self._predict(line + "\n", 1, 0.0, "strict")[0]
        # fastText adds 1e-5 before it takes the logarithm, so a certain label comes back as 1.00001.
        return label, min(probability, 1.0)

    def probability(self, line: str, label: str) -> float:
        """Of `label`, 0 to 1.

        With two labels it is asked as DCLM asks: the likelier label's p, or 1 − p when that is the other one. Asking
        for the label itself differs by fastText's 1e-5, which matters beside a threshold such as 0.018.
        """
        best, probability = self.best(line)
        if best == label:
            return probability
        if len(self.labels) == 2:
            return 1.0 - probability
        return next(min(p, 1.0) for p, found in self._predict(line + "\n", -1, 0.0, "strict") if found == label)


@cache
def load(path: str) -> Model:
    """The model at a local path, loaded once in each process. Raises FileNotFoundError or ValueError with the path."""
    import fasttext

    check(path)
    try:
        predict = fasttext.load_model(path).f.predict
    except ValueError as error:
        raise ValueError(f"{path}: not a fastText model: {error}") from error
    labels = tuple(sorted(label for _, label in predict("\n", -1, 0.0, "strict")))
    if not labels:
        raise ValueError(f"{path}: not a supervised fastText model (it has no labels)")
    return Model(path, labels, predict)


def check(path: str) -> None:
    """Raises FileNotFoundError, with what to do, when there is no model at `path`."""
    if not os.path.isfile(path):
        raise FileNotFoundError(
            f"{path}: no fastText model there; give the path of a .bin or .ftz file on this machine"
        )


def decoded(texts: Segmented, prefix_chars: int | None = None) -> Iterator[str]:
    """Each document, or its first `prefix_chars` code points, as the str that fastText wants."""
    starts = texts.text_start.tolist()
    for start, end in itertools.pairwise(starts):
        if prefix_chars is None:
            yield texts.data[start:end].tobytes().decode()
        else:  # four bytes a code point at most; the cut may split the last one, which the slice drops or `ignore` does
            yield (
                texts.data[start : min(end, start + 4 * prefix_chars)].tobytes().decode(errors="ignore")[:prefix_chars]
            )


class FastTextRater:
    """Measures `<name>.probability`. Abstains on a document that is blank once normalised."""

    def __init__(self, options: FastText) -> None:
        self.options = options
        self.name = options.name
        self.signals = (
            Signal(
                f"{options.name}.probability",
                "float64",
                "probability",
                "up",
                f"fastText {os.path.basename(options.model)}, {options.label}, normalised as {options.normalisation}",
                low=0.0,
                high=1.0,
            ),
        )

    @cached_property
    def fingerprint(self) -> str:
        check(self.options.model)
        options = self.options.model_dump(exclude={"model"})
        return fingerprint(["fasttext", VERSION, options, storage.sha256(self.options.model)])

    def setup(self) -> None:
        labels = load(self.options.model).labels
        if self.options.label not in labels:
            nearest = difflib.get_close_matches(self.options.label, labels, n=1, cutoff=0.0)[0]
            raise ValueError(
                f"{self.options.model}: no label {self.options.label!r}; nearest of its {len(labels)} is {nearest!r}"
            )

    def rate(self, texts: Segmented) -> pa.RecordBatch:
        import pyarrow as pa

        model, normalise, label = load(self.options.model), _NORMALISE[self.options.normalisation], self.options.label
        lines = (normalise(text) for text in decoded(texts))
        values = [model.probability(line, label) if line else None for line in lines]
        (signal,) = self.signals
        return pa.record_batch([pa.array(values, pa.float64())], schema=pa.schema([signal.field()]))
