"""Scores texts by a supervised fastText model: words, n-grams, the mean of their rows, the likeliest label.

Every sum has fastText's order in float32 (`src/{dictionary,fasttext,model,loss}.cc` of version 0.9.2), so that labels
and probabilities are those of the library.
"""

from __future__ import annotations

import math
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
from llvmlite import ir
from numba import types
from numba.core import cgutils
from numba.extending import intrinsic

from transforms.kernels import njit

# mypy: disable-error-code="no-untyped-def"

HIERARCHICAL, SIGMOID, SOFTMAX = range(3)

_BASIS = np.uint32(2166136261)  # FNV-1a
_PRIME = np.uint32(16777619)
_WORD_NGRAM = np.uint64(116049371)
_BLANKS = sum(1 << ord(c) for c in "\0\t\n\v\f\r ")
_OPEN, _CLOSE = ord("<"), ord(">")
_LABEL = np.frombuffer(b"__label__", np.uint8)
_LINE_END = np.frombuffer(b"</s>", np.uint8)
LINE_END_HASH = np.int32(-677604519)
_ROOM = 256  # rows chosen before they are summed; a text that has more is summed in turns
_MEMO_WORDS = 4096  # places for the rows of words seen in this batch: two of three words of web text are there
_MEMO_ROWS = 30


class Tables(NamedTuple):
    """What the kernel reads. A row is one of the input matrix: those of the words first, then those of the n-grams."""

    dim: int
    words: int
    """Entries of the vocabulary below this are words, the others labels, which count for nothing in a text."""
    line_end: int
    """Row of `</s>`, which ends every text; -1 where the model has none."""
    shortest: int
    """Character n-grams, in code points."""
    longest: int
    word_ngrams: int
    bucket: int
    """N-grams are hashed into so many."""
    reciprocal: np.uint64
    """⌊2⁶⁴ / bucket⌋ + 1."""
    pruned: bool
    """Only the n-grams in `kept` have a row."""
    loss: int
    slots: npt.NDArray[np.int32]
    """[2^k]: hash table of the vocabulary with linear probing; -1 is free."""
    hashes: npt.NDArray[np.uint32]
    """[entries]"""
    text: npt.NDArray[np.uint8]
    first: npt.NDArray[np.int64]
    last: npt.NDArray[np.int64]
    """[entries]: an entry is `text[first:last]`."""
    kept: npt.NDArray[np.uint64]
    """[bucket / 32]: which of 32 n-grams are kept in the low half; in the high half, how many are before them."""
    rows: npt.NDArray[np.uint8]
    """The input matrix, float32 as bytes (in a mapped file it is not aligned); empty where it is quantised."""
    codes: npt.NDArray[np.uint8]
    """[rows, m]: the centroid of each of the m parts of a quantised row."""
    norms: npt.NDArray[np.float32]
    """[rows]"""
    centroids: npt.NDArray[np.float32]
    """[m, 256, dim of a part]"""
    output: npt.NDArray[np.float32]
    """[dim, labels]; [labels, dim] for the hierarchical softmax."""
    scale: npt.NDArray[np.float32]
    """[labels]: what the product with a row of the output is multiplied with."""
    children: npt.NDArray[np.int32]
    """[labels - 1, 2]: of the inner nodes of the hierarchical softmax; nodes are numbered behind the labels."""
    parents: npt.NDArray[np.int32]
    """[2 labels - 1]"""


@intrinsic
def _popcount(_context, word):
    return types.uint64(types.uint64), lambda context, builder, signature, arguments: builder.ctpop(arguments[0])


def _adder(width: int) -> Any:
    """An intrinsic `add(sums, at, rows, dim, chosen, count)`: adds `width` columns from `at` on of each chosen row."""

    def add(_context, sums, at, rows, dim, chosen, count):
        def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
            sums, at, rows, dim, chosen, count = arguments
            sums, rows, chosen = (
                context.make_array(kind)(context, builder, value).data
                for kind, value in zip(signature.args[::2], (sums, rows, chosen), strict=True)
            )
            vector = ir.VectorType(ir.FloatType(), width)
            total = cgutils.alloca_once(builder, vector)
            place = builder.bitcast(builder.gep(sums, [at]), vector.as_pointer())
            builder.store(builder.load(place, align=4), total)
            with cgutils.for_range(builder, count) as loop:
                row = builder.load(builder.gep(chosen, [loop.index]))
                offset = builder.add(builder.mul(row, dim), at)
                source = builder.bitcast(rows, ir.FloatType().as_pointer())
                source = builder.bitcast(builder.gep(source, [offset]), vector.as_pointer())
                builder.store(builder.fadd(builder.load(total), builder.load(source, align=1)), total)
            builder.store(builder.load(total), place, align=4)
            return context.get_dummy_value()

        return types.void(sums, types.intp, rows, types.intp, chosen, types.intp), generate

    return intrinsic(add)


