"""Lists every signal that a recipe can measure, for `tamis raters`."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from itertools import groupby
from typing import Any, Literal

from tamis.pipelines.recipe.editing import EDITORS, example_editor
from tamis.pipelines.recipe.raters import RATERS, example_rater
from tamis.transforms.core.editor import Editor
from tamis.transforms.core.errors import RunError
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
