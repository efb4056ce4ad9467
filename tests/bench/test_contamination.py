"""The measurement on real pages has a row for everything that it plants."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.bench.contamination import ROWS, main


def test_a_small_part_of_the_table(shared: Path, capsys: pytest.CaptureFixture[str]) -> None:
    main(["--half", "tuning", "--benchmark", "gsm8k", "arc_challenge", "--documents", "40", "--items", "5", "--missed"])
    table, mistakes = capsys.readouterr().out.split("\ntuning\n")
    rows = {line[:22].strip(): line[22:].split() for line in table.splitlines() if line[:22].strip()}
    assert rows["tuning"] == ["wanted", "all", "gsm8k", "arc_challenge", "plants"]
    assert {*ROWS} <= rows.keys()
    assert rows["whole"][:2] == ["0.995", "1.000"]
    assert rows["whole"][-1] == "10"
    assert rows["choices shuffled"][2] == "-"  # GSM8K has none
    assert rows["clean pages"][-1] == rows["sibling"][-1] == "40"
    assert "unmatchable items: gsm8k " in table
    assert all(line.count("\t") == 4 for line in mistakes.splitlines())
