"""The Flex Template: its metadata fit Dataflow and its program, and its job gives the files of a local run."""

from __future__ import annotations

import importlib.util
import json
import re
from pathlib import Path
from types import ModuleType

import apache_beam as beam
import pytest
from apache_beam.runners.portability.fn_api_runner import FnApiRunner

from tamis.pipelines.recipe.schema import Recipe
from tests.pipelines.corpus import corpus, dealt, save
from tests.pipelines.running import left, run, write_recipe

DATAFLOW = Path(__file__).parents[2] / "deploy" / "dataflow"


@pytest.fixture(scope="module")
def template() -> ModuleType:
    spec = importlib.util.spec_from_file_location("template", DATAFLOW / "template.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_metadata() -> None:
    """The fields and types of Dataflow's TemplateMetadata and ParameterMetadata."""
    metadata = json.loads((DATAFLOW / "metadata.json").read_text())
    assert metadata.keys() <= {"name", "description", "streaming", "parameters"}
    assert metadata["name"]
    assert metadata["streaming"] is False
    names = [parameter["name"] for parameter in metadata["parameters"]]
    assert len(set(names)) == len(names)
    for parameter in metadata["parameters"]:
        assert {"name", "label", "helpText"} <= parameter.keys()
        assert parameter.keys() <= {"name", "label", "helpText", "paramType", "isOptional", "regexes", "customMetadata"}
        assert re.fullmatch(r"[a-zA-Z][a-zA-Z0-9_]*", parameter["name"])
        assert parameter["paramType"] in {"TEXT", "GCS_READ_BUCKET", "GCS_WRITE_BUCKET", "GCS_READ_FILE", "GCS_WRITE_FOLDER"}
        for pattern in parameter.get("regexes", ()):
            re.compile(pattern)


def test_every_parameter_is_read(template: ModuleType, monkeypatch: pytest.MonkeyPatch) -> None:
    """The program reads ours, Beam reads the image, and required ones are required."""
    composed: dict[str, object] = {}

    def compose(pipeline: beam.Pipeline, recipe: Recipe, output: str) -> None:
        composed.update(output=output, paths=recipe.input.paths, seed=recipe.seed, options=pipeline.options.get_all_options())
        pipeline | beam.Create([None])

    monkeypatch.setattr(template, "compose", compose)
    monkeypatch.setattr(beam.Pipeline, "run", lambda self: None)
    arguments = {
        "recipe": "gopher",
        "input": "gs://crawl/a gs://crawl/b",
        "output": "gs://corpus/run",
        "set": "seed=7",
        "sdk_container_image": "registry.example.com/tamis:1",
    }
    metadata = json.loads((DATAFLOW / "metadata.json").read_text())
    assert arguments.keys() == {parameter["name"] for parameter in metadata["parameters"]}
    for parameter in metadata["parameters"]:
        assert all(re.search(pattern, arguments[parameter["name"]]) for pattern in parameter.get("regexes", ()))
    runner = "apache_beam.runners.portability.fn_api_runner.FnApiRunner"  # Dataflow's would ask Google
    launcher = [f"--runner={runner}", "--job_name=nightly"]
    template.main([*(f"--{name}={value}" for name, value in arguments.items()), *launcher])
    assert (composed["output"], composed["paths"], composed["seed"]) == ("gs://corpus/run", ("gs://crawl/a", "gs://crawl/b"), 7)
    options = composed["options"]
    assert isinstance(options, dict)
    assert options["sdk_container_image"] == arguments["sdk_container_image"]
    assert options["job_name"] == "nightly"
    for parameter in metadata["parameters"]:
        if not parameter.get("isOptional") and parameter["name"] != "sdk_container_image":
            with pytest.raises(SystemExit):
                template.main([f"--{name}={value}" for name, value in arguments.items() if name != parameter["name"]])


@pytest.mark.slow
def test_the_job_finishes_the_run(template: ModuleType, tmp_path: Path) -> None:
    """It also writes manifest and report. A job without work changes nothing."""
    source, written = save(tmp_path / "in", dealt(corpus(60), 2, seed=1)), write_recipe(tmp_path)
    run(written, source, tmp_path / "local")
    recipe = template.load(str(written), [], [str(source)])
    for _ in range(2):
        with beam.Pipeline(FnApiRunner()) as pipeline:
            template.compose(pipeline, recipe, str(tmp_path / "job"))
        assert left(tmp_path / "job") == left(tmp_path / "local")
        assert not (tmp_path / "job" / ".spill").exists()


def test_the_recipe_may_lie_in_a_bucket(template: ModuleType, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(template.storage, "read_bytes", {"gs://corpus/mine.yaml": b"rate: {gopher: {}}\nseed: 3\n"}.__getitem__)
    recipe = template.load("gs://corpus/mine.yaml", ["seed=4"], ["gs://crawl/a"])
    assert (recipe.name, recipe.seed, recipe.input.paths) == ("mine", 4, ("gs://crawl/a",))
