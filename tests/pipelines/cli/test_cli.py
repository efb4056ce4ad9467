"""The command as scripts and people meet it: exit codes, JSON, what it says, what it imports, how it ends."""

from __future__ import annotations

import copy
import json
import os
import pty
import re
import shutil
import signal
import subprocess
import sys
import time
from importlib.metadata import version
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest
from typer.main import get_command
from typer.testing import CliRunner

from tamis.pipelines.cli.main import _keep_only, app
from tamis.pipelines.recipe.load import load_recipe, shipped_recipes
from tests.pipelines.corpus import corpus
from tests.pipelines.running import folder_of

ROOT = Path(__file__).resolve().parents[3]
TAMIS = [sys.executable, "-c", "from tamis.pipelines.cli.main import main; main()"]


def invoke(*arguments: str | Path) -> Any:
    return CliRunner().invoke(app, [str(argument) for argument in arguments])


def run_json(*arguments: str | Path, code: int = 0) -> Any:
    """The output of a command with --json: one value in strict JSON and nothing else."""
    result = invoke(*arguments, "--json")
    assert result.exit_code == code, result.output
    return json.loads(result.stdout, parse_constant=pytest.fail)


def test_the_parser_of_one_command_is_made_without_those_of_the_others() -> None:
    every = set(getattr(get_command(app), "commands"))  # noqa: B009 - a group of typer's own
    assert len(every) > 30
    for asked in (*every, "", "nonsense"):
        chosen = copy.deepcopy(app)
        assert _keep_only(asked, chosen) == (asked in every)
        assert set(getattr(get_command(chosen), "commands")) == ({asked} & every or every)  # noqa: B009


def prose(number: int, sentences: int = 8) -> str:
    """Prose of its own: every sentence names the number, in letters, since digits count as one in a shingle."""
    mark = "".join(chr(ord("a") + int(digit)) for digit in str(number))
    names = ["Anna", "Bela", "Cato", "Dora", "Emil", "Fred", "Gina", "Hugo"][:sentences]
    return " ".join(
        f"{name}{mark} walked to the river {mark} and said that the water was cold, and went home." for name in names
    )


RECIPE = """
rate: {gopher: {}, repetition: {}}
max_rejects: 1
thresholds:
  gopher.word_count: {min: 30, max: 1000}
dedup: {minhash: {}}
quality: [{signal: gopher.alphabetic_words, range: [0, 1]}]
curriculum: {order: ascending, schedule: {shape: wsd, peak: 3.0e-3, final: 1.0e-3}}
"""


@pytest.fixture(scope="module")
def ran(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, subprocess.CompletedProcess[str]]:
    """A run on two workers with its output in pipes."""
    folder = tmp_path_factory.mktemp("cli")
    records = [
        *({"id": f"doc-{n}", "text": prose(n), "source": "web", "url": f"http://x/{n}"} for n in range(9)),
        {"id": "copy", "text": prose(3), "source": "web"},
        {"id": "near", "text": prose(4) + " Nobody else was there.", "source": "book"},
        {"id": "short", "text": "Too short.", "source": "web"},
    ]
    (folder / "in.jsonl").write_text("".join(json.dumps(record) + "\n" for record in records) + "{broken\n")
    (folder / "r.yaml").write_text(RECIPE)
    command = ["run", "r.yaml", "-i", "in.jsonl", "-o", "run", "--workers", "2", "--json"]
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    return folder, subprocess.run([*TAMIS, *command], cwd=folder, env=environment, capture_output=True, text=True, timeout=120)


# --- run -----------------------------------------------------------------------------------------------------------------


