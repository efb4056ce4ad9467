"""Plausible mistakes in a recipe, each with the message that a person gets: what is wrong, where, and the cure."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml

from tamis.pipelines.recipe.load import load_recipe, recipe_of
from tamis.pipelines.recipe.schema import Recipe
from tamis.pipelines.recipe.yaml_file import RecipeError

RATED = "rate: {gopher: {}, language: {}}\n"


def load(tmp_path: Path, text: str, *overrides: str) -> Recipe:
    (tmp_path / "r.yaml").write_text(text)
    return load_recipe(str(tmp_path / "r.yaml"), overrides)


def messages(tmp_path: Path, text: str, *overrides: str) -> list[str]:
    """The errors without the name of the file."""
    with pytest.raises(RecipeError) as caught:
        load(tmp_path, text, *overrides)
    return [line.removeprefix(f"{tmp_path}/r.yaml:") for line in str(caught.value).splitlines()]


MISTAKES = [
    ("thresholds: {c4.curly: {max: 0}}\n", "1: thresholds.c4.curly: no signal 'c4.curly': add rate: {c4: {}}"),
    (
        RATED + "thresholds: {word_count: {min: 50}}\n",
        "2: thresholds.word_count: no signal 'word_count': did you mean 'gopher.word_count'?",
    ),
    (
        RATED + "thresholds: {gopher: {min: 50}}\n",
        "2: thresholds.gopher: no signal 'gopher': it is a rater, with the signals "
        "gopher.alphabetic_words, gopher.bullet_lines, gopher.ellipsis_lines, gopher.ellipsis_ratio, "
        "gopher.hash_ratio, gopher.mean_word_length, gopher.stop_words, gopher.word_count",
    ),
    (
        RATED + "thresholds: {gopher.wordcount: 50}\n",
        "2: thresholds.gopher.wordcount: should be a mapping of min, max, one_of, action, margin",
    ),
    (
        RATED + "thresholds: {gopher.word_count: {min: fifty}}\n",
        "2: thresholds.gopher.word_count.min: should be a number, not fifty",
    ),
    (
        RATED + "thresholds: {gopher.word_count: {minimum: 50}}\n",
        "2: thresholds.gopher.word_count.minimum: no such field; did you mean 'min'?",
    ),
    (
        RATED + "thresholds: {gopher.alphabetic_words: {min: 80}}\n",
        "2: thresholds.gopher.alphabetic_words: 'gopher.alphabetic_words' is a share of words, from 0 to "
        "1, never 80; 80 % is written 0.8",
    ),
    (
        RATED + "thresholds: {language.probability: {min: 65}}\n",
        "2: thresholds.language.probability: 'language.probability' is a probability, from 0 to 1, never "
        "65; 65 % is written 0.65",
    ),
    (
        RATED + "thresholds: {gopher.stop_words: {max: -1}}\n",
        "2: thresholds.gopher.stop_words: 'gopher.stop_words' (distinct words) is never below 0, so it has no limit of -1",
    ),
    (
        RATED + "thresholds: {language.label: {one_of: [eng]}}\n",
        "2: thresholds.language.label: 'language.label' is never 'eng' (ISO 639 code): did you mean 'en'?",
    ),
    (
        RATED + "thresholds: {language.label: {one_of: en}}\n",
        "2: thresholds.language.label.one_of: should be a list: write [en]",
    ),
    (
        RATED + "thresholds: {language.label: {one_of: [no]}}\n",
        "2: thresholds.language.label.one_of.0: is false, not a text: put it in quotes, as in 'no'",
    ),
    (
        RATED + "thresholds: {language: {one_of: [en]}}\n",
        "2: thresholds.language: no signal 'language': it is a rater, with the signals language.label, language.probability",
    ),
    (
        RATED + "thresholds: {lang.label: {one_of: [en]}}\n",
        "2: thresholds.lang.label: no signal 'lang.label': did you mean 'language.label'?",
    ),
    (
        RATED + "thresholds: {quality: {min: 0.5}}\n",
        "2: thresholds.quality: thresholds are of signals, and 'quality' is none: select.top takes the best share",
    ),
    (
        RATED + "thresholds: {source: {one_of: [web]}}\n",
        "2: thresholds.source: thresholds are of signals, and 'source' is none: select.epochs: {NAME: 0} leaves a source out",
    ),
    (
        RATED + "thresholds: {gopher.word_count: {min: 5, action: remove}}\n",
        "2: thresholds.gopher.word_count.action: should be 'drop' or 'review'; did you mean 'drop'?",
    ),
    (
        RATED + "thresholds: {gopher.word_count: {min: 5, margin: 10}}\n",
        "2: thresholds.gopher.word_count.margin: should be less than 1: it is a share, and 10 % is written 0.1",
    ),
    (
        RATED + "thresholds: {gopher.word_count: {min: .inf}}\n",
        "2: thresholds.gopher.word_count.min: should be a finite number",
    ),
    ("rate: [gopher]\n", "1: rate: should be a mapping: write {gopher: …}"),
    ("rate: gopher\n", "1: rate: should be a mapping: write {gopher: {}}"),
    ("rate:\n  gopher:\n  langauge: {}\n", "3: rate.langauge: no such rater; did you mean 'language'?"),
    ("rate: {gopher: {words: 3}}\n", "1: rate.gopher.words: no such field; did you mean 'stop_words'?"),
    (
        "rate: {fasttext: {model: m.bin}}\n",
        "1: rate.fasttext: should be a list: begin each item with a hyphen, as in `- NAME: …`",
    ),
    ("rate: {fasttext: [{model: m.bin}]}\n", "1: rate.fasttext.0.name: is missing"),
    (
        "rate: {minhash: {}}\n",
        "1: rate.minhash: no installed package provides this rater: pip install the one that does. Raters "
        "here are tokens, gopher, repetition, c4, fineweb, compression, fasttext, language, trained, classifier, embedding, "
        "word_lists; there is dedup.minhash",
    ),
    ("raters: {gopher: {}}\n", "1: raters: no such field; did you mean 'rate'?"),
    ("filters: {gopher: {}}\n", "1: filters: no such field; did you mean 'thresholds'?"),
    ("input: data/*.jsonl\n", "1: input: should be a mapping: write {paths: [data/*.jsonl]}"),
    ("input: {path: [a]}\n", "1: input.path: no such field; did you mean 'paths'?"),
    (
        "input: {paths: [a], format: jsonlines}\n",
        "1: input.format: no installed package reads this format: did you mean 'jsonl'?",
    ),
    ("input: {paths: [a], text_field: content}\n", "1: input.text_field: no such field; did you mean 'fields.text'?"),
    ("input: {paths: [a], fields: {content: text}}\n", "1: input.fields.content: no such field; did you mean 'text'?"),
    (
        "input: {paths: [a], fields: {text: [content, body], lang: x}}\n",
        "1: input.fields.lang: no such field; fields are text, html, id, url, source, licence, date",
    ),
    ("select: {tokens: 1.5}\n", "1: select.tokens: should be a whole number"),
    ("select: {token: 5}\n", "1: select.token: no such field; did you mean 'tokens'?"),
    ("select: {top: 10}\n", "1: select.top: should be less than or equal to 1: it is a share, and 10 % is written 0.1"),
    ("select: {top: 10%}\n", "1: select.top: should be a number, not 10%: a share is written 0.1"),
    ("select: {epochs: 2}\n", "1: select.epochs: should be a mapping from names, as in {NAME: 2}"),
    (
        "select: {diverse: {column: embedding}}\n",
        "1: select.diverse.column: 'embedding' does not fit: metadata.FIELD with the embedding, a list of numbers, "
        "or NAME.vector of the rater embedding",
    ),
    (
        "select: {diverse: {column: metadata.embedding, within: topic}}\n",
        "1: select.diverse.within: 'topic' does not fit: column of the cluster: source or metadata.FIELD; null: one cluster",
    ),
    (
        "select: {bins: [source, language.label], epochs: {'*': 1}}\n",
        "1: select.bins.1: no signal 'language.label': add rate: {language: {}}",
    ),
    (
        RATED + "select: {bins: [language.label], epochs: {english: 1}}\n",
        "2: select.epochs: 'language.label' is never 'english' (ISO 639 code): its labels are af, als, am, "
        "an, ar, arz, as, ast, av, az, azb, ba, …",
    ),
    (
        "curriculum: {order: asc}\n",
        "1: curriculum.order: should be 'uniform', 'ascending', 'descending', 'folded', 'bucketed', "
        "'blended' or 'lr_weighted'; did you mean 'ascending'?",
    ),
    (
        "curriculum: {order: random}\n",
        "1: curriculum.order: should be 'uniform', 'ascending', 'descending', 'folded', 'bucketed', "
        "'blended' or 'lr_weighted'; did you mean 'uniform'?",
    ),
    ("curriculum: {schedule: wsd}\n", "1: curriculum.schedule: should be a mapping: write {shape: wsd}"),
    (
        "curriculum: {schedule: {shape: warmup-stable-decay}}\n",
        "1: curriculum.schedule.shape: should be 'constant', 'linear', 'cosine', 'wsd', 'step', 'pieces' or "
        "'points'; did you mean 'wsd'?",
    ),
    (
        "curriculum: {schedule: {from: composer, args: {lr: 1}}}\n",
        "1: curriculum.schedule.from: should be 'megatron', 'transformers', 'torchtitan', 'nanochat' or 'torch'",
    ),
    (
        "curriculum:\n  schedule:\n    from: megatron\n    args:\n      lr: 1e-3\n      lr-decay-style: WSDs\n",
        "6: curriculum.schedule.args.lr-decay-style: should be 'constant', 'linear', 'cosine', 'inverse-square-root' or 'WSD'; "
        "did you mean 'WSD'?",
    ),
    (
        "curriculum: {schedule: {from: megatron, args: {lr: 1e-3, train_iters: 9, lr_warmup: 3}}}\n",
        "1: curriculum.schedule.args.lr_warmup: no such argument of the scheduler; did you mean 'lr_warmup_init'?",
    ),
    (
        "curriculum:\n  schedule:\n    from: megatron\n    args:\n      lr: 1e-3\n      train-iters: 9\n      min-lr: 1e-2\n",
        "7: curriculum.schedule.args.min-lr: is above lr, 0.001",
    ),
    (
        "curriculum: {schedule: {from: megatron, args: {lr: 1, train-iters: 9, rampup-batch-size: [2, 2, 9]}}}\n",
        "1: curriculum.schedule.args.rampup-batch-size: needs the lengths in samples (train_samples, lr_warmup_samples, …), "
        "as in Megatron",
    ),
    (
        "curriculum:\n  schedule:\n    from: transformers\n    args: {max_steps: 9, lr_scheduler_kwargs: {power: 2}}\n",
        "4: curriculum.schedule.args.lr_scheduler_kwargs.power: is not an option of linear: it has none",
    ),
    (
        "curriculum: {schedule: {shape: wsd, peak: 3e-3, min_lr: 1e-5}}\n",
        "1: curriculum.schedule.min_lr: no such field; did you mean 'final'?",
    ),
    (
        "curriculum: {phases: 2}\n",
        "1: curriculum.phases: should be a list, of which each item has half_life, temperature, buckets, "
        "folds, order, name, share",
    ),
    ("curriculum: {phases: [{name: a}, {name: b}]}\n", "1: curriculum.phases: the shares of the phases sum to 2, not 1"),
    (
        RATED + "curriculum: {by: {web: gopher.word_count}}\n",
        "2: curriculum.by.web: say whether more of 'gopher.word_count' is better or less: "
        "+gopher.word_count or -gopher.word_count",
    ),
    (RATED + "curriculum: {by: {web: language.label}}\n", "2: curriculum.by.web: 'language.label' is text, not a number"),
    (
        RATED + "quality: gopher.stop_words\n",
        "2: quality: should be a list, of which each item has signal, weight, direction, range, calibration, reference",
    ),
    (
        RATED + "quality: {combine: and, signals: [{signal: gopher.stop_wrds}]}\n",
        "2: quality.signals.0: no signal 'gopher.stop_wrds': did you mean 'gopher.stop_words'?",
    ),
    (
        RATED + "quality: {combine: all, signals: [{signal: gopher.stop_words}]}\n",
        "2: quality.combine: should be 'mean', 'product', 'min', 'and' or 'buckets'",
    ),
    (
        RATED + "quality: [{signal: gopher.stop_words, calibration: gone.json}]\n",
        "2: quality.0: there is no file gone.json; tamis rate calibrate writes one",
    ),
    (
        RATED + "quality: [gopher.stop_words]\n",
        "2: quality.0: should be a mapping of signal, weight, direction, range, calibration, reference",
    ),
    (
        RATED + "quality: [{signal: metadata.score}]\n",
        "2: quality.0: quality needs a direction for 'metadata.score': up, down or band",
    ),
    ("dedup: minhash\n", "1: dedup: should be a mapping: write {minhash: {}}"),
    (
        "dedup: {minhash: {threshold: 70}}\n",
        "1: dedup.minhash.threshold: should be less than or equal to 1: it is a share, and 70 % is written 0.7",
    ),
    ("dedup: {minhash: {num_perm: 128}}\n", "1: dedup.minhash.num_perm: no such field; did you mean 'bands'?"),
    (
        "decontaminate: {benchmarks: [mmlux]}\n",
        "1: decontaminate.benchmarks: 'mmlux' has no question field, and is not in the registry; did you mean 'mmlu'?",
    ),
    (
        "decontaminate: {benchmarks: [{name: g, path: x}]}\n",
        "1: decontaminate.benchmarks: 'g' has no question field, and is not in the registry; "
        "`tamis contamination benchmarks` lists those that are",
    ),
    (
        "guards: {synthetic: {where: {source: synth}}}\n",
        "1: guards.synthetic.where.source: should be a list: write [synth]; or should be a mapping of min, max",
    ),
    (
        "guards: {synthetic: {where: {metadata.synthetic: true}}}\n",
        "1: guards.synthetic.where.metadata.synthetic: should be a list: write ['true']; or should be a mapping of min, max",
    ),
    (
        "guards: {synthetic: {where: {metadata.synthetic: ['true']}, warn_above: 20}}\n",
        "1: guards.synthetic.warn_above: should be less than or equal to 1: it is a share, and 20 % is written 0.2",
    ),
    (
        "guards: {clean: {where: {quality: {min: 3}}}}\n",
        "1: guards.clean.where.quality: 'quality' is a share, from 0 to 1, never 3",
    ),
    ("output: {format: jsonl}\n", "1: output.format: should be 'parquet' or 'jsonl.zst'; did you mean 'jsonl.zst'?"),
    (
        "output: {path: run/x}\n",
        "1: output.path: no such field; fields are format, shard_bytes, compression_level, row_group_bytes, signals, retain",
    ),
    ("max_rejects: 5%\n", "1: max_rejects: should be a number, not 5%: a share is written 0.05"),
    ("duplicate_ids: drop\n", "1: duplicate_ids: should be 'suffix' or 'error'"),
    ("words: whitespace\n", "1: words: should be a mapping: write {definition: whitespace}"),
    ("edit: {repair: {}}\n", "1: edit: should be a list: begin each item with a hyphen, as in `- NAME: …`"),
    ("edit: [repair]\n", "1: edit.0: should be a mapping: write {repair: {}}"),
    (
        "signals: {score: {kind: float64}}\n",
        "1: signals.score: a signal that documents bring along is called metadata.FIELD, or NAME.COLUMN of the scores NAME",
    ),
    (
        "signals: {metadata.score: {kind: float}}\n",
        "1: signals.metadata.score.kind: should be 'int64', 'float64', 'bool', 'string' or 'list<string>'; "
        "did you mean 'float64'?",
    ),
    ("signals: {metadata.score: {type: float64}}\n", "1: signals.metadata.score.type: no such field; did you mean 'kind'?"),
    ("signals: {metadata.score: float64}\n", "1: signals.metadata.score: should be a mapping: write {kind: float64}"),
    (
        "signals: {metadata.score: {kind: float64, range: [1, 5]}}\nthresholds: {metadata.scor: {min: 3}}\n",
        "2: thresholds.metadata.scor: 'metadata.scor' is not declared under signals: did you mean 'metadata.score'?",
    ),
    ("scores: {edu: {path: scores.parquet}}\n", "1: scores.edu: declare a column of it under signals: edu.COLUMN"),
    (
        RATED + "after_cuts: {gopher.word_count: {min: 5}}\n",
        "2: after_cuts: no step of this recipe cuts text: set these limits under thresholds",
    ),
    ("drop_urls: http://a\n", "1: drop_urls: should be a list: write [http://a]"),
    ("requires: [tamis-foo]\n", "1: requires.0: the package tamis-foo is not installed: pip install 'tamis-foo'"),
    ("input:\n- a.jsonl\n", "1: input: should be a mapping: write {paths: [a.jsonl]}"),
    ("input: {paths: {a: b}}\n", "1: input.paths: should be a list of texts"),
    ("input: {paths: [a], source: [web, books]}\n", "1: input.source: should be a text, not a list"),
    ("path: a.jsonl\n", "1: path: no such field; did you mean 'input.paths'?"),
    (
        "input: {paths: [a], fields: {text: null}}\n",
        "1: input.fields: without a text, every record would be rejected: name its field under text, or a page's under html",
    ),
    (
        "input: {paths: [a], split_bytes: 48 megabytes}\n",
        "1: input.split_bytes: should be a whole number, not 48 megabytes: write 48M",
    ),
    ('select: {tokens: "12,800,000"}\n', "1: select.tokens: should be a whole number, not 12,800,000: write 12800000"),
    ("select: {tokens: 100 billion}\n", "1: select.tokens: should be a whole number, not 100 billion: write 100B"),
    ("select: {tokens: {web: 50%}}\n", "1: select.tokens.web: should be a whole number, not 50%"),
    ("select: {epochs: {web: two}}\n", "1: select.epochs.web: should be a number, not two"),
    ("language: en\n", "1: language: no such field; did you mean 'rate.language'?"),
    ("tokenizer: gpt2\n", "1: tokenizer: no such field; did you mean 'rate.tokens.tokenizer'?"),
    ("min_words: 50\n", "1: min_words: no such field; did you mean 'thresholds.gopher.word_count.min'?"),
    ("rate:\n- gopher: {}\n", "1: rate: should be a mapping, not a list: take the hyphens away"),
    (
        RATED + "thresholds: {language.probability: {one_of: [0.5]}}\n",
        "2: thresholds.language.probability.one_of.0: is 0.5, not a text: put it in quotes, as in '0.5'; limits of a number "
        "are min and max",
    ),
    (
        RATED + "per_source: {web: {gopher.word_count: {min: 5}}}\n",
        "2: per_source.web.gopher.word_count: no such field: it belongs under thresholds",
    ),
    (
        "decontaminate: {benchmarks: [{nme: m, path: x, fields: [q]}]}\n",
        "1: decontaminate.benchmarks.0.nme: no such field; did you mean 'name'?",
    ),
    (
        RATED + "quality: {gopher.stop_words: 1}\n",
        "2: quality: should be a list, of which each item has signal, weight, direction, range, calibration, reference",
    ),
    ("curriculum: ascending\n", "1: curriculum: should be a mapping: write {order: ascending}"),
    ("curriculum: {schedule: {warmup: 2000}}\n", "1: curriculum.schedule.warmup: should be less than 1: it is a share"),
    (
        "signals: {metadata.score: {kind: float64, range: 5}}\n",
        "1: signals.metadata.score.range: should be a list: useful range [low, high], which quality maps to 0 and 1, and the "
        "report draws",
    ),
    ("--set seed", "--set seed: should have the form section.field=value"),
    ("--set rate.gohper={}", "--set rate.gohper={}: rate.gohper: no such rater; did you mean 'gopher'?"),
    ("--set order=ascending", "--set order=ascending: order: no such field; did you mean 'curriculum.order'?"),
    (
        "--set dedup.minhash.treshold=0.8",
        "--set dedup.minhash.treshold=0.8: dedup.minhash.treshold: no such field; did you mean 'threshold'?",
    ),
    (
        "input:\n  paths: [*.jsonl]\n",
        "2: YAML: expected alphabetic or numeric character, but found '.': put a value that begins with * "
        "in quotes, as in '*.jsonl'",
    ),
    ("name: {{ corpus }}\n", "1: YAML: found unhashable key: put a value that begins with {{ in quotes"),
    (
        "thresholds:\n  gopher.word_count: min: 5\n",
        "2: YAML: mapping values are not allowed here: a field that has fields of its own ends the line "
        "with its colon, and they follow below, indented; a text with a colon needs quotes",
    ),
    ("seed = 3\n", "1: recipe: should be a mapping of sections, such as 'rate:'"),
    (
        "[input]\npaths = ['a']\n",
        "2: YAML: expected '<document start>', but found '<scalar>': sections are written as in 'rate:', "
        "with their fields below them, indented",
    ),
]


@pytest.mark.parametrize(("mistake", "message"), MISTAKES)
def test_a_mistake_is_told_with_its_cure(tmp_path: Path, mistake: str, message: str) -> None:
    if mistake.startswith("--set "):
        assert messages(tmp_path, "", mistake.removeprefix("--set ")) == [message]
    else:
        assert messages(tmp_path, mistake) == [message]


SECTIONS = [yaml.safe_load(text) for text, message in MISTAKES if not text.startswith("--set") and "YAML" not in message]
PAIRS = [
    (one, other)
    for apart in (1, 10, 29)
    for one, other in zip(SECTIONS, SECTIONS[apart:], strict=False)
    if isinstance(one, dict) and isinstance(other, dict)
]


def problems(sections: dict[str, Any]) -> set[str]:
    with pytest.raises(RecipeError) as caught:
        recipe_of(sections)
    return {str(problem) for problem in caught.value.problems}


def test_two_mistakes_of_different_sections_are_told_at_once() -> None:
    """Unless one of them is the reason for the other, which these are: to add the rater, or to take the
    limits away, depends on a section that could not be read."""
    follow = {"no such rater: it", "add rate: {language: {}}", "add rate: {c4: {}}", "no step of this recipe cuts text"}
    compared = 0
    for one, other in PAIRS:
        if any(one[section] != other[section] for section in one.keys() & other.keys()):
            continue
        compared += 1
        missing = (problems(one) | problems(other)) - problems(one | other)
        assert not [message for message in missing if not any(part in message for part in follow)]
        assert problems(one | other) <= problems(one) | problems(other)
    assert compared > 100


def test_a_rater_that_is_off_is_told_beside_other_errors(tmp_path: Path) -> None:
    text = (
        "edit: [{repair: {x: 1}}]\nrate: {gohper: {}, fasttext: [{model: m}]}\nthresholds:\n  c4.sentences: {min: 5}\n"
        "  gopher.word_count: {min: 5}\n  edit.lines.removed_words_share: {max: 1}\n  edit.repair.x: {max: 1}\n"
    )
    assert [message.split(": ", 1)[1] for message in messages(tmp_path, text)] == [
        "edit.0.repair.x: no such field; fields are mojibake, entities, controls, line_ends, zero_width, soft_hyphens, "
        "normal_form",
        "rate.gohper: no such rater; did you mean 'gopher'?",
        "rate.fasttext.0.name: is missing",
        "thresholds.c4.sentences: no signal 'c4.sentences': add rate: {c4: {}}",
        "thresholds.edit.lines.removed_words_share: no signal 'edit.lines.removed_words_share': add the editor, "
        "`- lines: {}`, to edit; if only a block has it, set the limits there",
        "thresholds.edit.repair.x: no signal 'edit.repair.x': did you mean 'edit.repair.removed_share'?",
    ]


def test_an_error_hides_no_other(tmp_path: Path) -> None:
    text = (
        "rate: {gopher: {x: 1}, c5: {}}\nthresholds: {gopher.wordcount: {min: 1}, c4.curly: {max: 0}, c5.score: {min: 1}}\n"
        "curriculum: {order: asc, phases: [{name: a, share: 50}]}\nselect: {top: 3}\ndedup: {minhas: {}}\n"
        "after_cuts: {gopher.words: {min: 5}}\n"
    )
    places = [message.split(": ")[:2] for message in messages(tmp_path, text, "seed=x", "oops", "nme=x")]
    assert places == [
        ["1", "rate.gopher.x"],
        ["1", "rate.c5"],
        ["2", "thresholds.gopher.wordcount"],
        ["2", "thresholds.c4.curly"],
        ["3", "curriculum.order"],
        ["3", "curriculum.phases.0.share"],
        ["4", "select.top"],
        ["5", "dedup.minhas"],
        ["6", "after_cuts.gopher.words"],
        ["--set seed=x", "seed"],
        ["--set nme=x", "nme"],
        ["--set oops", "should have the form section.field=value"],
    ]


@pytest.mark.parametrize(
    ("written", "number"),
    [("1M", 10**6), ("12.8e6", 12.8e6), ("12_800_000", 12.8e6), ("100B", 10**11), ("1.5T", 1.5e12), ("3k", 3000)],
)
def test_counts_may_have_a_unit(tmp_path: Path, written: str, number: float) -> None:
    recipe = load(tmp_path, f"select: {{tokens: {written}}}\ncurriculum: {{schedule: {{tokens: {written}}}}}\n")
    assert (recipe.select.tokens, recipe.curriculum.schedule.tokens) == (number, number)
    assert load(tmp_path, "", f"select.tokens={{web: {written}}}").select.tokens == {"web": number}
    assert load(tmp_path, RATED, f"thresholds.gopher.word_count.max={written}").thresholds["gopher.word_count"].max == number


@pytest.mark.parametrize(("written", "size"), [("64MB", 64_000_000), ("1G", 10**9), ("48MiB", 48 << 20), ("4096", 4096)])
def test_sizes_may_have_a_unit(tmp_path: Path, written: str, size: int) -> None:
    assert load(tmp_path, "", f"output.shard_bytes={written}").output.shard_bytes == size
    assert load(tmp_path, "", f"input.split_bytes={written}").input.split_bytes == size


@pytest.mark.parametrize(
    ("override", "message"),
    [
        ("select.tokens=0", "should be greater than or equal to 1"),
        ("select.tokens=1X", "should be a whole number, not 1X"),
        ("output.shard_bytes=1.5", "should be a whole number"),
        ("input.max_record_bytes=2GiB", "should be less than or equal to 1073741824"),
    ],
)
def test_a_wrong_number_is_told(tmp_path: Path, override: str, message: str) -> None:
    (problem,) = messages(tmp_path, "", override)
    assert problem == f"--set {override}: {override.split('=')[0]}: {message}"


def test_a_recipe_in_python_gets_the_same_messages() -> None:
    with pytest.raises(RecipeError) as caught:
        recipe_of({"rate": {"gophr": {}}, "seed": "x", "thresholds": {"tokens.coutn": {"min": 3}}}, ["a"])
    assert str(caught.value).splitlines() == [
        "recipe: seed: should be a whole number, not x",
        "recipe: rate.gophr: no such rater; did you mean 'gopher'?",
        "recipe: thresholds.tokens.coutn: no signal 'tokens.coutn': did you mean 'tokens.count'?",
    ]
