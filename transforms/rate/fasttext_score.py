"""Scores texts by a supervised fastText model: words, n-grams, the mean of their rows, the most
likely label.

This computes in float32 what fastText does (`src/{dictionary,fasttext,model,loss}.cc` of version
0.9.2), with one exception: the rows of a word are summed before they are added to the text's sum,
so a repeated word costs one addition. Probabilities differ from the library's by about 1e-6. The
score of a text does not depend on the other texts.
"""

import math
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from tamis.transforms.runtime.kernels import njit
from tamis.transforms.text.blocks import SIZE, masks, ones
from tamis.transforms.text.hashing import load64, low_bytes, trailing_zeros

# mypy: disable-error-code="no-untyped-def"

HIERARCHICAL, SIGMOID, SOFTMAX = range(3)

_BASIS = np.uint32(2166136261)  # FNV-1a
_PRIME = np.uint32(16777619)
_WORD_NGRAM = np.uint64(116049371)
_ONE = np.uint64(1)
_ODD = (  # spread the three words of a key
    np.uint64(0x9E3779B185EBCA87),
    np.uint64(0xC2B2AE3D27D4EB4F),
    np.uint64(0x9E3779B97F4A7C15),
)
_OPEN, _CLOSE = ord("<"), ord(">")
_LABEL = np.frombuffer(b"__label__", np.uint8)
_LINE_END = np.frombuffer(b"</s>", np.uint8)
LINE_END_HASH = np.int32(-677604519)
_blanks: Any = masks(((0, 1, 0), (0x09, 5, 0), (0x20, 1, 0)))
"""A mask of the bytes that are blank."""

_MOST_PLACES = 32768
"""Places for the sums of words, by pairs: of two words with one hash, that which was met last stays
longer. They hold five of six words of web text, in 3 MB for lid.176, about a core's share of a cache."""
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
    rows in the sum, and below it, in 32 bits, fastText's hash of the word."""
    sums: npt.NDArray[np.float32]
    """[places + 1, dim]"""
    latest: npt.NDArray[np.uint8]
    """[places / 2]: which of the two places of a hash was used last."""


