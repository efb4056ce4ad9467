"""What raters share: the batch of signals; of rule-based ones also shares, null where undefined, and how one is made ready."""

from __future__ import annotations

import unicodedata
from abc import ABC, abstractmethod
from typing import TYPE_CHECKING, ClassVar, Generic, TypeVar

from tamis.transforms.core.options import Options, fingerprint
from tamis.transforms.core.rater import Signal
from tamis.transforms.text import SEGMENTATION

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt
    import pyarrow as pa

    from tamis.transforms.text.segment import Segmented

Chosen = TypeVar("Chosen", bound=Options)


def share(part: npt.NDArray[np.int64], whole: npt.NDArray[np.int64]) -> pa.Array:
    """`part / whole` as float64; null where `whole` is 0."""
    import numpy as np
    import pyarrow as pa

    return pa.array(part / np.maximum(whole, 1), mask=whole == 0)


def columns(signals: tuple[Signal, ...], values: list[pa.Array | npt.NDArray[np.int64]]) -> pa.RecordBatch:
    """A batch with one column a signal, `values` in the order of `signals`."""
    import pyarrow as pa

    arrays = [value if isinstance(value, pa.Array) else pa.array(value) for value in values]
    return pa.RecordBatch.from_arrays(arrays, schema=pa.schema([signal.field() for signal in signals]))


class RuleRater(ABC, Generic[Chosen]):
    """A rater whose values follow from its code, its options, the segmentation and Python's Unicode tables alone."""

    name: ClassVar[str]
    signals: ClassVar[tuple[Signal, ...]]
    VERSION: ClassVar[int]
    """Of the code: raise it when the same text would give another value."""

    def __init__(self, options: Chosen) -> None:
        self.options = options

    @property
    def fingerprint(self) -> str:
        options = self.options.model_dump(mode="json")
        return fingerprint([self.name, self.VERSION, options, SEGMENTATION, unicodedata.unidata_version])

    def setup(self) -> None:
        import pyarrow as pa

        from tamis.transforms.text.segment import segment

        self.rate(segment(pa.array(["compiles"], pa.large_string())))

    @abstractmethod
    def rate(self, texts: Segmented) -> pa.RecordBatch:
        """As `tamis.transforms.core.rater.Rater` says."""
