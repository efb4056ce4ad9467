"""Looks addresses of documents up in lists of hosts and addresses, and scores their words."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from copy import copy
from functools import cached_property
from typing import TYPE_CHECKING, Any, ClassVar, Self

from tamis.transforms import storage
from tamis.transforms.core.options import fingerprint
from tamis.transforms.core.rater import Rater, Signal, signal_batch
from tamis.transforms.urls.list_options import ALLOW, UrlLists

if TYPE_CHECKING:
    import pyarrow as pa

    from tamis.transforms.text.canonical_urls import CanonicalUrls
    from tamis.transforms.text.segment import Texts
    from tamis.transforms.urls.list_index import ListIndex
    from tamis.transforms.urls.url_words import UrlWords

_SOURCE = "lists of yours; squidGuard's rules"
_WORDS_SOURCE = "Penedo et al. 2023 (RefinedWeb), G.1; datatrove filters/url_filter.py"


class UrlListRater(Rater[UrlLists]):
    """Measures in which lists the address of a document is, by which entries, and the score of its
    words. What a list allows is in no other and has no words. A document without an address has no
    value.

    `index` is the URI of a saved index, which workers map into memory. Without it, each process
    takes the index from the cache, or reads the lists, and `setup` raises ValueError if they changed
    after the driver took the fingerprint.
    """

    name = "url_lists"
    VERSION = 2
    raw = True
    own_file = True
    needs = ("url",)
    index_file = "url_lists.arrow"
    example: ClassVar[Mapping[str, Any]] = {"deny": {"ut1": {"path": "ut1"}}, "allow": ["a.txt"], "words": {"strict": "s.txt"}}

    def __init__(self, options: UrlLists, index: str | None = None) -> None:
        super().__init__(options)
        self.uri = index
        lists = (
            Signal("url_lists.matches", "int64", "categories that hold the address", "down", _SOURCE, 0, 1, least=0),
            Signal("url_lists.categories", "list<string>", "LIST/CATEGORY", "none", _SOURCE),
            Signal("url_lists.entries", "list<string>", "entry of each category", "none", _SOURCE),
        )
        words = (
            Signal("url_lists.word_score", "float64", "weighted words", "down", _WORDS_SOURCE, 0, 1, least=0),
            Signal("url_lists.words", "list<string>", "SEVERITY:word", "none", _WORDS_SOURCE),
        )
        allowed = Signal("url_lists.allowed", "bool", "whether a list allows the address", "none", _SOURCE)
        self.signals = (
            *(lists if options.deny else ()),
            *(words if options.words is not None else ()),
            *((allowed,) if options.allow else ()),
        )

    @cached_property
    def index(self) -> ListIndex:
        """The lists. Raises as `build_index` does."""
        from tamis.transforms.runtime.mapped_arrays import cached
        from tamis.transforms.urls.list_index import ListIndex, build_index

        if self.uri is not None:
            return ListIndex.load(self.uri)
        return cached(
            "tamis-url-lists", lambda: self.fingerprint, ListIndex.load, lambda: build_index(self.options), ListIndex.save
        )

    @cached_property
    def words(self) -> UrlWords | None:
        """The words by which addresses are scored. Raises as `read_words` does."""
        from tamis.transforms.urls.url_words import read_words

        words = self.options.words
        return None if words is None else read_words(words.strict, words.hard, words.soft)

    @cached_property
    def fingerprint(self) -> str:
        """Covers the bytes of the lists and the public suffix list, and not what happens to documents."""
        return fingerprint([self.name, self.VERSION, *self._identity()])

    def _identity(self) -> Iterator[object]:
        from tamis.transforms.urls.host_rules import libraries
        from tamis.transforms.urls.list_index import files_of

        yield libraries()
        for name, each in self.options.lists.items():
            files, _ = files_of(name, each)
            yield [name, each.match, {category: [storage.sha256(uri) for uri in uris] for category, uris in files.items()}]
        if self.words is not None and self.options.words is not None:
            yield [self.words.words, self.words.severity.tolist(), self.options.words.weights]

    def save_index(self, uri: str) -> None:
        self.index.save(uri)

    def with_index(self, uri: str) -> Self:
        rater = copy(self)  # keeps the words and the fingerprint, which took reading the lists
        rater.uri = uri
        return rater

    def __getstate__(self) -> dict[str, object]:
        return {
            "options": self.options,
            "uri": self.uri,
            "signals": self.signals,
            "fingerprint": self.fingerprint,
            "words": self.words,
        }

    def setup(self) -> None:
        if self.uri is None and fingerprint([self.name, self.VERSION, *self._identity()]) != self.fingerprint:
            raise ValueError("the lists changed after the run was planned; start the run again")
        super().setup()

    def rate(self, texts: Texts) -> pa.RecordBatch:
        import numpy as np
        import pyarrow as pa

        from tamis.transforms.text.canonical_urls import canonical_urls

        urls = canonical_urls(texts["url"])
        missing = ~urls.found
        address, rule = self.index.rules.matches(urls)
        label = self.index.rules.label[rule]
        allowed = np.zeros(len(missing), np.bool_)
        allows = np.array([each.startswith(f"{ALLOW} ") for each in self.index.labels], np.bool_)
        if len(label):
            allowed[address[allows[label]]] = True
        values: list[Any] = []
        if self.options.deny:
            order = np.lexsort((np.arange(len(label)), label, address))
            order = order[~allowed[address[order]]]
            address, rule, label = address[order], rule[order], label[order]
            first = np.r_[True, (address[1:] != address[:-1]) | (label[1:] != label[:-1])][: len(address)]
            address, rule, label = address[first], rule[first], label[first]
            counts = np.bincount(address, minlength=len(missing))
            categories = pa.array(self.index.labels, pa.string()).take(pa.array(label))
            values += [
                pa.array(counts, pa.int64(), mask=missing),
                _lists(categories, counts, missing),
                _lists(self.index.rules.entries(rule), counts, missing),
            ]
        if self.options.words is not None:
            values += self._words(urls, missing, allowed)
        if self.options.allow:
            values.append(pa.array(allowed, mask=missing))
        return signal_batch(self.signals, values)

    def _words(self, urls: CanonicalUrls, missing: Any, allowed: Any) -> list[pa.Array]:
        """The score of each address, and its words with their severity."""
        import numpy as np
        import pyarrow as pa

        from tamis.transforms.urls.url_words import SEVERITIES

        assert self.words is not None
        assert self.options.words is not None
        address, word = self.words.found(urls)
        address, word = address[~allowed[address]], word[~allowed[address]]
        order = np.lexsort((word, address))
        address, word = address[order], word[order]
        severity = self.words.severity[word]
        score = np.zeros(len(missing))
        for number, weight in enumerate(self.options.words.weights):
            score += weight * np.bincount(address[severity == number], minlength=len(missing))
        texts = [f"{SEVERITIES[kind]}:{each}" for each, kind in zip(self.words.words, self.words.severity, strict=True)]
        counts = np.bincount(address, minlength=len(missing))
        named = pa.array(texts, pa.string()).take(pa.array(word))
        return [pa.array(score, mask=missing), _lists(named, counts, missing)]


def _lists(values: pa.Array, counts: Any, missing: Any) -> pa.Array:
    """Lists of so many of the values, one after the other; null where they are missing."""
    import numpy as np
    import pyarrow as pa

    offsets = pa.array(np.r_[0, np.cumsum(counts)], pa.int32())
    return pa.ListArray.from_arrays(offsets, values, mask=pa.array(missing))
