"""The commands about raters and their scores, such as `tamis rate train`."""

from __future__ import annotations

from dataclasses import asdict
from typing import Annotated, Any, cast

import typer

from tamis.pipelines.cli.messages import PROBLEM, Json, print_output, user_errors
from tamis.transforms import storage
from tamis.transforms.core.errors import RunError

app = typer.Typer(
    help="Raters and their scores: train one, calibrate, learn how to combine, choose limits, check what they measure.",
    no_args_is_help=True,
)

Sources = Annotated[
    list[str], typer.Argument(metavar="RUN|FILE...", help="A run, RUN[@N], or files with a row for each document.")
]
Signals = Annotated[list[str], typer.Option("--signal", help="The name of a signal, or of a column of the files; repeatable.")]
Decision = Annotated[str, typer.Option(help="Only documents of the run with this decision: keep, drop or review.")]


@app.command()
def train(
    output: Annotated[str, typer.Option("--output", "-o", help="The model to write: .safetensors, or .bin for fastText.")],
    positive: Annotated[
        list[str], typer.Option(help="Files of good documents, or with --run a condition, as for sample --where; repeatable.")
    ] = [],  # noqa: B006
    negative: Annotated[list[str], typer.Option(help="The same for bad documents; repeatable.")] = [],  # noqa: B006
    run: Annotated[str, typer.Option(metavar="RUN[@N]", help="Take the documents of a release.")] = "",
    labels: Annotated[
        str, typer.Option(metavar="FILE", help="A table of id and label (.csv, .parquet), for the documents of --input.")
    ] = "",
    column: Annotated[str, typer.Option(help="The column of the labels, which are numbers.")] = "label",
    documents: Annotated[
        list[str], typer.Option("--input", help="With --labels: the files of the documents; repeatable.")
    ] = [],  # noqa: B006
    kind: Annotated[str, typer.Option(help="pooled (needs torch to train), linear or fasttext.")] = "pooled",
    split_by: Annotated[
        str, typer.Option(help="What is held out together: source, id, or metadata.FIELD, such as the article of a text.")
    ] = "source",
    held_out: Annotated[float, typer.Option(min=0.01, max=0.9, help="Share of the documents that is held out.")] = 0.2,
    keep: Annotated[float, typer.Option(min=0.001, max=1, help="Share that you would select; for the precision.")] = 0.1,
    most: Annotated[int, typer.Option(min=10, help="Documents of each label, at most.")] = 20_000,
    epochs: Annotated[int, typer.Option(min=0, help="0: 20 at most for pooled, 3 for fastText.")] = 0,
    dimension: Annotated[int, typer.Option(min=1, help="Of fastText's vectors.")] = 256,
    buckets: Annotated[
        int, typer.Option(min=1, help="Of fastText's n-grams; the model has dimension × 4 bytes for each.")
    ] = 2_000_000,
    seed: int = 0,
    as_json: Json = False,
) -> None:
    """Train a rater on labelled documents, measure it on documents held out, and write it with a card.

    The same documents and options give the same model on a machine.
    """
    with user_errors(as_json):
        from tamis.pipelines.rater_training.labelled_texts import of_files, of_labels, of_run
        from tamis.pipelines.rater_training.train_rater import KINDS, Training, lines, recipe_lines, train_rater

        if kind not in KINDS:
            raise RunError(f"--kind {kind}: it is {', '.join(KINDS[:-1])} or {KINDS[-1]}")
        if labels:
            texts = of_labels(labels, column, documents, split_by, most, seed)
        elif run:
            texts = of_run(run, positive, negative, split_by, most, seed)
        else:
            texts = of_files(positive, negative, split_by, most, seed)
        training = Training(
            kind=cast(Any, kind), held_out=held_out, keep=keep, epochs=epochs, dimension=dimension, buckets=buckets, seed=seed
        )

        def observe(line: str) -> None:
            typer.echo(line, err=True)

        result = train_rater(texts, training, output, split_by, observe)
        print_output(result.as_json(), [*lines(result), *recipe_lines(result)], as_json)


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


