"""Every shipped recipe, and some that use what none of those does, gives the very bytes that `corpus_hashes.json` remembers."""

from __future__ import annotations

import hashlib
import json
import os
import random
import struct
from importlib.metadata import version
from pathlib import Path
from typing import Any

import pytest

from tamis.pipelines.recipe.load import load_recipe, shipped_recipes
from tamis.pipelines.run.launch import launch
from tests.pipelines import varied
from tests.pipelines.running import write_recipe

Json = dict[str, Any]

TABLE = Path(__file__).with_name("corpus_hashes.json")
WRITE = "TAMIS_WRITE_HASHES"
"""Set to 1, it makes the table anew: after a change that is meant to change bytes, or on a right commit with other versions."""

VERSIONS = {name: version(name) for name in ("pyarrow", "numpy", "zstandard")}
WRITERS = ("pyarrow", "zstandard")
"""What writes the bytes: Parquet names its writer, and another zstd may compress otherwise."""

SMALL = ("output.shard_bytes=40000", "max_rejects=20")
"""Several shards, and room for the lines that are no documents."""

SHIPPED: dict[str, tuple[str, ...]] = {
    **dict.fromkeys(("dclm", "nemotron-cc", "olmo3"), ("rate.fasttext.0.model=quality.bin",)),
    "fineweb2": ("rate.language.model=null",),
}
"""What a shipped recipe needs set besides."""

LANGUAGE = """\
{language_score: 0.5, dup_line_frac: 0.3, top_n_grams: [[2, 0.2], [3, 0.18]], dup_n_grams: [[5, 0.15], [10, 0.1]],
line_punct_thr: 0.1, new_line_ratio: 0.3, min_avg_word_length: 3, max_avg_word_length: 10, max_non_alpha_words_ratio: 0.7,
stopwords: [the, of, and]}
"""
"""The limits of English, as fineweb2 reads them."""

SCHEDULE = {"shape": "wsd", "peak": 3e-3, "final": 1e-3, "decay": 0.18}

WILDCARD: dict[str, Json] = {
    "mixture": {
        "decontaminate": {
            "benchmarks": [{"name": "quiz", "path": "quiz.jsonl", "fields": ["question", "answers.text"], "id": "id"}]
        },
        "thresholds": {
            "gopher.word_count": {"min": 40, "margin": 0.2},
            "repetition.top_2gram_chars": {"max": 0.1, "action": "review"},
            "repetition.duplicate_line_chars": {"max": 0.3},
        },
        "dedup": {"minhash": {"scheme": "multiply", "bands": 20, "rows": 5, "ngram": 3, "threshold": 0.6, "seed": 7}},
        "select": {
            "tokens": 70_000,
            "mixture": {"weights": {"wikipedia": 3, "dclm": 4, "other": 0, "*": 2}},
            "max_epochs": 2.5,
            "temperature": 0.2,
            "distance": 0.1,
        },
        "curriculum": {
            "phases": [
                {"name": "early", "share": 0.4, "order": "folded", "folds": 3},
                {"name": "middle", "share": 0.3, "order": "blended", "temperature": 0.2},
                {"name": "late", "share": 0.3, "order": "lr_weighted", "half_life": 0.05},
            ],
            "schedule": SCHEDULE,
        },
        "output": {"format": "jsonl.zst"},
    },
    "epochs": {
        "seed": 12345,
        "words": {"definition": "whitespace", "unspaced": "clause"},
        "rate": {"gopher": {}, "repetition": {}, "language": {}},
        "select": {
            "bins": ["language.label", "metadata.topic"],
            "epochs": {"en|topic-0": [1.0, 0.5, 2.5], "en|topic-1": [0.0, 1.0, 0.3], "*": [0.6, 0.2, 0.1]},
            "top": {"en|topic-2": 0.6},
            "distance": 500,
        },
        "curriculum": {
            "phases": [
                {"name": "early", "share": 0.5, "order": "bucketed", "buckets": 7},
                {"name": "middle", "share": 0.2, "order": "descending"},
                {"name": "late", "share": 0.3, "order": "lr_weighted"},
            ],
            "schedule": {"final": 1e-5, "decay": 0.2},
            "checkpoints": {"averaging": "wma", "kept": 4, "spacing": 0.05},
        },
        "guards": {"synthetic": {"where": {"metadata.synthetic": ["true"]}, "fail_above": 1.0}, "real_tokens": True},
        "output": {"row_group_bytes": 10_000, "compression_level": 9},
    },
    "diverse": {
        "dedup": {"exact": True},
        "select": {
            "diverse": {"column": "metadata.embedding", "within": "metadata.topic", "ceiling": 0.97},
            "tokens": {"dclm": 20_000, "other": 5_000},
        },
        "curriculum": {
            "phases": [{"name": "a", "share": 0.7, "order": "lr_weighted"}, {"name": "b", "share": 0.3, "order": "ascending"}],
            "assign": "uniform",
            "by": {"wikipedia": "-gopher.word_count", "*": "quality"},
            "schedule": SCHEDULE,
        },
    },
    "pages": {  # no documents of JSON or Parquet, but a crawl and a text
        "input": {"text_unit": "line", "source": "crawl"},
        "rate": {"c4": {}, "fineweb": {}, "compression": {}},
        "thresholds": {
            "c4.characters": {"min": 200},
            "c4.curly": {"max": 0},
            "fineweb.line_punctuation": {"min": 0.5},
            "compression.ratio": {"min": 0.3, "max": 0.8},
        },
        "dedup": None,
        "quality": [],
        "select": {"tokens": 20_000},
        "curriculum": {"order": "uniform", "interleave_by": "none"},
    },
}
"""Sections of the tests' recipe that are otherwise."""

