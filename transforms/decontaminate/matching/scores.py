"""Scores what documents have of items, from the candidates of Rate and the documents of the run.

The scores of Singh et al. 2024 (arXiv 2411.03923) see a text of an item as its words, of which a
document has some: `ngram` is the share of n-grams that are there, `token` the share of words in such
n-grams, `extend` the share of words in spans of at least n words that may skip some (Llama 2's rule,
arXiv 2307.09288, appendix A.6), and `longest` the longest such span. A skipped word inside a span
counts as covered.

The default, `weighted`, is (M + C + B) / (T + C + 25 bits). T is what the words of a question are
worth, M what those are worth that the document has, with their digits. C is what the choices, answers
and passage near it add, B 5 bits for each end that is an end of a line or sentence, and more for a line
of few words with one edit. The 25 bits are doubt: a text of few bits cannot reach a high score by itself.
If choices follow that are not those of the item, these count as missing.
"""

from __future__ import annotations

from dataclasses import dataclass, fields
from typing import TYPE_CHECKING, Any, Final, Literal

import numpy as np
import numpy.typing as npt

from tamis.transforms.decontaminate.matching.candidate_records import BEGINS, ENDS, OFFERS, WHOLE, Candidates
from tamis.transforms.decontaminate.matching.index import ANSWER, CHOICES, PASSAGE, QUESTION, STEM_BITS, totals
from tamis.transforms.decontaminate.matching.item_texts import SCALE
from tamis.transforms.decontaminate.record import CLASSES
from tamis.transforms.runtime.kernels import njit

if TYPE_CHECKING:
    from tamis.transforms.decontaminate.matching.index import Index

# mypy: disable-error-code="no-untyped-def"

Floats = npt.NDArray[np.float64]
Ints = npt.NDArray[np.int64]

Metric = Literal["weighted", "ngram", "token", "extend", "longest"]

COPIED, CHANGED, PART, ANSWER_ALONE, PASSAGE_ALONE = range(len(CLASSES))

DOUBT: Final = 25.0
BOUNDARY: Final = 5.0
MOST_BITS: Final = 12.0
"""That a word counts: names of rare words occur together far more often than by chance."""
_MOST_NEAR = 30.0  # bits that choices, answers and passage add to a question
_MOST_NEAR_STEM = 45.0  # the same for a question of less than `STEM_BITS`
_NEAR_COVERED = 0.6  # of a choice, an answer or a passage, to add something
_WHOLE = 3  # words of a choice that is among those that follow a question only if all of it is
_LEAST_NEAR = 30.0  # bits that must be added to a question of fewer than `_SHORT` words
_SHORT = 4
_SHORT_BITS = 33.0  # of such a question that is a whole line, so that it needs nothing else
_TELLING_NEAR = 20.0  # bits of a choice that adds to such a question: not a number or a letter
_TELLING = 25.0  # of a choice or an answer that is looked for by itself
_OWN = 0.6  # of its own bits, that a question has where others add to it
_CHANGED_BITS = 60.0  # of a question without its numbers and names, to be the same with other ones
_CHANGED_SHARE = 0.8  # of them, that are there
_TAIL_BITS = 20.0  # missing at the end of a question: another question about the same thing
_TAIL_WORDS = 12  # the end of a question of at least `_TAIL_OF` words
_TAIL_OF = 40
_TAIL_SHARE = 0.35  # of its bits missing
_LOW_NEAR = 10.0  # bits that must be added to a question of less than `_LOW_BITS`
_LOW_BITS = 18.0  # of a question that other texts ask, too, and that is no copy without its choices or answer
_EDITED = 8  # words of a question that may be a common phrase if one of them is missing
_EDITED_BITS = 32.0  # that it must have then
_EDITED_COMMON = 20.0  # the same if it is a whole line with one edit, and only common words are missing
_COMMON = 8.5  # bits of a common word
_SENTENCE = 12  # words of a question of which a part within a sentence is rather a phrase
_BREAKS = 2  # words of such a question that do not follow the word before them as there: those of one edit
_COMPLETE = 5  # words of a question that is there word for word, for which both ends count
_GAP_BITS = 25.0  # missing in one place
_GAP_SHARE = 0.12
_CHAINED = 2 / 3  # of the bits of a question, that follow the word before them as there, to be a copy
_KEPT = 0.8  # of the bits of a question of fewer than `_SENTENCE` words, to be a copy
_UNSHARED = 0.5  # of the bits that few questions share, to be one of them
_ASKED = 0.5  # score of a question that counts before its answer and its passage


@dataclass(frozen=True, slots=True)
class Matches:
    """What m pairs of a document and an item have in common, by document, then item."""

    document: Ints
    item: Ints
    text: Ints
    """The text of the item that decides."""
    kind: Ints
    """Position in `CLASSES`."""
    score: Floats
    start: Ints
    """Byte of the document."""
    stop: Ints

    def take(self, rows: npt.NDArray[Any]) -> Matches:
        """The matches at these positions."""
        return Matches(*(getattr(self, field.name)[rows] for field in fields(self)))


