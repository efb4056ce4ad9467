"""The rater of lists says of each address what a search of the lists says, and what the steps decide follows."""

from __future__ import annotations

import pickle
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from publicsuffixlist import PublicSuffixList

from tamis.testing import check_rater
from tamis.transforms.beam.step import Documents
from tamis.transforms.text.canonical_urls import canonical_url
from tamis.transforms.text.segment import unsegmented
from tamis.transforms.urls.judge_urls import JudgeUrls
from tamis.transforms.urls.list_options import UrlLists
from tamis.transforms.urls.url_lists import UrlListRater
from tests.transforms.urls.url_strategies import addresses, hosts

SUFFIXES = PublicSuffixList(only_icann=True)


def rate(rater: UrlListRater, urls: Sequence[str | None]) -> pa.RecordBatch:
    texts = unsegmented(pa.array(["text"] * len(urls), pa.large_string()))
    return rater.rate(texts.with_columns({"url": pa.array(urls, pa.string())}))


def decisions(options: UrlLists, urls: Sequence[str | None]) -> list[tuple[str, str | None, str | None]]:
    """(decision, reason, detail) of each address."""
    rated = rate(UrlListRater(options), urls)
    nulls = pa.nulls(len(urls), pa.string())
    documents = Documents(
        {name: rated[name] for name in rated.schema.names}, pa.array(["keep"] * len(urls)), nulls, nulls, True
    )
    JudgeUrls(options).decide(documents, None)
    columns = [list(column.to_pylist()) for column in (documents.decision, documents.reason, documents.detail)]
    return list(zip(*columns, strict=True))


def lists(folder: Path, **files: str) -> dict[str, str]:
    for name, text in files.items():
        (folder / name).write_text(text)
    return {name: str(folder / name) for name in files}


def holds(entry: str, match: str, host: str, path: str) -> bool:
    name, begin = canonical_url(entry)
    if "/" in entry:
        return host == name and (
            path == begin or (match == "below" and (begin == "/" or path[len(begin) :][:1] in "/?") and path.startswith(begin))
        )
    same = host == name
    if match == "below":
        return same or (host.endswith(f".{name}") and not host[-1].isdigit())
    return same or (match == "domain" and not host[-1].isdigit() and SUFFIXES.privatesuffix(host) == name)


entries = st.one_of(
    hosts.filter(lambda host: "." in host and not host.endswith((".1", ".uk.co.uk"))),
    st.sampled_from(["example.com/a", "example.com/a/b", "a.b/ab", "example.co.uk/a"]),
)


@settings(max_examples=60)
@given(
    st.lists(entries, min_size=1, max_size=8), st.sampled_from(["below", "domain", "exact"]), st.lists(addresses, max_size=8)
)
def test_lists_hold_what_a_search_finds(
    tmp_path_factory: pytest.TempPathFactory, written: list[str], match: str, urls: list[str]
) -> None:
    file = tmp_path_factory.mktemp("lists") / "list"
    file.write_text("\n".join(["safe.example.net", *written]))
    known = [entry for entry in written if "/" in entry or SUFFIXES.privatesuffix(canonical_url(entry)[0])]
    rater = UrlListRater(UrlLists.model_validate({"deny": {"one": {"path": str(file), "match": match}}}))
    rated = rate(rater, urls)
    for url, count, found in zip(
        urls, rated["url_lists.matches"].to_pylist(), rated["url_lists.entries"].to_pylist(), strict=True
    ):
        host, path = canonical_url(url)
        expected = {"".join(canonical_url(entry)).rstrip("/") for entry in known if host and holds(entry, match, host, path)}
        if not host:
            assert count is None
        else:
            assert count == bool(expected)
            assert set(found) <= expected
            assert bool(found) == bool(expected)


def score(url: str, strict: set[str], hard: set[str], soft: set[str]) -> float:
    """RefinedWeb's words, as datatrove looks for them."""
    text = "".join(canonical_url(url)).lower()
    words, squeezed = set(re.split("[^a-z0-9]+", text)), re.sub("[^a-z0-9]+", "", text)
    return sum(word in squeezed for word in strict) + len(words & hard) + 0.5 * len(words & soft)


pieces = st.lists(st.sampled_from(["a", "b", "ab", "ba", "aab", "-", ".", "/", "%41", "é", "?"]), max_size=14).map("".join)
some_words = st.sets(st.text("ab", min_size=1, max_size=4), min_size=1, max_size=6)


@settings(max_examples=150)
@given(some_words, some_words, some_words, st.lists(pieces, max_size=6))
def test_the_score_of_words_is_that_of_a_plain_reading(
    tmp_path_factory: pytest.TempPathFactory, strict: set[str], hard: set[str], soft: set[str], texts: list[str]
) -> None:
    folder = tmp_path_factory.mktemp("words")
    paths = lists(folder, strict="\n".join(strict), hard="\n".join(hard), soft="\n".join(soft))
    urls = [f"http://x.{text}" for text in texts]
    rated = rate(UrlListRater(UrlLists.model_validate({"words": paths})), urls)
    expected = [score(url, strict, hard, soft) if canonical_url(url)[0] else None for url in urls]
    assert rated["url_lists.word_score"].to_pylist() == expected


