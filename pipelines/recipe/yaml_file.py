"""Reads recipes as plain YAML, keeps the line of every field for errors, and applies `--set`."""

import difflib
import re
from collections.abc import Callable, Iterable, Iterator, Mapping, MutableSet, Sequence
from dataclasses import dataclass
from types import UnionType
from typing import Annotated, Any, Literal, TypeVar, Union, get_args, get_origin

import yaml
from pydantic import BaseModel, ValidationError, WithJsonSchema
from pydantic.fields import FieldInfo

from tamis.transforms.core.errors import OTHER_NAMES, RunError, nearest

FieldPath = tuple[str | int, ...]  # keys and list indices that lead to a field

T = TypeVar("T")

_MAX_CHARACTERS, _MAX_DEPTH = 1 << 20, 32


@dataclass(frozen=True)
class Problem:
    """One error in a recipe: its place (`file:line`, or the option), the field, and a message."""

    place: str
    field: str
    message: str

    def __str__(self) -> str:
        return ": ".join(filter(None, (self.place, self.field, self.message)))


class RecipeError(RunError):
    """An invalid recipe. `problems` lists all errors."""

    def __init__(self, *problems: Problem) -> None:
        self.problems = problems
        super().__init__("\n".join(map(str, problems)))


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


class RecipeFile:
    """The fields of a recipe and their places. Raises RecipeError unless it is plain YAML."""

    def __init__(self, file: str, text: str) -> None:
        self.file = file
        self.places: dict[FieldPath, str] = {(): f"{file}:1"}
        root = self._read(text, file)
        self.data = self._plain(root, file) if root is not None else {}
        if not isinstance(self.data, dict):
            raise RecipeError(Problem(f"{file}:1", "recipe", "should be a mapping of sections, such as 'rate:'"))
        if root is not None:
            self.places |= self._places(root, ())

    def set(self, assignment: str, model: type[BaseModel]) -> None:
        """Sets `section.field=value`, with the value in YAML; lists are indexed from 0. `model`
        tells which keys are names, which may have dots: thresholds.gopher.word_count.min."""
        where = f"--set {assignment}"
        path, separator, value = assignment.partition("=")
        if not separator or not all(path.split(".")):
            raise RecipeError(Problem(where, "", "should have the form section.field=value"))
        root = self._read(value, where)
        self.put(_keys(path.split("."), model), None if root is None else self._plain(root, where), where)

    def put(self, path: Sequence[str], value: object, where: str) -> None:
        """Sets `value` at `path`, adding missing sections. `where` is its place in errors."""
        container: Any = self.data
        for depth, key in enumerate(path):
            index: str | int = key
            if isinstance(container, list):
                if not key.isdecimal() or int(key) >= len(container):
                    message = f"has {len(container)} entries, numbered from 0, so there is no '{key}'"
                    raise RecipeError(Problem(where, ".".join(path[:depth]), message))
                index = int(key)
            elif not isinstance(container, dict):
                raise RecipeError(Problem(where, ".".join(path[:depth]), f"is {container!r}, which has no field '{key}'"))
            if depth == len(path) - 1:
                container[index] = value
            elif isinstance(container, list) or container.get(index) is not None:
                container = container[index]
            else:
                container[index] = container = {}
                self.places[_within(self.data, path[: depth + 1])] = where
        at = _within(self.data, path)
        self.places = {field: place for field, place in self.places.items() if field[: len(at)] != at} | {at: where}

    def check(
        self, model: type[BaseModel], validate: Callable[[dict[str, Any], frozenset[str]], T], found: Sequence[Problem] = ()
    ) -> T:
        """What `validate` makes of the fields. Raises RecipeError with all errors, those `found`
        before included. An error hides others, of what depends on its field: so each field with an
        error is left out, and the rest is validated again, with the names of the sections that lack
        something."""
        problems: dict[FieldPath, Problem] = {}
        left_out: set[FieldPath] = set()
        meant: set[FieldPath] = set()  # fields that are missing because they are misspelt
        while True:
            try:
                valid = validate(self.data, frozenset(str(path[0]) for path in left_out))
            except ValidationError as error:
                new = self._problems(error, model, meant)
                follows = {
                    path for path in new if any(path[: len(gone)] == gone or path == gone[: len(path)] for gone in left_out)
                }
                problems |= {path: problem for path, problem in new.items() if path not in follows}
                before = len(left_out)
                left_out |= {gone for path in new if (gone := self._leave_out(path))}
                if len(left_out) > before:
                    continue
            break
        if problems or found:
            order = {path: number for number, path in enumerate(self.places)}
            sorted_paths = sorted(problems, key=lambda path: order[self._placed_parent(path)])
            raise RecipeError(*(problems[path] for path in sorted_paths), *found)
        return valid

    def _leave_out(self, path: FieldPath) -> FieldPath:
        """Removes the innermost field of a mapping around a place, and returns its place; () if there
        is none."""
        while path and (isinstance(path[-1], int) or _within(self.data, path) != path):
            path = path[:-1]
        if path:
            container = self.data
            for key in path[:-1]:
                container = container[key]
            del container[path[-1]]
        return path

    def _problems(
        self, error: ValidationError, model: type[BaseModel], meant: MutableSet[FieldPath]
    ) -> dict[FieldPath, Problem]:
        """pydantic's errors as problems by their place. Adds the fields that misspelt ones were `meant`
        to be, which are not told to be missing."""
        messages: dict[FieldPath, list[str]] = {}
        guesses: set[FieldPath] = set()
        for entry in error.errors():
            path = _within(self.data, entry["loc"])
            if entry["type"] == "missing":
                path = (*path, entry["loc"][-1])
            elif len(path) < len(entry["loc"]):
                guesses.add(path)  # pydantic tried the members of a union
            if entry["type"] == "extra_forbidden" and (close := _similar_field(entry["loc"], model)) is not None:
                meant.add((*path[:-1], close))
            for below, message in _messages(entry, model):
                messages.setdefault((*path, *below), []).append(message)
        for path in guesses:
            if any(len(other) > len(path) and other[: len(path)] == path for other in messages):
                messages.pop(path, None)
        messages = {path: texts for path, texts in messages.items() if path not in meant or texts != [_WORDS["missing"]]}
        return {
            path: Problem(self.places[self._placed_parent(path)], ".".join(map(str, path)), _one_of(texts))
            for path, texts in messages.items()
        }

    def _placed_parent(self, path: FieldPath) -> FieldPath:
        """The field, or the innermost section around it, whose place is known."""
        return next(path[:length] for length in range(len(path), -1, -1) if path[:length] in self.places)

    def _read(self, text: str, where: str) -> yaml.Node | None:
        """The nodes of the YAML text. Raises RecipeError for aliases, with which a few lines may
        expand without limit; for long texts, since PyYAML takes quadratic time; and for deep
        nesting, on which it recurses."""
        if len(text) > _MAX_CHARACTERS:
            message = f"is longer than {_MAX_CHARACTERS:,} characters; put long lists of files into an @list"
            raise RecipeError(Problem(where, "YAML", message))
        depth = 0
        try:
            for event in yaml.parse(text, yaml.SafeLoader):
                depth += isinstance(event, yaml.CollectionStartEvent) - isinstance(event, yaml.CollectionEndEvent)
                if depth > _MAX_DEPTH:
                    raise RecipeError(self._problem(where, event.start_mark, f"is nested more than {_MAX_DEPTH} levels deep"))
                if isinstance(event, yaml.AliasEvent):
                    message = f"aliases are not supported: replace *{event.anchor} with its content"
                    raise RecipeError(self._problem(where, event.start_mark, message))
            return yaml.compose(text, yaml.SafeLoader)
        except yaml.YAMLError as error:
            raise self._unreadable(where, error) from None

    def _plain(self, node: yaml.Node, where: str) -> Any:
        """The node as plain data. Raises RecipeError for object tags, and values out of range."""
        try:
            return yaml.SafeLoader("").construct_document(node)
        except (yaml.YAMLError, ValueError, OverflowError) as error:
            raise self._unreadable(where, error) from None

    def _unreadable(self, where: str, error: Exception) -> RecipeError:
        mark = getattr(error, "problem_mark", None) or getattr(error, "context_mark", None)
        message = str(getattr(error, "problem", None) or error).splitlines()[0]
        context = f"{message} {getattr(error, 'context', '')}"
        cure = next((f": {cure}" for sign, cure in _YAML_CURES.items() if sign in context), "")
        message += cure
        return RecipeError(self._problem(where, mark, message))

    def _problem(self, where: str, mark: Any, message: str) -> Problem:
        return Problem(f"{where}:{mark.line + 1}" if where == self.file and mark else where, "YAML", message)

    def _places(self, node: yaml.Node, path: FieldPath) -> Iterator[tuple[FieldPath, str]]:
        if isinstance(node, yaml.SequenceNode):
            for index, value in enumerate(node.value):
                yield (*path, index), f"{self.file}:{value.start_mark.line + 1}"
                yield from self._places(value, (*path, index))
        elif isinstance(node, yaml.MappingNode):
            seen: set[str] = set()
            for key, value in node.value:
                place = f"{self.file}:{key.start_mark.line + 1}"
                if key.value in seen:
                    raise RecipeError(Problem(place, ".".join(map(str, (*path, key.value))), "appears twice"))
                seen.add(key.value)
                yield (*path, key.value), place
                yield from self._places(value, (*path, key.value))