@app.command()
def fuse(
    mixtures: Annotated[
        str, typer.Argument(metavar="WEIGHTS", help="A table with a row for each proxy: index, and its weights.")
    ],
    losses: Annotated[
        list[str],
        typer.Argument(
            metavar="LOSSES...",
            help="Tables with a row for each proxy: index, and its losses; or .json files that tamis proxy --json printed.",
        ),
    ],
    output: Annotated[str, typer.Option("--output", "-o", help="The file that a recipe names: NAME.json.")],
    target: Annotated[list[str], typer.Option(help="Only this column of losses; repeatable.")] = [],  # noqa: B006
    law: Annotated[str, typer.Option(help="What predicts losses: trees (needs lightgbm) or log-linear.")] = "trees",
    draws: Annotated[int, typer.Option(min=128, help="Mixtures that the trees judge.")] = 100_000,
    seed: Annotated[int, typer.Option(min=0, max=(1 << 32) - 1, help="Of the draws.")] = 42,
    cap: Annotated[float, typer.Option(min=0, help="The most of a weight, in multiples of its mean. 0: no limit.")] = 0.0,
    divergence: Annotated[float, typer.Option(min=0, help="For log-linear: what a distance from the mean costs.")] = 0.0,
    as_json: Json = False,
) -> None:
    """Learn the best weights of signals or domains from the losses of proxies that were trained with some weights."""
    with user_errors(as_json):
        from tamis.pipelines.quality.learn_weights import learn_weights, lines

        _one_of("--law", law, ("trees", "log-linear"))
        if divergence and law == "trees":
            raise RunError("--divergence is for --law log-linear")
        found = learn_weights(mixtures, losses, target, law, draws, seed, cap, divergence)
        storage.write_bytes(output, found.model_dump_json().encode())
        print_output({"output": output, **found.model_dump(mode="json")}, lines(found), as_json)


@app.command()
def draw(
    signal: Annotated[list[str], typer.Option(help="The name of a signal or domain; repeatable.")],
    output: Annotated[str, typer.Option("--output", "-o", help="The table: NAME.csv.")],
    n: Annotated[int, typer.Option("-n", min=1, help="Proxies.")] = 256,
    seed: Annotated[int, typer.Option(min=0, max=(1 << 32) - 1, help="Of the draws.")] = 0,
    signed: Annotated[bool, typer.Option("--signed", help="Let weights be below 0, too.")] = False,
) -> None:
    """Draw weights for proxies, evenly from all that sum to 1, for `tamis rate fuse`."""
    with user_errors(False):
        from tamis.pipelines.quality.learn_weights import write_draws

        write_draws(list(dict.fromkeys(signal)), n, seed, signed, output)
        typer.echo(f"{output}: {n:,} draws of {len(set(signal))} weights")


@app.command()
def bins(
    sources: Sources,
    score: Annotated[str, typer.Option(help="The score: a signal, quality, or a column of the files.")],
    by: Annotated[list[str], typer.Option(help="A column that makes up the bin, as source or metadata.topic; repeatable.")],
    against: Annotated[str, typer.Option(help="Another score: show what the first has over it.")] = "",
    tokens: Annotated[
        str, typer.Option(help="The column with the size of a document. Default: its tokens, or 1 in files.")
    ] = "",
    strength: Annotated[float, typer.Option(help="A bin one deviation above the mean gets e^STRENGTH of its share.")] = 1.0,
    decision: Decision = "",
    as_json: Json = False,
) -> None:
    """Average a score over bins of documents, with errors, and print sampling weights for a recipe."""
    with user_errors(as_json):
        from tamis.pipelines.quality.score_bins import lines, score_bins

        found = score_bins(sources, score, by, against, tokens, strength, decision)
        print_output(found.rows(), lines(found, strength), as_json)


