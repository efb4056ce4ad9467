"""`tamis contamination rephrased` finds reworded items in a release, whatever its shards, and says what it cannot do."""

from __future__ import annotations

import json
import random
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from typer.testing import CliRunner

from tamis.pipelines.cli.main import app
from tamis.pipelines.contamination.rephrased_items import TABLE, Search, benchmarks_of, find_rephrased
from tamis.transforms.decontaminate.rephrased.judges import Rule
from tests.transforms.decontaminate.rephrased.test_chat_judge import Server, said
from tests.transforms.feed.releases import release

ITEMS = [
    "Janet has 16 hens. Every hen lays 3 eggs a week. How many eggs does Janet have after 2 weeks?",
    "A train goes 60 miles in 40 minutes. How far does it go in 2 hours at this speed?",
    "Omar reads 12 pages a day of a book of 240 pages. In how many days has Omar read it?",
]
REWORDED = (
    "There are 16 hens on the farm of Janet, and each of them lays 3 eggs every week. What is the number of eggs after 2 weeks?"
)


def texts() -> list[str]:
    """Sixty long texts, one of which has the first item in other words."""
    draw = random.Random(5)
    words = ("the", "farm", "book", "read", "miles", "speed", "week", "house", "river", "stone", "light", "many", "how")
    documents = [" ".join(draw.choices(words, k=150)) for _ in range(60)]
    documents[41] = f"{documents[41]}\n{REWORDED}\n{documents[40]}"
    return documents


def dealt(documents: Sequence[str], shards: int) -> list[list[str]]:
    size = -(-len(documents) // shards)
    return [list(documents[first : first + size]) for first in range(0, len(documents), size)]


@pytest.fixture
def benchmark(tmp_path: Path) -> Path:
    path = tmp_path / "gsm8k.jsonl"
    path.write_text("".join(json.dumps({"question": item, "answer": "#### 1"}) + "\n" for item in ITEMS))
    return path


def invoke(*arguments: str | Path) -> Any:
    return CliRunner().invoke(app, ["contamination", "rephrased", *map(str, arguments)])


def test_a_reworded_item_is_found_whatever_the_shards(tmp_path: Path, benchmark: Path) -> None:
    tables = []
    for shards in (1, 4):
        run = release(tmp_path / f"run-{shards}", dealt(texts(), shards))
        found = find_rephrased(run, benchmarks_of(run, [f"gsm8k={benchmark}"]), Search(), Rule(0.12))
        assert (found.documents, found.items) == (60, {"gsm8k": 3})
        tables.append(found.table)
    assert tables[0].equals(tables[1])
    assert tables[0].schema == TABLE
    first = tables[0].to_pylist()[0]
    assert (first["item"], first["rank"], first["id"], first["verdict"]) == ("0", 1, "doc-41", "rephrased")
    assert "16 hens" in first["passage"]
    assert texts()[41].encode()[first["start"] : first["stop"]].decode() == first["passage"]
    assert tables[0]["suspicious"].to_pylist().count(True) == 1
    assert all(row["rank"] <= 5 and row["score"] > 0.08 for row in tables[0].to_pylist())


@pytest.mark.parametrize("name", ["found.parquet", "found.jsonl", "found.csv"])
def test_the_table_is_one_of_scores_for_the_gain(tmp_path: Path, benchmark: Path, name: str) -> None:
    run = release(tmp_path / "run", dealt(texts(), 2))
    result = invoke(run, "--benchmark", f"gsm8k={benchmark}", "--output", tmp_path / name)
    assert result.exit_code == 0, result.output
    assert "gsm8k: 1 of 3 items have a suspicious passage, in 1 documents" in result.stdout
    (tmp_path / "correct.csv").write_text("benchmark,item,correct\ngsm8k,0,1\ngsm8k,1,0\ngsm8k,2,0\n")
    arguments = ["contamination", "gain", str(tmp_path / name), str(tmp_path / "correct.csv"), "--score", "suspicious"]
    gain = CliRunner().invoke(app, [*arguments, "--threshold", "1", "--json"])
    at = json.loads(gain.stdout)[0]["result"]["sweep"][0]
    assert (at["contaminated"]["items"], at["contaminated"]["mean"], at["clean"]["mean"]) == (1, 1.0, 0.0)


def test_a_model_judges_what_is_near(tmp_path: Path, benchmark: Path) -> None:
    server = Server()
    server.answer = lambda number, body: (200, said("yes")) if "16 hens" in body["messages"][1]["content"] else (400, b"")
    run, output = release(tmp_path / "run", dealt(texts(), 2)), tmp_path / "found.parquet"
    arguments = [run, "--benchmark", f"gsm8k={benchmark}", "--output", output, "--endpoint", server.url, "--model", "m"]
    result = invoke(*arguments, "--least", "0", "--json")
    server.http.shutdown()
    assert result.exit_code == 0, result.output
    rows = pq.read_table(output)
    assert len(rows) == len(server.requests) == json.loads(result.stdout)["suspicious"] > 1
    assert set(rows["verdict"].to_pylist()) == {"rephrased", "failed"}
    assert len((tmp_path / "found.parquet.verdicts.jsonl").read_text().splitlines()) == len(rows)


def test_embeddings_of_a_python_function(tmp_path: Path, benchmark: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "own_embedding.py").write_text(
        "def encode(texts):\n    return [[0.01 + text.count(word) for word in ('hens', 'miles', 'pages')] for text in texts]\n"
        "constant = 1\n"
    )
    monkeypatch.chdir(tmp_path)
    run = release(tmp_path / "run", [texts()])
    arguments = [run, "--benchmark", f"gsm8k={benchmark}", "--output", "found.parquet", "--top", "1"]
    result = invoke(*arguments, "--embed", "own_embedding:encode")
    assert result.exit_code == 0, result.output
    assert pq.read_table("found.parquet").filter(pa.compute.field("item") == "0")["id"].to_pylist() == ["doc-41"]
    for wrong in ("own_embedding:none", "none:encode", "own_embedding", "own_embedding:constant"):
        result = invoke(*arguments, "--embed", wrong)
        assert (result.exit_code, f"--embed {wrong}" in result.output) == (1, True)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ([], "the recipe of {run} names no benchmarks"),
        (["--benchmark", "gsm9k"], "did you mean 'gsm8k'"),
        (["--benchmark", "gsm8k=none.jsonl"], "none.jsonl"),
        (["--benchmark", "gsm8k={benchmark}", "--output", "found.txt"], "a table ends in .parquet, .jsonl or .csv"),
        (["--benchmark", "gsm8k={benchmark}", "--endpoint", "http://127.0.0.1:9"], "name both the --endpoint and its --model"),
    ],
)
def test_mistakes_are_named(tmp_path: Path, benchmark: Path, arguments: list[str], message: str) -> None:
    run = release(tmp_path / "run", [["a text"]])
    filled = [argument.format(benchmark=benchmark) for argument in arguments]
    result = invoke(run, *(filled if "--output" in filled else [*filled, "--output", tmp_path / "found.parquet"]))
    assert result.exit_code == 1
    assert message.format(run=run) in " ".join(result.output.split())
