"""The index that a release leaves of the documents it keeps: from which columns and texts, and where."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial

import apache_beam as beam

from tamis.pipelines.decisions.document_states import kept_documents
from tamis.pipelines.recipe.schema import Recipe
from tamis.pipelines.run.work_plan import WorkPlan
from tamis.transforms import storage
from tamis.transforms.core.release import release_folder
from tamis.transforms.dedup.duplicates import hashed_rows, texts_of
from tamis.transforms.dedup.minhash import Dedup
from tamis.transforms.dedup.released.index_files import FILE, FOLDER, MERGED, IndexFile, Segment, bits_of, near_settings
from tamis.transforms.dedup.released.merge_indices import MergeIndices, newest_to_merge
from tamis.transforms.dedup.released.open_indices import from_folder, open_indices
from tamis.transforms.dedup.released.write_index import WriteIndex


class IndexKept(beam.PTransform):
    """Writes the index of a release, from the part states. With `index: extend`, it names those that the
    run is against; if many of them are small, it merges these."""

    def __init__(self, recipe: Recipe, dedup: Dedup, plan: WorkPlan) -> None:
        super().__init__()
        self.recipe, self.dedup, self.plan = recipe, dedup, plan

    def expand(self, part_states: beam.PCollection) -> beam.PCollection:
        recipe, dedup, plan = self.recipe, self.dedup, self.plan
        folder = storage.join(plan.folder, FOLDER)
        sealed = storage.join(release_folder(plan.run, plan.number), FOLDER)  # where it will be, also if it is mended elsewhere
        merged, others = extended(recipe, dedup)
        before = [from_folder(sealed, segment.folder) for segment in others]
        if merged:
            before.insert(0, MERGED)
            merge = MergeIndices(merged, storage.join(folder, MERGED), storage.join(sealed, MERGED))
            _ = part_states.pipeline | "Merge" >> merge
        kept = partial(kept_documents, recipe=recipe, complete=True)
        rows = partial(hashed_rows, kept=kept, bands=dedup.minhash is not None)
        return part_states | WriteIndex(dedup.minhash, recipe.words, before, rows, texts_of, folder, plan.spill)


def leave_empty_index(recipe: Recipe, run: str) -> None:
    """Leaves an index without documents in a run that has no release, because it brought nothing new: it
    names the indices that its own would have named, so that a chain of nights goes on."""
    dedup = recipe.dedup
    if dedup is None or not dedup.index:
        return
    near, folder = near_settings(dedup.minhash, recipe.words), storage.join(run, FOLDER)
    segments = open_indices(dedup.against, near) if dedup.index == "extend" else ()
    before = [from_folder(folder, segment.folder) for segment in segments]
    IndexFile(documents=0, near=near, bits=bits_of(0, 0), files=[], before=before).write(storage.join(folder, FILE))


def extended(recipe: Recipe, dedup: Dedup) -> tuple[Sequence[Segment], Sequence[Segment]]:
    """The indices that belong to that of a release: those that it merges, which are made with the same
    settings, and those that it names."""
    if dedup.index != "extend":
        return (), ()
    segments = open_indices(dedup.against, near_settings(dedup.minhash, recipe.words))
    alike = next((n for n, each in enumerate(segments) if each.index.near != segments[0].index.near), len(segments))
    number = newest_to_merge([segment.index.documents for segment in segments[:alike]])
    return segments[:number], segments[number:]
