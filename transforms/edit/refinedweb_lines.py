"""RefinedWeb's line-wise corrections (Penedo et al. 2023, arXiv 2306.01116, appendix G.2)."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

from pydantic import Field, NonNegativeInt, PositiveInt

from tamis.transforms.core.editor import Editor, Edits
from tamis.transforms.core.options import Options
from tamis.transforms.core.rater import Signal, share
from tamis.transforms.edit import line_phrases

if TYPE_CHECKING:
    from tamis.transforms.text.segment import Texts

_SOURCE = "Penedo et al. 2023 (RefinedWeb), G.2"

Phrase = Annotated[str, Field(pattern=r"^\S(.*\S)?$")]
"""One line, without white space around it."""


class Lines(Options):
    """Which lines are removed, and which phrases from lines that stay.

    The paper says what kinds of lines go and gives an example of each, but no numbers and no lists;
    0.5 is that of DCLM (baselines/mappers/modifiers.py), the phrases are Tamis's own. A list in the
    recipe replaces the list here, and an empty one switches its rule off. The case of ASCII letters
    does not matter, and a phrase does not begin or end inside a word.
    """

    max_upper: float | None = Field(
        0.5,
        ge=0,
        le=1,
        description="a line goes if more than this share of its characters, white space aside, is upper case; null: none does",
    )
    digits_only: bool = Field(True, description="a line of nothing but digits and white space goes")
    counted: tuple[Phrase, ...] = Field(
        line_phrases.COUNTED,
        description="a line goes if it is a number and one of these, in either order: `3 likes`, `Comments (12)`",
    )
    min_words: PositiveInt = Field(
        2,
        description="a line with fewer words goes, unless it is blank; white space separates words, in scripts without spaces "
        "each letter is one",
    )
    short: NonNegativeInt = Field(
        10, description="most words of a line that is searched for the phrases below, and that may be a counter"
    )
    at_start: tuple[Phrase, ...] = Field(line_phrases.AT_START, description="phrases that go from the start of a short line")
    at_end: tuple[Phrase, ...] = Field(line_phrases.AT_END, description="phrases that go from the end of a short line")
    anywhere: tuple[Phrase, ...] = Field(line_phrases.ANYWHERE, description="phrases that go from a short line")


class LinesEditor(Editor[Lines]):
    """Removes phrases of navigation from short lines, then lines that are no prose.

    A phrase goes with the white space and the separators (`|`, `»`, brackets, …) behind it, at the
    end of a line with what marks follow it and the separators before it. What is left of the line is
    then judged as any line. Blank lines stay, since they separate paragraphs.
    """

    name = "lines"
    VERSION = 1
    reasons = ("upper_case", "digits", "counter", "few_words", "at_start", "at_end", "anywhere")
    measures = (Signal("edit.lines.removed_words_share", "float64", "share of words", "down", _SOURCE, 0, 0.05),)

    def edit(self, texts: Texts) -> Edits:
        import numpy as np

        from tamis.transforms.edit.line_corrections import Rules, corrections, phrases, words_by_document
        from tamis.transforms.edit.line_measures import line_spans, measure_lines

        options = self.options
        rules = Rules(
            max_upper=1.0 if options.max_upper is None else options.max_upper,
            digits_only=options.digits_only,
            min_words=options.min_words,
            short=options.short,
            counted=phrases(options.counted),
            at_start=phrases(options.at_start),
            at_end=phrases(options.at_end),
            anywhere=phrases(options.anywhere),
        )
        lines = measure_lines(texts)
        found = corrections(texts.data, lines, rules)
        gone = found.reason >= 0
        whole_document, whole_start, whole_stop = line_spans(lines, gone)
        piece_document = np.searchsorted(lines.line_first, found.line, side="right") - 1
        start = np.concatenate([whole_start, found.start])
        order = np.argsort(start, kind="stable")
        removed, words = (words_by_document(lines, counts) for counts in (lines.words - found.words_left, lines.words))
        return Edits(
            np.concatenate([whole_document, piece_document])[order],
            start[order],
            np.concatenate([whole_stop, found.stop])[order],
            np.concatenate([found.reason[gone].astype(np.int64), found.why])[order],
            values=[share(removed, words)],
        )
