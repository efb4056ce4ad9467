"""Reads the examples that texts should resemble: JSON Lines, such as the training split of a benchmark."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Final

from tamis.transforms import storage

_TEST: Final = re.compile(r"(?:^|/)test/[^/]*$|(?:^|[/_.-])test(?:[_.-][^/]*)?$", re.IGNORECASE)


def names_a_test_split(path: str) -> bool:
    """Whether a path says that it holds the test split of something, as `gsm8k_test.jsonl` or `test/0.jsonl` does."""
    return _TEST.search(path) is not None


def read_targets(path: str, fields: Sequence[str]) -> list[tuple[str, ...]]:
    """The fields of each example. Raises FileNotFoundError, and ValueError for a line that is no object with these
    fields, or a file without examples."""
    import orjson

    examples = []
    with storage.open_decompressed(path) as file:
        lines = file.read().split(b"\n")
    for number, line in enumerate(lines, 1):
        if not line.strip():
            continue
        try:
            example = orjson.loads(line)
        except orjson.JSONDecodeError as error:
            raise ValueError(f"{path}: line {number}: {error}") from None
        missing = [name for name in fields if not isinstance(example, dict) or not isinstance(example.get(name), str)]
        if missing:
            has = f"; it has {', '.join(example)}" if isinstance(example, dict) else ""
            raise ValueError(f"{path}: line {number}: no text in the field {missing[0]}: correct `fields`{has}")
        examples.append(tuple(example[name] for name in fields))
    if not examples:
        raise ValueError(f"{path}: it has no examples")
    return examples
