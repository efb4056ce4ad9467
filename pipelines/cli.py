"""The `tamis` command. Exit codes: 0 fine, 1 the run found a problem, 2 wrong usage."""

from __future__ import annotations

import json
import logging
import sys
import traceback
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict
from types import TracebackType
from typing import TYPE_CHECKING, Annotated, Any

import typer
from pydantic import BaseModel, ValidationError

from pipelines import recipe as recipes
from pipelines import runners
from pipelines.recipe_file import RecipeError
from transforms.errors import NoInput, RunError
from transforms.redaction import public

if TYPE_CHECKING:
    from pipelines.events import Level, Log

app = typer.Typer(
    help="Turns raw text into a training-ready corpus: rated, deduplicated, decontaminated, selected and ordered.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)

PROBLEM, USAGE, INTERRUPTED = 1, 2, 130

RecipeName = Annotated[
    str, typer.Argument(metavar="RECIPE", help="A recipe file, or the name of a shipped one (tamis recipes).")
]
RunDirectory = Annotated[str, typer.Argument(metavar="RUN", help="The directory of a run.")]
Overrides = Annotated[list[str], typer.Option("--set", metavar="a.b=c", help="Overrides a field of the recipe; repeatable.")]
Json = Annotated[bool, typer.Option("--json", help="One JSON object on standard output, nothing else.")]


@app.command()
def run(
    recipe: RecipeName,
    input: Annotated[
        list[str], typer.Option("--input", "-i", help="Files, folders, globs or @lists; overrides input.paths.")
    ] = [],  # noqa: B006
    output: Annotated[
        str, typer.Option("--output", "-o", help="The run directory, or its URI in an object store; default: run/<recipe>.")
    ] = "",
    set_: Overrides = [],  # noqa: B006
    runner: Annotated[str, typer.Option(help="Where the DAG runs: local, flink, spark, prism or dataflow.")] = "local",
    workers: Annotated[int, typer.Option(min=0, help="Worker processes; 0 is one a core, or all that the cluster has.")] = 0,
    option: Annotated[
        list[str], typer.Option(metavar="name=value", help="A pipeline option of Beam, for the runner; repeatable.")
    ] = [],  # noqa: B006
    fresh: Annotated[
        bool, typer.Option("--fresh/--resume", help="Start from nothing, or use what an earlier attempt finished.")
    ] = False,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Estimate from a sample what the run will take and keep; write nothing.")
    ] = False,
    allow_empty: Annotated[
        bool, typer.Option("--allow-empty", help="A folder, glob or list without files is no error: the last release stands.")
    ] = False,
    log: Annotated[
        str, typer.Option(envvar="TAMIS_LOG", help="Events on standard error in place of bars: text, or json, one a line.")
    ] = "",
    as_json: Json = False,
) -> None:
    """Runs a recipe: rate, decide, emit. The same command again finishes what was interrupted and redoes only what changed."""
    from pipelines.events import FORMS, Log

    if log not in ("", *FORMS):
        raise typer.BadParameter(f"'{log}' is none of {', '.join(FORMS)}", param_hint="--log")
    events = Log(log, output) if log else None
    if events is not None:
        warnings.showwarning = lambda message, *_: events.tell("warning", "warning", message=str(message))
    with _told(as_json, events):
        options = dict(_pair(text) for text in option)
        wrong = runners.unusable(runner, options)
        if wrong:
            raise typer.BadParameter(f"{runner}: {wrong}", param_hint="--runner")
        wanted = recipes.load(recipe, [*set_, "input.allow_empty=true"] if allow_empty else set_, input)
        if not wanted.input.paths and wanted.input.format != "python-env":
            raise typer.BadParameter("the recipe names no input; give files with --input", param_hint="--input")
        from pipelines import launch
        from pipelines.display import Display

        directory = output or f"run/{wanted.name}"
        if events is not None:
            events.run = public(directory)
        if dry_run:
            from pipelines import dry_run as rehearsal

            estimate = rehearsal.estimate(wanted, directory, workers)
            if as_json:
                _print(asdict(estimate))
            else:
                for line in rehearsal.lines(estimate):
                    typer.echo(line)
            return
        display = Display(quiet=as_json)
        result = (events or display).during(
            lambda planned, watch: launch.launch(wanted, directory, workers, fresh, planned, watch, runner, options)
        )
        if as_json:
            _print(_summary(result))
        else:
            display.result(result)


