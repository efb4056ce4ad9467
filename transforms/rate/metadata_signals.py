"""Signals that are in the input already: scores and labels in the metadata of documents."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Literal

from pydantic import Field, model_validator

from tamis.transforms.core.options import Options, fingerprint
from tamis.transforms.core.rater import Direction, Rater, Signal, signal_batch

if TYPE_CHECKING:
    import pyarrow as pa

    from tamis.transforms.text.segment import SegmentedTexts

MISTYPED = "metadata.mistyped"


class DeclaredSignal(Options):
    """A value that documents bring along. One of another type counts as missing."""

    kind: Literal["int64", "float64", "bool", "string", "list<string>"] = Field(
        "float64", description="type of the values; list<string>: several labels, of which a threshold or guard wants one"
    )
    direction: Direction = Field("none", description="which values are better; band: those inside the range")
    range: tuple[float, float] | None = Field(
        None, description="useful range [low, high], which quality maps to 0 and 1, and the report draws"
    )
    unit: str = Field("", description="what a value counts or measures, for the report")

    @model_validator(mode="after")
    def _is_consistent(self) -> DeclaredSignal:
        if self.kind in ("string", "list<string>") and (self.range is not None or self.direction != "none"):
            raise ValueError("labels have no direction and no range")
        if self.range is not None and not self.range[0] < self.range[1]:
            raise ValueError(f"range is [low, high] with low below high, not {list(self.range)}")
        return self

    def signal(self, name: str, source: str) -> Signal:
        """The signal that it declares."""
        low, high = self.range or (None, None)
        return Signal(name, self.kind, self.unit, self.direction, source, low, high)


class DeclaredSignals(Options):
    """The declared signals by name, such as `metadata.score`."""

    signals: Mapping[str, DeclaredSignal]


class MetadataRater(Rater[DeclaredSignals]):
    """Gives the declared fields of the metadata as signals. `metadata.mistyped` counts the fields of
    a document that hold a value of another type than declared."""

    name = "metadata"
    VERSION = 1
    needs = ("metadata",)

    def __init__(self, options: DeclaredSignals) -> None:
        super().__init__(options)
        declared = (declaration.signal(name, "metadata of the input") for name, declaration in sorted(options.signals.items()))
        mistyped = Signal(
            MISTYPED, "int64", "fields of another type than declared", "down", "metadata of the input", 0, 1, least=0
        )
        self.signals = (*declared, mistyped)

    @property
    def fingerprint(self) -> str:
        """Covers what determines a value: a new range or direction re-rates nothing."""
        return fingerprint([self.name, self.VERSION, [[signal.name, signal.kind] for signal in self.signals]])

    def rate(self, texts: SegmentedTexts) -> pa.RecordBatch:
        import pyarrow as pa

        from tamis.transforms.text.metadata import field_values

        columns, mistyped = field_values(texts["metadata"], self.signals[:-1])
        return signal_batch(self.signals, [*columns, pa.array(mistyped, pa.int64())])
