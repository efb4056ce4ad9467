"""Prints what the shipped recipes drop and keep of 200 pages that were read and labelled.

    python -m tests.labels.rates [CORPORA] [--write]

CORPORA is the folder of the pages, ../shared/data by default. `pages.tsv` has a row for each page and no text: the corpus, the
hashes of its address and of its text (`hash128`), the pages of the corpus that it stands for, whether a reader wants it in
pretraining data (`keep` or `drop`), and why. The reader, a language model, did not know what a rule says of a page. The pages
were drawn by a hash of their ids, without copies: of the web pages 45 that fail `gopher` only if marks are words, 35 that fail
it anyway, 45 that `fineweb` or `c4` drop, and 35 of the rest; of the other corpora at random.

A false drop is a page labelled `keep` that a recipe drops, a false keep one labelled `drop` that it keeps. Only thresholds
count: a copy that deduplication removes is no mistake. Rules on models that are not included are left out.
"""

from __future__ import annotations

import argparse
import csv
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from itertools import chain
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
from tamis.pipelines.starter.kinds import KINDS
from tamis.transforms.read import inputs
from tamis.transforms.read.input_options import Fields, Input
from tamis.transforms.select.thresholds import Threshold, evaluate
from tamis.transforms.text.hashing import hash128

SHARED = Path(__file__).resolve().parents[3] / "shared" / "data"
LABELS = Path(__file__).with_name("pages.tsv")
PAGE = Path(__file__).resolve().parents[2] / "docs" / "labels.md"

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

_SECTIONS = ("words", "edit", "rate_unedited", "rate", "thresholds")  # of a recipe, all that decides by the text alone

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

    def failures(self, corpora: Sequence[str], recipe: Recipe) -> dict[str, Flags]:
        """The labelled pages of these corpora that each rule does not keep."""
        parts = [failures(self.batches[corpus], recipe) for corpus in corpora]
        return {rule: np.concatenate([part[rule] for part in parts]) for rule in recipe.thresholds}

    def taken(self, corpora: Sequence[str], flags: Flags) -> tuple[float, float]:
        """What of the pages that are wanted has the flag, and what of the others, by the weights of the pages; NaN without
        any such page."""
        pages = [page for corpus in corpora for page in self.pages[corpus]]
        wanted, weight = np.array([page.wanted for page in pages]), np.array([page.weight for page in pages])
        return _share(flags, wanted * weight), _share(flags, ~wanted * weight)

    def rates(self, corpora: Sequence[str], recipe: Recipe) -> tuple[float, float]:
        """(false drops, false keeps) of a recipe."""
        dropped = np.logical_or.reduce(list(self.failures(corpora, recipe).values()))
        return self.taken(corpora, dropped)[0], self.taken(corpora, ~dropped)[1]


def _share(flags: Flags, weight: npt.NDArray[np.float64]) -> float:
    return float(flags @ weight / weight.sum()) if weight.any() else float("nan")


def recipes() -> Iterator[tuple[str, Recipe]]:
    """The shipped recipes by name; `gopher` with each definition of a word."""
    for name in shipped_recipes():
        if name == "fineweb2":
            continue  # its limits are in files that are not part of it
        for variant, options in VARIANTS.items() if name == "gopher" else (("", {}),):
            yield f"{name}, {variant}" if options else name, rules_of(name, options)


def starters() -> Iterator[tuple[str, Recipe]]:
    """The rules that `tamis init` writes, by kind of data."""
    for name, kind in KINDS.items():
        rate = {signal.split(".")[0]: {} for signal, _, _ in kind.rules}
        rules = {signal: yaml.safe_load(limits) for signal, limits, _ in kind.rules}
        yield f"init --kind {name}", Recipe.model_validate({"input": {"paths": ["any"]}, "rate": rate, "thresholds": rules})


def recipe_table(pages: Labelled) -> Iterator[str]:
    """A row for each recipe and kind of data: false drops and false keeps of each group of pages."""
    yield "| recipe | " + " | ".join(f"{group}: false drops | false keeps" for group in GROUPS) + " |"
    yield "|---" * (1 + 2 * len(GROUPS)) + "|"
    for name, recipe in chain(recipes(), starters()):
        rates = [rate for corpora in GROUPS.values() for rate in pages.rates(corpora, recipe)]
        yield f"| {name} | " + " | ".join(_percent(rate) for rate in rates) + " |"


def rule_table(pages: Labelled, shared: Path) -> Iterator[str]:
    """A row for each rule that takes one web page in a thousand: what it takes of all, of the wanted and of the others."""
    yield "| rule | of web pages | of wanted ones | of the others | recipes |"
    yield "|---|---|---|---|---|"
    rows: dict[tuple[str, bytes], tuple[float, list[str]]] = {}
    of_labelled: dict[tuple[str, bytes], Flags] = {}
    for name, recipe in recipes():
        own = pages.failures(("web",), recipe)
        for rule, flags in failures(documents(shared, "web"), recipe).items():
            if flags.mean() >= 0.001:
                key = f"{rule} {_limits(recipe.thresholds[rule])}", flags.tobytes()
                rows.setdefault(key, (flags.mean(), []))[1].append(name)
                of_labelled[key] = own[rule]
    for key, (share, names) in sorted(rows.items(), key=lambda row: -row[1][0]):
        wanted, others = pages.taken(("web",), of_labelled[key])
        yield f"| {key[0]} | {share:.1%} | {_percent(wanted)} | {_percent(others)} | {'; '.join(names)} |"


def _limits(rule: Threshold) -> str:
    limits = {"≥": rule.min, "≤": rule.max}
    return ", ".join(rule.one_of or (f"{sign} {limit:g}" for sign, limit in limits.items() if limit is not None))


def _percent(share: float) -> str:
    return "–" if np.isnan(share) else f"{share:.1%}"


def word_table(shared: Path) -> Iterator[str]:
    """A row for each definition of a word: the documents that gopher's `alphabetic_words` takes, by corpus."""
    yield "| words | " + " | ".join(CORPORA) + " |"
    yield "|---" * (1 + len(CORPORA)) + "|"
    for variant, options in VARIANTS.items():
        recipe = rules_of("gopher", options)
        shares = [failures(documents(shared, corpus), recipe)["gopher.alphabetic_words"].mean() for corpus in CORPORA]
        yield f"| {variant} | " + " | ".join(f"{share:.1%}" for share in shares) + " |"


def tables(shared: Path) -> list[str]:
    """The tables of docs/labels.md."""
    pages = Labelled(shared)
    return ["\n".join(table) for table in (recipe_table(pages), rule_table(pages, shared), word_table(shared))]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("corpora", nargs="?", type=Path, default=SHARED)
    parser.add_argument("--write", action="store_true", help="also put the tables into docs/labels.md")
    options = parser.parse_args()
    if not options.corpora.is_dir():
        print(f"nothing is measured: there is no {options.corpora} with the pages that were labelled")
        return
    for table in tables(options.corpora):
        print(table, end="\n\n")
        if options.write:
            before, head, rest = PAGE.read_text().partition(table.split("\n")[0])
            PAGE.write_text(before + table + rest[rest.index("\n\n") :] if head else before)


if __name__ == "__main__":
    main()
