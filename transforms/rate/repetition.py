"""Gopher's repetition heuristics as signals (Rae et al. 2021, arXiv 2112.11446, table A1)."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tamis.transforms.core.options import Options
from tamis.transforms.core.rater import Signal
from tamis.transforms.rate.base import RuleRater, columns, share

if TYPE_CHECKING:
    import pyarrow as pa

    from tamis.transforms.text.segment import Segmented

_SOURCE = "Rae et al. 2021, table A1; datatrove filters/gopher_repetition_filter.py"


class Repetition(Options):
    """Nothing to choose: the table fixes what is measured, thresholds on it are the recipe's."""


class RepetitionRater(RuleRater[Repetition]):
    r"""Shares of a document that it has said before.

    As datatrove measures them: lines are pieces between runs of newlines, paragraphs pieces of the stripped text
    between two newlines or more, both compared as written; all but the first of equal ones are duplicates; characters
    are divided by those of the whole text. A top n-gram counts every occurrence with one space between its words, so
    overlapping ones may add up to more than 1; among equally frequent n-grams the first is taken. Duplicate n-grams are
    read from left to right, without spaces, and one that was read before is stepped over whole. Words are those of
    `tamis.transforms.text.segment`.

    Where we differ, and why:
    - A most frequent n-gram that occurs once is 0: it is no repetition, and would condemn every short text.
    - Where words end matters in duplicate n-grams, too: datatrove joins without a separator, so "ab", "c" is "a", "bc".
    - The nothing before a leading and behind a final newline is no line; a blank document has no paragraph.
    - Where there is no line, paragraph or character, the share is null: undefined is not 0.
    """

    name = "repetition"
    VERSION = 1
    signals = (
        Signal("repetition.duplicate_line_share", "float64", "share of lines", "down", _SOURCE, 0, 0.3),
        Signal("repetition.duplicate_line_chars", "float64", "share of characters", "down", _SOURCE, 0, 0.2),
        Signal("repetition.duplicate_paragraph_share", "float64", "share of paragraphs", "down", _SOURCE, 0, 0.3),
        Signal("repetition.duplicate_paragraph_chars", "float64", "share of characters", "down", _SOURCE, 0, 0.2),
        *(
            Signal(f"repetition.top_{n}gram_chars", "float64", "share of characters", "down", _SOURCE, 0, limit)
            for n, limit in ((2, 0.20), (3, 0.18), (4, 0.16))
        ),
        *(
            Signal(f"repetition.duplicate_{n}gram_chars", "float64", "share of characters", "down", _SOURCE, 0, limit)
            for n, limit in ((5, 0.15), (6, 0.14), (7, 0.13), (8, 0.12), (9, 0.11), (10, 0.10))
        ),
    )

    def rate(self, texts: Segmented) -> pa.RecordBatch:
        import numpy as np

        from tamis.transforms.text.repeats import duplicates, paragraphs, repeated_ngrams

        chars = texts.text_chars
        lines, same_lines, line_chars = duplicates(
            texts.line_first, texts.line_hash, texts.line_chars, texts.line_start < texts.line_end
        ).T
        first, hashes, lengths = paragraphs(
            texts.data,
            texts.line_first,
            texts.line_start,
            texts.line_end,
            texts.line_chars,
            texts.line_hash,
            texts.word_first,
            texts.word_start,
            texts.word_end,
        )
        blocks, same_blocks, block_chars = duplicates(first, hashes, lengths, np.ones(len(hashes), np.bool_)).T
        top, duplicate = repeated_ngrams(texts.word_first, texts.word_hash, texts.word_chars)
        return columns(
            self.signals,
            [
                share(same_lines, lines),
                share(line_chars, chars),
                share(same_blocks, blocks),
                share(block_chars, chars),
                *(share(counted, chars) for counted in (*top.T, *duplicate.T)),
            ],
        )