@app.command()
def lint(recipe: RecipeName, set_: Overrides = [], as_json: Json = False) -> None:  # noqa: B006
    """Checks a recipe, and whether its order and learning-rate schedule fit together. Reads no data."""
    with _told(as_json):
        from transforms.curriculum.lint import best_decile_mass, best_decile_weights
        from transforms.curriculum.lint import lint as lint_curriculum

        checked = recipes.load(recipe, set_)
        warnings = [{"code": w.code, "message": w.message, "numbers": w.numbers} for w in lint_curriculum(checked.curriculum)]
        mass = best_decile_mass(checked.curriculum)
        if as_json:
            told = {"lr_mass_best_decile": mass, "weight_best_decile": best_decile_weights(checked.curriculum)}
            _print({"recipe": checked.name, "curriculum": told, "warnings": warnings})
            return
        typer.echo(f"{checked.name}: the best tenth of the data gets {mass:.3%} of the learning rate's mass")
        for warning in warnings:
            typer.secho(f"warning [{warning['code']}] {warning['message']}", fg="yellow")
        if not warnings:
            typer.secho("no warnings", fg="green")


@app.command()
def explain(
    run: RunDirectory, id: Annotated[str, typer.Argument(metavar="ID", help="The document's id.")], as_json: Json = False
) -> None:
    """What became of a document: every signal, the rule that decided, its representative, its place."""
    with _told(as_json):
        from pipelines.explain import explanation, lines

        try:
            found = explanation(run, id)
        except KeyError as error:
            raise RunError(str(error.args[0])) from None
        if as_json:
            _print(found)
        else:
            for line in lines(found):
                typer.echo(line)


@app.command()
def verify(run: RunDirectory, as_json: Json = False) -> None:
    """Checks a finished run: every checksum, and that every document is accounted for. Names the file that is wrong."""
    with _told(as_json):
        from transforms import release
        from transforms.provenance import manifest

        problems = manifest.verify(run)
        if as_json:
            _print({"run": run, "sound": not problems, "problems": problems})
        elif problems:
            for problem in problems:
                typer.secho(problem, fg="red")
        else:
            counts = release.read(run)["counts"]
            typer.echo(
                f"sound: {counts['records']:,} records = {counts['kept']:,} kept + {counts['dropped']:,} dropped + "
                f"{counts['review']:,} review + {counts['rejected']:,} rejected; every checksum holds"
            )
        if problems:
            raise typer.Exit(PROBLEM)


@app.command()
def status(run: RunDirectory, as_json: Json = False) -> None:
    """What a run directory is doing, or did: from any terminal, while a run goes on, after one was killed, before the first."""
    with _told(as_json):
        from pipelines.status import lines
        from pipelines.status import status as status_of

        found = status_of(run)
        if as_json:
            _print(asdict(found))
        else:
            for line in lines(found):
                typer.echo(line)


@app.command()
def report(run: RunDirectory) -> None:
    """Writes report.html, one self-contained page."""
    with _told(False):
        from pipelines import outcome

        typer.echo(outcome.write_report(run))


@app.command()
def plan(
    run: RunDirectory,
    schedule: Annotated[
        str,
        typer.Option(help="Another schedule: a CSV file of tokens and learning rates, a YAML file, or '{shape: cosine, …}'."),
    ] = "",
    averaging: Annotated[str, typer.Option(help="How the last checkpoints are averaged: ema, sma, wma, none.")] = "ema",
    checkpoints: Annotated[int, typer.Option(min=1, help="Checkpoints to keep.")] = 6,
    spacing: Annotated[float, typer.Option(help="Share of the run from one checkpoint to the next.")] = 0.01,
    as_json: Json = False,
) -> None:
    """Writes plan.json: what a training job must know of a run, for its own schedule or another. Touches no data."""
    with _told(as_json):
        from pipelines.training_plan import schedule_of, write_plan
        from transforms.curriculum.plan import Checkpoints

        try:
            kept = Checkpoints.model_validate({"averaging": averaging, "kept": checkpoints, "spacing": spacing})
        except ValidationError as error:
            raise RunError("; ".join(f"{problem['loc'][0]}: {problem['msg']}" for problem in error.errors())) from None
        uri, made = write_plan(run, schedule_of(schedule) if schedule else None, kept)
        if as_json:
            _print(made.model_dump(mode="json"))
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
    with _told(as_json):
        from pipelines.average import average_by_plan, lines

        found = average_by_plan(run, checkpoints, output)
        if as_json:
            _print(found)
        else:
            for line in lines(found):
                typer.echo(line)


