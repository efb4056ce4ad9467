"""Documents on which Tamis and its peers must agree: many kinds of real ones, and random ones that test edge cases."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator
from pathlib import Path

from tamis.transforms.read import inputs
from tamis.transforms.read.input_options import Fields, Input

LONG = 6_000  # characters
_FIELDS = Fields(text=("text", "query", "question", "context", "input", "prompt", "html"))
_REAL = ("web/*.zst", "docs/*.zst", "quality/*.zst", "readability/*.zst", "html/*.zst", "rephrased/*.jsonl", "warc/*.gz")
_BENCHMARKS = ("benchmarks/*.jsonl", "benchmarks/*.zst")


def environment() -> list[str]:
    """Docstrings, licences, long descriptions and source files of the running Python, without the shortest."""
    return _some(_read(Input(paths=("python-env",), harvest_bytes=32 << 20)), 8_000)


def real(shared: Path) -> list[str]:
    """Web pages, mail, technical documents, encyclopaedia articles, raw HTML and exam questions."""
    lines = Input(paths=(str(shared / "quality/wikitext2_*.txt"),), text_unit="line")
    return [
        *_some(_read(Input(paths=tuple(str(shared / place) for place in _REAL), fields=_FIELDS)), 7_000),
        *_some(_read(lines), 1_500),
        *_some(_read(Input(paths=tuple(str(shared / place) for place in _BENCHMARKS), fields=_FIELDS)), 2_500),
    ]


def pages(shared: Path, count: int) -> list[str]:
    """Web pages from all parts of the crawl."""
    return _evenly(list(_read(Input(paths=(str(shared / "web/*.zst"),)))), count)


def unique(*groups: list[str]) -> list[str]:
    return list(dict.fromkeys(text for group in groups for text in group))


def _read(options: Input) -> Iterator[str]:
    for split in inputs.plan(options)[0]:
        for batch, _ in inputs.read(split, options):
            yield from batch["text"].to_pylist()


def _some(texts: Iterator[str], count: int) -> list[str]:
    """At most `count` texts, evenly spaced; only one in 32 of the long ones, which take the peers most of the time."""
    short, long = [], []
    for text in texts:
        (short if len(text) <= LONG else long).append(text)
    return [*_evenly(short, count - len(long) // 32), *long[::32]]


def _evenly(texts: list[str], count: int) -> list[str]:
    return [texts[k * len(texts) // count] for k in range(count)] if len(texts) > count else texts


_SCRIPTS = {
    "latin": "the of and to be that have with The cat sat on mat Lorem ipsum Straße naïve café x9 J. no. don't don’t",
    "joined": "3.14 1,000 12,345.67 1,a ,1 state-of-the-art user@host a/b a.b. .a a..b a._b -a a- :: a:b: 10:30 ١,٢ ’tis '80s",
    "combining": "cafe\u0301 nai\u0308ve o\u0302\u0323 a\u030a Z\u0351\u036b\u0343 e\u0301\u0301 \u0301 n\u0303o",
    "han": "汉字没有空格 第二句 的 是 一二三 〇 「引用」 你好，世界。 ！ 語",
    "kana": "これは かな カタカナ も、少し。 ｶﾅ ー 々",
    "hangul": "한국어 문장 입니다. 그리고 \u1112\u1161\u11ab",
    "arabic": "العربية هذا نص؟ مرحبا، بالعالم ١٢٣ \u0640 لا\u064e",
    "hebrew": "שלום עולם״ זה טקסט׃ א\u05b8",
    "thai": "ภาษาไทยไม่มีช่องว่าง สวัสดี ๑๒๓ ฯ",
    "devanagari": "हिन्दी में लिखा। नमस्ते दुनिया॥ क्षि १२३ क\u094d\u200dष",
    "others": "Ελληνικά ς Кириллица ქართული Հայերեն։ አማርኛ። မြန်မာ။ ភាសាខ្មែរ។ தமிழ் 𐌰𐌱 𝒜𝒷 ⅷ ² ½ ª １",
    "emoji": "😀 👩‍👩‍👧 🇫🇷 ❤️ ✓ → • © ™ € ◊ ½ … \ufeff \u200b \u200d \ue000 \U0010ffff \u0378",
    "marks": "... .... …… . .. ! ?! ‽ ‼ # ## #tag - -- – — • * _ __ _a_ ' '' ’ “ ” { } & \\ | ~ ^ ` $ + = < > @ / // %",
    "wiki": "[ ] [1] [12] [edit] [citation needed] terms[1] of use Lorem\u00a0ipsum LOREM ipsum {{ }}",
    "policy": "JavaScript javascript jаvascript privacy policy Privacy Policy use cookies uses coo\u212aies Terms of use.",
    "odd": "\0 \0\0 a\0b \x01 \x1b[0m \x7f \x85 \u2028 \u2029 \x0b \x0c \x1c \x1d \x1e \x1f \r \t \u00a0 \u3000 \u180e \u200e",
}
_WORDS = {name: words.split(" ") for name, words in _SCRIPTS.items()}
_ENDS = [".", ".", ".", "!", "?", "...", "…", "。", "؟", "।", ",", "‽", "」", "”", '."', ".'", "'", "", "", ". ", ".\t",
         ".\xa0", ".\x85", " .", ".[3]", ". [3]"]  # fmt: skip
_BREAKS = ["\n", "\n", "\n", "\n\n", "\n\n\n", "\r\n", "\r\n\r\n", "\r", "\x0b", "\x0c", "\x85", "\u2028", "\u2029", "\x1e",
           "\n\r", "\t\n", "\n ", " \n"]  # fmt: skip


def adversarial(count: int, seed: int = 3) -> list[str]:
    """`count` different documents: fixed edge cases, then random lines with repeats, bullets, ellipses and all line breaks."""
    blank = ["", " ", "\n", "\n\n", "\n\n\n", " \n\t\n ", "\r\n", "\r", "\0", "\x85", "\u2028", "\ufeff", "\n" * 50_000]
    short = ["word", "word\n", "\nword", "#", "...", "…", "•", "-", "one two", "a b c a b c", "ab c d e f. a bc d e f."]
    lines = ["\n\na\n\na\n\n", "a\n\n \n\na", "a\n \na\n", "a\r\na\r\n", "a\ra", "line of text.\n" * 3_000]
    long = ["x" * 300_000, "long " * 30_000, "a " * 10_000, "é\u0301" * 10_000, "汉" * 50_000, "word." * 9_000, "- " * 9_000]
    edges = [f"Four words and one {'x' * n}." for n in (999, 1000, 1001)]
    edges += [mark * n + end for n in (28, 29, 30, 31) for mark, end in ("y.", "語。")]
    texts = dict.fromkeys([*blank, *short, *lines, *long, *edges])
    source = random.Random(seed)
    while len(texts) < count:
        texts[_document(source)] = None
    return list(texts)


def _document(source: random.Random) -> str:
    vocabulary = [word for script in source.sample(sorted(_WORDS), source.randint(1, 3)) for word in _WORDS[script]]
    if source.random() < 0.5:
        vocabulary += 2 * _WORDS["latin"]
    if source.random() < 0.3:
        vocabulary = source.sample(vocabulary, min(len(vocabulary), source.randint(1, 4)))  # everything repeats
    breaks = ["\n"] if source.random() < 0.4 else ["\n", *source.sample(_BREAKS, 2)]
    ends = source.sample(_ENDS, 3)
    lines: list[str] = []
    makers: list[Callable[[], str]] = [
        lambda: " ".join(source.choices(vocabulary, k=source.randint(1, 25))) + source.choice(ends),
        lambda: "".join(source.choices(vocabulary, k=source.randint(1, 12))) + source.choice(ends),
        lambda: source.choice(["- ", "• ", " -", "\t• ", "* "]) + " ".join(source.choices(vocabulary, k=4)),
        lambda: source.choice(["", "", " ", "\t", "\u00a0"]),
        lambda: source.choice(lines) if lines else "",
        lambda: source.choice(breaks).join(lines[-source.randint(1, 4) :])[:1_000],
    ]
    weights = [source.choice([0, 1, 4]) for _ in makers]
    weights[0] += 1
    for _ in range(source.choice([1, 1, 2, 3, 5, 8, 13, 30])):
        lines.append(source.choices(makers, weights)[0]())
    text = "".join(line + source.choice(breaks) for line in lines)
    return text if source.random() < 0.4 else text.rstrip("\n") if source.random() < 0.5 else text.strip()
