"""Reads lists of words and phrases: files with one a line, and those that installed packages carry."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from functools import cache
from importlib.util import find_spec
from pathlib import Path
from typing import Final

from tamis.transforms import storage

PACKAGE: Final = "package:"
"""What a path begins with that names a package."""

ALL: Final = "*"
"""The language of a list that holds for all documents without one of their own."""

_PACKAGES: Final = {
    "stopwordsiso": ("stopwordsiso", "stopwords-iso.json"),
    "better-profanity": ("better_profanity", "profanity_wordlist.txt"),
}
"""Packages with lists: their module, and the file in it."""


def lists_of(paths: str | Mapping[str, str]) -> dict[str, tuple[str, ...]]:
    """The words of each language, sorted, in lower case; a single file is for `ALL`. A package may have
    lists of many languages, of which a language that names it takes its own.

    Raises FileNotFoundError for a missing file or package, ValueError for a file that is not UTF-8 or
    lists nothing.
    """
    if isinstance(paths, str):
        return {language: _entries(words, paths) for language, words in _read(paths).items()}
    lists = {}
    for language, path in paths.items():
        read = _read(path)
        if language not in read and ALL not in read:
            raise ValueError(f"{path} has no list for '{language}'; it has {', '.join(sorted(read))}")
        lists[language] = _entries(read.get(language, read.get(ALL, ())), path)
    return lists


def digests(paths: str | Mapping[str, str]) -> list[str]:
    """SHA-256 of each file. Raises FileNotFoundError."""
    names = [paths] if isinstance(paths, str) else list(paths.values())
    return [
        hashlib.sha256(Path(_package_file(name)).read_bytes()).hexdigest() if _of_package(name) else _sha256(name)
        for name in names
    ]


def _sha256(path: str) -> str:
    if not storage.exists(path):
        raise FileNotFoundError(f"{path}: no such list of words; give the path of a text with one word or phrase a line")
    return storage.sha256(path)


def _of_package(path: str) -> bool:
    return path.startswith(PACKAGE)


def _package_file(path: str) -> str:
    """The file of a package. It is not imported. Raises FileNotFoundError if it is not installed."""
    name = path.removeprefix(PACKAGE)
    if name not in _PACKAGES:
        raise ValueError(
            f"{path}: lists are known of the packages {', '.join(sorted(_PACKAGES))}; for others, give the path of a file"
        )
    module, file = _PACKAGES[name]
    spec = find_spec(module)
    if spec is None or spec.origin is None:
        raise FileNotFoundError(f"{path}: pip install {name}")
    return str(Path(spec.origin).with_name(file))


@cache
def _read(path: str) -> dict[str, tuple[str, ...]]:
    """The lines of the lists in a file, by language."""
    try:
        with storage.open_decompressed(_package_file(path) if _of_package(path) else path) as file:
            text = file.read().decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise ValueError(f"{path}: not UTF-8 ({error}): give a text with one word or phrase a line") from None
    if _of_package(path) and text.startswith("{"):
        return {language: tuple(words) for language, words in json.loads(text).items()}
    return {"en" if _of_package(path) else ALL: tuple(text.split("\n"))}


def _entries(lines: tuple[str, ...], path: str) -> tuple[str, ...]:
    entries = sorted({" ".join(lower(line).split()) for line in lines} - {""})
    if not entries:
        raise ValueError(f"{path}: it lists no word; give a text with one word or phrase a line")
    return tuple(entries)


def lower(text: str) -> str:
    """A text in lower case, character by character: one whose small form is longer stays as it is."""
    return "".join(small if len(small := character.lower()) == 1 else character for character in text)
