r"""Prints the values and decisions of datatrove's own filters; runs in the Python of the peers.

    python datatrove_values.py MODE WORDS [MODEL] < texts.jsonl > values.jsonl

WORDS is the regular expression of Tamis's words, MODEL the path of lid.176, for the last mode, or a folder. MODE is one of
- own: datatrove, but with Tamis's words (and sentences) through its pluggable tokenizer;
- exchanged: the same, but also without the intended differences to Tamis; each has its reason below;
- fineweb: the text that C4's line rules leave as FineWeb sets them (examples/fineweb.py), and the rule that drops a page for a
  line; with the kelvin sign and the words of citations exchanged;
- pii: the text after PIIFormatter, with one replacement a kind instead of several in turn;
- shipped: decisions only, with datatrove's own English words (spaCy);
- languages: spaCy's example sentences in about sixty languages; needs no input;
- url_lists: writes the lists of datatrove's URL filter into the folder MODEL, of the blocked hosts one in 50; needs no input;
- urls: whether the URL filter with the lists in the folder MODEL keeps each address, and why not;
- steps: FineWeb's steps one after the other (examples/fineweb.py): the one that drops the text, and what they make of it; as
  `exchanged`, and with the exchanges of `fineweb` and `pii`.

This file repeats no formula of datatrove: a `Probe` in the place of each threshold records the values that filters compare.
"""

from __future__ import annotations

import importlib
import json
import pkgutil
import re
import sys
import tarfile
import unicodedata
from collections import Counter
from collections.abc import Callable, Iterator
from functools import cache, partial
from importlib import metadata
from itertools import pairwise
from pathlib import Path
from typing import Any

import spacy.lang
import tldextract
from datatrove.data import Document
from datatrove.pipeline.filters import c4_filters, gopher_quality_filter, gopher_repetition_filter
from datatrove.pipeline.filters.base_filter import get_filter_result
from datatrove.pipeline.filters.fineweb_quality_filter import FineWebQualityFilter
from datatrove.pipeline.filters.language_filter import LanguageFilter
from datatrove.pipeline.filters.url_filter import URLFilter
from datatrove.pipeline.formatters.pii import PIIFormatter
from datatrove.utils import lid
from datatrove.utils._import_utils import ASSETS_PATH
from datatrove.utils.text import split_into_sentences
from datatrove.utils.word_tokenizers import WordTokenizer

GopherQualityFilter = gopher_quality_filter.GopherQualityFilter
GopherRepetitionFilter = gopher_repetition_filter.GopherRepetitionFilter

Values = dict[str, Any]

CITATION = re.compile(r"\[\d*\]|\[edit\]|\[citation needed\]")
C4_WORDS, C4_SENTENCES = 5, 3  # as in the paper and TFDS; datatrove's defaults are 3 and 5


class Probe:
    """A threshold that records the values it is compared with and lets every document pass."""

    __array_ufunc__ = None  # so that numpy's scalars use the comparisons below

    def __init__(self) -> None:
        self.seen: list[float] = []

    def __lt__(self, value: float) -> bool:
        self.seen.append(float(value))
        return False

    __gt__ = __lt__


class TamisWords(WordTokenizer):
    """Tamis's words, and its sentences for the line rules of C4."""

    pattern = re.compile(sys.argv[2])

    def word_tokenize(self, text: str) -> list[str]:
        return [match.group() for match in self.pattern.finditer(text)]

    def sent_tokenize(self, text: str) -> list[str]:
        return [text[start:end] for start, end in self.span_tokenize(text)]

    def span_tokenize(self, text: str) -> list[tuple[int, int]]:
        ends = [a.end() for a, b in pairwise(re.finditer(r"\S+", text)) if _ends(a.group()) and not b.group()[0].islower()]
        return list(pairwise([0, *ends, len(text)]))


def _ends(word: str) -> bool:
    """Whether the word ends in marks, quotes and brackets with a sentence mark, except for the dot of an initial."""
    bare = word.rstrip(""".?!)]"'”’""")
    tail = word[len(bare) :]
    if tail.startswith(".") and bare[-1:].isalpha() and not re.search(r"\w.\Z", bare):
        tail = tail[1:]
    return any(mark in tail for mark in ".?!")


class Symbols:
    """All characters but letters, numbers and combining marks; replaces a list without `•`, `©`, `→`, emoji …"""

    def __contains__(self, character: str) -> bool:
        return not character.isalnum() and not unicodedata.category(character).startswith("M")


