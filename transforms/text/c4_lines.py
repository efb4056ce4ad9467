"""The line rules of C4 in one pass: which lines would be kept, with how many sentences, and what the lines speak of."""

from __future__ import annotations

import numpy as np

from transforms.kernels import njit
from transforms.text.characters import DIGIT, LETTER, LOWER, SPACE, WORD, decode

# mypy: disable-error-code="no-untyped-def"

LINES, KEPT_LINES, CHARS, KEPT_CHARS, SENTENCES, LONGEST_WORD, CURLY, POLICY, JAVASCRIPT, LOREM_IPSUM = range(10)
"""Columns of what `measure` returns; the last three are also the groups a phrase can belong to."""

_EDIT = np.frombuffer(b"[edit]", np.uint8)
_CITATION_NEEDED = np.frombuffer(b"[citation needed]", np.uint8)


@njit(cache=True, nogil=True, inline="always")
def _matches(data, i, end, pattern):
    if i + len(pattern) > end:
        return False
    for k in range(len(pattern)):  # noqa: SIM110 (numba knows no all())
        if data[i + k] != pattern[k]:
            return False
    return True


@njit(cache=True, nogil=True)
def _citation(data, start, end, flags):
    r"""Bytes of the match of `\[\d*\]|\[edit\]|\[citation needed\]` at the bracket `data[start]`, or 0."""
    i = start + 1
    while i < end:
        point, size = decode(data, i)
        if point == 0x5D:
            return i + 1 - start
        if not flags[point] & DIGIT:
            break
        i += size
    if _matches(data, start, end, _EDIT):
        return len(_EDIT)
    if _matches(data, start, end, _CITATION_NEEDED):
        return len(_CITATION_NEEDED)
    return 0


@njit(cache=True, nogil=True)
def _count_phrases(text, size, masks, phrases, phrase_first, group, found):
    """Adds to `found[group]` the occurrences of each phrase in `text[:size]`; `text` has two zero bytes behind it."""
    for i in range(size):
        # Bit p stays set when the next three bytes can begin phrase p, which is rare: only then the phrase is compared.
        candidates = masks[0, text[i]] & masks[1, text[i + 1]] & masks[2, text[i + 2]]
        if candidates:
            for p in range(len(group)):
                if candidates >> np.uint64(p) & np.uint64(1) and _matches(
                    text, i, size, phrases[phrase_first[p] : phrase_first[p + 1]]
                ):
                    found[group[p]] += 1


@njit(cache=True, nogil=True)
def measure(
    data,
    line_first,
    line_word_first,
    word_start,
    word_end,
    flags,
    end_marks,
    min_words,
    max_word_chars,
    masks,
    phrases,
    phrase_first,
    group,
):
    """i64[n, 10], columns as named above, over the stripped lines that are not blank; words are cut at white space.

    `end_marks` is a boolean table by code point. Phrase p is `phrases[phrase_first[p]:phrase_first[p + 1]]`, lower-case
    bytes, of `group[p]`; `masks` are `phrase_masks` of them. Lengths are code points. A line is measured without its
    citations, except for CHARS and the length of its words. It is kept when it ends in an end mark and not in `...`,
    has at least `min_words` words, none longer than `max_word_chars`, and no phrase of POLICY or JAVASCRIPT (whose
    columns count lines; LOREM_IPSUM counts occurrences). A kept line has one sentence more than sentence ends inside:
    `.`, `?` or `!` with any more of them or closing quotes and brackets, then white space, then anything but a
    lower-case letter; the dot of an initial (`J. Doe`) ends none.
    """
    documents = len(line_first) - 1
    counts = np.zeros((documents, 10), np.int64)
    found = np.zeros(10, np.int64)
    scratch = np.zeros(1024, np.uint8)
    for d in range(documents):
        for k in range(line_first[d], line_first[d + 1]):
            if line_word_first[k] == line_word_first[k + 1]:
                continue
            i = word_start[line_word_first[k]]
            end = word_end[line_word_first[k + 1] - 1]
            if end - i + 2 > len(scratch):
                scratch = np.zeros(2 * (end - i) + 2, np.uint8)
            citation_end = i
            size = chars = kept_chars = words = word_chars = longest = 0
            in_word = False
            run = 0  # characters of \w directly before this one
            last = 0
            ended = False  # a sentence mark was read, and since then only marks, quotes and brackets
            gap = False  # ... and then white space
            sentences = 1
            while i < end:
                point, width = decode(data, i)
                flag = flags[point]
                space = flag & SPACE != 0
                chars += 1
                word_chars = 0 if space else word_chars + 1
                longest = max(longest, word_chars)
                if point == 0x5B and i >= citation_end:
                    citation_end = i + _citation(data, i, end, flags)
                if i < citation_end:
                    i += width
                    continue
                for _ in range(width):
                    byte = data[i]
                    scratch[size] = byte + 0x20 if 0x41 <= byte <= 0x5A else byte
                    size += 1
                    i += 1
                kept_chars += 1
                counts[d, CURLY] += point == 0x7B
                if space:
                    in_word = False
                    gap = gap or ended
                    ended = False
                else:
                    words += not in_word
                    in_word = True
                    sentences += gap and not flag & LOWER
                    gap = False
                    if point == 0x3F or point == 0x21 or (point == 0x2E and not (run == 1 and flags[last] & LETTER)):
                        ended = True
                    elif not _closes(point):
                        ended = False
                run = run + 1 if flag & WORD else 0
                last = point
            scratch[size] = scratch[size + 1] = 0
            found[:] = 0
            _count_phrases(scratch, size, masks, phrases, phrase_first, group, found)
            dots = size >= 3 and scratch[size - 1] == 0x2E and scratch[size - 2] == 0x2E and scratch[size - 3] == 0x2E
            counts[d, LINES] += 1
            counts[d, CHARS] += chars
            counts[d, LONGEST_WORD] = max(counts[d, LONGEST_WORD], longest)
            counts[d, POLICY] += found[POLICY] > 0
            counts[d, JAVASCRIPT] += found[JAVASCRIPT] > 0
            counts[d, LOREM_IPSUM] += found[LOREM_IPSUM]
            if (
                size
                and last < len(end_marks)
                and end_marks[last]
                and not dots
                and words >= min_words
                and longest <= max_word_chars
                and not found[POLICY]
                and not found[JAVASCRIPT]
            ):
                counts[d, KEPT_LINES] += 1
                counts[d, KEPT_CHARS] += kept_chars
                counts[d, SENTENCES] += sentences
    return counts


@njit(cache=True, nogil=True, inline="always")
def _closes(point):
    """A closing quote or bracket: `"`, `'`, `)`, `]`, `’`, `”`."""
    return point == 0x22 or point == 0x27 or point == 0x29 or point == 0x5D or point == 0x2019 or point == 0x201D


def phrase_masks(phrases: list[bytes]) -> np.ndarray:
    """u64[3, 256]: bit p of `masks[k, b]` is set if byte k of phrase p is b, or it is shorter; at most 64 phrases."""
    masks = np.zeros((3, 256), np.uint64)
    for p, phrase in enumerate(phrases):
        for k in range(3):
            masks[k, phrase[k] if k < len(phrase) else slice(None)] |= np.uint64(1 << p)
    return masks
