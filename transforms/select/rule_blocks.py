"""Blocks for the documents of a source or a language, and the thresholds that hold for each document."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt
from pydantic import ConfigDict, Field

from tamis.transforms.core.options import Number, Options
from tamis.transforms.select.thresholds import Threshold, evaluate

if TYPE_CHECKING:
    import pyarrow as pa

THRESHOLDS = "thresholds"
"""The section of the rules that no block overrides."""


Rows = npt.NDArray[np.int64]
"""Rows of documents, ascending."""


class RuleBlock(Options):
    """Limits that differ for the documents of a source or a language; what else a block has is ignored."""

    model_config = ConfigDict(extra="ignore")

    thresholds: dict[str, Threshold | None] = Field(
        {},
        description="limits by signal, each instead of all limits of that signal in the recipe; null: none for these documents",
    )


class LanguagePair(Options):
    """A label and how sure it is. It counts if the score is at least `min`."""

    label: str = Field("language.label", description="signal, or metadata.FIELD, with the language of a document")
    score: str = Field("language.probability", description="signal, or metadata.FIELD, with the score of the label")
    min: Number = Field(0.65, description="lowest score at which the label counts; FineWeb's for English by default")


@dataclass(frozen=True)
class RuleSet:
    """The rules that hold for some documents, in the order in which they are applied. `sections`: by
    signal, the section of the recipe that decides about it, such as per_source.code; also of rules
    that a block takes away. `source` and `language`: the names of the blocks, "" for none."""

    rules: dict[str, Threshold]
    sections: dict[str, str]
    source: str = ""
    language: str = ""


class Rules(Options):
    """The thresholds of a recipe, with their blocks.

    A document's rules are `thresholds`, overridden by the block of its source, then by that of its
    language. A rule that overrides another keeps its place in the order; others follow behind.
    """

    thresholds: dict[str, Threshold] = Field({})
    per_source: dict[str, RuleBlock] = Field({})
    language_pairs: tuple[LanguagePair, ...] = (LanguagePair(),)
    per_language: dict[str, RuleBlock] = Field({})

    @property
    def blocks(self) -> dict[str, RuleBlock]:
        """The blocks by section, such as per_source.code."""
        kinds = {"per_source": self.per_source, "per_language": self.per_language}
        return {f"{kind}.{name}": block for kind, blocks in kinds.items() for name, block in blocks.items()}

    @property
    def sections(self) -> dict[str, Mapping[str, Threshold | None]]:
        """The limits by the section that they stand in: `thresholds`, then the blocks."""
        return {THRESHOLDS: self.thresholds} | {section: block.thresholds for section, block in self.blocks.items()}

    @property
    def signals(self) -> tuple[str, ...]:
        """The signals with limits anywhere, those of `thresholds` first."""
        return tuple(dict.fromkeys(name for rules in self.sections.values() for name in rules))

    @property
    def language_columns(self) -> tuple[str, ...]:
        """The columns that tell the language of a document, if languages differ in their rules."""
        pairs = self.language_pairs if self.per_language else ()
        return tuple(name for pair in pairs for name in (pair.label, pair.score))

    @property
    def columns(self) -> tuple[str, ...]:
        """The columns that are needed to decide: signals with limits, and what tells the language."""
        return tuple(dict.fromkeys([*self.signals, *self.language_columns]))

    def of_signal(self, name: str) -> dict[str, Threshold | None]:
        """The limits of a signal by section; None where a block takes them away."""
        return {section: rules[name] for section, rules in self.sections.items() if name in rules}

    def languages(self, columns: pa.Table) -> pa.Array:
        """The language of each of n documents: the label of the first pair whose score is high enough,
        else null."""
        import pyarrow as pa
        import pyarrow.compute as pc

        language = pa.nulls(columns.num_rows, pa.string())
        for pair in self.language_pairs:
            label, score = (columns[name].combine_chunks() for name in (pair.label, pair.score))
            sure = pc.greater_equal(score.cast(pa.float64(), safe=False), pair.min)
            language = pc.coalesce(language, pc.if_else(sure, label.cast(pa.string()), pa.scalar(None, pa.string())))
        return language

    def evaluate(self, columns: pa.Table, sources: pa.ChunkedArray, explained: bool = True) -> pa.Table:
        """`thresholds.evaluate` of n documents, each by its own rules."""
        if not self.blocks:
            return evaluate(columns, self.thresholds, explained)
        import pyarrow as pa

        evaluated, order = [evaluate(columns.slice(0, 0), {})], [np.empty(0, np.int64)]
        for rule_set, rows in self.split(columns, sources):
            evaluated.append(evaluate(columns.take(pa.array(rows)), rule_set.rules, explained))
            order.append(rows)
        return pa.concat_tables(evaluated).unify_dictionaries().take(pa.array(np.argsort(np.concatenate(order))))

    def split(self, columns: pa.Table, sources: pa.ChunkedArray) -> Iterator[tuple[RuleSet, Rows]]:
        """The rules that hold for any of n documents, with the rows of these. Each row once."""
        languages = self.languages(columns) if self.per_language else None
        for source, language, rows in split_by_blocks(sources.combine_chunks(), self.per_source, languages, self.per_language):
            yield self.rule_set(source, language), rows

    def of_document(self, source: str, values: Mapping[str, Any]) -> RuleSet:
        """The rules of one document, by its source and its signals."""
        if not self.blocks:
            return self.rule_set("", "")
        import pyarrow as pa

        columns = pa.table({name: pa.array([values.get(name)]) for name in self.columns})
        ((rule_set, _),) = self.split(columns, pa.chunked_array([[source]], pa.string()))
        return rule_set

    def rule_set(self, source: str, language: str) -> RuleSet:
        """The rules of documents of these blocks; "": of none."""
        rules: dict[str, Threshold | None] = dict(self.thresholds)
        sections = dict.fromkeys(rules, THRESHOLDS)
        for section in (f"per_source.{source}" if source else "", f"per_language.{language}" if language else ""):
            if section:
                own = self.blocks[section].thresholds
                rules |= own
                sections |= dict.fromkeys(own, section)
        return RuleSet({name: rule for name, rule in rules.items() if rule is not None}, sections, source, language)


def split_by_blocks(
    sources: pa.Array, per_source: Collection[str], languages: pa.Array | None, per_language: Collection[str]
) -> Iterator[tuple[str, str, Rows]]:
    """(source, language, rows) for each pair of blocks under which any of n documents fall, "" for no
    block. `languages` may be None if there are no blocks of languages. Each row once."""
    number = _numbers(sources, per_source) * (len(per_language) + 1)
    if languages is not None:
        number += _numbers(languages, per_language)
    source_names, language_names = ("", *per_source), ("", *per_language)
    for each in np.unique(number).tolist():
        source, language = divmod(each, len(language_names))
        yield source_names[source], language_names[language], np.flatnonzero(number == each)


def _numbers(labels: pa.Array, names: Collection[str]) -> npt.NDArray[np.int64]:
    """For each label its number among `names`, from 1; 0 for others and for none."""
    import pyarrow as pa
    import pyarrow.compute as pc

    if pa.types.is_dictionary(labels.type):
        labels = labels.dictionary_decode()
    found = pc.index_in(labels.cast(pa.string()), value_set=pa.array(list(names), pa.string()))
    return found.fill_null(-1).to_numpy(zero_copy_only=False).astype(np.int64) + 1
