"""The commands that ask releases questions, compare them and show them: query, diff and view."""

from __future__ import annotations

import re
import sys
from dataclasses import asdict
from pathlib import Path
from typing import Annotated

import typer

from tamis.pipelines.cli.messages import PROBLEM, Json, ReleaseName, print_json, user_errors
from tamis.transforms.core.errors import RunError

app = typer.Typer()


@app.command()
def query(
    run: ReleaseName,
    question: Annotated[str, typer.Argument(metavar="SQL", help="One SELECT; without it, the tables and their columns.")] = "",
    format: Annotated[str, typer.Option(help="csv, json (an object in each line) or parquet, instead of a table.")] = "",
    output: Annotated[
        str, typer.Option("--output", "-o", help="Write a file instead, whose suffix says the format, too.")
    ] = "",
) -> None:
    """Ask a question in SQL about the documents of a release, its signals, texts, cuts, rejects."""
    with user_errors(False):
        from rich.console import Console

        from tamis.pipelines.cli.questions.print_table import print_table
        from tamis.pipelines.lookup.answer_files import FORMATS, write_answer
        from tamis.pipelines.lookup.release_tables import ask, connect, tables_of
        from tamis.transforms import storage
        from tamis.transforms.core.release import open_release

        format = format or Path(output).suffix.removeprefix(".")
        known = next((name for name in FORMATS if name == format), None)
        if known is None and (format or output):
            raise RunError(f"no format '{format}': it is csv, json or parquet")
        if known == "parquet" and not output:
            raise RunError("Parquet is not for a terminal: name a file with --output")
        # Closed before this process ends: its threads read files by functions of Python.
        with connect(open_release(run)) as connection:
            if not question:
                for table, columns in tables_of(connection).items():
                    typer.echo(f"{table}: {', '.join(columns)}")
                return
            answer = ask(connection, question)
        if known is None:
            print_table(answer, Console(highlight=False))
        elif output:
            with storage.commit(output) as sink:
                write_answer(answer, sink, known)
            typer.echo(f"{answer.num_rows:,} rows in {output}")
        else:
            write_answer(answer, sys.stdout.buffer, known)


@app.command()
def view(
    run: ReleaseName,
    marks: Annotated[
        str, typer.Option(metavar="FILE", help="Where your marks of right and wrong are kept. Default: marks.jsonl in the run.")
    ] = "",
    port: Annotated[int, typer.Option(min=0, max=65535, help="0: one that is free.")] = 0,
    open_page: Annotated[bool, typer.Option("--open", help="Open the page in the browser, too.")] = False,
) -> None:
    """Read the documents of a release in a browser, see why each was kept or dropped, and mark what is wrong.

    Serves this machine alone until it is interrupted, and prints the address of the page.
    """
    with user_errors(False):
        from tamis.pipelines.view.marks import Marks
        from tamis.pipelines.view.server import listen, serve
        from tamis.transforms import storage
        from tamis.transforms.core.release import MARKS, open_release

        release = open_release(run)

        def announce(address: str) -> None:
            typer.echo(f"{address}\nIt is for you alone: the token lets whoever has it read the release. Ctrl-C ends it.")
            if open_page:
                typer.launch(address)

        serve(release, Marks(marks or storage.join(release.run, MARKS)), listen(port), announce)


@app.command()
def diff(
    before: Annotated[str, typer.Argument(metavar="RUN[@N]", help="A run: its current release, or release N of it.")],
    after: Annotated[str, typer.Argument(metavar="RUN[@N]", help="The release to compare with it, of any run.")],
    number: Annotated[int, typer.Option("-n", min=0, help="How many texts to show of those that flipped, each way.")] = 3,
    seed: Annotated[int, typer.Option(min=0, help="Another number shows others.")] = 0,
    max_flips: Annotated[
        str, typer.Option(metavar="N|P%", help="Exit with 1 if more documents flip, or a larger share of those in both.")
    ] = "",
    as_json: Json = False,
) -> None:
    """Compare two releases: documents that are no longer kept, or now are, by reason; shifts; order."""
    with user_errors(as_json):
        limit = re.fullmatch(r"(?P<value>\d+(?:\.\d+)?)(?P<percent>%?)", max_flips)
        if max_flips and (limit is None or (not limit["percent"] and "." in limit["value"])):
            raise typer.BadParameter(f"'{max_flips}' is no number of documents, such as 100, or share, such as 0.5%")
        from tamis.pipelines.cli.questions.print_table import cell
        from tamis.pipelines.releases.diff_lines import lines, sample_lines
        from tamis.pipelines.releases.release_diff import release_diff
        from tamis.transforms.core.release import open_release

        found = release_diff(open_release(before), open_release(after), number, seed)
        if as_json:
            print_json(asdict(found) | {"flipped": found.flipped})
        else:
            for line in lines(found):
                typer.echo(cell(line))
            for document in found.samples:
                typer.echo("")
                for line in sample_lines(document):
                    typer.echo(cell(line))
        if limit is not None:
            allowed = float(limit["value"]) * (found.counts.both / 100 if limit["percent"] else 1)
            if found.flipped > allowed:
                typer.secho(f"{found.flipped:,} documents flipped, more than --max-flips {max_flips}", fg="red", err=True)
                raise typer.Exit(PROBLEM)
