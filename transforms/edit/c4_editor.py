"""The editor `c4_lines`: removes the lines and citations that C4 removes (Raffel et al. 2020, section 2.2)."""

from __future__ import annotations

from types import MappingProxyType
from typing import TYPE_CHECKING

from tamis.transforms.core.editor import Editor, Edits
from tamis.transforms.core.rater import Signal, share
from tamis.transforms.text.c4.c4_options import LineRules

if TYPE_CHECKING:
    from tamis.transforms.text.segment import Texts

_SOURCE = "Raffel et al. 2020, 2.2; TFDS text/c4_utils.py"

_BEFORE = ("kept_lines_share", "kept_chars_share", "longest_word", "policy_lines", "javascript_lines", "characters")
"""What the rater `c4` would measure of the text before the edit."""


class C4Lines(LineRules):
    """Which lines stay. The rules for pages are thresholds."""


class C4LinesEditor(Editor[C4Lines]):
    r"""Leaves the text that TFDS's `clean_page` makes of a page: `"\n".join(kept lines).strip()`.

    `str.splitlines` cuts the lines. One that goes takes its line break with it, and counts for the
    first rule that it breaks. Of a kept line go citations (`[12]`, `[edit]`, `[citation needed]`)
    and the white space around it; a line break that is no newline becomes one.

    One difference from TFDS: phrases are found whatever the case of ASCII letters, so that the
    Kelvin sign is no `k`. Pages for which TFDS returns nothing are edited like others:
    `edit.c4_lines.curly` and `.lorem_ipsum` are above 0 for those that it drops at one of their
    lines, and `c4.sentences` tells which have too few.
    """

    name = "c4_lines"
    VERSION = 1
    reasons = ("long_word", "end_mark", "few_words", "javascript", "policy", "citation", "space")
    inserts = True
    measures = (
        Signal("edit.c4_lines.kept_lines_share", "float64", "share of lines", "up", _SOURCE, 0, 1),
        Signal("edit.c4_lines.kept_chars_share", "float64", "share of characters", "up", _SOURCE, 0, 1),
        Signal("edit.c4_lines.longest_word", "int64", "characters", "down", _SOURCE, 0, 1000, least=0),
        Signal("edit.c4_lines.policy_lines", "int64", "lines", "down", _SOURCE, 0, 1, least=0),
        Signal("edit.c4_lines.javascript_lines", "int64", "lines", "down", _SOURCE, 0, 1, least=0),
        Signal("edit.c4_lines.characters", "int64", "characters", "band", _SOURCE, 0, 190_000, least=0),
        Signal("edit.c4_lines.curly", "int64", "lines", "down", _SOURCE, 0, 1, least=0),
        Signal("edit.c4_lines.lorem_ipsum", "int64", "lines", "down", _SOURCE, 0, 1, least=0),
    )
    before = MappingProxyType({f"c4.{measure}": f"edit.c4_lines.{measure}" for measure in _BEFORE})

    def edit(self, texts: Texts) -> Edits:
        import pyarrow as pa

        from tamis.transforms.edit.c4_spans import line_spans
        from tamis.transforms.text.c4 import c4_lines

        judged = c4_lines.judge(texts, self.options)
        document, start, stop, reason, newline = line_spans(texts, judged)
        counts = judged.counts.T
        return Edits(
            document,
            start,
            stop,
            reason,
            pa.array(["", "\n"], pa.large_string()).take(pa.array(newline.astype("int8"))),
            [
                share(counts[c4_lines.KEPT_LINES], counts[c4_lines.LINES]),
                share(counts[c4_lines.KEPT_CHARS], counts[c4_lines.CHARS]),
                counts[c4_lines.LONGEST_WORD],
                counts[c4_lines.POLICY],
                counts[c4_lines.JAVASCRIPT],
                texts.text_chars,
                counts[c4_lines.CURLY_LINES],
                counts[c4_lines.LOREM_IPSUM_LINES],
            ],
        )
