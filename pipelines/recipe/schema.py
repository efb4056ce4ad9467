"""The models of a recipe, the YAML file that describes a run, and checks across its sections."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import cached_property, partial
from itertools import chain, product, zip_longest
from typing import TYPE_CHECKING, Annotated, Any, Literal

from pydantic import Field, ValidationInfo, field_validator, model_validator

from tamis.pipelines.languages.language_files import merged, read_language_files
from tamis.pipelines.recipe.checks.known_signals import (
    BLOCKS,
    MEASURE,
    WRITTEN,
    known_signals,
    left_out,
    raters_of,
    signals_of,
    signals_of_scores,
)
from tamis.pipelines.recipe.checks.section_checks import (
    check_counted,
    check_declared_name,
    check_duplicates_are_counted,
    check_format,
    check_reader_options,
    check_requirement,
    check_score_name,
    check_unedited,
)
from tamis.pipelines.recipe.checks.signal_checks import (
    KnownSignals,
    check_column,
    check_condition,
    check_known_early,
    check_output,
    check_pairs,
    check_rule_exists,
    check_threshold,
    check_vectors,
    known_signal,
    parse_order,
    undeclared_signal,
)
from tamis.pipelines.recipe.editing import OBJECTS as EDITOR_OBJECTS
from tamis.pipelines.recipe.editing import EditStep, check_editor_objects, check_editors_differ
from tamis.pipelines.recipe.field_messages import FieldErrors, FieldPath
from tamis.pipelines.recipe.fingerprints import decide_fingerprint, rate_fingerprint
from tamis.pipelines.recipe.raters import ELSEWHERE, RATERS
from tamis.pipelines.recipe.rating import FINISHED, Rating
from tamis.pipelines.recipe.recipe_blocks import EDIT, Block, TextBlocks
from tamis.transforms.core.component import METADATA
from tamis.transforms.core.editor import PREFIX, Editor
from tamis.transforms.core.options import Count, Options, StepOf
from tamis.transforms.core.rater import VECTOR, Kind, Rater, Signal, running_order
from tamis.transforms.core.shards import Output
from tamis.transforms.curriculum.order import WILDCARD, Curriculum
from tamis.transforms.decontaminate.contamination_rater import Decontaminate
from tamis.transforms.dedup.minhash import Dedup
from tamis.transforms.licences.licence_options import Licences
from tamis.transforms.rate.metadata_signals import DeclaredSignal
from tamis.transforms.rate.token_count import TokenCountRater
from tamis.transforms.read.input_options import Input
from tamis.transforms.select.allocation import Selection
from tamis.transforms.select.guards import Guards, NumberRange
from tamis.transforms.select.quality.fuse import Quality, QualityOptions, Weight, better, resolve_range
from tamis.transforms.select.rule_blocks import THRESHOLDS, LanguagePair, Rules, RuleSet
from tamis.transforms.select.score_files import ScoreFile
from tamis.transforms.select.thresholds import Threshold, check_labels, check_limits
from tamis.transforms.text.words import DEFAULT_WORDS, Words
from tamis.transforms.urls.consent_options import Consent
from tamis.transforms.urls.list_options import UrlLists

if TYPE_CHECKING:
    from tamis.transforms.beam.step import Step

_CUT = {"decontaminate", "dedup"}
"""The sections whose steps may cut text."""

_BESIDE_FILES: dict[str, Any] = {"per_language": {}, "thresholds": {}, "language_pairs": []}


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
    rate_unedited: tuple[str, ...] = Field(
        (), description="raters, by their names, that see each text as it was read; all others see what the editors leave"
    )
    rate: Rating = Field(default_factory=lambda: Rating.model_validate({}))
    scores: dict[str, ScoreFile] = Field(
        {}, description="scores in files of their own, by a name of your choice, which begins the names of their signals"
    )
    signals: dict[str, DeclaredSignal] = Field(
        {},
        description="values that documents bring along, by name: metadata.FIELD, where a.b is field b of object a, or "
        "NAME.COLUMN of the scores",
    )
    url_lists: Annotated[UrlLists | None, StepOf("tamis.transforms.urls.judge_urls:JudgeUrls")] = None
    consent: Annotated[Consent | None, StepOf("tamis.transforms.urls.judge_urls:JudgeConsent")] = None
    licences: Annotated[Licences | None, StepOf("tamis.transforms.licences.judge_licences:JudgeLicences")] = None
    decontaminate: Annotated[Decontaminate | None, StepOf("tamis.transforms.decontaminate.judge:JudgeContamination")] = None
    thresholds: dict[str, Threshold] = Field(
        {}, description="limits by signal; the first that fails is the reason for dropping a document"
    )
    per_source: dict[str, Block] = Field({}, description="what differs for a source, by its name")
    language_pairs: tuple[LanguagePair, ...] = Field(
        (LanguagePair(),),
        min_length=1,
        description="what tells the language of a document for per_language: the label of the first pair whose score is high "
        "enough",
    )
    per_language: dict[str, Block] = Field(
        {}, description="what differs for a language, by its label; it goes before per_source"
    )
    language_files: tuple[str, ...] = Field(
        (),
        description="files of FineWeb-2's form, each with the limits and stop words of the language that it is named after; "
        "they become blocks of per_language, and what is written there goes before them",
    )
    drop_urls: Annotated[tuple[str, ...], StepOf("tamis.transforms.select.drop_urls:DropUrls")] = Field(
        (), description="addresses of documents to drop, exactly as they are written"
    )
    dedup: Annotated[
        Dedup | None,
        StepOf("tamis.transforms.dedup.urls.repeated_urls:DropRepeatedUrls"),
        StepOf("tamis.transforms.dedup.repeats.cut_repeats:CutRepeatedLines"),
        StepOf("tamis.transforms.dedup.released.drop_released:DropReleased"),
        StepOf("tamis.transforms.dedup.duplicates:DropDuplicates"),
        StepOf("tamis.transforms.dedup.repeats.cut_repeats:CutRepeatedParagraphs"),
        StepOf("tamis.transforms.dedup.repeats.cut_repeats:CutRepeatedSentences"),
    ] = None
    after_cuts: dict[str, Threshold] = Field(
        {}, description="limits by signal for documents that lost text to a step that cuts; measured again on what is left"
    )
    quality: QualityOptions = Field(
        [],
        description="the signals that make up quality, from 0 to 1: a list for their weighted mean, or a section; without any, "
        "all documents have the same quality",
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
        to `edit` the editors of the program that neither it nor a block names."""
        if not isinstance(sections, dict):
            return sections
        objects = (info.context or {}).get(EDITOR_OBJECTS, ())
        check_editor_objects(objects)
        sections = {"rate": {}, **sections}
        steps = sections.get("edit", ())
        if objects and isinstance(steps, list | tuple):
            named = {name for step in chain(steps, _steps_of_blocks(sections)) if isinstance(step, dict) for name in step}
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
            FieldErrors.collect({("format",): partial(check_format, options.format)})
            check_reader_options(options)
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
        FieldErrors.collect({(name,): partial(check_score_name, name, taken) for name in scores})
        return scores

    @model_validator(mode="before")
    @classmethod
    def _language_files_are_read(cls, sections: Any) -> Any:
        """Puts the blocks of files under per_language, so that the recipe of a run names no file."""
        files = sections.get("language_files") if isinstance(sections, dict) else None
        own, rules, pairs = (sections.get(name) or kind for name, kind in _BESIDE_FILES.items()) if files else ({}, {}, [])
        if not files or not all(map(isinstance, (files, own, rules), (list | tuple, dict, dict))):
            return sections
        pair = pairs[0] if isinstance(pairs, list | tuple) and pairs and isinstance(pairs[0], dict) else {}
        try:
            blocks = read_language_files(list(map(str, files)), str(pair.get("score", LanguagePair().score)))
        except (ValueError, OSError) as error:
            raise FieldErrors({("language_files",): str(error)}) from None
        return sections | {"language_files": [], "per_language": merged(blocks, own, rules)}

    @field_validator("signals")
    @classmethod
    def _names_have_a_home(cls, declared: dict[str, DeclaredSignal], info: ValidationInfo) -> dict[str, DeclaredSignal]:
        scores = info.data.get("scores", {})
        FieldErrors.collect({(name,): partial(check_declared_name, name, scores) for name in declared})
        return declared

    @field_validator("thresholds")
    @classmethod
    def _thresholds_fit(cls, rules: dict[str, Threshold], info: ValidationInfo) -> dict[str, Threshold]:
        signals = known_signals(info, sections=MEASURE)
        FieldErrors.collect({(name,): partial(check_threshold, name, rules[name], signals) for name in rules if signals})
        return rules

    @field_validator("per_source")
    @classmethod
    def _source_blocks_fit(cls, blocks: dict[str, Block], info: ValidationInfo) -> dict[str, Block]:
        FieldErrors.collect(_block_checks(blocks, info, known_signals(info, blocks, MEASURE)))
        return blocks

    @field_validator("per_language")
    @classmethod
    def _language_blocks_fit(cls, blocks: dict[str, Block], info: ValidationInfo) -> dict[str, Block]:
        signals = known_signals(info, blocks, (*MEASURE, "per_source"))
        checks = _block_checks(blocks, info, signals)
        pairs: tuple[LanguagePair, ...] = info.data.get("language_pairs", ())
        if signals and blocks and pairs:
            checks[()] = partial(check_pairs, pairs, signals, info.data["scores"])
            unedited = info.data["rate_unedited"]
            raters = [*chain.from_iterable(info.data["rate"].raters.values())]
            raw = {signal.name for rater in raters if rater.raw for signal in rater.signals}
            early = {signal.name for rater in raters if rater.name in unedited for signal in rater.signals}
            words_early = raw & early if any(not rater.raw and rater.name in unedited for rater in raters) else raw
            for name, block in blocks.items():
                if block.words is not None:
                    checks[name, "words"] = partial(check_known_early, pairs, words_early, "this text is cut into words")
                if block.stop_words is not None:
                    checks[name, "stop_words"] = partial(check_known_early, pairs, words_early, "these words are counted")
                if block.edit is not None:
                    checks[name, "edit"] = partial(check_known_early, pairs, early, "editors change this text")
            labels = [signals[pair.label].labels if pair.label in signals else () for pair in pairs]
            if all(labels) and signals.strict:
                for name in blocks.keys() - {label for each in labels for label in each}:
                    checks[(name,)] = partial(check_labels, pairs[0].label, [name], signals[pairs[0].label])
        FieldErrors.collect(checks)
        return blocks

    @field_validator("after_cuts")
    @classmethod
    def _limits_are_of_texts(cls, rules: dict[str, Threshold], info: ValidationInfo) -> dict[str, Threshold]:
        signals = known_signals(info)

        def check(name: str) -> None:
            check_threshold(name, rules[name], signals)
            if name.startswith((METADATA, PREFIX, *(f"{score}." for score in info.data["scores"]))):
                raise ValueError(f"no cut changes '{name}': set its limits under thresholds")

        FieldErrors.collect({(name,): partial(check, name) for name in rules if signals})
        return rules

    @field_validator("quality")
    @classmethod
    def _weights_fit(cls, quality: list[Weight] | Quality, info: ValidationInfo) -> list[Weight] | Quality:
        signals = known_signals(info)
        weights, place = (quality.signals, ("signals",)) if isinstance(quality, Quality) else (quality, ())

        def check(weight: Weight) -> None:
            signal = known_signal(weight.signal, signals, "float64")
            (better if isinstance(quality, Quality) and quality.combine == "buckets" else resolve_range)(weight, signal)
            if signals.strict:
                check_limits(weight.signal, weight.range or (), signal)
            if sum(weight.signal == other.signal for other in weights) > 1:
                raise ValueError(f"'{weight.signal}' is weighed twice")

        FieldErrors.collect({(*place, index): partial(check, weight) for index, weight in enumerate(weights) if signals})
        return quality

    @field_validator("select")
    @classmethod
    def _bins_are_columns(cls, select: Selection, info: ValidationInfo) -> Selection:
        signals = known_signals(info)
        columns = enumerate(select.bins) if signals else ()
        checks: dict[FieldPath, Callable[[], object]] = {}
        if select.rehydrate is not None and "dedup" in info.data and "dedup" not in left_out(info):
            checks["rehydrate",] = partial(check_duplicates_are_counted, info.data["dedup"])
        if signals and select.diverse is not None:
            vectors = [name for name, signal in signals_of(raters_of(info.data)).items() if signal.kind == VECTOR]
            checks["diverse", "column"] = partial(check_vectors, select.diverse.column, vectors)
        for index, name in columns:
            checks["bins", index] = partial(check_column, name, signals, True)
            if len(select.bins) == 1 and name in signals and signals.strict:
                for field, bins in select.by_name.items():
                    labels = sorted(bins - {"none"})  # of documents without a label
                    checks[(field,)] = partial(check_labels, name, labels, signals[name])
        FieldErrors.collect(checks)
        return select

    @field_validator("curriculum")
    @classmethod
    def _curriculum_fits(cls, curriculum: Curriculum, info: ValidationInfo) -> Curriculum:
        signals = known_signals(info)
        metrics = curriculum.by.items() if signals else ()
        FieldErrors.collect({("by", source): partial(parse_order, metric, signals) for source, metric in metrics})
        phases, expected = len(curriculum.effective_phases), info.data["select"].phases if "select" in info.data else 0
        if expected and expected != phases:
            raise ValueError(f"select.epochs has numbers for {expected} phases, but curriculum.phases has {phases}")
        return curriculum

    @field_validator("guards")
    @classmethod
    def _guards_look_at_columns(cls, guards: Guards, info: ValidationInfo) -> Guards:
        signals = known_signals(info)
        checks: dict[tuple[str | int, ...], Callable[[], object]] = {}
        for name, guard in guards.by_name.items():
            place = (name,) if name in ("synthetic", "clean") else ("shares", name)
            for column, condition in guard.where.items():
                checks[*place, "where", column] = partial(check_condition, column, condition, signals)
        FieldErrors.collect(checks if signals else {})
        return guards

    @field_validator("output")
    @classmethod
    def _output_has_signals(cls, output: Output, info: ValidationInfo) -> Output:
        signals = known_signals(info)
        named = enumerate(output.signals) if signals else ()
        FieldErrors.collect({("signals", index): partial(check_output, name, signals) for index, name in named})
        return output

    @model_validator(mode="after")
    def _needs_are_met(self, info: ValidationInfo) -> Recipe:
        if left_out(info) & MEASURE:
            return self
        try:
            running_order(self.raters)
        except ValueError as error:
            raise FieldErrors({("rate",): str(error)}) from None
        if self.rate.complete:
            names = {name: partial(check_unedited, name, self.rate_unedited, self.raters) for name in self.rate_unedited}
            FieldErrors.collect({("rate_unedited", index): names[name] for index, name in enumerate(self.rate_unedited)})
        return self

    @model_validator(mode="after")
    def _limits_are_of_editors_that_run(self, info: ValidationInfo) -> Recipe:
        if (info.context or {}).get(FINISHED) or left_out(info) & {EDIT, "thresholds", *BLOCKS}:
            return self
        kinds = {editor.name: type(editor) for editor in self.editors}
        messages: dict[FieldPath, str] = {
            (*section.split(".", 1), EDIT): f"another editor is called '{editor.name}': choose another name for one of them"
            for section, editors in self.editors_by_section.items()
            for editor in editors
            if type(editor) is not kinds[editor.name]
        }
        for source, language in product(("", *self.per_source), ("", *self.per_language)):
            messages |= dict(self._limits_without_editor(self.rules.rule_set(source, language)))
        if messages:
            raise FieldErrors(messages)
        return self

    def _limits_without_editor(self, rule_set: RuleSet) -> Iterator[tuple[FieldPath, str]]:
        """(place, message) for each limit on a signal of an editor that does not run on its documents."""
        running = self.text_blocks.edit_section(rule_set.source, rule_set.language)
        measured = signals_of(self.editors_by_section[running])
        for name in rule_set.rules:
            if not name.startswith(PREFIX) or name in measured:
                continue
            section = rule_set.sections[name]
            if running in (section, EDIT):
                message = f"no document of this block has a value of it: add its editor to {section}.{EDIT}"
                yield (*section.split(".", 1), THRESHOLDS, name), message
            else:
                yield (
                    (*running.split(".", 1), EDIT),
                    f"{section} has limits of '{name}', which these editors do not measure, so no document of this block would "
                    f"pass: take them away with `{name}: null` under {running}.{THRESHOLDS}, or add the editor",
                )

    @model_validator(mode="after")
    def _something_cuts(self, info: ValidationInfo) -> Recipe:
        known = not (info.context or {}).get(FINISHED) and not left_out(info) & _CUT  # to look at the steps takes a second
        if self.after_cuts and known and not any(step.cuts for step in self._own_steps()):
            raise FieldErrors({("after_cuts",): "no step of this recipe cuts text: set these limits under thresholds"})
        return self

    @model_validator(mode="after")
    def _scores_are_declared(self, info: ValidationInfo) -> Recipe:
        written = info.context[WRITTEN].get("signals") if info.context and "signals" in left_out(info) else ()
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
    def text_blocks(self) -> TextBlocks:
        """Which words and editors are for which documents."""
        return TextBlocks(self.words, self.per_source, self.per_language)

    @cached_property
    def editors_by_section(self) -> dict[str, tuple[Editor[Any], ...]]:
        """The editors in their order, by the section that names them: `edit`, then blocks, such as
        per_source.web."""
        steps = {EDIT: self.edit} | {section: block.edit for section, block in self.blocks if block.edit is not None}
        return {section: tuple(step.editor for step in each if step.editor is not None) for section, each in steps.items()}

    @cached_property
    def editors(self) -> tuple[Editor[Any], ...]:
        """The editors of all sections: one of each name, those of `edit` first."""
        editors: dict[str, Editor[Any]] = {}
        for editor in chain.from_iterable(self.editors_by_section.values()):
            editors.setdefault(editor.name, editor)
        return tuple(editors.values())

    @cached_property
    def raters(self) -> tuple[Rater[Any], ...]:
        """The raters, in the order of their columns."""
        return raters_of({name: getattr(self, name) for name in type(self).model_fields})

    @property
    def tokens(self) -> TokenCountRater:
        """The rater that counts tokens."""
        (rater,) = (rater for rater in self.raters if isinstance(rater, TokenCountRater))
        return rater

    @cached_property
    def rated_signals(self) -> dict[str, Signal]:
        """The signals that are columns of rated parts, by name: measured ones, and those of metadata."""
        return signals_of([*self.raters, *chain.from_iterable(self.editors_by_section.values())])

    @cached_property
    def score_signals(self) -> dict[str, tuple[Signal, ...]]:
        """The signals that other files give, by the name of the scores."""
        return signals_of_scores(self.signals, self.scores)

    @cached_property
    def all_signals(self) -> dict[str, Signal]:
        """The signals that documents have, by name."""
        return self.rated_signals | {signal.name: signal for each in self.score_signals.values() for signal in each}

    @cached_property
    def undeclared(self) -> dict[str, Signal]:
        """Fields of metadata that the recipe uses without declaring them, so that Decide reads them
        from the metadata, with the type that their use implies."""
        return {name: undeclared_signal(name, kind) for name, kind in self._undeclared_uses()}

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
        yield from ((weight.signal, "float64") for weight in self.weights)
        yield from ((metric.lstrip("+-"), "float64") for metric in self.curriculum.by.values())
        yield from ((name, "string") for name in (self.select.bins if self.select.by_bin else ()))
        for guard in self.guards.by_name.values():
            yield from ((name, "float64" if isinstance(kind, NumberRange) else "string") for name, kind in guard.where.items())

    @property
    def fusion(self) -> Quality | None:
        """How signals become quality; None if all documents have the same."""
        if isinstance(self.quality, Quality):
            return self.quality
        return Quality(signals=tuple(self.quality)) if self.quality else None

    @property
    def weights(self) -> Sequence[Weight]:
        """The signals that make up quality."""
        return self.quality.signals if isinstance(self.quality, Quality) else self.quality

    @cached_property
    def metrics(self) -> dict[str, tuple[str, float]]:
        """(column, sign) that orders a source instead of quality; the wildcard comes first."""
        by = sorted(self.curriculum.by.items(), key=lambda item: (item[0] != WILDCARD, item[0]))
        return {source: parse_order(metric, KnownSignals(self.all_signals)) for source, metric in by}

    @cached_property
    def steps(self) -> tuple[Step, ...]:
        """The steps that end documents after the thresholds, in the order of their sections; behind each
        row of steps that cut, the one that counts what is left."""
        own = self._own_steps()
        if not any(step.cuts for step in own):
            return own
        from tamis.pipelines.decisions.recount import Recount

        steps: list[Step] = []
        cutting, counted = list[str](), list[str]()
        for step, after in zip_longest(own, own[1:]):
            steps.append(step)
            if step.cuts:
                cutting.append(step.name)
                if after is None or not after.cuts:
                    steps.append(Recount(self, cutting, counted))
                    counted = list(cutting)
        return tuple(steps)

    @property
    def later_sections(self) -> tuple[str, ...]:
        """The sections whose steps may end documents after the thresholds."""
        steps = {
            name for name, field in type(self).model_fields.items() if any(isinstance(each, StepOf) for each in field.metadata)
        }
        if not self.select.is_active and self.select.diverse is None:
            steps.discard("select")
        return tuple(name for name in type(self).model_fields if name in steps and getattr(self, name))

    def _own_steps(self) -> tuple[Step, ...]:
        marks = [
            (getattr(self, name), mark)
            for name, field in type(self).model_fields.items()
            for mark in field.metadata
            if isinstance(mark, StepOf)
        ]
        steps = (mark.load().of(options, self) for options, mark in marks if options)
        return tuple(step for step in steps if step is not None)

    @property
    def blocks(self) -> Iterator[tuple[str, Block]]:
        """The blocks by section, such as per_source.code."""
        return ((section, block) for section, block in sorted(self.rules.blocks.items()) if isinstance(block, Block))

    @cached_property
    def rate_fingerprint(self) -> str:
        """Covers everything that can change rated/ and sketches/, except the input bytes."""
        return rate_fingerprint(self)

    @cached_property
    def decide_fingerprint(self) -> str:
        """Covers all that can change decisions/ and data/ or stop the run (`max_rejects`)."""
        return decide_fingerprint(self)


