"""Cards say what a count by brute force says, and Croissant's own library accepts what is described."""

from __future__ import annotations

import json
from collections import Counter
from pathlib import Path
from typing import Any

import pytest
import yaml
from publicsuffixlist import PublicSuffixList

from tamis.pipelines.cards.corpus_facts import corpus_facts
from tamis.pipelines.cards.croissant import croissant
from tamis.pipelines.cards.data_rubrics import data_rubrics
from tamis.pipelines.cards.eu_summary import eu_summary
from tamis.pipelines.cards.hugging_face_card import hugging_face_card
from tests.pipelines.test_listed_documents import run

HOSTS = ("a.example.com", "b.example.com", "news.co.uk", "www.news.co.uk", "example.org", "co.uk", "127.0.0.1")
DOCUMENTS: list[dict[str, Any]] = [
    {
        "id": f"{number}",
        "url": f"https://{host}/page" if number % 5 else None,
        "license": ("MIT", "cc-by-sa-4.0", "house rules")[number % 3],
        "date": f"2024-0{1 + number % 9}-15T00:00:00Z" if number % 4 else None,
        "text": f"The text of document {number}, which is about {host}. " * (1 + number % 3),
    }
    for number, host in enumerate(HOSTS * 3)
]


@pytest.fixture(scope="module", params=["parquet", "jsonl.zst"])
def release(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Any:
    folder = tmp_path_factory.mktemp("cards")
    (folder / "in.jsonl").write_text("".join(json.dumps(document) + "\n" for document in DOCUMENTS))
    recipe = {"rate": {"language": {}}, "drop_urls": ["https://example.org/page"], "output": {"format": request.param}}
    return run(folder, recipe).release


def test_facts_are_those_of_a_count_by_brute_force(release: Any) -> None:
    kept = [document for document in DOCUMENTS if document["url"] != "https://example.org/page"]
    suffixes = PublicSuffixList(only_icann=True)
    domains: Counter[str | None] = Counter()
    for document in kept:
        host = (document["url"] or "///").split("/")[2]
        domain = None if not host or host[0].isdigit() else suffixes.privatesuffix(host)
        domains[domain] += len(document["text"].encode())
    facts = corpus_facts(release)
    assert (facts.documents, facts.bytes) == (len(kept), domains.total())
    assert facts.domains.bytes == domains
    assert facts.domains.known[0] == "example.com"
    assert facts.licences.documents == Counter(
        {"MIT": "MIT", "cc-by-sa-4.0": "CC-BY-SA-4.0"}.get(each["license"]) for each in kept
    )
    assert facts.days.documents == Counter(each["date"] and each["date"][:10] for each in kept)
    assert facts.languages.documents.total() == len(kept)


def test_the_summary_has_every_section_and_says_what_is_unknown(release: Any) -> None:
    text = eu_summary(release.manifest, corpus_facts(release))
    sections = [line[3:] for line in text.splitlines() if line.startswith("## ")]
    expected = ["Modality and size", "Top domains", "Languages", "Dates", "Licences", "Synthetic data", "Opt-outs", "Sources"]
    assert sections == expected
    assert "| example.com |" in text
    assert "publicsuffixlist" in text
    assert "From 2024-01-15 to 2024-09-15" in text
    assert "- CC-BY-SA-4.0: commercial use, attribution, share-alike" in text
    assert "Unknown: the recipe does not say which documents are synthetic" in text
    assert "Unknown: the recipe looks at no table of opt-outs" in text


def test_the_rubrics_are_answered_from_a_release(release: Any) -> None:
    text = data_rubrics(release.manifest, corpus_facts(release))
    assert "| Data annotations | AI Model | signals of learned models: language |" in text
    assert "| Quality assurance | Automatic Verification | documents left out, by reason: drop_urls 3 |" in text
    assert "| Human language | Monolingual (English) | documents by the label of a model: en 18 |" in text


def test_croissant_names_every_shard_and_its_digest(release: Any) -> None:
    described = croissant(release, corpus_facts(release))
    shards = {each["@id"]: each["sha256"] for each in described["distribution"] if each["@type"] == "cr:FileObject"}
    files = {file["path"].split("/", 2)[2]: file["sha256"] for file in release.manifest["files"] if "/data/" in file["path"]}
    assert shards == files
    assert all((Path(release.folder) / path).is_file() for path in shards)
    (records,) = described["recordSet"]
    types = {each["name"].removeprefix("documents/"): each["dataType"] for each in records["field"]}
    assert (types["text"], types["tokens"], types["quality"]) == ("sc:Text", "sc:Integer", "sc:Float")
    assert described["license"] == sorted(described["license"], key=lambda each: -corpus_facts(release).licences.bytes[each])
    (source,) = described["prov:wasDerivedFrom"]
    assert source["@id"].endswith("in.jsonl")


def test_croissant_is_valid(release: Any, tmp_path: Path) -> None:
    mlcroissant = pytest.importorskip("mlcroissant")
    path = tmp_path / "croissant.json"
    path.write_text(json.dumps(croissant(release, corpus_facts(release))))
    dataset = mlcroissant.Dataset(jsonld=str(path))
    assert list(dataset.metadata.ctx.issues.errors) == []
    assert [record_set.id for record_set in dataset.metadata.record_sets] == ["documents"]


def test_the_dataset_card_has_the_header_that_hugging_face_reads(release: Any) -> None:
    text = hugging_face_card(release.manifest, corpus_facts(release))
    _, header, body = text.split("---\n", 2)
    described = yaml.safe_load(header)
    suffix = release.manifest["recipe"]["output"]["format"]
    (config,) = described["configs"]
    shards = {path.relative_to(release.folder) for path in Path(release.folder).glob(config["data_files"])}
    assert config["data_files"] == f"data/*/*.{suffix}"
    assert len(shards) == len(release.manifest["curriculum"]["shards"])
    assert (described["license"], described["size_categories"]) == ("other", ["n<1K"])
    assert described["language"] == ["en"]
    assert "| example.com |" in body
    assert "in.jsonl" not in text
