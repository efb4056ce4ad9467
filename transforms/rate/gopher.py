"""Gopher's quality heuristics as signals (Rae et al. 2021, arXiv 2112.11446, appendix A1.1)."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

from pydantic import Field

from tamis.transforms.core.options import Options
from tamis.transforms.core.rater import Signal
from tamis.transforms.rate.base import RuleRater, columns, share

if TYPE_CHECKING:
    import pyarrow as pa

    from tamis.transforms.text.segment import Segmented

_SOURCE = "Rae et al. 2021, A1.1; datatrove filters/gopher_quality_filter.py"


class Gopher(Options):
    """What the signals look for. Thresholds on them are the recipe's."""

    stop_words: tuple[str, ...] = ("the", "be", "to", "of", "and", "that", "have", "with")
    """Words whose presence tells coherent English; compared as written, so `The` is none."""
    bullets: tuple[Annotated[str, Field(min_length=1, max_length=1)], ...] = ("•", "-")
    """Characters that make a bullet of the line they begin."""


class GopherRater(RuleRater[Gopher]):
    """Counts and shares of words and lines.

    As datatrove measures them: words are those of `tamis.transforms.text.segment`, punctuation marks among them, as spaCy's are
    for datatrove. Lengths and `word_count` leave out symbols (words of nothing but punctuation); the shares are of all
    words, symbols included. Blank lines count, the nothing behind a final newline does not. A document without words has
    null shares and mean length, one without lines null line shares.

    Where we differ, and why:
    - Symbols are told by Unicode category. datatrove's list of marks takes `•`, `©`, `→` and emoji for words, and a
      fullwidth `１` for a mark.
    - Lines end at a newline alone. datatrove also cuts at separators that seldom end a line: U+0085 in a web page is
      mostly an ellipsis of Windows text read as Latin-1, amid a sentence.
    """

    name = "gopher"
    VERSION = 1
    signals = (
        Signal("gopher.word_count", "int64", "words", "band", _SOURCE, 50, 100_000),
        Signal("gopher.mean_word_length", "float64", "characters", "band", _SOURCE, 3, 10),
        Signal("gopher.hash_ratio", "float64", "# a word", "down", _SOURCE, 0, 0.1),
        Signal("gopher.ellipsis_ratio", "float64", "ellipses a word", "down", _SOURCE, 0, 0.1),
        Signal("gopher.bullet_lines", "float64", "share of lines", "down", _SOURCE, 0, 0.9),
        Signal("gopher.ellipsis_lines", "float64", "share of lines", "down", _SOURCE, 0, 0.3),
        Signal("gopher.alphabetic_words", "float64", "share of words", "up", _SOURCE, 0.8, 1),
        Signal("gopher.stop_words", "int64", "distinct words", "up", _SOURCE, 0, 2),
    )

    def rate(self, texts: Segmented) -> pa.RecordBatch:
        import numpy as np

        from tamis.transforms.text.characters import membership
        from tamis.transforms.text.counts import distinct_members, line_edges, word_kinds
        from tamis.transforms.text.hashing import hash_words

        words = np.diff(texts.word_first)
        plain, plain_chars, alphabetic, hashes, ellipses = word_kinds(texts.word_first, texts.word_kind, texts.word_chars).T
        last = texts.line_first[1:] - 1
        lines = np.diff(texts.line_first) - (texts.line_start[last] == texts.line_end[last])
        edges = line_edges(
            texts.data,
            texts.line_first,
            texts.line_end,
            texts.line_word_first,
            texts.word_start,
            texts.word_end,
            membership(self.options.bullets),
            membership(()),
        )
        stop_words = hash_words(sorted(set(self.options.stop_words)))
        return columns(
            self.signals,
            [
                plain,
                share(plain_chars, plain),
                share(hashes, words),
                share(ellipses, words),
                share(edges[:, 1], lines),
                share(edges[:, 3], lines),
                share(alphabetic, words),
                distinct_members(texts.word_first, texts.word_hash, stop_words),
            ],
        )
