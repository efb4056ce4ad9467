"""The commands between a finished run and a training job, such as plan, index and export."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from typing import TYPE_CHECKING, Annotated, Any

import typer

from tamis.pipelines.cli.messages import PROBLEM, Json, ReleaseName, print_json, print_output, user_errors
from tamis.pipelines.formatting import plural
from tamis.transforms.core.errors import RunError
from tamis.transforms.core.options import UNITS

if TYPE_CHECKING:
    from tamis.pipelines.training.rank_runs import ProxyTraining
    from tamis.transforms.curriculum.training_plan import TrainingPlan

app = typer.Typer()

Tokenizer = Annotated[str, typer.Option(help="bytes, tiktoken:NAME, or the path of a tokenizer.json.")]
Seeds = Annotated[int, typer.Option(min=1)]
SequenceLength = Annotated[int, typer.Option(min=2)]
BatchSize = Annotated[int, typer.Option(min=1, help="Sequences per step.")]
Width = Annotated[int, typer.Option(min=8)]
Layers = Annotated[int, typer.Option(min=1)]
Heads = Annotated[int, typer.Option(min=1)]
Orders = Annotated[list[str], typer.Option(help="An order to compare with uniform; repeatable.")]
Schedules = Annotated[
    list[str],
    typer.Option(help="wsd, moderate, constant or cosine; repeatable. Other choices have to beat those under the first."),
]
Device = Annotated[str, typer.Option(help="cpu, cuda, …")]
Threads = Annotated[int, typer.Option(min=0, help="CPU threads. 0: torch decides.")]


def _tokens(text: str) -> int:
    tokens = UNITS.parse(text)
    if not isinstance(tokens, int) or tokens < 0:
        raise typer.BadParameter(f"'{text}' is not a number of tokens, such as 12800000, 12.8M or 100B")
    return tokens


def _size(text: str) -> tuple[int, int]:
    match = re.fullmatch(r"(\d+)x(\d+)", text)
    if match is None:
        raise typer.BadParameter(f"'{text}' is not the width and the layers of a model, such as 64x2", param_hint="--size")
    return int(match[1]), int(match[2])


BatchTokens = Annotated[int, typer.Option(parser=_tokens, metavar="N", help="Tokens of a step on all devices: 4000000, 4M.")]


@app.command()
def plan(
    run: ReleaseName,
    schedule: Annotated[
        str,
        typer.Option(help="Another schedule: a CSV file of tokens and learning rates, a YAML file, or '{shape: cosine, …}'."),
    ] = "",
    averaging: Annotated[str | None, typer.Option(help="How to average the last checkpoints: ema, sma, wma or none.")] = None,
    checkpoints: Annotated[int | None, typer.Option(min=1, help="Checkpoints to keep.")] = None,
    spacing: Annotated[float | None, typer.Option(help="Share of the run between two checkpoints.")] = None,
    output: Annotated[str, typer.Option("--output", "-o", help="The file for another plan. Default: in RUN/plans/.")] = "",
    trainer: Annotated[
        str,
        typer.Option(
            "--as", help="Print it as arguments of megatron, transformers, torchtitan, nanochat, for steps of the batch size."
        ),
    ] = "",
    batch: Annotated[
        str,
        typer.Option(
            help="Another batch size: '{sequences: 1024, sequence_length: 4096, ramp: [START, INCREMENT, SEQUENCES]}'."
        ),
    ] = "",
    batch_tokens: BatchTokens = 0,
    as_json: Json = False,
) -> None:
    """Show the training plan of a release, or write one for another schedule, batch size or other checkpoints.

    Checkpoints default to those of the recipe (curriculum.checkpoints), else to six, 0.01 of the
    run apart, averaged by ema.
    """
    if batch_tokens and (batch or not trainer):
        raise typer.BadParameter("--batch-tokens is for --as, without --batch")
    with user_errors(as_json):
        from tamis.pipelines.training.write_plan import parse_batch, parse_schedule, write_plan

        options = {"averaging": averaging, "kept": checkpoints, "spacing": spacing}
        changed = {name: value for name, value in options.items() if value is not None}
        other, its_batch = parse_schedule(schedule) if schedule else (None, None)
        uri, plan = write_plan(run, other, changed, output, parse_batch(batch) if batch else its_batch)
        if trainer:
            _print_arguments(plan, trainer, batch_tokens, as_json)
            return
        if as_json:
            print_json(plan.model_dump(mode="json"))
            return
        shards, kept = plural(len(plan.shards), "shard"), plural(len(plan.checkpoints), "checkpoint")
        typer.echo(f"{uri}: {plan.tokens:,} tokens in {shards}, {kept} to keep")
        typer.echo(f"the best tenth of the data gets {plan.best_decile_lr_mass:.3%} of the learning rate's mass")
        for warning in plan.warnings:
            typer.secho(warning, fg="yellow")


def _print_arguments(plan: TrainingPlan, trainer: str, batch_tokens: int, as_json: bool) -> None:
    from tamis.pipelines.training.trainer_lines import TRAINERS, arguments_of, lines

    chosen = next((name for name in TRAINERS if name == trainer), None)
    if chosen is None:
        raise typer.BadParameter(f"'{trainer}' is not one of {', '.join(TRAINERS)}", param_hint="--as")
    arguments = arguments_of(plan, chosen, batch_tokens or None)
    print_output(arguments, lines(arguments, chosen), as_json)


@app.command("check-log")
def check_log_command(
    run: ReleaseName,
    log: Annotated[str, typer.Argument(metavar="LOG", help="CSV, JSON, printed lines, or event files of TensorBoard.")],
    plan: Annotated[str, typer.Option(help="A plan that tamis plan wrote. Default: that of the release.")] = "",
    batch_tokens: BatchTokens = 0,
    as_json: Json = False,
) -> None:
    """Hold a training log against the plan: the learning rate and the tokens at each step.

    Without --batch-tokens, the plan's batch size says how many tokens a step has, else the log. Exits with 1 if one
    deviates.
    """
    with user_errors(as_json):
        from tamis.pipelines.training.logs.check_log import check_log, deviates, lines

        found = check_log(run, log, plan, batch_tokens or None)
        print_output(found, lines(found), as_json)
        if deviates(found):
            raise typer.Exit(PROBLEM)


@app.command()
def average(
    run: ReleaseName,
    checkpoints: Annotated[
        list[str],
        typer.Argument(
            metavar="CHECKPOINT", help="The checkpoints in the plan, oldest first: .safetensors, or torch's format."
        ),
    ],
    output: Annotated[str, typer.Option("--output", "-o", help="The averaged checkpoint, in the same format.")],
    plan: Annotated[str, typer.Option(help="A plan that tamis plan wrote. Default: that of the release.")] = "",
    as_json: Json = False,
) -> None:
    """Average the last checkpoints of a training run with the weights in its training plan."""
    with user_errors(as_json):
        from tamis.pipelines.training.average import average_by_plan, lines

        averaged = average_by_plan(run, checkpoints, output, plan)
        print_output(averaged, lines(averaged), as_json)


@app.command()
def proxy(
    context: typer.Context,
    runs: Annotated[list[str], typer.Argument(metavar="RUN", help="Finished runs to rank, two or more.")],
    validation: Annotated[str, typer.Option(help="A finished run of held-out documents.")],
    learning_rate: Annotated[
        list[float], typer.Option(min=0, help="For a model of width 768, scaled to the width of the proxy; repeatable.")
    ] = [1e-5],  # noqa: B006
    seeds: Seeds = 3,
    tokens: Annotated[
        int, typer.Option(parser=_tokens, metavar="N", help="Training tokens: 10000000, 10M. 0: all of the shortest run.")
    ] = 0,
    target_tokens: Annotated[
        int,
        typer.Option(
            parser=_tokens,
            metavar="N",
            help="Tokens of the target training, as the runs count them: samples of the runs are repeated as often as it "
            "repeats the runs. Needs --tokens.",
        ),
    ] = 0,
    tokenizer: Tokenizer = "bytes",
    sequence_length: SequenceLength = 256,
    batch_size: BatchSize = 16,
    width: Width = 128,
    layers: Layers = 4,
    heads: Heads = 4,
    device: Device = "cpu",
    threads: Threads = 0,
    target: Annotated[str, typer.Option(help="A JSON file with the loss of each run in full training, to compare with.")] = "",
    as_json: Json = False,
) -> None:
    """Rank runs by small models trained on them at a tiny learning rate. Needs torch."""
    with user_errors(as_json):
        from tamis.pipelines.training.rank_runs import lines, rank_runs

        ranking = rank_runs(
            runs,
            validation,
            _proxy_training(context, learning_rate),
            target,
            target_tokens,
            lambda line: typer.echo(line, err=True),
        )
        print_output(ranking, lines(ranking), as_json)
        _print_warnings(ranking, as_json)


@app.command("proxy-orders")
def proxy_orders(
    context: typer.Context,
    run: ReleaseName,
    output: Annotated[str, typer.Option("--output", "-o", help="A folder for orders.json and orders.svg.")],
    peak: Annotated[float, typer.Option(min=0, help="Peak learning rate for a model of width 768.")] = 6e-4,
    order: Orders = ["ascending", "lr_weighted"],  # noqa: B006
    half_life: Annotated[
        list[float], typer.Option(min=1e-6, help="For lr_weighted, as a share of the run; repeatable, one order each.")
    ] = [0.01],  # noqa: B006
    schedule: Schedules = ["wsd", "moderate", "constant", "cosine"],  # noqa: B006
    seeds: Seeds = 5,
    tokens: Annotated[
        int, typer.Option(parser=_tokens, metavar="N", help="A sample of so many tokens: 10000000, 10M. 0: all documents.")
    ] = 0,
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
    """Train in every order × schedule × averaging, and say which to take. Needs torch."""
    with user_errors(as_json):
        from tamis.pipelines.training.compare_orders import compare, orders, schedules
        from tamis.pipelines.training.order_evidence import lines

        ways = orders(order, half_life), schedules(schedule, peak)
        result = compare(run, _proxy_training(context, [peak]), output, *ways, lambda line: typer.echo(line, err=True))
        print_output(result, lines(result), as_json)


@app.command("proxy-memory")
def proxy_memory(
    context: typer.Context,
    run: ReleaseName,
    output: Annotated[str, typer.Option("--output", "-o", help="A folder for measured.json and memory.svg.")],
    size: Annotated[list[str], typer.Option(metavar="WIDTHxLAYERS", help="A model; repeatable.")] = ["64x2", "24x2", "128x3"],  # noqa: B006
    batch_sizes: Annotated[
        list[int],
        typer.Option(
            "--batch-size", min=1, help="Sequences per step; repeatable: all models have the first, the first has all."
        ),
    ] = [16],  # noqa: B006
    peak: Annotated[float, typer.Option(min=0, help="Learning rate for a model of width 768.")] = 6e-4,
    share: Annotated[float, typer.Option(min=0.001, max=0.5, help="Share of the tokens that are the best.")] = 0.1,
    positions: Annotated[int, typer.Option(min=1, help="Blocks of the best, each at a place of its own.")] = 4,
    horizon: Annotated[float, typer.Option(min=0, max=0.5, help="How long a block is watched, as a share of the run.")] = 0.12,
    seeds: Seeds = 3,
    tokens: Annotated[
        int, typer.Option(parser=_tokens, metavar="N", help="Training tokens: 10000000, 10M. 0: all but the best.")
    ] = 0,
    tokenizer: Tokenizer = "bytes",
    sequence_length: SequenceLength = 256,
    heads: Heads = 2,
    device: Device = "cpu",
    threads: Threads = 0,
    as_json: Json = False,
) -> None:
    """Measure in how many tokens models forget a block of the best documents. Needs torch."""
    with user_errors(as_json):
        from tamis.pipelines.proxy_memory.measure_memory import measure
        from tamis.pipelines.proxy_memory.memory_result import Experiment, lines

        experiment = Experiment(
            sizes=tuple(map(_size, size)), batch_sizes=tuple(batch_sizes), share=share, positions=positions, horizon=horizon
        )
        options = _proxy_training(context, [peak])
        result = measure(run, experiment, options, output, lambda line: typer.echo(line, err=True))
        print_output(result, lines(result), as_json)
        _print_warnings(result, as_json)


@app.command()
def budget(
    laws: Annotated[
        str,
        typer.Argument(
            metavar="BUCKETS",
            help="Buckets with utility and half-life (YAML), or points to fit (CSV: bucket, epoch_tokens, tokens, loss).",
        ),
    ],
    tokens: Annotated[str, typer.Option(help="Training tokens: 10000000, 100B, 1.5T.")],
    floor: Annotated[float, typer.Option(min=0, help="The irreducible loss, for a fit.")] = 0.1,
    as_json: Json = False,
) -> None:
    """Advise how much data to keep and how often to repeat it, for a number of tokens."""
    with user_errors(as_json):
        from tamis.pipelines.estimate.token_budget import advise, lines, parse_tokens, read_buckets

        try:
            advice = advise(*read_buckets(laws, floor), parse_tokens(tokens))
        except ValueError as error:
            raise RunError(f"{laws}: {error}") from None
        print_output(advice.model_dump(mode="json"), lines(advice), as_json)


@app.command()
def index(
    run: ReleaseName, tokenizer: Tokenizer, workers: Annotated[int, typer.Option(min=0, help="Processes. 0: one per core.")] = 0
) -> None:
    """Count the tokens of each document with the training tokenizer, so that loaders need not."""
    with user_errors(False):
        from tamis.transforms.feed.dataset import index as count

        typer.echo(f"{count(run, tokenizer, processes=workers):,} tokens")


@app.command()
def export(
    run: ReleaseName,
    format: Annotated[str, typer.Option(help="megatron, mds, parquet, litdata or jsonl.")],
    output: Annotated[str, typer.Option("--output", "-o", help="A new folder, a path or a URI in an object store.")],
    tokenizer: Annotated[str, typer.Option(help="For megatron: bytes, tiktoken:NAME, or the path of a tokenizer.json.")] = "",
    end: Annotated[int, typer.Option(help="For megatron: the id after each document. Default: the tokenizer's.")] = -1,
    as_json: Json = False,
) -> None:
    """Write a finished run in the format of another loader, in training order."""
    with user_errors(as_json):
        from tamis.transforms.feed.export import FORMATS
        from tamis.transforms.feed.export import export as write

        formats = {name: name for name in FORMATS}
        if format not in formats:
            raise typer.BadParameter(f"'{format}' is not one of {', '.join(formats)}", param_hint="--format")
        exported = write(run, formats[format], output, tokenizer or None, end if end >= 0 else None)
        line = f"{exported.documents:,} documents in {len(exported.files)} files in {output}"
        print_output(asdict(exported), [line], as_json)


def _print_warnings(result: Mapping[str, Any], as_json: bool) -> None:
    for warning in () if as_json else result["warnings"]:
        typer.secho(warning, fg="yellow")


def _proxy_training(context: typer.Context, learning_rates: Sequence[float]) -> ProxyTraining:
    """The options of the command that are fields of `ProxyTraining`."""
    from tamis.pipelines.training.rank_runs import ProxyTraining

    named = {name: value for name, value in context.params.items() if name in ProxyTraining.model_fields}
    return ProxyTraining(learning_rates=tuple(learning_rates), **named)
