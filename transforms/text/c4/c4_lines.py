"""Judges every line of texts by the rules of C4 in one pass, and counts sentences and listed phrases."""

from functools import cache
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from tamis.transforms.runtime.kernels import njit
from tamis.transforms.text.blocks import SIZE, masks, ones
from tamis.transforms.text.c4.c4_options import LineRules
from tamis.transforms.text.characters import DIGIT, LETTER, LOWER, SPACE, WORD, characters, decode, membership, previous, strip
from tamis.transforms.text.hashing import PADDING, load64, text_buffer, trailing_zeros
from tamis.transforms.text.segment import Texts

# mypy: disable-error-code="no-untyped-def"

Ints = npt.NDArray[np.int64]

COLUMNS = 12
(
    LINES,
    KEPT_LINES,
    CHARS,
    KEPT_CHARS,
    SENTENCES,
    LONGEST_WORD,
    CURLY,
    POLICY,
    JAVASCRIPT,
    LOREM_IPSUM,
    CURLY_LINES,
    LOREM_IPSUM_LINES,
) = range(COLUMNS)
"""Columns of `Judged.counts`; POLICY, JAVASCRIPT and LOREM_IPSUM are also the groups of phrases."""

REASONS = ("long_word", "end_mark", "few_words", "javascript", "policy", "citation", "space")
"""Why C4 removes characters, in the order of its rules."""
HAS_LONG_WORD, NO_END_MARK, FEW_WORDS, HAS_JAVASCRIPT, HAS_POLICY, CITED, BLANK, KEPT = range(8)
"""Verdicts about lines: positions in `REASONS`, or KEPT. No line is CITED: that is for citations."""


class _Rules(NamedTuple):
    """The options of a judgement as tables."""

    flags: npt.NDArray[np.uint16]
    """The flags of `characters`, by code point."""
    end_marks: npt.NDArray[np.bool_]
    """By code point; it may end before any."""
    any_end: bool
    """Whether a line may end in anything."""
    min_words: int
    max_word_chars: int
    skips: npt.NDArray[np.uint8]
    """As `_phrase_skips` returns them."""
    shortest: int
    """Bytes of the shortest phrase."""
    phrases: npt.NDArray[np.uint8]
    """Phrase p, in lower case, is `phrases[phrase_first[p]:phrase_first[p + 1]]`."""
    phrase_first: Ints
    group: Ints
    """The group of each phrase."""


class Judged(NamedTuple):
    """The lines of n documents, cut as Python's `str.splitlines` does, and what the rules say of them."""

    counts: Ints
    """[n, COLUMNS]"""
    line_first: Ints
    """[n + 1]: lines of document d are `line_first[d]` up to `line_first[d + 1]`."""
    line_start: Ints
    """[lines]: a line, with its line break, ends where the next one or the next document starts."""
    start: Ints
    end: Ints
    """[lines]: the line without white space around it."""
    verdict: npt.NDArray[np.uint8]
    cited: npt.NDArray[np.int32]
    """[lines]: characters of citations in it."""


def judge(texts: Texts, options: LineRules) -> Judged:
    """Judges each line by the rules of TFDS `clean_page`, in their order.

    A line is stripped, and measured without its citations, except for CHARS and the length of its
    words; white space separates words. It is kept if it has no word that is too long, ends in an
    end mark and not in `...`, has enough words, and no phrase of JAVASCRIPT or POLICY.

    LINES and CHARS are of the stripped lines that are not blank, KEPT_LINES and KEPT_CHARS of those
    that are kept. POLICY and JAVASCRIPT count the lines with such a phrase, LOREM_IPSUM its
    occurrences, and CURLY the brackets `{` of the whole text. CURLY_LINES and LOREM_IPSUM_LINES
    count the lines for which TFDS drops the page: those which pass all rules before that one.

    The SENTENCES of a kept line are one more than the sentence ends inside it. A sentence end is
    `.`, `?` or `!`, optionally more of them or closing quotes and brackets, then white space, then
    anything but a lower-case letter. The dot of an initial (`J. Doe`) does not count.
    """
    rules = _rules(options.end_marks, options.min_words, options.max_word_length, options.policy_phrases)
    return Judged(*_judge(texts.data, texts.text_start, rules))


