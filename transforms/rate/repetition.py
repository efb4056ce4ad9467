"""Gopher's repetition heuristics as signals (Rae et al. 2021, arXiv 2112.11446, table A1)."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pydantic import Field

from tamis.transforms.core.options import Options
from tamis.transforms.core.rater import Rater, Signal, share, signal_batch

if TYPE_CHECKING:
    import pyarrow as pa

    from tamis.transforms.text.segment import SegmentedTexts

_SOURCE = "Rae et al. 2021, table A1; datatrove filters/gopher_repetition_filter.py"


class Repetition(Options):
    """Definitions for the signals of repetition. Set thresholds for them under `thresholds`."""

    marks: bool = Field(
        False,
        description="Whether words of punctuation marks only are words of n-grams, as in datatrove. Then underlines, tables "
        "and code repeat.",
    )


class RepetitionRater(Rater[Repetition]):
    r"""Measures shares of repeated lines, paragraphs and word n-grams.

    Runs of newlines separate lines, and two or more newlines separate the paragraphs of the
    stripped text. Both are compared unstripped, and all but the first of equal ones are duplicates.
    Characters are divided by those of the whole text. A top n-gram counts every occurrence, with
    one space between its n words, so overlapping ones may add up to 2n - 1; of equally frequent
    n-grams the first counts. Duplicate n-grams are read from left to right, without spaces; an
    n-gram that was read before is skipped whole. Words are those of
    `tamis.transforms.text.segment`, without symbols (words of punctuation marks only).

    Differences from datatrove 0.10.1:
    - Symbols are no words of n-grams. With `marks`, they are.
    - A top n-gram that occurs once counts 0. It is no repetition, and would condemn every short
      text.
    - Word boundaries matter in duplicate n-grams. datatrove joins words without a separator: "ab",
      "c" equals "a", "bc".
    - No line precedes a leading newline or follows a final one; a blank document has no paragraph.
    - The share is null without any line, paragraph or character, because it is undefined, not 0.
    """

    name = "repetition"
    VERSION = 2
    signals = (
        Signal("repetition.duplicate_line_share", "float64", "share of lines", "down", _SOURCE, 0, 0.3),
        Signal("repetition.duplicate_line_chars", "float64", "share of characters", "down", _SOURCE, 0, 0.2),
        Signal("repetition.duplicate_paragraph_share", "float64", "share of paragraphs", "down", _SOURCE, 0, 0.3),
        Signal("repetition.duplicate_paragraph_chars", "float64", "share of characters", "down", _SOURCE, 0, 0.2),
        *(
            Signal(f"repetition.top_{n}gram_chars", "float64", "share of characters", "down", _SOURCE, 0, limit, most=2 * n - 1)
            for n, limit in ((2, 0.20), (3, 0.18), (4, 0.16))
        ),
        *(
            Signal(f"repetition.duplicate_{n}gram_chars", "float64", "share of characters", "down", _SOURCE, 0, limit)
            for n, limit in ((5, 0.15), (6, 0.14), (7, 0.13), (8, 0.12), (9, 0.11), (10, 0.10))
        ),
    )

    def rate(self, texts: SegmentedTexts) -> pa.RecordBatch:
        import numpy as np

        from tamis.transforms.text.counts import plain_words
        from tamis.transforms.text.repeats import duplicates, paragraphs, repeated_ngrams

        chars = texts.text_chars
        lines, same_lines, line_chars = duplicates(
            texts.line_first, texts.line_hash, texts.line_chars, texts.line_start < texts.line_end
        ).T
        first, hashes, lengths = paragraphs(texts.data, texts.lines, texts.line_hash, texts.words)
        blocks, same_blocks, block_chars = duplicates(first, hashes, lengths, np.ones(len(hashes), np.bool_)).T
        words = (texts.word_first, texts.word_hash, texts.word_chars)
        if not self.options.marks:
            words = plain_words(texts.word_first, texts.word_kind, texts.word_hash, texts.word_chars)
        top, duplicate = repeated_ngrams(*words)
        return signal_batch(
            self.signals,
            [
                share(same_lines, lines),
                share(line_chars, chars),
                share(same_blocks, blocks),
                share(block_chars, chars),
                *(share(repeated_chars, chars) for repeated_chars in (*top.T, *duplicate.T)),
            ],
        )
