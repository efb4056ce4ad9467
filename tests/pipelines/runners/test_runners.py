"""A runner is checked before anything starts, and an error says what is missing and what to do."""

from __future__ import annotations

import http.server
import json
import os
import socket
import stat
import subprocess
import sys
import threading
import time
from pathlib import Path
from types import SimpleNamespace

import apache_beam as beam
import pytest
from apache_beam.transforms import core

from tamis.pipelines.runners import job_server, registry, worker, worker_failure
from tamis.transforms.core.errors import RunError
from tests.pipelines.runners.clusters import free_port
from tests.pipelines.running import command, run, typed


@pytest.fixture
def listener():
    """The address of a server that accepts connections."""
    with socket.create_server(("localhost", 0)) as server:
        yield f"localhost:{server.getsockname()[1]}"


@pytest.fixture
def flink():
    """The address of a server that answers like a Flink with 2 task managers of 3 slots each."""

    class Answer(http.server.BaseHTTPRequestHandler):
        def do_GET(self):
            self.send_response(200)
            self.end_headers()
            self.wfile.write(json.dumps({"taskmanagers": 2, "slots-total": 6}).encode())

        def log_message(self, *_):
            pass

    server = http.server.HTTPServer(("localhost", 0), Answer)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield f"localhost:{server.server_port}"
    server.shutdown()
    server.server_close()


@pytest.mark.parametrize("name", ["direct", "dask", "ray"])
def test_an_unsound_or_unknown_runner_is_refused_with_the_reason(base, tmp_path, name):
    _, stderr = typed(command(base.recipe, base.source, tmp_path / "run", "--runner", name), code=2)
    assert {"direct": "another engine", "dask": "drops sinks", "ray": "choose one of local"}[name] in " ".join(stderr.split())
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize("name", ["flink", "spark"])
def test_without_a_job_server_a_run_says_how_to_start_one_and_leaves_nothing(base, tmp_path, name):
    option = ("--runner", name, "--option", f"job_endpoint=localhost:{free_port()}")
    start = time.monotonic()
    _, stderr = typed(command(base.recipe, base.source, tmp_path / "run", *option, workers=0), code=1)
    assert f"deploy/cluster {name} start" in stderr
    assert "Traceback" not in stderr
    assert time.monotonic() < start + 45  # Beam alone would wait for a minute
    assert not (tmp_path / "run").exists()


def test_a_job_server_without_its_flink_has_an_error_of_its_own(listener):
    options = {"job_endpoint": listener, "flink_master": f"localhost:{free_port()}"}
    with pytest.raises(RunError, match="the job server answers, but no Flink at localhost"):
        registry.make_runner("flink", 0, options, "run")


def test_flink_gets_as_many_workers_as_it_has_slots_and_never_more(listener, flink):
    options = {"job_endpoint": listener, "flink_master": flink}
    runner = registry.make_runner("flink", 0, options, "run")
    assert (runner.workers, runner.options["parallelism"], runner.options["sdk_worker_parallelism"]) == (6, "6", "3")
    assert registry.make_runner("flink", 2, {**options, "parallelism": "5"}, "run").options["parallelism"] == "5"
    with pytest.raises(RunError, match="has 6 slots, too few for 7 workers"):
        registry.make_runner("flink", 7, options, "run")


def test_spark_takes_no_number_of_workers_since_its_job_server_decides():
    with pytest.raises(RunError, match=r"spark\.cores\.max"):
        registry.make_runner("spark", 2, {}, "run")


def test_dataflow_names_the_options_and_extras_that_are_missing(monkeypatch):
    assert "--option region=…" in str(registry.usage_error("dataflow", {"project": "p"}))
    full = dict.fromkeys(("project", "region", "temp_location", "sdk_container_image"), "x")
    assert registry.usage_error("dataflow", full) is None
    monkeypatch.setattr(registry, "find_spec", lambda _: None)
    with pytest.raises(RunError, match=r"apache-beam\[gcp\]"):
        registry.make_runner("dataflow", 0, full, "gs://bucket/run")
    monkeypatch.setattr(registry, "find_spec", lambda _: object())
    with pytest.raises(RunError, match="cannot see '/run'"):
        registry.make_runner("dataflow", 0, full, "/run")
    assert registry.make_runner("dataflow", 3, full, "gs://bucket/run").options["num_workers"] == "3"


def test_a_runner_that_reports_success_without_work_fails_the_run(base, tmp_path, monkeypatch):
    monkeypatch.setattr(registry.Runner, "run", lambda *_: None)
    with pytest.raises(RunError, match="not all parts were rated; run the same command again"):
        run(base.recipe, base.source, tmp_path / "run")
    assert not (tmp_path / "run/manifest.json").exists()


def test_an_option_that_beam_rejects_is_an_error_before_anything_starts(base, tmp_path, listener, flink):
    options = {"job_endpoint": listener, "flink_master": flink}
    with pytest.raises(RunError, match="argument --parallelism: invalid int value: 'many'"):
        registry.make_runner("flink", 0, options | {"parallelism": "many"}, "run")
    assert job_server.check_options({"worker": "w", "num_workers": "3", "regoin": "r"}) == {"worker", "regoin"}


