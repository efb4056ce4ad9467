"""Reads recipes as plain YAML, keeps the line of every field for errors, and applies `--set`."""

import difflib
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from types import UnionType
from typing import Annotated, Any, Union, get_args, get_origin

import yaml
from pydantic import BaseModel, ValidationError
from pydantic.fields import FieldInfo

from tamis.transforms.core.errors import RunError

FieldPath = tuple[str | int, ...]  # keys and list indices that lead to a field

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


class FieldErrors(ValueError):
    """Raised by the validator of a field: messages by their place below it."""

    def __init__(self, messages: Mapping[FieldPath, str]) -> None:
        self.messages = messages
        super().__init__("; ".join(messages.values()))

    @classmethod
    def collect(cls, checks: Mapping[FieldPath, Callable[[], object]]) -> None:
        """Runs every check, then raises the messages of all that failed."""
        messages: dict[FieldPath, str] = {}
        for path, check in checks.items():
            try:
                check()
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

    def problems(self, error: ValidationError, model: type[BaseModel]) -> list[Problem]:
        """pydantic's errors as problems, one per field, in the order of the file."""
        messages: dict[FieldPath, list[str]] = {}
        guesses: set[FieldPath] = set()
        for entry in error.errors():
            path = _within(self.data, entry["loc"])
            if entry["type"] == "missing":
                path = (*path, entry["loc"][-1])
            elif len(path) < len(entry["loc"]):
                guesses.add(path)  # pydantic tried the members of a union
            for below, message in _messages(entry, model):
                messages.setdefault((*path, *below), []).append(message)
        for path in guesses:
            if any(len(other) > len(path) and other[: len(path)] == path for other in messages):
                messages.pop(path, None)
        order = list(self.places)
        return [
            Problem(self.places[self._placed_parent(path)], ".".join(map(str, path)), "; or ".join(dict.fromkeys(texts)))
            for path, texts in sorted(messages.items(), key=lambda item: order.index(self._placed_parent(item[0])))
        ]

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
    "list_type": "should be a list",
    "tuple_type": "should be a list",
    "dict_type": "should be a mapping of fields",
    "model_type": "should be a mapping of fields",
}


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
        yield (), _WORDS.get(entry["type"]) or str(entry["msg"]).removeprefix("Value error, ").removeprefix("Input ")


def _no_such_field(loc: FieldPath, model: type[BaseModel]) -> str:
    """The message for an unknown field, with a hint: the field of a similar name, or all fields."""
    models = _models_at(loc[:-1], model)
    for inner in models:
        if hasattr(inner, "unknown_field"):
            return str(inner.unknown_field(str(loc[-1])))
    names = [name for model in models for name in model.model_fields]
    close = difflib.get_close_matches(str(loc[-1]), names, n=1, cutoff=0.5)
    fields = f"; fields are {', '.join(names)}" if names else ""
    return "no such field" + (f"; did you mean '{close[0]}'?" if close else fields)


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
