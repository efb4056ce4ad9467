"""Gopher's quality heuristics as signals (Rae et al. 2021, arXiv 2112.11446, appendix A1.1)."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

from pydantic import Field

from tamis.transforms.core.options import Options
from tamis.transforms.core.rater import Rater, Signal, share, signal_batch

if TYPE_CHECKING:
    import pyarrow as pa

    from tamis.transforms.text.segment import SegmentedTexts

_SOURCE = "Rae et al. 2021, A1.1; datatrove filters/gopher_quality_filter.py"


class Gopher(Options):
    """Definitions for Gopher's signals. Set thresholds for them under `thresholds`."""

    stop_words: tuple[str, ...] = Field(
        ("the", "be", "to", "of", "and", "that", "have", "with"),
        description="Words that indicate coherent English. Case matters, so `The` does not count.",
    )
    bullets: tuple[Annotated[str, Field(min_length=1, max_length=1)], ...] = Field(
        ("•", "-"), description="A line that begins with one of these characters is a bullet point."
    )
    marks: bool = Field(
        False,
        description="Whether words of punctuation marks only count in the shares of words, as in datatrove. Then "
        "`alphabetic_words` falls with every comma.",
    )


class GopherRater(Rater[Gopher]):
    """Measures counts and shares of words and lines.

    Words are those of `tamis.transforms.text.segment`, without symbols (words of punctuation marks
    only). Blank lines count, except an empty line after a final newline. Without words, shares of
    words and mean length are null; without lines, shares of lines are null.

    Differences from datatrove 0.10.1:
    - Shares are of words without symbols. datatrove leaves symbols out of the count and the mean
      length alone, so that every mark lowers its share of words with a letter. `marks` does so, too.
      docs/labels.md says what the paper and other pipelines count, and measures both.
    - The Unicode category defines symbols. datatrove's list of marks treats `•`, `©`, `→` and emoji
      as words, and a fullwidth `１` as a mark.
    - Only a newline ends a line. datatrove also cuts at separators that seldom end a line: in web
      pages, U+0085 is mostly an ellipsis of Windows text that was read as Latin-1, inside a
      sentence.
    """

    name = "gopher"
    VERSION = 2
    signals = (
        Signal("gopher.word_count", "int64", "words", "band", _SOURCE, 50, 100_000, least=0),
        Signal("gopher.mean_word_length", "float64", "characters", "band", _SOURCE, 3, 10, least=0),
        Signal("gopher.hash_ratio", "float64", "# a word", "down", _SOURCE, 0, 0.1, least=0),
        Signal("gopher.ellipsis_ratio", "float64", "ellipses a word", "down", _SOURCE, 0, 0.1, least=0),
        Signal("gopher.bullet_lines", "float64", "share of lines", "down", _SOURCE, 0, 0.9),
        Signal("gopher.ellipsis_lines", "float64", "share of lines", "down", _SOURCE, 0, 0.3),
        Signal("gopher.alphabetic_words", "float64", "share of words", "up", _SOURCE, 0.8, 1),
        Signal("gopher.stop_words", "int64", "distinct words", "up", _SOURCE, 0, 2, least=0),
    )

    def rate(self, texts: SegmentedTexts) -> pa.RecordBatch:
        import numpy as np

        from tamis.transforms.text.characters import membership
        from tamis.transforms.text.counts import distinct_members, line_edges, word_kinds
        from tamis.transforms.text.hashing import hash_words

        plain, plain_chars, alphabetic, hashes, ellipses = word_kinds(texts.word_first, texts.word_kind, texts.word_chars).T
        words = np.diff(texts.word_first) if self.options.marks else plain
        last = texts.line_first[1:] - 1
        lines = np.diff(texts.line_first) - (texts.line_start[last] == texts.line_end[last])
        edges = line_edges(texts.data, texts.lines, texts.words, membership(self.options.bullets), membership(()))
        stop_words = hash_words(sorted(set(self.options.stop_words)))
        return signal_batch(
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