def weighted(candidates: Candidates, index: Index, bits: Floats) -> Matches:
    """The weighted score of each document and item, by the text and class with the highest."""
    plain = np.minimum(index.plain / SCALE, MOST_BITS)
    total = totals(bits, index.first)
    varies = np.unpackbits(index.varies, count=len(bits), bitorder="little").view(np.bool_)
    order = np.lexsort((candidates.start, candidates.text, candidates.document))
    columns = (candidates.document, candidates.text, candidates.start, candidates.stop, candidates.flags, candidates.first)
    bitmaps = (candidates.matched, candidates.joined, candidates.changed)
    shape = (index.first, index.item, index.part, index.text_first)
    shared = np.unpackbits(index.shared, count=len(bits), bitorder="little").view(np.bool_)
    return Matches(*_weighted(order, columns, bitmaps, shape, bits, plain, total, varies, shared))


def by_metric(
    candidates: Candidates, index: Index, metric: Metric, n: int, skip: int, frequent: npt.NDArray[np.bool_] | None = None
) -> Matches:
    """A score of Singh et al. of each document and item, by the text with the highest. `frequent`: for each word
    of the index, whether the n-gram counts that ends there; None if all do."""
    values = np.empty(len(candidates.text))
    for k, text in enumerate(candidates.text):
        words = slice(candidates.first[k], candidates.first[k + 1])
        matched = candidates.matched[words] & ~candidates.changed[words]
        counts = None if frequent is None else frequent[index.first[text] : index.first[text + 1]]
        values[k] = score(matched, candidates.joined[words], metric, n, skip, counts)
    part = index.part[candidates.text]
    values[part == CHOICES] = 0
    item = index.item[candidates.text].astype(np.int64)
    order = np.lexsort((candidates.text, -values, item, candidates.document))
    first = np.ones(len(order), np.bool_)
    first[1:] = (np.diff(candidates.document[order]) != 0) | (np.diff(item[order]) != 0)
    best = order[first]
    kind = np.array([COPIED, PASSAGE_ALONE, COPIED, ANSWER_ALONE])[part[best]]
    places = (candidates.start[best], candidates.stop[best])
    return Matches(candidates.document[best], item[best], candidates.text[best], kind, values[best], *places)


def ngram_ends(matched: npt.NDArray[np.bool_], joined: npt.NDArray[np.bool_], n: int) -> Ints:
    """The words of a text at which an n-gram ends that a document has, which has the `matched` words, `joined` to
    the word before them as in the text. A text of fewer than n words is one n-gram."""
    run = np.zeros(len(matched), np.int64)  # matched words in a row that end here
    for k in range(len(matched)):
        run[k] = matched[k] * (1 + (run[k - 1] if k and joined[k] else 0))
    return np.flatnonzero(run >= max(1, min(n, len(matched))))


def score(
    matched: npt.NDArray[np.bool_],
    joined: npt.NDArray[np.bool_],
    metric: Metric,
    n: int,
    skip: int = 0,
    frequent: npt.NDArray[np.bool_] | None = None,
) -> float:
    """A score of a text of an item; see `ngram_ends`. `skip`: words of the text that a span of `extend` and
    `longest` may lack in one place. `frequent`: whether the n-gram that ends at each word counts."""
    size = len(matched)
    if not size:
        return 0.0
    n = min(n, size)
    ends = ngram_ends(matched, joined, n)
    if frequent is not None:
        ends = ends[frequent[ends]]
    if metric == "ngram":
        return len(ends) / (size - n + 1)
    covered = np.zeros(size, np.bool_)
    for end in ends:
        covered[end - n + 1 : end + 1] = True
    if metric == "token":
        return float(covered.sum()) / size
    spans = _spans(covered, joined, skip)
    sizes = [stop - start for start, stop in spans]
    return (sum(sizes) if metric == "extend" else max(sizes, default=0)) / size


def _spans(covered: npt.NDArray[np.bool_], joined: npt.NDArray[np.bool_], skip: int) -> list[tuple[int, int]]:
    """Spans of covered words, over gaps of at most `skip` words."""
    spans: list[tuple[int, int]] = []
    for k in np.flatnonzero(covered).tolist():
        if (spans and k == spans[-1][1] and joined[k]) or (spans and 0 < k - spans[-1][1] <= skip):
            spans[-1] = (spans[-1][0], k + 1)
        else:
            spans.append((k, k + 1))
    return spans


# --- kernels ----------------------------------------------------------------------------------------------------------


