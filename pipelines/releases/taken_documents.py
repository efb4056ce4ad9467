"""Which documents a takedown takes, and why: those that are named, their copies, and what was made of them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from tamis.pipelines.decisions.rated_decisions import REMOVED
from tamis.pipelines.recipe.schema import Recipe
from tamis.transforms import storage
from tamis.transforms.core.errors import RunError
from tamis.transforms.core.release import Release
from tamis.transforms.dedup.near_copies import copies_in, joined, originals
from tamis.transforms.provenance import ledger
from tamis.transforms.provenance.takedown import Takedown
from tamis.transforms.text.metadata import field_texts


@dataclass(frozen=True)
class Request:
    """What is to be taken down: documents by id (in the input, or in the release), by the host of their
    address, or by a text that they are near to. `parent`: the field of the metadata in which a
    document names the one that it was made of; "": none does."""

    ids: Sequence[str] = ()
    hosts: Sequence[str] = ()
    texts: Sequence[str] = ()
    parent: str = ""


@dataclass(frozen=True)
class Cause:
    """Why a document is taken: the kind of the cause, and the cause in words."""

    kind: str
    words: str


Place = tuple[int, int]
"""(ordinal of the part, row) of a document."""


def taken_documents(release: Release, recipe: Recipe, request: Request) -> dict[Place, Cause]:
    """The cause of each document of a release that falls under a request, by place. Those that were
    taken down or purged before are left out.

    Copies have an equal text or, with `dedup.minhash`, at least its Jaccard similarity with the document
    or the text that was named, not with a copy of it. Of all these, what was made of them is taken,
    too, and the copies of that. Raises RunError if an id, a host or a text finds no document."""
    taken = _named(release, request)
    copies, near = _copies(release, recipe, taken, request.texts)
    if missing := [name for name in _text_names(request.texts) if name not in near]:
        raise RunError(f"no document of release {release.number} of '{release.run}' is near {missing[0]}")
    taken |= copies
    if request.parent:
        derived = _derivatives(release, request.parent, taken)
        taken |= derived
        taken |= {place: cause for place, cause in _copies(release, recipe, derived, ())[0].items() if place not in taken}
    if not taken:
        raise RunError(
            f"all documents of '{release.run}' that this names are taken down or purged already; tamis purge erases what was "
            "only taken down"
        )
    return dict(sorted(taken.items()))


def _named(release: Release, request: Request) -> dict[Place, Cause]:
    found: dict[Place, Cause] = {}
    unknown, without = set(request.ids), {host.lower().strip(".") for host in request.hosts}
    ids = pa.array(sorted(unknown), pa.string())
    for ordinal, table, there in _present(release, ["id", "input_id", "url"]):
        by_id = pc.or_(pc.is_in(table["id"], value_set=ids), pc.is_in(table["input_id"], value_set=ids))
        for row in np.flatnonzero(by_id.to_numpy()).tolist():
            unknown -= {table[name][row].as_py() for name in ("id", "input_id")}
            if there[row]:
                found[ordinal, row] = Cause("named", "named")
        for host in request.hosts:
            listed = Takedown().extended([], [host])
            rows = np.flatnonzero(listed.matches(table["id"].combine_chunks(), table["url"].combine_chunks()))
            without -= set(listed.hosts) if len(rows) else set()
            found |= {
                (ordinal, row): Cause("host", f"host {listed.hosts[0]}")
                for row in rows.tolist()
                if there[row] and (ordinal, row) not in found
            }
    where = f"release {release.number} of '{release.run}'"
    if unknown:
        name = min(unknown)
        similar = ledger.similar_ids(release, name)
        raise RunError(f"no document '{name}' in {where}" + (f"; similar ids: {', '.join(similar)}" if similar else ""))
    if without:
        raise RunError(f"no document of {where} is from the host '{min(without)}' or its subdomains")
    return found


def _copies(
    release: Release, recipe: Recipe, of: Mapping[Place, Cause], texts: Sequence[str]
) -> tuple[dict[Place, Cause], set[str]]:
    """The documents that are copies of those in `of` or of given texts, and what names the originals
    that have copies, or are in the release themselves."""
    options = recipe.dedup.minhash if recipe.dedup is not None else None
    names = _text_names(texts)
    given = [originals(pa.array(texts, pa.large_string()), options, recipe.words)]
    for ordinal, rows in _rows_by_part(of).items():
        names += ledger.decisions(release, ordinal, ["id"])["id"].take(pa.array(rows)).to_pylist()
        for _, batch in release.part(ordinal).read(np.array(rows), ["text"]):
            given.append(originals(batch["text"], options, recipe.words))
    if not names:
        return {}, set()
    all_given, spill = joined(given), storage.join(release.run, ".spill")
    copies: dict[Place, Cause] = {}
    found: set[str] = set()
    for ordinal, _, there in _present(release, ["id"]):
        similar = copies_in(release.part(ordinal), all_given, options, recipe.words, spill)
        for row, original, jaccard in zip(
            similar.rows.tolist(), similar.original.tolist(), similar.jaccard.tolist(), strict=True
        ):
            found.add(names[original])
            if there[row] and (ordinal, row) not in of:
                kind = f"near copy of {names[original]}, Jaccard {jaccard:.4f}" if jaccard < 1 else f"copy of {names[original]}"
                copies[ordinal, row] = Cause("copy", kind)
    return copies, found


def _derivatives(release: Release, parent: str, of: Mapping[Place, Cause]) -> dict[Place, Cause]:
    """The documents whose field `parent` names one of those in `of`, by its id in the input or in the
    release, or one of the documents found so."""
    children: dict[str, list[tuple[Place, list[str]]]] = {}
    frontier: list[str] = []
    for ordinal, table, there in _present(release, ["id", "input_id"]):
        parents = field_texts(release.part(ordinal).columns(["metadata"])["metadata"].combine_chunks(), parent)
        for row in np.flatnonzero(parents.is_valid()).tolist():
            names = [table[name][row].as_py() for name in ("id", "input_id")]
            if there[row] and (ordinal, row) not in of:
                children.setdefault(parents[row].as_py(), []).append(((ordinal, row), names))
        rows = pa.array(sorted(row for part, row in of if part == ordinal), pa.int64())
        frontier += [name for column in ("id", "input_id") for name in table[column].take(rows).to_pylist()]
    derived: dict[Place, Cause] = {}
    while frontier:
        name = frontier.pop()
        for place, names in children.pop(name, []):
            derived[place] = Cause("derivative", f"made of {name}")
            frontier += names
    return derived


def _present(release: Release, names: Sequence[str]) -> Iterator[tuple[int, pa.Table, np.ndarray]]:
    """(ordinal, columns of decisions, whether each document is neither taken down nor purged) of each part."""
    for ordinal in ledger.decided_parts(release):
        table = ledger.decisions(release, ordinal, [*names, "reason"])
        removed = pc.is_in(table["reason"].fill_null(""), value_set=pa.array(REMOVED))
        yield ordinal, table, pc.invert(removed).to_numpy()


def _rows_by_part(places: Mapping[Place, Cause]) -> dict[int, list[int]]:
    rows: dict[int, list[int]] = {}
    for ordinal, row in sorted(places):
        rows.setdefault(ordinal, []).append(row)
    return rows


def _text_names(texts: Sequence[str]) -> list[str]:
    """What messages call given texts."""
    return ["the given text"] if len(texts) == 1 else [f"the given text {number}" for number, _ in enumerate(texts, 1)]
