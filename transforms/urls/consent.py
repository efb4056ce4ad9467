"""Measures what the hosts of documents disallow for crawlers, by a table."""

from __future__ import annotations

from collections.abc import Mapping
from copy import copy
from functools import cached_property
from typing import TYPE_CHECKING, Any, ClassVar, Self

from tamis.transforms import storage
from tamis.transforms.core.options import fingerprint
from tamis.transforms.core.rater import Rater, Signal, signal_batch
from tamis.transforms.urls.consent_options import Consent

if TYPE_CHECKING:
    import pyarrow as pa

    from tamis.transforms.text.segment import Texts
    from tamis.transforms.urls.robots_table import RobotsTable

_SOURCE = "a table of yours; RFC 9309; Fan et al. 2025 (arXiv 2504.06219)"


class ConsentRater(Rater[Consent]):
    """Measures whether the table allows the address of a document, and the row that does not. A
    document without an address has no value.

    `index` is the URI of a saved table, as in `UrlListRater`.
    """

    name = "consent"
    VERSION = 2
    raw = True
    own_file = True
    needs = ("url", "date")
    index_file = "robots.arrow"
    example: ClassVar[Mapping[str, Any]] = {"robots": "robots.parquet", "agents": ["GPTBot"]}
    signals = (
        Signal(
            "consent.status",
            "string",
            "what the table says of the host",
            "none",
            _SOURCE,
            labels=("allowed", "disallowed", "missing"),
        ),
        Signal("consent.row", "string", "row of the table that disallows", "none", _SOURCE),
    )

    def __init__(self, options: Consent, index: str | None = None) -> None:
        super().__init__(options)
        self.uri = index

    @cached_property
    def index(self) -> RobotsTable:
        """The table. Raises as `build_table` does."""
        from tamis.transforms.runtime.mapped_arrays import cached
        from tamis.transforms.urls.robots_table import RobotsTable, build_table

        if self.uri is not None:
            return RobotsTable.load(self.uri)
        return cached(
            "tamis-robots", lambda: self.fingerprint, RobotsTable.load, lambda: build_table(self.options), RobotsTable.save
        )

    @cached_property
    def fingerprint(self) -> str:
        """Covers the bytes of the table, and not what happens to documents."""
        return self._identity()

    def _identity(self) -> str:
        from tamis.transforms.urls.host_rules import libraries
        from tamis.transforms.urls.robots_table import table_files

        options = self.options.model_dump(mode="json", include={"agents", "match", "fields", "robots"})
        checksums = [storage.sha256(uri) for uri in table_files(self.options)]
        return fingerprint([self.name, self.VERSION, options, checksums, libraries()])

    def save_index(self, uri: str) -> None:
        self.index.save(uri)

    def with_index(self, uri: str) -> Self:
        rater = copy(self)
        rater.uri = uri
        return rater

    def __getstate__(self) -> dict[str, object]:
        return {"options": self.options, "uri": self.uri, "fingerprint": self.fingerprint}

    def setup(self) -> None:
        if self.uri is None and self._identity() != self.fingerprint:
            raise ValueError("the table changed after the run was planned; start the run again")
        super().setup()

    def rate(self, texts: Texts) -> pa.RecordBatch:
        import numpy as np
        import pyarrow as pa

        found, known, row = self.index.rows(texts["url"], texts["date"])
        status = pa.array(np.where(row >= 0, 1, np.where(known, 0, 2)), pa.int32(), mask=~found)
        details = self.index.details.take(pa.array(row, mask=row < 0))
        return signal_batch(
            self.signals, [pa.array(self.signals[0].labels, pa.string()).take(status), details.cast(pa.string())]
        )