@cache
def _rules(end_marks: tuple[str, ...], min_words: int, max_word_length: int, policy_phrases: tuple[str, ...]) -> _Rules:
    phrases = [phrase.encode().lower() for phrase in (*policy_phrases, "javascript", "lorem ipsum")]
    group = [POLICY] * len(policy_phrases) + [JAVASCRIPT, LOREM_IPSUM]
    phrase_bytes, phrase_first = text_buffer(pa.array(phrases, pa.large_binary()))
    return _Rules(
        characters().flags,
        membership(end_marks),
        not end_marks,
        min_words,
        max_word_length,
        _phrase_skips(phrases),
        min(map(len, phrases)),
        phrase_bytes,
        phrase_first,
        np.array(group),
    )


_ONE, _ALL, _LAST = np.uint64(1), np.uint64(0xFFFFFFFFFFFFFFFF), np.uint64(1 << 63)
_ONES = np.uint64(0x0101010101010101)
_HIGH = np.uint64(0x8080808080808080)

_breaks: Any = masks(((0x0A, 4, 0), (0x1C, 3, 0), (0x85, 1, 0), (0xA8, 2, 0)))
"""A mask of the bytes that may end a line break of `str.splitlines`; the last three only after
others."""

_continuations: Any = masks(((0x80, 0x40, 0),))
"""A mask of the bytes of UTF-8 that begin no character."""

_spaces: Any = masks(((0x20, 1, 0), (0x09, 5, 0), (0x1C, 4, 0)))
"""A mask of the white space of ASCII."""

_stops: Any = masks(((0x2E, 1, 0), (0x3F, 1, 0), (0x21, 1, 0)))
"""A mask of the bytes `.?!`."""

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
    length = end - start
    i = start
    while i < end and i + SIZE <= len(data):
        (found,) = _continuations(data, i)
        if end - i < SIZE:
            found &= (_ONE << np.uint64(end - i)) - _ONE
        length -= ones(found)
        i += SIZE
    while i < end:
        length -= data[i] & 0xC0 == 0x80
        i += 1
    return length


@njit(cache=True, nogil=True, inline="always")
def _matches(data, i, end, pattern):
    if i + len(pattern) > end:
        return False
    for k in range(len(pattern)):  # noqa: SIM110 (numba knows no all())
        if data[i + k] != pattern[k]:
            return False
    return True


@njit(cache=True, nogil=True)
def citation(data, start, end, flags):
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
        removed = citation(data, i, end, flags) if data[i] == 0x5B else 0
        if removed:
            cited += _length(data, i, i + removed)
            i += removed
        else:
            bare[size] = data[i]
            size += 1
            i += 1
    return size, cited


@njit(cache=True, nogil=True)
def _has_words(text, start, end, flags, enough):
    """Whether `text[start:end]` has that many words, separated by white space."""
    if end - start >= SIZE and start + SIZE <= len(text):
        (other,) = _continuations(text, start)
        (space,) = _spaces(text, start)
        begins = ~space & (space << _ONE | _ONE) & ~_LAST  # of words; a character that begins last may be white space
        if not other and ones(begins) >= enough:
            return True
    words = 0
    inside = False
    i = start
    while i < end:
        point, width = decode(text, i)
        space = flags[point] & SPACE != 0
        words += not (space or inside)
        if words == enough:
            return True
        inside = not space
        i += width
    return False


