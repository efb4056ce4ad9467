"""The contract of an editor: it returns the spans of texts that it replaces, and why."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

from tamis.transforms.core.component import Component, OptionsT
from tamis.transforms.core.rater import Signal

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt
    import pyarrow as pa

    from tamis.transforms.text.segment import Texts

PREFIX = "edit."
"""Begins the names of the signals of editors."""


@dataclass(frozen=True)
class Edits:
    """k replaced spans of n texts, in text order; they may touch, and do not overlap.

    A span begins and ends between two characters. It may be empty, to insert text.
    """

    document: npt.NDArray[np.int64]
    """[k]: the row of the text."""
    start: npt.NDArray[np.int64]
    """[k]: the first byte in `Texts.data`."""
    stop: npt.NDArray[np.int64]
    """[k]: the byte after the last."""
    reason: npt.NDArray[np.int64]
    """[k]: position in `Editor.reasons`."""
    inserted: pa.LargeStringArray | None = None
    """[k]: what stands in their place; None: nothing does."""
    values: Sequence[pa.Array | npt.NDArray[np.generic]] = ()
    """[n] values of each of `Editor.measures`; NaN is null."""


class Editor(Component[OptionsT], ABC):
    """Changes texts. A subclass `Mine(Editor[MyOptions])` names its reasons and implements `edit`.
    Tamis replaces the spans, counts characters, and keeps what was removed (`tamis explain --diff`).

    Editors run in the order of the recipe, each on what the one before has left; raters measure the
    text that the last one leaves, but for those that the recipe has see it unedited.
    """

    reasons: tuple[str, ...]
    """Why it edits; each is a short name, as `policy`."""
    inserts: ClassVar[bool] = False
    """Whether it inserts text, or only removes it."""
    measures: tuple[Signal, ...] = ()
    """Signals of its own, called `edit.NAME.…`."""
    before: Mapping[str, str] = {}
    """Signals of raters that tell what this edit would remove (`c4.kept_lines_share`), and the
    signals of this editor whose values they get: of the text before it."""

    @property
    def signals(self) -> tuple[Signal, ...]:
        """What it measures: characters removed and inserted, in all, as a share, and by reason; then
        its own `measures`."""
        return (*standard_signals(self), *self.measures)

    def setup(self) -> None:
        """Loads models and compiles kernels, by editing one word. Called once in each process."""
        import pyarrow as pa

        from tamis.transforms.text.segment import unsegmented

        texts = unsegmented(pa.array(["compiles"], pa.large_string()))
        self.edit(texts.with_columns({need: pa.nulls(1, pa.string()) for need in self.needs}))

    @abstractmethod
    def edit(self, texts: Texts) -> Edits:
        """The spans to replace."""


def standard_signals(editor: Editor[OptionsT]) -> tuple[Signal, ...]:
    """The signals that every editor has."""
    name, source = f"{PREFIX}{editor.name}", f"counted by Tamis, of the editor {editor.name}"
    kinds = ("removed", "inserted") if editor.inserts else ("removed",)
    return (
        *(Signal(f"{name}.{kind}_chars", "int64", "characters", "none", source, least=0) for kind in kinds),
        Signal(f"{name}.removed_share", "float64", "share of characters", "down", source, 0, 1),
        *(
            Signal(f"{name}.{reason}.{kind}_chars", "int64", "characters", "none", source, least=0)
            for reason in editor.reasons
            for kind in kinds
        ),
    )
