"""A starter recipe names the right fields for the layouts of published corpora, and it loads."""

from __future__ import annotations

import json

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import yaml

from tamis.pipelines.recipe.load import load_recipe
from tamis.pipelines.starter.kinds import KINDS
from tamis.pipelines.starter.starter import input_block, starter
from tamis.transforms.core.errors import RunError
from tamis.transforms.read.input_options import Input
from tamis.transforms.read.inputs import plan, read


def parse_block(path):
    return yaml.safe_load(input_block([str(path)]))["input"]


def write(path, records):
    path.write_text("".join(json.dumps(record) + "\n" for record in records))
    return path


TEXT = "A sentence of a document. " * 20
LAYOUTS = {
    "fineweb": (
        {"text": TEXT, "id": "<urn:uuid:{}>", "dump": "CC", "url": "http://a/{}", "date": "2024", "language_score": 0.9},
        {"text": "text", "id": "id", "url": "url", "source": None, "licence": None, "date": "date"},
    ),
    "redpajama": (
        {"raw_content": TEXT, "doc_id": "{}", "meta": {"url": "https://a/{}", "date_download": "2023"}},
        {
            "text": "raw_content",
            "id": "doc_id",
            "url": "meta.url",
            "source": None,
            "licence": None,
            "date": "meta.date_download",
        },
    ),
    "common pile": (
        {"id": "{}", "text": TEXT, "source": "arxiv", "added": "2024", "metadata": {"license": "CC-BY"}},
        {"text": "text", "id": "id", "url": None, "source": "source", "licence": "metadata.license", "date": "added"},
    ),
    "unnamed": (
        {"title": "Short", "story": TEXT, "where": "http://a/{}", "id": "same"},
        {"text": "story", "id": None, "url": "where", "source": None, "licence": None, "date": None},
    ),
}


def numbered(record, number):
    return json.loads(json.dumps(record).replace("{}", str(number)))


@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize("form", ["jsonl", "parquet"])
def test_fields_of_known_layouts(tmp_path, layout, form):
    record, fields = LAYOUTS[layout]
    records = [numbered(record, number) for number in range(30)]
    if form == "jsonl":
        write(tmp_path / "a.jsonl", records)
    else:
        pq.write_table(pa.Table.from_pylist(records), tmp_path / "a.parquet")
    block = parse_block(tmp_path)
    assert (block["format"], block["fields"]) == (form, fields)
    inputs = Input.model_validate(block)
    ((batch, rejects),) = [result for split in plan(inputs)[0] for result in read(split, inputs)]
    assert (len(batch), rejects) == (30, [])
    assert batch["text"][0].as_py() == TEXT


def test_the_starter_recipe_loads(tmp_path):
    write(tmp_path / "it's: #1.jsonl", [{"text": TEXT, "a: b": "x"}])
    (tmp_path / "recipe.yaml").write_text(starter([str(tmp_path / "it's: #1.jsonl")]))
    recipe = load_recipe(str(tmp_path / "recipe.yaml"))
    assert recipe.input.paths == (str(tmp_path / "it's: #1.jsonl"),)
    assert recipe.thresholds


def test_unreadable_records_are_counted(tmp_path):
    (tmp_path / "a.jsonl").write_text('{"text": "a"}\n{"text"\n[1]\n\n{"text": "b", "n": 1}\n')
    block = input_block([str(tmp_path)])
    assert "from 2 records of 1 file, 2 more could not be read" in block
    assert "kept as metadata: n (int, in 50 %, e.g. 1)" in block


def test_a_missing_text_field_is_reported(tmp_path):
    assert "NO FIELD HOLDS TEXT; the fields are: n" in input_block([str(write(tmp_path / "a.jsonl", [{"n": 1}]))])
    assert "NO FIELD HOLDS TEXT; the fields are: none" in input_block([str(write(tmp_path / "b.jsonl", []))])


