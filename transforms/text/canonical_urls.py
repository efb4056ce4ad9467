"""Brings web addresses into one form, `host/path?query`, by which lists find them.

A kernel does what nearly all addresses need. The rest (international names, numbers for hosts, IPv6,
backslashes, line breaks) are parsed by Ada, the WHATWG parser of Node.js, and then take the same
kernel: so an address means here what it means to a browser.
"""

from __future__ import annotations

import re
from typing import Final, NamedTuple

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from tamis.transforms.core.arrays import Ints
from tamis.transforms.runtime.kernels import njit
from tamis.transforms.text.hashing import PADDING, text_buffer

# mypy: disable-error-code="no-untyped-def"

Bytes = npt.NDArray[np.uint8]

_FINE, _UNUSUAL, _NONE = range(3)
_SCHEMES = ("http", "https", "ftp")
_UNRESERVED, _HEX, _HOST, _ALPHA, _DIGIT = 1, 2, 4, 8, 16
_SCHEME = re.compile(r"[A-Za-z][A-Za-z0-9+.-]*:")
_GROWTH: Final = 3
"""Bytes that one byte may become: `é` is `%C3%A9`."""


def _byte_kinds() -> Bytes:
    kinds = np.zeros(256, np.uint8)
    for byte in range(128):
        character = chr(byte)
        kinds[byte] |= _UNRESERVED * (character.isalnum() or character in "-._~")
        kinds[byte] |= _HEX * (character in "0123456789abcdefABCDEF")
        kinds[byte] |= _HOST * (character.isalnum() or character in "-._")
        kinds[byte] |= _ALPHA * character.isalpha() | _DIGIT * character.isdigit()
    return kinds


_KINDS = _byte_kinds()
_ESCAPED = np.array([byte <= 0x20 or byte >= 0x7F or chr(byte) in '"<>^`{|}\\' for byte in range(256)])
"""Bytes of a path or a query that are percent-encoded."""


class CanonicalUrls(NamedTuple):
    """n addresses: `data[host_start[k]:path_start[k]]` is the host, `data[path_start[k]:end[k]]` its
    path and query. One that is null or has no host is empty."""

    data: Bytes
    host_start: Ints
    path_start: Ints
    end: Ints

    @property
    def found(self) -> npt.NDArray[np.bool_]:
        """[n]: whether there is a host."""
        return self.path_start > self.host_start

    def texts(self) -> tuple[list[str], list[str]]:
        """The hosts, and the paths with their queries."""
        data = self.data.tobytes()
        hosts = [data[a:b].decode() for a, b in zip(self.host_start.tolist(), self.path_start.tolist(), strict=True)]
        return hosts, [data[a:b].decode() for a, b in zip(self.path_start.tolist(), self.end.tolist(), strict=True)]


def canonical_urls(urls: pa.Array) -> CanonicalUrls:
    """The canonical form of each address; an array of strings with nulls.

    - The scheme is http, https or ftp, or left out. It does not count, and neither do the port, the
      user and the fragment. A fragment is not sent, and lists name sites, not servers.
    - The host is in lower case, an international name in ASCII (`xn--…`), without final dots; a
      number is dotted (`0x7f.1` is `127.0.0.1`).
    - Dot segments of the path are resolved. `%7e` is `~`, `%c3` is `%C3`, and what may not stand in
      an address is percent-encoded. The path is at least `/`, an empty query is none.
    """
    texts = urls.cast(pa.large_string()).fill_null("")
    data, start = text_buffer(texts)
    capacity = int(_GROWTH * (start[-1] - start[0]) + 2 * len(texts) + PADDING)
    canonical, host_start, path_start, end, status = _canonical(data, start, capacity, _KINDS, _ESCAPED, False)
    unusual = np.flatnonzero(status == _UNUSUAL)
    if not len(unusual):
        return CanonicalUrls(canonical, host_start, path_start, end)
    parsed = [_parsed(text) for text in texts.take(pa.array(unusual)).to_pylist()]
    more, more_start = text_buffer(pa.array(parsed, pa.large_string()))
    capacity = int(_GROWTH * more_start[-1] + 2 * len(parsed) + PADDING)
    rest, *places, _ = _canonical(more, more_start, capacity, _KINDS, _ESCAPED, True)
    used = int(end.max(initial=0))
    for whole, own in zip((host_start, path_start, end), places, strict=True):
        whole[unusual] = used + own
    return CanonicalUrls(np.concatenate([canonical[:used], rest]), host_start, path_start, end)


