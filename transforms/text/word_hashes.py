"""Hashes the words of texts, for what needs nothing else of them, in a third of the time of `segment`."""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from tamis.transforms.runtime.kernels import njit
from tamis.transforms.text.blocks import DIGITS, LETTERS, SIZE, fold_ascii, masks
from tamis.transforms.text.characters import PLAIN, PUNCTUATION, SPACE, characters, decode
from tamis.transforms.text.hashing import (
    PADDING,
    load64,
    low_bytes,
    text_buffer,
    trailing_zeros,
    word_begin,
    word_finish,
    word_hash64,
    word_step,
)
from tamis.transforms.text.segment import folded_hash, joints_of, next_word, rules_of
from tamis.transforms.text.words import Words

_ALL = np.uint64(0xFFFFFFFFFFFFFFFF)
_ONE = np.uint64(1)
_NONE = np.uint64(0)
_EDGE = SIZE - 1
"""The last byte of a block: what is behind it is not known, so a word before it may go on."""

_classes = masks(
    LETTERS + DIGITS,
    ((0x80, 0x80, 0),),  # not ASCII
    ((0x5F, 1, 0),),  # _
    ((0x2E, 2, 0), (0x3A, 1, 0), (0x40, 1, 0)),  # . / : @
    ((0x2C, 1, 0),),  # the comma
    DIGITS,
    ((0x27, 1, 0),),  # '
    ((0x2E, 1, 0),),  # .
    ((0x09, 5, 0), (0x1C, 5, 0)),  # white space
)


@dataclass(frozen=True, slots=True)
class HashedWords:
    """The words of n texts by one hash each."""

    data: npt.NDArray[np.uint8]
    text_start: npt.NDArray[np.int64]
    """[n + 1]: text d is `data[text_start[d]:text_start[d + 1]]`, as in `Texts`."""
    word_first: npt.NDArray[np.int64]
    """[n + 1]: hashes of text d are `hashes[word_first[d]:word_first[d + 1]]`."""
    hashes: npt.NDArray[np.uint64]
    folded: bool
    """The hashes are `fold_hash` of `SegmentedTexts`, without those that are 0; else they are `word_hash`."""

    def word_hashes(self, fold: bool) -> npt.NDArray[np.uint64]:
        """The hashes, folded or not. Raises ValueError if the others were asked for."""
        if fold != self.folded:
            raise ValueError(f"these words are {'folded' if self.folded else 'not folded'}: hash them again")
        return self.hashes


def hashed_words(texts: pa.Array, words: Words, fold: bool) -> HashedWords:
    """Hashes the words of a string or large_string array without nulls. Raises as `segment` does."""
    data, text_start = text_buffer(texts)
    joints = joints_of(data, text_start, words)
    word_first, hashes = _hash(data, text_start, rules_of(words), fold, characters().folded, joints)
    return HashedWords(data, text_start, word_first, hashes, fold)


@njit(cache=True, nogil=True, inline="always")
def _runs(data, i, inside, whitespace):  # type: ignore[no-untyped-def]
    """Six masks of the block at `i`, of whose bytes only those `inside` are of the text; the last bit of each is not reliable.

    plain: letters and digits of ASCII. run: the bytes of words, and what joins them; a run is one word, but for the next two.
    begins: a word begins here inside a run. hard: only `next_word` knows where a run with such a byte is cut. dropped:
    what folding drops of a run without them. symbols: every other character, each of which is a word.
    """
    plain, foreign, underscore, joiner, comma, digit, apostrophe, dot, space = _classes(data, i)
    plain &= inside
    foreign &= inside
    if whitespace:
        run = ~space & inside
        return plain, run, _NONE, foreign, run & ~plain, _NONE
    wordlike = plain | foreign | (underscore & inside)
    after = wordlike >> _ONE
    joined = joiner & (wordlike << _ONE) & after | comma & (digit << _ONE) & (digit & inside) >> _ONE
    begins = apostrophe & after
    run = wordlike | joined | begins
    hard = foreign | dot & (dot & inside) >> _ONE
    if begins:  # behind an apostrophe, nothing is joined to a word
        hard |= joined
    return plain, run, begins, hard, run & ~plain, ~(run | space) & inside


