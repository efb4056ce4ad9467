"""Measures each kind of work of Tamis, alone and within `tamis run`; prints one JSON line like peers/measure.py."""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import yaml
from measure import Task, main, megabytes
from tokenizers import Tokenizer, models, pre_tokenizers, trainers

from tamis.pipelines.measure import measure
from tamis.pipelines.rate import prepared_components
from tamis.pipelines.recipe.load import load_recipe
from tamis.pipelines.recipe.schema import Recipe
from tamis.pipelines.run.launch import launch
from tamis.transforms.decontaminate.contamination_rater import Contamination
from tamis.transforms.decontaminate.probe.planted_outcomes import REVIEWED, outcomes
from tamis.transforms.dedup.components import bucket_edges, forest
from tamis.transforms.dedup.deduplicate import shingles_of
from tamis.transforms.dedup.drop_rule import drop_rules
from tamis.transforms.dedup.minhash import MinHash, Scheme, sketch
from tamis.transforms.dedup.repeats.cut_repeats import repeated_pieces
from tamis.transforms.dedup.repeats.repeat_options import RepeatedParagraphs
from tamis.transforms.dedup.repeats.text_units import units_of
from tamis.transforms.dedup.survivors import spans, survivors
from tamis.transforms.edit.apply import apply
from tamis.transforms.edit.pii.pii_editor import Pii, PiiEditor
from tamis.transforms.rate.language import Language, LanguageRater
from tamis.transforms.rate.word_lists.word_list_rater import WordList, WordListRater
from tamis.transforms.read.input_options import Input
from tamis.transforms.read.inputs import plan, read
from tamis.transforms.runtime.memory import keep_freed_memory
from tamis.transforms.text.canonical_urls import canonical_urls
from tamis.transforms.text.hashing import hash128, text_buffer
from tamis.transforms.text.segment import SegmentedTexts, segment, unsegmented
from tamis.transforms.text.tokenizer import open_tokenizer
from tamis.transforms.text.word_hashes import hashed_words
from tamis.transforms.text.words import DEFAULT_WORDS
from tamis.transforms.urls.host_rules import BELOW, HostRules

RULES = ("gopher", "repetition", "c4", "fineweb")

MATCHED_MB = 50
"""Text of which the segmentation is held in memory, where segmenting is not what is measured."""

_TAMIS = str(Path(sys.executable).parent / "tamis")
_EMPTY = pa.array([""], pa.large_string())
_scratch = tempfile.TemporaryDirectory(prefix="tamis-bench-")


def batches(corpus: Path) -> list[pa.RecordBatch]:
    """The documents of a corpus, in batches as a run reads them; from here on the process keeps its memory as a run does."""
    keep_freed_memory()
    return list(_read(corpus))


def _read(corpus: Path) -> Iterator[pa.RecordBatch]:
    options = Input(paths=(str(corpus / "parquet"),))
    return (batch for split in plan(options)[0] for batch, _ in read(split, options) if batch.num_rows)


def recipe(corpus: Path, kind: str = "parquet", edit: bool = True, decontaminate: bool = False, seed: int = 0) -> Recipe:
    """The shipped recipe `fineweb`: language, Gopher, C4 and FineWeb rules, MinHash; on request the corpus's benchmarks too.
    Without `edit`, its rules alone: no editor, so every rater sees one text, and no limit on what editors do."""
    fineweb = load_recipe("fineweb", [f"seed={seed}"], [str(corpus / kind)])
    blocks = fineweb.model_dump(exclude_unset=True)
    if not edit:
        limits = {name: limit for name, limit in blocks["thresholds"].items() if not name.startswith("edit.")}
        blocks = {**blocks, "edit": [], "rate_unedited": [], "thresholds": limits}
    if decontaminate:
        blocks["decontaminate"] = yaml.safe_load((corpus / "benchmarks" / "recipe.yaml").read_text())
    return Recipe.model_validate(blocks)


def segmentation(corpus: Path) -> Task:
    texts = [batch["text"] for batch in batches(corpus)]
    segment(_EMPTY)

    def run() -> None:
        for text in texts:
            segment(text)

    return Task(megabytes(corpus), run)


def rules(corpus: Path) -> Task:
    texts = [batch["text"] for batch in batches(corpus)]
    raters = [rater for rater in recipe(corpus).raters if rater.name in RULES]
    for rater in raters:
        rater.setup()

    def run() -> None:
        for text in texts:
            words = segment(text)
            for rater in raters:
                rater.rate(words)

    return Task(megabytes(corpus), run)


def minhash(corpus: Path, scheme: Scheme) -> Task:
    texts = [batch["text"] for batch in batches(corpus)]
    options = MinHash(scheme=scheme)
    sketch(hashed_words(_EMPTY, DEFAULT_WORDS, fold=True), options)

    def run() -> None:
        for text in texts:
            sketch(hashed_words(text, DEFAULT_WORDS, fold=True), options)

    return Task(megabytes(corpus), run)