def test_run_ends_with_one_json_object_that_adds_up(ran) -> None:
    folder, process = ran
    assert process.returncode == 0, process.stderr
    assert process.stderr == ""
    result = json.loads(process.stdout, parse_constant=pytest.fail)
    counts = result["counts"]
    assert counts == {"records": 13, "kept": 9, "dropped": 3, "review": 0, "rejected": 1, "skipped": 0}
    assert {(reason["decision"], reason["reason"]): reason["documents"] for reason in result["reasons"]} == {
        ("drop", "dedup.exact"): 1,
        ("drop", "dedup.near"): 1,
        ("drop", "gopher.word_count"): 1,
    }
    tokens = result["tokens"]
    assert tokens["in"] == tokens["kept"] + tokens["dropped"] + tokens["review"] > 0
    assert list(result["seconds"]) == ["rate", "decide", "emit"]
    assert min(result["seconds"].values()) > 0
    assert result["shards"] == {"rated": 1, "reused": 0, "emitted": 1}
    assert not result["unchanged"]
    for path in result["paths"].values():
        assert (folder / path).exists(), path
    assert sum(pq.read_metadata(file).num_rows for file in (folder / result["paths"]["data"]).rglob("*.parquet")) == 9


def test_the_same_run_again_says_so_and_a_moved_threshold_redoes_only_the_decision(ran, tmp_path: Path) -> None:
    folder, _ = ran
    shutil.copytree(folder, tmp_path / "x", symlinks=True)
    command = ("run", tmp_path / "x/r.yaml", "-i", folder / "in.jsonl", "-o", tmp_path / "x/run", "--workers", "1")
    # The input was named relative to another folder: other URIs, so the parts are rated once more.
    assert run_json(*command)["shards"]["rated"] == 1
    again = run_json(*command)
    assert (again["unchanged"], again["counts"]["kept"]) == (True, 9)
    output = invoke(*command)
    assert "nothing changed since release 2" in output.stderr
    moved = invoke(*command, "--set", "thresholds.gopher.word_count.min=2")
    assert "1 part rated already: only Decide and Emit run" in moved.stderr
    assert re.search(r"^kept\s+10\b", moved.stdout, re.MULTILINE)
    assert "0 parts rated, 1 reused" in moved.stdout
    assert run_json(*command, "--fresh")["shards"] == {"rated": 1, "reused": 0, "emitted": 1}


def test_a_glob_that_the_shell_expands_is_all_input(tmp_path: Path) -> None:
    (tmp_path / "r.yaml").write_text(RECIPE)
    for n in range(3):
        (tmp_path / f"{n}.jsonl").write_text(json.dumps({"id": f"doc-{n}", "text": prose(n)}) + "\n")
    files = sorted(tmp_path.glob("*.jsonl"))
    result = run_json("run", tmp_path / "r.yaml", "--input", *files, "-o", tmp_path / "run", "--workers", "1")
    assert result["counts"]["records"] == 3


def test_output_in_a_pipe_is_plain_text_in_whole_lines(ran, tmp_path: Path) -> None:
    folder, _ = ran
    run = tmp_path / ("a-long-name-" * 10)
    result = invoke("run", folder / "r.yaml", "-i", folder / "in.jsonl", "-o", run, "--workers", "1")
    assert result.exit_code == 0, result.stderr
    assert "\x1b" not in result.stdout + result.stderr
    assert "━" not in result.stdout + result.stderr
    first, *others = result.stderr.splitlines()
    assert first == "1 part to rate, 0.0 MB of input"
    assert len(others) <= 1  # that kernels are compiled first
    assert f"report   {run}/releases/000001/report.html" in result.stdout.splitlines()


@pytest.mark.slow
def test_on_a_terminal_the_bars_end_full_and_no_log_line_gets_between(ran, tmp_path: Path) -> None:
    folder, _ = ran
    command = [
        *TAMIS,
        "run",
        str(folder / "r.yaml"),
        "-i",
        str(folder / "in.jsonl"),
        "-o",
        str(tmp_path / "run"),
        "--workers",
        "2",
    ]
    pid, terminal = pty.fork()
    if pid == 0:
        os.environ.update(TERM="xterm-256color", COLUMNS="100", LINES="30", PYTHONPATH=str(ROOT))
        os.execv(command[0], command)
    shown = b""
    while True:
        try:
            piece = os.read(terminal, 1 << 16)
        except OSError:  # how Linux says that the other side is closed
            break
        if not piece:
            break
        shown += piece
    assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 0, shown.decode()
    text = shown.decode()
    assert not re.search(r"INFO|WARNING|Traceback|apache_beam", text)
    plain = re.sub(r"\x1b\[[0-9;?]*[a-zA-Z]", "", text)
    bars, table = re.split(r"documents +tokens", plain)  # which is printed once
    assert re.findall(r"decide\s+━{24} 100% ", bars), plain
    assert "emit" not in bars
    assert re.findall(r"emit\s+━{24} 100% ", table), plain
    assert table.index("kept") < table.index("emit") < table.index("report")


