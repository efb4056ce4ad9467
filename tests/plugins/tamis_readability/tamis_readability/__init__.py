"""The automated readability index as a rater for Tamis, and an editor of texts that shout."""

from __future__ import annotations

import itertools
import re
from typing import TYPE_CHECKING

from pydantic import Field

from tamis import Editor, Edits, Options, Rater, Signal, signal_batch

if TYPE_CHECKING:
    import pyarrow as pa

    from tamis import SegmentedTexts, Texts


class Readability(Options):
    """Options of the section `rate.readability`."""

    min_words: int = Field(10, ge=1, description="Shorter texts get no value.")


class ReadabilityRater(Rater[Readability]):
    """Measures the school grade in the US that a reader needs, from the lengths of words and
    sentences. Abstains for short texts and for languages other than English."""

    name = "readability"
    needs = ("language.label",)  # so the recipe must have `language`, which runs before
    signals = (
        Signal("readability.grade", "float64", "school grade", "band", "Senter & Smith 1967, AMRL-TR-6620", 5, 14),
        Signal("readability.sentences", "int64", "sentences", "none", "marks . ? ! in the text"),
    )

    def rate(self, texts: SegmentedTexts) -> pa.RecordBatch:
        import numpy as np

        marks = np.isin(texts.data[: texts.text_start[-1]], np.frombuffer(b".?!", np.uint8))
        sentences = np.diff(np.append(0, np.cumsum(marks))[texts.text_start])
        words = np.diff(texts.word_first)
        english = texts["language.label"].to_numpy(zero_copy_only=False) == "en"
        grade = 4.71 * texts.text_chars / np.maximum(words, 1) + 0.5 * words / np.maximum(sentences, 1) - 21.43
        grade[~english | (words < self.options.min_words)] = np.nan  # NaN becomes null
        return signal_batch(self.signals, [grade, sentences])


class Capitals(Options):
    """Options of `capitals` in the section `edit`."""

    longest: int = Field(3, ge=1, description="So many capitals in a row stay.")


class CapitalsEditor(Editor[Capitals]):
    """Removes capitals from the end of longer runs of ASCII capitals."""

    name = "capitals"
    reasons = ("shouting",)

    def edit(self, texts: Texts) -> Edits:
        import numpy as np

        rows: list[tuple[int, int, int]] = []
        for row, (first, last) in enumerate(itertools.pairwise(texts.text_start.tolist())):
            for match in re.finditer(rb"[A-Z]+", texts.data[first:last].tobytes()):
                if match.end() - match.start() > self.options.longest:
                    rows.append((row, first + match.start() + self.options.longest, first + match.end()))
        document, start, stop = np.array(rows, np.int64).reshape(-1, 3).T
        return Edits(document, start, stop, np.zeros(len(rows), np.int64))
