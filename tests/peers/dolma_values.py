"""Prints what Dolma's taggers say of texts; runs in the Python that `tests/bench/install.py` makes for dolma.

    python dolma_values.py < texts.jsonl > values.jsonl

Of each text: the values of gopher_v1; the text without the lines that c4_v2 would have removed for their end; and how much of
each kind pii_regex_with_counts_fast_v2 finds.
"""

from __future__ import annotations

import json
import sys
import unicodedata
from collections import Counter
from importlib import metadata
from typing import Any

from dolma.core.data_types import Document, Span
from dolma.core.registry import TaggerRegistry

GOPHER, C4, PII = (TaggerRegistry.get(name)() for name in ("gopher_v1", "c4_v2", "pii_regex_with_counts_fast_v2"))


def spans(tagger: Any, text: str) -> list[Span]:
    found: list[Span] = tagger.predict(Document(source="", id="", version="", text=text)).spans
    return found


def without_lines(text: str) -> str:
    """The text without the spans that Dolma's mixer replaces by nothing."""
    kept, at = [], 0
    for span in spans(C4, text):
        if span.type == "lines_with_no_ending_punctuation":
            kept.append(text[at : span.start])
            at = span.end
    return "".join([*kept, text[at:]])


def values(text: str) -> dict[str, Any]:
    found = spans(PII, text)
    return {
        "gopher": {span.type: span.score for span in spans(GOPHER, text)},
        "lines": without_lines(text),
        "pii": Counter(span.type for span in found if not span.type.startswith("doc")),
    }


print(json.dumps({"dolma": metadata.version("dolma"), "unicode": unicodedata.unidata_version}))
for line in sys.stdin:
    print(json.dumps(values(json.loads(line))))
