"""Builds the corpus of a benchmark: text, planted near-duplicates with their true similarity, and benchmarks.

    python corpus.py FOLDER --mb 200 [--text real|generated] [--no-truth]

jsonl/part-*.jsonl.gz, parquet/part-*.parquet   the same documents, `id`, `source` and `text`
truth.tsv                                       row, row, exact Jaccard similarity of every pair with `FLOOR` or more
benchmarks/                                     items for decontamination, and the recipe's block that names them; items.jsonl
                                                has their texts, for peers
lid.176.ftz                                     the language model, for peers that would download one
corpus.json                                     MB of text, documents, how they were made; written last

Real text is first used as it is. When it is used up it is used again, reworded: every word except the most frequent ones is
replaced by another of its length, so that lines, repeats and lengths stay real and no page appears twice.
"""

from __future__ import annotations

import argparse
import gzip
import json
import math
import random
import re
import shutil
from collections import Counter, defaultdict, deque
from collections.abc import Iterator, Sequence
from dataclasses import asdict
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import yaml

from tamis.transforms.decontaminate.benchmarks import Benchmark, Item, items, passages
from tamis.transforms.dedup.shingles import jaccard, shingles
from tamis.transforms.rate.language import packaged_model
from tamis.transforms.text.segment import segment

SHARED = Path(__file__).resolve().parents[3] / "shared" / "data"
"""Real text and real benchmarks, where this checkout has them beside it."""

REPLACED = (0, 0.01, 0.02, 0.03, 0.05, 0.1, 0.2)
"""Shares of the words of a near-duplicate that are other than in its original."""

FOREIGN = 0.05
"""Share of generated documents among real ones: scripts that the real ones lack."""

PLANTED = 0.2
"""Share of documents that are near-duplicates of an earlier one."""

LEAKED = 0.005
"""Share of documents that quote a benchmark."""

BENCHMARKS = 20
FLOOR = 0.7
FILE_MB = 25

Document = tuple[str, str]  # source, text

_FREQUENT = 150  # words that rewording keeps
_WORD = re.compile(r"\w+")
_PIECE = re.compile(r"\w+|\W+")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("folder", type=Path)
    parser.add_argument("--mb", type=float, required=True)
    parser.add_argument("--text", choices=("real", "generated"), default="real" if SHARED.is_dir() else "generated")
    parser.add_argument("--no-truth", action="store_true", help="leave out truth.tsv (200 MB need 2 GB of memory)")
    options = parser.parse_args()
    build(options.folder, options.mb, options.text, not options.no_truth)


def build(folder: Path, mb: float, text: str, with_truth: bool, seed: int = 20261121) -> None:
    """Writes the corpus, unless `folder` holds it already."""
    made_of = {"text": text, "seed": seed, "mb": mb, "truth": with_truth, "items": True}
    stamp = folder / "corpus.json"
    if stamp.exists() and json.loads(stamp.read_text())["made_of"] in (made_of, {**made_of, "truth": True}):
        return
    chance = random.Random(seed)
    leaks = write_benchmarks(folder.resolve() / "benchmarks", Words(seed + 1))
    fresh = generated(Words(seed), chance)
    if text == "real":
        fresh = _with_some(real(chance), fresh, chance)
    size, documents = _write(folder, _planted(fresh, leaks, chance), mb)
    shutil.copyfile(packaged_model(), folder / "lid.176.ftz")
    if with_truth:
        pairs = truth(folder)
        (folder / "truth.tsv").write_text("".join(f"{a}\t{b}\t{jaccard:.6f}\n" for a, b, jaccard in pairs))
    stamp.write_text(json.dumps({"made_of": made_of, "mb": size / 1e6, "documents": documents}, indent=1))


