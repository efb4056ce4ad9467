"""The base class of raters, and the Arrow columns that raters return."""

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

    from tamis.transforms.text.segment import SegmentedTexts

OptionsT = TypeVar("OptionsT", bound=Options)


def share(part: npt.NDArray[np.int64], total: npt.NDArray[np.int64]) -> pa.Array:
    """`part / total` as float64; null where `total` is 0."""
    import numpy as np
    import pyarrow as pa

    return pa.array(part / np.maximum(total, 1), mask=total == 0)


def signal_batch(signals: tuple[Signal, ...], values: list[pa.Array | npt.NDArray[np.int64]]) -> pa.RecordBatch:
    """A batch with one column per signal; `values` are in the order of `signals`."""
    import pyarrow as pa

    arrays = [value if isinstance(value, pa.Array) else pa.array(value) for value in values]
    return pa.RecordBatch.from_arrays(arrays, schema=pa.schema([signal.field() for signal in signals]))


class BaseRater(ABC, Generic[OptionsT]):
    """A rater with options. A subclass names its signals and implements `rate`.

    The fingerprint suits raters whose values depend only on their code, options, the segmentation
    and Python's Unicode tables. Others, such as those with a model, override it.
    """

    name: str
    signals: tuple[Signal, ...]
    VERSION: ClassVar[int]
    """Version of the code. Raise it whenever a text may get another value."""

    def __init__(self, options: OptionsT) -> None:
        self.options = options

    @property
    def fingerprint(self) -> str:
        options = self.options.model_dump(mode="json")
        return fingerprint([self.name, self.VERSION, options, SEGMENTATION, unicodedata.unidata_version])

    def setup(self) -> None:
        """Rates one word, which loads models and compiles kernels."""
        import pyarrow as pa

        from tamis.transforms.text.segment import segment

        self.rate(segment(pa.array(["compiles"], pa.large_string())))

    @abstractmethod
    def rate(self, texts: SegmentedTexts) -> pa.RecordBatch:
        """See `tamis.transforms.core.rater.Rater`."""
