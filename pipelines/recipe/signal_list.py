"""Lists every signal that a recipe can measure, for `tamis raters` and for hints in errors."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from itertools import groupby
from typing import Any, Literal

from tamis.pipelines.recipe.editing import EDITORS, example_editor
from tamis.pipelines.recipe.raters import ELSEWHERE, RATERS, example_rater, rater_type
from tamis.transforms.core.editor import Editor
from tamis.transforms.core.errors import RunError, nearest
from tamis.transforms.core.rater import Rater, Signal
from tamis.transforms.runtime.plugins import Plugin, Plugins

_KINDS: tuple[tuple[Literal["rater", "editor"], Plugins, Callable[[Plugin], Rater[Any] | Editor[Any]]], ...] = (
    ("rater", RATERS, example_rater),
    ("editor", EDITORS, example_editor),
)


@dataclass(frozen=True)
class ListedSignal:
    """A signal of a shipped or installed rater or editor."""

    signal: Signal
    component: str
    kind: Literal["rater", "editor"]
    package: str | None
    slow: bool


def list_signals() -> tuple[list[ListedSignal], list[str]]:
    """All signals that a recipe can measure here, and why the raters and editors of some packages
    cannot be listed."""
    listed: list[ListedSignal] = []
    problems: list[str] = []
    for kind, plugins, example in _KINDS:
        reserved = f"the name is that of {'an' if kind == 'editor' else 'a'} {kind} of Tamis"
        problems += (f"{plugin.name} of {plugin.package}: {reserved}" for plugin in plugins.shadowed)
        for plugin in plugins.all:
            try:
                plugins.find(plugin.name)
                component = example(plugin)
            except (ImportError, OSError, ValueError, RunError) as error:
                problems.append(f"{plugin.name}: {error}")
            else:
                listed += (
                    ListedSignal(signal, plugin.name, kind, plugin.package, component.slow) for signal in component.signals
                )
    return listed, problems


def hint_for_signal(name: str, measured: Sequence[str]) -> str | None:
    """How to get a signal of a rater that does not run: what to add to the recipe. None if no rater
    here measures such a signal, or if it is nearer to a `measured` one."""
    head = name.split(".")[0]
    if head in ELSEWHERE:
        plugin = RATERS.shipped.get(head)
        signals = example_rater(plugin).signals if plugin is not None else ()
        there = any(signal.name == name and signal.is_value for signal in signals)
        return f"the section {ELSEWHERE[head]} measures it: add it, or its option that this signal needs" if there else None
    plugin = RATERS.find(head) if head in RATERS.names else None
    if plugin is not None and rater_type(plugin).repeatable:
        return f"add the rater to rate, with a name of your choice: {head}: [{{name: NAME, …}}] measures NAME.…"
    if nearest(name, measured) is not None:
        return None
    entries = (entry for entry in list_signals()[0] if entry.signal.name.startswith(f"{entry.component}."))
    listed = {entry.signal.name: entry.component for entry in entries}
    own = [other for other in listed if other.split(".")[0] == head]
    if name in listed:
        return f"add rate: {{{head}: {{}}}}"
    if head == name and own:
        return f"it is a rater, with the signals {', '.join(own)}; add rate: {{{head}: {{}}}}"
    close = nearest(name, own or listed)
    return None if close is None else f"did you mean '{close}'? It needs rate: {{{listed[close]}: {{}}}}"


def could_exist(name: str, measured: Sequence[str], written: Mapping[str, Any]) -> bool:
    """Whether a signal that is not among the `measured` ones could be, were it not for errors in the
    sections of the recipe as it is `written`: they name what measures it, or something alike."""
    component, there = component_of(name), {component_of(other) for other in measured}
    if component in there:
        return any(entry.signal.name == name for entry in list_signals()[0])  # of an option
    head = component.split(".")[0]
    section = ELSEWHERE.get(head, "rate")
    if section not in ("rate", "edit"):
        return section in written
    steps, rate, scores = (written.get(name) or {} for name in ("edit", "rate", "scores"))
    if section == "edit":
        blocks = [written.get(name) or {} for name in ("per_source", "per_language")]
        if not isinstance(steps or [], list) or not all(isinstance(block, dict) for block in blocks):
            return True
        more = [block.get("edit") for each in blocks for block in each.values() if isinstance(block, dict)]
        every = [*steps, *(step for each in more if isinstance(each, list) for step in each)]
        named = {f"edit.{name}" for step in every if isinstance(step, dict) for name in step}
    elif not isinstance(rate, dict) or not isinstance(scores, dict):
        return True
    else:
        items = [item for value in rate.values() if isinstance(value, list) for item in value]
        own = [str(item["name"]) for item in items if isinstance(item, dict) and "name" in item]
        if len(own) < len(items) and head not in RATERS.names:
            return nearest(name, measured) is None
        named = {*map(str, rate), *map(str, scores), *own}
    return nearest(component, named - there) is not None


def component_of(name: str) -> str:
    """What measures a signal: `gopher`, `edit.repair`."""
    parts = name.split(".")
    return ".".join(parts[: 2 if parts[0] == "edit" else 1])


def signals_as_json() -> dict[str, Any]:
    """What `tamis raters --json` prints."""
    listed, problems = list_signals()
    signals = [
        {**asdict(entry.signal), entry.kind: entry.component, "package": entry.package or "tamis", "slow": entry.slow}
        for entry in listed
    ]
    return {"signals": signals, "problems": problems}


def signal_lines() -> Iterator[str]:
    """What `tamis raters` prints: each rater and editor with its signals, and their source if it is
    one."""
    listed, problems = list_signals()
    for (kind, name), entries in groupby(listed, key=lambda entry: (entry.kind, entry.component)):
        group = list(entries)
        sources = {entry.signal.source for entry in group}
        notes = [group[0].package or "tamis", *(["slow"] if group[0].slow else []), *(sources if len(sources) == 1 else ())]
        yield f"{name}{' (edit)' if kind == 'editor' else ''}: {', '.join(notes)}"
        for entry in group:
            signal, ends = entry.signal, (entry.signal.low, entry.signal.high)
            span = "" if None in ends else "{:g} to {:g}".format(*ends)
            source = f"; {signal.source}" if len(sources) > 1 else ""
            yield f"  {signal.name:<38} {signal.kind:<8} {signal.direction:<5} {span:<14} {signal.unit}{source}"
    for problem in problems:
        yield f"cannot be used: {problem}"
