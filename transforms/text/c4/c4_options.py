"""Options of C4's line rules, for the rater that measures them and the editor that applies them."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field, PositiveInt

from tamis.transforms.core.options import Options


class LineRules(Options):
    """Which lines C4 keeps."""

    end_marks: tuple[Annotated[str, Field(min_length=1, max_length=1)], ...] = Field(
        (".", "?", "!", '"'),
        description="A kept line ends in one of these, and not in `...`. An empty list is for lines that may end anyhow.",
    )
    min_words: PositiveInt = Field(5, description="Smallest number of words in a kept line.")
    max_word_length: PositiveInt = Field(1000, description="Length of the longest word in a kept line, in characters.")
    policy_phrases: tuple[Annotated[str, Field(min_length=1)], ...] = Field(
        ("terms of use", "privacy policy", "cookie policy", "uses cookies", "use of cookies", "use cookies"),
        max_length=62,
        description="A kept line contains none of these; the case of ASCII letters does not matter.",
    )
