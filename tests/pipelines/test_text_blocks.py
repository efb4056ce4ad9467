"""Documents of a mixed batch are edited and cut into words by their blocks, and measured as alone."""

from __future__ import annotations

import json
from functools import cache
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from typer.testing import CliRunner

import tamis
from tamis.pipelines.cli.main import app
from tamis.pipelines.measure import measure
from tamis.pipelines.rate import prepared_components
from tamis.pipelines.recipe.lint_recipe import lint_recipe
from tamis.pipelines.recipe.load import recipe_of
from tamis.pipelines.recipe.schema import Recipe
from tamis.transforms.core.documents import SCHEMA
from tamis.transforms.core.errors import RunError
from tamis.transforms.core.parts import EDITS

SHORT_LINES = {"cut_lines": {"where": {"words": {"max": 2}}}}
LONG_LINES = {"cut_lines": {"where": {"words": {"min": 4}}}}
RATE: dict[str, Any] = {"gopher": {}}
BLOCKS: dict[str, Any] = {
    "rate": RATE,
    "edit": [{"repair": {}}],
    "dedup": {"minhash": {}},
    "per_source": {
        "code": {"words": {"definition": "whitespace"}, "edit": []},
        "web": {"edit": [{"repair": {}}, SHORT_LINES]},
        "wiki": {"edit": [LONG_LINES], "thresholds": {"gopher.word_count": {"min": 3}}},
    },
    "language_pairs": [{"label": "metadata.lang", "score": "metadata.sure", "min": 0.5}],
    "per_language": {"zh": {"words": {"unspaced": "clause"}}, "de": {"edit": [SHORT_LINES]}},
}
OWN: dict[str, dict[str, Any]] = {
    "code": {"words": {"definition": "whitespace"}, "edit": []},
    "web": {"words": {}, "edit": [{"repair": {}}, SHORT_LINES]},
    "wiki": {"words": {}, "edit": [LONG_LINES]},
    "books": {"words": {}, "edit": [{"repair": {}}]},
}
"""By source: the words and editors that the blocks give it."""


@cache
def recipe(sections: str) -> Recipe:
    return recipe_of(json.loads(sections))


def plain(source: str, language: str | None) -> dict[str, Any]:
    """The sections of a recipe for one kind of document."""
    own = OWN[source]
    words = own["words"] | ({"unspaced": "clause"} if language == "zh" else {})
    return {"rate": RATE, "dedup": {"minhash": {}}, "words": words, "edit": [SHORT_LINES] if language == "de" else own["edit"]}


texts = st.lists(
    st.sampled_from(
        ["x = f(a, b)\n", "the dog's\n", "caf&eacute; — \n", "你好，世界。\n", "3,5 m/s ", "a b c d e\n", "\x00\ufeff", "#"]
    )
).map("".join)
documents = st.lists(
    st.tuples(texts, st.sampled_from(sorted(OWN)), st.sampled_from([None, "zh", "de", "en"]), st.sampled_from([0.4, 0.9])),
    max_size=6,
)


def batch(rows: list[tuple[str, str, str | None, float]]) -> pa.RecordBatch:
    return pa.RecordBatch.from_pylist(
        [
            {"id": str(number), "text": text, "source": source, "metadata": json.dumps({"lang": language, "sure": sure})}
            for number, (text, source, language, sure) in enumerate(rows)
        ],
        schema=SCHEMA,
    )


@settings(max_examples=20)
@given(documents, st.integers(0, 6))
def test_each_document_is_measured_as_alone_by_the_words_and_editors_of_its_blocks(
    rows: list[tuple[str, str, str | None, float]], cut: int
) -> None:
    blocks = recipe(json.dumps(BLOCKS))
    whole = batch(rows)
    rated, sketch = measure(whole, blocks, prepared_components(blocks, ""))
    assert rated["id"].to_pylist() == sketch["id"].to_pylist() == whole["id"].to_pylist()
    for row, (text, source, language, sure) in enumerate(rows):
        own = plain(source, language if sure >= 0.5 else None)
        alone = recipe(json.dumps(own))
        expected, other = measure(whole.slice(row, 1), alone, prepared_components(alone, ""))
        got = rated.slice(row, 1).to_pylist()[0]
        missing = {name for name in got if name not in expected.schema.names}
        assert {name: got[name] for name in expected.schema.names} == expected.to_pylist()[0]
        assert all(got[name] is None for name in missing)
        assert all(name.startswith("edit.") or name == EDITS for name in missing)
        common = recipe(json.dumps(own | {"words": {}}))  # bands are of the recipe's words
        bands = measure(whole.slice(row, 1), common, prepared_components(common, ""))[1]["bands"]
        assert sketch["bands"][row] == bands[0]
        assert sketch["chars_read"][row].as_py() == len(text)
        names = ["bytes", "chars", "text_hash_0", "text_hash_1", "record_hash"]
        assert sketch.select(names).slice(row, 1) == other.select(names)
    known = {"gopher": rated.select([name for name in rated.schema.names if name.startswith("gopher.")])}
    assert measure(whole, blocks, prepared_components(blocks, ""), known) == (rated, sketch)
    pieces = [whole.slice(0, min(cut, len(rows))), whole.slice(min(cut, len(rows)))]
    halves = [measure(piece, blocks, prepared_components(blocks, "")) for piece in pieces]
    assert pa.Table.from_batches([half[0] for half in halves]) == pa.Table.from_batches([rated])
    assert pa.Table.from_batches([half[1] for half in halves]) == pa.Table.from_batches([sketch])


