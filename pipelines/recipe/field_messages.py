"""Says what is wrong with a field of a recipe, and how its value is written."""

import difflib
import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Any, Literal, get_args, get_origin

from pydantic import BaseModel, ValidationError, WithJsonSchema
from pydantic.fields import FieldInfo

from tamis.transforms.core.errors import OTHER_NAMES, nearest

FieldPath = tuple[str | int, ...]  # keys and list indices that lead to a field


class Unknowable(Exception):
    """Raised by a check that needs something which has an error of its own."""


class FieldErrors(ValueError):
    """Raised by the validator of a field: messages by their place below it."""

    def __init__(self, messages: Mapping[FieldPath, str]) -> None:
        self.messages = messages
        super().__init__("; ".join(messages.values()))

    @classmethod
    def collect(cls, checks: Mapping[FieldPath, Callable[[], object]]) -> None:
        """Runs every check that can be made, then raises the messages of all that failed."""
        messages: dict[FieldPath, str] = {}
        for path, check in checks.items():
            try:
                check()
            except Unknowable:
                continue
            except ValueError as error:
                messages[path] = str(error)
        if messages:
            raise cls(messages)


MISSING = "is missing"

_WORDS = {
    "missing": MISSING,
    "int_parsing": "should be a whole number",
    "int_type": "should be a whole number",
    "int_from_float": "should be a whole number",
    "float_parsing": "should be a number",
    "float_type": "should be a number",
    "bool_parsing": "should be true or false",
    "bool_type": "should be true or false",
}
"""Messages by pydantic's type of error."""


def field_messages(error: ValidationError, model: type[BaseModel]) -> dict[FieldPath, str]:
    """pydantic's errors as messages by place."""
    return {(*entry["loc"], *below): text for entry in error.errors() for below, text in messages_of(entry, model)}


def messages_of(entry: Any, model: type[BaseModel]) -> Iterator[tuple[FieldPath, str]]:
    entry = {**entry, "loc": tuple(key for key in entry["loc"] if not str(key).startswith("["))}  # tags of unions
    raised = entry.get("ctx", {}).get("error")
    if isinstance(raised, FieldErrors):
        yield from raised.messages.items()
    elif entry["type"] == "extra_forbidden":
        yield (), _no_such_field(entry["loc"], model)
    else:
        yield (), _message(entry, model)


def _message(entry: Any, model: type[BaseModel]) -> str:
    """The message for a value that does not fit, with what would."""
    kind, value, limits = entry["type"], entry["input"], entry.get("ctx", {})
    if kind in ("list_type", "tuple_type"):
        return _should_be_list(entry, model)
    if kind in ("dict_type", "model_type"):
        return _should_be_mapping(entry, model)
    if kind == "string_type":
        if not isinstance(value, int | float):
            return f"should be a text, not a {'list' if isinstance(value, list) else 'mapping'}"
        written = ("yes" if value else "no") if isinstance(value, bool) else str(value)
        number = "; limits of a number are min and max" if "one_of" in entry["loc"] and not isinstance(value, bool) else ""
        return f"is {_shown(value)}, not a text: put it in quotes, as in '{written}'{number}"
    if kind == "string_pattern_mismatch":
        field = _field_at(entry["loc"], model)
        expected = field.description if field is not None and field.description else f"it should match {limits['pattern']}"
        return f"'{_shown(value)}' does not fit: {expected}"
    if kind == "literal_error":
        names = re.findall(r"'([^']*)'", limits["expected"])
        close = nearest(str(value), names, cutoff=0.7)
        return f"should be {limits['expected']}" + (f"; did you mean '{close}'?" if close else "")
    text = _WORDS.get(kind) or str(entry["msg"]).removeprefix("Value error, ").removeprefix("Input ")
    if kind in ("int_parsing", "float_parsing") and isinstance(value, str):
        share = re.fullmatch(r"([\d.]+)\s?%", value) if kind == "float_parsing" else None
        return f"{text}, not {_shown(value)}" + (
            f": a share is written {float(share[1]) / 100:g}" if share else _written(value)
        )
    above_one = kind in ("less_than", "less_than_equal") and limits.get("le", limits.get("lt")) == 1
    if above_one and isinstance(value, (int, float)) and value >= 2:
        return f"{text}: it is a share" + (f", and {value:g} % is written {value / 100:g}" if value <= 100 else "")
    return text


