"""The sources that raters are trained and tested on are apart from each other, and each side has both labels."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.labels.held_out_sources import CLEAN, DOCUMENTS, HALVES, OTHER, labelled, texts_of


def test_no_source_is_on_both_sides() -> None:
    for trained, tested in HALVES:
        assert not set(trained) & set(tested)
        for side in (trained, tested):
            assert set(side) & set(CLEAN)
            assert set(side) & set(OTHER)


@pytest.mark.slow
def test_sources_share_no_text(shared: Path) -> None:
    texts = labelled(shared, (*CLEAN, *OTHER))
    assert len(set(texts.text.to_pylist())) == len(texts.target) == DOCUMENTS * (len(CLEAN) + len(OTHER))
    assert texts.target.sum() == DOCUMENTS * len(CLEAN)
    assert texts_of(shared, "wikipedia") == texts_of(shared, "wikipedia")
