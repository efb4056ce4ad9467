"""Warnings about a recipe that is valid and probably not meant so."""

from collections.abc import Iterator

from tamis.pipelines.recipe.schema import Recipe
from tamis.transforms.curriculum.lint import LintWarning, lint
from tamis.transforms.curriculum.order import WILDCARD


def lint_recipe(recipe: Recipe) -> Iterator[LintWarning]:
    """Warnings about the order of a recipe: it sorts by what does not differ, or wastes data. Reads no
    data."""
    orders = [phase.order for phase in recipe.curriculum.effective_phases if phase.order != "uniform"]
    if not orders or recipe.quality or WILDCARD in recipe.curriculum.by:
        yield from lint(recipe.curriculum)
        return
    others = "other sources than those of curriculum.by" if recipe.curriculum.by else "all documents"
    yield LintWarning(
        "order-without-quality",
        f"The order '{orders[0]}' sorts by quality, but the recipe has no section quality, so {others} have the same, and "
        "their order is random. Weigh signals under quality, order by one with curriculum.by: {'*': SIGNAL}, or shuffle "
        "(order: uniform).",
        {"orders": len(orders)},
    )
