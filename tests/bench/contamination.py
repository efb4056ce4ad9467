"""What is found of benchmark items in real web pages: the probe on two halves of ../shared/data, for tuning and held out.

    python -m tests.bench.contamination [--half tuning] [--mutation question] [--missed] [--set decontaminate.drop=0.6]

The halves share no page, and each draws its own items by its own seed. The negatives of GSM8K and MMLU are items of their other
splits. A plant is found if its document is dropped, cut or reviewed for its item; wrong flags are shown as flagged/dropped.

With --peers, decon and corpus-assay look for the same items in the same documents. A plant of theirs is found if its document
is flagged, for whatever item.
"""

from __future__ import annotations

import argparse
import gzip
import json
import os
import re
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import yaml

from tamis.pipelines.contamination.probe_documents import SIBLING, Probe, ProbeDocuments, probe_documents
from tamis.pipelines.contamination.probe_recipe import CLEAN, Planted, Probed, probe_recipe
from tamis.pipelines.contamination.recall_table import LENGTHS, length_of, summary
from tamis.pipelines.recipe.load import load_recipe
from tamis.pipelines.recipe.schema import Recipe
from tamis.transforms.decontaminate.benchmarks import Benchmark, items
from tamis.transforms.decontaminate.matching.index import load_or_build
from tamis.transforms.decontaminate.probe.mutations import MUTATIONS, question_of
from tamis.transforms.decontaminate.probe.negatives import NEGATIVES
from tests.bench.corpus import write_items
from tests.bench.install import python_of

HERE = Path(__file__).resolve().parent
ROOT = HERE.parents[1]
DATA = ROOT.parent / "shared" / "data"

PEERS = {"decon": "decontaminate", "corpus-assay": "corpus-assay"}
"""Their packages."""

BENCHMARKS = {
    "gsm8k": "gsm8k_test.jsonl",
    "mmlu": "mmlu_test.jsonl.zst",
    "arc_easy": "arc_easy.jsonl",
    "arc_challenge": "arc_challenge.jsonl",
    "piqa": "piqa.jsonl",
    "hellaswag": "hellaswag_val_full.txt.bz2",
    "boolq": "boolq.jsonl",
    "humaneval": "humaneval.jsonl",
}

HALVES = {"tuning": ("00", "01"), "held-out": ("02", "03")}
"""Files of web pages."""

EDITS = ("substituted", "deleted", "inserted")

ROWS: dict[str, tuple[tuple[str, ...], float | None]] = {
    "whole": (("verbatim",), 0.995),
    "question only": (("question",), 0.995),
    "diluted": (("diluted",), None),
    "answer removed": (("answer-removed",), None),
    "choices shuffled": (("choices-shuffled",), 0.995),
    "choice replaced": (("choice-replaced",), 0.995),
    "case": (("case",), 0.995),
    "wrapped": (("wrapped",), 0.995),
    "punctuation": (("punctuation",), 0.995),
    "markup": (("markup",), 0.995),
    "soft hyphens": (("soft-hyphens",), 0.995),
    "numbers changed": (("numbers-changed",), 0.95),
    "5 % edits": (tuple(f"{edit}-5" for edit in EDITS), 0.99),
    "10 % edits": (tuple(f"{edit}-10" for edit in EDITS), 0.95),
    "20 % edits": (tuple(f"{edit}-20" for edit in EDITS), 0.75),
}
"""What is planted, and the recall that is wanted."""

SHORT_EXCLUDED = {"numbers-changed", *(f"{edit}-{percent}" for edit in EDITS for percent in (5, 10, 20))}
"""Mutations that do not count in the row of short questions: a word is more than a tenth of these."""


