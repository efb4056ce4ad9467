"""The recipe: one YAML file that says all of a run, typed, with errors that point at its line."""

from __future__ import annotations

import difflib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from importlib import resources
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import yaml
from pydantic import Field, ValidationError, model_validator

from transforms.curriculum.order import Curriculum
from transforms.decontaminate.ngrams import Contamination, Decontaminate
from transforms.dedup.minhash import MinHash
from transforms.errors import RunError
from transforms.options import Options, fingerprint
from transforms.rate.c4 import C4, C4Rater
from transforms.rate.compression import Compression, CompressionRater
from transforms.rate.fasttext import FastText, FastTextRater
from transforms.rate.fineweb import FineWeb, FineWebRater
from transforms.rate.gopher import Gopher, GopherRater
from transforms.rate.language import Language, LanguageRater
from transforms.rate.repetition import Repetition, RepetitionRater
from transforms.rate.tokens import Tokens, TokensRater
from transforms.read.options import Input
from transforms.select.fuse import Weight
from transforms.select.thresholds import Threshold, check_names
from transforms.shards import Output

if TYPE_CHECKING:
    from transforms.rater import Rater, Signal

RECIPES = resources.files("pipelines") / "recipes"

CODE_VERSION = 2
"""Raised whenever the same input and recipe would give other bytes in rated/ or sketches/: parts are then rated again."""


class Rating(Options):
    """Which raters measure what. A rater that is named runs; `tokens` always does, since budgets and order count in tokens."""

    gopher: Gopher | None = None
    repetition: Repetition | None = None
    c4: C4 | None = None
    fineweb: FineWeb | None = None
    language: Language | None = None
    compression: Compression | None = None
    fasttext: tuple[FastText, ...] = ()
    tokens: Tokens = Tokens()


class Dedup(Options):
    """What counts as a copy. The best document of the copies stays: highest quality, then a seeded hash of the id."""

    exact: bool = Field(True, description="documents with equal text are one document")
    minhash: MinHash | None = Field(
        None, description="near-duplicates: proposed by MinHash bands, decided by exact Jaccard similarity"
    )

    @model_validator(mode="after")
    def _near_includes_exact(self) -> Dedup:
        if self.minhash is not None and not self.exact:
            raise ValueError("minhash finds equal texts too: leave exact on")
        return self


class Selection(Options):
    """How much of what passed is taken: the best, up to a number of tokens."""

    tokens: Annotated[int, Field(gt=0)] | dict[str, Annotated[int, Field(ge=0)]] | None = Field(
        None, description="token budget of the corpus, or a budget for each source (sources without one are kept whole)"
    )


