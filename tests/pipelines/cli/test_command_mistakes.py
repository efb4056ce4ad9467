"""Plausible mistakes on the command line, each with the message that a person gets and its exit code."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest
from typer.testing import CliRunner

from tamis.pipelines.cli.main import app
from tamis.pipelines.recipe.load import recipe_source
from tamis.pipelines.run import progress
from tests.pipelines.running import run


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run `done`, records whose text is called content, and a folder with something else."""
    folder = tmp_path_factory.mktemp("mistakes")
    (folder / "in").mkdir()
    records = ({"id": f"doc-{number}", "content": f"text number {number}", "lang": "en"} for number in range(9))
    (folder / "in/a.jsonl").write_text("".join(json.dumps(record) + "\n" for record in records))
    (folder / "r.yaml").write_text("rate: {}\n")
    (folder / "full").mkdir()
    (folder / "full/thesis.tex").touch()
    run(folder / "r.yaml", folder / "in", folder / "done", "input.fields.text=content")
    return folder


@pytest.mark.parametrize(
    ("command", "code", "message"),
    [
        ("rnu gopher", 2, "No such command 'rnu'. Did you mean 'run'?"),
        ("run", 2, "Missing argument 'RECIPE'."),
        ("run gophr -i in", 2, "gophr: no such file or shipped recipe (c4, curriculum, dclm, dolma, fineweb, fineweb2,"),
        ("run gophr -i in", 2, "did you mean 'gopher'?"),
        ("run done -i in", 2, "done: is a folder: name a recipe file, or a shipped recipe (see tamis recipes)"),
        ("run gopher", 2, "the recipe names no input; give files with --input"),
        ("run gopher -i nowhere", 1, "input: nowhere: no such file or folder"),
        (
            "run r.yaml -i in -o new",
            1,
            "input: in/a.jsonl: no text field 'text'; the fields are: content, id, lang. Name the right one: "
            "--set input.fields.text=content",
        ),
        (
            "run r.yaml -i in -o new --dry-run --set input.fields.text=body",
            1,
            "no text field 'body'; the fields are: content, id, lang. Name the right one: --set input.fields.text=content",
        ),
        ("run r.yaml -i in -o full", 1, "--output 'full' holds other files (thesis.tex); name an empty or new directory"),
        ("run r.yaml -i in -o r.yaml", 1, "--output 'r.yaml' is a file; name a directory"),
        ("run r.yaml -i in --set thresholds", 2, "--set thresholds: should have the form section.field=value"),
        ("run r.yaml -i in --set sede=1", 2, "--set sede=1: sede: no such field; did you mean 'seed'?"),
        ("run r.yaml -i in --runner flnk", 2, "flnk: unknown runner; choose one of local, flink, spark, dataflow"),
        ("run r.yaml -i in --log yaml", 2, "'yaml' is not one of json, text"),
        ("run r.yaml -i in -q -v", 2, "it contradicts --verbose and --log"),
        ("run r.yaml -i in --option x", 2, "'x' is not of the form name=value"),
        (
            "run r.yaml -i in -o new --set rate.tokens.tokenizer=tiktoken:gpt5 --set input.fields.text=content",
            1,
            "rater 'tokens': tiktoken has no encoding 'gpt5'",
        ),
        ("lint nowhere.yaml", 2, "nowhere.yaml: no such file or shipped recipe"),
        ("recipes gofer", 2, "did you mean 'gopher'?"),
        ("diff done done@2", 1, "'done' has no release 2; it has 1"),
        ("diff done done --max-flips many", 2, "'many' is no number of documents, such as 100, or share, such as 0.5%"),
        ("query done 'select'", 1, "syntax error"),
        ("query done --format xml", 1, "no format 'xml': it is csv, json or parquet"),
        ("verify nowhere", 1, "'nowhere' has no manifest.json: it is not a run, or has no release yet"),
        ("verify done --key r.yaml", 1, "r.yaml is no public key in PEM"),
        ("sign done --key r.yaml", 1, "r.yaml is no private key in PEM: `openssl genpkey -algorithm ed25519` makes one"),
        ("card done --croissant --eu-ai-act", 1, "name one card: --croissant, --eu-ai-act or --datarubrics"),
        ("verify done@7", 1, "'done' has no release 7; it has 1"),
        ("explain done doc", 1, "no document 'doc' in release 1 of done: it is neither an id nor a URL; similar ids: doc-"),
        ("plan done --schedule cosine", 1, "--schedule cosine: write {shape: cosine}, with its other fields, or name a file"),
        ("plan done --schedule {shape:", 2, "--schedule:1: YAML: "),
        ("plan done --averaging mean", 1, "averaging: should be 'sma', 'ema', 'wma' or 'none'"),
        ("export done --format mosaic -o new", 2, "'mosaic' is not one of megatron, mds, parquet, litdata, jsonl"),
        ("export done --format megatron -o new", 1, "megatron needs a tokenizer (--tokenizer)"),
        ("index done --tokenizer gpt2", 1, "gpt2: no such tokenizer; give `bytes`, `tiktoken:gpt2` or the path of a tokenizer"),
        ("index done --tokenizer tiktoken:gpt-4o", 1, "the encoding of the model gpt-4o is 'o200k_base'"),
        ("proxy done done --validation done --tokens 1X", 2, "'1X' is not a number of tokens, such as 12800000, 12.8M or 100B"),
        ("proxy done --validation done", 1, "name two or more different runs to compare"),
        ("budget nowhere.yaml --tokens 1B", 1, "nowhere.yaml: No such file or directory"),
        ("schema pln", 1, "no schema of 'pln'; choose recipe or plan"),
        ("init nowhere", 1, "nowhere: no such file or folder"),
        ("du nowhere", 1, "'nowhere' is not a run: it has neither parts nor releases"),
        ("pin done", 1, "name a release by its number, as done@1; tamis releases done lists them"),
        ("clean done@9", 1, "'done' has no release 9"),
        ("takedown done", 1, "name what to take down: ids, --host or --near"),
        ("takedown done@7 doc-000001", 1, "release 7 of 'done' is not the current one, which is 1, and only that is patched"),
        ("purge done", 1, "name what to remove, with --ids or --host"),
        ("status nowhere", 1, "nowhere: never started"),
    ],
)
def test_a_mistake_is_told_with_its_cure(
    folder: Path, monkeypatch: pytest.MonkeyPatch, command: str, code: int, message: str
) -> None:
    monkeypatch.chdir(folder)
    if command.startswith("proxy "):
        pytest.importorskip("torch")
    result = CliRunner().invoke(app, command.split(maxsplit=3 if "{shape:" in command else -1))
    assert result.exit_code == code, result.output
    assert message in re.sub(r"[│╭╮╰╯─\s]+", " ", result.output)
    assert not (folder / "new").exists()


