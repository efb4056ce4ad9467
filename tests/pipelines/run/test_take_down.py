"""A takedown leaves a patch: everything else stays in its place, loaders go on with it, and nothing of it comes back."""

from __future__ import annotations

import json
import os
import re
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from tokenizers import Tokenizer, models, pre_tokenizers
from typer.testing import CliRunner

from tamis.pipelines.cli.main import app
from tamis.pipelines.lookup.explanation import explanation
from tamis.pipelines.releases import remove_documents
from tamis.pipelines.releases import take_down as module
from tamis.pipelines.releases.purge import purge
from tamis.pipelines.releases.release_list import lines, release_list
from tamis.pipelines.releases.retention import rollback
from tamis.pipelines.releases.take_down import TakedownResult, take_down
from tamis.pipelines.releases.taken_documents import Request
from tamis.pipelines.run.run_lock import RunLock
from tamis.transforms.core.errors import RunError
from tamis.transforms.core.manifest import shard_places
from tamis.transforms.core.release import open_release
from tamis.transforms.core.shards import Output, write_shard
from tamis.transforms.feed.dataset import CurriculumDataset, TrainingBatch, index
from tamis.transforms.feed.loader import read_in_order
from tamis.transforms.provenance.tombstones import read_tombstones
from tamis.transforms.provenance.verify import verify
from tests.pipelines.corpus import corpus, dealt, save
from tests.pipelines.running import run, write_recipe

