"""The models of a recipe, the YAML file that describes a run, and checks across its sections."""

from __future__ import annotations

import re
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from functools import cached_property, partial
from itertools import chain
from typing import TYPE_CHECKING, Annotated, Any, Final, Literal

from pydantic import Field, ValidationError, ValidationInfo, field_validator, model_validator

from tamis.pipelines.recipe.editing import EDITORS, EditStep, check_editor_objects, check_editors_differ
from tamis.pipelines.recipe.editing import OBJECTS as EDITOR_OBJECTS
from tamis.pipelines.recipe.raters import ELSEWHERE, RATERS
from tamis.pipelines.recipe.rating import FINISHED, Rating, column_order
from tamis.pipelines.recipe.requirements import check_requirement
from tamis.pipelines.recipe.signal_list import could_exist, hint_for_signal
from tamis.pipelines.recipe.yaml_file import FieldErrors, FieldPath, Unknowable, field_messages
from tamis.transforms import storage
from tamis.transforms.core.component import METADATA
from tamis.transforms.core.editor import PREFIX, Editor
from tamis.transforms.core.errors import RunError, nearest
from tamis.transforms.core.options import Count, Options, StepOf, fingerprint
from tamis.transforms.core.rater import Kind, Rater, Signal, running_order
from tamis.transforms.core.shards import Output
from tamis.transforms.curriculum.order import WILDCARD, Curriculum, parse_metric
from tamis.transforms.decontaminate.ngrams import Contamination, Decontaminate
from tamis.transforms.dedup.minhash import Dedup
from tamis.transforms.rate.metadata_signals import MISTYPED, DeclaredSignal, DeclaredSignals, MetadataRater
from tamis.transforms.rate.token_count import TokenCountRater
from tamis.transforms.read.input_options import AUTO, Input
from tamis.transforms.read.readers import READERS, options_type
from tamis.transforms.runtime.credentials import redact
from tamis.transforms.select.allocation import Selection
from tamis.transforms.select.fuse import Weight, resolve_range
from tamis.transforms.select.guards import Guards, NumberRange
from tamis.transforms.select.rule_blocks import LanguagePair, RuleBlock, Rules
from tamis.transforms.select.score_files import ScoreFile
from tamis.transforms.select.thresholds import Threshold, check_kind, check_labels, check_limits, check_name
from tamis.transforms.text.words import DEFAULT_WORDS, Words

if TYPE_CHECKING:
    from tamis.transforms.beam.step import Step

RATE_VERSION = 5  # raise it when the same input and recipe give other rated/ or sketches/
DECIDE_VERSION = 4  # raise it when the same rated parts and recipe give other decisions/ or data/


LEFT_OUT, WRITTEN = "left_out", "written"
"""Keys of the context in which a recipe is checked: the names of sections that lack something,
because it has an error of its own, so what depends on it is not checked; and all sections as they
are written."""

_MEASURE = {"edit", "rate", "scores", "signals", "decontaminate"}
"""The sections that signals come from."""

_CUT = {"decontaminate", "dedup"}
"""The sections whose steps may cut text."""

_DECIDES_NOTHING: Final[Any] = {
    **dict.fromkeys(("input", "name", "edit", "rate", "requires", "max_shrink"), True),
    "output": {"retain"},
}
"""Fields that cannot change decisions/ and data/, or do so through the rating fingerprint."""


