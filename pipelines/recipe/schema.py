"""The models of a recipe, the YAML file that describes a run, and checks across its sections."""

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
from tamis.transforms.select.fuse import Weight, resolve_range
from tamis.transforms.select.guards import Guards, NumberRange
from tamis.transforms.select.thresholds import Threshold, check_kind, check_name
from tamis.transforms.text.words import DEFAULT_WORDS, Words

if TYPE_CHECKING:
    from tamis.transforms.core.rater import Rater, Signal

RATE_VERSION = 3  # raise it when the same input and recipe give other rated/ or sketches/
DECIDE_VERSION = 2  # raise it when the same rated parts and recipe give other decisions/ or data/


class Rating(Options):
    """The raters that run. `tokens` always runs, since budgets and orders count tokens."""

    # Each field names its rater. Their order is that of the columns, and fingerprints cover it.
    tokens: Annotated[TokenCount, TokenCountRater] = TokenCount()
    gopher: Annotated[Gopher | None, GopherRater] = None
    repetition: Annotated[Repetition | None, RepetitionRater] = None
    c4: Annotated[C4 | None, C4Rater] = None
    fineweb: Annotated[FineWeb | None, FineWebRater] = None
    compression: Annotated[Compression | None, CompressionRater] = None
    fasttext: Annotated[tuple[FastText, ...], FastTextRater] = ()
    language: Annotated[Language | None, LanguageRater] = None

    @model_validator(mode="after")
    def _names_differ(self) -> Rating:
        names = [*type(self).model_fields, "contamination", *(classifier.name for classifier in self.fasttext)]
        if twice := [name for name, times in Counter(names).items() if times > 1]:
            raise ValueError(f"two raters are called '{twice[0]}': choose another name for the fasttext one")
        return self


class Dedup(Options):
    """How duplicates are found. The one of highest quality is kept; a hash of the id breaks ties."""

    exact: bool = Field(True, description="documents with equal text are duplicates")
    minhash: MinHash | None = Field(
        None, description="near-duplicates, proposed by MinHash bands and decided by exact Jaccard similarity"
    )

    @model_validator(mode="after")
    def _near_includes_exact(self) -> Dedup:
        if self.minhash is not None and not self.exact:
            raise ValueError("minhash needs exact: true, since it finds equal texts too")
        return self


