"""A threshold that takes many documents says so at the end of a run, and names some to read."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from tamis.pipelines.recipe.schema import Recipe
from tamis.pipelines.run.launch import launch

SHORT, WITHOUT_STOP_WORDS, PAGES = 15, 9, 85
SENTENCE = "the cat and the dog live with us here, as they have for long "


def text(number: int) -> str:
    if number < SHORT:
        return "word " * (number % 7 + 1)
    return "cat " * 12 if number < SHORT + WITHOUT_STOP_WORDS else f"page {number}: {SENTENCE * (1 + number // (PAGES - 1))}"


def warnings(folder: Path, files: int, least: int = 10) -> dict[str, dict[str, Any]]:
    """The warnings, by code, of a run over `PAGES` documents in so many files, each of which becomes a part."""
    for number in range(files):
        rows = [{"id": f"p{n:02d}", "text": text(n)} for n in range(number, PAGES, files)]
        (folder / f"{number}.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    sections = {
        "input": {"paths": [str(folder / "*.jsonl")]},
        "rate": {"gopher": {}},
        "thresholds": {"gopher.word_count": {"min": least}, "gopher.stop_words": {"min": 2}},
    }
    manifest = launch(Recipe.model_validate(sections), str(folder / "run"), workers=1).manifest
    return {warning["code"]: warning for warning in manifest["warnings"]}


@pytest.fixture(scope="module")
def warning(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    return warnings(tmp_path_factory.mktemp("one"), files=1)["rule-takes-many"]


def test_a_rule_that_takes_a_tenth_names_three_documents_with_their_values(warning: dict[str, Any]) -> None:
    """Fifteen of 85 are too short; the nine that another rule takes are fewer than ten."""
    assert warning["numbers"] == {"documents": SHORT, "share": SHORT / PAGES}
    head, examples = warning["message"].split(", such as ")
    assert head == "gopher.word_count takes 17.6% of the documents"
    named = [part.split(" (") for part in examples.split(").")[0].split("), ")]
    assert len(named) == 3
    for name, detail in named:
        assert detail.rstrip(")") == f"{int(name[1:]) % 7 + 1} < 10"


def test_the_examples_do_not_depend_on_the_parts(warning: dict[str, Any], tmp_path: Path) -> None:
    assert warnings(tmp_path, files=5)["rule-takes-many"] == warning


def test_a_rule_of_a_source_that_takes_a_tenth_of_it_is_told_though_it_takes_few_of_all(tmp_path: Path) -> None:
    texts = [f"{SENTENCE * (n % 2 + 1)}{n}" for n in range(400)]
    rows = [{"id": f"{n}", "text": text, "source": "my code" if n < 24 else "web"} for n, text in enumerate(texts)]
    (tmp_path / "in.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    sections = {
        "input": {"paths": [str(tmp_path / "in.jsonl")]},
        "rate": {"gopher": {}},
        "per_source": {"my code": {"thresholds": {"gopher.word_count": {"min": 20}}}},
    }
    manifest = launch(Recipe.model_validate(sections), str(tmp_path / "run"), workers=1).manifest
    (warning,) = [warning for warning in manifest["warnings"] if warning["code"] == "rule-takes-many"]
    assert warning["numbers"] == {"documents": 12, "share": 0.5}
    assert warning["message"] == (
        "gopher.word_count takes 50.0% of the documents of my code. Read some (`tamis sample RUN --reason gopher.word_count "
        "--source 'my code'`): if you would keep them, move the limit under per_source.my code, or set it to null there"
    )


def test_a_rule_that_takes_nearly_all_is_named_once(tmp_path: Path) -> None:
    found = warnings(tmp_path, files=1, least=20)
    assert "rule-takes-many" not in found
    assert ", such as " in found["drops-nearly-all"]["message"]
