"""Explains a document: what it measured, which rule decided, who represents it, where it lies."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from tamis.transforms.core.manifest import read_manifest
from tamis.transforms.provenance import ledger

_DECIDED = {"keep": "kept", "drop": "dropped", "review": "set aside for review"}


def explanation(run: str, identifier: str) -> dict[str, Any]:
    """All that the run knows of a document. Raises KeyError for one it never read, FileNotFoundError for an unfinished run."""
    manifest = read_manifest(run)
    try:
        account = ledger.account(run, identifier)
    except KeyError as error:
        rejected = manifest["counts"]["rejected"]
        among = f". {rejected:,} records could not be read and have no id: {run}/rejects" if rejected else ""
        raise KeyError(f"{error.args[0]}{among}") from None
    rules = manifest["recipe"]["thresholds"]
    return {
        "id": identifier,
        "decision": account.decision["decision"],
        "reason": account.decision["reason"],
        "detail": account.decision["detail"],
        **{name: account.decision[name] for name in ("quality", "tokens", "copies", "representative", "jaccard", "place")},
        "epochs": account.decision.get("epochs"),
        "shard": account.shard,
        "row": account.row,
        "source": account.document["source"],
        "url": account.document["url"],
        "licence": account.document["licence"],
        "signals": account.signals,
        "thresholds": {name: {key: value for key, value in rule.items() if value is not None} for name, rule in rules.items()},
        "excerpt": (account.document["text"] or "")[:300],
    }


def lines(found: dict[str, Any]) -> Iterator[str]:
    """The explanation as text."""
    yield f"{found['id']}  ({found['source']}{', ' + found['url'] if found['url'] else ''})"
    because = f" because of {found['reason']}: {found['detail']}" if found["reason"] else ""
    yield f"{_DECIDED[found['decision']]}{because}"
    if found["representative"]:
        yield f"its copy {found['representative']} was kept (Jaccard {found['jaccard']:.4f})"
    if found["copies"] and found["copies"] > 1:
        yield f"stands for {found['copies']} copies, itself included"
    if found["epochs"] and found["epochs"] > 1:
        yield f"is in the corpus {found['epochs']} times, first there:"
    if found["shard"]:
        yield f"place {found['place']:.6f} of its source, row {found['row']} of {found['shard']}"
    quality = found["quality"]
    yield (
        f"quality {quality:.4f}, {found['tokens']:,} tokens"
        if quality is not None
        else f"no quality, {found['tokens']:,} tokens"
    )
    for name, value in found["signals"].items():
        rule = found["thresholds"].get(name, {})
        limits = ", ".join(f"{key} {_limit(rule[key])}" for key in ("min", "max", "one_of") if key in rule)
        mark = " <- decided" if name == found["reason"] else ""
        shown = "missing" if value is None else f"{value:.6g}" if isinstance(value, float) else str(value)
        yield f"  {name:<36} {shown:>14}{'   ' + limits if limits else ''}{mark}"
    yield f"text: {found['excerpt']!r}"


def _limit(value: float | list[str]) -> str:
    return ", ".join(value) if isinstance(value, list) else f"{value:.15g}"
