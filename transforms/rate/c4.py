"""C4's page and line heuristics as signals (Raffel et al. 2020, JMLR 21(140), section 2.2)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, ClassVar

from pydantic import Field

from tamis.transforms import storage
from tamis.transforms.core.options import fingerprint
from tamis.transforms.core.rater import Rater, Signal, share, signal_batch
from tamis.transforms.text.c4.c4_options import LineRules

if TYPE_CHECKING:
    import pyarrow as pa

    from tamis.transforms.text.segment import SegmentedTexts

_SOURCE = "Raffel et al. 2020, 2.2; TFDS text/c4_utils.py"

_BAD_WORDS = Signal("c4.bad_words", "int64", "occurrences", "down", _SOURCE, 0, 1, least=0)


class C4(LineRules):
    """Which lines C4 keeps. Set limits for pages under `thresholds` (published: 3 sentences)."""

    bad_words: str | dict[str, str] | None = Field(
        None,
        description="Path of a list with one word a line, or the paths for languages, by the label that `rate.language` "
        "measures, as in `{en: words/en, fr: words/fr}`; adds the signal `c4.bad_words`. C4's lists are those of "
        "github.com/LDNOOBW.",
    )


class C4Rater(Rater[C4]):
    r"""Measures how much of a document C4's line rules would keep, and the other rules of C4.

    As in TFDS, words are separated by white space, and a line is stripped and measured without its
    citations (`[12]`, `[edit]`, `[citation needed]`). Shares refer to the stripped lines that are
    not blank; they are null if there is none. Sentences count in kept lines only.

    Differences from TFDS:
    - A rule counts sentences, not NLTK's Punkt. A sentence ends at `.?!` and closing quotes,
      followed by white space and no lower-case letter; the dot of an initial does not count.
    - `curly` and `lorem_ipsum` count over the whole page. TFDS stops at the first one in a line
      that passes the rules before; the editor `c4_lines` measures that.

    `bad_words` counts listed words between characters that are no letter, digit or underscore; in
    Japanese, Thai and Chinese, anywhere. A language without a list has none. Unlike in TFDS, the
    sigma at the end of a word becomes lower-case as elsewhere, and İ becomes i.

    datatrove's filter differs from TFDS: it swaps 5 sentences and 3 words, takes an apostrophe for
    an end mark, and counts citations as words.

    Behind the editor `c4_lines`, all but `sentences`, `curly`, `lorem_ipsum` and `bad_words` are
    still of the text before it.
    """

    name = "c4"
    VERSION = 2
    example: ClassVar[Mapping[str, Any]] = {"bad_words": "bad_words.txt"}
    signals: tuple[Signal, ...] = (
        Signal("c4.sentences", "int64", "sentences", "up", _SOURCE, 0, 3, least=0),
        Signal("c4.kept_lines_share", "float64", "share of lines", "up", _SOURCE, 0, 1),
        Signal("c4.kept_chars_share", "float64", "share of characters", "up", _SOURCE, 0, 1),
        Signal("c4.curly", "int64", "curly brackets", "down", _SOURCE, 0, 1, least=0),
        Signal("c4.lorem_ipsum", "int64", "occurrences", "down", _SOURCE, 0, 1, least=0),
        Signal("c4.longest_word", "int64", "characters", "down", _SOURCE, 0, 1000, least=0),
        Signal("c4.policy_lines", "int64", "lines", "down", _SOURCE, 0, 1, least=0),
        Signal("c4.javascript_lines", "int64", "lines", "down", _SOURCE, 0, 1, least=0),
        Signal("c4.characters", "int64", "characters", "band", _SOURCE, 0, 190_000, least=0),
    )

    def __init__(self, options: C4) -> None:
        super().__init__(options)
        if options.bad_words is not None:
            self.signals = (*self.signals, _BAD_WORDS)
        if isinstance(options.bad_words, dict):
            self.needs = ("language.label",)

    @property
    def fingerprint(self) -> str:
        """Covers the bytes of the lists, too."""
        lists = self.options.bad_words
        paths = lists.values() if isinstance(lists, dict) else [lists] if lists is not None else []
        for path in paths:
            if not storage.exists(path):
                raise FileNotFoundError(f"{path}: no such list of bad words; give the path of a text with one word a line")
        return fingerprint([super().fingerprint, *map(storage.sha256, paths)])

    def rate(self, texts: SegmentedTexts) -> pa.RecordBatch:
        from tamis.transforms.text.c4 import c4_lines

        counts = c4_lines.judge(texts, self.options).counts.T
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
                *self._bad_words(texts),
            ],
        )

    def _bad_words(self, texts: SegmentedTexts) -> list[pa.Array]:
        """The values of `c4.bad_words`, if it is measured."""
        from tamis.transforms.text.c4 import bad_words
        from tamis.transforms.text.splice import spans

        lists = self.options.bad_words
        if lists is None:
            return []
        strings = spans(texts.data, texts.text_start[:-1], texts.text_start[1:])
        if isinstance(lists, dict):
            return [bad_words.count_by_language(strings, texts["language.label"], lists)]
        return [bad_words.count(strings, bad_words.pattern(lists, None))]
