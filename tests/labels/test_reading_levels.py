"""A linear rater orders the reading levels of articles that it has not seen, at equal length."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from tests.labels.reading_levels import KINDS, LEVELS, levels, ordering


@pytest.mark.slow
def test_levels_are_ordered_within_an_article(shared: Path) -> None:
    texts = levels(shared)
    assert len(texts.target) == 189 * len(LEVELS)
    words = np.array([len(text.split()) for text in texts.text.to_pylist()])
    assert all(np.ptp(words[np.array(texts.group) == name]) == 0 for name in set(texts.group))
    found = ordering(texts, KINDS["linear"])
    assert found.ordered >= 0.95
    assert found.spearman >= 0.78