@settings(max_examples=20)
@given(documents)
def test_the_sketch_is_the_same_whether_words_are_rated_or_not(rows: list[tuple[str, str, str | None, float]]) -> None:
    measured = [recipe(json.dumps({"rate": rate, "dedup": {"minhash": {}}})) for rate in (RATE, {})]
    rated, unrated = (measure(batch(rows), each, prepared_components(each, ""))[1] for each in measured)
    assert rated == unrated


@settings(max_examples=20)
@given(documents)
def test_a_rater_that_sees_texts_unedited_measures_them_as_without_editors(
    rows: list[tuple[str, str, str | None, float]],
) -> None:
    """And the others as with them, whatever the blocks are."""
    blocks = BLOCKS | {"rate": {"gopher": {}, "repetition": {}}}
    words = {
        "per_source": {"code": {"words": {"definition": "whitespace"}}},
        "per_language": {"zh": BLOCKS["per_language"]["zh"]},
    }
    recipes = [recipe(json.dumps(blocks | own)) for own in ({"rate_unedited": ["gopher"]}, {}, {"edit": []} | words)]
    whole = batch(rows)
    (rated, sketch), (edited, edited_sketch), (read, _) = (
        measure(whole, each, prepared_components(each, "")) for each in recipes
    )
    assert sketch == edited_sketch
    for name in rated.schema.names:
        assert rated[name] == (read if name.startswith("gopher.") else edited)[name], name


def test_the_words_of_a_language_hold_where_the_rater_is_sure_of_it() -> None:
    by_label = recipe_of({"rate": RATE | {"language": {}}, "per_language": {"zh": {"words": {"unspaced": "clause"}}}})
    chinese = "这座小城坐落在河边，每年春天都会迎来许多游客。"
    english = "A small town lies at the river bank, where guests come in spring."
    both = batch([(chinese, "web", None, 0), (english, "web", None, 0)])
    rated, _ = measure(both, by_label, prepared_components(by_label, ""))
    assert rated["language.label"].to_pylist() == ["zh", "en"]
    assert rated["gopher.word_count"].to_pylist() == [2, 13]
    unsure = recipe_of(by_label.model_dump(mode="json") | {"language_pairs": [{"min": 1}]})
    rated, _ = measure(batch([(chinese, "web", None, 0)]), unsure, prepared_components(unsure, ""))
    assert rated["gopher.word_count"].to_pylist() == [21]


PROSE = "The mayor repaired the narrow clock near the harbour, and nobody could say why it stopped again before sunrise. "
ITEM = "Which well-known metal that is half-liquid at room-temperature did the old-town alchemists keep in glass-bottles?"
CORPUS = [
    {"id": "web", "source": "web", "text": f"Home\n{PROSE}Some more words, to tell them apart: one.\nMenu\n"},
    {"id": "code", "source": "code", "text": f"Home\n{PROSE}Some more words, to tell them apart: two.\nMenu\n"},
    {"id": "quiz", "source": "code", "text": f"# A comment on the subject\n{ITEM}\n# and another one\nreturn 42\n"},
    {"id": "calls", "source": "code", "text": "x = f(a, b)\ny = g(x)\n# the sum of all that is in it\n"},
    {"id": "cut", "source": "code", "text": "# a licence of many words, which all files have\nvalue = f(a, b, c, d, e)\n"},
    {"id": "cut, too", "source": "code", "text": "# a licence of many words, which all files have\nvalue = f a b c d e\n"},
    {"id": "book", "source": "books", "text": "Chapter one\nIt was a dark and stormy night; the rain fell in torrents.\n"},
]
RUN: dict[str, Any] = {
    "rate": {"gopher": {}},
    "edit": [SHORT_LINES],
    "dedup": {"minhash": {"rows": 2}, "lines": {"within": "source", "documents": 2}},
    "after_cuts": {"gopher.word_count": {"min": 7}},
    "thresholds": {"edit.cut_lines.removed_share": {"max": 0.9}},
    "per_source": {
        "code": {
            "words": {"definition": "whitespace"},
            "edit": [],
            "thresholds": {"edit.cut_lines.removed_share": None, "gopher.word_count": {"min": 10}},
        }
    },
}


