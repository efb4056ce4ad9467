"""Explains documents of a release: their signals, the rules they fail, their decision and their place."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import asdict
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from tamis.pipelines.contamination.recorded_items import matches_of_document
from tamis.pipelines.lookup.failed_rules import failed_rules
from tamis.pipelines.recipe.load import finished_recipe
from tamis.pipelines.recipe.schema import Recipe
from tamis.transforms import storage
from tamis.transforms.core.documents import hosts
from tamis.transforms.core.release import Release, open_release
from tamis.transforms.provenance import ledger
from tamis.transforms.provenance.changes import Piece, changes
from tamis.transforms.provenance.ledger import LedgerEntry, Rows
from tamis.transforms.read.batch_builder import fill_ids
from tamis.transforms.select.rule_blocks import RuleSet
from tamis.transforms.text.hashing import hash128
from tamis.transforms.text.metadata import column_of

_OTHERS = 20  # documents with the same address or text that are named
_DECIDED = ("decision", "reason", "detail", "quality", "tokens", "copies", "representative", "jaccard", "place")


def explanation(name: str, identifier: str = "", diff: bool = False, text: str = "") -> dict[str, Any]:
    """What a release, `RUN` or `RUN@41`, knows about a document. `identifier`: its id or its address.
    `text` finds it instead: the whole text of it, or a passage. If several have the address or the
    text, the first that was kept is explained, and `others` names up to 20 more.

    With `diff`, also its text in the pieces that stayed, were removed, inserted and cut. Raises
    KeyError if there is no such document, FileNotFoundError if there is no such release.
    Cost: a column of decisions/ and one row group; for a passage, the texts up to it."""
    release = open_release(name)
    found = _with_text(release, text) if text else _named(release, identifier)
    (ordinal, row), others = found[0], found[1 : 1 + _OTHERS]
    (entry,) = ledger.entries(release, ordinal, np.array([row]))
    (explained,) = explained_entries(release, finished_recipe(release.manifest), [entry])
    explained["contamination"] = matches_of_document(release, explained["id"])
    explained |= {"row": ledger.row_in_shard(release, entry), "excerpt": (entry.document["text"] or "")[:300]}
    if others:
        explained["others"] = [_outcome(release, *place) for place in others]
    return explained | ({"diff": [asdict(piece) for piece in pieces_of(entry)]} if diff else {})


def explained_entries(release: Release, recipe: Recipe, entries: list[LedgerEntry]) -> Iterator[dict[str, Any]]:
    """What a release knows about documents, one after the other, without their texts."""
    for entry in entries:
        decision, document = entry.decision, entry.document
        quality = decision["quality"] if recipe.fusion else None  # NaN if none of its signals is there
        signals = entry.signals | undeclared_values(document["metadata"], recipe)
        rule_set = recipe.rules.of_document(document["source"], signals)
        yield {
            "id": decision["id"],
            **{name: decision[name] for name in _DECIDED},
            "quality": None if quality is None or math.isnan(quality) else quality,
            "epochs": decision.get("epochs"),
            "copy_sources": decision.get("copy_sources"),
            "shard": release.path(decision["shard"]) if decision["shard"] else None,
            **{name: document[name] for name in ("source", "url", "licence")},
            "signals": signals,
            "thresholds": {name: _limits(name, rule_set) for name in rule_set.sections},
            **_text_blocks(recipe, rule_set),
            "failed": [asdict(rule) for rule in failed_rules(signals, rule_set.rules)],
            "cuts": decision.get("cuts") or [],
        }


def pieces_of(entry: LedgerEntry) -> list[Piece]:
    """The text of a document in pieces: what stayed, what editors removed and inserted, what was cut."""
    return changes(entry.document["text"] or "", entry.edits, entry.decision.get("cuts") or [])


def undeclared_values(metadata: str | None, recipe: Recipe) -> dict[str, Any]:
    """The fields of the metadata of a document that the recipe uses without declaring them."""
    texts = pa.array([metadata], pa.string())
    return {name: column_of(texts, signal)[0].as_py() for name, signal in recipe.undeclared.items()}


def _limits(name: str, rule_set: RuleSet) -> dict[str, Any]:
    """The limits that hold for a document, and the section of the recipe that sets them or takes them away."""
    rule = rule_set.rules.get(name)
    limits = rule.model_dump(mode="json") if rule is not None else {}
    return {key: limit for key, limit in limits.items() if limit is not None} | {"section": rule_set.sections[name]}


def _text_blocks(recipe: Recipe, rule_set: RuleSet) -> dict[str, Any]:
    """The words into which raters see a document cut, and its editors, with the sections that set them."""
    blocks = rule_set.source, rule_set.language
    section = recipe.text_blocks.edit_section(*blocks)
    return {
        "words": recipe.text_blocks.words_of(*blocks).model_dump() | {"sections": recipe.text_blocks.word_sections(*blocks)},
        "edit": {"editors": [editor.name for editor in recipe.editors_by_section[section]], "section": section},
    }


Found = list[tuple[int, int]]
"""(part, row) of documents."""


def _named(release: Release, identifier: str) -> Found:
    """The document with this id, or those with this address."""
    if found := _places(release, "id", identifier) or _places(release, "url", identifier):
        return found
    tried = f"no document '{identifier}' in release {release.number} of {release.run}: it is neither an id nor a URL"
    host = hosts(pa.array([identifier if "://" in identifier else f"http://{identifier}"]))[0].as_py()
    urls = ledger.similar_urls(release, host) if host and "." in host else []
    ids = [] if urls else ledger.similar_ids(release, identifier)
    hints = [f"similar {kind}: {', '.join(names)}" for kind, names in (("URLs", urls), ("ids", ids)) if names]
    raise KeyError("; ".join([tried, *hints]) + _rejected(release) + ". Its text finds it, too: --text FILE, or --text -")


def _with_text(release: Release, text: str) -> Found:
    """The documents with this text as they end, or as it was read if their id is made of it; or with
    this passage in their text as it was rated. A final line break does not matter."""
    texts = list(dict.fromkeys((text, text.rstrip("\r\n"))))
    for each in texts:
        digits = hash128(pa.array([each])).astype(">u8").tobytes().hex()
        for column, value in (("text_hash", digits), *(("input_id", made) for made in _made_ids(release, each))):
            if found := _places(release, column, value):
                return found
    passage = ledger.find_passage(release, texts[-1])
    if passage is not None:
        return _kept_first(release, [passage])
    raise KeyError(
        f"no document in release {release.number} of {release.run} has this text of {len(texts[-1]):,} characters: it is not "
        "the whole text of one, as it was read or as it ends, nor a passage of one after editing. Try a shorter passage, "
        f"or the id or the URL{_rejected(release)}"
    )


def _made_ids(release: Release, text: str) -> list[str]:
    """The ids that a document with this text has if its id is made of source and text."""
    sources = pa.array(release.manifest["counts"]["sources"], pa.string())
    texts = pa.array([text] * len(sources), pa.large_string())
    return fill_ids(pa.nulls(len(sources), pa.string()), sources, texts).to_pylist() if len(sources) else []


def _places(release: Release, column: str, value: str) -> Found:
    return _kept_first(release, list(ledger.rows_with(release, column, value)))


def _kept_first(release: Release, rows_by_part: list[tuple[int, Rows]]) -> Found:
    """(part, row), those that were kept first, then by id."""
    found: list[tuple[bool, str, int, int]] = []
    for ordinal, rows in rows_by_part:
        table = ledger.decisions(release, ordinal, ["decision", "id"]).take(pa.array(rows))
        kept = pc.equal(table["decision"], "keep").to_pylist()
        found += zip([not each for each in kept], table["id"].to_pylist(), [ordinal] * len(rows), rows.tolist(), strict=True)
    return [(ordinal, row) for _, _, ordinal, row in sorted(found)]


def _outcome(release: Release, ordinal: int, row: int) -> dict[str, Any]:
    (outcome,) = ledger.decisions(release, ordinal, ["id", "decision", "reason"]).slice(row, 1).to_pylist()
    return dict(outcome)


def _rejected(release: Release) -> str:
    rejected = release.manifest["counts"]["rejected"]
    return (
        f". {rejected:,} records could not be read and have no id: {storage.join(release.run, 'rejects')}" if rejected else ""
    )
