"""Our reading and scoring of fastText models gives the results of the library."""

from __future__ import annotations

import bz2
import json
import random
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import cache
from itertools import chain, pairwise
from pathlib import Path
from typing import Any

import fasttext
import fasttext_new
import numpy as np
import pyarrow as pa
import pytest
import zstandard
from hypothesis import given, settings
from hypothesis import strategies as st

from tamis.transforms.rate.fasttext_model import Model, load
from tamis.transforms.rate.fasttext_score import SIGMOID
from tamis.transforms.rate.language import packaged_model
from tamis.transforms.text.hashing import text_buffer

ARTICLE_1 = {
    "en": "All human beings are born free and equal in dignity and rights.",
    "fr": "Tous les êtres humains naissent libres et égaux en dignité et en droits.",
    "de": "Alle Menschen sind frei und gleich an Würde und Rechten geboren.",
    "es": "Todos los seres humanos nacen libres e iguales en dignidad y derechos.",
    "pl": "Wszyscy ludzie rodzą się wolni i równi pod względem swej godności i swych praw.",
    "tr": "Bütün insanlar hür, haysiyet ve haklar bakımından eşit doğarlar.",
    "vi": "Tất cả mọi người sinh ra đều được tự do và bình đẳng về nhân phẩm và quyền lợi.",
    "el": "Όλοι οι άνθρωποι γεννιούνται ελεύθεροι και ίσοι στην αξιοπρέπεια και τα δικαιώματα.",
    "ru": "Все люди рождаются свободными и равными в своём достоинстве и правах.",
    "uk": "Всі люди народжуються вільними і рівними у своїй гідності та правах.",
    "he": "כל בני האדם נולדו בני חורין ושווים בערכם ובזכויותיהם.",
    "ar": "يولد جميع الناس أحراراً متساوين في الكرامة والحقوق.",
    "fa": "تمام افراد بشر آزاد به دنیا می‌آیند و از لحاظ حیثیت و حقوق با هم برابرند.",
    "hi": "सभी मनुष्यों को गौरव और अधिकारों के मामले में जन्मजात स्वतन्त्रता और समानता प्राप्त है।",
    "bn": "সমস্ত মানুষ স্বাধীনভাবে সমান মর্যাদা এবং অধিকার নিয়ে জন্মগ্রহণ করে।",
    "th": "มนุษย์ทั้งหลายเกิดมามีอิสระและเสมอภาคกันในเกียรติศักดิ์และสิทธิ",
    "ko": "모든 인간은 태어날 때부터 자유로우며 그 존엄과 권리에 있어 동등하다.",
    "ja": "すべての人間は、生れながらにして自由であり、かつ、尊厳と権利とについて平等である。",
    "zh": "人人生而自由，在尊严和权利上一律平等。",
}

ADVERSARIAL = [
    "",
    " \t\v\f\r\0 ",
    "a",
    "<",
    ">",
    "<>",
    "< >",
    "</s>",
    "free </s> equal and rights",
    "</s",
    "x</s>",
    "__label__",
    "__label__en free",
    "__label__nothing free",
    "__label_ free",
    "free\x00equal\x0bdignity\x0cborn\rrights",
    "free\u00a0equal\u2003dignity\u3000born\u2028rights\x85\x1c\x1d",
    "\u0301\u0301 e\u0301",
    "🏳️‍🌈 👩‍👩‍👧 \U0010ffff \U000e0041",
    "\ufeff\ufffe\uffff",
    "x" * 100_000,
    "漢" * 20_000,
    "ab " * 20_000,
    *(" " * blanks + "x" * size + " free" for blanks in (0, 1, 61, 64) for size in (2, 7, 9, 17, 25, 63, 64, 65, 128)),
    " ".join(f"w{n}" for n in range(9000)) + " " + " ".join(f"w{n}" for n in range(9000)),
]

LETTERS = "abcdefghij"


