"""The contract of a rater: what it sees of documents, and the signals that it measures."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from math import inf
from typing import TYPE_CHECKING, Any, ClassVar, Final, Literal, Self

from tamis.transforms.core.component import FIELDS, METADATA, Component, OptionsT

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt
    import pyarrow as pa

    from tamis.transforms.text.segment import SegmentedTexts

Kind = Literal["int64", "float64", "bool", "string", "list<string>", "list<binary>", "list<float32>"]

RECORDS: Final = "list<binary>"
VECTOR: Final = "list<float32>"
"""The kinds of signals that only a step of Decide reads."""
Direction = Literal["up", "down", "band", "none"]


@dataclass(frozen=True)
class Signal:
    """One measured value of each document.

    `direction`: which values are better: up, down, band (inside a range), none (a label or a fact).
    `low` and `high`: the useful range in `unit`, which fusion maps to 0 and 1 unless the recipe
    gives another one. `source`: the definition's paper and section, or peer and file. `labels`: all
    that there can be, if they are known. `least` and `most`: the lowest and the highest value that
    there can be; shares and probabilities are from 0 to 1 unless they say otherwise.
    """

    name: str
    kind: Kind
    unit: str
    direction: Direction
    source: str
    low: float | None = None
    high: float | None = None
    labels: tuple[str, ...] = ()
    least: float | None = None
    most: float | None = None

    @property
    def bounds(self) -> tuple[float, float]:
        """The lowest and the highest value that there can be."""
        least, most = (0.0, 1.0) if self.unit.startswith("share") or self.unit == "probability" else (-inf, inf)
        return least if self.least is None else self.least, most if self.most is None else self.most

    @property
    def is_value(self) -> bool:
        """Whether recipes can name it wherever they name values; records and vectors are for a step of Decide."""
        return self.kind not in (RECORDS, VECTOR)

    @property
    def has_labels(self) -> bool:
        """Whether its values are text, not numbers."""
        return self.kind in ("string", "list<string>")

    def type(self) -> pa.DataType:
        """The Arrow type of its values."""
        import pyarrow as pa

        labels = pa.list_(pa.string())
        types = {
            "int64": pa.int64(),
            "float64": pa.float64(),
            "bool": pa.bool_(),
            "string": pa.string(),
            "list<string>": labels,
            RECORDS: pa.list_(pa.binary()),
            VECTOR: pa.list_(pa.float32()),
        }
        return types[self.kind]

    def field(self) -> pa.Field:
        """The Arrow field, nullable, with unit, direction and source in its metadata."""
        import pyarrow as pa

        return pa.field(
            self.name, self.type(), metadata={"unit": self.unit, "direction": self.direction, "source": self.source}
        )


def share(part: npt.NDArray[np.int64], total: npt.NDArray[np.int64]) -> pa.Array:
    """`part / total` as float64; null where `total` is 0."""
    import numpy as np
    import pyarrow as pa

    return pa.array(part / np.maximum(total, 1), mask=total == 0)


def signal_batch(signals: Sequence[Signal], values: Iterable[pa.Array | npt.NDArray[Any]]) -> pa.RecordBatch:
    """A batch with one column per signal; `values` are in the order of `signals`. NaN in a numpy
    array becomes null."""
    import pyarrow as pa

    arrays = [value if isinstance(value, pa.Array) else pa.array(value, from_pandas=True) for value in values]
    return pa.RecordBatch.from_arrays(arrays, schema=pa.schema([signal.field() for signal in signals]))


class Rater(Component[OptionsT], ABC):
    """Measures signals of documents. A subclass `Mine(Rater[MyOptions])` names its signals and
    implements `rate`. Its name is the first part of the names of its signals. It may also need the
    signal of a rater that then runs before it (`language.label`)."""

    signals: tuple[Signal, ...]
    """What it measures, in the order of the columns of `rate`."""
    raw: ClassVar[bool] = False
    """Whether it sees the texts without words and lines. It then runs first, and needs no signal."""
    own_file: ClassVar[bool] = False
    """Whether its values are kept in files of their own, so that changing another rater does not
    make this one rate again: for models, functions, and whatever else is dear."""

    compares: ClassVar[bool] = False
    """Whether it compares documents with texts of elsewhere. It then sees all of them in the `words`
    of the recipe, whatever those of their block are."""

    index_file: str = ""
    """Name of the file in which the driver saves what it has read once, such as lists, and where
    workers map it; "" if there is none."""

    def save_index(self, uri: str) -> None:
        """Writes what the driver has read, for `with_index`."""
        raise NotImplementedError(f"{self.name} has no index")

    def with_index(self, uri: str) -> Self:
        """The same rater, which takes from a file what `save_index` wrote there."""
        return self

    def setup(self) -> None:
        """Loads models and compiles kernels, by rating one word. Called once in each process."""
        import pyarrow as pa

        from tamis.transforms.text.segment import segment, unsegmented

        cut: Any = unsegmented if self.raw else segment
        texts = cut(pa.array(["compiles"], pa.large_string()))
        self.rate(texts.with_columns({need: pa.nulls(1, pa.string()) for need in self.needs}))

    @abstractmethod
    def rate(self, texts: SegmentedTexts) -> pa.RecordBatch:
        """One row for each document, one column for each signal; null, never 0, if it abstains. A
        raw rater gets `Texts`."""


def running_order(raters: Iterable[Rater[Any]]) -> list[Rater[Any]]:
    """The raters in an order in which each runs after those whose signals it needs, and raw ones
    first. Raises ValueError naming a need that nobody can meet."""
    waiting = sorted(raters, key=lambda rater: not rater.raw)
    measured: set[str] = set()
    order: list[Rater[Any]] = []
    while waiting:
        ready = next((rater for rater in waiting if not _unmet(rater, measured)), None)
        if ready is None:
            raise ValueError(_unmet_message(waiting, measured))
        waiting.remove(ready)
        order.append(ready)
        measured.update(signal.name for signal in ready.signals)
    return order


def _unmet(rater: Rater[Any], measured: set[str]) -> list[str]:
    """The signals that a rater needs and that are not measured yet."""
    needs = (need for need in rater.needs if need not in FIELDS and not need.startswith(METADATA))
    return [need for need in needs if rater.raw or need not in measured]


def _unmet_message(waiting: Sequence[Rater[Any]], measured: set[str]) -> str:
    later = {signal.name: rater for rater in waiting for signal in rater.signals}
    for rater in waiting:
        for need in _unmet(rater, measured):
            if rater.raw:
                return f"the rater '{rater.name}' needs '{need}', but it is raw: it runs before all signals"
            if need not in later:
                other = need.split(".")[0]
                return f"the rater '{rater.name}' needs the signal '{need}': add the rater that measures it (rate.{other})"
    names = " and ".join(sorted(f"'{rater.name}'" for rater in waiting))
    return f"the raters {names} need signals of each other"
