"""The `tamis` command. Exit codes: 0 success, 1 a problem, 2 wrong usage, 130 interrupted."""

from __future__ import annotations

import logging
import sys
import traceback
import warnings
from dataclasses import asdict
from types import TracebackType
from typing import TYPE_CHECKING, Annotated

import typer
from pydantic import BaseModel

from tamis.pipelines.cli import contamination_commands, provenance_commands, rate_commands, release_commands, training_commands
from tamis.pipelines.cli.messages import PROBLEM, Json, ReleaseName, RunDirectory, print_json, print_output, user_errors
from tamis.pipelines.cli.questions import question_commands
from tamis.pipelines.recipe.load import load_recipe, recipe_source, shipped_recipes
from tamis.pipelines.recipe.schema import Recipe
from tamis.pipelines.runners import registry
from tamis.transforms.core.errors import RunError
from tamis.transforms.runtime.credentials import redact
from tamis.transforms.runtime.memory import share_one_heap

if TYPE_CHECKING:
    from tamis.pipelines.run.launch import Result

app = typer.Typer(
    help="Turns raw text into a training-ready corpus: rated, deduplicated, decontaminated, selected and ordered.",
    context_settings={"help_option_names": ["-h", "--help"]},
    no_args_is_help=True,
    pretty_exceptions_enable=False,
)
app.add_typer(release_commands.app)
app.add_typer(provenance_commands.app)
app.add_typer(question_commands.app)
app.add_typer(training_commands.app)
app.add_typer(contamination_commands.app, name="contamination")
app.add_typer(rate_commands.app, name="rate")

RecipeName = Annotated[
    str, typer.Argument(metavar="RECIPE", help="A recipe file, or the name of a shipped recipe (see tamis recipes).")
]
Overrides = Annotated[list[str], typer.Option("--set", metavar="a.b=c", help="Override a field of the recipe; repeatable.")]


def _print_version(value: bool) -> None:
    if value:
        from importlib.metadata import version

        typer.echo(f"tamis {version('tamis')}")
        raise typer.Exit


@app.callback()
def options(
    version: Annotated[
        bool, typer.Option("--version", callback=_print_version, is_eager=True, help="Print the version and exit.")
    ] = False,
) -> None:
    pass


@app.command()
def run(
    recipe: RecipeName,
    files: Annotated[
        list[str], typer.Argument(metavar="FILE", help="More input, such as the rest of a glob that the shell expanded.")
    ] = [],  # noqa: B006
    input: Annotated[
        list[str], typer.Option("--input", "-i", help="Files, folders, globs or @lists; overrides input.paths.")
    ] = [],  # noqa: B006
    output: Annotated[
        str, typer.Option("--output", "-o", help="The run directory, a path or a URI in an object store. Default: run/RECIPE.")
    ] = "",
    set_: Overrides = [],  # noqa: B006
    runner: Annotated[str, typer.Option(help="Where the DAG runs: local, flink, spark or dataflow.")] = "local",
    workers: Annotated[int, typer.Option(min=0, help="Worker processes. 0: as many as pay, or all of a cluster.")] = 0,
    option: Annotated[
        list[str], typer.Option(metavar="name=value", help="A Beam pipeline option for the runner; repeatable.")
    ] = [],  # noqa: B006
    fresh: Annotated[bool, typer.Option("--fresh/--resume", help="Rate everything again, or reuse what is finished.")] = False,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Estimate time, disk, memory and kept documents from a sample. Writes nothing.")
    ] = False,
    allow_empty: Annotated[
        bool, typer.Option("--allow-empty", help="Without input files, keep the last release and exit with 0.")
    ] = False,
    log: Annotated[
        str, typer.Option(envvar="TAMIS_LOG", help="Print events on standard error instead of bars, one per line: text, json.")
    ] = "",
    quiet: Annotated[bool, typer.Option("--quiet", "-q", help="Print warnings and errors only.")] = False,
    verbose: Annotated[
        bool, typer.Option("--verbose", "-v", help="Print events, as --log text does, and where in the code an error arose.")
    ] = False,
    as_json: Json = False,
) -> None:
    """Run a recipe. Run it again to finish an interrupted run, or to redo only what changed."""
    from tamis.pipelines.cli.log import FORMATS, Log

    if quiet and (verbose or log):
        raise typer.BadParameter("it contradicts --verbose and --log", param_hint="--quiet")
    log = log or ("text" if verbose else "")
    if log not in ("", *FORMATS):
        raise typer.BadParameter(f"'{log}' is not one of {', '.join(FORMATS)}", param_hint="--log")
    events = Log(log, output) if log else None
    if events is not None:
        warnings.showwarning = lambda message, *_: events.event("warning", "warning", message=str(message))
    with user_errors(as_json, events, verbose):
        options = dict(_pair(text) for text in option)
        error = registry.usage_error(runner, options)
        if error:
            raise typer.BadParameter(f"{runner}: {error}", param_hint="--runner")
        loaded = load_recipe(recipe, [*set_, "input.allow_empty=true"] if allow_empty else set_, [*input, *files])
        if not loaded.input.paths and loaded.input.format != "python-env":
            raise typer.BadParameter("the recipe names no input; give files with --input", param_hint="--input")
        directory = output or f"run/{loaded.name}"
        if events is not None:
            events.run = redact(directory)
        if dry_run:
            from tamis.pipelines.estimate.dry_run import estimate, lines

            estimated = estimate(loaded, directory, workers)
            print_output(asdict(estimated), lines(estimated), as_json)
            return
        from tamis.pipelines.cli.display import Display, print_result, print_warnings
        from tamis.pipelines.run.progress import Observer

        with Display(quiet or as_json or events is not None) as display:
            from tamis.pipelines.run.launch import launch  # takes a while, in which something should be seen

            observer = events or (Observer() if as_json else display)
            result = launch(loaded, directory, workers, fresh, observer, runner, options, allow_shrink=bool(set_))
        if as_json:
            print_json(_summary(result))
        elif quiet:
            print_warnings(result)
        else:
            print_result(result, display.has_told)


