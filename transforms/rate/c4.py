"""C4's page and line heuristics as signals (Raffel et al. 2020, JMLR 21(140), section 2.2); the text stays as it is."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

from pydantic import Field, PositiveInt

from tamis.transforms.core.options import Options
from tamis.transforms.core.rater import Signal
from tamis.transforms.rate.base import RuleRater, columns, share

if TYPE_CHECKING:
    import pyarrow as pa

    from tamis.transforms.text.segment import Segmented

_SOURCE = "Raffel et al. 2020, 2.2; TFDS text/c4_utils.py"


class C4(Options):
    """What makes a line one that C4 keeps. Thresholds on the page are the recipe's (published: 3 sentences)."""

    end_marks: tuple[Annotated[str, Field(min_length=1, max_length=1)], ...] = (".", "?", "!", '"')
    """A kept line ends in one of these (and not in `...`)."""
    min_words: PositiveInt = 5
    """A kept line has at least so many words."""
    max_word_length: PositiveInt = 1000
    """A kept line has no longer word, in characters."""
    policy_phrases: Annotated[tuple[Annotated[str, Field(min_length=1)], ...], Field(max_length=62)] = (
        "terms of use",
        "privacy policy",
        "cookie policy",
        "uses cookies",
        "use of cookies",
        "use cookies",
    )
    """A kept line says none of these; ASCII letters compare without case."""


class C4Rater(RuleRater[C4]):
    r"""What the line rules of C4 would keep, and what they look for.

    Words are cut at white space, a line is stripped and measured without its citations (`[12]`, `[edit]`, `[citation
    needed]`), as TFDS does. Lines end at a newline alone: TFDS also cuts at separators that seldom end a line (U+0085 in a
    web page is mostly an ellipsis of Windows text read as Latin-1, amid a sentence). Sentences are counted by a rule where
    TFDS runs NLTK's Punkt: marks `.?!` and closing quotes, white space, then no lower-case letter; the dot of an initial
    ends none. Unlike TFDS, which stops at the first that it meets in a kept line, `curly` and `lorem_ipsum` count over the
    whole page. The shares are of the stripped lines that are not blank, null where there is none; sentences count in kept
    lines only.

    datatrove's filter differs from TFDS: 5 sentences and 3 words are swapped, an apostrophe is an end mark, and
    citations count as words.
    """

    name = "c4"
    VERSION = 1
    signals = (
        Signal("c4.sentences", "int64", "sentences", "up", _SOURCE, 0, 3),
        Signal("c4.kept_lines_share", "float64", "share of lines", "up", _SOURCE, 0, 1),
        Signal("c4.kept_chars_share", "float64", "share of characters", "up", _SOURCE, 0, 1),
        Signal("c4.curly", "int64", "curly brackets", "down", _SOURCE, 0, 1),
        Signal("c4.lorem_ipsum", "int64", "occurrences", "down", _SOURCE, 0, 1),
        Signal("c4.longest_word", "int64", "characters", "down", _SOURCE, 0, 1000),
        Signal("c4.policy_lines", "int64", "lines", "down", _SOURCE, 0, 1),
        Signal("c4.javascript_lines", "int64", "lines", "down", _SOURCE, 0, 1),
        Signal("c4.characters", "int64", "characters", "band", _SOURCE, 0, 190_000),
    )

    def rate(self, texts: Segmented) -> pa.RecordBatch:
        import numpy as np
        import pyarrow as pa

        from tamis.transforms.text import c4_lines
        from tamis.transforms.text.characters import characters, membership
        from tamis.transforms.text.hashing import text_buffer

        phrases = [phrase.encode().lower() for phrase in (*self.options.policy_phrases, "javascript", "lorem ipsum")]
        group = [c4_lines.POLICY] * len(self.options.policy_phrases) + [c4_lines.JAVASCRIPT, c4_lines.LOREM_IPSUM]
        phrase_bytes, phrase_first = text_buffer(pa.array(phrases, pa.large_binary()))
        counts = c4_lines.measure(
            texts.data,
            texts.line_first,
            texts.line_start,
            texts.line_end,
            texts.line_chars,
            texts.line_word_first,
            texts.word_start,
            texts.word_end,
            texts.word_chars,
            characters().flags,
            membership(self.options.end_marks),
            self.options.min_words,
            self.options.max_word_length,
            c4_lines.phrase_skips(phrases),
            min(map(len, phrases)),
            phrase_bytes,
            phrase_first,
            np.array(group),
        ).T
        return columns(
            self.signals,
            [
                counts[c4_lines.SENTENCES],
                share(counts[c4_lines.KEPT_LINES], counts[c4_lines.LINES]),
                share(counts[c4_lines.KEPT_CHARS], counts[c4_lines.CHARS]),
                counts[c4_lines.CURLY],
                counts[c4_lines.LOREM_IPSUM],
                counts[c4_lines.LONGEST_WORD],
                counts[c4_lines.POLICY],
                counts[c4_lines.JAVASCRIPT],
                texts.text_chars,
            ],
        )