@pytest.mark.slow
def test_a_run_that_is_interrupted_ends_at_once_with_a_hint_and_no_process_left(tmp_path: Path) -> None:
    command = [*TAMIS, "run", "python-env", "-o", str(tmp_path / "run"), "--workers", "2"]
    started = subprocess.Popen(
        command,
        cwd=ROOT,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.default_int_handler),  # whatever the tests were started with
    )
    until = time.monotonic() + 60
    while not list(tmp_path.glob("run/.progress/rate.*")) and time.monotonic() < until:
        time.sleep(0.1)
    os.killpg(started.pid, signal.SIGINT)
    began = time.monotonic()
    _, stderr = started.communicate(timeout=30)
    assert time.monotonic() - began < 10
    assert started.returncode == 130, stderr
    assert "interrupted; run the same command again to finish" in stderr
    assert "Traceback" not in stderr
    assert not (tmp_path / "run/manifest.json").exists()
    assert not _lives(started.pid, until=began + 10)


def _lives(group: int, until: float) -> bool:
    """Whether a process of the group is still there at last."""
    while time.monotonic() < until:
        try:
            os.killpg(group, 0)
        except ProcessLookupError:
            return False
        time.sleep(0.1)
    return True


@pytest.mark.parametrize(
    ("arguments", "reason"),
    [
        (["--runner", "direct"], "silently switches to another engine"),
        (["--runner", "dask"], "drops sinks, bundles and tagged outputs"),
        (["--runner", "nonsense"], "nonsense: unknown runner; choose one of local"),
        (["--workers", "-1"], "greater than or equal to 0"),
        (["--wrong"], "No such option"),
        ([], "names no input; give files with --input"),
    ],
)
def test_wrong_usage_is_refused_with_its_reason(arguments: list[str], reason: str) -> None:
    result = invoke("run", "gopher", *arguments)
    assert result.exit_code == 2
    assert reason in re.sub(r"[│╭╮╰╯─\s]+", " ", result.stderr)
    assert result.stdout == ""


def test_a_missing_model_is_missed_by_run_alone(tmp_path: Path) -> None:
    assert invoke("lint", "dclm").exit_code == 0
    (tmp_path / "in.jsonl").write_text('{"text": "words"}\n')
    result = invoke("run", "dclm", "-i", tmp_path / "in.jsonl", "-o", tmp_path / "run")
    assert result.exit_code == 1
    assert result.stderr.startswith(
        "rater 'dclm': openhermes_reddit_eli5_vs_rw_v2_bigram_200k_train.bin: no such fastText model"
    )
    assert result.exception is None or isinstance(result.exception, SystemExit)


# --- lint, schema, recipes -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("schedule", "percent"),
    [
        ("{shape: constant}", 10.000),
        ("{shape: wsd, decay: 0.06, final: 1.0e-5}", 6.263),
        ("{shape: wsd, decay: 0.18, final: 1.0e-3}", 4.750),
        ("{shape: wsd, decay: 0.18, final: 1.0e-5}", 1.799),
        ("{shape: wsd, decay: 0.37, final: 1.0e-5}", 0.982),
        ("{shape: cosine, final: 1.0e-5}", 0.229),
    ],
)
def test_lint_knows_what_each_schedule_leaves_to_the_best_tenth(schedule: str, percent: float) -> None:
    overrides = ("--set", f"curriculum.schedule={schedule}", "--set", "curriculum.schedule.peak=3e-3")
    report = run_json("lint", "curriculum", *overrides)
    assert round(100 * report["curriculum"]["lr_mass_best_decile"], 3) == percent
    assert [warning["code"] for warning in report["warnings"]] == (["ascending-muted"] if percent < 4 else [])


