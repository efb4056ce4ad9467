"""Texts with their words shuffled: what a model that has learned only how frequent words are cannot tell from the originals."""

import numpy as np
import pyarrow as pa

from tamis.transforms.text.hashing import hash_texts, mix
from tamis.transforms.text.segment import segment
from tamis.transforms.text.words import Words


def shuffle_words(texts: pa.Array, seed: int) -> pa.Array:
    """Puts the words of each text into the places of others; what is between words stays where it is.

    Words are runs without white space, and single characters of scripts without spaces. The order
    depends on the seed and the text alone. Takes and gives `large_string` without nulls.
    """
    cut = segment(texts, Words(definition="whitespace"))
    words = np.diff(cut.word_first)
    document = np.repeat(np.arange(len(texts)), words)
    place = np.arange(len(document)) - np.repeat(cut.word_first[:-1], words)
    draw = mix(mix(hash_texts(texts), seed)[document] + place.astype(np.uint64), 0)
    moved = np.lexsort((draw, document))
    # Pieces in the order of the result: what precedes the first word of a text, then each word and what follows it.
    starts, ends = np.empty((2, 2 * len(document) + len(texts)), np.int64)
    at = 2 * np.arange(len(document)) + document + 1
    before = 2 * cut.word_first[:-1] + np.arange(len(texts))
    starts[at], ends[at] = cut.word_start[moved], cut.word_end[moved]
    starts[at + 1], starts[before] = cut.word_end, cut.text_start[:-1]
    following = np.append(cut.word_start, 0)
    ends[at + 1], ends[before] = following[1:], following[cut.word_first[:-1]]
    last = before + 2 * words  # where a text ends, there is no following word
    ends[last] = cut.text_start[1:]
    sizes = ends - starts
    gathered = np.arange(sizes.sum()) + np.repeat(starts - (np.cumsum(sizes) - sizes), sizes)
    offsets = cut.text_start - cut.text_start[0]
    return pa.LargeStringArray.from_buffers(len(texts), pa.py_buffer(offsets), pa.py_buffer(cut.data[gathered]))
