"""Opens the indices that `dedup.against` names, and those that they name in turn."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from tamis.transforms import storage
from tamis.transforms.core.errors import RunError
from tamis.transforms.core.release import open_release
from tamis.transforms.dedup.released.index_files import FILE, FOLDER, VERSION, IndexFile, Segment

_OF_RELEASE = re.compile(rf"(?P<run>.+)[/\\]releases[/\\](?P<number>\d{{6,}})[/\\]{FOLDER}")


def open_indices(names: Sequence[str], near: Mapping[str, Any] | None) -> tuple[Segment, ...]:
    """The indices of releases (`RUN`, `RUN@41`) or in folders, each followed by those before it, and
    each once. `near`: the settings with which near copies are looked for; None if they are not.
    Raises RunError if an index is missing, or cannot be used with these settings."""
    segments: dict[str, Segment] = {}
    for name in names:
        folder = _folder(name)
        for segment in _with_those_before(folder, _read(folder, name)):
            _check(segment, near)
            segments.setdefault(_absolute(segment.folder), segment)
    return tuple(segments.values())


def from_folder(folder: str, other: str) -> str:
    """How an index in `folder` names the index in the folder `other`: by the way there, where both
    are on a disk."""
    if storage.local_path(folder) is None or storage.local_path(other) is None:
        return other
    return os.path.relpath(_absolute(other), _absolute(folder))


def to_folder(folder: str, path: str) -> str:
    """The folder that an index in `folder` names by `path`, as `from_folder` made it."""
    if storage.local_path(path) is None:
        return path
    joined = storage.join(folder, path)
    return joined if storage.local_path(folder) is None else os.path.normpath(joined)


def _folder(name: str) -> str:
    if storage.exists(storage.join(name, FILE)):
        return name
    try:
        release = open_release(name)
    except FileNotFoundError as error:
        earlier = storage.join(name, FOLDER)
        if storage.exists(storage.join(earlier, FILE)):
            return earlier  # of a run that brought nothing new
        raise RunError(f"dedup.against: neither a folder with an {FILE} nor a release: {error}") from None
    if not storage.exists(release.uri(FOLDER, FILE)):
        raise RunError(
            f"dedup.against: release {release.number} of '{release.run}' has no {FOLDER}. Run it with `dedup.index: true`, or "
            "make an index of its corpus with `tamis dedup-index`"
        )
    return release.uri(FOLDER)


def _with_those_before(folder: str, index: IndexFile) -> Iterator[Segment]:
    yield _segment(folder, index)
    for path in index.before:
        earlier = to_folder(folder, path)
        yield _segment(earlier, _read(earlier, f"the index of {_shown(folder)}"))


def _segment(folder: str, index: IndexFile) -> Segment:
    return Segment(folder, index, tuple(_shown(to_folder(folder, path)) for path in index.releases))


def _read(folder: str, named_by: str) -> IndexFile:
    uri = storage.join(folder, FILE)
    index = IndexFile.read(uri)
    if index is None:
        state = "damaged" if storage.exists(uri) else "missing"
        raise RunError(f"dedup.against: {uri} is {state}, which {named_by} needs: restore it from a copy")
    if index.version != VERSION:
        raise RunError(
            f"dedup.against: {uri} has version {index.version} of the files of an index, and this Tamis reads {VERSION}"
        )
    return index


def _check(segment: Segment, near: Mapping[str, Any] | None) -> None:
    """Raises RunError if near copies are looked for, and the bands or shingles are others."""
    own = segment.index.near
    if near is None or own == near:
        return
    if own is None:
        raise RunError(
            f"dedup.against: the index of {segment.name} is of equal texts alone, and this recipe has `dedup.minhash`: make "
            "that index with the same `dedup.minhash`, or take it out of this recipe"
        )
    names = [name for name in {**near, **own} if near.get(name) != own.get(name)]
    differ = ", ".join(f"{name} {near.get(name)!r} here and {own.get(name)!r} there" for name in names)
    raise RunError(
        f"dedup.against: near copies are compared by what the index of {segment.name} was not made with ({differ}): set "
        "`dedup.minhash` and `words` as they were there, or make that index again"
    )


def _shown(folder: str) -> str:
    """What messages call the index in a folder: RUN@41 if it is of a release."""
    match = _OF_RELEASE.fullmatch(folder.rstrip("/"))
    return f"{match['run']}@{int(match['number'])}" if match else folder


def _absolute(folder: str) -> str:
    return os.path.abspath(folder.removeprefix("file://")) if storage.local_path(folder) is not None else folder
