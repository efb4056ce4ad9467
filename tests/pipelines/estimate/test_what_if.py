"""What-if says of other limits what a run with them decides, and leaves the rest as it stands."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import yaml
from typer.testing import CliRunner

from tamis.pipelines.cli.main import app
from tamis.pipelines.estimate.what_if import PASSING, Answer, Example, Flow, Outcome, Totals, WhatIf, total
from tamis.pipelines.estimate.what_if_lines import lines
from tamis.pipelines.recipe.load import with_limits
from tamis.pipelines.recipe.yaml_file import RecipeError
from tamis.transforms.core.errors import RunError
from tamis.transforms.core.release import Release
from tamis.transforms.provenance import ledger
from tests.pipelines.corpus import corpus, dealt, save
from tests.pipelines.running import RECIPE, run

SECTIONS: dict[str, Any] = {
    "rate": RECIPE["rate"],
    "edit": [{"cut_lines": {"where": {"words": {"max": 6}}}}],
    "thresholds": {
        "gopher.word_count": {"min": 150, "max": 380, "margin": 0.02},
        "gopher.stop_words": {"min": 2},
        "metadata.level": {"min": 2, "action": "review"},
        "metadata.topic": {"one_of": ["a", "b"]},
    },
    "per_source": {"code": {"thresholds": {"gopher.word_count": {"min": 0}, "gopher.stop_words": None}}},
}
LIMITS = {*SECTIONS["thresholds"]}

MOVED = {
    "one limit up": ["thresholds.gopher.word_count.min=250"],
    "both limits down": ["thresholds.gopher.word_count.min=60", "thresholds.gopher.word_count.max=300"],
    "labels, action and a block": [
        "thresholds.metadata.topic.one_of=[a]",
        "thresholds.metadata.level.action=drop",
        "per_source.code.thresholds.gopher.word_count.min=200",
        "per_source.books.thresholds.gopher.stop_words.min=7",
    ],
    "limits of other signals": ["thresholds.gopher.mean_word_length.max=5.4", "thresholds.metadata.number.min=40"],
}


def records() -> list[dict[str, object]]:
    plain = corpus(250, seed=5)
    return [
        record | {"level": number % 13, "topic": "abc"[number % 3], "number": number} for number, record in enumerate(plain)
    ]


def made(folder: Path, sections: dict[str, Any], *sets: str, files: int = 3) -> Release:
    """A release; of the same folder and files, the next one of the same run."""
    source, recipe = folder / f"in-{files}", folder / "recipe.yaml"
    if not source.exists():
        save(source, dealt(records(), files, seed=2))
    recipe.write_text(yaml.safe_dump(sections))
    return run(recipe, source, folder / f"run-{files}", *sets).release


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("what-if")


@pytest.fixture(scope="module")
def asked(folder: Path) -> WhatIf:
    return WhatIf(made(folder, SECTIONS))


def answered(asked: WhatIf, *sets: str, examples: int = 0) -> Answer:
    return asked.answer(with_limits(asked.release.manifest, sets), examples)


def decided(release: Release) -> pa.Table:
    return pa.concat_tables([ledger.decisions(release, part) for part in ledger.decided_parts(release)])


def counted(release: Release) -> dict[Outcome, Totals]:
    """What a release says of itself."""
    sums = [("tokens", "sum"), ("bytes", "sum"), ("id", "count")]
    rows = decided(release).group_by(["decision", "reason"]).aggregate(sums).to_pylist()
    return {
        Outcome(row["decision"], row["reason"]): Totals(row["id_count"], row["tokens_sum"], row["bytes_sum"]) for row in rows
    }


@pytest.mark.parametrize("sets", MOVED.values(), ids=[*MOVED])
def test_without_later_steps_it_counts_what_a_run_counts(folder: Path, asked: WhatIf, sets: list[str]) -> None:
    answer = answered(asked, *sets)
    assert answer.steps == ()
    after = {outcome: pair[1] for outcome, pair in answer.outcomes.items() if pair[1].documents}
    assert after == counted(made(folder, SECTIONS, *sets))
    assert sum(flow.totals.documents for flow in answer.flows if flow.before != flow.after) > 5


def test_it_begins_with_what_the_release_says_and_changes_nothing_by_itself(asked: WhatIf) -> None:
    answer = answered(asked)
    assert {outcome: pair[0] for outcome, pair in answer.outcomes.items()} == counted(asked.release)
    assert all(before == after for before, after in answer.outcomes.values())
    assert {"keep", "review", "drop"} == {outcome.decision for outcome in answer.outcomes}
    assert Outcome("drop", "edit.empty") in answer.outcomes


def test_with_later_steps_limits_are_exact_and_the_rest_stands(folder: Path) -> None:
    sections = SECTIONS | {"dedup": {"minhash": {"fold": True}}, "select": {"tokens": 20_000}}
    own = folder / "deduplicated"
    own.mkdir()
    asked, sets = WhatIf(made(own, sections)), MOVED["both limits down"]
    answer, real = answered(asked, *sets), counted(made(own, sections, *sets))
    assert answer.steps == ("dedup", "select")
    exact = {outcome: pair[1] for outcome, pair in answer.outcomes.items() if outcome.reason in LIMITS and pair[1].documents}
    assert exact == {outcome: totals for outcome, totals in real.items() if outcome.reason in LIMITS}
    for outcome, (before, after) in answer.outcomes.items():
        if outcome.reason not in LIMITS and outcome.decision != PASSING:
            assert after.documents <= before.documents
    passing = answer.outcomes[Outcome(PASSING)][1]
    assert passing == total(answer.newly_kept)
    assert passing.documents > 5
    assert total(answer.newly_dropped).documents > 5
    assert total(answer.flows).documents == len(records())


def test_examples_are_the_same_however_the_input_is_cut_and_say_why(folder: Path, asked: WhatIf) -> None:
    sets = MOVED["both limits down"]
    one = answered(WhatIf(made(folder, SECTIONS, files=1)), *sets, examples=4)
    three = answered(asked, *sets, examples=4)
    assert [example.id for example in one.examples] == [example.id for example in three.examples]
    assert [example.is_newly_kept for example in three.examples] == [True] * 4 + [False] * 4
    rows = {row["id"]: row for row in decided(asked.release).to_pylist()}
    texts = asked.texts(three.examples)
    for example in three.examples:
        assert (example.before.decision == "keep") is not example.is_newly_kept
        if example.is_newly_kept:
            assert example.detail == rows[example.id]["detail"]
        else:
            assert example.after.reason == "gopher.word_count"
            assert example.detail.endswith((" > 300", " within 2% of 300"))
        assert len(texts[example.id]["text"].encode()) == rows[example.id]["bytes"]


def test_the_command_prints_counts_and_examples(asked: WhatIf) -> None:
    command = ["what-if", asked.release.run + "@1", "--set", "thresholds.gopher.word_count.min=250", "--samples", "1"]
    printed = CliRunner().invoke(app, command)
    assert printed.exit_code == 0, printed.output
    answer = answered(asked, "thresholds.gopher.word_count.min=250", examples=1)
    before, after = answer.outcomes[Outcome("drop", "gopher.word_count")]
    assert (
        f"gopher.word_count (drop)    {before.documents} → {after.documents} (+{after.documents - before.documents})"
        in printed.output
    )
    (example,) = answer.examples
    assert f"{example.id}  ({example.source}, https://" in printed.output
    assert f"no longer kept: gopher.word_count {example.detail}\n" in printed.output
    as_json = json.loads(CliRunner().invoke(app, [*command, "--json"]).stdout)
    assert as_json == json.loads(json.dumps(answer.as_json(asked.texts(answer.examples))))


def test_nothing_of_a_document_acts_on_the_terminal() -> None:
    hostile, kept = "\x1b[31mred\r\u202e", Outcome("keep")
    limit = Outcome("drop", "gopher.word_count")
    example = Example(hostile, hostile, kept, limit, hostile, 0, 0, is_newly_kept=False)
    answer = Answer([Flow("web", kept, limit, Totals(1, 7, 40))], (), [example])
    shown = [*lines(answer, {"gopher.word_count"}, {hostile: {"url": hostile, "text": hostile}})][-3:]
    assert shown == [
        r"\x1b[31mred\r\u202e  (\x1b[31mred\r\u202e, \x1b[31mred\r\u202e)",
        r"no longer kept: gopher.word_count \x1b[31mred\r\u202e",
        r"  \x1b[31mred \u202e",
    ]


@pytest.mark.parametrize(
    ("override", "message"),
    [
        ("select.tokens=100", "--set select.tokens=100: is no limit"),
        ("per_source.code.edit=[]", "is no limit"),
        ("thresholds.gopher.stop_word.min=1", "did you mean 'gopher.stop_words'?"),
        ("thresholds.repetition.duplicate_line_share.max=30", "never 30; 30 % is written 0.3"),
    ],
)
def test_what_is_no_limit_takes_a_run(asked: WhatIf, override: str, message: str) -> None:
    with pytest.raises(RecipeError) as raised:
        with_limits(asked.release.manifest, [override])
    assert message in str(raised.value)


def test_scores_that_a_release_does_not_keep_take_a_run(tmp_path: Path) -> None:
    scores = tmp_path / "scores.parquet"
    pq.write_table(
        pa.table({"id": [str(record["id"]) for record in records()], "good": [float(n) for n in range(250)]}), scores
    )
    sections = {
        "scores": {"mine": {"path": str(scores)}},
        "signals": {"mine.good": {"kind": "float64"}},
        "thresholds": {"mine.good": {"min": 20}},
    }
    asked = WhatIf(made(tmp_path, sections))
    with pytest.raises(RunError, match=r"'mine.good' were joined from another file"):
        answered(asked, "thresholds.mine.good.min=30")


def test_counting_needs_neither_beam_nor_kernels(asked: WhatIf) -> None:
    code = (
        "import sys; from tamis.pipelines.cli.main import app\n"
        f"try: app(['what-if', {asked.release.run!r}, '--set', 'thresholds.gopher.stop_words.min=3'])\n"
        "except SystemExit as end: assert not end.code\n"
        "assert not {'apache_beam', 'numba'} & {*sys.modules}"
    )
    subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, timeout=60)
