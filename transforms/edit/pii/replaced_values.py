"""Replaces the personal data of a batch of texts, and counts them by document."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from tamis.transforms.core.editor import Edits
from tamis.transforms.edit.changes_of_text import in_bytes
from tamis.transforms.edit.pii.found_value import KINDS, FoundValue
from tamis.transforms.edit.pii.personal_values import Finder
from tamis.transforms.edit.pii.scan.personal_lines import PRIVATE_KEY, PersonalLines, personal_lines
from tamis.transforms.edit.pii.secret_values import private_keys
from tamis.transforms.text.segment import Texts

_SECRET = KINDS.index("secret")

_CV_HEADINGS = frozenset(
    [
        *(
            "curriculum vitae",
            "résumé",
            "resume",
            "experience",
            "professional experience",
            "work experience",
            "relevant experience",
        ),
        *("work history", "employment", "employment history", "education", "educational background", "academic qualifications"),
        *("qualifications", "skills", "key skills", "technical skills", "core skills", "career objective", "objective"),
        *("professional summary", "references", "personal references", "personal details", "personal information"),
        *("personal data", "personal profile", "languages", "hobbies"),
        *("interests", "hobbies and interests", "certifications", "lebenslauf", "persönliche daten", "berufserfahrung"),
        *("ausbildung", "expérience professionnelle", "formation", "compétences", "experiencia laboral", "formación"),
    ]
)
"""What heads the sections of a curriculum vitae, alone on a line."""
_LONGEST_HEADING = 40
_AROUND = " \t\r\xa0•*-–—:#.|_"
"""What may stand around a heading."""


def replaced_values(texts: Texts, finder: Finder) -> Edits:
    """The edits, and the values of `PiiEditor.measures`."""
    documents = len(texts)
    found = personal_lines(texts.data, texts.text_start)
    counts = np.zeros((len(KINDS), documents), np.int64)
    different: dict[int, set[tuple[str, str]]] = {}
    rows: list[tuple[int, int, int, int]] = []
    inserted: list[str] = []

    def count(document: int, value: FoundValue) -> None:
        counts[KINDS.index(value.kind), document] += 1
        different.setdefault(document, set()).add((value.kind, value.value))

    keys: list[tuple[int, int]] = []
    if "secret" in finder.kinds:
        for document in np.unique(found.document[found.kinds & PRIVATE_KEY != 0]).tolist():
            first, end = texts.text_start[document : document + 2].tolist()
            block = texts.data[first:end].tobytes()
            for start, stop in private_keys(block):
                value = FoundValue("secret", start, stop, block[start:stop].decode())
                keys.append((first + start, first + stop))
                rows.append((document, first + start, first + stop, _SECRET))
                inserted.append(finder.replacement(value))
                count(document, value)
    for document, left, right, kinds in zip(*(column.tolist() for column in _apart(found, keys)), strict=True):
        line = texts.data[left:right].tobytes().decode()
        changes, values = finder.replace(line, kinds)
        for first, last, change in in_bytes(line, changes):
            rows.append((document, left + first, left + last, change.reason))
            inserted.append(change.new)
        for value in values:
            count(document, value)
    edits = np.array(rows, np.int64).reshape(-1, 4)
    order = np.argsort(edits[:, 1], kind="stable")
    columns = [np.ascontiguousarray(column) for column in edits[order].T]
    distinct = np.zeros(documents, np.int64)
    headings = np.zeros(documents, np.int64)
    for row, seen in different.items():
        distinct[row] = len(seen)
        text = texts.data[texts.text_start[row] : texts.text_start[row + 1]].tobytes().decode()
        short = {line.strip(_AROUND) for line in text.lower().split("\n") if len(line) < _LONGEST_HEADING}
        headings[row] = len(_CV_HEADINGS & short)
    new = pa.array(inserted, pa.large_string()).take(pa.array(order))
    return Edits(columns[0], columns[1], columns[2], columns[3], new, [*counts, distinct, headings])


def _apart(found: PersonalLines, keys: list[tuple[int, int]]) -> tuple[npt.NDArray[np.int64], ...]:
    """The pieces of the lines that lie outside the private keys, with their documents and kinds."""
    if not keys:
        return found
    pieces: list[tuple[int, int, int, int]] = []
    at = 0
    for document, start, stop, kinds in zip(*(column.tolist() for column in found), strict=True):
        while at < len(keys) and keys[at][0] < stop:
            first, last = keys[at]
            if start < first:
                pieces.append((document, start, first, kinds))
            start = max(start, last)
            if last > stop:
                break
            at += 1
        if start < stop:
            pieces.append((document, start, stop, kinds))
    return tuple(np.array(pieces, np.int64).reshape(-1, 4).T)