class Recipe(Options):
    """All of a run. Sections left out switch their step off, except those that every run needs."""

    name: str = Field("recipe", description="appears in the manifest and the report")
    seed: int = Field(0, ge=0, description="of every tie and shuffle")
    input: Input = Input(paths=())
    max_rejects: Annotated[int, Field(ge=0)] | Annotated[float, Field(ge=0, le=1)] = Field(
        0.01, description="unreadable records allowed before the run stops: a number, or a share of the records"
    )
    duplicate_ids: Literal["suffix", "error"] = Field(
        "suffix", description="two documents with one id: number the later ones (id#2), or stop"
    )
    rate: Rating = Rating()
    thresholds: dict[str, Threshold] = Field(
        {}, description="what a document must measure, signal by signal; the first that fails decides"
    )
    decontaminate: Decontaminate | None = None
    dedup: Dedup | None = None
    quality: list[Weight] = Field(
        [], description="the signals that make up quality, 0 to 1; without any, all documents are alike"
    )
    select: Selection = Selection()
    curriculum: Curriculum = Curriculum()
    output: Output = Output()

    @model_validator(mode="after")
    def _signals_exist(self) -> Recipe:
        check_names(self.thresholds, self.signals)
        check_names({weight.signal: weight for weight in self.quality}, self.signals)
        return self

    @cached_property
    def raters(self) -> tuple[Rater, ...]:
        """Every rater of the recipe, in the order of their columns."""
        rate = self.rate
        found: list[Rater] = [TokensRater(rate.tokens)]
        if rate.gopher is not None:
            found.append(GopherRater(rate.gopher))
        if rate.repetition is not None:
            found.append(RepetitionRater(rate.repetition))
        if rate.c4 is not None:
            found.append(C4Rater(rate.c4))
        if rate.fineweb is not None:
            found.append(FineWebRater(rate.fineweb))
        if rate.compression is not None:
            found.append(CompressionRater(rate.compression))
        found.extend(FastTextRater(options) for options in rate.fasttext)
        if self.decontaminate is not None:
            found.append(Contamination(self.decontaminate))
        if rate.language is not None:
            found.append(LanguageRater(rate.language))
        return tuple(found)

    @cached_property
    def signals(self) -> dict[str, Signal]:
        """Every signal the recipe measures, by name."""
        return {signal.name: signal for rater in self.raters for signal in rater.signals}

    @cached_property
    def rate_fingerprint(self) -> str:
        """Covers all that can change rated/ and sketches/ apart from the input bytes; thresholds, weights and order cannot."""
        minhash = self.dedup.minhash if self.dedup is not None else None
        return fingerprint(
            {
                "code": CODE_VERSION,
                "raters": [[rater.name, rater.fingerprint] for rater in self.raters],
                "bands": minhash.model_dump(include={"bands", "rows", "ngram", "seed"}) if minhash is not None else None,
                "input": self.input.model_dump(mode="json", exclude={"paths"}),
            }
        )

    @cached_property
    def decide_fingerprint(self) -> str:
        """Covers everything in the recipe that can change decisions/ and data/, or whether there are any (`max_rejects`)."""
        return fingerprint(
            {
                "rate": self.rate_fingerprint,
                "recipe": self.model_dump(mode="json", exclude={"input", "name", "rate"}),
            }
        )


@dataclass(frozen=True)
class Problem:
    """One thing wrong with a recipe: where, and what."""

    line: int | None
    field: str
    message: str


class RecipeError(RunError):
    """A recipe that cannot be used; `problems` lists all of them."""

    def __init__(self, name: str, problems: Sequence[Problem]) -> None:
        self.problems = list(problems)
        lines = [f"{name}:{p.line}: {p.field}: {p.message}" if p.line else f"{name}: {p.field}: {p.message}" for p in problems]
        super().__init__("\n".join(lines))


def shipped() -> list[str]:
    """Names of the recipes that come with Tamis."""
    return sorted(entry.name.removesuffix(".yaml") for entry in RECIPES.iterdir() if entry.name.endswith(".yaml"))


def source(name: str) -> tuple[str, str]:
    """(file name, text) of a recipe: a path, or the name of a shipped one."""
    if name in shipped():
        return f"{name}.yaml", (RECIPES / f"{name}.yaml").read_text("utf-8")
    path = Path(name)
    if not path.is_file():
        close = difflib.get_close_matches(name, shipped(), n=1)
        hint = f"; did you mean '{close[0]}'?" if close else ""
        raise RunError(f"no recipe file '{name}', and no shipped recipe of that name ({', '.join(shipped())}){hint}")
    return name, path.read_text("utf-8")


def load(
    name: str, overrides: Sequence[str] = (), paths: Sequence[str] = (), fields: Mapping[str, object] | None = None
) -> Recipe:
    """The recipe `name` with `a.b=c` overrides and input paths put in. Raises RecipeError naming file, line and field."""
    file, text = source(name)
    tree, lines = _parse(file, text)
    for override in overrides:
        _override(tree, override)
    if paths:
        tree.setdefault("input", {})["paths"] = list(paths)
    tree.setdefault("name", Path(file).name.removesuffix(".yaml"))
    try:
        return Recipe.model_validate({**tree, **(fields or {})})
    except ValidationError as error:
        raise RecipeError(file, [_problem(entry, lines) for entry in error.errors()]) from None


