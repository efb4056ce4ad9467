"""`url_lists` drops the addresses that datatrove's URL filter drops with the same lists, but for named differences."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from itertools import cycle, islice
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest

from tamis.transforms.read import inputs
from tamis.transforms.read.input_options import Input
from tamis.transforms.text.canonical_urls import canonical_url
from tamis.transforms.text.segment import unsegmented
from tamis.transforms.urls.list_options import UrlLists
from tamis.transforms.urls.url_lists import UrlListRater

pytestmark = pytest.mark.slow

Datatrove = Callable[..., list[dict[str, Any]]]

DIFFERENT = {
    "case": "datatrove looks for words as they are written, so that Porn is none",
    "parts": "datatrove reads the scheme, the user, the port and the fragment, too",
    "encoding": "datatrove takes `%6F` for two words and not for the letter",
    "number": "an IP address is no host to datatrove, so that no list of hosts holds it",
    "entries": "datatrove compares addresses with their scheme, and its list has none, so that the list takes nothing",
}
"""What is different in an address that only one of them drops. With the address in the form that Tamis compares, in small
letters unless a list has it otherwise, the decisions must be equal, but for numbers."""


@pytest.fixture(scope="module")
def addresses(shared: Path) -> list[str]:
    """The addresses of the web pages."""
    options = Input(paths=(str(shared / "web/*.zst"),))
    batches = (batch for split in inputs.plan(options)[0] for batch, _ in inputs.read(split, options))
    return list(dict.fromkeys(url for batch in batches for url in batch["url"].to_pylist() if url))


@pytest.fixture(scope="module")
def lists(datatrove: Datatrove, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder with datatrove's lists."""
    folder = tmp_path_factory.mktemp("lists")
    assert {row["file"] for row in datatrove("url_lists", model=str(folder))} == {"hosts", "urls", "hard", "strict", "soft"}
    return folder


def changed(addresses: list[str], lists: Path) -> Iterator[str]:
    """Each address with a listed host, or with listed words, in several ways."""
    entries = {name: _entries(lists / name) for name in ("hosts", "urls", "hard", "strict", "soft")}
    hosts, urls, hard, strict, soft = (cycle(islice(each, 0, None, 7)) for each in entries.values())
    for number, address in enumerate(addresses):
        scheme, _, rest = address.partition("://")
        host, slash, path = rest.partition("/")
        word, parts, one, two = next(hard), next(strict), next(soft), next(soft)
        ways = (
            f"{scheme}://{next(hosts)}/{path}",
            f"{scheme}://www.{next(hosts)}:8080/{path}",
            f"{scheme}://user@a.b.{next(hosts).upper()}/{path}",
            f"{scheme}://{next(urls)}",
            next(urls),
            f"{address}/{word}",
            f"{address}/{word.capitalize()}.html",
            f"{address}/x{word}x",
            f"{scheme}://{'-'.join(parts.split())}.{host}{slash}{path}",
            f"{address}?q={'+'.join(parts.split())}",
            f"{address}/{one}/",
            f"{address}/{one}-{two}",
            f"{address}#{one}-{two}",
            f"{address}/%{ord(word[0]):02X}{word[1:]}",
        )
        yield ways[number % len(ways)]
        yield ways[(number * 5 + 3) % len(ways)]


def _entries(path: Path) -> list[str]:
    return [line for line in path.read_text().splitlines() if line and not line.startswith("#")]


def kept(addresses: list[str], lists: Path) -> list[bool]:
    """Whether the lists of RefinedWeb's recipe keep each address."""
    options = UrlLists.model_validate(
        {
            "deny": {name: {"path": str(lists / name), "match": "domain"} for name in ("hosts", "urls")},
            "words": {name: str(lists / name) for name in ("strict", "hard", "soft")},
        }
    )
    texts = unsegmented(pa.array([""] * len(addresses), pa.large_string()))
    rated = UrlListRater(options).rate(texts.with_columns({"url": pa.array(addresses)}))
    pairs = zip(rated["url_lists.matches"].to_pylist(), rated["url_lists.word_score"].to_pylist(), strict=True)
    return [matches == 0 and score < 1 for matches, score in pairs]


def difference(address: str) -> str | None:
    """What of an address Tamis and datatrove see differently; None if nothing."""
    host, path = canonical_url(address)
    plain = host + path
    if re.fullmatch("[0-9.]+", host):
        return "number"
    if "%" in address:
        return "encoding"
    if plain != plain.lower():
        return "case"
    return "parts" if re.sub("^https?://", "", address).rstrip("/") != plain.rstrip("/") else None


def test_the_same_addresses_are_kept(
    datatrove: Datatrove, addresses: list[str], lists: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    both = [*addresses, *(address for address in changed(addresses, lists) if canonical_url(address)[0])]
    ours = kept(both, lists)
    theirs = datatrove("urls", both, model=str(lists))
    listed = {"".join(canonical_url(entry)) for entry in _entries(lists / "urls")}
    plain = ["".join(canonical_url(address)) for address in both]
    alike = datatrove("urls", [each if each in listed else each.lower() for each in plain], model=str(lists))
    same = [mine == row["keep"] for mine, row in zip(ours, theirs, strict=True)]
    real, mutated = same[: len(addresses)], same[len(addresses) :]
    with capsys.disabled():
        print(f"\n{len(real):,} addresses, {sum(real) / len(real):.2%} decided as by datatrove", end="")
        print(f"; of {len(mutated):,} changed ones {sum(mutated) / len(mutated):.2%}", end="")
    named = ["entries" if each in listed else difference(address) for each, address in zip(plain, both, strict=True)]
    rows = list(zip(both, ours, theirs, alike, named, strict=True))
    assert sum(real) / len(real) >= 0.99
    assert 0.2 < sum(ours) / len(both) < 0.9
    assert [row for row in rows if row[1] != row[3]["keep"] and row[4] != "number"][:5] == []
    assert [row for row in rows if row[1] != row[2]["keep"] and row[4] is None][:5] == []
    assert {row[4] for row in rows if row[1] != row[2]["keep"]} == {*DIFFERENT}
