"""The classifier gives what the plain loop of transformers gives, for each text alone."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest

from tamis.testing import EDGES, check_rater
from tamis.transforms.core.errors import RunError
from tamis.transforms.rate.neural.classifier import Classifier, ClassifierRater
from tamis.transforms.text.segment import Texts, unsegmented
from tests.transforms.rate.neural.random_models import WORDS, save_classifier, save_encoder, tokenizer

torch = pytest.importorskip("torch")
pytest.importorskip("transformers")

TOPICS = {0: "Science & Tech.", 1: "Finance", 2: "Home"}
TEXTS = [f"{WORDS[k % 3]} {WORDS[k % 2] * (k % 40)}" for k in range(100)]


@pytest.fixture(scope="module")
def regressor(tmp_path_factory: pytest.TempPathFactory) -> str:
    return save_classifier(tmp_path_factory.mktemp("models") / "edu", num_labels=1, problem_type="regression")


@pytest.fixture(scope="module")
def topics(tmp_path_factory: pytest.TempPathFactory) -> str:
    return save_classifier(tmp_path_factory.mktemp("models") / "topics", id2label=TOPICS)


def texts_of(texts: list[str]) -> Texts:
    return unsegmented(pa.array(texts, pa.large_string()))


def rated(texts: list[str], **options: object) -> dict[str, list[object]]:
    return ClassifierRater(Classifier(name="c", max_tokens=64, **options)).rate(texts_of(texts)).to_pydict()  # type: ignore[arg-type]


def plain_loop(model: str, texts: list[str]) -> np.ndarray:
    """[n, k]: the logits of batches of 32 in input order, padded to their longest."""
    from transformers import AutoModelForSequenceClassification, PreTrainedTokenizerFast

    tokens = PreTrainedTokenizerFast(tokenizer_object=tokenizer(), pad_token="[PAD]", model_max_length=64)
    network = AutoModelForSequenceClassification.from_pretrained(model).eval()
    logits = []
    with torch.no_grad():
        for first in range(0, len(texts), 32):
            batch = tokens(texts[first : first + 32], padding="longest", truncation=True, return_tensors="pt")
            logits.append(network(batch["input_ids"], attention_mask=batch["attention_mask"]).logits)
    return torch.cat(logits).numpy()


@pytest.mark.parametrize("batch_tokens", [None, 200])
def test_a_score_is_that_of_the_plain_loop(regressor: str, batch_tokens: int | None) -> None:
    scores = rated(TEXTS, model=regressor, decimals=7, batch_tokens=batch_tokens)["c.score"]
    expected = plain_loop(regressor, TEXTS)[:, 0]
    assert expected.std() > 0.05
    np.testing.assert_allclose(scores, expected, atol=1e-4)


@pytest.mark.parametrize("batch_tokens", [None, 200])
def test_labels_are_those_of_the_plain_loop(topics: str, batch_tokens: int | None) -> None:
    labels = ("Finance", "Science & Tech.")
    values = rated(TEXTS, model=topics, output="label", labels=labels, decimals=7, batch_tokens=batch_tokens)
    assert list(values) == ["c.label", "c.probability", "c.finance", "c.science_tech", "c.judged"]
    logits = torch.from_numpy(plain_loop(topics, TEXTS))
    expected = torch.softmax(logits, 1).numpy()
    assert values["c.label"] == [TOPICS[k] for k in expected.argmax(1)]
    np.testing.assert_allclose(values["c.probability"], expected.max(1), atol=1e-4)
    np.testing.assert_allclose(values["c.finance"], expected[:, 1], atol=1e-4)
    several = rated(TEXTS, model=topics, output="labels", labels=("Home",), decimals=7, batch_tokens=batch_tokens)
    np.testing.assert_allclose(several["c.home"], torch.sigmoid(logits)[:, 2].numpy(), atol=1e-4)


@pytest.mark.parametrize("precision", ["bfloat16", "int8"])
@pytest.mark.parametrize("batch_tokens", [None, 200])
def test_a_lower_precision_is_nearly_the_same(regressor: str, batch_tokens: int | None, precision: str) -> None:
    exact, near = (
        rated(TEXTS, model=regressor, decimals=7, batch_tokens=batch_tokens, precision=each)["c.score"]
        for each in ("float32", precision)
    )
    assert near != exact
    np.testing.assert_allclose(near, exact, atol=0.1)  # type: ignore[arg-type]


def test_a_long_text_has_the_mean_of_its_windows(regressor: str) -> None:
    def score(text: str, *windows: str) -> float:
        return float(rated([text], model=regressor, decimals=7, windows=windows)["c.score"][0])  # type: ignore[arg-type]

    begin, middle, end = ("proof " * 62, "shoes " * 62, "numbers " * 62)
    apart = score(begin, "begin"), score(middle, "begin"), score(end, "begin")
    whole = begin + middle + end
    assert score(whole, "begin") == apart[0]
    assert score(whole, "end") == apart[2]
    assert score(whole, "begin", "middle", "end") == pytest.approx(np.mean(apart), abs=1e-6)


@pytest.mark.slow
@pytest.mark.parametrize("options", [{}, {"batch_tokens": 256}, {"precision": "int8"}])
def test_the_rater_keeps_the_contract(regressor: str, options: dict[str, object]) -> None:
    """A thousand texts have the same values in five random splits."""
    check_rater(ClassifierRater(Classifier(name="c", model=regressor, max_tokens=64, **options)))  # type: ignore[arg-type]


@pytest.mark.parametrize("precision", ["float32", "int8"])
def test_alone_values_are_the_same_bits_in_any_company(topics: str, precision: str) -> None:
    options = {"model": topics, "output": "labels", "labels": ("Home",), "decimals": 7, "precision": precision}
    whole = rated(TEXTS[:60], **options)["c.home"]
    parts = [rated(TEXTS[first : first + 7], **options) for first in range(0, 60, 7)]
    assert [value for part in parts for value in part["c.home"]][:60] == whole[:60]


def test_odd_texts(topics: str) -> None:
    values = rated(list(EDGES), model=topics, output="label", labels=("Home",))
    for text, label, home, judged in zip(EDGES, values["c.label"], values["c.home"], values["c.judged"], strict=True):
        if text.strip("\x00 \n\r\t\u200b\ufeff"):
            assert label in TOPICS.values()
            assert 0 <= home <= 1  # type: ignore[operator]
            assert 0 < judged <= 1  # type: ignore[operator]
        else:
            assert (label, home, judged) == (None, None, None)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({}, r"gives 3 numbers: name those that become signals as labels \(Science & Tech\., Finance, Home\)"),
        ({"labels": ("finance",)}, r"no label 'finance'; the nearest of its 3 labels is 'Finance'"),
        ({"labels": ("Home",), "max_tokens": 65}, "max_tokens is 65, but it reads 64 at most"),
    ],
)
def test_what_does_not_fit_the_model_is_named(topics: str, options: dict[str, object], message: str) -> None:
    with pytest.raises((RunError, ValueError), match=message):
        ClassifierRater(Classifier(name="c", model=topics, **{"max_tokens": 64, **options})).setup()  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"output": "labels"}, "output 'labels' needs labels"),
        ({"labels": ("A-b", "a b")}, "two signals the name 'c.a_b'"),
        ({"labels": ("judged",)}, "two signals the name 'c.judged'"),
        ({"windows": ("end", "end")}, "names a part twice"),
        ({"device": "cuda"}, "give batch_tokens"),
        ({"device": "cuda", "batch_tokens": 64, "precision": "int8"}, "choose bfloat16 for a GPU"),
        ({"revision": "main"}, "should match pattern"),
    ],
)
def test_wrong_options_are_named(options: dict[str, object], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        Classifier(name="c", model="m", **options)  # type: ignore[arg-type]


def test_another_model_is_another_rater(regressor: str, topics: str, tmp_path: Path) -> None:
    def fingerprint(model: str, **options: object) -> str:
        return ClassifierRater(Classifier(name="c", model=model, **options)).fingerprint  # type: ignore[arg-type]

    same = save_classifier(tmp_path / "same", num_labels=1, problem_type="regression")
    assert fingerprint(same) == fingerprint(regressor)
    assert len({fingerprint(regressor), fingerprint(topics), fingerprint(regressor, max_tokens=32)}) == 3
    with (tmp_path / "same/model.safetensors").open("r+b") as file:
        file.seek(-1, 2)
        file.write(b"\x55")
    assert fingerprint(same) != fingerprint(regressor)
    commit = "0123456789" * 4
    assert fingerprint("owner/model", revision=commit) != fingerprint("owner/model", revision=commit[::-1])  # fetches nothing


def test_files_that_are_no_classifier_are_refused(tmp_path: Path) -> None:
    def refused(message: str, model: Path) -> None:
        with pytest.raises((RunError, FileNotFoundError), match=message):
            ClassifierRater(Classifier(name="c", model=str(model), max_tokens=64)).setup()

    refused("no such folder; for a model of the Hugging Face hub, give its commit", tmp_path / "none")
    refused("its weights are not those of a classifier: classifier", Path(save_encoder(tmp_path / "encoder")))
    pickled = Path(save_classifier(tmp_path / "pickled", num_labels=1))
    (pickled / "model.safetensors").rename(pickled / "pytorch_model.bin")
    refused("weights in a pickle could run code", pickled)
    foreign = Path(save_classifier(tmp_path / "foreign", num_labels=1))
    config = json.loads((foreign / "config.json").read_text())
    code = "raise SystemExit('foreign code ran')"
    (foreign / "modeling.py").write_text(code)
    config |= {
        "model_type": "own",
        "auto_map": {"AutoConfig": "modeling.C", "AutoModelForSequenceClassification": "modeling.M"},
    }
    (foreign / "config.json").write_text(json.dumps(config))
    refused("not a model that transformers can load", foreign)


def test_a_model_of_the_hub_is_taken_from_its_cache(regressor: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from huggingface_hub import constants

    commit = "0123456789" * 4
    snapshot = tmp_path / "models--owner--edu" / "snapshots" / commit
    snapshot.parent.mkdir(parents=True)
    snapshot.symlink_to(regressor)
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path))
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    assert rated(["proof"], model="owner/edu", revision=commit) == rated(["proof"], model=regressor)
    with pytest.raises(RunError, match=r"owner/other@.*: the hub does not give this model"):
        rated(["proof"], model="owner/other", revision=commit)