def corpus(labels: int) -> str:
    """Lines with a label each, of words that occur in several of them; seeded."""
    draw = random.Random(7)
    vocabulary = ["".join(draw.choices(LETTERS, k=draw.randint(1, 7))) for _ in range(400)]
    vocabulary += [word for text in ARTICLE_1.values() for word in text.split()]
    lines = []
    for n in range(max(800, 3 * labels)):
        label = n % labels
        words = draw.choices(vocabulary, k=12) + [vocabulary[(label * 7 + k) % len(vocabulary)] for k in range(4)]
        lines.append(f"__label__{label} {' '.join(words)}\n")
    return "".join(lines)


SMALL: dict[str, tuple[int, dict[str, Any], dict[str, Any] | None]] = {
    "words": (2, {"dim": 20}, None),
    "bigrams": (2, {"wordNgrams": 2, "bucket": 500, "dim": 16}, None),
    "long-ngrams": (4, {"wordNgrams": 5, "minn": 1, "maxn": 6, "bucket": 700, "dim": 5}, None),
    "from-nought": (3, {"minn": 0, "maxn": 3, "bucket": 1, "dim": 1}, None),
    "tree": (5, {"loss": "hs", "minn": 2, "maxn": 4, "bucket": 1000}, None),
    "one-label": (1, {"loss": "hs"}, None),
    "one-against-all": (6, {"loss": "ova", "minn": 3, "maxn": 3, "bucket": 300}, None),
    "negative-sampling": (3, {"loss": "ns", "wordNgrams": 2, "bucket": 300}, None),
    "quantised": (2, {"wordNgrams": 2, "bucket": 500, "dim": 16}, {"qnorm": True}),
    "quantised-plain": (2, {"minn": 2, "maxn": 3, "bucket": 500, "dim": 7}, {"dsub": 3}),
    "quantised-pruned": (3, {"minn": 2, "maxn": 4, "wordNgrams": 2, "bucket": 2000, "dim": 9}, {"cutoff": 600, "qnorm": True}),
    "quantised-output": (300, {"loss": "softmax", "dim": 10}, {"qout": True, "qnorm": True}),
    "quantised-tree": (300, {"loss": "hs", "minn": 2, "maxn": 2, "bucket": 900, "dim": 11}, {"cutoff": 400, "qout": True}),
}


@pytest.fixture(scope="session")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("models")


def trained(folder: Path, name: str) -> str:
    path = folder / f"{name}.bin"
    if not path.exists():
        labels, options, quantisation = SMALL[name]
        source = folder / f"{labels}.txt"
        source.write_text(corpus(labels))
        model = fasttext_new.train_supervised(str(source), thread=1, verbose=0, epoch=3, seed=3, lr=0.9, **options)
        if quantisation is not None:
            model.quantize(str(source), thread=1, verbose=False, **quantisation)
        model.save_model(str(path))
    return str(path)


@pytest.fixture(scope="session", params=SMALL)
def small(request: pytest.FixtureRequest, folder: Path) -> str:
    return trained(folder, request.param)


@cache
def library(path: str) -> Callable[..., list[tuple[float, str]]]:
    return fasttext.load_model(path).f.predict


def best(model: Model, texts: list[str]) -> list[tuple[str, float] | None]:
    data, start = text_buffer(pa.array(texts, pa.large_string()))
    labels, probability = model.best(data, start[:-1], start[1:])
    assert labels.dtype == np.int32
    assert probability.dtype == np.float32
    assert np.array_equal(labels < 0, np.isnan(probability))
    return [(model.labels[n], float(p)) if n >= 0 else None for n, p in zip(labels, probability, strict=True)]


def assert_agree(path: str, texts: list[str]) -> None:
    """Labels equal the library's, and probabilities differ by at most 1e-5.

    The tolerance is 1e-4 for ten thousand words, because the library adds the rows one by one; and 1/128 for a sigmoid, the
    largest step of the library's table, because a tiny difference may change the step.
    """
    model = load(path)
    for text, result in zip(texts, best(model, texts), strict=True):
        near, beginning = (1e-5 if len(text) < 20_000 else 1e-4), text[:80]
        if model.tables.loss == SIGMOID:
            near = 1 / 128
        expected_scores = {label: min(p, 1.0) for p, label in library(path)(text.replace("\n", " ") + "\n", -1, 0.0, "strict")}
        if not expected_scores:
            assert result is None, beginning
            continue
        assert result is not None, beginning
        assert expected_scores[result[0]] >= max(expected_scores.values()) - near, (
            beginning
        )  # either of two equally likely labels
        assert abs(result[1] - expected_scores[result[0]]) <= near, beginning


