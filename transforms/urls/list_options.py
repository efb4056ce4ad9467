"""The options of lists of hosts and addresses: the section `url_lists` of a recipe."""

from __future__ import annotations

from typing import Final, Literal, Self

from pydantic import Field, model_validator

from tamis.transforms.core.options import Options

Action = Literal["drop", "review", "report"]

Match = Literal["below", "domain", "exact"]

ALLOW: Final = "allow"
"""What the labels of lists that allow begin with, and no others."""


class UrlList(Options):
    """A list of hosts and addresses."""

    path: str = Field(
        min_length=1,
        description="A file or glob with one host or address a line, or a hosts file; or a folder of categories, as UT1's: "
        "`adult/domains`, `adult/urls`. Also with .gz, .zst, .bz2 or .lz4.",
    )
    categories: tuple[str, ...] = Field((), description="Of a folder, the categories that count; by default all.")
    match: Match = Field(
        "below",
        description="`below`: a host stands for all hosts below it, an address for all below its path (squidGuard's rule). "
        "`domain`: a host stands for itself, and a registrable domain for all hosts in it (RefinedWeb's). `exact`: a host "
        "stands for itself, an address for itself alone.",
    )
    action: Action = Field("drop", description="What happens to documents from there; `report` records it only.")


class WordScore(Options):
    """Words by which addresses are scored, in three files with one word a line. A word counts once."""

    strict: str | None = Field(None, description="Path of words that count anywhere: `http://foo-ba.rbaz.com` has foobar.")
    hard: str | None = Field(None, description="Path of words that count as whole words.")
    soft: str | None = Field(None, description="Path of words that count as whole words, and of which one alone means little.")
    weights: tuple[float, float, float] = Field((1.0, 1.0, 0.5), description="What a strict, a hard and a soft word count.")
    limit: float = Field(1.0, gt=0, description="The score at which `action` takes place: RefinedWeb's two soft words.")
    action: Action = Field("drop", description="What happens to documents with at least this score.")

    @model_validator(mode="after")
    def _has_words(self) -> Self:
        if self.strict is None and self.hard is None and self.soft is None:
            raise ValueError("name a file of words: strict, hard or soft")
        if min(self.weights) < 0:
            raise ValueError("weights are not below 0")
        return self


class UrlLists(Options):
    """Lists of hosts and addresses, and words, that decide about documents by their address."""

    deny: dict[str, UrlList] = Field({}, description="Lists by a name of your choice, by which decisions name them.")
    allow: tuple[str, ...] = Field(
        (), description="Paths of lists of hosts and addresses; what they hold is in no other list, and scores 0."
    )
    words: WordScore | None = None

    @model_validator(mode="after")
    def _has_lists(self) -> Self:
        if not self.deny and self.words is None:
            raise ValueError("name a list under deny, or words")
        if wrong := [name for name in self.deny if name in (ALLOW, "words") or not name or "/" in name or ":" in name]:
            raise ValueError(f"a list cannot be named '{wrong[0]}'")
        return self

    def action(self, category: str) -> Action:
        """What happens to documents in a category, such as `ut1/adult`."""
        return self.deny[category.split("/")[0]].action

    @property
    def lists(self) -> dict[str, UrlList]:
        """All lists by name, those that allow last."""
        allowed = {f"{ALLOW} {number}": UrlList(path=path) for number, path in enumerate(self.allow)}
        return {**self.deny, **allowed}
