"""An invalid recipe is refused before anything runs, with every error at its line; shipped recipes are valid."""

from __future__ import annotations

from pathlib import Path
from typing import cast

import jsonschema
import pytest
import yaml
from pydantic import ValidationError

from tamis.pipelines.recipe.load import finished_recipe, load_recipe, recipe_source, shipped_recipes
from tamis.pipelines.recipe.schema import Recipe
from tamis.pipelines.recipe.yaml_file import RecipeError
from tamis.transforms.core.errors import RunError
from tamis.transforms.core.manifest import Manifest

GOPHER = "rate: {gopher: {}, language: {}}\n"


def load(tmp_path: Path, text: str | bytes, *overrides: str) -> Recipe:
    file = tmp_path / "r.yaml"
    file.write_bytes(text.encode() if isinstance(text, str) else text)
    return load_recipe(str(file), overrides)


def errors(tmp_path: Path, text: str | bytes, *overrides: str) -> list[str]:
    """The errors of a recipe, one per line, without the folder."""
    with pytest.raises(RecipeError) as caught:
        load(tmp_path, text, *overrides)
    return str(caught.value).replace(f"{tmp_path}/", "").splitlines()


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("seed: 3\nthreshold:\n  a: {}\n", "r.yaml:2: threshold: no such field; did you mean 'thresholds'?"),
        (GOPHER + "dedup:\n  minhash:\n    bandz: 3\n", "r.yaml:4: dedup.minhash.bandz: no such field; did you mean 'bands'?"),
        (
            GOPHER + "thresholds:\n  gopher.word_count: {mim: 5, min: 1}\n",
            "r.yaml:3: thresholds.gopher.word_count.mim: no such field; did you mean 'min'?",
        ),
        (
            "rate:\n  fasttext:\n    - {name: q,\n       model: m.bin, lable: x}\n",
            "r.yaml:4: rate.fasttext.0.lable: no such field; did you mean 'label'?",
        ),
        (
            GOPHER + "thresholds:\n  gopher.wordcount: {min: 5}\n",
            "r.yaml:3: thresholds.gopher.wordcount: no signal 'gopher.wordcount': did you mean 'gopher.word_count'?",
        ),
        (
            GOPHER + "quality:\n  - {signal: gopher.stop_words}\n  - {signal: gopher.stopwords}\n",
            "r.yaml:4: quality.1: no signal 'gopher.stopwords': did you mean 'gopher.stop_words'?",
        ),
        ("seed: x\n", "r.yaml:1: seed: should be a whole number, not x"),
        ("rate:\n  gopher: 3\n", "r.yaml:2: rate.gopher: should be a mapping of stop_words, bullets, marks"),
        ("input:\n  paths: here\n", "r.yaml:2: input.paths: should be a list: write [here]"),
        ("decontaminate:\n  drop: 0.5\n", "r.yaml:1: decontaminate.benchmarks: is missing"),
        ("max_rejects: -1\n", "r.yaml:1: max_rejects: should be greater than or equal to 0"),
        ("\n\nselect:\n  tokens: {web: -5}\n", "r.yaml:4: select.tokens.web: should be greater than or equal to 0"),
        (
            "curriculum:\n  order: sideways\n",
            "r.yaml:2: curriculum.order: should be 'uniform', 'ascending', 'descending', 'folded', 'bucketed', "
            "'blended' or 'lr_weighted'",
        ),
        (
            GOPHER + "thresholds:\n  gopher.word_count:\n    min: 5\n    max: 2\n",
            "r.yaml:3: thresholds.gopher.word_count: min 5 is above max 2, so every document would fail",
        ),
        (
            GOPHER + "thresholds:\n  gopher.word_count: {}\n",
            "r.yaml:3: thresholds.gopher.word_count: a threshold needs min, max or one_of",
        ),
        (
            GOPHER + "thresholds:\n  language.label: {min: 3}\n",
            "r.yaml:3: thresholds.language.label: 'language.label' is text: use one_of",
        ),
        (
            GOPHER + "quality:\n  - signal: language.label\n",
            "r.yaml:3: quality.0: quality cannot weigh 'language.label': it is text",
        ),
        (
            GOPHER + "quality:\n  - signal: tokens.count\n",
            "r.yaml:3: quality.0: quality needs a direction for 'tokens.count': up, down or band",
        ),
        (
            "rate:\n  fasttext: [{name: gopher, model: m.bin}]\n",
            "r.yaml:1: rate: two raters are called 'gopher': choose another name for one of them",
        ),
        ("seed: 1\nrate:\n  c4: {}\n  c4: {}\n", "r.yaml:4: rate.c4: appears twice"),
        (
            "seed: 1\nname: [a\n",
            "r.yaml:3: YAML: expected ',' or ']', but got '<stream end>': a bracket, brace or quote is not closed",
        ),
        (
            "rate:\n\tc4: {}\n",
            "r.yaml:2: YAML: found character '\\t' that cannot start any token: indent by spaces, not by tabs",
        ),
        ("- rate\n", "r.yaml:1: recipe: should be a mapping of sections, such as 'rate:'"),
        ("? [a, b]\n: 1\n", "r.yaml:1: YAML: found unhashable key: put a value that begins with {{ in quotes"),
        ("a: &a [*a]\n", "r.yaml:1: YAML: aliases are not supported: replace *a with its content"),
        (b"name: \xff\n", "r.yaml: not UTF-8 at byte 6: invalid start byte"),
    ],
)
def test_an_error_names_line_field_and_remedy(tmp_path: Path, text: str | bytes, problem: str) -> None:
    assert problem in errors(tmp_path, text)


