"""Every threshold that one document fails, and the limit with which it would pass."""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import pyarrow as pa

from tamis.transforms.select.thresholds import Threshold, evaluate

_DIGITS = 3  # of a limit that is named; a value is nearer to it than anyone cares


@dataclass(frozen=True)
class FailedRule:
    """A threshold that a document fails: the signal, the decision it leads to, and why. `passes`: the
    field of the threshold and the value it would need, as ("min", 12.0); None if no limit helps,
    since the value is missing."""

    signal: str
    decision: str
    detail: str
    passes: tuple[str, float | list[str]] | None


def failed_rules(values: Mapping[str, Any], rules: Mapping[str, Threshold]) -> list[FailedRule]:
    """The rules that a document fails, in their order. `values`: its signals by name; a rule whose
    signal is not among them is left out."""
    failed = []
    for name, rule in rules.items():
        if name not in values or _is_inside(values[name], rule):
            continue
        labels = pa.list_(pa.string()) if isinstance(values[name], list) else None  # an empty list has no type
        (row,) = evaluate(pa.table({name: pa.array([values[name]], labels)}), {name: rule}).to_pylist()
        if row["decision"] != "keep":
            failed.append(FailedRule(name, row["decision"], row["detail"], _passing(rule, values[name])))
    return failed


def _is_inside(value: Any, rule: Threshold) -> bool:
    """Whether a value plainly passes, so that the rule need not be evaluated."""
    if rule.one_of is not None:
        return value in rule.one_of if isinstance(value, str) else False
    if rule.margin or type(value) not in (int, float):
        return False
    return (rule.min is None or value >= rule.min) and (rule.max is None or value <= rule.max)


def _passing(rule: Threshold, value: Any) -> tuple[str, float | list[str]] | None:
    if value is None or value != value:
        return None
    if rule.one_of is not None:
        labels = value if isinstance(value, list) else [value]
        return ("one_of", [*rule.one_of, labels[0]]) if labels else None
    number = float(value)
    low = rule.min is not None and number - rule.min <= rule.margin * abs(rule.min)
    return ("min", _limit(number, rule.margin, -1)) if low else ("max", _limit(number, rule.margin, 1))


def _limit(value: float, margin: float, sign: int) -> float:
    """The limit of few digits that is nearest to a value which passes it: below for `sign` -1 (a
    minimum), above for 1. Whole numbers stay whole."""
    bound = value / (1 - sign * math.copysign(margin, value))
    if not margin and bound == round(bound):
        return bound
    exponent = math.floor(math.log10(abs(bound))) + 1 - _DIGITS if bound else -_DIGITS
    units = bound / 10.0**exponent
    steps = math.floor(units) if sign < 0 else math.ceil(units)
    while not _passes(value, limit := round(steps * 10.0**exponent, -exponent), margin, sign):
        steps += sign
    return limit


def _passes(value: float, limit: float, margin: float, sign: int) -> bool:
    distance = sign * (limit - value)
    return distance > margin * abs(limit) if margin else distance >= 0
