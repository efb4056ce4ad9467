"""Measures the lines of texts in one pass, and finds the bytes to cut when some of them go."""

from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from tamis.transforms.core.arrays import Ints
from tamis.transforms.runtime.kernels import njit
from tamis.transforms.text.characters import DIGIT, EXTENDS, PUNCTUATION, SPACE, UNSPACED, UPPER, characters, decode, strip
from tamis.transforms.text.segment import Texts

# mypy: disable-error-code="no-untyped-def"


class LineMeasures(NamedTuple):
    """The lines of n documents, `text.split("\\n")`: spans in bytes of `Texts.data`, lengths in code
    points. White space around a line does not count, and a blank line measures 0 everywhere."""

    line_first: npt.NDArray[np.int64]
    """[n + 1]: lines of document d are `line_first[d]` up to `line_first[d + 1]`."""
    start: npt.NDArray[np.int64]
    stop: npt.NDArray[np.int64]
    """The newline is no part of the line."""
    first: npt.NDArray[np.int64]
    """Where the stripped line begins; `stop` of a blank line."""
    last: npt.NDArray[np.int64]
    """Where the stripped line ends; `stop` of a blank line."""
    chars: npt.NDArray[np.int64]
    """With the white space inside the line."""
    visible: npt.NDArray[np.int64]
    """Without it."""
    words: npt.NDArray[np.int64]
    """Separated by white space; a letter of a script without spaces is a word of its own (the
    definition `whitespace` of `transforms/text/words.py`)."""
    upper: npt.NDArray[np.int64]
    """Upper-case letters. Most scripts have none."""
    digits: npt.NDArray[np.int64]
    """Decimal digits of any script."""
    punctuation: npt.NDArray[np.int64]
    """Not letters, numbers or marks: punctuation, symbols, controls, and `_`."""


def measure_lines(texts: Texts) -> LineMeasures:
    """The measures of all lines."""
    line_first, spans, counts = _measure(texts.data, texts.text_start, characters().flags)
    return LineMeasures(line_first, *spans, *counts)


@njit(cache=True, nogil=True)
def measure_span(data, start, stop, flags):
    """`first`, `last`, `chars`, `visible`, `words`, `upper`, `digits` and `punctuation` of
    `data[start:stop]`; callable from kernels."""
    chars = visible = words = upper = digits = punctuation = 0
    first, last = strip(data, start, stop, flags)
    apart = True  # the next character begins a word
    in_letter = False  # of a script without spaces
    i = first
    while i < last:
        byte = data[i]
        chars += 1
        if byte < 0x80:  # no branches, which would be mispredicted once a word
            flag = np.int64(flags[byte])
            space = flag & SPACE != 0
            words += (apart or in_letter) and not space
            apart = space
            in_letter = False
            i += 1
        else:
            point, size = decode(data, i)
            flag = np.int64(flags[point])
            i += size
            if flag & SPACE:
                apart, in_letter = True, False
                continue
            if flag & UNSPACED:
                words += 1
                apart, in_letter = False, True
            elif apart or (in_letter and not flag & EXTENDS):
                words += 1
                apart = in_letter = False
            space = False
        visible += not space
        upper += flag & UPPER != 0
        digits += flag & DIGIT != 0
        punctuation += flag & PUNCTUATION != 0
    return first, last, chars, visible, words, upper, digits, punctuation


@njit(cache=True, nogil=True)
def _measure(data, text_start, flags):
    documents = len(text_start) - 1
    lines = documents
    for byte in data[text_start[0] : text_start[documents]]:
        lines += byte == 0x0A
    line_first = np.empty(documents + 1, np.int64)
    start = np.empty(lines, np.int64)
    stop = np.empty(lines, np.int64)
    first = np.empty(lines, np.int64)
    last = np.empty(lines, np.int64)
    chars = np.empty(lines, np.int64)
    visible = np.empty(lines, np.int64)
    words = np.empty(lines, np.int64)
    upper = np.empty(lines, np.int64)
    digits = np.empty(lines, np.int64)
    punctuation = np.empty(lines, np.int64)
    k = 0
    for d in range(documents):
        line_first[d] = k
        i = text_start[d]
        end = text_start[d + 1]
        while i <= end:
            start[k] = i
            while i < end and data[i] != 0x0A:
                i += 1
            stop[k] = i
            first[k], last[k], chars[k], visible[k], words[k], upper[k], digits[k], punctuation[k] = measure_span(
                data, start[k], i, flags
            )
            k += 1
            i += 1
    line_first[documents] = k
    return line_first, (start, stop, first, last), (chars, visible, words, upper, digits, punctuation)


def line_spans(lines: LineMeasures, removed: npt.NDArray[np.bool_]) -> tuple[Ints, Ints, Ints]:
    """What to cut out so that only the lines that are not `removed` stay, joined as `"\\n".join`
    does: document, first byte and the byte after the last, one span a line."""
    return _line_spans(lines.line_first, lines.start, lines.stop, removed)


@njit(cache=True, nogil=True)
def _line_spans(line_first, start, stop, removed):
    size = 0
    for line in range(len(removed)):  # not np.sum, which would import SciPy
        size += removed[line]
    document = np.empty(size, np.int64)
    cut_start = np.empty(size, np.int64)
    cut_stop = np.empty(size, np.int64)
    s = 0
    for d in range(len(line_first) - 1):
        end = line_first[d + 1]
        tail = end  # the first of the removed lines that no kept line follows
        while tail > line_first[d] and removed[tail - 1]:
            tail -= 1
        if tail == line_first[d]:
            tail = end  # no line stays
        for k in range(line_first[d], end):
            if removed[k]:
                document[s] = d
                cut_start[s] = start[k] - (k >= tail)  # the newline before it, or the one after it
                cut_stop[s] = stop[k] + (k < tail and k + 1 < end)
                s += 1
    return document, cut_start, cut_stop
