"""Reads files with the limits and stop words of one language each, as FineWeb-2 publishes them, as blocks of a recipe."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import PurePosixPath
from typing import Any

import yaml

from tamis.transforms import storage
from tamis.transforms.core.errors import nearest

Json = dict[str, Any]

STOP_WORDS = 2
"""How many distinct stop words a document needs in FineWeb-2 (fineweb-2-pipeline.py, step 5)."""

_TOP, _DUPLICATE = (2, 3, 4), (5, 6, 7, 8, 9, 10)
"""The lengths of n-grams that the rater `repetition` measures."""


def read_language_files(patterns: Sequence[str], score: str) -> dict[str, Json]:
    """The blocks of files (names, globs, folders; of any storage) by language, which is the file's name: fra_Latn.yml.

    `score`: the signal with the score of the language. Raises ValueError naming the file and the key
    that is not as FineWeb-2 has it, and OSError.
    """
    blocks: dict[str, Json] = {}
    for entry in storage.expand(list(patterns)):
        language = PurePosixPath(entry.uri).stem
        if language in blocks:
            raise ValueError(f"two files are for {language}: {entry.uri} is the second")
        blocks[language] = _block(entry.uri, _read(entry.uri), score)
    return blocks


def merged(files: Mapping[str, Json], own: Mapping[str, Any], everywhere: Mapping[str, Any]) -> Json:
    """The blocks of files, each with what a recipe's own block of the language sets instead. A limit
    that this one takes away stays as null only if there is one `everywhere`."""
    blocks: Json = dict(files)
    for language, block in own.items():
        file = files.get(language)
        if file is not None and isinstance(block, dict) and isinstance(block.get("thresholds") or {}, dict):
            limits = file["thresholds"] | (block.get("thresholds") or {})
            kept = {name: limit for name, limit in limits.items() if limit is not None or name in everywhere}
            block = {**file, **block, "thresholds": kept}
        blocks[language] = block
    return blocks


def _read(uri: str) -> Json:
    loader = getattr(yaml, "CSafeLoader", yaml.SafeLoader)  # ten times as fast
    try:
        content = yaml.load(storage.read_bytes(uri), loader)
    except yaml.YAMLError as error:
        raise ValueError(f"{uri}: not YAML: {str(error).splitlines()[0]}") from None
    if not isinstance(content, dict) or not content:
        raise ValueError(f"{uri}: should have the keys of FineWeb-2's files, such as {', '.join(sorted(_KEYS)[:3])}")
    return content


def _block(uri: str, content: Json, score: str) -> Json:
    thresholds: dict[str, Json] = {}
    block: Json = {"thresholds": thresholds}
    for key, value in content.items():
        if key not in _KEYS:
            close = nearest(str(key), sorted(_KEYS))
            hint = f"did you mean '{close}'?" if close else f"they are {', '.join(sorted(_KEYS))}"
            raise ValueError(f"{uri}: '{key}' is no key of FineWeb-2's files: {hint}")
        try:
            for signal, limits in _KEYS[key](value).items():
                thresholds.setdefault(signal or score, {}).update(limits)
        except ValueError as error:
            raise ValueError(f"{uri}: {key}: {error}") from None
    if "stopwords" in content:
        block["stop_words"] = content["stopwords"]
    return block


Limits = dict[str, dict[str, float]]
"""Limits by signal; "" for the score of the language."""


def _limit(signal: str, side: str, *, zero_is_none: bool = False) -> Callable[[Any], Limits]:
    """One limit, inclusive as ours and datatrove's are. `zero_is_none`: datatrove takes 0 for no limit."""

    def limits(value: Any) -> Limits:
        number = _number(value)
        return {} if zero_is_none and number == 0 else {signal: {side: number}}

    return limits


def _ngrams(kind: str, lengths: Sequence[int]) -> Callable[[Any], Limits]:
    def limits(value: Any) -> Limits:
        pairs = value if isinstance(value, list) and all(isinstance(pair, list) and len(pair) == 2 for pair in value) else None
        if pairs is None:
            raise ValueError(f"should be pairs of a length and a share, not {value!r}")
        for length, _ in pairs:
            if length not in lengths:
                raise ValueError(f"n-grams of {length!r} words are not measured: {lengths[0]} to {lengths[-1]} are")
        return {f"repetition.{kind}_{length}gram_chars": {"max": _number(share)} for length, share in pairs}

    return limits


def _stop_words(value: Any) -> Limits:
    if not isinstance(value, list) or not all(isinstance(word, str) for word in value):
        raise ValueError("should be a list of words (a word that YAML takes for a number or false needs quotes)")
    return {"gopher.stop_words": {"min": STOP_WORDS}}


def _number(value: Any) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise ValueError(f"should be a number, not {value!r}")
    return value


_KEYS: dict[str, Callable[[Any], Limits]] = {
    "language_score": _limit("", "min"),
    "dup_line_frac": _limit("repetition.duplicate_line_share", "max", zero_is_none=True),
    "top_n_grams": _ngrams("top", _TOP),
    "dup_n_grams": _ngrams("duplicate", _DUPLICATE),
    "line_punct_thr": _limit("fineweb.line_punctuation", "min"),
    "new_line_ratio": _limit("fineweb.newlines_per_word", "max"),
    "min_avg_word_length": _limit("gopher.mean_word_length", "min"),
    "max_avg_word_length": _limit("gopher.mean_word_length", "max", zero_is_none=True),
    "max_non_alpha_words_ratio": _limit("gopher.alphabetic_words", "min"),  # despite its name
    "stopwords": _stop_words,
}
