"""The commands about benchmark items in a corpus, such as `tamis contamination gain`."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import asdict
from typing import Annotated

import typer

from tamis.pipelines.cli.messages import Json, print_output, user_errors

app = typer.Typer(help="Benchmark items in a corpus: which benchmarks there are, rephrased items, what they change.")


@app.command()
def benchmarks(as_json: Json = False) -> None:
    """List the benchmarks that a recipe can name, and their groups."""
    with user_errors(as_json):
        from tamis.transforms.decontaminate.benchmark_registry import entries, groups

        def lines() -> Iterable[str]:
            for name, entry in entries().items():
                files = f"hub: {entry['hub']}" if "hub" in entry else "needs a path"
                yield f"{name:<14} {entry['kind']:<13} {entry['version']:<15} {entry['licence']:<38} {files}"
            for name, members in groups().items():
                yield f"{name:<14} group: {', '.join(members)}" if name != "all" else f"{name:<14} group: all of them"

        print_output({"benchmarks": entries(), "groups": groups()}, lines(), as_json)


@app.command()
def gain(
    scores: Annotated[str, typer.Argument(metavar="SCORES", help="A table of items and their scores: columns item, score.")],
    correct: Annotated[str, typer.Argument(metavar="CORRECT", help="A table of a model's results: columns item, correct.")],
    score: Annotated[str, typer.Option(help="The column of the scores.")] = "score",
    threshold: Annotated[
        list[float], typer.Option(help="Items from this score on count as contaminated; repeatable. Default: 0.05, 0.1, … 1.")
    ] = [],  # noqa: B006
    as_json: Json = False,
) -> None:
    """Show how much better a model is on contaminated items: the gain and Z over a sweep of thresholds.

    Either table may have a column benchmark, and is .jsonl, .csv, .tsv or .parquet.
    """
    with user_errors(as_json):
        from tamis.pipelines.contamination.gain_of_files import gains, lines
        from tamis.transforms.decontaminate.performance_gain import THRESHOLDS

        found = gains(scores, correct, score, threshold or THRESHOLDS)
        print_output([asdict(each) for each in found], lines(found), as_json)
