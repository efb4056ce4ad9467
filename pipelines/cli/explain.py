"""`tamis explain`: what a run measured in a document, which rule decided, where it is."""

from collections.abc import Iterator
from dataclasses import asdict
from typing import Any

from tamis.transforms.core.release import open_release
from tamis.transforms.provenance import ledger
from tamis.transforms.provenance.changes import changes

_DECISIONS = {"keep": "kept", "drop": "dropped", "review": "set aside for review"}


def explanation(name: str, identifier: str, diff: bool = False) -> dict[str, Any]:
    """What a release, `RUN` or `RUN@41`, knows about a document; with `diff`, also its text in the
    pieces that stayed, were removed, inserted and cut. Raises KeyError if the document was never
    read, FileNotFoundError if there is no such release."""
    release = open_release(name)
    manifest = release.manifest
    try:
        entry = ledger.find_document(release, identifier)
    except KeyError as error:
        rejected = manifest["counts"]["rejected"]
        hint = f". {rejected:,} records could not be read and have no id: {release.run}/rejects" if rejected else ""
        raise KeyError(f"{error.args[0]}{hint}") from None
    decision, document = entry.decision, entry.document
    thresholds = manifest["recipe"]["thresholds"]
    text, cuts = document["text"] or "", decision.get("cuts") or []
    return {
        "id": identifier,
        **{name: decision[name] for name in ("decision", "reason", "detail")},
        **{name: decision[name] for name in ("quality", "tokens", "copies", "representative", "jaccard", "place")},
        "epochs": decision.get("epochs"),
        "shard": release.path(entry.shard) if entry.shard else None,
        "row": entry.row,
        **{name: document[name] for name in ("source", "url", "licence")},
        "signals": entry.signals,
        "thresholds": {
            name: {key: limit for key, limit in threshold.items() if limit is not None}
            for name, threshold in thresholds.items()
        },
        "cuts": cuts,
        "excerpt": text[:300],
        **({"diff": [asdict(piece) for piece in changes(text, entry.edits, cuts)]} if diff else {}),
    }


def lines(document: dict[str, Any]) -> Iterator[str]:
    """An explanation as text."""
    yield f"{document['id']}  ({document['source']}{', ' + document['url'] if document['url'] else ''})"
    detail = f": {document['detail']}" if document["detail"] else ""
    reason = f" because of {document['reason']}{detail}" if document["reason"] else ""
    yield f"{_DECISIONS[document['decision']]}{reason}"
    if document["representative"]:
        yield f"its duplicate {document['representative']} was kept (Jaccard {document['jaccard']:.4f})"
    if document["copies"] and document["copies"] > 1:
        yield f"stands for {document['copies']} copies, itself included"
    if document["epochs"] and document["epochs"] > 1:
        yield f"is in the corpus {document['epochs']} times, first at:"
    if document["shard"]:
        yield f"place {document['place']:.6f} of its source, row {document['row']} of {document['shard']}"
    for cut in document["cuts"]:
        reason = f"{cut['reason']}: {cut['detail']}" if cut["detail"] else cut["reason"]
        yield f"{cut['chars']:,} characters were cut because of {reason}"
    quality = "no quality" if document["quality"] is None else f"quality {document['quality']:.4f}"
    yield f"{quality}, {document['tokens']:,} tokens"
    for name, value in document["signals"].items():
        threshold = document["thresholds"].get(name, {})
        limits = ", ".join(f"{key} {_limit(threshold[key])}" for key in ("min", "max", "one_of") if key in threshold)
        mark = " <- decided" if name == document["reason"] else ""
        text = "missing" if value is None else f"{value:.6g}" if isinstance(value, float) else _label(value)
        yield f"  {name:<36} {text:>14}{'   ' + limits if limits else ''}{mark}"
    yield f"text: {document['excerpt']!r}"


def _label(value: object) -> str:
    """A label, or several of them."""
    return ", ".join(map(str, value)) if isinstance(value, list) else str(value)


def _limit(value: float | list[str]) -> str:
    return ", ".join(value) if isinstance(value, list) else f"{value:.15g}"
