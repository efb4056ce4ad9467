"""Finds words of lists in addresses, as RefinedWeb scores them (Penedo et al. 2023, appendix G.1)."""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import cache
from typing import Final

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from tamis.transforms import storage
from tamis.transforms.core.arrays import Ints
from tamis.transforms.runtime.kernels import njit
from tamis.transforms.text.canonical_urls import CanonicalUrls
from tamis.transforms.text.hashing import text_buffer

# mypy: disable-error-code="no-untyped-def"

SEVERITIES: Final = ("strict", "hard", "soft")
"""How words are looked for: anywhere in an address without its marks; as a whole word; as a whole
word, of which one alone means little."""


@dataclass(frozen=True)
class UrlWords:
    """w words of three lists, by severity."""

    words: tuple[str, ...]
    severity: npt.NDArray[np.uint8]
    """[w]: position in `SEVERITIES`."""

    def found(self, urls: CanonicalUrls) -> tuple[Ints, Ints]:
        """(address, word) of each word in an address, once for each, by address."""
        data, start = text_buffer(pa.array(self.words, pa.large_string()))
        longest = int((urls.end - urls.host_start).max(initial=0))
        first, order = _by_first_byte(self.words)
        return _found(urls.data, urls.host_start, urls.end, data, start, self.severity, first, order, longest)


@cache
def read_words(strict: str | None, hard: str | None, soft: str | None) -> UrlWords:
    """The words of files with one word a line; lines that begin with `#` are comments. As in
    datatrove, letters are made small and other characters than ASCII letters and digits are left
    out. Raises ValueError naming a file without words, or a line of which nothing is left."""
    words: list[str] = []
    severities: list[int] = []
    for severity, path in enumerate((strict, hard, soft)):
        if path is None:
            continue
        own = sorted(set(_words_of(path)))
        words += own
        severities += [severity] * len(own)
    return UrlWords(tuple(words), np.array(severities, np.uint8))


def _words_of(path: str) -> list[str]:
    try:
        with storage.open_decompressed(path) as file:
            lines = file.read().decode("utf-8-sig").split("\n")
    except UnicodeDecodeError as error:
        raise ValueError(f"{path}: not UTF-8 ({error}): give a text with one word a line") from None
    words = []
    for number, line in enumerate(lines):
        if not line.strip() or line.startswith("#"):
            continue
        word = re.sub("[^a-z0-9]+", "", line.lower())
        if not word:
            raise ValueError(
                f"{path}:{number + 1}: '{line.strip()[:40]}' has no ASCII letter or digit, and addresses have no other"
            )
        words.append(word)
    if not words:
        raise ValueError(f"{path}: it lists no word; write one a line")
    return words


def _by_first_byte(words: tuple[str, ...]) -> tuple[Ints, Ints]:
    """Words in the order of their first byte, and where those with each byte begin."""
    heads = np.array([word.encode()[0] for word in words], np.int64)
    order = np.argsort(heads, kind="stable")
    return np.searchsorted(heads[order], np.arange(257)), order


@njit(cache=True, nogil=True)
def _found(data, starts, ends, words, word_start, severity, first, order, longest):
    address = np.empty(64, np.int64)
    word = np.empty(64, np.int64)
    count = 0
    squeezed = np.empty(longest + 1, np.uint8)
    begins = np.empty(longest + 1, np.bool_)  # whether a word begins at this byte, or at the end
    for k in range(len(starts)):
        size = 0
        inside = False
        for i in range(starts[k], ends[k]):
            byte = data[i]
            if 0x41 <= byte <= 0x5A:
                byte += 0x20
            if 0x61 <= byte <= 0x7A or 0x30 <= byte <= 0x39:
                squeezed[size] = byte
                begins[size] = not inside
                size += 1
                inside = True
            else:
                inside = False
        begins[size] = True
        mine = count
        for i in range(size):
            for o in range(first[squeezed[i]], first[squeezed[i] + 1]):
                w = order[o]
                length = word_start[w + 1] - word_start[w]
                if i + length > size:
                    continue
                if severity[w] > 0 and not (begins[i] and begins[i + length]):
                    continue
                j = np.int64(1)
                while j < length and squeezed[i + j] == words[word_start[w] + j]:
                    if severity[w] > 0 and begins[i + j]:
                        break
                    j += 1
                if j < length:
                    continue
                known = False
                for m in range(mine, count):
                    known |= word[m] == w
                if known:
                    continue
                if count == len(word):
                    address = np.concatenate((address, np.empty_like(address)))
                    word = np.concatenate((word, np.empty_like(word)))
                address[count], word[count] = k, w
                count += 1
    return address[:count], word[:count]
