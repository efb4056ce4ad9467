"""`tamis explain`: what is known about a document, as text."""

import shlex
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

from tamis.pipelines.formatting import signal_value
from tamis.pipelines.recipe.recipe_blocks import EDIT
from tamis.transforms.decontaminate.record import NO_ACTION
from tamis.transforms.select.rule_blocks import THRESHOLDS

_ITEMS = 10  # of benchmarks, that are named

DECISIONS = {"keep": "kept", "drop": "dropped", "review": "set aside for review"}


def lines(document: Mapping[str, Any]) -> Iterator[str]:
    """An explanation as text."""
    if others := document.get("others"):
        named = ", ".join(f"{other['id']} ({_outcome(other)})" for other in others)
        yield f"other documents have the same address or text, or the passage in it: {named}"
    yield from head(document)
    if document["shard"]:
        yield f"place {document['place']:.6f} of its source, row {document['row']} of {document['shard']}"
    yield from _item_lines(document["contamination"])
    yield from signal_lines(document, document["signals"])
    yield f"text: {document['excerpt']!r}"


def _item_lines(matches: Sequence[Mapping[str, Any]]) -> Iterator[str]:
    """The benchmark items that a document has, those with the highest scores."""
    for match in matches[:_ITEMS]:
        action = "near miss" if match["action"] == NO_ACTION else match["action"]
        where = f"{match['part']}, {match['metric']} {match['score']:.4f}, bytes {match['start']}-{match['stop']}"
        yield f"benchmark item {match['benchmark']} {match['item']}: {match['class']}, {action} ({where})"
    if len(matches) > _ITEMS:
        yield f"and {len(matches) - _ITEMS:,} more benchmark items"


def head(document: Mapping[str, Any]) -> Iterator[str]:
    """What a document is, what was decided about it, and how no threshold would have dropped it."""
    yield f"{document['id']}  ({document['source']}{', ' + document['url'] if document['url'] else ''})"
    detail = f": {document['detail']}" if document["detail"] else ""
    reason = f" because of {document['reason']}{detail}" if document["reason"] else ""
    yield f"{DECISIONS[document['decision']]}{reason}"
    if document["jaccard"] is not None:  # the detail names the document that has the same address
        yield f"its duplicate {document['representative']} was kept (Jaccard {document['jaccard']:.4f})"
    if document["copies"] and document["copies"] > 1:
        sources = f", of {', '.join(document['copy_sources'])}" if document["copy_sources"] else ""
        yield f"stands for {document['copies']} copies, itself included{sources}"
    why = detail if document["decision"] == "keep" else ""  # a curve or a cluster of duplicates says how often
    if document["epochs"] and (document["epochs"] > 1 or why):
        times = "once" if document["epochs"] == 1 else f"{document['epochs']} times"
        yield f"is in the corpus {times}{why}"
    if failed := document["failed"]:
        passing = [rule["passes"] and f"--set {_setting(document, rule['signal'], *rule['passes'])}" for rule in failed]
        if all(passing):
            yield f"passes all thresholds with {' '.join(passing)}"
    if sections := document["words"]["sections"]:
        yield f"cut into words by {document['words']['definition']}, {document['words']['unspaced']} ({', '.join(sections)})"
    if (section := document["edit"]["section"]) != EDIT:
        yield f"editors: {', '.join(document['edit']['editors']) or 'none'} ({section})"
    cuts: dict[str, list[int]] = {}
    for cut in document["cuts"]:
        reason = f"{cut['reason']}: {cut['detail']}" if cut["detail"] else cut["reason"]
        cuts.setdefault(reason, []).append(cut["chars"])
    for reason, chars in cuts.items():
        places = f" in {len(chars):,} places" if len(chars) > 1 else ""
        yield f"{sum(chars):,} characters were cut{places} because of {reason}"
    quality = "no quality" if document["quality"] is None else f"quality {document['quality']:.4f}"
    yield f"{quality}, {document['tokens']:,} tokens"


def signal_lines(document: Mapping[str, Any], names: Iterable[str]) -> Iterator[str]:
    """The values of signals with their limits. Every limit that the document fails is marked."""
    failed = {rule["signal"]: rule for rule in document["failed"]}
    for name in names:
        value, threshold = document["signals"][name], document["thresholds"].get(name, {})
        limits = ", ".join(f"{key} {_limit(threshold[key])}" for key in ("min", "max", "one_of") if key in threshold)
        if (section := threshold.get("section", THRESHOLDS)) != THRESHOLDS:
            limits = f"{limits or 'no limit'} ({section})"
        mark = ""
        if name in failed:
            passes = failed[name]["passes"]
            mark = " <- decided" if name == document["reason"] else " <- fails, too"
            mark += f"; passes with {passes[0]} {_limit(passes[1])}" if passes else ""
        yield f"  {name:<36} {signal_value(value):>14}{'   ' + limits if limits else ''}{mark}"


def _setting(document: Mapping[str, Any], signal: str, field: str, value: float | list[str]) -> str:
    section = document["thresholds"][signal]["section"]
    section = section if section == THRESHOLDS else f"{section}.{THRESHOLDS}"
    written = "[" + ",".join(value) + "]" if isinstance(value, list) else f"{value:.15g}"
    setting = f"{section}.{signal}.{field}={written}"
    return setting if section == shlex.quote(section) else shlex.quote(setting)


def _outcome(decision: Mapping[str, Any]) -> str:
    verb = DECISIONS[decision["decision"]]
    return f"{verb}: {decision['reason']}" if decision["reason"] else verb


def _limit(value: float | list[str]) -> str:
    return ", ".join(value) if isinstance(value, list) else f"{value:.15g}"