class Words:
    """A vocabulary of our own for each of several scripts, drawn by Zipf's law."""

    _FUNCTION = "the of and to a in is that for it as was with be by on not he his but at are this have from or had"
    _SYLLABLES = (  # share of the documents, onsets, vowels
        (0.85, "b c ch d f g h j k l m n p r s st t tr v w", "a e i o u ea ou ai"),
        (0.05, "б в г д ж з к л м н п р с т ф х ц ч ш", "а е и о у ы я ю"),
        (0.04, "β γ δ θ κ λ μ ν ξ π ρ σ τ φ χ", "α ε η ι ο υ ω"),
        (0.03, "क ग च ज त द न प ब म र ल स ह", "ा ि ी ु ू े ै ो"),
    )
    _HAN = (0x4E00, 3000)  # first code point, how many: written without spaces

    def __init__(self, seed: int, size: int = 20_000) -> None:
        self.random = np.random.Generator(np.random.PCG64(seed))
        rank = np.arange(1, size + 1)
        self._cumulative = np.cumsum(1 / (rank + 2.0))
        self._cumulative /= self._cumulative[-1]
        self._vocabularies = [self._spell(onsets.split(), vowels.split(), size) for _, onsets, vowels in self._SYLLABLES]
        self._vocabularies[0][: len(self._FUNCTION.split())] = self._FUNCTION.split()
        self._share = np.cumsum([share for share, _, _ in self._SYLLABLES])

    def _spell(self, onsets: list[str], vowels: list[str], size: int) -> list[str]:
        words: dict[str, None] = {}
        while len(words) < size:
            syllables = 1 + int(self.random.integers(1, 2 + min(3, len(words) * 8 // size)))
            words["".join(onsets[o] + vowels[v] for o, v in self._pairs(len(onsets), len(vowels), syllables))] = None
        return list(words)

    def _pairs(self, first: int, second: int, count: int) -> list[tuple[int, int]]:
        return list(zip(self.random.integers(0, first, count), self.random.integers(0, second, count), strict=True))

    def draw(self, count: int) -> list[str]:
        """`count` words of one script, that of a document."""
        script = int(np.searchsorted(self._share, self.random.random()))
        if script == len(self._vocabularies):
            characters = self._HAN[0] + (self._HAN[1] * self.random.random(2 * count) ** 3).astype(int)
            return ["".join(map(chr, characters))]
        vocabulary = self._vocabularies[script]
        return [vocabulary[index] for index in np.searchsorted(self._cumulative, self.random.random(count)).tolist()]


def generated(words: Words, chance: random.Random) -> Iterator[Document]:
    """Documents of four sources without end: articles, forum threads, lists, references."""
    shapes = {"articles": _article, "forum": _thread, "lists": _list, "reference": _reference}
    while True:
        source = chance.choices(list(shapes), (5, 2, 1, 1))[0]
        yield source, shapes[source](words.draw(max(20, int(chance.lognormvariate(5.6, 0.9)))), chance)


def _sentences(words: list[str], chance: random.Random) -> Iterator[str]:
    at = 0
    while at < len(words):
        size = chance.randint(6, 25)
        sentence = " ".join(words[at : at + size]).capitalize()
        yield (sentence.replace(" ", ", ", 1) if size > 18 else sentence) + chance.choices(".?!", (8, 1, 1))[0]
        at += size


def _article(words: list[str], chance: random.Random) -> str:
    paragraphs, left = [" ".join(words[:6]).title(), "Home | News | Contact"], list(_sentences(words, chance))
    while left:
        size = chance.randint(3, 8)
        paragraphs.append(" ".join(left[:size]))
        left = left[size:]
    return "\n\n".join([*paragraphs, "We use cookies. See our privacy policy."] if chance.random() < 0.3 else paragraphs)


def _thread(words: list[str], chance: random.Random) -> str:
    before, behind = ("> ", "", "", "@user "), ("", " ...", " #tag")
    return "\n".join(chance.choice(before) + line + chance.choice(behind) for line in _sentences(words, chance))


def _list(words: list[str], chance: random.Random) -> str:
    mark = chance.choice("-•*")
    return "\n".join(f"{mark} {line}" for line in _sentences(words, chance))


def _reference(words: list[str], chance: random.Random) -> str:
    pairs = zip(words[::2], words[1::2], strict=False)
    return "\n".join(f"{name}_{value}: {chance.randint(0, 10_000)}  # {value} {name}" for name, value in pairs)


def real(chance: random.Random) -> Iterator[Document]:
    """The texts of the shared data without end: once as they are, then reworded."""
    documents: list[Document] = []
    for path in sorted(SHARED.glob("*/*.jsonl.zst")):
        if path.parent.name not in ("benchmarks", "rephrased"):
            rows = (json.loads(line) for line in pa.input_stream(str(path), compression="zstd").read().splitlines())
            documents += [(path.parent.name, row["text"]) for row in rows if isinstance(row.get("text"), str)]
    chance.shuffle(documents)
    yield from documents
    count = Counter(word for _, text in documents for word in _WORD.findall(text))
    kept = {word for word, _ in count.most_common(_FREQUENT)}
    alike: defaultdict[tuple[int, bool, bool, bool], list[str]] = defaultdict(list)
    for word in sorted(count.keys() - kept):
        alike[len(word), word.isascii(), word.isdigit(), word[0].isupper()].append(word)
    while True:
        other: dict[str, str] = {}
        for words in alike.values():
            other |= zip(words, chance.sample(words, len(words)), strict=True)
        for source, text in documents:
            yield source, "".join(other.get(piece, piece) for piece in _PIECE.findall(text))


def _with_some(most: Iterator[Document], others: Iterator[Document], chance: random.Random) -> Iterator[Document]:
    while True:
        yield next(others if chance.random() < FOREIGN else most)


def _planted(fresh: Iterator[Document], leaks: list[str], chance: random.Random) -> Iterator[Document]:
    """`fresh`, with near-duplicates of earlier documents and quotations of benchmarks among them."""
    earlier: deque[Document] = deque(maxlen=5000)
    for source, text in fresh:
        if chance.random() < LEAKED:
            text += "\n" + chance.choice(leaks)
        earlier.append((source, text))
        yield source, text
        if chance.random() < PLANTED / (1 - PLANTED):
            source, original = chance.choice(earlier)
            words, donor = original.split(" "), chance.choice(earlier)[1].split()
            if donor:
                for place in chance.sample(range(len(words)), round(len(words) * chance.choice(REPLACED))):
                    words[place] = chance.choice(donor)
            yield source, " ".join(words)


def _write(folder: Path, documents: Iterator[Document], mb: float) -> tuple[int, int]:
    """Both formats, file by file in constant memory; returns bytes of text and documents."""
    for name in ("jsonl", "parquet"):
        (folder / name).mkdir(parents=True, exist_ok=True)
        for old in (folder / name).iterdir():
            old.unlink()
    total, row = 0, 0
    files = max(2, math.ceil(mb / FILE_MB))
    for number in range(files):
        rows: list[dict[str, str]] = []
        while total < mb * 1e6 * (number + 1) / files:
            source, text = next(documents)
            rows.append({"id": f"{row:09d}", "source": source, "text": text})
            total += len(text.encode())
            row += 1
        table = pa.Table.from_pylist(rows)
        pq.write_table(table, folder / "parquet" / f"part-{number:05d}.parquet", compression="zstd", row_group_size=2000)
        with gzip.open(folder / "jsonl" / f"part-{number:05d}.jsonl.gz", "wb", 6) as lines:
            lines.writelines(json.dumps(one, ensure_ascii=False).encode() + b"\n" for one in rows)
    return total, row


def write_benchmarks(folder: Path, words: Words) -> list[str]:
    """`BENCHMARKS` benchmarks, real ones first; returns some of their passages. recipe.yaml is the recipe's block."""
    folder.mkdir(parents=True, exist_ok=True)
    named: list[Benchmark] = []
    for path in sorted((SHARED / "benchmarks").glob("*.jsonl*")):
        fields = _text_fields(path)
        named.append(Benchmark(name=path.name.split(".")[0], path=str(path), fields=fields))
    for number in range(len(named), BENCHMARKS):
        path = folder / f"generated-{number}.jsonl"
        rows = [{"question": " ".join(words.draw(40)), "answer": " ".join(words.draw(12))} for _ in range(1500)]
        path.write_text("".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows))
        named.append(Benchmark(name=path.stem, path=str(path), fields=["question", "answer"]))
    (folder / "recipe.yaml").write_text(yaml.safe_dump({"benchmarks": [one.model_dump() for one in named]}))
    write_items(folder / "items.jsonl", [item for one in named for item in items(one)])
    return [passage.text for benchmark in named for passage in passages(benchmark)[:200] if len(passage.text) > 100]


def write_items(path: Path, found: Sequence[Item]) -> None:
    """The texts of items as peers/decontaminators/works.py reads them."""
    path.write_text("".join(json.dumps(asdict(item), ensure_ascii=False) + "\n" for item in found), "utf-8")


def _text_fields(path: Path) -> list[str]:
    with pa.input_stream(str(path), compression="detect") as stream:
        first = json.loads(stream.read(1 << 20).split(b"\n")[0])
    known = ("question", "query", "context", "prompt", "input", "context_options")
    return [name for name in known if name in first][:1]


def truth(folder: Path) -> list[tuple[int, int, float]]:
    """Every pair of documents with a Jaccard similarity of at least `FLOOR`, exactly, and that similarity.

    Two such documents share one of the rarest |A| - ⌈FLOOR·|A|⌉ + 1 shingles of each (prefix filter: Chaudhuri, Ganti, Kaushik
    2006), so only those are joined, and every pair found is then compared whole.
    """
    sizes, parts = [], []
    for path in sorted((folder / "parquet").iterdir()):
        for batch in pq.ParquetFile(path).iter_batches(1000, columns=["text"]):
            begins, found = shingles(segment(batch["text"]), 5, fold=False)
            sizes.append(np.diff(begins))
            parts.append(found.copy())
    size, hashes = np.concatenate(sizes), np.concatenate(parts)
    first = np.concatenate([[0], np.cumsum(size)])
    document = np.repeat(np.arange(len(size)), size)
    _, shingle, count = np.unique(hashes, return_inverse=True, return_counts=True)
    rarest = np.lexsort((shingle, count[shingle], document))
    place = np.arange(len(hashes)) - first[document]
    prefix = rarest[place < (size - np.ceil(FLOOR * size).astype(int) + 1)[document]]
    prefix = prefix[count[shingle[prefix]] > 1]
    prefix = prefix[np.lexsort((document[prefix], shingle[prefix]))]
    candidates, apart = [np.empty(0, np.int64)], 1
    left, right = document[prefix], document[prefix]
    group = shingle[prefix]
    while len(group) > apart and (same := group[apart:] == group[:-apart]).any():
        candidates.append(np.unique(left[:-apart][same] * len(size) + right[apart:][same]))
        apart += 1
    pairs = []
    for a, b in (divmod(int(pair), len(size)) for pair in np.unique(np.concatenate(candidates))):
        similarity = jaccard(hashes[first[a] : first[a + 1]], hashes[first[b] : first[b + 1]])
        if similarity >= FLOOR:
            pairs.append((a, b, similarity))
    return pairs


if __name__ == "__main__":
    main()
