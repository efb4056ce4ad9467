"""Documents that were released before are dropped in whole runs: night by night, and against any index."""

from __future__ import annotations

import json
import shutil
from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import yaml

from tamis.pipelines.lookup.explanation import explanation
from tamis.pipelines.recipe.load import load_recipe
from tamis.pipelines.recipe.yaml_file import RecipeError
from tamis.pipelines.releases.index_corpus import index_corpus
from tamis.pipelines.releases.purge import purge
from tamis.pipelines.run.launch import Result, launch
from tamis.transforms.core.errors import NothingNew, RunError
from tamis.transforms.dedup.released import merge_indices
from tamis.transforms.dedup.released.index_files import Segment, read_shingles
from tamis.transforms.dedup.released.open_indices import open_indices
from tamis.transforms.provenance.verify import verify
from tests.pipelines.running import left

WORDS = [f"{a}{b}" for a in ("ba", "co", "di", "fu", "ge", "hy") for b in ("n", "rt", "sk", "tan", "lum", "ves")]


def text(seed: int, edits: int = 0) -> str:
    """Sixty words, some of them others."""
    words = np.random.default_rng(seed).choice(WORDS, 60)
    words[np.random.default_rng(seed + 1000).choice(60, edits, replace=False)] = "neu"
    return " ".join(words)


def save(path: Path, texts: dict[str, Any]) -> Path:
    """Texts, or documents without their ids, as a file, which is left alone if it has them."""
    documents = {name: each if isinstance(each, dict) else {"text": each} for name, each in texts.items()}
    content = "".join(json.dumps({"id": identifier, **each}) + "\n" for identifier, each in documents.items())
    if not path.exists() or path.read_text() != content:
        path.write_text(content)
    return path


def night(folder: Path, name: str, texts: dict[str, Any], **dedup: Any) -> Result:
    """A run over these texts, in a directory of its own."""
    source = save(folder / f"{name}.jsonl", texts)
    recipe = folder / f"{name}.yaml"
    recipe.write_text(yaml.safe_dump({"dedup": dedup}))
    return launch(load_recipe(str(recipe), [], [str(source)]), str(folder / name), workers=1)


def decisions(result: Result) -> dict[str, tuple[str, str | None]]:
    rows = [row for file in Path(result.release.uri("decisions")).iterdir() for row in pq.read_table(file).to_pylist()]
    return {row["id"]: (row["reason"] or row["decision"], row["detail"]) for row in rows}


def index_of(result: Result) -> dict[str, Any]:
    index: dict[str, Any] = json.loads(Path(result.release.uri("dedup-index", "index.json")).read_text())
    return index


def opened(folder: Path) -> tuple[pa.Table, Segment]:
    """All documents of an index, and the index."""
    (segment,) = open_indices([str(folder)], None)
    with pa.ipc.open_file(folder / "documents-00000.arrow") as reader:
        return reader.read_all(), segment


FIRST = {f"a{number}": text(number) for number in range(12)}
SECOND = {"b0": text(0), "b1": text(1, edits=1), "b2": text(2, edits=40), "b20": text(20), "b21": text(20), "b22": text(22)}
THIRD = {"c0": text(11), "c1": text(22, edits=1), "c2": text(30)}


@pytest.fixture(scope="module")
def nights(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, list[Result]]:
    """Three nights, each against the one before, which names those before it."""
    folder = tmp_path_factory.mktemp("nights")
    one = night(folder, "one", FIRST, minhash={}, index=True)
    two = night(folder, "two", SECOND, minhash={}, index="extend", against=[str(folder / "one")])
    three = night(folder, "three", THIRD, minhash={}, index="extend", against=[str(folder / "two@1")])
    return folder, [one, two, three]


def test_a_night_drops_what_any_night_before_released(nights: tuple[Path, list[Result]]) -> None:
    folder, (one, two, three) = nights
    assert one.manifest["counts"]["kept"] == 12
    second = decisions(two)
    twin = "b20" if second["b21"][0] == "keep" else "b21"
    assert second.pop(twin)[0] == "dedup.exact"
    assert second.pop("b20" if twin == "b21" else "b21")[0] == "keep"
    assert second == {
        "b0": ("dedup.released", f"equal to a0 of {folder}/one@1"),
        "b1": ("dedup.released", f"Jaccard 0.8361 with a1 of {folder}/one@1"),
        "b2": ("keep", None),
        "b22": ("keep", None),
    }
    assert decisions(three) == {
        "c0": ("dedup.released", f"equal to a11 of {folder}/one@1"),
        "c1": ("dedup.released", f"Jaccard 0.8361 with b22 of {folder}/two@1"),
        "c2": ("keep", None),
    }
    explained = explanation(str(folder / "two"), "b0")
    assert (explained["reason"], explained["detail"]) == ("dedup.released", f"equal to a0 of {folder}/one@1")
    assert {row["reason"]: row["documents"] for row in two.manifest["counts"]["reasons"]} == {
        "dedup.released": 2,
        "dedup.exact": 1,
    }


