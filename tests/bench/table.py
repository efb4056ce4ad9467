"""Names the measurements and makes their tables: medians, ratios, limits."""

from __future__ import annotations

from collections.abc import Sequence
from statistics import median
from typing import Any

Line = dict[str, Any]
"""What one process told: cpu_s, wall_s, mb, peak_rss_mb, version and what its work adds; or error."""

Row = dict[str, Any]

OURS = "Tamis"
STAGES = "stages"

WORKS = {
    "segmentation": "segmentation: words, lines, hashes",
    "rules": "Gopher quality + repetition + C4 + FineWeb",
    "minhash": "MinHash 14 × 8, word 5-grams: text to bands",
    "minhash multiply": "MinHash, scheme multiply: text to bands",
    "duplicates": "near-duplicates: text to the documents removed",
    "duplicates multiply": "near-duplicates, scheme multiply: text to the documents removed",
    "paragraphs": "repeated paragraphs: text to what is cut",
    "benchmarks": "n-grams of 20 benchmarks matched",
    "contamination": "text to the documents with items of 20 benchmarks",
    "language": "language identification, first 2,000 characters",
    "hosts": "addresses looked up in a list of a million hosts",
    "words": "stop words of English counted, 1,298",
    "pii": "personal data replaced",
    "edits": "editors of recipe fineweb, one after the other",
    "tokens": "token ids of cl100k_base",
    "tokens counted": "tokens of cl100k_base counted",
    "tokens file": "token ids of a tokenizer.json, byte-level BPE",
    "rate": "Rate pass, every rule of recipe fineweb",
    "rate, no editors": "Rate pass, every rule of recipe fineweb, without its editors",
    "rate+benchmarks": "Rate pass, with 20 benchmarks",
    "run jsonl": "end to end, jsonl.gz → Parquet",
    "run jsonl, no editors": "end to end, jsonl.gz → Parquet, without editors",
    "run jsonl, 2 workers": "end to end, jsonl.gz → Parquet, 2 workers",
    "run jsonl + benchmarks": "end to end, jsonl.gz → Parquet, with 20 benchmarks",
    "run parquet": "end to end, Parquet → Parquet",
    "run parquet, no editors": "end to end, Parquet → Parquet, without editors",
    "run parquet, 2 workers": "end to end, Parquet → Parquet, 2 workers",
    "moved threshold": "`tamis run` after a threshold moved: Decide, Emit, start-up",
    "what-if": "`tamis what-if`: one limit moved",
    "start-up": "start-up: `tamis run` on one document",
}

LIMITS = (
    "memcpy",
    "sum of bytes (numpy)",
    "XXH64",
    "UTF-8 to str",
    "split at white space (str)",
    "gunzip (isal)",
    "gzip level 1 (isal)",
    "zstd read",
    "zstd write, level 3",
    "JSON read (orjson)",
    "JSON write (orjson)",
    "Parquet read, zstd",
    "Parquet write, zstd 1",
)

_BOUND = {
    "read jsonl": ("gunzip (isal)", "JSON read (orjson)"),
    "read parquet": ("Parquet read, zstd",),
    "segment": ("XXH64",),
    "text hashes": ("XXH64",),
    "write rated part": ("Parquet write, zstd 1",),
}
"""The libraries' work without which a stage cannot be: its limit is what they take one after the other."""


def row(label: str, tool: str, lines: Sequence[Line], ours: Sequence[Line]) -> Row:
    """The medians of a work's runs. `faster` is ours against this tool: the median of the ratios of neighbouring runs."""
    found: Row = {"work": label, "tool": tool}
    for line in lines:
        if "error" in line:
            return found | {"error": line["error"]}
    speeds = [speed(line) for line in lines]
    found["version"] = lines[0]["version"]
    found["mb_per_core_s"] = median(speeds)
    for name in ("cpu_s", "wall_s", "mb", "peak_rss_mb", "recall", "precision", "cut", "table_s"):
        values = [line[name] for line in lines if line.get(name) is not None]
        found |= {name: median(values)} if values else {}
    if tool != OURS and len(ours) == len(lines) and all("error" not in line for line in ours):
        found["faster"] = median(speed(mine) / theirs for mine, theirs in zip(ours, speeds, strict=True))
    runs = [{name: value for name, value in line.items() if name not in ("mb", "version")} for line in lines]
    return found | {"runs": runs}


def speed(line: Line) -> float:
    """MB of text a CPU second."""
    return float(line["mb"] / line["cpu_s"])


def markdown(rows: Sequence[Row]) -> str:
    """Works with ratios, what follows from them, stages beside their limits, limits."""
    works = [row for row in rows if row["tool"] not in (STAGES, "limit") and row["work"] != STAGES]
    parts = [row for row in rows if row["tool"] == STAGES]
    limits = [row for row in rows if row["tool"] == "limit"]
    tables = [_works(works), _findings(works), _stages(parts, limits), _limits(limits)]
    failed = [f"{row['tool']}, {row['work']}: {row['error']}" for row in rows if row["work"] == STAGES and "error" in row]
    return "\n\n".join([*(table for table in tables if table), *failed])


