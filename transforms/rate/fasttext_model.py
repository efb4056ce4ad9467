"""Reads a supervised fastText model (.bin or .ftz) into the arrays that score texts.

The format is version 12 (or 11) of fastText, `src/{fasttext,args,dictionary,densematrix,quantmatrix,productquantizer}.cc`:
settings, vocabulary, input matrix (a row a word, then a row a bucket of n-grams) and output matrix (a row a label). All
that the kernels index by is checked here.
"""

from __future__ import annotations

import mmap
import struct
from dataclasses import dataclass, field
from functools import cache
from typing import Any, NoReturn

import numpy as np
import numpy.typing as npt

from tamis.transforms.rate import fasttext_score
from tamis.transforms.rate.fasttext_score import HIERARCHICAL, LINE_END_HASH, SIGMOID, SOFTMAX, Memory, Tables
from tamis.transforms.runtime.kernels import njit

_MAGIC = 793712314
_VERSIONS = (11, 12)
_LOSSES = {1: HIERARCHICAL, 2: SIGMOID, 3: SOFTMAX, 4: SIGMOID}  # hs, ns, softmax, ova
_SUPERVISED = 3
_CENTROIDS = 256
_NEVER = 10**15  # the count of a node that is not yet made


@dataclass(frozen=True, slots=True)
class Model:
    """A model in memory. `labels` are all it can give, as the file writes them, in the order of their numbers."""

    path: str
    labels: tuple[str, ...]
    tables: Tables
    _memories: list[Memory] = field(default_factory=list)

    def best(
        self, data: npt.NDArray[np.uint8], start: npt.NDArray[np.int64], end: npt.NDArray[np.int64]
    ) -> tuple[npt.NDArray[np.int32], npt.NDArray[np.float32]]:
        """The likeliest label of each text, i32[n], and its probability, f32[n]; -1 and nan where no feature is known.

        A text is the UTF-8 of `data[start[d]:end[d]]`; a line break in it is a space.
        """
        return self._score(data, start, end, -1)

    def probability(
        self, data: npt.NDArray[np.uint8], start: npt.NDArray[np.int64], end: npt.NDArray[np.int64], label: str
    ) -> npt.NDArray[np.float64]:
        """That of one of `labels` in each text, f64[n]; nan where no feature is known.

        With two labels it is asked as DCLM asks: the likelier label's p, or 1 − p when that is the other one. Asking
        for the label itself differs by fastText's 1e-5, which matters beside a threshold such as 0.018.
        """
        wanted = self.labels.index(label)
        two = len(self.labels) == 2
        found, p = self._score(data, start, end, -1 if two else wanted)
        probability = p.astype(np.float64)
        return np.where(found == wanted, probability, 1.0 - probability)

    def _score(
        self, data: npt.NDArray[np.uint8], start: npt.NDArray[np.int64], end: npt.NDArray[np.int64], wanted: int
    ) -> tuple[npt.NDArray[np.int32], npt.NDArray[np.float32]]:
        try:
            memory = self._memories.pop()  # a thread has it alone
        except IndexError:
            memory = fasttext_score.memory(self.tables)
        scored = fasttext_score.score(self.tables, data, start, end, wanted, memory)
        self._memories.append(memory)
        return scored


@cache
def load(path: str) -> Model:
    """The model at a local path, read once in each process. Raises FileNotFoundError, or ValueError with the path.

    The file stays mapped: a dense matrix is read where it lies, so processes share it. A quantised one is unpacked.
    """
    with open(path, "rb") as file:
        try:
            mapped = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)
        except ValueError as error:
            raise ValueError(f"{path}: not a fastText model: the file is empty") from error
    if hasattr(mmap, "MADV_WILLNEED"):
        mapped.madvise(mmap.MADV_WILLNEED)
    return _model(_File(path, np.frombuffer(mapped, np.uint8)))


class _File:
    """The bytes of a model and how far they have been read."""

    def __init__(self, path: str, data: npt.NDArray[np.uint8]) -> None:
        self.path = path
        self.data = data
        self.at = 0

    def bad(self, reason: str) -> NoReturn:
        raise ValueError(f"{self.path}: not a fastText model that can be used: {reason}")

    def check(self, sound: Any, reason: str) -> None:
        if not sound:
            self.bad(f"damaged: {reason}")

    def take(self, size: int, what: str) -> npt.NDArray[np.uint8]:
        """The next `size` bytes, a view."""
        if not 0 <= size <= len(self.data) - self.at:
            self.bad(f"damaged or cut short: {what} of {size:,} bytes at byte {self.at:,} of {len(self.data):,}")
        self.at += size
        return self.data[self.at - size : self.at]

    def fields(self, layout: str, what: str) -> tuple[Any, ...]:
        """The next values in a little-endian `struct` layout."""
        return struct.unpack("<" + layout, self.take(struct.calcsize("<" + layout), what).tobytes())


