"""What other limits would decide: the limits of a release as fields that can be moved, and the answer to each move."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import cached_property
from threading import Lock
from typing import Any

from tamis.pipelines.estimate.what_if import WhatIf
from tamis.pipelines.recipe.load import with_limits
from tamis.pipelines.view.document_list import DocumentList
from tamis.transforms.select.rule_blocks import THRESHOLDS

EXAMPLES = 10
"""Documents of each side that change, which the page lists."""

_EXCERPT = 300  # characters of the text of an example


class MovedLimits:
    """The limits of one release, asked by several threads, one after the other: columns are read once and kept."""

    def __init__(self, documents: DocumentList) -> None:
        self._documents = documents
        self._lock = Lock()

    def fields(self) -> list[dict[str, Any]]:
        """Each minimum and maximum of the recipe: `setting` as `--set` names it, signal, side, value, the section that
        sets it, and `low` and `high`, between which 98 % of the values lie."""
        rules = self._what_if.recipe.rules
        spans = self._documents.spans([name for name in rules.signals if name in self._documents.numbers])
        fields = []
        for section, limits in rules.sections.items():
            for signal, rule in limits.items():
                for side in ("min", "max"):
                    value = getattr(rule, side, None)
                    if value is not None and signal in spans:
                        low, high = spans[signal]
                        prefix = section if section == THRESHOLDS else f"{section}.{THRESHOLDS}"
                        fields.append(
                            {"setting": f"{prefix}.{signal}.{side}", "signal": signal, "side": side, "value": value}
                            | {"section": section, "low": low, "high": high}
                        )
        return fields

    def answer(self, settings: Sequence[str]) -> dict[str, Any]:
        """What limits such as `thresholds.gopher.word_count.min=80` would decide, with examples. Raises RunError if one
        of them is no limit."""
        with self._lock:
            asked = self._what_if
            answer = asked.answer(with_limits(asked.release.manifest, settings), EXAMPLES)
            return answer.as_json({name: _excerpt(values) for name, values in asked.texts(answer.examples).items()})

    @cached_property
    def _what_if(self) -> WhatIf:
        return WhatIf(self._documents.release)


def _excerpt(values: Mapping[str, Any]) -> dict[str, Any]:
    return {**values, "text": (values["text"] or "")[:_EXCERPT]}
