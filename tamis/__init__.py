"""Turns raw text crawls into a training-ready corpus for language-model pretraining.

`pipelines` is what a person runs, `transforms` what a pipeline is made of. In a checkout both are links to the folders of these
names beside this one; an installed Tamis holds them here. Names are loaded when they are first used: `import tamis` is cheap.
"""

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from tamis.transforms.feed.dataset import CurriculumDataset

__all__ = ["CurriculumDataset"]

_HOMES = {"CurriculumDataset": "tamis.transforms.feed.dataset"}


def __getattr__(name: str) -> object:
    if name == "__version__":
        from importlib.metadata import version

        return version("tamis")
    if name in _HOMES:
        return getattr(import_module(_HOMES[name]), name)
    raise AttributeError(f"module 'tamis' has no attribute '{name}'")
