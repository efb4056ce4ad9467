"""The steps that end documents by their address: by lists and words, and by what hosts disallow."""

from __future__ import annotations

from collections.abc import Collection
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from tamis.transforms.beam.step import Documents, Step, rounded
from tamis.transforms.urls.consent_options import Consent
from tamis.transforms.urls.list_options import UrlLists

_ENDING = ("drop", "review")


class JudgeUrls(Step):
    """Drops or reviews documents by the first category of a list with that action, which the detail
    names with its entry, and then by the score of their words."""

    name = "url_lists"

    def __init__(self, options: UrlLists) -> None:
        self.options = options
        lists = ("url_lists.categories", "url_lists.entries") if options.deny else ()
        words = ("url_lists.word_score", "url_lists.words") if options.words is not None else ()
        self.signals = (*lists, *words)

    def decide(self, documents: Documents, results: pa.Table | None) -> None:
        for decision in _ENDING:
            if self.options.deny:
                self._by_lists(documents, decision)
            if self.options.words is not None and self.options.words.action == decision:
                self._by_words(documents, self.options.words.limit, decision)

    def _by_lists(self, documents: Documents, decision: str) -> None:
        categories, entries = (documents.columns[name] for name in self.signals[:2])
        flat = pc.list_flatten(categories)
        ending = [label for label in pc.unique(flat).to_pylist() if self.options.action(label) == decision]
        row, place = _first_of(categories, ending)
        failed = np.zeros(len(categories), np.bool_)
        failed[row] = True
        detail = pc.binary_join_element_wise(flat.take(place), pc.list_flatten(entries).take(place), ": ")
        details = pa.nulls(len(categories), pa.string())
        details = pc.replace_with_mask(details, pa.array(failed), detail.cast(pa.string()))
        documents.end(failed, decision, self.name, details.take)

    def _by_words(self, documents: Documents, limit: float, decision: str) -> None:
        score, words = (documents.columns[name] for name in self.signals[-2:])
        failed = pc.fill_null(pc.greater_equal(score, limit), False).to_numpy(zero_copy_only=False)

        def detail(rows: pa.Array) -> pa.Array:
            named = pc.binary_join(words.take(rows), ", ")
            return pc.binary_join_element_wise("words ", rounded(score.take(rows)), " (", named, ")", "")

        documents.end(failed, decision, self.name, detail)


class JudgeConsent(Step):
    """Ends documents that a row of the table disallows, which the detail shows; and with `missing:
    deny`, those whose host is not in it."""

    name = "consent"
    signals = ("consent.status", "consent.row")

    def __init__(self, options: Consent) -> None:
        self.options = options

    def decide(self, documents: Documents, results: pa.Table | None) -> None:
        status, row = (documents.columns[name] for name in self.signals)
        documents.end(_is(status, "disallowed"), self.options.action, self.name, row.take)
        if self.options.missing == "deny":
            absent = pc.if_else(status.is_null(), "no address", "its host is not in the table")
            documents.end(_is(status, "missing") | _is(status, None), self.options.action, self.name, absent.take)


def _is(column: pa.Array, label: str | None) -> npt.NDArray[np.bool_]:
    same = column.is_null() if label is None else pc.fill_null(pc.equal(column, label), False)
    return same.to_numpy(zero_copy_only=False)


def _first_of(lists: pa.Array, labels: Collection[str]) -> tuple[npt.NDArray[Any], pa.Array]:
    """The rows of lists that hold one of these labels, ascending, and the place of the first of each among
    all values."""
    place = np.flatnonzero(_mask(pc.is_in(pc.list_flatten(lists), value_set=pa.array(list(labels), pa.string()))))
    row, first = np.unique(pc.list_parent_indices(lists).to_numpy()[place], return_index=True)
    return row, pa.array(place[first])


def _mask(column: pa.Array) -> npt.NDArray[np.bool_]:
    return column.to_numpy(zero_copy_only=False)
