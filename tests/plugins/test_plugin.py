"""A rater or an editor of another package is as good as ours: listed, checked, used, compiled, and missed when it is gone."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest

from tests.pipelines.corpus import corpus, save
from tests.pipelines.running import TAMIS

TEMPLATE = Path(__file__).with_name("tamis_readability")

RECIPE = """\
requires: [tamis-readability>=0.1]
rate:
  language: {}
  readability: {min_words: 5}
thresholds:
  readability.grade: {max: 40}
quality:
  - {signal: readability.grade, range: [0, 30]}
"""


def install(folder: Path, version: str) -> Path:
    """The template as an installed package of this version."""
    source, site = folder / "source", folder / f"site-{version}"
    shutil.rmtree(source, ignore_errors=True)
    shutil.copytree(TEMPLATE, source)
    project = source / "pyproject.toml"
    project.write_text(project.read_text().replace('version = "0.1.0"', f'version = "{version}"'))
    pip = [sys.executable, "-m", "pip", "--disable-pip-version-check", "install", "-q", "--no-deps", "--no-build-isolation"]
    subprocess.run([*pip, "--target", str(site), str(source)], check=True)
    return site


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return install(tmp_path_factory.mktemp("plugin"), "0.1.0")


def tamis(site: Path | None, *words: str | Path, code: int = 0) -> str:
    """The standard output of a command if it succeeds, else its standard error."""
    path = [str(site)] if site is not None else []
    environment = os.environ | {"PYTHONPATH": os.pathsep.join([*path, *filter(None, [os.environ.get("PYTHONPATH")])])}
    done = subprocess.run([TAMIS, *map(str, words)], capture_output=True, text=True, env=environment, timeout=300)
    assert done.returncode == code, done.stderr
    return done.stdout if code == 0 else done.stderr


def write(folder: Path, text: str = RECIPE) -> Path:
    path = folder / "r.yaml"
    path.write_text(text)
    return path


@pytest.mark.slow
def test_it_passes_the_checks_of_every_rater(site: Path) -> None:
    program = (
        "from tamis.testing import check_rater; from tamis_readability import Readability, ReadabilityRater\n"
        "rater = ReadabilityRater(Readability()); rater.package = 'tamis-readability 0.1.0'\n"
        "check_rater(rater, {'language.label': ['en', 'de', None]})"
    )
    subprocess.run([sys.executable, "-c", program], env=os.environ | {"PYTHONPATH": f"{site}:{os.getcwd()}"}, check=True)


@pytest.mark.slow
def test_its_editor_passes_the_checks_of_every_editor(site: Path) -> None:
    program = (
        "from tamis.testing import check_editor; from tamis_readability import Capitals, CapitalsEditor\n"
        "editor = CapitalsEditor(Capitals()); editor.package = 'tamis-readability 0.1.0'\n"
        "check_editor(editor)"
    )
    subprocess.run([sys.executable, "-c", program], env=os.environ | {"PYTHONPATH": f"{site}:{os.getcwd()}"}, check=True)


@pytest.mark.slow
def test_its_editor_edits_and_its_errors_name_the_line(site: Path, tmp_path: Path) -> None:
    source = save(tmp_path / "in", [[{"id": "loud", "text": "SHOUTING and more words", "source": "web"}]])
    recipe = write(
        tmp_path, "edit:\n  - capitals: {longest: 2}\nthresholds:\n  edit.capitals.shouting.removed_chars: {max: 9}\n"
    )
    tamis(site, "run", recipe, "--input", source, "--output", tmp_path / "run", "--workers", "1")
    manifest = json.loads((tmp_path / "run" / "manifest.json").read_text())
    assert manifest["counts"]["characters"]["editors"]["capitals"]["removed"] == 6
    wrong = write(tmp_path, recipe.read_text().replace("longest: 2", "longst: 2"))
    message = "r.yaml:2: edit.0.capitals.longst: no such field; did you mean 'longest'?"
    assert message in tamis(site, "lint", wrong, code=2).replace(f"{tmp_path}/", "")
    assert "r.yaml:2: edit.0.capitals: no installed package provides this editor" in tamis(None, "lint", wrong, code=2)
    assert "Capitals" in json.loads(tamis(site, "schema"))["$defs"]
    assert "Capitals" not in json.loads(tamis(None, "schema"))["$defs"]


def test_it_is_listed_and_in_the_schema(site: Path) -> None:
    listed = json.loads(tamis(site, "raters", "--json"))
    (grade,) = (signal for signal in listed["signals"] if signal["name"] == "readability.grade")
    assert grade["package"] == "tamis-readability 0.1.0"
    assert (grade["unit"], grade["direction"], grade["low"], grade["high"]) == ("school grade", "band", 5, 14)
    assert "readability: tamis-readability 0.1.0" in tamis(site, "raters")
    schema = json.loads(tamis(site, "schema"))
    assert "min_words" in schema["$defs"]["Readability"]["properties"]
    assert "Readability" not in json.loads(tamis(None, "schema"))["$defs"]


@pytest.mark.parametrize(
    ("before", "after", "problem"),
    [
        ("min_words: 5", "min_wrds: 5", "r.yaml:4: rate.readability.min_wrds: no such field; did you mean 'min_words'?"),
        ("min_words: 5", "min_words: 0", "r.yaml:4: rate.readability.min_words: should be greater than or equal to 1"),
        (
            "grade: {max",
            "grades: {max",
            "r.yaml:6: thresholds.readability.grades: no signal 'readability.grades': did you mean",
        ),
        ("  readability: {", "  readabilty: {", "r.yaml:4: rate.readabilty: no such rater; did you mean 'readability'?"),
        (
            ">=0.1",
            ">=7",
            "r.yaml:1: requires.0: tamis-readability 0.1.0 is installed, not >=7: pip install 'tamis-readability>=7'",
        ),
        ("  language: {}\n", "", "r.yaml:2: rate: the rater 'readability' needs the signal 'language.label': add the rater"),
    ],
)
def test_its_errors_name_the_line(site: Path, tmp_path: Path, before: str, after: str, problem: str) -> None:
    message = tamis(site, "lint", write(tmp_path, RECIPE.replace(before, after)), code=2)
    assert problem in message.replace(f"{tmp_path}/", "")


def columns(run: Path) -> list[str]:
    return list(pq.read_schema(sorted((run / "rated").rglob("*.parquet"))[0]).names)


@pytest.mark.slow
def test_it_decides_and_a_new_version_rates_again_and_without_it_the_package_is_named(site: Path, tmp_path: Path) -> None:
    source, run, recipe = save(tmp_path / "in", [corpus(60)]), tmp_path / "run", write(tmp_path)

    def result(site: Path) -> dict[str, Any]:
        return json.loads(tamis(site, "run", recipe, "--input", source, "--output", run, "--workers", "1", "--json"))

    first = result(site)
    assert {"readability.grade", "readability.sentences"} <= set(columns(run))
    assert any(reason["reason"] == "readability.grade" for reason in first["reasons"])
    assert first["shards"]["rated"] == 1
    assert result(site)["unchanged"]

    tamis(None, "report", run)
    tamis(None, "verify", run)
    tamis(None, "status", run)
    missing = tamis(None, "run", recipe, "--input", source, "--output", run, code=2).replace(f"{tmp_path}/", "")
    assert (
        "r.yaml:1: requires.0: the package tamis-readability is not installed: pip install 'tamis-readability>=0.1'" in missing
    )
    assert "r.yaml:4: rate.readability: no installed package provides this rater" in missing

    newer = result(install(tmp_path, "0.2.0"))
    assert not newer["unchanged"]
    assert newer["shards"]["rated"] == 1


@pytest.mark.slow
def test_warmup_runs_it(site: Path) -> None:
    assert "compile" in tamis(site, "warmup")
    assert "nothing to compile" in tamis(site, "warmup")


def test_a_package_that_cannot_be_loaded_is_named(site: Path, tmp_path: Path) -> None:
    broken = tmp_path / "site"
    shutil.copytree(site, broken)
    (broken / "tamis_readability" / "__init__.py").write_text("import no_such_library\n")
    problem = "tamis-readability 0.1.0 provides 'readability', but it cannot be loaded: ModuleNotFoundError"
    assert f"r.yaml:4: rate.readability: {problem}" in tamis(broken, "lint", write(tmp_path), code=2)
    assert f"cannot be used: readability: {problem}" in tamis(broken, "raters")
    assert "gopher" in tamis(broken, "lint", "gopher")  # which does not name it


def test_a_name_that_is_taken_is_named_with_both_packages(site: Path, tmp_path: Path) -> None:
    about = tmp_path / "other" / "other_package-1.0.dist-info"
    about.mkdir(parents=True)
    (about / "METADATA").write_text("Metadata-Version: 2.1\nName: other-package\nVersion: 1.0\n")
    rater = "tamis_readability:ReadabilityRater"
    (about / "entry_points.txt").write_text(f"[tamis.raters]\nreadability = {rater}\ngopher = {rater}\n")
    both = Path(f"{site}{os.pathsep}{about.parent}")
    twice = "other-package 1.0 and tamis-readability 0.1.0 both provide 'readability': uninstall one of them"
    assert f"r.yaml:4: rate.readability: {twice}" in tamis(both, "lint", write(tmp_path), code=2)
    listed = tamis(both, "raters")
    assert twice in listed
    assert "gopher of other-package 1.0: the name is that of a rater of Tamis" in listed