class Recipe(Options):
    """A run. A section that is left out switches its step off, unless every run needs it."""

    requires: tuple[str, ...] = Field(
        (), description="packages that provide raters or readers, as for pip: tamis-readability>=1.2"
    )
    name: str = Field("recipe", description="shown in the manifest and the report; names the run directory by default")
    seed: int = Field(0, ge=0, lt=1 << 64, description="seed of all tie breaks and shuffles")
    input: Input = Input()
    max_rejects: Count | Annotated[float, Field(ge=0, le=1)] = Field(
        0.01, description="unreadable records allowed, as a number or a share; the run stops if there are more"
    )
    max_shrink: float = Field(
        0.5,
        ge=0,
        le=1,
        description="how much smaller than the last one a corpus may be, as a share of its documents, if the recipe is the "
        "same and the input has other paths or matches less; with --set, it may be of any size",
    )
    duplicate_ids: Literal["suffix", "error"] = Field(
        "suffix", description="if two documents have the same id, number the later ones (id#2), or stop"
    )
    words: Words = DEFAULT_WORDS
    edit: tuple[EditStep, ...] = Field((), description="editors, which change texts before they are rated, in their order")
    rate: Rating = Field(default_factory=lambda: Rating.model_validate({}))
    scores: dict[str, ScoreFile] = Field(
        {}, description="scores in files of their own, by a name of your choice, which begins the names of their signals"
    )
    signals: dict[str, DeclaredSignal] = Field(
        {},
        description="values that documents bring along, by name: metadata.FIELD, where a.b is field b of object a, or "
        "NAME.COLUMN of the scores",
    )
    decontaminate: Annotated[Decontaminate | None, StepOf("tamis.transforms.decontaminate.judge:JudgeContamination")] = None
    thresholds: dict[str, Threshold] = Field(
        {}, description="limits by signal; the first that fails is the reason for dropping a document"
    )
    per_source: dict[str, RuleBlock] = Field({}, description="limits that differ for a source, by its name")
    language_pairs: tuple[LanguagePair, ...] = Field(
        (LanguagePair(),),
        min_length=1,
        description="what tells the language of a document for per_language: the label of the first pair whose score is high "
        "enough",
    )
    per_language: dict[str, RuleBlock] = Field(
        {}, description="limits that differ for a language, by its label; they override those of per_source"
    )
    drop_urls: Annotated[tuple[str, ...], StepOf("tamis.transforms.select.drop_urls:DropUrls")] = Field(
        (), description="addresses of documents to drop, exactly as they are written"
    )
    dedup: Annotated[
        Dedup | None,
        StepOf("tamis.transforms.dedup.repeated_lines:CutRepeatedLines"),
        StepOf("tamis.transforms.dedup.duplicates:DropDuplicates"),
    ] = None
    after_cuts: dict[str, Threshold] = Field(
        {}, description="limits by signal for documents that lost text to a step that cuts; measured again on what is left"
    )
    quality: list[Weight] = Field(
        [], description="the signals that make up quality, from 0 to 1; without any, all documents have the same quality"
    )
    select: Annotated[
        Selection, StepOf("tamis.transforms.select.similar:DropSimilar"), StepOf("tamis.pipelines.decisions.budget:TakeBudget")
    ] = Selection()
    curriculum: Curriculum = Curriculum()
    guards: Guards = Guards()
    output: Output = Output()

    @model_validator(mode="before")
    @classmethod
    def _add_objects(cls, sections: Any, info: ValidationInfo) -> Any:
        """Adds `rate`, so that it is checked: a default would not see the raters of the program; and
        to `edit` the editors of the program that it does not name."""
        if not isinstance(sections, dict):
            return sections
        objects = (info.context or {}).get(EDITOR_OBJECTS, ())
        check_editor_objects(objects)
        sections = {"rate": {}, **sections}
        steps = sections.get("edit", ())
        if objects and isinstance(steps, list | tuple):
            named = {name for step in steps if isinstance(step, dict) for name in step}
            sections["edit"] = [*steps, *({editor.name: {}} for editor in objects if editor.name not in named)]
        return sections

    @field_validator("name")
    @classmethod
    def _name_is_a_name(cls, name: str) -> str:
        """It names the run directory by default."""
        if name in ("", ".", "..") or not name.isprintable() or set(name) & set("/\\"):
            raise ValueError(f"{name!r} cannot name a folder: it needs printable characters, none of them / or \\")
        return name

    @field_validator("requires")
    @classmethod
    def _requirements_are_met(cls, requires: tuple[str, ...], info: ValidationInfo) -> tuple[str, ...]:
        if not (info.context or {}).get(FINISHED):
            FieldErrors.collect({(index,): partial(check_requirement, line) for index, line in enumerate(requires)})
        return requires

    @field_validator("input")
    @classmethod
    def _reader_fits(cls, options: Input, info: ValidationInfo) -> Input:
        if not (info.context or {}).get(FINISHED):
            FieldErrors.collect({("format",): partial(_check_format, options.format)})
            _check_reader_options(options)
        return options

    @field_validator("edit")
    @classmethod
    def _editors_differ(cls, steps: tuple[EditStep, ...]) -> tuple[EditStep, ...]:
        check_editors_differ([step.editor for step in steps if step.editor is not None])
        return steps

    @field_validator("scores")
    @classmethod
    def _scores_have_own_names(cls, scores: dict[str, ScoreFile], info: ValidationInfo) -> dict[str, ScoreFile]:
        raters = info.data["rate"].raters.values() if "rate" in info.data else ()
        taken = {*RATERS.shipped, *ELSEWHERE, *(rater.name for each in raters for rater in each)}
        FieldErrors.collect({(name,): partial(_check_score_name, name, taken) for name in scores})
        return scores

    @field_validator("signals")
    @classmethod
    def _names_have_a_home(cls, declared: dict[str, DeclaredSignal], info: ValidationInfo) -> dict[str, DeclaredSignal]:
        scores = info.data.get("scores", {})
        FieldErrors.collect({(name,): partial(_check_declared_name, name, scores) for name in declared})
        return declared

    @field_validator("thresholds")
    @classmethod
    def _thresholds_fit(cls, rules: dict[str, Threshold], info: ValidationInfo) -> dict[str, Threshold]:
        signals = _known_signals(info)

        FieldErrors.collect({(name,): partial(_check_threshold, name, rules[name], signals) for name in rules if signals})
        return rules

    @field_validator("per_source")
    @classmethod
    def _source_blocks_fit(cls, blocks: dict[str, RuleBlock], info: ValidationInfo) -> dict[str, RuleBlock]:
        FieldErrors.collect(_block_checks(blocks, info, _known_signals(info)))
        return blocks

    @field_validator("per_language")
    @classmethod
    def _language_blocks_fit(cls, blocks: dict[str, RuleBlock], info: ValidationInfo) -> dict[str, RuleBlock]:
        signals = _known_signals(info)
        checks = _block_checks(blocks, info, signals)
        pairs: tuple[LanguagePair, ...] = info.data.get("language_pairs", ())
        if signals and blocks and pairs:
            checks[()] = partial(_check_pairs, pairs, signals, info.data["scores"])
            labels = [signals[pair.label].labels if pair.label in signals else () for pair in pairs]
            if all(labels) and signals.strict:
                for name in blocks.keys() - {label for each in labels for label in each}:
                    checks[(name,)] = partial(check_labels, pairs[0].label, [name], signals[pairs[0].label])
        FieldErrors.collect(checks)
        return blocks

    @field_validator("after_cuts")
    @classmethod
    def _limits_are_of_texts(cls, rules: dict[str, Threshold], info: ValidationInfo) -> dict[str, Threshold]:
        signals = _known_signals(info)

        def check(name: str) -> None:
            _check_threshold(name, rules[name], signals)
            if name.startswith((METADATA, PREFIX, *(f"{score}." for score in info.data["scores"]))):
                raise ValueError(f"no cut changes '{name}': set its limits under thresholds")

        FieldErrors.collect({(name,): partial(check, name) for name in rules if signals})
        return rules

    @field_validator("quality")
    @classmethod
    def _weights_fit(cls, weights: list[Weight], info: ValidationInfo) -> list[Weight]:
        signals = _known_signals(info)

        def check(weight: Weight) -> None:
            signal = _signal(weight.signal, signals, "float64")
            resolve_range(weight, signal)
            if signals.strict:
                check_limits(weight.signal, weight.range or (), signal)
            if sum(weight.signal == other.signal for other in weights) > 1:
                raise ValueError(f"'{weight.signal}' is weighed twice")

        FieldErrors.collect({(index,): partial(check, weight) for index, weight in enumerate(weights) if signals})
        return weights

    @field_validator("select")
    @classmethod
    def _bins_are_columns(cls, select: Selection, info: ValidationInfo) -> Selection:
        signals = _known_signals(info)
        columns = enumerate(select.bins) if signals else ()
        checks: dict[FieldPath, Callable[[], object]] = {}
        for index, name in columns:
            checks["bins", index] = partial(_check_column, name, signals, True)
            if len(select.bins) == 1 and name in signals and signals.strict:
                for field, bins in select.by_name.items():
                    labels = sorted(bins - {"none"})  # of documents without a label
                    checks[(field,)] = partial(check_labels, name, labels, signals[name])
        FieldErrors.collect(checks)
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
                checks[*place, "where", column] = partial(_check_condition, column, condition, signals)
        FieldErrors.collect(checks if signals else {})
        return guards

    @field_validator("output")
    @classmethod
    def _output_has_signals(cls, output: Output, info: ValidationInfo) -> Output:
        signals = _known_signals(info)
        named = enumerate(output.signals) if signals else ()
        FieldErrors.collect({("signals", index): partial(_check_output, name, signals) for index, name in named})
        return output

    @model_validator(mode="after")
    def _needs_are_met(self, info: ValidationInfo) -> Recipe:
        if _left_out(info) & _MEASURE:
            return self
        try:
            running_order(self.raters)
        except ValueError as error:
            raise FieldErrors({("rate",): str(error)}) from None
        return self

    @model_validator(mode="after")
    def _something_cuts(self, info: ValidationInfo) -> Recipe:
        known = not (info.context or {}).get(FINISHED) and not _left_out(info) & _CUT  # to look at the steps takes a second
        if self.after_cuts and known and not any(step.cuts for step in self._own_steps()):
            raise FieldErrors({("after_cuts",): "no step of this recipe cuts text: set these limits under thresholds"})
        return self

    @model_validator(mode="after")
    def _scores_are_declared(self, info: ValidationInfo) -> Recipe:
        written = info.context[WRITTEN].get("signals") if info.context and "signals" in _left_out(info) else ()
        declared = {str(name).split(".")[0] for name in written} if isinstance(written, dict) else set()
        missing = (name for name, signals in self.score_signals.items() if not signals and name not in declared)
        messages: dict[FieldPath, str] = {
            ("scores", name): f"declare a column of it under signals: {name}.COLUMN" for name in missing
        }
        if messages:
            raise FieldErrors(messages)
        return self

    @model_validator(mode="after")
    def _undeclared_fields_have_one_type(self) -> Recipe:
        kinds: dict[str, set[Kind]] = {}
        for name, kind in self._undeclared_uses():
            kinds.setdefault(name, set()).add(kind)
        if mixed := sorted(name for name in kinds if len(kinds[name]) > 1):
            raise ValueError(f"'{mixed[0]}' is used as a number and as a label: declare it under signals")
        return self

    def __repr__(self) -> str:
        """The name and the sections that differ from their defaults: a whole recipe fills a screen."""
        fields = {name: field for name, field in type(self).model_fields.items() if name != "name"}
        defaults = {name: field.get_default(call_default_factory=True) for name, field in fields.items()}
        changed = [name for name, default in defaults.items() if getattr(self, name) != default]
        return f"Recipe('{self.name}': {', '.join(changed) or 'all defaults'})"

    __str__ = __repr__

    @property
    def rules(self) -> Rules:
        """The thresholds, with those of the blocks."""
        return Rules.model_construct(**{name: getattr(self, name) for name in Rules.model_fields})

    @cached_property
    def editors(self) -> tuple[Editor[Any], ...]:
        """The editors, in their order."""
        return tuple(step.editor for step in self.edit if step.editor is not None)

    @cached_property
    def raters(self) -> tuple[Rater[Any], ...]:
        """The raters, in the order of their columns."""
        return _raters(self.rate, self.signals, self.decontaminate, self.words)

    @property
    def tokens(self) -> TokenCountRater:
        """The rater that counts tokens."""
        (rater,) = (rater for rater in self.raters if isinstance(rater, TokenCountRater))
        return rater

    @cached_property
    def rated_signals(self) -> dict[str, Signal]:
        """The signals that are columns of rated parts, by name: measured ones, and those of metadata."""
        return _signals([*self.raters, *self.editors])

    @cached_property
    def score_signals(self) -> dict[str, tuple[Signal, ...]]:
        """The signals that other files give, by the name of the scores."""
        return _score_signals(self.signals, self.scores)

    @cached_property
    def all_signals(self) -> dict[str, Signal]:
        """The signals that documents have, by name."""
        return self.rated_signals | {signal.name: signal for each in self.score_signals.values() for signal in each}

    @cached_property
    def undeclared(self) -> dict[str, Signal]:
        """Fields of metadata that the recipe uses without declaring them, so that Decide reads them
        from the metadata, with the type that their use implies."""
        return {name: _undeclared(name, kind) for name, kind in self._undeclared_uses()}

    def _undeclared_uses(self) -> Iterator[tuple[str, Kind]]:
        for name, kind in self._uses():
            if name.startswith(METADATA) and name not in self.all_signals:
                yield name, kind

    def _uses(self) -> Iterator[tuple[str, Kind]]:
        """The columns that the recipe names, with the kind that it takes them for."""
        for rules in self.rules.sections.values():
            limits = ((name, rule) for name, rule in rules.items() if rule is not None)
            yield from ((name, "float64" if rule.one_of is None else "string") for name, rule in limits)
        for pair in self.language_pairs if self.per_language else ():
            yield pair.label, "string"
            yield pair.score, "float64"
        yield from ((weight.signal, "float64") for weight in self.quality)
        yield from ((metric.lstrip("+-"), "float64") for metric in self.curriculum.by.values())
        yield from ((name, "string") for name in (self.select.bins if self.select.by_bin else ()))
        for guard in self.guards.by_name.values():
            yield from ((name, "float64" if isinstance(kind, NumberRange) else "string") for name, kind in guard.where.items())

    @cached_property
    def metrics(self) -> dict[str, tuple[str, float]]:
        """(column, sign) that orders a source instead of quality; the wildcard comes first."""
        by = sorted(self.curriculum.by.items(), key=lambda item: (item[0] != WILDCARD, item[0]))
        return {source: _parse_metric(metric, _Signals(self.all_signals)) for source, metric in by}

    @cached_property
    def steps(self) -> tuple[Step, ...]:
        """The steps that end documents after the thresholds, in the order of their sections; behind the
        last one that cuts, the one that counts what is left."""
        steps = self._own_steps()
        cutting = [number for number, step in enumerate(steps) if step.cuts]
        if not cutting:
            return steps
        from tamis.pipelines.decisions.recount import Recount

        count = Recount(self, [steps[number].name for number in cutting])
        return (*steps[: cutting[-1] + 1], count, *steps[cutting[-1] + 1 :])

    def _own_steps(self) -> tuple[Step, ...]:
        marks = [
            (getattr(self, name), mark)
            for name, field in type(self).model_fields.items()
            for mark in field.metadata
            if isinstance(mark, StepOf)
        ]
        steps = (mark.load().of(options, self) for options, mark in marks if options)
        return tuple(step for step in steps if step is not None)

    @cached_property
    def rate_fingerprint(self) -> str:
        """Covers everything that can change rated/ and sketches/, except the input bytes."""
        minhash = self.dedup.minhash if self.dedup is not None else None
        return fingerprint(
            {
                "code": RATE_VERSION,
                "words": _word_identity(self.words),
                "editors": [[editor.name, _fingerprint("editor", editor)] for editor in self.editors],
                "raters": [[rater.name, _fingerprint("rater", rater)] for rater in self.raters],
                "bands": minhash and minhash.model_dump(include={"bands", "rows", "ngram", "seed", "scheme"}),
                "input": self.input.identity,
            }
        )

    @cached_property
    def decide_fingerprint(self) -> str:
        """Covers all that can change decisions/ and data/ or stop the run (`max_rejects`)."""
        return fingerprint(
            {
                "code": DECIDE_VERSION,
                "rate": self.rate_fingerprint,
                "recipe": self.model_dump(mode="json", exclude=_DECIDES_NOTHING),
                "scores": [_score_versions(name, scores) for name, scores in self.scores.items()],
            }
        )


