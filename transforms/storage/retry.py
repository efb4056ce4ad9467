"""Sends requests to a store again if they fail for a moment or their response is cut.

The clients' own retries do not suffice: botocore's stop at a quota, Azure's start with a pause of
15 seconds, and none covers the body of a response. After the last response of an upload is lost, a
client goes on with an upload that no longer exists.
"""

import os
import time
from collections.abc import Callable
from typing import TypeVar

Response = TypeVar("Response")

ATTEMPTS = 10
"""How often a request is sent before its failure is an error."""


def retry(
    request: Callable[[], Response], failures: tuple[type[Exception], ...], is_transient: Callable[[Exception], bool]
) -> Response:
    """The response to `request`, which is sent again after transient `failures`, ever later."""
    for attempt in range(ATTEMPTS - 1):
        try:
            return request()
        except failures as error:
            if not is_transient(error):
                raise
        spread = 0.5 + os.getpid() * 0.6180339887 % 0.5  # workers retry at different times
        time.sleep(min(20.0, 0.1 * 2**attempt) * spread)
    return request()


def is_transient_status(status: int) -> bool:
    """Whether a request with this HTTP status may succeed when it is sent again."""
    return status in (408, 429, *range(500, 600))