RECORDS: list[dict[str, Any]] = [
    {**record, "url": f"https://{'a.bad.example' if number in (40, 41) else 'fine.example'}/{number}"}
    for number, record in enumerate(corpus(120, seed=14))
]
PLAIN = [record for record in RECORDS if record["trap"] == "plain"]
WORDS = re.findall("[a-z]+", PLAIN[8]["text"])
ORIGINAL, UNLIKE = "doc-original", "doc-unlike"
PLANTED: list[dict[str, Any]] = [
    {"id": ORIGINAL, "text": " ".join(WORDS[:90]), "source": "web"},
    {"id": "doc-equal", "text": " ".join(WORDS[:90]), "source": "books"},
    {"id": "doc-near", "text": " ".join([*WORDS[:45], "other", *WORDS[46:90]]), "source": "web"},
    {"id": UNLIKE, "text": " ".join([*WORDS[:45], *PLAIN[9]["text"].split()[:45]]), "source": "web"},
    {"id": "doc-child", "text": " ".join(PLAIN[10]["text"].split()[::-1]), "source": "web", "from": ORIGINAL},
    {"id": "doc-grandchild", "text": " ".join(PLAIN[11]["text"].split()[::-1]), "source": "web", "from": "doc-child"},
]
COPIES = {ORIGINAL, "doc-equal", "doc-near"}


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A release, its input and its recipe. Read only."""
    folder = tmp_path_factory.mktemp("made")
    save(folder / "in", dealt([*RECORDS, *PLANTED], 3, seed=1))
    run(write_recipe(folder, dedup={"minhash": {}, "index": True}), folder / "in", folder / "run")
    return folder


@pytest.fixture
def folder(made: Path, tmp_path: Path) -> Path:
    shutil.copytree(made, tmp_path / "copy", symlinks=True)
    return tmp_path / "copy"


def again(folder: Path, *more: dict[str, Any]) -> Any:
    """The next run of the recipe, over the input and more documents."""
    if more:
        (folder / "in" / "more.jsonl").write_text("".join(json.dumps(each) + "\n" for each in more))
    return run(folder / "recipe.yaml", folder / "in", folder / "run")


def taken(folder: Path, *ids: str, **options: Any) -> TakedownResult:
    wanted = {name: options.pop(name) for name in ("hosts", "texts", "parent") if name in options}
    return take_down(str(folder / "run"), Request(ids, **wanted), "request 17", **options)


def decisions(name: str) -> dict[str, dict[str, Any]]:
    folder = Path(open_release(name).uri("decisions"))
    return {row["id"]: row for file in sorted(folder.iterdir()) for row in pq.read_table(file).to_pylist()}


def rows(name: str) -> list[dict[str, Any]]:
    return [row for shard in read_in_order(name) for row in shard.documents.to_pylist()]


def files(run: Path) -> dict[str, bytes]:
    paths = (path for path in run.rglob("*") if path.is_file() and not path.is_symlink())
    return {str(path.relative_to(run)): path.read_bytes() for path in paths}


def causes(result: TakedownResult) -> dict[str, str]:
    return {document.id: document.cause for document in result.documents}


# --- what is taken -------------------------------------------------------------------------------------------------------


def test_copies_are_verified_and_what_was_made_of_them_goes_too(made: Path) -> None:
    assert causes(taken(made, ORIGINAL, dry_run=True)) == {
        ORIGINAL: "named",
        "doc-equal": f"copy of {ORIGINAL}",
        "doc-near": f"near copy of {ORIGINAL}, Jaccard 0.8901",  # 86 shingles each, 81 of them in both
    }
    assert causes(taken(made, "doc-child", parent="from", dry_run=True)) == {
        "doc-child": "named",
        "doc-grandchild": "made of doc-child",
    }
    assert set(causes(taken(made, "doc-near", parent="from", dry_run=True))) == COPIES | {"doc-child", "doc-grandchild"}


def test_a_text_and_a_host_find_their_documents(made: Path) -> None:
    near = causes(taken(made, texts=[PLANTED[2]["text"]], dry_run=True))
    assert near["doc-near"] == "copy of the given text"
    assert near[ORIGINAL] == near["doc-equal"] == "near copy of the given text, Jaccard 0.8901"
    assert set(near) == COPIES
    by_host = causes(taken(made, hosts=[".BAD.example"], dry_run=True))
    named = {name: cause for name, cause in by_host.items() if cause == "host bad.example"}
    assert set(named) == {RECORDS[number]["id"] for number in (40, 41)}


# --- the patch -----------------------------------------------------------------------------------------------------------


def test_a_patch_is_the_release_without_the_documents(folder: Path) -> None:
    output = folder / "run"
    before, parent = files(output), open_release(str(output)).manifest
    result = taken(folder, ORIGINAL)
    assert (result.patched, result.release, result.rows) == (1, 2, 1)
    patch = open_release(str(output)).manifest
    assert {
        path: content for path, content in files(output).items() if path in before and path.startswith("releases/000001")
    } == {path: content for path, content in before.items() if path.startswith("releases/000001")}
    kept = decisions(f"{output}@1")
    (gone,) = (name for name in COPIES if kept[name]["decision"] == "keep")
    assert [row["id"] for row in rows(str(output))] == [row["id"] for row in rows(f"{output}@1") if row["id"] != gone]
    assert result.shards == 1
    for one, other in zip(parent["curriculum"]["shards"], patch["curriculum"]["shards"], strict=True):
        same = one["path"].split("/")[-1] != Path(kept[gone]["shard"]).name
        paths = [output / entry["path"] for entry in (one, other)]
        assert os.path.samefile(*paths) is same
        for name in ("first_token", "lr_min", "lr_max", "phase"):
            assert one[name] == other[name]
        assert other.get("taken_tokens", 0) == one["tokens"] - other["tokens"]
    assert patch["curriculum"]["tokens"] == parent["curriculum"]["tokens"]
    counts = patch["counts"]
    assert counts["records"] == parent["counts"]["records"]
    assert counts["kept"] == parent["counts"]["kept"] - 1
    assert {"decision": "drop", "reason": "takedown", "documents": 3}.items() <= next(
        row for row in counts["reasons"] if row["reason"] == "takedown"
    ).items()
    assert patch["patch"] == {
        "of": 1,
        "corpora": [parent["corpus_root"]],
        "documents": 3,
        "causes": {"copy": 2, "named": 1},
        "reason": "request 17",
    }
    assert "a new run would order them anew" in patch["warnings"][-1]["message"]
    plans = [json.loads((output / f"releases/00000{number}/plan.json").read_text()) for number in (1, 2)]
    for name in ("tokens", "phases", "checkpoints", "best_decile_lr_mass"):
        assert plans[0][name] == plans[1][name]
    assert list(lines(release_list(str(output))))[-1].endswith("patch of 1, current")
    assert verify(str(output)) == []


@pytest.mark.parametrize(
    "changed",
    [
        {"select": {"tokens": 40_000, "max_epochs": 3, "mixture": {"weights": {"web": 1, "books": 3, "code": 2}}}},
        {"output": {"format": "jsonl.zst", "shard_bytes": 60_000}},
        {"curriculum": {"phases": [{"name": "web", "share": 0.6}, {"name": "best", "share": 0.4}]}},
    ],
    ids=["repeats", "jsonl", "phases"],
)
def test_repeats_formats_and_phases(made: Path, tmp_path: Path, changed: dict[str, Any]) -> None:
    output = tmp_path / "run"
    run(write_recipe(tmp_path, **changed), made / "in", output)
    before = rows(str(output))
    gone = {before[number]["id"] for number in (1, len(before) // 2, len(before) - 1)}
    gone |= {document.id for document in taken(tmp_path, *sorted(gone)).documents}
    assert rows(str(output)) == [row for row in before if row["id"] not in gone]
    manifest = open_release(str(output)).manifest
    assert sum(shard.get("taken_documents", 0) for shard in manifest["curriculum"]["shards"]) == len(before) - len(
        rows(str(output))
    )
    assert verify(str(output)) == []


def test_explain_and_the_report_say_when_and_why(folder: Path) -> None:
    taken(folder, ORIGINAL)
    day = read_tombstones(str(folder / "run"))["day"][0].as_py()
    explained = explanation(str(folder / "run"), "doc-near")
    assert (explained["reason"], explained["representative"]) == ("takedown", None)
    assert explained["detail"] == f"release 2, {day}: near copy of {ORIGINAL}, Jaccard 0.8901 (request 17)"
    report = (folder / "run/latest/report.html").read_text()
    assert "takedown" in report
    assert "release 2 is release 1 without 3 documents that were taken down" in report


def test_it_is_in_no_index_and_in_no_release_to_come(folder: Path) -> None:
    output = str(folder / "run")
    taken(folder, ORIGINAL, parent="from")
    index = json.loads(Path(open_release(output).uri("dedup-index", "index.json")).read_text())
    assert index["documents"] == open_release(output).manifest["counts"]["kept"]
    other = {"id": "doc-renamed", "text": PLANTED[0]["text"], "source": "code"}
    child = {**PLANTED[4], "id": "doc-other-child", "text": "Another text of words. " * 30}
    unlike = {**PLANTED[4], "id": "doc-fine", "text": "A third text of words. " * 30, "from": "nobody"}
    result = again(folder, other, child, unlike)
    assert (result.unchanged, result.release.number, "patch" in result.manifest) == (False, 3, False)
    found = decisions(output)
    day = read_tombstones(output)["day"][0].as_py()
    assert {name for name, row in found.items() if row["reason"] == "takedown"} == {
        *COPIES,
        *("doc-child", "doc-grandchild", "doc-renamed", "doc-other-child"),
    }
    assert found["doc-renamed"]["detail"] in {
        f"release 2, {day}: the text of {name} (request 17)" for name in (ORIGINAL, "doc-equal")
    }
    assert found["doc-other-child"]["detail"] == f"release 2, {day}: the record of doc-child (request 17)"
    assert found[UNLIKE]["decision"] == "keep"
    assert again(folder).unchanged
    assert verify(output) == []


def test_documents_that_share_an_id_are_told_apart(tmp_path: Path) -> None:
    twins = [{"id": "twin", "text": PLAIN[number]["text"], "source": "web"} for number in (0, 1)]
    save(tmp_path / "in", [[*PLAIN[2:20], *twins]])
    run(write_recipe(tmp_path, thresholds={}), tmp_path / "in", tmp_path / "run")
    taken(tmp_path, "twin#2")
    assert read_tombstones(str(tmp_path / "run"))["id"].to_pylist() == [None]
    assert [decisions(str(tmp_path / "run"))[name]["decision"] for name in ("twin", "twin#2")] == ["keep", "drop"]
    again(tmp_path)
    assert [decisions(str(tmp_path / "run"))[name]["reason"] for name in ("twin", "twin#2")] == [None, "takedown"]
    with pytest.raises(RunError, match="are taken down or purged already"):
        taken(tmp_path, "twin#2")


# --- loaders -------------------------------------------------------------------------------------------------------------


PACKING: dict[str, dict[str, Any]] = {"cut": {"packing": "cut"}, "best_fit": {"packing": "best_fit"}}


def loader(name: str, packing: str, **options: Any) -> CurriculumDataset:
    return CurriculumDataset(name, "bytes", 64, 8, **PACKING[packing], **options)


def batches(name: str, packing: str, world: int, state: dict[str, Any] | None = None) -> list[TrainingBatch]:
    """The batches of all ranks, each step as one."""
    ranks = []
    for rank in range(world):
        dataset = loader(name, packing, rank=rank, world_size=world)
        if state is not None:
            dataset.load_state_dict(json.loads(json.dumps(state)))
        ranks.append(list(dataset))
    steps = []
    for parts in zip(*ranks, strict=True):
        arrays = (np.concatenate([part[field] for part in parts]) for field in range(3))
        steps.append(TrainingBatch(*arrays, *parts[0][3:]))
    return steps


def padded(resumed: list[TrainingBatch], whole: list[TrainingBatch]) -> list[int]:
    """The tokens that became padding, sorted; all else must be where it was, with the same rates."""
    assert [batch[3:] for batch in resumed] == [batch[3:] for batch in whole]
    gone: list[int] = []
    for one, other in zip(resumed, whole, strict=True):
        left = one.segments > 0
        gone += other.tokens[(other.segments > 0) & ~left].tolist()
        for field in range(3):
            assert (one[field] == np.where(left, other[field], 0)).all()
    return sorted(gone)


@pytest.mark.parametrize("packing", list(PACKING))
def test_a_state_of_the_release_goes_on_with_the_patch(folder: Path, packing: str) -> None:
    """Also on a patch of the patch, with another number of ranks."""
    output = str(folder / "run")
    whole, before = batches(f"{output}@1", packing, 1), rows(f"{output}@1")
    states = [loader(f"{output}@1", packing).state_dict(step) for step in (0, 1, len(whole) // 2)]
    first = taken(folder, ORIGINAL, hosts=["bad.example"])
    second = taken(folder, PLAIN[2]["id"])
    gone = {document.id for document in (*first.documents, *second.documents)}
    texts = [row["text"].encode() for row in before if row["id"] in gone]
    assert len(texts) == 4
    for state, world in zip(states, (1, 4, 2), strict=True):
        tokens = padded(batches(output, packing, world, state), whole[state["step"] :])
        if state["step"] == 0:
            assert tokens == sorted(token for text in texts for token in (*text, 256))
    with pytest.raises(RunError, match="belongs to another corpus"):
        loader(f"{output}@1", packing).load_state_dict(loader(output, packing).state_dict(1))


def test_after_a_purge_the_count_of_the_recipe_still_gives_every_place(folder: Path) -> None:
    words = Tokenizer(models.WordLevel({"[UNK]": 0, "the": 1}, unk_token="[UNK]"))
    words.pre_tokenizer = pre_tokenizers.Whitespace()
    words.save(str(folder / "tokenizer.json"))
    write_recipe(folder, rate={"gopher": {}, "repetition": {}, "tokens": {"tokenizer": str(folder / "tokenizer.json")}})
    output = str(again(folder).run)

    def read(state: dict[str, Any] | None = None) -> list[TrainingBatch]:
        dataset = CurriculumDataset(output, str(folder / "tokenizer.json"), 32, 8)
        if state is not None:
            dataset.load_state_dict(state)
        return list(dataset)

    whole = read()
    state = CurriculumDataset(output, str(folder / "tokenizer.json"), 32, 8).state_dict(3)
    taken(folder, ORIGINAL, PLAIN[2]["id"], PLAIN[3]["id"], erase=True)
    assert padded(read(state), whole[3:])


def test_after_a_purge_the_index_still_gives_every_place(folder: Path) -> None:
    output = str(folder / "run")
    index(output, "bytes", processes=1)
    whole, state = batches(output, "cut", 1), loader(output, "cut").state_dict(3)
    taken(folder, ORIGINAL, PLAIN[2]["id"], erase=True)
    assert padded(batches(output, "cut", 2, state), whole[3:])
    with pytest.raises(RunError, match="is indexed for bytes, not for this function"):
        CurriculumDataset(output, lambda text: list(text.encode()), 64, 8)


# --- purges, kills, mistakes ---------------------------------------------------------------------------------------------


def test_with_a_purge_the_texts_are_gone_and_places_stay(folder: Path) -> None:
    output = folder / "run"
    first = [entry["first_token"] for entry in open_release(str(output)).manifest["curriculum"]["shards"]]
    taken(folder, ORIGINAL, erase=True)
    assert {decisions(f"{output}@{number}")["doc-near"]["reason"] for number in (1, 2)} == {"purged"}
    assert [entry["first_token"] for entry in open_release(str(output)).manifest["curriculum"]["shards"]] == first
    assert PLANTED[0]["text"] not in {
        text for part in (output / "rated").glob("*.parquet") for text in pq.read_table(part)["text"].to_pylist()
    }
    purge(str(output), [PLAIN[2]["id"]], [], "later")
    manifest = open_release(str(output)).manifest
    assert [entry["first_token"] for entry in manifest["curriculum"]["shards"]] == first
    assert sum(entry.get("taken_documents", 0) for entry in manifest["curriculum"]["shards"]) == 2
    assert verify(str(output)) == []
    with pytest.raises(RunError, match="Their texts are gone"):
        list(CurriculumDataset(str(output), "bytes", 64, 8))


def test_a_purge_of_a_patch_that_is_interrupted_leaves_each_gap_once(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    output = str(folder / "run")
    taken(folder, ORIGINAL)

    def interrupted(shard: pa.Table, uri: str, options: Output) -> None:
        if "releases/000002" in uri:
            raise KeyboardInterrupt
        write_shard(shard, uri, options)

    with monkeypatch.context() as patch:
        patch.setattr(remove_documents, "write_shard", interrupted)
        with pytest.raises(KeyboardInterrupt):
            purge(output, [PLAIN[2]["id"]], [], "")
    purge(output, [PLAIN[2]["id"]], [], "")
    shards = open_release(output).manifest["curriculum"]["shards"]
    assert sum(shard.get("taken_documents", 0) for shard in shards) == 2
    assert [shard["first_token"] + shard_places(shard)[1] for shard in shards[:-1]] == [
        shard["first_token"] for shard in shards[1:]
    ]
    assert verify(output) == []


@pytest.mark.parametrize("step", ["remove_documents", "recounted", "seal_release"])
def test_a_takedown_that_is_killed_leaves_the_release_current_and_can_be_repeated(
    folder: Path, monkeypatch: pytest.MonkeyPatch, step: str
) -> None:
    output = folder / "run"
    before = {path: content for path, content in files(output).items() if path.startswith(("releases/000001", "manifest"))}

    def killed(*_: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(module, step, killed)
        with pytest.raises(KeyboardInterrupt):
            taken(folder, ORIGINAL)
    assert before.items() <= files(output).items()
    assert open_release(str(output)).number == 1
    assert verify(str(output)) == []
    assert taken(folder, ORIGINAL).release == 2
    assert len(read_tombstones(str(output))) == 3
    assert verify(str(output)) == []


def test_lost_or_damaged_tombstones_are_noticed(folder: Path) -> None:
    taken(folder, ORIGINAL)
    path = folder / "run" / "tombstones.parquet"
    content = path.read_bytes()
    path.write_bytes(content[:40] + b"\x00\x00\x00" + content[43:])
    assert [problem.path for problem in verify(str(folder / "run"))] == ["tombstones.parquet"]
    with pytest.raises(RunError, match="must not come back: restore it from a copy"):
        again(folder)
    path.unlink()
    (problem,) = verify(str(folder / "run"))
    assert problem.problem == "it does not have the 3 documents that release 2 took down"


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["doc-orignal"], "no document 'doc-orignal' in release 1 of "),
        (["--host", "elsewhere.example"], "is from the host 'elsewhere.example' or its subdomains"),
        (["--near", "nothing is like this"], "is near the given text"),
        ([], "name what to take down: ids, --host or --near"),
        (["@ALL"], "this takes all "),
    ],
)
def test_a_takedown_that_makes_no_sense_changes_nothing(made: Path, tmp_path: Path, options: list[str], message: str) -> None:
    (tmp_path / "all").write_text("\n".join(str(record["id"]) for record in (*RECORDS, *PLANTED)))
    arguments = [option.replace("ALL", str(tmp_path / "all")) for option in options]
    before = files(made / "run")
    refused = CliRunner().invoke(app, ["takedown", str(made / "run"), *arguments])
    assert (refused.exit_code, message in refused.stderr) == (1, True), refused.output
    assert files(made / "run") == before


def test_only_the_current_release_of_an_idle_run_is_patched(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    output = str(folder / "run")
    taken(folder, ORIGINAL)
    with pytest.raises(RunError, match=r"release 1 of .* is not the current one, which is 2"):
        take_down(f"{output}@1", Request([UNLIKE]), "")
    rollback(output, 1)
    assert take_down(f"{output}@1", Request([UNLIKE]), "").release == 3
    monkeypatch.setattr("tamis.pipelines.run.run_lock.WAIT_SECONDS", 0.1)
    with RunLock(output, "exclusive"), pytest.raises(RunError, match="another run"):
        taken(folder, "doc-child")
    shown = CliRunner().invoke(app, ["takedown", output, "doc-child", "--dry-run"])
    assert shown.stdout.splitlines() == ["doc-child  keep  named", "1 document would be taken down from release 3"]
