"""The commands between a finished run and a training job: plan, budget, index, export, average, proxy runs."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict
from typing import TYPE_CHECKING, Annotated

import typer

from tamis.pipelines.cli.messages import Json, RunDirectory, print_json, show, told
from tamis.transforms.core.errors import RunError

if TYPE_CHECKING:
    from tamis.pipelines.training.rank_runs import ProxyTraining

app = typer.Typer()

Tokenizer = Annotated[str, typer.Option(help="bytes, tiktoken:NAME, or the path of a tokenizer.json.")]
Seeds = Annotated[int, typer.Option(min=1)]
SequenceLength = Annotated[int, typer.Option(min=2)]
BatchSize = Annotated[int, typer.Option(min=1, help="Sequences a step.")]
Width = Annotated[int, typer.Option(min=8)]
Layers = Annotated[int, typer.Option(min=1)]
Heads = Annotated[int, typer.Option(min=1)]
Device = Annotated[str, typer.Option(help="cpu, cuda, …")]
Threads = Annotated[int, typer.Option(min=0, help="Of a CPU; 0: as many as torch likes.")]


@app.command()
def plan(
    run: RunDirectory,
    schedule: Annotated[
        str,
        typer.Option(help="Another schedule: a CSV file of tokens and learning rates, a YAML file, or '{shape: cosine, …}'."),
    ] = "",
    averaging: Annotated[str | None, typer.Option(help="How the last checkpoints are averaged: ema, sma, wma, none.")] = None,
    checkpoints: Annotated[int | None, typer.Option(min=1, help="Checkpoints to keep.")] = None,
    spacing: Annotated[float | None, typer.Option(help="Share of the run from one checkpoint to the next.")] = None,
    as_json: Json = False,
) -> None:
    """Writes plan.json: what a training job must know of a run, for its own schedule or another. Touches no data.

    Checkpoints are by default those of the recipe (curriculum.checkpoints), or six, 0.01 of the run apart, averaged by ema.
    """
    with told(as_json):
        from tamis.pipelines.training.write_plan import schedule_of, write_plan

        given = {"averaging": averaging, "kept": checkpoints, "spacing": spacing}
        changed = {name: value for name, value in given.items() if value is not None}
        uri, made = write_plan(run, schedule_of(schedule) if schedule else None, changed)
        if as_json:
            print_json(made.model_dump(mode="json"))
            return
        typer.echo(f"{uri}: {made.tokens:,} tokens in {len(made.shards)} shards, {len(made.checkpoints)} checkpoints to keep")
        typer.echo("share of the final model that the best tenth of the data gets, by order:")
        for order, share in made.best_decile_weight.items():
            mark = "  (this run)" if {order} == {phase.order for phase in made.phases} else ""
            typer.echo(f"  {order:<12} {share:7.2%}{mark}")
        for warning in made.warnings:
            typer.secho(warning, fg="yellow")


@app.command()
def average(
    run: RunDirectory,
    checkpoints: Annotated[
        list[str], typer.Argument(metavar="CHECKPOINT...", help="Those the plan names, oldest first: .safetensors, or torch's.")
    ],
    output: Annotated[str, typer.Option("--output", "-o", help="The averaged checkpoint, of the same kind.")],
    as_json: Json = False,
) -> None:
    """Averages the last checkpoints of a training run by the weights of the run's plan.json."""
    with told(as_json):
        from tamis.pipelines.training.average import average_by_plan, lines

        found = average_by_plan(run, checkpoints, output)
        show(found, lines, as_json)


@app.command()
def proxy(
    context: typer.Context,
    runs: Annotated[list[str], typer.Argument(metavar="RUN...", help="Finished runs to rank, two or more.")],
    validation: Annotated[str, typer.Option(help="A finished run of held-out documents.")],
    learning_rate: Annotated[
        list[float],
        typer.Option(min=0, help="For a model of width 768, scaled to the proxy's; repeatable, to compare."),
    ] = [1e-5],  # noqa: B006
    seeds: Seeds = 3,
    tokens: Annotated[int, typer.Option(min=0, help="Tokens trained on; 0: all of the shortest run.")] = 0,
    tokenizer: Tokenizer = "bytes",
    sequence_length: SequenceLength = 256,
    batch_size: BatchSize = 16,
    width: Width = 128,
    layers: Layers = 4,
    heads: Heads = 4,
    device: Device = "cpu",
    threads: Threads = 0,
    target: Annotated[str, typer.Option(help="A JSON file of each run's loss in trainings that count.")] = "",
    as_json: Json = False,
) -> None:
    """Ranks runs by small models trained on them at a tiny learning rate. Needs torch."""
    with told(as_json):
        from tamis.pipelines.training.rank_runs import lines, rank_runs

        found = rank_runs(runs, validation, _trained(context, learning_rate), target, lambda line: typer.echo(line, err=True))
        if as_json:
            print_json(found)
            return
        for line in lines(found):
            typer.echo(line)
        for warning in found["warnings"]:
            typer.secho(warning, fg="yellow")


