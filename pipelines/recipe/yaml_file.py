"""A recipe as it is written: plain YAML with the place of every field, what `--set` puts over it, and what is wrong where."""

from __future__ import annotations

import difflib
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, get_args

import yaml
from pydantic import BaseModel, ValidationError

from tamis.transforms.core.errors import RunError

Path = tuple[str | int, ...]
"""Keys and list positions that lead to a field."""


_LONGEST, _DEEPEST = 1 << 20, 32


@dataclass(frozen=True)
class Problem:
    """One thing wrong with a recipe: where it was written (`file:line`, or the option), which field, and what."""

    place: str
    field: str
    message: str

    def __str__(self) -> str:
        return ": ".join(filter(None, (self.place, self.field, self.message)))


class RecipeError(RunError):
    """A recipe that cannot be used; `problems` lists all that can be told at once."""

    def __init__(self, *problems: Problem) -> None:
        self.problems = problems
        super().__init__("\n".join(map(str, problems)))


class FieldErrors(ValueError):
    """Raised by a validator of one field: what is wrong at which place below it."""

    def __init__(self, found: Mapping[Path, str]) -> None:
        self.found = found
        super().__init__("; ".join(found.values()))

    @classmethod
    def collect(cls, checks: Mapping[Path, Callable[[], object]]) -> None:
        """Runs every check and raises what they said, all of it."""
        found: dict[Path, str] = {}
        for path, check in checks.items():
            try:
                check()
            except ValueError as error:
                found[path] = str(error)
        if found:
            raise cls(found)


class RecipeFile:
    """The fields of a recipe, as `data`, and where each was written. Raises RecipeError for what is no plain YAML."""

    def __init__(self, file: str, text: str) -> None:
        self.file = file
        self.places: dict[Path, str] = {(): f"{file}:1"}
        root = self._read(text, file)
        self.data = self._plain(root, file) if root is not None else {}
        if not isinstance(self.data, dict):
            raise RecipeError(Problem(f"{file}:1", "recipe", "must be a mapping of sections, for example 'rate:'"))
        if root is not None:
            self.places |= self._places(root, ())

    def set(self, assignment: str) -> None:
        """Puts `section.field=value` in place, the value as YAML; a list is indexed from 0."""
        where = f"--set {assignment}"
        path, separator, value = assignment.partition("=")
        if not separator or not all(path.split(".")):
            raise RecipeError(Problem(where, "", "not of the form section.field=value"))
        root = self._read(value, where)
        self.put(_keys(path), None if root is None else self._plain(root, where), where)

    def put(self, path: Sequence[str], value: object, where: str) -> None:
        """Puts `value` at `path`, with the sections that lead there; `where` is what to call its place."""
        container: Any = self.data
        for depth, key in enumerate(path):
            index: str | int = key
            if isinstance(container, list):
                if not key.isdecimal() or int(key) >= len(container):
                    said = f"has {len(container)} entries, numbered from 0; no '{key}'"
                    raise RecipeError(Problem(where, ".".join(path[:depth]), said))
                index = int(key)
            elif not isinstance(container, dict):
                raise RecipeError(Problem(where, ".".join(path[:depth]), f"is {container!r}; it has no field '{key}'"))
            if depth == len(path) - 1:
                container[index] = value
            elif isinstance(container, list) or container.get(index) is not None:
                container = container[index]
            else:
                container[index] = container = {}
                self.places[_within(self.data, path[: depth + 1])] = where
        at = _within(self.data, path)
        self.places = {known: place for known, place in self.places.items() if known[: len(at)] != at} | {at: where}

    def problems(self, error: ValidationError, model: type[BaseModel]) -> list[Problem]:
        """What pydantic says, in the recipe's terms: each field once, at its place."""
        found: dict[Path, list[str]] = {}
        guesses: set[Path] = set()
        for entry in error.errors():
            path = _within(self.data, entry["loc"])
            if entry["type"] == "missing":
                path = (*path, entry["loc"][-1])
            elif len(path) < len(entry["loc"]):
                guesses.add(path)  # pydantic tried the members of a union
            for below, message in _messages(entry, model):
                found.setdefault((*path, *below), []).append(message)
        for path in guesses:
            if any(len(other) > len(path) and other[: len(path)] == path for other in found):
                found.pop(path, None)
        order = list(self.places)
        return [
            Problem(self.places[self._known(path)], ".".join(map(str, path)), "; or ".join(dict.fromkeys(messages)))
            for path, messages in sorted(found.items(), key=lambda item: order.index(self._known(item[0])))
        ]

    def _known(self, path: Path) -> Path:
        """The field itself, or the section it is in, whose place is known."""
        return next(path[:length] for length in range(len(path), -1, -1) if path[:length] in self.places)

    def _read(self, text: str, where: str) -> yaml.Node | None:
        """The nodes of the YAML. Aliases are refused: with them a few lines may stand for data without end. So is what nests
        deeper, or is longer, than any recipe: PyYAML takes quadratic time for the one and recursion for the other."""
        if len(text) > _LONGEST:
            raise RecipeError(Problem(where, "YAML", f"longer than {_LONGEST:,} characters; name many files by an @list"))
        depth = 0
        try:
            for event in yaml.parse(text, yaml.SafeLoader):
                depth += isinstance(event, yaml.CollectionStartEvent) - isinstance(event, yaml.CollectionEndEvent)
                if depth > _DEEPEST:
                    raise RecipeError(self._problem(where, event.start_mark, f"nested more than {_DEEPEST} deep"))
                if isinstance(event, yaml.AliasEvent):
                    said = f"the alias *{event.anchor} is not taken; write out what it stands for"
                    raise RecipeError(self._problem(where, event.start_mark, said))
            return yaml.compose(text, yaml.SafeLoader)
        except yaml.YAMLError as error:
            raise self._unreadable(where, error) from None

    def _plain(self, node: yaml.Node, where: str) -> Any:
        """The node as plain data. A tag that would make an object of anything else is an error, as is a number or a date that
        Python cannot hold."""
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

    def _places(self, node: yaml.Node, path: Path) -> Iterator[tuple[Path, str]]:
        if isinstance(node, yaml.SequenceNode):
            for index, value in enumerate(node.value):
                yield (*path, index), f"{self.file}:{value.start_mark.line + 1}"
                yield from self._places(value, (*path, index))
        elif isinstance(node, yaml.MappingNode):
            seen: set[str] = set()
            for key, value in node.value:
                place = f"{self.file}:{key.start_mark.line + 1}"
                if key.value in seen:
                    raise RecipeError(Problem(place, ".".join(map(str, (*path, key.value))), "named twice"))
                seen.add(key.value)
                yield (*path, key.value), place
                yield from self._places(value, (*path, key.value))


