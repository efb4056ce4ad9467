"""Scores texts by a supervised fastText model: words, n-grams, the mean of their rows, the most
likely label.

This computes in float32 what fastText does (`src/{dictionary,fasttext,model,loss}.cc` of version
0.9.2), with one exception: the rows of a word are summed before they are added to the text's sum,
so a repeated word costs one addition. Probabilities differ from the library's by about 1e-6. The
score of a text does not depend on the other texts.
"""

import math
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from tamis.transforms.runtime.kernels import njit
from tamis.transforms.text.blocks import ones

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

_MOST_PLACES = 16384
"""Places for the sums of words. They hold four of five words of web text, in 1.5 MB for lid.176,
about a core's cache."""
_MOST_BYTES = 4 << 20
"""Most bytes of sums; a model of many dimensions gets fewer places."""
_LONGEST = 24
"""Bytes of the longest word with a place: three u64 of its key."""


class Tables(NamedTuple):
    """The model as arrays. Rows are those of the input matrix: words first, then n-grams."""

    words: int
    """Entries of the vocabulary below this number are words; the others are labels, which a text
    ignores."""
    line_end: int
    """Row of `</s>`, which ends every text; -1 if the model has none."""
    shortest: int
    """Length of the shortest character n-grams, in code points."""
    longest: int
    word_ngrams: int
    bucket: int
    """Number of hash values of n-grams."""
    pruned: bool
    """Whether only the n-grams in `kept` have a row."""
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
    """[⌈bucket / 32⌉]: the low half tells which of 32 n-grams are kept; the high half counts the
    kept ones before them."""
    rows: npt.NDArray[np.float32]
    """[rows, dim]: the input matrix; may be unaligned in a mapped file."""
    output: npt.NDArray[np.float32]
    """[dim, labels], but [labels, dim] for the hierarchical softmax."""
    scale: npt.NDArray[np.float32]
    """[labels]: the factor of the product with a row of the output."""
    children: npt.NDArray[np.int32]
    """[labels - 1, 2]: children of the inner nodes of the hierarchical softmax; these nodes are
    numbered after the labels."""
    parents: npt.NDArray[np.int32]
    """[2 labels - 1]"""


class Memory(NamedTuple):
    """Sums of earlier words, by hash; the last place is for long words. Not thread-safe."""

    keys: npt.NDArray[np.uint64]
    """[places + 1, 4]: three u64 with the bytes of the word, which contains no zero; the number of
    rows in the sum."""
    sums: npt.NDArray[np.float32]
    """[places + 1, dim]"""


