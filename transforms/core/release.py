"""A release: one finished, immutable result of a run, opened as `RUN` or, by number, as `RUN@41`.

RUN/manifest.json               the manifest of the current release
RUN/releases/000041/            the files of release 41: manifest, data/, decisions/, report, plan
RUN/releases/000041.json        its record: without it, the release is not finished
RUN/rated/, sketches/, rejects/ the parts, which releases share

Early versions kept the files of their only release in RUN itself. They are opened like any other.
"""

import json
import re
from dataclasses import dataclass
from typing import cast

from tamis.transforms import storage
from tamis.transforms.core.errors import RunError
from tamis.transforms.core.manifest import Manifest
from tamis.transforms.core.parts import Part

MANIFEST = "manifest.json"
RELEASES = "releases"
LATEST = "latest"
"""A link to the folder of the current release, on file systems that have links."""

HISTORY_FILES = ("metrics.prom", RELEASES, LATEST)
"""What differs between run directories with identical results."""

MARKS = "marks.jsonl"
"""What a person says of decisions, in `tamis view`."""

UNCOVERED_FILES = (".state", ".spill", ".progress", ".feed", ".mend", ".lease", "metrics.prom", "plans", "columns", MARKS)
"""Work in progress, caches, locks, plans for other schedules and marks: no release contains them."""

EARLY_FILES = ("report.html", "plan.json", "data", "decisions")
"""Files of a release of an early version."""

LISTS = ("takedown.json", "tombstones.parquet")
"""The documents that were purged, and those that were taken down."""

RUN_FILES = (MANIFEST, RELEASES, LATEST, *LISTS, "rated", "sketches", "rejects", "dedup-index", *EARLY_FILES, *UNCOVERED_FILES)
"""Everything that a run directory may hold."""

_NUMBERED = re.compile(r"(?P<run>.+)@(?P<number>\d+)/?")


@dataclass(frozen=True)
class Release:
    """Release `number` of `run`. `folder` holds its files."""

    run: str
    number: int
    folder: str
    manifest: Manifest

    def uri(self, *path: str) -> str:
        """The URI of a file below the release's folder."""
        return storage.join(self.folder, *path)

    def path(self, path: str) -> str:
        """The path in the run directory of a file below the release's folder."""
        return path if self.is_early else f"{RELEASES}/{self.number:06d}/{path}"

    @property
    def manifest_uri(self) -> str:
        """The release's own copy of its manifest."""
        return storage.join(release_folder(self.run, self.number), MANIFEST)

    @property
    def receipts(self) -> str:
        """The folder of the receipts and summaries."""
        return self.uri(".state" if self.is_early else "receipts")

    @property
    def is_early(self) -> bool:
        """Whether an early version made it, with its files in the run directory itself."""
        return "release" not in self.manifest

    def part(self, ordinal: int) -> Part:
        """The rated part with this ordinal."""
        name = f"part-{ordinal:05d}" if self.is_early else self.manifest["parts"][ordinal]
        return Part(self.run, name, ordinal)


def open_release(name: str) -> Release:
    """The release `name`: `RUN`, the current one, or `RUN@41`. Raises FileNotFoundError if there is
    none, and RunError if its manifest is damaged."""
    run, number = parse_name(name)
    uri = storage.join(run, MANIFEST)
    if number is None:
        if not storage.exists(uri):
            raise FileNotFoundError(
                f"'{run}' has no {MANIFEST}: it is not a run, or has no release yet; run its command again to finish it"
            )
        return _open(run, None, uri)
    sealed = numbers(run)
    if number not in sealed:
        others = f"it has {', '.join(map(str, sealed[-10:]))}" if sealed else "it has none"
        raise FileNotFoundError(f"'{run}' has no release {number}; {others}")
    numbered = storage.join(release_folder(run, number), MANIFEST)
    if not storage.exists(numbered) and storage.exists(uri):  # an early version's, before the next run copies it
        current = _open(run, None, uri)
        if current.is_early and current.number == number:
            return current
    if not storage.exists(numbered):
        raise FileNotFoundError(f"the files of release {number} of '{run}' are gone; `tamis releases {run}` says why")
    return _open(run, number, numbered)


def parse_name(name: str) -> tuple[str, int | None]:
    """(run directory, number) of `RUN@41`; (run directory, None) of `RUN`."""
    match = _NUMBERED.fullmatch(name)
    path = storage.local_path(name)
    if match is None or (path is not None and path.exists()):
        return name, None
    return match["run"], int(match["number"])


def numbers(run: str) -> list[int]:
    """The numbers of all releases that were ever finished, by their records."""
    names = storage.names(storage.join(run, RELEASES))
    return sorted(int(name.removesuffix(".json")) for name in names if re.fullmatch(r"\d{6,}\.json", name))


def release_folder(run: str, number: int) -> str:
    """The folder that holds the files of a release."""
    return storage.join(run, RELEASES, f"{number:06d}")


def from_manifest(run: str, number: int | None, content: bytes, uri: str) -> Release:
    """The release of `run` whose manifest, the file `uri`, has the bytes `content`. Raises RunError
    if they are damaged, or of another release than `number`."""
    try:
        loaded = json.loads(content)
        if not isinstance(loaded, dict) or not {"files", "counts", "recipe", "fingerprint"} <= loaded.keys():
            raise ValueError("it is not a manifest")
        own = loaded.get("release")
        if not isinstance(own, int | None) or ("root" if own is None else "release_root") not in loaded:
            raise ValueError("it is not a manifest")
        if own is not None and number and number != own:
            raise ValueError(f"it says that it is of release {own}")
    except ValueError as error:
        raise RunError(f"{uri} is damaged ({error}); the next `tamis run` restores it") from None
    manifest = cast(Manifest, loaded)
    if own is None:
        return Release(run, max(numbers(run), default=1) if number is None else number, run, manifest)
    return Release(run, own, release_folder(run, own), manifest)


def _open(run: str, number: int | None, uri: str) -> Release:
    return from_manifest(run, number, storage.read_bytes(uri), uri)
