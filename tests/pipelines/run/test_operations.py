"""What an operator sees of a run: its log, its metrics and its status; a nightly run without input exits quietly."""

from __future__ import annotations

import json
import re
import shutil
import time
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from tamis.pipelines.cli.log import Log
from tamis.pipelines.cli.main import app
from tamis.pipelines.formatting import duration
from tamis.pipelines.recipe.load import load_recipe
from tamis.pipelines.run import metrics, progress, run_lock
from tamis.pipelines.run.launch import launch
from tamis.pipelines.run.progress import Attempt, MovementProgress, Observer, Progress
from tamis.pipelines.run.run_lock import RunLock
from tamis.pipelines.run.status import lines, status
from tamis.transforms.core.manifest import Counts
from tests.pipelines.corpus import corpus, dealt, save
from tests.pipelines.running import command, run, typed, write_recipe

ATTEMPT = Attempt(
    started=1000.0,
    updated=1060.0,
    host="node-7",
    process=42,
    runner="local",
    workers=2,
    parts=10,
    reused=2,
    bytes=5_000_000,
    reused_bytes=1_000_000,
    seconds={"rate": 60.0},
)


# --- the log -----------------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def logged(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, list[dict[str, Any]], str]:
    """(run directory, events, standard output) of a run with a record that cannot be read."""
    folder = tmp_path_factory.mktemp("logged")
    source = save(folder / "in", [corpus(40)])
    (source / "piece-00.jsonl").open("a").write('{"text": "a word of a document\n')
    argv = command(write_recipe(folder), source, folder / "run", "--log", "json", "--set", "max_rejects=1", workers=1)
    out, err = typed(argv)
    return folder / "run", [json.loads(line) for line in err.splitlines()], out


def test_every_line_of_the_log_is_an_event(logged) -> None:
    where, events, out = logged
    assert [event["event"] for event in events if event["event"] != "progress"] == [
        *("planned", "movement", "movement", "movement", "rejects", "finished")
    ]
    for event in events:
        assert list(event)[:4] == ["time", "level", "event", "run"]
        assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z", event["time"])
        assert event["run"] == str(where)
    planned, rejects, finished = events[0], events[-2], events[-1]
    assert (planned["parts"], planned["parts_reused"]) == (1, 0)
    assert [(event["movement"], event["done"]) for event in events if event["event"] == "movement"] == [
        *(("rate", planned["bytes"]), ("decide", 1), ("emit", finished["shards"]))
    ]
    assert (rejects["level"], rejects["records"], rejects["files"]) == ("warning", 1, 1)
    assert finished["records"] == 41
    assert finished["kept"] + finished["dropped"] + finished["review"] + finished["rejected"] == 41
    assert "corpus" in out  # the table is on standard output, as without a log


def test_no_word_of_a_document_is_logged(logged) -> None:
    _, events, _ = logged
    assert "word of a document" not in json.dumps(events)


def test_an_error_is_an_event_and_nothing_else(tmp_path: Path) -> None:
    address = "s3://AKIA:hunter2@bucket/none.jsonl"
    result = CliRunner().invoke(
        app, ["run", "gopher", "-i", "none.jsonl", "-i", address, "-o", str(tmp_path / "run"), "--log", "json"]
    )
    assert result.exit_code == 1
    (event,) = map(json.loads, result.stderr.splitlines())
    assert (event["event"], event["level"]) == ("error", "error")
    assert "none.jsonl: no such file" in event["message"]