@njit(cache=True, nogil=True)
def _worth(k, columns, bitmaps, shape, bits, plain, varies):
    """Bits of the matched words of a candidate with their digits; without the words that vary; of all words
    that do not; bits missing at the end, and most in one place; whether words that vary are missing or
    other ones, whether other words are missing, and whether the document has words in between."""
    _, text, _, _, _, first = columns
    matched, joined, changed = bitmaps
    origin = shape[0][text[k]]
    n = first[k + 1] - first[k]
    exact, without, other, gap, longest, tail, of_tail = 0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0
    differs, edited, broken = False, False, False
    for i in range(n):
        w, j = origin + i, first[k] + i
        if not varies[w]:
            other += bits[w]
        if i >= n - _TAIL_WORDS:
            of_tail += bits[w]
        if not matched[j]:
            differs |= varies[w]
            edited |= not varies[w]
            gap += bits[w]
            longest = max(longest, gap)
            if i >= n - _TAIL_WORDS:
                tail += bits[w]
            continue
        if joined[j] or (i + 1 < n and joined[j + 1]):  # a word that stands alone closes no gap
            gap = 0.0
        credit = bits[w] if joined[j] else min(bits[w], plain[w])
        broken |= not joined[j] and i > 0 and matched[j - 1]
        if changed[j]:
            differs = True
        else:
            exact += credit
        if not varies[w]:
            without += credit
    if n >= _TAIL_OF and tail >= _TAIL_SHARE * of_tail:
        gap = max(gap, _TAIL_BITS)
    return exact, without, other, gap, longest, differs, edited, broken


@njit(cache=True, nogil=True)
def _texture(k, columns, bitmaps, shape, bits, plain, varies, shared):
    """Of the bits of a question: the share that follows the word before it as there; the share of what few
    questions share, or whether the last word is there if they share all. The words that do not follow the one
    before them; whether several words that vary are other ones or missing, and carry most of what is; and whether
    all that are missing are common."""
    _, text, _, _, _, first = columns
    matched, joined, changed = bitmaps
    origin = shape[0][text[k]]
    total, chained, own, of_own, lost, lost_varying = 0.0, 0.0, 0.0, 0.0, 0.0, 0.0
    breaks, varying, common = 0, 0, True
    for i in range(first[k + 1] - first[k]):
        w, j = origin + i, first[k] + i
        total += bits[w]
        chained += bits[w] if joined[j] else 0.0
        breaks += not joined[j]
        if not shared[w]:
            of_own += bits[w]
            own += bits[w] if matched[j] else 0.0
        if not matched[j] or changed[j]:
            lost += bits[w]
            lost_varying += bits[w] if varies[w] else 0.0
            varying += varies[w]
            common &= plain[w] <= _COMMON
    own = own / of_own if of_own else np.float64(matched[first[k + 1] - 1])
    return chained / max(total, 1e-9), own, breaks, varying > 1 and 2 * lost_varying >= lost, common


@njit(cache=True, nogil=True)
def _apart(k, m, start, stop):
    """Whether two candidates are different words of the document."""
    return start[k] >= stop[m] or stop[k] <= start[m]


@njit(cache=True, nogil=True)
def _lacking(k, one, best, value, columns, shape, total):
    """The bits of an item's choices that do not follow a question, or 0 if at least half of them do."""
    _, _, start, stop, _, _ = columns
    word_first, _, part, text_first = shape
    lacking, found, count = 0.0, 0, 0
    for v in range(text_first[one], text_first[one + 1]):
        if part[v] != CHOICES:
            continue
        t = v - text_first[one]
        least = 0.99 if word_first[v + 1] - word_first[v] <= _WHOLE else _NEAR_COVERED
        there = best[t] >= 0 and value[t] >= least * total[v] and _apart(k, best[t], start, stop)
        count += 1
        found += there
        lacking += 0.0 if there else total[v]
    return lacking if 2 * found < count else 0.0


@njit(cache=True, nogil=True)
def _digits_changed(k, columns, bitmaps):
    found = False
    for j in range(columns[5][k], columns[5][k + 1]):
        found |= bitmaps[2][j]
    return found


