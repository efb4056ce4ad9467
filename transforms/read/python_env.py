"""Harvests documents from the running Python: real text, with real near-duplicates, that every machine already has."""

from __future__ import annotations

import ast
import io
import os
import platform
import re
import sysconfig
import tokenize
import warnings
from collections.abc import Iterable, Iterator, Sequence
from functools import cache
from importlib import metadata
from pathlib import Path, PurePosixPath
from typing import NamedTuple

import pyarrow as pa

from tamis.transforms.read.batch_builder import Rows, canonical
from tamis.transforms.read.input_options import ENVIRONMENT, Input, Reject, Split

STDLIB = "stdlib"
SHORTEST_DOCSTRING = 200  # characters
_LARGEST = 1 << 20  # a larger file is a generated table more often than not
_SPLIT = 8 << 20
_LEFT_OUT = {"__pycache__", "site-packages", "test", "tests", "idle_test"}  # tests of one library repeat, and repeat
_LICENCE = re.compile(r"licen[cs]e|copying|copyright|notice", re.IGNORECASE)
_DOCS = {".rst", ".md", ".txt"}


class _File(NamedTuple):
    relative: str  # to the folder of packages, or of the standard library
    path: Path
    kind: str  # code, docs, license or metadata
    size: int


class _Distribution(NamedTuple):
    name: str
    version: str
    licence: str | None
    place: str  # how the url of its files begins
    files: list[_File]  # by relative path


def plan(places: Sequence[str], options: Input) -> list[Split]:
    """Ranges of files, by distribution: all of them, or those named `python-env:<distribution>`.

    Where they hold more than `options.harvest_bytes`, the largest distributions give only the beginning of their files,
    each the same number of bytes. Raises FileNotFoundError for a distribution that is not installed.
    """
    installed = _installed()
    wanted = {place.partition(":")[2] for place in places}
    for name in sorted(wanted - {""} - installed.keys()):
        raise FileNotFoundError(f"{ENVIRONMENT}:{name}: no such distribution in this Python")
    chosen = [_distribution(name) for name in sorted(installed) if "" in wanted or name in wanted]
    share = _share([sum(file.size for file in found.files) for found in chosen], options.harvest_bytes)
    splits: list[Split] = []
    for found in chosen:
        stamp = f"{found.version}-{sum(file.size for file in found.files)}"
        start, held, given = 0, 0, 0
        for stop, file in enumerate(found.files, 1):
            given += file.size
            if given > share:
                break
            held += file.size
            if held >= _SPLIT or stop == len(found.files):
                splits.append(Split(f"{ENVIRONMENT}:{found.name}", "python-env", start, stop, held, stamp))
                start, held = stop, 0
        else:
            continue
        if held:
            splits.append(Split(f"{ENVIRONMENT}:{found.name}", "python-env", start, stop - 1, held, stamp))
    return splits


def read(split: Split, options: Input) -> Iterator[tuple[pa.RecordBatch, list[Reject]]]:
    """The documents of a range of files.

    Long descriptions (source `metadata`), licences and notices (`license`), text files (`docs`), source files (`code`),
    and the docstrings of modules, classes and functions (`docstring`). Ids and urls name no path of this machine.
    """
    rows = Rows(split.uri, options)
    found = _distribution(split.uri.partition(":")[2])
    about = canonical({"distribution": found.name, "version": found.version})
    for number in range(split.start, len(found.files) if split.stop < 0 else split.stop):
        file = found.files[number]
        data = file.path.read_bytes()
        key, url = f"{split.uri}:{file.relative}", f"{found.place}/{file.relative}"
        try:
            for source, qualname, text in _texts(file, data):
                rows.add(
                    text,
                    len(text.encode()),
                    id=f"{key}:{qualname}" if qualname else key,
                    source=source,
                    url=f"{url}#{qualname}" if qualname else url,
                    licence=found.licence,
                    metadata=about,
                )
        except (UnicodeError, SyntaxError) as error:  # SyntaxError: an encoding declared that does not exist
            rows.reject(number, f"{url}: {error}", data)
        if rows.full:
            yield rows.take()
    yield from rows.rest()


@cache
def _installed() -> dict[str, metadata.Distribution | None]:
    """Every distribution by its normalised name, the one that would be imported; None is the standard library."""
    installed: dict[str, metadata.Distribution | None] = {STDLIB: None}
    for found in metadata.distributions():
        name = re.sub(r"[-_.]+", "-", found.metadata["Name"] or "").lower()  # PEP 503
        if name:
            installed.setdefault(name, found)
    return installed


