"""Turns C4's verdicts on lines into the spans to remove, so that what is left is TFDS's text."""

import numpy as np

from tamis.transforms.core.arrays import Ints
from tamis.transforms.runtime.kernels import njit
from tamis.transforms.text.c4.c4_lines import BLANK, CITED, KEPT, Judged, citation
from tamis.transforms.text.characters import SPACE, characters, decode
from tamis.transforms.text.segment import Texts

# mypy: disable-error-code="no-untyped-def"


def line_spans(texts: Texts, judged: Judged) -> tuple[Ints, Ints, Ints, Ints, np.ndarray]:
    """(document, start, stop, reason, newline) of the spans whose removal leaves
    `"\\n".join(kept lines).strip()` of each text; `newline`: whether one stands in its place.

    A line that is not kept goes with its line break, and a blank one as white space. The line break
    between kept lines stays if it is a newline. Neighbours of one reason are one span.
    """
    document, start, stop, reason, newline = _line_spans(texts.data, texts.text_start, judged, characters().flags)
    return document, start, stop, reason, newline == 1


@njit(cache=True, nogil=True, inline="always")
def _add(spans, k, document, start, stop, reason, newline):
    """Adds a span to the first `k`, or to the last one; returns their new number."""
    if start == stop and not newline:
        return k
    if k and spans[k - 1, 0] == document and spans[k - 1, 2] == start and spans[k - 1, 3] == reason and not spans[k - 1, 4]:
        k -= 1
    else:
        spans[k, 0], spans[k, 1], spans[k, 3] = document, start, reason
    spans[k, 2], spans[k, 4] = stop, newline
    return k + 1


@njit(cache=True, nogil=True)
def _content(data, start, end, flags):
    """`data[start:end]` without the white space and the citations around it."""
    low, high = end, start
    i = start
    while i < end:
        removed = citation(data, i, end, flags) if data[i] == 0x5B else 0
        if removed:
            i += removed
            continue
        point, width = decode(data, i)
        if not flags[point] & SPACE:
            low = min(low, i)
            high = i + width
        i += width
    return low, high


@njit(cache=True, nogil=True)
def _add_citations(data, start, end, low, high, flags, spans, k, document):
    """Adds the citations of a line, and its white space before `low` and from `high`."""
    i = start
    while i < end:
        removed = citation(data, i, end, flags) if data[i] == 0x5B else 0
        if removed:
            k = _add(spans, k, document, i, i + removed, CITED, False)
            i += removed
            continue
        width = decode(data, i)[1]
        if not low <= i < high:
            k = _add(spans, k, document, i, i + width, BLANK, False)
        i += width
    return k


@njit(cache=True, nogil=True)
def _line_spans(data, text_start, judged, flags):
    most = 5 * len(judged.verdict)
    for line in range(len(judged.cited)):
        most += judged.cited[line]  # a citation has two characters and is at most two spans
    spans = np.empty((most, 5), np.int64)
    k = 0
    for d in range(len(text_start) - 1):
        first, last = -1, -1  # of the kept lines
        for line in range(judged.line_first[d], judged.line_first[d + 1]):
            if judged.verdict[line] == KEPT:
                first, last = line if first < 0 else first, line
        for line in range(judged.line_first[d], judged.line_first[d + 1]):
            begin = judged.line_start[line]
            after = judged.line_start[line + 1] if line + 1 < judged.line_first[d + 1] else text_start[d + 1]
            if judged.verdict[line] != KEPT:
                k = _add(spans, k, d, begin, after, judged.verdict[line], False)
                continue
            start, end = judged.start[line], judged.end[line]
            k = _add(spans, k, d, begin, start, BLANK, False)
            if judged.cited[line]:
                low, high = _content(data, start, end, flags)
                low = low if line == first else start
                high = high if line == last else end
                k = _add_citations(data, start, end, low, high, flags, spans, k, d)
            if line == last:
                k = _add(spans, k, d, end, after, BLANK, False)
            elif data[after - 1] == 0x0A:
                k = _add(spans, k, d, end, after - 1, BLANK, False)
            else:
                k = _add(spans, k, d, end, after, BLANK, True)
    columns = spans[:k].T.copy()
    return columns[0], columns[1], columns[2], columns[3], columns[4]
