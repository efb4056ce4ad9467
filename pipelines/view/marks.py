"""Marks: what a person says of decisions, right or wrong, in a file with a line of JSON for each document.

A mark of a decision about the text itself says whether the text is good, which is a label as `tamis rate train` and
`tamis rate check` read it. Whoever marks the drop of a duplicate says nothing of its text, so that mark is no label.
"""

from __future__ import annotations

import csv
import io
from collections.abc import Collection, Iterator, Mapping
from dataclasses import asdict, dataclass
from threading import Lock
from typing import Any, Literal, cast

import orjson

from tamis.transforms import storage
from tamis.transforms.core.errors import RunError

Verdict = Literal["right", "wrong"]


@dataclass(frozen=True)
class Mark:
    """A verdict on one decision of a release. `label`: 1 if the text is good by it, 0 if it is bad, None if it says
    nothing of that."""

    id: str
    verdict: Verdict
    label: int | None
    decision: str
    reason: str | None
    release: int


def label_of(verdict: Verdict, decision: str, reason: str | None, limits: Collection[str]) -> int | None:
    """What a verdict says of the text. `limits`: the reasons that judge texts, which are the signals with thresholds."""
    if decision == "keep":
        return int(verdict == "right")
    return int(verdict == "wrong") if decision == "drop" and reason in limits else None


class Marks:
    """The marks of a file, one for each id, by id. Every change replaces the file."""

    def __init__(self, path: str) -> None:
        """Reads the file `path`, if there is one. Raises RunError if it holds something else."""
        self.path = path
        self._lock = Lock()
        self._by_id = _read(path) if storage.exists(path) else {}

    def __iter__(self) -> Iterator[Mark]:
        return iter([self._by_id[identifier] for identifier in sorted(self._by_id)])

    def __len__(self) -> int:
        return len(self._by_id)

    def get(self, identifier: str) -> Mark | None:
        """The mark of a document."""
        return self._by_id.get(identifier)

    def add(self, mark: Mark) -> None:
        """Adds a mark, in place of the one that the document had."""
        with self._lock:
            self._write({**self._by_id, mark.id: mark})

    def remove(self, identifier: str) -> None:
        """Removes the mark of a document, if it has one."""
        with self._lock:
            self._write({name: mark for name, mark in self._by_id.items() if name != identifier})

    def labels(self) -> str:
        """A table of id and label in CSV."""
        table = io.StringIO()
        writer = csv.writer(table, lineterminator="\n")
        writer.writerow(["id", "label"])
        writer.writerows([mark.id, mark.label] for mark in self if mark.label is not None)
        return table.getvalue()

    def _write(self, by_id: Mapping[str, Mark]) -> None:
        lines = b"".join(orjson.dumps(asdict(by_id[identifier])) + b"\n" for identifier in sorted(by_id))
        storage.write_bytes(self.path, lines)
        self._by_id = dict(by_id)


def _read(path: str) -> dict[str, Mark]:
    marks = {}
    for number, line in enumerate(storage.read_bytes(path).splitlines(), 1):
        try:
            mark = Mark(**cast(dict[str, Any], orjson.loads(line)))
            if mark.verdict not in ("right", "wrong"):
                raise ValueError(f"the verdict is {mark.verdict!r}")
        except (TypeError, ValueError) as error:
            raise RunError(f"{path}, line {number}: it is no mark ({error}); name another file with --marks") from None
        marks[mark.id] = mark
    return marks
