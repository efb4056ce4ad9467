"""What is purged is in no file of a run any more, verify knows it, and it does not come back."""

from __future__ import annotations

import gzip
import json
from pathlib import Path
from types import ModuleType
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import zstandard
from typer.testing import CliRunner

from tamis.pipelines.cli.main import app
from tamis.pipelines.lookup.explanation import explanation
from tamis.pipelines.recipe.load import load_recipe
from tamis.pipelines.releases import purge as purge_module
from tamis.pipelines.releases import remove_documents as removal_module
from tamis.pipelines.releases.purge import purge
from tamis.transforms.core.errors import RunError
from tamis.transforms.core.manifest import record_counts
from tamis.transforms.core.release import numbers, open_release
from tamis.transforms.feed.dataset import index
from tamis.transforms.feed.loader import read_in_order
from tamis.transforms.provenance.purges import purges
from tamis.transforms.provenance.takedown import Takedown
from tamis.transforms.provenance.verify import verify
from tests.pipelines.corpus import corpus, dealt, save
from tests.pipelines.run.early_layout import make_early
from tests.pipelines.running import run, write_recipe

RECORDS = corpus(90, seed=14)
PLAIN = [record for record in RECORDS if record["trap"] == "plain"]
BY_ID = [str(record["id"]) for record in PLAIN[3:6]]
BY_HOST = [str(record["id"]) for record in PLAIN[10:14]]
MARKS = {name: f"Zwick{number:03d}mühle" for number, name in enumerate((*BY_ID, *BY_HOST, "reject"))}
"""A word that is in one document only, by the id of the document."""
HOSTS = ("evil.example", "WWW.Evil.example", "user@a.b.evil.example:8080", "evil.example.")


def marked(record: dict[str, object]) -> dict[str, object]:
    name = str(record["id"])
    if name not in MARKS:
        return {**record, "url": f"https://notevil.example/{name}" if int(name[-1]) % 2 else record["url"]}
    host = HOSTS[BY_HOST.index(name)] if name in BY_HOST else "fine.example"
    return {**record, "text": f"{MARKS[name]} {record['text']} {MARKS[name]}", "url": f"https://{host}/{MARKS[name]}"}


@pytest.fixture
def source(tmp_path: Path) -> Path:
    folder = save(tmp_path / "in", dealt([marked(record) for record in RECORDS], 3, seed=1))
    broken = f'{{"url": "https://x.Evil.example/", "text": "{MARKS["reject"]}\n'
    (folder / "piece-00.jsonl").open("a").write(broken + '{"text": 7}\n')
    return folder


@pytest.fixture
def nights(tmp_path: Path, source: Path) -> Path:
    """Two releases, one of them in another format; then an attempt that failed after its shards were written."""
    recipe, output = write_recipe(tmp_path, max_rejects=9), tmp_path / "run"
    run(recipe, source, output)
    run(recipe, source, output, "output.format=jsonl.zst", "dedup.minhash.ngram=4")
    with pytest.raises(RunError, match="fails its guards"):
        run(recipe, source, output, "guards.shares={all: {where: {source: [web, books, code]}, fail_above: 0.1}}")
    index(str(output), "bytes", processes=1)
    return output


def plain(path: Path) -> bytes:
    """All that is in a file, whatever compresses it."""
    content = path.read_bytes()
    if path.suffix == ".parquet":
        return repr(pq.ParquetFile(path).read().to_pydict()).encode()
    if path.suffix == ".arrow" and content:
        return repr(pa.ipc.open_file(path).read_all().to_pydict()).encode()
    if path.suffix == ".zst":
        return zstandard.ZstdDecompressor().stream_reader(content).read()
    return gzip.decompress(content) if path.suffix == ".gz" else content


def holding(output: Path, word: str) -> set[str]:
    """The files of a run that contain a word."""
    paths = (path for path in output.rglob("*") if path.is_file() and not path.is_symlink())
    return {str(path.relative_to(output)) for path in paths if word.encode() in path.read_bytes() + plain(path)}


def corpus_ids(name: str) -> set[str]:
    return {row for shard in read_in_order(name) for row in shard.documents["id"].to_pylist()}


def test_the_words_are_in_every_kind_of_file_before(nights: Path) -> None:
    """Or the tests below would show nothing."""
    for word in MARKS.values():
        assert holding(nights, word)
    folders = {path.split("/")[0] for word in MARKS.values() for path in holding(nights, word)}
    assert {"rated", "rejects", "releases"} <= folders
    unfinished = {path for path in holding(nights, MARKS[BY_ID[0]]) if path.startswith("releases/000003")}
    assert unfinished