def test_decisions_name_list_category_and_entry(tmp_path: Path) -> None:
    (tmp_path / "ut1" / "adult").mkdir(parents=True)
    (tmp_path / "ut1" / "games").mkdir()
    (tmp_path / "ut1" / "adult" / "domains").write_text("bad.com\n")
    (tmp_path / "ut1" / "games" / "urls").write_text("fun.org/play\n")
    paths = lists(
        tmp_path, mine="fun.org\nonly.me\n", allow="good.bad.com\nbad.com/about\n", strict="xyzzy", soft="cam\nlive\n"
    )
    options = UrlLists.model_validate(
        {
            "deny": {"mine": {"path": paths["mine"], "action": "review"}, "ut1": {"path": str(tmp_path / "ut1")}},
            "allow": [paths["allow"]],
            "words": {"strict": paths["strict"], "soft": paths["soft"]},
        }
    )
    urls = [
        "http://www.bad.com/x",
        "http://good.bad.com/xyzzy",
        "http://bad.com/about/us",
        "http://fun.org/play/1",
        "http://fun.org/other",
        "http://a.org/xy-zz-y",
        "http://live-cam.org/",
        "http://cam.org/camera",
        None,
        "nonsense",
    ]
    drop, review, keep = ("drop", "url_lists"), ("review", "url_lists"), ("keep", None, None)
    assert decisions(options, urls) == [
        (*drop, "ut1/adult: bad.com"),
        keep,
        keep,
        (*drop, "ut1/games: fun.org/play"),
        (*review, "mine: fun.org"),
        (*drop, "words 1 (strict:xyzzy)"),
        (*drop, "words 1 (soft:cam, soft:live)"),
        keep,
        keep,
        keep,
    ]
    rated = rate(UrlListRater(options), urls)
    assert rated["url_lists.allowed"].to_pylist() == [False, True, True, *[False] * 5, None, None]
    assert rated["url_lists.matches"].to_pylist() == [1, 0, 0, 2, 1, 0, 0, 0, None, None]


def test_a_report_ends_nothing(tmp_path: Path) -> None:
    paths = lists(tmp_path, mine="a.com", hard="a")
    options = UrlLists.model_validate(
        {"deny": {"mine": {"path": paths["mine"], "action": "report"}}, "words": {"hard": paths["hard"], "action": "report"}}
    )
    assert decisions(options, ["http://a.com"]) == [("keep", None, None)]
    assert rate(UrlListRater(options), ["http://a.com"])["url_lists.entries"].to_pylist() == [["a.com"]]


def test_only_the_named_categories_count(tmp_path: Path) -> None:
    for category in ("adult", "games"):
        (tmp_path / category).mkdir()
        (tmp_path / category / "domains").write_text(f"{category}.com\n")
    chosen: dict[str, Any] = {"path": str(tmp_path), "categories": ["games"]}
    options = UrlLists.model_validate({"deny": {"ut1": chosen}})
    assert [each[0] for each in decisions(options, ["http://adult.com", "http://games.com"])] == ["keep", "drop"]
    wrong = UrlLists.model_validate({"deny": {"ut1": {**chosen, "categories": ["adlut"]}}})
    with pytest.raises(ValueError, match=r"url_lists.deny.ut1: .* has no category 'adlut': did you mean 'adult'\?"):
        _ = UrlListRater(wrong).fingerprint


def test_the_fingerprint_covers_what_can_change_a_value(tmp_path: Path) -> None:
    def of(**changes: Any) -> str:
        section = {"deny": {"mine": {"path": str(tmp_path / "mine"), **changes}}}
        return UrlListRater(UrlLists.model_validate(section)).fingerprint

    (tmp_path / "mine").write_text("a.com\n")
    first = of()
    assert of(action="review") == first
    assert of(match="exact") != first
    (tmp_path / "mine").write_text("b.com\n")
    assert of() != first


def test_workers_map_what_the_driver_read(tmp_path: Path) -> None:
    paths = lists(tmp_path, mine="a.com\n", soft="a\nb\n")
    section = {"deny": {"mine": {"path": paths["mine"]}}, "words": {"soft": paths["soft"]}}
    driver = UrlListRater(UrlLists.model_validate(section))
    driver.save_index(str(tmp_path / "index.arrow"))
    sent = pickle.dumps(driver)
    for path in paths.values():
        Path(path).unlink()
    worker = pickle.loads(sent).with_index(str(tmp_path / "index.arrow"))
    worker.setup()
    assert rate(worker, ["http://a.com/b"]).to_pylist() == rate(driver, ["http://a.com/b"]).to_pylist()
    assert worker.fingerprint == driver.fingerprint
    late = pickle.loads(sent)
    with pytest.raises(FileNotFoundError):
        late.setup()


def test_it_keeps_the_contract(tmp_path: Path) -> None:
    paths = lists(tmp_path, mine="a.com\n", soft="a\nb\n")
    deny = {"mine": {"path": paths["mine"]}}
    check_rater(
        UrlListRater(UrlLists.model_validate({"deny": deny, "allow": [paths["mine"]], "words": {"soft": paths["soft"]}}))
    )


def test_empty_and_odd_batches(tmp_path: Path) -> None:
    rater = UrlListRater(UrlLists.model_validate({"deny": {"mine": {"path": lists(tmp_path, mine="a.com\n")["mine"]}}}))
    assert rate(rater, []).num_rows == 0
    assert rate(rater, [None, "", " ", "http://" + "x" * 1_000_000, "http://a.com/" + "é" * 100_000])[0].to_pylist() == [
        None,
        None,
        None,
        0,
        1,
    ]
