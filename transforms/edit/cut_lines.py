"""Removes the lines that a recipe describes: by their length, their characters and their text."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Annotated, Any, ClassVar

from pydantic import Field, field_validator, model_validator

from tamis.transforms.core.editor import Editor, Edits
from tamis.transforms.core.options import Options

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt

    from tamis.transforms.edit.line_measures import LineMeasures
    from tamis.transforms.text.segment import Texts

Phrase = Annotated[str, Field(pattern=r"^\S(.*\S)?$")]
"""One line, without white space around it."""

_MEASURES = ("chars", "words", "upper_share", "digits_share", "punctuation_share")
_SHARES = {"upper_share": "upper", "digits_share": "digits", "punctuation_share": "punctuation"}


class Range(Options):
    """Limits of a number, both inclusive."""

    min: float | None = Field(None, allow_inf_nan=False, description="lowest value that meets the condition")
    max: float | None = Field(None, allow_inf_nan=False, description="highest value that meets the condition")

    @model_validator(mode="after")
    def _can_be_met(self) -> Range:
        if self.min is None and self.max is None:
            raise ValueError("a range needs min or max")
        if self.min is not None and self.max is not None and self.min > self.max:
            raise ValueError(f"min {self.min:g} is above max {self.max:g}, so no line meets it")
        return self


class Where(Options):
    """The conditions that a line meets, all of them, for it to be removed.

    They are about the line without the white space around it. Shares are of its characters other
    than white space.
    """

    chars: Range | None = Field(None, description="characters")
    words: Range | None = Field(
        None, description="words, which white space separates; in scripts without spaces each letter is one"
    )
    upper_share: Range | None = Field(None, description="share of upper-case letters, which most scripts do not have")
    digits_share: Range | None = Field(None, description="share of digits")
    punctuation_share: Range | None = Field(None, description="share of punctuation, symbols, controls and `_`")
    starts_with: tuple[Phrase, ...] = Field((), description="it begins with one of these, in any case")
    ends_with: tuple[Phrase, ...] = Field((), description="it ends with one of these, in any case")
    contains: tuple[Phrase, ...] = Field((), description="it contains one of these, in any case")
    matches: str | None = Field(
        None,
        min_length=1,
        description="a regular expression is found in it (the syntax of RE2; `^` and `$` are its ends, `(?i)` ignores case)",
    )

    @field_validator("matches")
    @classmethod
    def _is_a_pattern(cls, pattern: str | None) -> str | None:
        if pattern is not None:
            import pyarrow as pa
            import pyarrow.compute as pc

            try:
                pc.match_substring_regex(pa.array([""]), pattern)
            except pa.ArrowInvalid as error:
                raise ValueError(f"no regular expression of RE2: {error}") from None
        return pattern

    @model_validator(mode="after")
    def _has_a_condition(self) -> Where:
        if not any(getattr(self, name) for name in type(self).model_fields):
            raise ValueError("it has no condition, so every line would be removed: give at least one")
        return self

    def patterns(self) -> Iterator[str]:
        """The conditions on the text as regular expressions, each of which must be found."""
        for listed, before, after in ((self.starts_with, "^", ""), (self.ends_with, "", "$"), (self.contains, "", "")):
            if listed:
                yield f"(?i){before}(?:{'|'.join(map(re.escape, listed))}){after}"
        if self.matches is not None:
            yield self.matches


class CutLines(Options):
    """Which lines are removed. A recipe may have several, with different names."""

    name: str = Field(
        "cut_lines", pattern=r"^[a-z][a-z0-9_]*$", description="name of the editor, as in its signal `edit.NAME.removed_share`"
    )
    where: Where = Field(description="the lines that go")


class CutLinesEditor(Editor[CutLines]):
    """Removes the lines that meet all conditions. Blank lines stay, since they separate
    paragraphs."""

    VERSION = 1
    reasons = ("line",)
    repeatable = True
    example: ClassVar[Mapping[str, Any]] = {"where": {"words": {"max": 3}}}

    def __init__(self, options: CutLines) -> None:
        super().__init__(options)
        self.name = options.name

    def edit(self, texts: Texts) -> Edits:
        import numpy as np

        from tamis.transforms.edit.line_measures import line_spans, measure_lines

        lines = measure_lines(texts)
        removed = self._in_range(lines)
        rows = np.flatnonzero(removed)
        removed[rows] = self._matched(texts, lines, rows)
        document, start, stop = line_spans(lines, removed)
        return Edits(document, start, stop, np.zeros(len(start), np.int64))

    def _in_range(self, lines: LineMeasures) -> npt.NDArray[np.bool_]:
        """Which lines are not blank and meet all conditions on numbers."""
        import numpy as np

        met = lines.visible > 0
        for name in _MEASURES:
            limits: Range | None = getattr(self.options.where, name)
            if limits is None:
                continue
            values = getattr(lines, _SHARES[name]) / np.maximum(lines.visible, 1) if name in _SHARES else getattr(lines, name)
            if limits.min is not None:
                met &= values >= limits.min
            if limits.max is not None:
                met &= values <= limits.max
        return met

    def _matched(self, texts: Texts, lines: LineMeasures, rows: npt.NDArray[np.int64]) -> npt.NDArray[np.bool_]:
        """Which of these lines meet all conditions on the text."""
        import numpy as np
        import pyarrow.compute as pc

        from tamis.transforms.text.splice import spans

        met = np.ones(len(rows), np.bool_)
        patterns = list(self.options.where.patterns())
        if patterns:
            stripped = spans(texts.data, lines.first[rows], lines.last[rows])
            for pattern in patterns:
                met &= pc.match_substring_regex(stripped, pattern).to_numpy(zero_copy_only=False)
        return met