def duplicates(corpus: Path, scheme: Scheme) -> Task:
    """From text to the rows to be removed, as `tamis.transforms.dedup.deduplicate` finds them, in one process."""
    texts = [batch["text"] for batch in batches(corpus)]
    options = MinHash(scheme=scheme)
    find_duplicates(texts[:1], options)
    return Task(megabytes(corpus), lambda: {"removed": find_duplicates(texts, options)})


def find_duplicates(texts: list[pa.Array], options: MinHash) -> list[int]:
    """Rows that near-duplicate detection drops."""
    bands = pa.concat_arrays([sketch(hashed_words(text, DEFAULT_WORDS, fold=True), options) for text in texts])
    hashes = np.concatenate([hash128(text) for text in texts])
    row = np.arange(len(bands), dtype=np.uint64)
    bucket, member = bands.flatten().to_numpy(), np.repeat(row[bands.is_valid().to_numpy(zero_copy_only=False)], options.bands)
    star = forest(bucket_edges(bucket, member))
    component = row.copy()
    component[star[:, 1].astype(np.int64)] = star[:, 0]
    inside = pa.array(np.unique(star))
    documents = pa.table(
        {
            "component": pa.array(component),
            "doc_ref": pa.array(row),
            "id": pc.cast(pa.array(row), pa.string()),
            "quality": pa.nulls(len(row), pa.float32()),
            "tie_break": pa.array(row),
            "text_hash_0": np.ascontiguousarray(hashes[:, 0]),
            "text_hash_1": np.ascontiguousarray(hashes[:, 1]),
            "bands": bands,
        }
    )
    compared = pa.chunked_array(texts).take(inside)  # as in a run, only these are cut into shingles
    shingles = pa.chunked_array([shingles_of(chunk, options, DEFAULT_WORDS)[0] for chunk in compared.chunks])
    verdicts = survivors(documents.take(inside), spans(shingles), drop_rules(options))
    return [int(doc_ref) for doc_ref in verdicts.filter(verdicts["duplicate_of"].is_valid())["doc_ref"].to_pylist()]


@dataclass(frozen=True)
class Pieces:
    """Pieces of texts in memory, in the place of those that an exchange has gathered."""

    batches: list[pa.RecordBatch]

    def table(self) -> pa.Table:
        return pa.Table.from_batches(self.batches)


def paragraphs(corpus: Path) -> Task:
    """From text to the spans that `dedup.paragraphs` cuts, by its own functions, in one process and in memory."""
    texts = [batch["text"] for batch in batches(corpus)]
    find_repeats(texts[:1])
    return Task(megabytes(corpus), lambda: {"cut": find_repeats(texts).num_rows})


def find_repeats(texts: list[pa.Array]) -> pa.RecordBatch:
    """The paragraphs that are in several texts, but for the one of the document that keeps them."""
    options, found, first = RepeatedParagraphs(), [], 0
    for text in texts:
        units = units_of(*text_buffer(text), np.zeros((len(text), 2), np.uint64), options)
        row = (first + units.document).astype(np.uint64)
        first += len(text)
        places = {name: getattr(units, name) for name in ("after", "start", "stop", "following")}
        keys = {f"key_{half}": np.ascontiguousarray(units.key[:, half]) for half in range(2)}
        ranks = {"quality": np.full(len(row), np.nan), "tie_break": row, "id_hash": row}
        text_hash = hash128(text)[units.document, 0]
        found.append(pa.record_batch(keys | places | {"text": text_hash, "doc_ref": row} | ranks))
    (cut,) = repeated_pieces(Pieces(found), options.documents, best=True)
    return cut


def benchmarks(corpus: Path) -> Task:
    """The n-grams of the corpus's benchmarks, looked for in texts that are segmented already, as every rater finds them."""
    options = recipe(corpus, decontaminate=True).decontaminate
    assert options is not None
    rater = Contamination(options)
    rater.setup()
    texts, mb = _segmented([batch["text"] for batch in batches(corpus)])
    return Task(mb, lambda: [rater.rate(words) for words in texts].clear())


def contamination(corpus: Path) -> Task:
    """From compressed lines of JSON to the documents that are flagged, in one process."""
    options = recipe(corpus, decontaminate=True).decontaminate
    assert options is not None
    rater = Contamination(options)
    rater.setup()
    source = Input(paths=(str(corpus / "jsonl"),))
    keep_freed_memory()

    def run() -> dict[str, object]:
        listed = [
            rater.rate(segment(batch["text"]))["contamination.candidates"]
            for split in plan(source)[0]
            for batch, _ in read(split, source)
            if batch.num_rows
        ]
        candidates = pa.concat_arrays(listed)
        found = outcomes(candidates, np.full(len(candidates), -1), rater.index, options)
        return {"flagged": np.flatnonzero(found.severity >= REVIEWED).tolist()}

    return Task(megabytes(corpus), run)