def real_texts(shared: Path) -> list[str]:
    """Every text of every JSON Lines and plain text file."""
    texts = []
    for path in sorted(shared.rglob("*")):
        if path.suffix == ".zst":
            raw = zstandard.ZstdDecompressor().stream_reader(path.read_bytes()).read()
        elif path.suffix == ".bz2":
            raw = bz2.decompress(path.read_bytes())
        elif path.suffix in (".jsonl", ".txt", ".csv"):
            raw = path.read_bytes()
        else:
            continue
        if ".jsonl" in path.name:
            rows = [json.loads(line) for line in raw.splitlines()]
            texts += [str(value) for row in rows for value in row.values()]
        else:
            texts += raw.decode().splitlines()
    return texts


def test_adversarial_texts(small: str) -> None:
    assert_agree(small, ADVERSARIAL + list(ARTICLE_1.values()))


def test_adversarial_texts_and_languages_by_lid176() -> None:
    assert_agree(packaged_model(), ADVERSARIAL + list(ARTICLE_1.values()))
    assert [result and result[0] for result in best(load(packaged_model()), list(ARTICLE_1.values()))] == [
        f"__label__{language}" for language in ARTICLE_1
    ]


word = st.sampled_from(["free", "</s>", "__label__0", "__label__q", "<", "人人生而自由", "a", "ab", "\0", "\n"]) | st.text(
    max_size=8
)
line = st.lists(word | st.text(LETTERS, max_size=6), max_size=12).map(" ".join) | st.text(max_size=40)


@settings(max_examples=40)
@given(st.lists(line, min_size=1, max_size=6))
def test_any_text(small: str, texts: list[str]) -> None:
    assert_agree(small, texts)


@settings(max_examples=150)
@given(st.lists(line, min_size=1, max_size=6))
def test_any_text_by_lid176(texts: list[str]) -> None:
    assert_agree(packaged_model(), texts)


