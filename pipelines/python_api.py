"""The Python API: runs a recipe, and opens its releases as tables."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from functools import cached_property
from html import escape
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

from tamis.pipelines.recipe.load import load_recipe, recipe_of
from tamis.pipelines.recipe.schema import Recipe
from tamis.transforms import storage
from tamis.transforms.core import release as releases
from tamis.transforms.core.errors import RunError
from tamis.transforms.core.manifest import Manifest

if TYPE_CHECKING:
    import pyarrow as pa
    import pyarrow.dataset as ds

    from tamis.pipelines.releases.release_diff import ReleaseDiff
    from tamis.transforms.core.editor import Editor
    from tamis.transforms.core.rater import Rater
    from tamis.transforms.curriculum.training_plan import TrainingPlan
    from tamis.transforms.provenance.verify import Problem

DECIDED = ("id", "decision", "reason", "detail", "source", "quality", "tokens")
"""The columns of `Release.table` that come from decisions/."""


def run(
    recipe: str | Mapping[str, Any] | Recipe,
    input: str | Sequence[str] = (),
    output: str = "",
    *,
    set: Mapping[str, object] = MappingProxyType({}),
    raters: Sequence[Rater[Any]] = (),
    editors: Sequence[Editor[Any]] = (),
    runner: str = "local",
    workers: int = 0,
    options: Mapping[str, str] = MappingProxyType({}),
    fresh: bool = False,
) -> Release:
    """Runs a recipe and returns its release, as `tamis run` does.

    `recipe`: a file, the name of a shipped recipe, its sections, or a `Recipe`. `input`: files,
    folders or globs instead of the recipe's. `output`: the run directory, `run/NAME` by default.
    `set`: fields to override, `{"thresholds.gopher.word_count.min": 100}`. `raters`: objects of
    this program that rate, too. `editors`: objects that edit, after those of the recipe unless it
    names their place. `workers`: 0 for as many as pay. `options` are the runner's. Raises
    RunError, and RecipeError for a recipe, which say what to do.
    """
    import apache_beam  # noqa: F401 - with its connectors, which your program may use

    from tamis.pipelines.run.launch import launch

    paths = [input] if isinstance(input, str) else list(input)
    overrides = [f"{name}={json.dumps(value)}" for name, value in set.items()]
    if isinstance(recipe, str):
        loaded = load_recipe(recipe, overrides, paths, raters, editors)
    elif overrides:
        raise RunError("`set` overrides the fields of a recipe file; change the recipe itself")
    elif isinstance(recipe, Recipe):
        if raters or editors:
            raise RunError("a `Recipe` has its raters and editors already: give them to load_recipe, or name the recipe file")
        changed = {"input": recipe.input.model_copy(update={"paths": tuple(paths)})} if paths else {}
        loaded = recipe.model_copy(update=changed)
    else:
        loaded = recipe_of(recipe, paths, raters, editors)
    result = launch(
        loaded, output or f"run/{loaded.name}", workers, fresh, runner=runner, options=options, allow_shrink=bool(overrides)
    )
    return Release(result.release)


class Release:
    """A finished release of a run, opened as `Release.open("RUN")` or `Release.open("RUN@41")`."""

    def __init__(self, release: releases.Release) -> None:
        self._release = release

    @classmethod
    def open(cls, name: str) -> Release:
        """The current release of a run directory, or the one with a number. Raises
        FileNotFoundError if there is none."""
        return cls(releases.open_release(name))

    def __repr__(self) -> str:
        counts = self.manifest["counts"]
        return f"Release('{self.name}', {counts['kept']:,} of {counts['records']:,} records kept)"

    def _repr_html_(self) -> str:
        """The documents by decision and reason, for a notebook."""
        counts = self.manifest["counts"]
        rows = [("kept", "", counts["kept"], counts["tokens"]["kept"])]
        rows += [(row["decision"], row["reason"], row["documents"], row["tokens"]) for row in counts["reasons"]]
        cells = "".join(
            f"<tr><td>{decision}</td><td>{escape(reason)}</td><td>{documents:,}</td><td>{tokens:,}</td></tr>"
            for decision, reason, documents, tokens in rows
        )
        head = "".join(f"<th>{name}</th>" for name in ("decision", "reason", "documents", "tokens"))
        caption = f"{escape(self.name)}: {counts['kept']:,} of {counts['records']:,} records kept"
        return f"<table><caption>{caption}</caption><thead><tr>{head}</tr></thead><tbody>{cells}</tbody></table>"

    @property
    def name(self) -> str:
        """`RUN@41`, which every command takes, too."""
        return f"{self._release.run}@{self._release.number}"

    @property
    def run(self) -> str:
        """The run directory."""
        return self._release.run

    @property
    def number(self) -> int:
        return self._release.number

    @property
    def manifest(self) -> Manifest:
        """Recipe, counts, inputs, and every file with its checksum."""
        return self._release.manifest

    @property
    def plan(self) -> TrainingPlan:
        """The training plan. Raises FileNotFoundError if the corpus has no tokens."""
        from tamis.transforms.curriculum.training_plan import PLAN_FILE, TrainingPlan, make_plan

        uri = self._release.uri(PLAN_FILE)
        if storage.exists(uri):
            return TrainingPlan.model_validate_json(storage.read_bytes(uri))
        return make_plan(self.manifest)

    @property
    def report(self) -> str:
        """The path of the HTML report."""
        return self._release.uri("report.html")

    @property
    def data(self) -> str:
        """A glob of the shards, for DuckDB and others: `read_parquet('…')`."""
        suffix = self.manifest["recipe"]["output"]["format"]
        return self._release.uri("data", "*", f"*.{suffix}")

    @cached_property
    def documents(self) -> ds.Dataset:
        """The corpus in training order, as a pyarrow dataset: `to_table()`, `to_batches()`."""
        return self._dataset(self._release.run, [shard["path"] for shard in self.manifest["curriculum"]["shards"]])

    @cached_property
    def decisions(self) -> ds.Dataset:
        """A row for every document that was read, as a pyarrow dataset."""
        names = storage.names(self._release.uri("decisions"))
        return self._dataset(self._release.uri("decisions"), names)

    def contamination(self, *benchmarks: str) -> pa.Table:
        """Every match of a benchmark item, one row for each item of a document: benchmark, item, class, action,
        score, id, the bytes of the match, and what was decided about the document. `benchmarks`: only these.
        Raises RunError if the recipe names no benchmarks, or not these."""
        from tamis.pipelines.contamination.recorded_items import recorded_items

        return recorded_items(self._release, benchmarks).rows

    def table(self, *columns: str, decision: str = "", reason: str = "", limit: int = 0) -> pa.Table:
        """Documents as they were decided, with columns of the rated parts: `text`, `url`, `metadata`,
        or signals such as `gopher.word_count`.

        `text` is as it ends: edited, and without what was cut. `decision`: keep, drop or review.
        `reason`: as in decisions/. `limit`: of rows, 0 for all.
        Reads the parts one by one, and of each only the rows that match.
        """
        import numpy as np
        import pyarrow as pa
        import pyarrow.compute as pc

        from tamis.transforms.provenance import ledger
        from tamis.transforms.text.splice import without_cuts

        tables: list[pa.Table] = []
        missing = limit or -1
        for ordinal in ledger.decided_parts(self._release):
            decided = ledger.decisions(self._release, ordinal, [*DECIDED, *(["cuts"] if "text" in columns else [])])
            mask = np.ones(decided.num_rows, bool)
            for column, value in (("decision", decision), ("reason", reason)):
                if value:
                    mask &= pc.equal(decided[column], value).fill_null(False).to_numpy()
            rows = np.flatnonzero(mask)[: missing if limit else None]
            table = decided.take(pa.array(rows))
            batches = [batch for _, batch in self._release.part(ordinal).read(rows, columns)] if columns else []
            for column in columns if batches else ():
                values = pa.Table.from_batches(batches)[column]
                if column == "text" and pa.types.is_list(table["cuts"].type):
                    values = without_cuts(values.combine_chunks(), table["cuts"].combine_chunks())
                table = table.append_column(column, values)
            if len(rows):
                tables.append(table.drop_columns(["cuts"]) if "text" in columns else table)
            missing -= len(rows)
            if limit and missing <= 0:
                break
        return pa.concat_tables(tables) if tables else pa.table({name: [] for name in (*DECIDED, *columns)})

    def query(self, question: str) -> pa.Table:
        """The answer to a SELECT of SQL about the tables documents, signals, texts, cuts, edits, data, rejects and
        contamination, as `tamis query`. Raises RunError if something in it does not exist."""
        from tamis.pipelines.lookup.release_tables import ask, connect

        with connect(self._release) as connection:
            return ask(connection, question)

    def batches(self, *columns: str) -> Iterator[pa.RecordBatch]:
        """The corpus in training order, batch by batch. Every shard is checked against its SHA-256."""
        from tamis.transforms.feed.loader import read_in_order

        for shard in read_in_order(self.name):
            table = shard.documents.select(list(columns)) if columns else shard.documents
            yield from table.to_batches()

    def sample(
        self,
        n: int = 10,
        *,
        decision: str = "",
        reason: str = "",
        source: str = "",
        where: Sequence[str] = (),
        near_limit: bool = False,
        seed: int = 0,
    ) -> list[dict[str, Any]]:
        """Documents with their texts and what decided about them, as `tamis sample`. Raises RunError if
        none matches."""
        from tamis.pipelines.lookup.document_sample import sample_documents

        query = {"decision": decision, "reason": reason, "source": source}
        return sample_documents(self._release, n, **query, where=where, near_limit=near_limit, seed=seed).documents

    def explain(self, id: str = "", *, text: str = "") -> dict[str, Any]:
        """What happened to a document and why. `id`: its id or its URL; or `text`: its text, or a passage
        of it. Raises KeyError if there is none."""
        from tamis.pipelines.lookup.explanation import explanation

        return explanation(self.name, id, text=text)

    def verify(self) -> list[Problem]:
        """What is wrong with the files of this release; empty if nothing is."""
        from tamis.transforms.provenance.verify import verify

        return verify(self.name)

    def compare(self, other: Release) -> list[dict[str, Any]]:
        """Documents by decision and reason, in this release and in another one."""
        counts = [_by_reason(each.manifest) for each in (self, other)]
        keys = sorted(counts[0].keys() | counts[1].keys(), key=lambda key: (key[0], key[1]))
        own, others = counts
        return [{"decision": key[0], "reason": key[1], "this": own.get(key, 0), "other": others.get(key, 0)} for key in keys]

    def diff(self, after: Release, samples: int = 3) -> ReleaseDiff:
        """This release and a later one, document by document, as `tamis diff`: `lost` and `gained` by source and
        reason, `shifts` of the kept documents, `order`."""
        from tamis.pipelines.releases.release_diff import release_diff

        return release_diff(self._release, after._release, samples)

    def _dataset(self, folder: str, paths: Sequence[str]) -> ds.Dataset:
        import pyarrow as pa
        import pyarrow.dataset as ds

        from tamis.transforms.core.shards import read_shard

        uris = [storage.join(folder, path) for path in paths]
        if all(uri.endswith(".parquet") and storage.local_path(uri) is not None for uri in uris):
            return ds.dataset(uris, format="parquet")
        return ds.dataset(pa.concat_tables([read_shard(uri) for uri in uris], promote_options="default"))


def _by_reason(manifest: Manifest) -> dict[tuple[str, str], int]:
    counts = manifest["counts"]
    reasons = {(row["decision"], row["reason"]): row["documents"] for row in counts["reasons"]}
    return {("keep", ""): counts["kept"], ("rejected", ""): counts["rejected"], **reasons}