def _model(file: _File) -> Model:
    if len(file.data) < 8 or file.fields("i", "the mark")[0] != _MAGIC:
        file.bad("it does not begin with the mark of one")
    (version,) = file.fields("i", "the version")
    if version not in _VERSIONS:
        file.bad(f"version {version} of the format; known are {_VERSIONS}")
    dim, _, _, _, _, word_ngrams, loss, kind, bucket, shortest, longest, _ = file.fields("12i", "settings")
    file.fields("d", "settings")
    if kind != _SUPERVISED:
        file.bad("it was not trained with labels (supervised)")
    longest = 0 if version == 11 else max(0, longest)  # models of version 11 were trained without character n-grams
    hashed = longest > 0 or word_ngrams > 1
    file.check(loss in _LOSSES, f"loss {loss}")
    sound = dim > 0 and longest <= 1000 and word_ngrams <= 1000 and hashed <= bucket <= 1 << 28
    file.check(sound, "settings out of range")

    size, words, labels, _, pruned = file.fields("3i2q", "sizes of the vocabulary")
    file.check(words >= 0 and labels > 0 and size == words + labels, f"{words:,} words and {labels:,} labels of {size:,}")
    file.check(10 * size <= len(file.data), f"{size:,} words and labels in a file of {len(file.data):,} bytes")
    first, last, counts, kinds, file.at = _entries(file.data, file.at, size)
    file.check(len(first) == size, f"the vocabulary is cut short at entry {len(first):,} of {size:,}")
    file.check(not kinds[:words].any() and (kinds[words:] == 1).all(), "words and labels are mixed")
    file.check(((counts >= 0) & (counts < _NEVER)).all(), "a word or label was counted too often")
    try:
        names = tuple(file.data[first[k] : last[k]].tobytes().decode() for k in range(words, size))
    except UnicodeDecodeError as error:
        file.bad(f"a label is not UTF-8: {error}")
    kept = file.take(8 * max(0, pruned), "kept n-grams").view(np.dtype("<i4")).astype(np.int64).reshape(-1, 2)

    (quantised,) = file.fields("?", "the kind of the input")
    rows, norms = _quantised(file, "input") if quantised else _dense(file, "input")
    (quantised_output,) = file.fields("?", "the kind of the output")
    output, scale = _quantised(file, "output") if quantised and quantised_output else _dense(file, "output")
    file.check(rows.shape[1] == output.shape[1] == dim, f"matrices of {rows.shape} and {output.shape}, settings of {dim}")
    file.check(len(output) == labels, f"{len(output):,} rows of output for {labels:,} labels")
    ngrams = np.zeros(0, np.int64)
    if pruned < 0:
        file.check(words + (bucket if hashed else 0) <= len(rows), "fewer rows than words and buckets")
    else:
        file.check(quantised, "n-grams are pruned, yet the matrix is not quantised")
        ngrams, places = kept[np.argsort(kept[:, 0], kind="stable")].T
        sound = not pruned or (ngrams[0] >= 0 and ngrams[-1] < bucket and (np.diff(ngrams) > 0).all())
        file.check(sound, "kept n-grams are no set")
        sound = words <= len(rows) and (not pruned or (places.min() >= 0 and places.max() < len(rows) - words))
        file.check(sound, "a word or a kept n-gram has no row")
        order = np.concatenate([np.arange(words), words + places])
        rows, norms = rows[order], norms[order]
    if quantised:
        rows = rows * norms[:, None]

    hashes = fasttext_score.fnv(file.data, first, last)
    slots = fasttext_score.index(file.data, first, last, hashes)
    line_ends = np.flatnonzero((hashes[:words].view(np.int32) == LINE_END_HASH) & (last[:words] - first[:words] == 4))
    tree = _LOSSES[loss] == HIERARCHICAL
    children, parents = _tree(counts[words:].tolist()) if tree else (np.zeros((0, 2), np.int32), np.zeros(0, np.int32))
    tables = Tables(
        words=words,
        line_end=int(line_ends[-1]) if len(line_ends) else -1,
        shortest=shortest,
        longest=longest,
        word_ngrams=word_ngrams,
        bucket=bucket,
        pruned=pruned >= 0,
        loss=_LOSSES[loss],
        slots=slots,
        hashes=hashes,
        text=file.data,
        first=first,
        last=last,
        kept=_cells(ngrams, bucket) if pruned >= 0 else np.zeros(0, np.uint64),
        rows=rows,
        output=np.array(output if tree else output.T, order="C"),
        scale=scale,
        children=children,
        parents=parents,
    )
    for table in tables:
        if isinstance(table, np.ndarray):
            table.flags.writeable = False  # as the mapped ones are: the kernels compile once for all models
    return Model(file.path, names, tables)