@njit(cache=True, nogil=True)
def _longest_word(text, start, end, flags, least):
    """Code points of the longest word in `text[start:end]`, but at least `least`.

    A longer word that starts at `i` has no white space in `text[i:i + least + 1]`. So that is
    searched from its end, and most bytes are never looked at; where a block has no such run, none is.
    """
    i = start
    while least < SIZE - 8 and end - i > least and i + SIZE <= len(text):
        (space,) = _spaces(text, i)
        if end - i < SIZE:
            space |= _ALL << np.uint64(end - i)
        run, rest = ~space, least + 1
        while rest > 1:  # a bit stands for a run of ever more bytes
            run &= run >> np.uint64(rest // 2)
            rest -= rest // 2
        if run:
            break
        i += SIZE - least
    while end - i > least:
        k = i + least
        while k >= i and not (text[k] == 0x20 or 0x09 <= text[k] <= 0x0D or 0x1C <= text[k] <= 0x1F):
            k -= 1
        if k >= i:
            i = k + 1
            continue
        chars = 0
        while i < end:
            point, width = decode(text, i)
            i += width
            if flags[point] & SPACE:
                break
            chars += 1
        least = max(least, chars)
    return least


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
    last = decode(text, previous(text, end))[0]
    dots = end - start >= 3 and text[end - 1] == 0x2E and text[end - 2] == 0x2E and text[end - 3] == 0x2E
    return last < len(end_marks) and end_marks[last] and not dots


@njit(cache=True, nogil=True)
def _ends_in_initial(text, start, end, flags):
    r"""Whether `text[start:end]` ends in a letter with no `\w` before it."""
    if start == end:
        return False
    i = previous(text, end)
    if not flags[decode(text, i)[0]] & LETTER:
        return False
    return i == start or not flags[decode(text, previous(text, i))[0]] & WORD


@njit(cache=True, nogil=True)
def _sentences(text, start, end, flags):
    """Sentences of the line `text[start:end]` by the rule of `judge`."""
    sentences = 1
    i = np.int64(start)
    while i < end:
        if i + SIZE <= len(text):
            (stop,) = _stops(text, i)
            i += np.int64(trailing_zeros(stop))
        else:
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


@njit(cache=True, nogil=True, inline="always")
def _count_phrases(text, start, end, rules, occurrences):
    """Counts phrases in `text[start:end]` by group (Horspool 1980, by pairs of bytes)."""
    skips, shortest, group = rules.skips, rules.shortest, rules.group
    occurrences[:] = 0
    before = min(shortest - 1, 1)  # if a phrase has a single byte, all skips are 0
    i = np.int64(start + shortest - 1)  # the last byte of a window as long as the shortest phrase
    while i < end:
        # Unsigned indexes need no test for negative ones.
        skip = np.int64(skips[text[np.uint64(i - before)] & 31, text[np.uint64(i)] & 31])
        if skip == 0:
            skip = np.int64(1)
            for p in range(len(group)):
                first, last = rules.phrase_first[p], rules.phrase_first[p + 1]
                occurrences[group[p]] += _begins_with(text, i + 1 - shortest, end, rules.phrases, first, last)
        i += skip


@njit(cache=True, nogil=True, inline="always")
def _break_at(data, i, end):
    """Where the line break starts whose first character has its last byte at `i`, and where the next
    line does; (0, 0) if there is none."""
    byte = data[i]
    if byte < 0x80:
        if byte == 0x0D and i + 1 < end and data[i + 1] == 0x0A:
            return i, i + 2
        if 0x0A <= byte <= 0x0D or 0x1C <= byte <= 0x1E:
            return i, i + 1
    elif byte == 0x85:
        if data[i - 1] == 0xC2:
            return i - 1, i + 1
    elif (byte == 0xA8 or byte == 0xA9) and data[i - 1] == 0x80 and data[i - 2] == 0xE2:
        return i - 2, i + 1
    return 0, 0


@njit(cache=True, nogil=True)
def _line_break(data, i, end):
    """Start of the next line break in `data[i:end]`, and of the line after it; `end` if there is none."""
    while i + SIZE <= len(data) and i < end:
        (found,) = _breaks(data, i)
        while found:
            k = i + np.int64(trailing_zeros(found))
            if k >= end:
                return end, end
            first, after = _break_at(data, k, end)
            if after:
                return first, after
            found &= found - np.uint64(1)
        i += SIZE
    while i < end:
        first, after = _break_at(data, i, end)
        if after:
            return first, after
        i += 1
    return end, end


@njit(cache=True, nogil=True)
def _most_lines(data, text_start):
    """At least the number of lines of all texts."""
    lines = len(text_start)
    for byte in data[text_start[0] : text_start[-1]]:
        lines += (byte >= 0x0A) & (byte <= 0x1E) | (byte == 0x85) | (byte == 0xA8) | (byte == 0xA9)
    return lines


@njit(cache=True, nogil=True, inline="always")
def _verdict(text, start, end, longest, rules, occurrences, counts):
    """The verdict on the line `text[start:end]`, without citations; counts its phrases and sentences."""
    _count_phrases(text, start, end, rules, occurrences)
    counts[POLICY] += occurrences[POLICY] > 0
    counts[JAVASCRIPT] += occurrences[JAVASCRIPT] > 0
    counts[LOREM_IPSUM] += occurrences[LOREM_IPSUM]
    if longest > rules.max_word_chars:
        return HAS_LONG_WORD
    if not (rules.any_end or _ends(text, start, end, rules.end_marks)):
        return NO_END_MARK
    if not _has_words(text, start, end, rules.flags, rules.min_words):
        return FEW_WORDS
    counts[LOREM_IPSUM_LINES] += occurrences[LOREM_IPSUM] > 0
    if occurrences[JAVASCRIPT]:
        return HAS_JAVASCRIPT
    if counts[CURLY]:
        counts[CURLY_LINES] += _brackets(text, start, end)[0] > 0
    if occurrences[POLICY]:
        return HAS_POLICY
    counts[SENTENCES] += _sentences(text, start, end, rules.flags)
    return KEPT


@njit(cache=True, nogil=True)
def _judge(data, text_start, rules):
    flags = rules.flags
    documents = len(text_start) - 1
    most = _most_lines(data, text_start)
    counts = np.zeros((documents, COLUMNS), np.int64)
    line_first = np.zeros(documents + 1, np.int64)
    line_start = np.empty(most, np.int64)
    line_text = np.empty(most, np.int64)
    line_end = np.empty(most, np.int64)
    verdict = np.empty(most, np.uint8)
    line_cited = np.empty(most, np.int32)
    occurrences = np.zeros(COLUMNS, np.int64)
    bare = np.empty(1024, np.uint8)  # a line without its citations
    k = 0
    for d in range(documents):
        stop = text_start[d + 1]
        counts[d, CURLY], square = _brackets(data, text_start[d], stop)
        after = text_start[d]
        while after < stop:
            line_start[k] = after
            last, after = _line_break(data, after, stop)
            start, end = strip(data, line_start[k], last, flags)
            line_text[k], line_end[k], verdict[k], line_cited[k] = start, end, BLANK, 0
            k += 1
            if start == end:
                continue
            row = counts[d]
            longest = _longest_word(data, start, end, flags, min(row[LONGEST_WORD], rules.max_word_chars))
            size = cited = 0
            if square and _brackets(data, start, end)[1]:
                if end - start + PADDING > len(bare):
                    bare = np.empty(2 * (end - start) + PADDING, np.uint8)
                size, cited = _without_citations(data, start, end, flags, bare)
            if cited:
                found = _verdict(bare, 0, size, longest, rules, occurrences, row)
            else:
                found = _verdict(data, start, end, longest, rules, occurrences, row)
            chars = _length(data, start, end)
            row[LINES] += 1
            row[CHARS] += chars
            row[LONGEST_WORD] = max(row[LONGEST_WORD], longest)
            row[KEPT_LINES] += found == KEPT
            row[KEPT_CHARS] += (found == KEPT) * (chars - cited)
            verdict[k - 1], line_cited[k - 1] = found, cited
        line_first[d + 1] = k
    return counts, line_first, line_start[:k], line_text[:k], line_end[:k], verdict[:k], line_cited[:k]


def _phrase_skips(phrases: list[bytes]) -> np.ndarray:
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
