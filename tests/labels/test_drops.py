"""The pages that were read are dropped for the rule beside them, and the table of docs/labels.md counts them."""

from __future__ import annotations

from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc
import pytest

from tests.labels import drops, rates


def rows() -> dict[tuple[str, str], tuple[int, str]]:
    """The pages taken and the last cells of each row of the table on the page, by recipe and rule."""
    _, _, rest = rates.PAGE.read_text().partition("| rule | recipes | taken |")
    table = {}
    for line in rest.split("\n\n")[0].splitlines()[2:]:
        rule, names, taken, cells = line.strip("| ").split(" | ", 3)
        table |= {(name, rule): (int(taken.replace(",", "")), cells) for name in names.split("; ")}
    return table


def test_every_rule_has_its_first_ten_pages_or_all_that_it_takes() -> None:
    table, read = rows(), drops.read_pages()
    assert {recipe for recipe, _ in table} == {*drops.recipes()}
    assert {key: len(pages) for key, pages in read.items()} == {key: min(10, taken) for key, (taken, _) in table.items()}


def test_the_table_counts_the_verdicts() -> None:
    table, read = rows(), drops.read_pages()
    assert {key: drops.verdicts(pages) for key, pages in read.items()} == {key: cells for key, (_, cells) in table.items()}


def test_a_page_has_one_verdict_whatever_took_it() -> None:
    pages: dict[str, set[str]] = {}
    for read in drops.read_pages().values():
        for page, verdict in read.items():
            pages.setdefault(page, set()).add(verdict)
    assert {frozenset(verdict) for verdict in pages.values()} == {frozenset([verdict]) for verdict in drops.VERDICTS}


@pytest.mark.slow
@pytest.mark.parametrize("recipe", drops.recipes())
def test_each_page_that_was_read_is_dropped_for_its_rule(shared: Path, recipe: str) -> None:
    rules = {page: rule for (name, rule), pages in drops.read_pages().items() if name == recipe for page in pages}
    documents = rates.documents(shared, "web")
    batch = documents.take(pc.index_in(pa.array(list(rules)), documents["id"].cast(pa.string())))
    assert dict(zip(rules, drops.reasons(batch, recipe), strict=True)) == rules
