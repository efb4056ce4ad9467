"""Addresses for hypothesis: plain ones, and such as nobody would write by hand."""

from __future__ import annotations

from hypothesis import strategies as st

LABELS = [
    "a",
    "b",
    "www",
    "example",
    "co",
    "uk",
    "com",
    "org",
    "kawasaki",
    "jp",
    "city",
    "blogspot",
    "ck",
    "münchen",
    "xn--p1ai",
    "1",
]

hosts = st.lists(st.sampled_from(LABELS), min_size=1, max_size=5).map(".".join)
"""Hosts that often lie in each other, and below rules of the public suffix list."""

segments = st.lists(
    st.sampled_from(["a", "b", "ab", "", ".", "..", "%2e", "%7E", "é", "x y", "%", "%zz", "%c3", "'", "|"]), max_size=4
)
paths = segments.map(lambda parts: "".join(f"/{part}" for part in parts))

addresses = st.builds(
    lambda scheme, user, host, dot, port, path, query, fragment: f"{scheme}{user}{host}{dot}{port}{path}{query}{fragment}",
    st.sampled_from(["http://", "https://", "HTTP://", "ftp://"]),
    st.sampled_from(["", "", "user@", "u:p@", "a@b@"]),
    hosts,
    st.sampled_from(["", "", "."]),
    st.sampled_from(["", "", ":80", ":8080", ":", ":0"]),
    paths,
    st.sampled_from(["", "", "?", "?a=b", "?q=%41&é"]),
    st.sampled_from(["", "", "#f"]),
)

strange = st.one_of(addresses, st.text("htps:/\\.@?#%[]a1é \t\n-_*", max_size=30), st.text(max_size=20))
