"""Looks up benchmarks by their names, and groups of them, in the list that comes with Tamis."""

from collections.abc import Mapping
from functools import lru_cache
from importlib import resources
from typing import Any

import yaml

from tamis.transforms.core.errors import nearest


@lru_cache(maxsize=1)
def _registry() -> Mapping[str, Any]:
    text = (resources.files("tamis.transforms.decontaminate") / "benchmark_registry.yaml").read_text("utf-8")
    return yaml.safe_load(text)


def entries() -> dict[str, dict[str, Any]]:
    """The options of every benchmark of the registry, by name."""
    return {name: {"name": name, **options} for name, options in _registry()["benchmarks"].items()}


def groups() -> dict[str, list[str]]:
    """The names of the benchmarks in each group. `all` has every one."""
    return {**_registry()["groups"], "all": list(entries())}


def complete(benchmarks: Any) -> Any:
    """The benchmarks of a recipe, each with its fields.

    A text is the name of an entry, or of a group: its entries. So is the name of a section that names
    no fields; what it says otherwise comes before what the registry says. `{name}` in the path of a
    group is the name of each entry. An entry of the registry that is named twice counts once.

    Raises ValueError for a text that is no such name, and for a group whose path lacks `{name}`.
    """
    if not isinstance(benchmarks, list):
        return benchmarks
    found: list[Any] = []
    for benchmark in benchmarks:
        completed = _entries_of(benchmark)
        found += [entry for entry in completed if completed == [benchmark] or entry not in found]
    return found


def _entries_of(benchmark: Any) -> list[Any]:
    """The entries that an element of the list stands for."""
    if isinstance(benchmark, str):
        return _entries_of({"name": benchmark})
    if not isinstance(benchmark, dict) or benchmark.keys() & {"question", "prompt", "fields"}:
        return [benchmark]
    name, rest = benchmark.get("name"), {key: value for key, value in benchmark.items() if key != "name"}
    if name in groups():
        path = rest.pop("path", None)
        if path is not None and "{name}" not in str(path):
            raise ValueError(f"{name} is a group of benchmarks: its path must contain {{name}}, not only {path}")
        paths = {member: {} if path is None else {"path": str(path).replace("{name}", member)} for member in groups()[name]}
        return [entries()[member] | rest | paths[member] for member in groups()[name]]
    if name in entries():
        return [entries()[name] | rest]
    close = nearest(str(name), [*entries(), *groups()])
    hint = f"did you mean '{close}'?" if close else "`tamis contamination benchmarks` lists those that are"
    raise ValueError(f"'{name}' has no question field, and is not in the registry; {hint}")