_LETTERS = {"thousand": "k", "million": "M", "billion": "B", "trillion": "T"} | {
    f"{unit}byte{s}": unit[0].upper() for unit in ("kilo", "mega", "giga", "tera") for s in ("", "s")
}
"""How units are written, by their words."""


def _written(number: str) -> str:
    """How a number with a unit in words, or with commas, is written; nothing for other texts."""
    match = re.fullmatch(r"([\d.]+|\d{1,3}(?:,\d{3})+)\s*([A-Za-z]*)", number.strip())
    letter = _LETTERS.get(match[2].lower(), "") if match else ""
    plain = match is not None and not match[2] and "," in match[1]
    return f": write {match[1].replace(',', '')}{letter}" if match and (letter or plain) else ""


def _should_be_list(entry: Any, model: type[BaseModel]) -> str:
    """How to write the value as a list, or what the items should be."""
    value = entry["input"]
    field = _field_at(entry["loc"], model)
    items = [] if field is None else [inner for inner in models_in(field.annotation) if not hasattr(inner, "all_fields")]
    if isinstance(value, dict) and (not items or items[0].model_fields.keys() >= value.keys()):
        texts = field is not None and not items and str in get_args(field.annotation)
        return "should be a list of texts" if texts else "should be a list: begin each item with a hyphen, as in `- NAME: …`"
    if items:
        return f"should be a list, of which each item has {', '.join(items[0].model_fields)}"
    item = f"'{_shown(value)}'" if isinstance(value, bool) else _shown(value)
    if isinstance(value, str | bool):
        return f"should be a list: write [{item}]"
    return (
        f"should be a list: {field.description.removeprefix('list of ')}"
        if field is not None and field.description
        else "should be a list"
    )


def _should_be_mapping(entry: Any, model: type[BaseModel]) -> str:
    """What fields, or what kind of names, there should be instead of the value."""
    value = entry["input"]
    if isinstance(value, list) and value and all(isinstance(item, str) for item in value):
        texts = _field_of_texts(_models_at(entry["loc"], model))
        if texts is not None:
            return f"should be a mapping: write {{{texts}: [{', '.join(value[:3])}]}}"
        return f"should be a mapping: write {{{', '.join(f'{item}: …' for item in value[:3])}}}"
    if isinstance(value, list) and value and all(isinstance(item, dict) for item in value):
        return "should be a mapping, not a list: take the hyphens away"
    if entry["type"] == "dict_type":
        example = f", as in {{NAME: {_shown(value)}}}" if isinstance(value, int | float) else ""
        return f"should be a mapping from names{example}"
    models = [inner for inner in _models_at(entry["loc"], model) if not hasattr(inner, "unknown_field")]
    names = list(models[0].model_fields) if models and models[0] is not model else []
    if isinstance(value, str) and (fields := _as_fields(value, models[0] if names else None)):
        return f"should be a mapping: write {fields}"
    expected = f"{', '.join(names[:8])}{', …' if len(names) > 8 else ''}" if names else "fields"
    optional = bool(names) and not any(field.is_required() for field in models[0].model_fields.values())
    defaults = "; {} takes all defaults" if value is True and optional and len(entry["loc"]) < 3 else ""
    return f"should be a mapping of {expected}{defaults}"


def _field_of_texts(models: Sequence[type[BaseModel]]) -> str | None:
    """The first field of a section that is a list of texts."""
    for inner in models[:1]:
        for name, field in inner.model_fields.items():
            if field.annotation == tuple[str, ...]:
                return name
    return None


def _as_fields(value: str, model: type[BaseModel] | None) -> str | None:
    """How the fields of a section are written in the place of one value, if that can be told."""
    if model is None or value in model.model_fields:
        return f"{{{value}: {{}}}}"
    for name, field in model.model_fields.items():
        if field.annotation == tuple[str, ...]:
            return f"{{{name}: [{_shown(value)}]}}"
        schemas = [mark.json_schema or {} for mark in field.metadata if isinstance(mark, WithJsonSchema)]
        names = get_args(field.annotation) if get_origin(field.annotation) is Literal else ()
        if value in names or any(value in schema.get("enum", ()) for schema in schemas):
            return f"{{{name}: {value}}}"
    return None