def _check_format(name: str) -> None:
    """Raises ValueError unless files of this format can be read here."""
    if name != AUTO and READERS.find(name) is None:
        close = nearest(name, READERS.names)
        hint = f"did you mean '{close}'?" if close else f"formats are {', '.join([AUTO, *READERS.names])}"
        raise ValueError(f"no installed package reads this format: {hint}")


def _check_reader_options(options: Input) -> None:
    """Raises FieldErrors unless the options of another package's reader are as it wants them."""
    try:
        model = options_type(options.format) if options.format != AUTO else Options
        model.model_validate(options.options)
    except ImportError as error:
        raise FieldErrors({("format",): str(error)}) from None
    except ValidationError as error:
        raise FieldErrors({("options", *place): message for place, message in field_messages(error, model).items()}) from None


def _raters(
    rate: Rating, declared: Mapping[str, DeclaredSignal], decontaminate: Decontaminate | None, words: Words
) -> tuple[Rater[Any], ...]:
    by_key = dict(rate.raters)
    if decontaminate is not None:
        by_key["contamination"] = (Contamination(decontaminate, words=words),)
    if own := {name: signal for name, signal in declared.items() if name.startswith(METADATA)}:
        by_key["metadata"] = (MetadataRater(DeclaredSignals(signals=own)),)
    return tuple(rater for key in sorted(by_key, key=column_order) for rater in by_key[key])