@njit(cache=True, nogil=True)
def _weighted(order, columns, bitmaps, shape, bits, plain, total, varies, shared):
    document, text, start, stop, flags, first = columns
    _word_first, item, part, text_first = shape
    count = len(order)
    out = np.empty((6, count), np.int64)
    scores = np.empty(count)
    size = 0
    a = 0
    while a < count:
        b = a
        d, one = document[order[a]], item[text[order[a]]]
        while b < count and document[order[b]] == d and item[text[order[b]]] == one:
            b += 1
        texts = text_first[one + 1] - text_first[one]
        best = np.full(texts, -1, np.int64)  # the candidate of each text that is worth most
        value = np.zeros(texts)
        for x in range(a, b):
            k = order[x]
            t = text[k] - text_first[one]
            worth = _worth(k, columns, bitmaps, shape, bits, plain, varies)[0]
            if best[t] < 0 or worth > value[t]:
                best[t], value[t] = k, worth
        stem = 0.0
        for t in range(texts):
            if part[text_first[one] + t] == QUESTION:
                stem += total[text_first[one] + t]
        top, top_kind, top_score = np.int64(-1), 0, 0.0
        for x in range(a, b):
            k = order[x]
            u = text[k]
            n = first[k + 1] - first[k]
            exact, without, other, tail, gap, differs, edited, broken = _worth(k, columns, bitmaps, shape, bits, plain, varies)
            differs = _digits_changed(k, columns, bitmaps) or (differs and not edited and not broken)
            near, possible, lacking = 0.0, 0.0, 0.0
            ends = BOUNDARY * ((flags[k] & BEGINS != 0) + (flags[k] & ENDS != 0))
            line = flags[k] & (BEGINS | ENDS) == BEGINS | ENDS
            if part[u] == QUESTION:
                for t in range(texts):
                    v = text_first[one] + t
                    m = best[t]
                    if m < 0 or v == u or value[t] < _NEAR_COVERED * total[v] or not _apart(k, m, start, stop):
                        continue
                    if n < _SHORT and total[v] < _TELLING_NEAR:
                        continue
                    near += value[t]
                if exact < _OWN * total[u]:
                    near = 0.0
                most = _MOST_NEAR_STEM if total[u] < STEM_BITS else _MOST_NEAR
                near = min(near, most)
                if flags[k] & OFFERS:
                    lacking = min(most, _lacking(k, one, best, value, columns, shape, total))
                possible = max(near, lacking)
                complete = not edited and not broken and not differs
                chained, own, breaks, varying, common = _texture(k, columns, bitmaps, shape, bits, plain, varies, shared)
                if (
                    n < _SHORT
                    and near < _LEAST_NEAR
                    and not (complete and line and exact >= _SHORT_BITS)
                    and flags[k] & WHOLE == 0
                ):
                    continue
                phrase = n < _EDITED and near < _LOW_NEAR and (edited or differs) and exact < _EDITED_BITS
                if phrase and not (line and common and breaks <= _BREAKS and n >= _SHORT and exact >= _EDITED_COMMON):
                    continue
                if n >= _COMPLETE and complete:
                    ends = 2 * BOUNDARY
                elif n < _SENTENCE and line and breaks <= _BREAKS:
                    ends = (3 if n < _EDITED else 4) * BOUNDARY
                elif n < _SENTENCE and edited and ends == 0:
                    ends = -BOUNDARY
            elif part[u] >= CHOICES and (other < _TELLING or (part[u] == CHOICES and stem >= STEM_BITS)):
                continue
            elif part[u] >= CHOICES and stem < STEM_BITS:
                for t in range(texts):
                    if part[text_first[one] + t] == QUESTION:
                        near += value[t] if best[t] < 0 or _apart(k, best[t], start, stop) else 0.0
                        possible += total[text_first[one] + t]
            result = (exact + near + ends) / (total[u] + possible + DOUBT)
            kind = COPIED
            if part[u] == PASSAGE:
                kind = PASSAGE_ALONE
            elif part[u] == ANSWER and stem >= STEM_BITS:
                kind = ANSWER_ALONE
            elif part[u] == QUESTION:
                low = total[u] < _LOW_BITS and near < _LOW_NEAR
                if differs and other >= _CHANGED_BITS and without >= _CHANGED_SHARE * other:
                    result = max(result, (without + near + ends) / (other + possible + DOUBT))
                gapped = tail >= _TAIL_BITS or gap >= max(_GAP_BITS, _GAP_SHARE * total[u])
                unsure = near < _LOW_NEAR and n < _SENTENCE
                unsure &= not line or (edited and not common and exact < _KEPT * total[u])
                if own < _UNSHARED:
                    kind = PASSAGE_ALONE
                elif differs or varying:
                    kind = CHANGED
                elif gapped or low or unsure or chained < _CHAINED or lacking > 0:
                    kind = PART
            if flags[k] & WHOLE != 0:
                result, kind = 1.0, COPIED
            result = min(1.0, result)
            if kind in (PASSAGE_ALONE, ANSWER_ALONE) and top >= 0 and top_kind <= PART and top_score >= _ASKED:
                continue  # the question says more
            if top < 0 or result > top_score:
                top, top_kind, top_score = k, kind, result
        a = b
        if top < 0:
            continue
        out[0, size], out[1, size], out[2, size], out[3, size] = d, one, text[top], top_kind
        out[4, size], out[5, size] = start[top], stop[top]
        scores[size] = top_score
        size += 1
    return out[0, :size], out[1, :size], out[2, :size], out[3, :size], scores[:size], out[4, :size], out[5, :size]
