"""Prints what the shipped recipes drop and keep of 200 pages that a person has read and labelled.

    python -m tests.labels.rates [CORPORA]

CORPORA is the folder of the pages, ../shared/data by default. `pages.tsv` has a row for each page and no text: the corpus, the
XXH64 pair of its address and of its text (`hash128`), the pages of the corpus that it stands for, whether a reader wants it in
pretraining data (`keep` or `drop`), and why. The pages were read without knowing what a rule says of them. They were drawn by a
hash of their ids: of the web pages 45 that one rule alone takes (a fifth of the words are marks or numbers), 35 that another
rule of `gopher` takes, 45 that `fineweb` or `c4` take, and 35 of the rest; of the other corpora at random.

A false drop is a page labelled `keep` that a recipe drops, a false keep one labelled `drop` that it keeps. Only thresholds count:
a copy that deduplication removes is no mistake. Rules on models that are not included are left out.
"""

from __future__ import annotations

import csv
import sys
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import yaml

from tamis.pipelines.measure import measure_each
from tamis.pipelines.rate import prepared_components
from tamis.pipelines.recipe.load import recipe_source, shipped_recipes
from tamis.pipelines.recipe.schema import Recipe
from tamis.transforms.read import inputs
from tamis.transforms.read.input_options import Fields, Input
from tamis.transforms.select.thresholds import evaluate
from tamis.transforms.text.hashing import hash128

SHARED = Path(__file__).resolve().parents[3] / "shared" / "data"
LABELS = Path(__file__).with_name("pages.tsv")

CORPORA: Mapping[str, tuple[str, Fields]] = {
    "web": ("web/*.zst", Fields()),
    "html": ("html/*.zst", Fields(html=("html",))),
    "warc": ("warc/*.warc.gz", Fields()),
    "docs": ("docs/*.zst", Fields()),
}
"""Files and fields of each corpus."""

GROUPS: Mapping[str, tuple[str, ...]] = {"web": ("web",), "articles and homepages": ("html", "warc"), "PEPs": ("docs",)}
"""The corpora of each group of labelled pages in the table."""

_MARKS = {"gopher": {"marks": True}, "repetition": {"marks": True}}

VARIANTS: Mapping[str, Mapping[str, Any]] = {
    "words": {},
    "words and marks, as datatrove": {"rate": _MARKS},
    "white space, as DCLM and Dolma": {"rate": _MARKS, "words": {"definition": "whitespace"}},
}
"""Definitions of a word for the rules of `gopher`."""

_SECTIONS = ("words", "edit", "rate", "thresholds")  # of a recipe, all that decides by the text alone

Flags = npt.NDArray[np.bool_]


@dataclass(frozen=True)
class Page:
    """A labelled page."""

    corpus: str
    url: str
    text: str
    weight: float
    wanted: bool
    reason: str


def labelled() -> list[Page]:
    """The labelled pages."""
    with LABELS.open(newline="") as file:
        rows = list(csv.reader(file, delimiter="\t"))[1:]
    return [Page(corpus, url, text, float(weight), label == "keep", why) for corpus, url, text, weight, label, why in rows]


def rules_of(name: str, options: Mapping[str, Any] | None = None) -> Recipe:
    """The shipped recipe's words, editors, raters and thresholds, without models that it does not include."""
    source = yaml.safe_load(recipe_source(name)[1])
    recipe = {section: source[section] for section in _SECTIONS if section in source} | {"input": {"paths": ["any"]}}
    models = [model["name"] for model in recipe["rate"].pop("fasttext", [])]
    recipe["thresholds"] = {k: rule for k, rule in recipe["thresholds"].items() if k.split(".")[0] not in models}
    for section, values in (options or {}).items():
        recipe[section] = recipe.get(section, {}) | values
    return Recipe.model_validate(recipe)


@cache
def documents(shared: Path, corpus: str) -> pa.RecordBatch:
    """All documents of a corpus."""
    files, fields = CORPORA[corpus]
    options = Input(paths=(str(shared / files),), fields=fields)
    batches = [batch for split in inputs.plan(options)[0] for batch, _ in inputs.read(split, options)]
    return pa.Table.from_batches(batches).combine_chunks().to_batches()[0]


def failures(batch: pa.RecordBatch, recipe: Recipe) -> dict[str, Flags]:
    """The documents that each rule does not keep. Raises RuntimeError if one cannot be measured."""
    (rated, _), errors = measure_each(batch, recipe, prepared_components(recipe, ""))
    if errors:
        raise RuntimeError(f"documents that cannot be measured: {errors}")
    return {
        name: np.array([decision != "keep" for decision in evaluate(rated, {name: rule})["decision"].to_pylist()])
        for name, rule in recipe.thresholds.items()
    }