_add16, _add4, _add1 = _adder(16), _adder(4), _adder(1)


@njit(cache=True, nogil=True)
def _sum_quantised(tables, chosen, count, hidden):
    _, _, width = tables.centroids.shape
    for at in range(0, len(hidden), 2):  # of two columns at once: the parts are two columns wide by default
        part, j = at // width, at % width
        other = min(at + 1, len(hidden) - 1)
        part2, j2 = other // width, other % width
        one, two = hidden[at], hidden[other]
        for k in range(count):
            row = chosen[k]
            norm = tables.norms[row]
            one += norm * tables.centroids[part, tables.codes[row, part], j]
            two += norm * tables.centroids[part2, tables.codes[row, part2], j2]
        hidden[at] = one
        hidden[other] = two


@njit(cache=True, nogil=True)
def _sum(tables, chosen, count, hidden):
    """Adds `count` chosen rows to `hidden`, one after the other; returns `count`."""
    dim = tables.dim
    if not len(tables.rows):
        _sum_quantised(tables, chosen, count, hidden)
        return count
    at = 0
    while at + 16 <= dim:
        _add16(hidden, at, tables.rows, dim, chosen, count)
        at += 16
    while at + 4 <= dim:
        _add4(hidden, at, tables.rows, dim, chosen, count)
        at += 4
    while at < dim:
        _add1(hidden, at, tables.rows, dim, chosen, count)
        at += 1
    return count


@njit(cache=True, nogil=True, inline="always")
def _step(h, byte):
    return np.uint32((h ^ np.uint32(np.int8(byte))) * _PRIME)  # the library extends the byte's sign


@njit(cache=True, nogil=True)
def fnv(text, first, last):
    """fastText's hash of each `text[first:last]`."""
    hashes = np.empty(len(first), np.uint32)
    for k in range(len(first)):
        h = _BASIS
        for i in range(first[k], last[k]):
            h = _step(h, text[i])
        hashes[k] = h
    return hashes


@njit(cache=True, nogil=True, inline="always")
def _same(a, i, b, j, size):
    k = 0
    while k < size and a[i + k] == b[j + k]:
        k += 1
    return k == size


@njit(cache=True, nogil=True, inline="always")
def _slot(slots, hashes, text, first, last, h, word, start, end):
    """Where in `slots` the word is, or the free place where it would be."""
    mask = len(slots) - 1
    slot = np.int64(h) & mask
    while slots[slot] >= 0:
        entry = slots[slot]
        if (
            hashes[entry] == h
            and last[entry] - first[entry] == end - start
            and _same(text, first[entry], word, start, end - start)
        ):
            break
        slot = (slot + 1) & mask
    return slot


@njit(cache=True, nogil=True)
def index(text, first, last, hashes):
    """`slots` of a vocabulary."""
    size = 8
    while size < 2 * len(first):
        size *= 2
    slots = np.full(size, -1, np.int32)
    for entry in range(len(first)):
        slots[_slot(slots, hashes, text, first, last, hashes[entry], text, first[entry], last[entry])] = entry
    return slots


@njit(cache=True, nogil=True, inline="always")
def _remainder(h, divisor, reciprocal):
    """`h % divisor` of 32-bit numbers without a division (Lemire, Kaser, Kurz 2019, arXiv 1902.01961)."""
    fraction = reciprocal * np.uint64(h)
    low = ((fraction & np.uint64(0xFFFFFFFF)) * divisor) >> np.uint64(32)
    return ((fraction >> np.uint64(32)) * divisor + low) >> np.uint64(32)


@njit(cache=True, nogil=True, inline="always")
def _choose(tables, ngram, chosen, count):
    """Writes the row of an n-gram behind the chosen ones; returns their number, which grows if there is such a row."""
    if not tables.pruned:
        chosen[count] = tables.words + np.int64(ngram)
        return count + 1
    cell = tables.kept[ngram >> np.uint64(5)]
    bit = ngram & np.uint64(31)
    before = _popcount(cell & ((np.uint64(1) << bit) - np.uint64(1)))
    chosen[count] = tables.words + np.int64((cell >> np.uint64(32)) + before)
    return count + np.int64((cell >> bit) & np.uint64(1))


