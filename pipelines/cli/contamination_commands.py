"""The commands about benchmark items in a corpus, such as `tamis contamination gain`."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import asdict
from typing import Annotated, Any

import typer
from typer.core import TyperGroup

from tamis.pipelines.cli.messages import PROBLEM, Json, ReleaseName, print_output, user_errors


class _ShowByDefault(TyperGroup):
    """`tamis contamination RUN` is `tamis contamination show RUN`, if a run or a release is there."""

    def resolve_command(self, ctx: Any, args: list[str]) -> tuple[str | None, Any, list[str]]:
        if args[0] not in self.commands and not args[0].startswith("-") and _is_run(args[0]):
            args = ["show", *args]
        return super().resolve_command(ctx, args)


def _is_run(name: str) -> bool:
    from tamis.transforms import storage
    from tamis.transforms.core.release import MANIFEST, parse_name

    try:
        return storage.exists(storage.join(parse_name(name)[0], MANIFEST))
    except (ImportError, OSError, ValueError):
        return False  # `show` says what is wrong with it


app = typer.Typer(
    cls=_ShowByDefault,
    help="Benchmark items in a corpus: what a release has met, what a recipe finds, rephrased items, what they change. "
    "`tamis contamination RUN` shows what RUN has met.",
)


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


@app.command()
def rephrased(
    run: ReleaseName,
    output: Annotated[str, typer.Option("--output", "-o", help="The table to write: .parquet, .jsonl or .csv.")],
    benchmark: Annotated[
        list[str],
        typer.Option(help="A name of the recipe or of the registry, or name=path; repeatable. Default: those of the recipe."),
    ] = [],  # noqa: B006
    top: Annotated[int, typer.Option(min=1, help="Passages of each item.")] = 5,
    least: Annotated[
        float | None, typer.Option(min=0, max=1, help="The score that they must exceed. Default: 0.08, or 0.5 with --embed.")
    ] = None,
    rule: Annotated[
        float | None,
        typer.Option(
            min=0, max=1, help="The score from which the rule calls one rephrased. Default: 0.12, or 0.85 with --embed."
        ),
    ] = None,
    window: Annotated[int, typer.Option(min=0, help="Words in a passage. 0: twice those of the median item.")] = 0,
    embed: Annotated[
        str, typer.Option(metavar="MODULE:FUNCTION", help="A Python function that embeds a list of texts, instead of TF-IDF.")
    ] = "",
    endpoint: Annotated[
        str, typer.Option(metavar="URL", help="Judge by a model, as https://host/v1; the key is OPENAI_API_KEY.")
    ] = "",
    model: Annotated[str, typer.Option(help="The name of the model at the endpoint.")] = "",
    requests: Annotated[int, typer.Option(min=1, help="The most requests to the endpoint.")] = 10_000,
    workers: Annotated[int, typer.Option(min=1, help="Requests at a time.")] = 8,
    log: Annotated[str, typer.Option(help="The log of the model's answers. Default: OUTPUT.verdicts.jsonl.")] = "",
    as_json: Json = False,
) -> None:
    """Find rephrased and translated benchmark items: the nearest passages of each item, and a verdict on each."""
    with user_errors(as_json):
        from pathlib import Path

        import pyarrow.compute as pc

        from tamis.pipelines.contamination.rephrased_items import (
            LEAST_COSINE,
            Search,
            benchmarks_of,
            find_rephrased,
            lines,
            load_encoder,
            writable,
            write_table,
        )
        from tamis.transforms import storage
        from tamis.transforms.core.errors import RunError
        from tamis.transforms.decontaminate.rephrased.chat_judge import ChatJudge
        from tamis.transforms.decontaminate.rephrased.judges import Judge, Rule

        writable(output)
        if bool(endpoint) != bool(model):
            raise RunError("name both the --endpoint and its --model")
        encode = load_encoder(embed) if embed else None
        judge: Judge = Rule(rule if rule is not None else (0.85 if embed else 0.12))
        if endpoint:
            path = storage.local_path(log or f"{output}.verdicts.jsonl")
            if path is None:
                raise RunError(f"name a local file for the answers: --log answers.jsonl; {output} is in a store")
            judge = ChatJudge(endpoint, model, Path(path), requests)
        search = Search(top, least if least is not None else (LEAST_COSINE if embed else 0.08), window, encode)
        found = find_rephrased(
            run,
            benchmarks_of(run, benchmark),
            search,
            judge,
            workers if endpoint else 1,
            lambda line: typer.echo(line, err=True),
        )
        write_table(found.table, output)
        suspicious = pc.sum(found.table["suspicious"]).as_py() or 0
        counts = {"items": found.items, "documents": found.documents, "passages": found.passages, "suspicious": suspicious}
        print_output({"output": output, **counts}, lines(found, output), as_json)


@app.command()
def show(
    run: ReleaseName,
    benchmark: Annotated[list[str], typer.Option(help="Only this benchmark; repeatable.")] = [],  # noqa: B006
    top: Annotated[int, typer.Option(min=0, help="Documents of each benchmark that are named.")] = 5,
    as_json: Json = False,
) -> None:
    """Show which benchmark items a release has met: items and documents by class and action, the highest scores."""
    with user_errors(as_json):
        from tamis.pipelines.contamination.contaminated_documents import contaminated_documents, lines

        found = contaminated_documents(run, benchmark, top)
        print_output([asdict(each) for each in found], lines(found), as_json)


@app.command()
def calibrate(
    recipe: Annotated[str, typer.Argument(metavar="RECIPE", help="A recipe file, or the name of a shipped recipe.")],
    input: Annotated[
        list[str], typer.Option("--input", "-i", help="Files, folders, globs or @lists; overrides input.paths.")
    ] = [],  # noqa: B006
    set_: Annotated[list[str], typer.Option("--set", metavar="a.b=c", help="Override a field of the recipe; repeatable.")] = [],  # noqa: B006
    rate: Annotated[float, typer.Option(min=0, max=1, help="The share of the documents that may be flagged.")] = 0.001,
    documents: Annotated[int, typer.Option(min=1, help="Documents of the input, at most.")] = 3000,
    seed: Annotated[int, typer.Option(help="Of the sample of documents.")] = 0,
    as_json: Json = False,
) -> None:
    """Find the threshold of each benchmark for a rate of false flags on your documents, as YAML for the recipe.

    The input should have no benchmark items in it. Writes nothing.
    """
    with user_errors(as_json):
        from tamis.pipelines.contamination.calibrate_recipe import calibrate_recipe, lines
        from tamis.pipelines.recipe.load import load_recipe

        found = calibrate_recipe(load_recipe(recipe, set_, input), rate, documents, seed)
        print_output(asdict(found), lines(found), as_json)


@app.command()
def compare(
    run: Annotated[str, typer.Argument(metavar="A[@N]", help="A run directory, or release N of it.")],
    other: Annotated[str, typer.Argument(metavar="B[@N]", help="Another one, or another release of the same.")],
    benchmark: Annotated[list[str], typer.Option(help="Only this benchmark; repeatable.")] = [],  # noqa: B006
    as_json: Json = False,
) -> None:
    """Compare the benchmark items of two releases: items and documents that only one has met, and shifts of scores."""
    with user_errors(as_json):
        from tamis.pipelines.contamination.compare_records import compare_records, lines

        found = compare_records(run, other, benchmark)
        print_output([asdict(each) for each in found], lines(found, run, other), as_json)


@app.command()
def probe(
    recipe: Annotated[str, typer.Argument(metavar="RECIPE", help="A recipe file, or the name of a shipped recipe.")],
    input: Annotated[
        list[str], typer.Option("--input", "-i", help="Files, folders, globs or @lists; overrides input.paths.")
    ] = [],  # noqa: B006
    set_: Annotated[list[str], typer.Option("--set", metavar="a.b=c", help="Override a field of the recipe; repeatable.")] = [],  # noqa: B006
    documents: Annotated[int, typer.Option(min=1, help="Documents of the input, at most.")] = 3000,
    items: Annotated[int, typer.Option(min=1, help="Items of each benchmark by each mutation, at most.")] = 60,
    mutation: Annotated[list[str], typer.Option(help="Only this mutation, as verbatim; repeatable.")] = [],  # noqa: B006
    negatives: Annotated[
        list[str],
        typer.Option(metavar="PATH", help="A file of other items, as of another split: a path, or benchmark=path; repeatable."),
    ] = [],  # noqa: B006
    translations: Annotated[
        list[str],
        typer.Option(
            metavar="PATH", help="A file of translated items, with id and text: a path, or benchmark=path; repeatable."
        ),
    ] = [],  # noqa: B006
    embed: Annotated[
        str,
        typer.Option(
            metavar="MODULE:FUNCTION", help="A Python function that embeds texts, to compare items with translations."
        ),
    ] = "",
    seed: Annotated[int, typer.Option(help="Of all draws.")] = 0,
    fail_below: Annotated[
        float | None, typer.Option(min=0, max=1, help="Exit with 1 if the recall of a benchmark, or the precision, is lower.")
    ] = None,
    as_json: Json = False,
) -> None:
    """Measure what a recipe finds: plants mutated benchmark items into documents of its input. Writes nothing."""
    with user_errors(as_json):
        from tamis.pipelines.contamination.probe_documents import Probe
        from tamis.pipelines.contamination.probe_recipe import probe_recipe
        from tamis.pipelines.contamination.recall_table import failures, lines, summary
        from tamis.pipelines.contamination.rephrased_items import load_encoder
        from tamis.pipelines.recipe.load import load_recipe
        from tamis.transforms.decontaminate.probe.mutations import MUTATIONS

        mutations = tuple(dict.fromkeys(mutation)) or tuple(MUTATIONS)
        encode = load_encoder(embed) if embed else None
        wanted = Probe(documents, items, seed, mutations, negatives, translations, encode)
        probed = probe_recipe(load_recipe(recipe, set_, input), wanted)
        found = summary(probed)
        print_output(found, lines(found), as_json)
        failed = failures(found, fail_below) if fail_below is not None else []
        for failure in failed:
            typer.secho(failure, fg="red", err=True)
        if failed:
            raise typer.Exit(PROBLEM)
