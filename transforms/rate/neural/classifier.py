"""Rates texts by a sequence classifier of Hugging Face: a regressor, one label of several, or any of several."""

from __future__ import annotations

import re
from collections.abc import Mapping
from functools import cached_property
from typing import TYPE_CHECKING, Any, ClassVar, Literal, Self

from pydantic import Field, model_validator

from tamis.transforms.core.errors import nearest
from tamis.transforms.core.options import fingerprint
from tamis.transforms.core.rater import Rater, Signal, signal_batch
from tamis.transforms.rate.neural.pretrained import Pretrained, network_of

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt
    import pyarrow as pa

    from tamis.transforms.text.segment import Texts


class Classifier(Pretrained):
    """A sequence classifier, such as FineWeb-Edu's (a score) or WebOrganizer's (one label)."""

    output: Literal["score", "label", "labels"] = Field(
        "score",
        description="What the model gives: `score`, numbers as they are (a regressor); `label`, one of its labels (softmax); "
        "`labels`, any of them (sigmoid).",
    )
    labels: tuple[str, ...] = Field(
        (),
        description="Labels of the model that get a signal each, spelt as there; `Science & Tech.` has the signal "
        "`<name>.science_tech`. With none, a regressor of one number has the signal `<name>.score`.",
    )

    @model_validator(mode="after")
    def _signals_differ(self) -> Self:
        if self.output == "labels" and not self.labels:
            raise ValueError("output 'labels' needs labels: name those that become signals")
        names = [*_own_signals(self), *map(signal_name, self.labels)]
        if twice := sorted({name for name in names if names.count(name) > 1 or not name}):
            raise ValueError(f"labels give two signals the name '{self.name}.{twice[0]}': leave one out")
        return self


def signal_name(label: str) -> str:
    """The last part of the name of a label's signal."""
    return re.sub("[^a-z0-9]+", "_", label.lower()).strip("_")


def _own_signals(options: Classifier) -> tuple[str, ...]:
    """The last parts of the names of signals beside those of labels."""
    if options.output == "label":
        return "label", "probability", "judged"
    return ("judged",) if options.labels else ("score", "judged")


class ClassifierRater(Rater[Classifier]):
    """Measures what a classifier says of the windows of a text that it reads, on average, and
    `<name>.judged`, the share of bytes that it read. Abstains if a text has no token.

    With the output `label`, `<name>.label` is the most probable label of the model, the first of equals,
    and `<name>.probability` its probability.
    """

    VERSION = 1
    raw = True
    own_file = True
    slow = True
    repeatable = True
    example: ClassVar[Mapping[str, Any]] = {"name": "classifier", "model": "model"}

    def __init__(self, options: Classifier) -> None:
        super().__init__(options)
        self.name = name = options.name
        source = f"the classifier {options.model}"
        own = {
            "score": Signal(f"{name}.score", "float64", "points", "up", source),
            "label": Signal(f"{name}.label", "string", "label of the model", "none", source),
            "probability": Signal(f"{name}.probability", "float64", "probability", "none", source, 0.0, 1.0),
            "judged": Signal(f"{name}.judged", "float64", "share of bytes", "none", "bytes that the model read"),
        }
        unit = "points" if options.output == "score" else "probability"
        *first, judged = _own_signals(options)
        self.signals = (
            *(own[each] for each in first),
            *(Signal(f"{name}.{signal_name(label)}", "float64", unit, "none", source) for label in options.labels),
            own[judged],
        )

    @cached_property
    def fingerprint(self) -> str:
        options = self.options.model_dump(mode="json", exclude={"model", "revision"})
        return fingerprint(["classifier", self.VERSION, options, self.options.identity()])

    def rate(self, texts: Texts) -> pa.RecordBatch:
        import numpy as np
        import pyarrow as pa

        from tamis.transforms.rate.neural.token_windows import read_windows

        options = self.options
        network = network_of(options, "classifier")
        labels = [network.config.id2label[place] for place in range(network.config.num_labels)]
        chosen = _columns(options, labels)
        windows = read_windows(texts, options)
        values = windows.mean(_activated(network.outputs(windows.tokens), options.output))
        columns: list[Any] = []
        if options.output == "label":
            best = np.argmax(np.nan_to_num(values), axis=1)
            missing = np.isnan(windows.judged)
            columns.append(pa.array(labels, pa.string()).take(pa.array(best, mask=missing)))
            columns.append(values[np.arange(len(best)), best])
        columns += [values[:, column] for column in chosen]
        columns.append(windows.judged)
        rounded = [np.round(column, options.decimals) if isinstance(column, np.ndarray) else column for column in columns]
        return signal_batch(self.signals, rounded)


def _columns(options: Classifier, labels: list[str]) -> list[int]:
    """The outputs of the model that become signals. Raises ValueError if the model has no such label."""
    if options.output == "score" and not options.labels:
        if len(labels) != 1:
            raise ValueError(
                f"{options.model} gives {len(labels)} numbers: name those that become signals as labels ({', '.join(labels)}), "
                "or choose the output label or labels"
            )
        return [0]
    for label in options.labels:
        if label not in labels:
            near = nearest(label, labels) or labels[0]
            raise ValueError(f"{options.model} has no label {label!r}; the nearest of its {len(labels)} labels is {near!r}")
    return [labels.index(label) for label in options.labels]


def _activated(logits: npt.NDArray[np.float64], output: str) -> npt.NDArray[np.float64]:
    """[w, k]: scores, or probabilities of labels."""
    import numpy as np

    if output == "score":
        return logits
    if output == "labels":
        return np.asarray(1 / (1 + np.exp(-logits)))
    powers = np.exp(logits - logits.max(axis=1, keepdims=True, initial=-np.inf))
    return np.asarray(powers / powers.sum(axis=1, keepdims=True))
