"""Applies thresholds to a batch: which documents fail, by which rule, and why."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from math import inf
from typing import TYPE_CHECKING, Literal

import numpy as np
import numpy.typing as npt
from pydantic import Field, model_validator

from tamis.transforms.core.errors import nearest
from tamis.transforms.core.options import Number, Options

if TYPE_CHECKING:
    import pyarrow as pa

    from tamis.transforms.core.rater import Signal

DECISIONS = ("keep", "review", "drop")
"""In order of severity: a rule that drops overrides an earlier one that sends to review."""

_KEEP, _REVIEW, _DROP = range(3)
_DIGITS = 6


class Threshold(Options):
    """The values of a signal that pass.

    Limits are inclusive. A missing value never passes. True and false count as 1 and 0.
    """

    min: Number | None = Field(default=None, description="lowest value that passes")
    max: Number | None = Field(default=None, description="highest value that passes")
    one_of: tuple[str, ...] | None = Field(
        default=None, description="labels that pass, for a text signal; of several labels of a document, one must pass"
    )
    action: Literal["drop", "review"] = Field(default="drop", description="decision for a document that fails")
    margin: float = Field(
        default=0.0, ge=0, lt=1, description="values within this share of a limit, on either side, go to review"
    )

    @model_validator(mode="after")
    def _can_decide(self) -> Threshold:
        if self.one_of is not None:
            if self.min is not None or self.max is not None or self.margin:
                raise ValueError("one_of is for labels; min, max and margin are for numbers: do not mix them")
            if not self.one_of:
                raise ValueError("one_of is empty, so every document would fail")
        elif self.min is None and self.max is None:
            raise ValueError("a threshold needs min, max or one_of")
        elif self.min is not None and self.max is not None and self.min > self.max:
            raise ValueError(f"min {self.min:g} is above max {self.max:g}, so every document would fail")
        return self


def check_name(name: str, signals: Iterable[str]) -> None:
    """Raises ValueError if no rater measures the signal `name`, suggesting the nearest one."""
    names = sorted(signals)
    if name in names:
        return
    if own := [other for other in names if other.startswith(f"{name}.")]:
        hint = f"it is a rater, with the {'signals' if len(own) > 1 else 'signal'} {', '.join(own)}"
    elif near := nearest(name, names):
        hint = f"did you mean '{near}'?"
    else:
        raters = ", ".join(dict.fromkeys(other.split(".")[0] for other in names))
        hint = f"there are those of {raters}; `tamis raters` lists all" if names else "no rater is set up"
    raise ValueError(f"no signal '{name}': {hint}")


def check_kind(name: str, rule: Threshold, text: bool) -> None:
    """Raises ValueError if the rule is for labels and the signal a number, or the reverse."""
    if text != (rule.one_of is not None):
        raise ValueError(f"'{name}' is {'text: use one_of' if text else 'a number: use min and max'}")


def check_limits(name: str, limits: Iterable[float | None], signal: Signal) -> None:
    """Raises ValueError for a limit that no value can reach."""
    low, high = signal.bounds
    for limit in limits:
        if limit is not None and not low <= limit <= high:
            if high == inf:
                raise ValueError(f"'{name}' ({signal.unit}) is never below {low:g}, so it has no limit of {limit:g}")
            percent = f"; {limit:g} % is written {limit / 100:g}" if 10 <= limit <= 100 else ""
            raise ValueError(f"'{name}' is a {signal.unit}, from {low:g} to {high:g}, never {limit:g}{percent}")


def check_labels(name: str, labels: Iterable[str], signal: Signal) -> None:
    """Raises ValueError for a label that no document can have."""
    for label in labels if signal.labels else ():
        if label not in signal.labels:
            near = nearest(label, signal.labels)
            hint = f"did you mean '{near}'?" if near else f"its labels are {', '.join(signal.labels[:12])}, …"
            raise ValueError(f"'{name}' is never '{label}' ({signal.unit}): {hint}")


def evaluate(columns: pa.Table | pa.RecordBatch, rules: Mapping[str, Threshold], explained: bool = True) -> pa.Table:
    """Applies the rules, in order, to the signals of n documents.

    Returns n rows of dictionary-encoded columns: `decision` (keep, review, drop), `reason` (the
    signal of the first rule with that decision) and `detail` ("12 < 50", "missing", "fr not in
    en,de"). Reason and detail are null for kept documents. Unless `explained`, all details are
    null, which is faster. Raises ValueError, naming the signal, if a rule does not fit its column.
    """
    import pyarrow as pa

    decision = np.full(columns.num_rows, _KEEP, np.int8)
    rule_of = np.full(columns.num_rows, -1, np.int16)
    detail_of = np.full(columns.num_rows, -1, np.int64)
    details: list[pa.Array] = [pa.array([], pa.string())]
    written = 0
    for index, (name, rule) in enumerate(rules.items()):
        for severity, failed, explain in _failures(name, rule, _column(columns, name)):
            rows = np.flatnonzero(failed & (severity > decision))
            decision[rows], rule_of[rows] = severity, index
            if explained and len(rows):  # only failing rows get text
                detail_of[rows] = np.arange(written, written + len(rows))
                details.append(explain(rows))
                written += len(rows)
    return pa.table(
        {
            "decision": pa.DictionaryArray.from_arrays(pa.array(decision), pa.array(DECISIONS)),
            "reason": pa.DictionaryArray.from_arrays(pa.array(rule_of, mask=rule_of < 0), pa.array(list(rules), pa.string())),
            "detail": pa.concat_arrays(details).take(pa.array(detail_of, mask=detail_of < 0)).dictionary_encode(),
        }
    )


Failure = tuple[int, npt.NDArray[np.bool_], Callable[[npt.NDArray[np.int64]], "pa.Array"]]
"""Severity, the documents that fail, and a function that gives the details of some rows."""


def _failures(name: str, rule: Threshold, column: pa.Array) -> Iterator[Failure]:
    """The failures under a rule: missing values, values beyond a limit, values close to one."""
    import pyarrow as pa

    severity = _DROP if rule.action == "drop" else _REVIEW
    kind = column.type
    if not pa.types.is_null(kind):
        check_kind(name, rule, pa.types.is_string(kind) or pa.types.is_large_string(kind) or pa.types.is_list(kind))
    if rule.one_of is not None:
        yield from _unlisted(rule.one_of, column, severity)
    else:
        yield from _beyond(rule, column, severity)


def _unlisted(allowed: tuple[str, ...], column: pa.Array, severity: int) -> Iterator[Failure]:
    import pyarrow as pa
    import pyarrow.compute as pc

    missing = _mask(column.is_null())
    yield severity, missing, _constant("missing")
    if pa.types.is_list(column.type):
        listed = any_listed(column, allowed)
        column = pc.binary_join(column, ",")
    else:
        listed = _mask(pc.is_in(column.cast(pa.large_string()), value_set=pa.array(allowed, pa.large_string())))
    yield severity, ~missing & ~listed, _phrase(column, "not in " + ",".join(allowed))


def any_listed(column: pa.Array, labels: Sequence[str]) -> npt.NDArray[np.bool_]:
    """Which of n lists of labels hold one of `labels`."""
    import pyarrow as pa
    import pyarrow.compute as pc

    listed = np.zeros(len(column), np.bool_)
    rows = pc.list_parent_indices(column).to_numpy()
    listed[rows[_mask(pc.is_in(pc.list_flatten(column), value_set=pa.array(labels, pa.string())))]] = True
    return listed


def _beyond(rule: Threshold, column: pa.Array, severity: int) -> Iterator[Failure]:
    import pyarrow as pa

    values = column.cast(pa.float64(), safe=False).to_numpy(zero_copy_only=False)
    yield severity, np.isnan(values), _constant("missing")
    close: list[Failure] = []
    for limit, sign, relation in ((rule.min, 1, "<"), (rule.max, -1, ">")):
        if limit is None:
            continue
        near = np.abs(values - limit) <= rule.margin * abs(limit) if rule.margin else np.zeros(len(values), np.bool_)
        yield severity, (sign * values < sign * limit) & ~near, _phrase(column, f"{relation} {_number(limit)}", limit)
        close.append((_REVIEW, near, _phrase(column, f"within {rule.margin:.0%} of {_number(limit)}", limit)))
    yield from close


def _constant(text: str) -> Callable[[npt.NDArray[np.int64]], pa.Array]:
    import pyarrow as pa

    return lambda rows: pa.repeat(pa.scalar(text), len(rows))


def _phrase(column: pa.Array, rest: str, limit: float | None = None) -> Callable[[npt.NDArray[np.int64]], pa.Array]:
    """The value of each row, then `rest`. Values are rounded unless they would equal the limit."""
    import pyarrow as pa
    import pyarrow.compute as pc

    def explain(rows: npt.NDArray[np.int64]) -> pa.Array:
        values = column.take(pa.array(rows))
        if pa.types.is_floating(values.type):
            rounded = pc.round(values, ndigits=_DIGITS)
            values = pc.if_else(pc.equal(rounded, limit), values, rounded)
        elif pa.types.is_boolean(values.type):
            values = values.cast(pa.int8())
        return pc.binary_join_element_wise(values.cast(pa.string()), rest, " ")

    return explain


def _column(columns: pa.Table | pa.RecordBatch, name: str) -> pa.Array:
    import pyarrow as pa

    column = columns[name]
    if isinstance(column, pa.ChunkedArray):
        column = column.combine_chunks()
    return column.dictionary_decode() if pa.types.is_dictionary(column.type) else column


def _mask(array: pa.Array) -> npt.NDArray[np.bool_]:
    return array.to_numpy(zero_copy_only=False)


def _number(value: float) -> str:
    return f"{value:.15g}"