def test_status_succeeds_only_where_a_run_did(folder: Path) -> None:
    def code(run: Path) -> int:
        return CliRunner().invoke(app, ["status", str(run)]).exit_code

    assert (code(folder / "done"), code(Path(f"{folder}/done@1"))) == (0, 0)
    progress.write_attempt(f"{folder}/failed", progress.new_attempt(runner="local", error="the disk is full"))
    assert code(folder / "failed") == 1


def test_a_shipped_recipe_is_printed(folder: Path) -> None:
    assert CliRunner().invoke(app, ["recipes", "c4"]).stdout == recipe_source("c4")[1]


def test_quiet_prints_warnings_only_and_verbose_events_and_where_an_error_arose(folder: Path) -> None:
    command = ["run", str(folder / "r.yaml"), "-i", str(folder / "in"), "--workers", "1", "--set", "input.fields.text=content"]
    quiet = CliRunner().invoke(app, [*command, "-q", "-o", str(folder / "quiet")])
    assert (quiet.exit_code, quiet.stdout, quiet.stderr) == (0, "", "")
    changed = ["--set", "curriculum.by={wbe: tokens.count}", "--set", "curriculum.by={wbe: +tokens.count}"]
    warned = CliRunner().invoke(app, [*command, *changed, "-q", "-o", str(folder / "quiet")])
    assert warned.stdout == ""
    assert "warning  [names-nothing] curriculum.by names 'wbe'" in warned.stderr
    verbose = CliRunner().invoke(app, ["run", "gopher", "-i", str(folder / "in"), "-v", "-o", str(folder / "verbose")])
    assert verbose.exit_code == 1
    assert re.search(r'^Traceback[\s\S]*work_plan\.py[\s\S]* ERROR error message="input: ', verbose.stderr, re.MULTILINE)
