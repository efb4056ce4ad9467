"""The options that define a word, for all heuristics, shingles and benchmark matches of a run."""

from typing import Literal

from pydantic import Field

from tamis.transforms.core.errors import missing_package
from tamis.transforms.core.options import Options
from tamis.transforms.text import SEGMENTATION

Definition = Literal["punctuation", "whitespace"]
Unspaced = Literal["character", "clause", "icu"]


class Words(Options):
    """How text is cut into words, in documents and in benchmark items.

    Scripts without spaces are Han, kana, Thai, Lao, Khmer, Burmese and their relatives (not Hangul,
    not Tibetan). A word in such a script has no characters of other scripts, so `iPhone手机` is one
    word only with `clause`.
    """

    definition: Definition = Field(
        "punctuation",
        description="punctuation: each punctuation mark is a word, almost as in spaCy, which datatrove uses (the rules of "
        "`gopher` and `repetition` leave marks out, unless their `marks` is set); whitespace: words are separated by white "
        "space only, as in DCLM and Dolma",
    )
    unspaced: Unspaced = Field(
        "character",
        description="words in scripts without spaces; character: each letter with its marks, so word n-grams are character "
        "n-grams; clause: everything up to the next punctuation mark or space; icu: words of ICU's dictionaries (Chinese, "
        "Japanese, Thai, Lao, Khmer, Burmese), closest to the words that thresholds are made for, but a tenth as fast in such "
        "scripts; needs the package extra `icu`",
    )

    @property
    def identity(self) -> dict[str, object]:
        """Everything that determines the words. Raises ImportError if ICU is needed and missing."""
        return {"segmentation": SEGMENTATION, "icu": icu_version() if self.unspaced == "icu" else None, **self.model_dump()}


class OtherWords(Options):
    """What differs from `words` for some documents."""

    definition: Definition | None = Field(None, description="instead of `words.definition`")
    unspaced: Unspaced | None = Field(None, description="instead of `words.unspaced`")

    def applied_to(self, words: Words) -> Words:
        """`words` with what differs."""
        return words.model_copy(update=self.model_dump(exclude_none=True))


DEFAULT_WORDS = Words()


def icu_version() -> str:
    """Version of the installed ICU. Raises ImportError, if it is not installed."""
    try:
        import icu4py
    except ImportError as error:
        raise ImportError(missing_package("words.unspaced: icu", "icu4py")) from error
    return str(icu4py.icu_version)
