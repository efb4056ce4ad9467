"""lid.176 identifies the language from the beginning of a document; a text without letters has no language."""

from __future__ import annotations

import pickle
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import fasttext
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tamis.transforms.rate.language import Language, LanguageRater, packaged_model
from tamis.transforms.text.segment import segment

ARTICLE_1 = {
    "en": "All human beings are born free and equal in dignity and rights.",
    "fr": "Tous les êtres humains naissent libres et égaux en dignité et en droits.",
    "de": "Alle Menschen sind frei und gleich an Würde und Rechten geboren.",
    "es": "Todos los seres humanos nacen libres e iguales en dignidad y derechos.",
    "ru": "Все люди рождаются свободными и равными в своём достоинстве и правах.",
    "zh": "人人生而自由，在尊严和权利上一律平等。",
    "ja": "すべての人間は、生れながらにして自由であり、かつ、尊厳と権利とについて平等である。",
    "ar": "يولد جميع الناس أحراراً متساوين في الكرامة والحقوق.",
    "hi": "सभी मनुष्यों को गौरव और अधिकारों के मामले में जन्मजात स्वतन्त्रता और समानता प्राप्त है।",
}


@pytest.fixture(scope="module")
def rater() -> LanguageRater:
    rater = LanguageRater(Language())
    rater.setup()
    return rater


@pytest.fixture(scope="module")
def library() -> Any:
    return fasttext.load_model(packaged_model())


def rated(rater: LanguageRater, texts: Sequence[str]) -> list[tuple[str | None, float | None]]:
    batch = rater.rate(segment(pa.array(texts, pa.large_string())))
    batch.validate(full=True)
    assert batch.schema.names == ["language.label", "language.probability"]
    return list(zip(*(column.to_pylist() for column in batch.columns), strict=True))


def test_article_1_in_nine_languages(rater: LanguageRater) -> None:
    results = rated(rater, list(ARTICLE_1.values()))
    assert [label for label, _ in results] == list(ARTICLE_1)
    assert all(0.5 < probability <= 1 for _, probability in results)


def test_no_letters_no_language(rater: LanguageRater) -> None:
    assert rated(rater, ["", " \n\t\u3000", "123 456 — 7.5 %", "☃☃☃", "\x00"]) == [(None, None)] * 5


def test_line_breaks_are_spaces(rater: LanguageRater) -> None:
    text = ARTICLE_1["fr"]
    assert rated(rater, [text.replace(" ", "\n")]) == rated(rater, [text])


def test_only_the_prefix_counts(rater: LanguageRater) -> None:
    short = LanguageRater(Language(prefix_chars=20))
    text = ARTICLE_1["ja"]
    assert rated(short, [text[:20] + ARTICLE_1["en"] * 9]) == rated(rater, [text[:20]])
    assert rated(short, ["1" * 20 + ARTICLE_1["en"]]) == [(None, None)]
    assert rated(rater, ["word " * 200_000]) == rated(rater, ["word " * 400])


@settings(max_examples=100)
@given(st.lists(st.text(max_size=60), min_size=1, max_size=5), st.integers(1, 40))
def test_equals_the_library_on_any_text(library: Any, texts: list[str], prefix: int) -> None:
    for text, (label, probability) in zip(texts, rated(LanguageRater(Language(prefix_chars=prefix)), texts), strict=True):
        line = text[:prefix].replace("\n", " ")
        if not any(map(str.isalpha, line)):
            assert label is None
            continue
        ((p, name),) = library.f.predict(line + "\n", 1, 0.0, "strict")
        assert f"__label__{label}" == name
        assert probability == pytest.approx(min(p, 1.0), abs=1e-6)


def test_identity(rater: LanguageRater, tmp_path: Path) -> None:
    (tmp_path / "copy.ftz").write_bytes(Path(packaged_model()).read_bytes())
    assert LanguageRater(Language(model=str(tmp_path / "copy.ftz"))).fingerprint == rater.fingerprint
    assert LanguageRater(Language(prefix_chars=500)).fingerprint != rater.fingerprint
    sent = pickle.loads(pickle.dumps(rater))
    assert sent.fingerprint == rater.fingerprint
    assert rated(sent, ["Bonjour le monde"]) == rated(rater, ["Bonjour le monde"])


def test_a_missing_model_is_named(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match=r"nowhere\.ftz"):
        _ = LanguageRater(Language(model=str(tmp_path / "nowhere.ftz"))).fingerprint
