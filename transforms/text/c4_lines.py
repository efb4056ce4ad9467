"""Measures the line rules of C4 in one pass: kept lines, their sentences, and listed phrases."""

import numpy as np

from tamis.transforms.runtime.kernels import njit
from tamis.transforms.text.characters import DIGIT, LETTER, LOWER, SPACE, WORD, decode
from tamis.transforms.text.hashing import PADDING, load64, trailing_zeros

# mypy: disable-error-code="no-untyped-def"

LINES, KEPT_LINES, CHARS, KEPT_CHARS, SENTENCES, LONGEST_WORD, CURLY, POLICY, JAVASCRIPT, LOREM_IPSUM = range(10)
"""Columns of the result of `measure`; the last three are also the groups of phrases."""

_ONES = np.uint64(0x0101010101010101)
_HIGH = np.uint64(0x8080808080808080)

_EDIT = np.frombuffer(b"[edit]", np.uint8)
_CITATION_NEEDED = np.frombuffer(b"[citation needed]", np.uint8)


@njit(cache=True, nogil=True, inline="always")
def _equal(block, byte):
    """Sets the high bit of each byte that equals `byte`; exact only up to the lowest such byte."""
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
def _previous(data, i):
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
    r"""Bytes of `\[\d*\]|\[edit\]|\[citation needed\]` at the bracket `data[start]`, or 0."""
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
    """Copies `data[start:end]` without citations; returns bytes copied, code points left out."""
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
    """Number of words in `text[:size]`, separated by white space."""
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
    """Whether `point` is a sentence mark, closing quote or bracket: one of `.?!"')]’”`."""
    if point > 0x5D:
        return point == 0x2019 or point == 0x201D
    return point in (0x2E, 0x3F, 0x21, 0x22, 0x27, 0x29, 0x5D)


@njit(cache=True, nogil=True)
def _ends(text, start, end, end_marks):
    """Whether `text[start:end]` ends in an end mark and not in `...`."""
    if start == end:
        return False
    last = decode(text, _previous(text, end))[0]
    dots = end - start >= 3 and text[end - 1] == 0x2E and text[end - 2] == 0x2E and text[end - 3] == 0x2E
    return last < len(end_marks) and end_marks[last] and not dots


@njit(cache=True, nogil=True)
def _ends_in_initial(text, start, end, flags):
    r"""Whether `text[start:end]` ends in a letter with no `\w` before it."""
    if start == end:
        return False
    i = _previous(text, end)
    if not flags[decode(text, i)[0]] & LETTER:
        return False
    return i == start or not flags[decode(text, _previous(text, i))[0]] & WORD


@njit(cache=True, nogil=True)
def _sentences(text, start, end, flags, end_marks):
    """Sentences of the line `text[start:end]` by the rule of `measure`; 0 without an end mark."""
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
def _begins_with(text, i, end, phrases, first, last):
    """Whether `text[i:end]` begins with `phrases[first:last]`, ignoring ASCII case."""
    if i + last - first > end:
        return False
    for k in range(first, last):
        byte = text[i + k - first]
        if phrases[k] != (byte + 0x20 if 0x41 <= byte <= 0x5A else byte):
            return False
    return True


@njit(cache=True, nogil=True)
def _count_phrases(text, start, end, skips, shortest, phrases, phrase_first, group, occurrences):
    """Counts phrases in `text[start:end]` by group (Horspool 1980, by pairs of bytes)."""
    for p in range(len(occurrences)):
        occurrences[p] = 0
    before = min(shortest - 1, 1)  # if a phrase has a single byte, all skips are 0
    i = np.int64(start + shortest - 1)  # the last byte of a window as long as the shortest phrase
    while i < end:
        # Unsigned indexes need no test for negative ones.
        skip = np.int64(skips[text[np.uint64(i - before)] & 31, text[np.uint64(i)] & 31])
        if skip == 0:
            skip = np.int64(1)
            for p in range(len(group)):
                first, last = phrase_first[p], phrase_first[p + 1]
                occurrences[group[p]] += _begins_with(text, i + 1 - shortest, end, phrases, first, last)
        i += skip


