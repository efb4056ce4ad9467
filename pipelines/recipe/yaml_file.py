"""Reads recipes as plain YAML, keeps the line of every field for errors, and applies `--set`."""

from collections.abc import Callable, Iterator, MutableSet, Sequence
from dataclasses import dataclass
from types import UnionType
from typing import Annotated, Any, TypeVar, Union, get_args, get_origin

import yaml
from pydantic import BaseModel, ValidationError

from tamis.pipelines.recipe.field_messages import MISSING, FieldPath, fields_of, messages_of, models_in, one_of, similar_field
from tamis.transforms.core.errors import RunError

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
            if entry["type"] == "extra_forbidden" and (close := similar_field(entry["loc"], model)) is not None:
                meant.add((*path[:-1], close))
            for below, message in messages_of(entry, model):
                messages.setdefault((*path, *below), []).append(message)
        for path in guesses:
            if any(len(other) > len(path) and other[: len(path)] == path for other in messages):
                messages.pop(path, None)
        messages = {path: texts for path, texts in messages.items() if path not in meant or texts != [MISSING]}
        return {
            path: Problem(self.places[self._placed_parent(path)], ".".join(map(str, path)), one_of(texts))
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
            field = fields_of(part).get(path[0])
            if field is not None:
                return [path[0], *_keys(path[1:], field.annotation)]
        if get_origin(part) is dict:
            value = get_args(part)[1]
            fields = {name for model in models_in(value) for name in fields_of(model)}
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
    """The keys of pydantic's `loc` that are in the data, without the union members it tried. A trainer's
    argument may be written with - for _."""
    path: list[str | int] = []
    for key in loc:
        fields = dict(enumerate(data)) if isinstance(data, list) else data if isinstance(data, dict) else {}
        key = int(key) if isinstance(data, list) and str(key).isdecimal() else key
        spelt = next((name for name in (key, str(key).replace("_", "-")) if name in fields), None)
        if spelt is not None:
            path.append(spelt)
            data = fields[spelt]
    return tuple(path)


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
