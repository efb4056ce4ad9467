"""A table of hosts with rules for their addresses: found by a hash of the host, mapped by all workers.

A host is hashed from its end, so that one scan gives the hash of every domain that it lies in. The
rules of a host are sorted by path, so that the paths which an address begins with are found by a
few binary searches.
"""

from __future__ import annotations

from dataclasses import dataclass, fields
from functools import cache, cached_property
from typing import Any, Final, NamedTuple

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from tamis.transforms.core.arrays import Ints
from tamis.transforms.runtime.kernels import njit
from tamis.transforms.runtime.mapped_arrays import map_arrays, save_arrays
from tamis.transforms.text.canonical_urls import CanonicalUrls, parser_version
from tamis.transforms.text.hashing import text_buffer

# mypy: disable-error-code="no-untyped-def"

BELOW: Final = 1
"""A rule that holds for hosts below its host, too."""
DOMAIN: Final = 2
"""A rule that holds for every host whose registrable domain is its host."""
EXACT: Final = 4
"""A rule that holds for its path alone, not for what lies below."""
PREFIX: Final = 8
"""A rule that holds for all paths that begin with its path, as in robots.txt: `/a` for `/ab`."""

_PLAIN, _WILDCARD, _EXCEPTION = 1, 2, 4  # kinds of rules of the public suffix list
_PRIME = np.uint64(0x9E3779B185EBCA87)
_TAG, _POSITION = np.uint64(0xFFFFFFFF00000000), np.uint64(0xFFFFFFFF)

_SCHEMA = pa.schema(
    [
        pa.field("host", pa.large_string(), nullable=False),
        pa.field("path", pa.large_string(), nullable=False),
        pa.field("label", pa.int32(), nullable=False),
        pa.field("flags", pa.uint8(), nullable=False),
    ]
)
"""Rules as they are read: `label` is a number of yours, `path` is empty for all of a host."""


class Matches(NamedTuple):
    """m rules that hold for addresses, by address, then from the top of the host and its path."""

    address: Ints
    """[m]: ascending."""
    rule: Ints
    """[m]: position of the rule."""


@dataclass(frozen=True)
class HostRules:
    """h hosts with r rules, by host, path and label."""

    slots: npt.NDArray[np.uint64]
    """Hash table with linear probing: 32 bits of the hash, then 1 + position of the host; 0 is empty.
    Its size is a power of two, at most half of it is used."""
    names: npt.NDArray[np.uint8]
    """The names of the hosts, one behind the other."""
    name_start: Ints
    """[h + 1]"""
    first: Ints
    """[h + 1]: rules of host k are `first[k]` up to `first[k + 1]`."""
    paths: npt.NDArray[np.uint8]
    path_start: Ints
    """[r + 1]"""
    label: npt.NDArray[np.int32]
    """[r]"""
    flags: npt.NDArray[np.uint8]
    """[r]"""

    @classmethod
    def build(cls, rules: pa.Table) -> HostRules:
        """The table of rules with the columns host, path, label and flags; equal ones count once."""
        rules = rules.cast(_SCHEMA).combine_chunks()
        keys = [(name, "ascending") for name in ("host", "path", "label", "flags")]
        rules = rules.group_by(_SCHEMA.names).aggregate([]).sort_by(keys).combine_chunks()
        columns = {name: one_array(rules[name], _SCHEMA.field(name).type) for name in _SCHEMA.names}
        host = columns["host"]
        starts = np.flatnonzero(np.r_[len(host) > 0, pc.not_equal(host[1:], host[:-1]).to_numpy(zero_copy_only=False)])
        starts = starts[: len(host)]
        names, name_start = _packed(host.take(pa.array(starts)))
        paths, path_start = _packed(columns["path"])
        return cls(
            slots=_slots(names, name_start),
            names=names,
            name_start=name_start,
            first=np.append(starts, len(host)).astype(np.int64),
            paths=paths,
            path_start=path_start,
            label=columns["label"].to_numpy(),
            flags=columns["flags"].to_numpy(),
        )

    def save(self, uri: str) -> None:
        """Writes the table as a file of arrays."""
        save_arrays(uri, {field.name: getattr(self, field.name) for field in fields(HostRules)})

    @classmethod
    def load(cls, uri: str) -> HostRules:
        """Reads a saved table; processes share a local file. Raises ValueError for other files."""
        arrays = map_arrays(uri)
        try:
            return cls(**{field.name: arrays[field.name] for field in fields(HostRules)})
        except KeyError as error:
            raise ValueError(f"{uri}: no table of hosts: it has no {error}") from None

    @property
    def bytes(self) -> int:
        """Its size in memory."""
        return sum(int(getattr(self, field.name).nbytes) for field in fields(HostRules))

    @cached_property
    def host_of(self) -> Ints:
        """[r]: the host of each rule."""
        return np.repeat(np.arange(len(self.first) - 1), np.diff(self.first))

    def entries(self, rules: Ints) -> pa.StringArray:
        """The text of each rule: its host, and its path if it has one."""
        names, paths = self.names, self.paths
        texts = []
        for rule in rules.tolist():
            host = int(np.searchsorted(self.first, rule, "right")) - 1
            name = names[self.name_start[host] : self.name_start[host + 1]].tobytes()
            texts.append((name + paths[self.path_start[rule] : self.path_start[rule + 1]].tobytes()).decode())
        return pa.array(texts, pa.string())

    def matches(self, urls: CanonicalUrls) -> Matches:
        """The rules that hold for each address."""
        table = (self.slots, self.names, self.name_start, self.first, self.paths, self.path_start, self.flags)
        return Matches(*_matches(*urls, table, _suffix_table()))


