"""Collects texts with labels: positive and negative files, conditions on a run, or labels by id."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from tamis.pipelines.lookup.document_sample import sample_documents
from tamis.pipelines.starter.starter import likely_text
from tamis.transforms.core.component import METADATA
from tamis.transforms.core.documents import SCHEMA
from tamis.transforms.core.errors import RunError
from tamis.transforms.core.rater import Signal
from tamis.transforms.core.release import open_release
from tamis.transforms.provenance.ledger import sample_keys
from tamis.transforms.rate.language import Language, LanguageRater
from tamis.transforms.read.input_options import Input
from tamis.transforms.read.inputs import plan, read, read_beginning
from tamis.transforms.select.score_files import ScoreFile, score_rows
from tamis.transforms.text.hashing import hash_texts
from tamis.transforms.text.metadata import column_of
from tamis.transforms.text.segment import unsegmented

Floats = npt.NDArray[np.float64]


@dataclass(frozen=True)
class LabelledTexts:
    """n texts. No text is there twice."""

    text: pa.Array
    """[n] large_string."""
    group: list[str]
    """[n]: what is held out together, such as the source."""
    source: list[str]
    language: list[str | None]
    target: Floats
    """[n]: 0 to 1; 1 is positive."""
    grades: tuple[float, ...]
    """The labels that 0 and 1 stand for, and those between."""

    def take(self, rows: npt.NDArray[np.int64]) -> LabelledTexts:
        """The texts at these positions."""

        def of(values: list[Any]) -> list[Any]:
            return [values[row] for row in rows.tolist()]

        return replace(
            self, text=self.text.take(pa.array(rows)), group=of(self.group), source=of(self.source),
            language=of(self.language), target=self.target[rows],
        )  # fmt: skip


def of_files(positive: Sequence[str], negative: Sequence[str], by: str, most: int, seed: int) -> LabelledTexts:
    """The documents of positive and of negative files, at most `most` of each. Raises RunError if one
    of them has none."""
    tables = []
    for name, paths, label in (("--positive", positive, 1.0), ("--negative", negative, 0.0)):
        if not paths:
            raise RunError(f"there are no files for {name}: a rater learns from both, or name --labels")
        table = _chosen(_documents(tuple(paths), name), most, seed)
        tables.append(table.append_column("label", pa.array(np.full(len(table), label))))
    return _labelled(pa.concat_tables(tables), by)


def of_run(run: str, positive: Sequence[str], negative: Sequence[str], by: str, most: int, seed: int) -> LabelledTexts:
    """The documents of a release that meet all positive or all negative conditions, as those of
    `tamis sample --where`; at most `most` of each."""
    if by.startswith(METADATA):
        raise RunError(f"--split-by {by}: of a run only source and id are known; name the input files instead")
    release = open_release(run)
    rows: list[dict[str, Any]] = []
    for conditions, label in ((positive, 1.0), (negative, 0.0)):
        if not conditions:
            raise RunError("with --run, --positive and --negative are conditions, such as 'gopher.word_count > 100'")
        found = sample_documents(release, most, where=conditions, seed=seed).documents
        rows += [{name: row[name] for name in ("id", "source", "text")} | {"label": label} for row in found]
    both = {row["id"] for row in rows if row["label"]} & {row["id"] for row in rows if not row["label"]}
    if both:
        raise RunError(f"{len(both):,} documents, such as {min(both)}, meet the positive and the negative conditions")
    columns = {name: pa.array([row[name] for row in rows]) for name in ("id", "source", "label")}
    texts = pa.array([row["text"] for row in rows], pa.large_string())
    return _labelled(pa.table({**columns, "text": texts, "metadata": pa.nulls(len(rows), pa.string())}), by)


def of_labels(labels: str, column: str, inputs: Sequence[str], by: str, most: int, seed: int) -> LabelledTexts:
    """The documents of `inputs` whose ids have a label, a number, in a table. Raises RunError if there
    are none."""
    signal = Signal(f"labels.{column}", "float64", "grade", "up", labels)
    given: dict[str, float] = {}
    for batch in score_rows(labels, ScoreFile(path=labels), [signal]):
        given |= {name: value for name, value in zip(*map(pa.Array.to_pylist, batch.columns), strict=True) if value is not None}
    if not given:
        raise RunError(f"{labels}: no row has a number in the column {column!r}")
    table = _documents(tuple(inputs), "--input")
    label = pa.array([given.get(name) for name in table["id"].to_pylist()], pa.float64())
    table = table.append_column("label", label).filter(label.is_valid())
    if not len(table):
        raise RunError(f"{labels}: none of its {len(given):,} ids, such as {min(given)}, is among the documents of --input")
    return _labelled(_chosen(table, most, seed), by)


def _documents(paths: tuple[str, ...], name: str) -> pa.Table:
    """The documents of files. If no record has a field `text`, the one is taken that most likely holds it."""
    options = Input(paths=paths)
    splits, _ = plan(options)
    if split := read_beginning(splits, options).textless:
        field = likely_text(split.uri, split.format)
        fields = options.fields.model_copy(update={"text": (field,)}) if field else options.fields
        options = options.model_copy(update={"fields": fields})
        splits, _ = plan(options)
    batches = [batch for split in splits for batch, _ in read(split, options)]
    table = pa.Table.from_batches(batches, SCHEMA).select(["id", "source", "text", "metadata"]).combine_chunks()
    if not len(table):
        reason = read_beginning(splits, options).error if splits else ""
        raise RunError(f"{name}: there are no documents in {', '.join(paths)}" + (f": {reason}" if reason else ""))
    return table


def _chosen(table: pa.Table, most: int, seed: int) -> pa.Table:
    """At most so many rows, by hashes of ids and texts: the same however the input was cut."""
    key, text = sample_keys(table["id"].combine_chunks(), seed), hash_texts(table["text"].combine_chunks())
    return table.take(pa.array(np.lexsort((text, key))[:most])).combine_chunks()


def _labelled(table: pa.Table, by: str) -> LabelledTexts:
    text = table["text"].combine_chunks().cast(pa.large_string())
    hashes = hash_texts(text)
    label = table["label"].to_numpy()
    order = np.lexsort((label, hashes))
    new = np.ones(len(order), np.bool_)
    new[1:] = np.diff(hashes[order]) != 0
    same_text = np.cumsum(new) - 1
    clash = np.zeros(new.sum(), np.bool_)
    np.logical_or.at(clash, same_text, label[order] != label[order][new][same_text])
    rows = np.sort(order[new][~clash])  # a text with two labels teaches nothing
    if not len(rows):
        raise RunError(f"all {len(label):,} texts are both positive and negative, so there is nothing to learn")
    table, text, label = table.take(pa.array(rows)), text.take(pa.array(rows)), label[rows]
    grades = np.unique(label)
    if len(grades) < 2:
        raise RunError(f"all {len(label):,} labels are the same, so there is nothing to learn")
    source = table["source"].to_pylist()
    if by == "source":
        group = source
    elif by == "id":
        group = table["id"].to_pylist()
    elif by.startswith(METADATA):
        values = column_of(table["metadata"].combine_chunks(), Signal(by, "string", "", "none", "")).to_pylist()
        if None in values:
            raise RunError(f"--split-by {by}: {values.count(None):,} of {len(values):,} documents do not have this field")
        group = values
    else:
        raise RunError(f"--split-by {by}: it is source, id or {METADATA}FIELD")
    rater = LanguageRater(Language())
    language = rater.rate(unsegmented(text))["language.label"].to_pylist()
    target = (label - grades[0]) / (grades[-1] - grades[0])
    return LabelledTexts(text, group, source, language, target, tuple(grades.tolist()))