class Line(str):
    """A line in which the carriage return of a Windows file does not hide the punctuation before it."""

    def endswith(self, ends: Any) -> bool:  # type: ignore[override]
        return self.removesuffix("\r").endswith(ends)


class Text(str):
    """A text in which only a newline ends a line: U+0085 in a web page is a wrongly decoded ellipsis inside a sentence."""

    def splitlines(self) -> list[str]:  # type: ignore[override]
        return str(self).removesuffix("\n").split("\n") if self else []

    def split(self, separator: str) -> list[str]:  # type: ignore[override]
        return [Line(line) for line in str(self).split(separator)]


class PageText(str):
    """A text for C4: citations are no words, as in TFDS; the kelvin sign U+212A, with lower case `k`, is no ASCII letter."""

    def splitlines(self) -> list[str]:  # type: ignore[override]
        lines = self.replace("\u212a", "\u0137").splitlines()
        return [line for line in lines if not len(CITATION.sub("", line).split()) < C4_WORDS <= len(line.split())]


class FineWebText(str):
    """The same for FineWeb's number of words; a private character takes the place of the kelvin sign."""

    def splitlines(self) -> list[str]:  # type: ignore[override]
        lines = self.replace("\u212a", "\ue12a").splitlines()
        return [line for line in lines if not len(CITATION.sub("", line).split()) < 3 <= len(line.split())]


class Lines:
    """A splitter without the empty lines before a leading and after a final newline."""

    def split(self, text: str) -> list[str]:
        return [line for line in text.split("\n") if line] or [""]


def exchange() -> None:
    """Replaces parts of datatrove by the choices of Tamis."""
    gopher_quality_filter.PUNCTUATION_SET = Symbols()
    own_top, own_all = gopher_repetition_filter.find_top_duplicate, gopher_repetition_filter.find_all_duplicate

    def top(grams: list[str]) -> int:
        """An n-gram that occurs once is no repetition."""
        return own_top(grams) if len(set(grams)) < len(grams) else 0

    def all_duplicate(words: list[str], n: int) -> int:
        """Word boundaries matter: "ab", "c" is not "a", "bc". The second space per word adds as much as the first."""
        return 2 * own_all([word + " " for word in words], n) - own_all([word + "  " for word in words], n)

    gopher_repetition_filter.find_top_duplicate = top
    gopher_repetition_filter.find_all_duplicate = all_duplicate
    c4_filters.END_PUNCTUATION = (".", "?", "!", '"')  # the paper's and TFDS's; datatrove adds the apostrophe


def result(step: Any, text: str) -> tuple[bool, str | None]:
    """The result of a filter; a division by zero drops the document without a reason."""
    try:
        return get_filter_result(step.filter(Document(text=text, id="")))
    except ZeroDivisionError:
        return False, None


class Measured:
    """The values of a filter by name: `seen[name]` is the probe for one of its thresholds."""

    def __init__(self) -> None:
        self.seen: dict[str, Probe] = {}

    def __getitem__(self, name: str) -> Any:
        return self.seen.setdefault(name, Probe())

    def values(self) -> Values:
        return {name: probe.seen[-1] for name, probe in self.seen.items() if probe.seen}


def gopher(text: str, words: Any) -> Values:
    seen = Measured()
    symbols = Probe()
    step = GopherQualityFilter(
        min_doc_words=seen["gopher.word_count"],
        max_doc_words=None,
        min_avg_word_length=seen["gopher.mean_word_length"],
        max_avg_word_length=None,
        max_symbol_word_ratio=symbols,  # type: ignore[arg-type]
        max_bullet_lines_ratio=seen["gopher.bullet_lines"],
        max_ellipsis_lines_ratio=seen["gopher.ellipsis_lines"],
        max_non_alpha_words_ratio=seen["gopher.alphabetic_words"],
        min_stop_words=seen["gopher.stop_words"],
        language=words,
    )
    result(step, text)
    return seen.values() | dict(zip(("gopher.hash_ratio", "gopher.ellipsis_ratio"), symbols.seen, strict=False))


def repetition_filter(words: Any, exchanged: bool, **limits: Any) -> Any:
    step = GopherRepetitionFilter(language=words, **limits)
    if exchanged:
        step._line_splitter = Lines()
    return step


