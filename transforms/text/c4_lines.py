"""The line rules of C4 in one pass: which lines would be kept, with how many sentences, and what the lines speak of."""

from __future__ import annotations

import numpy as np

from tamis.transforms.runtime.kernels import njit
from tamis.transforms.text.characters import DIGIT, LETTER, LOWER, SPACE, WORD, decode
from tamis.transforms.text.hashing import PADDING, load64, trailing_zeros

# mypy: disable-error-code="no-untyped-def"

LINES, KEPT_LINES, CHARS, KEPT_CHARS, SENTENCES, LONGEST_WORD, CURLY, POLICY, JAVASCRIPT, LOREM_IPSUM = range(10)
"""Columns of what `measure` returns; the last three are also the groups a phrase can belong to."""

_ONES = np.uint64(0x0101010101010101)
_HIGH = np.uint64(0x8080808080808080)

_EDIT = np.frombuffer(b"[edit]", np.uint8)
_CITATION_NEEDED = np.frombuffer(b"[citation needed]", np.uint8)


@njit(cache=True, nogil=True, inline="always")
def _equal(block, byte):
    """The high bit of each of eight bytes that is `byte`, exact up to the lowest."""
    unlike = block ^ _ONES * np.uint64(byte)
    return (unlike - _ONES) & ~unlike & _HIGH


@njit(cache=True, nogil=True, inline="always")
def _length(data, start, end):
    """Code points of `data[start:end]`."""
    length = 0
    for i in range(start, end):
        length += data[i] & 0xC0 != 0x80
    return length


@njit(cache=True, nogil=True, inline="always")
def _back(data, i):
    """Start of the code point before `data[i]`."""
    i -= 1
    while data[i] & 0xC0 == 0x80:
        i -= 1
    return i


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


@njit(cache=True, nogil=True, inline="always")
def _brackets(data, start, end):
    """How many `{` are in `data[start:end]`, and whether a `[` is."""
    curly = 0
    square = False
    for i in range(start, end, 8):
        if _equal(load64(data, i) | _ONES << np.uint64(5), 0x7B):
            for byte in data[i : min(i + 8, end)]:
                curly += byte == 0x7B
                square |= byte == 0x5B
    return curly, square


@njit(cache=True, nogil=True)
def _without_citations(data, start, end, flags, bare):
    """Writes `data[start:end]` without its citations; returns the bytes written and the code points left out."""
    size = cited = 0
    i = start
    while i < end:
        citation = _citation(data, i, end, flags) if data[i] == 0x5B else 0
        if citation:
            cited += _length(data, i, i + citation)
            i += citation
        else:
            bare[size] = data[i]
            size += 1
            i += 1
    return size, cited


@njit(cache=True, nogil=True)
def _count_words(text, size, flags):
    """Stretches of `text[:size]` between white space."""
    words = 0
    i = 0
    inside = False
    while i < size:
        point, width = decode(text, i)
        space = flags[point] & SPACE != 0
        words += not (space or inside)
        inside = not space
        i += width
    return words


@njit(cache=True, nogil=True, inline="always")
def _continues(point):
    """A sentence mark, or a closing quote or bracket: `.`, `?`, `!`, `"`, `'`, `)`, `]`, `’`, `”`."""
    if point > 0x5D:
        return point == 0x2019 or point == 0x201D
    return point in (0x2E, 0x3F, 0x21, 0x22, 0x27, 0x29, 0x5D)


@njit(cache=True, nogil=True)
def _ends(text, start, end, end_marks):
    """Whether `text[start:end]` ends in an end mark and not in `...`."""
    if start == end:
        return False
    last = decode(text, _back(text, end))[0]
    dots = end - start >= 3 and text[end - 1] == 0x2E and text[end - 2] == 0x2E and text[end - 3] == 0x2E
    return last < len(end_marks) and end_marks[last] and not dots


@njit(cache=True, nogil=True)
def _ends_in_initial(text, start, end, flags):
    r"""Whether `text[start:end]` ends in a letter with no `\w` before it."""
    if start == end:
        return False
    i = _back(text, end)
    if not flags[decode(text, i)[0]] & LETTER:
        return False
    return i == start or not flags[decode(text, _back(text, i))[0]] & WORD


@njit(cache=True, nogil=True)
def _sentences(text, start, end, flags, end_marks):
    """Sentences of the line `text[start:end]`, by the rule that `measure` tells; 0 if it does not end as a kept line does."""
    if not _ends(text, start, end, end_marks):
        return 0
    sentences = 1
    i = np.int64(start)
    while i < end:
        block = load64(text, i)
        stop = _equal(block, 0x2E) | _equal(block, 0x3F) | _equal(block, 0x21)
        i += np.int64(trailing_zeros(stop) >> np.uint64(3))
        if not stop or i >= end or (text[i] == 0x2E and _ends_in_initial(text, start, i, flags)):
            i += stop != 0
            continue
        spaced = False
        while i < end:
            point, width = decode(text, i)
            if flags[point] & SPACE:
                spaced = True
            elif spaced:
                sentences += not flags[point] & LOWER
                break
            elif not _continues(point):
                break
            i += width
    return sentences


@njit(cache=True, nogil=True, inline="always")
def _reads(text, i, end, phrases, first, behind):
    """Whether `text[i:end]` begins with `phrases[first:behind]`, which is lower-case; ASCII letters compare without case."""
    if i + behind - first > end:
        return False
    for k in range(first, behind):
        byte = text[i + k - first]
        if phrases[k] != (byte + 0x20 if 0x41 <= byte <= 0x5A else byte):
            return False
    return True


