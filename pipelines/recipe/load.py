"""Loads a shipped recipe or a file, and applies `--set` and `--input`."""

from collections.abc import Mapping, Sequence
from copy import deepcopy
from importlib import resources
from pathlib import Path
from typing import Any

from tamis.pipelines.recipe import editing
from tamis.pipelines.recipe.checks.known_signals import LEFT_OUT, WRITTEN
from tamis.pipelines.recipe.rating import FINISHED, OBJECTS
from tamis.pipelines.recipe.schema import Recipe
from tamis.pipelines.recipe.yaml_file import Problem, RecipeError, RecipeFile
from tamis.transforms.core.editor import Editor
from tamis.transforms.core.errors import nearest
from tamis.transforms.core.manifest import Manifest
from tamis.transforms.core.rater import Rater, Signal
from tamis.transforms.select.rule_blocks import THRESHOLDS
from tamis.transforms.select.thresholds import Threshold, check_labels, check_limits

RECIPES = resources.files("tamis.pipelines.recipe") / "shipped"


def shipped_recipes() -> list[str]:
    """Names of the recipes that come with Tamis."""
    return sorted(entry.name.removesuffix(".yaml") for entry in RECIPES.iterdir() if entry.name.endswith(".yaml"))


def recipe_source(name: str) -> tuple[str, str]:
    """(file name, text) of a recipe, by path or shipped name. Raises RecipeError for any other."""
    if name in shipped_recipes():
        return f"{name}.yaml", (RECIPES / f"{name}.yaml").read_text("utf-8")
    path = Path(name)
    if path.is_dir():
        raise RecipeError(Problem(name, "", "is a folder: name a recipe file, or a shipped recipe (see tamis recipes)"))
    if not path.is_file():
        close = nearest(name, shipped_recipes())
        hint = f"; did you mean '{close}'?" if close else ""
        raise RecipeError(Problem(name, "", f"no such file or shipped recipe ({', '.join(shipped_recipes())}){hint}"))
    try:
        return name, path.read_text("utf-8")
    except UnicodeDecodeError as error:
        raise RecipeError(Problem(name, "", f"not UTF-8 at byte {error.start}: {error.reason}")) from None


def load_recipe(
    name: str,
    overrides: Sequence[str] = (),
    paths: Sequence[str] = (),
    raters: Sequence[Rater[Any]] = (),
    editors: Sequence[Editor[Any]] = (),
) -> Recipe:
    """The recipe `name` with overrides of the form `a.b=c`, other input paths, and raters and editors
    that are objects of this program. An empty section counts as left out. Raises RecipeError naming file,
    line and field."""
    file, text = recipe_source(name)
    recipe = RecipeFile(file, text)
    found: list[Problem] = []
    for override in overrides:
        try:
            recipe.set(override, Recipe)
        except RecipeError as error:
            found += error.problems
    if paths:
        recipe.put(["input", "paths"], list(paths), "--input")
    if recipe.data.get("name") is None:
        recipe.data["name"] = Path(file).name.removesuffix(".yaml")
    return _checked(recipe, raters, editors, found)


def recipe_of(
    sections: Mapping[str, Any],
    paths: Sequence[str] = (),
    raters: Sequence[Rater[Any]] = (),
    editors: Sequence[Editor[Any]] = (),
) -> Recipe:
    """The recipe with these sections. Raises RecipeError naming the field."""
    recipe = RecipeFile("recipe", "")
    recipe.data, recipe.places = deepcopy(dict(sections)), {(): "recipe"}
    if paths:
        recipe.put(["input", "paths"], list(paths), "input")
    return _checked(recipe, raters, editors, ())


def _checked(
    recipe: RecipeFile, raters: Sequence[Rater[Any]], editors: Sequence[Editor[Any]], found: Sequence[Problem]
) -> Recipe:
    written = deepcopy(recipe.data)  # `check` leaves out what has errors

    def validate(fields: dict[str, Any], left_out: frozenset[str]) -> Recipe:
        sections = {section: value for section, value in fields.items() if value is not None}
        context = {OBJECTS: raters, editing.OBJECTS: editors, LEFT_OUT: left_out, WRITTEN: written}
        return Recipe.model_validate(sections, context=context)

    return recipe.check(Recipe, validate, found)


def finished_recipe(manifest: Manifest) -> Recipe:
    """The recipe of a finished run. It can be read, not run, if a rater is no longer installed."""
    return Recipe.model_validate(manifest["recipe"], context={FINISHED: True})


def with_limits(manifest: Manifest, overrides: Sequence[str]) -> Recipe:
    """The recipe of a finished run with other limits, set by overrides of the form `thresholds.SIGNAL.min=1`. Raises
    RecipeError if one of them sets anything else, or a limit that no value can reach."""
    recipe, before = RecipeFile("recipe", ""), manifest["recipe"]
    recipe.data, recipe.places = deepcopy(before), {(): "recipe"}
    found: list[Problem] = []
    for override in overrides:
        try:
            recipe.set(override, Recipe)
            if _without_limits(recipe.data) != _without_limits(before):
                message = "is no limit, such as thresholds.SIGNAL.min; what another field changes, only a run can tell"
                raise RecipeError(Problem(f"--set {override}", "", message))
        except RecipeError as error:
            found += error.problems
            recipe.data = deepcopy(before)
    changed = recipe.check(Recipe, lambda fields, _: Recipe.model_validate(fields, context={FINISHED: True}), found)
    for section, limits in changed.rules.sections.items():
        for name, rule in limits.items():
            signal = changed.all_signals.get(name)
            if rule is not None and signal is not None:
                _check_reachable(section, name, rule, signal)
    return changed


def _without_limits(sections: Mapping[str, Any]) -> dict[str, Any]:
    """The sections of a recipe but for the limits, and blocks of nothing else."""
    blocks: dict[str, Any] = {}
    for kind in ("per_source", "per_language"):
        rest = {
            name: {key: value for key, value in (block or {}).items() if key != THRESHOLDS and value is not None}
            for name, block in sections.get(kind, {}).items()
        }
        blocks[kind] = {name: block for name, block in rest.items() if block}
    return {**sections, THRESHOLDS: None, **blocks}


def _check_reachable(section: str, name: str, rule: Threshold, signal: Signal) -> None:
    try:
        check_limits(name, (rule.min, rule.max), signal)
        check_labels(name, rule.one_of or (), signal)
    except ValueError as error:
        raise RecipeError(Problem("--set", f"{section}.{name}", str(error))) from None