def repetition(text: str, words: Any, exchanged: bool) -> Values:
    seen = Measured()
    step = repetition_filter(
        words,
        exchanged,
        dup_line_frac=seen["repetition.duplicate_line_share"],
        dup_para_frac=seen["repetition.duplicate_paragraph_share"],
        dup_line_char_frac=seen["repetition.duplicate_line_chars"],
        dup_para_char_frac=seen["repetition.duplicate_paragraph_chars"],
        top_n_grams=tuple((n, seen[f"repetition.top_{n}gram_chars"]) for n in (2, 3, 4)),
        dup_n_grams=tuple((n, seen[f"repetition.duplicate_{n}gram_chars"]) for n in (5, 6, 7, 8, 9, 10)),
    )
    result(step, text)
    return seen.values()


def fineweb(text: str, words: Any) -> Values:
    seen = Measured()
    step = FineWebQualityFilter(
        line_punct_thr=seen["fineweb.line_punctuation"],
        short_line_thr=seen["fineweb.short_lines"],
        char_duplicates_ratio=seen["fineweb.duplicate_line_chars"],
        new_line_ratio=seen["fineweb.newlines_per_word"],
        language=words,
    )
    result(step, text)
    return seen.values()


class C4Lines(c4_filters.C4QualityFilter):
    """Some of C4's rules; counts the lines that each rule removes."""

    def __init__(self, words: Any, *rules: str, **limits: Any) -> None:
        super().__init__(
            filter_no_terminal_punct="terminal" in rules,
            filter_lorem_ipsum="lorem_ipsum" in rules,
            filter_javascript="javascript" in rules,
            filter_curly_bracket="curly_bracket" in rules,
            filter_policy="policy" in rules,
            **{"min_num_sentences": -1, "min_words_per_line": -1, "max_word_length": -1} | limits,
            language=words,
        )
        self.counts: Counter[str] = Counter()

    def stat_update(self, *labels: str, value: int = 1, unit: str | None = None) -> None:
        self.counts.update(labels)


def c4(text: str, all_lines: str, words: Any) -> Values:
    """`text` is for the rules on kept lines, `all_lines` for the rules on every line."""
    kept: list[str] = []
    sentences = Probe()

    def split(line: str, language: Any) -> list[str]:
        kept.append(line)
        return split_into_sentences(line, language)

    c4_filters.split_into_sentences = split
    limits: dict[str, Any] = {"min_num_sentences": sentences, "min_words_per_line": C4_WORDS, "max_word_length": 1000}
    result(C4Lines(words, "terminal", "javascript", "policy", **limits), text)
    c4_filters.split_into_sentences = split_into_sentences
    longest = Probe()
    result(C4Lines(words, max_word_length=longest), all_lines)
    javascript, policy = C4Lines(words, "javascript"), C4Lines(words, "policy")
    result(javascript, all_lines)
    result(policy, all_lines)
    return {
        "c4.sentences": sentences.seen[-1],
        "c4.kept_lines": len(kept),
        "c4.kept_chars": sum(map(len, kept)),
        "c4.curly": not result(C4Lines(words, "curly_bracket"), all_lines)[0],
        "c4.lorem_ipsum": not result(C4Lines(words, "lorem_ipsum"), all_lines)[0],
        "c4.longest_word": max(longest.seen, default=0),
        "c4.policy_lines": policy.counts["line-filter-policy"],
        "c4.javascript_lines": javascript.counts["line-filter-javascript"],
    }


def decisions(text: str, words: Any, exchanged: bool) -> Values:
    """Keep or drop by datatrove's thresholds, but with the right numbers of words and sentences for C4."""
    steps = {
        "gopher": GopherQualityFilter(language=words),
        "repetition": repetition_filter(words, exchanged),
        "fineweb": FineWebQualityFilter(language=words),
    }
    kept = {name: result(step, text)[0] for name, step in steps.items()}
    step = c4_filters.C4QualityFilter(min_num_sentences=C4_SENTENCES, min_words_per_line=C4_WORDS, language=words)
    return kept | {"c4": result(step, PageText(text) if exchanged else text)[0]}


def own(text: str) -> Values:
    words: Any = TamisWords()
    values = gopher(text, words) | repetition(text, words, False) | fineweb(text, words) | c4(text, text, words)
    return {"values": values, "kept": decisions(text, words, False)}


def exchanged(text: str) -> Values:
    words: Any = TamisWords()
    # The kelvin sign is replaced on every line; the number of words matters only on kept lines.
    page, all_lines, text = PageText(text), text.replace("\u212a", "\u0137"), Text(text)
    values = gopher(text, words) | repetition(text, words, True) | fineweb(text, words) | c4(page, all_lines, words)
    return {"values": values, "kept": decisions(text, words, True)}


def shipped(text: str) -> Values:
    return {"kept": decisions(text, "eng", False)}


