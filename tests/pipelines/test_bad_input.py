"""Bad input through `tamis run`: every fault is reported with file and place, and good records beside it pass."""

from __future__ import annotations

import gzip
import json
import os
import random
import re
import resource
import subprocess
import sys
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import zstandard
from typer.testing import CliRunner

from tamis.pipelines.cli.main import app
from tamis.transforms.core.release import open_release
from tamis.transforms.provenance import verify as manifests
from tests.pipelines.running import folder_of

RECIPE = "rate: {gopher: {}}\ninput: {paths: [], max_record_bytes: 20000000}\n"
LONG = 50 << 20


def tamis(*arguments: str | Path, before: Callable[[], None] | None = None) -> subprocess.CompletedProcess[str]:
    """Runs the command as a person does."""
    return subprocess.run(
        [sys.executable, "-c", "from tamis.pipelines.cli.main import main; main()", *map(str, arguments)],
        capture_output=True,
        text=True,
        timeout=120,
        cwd=Path(__file__).resolve().parents[2],
        preexec_fn=before,
    )


def lines_of(process: subprocess.CompletedProcess[str]) -> list[str]:
    """What a command printed on standard error, but that kernels are compiled first."""
    return [line for line in process.stderr.splitlines() if not line.startswith("compiling kernels first")]


def record(identifier: str, text: str = "Some words that are valid.", **fields: object) -> bytes:
    return json.dumps({"id": identifier, "text": text, **fields}).encode() + b"\n"


def noise(prefix: str) -> bytes:
    """Twenty incompressible records, 600 kB together, so that a truncated file loses some of them."""
    draw = random.Random(0)
    return b"".join(record(f"{prefix}-{n}", draw.randbytes(15000).hex()) for n in range(20))


def bad_files(folder: Path) -> None:
    """Writes one file for every fault; ids begin with the name of the file."""
    parquet = folder / "cut.parquet"
    pq.write_table(pa.table({"id": [f"cut-{n}" for n in range(100)], "text": ["words"] * 100}), parquet)
    pq.write_table(pa.table({"id": ["schema-1"], "body": ["words"]}), folder / "schema.parquet")
    pq.write_table(pa.table({"id": ["column-1", "column-2"], "text": ["words", None]}), folder / "column.parquet")
    files = {
        "broken.jsonl": record("broken-1") + b'{"id": "broken-2", "text": "cut\n' + record("broken-3"),
        "cut.jsonl.gz": gzip.compress(noise("gz"))[:-90_000],
        "cut.jsonl.zst": zstandard.compress(noise("zst"))[:-90_000],
        "cut.parquet": parquet.read_bytes()[:-50],
        "empty.jsonl": b"",
        "empty.parquet": b"",
        "field.jsonl": record("field-1") + b'{"id": "field-2", "body": "x"}\n{"id": "field-3", "text": 7}\n[1]\n',
        "latin.jsonl": record("latin-1") + b'{"id": "latin-2", "text": "caf\xe9"}\n' + record("latin-3"),
        "latin.txt": b"caf\xe9",
        "long.jsonl": record("long-1") + record("long-2", "x" * LONG) + record("long-3"),
        "nul.jsonl": record("nul-1", "a\0b") + b"\0" * 40 + b"\n" + record("nul-3"),
        "surrogate.jsonl": record("surrogate-1") + b'{"id": "surrogate-2", "text": "\\ud800"}\n' + record("surrogate-3"),
    }
    for name, content in files.items():
        (folder / name).write_bytes(content)


FIRST = len(record("broken-1"))

FAULTS: dict[str, list[tuple[int | None, int | None, str]]] = {
    "broken.jsonl": [(FIRST, 2, r"broken JSON: .* at character 31")],
    "cut.jsonl.gz": [(None, None, r"truncated gzip stream: the file ends after \d+ bytes.*nothing from here on can be read")],
    "cut.jsonl.zst": [(None, None, r"truncated zstd stream: the file ends after \d+ bytes.*nothing from here on can be read")],
    "cut.parquet": [(0, None, r"unreadable Parquet file: ")],
    "empty.jsonl": [],
    "empty.parquet": [(0, None, r"unreadable Parquet file: ")],
    "column.parquet": [(1, None, r"the text is null")],
    "schema.parquet": [(0, None, r"no text column 'text'; the columns are: id, body")],
    "field.jsonl": [
        (FIRST - 1, 2, r"no text field 'text'; the fields are: body, id"),
        (FIRST + 30, 3, r"the text field is an integer, not a string"),
        (FIRST + 59, 4, r"not a JSON object but list"),
    ],
    "latin.jsonl": [(FIRST - 1, 2, r"invalid UTF-8 at byte 30")],
    "latin.txt": [(0, None, r"invalid UTF-8 at byte 3")],
    "long.jsonl": [(FIRST - 2, 2, rf"a record of {len(record('long-2', '')) - 1 + LONG} bytes; max_record_bytes is 20000000")],
    "nul.jsonl": [(len(record("nul-1", "a\0b")), 2, r"broken JSON: ")],
    "surrogate.jsonl": [(FIRST + 3, 2, r"broken JSON: lone surrogate")],
}
"""Offset, line and error of every reject, by file."""

