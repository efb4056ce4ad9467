"""The dataset card of a release for Hugging Face: what its hub searches for, and what the texts are."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence

from tamis.pipelines.cards.corpus_facts import CorpusFacts, Share
from tamis.transforms.core.manifest import Manifest
from tamis.transforms.feed.dataset_card import dataset_card

_SHOWN = 15  # rows of a table
_SIZES = (("n<1K", 10**3), ("1K<n<10K", 10**4), ("10K<n<100K", 10**5), ("100K<n<1M", 10**6), ("1M<n<10M", 10**7))
_LARGER = (("10M<n<100M", 10**8), ("100M<n<1B", 10**9), ("1B<n<10B", 10**10), ("10B<n<100B", 10**11), ("100B<n<1T", 10**12))


def hugging_face_card(manifest: Manifest, facts: CorpusFacts) -> str:
    """The README.md of a release; shards are found below the folder that holds it."""
    files = f"data/*/*.{manifest['recipe']['output']['format']}"
    return dataset_card(manifest, files, list(_header(facts)), list(_about(facts)))


def _header(facts: CorpusFacts) -> Iterator[str]:
    """Lines of YAML: the licence if there is one, else `other`; the languages that have an ISO code."""
    if facts.licences.known:
        single = len(facts.licences.known) == 1 and not facts.licences.documents[None]
        plain = single and re.fullmatch(r"[A-Za-z0-9.-]+", facts.licences.known[0])
        yield f"license: {facts.licences.known[0].lower() if plain else 'other'}"
    if codes := [label for label in facts.languages.known if re.fullmatch("[a-z]{2,3}", label)]:
        yield from ("language:", *(f'- "{code}"' for code in codes))
    size = next((name for name, limit in (*_SIZES, *_LARGER) if facts.documents < limit), "n>1T")
    yield from ("size_categories:", f"- {size}", "task_categories:", "- text-generation")


def _about(facts: CorpusFacts) -> Iterator[str]:
    yield "Shares are of the bytes of kept documents."
    yield from _section("licence", facts.licences, "no document has a licence that is known", facts)
    yield from _section("language", facts.languages, "the recipe measures none, or none was found", facts)
    yield from _section("domain", facts.domains, "no document has an address", facts)
    if days := sorted(day for day in facts.days.documents if day is not None):
        yield from ("", f"Dates of documents: {days[0]} to {days[-1]}; {facts.days.documents[None]:,} have none.")
    else:
        yield from ("", "Dates of documents: unknown, none has a date.")


def _section(kind: str, share: Share, unknown: str, facts: CorpusFacts) -> Sequence[str]:
    if not share.known:
        return ["", f"Unknown {kind}: {unknown}."]
    rows = [
        f"| {name.replace('|', chr(92) + '|')} | {share.documents[name]:,} | {share.bytes[name] / max(1, facts.bytes):.2%} |"
        for name in share.known[:_SHOWN]
    ]
    return ["", f"| {kind} | documents | share |", "|---|---|---|", *rows, "", f"Unknown: {share.documents[None]:,} documents."]