def _signals(components: Sequence[Rater[Any] | Editor[Any]]) -> dict[str, Signal]:
    return {signal.name: signal for component in components for signal in component.signals}


class _Signals(dict[str, Signal]):
    """The signals that a recipe can name. `written`: the sections of the recipe, if some signals are
    missing, as what measures them has errors; `strict`: the recipe is not that of a finished run, so
    limits and labels are checked."""

    written: Mapping[str, Any] | None = None
    strict = True


def _check_threshold(name: str, rule: Threshold, signals: _Signals) -> None:
    if name in ("quality", "source") and name not in signals:
        other = "select.top takes the best share" if name == "quality" else "select.epochs: {NAME: 0} leaves a source out"
        raise ValueError(f"thresholds are of signals, and '{name}' is none: {other}")
    signal = _signal(name, signals, "float64" if rule.one_of is None else "string")
    check_kind(name, rule, signal.has_labels)
    if signals.strict:
        check_limits(name, (rule.min, rule.max), signal)
        check_labels(name, rule.one_of or (), signal)


def _block_checks(
    blocks: Mapping[str, RuleBlock], info: ValidationInfo, signals: _Signals
) -> dict[FieldPath, Callable[[], object]]:
    """The checks of the limits in blocks, by place; none without signals. What takes a rule away needs
    one in `thresholds` or in a block of a source."""
    of_sources = (block.thresholds for block in info.data.get("per_source", {}).values())
    there = {*info.data.get("thresholds", ()), *chain.from_iterable(of_sources)}
    checks: dict[FieldPath, Callable[[], object]] = {}
    for block, options in blocks.items():
        for name, rule in options.thresholds.items():
            if rule is not None and signals:
                checks[block, "thresholds", name] = partial(_check_threshold, name, rule, signals)
            elif rule is None and not {"thresholds", "per_source"} & _left_out(info):
                checks[block, "thresholds", name] = partial(_check_rule_exists, name, there)
    return checks