def test_all_errors_are_reported_in_the_order_of_the_file(tmp_path: Path) -> None:
    assert errors(
        tmp_path,
        "sed: 1\nrate: {gopher: {}}\nthresholds:\n  gopher.word_cont: {min: 1}\n  gopher.hash_ration: {max: 1}\n"
        "quality: [{signal: gopher.words}]\ncurriculum: {order: x}\nmax_rejects: many\n",
        "seed=x",
    ) == [
        "r.yaml:1: sed: no such field; did you mean 'seed'?",
        "r.yaml:4: thresholds.gopher.word_cont: no signal 'gopher.word_cont': did you mean 'gopher.word_count'?",
        "r.yaml:5: thresholds.gopher.hash_ration: no signal 'gopher.hash_ration': did you mean 'gopher.hash_ratio'?",
        "r.yaml:6: quality.0: no signal 'gopher.words': did you mean 'gopher.word_count'?",
        "r.yaml:7: curriculum.order: should be 'uniform', 'ascending', 'descending', 'folded', 'bucketed', "
        "'blended' or 'lr_weighted'",
        "r.yaml:8: max_rejects: should be a number, not many",
        "--set seed=x: seed: should be a whole number, not x",
    ]


def test_a_recipe_is_shown_by_its_name_and_the_sections_that_it_sets(tmp_path: Path) -> None:
    recipe = load(tmp_path, "rate: {gopher: {}}\nseed: 3\nselect: {}\n")
    assert repr(recipe) == str(recipe) == "Recipe('r': seed, rate)"


@pytest.mark.parametrize("tag", ["!!python/object/apply:os.mkdir", "!!python/object/new:os.mkdir", "!!python/name:os.mkdir"])
def test_yaml_makes_no_objects_and_runs_nothing(tmp_path: Path, tag: str) -> None:
    folder = tmp_path / "made"
    (problem,) = errors(tmp_path, f"seed: 1\nname: {tag} [{folder}]\n")
    assert problem.startswith("r.yaml:2: YAML: could not determine a constructor for the tag")
    (problem,) = errors(tmp_path, "seed: 1\n", f"name={tag} [{folder}]")
    assert "could not determine a constructor" in problem
    assert not folder.exists()


