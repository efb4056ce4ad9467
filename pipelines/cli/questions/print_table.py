"""Prints a table for people: as rows, or one column below the other if it is too wide for the terminal."""

from __future__ import annotations

from collections.abc import Sequence

import pyarrow as pa
from rich.console import Console
from rich.table import Table
from rich.text import Text

from tamis.pipelines.formatting import plural, signal_value

ROWS = 100
"""As many are shown."""

_CELL = 72  # characters of a value beside others
_NARROW = 8  # characters that a column must have at least


def print_table(table: pa.Table, console: Console) -> None:
    """The first rows of a table, and how many more there are."""
    names = table.column_names
    rows = [[cell(value) for value in row.values()] for row in table.slice(0, ROWS).rename_columns(_unique(names)).to_pylist()]
    if sum(min(len(name), _NARROW) + 2 for name in names) > console.width:
        _print_records(names, rows, console)
    else:
        shown = Table(box=None, pad_edge=False, header_style="bold")
        for field in table.schema:
            numeric = pa.types.is_integer(field.type) or pa.types.is_floating(field.type) or pa.types.is_decimal(field.type)
            shown.add_column(Text(field.name), justify="right" if numeric else "left", no_wrap=numeric)
        for row in rows:
            shown.add_row(*(Text(f"{value[: _CELL - 1]}…" if len(value) > _CELL else value) for value in row))
        console.print(shown)
    if table.num_rows > ROWS:
        console.print(Text(f"… {plural(table.num_rows - ROWS, 'more row')}; --format csv or json prints all", "dim"))


def cell(value: object) -> str:
    """A value in a line. Control characters are escaped, since they would act on a terminal."""
    text = "" if value is None else signal_value(value)
    return "".join(letter if letter.isprintable() else repr(letter)[1:-1] for letter in text)


def _print_records(names: Sequence[str], rows: Sequence[Sequence[str]], console: Console) -> None:
    width = max(map(len, names))
    for number, row in enumerate(rows):
        if number:
            console.print()
        for name, value in zip(names, row, strict=True):
            console.print(Text.assemble((f"{name:<{width}}  ", "bold"), value), soft_wrap=True)


def _unique(names: Sequence[str]) -> list[str]:
    """Names that a dictionary keeps apart."""
    return [f"{number} {name}" for number, name in enumerate(names)]
