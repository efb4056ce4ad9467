"""A Python function as an editor."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from pydantic import Field

from tamis.transforms.core.editor import Editor, Edits
from tamis.transforms.core.options import NAMES, Options, fingerprint
from tamis.transforms.edit.changes_of_text import difference, in_bytes
from tamis.transforms.runtime.function_pickle import dump_function, load_function

if TYPE_CHECKING:
    from tamis.transforms.text.segment import Texts

EditFunction = Callable[[str], str]


class EditFunctionOptions(Options):
    """What a run records of a function: not its code, which has no stable fingerprint."""

    name: str = Field(pattern=r"^[a-z][a-z0-9_]*$", description=NAMES)
    version: str = Field(min_length=1)
    reason: str = Field("function", pattern=r"^[a-z][a-z0-9_]*$", description=NAMES)


class FunctionEditor(Editor[EditFunctionOptions]):
    """Replaces each text by what a function makes of it."""

    slow = True
    inserts = True

    def __init__(self, options: EditFunctionOptions, function: EditFunction) -> None:
        super().__init__(options)
        self.name = options.name
        self.reasons = (options.reason,)
        self.function = function

    @property
    def fingerprint(self) -> str:
        """Covers the version: the code itself has no stable fingerprint."""
        return fingerprint(["function", *self.options.model_dump().values()])

    def edit(self, texts: Texts) -> Edits:
        import numpy as np
        import pyarrow as pa

        spans: list[tuple[int, int, int]] = []
        inserted: list[str] = []
        for row, text in enumerate(texts.strings()):
            left = int(texts.text_start[row])
            for start, stop, change in in_bytes(text, difference(text, self._edited(text))):
                spans.append((row, left + start, left + stop))
                inserted.append(change.new)
        document, first, last = (np.ascontiguousarray(column) for column in np.array(spans, np.int64).reshape(-1, 3).T)
        return Edits(document, first, last, np.zeros(len(spans), np.int64), pa.array(inserted, pa.large_string()))

    def _edited(self, text: str) -> str:
        new = self.function(text)
        if not isinstance(new, str):
            raise TypeError(f"the function returned {type(new).__name__}, no text: return the text itself to leave it as it is")
        return new

    def __reduce__(self) -> tuple[Any, ...]:
        return _unpickle, (self.options, dump_function(self.function))


def _unpickle(options: EditFunctionOptions, function: bytes) -> FunctionEditor:
    return FunctionEditor(options, load_function(function))


def editor(*, name: str, version: str, reason: str = "function") -> Callable[[EditFunction], FunctionEditor]:
    """Makes an editor of a function from a text to the text that it becomes. What differs is recorded
    as removed and inserted for `reason`: its signals are `edit.<name>.removed_chars` and so on.

    Raise `version` whenever the function may give another text: documents are then edited and rated
    again. The function runs once for each document, in Python, in every worker. It is sent to the
    workers with what it uses of its own module; other modules must be installed there. A document on
    which it fails is a reject. Raises ValueError if an argument is wrong.
    """
    options = EditFunctionOptions.of_call(name=name, version=version, reason=reason)
    return lambda function: FunctionEditor(options, function)
