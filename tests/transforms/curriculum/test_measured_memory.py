"""A recipe takes its half-life from what was measured, for its own model if a law is told."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from tamis.transforms.core.schedule import Schedule
from tamis.transforms.curriculum.measured_memory import MeasuredMemory, half_life_tokens
from tamis.transforms.curriculum.order import Curriculum

SETTINGS = [
    {"parameters": 250_000, "batch_tokens": 2048, "half_life": 16_000.0},
    {"parameters": 1_000_000, "batch_tokens": 2048, "half_life": 8_000.0},
    {"parameters": 250_000, "batch_tokens": 1024, "half_life": 12_000.0},
]
LAWS = {"parameters": {"slope": -0.5, "low": -0.7, "high": -0.3}, "batch_tokens": {"slope": 0.4, "low": -0.1, "high": 0.9}}


@pytest.fixture
def file(tmp_path: Path) -> str:
    return written(tmp_path, {"settings": SETTINGS, "laws": LAWS})


def written(folder: Path, content: Any) -> str:
    path = folder / "measured.json"
    path.write_text(json.dumps(content))
    return str(path)


def test_a_law_scales_the_half_life_of_the_largest_model_unless_it_tells_no_trend(file: str) -> None:
    assert half_life_tokens(MeasuredMemory(measured=file)) == 8_000
    assert half_life_tokens(MeasuredMemory(measured=file, parameters=1_000_000)) == 8_000
    assert half_life_tokens(MeasuredMemory(measured=file, parameters=4_000_000)) == 4_000
    assert half_life_tokens(MeasuredMemory(measured=file, parameters=62_500)) == 32_000
    assert half_life_tokens(MeasuredMemory(measured=file, batch_tokens=1024)) == 8_000


def test_a_curriculum_holds_the_tokens_that_the_file_says(file: str, tmp_path: Path) -> None:
    fields: dict[str, Any] = {"order": "lr_weighted", "schedule": Schedule(tokens=1_000_000)}
    largest = Curriculum(**fields, half_life=file)
    assert largest.half_life == 8_000
    assert largest.model_dump() == Curriculum(**fields, half_life=8_000).model_dump()
    assert Curriculum(**fields, half_life={"measured": file, "parameters": "4M"}).half_life == 4_000
    phases = [{"name": "a", "share": 0.5}, {"name": "b", "share": 0.5, "order": "lr_weighted", "half_life": file}]
    assert Curriculum(schedule=Schedule(tokens=1_000_000), phases=phases).phases[1].half_life == 8_000
    before = largest.fingerprint()
    written(tmp_path, {"settings": [{**SETTINGS[1], "half_life": 9_000}], "laws": LAWS})
    assert Curriculum(**fields, half_life=file).fingerprint() != before


@pytest.mark.parametrize(
    ("content", "fields", "message"),
    [
        ({"settings": [], "laws": LAWS}, {}, "is not a measured.json of tamis proxy-memory"),
        ([1], {}, "is not a measured.json of tamis proxy-memory"),
        ({"settings": SETTINGS}, {}, "is not a measured.json of tamis proxy-memory"),
        ({"settings": [{**SETTINGS[0], "half_life": None}], "laws": LAWS}, {}, "no half-life was found for the largest model"),
        ({"settings": SETTINGS, "laws": LAWS}, {"parameters": "1B"}, "1,000,000,000 are too far from those measured, 250,000"),
        ({"settings": SETTINGS, "laws": LAWS}, {"batch_tokens": 100}, "batch_tokens of 100 are too far"),
        (
            {"settings": SETTINGS, "laws": {**LAWS, "batch_tokens": None}},
            {"batch_tokens": 4096},
            "measure with more of --batch",
        ),
        ({"settings": SETTINGS, "laws": LAWS}, {"parameter": 1}, r"parameter: Extra .* has measured, parameters, batch_tokens"),
    ],
)
def test_a_half_life_that_the_file_does_not_tell_is_an_error(
    tmp_path: Path, content: Any, fields: dict[str, Any], message: str
) -> None:
    with pytest.raises(ValueError, match=message):
        Curriculum(order="lr_weighted", half_life={"measured": written(tmp_path, content), **fields})


def test_what_is_missing_is_said(file: str) -> None:
    with pytest.raises(ValueError, match=r"no such file; tamis proxy-memory writes it"):
        Curriculum(order="lr_weighted", half_life="no/such.json")
    with pytest.raises(ValueError, match="measured: Field required"):
        Curriculum(order="lr_weighted", half_life={"parameters": 1})
    with pytest.raises(ValueError, match=r"half_life is 8,000 tokens, but .* set schedule\.tokens"):
        Curriculum(order="lr_weighted", half_life=file)