def _check_rule_exists(name: str, rules: Collection[str]) -> None:
    if name not in rules:
        near = nearest(name, rules)
        hint = f": did you mean '{near}'?" if near else f"; those with limits are {', '.join(sorted(rules))}" if rules else ""
        raise ValueError(f"null takes the limits of a signal away, and '{name}' has none{hint}")


def _check_pairs(pairs: Sequence[LanguagePair], signals: _Signals, scores: Collection[str]) -> None:
    """Raises ValueError unless every pair has one label and a number that a release keeps."""
    for pair in pairs:
        for name in (pair.label, pair.score):
            if name.split(".")[0] in scores:
                raise ValueError(f"language_pairs: a release does not keep '{name}', so nobody could see why a rule held")
        label, score = _signal(pair.label, signals, "string"), _signal(pair.score, signals, "float64")
        if label.kind != "string":
            raise ValueError(f"language_pairs: '{pair.label}' is no single label")
        if score.has_labels:
            raise ValueError(f"language_pairs: '{pair.score}' is text, not a number")
        if signals.strict:
            check_limits(pair.score, [pair.min], score)


def _check_condition(name: str, condition: tuple[str, ...] | NumberRange, signals: _Signals) -> None:
    """Raises ValueError unless documents can meet a condition of a guard."""
    limits = (condition.min, condition.max) if isinstance(condition, NumberRange) else ()
    _check_column(name, signals, not isinstance(condition, NumberRange))
    signal = _QUALITY if name == "quality" else signals.get(name)
    if signal is not None and signals.strict:
        check_limits(name, limits, signal)
        check_labels(name, () if isinstance(condition, NumberRange) else condition, signal)


