"""`make bench`: measures Tamis, its peers and the machine's limits in turns, so that ratios share a time interval.

Every measurement is a process of its own, on the same text. CPU seconds are those of the process and its children; if the
machine does other work, only their ratios mean anything. Peers that need a minute for what others do in a second get a smaller
corpus, because their cost per byte does not depend on its size. The medians are printed; build/bench.json has every run.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import table
from install import NotInstalled, python_of
from table import LIMITS, STAGES, WORKS, Line

HERE = Path(__file__).resolve().parent
ROOT = HERE.parents[1]
BUILD = ROOT / "build" / "bench"

Pythons = dict[str, str | NotInstalled]
"""The Python of each peer, or why it has none."""


@dataclass(frozen=True)
class Tool:
    """A script for some of the works: under which Python (None is ours), its arguments, whether it gets the small corpus."""

    name: str
    script: Path
    works: tuple[str, ...]
    peer: str | None = None
    arguments: tuple[str, ...] = ()
    slow: bool = False


def _peer(name: str, works: tuple[str, ...], folder: str = "", arguments: tuple[str, ...] = (), slow: bool = False) -> Tool:
    return Tool(name, HERE / "peers" / (folder or name) / "works.py", works, folder or name, arguments, slow)


OURS = Tool(table.OURS, HERE / "ours.py", tuple(WORKS))
_DATATROVE = ("rules", "minhash", "run jsonl", "run parquet")
_END_TO_END = _DATATROVE[2:]
PEERS = (
    _peer("datatrove", _DATATROVE, slow=True),
    _peer("datatrove, words at white space", _DATATROVE, "datatrove", ("whitespace",), slow=True),
    _peer("datatrove, every signal of every document", _END_TO_END, "datatrove", ("every",), slow=True),
    _peer(
        "datatrove, every signal of every document, words at white space",
        _END_TO_END,
        "datatrove",
        ("every", "whitespace"),
        slow=True,
    ),
    _peer("dolma, words at white space, without FineWeb's rules", ("rules",), "dolma", slow=True),
    _peer("dolma, Bloom filter", ("paragraphs",), "dolma"),
    _peer("gaoya", ("minhash", "duplicates")),
    _peer("gaoya, 64-bit hashes", ("minhash", "duplicates"), "gaoya", ("64",)),
    _peer("rensa", ("minhash", "duplicates")),
    _peer("datasketch", ("minhash", "duplicates"), slow=True),
    _peer("marin-dupekit", ("minhash", "duplicates"), "dupekit", slow=True),
    _peer("text-dedup", ("minhash",), "text_dedup", slow=True),
    _peer("data-juicer", ("minhash", "duplicates"), "data_juicer", slow=True),
    _peer("data-juicer, its own seven filters", ("rules",), "data_juicer", slow=True),
    _peer("NeMo Curator, its pipeline for English", ("rules",), "nemo_curator", slow=True),
    _peer("decon", ("contamination",), "decontaminators", ("decontaminate",), slow=True),
    _peer("corpus-assay", ("contamination",), "decontaminators", ("corpus-assay",), slow=True),
    _peer("fastText binding", ("language",), "fasttext"),
    Tool("tiktoken", HERE / "tokenizer_libraries.py", ("tokens",), arguments=("tiktoken",)),
    Tool("tokenizers", HERE / "tokenizer_libraries.py", ("tokens file",), arguments=("tokenizers",)),
)
PARTS = Tool(table.OURS, HERE / "stages.py", (STAGES,))
MACHINE = Tool("limit", HERE / "limits.py", LIMITS)


@dataclass(frozen=True)
class Measurement:
    """One process: `label` is what its work is called in the tables."""

    label: str
    tool: Tool
    work: str
    corpus: Path


def main() -> None:
    options = _options()
    wanted = set(options.only) or {*WORKS, "stages", "limits", "memory"}
    peers = () if options.skip_peers else PEERS
    pythons = _pythons({tool.peer for tool in peers if tool.peer and wanted & {*tool.works}})
    truth = () if any(work.startswith("duplicates") for work in wanted) else ("--no-truth",)
    whole, small = (_corpus(size, options.text, *truth) for size in (options.mb, options.slow_mb))
    lines: defaultdict[tuple[str, str], list[Line]] = defaultdict(list)
    for repeat in range(options.repeats):
        for one in _turn(wanted, whole, small, peers):
            _take(one, pythons, lines, repeat)
    if "memory" in wanted:
        for size in options.memory:
            folder = _corpus(size, "generated", "--no-truth")
            _take(Measurement(f"{WORKS['run parquet']}, {size:g} MB", OURS, "run parquet", folder), pythons, lines, 0)
    rows = [table.row(label, tool, found, lines[label, table.OURS]) for (label, tool), found in list(lines.items())]
    options.output.parent.mkdir(parents=True, exist_ok=True)
    options.output.write_text(json.dumps(rows, indent=1, ensure_ascii=False) + "\n")
    print(table.markdown(rows))


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="make bench BENCH='…'", description="Tamis, its peers and the limits of the machine.")
    parser.add_argument("--mb", type=float, default=200, help="size of the corpus (%(default)s)")
    parser.add_argument("--slow-mb", type=float, default=3, help="size of the corpus for slow peers (%(default)s)")
    parser.add_argument("--text", choices=("real", "generated"), help="default: real, where ../shared/data has some")
    parser.add_argument("--repeats", type=int, default=3, help="how often everything is measured (%(default)s)")
    parser.add_argument("--skip-peers", action="store_true")
    parser.add_argument("--only", nargs="+", default=[], choices=[*WORKS, "stages", "limits", "memory"], metavar="WORK")
    parser.add_argument("--memory", type=float, nargs="*", default=[100, 1000], metavar="MB", help="where it is measured")
    parser.add_argument("--output", type=Path, default=ROOT / "build" / "bench.json")
    return parser.parse_args()


def _turn(wanted: set[str], whole: Path, small: Path, peers: tuple[Tool, ...]) -> Iterator[Measurement]:
    """Everything once: work by work, so that ours and the peers' are neighbours in time."""
    for work in WORKS:
        if work in wanted:
            for tool in (OURS, *peers):
                if work in tool.works:
                    yield Measurement(WORKS[work], tool, work, small if tool.slow else whole)
    for name, tool in (("stages", PARTS), ("limits", MACHINE)):
        if name in wanted:
            yield from (Measurement(work, tool, work, whole) for work in tool.works)


