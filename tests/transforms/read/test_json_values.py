"""JSON as RFC 8259 has it, as programs write it, and as people do: each value is a document or one reject."""

from __future__ import annotations

import json

import pytest
from test_inputs import documents_of, jsonl

DEEP = 100_000

ACCEPTED = [  # valid, whatever its looks
    ('{"text":"a","n":-0}', {"n": 0}),
    ('{"text":"a","n":0e+1}', {"n": 0.0}),
    ('{"text":"a","n":1E22}', {"n": 1e22}),
    ('{"text":"a","n":123.456e78}', {"n": 123.456e78}),
    ('{"text":"a","n":-0.000000000000000000000000000001}', {"n": -1e-30}),
    ('{"text":"a","n":1e-400}', {"n": 0.0}),
    ('{"text":"a","":0}', {"": 0}),
    ('{"text":"a","b\\u0000":1}', {"b\0": 1}),
    ('{"text":"a","n":[[[]],{}]}', {"n": [[[]], {}]}),
    ('{"text":"a","n":"\\uD834\\uDd1e"}', {"n": "\U0001d11e"}),
    ('{"text":"a","n":"\\u0022\\\\\\/\\b\\f\\n\\r\\t"}', {"n": '"\\/\b\f\n\r\t'}),
    ('{"text":"a","n":"\u2028\u2029\ufeff\uffff\x7f"}', {"n": "\u2028\u2029\ufeff\uffff\x7f"}),
    (' \t{ "text" : "a" , "n" : true }\r', {"n": True}),
]

BROKEN = [  # invalid in one place
    *('{"text":"a",}', '{"text":"a"}}', '{"text":"a"} {"text":"b"}', '{"text":"a" "n":1}', '{"text":"a",,"n":1}'),
    *("{'text':'a'}", '{text:"a"}', '{"text":"a","n":1,}', '{"text":"a"', '{"text":"a', '{"text":', '{"text"', "{", "}"),
    *('{"text":"a","n":01}', '{"text":"a","n":+1}', '{"text":"a","n":.5}', '{"text":"a","n":1.}', '{"text":"a","n":0x1f}'),
    *('{"text":"a","n":1e}', '{"text":"a","n":-}', '{"text":"a","n":--1}', '{"text":"a","n":1 000}', '{"text":"a","n":\uff11}'),
    *('{"text":"a","n":NaN}', '{"text":"a","n":-Infinity}', '{"text":"a","n":Infinity}', '{"text":"a","n":nan}'),
    *('{"text":"a","n":True}', '{"text":"a","n":nul}', '{"text":"a","n":undefined}', '{"text":"a","n":[1,]}'),
    *(
        '{"text":"a","n":[1}',
        '{"text":"a","n":[,1]}',
        '{"text":"a\tb"}',
        '{"text":"a\\x41"}',
        '{"text":"a\\"}',
        '{"text":"\\u12"}',
    ),
    *(
        '{"text":"a"}//',
        '{"text":"a"/* */}',
        '#{"text":"a"}',
        '{"text":"a"}\0',
        '\u00a0{"text":"a"}',
        "\u2060{}",
        "abc",
        "<html>",
    ),
    *("[" * DEEP, '{"text":"a","n":' + "[" * DEEP, '{"a":' * DEEP, "[" * DEEP + "]" * DEEP),
    *(
        '{"text":"\\ud800"}',
        '{"text":"a","n":"\\udc00\\ud800"}',
        '{"text":"a","\\ud800":1}',
        '{"text":"a","n":1e400,"m":"\\ud800"}',
    ),
]

NO_OBJECTS = ["[]", "[1,2]", '"text"', "1", "-1.5", "true", "null", '[{"text":"a"}]', "123456789012345678901234567890"]


@pytest.mark.parametrize(("line", "metadata"), ACCEPTED)
def test_valid_json_is_a_document(tmp_path, line, metadata):
    (tmp_path / "a.jsonl").write_text(line + "\n")
    (row,), rejects = documents_of([tmp_path / "a.jsonl"])
    assert not rejects
    assert (row["text"], json.loads(row["metadata"])) == ("a", metadata)