@app.command()
def proxy(
    runs: Annotated[list[str], typer.Argument(metavar="RUN...", help="Finished runs to rank, two or more.")],
    validation: Annotated[str, typer.Option(help="A finished run of held-out documents.")],
    learning_rate: Annotated[
        list[float],
        typer.Option(min=0, help="For a model of width 768, scaled to the proxy's; repeatable, to compare."),
    ] = [1e-5],  # noqa: B006
    seeds: Annotated[int, typer.Option(min=1)] = 3,
    tokens: Annotated[int, typer.Option(min=0, help="Tokens trained on; 0: all of the shortest run.")] = 0,
    tokenizer: Annotated[str, typer.Option(help="bytes, tiktoken:NAME, or the path of a tokenizer.json.")] = "bytes",
    sequence_length: Annotated[int, typer.Option(min=2)] = 256,
    batch_size: Annotated[int, typer.Option(min=1, help="Sequences a step.")] = 16,
    width: Annotated[int, typer.Option(min=8)] = 128,
    layers: Annotated[int, typer.Option(min=1)] = 4,
    heads: Annotated[int, typer.Option(min=1)] = 4,
    device: Annotated[str, typer.Option(help="cpu, cuda, …")] = "cpu",
    target: Annotated[str, typer.Option(help="A JSON file of each run's loss in trainings that count.")] = "",
    as_json: Json = False,
) -> None:
    """Ranks runs by small models trained on them at a tiny learning rate. Needs torch."""
    with _told(as_json):
        from pipelines.proxy import Proxy, lines
        from pipelines.proxy import proxy as rank

        wanted = Proxy(
            learning_rates=tuple(learning_rate),
            seeds=seeds,
            tokens=tokens,
            tokenizer=tokenizer,
            sequence_length=sequence_length,
            batch_size=batch_size,
            width=width,
            layers=layers,
            heads=heads,
            device=device,
        )
        found = rank(runs, validation, wanted, target, lambda line: typer.echo(line, err=True))
        if as_json:
            _print(found)
            return
        for line in lines(found):
            typer.echo(line)
        for warning in found["warnings"]:
            typer.secho(warning, fg="yellow")


@app.command("proxy-orders")
def proxy_orders(
    run: RunDirectory,
    output: Annotated[str, typer.Option("--output", "-o", help="A folder for orders.json and orders.svg.")],
    peak: Annotated[float, typer.Option(min=0, help="Peak learning rate for a model of width 768.")] = 6e-4,
    seeds: Annotated[int, typer.Option(min=1)] = 3,
    tokenizer: Annotated[str, typer.Option(help="bytes, tiktoken:NAME, or the path of a tokenizer.json.")] = "bytes",
    sequence_length: Annotated[int, typer.Option(min=2)] = 256,
    batch_size: Annotated[int, typer.Option(min=1, help="Sequences a step.")] = 16,
    width: Annotated[int, typer.Option(min=8)] = 128,
    layers: Annotated[int, typer.Option(min=1)] = 4,
    heads: Annotated[int, typer.Option(min=1)] = 4,
    device: Annotated[str, typer.Option(help="cpu, cuda, …")] = "cpu",
    as_json: Json = False,
) -> None:
    """Trains on a run in every order × schedule × averaging, and plots the loss on its best, held out. Needs torch."""
    with _told(as_json):
        from pipelines.proxy import Proxy
        from pipelines.proxy_orders import compare, lines

        wanted = Proxy(
            learning_rates=(peak,),
            seeds=seeds,
            tokenizer=tokenizer,
            sequence_length=sequence_length,
            batch_size=batch_size,
            width=width,
            layers=layers,
            heads=heads,
            device=device,
        )
        found = compare(run, wanted, output, lambda line: typer.echo(line, err=True))
        if as_json:
            _print(found)
        else:
            for line in lines(found):
                typer.echo(line)


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
    with _told(as_json):
        from pipelines.budget import advice, buckets_of, lines, number_of_tokens

        try:
            found = advice(*buckets_of(laws, floor), number_of_tokens(tokens))
        except ValueError as error:
            raise RunError(f"{laws}: {error}") from None
        if as_json:
            _print(found)
        else:
            for line in lines(found):
                typer.echo(line)


@app.command()
def index(
    run: RunDirectory,
    tokenizer: Annotated[str, typer.Option(help="bytes, tiktoken:NAME, or the path of a tokenizer.json.")],
    workers: Annotated[int, typer.Option(min=0, help="Processes; 0 is one a core.")] = 0,
) -> None:
    """Counts the tokens of every document under the tokenizer to be trained with, so that no loader has to."""
    with _told(False):
        from transforms.feed.dataset import index as count

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
    with _told(as_json):
        from transforms.feed.export import FORMATS
        from transforms.feed.export import export as write

        known = {name: name for name in FORMATS}
        if format not in known:
            raise typer.BadParameter(f"'{format}' is none of {', '.join(known)}", param_hint="--format")
        found = write(run, known[format], output, tokenizer or None, end if end >= 0 else None)
        if as_json:
            _print(asdict(found))
        else:
            typer.echo(f"{found.documents:,} documents in {len(found.files)} files of {output}")


