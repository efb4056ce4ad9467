"""Runs that cut at two places: lines before duplicates are looked for, paragraphs and sentences after."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest

from tamis.transforms.provenance.verify import verify
from tests.pipelines.corpus import corpus
from tests.pipelines.running import corpus_of, folder_of, run, write_recipe

MENU = "Home | About | Contact"
NOTICE = "All that is written here is free to copy.\nNobody owns it."
THREE = "A heron stood in the shallow river. It waited without moving. Then it struck."
LEVELS = {
    "minhash": {},
    "lines": {"within": "source", "documents": 5},
    "paragraphs": {"characters": 40},
    "sentences": {"drop_above": 0.5},
}


@pytest.fixture(scope="module")
def records() -> list[dict[str, Any]]:
    """Thirty pages with a menu. Three have a notice, a paragraph in the midst of them; eight have three sentences
    in common; one is nothing but these, and one is a copy of another with a second menu."""
    pages = " ".join(str(page["text"]) for page in corpus(60, seed=3, sentences=(20, 40)))
    sentences = list(dict.fromkeys(re.findall(r"\b[^.?!]+[.?!]", pages)))
    texts = []
    for number in range(30):
        body = " ".join(sentences[20 * number : 20 * number + 20])
        middle = body.index(". ", len(body) // 2) + 2
        if number < 3:
            body = f"{body[:middle]}\n\n{NOTICE}\n\n{body[middle:]}"
        elif number < 11:
            body = f"{body[:middle]}{THREE} {body[middle:]}"
        texts.append(f"{MENU}\n{body}")
    texts += [f"{MENU}\n{THREE}", f"{texts[0]}\n{MENU}"]
    return [{"id": f"d{number:02d}", "text": text} for number, text in enumerate(texts)]


def finished(folder: Path, records: list[dict[str, Any]], files: int) -> Path:
    recipe = write_recipe(folder, thresholds={}, dedup=LEVELS)
    for number in range(files):
        (folder / f"in-{number}.jsonl").write_text("".join(json.dumps(record) + "\n" for record in records[number::files]))
    run(recipe, folder / "in-*.jsonl", folder / "run")
    assert verify(str(folder / "run")) == []
    return folder / "run"


def test_every_level_takes_what_is_its_own(tmp_path: Path, records: list[dict[str, Any]]) -> None:
    output = finished(tmp_path, records, 2)
    rows = {row["id"]: row for row in pq.read_table(folder_of(output) / "decisions").to_pylist()}
    texts = dict(zip(*pq.read_table(folder_of(output) / "data", columns=["id", "text"]).to_pydict().values(), strict=True))
    dropped = {name: (row["reason"], row["representative"]) for name, row in rows.items() if row["decision"] == "drop"}
    (copy,) = {"d00", "d31"} & dropped.keys()  # without menus, they are one text
    assert dropped == {copy: ("dedup.exact", ({"d00", "d31"} - {copy}).pop()), "d30": ("dedup.sentences", None)}
    assert rows["d30"]["detail"] == "100% of its bytes are in other documents"
    assert not any(MENU in text for text in texts.values())
    assert sum(NOTICE in text for text in texts.values()) == 1
    assert sum(THREE in text for text in texts.values()) == 1
    for name, text in texts.items():
        number = int(name[1:]) if name != "d31" else 0
        whole = records[number]["text"].removeprefix(f"{MENU}\n")
        for piece in (NOTICE, THREE):
            if piece in whole and piece not in text:
                before, after = whole.split(piece)
                assert text == before + after.lstrip()
                assert rows[name]["cuts"][-1]["reason"] == ("dedup.paragraphs" if piece == NOTICE else "dedup.sentences")
                break
        else:
            assert text == whole
    for row in rows.values():
        assert row["chars"] == len(texts.get(row["id"], "")) or row["decision"] == "drop"


def test_the_corpus_does_not_depend_on_the_files(tmp_path: Path, records: list[dict[str, Any]]) -> None:
    corpora = []
    for files in (1, 3):
        (tmp_path / str(files)).mkdir()
        corpora.append(corpus_of(finished(tmp_path / str(files), records, files)))
    assert corpora[0] == corpora[1]