def _steps_of_blocks(sections: Mapping[str, Any]) -> Iterator[Any]:
    """The editors that blocks name, as they are written."""
    for blocks in (sections.get(name) for name in sorted(BLOCKS)):
        for block in blocks.values() if isinstance(blocks, dict) else ():
            steps = block.get(EDIT) if isinstance(block, dict) else None
            yield from steps if isinstance(steps, list | tuple) else ()


def _block_checks(
    blocks: Mapping[str, Block], info: ValidationInfo, signals: KnownSignals
) -> dict[FieldPath, Callable[[], object]]:
    """The checks of the limits in blocks, by place; none without signals. What takes a rule away needs
    one in `thresholds` or in a block of a source."""
    of_sources = (block.thresholds for block in info.data.get("per_source", {}).values())
    there = {*info.data.get("thresholds", ()), *chain.from_iterable(of_sources)}
    checks: dict[FieldPath, Callable[[], object]] = {}
    for block, options in blocks.items():
        if options.stop_words is not None and signals:
            checks[block, "stop_words"] = partial(check_counted, signals)
        for name, rule in options.thresholds.items():
            if rule is not None and signals:
                checks[block, "thresholds", name] = partial(check_threshold, name, rule, signals)
            elif rule is None and not {"thresholds", "per_source"} & left_out(info):
                checks[block, "thresholds", name] = partial(check_rule_exists, name, there)
    return checks
