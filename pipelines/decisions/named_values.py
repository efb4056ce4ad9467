"""Sources, labels, bins and fields that a recipe names and no document has, as warnings of the run."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from typing import NamedTuple

import pyarrow as pa
import pyarrow.compute as pc

from tamis.pipelines.decisions.document_states import signal_columns
from tamis.pipelines.recipe.schema import Recipe
from tamis.pipelines.run.receipts import NamedColumn, PartSummary
from tamis.transforms.beam.exchange import PartState
from tamis.transforms.core.component import METADATA
from tamis.transforms.core.errors import nearest
from tamis.transforms.curriculum.lint import LintWarning
from tamis.transforms.curriculum.order import WILDCARD
from tamis.transforms.select.guards import NumberRange
from tamis.transforms.select.rule_blocks import THRESHOLDS

OTHERS = 20
"""Labels of each column that are recorded beside those that the recipe names, the first in the
alphabet: which they are does not depend on the parts."""

BIN = "bin"
LANGUAGE = "language"  # the one that decides which limits hold
_SHOWN = 5  # names that match nothing in one warning


class _Name(NamedTuple):
    """A label that the field of a recipe looks for in a column; None: any value."""

    field: str
    column: str
    label: str | None


def named_columns(part_state: PartState, recipe: Recipe, table: pa.Table) -> dict[str, NamedColumn]:
    """What the documents of a part have in each column in which the recipe names something. `table`
    are the rows of decisions/, with their bins."""
    names = list(_names(recipe))
    labelled = {name.column for name in names if name.label is not None}
    searched = {name.column for name in names if name.column.startswith(METADATA)} - labelled
    elsewhere = {name.column for name in names} - searched - {*table.column_names, BIN, LANGUAGE}
    language_columns = recipe.rules.language_columns
    columns = signal_columns(part_state, {*elsewhere, *language_columns, *(["metadata"] if searched else [])}, recipe)
    if language_columns:
        columns = columns.append_column(LANGUAGE, recipe.rules.languages(columns))
    recorded: dict[str, NamedColumn] = {}
    for column in sorted({name.column for name in names}):
        if column in searched:
            # Where the quoted name does not occur, there is no such field; this does not parse the JSON.
            pattern = rf'"{re.escape(column.rsplit(".", 1)[-1])}\\?"'
            key = pc.match_substring_regex(columns["metadata"], pattern)
            recorded[column] = NamedColumn(pc.sum(key, min_count=0).as_py() or 0, [])
            continue
        values = (table if column in table.column_names else columns)[column].combine_chunks()
        labels = sorted({name.label for name in names if name.column == column and name.label is not None})
        recorded[column] = NamedColumn(len(values) - values.null_count, _existing(values, labels) if labels else [])
    return recorded


def unmatched_names(recipe: Recipe, summaries: Sequence[PartSummary]) -> Iterator[LintWarning]:
    """A warning for each field of the recipe with names that no document has."""
    unmatched: dict[tuple[str, str], list[str]] = {}
    columns: dict[str, NamedColumn] = {}
    for summary in summaries:
        for name, part in summary.named.items():
            before = columns.get(name, NamedColumn(0, []))
            columns[name] = NamedColumn(before.values + part.values, sorted({*before.labels, *part.labels}))
    for field, name, label in _names(recipe):
        column = columns.get(name)
        if column is not None and (label not in column.labels if label is not None else not column.values):
            unmatched.setdefault((field, name), []).extend([] if label is None else [label])
    for (field, name), labels in unmatched.items():
        column = columns[name]
        if name == LANGUAGE and not column.values:
            message = f"{field} needs languages, but no document has one whose score is high enough: lower language_pairs' min"
        elif labels and column.values:
            near = nearest(labels[0], column.labels) if name != "url" else None
            hint = f"; did you mean '{near}'?" if near else ""
            what = f"names {', '.join(map(repr, labels[:_SHOWN]))}{' and others' if len(labels) > _SHOWN else ''}"
            there = f": there are {', '.join(column.labels[:OTHERS])}" if name != "url" else ""
            message = f"{field} {what}, but no document has that {_noun(name)}{there}{hint}"
        else:
            message = f"{field} looks at '{name}', but no document has a value of it: check the name, and input.fields"
        yield LintWarning("names-nothing", message, {"names": max(1, len(labels))})


def _names(recipe: Recipe) -> Iterator[_Name]:
    rules = recipe.rules
    for section, limits in rules.sections.items():
        field = section if section == THRESHOLDS else f"{section}.{THRESHOLDS}"
        for name, rule in limits.items():
            if rule is not None and rule.one_of is not None:
                yield from (_Name(f"{field}.{name}", name, label) for label in rule.one_of)
            elif rule is not None and name in recipe.undeclared:
                yield _Name(f"{field}.{name}", name, None)
    yield from (_Name("per_source", "source", source) for source in rules.per_source)
    yield from (_Name("language_pairs", name, None) for name in rules.language_columns if name in recipe.undeclared)
    yield from (_Name("per_language", LANGUAGE, language) for language in rules.per_language)
    yield from (_Name("quality", weight.signal, None) for weight in recipe.weights if weight.signal in recipe.undeclared)
    for source, metric in recipe.curriculum.by.items():
        if source != WILDCARD:
            yield _Name("curriculum.by", "source", source)
        if metric.lstrip("+-") in recipe.undeclared:
            yield _Name(f"curriculum.by.{source}", metric.lstrip("+-"), None)
    select = recipe.select
    for field, bins in select.by_name.items():
        yield from (_Name(f"select.{field}", "source" if select.bins == ("source",) else BIN, name) for name in sorted(bins))
    yield from (_Name("select.bins", name, None) for name in (select.bins if select.by_bin else ()) if name != "source")
    if select.diverse is not None:
        if select.diverse.column.startswith(METADATA):
            yield _Name("select.diverse.column", select.diverse.column, None)
        if (select.diverse.within or "").startswith(METADATA):
            yield _Name("select.diverse.within", str(select.diverse.within), None)
    for name, guard in recipe.guards.by_name.items():
        field = f"guards.{name}" if name in ("synthetic", "clean") else f"guards.shares.{name}"
        for column, condition in guard.where.items():
            if not isinstance(condition, NumberRange):
                yield from (_Name(f"{field}.where.{column}", column, label) for label in condition)
            elif column in recipe.undeclared:
                yield _Name(f"{field}.where.{column}", column, None)
    yield from (_Name("drop_urls", "url", url) for url in recipe.drop_urls)
    if recipe.licences is not None:
        yield from (_Name("licences.by_source", "source", source) for source in recipe.licences.by_source)


def _existing(values: pa.Array, names: Sequence[str]) -> list[str]:
    """The labels of documents: those among `names`, and the first of all."""
    if pa.types.is_dictionary(values.type):
        values = values.dictionary_decode()
    if pa.types.is_list(values.type):
        values = pc.list_flatten(values)
    labels = pc.unique(values.drop_null().cast(pa.string()))
    there = labels.filter(pc.is_in(labels, value_set=pa.array(names, pa.string())))
    first = labels.take(pc.array_sort_indices(labels)[:OTHERS])
    return sorted({*there.to_pylist(), *first.to_pylist()})


def _noun(column: str) -> str:
    return {"source": "source", "url": "address", "licence": "licence", BIN: "bin", LANGUAGE: "language"}.get(column, "label")
