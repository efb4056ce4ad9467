"""Embeds texts: vectors for the step that drops similar texts, and the resemblance to examples, as in BETR (Apple 2025)."""

from __future__ import annotations

from collections.abc import Mapping
from copy import copy
from functools import cached_property
from typing import TYPE_CHECKING, Any, ClassVar, Literal, Self

from pydantic import Field, field_validator, model_validator

from tamis.transforms import storage
from tamis.transforms.core.options import fingerprint
from tamis.transforms.core.rater import VECTOR, Rater, Signal, signal_batch
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

    vector: bool = Field(False, description="Keep the vector of each text, for `select.diverse`.")
    targets: str | None = Field(
        None,
        description="Path of JSON Lines with examples, also compressed: the training split of a benchmark, not its test split.",
    )
    fields: tuple[str, ...] = Field(
        ("text",), min_length=1, description="Fields of an example; they are joined by line breaks."
    )
    pooling: Literal["mean", "first"] = Field(
        "mean", description="The vector of a window: the mean over its tokens, or the vector at the first one."
    )

    @field_validator("targets")
    @classmethod
    def _no_test_split(cls, path: str | None) -> str | None:
        if path is not None and names_a_test_split(path):
            raise ValueError(
                f"{path} is called a test split: text that resembles it would be training on the test. Name a training split"
            )
        return path

    @model_validator(mode="after")
    def _measures_something(self) -> Self:
        if self.targets is None and not self.vector:
            raise ValueError("name the examples that good texts resemble as targets, or keep vectors with vector: true")
        return self


class EmbeddingRater(Rater[Embedding]):
    """Measures, with targets, `<name>.nearest`, the cosine of a text and the example nearest to it, and
    `<name>.mean`, the mean cosine over all examples; `<name>.judged`, the share of bytes that the model read;
    and with `vector`, `<name>.vector`, of length 1 but for rounding. Abstains if a text has no known token."""

    VERSION = 1
    raw = True
    own_file = True
    slow = True
    repeatable = True
    example: ClassVar[Mapping[str, Any]] = {"name": "embedding", "model": "model", "targets": "train.jsonl"}

    def __init__(self, options: Embedding) -> None:
        super().__init__(options)
        self.name = name = options.name
        self.index_file = f"targets-{name}.arrow" if options.targets is not None else ""
        self.uri: str | None = None
        cosines = ("nearest", "mean") if options.targets is not None else ()
        self.signals = (
            *(Signal(f"{name}.{each}", "float64", "cosine", "up", _SOURCE, 0.0, 1.0, least=-1.0, most=1.0) for each in cosines),
            Signal(f"{name}.judged", "float64", "share of bytes", "none", "bytes that the model read"),
            *([Signal(f"{name}.vector", VECTOR, "numbers", "none", f"the model {options.model}")] if options.vector else []),
        )

    @cached_property
    def fingerprint(self) -> str:
        return self._identity()

    def _identity(self) -> str:
        options = self.options.model_dump(mode="json", exclude={"model", "revision", "targets"})
        targets = self.options.targets
        covered = [options, self.options.identity(), targets and storage.sha256(targets)]
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

        assert self.options.targets is not None
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
        import pyarrow as pa

        vectors, judged = self._embedded(texts)
        known = ~np.isnan(vectors[:, 0])
        values: list[Any] = []
        if self.options.targets is not None:
            values += list(np.clip(_cosines(vectors, self.targets), -1, 1))
        values = [np.round(value, self.options.decimals) for value in (*values, np.where(known, judged, np.nan))]
        if self.options.vector:
            rows = np.round(vectors[known], self.options.decimals).astype(np.float32)
            size = np.where(known, vectors.shape[1], 0)
            offsets = pa.array(np.append(0, np.cumsum(size)).astype(np.int32), mask=np.append(~known, False))
            values.append(pa.ListArray.from_arrays(offsets, pa.array(rows.ravel())))
        return signal_batch(self.signals, values)


def _cosines(vectors: npt.NDArray[np.float64], targets: npt.NDArray[np.float32]) -> npt.NDArray[np.float64]:
    """[2, n]: the cosine with the nearest target, and with all on average; NaN without a vector."""
    import numpy as np

    centre = targets.mean(axis=0, dtype=np.float64)
    cosines = np.full((2, len(vectors)), np.nan)
    for row in np.flatnonzero(~np.isnan(vectors[:, 0])):  # alone: a product of matrices may add up otherwise for other rows
        cosines[:, row] = np.max(targets @ vectors[row].astype(np.float32)), centre @ vectors[row]
    return cosines


def _load(uri: str) -> npt.NDArray[np.float32]:
    from tamis.transforms.runtime.mapped_arrays import map_arrays

    arrays = map_arrays(uri)
    vectors: npt.NDArray[np.float32] = arrays["vectors"].reshape(-1, int(arrays["size"][0]))
    return vectors


def _save(vectors: npt.NDArray[np.float32], uri: str) -> None:
    from tamis.transforms.runtime.mapped_arrays import save_arrays

    save_arrays(uri, {"vectors": vectors.ravel(), "size": [vectors.shape[1]]})
