"""Makes the next items of an iterator while the present one is worked on."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Final, TypeVar, cast

Item = TypeVar("Item")
_END: Final = object()


def prefetch(items: Iterator[Item], depth: int = 1) -> Iterator[Item]:
    """The items, made in one thread of their own, `depth` of them before they are asked for; and what making them raises.

    Closed early, it waits for the item that is being made.
    """
    with ThreadPoolExecutor(1, "prefetch") as thread:
        coming = deque(thread.submit(next, items, _END) for _ in range(depth))
        while (item := coming.popleft().result()) is not _END:
            coming.append(thread.submit(next, items, _END))
            yield cast(Item, item)