@app.command()
def check(
    sources: Sources,
    score: Annotated[
        str, typer.Option(help="The score that is checked: a signal, quality, or a column of the files.")
    ] = "quality",
    top: Annotated[float, typer.Option(min=0.001, max=0.999, help="The share of the documents that counts as high.")] = 0.15,
    by: Annotated[str, typer.Option(help="The column of the sources; '' for none.")] = "source",
    rater: Annotated[list[str], typer.Option(help="Another score, to compare with; repeatable.")] = [],  # noqa: B006
    confounder: Annotated[
        list[str], typer.Option(help="A number or label that the score should not follow, as tokens; repeatable.")
    ] = [],  # noqa: B006
    category: Annotated[list[str], typer.Option(help="Labels by a rater; each pair is compared; repeatable.")] = [],  # noqa: B006
    order: Annotated[
        str, typer.Option(help="The labels from lowest to highest, as bad,fair,good, for weighted κ. Numbers need none.")
    ] = "",
    labels: Annotated[
        str, typer.Option(help="A file with id and label, 0 to 1: each document as an example of its kind.")
    ] = "",
    judged: Annotated[str, typer.Option(help="The column with the share of the bytes that the rater saw.")] = "",
    against: Annotated[str, typer.Option(help="The column with the scores of the old model, for drift.")] = "",
    benchmark: Annotated[str, typer.Option(help="A file with old and new scores of a frozen set of documents.")] = "",
    decision: Decision = "",
    as_json: Json = False,
) -> None:
    """Check what a score measures: fairness across sources, confounders, agreement, drift. Exits with 1 at an alarm."""
    with user_errors(as_json):
        from tamis.pipelines.quality.check_scores import Limits, check_scores, lines

        grades = [label.strip() for label in order.split(",") if label.strip()]
        found = check_scores(
            sources, score, rater, confounder, category, grades, top, by, labels, judged, against, benchmark, decision, Limits()
        )
        print_output(found.as_json(), lines(found), as_json)
        if found.alarms:
            raise typer.Exit(PROBLEM)


@app.command()
def residual(
    sources: Sources,
    score: Annotated[str, typer.Option(help="The score: a signal, quality, or a column of the files.")],
    confounder: Annotated[list[str], typer.Option(help="A number or label that is taken out, as tokens; repeatable.")],
    output: Annotated[str, typer.Option("--output", "-o", help="A table of id and residual: NAME.parquet.")],
    decision: Decision = "",
) -> None:
    """Take length, language or other things out of a score, and write what is left, for `scores` of a recipe."""
    with user_errors(False):
        from tamis.pipelines.contamination.rephrased_items import write_table
        from tamis.pipelines.quality.check_scores import residual_table

        table = residual_table(sources, score, confounder, decision)
        write_table(table, output)
        typer.echo(f"{output}: {table.num_rows:,} documents")


@app.command()
def review(
    sources: Sources,
    rater: Annotated[list[str], typer.Option(help="A score: a signal, or a column of the files; repeatable.")],
    output: Annotated[str, typer.Option("--output", "-o", help="A table of id, verdict and score: NAME.parquet.")],
    limit: Annotated[float, typer.Option(help="Keep documents with this mean score or more.")] = 0.5,
    margin: Annotated[float, typer.Option(min=0, help="Review documents nearer to the limit than this.")] = 0.05,
    disagreement: Annotated[float, typer.Option(min=0, help="Review documents whose raters differ by more than this.")] = 0.5,
    calibration: Annotated[
        str, typer.Option(help="A file of calibrate: makes scores of values, and reviews documents outside its range.")
    ] = "",
    within: Annotated[
        list[str],
        typer.Option(help="A number or label, as tokens, language.label or NAME.known: reviews values rare in --reference."),
    ] = [],  # noqa: B006
    reference: Annotated[
        list[str], typer.Option(metavar="RUN|FILE", help="The documents that the raters know; repeatable for files.")
    ] = [],  # noqa: B006
    labels: Annotated[str, typer.Option(help="A file with id and label, 0 to 1: shows coverage against precision.")] = "",
    decision: Decision = "",
    as_json: Json = False,
) -> None:
    """Say which documents to keep, to drop, or to review as raters are not sure, for `scores` of a recipe."""
    with user_errors(as_json):
        from tamis.pipelines.contamination.rephrased_items import write_table
        from tamis.pipelines.quality.review_documents import lines
        from tamis.pipelines.quality.review_documents import review as review_documents

        found = review_documents(sources, rater, limit, margin, disagreement, calibration, within, reference, labels, decision)
        write_table(found.table, output)
        result = {"output": output, "counts": found.counts, "curve": [asdict(point) for point in found.curve]}
        print_output(result, lines(found), as_json)


def _one_of(option: str, value: str, choices: tuple[str, ...]) -> None:
    if value not in choices:
        raise RunError(f"{option} is {' or '.join(filter(None, choices))}, not '{value}'")
