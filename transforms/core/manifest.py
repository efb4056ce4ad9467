"""The manifest of a release: recipe, counts, and every file with its checksum."""

import re
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, NamedTuple, NotRequired, Self, TypedDict

from tamis.transforms import storage
from tamis.transforms.text.tokenizer import TokenizerId


@dataclass(frozen=True)
class File:
    """A finished file, `path` relative to the run directory, or to the folder of a release."""

    path: str
    bytes: int
    sha256: str

    @classmethod
    def read(cls, folder: str, path: str) -> Self:
        """The file `path` below `folder`. Reads all its bytes."""
        uri = storage.join(folder, path)
        return cls(path, storage.entry(uri).size, storage.sha256(uri))


class FileEntry(TypedDict):
    """A `File` in the manifest."""

    path: str
    bytes: int
    sha256: str


class InputEntry(TypedDict):
    """A split of the input, the ordinals of the parts that hold it (in early versions one `part`),
    and how many records were read from it."""

    parts: list[int]
    uri: str
    format: str
    start: int
    stop: int
    size: int
    stamp: str
    documents: int
    rejected: int
    estimated: NotRequired[int]
    skipped: NotRequired[int]


class UnreadEntry(TypedDict):
    """A file in the input that was not read, and why."""

    uri: str
    reason: str


class ReasonCounts(TypedDict):
    """Documents that a reason dropped or set aside for review, and their tokens."""

    decision: str
    reason: str
    documents: int
    tokens: int


class EditEntry(TypedDict):
    """What an editor did: documents changed, characters removed and inserted, in all and by reason."""

    documents: int
    removed: int
    inserted: int
    reasons: dict[str, dict[str, int]]


class CutEntry(TypedDict):
    """The documents out of which a reason cut something, and the characters of that."""

    documents: int
    characters: int


class CharacterCounts(TypedDict):
    """rated = read - removed + inserted, by editor; rated = cut + kept + dropped + review, each
    document as it ends. `emitted`: characters of the text in the shards = kept + `repeated`, which
    are those of copies beyond the first."""

    read: int
    editors: dict[str, EditEntry]
    rated: int
    cut: dict[str, CutEntry]
    kept: int
    dropped: int
    review: int
    repeated: int
    emitted: int


class Counts(TypedDict):
    """records = kept + dropped + review + rejected + skipped; `tokens` by decision, `sources` by
    source and decision; `repeated`: copies beyond the first of each document; `skipped_reasons`:
    records that are no documents on purpose. Early versions do not have the last three, and no
    `characters`."""

    records: int
    kept: int
    dropped: int
    review: int
    rejected: int
    estimated: NotRequired[int]
    skipped: NotRequired[int]
    skipped_reasons: NotRequired[dict[str, int]]
    repeated: NotRequired[dict[str, int]]
    characters: NotRequired[CharacterCounts]
    tokens: dict[str, int]
    reasons: list[ReasonCounts]
    sources: dict[str, dict[str, int]]


class ShardEntry(TypedDict):
    """A shard, its first token in training order, and the range of its learning rates. In a patch,
    `taken_documents` and `taken_tokens` are those of its gaps (`feed/gaps.py`)."""

    path: str
    phase: str
    documents: int
    taken_documents: NotRequired[int]
    first_token: int
    tokens: int
    taken_tokens: NotRequired[int]
    lr_min: float
    lr_max: float


class PatchEntry(TypedDict):
    """What makes a release a patch: it is release `of` without `documents` documents, which were taken
    down for the `causes` (documents by kind of cause) and the `reason` given. `corpora`: the
    corpus_root of that release, and of those that it patches itself."""

    of: int
    corpora: list[str]
    documents: int
    causes: dict[str, int]
    reason: str


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
    """`recipe` has every field set. Paths are relative to the run directory. `parts` are the names
    of the rated parts by ordinal. `corpus_root` covers the files in data/, by their paths below the
    release; `release_root` every file but the manifest. `patch`: only of a patch. Manifests of early
    versions have no `release`, `parts` and `release_root`; their `root` covers every file but the report."""

    tamis: str
    release: NotRequired[int]
    patch: NotRequired[PatchEntry]
    recipe: dict[str, Any]
    tokenizer: TokenizerId | None
    fingerprint: str
    parts: NotRequired[list[str]]
    inputs: list[InputEntry]
    unread: NotRequired[list[UnreadEntry]]
    counts: Counts
    curriculum: CurriculumEntry
    guards: NotRequired[GuardTotals]  # not in manifests of early versions
    warnings: list[RunWarning]
    environment: Environment
    files: list[FileEntry]
    release_root: NotRequired[str]
    root: NotRequired[str]
    corpus_root: str


class CharacterRow(NamedTuple):
    """What a step did to the characters of all documents: how many it removed and inserted, or how
    many there were then. `detail`: whether the row above has it, too."""

    name: str
    removed: int = 0
    inserted: int = 0
    total: int | None = None
    detail: bool = False


def character_rows(counts: Counts) -> list[CharacterRow]:
    """The way of the characters from the text as it was read to the corpus: by editor and reason, by
    cut, by decision. Empty if no text was changed."""
    characters = counts.get("characters")
    if characters is None or not (characters["editors"] or characters["cut"]):
        return []
    rows = [CharacterRow("read", total=characters["read"])]
    for name, editor in characters["editors"].items():
        rows.append(CharacterRow(name, editor["removed"], editor["inserted"]))
        reasons = sorted(editor["reasons"].items(), key=lambda item: (-item[1]["removed"], item[0]))
        rows += (CharacterRow(reason, each["removed"], each["inserted"], detail=True) for reason, each in reasons)
    rows.append(CharacterRow("rated", total=characters["rated"]))
    rows += (CharacterRow(f"cut: {reason}", cut["characters"]) for reason, cut in characters["cut"].items())
    left = {"dropped": characters["dropped"], "review": characters["review"]}
    rows += (CharacterRow(name, count) for name, count in left.items() if count)
    return [*rows, CharacterRow("kept", total=characters["kept"])]


def shard_places(shard: Mapping[str, Any]) -> tuple[int, int]:
    """The documents and tokens of a shard with those that were taken down: the places that it has in
    training order."""
    return shard["documents"] + shard.get("taken_documents", 0), shard["tokens"] + shard.get("taken_tokens", 0)


_RELEASE_FOLDER = re.compile(r"releases/\d{6,}/")


def release_path(path: str) -> str:
    """A path of a manifest without the folder of its release, as `data/phase-1/shard-00000.parquet`."""
    return _RELEASE_FOLDER.sub("", path, count=1)


def record_counts(counts: Counts) -> dict[str, int]:
    """The number of records, and how many were kept, dropped, set aside for review, rejected, and
    skipped on purpose."""
    names = ("records", "kept", "dropped", "review", "rejected")
    by_decision: dict[str, int] = {name: counts[name] for name in names}  # type: ignore[literal-required]
    return by_decision | {"skipped": counts.get("skipped", 0)}


def bytes_by_folder(manifest: Manifest) -> dict[str, int]:
    """Bytes of a release's files by the first component of their path."""
    sizes: Counter[str] = Counter()
    for file in manifest["files"]:
        sizes[release_path(file["path"]).split("/", 1)[0]] += file["bytes"]
    return dict(sorted(sizes.items()))
