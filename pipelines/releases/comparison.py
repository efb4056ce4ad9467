"""Compares a release with the one before it, in at most five lines."""

from collections.abc import Iterator
from dataclasses import dataclass

from tamis.pipelines.formatting import compact, plural
from tamis.transforms.core.release import Release
from tamis.transforms.provenance import release_chain

LINES = 5

_VERBS = {"drop": "dropped by", "review": "for review by", "reject": "rejected", "skip": "skipped as"}


@dataclass(frozen=True)
class Comparison:
    """The release `before`; the input files that were added, removed and changed since; and (before,
    after) of the documents kept, of their tokens, and of what was not kept, by decision and reason.
    Only reasons whose number changed are there, the largest change first."""

    before: int
    added: int
    removed: int
    changed: int
    same_corpus: bool
    kept: tuple[int, int]
    tokens: tuple[int, int]
    reasons: dict[str, tuple[int, int]]


def comparison(release: Release) -> Comparison | None:
    """A release, whose manifest may be unfinished, beside the record of the one before. None if there
    is none, or if an early version wrote it."""
    before, manifest = release_chain.before(release), release.manifest
    if before is None or before.reasons is None or before.tokens is None:
        return None
    counts = [
        {outcome_name(*key): count for *key, count in rows} for rows in (before.reasons, release_chain.outcomes(manifest))
    ]
    pairs = {name: (counts[0].get(name, 0), counts[1].get(name, 0)) for name in sorted({*counts[0], *counts[1]})}
    changed = {name: pair for name, pair in pairs.items() if pair[0] != pair[1]}
    added, removed = ({uri for uri, _ in files} for files in release_chain.input_changes(release))
    return Comparison(
        before=before.release,
        added=len(added - removed),
        removed=len(removed - added),
        changed=len(added & removed),
        same_corpus=before.corpus_root == manifest["corpus_root"],
        kept=(before.kept, manifest["counts"]["kept"]),
        tokens=(before.tokens, manifest["counts"]["tokens"]["kept"]),
        reasons=dict(sorted(changed.items(), key=lambda item: -abs(item[1][1] - item[1][0]))),
    )


def lines(compared: Comparison) -> Iterator[str]:
    """The comparison as text, at most `LINES` lines."""
    verbs = ("added", "removed", "changed")
    files = [f"{plural(count, 'input file')} {verb}" for verb in verbs if (count := getattr(compared, verb))]
    yield f"since release {compared.before}: {', '.join(files) or 'the same input files'}"
    if compared.same_corpus:
        yield "the corpus is the same, byte for byte"
    else:
        yield f"kept {change(compared.kept)} documents, {change(compared.tokens, short=True)} tokens"
    shown = list(compared.reasons.items())[: LINES - 2]
    more = len(compared.reasons) - len(shown)
    for number, (name, pair) in enumerate(shown, 1):
        rest = f", and {plural(more, 'reason')} more" if more and number == len(shown) else ""
        yield f"{name} {change(pair)}{rest}"


def outcome_name(decision: str, reason: str) -> str:
    """What was decided about documents, as "dropped by dedup.near"."""
    return f"{_VERBS[decision]} {reason}".strip()


def change(pair: tuple[int, int], short: bool = False) -> str:
    """Two numbers and their difference: 4,260 → 4,000 (-260)."""
    before, after = pair
    written = [compact(value) if short else f"{value:,}" for value in (before, after, abs(after - before))]
    return f"{written[0]} → {written[1]} ({'+' if after > before else '-' if after < before else '±'}{written[2]})"
