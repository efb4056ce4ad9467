"""Rates texts by their resemblance to target examples: the cosine of embeddings, as in BETR (Apple 2025)."""

from __future__ import annotations

from collections.abc import Mapping
from copy import copy
from functools import cached_property
from typing import TYPE_CHECKING, Any, ClassVar, Literal, Self

from pydantic import Field, field_validator

from tamis.transforms import storage
from tamis.transforms.core.options import fingerprint
from tamis.transforms.core.rater import Rater, Signal, signal_batch
from tamis.transforms.rate.neural.pretrained import Pretrained, network_of
from tamis.transforms.rate.neural.targets import names_a_test_split

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt
    import pyarrow as pa

    from tamis.transforms.text.segment import Texts

_SOURCE = "BETR, arXiv 2507.12466"


class Embedding(Pretrained):
    """An embedding model, and the examples that good texts resemble. The model is a transformer, or a static embedding
    in the format of model2vec, which needs neither torch nor a GPU."""

    targets: str = Field(
        description="Path of JSON Lines with examples, also compressed: the training split of a benchmark, not its test split."
    )
    fields: tuple[str, ...] = Field(
        ("text",), min_length=1, description="Fields of an example; they are joined by line breaks."
    )
    pooling: Literal["mean", "first"] = Field(
        "mean", description="The vector of a window: the mean over its tokens, or the vector at the first one."
    )

    @field_validator("targets")
    @classmethod
    def _no_test_split(cls, path: str) -> str:
        if names_a_test_split(path):
            raise ValueError(
                f"{path} is called a test split: text that resembles it would be training on the test. Name a training split"
            )
        return path


class EmbeddingRater(Rater[Embedding]):
    """Measures `<name>.nearest`, the cosine of a text and the example nearest to it; `<name>.mean`, the mean
    cosine over all examples; and `<name>.judged`, the share of bytes that the model read. Abstains if a text
    has no known token."""

    VERSION = 1
    raw = True
    own_file = True
    slow = True
    repeatable = True
    example: ClassVar[Mapping[str, Any]] = {"name": "embedding", "model": "model", "targets": "train.jsonl"}

    def __init__(self, options: Embedding) -> None:
        super().__init__(options)
        self.name = name = options.name
        self.index_file = f"targets-{name}.arrow"
        self.uri: str | None = None
        self.signals = (
            Signal(f"{name}.nearest", "float64", "cosine", "up", _SOURCE, 0.0, 1.0, least=-1.0, most=1.0),
            Signal(f"{name}.mean", "float64", "cosine", "up", _SOURCE, 0.0, 1.0, least=-1.0, most=1.0),
            Signal(f"{name}.judged", "float64", "share of bytes", "none", "bytes that the model read"),
        )

    @cached_property
    def fingerprint(self) -> str:
        return self._identity()

    def _identity(self) -> str:
        options = self.options.model_dump(mode="json", exclude={"model", "revision", "targets"})
        covered = [options, self.options.identity(), storage.sha256(self.options.targets)]
        return fingerprint(["embedding", self.VERSION, covered])

    @cached_property
    def targets(self) -> npt.NDArray[np.float32]:
        """[t, d]: the vectors of the examples, of length 1: those that the driver has saved, or else computed once for
        this machine."""
        from tamis.transforms.runtime.mapped_arrays import cached

        if self.uri is not None:
            return _load(self.uri)
        return cached("tamis-targets", self._identity, _load, self._embedded_targets, _save)

    def _embedded_targets(self) -> npt.NDArray[np.float32]:
        import numpy as np
        import pyarrow as pa

        from tamis.transforms.rate.neural.targets import read_targets
        from tamis.transforms.text.segment import unsegmented

        texts = ["\n".join(example) for example in read_targets(self.options.targets, self.options.fields)]
        vectors, _ = self._embedded(unsegmented(pa.array(texts, pa.large_string())))
        known = vectors[~np.isnan(vectors[:, 0])]
        if not len(known):
            raise ValueError(f"{self.options.targets}: the model knows no token of the examples")
        return known.astype(np.float32)

    def save_index(self, uri: str) -> None:
        _save(self.targets, uri)

    def with_index(self, uri: str) -> Self:
        rater = copy(self)
        rater.__dict__.pop("targets", None)
        rater.uri = uri
        return rater

    def __getstate__(self) -> dict[str, object]:
        return {**{name: value for name, value in self.__dict__.items() if name != "targets"}, "fingerprint": self.fingerprint}

    def _embedded(self, texts: Texts) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.float64]]:
        """[n, d]: vectors of length 1, NaN without a known token; and the share of bytes judged."""
        import numpy as np

        from tamis.transforms.rate.neural.static_embedding import load_static
        from tamis.transforms.rate.neural.token_windows import read_windows

        static = load_static(self.options.folder())
        windows = read_windows(texts, self.options, special=static is None)
        if static is not None:
            values = static.vectors(windows.tokens)
        else:
            values = network_of(self.options, self.options.pooling).outputs(windows.tokens)
        vectors = windows.mean(values)
        length = np.sqrt(np.einsum("nd,nd->n", vectors, vectors))
        length[length == 0] = np.nan
        return vectors / length[:, None], windows.judged

    def rate(self, texts: Texts) -> pa.RecordBatch:
        import numpy as np

        vectors, judged = self._embedded(texts)
        known = ~np.isnan(vectors[:, 0])
        targets = self.targets
        centre = targets.mean(axis=0, dtype=np.float64)
        values = np.full((3, len(texts)), np.nan)
        for row in np.flatnonzero(known):  # alone: a product of matrices may add up otherwise for other rows
            values[0, row] = np.max(targets @ vectors[row].astype(np.float32))
            values[1, row] = centre @ vectors[row]
        values[:2] = np.clip(values[:2], -1, 1)
        values[2, known] = judged[known]
        return signal_batch(self.signals, np.round(values, self.options.decimals))


def _load(uri: str) -> npt.NDArray[np.float32]:
    from tamis.transforms.runtime.mapped_arrays import map_arrays

    arrays = map_arrays(uri)
    vectors: npt.NDArray[np.float32] = arrays["vectors"].reshape(-1, int(arrays["size"][0]))
    return vectors


def _save(vectors: npt.NDArray[np.float32], uri: str) -> None:
    from tamis.transforms.runtime.mapped_arrays import save_arrays

    save_arrays(uri, {"vectors": vectors.ravel(), "size": [vectors.shape[1]]})
