"""The step that ends documents by their licence, and the licences of documents as one column."""

from __future__ import annotations

import re
from collections.abc import Callable
from functools import cached_property
from typing import Final, TypeVar

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from tamis.transforms.beam.step import Documents, Step
from tamis.transforms.core.arrays import Ints
from tamis.transforms.licences.known_terms import terms_of
from tamis.transforms.licences.licence_names import (
    UNREAD,
    conjunction,
    evaluate_licence,
    licences_in,
    read_licence,
    terms_of_expression,
)
from tamis.transforms.licences.licence_options import TERMS, Licences
from tamis.transforms.licences.terms import USES, Terms

_T = TypeVar("_T")

PASSES, UNKNOWN, NOT_ALLOWED, DENIED = range(4)
"""Verdicts on a licence from the best to the worst: all that hold are as good as their worst, a choice as its best."""

REASONS: Final = {DENIED: "licences.denied", NOT_ALLOWED: "licences.not_allowed", UNKNOWN: "licences.unknown"}

_SHOWN = 80  # characters of a text that is no known licence
_VERSION = re.compile(r"-\d.*$")


class LicenceReader:
    """Reads the licence of a document from its field and its source."""

    def __init__(self, options: Licences) -> None:
        self._names = {name.strip().casefold(): str(read_licence(licence)) for name, licence in options.names.items()}
        self._by_source = {source: str(read_licence(licence)) for source, licence in options.by_source.items()}

    def expression(self, written: str | None, source: str | None) -> str | None:
        """The SPDX expression of all licences that hold for a document; None if none is given or known."""
        own = None
        if written and written.strip():
            own = self._names.get(written.strip().casefold()) or read_licence(written) or UNREAD
        of_source = self._by_source.get(source or "")
        known = [each for each in dict.fromkeys((own, of_source)) if each is not None]
        return None if not known or known == [UNREAD] else conjunction(known)

    def expressions(self, written: pa.Array, source: pa.Array) -> pa.StringArray:
        """The expressions of n documents."""
        found, pair = _of_pairs(written, source, self.expression)
        return pa.array(found, pa.string()).take(pa.array(pair))


class JudgeLicences(Step):
    """Ends documents whose licence is denied, not allowed or unknown; the detail shows it and its terms.
    Each pair of a licence as written and a source is judged once."""

    name = "licences"
    signals = ("licence",)

    def __init__(self, options: Licences) -> None:
        self.options = options

    def decide(self, documents: Documents, results: pa.Table | None) -> None:
        judged, pair = _of_pairs(documents.columns["licence"], documents.columns["source"], self.judge)
        verdict = np.array([each for each, _ in judged], np.int64)[pair]
        details = pa.array([detail for _, detail in judged], pa.string()).take(pa.array(pair))
        for kind, reason in REASONS.items():
            decision = "review" if kind == UNKNOWN and self.options.unknown == "review" else self.options.action
            if kind != UNKNOWN or self.options.unknown != "allow":
                documents.end(verdict == kind, decision, reason, details.take)

    def judge(self, written: str | None, source: str | None) -> tuple[int, str]:
        """The verdict on a licence as it is written in a document of a source, and the detail."""
        expression = self._reader.expression(written, source)
        if expression is None:
            known = written is not None and written.strip()
            return UNKNOWN, f"no licence is called '{_short(str(written))}'" if known else "no licence is given"
        verdict = evaluate_licence(expression, self._verdict, max, min)
        return verdict, f"{expression}: {described(terms_of_expression(expression))}"

    @cached_property
    def _reader(self) -> LicenceReader:
        return LicenceReader(self.options)

    @cached_property
    def _allowed(self) -> frozenset[str]:
        return _entries(self.options.allow)

    @cached_property
    def _denied(self) -> frozenset[str]:
        return _entries(self.options.deny)

    def _verdict(self, licence: str) -> int:
        terms, names = terms_of(licence), {licence, _any_version(licence)}
        asked = {term for term, asks in (("attribution", terms.attribution), ("share-alike", terms.share_alike)) if asks}
        use = USES.index(terms.use)
        narrower = set(USES[1 : use + 1]) if terms.use != "unknown" else set()
        if self._denied & (names | asked | narrower):
            return DENIED
        if self._allowed & (names | asked | set(USES[use:-1])):
            return PASSES
        if terms.use == "unknown":
            return UNKNOWN
        return NOT_ALLOWED if self._allowed else PASSES


def described(terms: Terms) -> str:
    """Terms in words: `commercial use, attribution, share-alike`."""
    if terms.use == "unknown":
        return "unknown terms"
    words = [f"{terms.use} use"]
    for name, asked in (("attribution", terms.attribution), ("share-alike", terms.share_alike)):
        words += [f"{name} unknown"] if asked is None else [name] if asked else []
    return ", ".join(words)


def _entries(names: tuple[str, ...]) -> frozenset[str]:
    """Terms as they are, and licences by their identifiers."""
    terms = {name for name in names if name in TERMS}
    licences = (str(read_licence(name)) for name in names if name not in terms)
    return frozenset(terms.union(*map(licences_in, licences)))


def _any_version(licence: str) -> str:
    """The identifier of a licence of Creative Commons without a version; of others, the licence itself."""
    return f"LicenseRef-{_VERSION.sub('', licence)}" if licence.startswith("CC-BY") else licence


def _short(text: str) -> str:
    text = " ".join(text.split())
    return f"{text[:_SHOWN]}…" if len(text) > _SHOWN else text


def _of_pairs(written: pa.Array, source: pa.Array, judge: Callable[[str | None, str | None], _T]) -> tuple[list[_T], Ints]:
    """What `judge` says of each pair of a licence and a source that occurs, and the pair of each of n documents."""
    texts, sources = (pc.dictionary_encode(column, null_encoding="encode") for column in (written, source))
    names, of_sources = texts.dictionary.to_pylist(), sources.dictionary.to_pylist()
    code = sources.indices.to_numpy().astype(np.int64) * max(1, len(names)) + texts.indices.to_numpy()
    pairs, pair = np.unique(code, return_inverse=True)
    return [judge(names[each % len(names)], of_sources[each // len(names)]) for each in pairs.tolist()], pair