def test_overrides_reach_every_field(tmp_path: Path) -> None:
    text = GOPHER + "thresholds:\n  gopher.word_count: {min: 5, max: 90}\nquality:\n  - {signal: gopher.stop_words}\ndedup:\n"
    changed = load(
        tmp_path,
        text,
        "thresholds.gopher.word_count.min=80",
        "thresholds.gopher.hash_ratio={max: 0.1}",
        "quality.0.weight=3",
        "dedup.minhash.threshold=0.8",
        "curriculum.schedule.peak=1e-3",
        "select.tokens={web: 5}",
        "input.paths=[a, b]",
        "max_rejects=1",
        "name=x=y",
    )
    assert (changed.thresholds["gopher.word_count"].min, changed.thresholds["gopher.word_count"].max) == (80, 90)
    assert changed.thresholds["gopher.hash_ratio"].max == 0.1
    assert changed.weights[0].weight == 3
    assert changed.dedup is not None
    assert changed.dedup.minhash is not None
    assert changed.dedup.minhash.threshold == 0.8
    assert changed.curriculum.schedule.peak == 1e-3
    assert changed.select.tokens == {"web": 5}
    assert changed.input.paths == ("a", "b")
    assert (changed.max_rejects, type(changed.max_rejects)) == (1, int)  # a number of records, not all of them
    assert changed.name == "x=y"
    assert type(load(tmp_path, text, "max_rejects=1.0").max_rejects) is float


@pytest.mark.parametrize(
    ("override", "problem"),
    [
        ("nonsense", "--set nonsense: should have the form section.field=value"),
        ("=1", "--set =1: should have the form section.field=value"),
        ("rate..c4=1", "--set rate..c4=1: should have the form section.field=value"),
        (
            "seed=[1",
            "--set seed=[1: YAML: expected ',' or ']', but got '<stream end>': a bracket, brace or quote is not closed",
        ),
        ("curiculum.order=ascending", "--set curiculum.order=ascending: curiculum: no such field; did you mean 'curriculum'?"),
        ("seed.x=3", "--set seed.x=3: seed: is 7, which has no field 'x'"),
        ("quality.4.weight=3", "--set quality.4.weight=3: quality: has 1 entries, numbered from 0, so there is no '4'"),
        (
            "thresholds.gopher.word_cont.min=80",
            "--set thresholds.gopher.word_cont.min=80: thresholds.gopher.word_cont: "
            "no signal 'gopher.word_cont': did you mean 'gopher.word_count'?",
        ),
    ],
)
def test_a_wrong_override_is_named(tmp_path: Path, override: str, problem: str) -> None:
    assert errors(tmp_path, "seed: 7\n" + GOPHER + "quality: [{signal: gopher.stop_words}]\n", override) == [problem]


def test_a_section_with_nothing_left_in_it_is_left_out(tmp_path: Path) -> None:
    assert load(tmp_path, GOPHER + "thresholds:\n#  gopher.word_count: {min: 5}\nselect:\n").thresholds == {}
    assert load(tmp_path, "# nothing at all\n").raters[0].name == "tokens"


def test_raters_are_in_the_order_of_their_columns(tmp_path: Path) -> None:
    every = "rate: {language: {}, compression: {}, fineweb: {}, c4: {}, repetition: {}, gopher: {}}\n"
    names = [rater.name for rater in load(tmp_path, every).raters]
    assert names == ["tokens", "gopher", "repetition", "c4", "fineweb", "compression", "language"]


@pytest.mark.parametrize(("name", "nearest"), [("gophr", "gopher"), ("fine-web", "fineweb"), ("python_env", "python-env")])
def test_an_unknown_recipe_names_the_nearest(name: str, nearest: str) -> None:
    with pytest.raises(RecipeError, match=f"did you mean '{nearest}'"):
        load_recipe(name)


@pytest.mark.parametrize("name", shipped_recipes())
def test_a_shipped_recipe_loads_and_fits_the_schema(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "fineweb2").mkdir()
    (tmp_path / "fineweb2/fra_Latn.yml").write_text("language_score: 0.8\n")
    monkeypatch.chdir(tmp_path)
    loaded = load_recipe(name)  # dclm too, whose model is not here
    assert loaded.name == name
    assert loaded.all_signals
    schema = Recipe.model_json_schema()
    jsonschema.Draft202012Validator.check_schema(schema)
    jsonschema.validate(yaml.safe_load(recipe_source(name)[1]), schema, jsonschema.Draft202012Validator)
    # A manifest keeps the whole recipe.
    assert Recipe.model_validate(loaded.model_dump(mode="json")) == loaded


