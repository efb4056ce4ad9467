"""Flink and Spark give the bytes of the local runner, whatever is killed meanwhile."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import signal
import subprocess
import time
from pathlib import Path

import apache_beam as beam
import pytest
from apache_beam.options.pipeline_options import PipelineOptions
from apache_beam.runners.portability.fn_api_runner import FnApiRunner
from apache_beam.runners.portability.portable_runner import PortableRunner

from tamis.beam import Batches, Curate
from tamis.pipelines.recipe.load import load_recipe
from tests.pipelines.corpus import corpus, dealt, save
from tests.pipelines.runners.clusters import started
from tests.pipelines.running import CHANGES, command, left, processes, typed, write_recipe
from tests.pipelines.test_invariance import VARIED


def quick(value, *others):
    """Parameters: the value is for .ci/run, the others are slow."""
    return [value, *(pytest.param(other, marks=pytest.mark.slow) for other in others if other != value)]


@pytest.fixture(scope="module")
def flink(tmp_path_factory):
    with started("flink", tmp_path_factory.mktemp("flink")) as cluster:
        yield cluster


@pytest.fixture(scope="module")
def spark(tmp_path_factory):
    with started("spark", tmp_path_factory.mktemp("spark")) as cluster:
        yield cluster


@pytest.fixture(scope="module")
def slow_base(tmp_path_factory):
    """(recipe, input, undisturbed local run); eight files leave time to disturb it."""
    folder = tmp_path_factory.mktemp("slow")
    source = save(folder / "in", dealt(corpus(3000, seed=5), 8, seed=2))
    recipe = write_recipe(folder, **CHANGES, output={"shard_bytes": 200_000})
    typed(command(recipe, source, folder / "run"))
    return recipe, source, folder / "run"


def check_recipe(arguments, workers, tmp_path, name):
    recipe = write_recipe(tmp_path, **VARIED[name])
    source = save(tmp_path / "in", dealt(corpus(400, seed=len(name)), 3, seed=1))
    typed(command(recipe, source, tmp_path / "local"))
    typed(command(recipe, source, tmp_path / "run", *arguments, workers=workers), seconds=300)
    assert left(tmp_path / "run") == left(tmp_path / "local")


def check_base(arguments, workers, base, tmp_path):
    """Runs the base on a runner: the files are those of the local run, except for the environment."""
    typed(command(base.recipe, base.source, tmp_path / "run", *arguments, workers=workers), seconds=300)
    assert left(tmp_path / "run") == left(base.run)
    environment = json.loads((tmp_path / "run/manifest.json").read_text())["environment"]
    assert (environment["runner"], environment["workers"]) == (arguments[1], workers)
    wait_for_workers(tmp_path / "run")


def wait_for_workers(run):
    """Waits for the run's last worker to end, which takes seconds on an idle machine."""
    until = time.monotonic() + 60
    while workers_of(run):
        assert time.monotonic() < until
        time.sleep(0.1)


def workers_of(run):
    """The process ids of a run's workers."""
    variable, workers = f"TAMIS_RUN={run}\0".encode(), []
    for folder in Path("/proc").iterdir():
        if folder.name.isdigit():
            try:
                if variable in (folder / "environ").read_bytes():
                    workers.append(int(folder.name))
            except OSError:
                continue  # it ended meanwhile
    return workers


def executors(spark):
    """The process ids of Spark's executors."""
    nodes = spark.processes().values()
    return [number for number, parent in processes("CoarseGrainedExecutorBackend").items() if parent in nodes]


def start(argv):
    return subprocess.Popen(argv, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, start_new_session=True)


def wait_for_file(process, output, pattern):
    """Waits until a file of the run matches."""
    until = time.monotonic() + 300
    while not any(output.glob(pattern)):
        assert process.poll() is None, process.communicate()[0]
        assert time.monotonic() < until
        time.sleep(0.01)


