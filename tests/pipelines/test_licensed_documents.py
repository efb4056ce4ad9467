"""Licences in a whole run: they decide, a change of the policy measures nothing again, and the report counts them."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from tamis.pipelines.run.receipts import GroupCount, summaries
from tests.pipelines.test_listed_documents import decisions, run

LICENCES = {
    "mit": "MIT License",
    "by": "CC BY 4.0",
    "nc": "cc-by-nc-4.0",
    "both": "MIT AND cc-by-nc-4.0",
    "own": "house rules",
    "none": None,
}


def test_a_run_with_licences(tmp_path: Path) -> None:
    documents = [
        {"id": name, "license": written, "text": f"A text of {name} that is read"} for name, written in LICENCES.items()
    ]
    documents.append({"id": "wiki", "source": "wiki", "text": "A text of a source that is read"})
    (tmp_path / "in.jsonl").write_text("".join(json.dumps(document) + "\n" for document in documents))
    recipe: dict[str, Any] = {"licences": {"allow": ["commercial"], "by_source": {"wiki": "CC-BY-SA-4.0", "wikki": "MIT"}}}
    first = run(tmp_path, recipe)
    assert decisions(first) == {
        "mit": ("keep", None, None),
        "by": ("keep", None, None),
        "nc": ("drop", "licences.not_allowed", "CC-BY-NC-4.0: non-commercial use, attribution"),
        "both": ("drop", "licences.not_allowed", "MIT AND CC-BY-NC-4.0: non-commercial use, attribution"),
        "own": ("drop", "licences.unknown", "no licence is called 'house rules'"),
        "none": ("drop", "licences.unknown", "no licence is given"),
        "wiki": ("keep", None, None),
    }
    (warning,) = (each for each in first.manifest["warnings"] if each["code"] == "names-nothing")
    assert "licences.by_source names 'wikki'" in warning["message"]
    (summary,) = summaries(first.release.receipts)
    counted = {name: (count.kept, count.dropped) for name, count in summary.groups["licence"].items()}
    assert counted == {
        "MIT": (1, 0),
        "CC-BY-4.0": (1, 0),
        "CC-BY-SA-4.0": (1, 0),
        "CC-BY-NC-4.0": (0, 1),
        "MIT AND CC-BY-NC-4.0": (0, 1),
    }
    assert isinstance(summary.groups["licence"]["MIT"], GroupCount)
    assert "Licences</h2>" in Path(first.run, "releases/000001/report.html").read_text()

    again = run(tmp_path, recipe, "licences.names.house rules=CC0-1.0", "licences.unknown=review")
    assert again.reused == 1
    changed = decisions(again)
    assert (changed["own"][0], changed["none"][:2]) == ("keep", ("review", "licences.unknown"))
