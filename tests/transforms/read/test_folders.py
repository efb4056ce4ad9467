"""Folders are mixed: every file is read or named with the reason, each file once, whatever its name."""

from __future__ import annotations

import bz2
import gzip
import lzma
import os

import lz4.frame
import orjson
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import zstandard
from test_inputs import documents_of

from tamis.transforms.read.input_options import Input
from tamis.transforms.read.inputs import input_files, plan, read_beginning
from tamis.transforms.runtime.credentials import redact

LINE = b'{"text":"a document"}\n'


def files(folder, **options):
    """(formats by name, reasons by name) of what is read and what is not."""
    chosen, unread = input_files(Input(paths=(str(folder),), **options))
    name = lambda uri: os.path.relpath(uri, folder)  # noqa: E731
    return {name(entry.uri): kind for entry, kind in chosen}, {name(file.uri): file.reason for file in unread}


def write(folder, **contents):
    for name, data in contents.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(data)


def parquet():
    sink = pa.BufferOutputStream()
    pq.write_table(pa.table({"text": ["a document"]}), sink)
    return sink.getvalue().to_pybytes()


READ = {
    **dict.fromkeys(("a.jsonl", "a.ndjson", "a.JSONL", "a.jsonlines", "a.json", "part-00000", "a.0001"), (LINE, "jsonl")),
    "a.jsonl.gz": (gzip.compress(LINE), "jsonl"),
    "b.jsonl.bz2": (bz2.compress(LINE), "jsonl"),
    "b.jsonl.xz": (lzma.compress(LINE), "jsonl"),
    "b.jsonl.lz4": (lz4.frame.compress(LINE), "jsonl"),
    "b.jsonl.zst": (zstandard.compress(LINE), "jsonl"),
    "part-00001.gz": (gzip.compress(LINE), "jsonl"),
    "array.json": (b'[{"text":"a document"}]', "json"),
    "pretty.json": (b'{\n  "text": "a document"\n}\n', "json"),
    **{name: (parquet(), "parquet") for name in ("a.parquet", "a.parq", "a.pq", "part-00002", "x.snappy.parquet")},
    "a.csv": (b"id,text\n1,a document\n", "csv"),
    "a.tsv.gz": (gzip.compress(b"id\ttext\n1\ta document\n"), "csv"),
    **dict.fromkeys(("a.txt", "notes.md", "a.rst"), (b"a document", "text")),
}

NOT_READ = {
    "_c.jsonl": (LINE, "begins with '_'"),
    ".d.jsonl": (LINE, "begins with '.'"),
    "_SUCCESS": (b"", "begins with '_'"),
    "README.md": (b"# About", "describes the folder"),
    "LICENSE.txt": (b"MIT", "describes the folder"),
    "paper.pdf": (b"%PDF-1.7", "format is not supported"),
    "page.html": (b"<html>", "format is not supported"),
    "data.arrow": (b"ARROW1", "format is not supported"),
    "all.zip": (b"PK\3\4", "unpack"),
    "a.jsonl.tmp": (LINE, "unfinished"),
    "a.jsonl.bak": (LINE, "backup"),
    "run.log": (LINE, "end in .log"),
    "image.png": (b"\x89PNG", "neither its name nor its first bytes"),
    "binary": (b"\0\1\2", "neither its name nor its first bytes"),
    "nothing": (b"", "empty"),
    "crawl.warc.wat.gz": (b"", "holds no text"),
}


def test_every_file_is_read_or_named_with_the_reason(tmp_path):
    write(tmp_path, **{name: data for name, (data, _) in (READ | NOT_READ).items()})
    found, unread = files(tmp_path)
    assert found == {name: kind for name, (_, kind) in READ.items()}
    assert unread.keys() == NOT_READ.keys()
    assert {name: reason for name, reason in unread.items() if NOT_READ[name][1] not in reason} == {}
    rows, rejects = documents_of([tmp_path])
    assert (len(rows), rejects) == (len(READ), [])
    assert {row["text"] for row in rows} == {"a document"}


def test_hidden_folders_are_named_as_a_whole(tmp_path):
    write(tmp_path, **{"a.jsonl": LINE, "_temporary/0/b.jsonl": LINE, ".git/c.jsonl": LINE})
    found, unread = files(tmp_path)
    assert found.keys() == {"a.jsonl"}
    assert {name.rstrip("/") for name in unread} == {"_temporary", ".git"}


def test_a_glob_or_a_path_may_name_any_file(tmp_path):
    write(tmp_path, **{"README.md": b"text", "run.log": LINE, "x.bin": b"\0", "_h.jsonl": LINE})
    chosen, unread = input_files(Input(paths=(str(tmp_path / "*"),)))
    assert sorted(os.path.basename(entry.uri) for entry, _ in chosen) == ["README.md", "run.log"]
    assert sorted(os.path.basename(file.uri) for file in unread) == ["_h.jsonl", "x.bin"]
    chosen, _ = input_files(Input(paths=(str(tmp_path / "_h.jsonl"),)))
    assert len(chosen) == 1
    with pytest.raises(ValueError, match=r"x\.bin.*input\.format"):
        input_files(Input(paths=(str(tmp_path / "x.bin"),)))