NAMES = (*shipped_recipes(), *WILDCARD)


@pytest.fixture(scope="module")
def corpora(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the corpus (`in`), the crawl (`pages`), the benchmark and the model."""
    folder = tmp_path_factory.mktemp("corpora")
    varied.write(folder / "in", 520, seed=1)
    varied.write_pages(folder / "pages", 240, seed=2)
    varied.write_benchmark(folder / "quiz.jsonl")
    (folder / "fineweb2").mkdir()
    (folder / "fineweb2/en.yml").write_text(LANGUAGE)
    write_model(folder / "quality.bin")
    return folder


def write_model(path: Path) -> None:
    """A fastText model that takes the words of advertisements for bad, some others for good, and pairs as chance has it.

    It is written and not trained: training differs by last bits from processor to processor.
    """
    draw, dim, buckets = random.Random(3), 2, 50
    good = ("the", "was", "history", "scholars", "patience", "</s>")
    bad = sorted({word for line in varied.ADS for word in line.split()} - set(good))
    words = {word: (-9.0 if len(word) > 4 else -1.0, 0.5) for word in bad} | dict.fromkeys(good, (1.5, 0.25))
    labels = {"__label__hq": (1.0, 1.0), "__label__cc": (-1.0, -1.0)}
    pairs = [(draw.uniform(-2.5, 1), draw.uniform(-1, 1)) for _ in range(buckets)]
    parts = [
        struct.pack("<2i", 793712314, 12),  # the mark of a model, the version of the format
        struct.pack("<12id", dim, 5, 5, 1, 5, 2, 3, 3, buckets, 0, 0, 100, 1e-4),  # pairs of words, softmax, supervised
        struct.pack("<3i2q", len(words) + len(labels), len(words), len(labels), 1000, -1),
        *(word.encode() + b"\0" + struct.pack("<qb", 10, word in labels) for word in (*words, *labels)),
    ]
    for rows in ([*words.values(), *pairs], [*labels.values()]):
        parts += [struct.pack("<?2q", False, len(rows), dim), *(struct.pack("<2f", *row) for row in rows)]
    path.write_bytes(b"".join(parts))


def digest(folder: Path) -> str:
    """SHA-256 over every file below a folder, names and bytes, in the order of the names."""
    found = hashlib.sha256()
    for path in sorted(path for path in folder.rglob("*") if path.is_file()):
        content = path.read_bytes()
        found.update(f"{path.relative_to(folder)} {len(content)}\n".encode() + content)
    return found.hexdigest()


def ran(name: str, folder: Path, output: str) -> Json:
    """What the table has of a recipe: runs it in the working directory, so that no absolute path is known to it."""
    if name in WILDCARD:
        folder.mkdir()
        loaded = load_recipe(str(write_recipe(folder, **WILDCARD[name])), SMALL, ["pages" if name == "pages" else "in"])
    else:
        loaded = load_recipe(name, (*SMALL, *SHIPPED.get(name, ())), ["in"])
    result = launch(loaded, output, workers=1)
    manifest, release = result.manifest, Path(result.release.folder)
    counts: Any = manifest["counts"]
    parts: Any = manifest["parts"]
    rejects = b"".join(Path(output, "rejects", f"{part}.jsonl").read_bytes() for part in parts)
    return {
        **{what: counts[what] for what in ("records", "kept", "dropped", "review", "rejected")},
        "repeated": counts["repeated"]["documents"],
        "shards": len(list((release / "data").rglob("shard-*"))),
        "reasons": {f"{found['decision']} {found['reason']}": found["documents"] for found in counts["reasons"]},
        "corpus_root": manifest["corpus_root"],
        "decisions": digest(release / "decisions"),
        "rejects": hashlib.sha256(rejects).hexdigest(),
    }


def remembered() -> Json:
    """The table; an empty one where there is none, or where it is to be made anew with other versions."""
    table: Json = json.loads(TABLE.read_text()) if TABLE.exists() else {"versions": VERSIONS, "recipes": {}}
    anew = os.environ.get(WRITE) and table["versions"] != VERSIONS
    return {"versions": VERSIONS, "recipes": {}} if anew else table


@pytest.mark.parametrize("name", NAMES)
def test_the_corpus_of_a_recipe_is_byte_for_byte_what_the_table_remembers(
    name: str, corpora: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    table = remembered()
    if any(table["versions"][writer] != VERSIONS[writer] for writer in WRITERS):
        how = f"on a commit whose bytes are right, {WRITE}=1 pytest tests/pipelines/{Path(__file__).name} makes it anew"
        pytest.skip(f"the table is of {table['versions']}, here are {VERSIONS}: {how}")
    monkeypatch.chdir(corpora)
    found = ran(name, tmp_path / "recipe", f"run-{name}")
    assert len(found["reasons"]) >= 5
    assert 0.2 <= found["kept"] / found["records"] <= 0.9
    assert found["shards"] >= 3
    assert found["rejected"]
    if os.environ.get(WRITE):
        recipes = table["recipes"] | {name: found}
        table["recipes"] = {known: recipes[known] for known in sorted(recipes) if known in NAMES}
        TABLE.write_text(json.dumps(table, indent=1) + "\n")
    assert found == table["recipes"].get(name), f"made with {VERSIONS}, the table with {table['versions']}"