@app.command()
def lint(recipe: RecipeName, set_: Overrides = [], as_json: Json = False) -> None:  # noqa: B006
    """Check a recipe, and whether its order suits its learning-rate schedule. Reads no data."""
    with user_errors(as_json):
        from tamis.pipelines.recipe.lint_recipe import lint_recipe
        from tamis.transforms.curriculum.lint import best_decile_mass, best_decile_weights

        checked = load_recipe(recipe, set_)
        warnings = [{"code": w.code, "message": w.message, "numbers": w.numbers} for w in lint_recipe(checked)]
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
    run: ReleaseName,
    document: Annotated[str, typer.Argument(metavar="ID|URL", help="The id of a document, or its URL.")] = "",
    text: Annotated[
        str, typer.Option(metavar="FILE", help="Find it by its text, or by a passage of it, in a file; - reads standard input.")
    ] = "",
    diff: Annotated[bool, typer.Option("--diff", help="Show what was removed from the text, inserted and cut.")] = False,
    as_json: Json = False,
) -> None:
    """Show what happened to a document and why: signals, every rule it fails, duplicates, place, changes."""
    with user_errors(as_json):
        from tamis.pipelines.cli.explain import lines
        from tamis.pipelines.lookup.explanation import explanation
        from tamis.transforms import storage

        if bool(document) == bool(text):
            raise typer.BadParameter("name a document by its id or its URL, or by --text", param_hint="ID|URL")
        content = sys.stdin.read() if text == "-" else storage.read_bytes(text).decode() if text else ""
        if text and not content.strip():
            raise RunError(f"--text {text}: the text is empty")
        try:
            explained = explanation(run, document, diff, content)
        except KeyError as error:
            raise RunError(str(error.args[0])) from None
        print_output(explained, lines(explained), as_json)
        if diff and not as_json:
            from tamis.pipelines.cli.diff import print_diff

            print_diff(explained["diff"])


@app.command()
def sample(
    run: ReleaseName,
    reason: Annotated[str, typer.Option(help="Only documents with this reason, as dedup.near or gopher.word_count.")] = "",
    decision: Annotated[str, typer.Option(help="Only documents that are: keep, drop or review.")] = "",
    source: Annotated[str, typer.Option(help="Only documents of this source.")] = "",
    where: Annotated[
        list[str], typer.Option(metavar="CONDITION", help="As 'tokens < 100' or 'language.label = de'; repeatable.")
    ] = [],  # noqa: B006
    near_limit: Annotated[
        bool, typer.Option("--near-limit", help="Those nearest to the limit of a threshold, kept and not, instead of any.")
    ] = False,
    number: Annotated[int, typer.Option("-n", min=1, help="How many.")] = 10,
    seed: Annotated[int, typer.Option(min=0, help="Another number gives another sample.")] = 0,
    full: Annotated[bool, typer.Option("--full", help="Show long texts whole.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON Lines: an object for each document.")] = False,
) -> None:
    """Show texts of documents, with what decided about them, and what was removed or cut marked."""
    with user_errors(as_json):
        from tamis.pipelines.lookup.document_sample import sample_documents
        from tamis.transforms.core.release import open_release

        query = {"decision": decision, "reason": reason, "source": source}
        sampled = sample_documents(open_release(run), number, **query, where=where, near_limit=near_limit, seed=seed)
        if as_json:
            for document in sampled.documents:
                print_json(document, indent=None)
        else:
            from tamis.pipelines.cli.print_sample import print_sample

            print_sample(sampled, full)


