"""FineWeb-2's files decide about documents of each language as datatrove's filters do with them."""

from __future__ import annotations

import json
import random
import re
from collections import Counter
from pathlib import Path
from typing import Any

import pytest
import yaml

from tamis.pipelines.languages.language_files import read_language_files
from tamis.pipelines.python_api import Release
from tamis.pipelines.recipe.load import load_recipe
from tamis.pipelines.recipe.yaml_file import RecipeError
from tamis.pipelines.run.launch import launch
from tamis.transforms.rate.fineweb import FineWeb
from tests.transforms.text.word_reference import words_of

Config = dict[str, Any]

FRENCH: Config = {
    "language_score": 0.5,
    "dup_line_frac": 0.25,
    "top_n_grams": [[2, 0.15], [3, 0.14], [4, 0.13]],
    "dup_n_grams": [[5, 0.15], [6, 0.14], [10, 0.1]],
    "line_punct_thr": 0.1,
    "new_line_ratio": 0.2,
    "min_avg_word_length": 3,
    "max_avg_word_length": 8,
    "max_non_alpha_words_ratio": 0.75,
    "stopwords": ["le", "la", "de", "et", ","],
}
TURKISH: Config = FRENCH | {"language_score": 0.6, "dup_line_frac": 0, "line_punct_thr": 0.0, "stopwords": ["ve", "bir", "bu"]}
FIELDS = [
    *("language_pairs=[{label: metadata.lang, score: metadata.score, min: 0}]", "dedup=null"),
    *("rate.language=null", "rate_unedited=[gopher,repetition,fineweb]"),
]
"""The language is a field of the documents, so that no model is needed."""


def save(folder: Path, **files: Config) -> str:
    folder.mkdir(exist_ok=True)
    for language, config in files.items():
        (folder / f"{language}.yml").write_text(yaml.safe_dump(config, allow_unicode=True))
    return f"language_files=[{folder}/*.yml]"


# --- agreement -----------------------------------------------------------------------------------------------------------


def passes(text: str, score: float, config: Config) -> bool:
    """FineWeb-2's filters (fineweb-2-pipeline.py, step 5; datatrove's filters of these names), on our words."""
    words = words_of(text)
    plain = [word for word in words if any(letter.isalnum() for letter in word)]
    return (
        score >= config["language_score"]
        and _gopher_repetition(text, words, config)
        and _fineweb_quality(text, words, config)
        and _gopher_quality(text, words, plain, config)
    )


def _gopher_repetition(text: str, words: list[str], config: Config) -> bool:
    lines = re.split("\n+", text)
    if config["dup_line_frac"] and (len(lines) - len(set(lines))) / len(lines) > config["dup_line_frac"]:
        return False
    for n, limit in config["top_n_grams"]:
        grams = Counter(tuple(words[start : start + n]) for start in range(len(words) - n + 1))
        gram, times = grams.most_common(1)[0] if grams else ((), 0)
        if times > 1 and len(" ".join(gram)) * times / len(text) > limit:
            return False
    for n, limit in config["dup_n_grams"]:
        seen, repeated, place = set(), 0, 0
        while place < len(words) - n + 1:
            run = tuple(words[place : place + n])
            repeated += sum(map(len, run)) if run in seen else 0
            place += n if run in seen else 1
            seen.add(run)
        if repeated / len(text) > limit:
            return False
    return True


def _fineweb_quality(text: str, words: list[str], config: Config) -> bool:
    lines = [line for line in text.split("\n") if line.strip()]
    ended = sum(line.endswith(FineWeb().terminal_punctuation) for line in lines)
    counts = Counter(lines)
    repeated = sum(len(line) * (times - 1) for line, times in counts.items())
    return (
        ended / len(lines) >= config["line_punct_thr"]
        and repeated / len(text.replace("\n", "")) <= 0.1
        and text.count("\n") / len(words) <= config["new_line_ratio"]
    )


