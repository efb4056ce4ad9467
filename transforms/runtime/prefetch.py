"""Makes the next items of an iterator in a thread while the current one is processed."""

from collections import deque
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Final, TypeVar, cast

Item = TypeVar("Item")
_END: Final = object()


def prefetch(items: Iterator[Item], depth: int = 1) -> Iterator[Item]:
    """The same items, made up to `depth` ahead in one thread. An exception comes in its turn.

    If the iterator is closed early, it waits for the item that is being made.
    """
    with ThreadPoolExecutor(1, "prefetch") as thread:
        pending = deque(thread.submit(next, items, _END) for _ in range(depth))
        while (item := pending.popleft().result()) is not _END:
            pending.append(thread.submit(next, items, _END))
            yield cast(Item, item)
