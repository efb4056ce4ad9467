"""The labelled pages are complete, and what is published of them is what the command prints."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import pytest

from tests.labels import rates


def test_two_hundred_pages_are_labelled_once() -> None:
    pages = rates.labelled()
    assert len({(page.corpus, page.text) for page in pages}) == len(pages) == 200
    assert Counter(page.corpus for page in pages) == {"web": 160, "docs": 16, "html": 12, "warc": 12}


def test_the_weights_add_up_to_the_corpora() -> None:
    """Copies were left out, of which the web pages have 493 and the WARC files 2."""
    documents: Counter[str] = Counter()
    for page in rates.labelled():
        documents[page.corpus] += page.weight
    assert {corpus: round(number) for corpus, number in documents.items()} == {
        "web": 5495,
        "html": 181,
        "warc": 36,
        "docs": 736,
    }


def test_a_model_that_is_not_included_is_left_out() -> None:
    assert "dclm.probability" not in rates.rules_of("dclm").thresholds
    assert rates.rules_of("dclm").thresholds.keys() > {"gopher.alphabetic_words"}


def test_a_folder_without_the_pages_is_said_to_be_missing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("sys.argv", ["rates", str(tmp_path / "none")])
    rates.main()
    assert capsys.readouterr().out.startswith("nothing is measured")


@pytest.mark.slow
def test_the_documentation_has_what_the_command_prints(shared: Path) -> None:
    page = rates.PAGE.read_text()
    for table in rates.tables(shared):
        assert table + "\n\n" in page, "run `python -m tests.labels.rates --write`"
