"""What a rater is: the contract of rate/ and of the benchmark matcher, and the declaration of a
signal."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal, Protocol

if TYPE_CHECKING:
    import pyarrow as pa

    from tamis.transforms.text.segment import Segmented

Kind = Literal["int64", "float64", "bool", "string"]
Direction = Literal["up", "down", "band", "none"]


@dataclass(frozen=True)
class Signal:
    """One measured value a document.

    `direction` says what better means: up, down, band (best inside a range), none (a label or a
    fact). `low` and `high` bound the useful range in `unit`; fusion maps them to 0 and 1 unless
    the recipe gives another range. `source` names the paper and section, or the peer and file,
    that the definition comes from.
    """

    name: str
    kind: Kind
    unit: str
    direction: Direction
    source: str
    low: float | None = None
    high: float | None = None

    def field(self) -> pa.Field:
        """The Arrow field: nullable (null = the rater abstains), unit, direction and source in its
        metadata."""
        import pyarrow as pa

        types = {"int64": pa.int64(), "float64": pa.float64(), "bool": pa.bool_(), "string": pa.string()}
        return pa.field(
            self.name, types[self.kind], metadata={"unit": self.unit, "direction": self.direction, "source": self.source}
        )


class Rater(Protocol):
    """Measures signals of a batch. Made in the driver, pickled to the workers, set up once in each
    process."""

    @property
    def name(self) -> str:
        """Its part of the recipe, and what its signals begin with."""

    @property
    def signals(self) -> tuple[Signal, ...]:
        """What it measures, in the order of its columns."""

    @property
    def fingerprint(self) -> str:
        """Changes whenever a value can: code version, options, bytes of a model, normalisation."""

    def setup(self) -> None:
        """Load models and compile kernels; called once in each process before `rate`."""

    def rate(self, texts: Segmented) -> pa.RecordBatch:
        """One row a document, one column a signal in the order of `signals`; null = abstains,
        never 0 for missing."""