def test_the_log_as_text_and_an_unknown_form(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    Log("text", "s3://k:secret@b/run").event("planned", parts=3, place="http://u:secret@h/a")
    assert capsys.readouterr().err.endswith('Z INFO planned parts=3 place="http://***@h/a"\n')
    result = CliRunner().invoke(app, ["run", "gopher", "-i", "x", "--log", "xml"])
    assert result.exit_code == 2
    assert "not one of json, text" in result.stderr


def test_an_observer_gets_the_counts_once_all_documents_are_decided_and_before_the_release(tmp_path: Path) -> None:
    told: list[Counts] = []

    class Notes(Observer):
        def decided(self, counts: Counts) -> None:
            assert not (tmp_path / "run" / "manifest.json").exists()
            told.append(counts)

    source = save(tmp_path / "in", dealt(corpus(60), 3, seed=1))
    recipe = load_recipe(str(write_recipe(tmp_path)), (), [str(source)])
    result = launch(recipe, str(tmp_path / "run"), workers=1, observer=Notes())
    (counts,) = told
    assert counts.items() < result.manifest["counts"].items()


# --- metrics -----------------------------------------------------------------------------------------------------------


def samples(run: Path) -> dict[str, float]:
    """The samples of metrics.prom by name and labels, after a check of the format."""
    values: dict[str, float] = {}
    kinds = set()
    for line in (run / "metrics.prom").read_text().splitlines():
        if line.startswith("# TYPE "):
            assert line.split()[2] not in kinds
            kinds.add(line.split()[2])
        elif not line.startswith("# HELP "):
            name, labels, value = re.fullmatch(r'([a-z_]+)(\{(?:[a-z]+="(?:[^"\\]|\\.)*",?)*\}) (\S+)', line).groups()
            assert name.startswith("tamis_")
            assert name in kinds
            assert name + labels not in values
            values[name + labels] = float(value)
    return values


def test_metrics_add_up_to_the_manifest(logged) -> None:
    where, _, _ = logged
    counts = json.loads((where / "manifest.json").read_text())["counts"]
    values = samples(where)

    def total(name: str, **labels: str) -> float:
        pairs = [f'{label}="{value}"' for label, value in labels.items()]
        return sum(value for key, value in values.items() if key.startswith(f"tamis_{name}{{") and all(w in key for w in pairs))

    assert total("documents") + total("rejected_records") == total("records") == counts["records"]
    assert total("documents", decision="kept") == counts["kept"]
    assert total("documents", decision="dropped") == counts["dropped"]
    assert total("tokens") == counts["tokens"]["in"]
    assert total("running") == total("failed") == 0
    assert 0 < time.time() - total("last_success_timestamp_seconds") < 600
    assert {key.split('movement="')[1][:-2] for key in values if "movement_seconds" in key} == {"rate", "decide", "emit"}


def test_metrics_of_a_run_that_goes_on_or_failed_keep_the_last_success(tmp_path: Path) -> None:
    (tmp_path / "metrics.prom").write_text('tamis_last_success_timestamp_seconds{run="x"} 123.500\n')
    metrics.write_progress(str(tmp_path), ATTEMPT, {"rate": MovementProgress(7, 8, 9)})
    values = samples(tmp_path)
    assert {key.split("{")[0]: value for key, value in values.items()}.items() >= {
        ("tamis_running", 1.0),
        ("tamis_last_success_timestamp_seconds", 123.5),
        ("tamis_progress_documents", 7.0),
    }
    metrics.write_progress(str(tmp_path), ATTEMPT.model_copy(update={"error": "no space"}), {})
    values = {key.split("{")[0]: value for key, value in samples(tmp_path).items()}
    assert (values["tamis_running"], values["tamis_failed"], values["tamis_last_success_timestamp_seconds"]) == (0, 1, 123.5)


def test_a_hostile_name_is_a_label_and_a_full_disk_no_error(tmp_path: Path) -> None:
    odd = tmp_path / 'a"b\\c\nd'
    odd.mkdir()
    metrics.write_progress(str(odd), ATTEMPT, {})
    assert len(samples(odd)) == 7
    (tmp_path / "file").touch()
    metrics.write_progress(str(tmp_path / "file"), ATTEMPT, {})


# --- status ------------------------------------------------------------------------------------------------------------


def test_status_of_what_never_ran(tmp_path: Path) -> None:
    for place in (tmp_path, tmp_path / "none"):
        current = status(str(place))
        assert (current.state, current.attempt, current.last_release) == ("never started", None, None)
    assert not (tmp_path / "none").exists()


def test_status_of_a_finished_run(logged) -> None:
    where, events, _ = logged
    current = status(str(where))
    assert (current.state, current.movements) == ("finished", [])
    assert current.last_release is not None
    assert (current.last_release.release, current.last_release.records) == (1, 41)
    result = CliRunner().invoke(app, ["status", str(where), "--json"])
    assert json.loads(result.stdout)["last_release"]["corpus_root"] == events[-1]["corpus_root"]
    result = CliRunner().invoke(app, ["status", str(where)])
    assert f"{where}: finished\n  last release: 1 of 2" in result.stdout


def test_status_of_a_run_that_goes_on_was_killed_or_gave_up(tmp_path: Path) -> None:
    run = str(tmp_path)
    progress.write_attempt(run, ATTEMPT)
    Progress(run, "rate").advance(700, 6_000_000)
    Progress(run, "rate").finish(3_000_000)
    with RunLock(run, "exclusive") as held:
        assert status(run).state == "running"
        held.share()
        current = status(run, now=1062.0)
        assert (current.state, current.seconds_since_update) == ("running", 2.0)
        rate, decide, emit = current.movements
        assert (rate.done, rate.total, rate.documents) == (3_000_000, 5_000_000, 700)
        assert rate.seconds_left == pytest.approx(60 * 2 / 2)  # a fifth was there already: 2 MB in 60 s, 2 MB to go
        assert (decide.done, decide.total, emit.total) == (0, 10, None)
        text = "\n".join(lines(current))
        assert "running, started 1970-01-01 00:16:40 UTC (process 42 on node-7, local, 2 workers)" in text
        assert (
            "rate    3.0 of 5.0 MB of input, 60%, 700 documents, 0.1 MB of text per second, for 1 min, about 1 min left" in text
        )
        Progress(run, "emit").expect(8)
        Progress(run, "emit").expect(8)
        assert status(run).movements[2].total == 8
    current = status(run)
    assert (current.state, current.movements[0].seconds_left) == ("interrupted", None)
    assert "run the same command again to continue" in "\n".join(lines(current))
    progress.write_attempt(run, ATTEMPT.model_copy(update={"error": "12 of 20 records could not be read"}))
    current = status(run)
    assert current.state == "failed"
    assert "12 of 20 records could not be read" in "\n".join(lines(current))


def test_what_is_done_of_unfinished_parts_is_estimated_from_their_text(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    run = str(tmp_path)
    Progress(run, "rate").advance(10, 3_000)
    (rate,) = progress.read_progress(run, text_per_byte=3.0).values()
    assert (rate.finished, rate.underway, rate.done(5_000), rate.done(1_000)) == (0, 1_000, 1_000, 990)
    monkeypatch.setattr("os.getpid", lambda: 7)  # another worker, which has finished a part and uses one again
    Progress(run, "rate").advance(10, 2_000)
    Progress(run, "rate").finish(1_000)
    Progress(run, "rate").finish(500)
    (rate,) = progress.read_progress(run, text_per_byte=3.0).values()
    assert (rate.finished, rate.underway, rate.done(5_000)) == (1_500, 1_500, 3_000)
    assert rate.done(0) == 3_000  # where nobody knows the total
    assert progress.MovementProgress(finished=5_000).done(5_000) == 5_000


def test_without_locks_a_driver_lives_as_long_as_it_is_heard_of(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(run_lock, "is_locked", lambda _: None)
    progress.write_attempt(str(tmp_path), ATTEMPT)
    assert status(str(tmp_path), now=1070.0).state == "running"
    assert status(str(tmp_path), now=1200.0).state == "interrupted"


def test_where_workers_cannot_append_receipts_tell_how_far_a_run_is(tmp_path: Path) -> None:
    progress.write_attempt(str(tmp_path), ATTEMPT)
    release = "releases/000003/receipts"
    for name in ("rated/0f-0.json", "rated/0f-0.parquet", f"{release}/part-00001.json", f"{release}/shard-00000.json"):
        (tmp_path / name).parent.mkdir(exist_ok=True, parents=True)
        (tmp_path / name).write_text("{}")
    (tmp_path / ".state").mkdir(exist_ok=True)
    (tmp_path / ".state/plan.json").write_text('{"fingerprint": "ab", "release": 3}')
    current = status(str(tmp_path))
    assert [(each.name, each.done, each.total) for each in current.movements] == [
        ("rate", 1, 10),
        ("decide", 1, 10),
        ("emit", 1, None),
    ]


@pytest.mark.slow
def test_a_run_that_fails_says_why_in_its_status(tmp_path: Path) -> None:
    source = save(tmp_path / "in", [corpus(30)])
    (source / "piece-00.jsonl").open("a").write("{broken\n" * 5)
    typed(command(write_recipe(tmp_path), source, tmp_path / "run", workers=1), code=1)
    current = status(str(tmp_path / "run"))
    assert current.state == "failed"
    assert current.attempt is not None
    assert "5 of 35 records could not be read" in current.attempt.error
    assert {key.split("{")[0]: value for key, value in samples(tmp_path / "run").items()}["tamis_failed"] == 1


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(0.4, "0 s"), (59, "59 s"), (60, "1 min"), (200, "3 min 20 s"), (7500, "2 h 5 min"), (90000, "1 d 1 h")],
)
def test_a_duration_has_two_units_at_most(seconds: float, text: str) -> None:
    assert duration(seconds) == text


# --- nights ------------------------------------------------------------------------------------------------------------


@pytest.mark.slow
def test_nights_make_a_chain_of_releases(tmp_path: Path) -> None:
    records = corpus(60)
    source, recipe = save(tmp_path / "in", [records[:30]]), write_recipe(tmp_path)
    run(recipe, source, tmp_path / "run")
    save(tmp_path / "more", [records[:30], records[30:]])
    shutil.copy(tmp_path / "more" / "piece-01.jsonl", source / "second.jsonl")
    second = run(recipe, source, tmp_path / "run")
    assert (second.rated, second.reused) == (1, 1)
    assert run(recipe, source, tmp_path / "run").unchanged
    (source / "piece-00.jsonl").unlink()
    run(recipe, source, tmp_path / "run")
    releases = [json.loads(path.read_text()) for path in sorted((tmp_path / "run" / "releases").glob("*.json"))]
    assert [
        ([Path(uri).name for uri, _ in entry["added"]], [Path(uri).name for uri, _ in entry["removed"]]) for entry in releases
    ] == [(["piece-00.jsonl"], []), (["second.jsonl"], []), ([], ["piece-00.jsonl"])]
    typed([command(recipe, source, tmp_path)[0], "verify", str(tmp_path / "run")])
    (tmp_path / "run" / "releases" / "000001.json").write_text(json.dumps(releases[0] | {"kept": 1}))
    out, _ = typed([command(recipe, source, tmp_path)[0], "verify", str(tmp_path / "run")], code=1)
    assert "releases/000001.json: its bytes have changed, or releases/000002.json names another parent" in out


def test_a_night_without_input_is_quiet_and_a_wrong_name_is_not(tmp_path: Path) -> None:
    source, recipe = save(tmp_path / "in", [corpus(20)]), write_recipe(tmp_path)
    target = tmp_path / "run"

    def night(paths: Path | str, *more: str, code: int = 0) -> tuple[str, str]:
        result = CliRunner().invoke(app, ["run", str(recipe), "-i", str(paths), "-o", str(target), "--workers", "1", *more])
        assert result.exit_code == code, result.stderr
        return result.stdout, result.stderr

    (tmp_path / "tonight").mkdir()
    out, err = night(tmp_path / "tonight", "--allow-empty")
    assert (out, err.count("\n")) == ("", 1)
    assert not target.exists()
    night(source)
    manifest = (target / "manifest.json").read_bytes()
    before = samples(target)
    for pattern in ("tonight", "tonight/*.jsonl"):
        out, err = night(tmp_path / pattern, "--allow-empty")
        assert (out, err) == ("", f"no input: there is no file in {tmp_path / pattern}; nothing to do\n")
        assert night(tmp_path / pattern, code=1)[1].startswith("input: ")
    (tmp_path / "list").write_text("# nothing tonight\n")
    night(f"@{tmp_path}/list", "--allow-empty")
    out, _ = night(tmp_path / "tonight", "--allow-empty", "--json")
    assert json.loads(out)["unchanged"] is True
    assert (target / "manifest.json").read_bytes() == manifest
    success = next(key for key in before if "last_success" in key)
    assert samples(target)[success] >= before[success]
    for wrong in ("tonigth", "tonigth/*.jsonl", "tonight/a.jsonl"):
        assert re.search("no such file or folder|there is no folder", night(tmp_path / wrong, "--allow-empty", code=1)[1])
    typed([command(recipe, source, target)[0], "verify", str(target)])


def test_what_allows_no_input_rates_nothing_again(tmp_path: Path) -> None:
    source, recipe = save(tmp_path / "in", [corpus(20)]), write_recipe(tmp_path)
    run(recipe, source, tmp_path / "run")
    assert run(recipe, source, tmp_path / "run", "input.allow_empty=true").unchanged
