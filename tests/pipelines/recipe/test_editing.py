"""The section `edit`: editors in order, signals that stand in thresholds, and errors that name the place."""

from __future__ import annotations

from pathlib import Path

import pytest

from tamis.pipelines.recipe.load import load_recipe
from tamis.pipelines.recipe.schema import Recipe
from tamis.pipelines.recipe.signal_list import signal_lines, signals_as_json
from tamis.pipelines.recipe.yaml_file import RecipeError
from tests.transforms.edit.random_editor import RandomEditor, RandomOptions

A, B = (RandomEditor(RandomOptions(name=name, seed=seed)) for seed, name in enumerate("ab"))


def load(tmp_path: Path, text: str, *overrides: str, editors: tuple[RandomEditor, ...] = (A, B)) -> Recipe:
    (tmp_path / "r.yaml").write_text(text)
    return load_recipe(str(tmp_path / "r.yaml"), overrides, editors=editors)


def test_editors_run_in_the_order_of_the_recipe(tmp_path: Path) -> None:
    assert [editor.name for editor in load(tmp_path, "").editors] == ["a", "b"]
    assert [editor.name for editor in load(tmp_path, "edit: [{b: {}}]").editors] == ["b", "a"]
    orders = [load(tmp_path, f"edit: [{{{first}: {{}}}}, {{{second}: {{}}}}]") for first, second in ("ab", "ba")]
    assert orders[0].rate_fingerprint != orders[1].rate_fingerprint
    assert orders[0].rate_fingerprint != load(tmp_path, "", editors=()).rate_fingerprint


def test_thresholds_read_the_signals_of_editors(tmp_path: Path) -> None:
    recipe = load(tmp_path, "thresholds: {edit.a.removed_share: {max: 0.5}, edit.b.odd.inserted_chars: {max: 9}}")
    assert {"edit.a.removed_share", "edit.b.odd.inserted_chars"} <= recipe.all_signals.keys()
    moved = load(tmp_path, "thresholds: {edit.a.removed_share: {max: 0.4}}")
    assert moved.rate_fingerprint == recipe.rate_fingerprint


def test_raters_that_see_texts_unedited_change_what_is_rated_and_can_choose_editors(tmp_path: Path) -> None:
    text = "rate: {language: {}, gopher: {}}\n"
    edited, unedited = load(tmp_path, text), load(tmp_path, text + "rate_unedited: [gopher]")
    assert edited.rate_fingerprint != unedited.rate_fingerprint
    block = "per_language: {de: {edit: []}}\n"
    assert load(tmp_path, f"{text}{block}rate_unedited: [language]").text_blocks.edit_section("", "de") == "per_language.de"
    for early, section in (("", "edit: []"), ("rate_unedited: [gopher]", "words: {unspaced: clause}")):
        with pytest.raises(RecipeError, match="the language must be known before"):
            load(tmp_path, f"{text}{early}\nper_language: {{de: {{{section}}}}}")


def test_a_rater_sees_texts_unedited_only_with_those_that_it_needs(tmp_path: Path) -> None:
    (tmp_path / "bad.txt").write_text("drat\n")
    text = f"rate: {{language: {{}}, c4: {{bad_words: {{en: {tmp_path / 'bad.txt'}}}}}}}\n"
    with pytest.raises(RecipeError, match="'c4' needs signals of 'language', which is measured later: add that, too"):
        load(tmp_path, text + "rate_unedited: [c4]")
    assert load(tmp_path, text + "rate_unedited: [c4, language]").rate_unedited == ("c4", "language")


@pytest.mark.parametrize(
    ("text", "place", "message"),
    [
        ("edit:\n  - a: {}\n  - {a: {}, b: {}}", "r.yaml:3: edit.1", "should be one editor with its options"),
        ("edit:\n  - a: {}\n  - a: {}", "r.yaml:1: edit", "two editors are called 'a'"),
        ("edit:\n  - {}", "r.yaml:2: edit.0", "should be one editor with its options"),
        ("edit:\n  - a", "r.yaml:2: edit.0", "should be a mapping: write {a: {}}"),
        ("edit: {a: {}}", "r.yaml:1: edit", "should be a list"),
        ("edit:\n  - nothing: {}", "r.yaml:2: edit.0.nothing", "no installed package provides this editor"),
        (
            "rate_unedited: [gopher]",
            "r.yaml:1: rate_unedited.0",
            "no rater of this recipe is called 'gopher': raters are tokens; take it out, or add it to rate",
        ),
        ("rate_unedited: [tokens]", "r.yaml:1: rate_unedited.0", "must see what the editors leave"),
        ("thresholds:\n  edit.a.removed: {max: 1}", "r.yaml:2: thresholds.edit.a.removed", "did you mean"),
    ],
)
def test_errors_name_the_place(tmp_path: Path, text: str, place: str, message: str) -> None:
    with pytest.raises(RecipeError) as caught:
        load(tmp_path, text)
    assert place in str(caught.value)
    assert message in str(caught.value)


def test_a_stranger_is_no_editor(tmp_path: Path) -> None:
    with pytest.raises(RecipeError, match=r"is no editor: make one of a function with tamis\.editor"):
        load(tmp_path, "", editors=(len,))  # type: ignore[arg-type]


def test_the_schema_lists_the_editors() -> None:
    assert "EditStep" in Recipe.model_json_schema()["$defs"]


def test_values_before_must_be_measured(tmp_path: Path) -> None:
    class Wrong(RandomEditor):
        before = {"c4.kept_lines_share": "edit.a.kept"}  # noqa: RUF012

    with pytest.raises(RecipeError, match="which it does not measure"):
        load(tmp_path, "", editors=(Wrong(RandomOptions(name="a")),))


def test_the_signals_of_editors_are_listed() -> None:
    listed = {signal["name"]: signal for signal in signals_as_json()["signals"]}
    share = listed["edit.lines.removed_words_share"]
    assert (share["editor"], share["kind"], share["package"]) == ("lines", "float64", "tamis")
    assert "lines (edit): tamis" in list(signal_lines())
    assert listed["gopher.word_count"]["rater"] == "gopher"