def _gopher_quality(text: str, words: list[str], plain: list[str], config: Config) -> bool:
    mean = sum(map(len, plain)) / len(plain)
    lines = text.split("\n")
    return (
        50 <= len(plain) <= 100_000
        and config["min_avg_word_length"] <= mean <= config["max_avg_word_length"]
        and text.count("#") / len(words) <= 0.1
        and (text.count("...") + text.count("…")) / len(words) <= 0.1
        and sum(line.lstrip().startswith(("•", "-")) for line in lines) / len(lines) <= 0.9
        and sum(line.rstrip().endswith(("...", "…")) for line in lines) / len(lines) <= 0.3
        and sum(any(letter.isalpha() for letter in word) for word in words) / len(words) >= config["max_non_alpha_words_ratio"]
        and len(set(config["stopwords"]) & set(words)) >= 2
    )


RELAXED: Config = {
    "language_score": 0,
    "dup_line_frac": 0,
    "top_n_grams": [],
    "dup_n_grams": [],
    "line_punct_thr": 0,
    "new_line_ratio": 9,
    "min_avg_word_length": 0,
    "max_avg_word_length": 99,
    "max_non_alpha_words_ratio": 0,
}
"""What each key of a file is where it decides about no document."""

FAULTS = (
    "",
    "copies",
    "copies",
    "phrase",
    "phrase",
    "marks",
    "newlines",
    "lines",
    "short",
    "long",
    "digits",
    "phrase",
    "stop words",
    "few",
)


