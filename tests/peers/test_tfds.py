"""C4's numbers are those of the code that made C4: TensorFlow Datasets, tensorflow_datasets/text/c4_utils.py.

They come from commit 0560e686ded1ed7876137f062fa09467717a8e42 of github.com/tensorflow/datasets. No TensorFlow is needed.
"""

from __future__ import annotations

from tamis.pipelines.recipe.load import load_recipe
from tamis.transforms.rate.c4 import C4, C4Rater


def test_the_rules_for_kept_lines() -> None:
    options = C4()
    assert options.min_words == 5  # _MIN_WORDS_PER_LINE; datatrove's default, 3, is the number of sentences
    assert options.max_word_length == 1000  # _MAX_WORD_LENGTH
    assert options.end_marks == (".", "?", "!", '"')  # _END_MARKS; datatrove adds the apostrophe
    assert sorted(options.policy_phrases) == sorted(  # _POLICY_SUBSTRINGS
        ["terms of use", "privacy policy", "cookie policy", "uses cookies", "use of cookies", "use cookies"]
    )


def test_the_rules_for_kept_pages() -> None:
    rules = load_recipe("c4", paths=["any"]).thresholds
    assert rules["c4.sentences"].min == 3  # _MIN_NUM_SENTENCES; datatrove's default, 5, is the number of words
    assert rules["c4.curly"].max == 0
    assert rules["c4.lorem_ipsum"].max == 0
    [characters] = [signal for signal in C4Rater(C4()).signals if signal.name == "c4.characters"]
    assert characters.high == 190_000  # is_valid_length
