"""One heap for a process, which keeps freed memory, because kernels allocate and free the same megabytes for every batch; and
gives it back.

glibc gives a large block back to the system when it is freed and faults it in page by page when it is needed again. Measured
on web pages in 2 MB batches: segmentation 130 MB/s a core with that, 190 without.
"""

from __future__ import annotations

import ctypes
import os

_TRIM_THRESHOLD, _TOP_PAD, _MMAP_THRESHOLD, _ARENA_MAX = -1, -2, -3, -8  # malloc.h


def share_one_heap() -> None:
    """From now on all threads and Arrow allocate from one heap: what a thread has freed, another can use. To be called first of
    all: a thread keeps the heap it has, and numpy and Arrow start some when they are imported.

    Beam takes a thread for each bundle, glibc gives a thread a heap of its own, and Arrow brings a third allocator. Measured on
    1 GB of text, one worker: a peak of 560 MB with this and 680 without, which grows with the input.
    """
    os.environ["ARROW_DEFAULT_MEMORY_POOL"] = "system"
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)
    if mallopt is not None:
        mallopt(_ARENA_MAX, 1)


def keep_freed_memory() -> None:
    """From now on blocks up to 32 MB come from the heap, of which up to 256 MB stay with the process. Only glibc can do it."""
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)
    if mallopt is not None:
        mallopt(_MMAP_THRESHOLD, 32 << 20)  # the most that glibc takes
        mallopt(_TRIM_THRESHOLD, 256 << 20)
        mallopt(_TOP_PAD, 16 << 20)


def give_back_freed_memory() -> None:
    """Everything that is free goes back to the system: after rating that is 100 to 200 MB."""
    trim = getattr(ctypes.CDLL(None), "malloc_trim", None)
    if trim is not None:
        trim(0)
