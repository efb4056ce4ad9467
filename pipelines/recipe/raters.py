"""The raters that a recipe can name: the shipped ones and those of installed packages."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, TypeVar, get_args

from pydantic import ValidationError

from tamis.transforms.core.component import Component
from tamis.transforms.core.errors import RunError, nearest
from tamis.transforms.core.options import Options
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
        "contamination": "tamis.transforms.decontaminate.contamination_rater:Contamination",
        "language": "tamis.transforms.rate.language:LanguageRater",
        "trained": "tamis.transforms.rate.trained.trained:TrainedRater",
        "classifier": "tamis.transforms.rate.neural.classifier:ClassifierRater",
        "embedding": "tamis.transforms.rate.neural.embedding:EmbeddingRater",
        "word_lists": "tamis.transforms.rate.word_lists.word_list_rater:WordListRater",
        "url_lists": "tamis.transforms.urls.url_lists:UrlListRater",
        "consent": "tamis.transforms.urls.consent:ConsentRater",
    },
)
"""The shipped raters in the order of their columns, which fingerprints cover, and where they are."""

ELSEWHERE = {
    "contamination": "decontaminate",
    "metadata": "signals",
    "edit": "edit",
    "url_lists": "url_lists",
    "consent": "consent",
}
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


def example_rater(plugin: Plugin) -> Rater[Any]:
    """A rater with default options, or with those that it is shown with."""
    return make_rater(plugin, example_options(rater_type(plugin)))


def example_options(kind: type[Component[Any]]) -> Options:
    """Default options, or those that a component is shown with. Raises ValueError if it has
    neither."""
    try:
        return kind.options_type.model_validate(dict(kind.example))
    except ValidationError as error:
        raise ValueError(f"its options have no default; give it an `example`: {error.errors()[0]['msg']}") from error