def test_an_index_names_those_before_it_and_has_its_own_documents_alone(nights: tuple[Path, list[Result]]) -> None:
    _, results = nights
    indices = [index_of(result) for result in results]
    assert [index["documents"] for index in indices] == [12, 3, 1]
    one, two = "../../../../one/releases/000001/dedup-index", "../../../../two/releases/000001/dedup-index"
    assert [index["before"] for index in indices] == [[], [one], [two, one]]


def test_the_index_is_among_the_files_of_its_release(nights: tuple[Path, list[Result]], tmp_path: Path) -> None:
    folder, (one, *_) = nights
    names = {"index.json", "documents-00000.arrow", "shingles-00000.u64", "bands-00000.arrow"}
    listed = {file["path"].rpartition("/")[2] for file in one.manifest["files"] if "/dedup-index/" in file["path"]}
    assert listed == names
    assert verify(str(folder / "one")) == []
    shutil.copytree(folder / "one", tmp_path / "one", symlinks=True)
    damaged = tmp_path / "one" / "releases" / "000001" / "dedup-index" / "bands-00000.arrow"
    content = damaged.read_bytes()
    damaged.write_bytes(b"x" + content[1:])
    assert [problem.path for problem in verify(str(tmp_path / "one"))] == ["releases/000001/dedup-index/bands-00000.arrow"]
    recipe = load_recipe(str(folder / "one.yaml"), [], [str(folder / "one.jsonl")])
    assert launch(recipe, str(tmp_path / "one"), workers=1).mended == ("releases/000001/dedup-index/bands-00000.arrow",)
    assert damaged.read_bytes() == content


def test_another_cut_of_the_input_gives_the_same_bytes(nights: tuple[Path, list[Result]], tmp_path: Path) -> None:
    folder, (_, two, _) = nights
    again = tmp_path / "again"
    again.mkdir()
    shutil.copytree(folder / "one", again / "one", symlinks=True)
    items = list(reversed(SECOND.items()))
    save(again / "x.jsonl", dict(items[:2]))
    save(again / "y.jsonl", dict(items[2:]))
    recipe = again / "two.yaml"
    recipe.write_text((folder / "two.yaml").read_text().replace(str(folder), str(again)))
    launch(load_recipe(str(recipe), [], [str(again / "*.jsonl")]), str(again / "two"), workers=1)
    files, others = left(Path(two.run)), left(again / "two")
    for part in ("data/", "dedup-index/"):
        assert {path: content for path, content in files.items() if path.startswith(part)} == {
            path: content for path, content in others.items() if path.startswith(part)
        }


def test_a_run_is_redone_when_what_it_is_against_has_another_release(tmp_path: Path) -> None:
    night(tmp_path, "one", FIRST, index=True)
    two = night(tmp_path, "two", SECOND, against=[str(tmp_path / "one")])
    assert decisions(two)["b22"][0] == "keep"
    assert night(tmp_path, "two", SECOND, against=[str(tmp_path / "one")]).unchanged
    night(tmp_path, "one", {**FIRST, "a22": text(22)}, index=True)
    again = night(tmp_path, "two", SECOND, against=[str(tmp_path / "one")])
    assert (again.release.number, again.reused) == (2, 1)
    assert decisions(again)["b22"] == ("dedup.released", f"equal to a22 of {tmp_path}/one@2")