def _keys(path: Sequence[str], annotation: Any) -> list[str]:
    """The keys of a dotted path below a field of this type. In a mapping, such as one of signals,
    the next key ends where a field of what it maps to begins."""
    if len(path) < 2:
        return list(path)
    for part in (annotation, *_parts(annotation)):
        if isinstance(part, type) and issubclass(part, BaseModel):
            field = _all_fields(part).get(path[0])
            if field is not None:
                return [path[0], *_keys(path[1:], field.annotation)]
        if get_origin(part) is dict:
            value = get_args(part)[1]
            fields = {name for model in _models(value) for name in _all_fields(model)}
            signal = 2 if "." not in path[0] and fields and path[0] != "metadata" else len(path)
            end = next((end for end in range(1, len(path)) if path[end] in fields), min(signal, len(path)))
            return [".".join(path[:end]), *_keys(path[end:], value)]
    return list(path)


def _parts(annotation: Any) -> Iterator[Any]:
    """The members of a union and of `Annotated`, and theirs."""
    if get_origin(annotation) in (Union, UnionType, Annotated):
        for argument in get_args(annotation):
            yield argument
            yield from _parts(argument)


def _within(data: Any, loc: Sequence[str | int]) -> FieldPath:
    """The keys of pydantic's `loc` that are in the data, without the union members it tried."""
    path: list[str | int] = []
    for key in loc:
        fields = dict(enumerate(data)) if isinstance(data, list) else data if isinstance(data, dict) else {}
        key = int(key) if isinstance(data, list) and str(key).isdecimal() else key
        if key in fields:
            path.append(key)
            data = fields[key]
    return tuple(path)


