"""Every line of a list is an entry, a comment, blank, repeated, or named as unread; forms mean what they say."""

from __future__ import annotations

import gzip
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tamis.transforms.text.canonical_urls import canonical_url
from tamis.transforms.urls.list_files import list_files, read_list
from tests.transforms.urls.url_strategies import addresses, hosts


def read(tmp_path: Path, text: str | bytes, name: str = "list.txt") -> tuple[list[tuple[str, str, bool, bool]], dict[str, int]]:
    """(host, path, is an address, is below) of each entry, and how many lines were not read, by reason."""
    (tmp_path / name).write_bytes(text.encode() if isinstance(text, str) else text)
    entries, lines = read_list([str(tmp_path / name)])
    columns = entries.host.to_pylist(), entries.path.to_pylist(), entries.is_address.tolist(), entries.below.tolist()
    return list(zip(*columns, strict=True)), {reason: count for reason, (count, _) in lines.unread.items()}


HOST, BELOW, ADDRESS = (False, False), (False, True), (True, False)


@pytest.mark.parametrize(
    ("line", "host", "path", "kind"),
    [
        ("example.com", "example.com", "", HOST),
        ("  WWW.Example.COM.\r", "www.example.com", "", HOST),
        ("example.com:8080", "example.com", "", HOST),
        ("example.com/", "example.com", "", HOST),
        ("example.com  # why", "example.com", "", HOST),
        ("münchen.de", "xn--mnchen-3ya.de", "", HOST),
        ("XN--MNCHEN-3YA.de", "xn--mnchen-3ya.de", "", HOST),
        ("192.168.0.1", "192.168.0.1", "", HOST),
        ("2001:db8::1", "[2001:db8::1]", "", HOST),
        ("0.0.0.0 example.com", "example.com", "", HOST),
        ("127.0.0.1\texample.com # ad", "example.com", "", HOST),
        ("*.example.com", "example.com", "", BELOW),
        (".example.com", "example.com", "", BELOW),
        ("||example.com^", "example.com", "", BELOW),
        ("*.zip", "zip", "", BELOW),
        ("*.co.uk", "co.uk", "", BELOW),
        ("http://example.com", "example.com", "/", ADDRESS),
        ("http://user:pw@example.com:80/a/../b?c", "example.com", "/b?c", ADDRESS),
        ("example.com/a/b", "example.com", "/a/b", ADDRESS),
        ("example.com/a/*", "example.com", "/a/", (True, True)),
    ],
)
def test_forms_of_lines(tmp_path: Path, line: str, host: str, path: str, kind: tuple[bool, bool]) -> None:
    assert read(tmp_path, f"{line}\n") == ([(host, path, *kind)], {})


@pytest.mark.parametrize(
    ("line", "reason"),
    [
        ("co.uk", "a public suffix"),
        ("com.", "a name without a dot"),
        ("localhost", "no host"),
        ("127.0.0.1 localhost", "a name of the machine itself"),
        ("a.com b.com", "more than one field"),
        ("10.0.0.0/8", "a range of addresses"),
        ("a*b.com", "a wildcard inside"),
        ("@@||example.com^", "a rule of an ad blocker"),
        ("||example.com^$third-party", "a rule of an ad blocker"),
        ("/banner[0-9]+/", "a rule of an ad blocker"),
        ("someone@example.com", "no host"),
        ("javascript:void(0)", "no host"),
        (b"caf\xe9.com", "not UTF-8"),
    ],
)
def test_lines_that_name_no_host_are_named(tmp_path: Path, line: str | bytes, reason: str) -> None:
    text = line.encode() if isinstance(line, str) else line
    entries, unread = read(tmp_path, b"good.com\n" + text + b"\n")
    assert [entry[0] for entry in entries] == ["good.com"]
    assert [(name.startswith(reason), count) for name, count in unread.items()] == [(True, 1)]
    _, lines = read_list([str(tmp_path / "list.txt")])
    ((_, (place,)),) = lines.unread.values()
    assert place.startswith(f"{tmp_path}/list.txt:2 '")


lines = st.one_of(
    hosts,
    addresses,
    st.sampled_from(["", " ", "# c", "; c", "! c", "co.uk", "a b c", "*.a.com", "a.com/x/*"]),
    st.text(st.characters(exclude_characters="\n", codec="utf-8"), max_size=12),
)


@settings(max_examples=150)
@given(texts=st.lists(lines, max_size=12), ending=st.sampled_from(["\n", "\r\n"]), last=st.booleans())
def test_no_line_is_lost(tmp_path_factory: pytest.TempPathFactory, texts: list[str], ending: str, last: bool) -> None:
    file = tmp_path_factory.mktemp("list") / "list"
    texts = [text for text in texts if not text.split()[:1] or text.split()[0] not in ("0.0.0.0", "127.0.0.1")]
    file.write_bytes(("safe.example.com\n" + ending.join(texts) + (ending if last and texts else "")).encode())
    entries, lines = read_list([str(file)])
    count = len(texts) + 1 - (not last and bool(texts) and texts[-1] == "")
    assert lines.entries + lines.comments + lines.blank + lines.repeated + lines.refused == count
    assert len(entries.host) == lines.entries
    for host, path in zip(entries.host.to_pylist(), entries.path.to_pylist(), strict=True):
        assert canonical_url(f"http://{host}{path}") == (host, path or "/")


def test_folders_of_categories(tmp_path: Path) -> None:
    for name, text in {
        "adult/domains": b"a.com\n",
        "adult/urls": b"b.com/x\n",
        "adult/usage": b"black",
        "adult/expressions": b"(a|b)",
        "top.txt": b"d.com",
    }.items():
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_bytes(text)
    (tmp_path / "games").mkdir()
    (tmp_path / "games" / "domains.gz").write_bytes(gzip.compress(b"c.com\n"))
    categories, passed_over = list_files(str(tmp_path))
    read = {category: read_list(uris)[0].host.to_pylist() for category, uris in categories.items()}
    assert read == {"": ["d.com"], "adult": ["a.com", "b.com"], "games": ["c.com"]}
    assert passed_over == ["adult/expressions"]
    assert list(list_files(str(tmp_path / "adult" / "domains"))[0]) == [""]


def test_what_is_no_list(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match="nowhere"):
        list_files(str(tmp_path / "nowhere.txt"))
    (tmp_path / "empty").mkdir()
    (tmp_path / "empty" / "readme").write_text("nothing")
    with pytest.raises(FileNotFoundError, match="no list in this folder"):
        list_files(str(tmp_path / "empty"))
    (tmp_path / "prose.txt").write_text("This is no list.\nIt has two lines.\n")
    with pytest.raises(ValueError, match=r"no line names a host \(more than one field: .*prose.txt:1 'This is no list.'"):
        read_list([str(tmp_path / "prose.txt")])
    (tmp_path / "cut.gz").write_bytes(gzip.compress(b"a.com\n" * 1000)[:-20])
    with pytest.raises(ValueError, match=r"cut.gz: unreadable list"):
        read_list([str(tmp_path / "cut.gz")])
