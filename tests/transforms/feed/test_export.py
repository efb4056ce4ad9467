"""Exports have the order and texts of the run, by each format's own reader; tests of readers not installed are skipped."""

from __future__ import annotations

import json
import struct
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from tamis.transforms.core.errors import RunError
from tamis.transforms.feed.export import FORMATS, export
from tamis.transforms.feed.text_to_ids import ByteTokenizer, FunctionTokenizer
from tests.transforms.feed.releases import release, table, write_manifest

TEXTS = [[f"{shard}.{number} né\n" * (number % 5) for number in range(40)] for shard in range(11)]
TEXTS[4] = []
ALL = [text for texts in TEXTS for text in texts]
IDS = [f"doc-{number}" for number in range(len(ALL))]


@pytest.fixture(params=["parquet", "jsonl.zst"])
def run(request, tmp_path: Path) -> str:
    return release(tmp_path / "run", TEXTS, format=request.param)


@pytest.fixture
def out(tmp_path: Path) -> str:
    return str(tmp_path / "out")


class Megatron:
    """A reader of `.bin` and `.idx`, written from the description of the format in Megatron-LM's docs of its datasets."""

    def __init__(self, prefix: str) -> None:
        idx, self.data = Path(prefix + ".idx").read_bytes(), Path(prefix + ".bin").read_bytes()
        magic, version, code, sequences, documents = struct.unpack_from("<9sQBQQ", idx)
        assert (magic, version) == (b"MMIDIDX\0\0", 1)
        self.dtype = np.dtype({4: "<i4", 8: "<u2"}[code])
        at = struct.calcsize("<9sQBQQ")
        self.lengths = np.frombuffer(idx, "<i4", sequences, at)
        self.pointers = np.frombuffer(idx, "<i8", sequences, at + 4 * sequences)
        self.documents = np.frombuffer(idx, "<i8", documents, at + 12 * sequences)
        assert len(idx) == at + 12 * sequences + 8 * documents

    def __getitem__(self, number: int) -> list[int]:
        return np.frombuffer(self.data, self.dtype, self.lengths[number], self.pointers[number]).tolist()


@pytest.mark.parametrize(
    "tokenizer", [ByteTokenizer(), FunctionTokenizer(lambda text: [ord(c) * 100 for c in text], end=1_000_000)]
)
def test_megatron(run, out, tokenizer):
    result = export(run, "megatron", out, tokenizer)
    assert result.documents == len(ALL)
    back = Megatron(out + "/corpus")
    expected = [[*tokenizer.encode(pa.array([text], pa.large_string()))[0].tolist(), tokenizer.end] for text in ALL]
    assert [back[number] for number in range(len(back.lengths))] == expected
    assert back.documents.tolist() == list(range(len(ALL) + 1))
    assert back.dtype.itemsize == (2 if tokenizer.vocabulary else 4)
    recorded = {"name": "bytes", "sha256": None} if isinstance(tokenizer, ByteTokenizer) else None
    about = json.loads(Path(out, "corpus.json").read_text())
    assert about == {"format": "tamis.export/1", "corpus": "ab" * 32, "tokenizer": recorded, "end": tokenizer.end}


@pytest.mark.slow
def test_megatron_by_its_own_reader(run, out):
    datasets = pytest.importorskip("megatron.core.datasets.indexed_dataset", reason="megatron-core is not installed")
    export(run, "megatron", out, "bytes")
    back = datasets.IndexedDataset(out + "/corpus")
    assert [back[number].tolist() for number in range(len(back))] == [[*text.encode(), 256] for text in ALL]


def test_mosaic(run, out):
    streaming = pytest.importorskip("streaming", reason="mosaicml-streaming is not installed")
    export(run, "mds", out)
    back = streaming.StreamingDataset(local=out, shuffle=False, batch_size=1)
    assert [(row["id"], row["text"]) for row in back] == list(zip(IDS, ALL, strict=True))
    assert back[77] == {"id": IDS[77], "source": "s2", "text": ALL[77]}


def test_litdata(run, out):
    litdata = pytest.importorskip("litdata", reason="litdata is not installed")
    export(run, "litdata", out)
    back = litdata.StreamingDataset(out, shuffle=False)
    assert [(row["id"], row["text"]) for row in back] == list(zip(IDS, ALL, strict=True))
    assert back[77] == {"id": IDS[77], "source": "s2", "text": ALL[77]}


@pytest.mark.parametrize("format", ["parquet", "jsonl"])
def test_hugging_face(run, out, format, tmp_path):
    datasets = pytest.importorskip("datasets", reason="datasets is not installed")
    export(run, format, out)
    back = datasets.load_dataset(out, split="train", cache_dir=str(tmp_path / "cache"))
    assert list(zip(back["id"], back["text"], strict=True)) == list(zip(IDS, ALL, strict=True))
    streamed = datasets.load_dataset(out, split="train", streaming=True)
    assert [row["id"] for row in streamed] == IDS


