"""Keeps run directories from being read as input by accident.

Of a run that the input names, the shards of its current release are read, or those of the release
that it names; nothing of the run's own output; and a run that merely lies in an input folder is an
error.
"""

import os
import re
from collections.abc import Sequence
from functools import cache

from tamis.transforms import storage
from tamis.transforms.core.release import MANIFEST, RELEASES, Release, open_release, parse_name
from tamis.transforms.read.input_options import UnreadFile
from tamis.transforms.storage.uris import scheme_of

_NUMBERED = re.compile(rf"/{RELEASES}/(\d{{6,}})(/|$)")
_WILDCARD = re.compile(r"[*?\[]")


def release_paths(patterns: Sequence[str]) -> list[str]:
    """The patterns, with the folder of its shards for each that names a release as `RUN@41`."""
    paths = []
    for pattern in patterns:
        run, number = parse_name(pattern)
        known = number is not None and _is_run(_absolute(run))
        paths.append(open_release(pattern).uri("data") if known else pattern)
    return paths


def without_runs(
    entries: Sequence[storage.Entry], patterns: Sequence[str], own: str
) -> tuple[list[storage.Entry], list[UnreadFile]]:
    """The files to read, and those that are left out because they belong to a run. `own` is the
    output of this run. Raises ValueError for a run that no pattern names, FileNotFoundError for one
    without a release."""
    own = _absolute(own)
    prefixes = [_absolute(_fixed_prefix(pattern)) for pattern in patterns]
    kept: dict[str, storage.Entry] = {}
    left_out: list[UnreadFile] = []
    for entry in entries:
        uri = _absolute(entry.uri)
        run = _run_of(uri)
        if run is None:
            kept[entry.uri] = entry
        elif run == own:
            left_out.append(UnreadFile(entry.uri, "it is this run's own output"))
        elif not any(prefix == run or prefix.startswith(run.rstrip("/") + "/") for prefix in prefixes):
            raise ValueError(
                f"{run} is a run directory in a folder of the input. Leave it out, or name it to read its current release"
            )
        elif uri in _shards(run, tuple(prefixes)):
            kept.setdefault(uri, entry)
        else:
            left_out.append(UnreadFile(entry.uri, f"it is not a shard of the release of {run} that is read"))
    return list(kept.values()), left_out


@cache
def _shards(run: str, prefixes: tuple[str, ...]) -> frozenset[str]:
    """The shards of the releases of a run that the patterns name, else of its current one."""
    named = {int(match[1]) for prefix in prefixes if prefix.startswith(run) and (match := _NUMBERED.search(prefix + "/"))}
    releases: list[Release] = [open_release(f"{run}@{number}") for number in sorted(named)] or [open_release(run)]
    shards = (shard["path"] for release in releases for shard in release.manifest["curriculum"]["shards"])
    return frozenset(storage.join(run, path) for path in shards)


def _run_of(uri: str) -> str | None:
    """The run directory that a file lies in, if any."""
    folder = uri.rpartition("/")[0]
    while folder and not folder.endswith(":/"):
        if _is_run(folder):
            return folder
        folder = folder.rpartition("/")[0]
    return None


@cache
def _is_run(folder: str) -> bool:
    """Whether a folder is a run directory, finished or not. None is on the web or the Hub."""
    if scheme_of(folder) in ("http", "https", "hf"):
        return False
    if storage.exists(storage.join(folder, ".state", "plan.json")):
        return True
    if re.search(rf"/{RELEASES}/\d{{6,}}$", folder) or not storage.exists(storage.join(folder, MANIFEST)):
        return False
    manifest = storage.read_json(storage.join(folder, MANIFEST))
    return manifest is not None and {"tamis", "corpus_root", "fingerprint"} <= manifest.keys()


def _fixed_prefix(pattern: str) -> str:
    """The part of a pattern before its first wildcard, up to a folder."""
    wildcard = _WILDCARD.search(pattern)
    return pattern if wildcard is None else pattern[: wildcard.start()].rpartition("/")[0]


def _absolute(uri: str) -> str:
    """A URI that is the same for every way to name a file; links are followed."""
    path = storage.local_path(uri)
    return uri.rstrip("/") if path is None else os.path.realpath(path)