@app.command("proxy-orders")
def proxy_orders(
    context: typer.Context,
    run: RunDirectory,
    output: Annotated[str, typer.Option("--output", "-o", help="A folder for orders.json and orders.svg.")],
    peak: Annotated[float, typer.Option(min=0, help="Peak learning rate for a model of width 768.")] = 6e-4,
    half_life: Annotated[
        list[float],
        typer.Option(min=1e-6, help="Of lr_weighted, as a share of the run; repeatable, each is an order of its own."),
    ] = [0.01],  # noqa: B006
    seeds: Seeds = 3,
    tokenizer: Tokenizer = "bytes",
    sequence_length: SequenceLength = 256,
    batch_size: BatchSize = 16,
    width: Width = 128,
    layers: Layers = 4,
    heads: Heads = 4,
    device: Device = "cpu",
    threads: Threads = 0,
    as_json: Json = False,
) -> None:
    """Trains on a run in every order × schedule × averaging, and plots the loss on its best, held out. Needs torch."""
    with told(as_json):
        from tamis.pipelines.training.compare_orders import compare, lines

        found = compare(run, _trained(context, [peak]), output, half_life, lambda line: typer.echo(line, err=True))
        show(found, lines, as_json)


@app.command()
def budget(
    laws: Annotated[
        str,
        typer.Argument(
            metavar="BUCKETS",
            help="Buckets with utility and half-life (YAML), or points to fit (CSV: bucket, epoch_tokens, tokens, loss).",
        ),
    ],
    tokens: Annotated[str, typer.Option(help="Tokens that training will see: 10000000, 100B, 1.5T.")],
    floor: Annotated[float, typer.Option(min=0, help="The loss that no data lowers, for a fit.")] = 0.1,
    as_json: Json = False,
) -> None:
    """How deep to cut and how often to repeat for a token budget, by the laws of "Data Curation cannot be Compute Agnostic"."""
    with told(as_json):
        from tamis.pipelines.estimate.budget import advice, buckets_of, lines, number_of_tokens

        try:
            found = advice(*buckets_of(laws, floor), number_of_tokens(tokens))
        except ValueError as error:
            raise RunError(f"{laws}: {error}") from None
        show(found, lines, as_json)


@app.command()
def index(
    run: RunDirectory,
    tokenizer: Tokenizer,
    workers: Annotated[int, typer.Option(min=0, help="Processes; 0 is one a core.")] = 0,
) -> None:
    """Counts the tokens of every document under the tokenizer to be trained with, so that no loader has to."""
    with told(False):
        from tamis.transforms.feed.dataset import index as count

        typer.echo(f"{count(run, tokenizer, processes=workers):,} tokens")


@app.command()
def export(
    run: RunDirectory,
    format: Annotated[str, typer.Option(help="megatron, mds, parquet, litdata or jsonl.")],
    output: Annotated[str, typer.Option("--output", "-o", help="A new folder, or its URI in an object store.")],
    tokenizer: Annotated[str, typer.Option(help="For megatron: bytes, tiktoken:NAME, or the path of a tokenizer.json.")] = "",
    end: Annotated[int, typer.Option(help="For megatron: the id behind each document; default: the tokenizer's own.")] = -1,
    as_json: Json = False,
) -> None:
    """Writes a finished run for another loader, in its order, every checksum checked."""
    with told(as_json):
        from tamis.transforms.feed.export import FORMATS
        from tamis.transforms.feed.export import export as write

        known = {name: name for name in FORMATS}
        if format not in known:
            raise typer.BadParameter(f"'{format}' is none of {', '.join(known)}", param_hint="--format")
        found = write(run, known[format], output, tokenizer or None, end if end >= 0 else None)
        if as_json:
            print_json(asdict(found))
        else:
            typer.echo(f"{found.documents:,} documents in {len(found.files)} files of {output}")


def _trained(context: typer.Context, learning_rates: Sequence[float]) -> ProxyTraining:
    """How proxies are trained, by the options of the command that have the names of `ProxyTraining`'s fields."""
    from tamis.pipelines.training.rank_runs import ProxyTraining

    named = {name: value for name, value in context.params.items() if name in ProxyTraining.model_fields}
    return ProxyTraining(learning_rates=tuple(learning_rates), **named)
