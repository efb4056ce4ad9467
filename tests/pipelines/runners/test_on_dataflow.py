"""Beam submits the job to a stand-in for Dataflow on the loopback, which runs it."""

from __future__ import annotations

import http.server
import json
import os
import signal
import threading
import traceback
from pathlib import Path

import pytest

from tamis.pipelines.recipe.load import load_recipe
from tamis.pipelines.run.launch import launch
from tamis.pipelines.runners import dataflow, registry
from tamis.transforms.core.errors import RunError
from tests.pipelines.corpus import corpus, dealt, save
from tests.pipelines.running import left, run, write_recipe

pytest.importorskip("apitools", reason="needs the extra dataflow")

from apache_beam.options.pipeline_options import PipelineOptions
from apache_beam.portability.api import beam_runner_api_pb2
from apache_beam.runners.portability.fn_api_runner import FnApiRunner
from apache_beam.transforms.environments import EmbeddedPythonEnvironment

IMAGE = "registry.example.com/tamis:1"

OPTIONS = {"project": "corpus", "region": "europe-west1", "temp_location": "gs://corpus/temp", "sdk_container_image": IMAGE}
"""The options of a user."""


class Service:
    """Dataflow's REST interface for one job, which runs in this process before the response."""

    def __init__(self, temp: Path) -> None:
        self.temp = temp
        self.job: dict[str, object] = {}
        self.error = ""
        self.state = "JOB_STATE_DONE"
        self.requested: list[str] = []
        service = self

        class Handler(http.server.BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                self._respond(service.create(self._request()))

            def do_PUT(self) -> None:
                service.requested.append(self._request()["requestedState"])
                self._respond({})

            def do_GET(self) -> None:
                if "/messages" in self.path:
                    error = {"id": "1", "time": "2026-01-01T00:00:00Z", "messageImportance": "JOB_MESSAGE_ERROR"}
                    self._respond({"jobMessages": [error | {"messageText": service.error}] if service.error else []})
                else:
                    self._respond({"id": "1", "currentState": service.state})

            def _request(self) -> dict[str, object]:
                return json.loads(self.rfile.read(int(self.headers["Content-Length"])))

            def _respond(self, answer: dict[str, object]) -> None:
                self.send_response(200)
                self.send_header("Content-Type", "application/json")
                self.end_headers()
                self.wfile.write(json.dumps(answer).encode())

            def log_message(self, *_: object) -> None:
                pass

        self.server = http.server.ThreadingHTTPServer(("localhost", 0), Handler)

    def __enter__(self) -> Service:
        threading.Thread(target=self.server.serve_forever, daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        self.server.shutdown()
        self.server.server_close()

    @property
    def options(self) -> dict[str, str]:
        """The user's options with this service and a folder that it sees."""
        endpoint = {"dataflow_endpoint": f"http://localhost:{self.server.server_port}", "no_auth": "true"}
        return OPTIONS | {"temp_location": str(self.temp)} | endpoint

    def create(self, job: dict[str, object]) -> dict[str, object]:
        self.job = job
        try:
            self.do()
        except Exception as error:
            self.state, self.error = "JOB_STATE_FAILED", "".join(traceback.format_exception(error))
        return {"id": "1", "currentState": "JOB_STATE_RUNNING", "clientRequestId": job["clientRequestId"]}

    def do(self) -> None:
        pipeline = beam_runner_api_pb2.Pipeline.FromString((self.temp / "pipeline.pb").read_bytes())
        for environment in pipeline.components.environments.values():
            assert environment.urn == "beam:env:docker:v1"
            assert IMAGE.encode() in environment.payload
            assert not environment.dependencies  # nothing is installed when a worker starts
            environment.CopyFrom(EmbeddedPythonEnvironment.default().to_runner_api(None))
        FnApiRunner().run_via_runner_api(pipeline, PipelineOptions([])).wait_until_finish()


@pytest.fixture
def service(tmp_path, monkeypatch):
    """It sees this machine's files, so the run directory needs no bucket."""
    monkeypatch.setattr(registry, "make_runner", lambda name, workers, options, run: registry.Runner(name, workers, options))
    (tmp_path / "temp").mkdir()
    with Service(tmp_path / "temp") as service:
        yield service


@pytest.fixture
def small(tmp_path):
    """(recipe, input)."""
    return write_recipe(tmp_path), save(tmp_path / "in", dealt(corpus(60), 2, seed=1))


def submitted(small, output, options, *sets):
    recipe = load_recipe(str(small[0]), sets, [str(small[1])])
    return launch(recipe, str(output), 0, runner="dataflow", options=options)


def test_the_job_leaves_the_same_bytes_in_an_image_of_ours(small, service, tmp_path):
    run(*small, tmp_path / "local")
    submitted(small, tmp_path / "run", service.options | {"num_workers": "3", "max_num_workers": "3"})
    assert left(tmp_path / "run") == left(tmp_path / "local")
    assert service.job["name"] == dataflow.job_name(str(tmp_path / "run"))
    (pool,) = service.job["environment"]["workerPools"]
    (harness,) = pool["sdkHarnessContainerImages"]
    assert harness["containerImage"] == IMAGE
    assert harness["useSingleCorePerContainer"]  # a process per core
    assert pool["numWorkers"] == pool["autoscalingSettings"]["maxNumWorkers"] == 3


def test_an_error_of_the_run_arrives_as_from_a_local_worker(small, service, tmp_path):
    (small[1] / "bad.jsonl").write_text("{broken\n" * 3)
    with pytest.raises(RunError, match="3 of 63 records could not be read; max_rejects is 2"):
        submitted(small, tmp_path / "run", service.options, "max_rejects=2")


def test_the_job_of_a_killed_driver_is_reported(small, service, tmp_path, monkeypatch):
    """Google returns its existing job of that name."""
    monkeypatch.setattr(service, "create", lambda job: {"id": "7", "name": job["name"], "clientRequestId": "another"})
    with pytest.raises(RunError, match=f"a job '{dataflow.job_name(str(tmp_path / 'run'))}' is running already"):
        submitted(small, tmp_path / "run", service.options)


def test_interrupted_it_ends_the_job(small, service, tmp_path, monkeypatch):
    def create(job):
        threading.Timer(1, os.kill, (os.getpid(), signal.SIGINT)).start()
        return {"id": "1", "currentState": "JOB_STATE_RUNNING", "clientRequestId": job["clientRequestId"]}

    monkeypatch.setattr(service, "create", create)
    monkeypatch.setattr(service, "state", "JOB_STATE_RUNNING")
    with pytest.raises(KeyboardInterrupt):
        submitted(small, tmp_path / "run", service.options)
    assert service.requested


def test_google_s_client_accepts_the_options_and_a_job_without_work_fails_the_run(small, tmp_path, monkeypatch):
    """A dry run is a whole submission except for the network."""
    monkeypatch.setattr(registry, "make_runner", lambda name, workers, options, run: registry.Runner(name, workers, options))
    with pytest.raises(RunError, match="not all parts were rated"):
        submitted(small, tmp_path / "run", OPTIONS | {"dry_run": "yes"})
    assert not (tmp_path / "run/manifest.json").exists()
    with pytest.raises(RunError, match="Invalid Project"):
        submitted(small, tmp_path / "run", OPTIONS | {"dry_run": "yes", "project": "No Project"})
