"""Hashes web addresses so that those of one page have one key."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from tamis.transforms.dedup.urls.url_options import RepeatedUrls
from tamis.transforms.runtime.kernels import njit
from tamis.transforms.text.canonical_urls import canonical_urls
from tamis.transforms.text.hashing import PADDING, hash_texts, xxh64

# mypy: disable-error-code="no-untyped-def"

Hashes = npt.NDArray[np.uint64]

TRACKING: Final = (
    *("utm_*", "mtm_*", "pk_*", "piwik_*", "hsa_*", "oly_*", "vero_*"),  # campaigns
    *("gclid", "gclsrc", "dclid", "gbraid", "wbraid", "fbclid", "msclkid", "yclid", "ysclid", "twclid", "ttclid", "li_fat_id"),
    *(
        "igshid",
        "igsh",
        "mc_cid",
        "mc_eid",
        "mkt_tok",
        "_ga",
        "_gl",
        "_hsenc",
        "_hsmi",
        "wickedid",
        "srsltid",
        "epik",
        "rb_clickid",
    ),
    *("phpsessid", "jsessionid", "aspsessionid*", "cfid", "cftoken", "zenid", "osCsid"),  # sessions
)
"""Parameters that say who came from where, not which page is meant. `*` stands for any ending."""


def url_keys(urls: pa.Array, options: RepeatedUrls) -> tuple[Hashes, npt.NDArray[np.bool_]]:
    """128 bits for each address, u64[n, 2], and whether it has a host; an array of strings with nulls.

    The key is XXH64, with seeds 0 and 1, of host, path and query as `canonical_urls` writes them, without
    what the options ignore: a `www.` before a host that has another dot, slashes at the end of the
    path, `;jsessionid=…` in it, and parameters by name. An empty parameter (`a=1&&b=2`) never counts.
    """
    names = (*(TRACKING if "tracking" in options.ignore else ()), *options.parameters)
    prefixes, exact = ([name for name in names if name.endswith("*") is starred] for starred in (True, False))
    urls = canonical_urls(urls)
    www, slash, order = (variant in options.ignore for variant in ("www", "slash", "order"))
    places = urls.data, urls.host_start, urls.path_start, urls.end
    listed = (
        np.sort(_hashed(exact)),
        _hashed([name[:-1] for name in prefixes]),
        np.array([len(name) - 1 for name in prefixes]),
    )
    return _keys(*places, www, slash, order, "tracking" in options.ignore, *listed), urls.found


def _hashed(names: Sequence[str]) -> Hashes:
    return hash_texts(pa.array([name.lower() for name in names], pa.large_string()))


@njit(cache=True, nogil=True, inline="always")
def _lower(byte):
    return byte | 0x20 if 0x41 <= byte <= 0x5A else byte


@njit(cache=True, nogil=True)
def _ignored(data, start, end, exact, prefixes, prefix_sizes, room):
    """Whether the name `data[start:end]` of a parameter is listed."""
    for k in range(start, end):
        room[k - start] = _lower(data[k])
    size = end - start
    name = xxh64(room, 0, size, np.uint64(0))
    place = np.searchsorted(exact, name)
    if place < len(exact) and exact[place] == name:
        return True
    for k in range(len(prefixes)):
        if size >= prefix_sizes[k] and xxh64(room, 0, prefix_sizes[k], np.uint64(0)) == prefixes[k]:
            return True
    return False


@njit(cache=True, nogil=True, inline="always")
def _before(data, a, a_end, b, b_end):
    """Whether `data[a:a_end]` comes before `data[b:b_end]` in the order of bytes."""
    while a < a_end and b < b_end:
        if data[a] != data[b]:
            return data[a] < data[b]
        a += 1
        b += 1
    return a == a_end and b < b_end


@njit(cache=True, nogil=True)
def _sort_parameters(data, starts, ends, count):
    """Heap sort, so that no address takes quadratic time."""
    for build in range(2 * count):
        if build < count:
            root, size = count - 1 - build, count
        else:
            size = 2 * count - 1 - build
            starts[0], starts[size] = starts[size], starts[0]
            ends[0], ends[size] = ends[size], ends[0]
            root = 0
        while 2 * root + 1 < size:
            child = 2 * root + 1
            if child + 1 < size and _before(data, starts[child], ends[child], starts[child + 1], ends[child + 1]):
                child += 1
            if not _before(data, starts[root], ends[root], starts[child], ends[child]):
                break
            starts[root], starts[child] = starts[child], starts[root]
            ends[root], ends[child] = ends[child], ends[root]
            root = child


@njit(cache=True, nogil=True)
def _session_start(data, start, end):
    """Where `;jsessionid=` begins in the path `data[start:end]`, or its end."""
    for i in range(start, end - 11):
        if data[i] == 0x3B and _lower(data[i + 1]) == 0x6A and data[i + 11] == 0x3D:
            same = True
            for k, byte in enumerate(b"jsessionid"):
                same &= _lower(data[i + 1 + k]) == byte
            if same:
                return i
    return end


@njit(cache=True, nogil=True)
def _keys(data, host_start, path_start, end, www, slash, order, sessions, exact, prefixes, prefix_sizes):
    n = len(host_start)
    keys = np.zeros((n, 2), np.uint64)
    longest = 0
    for k in range(n):
        longest = max(longest, end[k] - host_start[k])
    out = np.zeros(longest + PADDING + 8, np.uint8)
    room = np.zeros(longest + PADDING + 8, np.uint8)
    starts, ends = np.empty(longest + 1, np.int64), np.empty(longest + 1, np.int64)
    for k in range(n):
        host, path, stop = host_start[k], path_start[k], end[k]
        if path == host:
            continue
        if www and path - host > 5 and data[host] == 0x77 and data[host + 1] == 0x77 and data[host + 2] == 0x77:
            dots = 0
            for i in range(host + 4, path):
                dots += data[i] == 0x2E
            if data[host + 3] == 0x2E and dots:
                host += 4
        query = path
        while query < stop and data[query] != 0x3F:
            query += 1
        path_end = _session_start(data, path, query) if sessions else query
        if slash:
            while path_end > path and data[path_end - 1] == 0x2F:
                path_end -= 1
        size = 0
        for i in range(host, path_end):
            out[size] = data[i]
            size += 1
        count = 0
        i = query + 1
        while i < stop:
            last = i
            while last < stop and data[last] != 0x26:
                last += 1
            name_end = i
            while name_end < last and data[name_end] != 0x3D:
                name_end += 1
            if last > i and not _ignored(data, i, name_end, exact, prefixes, prefix_sizes, room):
                starts[count], ends[count] = i, last
                count += 1
            i = last + 1
        if order and count > 1:
            _sort_parameters(data, starts, ends, count)
        for j in range(count):
            out[size] = 0x26 if j else 0x3F
            size += 1
            for i in range(starts[j], ends[j]):
                out[size] = data[i]
                size += 1
        for half in range(2):
            keys[k, half] = xxh64(out, 0, size, np.uint64(half))
    return keys
