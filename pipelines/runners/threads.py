"""Threads of this process, which take the next elements when they have finished the last: they need no start.

For what runs without Python's lock for the most part, as Decide and Emit do. Rating a batch would wait for it.
"""

from __future__ import annotations

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from tamis.pipelines.runners.executor import Apply, Chain, apply_here


def apply_in_threads(threads: int) -> Apply:
    """Applies chains on so many threads. The elements share the functions of a chain, which are set up once."""

    def apply(chain: Chain, elements: Sequence[Any]) -> list[Any]:
        if len(elements) < 2:
            return apply_here(chain, elements)
        chain.set_up()
        with ThreadPoolExecutor(threads) as pool:
            outputs = [*pool.map(lambda element: [*chain.outputs([element])], elements)]
        chain.tear_down()
        return [output for each in outputs for output in each]

    return apply
