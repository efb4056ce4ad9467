"""Writes metrics.prom, the numbers of a run for Prometheus (node_exporter's textfile collector).

The file is replaced as a whole, while a run is going on and when it ends. Alert on
`tamis_last_success_timestamp_seconds`: it changes with every run that succeeds, even if there was
nothing to do.
"""

import re
from collections import Counter
from collections.abc import Iterable, Mapping
from contextlib import suppress

from tamis.pipelines.run.progress import Attempt, MovementProgress
from tamis.pipelines.run.work_plan import METRICS
from tamis.transforms import storage
from tamis.transforms.core.manifest import Manifest, bytes_by_folder
from tamis.transforms.runtime.credentials import redact

_SUCCESS = "tamis_last_success_timestamp_seconds"

Sample = tuple[Mapping[str, str], float]  # labels and value
Family = tuple[str, str, list[Sample]]  # name, help and samples; all are gauges


def write_progress(run: str, attempt: Attempt, movements: Mapping[str, MovementProgress]) -> None:
    """Replaces the file while a run is going on, or after it failed."""
    families = [
        *_state(attempt),
        *_progress(movements),
        _family("movement_seconds", "Wall time of each movement.", _by("movement", attempt.seconds)),
        _last_success(_earlier_success(run)),
    ]
    _write(run, families)


def write_finished(run: str, manifest: Manifest, now: float, attempt: Attempt | None = None) -> None:
    """Replaces the file with the numbers of the current release, which `attempt` has made."""
    counts = manifest["counts"]
    past = {"drop": "dropped", "review": "review"}
    reasons = [({"decision": past[row["decision"]], "reason": row["reason"]}, row) for row in counts["reasons"]]
    kept = {"decision": "kept", "reason": ""}
    documents: list[Sample] = [(kept, counts["kept"]), *((labels, row["documents"]) for labels, row in reasons)]
    tokens: list[Sample] = [(kept, counts["tokens"]["kept"]), *((labels, row["tokens"]) for labels, row in reasons)]

    families = [
        *(_state(attempt, ended=now) if attempt is not None else ()),
        _family("records", "Records read.", [({}, counts["records"])]),
        _family("documents", "Documents by decision and reason.", documents),
        _family("tokens", "Tokens by decision and reason.", tokens),
        _family("rejected_records", "Records that could not be read.", [({}, counts["rejected"])]),
        _family(
            "skipped_records", "Records that are no documents, by reason.", _by("reason", counts.get("skipped_reasons", {}))
        ),
        _family("input_bytes", "Bytes of the input as stored.", [({}, sum(entry["size"] for entry in manifest["inputs"]))]),
        _family("output_bytes", "Bytes of the run by folder.", _by("folder", bytes_by_folder(manifest))),
        _family("shards", "Shards of the corpus.", [({}, len(manifest["curriculum"]["shards"]))]),
        _family("warnings", "Warnings of the run by code.", _by("code", Counter(w["code"] for w in manifest["warnings"]))),
        _family("movement_seconds", "Wall time of each movement.", _by("movement", manifest["environment"].get("seconds", {}))),
        _last_success(now),
    ]
    _write(run, families)


def _state(attempt: Attempt, ended: float | None = None) -> list[Family]:
    running = ended is None and not attempt.error
    return [
        _family("running", "1 while a run is going on.", [({}, int(running))]),
        _family("failed", "1 when the last attempt ended with an error.", [({}, int(bool(attempt.error)))]),
        _family("started_timestamp_seconds", "When the last attempt started.", [({}, attempt.started)]),
        _family("updated_timestamp_seconds", "When the last attempt last reported progress.", [({}, ended or attempt.updated)]),
        _family(
            "parts",
            "Parts of the input: rated by this attempt, or reused.",
            _by("state", {"rated": attempt.parts - attempt.reused, "reused": attempt.reused}),
        ),
    ]


def _progress(movements: Mapping[str, MovementProgress]) -> list[Family]:
    documents = {name: movement.documents for name, movement in movements.items()}
    text_bytes = {name: movement.text_bytes for name, movement in movements.items()}
    work = {name: movement.finished for name, movement in movements.items()}
    return [
        _family("progress_documents", "Documents handled by this attempt.", _by("movement", documents)),
        _family("progress_text_bytes", "Bytes of text handled by this attempt.", _by("movement", text_bytes)),
        _family("progress_work", "Bytes of input rated, parts decided, shards emitted.", _by("movement", work)),
    ]


def _last_success(when: float | None) -> Family:
    samples: list[Sample] = [({}, when)] if when is not None else []
    return _family(_SUCCESS.removeprefix("tamis_"), "When a run last succeeded, even if nothing had changed.", samples)


def _family(name: str, help: str, samples: Iterable[Sample]) -> Family:
    return f"tamis_{name}", help, list(samples)


def _by(label: str, values: Mapping[str, float]) -> list[Sample]:
    return [({label: name}, value) for name, value in values.items()]


def _write(run: str, families: Iterable[Family]) -> None:
    """Writes the file if it can: a full disk is reported by the writes that matter."""
    lines = []
    for name, help, samples in families:
        if samples:
            lines += [f"# HELP {name} {help}", f"# TYPE {name} gauge"]
            lines += [f"{name}{_labels({'run': redact(run), **labels})} {_number(value)}" for labels, value in samples]
    with suppress(OSError):
        storage.write_bytes(storage.join(run, METRICS), ("\n".join(lines) + "\n").encode(), durable=False)


def _labels(labels: Mapping[str, str]) -> str:
    return "{" + ",".join(f'{name}="{_escaped(value)}"' for name, value in labels.items()) + "}"


def _escaped(value: str) -> str:
    value = value.encode("utf-8", "replace").decode()
    return value.replace("\\", r"\\").replace('"', r"\"").replace("\n", r"\n")


def _number(value: float) -> str:
    return str(value) if isinstance(value, int) else f"{value:.3f}"


def _earlier_success(run: str) -> float | None:
    try:
        text = storage.read_bytes(storage.join(run, METRICS)).decode("utf-8", "replace")
    except OSError:
        return None
    match = re.search(rf"^{_SUCCESS}\{{.*\}} ([0-9.]+)$", text, re.MULTILINE)
    return float(match[1]) if match else None
