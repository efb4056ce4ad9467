"""The manifest of a finished run: recipe, counts, and every file with its checksum."""

import json
from collections import Counter
from dataclasses import dataclass
from typing import Any, NotRequired, TypedDict

from tamis.transforms import storage
from tamis.transforms.core.tokenizer import TokenizerId

MANIFEST = "manifest.json"


@dataclass(frozen=True)
class File:
    """A finished file of a run, `path` relative to its directory."""

    path: str
    bytes: int
    sha256: str


class FileEntry(TypedDict):
    """A `File` in the manifest."""

    path: str
    bytes: int
    sha256: str


class InputEntry(TypedDict):
    """A split of the input, the part that it became, and how many records were read from it."""

    part: int
    uri: str
    format: str
    start: int
    stop: int
    size: int
    stamp: str
    documents: int
    rejected: int


class ReasonCounts(TypedDict):
    """Documents that a reason dropped or set aside for review, and their tokens."""

    decision: str
    reason: str
    documents: int
    tokens: int


class Counts(TypedDict):
    """records = kept + dropped + review + rejected; `tokens` by decision, `sources` by source and
    decision; `repeated` (not in early versions): copies beyond the first of each document."""

    records: int
    kept: int
    dropped: int
    review: int
    rejected: int
    repeated: NotRequired[dict[str, int]]
    tokens: dict[str, int]
    reasons: list[ReasonCounts]
    sources: dict[str, dict[str, int]]


class ShardEntry(TypedDict):
    """A shard, its first token in training order, and the range of its learning rates."""

    path: str
    phase: str
    documents: int
    first_token: int
    tokens: int
    lr_min: float
    lr_max: float


class CurriculumEntry(TypedDict):
    """The keys of the recipe's curriculum (not all listed here), tokens and learning-rate mass."""

    schedule: dict[str, Any]
    tokens: int
    lr_mass_best_decile: float
    lr_mass_deciles: list[float]
    lr_mass_sources: dict[str, float]
    shards: list[ShardEntry]


class GuardTotals(TypedDict):
    """Tokens of real documents, each counted once, and the share of tokens under each guard."""

    real_tokens: int
    shares: dict[str, float]


class RunWarning(TypedDict):
    """A stable code, a message, and its numbers."""

    code: str
    message: str
    numbers: dict[str, float]


class Environment(TypedDict, total=False):
    """Where and when the run was made: all that may differ between runs with the same results."""

    python: str
    machine: str
    packages: dict[str, str]
    runner: str
    workers: int
    seconds: dict[str, float]
    finished: str


class Manifest(TypedDict):
    """`recipe` has every field set; `root` covers all files, `corpus_root` those in data/."""

    tamis: str
    recipe: dict[str, Any]
    tokenizer: TokenizerId | None
    fingerprint: str
    inputs: list[InputEntry]
    counts: Counts
    curriculum: CurriculumEntry
    guards: NotRequired[GuardTotals]  # not in manifests of early versions
    warnings: list[RunWarning]
    environment: Environment
    files: list[FileEntry]
    root: str
    corpus_root: str


def read_manifest(run: str) -> Manifest:
    """The manifest of a finished run. Raises FileNotFoundError for a run that is not finished."""
    uri = storage.join(run, MANIFEST)
    if not storage.exists(uri):
        raise FileNotFoundError(
            f"'{run}' has no {MANIFEST}: it is not a run, or not a finished one; run its command again to finish it"
        )
    manifest: Manifest = json.loads(storage.read_bytes(uri))
    return manifest


def write_manifest(run: str, manifest: Manifest) -> None:
    """Writes the manifest, which finishes the run."""
    storage.write_bytes(storage.join(run, MANIFEST), json.dumps(manifest, indent=1, ensure_ascii=False).encode())


def record_counts(counts: Counts) -> dict[str, int]:
    """The number of records, and how many were kept, dropped, set aside for review and rejected."""
    names = ("records", "kept", "dropped", "review", "rejected")
    return {name: counts[name] for name in names}  # type: ignore[literal-required]


def bytes_by_folder(manifest: Manifest) -> dict[str, int]:
    """Bytes of a run's files by the first component of their path."""
    sizes: Counter[str] = Counter()
    for file in manifest["files"]:
        sizes[file["path"].split("/", 1)[0]] += file["bytes"]
    return dict(sorted(sizes.items()))