def test_what_cannot_be_compared_is_refused(nights: tuple[Path, list[Result]], tmp_path: Path) -> None:
    folder, _ = nights
    one = str(folder / "one")

    def refused(against: str, name: str = "x", **dedup: Any) -> str:
        with pytest.raises(RunError) as caught:
            night(tmp_path, name, THIRD, against=[against], **dedup)
        return str(caught.value)

    assert "near copies are compared by what the index of" in refused(one, minhash={"bands": 20})
    assert "(bands 20 here and 14 there)" in refused(one, minhash={"bands": 20})
    assert "neither a folder with an index.json nor a release" in refused(str(tmp_path / "nowhere"))
    night(tmp_path, "bare", THIRD)
    assert "release 1 of" in (message := refused(str(tmp_path / "bare")))
    assert "has no dedup-index. Run it with `dedup.index: true`" in message
    night(tmp_path, "exact", THIRD, index=True)
    assert "is of equal texts alone, and this recipe has `dedup.minhash`" in refused(str(tmp_path / "exact"), minhash={})
    assert "is a release of this run" in refused(str(tmp_path / "bare@1"), name="bare")
    shutil.copytree(folder, tmp_path / "nights", symlinks=True)
    shutil.rmtree(tmp_path / "nights" / "one")
    with pytest.raises(RecipeError, match="a later copy would not be found"):
        night(tmp_path, "x", THIRD, index=True, paragraphs={})
    message = refused(str(tmp_path / "nights" / "three"), minhash={})
    assert "one/releases/000001/dedup-index/index.json is missing, which the index of" in message


def test_what_is_purged_is_in_no_index(nights: tuple[Path, list[Result]], tmp_path: Path) -> None:
    """Neither its id nor a hash of its text is left, and a later night may release it."""
    shutil.copytree(nights[0] / "one", tmp_path / "one", symlinks=True)
    folder = tmp_path / "one" / "releases" / "000001" / "dedup-index"
    before, segment = opened(folder)
    rows = before.to_pylist()
    purged = next(row for row in rows if row["id"] == "a5")
    lists = [each for piece in read_shingles(segment, before) for each in piece.to_pylist()]
    own = lists[rows.index(purged)]
    assert len(own) == 56
    purge(str(tmp_path / "one"), ["a5"], [], "request 17")
    after, segment = opened(folder)
    assert after.to_pylist() == [row for row in rows if row != purged]
    assert [each for piece in read_shingles(segment, after) for each in piece.to_pylist()] == [x for x in lists if x != own]
    assert segment.index.documents == 11
    files = b"".join(path.read_bytes() for path in folder.iterdir())
    assert not any(np.uint64(each).tobytes() in files for each in (*own, purged["text_hash_0"], purged["text_hash_1"]))
    assert verify(str(tmp_path / "one")) == []
    later = night(tmp_path, "later", {"d5": text(5), "d6": text(6), "d7": text(5, edits=1)}, minhash={}, against=[str(folder)])
    kept = [name for name, (reason, _) in decisions(later).items() if reason == "keep"]
    assert decisions(later)["d6"] == ("dedup.released", f"equal to a6 of {tmp_path}/one@1")
    assert kept in (["d5"], ["d7"])  # near-duplicates of each other


def test_a_night_that_brings_nothing_new_makes_no_release_and_the_chain_goes_on(tmp_path: Path) -> None:
    night(tmp_path, "one", FIRST, minhash={}, index=True)
    again = {"b0": text(0), "b1": text(1, edits=1), "b2": text(0)}
    with pytest.raises(NothingNew, match=r"^nothing new: 3 of 3 documents were released before; no release is made$"):
        night(tmp_path, "two", again, minhash={}, index="extend", against=[str(tmp_path / "one")])
    assert not (tmp_path / "two" / "manifest.json").exists()
    assert not list((tmp_path / "two" / "releases").glob("*"))
    found = decisions(night(tmp_path, "three", THIRD, minhash={}, against=[str(tmp_path / "two")]))
    assert found["c0"] == ("dedup.released", f"equal to a11 of {tmp_path}/one@1")
    night(tmp_path, "two", {**again, "b9": text(40)}, minhash={}, index="extend", against=[str(tmp_path / "one")])
    assert verify(str(tmp_path / "two")) == []
    found = decisions(night(tmp_path, "four", {"d9": text(40), "d8": text(41)}, against=[str(tmp_path / "two")]))
    assert found["d9"] == ("dedup.released", f"equal to b9 of {tmp_path}/two@1")


