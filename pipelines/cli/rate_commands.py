"""The commands about scores of documents: `tamis rate thresholds`."""

from __future__ import annotations

from dataclasses import asdict
from typing import Annotated

import typer

from tamis.pipelines.cli.messages import PROBLEM, Json, print_output, user_errors

app = typer.Typer(help="Scores of documents: choose limits for them.", no_args_is_help=True)


@app.callback()
def options() -> None:
    """A callback, so that a group of one command stays a group."""


@app.command()
def thresholds(
    labels: Annotated[
        str, typer.Argument(metavar="LABELS", help="A file with a score and a label of each document, and its language.")
    ],
    signal: Annotated[
        str, typer.Option(help="The signal that the recipe's limits are for. Default: the column of the scores.")
    ] = "",
    score: Annotated[str, typer.Option(help="The column of the scores.")] = "score",
    label: Annotated[str, typer.Option(help="The column of the labels: true or false, or 1 or 0.")] = "label",
    language: Annotated[str, typer.Option(help="The column of the languages. Default: one threshold for all documents.")] = "",
    beta: Annotated[float, typer.Option(min=0.0, help="β of the F that is maximised; below 1 precision counts more.")] = 0.1,
    precision: Annotated[float, typer.Option(min=0, max=1, help="The lowest precision.")] = 0.9,
    recall: Annotated[float, typer.Option(min=0, max=1, help="The lowest recall.")] = 0.1,
    as_json: Json = False,
) -> None:
    """Choose the limit of a score from labelled documents, for each language, and print it as a part of a recipe.

    Exits with 1 if a language has no threshold that is precise enough. LABELS is .jsonl, .csv, .tsv or .parquet.
    """
    with user_errors(as_json):
        from tamis.pipelines.languages.label_thresholds import Goal, choices, lines

        found = choices(labels, score, label, language, Goal(beta, precision, recall))
        print_output([asdict(each) for each in found], lines(found, signal or score), as_json)
        if any(each.min is None for each in found):
            raise typer.Exit(PROBLEM)
