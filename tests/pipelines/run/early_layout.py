"""Turns a run directory into one that versions before releases/NNNNNN left, file by file."""

from __future__ import annotations

import json
import shutil
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

from tamis.pipelines.recipe.schema import Recipe
from tamis.transforms.core.manifest import release_path
from tamis.transforms.core.options import fingerprint
from tamis.transforms.core.release import open_release
from tamis.transforms.provenance.verify import merkle_root
from tamis.transforms.read.inputs import plan

Json = dict[str, Any]


def make_early(run: Path, recipe: Recipe) -> None:
    """Parts were numbered and of one split, and the only release lay in the run directory."""
    release = open_release(str(run))
    folder, manifest = Path(release.folder), json.loads(json.dumps(release.manifest))
    splits = {split.uri: split for split in plan(recipe.input)[0]}
    files: list[Json] = []
    inputs = []
    for ordinal in range(len(manifest["parts"])):
        part = release.part(ordinal)
        receipt = json.loads(Path(part.uri("rated", "json")).read_text())
        (entry,) = receipt.pop("inputs")
        split = splits[entry["uri"]]
        early = replace(split, stamp="-".join(split.stamp.split("-")[:2]))  # size and modification time
        for file in receipt["files"]:
            path = Path(run, file["path"])
            file["path"] = f"{path.parent.name}/part-{ordinal:05d}{path.suffix}"
            path.rename(run / file["path"])
        Path(part.uri("rated", "json")).unlink()
        digest = fingerprint({"rate": recipe.rate_fingerprint, "split": asdict(early)})
        receipt |= {"fingerprint": digest, "input": asdict(early)}
        for name in ("number", "last", "skipped"):
            receipt.pop(name)
        (run / f"rated/part-{ordinal:05d}.json").write_text(json.dumps(receipt))
        files += receipt["files"]
        inputs.append({"part": ordinal, **asdict(early), "documents": entry["documents"], "rejected": entry["rejected"]})
    digests = sorted(json.loads(path.read_text())["fingerprint"] for path in (run / "rated").glob("*.json"))
    manifest["fingerprint"] = fingerprint({"decide": recipe.decide_fingerprint, "parts": digests})
    for name in ("data", "decisions", "report.html", "plan.json"):
        (folder / name).rename(run / name)
    shutil.rmtree(run / ".state")
    (folder / "receipts").rename(run / ".state")
    (run / ".state/plan.json").write_text(json.dumps({"fingerprint": manifest["fingerprint"]}))
    for file in manifest["files"]:
        file["path"] = release_path(file["path"])
    files += [file for file in manifest["files"] if file["path"].startswith(("data/", "decisions/"))]
    for shard in manifest["curriculum"]["shards"]:
        shard["path"] = release_path(shard["path"])
    for name in ("release", "parts", "release_root"):
        del manifest[name]
    for name in ("skipped", "skipped_reasons", "characters"):
        del manifest["counts"][name]
    manifest |= {"files": files, "inputs": inputs, "root": merkle_root(files)}
    (run / "manifest.json").write_text(json.dumps(manifest))
    shutil.rmtree(run / "releases")
    (run / "latest").unlink()
    record = {
        "release": 1,
        "parent": None,
        "finished": manifest["environment"].get("finished"),
        **{name: manifest[name] for name in ("root", "corpus_root", "fingerprint")},
        **{name: manifest["counts"][name] for name in ("records", "kept")},
        "real_tokens": manifest["guards"]["real_tokens"],
        "added": [[entry["uri"], entry["stamp"]] for entry in inputs],
        "removed": [],
    }
    (run / "releases").mkdir()
    (run / "releases/000001.json").write_text(json.dumps(record))