_QUALITY = Signal("quality", "float64", "share", "up", "the recipe", 0.0, 1.0)


def _signal(name: str, signals: _Signals, kind: Kind) -> Signal:
    """The signal of this name, or an undeclared field of the metadata, which is of the kind that its
    use implies. Raises ValueError if there is no such signal."""
    if name.startswith(METADATA) and name not in signals:
        if not all(name.split(".")):
            raise ValueError(f"'{name}' names no field of the metadata")
        declared = [other for other in signals if other.startswith(METADATA)]
        if close := nearest(name, declared, cutoff=0.8):
            raise ValueError(f"'{name}' is not declared under signals: did you mean '{close}'?")
        return _undeclared(name, kind)
    _check_signal(name, signals)
    return signals[name]


def _check_signal(name: str, signals: _Signals, *others: str) -> None:
    """Raises ValueError unless there is such a signal, or it is one of `others`, naming the rater to
    add or the nearest; Unknowable if its rater has an error."""
    if name in signals or name in others:
        return
    if signals.written is not None and could_exist(name, [*signals], signals.written):
        raise Unknowable
    rater, *rest = name.split(".")
    edited = {".".join(other.split(".")[:2]) for other in signals}
    if rater == "edit" and rest and rest[0] in EDITORS.names and f"edit.{rest[0]}" not in edited:
        raise ValueError(f"no signal '{name}': add the editor, `- {rest[0]}: {{}}`, to edit")
    measured = {other.split(".")[0] for other in signals}
    if rater not in measured and (hint := hint_for_signal(name, [*signals, *others])):
        raise ValueError(f"no signal '{name}': {hint}")
    check_name(name, [*signals, *others])