def _take(one: Measurement, pythons: Pythons, lines: dict[tuple[str, str], list[Line]], repeat: int) -> None:
    """Adds what one process tells. A tool that failed is not asked again."""
    found = lines[one.label, one.tool.name]
    if found and "error" in found[-1]:
        return
    print(f"{repeat + 1}: {one.label}: {one.tool.name}", file=sys.stderr, flush=True)
    line = _measure(one, pythons)
    for stage, cpu_s in line.pop("stages", {}).items():
        lines[stage, STAGES].append({**line, "cpu_s": cpu_s, "wall_s": None})
    found.append(line)


def _measure(one: Measurement, pythons: Pythons) -> Line:
    python = sys.executable if one.tool.peer is None else pythons[one.tool.peer]
    if isinstance(python, NotInstalled):
        return {"error": f"could not be installed: {python}"}
    threads = dict.fromkeys(("OMP_NUM_THREADS", "NUMBA_NUM_THREADS", "RAYON_NUM_THREADS"), "1")
    heap = {} if one.tool.peer else {"MALLOC_ARENA_MAX": "1", "ARROW_DEFAULT_MEMORY_POOL": "system"}  # as a run has it
    paths = os.pathsep.join(map(str, (HERE / "peers", ROOT)[: 1 if one.tool.peer else 2]))
    done = subprocess.run(
        [python, str(one.tool.script), one.work, str(one.corpus), *one.tool.arguments],
        env=os.environ | threads | heap | {"PYTHONPATH": paths, "PYTHONHASHSEED": "0", "TOKENIZERS_PARALLELISM": "false"},
        capture_output=True,
        text=True,
    )
    if done.returncode:
        return {"error": (done.stderr.strip() or f"exit code {done.returncode}").splitlines()[-1]}
    return _scored(json.loads(done.stdout.splitlines()[-1]), one.corpus)


def _pythons(peers: set[str]) -> Pythons:
    """Installs the peers: all of them before anything is measured."""
    found: Pythons = {}
    for peer in sorted(peers):
        try:
            found[peer] = python_of(peer, ROOT / ".venv-bench")
        except NotInstalled as error:
            found[peer] = error
    return found


def _scored(line: Line, corpus: Path) -> Line:
    """Puts recall and precision in the place of the rows that a tool would remove.

    Recall: of the pairs with a similarity of at least 0.8, those of which a document is removed. Precision: of the documents
    removed, those with another that is similar by at least 0.7.
    """
    line.pop("flagged", None)
    removed = set(line.pop("removed", ()))
    if removed:
        rows = (pair.split("\t") for pair in (corpus / "truth.tsv").read_text().splitlines())
        pairs = [(int(a), int(b), float(jaccard)) for a, b, jaccard in rows]
        close = [(a, b) for a, b, jaccard in pairs if jaccard >= 0.8]
        alike = {row for a, b, _ in pairs for row in (a, b)}
        line["recall"] = sum(a in removed or b in removed for a, b in close) / len(close)
        line["precision"] = len(removed & alike) / len(removed)
    return line


def _corpus(mb: float, text: str | None, *arguments: str) -> Path:
    """The corpus of this size, built by a process of its own: a measured process counts its parent's memory as its own."""
    folder = BUILD / f"corpus-{text or 'default'}-{mb:g}"
    command = [sys.executable, str(HERE / "corpus.py"), str(folder), "--mb", str(mb), *arguments]
    subprocess.run([*command, "--text", text] if text else command, check=True)
    return folder


if __name__ == "__main__":
    main()
