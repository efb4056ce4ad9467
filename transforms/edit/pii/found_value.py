"""The kinds of personal data, and where one was found."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

Kind = Literal["email", "ip", "phone", "card", "iban", "secret"]

KINDS: tuple[Kind, ...] = ("email", "ip", "phone", "card", "iban", "secret")


@dataclass(frozen=True)
class FoundValue:
    """Characters `start` up to `stop` of a text are of this kind. `value` is equal however it is
    written: with or without spaces, in upper or in lower case."""

    kind: Kind
    start: int
    stop: int
    value: str
