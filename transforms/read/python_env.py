"""Reads documents from the installed Python packages: real text that every machine has."""

import ast
import importlib.metadata
import io
import os
import platform
import re
import sysconfig
import tokenize
import warnings
from bisect import bisect_right
from collections.abc import Iterable, Iterator, Sequence
from functools import cache
from itertools import accumulate
from pathlib import Path, PurePosixPath
from typing import NamedTuple

import pyarrow as pa

from tamis.transforms.read.batch_builder import BatchBuilder, canonical
from tamis.transforms.read.input_options import PYTHON_ENV, Input, Loss, Split

STDLIB = "stdlib"
SHORTEST_DOCSTRING = 200  # characters
_LARGEST = 1 << 20  # larger files are mostly generated tables
_SPLIT = 8 << 20
_EXCLUDED = {"__pycache__", "site-packages", "test", "tests", "idle_test"}  # tests repeat themselves
_LICENCE = re.compile(r"licen[cs]e|copying|copyright|notice", re.IGNORECASE)
_DOCS = {".rst", ".md", ".txt"}


class _SourceFile(NamedTuple):
    relative: str  # to the folder of packages, or of the standard library
    path: Path
    kind: str  # code, docs, license or metadata
    size: int


class Distribution(NamedTuple):
    """An installed distribution, or the standard library."""

    name: str
    version: str
    licence: str | None
    url_prefix: str
    files: list[_SourceFile]  # by relative path


def plan(paths: Sequence[str], options: Input) -> list[Split]:
    """Ranges of the files of all distributions, or of those named by `python-env:<distribution>`.
    If they have more than `options.harvest_bytes`, the largest distributions are cut to the same
    number of bytes each. Raises FileNotFoundError for a distribution that is not installed."""
    names = {path.partition(":")[2] for path in paths}
    for name in sorted(names - {""} - installed().keys()):
        raise FileNotFoundError(f"{PYTHON_ENV}:{name}: no such distribution in this Python; see `pip list`")
    distributions = [find_distribution(name) for name in sorted(installed()) if "" in names or name in names]
    share = fair_share([sum(file.size for file in one.files) for one in distributions], options.harvest_bytes)
    splits: list[Split] = []
    for distribution in distributions:
        totals = list(accumulate(file.size for file in distribution.files))
        files = distribution.files[: bisect_right(totals, share)]
        uri, stamp = f"{PYTHON_ENV}:{distribution.name}", f"{distribution.version}-{totals[-1] if totals else 0}"
        start = size = 0
        for stop, file in enumerate(files, 1):
            size += file.size
            if size >= _SPLIT or stop == len(files):
                splits.append(Split(uri, "python-env", start, stop, size, stamp))
                start, size = stop, 0
    return splits


def read(split: Split, options: Input, trust: bool = False) -> Iterator[tuple[pa.RecordBatch, list[Loss]]]:
    """The documents of a range of files. Their sources are: `metadata` (long descriptions),
    `license` (licences and notices), `docs` (text files), `code` (source files) and `docstring` (of
    modules, classes and functions). Ids and URLs contain no path of this machine."""
    builder = BatchBuilder(split.uri, options)
    distribution = find_distribution(split.uri.partition(":")[2])
    metadata = canonical({"distribution": distribution.name, "version": distribution.version})
    for number in range(split.start, len(distribution.files) if split.stop < 0 else split.stop):
        file = distribution.files[number]
        data = file.path.read_bytes()
        key, url = f"{split.uri}:{file.relative}", f"{distribution.url_prefix}/{file.relative}"
        try:
            for source, qualname, text in _texts(file, data):
                builder.add(
                    text,
                    len(text.encode()),
                    id=f"{key}:{qualname}" if qualname else key,
                    source=source,
                    url=f"{url}#{qualname}" if qualname else url,
                    licence=distribution.licence,
                    metadata=metadata,
                )
        except (UnicodeError, SyntaxError) as error:  # SyntaxError: the file declares an unknown encoding
            builder.reject(number, f"{url}: {error}", data)
        if builder.full:
            yield builder.take()
    yield from builder.flush()


@cache
def installed() -> dict[str, importlib.metadata.Distribution | None]:
    """Every importable distribution by normalised name; None is the standard library."""
    distributions: dict[str, importlib.metadata.Distribution | None] = {STDLIB: None}
    for distribution in importlib.metadata.distributions():
        name = re.sub(r"[-_.]+", "-", distribution.metadata["Name"] or "").lower()  # PEP 503
        if name:
            distributions.setdefault(name, distribution)
    return distributions


