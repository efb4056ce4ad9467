"""Editors in turn do to a batch what they do to each text alone, and everything they replace is on record."""

from __future__ import annotations

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

import tamis
from tamis.testing import check_editor
from tamis.transforms.core.editor import Edits
from tamis.transforms.edit.apply import BrokenContract, apply, record
from tamis.transforms.provenance.changes import original_text
from tamis.transforms.text.segment import unsegmented
from tests.transforms.edit.random_editor import RandomEditor, RandomOptions, changed, random_changes

CHAIN = [RandomEditor(RandomOptions(name=f"random_{seed}", seed=seed)) for seed in range(3)]


def array(texts: list[str]) -> pa.Array:
    return pa.array(["before", *texts, "after"], pa.large_string()).slice(1, len(texts))


@given(st.lists(st.text(max_size=60), max_size=12), st.integers(0, 3))
def test_a_batch_is_edited_as_each_text_alone(texts: list[str], editors: int) -> None:
    batch, edited = array(texts), []
    for editor in CHAIN[:editors]:
        edited.append(apply(editor, unsegmented(batch), batch))
        batch = edited[-1].texts
    records = record(edited, len(texts))
    assert records.type.value_type.names == ["editor", "reason", "start", "removed", "inserted"]
    for row, text in enumerate(texts):
        now, expected = text, []
        for editor, each in zip(CHAIN[:editors], edited, strict=True):
            changes = random_changes(now, editor.options)
            removed = sum(stop - start for start, stop, _, _ in changes)
            signals = each.signals.to_pylist()[row]
            prefix = f"edit.{editor.name}"
            assert signals[f"{prefix}.removed_chars"] == removed
            assert signals[f"{prefix}.inserted_chars"] == sum(len(new) for *_, new, _ in changes)
            assert signals[f"{prefix}.removed_share"] == (removed / len(now) if now else None)
            odd = sum(stop - start for start, stop, _, reason in changes if reason == "odd")
            assert signals[f"{prefix}.odd.removed_chars"] == odd
            expected += [(editor.name, now[start:stop], new) for start, stop, new, _ in changes]
            now = changed(now, changes)
        assert batch[row].as_py() == now
        edits = records[row].as_py() or []
        assert [(edit["editor"], edit["removed"], edit["inserted"]) for edit in edits] == expected
        assert original_text(now, edits) == text


@given(st.lists(st.text(max_size=40), min_size=1, max_size=8), st.data())
def test_the_cut_of_the_batches_does_not_matter(texts: list[str], data: st.DataObject) -> None:
    middle = data.draw(st.integers(0, len(texts)))
    editor = CHAIN[0]
    whole = apply(editor, unsegmented(array(texts)), array(texts))
    halves = [apply(editor, unsegmented(array(part)), array(part)) for part in (texts[:middle], texts[middle:])]
    assert whole.texts.to_pylist() == [text for half in halves for text in half.texts.to_pylist()]
    assert whole.signals.to_pylist() == [row for half in halves for row in half.signals.to_pylist()]
    sizes = (middle, len(texts) - middle)
    records = [row for half, size in zip(halves, sizes, strict=True) for row in record([half], size).to_pylist()]
    assert record([whole], len(texts)).to_pylist() == records


@pytest.mark.slow
def test_a_random_editor_keeps_the_contract() -> None:
    check_editor(CHAIN[0], documents=100)


class Faulty(tamis.Editor[tamis.Options]):
    """Removes given spans of the first text."""

    name = "faulty"
    VERSION = 1
    reasons = ("some",)

    def __init__(self, *spans: tuple[int, int], reason: int = 0, inserted: list[str] | None = None) -> None:
        super().__init__(tamis.Options())
        self.spans, self.reason, self.inserted = spans, reason, inserted

    def edit(self, texts: tamis.Texts) -> Edits:
        start, stop = (np.array([span[end] for span in self.spans], np.int64) for end in (0, 1))
        zeros = np.zeros(len(start), np.int64)
        inserted = None if self.inserted is None else pa.array(self.inserted, pa.large_string())
        return Edits(zeros, start + texts.text_start[0], stop + texts.text_start[0], zeros + self.reason, inserted)


@pytest.mark.parametrize(
    ("editor", "message"),
    [
        (Faulty((0, 2), (1, 3)), "overlapping"),
        (Faulty((2, 3), (0, 1)), "out of order"),
        (Faulty((2, 1)), "outside their text"),
        (Faulty((0, 99)), "outside their text"),
        (Faulty((0, 1), reason=1), "a reason that it does not declare"),
        (Faulty((0, 1), inserted=["x"]), "declare `inserts = True`"),
        (Faulty((3, 4)), "inside a character"),
    ],
)
def test_a_broken_contract_is_named(editor: Faulty, message: str) -> None:
    texts = array(["abcé", "more"])
    with pytest.raises(BrokenContract, match=message):
        apply(editor, unsegmented(texts), texts)


def test_spans_may_touch_and_be_empty() -> None:
    texts = array(["abcé", "more"])
    edited = apply(Faulty((0, 1), (1, 1), (1, 3)), unsegmented(texts), texts)
    assert edited.texts.to_pylist() == ["é", "more"]
    assert edited.signals["edit.faulty.removed_chars"].to_pylist() == [3, 0]