def test_a_night_merges_the_indices_of_many_nights(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Documents keep the names of their releases, which may then be deleted; purged ones are in it no more."""
    monkeypatch.setattr(merge_indices, "EACH_TIER", 0)
    night(tmp_path, "one", FIRST, minhash={}, index=True)
    night(tmp_path, "two", SECOND, minhash={}, index="extend", against=[str(tmp_path / "one")])
    options = {"minhash": {}, "index": "extend", "against": [str(tmp_path / "two")]}
    three = night(tmp_path, "three", THIRD, **options)
    assert index_of(three)["before"] == ["merged"]
    folder = tmp_path / "three" / "releases" / "000001" / "dedup-index" / "merged"
    assert json.loads((folder / "index.json").read_text())["documents"] == 15
    damaged = folder / "shingles-00000.u64"
    content = damaged.read_bytes()
    damaged.write_bytes(b"\0" + content[1:])
    path = "releases/000001/dedup-index/merged/shingles-00000.u64"
    assert [problem.path for problem in verify(str(tmp_path / "three"))] == [path]
    assert night(tmp_path, "three", THIRD, **options).mended == (path,)
    assert damaged.read_bytes() == content
    for name in ("one", "two"):
        shutil.rmtree(tmp_path / name)
    texts = {"d0": text(11), "d1": text(22, edits=1), "d2": text(30), "d4": text(4), "d9": text(40)}
    found = decisions(night(tmp_path, "four", texts, minhash={}, against=[str(tmp_path / "three")]))
    assert found == {
        "d0": ("dedup.released", f"equal to a11 of {tmp_path}/one@1"),
        "d1": ("dedup.released", f"Jaccard 0.8361 with b22 of {tmp_path}/two@1"),
        "d2": ("dedup.released", f"equal to c2 of {tmp_path}/three@1"),
        "d4": ("dedup.released", f"equal to a4 of {tmp_path}/one@1"),
        "d9": ("keep", None),
    }
    assert purge(str(tmp_path / "three"), ["a4"], [], "request 18").documents == 1
    assert verify(str(tmp_path / "three")) == []
    found = decisions(night(tmp_path, "four", texts, minhash={}, against=[str(tmp_path / "three")]))
    assert found["d4"] == ("keep", None)


def test_an_index_of_any_corpus_is_read_as_the_recipe_reads(tmp_path: Path) -> None:
    """Its fields and settings hold; its thresholds do not, and of near copies it has all."""
    recipe = tmp_path / "recipe.yaml"
    sections = {
        "input": {"fields": {"text": "body"}},
        "edit": [{"repair": {}}],
        "thresholds": {"gopher.word_count": {"min": 90}},
    }
    recipe.write_text(yaml.safe_dump(sections | {"rate": {"gopher": {}}, "dedup": {"minhash": {"bands": 20}}}))
    texts = {"l1": text(1), "l2": text(1, edits=1), "l3": text(3), "l4": text(3)}
    save(tmp_path / "licensed.jsonl", {name: {"body": each} for name, each in texts.items()})
    output = tmp_path / "out" / "index"
    index = index_corpus(str(recipe), [str(tmp_path / "licensed.jsonl")], [], str(output), workers=1)
    assert index.documents == 3
    assert index.near is not None
    assert index.near["bands"] == 20
    assert [path.name for path in output.parent.iterdir()] == ["index"]
    later = night(
        tmp_path, "later", {"a": text(1), "b": text(3, edits=1), "c": text(4)}, minhash={"bands": 20}, against=[str(output)]
    )
    found = decisions(later)
    assert found.pop("b")[1] in (f"Jaccard 0.8361 with {name} of {output}" for name in ("l3", "l4"))
    assert found == {"a": ("dedup.released", f"equal to l1 of {output}"), "c": ("keep", None)}
    with pytest.raises(RunError, match="is not empty: name a new folder"):
        index_corpus(str(recipe), [str(tmp_path / "licensed.jsonl")], [], str(output), workers=1)


def dated(number: int, place: int, seed: int, edits: int) -> dict[str, str]:
    return {"text": text(seed, edits), "date": f"2026-11-{number + 1:02d}T{place:02d}:00:00Z", "source": f"site-{place % 2}"}


@pytest.mark.slow
def test_nights_keep_the_same_documents_as_one_run_over_all_if_the_oldest_stays(tmp_path: Path) -> None:
    """Six nights of near copies at various distances, chains among them, and of equal texts."""
    draw = np.random.default_rng(5)
    nights = [
        {f"n{number}-{place}": dated(number, place, int(draw.integers(8)), int(draw.integers(12))) for place in range(12)}
        for number in range(6)
    ]
    dedup: dict[str, Any] = {"minhash": {"threshold": 0.5}, "keep": "oldest"}
    kept: list[str] = []
    for number, documents in enumerate(nights):
        against = [str(tmp_path / f"night{number - 1}")] if number else []
        result = night(tmp_path, f"night{number}", documents, index="extend", against=against, **dedup)
        kept += [name for name, (reason, _) in decisions(result).items() if reason == "keep"]
    everything = {name: each for documents in nights for name, each in documents.items()}
    whole = night(tmp_path, "whole", dict(sorted(everything.items(), reverse=True)), **dedup)
    assert sorted(kept) == sorted(name for name, (reason, _) in decisions(whole).items() if reason == "keep")
    assert 8 < len(kept) < len(everything) - 8


def test_one_run_over_all_may_keep_a_later_copy_that_is_preferred(tmp_path: Path) -> None:
    """So it differs from nights unless the oldest stays."""
    one, two = {"a": dated(0, 0, 1, 0)}, {"b": dated(1, 1, 1, 1), "c": dated(1, 0, 2, 0)}
    night(tmp_path, "one", one, minhash={}, index=True)
    by_night = decisions(night(tmp_path, "two", two, minhash={}, against=[str(tmp_path / "one")]))
    assert by_night["b"] == ("dedup.released", f"Jaccard 0.8361 with a of {tmp_path}/one@1")
    for options in ({"keep": "newest"}, {"prefer": ["site-1"]}, {"keep": "oldest", "prefer": ["site-1", "site-0"]}):
        whole = decisions(night(tmp_path, "whole", one | two, minhash={}, **options))
        assert whole == {"a": ("dedup.near", "Jaccard 0.8361 with b"), "b": ("keep", None), "c": ("keep", None)}


@pytest.mark.slow
def test_ten_nights_keep_the_same_texts_as_one_run_over_all(tmp_path: Path) -> None:
    """Equal texts: some occur again on the same night, some on later ones."""
    draw = np.random.default_rng(4)
    batches = [{f"n{number}-{place}": text(int(draw.integers(60))) for place in range(15)} for number in range(10)]
    kept: list[str] = []
    for number, batch in enumerate(batches):
        against = [str(tmp_path / f"night{number - 1}")] if number else []
        result = night(tmp_path, f"night{number}", batch, index="extend", against=against)
        kept += [batch[name] for name, (reason, _) in decisions(result).items() if reason == "keep"]
    everything = {name: each for batch in batches for name, each in batch.items()}
    whole = decisions(night(tmp_path, "whole", everything))
    assert sorted(kept) == sorted(everything[name] for name, (reason, _) in whole.items() if reason == "keep")
    assert len(kept) == len(set(everything.values()))


@pytest.mark.slow
@pytest.mark.parametrize("near", [False, True])
@pytest.mark.parametrize("seed", range(3))
def test_ten_nights_keep_what_one_run_keeps_however_documents_are_dealt(tmp_path: Path, seed: int, near: bool) -> None:
    """The same texts by equality; with near-duplicates the same documents, as the earliest of them stays."""
    random = np.random.default_rng(seed)
    nights: list[dict[str, Any]] = [{} for _ in range(10)]
    for number in range(80):
        day = int(random.integers(10))
        own = text(int(random.integers(25)), edits=int(random.choice([0, 0, 1, 2, 6])))
        nights[day][f"d{number:02}"] = {"text": own, "date": f"2026-01-{day + 1:02}"}
    options = {"keep": "oldest", "minhash": {}} if near else {}
    kept: list[dict[str, Any]] = []
    before: list[str] = []
    for day, documents in enumerate(nights):
        with suppress(NothingNew):
            result = night(tmp_path, f"night{day}", documents, index="extend" if before else True, against=before, **options)
            kept += kept_of(result, documents)
        before = [str(tmp_path / f"night{day}")]
    everything = {name: each for documents in nights for name, each in documents.items()}
    at_once = kept_of(night(tmp_path, "all", everything, **options), everything)
    assert len(at_once) < len(everything)
    if near:
        assert sorted(map(str, kept)) == sorted(map(str, at_once))
    else:
        assert sorted(each["text"] for each in kept) == sorted(each["text"] for each in at_once)


def kept_of(result: Result, documents: dict[str, Any]) -> list[dict[str, Any]]:
    return [documents[name] for name, (decision, _) in decisions(result).items() if decision == "keep"]