@njit(cache=True, nogil=True, inline="always")
def _choose_from(tables, word, size, first, chosen, count):
    """Chooses the character n-grams that start at byte `first` of `<word>`, which has a 0 behind it."""
    h = _BASIS
    k = first
    n = 1
    while n <= tables.longest and k < size:
        h = _step(h, word[k])
        k += 1
        while word[k] & 0xC0 == 0x80:
            h = _step(h, word[k])
            k += 1
        if n >= tables.shortest and not (n == 1 and (first == 0 or k == size)):  # `<` and `>` alone are none
            ngram = _remainder(h, np.uint64(tables.bucket), tables.reciprocal)
            count = _choose(tables, ngram, chosen, count)
        n += 1
    return count


@njit(cache=True, nogil=True, inline="always")
def _blank(byte):
    return byte <= 32 and (_BLANKS >> byte) & 1


@njit(cache=True, nogil=True)
def _embed(tables, data, i, end, hidden, room):
    """The mean of the rows of all features of one text, to `hidden`; returns how many there are."""
    word, hashes, chosen, memo_first, memo = room
    hidden[:] = 0
    full = len(chosen) - max(_MEMO_ROWS, tables.longest + 1)  # room for one step more
    words = 0
    summed = 0
    count = 0
    while True:
        while i < end and _blank(data[i]):
            i += 1
        first = i
        h = _BASIS
        while i < end and not _blank(data[i]):
            h = _step(h, data[i])
            i += 1
        size = i - first
        if size == 0 or (size == 4 and _same(data, first, _LINE_END, 0, 4)):
            break
        if count >= full:
            summed += _sum(tables, chosen, count, hidden)
            count = 0
        place = np.int64(h) & (_MEMO_WORDS - 1)
        seen = memo[place]
        if seen[0] == size and _same(data, memo_first[place], data, first, size):
            for k in range(seen[1]):
                chosen[count + k] = seen[2 + k]
            count += seen[1]
        else:
            slot = _slot(tables.slots, tables.hashes, tables.text, tables.first, tables.last, h, data, first, i)
            entry = np.int64(tables.slots[slot])
            if entry >= tables.words or (entry < 0 and size >= 9 and _same(data, first, _LABEL, 0, 9)):
                continue
            before = summed + count
            if entry >= 0:
                chosen[count] = entry
                count += 1
            if tables.longest > 0:
                word[0] = _OPEN
                for k in range(size):
                    word[1 + k] = data[first + k]
                word[1 + size] = _CLOSE
                word[2 + size] = 0
                for k in range(size + 2):
                    if word[k] & 0xC0 == 0x80:
                        continue
                    if count >= full:
                        summed += _sum(tables, chosen, count, hidden)
                        count = 0
                    count = _choose_from(tables, word, size + 2, k, chosen, count)
            rows = summed + count - before
            if rows <= min(_MEMO_ROWS, count):  # all of them are still there
                memo_first[place] = first
                seen[0] = size
                seen[1] = rows
                for k in range(rows):
                    seen[2 + k] = chosen[count - rows + k]
        if tables.word_ngrams > 1:
            hashes[words] = np.int32(h)
            words += 1
    if count >= full:
        summed += _sum(tables, chosen, count, hidden)
        count = 0
    if tables.line_end >= 0:
        chosen[count] = tables.line_end
        count += 1
    if tables.word_ngrams > 1:
        hashes[words] = LINE_END_HASH
        for first in range(words):
            g = np.uint64(np.int64(hashes[first]))
            for k in range(first + 1, min(words + 1, first + tables.word_ngrams)):
                if count >= full:
                    summed += _sum(tables, chosen, count, hidden)
                    count = 0
                g = g * _WORD_NGRAM + np.uint64(np.int64(hashes[k]))
                count = _choose(tables, g % np.uint64(tables.bucket), chosen, count)
    summed += _sum(tables, chosen, count, hidden)
    if summed:
        mean = np.float32(1.0 / summed)
        for j in range(len(hidden)):
            hidden[j] *= mean
    return summed


@njit(cache=True, nogil=True, inline="always")
def _log(p):
    return np.float32(math.log(np.float64(p) + 1e-5))


@njit(cache=True, nogil=True, inline="always")
def _sigmoid(x):
    """The library's table of 512 steps between -8 and 8."""
    if x < -8:
        return np.float32(0)
    if x > 8:
        return np.float32(1)
    step = np.float32(int((x + np.float32(8)) * np.float32(512) / np.float32(8) / np.float32(2))) * 16
    return np.float32(1.0 / (1.0 + math.exp(-np.float32(step / np.float32(512) - np.float32(8)))))


