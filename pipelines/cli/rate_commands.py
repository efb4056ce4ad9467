"""The commands about scores: `tamis rate calibrate` and others."""

from __future__ import annotations

from typing import Annotated

import typer

from tamis.pipelines.cli.messages import Json, print_output, user_errors
from tamis.transforms.core.errors import RunError

app = typer.Typer(help="Scores of documents: calibrate them, learn how to combine them, and check what they measure.")

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


def _one_of(option: str, value: str, choices: tuple[str, ...]) -> None:
    if value not in choices:
        raise RunError(f"{option} is {' or '.join(filter(None, choices))}, not '{value}'")