@njit(cache=True, nogil=True)
def _count_phrases(text, start, end, skips, shortest, phrases, phrase_first, group, found):
    """Sets `found[group]` to the occurrences of its phrases in `text[start:end]` (Horspool 1980, by pairs of bytes)."""
    for p in range(len(found)):
        found[p] = 0
    before = min(shortest - 1, 1)  # of a single byte the table knows nothing, whatever is asked
    i = np.int64(start + shortest - 1)  # the last byte of where the shortest phrase could be
    while i < end:
        skip = np.int64(skips[text[np.uint64(i - before)] & 31, text[np.uint64(i)] & 31])  # unsigned: no test for a negative
        if skip == 0:
            skip = np.int64(1)
            for p in range(len(group)):
                found[group[p]] += _reads(text, i + 1 - shortest, end, phrases, phrase_first[p], phrase_first[p + 1])
        i += skip


@njit(cache=True, nogil=True)
def measure(
    data,
    line_first,
    line_start,
    line_end,
    line_chars,
    line_word_first,
    word_start,
    word_end,
    word_chars,
    flags,
    end_marks,
    min_words,
    max_word_chars,
    skips,
    shortest,
    phrases,
    phrase_first,
    group,
):
    """i64[n, 10], columns as named above, over the stripped lines that are not blank; words are cut at white space.

    `end_marks` is a boolean table by code point. Phrase p is `phrases[phrase_first[p]:phrase_first[p + 1]]`, lower-case
    bytes, of `group[p]`; `skips` are `phrase_skips` of them, `shortest` their least length. Lengths are code points. A line
    is measured without its citations, except for CHARS and the length of its words. It is kept when it ends in an end mark
    and not in `...`, has at least `min_words` words, none longer than `max_word_chars`, and no phrase of POLICY or JAVASCRIPT
    (whose columns count lines; LOREM_IPSUM counts occurrences). A kept line has one sentence more than sentence ends
    inside: `.`, `?` or `!` with any more of them or closing quotes and brackets, then white space, then anything but a
    lower-case letter; the dot of an initial (`J. Doe`) ends none.
    """
    documents = len(line_first) - 1
    counts = np.zeros((documents, 10), np.int64)
    found = np.zeros(10, np.int64)
    bare = np.empty(1024, np.uint8)  # a line with citations, without them
    for d in range(documents):
        counts[d, CURLY], square = _brackets(data, line_start[line_first[d]], line_end[line_first[d + 1] - 1])
        for k in range(line_first[d], line_first[d + 1]):
            if line_word_first[k] == line_word_first[k + 1]:
                continue
            start = word_start[line_word_first[k]]
            end = word_end[line_word_first[k + 1] - 1]
            chars = line_chars[k] - _length(data, line_start[k], start) - _length(data, end, line_end[k])
            words = run = longest = 0  # segmentation may cut what white space does not: adjacent words are one here
            previous = np.int64(-1)
            for w in range(np.uint64(line_word_first[k]), np.uint64(line_word_first[k + 1])):
                adjacent = word_start[w] == previous
                previous = word_end[w]
                words += not adjacent
                run = word_chars[w] + (run if adjacent else 0)
                longest = max(longest, run)
            size = cited = 0
            if square and _brackets(data, start, end)[1]:
                if end - start + PADDING > len(bare):
                    bare = np.empty(2 * (end - start) + PADDING, np.uint8)
                size, cited = _without_citations(data, start, end, flags, bare)
            if cited:
                words = _count_words(bare, size, flags)
                _count_phrases(bare, 0, size, skips, shortest, phrases, phrase_first, group, found)
            else:
                _count_phrases(data, start, end, skips, shortest, phrases, phrase_first, group, found)
            counts[d, LINES] += 1
            counts[d, CHARS] += chars
            counts[d, LONGEST_WORD] = max(counts[d, LONGEST_WORD], longest)
            counts[d, POLICY] += found[POLICY] > 0
            counts[d, JAVASCRIPT] += found[JAVASCRIPT] > 0
            counts[d, LOREM_IPSUM] += found[LOREM_IPSUM]
            fits = words >= min_words and longest <= max_word_chars
            if not fits or found[POLICY] or found[JAVASCRIPT]:
                continue
            if cited:
                sentences = _sentences(bare, 0, size, flags, end_marks)
            else:
                sentences = _sentences(data, start, end, flags, end_marks)
            if sentences:
                counts[d, KEPT_LINES] += 1
                counts[d, KEPT_CHARS] += chars - cited
                counts[d, SENTENCES] += sentences
    return counts


def phrase_skips(phrases: list[bytes]) -> np.ndarray:
    """u8[32, 32]: by the last five bits of two bytes, which know no case, how far any phrase's first bytes can still be.

    The two bytes are the last of a stretch as long as the shortest phrase: 0 where a phrase could begin with the stretch,
    else how many bytes on the first such stretch could begin.
    """
    shortest = min(map(len, phrases))
    skips = np.full((32, 32), min(max(shortest - 1, 0), 255), np.uint8)
    for phrase in phrases:
        for k in range(1, shortest):
            pair = phrase[k - 1] & 31, phrase[k] & 31
            skips[pair] = min(skips[pair], shortest - 1 - k)
    return skips
