"""Addresses mean here what they mean to the WHATWG parser, in the form of RFC 3986, 6.2.2."""

from __future__ import annotations

import re
import string

import pyarrow as pa
import pytest
from ada_url import URL
from hypothesis import example, given, settings

from tamis.transforms.text.canonical_urls import canonical_url, canonical_urls
from tests.transforms.urls.url_strategies import addresses, strange

UNRESERVED = string.ascii_letters + string.digits + "-._~"


def normalised(text: str) -> str:
    """Percent-encoding as in RFC 3986, 6.2.2: letters of it large, and none of what needs none."""

    def one(match: re.Match[str]) -> str:
        text = match.group()
        if len(text) < 3:
            return "".join(f"%{byte:02X}" for byte in text.encode())
        character = chr(int(text[1:], 16))
        return character if character in UNRESERVED else text.upper()

    return re.sub("%[0-9a-fA-F]{2}|[^!#$&'()*+,/:;=?@\\[\\]A-Za-z0-9._~-]", one, text)


def without_dots(path: str) -> str:
    kept: list[str] = []
    parts = path.split("/")[1:]
    for number, part in enumerate(parts):
        if part == "..":
            kept = kept[:-1]
        elif part != ".":
            kept.append(part)
        if part in (".", "..") and number == len(parts) - 1:
            kept.append("")
    return "/" + "/".join(kept)


def reference(url: str) -> tuple[str, str]:
    try:
        parsed = URL(url)
    except ValueError:
        return "", ""
    if parsed.protocol not in ("http:", "https:", "ftp:"):
        return "", ""
    host = parsed.hostname.rstrip(".")
    path = without_dots(normalised(parsed.pathname)) + normalised(parsed.search)
    return (host, path) if host else ("", "")


@settings(max_examples=250)
@given(addresses)
@example("http://a/%2e%2e/./b/..//c/%2E")
@example("http://xn--a/")
@example("http://0x7f.1/")
@example("http://a.b.1/")
def test_addresses_with_a_scheme_are_those_of_the_parser(url: str) -> None:
    assert canonical_url(url) == reference(url)


@settings(max_examples=250)
@given(strange)
@example("http:/\\a\n.b")
@example("http:///x")
@example("http://a:99999/")
@example("//a.b/c")
def test_what_has_a_scheme_of_the_web_is_as_the_parser_reads_it(text: str) -> None:
    has_scheme = re.match(r"[\x00-\x20]*(?:https?|ftp)://", text, re.IGNORECASE)
    assert canonical_url(text) == reference(text) or not has_scheme


@settings(max_examples=150)
@given(strange)
@example("..")
@example("http://a../b")
def test_the_form_of_a_form_is_itself(text: str) -> None:
    host, path = canonical_url(text)
    assert (host == "") == (path == "")
    assert host == "" or canonical_url(f"http://{host}{path}") == (host, path)


@pytest.mark.parametrize(
    ("url", "host", "path"),
    [
        ("http://User:pw@WWW.Example.com.:8080/a/./b/../c%7e%c3?x=%41#f", "www.example.com", "/a/c~%C3?x=A"),
        ("example.com", "example.com", "/"),
        ("Example.com:80/x", "example.com", "/x"),
        ("//example.com?", "example.com", "/"),
        ("http://münchen.de/ü", "xn--mnchen-3ya.de", "/%C3%BC"),
        ("http://[::1]:80/x", "[::1]", "/x"),
        ("http://0x7f.1", "127.0.0.1", "/"),
        (" http://a.de/\n", "a.de", "/"),
        ("someone@example.com", "", ""),
        ("mailto:someone@example.com", "", ""),
        ("s3://bucket/key", "", ""),
        ("urn:isbn:1", "", ""),
        ("no address", "", ""),
        ("localhost", "", ""),
        ("", "", ""),
    ],
)
def test_by_hand(url: str, host: str, path: str) -> None:
    assert canonical_url(url) == (host, path)


def test_addresses_do_not_depend_on_their_neighbours() -> None:
    urls = ["http://a.de/x", None, "http://münchen.de/ü", "", "http://0x7f.1", "b.org/" + "é" * 1000, "http://c"]
    hosts, paths = canonical_urls(pa.array(urls)).texts()
    assert list(zip(hosts, paths, strict=True)) == [canonical_url(url or "") for url in urls]
    assert canonical_urls(pa.array(urls[3:], pa.large_string())).texts()[0] == hosts[3:]
    assert canonical_urls(pa.array(urls).slice(2, 3)).texts()[0] == hosts[2:5]
    assert canonical_urls(pa.array([], pa.string())).texts() == ([], [])
