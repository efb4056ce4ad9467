"""Turns raw text crawls into a training-ready corpus for language-model pretraining.

`pipelines` is what a person runs, `transforms` what a pipeline is made of. In a checkout both are links to the folders of these
names beside this one; an installed Tamis holds them here. Names are loaded when they are first used: `import tamis` is cheap.
"""

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from tamis.transforms.core.options import Options
    from tamis.transforms.core.rater import Rater, Signal, share, signal_batch
    from tamis.transforms.feed.dataset import CurriculumDataset
    from tamis.transforms.rate.function import rater
    from tamis.transforms.text.segment import SegmentedTexts, Texts

__all__ = ["CurriculumDataset", "Options", "Rater", "SegmentedTexts", "Signal", "Texts", "rater", "share", "signal_batch"]

_HOMES = {
    "CurriculumDataset": "tamis.transforms.feed.dataset",
    "Options": "tamis.transforms.core.options",
    "Rater": "tamis.transforms.core.rater",
    "SegmentedTexts": "tamis.transforms.text.segment",
    "Signal": "tamis.transforms.core.rater",
    "Texts": "tamis.transforms.text.segment",
    "rater": "tamis.transforms.rate.function",
    "share": "tamis.transforms.core.rater",
    "signal_batch": "tamis.transforms.core.rater",
}


def __getattr__(name: str) -> object:
    if name == "__version__":
        from importlib.metadata import version

        return version("tamis")
    if name in _HOMES:
        return getattr(import_module(_HOMES[name]), name)
    raise AttributeError(f"module 'tamis' has no attribute '{name}'")
