"""Says which translated items the search for rephrased ones would find in the documents of a probe."""

from __future__ import annotations

from dataclasses import replace

import pyarrow as pa

from tamis.pipelines.contamination.probe_documents import TRANSLATED, ProbeDocuments
from tamis.pipelines.contamination.rephrased_items import LEAST_COSINE, Search, question, window_words
from tamis.transforms.decontaminate.rephrased.nearest import Embedded, Encode, Nearest, Scorer
from tamis.transforms.decontaminate.rephrased.tfidf import TfIdf
from tamis.transforms.text.words import Words


def nearby(made: ProbeDocuments, encode: Encode | None, words: Words) -> dict[str, int]:
    """Translations of each benchmark whose document is among the nearest of their item, as many as `Search.top`, of
    all hosts and translations. `encode`: embeds texts; without it, TF-IDF compares them."""
    copies = [copy for copy in made.copies if copy.mutation == TRANSLATED]
    found = dict.fromkeys((copy.item.benchmark for copy in copies), 0)
    if not copies:
        return found
    texts = [question(copy.item) for copy in copies]
    scorer: Scorer = TfIdf(texts, words) if encode is None else Embedded(texts, encode)
    least = Search.least if encode is None else LEAST_COSINE
    near = Nearest(scorer, len(copies), Search.top, least, window_words(texts), words)
    for batch in replace(made, copies=copies).batches():
        first = near.documents
        near.add(batch["text"], pa.array(map(str, range(first, first + batch.num_rows)), pa.string()))
    for place, (copy, passages) in enumerate(zip(copies, near.found, strict=True), len(made.hosts)):
        found[copy.item.benchmark] += any(each.document == place for each in passages)
    return found
