"""C4's page and line heuristics as signals (Raffel et al. 2020, JMLR 21(140), section 2.2)."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

from pydantic import Field, PositiveInt

from tamis.transforms.core.options import Options
from tamis.transforms.core.rater import Rater, Signal, share, signal_batch

if TYPE_CHECKING:
    import pyarrow as pa

    from tamis.transforms.text.segment import SegmentedTexts

_SOURCE = "Raffel et al. 2020, 2.2; TFDS text/c4_utils.py"


class C4(Options):
    """Which lines C4 keeps. Set limits for pages under `thresholds` (published: 3 sentences)."""

    end_marks: tuple[Annotated[str, Field(min_length=1, max_length=1)], ...] = Field(
        (".", "?", "!", '"'), description="A kept line ends in one of these, and not in `...`."
    )
    min_words: PositiveInt = Field(5, description="Smallest number of words in a kept line.")
    max_word_length: PositiveInt = Field(1000, description="Length of the longest word in a kept line, in characters.")
    policy_phrases: tuple[Annotated[str, Field(min_length=1)], ...] = Field(
        ("terms of use", "privacy policy", "cookie policy", "uses cookies", "use of cookies", "use cookies"),
        max_length=62,
        description="A kept line contains none of these; the case of ASCII letters does not matter.",
    )


class C4Rater(Rater[C4]):
    r"""Measures how much of a document C4's line rules would keep, and the other rules of C4.

    As in TFDS, words are separated by white space, and a line is stripped and measured without its
    citations (`[12]`, `[edit]`, `[citation needed]`). Shares refer to the stripped lines that are
    not blank; they are null if there is none. Sentences count in kept lines only.

    Differences from TFDS:
    - Only a newline ends a line. TFDS also cuts at separators that seldom end a line: in web pages,
      U+0085 is mostly an ellipsis of Windows text that was read as Latin-1, inside a sentence.
    - A rule counts sentences, not NLTK's Punkt. A sentence ends at `.?!` and closing quotes,
      followed by white space and no lower-case letter; the dot of an initial does not count.
    - `curly` and `lorem_ipsum` count over the whole page. TFDS stops at the first one in a kept
      line.

    datatrove's filter differs from TFDS: it swaps 5 sentences and 3 words, takes an apostrophe for
    an end mark, and counts citations as words.
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

    def rate(self, texts: SegmentedTexts) -> pa.RecordBatch:
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
            texts.lines,
            texts.words,
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
        return signal_batch(
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
