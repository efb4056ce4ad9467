"""Rules are found as by a search of all of them, and registrable domains are those of publicsuffixlist."""

from __future__ import annotations

from pathlib import Path

import pyarrow as pa
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from publicsuffixlist import PSLFILE, PublicSuffixList

from tamis.transforms.text.canonical_urls import canonical_url, canonical_urls
from tamis.transforms.urls.host_rules import BELOW, DOMAIN, EXACT, PREFIX, HostRules, registrable_domains
from tests.transforms.urls.url_strategies import hosts

SUFFIXES = PublicSuffixList(only_icann=True)

paths = st.text("ab/?", max_size=6).map(lambda path: f"/{path}").map(lambda path: canonical_url(f"http://x{path}")[1])
rules = st.tuples(
    hosts, st.one_of(st.just(""), paths), st.integers(0, 2), st.sampled_from([0, BELOW, DOMAIN, EXACT, PREFIX, BELOW | PREFIX])
)
Rule = tuple[str, str, int, int]


def domain_of(host: str) -> str | None:
    return SUFFIXES.privatesuffix(host) if not host[-1].isdigit() else None


def holds(rule: Rule, host: str, path: str) -> bool:
    name, begin, _, flags = rule
    same = host == name or (flags & DOMAIN and domain_of(host) == name)
    if not (same or (flags & BELOW and host.endswith(f".{name}") and not host[-1].isdigit())):
        return False
    if flags & EXACT:
        return path == begin or (begin == "" and path == "/")
    if flags & PREFIX:
        return path.startswith(begin)
    return path == begin or begin == "" or (path.startswith(begin) and (begin.endswith("/") or path[len(begin)] in "/?"))


def table(rules: list[Rule]) -> HostRules:
    columns = zip(*rules, strict=True) if rules else [[], [], [], []]
    return HostRules.build(pa.table(dict(zip(("host", "path", "label", "flags"), map(list, columns), strict=True))))


def canonical(rule: Rule) -> Rule:
    return canonical_url(f"http://{rule[0]}")[0], *rule[1:]


@settings(max_examples=150)
@given(st.lists(rules, max_size=12), st.lists(st.tuples(hosts, paths), max_size=6))
@example([("a", "/a/b", 0, 0), ("a", "/a", 1, 0), ("a", "/ab", 2, 0)], [("a", "/a/b/a")])
def test_the_rules_that_hold_are_those_of_a_search(rules: list[Rule], addresses: list[tuple[str, str]]) -> None:
    rules = [rule for rule in map(canonical, rules) if rule[0]]
    urls = canonical_urls(pa.array([f"http://{host}{path}" for host, path in addresses], pa.string()))
    index = table(rules)
    address, rule = index.matches(urls)
    found = [
        (number, text, label, flags)
        for number, text, label, flags in zip(
            address.tolist(),
            index.entries(rule).to_pylist(),
            index.label[rule].tolist(),
            index.flags[rule].tolist(),
            strict=True,
        )
    ]
    expected = {
        (number, f"{rule[0]}{rule[1]}", *rule[2:])
        for number, (host, path) in enumerate(zip(*urls.texts(), strict=True))
        for rule in rules
        if host and holds(rule, host, path)
    }
    assert len(found) == len(set(found))
    assert set(found) == expected
    assert address.tolist() == sorted(address.tolist())


@settings(max_examples=150)
@given(st.lists(hosts, max_size=8))
@example(
    ["city.kawasaki.jp", "a.city.kawasaki.jp", "x.a.kawasaki.jp", "a.kawasaki.jp", "kawasaki.jp", "www.ck", "a.b.ck", "com"]
)
def test_registrable_domains_are_those_of_the_list(names: list[str]) -> None:
    urls = canonical_urls(pa.array([f"http://{name}" for name in names], pa.string()))
    assert registrable_domains(urls).to_pylist() == [domain_of(host) if host else None for host in urls.texts()[0]]


def test_all_rules_of_the_suffix_list_are_known() -> None:
    with open(PSLFILE, encoding="utf-8") as file:
        lines = [line.split()[0] for line in file if line.strip() and not line.startswith("//")]
    names = [f"x.{line.removeprefix('!').removeprefix('*.')}" for line in lines]
    names += [f"y.{name}" for name in names]
    urls = canonical_urls(pa.array([f"http://{name}" for name in names]))
    assert registrable_domains(urls).to_pylist() == [domain_of(host) for host in urls.texts()[0]]
    assert len(names) > 10_000


def test_a_saved_table_is_the_same(tmp_path: Path) -> None:
    rules: list[Rule] = [("a.com", "", 0, BELOW), ("a.com", "/x", 1, 0), ("b.org", "/y", 2, EXACT)]
    index, file = table(rules), str(tmp_path / "rules.arrow")
    index.save(file)
    urls = canonical_urls(pa.array(["http://www.a.com/x", "b.org/y", "c.org"]))
    loaded = HostRules.load(file)
    assert [each.tolist() for each in loaded.matches(urls)] == [each.tolist() for each in index.matches(urls)]
    assert loaded.entries(loaded.matches(urls).rule).to_pylist() == ["a.com", "b.org/y"]
    (tmp_path / "other.arrow").write_bytes(b"no table")
    with pytest.raises(ValueError, match="not a file of arrays"):
        HostRules.load(str(tmp_path / "other.arrow"))
