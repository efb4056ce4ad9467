"""Runs the real thing, in this process or as the command a person types, and reads what it left, byte for byte."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import yaml

from tamis.pipelines.recipe.load import load_recipe
from tamis.pipelines.run.launch import Result, launch
from tamis.transforms.core.manifest import release_path

TAMIS = str(Path(sys.executable).with_name("tamis"))

RECIPE: dict[str, Any] = {
    "rate": {"gopher": {}, "repetition": {}},
    "thresholds": {"gopher.word_count": {"min": 20}, "gopher.mean_word_length": {"min": 2, "max": 12}},
    "dedup": {"minhash": {"fold": True}},  # the corpus has copies with other capitals
    "quality": [{"signal": "gopher.stop_words", "range": [0, 8]}, {"signal": "repetition.top_2gram_chars", "range": [0, 0.1]}],
    "curriculum": {"order": "ascending", "schedule": {"shape": "wsd", "peak": 3e-3, "final": 1e-3, "decay": 0.18}},
    "output": {"shard_bytes": 60_000},
}
"""Every step that the corpus of the tests gives work; small shards, so that there are many."""

CHANGES: dict[str, Any] = {
    "edit": [{"repair": {}}, {"cut_lines": {"where": {"words": {"max": 6}}}}],
    "dedup": {"minhash": {}, "lines": {"documents": 2}},
    "after_cuts": {"gopher.word_count": {"min": 20}},
}
"""Sections that change texts: editors in Rate, and lines that are cut in Decide."""


def write_recipe(folder: Path, **changed: object) -> Path:
    """RECIPE with some sections changed, as a file."""
    path = folder / "recipe.yaml"
    path.write_text(yaml.safe_dump(RECIPE | changed))
    return path


def run(recipe_file: Path, source: Path | str, output: Path | str, *sets: str, fresh: bool = False) -> Result:
    """A run in this process, by one worker."""
    return launch(load_recipe(str(recipe_file), sets, [str(source)]), str(output), workers=1, fresh=fresh)


def command(recipe_file: Path, source: Path | str, output: Path | str, *more: str, workers: int = 2) -> list[str]:
    """The command line of a run."""
    return [
        *(TAMIS, "run", str(recipe_file), "--input", str(source), "--output", str(output)),
        *("--workers", str(workers), *more),
    ]


def typed(argv: Sequence[str], code: int = 0, seconds: float = 120) -> tuple[str, str]:
    """(standard output, standard error) of a command that ends with `code`."""
    process = subprocess.run(argv, capture_output=True, text=True, timeout=seconds)
    assert process.returncode == code, process.stderr
    return process.stdout, process.stderr


def folder_of(run: Path) -> Path:
    """The folder of the current release."""
    return run / "releases" / f"{json.loads((run / 'manifest.json').read_text())['release']:06d}"


def left(run: Path) -> dict[str, bytes]:
    """Every file of the current release and of its parts, by its path below the folder of the release. What only says
    which release it is, when it was made and what it followed is left out."""
    manifest = json.loads((run / "manifest.json").read_bytes())
    paths = [file["path"] for file in manifest["files"]]
    folder = f"releases/{manifest['release']:06d}/".encode()
    for key in ("release", "release_root", "environment"):
        del manifest[key]
    for file in manifest["files"]:
        if release_path(file["path"]) in ("plan.json", "report.html"):
            del file["sha256"], file["bytes"]  # they have paths, too
    files = {release_path(path): (run / path).read_bytes() for path in paths}
    assert len(files) == len(paths)
    files["manifest.json"] = json.dumps(manifest).encode()
    files["report.html"] = re.sub(rb'<section id="since">.*?</section>\n', b"", files["report.html"], flags=re.DOTALL)
    return {path: content if path.startswith("data/") else content.replace(folder, b"") for path, content in files.items()}


def corpus_of(run: Path) -> tuple[str, dict[str, bytes]]:
    """(corpus_root, the files of data/)."""
    root = json.loads((run / "manifest.json").read_text())["corpus_root"]
    return root, {name: content for name, content in left(run).items() if name.startswith("data/")}


def processes(mark: str) -> dict[int, int]:
    """{process: parent} of every live process on whose command line `mark` appears."""
    parents = {}
    for folder in Path("/proc").iterdir():
        if folder.name.isdigit():
            try:
                words, status = (folder / "cmdline").read_bytes(), (folder / "stat").read_text().rsplit(")", 1)[1].split()
            except OSError:
                continue  # it ended meanwhile
            if mark.encode() in words and status[0] != "Z" and int(folder.name) != os.getpid():
                parents[int(folder.name)] = int(status[1])
    return parents
