"""After `tamis warmup` nothing is compiled any more, whatever recipe and format is run."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from collections import Counter
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from typer.testing import CliRunner

from tamis.pipelines.cli import compile_kernels
from tamis.pipelines.cli.main import app
from tamis.pipelines.recipe.load import recipe_source, shipped_recipes
from tests.pipelines.corpus import corpus, save
from tests.pipelines.running import TAMIS, typed

RUNS = """
import sys
from numba.core import event
from tamis.pipelines.recipe.load import load_recipe
from tamis.pipelines.run.launch import launch
with event.install_recorder("numba:compile") as recorder:
    for number, (name, source) in enumerate(zip(sys.argv[2::2], sys.argv[3::2])):
        launch(load_recipe(name, [], [source]), f"{sys.argv[1]}/{number}", workers=1)
print(*{happened.data["dispatcher"].py_func for _, happened in recorder.buffer}, sep="\\n")
"""


KERNELS = {"text", "edit", "rate", "beam", "dedup", "decontaminate", "select", "urls"}
"""The folders of transforms/ that have kernels."""


@pytest.fixture(scope="module")
def warm() -> Path:
    """The folder of the kernels, all of them compiled."""
    return Path(json.loads(typed([TAMIS, "warmup", "--json"], seconds=600)[0])["folder"])


@pytest.mark.slow
def test_a_second_warmup_only_looks(warm: Path) -> None:
    assert compile_kernels.is_warm()
    assert "nothing to compile" in CliRunner().invoke(app, ["warmup"]).stdout


@pytest.mark.slow
def test_warmup_names_the_kernels_that_it_compiles(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NUMBA_CACHE_DIR", str(tmp_path))
    first, second = (json.loads(typed([TAMIS, "warmup", "--json"], seconds=600)[0])["compiled"] for _ in range(2))
    assert len(first) > 20
    assert all(name.split(".")[0] in KERNELS for name in first)
    assert second == []


@pytest.mark.slow
def test_a_warm_run_compiles_nothing(warm: Path, tmp_path: Path) -> None:
    fasttext = pytest.importorskip("fasttext_new")
    (tmp_path / "train.txt").write_text("__label__hq good words\n__label__cc bad ones\n" * 50)
    model = fasttext.train_supervised(str(tmp_path / "train.txt"), dim=4, bucket=100, wordNgrams=2, thread=1, verbose=0)
    model.save_model(str(tmp_path / "dense.bin"))
    records = corpus(60)
    lines, parquet = save(tmp_path / "jsonl", [records]), save(tmp_path / "parquet", [records], "parquet")
    # Parquet as others write it: texts in a string or in a dictionary, and with slices of what was read.
    texts = pa.array([record["text"] for record in records])
    others = tmp_path / "others"
    others.mkdir()
    pq.write_table(pa.table({"text": texts}), others / "string.parquet")
    pq.write_table(pa.table({"text": texts.dictionary_encode()}), others / "dictionary.parquet")
    plain = tmp_path / "plain"
    plain.mkdir()
    (plain / "one.txt").write_text(str(records[0]["text"]))

    common = Counter(word for record in records for word in str(record["text"]).split() if word.isalpha()).most_common(50)
    (tmp_path / "hq.yml").write_text(f"stopwords: {json.dumps([word for word, _ in common])}\n")
    names = []
    for name in shipped_recipes():  # with this model in the place of those that one brings
        text = re.sub(r"\bmodel: \S+\.bin\b", f"model: {tmp_path / 'dense.bin'}", recipe_source(name)[1])
        names.append(str(tmp_path / f"{name}.yaml"))
        Path(names[-1]).write_text(text.replace("fineweb2/*.yml", str(tmp_path / "hq.yml")))
    multiply = tmp_path / "multiply.yaml"
    multiply.write_text("dedup: {minhash: {scheme: multiply}}\n")
    runs = [(name, lines) for name in [*names, str(multiply)]]
    runs += [("fineweb", parquet), ("fineweb", others), ("gopher", plain)]
    arguments = [str(argument) for run in runs for argument in run]
    process = subprocess.run(
        [sys.executable, "-c", RUNS, str(tmp_path), *arguments], capture_output=True, text=True, check=True, timeout=300
    )
    assert process.stdout.strip() == ""
