"""Finds the phrases and lines that RefinedWeb's line rules remove."""

from collections.abc import Iterable, Sequence
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from tamis.transforms.core.arrays import Ints
from tamis.transforms.edit.line_measures import LineMeasures, measure_span
from tamis.transforms.runtime.kernels import njit
from tamis.transforms.text.characters import DIGIT, SPACE, UNSPACED, WORD, characters, decode, membership, previous

# mypy: disable-error-code="no-untyped-def"

UPPER_CASE, DIGITS, COUNTER, FEW_WORDS, AT_START, AT_END, ANYWHERE = range(7)
"""Why a line or a piece of it goes."""

_SEPARATORS = membership(tuple("|/\\<>«»‹›•·*:[](){}–—-→←"))
"""What stands between the items of a menu, and goes with the item before or after it."""

_SUFFIXES = np.frombuffer(b"kmbKMB", np.uint8)
"""Thousands, millions and billions in `1.2K`."""


class Phrases(NamedTuple):
    """Phrases as kernels take them. The case of ASCII letters does not matter."""

    data: npt.NDArray[np.uint8]
    """Their UTF-8, ASCII letters in lower case."""
    first: npt.NDArray[np.int64]
    """[p + 1]: phrase p is `data[first[p]:first[p + 1]]`."""
    begins: npt.NDArray[np.bool_]
    """[65536]: whether a phrase may begin with two bytes, `first + 256 * second`."""
    ends: npt.NDArray[np.bool_]
    """[65536]: the same of its end."""


class Rules(NamedTuple):
    """What is removed."""

    max_upper: float
    digits_only: bool
    min_words: int
    short: int
    """Most words of a line in which phrases and counters are looked for."""
    counted: Phrases
    at_start: Phrases
    at_end: Phrases
    anywhere: Phrases


class Corrections(NamedTuple):
    """What the rules remove from lines."""

    reason: npt.NDArray[np.int8]
    """[lines]: why the line goes; -1 if it stays."""
    words_left: npt.NDArray[np.int64]
    """[lines]: words of the line that stay."""
    line: npt.NDArray[np.int64]
    """[k]: the line of each piece that goes from a line that stays."""
    start: npt.NDArray[np.int64]
    stop: npt.NDArray[np.int64]
    why: npt.NDArray[np.int64]


def phrases(texts: Sequence[str]) -> Phrases:
    """Phrases for kernels."""
    encoded = [text.encode().lower() for text in texts]
    first = np.cumsum([0, *map(len, encoded)], dtype=np.int64)
    begins, ends = (_pairs(phrase[place] for phrase in encoded) for place in (slice(2), slice(-2, None)))
    return Phrases(np.frombuffer(b"".join(encoded) or b"\0", np.uint8), first, begins, ends)


def _pairs(found: Iterable[bytes]) -> npt.NDArray[np.bool_]:
    """Marks one or two bytes in either case; a phrase of one byte may stand beside any other."""
    table = np.zeros((256, 256), np.bool_)  # by the second byte, then the first
    for pair in found:
        first, *second = ([byte, bytes([byte]).upper()[0]] for byte in pair)
        if second:
            table[np.ix_(second[0], first)] = True
        else:
            table[:, first] = table[first, :] = True
    return table.ravel()


def corrections(data: npt.NDArray[np.uint8], lines: LineMeasures, rules: Rules) -> Corrections:
    """What `rules` remove. A line is judged by what is left of it without its phrases: at its start,
    one after the other; at its end, likewise; anywhere in between. If nothing but punctuation is
    left, the line goes with its first phrase."""
    return Corrections(*_correct(data, lines, rules, characters().flags, _SEPARATORS))


def words_by_document(lines: LineMeasures, words: Ints) -> Ints:
    """The sum of `words`, [lines], over the lines of each document."""
    before = np.append(0, np.cumsum(words))
    return before[lines.line_first[1:]] - before[lines.line_first[:-1]]


@njit(cache=True, nogil=True, inline="always")
def _part_of_word(data, i, flags):
    """Whether the code point at `data[i]` joins word characters beside it to one word."""
    return flags[decode(data, i)[0]] & (WORD | UNSPACED) == WORD


@njit(cache=True, nogil=True)
def _divides(data, i, low, high, flags):
    """Whether no word of `data[low:high]` goes on across `data[i]`."""
    if i <= low or i >= high:
        return True
    return not (_part_of_word(data, previous(data, i), flags) and _part_of_word(data, i, flags))


@njit(cache=True, nogil=True, inline="always")
def _lower(byte):
    return byte + 0x20 if 0x41 <= byte <= 0x5A else byte