def _shown(value: Any) -> str:
    if isinstance(value, bool):
        return str(value).lower()
    text = str(value)
    return text if len(text) <= 40 else f"{text[:40]}…"


_NOT_THIS_NUMBER = ("should be a number", "should be a whole number", "should be less", "should be greater")


def one_of(texts: Iterable[str]) -> str:
    """The message of a field that may have several types, none of which fits."""
    unique = list(dict.fromkeys(texts))
    if any(text.startswith("should be a number") for text in unique):
        unique = [text for text in unique if not text.startswith("should be a whole number")]
    if any(text.startswith(_NOT_THIS_NUMBER) for text in unique):
        unique = [text for text in unique if not text.startswith(("should be a mapping", "should be a list"))]
    return "; or ".join(unique)


def _no_such_field(loc: FieldPath, model: type[BaseModel]) -> str:
    """The message for an unknown field, with a hint: the field of a similar name, the place of a
    field of this name, or all fields."""
    models = _models_at(loc[:-1], model)
    places = [place for place in _places_of(str(loc[-1]), model, "") if place != ".".join(map(str, loc))]
    for inner in models:
        if hasattr(inner, "unknown_field"):
            return str(inner.unknown_field(str(loc[-1]))) + (f"; there is {places[0]}" if places else "")
    close = similar_field(loc, model)
    alike = str(loc[0]) in OTHER_NAMES or difflib.get_close_matches(str(loc[0]), model.model_fields, n=1, cutoff=0.85)
    if places and len(loc) == 1 and not alike:
        return f"no such field; did you mean '{places[0]}'?"
    if close is not None and "." in str(loc[-1]):
        return f"no such field: it belongs under {close}"
    if close is not None:
        return f"no such field; did you mean '{close}'?"
    other = OTHER_NAMES.get(str(loc[-1]), "").rsplit(".", 1)[-1]
    if len(loc) == 1 and other and (places := list(_places_of(other, model, ""))):
        return f"no such field; did you mean '{places[0]}'?"
    names = [name for model in models for name in model.model_fields]
    return "no such field" + (f"; fields are {', '.join(names)}" if names else "")


def similar_field(loc: FieldPath, model: type[BaseModel]) -> str | None:
    """The field of this section that an unknown one was probably meant to be."""
    fields = [field for inner in _models_at(loc[:-1], model) for field in inner.model_fields.items()]
    mappings = [name for name, field in fields if get_origin(field.annotation) is dict]
    if len(loc) > 1 and "." in str(loc[-1]) and len(mappings) == 1:  # a signal in a block, which has one place for them
        return mappings[0]
    return nearest(str(loc[-1]), [name for name, _ in fields])


def _places_of(name: str, model: type[BaseModel], prefix: str, depth: int = 3) -> Iterator[str]:
    """The dotted paths of the fields of this name, those of the upper sections first."""
    fields = fields_of(model)
    if name in fields:
        yield prefix + name
    if depth > 1:
        for field, info in fields.items():
            for inner in models_in(info.annotation):
                yield from _places_of(name, inner, f"{prefix}{field}.", depth - 1)


def _field_at(loc: FieldPath, model: type[BaseModel]) -> FieldInfo | None:
    """The field at a place; None for what is a name or a number there."""
    fields = (fields_of(inner).get(str(loc[-1])) for inner in _models_at(loc[:-1], model))
    return next((field for field in fields if field is not None), None)


def _models_at(loc: FieldPath, model: type[BaseModel]) -> list[type[BaseModel]]:
    """The models that may stand at a place."""
    models = [model]
    for key in loc:
        every = [fields_of(model) for model in models]
        annotations = [fields[str(key)].annotation for fields in every if str(key) in fields]
        # Keys of mappings, lists and unions are no fields: the models stay the same.
        models = [inner for annotation in annotations for inner in models_in(annotation)] or models
    return models


def fields_of(model: type[BaseModel]) -> Mapping[str, FieldInfo]:
    """The fields of a model; of the section `rate`, with those of installed packages."""
    fields: Mapping[str, FieldInfo] = model.all_fields() if hasattr(model, "all_fields") else model.model_fields
    return fields


def models_in(annotation: Any) -> Iterator[type[BaseModel]]:
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        yield annotation
    for argument in get_args(annotation):
        yield from models_in(argument)