def page(draw: random.Random, stop_words: list[str]) -> str:
    """Lines of invented words and some stop words, most with one fault, more or less of it."""
    fault = draw.choice(FAULTS)
    lengths = {"short": (1, draw.randint(3, 6)), "long": (5, draw.randint(9, 14))}.get(fault, (2, 9))
    lexicon = ["".join(draw.choices("abcdefghijklmnoprstuvyzéçğşöü", k=draw.randint(*lengths))) for _ in range(500)]
    common = draw.choice((0.0, 0.005)) if fault == "stop words" else 0.15
    digits = draw.uniform(0.05, 0.4) if fault == "digits" else 0.01
    phrase = " ".join(draw.choices(lexicon, k=draw.choice((2, 3, 4, 5, 6, 10))))
    bare = {"marks": 0.9, "newlines": 0.6}.get(fault, 0.0)
    lines = []
    for _ in range(draw.randint(2, 6) if fault == "few" else draw.randint(10, 25)):
        words = [
            draw.choice(stop_words) if draw.random() < common else draw.choice(("7", "#")) if draw.random() < digits else word
            for word in draw.choices(lexicon, k=draw.randint(*{"newlines": (2, 5), "phrase": (3, 12)}.get(fault, (8, 20))))
        ]
        if fault == "phrase" and draw.random() < 0.8:
            words.append(phrase)
        lines.append(" ".join(words) + ("" if draw.random() < bare else draw.choice("..…!")))
    if fault == "copies":
        lines += [f"{line} {number}" for number, line in enumerate(lines[: draw.randint(1, 6)])]
    if fault == "lines":
        lines += ["Oui."] * draw.randint(1, len(lines) // 2 + 1)
    return "\n".join(lines)


@pytest.mark.slow
def test_documents_are_decided_as_by_the_filters_of_fineweb_2(tmp_path: Path) -> None:
    draw, files = random.Random(7), {"fra_Latn": FRENCH, "tur_Latn": TURKISH}
    documents = []
    for number in range(600):
        language = draw.choice(("fra_Latn", "tur_Latn", "deu_Latn"))
        text = page(draw, files.get(language, FRENCH)["stopwords"])
        documents.append({"id": str(number), "text": text, "lang": language, "score": round(draw.uniform(0.4, 1), 3)})
    (tmp_path / "in.jsonl").write_text("".join(json.dumps(document) + "\n" for document in documents))
    recipe = load_recipe("fineweb2", [*FIELDS, save(tmp_path / "files", **files)], [str(tmp_path / "in.jsonl")])
    launch(recipe, str(tmp_path / "run"), workers=1)
    table = Release.open(str(tmp_path / "run")).table()
    decided = dict(zip(table["id"].to_pylist(), table["decision"].to_pylist(), strict=True))
    for each in documents:
        expected = each["lang"] in files and passes(each["text"], each["score"], files[each["lang"]])
        assert decided[each["id"]] == ("keep" if expected else "drop"), each
    for key, relaxed in RELAXED.items():  # each of them decides about a document
        config = FRENCH | {key: relaxed}
        french = [each for each in documents if each["lang"] == "fra_Latn" and decided[each["id"]] == "drop"]
        assert any(passes(each["text"], each["score"], config) for each in french), key
    assert Counter(decided.values()).most_common()[-1][1] > 60
    assert {"gopher.stop_words", "metadata.score"} <= set(table["reason"].drop_null().to_pylist())


def test_real_files_give_every_limit(shared: Path) -> None:
    blocks = read_language_files([f"{shared}/fineweb2/*.yml"], "language.probability")
    assert len(blocks) == 12
    french = blocks["fra_Latn"]
    assert french["thresholds"]["language.probability"] == {"min": 0.824}
    assert french["thresholds"]["gopher.mean_word_length"] == {"min": 2, "max": 11}
    for language, block in blocks.items():
        content = yaml.safe_load((shared / "fineweb2" / f"{language}.yml").read_text())
        assert len(content) == 10
        assert block["stop_words"] == content["stopwords"]
        assert len(block["thresholds"]) >= 15


# --- the recipe ----------------------------------------------------------------------------------------------------------


def test_what_the_recipe_says_of_a_language_goes_before_its_file(tmp_path: Path) -> None:
    own = [
        "per_language.fra_Latn.thresholds.gopher.stop_words.min=4",
        "per_language.fra_Latn.thresholds.fineweb.line_punctuation=null",
        "per_language.tur_Latn.stop_words=[ve]",
    ]
    sets = [*FIELDS, save(tmp_path / "files", fra_Latn=FRENCH, tur_Latn=TURKISH), *own]
    recipe = load_recipe("fineweb2", sets, ["any"])
    french, turkish = recipe.per_language["fra_Latn"], recipe.per_language["tur_Latn"]
    limit = french.thresholds["gopher.stop_words"]
    assert limit is not None
    assert limit.min == 4
    assert "fineweb.line_punctuation" not in french.thresholds
    assert french.stop_words == tuple(FRENCH["stopwords"])
    assert (turkish.stop_words, turkish.thresholds["metadata.score"]) != (None, None)
    assert "repetition.duplicate_line_share" not in turkish.thresholds  # 0 is no limit
    assert recipe.language_files == ()
    other = load_recipe("fineweb2", [*sets, "per_language.tur_Latn.stop_words=[bir]"], ["any"])
    assert other.rate_fingerprint != recipe.rate_fingerprint
    stricter = load_recipe("fineweb2", [*sets, "per_language.fra_Latn.thresholds.gopher.stop_words.min=5"], ["any"])
    assert stricter.rate_fingerprint == recipe.rate_fingerprint


@pytest.mark.parametrize(
    ("config", "message"),
    [
        ({"dup_line_fraction": 0.2}, "'dup_line_fraction' is no key of FineWeb-2's files: did you mean 'dup_line_frac'"),
        ({"top_n_grams": [[5, 0.1]]}, "top_n_grams: n-grams of 5 words are not measured: 2 to 4 are"),
        ({"dup_n_grams": 0.1}, "dup_n_grams: should be pairs of a length and a share, not 0.1"),
        ({"stopwords": ["le", False]}, "stopwords: should be a list of words .* needs quotes"),
        ({"line_punct_thr": "high"}, "line_punct_thr: should be a number, not 'high'"),
        ({"line_punct_thr": 7}, "fineweb.line_punctuation"),
        ({}, "should have the keys of FineWeb-2's files"),
    ],
)
def test_a_file_that_is_not_so_is_an_error_that_names_it(tmp_path: Path, config: Config, message: str) -> None:
    with pytest.raises(RecipeError, match=message) as raised:
        load_recipe("fineweb2", [*FIELDS, save(tmp_path / "files", fra_Latn=config)], ["any"])
    assert "fra_Latn" in str(raised.value)


def test_without_files_the_recipe_says_what_is_missing() -> None:
    with pytest.raises(RecipeError, match=r"language_files: .*fineweb2"):
        load_recipe("fineweb2")


def test_stop_words_need_the_rater_that_counts_them(tmp_path: Path) -> None:
    recipe = tmp_path / "r.yaml"
    recipe.write_text("rate: {repetition: {}}\nper_source:\n  web: {stop_words: [le, la]}\n")
    with pytest.raises(RecipeError, match=r"r\.yaml:3: per_source\.web\.stop_words: the rater gopher counts stop words"):
        load_recipe(str(recipe), paths=["any"])
