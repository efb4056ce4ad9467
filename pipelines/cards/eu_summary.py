"""Fills what the EU's public summary of training content asks for (AI Act, Article 53(1)(d)), as far as a release knows it."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from math import ceil
from typing import Final

from tamis.pipelines.cards.corpus_facts import CorpusFacts, Share
from tamis.transforms.core.manifest import Manifest
from tamis.transforms.licences.judge_licences import described
from tamis.transforms.licences.licence_names import terms_of_expression
from tamis.transforms.urls.host_rules import suffix_list_version

UNKNOWN: Final = "Unknown"
_SHOWN = 50  # languages, licences


def eu_summary(manifest: Manifest, facts: CorpusFacts) -> str:
    """The summary in Markdown, a section for each fact. Shares are of bytes of kept documents, each counted
    once. What the release does not know is called unknown."""
    return "\n".join(_lines(manifest, facts))


def _lines(manifest: Manifest, facts: CorpusFacts) -> Iterator[str]:
    recipe, tokens = manifest["recipe"], manifest["counts"]["tokens"]["kept"]
    yield from (f"# Training content of {recipe.get('name', 'the corpus')}, release {manifest.get('release', 1)}", "")
    yield from ("## Modality and size", "", "Text. Other modalities: none.", "")
    yield from (f"{facts.documents:,} documents, {facts.bytes:,} bytes of UTF-8, {tokens:,} tokens.", "")
    yield from ("## Top domains", "")
    domains = facts.domains.known
    if domains:
        top = domains[: ceil(len(domains) / 10)]
        yield f"The top 10 % of the {len(domains):,} registrable domains by bytes ({suffix_list_version()}):"
        yield ""
        yield from _table("domain", top, facts.domains, facts)
        yield f"Without a domain: {facts.domains.documents[None]:,} documents."
    else:
        yield f"{UNKNOWN}: no document has an address with a registrable domain."
    yield from ("", "## Languages", "")
    if facts.languages.known:
        yield from _table("language", facts.languages.known[:_SHOWN], facts.languages, facts)
    else:
        yield f"{UNKNOWN}: {'no language was found' if facts.measured else 'the recipe measures none (rate.language)'}."
    yield from ("", "## Dates", "")
    if days := sorted(day for day in facts.days.documents if day is not None):
        yield f"From {days[0]} to {days[-1]}, by the dates of documents; {facts.days.documents[None]:,} have none."
    else:
        yield f"{UNKNOWN}: no document has a date."
    yield from ("", "## Licences", "")
    if facts.licences.known:
        yield from _table("licence", facts.licences.known[:_SHOWN], facts.licences, facts)
        yield ""
        yield from (f"- {each}: {described(terms_of_expression(each))}" for each in facts.licences.known[:_SHOWN])
        yield ""
    yield f"{UNKNOWN}: {facts.licences.documents[None]:,} documents, {_share(facts.licences.bytes[None], facts)}."
    yield from ("", "## Synthetic data", "", _synthetic(manifest), "", "## Opt-outs", "", _consent(manifest), "")
    yield from ("## Sources", "")
    yield from (f"- {uri}" for uri in sorted({entry["uri"] for entry in manifest["inputs"]}))
    yield from ("", "Who collected them, by which crawlers and when: unknown to the release.", "")


def _synthetic(manifest: Manifest) -> str:
    share = manifest.get("guards", {"shares": {}})["shares"].get("synthetic")
    if share is None:
        return f"{UNKNOWN}: the recipe does not say which documents are synthetic (guards.synthetic)."
    return f"{share:.2%} of the tokens, by the recipe's guards.synthetic."


def _consent(manifest: Manifest) -> str:
    consent = manifest["recipe"].get("consent")
    if not consent:
        return f"{UNKNOWN}: the recipe looks at no table of opt-outs (consent)."
    dropped = sum(row["documents"] for row in manifest["counts"]["reasons"] if row["reason"] == "consent")
    return f"Documents whose hosts disallow {', '.join(consent['agents'])} were left out: {dropped:,}."


def _table(head: str, names: Iterable[str], share: Share, facts: CorpusFacts) -> Iterator[str]:
    yield from (f"| {head} | documents | bytes | share |", "|---|---|---|---|")
    for name in names:
        shown = name.replace("|", "\\|")
        yield f"| {shown} | {share.documents[name]:,} | {share.bytes[name]:,} | {_share(share.bytes[name], facts)} |"


def _share(size: int, facts: CorpusFacts) -> str:
    return f"{size / facts.bytes:.2%}" if facts.bytes else "0 %"