KEPT = {
    "broken.jsonl": ["broken-1", "broken-3"],
    "column.parquet": ["column-1"],
    "field.jsonl": ["field-1"],
    "latin.jsonl": ["latin-1", "latin-3"],
    "long.jsonl": ["long-1", "long-3"],
    "nul.jsonl": ["nul-1", "nul-3"],
    "surrogate.jsonl": ["surrogate-1", "surrogate-3"],
}


@pytest.fixture(scope="module")
def ran(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, subprocess.CompletedProcess[str]]:
    """A run over one file for every fault, with all rejects allowed."""
    folder = tmp_path_factory.mktemp("bad")
    (folder / "in").mkdir()
    bad_files(folder / "in")
    (folder / "r.yaml").write_text(RECIPE)
    process = tamis(
        "run", folder / "r.yaml", "-i", folder / "in", "-o", folder / "run", "--workers", "1", "--set", "max_rejects=1.0"
    )
    return folder, process


def rejects(folder: Path) -> dict[str, list[dict[str, Any]]]:
    entries: dict[str, list[dict[str, Any]]] = {}
    for file in sorted((folder / "run/rejects").iterdir()):
        for line in file.read_text("utf-8").splitlines():
            entry = json.loads(line)
            entries.setdefault(Path(entry["uri"]).name, []).append(entry)
    return entries


def corpus(folder: Path) -> list[str]:
    return [
        key
        for file in sorted((folder_of(folder / "run") / "data").rglob("*.parquet"))
        for key in pq.read_table(file)["id"].to_pylist()
    ]


def test_a_run_over_bad_files_ends_well_and_says_where_the_rejects_are(ran) -> None:
    folder, process = ran
    assert (process.returncode, "Traceback" in process.stderr) == (0, False), process.stderr
    assert f"rejects  {folder}/run/rejects" in process.stdout
    lost = sum(entry["records"] for entries in rejects(folder).values() for entry in entries)
    assert re.search(rf"^rejected\s+{lost}\b", process.stdout, re.MULTILINE)
    for name in ("cut.jsonl.gz", "cut.jsonl.zst", "cut.parquet"):  # whose loss is an estimate
        assert re.search(rf"records-lost\] \S*{name} is damaged", process.stdout), process.stdout


@pytest.mark.parametrize("name", FAULTS)
def test_every_fault_is_reported_with_file_place_and_reason(ran, name: str) -> None:
    folder, _ = ran
    entries = rejects(folder).get(name, [])
    assert len(entries) == len(FAULTS[name]), entries
    for entry, (offset, line, error) in zip(entries, FAULTS[name], strict=True):
        assert entry["uri"] == str(folder / "in" / name)
        assert re.match(error, entry["error"]), entry["error"]
        assert offset in (None, entry["offset"])
        assert line in (None, entry["line"])
        assert len(entry["excerpt"]) <= 200


@pytest.mark.parametrize("name", KEPT)
def test_good_records_of_a_bad_file_pass(ran, name: str) -> None:
    folder, _ = ran
    prefix = name.split(".")[0] + "-"
    assert sorted(key for key in corpus(folder) if key.startswith(prefix)) == KEPT[name]


@pytest.mark.parametrize(("name", "prefix"), [("cut.jsonl.gz", "gz-"), ("cut.jsonl.zst", "zst-")])
def test_records_before_a_cut_pass_and_the_reject_names_the_first_lost_one(ran, name: str, prefix: str) -> None:
    folder, _ = ran
    numbers = sorted(int(key.removeprefix(prefix)) for key in corpus(folder) if key.startswith(prefix))
    assert numbers == list(range(len(numbers)))
    assert 10 <= len(numbers) < 20
    (reject,) = rejects(folder)[name]
    lines = noise(prefix[:-1]).split(b"\n")
    assert reject["line"] == len(numbers) + 1
    assert reject["offset"] == sum(len(line) + 1 for line in lines[: len(numbers)])
    assert (reject["records"], reject["estimated"]) == (len(numbers), True)


