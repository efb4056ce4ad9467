"""The log of a run for machines: one line per event on standard error, as JSON or as text.

An event has a time, a level, a name, the run, and numbers. It contains no credentials and no text
of a document.
"""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, Literal

from tamis.pipelines.run.progress import MOVEMENTS, UPDATE_SECONDS, MovementProgress, Observer
from tamis.transforms.core.manifest import record_counts
from tamis.transforms.runtime.credentials import redact

if TYPE_CHECKING:
    from tamis.pipelines.run.launch import Result
    from tamis.pipelines.run.work_plan import WorkPlan

Level = Literal["info", "warning", "error"]
FORMATS = ("json", "text")


class Log(Observer):
    """An observer of a run that writes events in one of `FORMATS`."""

    def __init__(self, format: str, run: str) -> None:
        self.format = format
        self.run = redact(run)
        self._totals: dict[str, int] = {}
        self._movements: Mapping[str, MovementProgress] = {}
        self._logged = time.monotonic()

    def event(self, name: str, level: Level = "info", /, **fields: Any) -> None:
        """Writes one event. Credentials in strings are masked."""
        now = datetime.now(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
        fields = {key: redact(value) if isinstance(value, str) else value for key, value in fields.items()}
        if self.format == "json":
            line = json.dumps({"time": now, "level": level, "event": name, "run": self.run, **fields}, default=str)
        else:
            pairs = (f"{key}={json.dumps(value, ensure_ascii=False)}" for key, value in fields.items())
            line = " ".join((now, level.upper(), name, *pairs))
        sys.stderr.write(line.encode("utf-8", "replace").decode() + "\n")
        sys.stderr.flush()

    def planned(self, plan: WorkPlan) -> None:
        for line in plan.forecast:
            self.event("warning", "warning", code="forecast", message=line)
        self.event(
            "planned",
            parts=len(plan.tasks),
            parts_reused=plan.reused,
            bytes=plan.bytes,
            shards_reused=len(plan.finished_shards),
            fingerprint=plan.fingerprint,
            release=plan.number,
            damaged=len(plan.damaged),
        )
        self._totals = {"rate": plan.bytes, "decide": len(plan.tasks)}

    def progress(self, movements: Mapping[str, MovementProgress]) -> None:
        """Writes the progress of unfinished movements, at most every `UPDATE_SECONDS`."""
        self._movements = movements
        if time.monotonic() < self._logged + UPDATE_SECONDS:
            return
        self._logged = time.monotonic()
        for name in MOVEMENTS:
            numbers = self._numbers(name)
            if name in movements and (not numbers["total"] or numbers["done"] < numbers["total"]):
                self.event("progress", movement=name, **numbers)

    def finished(self, result: Result) -> None:
        for name in MOVEMENTS:
            if name in self._movements:
                self.event("movement", movement=name, seconds=result.seconds[name], **self._numbers(name))
        manifest, counts = result.manifest, result.manifest["counts"]
        for warning in manifest["warnings"]:
            self.event("warning", "warning", code=warning["code"], message=warning["message"])
        if counts["rejected"] and not result.unchanged:
            inputs = [entry for entry in manifest["inputs"] if entry["rejected"]]
            worst = max(inputs, key=lambda entry: entry["rejected"])
            self.event(
                "rejects",
                "warning",
                records=counts["rejected"],
                files=len({entry["uri"] for entry in inputs}),
                most=worst["rejected"],
                most_in=worst["uri"],
            )
        self.event(
            "unchanged" if result.unchanged else "finished",
            **record_counts(counts),
            tokens=counts["tokens"]["kept"],
            shards=len(manifest["curriculum"]["shards"]),
            parts_rated=result.rated,
            parts_reused=result.reused,
            seconds=round(sum(result.seconds.values()), 2),
            corpus_root=manifest["corpus_root"],
        )

    def _numbers(self, name: str) -> dict[str, int]:
        movement = self._movements.get(name, MovementProgress())
        total = self._totals.get(name) or movement.total
        return {
            "documents": movement.documents,
            "text_bytes": movement.text_bytes,
            "done": movement.done(total),
            "total": total,
        }
