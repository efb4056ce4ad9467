"""FineWeb's line heuristics as signals (Penedo et al. 2024, arXiv 2406.17557, section 3.6)."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

from pydantic import Field, PositiveInt

from transforms.options import Options
from transforms.rate.columns import columns, rule_fingerprint, share
from transforms.rater import Signal

if TYPE_CHECKING:
    import pyarrow as pa

    from transforms.text.segment import Segmented

VERSION = 1

_SOURCE = "Penedo et al. 2024, 3.6; datatrove filters/fineweb_quality_filter.py"


class FineWeb(Options):
    """What the signals look for. Thresholds on them are the recipe's."""

    terminal_punctuation: tuple[Annotated[str, Field(min_length=1, max_length=1)], ...] = tuple(
        ".!?\"'…’”。！？．｡」』؟۔।॥։።፧၊။។៕"
    )
    """Characters that end a sentence: FineWeb's five, their typographic forms, and the full stops of other scripts."""
    short_line: PositiveInt = 30
    """A line of at most so many characters is short."""


class FineWebRater:
    r"""Shares of lines that are not blank, of characters, and newlines a word.

    As datatrove 0.10 measures them, but that white space at the end of a line (the `\r` of a file from Windows) does
    not hide its punctuation. Duplicate lines are compared as written and their characters divided by those of the text
    without its newlines. A share of nothing is null.
    """

    name = "fineweb"
    signals = (
        Signal("fineweb.line_punctuation", "float64", "share of lines", "up", _SOURCE, 0.12, 1),
        Signal("fineweb.short_lines", "float64", "share of lines", "down", _SOURCE, 0, 0.67),
        Signal("fineweb.duplicate_line_chars", "float64", "share of characters", "down", _SOURCE, 0, 0.01),
        Signal("fineweb.newlines_per_word", "float64", "newlines a word", "down", _SOURCE, 0, 0.3),
    )

    def __init__(self, options: FineWeb) -> None:
        self.options = options

    @property
    def fingerprint(self) -> str:
        return rule_fingerprint(self.name, VERSION, self.options)

    def setup(self) -> None:
        import pyarrow as pa

        from transforms.text.segment import segment

        self.rate(segment(pa.array(["compiles"], pa.large_string())))

    def rate(self, texts: Segmented) -> pa.RecordBatch:
        import numpy as np

        from transforms.text.characters import membership
        from transforms.text.counts import line_edges, short_lines
        from transforms.text.repeats import duplicates

        newlines = np.diff(texts.line_first) - 1
        edges = line_edges(
            texts.data,
            texts.line_first,
            texts.line_word_first,
            texts.word_start,
            texts.word_end,
            membership(()),
            membership(self.options.terminal_punctuation),
        )
        short = short_lines(texts.line_first, texts.line_chars, texts.line_word_first, self.options.short_line)
        lines, _, duplicate_chars = duplicates(
            texts.line_first, texts.line_hash, texts.line_chars, np.diff(texts.line_word_first) > 0
        ).T
        return columns(
            self.signals,
            [
                share(edges[:, 2], lines),
                share(short, lines),
                share(duplicate_chars, texts.text_chars - newlines),
                share(newlines, np.diff(texts.word_first)),
            ],
        )
