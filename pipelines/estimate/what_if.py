"""What other limits would decide about the documents of a release, by its columns: no text is read, no release made.

Limits decide first, by the signals of each document alone, so what they decide is exact: it is what a run with these
limits would say, by the same function. What the later steps decided (duplicates, benchmark items, the budget) stands
as it is in the release, and is an estimate: a document that they dropped stays dropped unless a limit drops it before.
Of a document that passes only under the other limits nobody knows what they would say; it is `passing`.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import asdict, dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from tamis.pipelines.decisions.rated_decisions import REMOVED, part_signals, rated_decisions, sketch_columns
from tamis.pipelines.recipe.load import finished_recipe
from tamis.pipelines.recipe.schema import Recipe
from tamis.transforms.core.errors import RunError, nearest
from tamis.transforms.core.release import Release
from tamis.transforms.provenance import ledger

PASSING = "passing"
"""The decision about a document that a limit ended and that would pass: later steps have not seen it. Without later
steps it is `keep`."""

_KEYS = ["source", "decision", "reason", "new_decision", "new_reason"]
_LEDGER = ["decision", "reason", "tokens", "bytes"]


@dataclass(frozen=True)
class Outcome:
    """A decision, and its reason unless it is to keep."""

    decision: str
    reason: str | None = None


@dataclass(frozen=True)
class Totals:
    """Documents, with their tokens and the bytes of their texts."""

    documents: int = 0
    tokens: int = 0
    bytes: int = 0

    def __add__(self, other: Totals) -> Totals:
        return Totals(self.documents + other.documents, self.tokens + other.tokens, self.bytes + other.bytes)


@dataclass(frozen=True)
class Flow:
    """Documents of a source with one outcome in the release, and one under other limits."""

    source: str
    before: Outcome
    after: Outcome
    totals: Totals

    @property
    def is_newly_kept(self) -> bool:
        """Whether the documents pass now, and did not."""
        return self.before.decision != "keep" and self.after.decision in ("keep", PASSING)

    @property
    def is_newly_dropped(self) -> bool:
        """Whether the documents were kept, and are not now."""
        return self.before.decision == "keep" != self.after.decision


@dataclass(frozen=True)
class Example:
    """A document whose decision changes. `detail`: of the limit that it fails, before or now. `part` and `row`: its
    place in the release."""

    id: str
    source: str
    before: Outcome
    after: Outcome
    detail: str
    part: int
    row: int
    is_newly_kept: bool


@dataclass(frozen=True)
class Answer:
    """What other limits change. `flows`: every document once, by source and outcome. `steps`: the sections whose steps
    come after the limits; what they decided stands."""

    flows: list[Flow]
    steps: tuple[str, ...]
    examples: list[Example] = field(default_factory=list)

    @property
    def outcomes(self) -> dict[Outcome, tuple[Totals, Totals]]:
        """(before, after) of every outcome: kept first, then passing, then by decision and reason."""
        pairs: dict[Outcome, tuple[Totals, Totals]] = {}
        for flow in self.flows:
            for outcome, before in ((flow.before, True), (flow.after, False)):
                old, new = pairs.get(outcome, (Totals(), Totals()))
                pairs[outcome] = (old + flow.totals, new) if before else (old, new + flow.totals)
        order = ("keep", PASSING, "review", "drop")
        return dict(sorted(pairs.items(), key=lambda item: (order.index(item[0].decision), item[0].reason or "")))

    @property
    def newly_kept(self) -> list[Flow]:
        """What passes now and did not."""
        return [flow for flow in self.flows if flow.is_newly_kept]

    @property
    def newly_dropped(self) -> list[Flow]:
        """What was kept and is not now."""
        return [flow for flow in self.flows if flow.is_newly_dropped]

    def as_json(self, texts: Mapping[str, Mapping[str, Any]]) -> dict[str, Any]:
        """The answer as JSON has it. `texts`: what `WhatIf.texts` gives of its examples."""
        return {
            "as_they_stand": list(self.steps),
            "outcomes": [
                asdict(outcome) | {"before": asdict(before), "after": asdict(after)}
                for outcome, (before, after) in self.outcomes.items()
            ],
            "changes": [asdict(flow) for flow in self.flows if flow.before != flow.after],
            "newly_kept": asdict(total(self.newly_kept)),
            "newly_dropped": asdict(total(self.newly_dropped)),
            "examples": [asdict(example) | dict(texts[example.id]) for example in self.examples],
        }


def total(flows: Iterable[Flow]) -> Totals:
    """All documents of some flows."""
    return sum((flow.totals for flow in flows), Totals())


class WhatIf:
    """A release that answers what other limits would decide. It is opened once and asked many times: a column is read
    when a question first needs it, and kept, with 4 or 8 bytes for each document."""

    def __init__(self, release: Release) -> None:
        self.release = release
        self.recipe = finished_recipe(release.manifest)
        self._parts = [_DecidedPart(release, ordinal, self.recipe) for ordinal in ledger.decided_parts(release)]

    def answer(self, recipe: Recipe, examples: int = 0, seed: int = 0) -> Answer:
        """What the limits of `recipe` (`with_limits`) would decide, and up to `examples` documents that they would keep,
        and drop, for the first time: those with the smallest hashes of id and seed. Raises RunError if a limit is of a
        signal that the release does not have."""
        self._check(recipe)
        steps = self.recipe.later_sections
        totals: dict[tuple[str, Outcome, Outcome], Totals] = {}
        found: list[tuple[int, Example]] = []
        for part in self._parts:
            outcomes = new_outcomes(part.signals(recipe), part.sketch, part.decided, recipe, self.recipe)
            for source, before, after, counted in flows(outcomes):
                key = source, before, after
                totals[key] = totals.get(key, Totals()) + counted
            if examples:
                found += part.examples(outcomes, recipe, examples, seed)
        every = [Flow(*key, totals[key]) for key in sorted(totals, key=str)]
        return Answer(every, steps, _first(found, examples))

    def texts(self, examples: Iterable[Example]) -> dict[str, dict[str, Any]]:
        """`url` and `text`, as it was rated, of examples, by id. Reads the row groups that hold them."""
        by_part: dict[int, list[Example]] = {}
        for example in examples:
            by_part.setdefault(example.part, []).append(example)
        texts: dict[str, dict[str, Any]] = {}
        for ordinal, own in by_part.items():
            ids = {example.row: example.id for example in own}
            for rows, batch in self.release.part(ordinal).read(np.array(sorted(ids)), ["url", "text"]):
                texts |= {ids[row]: values for row, values in zip(rows.tolist(), batch.to_pylist(), strict=True)}
        return texts

    def _check(self, recipe: Recipe) -> None:
        joined = {signal.name for signals in self.recipe.score_signals.values() for signal in signals}
        stored = ledger.signal_fields(self.release)
        for name in recipe.rules.columns:
            if name in joined:
                raise RunError(
                    f"the values of '{name}' were joined from another file, and a release does not keep them: "
                    "run the recipe with these limits instead"
                )
            if name not in stored and name not in recipe.undeclared:
                near = nearest(name, [*stored])
                hint = f": did you mean '{near}'?" if near else ""
                raise RunError(f"release {self.release.number} of {self.release.run} has no signal '{name}'{hint}")


def new_outcomes(signals: pa.Table, sketch: pa.Table, decided: pa.Table, recipe: Recipe, before: Recipe) -> pa.Table:
    """`decided` (source, decision, reason, tokens and bytes of n documents in a release of the recipe `before`) with
    `new_decision` and `new_reason`, those under the limits of `recipe`. `signals`, `sketch`: as for `rated_decisions`."""
    judged = rated_decisions(signals, sketch, recipe.rules, recipe, explain=False)
    removed = pc.is_in(decided["reason"], value_set=pa.array(REMOVED)).combine_chunks()
    passes = pc.or_(pc.equal(judged["decision"], "keep"), removed)
    limits = pa.array(before.rules.signals, pa.string())
    ended = pc.is_in(decided["reason"], value_set=limits).combine_chunks()
    opened = pa.scalar(PASSING if before.later_sections else "keep")
    after = {
        "decision": pc.if_else(ended, opened, decided["decision"].combine_chunks()),
        "reason": pc.if_else(ended, pa.scalar(None, pa.string()), decided["reason"].combine_chunks()),
    }
    for name, values in after.items():
        decided = decided.append_column(f"new_{name}", pc.if_else(passes, values, judged[name]))
    return decided


def flows(outcomes: pa.Table) -> Iterator[tuple[str, Outcome, Outcome, Totals]]:
    """(source, before, after, documents) of the rows of `new_outcomes`."""
    sums = [("tokens", "sum"), ("bytes", "sum"), ("tokens", "count")]
    for row in outcomes.group_by(_KEYS, use_threads=False).aggregate(sums).to_pylist():
        before, after = Outcome(row["decision"], row["reason"]), Outcome(row["new_decision"], row["new_reason"])
        yield row["source"], before, after, Totals(row["tokens_count"], row["tokens_sum"], row["bytes_sum"])


class _DecidedPart:
    """A part of a release: what was decided about its n documents, and the signals that questions have needed."""

    def __init__(self, release: Release, ordinal: int, recipe: Recipe) -> None:
        self._release, self._ordinal = release, ordinal
        self.decided = ledger.decisions(release, ordinal, ["source", *_LEDGER]).combine_chunks()
        self.sketch = release.part(ordinal).sketch(sketch_columns(recipe)).combine_chunks()
        self._signals: dict[tuple[str, str], pa.ChunkedArray] = {}

    def signals(self, recipe: Recipe) -> pa.Table:
        """The columns by which the limits of a recipe decide."""
        # A field of the metadata is a number or a label, as the recipe uses it.
        kinds = {name: recipe.undeclared[name].kind if name in recipe.undeclared else "" for name in recipe.rules.columns}
        missing = {name for name, kind in kinds.items() if (name, kind) not in self._signals}
        if missing:
            read = part_signals(self._release.part(self._ordinal), missing, recipe).combine_chunks()
            self._signals |= {(name, kinds[name]): read[name] for name in missing}
        return pa.table({name: self._signals[name, kind] for name, kind in kinds.items()})

    def examples(self, outcomes: pa.Table, recipe: Recipe, count: int, seed: int) -> list[tuple[int, Example]]:
        """The examples of this part that can be among the first `count`, each with its key."""
        kept = pc.equal(outcomes["decision"], "keep")
        passes = pc.is_in(outcomes["new_decision"], value_set=pa.array(["keep", PASSING]))
        changed = pc.indices_nonzero(pc.xor(kept, passes))
        if not len(changed):
            return []
        ids = ledger.decisions(self._release, self._ordinal, ["id"])["id"].take(changed).combine_chunks()
        keys, is_new = ledger.sample_keys(ids, seed), passes.take(changed).to_numpy()
        chosen = np.concatenate(
            [np.flatnonzero(side)[np.argsort(keys[side], kind="stable")[:count]] for side in (is_new, ~is_new)]
        )
        rows = changed.take(pa.array(chosen))
        details = self._details(rows, is_new[chosen], recipe)
        found = []
        for row, place, detail in zip(outcomes.take(rows).to_pylist(), chosen.tolist(), details, strict=True):
            before, after = Outcome(row["decision"], row["reason"]), Outcome(row["new_decision"], row["new_reason"])
            own = changed[place].as_py()
            example = Example(ids[place].as_py(), row["source"], before, after, detail, self._ordinal, own, bool(is_new[place]))
            found.append((int(keys[place]), example))
        return found

    def _details(self, rows: pa.Array, is_newly_kept: npt.NDArray[np.bool_], recipe: Recipe) -> list[str]:
        """Which limit each row fails, in the release if it passes now."""
        before = ledger.decisions(self._release, self._ordinal, ["detail"])["detail"].take(rows).to_pylist()
        judged = rated_decisions(self.signals(recipe).take(rows), self.sketch.take(rows), recipe.rules, recipe, explain=True)
        after = judged["detail"].to_pylist()
        return [(old if new else now) or "" for old, now, new in zip(before, after, is_newly_kept, strict=True)]


def _first(found: list[tuple[int, Example]], count: int) -> list[Example]:
    """The `count` examples with the smallest keys that are newly kept, then those that are newly dropped."""
    ordered = [example for _, example in sorted(found, key=lambda item: (item[0], item[1].id))]
    return [
        example
        for newly_kept in (True, False)
        for example in [each for each in ordered if each.is_newly_kept is newly_kept][:count]
    ]
