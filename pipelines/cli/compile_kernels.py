"""`tamis warmup`: compiles all kernels by running a few documents through every step."""

import hashlib
import json
import tempfile
import time
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import orjson
from numba.core import event

from tamis.pipelines.recipe.editing import EDITORS, editor_type
from tamis.pipelines.recipe.raters import ELSEWHERE, RATERS, example_options, rater_type
from tamis.pipelines.recipe.schema import Recipe
from tamis.pipelines.run.launch import launch
from tamis.transforms.core.errors import RunError
from tamis.transforms.runtime import kernels
from tamis.transforms.runtime.plugins import Plugin

_PROSE = "all the words of a document that is there to be rated, and they are enough to be cut into shingles and compared"
_TEXTS = (  # near-duplicates, an item of a benchmark, several scripts, many lines, an empty text
    _PROSE.replace(" ", "\n") + f"\n\n{_PROSE}." * 3,
    f"{_PROSE} " * 3 + "Once.",
    f"{_PROSE} " * 3 + "Twice.",
    "Ein Satz – für ältere Augen; 日本語の文。 Ещё одна строка 123.\n• eins\n• zwei…\n\n" * 3,
    "",
)

_RECIPE: dict[str, Any] = {
    "dedup": {"minhash": {}},
    "quality": [{"signal": "gopher.stop_words", "range": [0, 8]}],
    "select": {"tokens": 1_000_000, "diverse": {"column": "metadata.embedding", "ceiling": 1.0}},
    "curriculum": {"phases": [{"name": "first", "share": 0.5}, {"name": "last", "share": 0.5}]},
}

_VARIANTS: tuple[dict[str, Any], ...] = (
    {},
    {"dedup": {"minhash": {"scheme": "multiply", "short": {}}}},
    {
        "dedup": {"minhash": {}, "url": {}, "lines": {"within": "source", "documents": 2}},
        "decontaminate": {"action": "cut", "drop": 0.9, "review": 0.9, "margin": 1},
    },
)
"""Changes to `_RECIPE`, one run each, that need other kernels or other argument types."""


@dataclass(frozen=True)
class Warmup:
    """The kernels that were compiled now, the number of compiled kernels in the folder, and why
    raters and editors of some packages could not run."""

    folder: str
    compiled: tuple[str, ...]
    files: int
    seconds: float
    problems: tuple[str, ...] = ()


def compile_kernels() -> Warmup:
    """Compiles the missing kernels. Raises RunError if there is no folder for them."""
    folder, start = kernels.folder(), time.monotonic()
    if folder is None:
        raise RunError("there is no writable folder for compiled kernels; name one with NUMBA_CACHE_DIR")
    if is_warm():
        return Warmup(str(folder), (), len(_files(folder)), time.monotonic() - start)
    with event.install_recorder("numba:compile") as recorder, tempfile.TemporaryDirectory() as scratch:
        problems = tuple(_run_all(Path(scratch)))
    compiled = dict.fromkeys(_name(record.data["dispatcher"].py_func) for _, record in recorder.buffer)
    files = _files(folder)
    if not problems:
        _listing(folder).write_text(json.dumps(files))
    return Warmup(str(folder), tuple(filter(None, compiled)), len(files), time.monotonic() - start, problems)


def is_warm() -> bool:
    """Whether all kernels of this version of the code are compiled."""
    folder = kernels.folder()
    if folder is None or not _listing(folder).is_file():
        return False
    return all((folder / name).is_file() for name in json.loads(_listing(folder).read_bytes()))


def lines(warmup: Warmup) -> Iterator[str]:
    """The result for a person."""
    if warmup.compiled:
        yield f"compiled {len(warmup.compiled)} kernels in {warmup.seconds:.1f} s"
    else:
        yield f"nothing to compile: all {warmup.files} kernels are compiled"
    yield f"they are stored in {warmup.folder}"
    for problem in warmup.problems:
        yield f"cannot be used: {problem}"