@njit(cache=True, nogil=True, inline="always")
def _pair(data, i):
    """Two bytes as an index of `Phrases.begins`. The buffer has a byte more than the text."""
    return np.int64(data[i]) + 256 * np.int64(data[i + 1])


@njit(cache=True, nogil=True)
def _match(data, i, low, high, phrases, p, flags):
    """The end of phrase `p` at `data[i]`, as words of their own in `data[low:high]`; -1 if it is not
    there."""
    first, size = phrases.first[p], phrases.first[p + 1] - phrases.first[p]
    if i < low or i + size > high:
        return np.int64(-1)
    for k in range(size):
        if phrases.data[first + k] != _lower(data[i + k]):
            return np.int64(-1)
    if _divides(data, i, low, high, flags) and _divides(data, i + size, low, high, flags):
        return i + size
    return np.int64(-1)


@njit(cache=True, nogil=True)
def _longest(data, i, low, high, phrases, flags):
    """The end of the longest phrase at `data[i]`, or -1."""
    end = np.int64(-1)
    if i < high and phrases.begins[_pair(data, i)]:
        byte = _lower(data[i])
        for p in range(len(phrases.first) - 1):
            if phrases.data[phrases.first[p]] == byte:
                end = max(end, _match(data, i, low, high, phrases, p, flags))
    return end


@njit(cache=True, nogil=True)
def _over_separators(data, i, high, flags, separators):
    """The first index from `i` on that is no white space or separator."""
    while i < high:
        point, size = decode(data, i)
        if not (flags[point] & SPACE or (point < len(separators) and separators[point])):
            break
        i += size
    return i


@njit(cache=True, nogil=True)
def _back_over_separators(data, i, low, flags, separators):
    """The same to the left: where the last character that is none of these ends."""
    while i > low:
        j = previous(data, i)
        point = decode(data, j)[0]
        if not (flags[point] & SPACE or (point < len(separators) and separators[point])):
            break
        i = j
    return i


@njit(cache=True, nogil=True)
def _over_marks(data, i, high, flags):
    """The first index from `i` on of a letter, digit or other word character."""
    while i < high:
        point, size = decode(data, i)
        if flags[point] & WORD:
            break
        i += size
    return i


@njit(cache=True, nogil=True)
def _back_over_marks(data, i, low, flags):
    """The same to the left."""
    while i > low:
        j = previous(data, i)
        if flags[decode(data, j)[0]] & WORD:
            break
        i = j
    return i


@njit(cache=True, nogil=True)
def _after_phrase(data, end, high, flags, separators):
    """Where the text after a phrase begins; `high` if only marks follow it."""
    if _over_marks(data, end, high, flags) == high:
        return high
    return _over_separators(data, end, high, flags, separators)


@njit(cache=True, nogil=True)
def _strip_start(data, low, high, phrases, flags, separators):
    """Where `data[low:high]` begins without the phrases at its start."""
    start = low
    while start < high:
        bare = _over_separators(data, start, high, flags, separators)
        end = _longest(data, start, low, high, phrases, flags)
        end = max(end, _longest(data, bare, low, high, phrases, flags))
        if end < 0:
            break
        start = _after_phrase(data, end, high, flags, separators)
    return start


@njit(cache=True, nogil=True)
def _strip_end(data, low, high, phrases, flags, separators):
    """Where `data[low:high]` ends without the phrases at its end."""
    stop = high
    while stop > low:
        bare = _back_over_marks(data, stop, low, flags)
        begin = stop
        for end in (stop, bare):
            if end == low or not phrases.ends[_pair(data, end - 2)]:
                continue
            for p in range(len(phrases.first) - 1):
                size = phrases.first[p + 1] - phrases.first[p]
                if end - size < begin and _match(data, end - size, low, high, phrases, p, flags) >= 0:
                    begin = end - size
        if begin == stop:
            break
        stop = _back_over_separators(data, begin, low, flags, separators)
    return stop


@njit(cache=True, nogil=True)
def _over_number(data, i, high, flags):
    """The end of a number such as `1,234` or `1.2K` at `data[i]`, or `i` if there is none."""
    end = i
    j = i
    while j < high:
        point, size = decode(data, j)
        j += size
        if flags[point] & DIGIT:
            end = j
        elif end == i or not (point == 0x2C or point == 0x2E):
            break
    if i < end < high:
        for byte in _SUFFIXES:
            if data[end] == byte and _divides(data, end + 1, i, high, flags):
                return end + 1
    return end