def language(corpus: Path) -> Task:
    """The first `prefix_chars` of every text, which is all that the rater looks at."""
    options = Language()
    rater = LanguageRater(options)
    rater.setup()
    texts, mb = _segmented([pc.utf8_slice_codeunits(batch["text"], 0, options.prefix_chars) for batch in batches(corpus)])
    return Task(mb, lambda: [rater.rate(words) for words in texts].clear())


def listed_hosts(corpus: Path) -> Task:
    """A million addresses, one in ten of a listed host, looked up in a list of a million hosts."""
    words = [f"{a}{b}" for a in "abcdefghij" for b in "klmnopqrst"]
    hosts = [f"{words[n % 100]}{n // 10_000}-{words[n // 100 % 100]}.com" for n in range(1_000_000)]
    rules = {"host": hosts, "path": [""] * len(hosts), "label": [0] * len(hosts), "flags": [BELOW] * len(hosts)}
    table = HostRules.build(pa.table(rules))
    urls = pa.array([f"https://www.{'' if n % 10 else 'x'}{host}/page/{n}.html" for n, host in enumerate(reversed(hosts))])
    table.matches(canonical_urls(urls[:1]))
    return Task(urls.nbytes / 1e6, lambda: table.matches(canonical_urls(urls)))


def listed_words(corpus: Path) -> Task:
    """Stop words of English, 1,298 of them, counted in texts that are segmented already."""
    rater = WordListRater(WordList(name="stop_words", lists="package:stopwordsiso"))
    texts, mb = _segmented([batch["text"] for batch in batches(corpus)])
    labelled = [each.with_columns({"language.label": pa.array(["en"] * len(each))}) for each in texts]
    rater.rate(labelled[0])
    return Task(mb, lambda: [rater.rate(each) for each in labelled].clear())


def personal_data(corpus: Path) -> Task:
    """Every kind found and replaced, in texts that are in memory."""
    editor = PiiEditor(Pii())
    editor.setup()
    texts = [batch["text"] for batch in batches(corpus)]
    return Task(megabytes(corpus), lambda: [apply(editor, unsegmented(text), text) for text in texts].clear())


def edits(corpus: Path) -> Task:
    """What the recipe `fineweb` edits, in texts that are in memory."""
    documents = batches(corpus)
    sections = prepared_components(recipe(corpus), _scratch.name).editors
    editors = [editor for section in sections.values() for editor in section]

    def edit(batch: pa.RecordBatch) -> None:
        text = batch["text"]
        for editor in editors:
            needs = {name: batch[name] for name in editor.needs}
            text = apply(editor, unsegmented(text).with_columns(needs), text).texts

    edit(documents[0])
    return Task(megabytes(corpus), lambda: [edit(batch) for batch in documents].clear())


def _segmented(texts: list[pa.Array]) -> tuple[list[SegmentedTexts], float]:
    """Segmentations of `MATCHED_MB` of the texts, and how many MB they are."""
    held: list[SegmentedTexts] = []
    size = 0
    for text in texts:
        if size < MATCHED_MB * 1e6:
            held.append(segment(text))
            size += int(held[-1].text_start[-1] - held[-1].text_start[0])
    return held, size / 1e6


def tokens(corpus: Path, name: str | None = None, count: bool = False) -> Task:
    """Token ids of cl100k_base, or of a `tokenizer.json`."""
    texts = [batch["text"].to_pylist() for batch in batches(corpus)]
    tokenizer = open_tokenizer(name or byte_level_file(corpus))
    work = tokenizer.count if count else tokenizer.encode

    def run() -> None:
        for each in texts:
            list(work(each))

    return Task(megabytes(corpus), run)


def byte_level_file(corpus: Path) -> str:
    """A byte-level BPE of 32,000 words, trained on the beginning of the corpus."""
    path = corpus / "byte-level.json"
    if not path.exists():
        tokenizer = Tokenizer(models.BPE())
        tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
        alphabet = pre_tokenizers.ByteLevel.alphabet()
        trainer = trainers.BpeTrainer(vocab_size=32_000, initial_alphabet=alphabet, show_progress=False)
        tokenizer.train_from_iterator(next(_read(corpus))["text"].to_pylist(), trainer)
        tokenizer.save(str(path))
    return str(path)


def rate_pass(corpus: Path, edit: bool = True, decontaminate: bool = False) -> Task:
    """Everything that Rate measures of a batch, reading and writing left out."""
    documents, whole = batches(corpus), recipe(corpus, edit=edit, decontaminate=decontaminate)
    for rater in whole.raters:
        if rater.index_file:
            rater.save_index(f"{_scratch.name}/{rater.index_file}")
    components = prepared_components(whole, _scratch.name)
    measure(documents[0], whole, components)

    def run() -> None:
        for batch in documents:
            measure(batch, whole, components)

    return Task(megabytes(corpus), run)


