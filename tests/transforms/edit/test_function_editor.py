"""A function is an editor: its texts are the texts of the run, and what it changed is on record."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

import tamis
from tamis.testing import check_editor
from tests.pipelines.corpus import corpus, save


@tamis.editor(name="shouts", version="1", reason="marks")
def shouts(text: str) -> str:
    return re.sub("!!+", "!", text).replace("word", "wörd")


def test_a_function_keeps_the_contract() -> None:
    check_editor(shouts, documents=200)
    check_editor(tamis.editor(name="upper", version="1")(str.upper), documents=200)


def test_its_version_is_its_fingerprint() -> None:
    assert (
        tamis.editor(name="upper", version="1")(str.upper).fingerprint
        == tamis.editor(name="upper", version="1")(str.lower).fingerprint
    )
    assert (
        tamis.editor(name="upper", version="1")(str.upper).fingerprint
        != tamis.editor(name="upper", version="2")(str.upper).fingerprint
    )


@pytest.mark.parametrize(("name", "version"), [("Upper", "1"), ("upper", ""), ("a.b", "1")])
def test_it_needs_a_name_and_a_version(name: str, version: str) -> None:
    with pytest.raises(ValueError, match=r"name|version"):
        tamis.editor(name=name, version=version)


def test_a_run_has_its_texts_and_a_document_that_it_fails_on_is_a_reject(tmp_path: Path) -> None:
    records = [*corpus(40, seed=3), {"id": "loud", "text": "one word!!! two", "source": "web"}]
    records.append({"id": "none", "text": "no text comes of this", "source": "web"})

    @tamis.editor(name="shouts", version="1", reason="marks")
    def some(text: str) -> str:
        return None if text.startswith("no text") else shouts.function(text)  # type: ignore[return-value]

    recipe = {"rate": {}, "thresholds": {"edit.shouts.marks.removed_chars": {"max": 2}}, "max_rejects": 0.1}
    release = tamis.run(recipe, str(save(tmp_path / "in", [records])), str(tmp_path / "run"), editors=[some], workers=1)
    columns = ("text", "edit.shouts.removed_chars", "edit.shouts.marks.inserted_chars")
    rows = {row["id"]: row for row in release.table(*columns).to_pylist()}
    assert [rows["loud"][column] for column in columns] == ["one wörd! two", 3, 1]
    assert rows["loud"]["reason"] == "edit.shouts.marks.removed_chars"
    assert "none" not in rows
    assert release.manifest["counts"]["rejected"] == 1
