"""The commands about raters, such as `tamis rate train`."""

from __future__ import annotations

from typing import Annotated

import typer

from tamis.pipelines.cli.messages import Json, print_output, user_errors
from tamis.transforms.core.errors import RunError

app = typer.Typer(help="Raters: train one on your labels.")


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
            kind=kind, held_out=held_out, keep=keep, epochs=epochs, dimension=dimension, buckets=buckets, seed=seed
        )

        def observe(line: str) -> None:
            typer.echo(line, err=True)

        result = train_rater(texts, training, output, split_by, observe)
        print_output(result.as_json(), [*lines(result), *recipe_lines(result)], as_json)
