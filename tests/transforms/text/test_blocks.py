"""A mask has a one for every byte of its class, and folding changes capitals and digits of ASCII alone."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
from numba import njit

from tamis.transforms.text.blocks import DIGITS, LETTERS, SIZE, SPACES, classes, fold_ascii, masks, ones

_separate_masks = masks(LETTERS, DIGITS, SPACES, ((0xC2, 12, 0), (0x80, 1, 0)))


@njit
def _masks(data: npt.NDArray[np.uint8], index: int) -> object:
    return _separate_masks(data, index), classes(data, index)


@njit
def _ones(word: np.uint64) -> int:
    return ones(word)


def test_masks_are_of_each_byte() -> None:
    data = np.concatenate([np.arange(256), np.random.default_rng(0).integers(0, 256, 1000)]).astype(np.uint8)
    for index in range(len(data) - SIZE):
        expected = [0, 0, 0, 0]
        for k, byte in enumerate(data[index : index + SIZE].tolist()):
            expected[0] |= chr(byte).isascii() * chr(byte).isalpha() << k
            expected[1] |= (48 <= byte < 58) << k
            expected[2] |= (byte == 32) << k
            expected[3] |= (0xC2 <= byte < 0xCE or byte == 0x80) << k
        assert _masks(data, index) == (tuple(expected), (expected[0] | expected[1], expected[2]))


@njit
def _folded(data: npt.NDArray[np.uint8], index: int, out: npt.NDArray[np.uint8]) -> None:
    fold_ascii(data, index, out)


def test_a_block_is_folded() -> None:
    data, out = np.arange(256, dtype=np.uint8), np.full(SIZE + 1, 7, np.uint8)
    for index in range(len(data) - SIZE + 1):
        _folded(data, index, out)
        block = data[index : index + SIZE].tobytes()
        assert out.tobytes() == block.lower().translate(bytes.maketrans(b"123456789", b"0" * 9)) + b"\x07"


def test_ones_are_counted() -> None:
    for word in (0, 1, 0x8000000000000001, 2**64 - 1):
        assert _ones(np.uint64(word)) == word.bit_count()
