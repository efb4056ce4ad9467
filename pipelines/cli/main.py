"""The `tamis` command. Exit codes: 0 fine, 1 the run found a problem, 2 wrong usage."""

from __future__ import annotations

import logging
import sys
import traceback
import warnings
from dataclasses import asdict
from types import TracebackType
from typing import Annotated, Any

import typer
from pydantic import BaseModel

from tamis.pipelines.cli import training_commands
from tamis.pipelines.cli.messages import PROBLEM, Json, RunDirectory, print_json, show, told
from tamis.pipelines.recipe.load import load_recipe, recipe_source, shipped_recipes
from tamis.pipelines.recipe.schema import Recipe
from tamis.pipelines.runners import registry
from tamis.transforms.core.errors import RunError
from tamis.transforms.runtime.memory import share_one_heap
from tamis.transforms.runtime.redaction import redact

app = typer.Typer(
    help="Turns raw text into a training-ready corpus: rated, deduplicated, decontaminated, selected and ordered.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)
app.add_typer(training_commands.app)

RecipeName = Annotated[
    str, typer.Argument(metavar="RECIPE", help="A recipe file, or the name of a shipped one (tamis recipes).")
]
Overrides = Annotated[list[str], typer.Option("--set", metavar="a.b=c", help="Overrides a field of the recipe; repeatable.")]


@app.command()
def run(
    recipe: RecipeName,
    files: Annotated[
        list[str], typer.Argument(metavar="[FILE]...", help="More input: what a shell makes of --input data/*.jsonl.gz.")
    ] = [],  # noqa: B006
    input: Annotated[
        list[str], typer.Option("--input", "-i", help="Files, folders, globs or @lists; overrides input.paths.")
    ] = [],  # noqa: B006
    output: Annotated[
        str, typer.Option("--output", "-o", help="The run directory, or its URI in an object store; default: run/<recipe>.")
    ] = "",
    set_: Overrides = [],  # noqa: B006
    runner: Annotated[str, typer.Option(help="Where the DAG runs: local, flink, spark or dataflow.")] = "local",
    workers: Annotated[int, typer.Option(min=0, help="Worker processes; 0: one a core if they pay, or all of a cluster.")] = 0,
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
    from tamis.pipelines.cli.log import FORMS, Log

    if log not in ("", *FORMS):
        raise typer.BadParameter(f"'{log}' is none of {', '.join(FORMS)}", param_hint="--log")
    events = Log(log, output) if log else None
    if events is not None:
        warnings.showwarning = lambda message, *_: events.tell("warning", "warning", message=str(message))
    with told(as_json, events):
        options = dict(_pair(text) for text in option)
        error = registry.usage_error(runner, options)
        if error:
            raise typer.BadParameter(f"{runner}: {error}", param_hint="--runner")
        wanted = load_recipe(recipe, [*set_, "input.allow_empty=true"] if allow_empty else set_, [*input, *files])
        if not wanted.input.paths and wanted.input.format != "python-env":
            raise typer.BadParameter("the recipe names no input; give files with --input", param_hint="--input")
        from tamis.pipelines.cli.display import Display
        from tamis.pipelines.run import launch

        directory = output or f"run/{wanted.name}"
        if events is not None:
            events.run = redact(directory)
        if dry_run:
            from tamis.pipelines.estimate import dry_run as rehearsal

            estimate = rehearsal.estimate(wanted, directory, workers)
            if as_json:
                print_json(asdict(estimate))
            else:
                for line in rehearsal.lines(estimate):
                    typer.echo(line)
            return
        display = Display(quiet=as_json)
        result = (events or display).during(
            lambda planned, watch: launch.launch(wanted, directory, workers, fresh, planned, watch, runner, options)
        )
        if as_json:
            print_json(_summary(result))
        else:
            display.result(result)


@app.command()
def lint(recipe: RecipeName, set_: Overrides = [], as_json: Json = False) -> None:  # noqa: B006
    """Checks a recipe, and whether its order and learning-rate schedule fit together. Reads no data."""
    with told(as_json):
        from tamis.transforms.curriculum.lint import best_decile_mass, best_decile_weights
        from tamis.transforms.curriculum.lint import lint as lint_curriculum

        checked = load_recipe(recipe, set_)
        warnings = [{"code": w.code, "message": w.message, "numbers": w.numbers} for w in lint_curriculum(checked.curriculum)]
        mass = best_decile_mass(checked.curriculum)
        if as_json:
            shares = {"lr_mass_best_decile": mass, "weight_best_decile": best_decile_weights(checked.curriculum)}
            print_json({"recipe": checked.name, "curriculum": shares, "warnings": warnings})
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
    with told(as_json):
        from tamis.pipelines.cli.explain import explanation, lines

        try:
            found = explanation(run, id)
        except KeyError as error:
            raise RunError(str(error.args[0])) from None
        show(found, lines, as_json)


@app.command()
def verify(run: RunDirectory, as_json: Json = False) -> None:
    """Checks a finished run: every checksum, and that every document is accounted for. Names the file that is wrong."""
    with told(as_json):
        from tamis.transforms.core.manifest import read_manifest
        from tamis.transforms.provenance import verify

        problems = verify.verify(run)
        if as_json:
            print_json({"run": run, "sound": not problems, "problems": problems})
        elif problems:
            for problem in problems:
                typer.secho(problem, fg="red")
        else:
            counts = read_manifest(run)["counts"]
            typer.echo(
                f"sound: {counts['records']:,} records = {counts['kept']:,} kept + {counts['dropped']:,} dropped + "
                f"{counts['review']:,} review + {counts['rejected']:,} rejected; every checksum holds"
            )
        if problems:
            raise typer.Exit(PROBLEM)


@app.command()
def status(run: RunDirectory, as_json: Json = False) -> None:
    """What a run directory is doing, or did: from any terminal, while a run goes on, after one was killed, before the first."""
    with told(as_json):
        from tamis.pipelines.run.status import lines
        from tamis.pipelines.run.status import status as status_of

        found = status_of(run)
        if as_json:
            print_json(asdict(found))
        else:
            for line in lines(found):
                typer.echo(line)


@app.command()
def report(run: RunDirectory) -> None:
    """Writes report.html, one self-contained page."""
    with told(False):
        from tamis.pipelines.report.page import write_report

        typer.echo(write_report(run))


@app.command()
def schema(
    of: Annotated[str, typer.Argument(metavar="[recipe|plan]", help="Of a recipe, or of plan.json.")] = "recipe",
) -> None:
    """Prints a JSON schema, for editors and checks."""
    with told(False):
        from tamis.transforms.curriculum.training_plan import TrainingPlan

        models: dict[str, type[BaseModel]] = {"recipe": Recipe, "plan": TrainingPlan}
        if of not in models:
            raise RunError(f"no schema of '{of}': there is one of {' and one of '.join(models)}")
        print_json(models[of].model_json_schema())


@app.command("recipes")
def list_recipes() -> None:
    """Lists the shipped recipes."""
    for name in shipped_recipes():
        first = recipe_source(name)[1].splitlines()[0].removeprefix("#").strip()
        typer.echo(f"{name:<12} {first}")


@app.command()
def init(input: Annotated[list[str], typer.Argument(metavar="INPUT...", help="Files, folders or globs to look at.")]) -> None:
    """Looks at your files and prints a commented starter recipe for them."""
    with told(False):
        from tamis.pipelines.recipe.starter import starter

        try:
            typer.echo(starter(input), nl=False)
        except (FileNotFoundError, ValueError) as error:
            raise RunError(str(error)) from None


@app.command()
def warmup(as_json: Json = False) -> None:
    """Compiles every kernel ahead of the first run, about 20 seconds once for each environment and processor."""
    with told(as_json):
        from tamis.pipelines.cli.warmup import warm

        found = warm()
        if as_json:
            print_json(asdict(found))
        elif found.compiled:
            typer.echo(f"compiled {len(found.compiled)} kernels in {found.seconds:.1f} s")
        else:
            typer.echo(f"nothing to compile: {found.files} kernels are there")
        if not as_json:
            typer.echo(f"they are kept in {found.folder}")


def _pair(text: str) -> tuple[str, str]:
    name, equals, value = text.partition("=")
    if not equals or not name:
        raise typer.BadParameter(f"'{text}' is not of the form name=value", param_hint="--option")
    return name.lstrip("-"), value


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


def _show_without_credentials(kind: type[BaseException], error: BaseException, trace: TracebackType | None) -> None:
    sys.stderr.write(redact("".join(traceback.format_exception(kind, error, trace))))


def main() -> None:
    """The entry point of the command."""
    share_one_heap()
    logging.disable()  # Beam's and its friends'; what goes wrong reaches the person as an exception, once
    sys.excepthook = _show_without_credentials
    warnings.showwarning = lambda message, *_: typer.secho(str(message), fg="yellow", err=True)
    try:
        app()
    except BrokenPipeError:
        sys.exit(PROBLEM)
