"""The index of the lists of a recipe: one table of all their entries, and what became of their lines."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields
from typing import Final

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from tamis.transforms.core.errors import nearest
from tamis.transforms.runtime.mapped_arrays import map_arrays, save_arrays
from tamis.transforms.urls.host_rules import BELOW, DOMAIN, EXACT, HostRules
from tamis.transforms.urls.list_files import Entries, ReadLines, list_files, read_list
from tamis.transforms.urls.list_options import Match, UrlList, UrlLists


@dataclass(frozen=True)
class ListIndex:
    """The table of the lists, the category of each label, and what became of their lines. Labels of
    lists that allow begin with `ALLOW`, which no other does."""

    rules: HostRules
    labels: tuple[str, ...]
    lines: Mapping[str, ReadLines]
    """By category."""

    def save(self, uri: str) -> None:
        """Writes it as a file of arrays."""
        notes = json.dumps([self.labels, {name: asdict(lines) for name, lines in self.lines.items()}])
        arrays = {field.name: getattr(self.rules, field.name) for field in fields(self.rules)}
        save_arrays(uri, {**arrays, "notes": pa.array([notes], pa.large_string())})

    @classmethod
    def load(cls, uri: str) -> ListIndex:
        """Reads a saved index; processes share a local file. Raises ValueError for other files."""
        arrays = map_arrays(uri)
        try:
            labels, lines = json.loads(arrays.pop("notes")[0].as_py())
            return cls(HostRules(**arrays), tuple(labels), {name: ReadLines(**each) for name, each in lines.items()})
        except (KeyError, TypeError) as error:
            raise ValueError(f"{uri}: no index of lists: {error}") from None


_FLAGS: Final[Mapping[Match, tuple[int, int]]] = {"below": (0, BELOW), "domain": (EXACT, DOMAIN), "exact": (EXACT, 0)}
"""Flags of the rules of addresses and of hosts."""


def files_of(name: str, each: UrlList) -> tuple[dict[str, list[str]], list[str]]:
    """The files of a list by category, and those that were passed over. Raises FileNotFoundError if
    there is none, ValueError for a category that is not there."""
    categories, passed_over = list_files(each.path)
    for category in each.categories:
        if category not in categories:
            near = nearest(category, categories)
            hint = f"did you mean '{near}'?" if near else f"there are {', '.join(sorted(categories)[:20]) or 'none'}"
            raise ValueError(f"url_lists.deny.{name}: {each.path} has no category '{category}': {hint}")
    return {key: files for key, files in categories.items() if not each.categories or key in each.categories}, passed_over


def build_index(options: UrlLists) -> ListIndex:
    """Reads the lists. Raises as `files_of` and `read_list` do."""
    labels: list[str] = []
    notes: dict[str, ReadLines] = {}
    tables = []
    for name, each in options.lists.items():
        categories, passed_over = files_of(name, each)
        for category, files in categories.items():
            entries, lines = read_list(files)
            label = f"{name}/{category}" if category else name
            address_flags, host_flags = _FLAGS[each.match]
            flags = np.where(entries.is_address, address_flags, host_flags).astype(np.uint8)
            flags[entries.below] = BELOW
            lines.passed_over = passed_over
            passed_over = []
            tables.append(
                pa.table(
                    {
                        "host": entries.host,
                        "path": _trimmed(entries),
                        "label": np.full(len(entries.host), len(labels), np.int32),
                        "flags": flags,
                    }
                )
            )
            labels.append(label)
            notes[label] = lines
    empty = {"host": pa.array([], pa.large_string()), "path": pa.array([], pa.large_string())}
    none = pa.table({**empty, "label": np.empty(0, np.int32), "flags": np.empty(0, np.uint8)})
    return ListIndex(HostRules.build(pa.concat_tables([none, *tables])), tuple(labels), notes)


def _trimmed(entries: Entries) -> pa.Array:
    """The paths as rules have them: `/` is left out, and of what stands for all below it, a final slash."""
    paths = pc.if_else(pc.equal(entries.path, "/"), "", entries.path)
    return pc.if_else(pa.array(entries.below), pc.utf8_rtrim(paths, "/"), paths)
