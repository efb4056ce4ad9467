"""Prints what each rule of the shipped recipes takes of the web pages, and the verdicts on those that were read.

    python -m tests.labels.drops [CORPORA] [--write]

CORPORA is the folder of the pages, ../shared/data by default. `drops.tsv` has a row for each page that was read: the
recipe, the rule that drops the page first, the page's id, and a verdict: `right`; `wrong`, if the page is coherent
prose, verse or reference that a reader wants in pretraining data; `arguable`, if two readers could disagree. Of each
rule, these are the first ten pages of `tamis sample RUN --reason RULE`, or all that it takes. The reader, a language
model, knew the rule and saw the beginning, the middle and the end of a page. The labels of `tests.labels.rates` are
by a reader who did not know the rules, and they have weights.
"""

from __future__ import annotations

import argparse
import csv
from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from tamis.pipelines.recipe.load import shipped_recipes
from tests.labels.rates import PAGE, SHARED, documents, failures, rules_of

DROPS = Path(__file__).with_name("drops.tsv")

VERDICTS = ("right", "arguable", "wrong")

LEFT_OUT = ("fineweb2", "curriculum", "python-env")
"""Without limits of English; with kaiyuan's rules; not for web pages."""


def read_pages() -> dict[tuple[str, str], dict[str, str]]:
    """The verdict on each page that was read, by recipe and rule."""
    pages: defaultdict[tuple[str, str], dict[str, str]] = defaultdict(dict)
    with DROPS.open(newline="") as file:
        for row in csv.DictReader(file, delimiter="\t"):
            pages[row["recipe"], row["rule"]][row["page"]] = row["verdict"]
    return dict(pages)


def recipes() -> list[str]:
    """The recipes of the table."""
    return [name for name in shipped_recipes() if name not in LEFT_OUT]


def reasons(batch: pa.RecordBatch, name: str) -> npt.NDArray[np.object_]:
    """The rule of a recipe that each document fails first, or ''."""
    rules = failures(batch, rules_of(name))
    return np.select(list(rules.values()), list(rules), "").astype(object)


def table(shared: Path) -> Iterator[str]:
    """A row for each rule that takes a page: the recipes in which it takes the same pages, how many, and the verdicts on
    those that were read."""
    yield "| rule | recipes | taken | read | wrong | arguable |"
    yield "|---|---|---|---|---|---|"
    read = read_pages()
    rows: defaultdict[tuple[str, bytes], list[str]] = defaultdict(list)
    for name in recipes():
        first = reasons(documents(shared, "web"), name)
        for rule in set(first) - {""}:
            rows[rule, (first == rule).tobytes()].append(name)
    counts = {key: np.frombuffer(key[1], bool).sum() for key in rows}
    for key in sorted(rows, key=lambda key: (rows[key], -counts[key], key)):
        names = "; ".join(rows[key])
        yield f"| {key[0]} | {names} | {counts[key]:,} | {verdicts(read.get((rows[key][0], key[0]), {}))} |"


def verdicts(pages: Mapping[str, str]) -> str:
    """The last cells of a row: the pages that were read, those that are wrong and those that are arguable."""
    counts = Counter(pages.values())
    return f"{len(pages)} | {counts['wrong']} | {counts['arguable']}"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("corpora", nargs="?", type=Path, default=SHARED)
    parser.add_argument("--write", action="store_true", help="also put the table into docs/labels.md")
    options = parser.parse_args()
    if not options.corpora.is_dir():
        print(f"nothing is measured: there is no {options.corpora} with the pages that were read")
        return
    text = "\n".join(table(options.corpora))
    print(text)
    if options.write:
        before, head, rest = PAGE.read_text().partition(text.split("\n")[0])
        PAGE.write_text(before + text + rest[rest.index("\n\n") :] if head else before)


if __name__ == "__main__":
    main()
