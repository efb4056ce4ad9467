"""Every command of the documentation does what the page says.

The conventions of the pages:

- `console`: lines after `$ ` are run, in the order of the page, in one folder per page that
  tests/docs/sample_files.py fills. The lines below a command must appear in its output; numbers may
  differ, and `...` stands for any text. A command that ends in `# exit code N` must end with N.
- `python` blocks are run as programs; a `text` block right below one is its output.
- `yaml` blocks, and inline sections such as `select: {…}`, must load as recipes. They are completed by
  a recipe with every rater.
- A block that begins with `# file: NAME` is written into the folder instead.
- Other blocks are `text`, and are not run. A command that cannot run here is in `ELSEWHERE`.
- Inline code that begins with `tamis`, `make`, `pip install` or `python -m` names commands,
  options, targets, extras and modules that exist.
"""

from __future__ import annotations

import os
import re
import shlex
import shutil
import subprocess
import sys
import tomllib
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import pytest
import typer
import yaml
from typer.testing import CliRunner

from tamis.pipelines.cli.main import app
from tamis.pipelines.recipe.load import load_recipe, shipped_recipes
from tamis.pipelines.recipe.raters import RATERS
from tamis.pipelines.recipe.schema import Recipe
from tests.docs.page_code import PAGES, ROOT, Block, Command, blocks, commands, spans
from tests.docs.recipe_reference import every_rater
from tests.docs.sample_files import make_sample_files

BIN = Path(sys.executable).parent


class Elsewhere(NamedTuple):
    """Commands that are not run here: how they begin, why, and what runs them."""

    begins: str
    reason: str
    runs_in: str


ELSEWHERE = (
    Elsewhere("python3 -m venv", "needs a package index", "make install"),
    Elsewhere("pip install", "needs a package index", "tests/deploy/test_wheel.py"),
    Elsewhere("make ", "takes minutes", "Makefile"),
    Elsewhere("tamis view ", "serves until it is interrupted", "tests/pipelines/view/test_view_in_a_browser.py"),
    Elsewhere("python -m tests.bench.orders", "needs the real corpora", "tests/bench/orders.py"),
    Elsewhere("tamis proxy ", "trains models", "tests/pipelines/training/test_rank_runs.py"),
    Elsewhere("tamis proxy-orders ", "trains models", "tests/pipelines/training/test_compare_orders.py"),
    Elsewhere("tamis proxy-memory ", "trains models", "tests/pipelines/proxy_memory/test_measure_memory.py"),
    Elsewhere(
        "tamis contamination rephrased run/benchmarks --output judged",
        "needs a model behind an endpoint",
        "tests/transforms/decontaminate/rephrased/test_chat_judge.py",
    ),
    Elsewhere(
        "tamis contamination rephrased run/benchmarks --output translated",
        "needs an embedding model",
        "tests/pipelines/contamination/test_rephrased_items.py",
    ),
    Elsewhere("deploy/cluster ", "needs Java, Maven and a network", "tests/pipelines/runners/clusters.py"),
    Elsewhere("deploy/spark-submit.sh ", "needs Spark", "tests/pipelines/runners/test_on_clusters.py"),
    Elsewhere("tamis run gopher --input 'crawl/*.jsonl.zst' --runner", "needs a cluster", "make test-flink"),
    Elsewhere("tamis run recipe.yaml --input 'gs://", "needs Google Cloud", "tests/pipelines/runners/test_on_dataflow.py"),
    Elsewhere("cp deploy/airflow/", "needs Airflow", "tests/deploy/test_airflow.py"),
    Elsewhere("docker ", "needs an image registry", "tests/deploy/test_containers.py"),
    Elsewhere("kubectl ", "needs Kubernetes", "tests/deploy/test_kubernetes.py"),
    Elsewhere("sudo ", "needs systemd or cron", "tests/deploy/test_schedules.py"),
)

# --- the conventions -----------------------------------------------------------------------------------------------------


