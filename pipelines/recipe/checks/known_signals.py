"""The raters of a recipe that is being checked, and the signals that it can name."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from itertools import chain
from types import MappingProxyType
from typing import Any

from pydantic import ValidationInfo

from tamis.pipelines.recipe.checks.signal_checks import KnownSignals
from tamis.pipelines.recipe.rating import FINISHED, column_order
from tamis.pipelines.recipe.recipe_blocks import Block
from tamis.transforms.core.component import METADATA
from tamis.transforms.core.editor import Editor
from tamis.transforms.core.rater import Rater, Signal
from tamis.transforms.decontaminate.contamination_rater import Contamination
from tamis.transforms.rate.metadata_signals import DeclaredSignal, DeclaredSignals, MetadataRater
from tamis.transforms.runtime.credentials import redact
from tamis.transforms.select.score_files import ScoreFile
from tamis.transforms.text.words import DEFAULT_WORDS
from tamis.transforms.urls.consent import ConsentRater
from tamis.transforms.urls.url_lists import UrlListRater

LEFT_OUT, WRITTEN = "left_out", "written"
"""Keys of the context in which a recipe is checked: the names of sections that lack something,
because it has an error of its own, so what depends on it is not checked; and all sections as they
are written."""

MEASURE = {"edit", "rate", "scores", "signals", "url_lists", "consent", "decontaminate"}
"""The sections that signals come from."""

BLOCKS = ("per_source", "per_language")
"""The sections with blocks, whose editors have signals, too."""


def known_signals(
    info: ValidationInfo, blocks: Mapping[str, Block] = MappingProxyType({}), sections: Collection[str] = (*MEASURE, *BLOCKS)
) -> KnownSignals:
    """The signals by name; empty if the `sections` that they come from have errors, which must be
    corrected first, or if some raters or editors of a finished run are gone. `blocks`: those that
    are being checked."""
    if not info.data.keys() >= set(sections) or not info.data["rate"].complete:
        return KnownSignals()
    every = [*(block for name in BLOCKS for block in info.data.get(name, {}).values()), *blocks.values()]
    steps = [*info.data["edit"], *chain.from_iterable(block.edit or () for block in every)]
    editors = [step.editor for step in steps]
    if None in editors:
        return KnownSignals()
    raters = raters_of(info.data)
    rated = {name: signal for name, signal in signals_of([*raters, *editors]).items() if signal.is_value}
    scores = signals_of_scores(info.data["signals"], info.data["scores"])
    signals = KnownSignals(rated | {signal.name: signal for each in scores.values() for signal in each})
    signals.written = (info.context or {})[WRITTEN] if left_out(info) & MEASURE.union(BLOCKS) else None
    signals.strict = not (info.context or {}).get(FINISHED)
    return signals


def raters_of(sections: Mapping[str, Any]) -> tuple[Rater[Any], ...]:
    """The raters that the sections of a recipe set up, in the order of their columns."""
    by_key = dict(sections["rate"].raters)
    if sections["decontaminate"] is not None:
        by_key["contamination"] = (Contamination(sections["decontaminate"], words=sections.get("words", DEFAULT_WORDS)),)
    if sections["url_lists"] is not None:
        by_key["url_lists"] = (UrlListRater(sections["url_lists"]),)
    if sections["consent"] is not None:
        by_key["consent"] = (ConsentRater(sections["consent"]),)
    if own := {name: signal for name, signal in sections["signals"].items() if name.startswith(METADATA)}:
        by_key["metadata"] = (MetadataRater(DeclaredSignals(signals=own)),)
    return tuple(rater for key in sorted(by_key, key=column_order) for rater in by_key[key])


def signals_of(components: Sequence[Rater[Any] | Editor[Any]]) -> dict[str, Signal]:
    """The signals of raters and editors, by name."""
    return {signal.name: signal for component in components for signal in component.signals}


def signals_of_scores(declared: Mapping[str, DeclaredSignal], scores: Mapping[str, ScoreFile]) -> dict[str, tuple[Signal, ...]]:
    """The declared signals of each file of scores, by its name."""
    return {
        score: tuple(
            declared[name].signal(name, redact(scores[score].path)) for name in sorted(declared) if name.split(".")[0] == score
        )
        for score in scores
    }


def left_out(info: ValidationInfo) -> frozenset[str]:
    """The sections that have errors of their own."""
    names: frozenset[str] = (info.context or {}).get(LEFT_OUT, frozenset())
    return names
