"""Blocks of a recipe for the documents of a source or a language: their limits, words and editors."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple, TypeVar

import numpy as np
from pydantic import ConfigDict, Field, field_validator, model_validator

from tamis.pipelines.recipe.editing import EditStep, check_editors_differ
from tamis.transforms.select.rule_blocks import Rows, RuleBlock, split_by_blocks
from tamis.transforms.text.words import OtherWords, Words

if TYPE_CHECKING:
    import pyarrow as pa

T = TypeVar("T")

EDIT = "edit"
"""The section of the editors that no block replaces."""


class Block(RuleBlock):
    """What differs for the documents of a source or a language. All else is as in the recipe."""

    model_config = ConfigDict(extra="forbid")

    words: OtherWords | None = Field(
        None, description="how raters see these texts cut; duplicates and benchmark items are found by the recipe's `words`"
    )
    stop_words: tuple[str, ...] | None = Field(
        None, description="the words that gopher.stop_words counts in these documents, instead of `rate.gopher.stop_words`"
    )
    edit: tuple[EditStep, ...] | None = Field(
        None, description="the editors of these documents, instead of those of the recipe; []: none"
    )

    @property
    def reads_otherwise(self) -> bool:
        """Whether raters see these documents in another way than the recipe says."""
        return self.words is not None or self.stop_words is not None

    @field_validator("words")
    @classmethod
    def _words_differ(cls, words: OtherWords | None) -> OtherWords | None:
        if words == OtherWords():
            raise ValueError("changes nothing: give definition or unspaced")
        return words

    @field_validator("edit")
    @classmethod
    def _editors_differ(cls, steps: tuple[EditStep, ...] | None) -> tuple[EditStep, ...] | None:
        check_editors_differ([step.editor for step in steps or () if step.editor is not None])
        return steps

    @model_validator(mode="after")
    def _sets_something(self) -> Block:
        if not self.thresholds and not self.reads_otherwise and self.edit is None:
            raise ValueError("sets nothing: give thresholds, words, stop_words or edit")
        return self


class Reading(NamedTuple):
    """How raters see documents: cut into words, and with which stop words; None for those of the recipe."""

    words: Words
    stop_words: tuple[str, ...] | None = None


Groups = list[tuple[T, Rows | None]]
"""What holds for documents of a batch, with their rows; None if it holds for all of them."""


@dataclass(frozen=True)
class TextBlocks:
    """The words of a recipe, and the blocks of which some set words or editors of their own. The
    block of a language goes before that of a source."""

    words: Words
    per_source: Mapping[str, Block]
    per_language: Mapping[str, Block]

    def words_of(self, source: str, language: str) -> Words:
        """The words of documents under these blocks; "" for no block."""
        return self.reading_of(source, language).words

    def reading_of(self, source: str, language: str) -> Reading:
        """How raters see documents under these blocks; "" for no block."""
        words, stop_words = self.words, None
        for block in ([self.per_source[source]] if source else []) + ([self.per_language[language]] if language else []):
            words = block.words.applied_to(words) if block.words is not None else words
            stop_words = block.stop_words if block.stop_words is not None else stop_words
        return Reading(words, stop_words)

    def word_sections(self, source: str, language: str) -> list[str]:
        """The blocks that change the words of documents under these blocks, such as per_source.code."""
        named = (("per_source", source, self.per_source), ("per_language", language, self.per_language))
        return [f"{kind}.{name}" for kind, name, blocks in named if name and blocks[name].words is not None]

    def edit_section(self, source: str, language: str) -> str:
        """The section with the editors of documents under these blocks: `edit`, or per_source.code."""
        for kind, name, blocks in (("per_language", language, self.per_language), ("per_source", source, self.per_source)):
            if name and blocks[name].edit is not None:
                return f"{kind}.{name}"
        return EDIT

    def by_reading(self, sources: pa.Array, languages: Callable[[], pa.Array]) -> Groups[Reading]:
        """How raters see n documents. `languages`: those of the documents, if a block needs to know."""
        return self._split(lambda block: block.reads_otherwise, self.reading_of, sources, languages)

    def by_editors(self, sources: pa.Array, languages: Callable[[], pa.Array]) -> Groups[str]:
        """The section with the editors of n documents."""
        return self._split(lambda block: block.edit is not None, self.edit_section, sources, languages)

    def _split(
        self,
        differs: Callable[[Block], bool],
        of: Callable[[str, str], T],
        sources: pa.Array,
        languages: Callable[[], pa.Array],
    ) -> Groups[T]:
        per_source, per_language = (
            [name for name, block in blocks.items() if differs(block)] for blocks in (self.per_source, self.per_language)
        )
        groups: dict[T, list[Rows]] = {}
        if per_source or per_language:
            labels = languages() if per_language else None
            for source, language, rows in split_by_blocks(sources, per_source, labels, per_language):
                groups.setdefault(of(source, language), []).append(rows)
        if len(groups) > 1:
            return [(value, np.sort(np.concatenate(rows))) for value, rows in groups.items()]
        return [(next(iter(groups), of("", "")), None)]