@njit(cache=True, nogil=True)
def _flat(tables, hidden, activation, wanted):
    """Label and log probability where each label has its own row of the output."""
    labels = len(activation)
    activation[:] = 0
    for j in range(tables.dim):
        for label in range(labels):
            activation[label] += hidden[j] * tables.output[j, label]
    top = -np.float32(np.inf)
    for label in range(labels):
        activation[label] *= tables.scale[label]
        top = max(top, activation[label])
    if tables.loss == SOFTMAX:
        total = np.float32(0)
        for label in range(labels):
            activation[label] = math.exp(activation[label] - top)
            total += activation[label]
        for label in range(labels):
            activation[label] /= total
    else:
        for label in range(labels):
            activation[label] = _sigmoid(activation[label])
    if wanted >= 0:
        return wanted, _log(activation[wanted])
    best = -1
    most = -np.float32(np.inf)
    for label in range(labels):
        score = _log(activation[label])
        if score >= most:  # of equals the library keeps the last
            best = label
            most = score
    return best, most


@njit(cache=True, nogil=True, inline="always")
def _branch(tables, hidden, node):
    """Probability that the label is right of an inner node."""
    x = np.float32(0)
    for j in range(tables.dim):
        x += hidden[j] * tables.output[node, j]
    return np.float32(1.0 / (np.float32(1) + math.exp(-(x * tables.scale[node]))))


@njit(cache=True, nogil=True)
def _tree(tables, hidden, nodes, scores, wanted):
    """Label and log probability by the tree of the hierarchical softmax: the branches that may hold the best one."""
    labels = len(tables.children) + 1
    if wanted >= 0:
        score = np.float32(0)
        depth = 0
        node = wanted
        while tables.parents[node] >= 0:
            nodes[depth] = node
            depth += 1
            node = tables.parents[node]
        while depth:
            depth -= 1
            f = _branch(tables, hidden, node - labels)
            right = tables.children[node - labels, 1] == nodes[depth]
            score += _log(f if right else np.float32(1.0 - f))
            node = nodes[depth]
        return wanted, score
    best = np.int64(-1)
    most = _log(0.0)
    nodes[0] = 2 * labels - 2
    scores[0] = 0
    depth = 1
    while depth:
        depth -= 1
        node = nodes[depth]
        score = scores[depth]
        if score < most:
            continue
        if node < labels:
            best = node
            most = score
            continue
        f = _branch(tables, hidden, node - labels)
        nodes[depth] = tables.children[node - labels, 1]
        scores[depth] = score + _log(f)
        nodes[depth + 1] = tables.children[node - labels, 0]
        scores[depth + 1] = score + _log(np.float32(1.0 - f))
        depth += 2
    return best, most


@njit(cache=True, nogil=True)
def score(tables, data, start, end, wanted):
    """Label i32[n] and its probability f32[n] of each text `data[start[d]:end[d]]`.

    The label is `wanted`, or the likeliest one where that is -1; it is -1 and the probability nan for a text without
    any feature that the model knows.
    """
    n = len(start)
    longest = 0
    for d in range(n):
        longest = max(longest, end[d] - start[d])
    labels = len(tables.scale)
    hidden = np.empty(tables.dim, np.float32)
    memo = np.empty((_MEMO_WORDS, 2 + _MEMO_ROWS), np.int32)
    memo[:, 0] = 0
    room = (
        np.empty(longest + 3, np.uint8),
        np.empty(longest // 2 + 2 if tables.word_ngrams > 1 else 0, np.int32),
        np.empty(_ROOM + tables.longest, np.int64),
        np.empty(_MEMO_WORDS, np.int64),
        memo,
    )
    activation = np.empty(labels, np.float32)
    nodes = np.empty(labels + 1, np.int64)
    found = np.empty(n, np.int32)
    probability = np.empty(n, np.float32)
    for d in range(n):
        found[d] = -1
        probability[d] = np.nan
        if _embed(tables, data, start[d], end[d], hidden, room):
            if tables.loss == HIERARCHICAL:
                label, logarithm = _tree(tables, hidden, nodes, activation, wanted)
            else:
                label, logarithm = _flat(tables, hidden, activation, wanted)
            found[d] = label
            if label >= 0:
                # The library adds 1e-5 before it takes the logarithm, so a certain label would come out above 1.
                probability[d] = min(np.float32(math.exp(logarithm)), np.float32(1))
    return found, probability