@pytest.mark.slow
def test_real_texts_by_lid176(shared: Path) -> None:
    texts = [text[:2000] for text in real_texts(shared)]
    assert len(texts) > 20_000
    assert_agree(packaged_model(), texts[:: len(texts) // 20_000])


@pytest.mark.slow
def test_all_real_texts_by_lid176(shared: Path) -> None:
    assert_agree(packaged_model(), [text[:2000] for text in real_texts(shared)])


def test_each_labels_probability(small: str) -> None:
    """The probability of a label is that of the library; with two labels, that of DCLM."""
    model = load(small)
    texts = [*ARTICLE_1.values(), "a b c", "</s>"]
    data, start = text_buffer(pa.array(texts, pa.large_string()))
    for label in model.labels[:7]:
        for text, p in zip(texts, model.probability(data, start[:-1], start[1:], label), strict=True):
            expected_scores = {name: min(1.0, p) for p, name in library(small)(text + "\n", -1, 0.0, "strict")}
            if len(model.labels) == 2:
                most_likely = max(expected_scores, key=expected_scores.__getitem__)
                expected = expected_scores[most_likely] if most_likely == label else 1 - expected_scores[most_likely]
            elif label in expected_scores:
                expected = expected_scores[label]
            else:  # the library omits labels of less than 1e-5 in the tree
                assert p < 1.1e-5
                continue
            assert p == pytest.approx(expected, abs=1e-5)


@settings(max_examples=30)
@given(st.lists(st.sampled_from(ADVERSARIAL[:20] + list(ARTICLE_1.values())), min_size=2, max_size=12), st.data())
def test_any_batches_give_the_same(texts: list[str], data: st.DataObject) -> None:
    model = load(packaged_model())
    cuts = sorted(data.draw(st.sets(st.integers(1, len(texts) - 1), max_size=3)))
    parts = [best(model, texts[a:b]) for a, b in pairwise([0, *cuts, len(texts)])]
    assert list(chain(*parts)) == best(model, texts)


def test_threads_share_a_model() -> None:
    model = load(packaged_model())
    texts = list(ARTICLE_1.values()) * 20
    with ThreadPoolExecutor(4) as threads:
        assert all(results == best(model, texts) for results in threads.map(lambda _: best(model, texts), range(12)))


def test_no_known_feature_no_label(folder: Path, tmp_path: Path) -> None:
    """A vocabulary without `</s>` has no feature for an unknown word."""
    path = tmp_path / "endless.bin"
    path.write_bytes(Path(trained(folder, "words")).read_bytes().replace(b"</s>", b"</t>", 1))
    assert best(load(str(path)), ["", "unheard-of", "unheard-of </s> </t>"]) == [None, None, None]
    assert best(load(str(path)), ["</t>"]) != [None]
    assert_agree(str(path), ["", "unheard-of", "</t>", "人人生而自由，在尊严和权利上一律平等。"])


def test_damaged_files_are_named(folder: Path, tmp_path: Path) -> None:
    for name in ("long-ngrams", "quantised-pruned", "quantised-output"):
        whole = Path(trained(folder, name)).read_bytes()
        for size in [0, 3, 4, 8, 20, 63, 64, 90, 92, 100, 1000, len(whole) // 3, len(whole) // 2, len(whole) - 1]:
            path = tmp_path / f"{name}-{size}.bin"
            path.write_bytes(whole[:size])
            with pytest.raises(ValueError, match=rf"{name}-{size}\.bin: not a (usable )?fastText model"):
                load(str(path))


def test_other_files_are_named(folder: Path, tmp_path: Path) -> None:
    (tmp_path / "text.bin").write_bytes(b"nonsense" * 99)
    with pytest.raises(ValueError, match=r"text\.bin: not a usable fastText model"):
        load(str(tmp_path / "text.bin"))
    trained(folder, "words")
    vectors = fasttext_new.train_unsupervised(str(folder / "2.txt"), dim=4, epoch=1, thread=1, verbose=0, bucket=10)
    vectors.save_model(str(tmp_path / "vectors.bin"))
    with pytest.raises(ValueError, match=r"vectors\.bin: .*not trained with labels"):
        load(str(tmp_path / "vectors.bin"))
    whole = bytearray(Path(trained(folder, "words")).read_bytes())
    whole[4] = 13
    (tmp_path / "future.bin").write_bytes(whole)
    with pytest.raises(ValueError, match=r"future\.bin: .*version 13"):
        load(str(tmp_path / "future.bin"))
    with pytest.raises(FileNotFoundError, match=r"nowhere\.bin"):
        load(str(tmp_path / "nowhere.bin"))


@settings(max_examples=150)
@given(st.sampled_from(["long-ngrams", "tree", "quantised-pruned", "quantised-tree"]), st.data())
def test_a_changed_byte_is_an_error_or_another_model(
    folder: Path, tmp_path_factory: pytest.TempPathFactory, name: str, data: st.DataObject
) -> None:
    """It never crashes: no kernel reads outside its arrays."""
    changed = bytearray(Path(trained(folder, name)).read_bytes())
    at = data.draw(st.integers(8, 95) | st.integers(8, len(changed) - 1))
    changed[at] = data.draw(st.integers(0, 255))
    path = tmp_path_factory.mktemp("changed") / "changed.bin"
    path.write_bytes(changed)
    try:
        model = load.__wrapped__(str(path))
    except ValueError as error:
        assert "changed.bin: not a usable fastText model" in str(error)  # noqa: PT017
    else:
        data_, start = text_buffer(pa.array(["free and equal", "ab cd", ""], pa.large_string()))
        labels, _ = model.best(data_, start[:-1], start[1:])
        assert (labels < len(model.labels)).all()