def _parse(file: str, text: str) -> tuple[dict[str, Any], dict[tuple[str | int, ...], int]]:
    """The YAML as plain data, and the line of every field. Only plain YAML: a tag that would make an object is an error."""
    try:
        loader = yaml.SafeLoader(text)
        root = loader.get_single_node()
        if root is None:
            return {}, {}
        lines = dict(_lines(file, root, ()))
        tree = loader.construct_document(root)
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        raise RecipeError(file, [Problem(mark.line + 1 if mark else None, "YAML", str(error.problem or error))]) from None
    except yaml.YAMLError as error:
        raise RecipeError(file, [Problem(None, "YAML", str(error))]) from None
    if not isinstance(tree, dict):
        raise RecipeError(file, [Problem(1, "recipe", "must be a mapping of sections, for example 'rate:'")])
    return tree, lines


def _lines(file: str, node: yaml.Node, path: tuple[str | int, ...]) -> Iterator[tuple[tuple[str | int, ...], int]]:
    yield path, node.start_mark.line + 1
    if isinstance(node, yaml.MappingNode):
        seen: set[str] = set()
        for key, value in node.value:
            if key.value in seen:
                raise RecipeError(
                    file, [Problem(key.start_mark.line + 1, ".".join(map(str, (*path, key.value))), "named twice")]
                )
            seen.add(key.value)
            yield from (
                (where, max(line, key.start_mark.line + 1) if where != (*path, key.value) else key.start_mark.line + 1)
                for where, line in _lines(file, value, (*path, key.value))
            )
    elif isinstance(node, yaml.SequenceNode):
        for index, value in enumerate(node.value):
            yield from _lines(file, value, (*path, index))


def _override(tree: dict[str, Any], override: str) -> None:
    path, separator, value = override.partition("=")
    if not separator or not path:
        raise RunError(f"--set takes section.field=value, not '{override}'")
    place = tree
    *sections, name = _split(path, tree)
    for section in sections:
        nested = place.get(section)
        place[section] = nested = nested if isinstance(nested, dict) else {}
        place = nested
    place[name] = yaml.safe_load(value)


def _split(path: str, tree: Mapping[str, Any]) -> list[str]:
    """The keys of a dotted path. Signal names hold a dot themselves: thresholds.gopher.word_count.min has three keys."""
    keys = path.split(".")
    if keys[0] == "thresholds" and len(keys) > 3:
        return ["thresholds", ".".join(keys[1:-1]), keys[-1]]
    return keys


def _problem(entry: Any, lines: Mapping[tuple[str | int, ...], int]) -> Problem:
    # pydantic names the member of a union it tried inside `loc`; the recipe has no such level.
    path: tuple[str | int, ...] = ()
    for key in entry["loc"]:
        if (*path, key) in lines:
            path = (*path, key)
    message = str(entry["msg"]).removeprefix("Value error, ")
    field = ".".join(map(str, entry["loc"])) or "recipe"
    if entry["type"] == "extra_forbidden":
        message = f"no such field{_nearest(entry['loc'])}"
    for where, line in lines.items():
        if not entry["loc"] and where and str(where[-1]) in message.split("'")[1:2]:
            return Problem(line, ".".join(map(str, where)), message)
    return Problem(lines.get(path), field, message)


def _nearest(loc: tuple[str | int, ...]) -> str:
    model: Any = Recipe
    for key in loc[:-1]:
        annotation = (
            model.model_fields[key].annotation if isinstance(key, str) and key in getattr(model, "model_fields", {}) else None
        )
        model = next((a for a in (annotation, *getattr(annotation, "__args__", ())) if hasattr(a, "model_fields")), None)
        if model is None:
            return ""
    close = difflib.get_close_matches(str(loc[-1]), model.model_fields, n=1, cutoff=0.5)
    return f"; did you mean '{close[0]}'?" if close else f"; there are {', '.join(model.model_fields)}"