def test_other_formats(tmp_path):
    (tmp_path / "a.txt").write_text("text")
    assert parse_block(tmp_path) == {"paths": [str(tmp_path)], "format": "text", "text_unit": "file"}
    write(tmp_path / "b.jsonl", [{"text": "a"}])
    assert parse_block(tmp_path)["format"] == "auto"
    assert yaml.safe_load(input_block(["python-env"])) == {"input": {"paths": ["python-env"], "format": "python-env"}}
    with pytest.raises(FileNotFoundError, match="nothing"):
        input_block([str(tmp_path / "nothing")])


def test_a_damaged_parquet_file_does_not_stop_it(tmp_path):
    (tmp_path / "a.parquet").write_bytes(b"PAR1 and no more")
    assert "1 more could not be read" in input_block([str(tmp_path)])


def test_scores_are_proposed_as_signals(tmp_path):
    records = [
        {
            "text": TEXT,
            "score": number / 10,
            "stars": number,
            "ok": True,
            "topics": ["a"],
            "dump": "CC",
            "note": f"note {number}",
        }
        for number in range(30)
    ]
    text = starter([str(write(tmp_path / "a.jsonl", records))])
    recipe = tmp_path / "r.yaml"
    recipe.write_text(text.replace("# signals:", "signals:").replace("#   metadata.", "  metadata."))
    kinds = {name: (signal.kind, signal.range) for name, signal in load_recipe(str(recipe)).signals.items()}
    assert kinds == {
        "metadata.dump": ("string", None),
        "metadata.ok": ("bool", None),
        "metadata.score": ("float64", (0, 2.9)),
        "metadata.stars": ("int64", (0, 29)),
        "metadata.topics": ("list<string>", None),
    }


# --- kinds of data -------------------------------------------------------------------------------------------------------

CODE = "import os\n\n\ndef size(path):\n    return os.stat(path).st_size\n\n\nclass File:\n    mode = 0\n"
GERMAN = "Die Sonne scheint heute sehr schön, und wir gehen mit den Kindern in den Wald. " * 9


def site(number):
    return {"url": f"https://{number}.example/a"}


DATA = {
    "pages of many sites": ([{"text": TEXT, **site(n)} for n in range(60)], "web"),
    "pages of one site": ([{"text": TEXT, "url": f"https://docs.example/{n}"} for n in range(60)], "books"),
    "texts without addresses": ([{"text": TEXT}] * 9, "books"),
    "long texts": ([{"text": TEXT * 50, **site(n)} for n in range(9)], "books"),
    "code by its lines": ([{"text": CODE}] * 3 + [{"text": TEXT}] * 9, "code"),
    "code by its names": ([{"text": "x\n", "path": "a/b.rs"}] * 9, "code"),
    "two languages": ([{"text": GERMAN, **site(n)} for n in range(3)] + [{"text": TEXT, **site(0)}] * 9, "multilingual"),
    "a score": ([{"text": TEXT, "edu_score": n / 9, **site(n)} for n in range(9)], "scored"),
    "a score in an object": ([{"text": TEXT, "meta": {"quality": n}} for n in range(9)], "scored"),
    "a score of the language": ([{"text": TEXT, "language_score": n / 9, **site(n)} for n in range(9)], "web"),
    "the same score everywhere": ([{"text": TEXT, "score": 1.0, **site(n)} for n in range(9)], "web"),
    "nothing": ([], "web"),
}


@pytest.mark.parametrize("name", DATA)
def test_the_kind_is_chosen_by_what_a_sample_shows(tmp_path, name):
    records, kind = DATA[name]
    text = starter([str(write(tmp_path / "a.jsonl", records))])
    assert f"# kind: {kind}, since " in text
    (tmp_path / "recipe.yaml").write_text(text)
    recipe = load_recipe(str(tmp_path / "recipe.yaml"))
    assert list(recipe.thresholds) == [rule.signal for rule in KINDS[kind].rules]
    assert [weight.signal.startswith("metadata.") for weight in recipe.weights] == [True] * (kind == "scored")


