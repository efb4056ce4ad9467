"""Makes a placeholder for each value: equal values have equal ones, which only a key can tell."""

from __future__ import annotations

import functools
import hmac
import re

from tamis.transforms import storage
from tamis.transforms.edit.pii.found_value import KINDS, FoundValue

_BITS = 48

PLACEHOLDER = re.compile(f"<(?:{'|'.join(KINDS).upper()})-[0-9a-f]{{{_BITS // 4}}}>")


@functools.cache
def placeholder_key(seed: int, key_file: str | None) -> bytes:
    """The bytes of the file, or those that follow from a seed, which is no secret."""
    return storage.read_bytes(key_file) if key_file is not None else b"tamis pii %d" % seed


def placeholder(found: FoundValue, key: bytes) -> str:
    """`<EMAIL-1f6b03c97a2e>`: 48 bits of HMAC-SHA256 of kind and value. Two of a million values share
    one with a probability of 0.2 %."""
    digest = hmac.digest(key, f"{found.kind}:{found.value}".encode(), "sha256")
    return f"<{found.kind.upper()}-{digest.hex()[: _BITS // 4]}>"
