"""What a word is: declared once for a run, and read by every heuristic, shingle and benchmark match."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from tamis.transforms.core.options import Options
from tamis.transforms.text import SEGMENTATION


class Words(Options):
    """How text is cut into words. Documents, copies and benchmark items are cut alike.

    Scripts without spaces are Han, kana, Thai, Lao, Khmer, Burmese and their relatives (not Hangul, not Tibetan). A word of
    theirs borders on every other character: `iPhone手机` is not one word, unless by `clause`.
    """

    definition: Literal["punctuation", "whitespace"] = Field(
        "punctuation",
        description="punctuation: marks are words of their own, nearly as in spaCy, with which the published thresholds were "
        "tuned (datatrove); whitespace: whatever stands between white space, as in Gopher's text (Rae et al. 2021, arXiv "
        "2112.11446, appendix A) and in Dolma",
    )
    unspaced: Literal["character", "clause", "icu"] = Field(
        "character",
        description="in scripts without spaces a word is: character: each letter with its marks, so that word n-grams are "
        "character n-grams; clause: all up to the next mark or space; icu: a word of ICU's dictionaries (Chinese, Japanese, "
        "Thai, Lao, Khmer, Burmese), nearest to the words that thresholds are set for; takes the package extra `icu`, and "
        "cuts such scripts at a tenth of the speed",
    )

    @property
    def identity(self) -> dict[str, object]:
        """All that can change where words begin and end. Raises ImportError as `icu_version` does, where ICU is asked for."""
        return {"segmentation": SEGMENTATION, "icu": icu_version() if self.unspaced == "icu" else None, **self.model_dump()}


DEFAULT = Words()


def icu_version() -> str:
    """Of the ICU that cuts words. Raises ImportError, naming the extra, if there is none."""
    try:
        import icu4py
    except ImportError as error:
        raise ImportError("words.unspaced: icu takes the package icu4py: install tamis[icu]") from error
    return str(icu4py.icu_version)