@njit(cache=True, nogil=True)
def measure(data, lines, words, flags, end_marks, min_words, max_word_chars, skips, shortest, phrases, phrase_first, group):
    """i64[n, 10], with the columns named above, over the stripped lines that are not blank.

    White space separates words. `end_marks` is a boolean table by code point. Phrase p, of
    `group[p]`, is the lower-case bytes `phrases[phrase_first[p]:phrase_first[p + 1]]`; `skips`
    comes from `phrase_skips`; `shortest` is the length of the shortest phrase in bytes. Other
    lengths are code points.

    A line is measured without its citations, except for CHARS and the length of its words. It is
    kept if it ends in an end mark and not in `...`, has at least `min_words` words, no word longer
    than `max_word_chars`, and no phrase of POLICY or JAVASCRIPT (these columns count lines;
    LOREM_IPSUM counts occurrences). The sentences of a kept line are one more than the sentence
    ends inside it. A sentence end is `.`, `?` or `!`, optionally more of them or closing quotes and
    brackets, then white space, then anything but a lower-case letter. The dot of an initial
    (`J. Doe`) does not count.
    """
    line_first, line_start, line_end, line_chars, line_word_first = lines
    _, word_start, word_end, word_chars = words
    documents = len(line_first) - 1
    counts = np.zeros((documents, 10), np.int64)
    occurrences = np.zeros(10, np.int64)
    bare = np.empty(1024, np.uint8)  # a line without its citations
    for d in range(documents):
        counts[d, CURLY], square = _brackets(data, line_start[line_first[d]], line_end[line_first[d + 1] - 1])
        for k in range(line_first[d], line_first[d + 1]):
            if line_word_first[k] == line_word_first[k + 1]:
                continue
            start = word_start[line_word_first[k]]
            end = word_end[line_word_first[k + 1] - 1]
            chars = line_chars[k] - _length(data, line_start[k], start) - _length(data, end, line_end[k])
            word_count = run = longest = 0  # segmentation also cuts inside white-space words: adjacent ones count as one here
            previous = np.int64(-1)
            for w in range(np.uint64(line_word_first[k]), np.uint64(line_word_first[k + 1])):
                adjacent = word_start[w] == previous
                previous = word_end[w]
                word_count += not adjacent
                run = word_chars[w] + (run if adjacent else 0)
                longest = max(longest, run)
            size = cited = 0
            if square and _brackets(data, start, end)[1]:
                if end - start + PADDING > len(bare):
                    bare = np.empty(2 * (end - start) + PADDING, np.uint8)
                size, cited = _without_citations(data, start, end, flags, bare)
            if cited:
                word_count = _count_words(bare, size, flags)
                _count_phrases(bare, 0, size, skips, shortest, phrases, phrase_first, group, occurrences)
            else:
                _count_phrases(data, start, end, skips, shortest, phrases, phrase_first, group, occurrences)
            counts[d, LINES] += 1
            counts[d, CHARS] += chars
            counts[d, LONGEST_WORD] = max(counts[d, LONGEST_WORD], longest)
            counts[d, POLICY] += occurrences[POLICY] > 0
            counts[d, JAVASCRIPT] += occurrences[JAVASCRIPT] > 0
            counts[d, LOREM_IPSUM] += occurrences[LOREM_IPSUM]
            within_limits = word_count >= min_words and longest <= max_word_chars
            if not within_limits or occurrences[POLICY] or occurrences[JAVASCRIPT]:
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
    """u8[32, 32]: how far a window may move, by the low five bits (no case) of its last two bytes.

    A window is as long as the shortest phrase. 0 means that a phrase may begin with this window;
    otherwise the value is the number of bytes to the next window with which a phrase may begin.
    """
    shortest = min(map(len, phrases))
    skips = np.full((32, 32), min(max(shortest - 1, 0), 255), np.uint8)
    for phrase in phrases:
        for k in range(1, shortest):
            pair = phrase[k - 1] & 31, phrase[k] & 31
            skips[pair] = min(skips[pair], shortest - 1 - k)
    return skips
