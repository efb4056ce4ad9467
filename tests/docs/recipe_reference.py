"""Writes docs/recipe.md, the reference of the recipe, from the models that check recipes.

python -m tests.docs.recipe_reference
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from tamis.pipelines.recipe.raters import ELSEWHERE, RATERS, example_rater, rater_type
from tamis.pipelines.recipe.schema import Recipe

PAGE = Path(__file__).resolve().parents[2] / "docs" / "recipe.md"

LONGEST_DEFAULT = 60
"""Characters of JSON; longer lists are shown by their beginning and their length."""

INTRO = """\
# The recipe

Written by `python -m tests.docs.recipe_reference` from the models in the code. Do not edit it by hand.

A recipe is one YAML file that describes a run. A section that is left out switches its step off. A misspelt field or signal is
an error that names the line and the nearest name. `tamis schema` prints the same as a JSON schema, for editors.
`tamis recipes` lists the shipped recipes, and `tamis recipes NAME` prints one; each is commented line by line, with sources.

`tamis lint` reports the errors of all sections together, each with its line and its likely cure. Numbers of tokens and
documents, and limits of signals, may be written 12.8M, 100B, 1.5T or 12.8e6 (k, M, B, T are 10^3, 10^6, 10^9, 10^12), sizes in
bytes 64MB or 48MiB.

```yaml
seed: 0                                     # for tie breaks and shuffles

input:
  paths: ['crawl/*.jsonl.zst']              # files, folders, globs, @lists; local, s3://, gs://, azure://, http://, hf://
  fields: {text: text, id: id, url: url}    # fields that are not mapped are kept as metadata
max_rejects: 0.01                           # unreadable records allowed, as a share or a number; above it the run stops

words: {definition: punctuation, unspaced: character}

rate:                                       # what is measured; this drops nothing
  gopher: {}
  repetition: {}
  language: {}
  tokens: {tokenizer: tokenizer.json}       # or tiktoken:cl100k_base; without one, an estimate

thresholds:                                 # what is dropped; the first rule that fails is the reason
  gopher.word_count: {min: 50, max: 100000}
  language.label: {one_of: [en]}            # a missing value never passes
  language.probability: {min: 0.65, action: review}

decontaminate:                              # documents that contain benchmark items
  benchmarks:
    - {name: gsm8k, path: benchmarks/gsm8k_test.jsonl, fields: [question, answer]}

dedup:
  minhash: {bands: 14, rows: 8, ngram: 5, threshold: 0.7}

quality:                                    # 0 to 1: a weighted mean of signals
  - {signal: gopher.stop_words, weight: 1, range: [0, 8]}
  - {signal: repetition.duplicate_5gram_chars, weight: 2, range: [0, 0.3]}   # less is better, as its rater declares

select: {tokens: 1B}                        # the best, up to a budget

curriculum:
  order: ascending
  by: {books: -repetition.top_2gram_chars}  # order this source by another signal; + more is better, - less is better
  schedule: {shape: wsd, peak: 3.0e-3, final: 1.0e-3, decay: 0.18}

output: {format: parquet}                   # or jsonl.zst
```

On the command line, `--set a.b=c` overrides a field and `--input` overrides the paths:

```console
$ tamis lint gopher --set curriculum.order=ascending --set curriculum.schedule.final=1e-3
```
"""

SIGNALS = """\
## Signals

Every rater of the recipe records its signals as columns in `rated/`. A signal without a value is null.
`better` and `range` are what `quality` uses unless the recipe gives others: the direction is up, down,
or band (best inside the range), and the range is mapped to 0 and 1.

