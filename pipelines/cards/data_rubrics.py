"""Answers the dimensions of DataRubrics (Winata et al. 2025, arXiv 2506.01789), as far as a release knows them."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from typing import Any, Final, NamedTuple

from tamis.pipelines.cards.corpus_facts import CorpusFacts
from tamis.pipelines.formatting import plural
from tamis.pipelines.recipe.raters import RATERS
from tamis.transforms.core.manifest import Manifest

NOT_KNOWN: Final = "not known to Tamis"
_LEARNED = frozenset({"fasttext", "language", "trained", "classifier", "embedding"})
"""Shipped raters that are learned models; the others count by rules."""

_CHECKS = (
    "url_lists",
    "consent",
    "licences",
    "decontaminate",
    "thresholds",
    "per_source",
    "per_language",
    "drop_urls",
    "dedup",
)
"""The sections of a recipe that can drop documents."""

_ENGLISH = frozenset({"en", "eng", "eng_Latn"})
_SHOWN = 5  # languages, reasons


class Answer(NamedTuple):
    """The level of a dimension that a release supports, in the words of the rubric, and by what."""

    dimension: str
    level: str
    evidence: str


def data_rubrics(manifest: Manifest, facts: CorpusFacts) -> str:
    """The answers as a table in Markdown."""
    title = f"# DataRubrics of {manifest['recipe'].get('name', 'the corpus')}, release {manifest.get('release', 1)}"
    rows = (" | ".join(cell.replace("|", "\\|") for cell in answer) for answer in answers(manifest, facts))
    return "\n".join([title, "", "| dimension | level | evidence |", "|---|---|---|", *(f"| {row} |" for row in rows)])


def answers(manifest: Manifest, facts: CorpusFacts) -> Iterator[Answer]:
    """The answers in the order of the rubric: a dimension with several levels has several."""
    yield from _sources(manifest)
    yield from _annotations(manifest["recipe"])
    yield from _quality_assurance(manifest)
    yield _novelty(manifest)
    yield _task_utility(manifest)
    yield _human_language(facts)
    yield Answer("Non-human language", NOT_KNOWN, "code, formulas and other notations are not counted")
    yield from _reproducibility(manifest)


def _sources(manifest: Manifest) -> Iterator[Answer]:
    dimension, share = "Source of text", manifest.get("guards", {"shares": {}})["shares"].get("synthetic")
    if share is None:
        yield Answer(dimension, "Unknown Origin", "the recipe does not say which documents are synthetic (guards.synthetic)")
        return
    if share > 0:
        yield Answer(dimension, "Model-Generated", f"{share:.2%} of the tokens, by the recipe's guards.synthetic")
    if share < 1:
        yield Answer(dimension, "Unknown Origin", f"{1 - share:.2%} of the tokens; whether people wrote them is {NOT_KNOWN}")


def _annotations(recipe: dict[str, Any]) -> Iterator[Answer]:
    dimension, rate = "Data annotations", recipe["rate"]
    rules = [name for name in rate if name in RATERS.shipped and name not in _LEARNED]
    if rules:
        yield Answer(dimension, "Automatic Process", f"signals by rules: {', '.join(rules)}")
    if learned := _learned(rate):
        yield Answer(dimension, "AI Model", f"signals of learned models: {', '.join(learned)}")
    others = [*(name for name in rate if name not in RATERS.shipped), *recipe.get("scores", ()), *recipe.get("signals", ())]
    if others:
        yield Answer(dimension, NOT_KNOWN, f"who or what made the signals {', '.join(others)}")
    yield Answer("Annotation guidelines", NOT_KNOWN, "instructions, rubrics and examples are no part of a release")


def _learned(rate: dict[str, Any]) -> list[str]:
    """The names of the raters that are learned models, with which their signals and reasons begin."""
    each = ((name, options) for name, value in rate.items() for options in (value if isinstance(value, list) else [value]))
    return [options.get("name", name) for name, options in each if name in _LEARNED]


def _quality_assurance(manifest: Manifest) -> Iterator[Answer]:
    dimension, recipe = "Quality assurance", manifest["recipe"]
    learned = set(_learned(recipe["rate"]))
    by_rules: Counter[str] = Counter()
    by_models: Counter[str] = Counter()
    for row in manifest["counts"]["reasons"]:
        reasons = by_models if row["reason"].split(".")[0] in learned else by_rules
        reasons[row["reason"]] += row["documents"]
    if by_rules:
        yield Answer(dimension, "Automatic Verification", f"documents left out, by reason: {_most(by_rules)}")
    if by_models:
        yield Answer(dimension, "AI Model", f"documents left out by signals of learned models: {_most(by_models)}")
    if not (by_rules or by_models):
        if checks := [name for name in _CHECKS if recipe.get(name)]:
            yield Answer(dimension, "Automatic Verification", f"no document was left out by {', '.join(checks)}")
        else:
            yield Answer(dimension, "N/A", "the recipe has no section that drops documents")
    yield Answer(dimension, NOT_KNOWN, "whether people checked the inputs or the corpus")


def _most(documents: Counter[str]) -> str:
    """The names with most documents, and how many others there are."""
    ranked = sorted(documents.items(), key=lambda item: (-item[1], item[0]))
    more = [f"{len(ranked) - _SHOWN} more"] if len(ranked) > _SHOWN else []
    return ", ".join([*(f"{name} {count:,}" for name, count in ranked[:_SHOWN]), *more])


def _novelty(manifest: Manifest) -> Answer:
    dimension, characters = "Data novelty", manifest["counts"].get("characters")
    inputs = len({entry["uri"] for entry in manifest["inputs"]})
    made = f"from {plural(inputs, 'input file')}; whether their texts are new or translated is {NOT_KNOWN}"
    if characters is None:
        return Answer(dimension, NOT_KNOWN, f"{made}; this early release does not count changes of texts")
    removed = sum(each["removed"] for each in characters["editors"].values())
    inserted = sum(each["inserted"] for each in characters["editors"].values())
    cut = sum(each["characters"] for each in characters["cut"].values())
    if removed or inserted or cut:
        changes = f"editors removed {removed:,} characters and inserted {inserted:,}, and {cut:,} were cut"
        return Answer(dimension, "Derived", f"{made}; {changes}")
    return Answer(dimension, "Collated", f"{made}; no editor and no cut changed a text")


def _task_utility(manifest: Manifest) -> Answer:
    curriculum = manifest["curriculum"]
    made = f"{plural(curriculum['tokens'], 'token')} in {plural(len(curriculum['shards']), 'shard')} in training order"
    return Answer("Task utility", "Pre-Training", f"{made}; other uses are {NOT_KNOWN}")


def _human_language(facts: CorpusFacts) -> Answer:
    dimension, labels = "Human language", facts.languages.known
    if not labels:
        why = "no language was found" if facts.measured else "the recipe measures none (rate.language)"
        return Answer(dimension, "Unknown", why)
    monolingual = "Monolingual (English)" if labels[0] in _ENGLISH else "Monolingual (Non-English)"
    level = {1: monolingual, 2: "Bilingual"}.get(len(labels), "Multilingual")
    found = Counter({label: facts.languages.documents[label] for label in labels})
    without = f"; without a language {facts.languages.documents[None]:,}" if facts.languages.documents[None] else ""
    return Answer(dimension, level, f"documents by the label of a model: {_most(found)}{without}")


def _reproducibility(manifest: Manifest) -> Iterator[Answer]:
    code = f"Tamis {manifest['tamis']} curated; by which code the inputs were collected, and whether it is public"
    yield Answer("Reproducibility: code", NOT_KNOWN, code)
    recipe = f"the manifest has the recipe (fingerprint {manifest['fingerprint']}, seed {manifest['recipe']['seed']})"
    files = f"the versions of inputs and packages, and the SHA-256 of {len(manifest['files']):,} files"
    yield Answer("Reproducibility: documentation", "Has Documentation", f"{recipe}, {files}")
