"""Scores that documents bring along stand wherever a signal can; a typo, a wrong kind and a missing direction are named."""

from __future__ import annotations

from pathlib import Path

import pytest

from tamis.pipelines.recipe.lint_recipe import lint_recipe
from tamis.pipelines.recipe.load import load_recipe
from tamis.pipelines.recipe.schema import Recipe
from tamis.pipelines.recipe.yaml_file import RecipeError

DECLARED = """\
signals:
  metadata.score: {kind: float64, direction: up, range: [0, 5], unit: points}
  metadata.quality.toxic: {kind: bool, direction: down}
  metadata.lang: {kind: string}
  metadata.topics: {kind: list<string>}
"""


def load(tmp_path: Path, text: str, *overrides: str) -> Recipe:
    (tmp_path / "r.yaml").write_text(text)
    return load_recipe(str(tmp_path / "r.yaml"), overrides)


def test_a_declared_signal_stands_wherever_a_signal_can(tmp_path: Path) -> None:
    recipe = load(
        tmp_path,
        DECLARED
        + """\
thresholds:
  metadata.score: {min: 3}
  metadata.quality.toxic: {max: 0}
  metadata.lang: {one_of: [en]}
  metadata.topics: {one_of: [science]}
quality: [{signal: metadata.score}, {signal: metadata.quality.toxic}]
select: {bins: [metadata.lang, metadata.topics], epochs: {"*": 1}}
curriculum: {order: ascending, by: {web: metadata.score}}
guards: {clean: {where: {metadata.score: {min: 4}, metadata.topics: [science]}}}
""",
    )
    assert [name for name in recipe.all_signals if name.startswith("metadata.")] == [
        "metadata.lang",
        "metadata.quality.toxic",
        "metadata.score",
        "metadata.topics",
        "metadata.mistyped",
    ]
    assert recipe.metrics == {"web": ("metadata.score", 1.0)}
    assert recipe.undeclared == {}


def test_an_undeclared_field_is_of_the_kind_that_its_use_implies(tmp_path: Path) -> None:
    text = "thresholds: {metadata.score: {min: 3}, metadata.lang: {one_of: [en]}}\ncurriculum: {by: {web: -metadata.loss}}\n"
    recipe = load(tmp_path, text)
    kinds = {name: signal.kind for name, signal in recipe.undeclared.items()}
    assert kinds == {"metadata.score": "float64", "metadata.lang": "string", "metadata.loss": "float64"}
    assert recipe.rate_fingerprint == load(tmp_path, "").rate_fingerprint  # nothing is rated again for it


