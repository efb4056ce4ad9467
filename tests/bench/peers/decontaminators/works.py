"""decon and corpus-assay, with the defaults of each: the documents in which they find benchmark items.

    python works.py contamination CORPUS decontaminate|corpus-assay

CORPUS/benchmarks/items.jsonl has the items: benchmark, id, question, passage, choices and answer as texts. Told are the CPU
seconds of the documents alone, without start-up and index: those of a run on one document are taken off. A small corpus is
read several times, so that the difference is not lost in the start-up.
"""

from __future__ import annotations

import contextlib
import json
import math
import os
import resource
import subprocess
import sys
import tempfile
from collections import defaultdict
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

from measure import Task, main, megabytes, texts

PACKAGE = sys.argv[3]
PARTS = ("passage", "question", "choices", "answer")

LEAST_MB = 20

Rows = list[dict[str, Any]]
Scan = Callable[[Path, Path], list[int]]
"""The numbers of the documents of a folder that are flagged; the second folder is for what is written."""

_scratch = Path(tempfile.mkdtemp(prefix="decontaminators-"))


def contamination(corpus: Path) -> Task:
    documents, mb = texts(corpus), megabytes(corpus)
    times = math.ceil(LEAST_MB / mb)
    items = read_rows([corpus / "benchmarks" / "items.jsonl"])
    scan = {"decontaminate": decon, "corpus-assay": corpus_assay}[PACKAGE](items)
    one, every = _scratch / "one", _scratch / "every"
    for folder, some in ((one, documents[:1]), (every, documents * times)):
        folder.mkdir()
        lines = [json.dumps({"id": str(row), "text": text}) + "\n" for row, text in enumerate(some)]
        (folder / "documents.jsonl").write_text("".join(lines), "utf-8")

    def run() -> dict[str, object]:
        begun = _cpu()
        scan(one, _scratch / "first")
        start_up = _cpu() - begun
        flagged = {row % len(documents) for row in scan(every, _scratch / "second")}
        return {"cpu_s": (_cpu() - begun - 2 * start_up) / times, "flagged": sorted(flagged)}

    return Task(mb, run, once=True)


def read_rows(paths: Iterable[Path]) -> Rows:
    """The rows of files of JSON lines, which only a newline ends: texts have other separators of lines."""
    return [json.loads(line) for path in sorted(paths) for line in path.read_text("utf-8").split("\n") if line]


def decon(items: Rows) -> Scan:
    """A row for each choice, as its own files of benchmarks have."""
    import decon

    folder = _scratch / "evals"
    folder.mkdir()
    by_benchmark: defaultdict[str, Rows] = defaultdict(list)
    for number, item in enumerate(items):
        rows = by_benchmark[item["benchmark"]]
        for answer in item["choices"] or ["\n".join(item["answer"])]:
            row = {
                "eval_key": item["benchmark"],
                "eval_instance_index": number,
                "split": "test",
                "question": "\n".join(item["question"]),
                "passage": "\n".join(item["passage"]),
                "answer": answer,
                "config": "main",
                "doc_id": 1 + sum(map(len, by_benchmark.values())),  # of all benchmarks: it joins answers to questions
                "is_correct": answer in item["answer"] or not item["choices"],
                "fingerprint": f"{number:08x}{len(rows):08x}",
            }
            rows.append({name: value for name, value in row.items() if value != ""})
    for name, rows in by_benchmark.items():
        (folder / f"{name}.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows), "utf-8")

    def scan(documents: Path, output: Path) -> list[int]:
        config = decon.Config(training_dir=str(documents), evals_dir=str(folder), report_output_dir=str(output))
        config.worker_threads = 1
        with _silent():
            decon.detect(config)
        return [row["training_line"] for row in read_rows(output.glob("*.jsonl"))]

    return scan


def corpus_assay(items: Rows) -> Scan:
    """The index of its own command; each benchmark with the fields that its items have."""
    by_benchmark: defaultdict[str, Rows] = defaultdict(list)
    for item in items:
        by_benchmark[item["benchmark"]].append({name: item[name] for name in PARTS})
    sections = []
    for name, rows in by_benchmark.items():
        path = _scratch / f"{name}.jsonl"
        path.write_text("".join(json.dumps(row) + "\n" for row in rows), "utf-8")
        fields = [part for part in PARTS if any(row[part] for row in rows)]
        files = {"test": str(path)}
        sections.append({"name": name, "dataset": "json", "data_files": files, "splits": ["test"], "fields": fields})
    config, index = _scratch / "config.yaml", _scratch / "index.native"
    config.write_text(json.dumps({"benchmarks": sections}))  # JSON is YAML
    _command("build-index", "--config", config, "--out-index", index, "--allow-unpinned")

    def scan(documents: Path, output: Path) -> list[int]:
        options = ("--id-key", "id", "--workers", "1", "--max-return-records", "1000000000")
        _command("scan", "--config", config, "--index", index, "--input", documents, "--out-dir", output, *options)
        found = read_rows((output / "contaminated_docs").glob("*.ndjson"))
        return [int(str(row["doc_id"]).split("-")[0]) for row in found]

    return scan


def _command(*arguments: object) -> None:
    command = [str(Path(sys.executable).parent / "corpus-assay"), *map(str, arguments)]
    offline = {"HF_DATASETS_CACHE": str(_scratch / "cache"), "HF_HUB_OFFLINE": "1"}
    done = subprocess.run(command, capture_output=True, text=True, env=os.environ | offline)
    if done.returncode:
        raise RuntimeError(f"corpus-assay {arguments[0]}: {done.stderr[-2000:]}")


def _silent() -> contextlib.AbstractContextManager[None]:
    """Nothing that Rust prints reaches standard output, where the result belongs."""

    @contextlib.contextmanager
    def silenced() -> Any:
        sys.stdout.flush()
        kept, nowhere = os.dup(1), os.open(os.devnull, os.O_WRONLY)
        os.dup2(nowhere, 1)
        try:
            yield
        finally:
            os.dup2(kept, 1)
            os.close(kept)
            os.close(nowhere)

    return silenced()


def _cpu() -> float:
    used = [resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
    return sum(usage.ru_utime + usage.ru_stime for usage in used)


main(PACKAGE, {"contamination": contamination})
