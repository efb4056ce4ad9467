"""The log of a run for machines and journals: one line an event on standard error, as JSON or as text.

An event is time, level, name, run, and numbers. It never holds a credential, nor a word of a document.
"""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Callable
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, Literal

from tamis.pipelines.run.progress import EVERY, MOVEMENTS, Done
from tamis.transforms.runtime.redaction import redact

if TYPE_CHECKING:
    from tamis.pipelines.cli.display import Start
    from tamis.pipelines.run.launch import Result
    from tamis.pipelines.run.work_plan import WorkPlan

Level = Literal["info", "warning", "error"]

FORMS = ("json", "text")


class Log:
    """Tells what happens in `run`, where a person would see bars (`Display`): in one of `FORMS`."""

    def __init__(self, form: str, run: str) -> None:
        self.form = form
        self.run = redact(run)

    def tell(self, event: str, level: Level = "info", **told: Any) -> None:
        """One event; strings are rid of credentials."""
        now = datetime.now(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
        told = {name: redact(value) if isinstance(value, str) else value for name, value in told.items()}
        if self.form == "json":
            line = json.dumps({"time": now, "level": level, "event": event, "run": self.run, **told}, default=str)
        else:
            words = (f"{name}={json.dumps(value, ensure_ascii=False)}" for name, value in told.items())
            line = " ".join((now, level.upper(), event, *words))
        sys.stderr.write(line.encode("utf-8", "replace").decode() + "\n")
        sys.stderr.flush()

    def during(self, start: Start) -> Result:
        """Logs the run that `start` starts: what there is to do, how each movement goes on and ends, what became of it all."""
        journey = _Journey(self.tell)
        result = start(journey.planned, journey.watch)
        journey.end(result.seconds)
        manifest: dict[str, Any] = result.manifest
        counts = manifest["counts"]
        for warning in manifest["warnings"]:
            self.tell("warning", "warning", code=warning["code"], message=warning["message"])
        if counts["rejected"] and not result.unchanged:
            files = [entry for entry in manifest["inputs"] if entry["rejected"]]
            worst = max(files, key=lambda entry: entry["rejected"])
            self.tell(
                "rejects",
                "warning",
                records=counts["rejected"],
                files=len({entry["uri"] for entry in files}),
                most=worst["rejected"],
                most_in=worst["uri"],
            )
        self.tell(
            "unchanged" if result.unchanged else "finished",
            **{name: counts[name] for name in ("records", "kept", "dropped", "review", "rejected")},
            tokens=counts["tokens"]["kept"],
            shards=len(manifest["curriculum"]["shards"]),
            parts_rated=result.rated,
            parts_reused=result.reused,
            seconds=round(sum(result.seconds.values()), 2),
            corpus_root=manifest["corpus_root"],
        )
        return result


class _Journey:
    """Turns what a driver tells a few times a second into an event now and then."""

    def __init__(self, tell: Callable[..., None]) -> None:
        self._tell = tell
        self._totals: dict[str, int] = {}
        self._told = time.monotonic()
        self._last: dict[str, Done] = {}

    def planned(self, plan: WorkPlan) -> None:
        self._tell(
            "planned",
            parts=len(plan.tasks),
            parts_reused=plan.reused,
            bytes=plan.bytes,
            shards_reused=len(plan.finished_shards),
            fingerprint=plan.fingerprint,
            unplanned=plan.unplanned,
        )
        self._totals = {"rate": plan.bytes, "decide": len(plan.tasks)}

    def watch(self, done: dict[str, Done]) -> None:
        self._last = done
        if time.monotonic() < self._told + EVERY:
            return
        self._told = time.monotonic()
        for movement in MOVEMENTS:
            total = self._total(movement)
            if movement in done and (not total or done[movement].work < total):
                self._tell("progress", movement=movement, **self._numbers(movement))

    def end(self, seconds: dict[str, float]) -> None:
        for movement in MOVEMENTS:
            if movement in self._last:
                self._tell("movement", movement=movement, seconds=seconds[movement], **self._numbers(movement))

    def _total(self, movement: str) -> int:
        return self._totals.get(movement) or self._last.get(movement, Done()).total

    def _numbers(self, movement: str) -> dict[str, int]:
        done = self._last[movement]
        return {"documents": done.documents, "text_bytes": done.bytes, "done": done.work, "total": self._total(movement)}
