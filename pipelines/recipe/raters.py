"""The raters that a recipe can name: the shipped ones and those of installed packages."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from itertools import groupby
from typing import Any, TypeVar, get_args

from pydantic import ValidationError

from tamis.transforms.core.component import Component
from tamis.transforms.core.errors import RunError, nearest
from tamis.transforms.core.rater import Direction, Kind, Rater, Signal
from tamis.transforms.runtime.plugins import Plugin, Plugins

RATERS = Plugins(
    "tamis.raters",
    {
        "tokens": "tamis.transforms.rate.token_count:TokenCountRater",
        "gopher": "tamis.transforms.rate.gopher:GopherRater",
        "repetition": "tamis.transforms.rate.repetition:RepetitionRater",
        "c4": "tamis.transforms.rate.c4:C4Rater",
        "fineweb": "tamis.transforms.rate.fineweb:FineWebRater",
        "compression": "tamis.transforms.rate.compression:CompressionRater",
        "fasttext": "tamis.transforms.rate.fasttext:FastTextRater",
        "contamination": "tamis.transforms.decontaminate.ngrams:Contamination",
        "language": "tamis.transforms.rate.language:LanguageRater",
    },
)
"""The shipped raters in the order of their columns, which fingerprints cover, and where they are."""

ELSEWHERE = {"contamination": "decontaminate", "metadata": "signals", "edit": "edit"}
"""Raters that another section of the recipe sets up. No rater in `rate` has these names."""


ComponentT = TypeVar("ComponentT", bound=Component[Any])


def component_type(plugin: Plugin, base: type[Any]) -> type[Any]:
    """The class of a rater or an editor. Raises ImportError if it cannot be loaded or is none."""
    loaded = plugin.load()
    if not (isinstance(loaded, type) and issubclass(loaded, base)):
        raise ImportError(
            f"{plugin.package} provides the {base.__name__.lower()} '{plugin.name}', but {plugin.target} is no subclass of "
            f"tamis.{base.__name__}"
        )
    return loaded


def make_component(plugin: Plugin, kind: type[ComponentT], options: Any) -> ComponentT:
    """A rater or an editor with checked options. Raises ValueError if it is not called as it should
    be."""
    try:
        component = kind(options)
    except (ImportError, OSError, ValueError, RunError):
        raise
    except Exception as error:  # of another package
        raise ValueError(f"{type(error).__name__}: {error}") from error
    component.package = plugin.package
    if not component.repeatable and component.name != plugin.name:
        raise ValueError(f"{plugin.package} provides it as '{plugin.name}', but it calls itself '{component.name}'")
    return component


def rater_type(plugin: Plugin) -> type[Rater[Any]]:
    """The class of a rater. Raises ImportError if it cannot be loaded or is none."""
    return component_type(plugin, Rater)


def make_rater(plugin: Plugin, options: Any) -> Rater[Any]:
    """A rater with checked options. Raises ValueError if its name or signals break the contract."""
    rater = make_component(plugin, rater_type(plugin), options)
    check_names(rater)
    return rater


def check_names(rater: Rater[Any]) -> None:
    """Raises ValueError unless the signals have names that begin with that of the rater, and kinds
    and directions that exist."""
    check_declared(rater.signals, f"{rater.name}.")


def check_declared(signals: Sequence[Signal], prefix: str) -> None:
    """Raises ValueError unless the signals of a component have kinds and directions that exist, and
    names that begin as they should."""
    for signal in signals:
        if signal.kind not in get_args(Kind) or signal.direction not in get_args(Direction):
            raise ValueError(f"the kind of '{signal.name}' is '{signal.kind}', its direction '{signal.direction}': unknown")
    strangers = [signal.name for signal in signals if not signal.name.startswith(prefix)]
    if strangers or not signals:
        raise ValueError(f"the names of its signals must begin with '{prefix}': {', '.join(strangers) or 'it has none'}")


def unknown_rater(name: str) -> str:
    """The message for a rater that nothing provides."""
    if name in ELSEWHERE:
        return f"no such rater: it follows from the section '{ELSEWHERE[name]}'"
    names = [known for known in RATERS.names if known not in ELSEWHERE]
    if close := nearest(name, names, cutoff=0.7):
        return f"no such rater; did you mean '{close}'?"
    return f"no installed package provides this rater: pip install the one that does. Raters here are {', '.join(names)}"


def hint_for_signal(name: str, measured: Sequence[str]) -> str | None:
    """How to get a signal of a rater that does not run: what to add to the recipe. None if no rater
    here measures such a signal, or if it is nearer to a `measured` one."""
    head = name.split(".")[0]
    if head in ELSEWHERE:
        return None
    plugin = RATERS.find(head) if head in RATERS.names else None
    if plugin is not None and rater_type(plugin).repeatable:
        return f"add the rater to rate, with a name of your choice: {head}: [{{name: NAME, …}}] measures NAME.…"
    if nearest(name, measured) is not None:
        return None
    listed = {entry.signal.name: entry.rater for entry in list_signals()[0] if entry.signal.name.startswith(f"{entry.rater}.")}
    own = [other for other in listed if other.split(".")[0] == head]
    if name in listed:
        return f"add rate: {{{head}: {{}}}}"
    if head == name and own:
        return f"it is a rater, with the signals {', '.join(own)}; add rate: {{{head}: {{}}}}"
    close = nearest(name, own or listed)
    return None if close is None else f"did you mean '{close}'? It needs rate: {{{listed[close]}: {{}}}}"


@dataclass(frozen=True)
class ListedSignal:
    """A signal of a shipped or installed rater."""

    signal: Signal
    rater: str
    package: str | None
    slow: bool


def list_signals() -> tuple[list[ListedSignal], list[str]]:
    """All signals that a recipe can measure here, and why the raters of some packages cannot be
    listed."""
    listed: list[ListedSignal] = []
    problems = [f"{plugin.name} of {plugin.package}: the name is that of a rater of Tamis" for plugin in RATERS.shadowed]
    for plugin in RATERS.all:
        try:
            RATERS.find(plugin.name)
            rater = example_rater(plugin)
        except (ImportError, OSError, ValueError, RunError) as error:
            problems.append(f"{plugin.name}: {error}")
        else:
            listed += (ListedSignal(signal, plugin.name, plugin.package, rater.slow) for signal in rater.signals)
    return listed, problems


def example_rater(plugin: Plugin) -> Rater[Any]:
    """A rater with default options, or with those that it is shown with."""
    kind = rater_type(plugin)
    try:
        return make_rater(plugin, kind.options_type.model_validate(dict(kind.example)))
    except ValidationError as error:
        raise ValueError(f"its options have no default; give it an `example`: {error.errors()[0]['msg']}") from error


def signals_as_json() -> dict[str, Any]:
    """What `tamis raters --json` prints."""
    listed, problems = list_signals()
    signals = [
        {**asdict(entry.signal), "rater": entry.rater, "package": entry.package or "tamis", "slow": entry.slow}
        for entry in listed
    ]
    return {"signals": signals, "problems": problems}


def signal_lines() -> Iterator[str]:
    """What `tamis raters` prints: each rater with its signals, and their source if it is one."""
    listed, problems = list_signals()
    for name, entries in groupby(listed, key=lambda entry: entry.rater):
        group = list(entries)
        sources = {entry.signal.source for entry in group}
        notes = [group[0].package or "tamis", *(["slow"] if group[0].slow else []), *(sources if len(sources) == 1 else ())]
        yield f"{name}: {', '.join(notes)}"
        for entry in group:
            signal, ends = entry.signal, (entry.signal.low, entry.signal.high)
            span = "" if None in ends else "{:g} to {:g}".format(*ends)
            source = f"; {signal.source}" if len(sources) > 1 else ""
            yield f"  {signal.name:<38} {signal.kind:<8} {signal.direction:<5} {span:<14} {signal.unit}{source}"
    for problem in problems:
        yield f"cannot be used: {problem}"