| signal | type | unit | better | range | source |
|---|---|---|---|---|---|
"""


def page() -> str:
    """The whole page."""
    return "\n".join([INTRO, *_sections(), SIGNALS + "".join(_signals())])


def every_rater() -> Recipe:
    """A recipe with every shipped rater. It reads no file."""
    examples = {plugin.name: example_rater(plugin).options for plugin in RATERS.shipped.values()}
    rate = {name: [options] if rater_type(RATERS.shipped[name]).repeatable else options for name, options in examples.items()}
    sections = {section: rate.pop(name) for name, section in ELSEWHERE.items() if name in rate}
    return Recipe.model_validate({**sections, "rate": rate})


def _sections() -> Iterator[str]:
    schema = Recipe.model_json_schema()
    models = schema["$defs"]
    places: dict[str, str] = {}
    for path, name in _models_below("", schema, models):
        places.setdefault(name, path)  # a section is explained once
    yield "## The top level\n\n" + "".join(_table(schema["properties"], places))
    for name, path in places.items():
        title = f"{'#' * min(2 + path.count('.'), 4)} {path}\n\n{models[name]['description']}\n"
        fields = models[name].get("properties", {})
        yield title + ("\n" + "".join(_table(fields, places)) if fields else "")


def _models_below(path: str, schema: Mapping[str, Any], models: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    """(path in the recipe, name of the model) of every section, in the order of the fields."""
    for field, property_ in schema.get("properties", {}).items():
        for suffix, name in _references(property_):
            below = f"{path}.{field}".lstrip(".") + suffix
            yield below, name
            yield from _models_below(below, models[name], models)


def _references(schema: Mapping[str, Any], suffix: str = "") -> Iterator[tuple[str, str]]:
    """(suffix of the path, name) of the models that a field may hold."""
    if "$ref" in schema:
        yield suffix, schema["$ref"].rsplit("/", 1)[1]
    for choice in _choices(schema):
        yield from _references(choice, suffix)
    if isinstance(schema.get("items"), dict):
        yield from _references(schema["items"], suffix + "[]")
    if isinstance(schema.get("additionalProperties"), dict):
        yield from _references(schema["additionalProperties"], suffix + ".NAME")


def _choices(schema: Mapping[str, Any]) -> list[Mapping[str, Any]]:
    """The schemas of a field that may have several types."""
    return [*schema.get("anyOf", ()), *schema.get("oneOf", ())]


def _table(fields: Mapping[str, Any], places: Mapping[str, str]) -> Iterator[str]:
    yield "| field | type | default | meaning |\n|---|---|---|---|\n"
    for name, schema in fields.items():
        default = f"`{_short(schema['default'])}`" if "default" in schema else "**required**"
        sections = list(_references(schema))
        if sections and (schema.get("default") or "default" not in schema):
            default = "" if {suffix for suffix, _ in sections} == {""} else default
        meaning = schema.get("description", "")
        if sections:
            links = ", ".join(
                dict.fromkeys(f"[{place}](#{anchor(place)})" for place in (places[model] for _, model in sections))
            )
            meaning = f"{meaning}; see {links}" if meaning else f"see {links}"
        yield f"| `{name}` | {_cell(_type(schema))} | {_cell(default)} | {_cell(' '.join(meaning.split()))} |\n"


def anchor(title: str) -> str:
    """The fragment that GitHub gives to a heading."""
    return "".join(c for c in title.lower().replace(" ", "-") if c.isalnum() or c in "-_")


def _cell(text: str) -> str:
    return text.replace("|", "\\|")


def _short(value: object) -> str:
    text = json.dumps(value, ensure_ascii=False)
    if len(text) > LONGEST_DEFAULT and isinstance(value, list) and len(value) > 4:
        return f"{json.dumps(value[:4], ensure_ascii=False)[:-1]}, … {len(value)} in all]"
    return text


def _type(schema: Mapping[str, Any]) -> str:
    if "$ref" in schema:
        return "section"
    if _choices(schema):
        numbers = any(choice.get("type") in ("integer", "number") for choice in _choices(schema))
        # Beside a number stands the pattern by which it may be written with a unit: the page says so once.
        choices = (choice for choice in _choices(schema) if not (numbers and "pattern" in choice))
        return " or ".join(dict.fromkeys(map(_type, choices)))
    if "enum" in schema or "const" in schema:
        return ", ".join(f"`{value}`" for value in schema.get("enum", [schema.get("const")]))
    kind = str(schema.get("type", "any"))
    if kind == "array":
        pair = schema.get("prefixItems")
        return f"[{', '.join(_type(item) for item in pair)}]" if pair else f"list of {_types(schema['items'])}"
    if "properties" in schema:
        return f"map of {', '.join(schema['properties'])}"
    if kind == "object":
        values = schema["additionalProperties"]
        return "map" if values is True else f"map of names to {_types(values)}"
    return kind + _limits(schema)


def _types(schema: Mapping[str, Any]) -> str:
    """Several of a type."""
    name = _type(schema)
    return name + "s" if name.isalpha() else name


def _limits(schema: Mapping[str, Any]) -> str:
    signs = {"minimum": "≥", "exclusiveMinimum": ">", "maximum": "≤", "exclusiveMaximum": "<"}
    limits = [f"{sign} {schema[name]:,}" for name, sign in signs.items() if name in schema]
    return f" {', '.join(limits)}" if limits else ""


def _signals() -> Iterator[str]:
    for signal in every_rater().all_signals.values():
        ends = ["" if end is None else f"{end:,}" for end in (signal.low, signal.high)]
        span = " to ".join(ends) if all(ends) else ""
        name = signal.name.replace("name.", "NAME.", 1) if signal.name.startswith("name.") else signal.name
        yield f"| `{name}` | {signal.kind} | {signal.unit} | {signal.direction} | {span} | {_cell(signal.source)} |\n"


if __name__ == "__main__":
    PAGE.write_text(page(), encoding="utf-8")
    print(PAGE)