def _check_output(name: str, signals: _Signals) -> None:
    if name.startswith(METADATA) and name not in signals:
        raise ValueError(f"declare '{name}' under signals: a column has a type")
    _check_signal(name, signals)


def _undeclared(name: str, kind: Kind) -> Signal:
    return Signal(name, kind, "", "none", "metadata of the input")


def _score_signals(declared: Mapping[str, DeclaredSignal], scores: Mapping[str, ScoreFile]) -> dict[str, tuple[Signal, ...]]:
    return {
        score: tuple(
            declared[name].signal(name, redact(scores[score].path)) for name in sorted(declared) if name.split(".")[0] == score
        )
        for score in scores
    }


def _score_versions(name: str, scores: ScoreFile) -> list[str]:
    """Changes whenever the files may have changed. Raises RunError if there is none."""
    try:
        paths = [scores.path, *([scores.ids] if scores.ids is not None else [])]
        return [f"{entry.uri} {entry.version}" for entry in storage.expand(paths)]
    except (FileNotFoundError, ValueError) as error:
        raise RunError(f"scores.{name}: {error}") from None


def _check_score_name(name: str, taken: Collection[str]) -> None:
    if not re.fullmatch("[a-z][a-z0-9_]*", name):
        raise ValueError("a name of scores is of small letters, digits and _")
    if name in taken:
        raise ValueError(f"a rater is called '{name}': choose another name")


