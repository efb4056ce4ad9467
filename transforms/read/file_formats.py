"""Tells which files of an input are read, and in which format."""

from __future__ import annotations

import json
import posixpath
import re
from collections.abc import Iterable

from tamis.transforms import storage
from tamis.transforms.read.input_options import WARC_START, Format, Input, UnreadFile
from tamis.transforms.read.readers import format_of_suffix

_SUFFIXES: dict[str, Format] = {
    ".jsonl": "jsonl",
    ".ndjson": "jsonl",
    ".jsonlines": "jsonl",
    ".json": "jsonl",
    ".parquet": "parquet",
    ".parq": "parquet",
    ".pq": "parquet",
    ".csv": "csv",
    ".tsv": "csv",
    ".txt": "text",
    ".text": "text",
    ".md": "text",
    ".markdown": "text",
    ".rst": "text",
    ".warc": "warc",
    ".wet": "wet",
}
_FAMILIES: dict[Format, Format] = {"wet": "warc", "json": "jsonl"}  # formats that share suffixes

_UNREADABLE = {
    "it is unfinished": (".tmp", ".temp", ".part", ".partial", ".crdownload", ".swp"),
    "it is a backup": (".bak", ".old", ".orig"),
    "it is an archive: unpack it": (".tar", ".tgz", ".zip", ".7z", ".rar"),
    "its compression is not supported": (".snappy", ".lzo", ".br", ".z", ".lzma"),
    "its format is not supported: convert it to Parquet or JSON Lines": (".arrow", ".feather", ".orc", ".avro", ".xlsx", ".db"),
    "it holds no text of its own": (".wat", ".cdx", ".cdxj"),
    "its format is not supported: extract its text first": (".pdf", ".doc", ".docx", ".epub", ".html", ".htm", ".xml", ".tex"),
}
_REASONS = {suffix: reason for reason, names in _UNREADABLE.items() for suffix in names}
_COMPANIONS = {"readme", "license", "licence", "copying", "notice", "changelog"}
_HEAD = 64 << 10  # bytes that tell the format


def choose(
    files: Iterable[tuple[storage.Entry, storage.By]], options: Input
) -> tuple[list[tuple[storage.Entry, Format]], list[UnreadFile]]:
    """The files to read, with their formats, and those that are not read. Raises ValueError for a
    file that a path names and that has no known format."""
    chosen: list[tuple[storage.Entry, Format]] = []
    unread: list[UnreadFile] = []
    for entry, by in files:
        try:
            chosen.append((entry, _format(entry, by, options.format)))
        except UnknownFormat as unknown:
            if by == "path":
                raise ValueError(f"{entry.uri}: {unknown}") from None
            unread.append(UnreadFile(entry.uri, str(unknown)))
    return chosen, unread


class UnknownFormat(ValueError):
    """A file is not read; the message says why."""


def format_of(uri: str) -> Format:
    """The format of a file by its suffix, else by its first bytes. Raises UnknownFormat."""
    return _by_name(uri) or _by_content(uri)


def _format(entry: storage.Entry, by: storage.By, asked: Format) -> Format:
    uri = entry.uri
    if asked != "auto" and by != "folder":
        return asked
    known = _by_name(uri)
    if known is None:
        suffix = _suffix(uri)
        if by != "path" and suffix in _REASONS:
            raise UnknownFormat(_REASONS[suffix])
        if by == "folder" and not entry.size:
            raise UnknownFormat("it is empty")
        if asked != "auto" and not suffix:
            return asked
        known = _by_content(uri)
        if by == "folder" and suffix and known not in ("parquet", "warc"):
            raise UnknownFormat(f"files that end in {suffix} are read only if a glob or a path names them")
    if asked != "auto":
        if _FAMILIES.get(known, known) != _FAMILIES.get(asked, asked):
            raise UnknownFormat(f"its format is {known}, and input.format is {asked}")
        return asked
    if by == "folder" and known == "text" and posixpath.basename(uri).split(".")[0].lower() in _COMPANIONS:
        raise UnknownFormat("it describes the folder: name it to have it read")
    return known


def _suffix(uri: str) -> str:
    """The last suffix but that of a compression, or '' if that is a number (`part.0001`)."""
    kinds = [suffix for suffix in storage.suffixes(uri) if suffix not in storage.COMPRESSION_SUFFIXES]
    return "" if not kinds or kinds[-1][1:].isdigit() else kinds[-1]


def _by_name(uri: str) -> Format | None:
    suffix = _suffix(uri)
    known = _SUFFIXES.get(suffix) or (format_of_suffix(suffix) if suffix else None)
    if known == "jsonl" and suffix == ".json":
        return _json_kind(_head(uri))
    return known


def _by_content(uri: str) -> Format:
    head = _head(uri)
    if head.startswith(b"PAR1"):
        return "parquet"
    if head.startswith(WARC_START):
        return "warc"
    if re.match(rb"(\xef\xbb\xbf)?\s*[{\[]", head):
        return _json_kind(head)
    raise UnknownFormat("neither its name nor its first bytes tell the format; set input.format")


def _json_kind(head: bytes) -> Format:
    """Whether JSON is one object a line, or an array or objects that are written over several."""
    text = head.removeprefix(b"\xef\xbb\xbf").lstrip()
    line, newline, _ = text.partition(b"\n")
    line = line.rstrip()
    if text.startswith(b"["):
        return "json"
    if newline and line.startswith(b"{") and not line.endswith(b"}"):
        try:
            json.loads(line)
        except ValueError as error:
            # An object that goes on in the next line breaks off at its end, between two tokens.
            return "json" if getattr(error, "pos", 0) >= len(line.decode("utf-8", "replace")) - 1 else "jsonl"
    return "jsonl"


def _head(uri: str) -> bytes:
    from tamis.transforms.read.decompress import ByteStream

    with storage.open_binary(uri) as file:
        return ByteStream(file, uri).read(_HEAD)
