"""Turns raw text crawls into a training-ready corpus for language-model pretraining.

`pipelines` is what a person runs, `transforms` what a pipeline is made of. In a checkout both are links to the folders of these
names beside this one; an installed Tamis holds them here. Names are loaded when they are first used: `import tamis` is cheap.
"""

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from tamis.pipelines.lookup.explanation import explanation as explain
    from tamis.pipelines.python_api import Release, run
    from tamis.pipelines.recipe.load import load_recipe
    from tamis.pipelines.recipe.schema import Recipe
    from tamis.transforms.core.editor import Editor, Edits
    from tamis.transforms.core.errors import RunError
    from tamis.transforms.core.options import Options
    from tamis.transforms.core.rater import Rater, Signal, share, signal_batch
    from tamis.transforms.edit.function_editor import editor
    from tamis.transforms.feed.dataset import CurriculumDataset
    from tamis.transforms.provenance.verify import verify
    from tamis.transforms.rate.function import rater
    from tamis.transforms.text.segment import SegmentedTexts, Texts

_HOMES = {
    "CurriculumDataset": "tamis.transforms.feed.dataset",
    "Editor": "tamis.transforms.core.editor",
    "Edits": "tamis.transforms.core.editor",
    "Options": "tamis.transforms.core.options",
    "Rater": "tamis.transforms.core.rater",
    "Recipe": "tamis.pipelines.recipe.schema",
    "Release": "tamis.pipelines.python_api",
    "RunError": "tamis.transforms.core.errors",
    "SegmentedTexts": "tamis.transforms.text.segment",
    "Signal": "tamis.transforms.core.rater",
    "Texts": "tamis.transforms.text.segment",
    "editor": "tamis.transforms.edit.function_editor",
    "explain": "tamis.pipelines.lookup.explanation:explanation",
    "load_recipe": "tamis.pipelines.recipe.load",
    "rater": "tamis.transforms.rate.function",
    "run": "tamis.pipelines.python_api",
    "share": "tamis.transforms.core.rater",
    "signal_batch": "tamis.transforms.core.rater",
    "verify": "tamis.transforms.provenance.verify",
}

__all__ = [
    "CurriculumDataset",
    "Editor",
    "Edits",
    "Options",
    "Rater",
    "Recipe",
    "Release",
    "RunError",
    "SegmentedTexts",
    "Signal",
    "Texts",
    "editor",
    "explain",
    "load_recipe",
    "rater",
    "run",
    "share",
    "signal_batch",
    "verify",
]


def __getattr__(name: str) -> object:
    if name == "__version__":
        from importlib.metadata import version

        return version("tamis")
    if name in _HOMES:
        home, _, other_name = _HOMES[name].partition(":")
        return getattr(import_module(home), other_name or name)
    raise AttributeError(f"module 'tamis' has no attribute '{name}'")