def check_killed(kill, arguments, workers, slow_base, output, moment):
    """Kills something once a file of the run exists: the result is that of the undisturbed run."""
    recipe, source, undisturbed = slow_base
    process = start(command(recipe, source, output, *arguments, workers=workers))
    wait_for_file(process, output, moment)
    kill()
    printed, _ = process.communicate(timeout=300)
    assert process.returncode == 0, printed
    assert left(output) == left(undisturbed)


def check_killed_driver(arguments, workers, slow_base, output, moment):
    """Repeats the command at once, before the cluster notices."""
    recipe, source, undisturbed = slow_base
    argv = command(recipe, source, output, *arguments, workers=workers)
    process = start(argv)
    wait_for_file(process, output, moment)
    os.killpg(process.pid, signal.SIGKILL)
    process.wait()
    typed(argv, seconds=300)
    assert left(output) == left(undisturbed)


def kill_a_worker(run):
    if workers := workers_of(run):  # unless the run was too quick
        os.kill(min(workers), signal.SIGKILL)


def kept_by(pipeline, recipe, records, folder):
    """Texts of the documents that `tamis.beam.Curate` keeps in a pipeline of another's."""
    with pipeline:
        kept, _ = pipeline | beam.Create(records) | Batches(100) | Curate(recipe, str(folder / "storage"), partitions=2)
        texts = kept | beam.FlatMap(lambda batch: batch["text"].to_pylist())
        texts | beam.Map(lambda text: hashlib.sha256(text.encode()).hexdigest()) | beam.io.WriteToText(str(folder / "kept"))
    return sorted(line for path in folder.glob("kept*") for line in path.read_text().splitlines())


@pytest.mark.flink
class TestFlink:
    def test_transforms_in_another_pipeline_keep_what_they_keep_locally(self, flink, tmp_path):
        records, recipe = corpus(300, seed=12), load_recipe(str(write_recipe(tmp_path)))
        endpoint = next(option for option in flink.arguments if option.startswith("job_endpoint="))
        options = PipelineOptions([f"--{endpoint}", "--environment_type=LOOPBACK"])
        folders = tmp_path / "flink", tmp_path / "local"
        for folder in folders:
            folder.mkdir()
        on_flink = kept_by(beam.Pipeline(PortableRunner(), options), recipe, records, folders[0])
        assert on_flink == kept_by(beam.Pipeline(FnApiRunner()), recipe, records, folders[1])
        assert on_flink

    @pytest.mark.parametrize("workers", quick(2, 1, 4))
    def test_the_same_bytes_for_any_number_of_workers(self, flink, base, tmp_path, workers):
        check_base(flink.arguments, workers, base, tmp_path)

    @pytest.mark.parametrize("name", quick("edits and cuts", *VARIED))
    def test_the_same_bytes_for_any_recipe(self, flink, tmp_path, name):
        check_recipe(flink.arguments, 2, tmp_path, name)

    @pytest.mark.parametrize("moment", quick("releases/000001/decisions/part-*.parquet", "rated/.*.tmp", "rated/*.json"))
    def test_a_task_manager_that_is_killed_costs_time_and_nothing_else(self, flink, slow_base, tmp_path, moment):
        def kill():
            os.kill(flink.processes()["taskmanager-1"], signal.SIGKILL)

        try:
            check_killed(kill, flink.arguments, 2, slow_base, tmp_path / "run", moment)
        finally:
            flink.do("replace")

    @pytest.mark.slow
    @pytest.mark.parametrize("moment", ["rated/*.json", "releases/000001/decisions/part-*.parquet"])
    def test_a_worker_that_is_killed_costs_time_and_nothing_else(self, flink, slow_base, tmp_path, moment):
        run = tmp_path / "run"
        check_killed(lambda: kill_a_worker(run), flink.arguments, 2, slow_base, run, moment)

    @pytest.mark.slow
    @pytest.mark.parametrize(
        "moment", ["rated/.*.tmp", "releases/000001/decisions/part-*.parquet", "releases/000001/data/phase-1/shard-*.parquet"]
    )
    def test_a_driver_that_is_killed_leaves_no_worker_and_the_same_command_finishes(self, flink, slow_base, tmp_path, moment):
        check_killed_driver(flink.arguments, 2, slow_base, tmp_path / "run", moment)

    @pytest.mark.slow
    def test_interrupted_it_ends_the_job(self, flink, slow_base, tmp_path):
        recipe, source, _ = slow_base
        process = start(command(recipe, source, tmp_path / "run", *flink.arguments))
        wait_for_file(process, tmp_path / "run", "rated/.*.tmp")
        process.send_signal(signal.SIGINT)
        printed, _ = process.communicate(timeout=120)
        assert process.returncode == 130, printed
        wait_for_workers(tmp_path / "run")

    @pytest.mark.slow
    def test_an_error_of_the_run_arrives_as_from_a_local_worker(self, flink, base, tmp_path):
        source = shutil.copytree(base.source, tmp_path / "in")
        (source / "bad.jsonl").write_text("{broken\n" * 3)
        argv = command(base.recipe, source, tmp_path / "run", *flink.arguments, "--set", "max_rejects=2")
        _, printed = typed(argv, code=1, seconds=300)
        assert "3 of 403 records could not be read; max_rejects is 2." in " ".join(printed.split())
        assert "Traceback" not in printed

    @pytest.mark.slow
    @pytest.mark.parametrize("broken", ["missing", "fails", "elsewhere"])
    def test_a_worker_that_cannot_start_is_an_error_and_no_hang(self, flink, base, tmp_path, broken):
        script = tmp_path / "worker"
        if broken != "missing":
            script.write_text({"fails": "#!/bin/sh\nexit 3\n", "elsewhere": "#!/bin/sh\nexit 78\n"}[broken])
            script.chmod(0o755)
        argv = command(base.recipe, base.source, tmp_path / "run", *flink.arguments, "--option", f"worker={script}")
        _, printed = typed(argv, code=1, seconds=300)
        assert {"missing": "install Tamis there", "fails": "exit code 3", "elsewhere": "must see both"}[broken] in printed