@pytest.mark.parametrize("line", [*BROKEN, *NO_OBJECTS], ids=lambda line: ascii(line)[:40])
def test_anything_else_is_one_reject_and_its_neighbours_are_documents(tmp_path, line):
    (tmp_path / "a.jsonl").write_text(f'{{"text":"before"}}\n{line}\n{{"text":"after"}}\n', newline="\n")
    rows, rejects = documents_of([tmp_path / "a.jsonl"])
    assert [row["text"] for row in rows] == ["before", "after"]
    (reject,) = rejects
    assert (reject.line, reject.records, reject.estimated) == (2, 1, False)


@pytest.mark.parametrize(
    "digits",
    [
        *("9223372036854775808", "-9223372036854775809", "18446744073709551616", "123456789012345678901234567890"),
        *("1" + "0" * 300, "-" + "7" * 250),
    ],
)
@pytest.mark.parametrize("shape", ["{}", '{{"deep":{}}}', "[1,[{},2]]", "[0.5,{}]"])
def test_integers_of_any_size_keep_their_digits(tmp_path, digits, shape):
    value = shape.format(digits)
    (tmp_path / "a.jsonl").write_text(f'{{"text":"a","n":{value},"id":{digits},"date":{digits}}}\n')
    (row,), rejects = documents_of([tmp_path / "a.jsonl"])
    assert not rejects
    assert json.loads(row["metadata"]) == {"n": json.loads(value)}
    assert (row["id"], row["date"]) == (digits, digits)


@pytest.mark.parametrize("number", ["1e400", "-1e400", "9" * 400, "1" * 10_000])
def test_numbers_that_no_double_holds_are_kept_as_text(tmp_path, number):
    (tmp_path / "a.jsonl").write_text(f'{{"text":"a","n":{number}}}\n')
    (row,), rejects = documents_of([tmp_path / "a.jsonl"])
    assert not rejects
    assert json.loads(row["metadata"]) == {"n": number}


def test_large_floats_are_floats(tmp_path):
    rows, rejects = documents_of([jsonl(tmp_path / "a.jsonl", [{"text": "a", "n": [1e30, 2.5]}])])
    assert not rejects
    assert json.loads(rows[0]["metadata"]) == {"n": [1e30, 2.5]}


def test_of_equal_keys_the_last_counts(tmp_path):
    (tmp_path / "a.jsonl").write_text('{"text":"a","text":"b","n":1,"n":2}\n')
    (row,), rejects = documents_of([tmp_path / "a.jsonl"])
    assert not rejects
    assert (row["text"], row["metadata"]) == ("b", '{"n":2}')


def test_byte_order_marks_of_files_that_were_joined(tmp_path):
    line = b'\xef\xbb\xbf{"text":"a"}\n'
    (tmp_path / "a.jsonl").write_bytes(line * 3)
    rows, rejects = documents_of([tmp_path / "a.jsonl"])
    assert ([row["text"] for row in rows], rejects) == (["a"] * 3, [])


@pytest.mark.parametrize("encoding", ["utf-16", "utf-16-le", "utf-16-be"])
@pytest.mark.parametrize("name", ["a.jsonl", "a.txt", "a.csv"])
def test_utf_16_is_named(tmp_path, encoding, name):
    lines = ["text", "other"] if name.endswith("csv") else ['{"text":"eins"}', '{"text":"zwei"}']
    (tmp_path / name).write_bytes(("\n".join(lines) + "\n").encode(encoding))
    rows, rejects = documents_of([tmp_path / name])
    assert not rows
    assert "UTF-16" in rejects[0].error
    assert "iconv" in rejects[0].error


def test_metadata_that_is_an_object_as_text_is_unwrapped(tmp_path):
    inner = {"lang": "en", "n": 2**70, "tags": ["a"]}
    records = [
        {"text": "a", "metadata": json.dumps(inner)},
        {"text": "b", "metadata": "{broken"},
        {"text": "c", "metadata": {"k": 1}},
    ]
    (tmp_path / "a.jsonl").write_text("".join(json.dumps(record) + "\n" for record in records))
    rows, rejects = documents_of([tmp_path / "a.jsonl"])
    assert not rejects
    assert [json.loads(row["metadata"]) for row in rows] == [inner, {"metadata": "{broken"}, {"metadata": {"k": 1}}]


def test_a_shard_of_tamis_gives_the_documents_it_was_made_of(tmp_path):
    record = {"id": "x", "text": "a", "source": "web", "url": None, "licence": None, "date": None, "metadata": '{"lang":"en"}'}
    computed = {"quality": 0.5, "tokens": 1, "copies": 1, "epoch": 1}
    (row,), _ = documents_of([jsonl(tmp_path / "a.jsonl", [record | computed])])
    assert row == record
    (row,), _ = documents_of([jsonl(tmp_path / "b.jsonl", [record | computed | {"metadata": None}])])
    assert row == record | {"metadata": None}