def new_memory(tables: Tables) -> Memory:
    """An empty memory for the words of this model."""
    dim = tables.rows.shape[1]
    places = 1 << (min(_MOST_PLACES, max(2, _MOST_BYTES // (4 * dim))).bit_length() - 1)
    return Memory(
        np.zeros((places + 1, 4), np.uint64), np.empty((places + 1, dim), np.float32), np.zeros(places // 2, np.uint8)
    )


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
    row = tables.words + np.int64(cell >> np.uint64(32)) + ones(cell & (bit - np.uint64(1)))
    return row if cell & bit else -1


@njit(cache=True, nogil=True, inline="always")
def _add(total, rows, row):
    for j in range(len(total)):
        total[j] += rows[row, j]


@njit(cache=True, nogil=True, inline="always")
def _sum_word(total, tables, entry, data, first, size, scratch, found):
    """Sums the rows of the word `data[first : first + size]` and of its n-grams into `total`.

    Returns the number of rows. `entry` is -1 for a word that is not in the vocabulary; `scratch`
    has at least size + 3 bytes, `found` a place for each n-gram and one more.
    """
    total[:] = 0
    count = np.int64(entry >= 0)
    found[0] = entry
    if tables.longest > 0:
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
                    found[count] = row
                    count += row >= 0  # no branch, since nothing foretells which n-grams have a row
    for k in range(count):
        _add(total, tables.rows, found[k])
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
def _key(data, first, size):
    """The bytes of a word of at most `_LONGEST` as three u64."""
    zero = np.uint64(0)
    if size <= 8:
        return low_bytes(load64(data, first), size), zero, zero
    if size <= 16:
        return load64(data, first), low_bytes(load64(data, first + 8), size - 8), zero
    return load64(data, first), load64(data, first + 8), low_bytes(load64(data, first + 16), size - 16)


@njit(cache=True, nogil=True, inline="always")
def _inside(data, i, end, tail):
    """A bit for each of the bytes from `i` on that is in a word of `data[:end]`."""
    if i + SIZE <= len(data):
        (blank,) = _blanks(data, i)
    else:
        tail[: end - i] = data[i:end]
        (blank,) = _blanks(tail, 0)
    return ~blank if end - i >= SIZE else ~blank & ((_ONE << np.uint64(end - i)) - _ONE)


@njit(cache=True, nogil=True, inline="always")
def _holds(keys, place, a, b, c):
    return keys[place, 0] == a and keys[place, 1] == b and keys[place, 2] == c


@njit(cache=True, nogil=True)
def _embed(tables, data, i, end, hidden, scratch, found, hashes, memory):
    """Writes the mean of the rows of all features to `hidden`; returns the number of features."""
    keys, sums, latest = memory
    shift = np.uint64(63) - trailing_zeros(np.uint64(len(latest)))
    hidden[:] = 0
    words = np.int64(0)
    count = np.int64(0)
    base = i - SIZE
    inside = np.uint64(0)  # of the block at `base`, the bytes of words that are still to come
    while True:
        while not inside and base + SIZE < end:
            base += SIZE
            inside = _inside(data, base, end, scratch)
        if not inside:
            break
        k = trailing_zeros(inside)
        first = base + np.int64(k)
        i = first + np.int64(trailing_zeros(~(inside >> k)))
        inside &= inside + (_ONE << k)  # without the lowest run of bits
        while i == base + SIZE and i < end:  # the word may go on in the next block
            base = i
            inside = _inside(data, base, end, scratch)
            i += np.int64(trailing_zeros(~inside))
            inside &= inside + _ONE
        size = i - first
        if size == 4 and _same(data, first, _LINE_END, 0, 4):
            break
        a, b, c = _key(data, first, min(size, _LONGEST))
        place = len(keys) - 1
        known = False
        if size <= _LONGEST:
            pair = np.int64((a ^ b * _ODD[0] ^ c * _ODD[1]) * _ODD[2] >> _ONE >> shift)
            place = 2 * pair + latest[pair]
            known = _holds(keys, place, a, b, c)
            if not known:
                place ^= 1
                known = _holds(keys, place, a, b, c)
                latest[pair] = place & 1
        if not known:
            h = _BASIS
            for j in range(first, i):
                h = _step(h, data[j])
            slot = _slot(tables.slots, tables.hashes, tables.text, tables.first, tables.last, h, data, first, i)
            entry = np.int64(tables.slots[slot])
            if entry >= tables.words or (entry < 0 and size >= 9 and _same(data, first, _LABEL, 0, 9)):
                continue
            keys[place, 0], keys[place, 1], keys[place, 2] = a, b, c
            rows = _sum_word(sums[place], tables, entry, data, first, size, scratch, found)
            keys[place, 3] = np.uint64(rows) << np.uint64(32) | np.uint64(h)
        _add(hidden, sums, place)
        count += np.int64(keys[place, 3] >> np.uint64(32))
        if tables.word_ngrams > 1:
            hashes[words] = np.int32(np.uint32(keys[place, 3]))
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
    scratch = np.empty(max(longest + 3, SIZE), np.uint8)
    found = np.empty(1 + (longest + 2) * max(0, tables.longest), np.int64)
    hashes = np.empty(longest // 2 + 2 if tables.word_ngrams > 1 else 0, np.int32)
    activation = np.empty(labels, np.float32)
    nodes = np.empty(labels + 1, np.int64)
    best = np.empty(n, np.int32)
    probability = np.empty(n, np.float32)
    for d in range(n):
        best[d] = -1
        probability[d] = np.nan
        if _embed(tables, data, start[d], end[d], hidden, scratch, found, hashes, memory):
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