class Recipe(Options):
    """A run. A section that is left out switches its step off, unless every run needs it."""

    name: str = Field("recipe", description="shown in the manifest and the report; names the run directory by default")
    seed: int = Field(0, ge=0, lt=1 << 64, description="seed of all tie breaks and shuffles")
    input: Input = Input(paths=())
    max_rejects: Annotated[int, Field(ge=0)] | Annotated[float, Field(ge=0, le=1)] = Field(
        0.01, description="unreadable records allowed, as a number or a share; the run stops if there are more"
    )
    duplicate_ids: Literal["suffix", "error"] = Field(
        "suffix", description="if two documents have the same id, number the later ones (id#2), or stop"
    )
    words: Words = DEFAULT_WORDS
    rate: Rating = Rating()
    decontaminate: Decontaminate | None = None
    thresholds: dict[str, Threshold] = Field(
        {}, description="limits by signal; the first that fails is the reason for dropping a document"
    )
    dedup: Dedup | None = None
    quality: list[Weight] = Field(
        [], description="the signals that make up quality, from 0 to 1; without any, all documents have the same quality"
    )
    select: Selection = Selection()
    curriculum: Curriculum = Curriculum()
    guards: Guards = Guards()
    output: Output = Output()

    @field_validator("name")
    @classmethod
    def _name_is_a_name(cls, name: str) -> str:
        """It names the run directory by default."""
        if name in ("", ".", "..") or not name.isprintable() or set(name) & set("/\\"):
            raise ValueError(f"{name!r} cannot name a folder: it needs printable characters, none of them / or \\")
        return name

    @field_validator("thresholds")
    @classmethod
    def _thresholds_fit(cls, rules: dict[str, Threshold], info: ValidationInfo) -> dict[str, Threshold]:
        signals = _known_signals(info)

        def check(name: str) -> None:
            check_name(name, signals)
            check_kind(name, rules[name], signals[name].kind == "string")

        FieldErrors.collect({(name,): partial(check, name) for name in rules if signals})
        return rules

    @field_validator("quality")
    @classmethod
    def _weights_fit(cls, weights: list[Weight], info: ValidationInfo) -> list[Weight]:
        signals = _known_signals(info)

        def check(weight: Weight) -> None:
            check_name(weight.signal, signals)
            resolve_range(weight, signals[weight.signal])
            if sum(weight.signal == other.signal for other in weights) > 1:
                raise ValueError(f"'{weight.signal}' is weighed twice")

        FieldErrors.collect({(index,): partial(check, weight) for index, weight in enumerate(weights) if signals})
        return weights

    @field_validator("select")
    @classmethod
    def _bins_are_columns(cls, select: Selection, info: ValidationInfo) -> Selection:
        signals = _known_signals(info)
        columns = enumerate(select.bins) if signals else ()
        FieldErrors.collect({("bins", index): partial(_check_column, name, signals, True) for index, name in columns})
        return select

    @field_validator("curriculum")
    @classmethod
    def _curriculum_fits(cls, curriculum: Curriculum, info: ValidationInfo) -> Curriculum:
        signals = _known_signals(info)
        metrics = curriculum.by.items() if signals else ()
        FieldErrors.collect({("by", source): partial(_parse_metric, metric, signals) for source, metric in metrics})
        phases, expected = len(curriculum.effective_phases), info.data["select"].phases if "select" in info.data else 0
        if expected and expected != phases:
            raise ValueError(f"select.epochs has numbers for {expected} phases, but curriculum.phases has {phases}")
        return curriculum

    @field_validator("guards")
    @classmethod
    def _guards_look_at_columns(cls, guards: Guards, info: ValidationInfo) -> Guards:
        signals = _known_signals(info)
        checks: dict[tuple[str | int, ...], Callable[[], object]] = {}
        for name, guard in guards.by_name.items():
            place = (name,) if name in ("synthetic", "clean") else ("shares", name)
            for column, condition in guard.where.items():
                labels = not isinstance(condition, NumberRange)
                checks[*place, "where", column] = partial(_check_column, column, signals, labels)
        FieldErrors.collect(checks if signals else {})
        return guards

    @cached_property
    def raters(self) -> tuple[Rater, ...]:
        """The raters, in the order of their columns."""
        return _raters(self.rate, self.decontaminate, self.words)

    @property
    def tokens(self) -> TokenCountRater:
        """The rater that counts tokens."""
        (rater,) = (rater for rater in self.raters if isinstance(rater, TokenCountRater))
        return rater

    @cached_property
    def signals(self) -> dict[str, Signal]:
        """The signals that the raters measure, by name."""
        return _signals(self.raters)

    @cached_property
    def metrics(self) -> dict[str, tuple[str, float]]:
        """(column, sign) that orders a source instead of quality; the wildcard comes first."""
        by = sorted(self.curriculum.by.items(), key=lambda item: (item[0] != WILDCARD, item[0]))
        return {source: _parse_metric(metric, self.signals) for source, metric in by}

    @cached_property
    def rate_fingerprint(self) -> str:
        """Covers everything that can change rated/ and sketches/, except the input bytes."""
        minhash = self.dedup.minhash if self.dedup is not None else None
        return fingerprint(
            {
                "code": RATE_VERSION,
                "words": _word_identity(self.words),
                "raters": [[rater.name, _rater_fingerprint(rater)] for rater in self.raters],
                "bands": minhash and minhash.model_dump(include={"bands", "rows", "ngram", "seed", "scheme"}),
                "input": self.input.model_dump(mode="json", exclude={"paths", "allow_empty"}),
            }
        )

    @cached_property
    def decide_fingerprint(self) -> str:
        """Covers all that can change decisions/ and data/ or stop the run (`max_rejects`)."""
        return fingerprint(
            {
                "code": DECIDE_VERSION,
                "rate": self.rate_fingerprint,
                "recipe": self.model_dump(mode="json", exclude={"input", "name", "rate"}),
            }
        )


def _raters(rate: Rating, decontaminate: Decontaminate | None, words: Words) -> tuple[Rater, ...]:
    raters: list[Rater] = []
    for name, field in Rating.model_fields.items():
        if name == "language" and decontaminate is not None:  # whose columns come last
            raters.append(Contamination(decontaminate, words=words))
        options, (rater,) = getattr(rate, name), field.metadata
        raters += map(rater, options if isinstance(options, tuple) else [] if options is None else [options])
    return tuple(raters)


def _signals(raters: Sequence[Rater]) -> dict[str, Signal]:
    return {signal.name: signal for rater in raters for signal in rater.signals}


def _check_column(name: str, signals: dict[str, Signal], labels: bool) -> None:
    """Raises ValueError unless documents have this column, with labels or with numbers."""
    if name in ("source", "licence") or name.startswith(METADATA):
        kind = "string"
    elif name == "quality":
        kind = "float64"
    else:
        check_name(name, [*signals, "source", "licence"])
        kind = signals[name].kind
    if labels != (kind in ("string", "bool")):
        raise ValueError(f"'{name}' is {'a number, not a label' if labels else 'text, not a number'}")


def _parse_metric(metric: str, signals: dict[str, Signal]) -> tuple[str, float]:
    """(column, sign) of a `curriculum.by` value. Raises ValueError if it cannot order documents."""
    name = metric.lstrip("+-")
    _check_column(name, signals, False)
    return parse_metric(metric, "up" if name == "quality" else signals[name].direction)


def _known_signals(info: ValidationInfo) -> dict[str, Signal]:
    """The signals by name; empty if the raters have errors, which must be corrected first."""
    if not {"rate", "decontaminate"} <= info.data.keys():
        return {}
    return _signals(_raters(info.data["rate"], info.data["decontaminate"], DEFAULT_WORDS))


def _word_identity(words: Words) -> dict[str, object]:
    try:
        return words.identity
    except ImportError as error:
        raise RunError(str(error)) from None


def _rater_fingerprint(rater: Rater) -> str:
    """The rater's fingerprint. This reads its model or benchmarks."""
    try:
        return rater.fingerprint
    except (FileNotFoundError, ValueError) as error:
        raise RunError(f"rater '{rater.name}': {error}") from None