@pytest.mark.parametrize("kind", KINDS)
def test_a_kind_that_is_asked_for_is_taken(tmp_path, kind):
    text = starter([str(write(tmp_path / "a.jsonl", [{"text": TEXT}]))], kind)
    assert f"# kind: {kind}, since you asked for it" in text
    (tmp_path / "recipe.yaml").write_text(text)
    assert list(load_recipe(str(tmp_path / "recipe.yaml")).thresholds) == [rule.signal for rule in KINDS[kind].rules]


PROSE_RULES = [
    "gopher.alphabetic_words",
    "repetition.duplicate_line_chars",
    "repetition.top_2gram_chars",
    "repetition.top_4gram_chars",
]


@pytest.mark.parametrize(
    ("code", "prose", "blocks"),
    [
        ((30, 0), (0, 30), {"it's: docs": PROSE_RULES}),
        ((30, 2), (2, 30), {"it's: docs": PROSE_RULES}),
        ((30, 0), (9, 30), {}),  # a source that has both
        ((20, 9), (0, 30), {}),
        ((30, 0), (0, 9), {}),  # too few to tell
    ],
)
def test_sources_of_prose_beside_code_get_rules_of_their_own(tmp_path, code, prose, blocks):
    sources = {"code": code, "it's: docs": prose}
    records = [
        {"text": text, "source": source}
        for source, numbers in sources.items()
        for text, number in zip((CODE, TEXT), numbers, strict=True)
        for _ in range(number)
    ]
    (tmp_path / "recipe.yaml").write_text(starter([str(write(tmp_path / "a.jsonl", records))]))
    recipe = load_recipe(str(tmp_path / "recipe.yaml"))
    assert list(recipe.thresholds) == [rule.signal for rule in KINDS["code"].rules]
    assert {source: list(block.thresholds) for source, block in recipe.per_source.items()} == blocks


def test_an_unknown_kind_is_named_with_the_nearest(tmp_path):
    with pytest.raises(RunError, match=r"no kind 'book'; choose web, books, .*did you mean 'books'"):
        starter([str(tmp_path)], "book")


def test_a_lower_perplexity_is_better(tmp_path):
    records = [{"text": TEXT, "perplexity": 10.5 + n, "score": n} for n in range(9)]
    (tmp_path / "recipe.yaml").write_text(starter([str(write(tmp_path / "a.jsonl", records))]))
    signals = load_recipe(str(tmp_path / "recipe.yaml")).signals
    assert {name: (signal.direction, signal.range) for name, signal in signals.items()} == {
        "metadata.perplexity": ("down", (10.5, 18.5)),
        "metadata.score": ("up", (0, 8)),
    }


def test_it_says_what_cannot_be_read(tmp_path):
    (tmp_path / "a.jsonl").write_bytes(
        b"".join([json.dumps({"text": TEXT}).encode() + b"\n"] * 6)
        + b'{"text": null}\n{"text": null}\n{"text": "\xe9"}\n{"text": "ab\xe9"}\n'
    )
    (tmp_path / "b.tmp").write_text("half")
    text = starter([str(tmp_path)])
    assert "# sample: 6 documents, 520 characters on average; en 100%\n" in text
    assert "# cannot be read: 2 of 10 records: text field 'text' is null\n" in text
    assert "# cannot be read: 2 of 10 records: invalid UTF-8 at byte 10" in text
    assert "# A run stops above max_rejects (1%)" in text
    assert f"not read: {tmp_path / 'b.tmp'}; it is unfinished" in text


def test_web_pages_in_a_field_are_extracted(tmp_path):
    page = f"<!DOCTYPE html><html><body><article><p>{TEXT}</p></article></body></html>"
    block = parse_block(write(tmp_path / "a.jsonl", [{"page": page, "url": "https://a.example"}]))
    assert (block["fields"]["html"], "text" in block["fields"]) == ("page", False)
