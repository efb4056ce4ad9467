"""A Python function as a rater."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Literal

from pydantic import Field, field_validator

from tamis.transforms.core.options import NAMES, Options, fingerprint
from tamis.transforms.core.rater import Direction, Rater, Signal, signal_batch
from tamis.transforms.runtime.function_pickle import dump_function, load_function

if TYPE_CHECKING:
    import pyarrow as pa

    from tamis.transforms.text.segment import SegmentedTexts

Function = Callable[[str], float | None]


class FunctionOptions(Options):
    """What a run records of a function: not its code, which has no stable fingerprint."""

    name: str = Field(pattern=r"^[a-z][a-z0-9_]*$", description=NAMES)
    version: str = Field(min_length=1)
    kind: Literal["float64", "int64", "bool"] = "float64"
    direction: Direction = "none"
    range: tuple[float, float] | None = None
    unit: str = ""

    @field_validator("range")
    @classmethod
    def _range_is_one(cls, ends: tuple[float, float] | None) -> tuple[float, float] | None:
        if ends is not None and not ends[0] < ends[1]:
            raise ValueError("should be (low, high) with low below high")
        return ends


class FunctionRater(Rater[FunctionOptions]):
    """Measures `<name>.score` by calling a function with each text."""

    slow = True
    own_file = True

    def __init__(self, options: FunctionOptions, function: Function) -> None:
        super().__init__(options)
        self.name = options.name
        self.function = function
        low, high = options.range or (None, None)
        source = f"a Python function, version {options.version}"
        self.signals = (Signal(f"{self.name}.score", options.kind, options.unit, options.direction, source, low, high),)

    @property
    def fingerprint(self) -> str:
        """Covers the version: the code itself has no stable fingerprint."""
        return fingerprint(["function", self.name, self.options.version, self.options.kind])

    def rate(self, texts: SegmentedTexts) -> pa.RecordBatch:
        import pyarrow as pa

        values = [self._value(text) for text in texts.strings()]
        return signal_batch(self.signals, [pa.array(values, self.signals[0].type())])

    def _value(self, text: str) -> float | None:
        value = self.function(text)
        if value is None or not math.isfinite(value):
            return None
        return bool(value) if self.options.kind == "bool" else int(value) if self.options.kind == "int64" else float(value)

    def __reduce__(self) -> tuple[Any, ...]:
        return _unpickle, (self.options, dump_function(self.function))


def _unpickle(options: FunctionOptions, function: bytes) -> FunctionRater:
    return FunctionRater(options, load_function(function))


def rater(
    *,
    name: str,
    version: str,
    kind: Literal["float64", "int64", "bool"] = "float64",
    direction: Direction = "none",
    range: tuple[float, float] | None = None,
    unit: str = "",
) -> Callable[[Function], FunctionRater]:
    """Makes a rater of a function from a text to a number, or None for no value. Its signal is
    `<name>.score`.

    Raise `version` whenever the function may give another value: documents are then rated again.
    The function runs once for each document, in Python, in every worker: it is far slower than a
    rater on arrays. It is sent to the workers with what it uses of its own module; other modules
    must be installed there. A document on which it fails is a reject. `direction` and `range` are
    what `quality` uses. Raises ValueError if an argument is wrong.
    """
    options = FunctionOptions.of_call(name=name, version=version, kind=kind, direction=direction, range=range, unit=unit)
    return lambda function: FunctionRater(options, function)