@njit(cache=True, nogil=True, inline="always")
def _hash_short(data, start, length):  # type: ignore[no-untyped-def]
    """`word_hash64` of a word, without a branch that depends on its length unless it is longer than sixteen bytes."""
    h = word_begin(length)
    stepped = word_step(h, load64(data, start))
    h = stepped if length > 8 else h
    for k in range(start + 8, start + length - 8, 8):
        h = word_step(h, load64(data, k))
    return word_finish(h, low_bytes(load64(data, start + max(length - 8, 0)), min(length, 8)))


@njit(cache=True, nogil=True)
def _hash(data, text_start, rules, fold, folded, joints):  # type: ignore[no-untyped-def]
    flags = rules.flags
    n = len(text_start) - 1
    word_first = np.empty(n + 1, np.int64)
    hashes = np.empty(text_start[n] - text_start[0], np.uint64)  # memory that is never written costs nothing
    scratch = np.zeros(1024, np.uint8)
    tail = np.zeros(SIZE, np.uint8)
    block = np.zeros(SIZE + PADDING, np.uint8)
    words = 0
    g = 0
    for d in range(n):
        i = text_start[d]
        end = text_start[d + 1]
        word_first[d] = words
        while i < end:
            base = i
            inside = _ALL if end - i >= SIZE else ~(_ALL << np.uint64(end - i))
            if i + SIZE <= len(data):
                plain, run, begins, hard, dropped, symbols = _runs(data, i, inside, rules.whitespace)
                fold_ascii(data, i, block)
            else:
                tail[: end - i] = data[i:end]
                plain, run, begins, hard, dropped, symbols = _runs(tail, 0, inside, rules.whitespace)
                fold_ascii(tail, 0, block)
            known = min(_EDGE, end - i)
            run &= ~(_ALL << np.uint64(known))
            starts = run & (begins | ~(run << _ONE))
            ends = (begins | ~run) & (run << _ONE)
            if not fold:
                symbols &= ~(_ALL << np.uint64(known))
                starts |= symbols
                ends |= symbols << _ONE
            i = base + known
            while starts:
                first = np.int64(trailing_zeros(starts))
                length = np.int64(trailing_zeros(ends)) - first
                goes_on = first + length == _EDGE and base + _EDGE < end
                if goes_on and first:
                    i = base + first
                    break
                if goes_on or hard >> np.uint64(first) << np.uint64(SIZE - length):
                    at = base + first
                    stop = at + length
                    while True:
                        point, size = decode(data, at)
                        if flags[point] & SPACE:
                            at += size
                        else:
                            start = at
                            at, _, _, every, g = next_word(data, at, end, flags, joints, g)
                            h = _NONE
                            if not fold or every & PLAIN:
                                h = word_hash64(data, start, at)
                            elif not every & PUNCTUATION:
                                h = folded_hash(data, start, at, folded, scratch)
                            hashes[words] = h
                            words += h != 0
                        if at >= stop or plain >> np.uint64(at - base) & _ONE:
                            break
                    if at - base >= known:
                        i = at
                        break
                    rest = _ALL << np.uint64(at - base)
                    starts &= rest
                    ends &= rest << _ONE
                    if at < stop:
                        starts |= _ONE << np.uint64(at - base)
                    continue
                if not fold:
                    hashes[words] = _hash_short(data, base + first, length)
                    words += 1
                elif dropped >> np.uint64(first) << np.uint64(SIZE - length):
                    size = 0
                    for k in range(first, first + length):
                        scratch[size] = block[k]
                        size += np.int64(plain >> np.uint64(k) & _ONE)
                    hashes[words] = _hash_short(scratch, 0, size)
                    words += size > 0
                else:
                    hashes[words] = _hash_short(block, first, length)
                    words += 1
                starts &= starts - _ONE
                ends &= ends - _ONE
    word_first[n] = words
    return word_first, hashes[:words]
