"""Checks of what a section of a recipe names, other than signals: formats, packages, raters, names of scores."""

from __future__ import annotations

import re
from collections.abc import Collection, Sequence
from importlib.metadata import PackageNotFoundError, version
from typing import Any

from pydantic import ValidationError

from tamis.pipelines.recipe.checks.signal_checks import KnownSignals
from tamis.pipelines.recipe.field_messages import FieldErrors, field_messages
from tamis.transforms.core.errors import nearest
from tamis.transforms.core.options import Options
from tamis.transforms.core.rater import Rater
from tamis.transforms.dedup.minhash import Dedup
from tamis.transforms.rate.metadata_signals import MISTYPED
from tamis.transforms.rate.token_count import TokenCountRater
from tamis.transforms.read.input_options import AUTO, Input
from tamis.transforms.read.readers import READERS, options_type


def check_requirement(line: str) -> None:
    """Raises ValueError unless the package of a requirement, such as `tamis-readability>=1.2`, is
    installed in such a version."""
    from packaging.requirements import InvalidRequirement, Requirement

    try:
        requirement = Requirement(line)
    except InvalidRequirement as error:
        raise ValueError(f"should be a requirement of pip, such as tamis-readability>=1.2: {error}") from None
    if requirement.marker is not None and not requirement.marker.evaluate():
        return
    try:
        installed = version(requirement.name)
    except PackageNotFoundError:
        raise ValueError(f"the package {requirement.name} is not installed: pip install '{line}'") from None
    if not requirement.specifier.contains(installed, prereleases=True):
        raise ValueError(f"{requirement.name} {installed} is installed, not {requirement.specifier}: pip install '{line}'")


def check_format(name: str) -> None:
    """Raises ValueError unless files of this format can be read here."""
    if name != AUTO and READERS.find(name) is None:
        close = nearest(name, READERS.names)
        hint = f"did you mean '{close}'?" if close else f"formats are {', '.join([AUTO, *READERS.names])}"
        raise ValueError(f"no installed package reads this format: {hint}")


def check_reader_options(options: Input) -> None:
    """Raises FieldErrors unless the options of another package's reader are as it wants them."""
    try:
        model = options_type(options.format) if options.format != AUTO else Options
        model.model_validate(options.options)
    except ImportError as error:
        raise FieldErrors({("format",): str(error)}) from None
    except ValidationError as error:
        raise FieldErrors({("options", *place): message for place, message in field_messages(error, model).items()}) from None


def check_unedited(name: str, unedited: Collection[str], raters: Sequence[Rater[Any]]) -> None:
    """Raises ValueError unless this rater can run before the editors."""
    by_name = {rater.name: rater for rater in raters}
    if name not in by_name:
        running = ", ".join(sorted(by_name))
        raise ValueError(f"no rater of this recipe is called '{name}': raters are {running}; take it out, or add it to rate")
    rater = by_name[name]
    if rater.compares or isinstance(rater, TokenCountRater):
        raise ValueError(f"'{name}' is about the text that is written: it must see what the editors leave, so take it out")
    later = {signal.name: each.name for each in raters if each.name not in unedited for signal in each.signals}
    if needed := [later[need] for need in rater.needs if need in later]:
        raise ValueError(f"'{name}' needs signals of '{needed[0]}', which is measured later: add that, too")


def check_duplicates_are_counted(dedup: Dedup | None) -> None:
    if dedup is None or not dedup.exact:
        raise ValueError("it repeats documents by their duplicates, and this recipe looks for none: add dedup: {exact: true}")


def check_score_name(name: str, taken: Collection[str]) -> None:
    if not re.fullmatch("[a-z][a-z0-9_]*", name):
        raise ValueError("a name of scores is of small letters, digits and _")
    if name in taken:
        raise ValueError(f"a rater is called '{name}': choose another name")


def check_declared_name(name: str, scores: Collection[str]) -> None:
    home, *fields = name.split(".")
    if home not in ("metadata", *scores) or not fields or not all(fields):
        raise ValueError("a signal that documents bring along is called metadata.FIELD, or NAME.COLUMN of the scores NAME")
    if name == MISTYPED:
        raise ValueError("this name counts the fields of another type than declared")


def check_counted(signals: KnownSignals) -> None:
    if "gopher.stop_words" not in signals:
        raise ValueError("the rater gopher counts stop words: add rate.gopher, or take them out")
