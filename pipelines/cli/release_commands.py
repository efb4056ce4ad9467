"""The commands that list, keep and remove the releases of a run and their documents, such as pin and takedown."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import asdict
from typing import Annotated

import typer

from tamis.pipelines.cli.messages import Json, ReleaseName, RunDirectory, print_output, user_errors
from tamis.transforms.core.errors import RunError

app = typer.Typer()

_SHOWN = 20
"""Documents of a takedown that are listed; --json has all."""


@app.command()
def releases(run: RunDirectory, as_json: Json = False) -> None:
    """List the releases of a run: when, input added and removed, kept, size, the last failure."""
    with user_errors(as_json):
        from tamis.pipelines.releases.release_list import lines, release_list

        listed = release_list(run)
        print_output(listed.model_dump(mode="json"), lines(listed), as_json)


@app.command()
def rollback(release: ReleaseName) -> None:
    """Make an earlier release, RUN@N, the current one. No release is removed."""
    with user_errors(False):
        from tamis.pipelines.releases.retention import rollback as make_current

        run, number = _numbered(release)
        made = make_current(run, number)
        typer.echo(f"release {made.number} is the current one: {made.folder}")


@app.command()
def pin(
    release: ReleaseName,
    note: Annotated[str, typer.Option(help="Who needs it, and for what.")] = "",
    remove: Annotated[bool, typer.Option("--remove", help="Remove the pin.")] = False,
) -> None:
    """Keep a release, RUN@N, from being removed by output.retain or tamis clean."""
    with user_errors(False):
        from tamis.pipelines.releases import retention

        run, number = _numbered(release)
        if remove:
            retention.unpin(run, number)
            typer.echo(f"release {number} is not pinned")
        else:
            retention.pin(run, number, note)
            typer.echo(f"release {number} is pinned")


@app.command()
def clean(
    names: Annotated[list[str], typer.Argument(metavar="RUN[@N]", help="A run, and releases of it to remove.")],
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Only list what would be removed.")] = False,
    as_json: Json = False,
) -> None:
    """Remove what no release needs: parts, unfinished releases, and the releases that you name."""
    with user_errors(as_json):
        from tamis.pipelines.formatting import storage_size
        from tamis.pipelines.releases.retention import clean as remove
        from tamis.transforms.core.release import parse_name

        parsed = [parse_name(name) for name in names]
        runs = {run for run, _ in parsed}
        if len(runs) > 1:
            raise RunError(f"name releases of one run, not of {', '.join(sorted(runs))}")
        removals = remove(runs.pop(), [number for _, number in parsed if number is not None], dry_run)

        def lines() -> Iterable[str]:
            for removal in removals:
                yield f"{storage_size(removal.bytes):>10}  {removal.path}  ({removal.why})"
            verb = "would be removed" if dry_run else "removed"
            yield f"{storage_size(sum(removal.bytes for removal in removals))} {verb}"

        print_output([asdict(removal) for removal in removals], lines(), as_json)


@app.command()
def du(run: RunDirectory, as_json: Json = False) -> None:
    """Show the disk that each release, the parts and the caches of a run use."""
    with user_errors(as_json):
        from tamis.pipelines.formatting import storage_size
        from tamis.pipelines.releases.retention import disk_usage

        usage = disk_usage(run)

        def lines() -> Iterable[str]:
            for number, size in usage["releases"].items():
                yield f"{storage_size(size):>10}  release {number}, its own files"
            for name, size in usage["parts"].items():
                yield f"{storage_size(size):>10}  {name}/, shared by releases"
            if usage["parts_of_no_release"]:
                yield f"{storage_size(usage['parts_of_no_release']):>10}  of these in no release; see tamis clean {run}"
            for name, size in usage["other"].items():
                if size:
                    yield f"{storage_size(size):>10}  {name}/"
            yield f"{storage_size(usage['total']):>10}  in all"

        print_output(usage, lines(), as_json)


@app.command()
def dedup_index(
    recipe: Annotated[str, typer.Argument(metavar="RECIPE", help="The recipe whose `dedup.against` will name the index.")],
    input: Annotated[list[str], typer.Option("--input", "-i", help="Files, folders, globs, @lists, or a run.")],
    output: Annotated[str, typer.Option("--output", "-o", help="A new folder, a path or a URI in an object store.")],
    set_: Annotated[list[str], typer.Option("--set", metavar="a.b=c", help="Override a field of the recipe; repeatable.")] = [],  # noqa: B006
    workers: Annotated[int, typer.Option(min=0, help="Worker processes. 0: as many as pay.")] = 0,
    as_json: Json = False,
) -> None:
    """Make an index of any corpus, which dedup.against can name, as a recipe reads and compares it."""
    with user_errors(as_json):
        from tamis.pipelines.releases.index_corpus import index_corpus

        index = index_corpus(recipe, input, set_, output, workers)
        print_output(index.model_dump(mode="json"), [f"{index.documents:,} documents in {output}"], as_json)


@app.command()
def purge(
    run: RunDirectory,
    ids: Annotated[list[str], typer.Option(metavar="ID|@FILE", help="An id, or @ and a file of ids; repeatable.")] = [],  # noqa: B006
    host: Annotated[list[str], typer.Option(help="A host, with its subdomains; repeatable.")] = [],  # noqa: B006
    reason: Annotated[str, typer.Option(help="Why, for the log.")] = "",
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Only count the documents.")] = False,
    as_json: Json = False,
) -> None:
    """Remove documents from every release, part and cache, and keep them from coming back."""
    with user_errors(as_json):
        from tamis.pipelines.releases.purge import purge as remove

        listed = _listed(ids)
        if not listed and not host:
            raise RunError("name what to remove, with --ids or --host")
        result = remove(run, listed, host, reason, dry_run)

        def lines() -> Iterable[str]:
            verb = "would be purged" if dry_run else "purged"
            yield f"{result.documents:,} documents {verb}; the log is in {run}/releases/purges"
            for number, documents in result.releases.items():
                yield f"release {number}: {documents:,} rows removed from data/"

        print_output(asdict(result), lines(), as_json)


@app.command()
def takedown(
    release: ReleaseName,
    ids: Annotated[list[str] | None, typer.Argument(metavar="ID|@FILE", help="Ids, or @ and a file of ids.")] = None,
    host: Annotated[list[str], typer.Option(help="A host, with its subdomains; repeatable.")] = [],  # noqa: B006
    near: Annotated[list[str], typer.Option(metavar="TEXT|@FILE", help="A text that documents are near to; repeatable.")] = [],  # noqa: B006
    parent: Annotated[str, typer.Option(help="The field in which a document names the one it was made of.")] = "",
    reason: Annotated[str, typer.Option(help="Why, for the manifest and the decisions.")] = "",
    erase: Annotated[bool, typer.Option("--purge", help="Erase them from all releases and parts, too.")] = False,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Only list the documents.")] = False,
    as_json: Json = False,
) -> None:
    """Make a patch release without some documents, their copies and what was made of them."""
    with user_errors(as_json):
        from tamis.pipelines.formatting import plural
        from tamis.pipelines.releases.take_down import take_down
        from tamis.pipelines.releases.taken_documents import Request
        from tamis.transforms import storage

        texts = [storage.read_bytes(text[1:]).decode() if text.startswith("@") else text for text in near]
        request = Request(_listed(ids or []), host, texts, parent)
        if not (request.ids or request.hosts or request.texts):
            raise RunError("name what to take down: ids, --host or --near")
        result = take_down(release, request, reason, dry_run, erase)

        def lines() -> Iterable[str]:
            for document in result.documents[:_SHOWN]:
                yield f"{document.id}  {document.decision}  {document.cause}"
            if len(result.documents) > _SHOWN:
                yield f"and {len(result.documents) - _SHOWN:,} more"
            if result.release is None:
                yield f"{plural(len(result.documents), 'document')} would be taken down from release {result.patched}"
                return
            removed = f"{plural(result.rows, 'row')} removed from {plural(result.shards, 'shard')}"
            yield f"{plural(len(result.documents), 'document')} taken down, {removed}"
            yield f"release {result.release}, a patch of release {result.patched}, is the current one"

        print_output(asdict(result), lines(), as_json)


def _listed(ids: Sequence[str]) -> list[str]:
    """Ids, and those in the files that are named with an @, one a line."""
    from tamis.transforms import storage

    return [
        line
        for entry in ids
        for line in (storage.read_bytes(entry[1:]).decode().splitlines() if entry.startswith("@") else [entry])
        if line.strip()
    ]


def _numbered(name: str) -> tuple[str, int]:
    """Run and number of `RUN@41`. Raises RunError without a number."""
    from tamis.transforms.core.release import parse_name

    run, number = parse_name(name)
    if number is None:
        raise RunError(f"name a release by its number, as {name}@1; tamis releases {name} lists them")
    return run, number
