"""C4's text and numbers are those of the code that made C4: TensorFlow Datasets, tensorflow_datasets/text/c4_utils.py.

The numbers come from commit 0560e686ded1ed7876137f062fa09467717a8e42 of github.com/tensorflow/datasets; the text is what
version 4.9.10 makes. No TensorFlow is needed.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import peer_documents
import pyarrow as pa
import pytest

from tamis.pipelines.recipe.load import load_recipe
from tamis.transforms.edit.apply import apply
from tamis.transforms.edit.c4_editor import C4Lines, C4LinesEditor
from tamis.transforms.rate.c4 import C4, C4Rater
from tamis.transforms.text.segment import segment, unsegmented

Rows = list[dict[str, Any]]

BAD_WORDS = ["hell", "the moon", "c++", "sex", "a-b", "don't", "é"]


def test_the_rules_for_kept_lines() -> None:
    options = C4()
    assert options.min_words == 5  # _MIN_WORDS_PER_LINE; datatrove's default, 3, is the number of sentences
    assert options.max_word_length == 1000  # _MAX_WORD_LENGTH
    assert options.end_marks == (".", "?", "!", '"')  # _END_MARKS; datatrove adds the apostrophe
    assert sorted(options.policy_phrases) == sorted(  # _POLICY_SUBSTRINGS
        ["terms of use", "privacy policy", "cookie policy", "uses cookies", "use of cookies", "use cookies"]
    )


def test_the_rules_for_kept_pages() -> None:
    rules = load_recipe("c4", paths=["any"]).thresholds
    assert rules["c4.sentences"].min == 3  # _MIN_NUM_SENTENCES; datatrove's default, 5, is the number of words
    assert rules["edit.c4_lines.curly"].max == 0
    assert rules["edit.c4_lines.lorem_ipsum"].max == 0
    assert rules["c4.characters"].max == 190_000  # is_valid_length


def ours(texts: list[str], bad_words: Path) -> Rows:
    """The text that the editor leaves, its signals, and those of the rater."""
    rows: Rows = []
    editor, rater = C4LinesEditor(C4Lines()), C4Rater(C4(bad_words=str(bad_words)))
    for start in range(0, len(texts), 1_000):
        array = pa.array(texts[start : start + 1_000], pa.large_string())
        edited = apply(editor, unsegmented(array), array)
        signals = [edited.signals.to_pylist(), rater.rate(segment(edited.texts)).to_pylist()]
        rows += ({"text": text} | own | rated for text, own, rated in zip(edited.texts.to_pylist(), *signals, strict=True))
    return rows


@pytest.fixture(scope="module")
def bad_words(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("lists") / "words"
    path.write_text("\n".join(BAD_WORDS), "utf-8")
    return path


def check(texts: list[str], rows: Rows, theirs: Rows) -> None:
    """The same text, byte for byte, of every page that TFDS does not drop for a line; the others are dropped, too."""
    assert len(rows) == len(theirs)
    for page, mine, row in zip(texts, rows, theirs, strict=True):
        dropped = {"loremipsum": mine["edit.c4_lines.lorem_ipsum"] > 0, "squigglybracket": mine["edit.c4_lines.curly"] > 0}
        if row["dropped"]:
            assert dropped[row["dropped"]], page[:200]
        else:
            assert not any(dropped.values()), page[:200]
            assert mine["text"] == row["text"], page[:200]
            assert (mine["c4.bad_words"] == 0) == row["decent"], page[:200]


@pytest.mark.slow
def test_the_text_of_real_pages_is_that_of_tfds(
    tfds: Callable[..., Rows], shared: Path, bad_words: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Every byte. Of C4's rules for pages only the number of sentences is another one: a rule's, not Punkt's."""
    pages = peer_documents.pages(shared, 10_000)
    assert len(pages) >= 5_000
    rows, theirs = ours(pages, bad_words), tfds(pages, BAD_WORDS)
    check(pages, rows, theirs)
    left = [(mine, row) for mine, row in zip(rows, theirs, strict=True) if not row["dropped"]]
    same = sum((mine["c4.sentences"] >= 3) == (row["sentences"] >= 3) for mine, row in left)
    changed = sum(mine["text"] != page for page, mine in zip(pages, rows, strict=True))
    with capsys.disabled():
        print(f"\n{len(left):,} of {len(pages):,} pages have TFDS's text ({changed:,} were changed),", end="")
        print(" the others are dropped by both;", end="")
        print(f" {sum(not row['decent'] for row in theirs):,} have a bad word;", end=" ")
        print(f"3 sentences are found in the same pages of {same / len(left):.2%}", end="")
    assert same / len(left) >= 0.98


@pytest.mark.slow
def test_the_text_of_random_pages_is_that_of_tfds(tfds: Callable[..., Rows], bad_words: Path) -> None:
    """All line breaks and odd characters; only the kelvin sign differs, which is a `k` in TFDS."""
    texts = [text.replace("\u212a", "k") for text in (*peer_documents.adversarial(15_000), *peer_documents.environment())]
    check(texts, ours(texts, bad_words), tfds(texts, BAD_WORDS))
