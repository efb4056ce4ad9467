"""Refuses the test items of a benchmark as examples that texts should resemble, whatever their file is called."""

from __future__ import annotations

from typing import Final

from tamis.pipelines.recipe.schema import Recipe
from tamis.transforms.core.errors import RunError
from tamis.transforms.decontaminate.benchmarks import items
from tamis.transforms.rate.neural.embedding import EmbeddingRater
from tamis.transforms.rate.neural.targets import read_targets

_SHARE: Final = 0.05
"""Of the examples, that may be items: training splits of some benchmarks have a few of them."""


def check_targets(recipe: Recipe) -> None:
    """Raises RunError if more than a twentieth of the targets of a rater have the question of an item of a
    benchmark that the recipe takes out, but for case and white space."""
    raters = [rater for rater in recipe.raters if isinstance(rater, EmbeddingRater)]
    if not raters or recipe.decontaminate is None:
        return
    benchmark_of = {
        _folded(question): benchmark.name
        for benchmark in recipe.decontaminate.benchmarks
        for item in items(benchmark)
        for question in item.question
    }
    for rater in raters:
        path = rater.options.targets
        if path is None:
            continue
        examples = read_targets(path, rater.options.fields)
        found = [
            next((benchmark_of[text] for text in map(_folded, example) if text in benchmark_of), None) for example in examples
        ]
        names = sorted({name for name in found if name is not None})
        number = sum(name is not None for name in found)
        if number > _SHARE * len(examples):
            raise RunError(
                f"rater '{rater.name}': {number:,} of the {len(examples):,} examples in {path} are items of "
                f"{', '.join(names)}, which decontaminate takes out. Give its training split as targets"
            )


def _folded(text: str) -> str:
    return " ".join(text.casefold().split())
