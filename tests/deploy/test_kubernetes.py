"""The manifests are valid for Kubernetes and Flink's operator, and agree with each other and the command."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, cast

import jsonschema
import kubernetes_validate
import pytest
import typer
import yaml

from tamis.pipelines.cli import messages
from tamis.pipelines.cli.main import app
from tamis.pipelines.runners import registry
from tests.deploy.linters import DEPLOY, lint

KUBERNETES = "1.33"
"""The first version with stable sidecar containers."""

FILES = sorted((DEPLOY / "kubernetes").glob("*.yaml"))

Json = dict[str, Any]


def document(name: str) -> Json:
    return cast(Json, yaml.safe_load((DEPLOY / "kubernetes" / name).read_text()))


def flink() -> Json:
    return document("flink.yaml")


def pod() -> Json:
    """The pod of the nightly driver."""
    return document("nightly.yaml")["spec"]["jobTemplate"]["spec"]["template"]["spec"]


def only(containers: list[Json]) -> Json:
    (container,) = containers
    return container


def test_lint() -> None:
    lint("yamllint", "--strict", "-c", Path(__file__).with_name("yamllint.yaml"), *FILES)


@pytest.mark.parametrize("file", FILES, ids=lambda path: path.name)
def test_schema(file: Path) -> None:
    for manifest in yaml.safe_load_all(file.read_text()):
        if manifest["kind"] == "FlinkDeployment":
            jsonschema.validate(manifest, json.loads((Path(__file__).parent / "flinkdeployment.json").read_text()))
            manifest = manifest["spec"]["taskManager"]["podTemplate"]
        kubernetes_validate.validate(manifest, KUBERNETES, strict=True)


def test_schema_finds_what_is_wrong() -> None:
    wrong = flink()["spec"]["taskManager"]["podTemplate"]
    only(wrong["spec"]["initContainers"])["restartPolicies"] = "Always"
    with pytest.raises(kubernetes_validate.ValidationError):
        kubernetes_validate.validate(wrong, KUBERNETES, strict=True)


def test_the_driver_is_a_command_that_the_cli_takes() -> None:
    """It uses the addresses of Flink and its workers in the other manifest."""
    arguments = only(pod()["containers"])["args"]
    command: Any = typer.main.get_command(app)
    assert arguments[0] == "run"
    parameters = command.commands["run"].make_context("run", arguments[1:]).params
    options = dict(text.split("=", 1) for text in parameters["option"])
    assert registry.usage_error(parameters["runner"], options) is None
    assert options["flink_master"] == f"{flink()['metadata']['name']}-rest:8081"
    pool = only(flink()["spec"]["taskManager"]["podTemplate"]["spec"]["initContainers"])
    port = next(word.removeprefix("--service_port=") for word in pool["command"] if word.startswith("--service_port="))
    assert (options["environment_type"], options["environment_config"]) == ("EXTERNAL", f"localhost:{port}")
    server = only(pod()["initContainers"])
    assert f"--flink-master={options['flink_master']}" in server["args"]
    assert f"localhost:{server['startupProbe']['tcpSocket']['port']}" == registry.JOB_SERVER


def test_the_driver_and_the_workers_have_the_same_image() -> None:
    worker = only(flink()["spec"]["taskManager"]["podTemplate"]["spec"]["initContainers"])
    assert worker["image"] == only(pod()["containers"])["image"]


def test_nobody_is_root_and_memory_has_a_limit() -> None:
    workers = flink()["spec"]["taskManager"]["podTemplate"]["spec"]["initContainers"]
    for container in (*workers, *pod()["containers"], *pod()["initContainers"]):
        assert container["securityContext"]["allowPrivilegeEscalation"] is False
        assert container["resources"]["limits"]["memory"] == container["resources"]["requests"]["memory"]
        if "tamis" in container["image"]:
            assert container["securityContext"]["runAsNonRoot"] is True


def test_a_problem_that_needs_a_person_is_not_tried_again() -> None:
    rules = document("nightly.yaml")["spec"]["jobTemplate"]["spec"]["podFailurePolicy"]["rules"]
    on_exit = {
        "containerName": only(pod()["containers"])["name"],
        "operator": "In",
        "values": [messages.PROBLEM, messages.USAGE],
    }
    assert rules == [{"action": "FailJob", "onExitCodes": on_exit}]
