"""The commands that ask releases questions in SQL, such as query."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated

import typer

from tamis.pipelines.cli.messages import ReleaseName, user_errors
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
        connection = connect(open_release(run))
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