@pytest.mark.spark
class TestSpark:
    def test_the_same_bytes_on_two_executors_of_two_cores(self, spark, base, tmp_path):
        check_base(spark.arguments, 0, base, tmp_path)

    @pytest.mark.slow
    @pytest.mark.parametrize(("nodes", "slots"), [(1, 1), (2, 1)])
    def test_the_same_bytes_on_any_number_of_cores(self, base, tmp_path, nodes, slots):
        with started("spark", tmp_path / "spark", nodes, slots) as cluster:
            check_base(cluster.arguments, 0, base, tmp_path)

    @pytest.mark.parametrize("name", quick("a mixture that is drawn and repeated", *VARIED))
    def test_the_same_bytes_for_any_recipe(self, spark, tmp_path, name):
        check_recipe(spark.arguments, 0, tmp_path, name)

    @pytest.mark.parametrize("moment", quick("releases/000001/decisions/part-*.parquet", "rated/.*.tmp", "rated/*.json"))
    def test_an_executor_that_is_killed_costs_time_and_nothing_else(self, spark, slow_base, tmp_path, moment):
        def kill():
            os.kill(min(executors(spark)), signal.SIGKILL)

        check_killed(kill, spark.arguments, 0, slow_base, tmp_path / "run", moment)

    @pytest.mark.slow
    @pytest.mark.parametrize("moment", ["rated/*.json", "releases/000001/decisions/part-*.parquet"])
    def test_a_worker_that_is_killed_costs_time_and_nothing_else(self, spark, slow_base, tmp_path, moment):
        run = tmp_path / "run"
        check_killed(lambda: kill_a_worker(run), spark.arguments, 0, slow_base, run, moment)

    @pytest.mark.slow
    @pytest.mark.parametrize("moment", ["rated/.*.tmp", "releases/000001/decisions/part-*.parquet"])
    def test_a_driver_that_is_killed_leaves_no_worker_and_the_same_command_finishes(self, spark, slow_base, tmp_path, moment):
        check_killed_driver(spark.arguments, 0, slow_base, tmp_path / "run", moment)
