"""Reads the items of benchmarks: the parts of each as separate texts, never a formatted prompt.

The question, the passage and the answer leak into training data. The wording of a prompt, its
choice letters and its separators do not: each evaluator writes its own.
"""

import difflib
import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Annotated, Any, Literal, Self

from pydantic import BeforeValidator, Field, model_validator

from tamis.transforms.core.options import Options
from tamis.transforms.decontaminate import benchmark_files
from tamis.transforms.decontaminate.benchmark_files import FORMATS, Row
from tamis.transforms.decontaminate.benchmark_registry import complete
from tamis.transforms.storage import Entry

PARTS = ("question", "passage", "choices", "answer")
"""The parts of an item, in the order in which `Item.texts` names them."""

_OTHER_SPLITS = ("train", "validation", "dev")

_LETTERS = re.compile(r"\s*\(?([A-Z])[).:]\s*")


def _as_list(value: Any) -> Any:
    return [value] if isinstance(value, str) else value


Paths = Annotated[tuple[str, ...], BeforeValidator(_as_list, json_schema_input_type=str | tuple[str, ...])]
"""One or more fields of a row; a dot selects a field of an object (`choices.text`)."""


class Form(Options):
    """Which fields of a row are the parts of an item, in one form in which a benchmark is published.

    A dot selects a field of an object: `choices.text`.
    """

    id: str | None = Field(None, description="Field that identifies an item; by default the number of its row, from 0.")
    question: Paths = Field((), description="Fields of the question, or of what it asks to continue.")
    passage: Paths = Field((), description="Fields of the text that the question is about.")
    choices: Paths = Field((), description="Fields of the choices; lists count as their values.")
    answer: Paths = Field((), description="Fields of the answer.")
    answer_is: Literal["text", "index", "number", "letter", "label", "flag"] = Field(
        "text",
        description="What `answer` holds: the text; the place of the right choice from 0 (`index`), from 1 (`number`), as "
        "a letter, or as one of `labels`. `flag`: every row has one choice, rows of the same `id` that follow each other "
        "are one item, and `answer` is true for the right choice.",
    )
    labels: str | None = Field(None, description="Field of the labels of the choices, for `answer_is: label`.")
    prompt: Paths = Field((), description="Fields that hold a formatted prompt, joined by line breaks.")
    pattern: str | None = Field(
        None,
        description="Regular expression that takes `prompt` apart. Its groups are named question, passage, choices (one "
        "a line) or answer; question_1, question_2, … are pieces of one question, choices_1, … are choices.",
    )
    columns: tuple[str, ...] = Field((), description="Names of the columns of .csv or .tsv files without a header.")
    lines: tuple[str, ...] = Field((), description="Names of the lines of an item in .txt files.")

    @model_validator(mode="after")
    def _checks(self) -> Self:
        if bool(self.prompt) != bool(self.pattern):
            raise ValueError("prompt and pattern belong together")
        if (self.answer_is == "label") != (self.labels is not None):
            raise ValueError("answer_is: label and labels belong together")
        if self.pattern is not None:
            groups = {group.split("_")[0] for group in self._regex.groupindex}
            if not groups or groups - set(PARTS):
                raise ValueError(f"the groups of pattern are named {', '.join(PARTS)}, with or without _1, _2, …")
        return self

    @cached_property
    def _regex(self) -> re.Pattern[str]:
        try:
            return re.compile(self.pattern or "", re.DOTALL)
        except re.error as error:
            raise ValueError(f"pattern is no regular expression: {error}") from None

    @property
    def paths(self) -> tuple[str, ...]:
        """Every field that the form names."""
        named = (self.id, *self.question, *self.passage, *self.choices, *self.answer, *self.prompt, self.labels)
        return tuple(dict.fromkeys(path for path in named if path is not None))


