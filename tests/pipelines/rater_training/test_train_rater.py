"""A rater trained on labels tells apart what they tell apart, on documents and sources that it has not seen."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml

import tamis
from tamis.pipelines.rater_training.evaluation import agreement, auc, calibration_error
from tamis.pipelines.rater_training.labelled_texts import LabelledTexts, of_files, of_labels, of_run
from tamis.pipelines.rater_training.train_rater import Training, recipe_lines, train_rater
from tamis.transforms.core.errors import RunError

GOOD = ("theorem", "proof", "energy", "symmetry", "because", "therefore")
BAD = ("cheap", "shoes", "click", "deal", "free", "shipping")
COMMON = ("the", "a", "of", "and", "to", "in", "it", "is")


def write(path: Path, words: tuple[str, ...], sources: tuple[str, ...], documents: int = 120) -> str:
    draws = np.random.default_rng(len(words[0]))
    with path.open("w") as file:
        for k in range(documents):
            text = " ".join(draws.choice([*words, *COMMON], 40))
            row = {
                "id": f"{path.stem}-{k}",
                "text": f"{text} {k}",
                "source": sources[k % len(sources)],
                "metadata": {"part": k % 9},
            }
            file.write(json.dumps(row) + "\n")
    return str(path)


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> tuple[str, str]:
    folder = tmp_path_factory.mktemp("labelled")
    good = write(folder / "good.jsonl", GOOD, ("wiki", "papers", "books"))
    return good, write(folder / "bad.jsonl", BAD, ("shop", "blog", "forum"))


def texts_of(files: tuple[str, str], by: str = "source") -> LabelledTexts:
    return of_files([files[0]], [files[1]], by, 1000, 0)


@pytest.mark.parametrize("kind", ["linear", pytest.param("pooled", marks=pytest.mark.slow), "fasttext"])
def test_it_ranks_sources_that_it_has_not_seen(kind: Any, files: tuple[str, str], tmp_path: Path) -> None:
    if kind == "pooled":
        pytest.importorskip("torch")
    output = str(tmp_path / ("edu.bin" if kind == "fasttext" else "edu.safetensors"))
    training = Training(kind=kind, held_out=0.3, epochs=8, dimension=8, buckets=1000)
    result = train_rater(texts_of(files), training, output, "source")
    assert result.held_by == "source"
    assert result.trained + result.held_out.documents == 240
    assert result.held_out.auc is not None
    assert result.held_out.auc >= 0.99
    assert "Agreement" in Path(result.card).read_text()
    first = Path(output).read_bytes()
    train_rater(texts_of(files), training, output, "source")
    assert Path(output).read_bytes() == first  # the same texts, the same model

    recipe = yaml.safe_load("\n".join(recipe_lines(result)))
    release = tamis.run(
        {**recipe, "input": {"paths": list(files)}, "curriculum": {"order": "ascending"}}, output=str(tmp_path / "run")
    )
    signal = recipe["quality"][0]["signal"]
    table = release.table("id", signal).to_pydict()
    scores = dict(zip(table["id"], table[signal], strict=True))
    good, bad = ([score for name, score in scores.items() if name.startswith(kind)] for kind in ("good", "bad"))
    assert len(good) == len(bad) == 120
    assert auc(np.array(good + bad), np.arange(240) < 120) >= 0.99


def test_sources_are_held_out_as_a_whole(files: tuple[str, str], tmp_path: Path) -> None:
    result = train_rater(texts_of(files), Training(kind="linear", held_out=0.3), str(tmp_path / "m.safetensors"), "source")
    assert sorted(row.documents for row in result.sources) == [40, 40]
    one = (files[0], files[0].replace("good", "one"))
    write(Path(one[1]), BAD, ("shop",))
    result = train_rater(texts_of(one), Training(kind="linear"), str(tmp_path / "m.safetensors"), "source")
    assert result.held_by == "id"  # one label has one source


def test_labels_by_id_and_conditions_on_a_run_name_the_same_documents(files: tuple[str, str], tmp_path: Path) -> None:
    table = tmp_path / "labels.csv"
    table.write_text("id,label\n" + "".join(f"good-{k},2\nbad-{k},0\n" for k in range(50)) + "gone,1\n")
    graded = of_labels(str(table), "label", list(files), "metadata.part", 1000, 0)
    assert len(graded.target) == 100
    assert graded.grades == (0, 2)
    assert set(graded.group) == {str(k) for k in range(9)}
    recipe = {"input": {"paths": list(files)}, "rate": {"gopher": None}, "signals": {"metadata.part": {"unit": "number"}}}
    tamis.run(recipe, output=str(tmp_path / "run"))
    found = of_run(str(tmp_path / "run"), ["metadata.part < 4"], ["metadata.part >= 4"], "source", 1000, 0)
    assert found.target.sum() == sum(k % 9 < 4 for k in range(120)) * 2


def test_what_cannot_be_learnt_is_named(files: tuple[str, str], tmp_path: Path) -> None:
    with pytest.raises(RunError, match="--negative"):
        of_files([files[0]], [], "source", 10, 0)
    with pytest.raises(RunError, match=r"all 240 texts are both positive and negative"):
        of_files([files[0]], [files[0]], "source", 1000, 0)  # each text with both labels
    with pytest.raises(RunError, match=r"ends in \.bin"):
        train_rater(texts_of(files), Training(kind="fasttext"), str(tmp_path / "m.safetensors"), "source")
    with pytest.raises(RunError, match=r"--split-by metadata\.gone"):
        texts_of(files, "metadata.gone")
    nothing = tmp_path / "nothing.jsonl"
    nothing.write_text('{"number": 1}\n')
    with pytest.raises(RunError, match=r"--negative: there are no documents in .*nothing\.jsonl: .*text"):
        of_files([files[0]], [str(nothing)], "source", 10, 0)
    other = tmp_path / "other.jsonl"
    other.write_text(Path(files[1]).read_text().replace('"text"', '"content"'))
    assert len(of_files([files[0]], [str(other)], "source", 1000, 0).target) == 240  # its text field is found
    labels = tmp_path / "labels.csv"
    labels.write_text("id,label\nnobody,1\n")
    with pytest.raises(RunError, match="none of its 1 ids"):
        of_labels(str(labels), "label", [files[0]], "source", 10, 0)


def test_measures() -> None:
    scores, targets = np.array([0.1, 0.4, 0.35, 0.8]), np.array([0.0, 0.0, 1.0, 1.0])
    assert auc(scores, targets >= 0.5) == 0.75  # scikit-learn's example
    assert auc(np.ones(4), targets >= 0.5) == 0.5
    measured = agreement("all", scores, targets, 0.5)
    assert measured.precision == 0.5
    assert calibration_error(targets, targets) == 0
    assert calibration_error(np.full(100, 0.5), np.ones(100)) == 0.5
    assert agreement("one", scores, np.ones(4), 0.5).auc is None