def test_what_is_purged_is_in_no_file(nights: Path) -> None:
    before = {number: corpus_ids(f"{nights}@{number}") for number in (1, 2)}
    result = purge(str(nights), BY_ID, ["evil.example"], "asked for")
    gone = {*BY_ID, *BY_HOST}
    assert result.documents == len(gone)
    assert result.releases == {number: len(ids & gone) for number, ids in before.items()}
    for name, word in MARKS.items():
        assert holding(nights, word) == set(), name
    assert holding(nights, "notevil.example")
    for number, ids in before.items():
        assert corpus_ids(f"{nights}@{number}") == ids - gone
        counts = open_release(f"{nights}@{number}").manifest["counts"]
        assert {"decision": "drop", "reason": "purged", "documents": len(gone)}.items() <= {
            name: value for row in counts["reasons"] if row["reason"] == "purged" for name, value in row.items()
        }.items()
        records, *others = record_counts(counts).values()
        assert records == sum(others) == 92
    assert verify(str(nights)) == []
    assert (explanation(f"{nights}@1", BY_ID[0])["reason"], explanation(f"{nights}@1", BY_ID[0])["excerpt"]) == ("purged", "")
    assert not list(nights.glob(".spill/*"))


def test_the_log_is_a_chain_that_verify_checks(nights: Path) -> None:
    purge(str(nights), BY_ID, [], "first")
    purge(str(nights), [], ["evil.example"], "second")
    first, second = purges(str(nights))
    assert (first.number, first.parent, first.reason, second.number, second.reason) == (1, None, "first", 2, "second")
    assert (first.documents, second.documents) == (len(BY_ID), len(BY_ID) + len(BY_HOST))
    assert first.who.count("@") == 1
    assert {changed.release for changed in second.releases} == {1, 2}
    assert {changed.corpus_root for changed in second.releases} == {
        open_release(f"{nights}@{number}").manifest["corpus_root"] for number in (1, 2)
    }
    assert verify(str(nights)) == []
    for path in ("releases/purges/000001.json", "releases/purges/000002.json", "takedown.json"):
        content = (nights / path).read_bytes()
        (nights / path).write_bytes(content.replace(b"first", b"First").replace(b"second", b"Second").replace(b"doc-", b"dog-"))
        assert verify(str(nights)), path
        (nights / path).write_bytes(content)
    assert verify(str(nights)) == []


def test_what_was_purged_does_not_come_back(nights: Path, source: Path, tmp_path: Path) -> None:
    recipe = tmp_path / "recipe.yaml"
    purge(str(nights), BY_ID, ["evil.example"], "")
    result = run(recipe, source, nights)
    assert (result.unchanged, result.release.number, result.rated) == (False, 3, 0)
    fresh = run(recipe, source, nights, fresh=True)
    assert (fresh.release.number, fresh.rated) == (4, 3)
    again = run(recipe, source, nights, "rate={gopher: {}}", "thresholds={}", "quality=[]")
    assert again.rated == 3
    for name, word in MARKS.items():
        assert holding(nights, word) == set(), name
    for number in (3, 4, 5):
        assert corpus_ids(f"{nights}@{number}").isdisjoint({*BY_ID, *BY_HOST})
    assert verify(str(nights)) == []


def test_purging_twice_changes_no_more(nights: Path) -> None:
    purge(str(nights), BY_ID, [], "")
    contents = {path: path.read_bytes() for path in nights.rglob("*") if path.is_file() and ".state" not in path.parts}
    again = purge(str(nights), BY_ID, [], "")
    assert again.releases == {1: 0, 2: 0}
    assert {path: path.read_bytes() for path in contents} == contents
    assert verify(str(nights)) == []


@pytest.mark.slow
@pytest.mark.parametrize(
    ("module", "step"),
    [
        (purge_module, "_rewrite_part"),
        (removal_module, "_remove_from_shard"),
        (purge_module, "recounted"),
        (purge_module, "_log"),
    ],
)
def test_a_purge_that_was_interrupted_is_finished_by_the_same_command(
    nights: Path, monkeypatch: pytest.MonkeyPatch, module: ModuleType, step: str
) -> None:
    original, calls = getattr(module, step), []

    def interrupted(*arguments: object) -> object:
        calls.append(1)
        if len(calls) == 2 or step == "_log":
            raise KeyboardInterrupt
        return original(*arguments)

    with monkeypatch.context() as patch:
        patch.setattr(module, step, interrupted)
        with pytest.raises(KeyboardInterrupt):
            purge(str(nights), BY_ID, ["evil.example"], "")
    purge(str(nights), BY_ID, ["evil.example"], "")
    assert all(holding(nights, word) == set() for word in MARKS.values())
    assert verify(str(nights)) == []


