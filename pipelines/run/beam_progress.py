"""Progress of a worker, also as metrics for the runner's own monitoring."""

from __future__ import annotations

from apache_beam.metrics import Metrics

from tamis.pipelines.run.progress import Progress


class BeamProgress(Progress):
    """Also counts in Beam's metrics. Retries count twice there, so Tamis does not read them."""

    def __init__(self, run: str, movement: str) -> None:
        super().__init__(run, movement)
        self._movement = movement

    def advance(self, documents: int, text_bytes: int) -> None:
        super().advance(documents, text_bytes)
        self._count("documents", documents)
        self._count("text_bytes", text_bytes)

    def finish(self, work: int = 1) -> None:
        super().finish(work)
        self._count("finished", 1)

    def _count(self, name: str, number: int) -> None:
        Metrics.counter("tamis", f"{self._movement}.{name}").inc(number)
