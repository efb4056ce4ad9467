"""`tamis releases`: the releases of a run, and why the last attempt at the next one failed."""

from collections.abc import Iterator

from pydantic import BaseModel

from tamis.pipelines.formatting import storage_size
from tamis.pipelines.releases.retention import is_pinned
from tamis.pipelines.run import progress
from tamis.pipelines.run.work_plan import current_release
from tamis.transforms.provenance import release_chain
from tamis.transforms.provenance.verify import is_removed


class ListedRelease(BaseModel):
    """A release: input files added and removed since the one before, documents, bytes; the release that
    it is a patch of."""

    release: int
    finished: str | None
    files_added: int
    files_removed: int
    records: int
    kept: int
    bytes: int | None
    corpus_root: str
    patch_of: int | None
    current: bool
    pinned: bool
    removed: bool


class ReleaseList(BaseModel):
    """The releases, oldest first. `last_failure`: why the attempt after them failed, if it did."""

    run: str
    releases: list[ListedRelease]
    last_failure: str | None


def release_list(run: str) -> ReleaseList:
    """The releases of a run. It need not exist."""
    current, attempt = current_release(run), progress.read_attempt(run)
    releases = [
        ListedRelease(
            release=record.release,
            finished=record.finished,
            files_added=len({uri for uri, _ in record.added}),
            files_removed=len({uri for uri, _ in record.removed}),
            records=record.records,
            kept=record.kept,
            bytes=record.bytes,
            corpus_root=record.corpus_root,
            patch_of=record.patch_of,
            current=current is not None and current.number == record.release,
            pinned=is_pinned(run, record.release),
            removed=is_removed(run, record.release),
        )
        for record in release_chain.records(run)
    ]
    failure = None if attempt is None else attempt.error or "it was interrupted, or is going on"
    return ReleaseList(run=run, releases=releases, last_failure=failure)


def lines(listed: ReleaseList) -> Iterator[str]:
    """The list as text."""
    if not listed.releases:
        yield f"{listed.run} has no release yet"
    else:
        yield f"{'release':>7}  {'finished':<20}  {'input files':<14}  {'kept':>13}  {'of records':>13}  {'size':>9}"
    for row in listed.releases:
        notes = [f"patch of {row.patch_of}"] if row.patch_of is not None else []
        notes += [name for name in ("current", "pinned", "removed") if getattr(row, name)]
        changes = f"+{row.files_added:,} -{row.files_removed:,}"
        size = "" if row.bytes is None else storage_size(row.bytes)
        line = f"{row.release:>7}  {row.finished or '':<20}  {changes:<14}  {row.kept:>13,}  {row.records:>13,}  {size:>9}"
        yield f"{line}  {', '.join(notes)}".rstrip()
    if listed.last_failure:
        yield f"the last attempt made no release: {listed.last_failure.splitlines()[0]}"