def test_options_are_those_of_beam():
    from apache_beam.options.pipeline_options import FlinkRunnerOptions, GoogleCloudOptions, StandardOptions, WorkerOptions

    options = job_server.beam_options({"parallelism": "3", "streaming": "true", "region": "r", "num_workers": "2"})
    assert options.view_as(FlinkRunnerOptions).parallelism == 3
    assert options.view_as(StandardOptions).streaming is True
    assert options.view_as(GoogleCloudOptions).region == "r"
    assert options.view_as(WorkerOptions).num_workers == 2


def test_a_driver_is_alive_until_it_ends_its_run_or_is_killed(tmp_path):
    with worker.DriverAlive(str(tmp_path)) as alive:
        assert worker.is_driver_alive(alive.uri)
    assert not worker.is_driver_alive(alive.uri)
    script = (
        "import sys; from tamis.pipelines.runners.worker import DriverAlive; alive = DriverAlive(sys.argv[1]).__enter__();"
        "print(alive.uri, flush=True); sys.stdin.read()"
    )
    with subprocess.Popen([sys.executable, "-c", script, tmp_path], stdin=subprocess.PIPE, stdout=subprocess.PIPE) as driver:
        uri = driver.stdout.readline().decode().strip()
        assert worker.is_driver_alive(uri)
        driver.kill()
    assert Path(uri).exists()
    assert not worker.is_driver_alive(uri)


@pytest.mark.parametrize(
    ("missing", "code"), [("folder", worker.NOT_SHARED), ("driver", worker.NOT_SHARED), ("right", worker.BUSY)]
)
def test_a_worker_that_cannot_work_ends_at_once_with_a_code_of_its_own(tmp_path, monkeypatch, missing, code):
    from tamis.pipelines.run.run_lock import RunLock

    with RunLock(str(tmp_path / "run"), "exclusive") as claim, worker.DriverAlive(str(tmp_path / "run/.spill")) as alive:
        if missing != "right":
            claim.share()
        variables = {
            worker.RUN: str(tmp_path / "run"),
            worker.DRIVER: alive.uri + ("-not" if missing == "driver" else ""),
            worker.FOLDER: str(tmp_path / "nowhere") if missing == "folder" else os.getcwd(),
        }
        done = subprocess.run(
            [job_server.WORKER, "--id=1-1", "--provision_endpoint=x"], env={**os.environ, **variables}, timeout=60
        )
    assert done.returncode == code


@pytest.mark.parametrize(
    ("text", "advice"),
    [
        ("java.lang.IllegalStateException: Process died with exit code 78", "every node must see both"),
        ("java.lang.IllegalStateException: Process died with exit code 75", "another run is using"),
        ("java.lang.IllegalStateException: Process died with exit code 127", "could not start (exit code 127)"),
        ('java.io.IOException: Cannot run program "/opt/tamis-worker": error=2, No such file', "install Tamis there too"),
        ("java.io.IOException: error=2, No such file or directory", "install Tamis there too"),
        ("status = StatusCode.UNAVAILABLE", "the job server here:1 is gone"),
    ],
)
def test_a_failure_of_the_cluster_becomes_advice(text, advice):
    assert advice in str(worker_failure.explain_failure(text, "/opt/tamis-worker", "run", "here:1"))
    assert worker_failure.explain_failure("ZeroDivisionError: division by zero", "w", "run", "here:1") is None


@pytest.mark.parametrize(
    ("failure", "error", "message", "times"),
    [
        (RuntimeError("java.lang.OutOfMemoryError"), RunError, "3 times; .* here:1: java.lang.OutOfMemoryError", 3),
        (RuntimeError("StatusCode.UNAVAILABLE"), RunError, "here:1 is gone", 1),
        (RuntimeError("Error received from SDK harness: KeyError"), RuntimeError, "KeyError", 1),
        (AttributeError("a fault of ours"), AttributeError, "ours", 1),
    ],
)
def test_a_job_is_submitted_again_only_if_the_cluster_may_be_at_fault(monkeypatch, failure, error, message, times):
    attempts = []

    def submit(*_):
        attempts.append(1)
        raise failure

    monkeypatch.setattr(job_server, "submit", submit)
    with pytest.raises(error, match=message):
        job_server.run(None, SimpleNamespace(run="run"), {"job_endpoint": "here:1"})
    assert len(attempts) == times


@pytest.mark.parametrize(
    ("code", "ending"),
    [(-9, "killed (SIGKILL)"), (137, "killed (SIGKILL)"), (1, "with exit code 1"), (-11, "by signal SIGSEGV")],
)
def test_memory_is_blamed_only_for_a_worker_that_was_killed(code, ending):
    message = str(worker_failure.explain_death(code))
    assert ending in message
    assert ("out of memory" in message) == ("SIGKILL" in ending)


def test_the_worker_command_is_installed_beside_this_python():
    assert Path(job_server.WORKER).stat().st_mode & stat.S_IXUSR


def test_beam_remembers_the_signatures_of_methods(base, tmp_path):
    class Stamped(beam.DoFn):
        def process(self, element, stamp=beam.DoFn.TimestampParam):
            yield element, stamp

    run(base.recipe, base.source, tmp_path)
    for _ in range(2):
        names, defaults = core.get_function_args_defaults(Stamped().process)
        assert (names, defaults) == (["element", "stamp"], [beam.DoFn.TimestampParam])
        names.clear()  # what one caller does with them does not matter to the next
        defaults.clear()
    assert core.get_function_args_defaults(Stamped.process) == (["self", "element", "stamp"], [beam.DoFn.TimestampParam])
