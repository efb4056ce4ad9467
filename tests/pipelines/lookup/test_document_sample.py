"""A sample is a fair draw of the documents that match, whatever parts they are in, and reads little text."""

from __future__ import annotations

import json
import re
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from typer.testing import CliRunner

import tamis
from tamis.pipelines.cli.main import app
from tamis.transforms.core.parts import Part
from tests.pipelines.corpus import corpus, dealt, save
from tests.pipelines.running import RECIPE
from tests.transforms.edit.random_editor import RandomEditor, RandomOptions

RECORDS = corpus(300, seed=31)
EDITOR = RandomEditor(RandomOptions(density=0.02))
SECTIONS = RECIPE | {
    "thresholds": {"gopher.word_count": {"min": 60}, "gopher.stop_words": {"min": 1}, "metadata.level": {"min": 1}}
}


@pytest.fixture(scope="module")
def releases(tmp_path_factory: pytest.TempPathFactory) -> list[tamis.Release]:
    """The same documents in one file, and in four."""
    folder = tmp_path_factory.mktemp("sample")
    records = [record | {"level": number % 30} for number, record in enumerate(RECORDS)]
    inputs = {files: save(folder / f"in-{files}", dealt(records, files, seed=files)) for files in (1, 4)}
    return [
        tamis.run(SECTIONS, str(path), str(folder / f"run-{files}"), editors=[EDITOR], workers=1)
        for files, path in inputs.items()
    ]


def ids(sample: list[dict[str, Any]]) -> list[str]:
    return [document["id"] for document in sample]


def sample(*arguments: object) -> Any:
    return CliRunner().invoke(app, ["sample", *map(str, arguments)])


@pytest.mark.parametrize(
    "query",
    [{}, {"decision": "drop"}, {"reason": "dedup.exact"}, {"source": "web", "where": ["tokens > 100"]}, {"near_limit": True}],
    ids=str,
)
def test_the_sample_is_the_same_however_the_input_is_cut(releases: list[tamis.Release], query: Any) -> None:
    one, four = (release.sample(20, **query) for release in releases)
    assert ids(one) == ids(four)
    assert len({*ids(one)}) == len(one) > 5
    assert [document["text"] for document in one] == [document["text"] for document in four]


def test_every_matching_document_has_the_same_chance(releases: list[tamis.Release]) -> None:
    matching = {row["id"] for row in releases[1].table(reason="dedup.exact").to_pylist()}
    draws, n = 80, 5
    drawn = Counter(id for seed in range(draws) for id in ids(releases[1].sample(n, reason="dedup.exact", seed=seed)))
    assert drawn.keys() == matching
    expected = draws * n / len(matching)
    # The statistic has mean k - 1 and deviation sqrt(2 (k - 1)); drawing without putting back lowers it.
    statistic = sum((drawn[id] - expected) ** 2 / expected for id in matching)
    assert statistic < len(matching) + 4 * (2 * len(matching)) ** 0.5
    assert len(releases[1].sample(1000, reason="dedup.exact")) == len(matching)


def test_a_sample_shows_the_text_as_it_ends_and_as_it_was_read(releases: list[tamis.Release]) -> None:
    as_read = {str(record["id"]): record["text"] for record in RECORDS}
    as_it_ends = {row["id"]: row["text"] for row in releases[0].table("text").to_pylist()}
    for document in releases[0].sample(50):
        assert document["text"] == as_it_ends[document["id"]]
        read = "".join(piece["text"] for piece in document["diff"] if piece["kind"] in ("same", "removed", "cut"))
        assert read == as_read[document["id"]]


def test_only_the_parts_of_chosen_documents_are_read_for_texts(
    releases: list[tamis.Release], monkeypatch: pytest.MonkeyPatch
) -> None:
    read: list[tuple[str, int]] = []
    original = Part.read

    def noted(part: Part, rows: Any, names: Any) -> Any:
        read.append((part.name, len(rows)))
        return original(part, rows, names)

    monkeypatch.setattr(Part, "read", noted)
    releases[1].sample(1, where=["gopher.word_count >= 60"])
    assert [rows for _, rows in read] == [1]


@pytest.mark.parametrize(
    ("condition", "matches"),
    [
        ("gopher.word_count < 40", lambda row: row["gopher.word_count"] < 40),
        ("tokens.count>=700", lambda row: row["tokens.count"] >= 700),
        ("gopher.stop_words = 3", lambda row: row["gopher.stop_words"] == 3),
        ("quality > 0.9", lambda row: (row["quality"] or 0) > 0.9),
        ("metadata.level == 7", lambda row: json.loads(row["metadata"])["level"] == 7),
        ("metadata.trap = exact", lambda row: json.loads(row["metadata"])["trap"] == "exact"),
        ("metadata.trap != plain", lambda row: json.loads(row["metadata"])["trap"] != "plain"),
        ("metadata.nobody != plain", lambda row: False),
    ],
)
def test_conditions(releases: list[tamis.Release], condition: str, matches: Any) -> None:
    rows = releases[1].table("metadata", "gopher.word_count", "gopher.stop_words", "tokens.count").to_pylist()
    expected = {row["id"] for row in rows if matches(row)}
    if expected:
        assert {*ids(releases[1].sample(1000, where=[condition]))} == expected
    else:
        with pytest.raises(tamis.RunError, match="no document matches"):
            releases[1].sample(1000, where=[condition])