def test_lint_of_what_is_wrong_and_of_what_is_not() -> None:
    assert run_json("lint", "curriculum")["warnings"] == []
    weights = run_json("lint", "curriculum", "--set", "curriculum.half_life=0.1")["curriculum"]["weight_best_decile"]
    assert weights["lr_weighted"] > weights["ascending"] > weights["uniform"] == pytest.approx(0.1)
    output = invoke("lint", "curriculum", "--set", "curriculum.schedule.final=1e-5")
    assert (output.exit_code, "[ascending-muted]" in output.stdout) == (0, True)
    wrong = run_json("lint", "curriculum", "--set", "curriculum.schedule.final=1", code=2)
    assert "curriculum.schedule: final 1 is above peak 0.003" in wrong["error"]
    unknown = invoke("lint", "curiculum")
    assert unknown.exit_code == 2
    assert "did you mean 'curriculum'?" in unknown.stderr


def test_version_and_help() -> None:
    assert invoke("--version").stdout == f"tamis {version('tamis')}\n"
    assert invoke("run", "-h").stdout == invoke("run", "--help").stdout


def test_schema_and_recipes() -> None:
    assert json.loads(invoke("schema").stdout)["title"] == "Recipe"
    listed = invoke("recipes").stdout.splitlines()
    assert [line.split()[0] for line in listed] == shipped_recipes()


@pytest.mark.parametrize("arguments", [["--help"], ["run", "--help"], ["lint", "dclm"], ["schema"], ["recipes"]])
def test_what_needs_no_beam_starts_without_it_and_fast(arguments: list[str]) -> None:
    script = (
        "import sys, time; begun = time.process_time(); from tamis.pipelines.cli.main import main\n"
        "try: main()\n"
        "except SystemExit: pass\n"
        "heavy = {'apache_beam', 'numba', 'torch', 'pyarrow', 'scipy', 'fasttext', 'tokenizers'} & set(sys.modules)\n"
        "print(time.process_time() - begun, sorted(heavy), file=sys.stderr)"
    )
    for _ in range(5):  # the machine may be busy
        process = subprocess.run([sys.executable, "-c", script, *arguments], cwd=ROOT, capture_output=True, text=True)
        seconds, heavy = process.stderr.split(" ", 1)
        assert heavy.strip() == "[]"
        if float(seconds) < 1:
            return
    pytest.fail(f"{arguments} took {seconds} CPU seconds")


# --- explain, verify, report ---------------------------------------------------------------------------------------------


def test_explain_a_kept_document(ran) -> None:
    run = ran[0] / "run"
    document = run_json("explain", run, "doc-1")
    assert (document["decision"], document["reason"], document["source"], document["url"]) == (
        "keep",
        None,
        "web",
        "http://x/1",
    )
    assert document["signals"]["gopher.word_count"] == len(prose(1).split())
    shard = pq.read_table(run / document["shard"])
    assert shard["id"][document["row"]].as_py() == "doc-1"
    assert shard["text"][document["row"]].as_py() == prose(1)
    output = invoke("explain", run, "doc-1").stdout
    assert output.splitlines()[:2] == ["doc-1  (web, http://x/1)", "kept"]
    assert f"row {document['row']} of {document['shard']}" in output


def test_explain_what_a_threshold_dropped(ran) -> None:
    document = run_json("explain", ran[0] / "run", "short")
    assert (document["decision"], document["reason"], document["detail"]) == ("drop", "gopher.word_count", "2 < 30")
    assert document["thresholds"]["gopher.word_count"]["min"] == 30
    output = invoke("explain", ran[0] / "run", "short").stdout
    assert "dropped because of gopher.word_count: 2 < 30" in output
    assert re.search(r"gopher\.word_count +2 +min 30, max 1000 <- decided", output)


