"""Counts listed words in texts as TFDS does for C4 (`get_badwords_filter_fn` in text/c4_utils.py, version 4.9.10)."""

import re
from collections.abc import Mapping
from functools import cache

import pyarrow as pa
import pyarrow.compute as pc

from tamis.transforms import storage

_UNSPACED = ("ja", "th", "zh")
"""Languages in whose texts no boundary of a word is looked for."""


@cache
def pattern(path: str, language: str | None) -> str:
    """The expression for a list with one word a line, in the syntax of RE2, for texts in lower case
    behind a line break.

    A word stands between characters that are no letter, digit or underscore. Raises ValueError if
    the file is no UTF-8 or lists nothing.
    """
    try:
        lines = storage.read_bytes(path).decode("utf-8-sig").split("\n")
    except UnicodeDecodeError as error:
        raise ValueError(f"{path}: not UTF-8 ({error}): give a text with one word a line") from None
    words = sorted({line.strip() for line in lines} - {""})
    if not words:
        raise ValueError(f"{path}: it lists no word: give a text with one word a line")
    either = "|".join(map(re.escape, words))
    return either if language in _UNSPACED else rf"[^\p{{L}}\p{{N}}_](?:{either})(?:[^\p{{L}}\p{{N}}_]|$)"


def count(texts: pa.Array, expression: str) -> pa.Array:
    """int64[n]: matches of the expression in each text in lower case; they do not overlap."""
    # Arrow goes on behind a match as if a text began there, so `^` would match in its midst.
    lines = pc.binary_join_element_wise(pa.scalar("\n", texts.type), pc.utf8_lower(texts), pa.scalar("", texts.type))
    return pc.count_substring_regex(lines, expression).cast(pa.int64())


def count_by_language(texts: pa.Array, labels: pa.Array, paths: Mapping[str, str]) -> pa.Array:
    """int64[n]: as `count`, with the list of the text's language; 0 if there is none."""
    counts = pa.repeat(pa.scalar(0, pa.int64()), len(texts))
    for language, path in paths.items():
        found = pc.equal(labels, language).fill_null(False)
        counts = pc.replace_with_mask(counts, found, count(texts.filter(found), pattern(path, language)))
    return counts
