"""What cards say of the texts of a release: where they are from, in which languages, of when, under which licences."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field

import pyarrow as pa
import pyarrow.compute as pc

from tamis.pipelines.decisions.part_summary import LANGUAGE
from tamis.transforms.core.release import Release
from tamis.transforms.licences.judge_licences import LicenceReader
from tamis.transforms.licences.licence_options import Licences
from tamis.transforms.provenance.ledger import decided_parts, decisions
from tamis.transforms.text.canonical_urls import canonical_urls
from tamis.transforms.urls.host_rules import registrable_domains

_DAY = r"^\d{4}-\d\d-\d\d"


@dataclass
class Share:
    """Kept documents by the values of a column, and the bytes of their texts. None: without a value."""

    documents: Counter[str | None] = field(default_factory=Counter)
    bytes: Counter[str | None] = field(default_factory=Counter)

    def add(self, values: pa.Array, sizes: pa.Array) -> None:
        sums = pa.table({"value": values, "bytes": sizes}).group_by("value").aggregate([("bytes", "sum"), ("bytes", "count")])
        for row in sums.to_pylist():
            self.documents[row["value"]] += row["bytes_count"]
            self.bytes[row["value"]] += row["bytes_sum"]

    @property
    def known(self) -> list[str]:
        """The values, those with most bytes first."""
        return sorted((name for name in self.bytes if name is not None), key=lambda name: (-self.bytes[name], name))


@dataclass
class CorpusFacts:
    """The kept documents of a release, each once: by registrable domain, language, licence (an SPDX expression) and
    day. `measured`: whether the recipe measures languages."""

    domains: Share = field(default_factory=Share)
    languages: Share = field(default_factory=Share)
    licences: Share = field(default_factory=Share)
    days: Share = field(default_factory=Share)
    documents: int = 0
    bytes: int = 0
    measured: bool = False


def corpus_facts(release: Release) -> CorpusFacts:
    """The facts of a release, from small columns of its parts and decisions: no text is read."""
    facts = CorpusFacts()
    options = release.manifest["recipe"].get("licences")
    reader = LicenceReader(Licences.model_validate(options) if options else Licences())
    for ordinal in decided_parts(release):
        part = release.part(ordinal)
        facts.measured = LANGUAGE in part.schema().names
        decided = decisions(release, ordinal, ["decision", "url", "bytes"])
        columns = part.columns(["licence", "source", "date", *([LANGUAGE] if facts.measured else [])])
        kept = pc.equal(decided["decision"], "keep")
        decided, columns = decided.filter(kept).combine_chunks(), columns.filter(kept).combine_chunks()
        size = _array(decided["bytes"])
        licence, source, date = (_array(columns[name]) for name in ("licence", "source", "date"))
        day = pc.if_else(pc.match_substring_regex(date, _DAY), pc.utf8_slice_codeunits(date, 0, 10), None)
        facts.documents += len(decided)
        facts.bytes += pc.sum(size, min_count=0).as_py()
        facts.domains.add(registrable_domains(canonical_urls(_array(decided["url"]))), size)
        facts.licences.add(reader.expressions(licence, source), size)
        facts.days.add(day, size)
        if facts.measured:
            facts.languages.add(_array(columns[LANGUAGE]), size)
    return facts


def _array(column: pa.ChunkedArray) -> pa.Array:
    return pa.concat_arrays([pa.array([], column.type), *column.chunks])
