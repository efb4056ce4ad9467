"""CSV and TSV as RFC 4180 has it and as people write it; a bad row costs itself."""

from __future__ import annotations

import csv
import gzip
import io
import json

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from test_inputs import documents_of

FIELD = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\r\0\ufeff"), max_size=12)


def read(tmp_path, data, name="a.csv", **options):
    (tmp_path / name).write_bytes(data if isinstance(data, bytes) else data.encode())
    rows, rejects = documents_of([tmp_path / name], **options)
    return [row["text"] for row in rows], [(reject.line, reject.error) for reject in rejects]


@given(records=st.lists(st.tuples(FIELD, FIELD), min_size=1, max_size=8), delimiter=st.sampled_from(",;\t|"))
@settings(max_examples=150, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_what_the_csv_module_writes_is_read(tmp_path, records, delimiter):
    file = io.StringIO()
    writer = csv.writer(file, delimiter=delimiter, quoting=csv.QUOTE_ALL)
    writer.writerow(["text", "note"])
    writer.writerows(records)
    assert read(tmp_path, file.getvalue()) == ([text for text, _ in records], [])


def test_fields_are_mapped_and_the_rest_is_metadata(tmp_path):
    (tmp_path / "a.tsv").write_text("id\tbody\turl\tlang\n7\tHello\thttp://x\ten\n8\t\t\t\n")
    rows, rejects = documents_of([tmp_path / "a.tsv"], fields={"text": "body"})
    assert not rejects
    assert [(row["id"], row["text"], row["url"]) for row in rows] == [("7", "Hello", "http://x"), ("8", "", None)]
    assert [row["metadata"] and json.loads(row["metadata"]) for row in rows] == [{"lang": "en"}, None]


@pytest.mark.parametrize(
    ("data", "texts", "bad"),
    [
        ('id,text\n1,"a ""quoted"" word"\n', ['a "quoted" word'], []),
        ('id,text\n1,"two\nlines, and\n\none more"\n2,b\n', ["two\nlines, and\n\none more", "b"], []),
        ("id,text\r\n1,a\r\n\r\n2,b\r\n", ["a", "b"], []),
        ("\ufeffid,text\n1,a", ["a"], []),
        ('id,text\n1,5" disk\n2,b\n', ['5" disk', "b"], []),
        ("text\na\n\nb\n", ["a", "b"], []),
        ("id,text\n1,a\n2\n3,c,d\n4,e\n", ["a", "e"], [3, 4]),
        ('id,text\n1,"a" b\n2,c\n', ["c"], [2]),
        ('id,text\n1,"never closed\n2,b\n3,c\n', ["b", "c"], [2]),
        ('id,text\n1,a\n2,"opened\n3,c\n4,d"\n5,e\n', ["a", "opened\n3,c\n4,d", "e"], []),
        ('id,text\n1,a\n"2,opened\n3,c\n4,"closed"\n5,e\n', ["a", "c", "closed", "e"], [3]),
        (b"id,text\n1,\xff\n2,b\n", ["b"], [2]),
        (b'id,text\n1,"\xff\nx"\n2,b\n', ["b"], [2]),
        ("id,text\n1,a\0b\n", ["a\0b"], []),
        ("id,text\n", [], []),
        ("", [], []),
    ],
)
def test_a_bad_row_costs_itself(tmp_path, data, texts, bad):
    found, rejects = read(tmp_path, data)
    assert found == texts
    assert [line for line, _ in rejects] == bad


def test_an_unclosed_quote_in_every_row_takes_linear_time(tmp_path):
    """And costs only rows that have one."""
    lines = ["id,text", *(f'{k},"never' if k % 3 == 0 else f'a","""{k}' if k % 3 == 1 else f"{k},fine" for k in range(30_000))]
    texts, rejects = read(tmp_path, "\n".join(lines) + "\n")
    assert len(texts) + len(rejects) > 15_000


def test_a_table_without_the_text_column(tmp_path):
    texts, rejects = read(tmp_path, "id,body\n1,a\n2,b\n")
    assert not texts
    assert [line for line, _ in rejects] == [2, 3]
    assert "no text field 'text'; the fields are: body, id" in rejects[0][1]


def test_a_cut_table(tmp_path):
    data = "id,text\n" + "".join(f"{k},text {k}\n" for k in range(50_000))
    texts, rejects = read(tmp_path, gzip.compress(data.encode())[:-2000], "a.csv.gz")
    assert texts == [f"text {k}" for k in range(len(texts))]
    assert "truncated gzip" in rejects[-1][1]


def test_a_field_may_be_large(tmp_path):
    assert read(tmp_path, f'id,text\n1,"{"x" * 3_000_000}"\n') == (["x" * 3_000_000], [])
    texts, rejects = read(tmp_path, f'id,text\n1,"{"x" * 3_000_000}"\n2,b\n', max_record_bytes=1_000_000)
    assert texts == ["b"]
    assert "max_record_bytes" in rejects[0][1]