def launched(folder: Path, sections: dict[str, Any]) -> tamis.Release:
    folder.mkdir(exist_ok=True)
    if not (folder / "in.jsonl").exists():  # a file that is written anew is read anew
        (folder / "in.jsonl").write_text("".join(json.dumps(record) + "\n" for record in CORPUS))
        (folder / "quiz.jsonl").write_text(json.dumps({"question": ITEM}))
    quiz = {"benchmarks": [{"name": "quiz", "path": str(folder / "quiz.jsonl"), "fields": ["question"]}]}
    return tamis.run(sections | {"decontaminate": quiz}, str(folder / "in.jsonl"), str(folder / "run"), workers=1)


def test_a_run_edits_by_source_and_finds_copies_and_items_across_words(tmp_path: Path) -> None:
    release = launched(tmp_path, RUN)
    decided = {row["id"]: (row["decision"], row["reason"]) for row in release.decisions.to_table().to_pylist()}
    near = {decided.pop("web"), decided.pop("code")}
    assert near == {("keep", None), ("drop", "dedup.near")}
    assert decided == {
        "quiz": ("drop", "contamination"),
        "calls": ("keep", None),
        "book": ("keep", None),
        "cut": ("drop", "after_cuts.gopher.word_count"),  # "f(a," is one word
        "cut, too": ("keep", None),
    }
    characters = release.manifest["counts"]["characters"]
    assert characters["editors"]["cut_lines"]["removed"] == len("Home\n") + len("Menu\n") + len("Chapter one\n")
    assert characters["read"] - characters["editors"]["cut_lines"]["removed"] == characters["rated"]
    assert release.verify() == []

    calls = release.explain("calls")
    assert calls["signals"]["gopher.word_count"] == 13  # "f(a," is one
    assert calls["signals"]["edit.cut_lines.removed_chars"] is None
    assert calls["words"] == {"definition": "whitespace", "unspaced": "character", "sections": ["per_source.code"]}
    assert calls["edit"] == {"editors": [], "section": "per_source.code"}
    assert release.explain("book")["edit"] == {"editors": ["cut_lines"], "section": "edit"}
    shown = CliRunner().invoke(app, ["explain", str(tmp_path / "run"), "calls"]).stdout
    assert "cut into words by whitespace, character (per_source.code)\neditors: none (per_source.code)\n" in shown
    assert "(per_source.code)" not in CliRunner().invoke(app, ["explain", str(tmp_path / "run"), "book"]).stdout


def test_what_changes_words_or_editors_of_documents_rates_again_and_a_limit_does_not() -> None:
    def rated(sections: dict[str, Any] = {}, **code: Any) -> str:  # noqa: B006 - not changed
        blocks = {"per_source": {"code": {"thresholds": {"gopher.word_count": {"min": 10}}} | code}}
        return recipe_of({"rate": {"gopher": {}, "language": {}}, "edit": [SHORT_LINES]} | blocks | sections).rate_fingerprint

    plain, whitespace = rated({"per_source": {}}), {"words": {"definition": "whitespace"}}
    assert rated() == rated(thresholds={"gopher.word_count": {"min": 12}}) == plain
    changed = [rated(**whitespace), rated(words={"unspaced": "clause"}), rated(edit=[]), rated(edit=[LONG_LINES])]
    changed += [rated({"per_source": {name: whitespace}}) for name in ("web", "books")]
    assert len({plain, *changed}) == 1 + len(changed)
    assert rated(**whitespace) == rated(**whitespace, thresholds={"gopher.word_count": {"min": 12}})

    pairs = {"language_pairs": [{"min": 0.9}]}
    limits = {"per_language": {"de": {"thresholds": {"gopher.word_count": {"min": 5}}}}}
    assert rated(limits) == rated(limits | pairs) == plain
    words = {"per_language": {"de": whitespace}}
    assert len({plain, rated(words), rated(words | pairs), rated({"per_language": {"en": whitespace}})}) == 4