def main(arguments: Sequence[str] = sys.argv[1:]) -> None:
    """Prints the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--half", choices=HALVES, help="only this half")
    parser.add_argument("--mutation", nargs="+", choices=MUTATIONS, default=list(MUTATIONS))
    parser.add_argument("--benchmark", nargs="+", choices=BENCHMARKS, default=list(BENCHMARKS))
    parser.add_argument("--items", type=int, default=60, help="of a benchmark by each mutation (%(default)s)")
    parser.add_argument("--documents", type=int, default=3000, help="of a half, at most (%(default)s)")
    parser.add_argument("--peers", action="store_true", help="also decon and corpus-assay")
    parser.add_argument("--set", nargs="+", default=[], metavar="a.b=c", help="fields of the recipe")
    parser.add_argument("--missed", action="store_true", help="list what is missed and what is flagged wrongly")
    options = parser.parse_args(arguments)
    if not DATA.is_dir():
        sys.exit(f"{DATA} is not there: it has the web pages and benchmarks")
    found: dict[str, Probed] = {}
    with tempfile.TemporaryDirectory() as folder:
        near = list(near_items(Path(folder), options.benchmark))
        for number, half in enumerate(HALVES):
            if options.half in (None, half):
                begun = time.process_time()
                recipe = recipe_of(half, options.benchmark, options.set)
                probe = Probe(options.documents, options.items, number, options.mutation, near)
                found[half] = probe_recipe(recipe, probe)
                print(f"{half}: {time.process_time() - begun:.0f} CPU seconds", file=sys.stderr)
                if options.peers:
                    found |= {f"{half}, {peer}": probed for peer, probed in of_peers(recipe, probe)}
        print("\n".join(table(found, options.benchmark)))
        unmatchable = unmatchable_shares(recipe)
    print("\nunmatchable items: " + ", ".join(f"{name} {share:.1%}" for name, share in unmatchable.items()))
    if options.missed:
        for half, probed in found.items():
            print(f"\n{half}\n" + "\n".join(mistakes(probed)))


def of_peers(recipe: Recipe, probe: Probe) -> Iterator[tuple[str, Probed]]:
    """What decon and corpus-assay flag of the same documents. Prints their speed, and that of Tamis."""
    options = recipe.decontaminate
    assert options is not None
    made = probe_documents(recipe, options, probe)
    python = python_of("decontaminators", ROOT / ".venv-bench")
    with tempfile.TemporaryDirectory() as folder:
        write_corpus(Path(folder), [text for batch in made.batches() for text in batch["text"].to_pylist()], options.benchmarks)
        flagged_by("Tamis", [sys.executable, str(HERE / "ours.py"), "contamination", folder])
        for peer, package in PEERS.items():
            command = [python, str(HERE / "peers/decontaminators/works.py"), "contamination", folder, package]
            yield peer, _flagged(made, recipe, probe, flagged_by(peer, command))


def write_corpus(folder: Path, texts: Sequence[str], benchmarks: Sequence[Benchmark]) -> None:
    """Documents and benchmarks as the scripts of `make bench` read them."""
    for part in ("jsonl", "benchmarks"):
        (folder / part).mkdir()
    with gzip.open(folder / "jsonl" / "part-00000.jsonl.gz", "wt", 1, encoding="utf-8") as file:
        file.writelines(json.dumps({"text": text}) + "\n" for text in texts)
    (folder / "corpus.json").write_text(json.dumps({"mb": sum(len(text.encode()) for text in texts) / 1e6}))
    write_items(folder / "benchmarks" / "items.jsonl", [item for benchmark in benchmarks for item in items(benchmark)])
    block = {"benchmarks": [benchmark.model_dump() for benchmark in benchmarks]}
    (folder / "benchmarks" / "recipe.yaml").write_text(yaml.safe_dump(block))


def flagged_by(tool: str, command: Sequence[str]) -> set[int]:
    """The places of the documents that a tool flags. Prints its speed."""
    paths = os.pathsep.join(map(str, (HERE / "peers", ROOT)))
    done = subprocess.run(command, env=os.environ | {"PYTHONPATH": paths}, capture_output=True, text=True)
    if done.returncode:
        raise RuntimeError(f"{tool}: {done.stderr}")
    line = json.loads(done.stdout.splitlines()[-1])
    print(f"{tool} {line['version']}: {line['mb'] / line['cpu_s']:.2f} MB/s a core", file=sys.stderr)
    return {*line["flagged"]}


def _flagged(made: ProbeDocuments, recipe: Recipe, probe: Probe, flagged: set[int]) -> Probed:
    """The documents as `probe_recipe` returns them, if those with these places are flagged."""
    ids = made.hosts["id"].to_pylist()
    rows = [Planted(name, "", "", CLEAN, 0, place in flagged, place in flagged, "") for place, name in enumerate(ids)]
    for place, copy in enumerate(made.copies, len(ids)):
        if copy.number >= 0 or copy.host not in flagged:
            item, words = copy.item, len(question_of(copy.item).split())
            hit = place in flagged
            rows.append(Planted(ids[copy.host], item.benchmark, item.id, copy.mutation, words, hit, hit, ""))
    return Probed(recipe.name, probe.seed, made.items, rows, {})


def recipe_of(half: str, benchmarks: Sequence[str], sets: Sequence[str]) -> Recipe:
    """The default of every option of `decontaminate`, on one half of the pages."""
    listed = [{"name": name, "path": str(DATA / "benchmarks" / BENCHMARKS[name])} for name in benchmarks]
    pages = [str(DATA / "web" / f"weborganizer-{number}.jsonl.zst") for number in HALVES[half]]
    with tempfile.NamedTemporaryFile("w", suffix=".yaml") as file:
        yaml.safe_dump({"input": {"paths": pages}, "decontaminate": {"benchmarks": listed}}, file)
        file.flush()
        return load_recipe(file.name, sets)


def near_items(folder: Path, benchmarks: Sequence[str]) -> Iterator[str]:
    """Writes the items of other splits in the forms of their benchmarks; `Probe.negatives`."""
    rows: dict[str, list[dict[str, Any]]] = {"gsm8k": [], "mmlu": []}
    for line in (DATA / "near_benchmarks" / "near.jsonl").read_text("utf-8").splitlines():
        row = json.loads(line)
        text, _, answer = row["text"].rpartition("\nAnswer: ")
        if row["id"].startswith("gsmtrain"):
            text, _, answer = row["text"].partition("\nAnswer: ")
            rows["gsm8k"].append({"question": text, "answer": answer})
        else:
            question, *choices = re.split(r"\n[A-D]\. ", text)
            place = choices.index(answer)
            rows["mmlu"].append({"question": question, "choices": choices, "answer": place})
    for name, of_benchmark in rows.items():
        if name in benchmarks:
            path = folder / f"{name}.jsonl"
            path.write_text("".join(json.dumps(row) + "\n" for row in of_benchmark), "utf-8")
            yield f"{name}={path}"


def table(found: dict[str, Probed], benchmarks: Sequence[str]) -> Iterator[str]:
    """Recall by row, words of the question and benchmark of each half, then what is flagged wrongly."""
    for half, probed in found.items():
        plants = [each for each in probed.documents if each.mutation in MUTATIONS]
        heads = "".join(f"{head:>8}" for head in ("wanted", "all", *LENGTHS))
        yield f"{half:<22}{heads}" + "".join(f"{name[:13]:>14}" for name in benchmarks) + f"{'plants':>8}"
        for name, (mutations, wanted) in ROWS.items():
            yield from _row(name, [each for each in plants if each.mutation in mutations], wanted, benchmarks)
        short = [each for each in plants if each.words < 8 and each.mutation not in SHORT_EXCLUDED]
        yield from _row("< 8 words", short, 0.95, benchmarks)
        yield f"flagged wrongly       {'':>40}" + "".join(f"{name[:13]:>14}" for name in benchmarks)
        for kind in (CLEAN, *NEGATIVES, SIBLING):
            some = [each for each in probed.documents if each.mutation == kind]
            cells = [_flags([each for each in some if each.benchmark == benchmark]) for benchmark in benchmarks]
            yield (
                f"{kind or 'clean pages':<22}{'':>8}{_flags(some):>8}{'':>24}"
                + "".join(f"{cell:>14}" for cell in cells)
                + f"{len(some):>8,}"
            )
        yield f"precision {summary(probed)['precision']:.4f}\n"


def _row(name: str, plants: Sequence[Planted], wanted: float | None, benchmarks: Sequence[str]) -> Iterator[str]:
    if not plants:
        return
    cells = [_share([each for each in plants if each.benchmark == benchmark]) for benchmark in benchmarks]
    limit = "" if wanted is None else f"{wanted:.3f}"
    lengths = [_share([each for each in plants if length_of(each.words) == length]) for length in LENGTHS]
    mark = "" if wanted is None or sum(each.found for each in plants) >= wanted * len(plants) else "  low"
    yield (
        f"{name:<22}{limit:>8}{_share(plants):>8}"
        + "".join(f"{length:>8}" for length in lengths)
        + "".join(f"{cell:>14}" for cell in cells)
        + f"{len(plants):>8,}{mark}"
    )


def _flags(documents: Sequence[Planted]) -> str:
    flagged, dropped = sum(each.found for each in documents), sum(each.dropped for each in documents)
    return f"{flagged}/{dropped}" if documents else "-"


def _share(plants: Sequence[Planted]) -> str:
    return f"{sum(each.found for each in plants) / len(plants):.3f}" if plants else "-"


def unmatchable_shares(recipe: Recipe) -> dict[str, float]:
    """Of the items of each benchmark."""
    assert recipe.decontaminate is not None
    index = load_or_build(recipe.decontaminate, recipe.words)
    items, without = Counter(index.benchmark.tolist()), Counter(index.benchmark[index.unmatchable].tolist())
    return {name: without[number] / items[number] for number, name in enumerate(index.names.to_pylist())}


def mistakes(probed: Probed) -> Iterator[str]:
    """Plants that are missed, and other documents that are flagged: benchmark, item, mutation, words, match."""
    for each in probed.documents:
        if each.found != (each.mutation in MUTATIONS):
            what = each.mutation or "clean"
            yield f"{what}\t{each.benchmark or each.document}\t{each.item}\t{each.words}\t{each.detail or '-'}"


if __name__ == "__main__":
    main()