def _dense(file: _File, what: str) -> tuple[npt.NDArray[np.float32], npt.NDArray[np.float32]]:
    """A matrix where it lies in the file, [rows, dim], and 1 for each row."""
    rows, dim = file.fields("2q", f"size of the {what}")
    file.check(rows > 0 and dim > 0, f"{what} of {rows:,} × {dim:,}")
    dense = file.take(4 * rows * dim, f"{what} of {rows:,} × {dim:,}").view(np.dtype("<f4"))
    return dense.reshape(rows, dim), np.ones(rows, np.float32)


def _quantised(file: _File, what: str) -> tuple[npt.NDArray[np.float32], npt.NDArray[np.float32]]:
    """A product-quantised matrix (Jégou et al. 2011) unpacked, [rows, dim], and what each row is to be multiplied with."""
    normed, rows, dim, size = file.fields("?2qi", f"size of the {what}")
    codes = file.take(size, f"codes of the {what}")
    columns, parts, width, last = file.fields("4i", f"quantiser of the {what}")
    file.check(rows > 0 and dim == columns > 0 and size == rows * parts, f"{what} of {rows:,} × {dim:,}, {size:,} codes")
    sound = parts > 0 and 0 < last <= width and (parts - 1) * width + last == dim
    file.check(sound, f"{what} in {parts} parts of {width}, {last}")
    centroids = file.take(4 * _CENTROIDS * dim, f"centroids of the {what}").view(np.dtype("<f4"))
    norms = np.ones(rows, np.float32)
    if normed:
        norm_codes = file.take(rows, f"norms of the {what}")
        file.check(file.fields("4i", f"norms of the {what}") == (1, 1, 1, 1), f"quantiser of the norms of the {what}")
        norms = file.take(4 * _CENTROIDS, f"norms of the {what}").view(np.dtype("<f4"))[norm_codes]
    unpacked = np.empty((rows, dim), np.float32)
    for part, code in enumerate(codes.reshape(rows, parts).T):
        begin, end = part * width, min((part + 1) * width, dim)
        unpacked[:, begin:end] = centroids[_CENTROIDS * begin : _CENTROIDS * end].reshape(_CENTROIDS, -1)[code]
    return unpacked, norms


@njit(cache=True, nogil=True)
def _entries(data, at, size):  # type: ignore[no-untyped-def]
    """Where the words of the vocabulary lie, their counts and kinds, as many as are whole; where the last one ends."""
    first = np.empty(size, np.int64)
    last = np.empty(size, np.int64)
    counts = np.zeros(size, np.int64)
    kinds = np.empty(size, np.int8)
    for k in range(size):
        end = at
        while end < len(data) and data[end]:
            end += 1
        if end + 10 > len(data):
            return first[:k], last[:k], counts[:k], kinds[:k], at
        first[k] = at
        last[k] = end
        for j in range(8):
            counts[k] |= np.int64(data[end + 1 + j]) << (8 * j)
        kinds[k] = data[end + 9]
        at = end + 10
    return first, last, counts, kinds, at


def _cells(ngrams: npt.NDArray[np.int64], bucket: int) -> npt.NDArray[np.uint64]:
    """`Tables.kept` of sorted n-grams."""
    cell = ngrams >> 5
    number = np.bincount(cell, minlength=(bucket >> 5) + 1)  # one more: n-gram number `bucket` stands for none
    cells = (np.cumsum(number) - number).astype(np.uint64) << np.uint64(32)
    np.bitwise_or.at(cells, cell, np.uint64(1) << (ngrams & 31).astype(np.uint64))
    return cells


def _tree(counts: list[int]) -> tuple[npt.NDArray[np.int32], npt.NDArray[np.int32]]:
    """`Tables.children` and `parents`: the Huffman tree of the labels, which come in falling order of their counts."""
    labels = len(counts)
    weight = counts + [_NEVER] * (labels - 1)
    children = np.zeros((labels - 1, 2), np.int32)
    parents = np.full(2 * labels - 1, -1, np.int32)
    leaf, node = labels - 1, labels
    for new in range(labels, 2 * labels - 1):
        for side in range(2):
            if leaf >= 0 and weight[leaf] < weight[node]:
                child, leaf = leaf, leaf - 1
            else:
                child, node = node, node + 1
            children[new - labels, side] = child
            parents[child] = new
        weight[new] = sum(weight[child] for child in children[new - labels])
    return children, parents
