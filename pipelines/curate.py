"""The DAG: rate → decide → emit.

rate.py, decide.py and emit.py have the steps; decisions/ has how documents are decided;
transforms/beam/exchange.py has how rows move.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

import apache_beam as beam
import pyarrow as pa
from apache_beam.transforms.combiners import ToListCombineFn

from tamis.pipelines import decide
from tamis.pipelines.decisions import ranks
from tamis.pipelines.decisions.document_states import kept_documents, settle
from tamis.pipelines.decisions.kept_index import IndexKept
from tamis.pipelines.decisions.match_rows import sent_rows, write_record
from tamis.pipelines.decisions.part_summary import write_decisions
from tamis.pipelines.decisions.shard_layout import emitted_sizes, plan_layout
from tamis.pipelines.emit import emit_shard, scatter
from tamis.pipelines.rate import CheckRejects, rate_task
from tamis.pipelines.recipe.schema import Recipe
from tamis.pipelines.run.receipts import record_scores
from tamis.pipelines.run.work_plan import WorkPlan
from tamis.transforms.beam.exchange import Exchange, FlatMapDoFn, MapDoFn, Spread
from tamis.transforms.beam.ranking import Rank, ranges
from tamis.transforms.beam.unique_ids import Identify
from tamis.transforms.select.join_scores import JoinScores
from tamis.transforms.select.quality.bucket_quality import BucketQuality


class Curate(beam.PTransform):
    """Turns a plan's tasks into files of a release. Returns the paths of decisions and shards."""

    def __init__(self, recipe: Recipe, plan: WorkPlan) -> None:
        super().__init__()
        self.recipe = recipe
        self.plan = plan

    def expand(self, pipeline: beam.Pipeline) -> tuple[beam.PCollection, beam.PCollection]:
        recipe, plan = self.recipe, self.plan

        # Rate: the splits of each task become parts.
        rate = FlatMapDoFn(partial(rate_task, recipe=recipe, indexes=plan.indexes))
        parts = (
            pipeline
            | "Tasks" >> beam.Create(plan.tasks, reshuffle=False)
            | Spread()
            | "Rate" >> beam.ParDo(rate)
            | CheckRejects(recipe)
        )

        parts |= Decide(recipe, plan.folder, plan.spill, plan.partitions)
        measure = MapDoFn(partial(emitted_sizes, recipe=recipe))
        lay_out = MapDoFn(partial(plan_layout, recipe=recipe, run=plan.run, finished_shards=len(plan.finished_shards)))
        sizes = parts | "Sizes" >> beam.ParDo(measure) | beam.CombineGlobally(ToListCombineFn()).without_defaults()
        layouts = sizes | "Layout" >> beam.ParDo(lay_out)
        layout = beam.pvalue.AsSingleton(layouts)
        write = MapDoFn(partial(write_decisions, recipe=recipe, release=plan.folder, fingerprint=plan.fingerprint))
        decisions = parts | "Decisions" >> beam.ParDo(write, layout)

        if recipe.decontaminate is not None:
            rows = FlatMapDoFn(partial(sent_rows, recipe=recipe))
            record = MapDoFn(partial(write_record, recipe=recipe, release=plan.folder))
            matches = parts | "Matches" >> beam.ParDo(rows).with_output_types(pa.RecordBatch) | "Gather" >> Exchange(plan.spill)
            # For the one layout, so that there is a file without matches, too.
            _ = layouts | "Record" >> beam.ParDo(record, beam.pvalue.AsList(matches))

        if recipe.dedup is not None and recipe.dedup.index:
            _ = parts | "Index" >> IndexKept(recipe, recipe.dedup, plan)

        # Emit: the text of kept documents moves once, into its shard.
        address = FlatMapDoFn(partial(scatter, recipe=recipe, run=plan.run, finished=plan.finished_shards))
        emit = MapDoFn(partial(emit_shard, recipe=recipe, run=plan.run, release=plan.folder, fingerprint=plan.fingerprint))
        shards = (
            parts
            | "Scatter" >> beam.ParDo(address, layout).with_output_types(pa.RecordBatch)
            | "Text" >> Exchange(plan.spill)
            | "Emit" >> beam.ParDo(emit, layout)
        )
        return decisions, shards


class Decide(beam.PTransform):
    """Decides about the documents of all parts: every step adds its result to the part states.
    `release` is the folder in which counts of joined scores are recorded."""

    def __init__(self, recipe: Recipe, release: str, spill: str, partitions: int) -> None:
        super().__init__()
        self.recipe, self.release = recipe, release
        self.spill, self.partitions = spill, partitions

    def expand(self, parts: beam.PCollection) -> beam.PCollection:
        recipe, spill, partitions = self.recipe, self.spill, self.partitions
        select, curriculum = recipe.select, recipe.curriculum

        def rows(function: Callable[..., Any]) -> Callable[..., Any]:
            return partial(function, recipe=recipe)

        def let_decide(steps: list[str]) -> beam.ParDo:
            return beam.ParDo(MapDoFn(partial(settle, recipe=recipe, steps=tuple(steps), spill=spill)))

        def rank(step: str, function: Callable[..., Any], group_values: Callable[..., Any] | None = None) -> Rank:
            return Rank(step, rows(function), spill, ranges(partitions), group_values)

        parts |= "Identify" >> Identify(decide.unique_id_rows, recipe.duplicate_ids == "error", spill, partitions)
        for name, scores in recipe.scores.items():
            record = partial(record_scores, release=self.release, name=name)
            parts |= f"Join {name}" >> JoinScores(
                name, scores, recipe.score_signals[name], decide.id_rows, record, spill, partitions
            )
        if recipe.fusion is not None and (buckets := recipe.fusion.number_of_buckets):
            columns = rows(decide.score_rows), rows(decide.scores)
            parts |= "Quality" >> BucketQuality(buckets, *columns, spill, ranges(partitions))
        pending: list[str] = []  # steps that decide before the next one looks
        for step in recipe.steps:
            transform = step.transform(partial(kept_documents, recipe=recipe), spill, partitions)
            if transform is not None:
                parts |= f"Settle before {step.name}" >> let_decide(pending)
                parts |= step.name.capitalize() >> transform
                pending = []
            pending.append(step.name)
        parts |= "Settle" >> let_decide(pending)
        if len(curriculum.effective_phases) > 1 and not select.phases:
            parts |= "Phases" >> rank(ranks.PHASES, decide.phase_rows)
        if curriculum.by_quantile:
            parts |= "Quantiles" >> rank(ranks.QUANTILES, decide.quantile_rows)
        parts |= "Order" >> rank(ranks.ORDER, decide.order_rows, decide.phase_tokens if select.repeats else None)
        if select.repeats:
            parts |= "Space copies" >> rank(ranks.COPY_ORDER, decide.copy_order_rows)
        return parts
