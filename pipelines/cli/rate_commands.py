"""The commands about scores of documents: `tamis rate calibrate`, `tamis rate thresholds` and others."""

from __future__ import annotations

from dataclasses import asdict
from typing import Annotated

import typer

from tamis.pipelines.cli.messages import PROBLEM, Json, print_output, user_errors
from tamis.transforms.core.errors import RunError

app = typer.Typer(
    help="Scores of documents: calibrate them, learn how to combine them, choose limits, and check what they measure.",
    no_args_is_help=True,
)

Sources = Annotated[
    list[str], typer.Argument(metavar="RUN|FILE...", help="A run, RUN[@N], or files with a row for each document.")
]
Signals = Annotated[list[str], typer.Option("--signal", help="The name of a signal, or of a column of the files; repeatable.")]
Decision = Annotated[str, typer.Option(help="Only documents of the run with this decision: keep, drop or review.")]


@app.command()
def calibrate(
    sources: Sources,
    signal: Signals,
    output: Annotated[str, typer.Option("--output", "-o", help="The file that a recipe names: NAME.json.")],
    method: Annotated[str, typer.Option(help="ecdf, logit (of probabilities), platt or isotonic (with labels).")] = "ecdf",
    labels: Annotated[str, typer.Option(help="A file with columns id and label, 0 (bad) to 1 (good).")] = "",
    better: Annotated[str, typer.Option(help="Which values are better: up or down. Default: as the rater declares.")] = "",
    decision: Decision = "",
    as_json: Json = False,
) -> None:
    """Fit what makes scores from 0 to 1 of the values of signals, on a reference set, and write it to a file."""
    with user_errors(as_json):
        from tamis.pipelines.quality.calibrate_signals import fit_calibrations, lines, write_calibrations

        _one_of("--method", method, ("ecdf", "logit", "platt", "isotonic"))
        _one_of("--better", better, ("", "up", "down"))
        if method in ("platt", "isotonic") and not labels:
            raise RunError(f"--method {method} needs --labels")
        if method in ("ecdf", "logit") and labels:
            raise RunError(f"--method {method} takes no labels; platt and isotonic do")
        file = fit_calibrations(sources, signal, method, labels, better, decision)  # type: ignore[arg-type]
        write_calibrations(file, output)
        print_output({"output": output, **file.model_dump(mode="json")}, lines(file), as_json)


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


def _one_of(option: str, value: str, choices: tuple[str, ...]) -> None:
    if value not in choices:
        raise RunError(f"{option} is {' or '.join(filter(None, choices))}, not '{value}'")