def _works(rows: Sequence[Row]) -> str:
    if not rows:
        return ""
    lines = []
    for row in sorted(rows, key=lambda row: _position(row["work"])):
        if "error" in row:
            lines.append([row["work"], row["tool"], row["error"], *[""] * 5])
            continue
        rates = [speed(run | {"mb": row["mb"]}) for run in row["runs"]]
        lines.append(
            [
                row["work"],
                row["tool"] if row["tool"] == OURS else f"{row['tool']} {row['version']}",
                f"{row['mb_per_core_s']:.3g} ({min(rates):.3g}–{max(rates):.3g})" if row["mb"] else "–",
                f"{row['faster']:.3g} ×" if "faster" in row else "",
                f"{row['cpu_s']:.2f}",
                f"{row['wall_s']:.2f}",
                f"{row['mb']:.1f}",
                f"{row['peak_rss_mb']:.0f}",
            ]
        )
    return _table(["work", "tool", "MB/s a core", "Tamis is faster", "CPU s", "wall s", "MB", "peak MB"], lines)


def _position(label: str) -> float:
    labels = list(WORKS.values())
    return labels.index(label) if label in labels else len(labels)  # of the runs at several sizes: last, in their order


def _findings(rows: Sequence[Row]) -> str:
    """What takes two rows to see."""
    ours = {row["work"]: row["runs"] for row in rows if row["tool"] == OURS and "runs" in row}
    found = []

    def paired(first: str, second: str) -> list[tuple[Line, Line]]:
        return list(zip(ours.get(WORKS[first], ()), ours.get(WORKS[second], ()), strict=False))

    if pairs := paired("rate", "rate+benchmarks"):
        slower = median(more["cpu_s"] / less["cpu_s"] for less, more in pairs) - 1
        found.append(f"20 benchmarks slow the Rate pass down by {100 * slower:.1f} %.")
    for kind in ("jsonl", "parquet"):
        if pairs := paired(f"run {kind}", f"run {kind}, 2 workers"):
            rate = median(one["seconds"]["rate"] / two["seconds"]["rate"] for one, two in pairs)
            whole = median(one["wall_s"] / two["wall_s"] for one, two in pairs)
            found.append(f"2 workers, {kind}: the Rate movement {rate:.2f} × faster, the run {whole:.2f} × (wall time).")
    for row in rows:
        if "recall" in row:
            whose = f"{row['work'].split(':')[0]}, {row['tool']}"
            found.append(f"{whose}: recall {row['recall']:.3f} at 0.8, precision {row['precision']:.3f} at 0.7.")
        if "table_s" in row:
            after = f"the counts after {row['table_s']:.2f} s, the release after {row['wall_s']:.2f} s"
            found.append(f"{row['work'].split(':')[0]}: {after}.")
        if "cut" in row:
            found.append(f"{row['work'].split(':')[0]}, {row['tool']}: {row['cut']:,} cut in {row['mb']:.1f} MB.")
    return "\n".join(f"- {one}" for one in found)


def _stages(rows: Sequence[Row], limits: Sequence[Row]) -> str:
    if not rows:
        return ""
    limit = {row["work"]: row["mb_per_core_s"] for row in limits if "error" not in row}
    whole = sum(row["cpu_s"] for row in rows if row["work"] != "read parquet")
    lines = []
    for row in rows:
        bounds = _BOUND.get(row["work"], ())
        bound = 1 / sum(1 / limit[name] for name in bounds) if bounds and {*bounds} <= {*limit} else None
        share = "" if row["work"] == "read parquet" else f"{100 * row['cpu_s'] / whole:.0f} %"
        lines.append(
            [
                row["work"],
                f"{row['cpu_s']:.3f}",
                f"{row['mb_per_core_s']:.0f}",
                share,
                f"{' + '.join(bounds)}: {bound:.0f}" if bound else "",
            ]
        )
    together = f"{rows[0]['mb']:.1f} MB, one worker, jsonl.gz → Parquet with 20 benchmarks: {whole:.2f} CPU s"
    return together + "\n\n" + _table(["stage", "CPU s", "MB/s a core", "share of the run", "limit, MB/s a core"], lines)


def _limits(rows: Sequence[Row]) -> str:
    if not rows:
        return ""
    told = [[row["work"], f"{row['mb_per_core_s']:.0f}" if "error" not in row else row["error"]] for row in rows]
    return _table(["limit", "MB/s a core"], told)


def _table(head: Sequence[str], lines: Sequence[Sequence[str]]) -> str:
    return "\n".join(f"| {' | '.join(cells)} |" for cells in [head, ["---"] * len(head), *lines])
