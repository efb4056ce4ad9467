"""The line rules of C4 in one pass: which lines would be kept, with how many sentences, and what the lines speak of."""

from __future__ import annotations

import numpy as np
from numba import njit

from transforms.text.characters import DIGIT, LETTER, LOWER, WORD, decode
from transforms.text.segment import SYMBOL

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
def _ends_a_line(text, start, end, end_marks):
    """Whether `text[start:end]` ends in an end mark and not in `...`."""
    if start == end:
        return False
    last = decode(text, _back(text, end))[0]
    dots = end - start >= 3 and text[end - 1] == 0x2E and text[end - 2] == 0x2E and text[end - 3] == 0x2E
    return last < len(end_marks) and end_marks[last] and not dots


@njit(cache=True, nogil=True)
def _count_phrases(text, start, end, skips, shortest, phrases, phrase_first, group, found):
    """Sets `found[group]` to the occurrences of its phrases in `text[start:end]` (Horspool 1980, by pairs of bytes)."""
    found[:] = 0
    i = start + shortest - 2  # the last pair of where the shortest phrase could be
    while i + 2 <= end:
        skip = np.int64(skips[text[i] & 31, text[i + 1] & 31])
        if skip == 0:
            skip = 1
            for p in range(len(group)):
                found[group[p]] += _reads(text, i + 2 - shortest, end, phrases, phrase_first[p], phrase_first[p + 1])
        i += skip


@njit(cache=True, nogil=True, inline="always")
def _reads(text, i, end, phrases, first, behind):
    if i + behind - first > end:
        return False
    for k in range(first, behind):
        byte = text[i + k - first]
        if phrases[k] != (byte + 0x20 if 0x41 <= byte <= 0x5A else byte):
            return False
    return True


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
    word_kind,
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
    scratch = np.empty(1024, np.uint8)  # what is read of a line with citations
    for d in range(documents):
        for k in range(line_first[d], line_first[d + 1]):
            first = line_word_first[k]
            behind = line_word_first[k + 1]
            if first == behind:
                continue
            start = word_start[first]
            end = word_end[behind - 1]
            if end - start > len(scratch):
                scratch = np.empty(2 * (end - start), np.uint8)
            rest = start  # what lies before is in scratch or a citation
            size = cited = 0
            words = run = longest = curly = 0
            sentences = 1
            previous = start
            gap = True  # white space before the word
            ended = False  # a sentence mark was read, and since then only marks, quotes and brackets
            for w in range(first, behind):
                i = word_start[w]
                adjacent = i == previous
                previous = word_end[w]
                run = word_chars[w] + (run if adjacent else 0)
                longest = max(longest, run)
                if i < rest:
                    continue
                gap |= not adjacent
                symbol = word_kind[w] & SYMBOL != 0
                if symbol and data[i] == 0x5B:
                    citation = _citation(data, i, end, flags)
                    if citation:
                        scratch[size : size + i - rest] = data[rest:i]
                        size += i - rest
                        rest = i + citation
                        cited += _length(data, i, rest)
                        continue
                words += gap
                if gap & ended:
                    sentences += not flags[decode(data, i)[0]] & LOWER
                    ended = False
                gap = False
                if symbol:
                    point = decode(data, i)[0]
                    curly += point == 0x7B
                    if point == 0x3F or point == 0x21:
                        ended = True
                    elif point == 0x2E:
                        if word_chars[w] > 1:
                            ended = True
                        elif cited:
                            scratch[size : size + i - rest] = data[rest:i]
                            size += i - rest
                            rest = i
                            ended = not _ends_in_initial(scratch, 0, size, flags)
                        else:
                            ended = not _ends_in_initial(data, start, i, flags)
                    elif not (_closes(point) and word_chars[w] == 1):
                        ended = False
                else:
                    ended = False
            if cited:
                scratch[size : size + end - rest] = data[rest:end]
                size += end - rest
                _count_phrases(scratch, 0, size, skips, shortest, phrases, phrase_first, group, found)
                ends = _ends_a_line(scratch, 0, size, end_marks)
            else:
                _count_phrases(data, start, end, skips, shortest, phrases, phrase_first, group, found)
                ends = _ends_a_line(data, start, end, end_marks)
            chars = line_chars[k] - _length(data, line_start[k], start) - _length(data, end, line_end[k])
            counts[d, LINES] += 1
            counts[d, CHARS] += chars
            counts[d, LONGEST_WORD] = max(counts[d, LONGEST_WORD], longest)
            counts[d, CURLY] += curly
            counts[d, POLICY] += found[POLICY] > 0
            counts[d, JAVASCRIPT] += found[JAVASCRIPT] > 0
            counts[d, LOREM_IPSUM] += found[LOREM_IPSUM]
            if ends and words >= min_words and longest <= max_word_chars and not found[POLICY] and not found[JAVASCRIPT]:
                counts[d, KEPT_LINES] += 1
                counts[d, KEPT_CHARS] += chars - cited
                counts[d, SENTENCES] += sentences
    return counts


@njit(cache=True, nogil=True, inline="always")
def _closes(point):
    """A closing quote or bracket: `"`, `'`, `)`, `]`, `’`, `”`."""
    return point == 0x22 or point == 0x27 or point == 0x29 or point == 0x5D or point == 0x2019 or point == 0x201D


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
