"""Rates quality by a supervised fastText classifier: the probability of its positive label.

fastText takes a text of one line, so the lines of a document are joined first, as in DCLM or as in
Kaiyuan. The thresholds of a model hold only for the normalisation they were chosen with, so the
normalisation is part of the rater's fingerprint.
"""

from __future__ import annotations

import difflib
import os
from collections.abc import Mapping
from functools import cached_property
from typing import TYPE_CHECKING, Any, ClassVar, Literal

from pydantic import Field

from tamis.transforms import storage
from tamis.transforms.core.options import Options, fingerprint
from tamis.transforms.core.rater import Rater, Signal, signal_batch

if TYPE_CHECKING:
    import pyarrow as pa

    from tamis.transforms.text.segment import SegmentedTexts

Normalisation = Literal["dclm", "kaiyuan"]


class FastText(Options):
    """A supervised fastText model, and how texts are prepared for it.

    A threshold holds for one model and one normalisation: DCLM-Baseline keeps p ≥ 0.018112 of its
    `__label__hq` (dclm, baselines/baselines_configs/fasttext_filter.yaml).
    """

    name: str = Field(pattern=r"^[a-z][a-z0-9_]*$", description="Name of the rater; its signal is `<name>.probability`.")
    model: str = Field(description="Path of the model (.bin or .ftz).")
    label: str = Field("__label__hq", description="The label whose probability is the quality.")
    normalisation: Normalisation = Field(
        "dclm", description="How lines become one: `dclm` joins them with spaces; `kaiyuan` also converts to lower case."
    )


def dclm(text: str) -> str:
    """Joins lines as DCLM does (enrichers/quality_prediction_enrichers_calc_fasttext.py)."""
    return " ".join(text.strip().splitlines())


def kaiyuan(text: str) -> str:
    """Joins lines and converts to lower case, as Kaiyuan-Spark does (datafiner/text_scorer.py)."""
    return text.replace("\n", " ").replace("\r", " ").strip().lower()


_NORMALISE = {"dclm": dclm, "kaiyuan": kaiyuan}


def require_model(path: str) -> None:
    """Raises FileNotFoundError if there is no file at `path`."""
    if not os.path.isfile(path):
        raise FileNotFoundError(f"{path}: no such fastText model; give the path of a .bin or .ftz file on this machine")


class FastTextRater(Rater[FastText]):
    """Measures `<name>.probability`. Abstains if the text is blank or has no known feature."""

    VERSION = 3
    own_file = True
    repeatable = True
    example: ClassVar[Mapping[str, Any]] = {"name": "name", "model": "model.bin"}

    def __init__(self, options: FastText) -> None:
        super().__init__(options)
        self.name = options.name
        source = f"fastText {os.path.basename(options.model)}, {options.label}, normalised as {options.normalisation}"
        self.signals = (Signal(f"{options.name}.probability", "float64", "probability", "up", source, 0.0, 1.0),)

    @cached_property
    def fingerprint(self) -> str:
        require_model(self.options.model)
        options = self.options.model_dump(exclude={"model"})
        return fingerprint(["fasttext", self.VERSION, options, storage.sha256(self.options.model)])

    def setup(self) -> None:
        from tamis.transforms.rate.fasttext_model import load

        labels = load(self.options.model).labels
        if self.options.label not in labels:
            nearest = difflib.get_close_matches(self.options.label, labels, n=1, cutoff=0.0)[0]
            raise ValueError(
                f"{self.options.model}: no label {self.options.label!r}; the nearest of its {len(labels)} labels is {nearest!r}"
            )
        super().setup()

    def rate(self, texts: SegmentedTexts) -> pa.RecordBatch:
        import pyarrow as pa

        from tamis.transforms.rate.fasttext_model import load
        from tamis.transforms.text.hashing import text_buffer

        normalise = _NORMALISE[self.options.normalisation]
        lines = pa.array([normalise(text) for text in texts.strings()], pa.large_string())
        data, start = text_buffer(lines)
        probability = load(self.options.model).probability(data, start[:-1], start[1:], self.options.label)
        probability[start[:-1] == start[1:]] = float("nan")
        return signal_batch(self.signals, [pa.array(probability, pa.float64(), from_pandas=True)])  # nan becomes null