def _lists(scratch: Path) -> dict[str, Any]:
    """The sections that decide by lists, with small ones."""
    (scratch / "list.txt").write_text("example.com\nexample.com/a\n")
    (scratch / "robots.csv").write_text("host,agents\nexample.com,tamis\n")
    listed = {"path": str(scratch / "list.txt"), "match": "domain", "action": "report"}
    return {
        "url_lists": {"deny": {"some": listed}, "words": {"strict": str(scratch / "list.txt"), "action": "report"}},
        "consent": {"robots": str(scratch / "robots.csv"), "agents": ["another"]},
    }


def _run_all(scratch: Path) -> Iterator[str]:
    """Runs every step, every editor, and every rater that needs no options. Yields what raters and
    editors of packages failed with: each has a run of its own."""
    source, benchmark = scratch / "in.jsonl", scratch / "benchmark.jsonl"
    source.write_bytes(
        b"".join(orjson.dumps({"text": text, "url": "http://www.example.com/", "embedding": [1, 0]}) + b"\n" for text in _TEXTS)
    )
    benchmark.write_bytes(orjson.dumps({"question": _PROSE}))
    decontaminate = {
        "benchmarks": [{"name": "some", "path": str(benchmark), "fields": ["question"]}],
        "drop": 2,
        "review": 2,  # more than any share, so that the document reaches the later steps
    }
    common = {**_RECIPE, "input": {"paths": [str(source)]}, **_lists(scratch)}
    shipped: dict[str, Any] = {
        name: {} for name, plugin in RATERS.shipped.items() if name not in ELSEWHERE and not _options_required(plugin)
    }
    edits = [_edit(plugin) for plugin in EDITORS.shipped.values()]
    for number, variant in enumerate(_VARIANTS):
        recipe = {
            **common,
            "edit": edits,
            "rate": shipped,
            **variant,
            "decontaminate": decontaminate | variant.get("decontaminate", {}),
        }
        launch(Recipe.model_validate(recipe), str(scratch / str(number)), workers=1)
    for plugin in RATERS.all[len(RATERS.shipped) :]:
        try:
            if not _options_required(plugin):
                recipe = {**common, "rate": {**shipped, plugin.name: {}}}
                launch(Recipe.model_validate(recipe), str(scratch / plugin.name), workers=1)
        except (ImportError, RunError, ValueError) as error:
            yield f"{plugin.name} of {plugin.package}: {error}"
    for plugin in EDITORS.all[len(EDITORS.shipped) :]:
        try:
            launch(Recipe.model_validate({**common, "edit": [_edit(plugin)]}), str(scratch / f"edit-{plugin.name}"), workers=1)
        except (ImportError, RunError, ValueError) as error:
            yield f"{plugin.name} of {plugin.package}: {error}"


def _edit(plugin: Plugin) -> dict[str, Any]:
    """An item of the section `edit`."""
    return {plugin.name: example_options(editor_type(plugin)).model_dump(mode="json")}


def _options_required(plugin: Plugin) -> bool:
    kind = rater_type(plugin)
    return kind.repeatable or any(field.is_required() for field in kind.options_type.model_fields.values())


def _listing(folder: Path) -> Path:
    """The list of compiled kernels, named by a hash of all code that determines them."""
    digest = hashlib.blake2b(json.dumps([asdict(plugin) for plugin in (*RATERS.all, *EDITORS.all)]).encode(), digest_size=8)
    for package in (Path(kernels.__file__).parents[1], Path(__file__).parents[1]):
        for source in sorted(package.rglob("*.py")):
            digest.update(source.read_bytes())
    return folder / f"warm-{digest.hexdigest()}.json"


def _files(folder: Path) -> list[str]:
    return sorted(str(file.relative_to(folder)) for file in folder.glob("*/*/*.nbc"))


def _name(function: Any) -> str:
    """The name of one of our kernels; empty for a function of numba's that is compiled into it."""
    module = function.__module__.removeprefix("tamis.transforms.")
    return "" if module == function.__module__ else f"{module}.{function.__name__}"
