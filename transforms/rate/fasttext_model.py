"""Reads a supervised fastText model (.bin or .ftz) into the arrays that score texts.

The format is version 11 or 12 of fastText,
`src/{fasttext,args,dictionary,densematrix,quantmatrix,productquantizer}.cc`: settings, vocabulary,
input matrix (one row per word, then one per bucket of n-grams) and output matrix (one row per
label). This module checks every value that the kernels use as an index.
"""

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
_UNSET = 10**15  # count of a node of the tree that is not built yet


@dataclass(frozen=True, slots=True)
class Model:
    """A model in memory, with all its labels in the order of their numbers."""

    path: str
    labels: tuple[str, ...]
    tables: Tables
    _memories: list[Memory] = field(default_factory=list)

    def best(
        self, data: npt.NDArray[np.uint8], start: npt.NDArray[np.int64], end: npt.NDArray[np.int64]
    ) -> tuple[npt.NDArray[np.int32], npt.NDArray[np.float32]]:
        """The most likely label of each text, i32[n], and its probability, f32[n]; -1 and nan
        without any known feature.

        Text d is the UTF-8 in `data[start[d]:end[d]]`; a line break in it counts as a space.
        """
        return self._score(data, start, end, -1)

    def probability(
        self, data: npt.NDArray[np.uint8], start: npt.NDArray[np.int64], end: npt.NDArray[np.int64], label: str
    ) -> npt.NDArray[np.float64]:
        """The probability of one of `labels` in each text, f64[n]; nan without any known feature.

        With two labels this is computed as in DCLM: p of the more likely label, or 1 − p if that is
        the other label. The label's own p differs by fastText's 1e-5, which matters near a
        threshold such as 0.018.
        """
        number = self.labels.index(label)
        best, p = self._score(data, start, end, -1 if len(self.labels) == 2 else number)
        probability = p.astype(np.float64)
        return np.where(best == number, probability, 1.0 - probability)

    def _score(
        self, data: npt.NDArray[np.uint8], start: npt.NDArray[np.int64], end: npt.NDArray[np.int64], label: int
    ) -> tuple[npt.NDArray[np.int32], npt.NDArray[np.float32]]:
        try:
            memory = self._memories.pop()  # only this thread uses it now
        except IndexError:
            memory = fasttext_score.new_memory(self.tables)
        labels, probabilities = fasttext_score.score(self.tables, data, start, end, label, memory)
        self._memories.append(memory)
        return labels, probabilities


@cache
def load(path: str) -> Model:
    """The model at a local path, loaded once per process. Raises FileNotFoundError or ValueError.

    The file is memory-mapped, so processes share a dense matrix. A quantised matrix is unpacked
    into memory.
    """
    with open(path, "rb") as file:
        try:
            mapped = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)
        except ValueError as error:
            raise ValueError(f"{path}: not a fastText model: the file is empty") from error
    if hasattr(mmap, "MADV_WILLNEED"):
        mapped.madvise(mmap.MADV_WILLNEED)
    return _read_model(_ModelFile(path, np.frombuffer(mapped, np.uint8)))


class _ModelFile:
    """The bytes of a model, and the position up to which they have been read."""

    def __init__(self, path: str, data: npt.NDArray[np.uint8]) -> None:
        self.path = path
        self.data = data
        self.position = 0

    def fail(self, reason: str) -> NoReturn:
        raise ValueError(f"{self.path}: not a usable fastText model: {reason}")

    def check(self, condition: Any, reason: str) -> None:
        if not condition:
            self.fail(f"damaged: {reason}")

    def take(self, size: int, name: str) -> npt.NDArray[np.uint8]:
        """A view of the next `size` bytes."""
        if not 0 <= size <= len(self.data) - self.position:
            self.fail(f"damaged or cut short: {name} of {size:,} bytes at byte {self.position:,} of {len(self.data):,}")
        self.position += size
        return self.data[self.position - size : self.position]

    def fields(self, layout: str, name: str) -> tuple[Any, ...]:
        """The next values in a little-endian `struct` layout."""
        return struct.unpack("<" + layout, self.take(struct.calcsize("<" + layout), name).tobytes())


