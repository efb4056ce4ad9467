"""The time to read a file grows with its size, whatever its lines are, and bad ones are hardly dearer than good ones."""

from __future__ import annotations

import time

import pytest
from test_inputs import documents_of

from tamis.transforms.read.input_options import Input
from tamis.transforms.read.inputs import plan, read

FINE = b'{"text":"some words here"}\n'
KINDS = {
    "blank": b"\n",
    "spaces": b"  \t\n",
    "broken": b'{"text":"some words her\n',
    "not an object": b'["some words here"]\n',
    "missing field": b'{"body":"some words here"}\n',
    "null": b'{"text":null}\n',
    "invalid UTF-8": b'{"text":"some words \xff"}\n',
    "big integer": b'{"text":"some words here","n":123456789012345678901234567890}\n',
}


def cpu(path):
    """The least processor time of three readings."""
    options = Input(paths=(str(path),))
    splits, _ = plan(options)
    times = []
    for _ in range(3):
        start = time.process_time()
        for split in splits:
            for _ in read(split, options):
                pass
        times.append(time.process_time() - start)
    return min(times)


def files(tmp_path, line, lines=60_000):
    (tmp_path / "fine.jsonl").write_bytes(FINE * lines)
    (tmp_path / "other.jsonl").write_bytes((FINE + line) * (lines // 2))
    (tmp_path / "half.jsonl").write_bytes((FINE + line) * (lines // 4))
    return tmp_path / "fine.jsonl", tmp_path / "other.jsonl", tmp_path / "half.jsonl"


@pytest.mark.slow
@pytest.mark.parametrize("kind", KINDS)
def test_lines_of_any_kind_take_about_the_time_of_fine_ones(tmp_path, kind):
    fine, other, half = map(cpu, files(tmp_path, KINDS[kind]))
    assert other < (6 if kind == "big integer" else 3) * fine + 0.02, (other, fine)
    assert other < 3 * half + 0.02, (other, half)


def test_nothing_of_it_is_lost(tmp_path):
    lines = FINE * 1000
    (tmp_path / "a.jsonl").write_bytes(b"".join(lines + line * 1000 for line in KINDS.values()))
    rows, rejects = documents_of([tmp_path / "a.jsonl"])
    assert len(rows) == 1000 * len(KINDS) + 1000
    assert len(rejects) == 1000 * (len(KINDS) - 3)


@pytest.mark.parametrize("name", ["a.csv", "a.json", "a.txt"])
def test_other_formats_are_linear_too(tmp_path, name):
    head, row = {
        "a.csv": (b"id,text\n", b'1,"some ""words\nhere"\n2,"broken\n'),
        "a.json": (b"[", b'{"text":"some words"},{"text" "broken"},'),
        "a.txt": (b"", b"some \xff words\n\n"),
    }[name]
    times = []
    for count in (5000, 20_000):
        (tmp_path / name).write_bytes(head + row * count)
        times.append(cpu(tmp_path / name))
    assert times[1] < 8 * times[0] + 0.05, times