def test_nothing_is_lost_in_silence(ran) -> None:
    folder, _ = ran
    run = str(folder / "run")
    written = open_release(run).manifest
    counts = written["counts"]
    lost = {name: sum(entry["records"] for entry in entries) for name, entries in rejects(folder).items()}
    assert counts["rejected"] == sum(lost.values())
    assert counts["records"] == counts["kept"] + counts["dropped"] + counts["review"] + counts["rejected"]
    assert counts["kept"] == len(corpus(folder)) == len(set(corpus(folder)))
    documents: Counter[str] = Counter()
    rejected: Counter[str] = Counter()
    for split in written["inputs"]:
        documents[Path(split["uri"]).name] += split["documents"]
        rejected[Path(split["uri"]).name] += split["rejected"]
    assert rejected == {name: lost.get(name, 0) for name in FAULTS}
    for name in FAULTS:
        assert documents[name] == len(KEPT.get(name, [])) or name.startswith("cut.jsonl"), name
    assert manifests.verify(run) == []


@pytest.mark.slow
def test_above_max_rejects_the_run_stops_unfinished_and_goes_on_when_more_are_allowed(tmp_path: Path) -> None:
    (tmp_path / "in.jsonl").write_bytes(record("a") + b"{\n" + record("b") + record("long", "word " * (LONG // 5)))
    (tmp_path / "r.yaml").write_text("rate: {}\n")
    command = ("run", tmp_path / "r.yaml", "-i", tmp_path / "in.jsonl", "-o", tmp_path / "run")

    for limit, workers in (("0.2", "2"), ("0", "1")):  # a share of the records; a number of them
        stopped = tamis(*command, "--workers", workers, "--set", f"max_rejects={limit}")
        assert stopped.returncode == 1
        (first,) = rejects(tmp_path)["in.jsonl"]
        assert lines_of(stopped)[1:] == [
            f"1 of 4 records could not be read; max_rejects is {limit}. The first: {tmp_path}/in.jsonl, line 2: "
            f"{first['error']}. All are listed with file, offset and error in rejects/ of the run directory: "
            "correct the input, or allow more with --set max_rejects=0.3"
        ]
        assert stopped.stdout == ""
        assert not (tmp_path / "run/manifest.json").exists()
        assert not list(tmp_path.glob("run/releases/*/data"))
        for question in (["verify"], ["explain", "a"], ["report"]):
            answer = CliRunner().invoke(app, [question[0], str(tmp_path / "run"), *question[1:]])
            assert answer.exit_code == 1
            assert "has no release yet" in answer.stderr

    passed = tamis(*command, "--workers", "1", "--set", "max_rejects=1", "--json")
    assert passed.returncode == 0, passed.stderr
    result = json.loads(passed.stdout)
    assert (result["counts"]["kept"], result["counts"]["rejected"]) == (3, 1)  # a line of 50 MB is a document like any other
    assert result["shards"] == {"rated": 0, "reused": 2, "emitted": result["shards"]["emitted"]}  # of 48 MiB
    assert manifests.verify(str(tmp_path / "run")) == []


def test_an_empty_file_is_no_fault_and_alone_no_corpus(tmp_path: Path) -> None:
    (tmp_path / "empty.jsonl").touch()
    command = ("run", "gopher", "-i", str(tmp_path / "empty.jsonl"), "-o", str(tmp_path / "run"), "--workers", "1", "--json")
    process = CliRunner().invoke(app, command)
    assert process.exit_code == 1
    assert (
        "no document of 0 is kept, and an empty corpus is not released; check the input" in json.loads(process.stdout)["error"]
    )
    assert not (tmp_path / "run/manifest.json").exists()


@pytest.mark.parametrize(
    ("path", "message"),
    [
        ("nowhere.jsonl", r"input: .*/nowhere\.jsonl: no such file or folder"),
        ("hollow", r"input: .*/hollow: the folder is empty"),
        ("*.warc.gz", r"input: .*/\*\.warc\.gz: the pattern matches no file"),
        ("unknown", r"input: .*/unknown: neither its name nor its first bytes tell the format; set input\.format"),
        ("dangling.jsonl", r"input: .*/dangling\.jsonl: no such file or folder"),
    ],
)
def test_input_that_is_not_there_stops_before_anything_is_written(tmp_path: Path, path: str, message: str) -> None:
    (tmp_path / "hollow").mkdir()
    (tmp_path / "unknown").write_text("what am I")
    (tmp_path / "dangling.jsonl").symlink_to(tmp_path / "gone")
    process = CliRunner().invoke(app, ["run", "gopher", "-i", str(tmp_path / path), "-o", str(tmp_path / "run")])
    assert process.exit_code == 1
    assert re.fullmatch(message, process.stderr.strip()), process.stderr
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize(
    ("output", "message"),
    [
        ("file", r"--output '.*/file' is a file; name a directory"),
        ("file/run", r"cannot write the run directory '.*/file/run': Not a directory\. Name another with --output"),
        ("thesis", r"--output '.*/thesis' holds other files \(chapter\.tex\); name an empty or new directory"),
    ],
)
def test_an_output_that_cannot_be_written_is_named_and_left_alone(tmp_path: Path, output: str, message: str) -> None:
    (tmp_path / "in.jsonl").write_bytes(record("a"))
    (tmp_path / "file").write_text("mine")
    (tmp_path / "thesis").mkdir()
    (tmp_path / "thesis/chapter.tex").write_text("mine")
    process = CliRunner().invoke(app, ["run", "gopher", "-i", str(tmp_path / "in.jsonl"), "-o", str(tmp_path / output)])
    assert process.exit_code == 1
    assert re.fullmatch(message, process.stderr.strip()), process.stderr
    assert (tmp_path / "file").read_text() == "mine"
    assert os.listdir(tmp_path / "thesis") == ["chapter.tex"]


@pytest.mark.slow
def test_a_full_disk_is_one_line_and_leaves_nothing_that_looks_finished(tmp_path: Path) -> None:
    (tmp_path / "in.jsonl").write_bytes(noise("n"))
    (tmp_path / "r.yaml").write_text("rate: {}\n")
    process = tamis(
        *("run", tmp_path / "r.yaml", "-i", tmp_path / "in.jsonl", "-o", tmp_path / "run", "--workers", "1"),
        before=lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, 100_000)),
    )
    assert process.returncode == 1
    (message,) = lines_of(process)[1:]
    cure = "Once that is fixed, run the same command again: it continues where it stopped"
    assert re.fullmatch(rf"File too large: '.*/run/\S+'\. {cure}", message)
    assert list((tmp_path / "run/rated").iterdir()) == []
    assert not (tmp_path / "run/manifest.json").exists()


def test_a_recipe_with_a_typo_stops_before_anything_is_written(tmp_path: Path) -> None:
    (tmp_path / "in.jsonl").write_bytes(record("a"))
    (tmp_path / "r.yaml").write_text("rate: {gopher: {}}\nthresholds:\n  gopher.word_cuont: {min: 5}\n")
    process = CliRunner().invoke(
        app, ["run", str(tmp_path / "r.yaml"), "-i", str(tmp_path / "in.jsonl"), "-o", str(tmp_path / "run")]
    )
    assert process.exit_code == 2
    assert process.stderr.strip().endswith(
        "r.yaml:3: thresholds.gopher.word_cuont: no signal 'gopher.word_cuont': did you mean 'gopher.word_count'?"
    )
    assert not (tmp_path / "run").exists()


@pytest.mark.slow
@pytest.mark.parametrize("workers", ["1", "2"])
def test_an_error_in_a_worker_is_printed_once_and_in_words(tmp_path: Path, workers: str) -> None:
    (tmp_path / "in.jsonl").write_bytes(record("same") + record("same", "Other words."))
    (tmp_path / "r.yaml").write_text("rate: {}\nduplicate_ids: error\n")
    command = ("run", tmp_path / "r.yaml", "-i", tmp_path / "in.jsonl", "-o", tmp_path / "run", "--workers", workers)
    stopped = tamis(*command)
    assert stopped.returncode == 1
    assert stopped.stdout == ""
    start, message = lines_of(stopped)
    assert start == "1 part to rate, 0.0 MB of input"
    assert message.startswith("1 ids name more than one document, for example 'same'. Make them unique")


def test_a_rater_that_cannot_be_set_up_says_which_and_why(tmp_path: Path) -> None:
    (tmp_path / "in.jsonl").write_bytes(record("a"))
    (tmp_path / "tokenizer.json").write_text("{}")
    command = ("run", "gopher", "-i", str(tmp_path / "in.jsonl"), "-o", str(tmp_path / "run"), "--workers", "1")
    process = CliRunner().invoke(app, [*command, "--set", f"rate.tokens.tokenizer={tmp_path}/tokenizer.json"])
    assert process.exit_code == 1
    assert re.search(r"^rater 'tokens': .*/tokenizer\.json: not a tokenizer\.json: ", process.stderr, re.MULTILINE)


def test_the_first_reject_is_told_as_a_terminal_may_show_it(tmp_path: Path) -> None:
    (tmp_path / "in.jsonl").write_text(json.dumps({"id": "a", "\x1b[2J\n" + "x" * 500: "words"}) + "\n")
    (tmp_path / "r.yaml").write_text("rate: {}\n")
    stopped = tamis("run", tmp_path / "r.yaml", "-i", tmp_path / "in.jsonl", "-o", tmp_path / "run", "--workers", "1")
    assert stopped.returncode == 1
    assert "no text field 'text'; the fields are: \ufffd[2J\ufffdxx" in stopped.stderr
    assert "\x1b" not in stopped.stderr
    assert len(stopped.stderr) < 1000
