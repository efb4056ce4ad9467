"""Reads lists of hosts and addresses: one a line, hosts files, and folders of categories as UT1's."""

from __future__ import annotations

import posixpath
import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any, Final

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from tamis.transforms import storage
from tamis.transforms.text.canonical_urls import canonical_urls
from tamis.transforms.urls.host_rules import registrable_domains

LIST_NAMES: Final = ("domains", "urls", "hosts")
"""The files of a category that are lists; so is every file with one of `LIST_SUFFIXES`."""
LIST_SUFFIXES: Final = (".txt", ".list", ".lst", ".hosts", ".domains", ".urls")

_ABOUT = ("usage", "README", "readme", "LICEN", "cc-by", "global_usage")
"""How files begin that tell about lists; UT1 has `usage` in every category."""

EXAMPLES: Final = 3
"""Lines of each kind that are named."""

_PLAIN = r"^[a-z0-9_](?:[a-z0-9_-]*[a-z0-9_])?(?:\.[a-z0-9_](?:[a-z0-9_-]*[a-z0-9_])?)*\.[a-z][a-z0-9-]*[a-z0-9]$"
"""A host that is written as it is kept. International ones (`xn--`) and numbers are looked at one by one."""
_COMMENT = r"^(?:#|;|!|//)"
_SINKS = frozenset({"0.0.0.0", "127.0.0.1", "::", "::1", "fe80::1%lo0", "255.255.255.255"})
"""What hosts files write before the hosts that they block."""
_LOCAL = re.compile(r"(?:localhost|localhost\.localdomain|local|broadcasthost|ip6-\w+|0\.0\.0\.0)\Z")
_SCHEME = re.compile(r"(?:[a-z][a-z0-9+.-]*:)?//", re.IGNORECASE)
_RANGE = re.compile(r"[0-9.]+/[0-9]{1,2}\Z|[0-9a-f:]*:[0-9a-f:]+/[0-9]{1,3}\Z", re.IGNORECASE)
_IPV6 = re.compile(r"[0-9a-f]*:[0-9a-f:]*:[0-9a-f:.]*\Z", re.IGNORECASE)
_ADBLOCK = re.compile(r"\|\|([^/^$|*]+)\^?\Z")


@dataclass
class ReadLines:
    """What became of the lines of a list."""

    entries: int = 0
    comments: int = 0
    blank: int = 0
    repeated: int = 0
    """Entries that were there before."""
    unread: dict[str, tuple[int, list[str]]] = field(default_factory=dict)
    """Lines that name no host, by reason: how many there are, and the first of them with their places."""
    passed_over: list[str] = field(default_factory=list)
    """Files of a folder that are no lists."""

    def refuse(self, reason: str, places: list[str], count: int | None = None) -> None:
        """Counts lines that are not read."""
        before, named = self.unread.get(reason, (0, []))
        self.unread[reason] = (before + (len(places) if count is None else count), (named + places)[:EXAMPLES])

    @property
    def refused(self) -> int:
        """The number of lines that name no host."""
        return sum(count for count, _ in self.unread.values())


@dataclass(frozen=True)
class Entries:
    """m entries of a list, in its order, each once."""

    host: pa.Array
    path: pa.Array
    """With its query; empty for a host."""
    is_address: npt.NDArray[np.bool_]
    """[m]: whether it was written as an address, with a scheme, a path or a query."""
    below: npt.NDArray[np.bool_]
    """[m]: whether it was written as `*.host` or `.host`, or as `address/*`."""