_WORDS = {
    "missing": "is missing",
    "int_parsing": "should be a whole number",
    "int_type": "should be a whole number",
    "int_from_float": "should be a whole number",
    "float_parsing": "should be a number",
    "float_type": "should be a number",
    "bool_parsing": "should be true or false",
    "bool_type": "should be true or false",
}
"""Messages by pydantic's type of error."""

_YAML_CURES = {
    "alias": "put a value that begins with * in quotes, as in '*.jsonl'",
    "unhashable key": "put a value that begins with {{ in quotes",
    "mapping values are not allowed": "a field that has fields of its own ends the line with its colon, and they follow below, "
    "indented; a text with a colon needs quotes",
    "'\\t'": "indent by spaces, not by tabs",
    "expected <block end>": "the fields of a section begin in one column",
    "<stream end>": "a bracket, brace or quote is not closed",
    "'<document start>'": "sections are written as in 'rate:', with their fields below them, indented",
}
"""What to do about PyYAML's errors, by a part of their text."""


def field_messages(error: ValidationError, model: type[BaseModel]) -> dict[FieldPath, str]:
    """pydantic's errors as messages by place."""
    return {(*entry["loc"], *below): text for entry in error.errors() for below, text in _messages(entry, model)}


def _messages(entry: Any, model: type[BaseModel]) -> Iterator[tuple[FieldPath, str]]:
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
    items = [] if field is None else [inner for inner in _models(field.annotation) if not hasattr(inner, "all_fields")]
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


def _one_of(texts: Iterable[str]) -> str:
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
    close = _similar_field(loc, model)
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


def _similar_field(loc: FieldPath, model: type[BaseModel]) -> str | None:
    """The field of this section that an unknown one was probably meant to be."""
    fields = [field for inner in _models_at(loc[:-1], model) for field in inner.model_fields.items()]
    mappings = [name for name, field in fields if get_origin(field.annotation) is dict]
    if len(loc) > 1 and "." in str(loc[-1]) and len(mappings) == 1:  # a signal in a block, which has one place for them
        return mappings[0]
    return nearest(str(loc[-1]), [name for name, _ in fields])


def _places_of(name: str, model: type[BaseModel], prefix: str, depth: int = 3) -> Iterator[str]:
    """The dotted paths of the fields of this name, those of the upper sections first."""
    fields = _all_fields(model)
    if name in fields:
        yield prefix + name
    if depth > 1:
        for field, info in fields.items():
            for inner in _models(info.annotation):
                yield from _places_of(name, inner, f"{prefix}{field}.", depth - 1)


def _field_at(loc: FieldPath, model: type[BaseModel]) -> FieldInfo | None:
    """The field at a place; None for what is a name or a number there."""
    fields = (_all_fields(inner).get(str(loc[-1])) for inner in _models_at(loc[:-1], model))
    return next((field for field in fields if field is not None), None)


def _models_at(loc: FieldPath, model: type[BaseModel]) -> list[type[BaseModel]]:
    """The models that may stand at a place."""
    models = [model]
    for key in loc:
        every = [_all_fields(model) for model in models]
        annotations = [fields[str(key)].annotation for fields in every if str(key) in fields]
        # Keys of mappings, lists and unions are no fields: the models stay the same.
        models = [inner for annotation in annotations for inner in _models(annotation)] or models
    return models


def _all_fields(model: type[BaseModel]) -> Mapping[str, FieldInfo]:
    """The fields of a model; of the section `rate`, with those of installed packages."""
    fields: Mapping[str, FieldInfo] = model.all_fields() if hasattr(model, "all_fields") else model.model_fields
    return fields


def _models(annotation: Any) -> Iterator[type[BaseModel]]:
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        yield annotation
    for argument in get_args(annotation):
        yield from _models(argument)
