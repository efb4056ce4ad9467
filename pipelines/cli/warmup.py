"""Compiles every kernel ahead: a whole run, in this process, of a few documents with every rater and step switched on."""

from __future__ import annotations

import hashlib
import json
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import orjson
from numba.core import event

from tamis.pipelines.recipe.schema import Recipe
from tamis.pipelines.run import launch
from tamis.transforms.core.errors import RunError
from tamis.transforms.runtime import kernels

_PROSE = "all the words of a document that is there to be rated, and they are enough to be cut into shingles and compared"
_TEXTS = (
    _PROSE.replace(" ", "\n") + f"\n\n{_PROSE}." * 3,
    f"{_PROSE} " * 3 + "Once.",
    f"{_PROSE} " * 3 + "Twice.",
    "Ein Satz – für ältere Augen; 日本語の文。 Ещё одна строка 123.\n• eins\n• zwei…\n\n" * 3,
    "",
)
"""Near-duplicates, a text that holds a benchmark's item, several scripts, many lines, nothing at all."""

_RECIPE: dict[str, Any] = {
    "rate": {name: {} for name in ("gopher", "repetition", "c4", "fineweb", "compression", "language")},
    "dedup": {"minhash": {}},
    "quality": [{"signal": "gopher.stop_words", "range": [0, 8]}],
    "select": {"tokens": 1_000_000, "diverse": {"column": "metadata.embedding", "ceiling": 1.0}},
    "curriculum": {"phases": [{"name": "first", "share": 0.5}, {"name": "last", "share": 0.5}]},
}

_VARIANTS: tuple[dict[str, Any], ...] = ({}, {"dedup": {"minhash": {"scheme": "multiply"}}})
"""What is put over `_RECIPE`: a run for each choice that takes other kernels, or the same ones with other types."""


@dataclass(frozen=True)
class Warmth:
    """`compiled`: the kernels that were not there yet. `files`: how many now are."""

    folder: str
    compiled: tuple[str, ...]
    files: int
    seconds: float


def warm() -> Warmth:
    """Compiles what is missing. A second call only looks. Raises RunError where no compiled kernel can be kept."""
    folder, begun = kernels.folder(), time.monotonic()
    if folder is None:
        raise RunError("compiled kernels cannot be kept anywhere; name a folder that can be written with NUMBA_CACHE_DIR")
    if is_warm():
        return Warmth(str(folder), (), len(_files(folder)), time.monotonic() - begun)
    with event.install_recorder("numba:compile") as recorder, tempfile.TemporaryDirectory() as room:
        _run_all(Path(room))
    found = dict.fromkeys(_name(happened.data["dispatcher"].py_func) for _, happened in recorder.buffer)
    files = _files(folder)
    _mark(folder).write_text(json.dumps(files))
    return Warmth(str(folder), tuple(filter(None, found)), len(files), time.monotonic() - begun)


def is_warm() -> bool:
    """Whether all that `warm` left for this code is still there."""
    folder = kernels.folder()
    if folder is None or not _mark(folder).is_file():
        return False
    return all((folder / name).is_file() for name in json.loads(_mark(folder).read_bytes()))


def _run_all(room: Path) -> None:
    source, benchmark = room / "in.jsonl", room / "benchmark.jsonl"
    source.write_bytes(b"".join(orjson.dumps({"text": text, "embedding": [1, 0]}) + b"\n" for text in _TEXTS))
    benchmark.write_bytes(orjson.dumps({"question": _PROSE}))
    decontaminate = {
        "benchmarks": [{"name": "some", "path": str(benchmark), "fields": ["question"]}],
        "drop": 2,
        "review": 2,  # more than there can be: what is dropped meets no later step
    }
    for number, variant in enumerate(_VARIANTS):
        recipe = {**_RECIPE, "input": {"paths": [str(source)]}, "decontaminate": decontaminate, **variant}
        launch.launch(Recipe.model_validate(recipe), str(room / str(number)), workers=1)


def _mark(folder: Path) -> Path:
    """The list of what `warm` left, named by all the code that decides what is compiled."""
    digest = hashlib.blake2b(digest_size=8)
    for package in (Path(kernels.__file__).parent, Path(__file__).parent):
        for source in sorted(package.rglob("*.py")):
            digest.update(source.read_bytes())
    return folder / f"warm-{digest.hexdigest()}.json"


def _files(folder: Path) -> list[str]:
    return sorted(str(file.relative_to(folder)) for file in folder.glob("*/*/*.nbc"))


def _name(function: Any) -> str:
    """That of a kernel of ours; none for numba's own parts, which are compiled into it."""
    module, _, name = function.__module__.partition(".")
    return f"{name}.{function.__name__}" if module == kernels.__package__ else ""