@pytest.mark.slow
def test_a_run_of_an_early_version_is_purged(source: Path, tmp_path: Path) -> None:
    recipe, output = write_recipe(tmp_path, max_rejects=9), tmp_path / "run"
    run(recipe, source, output)
    make_early(output, load_recipe(str(recipe), (), [str(source)]))
    assert holding(output, MARKS[BY_ID[0]])
    result = purge(str(output), BY_ID, ["evil.example"], "")
    assert result.documents == 7
    assert all(holding(output, word) == set() for word in MARKS.values())
    assert verify(str(output)) == []
    again = run(recipe, source, output)
    assert (again.release.number, again.rated) == (2, 3)  # parts of early versions are rated again
    assert corpus_ids(str(output)).isdisjoint({*BY_ID, *BY_HOST})
    assert verify(str(output)) == []


def test_a_whole_corpus_can_be_purged(nights: Path) -> None:
    purge(str(nights), [str(record["id"]) for record in RECORDS], [], "")
    assert corpus_ids(str(nights)) == set()
    assert verify(str(nights)) == []
    assert CliRunner().invoke(app, ["report", str(nights)]).exit_code == 0


def test_a_dry_run_counts_and_what_matches_nothing_is_an_error(nights: Path) -> None:
    before = {path: path.read_bytes() for path in nights.rglob("*") if path.is_file()}
    result = CliRunner().invoke(app, ["purge", str(nights), "--ids", BY_ID[0], "--dry-run", "--json"])
    assert json.loads(result.stdout) == {"documents": 1, "releases": {}}
    for arguments, message in [
        (["--ids", "doc-999999"], "nothing was purged"),
        (["--host", "example.org"], "nothing was purged"),
        ([], "name what to remove, with --ids or --host"),
    ]:
        refused = CliRunner().invoke(app, ["purge", str(nights), *arguments])
        assert (refused.exit_code, message in refused.stderr) == (1, True)
    assert {path: path.read_bytes() for path in before} == before
    assert not (nights / "takedown.json").exists()


def test_ids_come_from_a_file_and_the_command_says_what_it_did(nights: Path, tmp_path: Path) -> None:
    (tmp_path / "ids").write_text("\n".join(BY_ID) + "\n\n")
    result = CliRunner().invoke(app, ["purge", str(nights), "--ids", f"@{tmp_path}/ids", "--reason", "a letter"])
    assert result.exit_code == 0, result.stderr
    assert f"3 documents purged; the log is in {nights}/releases/purges" in result.stdout
    assert purges(str(nights))[0].reason == "a letter"


def test_a_release_that_cannot_be_opened_is_not_passed_over(nights: Path) -> None:
    manifest = nights / "releases/000001/manifest.json"
    content = manifest.read_bytes()
    manifest.write_bytes(content[:-7])
    with pytest.raises(RunError, match=r"release 1 of .* cannot be opened"):
        purge(str(nights), BY_ID, [], "")
    assert not (nights / "takedown.json").exists()
    manifest.write_bytes(content)
    purge(str(nights), BY_ID, [], "")
    assert numbers(str(nights)) == [1, 2]
    assert verify(str(nights)) == []


@pytest.mark.parametrize(
    ("url", "matched"),
    [
        ("https://evil.example/x", True),
        ("http://EVIL.example", True),
        ("https://a.evil.example:443/?q#f", True),
        ("https://me:secret@evil.example/", True),
        ("https://evil.example.", True),
        ("https://notevil.example/", False),
        ("https://evil.example.org/", False),
        ("https://fine.example/evil.example", False),
        ("https://fine.example/?u=https://evil.example/", False),
        ("evil.example", False),
        ("", False),
        (None, False),
    ],
)
def test_a_host_with_its_subdomains(url: str | None, matched: bool) -> None:
    takedown = Takedown().extended([], [".Evil.example"])
    ids: Any = pa.array(["a"])
    assert takedown.matches(ids, pa.array([url], pa.string())).tolist() == [matched]
    assert Takedown().extended(["a"], []).matches(ids, pa.array([url], pa.string())).tolist() == [True]