def canonical_url(url: str) -> tuple[str, str]:
    """Host and path with query of one address; ("", "") if it has no host."""
    hosts, paths = canonical_urls(pa.array([url])).texts()
    return hosts[0], paths[0]


def parser_version() -> str:
    """The version of the WHATWG parser."""
    from importlib.metadata import version

    return f"ada-url {version('ada-url')}"


def _parsed(text: str) -> str:
    """An address as the WHATWG parser writes it; "" if it is none."""
    from ada_url import parse_url

    if not _SCHEME.match(text.lstrip()):
        text = f"http:{text}" if text.lstrip().startswith(("//", "\\\\")) else f"http://{text}"
    try:
        parts = parse_url(text, attributes=("protocol", "hostname", "pathname", "search"))
    except ValueError:
        return ""
    if parts["protocol"][:-1] not in _SCHEMES:
        return ""
    return f"http://{parts['hostname']}{parts['pathname']}{parts['search']}"


def is_ipv4(host: str) -> bool:
    """Whether a canonical host is a dotted IPv4 address."""
    return host.replace(".", "").isdigit() and host.count(".") == 3


# --- kernels ----------------------------------------------------------------------------------------------------------


@njit(cache=True, nogil=True, inline="always")
def _is_scheme(data, start, end):
    """Whether `data[start:end]` is http, https or ftp in any case."""
    size = end - start
    first = data[start] | 0x20
    if size == 3:
        return first == 0x66 and data[start + 1] | 0x20 == 0x74 and data[start + 2] | 0x20 == 0x70
    if size != 4 and size != 5:
        return False
    http = first == 0x68 and data[start + 1] | 0x20 == 0x74 and data[start + 2] | 0x20 == 0x74
    return http and data[start + 3] | 0x20 == 0x70 and (size == 4 or data[start + 4] | 0x20 == 0x73)


@njit(cache=True, nogil=True)
def _authority(data, start, end, kinds, trusted):
    """(status, host start, host end, path start) of `data[start:end]`."""
    i = np.int64(start)
    while i < end and (kinds[data[i]] & (_ALPHA | _DIGIT) or data[i] == 0x2B or data[i] == 0x2D or data[i] == 0x2E):
        i += 1
    has_scheme = i + 2 < end and data[i] == 0x3A and data[i + 1] == 0x2F and data[i + 2] == 0x2F
    if has_scheme:
        if not _is_scheme(data, start, i):
            return _NONE, start, start, start
        first = i + 3
    elif i < end and data[i] == 0x3A and _is_scheme(data, start, i):
        return _UNUSUAL, start, start, start  # http:example.com, http:/example.com
    elif start + 1 < end and data[start] == 0x2F and data[start + 1] == 0x2F:
        first, has_scheme = start + 2, True
    else:
        first = np.int64(start)
    stop = first
    host = first
    while stop < end and data[stop] != 0x2F and data[stop] != 0x3F and data[stop] != 0x23:
        if data[stop] == 0x40:
            host = stop + 1
        stop += 1
    if host > first and not has_scheme:
        return _NONE, start, start, start  # an address of mail
    if host == stop or first == stop:
        return (_UNUSUAL if has_scheme and stop < end else _NONE), start, start, start
    last = host
    while last < stop and kinds[data[last]] & _HOST:
        last += 1
    if trusted:
        while last < stop:
            last += 1
    elif last < stop:
        if data[last] != 0x3A or last == host:
            return _UNUSUAL, start, start, start
        port = 0
        for k in range(last + 1, stop):
            if not kinds[data[k]] & _DIGIT or port > 65535:
                return (_UNUSUAL if has_scheme else _NONE), start, start, start
            port = 10 * port + data[k] - 0x30
        if port > 65535:
            return _NONE, start, start, start
    if not trusted:
        label = host
        dots = 0
        for k in range(host, last + 1):
            if k == last or data[k] == 0x2E:
                if k == label and k < last:
                    return _UNUSUAL, start, start, start  # an empty label
                if k - label >= 4 and data[label] | 0x20 == 0x78 and data[label + 2] == 0x2D and data[label + 3] == 0x2D:
                    return _UNUSUAL, start, start, start  # xn--
                if k < last:
                    dots += 1
                    if k + 1 < last:
                        label = np.int64(k + 1)
        if kinds[data[label]] & _DIGIT:  # WHATWG reads a host as a number if its last label is one
            return _UNUSUAL, start, start, start
        if not has_scheme and dots == 0:
            return _NONE, start, start, start
    while last > host and data[last - 1] == 0x2E:
        last -= 1
    return (_FINE if last > host else _NONE), host, last, stop


