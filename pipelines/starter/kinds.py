"""The kinds of data that `tamis init` knows: how each shows in a sample, and the rules that suit it."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple

from tamis.transforms.core.errors import RunError, nearest

MIXED = 0.2
"""The share of the sample above which rules must suit code, or other languages than English, too."""

_PER_SITE = 50  # documents of a sample; a crawl has few pages of each site, a manual all of one
_LONG = 20_000  # characters; of 5,988 web pages, 3 % have more
_CODE_NAME = re.compile(
    r"\.(?:py|js|jsx|ts|tsx|java|c|h|cc|cpp|hpp|cs|go|rs|rb|php|swift|kt|scala|sh|pl|lua|jl|sql|ipynb)(?:[?#].*)?$",
    re.IGNORECASE,
)
_CODE_LINE = re.compile(
    r"[;{}]\s*$|^\s*(?:#include|import|from\s+\S+\s+import|(?:async\s+)?def|class|func|fn|return|(?:el)?if|for|while|else)\b.*[:;{()\w]$"
    r"|^\s*[\w.\[\]'\"]+\s*[-+|&*/]?=[^=]|^\s*[\w.]+\(.*\)?[,:]?$|^\s*@\w|^\s*[)\]}]+[,;:]?$"
)
_SCORE = re.compile(r"(?:^|[._])(?:\w+_)?(?:score|quality|rating|edu|perplexity|ppl)s?$", re.IGNORECASE)
_NO_SCORE = re.compile(r"lang|lid|id_score|ocr", re.IGNORECASE)  # scores that say nothing of quality
_LOWER_IS_BETTER = re.compile(r"perplexity|ppl", re.IGNORECASE)


class Rule(NamedTuple):
    """A threshold of a starter recipe: the signal, its limits as YAML, and why."""

    signal: str
    limits: str
    why: str


@dataclass(frozen=True)
class Kind:
    """A kind of data: what it is in words, and its rules in the order in which they decide."""

    about: str
    rules: Sequence[Rule]


_WORDS = Rule("gopher.word_count", "{min: 50, max: 100000}", "Gopher's limits")
_ALPHABETIC = Rule(
    "gopher.alphabetic_words", "{min: 0.8}", "share of words with a letter; fewer are tables and lists of numbers"
)
_LINES = Rule("repetition.duplicate_line_chars", "{max: 0.2}", "share of characters in repeated lines: menus, footers")
_PHRASES = (
    Rule("repetition.top_2gram_chars", "{max: 0.2}", "share of characters in the most frequent pair of words: spam"),
    Rule("repetition.top_4gram_chars", "{max: 0.16}", "of four words"),
)

KINDS: Mapping[str, Kind] = {
    "web": Kind(
        "web pages in English",
        (
            _WORDS,
            Rule("gopher.mean_word_length", "{min: 3, max: 10}", "characters; outside are tables and addresses"),
            Rule("gopher.ellipsis_lines", "{max: 0.3}", "lines that end in …: teasers of other pages"),
            Rule("gopher.bullet_lines", "{max: 0.9}", "nothing but lists"),
            _ALPHABETIC,
            Rule("gopher.stop_words", "{min: 2}", "of the, be, to, of, and, that, have, with: sentences, in English"),
            _LINES,
            *_PHRASES,
            # Of Gopher's limits for 5- to 10-grams those for longer ones take articles that quote themselves (docs/labels.md).
            Rule("repetition.duplicate_5gram_chars", "{max: 0.15}", "in repeated runs of five words"),
        ),
    ),
    "books": Kind(
        "books, papers, manuals and reference pages",
        (
            Rule("gopher.word_count", "{min: 50}", "books are long, so there is no upper limit"),
            # A manual has numbers, tables and examples, and it repeats its headings.
            Rule(
                "gopher.alphabetic_words",
                "{min: 0.6}",
                "share of words with a letter; Gopher's 0.8 takes tables of reference pages",
            ),
            Rule("repetition.duplicate_line_chars", "{max: 0.4}", "share of characters in repeated lines; Gopher: 0.2"),
            *_PHRASES,
        ),
    ),
    "code": Kind(
        "source code, alone or with its documentation",
        (
            # Rules on words, sentences and repeats are made for prose: code repeats itself, and short files are useful.
            Rule("gopher.word_count", "{min: 10, max: 100000}", "empty files; generated ones"),
            Rule("gopher.alphabetic_words", "{min: 0.5}", "share of words with a letter; fewer are data in a source file"),
            Rule("repetition.top_2gram_chars", "{max: 0.4}", "share of characters in one pair of words: generated tables"),
        ),
    ),
    "multilingual": Kind(
        "text of other languages than English, or of several",
        (
            # No rule that counts English stop words; scripts without spaces have words of one letter.
            Rule("gopher.word_count", "{min: 50, max: 100000}", "a letter of Chinese, Japanese or Thai is a word"),
            Rule("gopher.alphabetic_words", "{min: 0.7}", "share of words with a letter; FineWeb2: 0.71 to 0.9, by language"),
            Rule("language.probability", "{min: 0.3}", "lower are lists of names and mixtures of languages"),
            _LINES,
            Rule(
                "repetition.top_4gram_chars",
                "{max: 0.23}",
                "of the most frequent four words; FineWeb2: 0.13 to 0.23, by language",
            ),
        ),
    ),
    "scored": Kind(
        "documents that bring quality scores along",
        (
            # They passed filters before; what is left to decide is the score's.
            Rule("gopher.word_count", "{min: 20}", "next to empty"),
            _PHRASES[0],
        ),
    ),
}
"""By the name that `--kind` takes, in the order of `tamis init --help`."""


PROSE = tuple(rule for rule in KINDS["books"].rules if rule.signal != _WORDS.signal)
"""Rules for the prose beside code, where short texts are useful, too."""

_OTHERS = 0.1  # the share of documents of the other kind in a source of code, or of prose
_FEW = 20  # documents of a source in the sample, of which no share is taken seriously


@dataclass(frozen=True)
class Signs:
    """What a sample shows of its kind: the number of documents, how many are code, by source too, how
    many have each language and come from each web site, and their mean length in characters."""

    documents: int
    code: int
    by_source: Mapping[str, tuple[int, int]]
    """(documents, those that are code) of each source."""
    languages: Counter[str]
    sites: Counter[str]
    characters: float


def find_kind(name: str) -> str:
    """`name`, if it is a kind. Raises RunError."""
    if name not in KINDS:
        near = nearest(name, KINDS)
        raise RunError(f"no kind '{name}'; choose {', '.join(KINDS)}" + (f"; did you mean '{near}'?" if near else ""))
    return name


def kind_of(signs: Signs, scores: Sequence[str]) -> tuple[str, str]:
    """(kind, why) by what a sample shows, and the fields that hold scores. Rules that suit more come first: those for code keep
    documentation, too, and those for many languages English."""
    total = signs.documents
    if not total:
        return "web", "no document could be read"
    if scores:
        return "scored", f"there is {', '.join(scores)}"
    if signs.code > MIXED * total:
        return "code", f"{signs.code:,} of {total:,} documents look like source code"
    other = sum(number for label, number in signs.languages.items() if label != "en")
    if other > MIXED * total:
        return "multilingual", f"{other:,} of {total:,} documents are not in English"
    if signs.characters > _LONG:
        return "books", f"documents have {signs.characters:,.0f} characters on average"
    addressed = signs.sites.total()
    if 2 * addressed < total:
        return "books", f"{total - addressed:,} of {total:,} documents have no web address"
    if addressed > _PER_SITE * len(signs.sites):
        return "books", f"the documents have addresses of only {len(signs.sites)} web site{'s' if len(signs.sites) > 1 else ''}"
    return "web", f"{addressed:,} of {total:,} documents have addresses, of {len(signs.sites):,} web sites"


def prose_beside_code(signs: Signs) -> list[str]:
    """The sources of prose, if there are sources of code, too, and none that has both; else none."""
    shares = {source: code / documents for source, (documents, code) in signs.by_source.items() if documents >= _FEW}
    prose = sorted(source for source, share in shares.items() if share <= _OTHERS)
    return prose if any(share >= 1 - _OTHERS for share in shares.values()) else []


def looks_like_code(text: str, name: str) -> bool:
    """Whether a document is source code, by the end of its address or path, else by its lines."""
    if _CODE_NAME.search(name):
        return True
    lines = [line for line in text[:10_000].splitlines() if line and not line.isspace()][:200]
    return len(lines) >= 5 and 3 * sum(bool(_CODE_LINE.search(line.rstrip())) for line in lines) > len(lines)


def is_score(name: str) -> bool:
    """Whether a field is a quality score by its name."""
    return bool(_SCORE.search(name)) and not _NO_SCORE.search(name)


def direction(name: str) -> str:
    """Which way a score is better."""
    return "down" if _LOWER_IS_BETTER.search(name) else "up"