@pytest.mark.parametrize(
    ("assignment", "changed"),
    [
        ("thresholds.metadata.score.min=3", {"thresholds": {"metadata.score": {"min": 3}}}),
        ("thresholds.metadata.score={min: 3}", {"thresholds": {"metadata.score": {"min": 3}}}),
        ("thresholds.metadata.a.b.c.one_of=[x]", {"thresholds": {"metadata.a.b.c": {"one_of": ["x"]}}}),
        ("thresholds.tokens.count.max=9", {"thresholds": {"tokens.count": {"max": 9}}}),
        ("signals.metadata.a.b.kind=bool", {"signals": {"metadata.a.b": {"kind": "bool"}}}),
        ("signals.metadata.a={unit: points}", {"signals": {"metadata.a": {"unit": "points"}}}),
        ("curriculum.by.web=+metadata.a.b", {"curriculum": {"by": {"web": "+metadata.a.b"}}}),
        ("curriculum.by.a.site.org=+metadata.a.b", {"curriculum": {"by": {"a.site.org": "+metadata.a.b"}}}),
        ("select.tokens.a.site.org=5", {"select": {"tokens": {"a.site.org": 5}}}),
        (
            "guards={shares: {old: {where: {metadata.year: {max: 2000}}, warn_above: 1}}}",
            {"guards": {"shares": {"old": {"where": {"metadata.year": {"max": 2000}}, "warn_above": 1}}}},
        ),
        ("guards.clean.where.metadata.a.b.min=3", {"guards": {"clean": {"where": {"metadata.a.b": {"min": 3}}}}}),
    ],
)
def test_set_finds_where_the_name_of_a_signal_ends(tmp_path: Path, assignment: str, changed: dict[str, object]) -> None:
    assert load(tmp_path, "", assignment) == Recipe.model_validate({"name": "r", **changed})


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("signals: {score: {}}\n", "r.yaml:1: signals.score: a signal that documents bring along is called metadata.FIELD"),
        ("signals:\n  metadata.s: {kind: float}\n", "r.yaml:2: signals.metadata.s.kind: should be 'int64', 'float64', 'bool'"),
        ("signals:\n  metadata.s: {kind: string, range: [0, 1]}\n", "r.yaml:2: signals.metadata.s: labels have no direction"),
        ("signals:\n  metadata.s: {range: [1, 1]}\n", "r.yaml:2: signals.metadata.s: range is [low, high] with low below high"),
        (
            DECLARED + "thresholds:\n  metadata.scores: {min: 3}\n",
            "r.yaml:7: thresholds.metadata.scores: 'metadata.scores' is not declared under signals: did you mean",
        ),
        (DECLARED + "thresholds:\n  metadata.lang: {min: 3}\n", "r.yaml:7: thresholds.metadata.lang: 'metadata.lang' is text"),
        (DECLARED + "quality: [{signal: metadata.topics}]\n", "quality cannot weigh 'metadata.topics': it is text"),
        ("quality: [{signal: metadata.s, range: [0, 1]}]\n", "quality needs a direction for 'metadata.s': up, down or band"),
        ("quality: [{signal: metadata.s, direction: up}]\n", "quality needs a range for 'metadata.s': range: [low, high]"),
        ("thresholds: {metadata.: {min: 1}}\n", "'metadata.' names no field of the metadata"),
        ("curriculum: {by: {web: metadata.s}}\n", "say whether more of 'metadata.s' is better or less"),
        (DECLARED + "curriculum: {by: {web: +metadata.lang}}\n", "'metadata.lang' is text, not a number"),
        (DECLARED + "select: {bins: [metadata.score], epochs: {x: 1}}\n", "'metadata.score' is a number, not a label"),
        (
            "thresholds: {metadata.s: {min: 3}}\nselect: {bins: [metadata.s], epochs: {x: 1}}\n",
            "'metadata.s' is used as a number and as a label: declare it under signals",
        ),
    ],
)
def test_a_wrong_use_is_named(tmp_path: Path, text: str, problem: str) -> None:
    with pytest.raises(RecipeError) as caught:
        load(tmp_path, text)
    assert problem in str(caught.value).replace(f"{tmp_path}/", "")


def test_only_what_changes_a_value_is_rated_again(tmp_path: Path) -> None:
    base = load(tmp_path, DECLARED)
    assert base.rate_fingerprint != load(tmp_path, "").rate_fingerprint
    for same in ("signals.metadata.score.range=[1, 4]", "signals.metadata.score.unit=stars"):
        assert load(tmp_path, DECLARED, same).rate_fingerprint == base.rate_fingerprint
    for other in ("signals.metadata.score.kind=int64", "signals.metadata.more.kind=int64"):
        assert load(tmp_path, DECLARED, other).rate_fingerprint != base.rate_fingerprint


def test_a_limit_outside_the_declared_range_is_warned_about(tmp_path: Path) -> None:
    rules = "rate: {gopher: {}}\nthresholds: {metadata.score: {min: 60, max: 80}, gopher.word_count: {min: 5}}\n"
    blocks = "per_source: {web: {thresholds: {metadata.score: {min: -1, max: 5}}}}\n"
    warnings = list(lint_recipe(load(tmp_path, DECLARED + rules + blocks)))
    assert {warning.code for warning in warnings} == {"limit-outside-range"}
    assert [warning.message.split(". ")[0] for warning in warnings] == [
        "thresholds.metadata.score.min is 60, but signals declares values from 0 to 5, none of which would pass",
        "thresholds.metadata.score.max is 80, but signals declares values from 0 to 5, all of which would pass",
        "per_source.web.metadata.score.min is -1, but signals declares values from 0 to 5, all of which would pass",
    ]