@njit(cache=True, nogil=True, inline="always")
def _hex_value(byte):
    return byte - 0x30 if byte < 0x40 else (byte | 0x20) - 0x57


@njit(cache=True, nogil=True, inline="always")
def _hex_digit(value):
    return value + 0x30 if value < 10 else value + 0x37


@njit(cache=True, nogil=True, inline="always")
def _put_escape(out, position, byte):
    out[position] = 0x25
    out[position + 1] = _hex_digit(byte >> 4)
    out[position + 2] = _hex_digit(byte & 15)
    return position + 3


@njit(cache=True, nogil=True)
def _put_path(data, i, end, out, position, kinds, escaped):
    """Writes the path and the query `data[i:end]` at `position`; returns where they end."""
    root = position  # of the path
    segment = position  # where the last segment begins: its slash
    if i == end or data[i] != 0x2F:
        out[position] = 0x2F
        position += 1
    in_path = True
    while True:
        finished = i >= end or data[i] == 0x23
        if in_path and (finished or data[i] == 0x2F or data[i] == 0x3F):
            size = position - segment - 1
            dots = (size == 1 or size == 2) and out[segment + 1] == 0x2E and out[position - 1] == 0x2E
            if dots:
                if size == 2:
                    while segment > root and out[segment - 1] != 0x2F:
                        segment -= 1
                    segment = max(segment - 1, root)
                position = segment
                if finished or data[i] == 0x3F:
                    out[position] = 0x2F
                    position += 1
        if finished:
            break
        byte = data[i]
        if byte == 0x3F and in_path:
            if i + 1 == end or data[i + 1] == 0x23:
                break
            in_path = False
            out[position] = byte
            position += 1
        elif byte == 0x2F and in_path:
            segment = position
            out[position] = byte
            position += 1
        elif byte == 0x25 and i + 2 < end and kinds[data[i + 1]] & _HEX and kinds[data[i + 2]] & _HEX:
            value = 16 * _hex_value(data[i + 1]) + _hex_value(data[i + 2])
            if kinds[value] & _UNRESERVED:
                out[position] = value
                position += 1
            else:
                position = _put_escape(out, position, value)
            i += 2
        elif byte == 0x25 or escaped[byte]:
            position = _put_escape(out, position, byte)
        else:
            out[position] = byte
            position += 1
        i += 1
    return position


@njit(cache=True, nogil=True)
def _canonical(data, text_start, capacity, kinds, escaped, trusted):
    n = len(text_start) - 1
    out = np.zeros(capacity, np.uint8)
    host_start = np.zeros(n, np.int64)
    path_start = np.zeros(n, np.int64)
    ends = np.zeros(n, np.int64)
    statuses = np.zeros(n, np.uint8)
    position = np.int64(0)
    for k in range(n):
        start, end = text_start[k], text_start[k + 1]
        while start < end and data[start] <= 0x20:
            start += 1
        while start < end and data[end - 1] <= 0x20:
            end -= 1
        host_start[k] = path_start[k] = ends[k] = position
        statuses[k] = _NONE
        if start == end:
            continue
        unusual = False
        if not trusted:
            for i in range(start, end):
                byte = data[i]
                if byte == 0x3F or byte == 0x23:
                    break
                unusual |= byte == 0x5C
            for i in range(start, end):
                byte = data[i]
                unusual |= byte == 0x09 or byte == 0x0A or byte == 0x0D
        if unusual:
            statuses[k] = _UNUSUAL
            continue
        status, host, last, path = _authority(data, start, end, kinds, trusted)
        statuses[k] = status
        if status != _FINE:
            continue
        for i in range(host, last):
            byte = data[i]
            out[position] = byte + 0x20 if 0x41 <= byte <= 0x5A else byte
            position += 1
        path_start[k] = position
        position = _put_path(data, path, end, out, position, kinds, escaped)
        ends[k] = position
    return out, host_start, path_start, ends, statuses