def strings(path: Path, header: int = 0) -> list[list[str]]:
    """The samples of an MDS shard or a litdata chunk, by the layout that both describe."""
    data = path.read_bytes()
    (count,) = struct.unpack_from("<I", data)
    offsets = struct.unpack_from(f"<{count + 1}I", data, 4)
    assert offsets[0] == 4 + 4 * (count + 1) + header
    assert offsets[-1] == len(data)
    samples = []
    for start in offsets[:-1]:
        at, sample = start + 12, []
        for size in struct.unpack_from("<3I", data, start):
            sample.append(data[at : at + size].decode())
            at += size
        samples.append(sample)
    return samples


@pytest.mark.parametrize("format", ["mds", "litdata"])
def test_samples_lie_as_the_format_says(run, out, format):
    export(run, format, out)
    index = json.loads(Path(out, "index.json").read_text())
    if format == "mds":
        shards = [(shard["raw_data"]["basename"], shard["samples"], shard["raw_data"]["bytes"]) for shard in index["shards"]]
        own = ("raw_data", "samples", "zip_data")
        configuration = json.dumps({key: value for key, value in index["shards"][0].items() if key not in own}, sort_keys=True)
        assert configuration.encode() in Path(out, shards[0][0]).read_bytes()
        header = len(configuration)
    else:
        shards = [(chunk["filename"], chunk["chunk_size"], None) for chunk in index["chunks"]]
        header = 0
    samples = [strings(Path(out, name), header) for name, _, _ in shards]
    assert [len(each) for each in samples] == [count for _, count, _ in shards]
    assert all(size in (None, Path(out, name).stat().st_size) for name, _, size in shards)
    assert [(id, text) for each in samples for id, _, text in each] == list(zip(IDS, ALL, strict=True))


@pytest.mark.parametrize("format", ["parquet", "jsonl"])
def test_all_columns_in_files_whose_names_are_in_order(run, out, format):
    result = export(run, format, out)
    assert list(result.files) == sorted(result.files)
    expected = table(ALL)
    if format == "parquet":
        rows = [row for file in result.files for row in pq.read_table(file).to_pylist()]
    else:
        rows = [json.loads(line) for file in result.files for line in Path(file).read_text().splitlines()]
    assert [{**row, "quality": 0} for row in rows] == [{**row, "quality": 0} for row in expected.to_pylist()]


def test_parquet_is_copied_byte_for_byte(tmp_path, out):
    run = release(tmp_path / "run", TEXTS)
    result = export(run, "parquet", out)
    shards = json.loads(Path(run, "manifest.json").read_text())["curriculum"]["shards"]
    full = [Path(run, shard["path"]) for shard in shards if shard["documents"]]
    assert [Path(file).read_bytes() for file in result.files] == [path.read_bytes() for path in full]


@pytest.mark.parametrize("format", FORMATS)
def test_an_altered_shard_is_not_exported(run, out, format):
    shard = sorted(Path(run, "releases").rglob("shard-*"))[-1]
    data = bytearray(shard.read_bytes())
    data[len(data) // 2] ^= 1
    shard.write_bytes(data)
    with pytest.raises(RunError, match="does not have the SHA-256 in the manifest"):
        export(run, format, out, "bytes" if format == "megatron" else None)
    assert not {"index.json", "corpus.idx", "corpus.bin"} & {path.name for path in Path(out).glob("*")}


def test_the_dataset_card_tells_what_the_corpus_is(tmp_path, out):
    run = release(tmp_path / "run", TEXTS)
    manifest = json.loads(Path(run, "manifest.json").read_text())
    counts = {"records": 9, "kept": 4, "dropped": 5, "review": 0, "rejected": 0, "tokens": {"kept": 0}}
    counts["reasons"] = [
        {"decision": "drop", "reason": "dedup.exact", "documents": 2, "tokens": 7},
        {"decision": "drop", "reason": "gopher.word_count", "documents": 3, "tokens": 5},
    ]
    counts["sources"] = {"a|b": {"kept": 4, "dropped": 5}}
    recipe = {"name": "mine", "seed": 7, "input": {"paths": ["/home/me/secret"]}}
    write_manifest(run, manifest | {"counts": counts, "recipe": recipe})
    export(run, "parquet", out)
    card = Path(out, "README.md").read_text()
    assert card.startswith("---\nconfigs:\n- config_name: default\n  data_files: data/train-*.parquet\n---\n")
    assert "\n# mine\n\n4 documents, " in card
    assert "(an estimate for cl100k_base), in training order: do not shuffle." in card
    assert "| read | 9 |\n| kept | 4 |\n| dropped | 5 |\n\n| reason |" in card
    assert "| gopher.word_count | 3 |\n| dedup.exact | 2 |\n" in card
    assert "| a\\|b | 4 |" in card
    assert '"seed": 7' in card
    assert "secret" not in card


def test_wrong_use_is_named(run, out):
    with pytest.raises(RunError, match="megatron needs a tokenizer"):
        export(run, "megatron", out)
    with pytest.raises(RunError, match="mds stores texts: leave out the tokenizer"):
        export(run, "mds", out, "bytes")
    Path(out).mkdir()
    Path(out, "old").write_text("")
    with pytest.raises(RunError, match="is not empty"):
        export(run, "jsonl", out)
