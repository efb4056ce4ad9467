"""Rates texts by a model that `tamis rate train` made: a pooled transformer or a linear model."""

from __future__ import annotations

from collections.abc import Mapping
from functools import cached_property
from typing import TYPE_CHECKING, Any, ClassVar

from pydantic import Field

from tamis.transforms import storage
from tamis.transforms.core.options import Options, fingerprint
from tamis.transforms.core.rater import Rater, Signal, signal_batch

if TYPE_CHECKING:
    import pyarrow as pa

    from tamis.transforms.text.segment import SegmentedTexts


class Trained(Options):
    """A model of `tamis rate train`."""

    name: str = Field(pattern=r"^[a-z][a-z0-9_]*$", description="Name of the rater; its signals are `<name>.score` and others.")
    model: str = Field(description="Path of the model (.safetensors).")


class TrainedRater(Rater[Trained]):
    """Measures `<name>.score`, the probability of the positive class, or a grade from 0 to 1;
    `<name>.known`, the share of words that the model has seen; and `<name>.judged`, the share that
    was read of a long text. Abstains if a text has no word.

    Scores are rounded to six decimals, since processors differ in the last digits of exp.
    """

    VERSION = 1
    own_file = True
    repeatable = True
    example: ClassVar[Mapping[str, Any]] = {"name": "trained", "model": "model.safetensors"}

    def __init__(self, options: Trained) -> None:
        super().__init__(options)
        self.name = name = options.name
        source = "a model trained by `tamis rate train`"
        self.signals = (
            Signal(f"{name}.score", "float64", "probability", "up", source, 0.0, 1.0),
            Signal(f"{name}.known", "float64", "share of words", "none", "words in the vocabulary of the model"),
            Signal(f"{name}.judged", "float64", "share of words", "none", "words that the model read"),
        )

    @cached_property
    def fingerprint(self) -> str:
        try:
            content = storage.sha256(self.options.model)
        except FileNotFoundError:
            raise FileNotFoundError(
                f"{self.options.model}: no such model on this machine; make one with: tamis rate train"
            ) from None
        return fingerprint(["trained", self.VERSION, self.options.name, content])

    def rate(self, texts: SegmentedTexts) -> pa.RecordBatch:
        import numpy as np

        from tamis.transforms.rate.trained.model_file import read_model
        from tamis.transforms.rate.trained.scoring import score_words

        scored = score_words(texts, read_model(self.options.model))
        return signal_batch(self.signals, [np.round(scored.score, 6), np.round(scored.known, 6), np.round(scored.judged, 6)])