LANGUAGES = {"language_pairs": [{"label": "metadata.lang", "score": "metadata.sure"}]}


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ({"per_source": {"code": {}}}, "per_source.code: sets nothing: give thresholds, words, stop_words or edit"),
        ({"per_source": {"code": {"words": {}}}}, "per_source.code.words: changes nothing: give definition or unspaced"),
        ({"per_source": {"code": {"word": {}}}}, "per_source.code.word: no such field; did you mean 'words'?"),
        (
            {"per_source": {"code": {"words": {"definition": "white"}}}},
            "per_source.code.words.definition: should be 'punctuation' or 'whitespace'",
        ),
        (
            {
                "per_source": {"web": {"edit": [{"repair": {}}], "thresholds": {"edit.repair.removed_share": {"max": 0.5}}}},
                **LANGUAGES,
                "per_language": {"de": {"edit": []}},
            },
            "per_language.de.edit: per_source.web has limits of 'edit.repair.removed_share', which these",
        ),
        ({"per_source": {"code": {"words": "whitespace"}}}, "code.words: should be a mapping of definition, unspaced"),
        (
            {"per_source": {"code": {"edit": [{"repare": {}}]}}},
            "per_source.code.edit.0.repare: no such editor; did you mean 'repair'?",
        ),
        ({"per_source": {"code": {"edit": [{"repair": {}}] * 2}}}, "per_source.code.edit: two editors are called 'repair'"),
        (
            {
                "edit": [{"cut_lines": {"name": "lines", **SHORT_LINES["cut_lines"]}}],
                "per_source": {"code": {"edit": [{"lines": {}}]}},
            },
            "per_source.code.edit: another editor is called 'lines': choose another name for one of them",
        ),
        (
            {
                "edit": [SHORT_LINES],
                "thresholds": {"edit.cut_lines.removed_share": {"max": 0.5}},
                "per_source": {"code": {"edit": []}},
            },
            "per_source.code.edit: thresholds has limits of 'edit.cut_lines.removed_share', which these editors do not "
            "measure, so no document of this block would pass: take them away with `edit.cut_lines.removed_share: null` under "
            "per_source.code.thresholds, or add the editor",
        ),
        (
            {
                "per_source": {
                    "code": {"thresholds": {"edit.repair.removed_share": {"max": 0.5}}},
                    "web": {"edit": [{"repair": {}}]},
                }
            },
            "per_source.code.thresholds.edit.repair.removed_share: no document of this block has a value of it: "
            "add its editor to per_source.code.edit",
        ),
        (
            {"thresholds": {"edit.repair.removed_share": {"max": 0.5}}, "per_source": {"web": {"edit": [{"repair": {}}]}}},
            "thresholds.edit.repair.removed_share: no signal 'edit.repair.removed_share': add the editor, `- repair: {}`, to "
            "edit; if only a block has it, set the limits there",
        ),
        (
            {"rate": {"gopher": {}, "language": {}}, "per_language": {"de": {"edit": [{"repair": {}}]}}},
            "per_language.de.edit: the language must be known before editors change this text, and 'language.label' is "
            "measured later: name fields of the metadata in language_pairs, or set this for a source (per_source)",
        ),
        (
            {
                "language_pairs": [{"label": "metadata.lang", "score": "gopher.word_count"}],
                "per_language": {"de": {"words": {"definition": "whitespace"}}},
            },
            "per_language.de.words: the language must be known before this text is cut into words, and 'gopher.word_count' is",
        ),
    ],
)
def test_a_block_that_cannot_be_is_an_error_at_its_place(changed: dict[str, Any], message: str) -> None:
    with pytest.raises(RunError) as error:
        recipe_of({"rate": RATE} | changed)
    assert message in str(error.value)


def test_what_the_editors_of_a_block_measure_can_be_named_everywhere() -> None:
    named = "edit.repair.removed_share"
    recipe_of(
        {
            "rate": RATE,
            "per_source": {"web": {"edit": [{"repair": {}}], "thresholds": {named: {"max": 0.5}}}},
            **LANGUAGES,
            "per_language": {
                "de": {"edit": [SHORT_LINES], "thresholds": {"edit.cut_lines.removed_share": {"max": 0.5}, named: None}}
            },
            "output": {"signals": [named]},
        }
    )


def test_lint_warns_of_words_and_editors_that_change_nothing() -> None:
    code = {"words": {"definition": "punctuation"}, "edit": [SHORT_LINES]}
    sections = {"rate": RATE, "edit": [SHORT_LINES], "per_source": {"code": code}}
    messages = [warning.message for warning in lint_recipe(recipe_of(sections))]
    assert "per_source.code cuts texts into the words that they are cut into anyway. Take words out of the block." in messages
    assert "per_source.code has the editors that run anyway. Take edit out of the block." in messages
