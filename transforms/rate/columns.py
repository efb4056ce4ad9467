"""What the rule-based raters share: shares that are null where undefined, the batch of signals, the fingerprint."""

from __future__ import annotations

import unicodedata
from typing import TYPE_CHECKING

from transforms.options import Options, fingerprint
from transforms.rater import Signal
from transforms.text import SEGMENTATION

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt
    import pyarrow as pa


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


def rule_fingerprint(name: str, version: int, options: Options) -> str:
    """Of a rater whose values follow from its code, its options, the segmentation and Python's Unicode tables alone."""
    return fingerprint([name, version, options.model_dump(mode="json"), SEGMENTATION, unicodedata.unidata_version])
