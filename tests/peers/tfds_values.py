"""Prints what TensorFlow Datasets makes of pages for C4; runs in the Python of the peers.

    python tfds_values.py [WORD ...] < texts.jsonl > values.jsonl

A row has the text that `clean_page` leaves (null if it drops the page for one of its lines), its sentences by NLTK's Punkt,
the rule that drops the page, if any, and whether the page passes the filter of bad words with a list of these WORDs.

No TensorFlow is needed: its `as_text` returns a str as it is. Punkt's data are those in the package llama-index-core.
"""

from __future__ import annotations

import importlib.util
import json
import sys
import unicodedata
from importlib import metadata
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import nltk
from nltk.tokenize.punkt import PunktTokenizer
from tensorflow_datasets.text import c4_utils

PAGE_RULES = ("filtered:loremipsum", "filtered:squigglybracket")


class CountingPunkt(PunktTokenizer):  # type: ignore[misc]
    """NLTK's English sentences, counted."""

    sentences = 0

    def tokenize(self, text: str, realign_boundaries: bool = True) -> list[str]:
        found: list[str] = super().tokenize(text, realign_boundaries)
        self.sentences += len(found)
        return found


def punkt() -> CountingPunkt:
    package = importlib.util.find_spec("llama_index")
    assert package is not None
    assert package.submodule_search_locations is not None
    nltk.data.path[:] = [str(Path(place) / "core/_static/nltk_cache") for place in package.submodule_search_locations]
    return CountingPunkt("english")


def values(text: str, tokenizer: CountingPunkt, words: list[str]) -> dict[str, Any]:
    reasons: list[str] = []
    tokenizer.sentences = 0
    page = c4_utils.PageFeatures(text=text, language="en")
    clean = c4_utils.get_clean_page_fn()
    pages = list(clean(page, counter_inc_fn=lambda name: reasons.append(name), min_num_sentences=0))
    sentences = tokenizer.sentences
    dropped = [reason for reason in reasons if reason in PAGE_RULES]
    return {
        "text": pages[0].text if pages else None,
        "sentences": sentences,
        "dropped": dropped[0].removeprefix("filtered:") if dropped else None,
        "decent": not pages or bool(c4_utils.get_badwords_filter_fn({"en": words})(pages[0])),
    }


def main(words: list[str]) -> None:
    c4_utils.tf = SimpleNamespace(compat=SimpleNamespace(as_text=str))
    c4_utils.get_counter_inc_fn = lambda namespace: lambda name: None  # the default counts in Beam
    c4_utils._SENTENCE_TOKENIZER = tokenizer = punkt()
    print(json.dumps({"tensorflow-datasets": metadata.version("tensorflow-datasets"), "unicode": unicodedata.unidata_version}))
    for line in sys.stdin:
        print(json.dumps(values(json.loads(line), tokenizer, words)))


if __name__ == "__main__":
    main(sys.argv[1:])