def test_a_format_reads_its_own_files_of_a_folder(tmp_path):
    write(tmp_path, **{"a.jsonl": LINE, "b.parquet": parquet(), "c.txt": b"x", "part-0": b"plain"})
    assert files(tmp_path, format="jsonl") == (
        {"a.jsonl": "jsonl", "part-0": "jsonl"},
        {
            "b.parquet": "its format is parquet, and input.format is jsonl",
            "c.txt": "its format is text, and input.format is jsonl",
        },
    )
    assert files(tmp_path, format="text")[0] == {"c.txt": "text", "part-0": "text"}


def test_links_to_a_file_are_that_file(tmp_path):
    write(tmp_path, **{"real/z.jsonl": LINE})
    (tmp_path / "a.jsonl").symlink_to("real/z.jsonl")
    (tmp_path / "folder").symlink_to("real")
    os.link(tmp_path / "real" / "z.jsonl", tmp_path / "hard.jsonl")
    (tmp_path / "broken.jsonl").symlink_to("nowhere")
    os.mkfifo(tmp_path / "pipe.jsonl")
    found, unread = files(tmp_path)
    assert len(found) == 1
    assert "same file" in unread["a.jsonl"]
    assert ("broken link" in unread["broken.jsonl"], "regular" in unread["pipe.jsonl"]) == (True, True)
    assert len(unread) == 5


NAMES = [b"caf\xe9.jsonl", b"\xff\xfe.jsonl", "naïve 漢字 🙂.jsonl".encode(), b"new\nline.jsonl", b"tab\t.jsonl", b"a b.jsonl"]
NAMES += [
    b"100%.jsonl",
    b"q?x=1.jsonl",
    b"star*[1].jsonl",
    b"#hash.jsonl",
    b"@at.jsonl",
    b"-dash.jsonl",
    b"a'b\"c.jsonl",
    b"x" * 240 + b".jsonl",
]


@pytest.mark.parametrize("name", NAMES, ids=ascii)
def test_any_name_that_the_system_allows(tmp_path, name):
    path = os.path.join(os.fsencode(tmp_path), name)
    with open(path, "wb") as file:
        file.write(LINE + b"broken\n")
    for paths in ([tmp_path], [os.fsdecode(path)], [tmp_path / "*"]):
        rows, (reject,) = documents_of(paths)
        assert len(rows) == 1
        shown = redact(reject.uri)
        assert orjson.dumps(shown)
        assert os.fsencode(tmp_path).decode() in shown
    assert "\\xe9" in redact(os.fsdecode(b"caf\xe9"))


@pytest.mark.parametrize("compress", [bytes, gzip.compress, bz2.compress, lzma.compress], ids=["plain", "gz", "bz2", "xz"])
def test_a_list_may_be_compressed_and_relative_to_a_base(tmp_path, compress):
    write(tmp_path, **{"crawl/data/a.jsonl": LINE, "crawl/data/b.jsonl": LINE})
    (tmp_path / "lists").mkdir()
    (tmp_path / "lists" / "paths").write_bytes(compress(b"# of a crawl\ndata/a.jsonl\r\ndata/b.jsonl\n"))
    pattern = f"@{tmp_path / 'lists' / 'paths'}"
    rows, rejects = documents_of([pattern], list_base=str(tmp_path / "crawl"))
    assert (len(rows), rejects) == (2, [])
    with pytest.raises(FileNotFoundError, match=r"lists/data/a\.jsonl"):
        plan(Input(paths=(pattern,)))


def test_a_damaged_list_is_an_error_that_names_it(tmp_path):
    (tmp_path / "paths.gz").write_bytes(gzip.compress(b"a.jsonl\n" * 1000)[:-10])
    with pytest.raises(ValueError, match=r"paths\.gz: the list is damaged"):
        plan(Input(paths=(f"@{tmp_path / 'paths.gz'}",)))


@pytest.mark.parametrize("name", ["a.jsonl", "a.csv", "a.json", "a.parquet"])
def test_a_misnamed_field_is_told_before_everything_is_read(tmp_path, name):
    records = [{"content": f"text {k}", "id": k} for k in range(10)]
    if name.endswith("parquet"):
        pq.write_table(pa.Table.from_pylist(records), tmp_path / name)
    elif name.endswith("csv"):
        write(tmp_path, **{name: b"content,id\n" + b"".join(b"text,%d\n" % k for k in range(10))})
    else:
        data = orjson.dumps(records) if name == "a.json" else b"\n".join(map(orjson.dumps, records))
        write(tmp_path, **{name: data})
    options = Input(paths=(str(tmp_path),))
    beginning = read_beginning(plan(options)[0], options)
    assert beginning.textless is not None
    assert (beginning.records, beginning.rejected) == (10, 10)
    assert "no text" in beginning.error
    assert "input.fields.text" in beginning.error
    write(tmp_path, **{"z.jsonl": LINE})
    assert read_beginning(plan(options)[0], options).textless is None


def test_empty_and_broken_files_do_not_hide_a_misnamed_field(tmp_path):
    data = b'{"content": "text"}\n' * 10
    write(tmp_path, **{"a.jsonl": b"{broken\n", "m.jsonl": data, "z.jsonl": b""})
    options = Input(paths=(str(tmp_path),))
    beginning = read_beginning(plan(options)[0], options)
    assert beginning.textless is not None
    assert beginning.textless.uri.endswith("m.jsonl")
    assert beginning.error.startswith("no text field")