def test_near_a_limit_come_the_nearest_from_both_sides(releases: list[tamis.Release]) -> None:
    rows = releases[1].table("gopher.word_count").to_pylist()

    def distances(kept: bool) -> list[float]:
        chosen = (row for row in rows if (row["decision"] == "keep" if kept else row["reason"] == "gopher.word_count"))
        return sorted(abs(row["gopher.word_count"] - 60) / 60 for row in chosen)

    found = releases[1].sample(12, near_limit=True, reason="gopher.word_count")
    for kept in (True, False):
        assert [d["near"]["distance"] for d in found if (d["decision"] == "keep") == kept] == pytest.approx(distances(kept)[:6])
    assert {document["near"]["signal"] for document in found} == {"gopher.word_count"}


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (
            ["--reason", "gopher.word_cont"],
            r"the reason 'gopher.word_cont': did you mean 'gopher.word_count'\?; .* by reason .*dedup.exact \d+ \(drop\)",
        ),
        (["--source", "wbe"], r"has the source 'wbe': did you mean 'web'\?"),
        (["--decision", "kept"], r"no decision 'kept': it is keep, drop or review"),
        (["--where", "gopher.word_cout > 3"], r"no signal 'gopher.word_cout': did you mean 'gopher.word_count'\?"),
        (["--where", "tokens.count"], r"'tokens.count' is no condition: write a signal, one of < <= > >= = !=, and a value"),
        (["--where", "tokens.count > many"], r"'tokens.count' is a number, and 'many' is none"),
        (["--where", "metadata.trap < plain"], r"labels are compared by = and != only"),
        (["--where", "tokens < 0"], r"no document matches all of that; there are [\d,]+ kept"),
        (
            ["--near-limit", "--reason", "dedup.near"],
            r"needs a threshold with a minimum or a maximum; those of the release are gopher.word_count, ",
        ),
    ],
)
def test_what_matches_nothing_is_told_what_there_is(releases: list[tamis.Release], arguments: list[str], message: str) -> None:
    result = sample(releases[0].run, *arguments)
    assert result.exit_code == 1
    assert re.search(message, result.stderr), result.stderr


def test_in_a_pipe_changes_are_in_brackets_and_nothing_is_coloured(releases: list[tamis.Release]) -> None:
    edited = "edit.random.removed_chars > 3"
    (document,) = releases[0].sample(1, reason="gopher.word_count", where=[edited])
    shown = sample(releases[0].run, "--reason", "gopher.word_count", "--where", edited, "-n", 1).stdout
    assert "\x1b" not in shown
    assert shown.splitlines()[0].startswith("1 of ")
    assert f"dropped because of gopher.word_count: {document['detail']}" in shown
    words = document["signals"]["gopher.word_count"]
    assert re.search(rf"gopher\.word_count +{words} +min 60 <- decided; passes with min {words}", shown)
    removed = next(piece["text"] for piece in document["diff"] if piece["kind"] == "removed" and piece["text"].strip())
    assert f"[-{removed.splitlines()[0]}" in shown


def test_json_lines_hold_what_the_api_returns(releases: list[tamis.Release]) -> None:
    lines = sample(releases[0].run, "--decision", "drop", "-n", 3, "--json").stdout.splitlines()
    assert [json.loads(line) for line in lines] == json.loads(json.dumps(releases[0].sample(3, decision="drop"), default=str))
    error = sample(releases[0].run, "--reason", "none", "--json").stdout
    assert "no document has the reason" in json.loads(error)["error"]


def test_what_is_long_is_shortened_unless_it_is_asked_for(tmp_path: Path) -> None:
    text = " ".join(f"word{number} of" for number in range(800))
    (tmp_path / "in.jsonl").write_text(json.dumps({"id": "long", "text": text}) + "\n")
    release = tamis.run({"rate": {"gopher": {}}}, str(tmp_path / "in.jsonl"), str(tmp_path / "run"), workers=1)
    hidden = int(re.search(r"\[… ([\d,]+) characters …\]", sample(release.run).stdout)[1].replace(",", ""))  # type: ignore[index]
    assert hidden == len(text) - 1200
    assert text in sample(release.run, "--full").stdout
    assert np.isclose(release.sample(1)[0]["place"], 1)
