"""The levels of DataRubrics follow from what a manifest counts, and what it cannot know is called so."""

from __future__ import annotations

from collections import Counter
from typing import Any

import pytest

from tamis.pipelines.cards.corpus_facts import CorpusFacts, Share
from tamis.pipelines.cards.data_rubrics import NOT_KNOWN, answers, data_rubrics

CHARACTERS: dict[str, Any] = {"editors": {}, "cut": {}}


def manifest(**changes: Any) -> Any:
    """A manifest with what the answers read."""
    recipe = {"name": "small", "seed": 7, "rate": {"tokens": {}, **changes.get("rate", {})}, **changes.get("recipe", {})}
    return {
        "tamis": "1.2.3",
        "release": 2,
        "recipe": recipe,
        "fingerprint": "0123456789abcdef",
        "inputs": [{"uri": "a.jsonl"}, {"uri": "a.jsonl"}, {"uri": "b.jsonl"}],
        "counts": {"reasons": changes.get("reasons", []), "characters": changes.get("characters", CHARACTERS)},
        "curriculum": {"tokens": 1234, "shards": [{}, {}]},
        "guards": {"shares": changes.get("shares", {})},
        "files": [{}, {}, {}],
    }


def facts(**documents: int) -> CorpusFacts:
    counts: Counter[str | None] = Counter(documents)
    return CorpusFacts(languages=Share(counts, counts), measured=True)


def levels(dimension: str, given: Any, about: CorpusFacts | None = None) -> list[tuple[str, str]]:
    return [(each.level, each.evidence) for each in answers(given, about or CorpusFacts()) if each.dimension == dimension]


def test_the_card_of_the_smallest_release() -> None:
    assert data_rubrics(manifest(), CorpusFacts()).splitlines() == [
        "# DataRubrics of small, release 2",
        "",
        "| dimension | level | evidence |",
        "|---|---|---|",
        "| Source of text | Unknown Origin | the recipe does not say which documents are synthetic (guards.synthetic) |",
        "| Data annotations | Automatic Process | signals by rules: tokens |",
        "| Annotation guidelines | not known to Tamis | instructions, rubrics and examples are no part of a release |",
        "| Quality assurance | N/A | the recipe has no section that drops documents |",
        "| Quality assurance | not known to Tamis | whether people checked the inputs or the corpus |",
        "| Data novelty | Collated | from 2 input files; whether their texts are new or translated is not known to Tamis; "
        "no editor and no cut changed a text |",
        "| Task utility | Pre-Training | 1,234 tokens in 2 shards in training order; other uses are not known to Tamis |",
        "| Human language | Unknown | the recipe measures none (rate.language) |",
        "| Non-human language | not known to Tamis | code, formulas and other notations are not counted |",
        "| Reproducibility: code | not known to Tamis | Tamis 1.2.3 curated; by which code the inputs were collected, "
        "and whether it is public |",
        "| Reproducibility: documentation | Has Documentation | the manifest has the recipe (fingerprint 0123456789abcdef, "
        "seed 7), the versions of inputs and packages, and the SHA-256 of 3 files |",
    ]


@pytest.mark.parametrize(
    ("share", "expected"),
    [(0.0, ["Unknown Origin"]), (0.25, ["Model-Generated", "Unknown Origin"]), (1.0, ["Model-Generated"])],
)
def test_sources_follow_the_synthetic_share(share: float, expected: list[str]) -> None:
    found = levels("Source of text", manifest(shares={"synthetic": share}))
    assert [level for level, _ in found] == expected
    if share == 0.25:
        assert [evidence.split(" of the tokens")[0] for _, evidence in found] == ["25.00%", "75.00%"]


def test_signals_are_of_rules_of_models_or_of_others() -> None:
    rate = {"gopher": {}, "language": {}, "fasttext": [{"name": "edu"}, {"name": "toxic"}], "house": {}}
    assert levels("Data annotations", manifest(rate=rate, recipe={"scores": {"bought": {}}})) == [
        ("Automatic Process", "signals by rules: tokens, gopher"),
        ("AI Model", "signals of learned models: language, edu, toxic"),
        (NOT_KNOWN, "who or what made the signals house, bought"),
    ]


def test_checks_are_of_rules_or_of_models() -> None:
    reasons = [
        {"decision": "drop", "reason": "gopher.words", "documents": 1000},
        {"decision": "review", "reason": "gopher.words", "documents": 234},
        {"decision": "drop", "reason": "edu.probability", "documents": 5},
    ]
    assert levels("Quality assurance", manifest(rate={"fasttext": [{"name": "edu"}]}, reasons=reasons))[:2] == [
        ("Automatic Verification", "documents left out, by reason: gopher.words 1,234"),
        ("AI Model", "documents left out by signals of learned models: edu.probability 5"),
    ]
    (nothing, _) = levels("Quality assurance", manifest(recipe={"thresholds": {"tokens.count": {}}}))
    assert nothing == ("Automatic Verification", "no document was left out by thresholds")


@pytest.mark.parametrize(
    ("characters", "expected"),
    [
        (CHARACTERS, "Collated"),
        ({"editors": {"c4": {"removed": 0, "inserted": 0}}, "cut": {}}, "Collated"),
        ({"editors": {"c4": {"removed": 3, "inserted": 0}}, "cut": {}}, "Derived"),
        ({"editors": {}, "cut": {"dedup.substring": {"characters": 9}}}, "Derived"),
        (None, NOT_KNOWN),
    ],
)
def test_texts_are_derived_once_a_character_changed(characters: Any, expected: str) -> None:
    ((level, _),) = levels("Data novelty", manifest(characters=characters))
    assert level == expected


@pytest.mark.parametrize(
    ("documents", "expected"),
    [
        ({}, ("Unknown", "no language was found")),
        ({"en": 3}, ("Monolingual (English)", "documents by the label of a model: en 3")),
        ({"de": 3}, ("Monolingual (Non-English)", "documents by the label of a model: de 3")),
        ({"en": 1, "de": 3}, ("Bilingual", "documents by the label of a model: de 3, en 1")),
        (
            {"a": 6, "b": 5, "c": 4, "d": 3, "e": 2, "f": 1},
            ("Multilingual", "documents by the label of a model: a 6, b 5, c 4, d 3, e 2, 1 more"),
        ),
    ],
)
def test_languages_are_counted_by_their_labels(documents: dict[str, int], expected: tuple[str, str]) -> None:
    assert levels("Human language", manifest(), facts(**documents)) == [expected]