@pytest.mark.parametrize(("pair", "reason"), [({"doc-3", "copy"}, "dedup.exact"), ({"doc-4", "near"}, "dedup.near")])
def test_explain_a_copy_names_its_representative_and_how_alike_they_are(ran, pair: set[str], reason: str) -> None:
    run = ran[0] / "run"
    documents = {name: run_json("explain", run, name) for name in pair}
    (dropped,) = (name for name in pair if documents[name]["decision"] == "drop")
    (kept,) = pair - {dropped}
    assert (documents[dropped]["reason"], documents[dropped]["representative"], documents[kept]["copies"]) == (reason, kept, 2)
    if reason == "dedup.exact":
        assert documents[dropped]["jaccard"] == 1
    else:
        assert 0.7 <= documents[dropped]["jaccard"] < 1
    line = f"its duplicate {kept} was kept (Jaccard {documents[dropped]['jaccard']:.4f})"
    assert line in invoke("explain", run, dropped).stdout
    assert "stands for 2 copies" in invoke("explain", run, kept).stdout


def test_explain_an_unknown_id_names_the_nearest_and_the_rejects(ran) -> None:
    result = invoke("explain", ran[0] / "run", "dok-7")
    assert result.exit_code == 1
    assert re.search(r"no document 'dok-7' in .*; similar ids: doc-7, ", result.stderr)
    assert "1 records could not be read and have no id" in result.stderr
    assert "no document" in run_json("explain", ran[0] / "run", "dok-7", code=1)["error"]


def test_verify_names_the_file_that_is_wrong(ran, tmp_path: Path) -> None:
    assert run_json("verify", ran[0] / "run") == {"run": str(ran[0] / "run"), "sound": True, "problems": []}
    assert "13 records = 9 kept + 3 dropped + 0 review + 1 rejected" in invoke("verify", ran[0] / "run").stdout
    run = tmp_path / "run"
    shutil.copytree(ran[0] / "run", run, symlinks=True)
    shard = next((folder_of(run) / "data").rglob("*.parquet"))
    content = bytearray(shard.read_bytes())
    content[len(content) // 2] ^= 1
    shard.write_bytes(content)
    (rejects,) = (run / "rejects").iterdir()
    rejects.unlink()
    report = run_json("verify", run, code=1)
    assert not report["sound"]
    problems = [(found["path"], found["problem"]) for found in report["problems"]]
    assert problems == [
        (str(rejects.relative_to(run)), "missing"),
        (str(shard.relative_to(run)), "its bytes have changed (SHA-256 differs)"),
    ]
    assert all("run the same `tamis run` again" in found["cure"] for found in report["problems"])


@pytest.mark.parametrize("command", [["verify"], ["explain", "x"], ["report"]])
def test_what_is_no_run_is_told_so(command: list[str], tmp_path: Path) -> None:
    result = invoke(command[0], tmp_path, *command[1:])
    assert result.exit_code == 1
    assert "it is not a run, or has no release yet" in result.stderr


def test_report_says_where_it_is(ran) -> None:
    result = invoke("report", ran[0] / "run")
    assert result.stdout.strip() == f"{ran[0]}/run/releases/000001/report.html"
    assert "<html" in Path(result.stdout.strip()).read_text("utf-8")


# --- init ----------------------------------------------------------------------------------------------------------------


def test_init_writes_a_recipe_that_loads_and_runs(tmp_path: Path) -> None:
    (tmp_path / "mine.jsonl").write_text(
        "".join(json.dumps({"key": record["id"], "body": record["text"]}) + "\n" for record in corpus(20))
    )
    written = invoke("init", tmp_path / "mine.jsonl")
    assert written.exit_code == 0
    (tmp_path / "starter.yaml").write_text(written.stdout)
    assert load_recipe(str(tmp_path / "starter.yaml")).input.fields.text == ("body",)
    result = run_json("run", tmp_path / "starter.yaml", "-o", tmp_path / "run", "--workers", "1")
    assert (result["counts"]["records"], result["counts"]["rejected"]) == (20, 0)
    assert invoke("init", tmp_path / "nowhere").exit_code == 1