class Benchmark(Form):
    """A benchmark: where its files are, and the fields of its items. A name of the registry needs no
    more than the name, or the name and a path."""

    name: str = Field(min_length=1, description="Name of the benchmark in reports.")
    path: str | None = Field(
        None,
        description=f"File, glob or folder: {FORMATS}, the text formats also with .gz, .zst or .bz2. It comes before `hub`.",
    )
    hub: str | None = Field(
        None, description="Data set of the Hugging Face hub, loaded by the package `datasets` where it is installed."
    )
    config: Paths = Field((), description="Configurations of the data set.")
    revision: str | None = Field(None, description="Revision of the data set.")
    split: str | None = Field(None, description="Split of the data set; of a folder, the files that are named so.")
    fields: list[str] = Field(
        [],
        description="Instead of question, passage, choices and answer: fields that are matched. Those with one of these "
        "names are such parts, the others are questions.",
    )
    forms: tuple[Form, ...] = Field(
        (), description="Other forms of its files. The first counts of which the files have every field"
    )
    version: str = Field("", description="Version, for reports.")
    licence: str = Field("", description="Licence, for reports.")
    kind: str = Field("", description="What it tests, for reports.")
    source: str = Field("", description="Where it is published.")

    @model_validator(mode="after")
    def _has_fields_and_files(self) -> Self:
        if not (self.fields or self.question or self.prompt):
            raise ValueError("name its question field, or use a name of the registry")
        if self.fields and set(self.paths) - {self.id}:
            raise ValueError("give either fields, or question, passage, choices and answer")
        if self.path is None and self.hub is None:
            raise ValueError(f"{self.name}: give the path of its files{f', published at {self.source}' if self.source else ''}")
        if self.hub is not None and self.path is None and (self.split is None or "[" in self.split):
            raise ValueError("a data set of the hub needs a split, and a whole one")
        return self

    @property
    def all_forms(self) -> tuple[Form, ...]:
        """Every form in which its files may be."""
        if not self.fields:
            return (Form(**{name: getattr(self, name) for name in Form.model_fields}), *self.forms)
        parts: dict[str, list[str]] = {}
        for field in self.fields:
            root = field.split(".")[0]
            parts.setdefault(root if root in PARTS else "question", []).append(field)
        return (Form.model_validate({"id": self.id, **parts}),)

    @property
    def files(self) -> list[Entry]:
        """Its files, by URI. Raises as `local_files` and `hub_files` do."""
        if self.path is not None or self.hub is None:
            return benchmark_files.local_files(self.path or "", self.split)
        return benchmark_files.hub_files(self.hub, self.config, self.split or "", self.revision)

    @property
    def siblings(self) -> list["Benchmark"]:
        """Itself with the files of its train, validation or dev split, as far as its folder or data set has them
        beside its own split. Raises as `files` does."""
        if self.split is None:
            return []
        if self.path is not None:
            found = benchmark_files.local_splits(self.path, _OTHER_SPLITS)
        else:
            found = benchmark_files.hub_splits(self.hub or "", self.config, self.split, self.revision)
        return [self.model_copy(update={"split": split}) for split in _OTHER_SPLITS if split in found - {self.split}]


Benchmarks = Annotated[
    list[Benchmark], BeforeValidator(complete, json_schema_input_type=list[Benchmark | str]), Field(min_length=1)
]
"""Benchmarks of a recipe: sections, names of the registry, and its groups."""


@dataclass(frozen=True, slots=True)
class Item:
    """An item of a benchmark. A part has several texts if its field is a list, and none if it is missing."""

    benchmark: str
    id: str
    question: tuple[str, ...]
    passage: tuple[str, ...] = ()
    choices: tuple[str, ...] = ()
    answer: tuple[str, ...] = ()

    def texts(self) -> Iterator[tuple[str, str]]:
        """(part, text) of every text."""
        for part in PARTS:
            for text in getattr(self, part):
                yield part, text


@dataclass(frozen=True, slots=True)
class Passage:
    """A text of a benchmark item."""

    item: str
    field: str
    text: str