@njit(cache=True, nogil=True)
def _is_counter(data, low, high, counted, flags):
    """Whether `data[low:high]` is a number and what it counts, in either order, and marks."""
    i = _over_marks(data, low, high, flags)
    number = _over_number(data, i, high, flags)
    if number > i:
        noun = _over_marks(data, number, high, flags)
        end = _longest(data, noun, low, high, counted, flags)
        return end >= 0 and _over_marks(data, end, high, flags) == high
    end = _longest(data, i, low, high, counted, flags)
    if end < 0:
        return False
    i = _over_marks(data, end, high, flags)
    number = _over_number(data, i, high, flags)
    return number > i and _over_marks(data, number, high, flags) == high


@njit(cache=True, nogil=True, inline="always")
def _reason(visible, words, upper, digits, max_upper, digits_only, min_words):
    """Why a line with these measures goes, or -1; it may also be a counter."""
    if upper > max_upper * visible:
        return UPPER_CASE
    if digits_only and digits == visible:
        return DIGITS
    return FEW_WORDS if words < min_words else -1


@njit(cache=True, nogil=True)
def _correct(data, lines, rules, flags, separators):
    count = len(lines.start)
    reason = np.full(count, -1, np.int8)
    words_left = np.zeros(count, np.int64)
    line: list[int] = []
    start: list[int] = []
    stop: list[int] = []
    why: list[int] = []
    bare = np.empty(1024, np.uint8)  # a line without its phrases
    max_upper, digits_only, min_words, short = rules.max_upper, rules.digits_only, rules.min_words, rules.short
    starts, ends, begins = rules.at_start.begins, rules.at_end.ends, rules.anywhere.begins
    for k in range(count):
        first, last = lines.first[k], lines.last[k]
        words_left[k] = lines.words[k]
        if first == last:
            continue
        pieces = len(start)
        if lines.words[k] <= short:
            low = first
            high = last
            bare_first = _over_separators(data, first, last, flags, separators)
            if starts[_pair(data, first)] or starts[_pair(data, bare_first)]:
                low = _strip_start(data, first, last, rules.at_start, flags, separators)
            bare_last = _back_over_marks(data, last, low, flags)
            if ends[_pair(data, last - 2)] or ends[_pair(data, bare_last - 2)]:
                high = _strip_end(data, low, last, rules.at_end, flags, separators)
            if low > first:
                line.append(k)
                start.append(first)
                stop.append(low)
                why.append(AT_START)
            i = low
            left = low  # where the last phrase ended
            while i < high:
                end = np.int64(-1)
                if begins[_pair(data, i)]:
                    end = _longest(data, i, low, high, rules.anywhere, flags)
                if end < 0:
                    i += 1
                    continue
                end = _after_phrase(data, end, high, flags, separators)
                begin = i if end < high else _back_over_separators(data, i, left, flags, separators)
                line.append(k)
                start.append(begin)
                stop.append(end)
                why.append(ANYWHERE)
                i = left = end
            if high < last:
                line.append(k)
                start.append(high)
                stop.append(last)
                why.append(AT_END)
        if len(start) == pieces:
            visible, words, upper, digits = lines.visible[k], lines.words[k], lines.upper[k], lines.digits[k]
            reason[k] = _reason(visible, words, upper, digits, max_upper, digits_only, min_words)
            if (
                reason[k] in (-1, FEW_WORDS)
                and digits
                and words <= short
                and _is_counter(data, first, last, rules.counted, flags)
            ):
                reason[k] = COUNTER
        else:
            if last - first >= len(bare):
                bare = np.empty(2 * (last - first), np.uint8)
            size = 0
            i = first
            for s in range(pieces, len(start)):
                bare[size : size + start[s] - i] = data[i : start[s]]
                size += start[s] - i
                i = stop[s]
            bare[size : size + last - i] = data[i:last]
            size += last - i
            _, end, _, visible, words, upper, digits, punctuation = measure_span(bare, 0, size, flags)
            words_left[k] = min(words, lines.words[k])
            reason[k] = _reason(visible, words, upper, digits, max_upper, digits_only, min_words)
            if visible == punctuation:
                reason[k] = why[pieces]
            elif reason[k] in (-1, FEW_WORDS) and digits and _is_counter(bare, 0, end, rules.counted, flags):
                reason[k] = COUNTER
        if reason[k] >= 0:
            words_left[k] = 0
            while len(start) > pieces:
                line.pop()
                start.pop()
                stop.pop()
                why.pop()
    columns = np.array(line, np.int64), np.array(start, np.int64), np.array(stop, np.int64), np.array(why, np.int64)
    return reason, words_left, *columns
