"""Draws numbers that depend on nothing but a key, so that a probe is the same everywhere."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from typing import TypeVar

import numpy as np

T = TypeVar("T")


def key_of(*key: str | int) -> int:
    """A hash of 64 bits of strings and numbers."""
    return int.from_bytes(hashlib.blake2b(json.dumps(key).encode(), digest_size=8).digest(), "little")


class Draws:
    """A stream of draws for a key: its raw numbers are those of PCG64, which numpy never changes."""

    def __init__(self, *key: str | int) -> None:
        self._raw = np.random.PCG64(key_of(*key))

    def below(self, count: int) -> int:
        """A number from 0 to `count` - 1."""
        return int(self._raw.random_raw()) * count >> 64

    def choice(self, values: Sequence[T]) -> T:
        """One of the values."""
        return values[self.below(len(values))]

    def places(self, count: int, number: int) -> list[int]:
        """So many different numbers below `count`, ascending."""
        return sorted(self.shuffled(range(count))[:number])

    def shuffled(self, values: Sequence[T]) -> list[T]:
        """The values in another order, or by chance in the same."""
        found = list(values)
        for last in range(len(found) - 1, 0, -1):
            other = self.below(last + 1)
            found[last], found[other] = found[other], found[last]
        return found