def _keys(path: str) -> list[str]:
    """The keys of a dotted path. Signals hold a dot themselves: thresholds.gopher.word_count.min has three keys."""
    first, *rest = path.split(".")
    if first != "thresholds" or len(rest) < 2:
        return [first, *rest]
    return [first, ".".join(rest[:2]), *rest[2:]]


def _within(data: Any, loc: Sequence[str | int]) -> Path:
    """The part of pydantic's `loc` that is in the data: it also names the members of a union that it tried."""
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


def _messages(entry: Any, model: type[BaseModel]) -> Iterator[tuple[Path, str]]:
    raised = entry.get("ctx", {}).get("error")
    if isinstance(raised, FieldErrors):
        yield from raised.found.items()
    elif entry["type"] == "extra_forbidden":
        yield (), f"no such field{_nearest(entry['loc'], model)}"
    else:
        yield (), _WORDS.get(entry["type"]) or str(entry["msg"]).removeprefix("Value error, ").removeprefix("Input ")


def _nearest(loc: Path, model: type[BaseModel]) -> str:
    """The field that a misspelt one may mean, or all there are."""
    models = [model]
    for key in loc[:-1]:
        fields = [found.model_fields[key].annotation for found in models if key in found.model_fields]
        # A key that is no field is one of a mapping, a list or a union: its models are known already.
        models = [inner for field in fields for inner in _models(field)] or models
    names = [name for found in models for name in found.model_fields]
    close = difflib.get_close_matches(str(loc[-1]), names, n=1, cutoff=0.5)
    return f"; did you mean '{close[0]}'?" if close else f"; there are {', '.join(names)}"


def _models(annotation: Any) -> Iterator[type[BaseModel]]:
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        yield annotation
    for argument in get_args(annotation):
        yield from _models(argument)