def test_the_recipe_of_a_finished_run_can_be_read_without_its_packages() -> None:
    recipe = load_recipe("gopher").model_dump(mode="json")
    recipe["rate"] |= {"c4": None, "fasttext": [], "gone": {"depth": 3}}  # as early versions wrote it, and a plug-in
    recipe["thresholds"]["gone.score"] = {"min": 1}
    recipe["requires"] = ["tamis-gone>=1"]
    finished = finished_recipe(cast(Manifest, {"recipe": recipe}))
    assert [rater.name for rater in finished.raters] == ["tokens", "gopher", "repetition", "language"]
    with pytest.raises(ValidationError, match="tamis-gone is not installed"):
        Recipe.model_validate(recipe)


def test_the_schema_refuses_what_the_recipe_refuses() -> None:
    valid = jsonschema.Draft202012Validator(Recipe.model_json_schema()).is_valid
    assert valid({"thresholds": {"gopher.word_count": {"min": 3}}, "input": {"paths": ["a"], "fields": {"text": "body"}}})
    assert valid({"select": {"tokens": "100B"}, "output": {"shard_bytes": "64MB"}, "max_rejects": 0.5})
    assert not valid({"select": {"tokens": "many"}})
    assert not valid({"select": {"tokens": 0}})
    assert not valid({"threshold": {}})
    assert not valid({"thresholds": {"gopher.word_count": {"mim": 3}}})
    assert not valid({"curriculum": {"order": "sideways"}})


def test_only_what_can_change_a_stage_changes_its_fingerprint(tmp_path: Path) -> None:
    text = GOPHER + "thresholds: {gopher.word_count: {min: 5}}\ndedup: {minhash: {}}\n"
    base = load(tmp_path, text)
    for decision in (
        "thresholds.gopher.word_count.min=6",
        "seed=1",
        "curriculum.order=ascending",
        "dedup.minhash.threshold=0.9",
    ):
        changed = load(tmp_path, text, decision)
        assert changed.rate_fingerprint == base.rate_fingerprint, decision
        assert changed.decide_fingerprint != base.decide_fingerprint, decision
    for rating in (
        "rate.c4={}",
        "words.definition=whitespace",
        "words.unspaced=clause",
        "dedup.minhash.bands=13",
        "dedup.minhash.scheme=multiply",
        "input.paths=[a]",
        "input.source=web",
    ):
        changed = load(tmp_path, text, *([rating] if rating == "input.paths=[a]" else ["input.paths=[a]", rating]))
        assert (changed.rate_fingerprint == base.rate_fingerprint) == (rating == "input.paths=[a]"), rating
    assert load(tmp_path, text, "name=other").decide_fingerprint == base.decide_fingerprint


@pytest.mark.parametrize(
    ("override", "message"),
    [
        ("rate.tokens.tokenizer=nowhere.json", r"rater 'tokens': nowhere\.json: no such tokenizer"),
        ("rate.language.model=nowhere.bin", r"rater 'language': nowhere\.bin: no such fastText model"),
        ("rate.fasttext=[{name: q, model: nowhere.bin}]", r"rater 'q': nowhere\.bin: no such fastText model"),
        (
            "decontaminate={benchmarks: [{name: g, path: nowhere.jsonl, fields: [q]}]}",
            r"rater 'contamination': .*nowhere\.jsonl: no such file",
        ),
    ],
)
def test_a_missing_model_is_reported_by_the_fingerprint_not_by_loading(tmp_path: Path, override: str, message: str) -> None:
    loaded = load(tmp_path, GOPHER, override)
    assert loaded.all_signals
    with pytest.raises(RunError, match=message):
        _ = loaded.rate_fingerprint
