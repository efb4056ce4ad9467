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
from functools import cached_property
from typing import TYPE_CHECKING, Literal

from pydantic import Field

from tamis.transforms import storage
from tamis.transforms.core.options import Options, fingerprint
from tamis.transforms.core.rater import Signal
from tamis.transforms.rate.base import columns

if TYPE_CHECKING:
    import pyarrow as pa

    from tamis.transforms.text.segment import Segmented

VERSION = 3

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


def check(path: str) -> None:
    """Raises FileNotFoundError, with what to do, when there is no model at `path`."""
    if not os.path.isfile(path):
        raise FileNotFoundError(f"{path}: no fastText model there; give the path of a .bin or .ftz file on this machine")


def decoded(texts: Segmented) -> Iterator[str]:
    """Each document as a str."""
    for start, end in itertools.pairwise(texts.text_start.tolist()):
        yield texts.data[start:end].tobytes().decode()


class FastTextRater:
    """Measures `<name>.probability`. Abstains on a document that is blank once normalised, or has nothing the model knows."""

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
        import pyarrow as pa

        from tamis.transforms.rate.fasttext_model import load
        from tamis.transforms.text.segment import segment

        labels = load(self.options.model).labels
        if self.options.label not in labels:
            nearest = difflib.get_close_matches(self.options.label, labels, n=1, cutoff=0.0)[0]
            raise ValueError(
                f"{self.options.model}: no label {self.options.label!r}; nearest of its {len(labels)} is {nearest!r}"
            )
        self.rate(segment(pa.array(["compiles"], pa.large_string())))

    def rate(self, texts: Segmented) -> pa.RecordBatch:
        import pyarrow as pa

        from tamis.transforms.rate.fasttext_model import load
        from tamis.transforms.text.hashing import text_buffer

        normalise = _NORMALISE[self.options.normalisation]
        lines = pa.array([normalise(text) for text in decoded(texts)], pa.large_string())
        data, start = text_buffer(lines)
        probability = load(self.options.model).probability(data, start[:-1], start[1:], self.options.label)
        probability[start[:-1] == start[1:]] = float("nan")
        return columns(self.signals, [pa.array(probability, pa.float64(), from_pandas=True)])  # nan is null