def passages(benchmark: Benchmark) -> list[Passage]:
    """Every text of the benchmark's items, by item and part; of a benchmark with `fields`, by item and
    field. Raises as `items` does."""
    if not benchmark.fields:
        return [Passage(item.id, part, text) for item in items(benchmark) for part, text in item.texts()]
    form, read = _read(benchmark)
    return [
        Passage(item.id, field, text)
        for item, (_, row) in zip(_items(benchmark, form, read), read, strict=True)
        for field in benchmark.fields
        for text in _texts(row, [field])
    ]


def items(benchmark: Benchmark) -> list[Item]:
    """The items of a benchmark, by sorted file and row.

    Raises FileNotFoundError if no file matches, ImportError if it needs a package that is not
    installed, and ValueError for a file that cannot be read to its end, for a field that no row has
    (naming the nearest existing one), for a field that is an object, and for a row that is not in the
    form of the benchmark.
    """
    form, read = _read(benchmark)
    found = _items(benchmark, form, read)
    return list(_of_choice_rows(found)) if form.answer_is == "flag" else list(found)


def _read(benchmark: Benchmark) -> tuple[Form, list[tuple[str, Row]]]:
    """The form of the files, and their rows with their places."""
    files = benchmark.files
    forms = _forms_of(benchmark, files[0].uri)
    names = forms[0].lines or forms[0].columns
    read = [placed for entry in files for placed in benchmark_files.rows(entry.uri, names)]
    if not read:
        raise ValueError(f"benchmark {benchmark.name}: {benchmark.path or benchmark.hub} has no rows")
    return _form(benchmark, forms, [row for _, row in read]), read


def _forms_of(benchmark: Benchmark, uri: str) -> list[Form]:
    """The forms in which a file with this name may be: one that names lines or columns, or all that do not."""
    forms, kind = benchmark.all_forms, benchmark_files.format_of(uri)
    named = [form for form in forms if (form.lines if kind == ".txt" else form.columns and kind in (".csv", ".tsv"))]
    return named[:1] or [form for form in forms if not form.lines and not form.columns] or list(forms)


def _form(benchmark: Benchmark, forms: Sequence[Form], read: Sequence[Row]) -> Form:
    """The first form of which the rows have every field. Raises ValueError if there is none."""
    missing: list[str] = []
    for form in forms:
        wanted = dict.fromkeys(form.paths)
        for row in read:
            for path in [path for path in wanted if _values(row, path) is not None]:
                wanted.pop(path)
            if not wanted:
                return form
        missing = missing or list(wanted)
    names: dict[str, None] = {}
    for row in read:
        names |= dict.fromkeys(_field_names(row))
    nearest = difflib.get_close_matches(missing[0], names, n=1, cutoff=0.0)
    hint = f"; did you mean {nearest[0]!r}? Fields: {', '.join(names)}" if nearest else ""
    where = benchmark.path or benchmark.hub
    raise ValueError(f"benchmark {benchmark.name}: no row of {where} has the field {missing[0]!r}{hint}")


def _items(benchmark: Benchmark, form: Form, read: Iterable[tuple[str, Row]]) -> Iterator[Item]:
    for number, (place, row) in enumerate(read):
        try:
            ids = _values(row, form.id) if form.id is not None else None
            parts = _parts(form, row)
        except ValueError as error:
            raise ValueError(f"benchmark {benchmark.name}: {place}: {error}") from None
        yield Item(benchmark.name, str(ids[0]) if ids else str(number), **parts)


def _parts(form: Form, row: Row) -> dict[str, tuple[str, ...]]:
    """The texts of each part of a row. Raises ValueError if the row is not in this form."""
    parts = {part: _texts(row, getattr(form, part)) for part in PARTS}
    if form.prompt:
        for part, texts in _of_prompt(form, "\n".join(_texts(row, form.prompt))).items():
            parts[part] += texts
    parts["choices"] = _without_letters(parts["choices"])
    parts["answer"] = _resolved(form, row, parts["answer"], parts["choices"])
    return parts