def pages_of(shared: Path, corpus: str, pages: Sequence[Page]) -> pa.RecordBatch:
    """The documents of the labelled pages of a corpus, in their order. Raises ValueError if one is not there."""
    batch = documents(shared, corpus)
    rows = {key: row for row, key in enumerate(zip(_hexes(batch["url"]), _hexes(batch["text"]), strict=True))}
    missing = [page.url for page in pages if (page.url, page.text) not in rows]
    if missing:
        raise ValueError(f"{len(missing)} of {len(pages)} labelled pages of '{corpus}' are not there, or have another text")
    return batch.take(pa.array([rows[page.url, page.text] for page in pages]))


def _hexes(texts: pa.Array) -> list[str]:
    return [f"{first:016x}{second:016x}" for first, second in hash128(texts.cast(pa.large_string())).tolist()]


class Labelled:
    """The labelled pages with their documents, by corpus."""

    def __init__(self, shared: Path) -> None:
        every = labelled()
        self.pages = {corpus: [page for page in every if page.corpus == corpus] for corpus in CORPORA}
        self.batches = {corpus: pages_of(shared, corpus, pages) for corpus, pages in self.pages.items()}

    def dropped(self, corpus: str, recipe: Recipe) -> Flags:
        """The labelled pages of a corpus that the recipe does not keep."""
        flags = failures(self.batches[corpus], recipe).values()
        return np.logical_or.reduce(list(flags)) if flags else np.zeros(len(self.pages[corpus]), np.bool_)

    def rates(self, corpora: Sequence[str], recipe: Recipe) -> tuple[float, float]:
        """(false drops, false keeps): shares of the pages that are wanted and of those that are not."""
        pages = [page for corpus in corpora for page in self.pages[corpus]]
        dropped = np.concatenate([self.dropped(corpus, recipe) for corpus in corpora])
        wanted, weight = np.array([page.wanted for page in pages]), np.array([page.weight for page in pages])
        return _share(dropped, wanted, weight), _share(~dropped, ~wanted, weight)


def _share(flags: Flags, of: Flags, weight: npt.NDArray[np.float64]) -> float:
    return float((flags * of * weight).sum() / (of * weight).sum()) if of.any() else float("nan")


def _recipes() -> Iterator[tuple[str, Recipe]]:
    for name in shipped_recipes():
        for variant, options in VARIANTS.items() if name == "gopher" else (("", {}),):
            yield f"{name}, {variant}" if options else name, rules_of(name, options)


def recipe_table(pages: Labelled) -> Iterator[str]:
    """A row for each shipped recipe: false drops and false keeps of each group of pages."""
    yield "| recipe | " + " | ".join(f"{group}: false drops | false keeps" for group in GROUPS) + " |"
    yield "|---" * (1 + 2 * len(GROUPS)) + "|"
    for name, recipe in _recipes():
        rates = [rate for corpora in GROUPS.values() for rate in pages.rates(corpora, recipe)]
        yield f"| {name} | " + " | ".join("–" if np.isnan(rate) else f"{rate:.1%}" for rate in rates) + " |"


def rule_table(pages: Labelled, shared: Path) -> Iterator[str]:
    """A row for each recipe and rule: what it takes of all web pages, and of the labelled ones."""
    yield "| recipe | rule | takes of the web pages | labelled keep | labelled drop |"
    yield "|---|---|---|---|---|"
    wanted = np.array([page.wanted for page in pages.pages["web"]])
    for name, recipe in _recipes():
        everywhere = failures(documents(shared, "web"), recipe)
        for rule, flags in failures(pages.batches["web"], recipe).items():
            yield (
                f"| {name} | {rule} | {everywhere[rule].mean():.1%} | {int((flags & wanted).sum())} of {wanted.sum()} | "
                f"{int((flags & ~wanted).sum())} of {(~wanted).sum()} |"
            )


def word_table(shared: Path) -> Iterator[str]:
    """A row for each definition of a word: the documents that gopher's `alphabetic_words` takes, by corpus."""
    yield "| words | " + " | ".join(CORPORA) + " |"
    yield "|---" * (1 + len(CORPORA)) + "|"
    for variant, options in VARIANTS.items():
        recipe = rules_of("gopher", options)
        shares = [failures(documents(shared, corpus), recipe)["gopher.alphabetic_words"].mean() for corpus in CORPORA]
        yield f"| {variant} | " + " | ".join(f"{share:.1%}" for share in shares) + " |"


def main() -> None:
    shared = Path(sys.argv[1]) if len(sys.argv) > 1 else SHARED
    if not shared.is_dir():
        print(f"nothing is measured: there is no {shared} with the pages that were labelled")
        return
    pages = Labelled(shared)
    for table in (recipe_table(pages), rule_table(pages, shared), word_table(shared)):
        print("\n".join(table), end="\n\n")


if __name__ == "__main__":
    main()
