"""The index that a release leaves of the documents it keeps: from which columns and texts, and where."""

from functools import partial

from tamis.pipelines.decisions.document_states import kept_documents
from tamis.pipelines.recipe.schema import Recipe
from tamis.pipelines.run.work_plan import WorkPlan
from tamis.transforms import storage
from tamis.transforms.core.release import release_folder
from tamis.transforms.dedup.duplicates import hashed_rows, texts_of
from tamis.transforms.dedup.minhash import Dedup
from tamis.transforms.dedup.released.index_files import FOLDER, near_settings
from tamis.transforms.dedup.released.open_indices import from_folder, open_indices
from tamis.transforms.dedup.released.write_index import WriteIndex


def index_kept(recipe: Recipe, dedup: Dedup, plan: WorkPlan) -> WriteIndex:
    """Writes the index of a release. With `index: extend`, it names those that the run is against."""
    extended = open_indices(dedup.against, near_settings(dedup.minhash, recipe.words)) if dedup.index == "extend" else ()
    sealed = storage.join(release_folder(plan.run, plan.number), FOLDER)  # where it will be, also if it is mended elsewhere
    before = [from_folder(sealed, segment.folder) for segment in extended]
    kept = partial(kept_documents, recipe=recipe, complete=True)
    rows = partial(hashed_rows, kept=kept, bands=dedup.minhash is not None)
    return WriteIndex(dedup.minhash, recipe.words, before, rows, texts_of, storage.join(plan.folder, FOLDER), plan.spill)