def fineweb_lines(text: str) -> Values:
    step = c4_filters.C4QualityFilter(filter_no_terminal_punct=False, min_num_sentences=-1)
    page = Document(text=FineWebText(text), id="")
    passes, reason = get_filter_result(step.filter(page))
    return {"text": page.text.replace("\ue12a", "\u212a") if passes else None, "dropped": reason}


def pii(text: str) -> Values:
    step = PIIFormatter(email_replacement="email@example.com", ip_replacement="22.214.171.124")
    return {"text": step.format(text)}


@cache
def language_filter(model: str) -> LanguageFilter:
    lid.cached_asset_path_or_download = lambda *_, **__: model  # it would fetch lid.176.bin
    return LanguageFilter(["en"], 0.65)


def steps(text: str) -> Values:
    """The step that drops the text (null: none does), and what the steps before it made of the text."""
    words: Any = TamisWords()
    filters: dict[str, tuple[Any, Callable[[str], str]]] = {
        "language": (language_filter(sys.argv[3]), str),
        "repetition": (repetition_filter(words, True), str),
        "gopher": (GopherQualityFilter(language=words), Text),
        "c4": (c4_filters.C4QualityFilter(filter_no_terminal_punct=False, language=words), FineWebText),
        "fineweb": (FineWebQualityFilter(language=words), Text),
    }
    document = Document(text=text, id="")
    for name, (step, own) in filters.items():
        document.text = own(document.text)
        try:
            passes = get_filter_result(step.filter(document))[0]
        except ZeroDivisionError:
            passes = False
        document.text = document.text.replace("\ue12a", "\u212a")
        if not passes:
            return {"dropped": name, "text": document.text}
    return {"dropped": None, "text": pii(document.text)["text"]}


HOSTS, URLS = "hosts", "urls"
WORD_LISTS = {"banned_words": "hard", "banned_subwords": "strict", "soft_banned_words": "soft"}
"""The files of words that datatrove brings, and what Tamis calls them."""


def write_url_lists(folder: Path) -> Iterator[Values]:
    with tarfile.open(Path(ASSETS_PATH) / "url_filterblacklistsv0_3_0.tar.gz") as archive:
        for member, name, step in (("domains", HOSTS, 50), ("urls", URLS, 1)):
            file = archive.extractfile(member)
            assert file is not None
            lines = file.read().splitlines(keepends=True)[::step]
            (folder / name).write_bytes(b"".join(lines))
            yield {"file": name, "lines": len(lines)}
    for file_name, name in WORD_LISTS.items():
        words = (Path(ASSETS_PATH) / f"{file_name}.txt").read_text()
        (folder / name).write_text(words)
        yield {"file": name, "lines": words.count("\n")}


@cache
def url_filter(folder: Path) -> URLFilter:
    """With these lists alone, and without looking for a newer list of public suffixes."""
    tldextract.TLDExtract = partial(tldextract.TLDExtract, suffix_list_urls=())
    lists = {name: (folder / name).read_text().splitlines() for name in (HOSTS, URLS, *WORD_LISTS.values())}
    words = {file_name: lists[name] for file_name, name in WORD_LISTS.items()}
    return URLFilter(extra_domains=lists[HOSTS], extra_urls=lists[URLS], use_integrated_lists=False, **words)


def urls(address: str) -> Values:
    document = Document(text="", id="", metadata={"url": address})
    passes, reason = get_filter_result(url_filter(Path(sys.argv[3])).filter(document))
    return {"keep": passes, "why": reason}


def languages() -> Iterator[dict[str, str]]:
    for module in sorted(module.name for module in pkgutil.iter_modules(spacy.lang.__path__) if module.ispkg):
        try:
            examples = importlib.import_module(f"spacy.lang.{module}.examples")
        except ModuleNotFoundError:
            continue
        yield {"language": module, "text": "\n".join(examples.sentences)}


MODES: dict[str, Callable[[str], Values]] = {
    "own": own,
    "exchanged": exchanged,
    "fineweb": fineweb_lines,
    "pii": pii,
    "shipped": shipped,
    "steps": steps,
    "urls": urls,
}


def main(mode: str) -> None:
    print(json.dumps({"datatrove": metadata.version("datatrove"), "unicode": unicodedata.unidata_version}))
    if mode in ("languages", "url_lists"):
        for row in languages() if mode == "languages" else write_url_lists(Path(sys.argv[3])):
            print(json.dumps(row))
        return
    if mode in ("exchanged", "steps"):
        exchange()
    for line in sys.stdin:
        print(json.dumps(MODES[mode](json.loads(line))))


if __name__ == "__main__":
    main(sys.argv[1])
