"""Checks of the signals that a recipe names: they exist, and have values that suit the place."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from typing import Any

from tamis.pipelines.recipe.editing import EDITORS
from tamis.pipelines.recipe.field_messages import Unknowable
from tamis.pipelines.recipe.signal_list import could_exist, hint_for_signal
from tamis.transforms.core.component import METADATA
from tamis.transforms.core.errors import nearest
from tamis.transforms.core.rater import Kind, Signal
from tamis.transforms.curriculum.order import parse_metric
from tamis.transforms.select.guards import NumberRange
from tamis.transforms.select.rule_blocks import LanguagePair
from tamis.transforms.select.thresholds import Threshold, check_kind, check_labels, check_limits, check_name

_QUALITY = Signal("quality", "float64", "share", "up", "the recipe", 0.0, 1.0)


class KnownSignals(dict[str, Signal]):
    """The signals that a recipe can name. `written`: the sections of the recipe, if some signals are
    missing, as what measures them has errors; `strict`: the recipe is not that of a finished run, so
    limits and labels are checked."""

    written: Mapping[str, Any] | None = None
    strict = True


def check_threshold(name: str, rule: Threshold, signals: KnownSignals) -> None:
    """Raises ValueError unless the limits suit the signal of this name."""
    if name in ("quality", "source") and name not in signals:
        other = "select.top takes the best share" if name == "quality" else "select.epochs: {NAME: 0} leaves a source out"
        raise ValueError(f"thresholds are of signals, and '{name}' is none: {other}")
    signal = known_signal(name, signals, "float64" if rule.one_of is None else "string")
    check_kind(name, rule, signal.has_labels)
    if signals.strict:
        check_limits(name, (rule.min, rule.max), signal)
        check_labels(name, rule.one_of or (), signal)


def check_rule_exists(name: str, rules: Collection[str]) -> None:
    """Raises ValueError unless a signal, whose limits a block takes away, is one of those with limits."""
    if name not in rules:
        near = nearest(name, rules)
        hint = f": did you mean '{near}'?" if near else f"; those with limits are {', '.join(sorted(rules))}" if rules else ""
        raise ValueError(f"null takes the limits of a signal away, and '{name}' has none{hint}")


def check_pairs(pairs: Sequence[LanguagePair], signals: KnownSignals, scores: Collection[str]) -> None:
    """Raises ValueError unless every pair has one label and a number that a release keeps."""
    for pair in pairs:
        for name in (pair.label, pair.score):
            if name.split(".")[0] in scores:
                raise ValueError(f"language_pairs: a release does not keep '{name}', so nobody could see why a rule held")
        label, score = known_signal(pair.label, signals, "string"), known_signal(pair.score, signals, "float64")
        if label.kind != "string":
            raise ValueError(f"language_pairs: '{pair.label}' is no single label")
        if score.has_labels:
            raise ValueError(f"language_pairs: '{pair.score}' is text, not a number")
        if signals.strict:
            check_limits(pair.score, [pair.min], score)


def check_known_early(pairs: Sequence[LanguagePair], signals: Collection[str], when: str) -> None:
    """Raises ValueError unless the language of a document is known before its text is rated: by fields
    of the metadata, or by one of these signals."""
    for name in (name for pair in pairs for name in (pair.label, pair.score)):
        if not name.startswith(METADATA) and name not in signals:
            raise ValueError(
                f"the language must be known before {when}, and '{name}' is measured later: name fields of the metadata in "
                "language_pairs, or set this for a source (per_source)"
            )


def check_condition(name: str, condition: tuple[str, ...] | NumberRange, signals: KnownSignals) -> None:
    """Raises ValueError unless documents can meet a condition of a guard."""
    limits = (condition.min, condition.max) if isinstance(condition, NumberRange) else ()
    check_column(name, signals, not isinstance(condition, NumberRange))
    signal = _QUALITY if name == "quality" else signals.get(name)
    if signal is not None and signals.strict:
        check_limits(name, limits, signal)
        check_labels(name, () if isinstance(condition, NumberRange) else condition, signal)


def known_signal(name: str, signals: KnownSignals, kind: Kind) -> Signal:
    """The signal of this name, or an undeclared field of the metadata, which is of the kind that its
    use implies. Raises ValueError if there is no such signal."""
    if name.startswith(METADATA) and name not in signals:
        if not all(name.split(".")):
            raise ValueError(f"'{name}' names no field of the metadata")
        declared = [other for other in signals if other.startswith(METADATA)]
        if close := nearest(name, declared, cutoff=0.8):
            raise ValueError(f"'{name}' is not declared under signals: did you mean '{close}'?")
        return undeclared_signal(name, kind)
    check_signal(name, signals)
    return signals[name]


def check_signal(name: str, signals: KnownSignals, *others: str) -> None:
    """Raises ValueError unless there is such a signal, or it is one of `others`, naming the rater to
    add or the nearest; Unknowable if its rater has an error."""
    if name in signals or name in others:
        return
    if signals.written is not None and could_exist(name, [*signals], signals.written):
        raise Unknowable
    rater, *rest = name.split(".")
    edited = {".".join(other.split(".")[:2]) for other in signals}
    if rater == "edit" and rest and rest[0] in EDITORS.names and f"edit.{rest[0]}" not in edited:
        raise ValueError(
            f"no signal '{name}': add the editor, `- {rest[0]}: {{}}`, to edit; if only a block has it, set the limits there"
        )
    measured = {other.split(".")[0] for other in signals}
    if rater not in measured and (hint := hint_for_signal(name, [*signals, *others])):
        raise ValueError(f"no signal '{name}': {hint}")
    check_name(name, [*signals, *others])


def check_output(name: str, signals: KnownSignals) -> None:
    """Raises ValueError unless the corpus can have a column of this name."""
    if name.startswith(METADATA) and name not in signals:
        raise ValueError(f"declare '{name}' under signals: a column has a type")
    check_signal(name, signals)


def undeclared_signal(name: str, kind: Kind) -> Signal:
    """The signal that a field of the metadata is, if the recipe does not declare it."""
    return Signal(name, kind, "", "none", "metadata of the input")


def check_column(name: str, signals: KnownSignals, labels: bool) -> None:
    """Raises ValueError unless documents have this column, with labels or with numbers."""
    if name in ("source", "licence", "quality"):
        has_labels = name != "quality"
    elif name.startswith(METADATA) or name in signals:
        signal = known_signal(name, signals, "string" if labels else "float64")
        has_labels = signal.has_labels or (labels and signal.kind == "bool")  # which counts as 1 and 0, too
    else:
        check_signal(name, signals, "source", "licence", "quality")
    if labels != has_labels:
        raise ValueError(f"'{name}' is {'a number, not a label' if labels else 'text, not a number'}")


def check_vectors(column: str, vectors: Sequence[str]) -> None:
    """Raises ValueError unless documents bring these vectors along, or a rater measures them."""
    if column.startswith(METADATA) or column in vectors:
        return
    if vectors:
        raise ValueError(f"no rater measures '{column}'; there is {' and '.join(vectors)}")
    raise ValueError(f"no rater measures '{column}': give the rater embedding the option vector: true")


def parse_order(metric: str, signals: KnownSignals) -> tuple[str, float]:
    """(column, sign) of a `curriculum.by` value. Raises ValueError if it cannot order documents."""
    name = metric.lstrip("+-")
    check_column(name, signals, False)
    return parse_metric(metric, "up" if name == "quality" else known_signal(name, signals, "float64").direction)