def _distribution(name: str) -> _Distribution:
    found = _installed()[name]
    if found is None:
        root = Path(sysconfig.get_path("stdlib"))
        return _Distribution(name, platform.python_version(), "PSF-2.0", STDLIB, _files(root, _walk(root)))
    root = Path(str(found.locate_file("")))
    listed = (root / path for path in found.files or () if not {"..", *_LEFT_OUT} & {*path.parts})
    return _Distribution(name, found.version, _licence(found), "site-packages", _files(root, listed))


def _files(root: Path, paths: Iterable[Path]) -> list[_File]:
    found = sorted(_file(root, path) for path in paths if path.is_file())
    return [file for file in found if file.kind]


def _walk(folder: Path) -> Iterator[Path]:
    for parent, folders, names in os.walk(folder):
        folders[:] = [name for name in folders if name not in _LEFT_OUT]
        yield from (Path(parent, name) for name in names)


def _file(root: Path, path: Path) -> _File:
    relative = path.relative_to(root).as_posix()
    size = path.stat().st_size
    return _File(relative, path, _kind(PurePosixPath(relative)) if 0 < size <= _LARGEST else "", size)


def _kind(path: PurePosixPath) -> str:
    if path.suffix == ".py":
        return "code"
    if _LICENCE.match(path.name):
        return "license"
    if any(part.endswith(".dist-info") for part in path.parts):
        return "metadata" if path.name == "METADATA" else ""
    return "docs" if path.suffix in _DOCS else ""


def _licence(found: metadata.Distribution) -> str | None:
    """The SPDX expression where there is one, else the short licence field, else the last word of the classifier."""
    for field in ("License-Expression", "License"):
        value = (found.metadata[field] or "").strip() if field in found.metadata else ""
        if value and value != "UNKNOWN" and len(value) <= 80 and "\n" not in value:
            return str(value)
    named = [value for value in found.metadata.get_all("Classifier") or () if value.startswith("License ::")]
    return " AND ".join(value.rsplit(" :: ", 1)[1] for value in named) or None


def _share(sizes: list[int], total: int) -> int:
    """The largest share for which no more than `total` is given when each size gives itself or the share."""
    left, share = total, max(sizes, default=0)
    for place, size in enumerate(sorted(sizes)):
        even = left // (len(sizes) - place)
        if size > even:
            return even
        left -= size
    return share


def _texts(file: _File, data: bytes) -> Iterator[tuple[str, str, str]]:
    """Source, qualified name ('' for the file itself) and text of each document in a file."""
    if file.kind != "code":
        text = data.decode()
        if file.kind == "metadata":
            text = text.partition("\n\n")[2] if "\n\n" in text else ""
        if text.strip():
            yield file.kind, "", text
        return
    text = data.decode(tokenize.detect_encoding(io.BytesIO(data).readline)[0])
    if not text.strip():
        return
    yield "code", "", text
    yield from (("docstring", qualname, docstring) for qualname, docstring in _docstrings(text))


def _docstrings(code: str) -> Iterator[tuple[str, str]]:
    """Qualified names, made unique, and long docstrings of a module; none where it is no valid Python (a template)."""
    if '"""' not in code and "'''" not in code:
        return  # parsing is what costs, and a long docstring spans lines
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            tree = ast.parse(code)
    except (SyntaxError, ValueError, RecursionError):
        return
    times: dict[str, int] = {}
    for qualname, node in _definitions(tree, ""):
        docstring = ast.get_docstring(node)
        if docstring is None or len(docstring) < SHORTEST_DOCSTRING:
            continue
        times[qualname] = times.get(qualname, 0) + 1
        yield qualname if times[qualname] == 1 else f"{qualname}@{times[qualname]}", docstring


_Definition = ast.Module | ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef


def _definitions(node: ast.Module | ast.stmt, prefix: str) -> Iterator[tuple[str, _Definition]]:
    if isinstance(node, ast.Module):
        yield "__doc__", node
    elif isinstance(node, ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef):
        prefix = f"{prefix}.{node.name}" if prefix else node.name
        yield prefix, node
        if not isinstance(node, ast.ClassDef):
            return  # what is defined inside a function is seldom documented, and bodies are most of the tree
    for child in ast.iter_child_nodes(node):
        if isinstance(child, ast.stmt):
            yield from _definitions(child, prefix)
