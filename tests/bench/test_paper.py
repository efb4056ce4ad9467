"""The arithmetic of docs/scaling.md, on runs that are made up here."""

from __future__ import annotations

import numpy as np
import pytest

from tests.bench import paper, skew
from tests.bench.paper import Json, Units

ROWS = {paper.TEXT: (0.5, 3000), paper.COMPONENTS: (0.1, 16), paper.CANDIDATES: (0.1, 3000), paper.BANDS: (14.0, 16)}
ROWS |= {paper.EQUAL: (1.0, 50), paper.KEYS: (0.5, 54), paper.IDENTITY: (1.0, 60)}


def made(times: int, partitions: int = 2, grows: float = 0.0) -> Json:
    """A run that takes 100 µs a document, 20 µs a piece and 3 ms a partition."""
    documents = 10_000 * times
    parts = 2 * times
    exchanges = {name: {"rows": int(rows * documents), "pieces": parts * partitions} for name, (rows, _) in ROWS.items()}
    for name, exchange in exchanges.items():
        exchange["bytes"] = exchange["rows"] * ROWS[name][1] + exchange["pieces"] * 400
    decide = 2e-5 * sum(exchange["pieces"] for exchange in exchanges.values()) + 3e-3 * partitions
    return {
        "documents": documents,
        "kept": documents // 2,
        "text_bytes": 3000 * documents,
        "input_bytes": 1000 * documents,
        "parts": parts,
        "partitions": partitions,
        "cpu_s": {"rate": 1 + 1e-4 * documents * (1 + grows * times), "decide": 1 + decide, "emit": 1.0},
        "fixed_cpu_s": {"rate": 1.0, "decide": 1.0, "emit": 1.0},
        "peak_rss": 500 << 20,
        "rooms": {"rated": 1500 * documents},
        "exchanges": exchanges,
        "piece_bytes": 166,
        "bytes_off": 500.0,
    }


def found(grows: float = 0.0) -> Json:
    runs = {f"x{times}": made(times, grows=grows) for times in paper.TIMES}
    runs |= {f"fine x{times}": made(times, partitions=500) for times in paper.TIMES[:2]}
    kernels = {"cut_s": {"1000": 1e-4, "101000": 101e-4}, "forest_cpu_s": 1e-6, "forest_bytes": 100.0}
    return {**runs, "kernels": kernels, "component": {"member_bytes": 600.0}, "machine": "paper"}


def test_units_are_what_the_runs_were_made_of() -> None:
    unit: Units = paper.units(found())
    assert unit.piece_s == pytest.approx(2e-5)
    assert unit.partition_s == pytest.approx(3e-3)
    assert unit.cut_s == pytest.approx(1e-7)
    assert unit.cpu["rate"] == pytest.approx(1e-4)
    for name, (rows, size) in ROWS.items():
        assert unit.rows[name] == pytest.approx(rows)
        assert unit.bytes[name] == pytest.approx(size)
        assert unit.overhead[name] == pytest.approx(400)


def test_a_piece_holds_a_row_at_least() -> None:
    """And no exchange has more pieces than pairs of writer and reader."""
    unit = paper.units(found())
    for documents in (1e5, 1e7, 1e9, 1e11):
        one = paper.run(documents, paper.SPLIT_BYTES, unit, 64 << 20)
        assert one.pieces <= documents * sum(unit.rows.values())
        assert one.spilled >= documents * sum(unit.rows[name] * unit.bytes[name] for name in unit.rows)
    coarse, fine = (paper.run(1e9, size, unit, 64 << 20) for size in (paper.COARSE_SPLIT, paper.SPLIT_BYTES))
    assert coarse.pieces < fine.pieces
    assert coarse.core_hours < fine.core_hours


def test_growth() -> None:
    assert max(paper.growth(found())) <= 1 + paper.TOLERANCE
    assert paper.growth(found(grows=0.01))[0] > 1 + paper.TOLERANCE
    heavy = found()
    heavy["x16"]["peak_rss"] *= 2
    assert paper.growth(heavy)[1] >= 2


@pytest.mark.slow
def test_the_page_is_the_same_every_time() -> None:
    page = paper.page(found())
    assert page == paper.page(found())
    assert "**CPU is flat**" in page
    assert "nan" not in page


def test_clusters_follow_the_law() -> None:
    sizes = skew.clusters(10**6)
    assert sizes.sum() == pytest.approx(skew.COPIES * 10**6, rel=0.03)  # sizes are whole
    assert sizes.min() == 2
    assert sizes[9] == pytest.approx(sizes[0] / 10, rel=1e-4)


def test_drawn_sizes_are_those_of_hashes_that_are_counted() -> None:
    """The same model, with every hash drawn and stored."""
    chance = np.random.Generator(np.random.PCG64(0))
    sizes = np.array([5000, 100, 10, 2, 2])
    own, partitions, repeats = 100_000, 64, 20
    drawn = [skew.hashed(own, sizes, partitions, chance) for _ in range(repeats)]
    counted = []
    for _ in range(repeats):
        hashes = np.concatenate([chance.integers(0, 1 << 32, own), np.repeat(chance.integers(0, 1 << 32, sizes.size), sizes)])
        counted.append(np.bincount(hashes * partitions >> 32, minlength=partitions).max())
    assert np.mean([one.largest for one in drawn]) == pytest.approx(np.mean(counted), rel=0.02)
    assert drawn[0].mean == pytest.approx((own + sizes.sum()) / partitions, rel=0.02)


def test_ranges_are_those_of_a_sorted_sample() -> None:
    chance = np.random.Generator(np.random.PCG64(0))
    rows, partitions = 200_000, 50
    values = np.sort(chance.random(rows))
    cuts = np.sort(chance.choice(values, partitions * skew.SAMPLE, replace=False))[skew.SAMPLE :: skew.SAMPLE]
    counted = np.diff(np.searchsorted(values, cuts), prepend=0, append=rows).max() / (rows / partitions)
    drawn = [skew.ranges(rows, partitions, chance).ratio for _ in range(50)]
    assert min(drawn) < counted < max(drawn)