@app.command()
def schema(
    of: Annotated[str, typer.Argument(metavar="[recipe|plan]", help="Of a recipe, or of plan.json.")] = "recipe",
) -> None:
    """Prints a JSON schema, for editors and checks."""
    with _told(False):
        from transforms.curriculum.plan import TrainingPlan

        models: dict[str, type[BaseModel]] = {"recipe": recipes.Recipe, "plan": TrainingPlan}
        if of not in models:
            raise RunError(f"no schema of '{of}': there is one of {' and one of '.join(models)}")
        _print(models[of].model_json_schema())


@app.command("recipes")
def list_recipes() -> None:
    """Lists the shipped recipes."""
    for name in recipes.shipped():
        first = recipes.source(name)[1].splitlines()[0].removeprefix("#").strip()
        typer.echo(f"{name:<12} {first}")


@app.command()
def init(input: Annotated[list[str], typer.Argument(metavar="INPUT...", help="Files, folders or globs to look at.")]) -> None:
    """Looks at your files and prints a commented starter recipe for them."""
    with _told(False):
        from pipelines.init import starter

        try:
            typer.echo(starter(input), nl=False)
        except (FileNotFoundError, ValueError) as error:
            raise RunError(str(error)) from None


@app.command()
def warmup(as_json: Json = False) -> None:
    """Compiles every kernel ahead of the first run, about 20 seconds once for each environment and processor."""
    with _told(as_json):
        from pipelines.warmup import warm

        found = warm()
        if as_json:
            _print(asdict(found))
        elif found.compiled:
            typer.echo(f"compiled {len(found.compiled)} kernels in {found.seconds:.1f} s: {', '.join(found.compiled)}")
        else:
            typer.echo(f"nothing to compile: {found.files} kernels are there")
        if not as_json:
            typer.echo(f"they are kept in {found.folder}")


def _pair(text: str) -> tuple[str, str]:
    name, equals, value = text.partition("=")
    if not equals or not name:
        raise typer.BadParameter(f"'{text}' is not of the form name=value", param_hint="--option")
    return name.lstrip("-"), value


@contextmanager
def _told(as_json: bool, log: Log | None = None) -> Iterator[None]:
    """Turns the errors a person can act on into a message, without credentials, and an exit code."""

    def say(event: str, message: str, colour: str, level: Level = "error") -> None:
        if log is not None:
            log.tell(event, level, message=message)
        else:
            typer.secho(message, fg=colour, err=True)

    try:
        yield
    except BrokenPipeError:
        raise
    except NoInput as nothing:
        if as_json:
            _print({"unchanged": True, "message": public(str(nothing))})
        say("no-input", f"{public(str(nothing))}; nothing to do", "yellow", "info")
    except (RunError, ImportError, OSError) as error:
        code = USAGE if isinstance(error, RecipeError) else PROBLEM
        message = public(str(error))
        if as_json:
            _print({"error": message})
        say("error", message, "red")
        raise typer.Exit(code) from None
    except KeyboardInterrupt:
        say("interrupted", "interrupted; the same command finishes the run", "yellow", "warning")
        raise typer.Exit(INTERRUPTED) from None


def _summary(result: Any) -> dict[str, object]:
    counts = result.manifest["counts"]
    return {
        "run": result.run,
        "unchanged": result.unchanged,
        "counts": {name: counts[name] for name in ("records", "kept", "dropped", "review", "rejected")},
        "reasons": counts["reasons"],
        "tokens": counts["tokens"],
        "seconds": result.seconds,
        "shards": {"rated": result.rated, "reused": result.reused, "emitted": len(result.manifest["curriculum"]["shards"])},
        "warnings": result.manifest["warnings"],
        "paths": {
            "data": f"{result.run}/data",
            "decisions": f"{result.run}/decisions",
            "rejects": f"{result.run}/rejects",
            "manifest": f"{result.run}/manifest.json",
            "report": f"{result.run}/report.html",
        },
    }


def _print(value: object) -> None:
    typer.echo(json.dumps(value, indent=2, ensure_ascii=False, default=str))


def _show_without_credentials(kind: type[BaseException], error: BaseException, trace: TracebackType | None) -> None:
    sys.stderr.write(public("".join(traceback.format_exception(kind, error, trace))))


def main() -> None:
    """The entry point of the command."""
    logging.disable()  # Beam's and its friends'; what goes wrong reaches the person as an exception, once
    sys.excepthook = _show_without_credentials
    warnings.showwarning = lambda message, *_: typer.secho(str(message), fg="yellow", err=True)
    try:
        app()
    except BrokenPipeError:
        sys.exit(PROBLEM)