def test_the_folders_of_a_path_are_columns_as_in_hive(tmp_path):
    folder = tmp_path / "lang=pt%2DBR" / "year=2024" / "none=__HIVE_DEFAULT_PARTITION__"
    folder.mkdir(parents=True)
    jsonl(folder / "a.jsonl", [{"text": "a"}, {"text": "b", "year": 1999}])
    rows, rejects = documents_of([tmp_path], fields={"source": "lang"})
    assert not rejects
    assert [(row["source"], json.loads(row["metadata"])) for row in rows] == [
        ("pt-BR", {"year": "2024"}),
        ("pt-BR", {"year": 1999}),
    ]


RECORDS = [{"id": str(k), "text": f"text {k} " * (k % 9), "in": {"id": "inner", "text": "no document"}} for k in range(2000)]


@pytest.mark.parametrize("indent", [None, 1, "\t"])
@pytest.mark.parametrize("name", ["a.json", "a"])
def test_an_array_is_a_file_of_records(tmp_path, indent, name):
    (tmp_path / name).write_text(json.dumps(RECORDS, indent=indent))
    rows, rejects = documents_of([tmp_path / name])
    assert ([row["id"] for row in rows], rejects) == ([record["id"] for record in RECORDS], [])


def test_objects_over_several_lines_are_records(tmp_path):
    (tmp_path / "a.json").write_text("\n".join(json.dumps(record, indent=2) for record in RECORDS))
    rows, rejects = documents_of([tmp_path / "a.json"], split_bytes=1000)
    assert ([row["id"] for row in rows], rejects) == ([record["id"] for record in RECORDS], [])


def test_json_lines_may_be_called_json(tmp_path):
    rows, rejects = documents_of([jsonl(tmp_path / "a.json", RECORDS)])
    assert ([row["id"] for row in rows], rejects) == ([record["id"] for record in RECORDS], [])


@pytest.mark.parametrize("indent", [None, 1])
def test_a_broken_element_costs_itself(tmp_path, indent):
    text = json.dumps(RECORDS, indent=indent)
    for k in (5, 1000, 1999):
        text = text.replace(f'"id": "{k}",', f'"id": "{k}"', 1)
    (tmp_path / "a.json").write_text(text)
    rows, rejects = documents_of([tmp_path / "a.json"])
    assert [row["id"] for row in rows] == [record["id"] for record in RECORDS if record["id"] not in ("5", "1000", "1999")]
    assert [reject.records for reject in rejects] == [1, 1, 1]


@pytest.mark.parametrize("share", [0.1, 0.5, 0.9])
def test_an_array_that_was_cut_says_so(tmp_path, share):
    text = json.dumps(RECORDS)
    (tmp_path / "a.json").write_text(text[: int(len(text) * share)])
    rows, rejects = documents_of([tmp_path / "a.json"])
    assert [row["id"] for row in rows] == [str(k) for k in range(len(rows))]
    assert rejects[-1].error == "the array has no end: the file was cut"
    assert rejects[-1].estimated


def test_invalid_utf8_in_an_array_costs_its_element(tmp_path):
    (tmp_path / "a.json").write_bytes(b'[{"text":"a"},{"text":"\xff"},{"text":"\xe4\xb8\xad"}]')
    rows, rejects = documents_of([tmp_path / "a.json"])
    assert [row["text"] for row in rows] == ["a", "中"]
    assert [(reject.offset, reject.error) for reject in rejects] == [(14, "invalid UTF-8 at byte 9 of the record")]


def test_an_element_may_be_larger_than_a_block_but_not_than_the_limit(tmp_path):
    texts = ["x" * 3_000_000, "small", "y" * 6_000_000, "last"]
    (tmp_path / "a.json").write_text(json.dumps([{"text": text} for text in texts]))
    rows, rejects = documents_of([tmp_path / "a.json"])
    assert ([row["text"] for row in rows], rejects) == (texts, [])
    rows, rejects = documents_of([tmp_path / "a.json"], max_record_bytes=4_000_000)
    assert [len(row["text"]) for row in rows] == [3_000_000, 5, 4]
    assert ["max_record_bytes" in reject.error for reject in rejects] == [True]