def _read_model(file: _ModelFile) -> Model:
    if len(file.data) < 8 or file.fields("i", "magic number")[0] != _MAGIC:
        file.fail("it does not begin with fastText's magic number")
    (version,) = file.fields("i", "version")
    if version not in _VERSIONS:
        file.fail(f"format version {version}; supported are {_VERSIONS}")
    dim, _, _, _, _, word_ngrams, loss, kind, bucket, shortest, longest, _ = file.fields("12i", "settings")
    file.fields("d", "settings")
    if kind != _SUPERVISED:
        file.fail("it was not trained with labels; train it with `fasttext supervised`")
    longest = 0 if version == 11 else max(0, longest)  # version 11 has no character n-grams in supervised models
    hashed = longest > 0 or word_ngrams > 1
    file.check(loss in _LOSSES, f"loss {loss}")
    in_range = dim > 0 and longest <= 1000 and word_ngrams <= 1000 and hashed <= bucket <= 1 << 28
    file.check(in_range, "settings out of range")

    size, words, labels, _, pruned = file.fields("3i2q", "sizes of the vocabulary")
    file.check(words >= 0 and labels > 0 and size == words + labels, f"{words:,} words and {labels:,} labels of {size:,}")
    file.check(10 * size <= len(file.data), f"{size:,} words and labels in a file of {len(file.data):,} bytes")
    first, last, counts, kinds, file.position = _entries(file.data, file.position, size)
    file.check(len(first) == size, f"the vocabulary is cut short at entry {len(first):,} of {size:,}")
    file.check(not kinds[:words].any() and (kinds[words:] == 1).all(), "words and labels are mixed")
    file.check(((counts >= 0) & (counts < _UNSET)).all(), "a word or label was counted too often")
    try:
        names = tuple(file.data[first[k] : last[k]].tobytes().decode() for k in range(words, size))
    except UnicodeDecodeError as error:
        file.fail(f"a label is not UTF-8: {error}")
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
        unique = not pruned or (ngrams[0] >= 0 and ngrams[-1] < bucket and (np.diff(ngrams) > 0).all())
        file.check(unique, "the kept n-grams are repeated or out of range")
        in_range = words <= len(rows) and (not pruned or (places.min() >= 0 and places.max() < len(rows) - words))
        file.check(in_range, "a word or a kept n-gram has no row")
        order = np.concatenate([np.arange(words), words + places])
        rows, norms = rows[order], norms[order]
    if quantised:
        rows = rows * norms[:, None]

    hashes = fasttext_score.fnv(file.data, first, last)
    slots = fasttext_score.index(file.data, first, last, hashes)
    line_ends = np.flatnonzero((hashes[:words].view(np.int32) == LINE_END_HASH) & (last[:words] - first[:words] == 4))
    tree = _LOSSES[loss] == HIERARCHICAL
    children, parents = _huffman_tree(counts[words:].tolist()) if tree else (np.zeros((0, 2), np.int32), np.zeros(0, np.int32))
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
            table.flags.writeable = False  # as mapped ones are, so that the kernels compile only once
    return Model(file.path, names, tables)


def _dense(file: _ModelFile, name: str) -> tuple[npt.NDArray[np.float32], npt.NDArray[np.float32]]:
    """A dense matrix [rows, dim] as a view of the file, and a factor 1 for each row."""
    rows, dim = file.fields("2q", f"size of the {name}")
    file.check(rows > 0 and dim > 0, f"{name} of {rows:,} × {dim:,}")
    dense = file.take(4 * rows * dim, f"{name} of {rows:,} × {dim:,}").view(np.dtype("<f4"))
    return dense.reshape(rows, dim), np.ones(rows, np.float32)


def _quantised(file: _ModelFile, name: str) -> tuple[npt.NDArray[np.float32], npt.NDArray[np.float32]]:
    """A product-quantised matrix (Jégou et al. 2011), unpacked, and the factor of each row."""
    normed, rows, dim, size = file.fields("?2qi", f"size of the {name}")
    codes = file.take(size, f"codes of the {name}")
    columns, parts, width, last = file.fields("4i", f"quantiser of the {name}")
    file.check(rows > 0 and dim == columns > 0 and size == rows * parts, f"{name} of {rows:,} × {dim:,}, {size:,} codes")
    consistent = parts > 0 and 0 < last <= width and (parts - 1) * width + last == dim
    file.check(consistent, f"{name} in {parts} parts of {width}, {last}")
    centroids = file.take(4 * _CENTROIDS * dim, f"centroids of the {name}").view(np.dtype("<f4"))
    norms = np.ones(rows, np.float32)
    if normed:
        norm_codes = file.take(rows, f"norms of the {name}")
        file.check(file.fields("4i", f"norms of the {name}") == (1, 1, 1, 1), f"quantiser of the norms of the {name}")
        norms = file.take(4 * _CENTROIDS, f"norms of the {name}").view(np.dtype("<f4"))[norm_codes]
    unpacked = np.empty((rows, dim), np.float32)
    for part, code in enumerate(codes.reshape(rows, parts).T):
        begin, end = part * width, min((part + 1) * width, dim)
        unpacked[:, begin:end] = centroids[_CENTROIDS * begin : _CENTROIDS * end].reshape(_CENTROIDS, -1)[code]
    return unpacked, norms


@njit(cache=True, nogil=True)
def _entries(data, position, size):  # type: ignore[no-untyped-def]
    """First and last byte, count and kind of each complete entry; and the end of the last entry."""
    first = np.empty(size, np.int64)
    last = np.empty(size, np.int64)
    counts = np.zeros(size, np.int64)
    kinds = np.empty(size, np.int8)
    for k in range(size):
        end = position
        while end < len(data) and data[end]:
            end += 1
        if end + 10 > len(data):
            return first[:k], last[:k], counts[:k], kinds[:k], position
        first[k] = position
        last[k] = end
        for j in range(8):
            counts[k] |= np.int64(data[end + 1 + j]) << (8 * j)
        kinds[k] = data[end + 9]
        position = end + 10
    return first, last, counts, kinds, position


def _cells(ngrams: npt.NDArray[np.int64], bucket: int) -> npt.NDArray[np.uint64]:
    """`Tables.kept` for sorted n-grams."""
    cell = ngrams >> 5
    number = np.bincount(cell, minlength=(bucket >> 5) + 1)  # one more cell, because `bucket` may stand for no n-gram
    cells = (np.cumsum(number) - number).astype(np.uint64) << np.uint64(32)
    np.bitwise_or.at(cells, cell, np.uint64(1) << (ngrams & 31).astype(np.uint64))
    return cells


def _huffman_tree(counts: list[int]) -> tuple[npt.NDArray[np.int32], npt.NDArray[np.int32]]:
    """`Tables.children` and `Tables.parents`: the Huffman tree; `counts` must descend."""
    labels = len(counts)
    weight = counts + [_UNSET] * (labels - 1)
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
