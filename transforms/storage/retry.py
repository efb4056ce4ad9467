"""Requests to a store, sent again where it fails for a moment or its answer is cut.

The clients' own retries do not do: botocore's end with a quota, Azure's begin with 15 seconds, none covers the body of an
answer, and an upload whose last answer was lost is gone on with although there is nothing left to go on with.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from typing import TypeVar

Answer = TypeVar("Answer")

ATTEMPTS = 10
"""How often a request is sent before its failure is an error."""


def patiently(
    request: Callable[[], Answer], failures: tuple[type[Exception], ...], passing: Callable[[Exception], bool]
) -> Answer:
    """The answer to `request`, which is made again, after growing pauses, while what it raises of `failures` is `passing`."""
    for attempt in range(ATTEMPTS - 1):
        try:
            return request()
        except failures as error:
            if not passing(error):
                raise
        spread = 0.5 + os.getpid() * 0.6180339887 % 0.5  # so that workers do not knock in step
        time.sleep(min(20.0, 0.1 * 2**attempt) * spread)
    return request()


def momentary(status: int) -> bool:
    """Whether what was refused with this status of HTTP may be granted in a moment."""
    return status in (408, 429, *range(500, 600))
