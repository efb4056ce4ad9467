"""Addresses of one page have one key, and those of two pages have two, as a slow reading of them says."""

from __future__ import annotations

import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tamis.transforms.dedup.urls.url_keys import TRACKING, url_keys
from tamis.transforms.dedup.urls.url_options import RepeatedUrls
from tamis.transforms.text.canonical_urls import canonical_url
from tamis.transforms.text.hashing import hash128
from tests.transforms.dedup.urls.url_pairs import OTHER, SAME, pairs
from tests.transforms.urls.url_strategies import addresses

STRICT = RepeatedUrls(ignore=())


def keys_of(urls: list[str | None], options: RepeatedUrls) -> list[tuple[int, ...] | None]:
    keys, found = url_keys(pa.array(urls, pa.string()), options)
    return [tuple(key) if has else None for key, has in zip(keys.tolist(), found.tolist(), strict=True)]


def reference(url: str, options: RepeatedUrls) -> str:
    """What the key is the hash of."""
    host, rest = canonical_url(url)
    if "www" in options.ignore and host.startswith("www.") and host.count(".") > 1:
        host = host[4:]
    path, _, query = rest.partition("?")
    names = [name.lower() for name in options.parameters]
    if "tracking" in options.ignore:
        names += [name.lower() for name in TRACKING]
        if (place := path.lower().find(";jsessionid=")) >= 0:
            path = path[:place]
    if "slash" in options.ignore:
        path = path.rstrip("/")

    def counts(parameter: str) -> bool:
        name = parameter.partition("=")[0].lower()
        return bool(parameter) and not any(name.startswith(n[:-1]) if n.endswith("*") else name == n for n in names)

    parameters = [parameter for parameter in query.split("&") if counts(parameter)]
    if "order" in options.ignore:
        parameters.sort()
    return host + path + ("?" + "&".join(parameters) if parameters else "")


def test_there_are_two_hundred_pairs() -> None:
    assert len(pairs(SAME)) + len(pairs(OTHER)) == 200


@pytest.mark.parametrize(("first", "second"), pairs(SAME))
def test_addresses_of_one_page(first: str, second: str) -> None:
    one, two = keys_of([first, second], RepeatedUrls())
    assert one is not None
    assert one == two


@pytest.mark.parametrize(("first", "second"), pairs(OTHER))
def test_addresses_of_two_pages(first: str, second: str) -> None:
    one, two = keys_of([first, second], RepeatedUrls())
    assert None not in (one, two)
    assert one != two


VARIANTS = st.lists(st.sampled_from(["www", "slash", "order", "tracking"]), unique=True).map(tuple)
QUERIES = st.lists(
    st.tuples(
        st.sampled_from(["a", "b", "utm_source", "GCLID", "id", "", "PhpSessId", "é"]),
        st.sampled_from(["", "=", "=1", "=2&", "&"]),
    ).map("".join),
    max_size=12,
).map("&".join)
PATHS = st.sampled_from(["", "/", "/a", "/a//", "/a;jsessionid=1", "/;JSessionID=/", "/a;jsessionid", "/é/../b/"])


@settings(max_examples=200)
@given(
    urls=st.lists(
        addresses
        | st.builds("{}{}?{}".format, st.sampled_from(["http://www.a.b", "http://WWW.b", "http://a.b"]), PATHS, QUERIES),
        min_size=1,
        max_size=8,
    ),
    ignore=VARIANTS,
    more=st.sampled_from([(), ("id",), ("A", "b*"), ("*",)]),
)
def test_keys_are_those_of_a_slow_reading(urls: list[str], ignore: tuple[str, ...], more: tuple[str, ...]) -> None:
    options = RepeatedUrls(ignore=ignore, parameters=more)
    expected = [tuple(key) for key in hash128(pa.array([reference(url, options) for url in urls])).tolist()]
    assert keys_of(urls, options) == [key if canonical_url(url)[0] else None for url, key in zip(urls, expected, strict=True)]


def test_without_what_is_ignored_only_the_canonical_form_counts() -> None:
    urls = ["http://www.a.b/c/?y=1&x=2", "http://a.b/c/?y=1&x=2", "http://www.a.b/c?y=1&x=2", "http://www.a.b/c/?x=2&y=1"]
    assert len(set(keys_of(urls, STRICT))) == 4
    assert len(set(keys_of(urls, RepeatedUrls()))) == 1


def test_named_parameters() -> None:
    urls = ["http://a.b/c?sort=up&id=1", "http://a.b/c?id=1&SORTED=x", "http://a.b/c?id=1"]
    assert len(set(keys_of(urls, RepeatedUrls()))) == 3
    assert len(set(keys_of(urls, RepeatedUrls(parameters=("sort*",))))) == 1


@pytest.mark.parametrize("url", [None, "", " ", "mailto:a@b.c", "file:///etc/hosts", "a" * 100_000, "/path", "http://"])
def test_what_is_no_address_has_no_key(url: str | None) -> None:
    assert keys_of([url], RepeatedUrls()) == [None]


def test_a_long_query_is_sorted_in_time() -> None:
    query = [f"p{number}={number}" for number in range(100_000)]
    one, two = keys_of([f"http://a.b/?{'&'.join(query)}", f"http://a.b/?{'&'.join(reversed(query))}"], RepeatedUrls())
    assert one == two
