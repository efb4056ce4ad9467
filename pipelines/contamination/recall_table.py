"""Sums up a probe: recall by benchmark, mutation and length, false flags, and precision."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import Any, Final

from tamis.pipelines.contamination.probe_documents import SIBLING, TRANSLATED
from tamis.pipelines.contamination.probe_recipe import CLEAN, Planted, Probed
from tamis.pipelines.formatting import plural
from tamis.transforms.decontaminate.probe.mutations import MUTATIONS
from tamis.transforms.decontaminate.probe.negatives import NEGATIVES

LENGTHS: Final = ("< 8", "8-20", "> 20")
"""Of questions, in words."""

_EXAMPLES = 10


def summary(probed: Probed) -> dict[str, Any]:
    """The numbers of a probe. `recall`: the share of the plants of which the recipe flags the document for
    the planted item; `precision`: of all flagged documents, the share with a plant."""
    plants = [each for each in probed.documents if each.mutation in MUTATIONS]
    clean = [each for each in probed.documents if each.mutation == CLEAN]
    translated = [each for each in probed.documents if each.mutation == TRANSLATED]
    negatives = [each for each in probed.documents if each.mutation in (*NEGATIVES, SIBLING)]
    right = sum(each.found for each in plants)
    wrong = sum(each.found for each in (*clean, *negatives))
    return {
        "recipe": probed.recipe,
        "seed": probed.seed,
        "benchmarks": {
            name: {"items": number, **_recalls([each for each in plants if each.benchmark == name])}
            for name, number in probed.items.items()
        },
        "pooled": _recalls(plants),
        "translated": {
            name: {**_counts(some), "nearby": probed.nearby[name]} for name, some in _by_benchmark(probed, translated)
        },
        "clean": _false_flags(clean),
        "negatives": {
            name: {
                kind: _false_flags([each for each in some if each.mutation == kind])
                for kind in (*NEGATIVES, SIBLING)
                if any(each.mutation == kind for each in some)
            }
            for name, some in _by_benchmark(probed, negatives)
        },
        "precision": right / (right + wrong) if right + wrong else None,
    }


def _by_benchmark(probed: Probed, documents: Sequence[Planted]) -> Iterator[tuple[str, list[Planted]]]:
    """The benchmarks that have some of the documents."""
    for name in probed.items:
        if some := [each for each in documents if each.benchmark == name]:
            yield name, some


def failures(found: dict[str, Any], least: float) -> list[str]:
    """What is below a limit: the recall of each benchmark, over all its plants, and the precision."""
    recalls = {f"recall of {name}": each["recall"] for name, each in found["benchmarks"].items()}
    values = {**recalls, "precision": found["precision"]}
    below = [
        f"{name} is {_share(value)}, below {least:g}" for name, value in values.items() if value is not None and value < least
    ]
    without = [name for name, each in found["benchmarks"].items() if each["recall"] is None]
    return below + [f"nothing was planted of {name}: no item of it has what the mutations change" for name in without]


def lines(found: dict[str, Any]) -> Iterator[str]:
    """What a person reads."""
    documents, plants = found["clean"]["documents"], found["pooled"]["plants"]
    yield f"{found['recipe']}, seed {found['seed']}: {plural(plants, 'plant')} in {plural(documents, 'document')} of the input"
    tables = {f"{name}, {plural(each['items'], 'item')}": each for name, each in found["benchmarks"].items()}
    if len(tables) > 1:
        tables["all benchmarks"] = found["pooled"]
    for title, table in tables.items():
        yield ""
        heads = "".join(f"{head:>9}" for head in (*LENGTHS, "all", "dropped", "plants"))
        width = max(22, len(title))
        yield f"{title:<{width}}{heads}"
        for mutation, row in (*table["mutations"].items(), ("all", table)):
            cells = [_share(row["by_length"][length]["recall"]) for length in LENGTHS]
            cells += [_share(row["recall"]), _share(row["dropped"] / row["plants"] if row["plants"] else None)]
            yield f"{f'  {mutation}':<{width}}" + "".join(f"{cell:>9}" for cell in cells) + f"{row['plants']:>9,}"
    yield ""
    for name, counts in found["translated"].items():
        yield f"{counts['found']:,} of {plural(counts['plants'], 'translated item')} of {name} found"
        yield f"  {counts['nearby']:,} are in the five documents nearest to their item (`tamis contamination rephrased`)"
    clean = found["clean"]
    yield f"{clean['flagged']:,} of {plural(documents, 'document')} without a plant flagged, {clean['dropped']:,} dropped"
    yield from _examples(clean)
    for name, kinds in found["negatives"].items():
        yield ""
        width = max(22, len(f"{name}, negatives"))
        yield f"{f'{name}, negatives':<{width}}" + "".join(f"{head:>10}" for head in ("flagged", "dropped", "documents"))
        for kind, flags in kinds.items():
            counts = [flags[column] for column in ("flagged", "dropped", "documents")]
            yield f"{f'  {kind}':<{width}}" + "".join(f"{cell:>10,}" for cell in counts)
            yield from _examples(flags)
    yield ""
    yield f"precision {_share(found['precision'])}"


def _recalls(plants: Sequence[Planted]) -> dict[str, Any]:
    by_mutation = {name: [each for each in plants if each.mutation == name] for name in MUTATIONS}
    return {**_recall(plants), "mutations": {name: _recall(each) for name, each in by_mutation.items() if each}}


def _recall(plants: Sequence[Planted]) -> dict[str, Any]:
    by_length = {length: _counts(each for each in plants if length_of(each.words) == length) for length in LENGTHS}
    return {**_counts(plants), "by_length": by_length}


def _counts(plants: Iterable[Planted]) -> dict[str, Any]:
    plants = list(plants)
    found = sum(each.found for each in plants)
    recall = found / len(plants) if plants else None
    return {"plants": len(plants), "found": found, "dropped": sum(each.dropped for each in plants), "recall": recall}


def length_of(words: int) -> str:
    """The one of `LENGTHS` that has this number."""
    return LENGTHS[0] if words < 8 else LENGTHS[1] if words <= 20 else LENGTHS[2]


def _false_flags(documents: Sequence[Planted]) -> dict[str, Any]:
    flagged = sorted((each for each in documents if each.found), key=lambda each: (not each.dropped, each.document, each.item))
    examples = [{"document": each.document, "item": each.item, "detail": each.detail} for each in flagged[:_EXAMPLES]]
    dropped = sum(each.dropped for each in documents)
    return {"documents": len(documents), "flagged": len(flagged), "dropped": dropped, "examples": examples}


def _examples(flags: dict[str, Any]) -> Iterator[str]:
    for example in flags["examples"]:
        planted = f", item {example['item']}" if example["item"] else ""
        yield f"    {example['document']}{planted}: {example['detail']}"


def _share(value: float | None) -> str:
    return "-" if value is None else f"{value:.3f}"