def new_memory(tables: Tables) -> Memory:
    """An empty memory for the words of this model."""
    dim = tables.rows.shape[1]
    places = 1 << (min(_MOST_PLACES, max(1, _MOST_BYTES // (4 * dim))).bit_length() - 1)
    return Memory(np.zeros((places + 1, 4), np.uint64), np.empty((places + 1, dim), np.float32))


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
    """The slot of the word, or the free slot where it would be inserted."""
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
    """`Tables.slots` for a vocabulary."""
    size = 8
    while size < 2 * len(first):
        size *= 2
    slots = np.full(size, -1, np.int32)
    for entry in range(len(first)):
        slots[_slot(slots, hashes, text, first, last, hashes[entry], text, first[entry], last[entry])] = entry
    return slots


@njit(cache=True, nogil=True, inline="always")
def _row(tables, h):
    """The row of the n-gram with hash `h`; -1 if it was pruned."""
    ngram = h % np.uint64(tables.bucket)
    if not tables.pruned:
        return tables.words + np.int64(ngram)
    cell = tables.kept[ngram >> np.uint64(5)]
    bit = np.uint64(1) << (ngram & np.uint64(31))
    if not cell & bit:
        return -1
    return tables.words + np.int64(cell >> np.uint64(32)) + ones(cell & (bit - np.uint64(1)))


@njit(cache=True, nogil=True, inline="always")
def _add(total, rows, row):
    for j in range(len(total)):
        total[j] += rows[row, j]


@njit(cache=True, nogil=True, inline="always")
def _blank(byte):
    return byte <= 32 and (_BLANKS >> byte) & 1


@njit(cache=True, nogil=True, inline="always")
def _sum_word(total, tables, entry, data, first, size, scratch):
    """Sums the rows of the word `data[first : first + size]` and of its n-grams into `total`.

    Returns the number of rows. `entry` is -1 for a word that is not in the vocabulary; `scratch`
    has at least size + 3 bytes.
    """
    total[:] = 0
    count = 0
    if entry >= 0:
        _add(total, tables.rows, entry)
        count += 1
    if tables.longest <= 0:
        return count
    scratch[0] = _OPEN
    for k in range(size):
        scratch[1 + k] = data[first + k]
    scratch[1 + size] = _CLOSE
    scratch[2 + size] = 0  # not a continuation byte, so the last code point ends here
    for begin in range(size + 2):
        if scratch[begin] & 0xC0 == 0x80:
            continue
        h = _BASIS
        end = begin
        n = 0
        while n < tables.longest and end < size + 2:
            h = _step(h, scratch[end])
            end += 1
            while scratch[end] & 0xC0 == 0x80:
                h = _step(h, scratch[end])
                end += 1
            n += 1
            if n >= tables.shortest and not (n == 1 and (begin == 0 or end == size + 2)):  # `<` and `>` alone do not count
                row = _row(tables, np.uint64(h))
                if row >= 0:
                    _add(total, tables.rows, row)
                    count += 1
    return count


@njit(cache=True, nogil=True, inline="always")
def _add_word_ngrams(hidden, tables, hashes, words):
    """Adds the rows of the n-grams of two or more words; returns their number."""
    count = 0
    for first in range(words):
        h = np.uint64(np.int64(hashes[first]))
        for last in range(first + 1, min(words, first + tables.word_ngrams)):
            h = h * _WORD_NGRAM + np.uint64(np.int64(hashes[last]))
            row = _row(tables, h)
            if row >= 0:
                _add(hidden, tables.rows, row)
                count += 1
    return count


@njit(cache=True, nogil=True, inline="always")
def _push(key, byte):
    """Appends a byte to a key of three u64."""
    a, b, c = key
    eight, rest = np.uint64(8), np.uint64(56)
    return (a << eight) | np.uint64(byte), (b << eight) | (a >> rest), (c << eight) | (b >> rest)


@njit(cache=True, nogil=True)
def _embed(tables, data, i, end, hidden, scratch, hashes, memory):
    """Writes the mean of the rows of all features to `hidden`; returns the number of features."""
    keys, sums = memory
    places = len(keys) - 1
    hidden[:] = 0
    words = np.int64(0)
    count = np.int64(0)
    while True:
        while i < end and _blank(data[i]):
            i += 1
        first = i
        h = _BASIS
        key = np.uint64(0), np.uint64(0), np.uint64(0)
        while i < end and not _blank(data[i]):
            h = _step(h, data[i])
            key = _push(key, data[i])
            i += 1
        size = i - first
        if size == 0 or (size == 4 and _same(data, first, _LINE_END, 0, 4)):
            break
        place = np.int64(h) & (places - 1) if size <= _LONGEST else places
        if place == places or keys[place, 0] != key[0] or keys[place, 1] != key[1] or keys[place, 2] != key[2]:
            slot = _slot(tables.slots, tables.hashes, tables.text, tables.first, tables.last, h, data, first, i)
            entry = np.int64(tables.slots[slot])
            if entry >= tables.words or (entry < 0 and size >= 9 and _same(data, first, _LABEL, 0, 9)):
                continue
            keys[place, 0], keys[place, 1], keys[place, 2] = key
            keys[place, 3] = _sum_word(sums[place], tables, entry, data, first, size, scratch)
        _add(hidden, sums, place)
        count += np.int64(keys[place, 3])
        if tables.word_ngrams > 1:
            hashes[words] = np.int32(h)
            words += 1
    if tables.line_end >= 0:
        _add(hidden, tables.rows, tables.line_end)
        count += 1
    if tables.word_ngrams > 1:
        hashes[words] = LINE_END_HASH
        count += _add_word_ngrams(hidden, tables, hashes, words + 1)
    if count:
        mean = np.float32(1.0 / count)
        for j in range(len(hidden)):
            hidden[j] *= mean
    return count


@njit(cache=True, nogil=True, inline="always")
def _log(p):
    return np.float32(math.log(np.float64(p) + 1e-5))


@njit(cache=True, nogil=True, inline="always")
def _sigmoid(x):
    """The library's sigmoid: a table of 512 steps from -8 to 8."""
    if x < -8:
        return np.float32(0)
    if x > 8:
        return np.float32(1)
    step = np.float32(int((x + np.float32(8)) * np.float32(512) / np.float32(8) / np.float32(2))) * 16
    return np.float32(1.0 / (1.0 + math.exp(-np.float32(step / np.float32(512) - np.float32(8)))))


@njit(cache=True, nogil=True)
def _flat(tables, hidden, activation, only_label):
    """Label and log probability for softmax and sigmoid; `only_label` as in `score`."""
    labels = len(activation)
    activation[:] = 0
    for j in range(len(hidden)):
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
    best = only_label
    if only_label < 0:
        for label in range(labels):
            if best < 0 or activation[label] >= activation[best]:  # the library keeps the last of equals
                best = label
    return best, _log(activation[best])


@njit(cache=True, nogil=True, inline="always")
def _branch(tables, hidden, node):
    """Probability of the right branch at an inner node."""
    x = np.float32(0)
    for j in range(len(hidden)):
        x += hidden[j] * tables.output[node, j]
    return np.float32(1.0 / (np.float32(1) + math.exp(-(x * tables.scale[node]))))


@njit(cache=True, nogil=True)
def _tree(tables, hidden, nodes, scores, only_label):
    """Label and log probability for the hierarchical softmax; prunes worse branches."""
    labels = len(tables.children) + 1
    if only_label >= 0:
        score = np.float32(0)
        depth = 0
        node = only_label
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
        return only_label, score
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
def score(tables, data, start, end, only_label, memory):
    """Label, i32[n], and its probability, f32[n], of each text `data[start[d]:end[d]]`.

    The label is `only_label`, or the most likely one if that is -1. A text without any known
    feature gets -1 and nan.
    """
    n = len(start)
    longest = 0
    for d in range(n):
        longest = max(longest, end[d] - start[d])
    labels = len(tables.scale)
    hidden = np.empty(tables.rows.shape[1], np.float32)
    scratch = np.empty(longest + 3, np.uint8)
    hashes = np.empty(longest // 2 + 2 if tables.word_ngrams > 1 else 0, np.int32)
    activation = np.empty(labels, np.float32)
    nodes = np.empty(labels + 1, np.int64)
    best = np.empty(n, np.int32)
    probability = np.empty(n, np.float32)
    for d in range(n):
        best[d] = -1
        probability[d] = np.nan
        if _embed(tables, data, start[d], end[d], hidden, scratch, hashes, memory):
            if tables.loss == HIERARCHICAL:
                label, logarithm = _tree(tables, hidden, nodes, activation, only_label)
            else:
                label, logarithm = _flat(tables, hidden, activation, only_label)
            best[d] = label
            if label >= 0:
                # The library adds 1e-5 before it takes the logarithm, so a certain label would
                # exceed 1.
                probability[d] = min(np.float32(math.exp(logarithm)), np.float32(1))
    return best, probability
