"""Counts words and phrases of lists in texts: bad words, stop words, terms of a field."""

from __future__ import annotations

from collections.abc import Mapping
from functools import cached_property
from typing import TYPE_CHECKING, Any, ClassVar, Self

from pydantic import Field, model_validator

from tamis.transforms.core.options import Options, fingerprint
from tamis.transforms.core.rater import Rater, Signal, share, signal_batch

if TYPE_CHECKING:
    import numpy as np
    import pyarrow as pa

    from tamis.transforms.rate.word_lists.listed_words import ListedWords
    from tamis.transforms.text.segment import SegmentedTexts

_SOURCE = "lists of yours; Raffel et al. 2020 (C4), 2.2; Rae et al. 2021 (Gopher), A1.1"

UNSPACED = ("ja", "km", "lo", "my", "th", "zh")
"""Languages that put no spaces between words, so that an entry counts wherever it is."""


class WordList(Options):
    """A list of words and phrases, by the language of a document or for all."""

    name: str = Field(
        pattern="^[a-z][a-z0-9_]*$", description="The first part of its signals: `bad_words` measures `bad_words.count`."
    )
    lists: str | dict[str, str] = Field(
        description="Path of a text with one word or phrase a line, also with .gz; or paths by language, as in `{en: bad/en, "
        "fr: bad/fr}`, where `*` is the list of all others. `package:stopwordsiso` (57 languages) and "
        "`package:better-profanity` (English) are lists that an installed package carries."
    )
    language: str = Field("language.label", description="What tells the language of a document: a signal, or metadata.FIELD.")
    unspaced: tuple[str, ...] = Field(
        UNSPACED, description="Languages in which an entry counts wherever it is, not only as a whole word."
    )

    @model_validator(mode="after")
    def _lists_something(self) -> Self:
        if not self.lists:
            raise ValueError("lists names no list: give a path, or paths by language")
        return self


class WordListRater(Rater[WordList]):
    """Counts entries of a list, whatever their case. At each place the longest entry counts, and the
    next one begins behind it; in a phrase, any white space is a space.

    As in C4, an entry stands between characters that are no letter, digit or underscore (and no mark:
    `क` is not found in `कि`); in the `unspaced` languages, it counts anywhere. Shares are of words,
    runs of letters, digits, underscores and marks; in the `unspaced` languages, of letters and digits.
    A document in a language without a list, or without a language, has no value.
    """

    VERSION = 1
    repeatable = True
    example: ClassVar[Mapping[str, Any]] = {"name": "bad_words", "lists": "bad_words.txt"}

    def __init__(self, options: WordList) -> None:
        super().__init__(options)
        self.name = options.name
        self.signals = (
            Signal(f"{self.name}.count", "int64", "occurrences", "none", _SOURCE, least=0),
            Signal(f"{self.name}.distinct", "int64", "distinct entries", "none", _SOURCE, least=0),
            Signal(f"{self.name}.share", "float64", "share of words", "none", _SOURCE),
        )
        if not self._for_all:
            self.needs = (options.language,)

    @property
    def _for_all(self) -> bool:
        """Whether one list is for all documents. A package's lists are by language."""
        return isinstance(self.options.lists, str) and not self.options.lists.startswith("package:")

    @cached_property
    def lists(self) -> dict[str, tuple[str, ...]]:
        """The entries by language. Raises as `lists_of` does."""
        from tamis.transforms.rate.word_lists.word_list_files import lists_of

        return lists_of(self.options.lists)

    @cached_property
    def fingerprint(self) -> str:
        """Covers the bytes of the lists."""
        from tamis.transforms.rate.word_lists.word_list_files import digests

        return fingerprint([super().fingerprint, digests(self.options.lists)])

    def __getstate__(self) -> dict[str, object]:
        return {**self.__dict__, "fingerprint": self.fingerprint, "lists": self.lists}

    def rate(self, texts: SegmentedTexts) -> pa.RecordBatch:
        import numpy as np
        import pyarrow as pa
        import pyarrow.compute as pc

        from tamis.transforms.rate.word_lists.listed_words import COUNT, DISTINCT, LISTED, UNITS, listed_words
        from tamis.transforms.rate.word_lists.word_list_files import ALL

        counts = np.zeros((len(texts), 4), np.int64)
        counted = np.zeros(len(texts), np.bool_)
        if self._for_all:
            self._count(texts, np.arange(len(texts)), listed_words(self.lists[ALL], True), counts, counted)
        else:
            labels = texts[self.options.language].dictionary_encode()
            codes = pc.fill_null(labels.indices, -1).to_numpy()
            for code, name in [(-1, None), *enumerate(labels.dictionary.to_pylist())]:
                words, rows = self.lists.get(name or ALL, self.lists.get(ALL)), np.flatnonzero(codes == code)
                if words is not None and len(rows):
                    self._count(texts, rows, listed_words(words, name not in self.options.unspaced), counts, counted)
        missing = ~counted
        listed = share(counts[:, LISTED], np.where(counted, counts[:, UNITS], 0))
        return signal_batch(
            self.signals, [pa.array(counts[:, COUNT], mask=missing), pa.array(counts[:, DISTINCT], mask=missing), listed]
        )

    def _count(self, texts: SegmentedTexts, rows: Any, words: ListedWords, counts: np.ndarray, counted: np.ndarray) -> None:
        counts[rows] = words.counts(texts.data, texts.text_start[rows], texts.text_start[rows + 1])
        counted[rows] = True