def list_files(path: str) -> tuple[dict[str, list[str]], list[str]]:
    """The files of a list by category, and those that were passed over. A file, or the files of a
    glob, have the category "". In a folder, a category is the folder that its files are in.

    Raises FileNotFoundError if there is no list.
    """
    local = storage.local_path(path)
    is_folder = local.is_dir() if local is not None else not storage.exists(path) and bool(storage.files(path))
    if not is_folder:
        return {"": [entry.uri for entry in storage.expand([path])]}, []
    categories: dict[str, list[str]] = {}
    passed_over = []
    for name, entry in storage.files(path).items():
        bare, suffix = posixpath.splitext(posixpath.basename(name))
        if suffix not in storage.COMPRESSION_SUFFIXES:
            bare = posixpath.basename(name)
        if bare in LIST_NAMES or bare.endswith(LIST_SUFFIXES):
            categories.setdefault(posixpath.dirname(name), []).append(entry.uri)
        elif not bare.startswith(_ABOUT):
            passed_over.append(name)
    if not categories:
        wanted = f"files named {', '.join(LIST_NAMES)}, or with {', '.join(LIST_SUFFIXES)}, are lists"
        raise FileNotFoundError(f"{path}: no list in this folder; {wanted}, with or without .gz")
    return categories, passed_over


def read_list(uris: list[str]) -> tuple[Entries, ReadLines]:
    """The entries of files. Raises ValueError if no line names a host, or a file is damaged."""
    lines = ReadLines()
    hosts: list[pa.Array] = []
    paths: list[pa.Array] = []
    addresses: list[_Flags] = []
    belows: list[_Flags] = []
    for uri in uris:
        for host, path, is_address, below in _entries_of(uri, lines):
            hosts.append(host)
            paths.append(path)
            addresses.append(is_address)
            belows.append(below)
    table = pa.table(
        {
            "host": pa.chunked_array(hosts, pa.large_string()),
            "path": pa.chunked_array(paths, pa.large_string()),
            "is_address": np.concatenate([np.empty(0, np.bool_), *addresses]),
            "below": np.concatenate([np.empty(0, np.bool_), *belows]),
        }
    )
    distinct = table.group_by(table.column_names, use_threads=False).aggregate([])
    lines.entries, lines.repeated = len(distinct), len(table) - len(distinct)
    if not lines.entries:
        why = "; ".join(f"{reason}: {', '.join(named)}" for reason, (_, named) in lines.unread.items())
        raise ValueError(f"{', '.join(uris)}: no line names a host{f' ({why})' if why else ''}; write one a line")
    columns = [distinct[name].combine_chunks() for name in table.column_names]
    flags = [column.to_numpy(zero_copy_only=False) for column in columns[2:]]
    return Entries(columns[0], columns[1], flags[0], flags[1]), lines


_Flags = npt.NDArray[np.bool_]


def _entries_of(uri: str, lines: ReadLines) -> Iterator[tuple[pa.Array, pa.Array, _Flags, _Flags]]:
    """Entries of one file: first the hosts that are written as they are kept, then all others."""
    try:
        with storage.open_decompressed(uri) as file:
            text = file.read().decode("utf-8-sig", "replace")
    except FileNotFoundError:
        raise
    except (OSError, pa.ArrowException) as error:
        raise ValueError(f"{uri}: unreadable list: {error}") from error
    written = pa.array(text.split("\n"), pa.large_string())
    written = pc.ascii_trim_whitespace(written)
    lower = pc.ascii_lower(written)
    blank = pc.equal(written, "")
    comment = pc.match_substring_regex(written, _COMMENT)
    lines.blank += pc.sum(blank).as_py() - (text.endswith("\n") or not text)  # what follows the last line break is no line
    lines.comments += pc.sum(comment).as_py()
    plain = pc.and_not(pc.match_substring_regex(lower, _PLAIN), pc.match_substring(lower, "xn--"))
    hosts = lower.filter(plain)
    rows = pc.indices_nonzero(plain).to_numpy()
    kept = _without_suffixes(uri, hosts, np.zeros(len(hosts), np.bool_), rows, lines)
    count = int(kept.sum())
    yield hosts.filter(pa.array(kept)), pa.array([""] * count, pa.large_string()), *np.zeros((2, count), np.bool_)
    others = pc.invert(pc.or_(pc.or_(plain, blank), comment))
    yield _parsed(uri, written.filter(others).to_pylist(), pc.indices_nonzero(others).to_pylist(), lines)


