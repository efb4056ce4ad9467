"""The DAG: rate → decide → emit.

What the steps compute is in rate.py, decide.py and emit.py; what becomes of a document is in standing.py; how rows move is in
transforms/beam/exchange.py.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from functools import partial
from typing import Any

import apache_beam as beam
import pyarrow as pa
from apache_beam.metrics import Metrics

from tamis.pipelines import decide, emit
from tamis.pipelines.decisions import state
from tamis.pipelines.rate import first_reject, rate_part
from tamis.pipelines.recipe.schema import Recipe
from tamis.pipelines.run.progress import Progress
from tamis.pipelines.run.work_plan import PartTask, WorkPlan
from tamis.transforms.beam.exchange import Exchange, Gathered, MapDoFn, PartState, Spread, Step
from tamis.transforms.beam.ranking import Rank, ranges
from tamis.transforms.beam.unique_ids import Identify
from tamis.transforms.core.errors import RunError
from tamis.transforms.core.parts import PartReceipt
from tamis.transforms.dedup.deduplicate import Deduplicate
from tamis.transforms.runtime.memory import give_back_freed_memory
from tamis.transforms.select.diversify import Diversify


class Curate(beam.PTransform):
    """From the work of a plan to the files of a run. Everything that reaches a person is in those files: what is returned are
    two empty collections, which end when the ledgers and the shards are written."""

    def __init__(self, recipe: Recipe, plan: WorkPlan) -> None:
        super().__init__()
        self.recipe = recipe
        self.plan = plan

    def expand(self, pipeline: beam.Pipeline) -> tuple[beam.PCollection, beam.PCollection]:
        recipe, plan = self.recipe, self.plan
        spill, size, narrow = plan.spill, plan.partitions, ranges(plan.partitions)

        def of(rows: Callable[..., Any]) -> Callable[..., Any]:
            return partial(rows, recipe=recipe)

        parts = pipeline | "Work" >> beam.Create(plan.tasks) | Spread() | "Rate" >> beam.ParDo(_Rate(recipe, plan))
        rejects = beam.pvalue.AsList(parts | "Rejects" >> beam.ParDo(MapDoFn(_read)))
        part_states = parts | "Accept" >> beam.ParDo(MapDoFn(of(_accept)), rejects).with_output_types(PartState)

        part_states |= "Identify" >> Identify(decide.identity_rows, recipe.duplicate_ids == "error", spill, size)
        if recipe.dedup is not None and recipe.dedup.exact:
            part_states |= "Deduplicate" >> Deduplicate(
                recipe.dedup.minhash, of(decide.copy_rows), decide.copy_texts, spill, size, words=recipe.words
            )
        if recipe.select.diverse is not None:
            part_states |= "Diversify" >> Diversify(recipe.select.diverse.ceiling, of(decide.vector_rows), spill, size)
        if recipe.select.is_active:
            allot = of(decide.allotted) if recipe.select.mixture is not None else None
            part_states |= "Select" >> Rank(state.SELECTED, of(decide.selection_rows), spill, narrow, allot=allot)
        if len(recipe.curriculum.effective_phases) > 1 and not recipe.select.phases:
            part_states |= "Phases" >> Rank(state.PHASED, of(decide.phase_rows), spill, narrow)
        if recipe.curriculum.by_quantile:
            part_states |= "Grade" >> Rank(state.GRADED, of(decide.grade_rows), spill, narrow)
        of_phase = decide.phase_tokens if recipe.select.repeats else None
        part_states |= "Order" >> Rank(state.PLACED, of(decide.place_rows), spill, narrow, allot=of_phase)
        if recipe.select.repeats:
            part_states |= "Repeat" >> Rank(state.REPEATED, of(decide.repeat_rows), spill, narrow)

        layout = beam.pvalue.AsSingleton(
            part_states
            | "Kept" >> beam.ParDo(_Kept(recipe, plan))
            | "All" >> beam.CombineGlobally(beam.combiners.ToListCombineFn()).without_defaults()
            | "Layout" >> beam.ParDo(MapDoFn(partial(_layout, recipe=recipe, plan=plan)))
        )
        ledgers = part_states | "Ledger" >> beam.ParDo(_Ledger(recipe, plan), layout)
        shards = (
            part_states
            | "Scatter" >> beam.ParDo(_Scatter(recipe, plan), layout).with_output_types(pa.RecordBatch)
            | "Text" >> Exchange(spill)
            | "Emit" >> beam.ParDo(_Emit(recipe, plan), layout)
        )
        return ledgers, shards


class _Counted(Progress):
    """Progress that the engine's own monitoring sees too. Its counters double on retries: nothing else reads them."""

    def __init__(self, run: str, movement: str) -> None:
        super().__init__(run, movement)
        self._movement = movement

    def advance(self, documents: int, text_bytes: int) -> None:
        super().advance(documents, text_bytes)
        self._count("documents", documents)
        self._count("text_bytes", text_bytes)

    def finish(self, work: int = 1) -> None:
        super().finish(work)
        self._count("finished", 1)

    def _count(self, what: str, number: int) -> None:
        Metrics.counter("tamis", f"{self._movement}.{what}").inc(number)


