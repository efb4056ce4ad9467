"""FineWeb's line heuristics as signals (Penedo et al. 2024, arXiv 2406.17557, section 3.6)."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

from pydantic import Field, PositiveInt

from tamis.transforms.core.options import Options
from tamis.transforms.core.rater import Rater, Signal, share, signal_batch

if TYPE_CHECKING:
    import pyarrow as pa

    from tamis.transforms.text.segment import SegmentedTexts

_SOURCE = "Penedo et al. 2024, 3.6; datatrove filters/fineweb_quality_filter.py"

_SENTENCE_TERMINAL = """
    21 2e 3f 589 61d-61f 6d4 700-702 7f9 837 839 83d-83e 964-965 104a-104b 1362 1367-1368 166e 1735-1736 17d4-17d6 17d9-17da
    1803 1809 1944-1945 1aa8-1aab 1b5a-1b5b 1b5e-1b5f 1b7d-1b7e 1c3b-1c3c 1c7e-1c7f 203c-203d 2047-2049 2e2e 2e3c 2e53-2e54
    3002 a4ff a60e-a60f a6f3 a6f7 a876-a877 a8ce-a8cf a92f a9c8-a9c9 aa5d-aa5f aaf0-aaf1 abeb fe52 fe56-fe57 ff01 ff0e ff1f
    ff61 10a56-10a57 10f55-10f59 10f86-10f89 11047-11048 110be-110c1 11141-11143 111c5-111c6 111cd 111de-111df 11238-11239
    1123b-1123c 112a9 1144b-1144c 115c2-115c3 115c9-115d7 11641-11642 1173c-1173e 11944 11946 11a42-11a43 11a9b-11a9c
    11c41-11c42 11ef7-11ef8 11f43-11f44 16a6e-16a6f 16af5 16b37-16b38 16b44 16e98 1bc9f 1da88
"""
"""The characters with Unicode 15's property Sentence_Terminal and three Khmer marks, as in
datatrove; hexadecimal."""


def _characters(ranges: str) -> tuple[str, ...]:
    bounds = [[int(bound, 16) for bound in item.split("-")] for item in ranges.split()]
    return tuple(chr(point) for bound in bounds for point in range(bound[0], bound[-1] + 1))


class FineWeb(Options):
    """Definitions for FineWeb's signals. Set thresholds for them under `thresholds`."""

    terminal_punctuation: tuple[Annotated[str, Field(min_length=1, max_length=1)], ...] = Field(
        _characters(_SENTENCE_TERMINAL),
        description="Characters that end a sentence, in any script. FineWeb itself was made with `.`, `!`, `?`, `\"` and `'`.",
    )
    short_line: PositiveInt = Field(30, description="Length of the longest short line, in characters.")


class FineWebRater(Rater[FineWeb]):
    r"""Measures shares of non-blank lines and of characters, and newlines per word.

    The definitions are those of datatrove 0.10, with one exception: the `\r` at the end of a
    Windows line does not hide the punctuation before it, which would condemn the whole file; other
    white space does. Duplicate lines are compared unstripped, and their characters are divided by
    those of the text without newlines. A share is null if its total is 0.
    """

    name = "fineweb"
    VERSION = 2
    signals = (
        Signal("fineweb.line_punctuation", "float64", "share of lines", "up", _SOURCE, 0.12, 1),
        Signal("fineweb.short_lines", "float64", "share of lines", "down", _SOURCE, 0, 0.67),
        Signal("fineweb.duplicate_line_chars", "float64", "share of characters", "down", _SOURCE, 0, 0.01),
        Signal("fineweb.newlines_per_word", "float64", "newlines a word", "down", _SOURCE, 0, 0.3, least=0),
    )

    def rate(self, texts: SegmentedTexts) -> pa.RecordBatch:
        import numpy as np

        from tamis.transforms.text.characters import membership
        from tamis.transforms.text.counts import line_edges, short_lines
        from tamis.transforms.text.repeats import duplicates

        newlines = np.diff(texts.line_first) - 1
        closing = membership(self.options.terminal_punctuation)
        edges = line_edges(texts.data, texts.lines, texts.words, membership(()), closing)
        short = short_lines(texts.lines, self.options.short_line)
        lines, _, duplicate_chars = duplicates(
            texts.line_first, texts.line_hash, texts.line_chars, np.diff(texts.line_word_first) > 0
        ).T
        return signal_batch(
            self.signals,
            [
                share(edges[:, 2], lines),
                share(short, lines),
                share(duplicate_chars, texts.text_chars - newlines),
                share(newlines, np.diff(texts.word_first)),
            ],
        )