def _of_prompt(form: Form, prompt: str) -> dict[str, tuple[str, ...]]:
    match = form._regex.fullmatch(prompt)
    if match is None:
        raise ValueError(f"the prompt {prompt[:80]!r} does not match the pattern {form.pattern!r}")
    parts: dict[str, tuple[str, ...]] = {}
    for group, text in match.groupdict().items():
        part = group.split("_")[0]
        if text is None:
            continue
        if part == "choices" and group == part:
            parts[part] = tuple(text.split("\n"))
        elif part == "choices" or part not in parts:
            parts[part] = (*parts.get(part, ()), text.strip())
        else:
            parts[part] = (f"{parts[part][0]} {text.strip()}",)
    return parts


def _without_letters(choices: tuple[str, ...]) -> tuple[str, ...]:
    """The choices without "A.", "(B)", …, if that is how they are lettered, one after the other."""
    heads = [_LETTERS.match(choice) for choice in choices]
    letters = "".join(head[1] for head in heads if head)
    if len(choices) < 2 or letters != "ABCDEFGHIJKLMNOPQRSTUVWXYZ"[: len(choices)]:
        return choices
    return tuple(choice[head.end() :] for choice, head in zip(choices, heads, strict=True) if head)


def _resolved(form: Form, row: Row, answers: Sequence[str], choices: Sequence[str]) -> tuple[str, ...]:
    """The text of the answers. An empty or negative one is not published. Raises ValueError for one that
    names no choice."""
    if form.answer_is in ("text", "flag") or not choices:
        return tuple(answers)
    texts = []
    for answer in answers:
        if answer.strip() in ("", "-1"):
            continue
        places: Sequence[str]
        if form.answer_is == "label":
            places = _texts(row, [form.labels or ""])
        elif form.answer_is == "letter":
            places = [chr(ord("A") + place) for place in range(len(choices))]
        else:
            places = [str(place + (form.answer_is == "number")) for place in range(len(choices))]
        if answer.strip() not in places:
            raise ValueError(f"the answer {answer!r} is none of {', '.join(places)}")
        texts.append(choices[list(places).index(answer.strip())])
    return tuple(texts)


def _of_choice_rows(rows: Iterable[Item]) -> Iterator[Item]:
    """Items of rows with one choice each, whose answer says whether it is the right one."""
    current: Item | None = None
    for row in rows:
        right = row.choices if row.answer and row.answer[0].lower() in ("true", "1", "yes") else ()
        row = Item(row.benchmark, row.id, row.question, row.passage, row.choices, right)
        if current is None:
            current = row
        elif (current.id, current.question, current.passage) == (row.id, row.question, row.passage):
            choices, answer = current.choices + row.choices, current.answer + row.answer
            current = Item(row.benchmark, row.id, row.question, row.passage, choices, answer)
        else:
            yield current
            current = row
    if current is not None:
        yield current


def _texts(row: Row, paths: Iterable[str]) -> tuple[str, ...]:
    """Every value of the fields as a text, without those that are null. Raises ValueError for an object."""
    texts: list[str] = []
    for path in paths:
        for value in _values(row, path) or ():
            if isinstance(value, dict):
                inner = ", ".join(f"{path}.{key}" for key in value)
                raise ValueError(f"{path!r} is an object; name its fields: {inner}")
            if value is not None:
                texts.append(value if isinstance(value, str) else str(value))
    return tuple(texts)


def _values(row: object, path: str) -> list[Any] | None:
    """The values at a dotted path, with lists flattened; None if the row has no such field."""
    if isinstance(row, dict) and not isinstance(value := row.get(path, row), dict | list):
        return [value]  # most fields
    level: list[Any] = [row]
    for key in [None, *path.split(".")]:
        if key is not None:
            level = [value[key] for value in level if isinstance(value, dict) and key in value]
            if not level:
                return None
        while any(isinstance(value, list) for value in level):
            level = [inner for value in level for inner in (value if isinstance(value, list) else [value])]
    return level


def _field_names(row: Row, prefix: str = "") -> Iterator[str]:
    """The dotted path of every field of a row that is not an object."""
    for key, value in row.items():
        objects = [item for item in (value if isinstance(value, list) else [value]) if isinstance(item, dict)]
        if objects:
            for item in objects:
                yield from _field_names(item, f"{prefix}{key}.")
        else:
            yield prefix + key
