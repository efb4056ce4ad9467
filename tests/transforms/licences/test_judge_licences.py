"""Documents end by their licence as a reference says that reads each document alone."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from tamis.transforms.beam.step import Documents
from tamis.transforms.licences.judge_licences import JudgeLicences, LicenceReader
from tamis.transforms.licences.licence_options import Licences

Outcome = tuple[str, str | None, str | None]


def decide(options: dict[str, Any], licences: Sequence[str | None], sources: Sequence[str] = ()) -> list[Outcome]:
    count = len(licences)
    columns = {"licence": pa.array(licences, pa.string()), "source": pa.array(sources or ["web"] * count, pa.string())}
    nulls = pa.nulls(count, pa.string())
    documents = Documents(columns, pa.array(["keep"] * count, pa.string()), nulls, nulls, True)
    JudgeLicences(Licences.model_validate(options)).decide(documents, None)
    rows = (documents.decision.to_pylist(), documents.reason.to_pylist(), documents.detail.to_pylist())
    return list(zip(*rows, strict=True))


def reasons(options: dict[str, Any], *licences: str | None) -> list[str | None]:
    return [reason for _, reason, _ in decide(options, licences)]


def test_an_empty_section_drops_what_is_unknown() -> None:
    assert decide({}, ["MIT", "cc-by-nc-4.0", None, "house rules", "MIT and house rules"]) == [
        ("keep", None, None),
        ("keep", None, None),
        ("drop", "licences.unknown", "no licence is given"),
        ("drop", "licences.unknown", "no licence is called 'house rules'"),
        ("drop", "licences.unknown", "MIT AND LicenseRef-Unknown: unknown terms"),
    ]


@pytest.mark.parametrize(("unknown", "decision"), [("restrict", "drop"), ("review", "review"), ("allow", "keep")])
def test_what_happens_to_the_unknown(unknown: str, decision: str) -> None:
    assert [each for each, _, _ in decide({"unknown": unknown}, [None, "house rules", "MIT"])] == [decision, decision, "keep"]


def test_uses() -> None:
    licences = ("CC0", "CC-BY-NC-4.0", "Academic Research Purposes Only", "Proprietary")
    passes, denied, other = None, "licences.denied", "licences.not_allowed"
    assert reasons({"allow": ["commercial"]}, *licences) == [passes, other, other, "licences.unknown"]
    assert reasons({"allow": ["non-commercial"]}, *licences) == [passes, passes, other, "licences.unknown"]
    assert reasons({"allow": ["academic"]}, *licences) == [passes, passes, passes, "licences.unknown"]
    assert reasons({"deny": ["non-commercial"]}, *licences) == [passes, denied, denied, "licences.unknown"]
    assert reasons({"deny": ["academic"]}, *licences) == [passes, passes, denied, "licences.unknown"]


def test_names_and_terms() -> None:
    licences = ("CC-BY-4.0", "cc by 2.0", "CC BY-SA 4.0", "GPL-3.0", "MIT")
    denied, other = "licences.denied", "licences.not_allowed"
    assert reasons({"allow": ["CC-BY", "MIT License"]}, *licences) == [None, None, other, other, None]
    assert reasons({"allow": ["CC-BY-4.0"]}, *licences) == [None, other, other, other, other]
    assert reasons({"deny": ["share-alike"]}, *licences) == [None, None, denied, denied, None]
    assert reasons({"allow": ["commercial"], "deny": ["GPL v3"]}, *licences) == [None, None, None, denied, None]


def test_all_licences_must_pass_and_of_a_choice_one() -> None:
    options = {"allow": ["commercial"], "deny": ["share-alike"]}
    assert reasons(options, "MIT AND CC-BY-SA-4.0", "MIT OR CC-BY-SA-4.0", '["MIT", "CC-BY-NC-4.0"]', "MIT or house rules") == [
        "licences.denied",
        None,
        "licences.not_allowed",
        None,
    ]


def test_the_licence_of_a_source_holds_beside_that_of_a_document() -> None:
    options = {"allow": ["commercial"], "by_source": {"wiki": "CC-BY-SA-4.0", "papers": "CC-BY-NC-4.0"}}
    found = decide(options, [None, "MIT", "MIT", None, "house rules"], ["wiki", "wiki", "papers", "web", "wiki"])
    assert found == [
        ("keep", None, None),
        ("keep", None, None),
        ("drop", "licences.not_allowed", "MIT AND CC-BY-NC-4.0: non-commercial use, attribution"),
        ("drop", "licences.unknown", "no licence is given"),
        ("drop", "licences.unknown", "LicenseRef-Unknown AND CC-BY-SA-4.0: unknown terms"),
    ]


def test_names_of_your_own() -> None:
    options = {"names": {"House Rules": "MIT"}, "action": "review"}
    assert [each for each, _, _ in decide(options, [" house rules", "house rule"])] == ["keep", "review"]


def test_what_was_decided_before_stays() -> None:
    columns = {"licence": pa.array([None], pa.string()), "source": pa.array(["web"])}
    documents = Documents(columns, pa.array(["review"]), pa.array(["other"]), pa.array(["why"]), True)
    JudgeLicences(Licences()).decide(documents, None)
    assert (documents.decision.to_pylist(), documents.reason.to_pylist()) == (["review"], ["other"])


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"allow": ["comercial"]}, "did you mean 'commercial'?"),
        ({"deny": ["house rules"]}, "no licence is called 'house rules'"),
        ({"deny": ["MIT OR ISC"]}, "names several licences"),
        ({"by_source": {"web": "unknown"}}, "no licence is called 'unknown'"),
        ({"names": {"ours": "MIT and house rules"}}, "no licence is called 'MIT and house rules'"),
    ],
)
def test_mistakes(options: dict[str, Any], message: str) -> None:
    with pytest.raises(ValidationError, match=message.replace("?", r"\?")):
        Licences.model_validate(options)


texts = st.sampled_from([None, "", "MIT", "CC BY-NC 4.0", "house rules", "GPL", '["MIT","GPL"]', "MIT OR CC-BY-NC-4.0"])
rows = st.lists(st.tuples(texts, st.sampled_from(["web", "wiki", "code"])), max_size=20)


@given(rows, st.sampled_from(["restrict", "review", "allow"]))
def test_documents_are_judged_as_each_alone(documents: list[tuple[str | None, str]], unknown: str) -> None:
    options = {"by_source": {"wiki": "CC-BY-SA-4.0"}, "deny": ["non-commercial"], "unknown": unknown}
    licences, sources = [each[0] for each in documents], [each[1] for each in documents]
    together = decide(options, licences, sources) if documents else []
    assert together == [decide(options, [licence], [source])[0] for licence, source in documents]
    reader = LicenceReader(Licences.model_validate(options))
    expressions = reader.expressions(pa.array(licences, pa.string()), pa.array(sources, pa.string()))
    assert expressions.to_pylist() == [reader.expression(*each) for each in documents]