class _Rate(Step):
    """Rates the splits that are not finished yet; yields (part_state, receipt) of every part."""

    def __init__(self, recipe: Recipe, plan: WorkPlan) -> None:
        self.recipe = recipe
        self.run, self.index = plan.run, plan.index

    def process(self, task: PartTask) -> Iterable[tuple[PartState, PartReceipt]]:
        progress = _Counted(self.run, "rate")
        receipt = task.part.receipt()
        if receipt is None or receipt.fingerprint != task.fingerprint:  # a runner that tries again finds what it did before
            receipt = rate_part(task.part, task.split, task.fingerprint, self.recipe, self.index, progress.advance)
        progress.finish(task.split.size)
        yield PartState(task.ordinal, task.part), receipt


class _Kept(Step):
    def __init__(self, recipe: Recipe, plan: WorkPlan) -> None:
        self.recipe = recipe
        self.run = plan.run

    def process(self, part_state: PartState) -> Iterable[dict[int, tuple[int, int]]]:
        yield emit.emitted_sizes(part_state, self.recipe)
        _Counted(self.run, "decide").finish()


class _Scatter(Step):
    def __init__(self, recipe: Recipe, plan: WorkPlan) -> None:
        self.recipe = recipe
        self.run, self.finished = plan.run, plan.finished_shards

    def process(self, part_state: PartState, layout: emit.Layout) -> Iterable[pa.RecordBatch]:
        progress = _Counted(self.run, "emit")
        for batch in emit.scatter(part_state, self.recipe, layout, self.finished):
            progress.advance(batch.num_rows, int(batch["text"].nbytes))
            yield batch


class _Ledger(Step):
    def __init__(self, recipe: Recipe, plan: WorkPlan) -> None:
        self.recipe = recipe
        self.run, self.fingerprint = plan.run, plan.fingerprint

    def process(self, part_state: PartState, layout: emit.Layout) -> None:
        emit.write_ledger(part_state, self.recipe, layout, self.fingerprint)


class _Emit(Step):
    def __init__(self, recipe: Recipe, plan: WorkPlan) -> None:
        self.recipe = recipe
        self.run, self.fingerprint = plan.run, plan.fingerprint

    def process(self, gathered: Gathered, layout: emit.Layout) -> None:
        state.forget()
        emit.emit_shard(gathered, self.recipe, layout, self.run, self.fingerprint)
        _Counted(self.run, "emit").finish()


def _layout(totals: Iterable[dict[int, tuple[int, int]]], recipe: Recipe, plan: WorkPlan) -> emit.Layout:
    layout = emit.layout(totals, recipe)
    _Counted(plan.run, "emit").expect(sum(layout.shards) - len(plan.finished_shards))
    return layout


def _read(rated: tuple[PartState, PartReceipt]) -> tuple[int, int, str]:
    """Records of a part that could be read, and that could not; where the latter are told."""
    part_state, receipt = rated
    return receipt.documents, receipt.rejected, state.rated_part(part_state).uri("rejects", "jsonl")


def _accept(rated: tuple[PartState, PartReceipt], rejects: list[tuple[int, int, str]], recipe: Recipe) -> PartState:
    """Lets a part pass to Decide only when the whole input stayed below `max_rejects`. By then all are rated, and what that has
    left in memory is given back."""
    give_back_freed_memory()
    rejected = sum(bad for _, bad, _ in rejects)
    records = rejected + sum(good for good, _, _ in rejects)
    limit = recipe.max_rejects if isinstance(recipe.max_rejects, int) else recipe.max_rejects * records
    if rejected > limit:
        raise RunError(
            f"{rejected:,} of {records:,} records could not be read; max_rejects is {recipe.max_rejects}. "
            f"The first: {first_reject(min(told for _, bad, told in rejects if bad))}. "
            "All are listed with file, offset and error in rejects/ of the run directory: "
            "mend the input, or allow more with --set max_rejects=…"
        )
    return rated[0]