@app.command("what-if")
def what_if(
    run: ReleaseName,
    set_: Annotated[
        list[str],
        typer.Option("--set", metavar="a.b=c", help="Another limit, as thresholds.gopher.word_count.min=80; repeatable."),
    ],
    samples: Annotated[int, typer.Option(min=0, help="Examples of what would be kept newly, and of what no longer.")] = 0,
    seed: Annotated[int, typer.Option(min=0, help="Another number gives other examples.")] = 0,
    as_json: Json = False,
) -> None:
    """Count what other limits would keep and drop, from the signals of a release. Makes no release."""
    with user_errors(as_json):
        from tamis.pipelines.estimate.what_if import WhatIf
        from tamis.pipelines.estimate.what_if_lines import lines
        from tamis.pipelines.recipe.load import with_limits
        from tamis.transforms.core.release import open_release

        release = open_release(run)
        recipe, asked = with_limits(release.manifest, set_), WhatIf(release)
        answer = asked.answer(recipe, samples, seed)
        texts = asked.texts(answer.examples)
        limits = {*asked.recipe.rules.signals, *recipe.rules.signals}
        print_output(answer.as_json(texts), lines(answer, limits, texts), as_json)


@app.command()
def verify(
    run: ReleaseName,
    key: Annotated[
        str,
        typer.Option(metavar="PUBLIC.pem", help="Whose signature the release must have, the current one if RUN names none."),
    ] = "",
    as_json: Json = False,
) -> None:
    """Check every byte of all releases of a run, or of one, that every document is accounted for, and
    with --key who signed it."""
    with user_errors(as_json):
        from tamis.transforms.core.manifest import record_counts
        from tamis.transforms.core.release import open_release
        from tamis.transforms.provenance import verify

        problems = verify.verify(run)
        if key:
            from tamis.transforms.provenance.signatures import signature_problems

            problems += signature_problems(run, key)
        if as_json:
            print_json({"run": run, "sound": not problems, "problems": [asdict(problem) for problem in problems]})
        elif problems:
            for problem in problems:
                typer.secho(str(problem), fg="red")
        else:
            counts = record_counts(open_release(run).manifest["counts"])
            records, *by_decision = (f"{count:,} {name}" for name, count in counts.items() if count or name != "skipped")
            typer.echo(
                f"sound: {records} = {' + '.join(by_decision)}; all checksums match{', and the signature' if key else ''}"
            )
        if problems:
            raise typer.Exit(PROBLEM)


@app.command()
def status(run: RunDirectory, as_json: Json = False) -> None:
    """Show the state of a run directory, from any terminal and at any time.

    The exit code is 1 if there is no run, or if the last attempt failed or was interrupted.
    """
    with user_errors(as_json):
        from tamis.pipelines.run.status import lines
        from tamis.pipelines.run.status import status as status_of
        from tamis.transforms.core.release import parse_name

        current = status_of(parse_name(run)[0])
        print_output(current.model_dump(mode="json"), lines(current), as_json)
        if current.state in ("never started", "interrupted", "failed"):
            raise typer.Exit(PROBLEM)


@app.command()
def report(
    run: ReleaseName, output: Annotated[str, typer.Option("--output", "-o", help="Write the page again, to this file.")] = ""
) -> None:
    """Print the path of a release's report, one self-contained page."""
    with user_errors(False):
        from tamis.pipelines.report.page import write_report
        from tamis.pipelines.run.work_plan import REPORT
        from tamis.transforms import storage
        from tamis.transforms.core.release import open_release

        release = open_release(run)
        uri = output or release.uri(REPORT)
        if output or not storage.exists(uri):
            write_report(release, uri)
        typer.echo(uri)


@app.command()
def schema(file: Annotated[str, typer.Argument(metavar="recipe|plan", help="A recipe, or plan.json.")] = "recipe") -> None:
    """Print a JSON schema, for editors and validators."""
    with user_errors(False):
        from tamis.transforms.curriculum.training_plan import TrainingPlan

        models: dict[str, type[BaseModel]] = {"recipe": Recipe, "plan": TrainingPlan}
        if file not in models:
            raise RunError(f"no schema of '{file}'; choose {' or '.join(models)}")
        print_json(models[file].model_json_schema())