def registrable_domains(urls: CanonicalUrls) -> pa.StringArray:
    """The registrable domain of each host (`example.co.uk`), by the ICANN section of the public suffix
    list; null for a public suffix, a number, or no host."""
    start = _registrable_starts(*urls[:3], _suffix_table())
    data, stop = urls.data.tobytes(), urls.path_start.tolist()
    return pa.array([data[a:b].decode() if a >= 0 else None for a, b in zip(start.tolist(), stop, strict=True)], pa.string())


def suffix_list_version() -> str:
    """The name and version of the package with the public suffix list."""
    from importlib.metadata import version

    return f"publicsuffixlist {version('publicsuffixlist')}"


def libraries() -> list[str]:
    """The versions of what determines a table and its matches."""
    return [parser_version(), suffix_list_version()]


def one_array(column: pa.ChunkedArray, type: pa.DataType) -> pa.Array:
    """A column as one array."""
    return pa.concat_arrays([pa.array([], type), *column.chunks])


def _packed(texts: pa.Array) -> tuple[npt.NDArray[np.uint8], Ints]:
    data, start = text_buffer(texts)
    return np.array(data[start[0] : start[-1]]), start - start[0]


@cache
def _suffix_table() -> tuple[Any, ...]:
    """The rules of the public suffix list: slots, names, name_start, kinds."""
    from publicsuffixlist import PSLFILE

    kinds: dict[str, int] = {}
    with open(PSLFILE, encoding="utf-8") as file:
        for line in file:
            if "===END ICANN DOMAINS===" in line:
                break
            rule = line.split()[0] if line.strip() and not line.startswith("//") else ""
            if not rule:
                continue
            kind = _EXCEPTION if rule[0] == "!" else _WILDCARD if rule.startswith("*.") else _PLAIN
            name = rule.removeprefix("!").removeprefix("*.").encode("idna" if not rule.isascii() else "ascii").decode()
            kinds[name] = kinds.get(name, 0) | kind
    names, name_start = _packed(pa.array(list(kinds), pa.large_string()))
    return _slots(names, name_start), names, name_start, np.array(list(kinds.values()), np.uint8)


# --- kernels ----------------------------------------------------------------------------------------------------------


@njit(cache=True, nogil=True, inline="always")
def _step(h, byte):
    return (h ^ np.uint64(byte)) * _PRIME


@njit(cache=True, nogil=True, inline="always")
def _mixed(h):
    return (h ^ (h >> np.uint64(32))) * _PRIME


@njit(cache=True, nogil=True)
def _slots(names, name_start):
    hosts = len(name_start) - 1
    capacity = 2
    while capacity < 2 * hosts:
        capacity *= 2
    slots = np.zeros(capacity, np.uint64)
    for k in range(hosts):
        h = np.uint64(0)
        for i in range(name_start[k + 1] - 1, name_start[k] - 1, -1):
            h = _step(h, names[i])
        h = _mixed(h)
        slot = np.int64(h >> np.uint64(20)) & (capacity - 1)
        while slots[slot]:
            slot = (slot + 1) & (capacity - 1)
        slots[slot] = (h & _TAG) | np.uint64(k + 1)
    return slots


@njit(cache=True, nogil=True, inline="always")
def _find(data, start, end, h, slots, names, name_start):
    """The position of the host `data[start:end]` with the hash `h`; -1 if it is not there."""
    mask = np.int64(len(slots) - 1)
    h = _mixed(h)
    slot = np.int64(h >> np.uint64(20)) & mask
    while slots[slot]:
        if (slots[slot] ^ h) & _TAG == 0:
            k = np.int64(slots[slot] & _POSITION) - 1
            first = name_start[k]
            if name_start[k + 1] - first == end - start:
                i = np.int64(0)
                while i < end - start and names[first + i] == data[start + i]:
                    i += 1
                if i == end - start:
                    return k
        slot = (slot + 1) & mask
    return np.int64(-1)