@pytest.fixture(scope="session")
def sample(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Read only."""
    folder = tmp_path_factory.mktemp("sample")
    make_sample_files(folder)
    return folder


@pytest.fixture
def folder(sample: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A copy of the sample files, and the working directory."""
    shutil.copytree(sample, tmp_path, dirs_exist_ok=True)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("PATH", f"{BIN}{os.pathsep}{os.environ['PATH']}")
    return tmp_path


def name_of(page: Path) -> str:
    return str(page.relative_to(ROOT))


def runnable(page: Path) -> bool:
    """Whether the page has something that is run here."""
    return any(
        block.language == "python" or (block.language == "console" and not all(elsewhere(c.text) for c in commands(block)))
        for block in blocks(page)
    )


def elsewhere(command: str) -> Elsewhere | None:
    return next((entry for entry in ELSEWHERE if command.startswith(entry.begins)), None)


def page_commands() -> Iterator[tuple[Path, Command]]:
    """Every command of every page."""
    for page in PAGES:
        for block in blocks(page):
            if block.language == "console":
                yield from ((page, command) for command in commands(block))


@pytest.mark.slow
@pytest.mark.parametrize("page", filter(runnable, PAGES), ids=name_of)
def test_the_commands_of_a_page_run_in_its_order(page: Path, folder: Path) -> None:
    code = "\n".join(block.text for block in blocks(page))
    if "from transformers" in code:
        pytest.importorskip("torch")
    if "feed.for_transformers" in code:
        pytest.importorskip("accelerate", reason="accelerate is not installed")
    if "from lightning" in code:
        pytest.importorskip("lightning", reason="lightning is not installed")
    if "from litdata" in code:
        pytest.importorskip("litdata", reason="litdata is not installed")
    if "feed.for_megatron" in code:
        pytest.importorskip("megatron.core", reason="megatron-core is not installed")
    python_output: str | None = None
    for block in blocks(page):
        where = f"{name_of(page)}:{block.line}"
        if block.text.startswith("# file: "):
            write_file(block, folder)
        elif block.language == "text" and python_output is not None:
            check_output(block.text.splitlines(), python_output, where)
        elif block.language == "console":
            for command in commands(block):
                if elsewhere(command.text) is None:
                    place = f"{name_of(page)}:{command.line}: {command.text}"
                    check_output(command.output, run(command.text, place), place)
        python_output = None
        if block.language == "python" and not block.text.startswith("# file: "):
            python_output = shell([sys.executable, "-c", block.text], where)


def write_file(block: Block, folder: Path) -> None:
    head, _, content = block.text.partition("\n")
    path = folder / head.removeprefix("# file: ")
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(content)


def run(command: str, place: str) -> str:
    """Runs a line of a page and returns what it printed; fails if its exit code is not the documented one."""
    line, _, code = command.partition("# exit code ")
    words, output = plain_words(line)
    if words[:1] != ["tamis"]:
        return shell(["bash", "-euo", "pipefail", "-c", line], place, int(code or 0))
    result = CliRunner().invoke(app, words[1:])  # in this process: a start of Python and Beam takes seconds
    assert result.exit_code == int(code or 0), f"{place}\n{result.output}\n{result.exception!r}"
    if output is None:
        return result.output
    Path(output).write_text(result.stdout)
    return ""


def plain_words(line: str) -> tuple[list[str], str | None]:
    """(words, file that the output goes to) of a command that needs no shell; no words where it needs one."""
    lexer = shlex.shlex(line, posix=True, punctuation_chars="|&;<>$*?`")
    lexer.whitespace_split = True
    words = list(lexer)
    output = words[-1] if words[-2:-1] == [">"] else None
    words = words[:-2] if output is not None else words
    quoted = shlex.split(line)
    return (words, output) if words == quoted[: len(words)] and len(quoted) - len(words) in (0, 2) else ([], None)


def shell(argv: Sequence[str], place: str, code: int = 0) -> str:
    process = subprocess.run(argv, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, timeout=120)
    assert process.returncode == code, f"{place}\n{process.stdout}"
    return process.stdout


def check_output(expected: Sequence[str], output: str, place: str) -> None:
    """The expected lines appear in the output, in their order. Numbers and line breaks may differ."""
    rest = mask_numbers(output)
    for piece in filter(str.strip, re.split(r"(?:^|\s)\.\.\.(?:\s|$)", "\n".join(expected))):
        _, match, rest = rest.partition(mask_numbers(piece))
        assert match, f"{place}\nis not in its output:\n{piece}\nThe output is:\n{output}"


def mask_numbers(text: str) -> str:
    text = re.sub(r"\b(?=[0-9a-f]*\d)[0-9a-f]{12,64}\b", "#", text)
    return re.sub(r"\d[\d,.]*", "#", " ".join(text.split()))


@pytest.mark.parametrize("page", PAGES, ids=name_of)
def test_code_is_run_or_is_only_text(page: Path) -> None:
    languages = {block.language for block in blocks(page) if not block.text.startswith("# file: ")}
    assert languages <= {"console", "python", "yaml", "text"}


# --- recipes -------------------------------------------------------------------------------------------------------------

RECIPES = [
    pytest.param(block.text, id=f"{name_of(page)}:{block.line}")
    for page in PAGES
    for block in blocks(page)
    if block.language == "yaml" and not block.text.startswith("# file: ")
] + [
    pytest.param(span, id=f"{name_of(page)}: {span}")
    for page in PAGES
    for span in spans(page)
    if re.match(rf"(?:{'|'.join(Recipe.model_fields)}): [{{\[]", span)
]


WITH_MODELS = ("fasttext", "trained", "classifier", "embedding")
"""Raters of a model, which a recipe names itself."""


@pytest.mark.parametrize("text", RECIPES)
def test_recipes_load(text: str, tmp_path: Path) -> None:
    raters = every_rater().model_dump(mode="json")["rate"]
    recipe: dict[str, Any] = {"rate": raters, **yaml.safe_load(text)}
    if "rate" in recipe:
        own = {name: options for name, options in raters.items() if name not in WITH_MODELS}
        recipe["rate"] = {**own, **recipe["rate"]}
    path = tmp_path / "recipe.yaml"
    path.write_text(yaml.safe_dump(recipe))
    load_recipe(str(path), [])


# --- commands that run elsewhere -----------------------------------------------------------------------------------------


def test_every_exception_is_needed_and_runs_somewhere() -> None:
    lines = [command.text for _, command in page_commands()]
    makefile = (ROOT / "Makefile").read_text()
    for entry in ELSEWHERE:
        assert any(elsewhere(line) is entry for line in lines), f"no page has a command that begins with {entry.begins!r}"
        if entry.runs_in.startswith("make "):
            assert re.search(rf"^[\w -]*\b{entry.runs_in.removeprefix('make ')}\b.*:", makefile, re.MULTILINE), entry
        else:
            assert (ROOT / entry.runs_in).is_file(), entry


@pytest.mark.parametrize(
    ("page", "command"),
    [pytest.param(page, c, id=f"{name_of(page)}:{c.line}") for page, c in page_commands() if elsewhere(c.text) is not None],
)
def test_a_command_that_runs_elsewhere_is_well_formed(page: Path, command: Command) -> None:
    """Options and targets exist, and so does every file of the repository that it names."""
    words = shlex.split(command.text, comments=True)
    for word in words:
        if word.split("/")[0] in ("deploy", "docs", "pipelines", "tests", "transforms"):
            assert (ROOT / word).exists(), word
    check_words(words)
    if words[0] == "tamis":
        parse(words[1:])


def check_words(words: Sequence[str]) -> None:
    if words[0] == "make" and len(words) > 1:
        check_make(words[1:])
    if words[:2] == ["python", "-m"]:
        assert (ROOT / f"{words[2].replace('.', '/')}.py").is_file(), words[2]
    if words[:2] == ["pip", "install"]:
        extras = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["optional-dependencies"]
        assert {
            extra for word in words for extra in re.findall(r"[\w-]+", "".join(re.findall(r"\[(.*)\]", word)))
        } <= extras.keys()


def check_make(words: Sequence[str]) -> None:
    makefile = (ROOT / "Makefile").read_text()
    for word in words:
        name, equals, _ = word.partition("=")
        if equals:
            assert re.search(rf"\$[({{]{name}\b|\$\(or \$\({name}\)", makefile), f"the Makefile reads no {name}"
        else:
            assert re.search(rf"^[\w -]*(?<![\w-]){name}(?![\w-])[\w -]*:", makefile, re.MULTILINE), f"no target {name}"


def all_commands(group: Any, prefix: str = "") -> dict[str, Any]:
    """Every command of a group, by its words, without the groups."""
    found: dict[str, Any] = {}
    for name, command in group.commands.items():
        found |= all_commands(command, f"{prefix}{name} ") if hasattr(command, "commands") else {prefix + name: command}
    return found


def parse(arguments: Sequence[str]) -> None:
    """Parses a command line of tamis without running it. Raises a usage error for what the command does not take."""
    group = typer.main.get_command(app)
    for command in all_commands(group).values():
        command.callback = lambda **options: None
    group.main(list(arguments), standalone_mode=False)


# --- inline code ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("page", PAGES, ids=name_of)
def test_inline_commands_exist(page: Path) -> None:
    group = typer.main.get_command(app)
    for span in spans(page):
        words = span.split()
        if words[0] in ("make", "python", "pip"):
            check_words(shlex.split(span))
        if words[0] != "tamis" or len(words) == 1:
            continue
        assert words[1] in group.commands, span
        command = group.commands[words[1]]
        if hasattr(command, "commands") and len(words) > 2:
            assert words[2] in command.commands, span
            command = command.commands[words[2]]
        options = {option for parameter in command.params for option in parameter.opts}
        for option in re.findall(r"(?<!\S)--?[a-z][\w-]*", span):
            assert option in options, span


def test_the_pages_know_every_command_recipe_and_rater() -> None:
    text = "\n".join(page.read_text() for page in PAGES)
    for name in all_commands(typer.main.get_command(app)):
        assert f"`tamis {name}" in text or f"$ tamis {name}" in text, name
    for name in shipped_recipes():
        assert f"`{name}`" in text, name
    for name in RATERS.shipped:
        assert f"`{name}`" in text, name
