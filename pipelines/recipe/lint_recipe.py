"""Warns about recipes that are valid and probably a mistake."""

from collections.abc import Iterator

import numpy as np

from tamis.pipelines.recipe.schema import Recipe
from tamis.transforms.curriculum.lint import LintWarning, lint, lint_epochs
from tamis.transforms.curriculum.order import WILDCARD
from tamis.transforms.rate.neural.embedding import EmbeddingRater
from tamis.transforms.select.rule_blocks import Rules


def lint_recipe(recipe: Recipe) -> Iterator[LintWarning]:
    """Warnings about a recipe: its order or its curve sorts by what does not differ, or wastes data; it
    repeats too often; a block changes nothing; a limit lies outside the range that the recipe
    declares; text that resembles benchmarks is not decontaminated. Reads no data."""
    yield from _ranges(recipe)
    yield from _blocks(recipe)
    yield from _order(recipe)
    yield from _repetition(recipe)
    yield from _targets(recipe)


def _ranges(recipe: Recipe) -> Iterator[LintWarning]:
    """Limits outside the range that `signals` declares for the values. The range of a rater's signal
    says where limits were published: those of a recipe may be others."""
    for section, rules in recipe.rules.sections.items():
        for name, rule in rules.items():
            declared = recipe.signals.get(name)
            if rule is None or declared is None or declared.range is None:
                continue
            low, high = declared.range
            for limit, value in (("min", rule.min), ("max", rule.max)):
                if value is not None and not low <= value <= high:
                    all_pass = value < low if limit == "min" else value > high
                    message = (
                        f"{section}.{name}.{limit} is {value:g}, but signals declares values from {low:g} to {high:g}, "
                        f"{'all' if all_pass else 'none'} of which would pass. Correct the limit or the range."
                    )
                    yield LintWarning("limit-outside-range", message, {"limit": value, "low": low, "high": high})


def _blocks(recipe: Recipe) -> Iterator[LintWarning]:
    """What a block sets as the recipe does anyway, and pairs of languages without a block."""
    of_sources = {name for block in recipe.per_source.values() for name in block.thresholds}
    for kind, blocks in (("per_source", recipe.per_source), ("per_language", recipe.per_language)):
        others = recipe.per_source.values() if kind == "per_language" else ()
        for name, own in blocks.items():
            same_words = own.words is not None and own.words.applied_to(recipe.words) == recipe.words
            if same_words and all(other.words is None for other in others):
                message = f"{kind}.{name} cuts texts into the words that they are cut into anyway. Take words out of the block."
                yield LintWarning("block-changes-nothing", message, {"blocks": 1})
            if own.edit == recipe.edit and all(other.edit is None for other in others):
                message = f"{kind}.{name} has the editors that run anyway. Take edit out of the block."
                yield LintWarning("block-changes-nothing", message, {"blocks": 1})
    for section, block in recipe.rules.blocks.items():
        for name, rule in block.thresholds.items():
            overridden = section.startswith("per_language.") and name in of_sources
            if rule is not None and rule == recipe.thresholds.get(name) and not overridden:
                message = f"{section} sets the limits of {name} that thresholds sets for all. Take them out of the block."
                yield LintWarning("block-changes-nothing", message, {"blocks": 1})
    if recipe.language_pairs != Rules().language_pairs and not recipe.per_language:
        message = "language_pairs tells languages apart, but no block of per_language needs them."
        yield LintWarning("block-changes-nothing", message, {"blocks": 0})


def _order(recipe: Recipe) -> Iterator[LintWarning]:
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


def _repetition(recipe: Recipe) -> Iterator[LintWarning]:
    """Bins that the recipe itself repeats too often, and a curve over what does not differ. How often
    sources are seen otherwise, a run says."""
    select = recipe.select
    yield from lint_epochs({WILDCARD: 1.0} | {name: float(np.sum(times)) for name, times in select.epochs.items()})
    if select.curve is not None and not recipe.quality:
        yield LintWarning(
            "curve-without-quality",
            "select.curve repeats documents by quality, but the recipe has no section quality, so all have the same, and which "
            "are repeated is random. Weigh signals under quality.",
            {"cap": select.curve.cap},
        )


def _targets(recipe: Recipe) -> Iterator[LintWarning]:
    """Raters of resemblance whose targets may be those of a benchmark: copies of its items resemble them most."""
    for rater in recipe.raters:
        if isinstance(rater, EmbeddingRater) and rater.options.targets is not None and recipe.decontaminate is None:
            yield LintWarning(
                "targets-without-decontaminate",
                f"'{rater.name}' prefers text that resembles {rater.options.targets}, and nothing takes out the test items of "
                "that benchmark, which resemble it most. Name the benchmark under decontaminate.",
                {"targets": 1},
            )