@njit(cache=True, nogil=True)
def _registrable(data, start, end, suffixes):
    """Where the registrable domain of the host `data[start:end]` starts; -1 if it has none. The
    longest rule decides, an exception before all; without a rule, the last label is a suffix."""
    slots, names, name_start, kinds = suffixes
    if data[start] == 0x5B or 0x30 <= data[end - 1] <= 0x39:
        return np.int64(-1)  # IPv6, IPv4: no name ends in a digit
    h = np.uint64(0)
    suffix = np.int64(end)  # where the public suffix starts
    wildcard = False
    label = np.int64(end)  # where the label behind starts
    for i in range(end - 1, start - 2, -1):
        if i >= start and data[i] != 0x2E:
            h = _step(h, data[i])
            continue
        here = np.int64(i + 1)
        if label == end or wildcard:
            suffix = here
        wildcard = False
        k = _find(data, here, end, h, slots, names, name_start)
        if k >= 0:
            if kinds[k] & _EXCEPTION:
                return here
            suffix = here  # the parent of a wildcard is one, too: nobody registers kawasaki.jp
            wildcard = kinds[k] & _WILDCARD != 0
        label = here
        if i >= start:
            h = _step(h, 0x2E)
    if suffix == start:
        return np.int64(-1)
    before = suffix - 2
    while before >= start and data[before] != 0x2E:
        before -= 1
    return before + 1 if before + 1 < suffix - 1 else np.int64(-1)


@njit(cache=True, nogil=True)
def _registrable_starts(data, host_start, path_start, suffixes):
    starts = np.full(len(host_start), -1, np.int64)
    for k in range(len(host_start)):
        if path_start[k] > host_start[k]:
            starts[k] = _registrable(data, host_start[k], path_start[k], suffixes)
    return starts


@njit(cache=True, nogil=True, inline="always")
def _compare(data, start, end, paths, first, last):
    """(-1, 0 or 1 as `paths[first:last]` is before, equal to or behind `data[start:end]`, the number
    of equal bytes at their beginning)."""
    size = min(end - start, last - first)
    i = np.int64(0)
    while i < size and data[start + i] == paths[first + i]:
        i += 1
    if i < size:
        return (-1 if paths[first + i] < data[start + i] else 1), i
    if last - first == end - start:
        return 0, i
    return (-1 if last - first < end - start else 1), i


@njit(cache=True, nogil=True)
def _holds(data, start, end, size, flags):
    """Whether a rule, whose path is the first `size` bytes of the path `data[start:end]`, holds."""
    if flags & _EXACT:
        return size == end - start or (size == 0 and end - start == 1)
    if flags & _PREFIX or size == 0 or size == end - start:
        return True
    after = data[start + size]
    return data[start + size - 1] == 0x2F or after == 0x2F or after == 0x3F


_EXACT, _PREFIX, _BELOW, _DOMAIN = EXACT, PREFIX, BELOW, DOMAIN


@njit(cache=True, nogil=True)
def _matches(data, host_start, path_start, ends, table, suffixes):
    slots, names, name_start, first, paths, rule_start, flags = table
    address = np.empty(64, np.int64)
    rule = np.empty(64, np.int64)
    count = 0
    for k in range(len(host_start)):
        start, stop, end = host_start[k], path_start[k], ends[k]
        if start == stop:
            continue
        h = np.uint64(0)
        registrable = np.int64(-2)  # not yet known
        is_name = not (data[start] == 0x5B or 0x30 <= data[stop - 1] <= 0x39)
        for i in range(stop - 1, start - 2, -1):
            if i >= start and data[i] != 0x2E:
                h = _step(h, data[i])
                continue
            here = i + 1
            whole = here == start
            host = _find(data, here, stop, h, slots, names, name_start) if whole or is_name else np.int64(-1)
            if i >= start:
                h = _step(h, 0x2E)
            if host < 0:
                continue
            begun = count
            low, high, limit = first[host], first[host + 1], end
            while low < high:
                a, b = low, high  # the last rule that is not behind the path
                while a < b:
                    middle = (a + b) // 2
                    order, _ = _compare(data, stop, limit, paths, rule_start[middle], rule_start[middle + 1])
                    if order <= 0:
                        a = middle + 1
                    else:
                        b = middle
                if a == low:
                    break
                last = a - 1
                size = rule_start[last + 1] - rule_start[last]
                _, equal = _compare(data, stop, limit, paths, rule_start[last], rule_start[last + 1])
                if equal < size:
                    limit = stop + equal
                    high = last
                    continue
                r = last
                while r >= low and rule_start[r + 1] - rule_start[r] == size:
                    order, _ = _compare(data, stop, stop + size, paths, rule_start[r], rule_start[r + 1])
                    if order != 0:
                        break
                    held = whole or flags[r] & _BELOW != 0
                    if not held and flags[r] & _DOMAIN:
                        if registrable == -2:
                            registrable = _registrable(data, start, stop, suffixes)
                        held = here == registrable
                    if held and _holds(data, stop, end, size, flags[r]):
                        if count == len(rule):
                            address = np.concatenate((address, np.empty_like(address)))
                            rule = np.concatenate((rule, np.empty_like(rule)))
                        address[count], rule[count] = k, r
                        count += 1
                    r -= 1
                high = r + 1
                limit = stop + size - 1
                if size == 0:
                    break
            left, right = begun, count - 1  # the shortest path first
            while left < right:
                rule[left], rule[right] = rule[right], rule[left]
                left, right = left + 1, right - 1
    return address[:count], rule[:count]