def end_to_end(corpus: Path, kind: str, workers: int = 1, edit: bool = True, decontaminate: bool = False) -> Task:
    """A whole run through Beam; Beam, models and kernels are in memory from a run on a few documents."""
    launch(recipe(few_documents(corpus, 20), "jsonl", edit), f"{_scratch.name}/warm", 1)

    def run() -> dict[str, object]:
        result = launch(recipe(corpus, kind, edit, decontaminate), f"{_scratch.name}/run", workers)
        return {"seconds": result.seconds, "counts": result.manifest["counts"]}

    return Task(megabytes(corpus), run, once=True)


_MOVED = ["--set", "thresholds.gopher.word_count.min=60"]


def moved_threshold(corpus: Path) -> Task:
    """The `tamis` command on a finished run of which one threshold moved: Decide and Emit, start-up included. Tells
    after how many seconds it has shown the counts."""
    command = [*_finished_run(corpus), *_MOVED]

    def run() -> dict[str, object]:
        start = time.perf_counter()
        with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True) as process:
            assert process.stdout is not None
            table_s = next((time.perf_counter() - start for line in process.stdout if line.startswith("kept ")), None)
            process.stdout.read()
        if process.returncode:
            raise subprocess.CalledProcessError(process.returncode, command)
        return {"table_s": table_s}

    return Task(megabytes(corpus), run, once=True)


def what_if(corpus: Path) -> Task:
    """The `tamis` command that says what another limit would change in a finished run, start-up included."""
    *_, run = _finished_run(corpus)
    return Task(megabytes(corpus), lambda: _quiet([_TAMIS, "what-if", run, *_MOVED]))


def _finished_run(corpus: Path) -> list[str]:
    """A command that has run on the corpus; its last argument is the run directory."""
    command = [_TAMIS, "run", "fineweb", "--input", str(corpus / "jsonl"), "--output", f"{_scratch.name}/finished"]
    _quiet(command)
    return command


def start_up(corpus: Path) -> Task:
    """The `tamis` command on one document: what every run takes before its first batch and after its last."""
    one = str(few_documents(corpus, 1) / "jsonl")
    command = [_TAMIS, "run", "fineweb", "--input", one, "--output", f"{_scratch.name}/run", "--set", "thresholds={}"]
    return Task(0.0, lambda: _quiet(command), once=True)


def _quiet(command: list[str]) -> None:
    subprocess.run(command, check=True, capture_output=True)


def few_documents(corpus: Path, documents: int) -> Path:
    """A corpus of the first documents."""
    folder = Path(_scratch.name) / f"few-{documents}"
    (folder / "jsonl").mkdir(parents=True, exist_ok=True)
    rows = next(_read(corpus)).slice(0, documents).to_pylist()  # only these: all of a corpus would be the peak of its memory
    (folder / "jsonl" / "part-00000.jsonl").write_text("".join(json.dumps({"text": row["text"]}) + "\n" for row in rows))
    return folder


WORKS = {
    "segmentation": segmentation,
    "rules": rules,
    "minhash": partial(minhash, scheme="fss"),
    "minhash multiply": partial(minhash, scheme="multiply"),
    "duplicates": partial(duplicates, scheme="fss"),
    "duplicates multiply": partial(duplicates, scheme="multiply"),
    "paragraphs": paragraphs,
    "benchmarks": benchmarks,
    "contamination": contamination,
    "language": language,
    "hosts": listed_hosts,
    "words": listed_words,
    "pii": personal_data,
    "edits": edits,
    "tokens": partial(tokens, name="tiktoken:cl100k_base"),
    "tokens counted": partial(tokens, name="tiktoken:cl100k_base", count=True),
    "tokens file": tokens,
    "rate": rate_pass,
    "rate, no editors": partial(rate_pass, edit=False),
    "rate+benchmarks": partial(rate_pass, decontaminate=True),
    "run jsonl": partial(end_to_end, kind="jsonl"),
    "run jsonl, no editors": partial(end_to_end, kind="jsonl", edit=False),
    "run jsonl, 2 workers": partial(end_to_end, kind="jsonl", workers=2),
    "run jsonl + benchmarks": partial(end_to_end, kind="jsonl", decontaminate=True),
    "run parquet": partial(end_to_end, kind="parquet"),
    "run parquet, no editors": partial(end_to_end, kind="parquet", edit=False),
    "run parquet, 2 workers": partial(end_to_end, kind="parquet", workers=2),
    "moved threshold": moved_threshold,
    "what-if": what_if,
    "start-up": start_up,
}

if __name__ == "__main__":
    main("tamis", WORKS)