def _parsed(uri: str, texts: list[str], rows: list[int], lines: ReadLines) -> tuple[pa.Array, pa.Array, _Flags, _Flags]:
    """The entries of lines that are looked at one by one."""
    names: list[str] = []
    row_of: list[int] = []
    is_address: list[bool] = []
    below: list[bool] = []
    for text, row in zip(texts, rows, strict=True):
        found = line_entries(text)
        if not found:  # white space that is not ASCII
            lines.blank += 1
        if isinstance(found, str):
            lines.refuse(found, [_place(uri, row, text)])
            continue
        for name, has_path, wild in found:
            names.append(name)
            row_of.append(row)
            is_address.append(has_path)
            below.append(wild)
    urls = canonical_urls(pa.array(names, pa.string()))
    hosts, paths = urls.texts()
    address = np.array(is_address, np.bool_)
    anything = np.array(below, np.bool_)
    number = np.array(row_of, np.int64)
    kept = urls.found.copy()
    for k in np.flatnonzero(~kept).tolist():
        lines.refuse("no host", [_place(uri, row_of[k], names[k])])
    for k in np.flatnonzero(kept).tolist():
        if "." not in hosts[k] and hosts[k][0] != "[" and not anything[k]:
            kept[k] = False
            lines.refuse("a name without a dot; write *.name for all hosts below it", [_place(uri, row_of[k], names[k])])
    host = pa.array(hosts, pa.large_string())
    kept[kept] = _without_suffixes(uri, host.filter(pa.array(kept)), (anything | address)[kept], number[kept], lines)
    chosen = pa.array(kept)
    path = pa.array([path if is_path else "" for path, is_path in zip(paths, is_address, strict=True)], pa.large_string())
    return host.filter(chosen), path.filter(chosen), address[kept], anything[kept]


def line_entries(text: str) -> list[tuple[str, bool, bool]] | str:
    """(name, whether it is an address, whether it holds for what is below) of a line that is neither
    blank nor a comment; or why it is not read."""
    if "�" in text:
        return "not UTF-8"
    fields = re.split(r"\s+[#;]", text)[0].split()
    if len(fields) > 1 and fields[0] in _SINKS:
        fields = fields[1:]
        if all(_LOCAL.match(name) for name in fields):
            return "a name of the machine itself"
    elif len(fields) > 1:
        return "more than one field"
    entries = []
    for name in fields:
        adblock = _ADBLOCK.match(name)
        if adblock:
            entries.append((adblock[1], False, True))
            continue
        if name.startswith(("||", "@@", "/")) or "##" in name:
            return "a rule of an ad blocker"
        if _RANGE.match(name):
            return "a range of addresses"
        bare = name.removeprefix("*").removeprefix(".") if name.startswith(("*.", ".")) else name
        bare = bare.removesuffix("*") if bare.endswith("/*") else bare
        if "*" in bare:
            return "a wildcard inside"
        wild, scheme = bare != name, _SCHEME.match(bare)
        host, slash, path = (bare[scheme.end() :] if scheme else bare).partition("/")
        address = scheme is not None or "?" in host or bool(slash and (path or (bare.endswith("/") and wild)))
        if scheme is None and wild and "." not in host and host:
            bare = f"http://{bare}"  # a whole top-level domain
        elif scheme is None and _IPV6.match(bare):
            bare = f"http://[{bare}]/"
        entries.append((bare, address, wild))
    return entries


def _without_suffixes(uri: str, hosts: pa.Array, allowed: _Flags, rows: npt.NDArray[Any], lines: ReadLines) -> _Flags:
    """Which hosts are no public suffix, or are `allowed` to be one: `co.uk` in a list would take all
    hosts below it."""
    urls = canonical_urls(hosts)
    suffix = registrable_domains(urls).is_null().to_numpy(zero_copy_only=False) & ~allowed
    suffix &= ~pc.match_substring_regex(hosts, r"[0-9]$|^\[").to_numpy(zero_copy_only=False)
    found = np.flatnonzero(suffix)
    if len(found):
        places = [_place(uri, int(rows[k]), hosts[k].as_py()) for k in found[:EXAMPLES].tolist()]
        lines.refuse("a public suffix; write *.name for all hosts below it", places, len(found))
    return ~suffix


def _place(uri: str, row: int, text: str) -> str:
    return f"{uri}:{row + 1} '{text[:60]}'"
