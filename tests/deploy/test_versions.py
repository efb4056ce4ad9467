"""Each version is set in one place, which all files follow: Beam in the lock, Flink and Spark in deploy/cluster."""

from __future__ import annotations

import re
import xml.etree.ElementTree as ElementTree
from importlib.machinery import SourceFileLoader
from importlib.util import module_from_spec, spec_from_loader

import pytest
from apache_beam.options.pipeline_options import FlinkRunnerOptions

from tests.deploy.linters import DEPLOY, ROOT


def locked() -> str:
    """Beam's version."""
    (version,) = re.findall(r"^apache-beam==([\d.]+)", (ROOT / "requirements.lock").read_text(), re.M)
    return version


def engine(name: str) -> str:
    """The version of Flink or Spark in deploy/cluster, which the tests use too."""
    loader = SourceFileLoader("cluster", str(DEPLOY / "cluster"))
    spec = spec_from_loader("cluster", loader)
    assert spec is not None
    cluster = module_from_spec(spec)
    loader.exec_module(cluster)
    return cluster.SOURCES[name][0].partition("==")[2]


def minor(version: str) -> str:
    return ".".join(version.split(".")[:2])


def runner_of(name: str) -> tuple[str, str]:
    """(artifact, version) of Beam's Java side for an engine."""
    (element,) = ElementTree.parse(DEPLOY / name / "pom.xml").iter("{http://maven.apache.org/POM/4.0.0}dependency")
    artifact, version = (element.findtext(f"{{http://maven.apache.org/POM/4.0.0}}{tag}") for tag in ("artifactId", "version"))
    assert artifact is not None
    assert version is not None
    return artifact, version


def test_images_of_beam_and_its_programs_are_of_the_locked_version() -> None:
    texts = [path.read_text() for path in sorted(DEPLOY.rglob("*")) if path.is_file() and path.suffix not in (".lock", ".pyc")]
    versions = re.findall(r"apache/beam_\S+?:([\d.]+)|org\.apache\.beam:beam-[\w-]+:([\d.]+)", "\n".join(texts))
    assert len(versions) >= 3
    assert {image or jar for image, jar in versions} == {locked()}


def test_flink_is_one_flink() -> None:
    """In deploy/cluster, for the operator and in the job server's image; Beam has a runner for it."""
    version, manifests = engine("flink"), DEPLOY / "kubernetes"
    operator = (manifests / "flink.yaml").read_text()
    assert re.findall(r"^ *image: flink:(\S+)-java\d+$", operator, re.M) == [version]
    assert re.findall(r"^ *flinkVersion: v(\S+)$", operator, re.M) == [minor(version).replace(".", "_")]
    assert re.findall(r"beam_flink([\d.]+)_job_server:", (manifests / "nightly.yaml").read_text()) == [minor(version)]
    assert runner_of("flink")[0] == f"beam-runners-flink-{minor(version)}"
    assert minor(version) in FlinkRunnerOptions.PUBLISHED_FLINK_VERSIONS


def test_spark_is_one_spark() -> None:
    major = engine("spark").partition(".")[0]
    assert runner_of("spark")[0] == f"beam-runners-spark-{major}"
    assert f"beam-runners-spark-{major}-job-server:" in (DEPLOY / "spark-submit.sh").read_text()


def test_beams_java_side_is_one_version() -> None:
    assert runner_of("flink")[1] == runner_of("spark")[1]


@pytest.mark.parametrize("name", ["flink", "spark"])
def test_the_readme_says_what_runs(name: str) -> None:
    text = (DEPLOY / "README.md").read_text()
    assert f"{name.capitalize()} {engine(name)}" in text
    assert runner_of(name)[1] in text
    assert locked() in text