@app.command("recipes")
def list_recipes(
    recipe: Annotated[str, typer.Argument(metavar="[NAME]", help="The recipe to print.", show_default=False)] = "",
) -> None:
    """List the shipped recipes, or print one."""
    if recipe:
        with user_errors(False):
            typer.echo(recipe_source(recipe)[1], nl=False)
        return
    for name in shipped_recipes():
        first = recipe_source(name)[1].splitlines()[0].removeprefix("#").strip()
        typer.echo(f"{name:<12} {first}")


@app.command("raters")
def list_raters(as_json: Json = False) -> None:
    """List every signal that a recipe can measure, with unit, direction, range and source."""
    with user_errors(as_json):
        from tamis.pipelines.recipe.signal_list import signal_lines, signals_as_json

        print_output(signals_as_json() if as_json else None, () if as_json else signal_lines(), as_json)


@app.command()
def init(
    input: Annotated[list[str], typer.Argument(metavar="INPUT", help="Files, folders or globs to look at.")],
    kind: Annotated[
        str | None,
        typer.Option(help="Rules for web, books, code, multilingual or scored data; by default for what the files look like."),
    ] = None,
) -> None:
    """Look at your files, and print a commented recipe for them and their kind of data."""
    with user_errors(False):
        from tamis.pipelines.starter.starter import starter

        try:
            typer.echo(starter(input, kind), nl=False)
        except (FileNotFoundError, ValueError) as error:
            raise RunError(str(error)) from None


@app.command()
def warmup(as_json: Json = False) -> None:
    """Compile all kernels ahead of the first run: about a minute, once per environment and CPU."""
    with user_errors(as_json):
        from tamis.pipelines.cli.compile_kernels import compile_kernels, lines

        warmed = compile_kernels()
        print_output(asdict(warmed), lines(warmed), as_json)


def _pair(text: str) -> tuple[str, str]:
    name, equals, value = text.partition("=")
    if not equals or not name:
        raise typer.BadParameter(f"'{text}' is not of the form name=value", param_hint="--option")
    return name.lstrip("-"), value


def _summary(result: Result) -> dict[str, object]:
    from tamis.pipelines.releases.comparison import comparison
    from tamis.transforms.core.manifest import record_counts

    counts = result.manifest["counts"]
    compared = None if result.unchanged else comparison(result.release)
    return {
        "run": result.run,
        "release": result.release.number,
        "unchanged": result.unchanged,
        "mended": result.mended,
        "counts": record_counts(counts),
        "reasons": counts["reasons"],
        "tokens": counts["tokens"],
        "seconds": result.seconds,
        "shards": {"rated": result.rated, "reused": result.reused, "emitted": len(result.manifest["curriculum"]["shards"])},
        "changed": compared and asdict(compared),
        "warnings": result.manifest["warnings"],
        "paths": {
            "data": result.release.uri("data"),
            "decisions": result.release.uri("decisions"),
            "rejects": f"{result.run}/rejects",
            "manifest": result.release.uri("manifest.json"),
            "report": result.release.uri("report.html"),
        },
    }


def _print_without_credentials(kind: type[BaseException], error: BaseException, trace: TracebackType | None) -> None:
    sys.stderr.write(redact("".join(traceback.format_exception(kind, error, trace))))


def _keep_only(name: str, group: typer.Typer) -> bool:
    """Leaves the command `name` alone in a group that has it: typer makes parsers of all, in .05 s. Whether it does."""
    commands = [
        command
        for command in group.registered_commands
        if command.callback is not None and name == (command.name or command.callback.__name__.replace("_", "-"))
    ]
    groups = [
        inner
        for inner in group.registered_groups
        if inner.typer_instance is not None
        and (inner.name == name if isinstance(inner.name, str) else _keep_only(name, inner.typer_instance))
    ]
    if commands or groups:
        group.registered_commands, group.registered_groups = commands, groups
    return bool(commands or groups)


def main() -> None:
    """The entry point of `tamis`."""
    share_one_heap()
    logging.disable()  # errors reach the user once, as exceptions; Beam logs them again
    sys.excepthook = _print_without_credentials
    warnings.showwarning = lambda message, *_: typer.secho(str(message), fg="yellow", err=True)
    _keep_only("".join(sys.argv[1:2]), app)
    try:
        app()
    except BrokenPipeError:
        sys.exit(PROBLEM)
