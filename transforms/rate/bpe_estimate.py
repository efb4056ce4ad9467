"""Estimates the number of tokens of a byte-pair tokenizer from runs of byte classes."""

from typing import Final

import numpy as np
import numpy.typing as npt

from tamis.transforms.runtime.kernels import njit
from tamis.transforms.text.blocks import DIGITS as DIGIT
from tamis.transforms.text.blocks import LETTERS, SIZE, masks, ones

# Costs in sixteenths of a token, rounded from a least-squares fit to cl100k_base over English web
# pages, documentation, e-mail, encyclopaedia prose, Python, HTML and arithmetic problems, and over
# Article 1 of the Universal Declaration in thirteen languages.
WORD: Final = 16  # a run of letters, including accented Latin ones, and the space before it
LONG_LETTER: Final = 3  # each letter of the run beyond the sixth
ACCENT: Final = 5  # each letter from U+0080 to U+037F
DIGITS: Final = 16  # each group of up to three digits
LINE: Final = 17  # a run of white space with a line break, such as the break and the indentation
GAP: Final = 26  # another run of white space that is longer than one byte or precedes a digit, so it joins no word
PUNCTUATION: Final = 12  # a run of other ASCII bytes
TYPOGRAPHY: Final = 2  # each character from U+2000 to U+2FFF (quotes, dashes); most join their neighbours
WIDE_BYTE: Final = 6  # each UTF-8 byte of all other characters
LONG_RUN: Final = 16  # longest run of white space or punctuation in one token, in bytes

_SPACE = ((0x20, 1, 0), (0x09, 5, 0))
_BREAK = ((0x0A, 1, 0),)
_HIGH = ((0x80, 128, 0),)
_ACCENTED = ((0xC2, 12, 0),)  # the first of the two bytes of U+0080 to U+037F
_TYPOGRAPHIC = ((0xE2, 1, 0),)  # the first of the three bytes of U+2000 to U+2FFF
_classes = masks(LETTERS, DIGIT, _SPACE, _BREAK, _HIGH, _ACCENTED, _TYPOGRAPHIC)

_ALL: Final = np.uint64(0xFFFFFFFFFFFFFFFF)
_BYTES: Final = np.uint64(0x0101010101010101)


@njit(cache=True, nogil=True, inline="always")
def _later(mask: np.uint64, before: np.uint64, by: int) -> np.uint64:
    """`mask` shifted by 1 to 63 bytes; `before` is the mask of the block before."""
    return (mask << np.uint64(by)) | (before >> np.uint64(SIZE - by))


@njit(cache=True, nogil=True, inline="always")
def _every(begins, before, step, inside):  # type: ignore[no-untyped-def]
    """`begins` and every `step`-th byte of these runs; `step` bytes of a run precede `inside`."""
    marked = begins
    while True:
        more = marked | (_later(marked, before, step) & inside)
        if more == marked:
            return marked
        marked = more


@njit(cache=True, nogil=True, inline="always")
def _beyond(run, before):  # type: ignore[no-untyped-def]
    """The bytes of a run after its first LONG_RUN (16) bytes."""
    if not (~run - _BYTES) & run & _BYTES << np.uint64(7) and before >> np.uint64(SIZE - 8) < np.uint64(0xFF):
        return np.uint64(0)  # such a run would fill eight aligned bits
    longer, longer_before = run, before
    for by in (1, 2, 4, 8):
        longer &= _later(longer, longer_before, by)
        longer_before &= longer_before << np.uint64(by)
    return longer & _later(run, before, 16)


@njit(cache=True, nogil=True)
def estimate(data: npt.NDArray[np.uint8], start: npt.NDArray[np.int64]) -> npt.NDArray[np.int64]:
    """Tokens of each UTF-8 text `data[start[d]:start[d + 1]]`, i64[n]; 0 only for empty texts.

    The kernel reads 64 bytes at a time. A class of bytes is a mask in a u64; a run begins at a one
    with a zero below it. The mask `after` has a one after every byte of its class.
    """
    tokens = np.zeros(len(start) - 1, np.int64)
    tail = np.zeros(SIZE, np.uint8)
    zero = np.uint64(0)
    one = np.uint64(1)
    for d in range(len(tokens)):
        end = start[d + 1]
        cost = 0
        # Masks of the block before:
        words_before = letters_before = digits_before = spaces_before = marks_before = zero
        accents_before = typography_before = zero
        threes_before = space_tokens_before = mark_tokens_before = zero
        broken = zero
        for i in range(start[d], end + 1, SIZE):  # the last block is never full, so every run ends in a block
            size = min(end - i, SIZE)
            if size == SIZE:
                letters, digits, spaces, breaks, high, accents, typography = _classes(data, i)
                inside = _ALL
            else:
                for k in range(SIZE):
                    tail[k] = data[i + k] if k < size else 0  # which `inside` masks
                letters, digits, spaces, breaks, high, accents, typography = _classes(tail, 0)
                inside = (one << np.uint64(size)) - one
            marks = ~(letters | digits | spaces | high) & inside

            seconds = _later(accents, accents_before, 1)
            words = letters | accents | seconds
            cost += WORD * ones(words & ~_later(words, words_before, 1)) + ACCENT * ones(accents)
            words_before = words
            letters |= accents
            length = SIZE
            while seconds:  # remove the second bytes, so that each letter is one bit
                below = (seconds & (~seconds + one)) - one
                letters = (letters & below) | ((letters >> one) & ~below)
                seconds = (seconds & (seconds - one)) >> one
                length -= 1
            seventh = letters
            for by in range(1, 7):
                seventh &= _later(letters, letters_before, by)
            cost += LONG_LETTER * ones(seventh)
            letters_before = letters << np.uint64(SIZE - length)

            if high:
                typographic = typography | _later(typography, typography_before, 1) | _later(typography, typography_before, 2)
                cost += TYPOGRAPHY * ones(typography) + WIDE_BYTE * ones(high & ~(words | typographic))
            accents_before = accents
            typography_before = typography

            after = _later(digits, digits_before, 1)
            fourth = digits & after & _later(digits, digits_before, 2) & _later(digits, digits_before, 3)
            threes = _every(digits & ~after, threes_before, 3, fourth)
            cost += DIGITS * ones(threes)
            digits_before = digits
            threes_before = threes

            # The addition carries the first break of a run through the rest of the run to the bit
            # after it.
            carried = spaces + breaks
            over = carried < spaces
            carried += broken
            broken = np.uint64(over or carried < broken)
            lines = carried & ~spaces
            after = _later(spaces, spaces_before, 1)
            gaps = ~spaces & after & (_later(spaces, spaces_before, 2) | digits) & ~lines
            cost += LINE * ones(lines) + GAP * ones(gaps)
            run_tokens = _every(spaces & ~after, space_tokens_before, LONG_RUN, _beyond(spaces, spaces_before))
            cost += 16 * ones(run_tokens & after)
            spaces_before = spaces
            space_tokens_before = run_tokens

            after = _later(marks, marks_before, 1)
            run_tokens = _every(marks & ~after, mark_tokens_before, LONG_RUN, _beyond(marks, marks_before))
            cost += PUNCTUATION * ones(run_tokens & ~after) + 16 * ones(run_tokens & after)
            marks_before = marks
            mark_tokens_before = run_tokens
        tokens[d] = max((cost + 8) >> 4, min(1, end - start[d]))
    return tokens