def find_distribution(name: str) -> Distribution:
    """The distribution of this normalised name. Raises KeyError if it is not installed."""
    package = installed()[name]
    if package is None:
        root = Path(sysconfig.get_path("stdlib"))
        return Distribution(name, platform.python_version(), "PSF-2.0", STDLIB, _source_files(root, _walk(root)))
    root = Path(str(package.locate_file("")))
    paths = (root / path for path in package.files or () if not {"..", *_EXCLUDED} & {*path.parts})
    return Distribution(name, package.version, _licence(package), "site-packages", _source_files(root, paths))


def _source_files(root: Path, paths: Iterable[Path]) -> list[_SourceFile]:
    files = sorted(_source_file(root, path) for path in paths if path.is_file())
    return [file for file in files if file.kind]


def _walk(folder: Path) -> Iterator[Path]:
    for parent, folders, names in os.walk(folder):
        folders[:] = [name for name in folders if name not in _EXCLUDED]
        yield from (Path(parent, name) for name in names)


def _source_file(root: Path, path: Path) -> _SourceFile:
    relative = path.relative_to(root).as_posix()
    size = path.stat().st_size
    return _SourceFile(relative, path, _kind(PurePosixPath(relative)) if 0 < size <= _LARGEST else "", size)


def _kind(path: PurePosixPath) -> str:
    if path.suffix == ".py":
        return "code"
    if _LICENCE.match(path.name):
        return "license"
    if any(part.endswith(".dist-info") for part in path.parts):
        return "metadata" if path.name == "METADATA" else ""
    return "docs" if path.suffix in _DOCS else ""


def _licence(package: importlib.metadata.Distribution) -> str | None:
    """The SPDX expression, else the short licence field, else the licence classifiers."""
    for field in ("License-Expression", "License"):
        value = (package.metadata[field] or "").strip() if field in package.metadata else ""
        if value and value != "UNKNOWN" and len(value) <= 80 and "\n" not in value:
            return str(value)
    classifiers = [value for value in package.metadata.get_all("Classifier") or () if value.startswith("License ::")]
    return " AND ".join(value.rsplit(" :: ", 1)[1] for value in classifiers) or None


def fair_share(sizes: list[int], total: int) -> int:
    """The largest limit for which the sizes, each cut to it, add up to at most `total`."""
    remaining = total
    for place, size in enumerate(sorted(sizes)):
        even = remaining // (len(sizes) - place)
        if size > even:
            return even
        remaining -= size
    return max(sizes, default=0)


def _texts(file: _SourceFile, data: bytes) -> Iterator[tuple[str, str, str]]:
    """Source, qualified name ('' for the file itself) and text of each document of a file."""
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
    yield from (("docstring", qualname, docstring) for qualname, docstring in docstrings(text))


def docstrings(code: str) -> Iterator[tuple[str, str]]:
    """Unique qualified names and long docstrings of a module; none if it is no valid Python."""
    if '"""' not in code and "'''" not in code:
        return  # a long docstring spans lines, and parsing is expensive
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            tree = ast.parse(code)
    except (SyntaxError, ValueError, RecursionError):
        return
    counts: dict[str, int] = {}
    for qualname, node in _definitions(tree, ""):
        docstring = ast.get_docstring(node)
        if docstring is None or len(docstring) < SHORTEST_DOCSTRING:
            continue
        counts[qualname] = counts.get(qualname, 0) + 1
        yield qualname if counts[qualname] == 1 else f"{qualname}@{counts[qualname]}", docstring


_Definition = ast.Module | ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef


def _definitions(node: ast.Module | ast.stmt, prefix: str) -> Iterator[tuple[str, _Definition]]:
    if isinstance(node, ast.Module):
        yield "__doc__", node
    elif isinstance(node, ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef):
        prefix = f"{prefix}.{node.name}" if prefix else node.name
        yield prefix, node
        if not isinstance(node, ast.ClassDef):
            return  # definitions inside functions are seldom documented, and function bodies are most of the tree
    for child in ast.iter_child_nodes(node):
        if isinstance(child, ast.stmt):
            yield from _definitions(child, prefix)
