"""metrics.prom: the numbers of a run for Prometheus, in the text format that node_exporter's textfile collector reads.

The file is replaced as a whole, while a run goes on and when it ends. What an alert wants is
`tamis_last_success_timestamp_seconds`: it moves on every night that ended well, also when there was nothing to do.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Mapping
from contextlib import suppress
from typing import Any

from tamis.pipelines.run.progress import Attempt, Done
from tamis.pipelines.run.work_plan import METRICS
from tamis.transforms import storage
from tamis.transforms.runtime.redaction import redact

_SUCCESS = "tamis_last_success_timestamp_seconds"

Sample = tuple[Mapping[str, str], float]
"""Labels and value."""

Family = tuple[str, str, list[Sample]]
"""Name, help and samples; all are gauges."""


def write_progress(run: str, attempt: Attempt, done: Mapping[str, Done]) -> None:
    """Replaces the file while a run goes on, or when it failed."""
    families = [
        *_state(attempt),
        *_progress(done),
        _family("movement_seconds", "Wall time of each movement.", _by("movement", attempt.seconds)),
        _last_success(_earlier_success(run)),
    ]
    _write(run, families)


def write_finished(run: str, manifest: Mapping[str, Any], now: float, attempt: Attempt | None = None) -> None:
    """Replaces the file with the numbers of the finished release, known to be good `now`. `attempt` is what just made it."""
    counts, tokens = manifest["counts"], manifest["counts"]["tokens"]
    words = {"keep": "kept", "drop": "dropped", "review": "review"}

    def decided(of: str, kept: float) -> list[Sample]:
        """Each document once: the kept ones, and the others by the reason that decided."""
        rows: list[Sample] = [
            ({"decision": words[row["decision"]], "reason": row["reason"]}, row[of]) for row in counts["reasons"]
        ]
        return [({"decision": "kept", "reason": ""}, kept), *rows]

    families = [
        *(_state(attempt, ended=now) if attempt is not None else ()),
        _family("records", "Records read.", [({}, counts["records"])]),
        _family("documents", "Documents by decision and reason.", decided("documents", counts["kept"])),
        _family("tokens", "Tokens by decision and reason.", decided("tokens", tokens["kept"])),
        _family("rejected_records", "Records that could not be read.", [({}, counts["rejected"])]),
        _family("input_bytes", "Bytes of the input as stored.", [({}, sum(entry["size"] for entry in manifest["inputs"]))]),
        _family("output_bytes", "Bytes of the run by room.", _by("room", _rooms(manifest["files"]))),
        _family("shards", "Shards of the corpus.", [({}, len(manifest["curriculum"]["shards"]))]),
        _family("warnings", "Warnings of the run by code.", _by("code", Counter(w["code"] for w in manifest["warnings"]))),
        _family("movement_seconds", "Wall time of each movement.", _by("movement", manifest["environment"].get("seconds", {}))),
        _last_success(now),
    ]
    _write(run, families)


def _state(attempt: Attempt, ended: float | None = None) -> list[Family]:
    going = ended is None and not attempt.error
    return [
        _family("running", "1 while a run goes on.", [({}, int(going))]),
        _family("failed", "1 when the last attempt ended with an error.", [({}, int(bool(attempt.error)))]),
        _family("started_timestamp_seconds", "When the last attempt began.", [({}, attempt.started)]),
        _family("updated_timestamp_seconds", "When the last attempt was last heard of.", [({}, ended or attempt.updated)]),
        _family(
            "parts",
            "Parts of the input, by whether they had to be rated.",
            _by("state", {"rated": attempt.parts - attempt.reused, "reused": attempt.reused}),
        ),
    ]


def _progress(done: Mapping[str, Done]) -> list[Family]:
    return [
        _family(
            "progress_documents",
            "Documents that a movement has handled in this attempt.",
            _by("movement", {name: each.documents for name, each in done.items()}),
        ),
        _family(
            "progress_text_bytes",
            "Bytes of text that a movement has handled in this attempt.",
            _by("movement", {name: each.bytes for name, each in done.items()}),
        ),
        _family(
            "progress_work",
            "What a movement has finished: bytes of input rated, parts decided, shards emitted.",
            _by("movement", {name: each.work for name, each in done.items()}),
        ),
    ]


def _last_success(when: float | None) -> Family:
    samples: list[Sample] = [({}, when)] if when is not None else []
    return _family(_SUCCESS.removeprefix("tamis_"), "When a run last ended well, with or without something to do.", samples)


def _family(name: str, help: str, samples: Iterable[Sample]) -> Family:
    return f"tamis_{name}", help, list(samples)


def _by(label: str, values: Mapping[str, float]) -> list[Sample]:
    return [({label: name}, value) for name, value in values.items()]


def _rooms(files: Iterable[Mapping[str, Any]]) -> dict[str, int]:
    rooms: Counter[str] = Counter()
    for file in files:
        rooms[str(file["path"]).split("/", 1)[0]] += int(file["bytes"])
    return dict(sorted(rooms.items()))


def _write(run: str, families: Iterable[Family]) -> None:
    """What cannot be told does not stop a run: a disk that is full stops it elsewhere, and with a message."""
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
    found = re.search(rf"^{_SUCCESS}\{{.*\}} ([0-9.]+)$", text, re.MULTILINE)
    return float(found[1]) if found else None