def _check_declared_name(name: str, scores: Collection[str]) -> None:
    home, *fields = name.split(".")
    if home not in ("metadata", *scores) or not fields or not all(fields):
        raise ValueError("a signal that documents bring along is called metadata.FIELD, or NAME.COLUMN of the scores NAME")
    if name == MISTYPED:
        raise ValueError("this name counts the fields of another type than declared")


def _check_column(name: str, signals: _Signals, labels: bool) -> None:
    """Raises ValueError unless documents have this column, with labels or with numbers."""
    if name in ("source", "licence", "quality"):
        has_labels = name != "quality"
    elif name.startswith(METADATA) or name in signals:
        signal = _signal(name, signals, "string" if labels else "float64")
        has_labels = signal.has_labels or (labels and signal.kind == "bool")  # which counts as 1 and 0, too
    else:
        _check_signal(name, signals, "source", "licence", "quality")
    if labels != has_labels:
        raise ValueError(f"'{name}' is {'a number, not a label' if labels else 'text, not a number'}")


def _parse_metric(metric: str, signals: _Signals) -> tuple[str, float]:
    """(column, sign) of a `curriculum.by` value. Raises ValueError if it cannot order documents."""
    name = metric.lstrip("+-")
    _check_column(name, signals, False)
    return parse_metric(metric, "up" if name == "quality" else _signal(name, signals, "float64").direction)


def _left_out(info: ValidationInfo) -> frozenset[str]:
    left_out: frozenset[str] = (info.context or {}).get(LEFT_OUT, frozenset())
    return left_out


def _known_signals(info: ValidationInfo) -> _Signals:
    """The signals by name; empty if the raters have errors, which must be corrected first, or if
    some of a finished run are gone."""
    if not info.data.keys() >= _MEASURE or not info.data["rate"].complete:
        return _Signals()
    editors = [step.editor for step in info.data["edit"]]
    if None in editors:
        return _Signals()
    raters = _raters(info.data["rate"], info.data["signals"], info.data["decontaminate"], DEFAULT_WORDS)
    rated = _signals([*raters, *editors])
    scores = _score_signals(info.data["signals"], info.data["scores"])
    signals = _Signals(rated | {signal.name: signal for each in scores.values() for signal in each})
    signals.written = (info.context or {})[WRITTEN] if _left_out(info) & _MEASURE else None
    signals.strict = not (info.context or {}).get(FINISHED)
    return signals


def _word_identity(words: Words) -> dict[str, object]:
    try:
        return words.identity
    except ImportError as error:
        raise RunError(str(error)) from None


def _fingerprint(kind: str, component: Rater[Any] | Editor[Any]) -> str:
    """The fingerprint of a rater or an editor. This reads its model or benchmarks."""
    try:
        return component.fingerprint
    except RunError:
        raise
    except (FileNotFoundError, ValueError) as error:
        raise RunError(f"{kind} '{component.name}': {error}") from None
    except Exception as error:  # of another package
        raise RunError(f"{kind} '{component.name}': {type(error).__name__}: {error}") from error
