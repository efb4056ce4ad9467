"""Refuses to release a corpus that is empty, or that shrank because its input went missing.

The current release then stays. The message says how to allow it.
"""

from collections.abc import Mapping, Sequence
from typing import Any

from tamis.pipelines.formatting import plural
from tamis.transforms.core.errors import NothingNew, RunError
from tamis.transforms.core.manifest import Counts, InputEntry, Manifest
from tamis.transforms.dedup.released.index_files import REASON


def refuse_empty(counts: Counts, causes: str = "") -> None:
    """Raises RunError if no document is kept, and NothingNew if that is because those that would have
    been were released before. `causes`: what else may be wrong."""
    if counts["kept"]:
        return
    read = counts["kept"] + counts["dropped"] + counts["review"]
    released = sum(row["documents"] for row in counts["reasons"] if row["reason"] == REASON)
    if released and not counts["review"]:
        others = f", and the other {read - released:,} were dropped" if read > released else ""
        raise NothingNew(f"nothing new: {released:,} of {read:,} documents were released before{others}; no release is made")
    reasons = [f"{row['reason']} {row['documents']:,}" for row in counts["reasons"][:3]]
    cure = (
        f"most were dropped by {', '.join(reasons)}: move a threshold, or check the fields of the input"
        if reasons
        else "check the input and input.fields"
    )
    raise RunError(f"no document of {read:,} is kept, and an empty corpus is not released; {cure}{causes}")


def refuse_shrunk(recipe: Mapping[str, Any], counts: Counts, inputs: Sequence[InputEntry], last: Manifest) -> None:
    """Raises RunError if the corpus shrank by more than `max_shrink` since the `last` release,
    though the recipe is the same, and if the input's paths are others or match less."""
    kept, before = counts["kept"], last["counts"]["kept"]
    limit = recipe["max_shrink"]
    if kept >= before * (1 - limit) or _without_input(recipe) != _without_input(last["recipe"]):
        return
    files, files_before = ({entry["uri"] for entry in entries} for entries in (inputs, last["inputs"]))
    size, size_before = (sum(entry["size"] for entry in entries) for entries in (inputs, last["inputs"]))
    other_paths = recipe["input"]["paths"] != last["recipe"]["input"]["paths"]
    if not other_paths and len(files) >= len(files_before) and size >= size_before:
        return
    cause = (
        "the input has other paths"
        if other_paths
        else f"the input matches {plural(len(files), 'file')} of {size:,} bytes, not {len(files_before):,} of {size_before:,}"
    )
    raise RunError(
        f"the corpus would shrink from {before:,} to {kept:,} documents, by more than max_shrink ({limit:.0%}), though the "
        f"recipe is the same: {cause}. The current release stays. If this is meant, add --set max_shrink=1"
    )


def _without_input(recipe: Mapping[str, Any]) -> dict[str, Any]:
    """A recipe without what may differ between nights: names, and where the input is."""
    rest = {name: value for name, value in recipe.items() if name not in ("name", "max_shrink", "max_rejects")}
    return rest | {"input": {name: value for name, value in recipe["input"].items() if name not in ("paths", "allow_empty")}}
