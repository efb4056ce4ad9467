"""Lists and tables of robots in a whole run: decisions name what matched, and a change redoes only what it changes."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import yaml

from tamis.pipelines.recipe.load import load_recipe
from tamis.pipelines.run.launch import Result, launch

HOSTS = ("news.com", "www.bad.com", "shop.co.uk", "sub.shop.co.uk", "open.org", "xyzzy.net")


def run(folder: Path, recipe: dict[str, Any], *sets: str) -> Result:
    (folder / "recipe.yaml").write_text(yaml.safe_dump(recipe))
    return launch(load_recipe(str(folder / "recipe.yaml"), sets, [str(folder / "in.jsonl")]), str(folder / "run"), workers=1)


def decisions(result: Result) -> dict[str, tuple[str, str | None, str | None]]:
    files = Path(result.run, "releases", f"{result.release.number:06d}", "decisions").glob("*.parquet")
    rows = [row for file in sorted(files) for row in pq.read_table(file).to_pylist()]
    return {row["id"]: (row["decision"], row["reason"], row["detail"]) for row in rows}


def test_a_run_with_lists_and_a_table(tmp_path: Path) -> None:
    documents = [{"id": host, "url": f"https://{host}/page", "text": f"A text of {host} that is kept"} for host in HOSTS]
    documents.append({"id": "no url", "text": "A text of nowhere"})
    (tmp_path / "in.jsonl").write_text("".join(json.dumps(document) + "\n" for document in documents))
    (tmp_path / "list.txt").write_text("bad.com\nshop.co.uk\nco.uk\nnot a host\n")
    (tmp_path / "words.txt").write_text("xyzzy\n")
    (tmp_path / "robots.csv").write_text("host,agents\nnews.com,GPTBot\nopen.org,\n")
    recipe: dict[str, Any] = {
        "url_lists": {
            "deny": {"mine": {"path": str(tmp_path / "list.txt"), "match": "domain"}},
            "words": {"hard": str(tmp_path / "words.txt")},
        },
        "consent": {"robots": str(tmp_path / "robots.csv"), "agents": ["gptbot"]},
    }
    first = run(tmp_path, recipe)
    table = tmp_path / "robots.csv"
    found = decisions(first)
    assert found == {
        "news.com": ("drop", "consent", f"news.com disallows gptbot ({table} row 1)"),
        "www.bad.com": ("drop", "url_lists", "mine: bad.com"),
        "shop.co.uk": ("drop", "url_lists", "mine: shop.co.uk"),
        "sub.shop.co.uk": ("drop", "url_lists", "mine: shop.co.uk"),
        "open.org": ("keep", None, None),
        "xyzzy.net": ("drop", "url_lists", "words 1 (hard:xyzzy)"),
        "no url": ("keep", None, None),
    }
    (warning,) = (each for each in first.manifest["warnings"] if each["code"] == "list-lines-unread")
    assert "2 lines or rows of the list mine" in warning["message"]
    assert "list.txt:3 'co.uk'" in warning["message"]

    reviewed = run(tmp_path, recipe, "url_lists.deny.mine.action=review", "consent.missing=deny")
    assert reviewed.reused == 1
    again = decisions(reviewed)
    assert {name: row[0] for name, row in again.items() if row != found[name]} == {
        "www.bad.com": "review",
        "shop.co.uk": "review",
        "sub.shop.co.uk": "review",
        "no url": "drop",
    }

    (tmp_path / "list.txt").write_text("open.org\n")
    changed = decisions(run(tmp_path, recipe))
    assert changed["open.org"] == ("drop", "url_lists", "mine: open.org")
    assert changed["www.bad.com"][0] == "keep"
