"""The interface of a rater, and the declaration of the signals that it measures."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal, Protocol

if TYPE_CHECKING:
    import pyarrow as pa

    from tamis.transforms.text.segment import SegmentedTexts

Kind = Literal["int64", "float64", "bool", "string"]
Direction = Literal["up", "down", "band", "none"]


@dataclass(frozen=True)
class Signal:
    """One measured value of each document.

    `direction`: which values are better: up, down, band (inside a range), none (a label or a fact).
    `low` and `high`: the useful range in `unit`, which fusion maps to 0 and 1 unless the recipe
    gives another one. `source`: the definition's paper and section, or peer and file.
    """

    name: str
    kind: Kind
    unit: str
    direction: Direction
    source: str
    low: float | None = None
    high: float | None = None

    def field(self) -> pa.Field:
        """The Arrow field, nullable, with unit, direction and source in its metadata."""
        import pyarrow as pa

        types = {"int64": pa.int64(), "float64": pa.float64(), "bool": pa.bool_(), "string": pa.string()}
        return pa.field(
            self.name, types[self.kind], metadata={"unit": self.unit, "direction": self.direction, "source": self.source}
        )


class Rater(Protocol):
    """Measures signals. It is made in the driver, pickled to workers, set up once per process."""

    @property
    def name(self) -> str:
        """Its key in the recipe, and the prefix of its signals."""

    @property
    def signals(self) -> tuple[Signal, ...]:
        """What it measures, in the order of the columns of `rate`."""

    @property
    def fingerprint(self) -> str:
        """Changes whenever a value can: code version, options, bytes of a model, normalisation."""

    def setup(self) -> None:
        """Loads models and compiles kernels; called once in each process before `rate`."""

    def rate(self, texts: SegmentedTexts) -> pa.RecordBatch:
        """One row for each document, one column for each signal; null, never 0, if it abstains."""
