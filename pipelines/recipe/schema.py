"""The recipe: one YAML file that says all of a run, typed, with errors that point at its line."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from functools import cached_property, partial
from typing import TYPE_CHECKING, Annotated, Literal

from pydantic import Field, ValidationInfo, field_validator, model_validator

from tamis.pipelines.recipe.yaml_file import FieldErrors
from tamis.transforms.core.errors import RunError
from tamis.transforms.core.options import Options, fingerprint
from tamis.transforms.core.shards import Output
from tamis.transforms.curriculum.order import WILDCARD, Curriculum, parse_metric
from tamis.transforms.decontaminate.ngrams import Contamination, Decontaminate
from tamis.transforms.dedup.minhash import MinHash
from tamis.transforms.rate.c4 import C4, C4Rater
from tamis.transforms.rate.compression import Compression, CompressionRater
from tamis.transforms.rate.fasttext import FastText, FastTextRater
from tamis.transforms.rate.fineweb import FineWeb, FineWebRater
from tamis.transforms.rate.gopher import Gopher, GopherRater
from tamis.transforms.rate.language import Language, LanguageRater
from tamis.transforms.rate.repetition import Repetition, RepetitionRater
from tamis.transforms.rate.token_count import TokenCount, TokenCountRater
from tamis.transforms.read.input_options import Input
from tamis.transforms.select.allocation import Selection
from tamis.transforms.select.bins import METADATA
from tamis.transforms.select.fuse import Weight, mapping
from tamis.transforms.select.guards import Guards, NumberRange
from tamis.transforms.select.thresholds import Threshold, check_kind, check_names
from tamis.transforms.text.words import DEFAULT_WORDS, Words

if TYPE_CHECKING:
    from tamis.transforms.core.rater import Rater, Signal

RATE_VERSION = 3
"""Raised whenever the same input and recipe would give other bytes in rated/ or sketches/: parts are then rated again."""

DECIDE_VERSION = 2
"""Raised whenever the same rated parts and recipe would give other bytes in decisions/ or data/: finished releases are then
decided again."""


class Rating(Options):
    """Which raters measure what. A rater that is named runs; `tokens` always does, since budgets and order count in tokens."""

    gopher: Gopher | None = None
    repetition: Repetition | None = None
    c4: C4 | None = None
    fineweb: FineWeb | None = None
    language: Language | None = None
    compression: Compression | None = None
    fasttext: tuple[FastText, ...] = ()
    tokens: TokenCount = TokenCount()

    @model_validator(mode="after")
    def _names_differ(self) -> Rating:
        taken = [*type(self).model_fields, "contamination", *(classifier.name for classifier in self.fasttext)]
        if twice := [name for name, times in Counter(taken).items() if times > 1]:
            raise ValueError(f"two raters are called '{twice[0]}'; name the fasttext one otherwise")
        return self


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


class Recipe(Options):
    """All of a run. Sections left out switch their step off, except those that every run needs."""

    name: str = Field("recipe", description="appears in the manifest and the report")
    seed: int = Field(0, ge=0, lt=1 << 64, description="of every tie and shuffle")
    input: Input = Input(paths=())
    max_rejects: Annotated[int, Field(ge=0)] | Annotated[float, Field(ge=0, le=1)] = Field(
        0.01, description="unreadable records allowed before the run stops: a number, or a share of the records"
    )
    duplicate_ids: Literal["suffix", "error"] = Field(
        "suffix", description="two documents with one id: number the later ones (id#2), or stop"
    )
    words: Words = DEFAULT_WORDS
    rate: Rating = Rating()
    decontaminate: Decontaminate | None = None
    thresholds: dict[str, Threshold] = Field(
        {}, description="what a document must measure, signal by signal; the first that fails decides"
    )
    dedup: Dedup | None = None
    quality: list[Weight] = Field(
        [], description="the signals that make up quality, 0 to 1; without any, all documents are alike"
    )
    select: Selection = Selection()
    curriculum: Curriculum = Curriculum()
    guards: Guards = Guards()
    output: Output = Output()

    @field_validator("name")
    @classmethod
    def _name_is_a_name(cls, name: str) -> str:
        """The run directory is named by it when no other is."""
        if name in ("", ".", "..") or not name.isprintable() or set(name) & set("/\\"):
            raise ValueError(f"{name!r} cannot name a folder: it needs printable characters, none of them / or \\")
        return name

    @field_validator("thresholds")
    @classmethod
    def _thresholds_fit(cls, rules: dict[str, Threshold], info: ValidationInfo) -> dict[str, Threshold]:
        signals = _measured(info)

        def check(name: str) -> None:
            check_names([name], signals)
            check_kind(name, rules[name], signals[name].kind == "string")

        FieldErrors.collect({(name,): partial(check, name) for name in rules if signals})
        return rules

    @field_validator("quality")
    @classmethod
    def _weights_fit(cls, weights: list[Weight], info: ValidationInfo) -> list[Weight]:
        signals = _measured(info)

        def check(weight: Weight) -> None:
            check_names([weight.signal], signals)
            mapping(weight, signals[weight.signal])
            if sum(weight.signal == other.signal for other in weights) > 1:
                raise ValueError(f"'{weight.signal}' is weighed twice")

        FieldErrors.collect({(index,): partial(check, weight) for index, weight in enumerate(weights) if signals})
        return weights

    @field_validator("select")
    @classmethod
    def _bins_are_columns(cls, select: Selection, info: ValidationInfo) -> Selection:
        signals = _measured(info)
        named = enumerate(select.bins) if signals else ()
        FieldErrors.collect({("bins", index): partial(_check_column, name, signals, True) for index, name in named})
        return select

    @field_validator("curriculum")
    @classmethod
    def _curriculum_fits(cls, curriculum: Curriculum, info: ValidationInfo) -> Curriculum:
        signals = _measured(info)
        named = curriculum.by.items() if signals else ()
        FieldErrors.collect({("by", source): partial(_metric, name, signals) for source, name in named})
        asked, there = info.data["select"].phases if "select" in info.data else 0, len(curriculum.effective_phases)
        if asked and asked != there:
            raise ValueError(f"select.epochs speaks of {asked} phases, and there {'are' if there > 1 else 'is'} {there}")
        return curriculum

    @field_validator("guards")
    @classmethod
    def _guards_look_at_columns(cls, guards: Guards, info: ValidationInfo) -> Guards:
        signals = _measured(info)
        checks: dict[tuple[str | int, ...], Callable[[], object]] = {}
        for name, guard in guards.by_name.items():
            place = (name,) if name in ("synthetic", "clean") else ("shares", name)
            for column, wanted in guard.where.items():
                checks[*place, "where", column] = partial(_check_column, column, signals, not isinstance(wanted, NumberRange))
        FieldErrors.collect(checks if signals else {})
        return guards

    @cached_property
    def raters(self) -> tuple[Rater, ...]:
        """Every rater of the recipe, in the order of their columns."""
        return _raters(self.rate, self.decontaminate, self.words)

    @property
    def tokens(self) -> TokenCountRater:
        """The rater that counts tokens."""
        (rater,) = (rater for rater in self.raters if isinstance(rater, TokenCountRater))
        return rater

    @cached_property
    def signals(self) -> dict[str, Signal]:
        """Every signal the recipe measures, by name."""
        return _signals(self.raters)

    @cached_property
    def metrics(self) -> dict[str, tuple[str, float]]:
        """(column, sign) that a source is ordered by where that is not quality, the sources not named first."""
        by = sorted(self.curriculum.by.items(), key=lambda item: (item[0] != WILDCARD, item[0]))
        return {source: _metric(named, self.signals) for source, named in by}

    @cached_property
    def rate_fingerprint(self) -> str:
        """Covers all that can change rated/ and sketches/ apart from the input bytes; thresholds, weights and order cannot."""
        minhash = self.dedup.minhash if self.dedup is not None else None
        return fingerprint(
            {
                "code": RATE_VERSION,
                "words": _cut(self.words),
                "raters": [[rater.name, _identity(rater)] for rater in self.raters],
                "bands": minhash and minhash.model_dump(include={"bands", "rows", "ngram", "seed", "scheme"}),
                "input": self.input.model_dump(mode="json", exclude={"paths", "allow_empty"}),
            }
        )

    @cached_property
    def decide_fingerprint(self) -> str:
        """Covers everything in the recipe that can change decisions/ and data/, or whether there are any (`max_rejects`)."""
        return fingerprint(
            {
                "code": DECIDE_VERSION,
                "rate": self.rate_fingerprint,
                "recipe": self.model_dump(mode="json", exclude={"input", "name", "rate"}),
            }
        )


def _raters(rate: Rating, decontaminate: Decontaminate | None, words: Words) -> tuple[Rater, ...]:
    found: list[Rater] = [TokenCountRater(rate.tokens)]
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
    if decontaminate is not None:
        found.append(Contamination(decontaminate, words=words))
    if rate.language is not None:
        found.append(LanguageRater(rate.language))
    return tuple(found)


def _signals(raters: Sequence[Rater]) -> dict[str, Signal]:
    return {signal.name: signal for rater in raters for signal in rater.signals}


def _check_column(name: str, signals: dict[str, Signal], labels: bool) -> None:
    """Raises ValueError for what is no column of a document, or has no labels (or no numbers) where they are asked for."""
    if name in ("source", "licence") or name.startswith(METADATA):
        kind = "string"
    elif name == "quality":
        kind = "float64"
    else:
        check_names([name], [*signals, "source", "licence"])
        kind = signals[name].kind
    if labels != (kind in ("string", "bool")):
        raise ValueError(f"'{name}' is {'a number and has no labels' if labels else 'text: give labels'}")


def _metric(named: str, signals: dict[str, Signal]) -> tuple[str, float]:
    """Column and sign of what `curriculum.by` names. Raises ValueError for what no source can be ordered by."""
    name = named.lstrip("+-")
    _check_column(name, signals, False)
    return parse_metric(named, "up" if name == "quality" else signals[name].direction)


def _measured(info: ValidationInfo) -> dict[str, Signal]:
    """The signals by name; none when what measures them is itself wrong, which is then the thing to mend first."""
    if not {"rate", "decontaminate"} <= info.data.keys():
        return {}
    return _signals(_raters(info.data["rate"], info.data["decontaminate"], DEFAULT_WORDS))


def _cut(words: Words) -> dict[str, object]:
    try:
        return words.identity
    except ImportError as error:
        raise RunError(str(error)) from None


def _identity(rater: Rater) -> str:
    """The rater's fingerprint, which reads its model or benchmarks."""
    try:
        return rater.fingerprint
    except (FileNotFoundError, ValueError) as error:
        raise RunError(f"rater '{rater.name}': {error}") from None
