"""The section `rate` of a recipe: the raters that run, each with options of its own model."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from functools import cached_property, partial
from typing import Any

from pydantic import ConfigDict, GetJsonSchemaHandler, ModelWrapValidatorHandler, ValidationInfo, create_model, model_validator
from pydantic.fields import FieldInfo
from pydantic.json_schema import JsonSchemaValue
from pydantic_core import CoreSchema

from tamis.pipelines.recipe.field_messages import FieldErrors
from tamis.pipelines.recipe.raters import ELSEWHERE, RATERS, check_names, make_rater, rater_type, unknown_rater
from tamis.transforms.core.options import Options
from tamis.transforms.core.rater import Rater

OBJECTS, FINISHED = "raters", "finished"
"""Keys of the context in which a recipe is checked: raters that are objects of the program; and
whether the recipe is that of a finished run, so that it may name raters that are gone."""

ALWAYS = "tokens"


class Rating(Options):
    """The raters that run, by name. `tokens` always runs, since budgets and orders count tokens."""

    model_config = ConfigDict(extra="allow")

    _objects: dict[str, Rater[Any]]
    _complete: bool = True  # nothing is left out of the recipe of a finished run

    @cached_property
    def raters(self) -> dict[str, tuple[Rater[Any], ...]]:
        """The raters by their key in the recipe, in the order of their columns."""
        return {name: self._make(name) for name in self.model_extra or ()}

    @property
    def complete(self) -> bool:
        """Whether every rater of the recipe is installed: only that of a finished run need not be."""
        return self._complete

    @model_validator(mode="wrap")
    @classmethod
    def _options_fit(cls, value: Any, handler: ModelWrapValidatorHandler[Rating], info: ValidationInfo) -> Rating:
        if not isinstance(value, dict):
            return handler(value)
        context = info.context or {}
        objects = _by_name(context.get(OBJECTS, ()))
        named = {name: options for name, options in value.items() if name not in objects}
        fields = _fields({ALWAYS, *named}, lenient=bool(context.get(FINISHED)))
        absent = named.keys() - fields if context.get(FINISHED) else set()
        checked = _model(fields).model_validate({name: named[name] for name in named if name not in absent})
        options = {name: getattr(checked, name) for name in fields}
        options = {name: each for name, each in options.items() if each is not None and each != ()}
        kinds = sorted(options.keys() | objects.keys(), key=column_order)
        rating = handler({name: objects[name].options if name in objects else options[name] for name in kinds})
        rating._objects, rating._complete = objects, not absent
        FieldErrors.collect({(name,): partial(rating._make, name) for name in kinds})
        rating._check_names_differ()
        return rating

    def _make(self, name: str) -> tuple[Rater[Any], ...]:
        """The raters of one kind. Raises ValueError."""
        if name in self._objects:
            check_names(self._objects[name])
            return (self._objects[name],)
        plugin, options = RATERS.find(name), getattr(self, name)
        assert plugin is not None
        try:
            return tuple(make_rater(plugin, each) for each in (options if isinstance(options, tuple) else (options,)))
        except (ImportError, OSError) as error:
            raise ValueError(str(error)) from None

    def _check_names_differ(self) -> None:
        own = [rater.name for name, raters in self.raters.items() for rater in raters if rater.name != name]
        names = [*sorted(RATERS.shipped.keys() | ELSEWHERE.keys() | self.raters.keys()), *own]
        if twice := [name for name, times in Counter(names).items() if times > 1]:
            raise ValueError(f"two raters are called '{twice[0]}': choose another name for one of them")

    @classmethod
    def __get_pydantic_json_schema__(cls, schema: CoreSchema, handler: GetJsonSchemaHandler) -> JsonSchemaValue:
        return handler(_model(_fields(RATERS.names, lenient=True)).__pydantic_core_schema__)

    @classmethod
    def all_fields(cls) -> Mapping[str, FieldInfo]:
        """The fields that the section can have here."""
        return _model(_fields(RATERS.names, lenient=True)).model_fields

    @classmethod
    def unknown_field(cls, name: str) -> str:
        """The message for a field that it does not have."""
        return unknown_rater(name)


def _by_name(objects: Sequence[Any]) -> dict[str, Rater[Any]]:
    """The raters that are objects of the program. Raises ValueError if one is none, or has a name
    that is taken."""
    by_name: dict[str, Rater[Any]] = {}
    for rater in objects:
        if not isinstance(rater, Rater):
            raise ValueError(f"{rater!r} is no rater: make one of a function with tamis.rater(name=…, version=…)(function)")
        if rater.name in (*RATERS.shipped, *ELSEWHERE, *by_name):
            raise ValueError(f"two raters are called '{rater.name}': give yours another name")
        by_name[rater.name] = rater
    return by_name


def column_order(name: str) -> tuple[int, str]:
    """Sorts raters by their columns: shipped ones as in their table, then others by name."""
    shipped = list(RATERS.shipped)
    return shipped.index(name) if name in shipped else len(shipped), name


def _fields(names: Iterable[Any], lenient: bool) -> dict[str, Any]:
    """The fields of the model that checks the options of these raters. A name that nothing provides
    has none; if `lenient`, neither has one that cannot be loaded. Else raises FieldErrors."""
    fields: dict[str, Any] = {}
    errors: dict[tuple[str | int, ...], str] = {}
    for name in sorted(set(names) - ELSEWHERE.keys(), key=lambda name: column_order(str(name))):
        try:
            plugin = RATERS.find(name)
            if plugin is not None:
                kind = rater_type(plugin)
                fields[name] = (tuple[kind.options_type, ...], ()) if kind.repeatable else (kind.options_type | None, None)  # type: ignore[name-defined]
        except (ImportError, ValueError) as error:
            errors[(name,)] = str(error)
    if ALWAYS in fields:
        kind = rater_type(RATERS.shipped[ALWAYS])
        fields[ALWAYS] = (kind.options_type, kind.options_type())
    if errors and not lenient:
        raise FieldErrors(errors)
    return fields


def _model(fields: dict[str, Any]) -> type[Options]:
    return create_model("Rating", __base__=Options, __doc__=Rating.__doc__, **fields)
